//! Bounds what is read of an answer: the SDK itself reads a body to its end, into memory, whatever its length.

use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::HttpRequest,
        runtime_components::RuntimeComponents,
    },
    shared::IntoShared,
};
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

/// The longest answer that is read, in bytes. ACM's longest chain has 2 MiB (ACM API reference, ImportCertificate).
const LONGEST_ANSWER: usize = 4 << 20;
/// The longest page of ListCertificates: 1,000 certificates, each with a hundred names of up to 253 letters.
const LONGEST_LIST: usize = 32 << 20;

/// The same client, which breaks off an answer that is too long.
#[must_use]
pub fn bounded(client: SharedHttpClient) -> SharedHttpClient {
    Bounded(client).into_shared()
}

#[derive(Debug)]
struct Bounded<T>(T);

impl HttpClient for Bounded<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Bounded(self.0.http_connector(settings, components)))
    }
}

impl HttpConnector for Bounded<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let lists = request.headers().get("x-amz-target") == Some("CertificateManager.ListCertificates");
        let most = if lists { LONGEST_LIST } else { LONGEST_ANSWER };
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            Ok(answer.map(|body| SdkBody::from_body_1_x(Limited::new(body, most))))
        })
    }
}
