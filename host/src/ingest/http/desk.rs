//! The desk of an ingest of HTTP: a thread that writes requests to Kafka, as many as wait in one transaction.
//!
//! ```text
//!            claim, follow                     take what waits ── follow ── publish ── answer
//!  closed ──────────────────────> open             ^                           |
//!    ^   (again after a pause)     |               '-------- committed --------'
//!    '---- aborted, superseded ----+---- unknown: claim again; the row of a key that is there was committed
//! ```
//! A request is answered when its fate is decided, and never before. The topic of requests is followed: other hosts write
//! there, too, and a client that has lost the answer of one of them may repeat its request here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::body::Write;
use super::gate::{Gate, in_doubt, not_written};
use super::keys::{Found, Keys, Ticket, conflict};
use super::refusal::Refusal;
use crate::clock::Clock;
use crate::config::ingest::{HttpIngest, Ingest};
use crate::event;
use crate::fault::{Code, Fault};
use crate::id::TopicName;
use crate::io::{Change, Outlet, PublishError, UpTo};

/// Requests that may wait for their transaction.
const WAITING_MAX: usize = 4_096;

/// Bounds of a transaction: it stays short, and its records are in memory twice. One request is always taken, whatever its size.
const GROUP_RECORDS: usize = 10_000;
const GROUP_BYTES: usize = 16 << 20;

/// How much the bodies of waiting requests may take: so many batches, and at least so many bytes.
const BATCHES_IN_MEMORY: u64 = 4;
const MEMORY_BYTES_MIN: u64 = 64 << 20;

/// How long a request may wait, for room and for its transaction.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pauses between attempts to claim the name: doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A request that is to be written.
pub(super) struct Order {
    /// Its records.
    pub(super) writes: Vec<Write>,
    /// Its idempotency key.
    pub(super) ticket: Option<Ticket>,
    /// The room that its body takes.
    pub(super) room: Room,
}

/// How a request came to be in the topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Written {
    /// It was written.
    Now,
    /// It had been written before, by an earlier process perhaps, whose rows were read while it waited.
    Before,
}

/// Room in memory for a body, until this is dropped.
pub(super) struct Room {
    _permits: OwnedSemaphorePermit,
}

struct Waiting {
    order: Order,
    _place: OwnedSemaphorePermit,
    /// Set by the thread that takes it, or by the client that waits no longer: by whoever comes first.
    taken: Arc<AtomicBool>,
    answer: oneshot::Sender<Result<Written, Refusal>>,
}

enum Message {
    Order(Box<Waiting>),
    End,
}

/// The way to the thread.
pub(super) struct Desk {
    messages: SyncSender<Message>,
    places: Arc<Semaphore>,
    /// In KiB.
    memory: Arc<Semaphore>,
    gate: Arc<Gate>,
    keys: Arc<Keys>,
}

impl Desk {
    /// Starts the thread.
    ///
    /// # Errors
    /// `internal` when there is no thread to be had.
    pub(super) fn start(
        ingest: &Ingest,
        http: &HttpIngest,
        outlet: Box<dyn Outlet + Send>,
        clock: &Clock,
    ) -> Result<(Self, DeskThread), Fault> {
        // Room for what has a place, and for the end.
        let (sender, messages) = mpsc::sync_channel(WAITING_MAX + 1);
        let gate = Arc::new(Gate::new(clock));
        let keys = Arc::new(Keys::new(clock, http.remember));
        let clerk = Clerk {
            ingest: ingest.clone(),
            requests: ingest.requests_topic(),
            outlet,
            messages,
            gate: Arc::clone(&gate),
            keys: Arc::clone(&keys),
            doubt: Vec::new(),
            pause: PAUSE_MIN,
            state: State::Closed,
        };
        let thread = std::thread::Builder::new().name(format!("ingest-{}", ingest.name));
        let thread = thread.spawn(move || clerk.run()).map_err(|error| {
            Fault::new(Code::Internal, format!("cannot start ingest `{}`", ingest.name)).because(error)
        })?;
        let memory = http.batch_bytes.saturating_mul(BATCHES_IN_MEMORY).max(MEMORY_BYTES_MIN) >> 10;
        let desk = Self {
            messages: sender.clone(),
            places: Arc::new(Semaphore::new(WAITING_MAX)),
            memory: Arc::new(Semaphore::new(usize::try_from(memory).unwrap_or(Semaphore::MAX_PERMITS))),
            gate,
            keys,
        };
        Ok((desk, DeskThread { messages: sender, thread }))
    }

