//! Canal's entries as messages, for whoever reads them: clients, `canald tail`, tests.
//!
//! Entries are *written* by hand in [`wire`](crate::entry::wire), straight from row images; these types
//! share no code with that and serve as its independent check.
//!
//! Every singular field keeps presence, as in the proto2 schema that canal's own Java classes come from
//! (wire-protocol reference §5): decoding and encoding again gives the same bytes, and the defaults of
//! absent fields are those that Java consumers see. A number that no enum knows reads as the default.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use prost::{DecodeError, Enumeration, Message};

use crate::entry::kind::RowKind;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum EntryType {
    /// Never sent.
    CompatibleProto2 = 0,
    /// A transaction begins.
    TransactionBegin = 1,
    /// Rows, DDL and other statements.
    RowData = 2,
    /// A transaction ends.
    TransactionEnd = 3,
    /// Never reaches a client.
    Heartbeat = 4,
    /// Never reaches a client.
    GtidLog = 5,
}

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum EventType {
    /// Never sent.
    CompatibleProto2 = 0,
    /// Rows inserted.
    Insert = 1,
    /// Rows updated.
    Update = 2,
    /// Rows deleted.
    Delete = 3,
    /// CREATE TABLE
    Create = 4,
    /// ALTER TABLE
    Alter = 5,
    /// DROP TABLE
    Erase = 6,
    /// Any other statement.
    Query = 7,
    /// TRUNCATE
    Truncate = 8,
    /// RENAME TABLE
    Rename = 9,
    /// CREATE INDEX
    CreateIndex = 10,
    /// DROP INDEX
    DropIndex = 11,
    /// Never reaches a client.
    Gtid = 12,
    /// XA COMMIT
    XaCommit = 13,
    /// XA ROLLBACK
    XaRollback = 14,
    /// Never reaches a client.
    MHeartbeat = 15,
}

impl EventType {
    /// Canal's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match RowKind::from_number(self as i32) {
            Some(kind) => kind.name(),
            None if self == Self::Gtid => "GTID",
            None if self == Self::MHeartbeat => "MHEARTBEAT",
            None => "EVENTTYPECOMPATIBLEPROTO2",
        }
    }
}

/// Which kind of database a change comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum SourceType {
    /// Never sent.
    CompatibleProto2 = 0,
    /// Not used by canald.
    Oracle = 1,
    /// MySQL and MariaDB.
    Mysql = 2,
    /// Not used by canald.
    Pgsql = 3,
}

/// One element of a batch.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    /// Where it comes from.
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    /// What `store_value` holds.
    #[prost(enumeration = "EntryType", optional, tag = "2", default = "RowData")]
    pub entry_type: Option<i32>,
    /// A serialised [`TransactionBegin`], [`RowChange`] or [`TransactionEnd`].
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub store_value: Option<Bytes>,
}

/// What an [`Entry`] holds, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// `TRANSACTIONBEGIN`
    Begin(TransactionBegin),
    /// `ROWDATA`
    Change(RowChange),
    /// `TRANSACTIONEND`
    End(TransactionEnd),
    /// A kind that carries no change and that no server sends.
    Nothing(EntryType),
}

impl Entry {
    /// Reads an entry from exactly the bytes that it takes.
    ///
    /// # Errors
    /// They are not those of an entry.
    pub fn read(bytes: Bytes) -> Result<Self, DecodeError> {
        Self::decode(bytes)
    }

    /// Decodes what it holds.
    ///
    /// # Errors
    /// `store_value` is not the message that `entry_type` says.
    pub fn content(&self) -> Result<Content, DecodeError> {
        let bytes = self.store_value.clone().unwrap_or_default();
        Ok(match self.entry_type() {
            EntryType::TransactionBegin => Content::Begin(TransactionBegin::decode(bytes)?),
            EntryType::RowData => Content::Change(RowChange::decode(bytes)?),
            EntryType::TransactionEnd => Content::End(TransactionEnd::decode(bytes)?),
            other @ (EntryType::CompatibleProto2 | EntryType::Heartbeat | EntryType::GtidLog) => {
                Content::Nothing(other)
            }
        })
    }
}

