//! Calls to ACM about certificates that it issues itself, from a private CA (ACM API reference).

use super::acm::{once, to_sdk};
use crate::{
    api::names::CertificateArn,
    aws::{
        classify::{from_sdk, unexpected},
        error::{AwsError, Kind},
        port::{CertificateOrder, Exported},
    },
    pki::key::PrivateKey,
};
use aws_lc_rs::rand;
use aws_sdk_acm::{Client, operation::renew_certificate::RenewCertificateError, primitives::Blob};
use std::fmt::Write as _;
use zeroize::Zeroizing;

const REQUEST: &str = "acm:RequestCertificate";
pub(super) const RENEW: &str = "acm:RenewCertificate";
pub(super) const EXPORT: &str = "acm:ExportCertificate";

/// Random bytes of a passphrase. ACM takes 4 to 128 characters, none of them `#`, `$` or `%` (ExportCertificate, Passphrase).
const PASSPHRASE: usize = 32;

/// One attempt: what makes a new ARN is never repeated blindly, whatever its token.
pub(super) async fn request(client: &Client, order: &CertificateOrder) -> Result<CertificateArn, AwsError> {
    let tags = if order.tags.is_empty() { None } else { Some(to_sdk(REQUEST, &order.tags)?) };
    let others = (!order.additional_names.is_empty()).then(|| order.additional_names.clone());
    let answer = client
        .request_certificate()
        .certificate_authority_arn(order.authority.as_str())
        .domain_name(&order.domain_name)
        .set_subject_alternative_names(others)
        .key_algorithm(order.algorithm.acm_name().into())
        .idempotency_token(&order.idempotency_token)
        .set_tags(tags)
        .customize()
        .config_override(once())
        .send()
        .await
        .map_err(|error| from_sdk(REQUEST, &error))?;
    let arn = answer.certificate_arn().and_then(|arn| arn.parse().ok());
    arn.ok_or_else(|| unexpected(REQUEST, "ARN of the certificate"))
}

pub(super) async fn renew(client: &Client, arn: &CertificateArn) -> Result<(), AwsError> {
    match client.renew_certificate().certificate_arn(arn.as_str()).send().await {
        Err(error) if error.as_service_error().is_some_and(RenewCertificateError::is_request_in_progress_exception) => {
            Ok(())
        }
        answer => answer.map(|_| ()).map_err(|error| from_sdk(RENEW, &error)),
    }
}

/// The key comes encrypted by a passphrase that is used once and forgotten.
pub(super) async fn export(client: &Client, arn: &CertificateArn) -> Result<Exported, AwsError> {
    let passphrase = passphrase()?;
    let export = client.export_certificate().certificate_arn(arn.as_str()).passphrase(Blob::new(passphrase.as_bytes()));
    let mut answer = export.send().await.map_err(|error| from_sdk(EXPORT, &error))?;
    let encrypted = answer.private_key.take().map(Zeroizing::new).ok_or_else(|| unexpected(EXPORT, "private key"))?;
    let certificate = answer.certificate.take().ok_or_else(|| unexpected(EXPORT, "certificate"))?;
    // The passphrase is stretched by design: that takes a while.
    let decrypt = move || PrivateKey::from_encrypted_pem(&encrypted, &passphrase).map_err(|error| error.to_string());
    let key = tokio::task::spawn_blocking(decrypt).await;
    let key = key.map_err(|_| unexpected(EXPORT, "private key: it could not be decrypted"))?;
    Ok(Exported { certificate, chain: answer.certificate_chain.take().unwrap_or_default(), key })
}

fn passphrase() -> Result<Zeroizing<String>, AwsError> {
    let mut bytes = Zeroizing::new([0_u8; PASSPHRASE]);
    rand::fill(&mut *bytes).map_err(|_| AwsError {
        kind: Kind::Transient,
        action: EXPORT,
        code: None,
        message: "there are no random bytes for a passphrase".into(),
    })?;
    let mut text = Zeroizing::new(String::with_capacity(2 * PASSPHRASE));
    for byte in bytes.iter() {
        // Writing into a String can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_long_random_and_of_characters_that_acm_takes() {
        let (one, two) = (passphrase().unwrap(), passphrase().unwrap());
        assert_ne!(*one, *two);
        assert_eq!(one.len(), 64);
        assert!(one.bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
