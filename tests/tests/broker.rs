//! The suite that needs a real Apache Kafka: Java 17 and Maven. It fails, and does not skip, where they are missing.

mod broker {
    mod activations;
    mod adapters;
    mod bad_days;
    mod commands;
    mod conformance;
    mod crashes;
    mod demo;
    mod dynamodb;
    mod fanout;
    mod foreign;
    mod hostile;
    mod ingests;
    mod inlet;
    mod malformed;
    mod members;
    mod orders;
    mod secure;
    mod troubles;
}
