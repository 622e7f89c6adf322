//! Makes connections: name, TCP, proxy, TLS. All of it comes before the first byte of a request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::callout::reason::reason;
use crate::config::base_url::BaseUrl;
use crate::io::Reason;

/// The head of a proxy's answer; more than this is no answer.
const PROXY_HEAD_BYTES: usize = 8 << 10;

/// Where and how to connect.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The endpoint's base URL.
    pub(super) url: BaseUrl,
    /// The proxy.
    pub(super) proxy: Option<BaseUrl>,
    /// How to speak TLS, if the URL wants it.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// How long all of it may take.
    pub(super) timeout: Duration,
}

/// A connection on which HTTP can be spoken.
pub(super) enum Stream {
    /// Without TLS.
    Plain(TcpStream),
    /// With it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Target {
    /// Connects.
    ///
    /// # Errors
    /// Why not: nothing of a request was sent.
    pub(super) async fn connect(&self) -> Result<Stream, Reason> {
        let connected = timeout(self.timeout, self.connect_untimed()).await;
        connected.unwrap_or_else(|_| {
            Err(reason("connect-timeout", format!("connecting to {} took too long", self.named())))
        })
    }

    async fn connect_untimed(&self) -> Result<Stream, Reason> {
        let next = self.proxy.as_ref().unwrap_or(&self.url);
        let mut tcp = self.dial(next).await?;
        // A request is written whole; there is nothing to wait for.
        tcp.set_nodelay(true).map_err(|error| self.failed("connect-failed", &error))?;
        let Some(tls) = &self.tls else { return Ok(Stream::Plain(tcp)) };
        if self.proxy.is_some() {
            tunnel(&mut tcp, &self.url).await.map_err(|error| self.failed("proxy-failed", &error))?;
        }
        let name = ServerName::try_from(self.url.host().to_owned())
            .map_err(|error| self.failed("tls-failed", &io::Error::other(error)))?;
        let connected = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await;
        let stream = connected.map_err(|error| self.failed("tls-failed", &error))?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// Tries the addresses of a name one after the other. One that is silent must not use up the time of the others.
    async fn dial(&self, url: &BaseUrl) -> Result<TcpStream, Reason> {
        let found = tokio::net::lookup_host((url.host(), url.port())).await;
        let addresses: Vec<SocketAddr> = found.map_err(|error| self.failed("dns-failed", &error))?.collect();
        let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last = reason("dns-failed", format!("`{}` has no address", url.host()));
        for address in addresses {
            last = match timeout(self.timeout / count, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.failed("connection-refused", &error)
                }
                Ok(Err(error)) => self.failed("connect-failed", &error),
                Err(_) => reason("connect-timeout", format!("connecting to {} took too long", self.named())),
            };
        }
        Err(last)
    }

    fn failed(&self, code: &str, error: &io::Error) -> Reason {
        reason(code, format!("no connection to {}: {error}", self.named()))
    }

    fn named(&self) -> String {
        match &self.proxy {
            Some(proxy) => format!("`{}` through the proxy `{}`", self.url.authority(), proxy.authority()),
            None => format!("`{}`", self.url.authority()),
        }
    }
}

/// Has a proxy connect to the server, so that TLS is spoken with the server itself.
async fn tunnel(tcp: &mut TcpStream, url: &BaseUrl) -> io::Result<()> {
    let host = if url.host().contains(':') { format!("[{}]", url.host()) } else { url.host().to_owned() };
    let place = format!("{host}:{}", url.port());
    tcp.write_all(format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n").as_bytes()).await?;
    let mut head = Vec::new();
    // Byte by byte: what comes behind the head is TLS already.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= PROXY_HEAD_BYTES {
            return Err(io::Error::other("the proxy's answer is too long"));
        }
        head.push(tcp.read_u8().await?);
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut headers);
    answer.parse(&head).map_err(io::Error::other)?;
    match answer.code {
        Some(200..300) => Ok(()),
        Some(code) => Err(io::Error::other(format!("the proxy answers {code}"))),
        None => Err(io::Error::other("the proxy's answer has no status")),
    }
}
