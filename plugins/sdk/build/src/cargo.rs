//! Runs cargo as if it had been started from a shell.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use anyhow::Context as _;
use anyhow::bail;
use serde_json::Value;

use crate::Options;
use crate::TARGET;
use crate::Verbosity;
use crate::route::Toolchain;

/// The core module that cargo made.
pub(crate) struct Module {
    /// The `.wasm` file below the target directory.
    pub(crate) path: PathBuf,
    /// The name of the package: what the component is called.
    pub(crate) package: String,
}

/// What an outer cargo sets for the programs that it runs, and what it was itself told by its user about
/// the native target. `CARGO_HOME` and the settings of registries and network stay.
const HIDDEN: &[&str] = &[
    "CARGO_BUILD_",
    "CARGO_CFG_",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_FEATURE_",
    "CARGO_INCREMENTAL",
    "CARGO_MAKEFLAGS",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CARGO_UNSTABLE_",
    "LD_LIBRARY_PATH",
    "MAKEFLAGS",
    "RUSTC",
    "RUSTDOC",
    "RUSTFLAGS",
];

/// The profile of plugins, given on the command line so that it holds in any workspace. A plugin runs
/// for months and is compiled once: everything is spent on its speed. The names of functions stay in
/// it, for the backtraces of traps.
const PROFILE: &[&str] = &[
    "profile.plugin.inherits='release'",
    "profile.plugin.opt-level=3",
    "profile.plugin.lto='fat'",
    "profile.plugin.codegen-units=1",
    "profile.plugin.panic='abort'",
    "profile.plugin.debug=false",
    "profile.plugin.strip='debuginfo'",
    "profile.plugin.incremental=false",
];

/// Every WebAssembly runtime of the last years has these two, wasmtime among them. They make no difference
/// to a plugin that splices JSON (0.70 us a record with and without); they are there for those that compute.
const RUSTFLAGS: &str = "-Ctarget-feature=+simd128,+bulk-memory";

/// A command without the environment of an outer cargo.
pub(crate) fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let hidden = name.to_str().is_some_and(|name| HIDDEN.iter().any(|prefix| name.starts_with(prefix)));
        if hidden {
            command.env_remove(name);
        }
    }
    command
}

/// The cargo that runs us, or the one on the path.
fn cargo() -> Command {
    clean(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The root directory of the workspace that a crate belongs to.
pub(crate) fn workspace(manifest: &Path) -> anyhow::Result<PathBuf> {
    locate(cargo().arg("locate-project").arg("--manifest-path").arg(manifest), manifest)
}

/// The root directory of the workspace that a directory lies in.
pub(crate) fn workspace_above(directory: &Path) -> anyhow::Result<PathBuf> {
    locate(cargo().arg("locate-project").current_dir(directory), directory)
}

fn locate(command: &mut Command, place: &Path) -> anyhow::Result<PathBuf> {
    let output = command
        .args(["--workspace", "--message-format", "plain"])
        .output()
        .context("cannot run cargo\nhint: install Rust, see https://rustup.rs")?;
    if !output.status.success() {
        bail!("cargo finds no workspace for `{}`: {}", place.display(), text(&output.stderr));
    }
    let root = PathBuf::from(text(&output.stdout));
    Ok(root.parent().context("cargo named a workspace without a directory")?.to_owned())
}

/// Compiles the library of a crate to a core module.
pub(crate) fn compile(
    manifest: &Path,
    target_dir: &Path,
    toolchain: &Toolchain,
    options: &Options,
) -> anyhow::Result<Module> {
    let mut command = cargo();
    command
        .args(["build", "--lib", "--profile", "plugin", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(target_dir)
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", RUSTFLAGS)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    for setting in PROFILE {
        command.arg("--config").arg(setting);
    }
    if options.verbosity == Verbosity::Quiet {
        command.arg("--quiet");
    }
    if !options.features.is_empty() {
        command.arg("--features").arg(options.features.join(","));
    }
    command.args(&toolchain.arguments).envs(toolchain.environment.iter().cloned());

    let output = command.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!(
            "`{}` does not compile for {TARGET} ({})\nhint: the compiler's messages are above",
            manifest.display(),
            toolchain.route
        );
    }
    module(&output.stdout, manifest)
}

/// Finds the module among the artifacts that cargo reports.
fn module(messages: &[u8], manifest: &Path) -> anyhow::Result<Module> {
    for line in messages.split(|byte| *byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(line) else { continue };
        let ours = message.get("manifest_path").and_then(Value::as_str).is_some_and(|path| {
            message.get("reason").is_some_and(|reason| reason == "compiler-artifact")
                && Path::new(path).canonicalize().is_ok_and(|path| path == manifest)
        });
        if !ours {
            continue;
        }
        let files = message.get("filenames").and_then(Value::as_array).into_iter().flatten();
        let file = files.filter_map(Value::as_str).find(|file| file.ends_with(".wasm"));
        if let Some(file) = file {
            return Ok(Module { path: file.into(), package: package(&message, file) });
        }
    }
    bail!(
        "`{}` makes no WebAssembly module\nhint: add `[lib] crate-type = [\"cdylib\", \"rlib\"]` to it",
        manifest.display()
    )
}

/// The package's name: from its id, whose end is `#name@version` or, where the directory has the same
/// name, `/name#version`.
fn package(message: &Value, file: &str) -> String {
    let id = message.get("package_id").and_then(Value::as_str).unwrap_or_default();
    let (place, name) = id.rsplit_once('#').unwrap_or_default();
    let name = match name.split_once('@') {
        Some((name, _)) => name,
        None => place.rsplit('/').next().unwrap_or_default(),
    };
    if name.is_empty() {
        let stem = Path::new(file).file_stem().unwrap_or_default();
        return stem.to_string_lossy().into_owned();
    }
    name.to_owned()
}

/// What a program printed, without the line's end.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_package_name_from_both_forms_of_id() {
        for (id, name) in [
            ("path+file:///x/plugins/delivery-time#0.1.0", "delivery-time"),
            ("path+file:///x/plugins/dt#delivery-time@0.1.0", "delivery-time"),
            ("", "delivery_time"),
        ] {
            let message = serde_json::json!({ "package_id": id });
            assert_eq!(package(&message, "/target/delivery_time.wasm"), name);
        }
    }

    #[test]
    fn hides_the_environment_of_an_outer_cargo() {
        // Cargo runs this test, so its variables are here.
        let removed: Vec<String> = clean("true")
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();

        assert!(removed.contains(&"CARGO_MANIFEST_DIR".to_owned()), "{removed:?}");
        assert!(removed.contains(&"CARGO_PKG_NAME".to_owned()), "{removed:?}");
        assert!(!removed.contains(&"CARGO_HOME".to_owned()), "{removed:?}");
    }

    #[test]
    fn names_the_missing_crate_type() {
        let error = module(b"{}\nnot json\n", Path::new("/x/Cargo.toml")).err().unwrap();

        assert!(error.to_string().contains("crate-type = [\"cdylib\", \"rlib\"]"), "{error}");
    }
}
