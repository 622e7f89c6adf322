//! The text of the interface in `wit/`: it parses, says what it should, and is documented.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use wit_parser::PackageId;
use wit_parser::Resolve;
use wit_parser::TypeDefKind;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../wit/v0.1")
}

fn parse() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(directory()).unwrap();
    (resolve, package)
}

#[test]
fn parses_as_the_package_of_line_0_1() {
    let (resolve, package) = parse();

    let name = &resolve.packages[package].name;

    assert_eq!((name.namespace.as_str(), name.name.as_str()), ("gristmill", "transform"));
    let version = name.version.as_ref().unwrap();
    assert_eq!((version.major, version.minor), (0, 1));
}

#[test]
fn has_one_world_for_each_optional_export() {
    let (resolve, package) = parse();

    for (world, exports) in [
        ("imports", vec![]),
        ("transform", vec!["processor"]),
        ("with-index", vec!["indexer"]),
        ("with-timers", vec!["timer-handler"]),
        ("with-jobs", vec!["job-handler"]),
        ("with-callouts", vec!["callout-handler"]),
    ] {
        let id = resolve.packages[package].worlds[world];
        let names: Vec<String> =
            resolve.worlds[id].exports.keys().map(|key| resolve.name_world_key(key)).collect();
        let wanted: Vec<String> =
            exports.iter().map(|name| format!("gristmill:transform/{name}@0.1.0")).collect();
        assert_eq!(names, wanted, "the exports of {world}");
    }
}

#[test]
fn has_one_file_for_each_interface() {
    let (resolve, package) = parse();
    let interfaces: BTreeSet<String> =
        resolve.packages[package].interfaces.keys().map(|name| format!("{name}.wit")).collect();

    let mut files: BTreeSet<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();

    assert!(files.remove("package.wit"), "package.wit holds the package and its worlds");
    assert_eq!(files, interfaces);
}

#[test]
fn documents_every_world_interface_and_function() {
    let (resolve, package) = parse();
    let package = &resolve.packages[package];
    let mut silent = Vec::new();

    for (name, id) in &package.worlds {
        if resolve.worlds[*id].docs.is_empty() {
            silent.push(name.clone());
        }
    }
    for (name, id) in &package.interfaces {
        let interface = &resolve.interfaces[*id];
        if interface.docs.is_empty() {
            silent.push(name.clone());
        }
        let functions = interface.functions.values().filter(|function| function.docs.is_empty());
        silent.extend(functions.map(|function| format!("{name}.{}", function.name)));
    }

    assert_eq!(silent, Vec::<String>::new());
    assert!(!package.docs.is_empty());
}

#[test]
fn keeps_payloads_out_of_lists_of_lists() {
    // Each list within a record of a list is an allocation a record: see the doc of `types`.
    let (resolve, package) = parse();
    let types = &resolve.interfaces[resolve.packages[package].interfaces["types"]];

    for name in ["input-record", "output-record", "header"] {
        let TypeDefKind::Record(record) = &resolve.types[types.types[name]].kind else {
            panic!("{name} is no record");
        };
        for field in &record.fields {
            let wit_parser::Type::Id(id) = field.ty else { continue };
            assert!(!matches!(resolve.types[id].kind, TypeDefKind::List(_)), "{name}.{}", field.name);
        }
    }
}
