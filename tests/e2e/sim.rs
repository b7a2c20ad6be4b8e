//! The control endpoint of the emulator that knows AWS's rules: what no client of AWS could do or see.

use kube::{Client, Config};
use serde::Deserialize;
use serde_json::{Value, json};

/// The control endpoint.
#[derive(Clone)]
pub struct Sim {
    client: Client,
}

/// One call in the emulator's ledger.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    operation: String,
    /// When it came in.
    pub at: jiff::Timestamp,
    /// `ok`, an error code, or `dropped`.
    pub outcome: String,
    /// Whether the call changed something.
    pub effective: bool,
    /// The access key that signed it.
    #[serde(default)]
    pub access_key_id: Option<String>,
}

/// An access key.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessKey {
    pub access_key_id: String,
    pub secret_access_key: String,
}

/// A private CA that the emulator made.
#[derive(Clone, Debug, Deserialize)]
pub struct MadeAuthority {
    pub arn: String,
    /// PEM.
    pub certificate: String,
}

impl Sim {
    /// The control endpoint of the emulator at this address.
    pub fn new(endpoint: &str) -> Self {
        // The client of the API server is a client of any JSON over HTTP.
        let config = Config::new(endpoint.parse().expect("AWS_ENDPOINT_URL is an address"));
        Self { client: Client::try_from(config).expect("a client of plain HTTP") }
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map_or_else(Vec::new, |b| b.to_string().into_bytes());
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/_sim/{path}"))
            .header("content-type", "application/json")
            .body(body);
        let text = self.client.request_text(request.expect("a well-formed request")).await;
        let text = text.unwrap_or_else(|error| panic!("{method} /_sim/{path}: {error}"));
        if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.call("POST", path, Some(&body)).await
    }

    /// A new access key of an account; `root`: of its root user.
    pub async fn access_key(&self, account: &str, root: bool) -> AccessKey {
        let made = self.post("access-keys", json!({ "account": account, "root": root })).await;
        serde_json::from_value(made).expect("an access key")
    }

    /// The key is not valid any more.
    pub async fn delete_access_key(&self, key: &AccessKey) {
        self.call("DELETE", "access-keys", Some(&json!({ "accessKeyId": key.access_key_id }))).await;
    }

    /// The temporary credentials that an account has given so far are over, whatever was said of their end.
    pub async fn end_sessions(&self, account: &str) {
        let ended = self.call("DELETE", "sessions", Some(&json!({ "account": account }))).await;
        assert!(ended["ended"].as_u64().is_some_and(|ended| ended > 0), "there were none: {ended}");
    }

    /// A role that may be assumed.
    pub async fn role(&self, arn: &str, external_id: Option<&str>) {
        let mut role = json!({ "arn": arn });
        if let Some(id) = external_id {
            role["externalId"] = id.into();
        }
        self.post("roles", role).await;
    }

    /// A role for tokens of this subject, for STS, that the stand's API server issued.
    pub async fn role_for_web_identity(&self, arn: &str, subject: &str) {
        let trust =
            json!({ "issuer": "https://kubernetes.default.svc", "subject": subject, "audience": "sts.amazonaws.com" });
        self.post("roles", json!({ "arn": arn, "webIdentity": trust })).await;
    }

    /// A role that this account alone may assume.
    pub async fn trusting_role(&self, arn: &str, account: &str) {
        self.post("roles", json!({ "arn": arn, "trustedAccounts": [account] })).await;
    }

    /// Puts an organization in the place of the one that its management account has.
    pub async fn organization(&self, organization: Value) {
        self.post("organizations", organization).await;
    }

    /// A secret in Secrets Manager; `secret`: its `string`, `binary`, `deleted`, `protection`. Returns its ARN.
    pub async fn secret(&self, account: &str, region: &str, name: &str, secret: Value) -> String {
        let mut wanted = json!({ "account": account, "region": region, "name": name });
        crate::harness::merge(&mut wanted, secret);
        self.post("secrets", wanted).await["arn"].as_str().expect("an ARN").to_owned()
    }

    /// A private CA with its own certificate, ready to sign. `more` goes over the defaults.
    pub async fn authority(&self, account: &str, region: &str, common_name: &str, more: Value) -> MadeAuthority {
        let mut wanted = json!({
            "account": account, "region": region, "commonName": common_name,
            "keyAlgorithm": "EC_prime256v1", "days": 3650, "usageMode": "GENERAL_PURPOSE",
        });
        crate::harness::merge(&mut wanted, more);
        serde_json::from_value(self.post("authorities", wanted).await).expect("a CA")
    }

    /// Sets the state of a CA, such as DISABLED.
    pub async fn authority_state(&self, arn: &str, status: &str) {
        self.post("authorities/state", json!({ "arn": arn, "status": status })).await;
    }

    /// All calls of an operation for an account, oldest first.
    pub async fn calls(&self, account: &str, operation: &str) -> Vec<Call> {
        let calls = self.call("GET", &format!("ledger?account={account}&operation={operation}"), None).await;
        serde_json::from_value(calls).expect("a ledger")
    }

