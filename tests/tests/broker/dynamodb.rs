//! `gristmill ingest dynamodb` against a server that is compatible with DynamoDB. Needs Python, and Java for one test; the
//! others run on the dev broker.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use gristmill_tests::client::{Client, Isolation, unique};
use gristmill_tests::cluster::{Apache, Cluster, Dev};
use gristmill_tests::dynamodb::{Deed, Dynamodb, Proxy};
use gristmill_tests::process::Process;
use gristmill_tests::wait::{self, Seen};
use gristmill_tests::{host, read, rundir};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const SECRET: &str = "the-secret-access-key";
const SESSION_TOKEN: &str = "the-session-token";

/// A topic to carry a table over into, and the file that says so.
struct Desk {
    client: Client,
    topic: String,
    app: String,
    table: String,
    endpoint: String,
    file: PathBuf,
}

impl Desk {
    fn new(cluster: &dyn Cluster, endpoint: &str, table: &str) -> Result<Self> {
        let client = cluster.client();
        let topic = client.topic("carried", 3, &[("cleanup.policy", "compact")])?;
        let (app, file) = (unique("app"), rundir::make("dynamodb-desk")?.join("shop.toml"));
        let (table, endpoint) = (table.to_owned(), endpoint.to_owned());
        let desk = Self { client, topic, app, table, endpoint, file };
        desk.write("key = \"sku\"")?;
        Ok(desk)
    }

    /// Writes the pipeline file, with more settings of the ingest.
    fn write(&self, settings: &str) -> Result<()> {
        let Self { app, topic, table, endpoint, .. } = self;
        let brokers = self.client.bootstrap();
        let text = format!(
            "[app]\nid = \"{app}\"\n[kafka]\nbrokers = \"{brokers}\"\n[ingest.old]\nkind = \"dynamodb\"\ntopic = \"{topic}\"\n\
             table = \"{table}\"\nendpoint = \"{endpoint}\"\n{settings}\n"
        );
        Ok(fs::write(&self.file, text)?)
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(host::binary()?);
        command
            .args(["ingest", "dynamodb", "--json"])
            .arg(&self.file)
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", SECRET)])
            .envs([("AWS_SESSION_TOKEN", SESSION_TOKEN), ("AWS_EC2_METADATA_DISABLED", "true")])
            .envs([("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")]);
        Ok(command)
    }

    /// What the command prints when it succeeds.
    fn run(&self) -> Result<Value> {
        let Output { status, stdout, stderr } = self.command()?.output()?;
        ensure!(status.success(), "it ended with {status}:\n{}", String::from_utf8_lossy(&stderr));
        Ok(serde_json::from_slice(&stdout)?)
    }

    /// What the command says when it ends with this exit code and code.
    fn fails(&self, exit_code: i32, code: &str) -> Result<String> {
        let output = self.command()?.output()?;
        let errors = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(exit_code), "it ended with {}:\n{errors}", output.status);
        ensure!(errors.trim_end().ends_with(&format!("code: {code}")), "{errors}");
        Ok(errors)
    }

    fn start(&self) -> Result<Process> {
        Process::start("the carry-over", &mut self.command()?, self.file.with_extension("log"))
    }

    /// The committed records, by their keys; fails when a key is there twice.
    fn records(&self) -> Result<BTreeMap<String, String>> {
        let mut records = BTreeMap::new();
        for record in read::whole(&self.client, &self.topic, Isolation::Committed)? {
            let key = record.key_text();
            ensure!(records.insert(key.clone(), record.text()).is_none(), "`{key}` was written twice");
        }
        Ok(records)
    }

    /// What the progress says; none when there is none.
    fn progress(&self) -> Result<Option<Value>> {
        let topic = format!("{}.ingest.old.progress", self.app);
        if self.client.topics(&topic)?.is_empty() {
            return Ok(None);
        }
        let last = read::whole(&self.client, &topic, Isolation::Committed)?.pop();
        last.map(|record| Ok(serde_json::from_str(&record.text())?)).transpose()
    }

    /// Waits until so many items have been carried over, and not all of them.
    fn await_items(&self, at_least: u64) -> Result<u64> {
        wait::until("some items in the topic", || {
            let progress = self.progress()?.unwrap_or_default();
            let member = |name| progress.get(name).cloned().unwrap_or_default();
            ensure!(member("stage") != "done", "it is done already: {progress}");
            let items = member("items").as_u64().unwrap_or(0);
            Ok(if items >= at_least { Seen::Yes(items) } else { Seen::NotYet(progress.to_string()) })
        })
    }
}

