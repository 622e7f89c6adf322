//! Rules of the commit path that the simulation breaks on purpose, one at a time, to prove that it would notice.
//!
//! Outside of tests nothing can be broken: the question is a constant and costs nothing.

use std::borrow::Cow;

use crate::id::{Offset, TopicPartition};
use crate::io::Committed;

/// A rule that can be broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    /// An abort does not rewind the consumer: we do.
    RewindAfterAbort,
    /// Offsets are part of the transaction.
    OffsetsInside,
    /// Everything is acknowledged before the offsets are sent.
    FlushFirst,
    /// The membership is the one of the assignment.
    CompareMembership,
    /// After an unknown outcome only Kafka knows.
    ReplaceWhenUnknown,
    /// The position is the next record's.
    NextRecord,
    /// Positions move past control records.
    PassTheEnd,
    /// A refused record is not sent again.
    RememberCulprits,
    /// No transaction is open while a culprit is searched for.
    SearchInQuiet,
    /// `latest` is resolved once.
    SettleFirst,
    /// A fenced process asks the group before it fences others.
    WaitAfterFence,
    /// The local store holds what Kafka has committed, and nothing else.
    StoreAfterCommit,
    /// How far a broadcast topic is applied is part of the commit.
    BroadcastPosition,
    /// What was written to state is part of the commit.
    LogState,
    /// A task begins only when its changelog is read to its end.
    ReadTheTail,
    /// Until a restored table has caught up with its topic, nothing else runs.
    CatchUpFirst,
}

#[cfg(not(test))]
pub(crate) const fn breaks(_: Rule) -> bool {
    false
}

#[cfg(test)]
pub(crate) fn breaks(rule: Rule) -> bool {
    BROKEN.get() == Some(rule)
}

#[cfg(test)]
thread_local! {
    /// The rule that is broken on this thread.
    pub(crate) static BROKEN: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

/// The positions, or those of the last records instead of the next ones.
pub(crate) fn shifted(positions: &[(TopicPartition, Committed)]) -> Cow<'_, [(TopicPartition, Committed)]> {
    if !breaks(Rule::NextRecord) {
        return Cow::Borrowed(positions);
    }
    let shift = |(place, committed): &(TopicPartition, Committed)| {
        let position = Offset(committed.position.0.saturating_sub(1).max(0));
        (place.clone(), Committed { position, note: committed.note.clone() })
    };
    positions.iter().map(shift).collect()
}
