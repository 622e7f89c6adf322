//! The thread of a restorer: reads many partitions with one client, each to its own end.
//!
//! A reading is done when its position has reached its end. The position moves with records and with ends of partition,
//! which lie behind control records. Compaction can leave nothing at all before the last stable offset: then no record
//! comes and no end either, and only time tells, with a broker that answers other questions meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::pipeline::{BatchBounds, Kafka};
use crate::event;
use crate::fault::{Code, Fault};
use crate::id::{Offset, TopicPartition};
use crate::io::{Input, Restored, Until};
use crate::kafka::client_log;
use crate::kafka::error;
use crate::kafka::fetched::{Fetched, Owned};
use crate::kafka::restorer::board::{Board, Order, Orders};
use crate::kafka::restorer::clients::{Clients, PlaceFailure, is_unknown, take_failures};
use crate::kafka::restorer::pressure::{Pressure, Room};
use crate::kafka::restorer::reading::{Reading, Verdict};
use crate::record::Chunk;

/// Records of one partition that the worker gets at once.
const CHUNK: BatchBounds = BatchBounds { records: 1_000, bytes: 1 << 20 };

/// How long one poll waits, and with it how late the thread sees an order.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// How long the clients are kept without anything to read.
const IDLE: Duration = Duration::from_secs(5);

/// What the thread owns.
pub(super) struct Reader {
    kafka: Kafka,
    group: String,
    board: Arc<Board>,
    clock: Clock,
    clients: Option<Clients>,
    fetched: Fetched,
    readings: BTreeMap<TopicPartition, Reading>,
    pressure: Pressure,
    idle_since: Option<Duration>,
    /// When the last record of any partition came.
    busy_at: Duration,
}

impl Reader {
    /// A reader without clients.
    pub(super) fn new(kafka: &Kafka, group: &str, board: Arc<Board>) -> Self {
        Self {
            kafka: kafka.clone(),
            group: group.to_owned(),
            board,
            clock: Clock::system(),
            clients: None,
            fetched: Fetched::new(CHUNK),
            readings: BTreeMap::new(),
            pressure: Pressure::default(),
            idle_since: None,
            busy_at: Duration::ZERO,
        }
    }

    /// Reads until nobody wants anything any more.
    pub(super) fn run(mut self) {
        while let Some(orders) = self.board.orders(self.patience()) {
            self.drop_unwanted(&orders);
            self.begin(&orders.begin);
            self.rest();
            if self.may_read(&orders) {
                self.read();
            }
            self.look_after();
        }
    }

    /// How long to wait for the worker.
    fn patience(&self) -> Duration {
        match (self.readings.is_empty(), self.pressure.is_full()) {
            (true, _) => IDLE,
            (false, true) => POLL_WAIT,
            (false, false) => Duration::ZERO,
        }
    }

    /// Drops the clients when nothing was read for some time: they have threads and connections.
    fn rest(&mut self) {
        let now = self.clock.elapsed();
        if !self.readings.is_empty() {
            self.idle_since = None;
        } else if now.saturating_sub(*self.idle_since.get_or_insert(now)) >= IDLE {
            self.clients = None;
        }
    }

    fn drop_unwanted(&mut self, orders: &Orders) {
        let is_wanted = |place: &TopicPartition, reading: &Reading| {
            orders.wanted.contains_key(&(place.clone(), reading.number))
        };
        let unwanted: Vec<_> = self
            .readings
            .iter()
            .filter(|(place, reading)| !is_wanted(place, reading))
            .map(|(place, _)| place.clone())
            .collect();
        unwanted.iter().for_each(|place| self.stop(place));
    }

    fn begin(&mut self, orders: &[Order]) {
        for order in orders {
            let begun = self.begin_one(order);
            if let Err(fault) = begun {
                self.board.tell(&(order.place.clone(), order.number), Restored::Failed(fault));
            }
        }
    }

