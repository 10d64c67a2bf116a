//! What a column's binlog type, its metadata and its schema make of it (wire-protocol reference §13,
//! binlog-parser reference §3.1).

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::binlog::decimal::DecimalShape;
use crate::binlog::table_map::MapColumn;
use crate::binlog::temporal::Fraction;
use crate::binlog::value::le_uint;
use crate::mysql::charset::{BINARY_COLLATION, Charset};
use crate::pipeline::plan::{CharsetScope, ColumnProblem, EncodeSettings, MemberText};
use crate::read::ReadProblem;
use crate::schema::table::ColumnSchema;

/// Where a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// After so many bytes.
    Fixed(u32),
    /// After the length that this many bytes in front of it say.
    Prefixed(u8),
}

impl Width {
    /// Takes a value from the start of `rest`.
    #[inline]
    pub(crate) fn take<'a>(self, rest: &mut &'a [u8]) -> Result<&'a [u8], ReadProblem> {
        let (len, behind) = match self {
            Self::Fixed(len) => (len as usize, *rest),
            Self::Prefixed(bytes) => {
                let Some((len, behind)) = rest.split_at_checked(usize::from(bytes)) else {
                    return Err(truncated(usize::from(bytes), rest));
                };
                (le_uint(len) as usize, behind)
            }
        };
        let Some((value, behind)) = behind.split_at_checked(len) else {
            return Err(truncated(len, behind));
        };
        *rest = behind;
        Ok(value)
    }
}

#[cold]
const fn truncated(needed: usize, rest: &[u8]) -> ReadProblem {
    ReadProblem::Truncated {
        needed,
        left: rest.len(),
    }
}

/// How a value becomes text.
#[derive(Debug)]
pub(crate) enum Format {
    Int8,
    Int16,
    Int24,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint24,
    Uint32,
    Uint64,
    Float,
    Double,
    Decimal(DecimalShape),
    /// Big-endian bits as a number.
    Bits,
    Year,
    Date,
    Time(Fraction),
    DateTime(Fraction),
    Timestamp(Fraction),
    OldTime,
    OldDateTime,
    OldTimestamp,
    /// ENUM and SET as the little-endian number that they are.
    Number,
    EnumLabel(Members),
    SetLabels(Members),
    Inet4,
    Inet6,
    Uuid,
    Text(Charset),
    Binary,
    Json(Charset),
}

impl Format {
    /// Whether the text fits in a window whatever the value.
    #[inline]
    pub(crate) const fn is_bounded(&self) -> bool {
        !matches!(
            self,
            Self::Text(_) | Self::Binary | Self::Json(_) | Self::EnumLabel(_) | Self::SetLabels(_)
        )
    }

    /// Whether a value with its highest bit set is shown with another sqlType.
    #[inline]
    pub(crate) const fn promotes(&self) -> bool {
        matches!(
            self,
            Self::Uint8 | Self::Uint16 | Self::Uint24 | Self::Uint32 | Self::Uint64
        )
    }

    const fn typical_len(&self) -> usize {
        match self {
            Self::Int8 | Self::Uint8 | Self::Int16 | Self::Uint16 | Self::Number | Self::Year => 4,
            Self::Int24 | Self::Uint24 | Self::Int32 | Self::Uint32 | Self::Bits => 8,
            Self::Date | Self::Time(_) | Self::OldTime | Self::Float => 10,
            Self::Int64 | Self::Uint64 | Self::Double | Self::Decimal(_) | Self::Inet4 => 14,
            Self::DateTime(_) | Self::Timestamp(_) | Self::OldDateTime | Self::OldTimestamp => 19,
            Self::Inet6 => 30,
            Self::Uuid => 36,
            // The length of these is known from the value.
            Self::EnumLabel(_)
            | Self::SetLabels(_)
            | Self::Text(_)
            | Self::Binary
            | Self::Json(_) => 0,
        }
    }
}

/// The members of an ENUM or SET, in order.
#[derive(Debug)]
pub(crate) struct Members(pub(crate) Box<[Box<str>]>);

/// What a column is.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) width: Width,
    pub(crate) format: Format,
    /// Number of `java.sql.Types`.
    pub(crate) sql_type: i32,
    /// The same for unsigned values that the signed type cannot hold.
    pub(crate) sql_type_promoted: i32,
    /// The same for NULL.
    pub(crate) sql_type_null: i32,
    /// Length of the text of most values, 0 where the value tells.
    pub(crate) typical_len: usize,
}

