//! The memory that large requests and responses of all connections may take together.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

/// The unit of account.
const UNIT: usize = 1024;
/// Below this a frame is not counted: small ones must always pass, so that a client that
/// holds the budget cannot stop heartbeats and commits of others.
const FREE: usize = 64 * 1024;

/// Shares of a fixed amount of memory.
#[derive(Debug)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    total: usize,
}

/// A share; returned when it is dropped.
#[derive(Debug)]
pub(crate) struct Share(#[allow(dead_code)] Option<OwnedSemaphorePermit>);

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let total = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(total)), total }
    }

    /// Waits for a share of this size. One that is larger than the whole waits for the whole.
    pub(crate) async fn share(&self, bytes: usize) -> Share {
        if bytes <= FREE {
            return Share(None);
        }
        let units = u32::try_from(bytes.div_ceil(UNIT).min(self.total)).unwrap_or(u32::MAX);
        // The semaphore is never closed; without a permit the frame passes uncounted.
        Share(Arc::clone(&self.units).acquire_many_owned(units).await.ok())
    }
}
