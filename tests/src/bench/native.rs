//! The baselines: a loop that consumes, transforms and produces natively, with the client settings of the host.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gristmill::json::Template;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, Producer as _};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::Value;

use crate::client::{Client, Isolation, Producer, REQUEST};
use crate::read;
use crate::workload::POINTER;

/// The host's own bounds of a transaction.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
const COMMIT_RECORDS: usize = 20_000;

/// What a loop does with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes it on.
    Passthrough,
    /// Sets the delivery times of the classes in this topic.
    Enrich(String),
    /// Joins activations with the product information in this topic, each once.
    Activate(String),
}

/// Works until it is killed.
///
/// # Errors
/// When the broker refuses something.
pub fn loop_forever(client: &Client, mode: &Mode, source: &str, sink: &str, group: &str) -> Result<()> {
    let mut native = Loop::new(client, mode, source, sink, group)?;
    loop {
        native.transaction()?;
    }
}

struct Loop {
    consumer: BaseConsumer,
    producer: Producer,
    work: Work,
    sink: String,
}

/// What is done with a record.
enum Work {
    Passthrough,
    Enrich(Enrich, Vec<u8>),
    Activate(Activate),
}

impl Loop {
    fn new(client: &Client, mode: &Mode, source: &str, sink: &str, group: &str) -> Result<Self> {
        let consumer = client.consumer(
            group,
            &[
                ("isolation.level", "read_committed"),
                ("fetch.queue.backoff.ms", "20"),
                ("queued.min.messages", "50000"),
                ("queued.max.messages.kbytes", "32768"),
                ("enable.auto.offset.store", "false"),
            ],
        )?;
        let producer = client.transactional(
            group,
            &[
                ("linger.ms", "20"),
                ("batch.num.messages", "10000"),
                ("batch.size", "1000000"),
                ("compression.type", "lz4"),
                ("queue.buffering.max.messages", "200000"),
                ("queue.buffering.max.kbytes", "131072"),
                ("partitioner", "murmur2_random"),
                ("transaction.timeout.ms", "15000"),
                ("message.timeout.ms", "15000"),
            ],
        )?;
        let mut sources = vec![source];
        let work = match mode {
            Mode::Passthrough => Work::Passthrough,
            Mode::Enrich(classes) => Work::Enrich(Enrich::new(client, classes)?, Vec::new()),
            Mode::Activate(information) => {
                sources.push(information);
                Work::Activate(Activate::new(information)?)
            }
        };
        consumer.subscribe(&sources)?;
        Ok(Self { consumer, producer, work, sink: sink.to_owned() })
    }

    /// Takes what there is for the length of a commit interval, and commits it.
    fn transaction(&mut self) -> Result<()> {
        let mut next: HashMap<(String, i32), i64> = HashMap::new();
        let mut begun: Option<Instant> = None;
        let mut count = 0;
        while begun.is_none_or(|begun| begun.elapsed() < COMMIT_INTERVAL) && count < COMMIT_RECORDS {
            let Some(message) = self.consumer.poll(Duration::from_millis(10)) else { continue };
            let message = message?;
            if begun.is_none() {
                self.producer.begin()?;
                begun = Some(Instant::now());
            }
            let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
            let mut send = |value: &[u8]| {
                self.producer.send(BaseRecord::<[u8], [u8]>::to(&self.sink).key(key).payload(value))
            };
            match &mut self.work {
                Work::Passthrough => send(value)?,
                Work::Enrich(enrich, buffer) => {
                    buffer.clear();
                    enrich.item(value, buffer)?;
                    send(buffer)?;
                }
                Work::Activate(activate) => activate.record(message.topic(), key, value, &mut send)?,
            }
            let (topic, partition) = (message.topic(), message.partition());
            let known = next.iter_mut().find(|(place, _)| place.1 == partition && place.0 == topic);
            if let Some((_, next)) = known {
                *next = message.offset() + 1;
            } else {
                next.insert((topic.to_owned(), partition), message.offset() + 1);
            }
            count += 1;
        }
        self.commit(next)
    }

