//! A small in-process Kafka broker for demos, development and tests; never for production.
