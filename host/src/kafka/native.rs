//! librdkafka's objects with an owner each, so that nothing is freed twice or forgotten.

use std::ffi::{CStr, CString, c_char};
use std::slice;

use rdkafka::ClientContext;
use rdkafka::bindings::*;
use rdkafka::client::Client;

use crate::id::{Offset, Partition, TopicName, TopicPartition};

pub(super) use rdkafka::bindings::rd_kafka_resp_err_t as ErrorCode;

/// A C string as text; names and messages of librdkafka are ASCII.
///
/// # Safety
/// `text` is null or a C string that lives while the call lasts.
pub(super) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// What librdkafka says about an error code.
pub(super) fn describe(code: ErrorCode) -> String {
    // SAFETY: gives a static string for every code.
    unsafe { text(rd_kafka_err2str(code)) }
}

/// A name as C wants it. A name with a zero byte in it becomes an empty one, which Kafka refuses by its own rules.
pub(super) fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// A failed call, with what librdkafka knows about what may follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    /// The code.
    pub(super) code: ErrorCode,
    /// The message.
    pub(super) message: String,
    /// The client cannot be used any more.
    pub(super) is_fatal: bool,
    /// The same call may be made again.
    pub(super) is_retriable: bool,
    /// The transaction can only be aborted.
    pub(super) requires_abort: bool,
}

impl Failure {
    /// A failure of a call that gives only a code.
    pub(super) fn of(code: ErrorCode) -> Self {
        Self { code, message: describe(code), is_fatal: false, is_retriable: false, requires_abort: false }
    }

    /// Takes the error object that a call returned; null is success.
    ///
    /// # Safety
    /// `error` is null or an error object that nobody else frees.
    pub(super) unsafe fn check(error: *mut rd_kafka_error_t) -> Result<(), Self> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: `error` is a live error object; its string is copied before it is destroyed, once.
        unsafe {
            let failure = Self {
                code: rd_kafka_error_code(error),
                message: text(rd_kafka_error_string(error)),
                is_fatal: rd_kafka_error_is_fatal(error) != 0,
                is_retriable: rd_kafka_error_is_retriable(error) != 0,
                requires_abort: rd_kafka_error_txn_requires_abort(error) != 0,
            };
            rd_kafka_error_destroy(error);
            Err(failure)
        }
    }

    /// Checks the code that a call returned.
    pub(super) fn check_code(code: ErrorCode) -> Result<(), Self> {
        if code == ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(Self::of(code)) }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The error that ended a client, if one did.
pub(super) fn fatal<C: ClientContext>(client: &Client<C>) -> Option<Failure> {
    let mut reason = [0; 512];
    // SAFETY: the client is alive, and the buffer is as long as the call is told.
    let (code, message) = unsafe {
        let code = rd_kafka_fatal_error(client.native_ptr(), reason.as_mut_ptr(), reason.len());
        (code, text(reason.as_ptr()))
    };
    let is_fatal = code != ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR;
    is_fatal.then(|| Failure { message, is_fatal, ..Failure::of(code) })
}

/// A list of partitions with offsets and notes.
pub(super) struct PartitionList {
    list: *mut rd_kafka_topic_partition_list_t,
}

// SAFETY: librdkafka's lists belong to no thread, and this one has one owner.
unsafe impl Send for PartitionList {}

/// One entry of a [`PartitionList`].
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) partition: TopicPartition,
    /// The offset, or one of librdkafka's negative marks.
    pub(super) offset: Offset,
    pub(super) note: String,
    pub(super) error: ErrorCode,
}

impl PartitionList {
    /// A list without entries.
    pub(super) fn new() -> Self {
        // SAFETY: allocates; librdkafka aborts the process when it cannot.
        Self { list: unsafe { rd_kafka_topic_partition_list_new(8) } }
    }