impl Shown {
    const fn new(width: Width, format: Format, sql_type: i32) -> Self {
        let typical_len = format.typical_len();
        let (sql_type_promoted, sql_type_null) = (sql_type, sql_type);
        Self {
            width,
            format,
            sql_type,
            sql_type_promoted,
            sql_type_null,
            typical_len,
        }
    }

    const fn fixed(bytes: u32, format: Format, sql_type: i32) -> Self {
        Self::new(Width::Fixed(bytes), format, sql_type)
    }
}

/// Column types by their numbers in the binlog.
mod column_type {
    pub(super) const TINY: u8 = 1;
    pub(super) const SHORT: u8 = 2;
    pub(super) const LONG: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;
    pub(super) const TIMESTAMP: u8 = 7;
    pub(super) const LONGLONG: u8 = 8;
    pub(super) const INT24: u8 = 9;
    pub(super) const DATE: u8 = 10;
    pub(super) const TIME: u8 = 11;
    pub(super) const DATETIME: u8 = 12;
    pub(super) const YEAR: u8 = 13;
    pub(super) const VARCHAR: u8 = 15;
    pub(super) const BIT: u8 = 16;
    pub(super) const TIMESTAMP2: u8 = 17;
    pub(super) const DATETIME2: u8 = 18;
    pub(super) const TIME2: u8 = 19;
    pub(super) const BLOB_COMPRESSED: u8 = 140;
    pub(super) const VARCHAR_COMPRESSED: u8 = 141;
    pub(super) const VECTOR: u8 = 242;
    pub(super) const JSON: u8 = 245;
    pub(super) const NEWDECIMAL: u8 = 246;
    pub(super) const ENUM: u8 = 247;
    pub(super) const SET: u8 = 248;
    pub(super) const TINY_BLOB: u8 = 249;
    pub(super) const MEDIUM_BLOB: u8 = 250;
    pub(super) const LONG_BLOB: u8 = 251;
    pub(super) const BLOB: u8 = 252;
    pub(super) const VAR_STRING: u8 = 253;
    pub(super) const STRING: u8 = 254;
    pub(super) const GEOMETRY: u8 = 255;
}

/// Numbers of `java.sql.Types`.
pub(crate) mod sql_type {
    pub(crate) const BIT: i32 = -7;
    pub(crate) const TINYINT: i32 = -6;
    pub(crate) const BIGINT: i32 = -5;
    pub(crate) const CHAR: i32 = 1;
    pub(crate) const DECIMAL: i32 = 3;
    pub(crate) const INTEGER: i32 = 4;
    pub(crate) const SMALLINT: i32 = 5;
    pub(crate) const REAL: i32 = 7;
    pub(crate) const DOUBLE: i32 = 8;
    pub(crate) const VARCHAR: i32 = 12;
    pub(crate) const DATE: i32 = 91;
    pub(crate) const TIME: i32 = 92;
    pub(crate) const TIMESTAMP: i32 = 93;
    pub(crate) const OTHER: i32 = 1111;
    pub(crate) const BLOB: i32 = 2004;
    pub(crate) const CLOB: i32 = 2005;
}

