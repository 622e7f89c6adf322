//! Free ports on loopback that stay free while a broker restarts.

use std::net::TcpListener;
use std::ops::Range;

use anyhow::{Result, bail};

/// Below the range that the operating system gives to outgoing connections: none of those can take a port while its
/// broker is down.
const RANGE: Range<u16> = 15_000..32_000;

/// Finds as many ports that nobody listens on. Two processes may find the same one: who starts later fails, loudly.
///
/// # Errors
/// When there are no such ports.
pub fn free(count: usize) -> Result<Vec<u16>> {
    let mut found = Vec::new();
    for _ in 0..10_000 {
        let port = rand::random_range(RANGE);
        if !found.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            found.push(port);
        }
        if found.len() == count {
            return Ok(found);
        }
    }
    bail!("there are no {count} free ports between {} and {}", RANGE.start, RANGE.end)
}
