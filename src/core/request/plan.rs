//! What is asked of the private CA, and what is refused before it is asked.

use crate::{
    api::{
        CertificateRequest,
        names::{AuthorityArn, Located, TemplateArn},
        request::CertificateRequestSpec,
        shared::{KeyKind, KeySpec, Usage},
    },
    aws::port::Authority,
    core::{access::Refusal, authority::KnownAuthority, hex, template},
    pki::{
        algorithm::{KeyAlgorithm, KeyFamily},
        csr::Csr,
    },
};
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// One call of IssueCertificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The CA.
    pub authority: AuthorityArn,
    /// The algorithm of the CA's key.
    pub authority_algorithm: KeyAlgorithm,
    /// The CSR, PEM.
    pub csr: String,
    /// The template.
    pub template: TemplateArn,
    /// The end of validity.
    pub not_after: Timestamp,
    /// Makes a repeat harmless.
    pub token: String,
    /// The attempt that carries the call.
    pub attempt: i32,
}

/// The idempotency token: 36 hexadecimal characters of a digest over the request's uid and its CSR.
///
/// A request made again under the same name has another uid, so it never gets the earlier one's certificate.
#[must_use]
pub fn token(uid: &str, csr: &Csr) -> String {
    let mut input = uid.as_bytes().to_vec();
    input.push(0);
    input.extend_from_slice(csr.digest().as_ref());
    hex(digest(&SHA256, &input).as_ref(), 18)
}

/// What is wrong with a request by itself, whatever the rest of the world is like.
pub(super) fn check(spec: &CertificateRequestSpec) -> Result<(), Refusal> {
    let Some(pem) = &spec.csr else { return Ok(()) };
    let csr = Csr::parse(pem).map_err(|e| Refusal { reason: "InvalidCsr", message: format!("spec.csr: {e}") })?;
    if csr.asks_for_ca {
        let message =
            "spec.csr asks for a CA certificate (basic constraints CA:TRUE); only end-entity certificates are signed"
                .into();
        return Err(Refusal { reason: "InvalidCsr", message });
    }
    let (template, passthrough) = chosen(spec)?;
    let asked: BTreeSet<Usage> = csr.usages.iter().copied().collect();
    let wanted: BTreeSet<Usage> = spec.usages.iter().copied().collect();
    if spec.template_arn.is_none() && passthrough && asked != wanted {
        let message = format!(
            "spec.usages fit no base template, so they have to stand in the CSR's own extensions (template {template}), and they do not: \
             make a CSR with these usages, or choose a set such as digital signature, key encipherment, server auth"
        );
        return Err(Refusal { reason: "UsagesNotInCsr", message });
    }
    Ok(())
}

fn chosen(spec: &CertificateRequestSpec) -> Result<(TemplateArn, bool), Refusal> {
    if let Some(template) = &spec.template_arn {
        return Ok((template.clone(), template::copies_csr(template)));
    }
    template::for_usages(&spec.usages, &spec.region)
        .map_err(|e| Refusal { reason: "InvalidTemplate", message: e.to_string() })
}

/// The call, once everything is known.
pub(super) fn plan(
    request: &CertificateRequest,
    authority: &Authority,
    csr: &Csr,
    not_after: Timestamp,
) -> Result<Plan, Refusal> {
    let (template, _) = chosen(&request.spec)?;
    let partition = authority.arn.partition();
    if template.as_str().split(':').nth(1) != Some(partition) {
        let message =
            format!("spec.templateArn {template} lies in another AWS partition than the CA, which is in {partition}");
        return Err(Refusal { reason: "InvalidTemplate", message });
    }
    let Some(authority_algorithm) = authority.algorithm else {
        let message = format!("the key of the private CA is {}, which is not supported", authority.algorithm_name);
        return Err(Refusal { reason: "AuthorityUnsupported", message });
    };
    let attempt = request.status.as_ref().and_then(|s| s.attempt.as_ref()).map_or(1, |a| a.number);
    Ok(Plan {
        authority: authority.arn.clone(),
        authority_algorithm,
        csr: csr.pem.clone(),
        template,
        not_after,
        token: token(request.metadata.uid.as_deref().unwrap_or_default(), csr),
        attempt,
    })
}

/// The algorithm of a key to make: as asked for, else of the CA's own family (ACM takes no other).
///
/// # Errors
/// If the family has no key of the size that is asked for.
pub fn algorithm(spec: Option<&KeySpec>, authority: &KnownAuthority) -> Result<KeyAlgorithm, String> {
    let asked = spec.and_then(|s| s.algorithm).map(|kind| match kind {
        KeyKind::RSA => KeyFamily::Rsa,
        KeyKind::ECDSA => KeyFamily::Ecdsa,
    });
    let own = authority.authority.algorithm.map(KeyAlgorithm::family);
    let family = asked.or(own).unwrap_or(KeyFamily::Ecdsa);
    KeyAlgorithm::from_family_and_size(family, spec.and_then(|s| s.size)).map_err(|e| e.to_string())
}
