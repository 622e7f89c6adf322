//! How many requests a second leave through the client, against plain connections that are kept alive to the same server.
//!
//! Only the ratio means something: `cargo test -p gristmill-host --lib -- --ignored callouts_against --nocapture`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::desk::{Desk, TASK, call, endpoint};
use crate::clock::Clock;
use crate::config::endpoint::BoundEndpoint;
use crate::id::EndpointIndex;
use crate::io::{Call, Callouts, Ended};

const REQUESTS: usize = 20_000;
const CONCURRENCY: usize = 16;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"name\":\"thing\"}";

/// Answers everything that ends like a head at once.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || while exchange(&mut stream, ANSWER).is_some() {});
        }
    });
    address
}

/// Reads up to the end of a head and what came with it, and writes.
fn exchange(stream: &mut TcpStream, answer: &[u8]) -> Option<()> {
    let mut bytes = [0; 4096];
    let mut length = 0;
    while !bytes[..length].windows(4).any(|four| four == b"\r\n\r\n") {
        let read = stream.read(&mut bytes[length..]).ok().filter(|read| *read > 0)?;
        length += read;
    }
    stream.write_all(answer).ok()
}

fn plain(address: SocketAddr) -> Duration {
    let clock = Clock::system();
    let clients = (0..CONCURRENCY).map(|_| {
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            let request =
                format!("GET /p?q=1 HTTP/1.1\r\nHost: {address}\r\nAccept: application/json\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            for _ in 1..REQUESTS / CONCURRENCY {
                exchange(&mut stream, request.as_bytes()).unwrap();
            }
            exchange(&mut stream, b"").unwrap();
        })
    });
    clients.collect::<Vec<_>>().into_iter().for_each(|client| client.join().unwrap());
    clock.elapsed()
}

fn through_the_client(address: SocketAddr) -> Duration {
    let concurrency = u32::try_from(CONCURRENCY).unwrap();
    let desk = Desk::new(BoundEndpoint { concurrency, ..endpoint(&format!("http://{address}")) });
    let clock = Clock::system();
    let (mut sent, mut answered) = (0, 0);
    while answered < REQUESTS {
        while sent < REQUESTS
            && let Some(permit) = desk.callouts.permit(EndpointIndex(0))
        {
            let get = Call { method: "GET".to_owned(), body: None, ..call(&sent.to_string()) };
            desk.callouts.send(TASK, get, permit);
            sent += 1;
        }
        while let Some(answer) = desk.callouts.poll(TASK) {
            assert!(matches!(answer.ended, Ended::Answered { status: 200, .. }), "{answer:?}");
            desk.callouts.settled(TASK, &answer.id);
            answered += 1;
        }
        desk.callouts.wait(Duration::from_millis(1));
    }
    clock.elapsed()
}

#[test]
#[ignore = "a measurement"]
fn callouts_against_plain_connections() {
    let address = serve();
    plain(address);
    let mut ratios: Vec<_> = (0..5)
        .map(|_| {
            let (ours, theirs) = (through_the_client(address), plain(address));
            let rate = |took: Duration| REQUESTS as f64 / took.as_secs_f64();
            println!("{:.0}/s through the client, {:.0}/s plain", rate(ours), rate(theirs));
            theirs.as_secs_f64() / ours.as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);

    println!("ratio: median {:.2}, from {:.2} to {:.2}", ratios[2], ratios[0], ratios[4]);
    assert!(ratios[4] > 0.1, "{ratios:?}");
}
