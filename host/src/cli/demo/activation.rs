//! The demo's second act: three transforms from unknown messages to one REST call for each activation, and a host that dies
//! with calls in flight.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::Host;
use super::observer::Observer;
use super::products::{self, Event};
use super::rest::RestServer;
use super::supplier::outgoing;
use super::tally::{self, Outcome, Tally};
use super::watch::say;
use crate::clock::Clock;
use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::TopicName;
use crate::kafka::produce::PlainProducer;

/// The pipeline; `gristmill init` writes one like it for each plugin.
const PIPELINE: &str = r#"[app]
id = "shop"
state_dir = "@DIR/state"
api = "127.0.0.1:0"

[kafka]
brokers = "@BROKERS"

[transforms.product-intake]
plugin = "builtin:product-intake"
sources.messages = "product-inbox"
sinks.information = "product-information"

[transforms.product-intake.config]
product_id_pointer = "/product/number"
copy = ["/product/title"]
rename = { "/codes/external" = "externalId" }
required = ["externalId"]

[transforms.activation]
plugin = "builtin:activation"
sources.information = "product-information"
sources.activation = "product-activation"
sinks.notifications = "activation-notifications"
sinks.expired = "activations-expired"

[transforms.rest-lookup]
plugin = "builtin:rest-lookup"
sources.notifications = "activation-notifications"
sinks.details = "product-details"
config.path = "/products/{externalId}/{activationId}"

[transforms.rest-lookup.endpoints.details]
base_url = "@SERVER"
mode = "at-most-once"   # the default: a call whose outcome is unknown is never made again
timeout = "2s"
"#;

/// The topics of the act that the host does not make by itself, with what becomes of old records.
pub(super) const TOPICS: [(&str, &str); 8] = [
    (products::INBOX, "delete"),
    ("product-information", "compact"),
    (products::ACTIVATION, "delete"),
    ("activation-notifications", "delete"),
    ("activations-expired", "delete"),
    ("product-details", "delete"),
    ("shop.rest-lookup.callouts-review", "delete"),
    ("shop.rest-lookup.dead-letters", "delete"),
];

/// How long the host may take to do what is left, and to stop. A call that is in doubt after a kill waits for 17 s of it.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long nothing more may come out at the end: doubled records would come now.
const QUIET: Duration = Duration::from_secs(2);

const LOOK: Duration = Duration::from_millis(20);

/// Plays the act, and gives what an independent check has found.
pub(super) fn play(kafka: &Kafka, dir: &Path, clock: &Clock) -> Result<Tally, Fault> {
    let server = RestServer::start()?;
    say(&format!(
        "an external REST server listens on {}: slow, failing, resetting connections",
        server.base_url()
    ))?;
    let file = write_pipeline(kafka, dir, &server)?;
    let log = dir.join("activation.log");
    let mut host = Host::start(&file, &log)?;
    say("started a host with three transforms: product-intake -> activation -> rest-lookup")?;
    let events = products::events();
    let mut eyes = Eyes::open(kafka, clock)?;
    let wanted = events.iter().filter(|event| event.topic == products::ACTIVATION).count();
    let others = events.len() - wanted;
    say(&format!("{wanted} activations and {others} messages about products are sent, in all orders"))?;
    let sending = feed(kafka, clock, &events)?;
    eyes.until(&mut host, clock, |eyes| eyes.outcomes() >= wanted * 2 / 5 && server.busy() > 2)?;
    let busy = server.busy();
    host.kill()?;
    say(&format!(
        "killed the host (SIGKILL) with {busy} requests under way, after {} of {wanted} outcomes, and started it again",
        eyes.outcomes()
    ))?;
    host = Host::start(&file, &log)?;
    sending.join().map_err(|_| Fault::new(Code::Internal, "the feed's thread panicked"))??;
    eyes.until(&mut host, clock, |eyes| eyes.outcomes() >= wanted)?;
    let quiet = clock.elapsed().saturating_add(QUIET);
    eyes.until(&mut host, clock, |_| clock.elapsed() >= quiet)?;
    host.stop(clock, PATIENCE)?;
    say("every notification has its outcome; stopped the host (SIGTERM)")?;
    Ok(eyes.judge(&events, &server))
}

