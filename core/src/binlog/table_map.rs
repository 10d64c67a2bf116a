//! TABLE_MAP: what a table looks like to the rows events after it (binlog-parser reference §2.5).

use alloc::string::String;
use alloc::vec::Vec;

/// A column type of the binlog, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ColumnType(pub u8);

/// One column of a table map, with what the optional metadata says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapColumn {
    /// The type byte as it stands: ENUM, SET and CHAR all appear as STRING (254).
    pub column_type: ColumnType,
    /// The type's metadata: for types 254 and 246 high byte first, else as the little-endian number.
    pub meta: u16,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// SIGNEDNESS; none for what is not numeric and where the server does not say.
    pub unsigned: Option<bool>,
    /// Collation id from the charset metadata.
    pub collation: Option<u16>,
    /// COLUMN_NAME, with FULL metadata.
    pub name: Option<String>,
    /// Members of an ENUM or SET in the column's character set, with FULL metadata.
    pub members: Option<Vec<Vec<u8>>>,
    /// Whether it belongs to the primary key; known with FULL metadata alone.
    pub is_key: Option<bool>,
    /// COLUMN_VISIBILITY
    pub visible: Option<bool>,
    /// VECTOR_DIMENSIONALITY
    pub vector_dimension: Option<u32>,
    /// GEOMETRY_TYPE
    pub geometry_type: Option<u8>,
}

/// A TABLE_MAP event, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMap {
    /// The id that rows events name.
    pub table_id: u64,
    /// The schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Its columns.
    pub columns: Vec<MapColumn>,
}

impl TableMap {
    /// Whether names came with it: FULL metadata, the map describes itself.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.columns.is_empty() && self.columns.iter().all(|c| c.name.is_some())
    }
}
