//! Transactions and statements: where they begin and end, how they are packed, what is not made again.

use super::rig::{FILE, Habits, MARIADB, Rig};
use super::*;
use crate::entry::kind::RowKind;
use crate::gtid::{GtidSet, MariadbGtidSet, MysqlGtidSet};
use crate::pipeline::job::Statement;
use crate::pipeline::transaction::{EMPTY_EVERY, SPAN_BYTES_MAX};
use alloc::format;

/// The UUID that consists of the byte 0x11.
const UUID: &str = "11111111-1111-1111-1111-111111111111";

fn rig() -> Rig {
    Rig::new(Habits::default())
}

fn by_entries(transaction_entries: u32) -> Rig {
    Rig::new(Habits {
        transaction_entries,
        ..Habits::default()
    })
}

fn leaving_out(filter: FilterConfig) -> Rig {
    Rig::new(Habits {
        filter,
        ..Habits::default()
    })
}

#[test]
fn a_transaction_is_begin_rows_and_end() {
    let mut rig = rig();
    let begin = rig.begin();
    let row = rig.row("t", 1);
    assert_eq!(rig.items(), [], "it is delivered as a unit");
    let end = rig.commit();
    let items = rig.bodies();
    assert!(matches!(items[0].body, ItemBody::Begin { thread_id: 9 }));
    assert!(matches!(items[1].body, ItemBody::Rows { .. }));
    assert!(matches!(items[2].body, ItemBody::End { xid: 5 }));
    let starts: Vec<_> = items.iter().map(|item| item.place.start).collect();
    assert_eq!(starts, [begin, row, end]);
}

#[test]
fn commit_and_rollback_end_a_transaction_that_has_no_xid() {
    for sql in ["COMMIT", "commit", "ROLLBACK", "/* app */ COMMIT"] {
        let mut rig = rig();
        rig.statement("begin");
        rig.row("t", 1);
        rig.statement("SAVEPOINT a");
        rig.statement("ROLLBACK TO a");
        assert_eq!(rig.items(), []);
        rig.statement(sql);
        let items = rig.bodies();
        assert_eq!(items.len(), 3, "{sql}");
        assert!(matches!(items[2].body, ItemBody::End { xid: 0 }));
        let next = rig.transaction("t", 2);
        rig.jobs();
        assert_eq!(rig.splitter.resume().unwrap().boundary, rig.place(next));
    }
}

/// A server that died while it wrote a transaction leaves its beginning in the log and goes on in
/// the next file; nobody committed it.
#[test]
fn what_a_dead_server_left_unfinished_is_not_delivered() {
    let mut rig = rig();
    rig.begin();
    rig.row("t", 1);
    rig.restart_server("bin.000002");
    assert_eq!(rig.items(), []);
    let begin = rig.begin();
    let row = rig.row("t", 1);
    let end = rig.commit();
    assert_eq!(rig.items(), [("begin", begin), ("rows", row), ("end", end)]);
    assert_eq!(rig.splitter.resume().unwrap().boundary, rig.place(begin));
}

/// Rows without a BEGIN: reading them again must begin at their map, without which they mean nothing.
#[test]
fn a_resume_is_never_between_a_map_and_its_rows() {
    let mut rig = by_entries(1);
    let map = rig.end();
    let row = rig.row("t", 1);
    assert_eq!(rig.items(), [("rows", row)]);
    assert_eq!(rig.splitter.resume().unwrap().boundary.offset, map);
}

#[test]
fn a_large_transaction_comes_in_pieces_and_resumes_at_its_begin() {
    let mut rig = by_entries(3);
    let begin = rig.begin();
    let rows: Vec<_> = (0..4).map(|id| rig.row("t", id)).collect();
    let first = [("begin", begin), ("rows", rows[0]), ("rows", rows[1])];
    assert_eq!(rig.items(), first, "three at a time");
    let end = rig.commit();
    let second = [("rows", rows[2]), ("rows", rows[3]), ("end", end)];
    assert_eq!(rig.items(), second);
    assert_eq!(rig.splitter.resume().unwrap().boundary.offset, begin);
    assert_eq!(rig.splitter.last().unwrap().position, rig.place(end));
}

