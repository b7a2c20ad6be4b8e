//! The listener, and what becomes of a request.

use crate::{
    call::Call,
    control,
    forward::Server,
    log::{Entry, Log},
    rules::{Act, Active, Rule, Rules},
    stream::{Answer, Stream, full},
    victim::Victim,
};
use http_body_util::BodyExt as _;
use hyper::{
    Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, fmt::rfc2822};
use serde_json::json;
use std::{
    future::{Future, pending},
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// What a proxy is told at its start.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The server, such as `https://127.0.0.1:6443`.
    pub server: String,
    /// The authorities that the server's certificate is checked by, in PEM; empty for plain HTTP.
    pub authorities: Vec<u8>,
    /// The client, for what kills or stops it.
    pub victim: Victim,
    /// What of the API server the client gets to see.
    pub scope: Option<Scope>,
}

/// Some AwsAccounts and one namespace: several operators on one API server do not see each other's objects.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The labels of the only AwsAccounts that are listed and watched, as a selector.
    pub accounts: String,
    /// The only namespace whose Certificates and CertificateRequests are.
    pub namespace: String,
}

/// Why a proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The server's address or authorities can't be read.
    #[error("the server can't be reached: {0}")]
    Server(String),
    /// No port is free.
    #[error("can't listen: {0}")]
    Listen(#[from] io::Error),
}

/// A proxy; it ends when it is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    control_port: u16,
    _tasks: JoinSet<()>,
}

/// How a held call goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Release {
    epoch: u64,
    forward: bool,
}

pub(crate) struct Shared {
    server: Server,
    scope: Option<Scope>,
    state: Mutex<State>,
    pub(crate) away: watch::Sender<bool>,
    releases: watch::Sender<Release>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) rules: Rules,
    pub(crate) log: Log,
    pub(crate) victim: Victim,
    pub(crate) shift_seconds: i64,
    /// Calls that are held.
    pub(crate) held: u32,
    /// Open watches: their paths, and what silences them.
    watches: Vec<(String, watch::Sender<bool>)>,
}

impl Proxy {
    /// Starts a proxy on two free ports of the loopback address: one for the client, one for the control endpoints.
    ///
    /// # Errors
    /// See [`Problem`].
    pub async fn start(config: Config) -> Result<Self, Problem> {
        let server = Server::new(&config.server, &config.authorities).map_err(Problem::Server)?;
        let shared = Arc::new(Shared {
            server,
            scope: config.scope,
            state: Mutex::new(State { victim: config.victim, ..State::default() }),
            away: watch::Sender::new(false),
            releases: watch::Sender::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let control = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (port, control_port) = (listener.local_addr()?.port(), control.local_addr()?.port());
        let mut tasks = JoinSet::new();
        let for_calls = shared.clone();
        tasks.spawn(accept(listener, move |stream| connection(for_calls.clone(), stream)));
        let for_control = shared.clone();
        tasks.spawn(accept(control, move |stream| control::connection(for_control.clone(), stream)));
        Ok(Self { shared, port, control_port, _tasks: tasks })
    }

    /// Where the client finds the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where the control endpoints are.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.control_port)
    }

    /// The client is another process now.
    pub fn set_victim(&self, victim: Victim) {
        self.shared.lock().victim = victim;
    }

    /// Adds a rule; returns its number.
    ///
    /// # Errors
    /// If its path is no regular expression.
    pub fn add(&self, rule: Rule) -> Result<u64, regex::Error> {
        self.shared.lock().rules.add(rule)
    }

    /// Looks at the rules.
    pub fn rules<T>(&self, look: impl FnOnce(&[Active]) -> T) -> T {
        look(self.shared.lock().rules.all())
    }

    /// Forgets a rule.
    pub fn remove(&self, id: u64) {
        self.shared.lock().rules.clear(Some(id));
    }

    /// The calls after this number, oldest first.
    #[must_use]
    pub fn log(&self, after: u64) -> Vec<Entry> {
        self.shared.lock().log.after(after).to_vec()
    }

    /// Lets held calls go on, or be dropped, and the client run again.
    pub fn release(&self, forward: bool) {
        self.shared.release(forward);
    }

    /// How many calls are held.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.shared.lock().held
    }

