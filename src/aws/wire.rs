//! AWS without a network, and its time-outs without waiting: an HTTP client with the answers of a test, and timers that go off, in
//! their order, as soon as nothing else is left to do.

use super::stand_in::{Call, Log, call};
use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use std::{
    collections::BTreeMap,
    fmt,
    future::{pending, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

type Answer = dyn Fn(&Call, usize) -> Option<(u16, String)> + Send + Sync;

/// An HTTP client; all its clones are one.
#[derive(Clone)]
pub struct Wire {
    answer: Arc<Answer>,
    log: Arc<Mutex<Log>>,
}

impl Wire {
    /// `answer` gets the call and its number among those of the same operation, from 0; none: there will never be one.
    pub fn new(answer: impl Fn(&Call, usize) -> Option<(u16, String)> + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), log: Arc::default() }
    }

    /// Whoever calls hears nothing.
    pub fn silent() -> Self {
        Self::new(|_, _| None)
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.log.lock().unwrap().calls()
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = String::from_utf8(request.body().bytes().unwrap_or_default().to_vec()).unwrap();
        let call = call(|name| request.headers().get(name), body);
        let number = self.log.lock().unwrap().note(call.clone());
        match (self.answer)(&call, number) {
            Some((status, body)) => {
                HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))))
            }
            None => HttpConnectorFuture::new(pending()),
        }
    }
}

/// The time of the SDK's timers; all its clones are one.
#[derive(Clone, Debug, Default)]
pub struct Time(Arc<Mutex<Timers>>);

#[derive(Debug, Default)]
struct Timers {
    /// Since the beginning.
    now: Duration,
    /// When those that somebody waits for go off.
    set: BTreeMap<u64, Duration>,
    number: u64,
}

impl Time {
    /// How much time passed since the beginning.
    pub fn passed(&self) -> Duration {
        self.0.lock().unwrap().now
    }

    /// Works until nothing goes on, then lets the next timer go off, and so on to the end of the work.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        let mut work = Box::pin(work);
        poll_fn(move |context| {
            loop {
                if let Poll::Ready(end) = work.as_mut().poll(context) {
                    return Poll::Ready(end);
                }
                // What it waits for is none of these timers, and wakes it.
                if !self.next() {
                    return Poll::Pending;
                }
            }
        })
    }

    /// Goes on to when the next timer goes off; false: there is none.
    fn next(&self) -> bool {
        let mut timers = self.0.lock().unwrap();
        let next = timers.set.values().filter(|at| **at > timers.now).min().copied();
        timers.now = next.unwrap_or(timers.now);
        next.is_some()
    }
}

impl AsyncSleep for Time {
    fn sleep(&self, duration: Duration) -> Sleep {
        let mut timers = self.0.lock().unwrap();
        let (number, at) = (timers.number, timers.now + duration);
        timers.number += 1;
        timers.set.insert(number, at);
        Sleep::new(Timer { time: self.clone(), number, at })
    }
}

struct Timer {
    time: Time,
    number: u64,
    at: Duration,
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.time.passed() >= self.at { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.time.0.lock().unwrap().set.remove(&self.number);
    }
}
