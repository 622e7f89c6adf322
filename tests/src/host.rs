//! The `gristmill` program, as an operator runs it: a child process and a pipeline file.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};

use crate::process::Process;
use crate::rundir;

/// The program: that of the environment variable `GRISTMILL`, or the one that Cargo builds, which is brought up to date
/// first: a fresh clone needs no step before its tests.
///
/// # Errors
/// When it does not build, with the compiler's messages.
pub fn binary() -> Result<&'static Path> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BINARY.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow!("{error}"))
}

fn build() -> Result<PathBuf> {
    if let Some(path) = env::var_os("GRISTMILL") {
        return Ok(path.into());
    }
    program("gristmill")
}

/// The program `gristmill-build`, brought up to date.
///
/// # Errors
/// As [`binary`].
pub fn builder() -> Result<PathBuf> {
    program("gristmill-build")
}

fn program(name: &str) -> Result<PathBuf> {
    // The whole workspace is selected, as for the tests: another selection has other features of shared crates, and Cargo
    // would compile half of them again.
    let output = cargo(&["build", "--workspace", "--bin", name])?;
    ensure!(output.status.success(), "{name} does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(rundir::target()?.join(profile()).join(name))
}

/// Runs Cargo on this workspace, with the profile and the target folder of the running test.
fn cargo(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(rundir::repository()).args(arguments).arg("--target-dir").arg(rundir::target()?);
    if profile() == "release" {
        command.arg("--release");
    }
    command.output().context("cannot run cargo")
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

/// Compiles a plugin crate of this repository to a component and returns its path.
///
/// # Errors
/// When it does not build.
pub fn plugin(folder: &str) -> Result<PathBuf> {
    let built =
        gristmill_build::build(rundir::repository().join(folder), &gristmill_build::Options::default());
    Ok(built.with_context(|| format!("cannot build the plugin in `{folder}`"))?.path)
}

/// Starts `gristmill run FILE`; its log goes to a file beside the pipeline file.
///
/// # Errors
/// When the program cannot be started.
pub fn run(pipeline: &Path) -> Result<Process> {
    run_with(pipeline, &[])
}

/// Starts `gristmill run FILE` with options.
///
/// # Errors
/// When the program cannot be started.
pub fn run_with(pipeline: &Path, options: &[&str]) -> Result<Process> {
    let mut command = Command::new(binary()?);
    command.arg("run").args(options).arg(pipeline).env("RUST_BACKTRACE", "1");
    Process::start("the host", &mut command, pipeline.with_extension("log"))
}

/// Runs a command that ends by itself and returns what it wrote.
///
/// # Errors
/// When it ends with another exit code than 0.
pub fn command(arguments: &[&str], pipeline: &Path) -> Result<String> {
    let output =
        Command::new(binary()?).args(arguments).arg(pipeline).output().context("cannot run gristmill")?;
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "gristmill {arguments:?} ended with {}:\n{out}{errors}", output.status);
    Ok(out.into_owned())
}
