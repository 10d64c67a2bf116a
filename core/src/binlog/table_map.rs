//! TABLE_MAP: what a table looks like to the rows events after it (binlog-parser reference §2.5).
//!
//! The same map precedes nearly every rows event, so it is read in two steps: [`RawTableMap`] splits off
//! the table id, and its `definition`, equal bytes for equal tables, is what plans are cached by;
//! [`TableMap`] reads it all. The names can be had without the columns, so that a table which nobody
//! wants cannot fail on a column type that nobody knows.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

use crate::binlog::event::EventType;
use crate::binlog::format::{Flavor, Format};
use crate::binlog::optional_metadata;
use crate::binlog::rows::{POST_HEADER_V1, table_id_bytes};
use crate::read::{ReadError, Reader};

/// Most columns of a table: the server's own limit.
pub const COLUMNS_MAX: usize = 4096;

/// A column type of the binlog, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ColumnType(pub u8);

impl ColumnType {
    /// TINYINT
    pub const TINY: Self = Self(1);
    /// SMALLINT
    pub const SHORT: Self = Self(2);
    /// INT
    pub const LONG: Self = Self(3);
    /// FLOAT
    pub const FLOAT: Self = Self(4);
    /// DOUBLE
    pub const DOUBLE: Self = Self(5);
    /// Nothing but NULL.
    pub const NULL: Self = Self(6);
    /// TIMESTAMP, as before 5.6.
    pub const TIMESTAMP: Self = Self(7);
    /// BIGINT
    pub const LONGLONG: Self = Self(8);
    /// MEDIUMINT
    pub const INT24: Self = Self(9);
    /// DATE
    pub const DATE: Self = Self(10);
    /// TIME, as before 5.6.
    pub const TIME: Self = Self(11);
    /// DATETIME, as before 5.6.
    pub const DATETIME: Self = Self(12);
    /// YEAR
    pub const YEAR: Self = Self(13);
    /// VARCHAR, VARBINARY
    pub const VARCHAR: Self = Self(15);
    /// BIT
    pub const BIT: Self = Self(16);
    /// TIMESTAMP
    pub const TIMESTAMP2: Self = Self(17);
    /// DATETIME
    pub const DATETIME2: Self = Self(18);
    /// TIME
    pub const TIME2: Self = Self(19);
    /// A multi-valued index; never in rows.
    pub const TYPED_ARRAY: Self = Self(20);
    /// A compressed BLOB or TEXT, MariaDB.
    pub const BLOB_COMPRESSED: Self = Self(140);
    /// A compressed VARCHAR or VARBINARY, MariaDB.
    pub const VARCHAR_COMPRESSED: Self = Self(141);
    /// VECTOR, MySQL 9.
    pub const VECTOR: Self = Self(242);
    /// JSON, MySQL.
    pub const JSON: Self = Self(245);
    /// DECIMAL
    pub const NEWDECIMAL: Self = Self(246);
    /// ENUM; appears as STRING.
    pub const ENUM: Self = Self(247);
    /// SET; appears as STRING.
    pub const SET: Self = Self(248);
    /// TINYBLOB, TINYTEXT; appears as BLOB.
    pub const TINY_BLOB: Self = Self(249);
    /// MEDIUMBLOB, MEDIUMTEXT; appears as BLOB.
    pub const MEDIUM_BLOB: Self = Self(250);
    /// LONGBLOB, LONGTEXT; appears as BLOB.
    pub const LONG_BLOB: Self = Self(251);
    /// BLOB, TEXT of any size.
    pub const BLOB: Self = Self(252);
    /// VARCHAR of tables from before 5.0.
    pub const VAR_STRING: Self = Self(253);
    /// CHAR, BINARY, ENUM, SET: [`MapColumn::real_type`] tells.
    pub const STRING: Self = Self(254);
    /// GEOMETRY and its kin.
    pub const GEOMETRY: Self = Self(255);
}

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

impl MapColumn {
    /// The type that STRING stands for: ENUM, SET or STRING itself (binlog-parser reference §3.2).
    #[must_use]
    pub const fn real_type(&self) -> ColumnType {
        match self.column_type {
            // two bits of the length of a long CHAR are hidden in the type's byte, inverted
            ColumnType::STRING => ColumnType((self.meta >> 8) as u8 | 0x30),
            other => other,
        }
    }

