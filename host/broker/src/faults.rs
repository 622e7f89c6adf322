//! Faults for tests: what goes wrong with which request, how often, and how often it has happened.
//!
//! ```no_run
//! # use gristmill_broker::{ApiKey, Broker, ResponseError};
//! # use std::time::Duration;
//! # let broker = Broker::builder().start().unwrap();
//! let lost_answer = broker.faults().on(ApiKey::EndTxn).nth(1).apply_then_disconnect();
//! broker.faults().on(ApiKey::Produce).next(3).answer(ResponseError::NotLeaderOrFollower);
//! broker.faults().on_all().delay(Duration::from_millis(50));
//! // ... drive a client ...
//! assert_eq!(lost_answer.hits(), 1);
//! broker.faults().clear();
//! ```
//! When several rules fit a request, the one made first decides; a rule that is used up no longer fits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is carried out this much later.
    Delay(Duration),
    /// The connection closes and nothing is done.
    Disconnect,
    /// It is carried out, and the connection closes instead of an answer.
    ApplyThenDisconnect,
    /// Nothing is done, and the answer carries this error in every place that has one.
    Answer(ResponseError),
}

#[derive(Debug)]
struct Rule {
    id: u64,
    /// `None` fits every API.
    api: Option<ApiKey>,
    /// Fitting requests that pass before the fault begins.
    skip: u64,
    /// Fitting requests that it then hits; `None` has no end.
    left: Option<u64>,
    fault: Fault,
    hits: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    rules_made: u64,
    seen: HashMap<i16, u64>,
}

/// The faults of a broker; clones are the same set.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

impl Faults {
    /// Starts a rule for one request type.
    pub fn on(&self, api: ApiKey) -> FaultRule {
        FaultRule { faults: self.clone(), api: Some(api), skip: 0, left: None }
    }

    /// Starts a rule for every request type.
    pub fn on_all(&self) -> FaultRule {
        FaultRule { faults: self.clone(), api: None, skip: 0, left: None }
    }

    /// Ends all rules. Their handles keep their counts.
    pub fn clear(&self) {
        self.lock().rules.clear();
    }

    /// How many requests of a type have arrived since the start, hit or not.
    pub fn requests(&self, api: ApiKey) -> u64 {
        self.lock().seen.get(&(api as i16)).copied().unwrap_or(0)
    }

    /// Counts a request and decides what happens to it.
    pub(crate) fn decide(&self, api: ApiKey) -> Option<Fault> {
        let mut state = self.lock();
        *state.seen.entry(api as i16).or_default() += 1;
        let mut fitting = state.rules.iter_mut().filter(|rule| rule.api.is_none_or(|wanted| wanted == api));
        fitting.find_map(Rule::take)
    }

    fn add(&self, rule: &FaultRule, fault: Fault) -> FaultHandle {
        let mut state = self.lock();
        state.rules_made += 1;
        let id = state.rules_made;
        let hits = Arc::new(AtomicU64::new(0));
        let (api, skip, left) = (rule.api, rule.skip, rule.left);
        state.rules.push(Rule { id, api, skip, left, fault, hits: Arc::clone(&hits) });
        FaultHandle { faults: self.clone(), id, hits }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    /// Counts a fitting request; gives the fault if it is hit.
    fn take(&mut self) -> Option<Fault> {
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        match &mut self.left {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        self.hits.fetch_add(1, Ordering::SeqCst);
        Some(self.fault)
    }
}

/// A fault in the making: which requests, then what. Without a bound it hits every request.
#[derive(Debug)]
#[must_use = "a rule does nothing before it is told what happens"]
pub struct FaultRule {
    faults: Faults,
    api: Option<ApiKey>,
    skip: u64,
    left: Option<u64>,
}

impl FaultRule {
    /// Hits the next `count` requests.
    pub fn next(self, count: u64) -> Self {
        Self { left: Some(count), ..self }
    }

    /// Hits only the n-th request from now; the next one is the first.
    pub fn nth(self, n: u64) -> Self {
        Self { skip: n.saturating_sub(1), left: Some(1), ..self }
    }

    /// The request is carried out `by` later; others on the same connection wait behind it.
    pub fn delay(self, by: Duration) -> FaultHandle {
        self.faults.clone().add(&self, Fault::Delay(by))
    }

    /// The connection closes before anything is done.
    pub fn disconnect(self) -> FaultHandle {
        self.faults.clone().add(&self, Fault::Disconnect)
    }

    /// The request is carried out, then the connection closes without an answer.
    pub fn apply_then_disconnect(self) -> FaultHandle {
        self.faults.clone().add(&self, Fault::ApplyThenDisconnect)
    }

    /// Nothing is done; the answer carries the error for everything that was asked.
    pub fn answer(self, error: ResponseError) -> FaultHandle {
        self.faults.clone().add(&self, Fault::Answer(error))
    }
}

/// A fault that is in force. Dropping the handle leaves it so.
#[derive(Debug)]
pub struct FaultHandle {
    faults: Faults,
    id: u64,
    hits: Arc<AtomicU64>,
}

impl FaultHandle {
    /// How many requests it has hit.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::SeqCst)
    }

    /// Ends it; the count stays.
    pub fn clear(&self) {
        self.faults.lock().rules.retain(|rule| rule.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_the_nth_request_of_its_api_and_no_other() {
        let faults = Faults::default();
        let handle = faults.on(ApiKey::EndTxn).nth(2).disconnect();

        let decisions: Vec<_> = [ApiKey::EndTxn, ApiKey::Produce, ApiKey::EndTxn, ApiKey::EndTxn]
            .into_iter()
            .map(|api| faults.decide(api))
            .collect();

        assert_eq!(decisions, [None, None, Some(Fault::Disconnect), None]);
        assert_eq!((handle.hits(), faults.requests(ApiKey::EndTxn)), (1, 3));
    }

    #[test]
    fn lets_a_later_rule_act_once_an_earlier_one_is_used_up() {
        let faults = Faults::default();
        let first = faults.on(ApiKey::Produce).next(1).apply_then_disconnect();
        let second = faults.on_all().answer(ResponseError::NotCoordinator);

        let decisions = [faults.decide(ApiKey::Produce), faults.decide(ApiKey::Produce)];

        let refused = Fault::Answer(ResponseError::NotCoordinator);
        assert_eq!(decisions, [Some(Fault::ApplyThenDisconnect), Some(refused)]);
        assert_eq!((first.hits(), second.hits()), (1, 1));
    }

    #[test]
    fn ends_when_cleared_and_keeps_its_count() {
        let faults = Faults::default();
        let handle = faults.on_all().disconnect();
        faults.decide(ApiKey::Fetch);

        handle.clear();

        assert_eq!(faults.decide(ApiKey::Fetch), None);
        assert_eq!(handle.hits(), 1);
    }
}
