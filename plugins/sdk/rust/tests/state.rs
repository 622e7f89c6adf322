//! Stores, indexes, jobs and positions in the test driver.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use gristmill::Context;
use gristmill::Failure;
use gristmill::Index;
use gristmill::IndexName;
use gristmill::Job;
use gristmill::JobKind;
use gristmill::Jobs;
use gristmill::Json;
use gristmill::NoConfig;
use gristmill::Plugin;
use gristmill::Record;
use gristmill::Reject;
use gristmill::Row;
use gristmill::Sink;
use gristmill::Source;
use gristmill::Step;
use gristmill::Store;
use gristmill::Table;
use gristmill::Terms;
use gristmill::test::Task;
use gristmill::test::record;
use gristmill::test::tombstone;
use serde_json::json;

const MANIFEST: &str = r#"
    [[source]]
    name = "in"
    kind = "stream"
    [[source]]
    name = "words"
    kind = "table"
    [[source]]
    name = "rules"
    kind = "broadcast"
    [[sink]]
    name = "out"
    [[store]]
    name = "counts"
    key = "tuple"
    value = "json"
    [[index]]
    name = "by-letter"
    on = "words"
    [[job]]
    name = "list"
"#;
const IN: Source = Source::new(0);
const WORDS: Source = Source::new(1);
const RULES: Source = Source::new(2);
const OUT: Sink = Sink::new(0);
const TABLE: Table = Table::new("words");
const BY_LETTER: IndexName<'_> = IndexName::new("by-letter");
const LIST: JobKind<'_> = JobKind::new("list");
const COUNTS: Store<(&str, u64), Json<u64>> = Store::new("counts");
/// The same rows, read as something else.
const NAMES: Store<(&str, u64), Json<String>> = Store::new("counts");

/// Does what the key of a record says.
struct Obedient;

gristmill::handlers!(Obedient: Index, Jobs);

impl Plugin for Obedient {
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }

    fn record(&mut self, source: Source, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        if source != IN {
            return Ok(());
        }
        let key = std::str::from_utf8(record.key.unwrap_or_default()).unwrap_or_default();
        let value = std::str::from_utf8(record.value.unwrap_or_default()).unwrap_or_default();
        let mut answer = String::new();
        match key {
            "count" | "reject" => {
                for part in 0..2 {
                    let counted = ctx.store(COUNTS).get(&(value, part)).unwrap_or_default() + 1;
                    ctx.store(COUNTS).put(&(value, part), &counted);
                    answer = counted.to_string();
                }
            }
            "forget" => ctx.store(COUNTS).delete(&(value, 0)),
            "prefix" => {
                ctx.store(COUNTS).prefix(&(value,), |key, count| answer += &format!("{key:?}={count} "))
            }
            "range" => {
                let range = (Some(&("a", 1)), Some(&("b", 1)));
                ctx.store(COUNTS)
                    .range(range.0, range.1, |key, count| answer += &format!("{key:?}={count} "));
            }
            "misread" => answer = ctx.store(NAMES).get(&("x", 0)).unwrap_or_default(),
            "position" => answer = format!("{} {}", ctx.position(IN), ctx.position(WORDS)),
            "applied" => answer = format!("{:?}", ctx.applied(RULES)),
            "older" => answer = ctx.is_older(record.headers, RULES).to_string(),
            "start" => answer = ctx.start(LIST, value, b"").to_string(),
            "cancel" => answer = ctx.cancel(LIST, value).to_string(),
            "find" => answer = format!("{:?}", ctx.find(LIST, value, |job| job.generation)),
            "row" => {
                let page = ctx.table(TABLE).row(value.as_bytes());
                answer = page.rows().map(|row| row.offset.to_string()).collect();
            }
            "indexed" => {
                let page = ctx.table(TABLE).by_index(BY_LETTER, value.as_bytes(), None, 1);
                answer = format!("{} {:?}", page.rows().count(), page.next());
            }
            _ => {}
        }
        ctx.send(OUT).key(key.as_bytes()).value(answer.as_bytes());
        if key == "reject" { Err(Reject::new("told-to", "told to reject")) } else { Ok(()) }
    }
}

