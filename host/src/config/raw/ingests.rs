//! `[ingest.NAME]` and `[http]` as they are written.

use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use croner::Cron;

use super::{NAME_FORM, check_name, parse_path, parse_topic, secrets, set};
use crate::config::document::{Entry, Item, Table};
use crate::config::env::{self, Lookup};
use crate::config::ingest::{
    DatabaseUrl, DynamodbIngest, HttpIngest, HttpListener, HttpTls, Ingest, IngestKind, Member, MemberKind,
    Schedule, SqlIngest,
};
use crate::fault::Fault;
use crate::id::{AppId, IngestName};

const KINDS: &[&str] = &["sql", "http", "dynamodb"];

const SQL_KEYS: &[&str] = &[
    "kind",
    "topic",
    "database",
    "password",
    "query",
    "key",
    "value",
    "schedule",
    "deletes_max",
    "rows_max",
    "timeout",
];

const HTTP_KEYS: &[&str] = &[
    "kind",
    "topic",
    "path",
    "token",
    "schema",
    "value_bytes",
    "batch_bytes",
    "batch_records",
    "rate",
    "remember",
];

const DYNAMODB_KEYS: &[&str] =
    &["kind", "topic", "table", "region", "endpoint", "key", "value", "page_items", "rate"];

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Records are made of rows in memory; more than this many are no table of classes any more.
const ROWS_MAX: u32 = 100_000_000;

/// Reads one ingest. Relative paths start at `base`.
pub(super) fn parse_ingest(
    app: &AppId,
    entry: &Entry,
    base: &Path,
    lookup: Lookup<'_>,
) -> Result<Ingest, Fault> {
    check_name(&entry.item, &entry.key, |c| c.is_ascii_alphanumeric() || "_-".contains(c), NAME_FORM)?;
    let kind = entry.item.open_table()?.require("kind")?;
    let (keys, parse): (_, Parse) = match kind.text()? {
        "sql" => (SQL_KEYS, parse_sql),
        "http" => (HTTP_KEYS, parse_http),
        "dynamodb" => (DYNAMODB_KEYS, parse_dynamodb),
        other => {
            let choice = KINDS.join("`, `");
            return Err(kind.place().invalid(format_args!("is `{other}`, it must be one of `{choice}`")));
        }
    };
    let table = entry.item.table(keys)?;
    Ok(Ingest {
        app: app.clone(),
        name: IngestName::new(&entry.key),
        topic: parse_topic(table.require("topic")?)?,
        kind: parse(&entry.key, &table, base, lookup)?,
    })
}

type Parse = fn(&str, &Table<'_>, &Path, Lookup<'_>) -> Result<IngestKind, Fault>;

fn parse_sql(_name: &str, table: &Table<'_>, base: &Path, lookup: Lookup<'_>) -> Result<IngestKind, Fault> {
    let mut ingest = SqlIngest {
        database: parse_database(table.require("database")?, base, lookup)?,
        password: table.get("password").map(|item| secrets::parse(item, base)).transpose()?,
        query: filled(table.require("query")?)?,
        key: filled(table.require("key")?)?,
        members: table.get("value").map(|item| parse_members(item, "column")).transpose()?,
        schedule: table.get("schedule").map_or(Ok(Schedule::ByHand), parse_schedule)?,
        deletes_max: 0.2,
        rows_max: 5_000_000,
        timeout: 30 * SECOND,
    };
    set(&mut ingest.deletes_max, table.get("deletes_max"), deleted_share)?;
    set(&mut ingest.rows_max, table.get("rows_max"), |item| item.integer(1..=ROWS_MAX))?;
    set(&mut ingest.timeout, table.get("timeout"), |item| item.duration(SECOND..=3600 * SECOND))?;
    Ok(IngestKind::Sql(Box::new(ingest)))
}

/// From 0, which allows no deletion at all.
fn deleted_share(item: &Item) -> Result<f64, Fault> {
    if item.json() == serde_json::json!(0) { Ok(0.0) } else { item.share(1.0) }
}

