//! A run: records of one source on their way through the plugin, and those among them that are condemned already.

use crate::id::{Offset, Partition, SourceIndex};
use crate::io::{Response, TimerClock};
use crate::record::{Chunk, RecordRef};
use crate::task::effects::JobName;
use crate::task::spec::Place;

/// A record that goes to the dead letters, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Condemned {
    /// Its position in the run's records.
    pub(crate) index: u32,
    /// The plugin's code, or one of the host's.
    pub(crate) code: String,
    /// For a person.
    pub(crate) message: String,
}

/// Whether a run gets an instance that has seen nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Care {
    /// The task's instance will do, and a transaction may be open.
    Ordinary,
    /// A new instance, because an earlier run without these records left traces in the old one.
    Again,
    /// A new instance and no open transaction: something in it fails, and finding out what may take long.
    Suspect,
}

/// What moves on when a run is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    /// The position of the records' source.
    Source,
    /// The position of the inbox: the records are rows that orders named. For each of them the position behind its order.
    Orders(Vec<Offset>),
    /// A job of the host that repeats rows; none ends it.
    Job { name: JobName, cursor: Option<Vec<u8>> },
    /// The timers of this clock that the records are: name, payload, time, number.
    Timers(TimerClock),
    /// The callouts whose answers the records are. One response for each of them.
    Answers(Vec<Response>),
}

/// Records for one call, and what is known about them.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Their source.
    pub(crate) source: SourceIndex,
    /// Their partition.
    pub(crate) partition: Partition,
    /// All of them, the condemned ones too.
    pub(crate) records: Chunk,
    /// The position that is reached when the run is done; beyond the last record when nothing lies behind it.
    pub(crate) until: Offset,
    /// The ones that the plugin does not get.
    pub(crate) condemned: Vec<Condemned>,
    /// How careful to be.
    pub(crate) care: Care,
    /// What it is for.
    pub(crate) goal: Goal,
}

impl Run {
    /// A run of records that nothing is known about.
    pub(crate) fn new((source, partition): (SourceIndex, Partition), records: Chunk, until: Offset) -> Self {
        let (condemned, care, goal) = (Vec::new(), Care::Ordinary, Goal::Source);
        Self { source, partition, records, until, condemned, care, goal }
    }

    /// Whether its records are not met at their places in a topic: rows that are handed out again, timers, answers.
    pub(crate) fn is_apart(&self) -> bool {
        self.goal != Goal::Source
    }

    /// Whether its records tell of the time that the stream has reached.
    pub(crate) fn is_of_stream(&self) -> bool {
        !matches!(self.goal, Goal::Timers(_) | Goal::Answers(_))
    }

    /// The responses of a run of answers, one for each of its records.
    pub(crate) fn responses(&self) -> &[Response] {
        match &self.goal {
            Goal::Answers(responses) => responses,
            Goal::Source | Goal::Orders(_) | Goal::Job { .. } | Goal::Timers(_) => &[],
        }
    }

    /// Whether it is a part of a job.
    pub(crate) fn is_of_job(&self) -> bool {
        matches!(self.goal, Goal::Job { .. })
    }

    /// Where one of its records lies.
    pub(crate) fn place(&self, record: &RecordRef<'_>) -> Place {
        let (source, partition, is_apart) = (self.source, self.partition, self.is_apart());
        Place { source, partition, offset: record.offset(), is_apart }
    }

    /// Takes a record out of the run; the first reason stays.
    pub(crate) fn condemn(&mut self, condemned: Condemned) {
        if !self.is_condemned(condemned.index) {
            self.condemned.push(condemned);
        }
    }

    fn is_condemned(&self, index: u32) -> bool {
        self.condemned.iter().any(|condemned| condemned.index == index)
    }

    /// Positions of the records that the plugin gets, when some are condemned.
    pub(crate) fn kept(&self) -> Option<Vec<u32>> {
        if self.condemned.is_empty() {
            return None;
        }
        let mut condemned: Vec<_> = self.condemned.iter().map(|condemned| condemned.index).collect();
        condemned.sort_unstable();
        let all = 0..u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        Some(all.filter(|index| condemned.binary_search(index).is_err()).collect())
    }

