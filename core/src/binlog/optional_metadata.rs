//! The optional metadata at the end of a TABLE_MAP (`binlog_row_metadata`; binlog-parser reference §2.5).
//!
//! Most of it lists one item for each column of a kind, without saying which: a wrong idea of what
//! counts as that kind shifts all that follows. So the items must come out even, or the map is refused.

use alloc::string::String;
use alloc::vec::Vec;

use crate::binlog::format::Flavor;
use crate::binlog::table_map::{ColumnType, MapColumn};
use crate::read::{ReadError, Reader};

/// Reads fields of code, length, value up to the end of `r` into `columns`. Unknown codes are skipped.
pub(crate) fn read(
    r: &mut Reader<'_>,
    columns: &mut [MapColumn],
    flavor: Flavor,
) -> Result<(), ReadError> {
    while !r.is_empty() {
        let code = r.u8("metadata code")?;
        let value = r.lenenc_bytes("metadata")?;
        let start = r.position() - value.len();
        read_field(code, &mut Reader::new(value), columns, flavor).map_err(|error| ReadError {
            at: start + error.at,
            ..error
        })?;
    }
    Ok(())
}

fn read_field(
    code: u8,
    r: &mut Reader<'_>,
    columns: &mut [MapColumn],
    flavor: Flavor,
) -> Result<(), ReadError> {
    match code {
        SIGNEDNESS => {
            return read_bits(
                r,
                columns,
                "SIGNEDNESS",
                MapColumn::is_numeric,
                |column, bit| {
                    column.unsigned = Some(bit);
                },
            );
        }
        COLUMN_VISIBILITY => {
            return read_bits(
                r,
                columns,
                "COLUMN_VISIBILITY",
                |_| true,
                |column, bit| {
                    column.visible = Some(bit);
                },
            );
        }
        DEFAULT_CHARSET => {
            read_default_charset(r, columns, |column| column.is_character(flavor))?;
        }
        COLUMN_CHARSET => {
            for column in columns
                .iter_mut()
                .filter(|column| column.is_character(flavor))
            {
                column.collation = Some(collation(r)?);
            }
        }
        ENUM_AND_SET_DEFAULT_CHARSET => {
            read_default_charset(r, columns, MapColumn::is_enum_or_set)?;
        }
        ENUM_AND_SET_COLUMN_CHARSET => {
            for column in columns.iter_mut().filter(|column| column.is_enum_or_set()) {
                column.collation = Some(collation(r)?);
            }
        }
        COLUMN_NAME => {
            for column in columns.iter_mut() {
                column.name = Some(column_name(r)?);
            }
        }
        SET_STR_VALUE => read_members(r, columns, ColumnType::SET)?,
        ENUM_STR_VALUE => read_members(r, columns, ColumnType::ENUM)?,
        GEOMETRY_TYPE => {
            for column in of_type(columns, ColumnType::GEOMETRY) {
                let kind = r.lenenc("GEOMETRY_TYPE")?;
                let kind =
                    u8::try_from(kind).map_err(|_| r.invalid("GEOMETRY_TYPE", OUT_OF_RANGE))?;
                column.geometry_type = Some(kind);
            }
        }
        VECTOR_DIMENSIONALITY => {
            for column in of_type(columns, ColumnType::VECTOR) {
                let field = "VECTOR_DIMENSIONALITY";
                let dimension = r.lenenc(field)?;
                let dimension =
                    u32::try_from(dimension).map_err(|_| r.invalid(field, OUT_OF_RANGE))?;
                column.vector_dimension = Some(dimension);
            }
        }
        SIMPLE_PRIMARY_KEY => {
            while !r.is_empty() {
                mark_key(r, columns)?;
            }
        }
        PRIMARY_KEY_WITH_PREFIX => {
            while !r.is_empty() {
                mark_key(r, columns)?;
                r.lenenc("prefix length of a primary key column")?;
            }
        }
        _ => return Ok(()),
    }
    if r.is_empty() {
        return Ok(());
    }
    Err(r.invalid(
        "metadata",
        "has more items than the table has columns of their kind",
    ))
}

/// One bit for each column of a kind, the first in the highest bit of a byte.
fn read_bits(
    r: &mut Reader<'_>,
    columns: &mut [MapColumn],
    field: &'static str,
    is_of_kind: impl Fn(&MapColumn) -> bool,
    set: impl Fn(&mut MapColumn, bool),
) -> Result<(), ReadError> {
    let (mut byte, mut left) = (0, 0);
    for column in columns.iter_mut().filter(|column| is_of_kind(column)) {
        if left == 0 {
            (byte, left) = (r.u8(field)?, 8);
        }
        left -= 1;
        set(column, byte >> left & 1 != 0);
    }
    if r.is_empty() {
        Ok(())
    } else {
        Err(r.invalid(field, "has more bits than columns"))
    }
}

