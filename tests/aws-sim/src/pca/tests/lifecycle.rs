//! The life of an authority.

use super::*;

fn asked(kind: &str, algorithm: &str, signing: &str) -> Value {
    json!({
        "CertificateAuthorityType": kind,
        "CertificateAuthorityConfiguration": {
            "KeyAlgorithm": algorithm,
            "SigningAlgorithm": signing,
            "Subject": {"CommonName": "Example CA", "Organization": "Example"},
        },
        "Tags": [{"Key": "team", "Value": "a"}],
    })
}

/// Creates an authority by the API and gives its ARN.
fn create(world: &mut World, body: Value) -> String {
    let answer = world.ask("CreateCertificateAuthority", body).unwrap();
    answer["CertificateAuthorityArn"].as_str().unwrap().to_owned()
}

fn status(world: &mut World, arn: &str) -> Value {
    let answer = world.ask("DescribeCertificateAuthority", json!({"CertificateAuthorityArn": arn})).unwrap();
    answer["CertificateAuthority"]["Status"].clone()
}

/// PEM in base 64 of a certificate that `world`'s authority issues for another authority's own request.
fn certify(world: &mut World, signer: &str, subject: &str, template: &str) -> (String, Option<String>) {
    let csr = world.ask("GetCertificateAuthorityCsr", json!({"CertificateAuthorityArn": subject})).unwrap();
    let arn = world
        .issue(&json!({
            "CertificateAuthorityArn": signer,
            "Csr": blob(csr["Csr"].as_str().unwrap().as_bytes()),
            "TemplateArn": format!("arn:aws:acm-pca:::template/{template}/V1"),
            "Validity": {"Type": "YEARS", "Value": 5},
        }))
        .unwrap();
    let body = json!({"CertificateAuthorityArn": signer, "CertificateArn": arn});
    let answer = world.ask("GetCertificate", body).unwrap();
    let text = |field: &str| answer[field].as_str().map(|pem| blob(pem.as_bytes()));
    (text("Certificate").unwrap(), text("CertificateChain"))
}

/// Private CA User Guide, "Creating a private CA" and "CA status": CREATING, PENDING_CERTIFICATE, ACTIVE.
#[test]
fn a_root_is_made_by_the_api() {
    let mut world = World::ec();
    world.store.in_progress_polls = 1;
    let root = create(&mut world, asked("ROOT", "EC_secp384r1", "SHA384WITHECDSA"));
    world.store.in_progress_polls = 0;
    assert_eq!(status(&mut world, &root), "CREATING");
    assert_eq!(status(&mut world, &root), "PENDING_CERTIFICATE");
    let own = json!({"CertificateAuthorityArn": root});
    assert_eq!(world.code("GetCertificateAuthorityCertificate", own.clone()), "InvalidStateException");
    assert_eq!(world.refusal(&own), "InvalidStateException");
    let (certificate, chain) = certify(&mut world, &root, &root, "RootCACertificate");
    assert_eq!(chain, None);
    let body = json!({"CertificateAuthorityArn": root, "Certificate": certificate});
    assert_eq!(world.code("ImportCertificateAuthorityCertificate", body), "ok");
    assert_eq!(status(&mut world, &root), "ACTIVE");
    let answer = world.ask("GetCertificateAuthorityCertificate", own.clone()).unwrap();
    let der = der(answer["Certificate"].as_str().unwrap());
    let certificate = parse(&der);
    assert!(certificate.is_ca() && answer["CertificateChain"].is_null());
    assert_eq!(certificate.subject(), certificate.issuer());
    assert_eq!(world.refusal(&own), "ok");
}

/// Private CA User Guide, "Installing the CA certificate": a subordinate has a chain, which runs to the root.
#[test]
fn a_subordinate_has_a_chain() {
    let mut world = World::ec();
    let root = world.authority.clone();
    let sub = create(&mut world, asked("SUBORDINATE", "EC_prime256v1", "SHA256WITHECDSA"));
    let (certificate, chain) = certify(&mut world, &root, &sub, "SubordinateCACertificate_PathLen0");
    let import = |chain: &Option<String>| json!({"CertificateAuthorityArn": sub, "Certificate": certificate, "CertificateChain": chain});
    let operation = "ImportCertificateAuthorityCertificate";
    assert_eq!(world.code(operation, import(&None)), "ValidationException");
    assert_eq!(world.code(operation, import(&Some(certificate.clone()))), "CertificateMismatchException");
    assert_eq!(world.code(operation, import(&chain)), "ok");
    let leaf = world.issue(&json!({"CertificateAuthorityArn": sub})).unwrap();
    let body = json!({"CertificateAuthorityArn": sub, "CertificateArn": leaf});
    let answer = world.ask("GetCertificate", body).unwrap();
    let chain = answer["CertificateChain"].as_str().unwrap();
    let blocks: Vec<Vec<u8>> =
        x509_parser::pem::Pem::iter_from_buffer(chain.as_bytes()).map(|pem| pem.unwrap().contents).collect();
    assert_eq!(blocks.len(), 2);
    let leaf = der(answer["Certificate"].as_str().unwrap());
    parse(&leaf).verify_signature(Some(parse(&blocks[0]).public_key())).unwrap();
    parse(&blocks[0]).verify_signature(Some(parse(&blocks[1]).public_key())).unwrap();
    parse(&blocks[1]).verify_signature(None).unwrap();
    assert_eq!(parse(&blocks[0]).basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));
}

