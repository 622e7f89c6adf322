//! The driver, with a plugin of its own: what it shows, and what it does to hosts.

use std::path::Path;

use super::*;
use crate::config::{assembly, manifest, raw};
use crate::id::{Digest, SinkIndex, TaskId};
use crate::io::{
    Answered, Batch, CallError, Instance, Outcome, OutputSlot, Rejection, State, StateError, Transform,
};
use crate::status::TaskState;

const MANIFEST: &str = r#"
[plugin]
name = "counter"
version = "1.0.0"
interface = "0.1"
[[source]]
name = "orders"
kind = "table"
[[source]]
name = "names"
kind = "broadcast"
[[sink]]
name = "counted"
[[store]]
name = "counts"
"#;

const PIPELINE: &str = r#"
[app]
id = "shop"
[kafka]
brokers = "none:1"
[transforms.count]
plugin = "counter.wasm"
sources.orders = "orders"
sources.names = "names"
sinks.counted = "counted"
"#;

/// Passes orders on, counts them in a store, rejects those that are `bad` and stops at those that are `fatal`.
struct Counter;

impl Transform for Counter {
    fn instance(&self, _: &TaskId) -> Result<Box<dyn Instance>, Fault> {
        Ok(Box::new(Self))
    }
}

impl Instance for Counter {
    fn process(&mut self, batch: Batch<'_>, mut state: Box<dyn State>) -> Answered {
        let answer = count(&batch, state.as_mut());
        Answered { answer, state }
    }
}

fn count(batch: &Batch<'_>, state: &mut dyn State) -> Result<Outcome, CallError> {
    let records = batch.records;
    let mut outcome = Outcome {
        headers: records.header_slots().to_vec(),
        bytes: records.bytes().to_vec(),
        ..Outcome::default()
    };
    if batch.source.0 == 1 {
        return Ok(outcome);
    }
    for (index, (slot, record)) in (0..).zip(records.slots().iter().zip(records.iter())) {
        match record.value() {
            Some(b"bad") => {
                let (code, message) = ("bad-order".to_owned(), "it says so".to_owned());
                outcome.rejected.push(Rejection { index, code, message });
                continue;
            }
            Some(b"fatal") => return Err(CallError::Fatal("no more".to_owned())),
            _ => {}
        }
        add_one(state, record.key().unwrap()).unwrap();
        let (key, value, headers) = (slot.key, slot.value, slot.headers);
        let (sink, timestamp, cause) = (SinkIndex(0), None, Some(index));
        outcome.outputs.push(OutputSlot { sink, key, value, headers, timestamp, cause });
    }
    Ok(outcome)
}

fn add_one(state: &mut dyn State, key: &[u8]) -> Result<(), StateError> {
    let counts = state.store("counts").unwrap();
    let before = state.get(counts, key)?.map_or(0, |row| row.first().unwrap().value().unwrap()[0]);
    state.put(counts, key, &[before + 1])
}

fn pipeline() -> Pipeline {
    let raw = raw::parse(Path::new("shop.toml"), PIPELINE, &|_| None).unwrap();
    assembly::assemble(&raw, &mut |_| Ok((manifest::parse(MANIFEST)?, Digest([0; 32])))).unwrap()
}

fn driver(partitions: usize) -> Driver {
    let make: Make<'_> = &mut |_| Ok(Box::new(Counter));
    Driver::setup(&pipeline()).partitions(partitions).begin(make).unwrap()
}

/// A driver with one host at rest, and orders that are handled.
fn running(orders: &[&str]) -> Driver {
    let mut driver = driver(3);
    driver.start("a");
    produce(&driver, orders);
    driver.run_until_idle().unwrap();
    driver
}

fn produce(driver: &Driver, orders: &[&str]) {
    for order in orders {
        driver.produce("orders", *order, format!("order {order}")).unwrap();
    }
}

/// Keys and values of the sink, in the order of their keys.
fn counted(driver: &Driver) -> Vec<(String, String)> {
    let text = |record: &Record| {
        (record.key_text().into_owned(), record.value_text().unwrap_or("none".into()).into_owned())
    };
    let mut counted: Vec<_> = driver.committed("counted").iter().map(text).collect();
    counted.sort();
    counted
}

