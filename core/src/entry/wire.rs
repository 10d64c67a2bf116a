//! Field numbers of canal's entries, and the writer of their bytes (wire-protocol reference §4, §12.2).
//!
//! Presence is decided here and nowhere else: canal's Java server writes every field that its code sets,
//! zero, false and empty ones included, in the order of their numbers. So do we.

use crate::binlog::value::{WINDOW, write_i64, write_u64};
use crate::entry::kind::{EntryType, RowKind};
use crate::write::{Writer, varint_len};

/// Field numbers, by message.
pub mod field {
    /// `Entry`
    pub mod entry {
        #![allow(missing_docs, reason = "named as in EntryProtocol.proto")]
        pub const HEADER: u8 = 1;
        pub const ENTRY_TYPE: u8 = 2;
        pub const STORE_VALUE: u8 = 3;
    }
    /// `Header`
    pub mod header {
        #![allow(missing_docs, reason = "named as in EntryProtocol.proto")]
        pub const VERSION: u8 = 1;
        pub const LOGFILE_NAME: u8 = 2;
        pub const LOGFILE_OFFSET: u8 = 3;
        pub const SERVER_ID: u8 = 4;
        pub const SERVEREN_CODE: u8 = 5;
        pub const EXECUTE_TIME: u8 = 6;
        pub const SOURCE_TYPE: u8 = 7;
        pub const SCHEMA_NAME: u8 = 8;
        pub const TABLE_NAME: u8 = 9;
        pub const EVENT_LENGTH: u8 = 10;
        pub const EVENT_TYPE: u8 = 11;
        pub const PROPS: u8 = 12;
        pub const GTID: u8 = 13;
    }
    /// `Column`
    pub mod column {
        #![allow(missing_docs, reason = "named as in EntryProtocol.proto")]
        pub const INDEX: u8 = 1;
        pub const SQL_TYPE: u8 = 2;
        pub const NAME: u8 = 3;
        pub const IS_KEY: u8 = 4;
        pub const UPDATED: u8 = 5;
        pub const IS_NULL: u8 = 6;
        pub const VALUE: u8 = 8;
        pub const MYSQL_TYPE: u8 = 10;
    }
    /// `RowData`
    pub mod row_data {
        #![allow(missing_docs, reason = "named as in EntryProtocol.proto")]
        pub const BEFORE_COLUMNS: u8 = 1;
        pub const AFTER_COLUMNS: u8 = 2;
    }
    /// `RowChange`
    pub mod row_change {
        #![allow(missing_docs, reason = "named as in EntryProtocol.proto")]
        pub const TABLE_ID: u8 = 1;
        pub const EVENT_TYPE: u8 = 2;
        pub const IS_DDL: u8 = 10;
        pub const SQL: u8 = 11;
        pub const ROW_DATAS: u8 = 12;
        pub const PROPS: u8 = 13;
        pub const DDL_SCHEMA_NAME: u8 = 14;
    }
    /// `TransactionBegin`
    pub mod transaction_begin {
        #![allow(missing_docs, reason = "named as in EntryProtocol.proto")]
        pub const PROPS: u8 = 3;
        pub const THREAD_ID: u8 = 4;
    }
    /// `TransactionEnd`
    pub mod transaction_end {
        #![allow(missing_docs, reason = "named as in EntryProtocol.proto")]
        pub const TRANSACTION_ID: u8 = 2;
        pub const PROPS: u8 = 3;
    }
    /// `Pair`
    pub mod pair {
        #![allow(missing_docs, reason = "named as in EntryProtocol.proto")]
        pub const KEY: u8 = 1;
        pub const VALUE: u8 = 2;
    }
    /// `Messages`, the packet that carries entries.
    pub mod messages {
        #![allow(missing_docs, reason = "named as in CanalProtocol.proto")]
        pub const MESSAGES: u8 = 2;
    }
}

