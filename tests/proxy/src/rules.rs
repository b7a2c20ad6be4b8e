//! Which calls something happens to, and what.

use crate::call::Call;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Act {
    /// The client is killed, and nothing is forwarded.
    KillBefore,
    /// It is forwarded and its answer awaited; the client is killed, and the answer thrown away.
    KillAfterEffect,
    /// The answer is delivered, and the client is killed.
    KillAfterAnswer {
        /// So many milliseconds after the answer's last byte was handed over.
        #[serde(default = "moment")]
        millis: u64,
    },
    /// The client is stopped and the call held until `release`.
    FreezeBefore,
    /// The connection is closed and nothing is forwarded.
    DropRequest,
    /// It is forwarded, and the connection closed without an answer.
    DropReply,
    /// It is forwarded, and the answer comes later.
    Delay {
        /// So many milliseconds later.
        millis: u64,
    },
    /// It is not forwarded, but answered with this.
    Status {
        /// The HTTP status.
        status: u16,
        /// The reason of a Kubernetes Status, or AWS's error code.
        #[serde(default)]
        reason: String,
        /// The message.
        #[serde(default)]
        message: String,
        /// More headers, such as Retry-After.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// The whole body, in the place of that made from reason and message.
        #[serde(default)]
        body: Option<Value>,
    },
    /// It is forwarded and, where it had an effect, answered with this all the same.
    StatusAfterEffect {
        /// The HTTP status.
        status: u16,
        /// The reason of a Kubernetes Status, or AWS's error code.
        #[serde(default)]
        reason: String,
    },
    /// It is not forwarded and never answered.
    Hang,
    /// It is forwarded; of a watch no event comes through, and its connection stays open.
    Silence,
}

fn moment() -> u64 {
    5
}

/// A rule, as it is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The HTTP method; any when absent.
    #[serde(default)]
    pub method: Option<String>,
    /// A regular expression that is found in the path; any when absent.
    #[serde(default)]
    pub path: Option<String>,
    /// The path template, whole; any when absent.
    #[serde(default)]
    pub template: Option<String>,
    /// AWS's operation; any when absent.
    #[serde(default)]
    pub operation: Option<String>,
    /// `namespace/name` of the object; any when absent.
    #[serde(default)]
    pub object: Option<String>,
    /// Only calls that may change something, or only those that may not; all when absent.
    #[serde(default)]
    pub mutating: Option<bool>,
    /// So many calls that fit are let through first.
    #[serde(default)]
    pub skip: u32,
    /// For how many calls after these; null for all, 1 when absent.
    #[serde(default = "once")]
    pub count: Option<u32>,
    /// What happens to them.
    pub act: Act,
}

#[expect(clippy::unnecessary_wraps, reason = "serde's default has the field's type")]
fn once() -> Option<u32> {
    Some(1)
}

impl Rule {
    /// A rule for the first call of any kind; to be narrowed with the fields.
    #[must_use]
    pub fn new(act: Act) -> Self {
        let (method, path, template, operation, object) = (None, None, None, None, None);
        Self { method, path, template, operation, object, mutating: None, skip: 0, count: Some(1), act }
    }
}

/// A rule at work.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Active {
    /// Its number.
    pub id: u64,
    /// What was asked for.
    pub rule: Rule,
    /// The calls that fitted.
    pub matched: u32,
    /// The calls that it was applied to.
    pub applied: u32,
    #[serde(skip)]
    path: Option<Regex>,
}

impl Active {
    fn fits(&self, call: &Call) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| wanted.as_deref().is_none_or(|w| Some(w) == value);
        is(&self.rule.method, Some(&call.method))
            && is(&self.rule.template, Some(&call.template))
            && is(&self.rule.operation, call.operation.as_deref())
            && is(&self.rule.object, call.object.as_deref())
            && self.rule.mutating.is_none_or(|wanted| wanted == call.mutating)
            && self.path.as_ref().is_none_or(|path| path.is_match(&call.path))
    }
}

/// All rules, in the order they were asked for.
#[derive(Debug, Default)]
pub struct Rules {
    active: Vec<Active>,
    last: u64,
}

impl Rules {
    /// Adds a rule; returns its number.
    ///
    /// # Errors
    /// If the path is no regular expression.
    pub fn add(&mut self, rule: Rule) -> Result<u64, regex::Error> {
        let path = rule.path.as_deref().map(Regex::new).transpose()?;
        self.last += 1;
        self.active.push(Active { id: self.last, rule, matched: 0, applied: 0, path });
        Ok(self.last)
    }

    /// What happens to a call. Every rule that fits counts it; the first that is due is applied.
    pub fn take(&mut self, call: &Call) -> Option<Act> {
        let mut taken = None;
        for active in &mut self.active {
            if !active.fits(call) {
                continue;
            }
            active.matched = active.matched.saturating_add(1);
            let due = active.matched > active.rule.skip && active.rule.count.is_none_or(|count| active.applied < count);
            if due && taken.is_none() {
                active.applied += 1;
                taken = Some(active.rule.act.clone());
            }
        }
        taken
    }

    /// The rules, with what they did.
    #[must_use]
    pub fn all(&self) -> &[Active] {
        &self.active
    }

    /// Forgets a rule, or all; those that are held stay held.
    pub fn clear(&mut self, id: Option<u64>) {
        self.active.retain(|active| id.is_some_and(|id| id != active.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(method: &str, name: &str) -> Call {
        let path = format!("/api/v1/namespaces/pay/secrets/{name}");
        let request = hyper::Request::builder().method(method).uri(path).body(()).unwrap();
        Call::read(&request.into_parts().0, b"")
    }

    fn rules(values: &[Value]) -> Rules {
        let mut all = Rules::default();
        for value in values {
            all.add(serde_json::from_value(value.clone()).unwrap()).unwrap();
        }
        all
    }

    #[test]
    fn skip_and_count_choose_among_the_calls_that_fit() {
        let mut all =
            rules(&[json!({"method": "PUT", "path": "/secrets/a", "skip": 1, "act": {"kind": "killBefore"}})]);
        let mut take = |method, name| all.take(&call(method, name)).is_some();
        assert!(!take("GET", "app") && !take("PUT", "other"));
        assert_eq!([take("PUT", "app"), take("PUT", "app"), take("PUT", "app")], [false, true, false]);
        assert_eq!((all.all()[0].matched, all.all()[0].applied), (3, 1));
    }

    #[test]
    fn a_null_count_never_ends_and_the_first_rule_wins() {
        let mut all = rules(&[
            json!({"count": null, "act": {"kind": "delay", "millis": 3}}),
            json!({"object": "pay/app", "act": {"kind": "dropReply"}}),
        ]);
        for _ in 0..3 {
            assert_eq!(all.take(&call("PUT", "app")), Some(Act::Delay { millis: 3 }));
        }
        all.clear(Some(1));
        assert_eq!(all.take(&call("PUT", "app")), Some(Act::DropReply));
        assert_eq!(all.take(&call("PUT", "app")), None);
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        let rule = |value: Value| serde_json::from_value::<Rule>(value);
        assert!(rule(json!({"verb": "PUT", "act": {"kind": "hang"}})).is_err());
        assert!(rule(json!({"act": {"kind": "explode"}})).is_err());
        let mut all = Rules::default();
        assert!(all.add(rule(json!({"path": "(", "act": {"kind": "hang"}})).unwrap()).is_err());
    }
}
