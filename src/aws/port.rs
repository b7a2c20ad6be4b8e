//! The calls to AWS that are used, and nothing else. The adapter speaks to AWS; tests may put anything else in its place.

use super::error::AwsError;
use crate::api::names::{AccountId, AuthorityArn, CertificateArn, IssuedArn, Region, TemplateArn};
use crate::api::shared::Tags;
use crate::pki::{algorithm::KeyAlgorithm, key::PrivateKey};
use async_trait::async_trait;
use jiff::Timestamp;
use std::time::Duration;
use zeroize::Zeroizing;

/// Who the credentials are (STS API reference, GetCallerIdentity).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account that the calls go to.
    pub account: AccountId,
    /// The caller's ARN.
    pub arn: String,
}

/// The state of a private CA (Private CA API reference, CertificateAuthority).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityState {
    /// It can sign.
    Active,
    /// It was switched off by somebody and can be switched on again.
    Disabled,
    /// Its certificate has ended.
    Expired,
    /// It is being made, or waits for its own certificate.
    NotReady,
    /// It failed, or was deleted.
    Gone,
}

/// What a private CA is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its ARN.
    pub arn: AuthorityArn,
    /// Its region.
    pub region: Region,
    /// The common name of its subject.
    pub common_name: Option<String>,
    /// Its state.
    pub state: AuthorityState,
    /// Its state in AWS's own word, for people.
    pub state_name: String,
    /// The algorithm of its key; none: one that this operator does not know.
    pub algorithm: Option<KeyAlgorithm>,
    /// The algorithm in AWS's own word, for people.
    pub algorithm_name: String,
    /// It signs for at most seven days.
    pub short_lived: bool,
    /// When its own certificate ends.
    pub not_after: Option<Timestamp>,
}

/// A certificate and what stands above it, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemChain {
    /// The certificate.
    pub certificate: String,
    /// Its chain, the issuer first; empty above a root.
    pub chain: String,
}

/// What is to be signed (Private CA API reference, IssueCertificate).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The CA that signs.
    pub authority: AuthorityArn,
    /// The algorithm of the CA's key: the signature is made with it.
    pub authority_algorithm: KeyAlgorithm,
    /// The request, PEM.
    pub csr: String,
    /// The template.
    pub template: TemplateArn,
    /// The end of validity.
    pub not_after: Timestamp,
    /// At most 36 characters; makes a repeat within five minutes harmless.
    pub idempotency_token: String,
}

/// A certificate in ACM as ListCertificates tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its ARN.
    pub arn: CertificateArn,
    /// The first domain and the first 100 alternative names.
    pub names: Vec<String>,
    /// There are more names than those.
    pub more_names: bool,
    /// It was imported, not issued by ACM.
    pub imported: bool,
    /// A load balancer or another service uses it.
    pub in_use: bool,
    /// When it was made in ACM.
    pub created_at: Option<Timestamp>,
    /// What else the list says; nobody keeps it.
    pub more: Option<Box<Listed>>,
}

/// What ListCertificates tells of a certificate besides (ACM API reference, CertificateSummary), in AWS's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// ISSUED, PENDING_VALIDATION, …
    pub state: String,
    /// IMPORTED, PRIVATE or AMAZON_ISSUED.
    pub kind: String,
    /// RSA_2048, …
    pub key_algorithm: String,
    /// ELIGIBLE or INELIGIBLE; empty where the list does not tell.
    pub renewal: String,
    /// When it begins to be valid.
    pub not_before: Option<Timestamp>,
    /// When it ends.
    pub not_after: Option<Timestamp>,
    /// When it was imported, issued or revoked last.
    pub changed_at: Option<Timestamp>,
}

