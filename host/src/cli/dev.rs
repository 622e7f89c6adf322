//! `gristmill dev`: runs a pipeline on the dev broker, shows what comes out, and follows the plugin's file.

mod sitting;
mod spectator;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use gristmill_broker::Broker;

use crate::app::plugins::{self, Compiled, Prepared};
use crate::app::shutdown::Shutdown;
use crate::app::topics;
use crate::cli::dev::sitting::Sitting;
use crate::cli::dev::spectator::Spectator;
use crate::cli::output;
use crate::config::env;
use crate::config::pipeline::{Kafka, Pipeline};
use crate::config::plugin_ref::PluginRef;
use crate::fault::{Code, Fault};
use crate::kafka::topics::Topics;

/// Runs a pipeline on the dev broker: makes the topics, prints what comes out, reloads a plugin when its file changes.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: nothing; it brings its own broker\n\
                        Example:  gristmill dev shop.toml\n\
                        Then:     gristmill produce items --key SKU-1 --value '{\"deliveryClass\":\"bulky\"}'")]
pub(super) struct Options {
    /// The pipeline file. Its `[kafka]` is not used.
    file: PathBuf,

    /// The port of the dev broker; 0 takes a free one.
    #[arg(long, default_value_t = 9092)]
    port: u16,

    /// Partitions of the topics.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(i32).range(1..=1_000))]
    partitions: i32,
}

/// How often files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let shutdown = Shutdown::on_signals()?;
    let mut prepared = plugins::prepare(&options.file, &env::process, Compiled::Forgotten)?;
    let broker = Broker::builder().port(options.port).start().map_err(|error| {
        let hint = error.hint();
        Fault::new(Code::AddressUnusable, "the dev broker cannot start").because(error).hint(hint)
    })?;
    let dev = Dev::new(options, &broker)?;
    dev.make_topics(&prepared.pipeline)?;
    let _spectator = Spectator::start(&dev.kafka, &prepared.pipeline)?;
    output::print(&format!(
        "dev broker on {}; put records in with `gristmill produce TOPIC --brokers {}`, stop with ctrl-c\n",
        dev.kafka.brokers, dev.kafka.brokers
    ))?;
    loop {
        let files = Files::of(&options.file, &prepared);
        let sitting = Sitting::begin(&dev.at_home(&prepared.pipeline), &prepared)?;
        let ended = sitting.watch(|| shutdown.is_requested() || files.have_changed());
        if shutdown.is_requested() {
            return ended;
        }
        if let Err(fault) = ended {
            eprintln!("{}", fault.report());
        }
        let Some(next) = dev.prepare_again(files, &shutdown) else { return Ok(()) };
        prepared = next;
    }
}

/// The surroundings that a pipeline gets instead of its own.
struct Dev<'a> {
    options: &'a Options,
    kafka: Kafka,
    state_dir: tempfile::TempDir,
}

impl<'a> Dev<'a> {
    fn new(options: &'a Options, broker: &Broker) -> Result<Self, Fault> {
        let state_dir = tempfile::Builder::new().prefix("gristmill-dev-").tempdir().map_err(|error| {
            Fault::new(Code::StateDirUnusable, "a temporary state directory cannot be made").because(error)
        })?;
        let kafka = Kafka { brokers: broker.bootstrap(), client: BTreeMap::new() };
        Ok(Self { options, kafka, state_dir })
    }

    /// The pipeline on the dev broker, with a state directory that goes with it.
    fn at_home(&self, pipeline: &Pipeline) -> Pipeline {
        let mut pipeline = pipeline.clone();
        pipeline.kafka = self.kafka.clone();
        pipeline.app.state_dir = self.state_dir.path().to_owned();
        pipeline
    }

    fn make_topics(&self, pipeline: &Pipeline) -> Result<(), Fault> {
        let plans = topics::plans(pipeline, &BTreeMap::new(), self.options.partitions);
        Topics::new(&self.kafka)?.create(&plans)?;
        Ok(())
    }

    /// Waits until the changed files make sense again. None when it was asked to stop meanwhile.
    fn prepare_again(&self, mut files: Files, shutdown: &Shutdown) -> Option<Prepared> {
        loop {
            match plugins::prepare(&self.options.file, &env::process, Compiled::Forgotten) {
                Ok(prepared) => {
                    eprintln!("reloaded");
                    return Some(prepared);
                }
                Err(fault) => eprintln!("{}\nwaiting for the next change", fault.report()),
            }
            files.note();
            while !files.have_changed() {
                if shutdown.is_requested() {
                    return None;
                }
                std::thread::sleep(LOOK_INTERVAL);
            }
        }
    }
}

/// The pipeline file and the files of its plugins, as they were when they were last read.
struct Files {
    seen: BTreeMap<PathBuf, Option<SystemTime>>,
}

impl Files {
    fn of(pipeline: &Path, prepared: &Prepared) -> Self {
        let plugins = prepared.raw.transforms.iter().filter_map(|transform| match &transform.plugin {
            PluginRef::File(path) => Some(path.clone()),
            PluginRef::Builtin(_) | PluginRef::Oci(_) => None,
        });
        let mut files =
            Self { seen: plugins.chain([pipeline.to_owned()]).map(|path| (path, None)).collect() };
        files.note();
        files
    }

    fn note(&mut self) {
        self.seen.iter_mut().for_each(|(path, time)| *time = modified(path));
    }

    fn have_changed(&self) -> bool {
        self.seen.iter().any(|(path, time)| modified(path) != *time)
    }
}

/// When a file was last written; none while it is being replaced.
fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|file| file.modified()).ok()
}