fn write_pipeline(kafka: &Kafka, dir: &Path, server: &RestServer) -> Result<PathBuf, Fault> {
    let file = dir.join("activation.toml");
    let text = PIPELINE
        .replace("@DIR", &dir.to_string_lossy())
        .replace("@BROKERS", &kafka.brokers)
        .replace("@SERVER", &server.base_url());
    std::fs::write(&file, text).map_err(|error| {
        Fault::new(Code::Internal, "the demo cannot write its pipeline file").because(error)
    })?;
    Ok(file)
}

type Sending = std::thread::JoinHandle<Result<(), Fault>>;

/// Sends each event when it is due, whatever the host does meanwhile.
fn feed(kafka: &Kafka, clock: &Clock, events: &[Event]) -> Result<Sending, Fault> {
    let mut producer = PlainProducer::open(kafka)?;
    let (clock, events, begin) = (clock.clone(), events.to_vec(), clock.elapsed());
    let send = move || {
        for event in &events {
            std::thread::sleep(begin.saturating_add(event.at).saturating_sub(clock.elapsed()));
            let topic = TopicName::new(event.topic);
            producer.send(&outgoing(&topic, event.key.as_bytes(), Some(&event.value)))?;
        }
        producer.flush()
    };
    let thread = std::thread::Builder::new().name("products".to_owned()).spawn(send);
    thread.map_err(|error| Fault::new(Code::Internal, "a thread cannot be started").because(error))
}

/// Who looks at what comes out.
struct Eyes {
    notifications: Observer,
    expired: Observer,
    details: Observer,
    review: Observer,
    dead_letters: Observer,
}

impl Eyes {
    fn open(kafka: &Kafka, clock: &Clock) -> Result<Self, Fault> {
        let open = |topic| Observer::open(kafka, topic, clock);
        Ok(Self {
            notifications: open("activation-notifications")?,
            expired: open("activations-expired")?,
            details: open("product-details")?,
            review: open("shop.rest-lookup.callouts-review")?,
            dead_letters: open("shop.rest-lookup.dead-letters")?,
        })
    }

    fn outcomes(&self) -> usize {
        self.details.count() + self.review.count() + self.dead_letters.count()
    }

    fn look(&mut self) -> Result<(), Fault> {
        let all = [
            &mut self.notifications,
            &mut self.expired,
            &mut self.details,
            &mut self.review,
            &mut self.dead_letters,
        ];
        all.into_iter().try_for_each(|observer| observer.look(LOOK))
    }

    /// Looks until something is so.
    fn until(&mut self, host: &mut Host, clock: &Clock, is_so: impl Fn(&Self) -> bool) -> Result<(), Fault> {
        let deadline = clock.elapsed().saturating_add(PATIENCE);
        while !is_so(self) {
            self.look()?;
            if let Some((status, words)) = host.ended() {
                return Err(
                    Fault::new(Code::CheckFailed, format!("the host ended with {status}")).because(words)
                );
            }
            if clock.elapsed() > deadline {
                let (sent, ended) = (self.notifications.count(), self.outcomes());
                let what = format!("after {PATIENCE:?} there are {sent} notifications and {ended} outcomes");
                return Err(Fault::new(Code::CheckFailed, what));
            }
        }
        Ok(())
    }

    fn judge(&self, events: &[Event], server: &RestServer) -> Tally {
        let records =
            |observer: &'_ Observer| observer.seen().map(|seen| seen.record.clone()).collect::<Vec<_>>();
        let (notifications, details) = (records(&self.notifications), records(&self.details));
        let (review, dead_letters) = (records(&self.review), records(&self.dead_letters));
        tally::judge(
            events,
            &Outcome {
                notifications: notifications.iter().collect(),
                details: details.iter().collect(),
                review: review.iter().collect(),
                dead_letters: dead_letters.iter().collect(),
                expired: self.expired.count(),
                requests: server.log(),
            },
        )
    }
}