    /// A list of partitions, all at one offset.
    pub(super) fn at<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>, offset: Offset) -> Self {
        let mut list = Self::new();
        for partition in partitions {
            list.push(partition, offset, "");
        }
        list
    }

    /// A list of partitions with an offset each.
    pub(super) fn with_offsets<'a>(
        positions: impl IntoIterator<Item = &'a (TopicPartition, Offset)>,
    ) -> Self {
        let mut list = Self::new();
        for (partition, offset) in positions {
            list.push(partition, *offset, "");
        }
        list
    }

    /// Appends an entry.
    pub(super) fn push(&mut self, partition: &TopicPartition, offset: Offset, note: &str) {
        let topic = c_string(partition.topic.as_str());
        // SAFETY: the list is alive and copies the name; the entry that it returns is valid until the next addition.
        // The note is copied into memory of libc's, which the list frees with the entry.
        unsafe {
            let entry = rd_kafka_topic_partition_list_add(self.list, topic.as_ptr(), partition.partition.0);
            (*entry).offset = offset.0;
            if !note.is_empty() {
                let copy = libc::malloc(note.len()).cast::<u8>();
                if !copy.is_null() {
                    std::ptr::copy_nonoverlapping(note.as_ptr(), copy, note.len());
                    (*entry).metadata = copy.cast();
                    (*entry).metadata_size = note.len();
                }
            }
        }
    }

    /// The entries, copied.
    pub(super) fn entries(&self) -> Vec<Entry> {
        // SAFETY: this list is alive.
        unsafe { entries(self.list) }
    }

    /// The first error that an entry carries.
    pub(super) fn first_error(&self) -> Result<(), (TopicPartition, Failure)> {
        let failed =
            self.entries().into_iter().find(|entry| entry.error != ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR);
        failed.map_or(Ok(()), |entry| Err((entry.partition, Failure::of(entry.error))))
    }

    pub(super) fn as_ptr(&self) -> *mut rd_kafka_topic_partition_list_t {
        self.list
    }
}

impl Drop for PartitionList {
    fn drop(&mut self) {
        // SAFETY: this is the only owner.
        unsafe { rd_kafka_topic_partition_list_destroy(self.list) }
    }
}

/// Copies the entries of a list that somebody else owns.
///
/// # Safety
/// `list` is null or a list that lives while the call lasts.
pub(super) unsafe fn entries(list: *const rd_kafka_topic_partition_list_t) -> Vec<Entry> {
    // SAFETY: the caller vouches for the list; librdkafka keeps `cnt` entries behind `elems`.
    let entries = unsafe {
        match list.as_ref() {
            Some(list) if list.cnt > 0 => {
                slice::from_raw_parts(list.elems, usize::try_from(list.cnt).unwrap_or(0))
            }
            _ => &[],
        }
    };
    entries.iter().map(entry).collect()
}

fn entry(native: &rd_kafka_topic_partition_t) -> Entry {
    // SAFETY: the entry's name is a C string, and its metadata is null or `metadata_size` bytes long.
    let (topic, note) = unsafe {
        let note = match native.metadata.is_null() {
            true => &[],
            false => slice::from_raw_parts(native.metadata.cast::<u8>(), native.metadata_size),
        };
        (text(native.topic), String::from_utf8_lossy(note).into_owned())
    };
    Entry {
        partition: TopicPartition::new(&TopicName::new(&topic), Partition(native.partition)),
        offset: Offset(native.offset),
        note,
        error: native.err,
    }
}

/// A message that was consumed: a record, or an error that stands in its place in the queue.
pub(super) struct Message {
    message: *mut rd_kafka_message_t,
}

// SAFETY: a message belongs to no thread; librdkafka counts what it points into with atomics.
unsafe impl Send for Message {}

impl Message {
    /// Takes a message over.
    ///
    /// # Safety
    /// `message` is null or a message of a consumer that outlives it, and nobody else frees it.
    pub(super) unsafe fn take(message: *mut rd_kafka_message_t) -> Option<Self> {
        // Lazily: a message that was made of null would be destroyed.
        (!message.is_null()).then(|| Self { message })
    }

    fn native(&self) -> &rd_kafka_message_t {
        // SAFETY: not null and alive, by construction.
        unsafe { &*self.message }
    }

