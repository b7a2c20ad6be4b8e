//! What is written: the Secret, the request, the tags in ACM. Pure: the objects are built here and sent elsewhere.

pub use super::repair::repaired;
use super::{Observed, deletes, drift::DRIFT, held, issuing, wanted};
use crate::{
    api::{
        ADOPT_BY_ANNOTATION, CertificateRequest, ISSUED_FOR_ANNOTATION, OWNED_BY_ANNOTATION, RENEW_ANNOTATION,
        REVISION_ANNOTATION,
        certificate::{CertificateSpec, FirstIssuance, KeyEncoding, Renewals, Target},
        names::{CertificateArn, TemplateArn},
        request::CertificateRequestSpec,
        shared::Tags,
    },
    core::{
        Event,
        certificate::wanted::renewal_request,
        keystores,
        secret::{self, Content, KeyPair, SecretObject},
        template,
    },
    pki::{csr, key::PrivateKey},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Annotation on a request: why it was made.
pub const TRIGGER_ANNOTATION: &str = "arnkeeper.dev/trigger";
/// Tag on a certificate whose target gets a new ARN with each renewal: its serial number.
pub const TAG_SERIAL: &str = "arnkeeper.dev/serial";
/// Tag: the Certificate's uid when it was imported. It is told, never compared.
const TAG_UID: &str = "arnkeeper.dev/uid";

/// The tags that make a certificate in ACM a target's.
#[must_use]
pub fn ownership_tags(o: &Observed, target: &str) -> Tags {
    Tags::from([
        ("arnkeeper.dev/cluster".to_owned(), o.cluster.clone()),
        ("arnkeeper.dev/namespace".to_owned(), o.namespace()),
        ("arnkeeper.dev/name".to_owned(), o.name()),
        ("arnkeeper.dev/target".to_owned(), target.to_owned()),
    ])
}

/// The tags that the spec asks for, with the serial number where each renewal is a new ARN.
#[must_use]
pub fn spec_tags(o: &Observed, target: &Target) -> Tags {
    let mut tags = target.tags.clone();
    if !o.keeps_arn(target)
        && let Some(pair) = o.current()
    {
        tags.insert(TAG_SERIAL.into(), pair.chain.leaf.serial.to_string());
    }
    tags
}

/// All tags of a new import.
#[must_use]
pub fn import_tags(o: &Observed, target: &Target) -> Tags {
    let mut tags = spec_tags(o, target);
    tags.extend(ownership_tags(o, &target.name));
    tags.insert(TAG_UID.into(), o.uid());
    tags
}

/// What is told of a second certificate with a target's tags that was deleted.
#[must_use]
pub fn twin_deleted(target: &str, arn: &CertificateArn) -> Event {
    let note =
        format!("target {target}: {arn} was a second certificate with this target's tags, unused, and was deleted");
    Event { warning: true, reason: "TwinDeleted".into(), note }
}

/// What is told of a second certificate with a target's tags that can't be deleted.
#[must_use]
pub fn twin_in_use(target: &str, arn: &CertificateArn) -> Event {
    let note = format!(
        "target {target}: {arn} is a second certificate with this target's tags and stays, since something uses it: let that \
         use the ARN in status, and delete it"
    );
    Event { warning: true, reason: "TwinInUse".into(), note }
}

fn owner(o: &Observed) -> Option<OwnerReference> {
    o.certificate.controller_owner_ref(&())
}

fn template_arn(spec: &CertificateSpec) -> Option<&TemplateArn> {
    spec.source.private_ca.as_ref()?.template_arn.as_ref()
}

/// The Secret with a revision's key and its CSR.
///
/// # Errors
/// If the subject makes no CSR.
pub fn staged(o: &Observed, revision: i64, key: &PrivateKey, now: Timestamp) -> Result<SecretObject, String> {
    let spec = &o.certificate.spec;
    let subject = wanted::subject_request(&spec.subject).map_err(|e| format!("spec.subject: {e}"))?;
    let (_, passthrough) = template::for_usages(&spec.usages, &spec.region).map_err(|e| e.to_string())?;
    let copies = template_arn(spec).map_or(passthrough, template::copies_csr);
    let usages = wanted::usages(spec);
    let csr =
        csr::create_csr(key, &subject, copies.then_some(&usages[..])).map_err(|e| format!("spec.subject: {e}"))?;
    let content = Content {
        data: BTreeMap::from([("tls.key", key.to_pkcs8_pem()), ("tls.csr", Zeroizing::new(csr))]),
        annotations: BTreeMap::from([
            (OWNED_BY_ANNOTATION.to_owned(), Some(o.name())),
            (ISSUED_FOR_ANNOTATION.to_owned(), Some(wanted::issued_for(spec))),
        ]),
        labels: BTreeMap::new(),
        owner: issuing::staged_owner(o, revision, now),
    };
    Ok(secret::write(None, &o.namespace(), &issuing::staged_name(&o.name(), revision), "Opaque", content))
}

/// Whether the operator signs its own request; else a person does.
pub(super) fn signs(o: &Observed) -> bool {
    let issuance = o.certificate.spec.issuance.unwrap_or_default();
    if o.base_revision() == 0 {
        issuance.first == FirstIssuance::Automatic
    } else {
        issuance.renewals != Renewals::RequestOnly
    }
}

/// The request of a revision, for the staged CSR.
#[must_use]
pub fn request(o: &Observed, revision: i64, trigger: &str, now: Timestamp) -> Option<CertificateRequest> {
    let spec = &o.certificate.spec;
    let private_ca = spec.source.private_ca.as_ref()?;
    let staged = o.staged.get(&revision)?.as_ref()?;
    let csr = staged.text("tls.csr")?.to_string();
    let name = issuing::request_name(&o.name(), revision);
    let mut request = CertificateRequest::new(
        &name,
        CertificateRequestSpec {
            account_ref: spec.account_ref.clone(),
            region: spec.region.clone(),
            certificate_authority: private_ca.certificate_authority.clone(),
            csr: Some(csr),
            subject: None,
            private_key: None,
            secret_name: None,
            usages: spec.usages.clone(),
            duration: spec.duration,
            template_arn: private_ca.template_arn.clone(),
            tags: Tags::new(),
            signature: signs(o).then(|| spec.signature.clone().unwrap_or_default()),
        },
    );
    request.metadata.namespace = Some(o.namespace());
    request.metadata.owner_references = owner(o).map(|owner| vec![owner]);
    let annotations = request.annotations_mut();
    annotations.insert(REVISION_ANNOTATION.into(), revision.to_string());
    annotations.insert(ISSUED_FOR_ANNOTATION.into(), wanted::issued_for(spec));
    annotations.insert(TRIGGER_ANNOTATION.into(), trigger.into());
    if let Some(forced) = renewal_request(&o.certificate, now).or_else(|| answered_already(o)) {
        annotations.insert(RENEW_ANNOTATION.into(), forced.into());
    }
    Some(request)
}

/// The Secret with the certificate of a revision.
///
/// # Errors
/// If the request's certificate can't be used; `decide` has checked that it can.
pub fn issued(o: &Observed, revision: i64, now: Timestamp) -> Result<SecretObject, String> {
    let request = o.requests.get(&revision).ok_or("its request is gone")?;
    let staged = o.staged.get(&revision).and_then(|s| s.as_ref()).ok_or("its staged key is gone")?;
    let (chain, key) = issuing::signed(request, staged, now)?;
    let forced = request.annotations().get(RENEW_ANNOTATION).cloned();
    let pair = KeyPair { chain, key };
    let mut secret = put(o, content(o, &pair, revision, forced));
    put_keystores(o, &pair, &mut secret)?;
    Ok(secret)
}

/// Without a usable password the keystores stay as they are: the certificate does not wait for it.
pub(super) fn put_keystores(o: &Observed, pair: &KeyPair, secret: &mut SecretObject) -> Result<(), String> {
    match (&o.certificate.spec.secret.keystores, &o.password) {
        (Some(wanted), Some(Ok(password))) => keystores::put(secret, pair, password, wanted)?,
        (Some(_), _) => {}
        (None, _) => keystores::remove(secret),
    }
    Ok(())
}

/// Whether keystores have to be written, or taken away.
pub(super) fn keystores_differ(o: &Observed) -> bool {
    let (Some(pair), Some(Some(secret))) = (o.current(), &o.secret) else { return false };
    match (&o.certificate.spec.secret.keystores, &o.password) {
        (Some(wanted), Some(Ok(password))) => !keystores::are_current(secret, pair, password, wanted),
        (Some(_), _) => false,
        (None, _) => keystores::are_ours(secret),
    }
}

/// The Secret with what it lacks besides the certificate, keystores included.
///
/// # Errors
/// If a keystore can't be written.
#[must_use]
pub fn completed(o: &Observed) -> Option<Result<SecretObject, String>> {
    let mut secret = with_metadata(o)?;
    let pair = o.current()?;
    Some(put_keystores(o, pair, &mut secret).map(|()| secret))
}

/// The Secret as it should be, with the certificate that it has.
#[must_use]
pub fn with_metadata(o: &Observed) -> Option<SecretObject> {
    let pair = o.current()?;
    let existing = o.secret.as_ref()?.as_ref()?;
    let mut content = content(o, pair, o.base_revision().max(1), answered(o, existing));
    // The chain was put in order for checking; what stands there is left as it is.
    content.data.retain(|key, _| *key == "tls.key");
    Some(put(o, content))
}

/// The forced renewal that the certificate in the Secret answers, by the Secret or by its request: one of them may have been
/// edited, and what is asked for is not answered twice.
fn answered(o: &Observed, existing: &SecretObject) -> Option<String> {
    let request = held::request(o).and_then(|(_, request)| request.annotations().get(RENEW_ANNOTATION));
    let known = [request.map(String::as_str), existing.renewed_for()];
    let asked = o.certificate.annotations().get(RENEW_ANNOTATION).map(String::as_str);
    let answered = known.into_iter().find(|known| known.is_some() && *known == asked);
    answered.unwrap_or_else(|| known.into_iter().flatten().next()).map(str::to_owned)
}

/// The forced renewal that is asked for, if a certificate before answers it: whatever the clock says now, the next does, too.
///
/// Any request up to the last revision tells: where the Secret can't be used, its annotation may name one that never was.
fn answered_already(o: &Observed) -> Option<&str> {
    let asked = o.certificate.annotations().get(RENEW_ANNOTATION).map(String::as_str)?;
    let answers = |request: &CertificateRequest| {
        request.annotations().get(RENEW_ANNOTATION).is_some_and(|answered| answered == asked)
            && issuing::is_ours(o, request)
            && held::signed_as(request).is_some()
    };
    let by_secret = o.own_secret().and_then(SecretObject::renewed_for) == Some(asked);
    (by_secret || o.requests.range(..=o.base_revision()).any(|(_, request)| answers(request))).then_some(asked)
}

/// What is told when a new certificate is asked for because the Secret lost the one it had.
#[must_use]
pub fn lost(o: &Observed, now: Timestamp) -> Option<Event> {
    let Some(wanted::Trigger::SecretLost(message)) = wanted::trigger(o, now) else { return None };
    Some(Event { warning: true, reason: DRIFT.into(), note: format!("{message}; a new one is issued") })
}

/// Whether labels, annotations, owner or the key's encoding are not as the spec wants them.
pub(super) fn metadata_differs(o: &Observed) -> bool {
    match (with_metadata(o), o.secret.as_ref().and_then(|s| s.as_ref())) {
        (Some(wanted), Some(existing)) => !existing.is_as(&wanted),
        _ => false,
    }
}

pub(super) fn put(o: &Observed, content: Content) -> SecretObject {
    let existing = o.secret.as_ref().and_then(|s| s.as_ref());
    secret::write(existing, &o.namespace(), &o.certificate.spec.secret.name, "kubernetes.io/tls", content)
}

pub(super) fn content(o: &Observed, pair: &KeyPair, revision: i64, forced: Option<String>) -> Content {
    let spec = &o.certificate.spec;
    let template = spec.secret.template.clone().unwrap_or_default();
    let encoding = spec.private_key.as_ref().map(|k| k.encoding).unwrap_or_default();
    let key = match encoding {
        KeyEncoding::PKCS8 => pair.key.to_pkcs8_pem(),
        KeyEncoding::PKCS1 => pair.key.to_pkcs1_pem(),
    };
    let mut annotations: BTreeMap<String, Option<String>> =
        template.annotations.into_iter().map(|(k, v)| (k, Some(v))).collect();
    annotations.insert(OWNED_BY_ANNOTATION.into(), Some(o.name()));
    annotations.insert(REVISION_ANNOTATION.into(), Some(revision.to_string()));
    annotations.insert(ISSUED_FOR_ANNOTATION.into(), Some(wanted::issued_for(spec)));
    annotations.insert(RENEW_ANNOTATION.into(), forced);
    annotations.insert(ADOPT_BY_ANNOTATION.into(), None);
    let data = BTreeMap::from([
        ("tls.crt", Zeroizing::new(pair.chain.tls_crt())),
        ("tls.key", key),
        ("ca.crt", Zeroizing::new(pair.chain.ca_crt())),
    ]);
    let owner = deletes(spec.secret.deletion_policy).then(|| owner(o)).flatten();
    Content { data, annotations, labels: template.labels, owner }
}
