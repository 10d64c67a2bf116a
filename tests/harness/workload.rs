//! The SQL that the end-to-end test runs: every type with its extremes, every kind of change,
//! DDL between them, and names that nobody should choose but somebody does.
//!
//! Every altered table has all its rows changed afterwards (see [`super::mirror`]).

use std::fmt::Write as _;

use super::server::Kind;
use super::tables::quote;

/// The table whose first row tells a client that nothing follows.
pub const END: &str = "canald_end.marker";

/// More entries than canal keeps of one transaction before it passes them on (1024).
const BIG_TRANSACTION_ENTRIES: u32 = 1500;

/// Column types and values. Row `i` of a table with all of them has the `i`-th value of each.
const TYPES: &[(&str, &[&str])] = &[
    ("TINYINT", &["-128", "127", "0"]),
    ("TINYINT UNSIGNED", &["255", "128", "0"]),
    ("SMALLINT", &["-32768", "32767"]),
    ("SMALLINT UNSIGNED", &["65535", "32768", "0"]),
    ("MEDIUMINT", &["-8388608", "8388607", "-1"]),
    ("MEDIUMINT UNSIGNED", &["16777215", "8388608"]),
    ("INT", &["-2147483648", "2147483647"]),
    ("INT UNSIGNED", &["4294967295", "2147483648", "5"]),
    ("INT(8) ZEROFILL", &["42", "0"]),
    ("BIGINT", &["-9223372036854775808", "9223372036854775807"]),
    (
        "BIGINT UNSIGNED",
        &["18446744073709551615", "9223372036854775808", "0"],
    ),
    (
        "DECIMAL(10,2)",
        &["1234.50", "100.00", "0.00", "-0.05", "-99999999.99"],
    ),
    ("DECIMAL(10,0)", &["0", "-9999999999", "7"]),
    ("DECIMAL(20,9)", &["3.000000000", "-0.000000001"]),
    (
        "DECIMAL(65,30)",
        &[
            "99999999999999999999999999999999999.999999999999999999999999999999",
            "-1.5",
            "0",
        ],
    ),
    ("FLOAT", &["1.5", "-3.40282e38", "1e-30", "0", "123456789"]),
    (
        "DOUBLE",
        &[
            "1e7",
            "-2.2250738585072014e-308",
            "12345678.9",
            "0.1",
            "1.7976931348623157e308",
        ],
    ),
    ("BIT(1)", &["b'1'", "b'0'"]),
    ("BIT(10)", &["b'1111111111'", "b'1'"]),
    (
        "BIT(64)",
        &["x'FFFFFFFFFFFFFFFF'", "x'8000000000000000'", "b'0'"],
    ),
    ("YEAR", &["2024", "1901", "2155", "0000"]),
    (
        "DATE",
        &[
            "'2024-02-29'",
            "'0000-00-00'",
            "'2024-00-00'",
            "'9999-12-31'",
        ],
    ),
    (
        "TIME",
        &[
            "'12:34:56'",
            "'-838:59:59'",
            "'838:59:59'",
            "'00:00:00'",
            "'100:00:00'",
        ],
    ),
    (
        "TIME(6)",
        &["'-00:00:00.010000'", "'12:34:56.789012'", "'00:00:00'"],
    ),
    ("TIME(2)", &["'-12:34:56.78'", "'-00:00:00.01'"]),
    (
        "DATETIME",
        &[
            "'2024-02-29 23:59:59'",
            "'0000-00-00 00:00:00'",
            "'9999-12-31 23:59:59'",
        ],
    ),
    (
        "DATETIME(3)",
        &["'2024-02-29 23:59:59.999'", "'0000-00-00 00:00:00.000'"],
    ),
    (
        "TIMESTAMP NULL",
        &[
            "'2038-01-19 03:14:07'",
            "'1970-01-01 00:00:01'",
            "'0000-00-00 00:00:00'",
        ],
    ),
    (
        "TIMESTAMP(6) NULL",
        &[
            "'2024-06-30 12:00:00.123456'",
            "'1970-01-01 00:00:01.000000'",
        ],
    ),
    ("CHAR(10)", &["'trailing  '", "''", "'中文'"]),
    ("CHAR(20) CHARACTER SET latin1", &["'café'", "'plain'"]),
    ("VARCHAR(50) CHARACTER SET gbk", &["'汉字与ascii'", "''"]),
    ("VARCHAR(50) CHARACTER SET utf8mb3", &["'中文é'", "'x'"]),
    (
        "VARCHAR(300)",
        &["'中文😀é\"\\'\\\\\\n\\t end'", "''", "REPEAT('字', 300)"],
    ),
    ("TINYTEXT", &["'tiny'", "''"]),
    ("TEXT", &["REPEAT('表情😀', 5000)", "'a\\0b'"]),
    ("MEDIUMTEXT", &["REPEAT('m', 100000)", "'NULL'"]),
    ("LONGTEXT", &["REPEAT('长', 70000)", "'null'"]),
    (
        "BINARY(8)",
        &[
            "x'0011FF0000000000'",
            "x'0000000000000000'",
            "x'FFFFFFFFFFFFFFFF'",
        ],
    ),
    ("VARBINARY(300)", &["x'00FF0000'", "''"]),
    ("TINYBLOB", &["x'C3A900'", "''"]),
    ("BLOB", &["REPEAT(x'00010203FFFE', 5000)", "x'80'"]),
    ("MEDIUMBLOB", &["REPEAT(x'00FF', 100000)", "x''"]),
    ("LONGBLOB", &["REPEAT(x'DEADBEEF', 50000)", "x'7F'"]),
    ("ENUM('a','b','含')", &["'a'", "'含'", "'no such member'"]),
    ("SET('x','y','z')", &["'x,z'", "''", "'x,y,z'"]),
    (
        "POINT",
        &[
            "ST_GeomFromText('POINT(1 2)')",
            "ST_GeomFromText('POINT(-0.5 1e10)')",
        ],
    ),
    (
        "GEOMETRY",
        &[
            "ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')",
            "ST_GeomFromText('LINESTRING(0 0,1 1)')",
        ],
    ),
];

