//! The emulator over HTTP: protocols, signatures, faults and control endpoints.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use axum::http::HeaderMap;
use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::server::{Sim, listen, serve};
use crate::sigv4::sign;

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const ACCOUNT: &str = "111122223333";
const ROLE: &str = "arn:aws:iam::444455556666:role/Importer";

/// An answer, with its headers as one text in small letters.
struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The code of an error in either protocol, or `ok`.
    fn code(&self) -> String {
        if self.status == 200 {
            return "ok".to_owned();
        }
        let json = self.json();
        json["__type"].as_str().map_or_else(|| element(&self.body, "Code"), str::to_owned)
    }
}

fn element(xml: &str, name: &str) -> String {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap_or_default();
    rest.split_once("</").unwrap_or_default().0.to_owned()
}

struct Client {
    port: u16,
    id: String,
    secret: String,
    token: Option<String>,
}

impl Client {
    /// Starts an emulator with one access key.
    async fn start() -> Self {
        let listener = listen(0).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(serve(listener, Sim::new(vec![(ID.into(), SECRET.into(), ACCOUNT.into())])));
        Self { port, id: ID.into(), secret: SECRET.into(), token: None }
    }

    /// The same emulator with other keys.
    fn with(&self, id: &str, secret: &str, token: Option<&str>) -> Self {
        Self { port: self.port, id: id.into(), secret: secret.into(), token: token.map(str::to_owned) }
    }

