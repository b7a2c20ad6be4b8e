//! The clients: one for calls, with a time-out, and one for watches, which may be silent for long.

use crate::clock::ServerClock;
use http::{HeaderMap, header::DATE};
use jiff::Timestamp;
use kube::{Client, Config, client::ClientBuilder};
use std::{sync::Arc, time::Duration};
use tower::util::MapResponseLayer;

/// A call that is not answered after this long has failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The clients of the process.
#[derive(Clone)]
pub struct Clients {
    /// For calls.
    pub calls: Client,
    /// For watches.
    pub watches: Client,
}

/// Makes the clients. Every answer to a call sets the clock.
///
/// # Errors
/// If the configuration makes no TLS client.
pub fn connect(config: Config, clock: &Arc<ServerClock>) -> Result<Clients, kube::Error> {
    let watches = Client::try_from(config.clone())?;
    let clock = clock.clone();
    let mut timed = config;
    timed.read_timeout = Some(CALL_TIMEOUT);
    let sets_clock = MapResponseLayer::new(move |response: http::Response<_>| {
        if let Some(date) = date(response.headers()) {
            clock.observe(date);
        }
        response
    });
    let calls = ClientBuilder::try_from(timed)?.with_layer(&sets_clock).build();
    Ok(Clients { calls, watches })
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        assert_eq!(date(&headers).unwrap().to_string(), "1994-11-06T08:49:37Z");
    }
}
