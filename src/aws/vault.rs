//! Access keys that HashiCorp Vault keeps: KV version 2, entered by Kubernetes auth.
//!
//! The client is our own, of three requests over the HTTP client that is there already: the crate vaultrs would bring a second one
//! (reqwest) with a TLS configuration and a proxy's of its own.

use super::{
    classify::chain,
    credentials::{AccessKeys, Names},
    network::{Network, trusting},
    secrets_manager::texts,
    sessions::{ProblemKind, SessionProblem},
};
use crate::{api::account::VaultSecret, text::plain};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::{
    ConnectorBuilder,
    tls::{Provider, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::HttpRequest,
    },
    http::HttpError,
};
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, time::Duration};
use zeroize::Zeroizing;

/// Connecting, and each answer, take at most this long.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes; Vault takes no secret that is longer (Vault, "Limits and maximums").
const LONGEST_ANSWER: usize = 1 << 20;
/// Bytes of Vault's own words that are kept.
const LONGEST_WORDS: usize = 300;

/// Reads access keys. Each reading logs in with the operator's token and gives Vault's token back, so that none is kept.
///
/// # Errors
/// What keeps us out; no value is repeated.
pub async fn read(
    place: &VaultSecret,
    token_file: Option<&Path>,
    network: &Network,
) -> Result<AccessKeys, SessionProblem> {
    let which = format!("secret {:?} of Vault at {}", place.secret(), place.address);
    let tell = |problem: SessionProblem| SessionProblem::new(problem.kind, format!("{which}: {}", problem.message));
    Vault::new(place, network).map_err(tell)?.read(token_file).await.map_err(tell)
}

struct Vault<'a> {
    http: SharedHttpConnector,
    place: &'a VaultSecret,
}

/// What was asked of Vault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Login,
    Read,
}

struct Answer {
    status: u16,
    body: Zeroizing<Vec<u8>>,
}

/// What answers have in common (Vault HTTP API, "Error response", "Log in", "Read secret version").
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    errors: Vec<String>,
    auth: Option<Auth>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    client_token: String,
}

#[derive(Deserialize)]
struct Data {
    data: Option<BTreeMap<String, Value>>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

fn problem(kind: ProblemKind, message: impl Into<String>) -> SessionProblem {
    SessionProblem::new(kind, message)
}

impl<'a> Vault<'a> {
    fn new(place: &'a VaultSecret, network: &Network) -> Result<Self, SessionProblem> {
        let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT).read_timeout(ANSWER).build();
        let mut builder = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        builder.set_connector_settings(Some(settings));
        builder.set_sleep_impl(Some(SharedAsyncSleep::new(TokioSleep::new())));
        builder.set_proxy_config(Some(network.proxy()));
        // A Vault with CAs of its own is trusted by these alone.
        builder.set_tls_context(match &place.ca_bundle {
            None => network.tls(),
            Some(pem) => trusting(TrustStore::empty(), pem.as_bytes())
                .map_err(|why| problem(ProblemKind::SecretInvalid, format!("caBundle: {why}")))?,
        });
        Ok(Self { http: SharedHttpConnector::new(builder.build()), place })
    }

    async fn read(&self, token_file: Option<&Path>) -> Result<AccessKeys, SessionProblem> {
        let jwt = own_token(token_file)?;
        let mut token = self.login(&jwt).await?;
        let mut answer = self.secret(&token).await?;
        // It may end, or be revoked, at any time: this one was.
        if answer.status == 403 && answer.words().contains("invalid token") {
            token = self.login(&jwt).await?;
            answer = self.secret(&token).await?;
        }
        self.give_back(&token).await;
        self.keys(&answer)
    }