    /// How many records the plugin gets.
    pub(crate) fn living(&self) -> usize {
        self.records.len().saturating_sub(self.condemned.len())
    }

    /// Two runs, each with half of the records that the plugin gets.
    pub(crate) fn split(self, care: Care) -> [Self; 2] {
        let half = self.living() / 2;
        let middle = match self.kept() {
            None => half,
            Some(kept) => kept.get(half).copied().unwrap_or_default() as usize,
        };
        self.cut(middle, care)
    }

    /// Two runs: one with so many records, and one with the others.
    pub(crate) fn cut(self, middle: usize, care: Care) -> [Self; 2] {
        let (left, right) =
            (self.records.slice(&(0..middle)), self.records.slice(&(middle..self.records.len())));
        let boundary = u32::try_from(middle).unwrap_or(u32::MAX);
        let (before, mut behind): (Vec<_>, Vec<_>) =
            self.condemned.into_iter().partition(|condemned| condemned.index < boundary);
        behind.iter_mut().for_each(|condemned| condemned.index -= boundary);
        let (first, second) = self.goal.cut(&left);
        let until = match &first {
            Goal::Orders(behind) => behind.last().copied().unwrap_or(self.until),
            _ => left.last().map_or(self.until, |record| record.offset().next()),
        };
        let key = (self.source, self.partition);
        [
            Self { condemned: before, care, goal: first, ..Self::new(key, left, until) },
            Self { condemned: behind, care, goal: second, ..Self::new(key, right, self.until) },
        ]
    }
}

impl Goal {
    /// The goals of a run's first records, and of the others.
    fn cut(self, first: &Chunk) -> (Self, Self) {
        match self {
            Self::Source => (Self::Source, Self::Source),
            Self::Orders(mut behind) => {
                let rest = behind.split_off(first.len().min(behind.len()));
                (Self::Orders(behind), Self::Orders(rest))
            }
            Self::Timers(clock) => (Self::Timers(clock), Self::Timers(clock)),
            Self::Answers(mut responses) => {
                let rest = responses.split_off(first.len().min(responses.len()));
                (Self::Answers(responses), Self::Answers(rest))
            }
            Self::Job { name, cursor } => {
                let reached = first.last().and_then(|row| row.key()).map(<[u8]>::to_vec);
                (Self::Job { name: name.clone(), cursor: reached }, Self::Job { name, cursor })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Timestamp;

    fn run(records: i64) -> Run {
        let mut chunk = Chunk::new();
        for offset in 0..records {
            chunk.push(Some(b"k"), None, [], (Timestamp(0), Offset(offset)));
        }
        Run::new((SourceIndex(0), Partition(0)), chunk, Offset(100))
    }

    fn condemned(index: u32) -> Condemned {
        Condemned { index, code: "trap".into(), message: String::new() }
    }

    #[test]
    fn splits_so_that_each_half_has_work_and_positions_stay_exact() {
        let [left, right] = run(5).split(Care::Suspect);

        assert_eq!((left.records.len(), right.records.len()), (2, 3));
        assert_eq!((left.until, right.until), (Offset(2), Offset(100)));
    }

    #[test]
    fn splits_between_the_records_that_are_left() {
        let mut run = run(4);
        for index in [0, 1, 3] {
            run.condemn(condemned(index));
        }
        run.condemned.retain(|condemned| condemned.index != 3);

        let [left, right] = run.split(Care::Suspect);

        assert_eq!((left.living(), right.living()), (1, 1));
        assert_eq!(left.condemned.len(), 2);
    }

    #[test]
    fn keeps_the_first_reason_of_a_record() {
        let mut run = run(2);
        run.condemn(condemned(1));
        run.condemn(Condemned { code: "other".into(), ..condemned(1) });

        assert_eq!(run.condemned, [condemned(1)]);
        assert_eq!(run.kept(), Some(vec![0]));
    }
}
