//! Positions that librdkafka has given up, and whether they are lost at all.
//!
//! After an end of partition that came in a batch, librdkafka 2.12 takes its position for one offset further than it is. When a
//! broker comes back and the partition has a new leader epoch, it compares that position with the log, finds it beyond the end
//! ("log truncation detected") and reads nothing more. The bounds of the partition tell what is true.

use std::time::Duration;

use crate::clock::Clock;
use crate::fault::{Code, Fault};
use crate::id::{Offset, TopicPartition};
use crate::io::Bounds;
use crate::kafka::client_log;
use crate::kafka::consumer::Consumer;
use crate::kafka::error;
use crate::kafka::fetched::Fetched;
use crate::kafka::native::{ErrorCode, Message};

/// A broker that has just started may not know for so long how far its log is stable.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the bounds are asked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The partitions with which a client does not go on.
#[derive(Default)]
pub(super) struct Doubts(Vec<Doubt>);

/// A partition whose position is in doubt.
struct Doubt {
    partition: TopicPartition,
    /// What the client said.
    said: String,
    since: Clock,
    looked_at: Option<Duration>,
}

/// What a look at the bounds says of a position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// It is there.
    There,
    /// It may be there soon.
    Open,
    /// It is not.
    Lost,
}

impl Doubts {
    /// Takes the messages out that say that a position does not exist.
    pub(super) fn take(&mut self, messages: &mut Vec<Message>) {
        messages.retain(|message| {
            let doubt = Doubt::of(message);
            let is_doubt = doubt.is_some();
            self.0.extend(doubt);
            !is_doubt
        });
    }

    /// Goes on with the partitions whose position exists after all. `bounds` asks the broker; none when it does not answer.
    ///
    /// # Errors
    /// `position_lost` for one that does not exist.
    pub(super) fn settle(
        &mut self,
        fetched: &mut Fetched,
        consumer: &Consumer,
        mut bounds: impl FnMut(&TopicPartition) -> Option<Bounds>,
    ) -> Result<(), Fault> {
        for mut doubt in std::mem::take(&mut self.0) {
            // One that was given back or paused since is in no doubt: it begins anew.
            let owned = fetched.find(&doubt.partition).filter(|owned| owned.is_fetching);
            let Some(position) = owned.and_then(|owned| owned.position) else { continue };
            let bounds = if doubt.is_due() { bounds(&doubt.partition) } else { None };
            match bounds.map_or(Verdict::Open, |bounds| doubt.judge(position, bounds)) {
                Verdict::There => {
                    let line = format!("{} goes on at {position}: {}", doubt.partition, doubt.said);
                    client_log::warn("position", &line);
                    let restarted = consumer.restart(&[(doubt.partition, position)]);
                    restarted.map_err(|failure| error::fault("cannot go on with a partition", failure))?;
                }
                Verdict::Open => self.0.push(doubt),
                Verdict::Lost => {
                    let what = format!("position {position} of {} does not exist", doubt.partition);
                    return Err(Fault::new(Code::PositionLost, what).because(doubt.said));
                }
            }
        }
        Ok(())
    }
}

impl Doubt {
    /// The doubt that a message stands for, if it is one.
    fn of(message: &Message) -> Option<Self> {
        let is_doubt = matches!(
            message.code(),
            ErrorCode::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET
                | ErrorCode::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE
        );
        let topic = message.topic().filter(|_| is_doubt)?;
        let partition = TopicPartition { topic, partition: message.partition() };
        let said = message.error_text();
        Some(Self { partition, said, since: Clock::system(), looked_at: None })
    }

    /// Whether it is time to ask for the bounds.
    fn is_due(&mut self) -> bool {
        let now = self.since.elapsed();
        let is_due = self.looked_at.is_none_or(|last| now.saturating_sub(last) >= LOOK_INTERVAL);
        if is_due {
            self.looked_at = Some(now);
        }
        is_due
    }

    /// What the bounds mean for a position.
    fn judge(&self, position: Offset, bounds: Bounds) -> Verdict {
        judge(position, bounds, self.since.elapsed())
    }
}

fn judge(position: Offset, bounds: Bounds, waited: Duration) -> Verdict {
    match position {
        position if (bounds.start..=bounds.stable_end).contains(&position) => Verdict::There,
        position if position > bounds.stable_end && waited < PATIENCE => Verdict::Open,
        _ => Verdict::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_an_end_that_may_come_and_for_no_start() {
        let bounds = Bounds { start: Offset(5), stable_end: Offset(10) };
        let verdict = |position, seconds| judge(Offset(position), bounds, Duration::from_secs(seconds));

        assert_eq!([5, 10].map(|position| verdict(position, 60)), [Verdict::There; 2]);
        assert_eq!(verdict(11, 9), Verdict::Open);
        assert_eq!(verdict(11, 10), Verdict::Lost);
        assert_eq!(verdict(4, 0), Verdict::Lost);
    }
}