    /// What the ingest remembers.
    pub(super) fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// Waits for room for a body of so many bytes.
    ///
    /// # Errors
    /// `ingest_unavailable`, at once while Kafka does not take records.
    pub(super) async fn room(&self, bytes: usize) -> Result<Room, Refusal> {
        self.gate.check()?;
        let kibibytes = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        let permits = Arc::clone(&self.memory).acquire_many_owned(kibibytes);
        match tokio::time::timeout(PATIENCE, permits).await {
            Ok(Ok(permits)) => Ok(Room { _permits: permits }),
            _ => Err(busy()),
        }
    }

    /// Writes a request, and waits until it is committed.
    ///
    /// # Errors
    /// `ingest_unavailable`, `record_refused`, `idempotency_conflict`.
    pub(super) async fn write(&self, order: Order) -> Result<Written, Refusal> {
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.places).acquire_owned());
        let Ok(Ok(place)) = place.await else { return Err(busy()) };
        let (answer, answered) = oneshot::channel();
        let taken = Arc::new(AtomicBool::new(false));
        let waiting = Waiting { order, _place: place, taken: Arc::clone(&taken), answer };
        match self.messages.try_send(Message::Order(Box::new(waiting))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return Err(busy()),
        }
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(in_doubt("the host ended")),
            Err(_) if taken.swap(true, Ordering::SeqCst) => Err(in_doubt("Kafka has not answered in time")),
            Err(_) => Err(not_written(Code::KafkaFailed)),
        }
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        WAITING_MAX.saturating_sub(self.places.available_permits())
    }
}

fn busy() -> Refusal {
    Refusal::new(Code::IngestUnavailable, "nothing was written: too many requests wait")
}

/// The running thread.
pub(super) struct DeskThread {
    messages: SyncSender<Message>,
    thread: JoinHandle<()>,
}

impl DeskThread {
    /// Ends it when it has written what waits.
    pub(super) fn end(self) {
        // A thread that has ended needs no message, and one that panicked has said so already.
        drop(self.messages.send(Message::End));
        drop(self.thread.join());
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The name is not claimed, or nobody knows any more whether it is.
    Closed,
    /// Requests are written.
    Open,
    /// It is over.
    Over,
}

/// What the thread has.
struct Clerk {
    ingest: Ingest,
    requests: TopicName,
    outlet: Box<dyn Outlet + Send>,
    messages: Receiver<Message>,
    gate: Arc<Gate>,
    keys: Arc<Keys>,
    /// Requests with a key in a transaction of which nobody knows whether it was committed.
    doubt: Vec<Waiting>,
    pause: Duration,
    state: State,
}

impl Clerk {
    fn run(mut self) {
        while self.state != State::Over {
            match self.state {
                State::Open => self.serve(),
                State::Closed => self.open(),
                State::Over => {}
            }
        }
    }

    /// Claims the name and learns what is committed under it.
    fn open(&mut self) {
        self.gate.begin();
        let opened = self.try_open();
        self.gate.end();
        match opened {
            Ok(()) => {
                (self.state, self.pause) = (State::Open, PAUSE_MIN);
                self.gate.open();
                event::IngestOpened { ingest: &self.ingest.name, known: self.keys.known() }.emit();
                self.settle_doubt();
            }
            Err(fault) => {
                self.close_gate(&fault);
                self.refuse_for(self.pause, fault.code());
                self.pause = (self.pause * 2).min(PAUSE_MAX);
            }
        }
    }

