//! A connection that asks before it writes: no byte leaves that belongs to no request, or to one that must not be sent.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

use crate::callout::handover::Ticket;

/// The attempt whose bytes a connection writes now, if there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane(Arc<Mutex<Option<Ticket>>>);

impl Lane {
    /// What is written from now on belongs to this attempt.
    pub(super) fn enter(&self, ticket: &Ticket) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ticket.clone());
    }

    /// Nothing is to be written until the next one.
    pub(super) fn leave(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn may_write(&self) -> bool {
        let ticket = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ticket.is_some_and(|ticket| ticket.hand())
    }
}

/// The stream below HTTP: of plain text, also where TLS comes below it. Bytes that are handed to it count as sent, whatever
/// becomes of them.
#[derive(Debug)]
pub(super) struct Wire<T> {
    stream: T,
    lane: Lane,
}

impl<T> Wire<T> {
    pub(super) fn new(stream: T, lane: Lane) -> Self {
        Self { stream, lane }
    }
}

impl<T: Read + Unpin> Read for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<T: Write + Unpin> Write for Wire<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() || self.lane.may_write() {
            return Pin::new(&mut self.stream).poll_write(cx, buf);
        }
        Poll::Ready(Err(refused()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) || self.lane.may_write() {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        }
        Poll::Ready(Err(refused()))
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "no request may be written here now")
}
