//! Statements of the references and of real binlogs, and what canal makes of them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::StatementClass::{
    Begin, Commit, CreateFilled, Ddl, Dml, NoEntry, Query, Rollback, Savepoint, Xa,
};
use super::*;

const CONTEXT: SqlContext<'static> = SqlContext {
    default_schema: "d",
    ansi_quotes: false,
    no_backslash_escapes: false,
    flavor: Flavor::Mysql,
    server_version: 90_700,
    fold_names: false,
};

const MARIADB: SqlContext<'static> = SqlContext {
    flavor: Flavor::Mariadb,
    server_version: 110_800,
    ..CONTEXT
};

/// `[target←origin, …]` as text, schema and table joined by a dot.
fn subjects(scanned: &Scanned<'_>) -> String {
    let each = scanned.subjects.iter().map(|judged| match &judged.origin {
        Some(origin) => format!("{}<{origin}", judged.table),
        None => judged.table.to_string(),
    });
    each.collect::<Vec<_>>().join(" ")
}

fn touches(scanned: &Scanned<'_>) -> String {
    match &scanned.touches {
        Touches::Nothing => "-".into(),
        Touches::Tables(tables) => tables
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" "),
        Touches::Schema(schema) => format!("{schema}.*"),
        Touches::Everything => "*".into(),
    }
}

/// A definition: its kind, subjects and touched tables; the header shows the first subject.
#[track_caller]
fn expect_ddl(context: &SqlContext<'_>, sql: &str, kind: RowKind, judged: &str, touched: &str) {
    let scanned = scan(sql, context);
    assert_eq!(scanned.class, Ddl(kind), "{sql}");
    assert_eq!(subjects(&scanned), judged, "{sql}");
    assert_eq!(touches(&scanned), touched, "{sql}");
    let first = scanned.subjects.first().map(|judged| &judged.table);
    assert_eq!(
        scanned.table.as_ref(),
        first.map(|name| &name.table),
        "{sql}"
    );
    assert_eq!(
        scanned.schema.as_ref(),
        first.map(|name| &name.schema),
        "{sql}"
    );
}

/// A definition of one table: it is judged and touched.
#[track_caller]
fn expect_one(sql: &str, kind: RowKind, table: &str) {
    expect_ddl(&CONTEXT, sql, kind, table, table);
}

#[track_caller]
fn expect_class(sql: &str, class: StatementClass<'_>) {
    let scanned = scan(sql, &CONTEXT);
    assert_eq!(scanned.class, class, "{sql}");
    assert!(scanned.subjects.is_empty(), "{sql}");
}

#[test]
fn transactions_are_known_by_exact_tokens() {
    for sql in [
        "BEGIN",
        "begin",
        " BEGIN ;",
        "BEGIN WORK",
        "START TRANSACTION",
        "/* x */ begin",
    ] {
        expect_class(sql, Begin);
    }
    expect_class("BEGIN NOT ATOMIC SELECT 1; END", Query);
    expect_class("COMMIT", Commit);
    expect_class("commit work", Commit);
    expect_class("ROLLBACK", Rollback);
    expect_class("ROLLBACK WORK", Rollback);
    for sql in [
        "SAVEPOINT `s`",
        "ROLLBACK TO `s`",
        "ROLLBACK WORK TO SAVEPOINT s",
        "RELEASE SAVEPOINT s",
    ] {
        expect_class(sql, Savepoint);
    }
    // Canal goes by the last letters; a table may be called that.
    expect_one("CREATE TABLE x LIKE begin", RowKind::Create, "d.x");
}

#[test]
fn xa_keeps_the_text_after_the_keyword() {
    let xa = |verb, xid| Xa { verb, xid };
    expect_class(
        "XA START X'78696431',X'6231',7",
        xa(XaVerb::Start, " X'78696431',X'6231',7"),
    );
    expect_class("XA END X'31',X'',1", xa(XaVerb::End, " X'31',X'',1"));
    expect_class(
        "xa prepare X'31',X'',1",
        xa(XaVerb::Prepare, " X'31',X'',1"),
    );
    expect_class("XA COMMIT X'31',X'',1", xa(XaVerb::Commit, " X'31',X'',1"));
    expect_class(
        "XA ROLLBACK X'31',X'',1",
        xa(XaVerb::Rollback, " X'31',X'',1"),
    );
    expect_class("XA RECOVER", NoEntry);
}

