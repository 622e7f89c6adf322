//! What a pipeline file may say before any plugin is looked at, and the whole of the errors that a person sees.

use super::*;
use crate::id::AppId;

const SMALL: &str = r#"
[app]
id = "shop"
[kafka]
brokers = "localhost:9092"
[transforms.t]
plugin = "builtin:t"
"#;

fn read(text: &str) -> Result<Raw, Fault> {
    let lookup = |name: &str| (name == "HOST").then(|| "mill-1".to_owned());
    parse(Path::new("conf/shop.toml"), text, &lookup)
}

/// The whole error for the small file with a line of its own at the end of a section.
fn report(section: &str, line: &str) -> String {
    let text = SMALL.replace(&format!("[{section}]\n"), &format!("[{section}]\n{line}\n"));
    read(&text).unwrap_err().report()
}

#[test]
fn fills_in_the_defaults() {
    let raw = read(SMALL).unwrap();

    assert_eq!(raw.app.id, AppId::new("shop"));
    assert_eq!(raw.app.state_dir, Path::new("conf/gristmill-state"));
    assert_eq!((&raw.app.instance, raw.transforms.len()), (&None, 1));
    let transform = &raw.transforms[0];
    assert_eq!((transform.workers, transform.limits), (1, Limits::default()));
    assert_eq!((transform.commit, transform.batch), (CommitBounds::default(), BatchBounds::default()));
    let state_bounds = StateBounds { call_bytes: 16 << 20, transaction_bytes: 64 << 20 };
    let job_bounds = JobBounds { step_outputs: 500, share: 0.5, outputs_per_second: None };
    assert_eq!((transform.state_bounds, transform.job_bounds), (state_bounds, job_bounds));
}

#[test]
fn reads_every_key() {
    let raw = read(
        r#"
        [app]
        id = "shop"
        state_dir = "/var/lib/mill"
        instance = "${HOST}"
        [kafka]
        brokers = "${HOST}:9092, b:9092"
        client."client.id" = "${HOST}"
        [transforms.t]
        plugin = "t.wasm"
        workers = 2
        guarantee = "exactly-once"
        commit_interval = "50ms"
        commit_records = 10
        commit_bytes = "1MiB"
        commit_state_bytes = "2MiB"
        eager = true
        batch_records = 5
        batch_bytes = "2KiB"
        key_placement = "ignore"
        sources.a = "in-a"
        sources.b = { topic = "in-b", start = "latest" }
        sinks.o = { topic = "out", after = false }
        dead_letter.topic = "letters"
        config.x = 5
        [transforms.t.limits]
        memory = "32MiB"
        call = "1s"
        output_bytes = "1MiB"
        output_records = 7
        state_bytes = "1KiB"
        log_bytes = "0B"
        traps_per_minute = 3
        [transforms.t.jobs]
        step = 50
        share = 0.9
        rate = 1000
        "#,
    )
    .unwrap();

    assert_eq!(raw.app.instance, Some("mill-1".into()));
    assert_eq!(
        (raw.kafka.brokers.as_str(), raw.kafka.client["client.id"].as_str()),
        ("mill-1:9092, b:9092", "mill-1")
    );
    let transform = &raw.transforms[0];
    assert_eq!(transform.plugin, PluginRef::File("conf/t.wasm".into()));
    let expected =
        CommitBounds { interval: Duration::from_millis(50), records: 10, bytes: 1 << 20, eager: true };
    assert_eq!((transform.workers, transform.commit), (2, expected));
    assert_eq!(transform.batch, BatchBounds { records: 5, bytes: 2048 });
    let starts: Vec<_> = transform.sources.iter().map(|s| (s.topic.as_str(), s.start)).collect();
    assert_eq!(starts, [("in-a", None), ("in-b", Some(Start::Latest))]);
    let sink = &transform.sinks[0];
    assert_eq!((sink.topic.as_str(), sink.after), ("out", Some(false)));
    assert_eq!(transform.dead_letters, Some("letters".into()));
    assert_eq!(transform.key_placement, KeyPlacement::Ignore);
    let state_bounds = StateBounds { call_bytes: 1 << 10, transaction_bytes: 2 << 20 };
    let job_bounds = JobBounds { step_outputs: 50, share: 0.9, outputs_per_second: Some(1_000) };
    assert_eq!((transform.state_bounds, transform.job_bounds), (state_bounds, job_bounds));
    let limits = Limits {
        memory_bytes: 32 << 20,
        call: Duration::from_secs(1),
        output_bytes: 1 << 20,
        output_records: 7,
        log_bytes: 0,
        traps_per_minute: 3,
    };
    assert_eq!(transform.limits, limits);
}

