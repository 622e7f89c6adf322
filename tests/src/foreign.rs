//! Programs that are not ours: `kcat`, and Python packages in virtual environments of their own.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};

use crate::rundir;

/// The client that the Python checks use, in a version that is known to work.
const PYTHON_CLIENT: &str = "aiokafka==0.14.0";

/// Runs `kcat` with standard input from `input`, and returns what it wrote.
///
/// # Errors
/// When it is not installed or fails.
pub fn kcat(bootstrap: &str, arguments: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new("kcat")
        .args(["-b", bootstrap])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run `kcat`; install it (Debian: kcat)")?;
    let mut pipe = child.stdin.take().context("kcat has no input")?;
    let input = input.to_owned();
    let feed = thread::spawn(move || pipe.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    // It may end without having read its input, when it needs none.
    drop(feed.join());
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kcat {arguments:?} ended with {}: {errors}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a script of `tests/foreign` with the Python client.
///
/// # Errors
/// When the client cannot be installed, or the script fails.
pub fn python(script: &str, arguments: &[&str]) -> Result<()> {
    let path = rundir::repository().join("tests/foreign").join(script);
    let python = environment("python-client", &[PYTHON_CLIENT])?;
    let output = Command::new(python).arg(path).args(arguments).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script} {arguments:?} ended with {}:\n{errors}", output.status);
    Ok(())
}

/// Makes a virtual environment with these packages below Cargo's target folder, once, and returns its Python.
///
/// # Errors
/// When Python 3 is not there, or the packages cannot be installed.
pub fn environment(folder: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = rundir::target()?.join(folder);
    let (python, complete) = (folder.join("bin/python"), folder.join(packages.join(" ")));
    fs::create_dir_all(&folder)?;
    // Two test programs may want it at the same time.
    let lock = fs::File::create(folder.join("lock"))?;
    lock.lock()?;
    if !complete.exists() {
        let folder = folder.to_string_lossy();
        install("python3", &["-m", "venv", &folder]).context(
            "cannot make a virtual environment; install Python 3 with venv (Debian: python3-venv)",
        )?;
        let arguments = [&["-m", "pip", "install", "--quiet"], packages].concat();
        install(&python.to_string_lossy(), &arguments)
            .with_context(|| format!("cannot install {packages:?} with pip"))?;
        fs::write(complete, "")?;
    }
    Ok(python)
}

fn install(program: &str, arguments: &[&str]) -> Result<()> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("cannot run `{program}`"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{program} {}` failed:\n{errors}", arguments.join(" "));
    Ok(())
}