    /// Whether all connections are closed, and new ones too.
    pub fn set_away(&self, away: bool) {
        self.shared.away.send_replace(away);
    }

    /// The Date header of the answers is so many seconds ahead.
    pub fn shift_date(&self, seconds: i64) {
        self.shared.lock().shift_seconds = seconds;
    }

    /// No event of the watches that are open now comes through any more; returns how many these are.
    #[expect(clippy::must_use_candidate, reason = "it is done for its effect")]
    pub fn silence(&self) -> usize {
        self.shared.silence(|_| true)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set_away(true);
    }
}

async fn accept<F: Future<Output = ()> + Send + 'static>(listener: TcpListener, serve: impl Fn(TcpStream) -> F) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers must not wait for more to send.
                drop(stream.set_nodelay(true));
                tokio::spawn(serve(stream));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    let mut away = shared.away.subscribe();
    let service = service_fn(move |request| shared.clone().serve(request));
    // Who waits for a head without end closes no idle connection: a call that meets the close would be lost by chance.
    let connection = http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // First: what a server that is away reads, it must not pass on.
        biased;
        _ = away.wait_for(|away| *away) => {}
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended");
        },
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn release(&self, forward: bool) {
        let victim = self.lock().victim.clone();
        if let Err(error) = victim.signal(rustix::process::Signal::CONT) {
            tracing::warn!(%error, "the client could not be continued");
        }
        self.releases.send_modify(|release| *release = Release { epoch: release.epoch + 1, forward });
    }

    pub(crate) fn silence(&self, which: impl Fn(&str) -> bool) -> usize {
        let mut state = self.lock();
        state.watches.retain(|(_, silencer)| !silencer.is_closed());
        let chosen = state.watches.iter().filter(|(path, silencer)| which(path) && !silencer.send_replace(true));
        chosen.count()
    }

    /// An error closes the connection without a byte of an answer.
    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Answer>> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let call = Call::read(&parts, &body);
        if let Some(scope) = &self.scope {
            parts.uri = scope.narrow(&parts.uri, &call);
        }
        let (seq, act, victim) = {
            let mut state = self.lock();
            let act = state.rules.take(&call);
            (state.log.add(call.clone(), act.clone()), act, state.victim.clone())
        };
        tracing::debug!(seq, call = call.key(), object = call.object, ?act, "call");
        let lost = |why: &str| Err(io::Error::other(why.to_owned()));
        match act {
            Some(Act::KillBefore) => {
                victim.kill().await?;
                return lost("its client was killed");
            }
            Some(Act::DropRequest) => return lost("dropped"),
            Some(Act::Hang) => return pending().await,
            Some(Act::Status { status, reason, message, headers, body }) => {
                let body = body.unwrap_or_else(|| refusal(&call, status, &reason, &message));
                self.lock().log.answered(seq, status);
                let mut response = told(&call, status, &body)?;
                for (name, value) in headers {
                    let name = HeaderName::try_from(name).map_err(io::Error::other)?;
                    response.headers_mut().insert(name, HeaderValue::try_from(value).map_err(io::Error::other)?);
                }
                return Ok(response);
            }
            _ => {}
        }
        let silent = act == Some(Act::Silence);
        let instead = match &act {
            Some(Act::StatusAfterEffect { status, reason }) => {
                Some(told(&call, *status, &refusal(&call, *status, reason, "its effect is there"))?)
            }
            _ => None,
        };
        // On a task of its own: what reached the proxy reaches the server, whatever becomes of the client.
        let shared = self.clone();
        let answer = tokio::spawn(async move { shared.forward(parts, body, seq, act, victim).await });
        let answer = answer.await.map_err(io::Error::other)??;
        if let Some(instead) = instead.filter(|_| answer.status().is_success()) {
            drop(answer.into_body().collect().await);
            return Ok(instead);
        }
        if !call.watch {
            return Ok(answer);
        }
        let (switch, silenced) = watch::channel(silent);
        self.lock().watches.push((call.path, switch));
        Ok(answer.map(|body| Stream::new(body).silenced_by(silenced).boxed()))
    }

    /// Sends a call on, and does to it what comes with that.
    async fn forward(
        self: Arc<Self>,
        parts: Parts,
        body: Bytes,
        seq: u64,
        act: Option<Act>,
        victim: Victim,
    ) -> io::Result<Response<Answer>> {
        if act == Some(Act::FreezeBefore) {
            self.hold(&victim).await?;
        }
        let mut answer = self.server.send(parts, body).await.map_err(|error| {
            tracing::warn!(error, "the server did not answer");
            io::Error::other(error)
        })?;
        let shift = {
            let mut state = self.lock();
            state.log.answered(seq, answer.status().as_u16());
            state.shift_seconds
        };
        shift_date(answer.headers_mut(), shift);
        match act {
            Some(Act::KillAfterEffect) => {
                drop(answer.into_body().collect().await);
                victim.kill().await?;
                Err(io::Error::other("its client was killed"))
            }
            Some(Act::DropReply) => {
                drop(answer.into_body().collect().await);
                Err(io::Error::other("dropped"))
            }
            Some(Act::KillAfterAnswer { millis }) => {
                let after = Duration::from_millis(millis);
                Ok(answer.map(|body| Stream::new(body).then_kill(victim, after).boxed()))
            }
            Some(Act::Delay { millis }) => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Ok(answer.map(|body| Stream::new(body).boxed()))
            }
            _ => Ok(answer.map(|body| Stream::new(body).boxed())),
        }
    }

    /// Stops the client and waits for the release.
    async fn hold(&self, victim: &Victim) -> io::Result<()> {
        let mut releases = self.releases.subscribe();
        let before = releases.borrow_and_update().epoch;
        victim.freeze().await?;
        self.lock().held += 1;
        let release = releases.wait_for(|release| release.epoch > before).await.map(|release| *release);
        self.lock().held -= 1;
        match release {
            Ok(Release { forward: true, .. }) => Ok(()),
            _ => Err(io::Error::other("held, and then dropped")),
        }
    }
}