const JSON: &[&str] = &[
    r#"'{"a": 1, "bb": [1, 2.5, "x", true, null, false], "c": {"d": "é\\n\\"q\\"/\\\\\\t\\b😀"}}'"#,
    "'[]'",
    "'{}'",
    "'null'",
    "'18446744073709551615'",
    "'-9223372036854775808'",
    "'1e10'",
    "'\"text\"'",
    "CONCAT('[', REPEAT('12345, ', 20000), '0]')",
];

/// What MySQL alone can keep inside of a JSON value. No DATE: canal shows one with a time of day
/// (binlog-parser reference §3.5), the server without.
const JSON_MYSQL: &[&str] = &[
    "JSON_OBJECT('time', CAST('-12:34:56.7' AS TIME(6)), 'at', CAST('2024-01-02 03:04:05.678' AS DATETIME(6)))",
    "JSON_ARRAY(CAST('1.10' AS DECIMAL(10,2)), 1e-5, -0.25)",
];

/// Tables that do not change once they are there, for one kind of server.
#[must_use]
pub fn settled(kind: Kind) -> String {
    let mut sql = String::from(
        "SET NAMES utf8mb4; SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION'; SET time_zone = '+00:00';
         CREATE DATABASE shop DEFAULT CHARACTER SET utf8mb4;\n",
    );
    all_types(&mut sql, kind);
    sql.push_str(ROWS);
    keys_and_bags(&mut sql);
    big_transactions(&mut sql);
    if kind != Kind::MySql56 {
        sql.push_str(NEWER);
    }
    sql
}

/// Tables that change between rows, step by step; they follow [`settled`].
#[must_use]
pub fn evolution() -> Vec<String> {
    let statements = EVOLUTION.split(';').map(str::trim);
    let statements = statements.filter(|statement| !statement.is_empty());
    statements.map(String::from).chain(odd_names()).collect()
}

/// What ends a workload.
pub const LAST: &str = "CREATE DATABASE canald_end; CREATE TABLE canald_end.marker (id INT PRIMARY KEY); \
                        INSERT INTO canald_end.marker VALUES (1);";

