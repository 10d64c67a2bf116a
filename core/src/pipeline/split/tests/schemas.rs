//! Columns that the log does not say: asked for, proved by looking ahead, or doubted.

use super::rig::{Habits, Rig};
use super::*;
use crate::pipeline::horizon::Horizon;

fn asking() -> Rig {
    with(DoubtPolicy::Stop, 1 << 20)
}

fn with(doubt: DoubtPolicy, lookahead_bytes: u64) -> Rig {
    Rig::new(Habits {
        doubt,
        lookahead_bytes,
        ..Habits::default()
    })
}

fn wanted(rig: &Rig) -> Option<&str> {
    rig.splitter.wanted_table().map(|name| &*name.table)
}

#[test]
fn rows_wait_for_their_columns_and_for_the_place_at_which_they_were_said() {
    let mut rig = asking();
    rig.transaction("t", 1);
    assert_eq!(wanted(&rig), Some("t"));
    rig.statement("CREATE TABLE other (a INT)");
    let second = rig.transaction("t", 2);
    let ahead = rig.end() + (rig.end() - second);
    rig.say("t", "a", ahead).unwrap();
    assert_eq!(wanted(&rig), None, "it was asked for");
    assert_eq!(rig.splitter.waits_for(), Some(&TableName::new("d", "t")));
    assert_eq!(rig.columns(), [""; 0]);
    rig.transaction("t", 3);
    assert_eq!(rig.end(), ahead);
    assert_eq!(rig.columns(), ["d.t.a"; 3]);
    assert_eq!(rig.splitter.waits_for(), None);
    assert_eq!(rig.splitter.waiting_bytes(), 0);
    rig.transaction("t", 4);
    assert_eq!(rig.columns(), ["d.t.a"], "a known map costs nothing");
}

#[test]
fn an_answer_is_refuted_by_a_ddl_between() {
    let mut rig = asking();
    rig.begin();
    let map = rig.end();
    rig.row("t", 1);
    rig.commit();
    rig.statement("ALTER TABLE t RENAME COLUMN a TO b");
    let ddl = rig.end();
    let fault = rig.say("t", "b", ddl).unwrap_err();
    let SplitFault::Changed {
        table,
        at,
        ddl: end,
    } = &fault
    else {
        panic!("{fault}")
    };
    assert_eq!(*table, TableName::new("d", "t"));
    assert_eq!((at.offset, end.offset), (map, ddl));
}

#[test]
fn after_a_ddl_a_table_is_asked_for_again() {
    let mut rig = asking();
    rig.transaction("t", 1);
    rig.say("t", "a", rig.end()).unwrap();
    assert_eq!(rig.columns(), ["d.t.a"]);
    rig.statement("ALTER TABLE t RENAME COLUMN a TO b");
    rig.transaction("t", 2);
    assert_eq!(wanted(&rig), Some("t"));
    rig.say("t", "b", rig.end()).unwrap();
    assert_eq!(rig.columns(), ["d.t.b"]);
}

/// The maps of both look the same; only where they stand tells which columns they mean.
#[test]
fn what_is_read_again_from_before_a_ddl_is_not_taken_for_what_came_after() {
    let mut rig = asking();
    let first = rig.transaction("t", 1);
    rig.say("t", "a", rig.end()).unwrap();
    rig.statement("ALTER TABLE t RENAME COLUMN a TO b");
    rig.transaction("t", 2);
    rig.say("t", "b", rig.end()).unwrap();
    assert_eq!(rig.columns(), ["d.t.a", "d.t.b"]);

    rig.splitter.forget_place();
    let fault = rig.read_again_from(first, None).unwrap_err();
    assert!(matches!(fault, SplitFault::Changed { .. }), "{fault}");
}

#[test]
fn a_table_that_the_server_does_not_show_is_named() {
    let mut rig = asking();
    rig.transaction("t", 1);
    let at = rig.place(rig.end());
    let said = Snapshot { schema: None, at };
    let fault = rig
        .splitter
        .handle_snapshot(TableName::new("d", "t"), said)
        .unwrap_err();
    assert!(matches!(fault, SplitFault::Hidden { .. }), "{fault}");
}

#[test]
fn a_doubtful_table_is_withheld_until_a_statement_touches_it_and_others_go_on() {
    let mut rig = with(DoubtPolicy::Quarantine, 1 << 20);
    rig.begin();
    let first = rig.row("t", 1);
    rig.commit();
    rig.statement("ALTER TABLE t ADD b INT");
    rig.say("t", "a", rig.end()).unwrap();
    assert_eq!(rig.columns(), [""; 0]);
    let withheld = rig.splitter.take_withheld();
    let [range] = &withheld[..] else {
        panic!("{withheld:?}")
    };
    assert_eq!(range.table, TableName::new("d", "t"));
    assert_eq!(range.from, rig.place(first));
    assert!(range.from < range.to);
    assert_eq!(rig.splitter.take_withheld(), []);

    rig.transaction("t", 2);
    rig.transaction("u", 3);
    rig.say("u", "a", rig.end()).unwrap();
    assert_eq!(rig.columns(), ["d.t.a", "d.u.a"], "the DDL ended the doubt");
    assert_eq!(rig.splitter.take_withheld(), []);
}

#[test]
fn what_was_surveyed_proves_at_once_from_its_beginning_on() {
    const FAR: u64 = 1_000_000;
    for (begins_early, expected) in [(true, 1), (false, 0)] {
        let mut rig = with(DoubtPolicy::Stop, 1 << 20);
        let first = rig.transaction("t", 1);
        let from = if begins_early { first } else { rig.end() };
        let mut surveyed = Horizon::new(rig.place(from));
        surveyed.extend(rig.place(FAR));
        rig.splitter.learn(surveyed);
        rig.say("t", "a", FAR).unwrap();
        assert_eq!(rig.rows(), expected, "a DDL may lie before it");
    }
}

/// On another server, or behind a gap, nothing that was known need be true.
#[test]
fn a_log_that_goes_on_elsewhere_is_asked_anew() {
    let mut rig = asking();
    rig.transaction("t", 1);
    rig.say("t", "a", rig.end()).unwrap();
    assert_eq!(rig.columns(), ["d.t.a"]);
    let (table, ahead) = (TableName::new("d", "t"), Horizon::new(rig.place(0)));
    assert!(!rig.splitter.will_want(&table, &ahead));
    rig.splitter.switch_source();
    assert!(rig.splitter.will_want(&table, &ahead));
    assert_eq!(rig.splitter.resume(), None);
    rig.rotate("bin.000002");
    rig.transaction("t", 2);
    assert_eq!(wanted(&rig), Some("t"), "the map is the same");
}
