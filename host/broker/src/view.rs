//! What a checker can read from the broker without being a client of it.

/// The state of one partition at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionView {
    /// The first offset that readers can get.
    pub start_offset: i64,
    /// One past the last record, control records included; on this one node also the high watermark.
    pub end_offset: i64,
    /// Up to where no transaction is open: equal to `end_offset` when none is.
    pub last_stable_offset: i64,
    /// Memory that its records take.
    pub stored_bytes: usize,
}

/// The state of one consumer group at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// Kafka's name of the state: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`.
    pub state: String,
    /// Counts the rebalances.
    pub generation: i32,
    /// Member ids.
    pub members: Vec<String>,
    /// Committed offsets (next-to-read) by topic and partition.
    pub offsets: Vec<(String, i32, i64)>,
    /// Whether an open transaction holds offsets of this group.
    pub has_pending_offsets: bool,
}

/// The state of one transactional id at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionView {
    /// The transactional id.
    pub id: String,
    /// Kafka's name of the state: `Empty`, `Ongoing`, `CompleteCommit`, `CompleteAbort`.
    pub state: String,
    /// The producer id in force.
    pub producer_id: i64,
    /// The epoch in force; producers with a lower one are fenced.
    pub producer_epoch: i16,
}
