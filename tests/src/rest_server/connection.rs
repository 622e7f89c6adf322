//! One connection of the server: requests, one after the other.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};

use super::behaviour::{Behaviour, Deed};
use super::journal::{Entry, Journal, Step};

/// Requests of the whole process, for the rolls.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// What a request needs at most; ours are small.
const BYTES_MAX: u64 = 1 << 20;

/// A request as it was read.
struct Head {
    method: String,
    path: String,
    key: Option<String>,
    authorized: bool,
    closes: bool,
    digest: u64,
}

/// Serves until the client closes the connection, or a bad day ends it.
pub(super) fn serve(stream: TcpStream, journal: &Journal, behaviour: &Behaviour) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        // Waits for the first byte, so that a connection that is only kept open has no bad day.
        if reader.fill_buf()?.is_empty() {
            return Ok(());
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let deed = behaviour.roll(number);
        if deed == Deed::ResetBefore {
            return reset(&stream);
        }
        let head = read_request(&mut reader)?;
        let entry = |step| Entry {
            number,
            step,
            method: head.method.clone(),
            path: head.path.clone(),
            key: head.key.clone(),
            authorized: head.authorized,
            digest: head.digest,
        };
        journal.write(&entry(Step::Received))?;
        let status = match deed {
            Deed::Serve | Deed::ServeSlowly(_) | Deed::ResetAfter | Deed::Silent | Deed::ResetBefore => 200,
            Deed::Error => 500,
            Deed::Busy => 503,
            Deed::Limited => 429,
        };
        if status == 200 {
            journal.write(&entry(Step::Executed))?;
        }
        match deed {
            Deed::ServeSlowly(wait) => std::thread::sleep(wait),
            Deed::ResetAfter => return reset(&stream),
            Deed::Silent => return outwait(&mut reader),
            _ => {}
        }
        // Written before the answer, so that an answer that somebody has seen is in the log.
        journal.write(&entry(Step::Answered(status)))?;
        answer(&stream, status, &head)?;
        if head.closes {
            return Ok(());
        }
    }
}

/// Reads a request with its body.
fn read_request(reader: &mut BufReader<TcpStream>) -> Result<Head> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        ensure!(reader.by_ref().take(BYTES_MAX).read_line(&mut line)? > 0, "a request was cut off");
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut first = lines.first().context("a request without a line")?.split(' ');
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let header = |name: &str| {
        let fields = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
        let mut found = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim().to_owned())
    };
    ensure!(header("transfer-encoding").is_none(), "a request in chunks is not understood");
    let length: u64 = header("content-length").map_or(Ok(0), |length| length.parse())?;
    ensure!(length <= BYTES_MAX, "a request is too large");
    let mut body = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut body)?;
    ensure!(body.len() as u64 == length, "a body was cut off");
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    Ok(Head {
        method: method.to_owned(),
        path: path.to_owned(),
        key: header("idempotency-key"),
        authorized: header("authorization").is_some(),
        closes: header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
        digest: hasher.finish(),
    })
}

fn answer(mut stream: &TcpStream, status: u16, head: &Head) -> Result<()> {
    let reason = match status {
        200 => "OK",
        429 => "Too Many Requests\r\nRetry-After: 1",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    };
    let body = match status {
        200 => serde_json::json!({ "path": head.path, "name": "what the service knows" }).to_string(),
        _ => "not today".to_owned(),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    Ok(stream.write_all(format!("{head}{body}").as_bytes())?)
}

/// Waits until the client has had enough.
fn outwait(reader: &mut BufReader<TcpStream>) -> Result<()> {
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest)?;
    Ok(())
}

/// Closes the connection so that the client sees a reset, not an end.
fn reset(stream: &TcpStream) -> Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = libc::socklen_t::try_from(size_of::<libc::linger>())?;
    // SAFETY: the socket is open, and the option is a value of the size that is told.
    let result = unsafe {
        let option = (&raw const linger).cast();
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, option, size)
    };
    ensure!(result == 0, "cannot set a socket's option: {}", std::io::Error::last_os_error());
    Ok(())
}
