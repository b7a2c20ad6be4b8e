//! What was called, in order.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

/// A call that came in.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Counts from 1; not started anew by DELETE /_sim/ledger.
    pub seq: u64,
    /// The emulator's time.
    pub at: Timestamp,
    /// The caller's account; empty when the key is not known.
    pub account: String,
    /// The region of the credential scope.
    pub region: String,
    /// `acm`, `acm-pca`, `organizations`, `secretsmanager`, `sts` or `iam`.
    pub service: String,
    /// Such as `IssueCertificate`.
    pub operation: String,
    /// `ok`, the error's code, or `dropped` when the connection was closed without an answer.
    pub outcome: String,
    /// Whether the state was changed: false for a read, a refusal and a replayed token.
    pub effective: bool,
    /// The ARN of what was made or touched.
    pub arn: Option<String>,
    /// The id of the access key.
    pub access_key_id: String,
    /// The request, with private keys and passphrases hidden.
    pub body: Value,
}

/// All calls.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
    last: u64,
    /// ARNs that were made: an answer that names one of them again made nothing.
    made: BTreeSet<String>,
}

/// The start of operations that change nothing.
const READS: [&str; 6] = ["Describe", "Get", "List", "Search", "Export", "Simulate"];
/// Operations whose answer names what they made, and which a token may make repeatable.
const MAKERS: [&str; 4] = ["CreateCertificateAuthority", "IssueCertificate", "RequestCertificate", "ImportCertificate"];

impl Ledger {
    /// Adds a call; its `seq` is set here.
    pub fn add(&mut self, mut entry: Entry) {
        self.last += 1;
        entry.seq = self.last;
        self.entries.push(entry);
    }

    /// Whether a call that succeeded with this ARN changed the state; notes the ARN.
    ///
    /// Assuming a role makes credentials only, which does not count.
    pub fn note_effect(&mut self, service: &str, operation: &str, body: &Value, arn: Option<&str>) -> bool {
        if service == "sts" || READS.iter().any(|read| operation.starts_with(read)) {
            return false;
        }
        let is_reimport = operation == "ImportCertificate" && !body["CertificateArn"].is_null();
        if !MAKERS.contains(&operation) || is_reimport {
            return true;
        }
        arn.is_none_or(|arn| self.made.insert(arn.to_owned()))
    }

    /// The calls of an account, or of an operation, or both.
    pub fn find(&self, account: Option<&str>, operation: Option<&str>) -> Vec<&Entry> {
        let is_asked = |entry: &&Entry| {
            account.is_none_or(|account| entry.account == account)
                && operation.is_none_or(|operation| entry.operation == operation)
        };
        self.entries.iter().filter(is_asked).collect()
    }

    /// Forgets the calls, but neither their count nor what they made.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

/// The request with its secrets hidden.
pub fn hide(body: &Value) -> Value {
    let mut out = body.clone();
    for field in ["PrivateKey", "Passphrase"] {
        if !body[field].is_null() {
            out[field] = json!("(hidden)");
        }
    }
    out
}

/// The ARN of what a call made, or else touched.
pub fn subject(operation: &str, body: &Value, answer: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let authority = text(&body["CertificateAuthorityArn"]);
    if let ("RevokeCertificate", Some(authority), Some(serial)) =
        (operation, &authority, body["CertificateSerial"].as_str())
    {
        return Some(format!("{authority}/certificate/{}", crate::pca::plain_serial(serial)));
    }
    text(&answer["CertificateArn"])
        .or_else(|| text(&answer["CertificateAuthorityArn"]))
        .or_else(|| text(&body["CertificateArn"]))
        .or_else(|| text(&body["RoleArn"]))
        .or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control interface, GET /_sim/ledger: private keys are not shown.
    #[test]
    fn secrets_are_hidden() {
        let shown = hide(&json!({"PrivateKey": "c2VjcmV0", "Certificate": "eA=="}));
        assert_eq!(shown, json!({"PrivateKey": "(hidden)", "Certificate": "eA=="}));
    }

    /// Control interface, GET /_sim/ledger: `effective` is false for reads and replays.
    #[test]
    fn reads_and_replays_are_not_effective() {
        let mut ledger = Ledger::default();
        let none = json!({});
        assert!(!ledger.note_effect("acm", "DescribeCertificate", &none, Some("arn:1")));
        assert!(ledger.note_effect("acm-pca", "IssueCertificate", &none, Some("arn:1")));
        assert!(!ledger.note_effect("acm-pca", "IssueCertificate", &none, Some("arn:1")));
        assert!(ledger.note_effect("acm", "ImportCertificate", &none, Some("arn:2")));
        assert!(ledger.note_effect("acm", "ImportCertificate", &json!({"CertificateArn": "arn:2"}), Some("arn:2")));
        assert!(ledger.note_effect("acm", "DeleteCertificate", &none, Some("arn:2")));
        assert!(!ledger.note_effect("sts", "AssumeRole", &none, None));
    }

    /// Control interface, GET /_sim/ledger: a revocation is entered under the certificate's ARN.
    #[test]
    fn a_revocation_names_the_certificate() {
        let body = json!({"CertificateAuthorityArn": "arn:ca", "CertificateSerial": "0A:FF"});
        assert_eq!(subject("RevokeCertificate", &body, &Value::Null), Some("arn:ca/certificate/0aff".into()));
        assert_eq!(subject("IssueCertificate", &body, &json!({"CertificateArn": "arn:x"})), Some("arn:x".into()));
        assert_eq!(subject("DescribeCertificateAuthority", &body, &Value::Null), Some("arn:ca".into()));
    }
}
