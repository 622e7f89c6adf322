//! Which crates of this workspace are bundled.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

#[test]
fn bundles_the_plugins_and_neither_the_sdk_nor_the_fixtures() {
    let crates = gristmill_build::bundled(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();

    let names: Vec<_> = crates.iter().map(|path| path.file_name().unwrap().to_string_lossy()).collect();
    for plugin in ["activation", "class-fanout", "delivery-time", "product-intake", "rest-lookup"] {
        assert!(names.contains(&plugin.into()), "{names:?}");
    }
    assert!(
        !names.iter().any(|name| ["delivery-class", "sdk", "rust", "hostile"].contains(&name.as_ref())),
        "{names:?}"
    );
}
