//! Faults that are put into calls on request.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    /// The connection is closed and the call has no effect.
    DropRequest,
    /// The call has its effect and the connection is closed without an answer.
    DropReply,
    /// The call has its effect and the answer comes later.
    Delay {
        /// How much later, in real milliseconds.
        millis: u64,
    },
    /// The call is refused.
    Error {
        /// The error's code.
        code: String,
        /// The HTTP status; 400 when absent.
        status: Option<u16>,
        /// The message; empty when absent.
        message: Option<String>,
    },
    /// Private CA's GetCertificate gives a certificate of another key.
    WrongCertificate,
    /// The call has its effect and the answer is another one.
    Answer {
        /// What goes over the answer (RFC 7396, JSON Merge Patch): null takes a field away.
        with: Value,
    },
    /// The call has its effect and one field of the answer is a very long text.
    Fill {
        /// The field's name.
        field: String,
        /// Its length.
        bytes: usize,
    },
}

impl Effect {
    /// What this makes of the answer to a call that succeeded, if it is of that kind.
    #[must_use]
    pub fn change(&self, mut answer: Value) -> Value {
        match self {
            Self::Answer { with } => merge(&mut answer, with),
            Self::Fill { field, bytes } => answer[field] = json!("x".repeat(*bytes)),
            _ => {}
        }
        answer
    }

    /// Whether it needs an answer to work upon: it waits for a call that succeeds.
    #[must_use]
    pub fn needs_success(&self) -> bool {
        matches!(self, Self::WrongCertificate | Self::Answer { .. } | Self::Fill { .. })
    }
}

/// RFC 7396, section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (name, value) in patch {
        if value.is_null() {
            target.as_object_mut().map(|fields| fields.remove(name));
        } else {
            merge(&mut target[name], value);
        }
    }
}

/// A fault and the calls it is for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The caller's account; any when absent.
    pub account: Option<String>,
    /// The region; any when absent.
    pub region: Option<String>,
    /// Such as `IssueCertificate`, with a service in front as `acm-pca:GetCertificate`, or `*`.
    pub operation: String,
    /// How many calls that it fits are let be before.
    #[serde(default)]
    pub skip: u32,
    /// For how many calls; null for all, 1 when absent.
    #[serde(default = "once")]
    pub count: Option<u32>,
    /// What goes wrong.
    pub effect: Effect,
}

#[expect(clippy::unnecessary_wraps, reason = "serde's default has the field's type")]
fn once() -> Option<u32> {
    Some(1)
}

/// All faults, in the order they were asked for; the first that fits a call is taken.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds a fault.
    pub fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// The effect that comes upon a call, if any, and one count less of it.
    pub fn take(&mut self, account: &str, region: &str, service: &str, operation: &str) -> Option<Effect> {
        let fits = |fault: &Fault| {
            let wanted = fault.operation.as_str();
            let is_named = wanted == "*" || wanted == operation || wanted.split_once(':') == Some((service, operation));
            let is_possible =
                fault.effect != Effect::WrongCertificate || (service, operation) == ("acm-pca", "GetCertificate");
            is_named
                && is_possible
                && fault.account.as_deref().is_none_or(|one| one == account)
                && fault.region.as_deref().is_none_or(|one| one == region)
        };
        let at = self.0.iter().position(fits)?;
        if let Some(left) = self.0[at].skip.checked_sub(1) {
            self.0[at].skip = left;
            return None;
        }
        let effect = self.0[at].effect.clone();
        match &mut self.0[at].count {
            None => {}
            Some(count @ 2..) => *count -= 1,
            Some(_) => drop(self.0.remove(at)),
        }
        Some(effect)
    }

    /// Gives an effect back that could not come upon its call.
    pub fn restore(&mut self, account: &str, region: &str, operation: &str, effect: Effect) {
        let (account, region) = (Some(account.to_owned()), Some(region.to_owned()));
        let fault = Fault { account, region, operation: operation.to_owned(), skip: 0, count: Some(1), effect };
        self.0.insert(0, fault);
    }

    /// Forgets the faults of an account, or all.
    pub fn clear(&mut self, account: Option<&str>) {
        self.0.retain(|fault| account.is_some() && fault.account.as_deref() != account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(value: Value) -> Fault {
        serde_json::from_value(value).unwrap()
    }

    /// Control interface, POST /_sim/faults: account, region, operation and count select the calls.
    #[test]
    fn a_fault_comes_upon_the_calls_it_names() {
        let mut all = Faults::default();
        all.add(fault(json!({"account": "111122223333", "region": "eu-west-1", "operation": "GetCertificate",
            "count": 2, "effect": {"kind": "delay", "millis": 5}})));
        assert_eq!(all.take("444455556666", "eu-west-1", "acm", "GetCertificate"), None);
        assert_eq!(all.take("111122223333", "us-east-1", "acm", "GetCertificate"), None);
        assert_eq!(all.take("111122223333", "eu-west-1", "acm", "ListCertificates"), None);
        let mut take = || all.take("111122223333", "eu-west-1", "acm", "GetCertificate");
        assert_eq!(take(), Some(Effect::Delay { millis: 5 }));
        assert_eq!(take(), Some(Effect::Delay { millis: 5 }));
        assert_eq!(take(), None);
    }

    /// Control interface, POST /_sim/faults, `skip`: what comes half-way.
    #[test]
    fn the_first_calls_may_be_let_be() {
        let mut all = Faults::default();
        all.add(fault(json!({"operation": "ListAccounts", "skip": 2, "count": 1, "effect": {"kind": "dropRequest"}})));
        let mut take = || all.take("1", "us-east-1", "organizations", "ListAccounts");
        assert_eq!([take(), take(), take(), take()], [None, None, Some(Effect::DropRequest), None]);
    }

    /// Control interface, POST /_sim/faults, `answer` and `fill`.
    #[test]
    fn an_answer_is_changed() {
        let effect = |value| serde_json::from_value::<Effect>(value).unwrap();
        let answer = json!({"Certificate": {"Serial": "67:07", "Type": "IMPORTED"}});
        let with = effect(json!({"kind": "answer", "with": {"Certificate": {"Serial": null, "Type": 7}}}));
        assert_eq!(with.change(answer.clone()), json!({"Certificate": {"Type": 7}}));
        let fill = effect(json!({"kind": "fill", "field": "Certificate", "bytes": 3}));
        assert_eq!(fill.change(answer.clone()), json!({"Certificate": "xxx"}));
        assert_eq!(Effect::DropReply.change(answer.clone()), answer);
    }

    /// Control interface, POST /_sim/faults: a service may be named; null counts never end; wrongCertificate is for
    /// Private CA's GetCertificate only.
    #[test]
    fn services_and_endless_faults() {
        let mut all = Faults::default();
        all.add(fault(json!({"operation": "GetCertificate", "effect": {"kind": "wrongCertificate"}})));
        all.add(fault(json!({"account": "1", "operation": "acm:GetCertificate", "count": null,
            "effect": {"kind": "error", "code": "InternalFailure", "status": 500}})));
        for _ in 0..3 {
            assert!(matches!(all.take("1", "r", "acm", "GetCertificate"), Some(Effect::Error { .. })));
        }
        assert_eq!(all.take("1", "r", "acm-pca", "GetCertificate"), Some(Effect::WrongCertificate));
        assert_eq!(all.take("1", "r", "acm-pca", "GetCertificate"), None);
        all.clear(Some("2"));
        assert!(all.take("1", "r", "acm", "GetCertificate").is_some());
        all.clear(Some("1"));
        assert!(all.take("1", "r", "acm", "GetCertificate").is_none());
    }
}
