//! `class-fanout` and `delivery-time` against each other: the logic of both plugins, each in a task of its own, and the topics
//! between them. No item may be missed, whatever the order in which the two get on, and they must come to rest.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod races {
    mod every_order;
    mod named;
    mod random;
    mod world;
}
