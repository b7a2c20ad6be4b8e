//! Calls to AWS Private CA (Private CA API reference).

use super::timestamp;
use crate::{
    api::names::{AuthorityArn, IssuedArn, Located, Region},
    aws::{
        classify::{from_sdk, unexpected, unusable},
        clients::Caller,
        error::AwsError,
        paced::{Gate, quotas::Operation},
        port::{Authority, AuthorityState, Issue, PemChain},
    },
    pki::algorithm::KeyAlgorithm,
};
use aws_sdk_acmpca::{
    operation::get_certificate::GetCertificateError,
    primitives::Blob,
    types::{
        CertificateAuthority, CertificateAuthorityStatus, CertificateAuthorityUsageMode, SigningAlgorithm, Validity,
        ValidityPeriodType,
    },
};

pub(super) const DESCRIBE: &str = "acm-pca:DescribeCertificateAuthority";
pub(super) const GET_OWN: &str = "acm-pca:GetCertificateAuthorityCertificate";
pub(super) const ISSUE: &str = "acm-pca:IssueCertificate";
pub(super) const GET: &str = "acm-pca:GetCertificate";
const LIST: &str = "acm-pca:ListCertificateAuthorities";

type Client = Caller<aws_sdk_acmpca::Client>;

/// The largest page (ListCertificateAuthorities, MaxResults).
const PAGE: i32 = 1000;

pub(super) async fn list(client: &Client, gate: &Gate, region: &Region) -> Result<Vec<Authority>, AwsError> {
    let list = client.list_certificate_authorities().max_results(PAGE);
    let page = async |token| {
        let answer =
            Box::pin(list.clone().set_next_token(token).customize().config_override(client.own()).send()).await;
        answer.map_err(|error| from_sdk(LIST, &error))
    };
    let mut answer = page(None).await?;
    let mut authorities = vec![];
    loop {
        authorities.extend(answer.certificate_authorities().iter().filter_map(authority));
        let Some(token) = answer.next_token.filter(|token| !token.is_empty()) else { return Ok(authorities) };
        answer = gate.patiently(Operation::ListCertificateAuthorities, region, || page(Some(token.clone()))).await?;
    }
}

pub(super) async fn describe(client: &Client, arn: &AuthorityArn) -> Result<Authority, AwsError> {
    let answer = client
        .describe_certificate_authority()
        .certificate_authority_arn(arn.as_str())
        .customize()
        .config_override(client.own())
        .send()
        .await;
    let answer = answer.map_err(|error| from_sdk(DESCRIBE, &error))?;
    answer.certificate_authority().and_then(authority).ok_or_else(|| unexpected(DESCRIBE, "private CA"))
}

/// None: it has no ARN that could be used.
fn authority(found: &CertificateAuthority) -> Option<Authority> {
    let arn: AuthorityArn = found.arn()?.parse().ok()?;
    let configuration = found.certificate_authority_configuration();
    let algorithm_name = configuration.map(|c| c.key_algorithm().as_str().to_owned()).unwrap_or_default();
    Some(Authority {
        region: arn.region().parse().ok()?,
        arn,
        common_name: configuration.and_then(|c| c.subject()?.common_name().map(str::to_owned)),
        state: state(found.status()),
        state_name: found.status().map_or("UNKNOWN", CertificateAuthorityStatus::as_str).to_owned(),
        algorithm: KeyAlgorithm::from_acm_name(&algorithm_name),
        algorithm_name,
        short_lived: found.usage_mode() == Some(&CertificateAuthorityUsageMode::ShortLivedCertificate),
        not_after: found.not_after().and_then(timestamp),
    })
}

/// A state that AWS adds one day is taken for one that passes: nothing is asked of the CA until it is active.
fn state(status: Option<&CertificateAuthorityStatus>) -> AuthorityState {
    match status {
        Some(CertificateAuthorityStatus::Active) => AuthorityState::Active,
        Some(CertificateAuthorityStatus::Disabled) => AuthorityState::Disabled,
        Some(CertificateAuthorityStatus::Expired) => AuthorityState::Expired,
        Some(CertificateAuthorityStatus::Failed | CertificateAuthorityStatus::Deleted) => AuthorityState::Gone,
        _ => AuthorityState::NotReady,
    }
}