fn counts(driver: &Driver) -> Vec<(String, u8)> {
    let rows = driver.rows("count", "counts").unwrap();
    let mut counts: Vec<_> =
        rows.into_iter().map(|row| (String::from_utf8(row.key).unwrap(), row.value[0])).collect();
    counts.sort();
    counts
}

fn is(key: &str) -> (String, String) {
    (key.to_owned(), format!("order {key}"))
}

#[test]
fn shows_what_was_committed_with_place_headers_and_time() {
    let mut driver = running(&["1"]);
    let message = Message::new("2", "x").header("trace", "7").at(Timestamp(5)).to_partition(Partition(2));
    driver.send("orders", message).unwrap();
    driver.delete("orders", "1").unwrap();

    driver.run_until_idle().unwrap();

    let records = driver.committed("counted");
    let two = records.iter().find(|record| record.key_text() == "2").unwrap();
    assert_eq!((two.timestamp, two.header("trace").as_deref()), (Timestamp(5), Some("7")));
    let latest = driver.latest("counted");
    assert_eq!(latest[&b"1"[..]].value_text(), None);
    assert_eq!(latest[&b"2"[..]].value_text().as_deref(), Some("x"));
    let (place, _) = driver.produce("orders", "1", "y").unwrap();
    assert_eq!(records.iter().find(|record| record.key_text() == "1").unwrap().partition, place);
}

#[test]
fn shows_nothing_that_is_not_committed() {
    let mut driver = running(&[]);
    produce(&driver, &["1"]);

    driver.run_until("the row", |driver| !driver.rows("count", "counts").unwrap().is_empty()).unwrap();

    assert_eq!(counted(&driver), []);
    driver.crash("a");
    driver.start("a");
    driver.run_until_idle().unwrap();
    assert_eq!((counted(&driver), counts(&driver)), (vec![is("1")], vec![("1".to_owned(), 1)]));
}

#[test]
fn refuses_topics_and_partitions_that_are_not_there() {
    let driver = driver(2);

    assert_eq!(driver.produce("nowhere", "1", "x").unwrap_err().code(), Code::TopicMissing);
    let far = Message::new("1", "x").to_partition(Partition(2));
    assert_eq!(driver.send("orders", far).unwrap_err().code(), Code::TopicMissing);
    assert_eq!(driver.committed("nowhere"), []);
    assert_eq!(driver.rows("count", "nowhere"), Ok(vec![]), "no task runs");
}

#[test]
fn sets_topics_up_as_they_are_described() {
    let pipeline = pipeline();
    let layout = Layout { partitions: 5, is_compacted: false };
    let make: Make<'_> = &mut |_| Ok(Box::new(Counter));
    let driver = Driver::setup(&pipeline)
        .partitions(2)
        .topic("orders", layout)
        .topic("more", layout)
        .at(Timestamp(7))
        .begin(make)
        .unwrap();

    let count = |topic: &str| driver.cluster().partitions(&topic.into()).len();
    let topics = ["orders", "more", "names", "counted", "shop.count.changelog", "shop.count.dead-letters"];
    assert_eq!(topics.map(count), [5, 5, 1, 2, 5, 1]);
    assert_eq!(driver.now(), Timestamp(7));
}

#[test]
fn refuses_sources_that_are_not_co_partitioned() {
    let text = MANIFEST.replace("kind = \"broadcast\"", "kind = \"stream\"");
    let raw = raw::parse(Path::new("shop.toml"), PIPELINE, &|_| None).unwrap();
    let pipeline = assembly::assemble(&raw, &mut |_| Ok((manifest::parse(&text)?, Digest([0; 32])))).unwrap();
    let layout = Layout { partitions: 2, is_compacted: false };

    let setup = Driver::setup(&pipeline).partitions(4).topic("names", layout);
    let fault = setup.begin(&mut |_| Ok(Box::new(Counter))).err().unwrap();

    assert_eq!(fault.code(), Code::NotCoPartitioned);
    assert!(fault.report().contains("`orders` has 4, `names` has 2"), "{}", fault.report());
}

#[test]
fn passes_on_what_a_transform_answers_that_cannot_be_made() {
    let fault = Driver::setup(&pipeline())
        .begin(&mut |_| Err(Fault::new(Code::PluginInitFailed, "no")))
        .err()
        .unwrap();

    assert_eq!(fault.code(), Code::PluginInitFailed);
}