/// Where an entry comes from.
#[derive(Clone, PartialEq, Message)]
pub struct Header {
    /// 1
    #[prost(int32, optional, tag = "1", default = "1")]
    pub version: Option<i32>,
    /// Binlog file.
    #[prost(string, optional, tag = "2")]
    pub logfile_name: Option<String>,
    /// Start offset of the event in the file.
    #[prost(int64, optional, tag = "3")]
    pub logfile_offset: Option<i64>,
    /// The server that the change came from.
    #[prost(int64, optional, tag = "4")]
    pub server_id: Option<i64>,
    /// `UTF-8`
    #[prost(string, optional, tag = "5")]
    pub serveren_code: Option<String>,
    /// Milliseconds since 1970.
    #[prost(int64, optional, tag = "6")]
    pub execute_time: Option<i64>,
    /// Kind of database.
    #[prost(enumeration = "SourceType", optional, tag = "7", default = "Mysql")]
    pub source_type: Option<i32>,
    /// Database.
    #[prost(string, optional, tag = "8")]
    pub schema_name: Option<String>,
    /// Table.
    #[prost(string, optional, tag = "9")]
    pub table_name: Option<String>,
    /// Bytes of the event.
    #[prost(int64, optional, tag = "10")]
    pub event_length: Option<i64>,
    /// What the change does; not set for the begin and the end of a transaction.
    #[prost(enumeration = "EventType", optional, tag = "11", default = "Update")]
    pub event_type: Option<i32>,
    /// `curtGtid`, `curtGtidSn`, `curtGtidLct`, `rowsCount`.
    #[prost(message, repeated, tag = "12")]
    pub props: Vec<Pair>,
    /// Executed GTID set, the current transaction included.
    #[prost(string, optional, tag = "13")]
    pub gtid: Option<String>,
}

/// One value of one row.
#[derive(Clone, PartialEq, Message)]
pub struct Column {
    /// Place in the table, from 0.
    #[prost(int32, optional, tag = "1")]
    pub index: Option<i32>,
    /// A number of `java.sql.Types`.
    #[prost(int32, optional, tag = "2")]
    pub sql_type: Option<i32>,
    /// Name.
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    /// Whether it belongs to the primary key.
    #[prost(bool, optional, tag = "4")]
    pub is_key: Option<bool>,
    /// Whether the value differs from the one before.
    #[prost(bool, optional, tag = "5")]
    pub updated: Option<bool>,
    /// Whether it is NULL.
    #[prost(bool, optional, tag = "6")]
    pub is_null: Option<bool>,
    /// Never filled.
    #[prost(message, repeated, tag = "7")]
    pub props: Vec<Pair>,
    /// The value as text; absent for NULL.
    #[prost(string, optional, tag = "8")]
    pub value: Option<String>,
    /// Never filled.
    #[prost(int32, optional, tag = "9")]
    pub length: Option<i32>,
    /// The type as the DDL has it.
    #[prost(string, optional, tag = "10")]
    pub mysql_type: Option<String>,
}

impl Column {
    /// The value; none for NULL.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if self.is_null() {
            None
        } else {
            Some(self.value())
        }
    }
}

/// One row.
#[derive(Clone, PartialEq, Message)]
pub struct RowData {
    /// The row before: of UPDATE and DELETE.
    #[prost(message, repeated, tag = "1")]
    pub before_columns: Vec<Column>,
    /// The row after: of INSERT and UPDATE.
    #[prost(message, repeated, tag = "2")]
    pub after_columns: Vec<Column>,
    /// Never filled.
    #[prost(message, repeated, tag = "3")]
    pub props: Vec<Pair>,
}

/// A change: rows, or a statement.
#[derive(Clone, PartialEq, Message)]
pub struct RowChange {
    /// The table's number in the binlog.
    #[prost(int64, optional, tag = "1")]
    pub table_id: Option<i64>,
    /// What it does.
    #[prost(enumeration = "EventType", optional, tag = "2", default = "Update")]
    pub event_type: Option<i32>,
    /// Whether it is a statement that changes a schema, or one that canal cannot tell from that.
    #[prost(bool, optional, tag = "10")]
    pub is_ddl: Option<bool>,
    /// The statement.
    #[prost(string, optional, tag = "11")]
    pub sql: Option<String>,
    /// The rows.
    #[prost(message, repeated, tag = "12")]
    pub row_datas: Vec<RowData>,
    /// Of XA statements.
    #[prost(message, repeated, tag = "13")]
    pub props: Vec<Pair>,
    /// Default database of the session that ran the statement.
    #[prost(string, optional, tag = "14")]
    pub ddl_schema_name: Option<String>,
}

/// A transaction begins.
#[derive(Clone, PartialEq, Message)]
pub struct TransactionBegin {
    /// Never filled.
    #[prost(int64, optional, tag = "1")]
    pub execute_time: Option<i64>,
    /// Never filled.
    #[prost(string, optional, tag = "2")]
    pub transaction_id: Option<String>,
    /// Of XA statements.
    #[prost(message, repeated, tag = "3")]
    pub props: Vec<Pair>,
    /// The session that ran it.
    #[prost(int64, optional, tag = "4")]
    pub thread_id: Option<i64>,
}

