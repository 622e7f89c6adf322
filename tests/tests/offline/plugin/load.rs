//! What becomes of a file: a plugin, or a fault that says why not.

use anyhow::Result;
use gristmill_host::app::plugins;
use gristmill_host::config::manifest;
use gristmill_host::config::pipeline::Limits;
use gristmill_host::config::plugin_ref::PluginRef;
use gristmill_host::fault::{Code, Fault};
use gristmill_host::plugin::Spec;

use super::stage::{
    ERRAND, HOSTILE, RAW, STATEFUL, bytes, call, component, deploy, limits, runtime, start, values,
};

/// The code and the message that these bytes are refused with.
fn refused(bytes: &[u8]) -> (Code, String) {
    let fault = runtime().load("p.wasm", bytes).err().expect("it must be refused");
    (fault.code(), fault.message().to_owned())
}

/// The hostile component with a name in it replaced by another one of the same length.
fn renamed(from: &str, to: &str) -> Result<Vec<u8>> {
    Ok(replaced(bytes(HOSTILE)?, from, to))
}

fn replaced(mut component: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let windows = component.windows(from.len()).enumerate();
    let places: Vec<_> =
        windows.filter(|(_, window)| *window == from.as_bytes()).map(|(place, _)| place).collect();
    assert!(!places.is_empty());
    for place in places {
        component[place..place + to.len()].copy_from_slice(to.as_bytes());
    }
    component
}

#[test]
fn tells_the_manifest_and_what_a_plugin_is_made_of() -> Result<()> {
    let plugin = component(HOSTILE)?;

    assert!(plugin.manifest_text().contains("name = \"hostile\""));
    let inspection = plugin.inspection();
    assert_eq!(inspection.digest, plugin.digest());
    assert_eq!(inspection.size_bytes, bytes(HOSTILE)?.len());
    assert!(inspection.compiled_bytes > inspection.size_bytes / 2);
    assert!(inspection.imports.iter().any(|name| name == "gristmill:transform/state@0.1.0"));
    assert_eq!(inspection.exports, ["gristmill:transform/processor@0.1.0"]);
    Ok(())
}

#[test]
fn refuses_what_is_no_component() {
    assert_eq!(refused(b""), (Code::PluginNotWasm, "plugin `p.wasm` is empty".to_owned()));
    assert_eq!(refused(b"{}"), (Code::PluginNotWasm, "plugin `p.wasm` is not WebAssembly".to_owned()));
    assert_eq!(refused(b"\0asm\x01\0\0\0").0, Code::PluginCoreModule);
    assert_eq!(refused(b"\0asm\x0d\0\x01\0garbage").0, Code::PluginInvalid);
    // A good component without a single export.
    assert_eq!(refused(b"\0asm\x0d\0\x01\0").0, Code::PluginInvalid);
}

#[test]
fn refuses_a_component_that_was_cut_off() -> Result<()> {
    let whole = bytes(HOSTILE)?;

    assert_eq!(refused(&whole[..whole.len() / 2]).0, Code::PluginInvalid);
    Ok(())
}

#[test]
fn refuses_another_line_and_names_both() -> Result<()> {
    let (code, message) = refused(&renamed("@0.1.0", "@0.2.0")?);

    assert_eq!(code, Code::InterfaceUnsupported);
    assert_eq!(message, "plugin `p.wasm` needs interface 0.2, this host speaks 0.1");
    Ok(())
}

#[test]
fn runs_a_newer_version_of_its_line_that_needs_nothing_new() -> Result<()> {
    let newer = runtime().load("p.wasm", &renamed("@0.1.0", "@0.1.7")?).expect("it must be accepted");
    let spec = Spec { transform: "t".into(), config_json: "{}".to_owned(), limits: limits() };

    let mut instance = start(&newer.deploy(spec))?;

    assert_eq!(values(&call(&mut *instance, &["hello"]).expect("an outcome")), ["hello"]);
    Ok(())
}

#[test]
fn names_the_version_that_a_plugin_needs_for_a_function_that_is_missing_here() -> Result<()> {
    let newer = replaced(renamed("@0.1.0", "@0.1.7")?, "scan-prefix", "scan-suffix");

    let (code, message) = refused(&newer);

    assert_eq!(code, Code::InterfaceUnsupported);
    assert_eq!(message, "plugin `p.wasm` needs interface 0.1.7, this host has 0.1.0");
    Ok(())
}

#[test]
fn names_an_import_that_is_not_granted() -> Result<()> {
    let greedy = renamed("gristmill:transform/state@0.1.0", "wasi:filesystem/preopens@0.2.12")?;

    let (code, message) = refused(&greedy);

    assert_eq!(code, Code::ImportNotGranted);
    assert!(message.contains("`wasi:filesystem/preopens@0.2.12`"), "{message}");
    Ok(())
}

#[test]
fn refuses_a_component_without_a_processor_or_with_functions_that_do_not_fit() -> Result<()> {
    let without = renamed("gristmill:transform/processor@0.1.0", "gristmill:transform/producers@0.1.0")?;
    assert_eq!(refused(&without).0, Code::PluginInvalid);

    let misfit = renamed("scan-prefix", "scan-suffix")?;
    assert_eq!(refused(&misfit).0, Code::PluginInvalid);
    Ok(())
}

