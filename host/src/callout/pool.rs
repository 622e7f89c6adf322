//! Connections of an endpoint that wait for the next request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use crate::callout::connect::Stream;
use crate::callout::reason::reason;
use crate::callout::wire::{Lane, Wire};
use crate::io::{CalloutMode, Reason};

/// How long a connection may rest before its next request. Servers close what rests, some after two seconds; a request that
/// meets the closing is in doubt, which costs a person's time where it must not be repeated.
fn rest_max(mode: CalloutMode) -> Duration {
    match mode {
        CalloutMode::AtMostOnce => Duration::from_secs(1),
        CalloutMode::Idempotent => Duration::from_secs(20),
    }
}

/// The head of an answer; hyper takes no smaller bound.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A connection with HTTP on it. Dropping it closes it.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) lane: Lane,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Begins to speak HTTP.
    ///
    /// # Errors
    /// Nothing of a request was sent.
    pub(super) async fn begin(stream: Stream) -> Result<Self, Reason> {
        let lane = Lane::default();
        let mut http = http1::Builder::new();
        http.max_buf_size(HEAD_BYTES_MAX);
        let failed = |error: hyper::Error| reason("connection-lost", error.to_string());
        let (sender, driver) = match stream {
            Stream::Plain(stream) => {
                let wire = Wire::new(TokioIo::new(stream), lane.clone());
                let (sender, connection) = http.handshake(wire).await.map_err(failed)?;
                (sender, tokio::spawn(async move { drop(connection.await) }))
            }
            Stream::Tls(stream) => {
                let wire = Wire::new(TokioIo::new(*stream), lane.clone());
                let (sender, connection) = http.handshake(wire).await.map_err(failed)?;
                (sender, tokio::spawn(async move { drop(connection.await) }))
            }
        };
        Ok(Self { sender, lane, driver })
    }

    /// Ends it as a server does that closes a connection which rests.
    #[cfg(test)]
    pub(super) async fn close(&self) {
        self.driver.abort();
        while !self.sender.is_closed() {
            tokio::task::yield_now().await;
        }
    }
}

/// The resting connections of an endpoint, the last used one first: what is not needed rests until it is closed.
pub(super) struct Pool {
    rest_max: Duration,
    resting: Mutex<Vec<(Connection, Duration)>>,
}

impl Pool {
    pub(super) fn new(mode: CalloutMode) -> Self {
        Self { rest_max: rest_max(mode), resting: Mutex::default() }
    }

    /// A connection that has rested not too long and that nobody has closed, as far as is known.
    pub(super) fn take(&self, now: Duration) -> Option<Connection> {
        self.prune(now);
        self.resting().pop().map(|(connection, _)| connection)
    }

    /// Lets a connection rest. There are never more than requests at the same time.
    pub(super) fn put(&self, connection: Connection, now: Duration) {
        self.resting().push((connection, now));
    }

    /// Closes what has rested too long or was closed by the server.
    pub(super) fn prune(&self, now: Duration) {
        let is_good = |(connection, since): &(Connection, Duration)| {
            connection.sender.is_ready() && now.saturating_sub(*since) < self.rest_max
        };
        self.resting().retain(is_good);
    }

    /// How many rest.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.resting().len()
    }

    fn resting(&self) -> MutexGuard<'_, Vec<(Connection, Duration)>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
