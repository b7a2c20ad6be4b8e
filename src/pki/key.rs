//! Private keys. What is kept of one is wiped when it is dropped; the copy inside of aws-lc is wiped by aws-lc.

use super::{Problem, algorithm::KeyAlgorithm, pem};
use pkcs8::{
    AlgorithmIdentifierRef, ObjectIdentifier, PrivateKeyInfo, SecretDocument,
    der::{Decode, Encode, asn1::AnyRef},
};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_RSA_SHA256, PublicKeyData,
    RsaKeySize, SignatureAlgorithm,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use sec1::{EcParameters, EcPrivateKey};
use x509_parser::{prelude::FromDer, x509::SubjectPublicKeyInfo};
use zeroize::{Zeroize, Zeroizing};

/// The longest PEM text that a key is read from, in bytes: several times an RSA key of 4096 bits.
pub(super) const LONGEST_PEM: usize = 16 * 1024;

/// rsaEncryption (RFC 8017, appendix A.1).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// id-ecPublicKey and the curves (RFC 5480, section 2.1.1).
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

const PKCS8_LABEL: &str = "PRIVATE KEY";
const PKCS1_LABEL: &str = "RSA PRIVATE KEY";
const SEC1_LABEL: &str = "EC PRIVATE KEY";

/// A private key. It has no `Debug` and no `Clone`, so that it is not written or copied by accident.
pub struct PrivateKey {
    /// Its DER is PKCS #8.
    pair: KeyPair,
    algorithm: KeyAlgorithm,
    /// PKCS #1, or SEC1 with the named curve, DER.
    own_format: Zeroizing<Vec<u8>>,
    public_key: Vec<u8>,
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.pair.zeroize();
    }
}

