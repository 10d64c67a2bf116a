//! What a TABLE_MAP says about a column's type, whether a type's text can mean the same, and the text
//! that a type has when nothing but the map is known.
//!
//! A map tells classes and sizes (binlog-parser reference §2.5): not display widths, nor TEXT from
//! BLOB without a collation, nor UUID from BINARY(16). Two facts [disagree](Mismatch) only if no
//! column could have both.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use thiserror::Error;

use super::column_type::{SqlType, character_bytes_max, quote_member, same_charset};
use super::resolve::Charsets;
use crate::binlog::table_map::MapColumn;
use crate::schema::table::ColumnSchema;

/// The collation of binary strings.
const BINARY_COLLATION: u16 = 63;

/// The real types that a STRING hides.
const REAL_ENUM: u8 = 247;
const REAL_SET: u8 = 248;

/// Bytes in which MariaDB stores types of its own as CHAR: INET6, UUID and INET4.
const ADDRESS_BYTES: u32 = 16;
const INET4_BYTES: u32 = 4;

/// A column as its table map describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An integer type, by the servers' name.
    Integer(&'static str),
    Float,
    Double,
    /// Precision and scale.
    Decimal(u32, u32),
    /// The DECIMAL of before 5.0.
    OldDecimal,
    /// Bits.
    Bit(u32),
    Year,
    Date,
    /// `time`, `datetime` or `timestamp`, and its fractional digits.
    Temporal(&'static str, u32),
    /// The same without fractional digits in the map: before 5.6, or MariaDB's own format.
    OldTemporal(&'static str),
    /// CHAR, BINARY and types stored like them: bytes at most.
    Char(u32),
    /// VARCHAR, VARBINARY: bytes at most.
    Varchar(u32),
    /// BLOB, TEXT: bytes of the length.
    Blob(u32),
    /// Bytes of the member's number.
    Enum(u32),
    /// Bytes of the bit mask.
    Set(u32),
    Json,
    Geometry,
    Vector,
    /// A type number that no server known here writes.
    Unknown(u8),
}

impl Shape {
    /// What the map says of `column`.
    pub(crate) fn of(column: &MapColumn) -> Self {
        let meta = u32::from(column.meta);
        match column.column_type.0 {
            1 => Self::Integer("tinyint"),
            2 => Self::Integer("smallint"),
            3 => Self::Integer("int"),
            8 => Self::Integer("bigint"),
            9 => Self::Integer("mediumint"),
            4 => Self::Float,
            5 => Self::Double,
            0 => Self::OldDecimal,
            246 => Self::Decimal(meta >> 8, meta & 0xff),
            16 => Self::Bit((meta >> 8) * 8 + (meta & 0xff)),
            13 => Self::Year,
            10 | 14 => Self::Date,
            7 => Self::OldTemporal("timestamp"),
            11 => Self::OldTemporal("time"),
            12 => Self::OldTemporal("datetime"),
            17 => Self::Temporal("timestamp", meta),
            18 => Self::Temporal("datetime", meta),
            19 => Self::Temporal("time", meta),
            15 | 253 => Self::Varchar(meta),
            141 => Self::Varchar(meta.saturating_sub(1)),
            140 | 252 => Self::Blob(meta),
            254 => Self::of_string(column.meta),
            242 => Self::Vector,
            245 => Self::Json,
            255 => Self::Geometry,
            other => Self::Unknown(other),
        }
    }

    /// A STRING's metadata holds its real type, and a length whose upper bits hide in it
    /// (binlog-parser reference §3.2).
    fn of_string(meta: u16) -> Self {
        let [real, length] = meta.to_be_bytes();
        let upper = u32::from((real & 0x30) ^ 0x30) << 4;
        match real {
            REAL_ENUM => Self::Enum(u32::from(length)),
            REAL_SET => Self::Set(u32::from(length)),
            _ => Self::Char(u32::from(length) | upper),
        }
    }
}

/// Why a known column cannot be the one in the map.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Mismatch {
    /// Another class or size of type.
    #[error("the binlog has {binlog}, known is {known}")]
    Type {
        /// The type by the map.
        binlog: String,
        /// The type as known.
        known: String,
    },
    /// The map says signed, the type unsigned, or the other way.
    #[error("the binlog says unsigned is {binlog}, known is {known}")]
    Signedness {
        /// Whether it is unsigned by the map.
        binlog: bool,
        /// The type as known.
        known: String,
    },
    /// NULL is allowed in one and not in the other.
    #[error("the binlog says NULL is {}, known is {}", allowed(*.binlog), allowed(!*.binlog))]
    Nullability {
        /// Whether NULL is allowed by the map.
        binlog: bool,
    },
    /// Other character sets.
    #[error("the binlog has character set {binlog}, known is {known}")]
    Charset {
        /// The character set by the map.
        binlog: String,
        /// The character set as known.
        known: String,
    },
}

const fn allowed(yes: bool) -> &'static str {
    if yes { "allowed" } else { "not allowed" }
}

