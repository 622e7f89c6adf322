//! Asks the cluster every few seconds how far the tasks of this process are behind, and puts it on the board.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::pipeline::Pipeline;
use crate::fault::{Code, Fault};
use crate::id::TopicPartition;
use crate::kafka::client::Isolation;
use crate::kafka::ends::Ends;
use crate::status::Board;

/// How often the board is looked at for partitions that are new.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Every so many looks the cluster is asked, also when the partitions are the same.
const LOOKS_PER_QUESTION: u32 = 5;

/// The thread that asks. It ends when this is dropped.
pub(super) struct LagReader {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LagReader {
    /// Starts it.
    ///
    /// # Errors
    /// `kafka_failed`, `internal`.
    pub(super) fn start(pipeline: &Pipeline, board: &Arc<Board>) -> Result<Self, Fault> {
        let ends = Ends::new(&pipeline.kafka, &format!("{}.lag", pipeline.app.id), Isolation::Committed)?;
        let (stop, stopped) = mpsc::channel();
        let board = Arc::clone(board);
        let run = move || {
            let mut reader = Reader { ends, board, known: BTreeSet::new(), looks: 0 };
            while stopped.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                reader.look();
            }
        };
        let thread = std::thread::Builder::new().name("lag".to_owned()).spawn(run);
        let thread = thread
            .map_err(|error| Fault::new(Code::Internal, "a thread cannot be started").because(error))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for LagReader {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            drop(thread.join());
        }
    }
}

struct Reader {
    ends: Ends,
    board: Arc<Board>,
    known: BTreeSet<TopicPartition>,
    looks: u32,
}

impl Reader {
    fn look(&mut self) {
        let tasks = self.board.tasks().into_iter();
        let places = tasks.flat_map(|(_, task)| task.positions).map(|position| position.place);
        let places: BTreeSet<_> = places.collect();
        self.looks = self.looks.wrapping_add(1);
        if places == self.known && !self.looks.is_multiple_of(LOOKS_PER_QUESTION) {
            return;
        }
        // While the cluster does not answer, the lag is not known; that it does not, the workers tell.
        self.board.set_ends(self.ends.ask(&places).unwrap_or_default());
        self.known = places;
    }
}
