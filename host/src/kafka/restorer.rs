//! Reading changelogs again as [`io::Restorer`](crate::io::Restorer): one thread for each worker, with a queue for each
//! partition.
//!
//! ```text
//! worker --- begin, end ---> board --- orders ---> reader   the thread: two clients, lazily made
//!        <------ news ------       <--- news -----
//! ```
//! The end of a changelog is asked with `read_uncommitted`, its records are read with `read_committed`: the last committed
//! transaction may not have moved the last stable offset yet, and a reader that stops there would miss it.

mod board;
mod clients;
mod pressure;
mod reader;
mod reading;

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::{Offset, TopicPartition};
use crate::io::{Restored, Restorer, Until};
use crate::kafka::client_log;
use crate::kafka::restorer::board::Board;
use crate::kafka::restorer::reader::Reader;

/// The restorer of a worker. Its thread starts with the first partition. Dropping it ends the thread, which may take as
/// long as a question to a broker does.
pub struct KafkaRestorer {
    kafka: Kafka,
    group: String,
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
}

impl KafkaRestorer {
    /// A restorer without anything to do. `group` is a name for the broker's log and for access control; nothing is
    /// committed under it.
    pub fn new(kafka: &Kafka, group: &str) -> Self {
        Self { kafka: kafka.clone(), group: group.to_owned(), board: Arc::default(), thread: None }
    }

    /// Starts the thread, if none runs.
    fn start(&mut self) -> Result<(), Fault> {
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return Ok(());
        }
        let reader = Reader::new(&self.kafka, &self.group, Arc::clone(&self.board));
        let thread = std::thread::Builder::new()
            .name("restorer".to_owned())
            .spawn(move || reader.run())
            .map_err(|error| Fault::new(Code::Internal, "a restorer does not start").because(error))?;
        self.thread = Some(thread);
        Ok(())
    }
}

impl Restorer for KafkaRestorer {
    fn begin(&mut self, place: &TopicPartition, from: Option<Offset>, until: Until) {
        match self.start() {
            Ok(()) => self.board.begin(place, from, until),
            Err(fault) => self.board.fail(place, fault),
        }
    }

    fn poll(&mut self, place: &TopicPartition) -> Option<Restored> {
        let news = self.board.take(place);
        if news.is_some() || !self.board.has(place) {
            return news;
        }
        // Only a panic ends the thread while something is asked of it.
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            self.board.end(place);
            return Some(Restored::Failed(Fault::new(Code::Internal, "the thread of a restorer panicked")));
        }
        None
    }

    fn end(&mut self, place: &TopicPartition) {
        self.board.end(place);
    }
}

impl Drop for KafkaRestorer {
    fn drop(&mut self) {
        self.board.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            client_log::warn("thread", "the thread of a restorer panicked");
        }
    }
}
