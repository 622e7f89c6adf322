//! The demo's data: classes that Logistics keeps, items that suppliers send; the same for the same seed.

use serde_json::json;

use super::expected::Times;

/// How many suppliers send at the same time. A SKU belongs to one of them, so that its updates have an order.
pub(super) const SUPPLIERS: usize = 4;

/// The class that most items have.
pub(super) const BULKY: &str = "bulky";

/// How many of the classes that items name are not published at first: their items go out with null times.
const UNKNOWN_CLASSES: usize = 2;

/// How many items there are beside those of the large class.
const OTHERS: usize = 4_000;

/// Every so often an update is one of an item of the large class.
const OF_THE_STOCK: usize = 10;

/// Delivery classes and item updates. The first `items` updates bring in the stock: an item of the large class each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Corpus {
    /// How many items of the large class there are.
    pub(super) items: usize,
    /// How many other classes Logistics publishes.
    pub(super) classes: usize,
    /// What the generated details depend on.
    pub(super) seed: u64,
}

/// One record that a supplier sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Update {
    /// The SKU.
    pub(super) key: String,
    /// The item; none deletes it.
    pub(super) value: Option<Vec<u8>>,
}

impl Corpus {
    /// A class by its number: its name and its times.
    pub(super) fn class(&self, number: usize) -> (String, Times) {
        let minimum = 1 + self.dice(number, 1) % 9;
        let maximum = minimum + 1 + self.dice(number, 2) % 5;
        (class_name(number), (minimum, maximum))
    }

    /// An update by its number. Of those after the stock, one in ten is of the stock, a few delete their item, a few take it off
    /// the list of what is sold, a few are not JSON at all.
    pub(super) fn update(&self, number: usize) -> Update {
        let sku = self.sku(number);
        let key = format!("SKU-{sku:07}");
        let value = match number {
            n if sku < self.items => Some(self.item(n, &key, json!(BULKY))),
            n if n % 997 == 500 => Some(b"<item>an old system's XML</item>".to_vec()),
            n if n % 499 == 250 => None,
            n => Some(self.item(n, &key, self.classes_of(n))),
        };
        Update { key, value }
    }

    /// The supplier that sends an update: all updates of a SKU come from the same one.
    pub(super) fn supplier(&self, number: usize) -> usize {
        self.sku(number) % SUPPLIERS
    }

    fn sku(&self, number: usize) -> usize {
        match number.checked_sub(self.items) {
            None => number,
            Some(n) if n % OF_THE_STOCK == 3 => self.dice(number, 9) as usize % self.items,
            Some(n) => self.items + n % OTHERS,
        }
    }

    fn item(&self, number: usize, key: &str, class: serde_json::Value) -> Vec<u8> {
        let is_of_the_stock = class == BULKY;
        let item = json!({
            "sku": key,
            "update": number,
            "name": format!("Item {number}"),
            "price": { "amount": self.dice(number, 3) % 100_000, "currency": "EUR" },
            "deliveryClass": class,
            "listed": is_of_the_stock || number % 199 != 77,
            "online": !self.dice(number, 4).is_multiple_of(10),
            "description": "made of oak, oiled by hand",
        });
        item.to_string().into_bytes()
    }

    /// One class for most items, several for three in a hundred; some name a class that nobody has published.
    fn classes_of(&self, number: usize) -> serde_json::Value {
        let named = self.classes + UNKNOWN_CLASSES;
        let pick = |salt| class_name(self.dice(number, salt) as usize % named);
        if self.dice(number, 5) % 100 < 3 { json!([pick(6), BULKY, pick(7)]) } else { json!(pick(6)) }
    }

    /// A number that looks random and depends on nothing but its arguments (the finalizer of splitmix64).
    fn dice(&self, number: usize, salt: u64) -> u64 {
        let mut z = self.seed ^ (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (salt << 56);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) >> 1
    }
}

/// The name of a class by its number.
pub(super) fn class_name(number: usize) -> String {
    format!("class-{number:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORPUS: Corpus = Corpus { items: 5_000, classes: 50, seed: 7 };

    /// The updates after the stock.
    fn updates() -> impl Iterator<Item = (usize, Update)> {
        (CORPUS.items..CORPUS.items * 3).map(|number| (number, CORPUS.update(number)))
    }

    #[test]
    fn gives_the_same_update_for_the_same_seed() {
        let other = Corpus { seed: 8, ..CORPUS };

        assert_eq!(CORPUS.update(1), CORPUS.update(1));
        assert_ne!(CORPUS.update(1), other.update(1));
    }

    #[test]
    fn sends_all_updates_of_a_sku_through_one_supplier() {
        let mut suppliers = std::collections::HashMap::new();

        for (number, update) in updates() {
            let supplier = CORPUS.supplier(number);
            assert_eq!(*suppliers.entry(update.key).or_insert(supplier), supplier);
        }
        assert!(suppliers.len() < CORPUS.items * 2, "no SKU came twice");
    }

    #[test]
    fn holds_every_kind_of_update() {
        let updates: Vec<_> = updates().map(|(_, update)| update).collect();

        assert!(updates.iter().any(|update| update.value.is_none()));
        assert!(updates.iter().any(|update| update.value.as_deref().is_some_and(|v| v.starts_with(b"<"))));
        let text = |update: &Update| String::from_utf8(update.value.clone().unwrap_or_default()).unwrap();
        assert!(updates.iter().any(|update| text(update).contains("\"deliveryClass\":[")));
        assert!(updates.iter().any(|update| text(update).contains("\"listed\":false")));
        assert!(updates.iter().any(|update| update.key.as_str() < "SKU-0005000"), "none is of the stock");
    }

    #[test]
    fn begins_with_an_item_of_the_large_class_each() {
        let keys: std::collections::HashSet<_> = (0..CORPUS.items).map(|n| CORPUS.update(n).key).collect();

        assert_eq!(keys.len(), CORPUS.items);
    }
}
