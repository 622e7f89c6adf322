//! A proxy in front of the server that does to scans what it is told, and remembers them.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Result;
use serde_json::{Value, json};

use super::message::Message;

/// What happens to a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The server answers it.
    Pass,
    /// It is refused for now.
    Throttle,
    /// It is answered with 500.
    Fail,
    /// The connection is closed without an answer.
    Close,
    /// The connection is closed in the middle of the answer.
    Cut,
    /// It is refused for its signature, with this text behind the message's first line.
    Refuse(String),
}

#[derive(Debug, Default)]
struct Shared {
    deeds: Mutex<VecDeque<Deed>>,
    scans: Mutex<Vec<Value>>,
    is_gone: AtomicBool,
    is_busy: AtomicBool,
    ends: AtomicBool,
}

/// The proxy. Dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Starts one in front of a server.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (address, shared) = (listener.local_addr()?, Arc::new(Shared::default()));
        let inner = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if inner.ends.load(Ordering::SeqCst) {
                    return;
                }
                let inner = Arc::clone(&inner);
                // What fails here is a connection, and the other side sees that.
                thread::spawn(move || drop(serve(stream, server, &inner)));
            }
        });
        Ok(Self { address, shared })
    }

    /// The address, as the pipeline file's `endpoint` takes it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What happens to the next scans, in this order; then they pass again.
    pub fn next(&self, deeds: impl IntoIterator<Item = Deed>) {
        lock(&self.shared.deeds).extend(deeds);
    }

    /// Whether every connection is closed at once.
    pub fn set_gone(&self, is_gone: bool) {
        self.shared.is_gone.store(is_gone, Ordering::SeqCst);
    }

    /// Whether every scan is refused for now that is not told otherwise.
    pub fn set_busy(&self, is_busy: bool) {
        self.shared.is_busy.store(is_busy, Ordering::SeqCst);
    }

    /// The bodies of all scans so far, whatever became of them.
    pub fn scans(&self) -> Vec<Value> {
        lock(&self.shared.scans).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // Wakes the listener; when that fails it has ended.
        drop(TcpStream::connect(self.address));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, server: SocketAddr, shared: &Shared) -> Result<()> {
    if shared.is_gone.load(Ordering::SeqCst) {
        return Ok(());
    }
    let Some(message) = Message::read(&mut stream)? else { return Ok(()) };
    let deed = if message.action() == "Scan" {
        lock(&shared.scans).push(serde_json::from_slice(&message.body)?);
        let busy = shared.is_busy.load(Ordering::SeqCst).then_some(Deed::Throttle);
        lock(&shared.deeds).pop_front().or(busy)
    } else {
        None
    };
    match deed.unwrap_or(Deed::Pass) {
        Deed::Pass => stream.write_all(&message.forward(server)?)?,
        Deed::Throttle => stream.write_all(&error(
            "400 Bad Request",
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded.",
        ))?,
        Deed::Fail => {
            stream.write_all(&error("500 Internal Server Error", "InternalServerError", "Sorry."))?
        }
        Deed::Close => {}
        Deed::Cut => {
            let answer = message.forward(server)?;
            stream.write_all(answer.get(..answer.len() * 2 / 3).unwrap_or_default())?;
        }
        Deed::Refuse(text) => {
            let message = format!("The signature does not match.\n\nThe request was:\n{text}");
            stream.write_all(&error("403 Forbidden", "InvalidSignatureException", &message))?;
        }
    }
    Ok(())
}

fn error(status: &str, code: &str, message: &str) -> Vec<u8> {
    let body = json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message })
        .to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head, body].concat().into_bytes()
}
