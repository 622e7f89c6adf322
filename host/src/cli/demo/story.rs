//! The demo's story: what happens, in which order, and what is told about it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::child::command;
use super::consumers::Desk;
use super::corpus::{Corpus, SUPPLIERS};
use super::errand::Errand;
use super::figures::grouped;
use super::findings::{Acts, Kill};
use super::latency::Times;
use super::logistics::Logistics;
use super::panel::Sights;
use super::pipeline::{self, Choices};
use super::place::Place;
use super::products::{self, Event};
use super::rest::RestServer;
use super::stage::{Company, Stage};
use super::supplier::{Market, outgoing};
use crate::fault::Fault;
use crate::kafka::produce::PlainProducer;

/// How long updates flow before and after small changes, so that there is something to compare with.
const WHILE: Duration = Duration::from_secs(2);

/// How long nothing more may come out at the end: doubled records would come now.
const QUIET: Duration = Duration::from_secs(2);

/// How long the fan-out takes at the pace that the pipeline file gives it: for every 16,000 items a second, within bounds.
const FAN_OUT: (usize, usize) = (2, 6);
const ITEMS_A_SECOND: usize = 16_000;

/// Items that are ordered again.
const AGAIN: usize = 3;

/// Tasks that share the fan-out.
const TASKS: usize = 4;

/// How large everything is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Items and classes.
    pub(super) corpus: Corpus,
    /// Item updates a second.
    pub(super) rate: u32,
    /// Products.
    pub(super) products: usize,
    /// Whether option 2 runs beside option 1.
    pub(super) is_side_by_side: bool,
}

/// A running demo.
pub(super) struct Story<'a> {
    sizes: Sizes,
    stage: Stage<'a>,
    logistics: Logistics,
    events: Vec<Event>,
}

/// Tells the story to its end.
///
/// # Errors
/// `check_failed` when anything is not as promised, or somebody has interrupted it.
pub(super) fn tell(place: &Place, company: &Company, sizes: Sizes) -> Result<(), Fault> {
    Story::begin(place, company, sizes)?.go_on()
}

impl<'a> Story<'a> {
    /// Topics, database, external service, host: everything that is there before the first item.
    fn begin(place: &'a Place, company: &Company, sizes: Sizes) -> Result<Self, Fault> {
        let screen = &company.screen;
        let made = place.make_topics(sizes.is_side_by_side)?;
        let kind = if place.is_embedded() { "an embedded broker" } else { "the Kafka" };
        screen.say("topics", &format!("{made} topics on {kind} at {}", place.kafka.brokers))?;
        let database = place.file("logistics.db");
        let logistics = Logistics::begin(sizes.corpus, &database)?;
        let (classes, database) = (logistics.first, database.display());
        screen
            .say("database", &format!("Logistics keeps {classes} delivery classes in SQLite: {database}"))?;
        let server = Arc::new(RestServer::start()?);
        let url = server.base_url();
        screen.say(
            "service",
            &format!("an external REST service at {url}: slow, failing, resetting connections"),
        )?;
        let file = write_pipeline(place, &server, sizes)?;
        let said = command(&["ingest", "sql", &file.to_string_lossy()])?;
        screen.say("by hand", &format!("gristmill ingest sql: {said}"))?;
        let sights = Sights {
            reading: Arc::default(),
            sent: Arc::default(),
            server,
            desks: Arc::new(Desk::open_all(place)?),
            classes: Arc::default(),
        };
        screen.say("host", &format!("gristmill run {}, as a process of its own", file.display()))?;
        let stage = Stage::open(place, company, sights, file, sizes.is_side_by_side)?;
        Ok(Self { sizes, stage, logistics, events: products::events(sizes.products) })
    }

    fn go_on(mut self) -> Result<(), Fault> {
        self.ingest_classes()?;
        let market = self.bring_in_the_stock()?;
        let suppliers = self.open(&market)?;
        self.change_small_classes()?;
        let feed = self.activate_products()?;
        let changed = self.change_the_large_class()?;
        let kill = self.kill_the_host()?;
        let done = self.come_back(changed)?;
        self.make_a_mistake()?;
        feed.finish()?;
        let updates = market.close();
        suppliers.into_iter().try_for_each(Errand::finish)?;
        self.come_to_rest()?;
        let ordered = self.order_again()?;
        self.stop()?;
        let times = Times { changed, killed: kill.at, done };
        let Self { sizes, stage, logistics, events } = self;
        Acts { sizes, updates, kill, times, events, market, ordered }.judge(stage, logistics)
    }

