use super::*;
use crate::api::{AwsAccount, Certificate};
use proptest::prelude::*;
use serde_json::{Value, json};

fn certificate(name: &str, more: &Value) -> Certificate {
    let mut object = json!({
        "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
        "metadata": { "name": name, "namespace": "pay", "uid": name, "resourceVersion": "1" },
        "spec": {
            "accountRef": { "name": "prod" }, "region": "eu-west-1", "subject": { "domainName": format!("{name}.example") },
            "source": { "privateCa": { "certificateAuthority": { "name": "ca" } } }, "secret": { "name": format!("{name}-tls") },
        },
    });
    if let (Some(object), Some(more)) = (object.as_object_mut(), more.as_object()) {
        object.extend(more.clone());
    }
    serde_json::from_value(object).unwrap()
}

fn status(reason: &str) -> Value {
    json!({ "status": { "fingerprint": "00".repeat(32), "conditions": [
        { "type": "Ready", "status": "True", "reason": reason, "message": "m".repeat(300), "lastTransitionTime": "2026-01-01T00:00:00Z" },
    ] } })
}

fn told(changes: &[Change<Certificate>]) -> Vec<String> {
    let told = changes.iter().map(|change| match change {
        Change::Listed => "listed".to_owned(),
        Change::Applied(key, object) => format!("{key} is {}", object.spec.subject.domain_name),
        Change::Deleted(key, _) => format!("{key} is gone"),
    });
    told.collect()
}

#[test]
fn a_list_is_told_once_it_is_whole_and_with_who_is_gone() {
    let (store, mut writer) = Store::new();
    for name in ["a", "b"] {
        assert!(writer.apply(Event::InitApply(certificate(name, &Value::Null))).is_empty());
    }
    assert!(store.find(Some("pay"), "a").is_none());
    assert_eq!(told(&writer.apply(Event::InitDone)), ["listed"]);
    assert_eq!(store.get(Some("pay"), "a").as_deref(), Some(&certificate("a", &Value::Null)));
    writer.apply(Event::Init);
    writer.apply(Event::InitApply(certificate("b", &status("Kept"))));
    assert_eq!(told(&writer.apply(Event::InitDone)), ["pay/a is gone", "listed"]);
    assert!(store.get(Some("pay"), "a").is_none());
    assert_eq!(store.keys(|_, gist| gist.ready), [Key::new(Some("pay"), "b")]);
}

#[test]
fn changes_are_told_with_the_object() {
    let (store, mut writer) = Store::new();
    assert_eq!(told(&writer.apply(Event::Apply(certificate("a", &Value::Null)))), ["pay/a is a.example"]);
    let key = store.find(Some("pay"), "a").unwrap();
    assert!(store.keys(|_, gist| gist.keeps("a-tls")).contains(&key));
    assert_eq!(told(&writer.apply(Event::Delete(certificate("a", &Value::Null)))), ["pay/a is gone"]);
    assert!(store.at(&key).is_none() && store.gists(|_| true).is_empty());
}

#[test]
fn what_is_alike_takes_little() {
    let (store, mut writer) = Store::new();
    writer.apply(Event::Apply(certificate("first", &Value::Null)));
    for n in 0..10 {
        writer.apply(Event::Apply(certificate(&format!("app-{n}"), &status("Kept"))));
    }
    let whole = serde_json::to_vec(&certificate("app-9", &status("Kept"))).unwrap().len();
    let kept = store.with(|objects| match &objects["pay/app-9"].body {
        Body::Packed(packed) => packed.len(),
        Body::Decoded(_) => whole,
    });
    assert!(kept * 4 < whole, "{kept} of {whole} bytes");
}

#[test]
fn accounts_stay_decoded() {
    let (store, mut writer) = Store::new();
    let account: AwsAccount =
        serde_json::from_value(json!({ "metadata": { "name": "prod" }, "spec": { "regions": ["eu-west-1"] } }))
            .unwrap();
    writer.apply(Event::Apply(account));
    let (first, second) = (store.get(None, "prod").unwrap(), store.get(None, "prod").unwrap());
    assert!(Arc::ptr_eq(&first, &second));
}

#[tokio::test]
async fn it_is_filled_by_the_first_list() {
    let (store, mut writer) = Store::<Certificate>::new();
    let waits = tokio::spawn({
        let store = store.clone();
        async move { store.filled().await }
    });
    writer.apply(Event::Init);
    assert!(!waits.is_finished());
    writer.apply(Event::InitDone);
    waits.await.unwrap();
    store.filled().await;
}

proptest! {
    #[test]
    fn what_was_put_is_what_is_read(messages in prop::collection::vec((0..5_usize, "\\PC{0,400}"), 1..40)) {
        let (store, mut writer) = Store::new();
        let mut last = HashMap::new();
        for (n, message) in messages {
            let object = certificate(&format!("app-{n}"), &status(&message));
            writer.apply(Event::Apply(object.clone()));
            last.insert(n, object);
        }
        for (n, object) in last {
            let kept = store.get(Some("pay"), &format!("app-{n}"));
            prop_assert_eq!(kept.as_deref(), Some(&object));
        }
    }
}
