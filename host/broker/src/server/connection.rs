//! One connection: frames in, answers out, in order; faults act here.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Buf;
use bytes::Bytes;
use bytes::BytesMut;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::messages::RequestHeader;
use kafka_protocol::protocol::Decodable;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::budget::Share;
use crate::api::Call;
use crate::cluster::Shared;
use crate::dispatch;
use crate::dispatch::Answer;
use crate::dispatch::Unanswerable;
use crate::faults::Fault;
use crate::wire::versions;

/// Key, version and correlation id.
const FIXED_HEADER: usize = 8;
/// The buffer grows by this much at a time: what a client announces takes no memory before it arrives.
const READ_STEP: usize = 64 * 1024;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    #[error("the client closed it")]
    ByClient,
    #[error("a fault closed it")]
    ByFault,
    #[error("it was idle for too long")]
    Idle,
    #[error("a request or a response was under way for too long")]
    Stalled,
    #[error("a request of {size} bytes; the limit is {limit}")]
    RequestSize { size: i32, limit: usize },
    #[error("a request without a readable header")]
    Header,
    #[error("api {api} version {version} is not served")]
    NotServed { api: i16, version: i16 },
    #[error(transparent)]
    Unanswerable(#[from] Unanswerable),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A request's bytes, with their share of the budget.
struct Frame {
    bytes: Bytes,
    share: Share,
}

/// A connection and its client.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    socket: TcpStream,
    peer: SocketAddr,
    buffer: BytesMut,
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>, socket: TcpStream, peer: SocketAddr) -> Self {
        Self { shared, socket, peer, buffer: BytesMut::new() }
    }

    /// Serves the client until something ends the connection. Dropping it in the middle closes the
    /// socket; a request that is under way is then carried out or not.
    pub(crate) async fn run(mut self) -> Closed {
        // Without it small answers wait for the client's acknowledgement; a socket that refuses is slow, not broken.
        self.socket.set_nodelay(true).ok();
        loop {
            if let Err(closed) = self.serve_one().await {
                if let Closed::RequestSize { .. } | Closed::Header | Closed::Unanswerable(_) = closed {
                    tracing::warn!(peer = %self.peer, reason = %closed, "dev broker closes a connection");
                }
                return closed;
            }
        }
    }

    async fn serve_one(&mut self) -> Result<(), Closed> {
        let frame = self.read_frame().await?;
        if let Some(answer) = self.answer(frame).await? {
            let written = timeout(self.shared.limits.transfer, self.socket.write_all(&answer.frame)).await;
            written.map_err(|_| Closed::Stalled)??;
            drop(answer.share);
        }
        Ok(())
    }

    async fn read_frame(&mut self) -> Result<Frame, Closed> {
        let (idle, transfer) = (self.shared.limits.idle, self.shared.limits.transfer);
        timeout(idle, self.fill(4)).await.map_err(|_| Closed::Idle)??;
        let limit = self.shared.limits.request_bytes;
        let announced = self.buffer.get_i32();
        let size = usize::try_from(announced).ok().filter(|size| (FIXED_HEADER..=limit).contains(size));
        let size = size.ok_or(Closed::RequestSize { size: announced, limit })?;
        let shared = Arc::clone(&self.shared);
        let whole = async {
            let share = shared.budget.share(size).await;
            self.fill(size).await?;
            Ok::<_, Closed>(share)
        };
        let share = timeout(transfer, whole).await.map_err(|_| Closed::Stalled)??;
        let bytes = self.buffer.split_to(size).freeze();
        if self.buffer.is_empty() {
            // Give up the old allocation, or a connection would keep the size of its largest request for ever.
            self.buffer = BytesMut::new();
        }
        Ok(Frame { bytes, share })
    }

    /// Reads until the buffer holds `wanted` bytes.
    async fn fill(&mut self, wanted: usize) -> Result<(), Closed> {
        while self.buffer.len() < wanted {
            let missing = wanted - self.buffer.len();
            self.buffer.reserve(missing.min(READ_STEP));
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(Closed::ByClient);
            }
        }
        Ok(())
    }

    async fn answer(&self, frame: Frame) -> Result<Option<Answer>, Closed> {
        let mut body = frame.bytes;
        let mut fixed = body.get(..FIXED_HEADER).ok_or(Closed::Header)?;
        let (api, version) = (fixed.get_i16(), fixed.get_i16());
        let correlation_id = fixed.get_i32();
        let not_served = Closed::NotServed { api, version };
        let Ok(key) = ApiKey::try_from(api) else { return Err(not_served) };
        let fault = self.shared.faults.decide(key);
        let forced = match fault {
            Some(Fault::Disconnect) => return Err(Closed::ByFault),
            Some(Fault::Delay(by)) => {
                tokio::time::sleep(by).await;
                None
            }
            Some(Fault::Answer(error)) => Some(error),
            Some(Fault::ApplyThenDisconnect) | None => None,
        };
        let call = |client_id| self.call(key, version, client_id);
        let answer = if versions::is_served(key, version) {
            let header = RequestHeader::decode(&mut body, key.request_header_version(version));
            let header = header.map_err(|_| Closed::Header)?;
            let client_id = header.client_id.map(|id| id.to_string()).unwrap_or_default();
            dispatch::dispatch(&call(client_id), correlation_id, body, frame.share, forced).await?
        } else if key == ApiKey::ApiVersions {
            Some(dispatch::answer_unknown_api_versions(&call(String::new()), correlation_id).await?)
        } else {
            return Err(not_served);
        };
        match fault {
            Some(Fault::ApplyThenDisconnect) => Err(Closed::ByFault),
            _ => Ok(answer),
        }
    }

    fn call(&self, api: ApiKey, version: i16, client_id: String) -> Call {
        Call { shared: Arc::clone(&self.shared), api, version, client_id, peer: self.peer }
    }
}
