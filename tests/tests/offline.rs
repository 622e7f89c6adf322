//! The suite that needs nothing but Rust: it runs on the dev broker.

mod offline {
    mod conformance;
    mod cuts;
}
