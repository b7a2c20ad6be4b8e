//! The whole emulated world, and what a call does to it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::{ApiError, Call};
use crate::clock::Clock;
use crate::faults::{Effect, Faults};
use crate::identity::{AccessKey, Identities};
use crate::ledger::{self, Entry, Ledger};
use crate::quotas::Quotas;
use crate::sigv4::{AuthError, Message, Signature};
use crate::{acm, iam, organizations, pca, secrets, sts};

/// An emulated service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// AWS Certificate Manager.
    Acm,
    /// AWS Private CA.
    Pca,
    /// AWS Organizations.
    Organizations,
    /// AWS Secrets Manager.
    Secrets,
    /// Security Token Service.
    Sts,
    /// Identity and Access Management.
    Iam,
}

impl Service {
    /// The name in credential scopes and IAM actions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Acm => "acm",
            Self::Pca => "acm-pca",
            Self::Organizations => "organizations",
            Self::Secrets => "secretsmanager",
            Self::Sts => "sts",
            Self::Iam => "iam",
        }
    }

    /// Whether it speaks the query protocol, with answers in XML; the others speak JSON.
    pub fn is_query(self) -> bool {
        matches!(self, Self::Sts | Self::Iam)
    }
}

/// What the caller gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The operation's answer.
    Answer(Value),
    /// An error.
    Refused {
        /// Its code.
        code: String,
        /// Its text.
        message: String,
        /// The HTTP status.
        status: u16,
    },
    /// The connection is closed without an answer.
    Dropped,
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Self {
        Self::Refused { code: error.code.to_owned(), message: error.message, status: error.status }
    }
}

/// A call whose signature was verified.
#[derive(Debug)]
pub struct Request {
    /// Which service is called.
    pub service: Service,
    /// Which operation.
    pub operation: String,
    /// Its parameters.
    pub body: Value,
    /// By whose key.
    pub key: AccessKey,
    /// In which region.
    pub region: String,
}

/// An access key as a flag gives it: id, secret, account.
pub type GivenKey = (String, String, String);

/// The world.
#[derive(Default)]
pub struct State {
    given: Vec<GivenKey>,
    /// The time.
    pub clock: Clock,
    /// Keys, roles and denials.
    pub identities: Identities,
    /// By account and region.
    pub acm: BTreeMap<(String, String), acm::Store>,
    /// All authorities.
    pub pca: pca::Store,
    /// All organizations.
    pub organizations: organizations::Store,
    /// All secrets.
    pub secrets: secrets::Store,
    /// What was called.
    pub ledger: Ledger,
    /// What will go wrong.
    pub faults: Faults,
    /// How often may be called.
    pub quotas: Quotas,
}

/// The partition that a region belongs to.
pub fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

impl State {
    /// A world with these keys and nothing else.
    pub fn new(given: Vec<GivenKey>) -> Self {
        let mut state = Self { given, ..Self::default() };
        state.give_keys();
        state
    }

    /// Empties the world but for the keys it began with.
    pub fn reset(&mut self) {
        *self = Self::new(std::mem::take(&mut self.given));
    }

    fn give_keys(&mut self) {
        for (id, secret, account) in &self.given {
            // Fails only for want of random numbers, which a key given in full needs none of.
            let _ = self.identities.add_key(account, Some(id.clone()), Some(secret.clone()), false);
        }
    }

    /// The call's circumstances in an account and region.
    pub fn call(&self, account: &str, region: &str) -> Call {
        Call {
            account: account.to_owned(),
            region: region.to_owned(),
            partition: partition(region).to_owned(),
            now: self.clock.now(),
        }
    }

    /// The key that signed a message; `real_now` is the time that signatures go by.
    pub fn authenticate(
        &self,
        signature: &Signature,
        message: &Message,
        service: Service,
        real_now: Timestamp,
    ) -> Result<AccessKey, AuthError> {
        let key = self.identities.keys.get(&signature.key_id).ok_or(AuthError::UnknownKey)?;
        let token = message.headers.get("x-amz-security-token").map(axum::http::HeaderValue::as_bytes);
        if token != key.session.as_ref().map(|session| session.token.as_bytes()) {
            return Err(AuthError::UnknownKey);
        }
        signature.verify(message, &key.secret, service.name(), real_now)?;
        if key.session.as_ref().is_some_and(|session| session.expires <= self.clock.now()) {
            return Err(AuthError::Expired);
        }
        Ok(key.clone())
    }

    /// Enters a call that was refused for its signature.
    pub fn note_refusal(&mut self, service: Service, operation: &str, signature: Option<&Signature>, code: &str) {
        let key_id = signature.map(|signature| signature.key_id.clone()).unwrap_or_default();
        let account = self.identities.keys.get(&key_id).map(|key| key.account.clone()).unwrap_or_default();
        self.ledger.add(Entry {
            seq: 0,
            at: self.clock.now(),
            account,
            region: signature.map(|signature| signature.region.clone()).unwrap_or_default(),
            service: service.name().to_owned(),
            operation: operation.to_owned(),
            outcome: code.to_owned(),
            effective: false,
            arn: None,
            access_key_id: key_id,
            body: Value::Null,
        });
    }

