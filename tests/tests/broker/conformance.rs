//! The real Apache Kafka, by the checks that the dev broker has to pass.

gristmill_tests::conformance_tests!(gristmill_tests::cluster::Apache::shared());