/// A default collation, then pairs of the ordinal of a column among those of its kind, and its own.
fn read_default_charset(
    r: &mut Reader<'_>,
    columns: &mut [MapColumn],
    is_of_kind: impl Fn(&MapColumn) -> bool,
) -> Result<(), ReadError> {
    let default = collation(r)?;
    let mut of_kind: Vec<&mut MapColumn> = columns
        .iter_mut()
        .filter(|column| is_of_kind(column))
        .collect();
    for column in &mut of_kind {
        column.collation = Some(default);
    }
    while !r.is_empty() {
        let ordinal = r.length("ordinal of a character column")?;
        let collation = collation(r)?;
        let Some(column) = of_kind.get_mut(ordinal) else {
            return Err(r.invalid("ordinal of a character column", "is beyond the last one"));
        };
        column.collation = Some(collation);
    }
    Ok(())
}

fn read_members(
    r: &mut Reader<'_>,
    columns: &mut [MapColumn],
    kind: ColumnType,
) -> Result<(), ReadError> {
    for column in of_type(columns, kind) {
        let count = r.length("member count")?;
        let mut members = Vec::new();
        for _ in 0..count {
            members.push(r.lenenc_bytes("member")?.into());
        }
        column.members = Some(members);
    }
    Ok(())
}

/// Primary key columns come in the order of the key, which is not that of the table.
fn mark_key(r: &mut Reader<'_>, columns: &mut [MapColumn]) -> Result<(), ReadError> {
    let index = r.length("primary key column")?;
    let Some(column) = columns.get_mut(index) else {
        return Err(r.invalid("primary key column", "is beyond the last column"));
    };
    column.is_key = Some(true);
    Ok(())
}

fn of_type(columns: &mut [MapColumn], kind: ColumnType) -> impl Iterator<Item = &mut MapColumn> {
    columns
        .iter_mut()
        .filter(move |column| column.real_type() == kind)
}

fn collation(r: &mut Reader<'_>) -> Result<u16, ReadError> {
    let id = r.lenenc("collation")?;
    u16::try_from(id).map_err(|_| r.invalid("collation", OUT_OF_RANGE))
}

fn column_name(r: &mut Reader<'_>) -> Result<String, ReadError> {
    let error = r.invalid("column name", "is not UTF-8");
    let name = r.lenenc_bytes("column name")?;
    core::str::from_utf8(name)
        .map(String::from)
        .map_err(|_| error)
}

const OUT_OF_RANGE: &str = "is out of range";

