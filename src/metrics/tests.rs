use super::*;
use crate::{
    api::{AwsAccount, Certificate},
    kube::{
        key::Key,
        store::{Gist, Kept as _, RenewedBy},
    },
};
use jiff::Timestamp;
use objects::View;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

const NOW: &str = "2026-06-01T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({ "type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": NOW })
}

fn certificate(name: &str, enabled: bool, renews: &str, ends: &str, conditions: &Value) -> (Key, Gist) {
    let object = json!({
        "metadata": { "name": name, "namespace": "payments" },
        "spec": {
            "enabled": enabled, "accountRef": { "name": "prod" }, "region": "eu-west-1",
            "source": { "privateCa": { "certificateAuthority": { "name": "ca" } } },
            "subject": { "domainName": "app.example" }, "secret": { "name": "app-tls" },
        },
        "status": { "notAfter": ends, "renewalTime": renews, "conditions": conditions },
    });
    let certificate: Certificate = serde_json::from_value(object).unwrap();
    (Key::of(&certificate), certificate.gist())
}

fn account(valid: &str) -> Arc<AwsAccount> {
    let object = json!({ "metadata": { "name": "prod" }, "spec": { "regions": ["eu-west-1"], "discovery": { "namespace": "a" } }, "status": { "accountId": "111122223333",
        "discovery": { "lastRun": NOW, "found": 5, "managed": 2, "expiring30d": 1, "expired": 1,
            "regions": [{ "region": "eu-west-1", "found": 5, "managed": 2, "expiring30d": 1, "expired": 1 }] },
        "conditions": [condition("Ready", valid, "Ready"), condition("CredentialsValid", valid, "Valid"),
            condition("Discovered", "False", "AccessDenied")] } });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn error(kind: Kind) -> AwsError {
    AwsError { kind, action: "acm:ImportCertificate", code: None, message: "no".into() }
}

/// The text of these objects.
fn text(metrics: &Metrics, certificates: &[(Key, Gist)], per_certificate: bool) -> String {
    text_with(metrics, &account("True"), certificates, per_certificate)
}

fn text_with(
    metrics: &Metrics,
    account: &Arc<AwsAccount>,
    certificates: &[(Key, Gist)],
    per_certificate: bool,
) -> String {
    let imported = [("111122223333".parse().unwrap(), "eu-west-1".parse().unwrap(), 7)];
    let view = View {
        accounts: std::slice::from_ref(account),
        certificates,
        requests: &[],
        imported: &imported,
        budgets: &[("prod".to_owned(), 1000, 7)],
        per_certificate,
    };
    metrics.text(&objects::registry(&view, now())).unwrap()
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "no {line:?} in\n{text}");
}

fn fleet() -> Vec<(Key, Gist)> {
    let ready = json!([condition("Ready", "True", "UpToDate")]);
    let stalled = json!([condition("Ready", "True", "UpToDate"), condition("Stalled", "True", "QuotaUsedUp")]);
    vec![
        certificate("fine", true, "2026-06-20T00:00:00Z", "2026-07-01T00:00:00Z", &ready),
        certificate("early", true, "2026-05-31T00:00:00Z", "2026-06-05T00:00:00Z", &ready),
        certificate("late", true, "2026-05-20T00:00:00Z", "2026-06-01T12:00:00Z", &stalled),
        certificate("ended", true, "2026-05-01T00:00:00Z", "2026-05-20T00:00:00Z", &stalled),
        certificate("off", false, "2026-05-01T00:00:00Z", "2026-05-20T00:00:00Z", &ready),
        certificate("new", true, "2026-06-20T00:00:00Z", "2027-07-01T00:00:00Z", &json!([])),
    ]
}

