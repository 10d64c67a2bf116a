//! Hand-made journals: good ones pass, each kind of violation is seen and named.

use std::sync::Arc;

use super::*;
use crate::model::history::Committed;
use crate::oracle::testing::{
    acked, commit, empty, entries, got, inserts, judge, nothing, options, rolled_back, safe,
    subscribed,
};

fn history() -> Vec<Arc<Committed>> {
    vec![inserts(0, 1), empty(1), inserts(2, 1), inserts(3, 1)]
}

/// The entries of the nth transaction of [`history`].
fn of(transaction: usize) -> Vec<Entry> {
    entries(&history()[transaction])
}

fn offset(entry: &Entry) -> u64 {
    entry.header.as_ref().unwrap().logfile_offset() as u64
}

/// Clients of these ids see `journal` after the history was committed.
fn judged(ids: &[i16], journal: impl IntoIterator<Item = Record>) -> Option<Violation> {
    let commits: Vec<Record> = history().iter().map(commit).collect();
    judge(
        &mut Delivery::new(&options(ids)),
        commits.into_iter().chain(journal),
    )
}

fn promise(journal: impl IntoIterator<Item = Record>) -> &'static str {
    judged(&[1], journal).map_or("none", |violation| violation.promise)
}

/// A client has got and acknowledged the first transaction, and canald has answered since.
fn one_done() -> Vec<Record> {
    vec![
        subscribed(0, 0),
        got(0, 0, 1, &of(0)),
        acked(0, 0, 1),
        nothing(0, 0),
    ]
}

fn after(first: Vec<Record>, then: impl IntoIterator<Item = Record>) -> Vec<Record> {
    first.into_iter().chain(then).collect()
}

fn daemon(record: DaemonRecord) -> Record {
    Record::Daemon(record)
}

fn crash() -> [Record; 2] {
    [
        daemon(DaemonRecord::Crashed),
        daemon(DaemonRecord::Started(1)),
    ]
}

#[test]
fn the_whole_history_passes_with_or_without_what_changes_nothing() {
    let with = [
        got(0, 0, 2, &of(1)),
        got(0, 0, 3, &of(2)),
        got(0, 0, 4, &of(3)),
    ];
    assert_eq!(promise(after(one_done(), with)), "none");
    let without = [got(0, 0, 2, &of(2)), got(0, 0, 3, &of(3))];
    assert_eq!(promise(after(one_done(), without)), "none");
}

#[test]
fn a_lost_entry_is_seen() {
    assert_eq!(promise(after(one_done(), [got(0, 0, 2, &of(3))])), "P1");
    let mut holed = of(0);
    holed.remove(1);
    assert_eq!(promise([subscribed(0, 0), got(0, 0, 1, &holed)]), "P1");
}

#[test]
fn a_client_that_does_not_begin_at_the_beginning_has_lost_it() {
    assert_eq!(promise([subscribed(0, 0), got(0, 0, 1, &of(2))]), "P1");
}

#[test]
fn wrong_order_and_repetition_are_seen() {
    let mut turned = of(0);
    turned.swap(0, 1);
    assert_ne!(promise([subscribed(0, 0), got(0, 0, 1, &turned)]), "none");
    let again = [subscribed(0, 0), got(0, 0, 1, &of(0)), got(0, 0, 2, &of(0))];
    assert_eq!(promise(again), "I7");
}

#[test]
fn a_new_connection_begins_at_the_first_entry_not_acknowledged() {
    let next = [subscribed(0, 1), got(0, 1, 2, &of(2))];
    assert_eq!(promise(after(one_done(), next)), "none");
    let again = [subscribed(0, 1), got(0, 1, 2, &of(0))];
    assert_eq!(promise(after(one_done(), again)), "I12");
    let skipped = [subscribed(0, 1), got(0, 1, 2, &of(3))];
    assert_eq!(promise(after(one_done(), skipped)), "P1");
}

#[test]
fn an_acknowledgement_on_a_connection_that_broke_may_count_or_not() {
    let sent = || vec![subscribed(0, 0), got(0, 0, 1, &of(0)), acked(0, 0, 1)];
    let counts = [subscribed(0, 1), got(0, 1, 2, &of(2))];
    assert_eq!(promise(after(sent(), counts)), "none");
    let does_not = [subscribed(0, 1), got(0, 1, 2, &of(0))];
    assert_eq!(promise(after(sent(), does_not)), "none");
    let counts_and_does_not = [
        subscribed(0, 1),
        got(0, 1, 2, &of(2)),
        subscribed(0, 2),
        got(0, 2, 3, &of(0)),
    ];
    assert_eq!(promise(after(sent(), counts_and_does_not)), "I12");
    let does_not_and_counts = [
        subscribed(0, 1),
        got(0, 1, 2, &of(0)),
        subscribed(0, 2),
        got(0, 2, 3, &of(2)),
    ];
    assert_eq!(promise(after(sent(), does_not_and_counts)), "P1");
}

