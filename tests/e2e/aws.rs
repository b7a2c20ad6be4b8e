//! AWS as its own SDK shows it: private CAs to sign, and what ACM has.

use crate::{
    harness::{BASE_KEY, REGIONS, World},
    tls::{Cert, Tls, pem},
    wait::eventually,
};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_acm::{
    primitives::Blob,
    types::{Filters, KeyAlgorithm, Tag},
};
use aws_sdk_acmpca::types::{
    Asn1Subject, CertificateAuthorityConfiguration, CertificateAuthorityType, KeyAlgorithm as AuthorityKey,
    SigningAlgorithm,
};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, SignatureAlgorithm,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The configuration of a client in this world's account, entered by the role that the operator assumes too.
pub async fn config(world: &World, region: &str) -> SdkConfig {
    configured(&world.stand.endpoint, region, session(world, region).await)
}

/// Temporary credentials in this world's account.
pub async fn session(world: &World, region: &str) -> Credentials {
    let base = configured(&world.stand.endpoint, region, Credentials::new(BASE_KEY.0, BASE_KEY.1, None, None, "e2e"));
    let assume = aws_sdk_sts::Client::new(&base).assume_role().role_arn(world.role()).role_session_name("e2e");
    let session = assume.send().await.expect("the role can be assumed").credentials.expect("credentials of a session");
    Credentials::new(session.access_key_id, session.secret_access_key, Some(session.session_token), None, "e2e")
}

/// The configuration of a client with these credentials.
pub fn configured(endpoint: &str, region: &str, credentials: Credentials) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new(region.to_owned()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new())
        .time_source(aws_smithy_async::time::SystemTimeSource::new())
        .build()
}

/// A private CA.
pub struct Authority {
    pub arn: String,
    /// The common name of its subject.
    pub name: String,
    pub certificate: Cert,
    /// The root that its chain ends at: itself, or on moto one above it.
    pub root: Cert,
    /// Its key is an RSA key; moto has no others.
    pub rsa: bool,
}

impl Authority {
    /// A root CA in the first region of the world's account. `more` goes over what aws-sim is asked for.
    pub async fn new(world: &World, more: Value) -> Self {
        Self::within(world, REGIONS[0], more).await
    }

    /// The same, in another region.
    pub async fn within(world: &World, region: &str, more: Value) -> Self {
        let suffix = more.get("keyAlgorithm").and_then(Value::as_str).unwrap_or("root");
        let name = format!("{} {suffix}", world.account);
        let Some(sim) = world.stand.sim() else { return Self::by_the_sdk(world, region, name).await };
        let rsa = suffix.starts_with("RSA");
        let made = sim.authority(&world.id, region, &name, more).await;
        let certificate = Cert::first(&made.certificate);
        Self { arn: made.arn, name, root: certificate.clone(), certificate, rsa }
    }

    async fn by_the_sdk(world: &World, region: &str, name: String) -> Self {
        let client = aws_sdk_acmpca::Client::new(&config(world, region).await);
        let wanted = CertificateAuthorityConfiguration::builder()
            .key_algorithm(AuthorityKey::Rsa2048)
            .signing_algorithm(SigningAlgorithm::Sha256Withrsa)
            .subject(Asn1Subject::builder().common_name(&name).build())
            .build()
            .expect("a whole configuration");
        let made = client
            .create_certificate_authority()
            .certificate_authority_configuration(wanted)
            .certificate_authority_type(CertificateAuthorityType::Root)
            .send()
            .await
            .expect("a CA");
        let arn = made.certificate_authority_arn.expect("an ARN");
        let csr =
            client.get_certificate_authority_csr().certificate_authority_arn(&arn).send().await.expect("its CSR").csr;
        // A root of moto's own would end before all that it signs: each lasts a year from the moment it is signed.
        let (own, root) = crate::tls::subordinate(&name, &csr.expect("its CSR"));
        let import = client.import_certificate_authority_certificate().certificate_authority_arn(&arn);
        let import = import.certificate(Blob::new(own.clone())).certificate_chain(Blob::new(root.clone()));
        import.send().await.expect("its certificate is installed");
        Self { arn, name, certificate: Cert::first(&own), root: Cert::first(&root), rsa: true }
    }

    /// The `privateKey` of a spec: an algorithm that is not the CA's.
    pub fn other_family(&self) -> Value {
        json!({ "algorithm": if self.rsa { "ECDSA" } else { "RSA" } })
    }

    /// The `privateKey` of a spec: the CA's algorithm, but another size than the operator's default.
    pub fn other_size(&self) -> Value {
        if self.rsa {
            json!({ "algorithm": "RSA", "size": 3072 })
        } else {
            json!({ "algorithm": "ECDSA", "size": 384 })
        }
    }

    /// The key that a certificate from this CA has by default.
    pub fn usual_key(&self) -> &'static SignatureAlgorithm {
        if self.rsa { &PKCS_RSA_SHA256 } else { &PKCS_ECDSA_P256_SHA256 }
    }

    /// One that no certificate from this CA has by default.
    pub fn unusual_key(&self) -> &'static SignatureAlgorithm {
        if self.rsa { &PKCS_ECDSA_P256_SHA256 } else { &PKCS_ECDSA_P384_SHA384 }
    }

    /// How a PEM text in the traditional encoding of its family's keys begins.
    pub fn traditional_key_header(&self) -> &'static str {
        if self.rsa { "-----BEGIN RSA PRIVATE KEY-----" } else { "-----BEGIN EC PRIVATE KEY-----" }
    }
}

/// A certificate that somebody else has in ACM.
pub struct Theirs<'a> {
    /// Its DNS names.
    pub names: &'a [String],
    /// Its key: this one, such as `rcgen::PKCS_ECDSA_P384_SHA384`.
    pub key: &'static SignatureAlgorithm,
    pub tags: &'a [(&'a str, &'a str)],
}

