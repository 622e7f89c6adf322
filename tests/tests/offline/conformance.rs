//! The dev broker, by the checks that the real Apache Kafka passes.

gristmill_tests::conformance_tests!(gristmill_tests::cluster::Dev::shared());
