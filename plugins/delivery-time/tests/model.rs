//! Random items and classes against a model of the join that knows nothing of the plugin.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;

use delivery_time::DeliveryTime;
use delivery_time::MANIFEST;
use delivery_time::sources;
use gristmill::test::Task;
use gristmill::test::record;
use gristmill::test::tombstone;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;

#[derive(Clone, Debug)]
enum Step {
    /// An item with its classes, or its deletion.
    Item(u8, Option<Vec<String>>),
    /// A class with its times, or its deletion.
    Class(String, Option<(u64, u64)>),
    Restart,
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(&["a", "b", "c", "d"][..]).prop_map(str::to_owned)
}

fn step() -> impl Strategy<Value = Step> {
    let classes = prop::option::weighted(0.9, prop::collection::vec(name(), 0..3));
    let times = prop::option::weighted(0.8, (0..4_u64, 0..3_u64));
    prop_oneof![
        6 => (0..4_u8, classes).prop_map(|(sku, classes)| Step::Item(sku, classes)),
        3 => (name(), times).prop_map(|(name, times)| {
            Step::Class(name, times.map(|(minimum, more)| (minimum, minimum + more)))
        }),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn emits_the_join_of_each_item_with_the_classes_of_its_time(steps in prop::collection::vec(step(), 0..40)) {
        let mut task = Task::<DeliveryTime>::new(MANIFEST, json!({})).unwrap();
        let mut classes: BTreeMap<String, (u64, u64)> = BTreeMap::new();

        for step in steps {
            match step {
                Step::Restart => task.restart(),
                Step::Class(name, Some((minimum, maximum))) => {
                    let value = json!({ "minimumTime": minimum, "maximumTime": maximum }).to_string();
                    task.feed(sources::CLASSES, [record(&name, value)]);
                    classes.insert(name, (minimum, maximum));
                }
                Step::Class(name, None) => {
                    task.feed(sources::CLASSES, [tombstone(&name)]);
                    classes.remove(&name);
                }
                Step::Item(sku, None) => {
                    let outcome = task.feed(sources::ITEMS, [tombstone([sku])]);
                    prop_assert!(outcome.outputs[0].is_tombstone());
                }
                Step::Item(sku, Some(names)) => {
                    let item = json!({ "deliveryClass": names, "sku": sku });
                    let outcome = task.feed(sources::ITEMS, [record([sku], item.to_string())]);

                    let best = names.iter().filter_map(|name| classes.get(name)).min();
                    let mut expected = item;
                    expected["minimumDeliveryTime"] = best.map_or(Value::Null, |times| times.0.into());
                    expected["maximumDeliveryTime"] = best.map_or(Value::Null, |times| times.1.into());
                    let value: Value = serde_json::from_str(&outcome.outputs[0].value()).unwrap();
                    prop_assert_eq!(value, expected);
                    prop_assert_eq!(outcome.outputs[0].key.clone(), Some(vec![sku]));
                }
            }
        }
    }
}
