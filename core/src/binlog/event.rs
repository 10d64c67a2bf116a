//! What all events share: the header, the place in the file, and how a bad event is reported
//! (binlog-parser reference §2.1, §2.2).

use core::fmt;

use thiserror::Error;

use crate::position::BinlogFile;
use crate::read::{ReadError, Reader};

/// The kind of an event, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(pub u8);

/// Declares the event types once: constant, number, and the name that `SHOW BINLOG EVENTS` prints.
macro_rules! event_types {
    ($($(#[doc = $doc:literal])* $constant:ident = $number:literal, $name:literal;)*) => {
        impl EventType {
            $($(#[doc = $doc])* pub const $constant: Self = Self($number);)*

            /// The name as `SHOW BINLOG EVENTS` prints it; `Unknown` for a number that has none.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$constant => $name,)*
                    Self(_) => "Unknown",
                }
            }
        }
    };
}

event_types! {
    /// A statement.
    QUERY = 2, "Query";
    /// The file was closed cleanly.
    STOP = 3, "Stop";
    /// The stream goes on in another file.
    ROTATE = 4, "Rotate";
    /// A `LOAD DATA` of before MySQL 5.0.3.
    LOAD = 6, "Load";
    /// First block of a `LOAD DATA` of before MySQL 5.0.3.
    CREATE_FILE = 8, "Create_file";
    /// A further block of a statement-based `LOAD DATA`.
    APPEND_BLOCK = 9, "Append_block";
    /// The statement of a `LOAD DATA` of before MySQL 5.0.3.
    EXEC_LOAD = 10, "Exec_load";
    /// A statement-based `LOAD DATA` was given up: its blocks are void.
    DELETE_FILE = 11, "Delete_file";
    /// A `LOAD DATA` of before MySQL 5.0.3, with longer delimiters.
    NEW_LOAD = 12, "New_load";
    /// `LAST_INSERT_ID` or `INSERT_ID` of the next statement.
    INTVAR = 5, "Intvar";
    /// Seeds of `RAND()` in the next statement.
    RAND = 13, "RAND";
    /// A user variable of the next statement.
    USER_VAR = 14, "User var";
    /// What the events after it look like.
    FORMAT_DESCRIPTION = 15, "Format_desc";
    /// Commit of a transaction.
    XID = 16, "Xid";
    /// First block of a statement-based `LOAD DATA`.
    BEGIN_LOAD_QUERY = 17, "Begin_load_query";
    /// The statement of a statement-based `LOAD DATA`.
    EXECUTE_LOAD_QUERY = 18, "Execute_load_query";
    /// What a table looks like.
    TABLE_MAP = 19, "Table_map";
    /// Inserted rows, version 1.
    WRITE_ROWS_V1 = 23, "Write_rows_v1";
    /// Updated rows, version 1.
    UPDATE_ROWS_V1 = 24, "Update_rows_v1";
    /// Deleted rows, version 1.
    DELETE_ROWS_V1 = 25, "Delete_rows_v1";
    /// Something happened that the log does not hold: data may be lost.
    INCIDENT = 26, "Incident";
    /// The source is alive.
    HEARTBEAT = 27, "Heartbeat";
    /// To be ignored by who does not know it.
    IGNORABLE = 28, "Ignorable";
    /// The statement behind rows events, MySQL.
    ROWS_QUERY = 29, "Rows_query";
    /// Inserted rows, version 2.
    WRITE_ROWS = 30, "Write_rows";
    /// Updated rows, version 2.
    UPDATE_ROWS = 31, "Update_rows";
    /// Deleted rows, version 2.
    DELETE_ROWS = 32, "Delete_rows";
    /// A transaction begins, MySQL.
    GTID = 33, "Gtid";
    /// A transaction without GTID begins, MySQL.
    ANONYMOUS_GTID = 34, "Anonymous_Gtid";
    /// The transactions before this file, MySQL.
    PREVIOUS_GTIDS = 35, "Previous_gtids";
    /// Certification data of group replication.
    TRANSACTION_CONTEXT = 36, "Transaction_context";
    /// A change of members of group replication.
    VIEW_CHANGE = 37, "View_change";
    /// An XA transaction is prepared.
    XA_PREPARE = 38, "XA_prepare";
    /// Updated rows with differences of JSON documents.
    PARTIAL_UPDATE_ROWS = 39, "Update_rows_partial";
    /// A compressed transaction, MySQL.
    TRANSACTION_PAYLOAD = 40, "Transaction_payload";
    /// The source is alive, with a 64-bit offset.
    HEARTBEAT_V2 = 41, "Heartbeat_v2";
    /// A transaction with a tagged GTID begins, MySQL.
    GTID_TAGGED = 42, "Gtid_tagged";
    /// PolarDB-X: commit sequence.
    POLARDBX_SEQUENCE = 101, "Sequence";
    /// PolarDB-X: global commit number.
    POLARDBX_GCN = 102, "Gcn";
    /// PolarDB-X: consensus log.
    POLARDBX_CONSENSUS_LOG = 103, "Consensus_log";
    /// PolarDB-X: consensus indexes before this file.
    POLARDBX_PREVIOUS_CONSENSUS_INDEX = 104, "Previous_consensus_index";
    /// PolarDB-X: empty consensus entry.
    POLARDBX_CONSENSUS_EMPTY = 105, "Consensus_empty";
    /// The statement behind rows events, MariaDB.
    ANNOTATE_ROWS = 160, "Annotate_rows";
    /// The oldest file that crash recovery needs, MariaDB; says nothing about positions.
    BINLOG_CHECKPOINT = 161, "Binlog_checkpoint";
    /// A transaction begins, MariaDB.
    MARIADB_GTID = 162, "Gtid";
    /// The last transactions before this file, MariaDB.
    GTID_LIST = 163, "Gtid_list";
    /// The events after it are encrypted in the file, MariaDB.
    START_ENCRYPTION = 164, "Start_encryption";
    /// A compressed statement, MariaDB.
    QUERY_COMPRESSED = 165, "Query_compressed";
    /// Inserted rows, version 1, compressed, MariaDB.
    WRITE_ROWS_COMPRESSED_V1 = 166, "Write_rows_compressed_v1";
    /// Updated rows, version 1, compressed, MariaDB.
    UPDATE_ROWS_COMPRESSED_V1 = 167, "Update_rows_compressed_v1";
    /// Deleted rows, version 1, compressed, MariaDB.
    DELETE_ROWS_COMPRESSED_V1 = 168, "Delete_rows_compressed_v1";
    /// Inserted rows, version 2, compressed, MariaDB.
    WRITE_ROWS_COMPRESSED = 169, "Write_rows_compressed";
    /// Updated rows, version 2, compressed, MariaDB.
    UPDATE_ROWS_COMPRESSED = 170, "Update_rows_compressed";
    /// Deleted rows, version 2, compressed, MariaDB.
    DELETE_ROWS_COMPRESSED = 171, "Delete_rows_compressed";
}

impl EventType {
    /// Whether canald knows what it means. An unknown event may be skipped only if it says so itself.
    #[must_use]
    pub const fn is_known(self) -> bool {
        matches!(self.0, 2..=6 | 8..=19 | 23..=42 | 101..=105 | 160..=171)
    }

    /// Whether it only says that the source is alive, and where it is.
    #[must_use]
    pub const fn is_heartbeat(self) -> bool {
        matches!(self, Self::HEARTBEAT | Self::HEARTBEAT_V2)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

/// The flags of an event's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventFlags(pub u16);

impl EventFlags {
    /// On a FORMAT_DESCRIPTION: the file was not closed. Not covered by its checksum.
    pub const IN_USE: Self = Self(0x0001);
    /// The statement depends on its connection (temporary tables).
    pub const THREAD_SPECIFIC: Self = Self(0x0004);
    /// The statement needs no `USE`.
    pub const SUPPRESS_USE: Self = Self(0x0008);
    /// Made up by the server for this dump: not in the file.
    pub const ARTIFICIAL: Self = Self(0x0020);
    /// Written by a replica's receiver itself.
    pub const RELAY_LOG: Self = Self(0x0040);
    /// Who does not know the event may skip it.
    pub const IGNORABLE: Self = Self(0x0080);
    /// Not subject to a replica's filters.
    pub const NO_FILTER: Self = Self(0x0100);
    /// To be applied alone.
    pub const MTS_ISOLATE: Self = Self(0x0200);

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The 19 bytes that every event begins with (binlog-parser reference §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHeader {
    /// Seconds since 1970: when the statement began or the transaction committed, on the server of
    /// origin; 0 for artificial events.
    pub timestamp: u32,
    /// The kind.
    pub event_type: EventType,
    /// The server of origin.
    pub server_id: u32,
    /// Bytes of the whole event: header and checksum included.
    pub size: u32,
    /// The low 32 bits of the end offset, or 0. Use [`Event::start`] and [`Event::end`].
    pub log_pos: u32,
    /// Flags.
    pub flags: EventFlags,
}

impl EventHeader {
    /// Its length in bytes.
    pub const BYTES: usize = 19;

    /// Reads the header at the start of `raw`.
    ///
    /// # Errors
    /// There are fewer than [`Self::BYTES`] bytes.
    #[inline]
    pub fn parse(raw: &[u8]) -> Result<Self, ReadError> {
        let Some(&header) = raw.first_chunk::<{ Self::BYTES }>() else {
            let mut reader = Reader::new(raw);
            return Err(match reader.bytes(Self::BYTES, "event header") {
                Err(error) => error,
                Ok(_) => reader.invalid("event header", "is too short"),
            });
        };
        let [
            t0,
            t1,
            t2,
            t3,
            kind,
            i0,
            i1,
            i2,
            i3,
            s0,
            s1,
            s2,
            s3,
            p0,
            p1,
            p2,
            p3,
            f0,
            f1,
        ] = header;
        Ok(Self {
            timestamp: u32::from_le_bytes([t0, t1, t2, t3]),
            event_type: EventType(kind),
            server_id: u32::from_le_bytes([i0, i1, i2, i3]),
            size: u32::from_le_bytes([s0, s1, s2, s3]),
            log_pos: u32::from_le_bytes([p0, p1, p2, p3]),
            flags: EventFlags(u16::from_le_bytes([f0, f1])),
        })
    }
}

/// One verified event: header, place, and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The header as it stands.
    pub header: EventHeader,
    /// Offset of its first byte in its file; for an artificial event the offset reached so far, for
    /// an event of a compressed transaction that of the whole.
    pub start: u64,
    /// Offset after its last byte; equal to `start` if it is artificial.
    pub end: u64,
    /// Whether the server made it up for this dump: it is not in the file.
    pub is_artificial: bool,
    /// What follows the header, without checksum.
    pub body: &'a [u8],
}

impl<'a> Event<'a> {
    /// An event from inside a decompressed TRANSACTION_PAYLOAD: it has no checksum and no place of
    /// its own, so it stands where `outer` does (binlog-parser reference §1.16).
    ///
    /// # Errors
    /// The bytes are not one whole event of a known or ignorable type.
    pub fn inside(outer: &Event<'_>, raw: &'a [u8]) -> Result<Self, EventFault> {
        let fault = |event_type, problem| EventFault {
            file: None,
            offset: outer.start,
            event_type,
            problem,
        };
        let header = EventHeader::parse(raw)
            .map_err(|error| fault(outer.header.event_type, EventProblem::Field(error)))?;
        if header.size as usize != raw.len() {
            let problem = EventProblem::Size {
                stated: header.size,
                given: raw.len(),
            };
            return Err(fault(header.event_type, problem));
        }
        if !header.event_type.is_known() && !header.flags.contains(EventFlags::IGNORABLE) {
            return Err(fault(header.event_type, EventProblem::UnknownType));
        }
        let body = &raw[EventHeader::BYTES..];
        Ok(Self {
            header,
            start: outer.start,
            end: outer.end,
            is_artificial: false,
            body,
        })
    }

    /// That `problem` was found in this event.
    #[must_use]
    pub fn fault(&self, problem: EventProblem) -> EventFault {
        let event_type = self.header.event_type;
        EventFault {
            file: None,
            offset: self.start,
            event_type,
            problem,
        }
    }
}

/// An event that cannot be used: where it is and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} at offset {offset}, event {event_type}: {problem}", file_name(.file))]
pub struct EventFault {
    /// The file; none where it was not known.
    pub file: Option<BinlogFile>,
    /// Where in the file the event starts.
    pub offset: u64,
    /// The event's type; 0 if not even that could be read.
    pub event_type: EventType,
    /// What is wrong.
    pub problem: EventProblem,
}

impl EventFault {
    /// The same fault, in `file`.
    #[must_use]
    pub fn of_file(self, file: Option<&BinlogFile>) -> Self {
        Self {
            file: file.cloned(),
            ..self
        }
    }
}

/// What is wrong with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EventProblem {
    /// A field is cut off or makes no sense.
    #[error("{0}")]
    Field(#[from] ReadError),
    /// The header states another size than the event has.
    #[error(
        "its header states {stated} bytes, there are {given}: framing is lost, read again from a transaction boundary"
    )]
    Size {
        /// By the header.
        stated: u32,
        /// In fact.
        given: usize,
    },
    /// The checksum does not fit the bytes.
    #[error(
        "its checksum is {stored:08x}, its bytes give {computed:08x}: damaged in the file or on the way; \
         compare with `mysqlbinlog --verify-binlog-checksum` on the source"
    )]
    Checksum {
        /// In the event.
        stored: u32,
        /// Of its bytes.
        computed: u32,
    },
    /// It precedes the FORMAT_DESCRIPTION that would say how to read it.
    #[error("it comes before any FORMAT_DESCRIPTION event, so nothing says how to read it")]
    BeforeFormat,
    /// It comes before the stream has named a file.
    #[error("it comes before the ROTATE event that names the file")]
    BeforeFile,
    /// canald does not know it, and it is not marked as ignorable.
    #[error(
        "canald does not know this type and the event is not marked as ignorable, so skipping it could lose data"
    )]
    UnknownType,
    /// What follows in the file is encrypted.
    #[error(
        "the file is encrypted by MariaDB from here on, and only its server can read it; fetch it with \
         `mariadb-binlog --read-from-remote-server --raw`"
    )]
    Encrypted,
    /// Its end would lie beyond 64 bits, or its start before the file's.
    #[error("its end position {log_pos} does not fit a size of {size} bytes")]
    Place {
        /// By the header.
        log_pos: u32,
        /// By the header.
        size: u32,
    },
}

