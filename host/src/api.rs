//! The admin API: pages about a running host, on loopback, and the few orders that need no topic.
//!
//! ```text
//! /healthz                            200 while the process lives
//! /readyz                             200, or 503 with the reasons
//! /metrics                            for Prometheus
//! /api/v1/transforms tasks jobs stores
//! /api/v1/ingests
//! /api/v1/ingests/NAME/run            POST, with the token of the host
//! /api/v1/callouts?id=ID | ?limit=N
//! /api/v1/state/TRANSFORM/PARTITION/STORE?key=K | ?prefix=P&after=K&limit=N
//! ```
//! It has threads of its own and reads the board, so that it answers at once whatever the workers do; only questions about
//! rows wait for a worker. Whoever reaches the port may ask, and whoever can read the host's address file may give orders: it never listens beyond this machine,
//! and it refuses requests that a browser makes under another name than this machine's.

mod address_file;
mod callouts;
mod http;
mod ingests;
mod metrics;
mod pages;
mod prometheus;
mod routes;
pub mod shapes;
mod state;
mod token;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub use address_file::{AddressFile, Found};

use crate::api::token::Token;
use crate::event;
use crate::fault::{Code, Fault};
use crate::status::Board;

/// How long the thread that listens may take to notice that it is over.
const FAREWELL: Duration = Duration::from_secs(1);

/// The running API. It ends when this is dropped.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _file: AddressFile,
}

impl Api {
    /// Listens at the address, or at another port of it if that one is taken, and writes where into the directory of the
    /// application.
    ///
    /// # Errors
    /// `address_unusable`, `state_dir_unusable`.
    pub fn start(board: &Arc<Board>, wanted: SocketAddr, directory: &Path) -> Result<Self, Fault> {
        let (listener, address) = listen(wanted).map_err(|error| unusable(wanted, error))?;
        let token = Token::new().map_err(|error| unusable(wanted, error))?;
        let file = AddressFile::write(directory, address, board.instance(), &token)?;
        let (stop, board) = (Arc::<AtomicBool>::default(), Arc::clone(board));
        let answer: Arc<http::Answer> = Arc::new(move |request| routes::answer(&board, &token, request));
        let stopped = Arc::clone(&stop);
        let serve = move || http::serve(&listener, &stopped, &answer);
        let thread = std::thread::Builder::new().name("api".to_owned()).spawn(serve);
        let thread = thread.map_err(|error| unusable(wanted, error))?;
        event::ApiStarted { address, wanted }.emit();
        Ok(Self { address, stop, thread: Some(thread), _file: file })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let woken = TcpStream::connect_timeout(&self.address, FAREWELL);
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            // A thread that panicked has said so already.
            drop(thread.join());
        }
    }
}

/// An admin page must not keep a host from its work: a port that is taken gives way to a free one.
fn listen(wanted: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = match TcpListener::bind(wanted) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => TcpListener::bind((wanted.ip(), 0)),
        bound => bound,
    }?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn unusable(address: SocketAddr, error: io::Error) -> Fault {
    Fault::new(Code::AddressUnusable, format!("the admin API cannot listen on `{address}`"))
        .because(error)
        .hint("set another `[app] api`, or \"off\"")
}

#[cfg(test)]
mod tests;