impl Index for Obedient {
    fn terms(&self, _: IndexName<'_>, row: &Row<'_>, terms: &mut Terms) {
        row.value.iter().for_each(|letter| terms.add([*letter]));
    }
}

impl Jobs for Obedient {
    fn step(&mut self, job: &Job<'_>, ctx: &mut Context<'_>) -> Result<Step, Failure> {
        ctx.follow(job, TABLE, BY_LETTER, job.name.as_bytes(), |row, ctx| {
            if row.value.ends_with(b"!") {
                return Err(Failure::Retry("not now".to_owned()));
            }
            ctx.send(OUT).key(row.key).value(row.value);
            Ok(())
        })
    }
}

fn task() -> Task<Obedient> {
    Task::new(MANIFEST, json!({})).unwrap()
}

#[track_caller]
fn ask(task: &mut Task<Obedient>, key: &str, value: &str) -> String {
    task.feed(IN, [record(key, value)]).outputs[0].value().into_owned()
}

/// Words with an `x`, under these keys.
fn words(task: &mut Task<Obedient>, keys: &[&str]) {
    keys.iter().for_each(|key| drop(task.feed(WORDS, [record(key, "xy")])));
}

/// The keys that a step sends.
#[track_caller]
fn step(task: &mut Task<Obedient>, budget: u32) -> (String, bool) {
    let stepped = task.step(LIST, "x", budget);
    (stepped.outputs.iter().map(|output| output.key()).collect(), stepped.done)
}

