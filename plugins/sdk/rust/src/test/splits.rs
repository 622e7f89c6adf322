//! The ways to cut records into batches.

use std::fmt::Debug;

/// Up to so many records are cut in each way, which is 2^5 ways.
const EACH_WAY: usize = 6;

/// Whether an instance lives on between batches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Instances {
    One,
    OneEach,
}

/// The lengths of the batches, for each way.
pub(super) fn ways(records: usize) -> Vec<Vec<usize>> {
    if records <= EACH_WAY {
        // Bit i of a way says whether there is a cut behind record i.
        let cuts = records.saturating_sub(1);
        return (0..1_u32 << cuts).map(|way| lengths(records, |i| way & 1 << i != 0)).collect();
    }
    let mut ways: Vec<Vec<usize>> = (1..records).map(|cut| vec![cut, records - cut]).collect();
    ways.push(vec![records]);
    ways.push(vec![1; records]);
    ways
}

fn lengths(records: usize, cut_behind: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut length = 0;
    for record in 0..records {
        length += 1;
        if record + 1 == records || cut_behind(record) {
            lengths.push(length);
            length = 0;
        }
    }
    lengths
}

/// The message for a plugin whose answer depends on its batches.
pub(super) fn disagreement(
    what: &str,
    way: &[usize],
    instances: Instances,
    whole: &impl Debug,
    other: &impl Debug,
) -> String {
    let instances = match instances {
        Instances::One => "by one instance",
        Instances::OneEach => "each by a new instance",
    };
    format!(
        "{what} give another outcome in batches of {way:?}, {instances}: what a plugin \
         does may not depend on its batches or on what its memory holds\n  whole: {whole:?}\n  split: {other:?}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_few_records_in_each_way() {
        assert_eq!(ways(1), [vec![1]]);
        assert_eq!(ways(3), [vec![3], vec![1, 2], vec![2, 1], vec![1, 1, 1]]);
        assert_eq!(ways(6).len(), 32);
    }

    #[test]
    fn cuts_many_records_once_at_each_place_and_everywhere() {
        let ways = ways(8);

        assert!(ways.contains(&vec![8]));
        assert!(ways.contains(&vec![1; 8]));
        assert!((1..8).all(|cut| ways.contains(&vec![cut, 8 - cut])));
    }
}