/// The digest as the documentation describes it, computed without the host: as a sum of 32 digits of base 256.
fn digest(records: &BTreeMap<String, String>) -> String {
    let mut sum = [0_u64; 32];
    for (key, value) in records {
        let mut hasher = Sha256::new();
        for part in [key, value] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        sum.iter_mut().zip(hasher.finalize()).for_each(|(sum, digit)| *sum += u64::from(digit));
    }
    let mut carry = 0;
    for digit in sum.iter_mut().rev() {
        (*digit, carry) = ((*digit + carry) % 256, (*digit + carry) / 256);
    }
    sum.iter().map(|digit| format!("{digit:02x}")).collect()
}

/// Items as DynamoDB writes them, and the records that they become.
fn items(count: usize) -> (Vec<Value>, BTreeMap<String, String>) {
    let sku = |number: usize| format!("SKU-{number:04}");
    let item =
        |number| json!({ "sku": { "S": sku(number) }, "class": { "S": format!("class {}", number % 7) } });
    let record = |number| (sku(number), format!("{{\"class\":\"class {}\"}}", number % 7));
    ((0..count).map(item).collect(), (0..count).map(record).collect())
}

/// A desk with a table of so many items behind a proxy, on the dev broker.
fn desk(count: usize) -> Result<(Desk, Proxy, BTreeMap<String, String>)> {
    let server = Dynamodb::shared()?;
    let table = server.table(&[("sku", "S")])?;
    let (items, records) = items(count);
    server.put(&table, &items)?;
    let proxy = Proxy::start(server.address())?;
    Ok((Desk::new(Dev::shared()?, &proxy.endpoint(), &table)?, proxy, records))
}

#[test]
fn carries_every_type_over_page_by_page_once() -> Result<()> {
    let server = Dynamodb::shared()?;
    let table = server.table(&[("part", "B"), ("sort", "N")])?;
    let item = |number: usize| {
        json!({
            "part": { "B": if number < 4 { "AP8=" } else { "AQ==" } },
            "sort": { "N": number.to_string() },
            "sku": { "S": format!("SKU \"{number}\" ü") },
            "digits": { "N": "1234567890123456789012345678.9012345678" },
            "yes": { "BOOL": true },
            "nothing": { "NULL": true },
            "bytes": { "B": "AP8=" },
            "list": { "L": [{ "N": "1.50" }, { "M": { "deep": { "L": [{ "NULL": true }] } } }] },
            "texts": { "SS": ["b", "a"] },
            "numbers": { "NS": ["10", "9"] },
            "blobs": { "BS": ["Ag==", "AQ=="] },
        })
    };
    server.put(&table, &(0..7).map(item).collect::<Vec<_>>())?;
    let proxy = Proxy::start(server.address())?;
    let desk = Desk::new(Dev::shared()?, &proxy.endpoint(), &table)?;
    desk.write(
        "key = \"sku\"\npage_items = 3\n[ingest.old.value]\ndigits = \"digits\"\nyes = \"yes\"\nnothing = \"nothing\"\n\
         part = { attribute = \"part\", type = \"base64\" }\nbytes = { attribute = \"bytes\", type = \"base64\" }\n\
         list = \"list\"\ntexts = \"texts\"\nnumbers = \"numbers\"\nblobs = { attribute = \"blobs\", type = \"base64\" }\n\
         sort = { attribute = \"sort\", type = \"text\" }\nmissing = \"missing\"",
    )?;

    let report = desk.run()?;

    let value = |number: usize| {
        let part = if number < 4 { "AP8=" } else { "AQ==" };
        format!(
            "{{\"digits\":1234567890123456789012345678.9012345678,\"yes\":true,\"nothing\":null,\"part\":\"{part}\",\
             \"bytes\":\"AP8=\",\"list\":[1.50,{{\"deep\":[null]}}],\"texts\":[\"a\",\"b\"],\"numbers\":[9,10],\
             \"blobs\":[\"AQ==\",\"Ag==\"],\"sort\":\"{number}\",\"missing\":null}}"
        )
    };
    let expected: BTreeMap<_, _> =
        (0..7).map(|number| (format!("SKU \"{number}\" ü"), value(number))).collect();
    ensure!(desk.records()? == expected, "{:#?}", desk.records()?);
    let told = (&report["outcome"], &report["items"], &report["pages"], &report["absent"]);
    ensure!(told == (&json!("done"), &json!(7), &json!(3), &json!(["missing"])), "{report:#}");
    ensure!(report["digest"] == digest(&expected), "{report:#}");
    let scans = proxy.scans();
    ensure!(scans.len() == 3 && scans.iter().all(|scan| scan["Limit"] == 3), "{scans:?}");
    ensure!(scans.iter().all(|scan| scan["ConsistentRead"] == true), "{scans:?}");

    let again = desk.run()?;

    ensure!(again["outcome"] == "done_before" && again["digest"] == report["digest"], "{again:#}");
    ensure!(proxy.scans().len() == 3 && desk.records()? == expected);
    Ok(())
}

