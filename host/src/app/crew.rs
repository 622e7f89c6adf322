//! The workers of one transform: threads that share its broadcast views and stop together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::app::cluster;
use crate::app::topics::Facts;
use crate::clock::Clock;
use crate::config::pipeline::{Deployment, Kafka};
use crate::fault::{Code, Fault};
use crate::id::{InstanceName, SourceIndex, TopicName, TransformName};
use crate::io::TopicFacts;
use crate::kafka;
use crate::kafka::broadcast::{BroadcastReader, VIEW_BYTES_MAX};
use crate::kafka::sink::KafkaSink;
use crate::kafka::source::KafkaSource;
use crate::plugin::{Component, WasmTransform};
use crate::task::broadcast::Views;
use crate::task::spec::Spec;
use crate::worker::{Ports, Settings, Worker};

/// A worker's thread.
type Running = JoinHandle<Result<(), Fault>>;

/// What a crew is made of.
pub(super) struct Contract<'a> {
    /// The cluster.
    pub(super) kafka: &'a Kafka,
    /// The transform.
    pub(super) deployment: &'a Deployment,
    /// Its plugin.
    pub(super) component: &'a Arc<Component>,
    /// The stable name of this process.
    pub(super) instance: &'a InstanceName,
    /// What the cluster says.
    pub(super) facts: &'a Facts,
}

/// The running workers of one transform.
pub(super) struct Crew {
    transform: TransformName,
    stop: Arc<AtomicBool>,
    readers: BTreeMap<SourceIndex, BroadcastReader>,
    workers: Vec<Running>,
}

impl Crew {
    /// Starts the broadcast readers and the workers.
    ///
    /// # Errors
    /// `plugin_init_failed`, and what the readers and consumers answer.
    pub(super) fn start(contract: &Contract<'_>) -> Result<Self, Fault> {
        let deployment = contract.deployment;
        let transform = contract.component.deploy(deployment.into())?;
        let mut crew = Self {
            transform: deployment.name.clone(),
            stop: Arc::default(),
            readers: readers(contract)?,
            workers: Vec::with_capacity(deployment.workers),
        };
        let views: Views = crew.readers.iter().map(|(source, reader)| (*source, Arc::clone(reader.view()))).collect();
        let facts = |topic: &TopicName| contract.facts.get(topic).map(accepted).unwrap_or_default();
        let spec = Arc::new(Spec::new(deployment, cluster::tasks(deployment, contract.facts), facts));
        for number in 0..deployment.workers {
            let worker = worker(contract, number, (&transform, &views, &spec))?;
            crew.workers.push(spawn(&deployment.name, number, worker, &crew.stop)?);
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
        if self.stop.load(Ordering::SeqCst) { fault } else { Some(fault.unwrap_or_else(unasked)) }
    }

    /// Waits for all workers to end.
    ///
    /// # Errors
    /// The first fault of a worker.
    pub(super) fn join(self) -> Result<(), Fault> {
        self.workers.into_iter().map(join).fold(Ok(()), Result::and)
    }
}

fn unasked() -> Fault {
    Fault::new(Code::Internal, "a worker ended without being asked to")
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

fn worker(
    contract: &Contract<'_>,
    number: usize,
    (transform, views, spec): (&WasmTransform, &Views, &Arc<Spec>),
) -> Result<Worker<KafkaSource, KafkaSink>, Fault> {
    let Contract { kafka, deployment, facts, .. } = contract;
    let id = deployment.worker_id(contract.instance, number);
    let rules = KafkaSink::topics(deployment)
        .into_iter()
        .filter_map(|topic| facts.get(&topic).and_then(|facts| facts.rules()).map(|rules| (topic, rules)));
    let ports = Ports {
        source: KafkaSource::join(kafka, deployment, &id)?,
        sink: KafkaSink::new(kafka, &id, rules),
        transform: Box::new(transform.clone()),
        views: views.clone(),
        clock: Clock::system(),
    };
    let settings = Settings { commit: deployment.commit, ..Settings::default() };
    Ok(Worker::new(ports, Arc::clone(spec), settings))
}

fn spawn(
    transform: &TransformName,
    number: usize,
    worker: Worker<KafkaSource, KafkaSink>,
    stop: &Arc<AtomicBool>,
) -> Result<Running, Fault> {
    let stop = Arc::clone(stop);
    std::thread::Builder::new()
        .name(format!("{transform}.{number}"))
        .spawn(move || worker.run(&stop))
        .map_err(|error| Fault::new(Code::Internal, "a worker's thread cannot be started").because(error))
}

/// What a topic takes, as tasks need to know it; the broker's defaults where it does not tell.
fn accepted(topic: &kafka::topics::TopicFacts) -> TopicFacts {
    let number = |name| topic.setting(name).and_then(|text| text.parse::<u64>().ok());
    let usual = TopicFacts::default();
    let max_bytes = number("max.message.bytes").and_then(|bytes| usize::try_from(bytes).ok());
    TopicFacts {
        max_bytes: max_bytes.unwrap_or(usual.max_bytes),
        compacted: topic.is_compacted(),
        ahead_max: number("message.timestamp.after.max.ms").map(Duration::from_millis).or(usual.ahead_max),
    }
}
