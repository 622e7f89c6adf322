//! The reader of a broadcast topic: one thread for each topic and process, which keeps the shared view up to date.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::TopicName;
use crate::io::Input;
use crate::kafka::client_log;
use crate::kafka::tail::{From, Isolation, TopicReader};
use crate::view::{SharedView, View};

/// How large a view may grow when nothing else is configured: broadcast topics are small tables.
pub const VIEW_BYTES_MAX: usize = 256 << 20;

/// How long one poll waits, and with it how late the thread sees that it should end.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// Keeps the view of a broadcast topic. Dropping it ends its thread; the view stays as it is.
pub struct BroadcastReader {
    view: SharedView,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_ending: AtomicBool,
    fault: Mutex<Option<Fault>>,
}

impl BroadcastReader {
    /// Opens the topic and starts to read it. The view is complete when it holds what was stable at this moment; that
    /// takes as long as reading the topic does, and goes on in the background.
    ///
    /// # Errors
    /// `topic_missing`, `broker_unreachable`, `not_authorized`, `kafka_failed`.
    pub fn start(
        kafka: &Kafka,
        group: &str,
        topic: &TopicName,
        view_bytes_max: usize,
    ) -> Result<Self, Fault> {
        let reader = TopicReader::open(kafka, group, topic, Isolation::Committed, From::Start)?;
        let starts = reader.bounds().iter().map(|(place, bounds)| (place.partition, bounds.start));
        let ends: BTreeMap<_, _> =
            reader.bounds().iter().map(|(place, bounds)| (place.partition, bounds.stable_end)).collect();
        let view = Arc::new(RwLock::new(View::new(starts, &ends)));
        let shared = Arc::new(Shared::default());
        let filler = Filler { reader, view: Arc::clone(&view), view_bytes_max, topic: topic.clone() };
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("broadcast-reader".to_owned())
            .spawn(move || filler.run(&seen))
            .map_err(|error| {
                Fault::new(Code::Internal, "a broadcast reader does not start").because(error)
            })?;
        Ok(Self { view, shared, thread: Some(thread) })
    }

    /// The view.
    pub fn view(&self) -> &SharedView {
        &self.view
    }

    /// Why the reader has stopped, once. A process whose view stands still must not go on for long: its tasks would join
    /// with the past.
    pub fn take_fault(&self) -> Option<Fault> {
        self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for BroadcastReader {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            client_log::warn("thread", "the thread of a broadcast reader panicked");
        }
    }
}

/// What the thread owns.
struct Filler {
    reader: TopicReader,
    view: SharedView,
    view_bytes_max: usize,
    topic: TopicName,
}

impl Filler {
    fn run(mut self, shared: &Shared) {
        while !shared.is_ending.load(Ordering::SeqCst) {
            if let Err(fault) = self.step() {
                *shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
                return;
            }
        }
    }

    fn step(&mut self) -> Result<(), Fault> {
        let Some(input) = self.reader.poll(POLL_WAIT)? else {
            return Ok(());
        };
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        match input {
            Input::Records(place, chunk) => view.apply(place.partition, &chunk),
            Input::End(place, position) => view.advance(place.partition, position),
            Input::Assigned(_) | Input::Revoked(_) | Input::Lost(_) => {}
        }
        let size = view.size_bytes();
        if size <= self.view_bytes_max {
            return Ok(());
        }
        let limit = self.view_bytes_max;
        let what = format!(
            "the broadcast topic `{}` takes {size} bytes, more than its bound of {limit}",
            self.topic
        );
        let hint = "a broadcast topic is held whole in memory: bind a small one, or make it a table source";
        Err(Fault::new(Code::TopicUnfit, what).hint(hint))
    }
}
