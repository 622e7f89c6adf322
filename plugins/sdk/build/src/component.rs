//! Turns a core module into a component, unless that was done before.

use std::hash::DefaultHasher;
use std::hash::Hasher as _;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use anyhow::bail;
use wit_component::ComponentEncoder;

use crate::Component;
use crate::Route;
use crate::cargo::Module;

/// Changes whenever the same module would become another component.
const ENCODER: &str = concat!("gristmill-build ", env!("CARGO_PKG_VERSION"), " wit-component 0.258");

/// How the names of the processor's functions begin, among the exports of a module.
const PROCESSOR: &[u8] = b"gristmill:transform/processor@0.1.";

/// Writes the component of a module, or finds that it is there.
pub(crate) fn write(module: &Module, out_dir: &Path, route: Route) -> anyhow::Result<Component> {
    let bytes = std::fs::read(&module.path)
        .with_context(|| format!("cannot read the module `{}`", module.path.display()))?;
    std::fs::create_dir_all(out_dir)
        .with_context(|| format!("cannot make the directory `{}`", out_dir.display()))?;
    let path = out_dir.join(format!("{}.wasm", module.package));
    // The stamp lies beside the module and not beside the component: directories of components are
    // embedded and copied whole.
    let stamp = module.path.with_extension("component");
    let wanted = format!("{ENCODER}\n{}\n{:016x}\n", path.display(), fingerprint(&bytes));
    let fresh = !path.exists() || std::fs::read_to_string(&stamp).ok().as_deref() != Some(wanted.as_str());
    if fresh {
        replace(&path, &encode(&bytes, &module.package)?)?;
        replace(&stamp, wanted.as_bytes())?;
    }
    let size = std::fs::metadata(&path)
        .with_context(|| format!("cannot read the component `{}`", path.display()))?
        .len();
    Ok(Component { path, route, size, fresh })
}

fn encode(module: &[u8], package: &str) -> anyhow::Result<Vec<u8>> {
    // Without the export the encoder makes an empty component, and the host is the first to complain.
    if !module.windows(PROCESSOR.len()).any(|window| window == PROCESSOR) {
        bail!("`{package}` exports no processor\nhint: call `gristmill::export!` in the crate's root");
    }
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.encode())
        .with_context(|| {
            format!(
                "the module of `{package}` does not fit the interface\nhint: import nothing but what the \
                 interface offers"
            )
        })
}

/// Tells whether a module is the one that was encoded last; not against an adversary.
fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Writes a file so that a reader sees the old or the new one, never a part.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let write = WRITES.fetch_add(1, Ordering::Relaxed);
    let part = path.with_extension(format!("part-{}-{write}", std::process::id()));
    std::fs::write(&part, bytes)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module that is nothing but a custom section with the right name.
    fn small() -> Vec<u8> {
        let name = [PROCESSOR, b"0#process"].concat();
        let length = u8::try_from(name.len()).unwrap();
        [b"\0asm\x01\0\0\0\0".as_slice(), &[length + 1, length], &name].concat()
    }

    fn module(directory: &Path, bytes: &[u8]) -> Module {
        let path = directory.join("some.wasm");
        std::fs::write(&path, bytes).unwrap();
        Module { path, package: "some".to_owned() }
    }

    #[test]
    fn encodes_a_module_once() {
        let directory = tempfile::tempdir().unwrap();
        let module = module(directory.path(), &small());
        let out = directory.path().join("out");

        let first = write(&module, &out, Route::Installed).unwrap();
        let second = write(&module, &out, Route::Installed).unwrap();

        assert_eq!((first.fresh, second.fresh), (true, false));
        assert_eq!(first.path, out.join("some.wasm"));
        assert_eq!(first.size, std::fs::metadata(&first.path).unwrap().len());
    }

    #[test]
    fn encodes_again_when_the_module_changed_or_the_component_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let first = write(&module(directory.path(), &small()), &out, Route::Installed).unwrap();

        let named = [small().as_slice(), b"\0\x05\x04more"].concat();
        assert!(write(&module(directory.path(), &named), &out, Route::Installed).unwrap().fresh);

        std::fs::remove_file(&first.path).unwrap();
        assert!(write(&module(directory.path(), &named), &out, Route::Installed).unwrap().fresh);
    }

    #[test]
    fn refuses_a_module_that_exports_no_processor() {
        let directory = tempfile::tempdir().unwrap();

        let module = module(directory.path(), b"\0asm\x01\0\0\0");
        let error = write(&module, directory.path(), Route::Installed).unwrap_err();

        assert!(error.to_string().contains("call `gristmill::export!`"), "{error}");
    }

    #[test]
    fn refuses_what_is_no_module() {
        let directory = tempfile::tempdir().unwrap();

        let module = module(directory.path(), &[b"ELF", PROCESSOR].concat());
        let error = write(&module, directory.path(), Route::Installed).unwrap_err();

        assert!(error.to_string().contains("`some` does not fit the interface"), "{error}");
    }
}