    /// Waits until the ingest has brought everything to the topic that SQL statements have done.
    fn await_ingest(&mut self) -> Result<(), Fault> {
        let wanted = self.logistics.first + self.logistics.deeds.len();
        self.stage.until(|stage| Ok(stage.eyes.classes.count() >= wanted))
    }

    fn ingest_classes(&mut self) -> Result<(), Fault> {
        self.await_ingest()?;
        let classes = self.logistics.first;
        self.stage.say("ingest", &format!("{classes} rows of the table are records of `delivery-classes`"))
    }

    /// Sends an item of the large class each, and waits until all have come out. Gives back the market, which opens now.
    fn bring_in_the_stock(&mut self) -> Result<Market, Fault> {
        let items = self.sizes.corpus.items;
        self.stage
            .say("stock", &format!("a supplier sends {} items of the class `bulky`", grouped(items)))?;
        let mut market = Market {
            corpus: self.sizes.corpus,
            kafka: self.stage.place.kafka.clone(),
            topic: self.stage.place.names.topic("items"),
            pace: Duration::from_secs(1) / self.sizes.rate,
            clock: self.stage.company.clock.clone(),
            begin: Duration::ZERO,
            sent: Arc::clone(&self.stage.sights.sent),
            end: Arc::new(AtomicUsize::new(usize::MAX)),
        };
        let own = market.clone();
        let begin = self.stage.now();
        let stock = Errand::start("stock", move |is_over| own.send_stock(is_over))?;
        self.stage.until(|stage| Ok(stage.eyes.items() >= items))?;
        stock.finish()?;
        market.begin = self.stage.now();
        let took = market.begin.saturating_sub(begin).as_secs_f32();
        self.stage
            .say("stock", &format!("all have come out with their delivery times, after {took:.1} s"))?;
        Ok(market)
    }

    fn open(&mut self, market: &Market) -> Result<Vec<Errand>, Fault> {
        let rate = self.sizes.rate;
        self.stage
            .say("trade", &format!("{SUPPLIERS} suppliers send {rate} item updates a second from now on"))?;
        let begin = |supplier| {
            let market = market.clone();
            Errand::start("supplier", move |is_over| market.send(supplier, is_over))
        };
        (0..SUPPLIERS).map(begin).collect()
    }

    fn change_small_classes(&mut self) -> Result<(), Fault> {
        self.stage.during(WHILE)?;
        for statement in [self.logistics.change()?, self.logistics.add()?, self.logistics.delete()?] {
            self.stage.say("changes", &format!("Logistics: {statement}"))?;
        }
        self.await_ingest()?;
        self.stage.say("changes", "the ingest has found and published all three")?;
        self.stage.during(WHILE)
    }

    /// Sends messages and activations, each when it is due, whatever the host does meanwhile.
    fn activate_products(&mut self) -> Result<Errand, Fault> {
        let of = |topic: &str| self.events.iter().filter(|event| event.topic == topic).count();
        let [activations, messages] = [products::ACTIVATION, products::INBOX].map(of).map(grouped);
        self.stage.say(
            "products",
            &format!("{activations} activations and {messages} messages about products come, in every order"),
        )?;
        let place = self.stage.place;
        let mut producer = PlainProducer::open(&place.kafka)?;
        let (clock, begin) = (self.stage.company.clock.clone(), self.stage.now());
        let events: Vec<_> =
            self.events.iter().map(|event| (place.names.topic(event.topic), event.clone())).collect();
        Errand::start("products", move |is_over| {
            for (topic, event) in events {
                std::thread::sleep(begin.saturating_add(event.at).saturating_sub(clock.elapsed()));
                if is_over.load(Ordering::Acquire) {
                    break;
                }
                producer.send(&outgoing(&topic, event.key.as_bytes(), Some(&event.value)))?;
            }
            producer.flush()
        })
    }

    /// Logistics changes the large class, and changes it again while the first walk is under way. Tells when.
    fn change_the_large_class(&mut self) -> Result<Duration, Fault> {
        let items = grouped(self.sizes.corpus.items);
        self.stage.eyes.count_marked(&Logistics::mark());
        let changed = self.stage.now();
        let statement = self.logistics.change_the_large_one()?;
        self.stage.say("fan-out", &format!("Logistics: {statement}"))?;
        self.await_ingest()?;
        self.stage.say(
            "fan-out",
            &format!("all {items} items of the class go out again, in steps beside the updates"),
        )?;
        let statement = self.logistics.think_again()?;
        self.stage.say("fan-out", &format!("Logistics thinks again: {statement}"))?;
        self.await_ingest()?;
        Ok(changed)
    }

