//! The kinds of entries and of changes, with canal's numbers (wire-protocol reference §4).

use crate::binlog::rows::RowOp;

/// What an entry is. Only these three reach a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryType {
    /// `TRANSACTIONBEGIN`
    TransactionBegin = 1,
    /// `ROWDATA`: rows, DDL and other statements.
    RowData = 2,
    /// `TRANSACTIONEND`
    TransactionEnd = 3,
}

/// What a `ROWDATA` entry does: canal's `EventType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RowKind {
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
    /// XA COMMIT
    XaCommit = 13,
    /// XA ROLLBACK
    XaRollback = 14,
}

impl RowKind {
    /// Whether canal delivers this kind alone under `canal.instance.get.ddl.isolation`, and lets a
    /// cursor rest on it (ha-meta-store reference §5.2: QUERY is not among them).
    #[must_use]
    pub const fn is_isolated_ddl(self) -> bool {
        matches!(
            self,
            Self::Create
                | Self::Alter
                | Self::Erase
                | Self::Truncate
                | Self::Rename
                | Self::CreateIndex
                | Self::DropIndex
        )
    }

    /// Whether rows, not a statement, are what it carries.
    #[must_use]
    pub const fn is_rows(self) -> bool {
        matches!(self, Self::Insert | Self::Update | Self::Delete)
    }

    /// The kind with canal's number `n`.
    #[must_use]
    pub const fn from_number(n: i32) -> Option<Self> {
        Some(match n {
            1 => Self::Insert,
            2 => Self::Update,
            3 => Self::Delete,
            4 => Self::Create,
            5 => Self::Alter,
            6 => Self::Erase,
            7 => Self::Query,
            8 => Self::Truncate,
            9 => Self::Rename,
            10 => Self::CreateIndex,
            11 => Self::DropIndex,
            13 => Self::XaCommit,
            14 => Self::XaRollback,
            _ => return None,
        })
    }

    /// Canal's name for it, as in `type` of a flat message.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Create => "CREATE",
            Self::Alter => "ALTER",
            Self::Erase => "ERASE",
            Self::Query => "QUERY",
            Self::Truncate => "TRUNCATE",
            Self::Rename => "RENAME",
            Self::CreateIndex => "CINDEX",
            Self::DropIndex => "DINDEX",
            Self::XaCommit => "XACOMMIT",
            Self::XaRollback => "XAROLLBACK",
        }
    }
}

impl From<RowOp> for RowKind {
    fn from(op: RowOp) -> Self {
        match op {
            RowOp::Insert => Self::Insert,
            RowOp::Update => Self::Update,
            RowOp::Delete => Self::Delete,
        }
    }
}
