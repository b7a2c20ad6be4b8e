//! What ACM refuses to import (ACM API reference, ImportCertificate; ACM user guide, "Reimport a certificate").

use super::{
    Problem,
    algorithm::{KeyAlgorithm, KeyFamily},
    certificate::Certificate,
    names::Names,
};
use crate::api::shared::Usage;

/// The longest private key that ACM takes, in bytes of PEM (ACM API reference, ImportCertificate).
const LONGEST_KEY: usize = 5120;
/// id-kp-clientAuth: may be dropped (ACM user guide, "Reimport a certificate").
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

/// A certificate that is about to be paid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedCertificate {
    /// The algorithm of its key.
    pub algorithm: KeyAlgorithm,
    /// The family of the CA's key.
    pub signing_family: KeyFamily,
    /// What it may be used for.
    pub usages: Vec<Usage>,
    /// Its names.
    pub names: Names,
    /// How long its key gets, in bytes of PEM.
    pub key_pem_bytes: usize,
}

/// What ACM has under an ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentInAcm {
    /// The algorithm of its key; none: one that is not known here.
    pub algorithm: Option<KeyAlgorithm>,
    /// Key usages in ACM's words (`DIGITAL_SIGNATURE`).
    pub key_usages: Vec<String>,
    /// Extended key usages as OIDs.
    pub extended_key_usages: Vec<String>,
    /// Its DNS names; none are known: nothing is said of them.
    pub domains: Vec<String>,
}

impl CurrentInAcm {
    /// What ACM would tell of this certificate.
    #[must_use]
    pub fn of_certificate(certificate: &Certificate) -> Self {
        let (mut key_usages, mut extended_key_usages) = split(&certificate.usages);
        for usage in &certificate.other_usages {
            let is_oid = usage.starts_with(|first: char| first.is_ascii_digit());
            if is_oid { &mut extended_key_usages } else { &mut key_usages }.push(usage.clone());
        }
        let domains = certificate.names.dns.iter().cloned().collect();
        Self { algorithm: certificate.algorithm, key_usages, extended_key_usages, domains }
    }
}

/// Why ACM would not import it in place of somebody else's: an extension that is not there can't be introduced (ACM user guide,
/// "Reimport a certificate").
#[must_use]
pub fn introduced_problems(current: &CurrentInAcm, planned: &PlannedCertificate) -> Vec<Problem> {
    let (key_usages, extended) = split(&planned.usages);
    let kinds = [
        ("key usages", key_usages, &current.key_usages),
        ("extended key usages", extended, &current.extended_key_usages),
    ];
    let introduced = kinds.into_iter().filter(|(_, planned, there)| there.is_empty() && !planned.is_empty());
    introduced
        .map(|(kind, ..)| Problem::new(format!("the one there has no {kind}, and ACM lets none be introduced")))
        .collect()
}

/// What to ask for, where usages would be introduced.
#[must_use]
pub fn usages_to_ask_for(current: &CurrentInAcm, planned: &PlannedCertificate) -> Option<String> {
    let (key_usages, extended) = split(&planned.usages);
    let introduced = |planned: &[String], there: &[String]| there.is_empty() && !planned.is_empty();
    let words = introduced(&key_usages, &current.key_usages);
    let oids = introduced(&extended, &current.extended_key_usages);
    let none = current.key_usages.is_empty() && current.extended_key_usages.is_empty();
    let ask = match (words, oids) {
        (false, false) => return None,
        _ if none => {
            "a certificate without any usage can't be asked for, so this one can't be taken over: let what uses it use a new one"
        }
        (true, _) => "leave digital signature, key encipherment and the like out of spec.usages",
        (false, true) => "leave server auth, client auth and the like out of spec.usages",
    };
    Some(ask.to_owned())
}

