//! A certificate that somebody else keeps, in a Secret of theirs, such as cert-manager: it is read, checked and delivered. The
//! Secret is never written to, and nothing is ever asked for or paid for.

use super::{
    FINALIZER, Installed, Next, Observed, Read, TargetObserved, Write, adoption, deletion, delivery::Need, issuing,
    preflight::described, removed::is_named,
};
use crate::{
    api::{
        CertificateRequest,
        certificate::{CertificateStatus, Target, TargetStatus},
        conditions::{Finding, READY, whole_seconds},
        names::CertificateArn,
    },
    core::{
        Event,
        access::Refusal,
        backoff::FOR_A_PERSON,
        hex,
        request::{PATIENCE, age},
        secret::{KeyPair, SecretObject},
    },
    pki::{
        acm_rules::{CurrentInAcm, introduced_problems, reimport_problems},
        certificate::Certificate as X509,
        key::PrivateKey,
        names::Names,
    },
    text::plain,
};
use aws_lc_rs::digest::{Context, SHA256};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

/// Why there is a first revision, in `status.history[].trigger`.
pub(super) const IMPORTED: &str = "Imported";
/// Why there is a later one.
pub(super) const CHANGED: &str = "SourceChanged";
/// The reason of `Ready` when the certificate ends soon and its keeper has not renewed it.
pub(super) const ENDS_SOON: &str = "SourceEndsSoon";

/// The last part of a lifetime, and at most so long, is soon: whoever renews in good time has done so before.
const SOON: (i32, SignedDuration) = (5, SignedDuration::from_hours(14 * 24));
/// The longest certificate that ACM takes, in bytes of PEM (ACM API reference, ImportCertificate).
const LONGEST_CERTIFICATE: usize = 32_768;
/// The longest private key, likewise.
const LONGEST_KEY: usize = 5120;
/// The issuer of cert-manager's temporary certificates (annotation `cert-manager.io/issue-temporary-certificate`).
const TEMPORARY: &[u8] = b"cert-manager.local";
/// The longest name with this common name and nothing else, in bytes of DER.
const TEMPORARY_NAME: usize = 31;
/// So many names are remembered while the answer of an import is not known.
const MOST_NAMES: usize = 20;
/// The longest word of a Secret's keeper that is repeated, in bytes.
const LONGEST_WORD: usize = 253;

/// What is wrong with a source.
pub(super) struct Trouble {
    why: Refusal,
    /// It passes by itself.
    passes: bool,
    /// How long until it is looked at again.
    rest: SignedDuration,
}

impl Observed {
    /// The Secret was read, its own or its source: it is parsed once.
    pub fn see_secret(&mut self, secret: Option<SecretObject>) {
        let read = |secret: &SecretObject| match self.certificate.spec.source_secret() {
            Some(_) => secret.source_pair(),
            None => secret.key_pair(),
        };
        self.pair = secret.as_ref().map(read);
        self.secret = Some(secret);
    }

    /// A digest of what a source holds, certificate and chain as they are imported; none: there is no source, or nothing usable.
    #[must_use]
    pub fn content(&self) -> Option<Box<str>> {
        self.certificate.spec.source_secret()?;
        let chain = &self.current()?.chain;
        let mut digest = Context::new(&SHA256);
        digest.update(&chain.leaf.der);
        chain.above().for_each(|above| digest.update(&above.der));
        Some(hex(digest.finish().as_ref(), 16).into())
    }
}

/// The way to a certificate that can be delivered: it is there, or it is waited for.
pub(super) fn next(o: &Observed, now: Timestamp) -> Next {
    let wants_finalizer = deletion::needs_finalizer(&o.certificate);
    if wants_finalizer != o.certificate.finalizers().iter().any(|f| f == FINALIZER) {
        return Next::Write(Write::Finalizer(wants_finalizer));
    }
    if o.secret.is_none() {
        return Next::Read(Read::Secret);
    }
    if !o.certificate.spec.enabled {
        return Next::Settled(super::LONG);
    }
    if let Some(next) = left_behind(o) {
        return next;
    }
    match trouble(o, now) {
        None => Next::Settled(rest(o, now)),
        Some(Trouble { why, passes: true, rest }) => Next::Wait(why, rest),
        Some(Trouble { why, passes: false, rest }) => {
            // Applied together with its Secret: that comes in a moment.
            let age = age(o.certificate.creation_timestamp().map(|t| t.0), now);
            let young = age < PATIENCE && matches!(o.secret, Some(None));
            if young { Next::Quiet(PATIENCE - age) } else { Next::Stalled(why, rest) }
        }
    }
}

