//! Clients that are broken or hostile lose their connection; nobody else notices.

use std::time::Duration;

use gristmill_broker::ApiKey;
use gristmill_broker::Broker;
use gristmill_broker::Limits;

use super::support::*;

/// Real requests as they went over the wire, bodies only: metadata of `items` (version 1), a group's coordinator
/// (version 1), a fetch of `items` (version 4), a record produced to `items` (version 3).
fn captured() -> Vec<(ApiKey, i16, Vec<u8>)> {
    let items = [&[0, 5][..], b"items"].concat();
    let metadata = [&[0, 0, 0, 1][..], &items].concat();
    let coordinator = [&[0, 2][..], b"gr", &[0]].concat();
    let partition = [&[0; 4][..], &[0; 8], &[0, 16, 0, 0]].concat();
    let fetch = [
        &[255, 255, 255, 255, 0, 0, 0, 1, 0, 0, 0, 1, 0, 16, 0, 0, 0, 0, 0, 0, 1][..],
        &items,
        &[0, 0, 0, 1],
        &partition,
    ]
    .concat();
    let batch = [&[0; 8][..], &[0, 0, 0, 56], &[0; 4], &[2], &[0; 51]].concat();
    let produce = [
        &[255, 255, 255, 255, 0, 0, 0, 100, 0, 0, 0, 1][..],
        &items,
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 68],
        &batch,
    ]
    .concat();
    vec![
        (ApiKey::Metadata, 1, metadata),
        (ApiKey::FindCoordinator, 1, coordinator),
        (ApiKey::Fetch, 4, fetch),
        (ApiKey::Produce, 3, produce),
    ]
}

#[test]
fn answers_the_captured_requests_when_they_are_whole() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();

    for (key, version, body) in captured() {
        let mut raw = Raw::connect(&broker);
        raw.request(key as i16, version, &body);

        assert!(raw.answer().is_some(), "{key:?}");
    }
}

#[test]
fn closes_a_connection_whose_request_ends_early_at_any_byte() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();
    let mut bystander = Raw::connect(&broker);

    for (key, version, body) in captured() {
        for length in 0..body.len() {
            // The frame is whole and says so; what is in it is not.
            let mut raw = Raw::connect(&broker);
            raw.request(key as i16, version, &body[..length]);
            assert_eq!(raw.answer(), None, "{key:?} cut to {length}");
        }
        let whole = frame(key as i16, version, &body);
        for length in 0..whole.len() {
            // The frame promises more than ever comes.
            let mut raw = Raw::connect(&broker);
            raw.write(&whole[..length]);
            raw.half_close();
            assert_eq!(raw.answer(), None, "{key:?} broken off at {length}");
        }
    }

    bystander.request(PING.0, PING.1, &[]);
    assert!(bystander.answer().is_some());
}

#[test]
fn closes_a_connection_that_announces_an_impossible_size() {
    let broker = Broker::builder().start().unwrap();

    for size in [i32::MAX, 64 * 1024 * 1024 + 1, 7, 0, -1, i32::MIN] {
        let mut raw = Raw::connect(&broker);
        raw.write(&size.to_be_bytes());
        raw.write(&[0; 64]);

        assert_eq!(raw.answer(), None, "{size}");
    }
    assert!(is_alive(&broker));
}

#[test]
fn closes_a_connection_that_asks_for_an_unknown_api_or_version() {
    let broker = Broker::builder().start().unwrap();
    let asked =
        [(999, 0), (-1, 0), (i16::MIN, i16::MAX), (ApiKey::Metadata as i16, 99), (ApiKey::Produce as i16, 2)];

    for (key, version) in asked {
        let mut raw = Raw::connect(&broker);
        raw.request(key, version, &[0; 32]);

        assert_eq!(raw.answer(), None, "{key} {version}");
    }
    assert!(is_alive(&broker));
}

#[test]
fn tells_a_client_of_the_future_which_versions_it_may_use() {
    let broker = Broker::builder().start().unwrap();
    let mut raw = Raw::connect(&broker);

    raw.request(ApiKey::ApiVersions as i16, 99, &[0; 8]);

    let answer = raw.answer().unwrap();
    // Correlation id 7, error 35 (UNSUPPORTED_VERSION), then a list.
    assert_eq!(answer[..6], [0, 0, 0, 7, 0, 35]);
    assert!(answer.len() > 100);
}

#[test]
fn turns_connections_away_at_the_limit_and_takes_new_ones_when_there_is_room() {
    let limits = Limits { connections: 3, ..Limits::default() };
    let broker = Broker::builder().limits(limits).start().unwrap();
    let mut held: Vec<Raw> = (0..3).map(|_| Raw::connect(&broker)).collect();
    for raw in &mut held {
        raw.request(PING.0, PING.1, &[]);
        raw.answer().unwrap();
    }

    assert!(!is_alive(&broker));
    held.clear();

    until("there is room again", || is_alive(&broker));
}

#[test]
fn closes_a_connection_that_says_nothing() {
    let limits = Limits { idle: Duration::from_millis(100), ..Limits::default() };
    let broker = Broker::builder().limits(limits).start().unwrap();
    let mut silent = Raw::connect(&broker);

    assert_eq!(silent.answer(), None);
}

#[test]
fn closes_a_connection_that_stalls_in_the_middle_of_a_request() {
    let limits = Limits { transfer: Duration::from_millis(100), ..Limits::default() };
    let broker = Broker::builder().limits(limits).start().unwrap();
    let mut stalled = Raw::connect(&broker);

    stalled.write(&[0, 0, 1, 0, 1, 2, 3]);

    assert_eq!(stalled.answer(), None);
}

#[test]
fn closes_a_connection_that_does_not_take_its_answer() {
    let limits = Limits { transfer: Duration::from_millis(100), connections: 3, ..Limits::default() };
    let broker = Broker::builder().topic("items", 1).limits(limits).start().unwrap();
    let producer = producer(&broker, &[("message.max.bytes", "1000000")]);
    let value = "x".repeat(900_000);
    // More than the sockets of both sides hold.
    (0..30).for_each(|_| send(&producer, "items", "k", &value));
    drain(&producer);
    drop(producer);
    let (fetch, version, mut body) = captured().swap_remove(2);
    // 50 MB at most, of the one partition too.
    body[12..16].copy_from_slice(&50_000_000_i32.to_be_bytes());
    let at = body.len() - 4;
    body[at..].copy_from_slice(&50_000_000_i32.to_be_bytes());
    let mut deaf: Vec<Raw> = (0..3).map(|_| Raw::connect(&broker)).collect();

    deaf.iter_mut().for_each(|raw| raw.request(fetch as i16, version, &body));
    until("all have asked", || broker.faults().requests(fetch) == 3);

    until("there is room again", || is_alive(&broker));
}

#[test]
fn lets_small_requests_pass_while_large_ones_hold_the_budget() {
    let limits = Limits { inflight_bytes: 1024 * 1024, ..Limits::default() };
    let broker = Broker::builder().limits(limits).start().unwrap();
    let mut greedy: Vec<Raw> = (0..4).map(|_| Raw::connect(&broker)).collect();
    for raw in &mut greedy {
        raw.write(&(1024 * 1024_i32).to_be_bytes());
    }

    assert!((0..10).all(|_| is_alive(&broker)));
}
