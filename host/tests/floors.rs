//! Holds the floors of the host: reads `host/src` and fails, with file and line, on an import that goes up.
//!
//! The floors are read from the drawing in `host/src/lib.rs`, so that the drawing cannot be wrong. Code of unit tests
//! may import what it likes, but the libraries that belong to one module stay there even in tests.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy allows these in tests, but does not see that the helpers of a test are a part of it"
)]

#[path = "floors/codes.rs"]
mod codes;
#[path = "floors/source.rs"]
mod source;
#[path = "floors/style.rs"]
mod style;

use std::collections::{BTreeMap, BTreeSet};

use source::{File, Import};

/// One line of the drawing.
struct Floor {
    modules: Vec<String>,
    /// With a bar in it: its modules are adapters and never import each other.
    is_apart: bool,
}

/// A name that only some files may use.
struct Reserved {
    /// Words, or two words of a path.
    names: &'static [&'static str],
    /// The modules that may use it.
    owners: &'static [&'static str],
    /// Whether unit tests of other modules may use it too.
    in_tests: bool,
    /// Why, for whoever runs into it.
    reason: &'static str,
}

const RESERVED: &[Reserved] = &[
    Reserved {
        names: &["rdkafka", "rdkafka_sys"],
        owners: &["kafka"],
        in_tests: false,
        reason: "only `kafka` knows the client library",
    },
    Reserved {
        names: &["wasmtime", "wasmtime_environ"],
        owners: &["plugin"],
        in_tests: false,
        reason: "only `plugin` knows the WebAssembly engine",
    },
    Reserved {
        names: &["fjall"],
        owners: &["store"],
        in_tests: false,
        reason: "only `store` knows the storage engine",
    },
    Reserved {
        names: &["hyper", "hyper_util", "http_body_util", "rustls", "tokio_rustls", "tokio"],
        owners: &["callout", "ingest"],
        in_tests: false,
        reason: "only `callout` and `ingest` talk to the outside world and wait for more than one thing at a time",
    },
    Reserved {
        names: &["sqlx", "aws_config", "aws_sdk_dynamodb", "aws_smithy_http_client"],
        owners: &["ingest"],
        in_tests: false,
        reason: "only `ingest` knows databases of the outside world",
    },
    Reserved {
        names: &["SystemTime::now", "Instant::now"],
        owners: &["clock"],
        in_tests: true,
        reason: "take the time from a `Clock`, so that tests can move it",
    },
    Reserved {
        names: &["tracing"],
        owners: &["event"],
        in_tests: true,
        reason: "what happens is an event: it makes the log line and the metric, so that both have the same labels",
    },
    Reserved {
        names: &["println", "print", "eprintln", "eprint"],
        owners: &["cli", "main"],
        in_tests: true,
        reason: "only commands print; the rest of the host returns values and emits events",
    },
];

/// What the heart must not touch, beside the floors: it is driven by events and has no outside world.
const HEART: &str = "task";
const OUTSIDE_THE_HEART: &[&str] = &["thread", "fs", "net", "Clock"];

/// The drawing in `lib.rs`, topmost floor first.
fn floors(lib: &str) -> Vec<Floor> {
    let drawing = lib.lines().skip_while(|line| !line.starts_with("//! ```text")).skip(1);
    let lines = drawing.take_while(|line| !line.starts_with("//! ```"));
    let floor = |line: &str| {
        let names = line.trim_start_matches("//! ").split("   ").next().unwrap_or_default();
        let modules = names.split([' ', '|']).filter(|name| !name.is_empty()).map(str::to_owned);
        Floor { modules: modules.collect(), is_apart: names.contains('|') }
    };
    lines.map(floor).collect()
}

