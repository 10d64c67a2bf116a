//! Schemas from a `.sql` file: the CREATE TABLE statements of mysqldump, of SHOW CREATE TABLE, or
//! written by hand.
//!
//! USE statements set the schema of names without one; every other statement is skipped. Bodies
//! between DELIMITER lines are read by that delimiter. Executable comments of MySQL are code, so
//! that what a newer server needs is seen. A table defined twice is what it was last.
//!
//! A file is read whole in one pass; it never panics, and the first definition that cannot be read ends it
//! with its line.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

pub use super::ddl::create::CreateProblem;
use super::ddl::create::{Created, eat_create_table, read_create_table};
use super::ddl::cursor::Cursor;
use super::ddl::{Flavor, SqlContext};
use crate::schema::table::{TableName, TableSchema};

/// The version that decides over executable comments: every version there is.
const VERSION: u32 = 99_999;

/// Characters of a statement that an error shows.
const EXCERPT_CHARS: usize = 60;

/// A definition in a script that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: `{statement}`: {problem}")]
pub struct ScriptError {
    /// Where the statement begins, from 1.
    pub line: usize,
    /// The beginning of the statement.
    pub statement: String,
    /// What is wrong with it.
    pub problem: CreateProblem,
}

/// The tables that `sql` defines, by name. `default_schema` is that of names before any USE.
///
/// # Errors
/// The columns of a CREATE TABLE cannot be told.
pub fn parse(sql: &str, default_schema: &str) -> Result<Vec<TableSchema>, ScriptError> {
    let mut script = Script {
        schema: default_schema.to_owned(),
        tables: BTreeMap::new(),
    };
    for part in parts(sql) {
        let line = 1 + memchr::memchr_iter(b'\n', &sql.as_bytes()[..part.start]).count();
        script.read(part.text, line)?;
    }
    Ok(script.tables.into_values().collect())
}

/// A stretch of the file that one delimiter rules.
struct Part<'a> {
    text: &'a str,
    start: usize,
}

/// Cuts the file at DELIMITER lines, and what another delimiter than the semicolon rules at that.
fn parts(sql: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut start, mut at, mut delimiter) = (0, 0, ";");
    for line in sql.split_inclusive('\n') {
        let after = at + line.len();
        let mut words = line.split_whitespace();
        if words
            .next()
            .is_some_and(|word| word.eq_ignore_ascii_case("DELIMITER"))
        {
            cut(sql, start..at, delimiter, &mut parts);
            delimiter = words.next().unwrap_or(";");
            start = after;
        }
        at = after;
    }
    cut(sql, start..at, delimiter, &mut parts);
    parts
}

fn cut<'a>(
    sql: &'a str,
    range: core::ops::Range<usize>,
    delimiter: &str,
    parts: &mut Vec<Part<'a>>,
) {
    let mut start = range.start;
    if delimiter == ";" {
        parts.push(Part {
            text: &sql[range],
            start,
        });
        return;
    }
    for text in sql[range].split(delimiter) {
        parts.push(Part { text, start });
        start += text.len() + delimiter.len();
    }
}

struct Script {
    schema: String,
    tables: BTreeMap<TableName, TableSchema>,
}

impl Script {
    fn read(&mut self, text: &str, first_line: usize) -> Result<(), ScriptError> {
        let context = SqlContext {
            flavor: Flavor::Mysql,
            server_version: VERSION,
            ..SqlContext::default()
        };
        let mut cursor = Cursor::new(text, &context);
        loop {
            let start = cursor.peek().map_or(text.len(), |token| token.start);
            if cursor.eat("USE") {
                self.schema = cursor.name().unwrap_or_default();
            } else if eat_create_table(&mut cursor) {
                self.create(&mut cursor).map_err(|problem| ScriptError {
                    line: first_line
                        + memchr::memchr_iter(b'\n', &text.as_bytes()[..start]).count(),
                    statement: text[start..].chars().take(EXCERPT_CHARS).collect(),
                    problem,
                })?;
            }
            if !cursor.next_statement() {
                return Ok(());
            }
        }
    }

    fn create(&mut self, cursor: &mut Cursor<'_>) -> Result<(), CreateProblem> {
        let schema = match read_create_table(cursor)? {
            Created::Table(schema) => TableSchema {
                name: self.qualify(schema.name),
                ..schema
            },
            Created::Like(name, like) => {
                let (name, like) = (self.qualify(name), self.qualify(like));
                let Some(other) = self.tables.get(&like) else {
                    return Err(CreateProblem::Like(like));
                };
                TableSchema {
                    name,
                    columns: other.columns.clone(),
                }
            }
        };
        self.tables.insert(schema.name.clone(), schema);
        Ok(())
    }