#[test]
fn keeps_rows_by_typed_keys() {
    let mut task = task();
    for word in ["a", "ab", "b", "a"] {
        ask(&mut task, "count", word);
    }

    assert_eq!(ask(&mut task, "prefix", "a"), r#"("a", 0)=2 ("a", 1)=2 "#);
    assert_eq!(ask(&mut task, "range", ""), r#"("a", 1)=2 ("ab", 0)=1 ("ab", 1)=1 ("b", 0)=1 "#);
    ask(&mut task, "forget", "a");
    task.restart();
    assert_eq!(ask(&mut task, "prefix", "a"), r#"("a", 1)=2 "#);
}

#[test]
fn leaves_no_trace_of_rejected_records_in_stores() {
    let mut task = task();

    let outcome = task.feed(IN, [record("count", "a"), record("reject", "a"), record("count", "a")]);

    let answers: Vec<_> = outcome.outputs.iter().map(|output| (output.value(), output.cause)).collect();
    assert_eq!(answers, [("1".into(), Some(0)), ("2".into(), Some(2))]);
    assert_eq!((outcome.rejected[0].index, outcome.codes()), (1, vec!["told-to"]));
}

#[test]
fn fails_the_call_that_finds_a_row_of_another_type() {
    let mut task = task();
    ask(&mut task, "count", "x");

    let failure = task.try_feed(IN, [record("count", "y"), record("misread", "")]).unwrap_err();

    assert!(failure.to_string().contains("the store `counts` has a value that cannot be read"), "{failure}");
    assert_eq!(ask(&mut task, "prefix", "y"), "", "nothing of the call is kept");
}

#[test]
fn tells_how_far_sources_were_handled() {
    let mut task = task();
    words(&mut task, &["1", "2"]);

    assert_eq!(ask(&mut task, "position", ""), "0 2");
    assert_eq!(ask(&mut task, "row", "2"), "1");
    assert_eq!(ask(&mut task, "row", "3"), "");
}

#[test]
fn tells_what_is_applied_of_a_broadcast_source_and_which_records_are_older() {
    let mut task = task();
    assert_eq!(ask(&mut task, "applied", ""), "[]");

    task.feed(RULES, [record("a", "1"), record("b", "1")]);
    task.feed(RULES, [record("c", "1").at(3, 7)]);
    task.advance(RULES, 3, 9);
    // A deletion that compaction has hidden comes with the place of the row that it deletes.
    task.feed(RULES, [tombstone("a").at(0, 0)]);

    assert_eq!(ask(&mut task, "applied", ""), "[(0, 2), (3, 9)]");
    let mut is_older = |after: &str| {
        let outcome = task.feed(IN, [record("older", "").header("gristmill-after", after)]);
        outcome.outputs[0].value().into_owned()
    };
    assert_eq!(is_older("rules/0@1,rules/3@8"), "false");
    assert_eq!(is_older("rules/0@1,rules/3@7"), "true");
}

#[test]
fn gives_pages_without_rows_for_entries_that_are_old() {
    let mut task = task();
    task.feed(WORDS, [record("1", "y"), record("2", "x")]);

    assert_eq!(ask(&mut task, "indexed", "x"), "0 Some([49])");
}

#[test]
fn starts_finds_and_cancels_jobs() {
    let mut task = task();

    assert_eq!(ask(&mut task, "find", "x"), "None");
    assert_eq!(ask(&mut task, "start", "x"), "1");
    assert_eq!(ask(&mut task, "start", "x"), "2");
    assert_eq!(ask(&mut task, "find", "x"), "Some(2)");
    assert_eq!(task.jobs(), [("list".to_owned(), "x".to_owned())]);
    assert_eq!([0, 1].map(|_| ask(&mut task, "cancel", "x")), ["true", "false"]);
}

#[test]
fn walks_over_a_term_within_its_budget() {
    let mut task = task();
    words(&mut task, &["1", "2", "4", "5"]);
    task.feed(WORDS, [record("3", "y")]);
    ask(&mut task, "start", "x");

    assert_eq!(step(&mut task, 2), ("12".to_owned(), false));
    task.feed(WORDS, [tombstone("4"), record("6", "x"), record("0", "x")]);
    assert_eq!(step(&mut task, 9), ("56".to_owned(), true));
    assert_eq!(task.jobs(), []);
}

#[test]
fn goes_on_from_the_superseded_walk_and_wraps_round() {
    let mut task = task();
    words(&mut task, &["1", "2", "3", "4", "5"]);
    ask(&mut task, "start", "x");
    assert_eq!(step(&mut task, 2), ("12".to_owned(), false));

    ask(&mut task, "start", "x");
    ask(&mut task, "start", "x");
    assert_eq!(step(&mut task, 1), ("3".to_owned(), false));
    ask(&mut task, "start", "x");

    assert_eq!(task.run_jobs(2).iter().map(|output| output.key()).collect::<String>(), "45123");
}

#[test]
fn stands_where_it_stood_when_a_step_fails() {
    let mut task = task();
    words(&mut task, &["1", "2"]);
    task.feed(WORDS, [record("3", "x!")]);
    ask(&mut task, "start", "x");
    assert_eq!(step(&mut task, 2), ("12".to_owned(), false));

    assert_eq!(task.try_step(LIST, "x", 2), Err(Failure::Retry("not now".to_owned())));

    words(&mut task, &["3"]);
    assert_eq!(step(&mut task, 2), ("3".to_owned(), true));
}

/// Counts in its memory what it should count in a store.
struct Forgetful(u64);

gristmill::handlers!(Forgetful: Jobs);

impl Plugin for Forgetful {
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, String> {
        Ok(Self(0))
    }

    fn record(&mut self, _: Source, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        self.0 += 1;
        if record.value.is_some() {
            ctx.store(COUNTS).put(&("", 0), &self.0);
        }
        Ok(())
    }
}

impl Jobs for Forgetful {
    fn step(&mut self, _: &Job<'_>, _: &mut Context<'_>) -> Result<Step, Failure> {
        self.0 += 1;
        Ok(Step::done(self.0))
    }
}

#[test]
#[should_panic(expected = "give another outcome in batches of [1, 1], each by a new instance")]
fn finds_out_a_plugin_that_writes_what_its_memory_holds() {
    let mut task = Task::<Forgetful>::new(MANIFEST, json!({})).unwrap();

    task.feed(IN, [record("1", ""), record("2", "")]);
}

#[test]
#[should_panic(expected = "is another one for a new instance")]
fn finds_out_a_step_that_depends_on_memory() {
    let mut task = Task::<Forgetful>::new(MANIFEST, json!({})).unwrap();
    task.feed(IN, [tombstone("1")]);
    task.start_job(LIST, "x");

    task.step(LIST, "x", 1);
}