impl Scope {
    /// Lists and watches of our kinds get a selector.
    fn narrow(&self, uri: &Uri, call: &Call) -> Uri {
        let (of, selector) = match (call.method.as_str(), call.template.rsplit('/').next()) {
            ("GET", Some("awsaccounts")) => ("labelSelector", self.accounts.clone()),
            ("GET", Some("awscertificates" | "awscertificaterequests")) if !call.template.contains("{namespace}") => {
                ("fieldSelector", format!("metadata.namespace={}", self.namespace))
            }
            _ => return uri.clone(),
        };
        let query: String = form_urlencoded::Serializer::new(call.query.clone()).append_pair(of, &selector).finish();
        format!("{}?{query}", call.path).parse().unwrap_or_else(|_| uri.clone())
    }
}

fn shift_date(headers: &mut HeaderMap, seconds: i64) {
    let date = headers.get(DATE).and_then(|date| date.to_str().ok()).and_then(|date| rfc2822::parse(date).ok());
    if seconds == 0 {
        return;
    }
    if let Some(date) = date
        && let Ok(shifted) = date.timestamp().checked_add(SignedDuration::from_secs(seconds))
        && let Ok(text) = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&shifted)
        && let Ok(value) = HeaderValue::try_from(text)
    {
        headers.insert(DATE, value);
    }
}

/// An answer that the server did not give.
fn told(call: &Call, status: u16, body: &serde_json::Value) -> io::Result<Response<Answer>> {
    let mut response = Response::new(full(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
    response.headers_mut().insert(CONTENT_TYPE, content_type(call));
    Ok(response)
}

fn content_type(call: &Call) -> HeaderValue {
    HeaderValue::from_static(if call.operation.is_some() { "application/x-amz-json-1.1" } else { "application/json" })
}

/// A refusal in the words of the API server, or of AWS.
fn refusal(call: &Call, status: u16, reason: &str, message: &str) -> serde_json::Value {
    if call.operation.is_some() {
        json!({ "__type": reason, "message": message })
    } else {
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": reason, "code": status })
    }
}