#[test]
fn create_table_in_all_its_spellings() {
    for sql in [
        "CREATE TABLE t (id INT PRIMARY KEY) COMMENT='first; with -- signs /* and */ #'",
        "create table if not exists `t` (a int)",
        "CREATE OR REPLACE TABLE t (z INT)",
        "CREATE TABLE d.t LIKE c.moved",
        "CREATE TABLE `t` (\n  `a` int NOT NULL\n) START TRANSACTION",
        "CREATE TABLE t (a INT, `select` INT) PARTITION BY LIST (a) (PARTITION p VALUES IN (1))",
        "/* tool 1.2 */ CREATE TABLE /*!50000 IF NOT EXISTS */ t (a INT /* inner */)",
        "/*!50003 CREATE TABLE t (a INT) */",
        "CREATE TABLE t(a int) /*!50100 PARTITION BY HASH (a) PARTITIONS 4 */",
        "# first\n-- second\nCREATE TABLE t(a int); DROP TABLE other",
        ";CREATE TABLE t(a int)",
    ] {
        expect_one(sql, RowKind::Create, "d.t");
    }
    let temporary = "CREATE TEMPORARY TABLE tmp (a INT)";
    expect_ddl(&CONTEXT, temporary, RowKind::Create, "d.tmp", "-");
    let sql =
        "SET STATEMENT max_statement_time=0, lock_wait_timeout=(1) FOR CREATE TABLE t (a INT)";
    expect_ddl(&MARIADB, sql, RowKind::Create, "d.t", "d.t");
}

#[test]
fn a_table_that_a_query_fills_is_told_from_one_that_is_empty() {
    for sql in [
        "CREATE TABLE `d` . `t` AS SELECT * FROM tmp",
        "CREATE TABLE t (PRIMARY KEY (a)) AS SELECT 1 AS a, 'x' AS b UNION SELECT 2, 'y'",
        "CREATE TABLE t ((SELECT 1 AS a))",
        "CREATE TABLE t (a INT) IGNORE SELECT 1 AS a",
        "CREATE TABLE t WITH c AS (SELECT 1) SELECT * FROM c",
        "CREATE TABLE t AS TABLE u",
        "CREATE TABLE t VALUES ROW(1)",
    ] {
        let found = scan(sql, &CONTEXT);
        assert_eq!(found.class, CreateFilled, "{sql}");
        assert_eq!(
            (subjects(&found), touches(&found)),
            ("d.t".into(), "d.t".into()),
            "{sql}"
        );
    }
    let temporary = "CREATE TEMPORARY TABLE tmp SELECT 1";
    expect_ddl(&CONTEXT, temporary, RowKind::Create, "d.tmp", "-");
}

#[test]
fn names_may_be_anything_in_quotes() {
    expect_one(
        "CREATE TABLE `com``ment` (a INT)",
        RowKind::Create,
        "d.com`ment",
    );
    expect_one(
        "CREATE TABLE `t ``odd``.名前 uty` (a INT)",
        RowKind::Create,
        "d.t `odd`.名前 uty",
    );
    expect_one("CREATE TABLE 名前 (a INT)", RowKind::Create, "d.名前");
    expect_one("CREATE TABLE 1a$b_2 (a INT)", RowKind::Create, "d.1a$b_2");
    expect_one("CREATE TABLE x.1 (a INT)", RowKind::Create, "x.1");
    expect_one("CREATE TABLE `create`(a INT)", RowKind::Create, "d.create");
    let long = "あ".repeat(64);
    expect_one(
        &format!("DROP TABLE `{long}`"),
        RowKind::Erase,
        &format!("d.{long}"),
    );
    let ansi = SqlContext {
        ansi_quotes: true,
        ..CONTEXT
    };
    let sql = "CREATE TABLE \"a\"\"b\".\"c\" (a INT)";
    expect_ddl(&ansi, sql, RowKind::Create, "a\"b.c", "a\"b.c");
    let folded = SqlContext {
        fold_names: true,
        default_schema: "Dd",
        ..CONTEXT
    };
    expect_ddl(
        &folded,
        "DROP TABLE Aa, Ä.Bb",
        RowKind::Erase,
        "dd.aa ä.bb",
        "dd.aa ä.bb",
    );
}

#[test]
fn without_a_default_schema_the_header_has_none() {
    let context = SqlContext {
        default_schema: "",
        ..CONTEXT
    };
    let scanned = scan("CREATE TABLE t (a INT)", &context);
    assert_eq!((scanned.schema, scanned.table), (None, Some("t".into())));
}