    fn qualify(&self, name: TableName) -> TableName {
        if name.schema.is_empty() {
            return TableName {
                schema: self.schema.clone(),
                ..name
            };
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;
    use crate::schema::table::ColumnSchema;

    /// `name type[@charset][!][?]`: key and nullable.
    fn show(column: &ColumnSchema) -> String {
        let charset = column
            .charset
            .as_ref()
            .map_or(String::new(), |name| format!("@{name}"));
        let key = if column.is_key { "!" } else { "" };
        let null = match column.nullable {
            Some(true) => "?",
            Some(false) => "",
            None => "~",
        };
        format!("{} {}{charset}{key}{null}", column.name, column.column_type)
    }

    #[track_caller]
    fn columns_of(sql: &str) -> Vec<String> {
        let tables = parse(sql, "d").unwrap();
        tables
            .last()
            .map(|table| table.columns.iter().map(show).collect())
            .unwrap_or_default()
    }

    #[test]
    fn the_output_of_show_create_table() {
        let sql = "CREATE TABLE `t` (
  `id` int(11) unsigned NOT NULL AUTO_INCREMENT,
  `name` varchar(20) CHARACTER SET latin1 COLLATE latin1_bin DEFAULT 'a,b)' COMMENT 'it''s; KEY',
  `note` text COLLATE gbk_chinese_ci,
  `kind` enum('a','b''c') NOT NULL DEFAULT 'a',
  `amount` decimal(10,2) DEFAULT NULL,
  `raw` varbinary(30) DEFAULT NULL,
  `doc` json DEFAULT NULL,
  `twice` int(11) GENERATED ALWAYS AS ((`id` * 2)) VIRTUAL,
  `made` timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
  `hidden` int /*!80023 INVISIBLE */,
  PRIMARY KEY (`id`,`name`(10)) USING BTREE,
  UNIQUE KEY `u` (`amount`),
  KEY `k` (`kind`,`note`(5) DESC),
  FULLTEXT KEY `f` (`note`) /*!50100 WITH PARSER `ngram` */,
  CONSTRAINT `fk` FOREIGN KEY (`id`) REFERENCES `p` (`id`) ON DELETE CASCADE,
  CONSTRAINT `c` CHECK ((`amount` > 0))
) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin COMMENT='x)'
/*!50100 PARTITION BY HASH (`id`) PARTITIONS 4 */;";
        assert_eq!(
            columns_of(sql),
            [
                "id int(11) unsigned!",
                "name varchar(20)@latin1!",
                "note text@gbk?",
                "kind enum('a','b''c')@utf8mb3",
                "amount decimal(10,2)?",
                "raw varbinary(30)?",
                "doc json?",
                "twice int(11)?",
                "made timestamp(3)",
                "hidden int?",
            ]
        );
    }

    #[test]
    fn what_people_write_by_hand() {
        for (definition, expected) in [
            ("id INT PRIMARY KEY", "id int!"),
            ("id INT KEY", "id int!"),
            ("id INT NULL UNIQUE KEY", "id int?"),
            ("id SERIAL", "id bigint unsigned"),
            ("b BOOL DEFAULT NULL", "b tinyint(1)?"),
            ("l LONG VARCHAR", "l mediumtext@utf8mb4?"),
            ("n NATIONAL VARCHAR(9)", "n varchar(9)@utf8mb3?"),
            ("t TEXT(100)", "t text@utf8mb4?"),
            ("t TEXT(63)", "t tinytext@utf8mb4?"),
            ("t BLOB(70000)", "t mediumblob?"),
            ("d DEC", "d decimal(10,0)?"),
            ("r REAL NOT NULL", "r double"),
            ("f FLOAT(30)", "f double?"),
            ("c CHAR(5) BINARY", "c char(5)@utf8mb4?"),
            ("c CHAR(5) CHARACTER SET binary", "c binary(5)?"),
            ("ts TIMESTAMP", "ts timestamp~"),
            ("ts TIMESTAMP NULL", "ts timestamp?"),
            (
                "c INT CONSTRAINT x CHECK (c > 0) COMMENT 'PRIMARY KEY'",
                "c int?",
            ),
            ("v INT AS (1 + 1) STORED NOT NULL", "v int"),
            ("p POINT SRID 4326 NOT NULL", "p point"),
            ("`key` INT DEFAULT (NULL)", "key int?"),
            ("period INT", "period int?"),
            ("v VECTOR(3) NOT NULL", "v vector(3)"),
            ("名前 varchar(3)", "名前 varchar(3)@utf8mb4?"),
        ] {
            assert_eq!(
                columns_of(&format!("create table t ({definition})")),
                [expected]
            );
        }
    }

    #[test]
    fn keys_may_stand_apart() {
        let sql =
            "CREATE TABLE t (a INT, B INT, CONSTRAINT PRIMARY KEY USING BTREE (b, a(3) DESC))";
        assert_eq!(columns_of(sql), ["a int!", "B int!"]);
        let sql =
            "CREATE TABLE t (a INT, v VECTOR(3) NOT NULL, VECTOR INDEX (v), PERIOD FOR p (a, a))";
        assert_eq!(columns_of(sql), ["a int?", "v vector(3)"]);
    }

    #[test]
    fn character_sets_are_inherited() {
        let sql = "CREATE TABLE t (a TEXT, b TEXT CHARSET gbk) COLLATE = 'latin1_swedish_ci'";
        assert_eq!(columns_of(sql), ["a text@latin1?", "b text@gbk?"]);
        let sql = "CREATE TABLE t (a TEXT) DEFAULT CHARACTER SET = gb18030";
        assert_eq!(columns_of(sql), ["a text@gb18030?"]);
        let sql = "CREATE TABLE t (a TEXT) CHARSET=utf8mb3 COLLATE=utf8mb3_uca1400_ai_ci";
        assert_eq!(columns_of(sql), ["a text@utf8mb3?"]);
    }

    #[test]
    fn a_dump_has_much_besides() {
        let sql = "-- MySQL dump\n/*M!999999\\- enable the sandbox mode */\n\
            /*!40101 SET NAMES utf8 */;\nUSE `shop`;\n\
            DROP TABLE IF EXISTS `a`;\nCREATE TABLE `a` (`id` int);\n\
            INSERT INTO `a` VALUES (1),('; CREATE TABLE x');\nLOCK TABLES `a` WRITE;\n\
            DELIMITER ;;\nCREATE PROCEDURE p() BEGIN CREATE TABLE no (x int); SELECT 1; END ;;\n\
            CREATE TABLE odd (y int) ;;\nDELIMITER ;\n\
            CREATE TABLE other.b LIKE a;\nUSE crm;\nCREATE TABLE a (z int);\n\
            CREATE TABLE a (z bigint);\n";
        let tables = parse(sql, "").unwrap();
        let shown: Vec<String> = tables
            .iter()
            .map(|t| format!("{}: {}", t.name, show(&t.columns[0])))
            .collect();
        assert_eq!(
            shown,
            [
                "crm.a: z bigint?",
                "other.b: id int?",
                "shop.a: id int?",
                "shop.odd: y int?",
            ]
        );
    }

    #[test]
    fn errors_name_line_and_statement() {
        let line = |sql| parse(sql, "d").map_err(|error| (error.line, error.problem));
        assert_eq!(
            line("SELECT 1;\n\nCREATE TABLE t AS SELECT 1"),
            Err((3, CreateProblem::Select))
        );
        assert_eq!(
            line("CREATE TABLE t (a INT) SELECT 2"),
            Err((1, CreateProblem::Select))
        );
        assert_eq!(line("CREATE TABLE t"), Err((1, CreateProblem::Columns)));
        assert_eq!(line("CREATE TABLE (a INT)"), Err((1, CreateProblem::Name)));
        assert_eq!(line("CREATE TABLE t (a INT"), Err((1, CreateProblem::Open)));
        assert_eq!(
            line("CREATE TABLE t (a INT, b)"),
            Err((1, CreateProblem::Column { number: 2 }))
        );
        assert_eq!(
            line("CREATE TABLE t (a INT, PRIMARY KEY (b))"),
            Err((1, CreateProblem::Key("b".into())))
        );
        assert_eq!(
            line("DELIMITER //\nSELECT 1//\n  CREATE TABLE t LIKE u//"),
            Err((3, CreateProblem::Like(TableName::new("d", "u"))))
        );
        let error = parse("\nCREATE TABLE t (a)", "d").unwrap_err().to_string();
        assert!(
            error.starts_with("line 2: `CREATE TABLE t (a)`: column 1: "),
            "{error}"
        );
    }

    #[test]
    fn a_list_without_columns_is_no_table() {
        for sql in [
            "CREATE TABLE t (PRIMARY KEY (a))",
            "CREATE TABLE t (INDEX (a), CHECK (1))",
        ] {
            let error = parse(sql, "d").unwrap_err();
            assert_eq!(error.problem, CreateProblem::Columns, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_script_is_read_or_refused(sql in any::<String>()) {
            let _ = parse(&sql, "d");
            let _ = parse(&format!("CREATE TABLE t ({sql}"), "d");
        }

        #[test]
        fn any_pieces_are_read_or_refused(
            pieces in prop::collection::vec(prop::sample::select(&[
                "CREATE TABLE t", "(", ")", ",", "a", "INT", "ENUM", "'x'", "PRIMARY KEY", "COLLATE",
                "CHARSET", "=", "DEFAULT", ";", "\n", "DELIMITER", "//", "USE", "LIKE", "UNSIGNED", "9",
            ]), 0..24)
        ) {
            for table in parse(&pieces.join(" "), "d").unwrap_or_default() {
                prop_assert!(!table.columns.is_empty());
            }
        }
    }
}
