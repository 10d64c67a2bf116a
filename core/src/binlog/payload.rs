//! What events say: the bodies of all types, borrowed from the event.

use crate::binlog::compressed::TransactionPayload;
use crate::binlog::event::{Event, EventFault, EventProblem, EventType};
use crate::binlog::format::Format;
use crate::binlog::gtid_event::GtidEvent;
use crate::binlog::heartbeat::Heartbeat;
use crate::binlog::mariadb_gtid::{GtidList, MariadbGtidEvent};
use crate::binlog::query::Query;
use crate::binlog::rotate::{BinlogCheckpoint, Rotate};
use crate::binlog::rows::RowsEvent;
use crate::binlog::statement::{Incident, IntVar, Rand, UserVar, parse_rows_query};
use crate::binlog::table_map::RawTableMap;
use crate::binlog::xa::{XaPrepare, parse_xid};
use crate::gtid::MysqlGtidSet;
use crate::read::ReadError;

/// The body of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// The stream goes on in another file.
    Rotate(Rotate<'a>),
    /// A new format is in force: the stream has it.
    FormatDescription,
    /// A statement.
    Query(Query<'a>),
    /// A statement whose text is a [`crate::binlog::compressed::CompressedPart`].
    CompressedQuery(Query<'a>),
    /// Commit of the transaction with this number.
    Xid(u64),
    /// A table, not yet read.
    TableMap(RawTableMap<'a>),
    /// Rows, not yet read.
    Rows(RowsEvent<'a>),
    /// Begin of a transaction, MySQL.
    Gtid(GtidEvent),
    /// Begin of a group, MariaDB.
    MariadbGtid(MariadbGtidEvent<'a>),
    /// The last GTIDs before this file, MariaDB.
    GtidList(GtidList<'a>),
    /// The GTIDs before this file, MySQL.
    PreviousGtids(MysqlGtidSet),
    /// The source is alive.
    Heartbeat(Heartbeat<'a>),
    /// The statement behind rows, MySQL.
    RowsQuery(&'a [u8]),
    /// The statement behind rows, MariaDB.
    AnnotateRows(&'a [u8]),
    /// A number for the next statement.
    IntVar(IntVar),
    /// Seeds for the next statement.
    Rand(Rand),
    /// A user variable for the next statement.
    UserVar(UserVar<'a>),
    /// Something that the log does not hold.
    Incident(Incident<'a>),
    /// An XA transaction is prepared.
    XaPrepare(XaPrepare<'a>),
    /// The file was closed cleanly.
    Stop,
    /// The oldest file that the server's crash recovery needs.
    BinlogCheckpoint(BinlogCheckpoint<'a>),
    /// A compressed transaction, MySQL.
    TransactionPayload(TransactionPayload<'a>),
    /// The file is encrypted from here on; a dump is not.
    StartEncryption,
    /// A statement-based LOAD DATA, in the form of any version: its first block or its statement.
    LoadData,
    /// Nothing that canald shows: marked as ignorable, or of a known type without data for clients
    /// (group replication, consensus, further blocks of a statement-based LOAD DATA).
    Ignored,
}

impl<'a> Event<'a> {
    /// Reads the body. [`crate::binlog::stream::EventStream::parse`] does the same and names the file.
    ///
    /// # Errors
    /// The body is not what its type says.
    #[inline]
    pub fn parse(&self, format: &Format) -> Result<Payload<'a>, EventFault> {
        self.read(format)
            .map_err(|error| self.fault(EventProblem::Field(error)))
    }

    #[inline]
    fn read(&self, format: &Format) -> Result<Payload<'a>, ReadError> {
        let body = self.body;
        let event_type = self.header.event_type;
        Ok(match event_type {
            EventType::TABLE_MAP => Payload::TableMap(RawTableMap::parse(body, format)?),
            _ if RowsEvent::kind(event_type).is_some() => {
                Payload::Rows(RowsEvent::parse(event_type, body, format)?)
            }
            EventType::QUERY => Payload::Query(Query::parse(body, format.flavor)?),
            EventType::QUERY_COMPRESSED => {
                Payload::CompressedQuery(Query::parse(body, format.flavor)?)
            }
            EventType::XID => Payload::Xid(parse_xid(body)?),
            EventType::GTID | EventType::ANONYMOUS_GTID => Payload::Gtid(GtidEvent::parse(body)?),
            EventType::GTID_TAGGED => Payload::Gtid(GtidEvent::parse_tagged(body)?),
            EventType::MARIADB_GTID => {
                Payload::MariadbGtid(MariadbGtidEvent::parse(body, self.header.server_id)?)
            }
            EventType::GTID_LIST => Payload::GtidList(GtidList::parse(body)?),
            EventType::PREVIOUS_GTIDS => Payload::PreviousGtids(MysqlGtidSet::decode(body)?),
            EventType::HEARTBEAT => Payload::Heartbeat(Heartbeat::parse(body)?),
            EventType::HEARTBEAT_V2 => Payload::Heartbeat(Heartbeat::parse_v2(body)?),
            EventType::ROWS_QUERY => Payload::RowsQuery(parse_rows_query(body)?),
            EventType::ANNOTATE_ROWS => Payload::AnnotateRows(body),
            EventType::INTVAR => Payload::IntVar(IntVar::parse(body)?),
            EventType::RAND => Payload::Rand(Rand::parse(body)?),
            EventType::USER_VAR => Payload::UserVar(UserVar::parse(body)?),
            EventType::INCIDENT => Payload::Incident(Incident::parse(body)?),
            EventType::XA_PREPARE => Payload::XaPrepare(XaPrepare::parse(body)?),
            EventType::ROTATE => Payload::Rotate(Rotate::parse(body)?),
            EventType::FORMAT_DESCRIPTION => Payload::FormatDescription,
            EventType::STOP => Payload::Stop,
            EventType::BINLOG_CHECKPOINT => {
                Payload::BinlogCheckpoint(BinlogCheckpoint::parse(body)?)
            }
            EventType::TRANSACTION_PAYLOAD => {
                Payload::TransactionPayload(TransactionPayload::parse(body)?)
            }
            EventType::START_ENCRYPTION => Payload::StartEncryption,
            EventType::BEGIN_LOAD_QUERY
            | EventType::EXECUTE_LOAD_QUERY
            | EventType::LOAD
            | EventType::NEW_LOAD
            | EventType::CREATE_FILE
            | EventType::EXEC_LOAD => Payload::LoadData,
            _ => Payload::Ignored,
        })
    }
}
