//! Timers, callouts and kept records in the test driver.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use gristmill::Answer;
use gristmill::CalloutMode;
use gristmill::Callouts;
use gristmill::Clock;
use gristmill::Context;
use gristmill::Endpoint;
use gristmill::Kept;
use gristmill::NoConfig;
use gristmill::Path;
use gristmill::Plugin;
use gristmill::Record;
use gristmill::Reject;
use gristmill::Response;
use gristmill::Sink;
use gristmill::Source;
use gristmill::Store;
use gristmill::Timer;
use gristmill::Timers;
use gristmill::Timestamp;
use gristmill::test;
use gristmill::test::Outcome;
use gristmill::test::Task;
use gristmill::test::record;
use serde_json::json;

const MANIFEST: &str = r#"
    [[source]]
    name = "in"
    kind = "stream"
    [[sink]]
    name = "out"
    [[store]]
    name = "kept"
    key = "text"
    value = "record"
    [[endpoint]]
    name = "server"
    methods = ["GET", "POST"]
"#;
const IN: Source = Source::new(0);
const OUT: Sink = Sink::new(0);
const KEPT: Store<str, Kept> = Store::new("kept");
const SERVER: Endpoint<'_> = Endpoint::new("server");

/// Does what the words of a record, of the payload of a timer and of the context of a callout say.
struct Obedient {
    /// What it must not depend on.
    calls: u64,
}

gristmill::handlers!(Obedient: Timers, Callouts);

impl Plugin for Obedient {
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, String> {
        Ok(Self { calls: 0 })
    }

    fn record(&mut self, _: Source, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        if record.value == Some(b"keep") {
            ctx.store(KEPT).put("row", &Kept::without_key(record));
            return Ok(());
        }
        self.act(record.value.unwrap_or_default(), "a record", ctx)
    }
}

impl Timers for Obedient {
    fn timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let shown = format!("{:?} {} {}", timer.clock, text(timer.name), timer.due.millis());
        self.act(timer.payload, &shown, ctx)
    }
}

