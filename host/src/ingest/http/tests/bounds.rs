//! Limits: sizes, times, connections, rates.

use std::io::Write;
use std::time::Duration;

use super::client::Client;
use super::house::{POST, PUT, Setup};
use crate::clock::Clock;
use crate::fault::Code;

fn quick() -> Setup {
    let mut setup = Setup::new();
    setup.listener.timeout = Duration::from_millis(300);
    setup
}

#[test]
fn refuses_bodies_that_are_too_large_whether_they_say_so_or_not() {
    let house = Setup::new().start();
    let large = format!("\"{}\"", "x".repeat(999));
    let chunk = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());

    let declared = house.put("a", "", &large);
    let mut client = house.client();
    client.send(
        format!(
            "PUT /ingest/classes/a HTTP/1.1\r\nHost: x\r\n{}\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}",
            PUT.replace('\n', "\r\n")
        )
        .as_bytes(),
    );
    let chunked = client.reply();
    let batch = house.request(&format!("POST /ingest/classes\n{POST}"), &vec![b' '; 100_001]);
    let delete = house.request(&format!("DELETE /ingest/classes/a\n{PUT}"), b"1");

    for reply in [declared, chunked, batch, delete] {
        assert_eq!((reply.status, reply.error().0.as_str()), (413, Code::BodyTooLarge.as_str()));
    }
    assert_eq!(house.put("a", "", &large.replacen('x', "", 1)).status, 200);
    assert_eq!(house.written().len(), 1);
}

#[test]
fn takes_chunked_bodies_and_sends_leave_to_go_on() {
    let house = Setup::new().start();
    let head = format!("PUT /ingest/classes/a HTTP/1.1\r\nHost: x\r\n{}\r\n", PUT.replace('\n', "\r\n"));
    let mut client = house.client();

    client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n2\r\n1]\r\n0\r\n\r\n").as_bytes());
    assert_eq!(client.reply().status, 200);
    client.send(format!("{head}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n").as_bytes());
    assert_eq!(client.reply().status, 100);
    client.send(b"[2]");
    assert_eq!(client.reply().status, 200);
    client.send(format!("{head}Content-Length: 3000\r\nExpect: 100-continue\r\n\r\n").as_bytes());
    assert_eq!(client.reply().status, 413);

    let values: Vec<_> = house.written().into_iter().map(|(_, value)| value.unwrap()).collect();
    assert_eq!(values, ["[1]", "[2]"]);
}

#[test]
fn takes_large_batches_apart_without_holding_up_others() {
    let mut setup = Setup::new();
    (setup.http.batch_bytes, setup.http.batch_records) = (16 << 20, 100_000);
    let house = setup.start();
    let batch: String =
        (0..100_000).map(|number| format!("{{\"key\":\"k-{number}\",\"value\":{number}}}\n")).collect();

    let reply = house.request(&format!("POST /ingest/classes\n{POST}"), batch.as_bytes());

    assert_eq!((reply.status, reply.json()["records"].as_u64()), (200, Some(100_000)));
    assert_eq!(house.topics.table(&house.ingest.topic).len(), 100_000);
}

#[test]
fn closes_connections_whose_head_does_not_come() {
    let house = quick().start();
    for head in ["", "PUT /ingest/classes/a HTTP/1.1\r\nHost: x\r\n"] {
        let mut client = house.client();
        client.send(head.as_bytes());
        client.wait_for_end();
    }
    assert_eq!(house.put("a", "", "1").status, 200);
}

#[test]
fn refuses_a_body_that_comes_drop_by_drop() {
    let house = quick().start();
    let mut client = house.client();
    let head = PUT.replace('\n', "\r\n");
    client.send(
        format!("PUT /ingest/classes/a HTTP/1.1\r\nHost: x\r\n{head}\r\nContent-Length: 900\r\n\r\n")
            .as_bytes(),
    );
    let since = Clock::system();
    while since.elapsed() < Duration::from_millis(250) {
        client.send(b" ");
        std::thread::sleep(Duration::from_millis(10));
    }

    let reply = client.reply();

    assert_eq!((reply.status, reply.error().0.as_str()), (408, Code::BodyTooSlow.as_str()));
    assert_eq!(house.written(), []);
}

#[test]
fn serves_others_while_a_thousand_connections_are_slow() {
    let mut setup = Setup::new();
    setup.listener.timeout = Duration::from_secs(30);
    let house = setup.start();
    let slow: Vec<_> = (0..1_000)
        .map(|_| {
            let mut client = house.client();
            client.send(b"PUT /ingest/classes/slow HTTP/1.1\r\nHost");
            client
        })
        .collect();

    assert_eq!(house.put("a", "", "1").status, 200);
    drop(slow);
}

#[test]
fn answers_a_thousand_connections_at_once() {
    let house = Setup::new().start();
    let mut clients: Vec<_> = (0..1_000).map(|_| house.client()).collect();

    for (number, client) in clients.iter_mut().enumerate() {
        client.ask(&format!("PUT /ingest/classes/k-{number}\n{PUT}"), b"{\"n\":1}");
    }
    let answered =
        clients.iter_mut().filter_map(|client| (client.reply().status == 200).then_some(())).count();

    assert_eq!(answered, 1_000);
    assert_eq!(house.topics.table(&house.ingest.topic).len(), 1_000);
}

#[test]
fn sends_connections_beyond_the_limit_away_with_an_answer() {
    let mut setup = Setup::new();
    setup.listener.connections = 2;
    let house = setup.start();
    let mut kept = [house.client(), house.client()];
    for client in &mut kept {
        assert_eq!(client.request(&format!("PUT /ingest/classes/a\n{PUT}"), b"1").status, 200);
    }

    let reply = house.put("b", "", "1");

    assert_eq!((reply.status, reply.error().0.as_str()), (503, Code::IngestUnavailable.as_str()));
    drop(kept);
    house.await_connections(0);
    assert_eq!(house.put("b", "", "1").status, 200);
}

#[test]
fn refuses_requests_beyond_the_rate_and_says_how_long_to_wait() {
    let mut setup = Setup::new();
    setup.http.per_second = Some(1);
    let house = setup.start();

    let replies = [(); 2].map(|()| house.put("a", "", "1"));
    // A stranger does not use up the rate of others, nor is told about it.
    let stranger = house.request("PUT /ingest/classes/a\nContent-Type: application/json", b"1");

    assert_eq!(replies.each_ref().map(|reply| reply.status), [200, 429]);
    assert_eq!(replies[1].error().0, Code::RateExceeded.as_str());
    assert_eq!(replies[1].header("retry-after"), Some("1"));
    assert_eq!(stranger.status, 401);
}

#[test]
fn gives_up_clients_that_do_not_read_their_answers() {
    let mut setup = quick();
    setup.listener.connections = 1;
    let house = setup.start();
    let stream = std::net::TcpStream::connect(house.server.address()).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut writer = stream.try_clone().unwrap();
    // Until the server reads no more, because nobody takes its answers.
    while writer.write_all(&b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000)).is_ok() {}

    house.await_connections(0);

    drop::<Client>(Client::new(stream));
    assert_eq!(house.put("a", "", "1").status, 200);
}
