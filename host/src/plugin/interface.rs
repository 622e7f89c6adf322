//! The names of what components import and export, and which of them this host speaks.

use std::fmt;

use crate::fault::{Code, Fault};

/// The package of our interface.
const PACKAGE: &str = "gristmill:transform";

/// The newest version that this host speaks. Within 0.x a line is a minor version.
const SPOKEN: Version = Version { major: 0, minor: 1, patch: 0 };

/// What of our package may be imported.
const OFFERED: [&str; 7] = ["types", "state", "timers", "jobs", "log", "metrics", "config"];

/// The export that makes a component a plugin.
const PROCESSOR: &str = "processor";

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Version {
    major: u64,
    minor: u64,
    patch: u64,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.splitn(3, '.').map(|number| number.parse().ok());
        Some(Self { major: numbers.next()??, minor: numbers.next()??, patch: numbers.next()?? })
    }

    fn is_of_the_line_of(self, other: Self) -> bool {
        self.major == other.major && (self.major > 0 || self.minor == other.minor)
    }

    fn line(self) -> String {
        if self.major > 0 { self.major.to_string() } else { format!("0.{}", self.minor) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The version and the interface of a name in our package, such as `gristmill:transform/state@0.1.0`.
fn ours(name: &str) -> Option<(&str, Option<Version>)> {
    let interface = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
    let (interface, version) = interface.split_once('@').unwrap_or((interface, ""));
    Some((interface, Version::parse(version)))
}

/// Checks what a component imports.
///
/// # Errors
/// `interface_unsupported` for another line of our interface, or a newer version with more in it; `import_not_granted`
/// for everything that is not ours.
pub(crate) fn check_imports<'a>(plugin: &str, mut names: impl Iterator<Item = &'a str>) -> Result<(), Fault> {
    names.try_for_each(|name| check_import(plugin, name))
}

fn check_import(plugin: &str, name: &str) -> Result<(), Fault> {
    let Some((interface, version)) = ours(name) else {
        return Err(not_granted(plugin, name));
    };
    check_version(plugin, version)?;
    if OFFERED.contains(&interface) {
        return Ok(());
    }
    Err(if version > Some(SPOKEN) { unsupported(plugin, version) } else { not_granted(plugin, name) })
}

fn not_granted(plugin: &str, name: &str) -> Fault {
    let fault = Fault::new(
        Code::ImportNotGranted,
        format!("plugin `{plugin}` imports `{name}`, which is not granted"),
    );
    if name.starts_with("wasi:") {
        return fault.hint("build the plugin without WASI: for Rust, for `wasm32-unknown-unknown`");
    }
    fault
}

/// Checks that a component exports the processor.
///
/// # Errors
/// `interface_unsupported` for another line of our interface, `plugin_invalid` when there is none at all.
pub(crate) fn check_exports<'a>(plugin: &str, mut names: impl Iterator<Item = &'a str>) -> Result<(), Fault> {
    let processor = names.find_map(|name| ours(name).filter(|(interface, _)| *interface == PROCESSOR));
    let Some((_, version)) = processor else {
        let message = format!("plugin `{plugin}` does not export `{PACKAGE}/{PROCESSOR}`");
        return Err(Fault::new(Code::PluginInvalid, message));
    };
    check_version(plugin, version)
}

/// Whether a component exports a handler of our line. Handlers of other lines are not looked at.
pub(crate) fn exports(names: &[String], handler: &str) -> bool {
    let is_it = |(interface, version): (&str, Option<Version>)| {
        interface == handler && version.is_some_and(|version| version.is_of_the_line_of(SPOKEN))
    };
    names.iter().filter_map(|name| ours(name)).any(is_it)
}

fn check_version(plugin: &str, version: Option<Version>) -> Result<(), Fault> {
    match version {
        Some(version) if version.is_of_the_line_of(SPOKEN) => Ok(()),
        other => Err(unsupported(plugin, other)),
    }
}

/// The fault of a component whose types or functions do not fit: because it is newer, or because it is damaged.
pub(crate) fn misfit<'a>(
    plugin: &str,
    names: impl Iterator<Item = &'a str>,
    cause: wasmtime::Error,
) -> Fault {
    let newest = names.filter_map(|name| ours(name)?.1).max();
    let fault = if newest > Some(SPOKEN) {
        unsupported(plugin, newest)
    } else {
        Fault::new(Code::PluginInvalid, format!("plugin `{plugin}` does not fit the interface {SPOKEN}"))
    };
    fault.because(cause.into_boxed_dyn_error())
}

fn unsupported(plugin: &str, version: Option<Version>) -> Fault {
    let message = match version {
        None => format!(
            "plugin `{plugin}` needs an interface without a version, this host speaks {}",
            SPOKEN.line()
        ),
        Some(version) if version.is_of_the_line_of(SPOKEN) => {
            format!("plugin `{plugin}` needs interface {version}, this host has {SPOKEN}")
        }
        Some(version) => {
            format!(
                "plugin `{plugin}` needs interface {}, this host speaks {}",
                version.line(),
                SPOKEN.line()
            )
        }
    };
    Fault::new(Code::InterfaceUnsupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(name: &str) -> Result<(), (Code, String)> {
        check_imports("p.wasm", [name].into_iter())
            .map_err(|fault| (fault.code(), fault.message().to_owned()))
    }

    #[test]
    fn accepts_every_version_of_its_line() {
        assert_eq!(import("gristmill:transform/state@0.1.0"), Ok(()));
        assert_eq!(import("gristmill:transform/log@0.1.7"), Ok(()));
    }

    #[test]
    fn names_both_lines_when_a_plugin_needs_another_one() {
        let refused = import("gristmill:transform/state@0.2.0").unwrap_err();

        let message = "plugin `p.wasm` needs interface 0.2, this host speaks 0.1".to_owned();
        assert_eq!(refused, (Code::InterfaceUnsupported, message));
    }

    #[test]
    fn names_both_versions_when_a_plugin_needs_a_newer_interface_of_the_line() {
        let refused = import("gristmill:transform/secrets@0.1.5").unwrap_err();

        let message = "plugin `p.wasm` needs interface 0.1.5, this host has 0.1.0".to_owned();
        assert_eq!(refused, (Code::InterfaceUnsupported, message));
    }

    #[test]
    fn names_an_import_that_is_not_granted() {
        let refused = import("wasi:http/outgoing-handler@0.2.12").unwrap_err();

        assert_eq!(refused.0, Code::ImportNotGranted);
        assert!(refused.1.contains("`wasi:http/outgoing-handler@0.2.12`"));
        assert_eq!(import("gristmill:transform/secrets@0.1.0").unwrap_err().0, Code::ImportNotGranted);
    }

    #[test]
    fn finds_a_handler_of_its_line() {
        let has = |name: &str| exports(&[name.to_owned()], "indexer");

        assert!(has("gristmill:transform/indexer@0.1.3"));
        assert!(!has("gristmill:transform/indexer@0.2.0"));
        assert!(!has("gristmill:transform/job-handler@0.1.0"));
        assert!(!has("somebody:else/indexer@0.1.0"));
    }

    #[test]
    fn finds_the_processor_among_other_exports() {
        let check = |names: &[&str]| check_exports("p", names.iter().copied()).map_err(|fault| fault.code());

        assert_eq!(check(&["init", "gristmill:transform/processor@0.1.3"]), Ok(()));
        assert_eq!(check(&["gristmill:transform/processor@1.0.0"]), Err(Code::InterfaceUnsupported));
        assert_eq!(check(&["init"]), Err(Code::PluginInvalid));
    }
}