fn all_types(sql: &mut String, kind: Kind) {
    let mut columns: Vec<(&str, Vec<&str>)> = TYPES
        .iter()
        .map(|(name, values)| (*name, values.to_vec()))
        .collect();
    match kind {
        Kind::MySql97 => columns.push(("JSON", [JSON, JSON_MYSQL].concat())),
        Kind::MariaDb1011 => columns.push(("JSON", JSON.to_vec())),
        Kind::MySql56 => {}
    }
    let rows = columns
        .iter()
        .map(|(_, values)| values.len())
        .max()
        .unwrap_or(0);
    let definitions: String =
        columns
            .iter()
            .enumerate()
            .fold(String::new(), |mut text, (i, (name, _))| {
                let _ = write!(text, ", c{i} {name}");
                text
            });
    let _ = writeln!(
        sql,
        "USE shop; CREATE TABLE all_types (id BIGINT UNSIGNED PRIMARY KEY{definitions});"
    );
    let value = |values: &[&str], row: usize| {
        values
            .get(row % values.len().max(1))
            .map_or("NULL", |value| value)
            .to_owned()
    };
    for row in 0..rows {
        let values: Vec<String> = columns
            .iter()
            .map(|(_, values)| value(values, row))
            .collect();
        let _ = writeln!(
            sql,
            "INSERT INTO all_types VALUES ({row}, {});",
            values.join(", ")
        );
    }
    let nulls = vec!["NULL"; columns.len()].join(", ");
    let _ = writeln!(
        sql,
        "INSERT INTO all_types VALUES (18446744073709551615, {nulls}), (1000, {nulls});"
    );
    // Every value becomes the next one, or NULL, so that images before are covered too.
    for row in 0..rows {
        let changes: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(i, (_, values))| match (row + i) % 5 {
                0 => format!("c{i} = NULL"),
                _ => format!("c{i} = {}", value(values, row + 1)),
            })
            .collect();
        let _ = writeln!(
            sql,
            "UPDATE all_types SET {} WHERE id = {row};",
            changes.join(", ")
        );
    }
    sql.push_str("UPDATE all_types SET id = 1001, c0 = 1 WHERE id = 1000; DELETE FROM all_types WHERE id = 0;\n");
}

const ROWS: &str = "
CREATE TABLE orders (
    id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, customer VARCHAR(40) NOT NULL,
    amount DECIMAL(12,2) UNSIGNED, note TEXT, KEY (customer)
);
INSERT INTO orders (customer, amount, note) VALUES ('王小明', 12.50, NULL), ('Žofie', 0.00, ''), ('O''Hara', NULL, 'a\\tb\\nc');
INSERT INTO orders (customer, amount) VALUES ('one', 1), ('two', 2), ('three', 3);
UPDATE orders SET amount = amount + 1, note = CONCAT('n', id);
UPDATE orders SET id = id + 1000 WHERE customer IN ('one', 'two');
UPDATE orders SET id = 4 WHERE id = 1004;
DELETE FROM orders WHERE customer = 'three';
INSERT INTO orders (id, customer) VALUES (4, 'twice') ON DUPLICATE KEY UPDATE customer = 'replaced', note = NULL;
REPLACE INTO orders (id, customer, amount) VALUES (4, 'again', 9.99);
BEGIN; INSERT INTO orders (customer) VALUES ('never'); DELETE FROM orders; ROLLBACK;
BEGIN; INSERT INTO orders (customer) VALUES ('kept'); SAVEPOINT a; INSERT INTO orders (customer) VALUES ('undone');
ROLLBACK TO SAVEPOINT a; INSERT INTO orders (customer) VALUES ('kept too'); COMMIT;
";

fn keys_and_bags(sql: &mut String) {
    sql.push_str(
        "CREATE TABLE pairs (b VARCHAR(20), v INT, a INT, PRIMARY KEY (a, b));
         INSERT INTO pairs VALUES ('x', 1, 1), ('y', 2, 1), ('x', 3, 2);
         UPDATE pairs SET b = 'z' WHERE a = 1 AND b = 'y'; DELETE FROM pairs WHERE a = 2;
         CREATE TABLE bag (v INT, w VARCHAR(10));
         INSERT INTO bag VALUES (1, 'a'), (1, 'a'), (2, NULL), (2, NULL), (NULL, NULL);
         UPDATE bag SET v = 3 WHERE v = 2 LIMIT 1; DELETE FROM bag WHERE v = 1 LIMIT 1;\n",
    );
}