/// What is wrong with the imports of the files, a line each. Floors are topmost first.
fn violations(files: &[File], floors: &[Floor]) -> Vec<String> {
    let level =
        |module: &str| floors.iter().position(|floor| floor.modules.iter().any(|name| name == module));
    let mut wrong = Vec::new();
    for file in files {
        let Some(own) = level(file.module()) else {
            wrong.push(format!("{}:1: module `{}` has no floor in lib.rs", file.path, file.module()));
            continue;
        };
        for import in
            file.imports().iter().filter(|import| !import.in_tests && import.module != file.module())
        {
            let place = format!("{}:{}", file.path, import.line);
            let (from, to) = (file.module(), &import.module);
            match level(to) {
                None => wrong.push(format!("{place}: `{to}` is no module with a floor in lib.rs")),
                Some(other) if other < own => {
                    wrong.push(format!("{place}: `{from}` imports `{to}`, which is a higher floor"));
                }
                Some(other) if other == own && floors[own].is_apart => {
                    wrong.push(format!(
                        "{place}: `{from}` imports `{to}`, but adapters never import each other"
                    ));
                }
                Some(_) => {}
            }
        }
    }
    wrong.extend(cycles(files, |from, to| level(from) == level(to)));
    wrong
}

/// The imports that close a circle between modules of a floor. Any other circle has an import of a higher floor in it.
fn cycles(files: &[File], are_level: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut edges: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for file in files {
        for Import { module, line, in_tests } in file.imports() {
            if !in_tests && module != file.module() && are_level(file.module(), &module) {
                let place = format!("{}:{line}", file.path);
                edges.entry(file.module()).or_default().entry(module).or_insert(place);
            }
        }
    }
    let reaches = |from: &str, to: &str| {
        let mut seen = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(module) = open.pop() {
            if module == to {
                return true;
            }
            if seen.insert(module.clone()) {
                open.extend(edges.get(module.as_str()).into_iter().flat_map(|next| next.keys().cloned()));
            }
        }
        false
    };
    let mut wrong = Vec::new();
    for (from, next) in &edges {
        for (to, place) in next.iter().filter(|(to, _)| reaches(to, from)) {
            wrong.push(format!("{place}: `{from}` imports `{to}`, which imports `{from}` in turn"));
        }
    }
    wrong
}

/// The uses of names that belong to other modules.
fn trespasses(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        for word in file.words() {
            let place = format!("{}:{}", file.path, word.line);
            let is_meant = |name: &&str| *name == word.text || *name == word.path;
            let reserved = RESERVED.iter().find(|reserved| reserved.names.iter().any(is_meant));
            if let Some(reserved) = reserved
                && !reserved.owners.contains(&file.module())
                && !(word.in_tests && reserved.in_tests)
            {
                wrong.push(format!("{place}: `{}` does not belong here: {}", word.text, reserved.reason));
            }
            let is_heart = file.module() == HEART && !word.in_tests;
            if is_heart && OUTSIDE_THE_HEART.contains(&word.text.as_str()) {
                wrong.push(format!(
                    "{place}: `{}` does not belong here: the heart has no outside world",
                    word.text
                ));
            }
        }
    }
    wrong
}

fn drawing() -> Vec<Floor> {
    floors(&std::fs::read_to_string(source::host().join("src/lib.rs")).unwrap())
}

