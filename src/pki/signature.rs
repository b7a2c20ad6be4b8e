//! Whether a signature was made with a key.

use super::{Problem, algorithm::KeyAlgorithm};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, UnparsedPublicKey,
    VerificationAlgorithm,
};
use x509_parser::{
    der_parser::asn1_rs::BitString,
    oid_registry::{
        OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
        OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
    },
    verify::verify_signature,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo},
};

/// Checks a signature over `data`. SHA-1 and whatever AWS Private CA does not sign with is refused.
pub(super) fn verify(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    signature: &BitString<'_>,
    data: &[u8],
) -> Result<(), Problem> {
    let wrong = || Problem::new("the signature does not fit");
    let oid = &algorithm.algorithm;
    if [OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_PKCS1_RSASSAPSS].contains(oid) {
        return verify_signature(key, algorithm, signature, data).map_err(|_| wrong());
    }
    let unsupported = || Problem::new(format!("the signature algorithm {oid} is not supported: RSA or ECDSA with SHA-256, 384 or 512 is"));
    let ecdsa = ecdsa(algorithm, key).ok_or_else(unsupported)?;
    UnparsedPublicKey::new(ecdsa, &key.subject_public_key.data).verify(data, &signature.data).map_err(|_| wrong())
}

/// x509-parser knows neither P-521 nor ECDSA with SHA-512, so ECDSA is checked here.
fn ecdsa(algorithm: &AlgorithmIdentifier<'_>, key: &SubjectPublicKeyInfo<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    let digest = [OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512]
        .iter()
        .position(|oid| *oid == algorithm.algorithm)?;
    Some(match (KeyAlgorithm::of_public_key(key)?, digest) {
        (KeyAlgorithm::EcPrime256v1, 0) => &ECDSA_P256_SHA256_ASN1,
        (KeyAlgorithm::EcPrime256v1, 1) => &ECDSA_P256_SHA384_ASN1,
        (KeyAlgorithm::EcPrime256v1, _) => &ECDSA_P256_SHA512_ASN1,
        (KeyAlgorithm::EcSecp384r1, 0) => &ECDSA_P384_SHA256_ASN1,
        (KeyAlgorithm::EcSecp384r1, 1) => &ECDSA_P384_SHA384_ASN1,
        (KeyAlgorithm::EcSecp384r1, _) => &ECDSA_P384_SHA512_ASN1,
        (KeyAlgorithm::EcSecp521r1, 0) => &ECDSA_P521_SHA256_ASN1,
        (KeyAlgorithm::EcSecp521r1, 1) => &ECDSA_P521_SHA384_ASN1,
        (KeyAlgorithm::EcSecp521r1, _) => &ECDSA_P521_SHA512_ASN1,
        _ => return None,
    })
}