/// What the column `map` is, by its type and by what `schema` says of it.
pub(crate) fn shown(
    map: &MapColumn,
    schema: &ColumnSchema,
    settings: &EncodeSettings,
) -> Result<Shown, ColumnProblem> {
    use column_type as t;
    let kind = map.column_type.0;
    let impossible = || ColumnProblem::Metadata {
        column_type: kind,
        meta: map.meta,
    };
    let fraction = || {
        u8::try_from(map.meta)
            .ok()
            .and_then(Fraction::new)
            .ok_or_else(impossible)
    };
    Ok(match kind {
        t::TINY | t::SHORT | t::INT24 | t::LONG | t::LONGLONG => integer(map, schema),
        t::FLOAT => Shown::fixed(4, Format::Float, sql_type::REAL),
        t::DOUBLE => Shown::fixed(8, Format::Double, sql_type::DOUBLE),
        t::NEWDECIMAL => {
            let [precision, scale] = map.meta.to_be_bytes();
            let shape = DecimalShape::new(precision, scale).ok_or_else(impossible)?;
            Shown::fixed(
                shape.bytes() as u32,
                Format::Decimal(shape),
                sql_type::DECIMAL,
            )
        }
        t::BIT => {
            let [bits, bytes] = map.meta.to_le_bytes();
            if bits > 7 || 8 * u32::from(bytes) + u32::from(bits) > 64 {
                return Err(impossible());
            }
            let bytes = u32::from(bytes) + u32::from(bits > 0);
            Shown::fixed(bytes, Format::Bits, sql_type::BIT)
        }
        t::YEAR => Shown::fixed(1, Format::Year, sql_type::VARCHAR),
        t::DATE => Shown::fixed(3, Format::Date, sql_type::DATE),
        t::TIME2 => {
            let f = fraction()?;
            Shown::fixed(3 + f.bytes() as u32, Format::Time(f), sql_type::TIME)
        }
        t::DATETIME2 => {
            let f = fraction()?;
            Shown::fixed(
                5 + f.bytes() as u32,
                Format::DateTime(f),
                sql_type::TIMESTAMP,
            )
        }
        t::TIMESTAMP2 => {
            let f = fraction()?;
            Shown::fixed(
                4 + f.bytes() as u32,
                Format::Timestamp(f),
                sql_type::TIMESTAMP,
            )
        }
        t::TIME | t::DATETIME | t::TIMESTAMP => old_time(kind, schema)?,
        t::VARCHAR | t::VAR_STRING => {
            let width = Width::Prefixed(if map.meta < 256 { 1 } else { 2 });
            string(width, sql_type::VARCHAR, map, schema, settings)?
        }
        t::STRING => fixed_string(map, schema, settings)?,
        t::ENUM | t::SET => members(kind, map.meta.to_be_bytes()[1], map, schema, settings)?,
        t::TINY_BLOB | t::MEDIUM_BLOB | t::LONG_BLOB | t::BLOB => {
            blob(blob_width(map)?, map, schema, settings)?
        }
        t::VECTOR | t::GEOMETRY => Shown::new(blob_width(map)?, Format::Binary, sql_type::BLOB),
        t::JSON => Shown {
            sql_type_null: sql_type::OTHER,
            ..Shown::new(
                blob_width(map)?,
                Format::Json(settings.charset),
                sql_type::VARCHAR,
            )
        },
        t::BLOB_COMPRESSED | t::VARCHAR_COMPRESSED => return Err(ColumnProblem::Compressed),
        other => return Err(ColumnProblem::Unsupported(other)),
    })
}

fn integer(map: &MapColumn, schema: &ColumnSchema) -> Shown {
    use column_type as t;
    // ZEROFILL implies UNSIGNED.
    let unsigned = map.unsigned.unwrap_or_else(|| {
        contains(&schema.column_type, "unsigned") || contains(&schema.column_type, "zerofill")
    });
    let (bytes, signed, unsigned_format, sql_type, promoted) = match map.column_type.0 {
        t::TINY => (
            1,
            Format::Int8,
            Format::Uint8,
            sql_type::TINYINT,
            sql_type::SMALLINT,
        ),
        t::SHORT => (
            2,
            Format::Int16,
            Format::Uint16,
            sql_type::SMALLINT,
            sql_type::INTEGER,
        ),
        t::INT24 => (
            3,
            Format::Int24,
            Format::Uint24,
            sql_type::INTEGER,
            sql_type::INTEGER,
        ),
        t::LONG => (
            4,
            Format::Int32,
            Format::Uint32,
            sql_type::INTEGER,
            sql_type::BIGINT,
        ),
        _ => (
            8,
            Format::Int64,
            Format::Uint64,
            sql_type::BIGINT,
            sql_type::DECIMAL,
        ),
    };
    let format = if unsigned { unsigned_format } else { signed };
    Shown {
        sql_type_promoted: promoted,
        ..Shown::fixed(bytes, format, sql_type)
    }
}

/// Times before MySQL 5.6.4. MariaDB kept the type numbers when it added fractions, which made values
/// longer without saying so; only the schema knows.
fn old_time(kind: u8, schema: &ColumnSchema) -> Result<Shown, ColumnProblem> {
    if let Some((_, arguments)) = schema.column_type.split_once('(')
        && !arguments.trim_start().starts_with(['0', ')'])
        && !is_display_width(&schema.column_type)
    {
        return Err(ColumnProblem::OldFraction);
    }
    Ok(match kind {
        column_type::TIME => Shown::fixed(3, Format::OldTime, sql_type::TIME),
        column_type::DATETIME => Shown::fixed(8, Format::OldDateTime, sql_type::TIMESTAMP),
        _ => Shown::fixed(4, Format::OldTimestamp, sql_type::TIMESTAMP),
    })
}