#[test]
fn certificates_are_counted_by_state_end_and_lateness() {
    let text = text(&Metrics::new(), &fleet(), false);
    for (state, count) in [("disabled", 1), ("expired", 1), ("stalled", 1), ("ready", 2), ("pending", 1)] {
        has(&text, &format!("arnkeeper_objects{{kind=\"Certificate\",state=\"{state}\"}} {count}"));
    }
    has(&text, "arnkeeper_objects{kind=\"AwsAccount\",state=\"ready\"} 1");
    has(&text, "arnkeeper_stalled_objects{kind=\"Certificate\",reason=\"QuotaUsedUp\"} 2");
    for (within, count) in [("24h", 1), ("168h", 2), ("336h", 2), ("720h", 3)] {
        has(&text, &format!("arnkeeper_certificates_expiring{{within=\"{within}\"}} {count}"));
    }
    has(&text, "arnkeeper_certificates_overdue{phase=\"early\"} 1");
    has(&text, "arnkeeper_certificates_overdue{phase=\"late\"} 2");
    has(&text, &format!("arnkeeper_next_expiration_timestamp_seconds {}", now().as_second() + 12 * 3600));
    has(&text, "arnkeeper_acm_certificates{account_id=\"111122223333\",region=\"eu-west-1\"} 7");
    has(&text, "arnkeeper_account_credentials_valid{account=\"prod\"} 1");
    for (state, count) in [("found", 5), ("managed", 2), ("expiring30d", 1), ("expired", 1)] {
        let labels = format!("{{account=\"prod\",region=\"eu-west-1\",state=\"{state}\"}}");
        has(&text, &format!("arnkeeper_discovered_certificates{labels} {count}"));
    }
    let last = format!("arnkeeper_discovery_last_run_timestamp_seconds{{account=\"prod\"}} {}", now().as_second());
    has(&text, &last);
    has(&text, "arnkeeper_discovery_complete{account=\"prod\"} 0");
    has(&text, "arnkeeper_account_budget_issues{account=\"prod\"} 1000");
    has(&text, "arnkeeper_account_budget_spent_issues{account=\"prod\"} 7");
    assert!(!text.contains("payments"), "a name that was not asked for");
}

#[test]
fn credentials_are_valid_or_not_or_not_tried() {
    let series = "arnkeeper_account_credentials_valid{account=\"prod\"}";
    for (status, value) in [("True", 1), ("False", 0)] {
        let text = text_with(&Metrics::new(), &account(status), &[], false);
        has(&text, &format!("{series} {value}"));
        has(&text, &format!("arnkeeper_account_ready{{account=\"prod\"}} {value}"));
    }
    let mut new = account("True");
    Arc::make_mut(&mut new).status = None;
    assert!(!text_with(&Metrics::new(), &new, &[], false).contains("credentials_valid{"));
}

#[test]
fn who_leads_is_told() {
    let metrics = Metrics::new();
    for (leads, value) in [(true, 1), (false, 0)] {
        metrics.leads(leads);
        has(&text(&metrics, &[], false), &format!("arnkeeper_leader {value}"));
    }
}

#[test]
fn what_is_only_watched_alarms_nobody() {
    let ended = json!([condition("Ready", "False", "Expired")]);
    let mut fleet = [
        certificate("ended", true, NOW, "2026-05-20T00:00:00Z", &ended),
        certificate("soon", true, NOW, "2026-06-01T12:00:00Z", &json!([condition("Ready", "True", "Observed")])),
        certificate("revoked", true, NOW, "2026-06-01T12:00:00Z", &json!([condition("Ready", "False", "Revoked")])),
    ];
    for (_, gist) in &mut fleet {
        gist.renewed_by = RenewedBy::Nobody;
    }
    let text = text(&Metrics::new(), &fleet, false);
    for (state, count) in [("observed", 3), ("expired", 0), ("pending", 0)] {
        has(&text, &format!("arnkeeper_objects{{kind=\"Certificate\",state=\"{state}\"}} {count}"));
    }
    has(&text, "arnkeeper_certificates_expiring{within=\"24h\"} 0");
    has(&text, "arnkeeper_watched_certificates_expiring{within=\"24h\"} 1");
    has(&text, "arnkeeper_certificates_overdue{phase=\"late\"} 0");
    assert!(!text.contains("next_expiration_timestamp_seconds"));
}

#[test]
fn certificates_have_names_only_when_asked_for() {
    let text = text(&Metrics::new(), &fleet(), true);
    let ends = "2026-07-01T00:00:00Z".parse::<Timestamp>().unwrap().as_second();
    let labels = "{namespace=\"payments\",name=\"fine\"}";
    has(&text, &format!("arnkeeper_certificate_expiration_timestamp_seconds{labels} {ends}"));
    has(&text, &format!("arnkeeper_certificate_ready{labels} 1"));
}

#[test]
fn reasons_that_others_invent_are_bounded() {
    let invented = |n: i32| json!([condition("Stalled", "True", &format!("R{n}"))]);
    let all: Vec<_> = (0..200).map(|n| certificate("x", true, NOW, "2027-01-01T00:00:00Z", &invented(n))).collect();
    let text = text(&Metrics::new(), &all, false);
    assert_eq!(text.matches("arnkeeper_stalled_objects{").count(), 61);
    has(&text, "arnkeeper_stalled_objects{kind=\"Certificate\",reason=\"Other\"} 140");
}

