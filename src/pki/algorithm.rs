//! The key algorithms that ACM takes (ACM API reference, DescribeCertificate, KeyAlgorithm).

use super::Problem;
use x509_parser::{
    oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION},
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

/// A family of key algorithms. ACM takes a certificate only if its key and its CA's key are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyFamily {
    /// RSA.
    Rsa,
    /// ECDSA on one of the NIST curves.
    Ecdsa,
}

/// A kind of key, with its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// RSA with 1024 bits: found in ACM, never made here.
    Rsa1024,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
    /// ECDSA on P-256.
    EcPrime256v1,
    /// ECDSA on P-384.
    EcSecp384r1,
    /// ECDSA on P-521.
    EcSecp521r1,
}

impl KeyAlgorithm {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Rsa1024,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::EcPrime256v1,
        Self::EcSecp384r1,
        Self::EcSecp521r1,
    ];

    /// Its family.
    #[must_use]
    pub fn family(self) -> KeyFamily {
        match self {
            Self::Rsa1024 | Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => KeyFamily::Rsa,
            Self::EcPrime256v1 | Self::EcSecp384r1 | Self::EcSecp521r1 => KeyFamily::Ecdsa,
        }
    }

    /// Its size in bits.
    #[must_use]
    pub fn size(self) -> i32 {
        match self {
            Self::Rsa1024 => 1024,
            Self::Rsa2048 => 2048,
            Self::Rsa3072 => 3072,
            Self::Rsa4096 => 4096,
            Self::EcPrime256v1 => 256,
            Self::EcSecp384r1 => 384,
            Self::EcSecp521r1 => 521,
        }
    }

    /// Its name in ACM and AWS Private CA.
    #[must_use]
    pub fn acm_name(self) -> &'static str {
        match self {
            Self::Rsa1024 => "RSA_1024",
            Self::Rsa2048 => "RSA_2048",
            Self::Rsa3072 => "RSA_3072",
            Self::Rsa4096 => "RSA_4096",
            Self::EcPrime256v1 => "EC_prime256v1",
            Self::EcSecp384r1 => "EC_secp384r1",
            Self::EcSecp521r1 => "EC_secp521r1",
        }
    }

    /// The algorithm of that name; none: one that is not supported. ACM has been seen to write `RSA-2048`, too.
    #[must_use]
    pub fn from_acm_name(name: &str) -> Option<Self> {
        let name = name.replace('-', "_");
        Self::ALL.into_iter().find(|algorithm| algorithm.acm_name() == name)
    }

    /// The algorithm for a new key. Without a size: RSA 2048, ECDSA 256.
    ///
    /// # Errors
    /// If there is none of that size for new keys.
    pub fn from_family_and_size(family: KeyFamily, size: Option<i32>) -> Result<Self, Problem> {
        match (family, size) {
            (KeyFamily::Rsa, None | Some(2048)) => Ok(Self::Rsa2048),
            (KeyFamily::Rsa, Some(3072)) => Ok(Self::Rsa3072),
            (KeyFamily::Rsa, Some(4096)) => Ok(Self::Rsa4096),
            (KeyFamily::Ecdsa, None | Some(256)) => Ok(Self::EcPrime256v1),
            (KeyFamily::Ecdsa, Some(384)) => Ok(Self::EcSecp384r1),
            (KeyFamily::Ecdsa, Some(521)) => Ok(Self::EcSecp521r1),
            (KeyFamily::Rsa, Some(size)) => Err(Problem::new(format!("an RSA key has 2048, 3072 or 4096 bits, not {size}"))),
            (KeyFamily::Ecdsa, Some(size)) => Err(Problem::new(format!("an ECDSA key has 256, 384 or 521 bits, not {size}"))),
        }
    }

    /// The algorithm of a public key; none: one that is not supported.
    pub(super) fn of_public_key(key: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        let algorithm = &key.algorithm;
        if algorithm.algorithm == OID_PKCS1_RSAENCRYPTION {
            let Ok(PublicKey::RSA(rsa)) = key.parsed() else { return None };
            let first = rsa.modulus.iter().position(|byte| *byte != 0)?;
            let modulus = rsa.modulus.get(first..)?;
            let bits = (modulus.len() * 8).checked_sub(usize::try_from(modulus.first()?.leading_zeros()).ok()?)?;
            return match bits {
                1024 => Some(Self::Rsa1024),
                2048 => Some(Self::Rsa2048),
                3072 => Some(Self::Rsa3072),
                4096 => Some(Self::Rsa4096),
                _ => None,
            };
        }
        if algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
            return None;
        }
        let curve = algorithm.parameters.as_ref()?.as_oid().ok()?;
        if curve == OID_EC_P256 {
            Some(Self::EcPrime256v1)
        } else if curve == OID_NIST_EC_P384 {
            Some(Self::EcSecp384r1)
        } else if curve == OID_NIST_EC_P521 {
            Some(Self::EcSecp521r1)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for algorithm in KeyAlgorithm::ALL {
            assert_eq!(KeyAlgorithm::from_acm_name(algorithm.acm_name()), Some(algorithm));
        }
        assert_eq!(KeyAlgorithm::from_acm_name("RSA-2048"), Some(KeyAlgorithm::Rsa2048));
        assert_eq!(KeyAlgorithm::from_acm_name("ML_DSA_65"), None);
    }

    #[test]
    fn sizes_of_new_keys() {
        let of = KeyAlgorithm::from_family_and_size;
        assert_eq!(of(KeyFamily::Rsa, None), Ok(KeyAlgorithm::Rsa2048));
        assert_eq!(of(KeyFamily::Ecdsa, None), Ok(KeyAlgorithm::EcPrime256v1));
        for algorithm in KeyAlgorithm::ALL.into_iter().filter(|a| *a != KeyAlgorithm::Rsa1024) {
            assert_eq!(of(algorithm.family(), Some(algorithm.size())), Ok(algorithm));
        }
        assert!(of(KeyFamily::Rsa, Some(1024)).is_err());
        assert!(of(KeyFamily::Rsa, Some(256)).is_err());
        assert!(of(KeyFamily::Ecdsa, Some(-1)).is_err());
    }
}
