//! Proves that every error code is produced by some test.
//!
//! A code counts as produced when a test expects it: by name (`Code::X` in the code of a test, unless it only builds a
//! fault with it), as the last line of a printed error (`code: x` in a test or a golden file), or as a literal in a
//! suite that reads the header `gristmill-error-code` of dead letters. A test that expects a
//! code and passes has seen it, and all tests of the repository run in `make test`; so reading them is enough, needs
//! no order among them, and works when only this test is run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::{self, File};

/// The variants and texts of the table in `fault.rs`.
fn table(text: &str) -> Vec<(String, String)> {
    let row = |line: &str| {
        let (variant, rest) = line.trim().split_once(" = \"")?;
        let (code, rest) = rest.split_once("\", ")?;
        let is_row = variant.chars().all(char::is_alphanumeric) && rest.ends_with(':');
        is_row.then(|| (variant.to_owned(), code.to_owned()))
    };
    text.lines().filter_map(row).collect()
}

/// The variants and texts that a source file expects in its tests.
fn expected(file: &File, text: &str) -> BTreeSet<String> {
    let is_test_file = !file.path.starts_with("host/src/");
    let variants = file.paths_after("Code", &["Fault", ":", ":", "new", "("]);
    let variants = variants.into_iter().filter(|word| word.in_tests || is_test_file).map(|word| word.text);
    variants
        .chain(printed(text))
        .chain(is_test_file.then(|| dead_lettered(text)).into_iter().flatten())
        .collect()
}

/// The codes that a test of dead letters expects in their header, as literals.
fn dead_lettered(text: &str) -> Vec<String> {
    if !text.contains("gristmill-error-code") {
        return Vec::new();
    }
    text.split('"').map(str::to_owned).collect()
}

/// The codes in printed errors.
fn printed(text: &str) -> impl Iterator<Item = String> {
    let code = |rest: &str| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
    text.split("code: ").skip(1).map(code)
}

/// The test suites of the repository, beside the unit tests of the host.
fn test_files(top: &Path) -> Vec<File> {
    let paths =
        source::rust_files(&top.join("host/tests")).into_iter().chain(source::rust_files(&top.join("tests")));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        File::new(path.strip_prefix(top).unwrap().to_str().unwrap(), &text)
    };
    paths.map(read).collect()
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() && !entry.ends_with("target") {
            found.extend(files(&entry, extension));
        } else if entry.extension().is_some_and(|other| other == extension) {
            found.push(entry);
        }
    }
    found
}

#[test]
fn every_code_is_produced_by_some_test() {
    let top = source::host().parent().unwrap().to_owned();
    let mut produced = BTreeSet::new();
    for file in source::host_files().into_iter().chain(test_files(&top)) {
        // The table itself, and this guard's own examples.
        if file.path != "host/src/fault.rs" && file.path != "host/tests/floors/codes.rs" {
            produced.extend(expected(&file, &fs::read_to_string(top.join(&file.path)).unwrap()));
        }
    }
    for path in files(&top.join("host/tests"), "txt") {
        produced.extend(printed(&fs::read_to_string(path).unwrap()));
    }
    let is_produced =
        |(variant, code): &(String, String)| produced.contains(variant) || produced.contains(code);

    let table = table(&fs::read_to_string(source::host().join("src/fault.rs")).unwrap());
    let open: Vec<_> = table.iter().filter(|row| !is_produced(row)).map(|(_, code)| code).collect();

    assert!(table.len() > 30, "the table of codes was not understood");
    assert!(open.is_empty(), "no test produces {open:?}");
}

/// The guard itself.
mod guard {
    use super::*;

    #[test]
    fn reads_the_table() {
        let text = "    FileUnreadable = \"file_unreadable\", Host, Never:\n        \"A file\",\n    let x = \"y\", z;";

        assert_eq!(table(text), [("FileUnreadable".to_owned(), "file_unreadable".to_owned())]);
    }

    #[test]
    fn counts_a_code_that_a_test_expects() {
        let found =
            |path: &str, text: &str| expected(&File::new(path, text), text).into_iter().collect::<Vec<_>>();

        assert_eq!(found("host/src/x.rs", "#[cfg(test)] mod tests { fn f() { eq(Code::Trap) } }"), ["Trap"]);
        assert_eq!(found("tests/tests/x.rs", "eq(Code::Trap)"), ["Trap"]);
        let suite = "letter.header(\"gristmill-error-code\") == \"trap\"";
        assert!(found("tests/tests/x.rs", suite).contains(&"trap".to_owned()));
        assert_eq!(found("host/src/x.rs", "eq(\"hint: x\\ncode: unknown_key\")"), ["unknown_key"]);
    }

    #[test]
    fn does_not_count_a_code_that_is_only_used() {
        for (path, text) in [
            ("host/src/x.rs", "fn f() { Fault::new(Code::Trap, m) }"),
            ("host/src/x.rs", "fn f() { Err(Code::Trap) }"),
            ("tests/tests/x.rs", "let fault = Fault::new(Code::Trap, m);"),
        ] {
            assert!(expected(&File::new(path, text), text).is_empty(), "{text}");
        }
    }
}
