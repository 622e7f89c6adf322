//! Plugins that are wrong on purpose: the check of every order must find each of them.

use std::marker::PhantomData;
use std::time::Duration;

use activation::sinks;
use activation::sources;
use activation::stores;
use activation::tables;
use gristmill::Clock;
use gristmill::Context;
use gristmill::Failure;
use gristmill::Job;
use gristmill::Jobs;
use gristmill::Json;
use gristmill::Kept;
use gristmill::Plugin;
use gristmill::Record;
use gristmill::Reject;
use gristmill::Source;
use gristmill::Step;
use gristmill::Store;
use gristmill::Timer;
use gristmill::Timers;
use gristmill::json;
use serde_json::Value;

use crate::every_order::check_every_order;

const WAITING: Store<(&[u8], u64), Kept> = stores::WAITING.of();
/// What was sent: in a store that the plugin needs for something else.
const SENT: Store<(&[u8], u64), Json<String>> = stores::SEEN.of();

/// What is wrong.
trait Fault {
    /// Activations that were sent are kept, so that an update of information sends them again: what a join of two tables does.
    const SENDS_AGAIN: bool = false;
    /// An activation that was notified expires as well.
    const KEEPS_TIMERS: bool = false;
    /// Information is only looked for when the activation comes.
    const LOOKS_ONCE: bool = false;
    /// The first information counts, not the newest.
    const KEEPS_THE_FIRST: bool = false;
}

struct None;
impl Fault for None {}

struct SendsAgain;
impl Fault for SendsAgain {
    const SENDS_AGAIN: bool = true;
}

struct KeepsTimers;
impl Fault for KeepsTimers {
    const KEEPS_TIMERS: bool = true;
}

struct LooksOnce;
impl Fault for LooksOnce {
    const LOOKS_ONCE: bool = true;
}

struct KeepsTheFirst;
impl Fault for KeepsTheFirst {
    const KEEPS_THE_FIRST: bool = true;
}

/// The plugin in small, without what is only there for large numbers, and with a fault.
struct Small<F>(PhantomData<F>);

impl<F: Fault> gristmill::Exported for Small<F> {
    const HANDLERS: gristmill::Handlers<Self> = gristmill::Handlers::processor().with_timers().with_jobs();
}

impl<F: Fault> Plugin for Small<F> {
    type Config = Value;

    fn new(_config: Value) -> Result<Self, String> {
        Ok(Self(PhantomData))
    }

    fn record(&mut self, source: Source, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let (key, value) = (record.key.unwrap(), record.value);
        if source == sources::ACTIVATION {
            let known = ctx.table(tables::INFORMATION).get(key);
            let number = record.offset.unsigned_abs();
            let id = known.as_deref().and_then(id);
            if let Some(id) = &id {
                send(key, value.unwrap(), id, ctx);
                remember::<F>(key, number, value.unwrap(), ctx);
            } else {
                ctx.store(WAITING).put(&(key, number), &Kept::without_key(record));
                let name = [key, &number.to_be_bytes()].concat();
                ctx.timer_after(&name, Duration::from_secs(7 * 86_400), key);
            }
            return Ok(());
        }
        let Some(value) = value else { return Ok(()) };
        let new = id(value).ok_or_else(|| Reject::new("external-id-missing", ""))?;
        let id = if F::KEEPS_THE_FIRST { "0".to_owned() } else { new };
        if F::LOOKS_ONCE {
            return Ok(());
        }
        let mut sent = Vec::new();
        ctx.store(SENT).prefix(&(key,), |_, value| sent.push(value));
        sent.iter().for_each(|value| send(key, value.as_bytes(), &id, ctx));
        for ((_, number), kept) in all(key, ctx) {
            let value = kept.value.as_deref().unwrap();
            send(key, value, &id, ctx);
            remember::<F>(key, number, value, ctx);
            ctx.store(WAITING).delete(&(key, number));
            if !F::KEEPS_TIMERS {
                ctx.cancel_timer(Clock::WallClock, &[key, &number.to_be_bytes()].concat());
            }
        }
        Ok(())
    }
}

impl<F: Fault> Timers for Small<F> {
    fn timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let number = timer.name.last_chunk().map(|bytes| u64::from_be_bytes(*bytes)).unwrap();
        let kept = ctx.store(WAITING).get(&(timer.payload, number));
        ctx.store(WAITING).delete(&(timer.payload, number));
        let value =
            kept.and_then(|kept| kept.value).unwrap_or_else(|| format!(r#"{{"number":{number}}}"#).into());
        ctx.send(sinks::EXPIRED).key(timer.payload).value(&value);
        Ok(())
    }
}

impl<F: Fault> Jobs for Small<F> {
    fn step(&mut self, _: &Job<'_>, _: &mut Context<'_>) -> Result<Step, Failure> {
        Ok(Step::done(0))
    }
}

fn all(key: &[u8], ctx: &mut Context<'_>) -> Vec<((Vec<u8>, u64), Kept)> {
    let mut all = Vec::new();
    ctx.store(WAITING).prefix(&(key,), |key, kept| all.push((key, kept)));
    all
}

/// Keeps an activation that was sent, where that is what is wrong.
fn remember<F: Fault>(key: &[u8], number: u64, value: &[u8], ctx: &mut Context<'_>) {
    if F::SENDS_AGAIN {
        ctx.store(SENT).put(&(key, number), &String::from_utf8_lossy(value).into_owned());
    }
}

fn id(information: &[u8]) -> Option<String> {
    let id = json::field(information, "/externalId").unwrap().filter(|id| !id.is_null());
    id.map(|id| id.text().to_owned())
}

fn send(key: &[u8], activation: &[u8], id: &str, ctx: &mut Context<'_>) {
    let mut value = Vec::new();
    json::splice(activation, &[("externalId", id.as_bytes())], &mut value).unwrap();
    ctx.send(sinks::NOTIFICATIONS).key(key).value(&value);
}

#[test]
fn finds_nothing_where_nothing_is_wrong() {
    assert_eq!(check_every_order::<Small<None>>(4), Ok(1_560));
}

#[test]
fn finds_a_notification_that_an_update_sends_again() {
    let found = check_every_order::<Small<SendsAgain>>(4).unwrap_err();

    // Two updates of information, and what the second one sends is too much.
    let expected = "[Activation(0), Information(0), Information(0)], Together: what is sent: \
                    [(\"notifications\", 0, Some(1)), (\"notifications\", 0, Some(2))]";
    assert!(found.starts_with(expected), "{found}");
}

#[test]
fn finds_an_activation_that_is_notified_and_expires() {
    let found = check_every_order::<Small<KeepsTimers>>(4).unwrap_err();

    assert!(found.contains("(\"expired\""), "{found}");
}

#[test]
fn finds_an_activation_that_overlooks_what_comes_later() {
    let found = check_every_order::<Small<LooksOnce>>(4).unwrap_err();

    assert!(found.starts_with("[Activation(0), Information(0)]"), "{found}");
}

#[test]
fn finds_old_information() {
    let found = check_every_order::<Small<KeepsTheFirst>>(4).unwrap_err();

    assert!(found.contains("Some(0)"), "{found}");
}
