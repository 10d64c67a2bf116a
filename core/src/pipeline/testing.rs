//! A binlog for tests, event by event.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::binlog::event::{EventFlags, EventHeader, EventType};
use crate::binlog::format::tests::body as format_body;
use crate::position::{BinlogFile, BinlogPosition};

const SERVER_ID: u32 = 901;
const TIME: u32 = 1_700_000_000;
const CHECKSUM_BYTES: usize = 4;

/// What a TABLE_MAP of a [`Log`] says besides types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metadata {
    /// Its columns' names: `binlog_row_metadata=FULL`.
    Full,
    /// Nothing.
    Minimal,
}

/// One raw event without a checksum.
pub(crate) fn event(event_type: EventType, flags: EventFlags, log_pos: u32, body: &[u8]) -> Bytes {
    let time = if log_pos == 0 { 0 } else { TIME };
    let mut raw = Vec::from(time.to_le_bytes());
    raw.push(event_type.0);
    raw.extend(SERVER_ID.to_le_bytes());
    raw.extend(((EventHeader::BYTES + body.len()) as u32).to_le_bytes());
    raw.extend(log_pos.to_le_bytes());
    raw.extend(flags.0.to_le_bytes());
    raw.extend(body);
    raw.into()
}

/// What a server sends before the events of a dump that begins at `at`: the file's name and its format.
pub(crate) fn opening(at: &BinlogPosition) -> [Bytes; 2] {
    let mut rotate = Vec::from(at.offset.to_le_bytes());
    rotate.extend(at.file.as_str().bytes());
    let rotate = event(EventType::ROTATE, EventFlags::ARTIFICIAL, 0, &rotate);
    [rotate, format("8.4.13")]
}

/// A copy of the format that `version` writes, without checksums in the events after it.
pub(crate) fn format(version: &str) -> Bytes {
    format_until(version, 0)
}

/// The format with which a server of `version` begins a file and a life, up to the offset `end`.
pub(crate) fn format_until(version: &str, end: u32) -> Bytes {
    let body = format_body(version, &[0; 42], Some(0));
    let mut raw = event(EventType::FORMAT_DESCRIPTION, EventFlags(0), end, &body).to_vec();
    raw.truncate(raw.len() - CHECKSUM_BYTES);
    let crc = crc32fast::hash(&raw);
    raw.extend(crc.to_le_bytes());
    raw.into()
}

/// A growing binlog file.
#[derive(Debug)]
pub(crate) struct Log {
    file: BinlogFile,
    end: u64,
    events: Vec<(u64, Bytes)>,
    transactions: u64,
}

impl Log {
    /// The file as it is after its first events.
    pub(crate) fn new(file: &str) -> Self {
        Self {
            file: BinlogFile::new(file),
            end: 200,
            events: Vec::new(),
            transactions: 0,
        }
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> BinlogPosition {
        BinlogPosition::new(self.file.clone(), self.end)
    }

    /// The events from `offset` on.
    pub(crate) fn from(&self, offset: u64) -> Vec<Bytes> {
        let behind = self.events.iter().filter(|(start, _)| *start >= offset);
        behind.map(|(_, event)| event.clone()).collect()
    }

    /// Appends an event.
    pub(crate) fn add(&mut self, event_type: EventType, body: &[u8]) -> Bytes {
        let start = self.end;
        self.end += (EventHeader::BYTES + body.len()) as u64;
        let raw = event(event_type, EventFlags(0), self.end as u32, body);
        self.events.push((start, raw.clone()));
        raw
    }

    /// Appends a statement in the schema `d`.
    pub(crate) fn query(&mut self, sql: &str) -> Bytes {
        self.add(EventType::QUERY, &query_body(sql))
    }

    /// Appends the map of the table `d.name`, whose only column is `id INT`.
    pub(crate) fn table(&mut self, id: u8, name: &str, metadata: Metadata) -> Bytes {
        let mut body = vec![id, 0, 0, 0, 0, 0, 1, 0];
        body.extend(b"\x01d\0");
        body.push(name.len() as u8);
        body.extend(name.bytes());
        body.extend([0, 1, 3, 0, 0]);
        if metadata == Metadata::Full {
            body.extend(b"\x01\x01\0\x04\x03\x02id");
        }
        self.add(EventType::TABLE_MAP, &body)
    }

    /// Appends inserted rows of a table of [`Self::table`].
    pub(crate) fn insert(&mut self, table: u8, ids: &[u32]) -> Bytes {
        self.add(EventType::WRITE_ROWS, &rows_body(table, ids))
    }

    /// Appends a commit.
    pub(crate) fn commit(&mut self) -> Bytes {
        self.transactions += 1;
        let number = self.transactions;
        self.add(EventType::XID, &number.to_le_bytes())
    }

    /// Appends a transaction that inserts `ids` into `d.name`; its events.
    pub(crate) fn transaction(
        &mut self,
        name: &str,
        metadata: Metadata,
        ids: &[u32],
    ) -> Vec<Bytes> {
        let id = name.bytes().fold(1, u8::wrapping_add);
        vec![
            self.query("BEGIN"),
            self.table(id, name, metadata),
            self.insert(id, ids),
            self.commit(),
        ]
    }
}

/// The body of a QUERY event in the schema `d`.
pub(crate) fn query_body(sql: &str) -> Vec<u8> {
    let mut body = vec![9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    body.extend(b"d\0");
    body.extend(sql.bytes());
    body
}

/// The body of a rows event, version 2, of a table of [`Log::table`].
pub(crate) fn rows_body(table: u8, ids: &[u32]) -> Vec<u8> {
    let mut body = vec![table, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 1];
    for id in ids {
        body.push(0);
        body.extend(id.to_le_bytes());
    }
    body
}
