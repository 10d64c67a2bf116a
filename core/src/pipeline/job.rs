//! What the serial stage hands to the decoder: a job is a run of items, an item becomes one entry.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::binlog::rows::RowOp;
use crate::entry::kind::RowKind;
use crate::pipeline::plan::{EncodeSettings, Guess, TablePlan};
use crate::position::BinlogFile;
use crate::store::segment::{Resume, SubjectId};

/// The number of a job within its instance, counted from 0: segments are stored in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// A run of items that becomes one segment.
#[derive(Clone, Debug)]
pub struct DecodeJob {
    /// Its place in the order.
    pub id: JobId,
    /// The binlog file that all items come from.
    pub file: BinlogFile,
    /// What [`Item::resume`] points into.
    pub resumes: Vec<Resume>,
    /// The items, in order.
    pub items: Vec<Item>,
    /// How values are shown.
    pub settings: Arc<EncodeSettings>,
}

/// The facts of an event's header that entries show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPlace {
    /// Offset at which the event starts in its file.
    pub start: u64,
    /// Bytes of the event, header and checksum included.
    pub size: u32,
    /// Seconds since 1970.
    pub timestamp: u32,
    /// The server that the change came from.
    pub server_id: u32,
}

/// The GTID of a transaction as entry headers show it (wire-protocol reference §12.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GtidStamp {
    /// Executed set with this transaction, for `Header.gtid`; not written if empty.
    pub set: String,
    /// `uuid:n` for the prop `curtGtid`; none on MariaDB.
    pub current: Option<String>,
    /// For `curtGtidSn`.
    pub sequence_number: Option<i64>,
    /// For `curtGtidLct`.
    pub last_committed: Option<i64>,
}

/// One entry to be.
#[derive(Clone, Debug)]
pub struct Item {
    /// Where it comes from.
    pub place: EventPlace,
    /// Which entry of its event it is.
    pub ordinal: u32,
    /// What filters judge.
    pub subject: SubjectId,
    /// Index into [`DecodeJob::resumes`].
    pub resume: u32,
    /// GTIDs for the header, where they are tracked.
    pub gtid: Option<Arc<GtidStamp>>,
    /// What it becomes.
    pub body: ItemBody,
}

impl Item {
    /// About the bytes of its entry: what makes it work to encode.
    #[must_use]
    pub fn entry_bytes(&self) -> usize {
        let body = match &self.body {
            ItemBody::Rows { guess, .. } => guess.bytes,
            ItemBody::Statement(statement) => statement.sql.len(),
            ItemBody::Begin { .. } | ItemBody::End { .. } => 0,
        };
        body + ENTRY_OVERHEAD + self.gtid.as_ref().map_or(0, |stamp| stamp.set.len())
    }
}

/// About the bytes of an entry besides rows, text and GTID set: its header.
const ENTRY_OVERHEAD: usize = 128;

impl DecodeJob {
    /// About the bytes of its segment: what makes it work to decode.
    #[must_use]
    pub fn entry_bytes(&self) -> usize {
        self.items.iter().map(Item::entry_bytes).sum()
    }
}

/// What an item becomes.
#[derive(Clone, Debug)]
pub enum ItemBody {
    /// `TRANSACTIONBEGIN`
    Begin {
        /// The connection that ran the transaction.
        thread_id: i64,
    },
    /// `TRANSACTIONEND`
    End {
        /// The XID; 0 where the transaction ended by a COMMIT statement.
        xid: u64,
    },
    /// Rows of one event.
    Rows {
        /// What they do.
        op: RowOp,
        /// The table id of the event.
        table_id: u64,
        /// How to decode the table.
        plan: Arc<TablePlan>,
        /// The event from its column count on: `lenenc ncol, bitmap(s), rows…`, without checksum.
        data: Bytes,
        /// What [`TablePlan::guess`] says of it.
        guess: Guess,
    },
    /// A statement.
    Statement(Box<Statement>),
}

/// A statement as its entry shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it does.
    pub kind: RowKind,
    /// `RowChange.isDdl`; not written if none.
    pub is_ddl: Option<bool>,
    /// The text.
    pub sql: String,
    /// `Header.schemaName`; not written if none.
    pub schema: Option<String>,
    /// `Header.tableName`; not written if none.
    pub table: Option<String>,
    /// `RowChange.ddlSchemaName`; not written if none.
    pub ddl_schema: Option<String>,
}
