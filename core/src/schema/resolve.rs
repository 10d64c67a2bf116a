//! Which columns a table map means: names, keys and type texts, or why nobody can say.
//!
//! A map with FULL metadata describes itself; what else is known lends it only the exact text of types.
//! Any other map needs a known schema, and that schema must agree with the map in every fact that
//! both state (binlog-parser reference §4.5): a schema of another moment is worse than none, because its
//! names are wrong in silence. Names are never invented, save where a server hides columns in one
//! well-known way (§3.7).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

pub use super::shape::Mismatch;
use super::shape::{Shape, check, check_type, synthesise};
use crate::binlog::table_map::{MapColumn, TableMap};
use crate::schema::table::{ColumnSchema, TableName, TableSchema};

/// Columns that an error shows of each side, at most.
const SHOWN_MAX: usize = 40;

/// The columns that MariaDB adds to a system-versioned table and shows nowhere.
const VERSIONING: [&str; 2] = ["row_start", "row_end"];

/// The key that Alibaba's RDS adds to a table without one and shows nowhere.
const RDS_ROW_ID: &str = "__#alibaba_rds_row_id#__";

/// What is known of character sets: maps name them by the number of a collation.
#[derive(Clone, Copy)]
pub struct Charsets<'a> {
    /// MySQL's name of a collation's character set.
    pub name: &'a dyn Fn(u16) -> Option<&'static str>,
    /// Text in a collation's character set.
    pub decode: &'a dyn Fn(u16, &[u8]) -> String,
}

/// Why a table's rows cannot be shown under the right names.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "table {table}: {problem}; binlog: ({binlog}); known: ({known}); \
     to be independent of this, SET PERSIST binlog_row_metadata=FULL on MySQL 8, \
     SET GLOBAL binlog_row_metadata=FULL on MariaDB 10.5; for rows already written, \
     canal.instance.filter.table.error=true sets this table aside"
)]
pub struct SchemaDoubt {
    /// The table.
    pub table: TableName,
    /// What does not agree, the first of it.
    pub problem: DoubtProblem,
    /// The columns in the map.
    pub binlog: String,
    /// The columns as known.
    pub known: String,
}

/// What does not agree.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DoubtProblem {
    /// The map has no names and nothing is known of the table.
    #[error("its binlog events carry no column names, and no such table is known")]
    Missing,
    /// Another number of columns.
    #[error("the binlog has {binlog} columns, known are {known}")]
    Count {
        /// Columns in the map.
        binlog: usize,
        /// Columns known.
        known: usize,
    },
    /// A column that cannot be the same.
    #[error("column {number} `{name}`: {mismatch}")]
    Column {
        /// Its place, from 1.
        number: usize,
        /// Its known name.
        name: String,
        /// How it differs.
        mismatch: Mismatch,
    },
}

/// Whether the map's rows can be decoded only with a schema from elsewhere.
#[must_use]
pub fn needs_live(map: &TableMap) -> bool {
    !map.is_full()
}

/// The columns that `map` means, given what is `known` of the table.
///
/// # Errors
/// The map does not describe itself and what is known disagrees with it, or nothing is.
pub fn resolve(
    map: &TableMap,
    known: Option<&TableSchema>,
    charsets: &Charsets<'_>,
) -> Result<TableSchema, Box<SchemaDoubt>> {
    if map.is_full() {
        return Ok(self_described(map, known, charsets));
    }
    let doubt = |problem| {
        Box::new(SchemaDoubt {
            table: name_of(map),
            problem,
            binlog: show_map(map, charsets),
            known: known.map_or_else(String::new, show_known),
        })
    };
    let Some(schema) = known else {
        return Err(doubt(DoubtProblem::Missing));
    };
    let columns = with_hidden(map, &schema.columns).ok_or_else(|| {
        let (binlog, known) = (map.columns.len(), schema.columns.len());
        doubt(DoubtProblem::Count { binlog, known })
    })?;
    for (index, (column, known)) in map.columns.iter().zip(&columns).enumerate() {
        if let Err(mismatch) = check(column, known, charsets) {
            let (number, name) = (index + 1, known.name.clone());
            return Err(doubt(DoubtProblem::Column {
                number,
                name,
                mismatch,
            }));
        }
    }
    Ok(TableSchema {
        name: name_of(map),
        columns,
    })
}

