//! What becomes an entry: canal's filter keys, and the filters that clients subscribed.
//!
//! An entry is made if any reader may want it: each white list in force (the configured one, or those
//! that clients put in its place) is asked, and the black list always holds.

use alloc::vec::Vec;

use crate::binlog::rows::RowOp;
use crate::config::FilterConfig;
use crate::filter::{ColumnFilter, Subjects, Verdicts};
use crate::schema::ddl::{JudgedTable, Scanned, StatementClass};
use crate::schema::table::TableName;
use crate::store::segment::SubjectId;

/// What becomes an entry.
#[derive(Debug)]
pub struct Selection {
    config: FilterConfig,
    columns: ColumnFilter,
    subjects: Subjects,
    filters: Vec<Verdicts>,
}

/// What a statement becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No entry.
    Dropped,
    /// An entry judged by readers as this subject.
    Entry(SubjectId),
}

impl Selection {
    /// Entries that pass any of `filters`, by the rules of `config`.
    #[must_use]
    pub fn new(config: FilterConfig, columns: ColumnFilter, filters: Vec<Verdicts>) -> Self {
        Self {
            config,
            columns,
            subjects: Subjects::new(),
            filters,
        }
    }

    /// From here on entries are made that pass any of `filters`.
    pub fn replace_filters(&mut self, filters: Vec<Verdicts>) {
        self.filters = filters;
    }

    /// The names behind subjects.
    #[must_use]
    pub const fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// The subject of a table whose rows are wanted; none if no filter wants them.
    pub fn table(&mut self, name: &TableName) -> Option<SubjectId> {
        if self.config.drop_rows {
            return None;
        }
        let subject = self.subjects.intern_table(name);
        self.passes(subject).then_some(subject)
    }

    /// Whether rows changed this way are wanted at all.
    #[must_use]
    pub const fn rows(&self, op: RowOp) -> bool {
        !match op {
            RowOp::Insert => self.config.drop_insert,
            RowOp::Update => self.config.drop_update,
            RowOp::Delete => self.config.drop_delete,
        }
    }

    /// Whether a column of a table is shown.
    #[must_use]
    pub fn column(&self, table: &TableName, column: &str) -> bool {
        self.columns.keeps(&table.schema, &table.table, column)
    }

    /// Whether the texts behind rows and the settings of statements are shown, and changes logged as
    /// statements stop the destination.
    #[must_use]
    pub const fn annotations(&self) -> bool {
        !self.config.drop_dml
    }

    /// What a statement becomes (binlog-parser reference §6.3).
    pub fn statement(&mut self, scanned: &Scanned<'_>) -> Verdict {
        match scanned.class {
            StatementClass::Ddl(_) | StatementClass::CreateFilled if self.config.drop_ddl => {
                Verdict::Dropped
            }
            StatementClass::Dml(_) if self.config.drop_dml => Verdict::Dropped,
            StatementClass::Query if self.config.drop_dcl || self.config.drop_ddl => {
                Verdict::Dropped
            }
            StatementClass::Ddl(_) | StatementClass::CreateFilled => self.judged(&scanned.subjects),
            StatementClass::Dml(_) | StatementClass::Query => Verdict::Entry(SubjectId::NONE),
            StatementClass::Begin
            | StatementClass::Commit
            | StatementClass::Rollback
            | StatementClass::Savepoint
            | StatementClass::Xa { .. }
            | StatementClass::NoEntry => Verdict::Dropped,
        }
    }

    /// Whether a statement-format change may be passed over: such changes are not wanted, or all of its
    /// tables are excluded.
    pub fn passes_over(&mut self, tables: &[JudgedTable]) -> bool {
        self.config.drop_dml || (!tables.is_empty() && self.judged(tables) == Verdict::Dropped)
    }

    fn judged(&mut self, tables: &[JudgedTable]) -> Verdict {
        if tables.is_empty() {
            return Verdict::Entry(SubjectId::NONE);
        }
        let subject = self.subjects.intern_statement(tables);
        if self.passes(subject) {
            Verdict::Entry(subject)
        } else {
            Verdict::Dropped
        }
    }

    fn passes(&mut self, subject: SubjectId) -> bool {
        let Self {
            filters, subjects, ..
        } = self;
        filters
            .iter_mut()
            .any(|filter| filter.passes(subjects, subject))
    }
}