/// What was asked for before the source was a Secret, and came to nothing: its request and its key go.
fn left_behind(o: &Observed) -> Option<Next> {
    let unused = |request: &CertificateRequest| issuing::is_ours(o, request) && issuing::is_superseded(request);
    let (revision, request) = o.requests.iter().find(|(_, request)| unused(request))?;
    Some(match o.staged.get(revision) {
        None => Next::Read(Read::Staged(*revision)),
        Some(Some(staged)) if issuing::is_staged_by(o, staged) => Next::Write(Write::DeleteStaged(*revision)),
        Some(_) => Next::Write(Write::DeleteRequest(request.name_any())),
    })
}

/// Why what the source holds is not delivered now; none: it is, or the certificate comes from elsewhere.
pub(super) fn trouble(o: &Observed, now: Timestamp) -> Option<Trouble> {
    let name = o.certificate.spec.source_secret()?;
    let stalled =
        |reason, message: String| Some(Trouble { why: Refusal { reason, message }, passes: false, rest: FOR_A_PERSON });
    let Some(secret) = o.secret.as_ref()? else {
        let message = format!("there is no Secret {name:?}: make it, or name another one in spec.source.secretRef");
        return stalled("SourceNotFound", message);
    };
    let pair = match o.pair.as_ref()? {
        Err(problem) => {
            return stalled(
                "SourceInvalid",
                format!("the Secret {name:?} can't be used: {problem}; {}", renewer(secret)),
            );
        }
        Ok(pair) => pair,
    };
    let leaf = &pair.chain.leaf;
    if is_temporary(leaf) {
        let message = format!(
            "the Secret {name:?} holds a temporary certificate of cert-manager; the one that takes its place is waited for"
        );
        return Some(Trouble { why: Refusal { reason: "SourceTemporary", message }, passes: true, rest: FOR_A_PERSON });
    }
    if leaf.not_after <= now {
        let message =
            format!("the certificate in the Secret {name:?} ended at {}: {}", leaf.not_after, renewer(secret));
        return stalled("SourceExpired", message);
    }
    if leaf.not_before > now {
        let message = format!(
            "the certificate in the Secret {name:?} is valid only from {} on, and ACM takes it only then",
            leaf.not_before
        );
        let rest = leaf.not_before.duration_since(now).min(FOR_A_PERSON).max(SignedDuration::from_secs(1));
        return Some(Trouble { why: Refusal { reason: "SourceNotYetValid", message }, passes: true, rest });
    }
    let problem = refused_by_acm(pair)?;
    stalled(
        "PreflightFailed",
        format!(
            "ACM would refuse what is in the Secret {name:?}, so it is not imported: {problem}; {}",
            renewer(secret)
        ),
    )
}

/// Who has to act, for people.
fn renewer(secret: &SecretObject) -> String {
    match secret.annotation("cert-manager.io/certificate-name") {
        Some(name) => format!("it is kept by cert-manager's Certificate {:?}", plain(name, LONGEST_WORD)),
        None => "whoever keeps it has to put it right; it is never written to from here".into(),
    }
}

/// Whether cert-manager put it there to bridge the time until the issuer answers.
fn is_temporary(leaf: &X509) -> bool {
    leaf.issuer_raw.ends_with(TEMPORARY) && leaf.issuer_raw.len() <= TEMPORARY_NAME
}

/// Why ACM takes no such pair under any ARN (ACM API reference, ImportCertificate; ACM user guide, "Prerequisites for importing").
fn refused_by_acm(pair: &KeyPair) -> Option<String> {
    let leaf = &pair.chain.leaf;
    let Some(algorithm) = leaf.algorithm else { return Some("its key is of a kind that ACM does not take".into()) };
    if names(leaf).dns.is_empty() {
        return Some("it has no domain name".into());
    }
    match pair.chain.above().next() {
        None if !leaf.is_self_issued() => {
            return Some(
                "the certificate of its issuer is missing: it belongs behind it in tls.crt, or into ca.crt".into(),
            );
        }
        Some(issuer) if issuer.algorithm.is_some_and(|own| own.family() != algorithm.family()) => {
            return Some("its key is of another family than the key of its issuer".into());
        }
        _ => {}
    }
    let bytes = leaf.to_pem().len();
    if bytes > LONGEST_CERTIFICATE {
        return Some(format!("the certificate has {bytes} bytes, and ACM takes {LONGEST_CERTIFICATE}"));
    }
    let bytes = PrivateKey::acm_pem_size(algorithm);
    (bytes > LONGEST_KEY).then(|| format!("its key has {bytes} bytes, and ACM takes {LONGEST_KEY}"))
}