/// The tag of a number. All our field numbers are below 16, so every tag is one byte.
#[must_use]
pub const fn varint_tag(field: u8) -> u8 {
    field << 3
}

/// The tag of a string or message.
#[must_use]
pub const fn bytes_tag(field: u8) -> u8 {
    field << 3 | 2
}

/// Writes a number; negative ones take ten bytes, as protobuf has it for `int32` too.
#[inline]
pub fn put_int(w: &mut Writer, field: u8, n: i64) {
    w.put_u8(varint_tag(field));
    w.put_varint(n as u64);
}

/// Writes a truth value.
#[inline]
pub fn put_bool(w: &mut Writer, field: u8, value: bool) {
    w.put(&[varint_tag(field), u8::from(value)]);
}

/// Writes a string or an encoded message.
#[inline]
pub fn put_bytes(w: &mut Writer, field: u8, bytes: &[u8]) {
    w.put_u8(bytes_tag(field));
    w.put_varint(bytes.len() as u64);
    w.put(bytes);
}

/// Writes a `Pair`.
pub fn put_pair(w: &mut Writer, field: u8, key: &str, value: &[u8]) {
    let len = string_field_len(key.len()) + string_field_len(value.len());
    w.put_u8(bytes_tag(field));
    w.put_varint(len as u64);
    put_bytes(w, field::pair::KEY, key.as_bytes());
    put_bytes(w, field::pair::VALUE, value);
}

const fn string_field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

fn put_number_pair(w: &mut Writer, field: u8, key: &str, value: i64) {
    let mut text = [0; WINDOW];
    let len = write_i64(&mut text, 0, value);
    put_pair(w, field, key, &text[..len]);
}

/// What `Header` shows besides what is the same in every entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The binlog file.
    pub file: &'a str,
    /// Where the event starts in it.
    pub offset: u64,
    /// The server that the change came from.
    pub server_id: u32,
    /// Milliseconds since 1970.
    pub execute_time: i64,
    /// The schema; not written if none.
    pub schema: Option<&'a str>,
    /// The table; not written if none.
    pub table: Option<&'a str>,
    /// Bytes of the event.
    pub event_length: u32,
    /// What it does; none for a transaction's begin and end.
    pub kind: Option<RowKind>,
    /// GTIDs, where they are tracked.
    pub gtid: Option<HeaderGtid<'a>>,
    /// Rows in the entry, for the prop `rowsCount`; 0 is not written.
    pub rows: u32,
}

/// The GTIDs of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderGtid<'a> {
    /// Executed set, this transaction included; not written if empty.
    pub set: &'a str,
    /// `curtGtid`
    pub current: Option<&'a str>,
    /// `curtGtidSn`
    pub sequence_number: Option<i64>,
    /// `curtGtidLct`
    pub last_committed: Option<i64>,
}

/// `Header.version`
const VERSION: i64 = 1;

/// `Header.serverenCode`
const ENCODING: &[u8] = b"UTF-8";

/// `Type.MYSQL`
const SOURCE_TYPE_MYSQL: i64 = 2;