    fn try_open(&mut self) -> Result<(), Fault> {
        self.outlet.claim()?;
        // What this ingest has written itself may stand behind an open transaction of another host.
        self.follow(UpTo::Written)
    }

    /// Learns what was committed, by other hosts and by earlier processes.
    fn follow(&mut self, up_to: UpTo) -> Result<(), Fault> {
        let keys = &self.keys;
        self.outlet.follow(&self.requests, up_to, &mut |row| {
            keys.read(row);
            Ok(())
        })
    }

    /// Whether the requests in doubt were committed is known now.
    fn settle_doubt(&mut self) {
        for waiting in std::mem::take(&mut self.doubt) {
            let answer = match waiting.order.ticket.as_ref().map(Ticket::find) {
                // Its own transaction was committed after all.
                Some(Found::Committed(_)) => Ok(Written::Now),
                Some(Found::Other) => Err(conflict()),
                Some(Found::Nothing) | None => Err(not_written(Code::TransactionAborted)),
            };
            waiting.answer(answer);
        }
    }

    /// Answers what comes for a while: it cannot be written.
    fn refuse_for(&mut self, pause: Duration, code: Code) {
        let since = Clock::system();
        while let Some(left) = pause.checked_sub(since.elapsed()) {
            match self.messages.recv_timeout(left) {
                Ok(Message::Order(waiting)) => waiting.answer(Err(not_written(code))),
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => {
                    self.state = State::Over;
                    return;
                }
                Err(RecvTimeoutError::Timeout) => return,
            }
        }
    }

    /// Waits for a request and writes it with those that wait behind it.
    fn serve(&mut self) {
        let Ok(Message::Order(first)) = self.messages.recv() else {
            self.state = State::Over;
            return;
        };
        let (mut records, mut bytes, mut group) = (0, 0, Vec::new());
        let mut next = Some(first);
        while let Some(waiting) = next {
            records += waiting.order.writes.len();
            bytes += waiting.order.writes.iter().map(Write::bytes).sum::<usize>();
            group.push(*waiting);
            if records >= GROUP_RECORDS || bytes >= GROUP_BYTES {
                break;
            }
            next = match self.messages.try_recv() {
                Ok(Message::Order(waiting)) => Some(waiting),
                Ok(Message::End) => {
                    self.state = State::Over;
                    None
                }
                Err(_) => None,
            };
        }
        let group = self.admit(group);
        self.write(group);
    }

    /// Those that are still to be written. With a key among them it asks first what other hosts have committed meanwhile.
    fn admit(&mut self, group: Vec<Waiting>) -> Vec<Waiting> {
        let mut group: Vec<_> = group.into_iter().filter(Waiting::take).collect();
        if group.iter().any(|waiting| waiting.order.ticket.is_some()) {
            self.gate.begin();
            let followed = self.follow(UpTo::Committed);
            self.gate.end();
            if let Err(fault) = followed {
                self.close();
                self.close_gate(&fault);
                group.drain(..).for_each(|waiting| waiting.answer(Err(not_written(fault.code()))));
            }
        }
        group.into_iter().filter_map(Waiting::unwritten).collect()
    }

