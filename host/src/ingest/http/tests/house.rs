//! A server with one ingest, on topics in memory that a test can hold up or take away.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::{HttpServer, Route};
use super::client::{Client, Reply};
use crate::clock::Clock;
use crate::config::ingest::{HttpIngest, HttpListener, Ingest, IngestKind};
use crate::config::secret::SecretSource;
use crate::fault::{Code, Fault};
use crate::id::{AppId, IngestName, TopicName};
use crate::io::{Change, Outlet, PublishError, Published, UpTo};
use crate::memory::{MemoryOutlet, MemoryTopics};

/// The token of the ingest.
pub(super) const TOKEN: &str = "s3cret-token-of-classes";

/// The headers that every good request has.
pub(super) const PUT: &str = "Authorization: Bearer s3cret-token-of-classes\nContent-Type: application/json";
pub(super) const POST: &str =
    "Authorization: Bearer s3cret-token-of-classes\nContent-Type: application/x-ndjson";

pub(super) const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {"minimumDeliveryTime": {"type": "integer", "minimum": 0}},
    "required": ["minimumDeliveryTime"]
}"#;

/// What can be different from one test to the next.
pub(super) struct Setup {
    pub(super) http: HttpIngest,
    pub(super) listener: HttpListener,
    pub(super) topics: MemoryTopics,
    /// The name of the process among those that share the topics.
    pub(super) instance: &'static str,
    dir: tempfile::TempDir,
}

/// The running server.
pub(super) struct House {
    pub(super) server: HttpServer,
    pub(super) topics: MemoryTopics,
    pub(super) ingest: Ingest,
    /// Whether Kafka is there, and how its transactions are held up.
    pub(super) kafka: Kafka,
    _dir: tempfile::TempDir,
}

impl Setup {
    pub(super) fn new() -> Self {
        let listener = HttpListener { listen: "127.0.0.1:0".parse().unwrap(), ..HttpListener::default() };
        let http = HttpIngest {
            path: "/ingest/classes".to_owned(),
            token: SecretSource::Env("TOKEN".to_owned()),
            schema: None,
            value_bytes: 1_000,
            batch_bytes: 100_000,
            batch_records: 100,
            per_second: None,
            remember: Duration::from_secs(3600),
        };
        Self {
            http,
            listener,
            topics: MemoryTopics::default(),
            instance: "a",
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// With a schema.
    pub(super) fn with_schema(mut self, text: &str) -> Self {
        self.http.schema = Some(self.file("schema.json", text));
        self
    }

    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(super) fn ingest(&self) -> Ingest {
        Ingest {
            app: AppId::new("shop"),
            name: IngestName::new("classes"),
            topic: TopicName::new("classes"),
            kind: IngestKind::Http(Box::new(self.http.clone())),
        }
    }

    pub(super) fn route(&self, kafka: &Kafka) -> Result<Route, Fault> {
        let name = format!("shop.ingest.classes.{}", self.instance);
        let outlet = kafka.outlet(self.topics.outlet(&name));
        let lookup = |name: &str| (name == "TOKEN").then(|| TOKEN.to_owned());
        Route::new(&self.ingest(), &self.http, Box::new(outlet), &lookup)
    }

    pub(super) fn start(self) -> House {
        self.start_on(Kafka::default())
    }

    pub(super) fn start_on(self, kafka: Kafka) -> House {
        let routes = vec![self.route(&kafka).unwrap()];
        let server = HttpServer::start(&self.listener, routes, &Clock::system()).unwrap();
        House { server, ingest: self.ingest(), topics: self.topics, kafka, _dir: self.dir }
    }
}

impl House {
    pub(super) fn client(&self) -> Client {
        Client::connect(self.server.address())
    }

    /// Asks on a connection of its own.
    pub(super) fn request(&self, head: &str, body: &[u8]) -> Reply {
        self.client().request(head, body)
    }

    /// Puts a value, with more headers.
    pub(super) fn put(&self, key: &str, more: &str, value: &str) -> Reply {
        let more = if more.is_empty() { String::new() } else { format!("\n{more}") };
        self.request(&format!("PUT /ingest/classes/{key}\n{PUT}{more}"), value.as_bytes())
    }

    /// The records that were committed, in their order.
    pub(super) fn written(&self) -> Vec<(String, Option<String>)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let changes = self.topics.transactions().into_iter().flatten();
        let own = changes.filter(|change| change.topic == self.ingest.topic);
        own.map(|change| (text(change.key), change.value.map(text))).collect()
    }

    /// Waits until so many requests wait for their transaction, or are in it.
    pub(super) fn await_waiting(&self, requests: usize) {
        self.await_so("requests to wait", || self.server.site.counters[0].desk.waiting() == requests);
    }

    /// Waits until there are so many connections.
    pub(super) fn await_connections(&self, connections: usize) {
        let all = self.server.connections as usize;
        self.await_so("connections to end", || all - self.server.places.available_permits() == connections);
    }

    /// Waits until something is so.
    pub(super) fn await_so(&self, what: &str, is_so: impl Fn() -> bool) {
        let since = Clock::system();
        while !is_so() {
            assert!(since.elapsed() < Duration::from_secs(60), "waited too long for {what}");
            std::thread::yield_now();
        }
    }

    /// Rows of idempotency keys that were committed.
    pub(super) fn rows(&self) -> Vec<String> {
        let changes = self.topics.transactions().into_iter().flatten();
        let rows = changes.filter(|change| change.topic == self.ingest.requests_topic());
        let keys = rows.map(|change| String::from_utf8(change.key).unwrap());
        keys.filter(|key| !key.contains(' ')).collect()
    }
}

/// Kafka, as far as the test lets it. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Kafka(Arc<Mutex<Days>>);

#[derive(Default)]
struct Days {
    is_down: bool,
    is_unclaimable: bool,
    held: Option<(Sender<()>, Receiver<()>)>,
}

/// Holds transactions of requests up until it is dropped or lets one go.
pub(super) struct Hold {
    /// A transaction has come.
    pub(super) came: Receiver<()>,
    go: Sender<()>,
}

impl Hold {
    /// Waits until a transaction has come.
    pub(super) fn wait(&self) {
        self.came.recv_timeout(Duration::from_secs(60)).unwrap();
    }

