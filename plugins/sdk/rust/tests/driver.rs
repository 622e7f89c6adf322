//! Plugins in the test driver: what the SDK does for them, and what the driver finds out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use gristmill::Batch;
use gristmill::Context;
use gristmill::Failure;
use gristmill::Level;
use gristmill::Mirror;
use gristmill::NoConfig;
use gristmill::Plugin;
use gristmill::Record;
use gristmill::Reject;
use gristmill::Sink;
use gristmill::Source;
use gristmill::Table;
use gristmill::Timestamp;
use gristmill::test::Splits;
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
    kind = "broadcast"
    [[source]]
    name = "rows"
    kind = "table"
    previous = true
    [[sink]]
    name = "out"
"#;
const IN: Source = Source::new(0);
const WORDS: Source = Source::new(1);
const ROWS: Source = Source::new(2);
const OUT: Sink = Sink::new(0);
const WORDS_TABLE: Table = Table::new("words");

/// Does what the value of a record says; looks all other values up in `words`.
struct Obedient {
    words: Mirror<String>,
}

fn word(_key: &[u8], value: &[u8]) -> Result<String, Reject> {
    String::from_utf8(value.to_vec()).map_err(|_| Reject::new("not-text", "the word is no text"))
}

gristmill::handlers!(Obedient);

impl Plugin for Obedient {
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, String> {
        Ok(Self { words: Mirror::new(WORDS_TABLE, word) })
    }

    fn record(&mut self, source: Source, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let key = record.key.unwrap_or_default();
        match (source, record.value) {
            (WORDS, _) => return self.words.apply(record),
            (ROWS, _) => ctx.send(OUT).key(key).value(record.previous.unwrap_or(b"nothing")),
            (_, Some(b"reject")) => {
                ctx.send(OUT).key(key).header("h", b"x").value(b"must not be seen");
                ctx.skip("must-not-be-seen")?;
                return Err(Reject::new("told-to", "told to reject"));
            }
            (_, Some(b"skip")) => return ctx.skip("told-to"),
            (_, Some(b"copy")) => ctx.send(OUT).key(key).headers(record.headers).value(b"copied"),
            (_, Some(b"forget")) => drop(ctx.send(OUT).key(key).header("h", b"x")),
            (_, Some(b"time")) => {
                let text = format!("{} {}", ctx.now(), ctx.stream_time());
                ctx.send(OUT).key(key).timestamp(Timestamp::from_millis(7)).value(text.as_bytes());
            }
            (_, Some(b"list")) => {
                let mut keys = Vec::new();
                ctx.table(WORDS_TABLE).each_with_prefix(b"a", |row| keys.push(row.key.to_vec()));
                ctx.log(Level::Info, "listed", &[]);
                ctx.send(OUT).key(key).value(&keys.join(&b' '));
            }
            (_, None) => ctx.send(OUT).key(key).tombstone(),
            (_, Some(name)) => {
                let word = self.words.get(ctx, name).cloned();
                ctx.send(OUT).key(key).value(word.as_deref().unwrap_or("unknown").as_bytes());
            }
        }
        Ok(())
    }

    fn batch(&mut self, batch: &Batch<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        if batch.records().any(|record| record.value == Some(b"fail")) {
            return Err(Failure::Retry("told to".to_owned()));
        }
        batch.each(self, ctx)
    }
}

fn task() -> Task<Obedient> {
    Task::new(MANIFEST, json!({})).unwrap()
}

#[test]
fn drops_what_a_rejected_record_sent_and_nothing_else() {
    let outcome =
        task().feed(IN, [record("1", "x"), record("2", "reject"), record("3", "skip"), tombstone("4")]);

    let outputs: Vec<_> = outcome.outputs.iter().map(|output| (output.key(), output.cause)).collect();
    assert_eq!(outputs, [("1".into(), Some(0)), ("4".into(), Some(3))]);
    assert!(outcome.outputs[1].is_tombstone());
    assert_eq!((outcome.rejected[0].index, outcome.codes()), (1, vec!["told-to"]));
    assert_eq!(outcome.skipped.into_iter().collect::<Vec<_>>(), [("told-to".to_owned(), 1)]);
}

#[test]
fn sends_no_output_that_was_not_finished() {
    let outcome = task().feed(IN, [record("1", "forget"), record("2", "copy")]);

    assert_eq!(outcome.outputs.len(), 1);
    assert!(outcome.outputs[0].headers.is_empty());
}

#[test]
fn copies_the_headers_that_the_host_accepts() {
    let input = record("1", "copy")
        .header("a", "1")
        .header("gristmill-after", "t/0@1")
        .header(b"\xff", "2")
        .header("a", b"\xff");

    let outcome = task().feed(IN, [input]);

    let expected = [("a".to_owned(), Some(b"1".to_vec())), ("a".to_owned(), Some(b"\xff".to_vec()))];
    assert_eq!(outcome.outputs[0].headers, expected);
}

