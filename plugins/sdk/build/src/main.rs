//! The `gristmill-build` command: compiles plugin crates, one after the other.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use gristmill_build::Options;
use gristmill_build::Verbosity;
use gristmill_build::build;
use gristmill_build::bundled;

const USAGE: &str = "\
Compiles Rust plugin crates to WebAssembly components.

usage: gristmill-build [options] CRATE_DIR...
       gristmill-build [options] --bundled

options:
  --bundled      the plugins of the workspace that lie in its folder `plugins`
  --out DIR      where the components go (default: target/plugins of the workspace)
  --target DIR   where cargo works (default: target/wasm of the workspace)
  --route NAME   installed, rustup or source: take this route to the target only
  --quiet        say nothing but errors

example: gristmill-build plugins/delivery-time
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut options = Options { verbosity: Verbosity::Progress, ..Options::default() };
    let mut crates = Vec::new();
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().context("an option lacks its value");
        match argument.to_str() {
            Some("--help" | "-h") => {
                print!("{USAGE}");
                return Ok(());
            }
            Some("--bundled") => crates.extend(bundled(Path::new("."))?),
            Some("--out") => options.out_dir = Some(value()?.into()),
            Some("--target") => options.target_dir = Some(value()?.into()),
            Some("--route") => options.route = Some(value()?.to_string_lossy().parse()?),
            Some("--quiet") => options.verbosity = Verbosity::Quiet,
            Some(option) if option.starts_with('-') => anyhow::bail!("unknown option `{option}`\n\n{USAGE}"),
            _ => crates.push(PathBuf::from(argument)),
        }
    }
    anyhow::ensure!(!crates.is_empty(), "no crate given\n\n{USAGE}");
    for crate_dir in crates {
        let component = build(&crate_dir, &options)?;
        let state = if component.fresh { "built" } else { "up to date" };
        println!(
            "{} ({} KiB, {state}, {})",
            component.path.display(),
            component.size / 1024,
            component.route
        );
    }
    Ok(())
}
