//! The demo's products: messages about them, updates of them, and activations, in an order and at a pace that are always the
//! same.

use std::time::Duration;

use serde_json::json;

/// Of every so many products nobody ever tells anything: their activations expire.
const UNTOLD: usize = 40;

/// Every so many products are activated twice.
const TWICE: usize = 4;

/// How many messages there are about each: the first makes its information, the others update it.
const MESSAGES: usize = 4;

/// Within this time all products' stories begin.
const WITHIN: Duration = Duration::from_secs(10);

/// How long after the one before something happens to a product.
const STEP: Duration = Duration::from_millis(150);

/// Something that is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Event {
    /// How long after the beginning.
    pub(super) at: Duration,
    /// To which topic.
    pub(super) topic: &'static str,
    /// The product.
    pub(super) key: String,
    /// The record.
    pub(super) value: Vec<u8>,
}

/// Where messages of unknown form arrive.
pub(super) const INBOX: &str = "product-inbox";

/// Where activations arrive.
pub(super) const ACTIVATION: &str = "product-activation";

/// All that happens to so many products, in its order. Of half of them the first message comes before the activation, of the
/// others after it; of each the updates come later, and of some another activation.
pub(super) fn events(products: usize) -> Vec<Event> {
    let pace = WITHIN / u32::try_from(products.max(1)).unwrap_or(u32::MAX);
    let begin = |product| pace.saturating_mul(u32::try_from(product).unwrap_or(u32::MAX));
    let mut events: Vec<_> = (0..products).flat_map(|product| story(product, begin(product))).collect();
    events.sort_by_key(|event| event.at);
    events
}

fn story(product: usize, begin: Duration) -> Vec<Event> {
    let step = |steps: u32| begin.saturating_add(STEP.saturating_mul(steps));
    if is_untold(product) {
        return vec![activation(product, 0, step(0))];
    }
    let (told, activated) = if product.is_multiple_of(2) { (0, 1) } else { (1, 0) };
    let mut story = vec![message(product, 0, step(told)), activation(product, 0, step(activated))];
    story.extend((2..).zip(1..MESSAGES).map(|(at, version)| message(product, version, step(at))));
    if product.is_multiple_of(TWICE) {
        story.push(activation(product, 1, step(3)));
    }
    story
}

fn is_untold(product: usize) -> bool {
    product % UNTOLD == UNTOLD - 1
}

fn message(product: usize, version: usize, at: Duration) -> Event {
    let value = json!({
        "sender": "an old system",
        "product": { "number": key(product), "title": format!("Chair {product}") },
        "codes": { "external": external_id(product, version) },
    });
    Event { at, topic: INBOX, key: key(product), value: value.to_string().into_bytes() }
}

fn activation(product: usize, number: usize, at: Duration) -> Event {
    let value = json!({ "activationId": format!("{}-{number}", key(product)), "shop": "de" });
    Event { at, topic: ACTIVATION, key: key(product), value: value.to_string().into_bytes() }
}

fn key(product: usize) -> String {
    format!("P{product}")
}

/// What external services call a product; each message about it brings another one, so that one can see which was used.
fn external_id(product: usize, version: usize) -> String {
    format!("X{product}.{version}")
}

/// Whether an external ID is one of this product.
pub(super) fn is_external_id(id: &str, product: &str) -> bool {
    let (Some(number), Some((own, version))) = (product.strip_prefix('P'), id.split_once('.')) else {
        return false;
    };
    own.strip_prefix('X') == Some(number) && version.parse::<usize>().is_ok_and(|version| version < MESSAGES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_of_products_before_and_after_their_activation_and_of_each_again_and_again() {
        let events = events(400);

        let of = |topic: &str| events.iter().filter(|event| event.topic == topic).count();
        assert_eq!(of(INBOX), (400 - 400 / UNTOLD) * MESSAGES);
        assert_eq!(of(ACTIVATION), 400 + 400 / TWICE);
        let first = |key: &str| events.iter().find(|event| event.key == key).map(|event| event.topic);
        assert_eq!((first("P0"), first("P1")), (Some(INBOX), Some(ACTIVATION)));
    }

    #[test]
    fn knows_the_ids_of_a_product() {
        assert!(is_external_id(&external_id(7, 3), &key(7)));
        for (id, product) in [("X7.9", "P7"), ("X8.0", "P7"), ("7.0", "P7"), ("X7", "P7")] {
            assert!(!is_external_id(id, product), "{id}");
        }
    }
}
