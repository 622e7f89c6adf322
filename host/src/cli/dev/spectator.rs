//! Prints what a pipeline writes: outputs, and dead letters with the reason in their headers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cli::output;
use crate::cli::tail::{self, Headers};
use crate::config::pipeline::{Kafka, Pipeline};
use crate::fault::{Code, Fault};
use crate::id::TopicName;
use crate::io::Input;
use crate::kafka::tail::{From, Isolation, TopicReader};

/// How long one poll waits, and with it how late a thread sees that it should end.
const POLL: Duration = Duration::from_millis(100);

/// A thread for each topic that the pipeline writes to. Dropping it ends them.
pub(super) struct Spectator {
    is_ending: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<(), Fault>>>,
}

impl Spectator {
    /// Begins to watch.
    pub(super) fn start(kafka: &Kafka, pipeline: &Pipeline) -> Result<Self, Fault> {
        let mut spectator = Self { is_ending: Arc::default(), threads: Vec::new() };
        let letters: BTreeSet<_> =
            pipeline.deployments.iter().map(|each| each.dead_letters.clone()).collect();
        let sinks: BTreeSet<_> =
            pipeline.deployments.iter().flat_map(|each| &each.sinks).map(|sink| sink.topic.clone()).collect();
        let topics = sinks.into_iter().map(|topic| (topic, Headers::Hidden));
        for (topic, headers) in topics.chain(letters.into_iter().map(|topic| (topic, Headers::Shown))) {
            let reader =
                TopicReader::open(kafka, "gristmill-dev", &topic, Isolation::Committed, From::Start)?;
            let is_ending = Arc::clone(&spectator.is_ending);
            let thread = std::thread::Builder::new()
                .name(format!("dev-{topic}"))
                .spawn(move || show(reader, &topic, headers, &is_ending))
                .map_err(|error| Fault::new(Code::Internal, "a reader cannot be started").because(error))?;
            spectator.threads.push(thread);
        }
        Ok(spectator)
    }
}

impl Drop for Spectator {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            // What a spectator could not see has no consequence.
            drop(thread.join());
        }
    }
}

fn show(
    mut reader: TopicReader,
    topic: &TopicName,
    headers: Headers,
    is_ending: &AtomicBool,
) -> Result<(), Fault> {
    while !is_ending.load(Ordering::SeqCst) {
        if let Some(Input::Records(place, records)) = reader.poll(POLL)? {
            let lines =
                records.iter().map(|record| format!("{topic}/{}", tail::plain(&place, &record, headers)));
            output::print(&lines.collect::<String>())?;
        }
    }
    Ok(())
}
