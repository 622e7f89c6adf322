//! A server that behaves as a test says, on loopback, with a log of what it has read.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    /// Line and headers.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    /// Which connection it came on, from 0.
    pub(super) connection: usize,
}

impl Seen {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// What becomes of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    Keep,
    Close,
    /// With everything that is not sent thrown away, and an error for the other side.
    Reset,
}

/// What a server does with the n-th request that it has read, from 0.
type Behaviour = dyn Fn(usize, &Seen, &mut dyn Write) -> Then + Send + Sync;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    state: Arc<State>,
    acceptor: Option<JoinHandle<()>>,
}

struct State {
    behaviour: Box<Behaviour>,
    tls: Option<Arc<rustls::ServerConfig>>,
    seen: Mutex<Vec<Seen>>,
    count: AtomicUsize,
    connections: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

impl Server {
    pub(super) fn start(
        behaviour: impl Fn(usize, &Seen, &mut dyn Write) -> Then + Send + Sync + 'static,
    ) -> Self {
        Self::bind("127.0.0.1:0".parse().unwrap(), None, behaviour)
    }

    pub(super) fn bind(
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        behaviour: impl Fn(usize, &Seen, &mut dyn Write) -> Then + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            behaviour: Box::new(behaviour),
            tls,
            seen: Mutex::default(),
            count: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            open: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let acceptor = std::thread::spawn(move || accept(&listener, &shared));
        Self { address, state, acceptor: Some(acceptor) }
    }

    /// One that always answers the same.
    pub(super) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_, _, stream| {
            stream.write_all(&answer).unwrap();
            Then::Keep
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        for stream in self.state.open.lock().unwrap().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
        drop(TcpStream::connect(self.address));
        self.acceptor.take().unwrap().join().unwrap();
    }
}

/// An address at which connections are neither taken nor refused, as long as what comes with it is held: once the queue of a
/// listener is full that nobody accepts from, the kernel leaves a new connection without an answer.
pub(super) fn silent() -> (SocketAddr, impl Sized) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let wait = Duration::from_millis(50);
    let queue: Vec<_> = std::iter::from_fn(|| TcpStream::connect_timeout(&address, wait).ok()).collect();
    assert!(!queue.is_empty());
    (address, (listener, queue))
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for stream in listener.incoming() {
        if state.is_over.load(Ordering::SeqCst) {
            return;
        }
        let stream = stream.unwrap();
        let connection = state.connections.fetch_add(1, Ordering::SeqCst);
        state.open.lock().unwrap().push(stream.try_clone().unwrap());
        let state = Arc::clone(state);
        std::thread::spawn(move || serve(stream, connection, &state));
    }
}

fn serve(stream: TcpStream, connection: usize, state: &State) {
    let raw = stream.try_clone().unwrap();
    let then = match &state.tls {
        None => talk(stream, connection, state),
        Some(config) => {
            let session = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
            talk(rustls::StreamOwned::new(session, stream), connection, state)
        }
    };
    if then == Some(Then::Reset) {
        reset(&raw);
    } else {
        drop(raw.shutdown(Shutdown::Both));
    }
    let mut open = state.open.lock().unwrap();
    let peer = raw.peer_addr().ok();
    open.retain(|other| other.peer_addr().ok() != peer);
}

/// Makes the kernel send a reset when the last handle of the socket is dropped.
fn reset(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = u32::try_from(size_of::<libc::linger>()).unwrap();
    // SAFETY: the option's value outlives the call, and has the size that is named.
    let status = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size,
        )
    };
    assert_eq!(status, 0);
}

fn talk(mut stream: impl Read + Write, connection: usize, state: &State) -> Option<Then> {
    loop {
        let seen = read(&mut stream, connection)?;
        let number = state.count.fetch_add(1, Ordering::SeqCst);
        state.seen.lock().unwrap().push(seen.clone());
        let then = (state.behaviour)(number, &seen, &mut stream);
        if then != Then::Keep {
            return Some(then);
        }
    }
}

/// The next request; none when there is none.
fn read(stream: &mut impl Read, connection: usize) -> Option<Seen> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let mut seen = Seen { head: String::from_utf8(head).unwrap(), body: Vec::new(), connection };
    let length = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    seen.body = vec![0; length];
    stream.read_exact(&mut seen.body).ok()?;
    Some(seen)
}
