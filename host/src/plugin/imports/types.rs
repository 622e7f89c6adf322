//! `types`: the shapes of what goes in and out; it has no functions.

use crate::plugin::bindings::v0_1::gristmill::transform::types;
use crate::plugin::context::Context;

impl types::Host for Context {}