#[test]
fn reports_an_unknown_key_with_the_nearest_one_at_every_level() {
    for (section, line, path, hint) in [
        ("app", "state-dir = 'x'", "app.state-dir", "did you mean `state_dir`?"),
        ("kafka", "broker = 'x'", "kafka.broker", "did you mean `brokers`?"),
        ("transforms.t", "worker = 1", "transforms.t.worker", "did you mean `workers`?"),
        ("transforms.t", "limits.memroy = '1MiB'", "transforms.t.limits.memroy", "did you mean `memory`?"),
        (
            "transforms.t",
            "dead_letter.topics = 'x'",
            "transforms.t.dead_letter.topics",
            "did you mean `topic`?",
        ),
        (
            "transforms.t",
            "sources.a = { topc = 'x' }",
            "transforms.t.sources.a.topc",
            "did you mean `topic`?",
        ),
        ("transforms.t", "jobs.steps = 5", "transforms.t.jobs.steps", "did you mean `step`?"),
        (
            "transforms.t",
            "sinks.o = { zzz = 'x' }",
            "transforms.t.sinks.o.zzz",
            "known here: `topic`, `after`",
        ),
    ] {
        let line_number = match section {
            "app" => 3,
            "kafka" => 5,
            _ => 7,
        };
        let expected = format!(
            "error: unknown key `{path}` (conf/shop.toml:{line_number})\nhint: {hint}\ncode: unknown_key"
        );
        assert_eq!(report(section, line), expected);
    }
}

#[test]
fn reports_values_that_make_no_sense() {
    for (section, line, message) in [
        ("app", "instance = 5", "`app.instance` is a whole number, it must be text in quotes"),
        (
            "app",
            "instance = 'a b'",
            "`app.instance` is `a b`, it must be 1 to 64 letters, digits, `.`, `_` and `-`",
        ),
        (
            "app",
            "api = '9180'",
            "`app.api` is `9180`, it must be an address with a port such as \"127.0.0.1:9180\", or \"off\"",
        ),
        ("transforms.t", "workers = 0", "`transforms.t.workers` is 0, it must be from 1 to 64"),
        ("transforms.t", "workers = '2'", "`transforms.t.workers` is text, it must be a whole number"),
        ("transforms.t", "eager = 1", "`transforms.t.eager` is a whole number, it must be true or false"),
        (
            "transforms.t",
            "commit_interval = '1m'",
            "`transforms.t.commit_interval` is `1m`, it must be from 1ms to 5s",
        ),
        (
            "transforms.t",
            "limits.memory = '64MB'",
            "`transforms.t.limits.memory` is `64MB`, it must be text with a unit of `B`, `KiB`, `MiB` or `GiB`, such as \"64MiB\"",
        ),
        (
            "transforms.t",
            "limits.call = 500",
            "`transforms.t.limits.call` is a whole number, it must be text with a unit of `ms`, `s`, `m`, `h` or `d`, such as \"500ms\"",
        ),
        (
            "transforms.t",
            "sources.a = 'no topic'",
            "`transforms.t.sources.a` is `no topic`, a topic's name must be 1 to 249 letters, digits, `.`, `_` and `-`",
        ),
        (
            "transforms.t",
            "sources.a = { topic = 'x', start = 'now' }",
            "`transforms.t.sources.a.start` is `now`, it must be `earliest` or `latest`",
        ),
        ("transforms.t", "sources = 'x'", "`transforms.t.sources` is text, it must be a table"),
        (
            "transforms.t",
            "jobs.share = 0",
            "`transforms.t.jobs.share` is 0, it must be above 0 and at most 0.9",
        ),
        (
            "transforms.t",
            "jobs.share = 0.91",
            "`transforms.t.jobs.share` is 0.91, it must be above 0 and at most 0.9",
        ),
        ("transforms.t", "jobs.share = '1/2'", "`transforms.t.jobs.share` is text, it must be a number"),
        ("transforms.t", "jobs.step = 0", "`transforms.t.jobs.step` is 0, it must be from 1 to 100000"),
        ("transforms.t", "jobs.rate = 0", "`transforms.t.jobs.rate` is 0, it must be from 1 to 10000000"),
        (
            "transforms.t",
            "limits.state_bytes = '1B'",
            "`transforms.t.limits.state_bytes` is `1B`, it must be from 1KiB to 512MiB",
        ),
        (
            "transforms.t",
            "commit_state_bytes = '1GiB'",
            "`transforms.t.commit_state_bytes` is `1GiB`, it must be from 1KiB to 512MiB",
        ),
        (
            "transforms.t",
            "sinks.o = { topic = 'x', after = 1 }",
            "`transforms.t.sinks.o.after` is a whole number, it must be true or false",
        ),
        (
            "transforms.t",
            "guarantee = 'at-most-once'",
            "`transforms.t.guarantee` is `at-most-once`, it must be `exactly-once`",
        ),
    ] {
        let report = report(section, line);
        assert!(report.starts_with(&format!("error: {message} (conf/shop.toml:")), "{report}");
        assert!(report.ends_with("\ncode: invalid_value"), "{report}");
    }
}