#[test]
fn says_what_still_waits() {
    let mut driver = driver(1);
    assert_eq!(driver.run_until_idle().unwrap_err().waits, ["no host runs"]);
    produce(&driver, &["1"]);
    driver.start("a");
    driver.hold("count", "names");
    driver.produce("names", "x", "y").unwrap();
    driver.stop("a");
    driver.start("a");

    let stuck = driver.run_until_idle().unwrap_err();

    assert!(stuck.to_string().contains("`count` has committed 0 of 1 in `orders"), "{stuck}");
    driver.release("count", "names");
    driver.run_until_idle().unwrap();
    let never = driver.run_until("the moon", |_| false).unwrap_err();
    assert_eq!(never.to_string(), "the moon did not come: nothing is left to do");
}

#[test]
fn does_not_wait_for_an_operator() {
    let mut driver = running(&["1"]);
    driver.produce("orders", "1", "fatal").unwrap();
    let calls = driver.calls();

    let stuck = driver.run_until_idle().unwrap_err();

    assert!(stuck.waits.iter().any(|wait| wait.contains("has stopped")), "{stuck}");
    assert!(driver.calls() - calls < 100);
}

#[test]
fn keeps_dead_letters_of_rejected_records() {
    let mut driver = running(&["1"]);
    driver.produce("orders", "2", "bad").unwrap();

    driver.run_until_idle().unwrap();

    let letters = driver.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].header("gristmill-error-code").as_deref(), Some("bad-order"));
    assert_eq!(counted(&driver), [is("1")]);
}

#[test]
fn takes_orders_to_the_tasks_that_they_are_for() {
    let mut driver = running(&["1", "2"]);
    let (row, all) =
        (Order::RepeatRow { source: "orders".to_owned() }, Order::RepeatAll { source: "orders".to_owned() });

    driver.order_for("count", "2", &row).unwrap();
    driver.run_until_idle().unwrap();
    assert_eq!(counted(&driver), ["1", "2", "2"].map(is));
    driver.order("count", &all).unwrap();
    driver.run_until_idle().unwrap();

    assert_eq!(counted(&driver), ["1", "1", "2", "2", "2"].map(is));
    assert_eq!(driver.order("nobody", &all).unwrap_err().code(), Code::TopicMissing);
}

#[test]
fn ends_alike_after_a_crash_at_any_call() {
    for disk in [Disk::Kept, Disk::Lost] {
        let mut last = 0;
        for crash in Crash::everywhere(disk) {
            let mut driver = driver(2);
            driver.start("a");
            driver.crash_at(crash);
            for orders in [&["1", "2", "3"][..], &["2", "4"]] {
                produce(&driver, orders);
                driver.run_until_idle().unwrap_or_else(|stuck| panic!("{crash:?}: {stuck}"));
            }

            let expected = ["1", "2", "2", "3", "4"].map(is);
            assert_eq!(counted(&driver), expected, "{crash:?}");
            assert_eq!(counts(&driver).iter().map(|(_, count)| count).sum::<u8>(), 5, "{crash:?}");
            assert_eq!(driver.cluster().misuse(), [""; 0], "{crash:?}");
            if driver.crashes() == 0 {
                break;
            }
            last = crash.at;
        }
        assert!(last > 20, "only {last} calls were made");
    }
}

#[test]
fn ends_alike_whatever_call_fails() {
    let mut last = 0;
    for failure in Failure::everywhere() {
        let mut driver = driver(2);
        driver.start("a");
        driver.fail_at(failure);
        for orders in [&["1", "2", "3"][..], &["2", "4"]] {
            produce(&driver, orders);
            driver.run_until_idle().unwrap_or_else(|stuck| panic!("{failure:?}: {stuck}"));
        }

        assert_eq!(counted(&driver), ["1", "2", "2", "3", "4"].map(is), "{failure:?}");
        assert_eq!(counts(&driver).iter().map(|(_, count)| count).sum::<u8>(), 5, "{failure:?}");
        if driver.failures() == 0 {
            break;
        }
        last = failure.at;
    }
    assert!(last > 20, "only {last} calls were made");
}

