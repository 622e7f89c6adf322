//! The demo's story: what happens, in which order, and what is told about it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use super::activation;
use super::child::Host;
use super::corpus::{Corpus, SUPPLIERS, Update};
use super::job::JobProgress;
use super::logistics::Logistics;
use super::report::{self, Latencies, Times};
use super::supplier::Market;
use super::verdict::{self, Verdict};
use super::watch::{Watch, say};
use crate::cli::output;
use crate::clock::Clock;
use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::TopicName;

/// The pipeline of the demo; `gristmill init --plugin builtin:delivery-time` writes one like it.
const PIPELINE: &str = r#"[app]
id = "shop"
state_dir = "@DIR/state"
api = "127.0.0.1:0"

[kafka]
brokers = "@BROKERS"

[transforms.delivery-time]
plugin = "builtin:delivery-time"
sources.items = "items"
sources.classes = "delivery-classes"
sinks.enriched = "items-enriched"

[transforms.delivery-time.jobs]
rate = 4000   # records a second of each task, so that one can watch: without it 100,000 items take two seconds
"#;

/// How many partitions the topics of items have.
const PARTITIONS: i32 = 4;

/// The check compares every version of every record: compaction waits until the demo is over.
const COMPACTED_LATER: [(&str, &str); 2] =
    [("cleanup.policy", "compact"), ("min.compaction.lag.ms", "3600000")];

/// How long the host may take to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long updates flow before the large class changes, so that there is something to compare with.
const BEFORE: Duration = Duration::from_secs(3);

/// How long nothing more may come out at the end: doubled records would come now.
const QUIET: Duration = Duration::from_secs(3);

/// A running demo.
pub(super) struct Story {
    corpus: Corpus,
    pace: Duration,
    clock: Clock,
    broker: gristmill_broker::Broker,
    kafka: Kafka,
    dir: tempfile::TempDir,
}

type Supplier = JoinHandle<Result<(), Fault>>;

impl Story {
    /// Starts the broker and makes the topics.
    pub(super) fn begin(corpus: Corpus, rate: u32) -> Result<Self, Fault> {
        let cannot = |error: Box<dyn std::error::Error + Send + Sync>| {
            Fault::new(Code::Internal, "the demo cannot start its broker").because(error)
        };
        let dir = tempfile::Builder::new()
            .prefix("gristmill-demo-")
            .tempdir()
            .map_err(|error| cannot(error.into()))?;
        let mut builder = gristmill_broker::Broker::builder()
            .topic_with("items", PARTITIONS, &COMPACTED_LATER)
            .topic_with("delivery-classes", 1, &COMPACTED_LATER)
            .topic_with("items-enriched", PARTITIONS, &COMPACTED_LATER)
            .topic("shop.delivery-time.dead-letters", PARTITIONS);
        for (name, policy) in activation::TOPICS {
            builder = builder.topic_with(name, PARTITIONS, &[("cleanup.policy", policy)]);
        }
        let broker = builder.start().map_err(|error| cannot(error.into()))?;
        let kafka = Kafka { brokers: broker.bootstrap(), client: BTreeMap::new() };
        let pace = Duration::from_secs(1) / rate;
        say(&format!("an embedded broker listens on {}; its topics are made", kafka.brokers))?;
        Ok(Self { corpus, pace, clock: Clock::system(), broker, kafka, dir })
    }

    /// Tells the story to its end.
    ///
    /// # Errors
    /// `check_failed` when anything is not as promised.
    pub(super) fn tell(self, keep: bool) -> Result<(), Fault> {
        let mut logistics = Logistics::begin(self.corpus, &self.kafka)?;
        say(&format!("Logistics has published {} delivery classes", logistics.first.len()))?;
        let file = self.write_pipeline()?;
        let mut host = self.start_host(&file)?;
        say(&format!("started the host as a process of its own: gristmill run {}", file.display()))?;
        let sent = Arc::new(AtomicUsize::new(0));
        let job = JobProgress::new(&file, &self.clock);
        let mut watch = Watch::open(&self.kafka, &self.clock, job, &sent)?;

        let market = self.bring_in_the_stock(&mut host, &mut watch, sent)?;
        let suppliers = self.open(&market)?;
        let (host, times) = self.change_classes(&file, host, &mut watch, &mut logistics)?;
        let updates = market.close();
        let host = self.close(suppliers, host, &mut watch)?;
        host.stop(&self.clock, PATIENCE)?;
        watch.say("stopped the host (SIGTERM); it had committed everything")?;

        let verdict = self.judge(updates, &logistics, &watch);
        let latencies = Latencies::of(&watch.enriched, &market, times);
        output::print(&report::table(&verdict, &latencies))?;
        let tally = activation::play(&self.kafka, self.dir.path(), &self.clock)?;
        output::print(&tally.table())?;
        self.look_further(keep)?;
        verdict.conclude()?;
        tally.conclude()?;
        say("everything is as promised")
    }

    fn write_pipeline(&self) -> Result<PathBuf, Fault> {
        let file = self.dir.path().join("shop.toml");
        let dir = self.dir.path().to_string_lossy();
        let text = PIPELINE.replace("@DIR", &dir).replace("@BROKERS", &self.kafka.brokers);
        std::fs::write(&file, text).map_err(|error| {
            Fault::new(Code::Internal, "the demo cannot write its pipeline file").because(error)
        })?;
        Ok(file)
    }

