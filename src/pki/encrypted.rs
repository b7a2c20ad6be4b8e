//! Encrypted private keys, as ACM exports them (ACM API reference, ExportCertificate): PKCS #8 by a passphrase.
//!
//! AWS names no cipher. What it sends is PBES2 (RFC 8018, section 6.2) with PBKDF2 and AES-256-CBC, by HMAC-SHA-1 where nothing else
//! is named. The other ciphers of PBES2 are read, too.

use super::{
    Problem,
    key::{LONGEST_PEM, PrivateKey, unreadable},
    pem,
};
use pkcs5::{
    EncryptionScheme,
    der::{Reader, SliceReader, asn1::OctetStringRef},
    pbes2::Kdf,
};
use zeroize::Zeroizing;

const LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// More rounds than anybody uses: whoever sends the key must not choose how long we work.
const MOST_ROUNDS: u32 = 1_000_000;

impl PrivateKey {
    /// Reads one key in PEM that a passphrase encrypts. It takes a while: do not call it where others wait.
    ///
    /// # Errors
    /// A sentence that says what is wrong; it never quotes the text.
    pub fn from_encrypted_pem(text: &str, passphrase: &str) -> Result<Self, Problem> {
        let blocks = pem::blocks(text, LONGEST_PEM)?;
        let [block] = blocks.as_slice() else {
            return Err(Problem::new(format!("there are {} PEM blocks where one private key belongs", blocks.len())));
        };
        if block.label != LABEL {
            return Err(Problem::new(format!("it is no {LABEL}")));
        }
        let (scheme, encrypted) = parts(&block.der)?;
        let EncryptionScheme::Pbes2(parameters) = &scheme else {
            return Err(Problem::new("it is encrypted by a scheme that is out of date: PBES2 can be read"));
        };
        match &parameters.kdf {
            Kdf::Pbkdf2(stretching) if stretching.iteration_count <= MOST_ROUNDS => {}
            _ => {
                return Err(Problem::new(format!(
                    "its passphrase is not stretched by PBKDF2 in at most {MOST_ROUNDS} rounds"
                )));
            }
        }
        let mut buffer = Zeroizing::new(encrypted.to_vec());
        let der = scheme.decrypt_in_place(passphrase, &mut buffer);
        let der = der.map_err(|_| Problem::new("it can't be decrypted by its passphrase"))?;
        Self::from_pkcs8(der)
    }
}

/// How it is encrypted, and what (RFC 5208, section 6).
fn parts(der: &[u8]) -> Result<(EncryptionScheme, &[u8]), Problem> {
    let mut reader = SliceReader::new(der).map_err(|_| unreadable())?;
    let parts = reader.sequence(|reader| {
        let scheme: EncryptionScheme = reader.decode()?;
        let encrypted: &OctetStringRef = reader.decode()?;
        Ok::<_, pkcs5::der::Error>((scheme, encrypted.as_bytes()))
    });
    let parts = parts.map_err(|_| unreadable())?;
    reader.finish().map_err(|_| unreadable())?;
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::algorithm::KeyAlgorithm;
    use pkcs5::{
        der::Encode,
        pbes2::{EncryptionScheme as Cipher, Parameters, Pbkdf2Params, Pbkdf2Prf},
    };
    use proptest::prelude::*;

    fn encrypted(key: &PrivateKey, passphrase: &str, rounds: u32, prf: Pbkdf2Prf) -> String {
        let stretching = Pbkdf2Params { prf, ..Pbkdf2Params::hmac_sha256(rounds, &[7; 16]).unwrap() };
        let scheme = Parameters { kdf: Kdf::Pbkdf2(stretching), encryption: Cipher::Aes256Cbc { iv: [9; 16] } };
        let data = scheme.encrypt(passphrase, &key.to_pkcs8_der()).unwrap();
        pem::encode(LABEL, &whole(scheme, &data))
    }

    fn whole(scheme: Parameters, data: &[u8]) -> Vec<u8> {
        let (mut scheme_der, mut data_der) = (vec![0; 1024], vec![0; data.len() + 16]);
        let scheme = EncryptionScheme::Pbes2(scheme).encode_to_slice(&mut scheme_der).unwrap().to_vec();
        let data = OctetStringRef::new(data).unwrap().encode_to_slice(&mut data_der).unwrap().to_vec();
        let [high, low] = u16::try_from(scheme.len() + data.len()).unwrap().to_be_bytes();
        let length: &[u8] = if high == 0 { &[0x81, low] } else { &[0x82, high, low] };
        [&[0x30][..], length, &scheme, &data].concat()
    }

    #[test]
    fn what_a_passphrase_encrypts_is_read_by_it_alone() {
        for algorithm in [KeyAlgorithm::EcPrime256v1, KeyAlgorithm::EcSecp384r1, KeyAlgorithm::Rsa2048] {
            let key = PrivateKey::generate(algorithm).unwrap();
            for prf in [Pbkdf2Prf::HmacWithSha1, Pbkdf2Prf::HmacWithSha256] {
                let text = encrypted(&key, "a passphrase", 20, prf);
                let read = PrivateKey::from_encrypted_pem(&text, "a passphrase").unwrap();
                assert_eq!(*read.to_pkcs8_pem(), *key.to_pkcs8_pem());
                assert!(PrivateKey::from_encrypted_pem(&text, "another").is_err());
            }
        }
    }

    /// The same with another number of rounds, as if it had been encrypted by so many.
    fn lengthened(text: &str) -> String {
        let der = pem::blocks(text, LONGEST_PEM).unwrap()[0].der.to_vec();
        let (scheme, data) = parts(&der).unwrap();
        let EncryptionScheme::Pbes2(mut parameters) = scheme else { unreachable!() };
        let Kdf::Pbkdf2(stretching) = &mut parameters.kdf else { unreachable!() };
        stretching.iteration_count = MOST_ROUNDS + 1;
        pem::encode(LABEL, &whole(parameters, data))
    }

    #[test]
    fn what_would_take_too_long_or_is_no_such_key_is_refused() {
        let key = PrivateKey::generate(KeyAlgorithm::EcPrime256v1).unwrap();
        let error = |text: &str| PrivateKey::from_encrypted_pem(text, "x").err().unwrap().to_string();
        let at_most = encrypted(&key, "x", 1, Pbkdf2Prf::HmacWithSha1);
        assert!(PrivateKey::from_encrypted_pem(&at_most, "x").is_ok());
        assert!(error(&lengthened(&at_most)).contains("rounds"));
        for bad in ["", &*key.to_pkcs8_pem(), &pem::encode(LABEL, b"abc"), &pem::encode(LABEL, &[0x30, 0])] {
            assert!(!error(bad).is_empty());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(PrivateKey::from_encrypted_pem(&pem::encode(LABEL, &bytes), "x").is_err());
        }
    }
}
