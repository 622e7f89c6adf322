//! The demo's story: what happens, in which order, and what is told about it.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::child::Host;
use super::corpus::{Corpus, SUPPLIERS, Update};
use super::observer::Observer;
use super::supplier::{Market, outgoing};
use super::verdict::{self, Verdict};
use crate::cli::output;
use crate::clock::Clock;
use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::TopicName;
use crate::kafka::produce::PlainProducer;

/// The pipeline of the demo; `gristmill init --plugin builtin:delivery-time` writes one like it.
const PIPELINE: &str = r#"[app]
id = "shop"
state_dir = "@DIR/state"

[kafka]
brokers = "@BROKERS"

[transforms.delivery-time]
plugin = "builtin:delivery-time"
sources.items = "items"
sources.classes = "delivery-classes"
sinks.enriched = "items-enriched"
"#;

/// How many partitions the topics of items have.
const PARTITIONS: i32 = 4;

/// The check compares every version of every record: compaction waits until the demo is over.
const COMPACTED_LATER: [(&str, &str); 2] =
    [("cleanup.policy", "compact"), ("min.compaction.lag.ms", "3600000")];

/// How long nothing may come out before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the display moves where it is not a terminal.
const PLAIN_STEP: usize = 5;

/// A running demo.
pub(super) struct Story {
    corpus: Corpus,
    pace: Duration,
    clock: Clock,
    broker: gristmill_broker::Broker,
    kafka: Kafka,
    dir: tempfile::TempDir,
}

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
        let broker = gristmill_broker::Broker::builder()
            .topic_with("items", PARTITIONS, &COMPACTED_LATER)
            .topic_with("delivery-classes", 1, &COMPACTED_LATER)
            .topic_with("items-enriched", PARTITIONS, &COMPACTED_LATER)
            .topic("shop.delivery-time.dead-letters", PARTITIONS)
            .start()
            .map_err(|error| cannot(error.into()))?;
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
        let classes = self.publish_classes()?;
        let file = self.write_pipeline()?;
        let mut host = self.start_host(&file)?;
        let market = self.open_market();
        let suppliers = self.start_suppliers(&market)?;
        let mut watch = Watch::new(&self, &market)?;

        watch.until(&mut host, self.corpus.items / 2)?;
        host.kill()?;
        watch.say(&format!("killed the host (SIGKILL) after {} records had come out", watch.count()))?;
        host = self.start_host(&file)?;
        watch.until(&mut host, self.corpus.items)?;
        watch.until_quiet(&mut host)?;
        for supplier in suppliers {
            supplier.join().map_err(|_| Fault::new(Code::Internal, "a supplier's thread panicked"))??;
        }
        host.stop(&self.clock, PATIENCE)?;
        watch.say("stopped the host (SIGTERM); it had committed everything")?;

        let verdict = self.judge(&classes, &watch)?;
        output::print(&report(&verdict, &watch.latencies(&market)))?;
        self.look_further(keep)?;
        verdict.conclude()?;
        say("everything is as promised")
    }

    fn publish_classes(&self) -> Result<Vec<(String, Vec<u8>)>, Fault> {
        let classes: Vec<_> = (0..self.corpus.classes).map(|number| self.corpus.class(number)).collect();
        let topic = TopicName::new("delivery-classes");
        let mut producer = PlainProducer::open(&self.kafka)?;
        for (name, value) in &classes {
            producer.send(&outgoing(&topic, name.as_bytes(), Some(value)))?;
        }
        producer.flush()?;
        say(&format!("Logistics has published {} delivery classes", classes.len()))?;
        Ok(classes)
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

    fn start_host(&self, file: &std::path::Path) -> Result<Host, Fault> {
        let host = Host::start(file, &self.dir.path().join("host.log"))?;
        say(&format!("started the host as a process of its own: gristmill run {}", file.display()))?;
        Ok(host)
    }

    fn open_market(&self) -> Market {
        Market {
            corpus: self.corpus,
            kafka: self.kafka.clone(),
            topic: TopicName::new("items"),
            pace: self.pace,
            clock: self.clock.clone(),
            begin: self.clock.elapsed(),
            sent: Arc::new(AtomicUsize::new(0)),
        }
    }

    fn start_suppliers(&self, market: &Market) -> Result<Vec<JoinHandle<Result<(), Fault>>>, Fault> {
        say(&format!("{SUPPLIERS} suppliers begin to send {} item updates", self.corpus.items))?;
        let start = |supplier| {
            let market = market.clone();
            std::thread::Builder::new()
                .name(format!("supplier-{supplier}"))
                .spawn(move || market.send(supplier))
                .map_err(|error| Fault::new(Code::Internal, "a supplier cannot be started").because(error))
        };
        (0..SUPPLIERS).map(start).collect()
    }

    fn judge(&self, classes: &[(String, Vec<u8>)], watch: &Watch) -> Result<Verdict, Fault> {
        let sent: Vec<Update> = (0..self.corpus.items).map(|number| self.corpus.update(number)).collect();
        let published = classes.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let records = |topic: &str| -> Result<Vec<Update>, Fault> {
            let mut reader = Observer::open(&self.kafka, &TopicName::new(topic), &self.clock)?;
            while !reader.is_done() {
                reader.look(Duration::from_millis(200))?;
            }
            Ok(reader.seen().map(|seen| seen.record.clone()).collect())
        };
        let outputs = records("items-enriched")?;
        let letters = records("shop.delivery-time.dead-letters")?;
        if outputs.len() != watch.enriched.count() {
            return Err(Fault::new(Code::CheckFailed, "two readers of the same topic saw different records"));
        }
        Ok(verdict::judge(&sent, &verdict::classes(published), &outputs, &letters))
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

/// What the demo sees coming out, and how it shows it.
struct Watch {
    enriched: Observer,
    letters: Observer,
    items: usize,
    sent: Arc<AtomicUsize>,
    clock: Clock,
    bar: Option<ProgressBar>,
    told: usize,
}

impl Watch {
    fn new(story: &Story, market: &Market) -> Result<Self, Fault> {
        let open = |topic: &str| Observer::open(&story.kafka, &TopicName::new(topic), &story.clock);
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} came out  {msg}");
            ProgressBar::new(story.corpus.items as u64)
                .with_style(style.unwrap_or(ProgressStyle::default_bar()))
        });
        Ok(Self {
            enriched: open("items-enriched")?,
            letters: open("shop.delivery-time.dead-letters")?,
            items: story.corpus.items,
            sent: Arc::clone(&market.sent),
            clock: story.clock.clone(),
            bar,
            told: 0,
        })
    }

    fn count(&self) -> usize {
        self.enriched.count() + self.letters.count()
    }

    /// Watches until so many records have come out.
    fn until(&mut self, host: &mut Host, wanted: usize) -> Result<(), Fault> {
        let (mut last, mut since) = (self.count(), self.clock.elapsed());
        while self.count() < wanted {
            self.look(host)?;
            if self.count() > last {
                (last, since) = (self.count(), self.clock.elapsed());
            }
            if self.clock.elapsed().saturating_sub(since) > PATIENCE {
                let what = format!("nothing came out for {PATIENCE:?}; {last} of {} records had", self.items);
                return Err(Fault::new(Code::CheckFailed, what));
            }
        }
        Ok(())
    }

    /// Watches for two more seconds: doubled records would come now.
    fn until_quiet(&mut self, host: &mut Host) -> Result<(), Fault> {
        let end = self.clock.elapsed() + Duration::from_secs(2);
        while self.clock.elapsed() < end {
            self.look(host)?;
        }
        if let Some(bar) = &self.bar {
            bar.finish();
        }
        Ok(())
    }

    fn look(&mut self, host: &mut Host) -> Result<(), Fault> {
        if let Some((status, words)) = host.ended() {
            return Err(Fault::new(Code::CheckFailed, format!("the host ended with {status}")).because(words));
        }
        self.enriched.look(Duration::from_millis(20))?;
        self.letters.look(Duration::ZERO)?;
        self.show()
    }

    fn show(&mut self) -> Result<(), Fault> {
        let (count, sent) = (self.count(), self.sent.load(Ordering::Relaxed));
        if let Some(bar) = &self.bar {
            bar.set_position(count as u64);
            bar.set_message(format!("{sent} sent"));
            return Ok(());
        }
        let step = count * PLAIN_STEP / self.items.max(1);
        if step > self.told {
            self.told = step;
            say(&format!("{sent} updates sent, {count} records came out"))?;
        }
        Ok(())
    }

    fn say(&self, text: &str) -> Result<(), Fault> {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    /// From the moment when an update was due to that when its record was seen, sorted.
    fn latencies(&self, market: &Market) -> Vec<Duration> {
        let number =
            |value: &[u8]| serde_json::from_slice::<serde_json::Value>(value).ok()?.get("update")?.as_u64();
        let mut latencies: Vec<_> = self
            .enriched
            .seen()
            .filter_map(|seen| {
                let number = usize::try_from(number(seen.record.value.as_deref()?)?).ok()?;
                Some(seen.at.saturating_sub(market.due(number)))
            })
            .collect();
        latencies.sort();
        latencies
    }
}

/// The table at the end.
fn report(verdict: &Verdict, latencies: &[Duration]) -> String {
    let mut text = String::from("\n");
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<44} {value:>10}\n"));
    line("updates sent", verdict.sent.to_string());
    line("records and tombstones that came out", verdict.outputs.to_string());
    line("dead letters (updates that are not JSON)", verdict.dead_letters.to_string());
    line("lost", verdict.lost.to_string());
    line("doubled", verdict.doubled.to_string());
    line("wrong", verdict.wrong.to_string());
    line("items whose records are out of order", verdict.disordered.to_string());
    for (name, percent) in [("latency p50, the kill included", 50), ("latency p99", 99)] {
        let at = (latencies.len().saturating_sub(1)) * percent / 100;
        let millis = latencies.get(at).map_or(0, Duration::as_millis);
        line(name, format!("{millis} ms"));
    }
    text.push('\n');
    text
}

fn say(text: &str) -> Result<(), Fault> {
    output::print(&format!("{text}\n"))?;
    // A closed standard output is not the demo's matter.
    drop(std::io::stdout().flush());
    Ok(())
}
