//! `gristmill demo`: everything that the bundled plugins are for, in one story of a minute, on the embedded broker or on a
//! Kafka of the user's own, with a host that is killed in the middle and an independent check of every promise at the end.
//!
//! ```text
//! story                                            what happens, in which order
//! stage  findings                                  waiting for things to be so; what is found in the end
//! place  pipeline  child                           a Kafka, the pipeline file, the host as a process
//! logistics  supplier  products  rest  corpus      those who put something in, and what
//! eyes  observer  consumers                        those who look at what comes out
//! verdict  carried  tally  expected  latency       the checks, and the model behind them
//! screen  panel  gauges  promises  figures         what is shown
//! ```

mod carried;
mod child;
mod consumers;
mod corpus;
mod errand;
mod expected;
mod eyes;
mod figures;
mod findings;
mod gauges;
mod latency;
mod logistics;
mod observer;
mod panel;
mod pipeline;
mod place;
mod products;
mod promises;
mod rest;
mod screen;
mod stage;
mod story;
mod supplier;
mod tally;
mod verdict;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use clap::Args;

use crate::app::shutdown::Shutdown;
use crate::cli::demo::corpus::Corpus;
use crate::cli::demo::place::Place;
use crate::cli::demo::screen::Screen;
use crate::cli::demo::stage::Company;
use crate::cli::demo::story::Sizes;
use crate::cli::output;
use crate::clock::Clock;
use crate::fault::{Code, Fault};

/// Of fewer classes, the one that Logistics deletes would be too large a part.
const CLASSES_MIN: usize = 5;

/// Of fewer products, none would be activated without information.
const PRODUCTS_MIN: usize = 40;

/// Shows the whole system in about a minute: suppliers send items, Logistics changes classes in its SQL database, products are
/// activated with one REST call each, the host is killed in the middle. Every promise is checked at the end.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: nothing, it brings its own broker; or with --on to that Kafka\n\
                        Example:  gristmill demo --items 200000 --side-by-side\n\
                        Example:  gristmill demo --on localhost:9092 --prefix try-out")]
pub(super) struct Options {
    /// Items of one class: all of them go out again when it changes.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    items: usize,

    /// How many other delivery classes there are.
    #[arg(long, value_name = "N", default_value_t = 50)]
    classes: usize,

    /// How many products are activated.
    #[arg(long, value_name = "N", default_value_t = 400)]
    products: usize,

    /// Item updates a second that the suppliers send all the time.
    #[arg(long, value_name = "N", default_value_t = 500)]
    rate: u32,

    /// The same seed makes the same items.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Run option 2, update commands, beside option 1, and compare them.
    #[arg(long)]
    side_by_side: bool,

    /// Play on this Kafka, and take everything away afterwards.
    #[arg(long, value_name = "HOST:PORT")]
    on: Option<String>,

    /// What all names begin with there [default: gristmill-demo-RANDOM].
    #[arg(long, value_name = "PREFIX", requires = "on")]
    prefix: Option<String>,

    /// Leave everything there afterwards, for any Kafka client to look into.
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let sizes = sizes(options)?;
    let shutdown = Shutdown::on_signals()?;
    let clock = Clock::system();
    let screen = Arc::new(Screen::open(&clock));
    let place = match &options.on {
        Some(brokers) => Place::on(brokers, options.prefix.as_deref())?,
        None => Place::embedded()?,
    };
    let company = Company { clock, screen, shutdown };
    let told = story::tell(&place, &company, sizes);
    let left = if options.keep { keep(&place, &company) } else { clear(&place, &company) };
    told.and(left)
}

fn sizes(options: &Options) -> Result<Sizes, Fault> {
    let Options { items, classes, products, rate, seed, side_by_side, .. } = *options;
    if items == 0 || rate == 0 || classes < CLASSES_MIN || products < PRODUCTS_MIN {
        let what = format!(
            "a demo needs items and a rate, {CLASSES_MIN} classes and {PRODUCTS_MIN} products, or it shows nothing"
        );
        return Err(Fault::new(Code::CommandUnfit, what));
    }
    let corpus = Corpus { items, classes, seed };
    Ok(Sizes { corpus, rate, products, is_side_by_side: side_by_side })
}

fn clear(place: &Place, company: &Company) -> Result<(), Fault> {
    match place.clear()? {
        Some((topics, groups)) => {
            company.screen.say("clean-up", &format!("deleted {topics} topics and {groups} consumer groups"))
        }
        None => {
            company.screen.say("clean-up", "the broker is gone with all its topics; --keep leaves it running")
        }
    }
}

/// Says how to look into the topics, and waits if they would go with this process.
fn keep(place: &Place, company: &Company) -> Result<(), Fault> {
    let (brokers, topic) = (&place.kafka.brokers, place.names.topic("items-enriched"));
    output::print(&format!(
        "\nEverything is still there, for any Kafka client:\n  kcat -b {brokers} -L\n  \
         kcat -b {brokers} -C -t {topic} -e -f '%k %s\\n'\n  gristmill tail {topic} --brokers {brokers}\n"
    ))?;
    if place.is_embedded() {
        output::print("Press Enter to end.\n")?;
        wait_for_enter(&company.shutdown)?;
    }
    Ok(())
}

/// Waits for a line, for the end of the input, or for a signal.
fn wait_for_enter(shutdown: &Shutdown) -> Result<(), Fault> {
    let (sender, line) = sync_channel::<()>(1);
    let read = move || {
        // The end of the input ends the demo as well.
        drop(std::io::stdin().read_line(&mut String::new()));
        drop(sender);
    };
    let thread = std::thread::Builder::new().name("enter".to_owned()).spawn(read);
    thread.map_err(|error| Fault::new(Code::Internal, "a thread cannot be started").because(error))?;
    let goes_on = || line.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout);
    while !shutdown.is_requested() && goes_on() {}
    Ok(())
}
