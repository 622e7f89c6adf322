//! Random messages of a few products.

use activation::Activation;
use proptest::prelude::*;

use crate::model::Delivery;
use crate::model::Event;
use crate::model::World;

fn event() -> impl Strategy<Value = Event> {
    let product = || 0..3_u8;
    prop_oneof![
        8 => product().prop_map(Event::Activation),
        5 => product().prop_map(Event::Information),
        1 => product().prop_map(Event::Poor),
        2 => product().prop_map(Event::Deletion),
        2 => Just(Event::Time),
        2 => Just(Event::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn notifies_every_activation_once_or_lets_it_expire(events in prop::collection::vec(event(), 0..60)) {
        for delivery in [Delivery::Together, Delivery::Alone] {
            prop_assert_eq!(World::<Activation>::new().play(&events, delivery), Ok(()));
        }
    }
}