/// Checks all that the map says about a column against what is known of it.
pub(crate) fn check(
    column: &MapColumn,
    known: &ColumnSchema,
    charsets: &Charsets<'_>,
) -> Result<(), Mismatch> {
    check_type(column, known, charsets)?;
    if known
        .nullable
        .is_some_and(|nullable| nullable != column.nullable)
    {
        return Err(Mismatch::Nullability {
            binlog: column.nullable,
        });
    }
    let binlog = column
        .collation
        .and_then(|collation| (charsets.name)(collation));
    match (binlog, known.charset.as_deref()) {
        (Some(binlog), Some(known)) if !same_charset(binlog, known) => Err(Mismatch::Charset {
            binlog: binlog.into(),
            known: known.into(),
        }),
        _ => Ok(()),
    }
}

/// Checks class, sizes and signedness alone.
pub(crate) fn check_type(
    column: &MapColumn,
    known: &ColumnSchema,
    charsets: &Charsets<'_>,
) -> Result<(), Mismatch> {
    let sql_type = SqlType::parse(&known.column_type);
    let shape = Shape::of(column);
    let fits = sql_type.as_ref().is_some_and(|sql_type| {
        fits(shape, sql_type, known.charset.as_deref()) && text_agrees(column, sql_type)
    });
    if !fits {
        let binlog = synthesise(column, charsets);
        return Err(Mismatch::Type {
            binlog,
            known: known.column_type.clone(),
        });
    }
    match (column.unsigned, sql_type) {
        // YEAR counts as unsigned in the map, and no YEAR is called so.
        (Some(binlog), Some(sql_type)) if shape != Shape::Year && binlog != sql_type.unsigned => {
            Err(Mismatch::Signedness {
                binlog,
                known: known.column_type.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// Whether the type `known` is stored as `shape`.
fn fits(shape: Shape, known: &SqlType, charset: Option<&str>) -> bool {
    let name = known.name.as_ref();
    let size = known.number(0);
    match shape {
        Shape::Integer(integer) => name == integer,
        Shape::Float => name == "float",
        Shape::Double => name == "double",
        Shape::Decimal(precision, scale) => {
            name == "decimal" && size == Some(precision) && known.number(1) == Some(scale)
        }
        Shape::OldDecimal => name == "decimal",
        Shape::Bit(bits) => name == "bit" && size == Some(bits),
        Shape::Year => name == "year",
        Shape::Date => name == "date",
        Shape::Temporal(temporal, digits) => name == temporal && size.unwrap_or(0) == digits,
        Shape::OldTemporal(temporal) => name == temporal,
        Shape::Char(bytes) => match name {
            "char" => characters_fit(size, charset, bytes),
            "binary" => size == Some(bytes),
            "inet6" | "uuid" => bytes == ADDRESS_BYTES,
            "inet4" => bytes == INET4_BYTES,
            _ => !is_builtin(name),
        },
        Shape::Varchar(bytes) => match name {
            "varchar" => characters_fit(size, charset, bytes),
            "varbinary" => size == Some(bytes),
            // MariaDB's is a VARBINARY of four bytes a number.
            "vector" => size.and_then(|numbers| numbers.checked_mul(4)) == Some(bytes),
            _ => !is_builtin(name),
        },
        Shape::Blob(length) => match name {
            "tinyblob" | "tinytext" => length == 1,
            "blob" | "text" => length == 2 || size.is_some(),
            "mediumblob" | "mediumtext" => length == 3,
            // In MariaDB JSON is another name for LONGTEXT.
            "longblob" | "longtext" | "json" => length == 4,
            _ => !is_builtin(name),
        },
        Shape::Enum(bytes) => name == "enum" && enum_bytes(known.arguments.len()) == bytes,
        Shape::Set(bytes) => name == "set" && set_bytes(known.arguments.len()) == bytes,
        Shape::Json => name == "json",
        Shape::Geometry => is_geometry(name),
        Shape::Vector => name == "vector",
        Shape::Unknown(_) => false,
    }
}

/// Where the map knows the collation: whether both are text or both binary.
fn text_agrees(column: &MapColumn, known: &SqlType) -> bool {
    let Some(collation) = column.collation else {
        return true;
    };
    match known.name.as_ref() {
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
            collation != BINARY_COLLATION
        }
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
            collation == BINARY_COLLATION
        }
        _ => true,
    }
}

/// Whether `characters` of the character set take `bytes`; yes if the set is unknown.
fn characters_fit(characters: Option<u32>, charset: Option<&str>, bytes: u32) -> bool {
    let Some(characters) = characters else {
        return false;
    };
    match charset.and_then(character_bytes_max) {
        Some(each) => characters.checked_mul(each) == Some(bytes),
        None => characters <= bytes,
    }
}

const fn enum_bytes(members: usize) -> u32 {
    if members < 256 { 1 } else { 2 }
}

const fn set_bytes(members: usize) -> u32 {
    match members.div_ceil(8) {
        bytes @ 0..=4 => bytes as u32,
        _ => 8,
    }
}

fn is_geometry(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "geometry",
        "point",
        "linestring",
        "polygon",
        "multipoint",
        "multilinestring",
        "multipolygon",
        "geometrycollection",
        "geomcollection",
    ];
    NAMES.contains(&name)
}

/// Whether the name is of a type known here: any other may be a plugin's, stored as a string.
fn is_builtin(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "tinyint",
        "smallint",
        "mediumint",
        "int",
        "bigint",
        "float",
        "double",
        "decimal",
        "bit",
        "year",
        "date",
        "time",
        "datetime",
        "timestamp",
        "char",
        "binary",
        "varchar",
        "varbinary",
        "tinyblob",
        "tinytext",
        "blob",
        "text",
        "mediumblob",
        "mediumtext",
        "longblob",
        "longtext",
        "enum",
        "set",
        "json",
        "vector",
        "inet4",
        "inet6",
        "uuid",
    ];
    NAMES.contains(&name) || is_geometry(name)
}

/// The type's text as far as the map tells.
pub(crate) fn synthesise(column: &MapColumn, charsets: &Charsets<'_>) -> String {
    let binary = column.collation == Some(BINARY_COLLATION);
    let characters = |bytes: u32| {
        let charset = column
            .collation
            .and_then(|collation| (charsets.name)(collation));
        bytes / charset.and_then(character_bytes_max).unwrap_or(1)
    };
    let sql_type = match Shape::of(column) {
        Shape::Integer(name) => SqlType::plain(name),
        Shape::Float => SqlType::plain("float"),
        Shape::Double => SqlType::plain("double"),
        Shape::Decimal(precision, scale) => SqlType::sized("decimal", &[precision, scale]),
        Shape::OldDecimal => SqlType::plain("decimal"),
        Shape::Bit(bits) => SqlType::sized("bit", &[bits]),
        Shape::Year => return "year".into(),
        Shape::Date => SqlType::plain("date"),
        Shape::Temporal(name, 0) | Shape::OldTemporal(name) => SqlType::plain(name),
        Shape::Temporal(name, digits) => SqlType::sized(name, &[digits]),
        Shape::Char(bytes) if binary => SqlType::sized("binary", &[bytes]),
        Shape::Char(bytes) => SqlType::sized("char", &[characters(bytes)]),
        Shape::Varchar(bytes) if binary => SqlType::sized("varbinary", &[bytes]),
        Shape::Varchar(bytes) => SqlType::sized("varchar", &[characters(bytes)]),
        Shape::Blob(length) => SqlType::plain(blob_name(length, binary)),
        Shape::Enum(_) => with_members("enum", column, charsets),
        Shape::Set(_) => with_members("set", column, charsets),
        Shape::Json => SqlType::plain("json"),
        Shape::Geometry => SqlType::plain(geometry_name(column.geometry_type)),
        Shape::Vector => match column.vector_dimension {
            Some(numbers) => SqlType::sized("vector", &[numbers]),
            None => SqlType::plain("vector"),
        },
        Shape::Unknown(number) => return format!("unknown({number})"),
    };
    SqlType {
        unsigned: column.unsigned == Some(true),
        ..sql_type
    }
    .to_string()
}

fn with_members(name: &'static str, column: &MapColumn, charsets: &Charsets<'_>) -> SqlType {
    let members = column.members.as_deref().unwrap_or_default();
    // Without a collation the bytes are most likely UTF-8, collation 45.
    let collation = column.collation.unwrap_or(45);
    let quoted = |member: &Vec<u8>| quote_member(&(charsets.decode)(collation, member));
    SqlType {
        arguments: members.iter().map(quoted).collect(),
        ..SqlType::plain(name)
    }
}

const fn blob_name(length: u32, binary: bool) -> &'static str {
    match (length, binary) {
        (1, true) => "tinyblob",
        (1, false) => "tinytext",
        (3, true) => "mediumblob",
        (3, false) => "mediumtext",
        (4, true) => "longblob",
        (4, false) => "longtext",
        (_, true) => "blob",
        (_, false) => "text",
    }
}

const fn geometry_name(number: Option<u8>) -> &'static str {
    match number {
        Some(1) => "point",
        Some(2) => "linestring",
        Some(3) => "polygon",
        Some(4) => "multipoint",
        Some(5) => "multilinestring",
        Some(6) => "multipolygon",
        Some(7) => "geomcollection",
        _ => "geometry",
    }
}