/// A password in the URL would be text in this file.
fn parse_database(item: &Item, base: &Path, lookup: Lookup<'_>) -> Result<DatabaseUrl, Fault> {
    if item.is_table() {
        return secrets::parse(item, base).map(DatabaseUrl::Secret);
    }
    let url = env::expand(item, lookup)?;
    if let Some(path) = url.strip_prefix("sqlite:") {
        let (path, options) = path.split_once('?').map_or((path, None), |(path, rest)| (path, Some(rest)));
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path == ":memory:" {
            return Err(item.place().invalid("names no file").hint("write \"sqlite:path/of/the.db\""));
        }
        let path = base.join(path);
        let options = options.map(|options| format!("?{options}")).unwrap_or_default();
        return Ok(DatabaseUrl::Plain(format!("sqlite:{}{options}", path.display())));
    }
    let rest =
        ["postgres://", "postgresql://", "mysql://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let Some(rest) = rest else {
        let fault = item.place().invalid("is no URL of a database that this host can read");
        return Err(fault.hint(
            "write \"sqlite:FILE\", \"postgres://USER@HOST/DATABASE\" or \"mysql://USER@HOST/DATABASE\"",
        ));
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    if user.is_some_and(|user| user.contains(':')) || rest.contains("password=") {
        let fault = item.place().invalid("has a password in it, and what is in this file is not secret");
        return Err(fault.hint("leave it out and set `password = { from_env = \"VARIABLE\" }`"));
    }
    Ok(DatabaseUrl::Plain(url))
}

fn parse_schedule(item: &Item) -> Result<Schedule, Fault> {
    let table = item.table(&["every", "cron"])?;
    match (table.get("every"), table.get("cron")) {
        (Some(every), None) => Ok(Schedule::Every(every.duration(SECOND..=365 * DAY)?)),
        (None, Some(cron)) => {
            let text = cron.text()?;
            Cron::from_str(text).map_err(|error| {
                let fault = cron.place().invalid(format_args!("is `{text}`, which is no cron expression"));
                fault
                    .because(error)
                    .hint("write five fields, such as \"0 6 * * *\" for six in the morning, UTC")
            })?;
            Ok(Schedule::Cron(text.to_owned()))
        }
        (Some(_), Some(cron)) => {
            Err(cron.place().invalid("stands beside `every`").hint("leave one of them out"))
        }
        (None, None) => {
            Err(table.place().missing("every").hint("set it, or `cron`; without `schedule` it runs by hand"))
        }
    }
}

/// The members of a value: a name and where it comes from, a text for the plain case.
fn parse_members(item: &Item, field_key: &str) -> Result<Vec<Member>, Fault> {
    let entries = item.open_table()?.entries();
    if entries.is_empty() {
        return Err(item.place().invalid("has no member").hint("leave it out to take all columns"));
    }
    entries.iter().map(|entry| parse_member(entry, field_key)).collect()
}

fn parse_member(entry: &Entry, field_key: &str) -> Result<Member, Fault> {
    let plain = |field: &Item| {
        let (name, field) = (entry.key.clone(), filled(field)?);
        Ok(Member { name, field, kind: MemberKind::Own, required: false })
    };
    if !entry.item.is_table() {
        return plain(&entry.item);
    }
    let table = entry.item.table(&[field_key, "type", "required"])?;
    let mut member = plain(table.require(field_key)?)?;
    set(&mut member.kind, table.get("type"), parse_member_kind)?;
    set(&mut member.required, table.get("required"), Item::truth)?;
    Ok(member)
}

fn parse_member_kind(item: &Item) -> Result<MemberKind, Fault> {
    let text = item.text()?;
    let found = MemberKind::NAMES.iter().find(|(name, _)| *name == text);
    found.map(|(_, kind)| *kind).ok_or_else(|| {
        let choice = MemberKind::NAMES.map(|(name, _)| name).join("`, `");
        item.place().invalid(format_args!("is `{text}`, it must be one of `{choice}`"))
    })
}

fn parse_http(name: &str, table: &Table<'_>, base: &Path, _: Lookup<'_>) -> Result<IngestKind, Fault> {
    let mut ingest = HttpIngest {
        path: table.get("path").map_or_else(|| Ok(format!("/ingest/{name}")), parse_url_path)?,
        token: secrets::parse(table.require("token")?, base)?,
        schema: table.get("schema").map(|item| parse_path(item, base)).transpose()?,
        value_bytes: 64 << 10,
        batch_bytes: 16 << 20,
        batch_records: 10_000,
        per_second: None,
        remember: DAY,
    };
    set(&mut ingest.value_bytes, table.get("value_bytes"), |item| item.size(1..=64 << 20))?;
    set(&mut ingest.batch_bytes, table.get("batch_bytes"), |item| item.size(1..=256 << 20))?;
    set(&mut ingest.batch_records, table.get("batch_records"), |item| item.integer(1..=1_000_000))?;
    set(&mut ingest.per_second, table.get("rate"), |item| item.integer(1..=1_000_000).map(Some))?;
    set(&mut ingest.remember, table.get("remember"), |item| item.duration(60 * SECOND..=365 * DAY))?;
    Ok(IngestKind::Http(Box::new(ingest)))
}

/// A path of plain segments: keys come behind it.
fn parse_url_path(item: &Item) -> Result<String, Fault> {
    let text = item.text()?;
    let is_segment = |segment: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !segment.is_empty() && segment.bytes().all(plain) && segment != "." && segment != ".."
    };
    match text.strip_prefix('/') {
        Some(rest) if rest.split('/').all(is_segment) => Ok(text.to_owned()),
        _ => {
            let form = "a path such as \"/ingest/classes\", of letters, digits, `-`, `_` and `.`";
            Err(item.place().invalid(format_args!("is `{text}`, it must be {form}")))
        }
    }
}

