//! Measures what the local store costs: CPU for each write, read and scanned key, and memory, through the port.
//!
//! `cargo run --release --example store_cost -- [rows=1000000] [batch=5000] [order=random|sorted] [cache_mib=16]`
//!
//! A row is a key of 21 bytes with a value of 300, and has one entry in an index: `0x81 by-class \0 term \0 key`, empty.
//! All rows are written once and then once more in another order; a batch is sorted before it is applied, as the overlay
//! is, and that is not counted. `sorted` writes the keys in their order, as a restore of a compacted topic never does.
//! CPU is that of the whole process, the engine's thread included, after it has come to rest.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a program for people who measure"
)]

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::time::Duration;

use gristmill_host::id::{AppId, Partition, TransformName};
use gristmill_host::io::{StoreEngine, Stores};
use gristmill_host::store::{FjallStores, Identity};

const CLASSES: u64 = 50;

/// Keys of a page of a fan-out.
const PAGE: usize = 500;

/// A number that looks random, different for different inputs.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn key(row: u64) -> Vec<u8> {
    format!("\u{1}SKU-{:016x}", mix(row)).into_bytes()
}

fn index_prefix(class: u64) -> Vec<u8> {
    [&[0x81], format!("by-class\0class-{class:02}\0").as_bytes()].concat()
}

fn value(row: u64) -> Vec<u8> {
    let mut value = format!("{{\"deliveryClass\":\"class-{:02}\",\"name\":\"", row % CLASSES).into_bytes();
    let mut part = 0;
    while value.len() < 298 {
        value.extend_from_slice(format!("{:08x}", mix(row + part) >> 32).as_bytes());
        part += 1_000_003;
    }
    value.truncate(298);
    value.extend_from_slice(b"\"}");
    value
}

/// CPU of the process, its threads included; `Duration` because it only grows.
fn cpu() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the call fills the structure that it is given, or fails.
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64))
        .sum()
}

/// A line of `/proc/self/status`, in MiB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn argument(name: &str) -> Option<String> {
    std::env::args().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

fn number(name: &str, default: u64) -> u64 {
    argument(name).map_or(default, |text| text.parse().unwrap())
}

fn show(what: &str, spent: Duration, count: u64) {
    println!("{what:28} {:6.2} us", spent.as_secs_f64() * 1e6 / count as f64);
}

/// Waits until the engine's thread has nothing to do: CPU stands still.
fn rest() {
    let mut last = cpu();
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = cpu();
        if now - last < Duration::from_millis(2) {
            return;
        }
        last = now;
    }
}

fn write(engine: &mut dyn StoreEngine, what: &str, rows: impl Iterator<Item = u64>, batch: usize) {
    let (start, mut made, mut count) = (cpu(), Duration::ZERO, 0_u64);
    let mut rows = rows.peekable();
    while rows.peek().is_some() {
        let before = cpu();
        let mut writes = BTreeMap::from([(vec![0], 0_u64.to_be_bytes().to_vec())]);
        for row in rows.by_ref().take(batch) {
            writes.insert([index_prefix(row % CLASSES), key(row)].concat(), Vec::new());
            writes.insert(key(row), value(row));
            count += 1;
        }
        made += cpu() - before;
        engine
            .apply(&mut writes.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice()))))
            .unwrap();
    }
    rest();
    show(&format!("{what}, a row"), cpu() - start - made, count);
    println!("{:28} {:6} MiB, highest {} MiB", "  resident", memory("VmRSS"), memory("VmHWM"));
    println!("{:28} {:6} MiB", "  on disk", engine.size_bytes() >> 20);
}

fn fan_out(engine: &dyn StoreEngine) {
    let (mut scanned, mut got, mut count) = (Duration::ZERO, Duration::ZERO, 0);
    for class in 0..CLASSES / 2 {
        let prefix = index_prefix(class);
        let mut after = prefix.clone();
        loop {
            let start = cpu();
            let mut page: Vec<Vec<u8>> = Vec::new();
            let range = (Bound::Excluded(after.as_slice()), Bound::Unbounded);
            let visit = &mut |entry: &[u8], _: &[u8]| match entry.strip_prefix(prefix.as_slice()) {
                Some(key) if page.len() < PAGE => {
                    page.push(key.to_vec());
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Break(()),
            };
            engine.scan(range, visit).unwrap();
            let middle = cpu();
            let Some(last) = page.last() else { break };
            after = [prefix.as_slice(), last].concat();
            for key in &page {
                assert!(engine.get(key).unwrap().is_some());
            }
            scanned += middle - start;
            got += cpu() - middle;
            count += page.len() as u64;
        }
    }
    show("index page, a key", scanned, count);
    show("get in key order", got, count);
}

fn main() {
    let (rows, batch) = (number("rows", 1_000_000), number("batch", 5_000) as usize);
    let root = tempfile::tempdir_in(argument("dir").unwrap_or_else(|| ".".into())).unwrap();
    let identity = Identity {
        cluster_id: "none".into(),
        app: AppId::new("cost"),
        transform: TransformName::new("cost"),
        format: 1,
    };
    let mut stores = FjallStores::new(root.path(), identity, number("cache_mib", 16) << 20);
    let mut engine = stores.open(Partition(0)).unwrap();

    let mut order: Vec<_> = (0..rows).collect();
    if argument("order").as_deref() == Some("sorted") {
        order.sort_by_key(|row| mix(*row));
    }
    write(engine.as_mut(), "first write", order.into_iter(), batch);
    write(engine.as_mut(), "overwrite", (0..rows).map(|row| mix(row ^ 0xabcd) % rows), batch);

    let reads = rows.min(100_000);
    let start = cpu();
    for read in 0..reads {
        assert!(engine.get(&key(mix(read) % rows)).unwrap().is_some());
    }
    show("random get", cpu() - start, reads);
    let start = cpu();
    (0..reads).for_each(|read| assert!(engine.get(&key(rows + read)).unwrap().is_none()));
    show("get of no row", cpu() - start, reads);
    fan_out(engine.as_ref());

    let (start, mut seen) = (cpu(), 0);
    let every_row = (Bound::Included(&[1_u8][..]), Bound::Excluded(&[2_u8][..]));
    engine
        .scan(every_row, &mut |_, _| {
            seen += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    show("walk over all rows, a row", cpu() - start, seen);

    drop(engine);
    let start = cpu();
    let engine = stores.open(Partition(0)).unwrap();
    assert!(engine.get(&key(0)).unwrap().is_some());
    println!("{:28} {:6.0} ms", "open again", (cpu() - start).as_secs_f64() * 1e3);
}