fn big_transactions(sql: &mut String) {
    sql.push_str("CREATE TABLE big (id INT PRIMARY KEY, filler VARCHAR(100)); BEGIN;\n");
    for id in 0..BIG_TRANSACTION_ENTRIES {
        let _ = writeln!(
            sql,
            "INSERT INTO big VALUES ({id}, REPEAT('{}', 50));",
            id % 10
        );
    }
    // One statement of ten thousand rows fills many row events.
    sql.push_str("COMMIT; CREATE TABLE digits (d INT PRIMARY KEY); INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
        INSERT INTO big SELECT 10000 + a.d + 10*b.d + 100*c.d + 1000*d.d, 'bulk' FROM digits a, digits b, digits c, digits d;
        UPDATE big SET filler = CONCAT(filler, '!') WHERE id % 3 = 0; DELETE FROM big WHERE id % 7 = 0;\n");
}

/// No semicolon stands inside a statement.
const EVOLUTION: &str = "
CREATE TABLE evolving (id INT PRIMARY KEY, a INT, b VARCHAR(20));
INSERT INTO evolving VALUES (1, 1, 'one'), (2, 2, 'two');
ALTER TABLE evolving ADD COLUMN c DATETIME(2) DEFAULT '2024-01-01 00:00:00', ADD COLUMN first_one BIGINT UNSIGNED FIRST;
UPDATE evolving SET first_one = 18446744073709551615 - id;
ALTER TABLE evolving MODIFY COLUMN a BIGINT UNSIGNED AFTER c, CHANGE COLUMN b renamed VARCHAR(200) CHARACTER SET latin1;
UPDATE evolving SET a = 18446744073709551615, renamed = 'café';
ALTER TABLE evolving DROP COLUMN c;
UPDATE evolving SET a = a - id;
CREATE INDEX by_name ON evolving (renamed);
ALTER TABLE evolving ADD UNIQUE KEY u (a);
DROP INDEX by_name ON evolving;
INSERT INTO evolving VALUES (7, 3, 'three', 3);
RENAME TABLE evolving TO evolved;
INSERT INTO evolved VALUES (8, 4, 'four', 4);
ALTER TABLE evolved RENAME TO evolved_again;
UPDATE evolved_again SET renamed = 'last';
CREATE TABLE evolving LIKE evolved_again;
INSERT INTO evolving VALUES (9, 9, 'same name, other table', 9);
RENAME TABLE evolving TO swap_temporary, evolved_again TO evolving, swap_temporary TO evolved_again;
UPDATE evolving SET renamed = 'swapped'; UPDATE evolved_again SET renamed = 'swapped too';
CREATE TABLE emptied (id INT PRIMARY KEY); INSERT INTO emptied VALUES (1), (2); TRUNCATE TABLE emptied; INSERT INTO emptied VALUES (3);
CREATE TABLE dropped (id INT PRIMARY KEY); INSERT INTO dropped VALUES (1); DROP TABLE dropped;
CREATE TABLE dropped (other VARCHAR(5), id INT PRIMARY KEY); INSERT INTO dropped VALUES ('new', 1);
CREATE TABLE d1 (id INT PRIMARY KEY); CREATE TABLE d2 (id INT PRIMARY KEY); INSERT INTO d1 VALUES (1); INSERT INTO d2 VALUES (1);
DROP TABLE IF EXISTS d1, d2, d3;
CREATE TABLE IF NOT EXISTS orders (wrong INT); INSERT INTO orders (customer) VALUES ('after create if not exists');
CREATE DATABASE passing; CREATE TABLE passing.t (id INT PRIMARY KEY); INSERT INTO passing.t VALUES (1); DROP DATABASE passing;
CREATE VIEW seen AS SELECT id FROM orders; DROP VIEW seen;
";

/// What servers older than 5.7 do not know.
const NEWER: &str = "
CREATE TABLE computed (id INT PRIMARY KEY, doubled INT AS (id * 2) STORED, tripled INT AS (id * 3) VIRTUAL);
INSERT INTO computed (id) VALUES (1), (2); UPDATE computed SET id = 5 WHERE id = 1;
CREATE TABLE copied (PRIMARY KEY (id)) AS SELECT id, note FROM orders WHERE id < 20;
";

fn odd_names() -> Vec<String> {
    let longest = "n".repeat(64);
    let schemas = ["odd `schema`", "数据库"];
    let tables = [
        "we`ird",
        "with space",
        "表 名",
        "a.b",
        "select",
        "-- not a comment",
        &longest,
    ];
    let mut steps = Vec::new();
    for schema in schemas {
        steps.push(format!("CREATE DATABASE {}", quote(schema)));
        for table in tables {
            let name = format!("{}.{}", quote(schema), quote(table));
            steps.push(format!(
                "CREATE TABLE {name} (`primary key` INT PRIMARY KEY, `col``umn` TEXT, `列` VARCHAR(9));
                 INSERT INTO {name} VALUES (1, 'x', '值'), (2, NULL, NULL)"
            ));
            steps.push(format!(
                "ALTER TABLE {name} ADD COLUMN `more, ``columns` INT DEFAULT 3; UPDATE {name} SET `列` = 'u';
                 DELETE FROM {name} WHERE `primary key` = 1"
            ));
        }
    }
    let (schema, former, new) = (quote(schemas[0]), quote(tables[0]), quote("re`named"));
    steps.push(format!("RENAME TABLE {schema}.{former} TO {schema}.{new}"));
    steps
}