#[test]
fn refuses_a_plugin_without_a_handler_that_its_manifest_needs() -> Result<()> {
    let whole = bytes(STATEFUL)?;
    let refused = |component: &[u8]| {
        let component = runtime().load("p.wasm", component).expect("a plugin tolerates other exports");
        let manifest = manifest::parse(component.manifest_text()).expect("a manifest");
        component.check_handlers(&manifest).err().map(|fault| (fault.code(), fault.message().to_owned()))
    };

    assert_eq!(refused(&whole), None);
    let without = |name: &str, other: &str| {
        let component = replaced(
            whole.clone(),
            &format!("gristmill:transform/{name}@0.1.0"),
            &format!("gristmill:transform/{other}@0.1.0"),
        );
        refused(&component).expect("it must be refused")
    };
    let message = "plugin `p.wasm` declares the index `by-word` and does not export `indexer`";
    assert_eq!(without("indexer", "outdexe"), (Code::HandlerMissing, message.to_owned()));
    let message = "plugin `p.wasm` declares the job `walk` and does not export `job-handler`";
    assert_eq!(without("job-handler", "job-hindler"), (Code::HandlerMissing, message.to_owned()));
    Ok(())
}

#[test]
fn refuses_a_plugin_that_declares_an_endpoint_and_takes_no_answers() -> Result<()> {
    let without = replaced(bytes(ERRAND)?, "transform/callout-handler@", "transform/callout-hindler@");

    let component = runtime().load("p.wasm", &without).expect("a plugin tolerates other exports");
    let manifest = manifest::parse(component.manifest_text()).expect("a manifest");
    let fault = component.check_handlers(&manifest).expect_err("it must be refused");

    let message = "plugin `p.wasm` declares the endpoint `server` and does not export `callout-handler`";
    assert_eq!((fault.code(), fault.message()), (Code::HandlerMissing, message));
    Ok(())
}

#[test]
fn knows_by_its_handler_whether_a_plugin_takes_timers() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let takes = |name: &str, component: Vec<u8>| -> Result<bool> {
        let file = dir.path().join(name);
        std::fs::write(&file, component)?;
        let loaded = plugins::load(&runtime(), &PluginRef::File(file)).expect("it is a plugin");
        Ok(loaded.manifest.timers)
    };

    assert!(takes("with.wasm", bytes(ERRAND)?)?);
    assert!(!takes("without.wasm", bytes(STATEFUL)?)?);
    let without = replaced(bytes(ERRAND)?, "transform/timer-handler@", "transform/timer-hindler@");
    assert!(!takes("renamed.wasm", without)?);
    Ok(())
}

#[test]
fn refuses_a_handler_whose_functions_do_not_fit() -> Result<()> {
    assert_eq!(refused(&replaced(bytes(STATEFUL)?, "on-job", "on-jab")).0, Code::PluginInvalid);
    assert_eq!(refused(&replaced(bytes(ERRAND)?, "on-timers", "on-timeys")).0, Code::PluginInvalid);
    assert_eq!(refused(&replaced(bytes(ERRAND)?, "on-responses", "on-responces")).0, Code::PluginInvalid);
    Ok(())
}

#[test]
fn checks_handlers_when_a_pipeline_names_a_plugin() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("p.wasm");
    let component = replaced(bytes(STATEFUL)?, "transform/indexer@", "transform/outdexe@");
    std::fs::write(&file, component)?;

    let fault = plugins::load(&runtime(), &PluginRef::File(file)).err().expect("it must be refused");

    assert_eq!(fault.code(), Code::HandlerMissing);
    Ok(())
}

#[test]
fn says_why_a_plugin_does_not_start() -> Result<()> {
    let cause = |at_start: &str| -> Result<(Code, String)> {
        let deployed = deploy(HOSTILE, &format!(r#"{{"at_start":"{at_start}"}}"#), limits())?;
        let fault: Fault = deployed.err().expect("it must not start");
        Ok((fault.code(), fault.cause()))
    };

    for (at_start, expected) in [
        ("error", "told to refuse its configuration"),
        ("panic", "told to panic at the start"),
        ("trap", "unreachable"),
        ("loop", "it computed longer than 100ms"),
        ("memory", "bytes of memory and is granted 67108864"),
    ] {
        let (code, cause) = cause(at_start)?;
        assert_eq!(code, Code::PluginInitFailed);
        assert!(cause.contains(expected), "{at_start}: {cause}");
    }
    Ok(())
}

#[test]
fn does_not_start_a_plugin_that_is_granted_less_than_its_first_memory() -> Result<()> {
    let deployed = deploy(RAW, "{}", Limits { memory_bytes: 1 << 16, ..limits() })?;

    let fault = deployed.err().expect("it must not start");

    assert_eq!(fault.code(), Code::PluginInitFailed);
    assert!(fault.cause().contains("granted 65536"), "{}", fault.cause());
    Ok(())
}