    /// Whether it counts as numeric in the order of SIGNEDNESS. YEAR does.
    pub(crate) const fn is_numeric(&self) -> bool {
        matches!(
            self.column_type,
            ColumnType::TINY
                | ColumnType::SHORT
                | ColumnType::INT24
                | ColumnType::LONG
                | ColumnType::LONGLONG
                | ColumnType::NEWDECIMAL
                | ColumnType::FLOAT
                | ColumnType::DOUBLE
                | ColumnType::YEAR
        )
    }

    /// Whether it counts as a character column in the order of the charset metadata. The families of
    /// servers disagree about what has a character set.
    pub(crate) const fn is_character(&self, flavor: Flavor) -> bool {
        match self.real_type() {
            ColumnType::STRING
            | ColumnType::VAR_STRING
            | ColumnType::VARCHAR
            | ColumnType::TINY_BLOB
            | ColumnType::MEDIUM_BLOB
            | ColumnType::LONG_BLOB
            | ColumnType::BLOB => true,
            ColumnType::VECTOR => matches!(flavor, Flavor::Mysql),
            ColumnType::GEOMETRY | ColumnType::BLOB_COMPRESSED | ColumnType::VARCHAR_COMPRESSED => {
                matches!(flavor, Flavor::Mariadb)
            }
            _ => false,
        }
    }

    /// Whether it is an ENUM or SET.
    pub(crate) const fn is_enum_or_set(&self) -> bool {
        matches!(self.real_type(), ColumnType::ENUM | ColumnType::SET)
    }
}

/// A TABLE_MAP event whose columns are not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawTableMap<'a> {
    /// The id that rows events name.
    pub table_id: u64,
    /// What follows id and flags: names, columns, metadata. Equal bytes mean equal tables.
    pub definition: &'a [u8],
}

impl<'a> RawTableMap<'a> {
    /// Splits the body of a TABLE_MAP event, checksum removed.
    ///
    /// # Errors
    /// It is cut off.
    #[inline]
    pub fn parse(body: &'a [u8], format: &Format) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        let length = format
            .post_header_length(EventType::TABLE_MAP)
            .unwrap_or(POST_HEADER_V1);
        let table_id_bytes = table_id_bytes(length, &r)?;
        let table_id = r.uint(table_id_bytes, "table id")?;
        r.u16("table map flags")?;
        Ok(Self {
            table_id,
            definition: r.rest(),
        })
    }

    /// Schema and table.
    ///
    /// # Errors
    /// The definition is cut off in them, or they are not UTF-8.
    #[inline]
    pub fn names(&self) -> Result<(&'a str, &'a str), ReadError> {
        read_names(&mut Reader::new(self.definition))
    }

    /// Reads everything.
    ///
    /// # Errors
    /// The definition is cut off or contradicts itself, or a column is of an unknown type.
    pub fn read(&self, flavor: Flavor) -> Result<TableMap, TableMapFault> {
        let mut r = Reader::new(self.definition);
        let (schema, table) = read_names(&mut r).map_err(|error| TableMapFault {
            table: format!("table id {}", self.table_id),
            problem: TableMapProblem::Field(error),
        })?;
        let columns = read_columns(&mut r, flavor).map_err(|problem| TableMapFault {
            table: format!("{schema}.{table}"),
            problem,
        })?;
        Ok(TableMap {
            table_id: self.table_id,
            schema: schema.into(),
            table: table.into(),
            columns,
        })
    }
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
        is_full(&self.columns)
    }
}

/// A TABLE_MAP that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("table map of {table}: {problem}")]
pub struct TableMapFault {
    /// Schema and table, or the table id if not even they can be read.
    pub table: String,
    /// What is wrong.
    pub problem: TableMapProblem,
}

/// What is wrong with a TABLE_MAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TableMapProblem {
    /// A field is cut off or makes no sense.
    #[error("{0}")]
    Field(#[from] ReadError),
    /// A column of an unknown type, so that nothing tells where the next one's metadata are.
    #[error(
        "column {column} is of type {}, which canald does not know: exclude the table with \
         canal.instance.filter.black.regex, or use a newer canald",
        .column_type.0
    )]
    UnknownType {
        /// Which column, from 1.
        column: usize,
        /// Its type.
        column_type: ColumnType,
    },
}

fn read_names<'a>(r: &mut Reader<'a>) -> Result<(&'a str, &'a str), ReadError> {
    let schema = read_name(r, "schema name")?;
    let table = read_name(r, "table name")?;
    Ok((schema, table))
}

