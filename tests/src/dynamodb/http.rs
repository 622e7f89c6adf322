//! As much of HTTP as it takes to talk to the server: one request and its answer on a connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A head and a body.
pub(super) struct Message {
    /// With the empty line at its end.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

/// What the server says.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
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

/// Asks the server for something.
pub(super) fn call(server: SocketAddr, action: &str, body: &str) -> Result<Answer> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {server}\r\nX-Amz-Target: DynamoDB_20120810.{action}\r\n\
         Content-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, \
         Signature=none\r\n\r\n",
        body.len()
    );
    let answer = Message { head, body: body.as_bytes().to_vec() }.forward(server)?;
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    ensure!(header(head, "transfer-encoding").is_none(), "the answer comes in chunks:\n{head}");
    Ok(Answer { status, body: body.to_owned() })
}
