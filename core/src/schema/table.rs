//! A table's name and columns, as far as entries show them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A schema (database) and a table in it, as the server writes them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The table.
    pub table: String,
}

impl TableName {
    /// The table `table` of `schema`.
    #[must_use]
    pub fn new(schema: &str, table: &str) -> Self {
        Self {
            schema: schema.into(),
            table: table.into(),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// One column, in the order of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSchema {
    /// Its name.
    pub name: String,
    /// Its type as canal's `mysqlType` shows it: `int(11) unsigned`, `varchar(32)`, `enum('a','b')`.
    pub column_type: String,
    /// MySQL's name of its character set, such as `utf8mb4` or `gbk`; none for what is not text.
    pub charset: Option<String>,
    /// Whether it belongs to the primary key.
    pub is_key: bool,
    /// Whether NULL is allowed; unknown for some sources.
    pub nullable: Option<bool>,
}

/// A table at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSchema {
    /// Its name.
    pub name: TableName,
    /// Its columns in order, those included that the server hides.
    pub columns: Vec<ColumnSchema>,
}