/// What to ask for, where the key would be of another type or size than the one there.
#[must_use]
pub fn key_to_ask_for(current: &CurrentInAcm, planned: &PlannedCertificate) -> Option<String> {
    let there = current.algorithm.filter(|there| *there != planned.algorithm)?;
    if KeyAlgorithm::from_family_and_size(there.family(), Some(there.size())).is_err() {
        return Some(format!("keys of the kind {} are not made any more, so it can't be kept", there.acm_name()));
    }
    let kind = family(there.family());
    let ask = format!("set spec.privateKey to algorithm {kind} and size {}", there.size());
    Some(if planned.signing_family == there.family() {
        ask
    } else {
        format!(
            "{ask}, and spec.source.privateCa.certificateAuthority to a private CA whose own key is {kind}, since ACM takes such a \
             key from no other"
        )
    })
}

/// Why ACM would not import it at all; empty: it would.
#[must_use]
pub fn import_problems(planned: &PlannedCertificate) -> Vec<Problem> {
    let mut problems = Vec::new();
    let own = planned.algorithm.family();
    if own != planned.signing_family {
        problems.push(Problem::new(format!(
            "its key would be {} and the private CA's is {}: ACM takes only a key of the CA's own family; leave \
             spec.privateKey out, or name a private CA with an {} key",
            family(own),
            family(planned.signing_family),
            family(own)
        )));
    }
    if planned.key_pem_bytes > LONGEST_KEY {
        problems.push(Problem::new(format!(
            "its key would have {} bytes, and ACM takes {LONGEST_KEY}",
            planned.key_pem_bytes
        )));
    }
    if planned.names.is_empty() {
        problems.push(Problem::new("it would have no name"));
    }
    problems
}

/// Why ACM would not import it in place of what it has; empty: it would.
#[must_use]
pub fn reimport_problems(current: &CurrentInAcm, planned: &PlannedCertificate) -> Vec<Problem> {
    let mut problems = Vec::new();
    if current.algorithm != Some(planned.algorithm) {
        let there = current.algorithm.map_or("of a kind that is not known here", KeyAlgorithm::acm_name);
        problems.push(Problem::new(format!(
            "its key would be {}, the one there is {there}, and ACM lets neither the type nor the size change",
            planned.algorithm.acm_name()
        )));
    }
    let (key_usages, extended) = split(&planned.usages);
    let ecdsa = planned.algorithm.family() == KeyFamily::Ecdsa;
    // ANY and CUSTOM are words of ACM for what it does not list; nothing can be said of them.
    let may_go = |usage: &str| matches!(usage, "ANY" | "CUSTOM") || (usage == "KEY_ENCIPHERMENT" && ecdsa);
    let dropped = current.key_usages.iter().filter(|usage| !key_usages.contains(usage) && !may_go(usage));
    let dropped_extended =
        current.extended_key_usages.iter().filter(|oid| !extended.contains(oid) && *oid != CLIENT_AUTH);
    for usage in dropped {
        problems.push(Problem::new(format!("the key usage {usage} would be dropped, and ACM lets none go")));
    }
    for oid in dropped_extended {
        problems.push(Problem::new(format!(
            "the extended key usage {} would be dropped, and ACM lets none go",
            extended_name(oid)
        )));
    }
    let stays = |domain: &String| planned.names.dns.contains(&domain.to_ascii_lowercase());
    if !current.domains.is_empty() && !current.domains.iter().any(stays) {
        problems.push(Problem::new(format!(
            "none of the domains there ({}) would be left, and ACM wants at least one to stay",
            current.domains.join(", ")
        )));
    }
    problems
}

fn family(family: KeyFamily) -> &'static str {
    match family {
        KeyFamily::Rsa => "RSA",
        KeyFamily::Ecdsa => "ECDSA",
    }
}