#[test]
fn a_transaction_that_spans_many_bytes_comes_in_pieces_too() {
    let mut rig = rig();
    rig.begin();
    rig.row("t", 1);
    let mut wide = rows_body(b't'.wrapping_add(1), &[1]);
    wide.resize(SPAN_BYTES_MAX as usize / 2, 0);
    rig.add(EventType::WRITE_ROWS, &wide);
    assert_eq!(rig.items(), []);
    rig.add(EventType::WRITE_ROWS, &wide);
    assert_eq!(rig.rows(), 3, "what is held back pins the log's bytes");
}

/// All of a transaction but its end was delivered when the link broke.
#[test]
fn a_transaction_read_again_for_its_end_alone_has_its_end() {
    let mut rig = by_entries(2);
    rig.begin();
    rig.commit();
    let begin = rig.begin();
    let row = rig.row("t", 1);
    assert_eq!(rig.items()[2..], [("begin", begin), ("rows", row)]);
    assert_eq!(rig.splitter.resume().unwrap().boundary.offset, begin);
    rig.read_again_from(begin, None).unwrap();
    let end = rig.commit();
    assert_eq!(rig.items(), [("end", end)]);
}

#[test]
fn what_was_delivered_is_not_made_again_and_nothing_else_is_left_out() {
    let mut rig = by_entries(2);
    let begin = rig.begin();
    let first = rig.row("t", 1);
    assert_eq!(rig.items(), [("begin", begin), ("rows", first)]);
    let second = rig.row("t", 2);
    rig.read_again_from(begin, None).unwrap();
    let end = rig.commit();
    assert_eq!(rig.items(), [("rows", second), ("end", end)]);

    // A new process knows only what the cursors say.
    let skip = SkipThrough {
        position: rig.place(first),
        ordinal: 0,
    };
    rig.splitter.forget_place();
    rig.read_again_from(begin, Some(skip)).unwrap();
    assert_eq!(rig.items(), [("rows", second), ("end", end)]);
}

#[test]
fn transactions_without_changes_are_let_through_now_and_then() {
    let mut rig = rig();
    let empty = |rig: &mut Rig| {
        rig.begin();
        rig.commit();
        rig.items().len()
    };
    assert_eq!(empty(&mut rig), 2, "the first tells where the stream is");
    assert_eq!(empty(&mut rig), 0);
    rig.time += EMPTY_EVERY;
    assert_eq!(empty(&mut rig), 0);
    rig.time += 1;
    assert_eq!(empty(&mut rig), 2);
    rig.transaction("t", 1);
    assert_eq!(rig.items().len(), 3, "one with a change always is");
}

#[test]
fn begins_and_ends_may_be_left_out_but_never_changes() {
    let mut rig = leaving_out(FilterConfig {
        drop_transaction_entries: true,
        ..filter_config()
    });
    rig.transaction("t", 1);
    assert_eq!(rig.items().len(), 3);
    rig.transaction("t", 2);
    let items = rig.items();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].0, "rows");
}

#[test]
fn a_job_is_of_one_file_and_a_rotation_moves_the_place() {
    let mut rig = rig();
    rig.transaction("t", 1);
    let body = [&4_u64.to_le_bytes()[..], b"bin.000002"].concat();
    rig.add(EventType::ROTATE, &body);
    rig.rotate("bin.000002");
    rig.transaction("t", 2);
    let jobs = rig.jobs();
    let files: Vec<_> = jobs.iter().map(|job| job.file.as_str()).collect();
    assert_eq!(files, [FILE, "bin.000002"]);
    assert_eq!(rig.splitter.position(), Some(rig.place(rig.end())));
}

#[test]
fn a_heartbeat_moves_the_place_and_makes_nothing() {
    let mut rig = rig();
    let at = rig.end() + 500;
    let raw = event(
        EventType::HEARTBEAT,
        EventFlags(0),
        at as u32,
        FILE.as_bytes(),
    );
    rig.splitter.handle_event(raw).unwrap();
    assert_eq!(rig.splitter.position(), Some(rig.place(at)));
    assert_eq!(rig.items(), []);
}

