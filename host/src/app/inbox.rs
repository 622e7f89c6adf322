//! Gives orders to the tasks of a transform, wherever they run: through its inbox.

use crate::app::checks;
use crate::config::document;
use crate::config::pipeline::{Deployment, Pipeline};
use crate::fault::{Code, Fault};
use crate::id::{Partition, TopicName};
use crate::io::{CauseId, Outgoing};
use crate::kafka::produce::PlainProducer;
use crate::task::order::Order;

/// The inbox of a transform, to be written.
pub struct Inbox {
    topic: TopicName,
    tasks: i32,
    producer: PlainProducer,
}

/// A transform of a pipeline, by its name; without a name the only one.
///
/// # Errors
/// `command_unfit`.
pub fn transform<'p>(pipeline: &'p Pipeline, name: Option<&str>) -> Result<&'p Deployment, Fault> {
    let names: Vec<_> = pipeline.deployments.iter().map(|deployment| deployment.name.as_str()).collect();
    let Some(name) = name else {
        return match pipeline.deployments.as_slice() {
            [only] => Ok(only),
            _ => {
                let message = "the pipeline file has several transforms: say which one";
                let hint = format!("add `--transform NAME`; there are {}", names.join(", "));
                Err(Fault::new(Code::CommandUnfit, message).hint(hint))
            }
        };
    };
    let found = pipeline.deployments.iter().find(|deployment| deployment.name.as_str() == name);
    found.ok_or_else(|| {
        let message = format!("the pipeline file has no transform `{name}`");
        Fault::new(Code::CommandUnfit, message).hint(document::nearest(name, &names))
    })
}

impl Inbox {
    /// Opens the inbox of a transform.
    ///
    /// # Errors
    /// `command_unfit` when the transform keeps nothing that orders could be about; `topic_missing` when no host has made the
    /// inbox yet; what the cluster answers.
    pub fn open(pipeline: &Pipeline, deployment: &Deployment) -> Result<Self, Fault> {
        let name = &deployment.name;
        if !deployment.keeps_state() {
            let message = format!("transform `{name}` has neither tables nor jobs: it takes no orders");
            return Err(Fault::new(Code::CommandUnfit, message));
        }
        let topic = deployment.inbox();
        let facts = checks::facts(&checks::connect(&pipeline.kafka)?, pipeline)?;
        let Some(found) = facts.get(&topic) else {
            let message = format!("topic `{topic}`, the inbox of transform `{name}`, does not exist");
            let hint = "a host makes it when it starts: `gristmill run FILE`";
            return Err(Fault::new(Code::TopicMissing, message).hint(hint));
        };
        Ok(Self { topic, tasks: found.partitions, producer: PlainProducer::open(&pipeline.kafka)? })
    }

    /// How many tasks there are.
    pub fn tasks(&self) -> i32 {
        self.tasks
    }

    /// Gives an order about a row to the task that has its key.
    ///
    /// # Errors
    /// What the producer answers.
    pub fn give(&mut self, key: &[u8], order: &Order) -> Result<(), Fault> {
        self.send(Some(key), None, order)
    }

    /// Gives an order to every task.
    ///
    /// # Errors
    /// What the producer answers.
    pub fn give_all(&mut self, order: &Order) -> Result<(), Fault> {
        (0..self.tasks).try_for_each(|task| self.send(None, Some(Partition(task)), order))
    }

    /// Waits until the cluster has all orders.
    ///
    /// # Errors
    /// What the producer answers.
    pub fn flush(&mut self) -> Result<(), Fault> {
        self.producer.flush()
    }

    fn send(&mut self, key: Option<&[u8]>, partition: Option<Partition>, order: &Order) -> Result<(), Fault> {
        let value = order.write();
        self.producer.send(&Outgoing {
            topic: &self.topic,
            partition,
            key,
            value: Some(&value),
            headers: &[],
            timestamp: None,
            cause: CauseId(0),
        })
    }
}
