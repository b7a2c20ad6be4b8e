//! The kinds of the API group `arnkeeper.dev`, version `v1beta1`. Nothing here does I/O.

pub mod account;
pub mod certificate;
pub mod conditions;
pub mod discovery;
pub mod names;
pub mod organization;
pub mod publish;
pub mod request;
mod schema;
pub mod shared;

pub use account::AwsAccount;
pub use certificate::Certificate;
pub use request::CertificateRequest;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of every kind.
pub const GROUP: &str = "arnkeeper.dev";

/// Annotation on a Secret: the name of the Certificate (same namespace) whose Secret it is.
pub const OWNED_BY_ANNOTATION: &str = "arnkeeper.dev/certificate";
/// Annotation on a foreign Secret: the name of the Certificate that may take it over.
pub const ADOPT_BY_ANNOTATION: &str = "arnkeeper.dev/adopt-by";
/// Annotation on a Secret and on a request: the revision of the Certificate that it belongs to.
pub const REVISION_ANNOTATION: &str = "arnkeeper.dev/revision";
/// Annotation on a Secret and on a request: a digest of the parts of the spec that the certificate was issued for.
pub const ISSUED_FOR_ANNOTATION: &str = "arnkeeper.dev/issued-for";
/// Annotation on a Certificate: an RFC 3339 time; each new value forces one renewal.
pub const RENEW_ANNOTATION: &str = "arnkeeper.dev/renew-requested-at";
/// Annotation on an AwsAccount with an organization: an RFC 3339 time; each new value reads the organization again at once,
/// and tries its members that can't be used.
pub const SYNC_ANNOTATION: &str = "arnkeeper.dev/sync-requested-at";
/// Annotation on an AwsAccount with `discovery`: an RFC 3339 time; each new value looks through ACM at once.
pub const DISCOVER_ANNOTATION: &str = "arnkeeper.dev/discover-requested-at";
/// Label on a Certificate that discovery made: the AwsAccount through which it was found.
pub const DISCOVERED_BY_LABEL: &str = "arnkeeper.dev/discovered-by";
/// Annotation on a Certificate that discovery made: a digest of what ACM's list says of it. Where it changes, ACM is asked again.
pub const ACM_VERSION_ANNOTATION: &str = "arnkeeper.dev/acm-version";
/// Annotation on a Certificate that discovery made: a digest of what discovery wrote.
pub const DISCOVERED_ANNOTATION: &str = "arnkeeper.dev/discovered";
/// Annotation on a member's AwsAccount: its place in the organization.
pub const PATH_ANNOTATION: &str = "arnkeeper.dev/organization-path";
/// Annotation on a member's AwsAccount: its name in the organization.
pub const ACCOUNT_NAME_ANNOTATION: &str = "arnkeeper.dev/account-name";
/// Annotation on a member's AwsAccount: its state in the organization, as AWS writes it, or LEFT.
pub const ACCOUNT_STATE_ANNOTATION: &str = "arnkeeper.dev/account-state";
/// Label on a member's AwsAccount: the id of its organization.
pub const ORGANIZATION_LABEL: &str = "arnkeeper.dev/organization";
/// Label on a member's AwsAccount: the id of the organizational unit, or the root, that it lies in.
pub const UNIT_LABEL: &str = "arnkeeper.dev/organizational-unit";

/// The definitions of all kinds, as `arnkeeper crds` prints them.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        schema::finish(AwsAccount::crd()),
        schema::finish(CertificateRequest::crd()),
        schema::finish(Certificate::crd()),
    ]
}