const SIGNEDNESS: u8 = 1;
const DEFAULT_CHARSET: u8 = 2;
const COLUMN_CHARSET: u8 = 3;
const COLUMN_NAME: u8 = 4;
const SET_STR_VALUE: u8 = 5;
const ENUM_STR_VALUE: u8 = 6;
const GEOMETRY_TYPE: u8 = 7;
const SIMPLE_PRIMARY_KEY: u8 = 8;
const PRIMARY_KEY_WITH_PREFIX: u8 = 9;
const ENUM_AND_SET_DEFAULT_CHARSET: u8 = 10;
const ENUM_AND_SET_COLUMN_CHARSET: u8 = 11;
const COLUMN_VISIBILITY: u8 = 12;
const VECTOR_DIMENSIONALITY: u8 = 13;

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(types: &[(u8, u16)]) -> Vec<MapColumn> {
        let column = |&(number, meta): &(u8, u16)| MapColumn {
            column_type: ColumnType(number),
            meta,
            nullable: true,
            unsigned: None,
            collation: None,
            name: None,
            members: None,
            is_key: None,
            visible: None,
            vector_dimension: None,
            geometry_type: None,
        };
        types.iter().map(column).collect()
    }

    fn apply(
        bytes: &[u8],
        types: &[(u8, u16)],
        flavor: Flavor,
    ) -> Result<Vec<MapColumn>, ReadError> {
        let mut columns = columns(types);
        read(&mut Reader::new(bytes), &mut columns, flavor).map(|()| columns)
    }

    const YEAR: (u8, u16) = (13, 0);
    const INT: (u8, u16) = (3, 0);
    const TEXT: (u8, u16) = (252, 2);
    const VARCHAR: (u8, u16) = (15, 40);
    const ENUM: (u8, u16) = (254, 0xf701);
    const SET: (u8, u16) = (254, 0xf801);
    const GEOMETRY: (u8, u16) = (255, 4);
    const VECTOR: (u8, u16) = (242, 4);
    const JSON: (u8, u16) = (245, 4);
    const COMPRESSED: (u8, u16) = (141, 41);

    fn collations(columns: &[MapColumn]) -> Vec<u16> {
        columns
            .iter()
            .map(|column| column.collation.unwrap_or(0))
            .collect()
    }

    #[test]
    fn signedness_counts_year_and_begins_with_the_highest_bit() {
        let types = [YEAR, INT, TEXT, INT, INT, INT, INT, INT, INT, INT];
        let columns = apply(b"\x01\x02\xc1\x80", &types, Flavor::Mysql).unwrap();
        let unsigned: Vec<_> = columns.iter().map(|column| column.unsigned).collect();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(unsigned, [yes, yes, None, no, no, no, no, no, yes, yes]);
        assert_eq!(
            apply(b"\x01\x01\xc1", &types, Flavor::Mysql)
                .unwrap_err()
                .field,
            "SIGNEDNESS"
        );
        assert!(apply(b"\x01\x03\xc1\x80\0", &types, Flavor::Mysql).is_err());
    }

    #[test]
    fn the_families_of_servers_count_other_columns_as_character_columns() {
        let types = [VECTOR, GEOMETRY, COMPRESSED, JSON, ENUM, VARCHAR];
        let mysql = apply(b"\x03\x02\x3f\x2d", &types, Flavor::Mysql).unwrap();
        assert_eq!(collations(&mysql), [63, 0, 0, 0, 0, 45]);
        let mariadb = apply(b"\x03\x03\x3f\x08\x2d", &types, Flavor::Mariadb).unwrap();
        assert_eq!(collations(&mariadb), [0, 63, 8, 0, 0, 45]);
        assert!(apply(b"\x03\x03\x3f\x08\x2d", &types, Flavor::Mysql).is_err());
        assert!(apply(b"\x03\x01\x3f", &types, Flavor::Mysql).is_err());
    }

    #[test]
    fn a_default_charset_has_exceptions_by_ordinal() {
        let types = [INT, TEXT, ENUM, VARCHAR, VARCHAR];
        let columns = apply(b"\x02\x05\xff\x2d\x01\x3f\x00", &types, Flavor::Mysql);
        assert!(columns.is_err(), "0xff begins no number");
        let bytes = b"\x02\x05\xfc\xff\x00\x01\x3f\x0a\x01\x1c";
        let columns = apply(bytes, &types, Flavor::Mysql).unwrap();
        assert_eq!(collations(&columns), [0, 255, 28, 63, 255]);
        let error = apply(b"\x02\x03\x2d\x03\x3f", &types, Flavor::Mysql).unwrap_err();
        assert_eq!(
            (error.field, error.at),
            ("ordinal of a character column", 5)
        );
        let columns = apply(b"\x0b\x01\x1c", &types, Flavor::Mysql).unwrap();
        assert_eq!(collations(&columns), [0, 0, 28, 0, 0]);
    }

    #[test]
    fn names_members_and_kinds() {
        let types = [ENUM, SET, GEOMETRY, VECTOR];
        let bytes = b"\x04\x08\x01a\x01b\x01c\x01d\x05\x05\x02\x01x\x01y\x06\x03\x01\x01z\
            \x07\x01\x03\x0d\x03\xfc\x00\x04\x0c\x01\x70\x63\x02ab";
        let columns = apply(bytes, &types, Flavor::Mysql).unwrap();
        let names: Vec<_> = columns
            .iter()
            .map(|column| column.name.as_deref().unwrap())
            .collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert_eq!(columns[0].members, Some(Vec::from([Vec::from(*b"z")])));
        assert_eq!(
            columns[1].members,
            Some(Vec::from([Vec::from(*b"x"), Vec::from(*b"y")]))
        );
        assert_eq!(columns[2].geometry_type, Some(3));
        assert_eq!(columns[3].vector_dimension, Some(1024));
        let visible: Vec<_> = columns.iter().map(|column| column.visible).collect();
        assert_eq!(visible, [Some(false), Some(true), Some(true), Some(true)]);
        let error = apply(b"\x04\x02\x01a", &types, Flavor::Mysql).unwrap_err();
        assert_eq!((error.field, error.at), ("column name", 4));
        let error = apply(b"\x04\x04\x01a\x01b", &types[..1], Flavor::Mysql).unwrap_err();
        assert_eq!((error.field, error.at), ("metadata", 4));
    }

    #[test]
    fn keys_come_in_their_own_order() {
        let is_key = |bytes: &[u8]| {
            let columns = apply(bytes, &[INT, VARCHAR, INT], Flavor::Mysql)?;
            Ok::<_, ReadError>(
                columns
                    .iter()
                    .map(|c| c.is_key.is_some())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(is_key(b"\x08\x02\x02\x00").unwrap(), [true, false, true]);
        assert_eq!(
            is_key(b"\x09\x04\x01\x0a\x00\x00").unwrap(),
            [true, true, false]
        );
        assert_eq!(
            is_key(b"\x08\x01\x03").unwrap_err().field,
            "primary key column"
        );
        assert!(is_key(b"\x09\x01\x01").is_err());
    }
}
