//! What a task remembers about records that do harm, by partition and offset, so that an abort does not make it find
//! them all over again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::task::run::{Care, Condemned, Run};
use crate::task::spec::Place;

/// How much of a record its dead letter keeps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Form {
    /// Key, value and headers.
    #[default]
    Whole,
    /// Key and headers.
    WithoutValue,
    /// Only the headers that say where it lies.
    Bare,
}

impl Form {
    /// The next smaller form, if there is one.
    pub(crate) fn smaller(self) -> Option<Self> {
        match self {
            Self::Whole => Some(Self::WithoutValue),
            Self::WithoutValue => Some(Self::Bare),
            Self::Bare => None,
        }
    }
}

#[derive(Debug)]
struct Reason {
    code: String,
    message: String,
}

/// The records that a task will dead-letter, or treat with care, when it meets them again.
#[derive(Debug, Default)]
pub(crate) struct Culprits {
    condemned: BTreeMap<Place, Reason>,
    /// How often a record timed out alone.
    timeouts: BTreeMap<Place, u32>,
    /// The last of these records, by the first one: they are run one by one, because one of them made an output that the
    /// broker refused, and nobody knows which.
    suspects: BTreeMap<Place, Place>,
    /// The forms of dead letters that were refused whole.
    forms: BTreeMap<Place, Form>,
    /// What the open transaction has handed out that lies at no place in a topic.
    apart: Vec<Place>,
}

impl Culprits {
    /// Remembers that a record goes to the dead letters.
    pub(crate) fn condemn(&mut self, place: Place, code: &str, message: &str) {
        let reason = || Reason { code: code.to_owned(), message: message.to_owned() };
        self.condemned.entry(place).or_insert_with(reason);
    }

    /// Counts a time-out of a record alone, and tells how many there were.
    pub(crate) fn timed_out(&mut self, place: Place) -> u32 {
        let count = self.timeouts.entry(place).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Remembers that the broker refused an output that one of these records made.
    pub(crate) fn suspect(&mut self, first: Place, last: Place) {
        self.suspects.insert(first, last);
    }

    /// Remembers that a dead letter was refused; false when there is no smaller form to try.
    pub(crate) fn refuse_dead_letter(&mut self, place: Place) -> bool {
        let smaller = self.form(place).smaller();
        if let Some(form) = smaller {
            self.forms.insert(place, form);
        }
        smaller.is_some()
    }

    /// The form that the dead letter of a record has.
    pub(crate) fn form(&self, place: Place) -> Form {
        self.forms.get(&place).copied().unwrap_or_default()
    }

    /// Marks what is known about the records of a run.
    pub(crate) fn mark(&self, run: &mut Run) {
        if self.condemned.is_empty() && self.suspects.is_empty() {
            return;
        }
        let places: Vec<_> = run.records.iter().map(|record| run.place(&record)).collect();
        for (index, place) in (0u32..).zip(&places) {
            if let Some(reason) = self.condemned.get(place) {
                let (code, message) = (reason.code.clone(), reason.message.clone());
                run.condemn(Condemned { index, code, message });
            }
        }
        if places.iter().any(|place| self.is_suspect(*place)) {
            run.care = Care::Suspect;
        }
    }

    /// Whether a record has to be run alone.
    pub(crate) fn is_suspect(&self, place: Place) -> bool {
        let before = self.suspects.range(..=place).next_back();
        before.is_some_and(|(first, last)| {
            (first.source, first.is_apart) == (place.source, place.is_apart) && place <= *last
        })
    }

    /// Forgets records of a partition that lie before a committed position: nobody meets them again, but as rows.
    pub(crate) fn forget_before(&mut self, position: Place) {
        let is_ahead = |place: &Place| {
            (place.source, place.partition, place.is_apart)
                != (position.source, position.partition, position.is_apart)
                || place.offset >= position.offset
        };
        self.condemned.retain(|place, _| is_ahead(place));
        self.timeouts.retain(|place, _| is_ahead(place));
        self.forms.retain(|place, _| is_ahead(place));
        self.suspects.retain(|_, last| is_ahead(last));
    }

    /// The open transaction holds what came of something that lies at no place in a topic.
    pub(crate) fn apart(&mut self, place: Place) {
        self.apart.push(place);
    }

    /// The transaction is committed: whoever asks for the same rows once more gets another judgement.
    pub(crate) fn forget_apart(&mut self) {
        for place in std::mem::take(&mut self.apart) {
            self.condemned.remove(&place);
            self.timeouts.remove(&place);
            self.forms.remove(&place);
            self.suspects.retain(|first, last| !(*first..=*last).contains(&place));
        }
    }

    /// Nothing of the transaction counts.
    pub(crate) fn rewind(&mut self) {
        self.apart.clear();
    }

    /// Whether nothing is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.condemned.is_empty()
            && self.timeouts.is_empty()
            && self.forms.is_empty()
            && self.suspects.is_empty()
            && self.apart.is_empty()
    }
}

/// Counts the records that a plugin failed on: beyond the limit its task stops, before it dead-letters the whole topic.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    recent: std::collections::VecDeque<Duration>,
}

impl Breaker {
    /// Counts one, and tells whether that was too many within a minute.
    pub(crate) fn is_tripped_by(&mut self, now: Duration, per_minute: u32) -> bool {
        self.recent.push_back(now);
        let minute_ago = now.saturating_sub(Duration::from_secs(60));
        while self.recent.front().is_some_and(|time| *time < minute_ago) {
            self.recent.pop_front();
        }
        self.recent.len() > per_minute as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Offset, Partition, SourceIndex};

    fn place(offset: i64) -> Place {
        Place { source: SourceIndex(0), partition: Partition(0), offset: Offset(offset), is_apart: false }
    }

    #[test]
    fn forgets_what_lies_before_a_committed_position() {
        let mut culprits = Culprits::default();
        culprits.condemn(place(3), "trap", "");
        culprits.timed_out(place(4));
        culprits.suspect(place(1), place(4));

        culprits.forget_before(place(4));
        assert!(culprits.is_suspect(place(4)) && !culprits.is_suspect(place(5)));
        culprits.forget_before(place(5));

        assert!(culprits.is_empty());
    }

    #[test]
    fn makes_a_refused_dead_letter_smaller_until_there_is_nothing_left() {
        let mut culprits = Culprits::default();

        let tries: Vec<_> = (0..3).map(|_| culprits.refuse_dead_letter(place(1))).collect();

        assert_eq!(tries, [true, true, false]);
        assert_eq!(culprits.form(place(1)), Form::Bare);
    }

    #[test]
    fn trips_only_when_too_many_come_within_a_minute() {
        let mut breaker = Breaker::default();
        let mut tripped = |seconds| breaker.is_tripped_by(Duration::from_secs(seconds), 2);

        assert!(!tripped(0) && !tripped(1) && !tripped(70) && !tripped(71));
        assert!(tripped(72));
    }
}
