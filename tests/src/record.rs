//! A record as a test sees it: bytes, never text, with every header whatever its name.

use std::ffi::{CStr, c_char, c_void};
use std::fmt;
use std::ptr;

use rdkafka::Message;
use rdkafka::bindings::{rd_kafka_header_add, rd_kafka_header_get_all, rd_kafka_headers_t};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers, OwnedHeaders};

/// A header: its name need not be UTF-8, its value may be null.
pub type Header = (Vec<u8>, Option<Vec<u8>>);

/// A record that was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it lies.
    pub partition: i32,
    /// Where it lies in the partition.
    pub offset: i64,
    /// Null and empty are different keys.
    pub key: Option<Vec<u8>>,
    /// None is a tombstone; an empty value is not.
    pub value: Option<Vec<u8>>,
    /// In the order of the record.
    pub headers: Vec<Header>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

impl Record {
    /// Copies a record out of the client's buffer.
    pub fn of(message: &BorrowedMessage<'_>) -> Self {
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map(read_headers).unwrap_or_default(),
            timestamp: message.timestamp().to_millis().unwrap_or(-1),
        }
    }

    /// The value as text; a tombstone reads `null`.
    pub fn text(&self) -> String {
        self.value.as_deref().map_or_else(|| "null".into(), |v| String::from_utf8_lossy(v).into_owned())
    }

    /// The key as text; no key reads `null`.
    pub fn key_text(&self) -> String {
        self.key.as_deref().map_or_else(|| "null".into(), |v| String::from_utf8_lossy(v).into_owned())
    }

    /// The value of the first header of that name, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(n, _)| n == name.as_bytes())?;
        value.as_deref().map(|v| String::from_utf8_lossy(v).into_owned())
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value: String = self.text().chars().take(120).collect();
        write!(f, "{}@{} {}={value}", self.partition, self.offset, self.key_text())?;
        for (name, value) in self.headers.iter().take(10) {
            let value = value.as_deref().map(String::from_utf8_lossy);
            write!(f, " [{}: {}]", String::from_utf8_lossy(name), value.as_deref().unwrap_or("null"))?;
        }
        Ok(())
    }
}

/// Reads headers without the client's accessor, which panics on a name that is not UTF-8.
fn read_headers(headers: &BorrowedHeaders) -> Vec<Header> {
    let native = ptr::from_ref(headers).cast::<rd_kafka_headers_t>();
    (0..headers.count()).filter_map(|index| read_header(native, index)).collect()
}

fn read_header(headers: *const rd_kafka_headers_t, index: usize) -> Option<Header> {
    let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
    // SAFETY: a `BorrowedHeaders` is its native headers by reference, alive as long as its message, and the out
    // pointers are ours. On success the name is a C string and the value, if any, has `size` bytes.
    unsafe {
        let code = rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size);
        if code as i32 != 0 {
            return None;
        }
        let value = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size).to_vec());
        Some((CStr::from_ptr(name).to_bytes().to_vec(), value))
    }
}

/// Headers for a record to be sent; names may hold any bytes but zero.
pub fn make_headers(headers: &[Header]) -> OwnedHeaders {
    let made = OwnedHeaders::new_with_capacity(headers.len());
    let native = ptr::from_ref(made.as_borrowed()).cast_mut().cast::<rd_kafka_headers_t>();
    for (name, value) in headers {
        let (value, size) =
            value.as_deref().map_or((ptr::null(), 0), |v| (v.as_ptr().cast::<c_void>(), v.len()));
        // SAFETY: `native` are the headers that `made` owns, nobody else holds them yet; names and values are copied.
        unsafe {
            let name_size = name.len().cast_signed();
            rd_kafka_header_add(native, name.as_ptr().cast::<c_char>(), name_size, value, size.cast_signed());
        }
    }
    made
}
