//! Answers whose task has moved: writes them into the inbox of the transform, so that they reach its new owner.
//!
//! The new owner waits for them before it says that a call is in doubt, for as long as the call may take and a transaction
//! time-out more ([`crate::task::spec::CalloutSpec`]). An answer that does not get there in time is lost, and the call ends as if its host
//! had died: nothing else follows from it.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::pipeline::Kafka;
use crate::event;
use crate::fault::{Code, Fault};
use crate::id::{Partition, TaskId, TopicName, TransformName};
use crate::io::{Answer, CauseId, Outgoing};
use crate::kafka::produce::PlainProducer;
use crate::task::order::Order;

/// A task that comes back within this time takes its answers itself: a rebalance among the workers of this process.
pub const UNCLAIMED: Duration = Duration::from_secs(5);

/// How often there is a look for orphans, and how soon a write that failed is tried again.
const INTERVAL: Duration = Duration::from_millis(500);

/// The thread that forwards. It looks a last time and ends when this is dropped.
pub struct Forwarder {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    /// Starts it. `orphans` gives the answers of tasks that nobody has claimed for so long, each once.
    ///
    /// # Errors
    /// `kafka_failed`, `internal`.
    pub fn start(
        kafka: &Kafka,
        (transform, inbox): (&TransformName, TopicName),
        orphans: impl FnMut(Duration) -> Vec<(Partition, Answer)> + Send + 'static,
    ) -> Result<Self, Fault> {
        let producer = PlainProducer::open(kafka)?;
        let (stop, stopped) = mpsc::channel();
        let transform = transform.clone();
        let own = Own { producer, transform, inbox, orphans, waiting: VecDeque::new() };
        let thread = std::thread::Builder::new().name("orphans".to_owned());
        let thread = thread.spawn(move || own.run(&stopped));
        let thread = thread
            .map_err(|error| Fault::new(Code::Internal, "a thread cannot be started").because(error))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            drop(thread.join());
        }
    }
}

/// What the thread owns.
struct Own<O> {
    producer: PlainProducer,
    transform: TransformName,
    inbox: TopicName,
    orphans: O,
    /// Nobody else has them any more.
    waiting: VecDeque<(Partition, Answer)>,
}

impl<O: FnMut(Duration) -> Vec<(Partition, Answer)>> Own<O> {
    fn run(mut self, stopped: &Receiver<()>) {
        while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            self.forward(UNCLAIMED);
        }
        // The workers have ended: what they have not taken is for whoever comes next.
        self.forward(Duration::ZERO);
    }

    /// Writes what there is, one by one: which of them the cluster does not take must be known.
    fn forward(&mut self, unclaimed_for: Duration) {
        self.waiting.extend((self.orphans)(unclaimed_for));
        while let Some((partition, answer)) = self.waiting.pop_front() {
            let (task, id) = (TaskId { transform: self.transform.clone(), partition }, &answer.id);
            match self.write(partition, &answer) {
                Ok(()) => event::AnswerForwarded { task: &task, id }.emit(),
                // The new owner decides by the mode of the endpoint, as after a crash.
                Err(fault) if fault.code() == Code::RecordRefused => {
                    event::AnswerLost { task: &task, id, fault: &fault }.emit();
                }
                Err(fault) => {
                    event::KafkaTroubled { transform: &self.transform, fault: &fault }.emit();
                    self.waiting.push_front((partition, answer));
                    return;
                }
            }
        }
    }

    fn write(&mut self, task: Partition, answer: &Answer) -> Result<(), Fault> {
        let order = Order::CalloutAnswer {
            id: answer.id.clone(),
            attempts: answer.attempts,
            end: (&answer.ended).into(),
        };
        self.producer.send(&Outgoing {
            topic: &self.inbox,
            partition: Some(task),
            key: None,
            value: Some(&order.write()),
            headers: &[],
            timestamp: None,
            cause: CauseId(0),
        })?;
        self.producer.flush()
    }
}
