//! The partner: gets a feed of delivery times, and only when they have changed.

use std::collections::HashMap;

use super::{Consumer, Offer};
use crate::cli::demo::expected::{Expected, Standing, Times};
use crate::cli::demo::figures::grouped;

/// What the partner was told last, and how often.
#[derive(Default)]
pub(super) struct Partner {
    told: HashMap<String, Option<Times>>,
    changes: usize,
    /// Records that gave no reason to tell anything.
    unchanged: usize,
}

impl Consumer for Partner {
    fn take(&mut self, sku: &str, offer: Option<Offer>) {
        let is_news = match offer {
            Some(Offer { times, .. }) => self.told.insert(sku.to_owned(), times) != Some(times),
            None => self.told.remove(sku).is_some(),
        };
        self.changes += usize::from(is_news);
        self.unchanged += usize::from(!is_news);
    }

    fn sight(&self) -> String {
        let [changes, unchanged] = [self.changes, self.unchanged].map(grouped);
        format!("{changes} changes of times fed; {unchanged} records were none")
    }

    fn knows(&self, sku: &str, standing: &Standing) -> bool {
        match (self.told.get(sku), standing) {
            (told, Standing::Gone) => told.is_none(),
            (told, Standing::There { times, .. }) => told == Some(times),
            (_, Standing::Unclear) => true,
        }
    }

    fn strangers(&self, expected: &Expected) -> usize {
        self.told.keys().filter(|sku| !expected.contains_key(*sku)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feeds_changes_only() {
        let mut partner = Partner::default();
        let offer = |minimum| Some(Offer { classes: vec![], times: Some((minimum, 9)) });

        partner.take("a", offer(1));
        partner.take("a", offer(1));
        partner.take("a", offer(2));
        partner.take("b", None);
        partner.take("a", None);

        assert_eq!((partner.changes, partner.unchanged), (3, 2));
        assert!(partner.knows("a", &Standing::Gone));
    }
}
