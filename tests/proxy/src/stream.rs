//! The bodies of answers, as they pass through.

use crate::victim::Victim;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::watch;

/// The body of an answer.
pub type Answer = UnsyncBoxBody<Bytes, hyper::Error>;

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> Answer {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// Kills the client a moment after the answer was handed over.
struct Last {
    victim: Victim,
    after: Duration,
}

impl Drop for Last {
    fn drop(&mut self) {
        let (victim, after) = (self.victim.clone(), self.after);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if let Err(error) = victim.kill().await {
                tracing::error!(%error, "the client could not be killed");
            }
        });
    }
}

/// A body that passes through until it is silenced; then nothing comes any more, not even its end.
pub struct Stream<B> {
    inner: B,
    silenced: Option<watch::Receiver<bool>>,
    last: Option<Last>,
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Send + Unpin + 'static> Stream<B> {
    /// This body.
    pub fn new(inner: B) -> Self {
        Self { inner, silenced: None, last: None }
    }

    /// Silent once this says so, and for good.
    pub fn silenced_by(mut self, silenced: watch::Receiver<bool>) -> Self {
        self.silenced = Some(silenced);
        self
    }

    /// The client is killed this long after the end.
    pub fn then_kill(mut self, victim: Victim, after: Duration) -> Self {
        self.last = Some(Last { victim, after });
        self
    }

    /// As any body.
    pub fn boxed(self) -> Answer {
        self.boxed_unsync()
    }
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Body for Stream<B> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        loop {
            let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
            if !self.silenced.as_ref().is_some_and(|silenced| *silenced.borrow()) {
                return Poll::Ready(frame);
            }
            if frame.is_none_or(|frame| frame.is_err()) {
                // The server hung up; the client does not learn of it.
                return Poll::Pending;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.silenced.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
