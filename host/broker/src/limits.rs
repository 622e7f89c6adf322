//! The bounds on what clients can make the broker hold, do or allocate, in one place with their reasons.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Bounds on memory and work. The defaults fit demos and tests on a laptop.
///
/// A client that reaches a bound gets an error or loses its connection; other clients go on.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Record data of all partitions together. Beyond it a produce request fails with `POLICY_VIOLATION`,
    /// which clients do not retry, and one line is logged.
    pub stored_bytes: usize,
    /// One request. Larger ones close the connection before anything is read.
    pub request_bytes: usize,
    /// Elements of all arrays of one request together: decoded, an element takes far more memory
    /// than the single byte that it may take on the wire.
    pub request_elements: usize,
    /// Record data in one fetch response, whatever the client asks for.
    pub fetch_bytes: usize,
    /// Large requests and responses that are under way in all connections together. Who needs more waits.
    pub inflight_bytes: usize,
    /// Open connections. More are closed at once.
    pub connections: usize,
    /// A connection without a request for this long is closed.
    pub idle: Duration,
    /// A request must have arrived whole, and a response be taken, within this time: a client that stalls in
    /// the middle must not hold its share of `inflight_bytes` for ever.
    pub transfer: Duration,
    /// Topics.
    pub topics: usize,
    /// Partitions of all topics together.
    pub partitions: usize,
    /// Consumer groups.
    pub groups: usize,
    /// Members of all groups together, ids that were handed out and not used yet included.
    pub members: usize,
    /// Metadata and assignments of all members together.
    pub member_bytes: usize,
    /// Committed and pending offsets of all groups together, with their metadata.
    pub offset_bytes: usize,
    /// Transactional ids.
    pub transactional_ids: usize,
    /// Partitions and groups in open transactions, of all producers together.
    pub transaction_entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stored_bytes: 2 * KIB * MIB,
            request_bytes: 64 * MIB,
            request_elements: 100_000,
            fetch_bytes: 50 * MIB,
            inflight_bytes: 256 * MIB,
            connections: 1_000,
            idle: Duration::from_secs(600),
            transfer: Duration::from_secs(30),
            topics: 1_000,
            partitions: 10_000,
            groups: 1_000,
            members: 2_000,
            member_bytes: 64 * MIB,
            offset_bytes: 64 * MIB,
            transactional_ids: 1_000,
            transaction_entries: 100_000,
        }
    }
}