    /// Carries a call out; also tells how long its answer is to be held back.
    pub fn execute(&mut self, request: &Request) -> (Reply, Duration) {
        let call = self.call(&request.key.account, &request.region);
        let service = request.service.name();
        let fault = self.faults.take(&call.account, &call.region, service, &request.operation);
        let result = match &fault {
            Some(Effect::DropRequest) => {
                self.enter(request, &call, "dropped", false, &Value::Null);
                return (Reply::Dropped, Duration::ZERO);
            }
            Some(Effect::Error { code, status, message }) => {
                self.enter(request, &call, code, false, &Value::Null);
                let message = message.clone().unwrap_or_default();
                let status = status.unwrap_or(400);
                return (Reply::Refused { code: code.clone(), message, status }, Duration::ZERO);
            }
            Some(Effect::WrongCertificate) => self.carry_out(request, &call).and_then(|answer| {
                let arn = request.body["CertificateAuthorityArn"].as_str().unwrap_or_default();
                let right = answer["Certificate"].as_str().unwrap_or_default();
                match self.pca.impostor(arn, right) {
                    Some(wrong) => {
                        let mut answer = answer.clone();
                        answer["Certificate"] = json!(wrong?);
                        Ok(answer)
                    }
                    None => Ok(answer),
                }
            }),
            Some(effect @ (Effect::Answer { .. } | Effect::Fill { .. })) => {
                self.carry_out(request, &call).map(|answer| effect.change(answer))
            }
            Some(Effect::DropReply | Effect::Delay { .. }) | None => self.carry_out(request, &call),
        };
        let is_dropped = fault == Some(Effect::DropReply);
        let delay = match fault {
            Some(Effect::Delay { millis }) => Duration::from_millis(millis),
            // What is still in progress has no certificate to swap: the fault waits for the next call.
            Some(effect) if effect.needs_success() && result.is_err() => {
                self.faults.restore(&call.account, &call.region, &request.operation, effect);
                Duration::ZERO
            }
            _ => Duration::ZERO,
        };
        let none = Value::Null;
        let answer = result.as_ref().unwrap_or(&none);
        let outcome = result.as_ref().map_or_else(|error| error.code, |_| "ok");
        let outcome = if is_dropped { "dropped" } else { outcome };
        self.enter(request, &call, outcome, result.is_ok(), answer);
        let reply = if is_dropped { Reply::Dropped } else { result.map_or_else(Reply::from, Reply::Answer) };
        (reply, delay)
    }

    fn enter(&mut self, request: &Request, call: &Call, outcome: &str, is_done: bool, answer: &Value) {
        let service = request.service.name();
        let arn = ledger::subject(&request.operation, &request.body, answer);
        let effective = is_done && self.ledger.note_effect(service, &request.operation, &request.body, arn.as_deref());
        self.ledger.add(Entry {
            seq: 0,
            at: call.now,
            account: call.account.clone(),
            region: call.region.clone(),
            service: service.to_owned(),
            operation: request.operation.clone(),
            outcome: outcome.to_owned(),
            effective,
            arn,
            access_key_id: request.key.id.clone(),
            body: ledger::hide(&request.body),
        });
    }

    fn carry_out(&mut self, request: &Request, call: &Call) -> Result<Value, ApiError> {
        let (operation, body) = (request.operation.as_str(), &request.body);
        let service = request.service.name();
        if !request.service.is_query() {
            let resource = resource(request.service, call, body);
            self.identities.check(&request.key, call, service, operation, &resource)?;
            self.quotas.take(&call.account, &call.region, service, operation, call.now)?;
        }
        match request.service {
            Service::Sts => sts::handle(&mut self.identities, call, &request.key, operation, body),
            Service::Iam => iam::handle(&self.identities, call, &request.key, operation, body),
            Service::Organizations => organizations::handle(&self.organizations, call, operation, body),
            Service::Secrets => secrets::handle(&self.secrets, &request.key, call, operation, body),
            Service::Pca => pca::handle(&mut self.pca, call, operation, body),
            Service::Acm => {
                let place = (call.account.clone(), call.region.clone());
                acm::handle(self.acm.entry(place).or_default(), &mut self.pca, call, operation, body)
            }
        }
    }
}

/// The resource that a refusal names: what the call is about, or all of the kind.
fn resource(service: Service, call: &Call, body: &Value) -> String {
    let (field, kind) = match service {
        Service::Pca => ("CertificateAuthorityArn", "certificate-authority"),
        Service::Secrets => ("SecretId", "secret"),
        Service::Acm | Service::Organizations | Service::Sts | Service::Iam => ("CertificateArn", "certificate"),
    };
    body[field].as_str().map_or_else(
        || format!("arn:{}:{}:{}:{}:{kind}/*", call.partition, service.name(), call.region, call.account),
        str::to_owned,
    )
}