/// The columns of `map` under the names `@1`, `@2` and so on, for reading a binlog without its server.
#[must_use]
pub fn anonymous(map: &TableMap, charsets: &Charsets<'_>) -> TableSchema {
    let column = |(index, column): (usize, &MapColumn)| ColumnSchema {
        name: format!("@{}", index + 1),
        column_type: synthesise(column, charsets),
        charset: charset_of(column, charsets),
        is_key: column.is_key.unwrap_or(false),
        nullable: Some(column.nullable),
    };
    TableSchema {
        name: name_of(map),
        columns: map.columns.iter().enumerate().map(column).collect(),
    }
}

fn name_of(map: &TableMap) -> TableName {
    TableName::new(&map.schema, &map.table)
}

fn charset_of(column: &MapColumn, charsets: &Charsets<'_>) -> Option<String> {
    let name = (charsets.name)(column.collation?)?;
    (name != "binary").then(|| name.into())
}

fn self_described(
    map: &TableMap,
    known: Option<&TableSchema>,
    charsets: &Charsets<'_>,
) -> TableSchema {
    let agreeing = known.filter(|known| {
        known.columns.len() == map.columns.len()
            && map
                .columns
                .iter()
                .zip(&known.columns)
                .all(|(column, known)| {
                    column.name.as_ref() == Some(&known.name)
                        && check_type(column, known, charsets).is_ok()
                })
    });
    let column = |(index, column): (usize, &MapColumn)| {
        let known = agreeing.and_then(|known| known.columns.get(index));
        // The members of an ENUM or SET come with the map and are never out of date.
        let known_type = known.filter(|_| column.members.is_none());
        ColumnSchema {
            name: column.name.clone().unwrap_or_default(),
            column_type: match known_type {
                Some(known) => known.column_type.clone(),
                None => synthesise(column, charsets),
            },
            charset: charset_of(column, charsets)
                .or_else(|| known.and_then(|known| known.charset.clone())),
            is_key: column.is_key.unwrap_or(false),
            nullable: Some(column.nullable),
        }
    };
    TableSchema {
        name: name_of(map),
        columns: map.columns.iter().enumerate().map(column).collect(),
    }
}

/// The known columns, and the hidden ones that explain a surplus in the map. None if nothing does.
fn with_hidden(map: &TableMap, known: &[ColumnSchema]) -> Option<Vec<ColumnSchema>> {
    let surplus = map.columns.get(known.len()..)?;
    let mut columns = known.to_vec();
    let hidden = |name: &str, column_type: &str, is_key| ColumnSchema {
        name: name.into(),
        column_type: column_type.into(),
        charset: None,
        is_key,
        nullable: None,
    };
    match surplus {
        [] => {}
        [row_id]
            if Shape::of(row_id) == Shape::Integer("bigint")
                && !known.iter().any(|column| column.is_key) =>
        {
            columns.push(hidden(RDS_ROW_ID, "bigint", true));
        }
        [start, end] if is_versioning(start) && is_versioning(end) => {
            columns.extend(VERSIONING.map(|name| hidden(name, "timestamp(6)", false)));
        }
        _ => return None,
    }
    Some(columns)
}

fn is_versioning(column: &MapColumn) -> bool {
    Shape::of(column) == Shape::Temporal("timestamp", 6)
}

fn show_map(map: &TableMap, charsets: &Charsets<'_>) -> String {
    let column = |column: &MapColumn| {
        let null = if column.nullable { "" } else { " not null" };
        format!("{}{null}", synthesise(column, charsets))
    };
    show(map.columns.iter().map(column), map.columns.len())
}

fn show_known(schema: &TableSchema) -> String {
    let column = |column: &ColumnSchema| {
        let null = if column.nullable == Some(false) {
            " not null"
        } else {
            ""
        };
        format!("`{}` {}{null}", column.name, column.column_type)
    };
    show(schema.columns.iter().map(column), schema.columns.len())
}