    fn begin_one(&mut self, order: &Order) -> Result<(), Fault> {
        let reading = (order.place.clone(), order.number);
        let clients = self.clients()?;
        let (bounds, end) = clients.ask(&order.place)?;
        let position = order.from.unwrap_or(bounds.start);
        let until = match order.until {
            Until::End => end,
            Until::Position(until) => until,
        };
        if !(bounds.start..=end).contains(&position) || until > end {
            self.board.tell(&reading, Restored::OutOfRange(bounds));
            return Ok(());
        }
        let until = until.max(position);
        if position < until {
            let what = |failure| error::fault(format!("cannot read {}", order.place), failure);
            clients.committed.assign_more(&[(order.place.clone(), position)]).map_err(what)?;
            self.fetched.partitions.push(Owned::reading(order.place.clone(), position));
            let reading = Reading::new(order.number, (position, until), self.clock.elapsed());
            self.readings.insert(order.place.clone(), reading);
        }
        self.board.tell(&reading, Restored::Began { bounds, until });
        if position == until {
            self.board.tell(&reading, Restored::Done(until));
        }
        Ok(())
    }

    fn clients(&mut self) -> Result<&Clients, Fault> {
        let clients = match self.clients.take() {
            Some(clients) => clients,
            None => Clients::open(&self.kafka, &self.group)?,
        };
        Ok(self.clients.insert(clients))
    }

    /// Whether there is room for more. Holds partitions back that fill the queue while the worker does not take anything,
    /// and lets them go on when it has taken all.
    fn may_read(&mut self, orders: &Orders) -> bool {
        let queued = |place: &TopicPartition, reading: &Reading| {
            orders.wanted.get(&(place.clone(), reading.number)).copied().unwrap_or_default()
        };
        let mut waiting = 0;
        let (mut full, mut empty) = (Vec::new(), Vec::new());
        for (place, reading) in &self.readings {
            match (queued(place, reading), reading.is_held) {
                (0, true) => empty.push(place.clone()),
                (_, true) | (0, false) => {}
                (bytes, false) => {
                    waiting += bytes;
                    full.push(place.clone());
                }
            }
        }
        empty.iter().for_each(|place| self.let_go(place));
        let room = self.pressure.look(waiting, self.clock.elapsed());
        if room == Room::Hold {
            full.iter().for_each(|place| self.hold(place));
        }
        room == Room::Read
    }

    fn hold(&mut self, place: &TopicPartition) {
        let Some(clients) = &self.clients else { return };
        match (clients.committed.pause(std::slice::from_ref(place)), self.readings.get_mut(place)) {
            (Ok(()), Some(reading)) => reading.is_held = true,
            (Err(failure), _) => self.fail(place, error::fault(format!("cannot pause {place}"), failure)),
            (Ok(()), None) => {}
        }
    }

    fn let_go(&mut self, place: &TopicPartition) {
        let (Some(clients), Some(reading)) = (&self.clients, self.readings.get_mut(place)) else { return };
        reading.is_held = false;
        if let Err(failure) = clients.committed.restart(&[(place.clone(), reading.position)]) {
            self.fail(place, error::fault(format!("cannot go on with {place}"), failure));
        }
    }

    fn read(&mut self) {
        let Some(clients) = &mut self.clients else { return };
        if self.readings.is_empty() {
            return;
        }
        let mut messages = Vec::new();
        clients.committed.poll(POLL_WAIT, &mut messages);
        let failures = take_failures(&mut messages, &clients.committed);
        let taken = self.fetched.take(&mut messages, &clients.committed);
        while let Some(input) = self.fetched.next() {
            match input {
                Input::Records(place, chunk) => self.deliver(&place, chunk),
                Input::End(place, position) => self.reach_end(&place, position),
                Input::Assigned(_) | Input::Revoked(_) | Input::Lost(_) => {}
            }
        }
        failures.into_iter().for_each(|(place, failure)| self.fail_place(&place, failure));
        if let Err(fault) = taken {
            self.fail_all(fault);
        }
    }

    fn deliver(&mut self, place: &TopicPartition, chunk: Chunk) {
        let Some(reading) = self.readings.get_mut(place) else { return };
        let Some(last) = chunk.last().map(|record| record.offset()) else { return };
        let until = reading.until;
        let before_end = match last < until {
            true => chunk,
            false => {
                let count = chunk.iter().take_while(|record| record.offset() < until).count();
                chunk.slice(&(0..count))
            }
        };
        self.busy_at = self.clock.elapsed();
        reading.move_to(last.next(), self.busy_at);
        if !before_end.is_empty() {
            self.board.tell(&(place.clone(), reading.number), Restored::Records(before_end));
        }
        self.finish_if_done(place);
    }

