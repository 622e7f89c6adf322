//! The demo's data: classes that Logistics keeps, items that suppliers send; the same for the same seed.

use serde_json::json;

/// How many suppliers send at the same time. A SKU belongs to one of them, so that its updates have an order.
pub(crate) const SUPPLIERS: usize = 4;

/// How many of the classes that items name are never published: their items go out with null times.
const UNKNOWN_CLASSES: usize = 2;

/// Delivery classes and item updates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Corpus {
    /// How many item updates there are.
    pub(crate) items: usize,
    /// How many classes Logistics publishes.
    pub(crate) classes: usize,
    /// What the generated details depend on.
    pub(crate) seed: u64,
}

/// One record that a supplier sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Update {
    /// The SKU.
    pub(crate) key: String,
    /// The item; none deletes it.
    pub(crate) value: Option<Vec<u8>>,
}

impl Corpus {
    /// A class by its number: its name and its record.
    pub(crate) fn class(&self, number: usize) -> (String, Vec<u8>) {
        let minimum = 1 + self.dice(number, 1) % 9;
        let maximum = minimum + 1 + self.dice(number, 2) % 5;
        let value = json!({ "minimumTime": minimum, "maximumTime": maximum });
        (class_name(number), value.to_string().into_bytes())
    }

    /// An update by its number. Four of five are the first of their SKU, the rest come again; a few delete their item, a
    /// few are not JSON at all.
    pub(crate) fn update(&self, number: usize) -> Update {
        let skus = (self.items * 4 / 5).max(1);
        let key = format!("SKU-{:07}", number % skus);
        let value = match number {
            n if n % 997 == 500 => Some(b"<item>an old system's XML</item>".to_vec()),
            n if n % 499 == 250 => None,
            n => Some(self.item(n, &key)),
        };
        Update { key, value }
    }

    /// The supplier that sends an update: all updates of a SKU come from the same one.
    pub(crate) fn supplier(&self, number: usize) -> usize {
        number % (self.items * 4 / 5).max(1) % SUPPLIERS
    }

    fn item(&self, number: usize, key: &str) -> Vec<u8> {
        let item = json!({
            "sku": key,
            "update": number,
            "name": format!("Item {number}"),
            "price": { "amount": self.dice(number, 3) % 100_000, "currency": "EUR" },
            "deliveryClass": self.classes_of(number),
            "online": !self.dice(number, 4).is_multiple_of(10),
            "description": "made of oak, oiled by hand, ".repeat(5),
        });
        item.to_string().into_bytes()
    }

    /// One class for most items, several for three in a hundred; some name a class that nobody has published.
    fn classes_of(&self, number: usize) -> serde_json::Value {
        let named = self.classes + UNKNOWN_CLASSES;
        let pick = |salt| class_name(self.dice(number, salt) as usize % named);
        if self.dice(number, 5) % 100 < 3 { json!([pick(6), pick(7), pick(8)]) } else { json!(pick(6)) }
    }

    /// A number that looks random and depends on nothing but its arguments (the finalizer of splitmix64).
    fn dice(&self, number: usize, salt: u64) -> u64 {
        let mut z = self.seed ^ (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (salt << 56);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) >> 1
    }
}

fn class_name(number: usize) -> String {
    format!("class-{number:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORPUS: Corpus = Corpus { items: 5_000, classes: 50, seed: 7 };

    #[test]
    fn gives_the_same_update_for_the_same_seed() {
        let other = Corpus { seed: 8, ..CORPUS };

        assert_eq!(CORPUS.update(1), CORPUS.update(1));
        assert_ne!(CORPUS.update(1), other.update(1));
    }

    #[test]
    fn sends_all_updates_of_a_sku_through_one_supplier() {
        let again = CORPUS.items * 4 / 5;

        assert_eq!(CORPUS.update(3).key, CORPUS.update(again + 3).key);
        assert_eq!(CORPUS.supplier(3), CORPUS.supplier(again + 3));
    }

    #[test]
    fn holds_every_kind_of_update() {
        let updates: Vec<_> = (0..CORPUS.items).map(|number| CORPUS.update(number)).collect();

        assert!(updates.iter().any(|update| update.value.is_none()));
        assert!(updates.iter().any(|update| update.value.as_deref().is_some_and(|v| v.starts_with(b"<"))));
        let text = |update: &Update| String::from_utf8(update.value.clone().unwrap_or_default()).unwrap();
        assert!(updates.iter().any(|update| text(update).contains("\"deliveryClass\":[")));
    }
}
