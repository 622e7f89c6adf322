//! The demo's external service: a real HTTP server in the demo's own process, with bad days, that keeps a log of what it was
//! asked.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::fault::{Code, Fault};

/// What it does with requests, one after the other, again and again: mostly it is slow, sometimes it fails.
const DAYS: [Deed; 16] = [
    Deed::Serve(20),
    Deed::Serve(60),
    Deed::Serve(40),
    Deed::Fail(500),
    Deed::Serve(120),
    Deed::Serve(30),
    Deed::Serve(300),
    Deed::Reset,
    Deed::Serve(50),
    Deed::Serve(90),
    Deed::Serve(20),
    Deed::Fail(503),
    Deed::Serve(200),
    Deed::Serve(70),
    Deed::Serve(40),
    Deed::Serve(150),
];

#[derive(Clone, Copy)]
enum Deed {
    /// Answers with what it knows after so many milliseconds.
    Serve(u64),
    /// Answers with this status.
    Fail(u16),
    /// Does what it was asked and resets the connection without an answer.
    Reset,
}

/// The server. Its threads end with the process.
pub(super) struct RestServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    log: Mutex<Vec<String>>,
    busy: AtomicUsize,
}

impl RestServer {
    /// Listens on a free port of this machine.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn start() -> Result<Self, Fault> {
        let cannot = |error: io::Error| {
            Fault::new(Code::Internal, "the demo cannot start its REST server").because(error)
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let serve = move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&own);
                // A connection for which there is no thread is closed, which is one more bad day.
                drop(std::thread::Builder::new().name("rest".to_owned()).spawn(move || {
                    // The other side has gone: the host was killed, perhaps.
                    drop(connection(&stream, &shared));
                }));
            }
        };
        std::thread::Builder::new().name("rest".to_owned()).spawn(serve).map_err(cannot)?;
        Ok(Self { address, shared })
    }

    /// Where it is.
    pub(super) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The paths of all requests that it has read, in the order of their arrival.
    pub(super) fn log(&self) -> Vec<String> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests it has read.
    pub(super) fn count(&self) -> usize {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many requests it is busy with at this moment.
    pub(super) fn busy(&self) -> usize {
        self.shared.busy.load(Ordering::SeqCst)
    }
}

/// Serves one connection to its end.
fn connection(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(path) = read_request(&mut reader)? {
        let number = {
            let mut log = shared.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(path.clone());
            log.len()
        };
        shared.busy.fetch_add(1, Ordering::SeqCst);
        let went_on = answer(stream, &path, number);
        shared.busy.fetch_sub(1, Ordering::SeqCst);
        if !went_on? {
            break;
        }
    }
    Ok(())
}

/// Answers, or does not. Whether the connection goes on.
fn answer(mut stream: &TcpStream, path: &str, number: usize) -> io::Result<bool> {
    let deed = DAYS.get(number % DAYS.len()).copied().unwrap_or(Deed::Serve(0));
    let (line, body) = match deed {
        Deed::Serve(millis) => {
            std::thread::sleep(Duration::from_millis(millis));
            let known = serde_json::json!({ "path": path, "weight": 12.5, "colour": "oak" });
            ("200 OK".to_owned(), known.to_string())
        }
        Deed::Fail(status) => (format!("{status} Not Today"), "not today".to_owned()),
        Deed::Reset => {
            reset(stream);
            return Ok(false);
        }
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {line}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    Ok(true)
}

/// Reads a request to the end of its body and gives its path; none at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(first.split(' ').nth(1).map(str::to_owned))
}

/// Lets the connection end with a reset when it is closed, which is at once.
fn reset(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = libc::socklen_t::try_from(size_of::<libc::linger>()).unwrap_or_default();
    // SAFETY: the socket is open, and the option is a value of the size that is told. Where it fails, the connection ends
    // without a reset, which is a bad day, too.
    let _ = unsafe {
        let option = (&raw const linger).cast();
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, option, size)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_log_of_what_it_was_asked_also_where_it_does_not_answer() {
        let server = RestServer::start().unwrap();
        let ask = |path: &str| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\n\r\n").unwrap();
            let mut line = String::new();
            // A reset is an answer of its kind.
            drop(BufReader::new(stream).read_line(&mut line));
            line
        };

        let answers: Vec<_> = (0..8).map(|n| ask(&format!("/{n}"))).collect();

        assert_eq!(server.log(), (0..8).map(|n| format!("/{n}")).collect::<Vec<_>>());
        let count = |part: &str| answers.iter().filter(|answer| answer.contains(part)).count();
        assert_eq!((count("200 OK"), count("500"), count("HTTP")), (6, 1, 7), "{answers:?}");
        // A connection ends a moment after its answer has been read.
        let clock = crate::clock::Clock::system();
        while server.busy() > 0 && clock.elapsed() < std::time::Duration::from_secs(10) {
            std::thread::yield_now();
        }
        assert_eq!(server.busy(), 0);
    }
}