    /// Sends a request; `None` when the connection is closed without an answer.
    fn send(&self, method: &str, path: &str, headers: &HeaderMap, body: &str) -> Option<Answer> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            text.push_str(&[name.as_str(), ": ", value.to_str().unwrap(), "\r\n"].concat());
        }
        stream.write_all(format!("{text}\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Answer { status, headers: head.to_lowercase(), body: body.to_owned() })
    }

    fn signed(&self, headers: &[(&'static str, &str)], body: &str, service: &str) -> Option<Answer> {
        let mut all = HeaderMap::new();
        all.insert("host", format!("127.0.0.1:{}", self.port).parse().unwrap());
        for (name, value) in headers {
            all.insert(*name, value.parse().unwrap());
        }
        let key = (self.id.as_str(), self.secret.as_str(), self.token.as_deref());
        sign(&mut all, body.as_bytes(), key, "eu-west-1", service, Timestamp::now());
        self.send("POST", "/", &all, body)
    }

    /// Calls an operation such as `ACMPrivateCA.IssueCertificate`.
    fn aws(&self, target: &str, body: &Value) -> Option<Answer> {
        let service = if target.starts_with("ACMPrivateCA") { "acm-pca" } else { "acm" };
        let headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
        self.signed(&headers, &body.to_string(), service)
    }

    fn sts(&self, form: &str) -> Answer {
        self.signed(&[("content-type", "application/x-www-form-urlencoded")], form, "sts").unwrap()
    }

    fn control(&self, method: &str, path: &str, body: &Value) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("host", "127.0.0.1".parse().unwrap());
        headers.insert("content-type", "application/json".parse().unwrap());
        self.send(method, &format!("/_sim/{path}"), &headers, &body.to_string()).unwrap()
    }

    fn authority(&self) -> String {
        let asked = json!({"account": ACCOUNT, "region": "eu-west-1", "commonName": "Example Root"});
        let answer = self.control("POST", "authorities", &asked).json();
        assert!(answer["certificate"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
        assert!(answer["chain"].is_null());
        answer["arn"].as_str().unwrap().to_owned()
    }
}

fn issue(authority: &str) -> Value {
    let key = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::new(vec!["app.example.com".to_owned()]).unwrap();
    let csr = request.serialize_request(&key).unwrap().pem().unwrap();
    json!({
        "CertificateAuthorityArn": authority,
        "Csr": base64::engine::general_purpose::STANDARD.encode(csr),
        "SigningAlgorithm": "SHA256WITHECDSA",
        "Validity": {"Type": "DAYS", "Value": 30},
    })
}

/// STS and IAM, "Common errors": what an unknown key, a wrong secret and a missing signature get in each protocol.
#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_verified() {
    let client = Client::start().await;
    let list = "CertificateManager.ListCertificates";
    assert_eq!(client.aws(list, &json!({})).unwrap().code(), "ok");
    let stranger = client.with("AKIAUNKNOWN", SECRET, None);
    let answer = stranger.aws(list, &json!({})).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (400, "UnrecognizedClientException"));
    let answer = stranger.sts("Action=GetCallerIdentity&Version=2011-06-15");
    assert_eq!((answer.status, answer.code().as_str()), (403, "InvalidClientTokenId"));
    let forger = client.with(ID, "another secret", None);
    assert_eq!(forger.aws(list, &json!({})).unwrap().code(), "InvalidSignatureException");
    let answer = forger.sts("Action=GetCallerIdentity&Version=2011-06-15");
    assert_eq!((answer.status, answer.code().as_str()), (403, "SignatureDoesNotMatch"));
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-target", list.parse().unwrap());
    headers.insert("host", "127.0.0.1".parse().unwrap());
    assert_eq!(client.send("POST", "/", &headers, "{}").unwrap().code(), "MissingAuthenticationTokenException");
    let body = client.signed(&[("x-amz-target", list)], "[", "acm").unwrap();
    assert_eq!(body.code(), "SerializationException");
    let unknown = client.aws("ACMPrivateCA.Nonsense", &json!({})).unwrap();
    assert_eq!(unknown.code(), "UnknownOperationException");
    assert!(unknown.headers.contains("\r\ndate: "));
    let outcomes: Vec<String> = client
        .control("GET", "ledger", &json!({}))
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["outcome"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(outcomes[..3], ["ok", "UnrecognizedClientException", "InvalidClientTokenId"]);
}

/// STS API reference, AssumeRole: the keys work in the role's account, with their token, until they expire.
#[tokio::test(flavor = "multi_thread")]
async fn temporary_keys_need_their_token_and_expire() {
    let client = Client::start().await;
    client.control("POST", "roles", &json!({"arn": ROLE, "externalId": "a&b"}));
    let form = format!("Action=AssumeRole&Version=2011-06-15&RoleArn={ROLE}&RoleSessionName=x&DurationSeconds=900");
    assert_eq!(client.sts(&form).code(), "ValidationError");
    let form = form.replace("Name=x", "Name=me");
    assert_eq!(client.sts(&form).code(), "AccessDenied");
    let answer = client.sts(&format!("{form}&ExternalId=a%26b"));
    assert_eq!(answer.code(), "ok");
    let (id, secret) = (element(&answer.body, "AccessKeyId"), element(&answer.body, "SecretAccessKey"));
    let token = element(&answer.body, "SessionToken");
    let list = "CertificateManager.ListCertificates";
    let session = client.with(&id, &secret, Some(&token));
    assert_eq!(session.aws(list, &json!({})).unwrap().code(), "ok");
    assert_eq!(element(&session.sts("Action=GetCallerIdentity").body, "Account"), "444455556666");
    for token in [None, Some("wrong")] {
        let answer = client.with(&id, &secret, token).aws(list, &json!({})).unwrap();
        assert_eq!(answer.code(), "UnrecognizedClientException");
    }
    client.control("POST", "clock", &json!({"advanceSeconds": 901}));
    assert_eq!(session.aws(list, &json!({})).unwrap().code(), "ExpiredTokenException");
    assert_eq!(session.sts("Action=GetCallerIdentity").code(), "ExpiredToken");
    assert_eq!(client.aws(list, &json!({})).unwrap().code(), "ok", "signatures go by the real clock");
}

/// Control interface: faults, and what the ledger tells of them.
#[tokio::test(flavor = "multi_thread")]
async fn faults_come_upon_calls() {
    let client = Client::start().await;
    let authority = client.authority();
    let fault = |effect: Value| {
        let body = json!({"account": ACCOUNT, "operation": "IssueCertificate", "effect": effect});
        assert_eq!(client.control("POST", "faults", &body).status, 200);
    };
    let operation = "ACMPrivateCA.IssueCertificate";
    let mut body = issue(&authority);
    body["IdempotencyToken"] = json!("one");
    fault(json!({"kind": "dropRequest"}));
    fault(json!({"kind": "error", "code": "InternalFailure", "status": 500, "message": "try again"}));
    fault(json!({"kind": "dropReply"}));
    fault(json!({"kind": "delay", "millis": 1}));
    assert!(client.aws(operation, &body).is_none());
    let answer = client.aws(operation, &body).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (500, "InternalFailure"));
    assert!(client.aws(operation, &body).is_none());
    let arn = client.aws(operation, &body).unwrap().json()["CertificateArn"].clone();
    let ledger = client.control("GET", "ledger?operation=IssueCertificate&account=111122223333", &json!({})).json();
    let seen: Vec<(&str, bool)> = ledger
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["outcome"].as_str().unwrap(), entry["effective"].as_bool().unwrap()))
        .collect();
    assert_eq!(seen, [("dropped", false), ("InternalFailure", false), ("dropped", true), ("ok", false)]);
    assert_eq!((&ledger[2]["arn"], &ledger[3]["arn"]), (&arn, &arn));
    assert_eq!(ledger[0]["accessKeyId"], ID);

    let get = json!({"CertificateAuthorityArn": authority, "CertificateArn": arn});
    let operation = "ACMPrivateCA.GetCertificate";
    let wrong = json!({"operation": "GetCertificate", "effect": {"kind": "wrongCertificate"}});
    client.control("POST", "faults", &wrong);
    assert_eq!(client.aws(operation, &get).unwrap().code(), "RequestInProgressException");
    let wrong = client.aws(operation, &get).unwrap().json();
    let right = client.aws(operation, &get).unwrap().json();
    assert_ne!(wrong["Certificate"], right["Certificate"]);
    assert_eq!(wrong["CertificateChain"], right["CertificateChain"]);
}

