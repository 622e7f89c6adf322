//! Embeds the bundled plugins that have been built, so that `builtin:NAME` needs no file.
//!
//! `make plugins` puts them into `target/plugins`. A host without them builds all the same, and says so
//! when one is asked for. What is generated is `bundled.rs` in `OUT_DIR`, with
//! `pub static BUNDLED: &[(&str, &[u8])]`.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

/// What may be embedded: fixtures and strangers' plugins that lie in the same directory are not.
const NAMES: &[&str] = &["activation", "class-fanout", "delivery-time", "product-intake", "rest-lookup"];

fn main() -> Result<(), Box<dyn Error>> {
    let directory = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../target/plugins");
    // Cargo takes a path that is not there as changed, always, and would compile the host anew each time.
    fs::create_dir_all(&directory)?;
    let directory = directory.canonicalize()?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", directory.display());

    let mut entries = String::new();
    for name in NAMES {
        let file = directory.join(format!("{name}.wasm"));
        if file.is_file() {
            entries.push_str(&format!("    ({name:?}, include_bytes!({:?})),\n", file.display().to_string()));
        }
    }
    let code = format!(
        "/// The bundled plugins that this build has, by name: components.\n\
         pub static BUNDLED: &[(&str, &[u8])] = &[\n{entries}];\n"
    );
    let target = Path::new(&env::var("OUT_DIR")?).join("bundled.rs");
    if fs::read_to_string(&target).is_ok_and(|old| old == code) {
        return Ok(());
    }
    fs::write(target, code)?;
    Ok(())
}