#[test]
fn gtids_before_a_transaction_are_for_resuming_and_with_it_for_showing() {
    let gtid = |number: i64| [&[1][..], &[0x11; 16], &number.to_le_bytes()].concat();
    let text = |upto: u32| Some(format!("{UUID}:1-{upto}"));
    let set: MysqlGtidSet = text(4).unwrap().parse().unwrap();
    let mut rig = Rig::new(Habits {
        gtids: GtidTracker::after(GtidSet::Mysql(set)),
        ..Habits::default()
    });
    let begin = rig.add(EventType::GTID, &gtid(5));
    rig.transaction("t", 1);
    let jobs = rig.jobs();
    let resume = &jobs[0].resumes[0];
    assert_eq!(resume.boundary, rig.place(begin), "the GTID begins it");
    assert_eq!(resume.gtid_before.as_deref(), text(4).as_deref());
    assert_eq!(resume.gtid_with.as_deref(), text(5).as_deref());
    let stamp = jobs[0].items[1].gtid.as_ref().unwrap();
    assert_eq!(stamp.current, Some(format!("{UUID}:5")));
    assert_eq!(Some(&stamp.set), text(5).as_ref());

    rig.add(EventType::GTID, &gtid(6));
    rig.statement("CREATE TABLE u (a INT)");
    let jobs = rig.jobs();
    let resume = &jobs[0].resumes[0];
    assert_eq!(resume.gtid_before.as_deref(), text(5).as_deref());
    let passed = rig.splitter.gtids.text();
    assert_eq!(passed, text(6).as_deref(), "a DDL ends its group");
}

fn mariadb_gtid(sequence: u64, flags: u8, extra: &[u8]) -> Vec<u8> {
    let mut body = [&sequence.to_le_bytes()[..], &[0; 4], &[flags], extra].concat();
    body.resize(body.len().max(19), 0);
    body
}

#[test]
fn mariadb_begins_by_its_gtid_unless_a_statement_stands_alone() {
    const STANDALONE: u8 = 1;
    let set: MariadbGtidSet = "0-901-1".parse().unwrap();
    let mut rig = Rig::new(Habits {
        version: MARIADB,
        gtids: GtidTracker::after(GtidSet::Mariadb(set)),
        ..Habits::default()
    });
    let begin = rig.add(EventType::MARIADB_GTID, &mariadb_gtid(2, 0, &[]));
    let row = rig.row("t", 1);
    let end = rig.commit();
    assert_eq!(rig.items(), [("begin", begin), ("rows", row), ("end", end)]);

    let gtid = rig.add(EventType::MARIADB_GTID, &mariadb_gtid(3, STANDALONE, &[]));
    let ddl = rig.statement("TRUNCATE t");
    let jobs = rig.jobs();
    assert_eq!(jobs[0].items[0].place.start, ddl);
    let resume = &jobs[0].resumes[0];
    assert_eq!(resume.boundary, rig.place(gtid));
    assert_eq!(resume.gtid_before.as_deref(), Some("0-901-2"));
    assert_eq!(rig.splitter.gtids.text(), Some("0-901-3"));
}

#[test]
fn an_alter_in_two_phases_happens_once_at_its_commit() {
    const STANDALONE_DDL: u8 = 0x21;
    let alter = |rig: &mut Rig, sequence, extra: &[u8]| {
        let body = mariadb_gtid(sequence, STANDALONE_DDL, extra);
        rig.add(EventType::MARIADB_GTID, &body);
        rig.statement("ALTER TABLE t ADD b INT");
        rig.items().len()
    };
    let mut rig = Rig::new(Habits {
        version: MARIADB,
        ..Habits::default()
    });
    let start = 1_u64.to_le_bytes();
    assert_eq!(alter(&mut rig, 1, &[2]), 0, "it only starts");
    assert_eq!(alter(&mut rig, 2, &[&[4][..], &start].concat()), 1);
    assert_eq!(
        alter(&mut rig, 3, &[&[8][..], &start].concat()),
        0,
        "it failed"
    );
}