/// `timestamp(14)` and `timestamp(8)` of MySQL 4 are widths for display, not fractions.
fn is_display_width(column_type: &str) -> bool {
    let digits = column_type.split(['(', ')']).nth(1).unwrap_or_default();
    digits.trim().parse::<u8>().is_ok_and(|n| n > 6)
}

/// STRING stands for CHAR, BINARY, ENUM, SET and MariaDB's addresses; CHAR longer than 255 bytes borrows
/// two bits of its real type for its length (binlog-parser reference §3.2).
fn fixed_string(
    map: &MapColumn,
    schema: &ColumnSchema,
    settings: &EncodeSettings,
) -> Result<Shown, ColumnProblem> {
    let [real_type, low] = map.meta.to_be_bytes();
    let (real_type, max_len) = if real_type & 0x30 == 0x30 {
        (real_type, u16::from(low))
    } else {
        (
            real_type | 0x30,
            u16::from(low) | u16::from(real_type & 0x30 ^ 0x30) << 4,
        )
    };
    match real_type {
        column_type::ENUM | column_type::SET => members(real_type, low, map, schema, settings),
        column_type::STRING => {
            let width = Width::Prefixed(if max_len < 256 { 1 } else { 2 });
            string(width, sql_type::CHAR, map, schema, settings)
        }
        _ => Err(ColumnProblem::Metadata {
            column_type: map.column_type.0,
            meta: map.meta,
        }),
    }
}

fn blob_width(map: &MapColumn) -> Result<Width, ColumnProblem> {
    match map.meta {
        bytes @ 1..=4 => Ok(Width::Prefixed(bytes as u8)),
        meta => Err(ColumnProblem::Metadata {
            column_type: map.column_type.0,
            meta,
        }),
    }
}

/// The name in front of a type's arguments, such as `varchar`, in lower case where it is ASCII.
fn type_name(column_type: &str) -> &str {
    let end = column_type.find(|c: char| !c.is_ascii_alphanumeric());
    &column_type[..end.unwrap_or(column_type.len())]
}

fn is_type(schema: &ColumnSchema, names: &[&str]) -> bool {
    let name = type_name(schema.column_type.trim_start());
    names
        .iter()
        .any(|candidate| name.eq_ignore_ascii_case(candidate))
}

fn contains(text: &str, word: &str) -> bool {
    text.as_bytes()
        .windows(word.len())
        .any(|w| w.eq_ignore_ascii_case(word.as_bytes()))
}

/// A string of characters or of bytes, or one of MariaDB's types that are stored as such.
fn string(
    width: Width,
    sql_type: i32,
    map: &MapColumn,
    schema: &ColumnSchema,
    settings: &EncodeSettings,
) -> Result<Shown, ColumnProblem> {
    let binary = match map.collation {
        Some(collation) => collation == BINARY_COLLATION,
        None => is_type(schema, &["binary", "varbinary", "vector"]),
    };
    for (name, format) in [
        ("inet4", Format::Inet4),
        ("inet6", Format::Inet6),
        ("uuid", Format::Uuid),
    ] {
        if is_type(schema, &[name]) && (binary || map.collation.is_none()) {
            return Ok(Shown::new(width, format, sql_type::VARCHAR));
        }
    }
    if binary {
        return Ok(Shown::new(width, Format::Binary, sql_type::BLOB));
    }
    Ok(Shown::new(
        width,
        Format::Text(charset(map, schema, settings)?),
        sql_type,
    ))
}

/// TEXT and BLOB: one type in the binlog. JSON of MariaDB is a LONGTEXT.
fn blob(
    width: Width,
    map: &MapColumn,
    schema: &ColumnSchema,
    settings: &EncodeSettings,
) -> Result<Shown, ColumnProblem> {
    const TEXTS: &[&str] = &["tinytext", "text", "mediumtext", "longtext", "json"];
    let is_text = match map.collation {
        Some(collation) => collation != BINARY_COLLATION,
        None => is_type(schema, TEXTS),
    };
    if !is_text {
        return Ok(Shown::new(width, Format::Binary, sql_type::BLOB));
    }
    Ok(Shown::new(
        width,
        Format::Text(charset(map, schema, settings)?),
        sql_type::CLOB,
    ))
}

