//! What a worker and the thread of its restorer tell each other: orders one way, news the other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fault::Fault;
use crate::id::{Offset, TopicPartition};
use crate::io::{Restored, Until};

/// Both sides see it. Orders are bounded by the number of partitions, news by the reader, which looks at how much waits.
#[derive(Default)]
pub(super) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    next_number: u64,
    slots: BTreeMap<TopicPartition, Slot>,
}

/// A partition that the worker wants to have read.
struct Slot {
    /// Tells the news of this reading from those of an earlier one.
    number: u64,
    /// What the reader has not taken up yet.
    order: Option<(Option<Offset>, Until)>,
    news: VecDeque<Restored>,
    queued_bytes: usize,
}

/// A partition to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Order {
    pub(super) place: TopicPartition,
    pub(super) number: u64,
    pub(super) from: Option<Offset>,
    pub(super) until: Until,
}

/// What the reader learns from a look at the board.
#[derive(Default)]
pub(super) struct Orders {
    /// New ones.
    pub(super) begin: Vec<Order>,
    /// The readings that are still wanted, with the bytes that wait for the worker.
    pub(super) wanted: BTreeMap<(TopicPartition, u64), usize>,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker: wants a partition, from now on or anew.
    pub(super) fn begin(&self, place: &TopicPartition, from: Option<Offset>, until: Until) {
        self.lock().put(place, Some((from, until)));
        self.changed.notify_all();
    }

    /// The worker: wanted a partition that cannot be read.
    pub(super) fn fail(&self, place: &TopicPartition, fault: Fault) {
        let mut state = self.lock();
        let slot = state.put(place, None);
        slot.news.push_back(Restored::Failed(fault));
    }

    /// The worker: the next news of a partition. After the last one the partition is forgotten.
    pub(super) fn take(&self, place: &TopicPartition) -> Option<Restored> {
        let mut state = self.lock();
        let slot = state.slots.get_mut(place)?;
        let news = slot.news.pop_front()?;
        match &news {
            Restored::Began { .. } => {}
            Restored::Records(chunk) => slot.queued_bytes -= chunk.size_bytes().min(slot.queued_bytes),
            Restored::Done(_) | Restored::OutOfRange(_) | Restored::Failed(_) => {
                state.slots.remove(place);
            }
        }
        self.changed.notify_all();
        Some(news)
    }

    /// The worker: whether a partition is being read.
    pub(super) fn has(&self, place: &TopicPartition) -> bool {
        self.lock().slots.contains_key(place)
    }

    /// The worker: does not want a partition any more.
    pub(super) fn end(&self, place: &TopicPartition) {
        self.lock().slots.remove(place);
        self.changed.notify_all();
    }

    /// The worker: wants nothing any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.slots.clear();
        self.changed.notify_all();
    }

    /// The reader: what is wanted. Waits up to `wait` for a change, unless there is a new order. None when it should end.
    pub(super) fn orders(&self, wait: Duration) -> Option<Orders> {
        let mut state = self.lock();
        if !state.is_closed && !state.has_orders() && !wait.is_zero() {
            let woken = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            state = woken.0;
        }
        (!state.is_closed).then(|| state.orders())
    }

    /// The reader: has news of a reading; they are dropped when it is not wanted any more.
    pub(super) fn tell(&self, (place, number): &(TopicPartition, u64), news: Restored) {
        let mut state = self.lock();
        if let Some(slot) = state.slots.get_mut(place).filter(|slot| slot.number == *number) {
            if let Restored::Records(chunk) = &news {
                slot.queued_bytes = slot.queued_bytes.saturating_add(chunk.size_bytes());
            }
            slot.news.push_back(news);
        }
    }
}

impl State {
    fn put(&mut self, place: &TopicPartition, order: Option<(Option<Offset>, Until)>) -> &mut Slot {
        self.next_number += 1;
        let slot = Slot { number: self.next_number, order, news: VecDeque::new(), queued_bytes: 0 };
        let entry = self.slots.entry(place.clone());
        entry.insert_entry(slot).into_mut()
    }

    fn has_orders(&self) -> bool {
        self.slots.values().any(|slot| slot.order.is_some())
    }

    fn orders(&mut self) -> Orders {
        let mut orders = Orders::default();
        for (place, slot) in &mut self.slots {
            orders.wanted.insert((place.clone(), slot.number), slot.queued_bytes);
            if let Some((from, until)) = slot.order.take() {
                orders.begin.push(Order { place: place.clone(), number: slot.number, from, until });
            }
        }
        orders
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Partition, Timestamp};
    use crate::record::Chunk;

    fn place() -> TopicPartition {
        TopicPartition::new(&"c".into(), Partition(0))
    }

    fn chunk() -> Chunk {
        let mut chunk = Chunk::new();
        chunk.push(Some(b"key"), Some(b"value"), [], (Timestamp(0), Offset(0)));
        chunk
    }

    #[test]
    fn hands_an_order_out_once_and_counts_what_waits() {
        let board = Board::default();
        board.begin(&place(), None, Until::End);

        let orders = board.orders(Duration::from_secs(60)).unwrap();
        let reading = (place(), orders.begin[0].number);
        board.tell(&reading, Restored::Records(chunk()));
        let later = board.orders(Duration::ZERO).unwrap();

        assert_eq!(later.begin, []);
        assert_eq!(later.wanted, BTreeMap::from([(reading, 8)]));
        assert!(matches!(board.take(&place()), Some(Restored::Records(_))));
        assert_eq!(board.orders(Duration::ZERO).unwrap().wanted.into_values().sum::<usize>(), 0);
    }

    #[test]
    fn drops_news_of_a_reading_that_was_begun_anew() {
        let board = Board::default();
        board.begin(&place(), None, Until::End);
        let old = board.orders(Duration::ZERO).unwrap().begin[0].number;
        board.begin(&place(), Some(Offset(5)), Until::End);

        board.tell(&(place(), old), Restored::Done(Offset(9)));

        assert!(board.take(&place()).is_none());
        assert_eq!(board.orders(Duration::ZERO).unwrap().begin[0].from, Some(Offset(5)));
    }

    #[test]
    fn forgets_a_partition_with_its_last_news() {
        let board = Board::default();
        board.begin(&place(), None, Until::End);
        let number = board.orders(Duration::ZERO).unwrap().begin[0].number;
        board.tell(&(place(), number), Restored::Done(Offset(9)));

        assert!(matches!(board.take(&place()), Some(Restored::Done(Offset(9)))));

        assert!(!board.has(&place()));
    }

    #[test]
    fn tells_the_reader_to_end() {
        let board = Board::default();
        board.begin(&place(), None, Until::End);

        board.close();

        assert!(board.orders(Duration::from_secs(60)).is_none());
    }
}