    /// Kills the host in the middle of the fan-out and of callouts.
    fn kill_the_host(&mut self) -> Result<Kill, Fault> {
        let items = self.sizes.corpus.items;
        self.stage.until(|stage| {
            let is_in_the_middle = stage.eyes.marked() >= items * 2 / 5;
            Ok(is_in_the_middle && stage.eyes.outcomes() > 0 && stage.sights.server.busy() > 0)
        })?;
        let (marked, busy) = (self.stage.eyes.marked(), self.stage.sights.server.busy());
        self.stage.kill_host()?;
        let at = self.stage.now();
        let (out, of) = (grouped(marked), grouped(items));
        self.stage.say(
            "kill",
            &format!("SIGKILL to the host: {out} of {of} items are out, {busy} REST calls under way"),
        )?;
        let statement = self.logistics.change_another()?;
        self.stage.say("kill", &format!("Logistics does not mind: {statement}"))?;
        self.stage.start_host()?;
        self.stage.say("return", "started the host again; nobody does anything else")?;
        Ok(Kill { at, marked, busy })
    }

    /// Waits until the fan-out is done. Tells when.
    fn come_back(&mut self, changed: Duration) -> Result<Duration, Fault> {
        let items = self.sizes.corpus.items;
        self.stage.until(|stage| Ok(stage.eyes.marked() >= items && stage.sights.reading().is_jobless()))?;
        let done = self.stage.now();
        let took = done.saturating_sub(changed).as_secs_f32();
        self.stage.say(
            "return",
            &format!("the walk went on from its cursor and is done, {took:.1} s after the change"),
        )?;
        self.await_ingest()?;
        Ok(done)
    }

    /// Logistics empties its table, and puts everything back.
    fn make_a_mistake(&mut self) -> Result<(), Fault> {
        let statement = self.logistics.empty()?;
        self.stage.say("mistake", &format!("Logistics: {statement}"))?;
        self.stage.until(|stage| Ok(stage.sights.reading().ingest.is_refusing))?;
        self.stage.say("mistake", "the ingest refuses to delete more than a fifth of what is published")?;
        let statement = self.logistics.put_back()?;
        self.stage.say("mistake", &format!("Logistics: {statement}"))?;
        self.stage.until(|stage| Ok(!stage.sights.reading().ingest.is_refusing))
    }

    /// Waits until nothing more can come.
    fn come_to_rest(&mut self) -> Result<(), Fault> {
        self.stage.say("rest", "the suppliers stop; what is under way comes to its end")?;
        self.await_rest()
    }

    /// Waits until nothing more comes out.
    fn await_rest(&mut self) -> Result<(), Fault> {
        let (mut count, mut since) = (0, Duration::ZERO);
        self.stage.until(|stage| {
            let now = stage.now();
            if stage.eyes.count() != count || !stage.sights.reading().is_at_rest() {
                (count, since) = (stage.eyes.count(), now);
            }
            let taken = |desk: &Desk| desk.taken() >= stage.eyes.enriched.count();
            Ok(now.saturating_sub(since) >= QUIET && stage.sights.desks.iter().all(taken))
        })
    }

    /// Somebody wants to see items again. Tells which.
    fn order_again(&mut self) -> Result<Vec<String>, Fault> {
        let corpus = self.sizes.corpus;
        let again = AGAIN.min(corpus.items);
        let skus: Vec<_> = (0..again).map(|number| corpus.update(number).key).collect();
        let before = self.stage.eyes.enriched.count();
        let file = self.stage.file.to_string_lossy().into_owned();
        let mut arguments = vec!["reemit", &file, "--transform", "delivery-time", "--source", "items"];
        arguments.extend(skus.iter().flat_map(|sku| ["--key", sku]));
        let said = command(&arguments)?;
        self.stage.say("again", &format!("the search has lost {again} items. gristmill reemit: {said}"))?;
        self.stage.until(|stage| Ok(stage.eyes.enriched.count() >= before + again))?;
        self.stage.say("again", "they have come out as they are now")?;
        Ok(skus)
    }

    fn stop(&mut self) -> Result<(), Fault> {
        self.await_rest()?;
        self.stage.stop_host()?;
        self.stage.say("rest", "stopped the host (SIGTERM); everything is committed")
    }
}

fn write_pipeline(place: &Place, server: &RestServer, sizes: Sizes) -> Result<PathBuf, Fault> {
    let (shortest, longest) = FAN_OUT;
    let seconds = (sizes.corpus.items / ITEMS_A_SECOND).clamp(shortest, longest);
    let rate = (sizes.corpus.items / (TASKS * seconds)).max(10);
    let choices = Choices { server: server.base_url(), rate, is_side_by_side: sizes.is_side_by_side };
    pipeline::write(place, &choices)
}
