//! Where a plugin comes from, as the pipeline file says it.

use std::fmt;
use std::path::{Path, PathBuf};

/// The value of `plugin` in a transform.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PluginRef {
    /// `builtin:NAME`: a plugin that travels inside the binary.
    Builtin(String),
    /// A `.wasm` file. A relative path starts at the pipeline file's directory.
    File(PathBuf),
    /// `oci://registry/name@sha256:...`: an artifact of a registry.
    Oci(String),
}

impl PluginRef {
    /// Reads a reference. `base` is the directory of the file that it stands in.
    pub fn parse(text: &str, base: &Path) -> Self {
        if let Some(name) = text.strip_prefix("builtin:") {
            Self::Builtin(name.to_owned())
        } else if text.starts_with("oci://") {
            Self::Oci(text.to_owned())
        } else {
            Self::File(base.join(text))
        }
    }
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "builtin:{name}"),
            Self::File(path) => path.display().fmt(f),
            Self::Oci(address) => f.write_str(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_kinds_apart() {
        let base = Path::new("/etc/mill");

        assert_eq!(PluginRef::parse("builtin:x", base), PluginRef::Builtin("x".into()));
        assert_eq!(PluginRef::parse("oci://r/x@sha256:0", base), PluginRef::Oci("oci://r/x@sha256:0".into()));
        assert_eq!(PluginRef::parse("p/x.wasm", base), PluginRef::File("/etc/mill/p/x.wasm".into()));
        assert_eq!(PluginRef::parse("/p/x.wasm", base), PluginRef::File("/p/x.wasm".into()));
    }
}