impl PrivateKey {
    /// Makes a key. RSA keys take a while: do not call it where others wait.
    ///
    /// # Errors
    /// For RSA with 1024 bits, which is too weak to be made, or if aws-lc fails.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, Problem> {
        let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size);
        let pair = match algorithm {
            KeyAlgorithm::Rsa1024 => {
                return Err(Problem::new("an RSA key of 1024 bits is too weak to be made: use 2048, 3072 or 4096"));
            }
            KeyAlgorithm::Rsa2048 => rsa(RsaKeySize::_2048),
            KeyAlgorithm::Rsa3072 => rsa(RsaKeySize::_3072),
            KeyAlgorithm::Rsa4096 => rsa(RsaKeySize::_4096),
            KeyAlgorithm::EcPrime256v1 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyAlgorithm::EcSecp384r1 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            KeyAlgorithm::EcSecp521r1 => KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
        };
        Self::of_pair(pair.map_err(|_| Problem::new("the key could not be made"))?)
    }

    /// Reads a key in PEM: PKCS #8, PKCS #1 or SEC1, unencrypted, RSA 2048/3072/4096 or ECDSA P-256/384/521.
    ///
    /// # Errors
    /// A sentence that says what is allowed; it never quotes the text.
    pub fn from_pem(text: &str) -> Result<Self, Problem> {
        let mut blocks = pem::blocks(text, LONGEST_PEM)?;
        // OpenSSL writes the curve in a block of its own before the key, which names it again.
        blocks.retain(|block| block.label != "EC PARAMETERS");
        let block = match blocks.as_slice() {
            [block] => block,
            [] => return Err(Problem::new("there is no private key: it begins with -----BEGIN PRIVATE KEY-----")),
            _ => return Err(Problem::new("there is more than one PEM block where one private key belongs")),
        };
        match block.label {
            PKCS8_LABEL => Self::from_pkcs8(&block.der),
            PKCS1_LABEL => Self::from_pkcs8(pkcs8(RSA, AnyRef::NULL, &block.der)?.as_bytes()),
            SEC1_LABEL => {
                let key = EcPrivateKey::from_der(&block.der).map_err(|_| unreadable())?;
                let curve = key
                    .parameters
                    .and_then(EcParameters::named_curve)
                    .ok_or_else(|| Problem::new("the EC key names no curve"))?;
                let inner = EcPrivateKey { parameters: None, ..key };
                let inner = SecretDocument::encode_msg(&inner).map_err(|_| unreadable())?;
                Self::from_pkcs8(pkcs8(EC, AnyRef::from(&curve), inner.as_bytes())?.as_bytes())
            }
            "ENCRYPTED PRIVATE KEY" => {
                Err(Problem::new("the private key is encrypted: only unencrypted keys can be used"))
            }
            _ => Err(Problem::new(
                "the PEM block is no private key: PRIVATE KEY, RSA PRIVATE KEY and EC PRIVATE KEY are",
            )),
        }
    }

    pub(super) fn from_pkcs8(der: &[u8]) -> Result<Self, Problem> {
        let info = PrivateKeyInfo::from_der(der).map_err(|_| unreadable())?;
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), signing(&info.algorithm)?);
        Self::of_pair(pair.map_err(|_| unreadable())?)
    }

    fn of_pair(mut pair: KeyPair) -> Result<Self, Problem> {
        let public_key = pair.subject_public_key_info();
        let parsed = SubjectPublicKeyInfo::from_der(&public_key).map_err(|_| unreadable())?.1;
        match (KeyAlgorithm::of_public_key(&parsed), own_format(&pair)) {
            (Some(algorithm), Ok(own_format)) => Ok(Self { pair, algorithm, own_format, public_key }),
            (algorithm, _) => {
                pair.zeroize();
                Err(algorithm.map_or_else(unsupported, |_| unreadable()))
            }
        }
    }

    /// Its algorithm.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// Its public key (SubjectPublicKeyInfo, DER).
    #[must_use]
    pub fn public_key_der(&self) -> &[u8] {
        &self.public_key
    }

    /// PKCS #8, as `PRIVATE KEY`.
    #[must_use]
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem::encode(PKCS8_LABEL, self.pair.serialized_der()))
    }

    /// PKCS #8, DER.
    #[must_use]
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.pair.serialized_der().to_vec())
    }

    /// An RSA key as PKCS #1, an EC key as SEC1 with its named curve.
    #[must_use]
    pub fn to_pkcs1_pem(&self) -> Zeroizing<String> {
        let label = if self.is_ec() { SEC1_LABEL } else { PKCS1_LABEL };
        Zeroizing::new(pem::encode(label, &self.own_format))
    }

    /// As ACM takes it (ACM user guide, "Certificate and key format for importing"): EC as SEC1, RSA as PKCS #8.
    #[must_use]
    pub fn to_acm_pem(&self) -> Zeroizing<String> {
        if self.is_ec() { self.to_pkcs1_pem() } else { self.to_pkcs8_pem() }
    }

    /// At least as many bytes as `to_acm_pem` makes for a key of this algorithm.
    #[must_use]
    pub fn acm_pem_size(algorithm: KeyAlgorithm) -> usize {
        let bytes = usize::try_from(algorithm.size()).unwrap_or(usize::MAX / 64).div_ceil(8);
        match algorithm.family() {
            // n and d, five numbers of half the size, the public exponent, and what DER puts around them.
            super::algorithm::KeyFamily::Rsa => pem::encoded_length(PKCS8_LABEL, bytes * 9 / 2 + 96),
            // The private number, the two coordinates of the public point, the curve, and what DER puts around them.
            super::algorithm::KeyFamily::Ecdsa => pem::encoded_length(SEC1_LABEL, bytes * 3 + 48),
        }
    }

    fn is_ec(&self) -> bool {
        self.algorithm.family() == super::algorithm::KeyFamily::Ecdsa
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

pub(super) fn unreadable() -> Problem {
    Problem::new(
        "the private key can't be read: PKCS #8, PKCS #1 and SEC1 can, RSA with 2048, 3072 or 4096 bits or ECDSA on P-256, P-384 or P-521",
    )
}

fn unsupported() -> Problem {
    Problem::new(
        "the kind of the private key is not supported: RSA with 2048, 3072 or 4096 bits and ECDSA on P-256, P-384 or P-521 are",
    )
}

fn signing(algorithm: &AlgorithmIdentifierRef<'_>) -> Result<&'static SignatureAlgorithm, Problem> {
    match (algorithm.oid, algorithm.parameters_oid()) {
        (RSA, _) => Ok(&PKCS_RSA_SHA256),
        (EC, Ok(P256)) => Ok(&PKCS_ECDSA_P256_SHA256),
        (EC, Ok(P384)) => Ok(&PKCS_ECDSA_P384_SHA384),
        (EC, Ok(P521)) => Ok(&PKCS_ECDSA_P521_SHA512),
        _ => Err(unsupported()),
    }
}

fn pkcs8(oid: ObjectIdentifier, parameters: AnyRef<'_>, key: &[u8]) -> Result<SecretDocument, Problem> {
    let info = PrivateKeyInfo::new(AlgorithmIdentifierRef { oid, parameters: Some(parameters) }, key);
    SecretDocument::encode_msg(&info).map_err(|_| unreadable())
}

/// PKCS #1, or SEC1 with the named curve and the public key.
fn own_format(pair: &KeyPair) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let info = PrivateKeyInfo::from_der(pair.serialized_der()).map_err(|_| unreadable())?;
    if info.algorithm.oid == RSA {
        return Ok(Zeroizing::new(info.private_key.to_vec()));
    }
    let curve = info.algorithm.parameters_oid().map_err(|_| unreadable())?;
    let inner = EcPrivateKey::from_der(info.private_key).map_err(|_| unreadable())?;
    let own = EcPrivateKey {
        private_key: inner.private_key,
        parameters: Some(EcParameters::NamedCurve(curve)),
        public_key: Some(pair.der_bytes()),
    };
    own.to_der().map(Zeroizing::new).map_err(|_| unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supported() -> impl Iterator<Item = KeyAlgorithm> {
        KeyAlgorithm::ALL.into_iter().filter(|algorithm| *algorithm != KeyAlgorithm::Rsa1024)
    }

    #[test]
    fn every_format_is_read_back() {
        for algorithm in supported() {
            let key = PrivateKey::generate(algorithm).unwrap();
            assert_eq!(key.algorithm(), algorithm);
            for text in [key.to_pkcs8_pem(), key.to_pkcs1_pem(), key.to_acm_pem()] {
                let again = PrivateKey::from_pem(&text).unwrap();
                assert_eq!(again.algorithm(), algorithm);
                assert_eq!(again.public_key_der(), key.public_key_der());
                assert_eq!(*again.to_acm_pem(), *key.to_acm_pem());
                assert!(again.to_acm_pem().len() <= PrivateKey::acm_pem_size(algorithm), "{algorithm:?}");
            }
            // Written and read once more, the text stays as it is.
            let once = PrivateKey::from_pem(&key.to_pkcs1_pem()).unwrap().to_pkcs8_pem();
            assert_eq!(*PrivateKey::from_pem(&once).unwrap().to_pkcs8_pem(), *once);
            assert!(PrivateKey::acm_pem_size(algorithm) <= 5120);
            let (acm, label) = (key.to_acm_pem(), if key.is_ec() { "EC PRIVATE KEY" } else { "PRIVATE KEY" });
            assert!(acm.starts_with(&format!("-----BEGIN {label}-----\n")));
        }
        assert!(PrivateKey::generate(KeyAlgorithm::Rsa1024).is_err());
    }

    #[test]
    fn the_block_with_the_curve_is_passed_over() {
        let key = PrivateKey::generate(KeyAlgorithm::EcSecp384r1).unwrap();
        let curve = pem::encode("EC PARAMETERS", &P384.to_der().unwrap());
        let text = Zeroizing::new(format!("{curve}{}", *key.to_pkcs1_pem()));
        assert_eq!(PrivateKey::from_pem(&text).unwrap().public_key_der(), key.public_key_der());
    }

    #[test]
    fn what_is_no_key() {
        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let key = PrivateKey::generate(KeyAlgorithm::EcPrime256v1).unwrap();
        let twice = format!("{0}{0}", *key.to_pkcs8_pem());
        let error = |text: &str| PrivateKey::from_pem(text).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error("").contains("no private key"));
        assert!(error(&twice).contains("more than one"));
        assert!(error(&ed25519.serialize_pem()).contains("not supported"));
        assert!(error(&pem::encode("ENCRYPTED PRIVATE KEY", b"abc")).contains("encrypted"));
        assert!(
            error("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n")
                .contains("encrypted")
        );
        assert!(error(&pem::encode("CERTIFICATE", b"abc")).contains("no private key"));
        assert!(error(&pem::encode(PKCS8_LABEL, b"abc")).contains("can't be read"));
        assert!(error(&key.to_pkcs8_pem().replace("PRIVATE KEY", "RSA PRIVATE KEY")).contains("can't be read"));
        assert!(error(&"x".repeat(LONGEST_PEM + 1)).contains("bytes"));
    }
}
