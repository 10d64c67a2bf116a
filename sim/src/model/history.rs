//! What the source committed: the truth that everything delivered is held against.
//!
//! It is written by the source model alone, before the bytes of the log exist, so that a mistake in the
//! log's encoding shows as a difference.

use std::sync::Arc;

/// A transaction, or a statement that commits by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Committed {
    /// Its place in the history, from 0.
    pub number: u64,
    /// The binlog file that holds it.
    pub file: Arc<str>,
    /// Offset of its first event.
    pub start: u64,
    /// Offset behind its last event.
    pub end: u64,
    /// Its GTID in the flavour's own notation, if the source writes any.
    pub gtid: Option<Arc<str>>,
    /// The source's clock in seconds, as its events carry it.
    pub timestamp: u32,
    /// What it did.
    pub body: Body,
}

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Changes of rows, event after event; empty for a transaction that changed nothing.
    Rows(Vec<RowsEvent>),
    /// A statement that defines data.
    Ddl(Ddl),
}

/// One event of rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowsEvent {
    /// Offset of the event in the file.
    pub start: u64,
    /// The table, as it was then.
    pub table: Arc<Table>,
    /// What was done.
    pub kind: RowKind,
    /// The rows.
    pub rows: Vec<Row>,
}

/// What was done to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowKind {
    /// They were inserted: after-images alone.
    Insert,
    /// They were changed: both images.
    Update,
    /// They were deleted: before-images alone.
    Delete,
}

/// A row, with the images that its kind has; each value as a client must see it, or none for NULL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// As it was.
    pub before: Option<Vec<Option<String>>>,
    /// As it is.
    pub after: Option<Vec<Option<String>>>,
}

/// A statement that defines data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ddl {
    /// Offset of its QUERY event in the file.
    pub start: u64,
    /// The session's schema.
    pub schema: String,
    /// The table that it names.
    pub table: String,
    /// Its text.
    pub sql: String,
    /// canal's name of its kind: `CREATE`, `ALTER`, `ERASE`, `TRUNCATE`, `RENAME`.
    pub kind: &'static str,
}

/// A table, between two DDL statements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Counts its versions, from 0.
    pub version: u32,
    /// Its columns in order.
    pub columns: Vec<Column>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as SQL spells it, such as `bigint(20)` or `varchar(64)`.
    pub sql_type: String,
    /// Whether it belongs to the primary key.
    pub key: bool,
}
