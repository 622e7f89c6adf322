//! HTTP endpoints in memory, and a client that calls them.
//!
//! The server remembers every request that reached it. What it does with one is a function of the test's. The client keeps
//! the rules of [`Callouts`]: it gives up nothing, sends nothing long after the commit, and in the mode idempotent repeats
//! what broke. It moves when it is polled: a process that stands still sends nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::id::{EndpointIndex, Partition};
use crate::io::{Answer, Call, CalloutMode, Callouts, Ended, Permit, Reason};

/// Later than this after its commit a call is not sent.
const FRESH: Duration = Duration::from_secs(5);

/// Longer than this no call takes.
const LONGEST: Duration = Duration::from_secs(2);

/// A request that reached the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The id of the callout.
    pub id: String,
    /// The HTTP method.
    pub method: String,
    /// Path and query below the base URL.
    pub path: String,
    /// The body.
    pub body: Option<Vec<u8>>,
}

/// What becomes of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reaction {
    /// How long it takes until the request is handed to a connection.
    pub before: Duration,
    /// How long it takes from then on.
    pub after: Duration,
    /// What the client sees.
    pub effect: Effect,
}

/// What a client sees of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It is executed and answered.
    Answers(u16, Vec<u8>),
    /// It is executed, and the connection breaks before the answer.
    Breaks,
    /// Nobody takes it.
    Refuses,
}

impl Reaction {
    /// An answer at once.
    pub fn answer(status: u16, body: &[u8]) -> Self {
        Self { before: Duration::ZERO, after: Duration::ZERO, effect: Effect::Answers(status, body.to_vec()) }
    }
}

type Script = Box<dyn FnMut(&Call) -> Reaction + Send>;

/// An HTTP server in memory. It outlives the processes that call it.
#[derive(Clone)]
pub struct MemoryServer(Arc<Mutex<Server>>);

struct Server {
    requests: Vec<Request>,
    script: Script,
}

impl MemoryServer {
    /// A server that reacts to each request like this.
    pub fn new(script: impl FnMut(&Call) -> Reaction + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Server { requests: Vec::new(), script: Box::new(script) })))
    }

    /// Every request that reached it, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    fn react(&self, call: &Call) -> Reaction {
        (self.lock().script)(call)
    }

    fn lock(&self) -> MutexGuard<'_, Server> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryServer").field("requests", &self.lock().requests.len()).finish_non_exhaustive()
    }
}

/// The client of one process.
#[derive(Debug)]
pub struct MemoryCallouts {
    server: MemoryServer,
    clock: Clock,
    /// By position of the endpoint.
    modes: Vec<CalloutMode>,
    concurrency: usize,
    taken: Arc<AtomicUsize>,
    state: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    calls: BTreeMap<(Partition, String), Stage>,
    claimed: BTreeSet<Partition>,
}

#[derive(Debug)]
enum Stage {
    /// On its way to a connection, until this time.
    Leaving { call: Call, permit: Permit, reaction: Reaction, at: Duration },
    /// With the server, until this time.
    Away { call: Call, permit: Permit, reaction: Reaction, until: Duration },
    /// Ended.
    Known { answer: Answer, is_told: bool },
}