#[test]
fn alter_table_is_what_its_first_item_is() {
    use RowKind::{Alter, CreateIndex, DropIndex};
    for (items, kind) in [
        ("ADD COLUMN c INT DEFAULT 5", Alter),
        ("ADD m VARCHAR(9) DEFAULT 'm' AFTER a", Alter),
        ("ADD COLUMN (x DATE, y DECIMAL(10,2))", Alter),
        ("ADD (x DATE, y ENUM(',', ')'))", Alter),
        ("DROP COLUMN f", Alter),
        ("DROP f", Alter),
        ("MODIFY COLUMN a BIGINT UNSIGNED", Alter),
        (
            "CHANGE COLUMN b bb VARCHAR(50) CHARACTER SET latin1 NOT NULL DEFAULT ''",
            Alter,
        ),
        (
            "ADD UNIQUE KEY ua (a), ADD INDEX im (m(3)), ALGORITHM=INPLACE",
            CreateIndex,
        ),
        ("ADD INDEX im (m(3))", CreateIndex),
        ("ADD KEY (m)", CreateIndex),
        ("ADD FULLTEXT KEY f (m) WITH PARSER ngram", CreateIndex),
        ("ADD SPATIAL INDEX (g)", CreateIndex),
        ("ADD VECTOR INDEX (v)", CreateIndex),
        ("ADD vector VECTOR(3)", Alter),
        ("ADD CONSTRAINT u UNIQUE (a)", CreateIndex),
        ("ADD CONSTRAINT UNIQUE (a)", CreateIndex),
        ("ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id)", Alter),
        ("ADD CONSTRAINT PRIMARY KEY (id)", Alter),
        ("ADD PRIMARY KEY (id), ADD INDEX (a)", CreateIndex),
        ("DROP INDEX im, ADD COLUMN x DATE", DropIndex),
        ("DROP KEY im", DropIndex),
        ("DROP CONSTRAINT im", DropIndex),
        ("DROP FOREIGN KEY fk", Alter),
        ("DROP PRIMARY KEY, ADD PRIMARY KEY (id, a)", Alter),
        ("ALTER COLUMN c SET DEFAULT 9", Alter),
        ("ALTER COLUMN mm SET INVISIBLE", Alter),
        ("ALTER INDEX ua INVISIBLE", Alter),
        (
            "MODIFY COLUMN y DECIMAL(12,4) AFTER id, MODIFY COLUMN x DATETIME(3) FIRST",
            Alter,
        ),
        ("CONVERT TO CHARACTER SET utf8mb4", Alter),
        ("ENGINE=InnoDB", Alter),
        (
            "ADD INDEX (a), COMMENT='changed', AUTO_INCREMENT=100",
            Alter,
        ),
        (
            "COMMENT='changed', AUTO_INCREMENT=100, ROW_FORMAT=DYNAMIC",
            Alter,
        ),
        ("ADD COLUMN `e e` ENUM('x','y') DEFAULT 'y'", Alter),
        ("RENAME COLUMN m TO mm", Alter),
        ("RENAME INDEX a TO b", Alter),
        ("RENAME KEY a TO b", Alter),
        ("FORCE", Alter),
        ("ORDER BY a, b", Alter),
        ("DISABLE KEYS", Alter),
        ("DISCARD TABLESPACE", Alter),
        (
            "PARTITION BY RANGE (a) (PARTITION p0 VALUES LESS THAN (5), PARTITION p1 VALUES LESS THAN MAXVALUE)",
            Alter,
        ),
        ("EXCHANGE PARTITION p0 WITH TABLE x", Alter),
        ("", Alter),
    ] {
        expect_one(&format!("ALTER TABLE t {items}"), kind, "d.t");
    }
    expect_one("ALTER IGNORE TABLE t ADD INDEX (a)", CreateIndex, "d.t");
    expect_one("alter online table x.t drop key a", DropIndex, "x.t");
    let sql = "ALTER TABLE IF EXISTS t WAIT 5 ADD COLUMN IF NOT EXISTS w INT";
    expect_ddl(&MARIADB, sql, Alter, "d.t", "d.t");
    expect_ddl(
        &MARIADB,
        "ALTER TABLE t NOWAIT DROP KEY w",
        DropIndex,
        "d.t",
        "d.t",
    );
    let sql = "ALTER TABLE t CONVERT PARTITION p0 TO TABLE x.apart";
    expect_ddl(&MARIADB, sql, Alter, "d.t", "d.t x.apart");
    let sql = "ALTER TABLE t CONVERT TABLE apart TO PARTITION p0 VALUES LESS THAN (9)";
    expect_ddl(&MARIADB, sql, Alter, "d.t", "d.t d.apart");
}