/// Usages as ACM tells them: its words, and OIDs (RFC 5280, section 4.2.1.12).
const fn in_acm(usage: Usage) -> (&'static str, &'static str, bool) {
    match usage {
        Usage::DigitalSignature => ("DIGITAL_SIGNATURE", "digital signature", false),
        Usage::ContentCommitment => ("NON_REPUDIATION", "content commitment", false),
        Usage::KeyEncipherment => ("KEY_ENCIPHERMENT", "key encipherment", false),
        Usage::DataEncipherment => ("DATA_ENCIPHERMENT", "data encipherment", false),
        Usage::KeyAgreement => ("KEY_AGREEMENT", "key agreement", false),
        Usage::ServerAuth => ("1.3.6.1.5.5.7.3.1", "server auth", true),
        Usage::ClientAuth => (CLIENT_AUTH, "client auth", true),
        Usage::CodeSigning => ("1.3.6.1.5.5.7.3.3", "code signing", true),
        Usage::EmailProtection => ("1.3.6.1.5.5.7.3.4", "email protection", true),
        Usage::TimeStamping => ("1.3.6.1.5.5.7.3.8", "timestamping", true),
        Usage::OcspSigning => ("1.3.6.1.5.5.7.3.9", "ocsp signing", true),
    }
}

fn split(usages: &[Usage]) -> (Vec<String>, Vec<String>) {
    let (mut words, mut oids) = (vec![], vec![]);
    for (name, _, extended) in usages.iter().copied().map(in_acm) {
        if extended { &mut oids } else { &mut words }.push(name.to_owned());
    }
    (words, oids)
}

