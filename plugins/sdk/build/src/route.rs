//! How the standard library of the WebAssembly target is come by.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context as _;
use anyhow::bail;

use crate::TARGET;
use crate::cargo::clean;
use crate::cargo::text;

/// A way to the standard library of the target, in the order in which they are tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Route {
    /// The toolchain has the target.
    Installed,
    /// `rustup target add` fetched it.
    Rustup,
    /// Cargo compiles it from the sources that come with a toolchain: rustup's component `rust-src`, or
    /// Debian's packages `rustc-web` and `rust-web-src`.
    Source,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Installed => "the installed target",
            Self::Rustup => "the target from rustup",
            Self::Source => "a target library compiled from source",
        })
    }
}

impl FromStr for Route {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        match name {
            "installed" => Ok(Self::Installed),
            "rustup" => Ok(Self::Rustup),
            "source" => Ok(Self::Source),
            _ => bail!("`{name}` is no route\nhint: one of installed, rustup, source"),
        }
    }
}

/// What cargo must be told to take a route.
pub(crate) struct Toolchain {
    pub(crate) route: Route,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

/// Finds the first route that works, or checks the one that is asked for.
///
/// A machine that had to compile the library has it compiled now, so there rustup, which may wait long for
/// a network that is not there, comes last.
pub(crate) fn choose(wanted: Option<Route>, target_dir: &Path) -> anyhow::Result<(Route, Toolchain)> {
    let compiled = target_dir.join(COMPILED).exists();
    let routes: &[Route] = match &wanted {
        Some(route) => std::slice::from_ref(route),
        None if compiled => &[Route::Installed, Route::Source, Route::Rustup],
        None => &[Route::Installed, Route::Rustup, Route::Source],
    };
    let mut failures = Vec::new();
    for route in routes {
        match attempt(*route) {
            Ok(toolchain) => return Ok((*route, toolchain)),
            Err(error) => failures.push(format!("  {route}: {error}")),
        }
    }
    bail!(
        "no standard library for {TARGET}\n{}\nhint: run `rustup target add {TARGET}`, or on Debian \
         `apt-get install rustc-web rust-web-src`",
        failures.join("\n")
    )
}

/// Remembers in the target directory that a route worked.
pub(crate) fn remember(route: Route, target_dir: &Path) -> anyhow::Result<()> {
    let file = target_dir.join(COMPILED);
    if route == Route::Source && !file.exists() {
        std::fs::write(&file, "").with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    Ok(())
}

/// The file that says that the library was compiled from source for this target directory.
const COMPILED: &str = "compiled-from-source";

fn attempt(route: Route) -> anyhow::Result<Toolchain> {
    let plain = |route| Toolchain { route, arguments: Vec::new(), environment: Vec::new() };
    match route {
        Route::Installed if has_target() => Ok(plain(route)),
        Route::Installed => bail!("the active toolchain does not have it"),
        Route::Rustup => {
            add_with_rustup()?;
            Ok(plain(route))
        }
        Route::Source => from_source(),
    }
}

/// Whether the active toolchain has the target's core library.
fn has_target() -> bool {
    let Some(directory) = print(Path::new("rustc"), &["--print", "target-libdir", "--target", TARGET]) else {
        return false;
    };
    let Ok(files) = std::fs::read_dir(directory) else { return false };
    files.filter_map(Result::ok).any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
}

fn add_with_rustup() -> anyhow::Result<()> {
    let output = match clean("rustup").args(["target", "add", TARGET]).output() {
        Ok(output) => output,
        Err(error) => bail!("rustup does not run: {error}"),
    };
    if !output.status.success() {
        let message = text(&output.stderr);
        bail!("rustup cannot add it: {}", message.lines().last().unwrap_or("no reason given"));
    }
    if !has_target() {
        bail!("rustup added it to a toolchain that is not the active one");
    }
    Ok(())
}

/// Compilers that may have their library's sources beside them.
const COMPILERS: &[&str] = &["rustc", "/usr/share/rustc/bin/rustc", "/usr/bin/rustc"];

fn from_source() -> anyhow::Result<Toolchain> {
    let Some(compiler) = COMPILERS.iter().map(Path::new).find(|compiler| has_source(compiler)) else {
        bail!("no compiler here has the sources of its library");
    };
    let mut environment = vec![
        ("RUSTC", compiler.as_os_str().to_owned()),
        // `-Z build-std` is not stable; this makes a stable compiler accept it.
        ("RUSTC_BOOTSTRAP", OsString::from("1")),
    ];
    if let Some(linker) = linker(compiler) {
        environment.push(("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker.into_os_string()));
    }
    Ok(Toolchain {
        route: Route::Source,
        arguments: vec!["-Z".to_owned(), "build-std=std,panic_abort".to_owned()],
        environment,
    })
}

fn has_source(compiler: &Path) -> bool {
    print(compiler, &["--print", "sysroot"])
        .is_some_and(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/Cargo.toml").exists())
}

/// A linker that knows WebAssembly. Distributions leave it out of their toolchains; rustup's has one.
fn linker(compiler: &Path) -> Option<PathBuf> {
    [compiler, Path::new("rustc")].into_iter().find_map(|compiler| {
        let libraries = print(compiler, &["--print", "target-libdir"])?;
        let linker = Path::new(&libraries).parent()?.join("bin/rust-lld");
        linker.exists().then_some(linker)
    })
}

/// What a compiler answers, if it runs.
fn print(compiler: &Path, arguments: &[&str]) -> Option<String> {
    let output = clean(compiler).args(arguments).output().ok()?;
    output.status.success().then(|| text(&output.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_install_when_a_route_fails() {
        let failure = |route| match choose(Some(route), Path::new("nowhere")) {
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };

        // Which routes work depends on the machine; those that do not must say what helps.
        for route in [Route::Installed, Route::Source] {
            if let Some(message) = failure(route) {
                assert!(message.contains("rustup target add wasm32-unknown-unknown"), "{message}");
                assert!(message.contains("apt-get install rustc-web rust-web-src"), "{message}");
            }
        }
    }

    #[test]
    fn remembers_only_that_it_compiled_the_library() {
        let directory = tempfile::tempdir().unwrap();
        let remembered = || directory.path().join(COMPILED).exists();

        remember(Route::Installed, directory.path()).unwrap();
        assert!(!remembered());
        remember(Route::Source, directory.path()).unwrap();
        assert!(remembered());
    }

    #[test]
    fn parses_its_own_names_only() {
        assert_eq!("source".parse::<Route>().unwrap(), Route::Source);
        assert!("Source".parse::<Route>().is_err());
    }
}
