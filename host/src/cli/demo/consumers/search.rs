//! The search engine: an index of items by the days that they may take, to find what is there within a week.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Consumer, Offer};
use crate::cli::demo::expected::{Expected, Standing};
use crate::cli::demo::figures::grouped;

/// The questions that its line answers, in days.
const WITHIN: [u64; 4] = [3, 7, 14, 30];

/// An index by the maximum time.
#[derive(Default)]
pub(super) struct Search {
    index: BTreeMap<u64, HashSet<String>>,
    /// Where each item is in the index; none when its times are unknown.
    days: HashMap<String, Option<u64>>,
}

impl Search {
    /// How many items can be there within so many days.
    fn within(&self, days: u64) -> usize {
        self.index.range(..=days).map(|(_, items)| items.len()).sum()
    }
}

impl Consumer for Search {
    fn take(&mut self, sku: &str, offer: Option<Offer>) {
        let before = match &offer {
            Some(offer) => {
                let days = offer.times.map(|(_, maximum)| maximum);
                self.days.insert(sku.to_owned(), days).flatten()
            }
            None => self.days.remove(sku).flatten(),
        };
        if let Some(items) = before.and_then(|days| self.index.get_mut(&days)) {
            items.remove(sku);
        }
        if let Some((_, maximum)) = offer.and_then(|offer| offer.times) {
            self.index.entry(maximum).or_default().insert(sku.to_owned());
        }
    }

    fn sight(&self) -> String {
        let found = WITHIN.map(|days| format!("{} in {days}", grouped(self.within(days))));
        format!("{} days", found.join(", "))
    }

    fn knows(&self, sku: &str, standing: &Standing) -> bool {
        let is_under = |days: u64| self.index.get(&days).is_some_and(|items| items.contains(sku));
        match (self.days.get(sku), standing) {
            (days, Standing::Gone) => days.is_none(),
            (Some(days), Standing::There { times, .. }) => {
                *days == times.map(|(_, maximum)| maximum) && days.is_none_or(is_under)
            }
            (None, Standing::There { .. }) => false,
            (_, Standing::Unclear) => true,
        }
    }

    fn strangers(&self, expected: &Expected) -> usize {
        let indexed = self.within(u64::MAX);
        let dated = self.days.values().flatten().count();
        self.days.keys().filter(|sku| !expected.contains_key(*sku)).count() + indexed.abs_diff(dated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(times: Option<(u64, u64)>) -> Option<Offer> {
        Some(Offer { classes: vec![], times })
    }

    #[test]
    fn finds_what_is_deliverable_within_some_days() {
        let mut search = Search::default();

        search.take("a", offer(Some((1, 3))));
        search.take("b", offer(Some((1, 9))));
        search.take("b", offer(Some((1, 7))));
        search.take("c", offer(None));
        search.take("d", offer(Some((1, 2))));
        search.take("d", None);

        assert_eq!([2, 3, 7].map(|days| search.within(days)), [0, 1, 2]);
        let there = |times| Standing::There { classes: vec![], times };
        assert!(search.knows("b", &there(Some((1, 7)))) && search.knows("c", &there(None)));
        assert!(!search.knows("b", &there(Some((1, 9)))) && !search.knows("d", &there(Some((1, 2)))));
        assert_eq!(search.strangers(&Expected::new()), 3);
    }
}
