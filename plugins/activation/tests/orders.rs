//! Messages of products in every order and at random, against a model that knows nothing of the plugin.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "orders/every_order.rs"]
mod every_order;
#[path = "orders/model.rs"]
mod model;
#[path = "orders/random.rs"]
mod random;
#[path = "orders/sabotage.rs"]
mod sabotage;
