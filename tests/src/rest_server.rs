//! The external service of the tests: a real HTTP server in a process of its own, whose bad days are rolled from a seed, and
//! which writes down each request before it answers.
//!
//! ```text
//! test -- RestServer::start --> rest_server (a program of this package) -- appends to --> log
//! test <- requests() ------------------------------------------------------- reads --------'
//! ```
//! What it has written is the truth about requests: a host cannot know what has reached a server.

mod behaviour;
mod connection;
mod journal;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};

pub use behaviour::{Behaviour, Deed};
pub use journal::{Entry, Request, Step, read, requests};

use crate::process::Process;
use crate::rundir;
use crate::wait::{self, Seen};
use journal::Journal;

/// What the program writes when it listens.
const LISTENS: &str = "listening on ";

/// The server as a child process.
pub struct RestServer {
    process: Process,
    address: SocketAddr,
    log: PathBuf,
}

impl RestServer {
    /// Starts it; its log, and what it has to say itself, lie in this directory.
    ///
    /// # Errors
    /// When it does not listen within the time.
    pub fn start(dir: &Path, behaviour: &Behaviour) -> Result<Self> {
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        // Cargo builds the programs of a package before its integration tests.
        let mut command = Command::new(rundir::target()?.join(profile).join("rest_server"));
        let log = dir.join("requests.jsonl");
        command.arg(&log).args(behaviour.arguments());
        let process = Process::start("the REST server", &mut command, dir.join("rest-server.log"))?;
        let address = wait::until("the REST server to listen", || {
            let output = process.output()?;
            let said = output.lines().find_map(|line| line.strip_prefix(LISTENS));
            Ok(match said {
                Some(address) => Seen::Yes(address.parse()?),
                None => Seen::NotYet(output),
            })
        })?;
        Ok(Self { process, address, log })
    }

    /// Where it listens.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that it has written down so far, in the order of arrival.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn requests(&self) -> Result<Vec<Request>> {
        Ok(requests(&read(&self.log)?))
    }

    /// Stops it with SIGSTOP, until [`RestServer::resume`].
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn pause(&self) -> Result<()> {
        self.process.pause()
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume(&self) -> Result<()> {
        self.process.resume()
    }
}

/// Serves for ever: what the program does. Says on standard output where it listens.
///
/// # Errors
/// When it cannot listen, or cannot write down what it receives: then nothing that it did would count.
pub fn serve(log: &Path, behaviour: Behaviour) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    let journal = Arc::new(Journal::open(log)?);
    println!("{LISTENS}{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let (stream, journal, behaviour) = (stream?, Arc::clone(&journal), behaviour.clone());
        std::thread::spawn(move || {
            if let Err(error) = connection::serve(stream, &journal, &behaviour) {
                println!("a connection ended: {error:#}");
            }
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    /// A server on a thread of this process.
    fn server(behaviour: Behaviour) -> (SocketAddr, PathBuf) {
        let log = rundir::make("rest-server").unwrap().join("requests.jsonl");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let journal = Arc::new(Journal::open(&log).unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A reset is what some of these tests ask for.
                drop(connection::serve(stream.unwrap(), &journal, &behaviour));
            }
        });
        (address, log)
    }

    fn ask(address: SocketAddr, requests: &[&str]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        for request in requests {
            stream.write_all(request.as_bytes()).unwrap();
        }
        let mut answers = String::new();
        // A reset ends the answers, too.
        drop(stream.read_to_string(&mut answers));
        answers
    }

    const LAST: &str = "GET /b HTTP/1.1\r\nConnection: close\r\nIdempotency-Key: k\r\n\r\n";

    #[test]
    fn answers_several_requests_of_one_connection_and_writes_them_down() {
        let (address, log) = server(Behaviour::default());

        let answers = ask(address, &["POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", LAST]);

        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
        let requests = requests(&read(&log).unwrap());
        let seen: Vec<_> =
            requests.iter().map(|r| (r.method.as_str(), r.path.as_str(), r.key.as_deref())).collect();
        assert_eq!(seen, [("POST", "/a", None), ("GET", "/b", Some("k"))]);
        assert!(
            requests.iter().all(|request| request.executed && request.status == Some(200)),
            "{requests:?}"
        );
        assert_ne!(requests[0].digest, requests[1].digest);
    }

    #[test]
    fn does_what_it_is_told_to_and_says_so_in_its_log() {
        let one = |name: &str| Behaviour::default().with(name, 1.0);
        for (behaviour, answer, executed, status) in [
            (one("error"), "HTTP/1.1 500", false, Some(500)),
            (one("busy"), "HTTP/1.1 503", false, Some(503)),
            (one("limited"), "HTTP/1.1 429", false, Some(429)),
            (one("reset-after"), "", true, None),
        ] {
            let (address, log) = server(behaviour);

            let answers = ask(address, &[LAST]);

            assert!(answers.starts_with(answer), "{answers}");
            let requests = requests(&read(&log).unwrap());
            assert_eq!((requests.len(), requests[0].executed, requests[0].status), (1, executed, status));
        }
    }

    #[test]
    fn writes_nothing_down_of_a_request_that_it_has_not_read() {
        let (address, log) = server(Behaviour::default().with("reset-before", 1.0));

        assert_eq!(ask(address, &[LAST]), "");

        assert!(read(&log).unwrap().is_empty());
    }
}
