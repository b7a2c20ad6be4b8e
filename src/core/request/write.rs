//! What is written for a request with a subject: the staged key, and the Secret. Pure: the objects are built here.

use super::{Observed, staged_name};
use crate::{
    api::CertificateRequest,
    core::{
        certificate::wanted,
        secret::{self, Content, SecretObject},
        template,
    },
    pki::{
        certificate::{parse_pem, parse_pem_bundle},
        chain::Chain,
        csr,
        key::PrivateKey,
        verify,
    },
};
use kube::{Resource, ResourceExt};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The Secret with the key that was made for a request, and its CSR.
///
/// # Errors
/// If the subject makes no CSR.
pub fn staged(request: &CertificateRequest, key: &PrivateKey) -> Result<SecretObject, String> {
    let spec = &request.spec;
    let subject = spec.subject.as_ref().ok_or("spec.subject is missing")?;
    let subject = wanted::subject_request(subject).map_err(|e| format!("spec.subject: {e}"))?;
    let (_, passthrough) = template::for_usages(&spec.usages, &spec.region).map_err(|e| e.to_string())?;
    let copies = spec.template_arn.as_ref().map_or(passthrough, template::copies_csr);
    let usages = if spec.usages.is_empty() { &template::DEFAULT_USAGES[..] } else { &spec.usages };
    let csr = csr::create_csr(key, &subject, copies.then_some(usages)).map_err(|e| format!("spec.subject: {e}"))?;
    let content = Content {
        data: BTreeMap::from([("tls.key", key.to_pkcs8_pem()), ("tls.csr", Zeroizing::new(csr))]),
        annotations: secret::request_annotations(&request.name_any()),
        labels: BTreeMap::new(),
        owner: request.controller_owner_ref(&()),
    };
    let namespace = request.namespace().unwrap_or_default();
    Ok(secret::write(None, &namespace, &staged_name(&request.name_any()), "Opaque", content))
}

/// The Secret with key and certificate. It outlives the request.
///
/// # Errors
/// If key or certificate are missing; `decide` has checked that they are there.
pub fn issued(o: &Observed) -> Result<SecretObject, String> {
    let answer = o.answer.as_ref().ok_or("the certificate is missing")?;
    let staged = o.staged.as_ref().and_then(|s| s.as_ref()).ok_or("the staged key is gone: make a new request")?;
    let leaf = parse_pem(&answer.certificate).map_err(|e| e.to_string())?;
    let above = o.authority.iter().flatten().next().map(|authority| authority.above.clone()).unwrap_or_default();
    let chain = parse_pem_bundle(&answer.chain)
        .and_then(|chain| Chain::in_order(leaf, chain))
        .and_then(|chain| verify::complete(chain, &above))
        .map_err(|e| e.to_string())?;
    let key = staged.text("tls.key").ok_or("the staged key is gone: make a new request")?;
    let mut data = BTreeMap::from([
        ("tls.crt", Zeroizing::new(chain.tls_crt())),
        ("tls.key", key),
        ("ca.crt", Zeroizing::new(chain.ca_crt())),
    ]);
    if let Some(csr) = staged.text("tls.csr") {
        data.insert("tls.csr", csr);
    }
    let name = o.request.spec.secret_name.as_deref().unwrap_or_default();
    let content = Content {
        data,
        annotations: secret::request_annotations(&o.request.name_any()),
        labels: BTreeMap::new(),
        owner: None,
    };
    let existing = o.secret.as_ref().and_then(|s| s.as_ref());
    let namespace = o.request.namespace().unwrap_or_default();
    Ok(secret::write(existing, &namespace, name, "kubernetes.io/tls", content))
}
