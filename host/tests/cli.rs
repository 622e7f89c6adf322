//! Golden tests of the whole output of commands that need neither a broker nor a plugin. `BLESS=1` makes them anew.
//!
//! What needs one or the other is in `tests/tests/offline`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy allows these in tests, but does not see that the helpers of a test are a part of it"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A pipeline file without a fault, but with a plugin that is not there.
const SHOP: &str = r#"[app]
id = "shop"

[kafka]
brokers = "localhost:9092"

[transforms.delivery-time]
plugin = "delivery-time.wasm"
sources.items = "items"
sources.classes = "delivery-classes"
sinks.enriched = "items-enriched"
"#;

/// A directory in which a command runs, with files of its own, so that its output names no path of this machine.
struct Directory(TempDir);

impl Directory {
    fn with(files: &[(&str, &[u8])]) -> Self {
        let directory = TempDir::new().unwrap();
        for (name, content) in files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        Self(directory)
    }

    /// Runs a command line and gives it, its exit code and all that it wrote, as one text.
    fn run(&self, line: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill"));
        command.args(line.split_whitespace()).current_dir(self.0.path());
        command.env_remove("GRISTMILL_LOG").env_remove("UNSET_IN_TESTS");
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (out, errors) = (text(&output.stdout), text(&output.stderr));
        format!("$ gristmill {line}\n{out}{errors}exit code {}\n", output.status.code().unwrap())
    }
}

fn golden_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"))
}

/// Compares with a golden file, or writes it.
fn golden(name: &str, actual: &str) {
    let path = golden_file(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        actual == expected,
        "{} differs; if the new output is right, run the test with BLESS=1\n--- expected\n{expected}\n--- actual\n{actual}",
        path.display()
    );
}

/// The output of `gristmill check` for a changed pipeline file, beside a plugin file.
fn check(name: &str, change: (&str, &str), plugin: Option<&[u8]>) {
    let text = SHOP.replace(change.0, change.1);
    assert!(text != SHOP || change.0.is_empty(), "nothing was changed");
    let mut files: Vec<(&str, &[u8])> = vec![("shop.toml", text.as_bytes())];
    files.extend(plugin.map(|bytes| ("delivery-time.wasm", bytes)));

    golden(name, &Directory::with(&files).run("check shop.toml --offline"));
}

/// A help text that an operator can take in at once.
#[test]
fn every_help_fits_a_screen_says_what_it_talks_to_and_has_an_example() {
    let directory = Directory::with(&[]);
    let commands = [
        "demo",
        "init",
        "check",
        "topics",
        "run",
        "status",
        "ingest sql",
        "ingest dynamodb",
        "ingest list",
        "ingest now",
        "jobs list",
        "jobs cancel",
        "jobs retry",
        "callouts list",
        "callouts show",
        "callouts retry",
        "callouts done",
        "reemit",
        "state get",
        "state scan",
        "broker",
        "produce",
        "tail",
        "plugin inspect",
        "explain",
    ];

    let helps = commands.map(|command| directory.run(&format!("{command} --help")));

    golden("help", &format!("{}\n{}", directory.run("--help"), helps.join("\n")));
    for help in helps {
        assert!(help.lines().count() <= 30, "does not fit a screen:\n{help}");
        assert!(help.contains("Talks to:") && help.contains("Example:"), "lacks a part:\n{help}");
    }
}

#[test]
fn says_that_no_host_answers() {
    let directory = Directory::with(&[("shop.toml", SHOP.as_bytes())]);
    // Port 1 of this machine: nobody listens there.
    let lines = ["status shop.toml", "status --api 127.0.0.1:1", "jobs list shop.toml --api 127.0.0.1:1"];

    golden("no-host", &lines.map(|line| directory.run(line)).join("\n"));
}

#[test]
fn explains_a_code() {
    let directory = Directory::with(&[]);
    let lines = [
        "explain not_co_partitioned",
        "explain no_such_code",
        "explain topic_misssing",
        "explain trap --json",
    ];

    golden("explain", &lines.map(|line| directory.run(line)).join("\n"));
}

#[test]
fn lists_all_codes() {
    let output = Directory::with(&[]).run("explain --json");

    let (_, json) = output.split_once('\n').unwrap();
    let codes: serde_json::Value = serde_json::from_str(json.trim_end_matches("exit code 0\n")).unwrap();
    assert_eq!(codes.as_array().unwrap().len(), gristmill_host::fault::Code::ALL.len());
}

#[test]
fn names_the_nearest_command() {
    let directory = Directory::with(&[]);

    golden(
        "usage",
        &["chek", "check", "check a.toml --ofline", "explain --log a=b=c"]
            .map(|l| directory.run(l))
            .join("\n"),
    );
}

#[test]
fn reports_a_pipeline_file_that_is_not_there() {
    golden("file-missing", &Directory::with(&[]).run("check shop.toml --offline"));
}

#[test]
fn reports_a_pipeline_file_that_is_not_toml() {
    check("not-toml", ("id = \"shop\"", "id = shop"), None);
}

#[test]
fn reports_an_unknown_key() {
    check("unknown-key", ("sources.items", "source.items"), None);
}

#[test]
fn reports_a_missing_key() {
    check("missing-key", ("plugin = \"delivery-time.wasm\"\n", ""), None);
}

#[test]
fn reports_a_value_of_the_wrong_type() {
    check("wrong-type", ("plugin =", "commit_interval = 100\nplugin ="), None);
}

#[test]
fn reports_a_client_option_that_the_host_owns() {
    check("client-key-owned", ("[transforms", "client.\"transactional.id\" = \"x\"\n\n[transforms"), None);
}

#[test]
fn reports_a_variable_that_is_not_set() {
    check("variable-unset", ("localhost:9092", "${UNSET_IN_TESTS}:9092"), None);
}

#[test]
fn reports_a_plugin_file_that_is_not_there() {
    check("plugin-missing", ("", ""), None);
}

#[test]
fn reports_a_plugin_file_that_is_empty() {
    check("plugin-empty", ("", ""), Some(b""));
}

#[test]
fn reports_a_plugin_file_that_is_not_wasm() {
    check("plugin-not-wasm", ("", ""), Some(b"#!/bin/sh\n"));
}

#[test]
fn reports_a_core_module_instead_of_a_component() {
    check("plugin-core-module", ("", ""), Some(b"\0asm\x01\0\0\0"));
}

#[test]
fn reports_a_damaged_component() {
    check("plugin-damaged", ("", ""), Some(b"\0asm\x0d\0\x01\0damaged"));
}

#[test]
fn reports_a_plugin_in_a_registry() {
    check("plugin-oci", ("delivery-time.wasm", "oci://registry.example/delivery-time@sha256:00"), None);
}

/// Not golden: the message depends on what the binary was built with.
#[test]
fn reports_a_plugin_that_is_not_bundled() {
    let text = SHOP.replace("delivery-time.wasm", "builtin:no-such-plugin");

    let output = Directory::with(&[("shop.toml", text.as_bytes())]).run("check shop.toml --offline");

    assert!(output.contains("code: plugin_not_bundled\nexit code 2"), "{output}");
}

#[test]
fn reports_a_port_that_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();

    let output = Directory::with(&[]).run(&format!("broker --port {port}"));

    golden("broker-port-taken", &output.replace(&port, "PORT"));
}
