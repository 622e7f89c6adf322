//! Connections: taken up to a bound, with TLS or without, each with its own time limits.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::answer::{self, Site};
use super::refusal::Refusal;
use super::stall::Stall;
use crate::event;
use crate::fault::Code;

/// The head of a request may be this large.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How long to wait when no connection can be taken: the process has too many open files, perhaps.
const PAUSE: Duration = Duration::from_millis(200);

/// Connections beyond the limit that are being told so; more are closed at once.
const REFUSALS_MAX: usize = 64;
const REFUSAL_TIME_MAX: Duration = Duration::from_millis(500);

/// A listener with what it serves.
pub(super) struct Server {
    pub(super) site: Arc<Site>,
    pub(super) tls: Option<TlsAcceptor>,
    /// Connections that may still come.
    pub(super) places: Arc<Semaphore>,
    /// True when it is over.
    pub(super) stop: watch::Receiver<bool>,
}

impl Server {
    /// Takes connections until it is over.
    pub(super) async fn serve(self, listener: TcpListener) {
        let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
        let mut stop = self.stop.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                () = over(&mut stop) => return,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    event::HttpTroubled { cause: &error }.emit();
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            match Arc::clone(&self.places).try_acquire_owned() {
                Ok(place) => self.begin(stream, place),
                Err(_) => {
                    event::HttpConnectionRefused.emit();
                    if let (None, Ok(turn)) = (&self.tls, Arc::clone(&refusals).try_acquire_owned()) {
                        tokio::spawn(send_away(stream, turn));
                    }
                }
            }
        }
    }

    fn begin(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // Answers are small; they must not wait for the next one. A stream that refuses this works all the same.
        drop(stream.set_nodelay(true));
        let (site, stop, tls) = (Arc::clone(&self.site), self.stop.clone(), self.tls.clone());
        tokio::spawn(async move {
            let patience = site.timeout;
            let stream = Stall::new(stream, patience);
            match tls {
                None => talk(stream, site, stop).await,
                Some(tls) => {
                    // A client that cannot speak TLS with us is its own matter.
                    if let Ok(Ok(stream)) = tokio::time::timeout(patience, tls.accept(stream)).await {
                        talk(stream, site, stop).await;
                    }
                }
            }
            drop(place);
        });
    }
}

/// Speaks HTTP on a connection until the client has enough, or is too slow, or it is over.
async fn talk<S>(stream: S, site: Arc<Site>, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(site.timeout).max_buf_size(HEAD_BYTES_MAX);
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(answer::answer(&site, request).await) }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    // A client that goes away in the middle, or is too slow, is its own matter.
    tokio::select! {
        talked = connection.as_mut() => drop(talked),
        () = over(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}

/// Waits until it is over; also when nobody is left to say so.
async fn over(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|is_over| *is_over).await);
}

/// Tells a client that there are too many connections, whatever it wants.
async fn send_away(mut stream: TcpStream, turn: OwnedSemaphorePermit) {
    let body = Refusal::new(Code::IngestUnavailable, "there are too many connections").body();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Retry-After: 1\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // A close with something unread takes the answer away from the client.
        while stream.read(&mut [0; 1024]).await? > 0 {}
        std::io::Result::Ok(())
    };
    drop(tokio::time::timeout(REFUSAL_TIME_MAX, told).await);
    drop(turn);
}