/// Gives a place back.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl MemoryCallouts {
    /// A client for endpoints with these modes, with so many calls at the same time.
    pub fn new(server: &MemoryServer, clock: &Clock, modes: Vec<CalloutMode>, concurrency: usize) -> Self {
        Self {
            server: server.clone(),
            clock: clock.clone(),
            modes,
            concurrency,
            taken: Arc::default(),
            state: Mutex::default(),
        }
    }

    /// The answers of tasks that nobody works on here; each is given once.
    pub fn orphans(&self) -> Vec<(Partition, Answer)> {
        let mut held = self.lock();
        self.advance(&mut held);
        let Held { calls, claimed } = &mut *held;
        let is_orphan = |(task, _): &(Partition, String), stage: &Stage| {
            !claimed.contains(task) && matches!(stage, Stage::Known { .. })
        };
        let ids: Vec<_> =
            calls.iter().filter(|(key, stage)| is_orphan(key, stage)).map(|(key, _)| key.clone()).collect();
        let orphans = ids.into_iter().filter_map(|key| match calls.remove(&key)? {
            Stage::Known { answer, .. } => Some((key.0, answer)),
            Stage::Leaving { .. } | Stage::Away { .. } => None,
        });
        orphans.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is due by now.
    fn advance(&self, held: &mut Held) {
        let now = self.clock.elapsed();
        for (key, stage) in std::mem::take(&mut held.calls) {
            held.calls.insert(key, self.moved(stage, now));
        }
    }

    /// Where a call stands by now.
    fn moved(&self, stage: Stage, now: Duration) -> Stage {
        match stage {
            Stage::Leaving { call, permit, reaction, at } => {
                let is_late = now.saturating_sub(call.committed) >= FRESH;
                if is_late || now >= at && reaction.effect == Effect::Refuses {
                    return known(&call, call.attempts, Ended::NotSent);
                }
                if now < at {
                    return Stage::Leaving { call, permit, reaction, at };
                }
                self.receive(&call);
                let until = now.saturating_add(reaction.after);
                self.moved(Stage::Away { call, permit, reaction, until }, now)
            }
            Stage::Away { call, permit, reaction, until } if now >= until => {
                let call = Call { attempts: call.attempts.saturating_add(1), ..call };
                match reaction.effect {
                    Effect::Answers(status, body) => {
                        let headers = Vec::new();
                        known(&call, call.attempts, Ended::Answered { status, headers, body })
                    }
                    Effect::Breaks | Effect::Refuses => self.broken(call, permit, now),
                }
            }
            stage => stage,
        }
    }

    /// The connection broke after the request was handed to it.
    fn broken(&self, call: Call, permit: Permit, now: Duration) -> Stage {
        if self.modes.get(call.endpoint.0 as usize) != Some(&CalloutMode::Idempotent) {
            let (code, message) = ("connection-lost".to_owned(), "the connection broke".to_owned());
            let reason = Reason { code, message, last_status: None };
            return known(&call, call.attempts, Ended::InDoubt(reason));
        }
        let reaction = self.server.react(&call);
        if reaction.effect == Effect::Refuses {
            // Whoever has the task tries again.
            return known(&call, call.attempts, Ended::NotSent);
        }
        self.receive(&call);
        let until = now.saturating_add(reaction.after).saturating_add(Duration::from_millis(1));
        Stage::Away { call, permit, reaction, until }
    }

    fn receive(&self, call: &Call) {
        let Call { id, method, path, body, .. } = call.clone();
        self.server.lock().requests.push(Request { id, method, path, body });
    }
}

fn known(call: &Call, attempts: u32, ended: Ended) -> Stage {
    Stage::Known { answer: Answer { id: call.id.clone(), ended, attempts }, is_told: false }
}

impl Callouts for MemoryCallouts {
    fn permit(&self, _endpoint: EndpointIndex) -> Option<Permit> {
        if self.taken.load(Ordering::SeqCst) >= self.concurrency {
            return None;
        }
        self.taken.fetch_add(1, Ordering::SeqCst);
        Some(Permit::new(Place(Arc::clone(&self.taken))))
    }

    fn send(&self, task: Partition, call: Call, permit: Permit) {
        let reaction = self.server.react(&call);
        let mut held = self.lock();
        let at = self.clock.elapsed().saturating_add(reaction.before);
        let key = (task, call.id.clone());
        held.calls.insert(key, Stage::Leaving { call, permit, reaction, at });
        self.advance(&mut held);
    }

    fn poll(&self, task: Partition) -> Option<Answer> {
        let mut held = self.lock();
        self.advance(&mut held);
        held.calls.iter_mut().filter(|((owner, _), _)| *owner == task).find_map(|(_, stage)| match stage {
            Stage::Known { answer, is_told } if !*is_told => {
                *is_told = true;
                Some(answer.clone())
            }
            _ => None,
        })
    }

    fn settled(&self, task: Partition, id: &str) {
        let mut held = self.lock();
        let key = (task, id.to_owned());
        if matches!(held.calls.get(&key), Some(Stage::Known { .. })) {
            held.calls.remove(&key);
        }
    }

    fn holds(&self, task: Partition, id: &str) -> bool {
        self.lock().calls.contains_key(&(task, id.to_owned()))
    }

    fn claim(&self, task: Partition) {
        let mut held = self.lock();
        held.claimed.insert(task);
        for ((owner, _), stage) in &mut held.calls {
            if let Stage::Known { is_told, .. } = stage
                && *owner == task
            {
                *is_told = false;
            }
        }
    }

    fn withdraw(&self, task: Partition) {
        let mut held = self.lock();
        self.advance(&mut held);
        held.claimed.remove(&task);
        for ((owner, _), stage) in &mut held.calls {
            if let Stage::Leaving { call, .. } = stage
                && *owner == task
            {
                let answer = Answer { id: call.id.clone(), ended: Ended::NotSent, attempts: call.attempts };
                *stage = Stage::Known { answer, is_told: false };
            }
        }
    }

    fn under_way(&self, task: Partition) -> usize {
        let is_under_way = |stage: &Stage| !matches!(stage, Stage::Known { .. });
        let held = self.lock();
        held.calls.iter().filter(|((owner, _), stage)| *owner == task && is_under_way(stage)).count()
    }

    fn wait(&self, at_most: Duration) {
        self.clock.advance(at_most);
    }

    fn longest(&self, _endpoint: EndpointIndex) -> Duration {
        LONGEST
    }
}
