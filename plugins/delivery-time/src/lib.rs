//! Adds the delivery times of its class to every item.
