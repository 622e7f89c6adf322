//! The dev broker from outside: real clients, hostile ones, faults, limits, its life. One program, so that librdkafka is linked once.

// What belongs where: `clients` and `admin` ask whether librdkafka gets what Kafka promises, `exactly_once` what
// transactions promise, also when answers are lost; `faults`, `hostile` and `limits` mostly speak raw frames.
#[cfg(test)]
#[path = "dev_broker"]
mod broker_tests {
    mod admin;
    mod clients;
    mod exactly_once;
    mod faults;
    mod hostile;
    mod life;
    mod limits;
    mod support;
}
