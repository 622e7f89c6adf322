//! librdkafka's log lines and errors, turned to ours, and never more of one kind than a person can read.
//!
//! A client without a broker says so several times a second, and a process has several clients.

use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_void};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::bindings::*;
use rdkafka::config::NativeClientConfig;

use crate::clock::Clock;
use crate::event;
use crate::kafka::native::text;

/// A kind of line is written once in this time.
const QUIET: Duration = Duration::from_secs(10);

/// Lets the first line of a kind through, and the next ones only after a while.
struct Throttle {
    clock: Clock,
    /// When a kind was last let through, and how many lines of it were held back since.
    kinds: Mutex<BTreeMap<String, (Duration, usize)>>,
}

static THROTTLE: LazyLock<Throttle> = LazyLock::new(|| Throttle::new(Clock::system()));

impl Throttle {
    fn new(clock: Clock) -> Self {
        Self { clock, kinds: Mutex::default() }
    }

    /// How many lines of this kind were held back before this one, if this one may be written.
    fn admit(&self, kind: &str) -> Option<usize> {
        let now = self.clock.elapsed();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        match kinds.get_mut(kind) {
            Some((last, held)) if now.saturating_sub(*last) < QUIET => {
                *held += 1;
                None
            }
            Some((last, held)) => {
                *last = now;
                Some(std::mem::take(held))
            }
            None => {
                kinds.insert(kind.to_owned(), (now, 0));
                Some(0)
            }
        }
    }
}

/// Sends the lines and errors of clients with this configuration here.
pub(super) fn attach(config: &NativeClientConfig) {
    // SAFETY: the configuration is alive, and the callbacks are functions of this program.
    unsafe {
        rd_kafka_conf_set_log_cb(config.ptr(), Some(on_log));
        rd_kafka_conf_set_error_cb(config.ptr(), Some(on_error));
    }
}

/// Warns of something that a client gets over by itself. `kind` tells apart what is held back together.
pub(super) fn warn(kind: &str, line: &str) {
    if let Some(held_back) = THROTTLE.admit(kind) {
        event::ClientWarned { kind, line, held_back }.emit();
    }
}

/// The lines speak of connections that break and heal: odd, recovered, so warnings at most.
unsafe extern "C" fn on_log(
    _client: *const rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    // SAFETY: librdkafka gives two C strings that live while the call lasts.
    let (facility, line) = unsafe { (text(facility), text(line)) };
    // Each client warns of options that are meant for the other kind of client; `[kafka.client]` serves both.
    match level {
        ..=4 if facility != "CONFWARN" => warn(&facility, &line),
        _ => event::ClientSaid { facility: &facility, line: &line }.emit(),
    }
}

/// Errors of the whole client, such as all brokers being down; it goes on by itself.
unsafe extern "C" fn on_error(_client: *mut rd_kafka_t, code: c_int, reason: *const c_char, _: *mut c_void) {
    // SAFETY: librdkafka gives a C string that lives while the call lasts.
    let reason = unsafe { text(reason) };
    warn(&format!("error {code}"), &reason);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Timestamp;

    #[test]
    fn writes_a_kind_of_line_once_in_a_while_and_counts_the_rest() {
        let clock = Clock::manual(Timestamp(0));
        let throttle = Throttle::new(clock.clone());

        assert_eq!(throttle.admit("FAIL"), Some(0));
        assert_eq!(throttle.admit("FAIL"), None);
        assert_eq!(throttle.admit("FAIL"), None);
        clock.advance(QUIET);
        assert_eq!(throttle.admit("FAIL"), Some(2));
    }

    #[test]
    fn does_not_hold_one_kind_back_for_another() {
        let throttle = Throttle::new(Clock::manual(Timestamp(0)));

        assert_eq!(throttle.admit("FAIL"), Some(0));
        assert_eq!(throttle.admit("error -187"), Some(0));
    }
}