/// Private CA API reference, ImportCertificateAuthorityCertificate: of the authority's key, of an authority, no chain
/// for a root.
#[test]
fn a_certificate_of_another_key_is_not_installed() {
    let mut world = World::ec();
    let root = create(&mut world, asked("ROOT", "EC_prime256v1", "SHA256WITHECDSA"));
    let other = world.ask("GetCertificateAuthorityCertificate", json!({})).unwrap();
    let other = blob(other["Certificate"].as_str().unwrap().as_bytes());
    let (own, _) = certify(&mut world, &root, &root, "RootCACertificate");
    let mut import = |certificate: &str, chain: Option<&str>| {
        let body = json!({"CertificateAuthorityArn": root, "Certificate": certificate, "CertificateChain": chain});
        world.code("ImportCertificateAuthorityCertificate", body)
    };
    assert_eq!(import(&other, None), "CertificateMismatchException");
    assert_eq!(import(&blob(b"nonsense"), None), "MalformedCertificateException");
    assert_eq!(import(&own, Some(&other)), "ValidationException");
    assert_eq!(import(&own, None), "ok");
}

/// Private CA API reference, CreateCertificateAuthority: types, algorithms, IdempotencyToken.
#[test]
fn creation_is_checked() {
    let mut world = World::ec();
    let operation = "CreateCertificateAuthority";
    let good = asked("ROOT", "EC_prime256v1", "SHA256WITHECDSA");
    assert_eq!(world.code(operation, asked("OTHER", "EC_prime256v1", "SHA256WITHECDSA")), "ValidationException");
    assert_eq!(world.code(operation, asked("ROOT", "RSA_1024", "SHA256WITHRSA")), "ValidationException");
    assert_eq!(world.code(operation, asked("ROOT", "EC_prime256v1", "SHA256WITHRSA")), "ValidationException");
    let mut token = good.clone();
    token["IdempotencyToken"] = json!("one");
    assert_eq!(create(&mut world, token.clone()), create(&mut world, token));
    assert_ne!(create(&mut world, good.clone()), create(&mut world, good));
}

/// Private CA API reference, ListCertificateAuthorities and ListTags: MaxResults, NextToken; account and region.
#[test]
fn lists_have_pages() {
    let mut world = World::ec();
    for _ in 0..4 {
        create(&mut world, asked("ROOT", "EC_prime256v1", "SHA256WITHECDSA"));
    }
    let operation = "ListCertificateAuthorities";
    let (mut token, mut sizes) = (Value::Null, Vec::new());
    loop {
        let page = world.ask(operation, json!({"MaxResults": 2, "NextToken": token})).unwrap();
        sizes.push(page["CertificateAuthorities"].as_array().unwrap().len());
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(world.code(operation, json!({"MaxResults": 0})), "ValidationException");
    assert_eq!(world.code(operation, json!({"NextToken": "x"})), "InvalidNextTokenException");
    let arn = create(&mut world, asked("ROOT", "EC_prime256v1", "SHA256WITHECDSA"));
    let tags = world.ask("ListTags", json!({"CertificateAuthorityArn": arn})).unwrap();
    assert_eq!(tags, json!({"Tags": [{"Key": "team", "Value": "a"}]}));
    world.call.region = "us-east-1".to_owned();
    assert_eq!(world.ask(operation, json!({})).unwrap(), json!({"CertificateAuthorities": []}));
}

/// Private CA User Guide, "Deleting your private CA": not while active; restorable for 7 to 30 days.
#[test]
fn deletion_needs_disabling_and_can_be_undone() {
    let mut world = World::ec();
    let days = |days: i64| json!({"PermanentDeletionTimeInDays": days});
    assert_eq!(world.code("DeleteCertificateAuthority", days(7)), "InvalidStateException");
    assert_eq!(world.code("UpdateCertificateAuthority", json!({"Status": "DISABLED"})), "ok");
    assert_eq!(world.code("DeleteCertificateAuthority", days(6)), "ValidationException");
    assert_eq!(world.code("DeleteCertificateAuthority", days(7)), "ok");
    let arn = world.authority.clone();
    assert_eq!(status(&mut world, &arn), "DELETED");
    assert_eq!(world.refusal(&json!({})), "InvalidStateException");
    assert_eq!(world.code("UpdateCertificateAuthority", json!({"Status": "ACTIVE"})), "InvalidStateException");
    assert_eq!(world.code("RestoreCertificateAuthority", json!({})), "ok");
    assert_eq!(status(&mut world, &arn), "DISABLED");
    assert_eq!(world.code("DeleteCertificateAuthority", days(7)), "ok");
    world.call.now += jiff::SignedDuration::from_hours(7 * 24 + 1);
    assert_eq!(world.code("RestoreCertificateAuthority", json!({})), "ResourceNotFoundException");
}

/// Control interface, POST /_sim/authorities: every algorithm; active at once; chains to the parent.
#[test]
fn ready_authorities_chain_to_their_parents() {
    let mut world = World::ec();
    let parent = world.authority.clone();
    for key_algorithm in ["EC_secp384r1", "RSA_3072"] {
        let ready = Ready { key_algorithm, parent: Some(&parent), common_name: "Example Sub", ..root() };
        let arn = world.store.add_ready(&call(), &ready).unwrap();
        let chain = world.store.by_arn(&arn).unwrap().chain().unwrap();
        assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
        assert_eq!(status(&mut world, &arn), "ACTIVE");
    }
    let orphan = Ready { parent: Some("arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/x"), ..root() };
    assert_eq!(world.store.add_ready(&call(), &orphan).unwrap_err().code, "ResourceNotFoundException");
}