/// Control interface: keys, denials, quotas, settings, in-use, states and reset.
#[tokio::test(flavor = "multi_thread")]
async fn the_world_is_arranged() {
    let client = Client::start().await;
    assert_eq!(client.control("GET", "health", &json!({})).json(), json!({"status": "ok"}));
    let made = client.control("POST", "access-keys", &json!({"account": "444455556666", "root": true})).json();
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    let root = client.with(&text("accessKeyId"), &text("secretAccessKey"), None);
    let who = root.sts("Action=GetCallerIdentity");
    assert_eq!(element(&who.body, "Arn"), "arn:aws:iam::444455556666:root");
    client.control("POST", "roles", &json!({"arn": ROLE}));
    let form = format!("Action=AssumeRole&RoleArn={ROLE}&RoleSessionName=me");
    assert_eq!(root.sts(&form).code(), "AccessDenied");
    client.control("DELETE", "roles", &json!({"arn": ROLE}));
    assert_eq!(client.sts(&form).code(), "AccessDenied");
    client.control("DELETE", "access-keys", &json!({"accessKeyId": made["accessKeyId"]}));
    assert_eq!(root.sts("Action=GetCallerIdentity").code(), "InvalidClientTokenId");

    let authority = client.authority();
    let operation = "ACMPrivateCA.IssueCertificate";
    client.control("POST", "deny", &json!({"account": ACCOUNT, "actions": ["acm-pca:IssueCertificate"]}));
    let refused = client.aws(operation, &issue(&authority)).unwrap();
    assert_eq!(refused.code(), "AccessDeniedException");
    assert!(refused.body.contains(&format!("perform: acm-pca:IssueCertificate on resource: {authority}")));
    client.control("DELETE", "deny", &json!({"account": ACCOUNT}));
    client.control("POST", "settings", &json!({"inProgressPolls": 0}));
    let arn = client.aws(operation, &issue(&authority)).unwrap().json()["CertificateArn"].clone();
    let get = json!({"CertificateAuthorityArn": authority, "CertificateArn": arn});
    assert_eq!(client.aws("ACMPrivateCA.GetCertificate", &get).unwrap().code(), "ok");
    client.control("POST", "authorities/state", &json!({"arn": authority, "status": "DISABLED"}));
    assert_eq!(client.aws(operation, &issue(&authority)).unwrap().code(), "InvalidStateException");
    let missing = json!({"arn": "arn:aws:acm:eu-west-1:111122223333:certificate/x", "by": []});
    assert_eq!(client.control("POST", "in-use", &missing).status, 404);

    client.control("POST", "quotas", &json!({"enabled": true}));
    let list = "CertificateManager.ListCertificates";
    assert_eq!(client.aws(list, &json!({})).unwrap().code(), "ok");
    assert_eq!(client.aws(list, &json!({})).unwrap().code(), "ThrottlingException");
    client.control("POST", "reset", &json!({}));
    assert_eq!(client.aws(list, &json!({})).unwrap().code(), "ok");
    assert_eq!(client.aws(list, &json!({})).unwrap().code(), "ok");
    let gone = client.aws("ACMPrivateCA.ListCertificateAuthorities", &json!({})).unwrap().json();
    assert_eq!(gone["CertificateAuthorities"], json!([]));
}
