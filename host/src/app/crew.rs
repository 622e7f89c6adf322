//! The workers of one transform: threads that share its broadcast views and stop together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::app::cluster;
use crate::app::orphans::Forwarder;
use crate::app::shutdown::Departure;
use crate::app::topics::Facts;
use crate::callout::HttpCallouts;
use crate::clock::Clock;
use crate::config::env;
use crate::config::pipeline::{Deployment, Kafka};
use crate::fault::{Code, Fault};
use crate::id::{InstanceName, SourceIndex, TopicName, TransformName};
use crate::io::{Callouts, NoCallouts};
use crate::kafka::broadcast::{BroadcastReader, VIEW_BYTES_MAX};
use crate::kafka::client::TRANSACTION_TIMEOUT;
use crate::kafka::restorer::KafkaRestorer;
use crate::kafka::sink::KafkaSink;
use crate::kafka::source::KafkaSource;
use crate::kafka::topics::TopicDescription;
use crate::plugin::WasmTransform;
use crate::status::{Board, Slot};
use crate::store::{FjallStores, Identity};
use crate::task::broadcast::Views;
use crate::task::spec::Spec;
use crate::task::state::STATE_FORMAT;
use crate::worker::{Ports, Settings, Worker};

/// What each worker keeps in memory of its local stores, beside what is not on the disk yet.
const STORE_CACHE_BYTES: u64 = 32 << 20;

/// What a crew is made of.
#[derive(Clone, Copy)]
pub(super) struct Contract<'a> {
    /// The cluster.
    pub(super) kafka: &'a Kafka,
    /// The transform.
    pub(super) deployment: &'a Deployment,
    /// The stable name of this process.
    pub(super) instance: &'a InstanceName,
    /// What the cluster says about topics.
    pub(super) facts: &'a Facts,
    /// The id of the cluster.
    pub(super) cluster_id: &'a str,
    /// Where this process keeps the state of the application.
    pub(super) state_dir: &'a Path,
    /// What becomes of the workers' places in their group at the end.
    pub(super) departure: Departure,
    /// Where the workers show what they do.
    pub(super) board: &'a Board,
}

/// A worker's thread.
type Running = JoinHandle<Result<(), Fault>>;

/// The running workers of one transform.
pub(super) struct Crew {
    transform: TransformName,
    stop: Arc<AtomicBool>,
    readers: BTreeMap<SourceIndex, BroadcastReader>,
    workers: Vec<Running>,
    /// What makes its callouts; none for a plugin without endpoints.
    callouts: Option<Arc<HttpCallouts>>,
    /// Who takes their answers to tasks that have moved.
    forwarder: Option<Forwarder>,
}

impl Crew {
    /// Starts the broadcast readers and the workers of a plugin.
    ///
    /// # Errors
    /// `secret_missing`, `certificates_unusable`, and what the readers answer. What a worker answers comes later, through
    /// [`Crew::failed`].
    pub(super) fn start(contract: &Contract<'_>, transform: WasmTransform) -> Result<Self, Fault> {
        let deployment = contract.deployment;
        let clock = Clock::system();
        let mut crew = Self {
            transform: deployment.name.clone(),
            stop: Arc::default(),
            readers: readers(contract)?,
            workers: Vec::with_capacity(deployment.workers),
            callouts: callouts(deployment, &clock)?,
            forwarder: None,
        };
        crew.forwarder = crew.callouts.as_ref().map(|callouts| forwarder(contract, callouts)).transpose()?;
        let post = Post {
            kafka: contract.kafka.clone(),
            deployment: deployment.clone(),
            transform,
            views: crew.readers.iter().map(|(source, reader)| (*source, Arc::clone(reader.view()))).collect(),
            spec: Arc::new(spec(contract)),
            state_path: contract.state_dir.join(deployment.name.as_str()),
            identity: Identity {
                cluster_id: contract.cluster_id.to_owned(),
                app: deployment.app.clone(),
                transform: deployment.name.clone(),
                format: STATE_FORMAT,
            },
            departure: contract.departure,
            callouts: match &crew.callouts {
                Some(callouts) => Arc::clone(callouts) as Arc<dyn Callouts>,
                None => Arc::new(NoCallouts),
            },
            clock,
        };
        for number in 0..deployment.workers {
            let id = deployment.worker_id(contract.instance, number);
            let slot = contract.board.slot(&deployment.name, &id);
            crew.workers.push(post.clone().occupy(id, slot, &crew.stop)?);
        }
        Ok(crew)
    }

    /// The transform.
    pub(super) fn transform(&self) -> &TransformName {
        &self.transform
    }

    /// Asks the workers to commit and to end.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Why the transform cannot go on, if something has ended that should not have.
    pub(super) fn failed(&mut self) -> Option<Fault> {
        if let Some(fault) = self.readers.values().find_map(BroadcastReader::take_fault) {
            return Some(fault);
        }
        let ended = self.workers.iter().position(JoinHandle::is_finished)?;
        let fault = join(self.workers.swap_remove(ended)).err();
        Some(fault.unwrap_or_else(|| Fault::new(Code::Internal, "a worker ended without being asked to")))
    }

    /// Waits for all workers to end, and then for what makes their callouts: first its answers go to whoever comes next.
    ///
    /// # Errors
    /// The first fault of a worker.
    pub(super) fn join(self) -> Result<(), Fault> {
        let ended = self.workers.into_iter().map(join).fold(Ok(()), Result::and);
        drop(self.forwarder);
        self.callouts.iter().for_each(|callouts| callouts.shutdown());
        ended
    }
}

