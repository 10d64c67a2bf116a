//! What a statement of the binlog does: its class, its names, and the tables whose columns it may change.
//!
//! A tolerant scanner, not a parser. It reads the first words, the names and the top-level items of a
//! statement and skips the rest, so that a clause it has never heard of changes nothing. It decides
//! as canal does with its SQL parser switched on (binlog-parser reference §6.3, wire-protocol
//! reference §12.5), and always decides: what it cannot read is [`StatementClass::Query`].
//!
//! When a statement looks like a definition and its table cannot be found, it [touches](Touches)
//! everything: a needless look at a table costs a query, a missed change costs the truth.
//!
//! It never panics on a text and never loops: each step consumes a token. It does not apply a
//! definition to a schema; [`create`] reads the columns of a CREATE TABLE where its text is all there is.

mod classify;
pub mod create;
pub(crate) mod cursor;
pub(crate) mod lexer;
#[cfg(test)]
mod tests;

pub use crate::flavor::Flavor;
use alloc::string::String;
use alloc::vec::Vec;

use crate::entry::kind::RowKind;
use crate::schema::table::TableName;

pub use classify::scan;

/// What the meaning of a statement depends on besides its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqlContext<'a> {
    /// The schema of names without one: the db of the QUERY event; empty for none.
    pub default_schema: &'a str,
    /// `ANSI_QUOTES` in `sql_mode` (bit `0x4`): double quotes hold names.
    pub ansi_quotes: bool,
    /// `NO_BACKSLASH_ESCAPES` in `sql_mode` (bit `0x100000`).
    pub no_backslash_escapes: bool,
    /// The server's family.
    pub flavor: Flavor,
    /// `major * 10000 + minor * 100 + patch` of the server that wrote the file: it decides which
    /// executable comments are code.
    pub server_version: u32,
    /// `lower_case_table_names` is not 0: names of schemas and tables are folded to lower case.
    pub fold_names: bool,
}

/// What XA statement it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XaVerb {
    /// XA START (or BEGIN)
    Start,
    /// XA END
    End,
    /// XA PREPARE
    Prepare,
    /// XA COMMIT
    Commit,
    /// XA ROLLBACK
    Rollback,
}

/// What a statement is, as far as entries care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementClass<'a> {
    /// BEGIN, START TRANSACTION
    Begin,
    /// COMMIT
    Commit,
    /// ROLLBACK of the whole transaction.
    Rollback,
    /// SAVEPOINT, ROLLBACK TO, RELEASE SAVEPOINT
    Savepoint,
    /// A step of an XA transaction.
    Xa {
        /// Which.
        verb: XaVerb,
        /// The text after the keyword, leading space kept: ` X'31',X'',1`.
        xid: &'a str,
    },
    /// A definition of tables or indexes: `isDdl` true.
    Ddl(RowKind),
    /// CREATE TABLE … SELECT as it was typed, which is how statement format logs it: the log has no rows of
    /// what it filled the table with. Row format logs the columns instead.
    CreateFilled,
    /// The text of a change: [`RowKind::Insert`], [`RowKind::Update`] or [`RowKind::Delete`], `isDdl` false;
    /// [`RowKind::Query`] for a SELECT, which is logged only where a function in it changes tables.
    Dml(RowKind),
    /// Canal's QUERY: `isDdl` true, no table.
    Query,
    /// Nothing that canal delivers: GRANT, SET, views and so on.
    NoEntry,
}

/// One table that the filter judges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JudgedTable {
    /// The table; after a rename, its new name.
    pub table: TableName,
    /// Its name before a rename.
    pub origin: Option<TableName>,
}

/// Which tables may have other columns, keys or names after a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touches {
    /// None.
    Nothing,
    /// These.
    Tables(Vec<TableName>),
    /// All of a schema.
    Schema(String),
    /// Perhaps any: the statement could not be read far enough.
    Everything,
}

impl Touches {
    /// Whether `name` may be among them.
    #[must_use]
    pub fn contains(&self, name: &TableName) -> bool {
        match self {
            Self::Nothing => false,
            Self::Tables(tables) => tables.contains(name),
            Self::Schema(schema) => *schema == name.schema,
            Self::Everything => true,
        }
    }

    /// The same, whatever the case of names: for where it is not known whether the server tells them apart.
    #[must_use]
    pub fn contains_in_any_case(&self, name: &TableName) -> bool {
        let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        match self {
            Self::Nothing => false,
            Self::Tables(tables) => tables
                .iter()
                .any(|table| same(&table.schema, &name.schema) && same(&table.table, &name.table)),
            Self::Schema(schema) => same(schema, &name.schema),
            Self::Everything => true,
        }
    }
}

/// What [`scan`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned<'a> {
    /// What the statement is.
    pub class: StatementClass<'a>,
    /// The schema for the entry's header: of the first table, or the schema that is created or dropped.
    pub schema: Option<String>,
    /// The table for the entry's header: the first one; for a rename, the first pair's new name.
    pub table: Option<String>,
    /// What table filters judge: the statement passes if any of these passes. Empty: not judged.
    pub subjects: Vec<JudgedTable>,
    /// What has to be looked at again.
    pub touches: Touches,
}