    /// The error code; no error for a record.
    pub(super) fn code(&self) -> ErrorCode {
        self.native().err
    }

    /// The text of an error message.
    pub(super) fn error_text(&self) -> String {
        let bytes = self.payload().unwrap_or_default();
        if bytes.is_empty() { describe(self.code()) } else { String::from_utf8_lossy(bytes).into_owned() }
    }

    /// What tells the topics of consecutive messages apart without comparing names.
    pub(super) fn topic_handle(&self) -> usize {
        self.native().rkt as usize
    }

    /// The topic; none for an error that concerns the whole client.
    pub(super) fn topic(&self) -> Option<TopicName> {
        let topic = self.native().rkt;
        if topic.is_null() {
            return None;
        }
        // SAFETY: the message keeps its topic alive, and the topic its name.
        Some(TopicName::new(&unsafe { text(rd_kafka_topic_name(topic)) }))
    }

    /// The partition.
    pub(super) fn partition(&self) -> Partition {
        Partition(self.native().partition)
    }

    /// The offset; of the end of a partition: the next offset to read.
    pub(super) fn offset(&self) -> Offset {
        Offset(self.native().offset)
    }

    /// The key.
    pub(super) fn key(&self) -> Option<&[u8]> {
        let message = self.native();
        // SAFETY: null, or `key_len` bytes that live as long as the message.
        (!message.key.is_null())
            .then(|| unsafe { slice::from_raw_parts(message.key.cast(), message.key_len) })
    }

    /// The value; none is a tombstone.
    pub(super) fn payload(&self) -> Option<&[u8]> {
        let message = self.native();
        // SAFETY: null, or `len` bytes that live as long as the message.
        (!message.payload.is_null())
            .then(|| unsafe { slice::from_raw_parts(message.payload.cast(), message.len) })
    }

    /// The timestamp in milliseconds; -1 when the record has none.
    pub(super) fn timestamp_ms(&self) -> i64 {
        let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive, and `kind` is written.
        unsafe { rd_kafka_message_timestamp(self.message, &raw mut kind) }
    }

    /// The headers: the name as bytes, the value.
    pub(super) fn headers(&self) -> Headers<'_> {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is alive; what it gives belongs to it.
        let code = unsafe { rd_kafka_message_headers(self.message, &raw mut headers) };
        let present = code == ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR;
        Headers { headers: if present { headers } else { std::ptr::null_mut() }, next: 0, message: self }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: this is the only owner.
        unsafe { rd_kafka_message_destroy(self.message) }
    }
}

/// The headers of a message, in their order. The crate's own accessor panics on names that are not UTF-8.
pub(super) struct Headers<'a> {
    headers: *mut rd_kafka_headers_t,
    next: usize,
    /// Owns the headers.
    message: &'a Message,
}

impl<'a> Iterator for Headers<'a> {
    type Item = crate::record::Header<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.headers.is_null() {
            return None;
        }
        let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
        // SAFETY: the headers belong to the message, which is borrowed; the three places are written on success.
        let code = unsafe {
            rd_kafka_header_get_all(self.headers, self.next, &raw mut name, &raw mut value, &raw mut size)
        };
        if code != ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        self.next += 1;
        let _owner: &'a Message = self.message;
        // SAFETY: a C string and `size` bytes, alive as long as the message that `'a` borrows.
        let header = unsafe {
            crate::record::Header {
                name: CStr::from_ptr(name).to_bytes(),
                value: (!value.is_null()).then(|| slice::from_raw_parts(value.cast(), size)),
            }
        };
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_offsets_and_notes_of_a_partition_list() {
        let mut list = PartitionList::new();
        list.push(&TopicPartition::new(&"a".into(), Partition(1)), Offset(5), "note");
        list.push(&TopicPartition::new(&"b".into(), Partition(0)), Offset(0), "");

        let entries = list.entries();

        assert_eq!((entries[0].offset, entries[0].note.as_str()), (Offset(5), "note"));
        assert_eq!(entries[1].partition, TopicPartition::new(&"b".into(), Partition(0)));
        assert_eq!(entries[1].note, "");
    }
}