#[test]
fn imports_lower_floors_only() {
    let wrong = violations(&source::host_files(), &drawing());

    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn leaves_libraries_and_the_clock_to_their_modules() {
    let wrong = trespasses(&source::host_files());

    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn gives_every_module_a_floor() {
    let known: Vec<_> = drawing().into_iter().flat_map(|floor| floor.modules).collect();
    let missing: Vec<_> = source::host_files()
        .into_iter()
        .filter(|file| !known.iter().any(|name| name == file.module()))
        .collect();

    assert!(missing.is_empty(), "not in the drawing of lib.rs: {missing:?}");
}

/// The guard itself, on files that are wrong in each way.
mod guard {
    use super::*;

    const DRAWING: &str = "//! ```text\n//! cli main      top\n//! task | kafka  plugin   middle\n\
                           //! io  config    low\n//! clock    ground\n//! ```\n";

    fn file(path: &str, text: &str) -> File {
        File::new(&format!("host/src/{path}"), text)
    }

    fn found(files: &[File]) -> String {
        let mut wrong = violations(files, &floors(DRAWING));
        wrong.extend(trespasses(files));
        wrong.join("\n")
    }

    #[test]
    fn accepts_what_is_allowed() {
        let files = [
            file("kafka/sink.rs", "use rdkafka::X;\nuse crate::{io::{A, B}, config};\nuse super::topics;\n"),
            file("cli.rs", "use crate::kafka;\n// use crate::main\nconst A: &str = \"crate::main\";\n"),
            file(
                "io.rs",
                "#[cfg(test)]\nmod tests {\n use super::*;\n use crate::kafka::X;\n}\nuse crate::clock;",
            ),
            file("main.rs", "use gristmill_host::cli;\n"),
        ];

        assert_eq!(found(&files), "");
    }

    #[test]
    fn finds_an_import_of_a_higher_floor_in_every_form() {
        for text in [
            "\nuse crate::kafka::Sink;",
            "\nuse crate::{clock, kafka::{Sink}};",
            "\nfn f() { crate::kafka::sink() }",
            "\nuse super::kafka::Sink;",
            "\nmod inner { use super::super::kafka::Sink; }",
            "\npub use crate::kafka as k;",
        ] {
            let found = found(&[file("config.rs", text)]);
            assert_eq!(
                found, "host/src/config.rs:2: `config` imports `kafka`, which is a higher floor",
                "{text}"
            );
        }
        let deep = found(&[file("config/raw.rs", "\nuse super::super::cli;")]);
        assert_eq!(deep, "host/src/config/raw.rs:2: `config` imports `cli`, which is a higher floor");
    }

    #[test]
    fn finds_adapters_that_import_each_other() {
        let found = found(&[file("kafka.rs", "use crate::plugin::X;")]);

        assert_eq!(
            found,
            "host/src/kafka.rs:1: `kafka` imports `plugin`, but adapters never import each other"
        );
    }

    #[test]
    fn finds_a_cycle_between_modules_of_a_floor() {
        let files = [file("io.rs", "use crate::config::X;"), file("config/a.rs", "\n\nuse crate::io::Y;")];

        assert_eq!(
            found(&files),
            "host/src/config/a.rs:3: `config` imports `io`, which imports `config` in turn\n\
             host/src/io.rs:1: `io` imports `config`, which imports `io` in turn"
        );
    }

    #[test]
    fn finds_a_module_without_a_floor() {
        assert!(found(&[file("new.rs", "")]).contains("module `new` has no floor in lib.rs"));
        assert!(found(&[file("io.rs", "use crate::new;")]).contains("host/src/io.rs:1: `new` is no module"));
    }

    #[test]
    fn takes_files_that_are_declared_for_tests_as_tests() {
        let text = "\nuse crate::cli::X;";
        let files = |declaration: &str| {
            let files =
                [file("io.rs", declaration), file("io/world.rs", text), file("io/world/deep.rs", text)];
            source::with_test_modules_marked(files.into())
        };

        assert_eq!(found(&files("#[cfg(test)]\nmod world;")), "");
        assert_eq!(found(&files("mod world;")).lines().count(), 2);
    }

    #[test]
    fn finds_names_that_belong_to_other_modules() {
        for (path, text, name) in [
            ("io.rs", "use rdkafka::X;", "rdkafka"),
            ("task/state.rs", "use fjall::Database;", "fjall"),
            ("cli/run.rs", "fn f() { wasmtime::Engine::new() }", "wasmtime"),
            ("kafka.rs", "let now = Instant::now();", "Instant"),
            ("plugin/a.rs", "std::time::SystemTime::now()", "SystemTime"),
            ("config.rs", "println!(\"x\")", "println"),
            ("task.rs", "use std::thread;", "thread"),
            ("task/buffer.rs", "use crate::clock::Clock;", "Clock"),
        ] {
            let found = found(&[file(path, text)]);
            let expected = format!("host/src/{path}:1: `{name}` does not belong here");
            assert!(found.starts_with(&expected), "{text}: {found}");
        }
        let test = "#[cfg(test)]\nmod tests { use rdkafka::X; fn f() { Instant::now(); } }";
        let found = found(&[file("io.rs", test)]);
        assert!(found.contains("`rdkafka`") && !found.contains("`Instant`"), "{found}");
    }
}
