//! The shop: a table of all items, for their pages, and how many there are of each class.

use std::collections::{BTreeMap, HashMap};

use super::{Consumer, Offer};
use crate::cli::demo::expected::{Expected, Standing};
use crate::cli::demo::figures::grouped;

/// How many classes a line names.
const NAMED: usize = 3;

/// A table by SKU.
#[derive(Default)]
pub(super) struct Shop {
    table: HashMap<String, Offer>,
    by_class: BTreeMap<String, usize>,
}

impl Consumer for Shop {
    fn take(&mut self, sku: &str, offer: Option<Offer>) {
        let before = match offer {
            Some(offer) => {
                for class in &offer.classes {
                    *self.by_class.entry(class.clone()).or_default() += 1;
                }
                self.table.insert(sku.to_owned(), offer)
            }
            None => self.table.remove(sku),
        };
        for class in before.into_iter().flat_map(|offer| offer.classes) {
            self.by_class.entry(class).and_modify(|count| *count -= 1);
        }
    }

    fn sight(&self) -> String {
        let mut classes: Vec<_> = self.by_class.iter().map(|(class, count)| (*count, class)).collect();
        classes.sort_by(|a, b| b.cmp(a));
        let named: Vec<_> =
            classes.iter().take(NAMED).map(|(count, class)| format!("{} {class}", grouped(*count))).collect();
        format!("{} items: {} ...", grouped(self.table.len()), named.join(", "))
    }

    fn knows(&self, sku: &str, standing: &Standing) -> bool {
        match (self.table.get(sku), standing) {
            (offer, Standing::Gone) => offer.is_none(),
            (Some(offer), Standing::There { classes, times }) => {
                offer.classes == *classes && offer.times == *times
            }
            (None, Standing::There { .. }) => false,
            (_, Standing::Unclear) => true,
        }
    }

    fn strangers(&self, expected: &Expected) -> usize {
        let counted: usize = self.by_class.values().sum();
        let classes: usize = self.table.values().map(|offer| offer.classes.len()).sum();
        self.table.keys().filter(|sku| !expected.contains_key(*sku)).count() + counted.abs_diff(classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(class: &str) -> Option<Offer> {
        Some(Offer { classes: vec![class.to_owned()], times: Some((2, 5)) })
    }

    #[test]
    fn counts_the_items_of_each_class() {
        let mut shop = Shop::default();

        shop.take("a", offer("bulky"));
        shop.take("b", offer("bulky"));
        shop.take("a", offer("letter"));
        shop.take("c", offer("letter"));
        shop.take("c", None);

        assert_eq!(shop.sight(), "2 items: 1 letter, 1 bulky ...");
        assert_eq!(shop.strangers(&Expected::new()), 2);
    }

    #[test]
    fn knows_classes_and_times_of_what_is_there() {
        let mut shop = Shop::default();
        shop.take("a", offer("bulky"));
        let there = |days| Standing::There { classes: vec!["bulky".to_owned()], times: Some((2, days)) };

        assert!(shop.knows("a", &there(5)) && shop.knows("b", &Standing::Gone));
        assert!(
            !shop.knows("a", &there(6)) && !shop.knows("a", &Standing::Gone) && !shop.knows("b", &there(5))
        );
    }
}
