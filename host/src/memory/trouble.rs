//! Faults on demand: before every call of a port, a hook is asked what becomes of it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// The calls of the ports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "they are the methods of the ports")]
pub enum Call {
    Poll,
    Release,
    Membership,
    Committed,
    Bounds,
    Seek,
    Pause,
    Resume,
    Begin,
    Send,
    Flush,
    SendOffsets,
    Commit,
    Abort,
    Replace,
    Restore,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Poll,
        Self::Release,
        Self::Membership,
        Self::Committed,
        Self::Bounds,
        Self::Seek,
        Self::Pause,
        Self::Resume,
        Self::Begin,
        Self::Send,
        Self::Flush,
        Self::SendOffsets,
        Self::Commit,
        Self::Abort,
        Self::Replace,
        Self::Restore,
    ];
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// It does what it should.
    None,
    /// It has no effect, and fails in a way that may pass.
    Fails,
    /// It has its effect, and fails all the same.
    AppliesAndFails,
    /// A commit: it fails, and has its effect later, if the producer is still the same.
    AppliesLate(Duration),
    /// The process dies before the call has any effect.
    Dies,
    /// The process dies when the call has had its effect.
    AppliesAndDies,
}

/// The process that clients belong to: when one of them makes it die, the others have no effect any more either.
#[derive(Clone, Debug, Default)]
pub struct Process(Rc<Cell<bool>>);

impl Process {
    pub(crate) fn die(&self) {
        self.0.set(true);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.get()
    }
}

/// Decides what becomes of calls. It may let other clients go on in between: no lock is held while it is asked.
pub trait Hook {
    /// A client is about to make a call.
    fn before(&self, client: &str, call: Call) -> Trouble;
}
