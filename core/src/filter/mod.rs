//! Which tables and columns a client wants: canal's filters.
//!
//! [`TableFilter`] is one list of patterns with canal's exact semantics (binlog-parser reference §5.2),
//! [`TableJudge`] the white lists and the black list together. Entries carry the number of their
//! [`Subject`], interned by [`Subjects`]; [`Verdicts`] judges each subject once per filter, so that a
//! get costs an array look-up per entry. [`ColumnFilter`] chooses columns.

mod column;
mod pattern;
mod subject;
mod table;

pub use column::{ColumnFilter, ColumnFilterError};
pub use pattern::PatternProblem;
pub use subject::{SUBJECTS_CROWDED, SUBJECTS_MAX, Subject, Subjects, Verdicts};
pub use table::{
    BACKTRACK_MAX, FILTER_BYTES_MAX, FilterError, FilterWarning, ListKind, TableFilter, TableJudge,
};