fn join(worker: Running) -> Result<(), Fault> {
    worker.join().unwrap_or_else(|_| Err(Fault::new(Code::Internal, "a worker's thread panicked")))
}

fn readers(contract: &Contract<'_>) -> Result<BTreeMap<SourceIndex, BroadcastReader>, Fault> {
    let group = contract.deployment.group();
    let start = |topic| BroadcastReader::start(contract.kafka, &group, topic, VIEW_BYTES_MAX);
    contract
        .deployment
        .broadcast_sources()
        .map(|source| start(&source.topic).map(|reader| (source.index, reader)))
        .collect()
}

/// What makes the callouts of a transform, with the clock of its workers.
fn callouts(deployment: &Deployment, clock: &Clock) -> Result<Option<Arc<HttpCallouts>>, Fault> {
    if deployment.endpoints.is_empty() {
        return Ok(None);
    }
    let callouts = HttpCallouts::new(&deployment.name, &deployment.endpoints, clock, &env::process)?;
    Ok(Some(Arc::new(callouts)))
}

/// Takes answers of tasks that have moved to their inbox.
fn forwarder(contract: &Contract<'_>, callouts: &Arc<HttpCallouts>) -> Result<Forwarder, Fault> {
    let (deployment, callouts) = (contract.deployment, Arc::clone(callouts));
    let orphans = move |unclaimed_for| callouts.orphans(unclaimed_for);
    Forwarder::start(contract.kafka, (&deployment.name, deployment.inbox()), orphans)
}

fn spec(contract: &Contract<'_>) -> Spec {
    let facts =
        |topic: &TopicName| contract.facts.get(topic).map(TopicDescription::facts).unwrap_or_default();
    let keeps_latest =
        |topic: &TopicName| contract.facts.get(topic).is_some_and(TopicDescription::keeps_latest);
    let tasks = cluster::tasks(contract.deployment, contract.facts);
    let ids = contract.facts.values().filter_map(|facts| Some((facts.name.clone(), facts.id.clone()?)));
    Spec::new(contract.deployment, tasks, facts, keeps_latest).with_topic_ids(ids.collect())
}

/// What a worker needs to begin. The worker itself is made by its own thread: clients and instances never change
/// threads.
#[derive(Clone)]
struct Post {
    kafka: Kafka,
    deployment: Deployment,
    transform: WasmTransform,
    views: Views,
    spec: Arc<Spec>,
    /// Where the local stores lie.
    state_path: PathBuf,
    identity: Identity,
    departure: Departure,
    callouts: Arc<dyn Callouts>,
    clock: Clock,
}

impl Post {
    /// Starts a thread that works under this id until it is to stop.
    fn occupy(self, id: String, slot: Slot, stop: &Arc<AtomicBool>) -> Result<Running, Fault> {
        let stop = Arc::clone(stop);
        std::thread::Builder::new()
            .name(id.clone())
            .spawn(move || self.work(&id, slot, &stop))
            .map_err(|error| Fault::new(Code::Internal, "a worker's thread cannot be started").because(error))
    }

    fn work(self, id: &str, slot: Slot, stop: &AtomicBool) -> Result<(), Fault> {
        let departure = self.departure;
        let member = self.worker(id)?.shown_in(slot).run(stop)?;
        match departure {
            Departure::Stay => Ok(()),
            Departure::Leave => member.leave(),
        }
    }

    fn worker(self, id: &str) -> Result<Worker<KafkaSource, KafkaSink>, Fault> {
        let sinks = self.spec.sinks.iter().chain([&self.spec.dead_letters]);
        let record_bytes_max = sinks.map(|sink| sink.facts.max_bytes).min().unwrap_or(usize::MAX);
        let sink = KafkaSink::new(&self.kafka, id, record_bytes_max);
        let ports = Ports {
            source: KafkaSource::join(&self.kafka, &self.deployment, id)?,
            sink: match self.deployment.keeps_state() {
                true => sink.with_changelog(&self.deployment.changelog()),
                false => sink,
            },
            transform: Box::new(self.transform),
            views: self.views,
            stores: Box::new(FjallStores::new(&self.state_path, self.identity, STORE_CACHE_BYTES)),
            callouts: self.callouts,
            restorer: Box::new(KafkaRestorer::new(&self.kafka, &self.deployment.group())),
            clock: self.clock,
        };
        let settings = Settings {
            commit: self.deployment.commit,
            transaction_timeout: TRANSACTION_TIMEOUT,
            heartbeat_interval: heartbeat_interval(&self.kafka),
        };
        Ok(Worker::new(ports, self.spec, settings))
    }
}

/// What the client works with: the operator's option, or librdkafka's default.
fn heartbeat_interval(kafka: &Kafka) -> Duration {
    let millis = kafka.client.get("heartbeat.interval.ms").and_then(|text| text.parse().ok());
    millis.map_or(Settings::default().heartbeat_interval, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_the_heartbeats_that_the_operator_asked_for() {
        let kafka = |options: &[(&str, &str)]| Kafka {
            brokers: "localhost:9092".to_owned(),
            client: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };

        assert_eq!(heartbeat_interval(&kafka(&[])), Duration::from_secs(3));
        assert_eq!(heartbeat_interval(&kafka(&[("heartbeat.interval.ms", "9000")])), Duration::from_secs(9));
    }
}
