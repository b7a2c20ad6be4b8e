//! Whether a signature was made with a key.

use super::{Problem, algorithm::KeyAlgorithm};
use aws_lc_rs::{
    digest::{Context, SHA256},
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
        ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
        ECDSA_P521_SHA512_ASN1, UnparsedPublicKey, VerificationAlgorithm,
    },
};
use std::{
    collections::HashSet,
    mem,
    sync::{LazyLock, Mutex, PoisonError},
};
use x509_parser::{
    der_parser::asn1_rs::BitString,
    oid_registry::{
        OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
        OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
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
    let digest = digest(key, algorithm, signature, data);
    let fitted = || FITTED.lock().unwrap_or_else(PoisonError::into_inner);
    if fitted().has(&digest) {
        return Ok(());
    }
    check(key, algorithm, signature, data)?;
    fitted().put(digest);
    Ok(())
}

/// Every pass looks at the same request and chain once more, and every chain has the same root: what fitted once is not
/// computed again.
static FITTED: LazyLock<Mutex<Fitted>> = LazyLock::new(Mutex::default);

/// Neither set holds more; the two take half a MiB at most.
const MOST: usize = 4096;

/// Digests of what fitted lately; what is asked for stays.
#[derive(Default)]
struct Fitted {
    young: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
}

impl Fitted {
    fn has(&mut self, digest: &[u8; 32]) -> bool {
        if self.young.contains(digest) {
            return true;
        }
        let was = self.old.contains(digest);
        if was {
            self.put(*digest);
        }
        was
    }

    fn put(&mut self, digest: [u8; 32]) {
        if self.young.len() >= MOST {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(digest);
    }
}

/// The SHA-256 of all that decides whether a signature fits, each part behind its length.
fn digest(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    signature: &BitString<'_>,
    data: &[u8],
) -> [u8; 32] {
    let parameters = algorithm.parameters.as_ref();
    let tag = parameters.map_or(0, |any| any.tag().0).to_be_bytes();
    let parameters = parameters.map_or(&[][..], |any| any.data);
    let mut context = Context::new(&SHA256);
    for part in [key.raw, algorithm.algorithm.as_bytes(), &tag, parameters, &signature.data, data] {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

fn check(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    signature: &BitString<'_>,
    data: &[u8],
) -> Result<(), Problem> {
    let wrong = || Problem::new("the signature does not fit");
    let oid = &algorithm.algorithm;
    if [OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA].contains(oid) {
        return verify_signature(key, algorithm, signature, data).map_err(|_| wrong());
    }
    if *oid == OID_PKCS1_RSASSAPSS {
        let wrong = "the signature does not fit; of RSA-PSS, only salts as long as the digest are supported";
        return verify_signature(key, algorithm, signature, data).map_err(|_| Problem::new(wrong));
    }
    let unsupported = || {
        Problem::new(format!(
            "the signature algorithm {oid} is not supported: RSA or ECDSA with SHA-256, 384 or 512 is"
        ))
    };
    let ecdsa = ecdsa(algorithm, key).ok_or_else(unsupported)?;
    UnparsedPublicKey::new(ecdsa, &key.subject_public_key.data).verify(data, &signature.data).map_err(|_| wrong())
}

/// x509-parser knows neither P-521 nor ECDSA with SHA-512, so ECDSA is checked here.
fn ecdsa(
    algorithm: &AlgorithmIdentifier<'_>,
    key: &SubjectPublicKeyInfo<'_>,
) -> Option<&'static dyn VerificationAlgorithm> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: usize) -> [u8; 32] {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        digest
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let mut fitted = Fitted::default();
        for n in 0..10 * MOST {
            fitted.put(number(n));
            assert!(fitted.has(&number(0)), "after {n}");
            assert!(fitted.young.len() + fitted.old.len() <= 2 * MOST);
        }
        assert!(fitted.has(&number(10 * MOST - 1)) && !fitted.has(&number(MOST)));
    }
}
