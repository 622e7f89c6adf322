//! Watches a sink at `read_committed`: which items show the new times, and how long ordinary records took.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::load::{self, Kind};
use crate::client::{Client, Isolation, unique};
use crate::read::tolerate;

const POLL: Duration = Duration::from_millis(20);

/// A reader on a thread of its own, from the end of a topic on.
pub(super) struct Watch {
    shared: Arc<Shared>,
    client: Client,
    topic: String,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    sight: Mutex<Sight>,
}

/// What was seen since the last [`Watch::expect`].
#[derive(Default)]
struct Sight {
    /// How the value of an item ends that shows the new times.
    ending: String,
    items: Vec<bool>,
    count: u64,
    last: Option<Instant>,
    /// Offsets from which on the first record is waited for.
    behind: Option<BTreeMap<i32, i64>>,
    next: Option<Instant>,
    delays: Vec<Duration>,
}

impl Watch {
    /// Begins at the end of the topic.
    pub(super) fn start(client: &Client, topic: &str, partitions: i32) -> Result<Self> {
        let settings = [
            ("isolation.level", "read_committed"),
            ("fetch.wait.max.ms", "10"),
            ("fetch.queue.backoff.ms", "20"),
            ("queued.min.messages", "50000"),
        ];
        let consumer = client.consumer(&unique("watch"), &settings)?;
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            let end = client.watermarks(topic, partition, Isolation::Committed)?.1;
            list.add_partition_offset(topic, partition, Offset::Offset(end))?;
        }
        consumer.assign(&list)?;
        let shared = Arc::new(Shared::default());
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.read(&consumer)
        });
        Ok(Self { shared, client: client.clone(), topic: topic.to_owned(), thread: Some(thread) })
    }

    /// Waits from now on for so many items whose values end like this.
    pub(super) fn expect(&self, ending: &str, items: u64) -> Result<()> {
        let items = vec![false; usize::try_from(items)?];
        *self.sight() = Sight { ending: ending.to_owned(), items, ..Sight::default() };
        Ok(())
    }

    /// How many of the items have come, and when the last one did.
    pub(super) fn count(&self) -> Result<(u64, Option<Instant>)> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            return Err(anyhow!("the watch over `{}` has ended", self.topic));
        }
        let sight = self.sight();
        Ok((sight.count, sight.last))
    }

    /// Waits from now on for the first record behind what is committed at this moment.
    pub(super) fn expect_more(&self, partitions: i32) -> Result<()> {
        let ends = (0..partitions)
            .map(|p| Ok((p, self.client.watermarks(&self.topic, p, Isolation::Committed)?.1)))
            .collect::<Result<_>>()?;
        let mut sight = self.sight();
        (sight.behind, sight.next) = (Some(ends), None);
        Ok(())
    }

    /// When the first record came that [`Watch::expect_more`] waits for.
    pub(super) fn next(&self) -> Option<Instant> {
        self.sight().next
    }

    /// Takes the delays of the ordinary records that were seen so far.
    pub(super) fn delays(&self) -> Vec<Duration> {
        std::mem::take(&mut self.sight().delays)
    }

    fn sight(&self) -> MutexGuard<'_, Sight> {
        self.shared.sight()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(Err(_) | Ok(Err(_))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the watch over `{}` has failed", self.topic);
        }
    }
}

impl Shared {
    fn sight(&self) -> MutexGuard<'_, Sight> {
        // A look that panicked has ended its thread, which is noticed there.
        self.sight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, consumer: &BaseConsumer) -> Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            match consumer.poll(POLL) {
                Some(Ok(message)) => self.sight().see(
                    (message.partition(), message.offset()),
                    message.key().unwrap_or_default(),
                    message.payload().unwrap_or_default(),
                ),
                Some(Err(error)) => tolerate(&error)?,
                None => {}
            }
        }
        Ok(())
    }
}

impl Sight {
    fn see(&mut self, (partition, offset): (i32, i64), key: &[u8], value: &[u8]) {
        if self.behind.as_ref().is_some_and(|ends| ends.get(&partition).is_some_and(|end| offset >= *end)) {
            (self.next, self.behind) = (Some(Instant::now()), None);
        }
        match load::kind(key) {
            Some(Kind::Item(n)) if value.ends_with(self.ending.as_bytes()) => {
                let index = usize::try_from(n).unwrap_or(usize::MAX);
                if let Some(seen @ false) = self.items.get_mut(index) {
                    *seen = true;
                    self.count += 1;
                    self.last = Some(Instant::now());
                }
            }
            Some(Kind::Ordinary) => self.delays.extend(load::delay(value)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_item_once_and_only_with_the_new_times() {
        let mut sight = Sight { ending: "\"maximum\":7}".into(), items: vec![false; 3], ..Sight::default() };

        for value in [&b"{\"maximum\":6}"[..], b"{\"maximum\":7}", b"{\"maximum\":7}"] {
            sight.see((0, 0), b"sku-2", value);
        }
        sight.see((0, 0), b"sku-3", b"{\"maximum\":7}");

        assert_eq!(sight.count, 1);
    }

    #[test]
    fn waits_for_a_record_behind_the_ends() {
        let mut sight = Sight { behind: Some([(0, 5), (1, 9)].into()), ..Sight::default() };

        sight.see((0, 4), b"x", b"");
        sight.see((1, 8), b"x", b"");
        assert_eq!(sight.next, None);

        sight.see((0, 5), b"x", b"");
        assert!(sight.next.is_some());
    }
}