#[test]
fn a_statement_shows_what_canal_shows_of_it() {
    let cases: [(&str, RowKind, Option<&str>, Option<&str>); 6] = [
        (
            "CREATE TABLE t (a INT)",
            RowKind::Create,
            Some("d"),
            Some("t"),
        ),
        (
            "ALTER TABLE e.t ADD INDEX (a)",
            RowKind::CreateIndex,
            Some("e"),
            Some("t"),
        ),
        ("DROP TABLE t, u", RowKind::Erase, Some("d"), Some("t")),
        (
            "RENAME TABLE t TO e.v",
            RowKind::Rename,
            Some("e"),
            Some("v"),
        ),
        ("CREATE DATABASE e", RowKind::Query, Some("e"), None),
        ("CREATE PROCEDURE p() SELECT 1", RowKind::Query, None, None),
    ];
    let mut rig = rig();
    for (sql, kind, schema, table) in cases {
        rig.statement(sql);
        let items = rig.bodies();
        let [item] = &items[..] else {
            panic!("{sql}: {items:?}")
        };
        let ItemBody::Statement(shown) = &item.body else {
            panic!("{sql}: {item:?}")
        };
        let expected = Statement {
            kind,
            is_ddl: Some(true),
            sql: sql.into(),
            schema: schema.map(Into::into),
            table: table.map(Into::into),
            ddl_schema: Some("d".into()),
        };
        assert_eq!(**shown, expected);
    }
    for silent in [
        "GRANT ALL ON d.* TO u",
        "CREATE VIEW v AS SELECT 1",
        "FLUSH TABLES",
    ] {
        rig.statement(silent);
        assert_eq!(rig.items(), [], "{silent}");
    }
}

#[test]
fn the_texts_behind_rows_are_queries_without_is_ddl() {
    let mut rig = rig();
    rig.begin();
    rig.add(EventType::ROWS_QUERY, b"\x08insert into t");
    rig.row("t", 1);
    rig.commit();
    let items = rig.bodies();
    let ItemBody::Statement(text) = &items[1].body else {
        panic!("{items:?}")
    };
    assert_eq!((text.kind, text.is_ddl), (RowKind::Query, None));
    assert_eq!(text.sql, "insert into t");
    assert_eq!(text.schema.as_deref(), Some(""));
}

#[test]
fn a_new_filter_holds_from_the_next_map_of_each_table_on() {
    let mut rig = Rig::new(Habits {
        white: r"d\.t",
        ..Habits::default()
    });
    rig.begin();
    rig.map("t");
    rig.splitter.replace_filters(filter(r"d\.u"));
    rig.add(
        EventType::WRITE_ROWS,
        &rows_body(b't'.wrapping_add(1), &[1]),
    );
    rig.commit();
    assert_eq!(rig.rows(), 1, "rows under way keep their treatment");
    rig.transaction("t", 2);
    rig.transaction("u", 3);
    assert_eq!(rig.rows(), 1);
    let both = [filter(r"d\.u"), filter(r"d\.t")].concat();
    rig.splitter.replace_filters(both);
    for table in ["t", "u", "v"] {
        rig.transaction(table, 4);
    }
    assert_eq!(rig.rows(), 2, "an entry is made if anyone wants it");
}

#[test]
fn what_a_key_leaves_out_is_left_out_whatever_its_form() {
    let mut rig = leaving_out(FilterConfig {
        drop_insert: true,
        drop_update: true,
        drop_ddl: true,
        drop_dml: true,
        ..filter_config()
    });
    rig.begin();
    rig.add(EventType::ROWS_QUERY, b"\x08insert");
    rig.row("t", 1);
    rig.add(
        EventType::PARTIAL_UPDATE_ROWS,
        &rows_body(b't'.wrapping_add(1), &[1]),
    );
    rig.statement("INSERT INTO t VALUES (1)");
    rig.commit();
    rig.statement("DROP TABLE t");
    let items = rig.items();
    assert!(
        items
            .iter()
            .all(|(kind, _)| matches!(*kind, "begin" | "end")),
        "{items:?}"
    );
}