/// The charset of a column: what the event says, else what the schema says, else the connection's.
fn charset(
    map: &MapColumn,
    schema: &ColumnSchema,
    settings: &EncodeSettings,
) -> Result<Charset, ColumnProblem> {
    if settings.scope == CharsetScope::Always {
        return Ok(settings.charset);
    }
    if let Some(charset) = map.collation.and_then(Charset::from_collation) {
        return Ok(charset);
    }
    match (&schema.charset, map.collation) {
        (Some(name), _) => {
            Charset::from_name(name).ok_or_else(|| ColumnProblem::Charset(name.clone()))
        }
        (None, Some(collation)) => Err(ColumnProblem::Collation(collation)),
        (None, None) => Ok(settings.charset),
    }
}

/// ENUM and SET; `bytes` is their width.
fn members(
    real_type: u8,
    bytes: u8,
    map: &MapColumn,
    schema: &ColumnSchema,
    settings: &EncodeSettings,
) -> Result<Shown, ColumnProblem> {
    let is_enum = real_type == column_type::ENUM;
    let widths = if is_enum { 1..=2 } else { 1..=8 };
    if !widths.contains(&bytes) {
        return Err(ColumnProblem::Metadata {
            column_type: map.column_type.0,
            meta: map.meta,
        });
    }
    let width = Width::Fixed(u32::from(bytes));
    match (settings.members, is_enum) {
        (MemberText::Number, true) => Ok(Shown::new(width, Format::Number, sql_type::INTEGER)),
        (MemberText::Number, false) => Ok(Shown {
            sql_type_null: sql_type::BLOB,
            ..Shown::new(width, Format::Number, sql_type::BIT)
        }),
        // The sqlType of a label is the one that MySQL's own JDBC driver reports for both types.
        (MemberText::Label, true) => {
            let labels = labels(map, schema, settings)?;
            Ok(Shown::new(width, Format::EnumLabel(labels), sql_type::CHAR))
        }
        (MemberText::Label, false) => {
            let labels = labels(map, schema, settings)?;
            Ok(Shown::new(width, Format::SetLabels(labels), sql_type::CHAR))
        }
    }
}

fn labels(
    map: &MapColumn,
    schema: &ColumnSchema,
    settings: &EncodeSettings,
) -> Result<Members, ColumnProblem> {
    if let Some(members) = &map.members {
        let charset = charset(map, schema, settings)?;
        let labels = members
            .iter()
            .map(|label| charset.decode(label).into_owned().into_boxed_str());
        return Ok(Members(labels.collect()));
    }
    quoted_labels(&schema.column_type).ok_or(ColumnProblem::Members)
}

/// The members in `enum('a','b')`; quotes are doubled or escaped inside.
fn quoted_labels(column_type: &str) -> Option<Members> {
    let open = column_type.find('(')?;
    let mut chars = column_type[open + 1..].chars();
    let mut labels: Vec<Box<str>> = Vec::new();
    loop {
        match chars.next()? {
            '\'' => {}
            ')' => break,
            ',' | ' ' => continue,
            _ => return None,
        }
        let (label, behind) = quoted(chars.as_str())?;
        labels.push(label);
        chars = behind.chars();
    }
    (!labels.is_empty()).then(|| Members(labels.into_boxed_slice()))
}

/// The text up to the closing quote, and what is behind it.
fn quoted(text: &str) -> Option<(Box<str>, &str)> {
    let mut out = text[..0].to_owned();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '\\' => out.push(chars.next()?),
            '\'' => match chars.as_str().strip_prefix('\'') {
                Some(behind) => {
                    out.push('\'');
                    chars = behind.chars();
                }
                None => return Some((out.into_boxed_str(), chars.as_str())),
            },
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_from_the_type() {
        let labels = quoted_labels("enum('a','it''s','b,c',  'd\\'e')").unwrap();
        let labels: Vec<&str> = labels.0.iter().map(|label| &**label).collect();
        assert_eq!(labels, ["a", "it's", "b,c", "d'e"]);
        assert!(quoted_labels("int(11)").is_none());
        assert!(quoted_labels("enum('a").is_none());
        assert!(quoted_labels("enum").is_none());
    }

    #[test]
    fn type_names_end_where_arguments_begin() {
        assert_eq!(type_name("VARCHAR(32)"), "VARCHAR");
        assert_eq!(type_name("text"), "text");
        assert_eq!(type_name("int unsigned"), "int");
    }
}