    fn start_host(&self, file: &Path) -> Result<Host, Fault> {
        Host::start(file, &self.dir.path().join("host.log"))
    }

    /// Sends an item of the large class each, and waits until all have come out. Gives back the market, which opens now.
    fn bring_in_the_stock(
        &self,
        host: &mut Host,
        watch: &mut Watch,
        sent: Arc<AtomicUsize>,
    ) -> Result<Market, Fault> {
        let items = self.corpus.items;
        watch.say(&format!("a supplier sends {items} items of the class `bulky`"))?;
        let mut market = Market {
            corpus: self.corpus,
            kafka: self.kafka.clone(),
            topic: TopicName::new("items"),
            pace: self.pace,
            clock: self.clock.clone(),
            begin: Duration::ZERO,
            sent,
            end: Arc::new(AtomicUsize::new(usize::MAX)),
        };
        let own = market.clone();
        let stock = start("stock", move || own.send_stock())?;
        watch.until_count(host, items)?;
        join(stock)?;
        market.begin = self.clock.elapsed();
        Ok(market)
    }

    fn open(&self, market: &Market) -> Result<Vec<Supplier>, Fault> {
        let rate = 1_000_000_000 / self.pace.as_nanos().max(1);
        say(&format!(
            "{SUPPLIERS} suppliers begin to send {rate} item updates a second, to the end of the demo"
        ))?;
        let begin = |supplier| {
            let market = market.clone();
            start(&format!("supplier-{supplier}"), move || market.send(supplier))
        };
        (0..SUPPLIERS).map(begin).collect()
    }

    /// Logistics changes small classes, then the large one; the host dies in the middle of it and is started again.
    fn change_classes(
        &self,
        file: &Path,
        mut host: Host,
        watch: &mut Watch,
        logistics: &mut Logistics,
    ) -> Result<(Host, Times), Fault> {
        let items = self.corpus.items;
        watch.during(&mut host, BEFORE)?;
        let [changed, inserted, deleted] = logistics.change_small_ones()?;
        watch.say(&format!("Logistics changes `{changed}`, adds `{inserted}`, deletes `{deleted}`"))?;
        watch.during(&mut host, BEFORE)?;
        watch.enriched.count_marked(Logistics::mark());
        logistics.change_the_large_one()?;
        let at = self.clock.elapsed();
        watch.say(&format!("Logistics changes `bulky`: all of its {items} items go out again"))?;
        watch.until_fanned_out(&mut host, items * 2 / 5)?;
        host.kill()?;
        let killed = self.clock.elapsed();
        let out = watch.enriched.marked();
        watch.say(&format!(
            "killed the host (SIGKILL) when {out} of them had come out, and started it again"
        ))?;
        host = self.start_host(file)?;
        watch.until_job_is_done(&mut host, items)?;
        let done = self.clock.elapsed();
        let took = done.saturating_sub(at).as_secs_f32();
        watch.say(&format!("the fan-out is done, {took:.1} s after the class had changed"))?;
        Ok((host, Times { changed: at, killed, done }))
    }

    /// Waits for the suppliers, and then until nothing more can come.
    fn close(&self, suppliers: Vec<Supplier>, mut host: Host, watch: &mut Watch) -> Result<Host, Fault> {
        suppliers.into_iter().try_for_each(join)?;
        let mut count = None;
        while count != Some(watch.count()) {
            count = Some(watch.count());
            watch.during(&mut host, QUIET)?;
        }
        Ok(host)
    }

    fn judge(&self, updates: usize, logistics: &Logistics, watch: &Watch) -> Verdict {
        let sent: Vec<Update> = (0..updates).map(|number| self.corpus.update(number)).collect();
        let history = verdict::history(&logistics.first, &logistics.changes);
        let outputs = watch.enriched.seen().map(|seen| &seen.record);
        verdict::judge(&sent, &history, outputs, watch.letters.seen().map(|seen| &seen.record))
    }

    /// Says how to look into the topics, and waits if somebody wants to.
    fn look_further(&self, keep: bool) -> Result<(), Fault> {
        if !keep {
            return say("look further: gristmill demo --keep leaves the broker running for any Kafka client");
        }
        let brokers = &self.kafka.brokers;
        output::print(&format!(
            "\nThe broker is still there, for any Kafka client:\n  kcat -b {brokers} -L\n  kcat -b {brokers} -C -t items-enriched -e -f '%k %s\\n'\n  gristmill tail items-enriched --brokers {brokers}\nPress Enter to end.\n"
        ))?;
        let mut line = String::new();
        // The end of the input ends the demo as well.
        drop(std::io::stdin().read_line(&mut line));
        self.broker.stop();
        Ok(())
    }
}

fn start(name: &str, work: impl FnOnce() -> Result<(), Fault> + Send + 'static) -> Result<Supplier, Fault> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread
        .spawn(work)
        .map_err(|error| Fault::new(Code::Internal, "a supplier cannot be started").because(error))
}

fn join(supplier: Supplier) -> Result<(), Fault> {
    supplier.join().map_err(|_| Fault::new(Code::Internal, "a supplier's thread panicked"))?
}
