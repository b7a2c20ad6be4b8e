//! PKCS#12 keystores as Java reads them (RFC 7292), by the crate p12-keystore, which nothing else here knows of.
//!
//! The crate's own copies of the key live as long as one call and are not wiped.

use super::{Problem, chain::Chain, key::PrivateKey};
use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey as P12Key, PrivateKeyChain,
};
use zeroize::Zeroizing;

/// The alias of the key and its certificate.
pub const ALIAS: &str = "certificate";
/// The alias of the trusted certificate.
pub const TRUSTED_ALIAS: &str = "ca";

/// How a keystore is encrypted. The names are those that cert-manager gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// AES-256 with PBKDF2 and HMAC-SHA-256, as the JDK itself writes since Java 16; read from Java 8u301 and 11.0.12 on.
    Modern2023,
    /// Triple DES with SHA-1, which every Java 8 reads; weak.
    LegacyDES,
}

impl Profile {
    /// Encryption, MAC and iterations. JDK: 10,000 (java.security, keystore.pkcs12); with SHA-1, OpenSSL's 2,048.
    fn parameters(self) -> (EncryptionAlgorithm, MacAlgorithm, u32) {
        match self {
            Self::Modern2023 => (EncryptionAlgorithm::PbeWithHmacSha256AndAes256, MacAlgorithm::HmacSha256, 10_000),
            Self::LegacyDES => (EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc, MacAlgorithm::HmacSha1, 2048),
        }
    }
}

/// A keystore with the key and its certificate, and all that stands above it.
///
/// # Errors
/// If it can't be written; the key is never quoted.
pub fn keystore(key: &PrivateKey, chain: &Chain, password: &str, profile: Profile) -> Result<Vec<u8>, Problem> {
    let der: Zeroizing<Vec<u8>> = key.to_pkcs8_der();
    let key = P12Key::from_der(&der).map_err(|_| unwritable())?;
    let certificates = std::iter::once(&chain.leaf).chain(chain.above()).map(|c| Certificate::from_der(&c.der));
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|_| unwritable())?;
    let entry = PrivateKeyChain::new(ALIAS, key, certificates);
    write(ALIAS, KeyStoreEntry::PrivateKeyChain(entry), password, profile)
}

/// A truststore with the root, or the highest certificate that is known; none: nothing stands above the certificate.
///
/// # Errors
/// If it can't be written.
pub fn truststore(chain: &Chain, password: &str, profile: Profile) -> Result<Option<Vec<u8>>, Problem> {
    let Some(highest) = chain.above().last() else { return Ok(None) };
    let certificate = Certificate::from_der(&highest.der).map_err(|_| unwritable())?;
    write(TRUSTED_ALIAS, KeyStoreEntry::Certificate(certificate), password, profile).map(Some)
}

fn write(alias: &str, entry: KeyStoreEntry, password: &str, profile: Profile) -> Result<Vec<u8>, Problem> {
    let mut store = KeyStore::new();
    store.add_entry(alias, entry);
    let (encryption, mac, iterations) = profile.parameters();
    let writer = store.writer(password).encryption_algorithm(encryption).encryption_iterations(iterations);
    writer.mac_algorithm(mac).mac_iterations(iterations).write().map_err(|_| unwritable())
}

