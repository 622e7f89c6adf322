//! The life of the admin API.

use std::net::SocketAddr;

/// The admin API listens.
#[derive(Debug)]
pub struct ApiStarted {
    /// Where.
    pub address: SocketAddr,
    /// Where it was to listen. Port 0 is any.
    pub wanted: SocketAddr,
}

impl ApiStarted {
    /// Logs it; another port than the one that was wanted is odd.
    pub fn emit(self) {
        let Self { address, wanted } = self;
        if wanted.port() != 0 && wanted != address {
            tracing::warn!(%address, %wanted, "the address of the admin API is taken, it listens at another port");
        } else {
            tracing::info!(%address, "the admin API listens");
        }
    }
}

/// The admin API cannot take a connection; it goes on.
#[derive(Debug)]
pub struct ApiFailed<'a> {
    /// Why.
    pub cause: &'a std::io::Error,
}

impl ApiFailed<'_> {
    /// Logs it.
    pub fn emit(self) {
        tracing::warn!(cause = %self.cause, "the admin API cannot take a connection");
    }
}