#[test]
fn alter_table_rename_moves_the_table() {
    for items in ["RENAME TO r", "RENAME AS r", "RENAME = r", "RENAME r"] {
        let sql = format!("ALTER TABLE t {items}");
        expect_ddl(&CONTEXT, &sql, RowKind::Rename, "d.r<d.t", "d.t d.r");
    }
    let sql = "ALTER TABLE t RENAME x.r, ADD COLUMN a INT";
    expect_ddl(&CONTEXT, sql, RowKind::Rename, "x.r<d.t d.t", "d.t x.r");
    let sql = "ALTER TABLE t ADD COLUMN a INT, RENAME x.r";
    expect_ddl(&CONTEXT, sql, RowKind::Alter, "d.t x.r<d.t", "d.t x.r");
}

#[test]
fn rename_table_shows_the_first_target() {
    for (sql, judged, touched) in [
        (
            "RENAME TABLE t_renamed TO t_again",
            "d.t_again<d.t_renamed",
            "d.t_renamed d.t_again",
        ),
        ("RENAME TABLES a TO x.b", "x.b<d.a", "d.a x.b"),
        (
            "rename /* gh-ost */ table `d`.`t` to `d`.`_t_del`, `d`.`_t_gho` to `d`.`t`",
            "d._t_del<d.t d.t<d._t_gho",
            "d.t d._t_del d._t_gho d.t",
        ),
        (
            "RENAME TABLE `d`.`t` TO `d`.`_t_old`, `d`.`_t_new` TO `d`.`t`",
            "d._t_old<d.t d.t<d._t_new",
            "d.t d._t_old d._t_new d.t",
        ),
        (
            "RENAME TABLE IF EXISTS no_such WAIT 3 TO nowhere, `like` TO liked",
            "d.nowhere<d.no_such d.liked<d.like",
            "d.no_such d.nowhere d.like d.liked",
        ),
    ] {
        expect_ddl(&CONTEXT, sql, RowKind::Rename, judged, touched);
    }
}

#[test]
fn drop_truncate_and_indexes() {
    use RowKind::{CreateIndex, DropIndex, Erase, Truncate};
    expect_one("DROP TABLE d1, c.d2", Erase, "d.d1 c.d2");
    expect_one(
        "DROP TABLE IF EXISTS d1,nothing_here CASCADE",
        Erase,
        "d.d1 d.nothing_here",
    );
    expect_one("DROP TABLE `ai` /* generated by server */", Erase, "d.ai");
    expect_ddl(
        &CONTEXT,
        "DROP TEMPORARY TABLE IF EXISTS tmp",
        Erase,
        "d.tmp",
        "-",
    );
    expect_ddl(&CONTEXT, "TRUNCATE orders", Truncate, "d.orders", "-");
    expect_ddl(
        &CONTEXT,
        "truncate table x.`orders`",
        Truncate,
        "x.orders",
        "-",
    );
    expect_one("CREATE INDEX ix ON orders (note)", CreateIndex, "d.orders");
    let sql = "CREATE UNIQUE INDEX ix USING BTREE ON x.orders (note(3) DESC) ALGORITHM=INPLACE";
    expect_one(sql, CreateIndex, "x.orders");
    expect_one(
        "CREATE FULLTEXT INDEX `on` ON orders (note)",
        CreateIndex,
        "d.orders",
    );
    expect_one("DROP INDEX ix ON orders LOCK=NONE", DropIndex, "d.orders");
    expect_one("DROP INDEX `PRIMARY` ON x.orders", DropIndex, "x.orders");
}

#[test]
fn databases_have_a_schema_alone() {
    for (sql, touched) in [
        ("CREATE DATABASE x DEFAULT CHARACTER SET utf8mb4", "-"),
        (
            "CREATE SCHEMA IF NOT EXISTS `x` DEFAULT ENCRYPTION='N'",
            "-",
        ),
        ("DROP DATABASE x", "x.*"),
        ("drop schema if exists x", "x.*"),
    ] {
        let scanned = scan(sql, &CONTEXT);
        assert_eq!(scanned.class, Query, "{sql}");
        assert_eq!(
            (scanned.schema.as_deref(), scanned.table.as_deref()),
            (Some("x"), None)
        );
        assert_eq!(touches(&scanned), touched, "{sql}");
    }
    expect_class("ALTER DATABASE x CHARACTER SET latin1", NoEntry);
}