#[test]
fn keeps_the_admin_api_on_this_machine() {
    let api = |line: &str| read(&SMALL.replace("[app]\n", &format!("[app]\n{line}\n"))).unwrap().app.api;
    assert_eq!(api(""), Some("127.0.0.1:9180".parse().unwrap()));
    assert_eq!(api("api = 'localhost:1'"), Some("127.0.0.1:1".parse().unwrap()));
    assert_eq!(api("api = '[::1]:0'"), Some("[::1]:0".parse().unwrap()));
    assert_eq!(api("api = 'off'"), None);

    for address in ["0.0.0.0:9180", "[::]:9180", "10.0.0.7:9180", "[::ffff:127.0.0.1]:9180"] {
        let report = report("app", &format!("api = '{address}'"));
        let message =
            format!("`app.api` is `{address}`, which other machines could reach (conf/shop.toml:3)");
        assert!(report.starts_with(&format!("error: {message}\n")), "{report}");
        assert!(report.ends_with("\ncode: api_not_loopback"), "{report}");
    }
}

#[test]
fn refuses_another_word_for_what_becomes_of_misplaced_keys() {
    assert!(report("transforms.t", "key_placement = 'off'").starts_with(
        "error: `transforms.t.key_placement` is `off`, it must be `check` or `ignore` (conf/shop.toml:7)\n"
    ));
}

#[test]
fn refuses_at_least_once_with_a_way_out() {
    assert_eq!(
        report("transforms.t", "guarantee = 'at-least-once'"),
        "error: `transforms.t.guarantee` is `at-least-once`, which this version cannot do yet (conf/shop.toml:7)\n\
         hint: leave it out, or write \"exactly-once\"\ncode: invalid_value"
    );
}

#[test]
fn reports_a_missing_key() {
    for (line, path) in [
        ("id = \"shop\"\n", "app.id"),
        ("brokers = \"localhost:9092\"\n", "kafka.brokers"),
        ("plugin = \"builtin:t\"\n", "transforms.t.plugin"),
    ] {
        let report = read(&SMALL.replace(line, "")).unwrap_err().report();
        assert!(report.starts_with(&format!("error: missing key `{path}` (conf/shop.toml:")), "{report}");
        assert!(report.ends_with("code: missing_key"), "{report}");
    }
    let report = read("[app]\nid = 'x'\n").unwrap_err().report();
    assert!(report.starts_with("error: missing key `kafka` (conf/shop.toml)"), "{report}");
    let report = read("[app]\nid = 'x'\n[kafka]\nbrokers = 'b'\n[transforms]").unwrap_err().report();
    assert!(report.starts_with("error: `transforms` has no transform in it (conf/shop.toml:5)"), "{report}");
}

#[test]
fn reports_a_client_option_that_the_host_owns() {
    assert_eq!(
        report("kafka", "client.\"isolation.level\" = 'read_uncommitted'"),
        "error: `kafka.client.\"isolation.level\"` is set by the host itself (conf/shop.toml:5)\n  caused by: \
         records of open and aborted transactions must stay invisible\n\
         hint: remove it from `[kafka.client]`\ncode: client_key_owned"
    );
}

#[test]
fn reports_a_variable_that_is_not_set() {
    assert_eq!(
        report("app", "instance = '${HOSTNAM}'"),
        "error: `app.instance` uses the environment variable `HOSTNAM`, which is not set (conf/shop.toml:3)\n\
         hint: set the variable, or write the value into the file\ncode: variable_unset"
    );
}

#[test]
fn reports_a_file_that_is_not_toml() {
    let report = read("[app\n").unwrap_err().report();

    assert!(report.starts_with("error: conf/shop.toml:1 is not valid TOML\n  caused by: "), "{report}");
    assert!(report.ends_with("code: config_syntax"), "{report}");
}

#[test]
fn reports_a_file_that_is_not_there() {
    let fault = super::read(Path::new("/nonexistent/shop.toml"), &env::process).unwrap_err();

    assert_eq!(fault.code(), Code::FileUnreadable);
    assert!(fault.message().contains("`/nonexistent/shop.toml`"));
}

#[test]
fn keeps_secrets_out_of_debug_output() {
    let raw =
        read(&SMALL.replace("[transforms.t]", "client.'sasl.password' = 's3cret'\n[transforms.t]")).unwrap();

    let text = format!("{raw:?}");

    assert!(text.contains("sasl.password") && !text.contains("s3cret"), "{text}");
}
