//! An ingest of HTTP on a broker that has bad days.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use gristmill_broker::ApiKey;
use gristmill_host::clock::Clock;
use gristmill_host::config::ingest::{HttpIngest, HttpListener, Ingest, IngestKind};
use gristmill_host::config::pipeline::Kafka;
use gristmill_host::config::secret::SecretSource;
use gristmill_host::id::{AppId, IngestName, TopicName};
use gristmill_host::ingest::http::{HttpServer, Route};
use gristmill_host::io::Outlet;
use gristmill_host::kafka::outlet::KafkaOutlet;
use gristmill_tests::cluster::{Cluster, Dev};
use gristmill_tests::wait::{self, Seen};

const RECORD_BYTES_MAX: usize = 1_000_000;

/// A broker with the topics of an ingest.
struct Desk {
    dev: Dev,
    kafka: Kafka,
    ingest: Ingest,
    http: HttpIngest,
}

impl Desk {
    fn new() -> Result<Self> {
        let dev = Dev::start()?;
        let settings = [("broker.address.family", "v4")];
        let client = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let kafka = Kafka { brokers: dev.bootstrap(), client };
        let http = HttpIngest {
            path: "/ingest/classes".to_owned(),
            token: SecretSource::Env("TOKEN".to_owned()),
            schema: None,
            value_bytes: 64 << 10,
            batch_bytes: 1 << 20,
            batch_records: 1_000,
            per_second: None,
            remember: Duration::from_secs(3600),
        };
        let ingest = Ingest {
            app: AppId::new("shop"),
            name: IngestName::new("classes"),
            topic: TopicName::new("classes"),
            kind: IngestKind::Http(Box::new(http.clone())),
        };
        let compact = [("cleanup.policy", "compact")];
        dev.client().create_topic("classes", 4, &compact)?;
        dev.client().create_topic(ingest.requests_topic().as_str(), 1, &compact)?;
        Ok(Self { dev, kafka, ingest, http })
    }

    /// A process that serves the ingest.
    fn serve(&self) -> Result<HttpServer> {
        let name = format!("{}.a", self.ingest.transactional_id());
        let outlet = KafkaOutlet::new(&self.kafka, &name, RECORD_BYTES_MAX);
        let lookup = |_: &str| Some("token".to_owned());
        let route = Route::new(&self.ingest, &self.http, Box::new(outlet), &lookup)?;
        let listener = HttpListener { listen: "127.0.0.1:0".parse()?, ..HttpListener::default() };
        Ok(HttpServer::start(&listener, vec![route], &Clock::system())?)
    }

    /// The committed values of a key.
    fn values(&self, key: &str) -> Result<Vec<String>> {
        let mut values = Vec::new();
        let mut outlet = KafkaOutlet::new(&self.kafka, "reader", RECORD_BYTES_MAX);
        outlet.read(&self.ingest.topic, &mut |record| {
            if record.key == Some(key.as_bytes()) {
                values.push(String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned());
            }
            Ok(())
        })?;
        Ok(values)
    }
}

/// The status and the whole answer.
fn put(address: SocketAddr, key: &str, idempotency_key: &str, value: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(wait::PATIENCE))?;
    write!(
        stream,
        "PUT /ingest/classes/{key} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token\r\nConnection: close\r\n\
         Content-Type: application/json\r\nIdempotency-Key: {idempotency_key}\r\nContent-Length: {}\r\n\r\n{value}",
        value.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, answer))
}

fn await_put(address: SocketAddr, key: &str, idempotency_key: &str, value: &str) -> Result<String> {
    wait::until("the record to be taken", || {
        let (status, answer) = put(address, key, idempotency_key, value)?;
        Ok(if status == 200 { Seen::Yes(answer) } else { Seen::NotYet(answer) })
    })
}

#[test]
fn writes_a_request_once_however_often_it_is_sent_and_to_whichever_process() -> Result<()> {
    let desk = Desk::new()?;
    let server = desk.serve()?;
    await_put(server.address(), "bulky", "k-1", "1")?;
    let again = await_put(server.address(), "bulky", "k-1", "1")?;
    server.shutdown();

    let next = desk.serve()?;
    let later = await_put(next.address(), "bulky", "k-1", "1")?;
    let (other, _) = put(next.address(), "bulky", "k-1", "2")?;

    ensure!(
        again.contains("idempotent-replayed") && later.contains("idempotent-replayed"),
        "{again}\n{later}"
    );
    ensure!(other == 422, "another request with the key: {other}");
    let values = desk.values("bulky")?;
    ensure!(values == ["1"], "{values:?}");
    Ok(())
}

#[test]
fn writes_once_what_was_committed_without_the_word_of_it() -> Result<()> {
    let desk = Desk::new()?;
    let server = desk.serve()?;
    await_put(server.address(), "bulky", "k-0", "0")?;
    let lost = desk.dev.broker().faults().on(ApiKey::EndTxn).next(1).apply_then_disconnect();

    await_put(server.address(), "bulky", "k-1", "1")?;

    ensure!(lost.hits() == 1, "no answer was lost");
    let values = desk.values("bulky")?;
    ensure!(values == ["0", "1"], "{values:?}");
    Ok(())
}

#[test]
fn answers_503_while_the_broker_is_down_and_leaves_nothing_half_done() -> Result<()> {
    let desk = Desk::new()?;
    let server = desk.serve()?;
    await_put(server.address(), "bulky", "k-0", "0")?;
    desk.dev.broker().go_down().map_err(|error| anyhow!("{error}"))?;

    let (first, answer) = put(server.address(), "bulky", "k-1", "1")?;
    let since = Instant::now();
    let (second, _) = put(server.address(), "bulky", "k-2", "2")?;
    let took = since.elapsed();
    desk.dev.broker().come_back().map_err(|error| anyhow!("{error}"))?;
    await_put(server.address(), "bulky", "k-1", "1")?;
    await_put(server.address(), "bulky", "k-2", "2")?;

    ensure!(first == 503 && answer.contains("ingest_unavailable"), "{answer}");
    ensure!(second == 503 && took < Duration::from_secs(2), "{second} after {took:?}");
    let values = desk.values("bulky")?;
    ensure!(values == ["0", "1", "2"], "{values:?}");
    Ok(())
}