#[test]
fn stored_programs_are_queries_that_touch_nothing() {
    for sql in [
        "CREATE TRIGGER pt_osc_ins AFTER INSERT ON orders FOR EACH ROW REPLACE INTO `like` (id) VALUES (NEW.id)",
        "CREATE DEFINER=`root`@`localhost` TRIGGER t AFTER INSERT ON orders FOR EACH ROW BEGIN END",
        "DROP TRIGGER pt_osc_ins",
        "CREATE DEFINER=`root`@`%` FUNCTION `fn`(x INT) RETURNS int\n DETERMINISTIC\nRETURN x + 1",
        "DROP FUNCTION fn",
        "CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO DELETE FROM orders WHERE id < 0",
        "ALTER DEFINER = CURRENT_USER() EVENT ev DISABLE",
        "DROP EVENT ev",
        "CREATE OR REPLACE PROCEDURE p() BEGIN DROP TABLE x; COMMIT; END",
    ] {
        expect_class(sql, Query);
        assert_eq!(touches(&scan(sql, &CONTEXT)), "-", "{sql}");
    }
}

#[test]
fn what_canal_does_not_deliver() {
    for sql in [
        "CREATE ALGORITHM=UNDEFINED DEFINER=`r`@`%` SQL SECURITY DEFINER VIEW `v` AS select 1",
        "CREATE OR REPLACE VIEW v AS SELECT id, note FROM orders",
        "ALTER VIEW v AS SELECT id FROM orders",
        "DROP VIEW v",
        "ANALYZE TABLE orders",
        "OPTIMIZE TABLE orders",
        "CREATE USER 'u'@'localhost' IDENTIFIED BY 'secret'",
        "ALTER USER u ACCOUNT LOCK",
        "GRANT SELECT ON x.* TO 'u'@'localhost'",
        "REVOKE SELECT ON x.* FROM 'u'@'localhost'",
        "DROP USER 'u'@'localhost'",
        "RENAME USER a TO b",
        "CREATE ROLE r",
        "SET PASSWORD FOR u = 'x'",
        "FLUSH TABLES",
        "CREATE TABLESPACE ts ADD DATAFILE 'x.ibd'",
        "CREATE SPATIAL REFERENCE SYSTEM 4120 NAME 'Greek'",
        "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h')",
        "",
        "-- nothing",
    ] {
        expect_class(sql, NoEntry);
        assert_eq!(touches(&scan(sql, &CONTEXT)), "-", "{sql}");
    }
    let sequence = scan("CREATE SEQUENCE IF NOT EXISTS s START WITH 1", &MARIADB);
    assert_eq!(
        (sequence.class, touches(&sequence)),
        (NoEntry, "d.s".into())
    );
}

#[test]
fn changes_have_names_where_they_are_simple() {
    for (sql, kind, table) in [
        ("INSERT INTO t VALUES (1)", RowKind::Insert, Some("t")),
        ("insert ignore `t`(a) select 1", RowKind::Insert, Some("t")),
        ("REPLACE INTO t (a) VALUES (1)", RowKind::Insert, Some("t")),
        ("UPDATE t SET a = 1", RowKind::Update, Some("t")),
        (
            "UPDATE LOW_PRIORITY t AS x SET a = 1",
            RowKind::Update,
            Some("t"),
        ),
        ("UPDATE t, u SET t.a = u.a", RowKind::Update, None),
        (
            "UPDATE t JOIN u ON t.a = u.a SET t.b = 1",
            RowKind::Update,
            None,
        ),
        ("DELETE FROM t WHERE a = 1", RowKind::Delete, Some("t")),
        ("DELETE QUICK FROM t", RowKind::Delete, Some("t")),
        ("DELETE a, b FROM a JOIN b", RowKind::Delete, None),
        ("DELETE FROM a, b USING a JOIN b", RowKind::Delete, None),
        (
            "WITH c AS (SELECT 1) UPDATE t SET a = 1",
            RowKind::Update,
            Some("t"),
        ),
        (
            "WITH RECURSIVE c AS (SELECT 1) DELETE FROM t",
            RowKind::Delete,
            Some("t"),
        ),
    ] {
        let scanned = scan(sql, &CONTEXT);
        assert_eq!(scanned.class, Dml(kind), "{sql}");
        assert_eq!(scanned.table.as_deref(), table, "{sql}");
        assert_eq!(scanned.schema.as_deref(), table.map(|_| "d"), "{sql}");
        assert!(
            scanned.subjects.is_empty() && touches(&scanned) == "-",
            "{sql}"
        );
    }
}