    /// Vault HTTP API, "Kubernetes auth method", Login.
    async fn login(&self, jwt: &str) -> Result<Zeroizing<String>, SessionProblem> {
        let path = format!("auth/{}/login", self.place.auth_mount);
        let body = Zeroizing::new(json!({ "role": self.place.role, "jwt": jwt }).to_string());
        let answer = self.ask("POST", &path, None, Some(&body)).await?;
        if answer.status != 200 {
            return Err(self.refused(Step::Login, &answer, jwt));
        }
        match answer.parse().and_then(|body| body.auth) {
            Some(Auth { client_token }) if !client_token.is_empty() => Ok(Zeroizing::new(client_token)),
            _ => Err(problem(
                ProblemKind::AccessDenied,
                "the login gave no token; if Vault asks for a second factor (MFA), let this role do without",
            )),
        }
    }

    /// Vault HTTP API, "KV secrets engine, version 2", Read secret version.
    async fn secret(&self, token: &str) -> Result<Answer, SessionProblem> {
        self.ask("GET", &self.place.secret(), Some(token), None).await
    }

    /// Vault HTTP API, "Token auth method", Revoke a token (self). If it fails, the token ends by itself; batch tokens always do.
    async fn give_back(&self, token: &str) {
        match self.ask("POST", "auth/token/revoke-self", Some(token), None).await {
            Ok(answer) if answer.status < 300 => {}
            Ok(answer) => tracing::debug!(status = answer.status, "Vault did not take its token back"),
            Err(error) => tracing::debug!(%error, "Vault did not take its token back"),
        }
    }

    fn keys(&self, answer: &Answer) -> Result<AccessKeys, SessionProblem> {
        if answer.status != 200 {
            return Err(self.refused(Step::Read, answer, ""));
        }
        let invalid = |why: &str| problem(ProblemKind::SecretInvalid, why);
        let fields = answer.parse().and_then(|body| body.data).and_then(|data| data.data);
        let fields = fields.ok_or_else(|| invalid("the answer is not one of KV version 2: look at mount"))?;
        let names = self.place.fields.as_ref().map_or_else(Names::default, Names::from);
        AccessKeys::parse_named(texts(fields), &names).map_err(|why| invalid(&why))
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&str>,
    ) -> Result<Answer, SessionProblem> {
        let unavailable = |why: String| problem(ProblemKind::VaultUnavailable, why);
        let request = self.request(method, path, token, body).map_err(|error| unavailable(error.to_string()))?;
        let answer = self.http.call(request).await.map_err(|error| unavailable(unreached(&chain(&error))))?;
        let status = answer.status().as_u16();
        let read = tokio::time::timeout(ANSWER, Limited::new(answer.into_body(), LONGEST_ANSWER).collect()).await;
        let body = read.map_err(|_| unavailable("its answer did not end in time".to_owned()))?.map_err(|error| {
            unavailable(format!("its answer can't be read: {}", plain(&error.to_string(), LONGEST_WORDS)))
        })?;
        Ok(Answer { status, body: Zeroizing::new(body.to_bytes().to_vec()) })
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&str>,
    ) -> Result<HttpRequest, HttpError> {
        let mut request = HttpRequest::new(body.map_or_else(SdkBody::empty, SdkBody::from));
        request.set_method(method)?;
        request.set_uri(format!("{}/v1/{path}", self.place.address.trim_end_matches('/')))?;
        let headers = request.headers_mut();
        headers.try_insert("x-vault-request", "true")?;
        if body.is_some() {
            headers.try_insert("content-type", "application/json")?;
        }
        if let Some(namespace) = &self.place.namespace {
            headers.try_insert("x-vault-namespace", namespace.clone())?;
        }
        if let Some(token) = token {
            headers.try_insert("x-vault-token", token.to_owned())?;
        }
        Ok(request)
    }

