//! The listener: takes connections up to the limit, owns their tasks, ends them.

pub(crate) mod budget;
pub(crate) mod connection;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cluster::Shared;

/// Pause after a failed accept (no file descriptors left, as a rule), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until told to stop; then closes them all and returns.
///
/// `kills` counts the times that all present connections are to be closed.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
    kills: watch::Receiver<u64>,
) {
    let mut connections = JoinSet::new();
    let mut is_at_limit = false;
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(ended) = connections.join_next() => log_panic(ended),
            accepted = listener.accept() => match accepted {
                Err(error) => {
                    tracing::warn!(%error, "dev broker cannot take a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                Ok((_, peer)) if connections.len() >= shared.limits.connections => {
                    if !is_at_limit {
                        tracing::warn!(%peer, limit = shared.limits.connections, "dev broker turns connections away");
                    }
                    is_at_limit = true;
                }
                Ok((socket, peer)) => {
                    is_at_limit = false;
                    connections.spawn(run_connection(Arc::clone(&shared), socket, peer, kills.clone()));
                }
            },
        }
    }
    connections.shutdown().await;
}

/// Returns when told to stop, or when nobody is left to tell.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    stop.wait_for(|stop| *stop).await.ok();
}

async fn run_connection(
    shared: Arc<Shared>,
    socket: tokio::net::TcpStream,
    peer: SocketAddr,
    mut kills: watch::Receiver<u64>,
) {
    kills.mark_unchanged();
    let connection = connection::Connection::new(shared, socket, peer);
    tokio::select! {
        closed = connection.run() => tracing::debug!(%peer, reason = %closed, "connection closed"),
        _ = kills.changed() => tracing::debug!(%peer, "connection killed"),
    }
}

/// A panic in a handler costs its own connection only.
fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "dev broker lost a connection to a panic of its own");
    }
}
