//! A DynamoDB table, carried over into a topic: once, in pages, resumable, verified.
//!
//! ```text
//! client              Amazon's SDK: pages of items, and what its errors mean
//! attribute  item     an item becomes a record
//! progress  digest    how far it is: a row in a topic of its own, committed together with the page
//! carry  verify       pages into transactions until the table has ended; then the topic is read and compared
//! pace                pauses between pages, and after what failed
//! ```

pub mod attribute;
pub mod carry;
pub mod client;
pub mod digest;
pub mod item;
pub mod pace;
pub mod pages;
pub mod progress;
pub mod verify;