#[test]
fn stops_at_what_json_cannot_hold_and_goes_on_once_it_is_corrected() -> Result<()> {
    let (desk, _proxy, mut records) = desk(30)?;
    let server = Dynamodb::shared()?;
    let item = |image: Value| json!({ "sku": { "S": "SKU-0025" }, "image": image });
    let images = json!({ "L": [{ "B": "AP8=" }] });
    server.put(&desk.table, &[item(images)])?;
    desk.write("key = \"sku\"\npage_items = 10")?;

    let errors = desk.fails(3, "ingest_value_unfit")?;

    ensure!(errors.contains(r#"item `{"sku":{"S":"SKU-0025"}}`"#) && errors.contains("`image`"), "{errors}");
    let before = desk.records()?.len();
    ensure!(before % 10 == 0 && before < 30, "{before} records");
    server.put(&desk.table, &[item(json!({ "S": "none" }))])?;
    let report = desk.run()?;
    records.insert("SKU-0025".to_owned(), "{\"image\":\"none\"}".to_owned());
    ensure!(desk.records()? == records, "{:#?}", desk.records()?);
    ensure!(report["resumed"] == before, "{report:#}");
    Ok(())
}

#[test]
fn waits_out_throttling_failures_and_a_server_that_is_gone() -> Result<()> {
    let (desk, proxy, records) = desk(40)?;
    desk.write("key = \"sku\"\npage_items = 10")?;
    use Deed::{Close, Cut, Fail, Pass, Throttle};
    proxy.next([Pass, Throttle, Throttle, Fail, Close, Cut, Throttle, Pass, Fail, Pass, Throttle]);
    proxy.set_gone(true);

    let mut process = desk.start()?;
    process.await_output("waiting ")?;
    proxy.set_gone(false);
    let status = process.wait(wait::PATIENCE)?;

    ensure!(status.success(), "{status}: {}", process.tail());
    ensure!(desk.records()? == records, "{:#?}", desk.records()?);
    ensure!(proxy.scans().len() == 4 + 8, "{} scans", proxy.scans().len());
    let progress = desk.progress()?.context("no progress")?;
    ensure!(progress["digest"] == digest(&records) && progress["stage"] == "done", "{progress}");
    Ok(())
}

#[test]
fn goes_on_after_kill_9_without_doubling_or_losing_an_item() -> Result<()> {
    let server = Dynamodb::shared()?;
    let table = server.table(&[("sku", "S")])?;
    let (items, records) = items(400);
    server.put(&table, &items)?;
    let desk = Desk::new(Apache::shared()?, &format!("http://{}", server.address()), &table)?;
    desk.write("key = \"sku\"\npage_items = 10\nrate = 40")?;

    let mut at_least = 1;
    let mut left_at = 0;
    for _ in 0..2 {
        let process = desk.start()?;
        left_at = desk.await_items(at_least)?;
        process.kill()?;
        at_least = left_at + 1;
    }
    // How fast the table is read is not a part of what is carried over.
    desk.write("key = \"sku\"\npage_items = 90")?;
    let report = desk.run()?;

    ensure!(desk.records()? == records, "{} records", desk.records()?.len());
    ensure!(report["digest"] == digest(&records), "{report:#}");
    let resumed = report["resumed"].as_u64().context("no count")?;
    ensure!(resumed >= left_at && resumed < 400 && resumed % 10 == 0, "{resumed}, left at {left_at}");
    let pages = resumed / 10 + (400 - resumed).div_ceil(90);
    ensure!(report["pages"] == pages && report["items"] == 400, "{report:#}");
    Ok(())
}

#[test]
fn notices_a_record_that_somebody_else_has_written() -> Result<()> {
    let (desk, proxy, _) = desk(30)?;
    desk.write("key = \"sku\"\npage_items = 5")?;
    proxy.next([Deed::Pass]);
    proxy.set_busy(true);

    let mut process = desk.start()?;
    desk.await_items(5)?;
    let producer = desk.client.producer(&[])?;
    producer.put(&desk.topic, 0, "foreign", "{}")?;
    producer.drain()?;
    proxy.set_busy(false);
    let status = process.wait(wait::PATIENCE)?;

    ensure!(status.code() == Some(1), "{status}: {}", process.tail());
    let errors = process.output()?;
    ensure!(errors.contains("the table had 30 items") && errors.contains("has 31 keys"), "{errors}");
    desk.fails(1, "carry_over_mismatch")?;
    Ok(())
}

#[test]
fn says_what_is_wrong_before_anything_is_written() -> Result<()> {
    let (mut desk, proxy, _) = desk(3)?;
    let untouched =
        |desk: &Desk| Ok::<_, anyhow::Error>(desk.records()?.is_empty() && desk.progress()?.is_none());

    desk.write("key = \"name\"")?;
    let errors = desk.fails(2, "column_missing")?;
    ensure!(errors.contains("it has no attribute `name`") && errors.contains("`class`, `sku`"), "{errors}");
    ensure!(untouched(&desk)?, "{:?}", desk.records()?);

    let table = std::mem::replace(&mut desk.table, "no-such-table".to_owned());
    desk.write("key = \"sku\"")?;
    let errors = desk.fails(3, "dynamodb_failed")?;
    ensure!(errors.contains("`no-such-table`") && errors.contains("ResourceNotFoundException"), "{errors}");
    desk.table = table;

    proxy.next([Deed::Refuse(format!("x-amz-security-token:{SESSION_TOKEN}"))]);
    desk.write("key = \"sku\"")?;
    let errors = desk.fails(3, "dynamodb_failed")?;
    ensure!(errors.contains("InvalidSignatureException"), "{errors}");
    ensure!(!errors.contains(SECRET) && !errors.contains(SESSION_TOKEN), "{errors}");
    ensure!(untouched(&desk)?, "{:?}", desk.records()?);

    let topic = std::mem::replace(&mut desk.topic, "no-such-topic".to_owned());
    desk.write("key = \"sku\"")?;
    desk.fails(2, "topic_missing")?;
    desk.topic = desk.client.topic("deleting", 1, &[("cleanup.policy", "delete")])?;
    desk.write("key = \"sku\"")?;
    desk.fails(2, "topic_unfit")?;
    desk.topic = topic;
    let producer = desk.client.producer(&[])?;
    producer.put(&desk.topic, 0, "foreign", "{}")?;
    producer.drain()?;
    desk.write("key = \"sku\"")?;
    desk.fails(2, "topic_not_empty")?;
    Ok(())
}

#[test]
fn refuses_two_items_with_the_same_record_key() -> Result<()> {
    let server = Dynamodb::shared()?;
    let table = server.table(&[("sku", "S"), ("sort", "N")])?;
    let item = |sort: &str| json!({ "sku": { "S": "SKU-1" }, "sort": { "N": sort } });
    server.put(&table, &[item("1"), item("2")])?;
    let desk = Desk::new(Dev::shared()?, &format!("http://{}", server.address()), &table)?;
    desk.write("key = \"sku\"\npage_items = 1")?;

    let errors = desk.fails(3, "ingest_key_twice")?;

    ensure!(errors.contains("have the key `SKU-1`") && errors.contains(r#""sort":{"N":"2"}"#), "{errors}");
    ensure!(desk.records()?.len() == 1, "{:?}", desk.records()?);
    Ok(())
}