/// Writes a `Header`, without tag and length.
pub fn put_header(w: &mut Writer, header: &Header<'_>) {
    use field::header as f;
    put_int(w, f::VERSION, VERSION);
    put_bytes(w, f::LOGFILE_NAME, header.file.as_bytes());
    put_int(w, f::LOGFILE_OFFSET, header.offset as i64);
    put_int(w, f::SERVER_ID, i64::from(header.server_id));
    put_bytes(w, f::SERVEREN_CODE, ENCODING);
    put_int(w, f::EXECUTE_TIME, header.execute_time);
    put_int(w, f::SOURCE_TYPE, SOURCE_TYPE_MYSQL);
    if let Some(schema) = header.schema {
        put_bytes(w, f::SCHEMA_NAME, schema.as_bytes());
    }
    if let Some(table) = header.table {
        put_bytes(w, f::TABLE_NAME, table.as_bytes());
    }
    put_int(w, f::EVENT_LENGTH, i64::from(header.event_length));
    if let Some(kind) = header.kind {
        put_int(w, f::EVENT_TYPE, kind as i64);
    }
    if let Some(gtid) = header.gtid {
        if let Some(current) = gtid.current {
            put_pair(w, f::PROPS, "curtGtid", current.as_bytes());
        }
        if let Some(number) = gtid.sequence_number {
            put_number_pair(w, f::PROPS, "curtGtidSn", number);
        }
        if let Some(number) = gtid.last_committed {
            put_number_pair(w, f::PROPS, "curtGtidLct", number);
        }
    }
    if header.rows > 0 {
        put_number_pair(w, f::PROPS, "rowsCount", i64::from(header.rows));
    }
    if let Some(gtid) = header.gtid.filter(|gtid| !gtid.set.is_empty()) {
        put_bytes(w, f::GTID, gtid.set.as_bytes());
    }
}

/// The part of a packet's element in front of the store value's own bytes.
#[derive(Clone, Copy, Debug)]
pub struct Prelude {
    entry_type: EntryType,
    header_len: usize,
    store_len: usize,
    entry_len: usize,
}

impl Prelude {
    /// For an entry of `entry_type` with a header and a store value of so many bytes.
    #[must_use]
    pub const fn new(entry_type: EntryType, header_len: usize, store_len: usize) -> Self {
        // The entry type is a tag and one byte.
        let entry_len = string_field_len(header_len) + 2 + string_field_len(store_len);
        Self {
            entry_type,
            header_len,
            store_len,
            entry_len,
        }
    }

    /// Bytes of the `Entry`.
    #[must_use]
    pub const fn entry_len(&self) -> usize {
        self.entry_len
    }

    /// Bytes of the prelude, the header included.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        1 + varint_len(self.entry_len as u64) + self.entry_len - self.store_len
    }

    /// Writes it: tag and length of the element, header, entry type, tag and length of the store value.
    pub fn put(&self, w: &mut Writer, header: &[u8]) {
        debug_assert_eq!(header.len(), self.header_len);
        w.put_u8(bytes_tag(field::messages::MESSAGES));
        w.put_varint(self.entry_len as u64);
        put_bytes(w, field::entry::HEADER, header);
        w.put(&[varint_tag(field::entry::ENTRY_TYPE), self.entry_type as u8]);
        w.put_u8(bytes_tag(field::entry::STORE_VALUE));
        w.put_varint(self.store_len as u64);
    }

    /// Replaces the lengths in a prelude that was written at `at` with these, which are as wide.
    pub fn put_lengths(&self, w: &mut Writer, at: usize) {
        let (entry_width, store_width) = (
            varint_len(self.entry_len as u64),
            varint_len(self.store_len as u64),
        );
        w.fill_varint(at + 1, entry_width, self.entry_len);
        w.fill_varint(at + self.bytes() - store_width, store_width, self.store_len);
    }
}

/// Writes a `TransactionBegin`.
pub fn put_transaction_begin(w: &mut Writer, thread_id: i64) {
    put_int(w, field::transaction_begin::THREAD_ID, thread_id);
}

/// Writes a `TransactionEnd`.
pub fn put_transaction_end(w: &mut Writer, xid: u64) {
    let mut text = [0; WINDOW];
    let len = write_u64(&mut text, 0, xid);
    put_bytes(w, field::transaction_end::TRANSACTION_ID, &text[..len]);
}

/// Writes a `RowChange` up to its rows.
pub fn put_rows_head(w: &mut Writer, table_id: u64, kind: RowKind) {
    use field::row_change as f;
    put_int(w, f::TABLE_ID, table_id as i64);
    put_int(w, f::EVENT_TYPE, kind as i64);
    put_bool(w, f::IS_DDL, false);
}