#[test]
fn a_definition_without_a_readable_name_touches_everything() {
    for sql in [
        "CREATE TABLE (a INT)",
        "CREATE TABLE d. (a INT)",
        "DROP TABLE a,",
        "ALTER TABLE",
        "ALTER TABLE t RENAME TO",
        "RENAME TABLE a",
        "CREATE INDEX x",
        "CREATE",
        "CREATE WONDER w",
        "IMPORT TABLE FROM 'x.sdi'",
        "WHATEVER x",
        "(",
    ] {
        let scanned = scan(sql, &CONTEXT);
        assert_eq!(
            (scanned.class, touches(&scanned)),
            (Query, "*".into()),
            "{sql}"
        );
    }
}

#[test]
fn executable_comments_decide_what_a_statement_is() {
    let sql = "CREATE TABLE t (a INT) /*!99999 */; /*M!100100 x */";
    expect_one(sql, RowKind::Create, "d.t");
    let sql = "/*M! DROP TABLE a */";
    expect_class(sql, NoEntry);
    expect_ddl(&MARIADB, sql, RowKind::Erase, "d.a", "d.a");
    expect_ddl(
        &MARIADB,
        "DROP TABLE /*!80000 x, */ a",
        RowKind::Erase,
        "d.a",
        "d.a",
    );
    expect_one("DROP TABLE /*!80000 x, */ a", RowKind::Erase, "d.x d.a");
}

#[test]
fn touches_answers_for_one_table() {
    let name = TableName::new("d", "t");
    assert!(!Touches::Nothing.contains(&name));
    assert!(Touches::Tables([name.clone()].into()).contains(&name));
    assert!(!Touches::Tables([TableName::new("x", "t")].into()).contains(&name));
    assert!(Touches::Schema("d".into()).contains(&name));
    assert!(!Touches::Schema("x".into()).contains(&name));
    assert!(Touches::Everything.contains(&name));
}

/// Words, names and signs in any order, so that many texts are nearly statements.
fn nearly_sql() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(&[
        "CREATE",
        "TABLE",
        "ALTER",
        "DROP",
        "RENAME",
        "TO",
        "INDEX",
        "ON",
        "ADD",
        "COLUMN",
        "IF",
        "NOT",
        "EXISTS",
        "(",
        ")",
        ",",
        ".",
        ";",
        "`a``b`",
        "t",
        "'x",
        "'",
        "\"",
        "`",
        "/*",
        "*/",
        "/*!50000",
        "/*M!100100",
        "--",
        "#",
        "\n",
        "\\",
        "=",
        "@",
        "名",
        "1",
        "XA",
        "START",
        "WITH",
        "UPDATE",
        "SET",
        "DELETE",
        "FROM",
        "INSERT",
        "DATABASE",
        "STATEMENT",
        "FOR",
        "CONVERT",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn any_text_gets_a_class(sql in any::<String>(), ansi: bool, raw: bool, version in 0..999_999_u32) {
        let context = SqlContext {
            ansi_quotes: ansi, no_backslash_escapes: raw, server_version: version, ..CONTEXT
        };
        let _ = scan(&sql, &context);
        let _ = scan(&sql, &SqlContext { flavor: Flavor::Mariadb, ..context });
    }

    #[test]
    fn nearly_statements_get_a_class_and_names_that_they_hold(sql in nearly_sql()) {
        for context in [CONTEXT, MARIADB] {
            let scanned = scan(&sql, &context);
            if let Ddl(_) = scanned.class {
                prop_assert!(!scanned.subjects.is_empty());
                prop_assert!(scanned.table.is_some());
            }
        }
    }

    #[test]
    fn space_and_comments_before_a_statement_change_nothing(
        space in "( |\n|/\\*[a-z ]*\\*/|-- [a-z]*\n|#[a-z]*\n){0,6}", table in "[a-z_]{1,64}"
    ) {
        let sql = format!("{space}DROP TABLE `{table}`");
        let scanned = scan(&sql, &CONTEXT);
        prop_assert_eq!(scanned.class, Ddl(RowKind::Erase));
        prop_assert_eq!(scanned.table, Some(table));
    }
}