#[test]
fn goes_on_without_a_host_that_stands_still_and_with_it_when_it_wakes() {
    let mut driver = running(&["1"]);
    produce(&driver, &["1", "2", "3"]);
    driver.run_until("the rows", |driver| driver.rows("count", "counts").unwrap().len() == 3).unwrap();
    driver.pause("a");
    assert_eq!(driver.run_until_idle().unwrap_err().waits, ["no host runs"]);
    driver.start("b");

    driver.run_until_idle().unwrap();
    produce(&driver, &["4"]);
    driver.resume("a");
    driver.run_until_idle().unwrap();

    assert_eq!(counted(&driver), ["1", "1", "2", "3", "4"].map(is));
    let alive: BTreeSet<_> = driver
        .status()
        .filter(|(_, task)| task.state == TaskState::Running)
        .map(|(host, _)| host.to_owned())
        .collect();
    assert_eq!(alive.len(), 2);
}

#[test]
fn shares_the_work_with_a_host_that_joins_and_takes_it_back_when_it_goes() {
    let mut driver = running(&["1", "2", "3", "4", "5"]);
    let tasks = |driver: &Driver, host: &str| {
        driver.status().filter(|(name, task)| *name == host && task.state == TaskState::Running).count()
    };

    driver.start("b");
    driver.run_until("a task of the second host", |driver| tasks(driver, "b") > 0).unwrap();
    produce(&driver, &["1", "2", "3", "4", "5"]);
    driver.run_until_idle().unwrap();
    assert_eq!((tasks(&driver, "a"), tasks(&driver, "b")), (1, 2));
    assert_eq!(counts(&driver).len(), 5);

    let then = driver.now();
    driver.leave("b");
    driver.run_until_idle().unwrap();
    assert!(driver.now().0 - then.0 < 10_000);
    driver.start("b");
    driver.run_until("a task of the second host", |driver| tasks(driver, "b") > 0).unwrap();
    let then = driver.now();
    driver.crash("b");
    driver.run_until_idle().unwrap();

    assert!(driver.now().0 - then.0 > 40_000, "the group has to miss it first");
    assert_eq!(tasks(&driver, "a"), 3);
    assert!(counts(&driver).iter().all(|(_, count)| *count == 2));
}

#[test]
fn restores_from_topics_when_its_disk_is_lost_and_they_were_compacted() {
    let mut driver = running(&["1", "2", "1", "1"]);
    driver.stop("a");
    driver.lose_disk("a");
    driver.compact("orders");
    driver.compact("shop.count.changelog");
    produce(&driver, &["1"]);

    driver.start("a");
    driver.run_until_idle().unwrap();

    assert_eq!(counts(&driver), [("1".to_owned(), 4), ("2".to_owned(), 1)]);
    assert_eq!(driver.rows("count", "orders").unwrap().len(), 2);
}

#[test]
fn goes_on_with_its_disk_when_it_is_kept() {
    let mut driver = running(&["1"]);
    driver.stop("a");
    let restored = |driver: &mut Driver| {
        let calls = driver.calls();
        driver.start("a");
        driver.run_until_idle().unwrap();
        driver.calls() - calls
    };
    let with_disk = restored(&mut driver);
    driver.stop("a");
    driver.lose_disk("a");

    let without_disk = restored(&mut driver);

    assert!(with_disk < without_disk, "{with_disk} and {without_disk} calls");
}

#[test]
fn lets_time_pass_while_hosts_stay_members_of_their_groups() {
    let mut driver = running(&["1"]);
    produce(&driver, &["2"]);
    driver.turn();
    let then = driver.now();
    let before = driver.cluster().stats();

    driver.advance(Duration::from_secs(7 * 24 * 3600));
    driver.run_until_idle().unwrap();

    assert!(driver.now().0 - then.0 >= 7 * 24 * 3_600_000);
    assert_eq!(counted(&driver), [is("1"), is("2")]);
    let after = driver.cluster().stats();
    assert_eq!((after.rebalances, after.aborts), (before.rebalances, before.aborts));
}

#[test]
fn holds_and_releases_the_readers_of_a_broadcast_topic() {
    let mut driver = running(&[]);
    driver.hold("count", "names");
    driver.produce("names", "n", "x").unwrap();
    driver.run_until_idle().unwrap();
    let names = |driver: &Driver| driver.rows("count", "names").unwrap().len();
    assert_eq!(names(&driver), 0);

    driver.release("count", "names");
    driver.run_until_idle().unwrap();

    assert_eq!(names(&driver), 3, "one in each task");
}
