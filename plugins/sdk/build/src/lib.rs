//! Compiles a Rust plugin crate to a WebAssembly component.
//!
//! [`build`] runs cargo for `wasm32-unknown-unknown` and turns the module that comes out into a
//! component. The library of that target may be missing; [`Route`] says how it was come by.
//!
//! It may be called from within cargo (a test, a build script): it has a target directory of its own,
//! so that it does not wait for the lock of the cargo that it runs under, and it hides that cargo's
//! environment from the one that it starts.

mod cargo;
mod component;
mod route;

use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;

pub use crate::route::Route;

/// The target that plugins are compiled for: it has no system interface, so a plugin can import
/// nothing but what the interface of Gristmill offers.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Where things go. The default is right for a crate in a workspace of its own or in this one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where cargo works; by default `target/wasm` below the workspace of the crate.
    pub target_dir: Option<PathBuf>,
    /// Where the component goes; by default `target/plugins` below the workspace of the crate, or
    /// `target/fixtures` for crates below the workspace's `tests`: what is shipped lies apart.
    pub out_dir: Option<PathBuf>,
    /// Takes this route and no other.
    pub route: Option<Route>,
    /// Cargo features of the plugin crate.
    pub features: Vec<String>,
    /// Whether cargo and this library say on standard error what they do.
    pub verbosity: Verbosity,
}

/// How much is said on standard error.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Verbosity {
    /// Errors and warnings of the compiler only.
    #[default]
    Quiet,
    /// The route, and cargo's progress.
    Progress,
}

/// A component that was built, or found to be up to date.
#[derive(Clone, Debug)]
pub struct Component {
    /// The `.wasm` file: `<out_dir>/<package>.wasm`.
    pub path: PathBuf,
    /// How the target's library was come by.
    pub route: Route,
    /// Bytes of the file.
    pub size: u64,
    /// Whether the file was written now; false when its module had not changed.
    pub fresh: bool,
}

/// Builds the plugin crate in `crate_dir`.
///
/// Quick when nothing changed: cargo decides what to compile, and a module that is the same is not made
/// into a component again. Builds into the same directories wait for each other.
///
/// # Errors
/// When no route to the target works (the message says what to install), when the crate does not
/// compile, when it is not a `cdylib`, or when its module does not fit the interface.
pub fn build(crate_dir: impl AsRef<Path>, options: &Options) -> anyhow::Result<Component> {
    let crate_dir = crate_dir.as_ref();
    let manifest = crate_dir.join("Cargo.toml");
    let manifest = manifest
        .canonicalize()
        .with_context(|| format!("`{}` is no Rust crate: it has no Cargo.toml", crate_dir.display()))?;
    let workspace = cargo::workspace(&manifest)?;
    let target_dir = options.target_dir.clone().unwrap_or_else(|| workspace.join("target/wasm"));
    let fixture = manifest.starts_with(workspace.join("tests"));
    let out_dir = if fixture { "target/fixtures" } else { "target/plugins" };
    let out_dir = options.out_dir.clone().unwrap_or_else(|| workspace.join(out_dir));

    let (route, toolchain) = route::choose(options.route, &target_dir)?;
    if options.verbosity == Verbosity::Progress {
        eprintln!("gristmill-build: {} for {}", route, crate_dir.display());
    }
    let module = cargo::compile(&manifest, &target_dir, &toolchain, options)?;
    route::remember(route, &target_dir)?;
    component::write(&module, &out_dir, route)
}

/// The plugin crates that the workspace at or above this directory bundles: those in its folder `plugins`.
///
/// # Errors
/// There is no workspace, or it has no such folder.
pub fn bundled(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let folder = cargo::workspace_above(directory)?.join("plugins");
    let entries = std::fs::read_dir(&folder)
        .with_context(|| format!("`{}` holds no plugins to bundle", folder.display()))?;
    let mut crates: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("plugin.toml").exists() && path.join("Cargo.toml").exists())
        .collect();
    crates.sort();
    Ok(crates)
}
