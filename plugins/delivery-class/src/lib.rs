//! What the plugins of delivery times know alike: the times of a class, the classes of an item, and which of them is the best.
//!
//! `delivery-time` joins items with classes, `class-fanout` finds the items whose join has changed: they must read both in the
//! same way, or the one would ask for ever for what the other does not do.

mod class;
mod names;

pub use class::Class;
pub use class::Days;
pub use names::Names;
pub use names::refuse;

/// The members of an enriched item that the times are in: minimum and maximum.
pub const MEMBERS: [&str; 2] = ["minimumDeliveryTime", "maximumDeliveryTime"];
