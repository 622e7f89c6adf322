//! As much of HTTP as it takes to hand on a request and its answer, byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Result;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A head and a body.
pub(super) struct Message {
    /// With the empty line at its end.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// Reads a request; none when the other side has gone.
    pub(super) fn read(stream: &mut TcpStream) -> Result<Option<Self>> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        let (mut bytes, mut chunk) = (Vec::new(), [0; 8192]);
        let head_len = loop {
            if let Some(found) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break found + 4;
            }
            match stream.read(&mut chunk)? {
                0 => return Ok(None),
                count => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            }
        };
        let mut body = bytes.split_off(head_len);
        let head = String::from_utf8(bytes)?;
        let length: usize = header(&head, "content-length").unwrap_or("0").parse()?;
        while body.len() < length {
            match stream.read(&mut chunk)? {
                0 => return Ok(None),
                count => body.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            }
        }
        Ok(Some(Self { head, body }))
    }

    /// The name of what is asked for, such as `Scan`.
    pub(super) fn action(&self) -> &str {
        header(&self.head, "x-amz-target").and_then(|target| target.split('.').nth(1)).unwrap_or_default()
    }

    /// Sends the request on, and returns the whole answer as it comes.
    pub(super) fn forward(&self, to: SocketAddr) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let head = self.head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        stream.write_all(head.as_bytes())?;
        stream.write_all(&self.body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