fn extended_name(oid: &str) -> String {
    let known = [
        Usage::ServerAuth,
        Usage::ClientAuth,
        Usage::CodeSigning,
        Usage::EmailProtection,
        Usage::TimeStamping,
        Usage::OcspSigning,
    ];
    let name = known.into_iter().map(in_acm).find(|(known, ..)| *known == oid).map(|(_, name, _)| name);
    name.map_or_else(|| oid.to_owned(), |name| format!("{name} ({oid})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(algorithm: KeyAlgorithm, usages: &[Usage]) -> PlannedCertificate {
        PlannedCertificate {
            algorithm,
            signing_family: algorithm.family(),
            usages: usages.to_vec(),
            names: Names::new(&["a.example.com".into()], &[], &[], &[]).unwrap(),
            key_pem_bytes: 300,
        }
    }

    fn current(algorithm: KeyAlgorithm, usages: &[Usage]) -> CurrentInAcm {
        let (key_usages, extended_key_usages) = split(usages);
        CurrentInAcm { algorithm: Some(algorithm), key_usages, extended_key_usages, domains: vec![] }
    }

    const EC: KeyAlgorithm = KeyAlgorithm::EcPrime256v1;
    const RSA: KeyAlgorithm = KeyAlgorithm::Rsa2048;
    const ALL: [Usage; 4] = [Usage::DigitalSignature, Usage::KeyEncipherment, Usage::ServerAuth, Usage::ClientAuth];

    #[test]
    fn imports() {
        assert!(import_problems(&planned(EC, &ALL)).is_empty());
        let other_family = PlannedCertificate { signing_family: KeyFamily::Rsa, ..planned(EC, &ALL) };
        assert!(import_problems(&other_family)[0].to_string().contains("would be ECDSA and the private CA's is RSA"));
        assert_eq!(import_problems(&PlannedCertificate { key_pem_bytes: 5121, ..planned(EC, &ALL) }).len(), 1);
        assert_eq!(import_problems(&PlannedCertificate { names: Names::default(), ..planned(EC, &ALL) }).len(), 1);
    }

    #[test]
    fn key_type_and_size_stay() {
        assert!(reimport_problems(&current(RSA, &ALL), &planned(RSA, &ALL)).is_empty());
        assert_eq!(reimport_problems(&current(KeyAlgorithm::Rsa4096, &ALL), &planned(RSA, &ALL)).len(), 1);
        assert_eq!(reimport_problems(&current(EC, &ALL), &planned(RSA, &ALL)).len(), 1);
        let unknown = CurrentInAcm { algorithm: None, ..current(RSA, &ALL) };
        assert_eq!(reimport_problems(&unknown, &planned(RSA, &ALL)).len(), 1);
    }

    #[test]
    fn usages_may_come_but_not_go() {
        let more = [&ALL[..], &[Usage::CodeSigning, Usage::KeyAgreement]].concat();
        assert!(reimport_problems(&current(RSA, &ALL), &planned(RSA, &more)).is_empty());
        let problems = reimport_problems(&current(RSA, &more), &planned(RSA, &ALL));
        assert_eq!(problems.len(), 2);
        assert!(problems[1].to_string().contains("code signing (1.3.6.1.5.5.7.3.3)"));
        // The two that may go: client auth, and key encipherment of an ECDSA certificate.
        let fewer = [Usage::DigitalSignature, Usage::ServerAuth];
        assert!(reimport_problems(&current(EC, &ALL), &planned(EC, &fewer)).is_empty());
        assert_eq!(reimport_problems(&current(RSA, &ALL), &planned(RSA, &fewer)).len(), 1);
    }

    #[test]
    fn an_extension_is_not_introduced() {
        assert!(introduced_problems(&current(EC, &ALL), &planned(EC, &ALL)).is_empty());
        let none = introduced_problems(&current(EC, &[]), &planned(EC, &ALL));
        assert_eq!(none.len(), 2);
        assert!(none[0].to_string().contains("no key usages"), "{none:?}");
        let extended = introduced_problems(&current(EC, &[Usage::DigitalSignature]), &planned(EC, &ALL));
        assert!(extended.len() == 1 && extended[0].to_string().contains("no extended key usages"), "{extended:?}");
        assert!(introduced_problems(&current(EC, &[]), &planned(EC, &[])).is_empty());
    }

    #[test]
    fn the_usages_to_ask_for_are_told() {
        use Usage::{DigitalSignature, ServerAuth};
        let ask = |there: &[Usage], wanted: &[Usage]| usages_to_ask_for(&current(EC, there), &planned(EC, wanted));
        assert_eq!(ask(&ALL, &ALL), None);
        assert!(ask(&[DigitalSignature], &ALL).unwrap().starts_with("leave server auth"));
        assert!(ask(&[ServerAuth], &ALL).unwrap().starts_with("leave digital signature"));
        // Nothing can be left out until none is left: that asks for the usual ones.
        assert!(ask(&[], &ALL).unwrap().contains("can't be taken over"));
        assert!(ask(&[], &[ServerAuth]).unwrap().contains("can't be taken over"));
    }

    #[test]
    fn the_key_to_ask_for_is_told() {
        assert_eq!(key_to_ask_for(&current(EC, &ALL), &planned(EC, &ALL)), None);
        let ask = |there| key_to_ask_for(&current(there, &ALL), &planned(EC, &ALL)).unwrap();
        assert_eq!(ask(KeyAlgorithm::EcSecp384r1), "set spec.privateKey to algorithm ECDSA and size 384");
        let other = ask(KeyAlgorithm::Rsa4096);
        assert!(other.starts_with("set spec.privateKey to algorithm RSA and size 4096, and spec.source"), "{other}");
        assert!(ask(KeyAlgorithm::Rsa1024).contains("can't be kept"));
    }

    #[test]
    fn one_of_the_domains_has_to_stay() {
        let there = |domains: &[&str]| CurrentInAcm {
            domains: domains.iter().map(ToString::to_string).collect(),
            ..current(EC, &ALL)
        };
        assert!(reimport_problems(&there(&["A.example.com", "b.example.com"]), &planned(EC, &ALL)).is_empty());
        let refused = reimport_problems(&there(&["b.example.com"]), &planned(EC, &ALL));
        assert!(refused[0].to_string().contains("b.example.com"), "{refused:?}");
    }
}