/// Reads `[http]`.
pub(super) fn parse_listener(item: &Item, base: &Path) -> Result<HttpListener, Fault> {
    let table = item.table(&["listen", "tls", "connections", "timeout"])?;
    let tls = table.get("tls").map(|item| parse_tls(item, base)).transpose()?;
    let mut listener = HttpListener { tls, ..HttpListener::default() };
    set(&mut listener.connections, table.get("connections"), |item| item.integer(1..=100_000))?;
    set(&mut listener.timeout, table.get("timeout"), |item| item.duration(SECOND..=600 * SECOND))?;
    if let Some(item) = table.get("listen") {
        listener.listen = parse_address(item)?;
        if !listener.listen.ip().is_loopback() && listener.tls.is_none() {
            let problem =
                format!("is `{}`, which other machines can reach without encryption", listener.listen);
            let fault = item.place().invalid(problem);
            return Err(fault.hint("set `tls = { certificate = \"FILE\", key = \"FILE\" }`, or listen on 127.0.0.1 behind a proxy"));
        }
    }
    Ok(listener)
}

fn parse_address(item: &Item) -> Result<SocketAddr, Fault> {
    let text = item.text()?;
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    numeric.as_deref().unwrap_or(text).parse().map_err(|_| {
        item.place().invalid(format_args!(
            "is `{text}`, it must be an address with a port such as \"127.0.0.1:9181\""
        ))
    })
}

fn parse_tls(item: &Item, base: &Path) -> Result<HttpTls, Fault> {
    let table = item.table(&["certificate", "key"])?;
    let path = |key| parse_path(table.require(key)?, base);
    Ok(HttpTls { certificate: path("certificate")?, key: path("key")? })
}

fn parse_dynamodb(_name: &str, table: &Table<'_>, _: &Path, lookup: Lookup<'_>) -> Result<IngestKind, Fault> {
    let expanded = |key| table.get(key).map(|item| env::expand(item, lookup)).transpose();
    let mut ingest = DynamodbIngest {
        table: filled(table.require("table")?)?,
        region: expanded("region")?,
        endpoint: expanded("endpoint")?,
        key: filled(table.require("key")?)?,
        members: table.get("value").map(|item| parse_members(item, "attribute")).transpose()?,
        page_items: 1_000,
        per_second: None,
    };
    set(&mut ingest.page_items, table.get("page_items"), |item| item.integer(1..=10_000))?;
    set(&mut ingest.per_second, table.get("rate"), |item| item.integer(1..=1_000_000).map(Some))?;
    Ok(IngestKind::Dynamodb(Box::new(ingest)))
}

fn filled(item: &Item) -> Result<String, Fault> {
    match item.text()? {
        text if text.trim().is_empty() => Err(item.place().invalid("is empty")),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests;