/// A transaction ends.
#[derive(Clone, PartialEq, Message)]
pub struct TransactionEnd {
    /// Never filled.
    #[prost(int64, optional, tag = "1")]
    pub execute_time: Option<i64>,
    /// XID in decimal.
    #[prost(string, optional, tag = "2")]
    pub transaction_id: Option<String>,
    /// Of XA statements.
    #[prost(message, repeated, tag = "3")]
    pub props: Vec<Pair>,
}

/// A named value.
#[derive(Clone, PartialEq, Message)]
pub struct Pair {
    /// Name.
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    /// Value.
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    use crate::session::golden::{self, unhex};
    use crate::session::packet::{Messages, Packet};

    #[test]
    fn the_entries_of_the_worked_session_read_as_said_and_encode_to_the_same_bytes() {
        let frame = unhex(golden::MESSAGES);
        let packet = Packet::decode(&frame[4..]).unwrap();
        let entries = Messages::decode(packet.body).unwrap().messages;
        let decoded: Vec<Entry> = entries
            .iter()
            .map(|e| Entry::decode(e.clone()).unwrap())
            .collect();
        for (entry, bytes) in decoded.iter().zip(&entries) {
            assert_eq!(&entry.encode_to_vec(), bytes);
        }
        let Content::Begin(begin) = decoded[0].content().unwrap() else {
            panic!("a begin")
        };
        assert_eq!(begin.thread_id(), 7);
        let header = decoded[1].header.as_ref().unwrap();
        assert_eq!(
            (header.schema_name(), header.table_name()),
            ("test", "user")
        );
        assert_eq!(
            (header.logfile_offset(), header.event_type()),
            (323, EventType::Insert)
        );
        let Content::Change(change) = decoded[1].content().unwrap() else {
            panic!("rows")
        };
        assert_eq!(change.encode_to_vec(), decoded[1].store_value());
        let columns = &change.row_datas[0].after_columns;
        let texts: Vec<_> = columns
            .iter()
            .map(|c| (c.name(), c.text(), c.is_key()))
            .collect();
        assert_eq!(
            texts,
            vec![("id", Some("1"), true), ("name", Some("abc"), false)]
        );
        let Content::End(end) = decoded[2].content().unwrap() else {
            panic!("an end")
        };
        assert_eq!(end.transaction_id(), "31");
    }

    #[test]
    fn stored_values_of_the_reference_encode_to_the_same_bytes() {
        for hex in [
            "086c10025000627b0a1a080010041a0269642001280030004201315207696e74283131290a220801100c1a046e616d652000280030004203616263520b7661726368617228333229121a080010041a0269642001280030004201315207696e7428313129121d0801100c1a046e616d65200028013001520b7661726368617228333229",
            "086c10035000623b0a1a080010041a0269642001280030004201315207696e74283131290a1d0801100c1a046e616d65200028003001520b7661726368617228333229",
            "100550015a21414c544552205441424c4520757365722041444420434f4c554d4e206320696e74720474657374",
            "100150005a1d494e5345525420494e544f20757365722056414c5545532028392c3129720474657374",
            "10075a1d494e5345525420494e544f20757365722056414c5545532028312c3129",
            "100d5a15584120434f4d4d49542058273331272c5827272c316a140a0758415f545950451209584120434f4d4d49546a160a0658415f584944120c2058273331272c5827272c31",
        ] {
            assert_eq!(
                RowChange::decode(&unhex(hex)[..]).unwrap().encode_to_vec(),
                unhex(hex)
            );
        }
        let begin = "1a130a0758415f54595045120858412053544152541a160a0658415f584944120c2058273331272c5827272c312007";
        assert_eq!(
            TransactionBegin::decode(&unhex(begin)[..])
                .unwrap()
                .encode_to_vec(),
            unhex(begin)
        );
        let end = "1201301a110a0758415f545950451206584120454e441a160a0658415f584944120c2058273331272c5827272c31";
        assert_eq!(
            TransactionEnd::decode(&unhex(end)[..])
                .unwrap()
                .encode_to_vec(),
            unhex(end)
        );
    }

    #[test]
    fn absent_and_unknown_read_as_they_do_in_java() {
        assert_eq!(Entry::default().entry_type(), EntryType::RowData);
        let mut header = Header::default();
        assert_eq!(
            (header.version(), header.source_type()),
            (1, SourceType::Mysql)
        );
        assert_eq!(header.event_type(), EventType::Update);
        header.event_type = Some(16);
        assert_eq!(header.event_type(), EventType::Update);
        assert_eq!(RowChange::default().event_type(), EventType::Update);
    }

    #[test]
    fn a_store_value_that_is_no_change_is_an_error_and_not_nothing() {
        let entry = Entry {
            store_value: Some(unhex("0a").into()),
            ..Entry::default()
        };
        assert!(entry.content().is_err());
    }
}