    /// How often the operator assumed a role.
    pub async fn assumed(&self, role: &str) -> usize {
        let calls = self.call("GET", "ledger?operation=AssumeRole", None).await;
        let own = |call: &Value| call["body"]["RoleSessionName"] == "arnkeeper" && call["outcome"] == "ok";
        let of_it = |call: &&Value| call["body"]["RoleArn"] == role && own(call);
        calls.as_array().into_iter().flatten().filter(of_it).count()
    }

    /// The operations of all calls for an account that AWS throttled.
    pub async fn throttled(&self, account: &str) -> Vec<String> {
        let calls = self.call("GET", &format!("ledger?account={account}"), None).await;
        let calls: Vec<Call> = serde_json::from_value(calls).expect("a ledger");
        let throttled = |call: &Call| ["ThrottlingException", "TooManyRequestsException"].contains(&&*call.outcome);
        calls.into_iter().filter(throttled).map(|call| call.operation).collect()
    }

    /// AWS's request rates hold for this account.
    pub async fn quotas(&self, account: &str) {
        self.post("quotas", json!({ "enabled": true, "account": account })).await;
    }

    /// How many calls of an operation had an effect.
    pub async fn effective(&self, account: &str, operation: &str) -> usize {
        self.calls(account, operation).await.iter().filter(|call| call.effective).count()
    }

    /// The next `count` calls (none: all) of an operation for an account go wrong in this way.
    pub async fn fault(&self, account: &str, operation: &str, count: Option<u32>, effect: Value) {
        self.post("faults", json!({ "account": account, "operation": operation, "count": count, "effect": effect }))
            .await;
    }

    /// All calls of an operation for an account, in one region, are answered with this error.
    pub async fn error_in(&self, account: &str, region: &str, operation: &str, code: &str) {
        let effect = json!({ "kind": "error", "code": code, "status": 400, "message": "asked for by a test" });
        let fault =
            json!({ "account": account, "region": region, "operation": operation, "count": null, "effect": effect });
        self.post("faults", fault).await;
    }

    /// A fault, as the emulator takes it.
    pub async fn arrange_fault(&self, fault: Value) {
        self.post("faults", fault).await;
    }

    /// Puts certificates that ACM issued for somebody else there, with no regard to its quota; returns their ARNs. The names of several
    /// begin with `c0.`, `c1.`, and so on.
    pub async fn certificates(&self, account: &str, region: &str, names: &[String], count: usize) -> Vec<String> {
        // ACM issued them: discovery reads the tags of what was imported, ten a second.
        let kind = "AMAZON_ISSUED";
        let wanted = json!({ "account": account, "region": region, "names": names, "count": count, "type": kind });
        let made = self.post("certificates", wanted).await;
        serde_json::from_value(made["arns"].clone()).expect("ARNs")
    }

    /// The next calls of an operation are answered with this error.
    pub async fn error(&self, account: &str, operation: &str, count: Option<u32>, status: u16, code: &str) {
        let effect = json!({ "kind": "error", "code": code, "status": status, "message": "asked for by a test" });
        self.fault(account, operation, count, effect).await;
    }

    /// One call of an operation, after so many that go well, is answered with this error.
    pub async fn error_after(&self, account: &str, operation: &str, well: u32, code: &str) {
        let effect = json!({ "kind": "error", "code": code, "status": 400, "message": "asked for by a test" });
        self.post("faults", json!({ "account": account, "operation": operation, "skip": well, "effect": effect }))
            .await;
    }

    /// No call of this account goes wrong any more.
    pub async fn heal(&self, account: &str) {
        self.call("DELETE", &format!("faults?account={account}"), None).await;
    }

    /// So many certificates in ACM, for `n0.<domain>` and so on; `more` goes over the defaults. Returns their ARNs.
    pub async fn many_certificates(
        &self,
        account: &str,
        region: &str,
        count: u32,
        domain: &str,
        more: Value,
    ) -> Vec<String> {
        let mut wanted = json!({ "account": account, "region": region, "count": count, "domain": domain });
        crate::harness::merge(&mut wanted, more);
        serde_json::from_value(self.post("certificates/many", wanted).await["arns"].take()).expect("ARNs")
    }

    /// A certificate in ACM is in use by these.
    pub async fn in_use(&self, arn: &str, by: &[&str]) {
        self.post("in-use", json!({ "arn": arn, "by": by })).await;
    }

    /// Makes a certificate in ACM one that was not imported.
    pub async fn certificate_type(&self, arn: &str, kind: &str) {
        self.post("certificate-type", json!({ "arn": arn, "type": kind })).await;
    }

    /// What ACM itself issues and renews in an account and region fails for this reason; none: it works again.
    pub async fn acm_failure(&self, account: &str, region: &str, reason: Option<&str>) {
        self.post("acm-failure", json!({ "account": account, "region": region, "reason": reason })).await;
    }

    /// ACM begins to renew a certificate that it issued.
    pub async fn managed_renewal(&self, arn: &str) {
        self.post("managed-renewal", json!({ "arn": arn })).await;
    }

    /// Nobody may do these IAM actions in an account.
    pub async fn deny(&self, account: &str, actions: &[&str]) {
        self.post("deny", json!({ "account": account, "actions": actions })).await;
    }

    /// Nothing is denied in an account any more.
    pub async fn allow(&self, account: &str) {
        self.call("DELETE", "deny", Some(&json!({ "account": account }))).await;
    }
}
