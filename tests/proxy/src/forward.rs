//! The way to the server.

use http_body_util::Full;
use hyper::{
    Request, Response, Uri,
    body::{Bytes, Incoming},
    http::{request::Parts, uri::PathAndQuery},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use std::{sync::Arc, time::Duration};

/// A server, and the connections to it.
pub struct Server {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: Uri,
}

impl Server {
    /// The server at this address, which shows a certificate of these authorities (PEM) if it speaks TLS.
    pub fn new(base: &str, authorities: &[u8]) -> Result<Self, String> {
        let base: Uri = base.trim_end_matches('/').parse().map_err(|error| format!("{base}: {error}"))?;
        if base.scheme().is_none() || base.authority().is_none() {
            return Err(format!("{base} is no address such as http://127.0.0.1:4566"));
        }
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities) {
            let certificate = certificate.map_err(|error| format!("the server's authorities: {error}"))?;
            roots.add(certificate).map_err(|error| format!("the server's authorities: {error}"))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        // The Host header is part of what AWS's clients sign: it stays what the client wrote.
        let mut client = Client::builder(TokioExecutor::new());
        // Long before the API server closes what is idle (90 s): what meets the close is lost by chance.
        client.pool_timer(TokioTimer::new()).pool_idle_timeout(Duration::from_secs(15)).set_host(false);
        let client = client.build(connector);
        Ok(Self { client, base })
    }

    /// Sends a request on, whole, and waits for the head of its answer.
    pub async fn send(&self, mut parts: Parts, body: Bytes) -> Result<Response<Incoming>, String> {
        let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut uri = self.base.clone().into_parts();
        uri.path_and_query = Some(path);
        parts.uri = Uri::from_parts(uri).map_err(|error| error.to_string())?;
        for name in ["connection", "keep-alive", "transfer-encoding", "expect"] {
            parts.headers.remove(name);
        }
        let request = Request::from_parts(parts, Full::new(body));
        let mut response = self.client.request(request).await.map_err(|error| format!("{error}: {error:?}"))?;
        for name in ["connection", "keep-alive", "transfer-encoding"] {
            response.headers_mut().remove(name);
        }
        Ok(response)
    }
}
