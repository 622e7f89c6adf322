//! Rules of exactly-once that tests break on purpose, one at a time, to prove that they would notice.
//!
//! In an ordinary build nothing can be broken: the question is a constant and costs nothing. In the unit tests a rule is
//! broken for a thread. With the cargo feature `sabotage`, which is for tests of the whole host only and never part of a
//! release, it is broken for the process, by its name in the environment variable `GRISTMILL_SABOTAGE`.

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
    /// The cursor of a job is committed with the page that it stands behind.
    CursorWithPage,
    /// The entries of an index are written with their row.
    RowWithEntries,
    /// A record waits for what its causal header names.
    CausalHeader,
    /// A timer goes with the commit of what its handler did.
    TimerWithCommit,
    /// A timer waits for what lay in the sources when it was due.
    TimerBehindRecords,
    /// A call is made when its intent is committed.
    CallAfterCommit,
    /// A callout ends in the commit of what its handler did.
    EndWithAnswer,
    /// A call that a predecessor left is never made again.
    DoubtWhatWasLeft,
}

/// Whether a rule is broken.
#[cfg(not(any(test, feature = "sabotage")))]
pub(crate) const fn breaks(_: Rule) -> bool {
    false
}

/// Whether a rule is broken on this thread.
#[cfg(test)]
pub(crate) fn breaks(rule: Rule) -> bool {
    BROKEN.get() == Some(rule)
}

#[cfg(test)]
thread_local! {
    /// The rule that is broken on this thread.
    pub(crate) static BROKEN: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

/// Whether a rule is broken in this process. What the variable says is read once.
#[cfg(all(feature = "sabotage", not(test)))]
pub(crate) fn breaks(rule: Rule) -> bool {
    static BROKEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let broken = BROKEN.get_or_init(|| std::env::var("GRISTMILL_SABOTAGE").ok());
    broken.as_ref().is_some_and(|name| *name == format!("{rule:?}"))
}