/// A certificate in ACM as DescribeCertificate tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Serial number, as `Serial` writes it, if it can be read.
    pub serial: Option<crate::pki::certificate::Serial>,
    /// It was imported, not issued by ACM.
    pub imported: bool,
    /// The algorithm of its key, if this operator knows it.
    pub algorithm: Option<KeyAlgorithm>,
    /// The algorithm in AWS's own word.
    pub algorithm_name: String,
    /// Key usages, in AWS's words (DIGITAL_SIGNATURE).
    pub key_usages: Vec<String>,
    /// Extended key usages, as OIDs.
    pub extended_key_usages: Vec<String>,
    /// Its names.
    pub names: Vec<String>,
    /// ARNs of what uses it.
    pub in_use_by: Vec<String>,
    /// When it ends.
    pub not_after: Option<Timestamp>,
    /// When it begins to be valid.
    pub not_before: Option<Timestamp>,
    /// ISSUED, PENDING_VALIDATION, …, in AWS's own word.
    pub state: String,
    /// IMPORTED, PRIVATE or AMAZON_ISSUED, in AWS's own word.
    pub kind: String,
    /// ELIGIBLE or INELIGIBLE; empty where AWS does not tell.
    pub renewal: String,
    /// What there is to tell of one that ACM issued itself.
    pub issuance: Issuance,
}

/// What DescribeCertificate tells of a certificate that ACM issued (ACM API reference, CertificateDetail), in AWS's own words;
/// empty where it tells nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issuance {
    /// The private CA.
    pub authority: Option<AuthorityArn>,
    /// Why it could not be issued, such as PCA_ACCESS_DENIED.
    pub failure: String,
    /// How ACM's renewal stands: PENDING_AUTO_RENEWAL, SUCCESS, FAILED.
    pub renewal: String,
    /// Since when.
    pub renewal_at: Option<Timestamp>,
    /// Why that failed.
    pub renewal_failure: String,
}

/// What RequestCertificate takes, for a certificate from a private CA (ACM API reference).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateOrder {
    /// The region.
    pub region: Region,
    /// The private CA.
    pub authority: AuthorityArn,
    /// The first name, of at most 64 characters.
    pub domain_name: String,
    /// More DNS names.
    pub additional_names: Vec<String>,
    /// The algorithm of the key that ACM makes.
    pub algorithm: KeyAlgorithm,
    /// At most 32 letters and digits; makes a repeat within an hour harmless.
    pub idempotency_token: String,
    /// Its tags.
    pub tags: Tags,
}

/// What ExportCertificate gives, the key decrypted. It has no `Debug`, and the key wipes its memory.
pub struct Exported {
    /// The certificate, PEM.
    pub certificate: String,
    /// What stands above it, PEM, the issuer first.
    pub chain: String,
    /// Its key, or why it can't be read; never with anything of it.
    pub key: Result<PrivateKey, String>,
}

/// What ImportCertificate takes. It has no `Debug`, and the key wipes its memory.
pub struct Material {
    /// The certificate, PEM, one.
    pub certificate: String,
    /// Its key, PEM, unencrypted.
    pub private_key: Zeroizing<String>,
    /// Its chain, PEM, the issuer first and the root last.
    pub chain: Option<String>,
}

/// What IAM is asked (IAM API reference, SimulatePrincipalPolicy).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// The role or user whose policies count.
    pub principal: String,
    /// The actions.
    pub actions: Vec<&'static str>,
    /// What they would be done to.
    pub resource: String,
    /// Condition keys of the calls, with their values.
    pub context: Vec<(String, String)>,
}

/// What IAM says of one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The action.
    pub action: String,
    /// Whether it is allowed.
    pub allowed: bool,
    /// Condition keys that the policies ask for, and the question did not tell.
    pub missing: Vec<String>,
}

/// An AWS organization (Organizations API reference).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: String,
    /// The account that it is managed from.
    pub management_account: AccountId,
    /// All its accounts, the managing one too, by id.
    pub members: Vec<Member>,
}

impl Organization {
    /// The region where a partition's Organizations is; the signature is for it (AWS general reference, Organizations
    /// endpoints).
    #[must_use]
    pub fn home(partition: &str) -> &'static str {
        match partition {
            "aws-us-gov" => "us-gov-west-1",
            "aws-cn" => "cn-northwest-1",
            _ => "us-east-1",
        }
    }
}

