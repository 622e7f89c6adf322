//! The plugins that travel inside this binary.

use crate::config::document;
use crate::fault::{Code, Fault};

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// The component of a bundled plugin.
///
/// # Errors
/// `plugin_not_bundled`.
pub fn find(name: &str) -> Result<&'static [u8], Fault> {
    if let Some((_, bytes)) = BUNDLED.iter().find(|(bundled, _)| *bundled == name) {
        return Ok(bytes);
    }
    let fault = Fault::new(Code::PluginNotBundled, format!("this binary has no plugin `{name}` in it"));
    let names: Vec<_> = BUNDLED.iter().map(|(name, _)| *name).collect();
    match names.as_slice() {
        [] => Err(fault.because("it was built before `make plugins`, so it has none at all")),
        names => Err(fault.hint(document::nearest(name, names))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_so_when_a_plugin_is_not_bundled() {
        let fault = find("no-such-plugin").unwrap_err();

        assert_eq!(fault.code(), Code::PluginNotBundled);
        assert_eq!(fault.message(), "this binary has no plugin `no-such-plugin` in it");
    }
}
