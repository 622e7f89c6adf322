//! Which keys a walk has passed, and when.

use crate::walk::Stretch;

/// Keys that were passed at an epoch: `from < key <= to`. None is before the first or behind the last key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Segment {
    pub(super) epoch: u64,
    pub(super) from: Option<Vec<u8>>,
    pub(super) to: Option<Vec<u8>>,
}

impl Segment {
    fn holds(&self, key: &[u8]) -> bool {
        self.from.as_deref().is_none_or(|from| key > from) && self.to.as_deref().is_none_or(|to| key <= to)
    }

    fn covers(&self, other: &Self) -> bool {
        let to = match (&self.to, &other.to) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own >= other,
        };
        // None is before the first key, and sorts so.
        self.from <= other.from && to
    }
}

/// The segments of a walk, the newest last.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Segments(pub(super) Vec<Segment>);

impl Segments {
    /// Adds keys that were passed now, and forgets what they make needless.
    pub(super) fn pass(&mut self, epoch: u64, stretch: &Stretch) {
        let mut newest = Segment { epoch, from: stretch.from.clone(), to: stretch.to.clone() };
        if let Some(last) = self.0.last()
            && last.epoch == epoch
            && last.to.is_some()
            && last.to == newest.from
        {
            newest.from.clone_from(&last.from);
        }
        self.0.retain(|segment| !newest.covers(segment));
        self.0.push(newest);
    }

    /// The newest epoch at which a key was passed.
    pub(super) fn newest(&self, key: &[u8]) -> Option<u64> {
        // Epochs do not fall from one segment to the next.
        self.0.iter().rev().find(|segment| segment.holds(key)).map(|segment| segment.epoch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stretch(from: Option<u8>, to: Option<u8>) -> Stretch {
        Stretch { from: from.map(|key| vec![key]), to: to.map(|key| vec![key]) }
    }

    #[test]
    fn joins_what_was_passed_at_one_epoch() {
        let mut segments = Segments::default();

        segments.pass(1, &stretch(None, Some(3)));
        segments.pass(1, &stretch(Some(3), Some(5)));
        segments.pass(2, &stretch(Some(5), None));

        assert_eq!(segments.0.len(), 2);
        assert_eq!([[5], [6]].map(|key| segments.newest(&key)), [Some(1), Some(2)]);
    }

    proptest! {
        #[test]
        fn knows_the_newest_epoch_of_each_key(
            passed in prop::collection::vec((0..2_u64, prop::option::of(0..9_u8), prop::option::of(0..9_u8)), 0..20)
        ) {
            let mut segments = Segments::default();
            let mut model = [None; 10];
            let mut epoch = 0;
            for (step, from, to) in passed {
                epoch += step;
                if to.is_some_and(|to| from.is_some_and(|from| from >= to)) {
                    continue;
                }
                segments.pass(epoch, &stretch(from, to));
                for (key, known) in (0..10_u8).zip(&mut model) {
                    if from.is_none_or(|from| key > from) && to.is_none_or(|to| key <= to) {
                        *known = Some(epoch);
                    }
                }
            }

            let found: Vec<_> = (0..10_u8).map(|key| segments.newest(&[key])).collect();
            prop_assert_eq!(found, model);
        }
    }
}