impl Callouts for Obedient {
    fn response(&mut self, response: &Response<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        assert_eq!((response.endpoint, response.mode), (SERVER, CalloutMode::AtMostOnce));
        let answer = match response.answer {
            Answer::Status(status) => status.to_string(),
            Answer::GaveUp(why) => format!("gave up: {}", why.code),
            Answer::InDoubt(why) => format!("in doubt: {} ({:?})", why.code, why.last_status),
        };
        let kind = response.header("Content-Type").unwrap_or("no type");
        let body = text(response.body);
        let key = response.key.map_or("no key".into(), text);
        let shown = format!("{} {answer} {} {kind} {body} {key}", response.id, response.attempts);
        self.act(response.context, &shown, ctx)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Obedient {
    fn act(&mut self, command: &[u8], shown: &str, ctx: &mut Context<'_>) -> Result<(), Reject> {
        self.calls += 1;
        let command = text(command);
        let millis = |text: &str| Timestamp::from_millis(text.parse().unwrap());
        match command.split(' ').collect::<Vec<_>>().as_slice() {
            ["after", name, wait, payload @ ..] => {
                let wait = Duration::from_millis(wait.parse().unwrap());
                ctx.timer_after(name.as_bytes(), wait, payload.join(" ").as_bytes());
            }
            ["stream", name, due, payload @ ..] => {
                ctx.timer_at(Clock::StreamTime, name.as_bytes(), millis(due), payload.join(" ").as_bytes());
            }
            ["cancel", name] => ctx.cancel_timer(Clock::WallClock, name.as_bytes()),
            ["get", id, item, context @ ..] => {
                let path = Path::new("/items/{}", &[item])?;
                let call = ctx.call(SERVER, id).key(b"k").header("accept", "text/plain");
                call.context(context.join(" ").as_bytes()).get(path);
            }
            ["post", id] => ctx.call(SERVER, id).body(b"x").post(Path::new("/items", &[])?),
            ["elsewhere"] => ctx.call(Endpoint::new("nowhere"), "1").get(Path::new("/", &[])?),
            ["patch"] => ctx.call(SERVER, "1").method("PATCH", Path::new("/", &[])?),
            ["host"] => ctx.call(SERVER, "1").header("HOST", "evil").get(Path::new("/", &[])?),
            ["forget"] => drop(ctx.call(SERVER, "1")),
            ["reject", id] => {
                ctx.call(SERVER, id).get(Path::new("/", &[])?);
                ctx.timer_after(id.as_bytes(), Duration::ZERO, b"");
                return Err(Reject::new("told-to", "told to reject"));
            }
            ["kept"] => {
                let kept = ctx.store(KEPT).get("row").unwrap();
                let value = kept.value.clone().unwrap_or_default();
                ctx.send(OUT).headers_of(kept.headers()).timestamp(kept.timestamp).value(&value);
            }
            ["count"] => ctx.send(OUT).value(self.calls.to_string().as_bytes()),
            _ => ctx.send(OUT).value(format!("{command}: {shown}").as_bytes()),
        }
        Ok(())
    }
}

fn task() -> Task<Obedient> {
    Task::new(MANIFEST, json!({})).unwrap()
}

/// A task that has been told so.
#[track_caller]
fn told<const N: usize>(commands: [&str; N]) -> Task<Obedient> {
    let mut task = task();
    let outcome = task.feed(IN, commands.map(|command| record("k", command)));
    assert_eq!(outcome.rejected, []);
    task
}

fn values(outcome: &Outcome) -> Vec<String> {
    outcome.outputs.iter().map(|output| output.value().into_owned()).collect()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn fires_timers_at_their_time_in_order_and_once() {
    let mut task = told(["after b 20 two", "after a 30 three", "after c 10 one", "after d 20 two"]);

    assert_eq!(values(&task.wait(millis(9))), [""; 0]);
    assert_eq!(
        values(&task.wait(millis(11))),
        ["one: WallClock c 10", "two: WallClock b 20", "two: WallClock d 20"]
    );
    assert_eq!(task.timers().len(), 1);
    assert_eq!(values(&task.wait(millis(1_000))), ["three: WallClock a 30"]);
    assert_eq!(values(&task.wait(millis(1_000))), [""; 0]);
}

#[test]
fn replaces_and_cancels_timers_by_clock_and_name() {
    let mut task = told(["after a 10 x", "after a 20 y", "after b 10 z", "stream b 10 s", "cancel b"]);

    assert_eq!(values(&task.wait(millis(15))), [""; 0]);
    assert_eq!(values(&task.wait(millis(5))), ["y: WallClock a 20"]);
    assert_eq!(task.timers().iter().map(|timer| timer.clock).collect::<Vec<_>>(), [Clock::StreamTime]);
}

#[test]
fn fires_timers_of_stream_time_by_the_records_alone() {
    let mut task = told(["stream a 100 x"]);

    assert_eq!(values(&task.wait(millis(1_000))), [""; 0]);
    task.feed(IN, [record("k", "y").timestamp(Timestamp::from_millis(100))]);

    assert_eq!(values(&task.fire()), ["x: StreamTime a 100"]);
}

#[test]
fn lets_timers_set_timers() {
    let mut task = told(["after a 10 after a 5 after a 0 end"]);

    assert_eq!(values(&task.wait(millis(10))), [""; 0]);

    assert_eq!(values(&task.wait(millis(5))), ["end: WallClock a 15"]);
}

#[test]
fn drops_what_a_rejected_timer_did_and_nothing_else() {
    let mut task = told(["after a 1 x", "after b 2 reject id", "after c 3 after d 9 y"]);

    let outcome = task.wait(millis(5));

    assert_eq!((outcome.outputs[0].cause, outcome.rejected[0].index), (Some(0), 1));
    assert_eq!(outcome.codes(), ["told-to"]);
    assert_eq!(task.timers().iter().map(|timer| text(&timer.name)).collect::<Vec<_>>(), ["d"]);
    assert!(task.callouts().is_empty());
}

#[test]
#[should_panic(expected = "the timers fired at")]
fn finds_a_plugin_whose_timers_depend_on_its_memory() {
    told(["after a 1 count", "after b 1 count"]).wait(millis(5));
}

#[test]
#[should_panic(expected = "the timers do not end")]
fn stops_timers_that_set_each_other_for_ever() {
    struct Endless;
    gristmill::handlers!(Endless: Timers);
    impl Plugin for Endless {
        type Config = NoConfig;
        fn new(_config: NoConfig) -> Result<Self, String> {
            Ok(Self)
        }
        fn record(&mut self, _: Source, _: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
            ctx.timer_after(b"", Duration::ZERO, b"");
            Ok(())
        }
    }
    impl Timers for Endless {
        fn timer(&mut self, _: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
            ctx.timer_after(b"", Duration::ZERO, b"");
            Ok(())
        }
    }
    let mut task = Task::<Endless>::new(MANIFEST, json!({})).unwrap().splits(test::Splits::Off);

    task.feed(IN, [record("k", "")]);
    task.fire();
}

#[test]
#[should_panic(expected = "does not list `Timers`")]
fn finds_a_plugin_that_sets_timers_and_does_not_take_them() {
    struct Deaf;
    gristmill::handlers!(Deaf);
    impl Plugin for Deaf {
        type Config = NoConfig;
        fn new(_config: NoConfig) -> Result<Self, String> {
            Ok(Self)
        }
        fn record(&mut self, _: Source, _: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
            ctx.timer_after(b"", Duration::ZERO, b"");
            Ok(())
        }
    }

    Task::<Deaf>::new(MANIFEST, json!({})).unwrap().feed(IN, [record("k", "")]);
}

#[test]
fn captures_callouts_and_ignores_ids_that_are_known() {
    let mut task = task();

    let outcome =
        task.feed(IN, ["get 1 a/b c", "get 1 x y", "post 2", "forget"].map(|command| record("k", command)));

    assert_eq!(
        outcome.callouts.iter().map(|callout| callout.cause).collect::<Vec<_>>(),
        [Some(0), Some(1), Some(2)]
    );
    let [get, post] = task.callouts() else { panic!("{:?}", task.callouts()) };
    assert_eq!((get.id.as_str(), get.method.as_str(), get.path.as_str()), ("1", "GET", "/items/a%2Fb"));
    assert_eq!((get.key.as_deref(), get.context.as_slice()), (Some(&b"k"[..]), &b"c"[..]));
    assert_eq!(get.headers, [("accept".to_owned(), "text/plain".to_owned())]);
    assert_eq!((post.method.as_str(), post.body.as_deref()), ("POST", Some(&b"x"[..])));
}

#[test]
fn tells_a_plugin_how_its_callouts_end() {
    let mut task = told(["get 1 a x", "get 2 a x", "get 3 a get 4 b y", "post 5"]);
    let ok = test::Answer::status(200).header("content-type", "text/plain").body("yes").attempts(2);

    let outcome = task.answer_all([
        ("1", ok),
        ("3", test::Answer::status(500)),
        ("2", test::Answer::gave_up("too-late")),
    ]);

    assert_eq!(values(&outcome), ["x: 1 200 2 text/plain yes k", "x: 2 gave up: too-late 1 no type  k"]);
    assert_eq!(outcome.callouts[0].cause, Some(1));
    assert_eq!(
        values(&task.answer("5", test::Answer::in_doubt("lost"))),
        [": 5 in doubt: lost (None) 1 no type  no key"]
    );
    assert_eq!(task.callouts().iter().map(|callout| callout.id.as_str()).collect::<Vec<_>>(), ["4"]);
}

#[test]
fn rejects_an_answer_and_ends_its_callout_all_the_same() {
    let mut task = told(["get 1 a reject 9", "get 2 a after t 1 x"]);

    let outcome = task.answer_all([("1", test::Answer::status(200)), ("2", test::Answer::status(200))]);

    assert_eq!((outcome.rejected[0].index, outcome.codes()), (0, vec!["told-to"]));
    assert!(task.callouts().is_empty());
    assert_eq!(task.timers().len(), 1);
}

#[test]
#[should_panic(expected = "the answers given at")]
fn finds_a_plugin_whose_answers_depend_on_its_memory() {
    let mut task = told(["get 1 a count", "get 2 a count"]);

    task.answer_all([("1", test::Answer::status(200)), ("2", test::Answer::status(200))]);
}

#[test]
#[should_panic(expected = "no callout `7` is under way")]
fn ends_no_callout_that_is_not_under_way() {
    task().answer("7", test::Answer::status(200));
}

#[test]
#[should_panic(expected = "`nowhere`, which is no endpoint")]
fn finds_a_call_to_an_endpoint_that_is_not_declared() {
    told(["elsewhere"]);
}

#[test]
#[should_panic(expected = "with PATCH, which the manifest does not list")]
fn finds_a_call_with_a_method_that_is_not_declared() {
    told(["patch"]);
}

#[test]
#[should_panic(expected = "has a header `HOST`, which is the host's")]
fn finds_a_header_that_is_the_hosts() {
    told(["host"]);
}

#[test]
fn rejects_a_record_whose_path_would_leave_its_place() {
    let outcome = task().feed(IN, [record("k", "get 1 .. c")]);

    assert_eq!(outcome.codes(), ["path-invalid"]);
    assert!(outcome.callouts.is_empty());
}

#[test]
fn keeps_a_record_with_its_headers_and_time() {
    let mut task = task();
    let kept = record("k", "keep")
        .header("a", "1")
        .header("gristmill-after", "x")
        .timestamp(Timestamp::from_millis(7));
    task.feed(IN, [kept]);

    let output = task.feed(IN, [record("k", "kept")]).outputs.remove(0);

    assert_eq!(output.value(), "keep");
    assert_eq!(output.headers, [("a".to_owned(), Some(b"1".to_vec()))]);
    assert_eq!(output.timestamp, Some(Timestamp::from_millis(7)));
}
