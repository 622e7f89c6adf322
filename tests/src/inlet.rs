//! An ingest of HTTP, as its callers see it, and one that processes of the test's own serve.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_host::clock::Clock;
use gristmill_host::config::ingest::{HttpIngest, HttpListener, Ingest, IngestKind};
use gristmill_host::config::pipeline::Kafka;
use gristmill_host::config::secret::SecretSource;
use gristmill_host::id::{AppId, IngestName, TopicName};
use gristmill_host::ingest::http::{HttpServer, Route};
use gristmill_host::kafka::outlet::KafkaOutlet;
use rdkafka::producer::BaseRecord;
use ureq::http::Request;

use crate::client::{Client, Isolation, unique};
use crate::http::{self, Answer};
use crate::read;
use crate::wait::{self, Seen};

const NAME: &str = "classes";

const TOKEN: &str = "token";

const RECORD_BYTES_MAX: usize = 1_000_000;

/// Where records are sent to.
#[derive(Clone, Copy, Debug)]
pub struct Inlet<'a> {
    /// Where the host listens.
    pub address: SocketAddr,
    /// The name of the ingest.
    pub name: &'a str,
    /// Its bearer token.
    pub token: &'a str,
}

impl Inlet<'_> {
    /// Sends a record, as JSON.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn put(&self, key: &str, idempotency_key: &str, value: &str) -> Result<Answer> {
        let request = Request::put(format!("http://{}/ingest/{}/{key}", self.address, self.name))
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", idempotency_key)
            .body(value.to_owned())?;
        http::send(request)
    }
}

/// Whether the answer says that the request was carried out before.
pub fn is_replayed(answer: &Answer) -> bool {
    answer.header("Idempotent-Replayed") == Some("true")
}

/// Puts a record into the ingest of a [`Site`] that listens at this address.
///
/// # Errors
/// As [`Inlet::put`].
pub fn put(address: SocketAddr, key: &str, idempotency_key: &str, value: &str) -> Result<Answer> {
    Inlet { address, name: NAME, token: TOKEN }.put(key, idempotency_key, value)
}

/// As [`put`], again and again until it is taken.
///
/// # Errors
/// When it is not taken in time.
pub fn await_put(address: SocketAddr, key: &str, idempotency_key: &str, value: &str) -> Result<Answer> {
    wait::until("the record to be taken", || {
        let answer = put(address, key, idempotency_key, value)?;
        Ok(if answer.status == 200 { Seen::Yes(answer) } else { Seen::NotYet(answer.body) })
    })
}

/// The topics of an ingest.
#[derive(Debug)]
pub struct Site {
    client: Client,
    ingest: Ingest,
    http: HttpIngest,
}

impl Site {
    /// Makes them.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn new(client: Client) -> Result<Self> {
        let http = HttpIngest {
            path: format!("/ingest/{NAME}"),
            token: SecretSource::Env("TOKEN".to_owned()),
            schema: None,
            value_bytes: 64 << 10,
            batch_bytes: 1 << 20,
            batch_records: 1_000,
            per_second: None,
            remember: Duration::from_secs(3600),
        };
        // What is written twice is to be seen twice: this one is not compacted.
        let ingest = Ingest {
            app: AppId::new(&unique("shop")),
            name: IngestName::new(NAME),
            topic: TopicName::new(&client.topic(NAME, 4, &[])?),
            kind: IngestKind::Http(Box::new(http.clone())),
        };
        client.create_topic(ingest.requests_topic().as_str(), 1, &[("cleanup.policy", "compact")])?;
        Ok(Self { client, ingest, http })
    }

    /// A process that serves the ingest; `instance` is its name among several.
    ///
    /// # Errors
    /// When it does not start.
    pub fn serve(&self, instance: &str) -> Result<HttpServer> {
        let settings = [("broker.address.family", "v4")];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let kafka = Kafka { brokers: self.client.bootstrap().to_owned(), client: settings };
        let name = format!("{}.{instance}", self.ingest.transactional_id());
        let outlet = KafkaOutlet::new(&kafka, &name, RECORD_BYTES_MAX);
        let lookup = |_: &str| Some(TOKEN.to_owned());
        let route = Route::new(&self.ingest, &self.http, Box::new(outlet), &lookup)?;
        let listener = HttpListener { listen: "127.0.0.1:0".parse()?, ..HttpListener::default() };
        Ok(HttpServer::start(&listener, vec![route], &Clock::system())?)
    }

    /// The committed values of a key.
    ///
    /// # Errors
    /// When the topic cannot be read.
    pub fn values(&self, key: &str) -> Result<Vec<String>> {
        let records = read::whole(&self.client, self.ingest.topic.as_str(), Isolation::Committed)?;
        let own = records.into_iter().filter(|record| record.key.as_deref() == Some(key.as_bytes()));
        Ok(own
            .map(|record| String::from_utf8_lossy(&record.value.unwrap_or_default()).into_owned())
            .collect())
    }
}

/// What one host has committed is not written again by another one that has run all the while.
///
/// # Errors
/// When it is.
pub fn knows_the_keys_of_other_hosts(client: Client) -> Result<()> {
    let site = Site::new(client)?;
    let [one, other] = [site.serve("a")?, site.serve("b")?];
    await_put(one.address(), "small", "k-a", "0")?;
    await_put(other.address(), "small", "k-b", "0")?;
    for number in 0..20 {
        let (key, value) = (format!("k-{number}"), number.to_string());
        let first = await_put(one.address(), "bulky", &key, &value)?;
        let repeated = put(other.address(), "bulky", &key, &value)?;
        ensure!(!is_replayed(&first) && is_replayed(&repeated), "{number}: {first:?}, {repeated:?}");
    }
    let values = site.values("bulky")?;
    ensure!(values == (0..20).map(|number| number.to_string()).collect::<Vec<_>>(), "{values:?}");
    Ok(())
}

/// A host that starts knows what stands behind a transaction that is still open: it waits for its end.
///
/// # Errors
/// When it does not.
pub fn waits_for_open_transactions(client: Client) -> Result<()> {
    let site = Site::new(client)?;
    let first = site.serve("a")?;
    await_put(first.address(), "bulky", "k-1", "1")?;
    let requests = site.ingest.requests_topic();
    let rows = read::whole(&site.client, requests.as_str(), Isolation::Committed)?;
    let row = rows.into_iter().find(|row| row.key.as_deref() == Some(b"k-1")).context("no row")?;
    let value = row.value.context("a row without a value")?;
    let foreign = site.client.transactional(&unique("foreign"), &[])?;
    foreign.begin()?;
    foreign.send(BaseRecord::to(requests.as_str()).key("open").payload(&value))?;
    foreign.drain()?;
    await_put(first.address(), "bulky", "k-2", "2")?;
    first.shutdown();

    let second = site.serve("a")?;
    let during = put(second.address(), "bulky", "k-2", "2")?;
    foreign.commit()?;
    let later = await_put(second.address(), "bulky", "k-2", "2")?;
    let committed = await_put(second.address(), "bulky", "open", "1")?;

    ensure!(during.status == 503 && during.body.contains("nothing was written"), "{during:?}");
    ensure!(is_replayed(&later) && is_replayed(&committed), "{later:?}, {committed:?}");
    let values = site.values("bulky")?;
    ensure!(values == ["1", "2"], "{values:?}");
    Ok(())
}