/// Why ACM would not import it in place of what it has under an ARN.
///
/// # Errors
/// What has to be looked at before that can be said: DescribeCertificate may tell of no usages where there are some.
pub(super) fn misfit(
    o: &Observed,
    target: &Target,
    seen: &TargetObserved,
    arn: &CertificateArn,
    installed: &Installed,
) -> Result<Option<Refusal>, Need> {
    let Some(secret) = o.certificate.spec.source_secret() else { return Ok(None) };
    let Some(leaf) = o.current().map(|pair| &pair.chain.leaf) else { return Ok(None) };
    let Some(planned) = adoption::planned(leaf) else { return Ok(None) };
    let mut there = described(&installed.description);
    let mut problems = Vec::new();
    if !introduced_problems(&there, &planned).is_empty() {
        let Some(body) = &seen.body else { return Err(Need::Read(Read::Body(target.name.clone(), arn.clone()))) };
        let body = body.as_ref().and_then(|der| X509::from_der(der).ok());
        problems = body.map(|it| introduced_problems(&CurrentInAcm::of_certificate(&it), &planned)).unwrap_or_default();
    }
    // Also those that no request of ours can ask for.
    let comes = CurrentInAcm::of_certificate(leaf);
    there.key_usages.retain(|usage| !comes.key_usages.contains(usage));
    there.extended_key_usages.retain(|usage| !comes.extended_key_usages.contains(usage));
    problems.extend(reimport_problems(&there, &planned));
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let message = format!(
        "ACM would refuse what is in the Secret {secret:?} in place of the certificate under {arn} (target {}), so it is not imported \
         there: {}; have its keeper undo that, or deliver to another target",
        target.name,
        problems.join("; ")
    );
    Ok((!problems.is_empty()).then_some(Refusal { reason: adoption::MISFIT, message }))
}

/// Whether a target has the certificate with another chain, or another certificate with its serial number: whoever keeps a source
/// may count as they like.
pub(super) fn chain_differs(o: &Observed, status: &TargetStatus) -> bool {
    let serial = || o.current().map(|pair| pair.chain.leaf.serial.to_string());
    let there = status.content_digest.as_deref();
    there.is_some() && o.content().is_some_and(|content| Some(&*content) != there) && status.serial_number == serial()
}

/// Whether ACM has another certificate, or another chain, though the serial number is the one of the source.
///
/// # Errors
/// What has to be looked at: where nothing is known of what was imported, the certificate itself tells.
pub(super) fn is_another(
    o: &Observed,
    target: &Target,
    seen: &TargetObserved,
    status: &TargetStatus,
    arn: &CertificateArn,
) -> Result<bool, Need> {
    let Some(pair) = o.certificate.spec.source_secret().and_then(|_| o.current()) else { return Ok(false) };
    if status.content_digest.is_some() {
        return Ok(chain_differs(o, status));
    }
    let Some(body) = &seen.body else { return Err(Need::Read(Read::Body(target.name.clone(), arn.clone()))) };
    Ok(body.as_ref() != Some(&pair.chain.leaf.der))
}

/// The names of a certificate, as ACM knows it: where it has no alternative names, its common name is one.
pub(super) fn names(leaf: &X509) -> Names {
    let mut names = leaf.names.clone();
    if names.dns.is_empty() {
        names.dns.extend(Names::new(&leaf.common_name, &[], &[], &[]).unwrap_or_default().dns);
    }
    names
}

/// The revision of what the source holds: each certificate that is not the one before is one.
pub(super) fn revision(o: &Observed, stored: i64) -> i64 {
    let known = o.certificate.status.as_ref().and_then(|s| s.fingerprint.as_deref());
    match &o.pair {
        Some(Ok(pair)) if known != Some(&*pair.chain.leaf.fingerprint()) => stored + 1,
        _ => stored,
    }
}