fn file_name(file: &Option<BinlogFile>) -> &str {
    file.as_ref()
        .map_or("(binlog file not named yet)", BinlogFile::as_str)
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_header_has_six_fields() {
        let raw = [
            0x41, 0x56, 0x02, 0x6b, 0x1e, 0xea, 0x75, 0, 0, 0x28, 0, 0, 0, 0xa0, 0x03, 0, 0, 0x81,
            0,
        ];
        let header = EventHeader::parse(&raw).unwrap();
        assert_eq!(header.timestamp, 0x6b02_5641);
        assert_eq!(header.event_type, EventType::WRITE_ROWS);
        assert_eq!(header.server_id, 30186);
        assert_eq!(header.size, 40);
        assert_eq!(header.log_pos, 928);
        assert!(header.flags.contains(EventFlags::IN_USE));
        assert!(header.flags.contains(EventFlags::IGNORABLE));
        assert!(!header.flags.contains(EventFlags::ARTIFICIAL));
        let error = EventHeader::parse(&raw[..18]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "event header at byte 0: needs 19 bytes, 18 are left"
        );
    }

    #[test]
    fn every_known_type_has_a_name_and_no_other() {
        for number in 0..=u8::MAX {
            let event_type = EventType(number);
            assert_eq!(
                event_type.is_known(),
                event_type.name() != "Unknown",
                "type {number}"
            );
        }
        assert_eq!(EventType::WRITE_ROWS.to_string(), "Write_rows (30)");
        assert_eq!(EventType(99).to_string(), "Unknown (99)");
    }

    #[test]
    fn a_fault_is_one_line_that_says_where() {
        let fault = EventFault {
            file: Some(BinlogFile::new("binlog.000003")),
            offset: 1234,
            event_type: EventType::WRITE_ROWS,
            problem: EventProblem::Checksum {
                stored: 0xdead_beef,
                computed: 1,
            },
        };
        assert_eq!(
            fault.to_string(),
            "binlog.000003 at offset 1234, event Write_rows (30): its checksum is deadbeef, its bytes \
             give 00000001: damaged in the file or on the way; compare with `mysqlbinlog \
             --verify-binlog-checksum` on the source"
        );
    }

    #[test]
    fn an_inner_event_stands_where_the_whole_transaction_does() {
        let header = EventHeader {
            timestamp: 1,
            event_type: EventType::TRANSACTION_PAYLOAD,
            server_id: 1,
            size: 100,
            log_pos: 300,
            flags: EventFlags(0),
        };
        let outer = Event {
            header,
            start: 200,
            end: 300,
            is_artificial: false,
            body: &[],
        };
        let mut raw = [0; 27];
        raw[4] = 16;
        raw[9] = 27;
        raw[19] = 7;
        let inner = Event::inside(&outer, &raw).unwrap();
        assert_eq!((inner.start, inner.end, inner.body.len()), (200, 300, 8));
        let fault = Event::inside(&outer, &raw[..26]).unwrap_err();
        assert_eq!(
            fault.problem,
            EventProblem::Size {
                stated: 27,
                given: 26
            }
        );
        raw[4] = 99;
        let fault = Event::inside(&outer, &raw).unwrap_err();
        assert_eq!(fault.problem, EventProblem::UnknownType);
        raw[17] = 0x80;
        assert!(Event::inside(&outer, &raw).is_ok());
    }
}