fn unwritable() -> Problem {
    Problem::new("the keystore could not be written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{algorithm::KeyAlgorithm, certificate::parse_pem};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use std::{
        io::Write as _,
        path::{Path, PathBuf},
        process::{Command, Output, Stdio},
    };

    const PASSWORD: &str = "changeit '\"\\$";

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("arnkeeper-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn put(&self, name: &str, content: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            std::fs::File::create(&path).unwrap().write_all(content).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// A leaf for a key, an intermediate and a root.
    fn chain(key: &PrivateKey) -> Chain {
        let authority = |name: &str| {
            let mut params = CertificateParams::new(vec![]).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let (root_key, middle_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = authority("Keystore Root").self_signed(&root_key).unwrap();
        let issuer = Issuer::new(authority("Keystore Root"), root_key);
        let middle = authority("Keystore Intermediate").signed_by(&middle_key, &issuer).unwrap();
        let issuer = Issuer::new(authority("Keystore Intermediate"), middle_key);
        let leaf_key = KeyPair::from_pem(&key.to_pkcs8_pem()).unwrap();
        let mut leaf = CertificateParams::new(vec!["app.pay.example".into()]).unwrap();
        leaf.distinguished_name.push(rcgen::DnType::CommonName, "app.pay.example");
        let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
        let parse = |pem: String| parse_pem(&pem).unwrap();
        Chain::order(parse(leaf.pem()), vec![parse(root.pem()), parse(middle.pem())]).unwrap()
    }

    fn run(program: &str, arguments: &[&str]) -> Option<Output> {
        let command = Command::new(program).args(arguments).env("P12", PASSWORD).stdin(Stdio::null()).output();
        match command {
            Ok(output) => Some(output),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => panic!("{program}: {error}"),
        }
    }

    fn text(output: &Output) -> String {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn openssl(file: &Path, legacy: bool, more: &[&str]) -> Output {
        let mut arguments = vec!["pkcs12", "-in", file.to_str().unwrap(), "-passin", "env:P12", "-nodes"];
        if legacy {
            arguments.push("-legacy");
        }
        arguments.extend(more);
        run("openssl", &arguments).unwrap_or_else(|| panic!("openssl is needed for this test"))
    }

    #[test]
    fn openssl_opens_every_profile_and_finds_key_and_chain() {
        let folder = Folder::new("openssl");
        for algorithm in [KeyAlgorithm::EcPrime256v1, KeyAlgorithm::EcSecp521r1, KeyAlgorithm::Rsa2048] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let chain = chain(&key);
            for profile in [Profile::Modern2023, Profile::LegacyDES] {
                let file = folder.put("k.p12", &keystore(&key, &chain, PASSWORD, profile).unwrap());
                let legacy = profile == Profile::LegacyDES;
                let told = text(&openssl(&file, legacy, &[]));
                let key_of =
                    told.split("-----BEGIN PRIVATE KEY-----").nth(1).unwrap().split("-----END").next().unwrap();
                let pem = format!("-----BEGIN PRIVATE KEY-----{key_of}-----END PRIVATE KEY-----\n");
                assert_eq!(PrivateKey::from_pem(&pem).unwrap().public_key_der(), key.public_key_der());
                assert_eq!(told.matches("-----BEGIN CERTIFICATE-----").count(), 3, "{algorithm:?} {profile:?}");
                let info = openssl(&file, legacy, &["-info", "-noout"]);
                let info = String::from_utf8_lossy(&info.stderr).into_owned();
                let (cipher, mac) =
                    if legacy { ("pbeWithSHA1And3-KeyTripleDES-CBC", "sha1") } else { ("AES-256-CBC", "sha256") };
                assert!(info.contains(cipher) && info.contains(&format!("MAC: {mac}")), "{info}");
            }
        }
    }

    #[test]
    fn a_wrong_password_opens_nothing() {
        let folder = Folder::new("wrong");
        let key = PrivateKey::generate(KeyAlgorithm::EcPrime256v1).unwrap();
        let file = folder.put("k.p12", &keystore(&key, &chain(&key), "another", Profile::Modern2023).unwrap());
        assert!(!openssl(&file, false, &[]).status.success());
    }

    #[test]
    fn nothing_stands_above_a_certificate_that_signed_itself_twice_written_it_differs() {
        let key = PrivateKey::generate(KeyAlgorithm::EcPrime256v1).unwrap();
        let chain = chain(&key);
        let write = || keystore(&key, &chain, PASSWORD, Profile::Modern2023).unwrap();
        assert_ne!(write(), write(), "the salts are random");
        let alone = Chain { leaf: chain.leaf.clone(), intermediates: vec![], root: None };
        assert!(truststore(&alone, PASSWORD, Profile::Modern2023).unwrap().is_none());
        assert!(keystore(&key, &alone, PASSWORD, Profile::Modern2023).is_ok());
    }

    /// Java's own program opens both stores and finds a key with its chain, and a trusted certificate.
    #[test]
    fn keytool_opens_every_profile() {
        let folder = Folder::new("keytool");
        let key = PrivateKey::generate(KeyAlgorithm::Rsa2048).unwrap();
        let chain = chain(&key);
        for profile in [Profile::Modern2023, Profile::LegacyDES] {
            let file = folder.put("k.p12", &keystore(&key, &chain, PASSWORD, profile).unwrap());
            let trusted = truststore(&chain, PASSWORD, profile).unwrap().unwrap();
            let trusted = folder.put("t.p12", &trusted);
            let list = |file: &Path| {
                let file = file.to_str().unwrap();
                run("keytool", &["-list", "-v", "-keystore", file, "-storetype", "PKCS12", "-storepass:env", "P12"])
            };
            let (Some(keys), Some(roots)) = (list(&file), list(&trusted)) else {
                println!("keytool is not installed: openssl alone has opened the keystores");
                return;
            };
            let (keys, roots) = (text(&keys), text(&roots));
            assert!(keys.contains("PrivateKeyEntry") && keys.contains("Certificate chain length: 3"), "{keys}");
            assert!(keys.contains(&format!("Alias name: {ALIAS}")), "{keys}");
            assert!(roots.contains("trustedCertEntry") && roots.contains("CN=Keystore Root"), "{roots}");
        }
    }
}