/// Why there is a new revision of what a source holds.
pub(super) fn trigger(o: &Observed, after: &CertificateStatus) -> Option<&'static str> {
    o.certificate.spec.source_secret().map(|_| if after.history.is_empty() { IMPORTED } else { CHANGED })
}

/// The names by which ACM may know what was imported, or is about to be.
pub(super) fn known_names(o: &Observed, after: &CertificateStatus) -> Vec<String> {
    let leaf = o.certificate.spec.source_secret().and_then(|_| o.current()).map(|pair| &pair.chain.leaf);
    let mut known: Vec<String> = leaf.and_then(|leaf| names(leaf).dns.into_iter().next()).into_iter().collect();
    let unknown = after.targets.iter().any(|target| target.arn.is_none());
    for name in after.known_names.iter().filter(|_| unknown) {
        if !known.contains(name) && known.len() < MOST_NAMES {
            known.push(name.clone());
        }
    }
    known
}

/// When the certificate of a source ends soon.
fn soon(leaf: &X509) -> Timestamp {
    let (part, most) = SOON;
    let before = (leaf.not_after.duration_since(leaf.not_before) / part).min(most);
    leaf.not_after.saturating_sub(before).unwrap_or(leaf.not_after)
}

/// Until the next look at the Secret: after half an hour, or when it is to be told how it stands.
fn rest(o: &Observed, now: Timestamp) -> SignedDuration {
    let look = super::rest(o, now);
    let Some(pair) = o.current() else { return look };
    let leaf = &pair.chain.leaf;
    let told = [soon(leaf), leaf.not_after].into_iter().filter(|at| *at > now).min();
    told.map_or(look, |at| look.min(at.duration_since(now).max(SignedDuration::from_secs(1))))
}

/// What is said of a source that can't be delivered: what was imported last still stands, or there is nothing.
pub(super) fn not_delivering(
    o: &Observed,
    after: &CertificateStatus,
    why: &Refusal,
    now: Timestamp,
) -> Option<Finding> {
    o.certificate.spec.source_secret()?;
    let mut named = after.targets.iter().filter(|t| is_named(o, &t.name)).peekable();
    let delivered = named.peek().is_some() && named.all(|t| t.serial_number.is_some());
    let ends = after.not_after.as_ref().map(|t| t.0).filter(|ends| delivered && *ends > now);
    Some(match ends {
        None => Finding::no(READY, why.reason, &*why.message),
        Some(ends) => {
            let message = format!("What was imported last is valid until {ends}, but {}: {}", why.reason, why.message);
            Finding::yes(READY, "UpToDate", message)
        }
    })
}

/// What is said of a source that is delivered.
pub(super) fn delivering(o: &Observed, now: Timestamp) -> Option<(&'static str, String)> {
    let name = o.certificate.spec.source_secret()?;
    let leaf = &o.current()?.chain.leaf;
    let secret = o.secret.as_ref()?.as_ref()?;
    let ends = whole_seconds(leaf.not_after);
    Some(if soon(leaf) <= now {
        let keeper = match secret.annotation("cert-manager.io/certificate-name") {
            Some(keeper) => format!("cert-manager's Certificate {:?}", plain(keeper, LONGEST_WORD)),
            None => "its keeper".into(),
        };
        (
            ENDS_SOON,
            format!(
                "The certificate in the Secret {name:?} ends at {ends}, and {keeper} has not renewed it yet; nothing is renewed from here"
            ),
        )
    } else {
        ("UpToDate", format!("Valid until {ends}; {}", kept_by(name)))
    })
}

/// Who renews, for people.
pub(super) fn kept_by(secret: &str) -> String {
    format!("it is renewed by whoever keeps the Secret {secret:?}, and imported again when that changes")
}

/// It ends soon, and that is news.
pub(super) fn events(before: &CertificateStatus, after: &CertificateStatus) -> Option<Event> {
    fn soon(status: &CertificateStatus) -> Option<&Condition> {
        status.conditions.iter().find(|c| c.type_ == READY && c.reason == ENDS_SOON)
    }
    let told = soon(after).filter(|_| soon(before).is_none())?;
    Some(Event { warning: true, reason: ENDS_SOON.into(), note: told.message.clone() })
}