pub(super) async fn own_certificate(client: &Client, arn: &AuthorityArn) -> Result<PemChain, AwsError> {
    let answer = client
        .get_certificate_authority_certificate()
        .certificate_authority_arn(arn.as_str())
        .customize()
        .config_override(client.own())
        .send()
        .await;
    let answer = answer.map_err(|error| from_sdk(GET_OWN, &error))?;
    let certificate = answer.certificate.ok_or_else(|| unexpected(GET_OWN, "certificate"))?;
    Ok(PemChain { certificate, chain: answer.certificate_chain.unwrap_or_default() })
}

pub(super) async fn issue(client: &Client, issue: &Issue) -> Result<IssuedArn, AwsError> {
    let until = Validity::builder().value(issue.not_after.as_second()).r#type(ValidityPeriodType::Absolute).build();
    let answer = client
        .issue_certificate()
        .certificate_authority_arn(issue.authority.as_str())
        .csr(Blob::new(issue.csr.as_bytes()))
        .signing_algorithm(signing_algorithm(issue.authority_algorithm))
        .template_arn(issue.template.as_str())
        .validity(until.map_err(|error| unusable(ISSUE, &error))?)
        .idempotency_token(&issue.idempotency_token)
        .customize()
        .config_override(client.own())
        .send()
        .await
        .map_err(|error| from_sdk(ISSUE, &error))?;
    answer.certificate_arn().and_then(|arn| arn.parse().ok()).ok_or_else(|| unexpected(ISSUE, "ARN of the certificate"))
}

/// The digest has the strength of the CA's key.
fn signing_algorithm(authority: KeyAlgorithm) -> SigningAlgorithm {
    match authority {
        KeyAlgorithm::Rsa1024 | KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
            SigningAlgorithm::Sha256Withrsa
        }
        KeyAlgorithm::EcPrime256v1 => SigningAlgorithm::Sha256Withecdsa,
        KeyAlgorithm::EcSecp384r1 => SigningAlgorithm::Sha384Withecdsa,
        KeyAlgorithm::EcSecp521r1 => SigningAlgorithm::Sha512Withecdsa,
    }
}

pub(super) async fn issued(client: &Client, arn: &IssuedArn) -> Result<Option<PemChain>, AwsError> {
    // <CA's ARN>/certificate/<serial>, which the type ensures.
    let authority = arn.as_str().split("/certificate/").next().unwrap_or_default();
    let call = client.get_certificate().certificate_authority_arn(authority).certificate_arn(arn.as_str());
    let answer = match call.customize().config_override(client.own()).send().await {
        Err(error) if error.as_service_error().is_some_and(GetCertificateError::is_request_in_progress_exception) => {
            return Ok(None);
        }
        answer => answer.map_err(|error| from_sdk(GET, &error))?,
    };
    let certificate = answer.certificate.ok_or_else(|| unexpected(GET, "certificate"))?;
    Ok(Some(PemChain { certificate, chain: answer.certificate_chain.unwrap_or_default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_new_to_us_is_not_ready() {
        assert_eq!(state(Some(&"PAUSED".into())), AuthorityState::NotReady);
        assert_eq!(state(None), AuthorityState::NotReady);
        assert_eq!(state(Some(&CertificateAuthorityStatus::Deleted)), AuthorityState::Gone);
        assert_eq!(state(Some(&CertificateAuthorityStatus::PendingCertificate)), AuthorityState::NotReady);
    }

    #[test]
    fn the_signature_is_made_with_the_authoritys_key() {
        for (algorithm, signature) in [
            (KeyAlgorithm::Rsa4096, "SHA256WITHRSA"),
            (KeyAlgorithm::EcPrime256v1, "SHA256WITHECDSA"),
            (KeyAlgorithm::EcSecp384r1, "SHA384WITHECDSA"),
            (KeyAlgorithm::EcSecp521r1, "SHA512WITHECDSA"),
        ] {
            assert_eq!(signing_algorithm(algorithm).as_str(), signature);
        }
    }
}
