//! What was paid for, or imported without an ARN, by revision and by target: the ledger of aws-sim has each request.

use crate::{scenario::Scenario, stand::Entry, world::in_acm};
use arnkeeper::api::CertificateRequest;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use kube::ResourceExt;
use serde_json::Value;
use std::collections::BTreeMap;

/// The tag that names a target.
const TARGET_TAG: &str = "arnkeeper.dev/target";

/// What was paid for, or imported without an ARN, or is gone from ACM, and should not; `more` may be paid for exactly, and
/// imported at most, besides.
pub fn payments(
    ledger: &[Entry],
    requests: &[CertificateRequest],
    scenario: Scenario,
    before: &[String],
    more: (usize, usize),
) -> Vec<String> {
    let price = scenario.price() + more.0;
    let mut faults = of_revisions(ledger, requests);
    let paid = issued(ledger).count();
    if paid != price {
        faults.push(format!("{paid} certificates were paid for instead of {price}"));
    }
    faults.extend(of_targets(ledger, scenario.places(), more.1));
    let now = in_acm(ledger);
    if scenario != Scenario::Deletion && before.iter().any(|arn| !now.contains_key(arn)) {
        faults.push(format!("the ARNs were {before:?} and are {:?}", now.keys()));
    }
    faults
}

/// The calls of IssueCertificate that had an effect.
fn issued(ledger: &[Entry]) -> impl Iterator<Item = &Entry> {
    ledger.iter().filter(|entry| entry.operation == "IssueCertificate" && entry.effective)
}

/// The CSR of a call, as its request has it.
fn csr(entry: &Entry) -> String {
    let sent = BASE64_STANDARD.decode(entry.body["Csr"].as_str().unwrap_or_default()).unwrap_or_default();
    String::from_utf8_lossy(sent.trim_ascii()).into_owned()
}

/// Each revision has a CSR of its own: none is paid for twice, and what a request was answered with is what was paid for.
fn of_revisions(ledger: &[Entry], requests: &[CertificateRequest]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut paid: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
    for entry in issued(ledger) {
        paid.entry(csr(entry)).or_default().push(entry);
    }
    let name = |csr: &str| {
        let of = requests.iter().find(|request| request.spec.csr.as_deref().is_some_and(|own| own.trim() == csr));
        of.map_or_else(|| "a request that is gone".to_owned(), ResourceExt::name_any)
    };
    for (csr, entries) in paid.iter().filter(|(_, entries)| entries.len() != 1) {
        faults.push(format!("{} was paid for {} times", name(csr), entries.len()));
    }
    for request in requests {
        let Some(arn) = request.status.as_ref().and_then(|status| status.certificate_arn.as_ref()) else { continue };
        let own = request.spec.csr.as_deref().unwrap_or_default().trim();
        let answers: Vec<&str> = paid.get(own).into_iter().flatten().filter_map(|e| e.arn.as_deref()).collect();
        if !answers.contains(&arn.to_string().as_str()) {
            faults.push(format!("{} has {arn}, and {answers:?} was paid for with its CSR", request.name_any()));
        }
    }
    faults
}

/// The place of what came to ACM without an ARN: its region, and its target.
fn place(entry: &Entry) -> (String, String) {
    let tags = entry.body["Tags"].as_array().into_iter().flatten();
    let target = tags.filter(|tag| tag["Key"] == TARGET_TAG).find_map(|tag| tag["Value"].as_str());
    (entry.region.clone(), target.unwrap_or("nobody").to_owned())
}

/// Each target is imported without an ARN, or requested from ACM, once, in its region; `more` of all of them are so besides.
fn of_targets(ledger: &[Entry], places: &[(&str, &str)], more: usize) -> Vec<String> {
    let is_new = |entry: &&Entry| {
        let imports = entry.operation == "ImportCertificate" && entry.body["CertificateArn"] == Value::Null;
        (imports || entry.operation == "RequestCertificate") && entry.effective
    };
    let mut made: BTreeMap<(String, String), usize> = BTreeMap::new();
    for entry in ledger.iter().filter(is_new) {
        *made.entry(place(entry)).or_default() += 1;
    }
    let mut faults = Vec::new();
    let total: usize = made.values().sum();
    if total > places.len() + more {
        faults.push(format!("{total} imports without an ARN had an effect instead of {}", places.len()));
    }
    for (region, target) in places {
        let count = made.remove(&((*region).to_owned(), (*target).to_owned())).unwrap_or(0);
        if count == 0 || count > 1 + more {
            faults.push(format!("target {target} in {region}: {count} imports without an ARN had an effect"));
        }
    }
    for ((region, target), count) in made {
        faults.push(format!("{count} imports without an ARN for {target} in {region}, which nobody asked for"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(operation: &str, region: &str, arn: &str, body: Value) -> Entry {
        Entry { operation: operation.into(), region: region.into(), effective: true, arn: Some(arn.into()), body }
    }

    fn issue(csr: &str, arn: &str) -> Entry {
        entry("IssueCertificate", "eu-west-1", arn, json!({ "Csr": BASE64_STANDARD.encode(csr) }))
    }

    fn import(region: &str, target: &str) -> Entry {
        let tags = json!([{ "Key": "team", "Value": "pay" }, { "Key": TARGET_TAG, "Value": target }]);
        entry("ImportCertificate", region, target, json!({ "Tags": tags }))
    }

    const ARN: &str = "arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/\
                       00000000-0000-0000-0000-000000000000/certificate/0123456789abcdef0123456789abcdef";

    fn request(name: &str, csr: &str, arn: Option<&str>) -> CertificateRequest {
        serde_json::from_value(json!({
            "apiVersion": "arnkeeper.dev/v1beta1", "kind": "CertificateRequest", "metadata": { "name": name },
            "spec": { "accountRef": { "name": "prod" }, "region": "eu-west-1", "duration": "168h", "csr": csr,
                "certificateAuthority": { "name": "Example Private CA" } },
            "status": { "certificateArn": arn },
        }))
        .unwrap()
    }

    #[test]
    fn what_one_revision_lacks_is_not_made_up_for_by_another_one() {
        let requests = [request("app-1", "one\n", Some(ARN)), request("app-2", "two\n", None)];
        assert!(of_revisions(&[issue("one", ARN), issue("two", "b")], &requests).is_empty());
        let twice = of_revisions(&[issue("one", ARN), issue("one", "b")], &requests);
        assert_eq!(twice, ["app-1 was paid for 2 times"]);
        let others = of_revisions(&[issue("one", "a"), issue("two", ARN)], &requests);
        assert!(others.len() == 1 && others[0].starts_with("app-1 has arn:"), "{others:?}");
        let gone = of_revisions(&[issue("x", "a"), issue("x", "b")], &[]);
        assert_eq!(gone, ["a request that is gone was paid for 2 times"]);
    }

    #[test]
    fn what_one_target_lacks_is_not_made_up_for_by_another_one() {
        let places = [("eu-west-1", "edge"), ("us-east-1", "cdn")];
        assert!(of_targets(&[import("eu-west-1", "edge"), import("us-east-1", "cdn")], &places, 0).is_empty());
        let edges = [import("eu-west-1", "edge"), import("eu-west-1", "edge")];
        assert_eq!(of_targets(&edges, &places, 0).len(), 2);
        assert_eq!(of_targets(&edges, &places[..1], 1), Vec::<String>::new());
        let elsewhere = [import("eu-west-1", "edge"), import("eu-west-1", "cdn")];
        assert_eq!(of_targets(&elsewhere, &places, 0).len(), 2);
    }
}