/// A name, its length before it and a NUL after it.
fn read_name<'a>(r: &mut Reader<'a>, field: &'static str) -> Result<&'a str, ReadError> {
    let length = usize::from(r.u8(field)?);
    let error = r.invalid(field, "is not UTF-8");
    let name = core::str::from_utf8(r.bytes(length, field)?).map_err(|_| error)?;
    r.u8(field)?;
    Ok(name)
}

fn read_columns(r: &mut Reader<'_>, flavor: Flavor) -> Result<Vec<MapColumn>, TableMapProblem> {
    let count = r.length("column count")?;
    if count > COLUMNS_MAX {
        return Err(r.invalid("column count", "is beyond 4096").into());
    }
    let types = r.bytes(count, "column types")?;
    let mut meta = Reader::new(r.lenenc_bytes("column metadata")?);
    let nullable = r.bytes(count.div_ceil(8), "null bitmap")?;
    let mut columns = Vec::with_capacity(count);
    for (index, &number) in types.iter().enumerate() {
        let column_type = ColumnType(number);
        let Some(meta) = read_meta(&mut meta, column_type)? else {
            return Err(TableMapProblem::UnknownType {
                column: index + 1,
                column_type,
            });
        };
        columns.push(MapColumn {
            column_type,
            meta,
            nullable: nullable[index / 8] >> (index % 8) & 1 != 0,
            unsigned: None,
            collation: None,
            name: None,
            members: None,
            is_key: None,
            visible: None,
            vector_dimension: None,
            geometry_type: None,
        });
    }
    if !meta.is_empty() {
        return Err(meta
            .invalid("column metadata", "is longer than the columns need")
            .into());
    }
    optional_metadata::read(r, &mut columns, flavor)?;
    if is_full(&columns) {
        for column in &mut columns {
            column.is_key.get_or_insert(false);
        }
    }
    Ok(columns)
}

fn is_full(columns: &[MapColumn]) -> bool {
    !columns.is_empty() && columns.iter().all(|column| column.name.is_some())
}

/// The metadata of a column; none if the type, and with it their length, is unknown.
fn read_meta(r: &mut Reader<'_>, column_type: ColumnType) -> Result<Option<u16>, ReadError> {
    let field = "column metadata";
    Ok(Some(match column_type {
        ColumnType::TINY
        | ColumnType::SHORT
        | ColumnType::LONG
        | ColumnType::NULL
        | ColumnType::TIMESTAMP
        | ColumnType::LONGLONG
        | ColumnType::INT24
        | ColumnType::DATE
        | ColumnType::TIME
        | ColumnType::DATETIME
        | ColumnType::YEAR => 0,
        ColumnType::FLOAT
        | ColumnType::DOUBLE
        | ColumnType::TIMESTAMP2
        | ColumnType::DATETIME2
        | ColumnType::TIME2
        | ColumnType::BLOB_COMPRESSED
        | ColumnType::VECTOR
        | ColumnType::JSON
        | ColumnType::TINY_BLOB
        | ColumnType::MEDIUM_BLOB
        | ColumnType::LONG_BLOB
        | ColumnType::BLOB
        | ColumnType::GEOMETRY => u16::from(r.u8(field)?),
        ColumnType::VARCHAR | ColumnType::BIT | ColumnType::VARCHAR_COMPRESSED => r.u16(field)?,
        ColumnType::NEWDECIMAL
        | ColumnType::ENUM
        | ColumnType::SET
        | ColumnType::VAR_STRING
        | ColumnType::STRING => u16::from_be_bytes(r.array(field)?),
        ColumnType::TYPED_ARRAY => {
            let element = r.u8(field)?;
            r.bytes(array_meta_bytes(ColumnType(element)), field)?;
            u16::from(element)
        }
        _ => return Ok(None),
    }))
}