#[test]
fn counters_stand_at_zero_from_the_start() {
    let text = text(&Metrics::new(), &[], false);
    for series in [
        "arnkeeper_reconciles_total{kind=\"Certificate\",outcome=\"fault\"}",
        "arnkeeper_imports_total{type=\"new\",outcome=\"imported\"}",
        "arnkeeper_renewals_total{trigger=\"Renewal\",outcome=\"stalled\"}",
        "arnkeeper_issues_total{outcome=\"unknown\"}",
        "arnkeeper_unanswered_issue_attempts_total",
        "arnkeeper_duplicate_arns_total{outcome=\"removed\"}",
        "arnkeeper_watch_restarts_total{kind=\"Secret\"}",
        "arnkeeper_leader",
    ] {
        has(&text, &format!("{series} 0"));
    }
}

#[test]
fn what_happens_is_counted() {
    let metrics = Metrics::new();
    metrics.reconcile("Certificate".into()).ends(Outcome::Settled);
    drop(metrics.reconcile("Certificate".into()));
    metrics.called("prod", "eu-west-1", "acm:ImportCertificate", Some(&error(Kind::Throttled)), Duration::ZERO);
    metrics.imported(true, None);
    metrics.imported(false, Some(&error(Kind::Transient)));
    metrics.issued(Some(&error(Kind::AccessDenied)));
    metrics.renewed("SecretLost", true);
    metrics.renewed("written by somebody", true);
    metrics.asked(&http::Method::GET, None);
    let text = text(&metrics, &[], false);
    let call = "arnkeeper_aws_calls_total{account=\"prod\",region=\"eu-west-1\",operation=\"acm:ImportCertificate\"";
    for line in [
        "arnkeeper_reconciles_total{kind=\"Certificate\",outcome=\"settled\"} 1",
        "arnkeeper_reconciles_total{kind=\"Certificate\",outcome=\"fault\"} 1",
        "arnkeeper_reconciles_running{kind=\"Certificate\"} 0",
        &format!("{call},outcome=\"throttled\"}} 1"),
        &format!("{call},outcome=\"limit_exceeded\"}} 0"),
        "arnkeeper_imports_total{type=\"new\",outcome=\"imported\"} 1",
        "arnkeeper_imports_total{type=\"reimport\",outcome=\"unknown\"} 1",
        "arnkeeper_issues_total{outcome=\"refused\"} 1",
        "arnkeeper_renewals_total{trigger=\"SecretLost\",outcome=\"completed\"} 1",
        "arnkeeper_renewals_total{trigger=\"Restored\",outcome=\"completed\"} 1",
        "arnkeeper_kubernetes_requests_total{method=\"GET\",code=\"none\"} 1",
    ] {
        has(&text, line);
    }
    metrics.retain_accounts(|_| false);
    let text = self::text(&metrics, &[], false);
    assert!(!text.contains("arnkeeper_aws_calls_total{"), "series of an account that is gone");
}

/// Name, type, labels and meaning of every metric, as a table in Markdown.
fn table(text: &str) -> String {
    let (mut help, mut kinds, mut labels) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::<&str, Vec<&str>>::new());
    let suffixes = ["_total", "_bucket", "_sum", "_count", "_info"];
    for line in text.lines() {
        if let Some((name, words)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            help.insert(name, words.trim_end_matches('.'));
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            kinds.insert(name, kind);
        } else if let Some((name, rest)) = line.split_once('{') {
            let bare = suffixes.iter().find_map(|s| name.strip_suffix(s)).filter(|n| kinds.contains_key(n));
            let names = labels.entry(bare.unwrap_or(name)).or_default();
            for label in rest.split("\",").filter_map(|l| l.split_once('=')).map(|(l, _)| l.trim_start_matches(',')) {
                if label != "le" && !names.contains(&label) && !label.contains('}') {
                    names.push(label);
                }
            }
        }
    }
    let mut table = "| Name | Type | Labels | Meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for (name, meaning) in help {
        let suffix = match kinds[name] {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels: Vec<String> = labels.get(name).into_iter().flatten().map(|l| format!("`{l}`")).collect();
        writeln!(table, "| `{name}{suffix}` | {} | {} | {meaning} |", kinds[name], labels.join(", ")).unwrap();
    }
    table
}

#[test]
fn the_table_in_the_documentation_is_what_is_registered() {
    let metrics = Metrics::new();
    metrics.called("prod", "eu-west-1", "acm:ImportCertificate", None, Duration::ZERO);
    metrics.waited_for_turn("acm:ImportCertificate", Duration::ZERO);
    metrics.asked(&http::Method::GET, None);
    let wanted = table(&text(&metrics, &fleet(), true));
    let page = include_str!("../../docs/metrics.md");
    assert!(page.contains(&wanted), "docs/metrics.md has to hold this table:\n{wanted}");
}