    /// What a refusal means; statuses as in the Vault HTTP API, "HTTP status codes".
    fn refused(&self, step: Step, answer: &Answer, jwt: &str) -> SessionProblem {
        let VaultSecret { role, auth_mount, mount, .. } = self.place;
        let data = answer.parse().and_then(|body| body.data);
        let words = answer.words();
        // Nothing documented repeats it.
        let words = if !jwt.is_empty() && words.contains(jwt) { String::new() } else { words };
        let said = if words.is_empty() { String::new() } else { format!(" ({words})") };
        let status = answer.status;
        let (kind, message) = match (status, step) {
            (503, _) if words.contains("sealed") => {
                (ProblemKind::VaultUnavailable, "Vault is sealed: unseal it; it is asked again".to_owned())
            }
            (300..=399, _) => (
                ProblemKind::VaultUnavailable,
                format!(
                    "it answers with a redirect (HTTP {status}): name the active node, or what leads to it, in address"
                ),
            ),
            (412 | 429 | 472 | 473 | 500.., _) => {
                (ProblemKind::VaultUnavailable, format!("it can't answer for now: HTTP {status}{said}"))
            }
            (404, Step::Login) => (
                ProblemKind::AccessDenied,
                format!("there is no auth method at {auth_mount:?}{said}: correct authMount or namespace"),
            ),
            (_, Step::Login) => (
                ProblemKind::AccessDenied,
                format!(
                    "it refuses the login, HTTP {status}{said}: role {role:?} of auth/{auth_mount} has to be there, and bound to the \
                     operator's ServiceAccount, its namespace, and the audience of its token"
                ),
            ),
            (403, Step::Read) => (
                ProblemKind::AccessDenied,
                format!("role {role:?} may not read it{said}: its policy has to allow read on {}", self.place.secret()),
            ),
            (404, Step::Read) => (ProblemKind::SecretMissing, absent(data, mount, &said)),
            (_, Step::Read) => (ProblemKind::SecretInvalid, format!("it refuses the request, HTTP {status}{said}")),
        };
        problem(kind, message)
    }
}

impl VaultSecret {
    /// Its path in the API, below `/v1/`.
    fn secret(&self) -> String {
        format!("{}/data/{}", self.mount, self.path)
    }
}

impl Answer {
    fn parse(&self) -> Option<Body> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What Vault says is wrong, in one line; several errors are in a list of a text of their own.
    fn words(&self) -> String {
        self.parse().map(|body| plain(&body.errors.join("; "), LONGEST_WORDS)).unwrap_or_default()
    }
}

/// Why a secret is not there: a deleted version is answered with its metadata.
fn absent(data: Option<Data>, mount: &str, said: &str) -> String {
    match data.and_then(|data| data.metadata) {
        Some(Metadata { destroyed: true, .. }) => "its newest version was destroyed: write it anew".to_owned(),
        Some(Metadata { deletion_time, .. }) if !deletion_time.is_empty() => {
            "its newest version was deleted: undelete it, or write it anew".to_owned()
        }
        _ => format!(
            "it is not there{said}: make it, or correct mount ({mount:?}, which has to be KV version 2), path or namespace"
        ),
    }
}

fn unreached(why: &str) -> String {
    let hint = if why.contains("invalid peer certificate") {
        "its certificate is not accepted; if its CA is a private one, give it in caBundle"
    } else if why.contains("tunnel error") {
        "it can't be reached through the proxy of HTTPS_PROXY; if it is to be reached directly, name it in NO_PROXY (Helm value \
         proxy.noProxy)"
    } else {
        "it can't be reached for now; if that stays so, look at address, and at what lies between"
    };
    format!("{hint}: {}", plain(why, LONGEST_WORDS))
}

/// The operator's own token, which Kubernetes renews in the file.
fn own_token(file: Option<&Path>) -> Result<Zeroizing<String>, SessionProblem> {
    let Some(file) = file else {
        return Err(problem(
            ProblemKind::AccessDenied,
            "the operator has no token for Vault: set the Helm value vault.enabled, or --vault-token-file",
        ));
    };
    let told =
        |why: &str| problem(ProblemKind::AccessDenied, format!("the operator's token {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map(Zeroizing::new).map_err(|error| told(&error.to_string()))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(told("there is no token in it"));
    }
    Ok(Zeroizing::new(token.to_owned()))
}

#[cfg(test)]
pub(super) mod double;
#[cfg(test)]
mod tests;
