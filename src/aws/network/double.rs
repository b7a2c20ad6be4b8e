//! A stand-in for a company's proxy, on 127.0.0.1: it writes down where it was asked to connect to, and connects nobody.
//! It refuses, or opens TLS in the place of the host, as a proxy that inspects does, and answers as STS.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{ServerConfig, crypto::aws_lc_rs::default_provider};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// Whom STS tells.
pub const CALLER: &str = "arn:aws:iam::111122223333:user/arnkeeper";

/// A request for a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Host and port.
    pub host: String,
    /// `user:password` of the header Proxy-Authorization, or nothing.
    pub user: String,
}

/// The stand-in; it ends with the test's runtime.
pub struct Proxy {
    /// Its address, `127.0.0.1:<port>`.
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A certificate of its own CA for one host.
pub struct Own {
    /// The CA, in PEM.
    pub ca: String,
    acceptor: TlsAcceptor,
}

impl Own {
    /// For this host.
    pub fn of(host: &str) -> Self {
        let own = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = config.with_single_cert(vec![own.cert.der().clone()], key).unwrap();
        Self { ca: own.cert.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    /// Serves STS with this certificate, without a proxy; the address.
    pub async fn endpoint(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let acceptor = self.acceptor.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(opened(stream, acceptor.clone()));
            }
        });
        address
    }
}

impl Proxy {
    /// Refuses every tunnel with this status line, such as `403 Forbidden`.
    pub async fn refusing(status: &'static str) -> Self {
        Self::start(status, None).await
    }

    /// Opens the TLS of every tunnel.
    pub async fn opening(own: &Own) -> Self {
        Self::start("200 Connection established", Some(own.acceptor.clone())).await
    }

    async fn start(status: &'static str, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(vec![]));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tunnel(stream, status, acceptor.clone(), Arc::clone(&log)));
            }
        });
        Self { address, asked }
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The hosts that it was asked for, each once.
    pub fn hosts(&self) -> Vec<String> {
        let mut hosts: Vec<String> = self.asked().into_iter().map(|asked| asked.host).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }
}

async fn tunnel(
    mut stream: TcpStream,
    status: &'static str,
    acceptor: Option<TlsAcceptor>,
    log: Arc<Mutex<Vec<Asked>>>,
) {
    let Some(head) = head(&mut stream).await else { return };
    let host = head.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let user = header(&head, "proxy-authorization").and_then(|value| value.strip_prefix("Basic "));
    let user = user.and_then(|user| String::from_utf8(STANDARD.decode(user).ok()?).ok()).unwrap_or_default();
    log.lock().unwrap().push(Asked { host, user });
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    if stream.write_all(answer.as_bytes()).await.is_ok()
        && let Some(acceptor) = acceptor
    {
        opened(stream, acceptor).await;
    }
}

/// One call of STS over TLS.
async fn opened(stream: TcpStream, acceptor: TlsAcceptor) {
    // Who does not trust us ends it here.
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let Some(head) = head(&mut stream).await else { return };
    let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    let account = CALLER.split(':').nth(4).unwrap_or_default();
    let told = format!(
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{CALLER}</Arn><UserId>AIDA</UserId><Account>{account}</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>"
    );
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", told.len());
    // Who went away has no use for it.
    let _ = stream.write_all((head + &told).as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// The head of a request; none: the connection ended before.
async fn head(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<String> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let pairs = head.lines().filter_map(|line| line.split_once(": "));
    pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
