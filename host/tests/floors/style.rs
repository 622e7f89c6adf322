//! Holds what can be counted of the style: how files begin, how they are named, how long they are.

use std::fs;
use std::path::{Path, PathBuf};

use crate::source;

/// A longer file says in its module doc why, with these words.
const LINES_MAX: usize = 600;
const EXCUSE: &str = "longer than 600 lines because";

fn repository_files() -> Vec<(PathBuf, String)> {
    let top = source::host().parent().unwrap().to_owned();
    let mut files = Vec::new();
    for directory in ["host", "plugins", "tests"] {
        files.extend(source::rust_files(&top.join(directory)));
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(&top).unwrap().to_owned(), text)
    };
    files.into_iter().map(read).collect()
}

/// What is wrong with a file.
fn faults(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.lines().next().is_some_and(|line| line.starts_with("//! ")) {
        faults.push(format!("{}:1: does not begin with `//!` and what the file is for", path.display()));
    }
    if path.ends_with("mod.rs") {
        faults.push(format!("{}:1: a module's file is `x.rs` beside `x/`", path.display()));
    }
    let lines = text.lines().count();
    let is_excused =
        text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains(EXCUSE));
    if lines > LINES_MAX && !is_excused {
        let reason = format!("has {lines} lines; split it, or say in its module doc that it is {EXCUSE} ...");
        faults.push(format!("{}:1: {reason}", path.display()));
    }
    faults
}

#[test]
fn files_say_what_they_are_for_and_are_short() {
    let faults: Vec<_> = repository_files().iter().flat_map(|(path, text)| faults(path, text)).collect();

    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_style_guard_finds_what_it_is_for() {
    let long = format!("//! Long.\n{}", "x\n".repeat(LINES_MAX));
    let excused = long.replace("Long.", &format!("A table, {EXCUSE} its rows are alike."));

    assert!(faults(Path::new("a.rs"), "//! Good.\n").is_empty());
    assert!(faults(Path::new("a.rs"), "use x;\n")[0].contains("does not begin"));
    assert!(faults(Path::new("a/mod.rs"), "//! Bad.\n")[0].contains("beside"));
    assert!(faults(Path::new("a.rs"), &long)[0].contains("601 lines"));
    assert!(faults(Path::new("a.rs"), &excused).is_empty());
}
