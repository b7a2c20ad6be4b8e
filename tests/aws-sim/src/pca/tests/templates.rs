//! What templates put into certificates.

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use x509_parser::extensions::ParsedExtension;

use super::*;

fn template(name: &str) -> Value {
    json!({"TemplateArn": format!("arn:aws:acm-pca:::template/{name}/V1")})
}

/// Key usage's flags in words, and which extended key usages of server, client and code signing there are.
fn usages(der: &[u8]) -> (String, [bool; 3]) {
    let certificate = parse(der);
    let usage = certificate.key_usage().unwrap().map(|usage| (usage.critical, usage.value.to_string()));
    assert!(usage.as_ref().is_none_or(|(critical, _)| *critical), "key usage is critical");
    let extended = certificate.extended_key_usage().unwrap();
    let extended =
        extended.map_or([false; 3], |kind| [kind.value.server_auth, kind.value.client_auth, kind.value.code_signing]);
    (usage.map(|(_, text)| text).unwrap_or_default(), extended)
}

/// A request that asks for digitalSignature and for code signing.
fn asking() -> String {
    let mut params = params(&["app.example.com"]);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    csr(&params, &key())
}

/// Private CA User Guide, "Template definitions": usages of the end entity templates.
#[test]
fn end_entity_templates_fix_the_usages() {
    let mut world = World::ec();
    let both = "Digital Signature, Key Encipherment".to_owned();
    assert_eq!(usages(&world.issued(&json!({}))), (both.clone(), [true, true, false]));
    for (name, kinds) in [
        ("EndEntityCertificate", [true, true, false]),
        ("EndEntityServerAuthCertificate", [true, false, false]),
        ("EndEntityClientAuthCertificate", [false, true, false]),
    ] {
        assert_eq!(usages(&world.issued(&template(name))), (both.clone(), kinds), "{name}");
    }
    let signing = world.issued(&template("CodeSigningCertificate"));
    assert_eq!(usages(&signing), ("Digital Signature".to_owned(), [false, false, true]));
}

/// Private CA User Guide, "Template order of operations": template over API over request.
#[test]
fn the_template_wins_then_the_api_then_the_request() {
    let mut world = World::ec();
    let mut issued = |name: &str| {
        let mut more = template(name);
        more["Csr"] = json!(asking());
        more["ApiPassthrough"] = json!({
            "Subject": {"CommonName": "api.example.com", "Country": "NZ"},
            "Extensions": {
                "KeyUsage": {"KeyAgreement": true},
                "ExtendedKeyUsage": [{"ExtendedKeyUsageType": "SERVER_AUTH"},
                    {"ExtendedKeyUsageObjectIdentifier": "1.3.6.1.5.5.7.3.2"}],
                "SubjectAlternativeNames": [{"DnsName": "api.example.com"}, {"IpAddress": "192.0.2.1"}],
                "CustomExtensions": [{"ObjectIdentifier": "1.2.3.4", "Value": "BQA="}],
            },
        });
        world.issued(&more)
    };
    let subject = |der: &[u8]| parse(der).subject().to_string();
    let both = "Digital Signature, Key Encipherment".to_owned();
    let own = "CN=app.example.com";

    let base = issued("EndEntityCertificate");
    assert_eq!((usages(&base), subject(&base)), ((both.clone(), [true, true, false]), own.to_owned()));
    let fixed = issued("EndEntityCertificate_CSRPassthrough");
    assert_eq!((usages(&fixed), subject(&fixed)), ((both, [true, true, false]), own.to_owned()));
    let request = issued("BlankEndEntityCertificate_CSRPassthrough");
    assert_eq!(usages(&request), ("Digital Signature".to_owned(), [false, false, true]));
    for name in ["BlankEndEntityCertificate_APIPassthrough", "BlankEndEntityCertificate_APICSRPassthrough"] {
        let der = issued(name);
        assert_eq!(usages(&der), ("Key Agreement".to_owned(), [true, true, false]), "{name}");
        assert_eq!(subject(&der), "C=NZ, CN=api.example.com", "{name}");
        let certificate = parse(&der);
        let names = certificate.subject_alternative_name().unwrap().unwrap().value.general_names.len();
        let custom = certificate.extensions().iter().any(|one| one.oid.to_id_string() == "1.2.3.4");
        assert_eq!((names, custom), (2, true), "{name}");
    }
    let none = world.issued(&template("BlankEndEntityCertificate_CSRPassthrough"));
    assert_eq!(usages(&none), (String::new(), [false; 3]));
}

/// Private CA User Guide, "Template definitions": subject and names from the request, key identifiers, not a CA.
#[test]
fn names_and_identifiers() {
    let mut world = World::ec();
    let request = csr(&params(&["a.example.com", "192.0.2.7"]), &key());
    let der = world.issued(&json!({"Csr": request}));
    let certificate = parse(&der);
    assert_eq!(certificate.subject().to_string(), "CN=app.example.com");
    assert_eq!(certificate.issuer().to_string(), "CN=Example Root");
    assert_eq!(certificate.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 2);
    assert!(!certificate.basic_constraints().unwrap().unwrap().value.ca);
    let chain = super::der(&world.store.by_arn(&world.authority.clone()).unwrap().chain().unwrap());
    let authority = parse(&chain);
    let subject_key = |certificate: &X509Certificate<'_>| {
        certificate.extensions().iter().find_map(|one| match one.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        })
    };
    let authority_key = certificate.extensions().iter().find_map(|one| match one.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
        _ => None,
    });
    assert_eq!(subject_key(&certificate).map(|id| id.len()), Some(20));
    assert_eq!(authority_key, subject_key(&authority));
}

/// Private CA API reference, IssueCertificate, TemplateArn: unknown templates are refused.
#[test]
fn unknown_templates_are_refused() {
    let mut world = World::ec();
    assert_eq!(world.refusal(&template("AnyCertificate")), "ValidationException");
    assert_eq!(world.refusal(&json!({"TemplateArn": "arn:aws:acm-pca:::nonsense"})), "ValidationException");
    assert_eq!(world.refusal(&template("RootCACertificate")), "InvalidArgsException");
}