    /// Writes requests in one transaction, and answers them.
    fn write(&mut self, group: Vec<Waiting>) {
        if group.is_empty() {
            return;
        }
        let records = group.iter().map(|waiting| waiting.order.writes.len()).sum();
        self.gate.begin();
        let published = publish(self.outlet.as_mut(), &self.ingest.topic, &self.requests, &group);
        let took = self.gate.end();
        let error = match published {
            Ok(()) => {
                event::HttpRequestsCommitted { ingest: &self.ingest.name, records, took }.emit();
                group.into_iter().for_each(Waiting::committed);
                let keys = self.keys.forgotten();
                if keys > 0 {
                    event::HttpKeysForgotten { ingest: &self.ingest.name, keys }.emit();
                }
                return;
            }
            Err(error) => error,
        };
        match error {
            PublishError::Aborted(fault) if fault.code() == Code::RecordRefused => {
                self.refused(group, &fault)
            }
            PublishError::Aborted(fault) | PublishError::Superseded(fault) => {
                self.close();
                group.into_iter().for_each(|waiting| waiting.answer(Err(not_written(fault.code()))));
            }
            PublishError::Unknown(_) => {
                self.close();
                let (known, unknown) =
                    group.into_iter().partition::<Vec<_>, _>(|waiting| waiting.order.ticket.is_some());
                self.doubt.extend(known);
                let problem = "the connection to Kafka broke while this was committed";
                unknown.into_iter().for_each(|waiting| waiting.answer(Err(in_doubt(problem))));
            }
        }
    }

    /// The cluster refuses a record of one of these for good; the others must not suffer for it.
    fn refused(&mut self, group: Vec<Waiting>, fault: &Fault) {
        if group.len() > 1 {
            let mut left = group.into_iter();
            while self.state != State::Closed
                && let Some(waiting) = left.next()
            {
                self.write(vec![waiting]);
            }
            left.for_each(|waiting| waiting.answer(Err(not_written(Code::TransactionAborted))));
            return;
        }
        for waiting in group {
            let message = format!("nothing was written: {}", fault.message());
            waiting.answer(Err(Refusal::new(Code::RecordRefused, message)));
        }
    }

    /// Nobody waits for what takes long.
    fn close_gate(&self, fault: &Fault) {
        if self.gate.close(fault.code()) {
            event::IngestClosed { ingest: &self.ingest.name, fault }.emit();
        }
    }

    /// The name has to be claimed again. The gate stays open: that takes a moment, if Kafka is there.
    fn close(&mut self) {
        if self.state == State::Open {
            self.state = State::Closed;
        }
    }
}

/// Writes all records and rows of the requests.
fn publish(
    outlet: &mut dyn Outlet,
    topic: &TopicName,
    requests: &TopicName,
    group: &[Waiting],
) -> Result<(), PublishError> {
    let change = |write: &Write| Change {
        topic: topic.clone(),
        key: write.key.clone(),
        value: write.value.as_ref().map(|value| value.to_vec()),
    };
    let row = |waiting: &Waiting| {
        let ticket = waiting.order.ticket.as_ref()?;
        let (key, value) = ticket.row(waiting.order.writes.len());
        Some(Change { topic: requests.clone(), key, value: Some(value) })
    };
    let records = group.iter().flat_map(|waiting| &waiting.order.writes).map(change);
    let rows = group.iter().filter_map(row);
    outlet.publish(&mut records.chain(rows).map(Ok))
}

impl Waiting {
    /// Takes it, if somebody waits for it still.
    fn take(&self) -> bool {
        !self.answer.is_closed() && !self.taken.swap(true, Ordering::SeqCst)
    }

    /// Gives it back if its key was not committed meanwhile, and else answers.
    fn unwritten(self) -> Option<Self> {
        match self.order.ticket.as_ref().map(Ticket::find) {
            None | Some(Found::Nothing) => return Some(self),
            Some(Found::Committed(_)) => self.answer(Ok(Written::Before)),
            Some(Found::Other) => self.answer(Err(conflict())),
        }
        None
    }

    /// Answers. Whoever has gone away hears nothing.
    fn answer(self, answer: Result<Written, Refusal>) {
        // The key is free, and the room, before the client can ask again.
        let Self { order, answer: sender, _place: place, taken: _ } = self;
        let Order { writes, ticket, room } = order;
        drop((ticket, room, writes, place));
        drop(sender.send(answer));
    }

    fn committed(self) {
        if let Some(ticket) = &self.order.ticket {
            ticket.committed(self.order.writes.len());
        }
        self.answer(Ok(Written::Now));
    }
}