/// An account of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: AccountId,
    /// Its name.
    pub name: String,
    /// PENDING_ACTIVATION, ACTIVE, SUSPENDED, PENDING_CLOSURE or CLOSED.
    pub state: String,
    /// What it lies in, from the root down: id and name.
    pub units: Vec<(String, String)>,
}

/// The calls that one account answers. Every error says which operation failed and what a person may do.
#[async_trait]
pub trait Aws: Send + Sync {
    /// Who the caller is, as it was seen when the session began.
    fn identity(&self) -> &Identity;

    /// All private CAs of the account in a region.
    async fn list_authorities(&self, region: &Region) -> Result<Vec<Authority>, AwsError>;

    /// One private CA.
    async fn describe_authority(&self, arn: &AuthorityArn) -> Result<Authority, AwsError>;

    /// The CA's own certificate and the chain above it.
    async fn authority_certificate(&self, arn: &AuthorityArn) -> Result<PemChain, AwsError>;

    /// Asks a CA for a signature. It is paid for when this returns, and may be when it fails.
    async fn issue(&self, issue: &Issue) -> Result<IssuedArn, AwsError>;

    /// What the CA signed; none while it is still at it (RequestInProgressException).
    async fn issued(&self, arn: &IssuedArn) -> Result<Option<PemChain>, AwsError>;

    /// The organization that the account manages, whole: a part that can't be read makes it fail.
    async fn organization(&self) -> Result<Organization, AwsError>;

    /// All certificates in ACM in a region, of every key type, from all pages.
    async fn list_certificates(&self, region: &Region) -> Result<Vec<Summary>, AwsError>;

    /// One certificate in ACM.
    async fn describe_certificate(&self, arn: &CertificateArn) -> Result<Description, AwsError>;

    /// The certificate in ACM itself, PEM.
    async fn certificate_body(&self, arn: &CertificateArn) -> Result<PemChain, AwsError>;

    /// The tags of a certificate in ACM.
    async fn tags(&self, arn: &CertificateArn) -> Result<Tags, AwsError>;

    /// Waits a little for leave to import: nothing, or how long to come back later. Whoever has leave imports soon.
    async fn turn_to_import(&self, _: &Region) -> Duration {
        Duration::ZERO
    }

    /// Imports under a new ARN: one HTTP attempt, never repeated, 15 s in all. It may have had effect when it fails.
    async fn import_new(&self, region: &Region, material: &Material, tags: &Tags) -> Result<CertificateArn, AwsError>;

    /// Imports under an ARN that is there.
    async fn reimport(&self, arn: &CertificateArn, material: &Material) -> Result<(), AwsError>;

    /// Lets ACM issue a certificate: one HTTP attempt, 15 s in all. It may have had effect when it fails.
    async fn request_certificate(&self, order: &CertificateOrder) -> Result<CertificateArn, AwsError>;

    /// Lets ACM renew a certificate that it issued, under its ARN. That it is at it already is no error.
    async fn renew_certificate(&self, arn: &CertificateArn) -> Result<(), AwsError>;

    /// A certificate that ACM issued, with its key.
    async fn export_certificate(&self, arn: &CertificateArn) -> Result<Exported, AwsError>;

    /// Adds tags, or changes their values.
    async fn add_tags(&self, arn: &CertificateArn, tags: &Tags) -> Result<(), AwsError>;

    /// Removes tags, by key.
    async fn remove_tags(&self, arn: &CertificateArn, keys: &[String]) -> Result<(), AwsError>;

    /// Deletes a certificate from ACM.
    async fn delete_certificate(&self, arn: &CertificateArn) -> Result<(), AwsError>;

    /// Asks IAM what its caller may do; nothing is done. One attempt: it is not worth a second.
    async fn simulate(&self, question: &Simulation) -> Result<Vec<Verdict>, AwsError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn organizations_has_one_home_a_partition() {
        let homes = ["aws", "aws-us-gov", "aws-cn"].map(Organization::home);
        assert_eq!(homes, ["us-east-1", "us-gov-west-1", "cn-northwest-1"]);
    }
}
