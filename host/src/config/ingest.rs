//! An ingest: where a topic's records come from when nobody writes them to Kafka.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::secret::SecretSource;
use crate::id::{AppId, IngestName, TopicName};

/// One `[ingest.NAME]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Ingest {
    /// The application, again, because names in Kafka start with it.
    pub app: AppId,
    /// Its name.
    pub name: IngestName,
    /// The compacted topic that it writes.
    pub topic: TopicName,
    /// What it reads.
    pub kind: IngestKind,
}

/// What an ingest reads.
#[derive(Clone, PartialEq, Debug)]
pub enum IngestKind {
    /// The rows of an SQL query: what changed since the last run is published.
    Sql(Box<SqlIngest>),
    /// Requests of HTTP.
    Http(Box<HttpIngest>),
    /// A DynamoDB table, once.
    Dynamodb(Box<DynamodbIngest>),
}

impl IngestKind {
    /// The name in a pipeline file.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Sql(_) => "sql",
            Self::Http(_) => "http",
            Self::Dynamodb(_) => "dynamodb",
        }
    }
}

impl Ingest {
    /// The name of its producer in transactions, `<app>.ingest.<name>`: the same in every process, so that of several runs at
    /// the same time the one that began last goes through.
    pub fn transactional_id(&self) -> String {
        format!("{}.ingest.{}", self.app, self.name)
    }

    /// Where a carry-over keeps how far it is: `<app>.ingest.<name>.progress`, compacted, with one partition.
    pub fn progress_topic(&self) -> TopicName {
        TopicName::new(&format!("{}.ingest.{}.progress", self.app, self.name))
    }

    /// Where an ingest of HTTP remembers idempotency keys: `<app>.ingest.<name>.requests`, compacted and with a retention.
    pub fn requests_topic(&self) -> TopicName {
        TopicName::new(&format!("{}.ingest.{}.requests", self.app, self.name))
    }
}

/// `kind = "sql"`.
#[derive(Clone, PartialEq, Debug)]
pub struct SqlIngest {
    /// Where the database is.
    pub database: DatabaseUrl,
    /// The password that the URL leaves out.
    pub password: Option<SecretSource>,
    /// The query; each of its rows is a record.
    pub query: String,
    /// The column whose value is the record's key.
    pub key: String,
    /// The members of the record's value; none takes all columns but the key, under their own names.
    pub members: Option<Vec<Member>>,
    /// When it runs by itself.
    pub schedule: Schedule,
    /// The share of the published keys that a run may delete without being told to, from 0 to 1. Default 0.2.
    pub deletes_max: f64,
    /// More rows, published or read, are refused: each takes about 100 bytes of memory and its key. Default 5,000,000.
    pub rows_max: u32,
    /// How long connecting and each step of the query may take. Default 30 s.
    pub timeout: Duration,
}

/// A database, without its password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DatabaseUrl {
    /// A URL in the file itself: `sqlite:`, `postgres://` or `mysql://`, without a password. Paths of SQLite are resolved.
    Plain(String),
    /// The whole URL is a secret.
    Secret(SecretSource),
}

/// When an ingest runs by itself.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Schedule {
    /// Never: only by command or by request.
    #[default]
    ByHand,
    /// When a host starts, and then this long after each run's end.
    Every(Duration),
    /// At the times of a cron expression of five fields, in UTC.
    Cron(String),
}

/// A member of a record's JSON value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its name in the JSON object.
    pub name: String,
    /// The column or the attribute that it is read from.
    pub field: String,
    /// What it must be.
    pub kind: MemberKind,
    /// Whether NULL, or a missing attribute, is refused; else it is JSON's null. Default false.
    pub required: bool,
}

/// What a member of a JSON value must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MemberKind {
    /// What the column's own type says.
    #[default]
    Own,
    /// A string, made of whatever it is.
    Text,
    /// A number without a fraction.
    Integer,
    /// A number.
    Number,
    /// True or false; also from 0 and 1.
    Boolean,
    /// A JSON value that the column holds as text.
    Json,
    /// A string of base64, from bytes.
    Base64,
}

impl MemberKind {
    /// The kinds with their names in a pipeline file.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("own", Self::Own),
        ("text", Self::Text),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("json", Self::Json),
        ("base64", Self::Base64),
    ];

    /// The name in a pipeline file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Json => "json",
            Self::Base64 => "base64",
        }
    }
}

/// `[http]`: where the ingests of HTTP listen, all on one address.
#[derive(Clone, PartialEq, Debug)]
pub struct HttpListener {
    /// The address. One that other machines can reach needs `tls`.
    pub listen: SocketAddr,
    /// Certificate and key in PEM; none is plain HTTP.
    pub tls: Option<HttpTls>,
    /// Connections at the same time; more are closed at once. Default 2,000.
    pub connections: u32,
    /// How long a request may take to arrive, head and body. Default 10 s.
    pub timeout: Duration,
}

impl HttpListener {
    /// Where it listens by default.
    pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9181);
}

impl Default for HttpListener {
    fn default() -> Self {
        Self { listen: Self::LISTEN, tls: None, connections: 2_000, timeout: Duration::from_secs(10) }
    }
}

/// Files in PEM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpTls {
    /// The certificates, the server's first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// `kind = "http"`.
#[derive(Clone, PartialEq, Debug)]
pub struct HttpIngest {
    /// The path of its collection, such as `/ingest/classes`: default `/ingest/<name>`.
    pub path: String,
    /// The bearer token that every request needs.
    pub token: SecretSource,
    /// A file with the JSON Schema of a value; none takes any JSON.
    pub schema: Option<PathBuf>,
    /// The largest value, in bytes. Default 64 KiB.
    pub value_bytes: u64,
    /// The largest batch, in bytes. Default 16 MiB.
    pub batch_bytes: u64,
    /// Records in a batch. Default 10,000.
    pub batch_records: u32,
    /// Requests in a second, of this process; none is no limit, the default.
    pub per_second: Option<u32>,
    /// How long idempotency keys are remembered. Default 24 h.
    pub remember: Duration,
}

/// `kind = "dynamodb"`.
#[derive(Clone, PartialEq, Debug)]
pub struct DynamodbIngest {
    /// The table.
    pub table: String,
    /// The region; none takes what the environment says.
    pub region: Option<String>,
    /// Another endpoint than Amazon's own.
    pub endpoint: Option<String>,
    /// The attribute whose value is the record's key.
    pub key: String,
    /// The members of the record's value; none takes all attributes but the key, under their own names.
    pub members: Option<Vec<Member>>,
    /// Items that one page may hold. Default 1,000.
    pub page_items: u32,
    /// Items in a second, so that the table's own readers are not throttled; none is no limit, the default.
    pub per_second: Option<u32>,
}