    fn reach_end(&mut self, place: &TopicPartition, position: Offset) {
        if let Some(reading) = self.readings.get_mut(place) {
            reading.move_to(position, self.clock.elapsed());
        }
        self.finish_if_done(place);
    }

    fn finish_if_done(&mut self, place: &TopicPartition) {
        let done = self.readings.get(place).filter(|reading| reading.is_done());
        if let Some((number, until)) = done.map(|reading| (reading.number, reading.until)) {
            self.stop(place);
            self.board.tell(&(place.clone(), number), Restored::Done(until));
        }
    }

    /// Looks at the readings that do not move, unless it is the worker that they wait for.
    fn look_after(&mut self) {
        if self.pressure.is_full() {
            return;
        }
        let now = self.clock.elapsed();
        let due = self.readings.iter().filter(|(_, reading)| reading.is_due(now));
        let due: Vec<_> = due.map(|(place, _)| place.clone()).collect();
        due.iter().for_each(|place| self.look(place));
    }

    fn look(&mut self, place: &TopicPartition) {
        let (Some(clients), Some(reading)) = (&self.clients, self.readings.get_mut(place)) else { return };
        let stable_end = match clients.committed.bounds(place) {
            Ok(bounds) => Some(bounds.stable_end),
            Err(failure) if is_unknown(failure.code) => {
                return self.fail_place(place, PlaceFailure::Unknown);
            }
            Err(_) => None,
        };
        match reading.judge(stable_end, self.clock.elapsed(), self.busy_at) {
            Verdict::Wait => {}
            Verdict::Done => self.finish_if_done(place),
            Verdict::Report(waited, is_open) => {
                let (position, until) = (reading.position, reading.until);
                event::RestoreStandsStill { place, position, until, is_open, waited }.emit();
            }
        }
    }

    /// A failure of one partition: it was cut or made anew, it is gone, or it may not be read.
    fn fail_place(&mut self, place: &TopicPartition, failure: PlaceFailure) {
        let (Some(clients), Some(reading)) = (&self.clients, self.readings.get(place)) else { return };
        let number = reading.number;
        match failure {
            PlaceFailure::Fault(fault) => self.fail(place, fault),
            PlaceFailure::Lost => match clients.ask(place) {
                Ok((bounds, _)) => {
                    self.stop(place);
                    self.board.tell(&(place.clone(), number), Restored::OutOfRange(bounds));
                }
                Err(fault) => self.fail(place, fault),
            },
            PlaceFailure::Unknown => {
                // For some seconds after its start a broker may not know its topics.
                if let Err(fault) = clients.ask(place)
                    && fault.code() == Code::TopicMissing
                {
                    self.fail(place, fault);
                }
            }
        }
    }

    fn fail(&mut self, place: &TopicPartition, fault: Fault) {
        if let Some(number) = self.readings.get(place).map(|reading| reading.number) {
            self.stop(place);
            self.board.tell(&(place.clone(), number), Restored::Failed(fault));
        }
    }

    /// The client is of no use any more.
    fn fail_all(&mut self, fault: Fault) {
        let code = fault.code();
        let mut first = Some(fault);
        for (place, reading) in std::mem::take(&mut self.readings) {
            let fault = first.take().unwrap_or_else(|| Fault::new(code, format!("cannot read {place}")));
            self.board.tell(&(place, reading.number), Restored::Failed(fault));
        }
        self.fetched = Fetched::new(CHUNK);
        self.clients = None;
    }

    /// Does not read a partition any more.
    fn stop(&mut self, place: &TopicPartition) {
        self.readings.remove(place);
        self.fetched.partitions.retain(|owned| owned.partition != *place);
        self.fetched.forget(std::slice::from_ref(place));
        if let Some(clients) = &self.clients
            && let Err(failure) = clients.committed.unassign_some(std::slice::from_ref(place))
        {
            client_log::warn("restore", &format!("cannot stop reading {place}: {failure}"));
        }
    }
}