#[test]
fn tells_the_clocks_and_sets_timestamps() {
    let mut task = task().splits(Splits::Off);
    task.set_now(Timestamp::from_millis(50));

    let outcome = task.feed(IN, [record("1", "time").timestamp(Timestamp::from_millis(40))]);

    assert_eq!(outcome.outputs[0].value(), "50 ms 40 ms");
    assert_eq!(outcome.outputs[0].timestamp, Some(Timestamp::from_millis(7)));
}

#[test]
fn gives_the_value_before_where_the_manifest_asks_for_it() {
    let mut task = task();

    let outcome = task.feed(ROWS, [record("k", "1"), record("k", "2"), tombstone("k"), record("k", "3")]);

    let values: Vec<_> = outcome.outputs.iter().map(|output| output.value()).collect();
    assert_eq!(values, ["nothing", "1", "2", "nothing"]);
}

#[test]
fn walks_tables_page_by_page() {
    let mut task = task();
    for name in ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "b"] {
        task.put(WORDS_TABLE, name, "x");
    }

    let outcome = task.feed(IN, [record("1", "list")]);

    assert_eq!(outcome.outputs[0].value(), "a1 a2 a3 a4 a5 a6 a7");
    assert_eq!(task.logged(), [(Level::Info, "listed".to_owned())]);
}

#[test]
fn mirrors_a_table_from_before_the_first_record() {
    let mut task = task();
    task.put(WORDS_TABLE, "a", "ant");

    assert_eq!(task.feed(IN, [record("1", "a")]).outputs[0].value(), "ant");
}

#[test]
fn keeps_the_mirror_in_step_and_after_a_restart() {
    let mut task = task();
    let look_up = |task: &mut Task<Obedient>, name: &str| {
        let value = task.feed(IN, [record("1", name)]).outputs[0].value().into_owned();
        task.restart();
        assert_eq!(task.feed(IN, [record("1", name)]).outputs[0].value(), value, "after a restart");
        value
    };

    task.feed(WORDS, [record("a", "ant"), record("b", "bee")]);
    assert_eq!(look_up(&mut task, "a"), "ant");
    task.feed(WORDS, [record("a", "ape"), tombstone("b")]);
    assert_eq!((look_up(&mut task, "a").as_str(), look_up(&mut task, "b").as_str()), ("ape", "unknown"));
    let outcome = task.feed(WORDS, [record("a", b"\xff"), record("", "x").without_key()]);
    assert_eq!(outcome.codes(), ["not-text", "no-key"]);
    assert_eq!(look_up(&mut task, "a"), "unknown", "the row is what the topic says, and that is no word");
}

#[test]
fn hands_failures_on() {
    let mut task = task();

    let failure = task.try_feed(IN, [record("1", "x"), record("2", "fail")]).unwrap_err();

    assert_eq!(failure, Failure::Retry("told to".to_owned()));
    assert_eq!(task.feed(IN, [record("1", "x")]).outputs.len(), 1, "the task goes on");
}

#[test]
fn refuses_a_configuration_that_does_not_fit() {
    let error = Task::<Obedient>::new(MANIFEST, json!({ "unknown": 1 })).err().unwrap();

    assert!(error.contains("the configuration does not fit the plugin: unknown field `unknown`"), "{error}");
}

/// Numbers the records that its instance has seen: what a plugin must not do.
struct Counting(u64);

gristmill::handlers!(Counting);

impl Plugin for Counting {
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, String> {
        Ok(Self(0))
    }

    fn record(&mut self, _: Source, _: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        self.0 += 1;
        ctx.send(OUT).value(self.0.to_string().as_bytes());
        Ok(())
    }
}

#[test]
#[should_panic(expected = "give another outcome in batches of [1, 1], each by a new instance")]
fn finds_out_a_plugin_that_keeps_state_in_its_memory() {
    let mut task = Task::<Counting>::new(MANIFEST, json!({})).unwrap();

    task.feed(IN, [record("1", "x"), record("2", "x")]);
}

/// Tells how many records came together: what a plugin must not do.
struct Counted;

gristmill::handlers!(Counted);

impl Plugin for Counted {
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }

    fn record(&mut self, _: Source, _: &Record<'_>, _: &mut Context<'_>) -> Result<(), Reject> {
        Ok(())
    }

    fn batch(&mut self, batch: &Batch<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        ctx.send(OUT).value(batch.len().to_string().as_bytes());
        Ok(())
    }
}

#[test]
#[should_panic(expected = "give another outcome in batches of [1, 1], by one instance")]
fn finds_out_a_plugin_whose_answer_depends_on_its_batches() {
    let mut task = Task::<Counted>::new(MANIFEST, json!({})).unwrap();

    task.feed(IN, [record("1", "x"), record("2", "x")]);
}
