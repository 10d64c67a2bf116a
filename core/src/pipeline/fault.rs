//! Why the serial stage stops: each names what, where, and what helps.

use alloc::boxed::Box;
use alloc::string::String;

use thiserror::Error;

use crate::binlog::event::EventFault;
use crate::binlog::table_map::TableMapFault;
use crate::pipeline::plan::PlanError;
use crate::position::BinlogPosition;
use crate::schema::resolve::SchemaDoubt;
use crate::schema::table::TableName;

/// Why the serial stage stops.
#[derive(Clone, Debug, Error)]
pub enum SplitFault {
    /// An event is damaged, or not what its type says.
    #[error(transparent)]
    Event(#[from] EventFault),
    /// Something that this version of canald recognises and cannot deliver yet. Never skipped.
    #[error("{at}: {what}")]
    Unsupported {
        /// What.
        what: Unsupported,
        /// The event's place.
        at: BinlogPosition,
    },
    /// What is known of a table does not fit its rows.
    #[error("{at}: {doubt}")]
    Doubt {
        /// What does not fit.
        doubt: Box<SchemaDoubt>,
        /// The place of the TABLE_MAP.
        at: BinlogPosition,
    },
    /// The columns of a table at this place cannot be known.
    #[error(
        "{at}: the columns of {table} at this place are not known: a statement that ends at {ddl} changed it since, \
         and the server can only say what they are now; set binlog_row_metadata=FULL on the source so that the log \
         says it itself, exclude the table by canal.instance.filter.black.regex, or set \
         canal.instance.filter.table.error=true to withhold its rows and go on"
    )]
    Changed {
        /// The table.
        table: TableName,
        /// The place of the TABLE_MAP.
        at: BinlogPosition,
        /// The end of the first statement after it that touches the table.
        ddl: BinlogPosition,
    },
    /// The server does not show a table that its log has rows of.
    #[error(
        "{at}: the source shows no columns of {table}; grant its user SELECT on the table, or set \
         binlog_row_metadata=FULL so that the log says them itself"
    )]
    Hidden {
        /// The table.
        table: TableName,
        /// The place of the TABLE_MAP.
        at: BinlogPosition,
    },
    /// A table cannot be decoded.
    #[error("{at}: {why}")]
    Plan {
        /// Why not.
        why: Box<PlanError>,
        /// The place of the TABLE_MAP.
        at: BinlogPosition,
    },
    /// A TABLE_MAP cannot be read.
    #[error("{at}: {why}")]
    TableMap {
        /// Why not.
        why: Box<TableMapFault>,
        /// Its place.
        at: BinlogPosition,
    },
    /// Rows of a table whose map was not seen.
    #[error(
        "{at}: rows of table id {table_id}, which no TABLE_MAP before them describes: reading began inside a \
         transaction; start at its beginning"
    )]
    NoTableMap {
        /// The id.
        table_id: u64,
        /// The place of the rows.
        at: BinlogPosition,
    },
    /// The source says that its log has lost something.
    #[error(
        "{at}: the source logged an incident ({message}): changes are missing from its binlog here; compare the \
         tables with the source, then start after this place"
    )]
    Incident {
        /// The source's own words.
        message: String,
        /// The event's place.
        at: BinlogPosition,
    },
    /// A look-ahead for a schema's proof is longer than its bound.
    #[error(
        "{at}: the columns of {table} are proved by reading ahead, and more than the bound lies ahead"
    )]
    TooFarAhead {
        /// The table.
        table: TableName,
        /// The place of the TABLE_MAP.
        at: BinlogPosition,
    },
}

impl SplitFault {
    /// Whether it concerns one table, which canal's key may withhold while the others go on.
    #[must_use]
    pub const fn is_doubt(&self) -> bool {
        matches!(
            self,
            Self::Doubt { .. }
                | Self::Changed { .. }
                | Self::Hidden { .. }
                | Self::Plan { .. }
                | Self::TableMap { .. }
        )
    }
}

/// What is recognised and not delivered yet.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unsupported {
    /// MySQL's TRANSACTION_PAYLOAD.
    #[error(
        "a compressed transaction (TRANSACTION_PAYLOAD), which this version of canald cannot read; set \
         binlog_transaction_compression=OFF on the source, and start after this place"
    )]
    CompressedTransaction,
    /// MariaDB's compressed events.
    #[error(
        "a compressed event ({event}), which this version of canald cannot read; set log_bin_compress=OFF on the \
         source, and start after this place"
    )]
    CompressedEvent {
        /// The event's name.
        event: &'static str,
    },
    /// PARTIAL_UPDATE_ROWS.
    #[error(
        "a partial JSON update of {table}, which this version of canald cannot read; set binlog_row_value_options='' \
         on the source, and start after this place"
    )]
    PartialJson {
        /// The table.
        table: TableName,
    },
    /// XA transactions.
    #[error(
        "an XA transaction ({step}), which this version of canald cannot deliver; start after its commit, or keep XA \
         off this source"
    )]
    Xa {
        /// What of it was seen.
        step: String,
    },
    /// Statement-format changes.
    #[error(
        "a change logged as a statement, without rows ({sql}); set binlog_format=ROW on the source (in every session \
         that writes), or set canal.instance.filter.query.dml=true to leave such changes out"
    )]
    StatementFormat {
        /// The beginning of its text.
        sql: String,
    },
    /// Statement-based LOAD DATA.
    #[error(
        "a LOAD DATA logged as a statement, without rows; set binlog_format=ROW on the source, or set \
         canal.instance.filter.query.dml=true to leave such changes out"
    )]
    LoadData,
}