fn show(columns: impl Iterator<Item = String>, count: usize) -> String {
    let mut shown: Vec<String> = columns.take(SHOWN_MAX).collect();
    if count > SHOWN_MAX {
        shown.push(format!("and {} more", count - SHOWN_MAX));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;
    use crate::binlog::table_map::ColumnType;

    fn charset_name(collation: u16) -> Option<&'static str> {
        match collation {
            8 => Some("latin1"),
            28 => Some("gbk"),
            45 | 255 => Some("utf8mb4"),
            33 => Some("utf8mb3"),
            63 => Some("binary"),
            _ => None,
        }
    }

    fn lossy(_: u16, bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    const CHARSETS: Charsets<'static> = Charsets {
        name: &charset_name,
        decode: &lossy,
    };

    fn raw(column_type: u8, meta: u16) -> MapColumn {
        MapColumn {
            column_type: ColumnType(column_type),
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
        }
    }

    fn text(column_type: u8, meta: u16, collation: u16) -> MapColumn {
        MapColumn {
            collation: Some(collation),
            ..raw(column_type, meta)
        }
    }

    fn map(columns: Vec<MapColumn>) -> TableMap {
        TableMap {
            table_id: 7,
            schema: "d".into(),
            table: "t".into(),
            columns,
        }
    }

    fn full(name: &str, column: MapColumn) -> MapColumn {
        MapColumn {
            name: Some(name.into()),
            is_key: Some(false),
            ..column
        }
    }

    fn column(name: &str, column_type: &str) -> ColumnSchema {
        ColumnSchema {
            name: name.into(),
            column_type: column_type.into(),
            charset: None,
            is_key: false,
            nullable: Some(true),
        }
    }

    fn known(columns: &[(&str, &str)]) -> TableSchema {
        let columns = columns
            .iter()
            .map(|(name, text)| column(name, text))
            .collect();
        TableSchema {
            name: TableName::new("d", "t"),
            columns,
        }
    }

    /// Every class with its map and the texts that may and may not stand for it.
    fn classes() -> Vec<(
        MapColumn,
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    )> {
        Vec::from([
            (
                raw(1, 0),
                "tinyint",
                &["tinyint(4)", "tinyint(1)"][..],
                &["int", "bit(1)"][..],
            ),
            (raw(2, 0), "smallint", &["smallint(6)"], &["int"]),
            (raw(9, 0), "mediumint", &["mediumint"], &["int"]),
            (raw(3, 0), "int", &["int(11)", "INTEGER"], &["bigint"]),
            (raw(8, 0), "bigint", &["bigint(20)"], &["int"]),
            (raw(4, 4), "float", &["float(7,3)"], &["double"]),
            (raw(5, 8), "double", &["double(10,2)", "real"], &["float"]),
            (
                raw(246, 0x0a02),
                "decimal(10,2)",
                &["decimal(10,2)"],
                &["decimal(10,3)", "decimal(11,2)"],
            ),
            (raw(16, 0x0102), "bit(10)", &["bit(10)"], &["bit(9)"]),
            (raw(13, 0), "year", &["year(4)", "year"], &["int"]),
            (raw(10, 0), "date", &["date"], &["datetime"]),
            (raw(19, 3), "time(3)", &["time(3)"], &["time", "time(2)"]),
            (
                raw(18, 0),
                "datetime",
                &["datetime"],
                &["datetime(1)", "timestamp"],
            ),
            (
                raw(17, 6),
                "timestamp(6)",
                &["timestamp(6)"],
                &["datetime(6)"],
            ),
            (
                raw(12, 0),
                "datetime",
                &["datetime(3) /* mariadb-5.3 */", "datetime"],
                &["time"],
            ),
            (
                text(15, 80, 45),
                "varchar(20)",
                &["varchar(20)"],
                &["varbinary(80)", "text"],
            ),
            (
                text(15, 80, 63),
                "varbinary(80)",
                &["varbinary(80)", "vector(20)"],
                &["varchar(80)"],
            ),
            (
                text(254, 0xce20, 45),
                "char(200)",
                &["char(200)"],
                &["binary(200)", "enum('a')"],
            ),
            (
                text(254, 0xfe10, 63),
                "binary(16)",
                &["binary(16)", "uuid", "inet6"],
                &["inet4", "char(4)"],
            ),
            (text(254, 0xfe04, 63), "binary(4)", &["inet4"], &["uuid"]),
            (
                text(252, 1, 45),
                "tinytext",
                &["tinytext"],
                &["tinyblob", "text"],
            ),
            (text(252, 2, 63), "blob", &["blob"], &["text", "longblob"]),
            (raw(252, 2), "text", &["blob", "text"], &["mediumtext"]),
            (
                text(252, 4, 45),
                "longtext",
                &["longtext", "json"],
                &["longblob"],
            ),
            (
                text(141, 501, 8),
                "varchar(500)",
                &["varchar(500) /*M!100301 COMPRESSED*/"],
                &["text"],
            ),
            (text(140, 4, 63), "longblob", &["longblob"], &["longtext"]),
            (
                raw(254, 0xf701),
                "enum",
                &["enum('a','b')"],
                &["set('a','b')", "char(1)"],
            ),
            (
                raw(254, 0xf802),
                "set",
                &["set('1','2','3','4','5','6','7','8','9')"],
                &["set('a')"],
            ),
            (raw(245, 4), "json", &["json"], &["longtext"]),
            (
                MapColumn {
                    geometry_type: Some(1),
                    ..raw(255, 4)
                },
                "point",
                &["geometry", "point"],
                &["blob"],
            ),
            (
                MapColumn {
                    vector_dimension: Some(3),
                    ..raw(242, 4)
                },
                "vector(3)",
                &["vector(3)"],
                &["blob"],
            ),
            (raw(200, 0), "unknown(200)", &[], &["int"]),
        ])
    }

    #[test]
    fn every_class_has_its_text_and_knows_its_own() {
        for (class, synthesised, good, bad) in classes() {
            let anonymous = anonymous(&map([class.clone()].into()), &CHARSETS);
            assert_eq!(anonymous.columns[0].column_type, synthesised);
            assert_eq!(anonymous.columns[0].name, "@1");
            let fits = |text: &&str| {
                resolve(
                    &map([class.clone()].into()),
                    Some(&known(&[("c", text)])),
                    &CHARSETS,
                )
                .is_ok()
            };
            assert_eq!(good.iter().find(|text| !fits(text)), None, "{synthesised}");
            assert_eq!(bad.iter().find(|text| fits(text)), None, "{synthesised}");
        }
    }

    #[test]
    fn lengths_are_counted_in_the_known_character_set() {
        let check = |meta, charset: Option<&str>, text: &str| {
            let mut schema = known(&[("c", text)]);
            schema.columns[0].charset = charset.map(Into::into);
            resolve(&map([raw(15, meta)].into()), Some(&schema), &CHARSETS).is_ok()
        };
        assert!(check(80, Some("utf8mb4"), "varchar(20)"));
        assert!(check(40, Some("gbk"), "varchar(20)"));
        assert!(!check(80, Some("gbk"), "varchar(20)"));
        assert!(check(80, None, "varchar(20)"), "no more is known");
        assert!(!check(80, None, "varchar(81)"));
    }

    #[test]
    fn without_names_and_without_a_schema_there_is_doubt() {
        let map = map([raw(3, 0)].into());
        assert!(needs_live(&map));
        let doubt = resolve(&map, None, &CHARSETS).unwrap_err();
        assert_eq!(doubt.problem, DoubtProblem::Missing);
        let text = doubt.to_string();
        assert!(
            text.starts_with("table d.t: ") && text.contains("binlog_row_metadata=FULL"),
            "{text}"
        );
    }

    #[test]
    fn the_first_disagreement_is_named() {
        let doubt = |columns, schema: &TableSchema| {
            resolve(&map(columns), Some(schema), &CHARSETS)
                .unwrap_err()
                .problem
        };
        let two = known(&[("id", "int(11)"), ("name", "varchar(20)")]);
        assert_eq!(
            doubt([raw(3, 0)].into(), &two),
            DoubtProblem::Count {
                binlog: 1,
                known: 2
            }
        );
        assert!(matches!(
            doubt([raw(3, 0), raw(3, 0)].into(), &two),
            DoubtProblem::Column { number: 2, mismatch: Mismatch::Type { binlog, .. }, .. }
                if binlog == "int"
        ));
        let unsigned = MapColumn {
            unsigned: Some(true),
            ..raw(3, 0)
        };
        let one = known(&[("id", "int(11)")]);
        assert!(matches!(
            doubt([unsigned].into(), &one),
            DoubtProblem::Column {
                mismatch: Mismatch::Signedness { binlog: true, .. },
                ..
            }
        ));
        let not_null = MapColumn {
            nullable: false,
            ..raw(3, 0)
        };
        assert!(matches!(
            doubt([not_null].into(), &one),
            DoubtProblem::Column {
                mismatch: Mismatch::Nullability { binlog: false },
                ..
            }
        ));
        let mut latin = known(&[("c", "text")]);
        latin.columns[0].charset = Some("latin1".into());
        assert!(matches!(
            doubt([text(252, 2, 45)].into(), &latin),
            DoubtProblem::Column {
                mismatch: Mismatch::Charset { .. },
                ..
            }
        ));
    }

    #[test]
    fn a_year_is_unsigned_by_nature() {
        let year = MapColumn {
            unsigned: Some(true),
            ..raw(13, 0)
        };
        let map = map([year].into());
        assert!(resolve(&map, Some(&known(&[("y", "year(4)")])), &CHARSETS).is_ok());
        assert_eq!(anonymous(&map, &CHARSETS).columns[0].column_type, "year");
    }

    #[test]
    fn a_full_map_describes_itself() {
        let key = MapColumn {
            is_key: Some(true),
            unsigned: Some(true),
            nullable: false,
            ..full("id", raw(3, 0))
        };
        let members = Some([b"a".to_vec(), b"it's".to_vec()].into());
        let size = MapColumn {
            members,
            ..full("size", text(254, 0xf701, 45))
        };
        let map = map([key, full("note", text(15, 40, 28)), size].into());
        assert!(!needs_live(&map));
        let schema = resolve(&map, None, &CHARSETS).unwrap();
        let texts: Vec<&str> = schema
            .columns
            .iter()
            .map(|c| c.column_type.as_str())
            .collect();
        assert_eq!(texts, ["int unsigned", "varchar(20)", "enum('a','it''s')"]);
        assert!(schema.columns[0].is_key && schema.columns[0].nullable == Some(false));
        assert_eq!(schema.columns[1].charset.as_deref(), Some("gbk"));

        let live = known(&[
            ("id", "int(10) unsigned"),
            ("note", "varchar(20)"),
            ("size", "enum('x')"),
        ]);
        let schema = resolve(&map, Some(&live), &CHARSETS).unwrap();
        assert_eq!(
            schema.columns[0].column_type, "int(10) unsigned",
            "the width is known"
        );
        assert_eq!(
            schema.columns[2].column_type, "enum('a','it''s')",
            "members are the map's"
        );

        let renamed = known(&[
            ("key", "int(10) unsigned"),
            ("note", "varchar(20)"),
            ("size", "enum('x')"),
        ]);
        let schema = resolve(&map, Some(&renamed), &CHARSETS).unwrap();
        assert_eq!(
            schema.columns[0].column_type, "int unsigned",
            "another version lends nothing"
        );
    }

    #[test]
    fn hidden_columns_have_well_known_names() {
        let timestamp = || MapColumn {
            nullable: false,
            ..raw(17, 6)
        };
        let versioned = map([raw(3, 0), timestamp(), timestamp()].into());
        let schema = resolve(&versioned, Some(&known(&[("id", "int")])), &CHARSETS).unwrap();
        let names: Vec<&str> = schema.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["id", "row_start", "row_end"]);

        let row_id = MapColumn {
            nullable: false,
            ..raw(8, 0)
        };
        let rds = map([raw(3, 0), row_id].into());
        let schema = resolve(&rds, Some(&known(&[("id", "int")])), &CHARSETS).unwrap();
        assert_eq!(schema.columns[1].name, "__#alibaba_rds_row_id#__");
        assert!(schema.columns[1].is_key && schema.columns[1].column_type == "bigint");

        let mut keyed = known(&[("id", "int")]);
        keyed.columns[0].is_key = true;
        let doubt = resolve(&rds, Some(&keyed), &CHARSETS).unwrap_err();
        assert_eq!(
            doubt.problem,
            DoubtProblem::Count {
                binlog: 2,
                known: 1
            }
        );
    }

    proptest! {
        #[test]
        fn any_map_has_a_text_that_fits_it(
            column_type: u8, meta: u16, collation in prop::option::of(0_u16..300), unsigned: Option<bool>
        ) {
            let one = MapColumn { collation, unsigned, ..raw(column_type, meta) };
            let table = map([one].into());
            let schema = anonymous(&table, &CHARSETS);
            prop_assert!(!schema.columns[0].column_type.is_empty());
            let _ = resolve(&table, Some(&schema), &CHARSETS);
        }
    }
}
