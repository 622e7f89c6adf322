//! Ingests of HTTP: requests become records, and are answered when these are committed to Kafka.
//!
//! ```text
//! serve    connections: bounds, TLS, time limits         (two threads of a runtime for all ingests)
//! answer   who asks, what is asked: refusals             route  rate  body  schema  openapi
//! desk     many requests in one transaction              (a thread for each ingest: it owns the outlet)
//! keys     idempotency keys: a row for each, committed with the records of its request
//! gate     while Kafka does not take records, that is the answer, at once
//! ```

mod answer;
mod body;
mod desk;
mod gate;
mod keys;
mod openapi;
mod rate;
mod refusal;
mod route;
mod schema;
mod serve;
mod stall;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use answer::{Counter, Site};
use desk::{Desk, DeskThread};
pub use route::Route;

use crate::clock::Clock;
use crate::config::ingest::HttpListener;
use crate::event;
use crate::fault::{Code, Fault};

/// Threads for connections: they only move bytes, and hold small values against a schema.
const THREADS: usize = 2;

/// Threads for large bodies, which are taken apart at leisure.
const BODY_THREADS: usize = 2;

/// How long requests that are under way may take when it ends.
const FAREWELL: Duration = Duration::from_secs(10);

/// The listener with all its ingests. Dropping it ends it as [`HttpServer::shutdown`] does.
pub struct HttpServer {
    address: SocketAddr,
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
    places: Arc<Semaphore>,
    connections: u32,
    listening: Option<JoinHandle<()>>,
    desks: Vec<DeskThread>,
    #[cfg(test)]
    site: Arc<Site>,
}

impl HttpServer {
    /// Listens, and begins to claim the names of the routes. Kafka may come later: until then requests are answered with 503.
    ///
    /// # Errors
    /// `address_unusable`, `tls_unusable`, `invalid_value` when two routes have one path, `internal` when threads cannot be made.
    pub fn start(listener: &HttpListener, routes: Vec<Route>, clock: &Clock) -> Result<Self, Fault> {
        check_paths(&routes)?;
        let tls = listener.tls.as_ref().map(tls::acceptor).transpose()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(BODY_THREADS)
            .thread_name("ingest-http")
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| {
            Fault::new(Code::Internal, "cannot make the threads of the ingests of HTTP").because(error)
        })?;
        let unusable = |error| {
            let message = format!("ingests of HTTP cannot listen at `{}`", listener.listen);
            Fault::new(Code::AddressUnusable, message).because(error)
        };
        let socket = runtime.block_on(TcpListener::bind(listener.listen)).map_err(unusable)?;
        let address = socket.local_addr().map_err(unusable)?;
        let (site, desks) = open(listener, routes, clock)?;
        let places = Arc::new(Semaphore::new(listener.connections as usize));
        let site = Arc::new(site);
        let (stop, stopped) = watch::channel(false);
        let is_secure = tls.is_some();
        let server =
            serve::Server { site: Arc::clone(&site), tls, places: Arc::clone(&places), stop: stopped };
        let listening = Some(runtime.spawn(server.serve(socket)));
        event::HttpStarted { address, tls: is_secure }.emit();
        let connections = listener.connections;
        Ok(Self {
            address,
            runtime: Some(runtime),
            stop,
            places,
            connections,
            listening,
            desks,
            #[cfg(test)]
            site,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, finishes the requests that are under way, for a while, and ends its threads. Blocks.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            let listening = self.listening.take();
            runtime.block_on(async {
                if let Some(listening) = listening {
                    drop(listening.await);
                }
                // All places are free when all connections have ended.
                drop(tokio::time::timeout(FAREWELL, self.places.acquire_many(self.connections)).await);
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
        self.desks.drain(..).for_each(DeskThread::end);
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.end();
    }
}

fn check_paths(routes: &[Route]) -> Result<(), Fault> {
    for (index, route) in routes.iter().enumerate() {
        let other = routes.iter().take(index).find(|other| other.rules.path == route.rules.path);
        if let Some(other) = other {
            let message = format!(
                "ingests `{}` and `{}` have the same path, `{}`",
                other.rules.name, route.rules.name, route.rules.path
            );
            return Err(Fault::new(Code::InvalidValue, message).hint("give each its own `path`"));
        }
    }
    Ok(())
}

/// Starts the desks, and gathers what is served.
fn open(
    listener: &HttpListener,
    routes: Vec<Route>,
    clock: &Clock,
) -> Result<(Site, Vec<DeskThread>), Fault> {
    let app = routes.first().map(|route| route.ingest.app.to_string()).unwrap_or_default();
    let (mut counters, mut desks) = (Vec::new(), Vec::new());
    for Route { ingest, http, rules, outlet } in routes {
        let (desk, thread) = Desk::start(&ingest, &http, outlet, clock)?;
        counters.push(Arc::new(Counter { rules, desk }));
        desks.push(thread);
    }
    let document = openapi::document(&app, counters.iter().map(|counter| &counter.rules));
    let description = format!("{document:#}\n").into();
    let site = Site { counters, description, timeout: listener.timeout, clock: clock.clone() };
    Ok((site, desks))
}

#[cfg(test)]
mod tests;
