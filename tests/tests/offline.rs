//! The suite that needs nothing but Rust: it runs on the dev broker.

mod offline {
    mod adapters;
    mod api;
    mod callouts;
    mod commands;
    mod conformance;
    mod cuts;
    mod databases;
    mod driver;
    mod examples;
    mod exchange;
    mod fanout;
    mod http;
    mod ingests;
    mod many_classes;
    mod orders;
    mod orphans;
    mod pipelines;
    mod placement;
    mod plugin;
    mod starts;
}