    fn commit(&self, next: HashMap<(String, i32), i64>) -> Result<()> {
        let mut positions = TopicPartitionList::new();
        for ((topic, partition), offset) in next {
            positions.add_partition_offset(&topic, partition, Offset::Offset(offset))?;
        }
        self.producer.drain()?;
        let metadata = self.consumer.group_metadata().context("no group metadata")?;
        self.producer.0.send_offsets_to_transaction(&positions, &metadata, REQUEST)?;
        self.producer.commit()
    }
}

/// The delivery-time transform without a sandbox: the same JSON helper, the classes in memory.
struct Enrich {
    template: Template,
    classes: HashMap<String, [Vec<u8>; 2]>,
}

impl Enrich {
    fn new(client: &Client, topic: &str) -> Result<Self> {
        let mut classes = HashMap::new();
        for record in read::whole(client, topic, Isolation::Committed)? {
            let value: Value =
                serde_json::from_slice(record.value.as_deref().context("a class was deleted")?)?;
            let time =
                |name: &str| value.get(name).map(|time| time.to_string().into_bytes()).unwrap_or_default();
            classes.insert(record.key_text(), [time("minimumTime"), time("maximumTime")]);
        }
        let template = Template::new(&[POINTER], &["minimumDeliveryTime", "maximumDeliveryTime"])
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Self { template, classes })
    }

    fn item(&mut self, value: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let document = self.template.read(value).map_err(|error| anyhow::anyhow!("{error}"))?;
        let name = document.get(0).and_then(gristmill::json::Value::string);
        let times = name.and_then(|name| self.classes.get(name.as_ref()));
        let times: [&[u8]; 2] = times.map_or([b"null", b"null"], |[minimum, maximum]| [minimum, maximum]);
        document.splice(&times, out).map_err(|error| anyhow::anyhow!("{error}"))
    }
}

/// The activation transform without a sandbox: the same JSON helper; information and what waits are in memory, and lost with it.
struct Activate {
    topic: String,
    external_id: Template,
    template: Template,
    information: HashMap<Vec<u8>, Vec<u8>>,
    waiting: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    buffer: Vec<u8>,
}

impl Activate {
    fn new(information: &str) -> Result<Self> {
        let template = |pointers: &[&str], members: &[&str]| {
            Template::new(pointers, members).map_err(|error| anyhow::anyhow!("{error}"))
        };
        Ok(Self {
            topic: information.to_owned(),
            external_id: template(&["/externalId"], &[])?,
            template: template(&[], &["externalId"])?,
            information: HashMap::new(),
            waiting: HashMap::new(),
            buffer: Vec::new(),
        })
    }

    fn record(
        &mut self,
        topic: &str,
        key: &[u8],
        value: &[u8],
        send: &mut impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if topic == self.topic {
            let document = self.external_id.read(value).map_err(|error| anyhow::anyhow!("{error}"))?;
            let id = document.get(0).context("information without an ID")?.text().as_bytes().to_vec();
            for waited in self.waiting.remove(key).unwrap_or_default() {
                Self::notify(&mut self.template, &waited, &id, &mut self.buffer, send)?;
            }
            self.information.insert(key.to_vec(), id);
            return Ok(());
        }
        match self.information.get(key) {
            Some(id) => Self::notify(&mut self.template, value, id, &mut self.buffer, send),
            None => {
                self.waiting.entry(key.to_vec()).or_default().push(value.to_vec());
                Ok(())
            }
        }
    }

    fn notify(
        template: &mut Template,
        activation: &[u8],
        id: &[u8],
        buffer: &mut Vec<u8>,
        send: &mut impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        buffer.clear();
        let document = template.read(activation).map_err(|error| anyhow::anyhow!("{error}"))?;
        document.splice(&[id], buffer).map_err(|error| anyhow::anyhow!("{error}"))?;
        send(buffer)
    }
}
