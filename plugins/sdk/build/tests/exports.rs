//! What a component of the SDK exports: what its plugin lists, and nothing else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::path::Path;

use gristmill_build::Options;
use wit_component::DecodedWasm;
use wit_parser::WorldItem;

#[test]
fn exports_the_handlers_that_a_plugin_lists_and_no_others() {
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../delivery-time");
    let component = gristmill_build::build(plugin, &Options::default()).unwrap();

    let bytes = std::fs::read(component.path).unwrap();
    let DecodedWasm::Component(resolve, world) = wit_component::decode(&bytes).unwrap() else {
        panic!("it is a package")
    };
    let mut exports: Vec<_> = resolve.worlds[world]
        .exports
        .values()
        .map(|item| match item {
            WorldItem::Interface { id, .. } => resolve.interfaces[*id].name.clone().unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    exports.sort();

    assert_eq!(exports, ["indexer", "job-handler", "processor"]);
}