/// Bytes after the element type of a TYPED_ARRAY: those of the element, but a VARCHAR has one more.
const fn array_meta_bytes(element: ColumnType) -> usize {
    match element {
        ColumnType::VARCHAR => 3,
        ColumnType::NEWDECIMAL => 2,
        ColumnType::TIME2 | ColumnType::DATETIME2 => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    /// A definition of `db.t` with the given parts.
    fn definition(types: &[u8], meta: &[u8], nullable: &[u8], optional: &[u8]) -> Vec<u8> {
        let mut out = Vec::from(&b"\x02db\0\x01t\0"[..]);
        out.push(types.len() as u8);
        out.extend(types);
        out.push(meta.len() as u8);
        out.extend(meta);
        out.extend(nullable);
        out.extend(optional);
        out
    }

    fn read(definition: &[u8], flavor: Flavor) -> Result<TableMap, TableMapFault> {
        RawTableMap {
            table_id: 253,
            definition,
        }
        .read(flavor)
    }

    #[test]
    fn id_and_flags_are_not_part_of_the_definition() {
        let mut body = vec![253, 0, 0, 0, 0, 0, 1, 0];
        body.extend(definition(&[3], &[], &[1], &[]));
        let raw = RawTableMap::parse(&body, &Format::initial()).unwrap();
        assert_eq!(raw.table_id, 253);
        assert_eq!(raw.definition, &body[8..]);
        assert_eq!(raw.names(), Ok(("db", "t")));
        let map = raw.read(Flavor::Mysql).unwrap();
        assert_eq!(
            (map.table_id, map.schema.as_str(), map.table.as_str()),
            (253, "db", "t")
        );
        assert!(map.columns[0].nullable);
        assert!(!map.is_full());
        assert!(RawTableMap::parse(&body[..7], &Format::initial()).is_err());
    }

    #[test]
    fn names_can_be_read_without_columns() {
        let raw = RawTableMap {
            table_id: 1,
            definition: &definition(&[222], &[], &[0], &[]),
        };
        assert_eq!(raw.names(), Ok(("db", "t")));
        let fault = raw.read(Flavor::Mysql).unwrap_err();
        let column_type = ColumnType(222);
        assert_eq!(
            fault.problem,
            TableMapProblem::UnknownType {
                column: 1,
                column_type
            }
        );
        assert!(
            fault
                .to_string()
                .starts_with("table map of db.t: column 1 is of type 222")
        );
        let raw = RawTableMap {
            table_id: 1,
            definition: b"\x02db",
        };
        assert_eq!(raw.names().unwrap_err().field, "schema name");
        assert_eq!(raw.read(Flavor::Mysql).unwrap_err().table, "table id 1");
    }

    #[test]
    fn every_type_has_its_metadata() {
        // FLOAT, VARCHAR(300), BIT(10), DATETIME(6), DECIMAL(10,3), CHAR(200) utf8mb4, ENUM, SET, BLOB, INT
        let types = [4, 15, 16, 18, 246, 254, 254, 254, 252, 3];
        let meta = b"\x04\x2c\x01\x02\x01\x06\x0a\x03\xce\x20\xf7\x01\xf8\x08\x02";
        let map = read(&definition(&types, meta, &[0, 2], &[]), Flavor::Mysql).unwrap();
        let meta: Vec<_> = map.columns.iter().map(|column| column.meta).collect();
        assert_eq!(
            meta,
            [4, 300, 0x0102, 6, 0x0a03, 0xce20, 0xf701, 0xf808, 2, 0]
        );
        let real: Vec<_> = map.columns[5..8].iter().map(MapColumn::real_type).collect();
        assert_eq!(
            real,
            [ColumnType::STRING, ColumnType::ENUM, ColumnType::SET]
        );
        assert!(map.columns[9].nullable);
        assert!(!map.columns[8].nullable);
    }

    #[test]
    fn a_typed_array_carries_its_elements_metadata() {
        let types = [20, 20, 20, 3];
        let meta = b"\x0f\x00\x04\x00\xf6\x0a\x02\x08";
        let map = read(&definition(&types, meta, &[0], &[]), Flavor::Mysql).unwrap();
        let meta: Vec<_> = map.columns.iter().map(|column| column.meta).collect();
        assert_eq!(meta, [15, 246, 8, 0]);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let whole = definition(&[15, 3], &[1, 2], &[0], &[]);
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut], Flavor::Mysql).is_err(), "cut at {cut}");
        }
        let fault = read(&definition(&[3], &[1], &[0], &[]), Flavor::Mysql).unwrap_err();
        assert!(fault.to_string().contains("longer than the columns need"));
        let mut many = Vec::from(&b"\x02db\0\x01t\0\xfc\x01\x10"[..]);
        many.resize(10_000, 3);
        let fault = read(&many, Flavor::Mysql).unwrap_err();
        assert!(fault.to_string().contains("beyond 4096"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            types in proptest::collection::vec(any::<u8>(), 0..10),
            tail in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut bytes = Vec::from(&b"\x02db\0\x01t\0"[..]);
            bytes.push(types.len() as u8);
            bytes.extend(&types);
            bytes.extend(&tail);
            let _ = read(&bytes, Flavor::Mysql);
            let _ = read(&tail, Flavor::Mariadb);
        }
    }
}