    /// Lets it go.
    pub(super) fn release(&self) {
        self.go.send(()).unwrap();
    }
}

impl Kafka {
    pub(super) fn set_down(&self, is_down: bool) {
        self.0.lock().unwrap().is_down = is_down;
    }

    pub(super) fn set_claimable(&self, is_claimable: bool) {
        self.0.lock().unwrap().is_unclaimable = !is_claimable;
    }

    /// Holds the next transactions of requests up, one after the other.
    pub(super) fn hold(&self) -> Hold {
        let ((come, came), (go, gone)) = (channel(), channel());
        self.0.lock().unwrap().held = Some((come, gone));
        Hold { came, go }
    }

    fn outlet(&self, inner: MemoryOutlet) -> Valve {
        Valve { kafka: self.clone(), inner }
    }

    fn check(&self) -> Result<(), Fault> {
        if self.0.lock().unwrap().is_down {
            return Err(Fault::new(Code::BrokerUnreachable, "no broker answers at `kafka.internal:9092`"));
        }
        Ok(())
    }
}

struct Valve {
    kafka: Kafka,
    inner: MemoryOutlet,
}

impl Outlet for Valve {
    fn claim(&mut self) -> Result<(), Fault> {
        self.kafka.check()?;
        if self.kafka.0.lock().unwrap().is_unclaimable {
            return Err(Fault::new(Code::KafkaFailed, "the name cannot be claimed"));
        }
        self.inner.claim()
    }

    fn read(
        &mut self,
        topic: &TopicName,
        visit: &mut dyn FnMut(Published<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.kafka.check()?;
        self.inner.read(topic, visit)
    }

    fn follow(
        &mut self,
        topic: &TopicName,
        up_to: UpTo,
        visit: &mut dyn FnMut(Published<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.kafka.check()?;
        self.inner.follow(topic, up_to, visit)
    }

    fn publish(
        &mut self,
        changes: &mut dyn Iterator<Item = Result<Change, Fault>>,
    ) -> Result<(), PublishError> {
        let changes: Vec<_> = changes.map(Result::unwrap).collect();
        let held = self.kafka.0.lock().unwrap().held.take();
        if let Some((come, gone)) = held
            && come.send(()).is_ok()
            && gone.recv().is_ok()
        {
            self.kafka.0.lock().unwrap().held = Some((come, gone));
        }
        self.kafka.check().map_err(PublishError::Aborted)?;
        if let Some(large) = changes.iter().find(|change| change.key == b"refused") {
            let message = format!("the broker refuses a record of topic `{}`", large.topic);
            return Err(PublishError::Aborted(Fault::new(Code::RecordRefused, message)));
        }
        self.inner.publish(&mut changes.into_iter().map(Ok))
    }
}