#[test]
fn a_rollback_gives_again_what_was_open_and_nothing_else() {
    let two_open = || after(one_done(), [got(0, 0, 2, &of(2)), got(0, 0, 3, &of(3))]);
    let all = |then: &[Entry]| [rolled_back(0, 0, None), got(0, 0, 4, then)];
    assert_eq!(promise(after(two_open(), all(&of(2)))), "none");
    assert_eq!(promise(after(two_open(), all(&of(3)))), "P1");
    assert_eq!(promise(after(two_open(), all(&of(0)))), "I12");
    let younger = |then: &[Entry]| [rolled_back(0, 0, Some(3)), got(0, 0, 4, then)];
    assert_eq!(promise(after(two_open(), younger(&of(3)))), "none");
    assert_eq!(promise(after(two_open(), younger(&of(2)))), "I7");
}

#[test]
fn a_run_begins_at_no_place_that_nothing_led_to() {
    let middle = [subscribed(0, 1), got(0, 1, 2, &of(2)[1..])];
    assert_eq!(promise(after(one_done(), middle)), "P1");
    let begun = || {
        after(
            one_done(),
            [got(0, 0, 2, &of(2)), acked(0, 0, 2), nothing(0, 0)],
        )
    };
    let crashed = after(begun(), [safe(&[(1, Some(offset(&of(0)[2])))])]);
    let crashed = after(crashed, crash());
    let middle = [subscribed(0, 1), got(0, 1, 2, &of(2)[1..])];
    assert_eq!(promise(after(crashed, middle)), "I16");
}

#[test]
fn a_crash_takes_back_what_was_not_safe_and_no_more() {
    let both_done = || {
        after(
            one_done(),
            [got(0, 0, 2, &of(2)), acked(0, 0, 2), nothing(0, 0)],
        )
    };
    let first_safe = || after(both_done(), [safe(&[(1, Some(offset(&of(0)[2])))])]);
    let from = |nth: usize| [subscribed(0, 1), got(0, 1, 9, &of(nth))];
    let crashed = || after(first_safe(), crash());
    assert_eq!(promise(after(crashed(), from(2))), "none");
    assert_eq!(promise(after(crashed(), from(3))), "none");
    assert_eq!(promise(after(crashed(), from(0))), "I16");
    let nothing_safe = || after(both_done(), crash());
    assert_eq!(promise(after(nothing_safe(), from(0))), "none");
    assert_eq!(promise(after(nothing_safe(), from(3))), "none");
}

#[test]
fn a_stop_takes_back_nothing_unless_the_disk_failed() {
    let stopped = || {
        [
            daemon(DaemonRecord::Stopped),
            daemon(DaemonRecord::Started(1)),
        ]
    };
    let again = || [subscribed(0, 1), got(0, 1, 9, &of(0))];
    assert_eq!(promise(after(after(one_done(), stopped()), again())), "I12");
    let failed = Record::Disk(DiskRecord::Failed {
        step: "write",
        path: "data/canald.meta.tmp".into(),
        why: "no space left".into(),
    });
    let failed = after(after(one_done(), [failed]), stopped());
    assert_eq!(promise(after(failed, again())), "none");
}

#[test]
fn an_answer_that_was_on_its_way_when_canald_crashed_proves_nothing() {
    let journal = [
        subscribed(0, 0),
        got(0, 0, 1, &of(0)),
        acked(0, 0, 1),
        daemon(DaemonRecord::Crashed),
        got(0, 0, 2, &of(2)),
        daemon(DaemonRecord::Started(1)),
        subscribed(0, 1),
        got(0, 1, 3, &of(0)),
    ];
    assert_eq!(promise(journal), "none");
}

#[test]
fn two_clients_of_one_id_share_its_places() {
    let shared = |then: &[Entry]| after(one_done(), [subscribed(1, 0), got(1, 0, 2, then)]);
    assert_eq!(judged(&[1, 1], shared(&of(2))), None);
    let again = judged(&[1, 1], shared(&of(0))).unwrap();
    assert_eq!(again.promise, "I12");
    let late = after(
        one_done(),
        [
            got(0, 0, 2, &of(2)),
            subscribed(1, 0),
            got(1, 0, 3, &of(2)),
            // was on its way to the older connection
            got(0, 0, 4, &of(3)),
        ],
    );
    assert_eq!(judged(&[1, 1], late), None);
}

#[test]
fn who_comes_later_begins_no_later_than_others_have_acknowledged() {
    let late = |then: &[Entry]| after(one_done(), [subscribed(1, 0), got(1, 0, 1, then)]);
    assert_eq!(judged(&[1, 2], late(&of(0))), None);
    assert_eq!(judged(&[1, 2], late(&of(2))), None);
    let lost = judged(&[1, 2], late(&of(3))).unwrap();
    assert_eq!(lost.promise, "P1");
}

#[test]
fn half_of_what_changes_nothing_is_seen() {
    let with = |half: &[Entry]| {
        let all = [&of(0), half, &of(2)].concat();
        promise([subscribed(0, 0), got(0, 0, 1, &all)])
    };
    assert_eq!(with(&of(1)), "none");
    assert_eq!(with(&[]), "none");
    assert_eq!(with(&of(1)[..1]), "P1");
    assert_eq!(with(&of(1)[1..]), "I7");
}