/// What ACM has in one region of one account.
pub struct View {
    client: aws_sdk_acm::Client,
}

impl View {
    pub async fn new(world: &World, region: &str) -> Self {
        Self::with(&config(world, region).await)
    }

    /// By the configuration of a client.
    pub fn with(config: &SdkConfig) -> Self {
        Self { client: aws_sdk_acm::Client::new(config) }
    }

    /// All ARNs, of every key type.
    pub async fn arns(&self) -> Vec<String> {
        let every = KeyAlgorithm::values().iter().map(|name| KeyAlgorithm::from(*name)).collect();
        let list = self.client.list_certificates().includes(Filters::builder().set_key_types(Some(every)).build());
        let list = list.send().await.expect("a list").certificate_summary_list.unwrap_or_default();
        list.into_iter().filter_map(|summary| summary.certificate_arn).collect()
    }

    /// The certificate under an ARN.
    pub async fn certificate(&self, arn: &str) -> Cert {
        let found = self.client.get_certificate().certificate_arn(arn).send().await.expect("a certificate in ACM");
        Cert::first(&found.certificate.expect("a certificate in ACM"))
    }

    /// The tags under an ARN.
    pub async fn tags(&self, arn: &str) -> BTreeMap<String, String> {
        let tags = self
            .client
            .list_tags_for_certificate()
            .certificate_arn(arn)
            .send()
            .await
            .expect("tags")
            .tags
            .unwrap_or_default();
        tags.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())).collect()
    }

    /// Imports a self-signed certificate for this name, as somebody else would; returns its ARN.
    pub async fn import_foreign(&self, name: &str) -> String {
        let own = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let import = self.client.import_certificate().certificate(Blob::new(own.cert.pem()));
        let import = import.private_key(Blob::new(own.signing_key.serialize_pem()));
        let tag = Tag::builder().key("owner").value("somebody else").build().expect("a tag");
        import.tags(tag).send().await.expect("an import").certificate_arn.expect("an ARN")
    }

    /// The same, with the name as its common name, too: moto's list tells no other.
    pub async fn import_named(&self, name: &str) -> String {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        let own = params.self_signed(&key).expect("a certificate");
        let arn = self.import_pair(&own.pem(), &key.serialize_pem()).await;
        let tag = Tag::builder().key("owner").value("somebody else").build().expect("a tag");
        self.client.add_tags_to_certificate().certificate_arn(&arn).tags(tag).send().await.expect("a tag");
        arn
    }

    /// Imports a self-signed certificate with its key, as somebody else would; returns its ARN.
    pub async fn import_pair(&self, certificate: &str, key: &str) -> String {
        let import = self.client.import_certificate().certificate(Blob::new(certificate)).private_key(Blob::new(key));
        import.send().await.expect("an import").certificate_arn.expect("an ARN")
    }

    /// Deletes what is under an ARN, as somebody else would.
    pub async fn delete(&self, arn: &str) {
        self.client.delete_certificate().certificate_arn(arn).send().await.expect("it is deleted");
    }

    /// Imports a self-signed certificate, with the usages of a server's and a client's; returns its ARN.
    pub async fn import_theirs(&self, theirs: &Theirs<'_>) -> String {
        let key = KeyPair::generate_for(theirs.key).expect("a key");
        let mut params = CertificateParams::new(theirs.names).expect("names");
        params.distinguished_name.push(DnType::CommonName, theirs.names[0].clone());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let own = params.self_signed(&key).expect("a certificate");
        let import = self.client.import_certificate().certificate(Blob::new(own.pem()));
        let import = import.private_key(Blob::new(key.serialize_pem()));
        let tag = |(key, value): &(&str, &str)| Tag::builder().key(*key).value(*value).build().expect("a tag");
        let tags: Vec<Tag> = theirs.tags.iter().map(tag).collect();
        let import = import.set_tags((!tags.is_empty()).then_some(tags));
        import.send().await.expect("an import").certificate_arn.expect("an ARN")
    }

    /// Adds a tag.
    pub async fn tag(&self, arn: &str, key: &str, value: &str) {
        let tag = Tag::builder().key(key).value(value).build().expect("a tag");
        self.client.add_tags_to_certificate().certificate_arn(arn).tags(tag).send().await.expect("it is tagged");
    }

    /// Takes tags away, whatever their values.
    pub async fn untag(&self, arn: &str, keys: &[&str]) {
        let tags = keys.iter().map(|key| Tag::builder().key(*key).build().expect("a tag")).collect();
        let remove = self.client.remove_tags_from_certificate().certificate_arn(arn).set_tags(Some(tags));
        remove.send().await.expect("tags can be removed");
    }

    /// Imports what a Secret holds once more, with the tags of another ARN; returns the new ARN.
    pub async fn import_twin(&self, like: &str, tls: &Tls, authority: &Authority) -> String {
        let pem = |cert: &Cert| pem("CERTIFICATE", &cert.0);
        let tags = self.tags(like).await;
        let tags =
            tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build().expect("a tag")).collect();
        let key = Blob::new(tls.key.clone());
        let import = self.client.import_certificate().certificate(Blob::new(pem(tls.leaf()))).private_key(key);
        let import = import.certificate_chain(Blob::new(pem(&authority.certificate))).set_tags(Some(tags));
        import.send().await.expect("an import").certificate_arn.expect("an ARN")
    }

    /// Waits until there is nothing under an ARN any more.
    pub async fn gone(&self, arn: &str) {
        eventually(&format!("{arn} is gone"), || async {
            if self.arns().await.iter().any(|other| other == arn) { Err("it is there".to_owned()) } else { Ok(()) }
        })
        .await;
    }
}