/// What the `RowChange` of a statement shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementChange<'a> {
    /// What it does.
    pub kind: RowKind,
    /// Not written if none.
    pub is_ddl: Option<bool>,
    /// The text.
    pub sql: &'a str,
    /// Not written if none.
    pub ddl_schema: Option<&'a str>,
}

/// Writes the `RowChange` of a statement.
pub fn put_statement(w: &mut Writer, change: &StatementChange<'_>) {
    use field::row_change as f;
    put_int(w, f::EVENT_TYPE, change.kind as i64);
    if let Some(is_ddl) = change.is_ddl {
        put_bool(w, f::IS_DDL, is_ddl);
    }
    put_bytes(w, f::SQL, change.sql.as_bytes());
    if let Some(schema) = change.ddl_schema {
        put_bytes(w, f::DDL_SCHEMA_NAME, schema.as_bytes());
    }
}

/// The fixed part of a column in front of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnHead<'a> {
    /// Position in the table, from 0.
    pub index: u32,
    /// Number of `java.sql.Types`.
    pub sql_type: i32,
    /// Its name.
    pub name: &'a str,
    /// Whether it belongs to the primary key.
    pub is_key: bool,
}

impl ColumnHead<'_> {
    /// Writes it for a column with a value, up to and including the value's tag.
    pub fn put(&self, w: &mut Writer) {
        self.put_up_to_null(w, false);
        w.put_u8(bytes_tag(field::column::VALUE));
    }

    /// Writes it for NULL, which has no value.
    pub fn put_null(&self, w: &mut Writer) {
        self.put_up_to_null(w, true);
    }

    fn put_up_to_null(&self, w: &mut Writer, is_null: bool) {
        use field::column as f;
        put_int(w, f::INDEX, i64::from(self.index));
        put_int(w, f::SQL_TYPE, i64::from(self.sql_type));
        put_bytes(w, f::NAME, self.name.as_bytes());
        put_bool(w, f::IS_KEY, self.is_key);
        put_bool(w, f::UPDATED, false);
        put_bool(w, f::IS_NULL, is_null);
    }

    /// Where the byte of `updated` stands before the end of what [`Self::put`] wrote.
    pub const UPDATED_FROM_END: usize = Self::NULL_UPDATED_FROM_END + 1;

    /// Where the byte of `updated` stands before the end of what [`Self::put_null`] wrote.
    pub const NULL_UPDATED_FROM_END: usize = 3;
}

/// Writes the fixed part of a column behind its value.
pub fn put_column_tail(w: &mut Writer, mysql_type: &str) {
    put_bytes(w, field::column::MYSQL_TYPE, mysql_type.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::value::unhex;

    fn written(put: impl FnOnce(&mut Writer)) -> alloc::vec::Vec<u8> {
        let mut w = Writer::default();
        put(&mut w);
        w.as_slice().to_vec()
    }

    /// The store values of wire-protocol reference §15.
    #[test]
    fn statements() {
        let ddl = StatementChange {
            kind: RowKind::Alter,
            is_ddl: Some(true),
            sql: "ALTER TABLE user ADD COLUMN c int",
            ddl_schema: Some("test"),
        };
        let expected = "100550015a21414c544552205441424c4520757365722041444420434f4c554d4e206320696e74720474657374";
        assert_eq!(written(|w| put_statement(w, &ddl)), unhex(expected));
        let rows_query = StatementChange {
            kind: RowKind::Query,
            is_ddl: None,
            sql: "INSERT INTO user VALUES (1,1)",
            ddl_schema: None,
        };
        let expected = "10075a1d494e5345525420494e544f20757365722056414c5545532028312c3129";
        assert_eq!(written(|w| put_statement(w, &rows_query)), unhex(expected));
        let flush = StatementChange {
            is_ddl: Some(true),
            sql: "FLUSH TABLES",
            ..rows_query
        };
        assert_eq!(
            written(|w| put_statement(w, &flush)),
            unhex("100750015a0c464c555348205441424c4553")
        );
    }
}
