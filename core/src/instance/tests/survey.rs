use super::*;
use crate::source::fault::BACKOFF_FIRST;

/// Rows of the transactions in [`history`].
const ROWS: u32 = 60;

/// A log whose tables do not describe themselves, longer than may wait for a proof.
fn history() -> Log {
    let mut log = Log::new(FILE);
    for id in 0..ROWS {
        log.transaction("t", Metadata::Minimal, &[id]);
    }
    log
}

fn rig(lookahead_bytes: u64, log: Log) -> Rig {
    let config = InstanceConfig {
        lookahead_bytes,
        ..config()
    };
    let mut rig = Rig::resumed(config, MetaRecord::default(), log);
    rig.rounds = 0;
    rig.run();
    rig
}

/// Serves links until the instance is in `stage`.
fn run_to(rig: &mut Rig, stage: Stage) {
    for _ in 0..10_000 {
        if rig.stage() == stage {
            return;
        }
        rig.rounds = 1;
        rig.run();
    }
    panic!("never {stage}: {:#?}", rig.instance.status());
}

fn run_all(rig: &mut Rig) {
    rig.rounds = usize::MAX;
    rig.run();
}

#[test]
fn what_is_too_far_ahead_is_surveyed_and_then_everything_is_delivered() {
    // so little that the answer comes behind the bound, and so much that it comes before
    for lookahead_bytes in [1, 800] {
        let mut rig = rig(lookahead_bytes, history());
        run_to(&mut rig, Stage::Surveying);
        assert!(rig.reported(Weight::Notice, "a first pass looks for statements alone"));
        let dumped = rig.dumps().len();
        while rig.dumps().len() == dumped {
            rig.rounds = 1;
            rig.run();
        }
        rig.rounds = 40;
        rig.run();
        let status = rig.instance.status().clone();
        assert_eq!(status.stage, Stage::Surveying);
        let until = format!(
            "up to {} for one that changes d.t: seen up to {FILE}:",
            rig.log.end()
        );
        assert!(status.reason.contains(&until), "{}", status.reason);
        assert_eq!(
            rig.instance.splitter.waiting_bytes(),
            0,
            "nothing waits meanwhile"
        );
        run_all(&mut rig);
        assert_eq!(rig.stage(), Stage::Streaming);
        rig.subscribe(1, CLIENT);
        assert_eq!(rig.drain(), (0..ROWS).collect::<Vec<_>>());
        let surveys = rig.steps.iter().filter(|step| {
            matches!(step, Step::Report(Weight::Detail, text) if text.contains("first pass for d.t"))
        });
        assert_eq!(surveys.count(), 1);
    }
}

#[test]
fn a_definition_found_by_the_survey_is_doubt_and_not_a_guess() {
    let mut log = history();
    let change = log.end();
    log.query("ALTER TABLE t ADD COLUMN name INT");
    let end = log.end();
    for id in 0..5 {
        log.transaction("other", Metadata::Full, &[id]);
    }
    let mut rig = rig(800, log);
    run_all(&mut rig);
    assert_eq!(rig.stage(), Stage::Stopped);
    let reason = rig.instance.status().reason.clone();
    let expected = format!("a statement that ends at {end} changed it since");
    assert!(change < end && reason.contains(&expected), "{reason}");
}

#[test]
fn a_survey_whose_link_breaks_goes_on_where_it_was() {
    let mut rig = rig(800, history());
    run_to(&mut rig, Stage::Surveying);
    let dumped = rig.dumps().len();
    while rig.dumps().len() == dumped {
        rig.rounds = 1;
        rig.run();
    }
    rig.rounds = 100;
    rig.run();
    assert_eq!(rig.stage(), Stage::Surveying);
    rig.cut();
    assert_eq!(rig.stage(), Stage::BackingOff);
    rig.rounds = usize::MAX;
    rig.wait(BACKOFF_FIRST + BACKOFF_FIRST);
    assert_eq!(rig.stage(), Stage::Streaming);
    rig.subscribe(1, CLIENT);
    assert_eq!(rig.drain(), (0..ROWS).collect::<Vec<_>>());
    let dumps = rig.dumps();
    let [start, first, again, second, last] = dumps[..] else {
        panic!("{dumps:?}")
    };
    assert_eq!((start, again, last), (4, 4, 4));
    assert!(
        first < second,
        "the second pass begins where the first one ended: {dumps:?}"
    );
}

/// Each of them would hold the stream up by itself.
#[test]
fn one_survey_serves_all_tables_whose_rows_come_by() {
    const TABLES: [&str; 5] = ["a", "b", "c", "d", "e"];
    let mut log = Log::new(FILE);
    for id in 0..ROWS {
        log.transaction(TABLES[id as usize % TABLES.len()], Metadata::Minimal, &[id]);
    }
    let mut rig = rig(800, log);
    run_all(&mut rig);
    assert_eq!(rig.stage(), Stage::Streaming);
    rig.subscribe(1, CLIENT);
    assert_eq!(rig.drain(), (0..ROWS).collect::<Vec<_>>());
    let surveys = rig.steps.iter().filter(|step| {
        matches!(step, Step::Report(Weight::Detail, text) if text.contains("the first pass for"))
    });
    assert_eq!(surveys.count(), 1);
    assert_eq!(rig.dumps().len(), 3, "the dump, the pass, the dump again");
}

/// What is known of a survey is kept while the stream is within it.
#[test]
fn a_link_that_breaks_behind_a_survey_asks_for_no_second_one() {
    let mut rig = rig(800, history());
    run_to(&mut rig, Stage::Surveying);
    run_to(&mut rig, Stage::Streaming);
    rig.subscribe(1, CLIENT);
    while rig.instance.store.status().held.entries < 20 {
        rig.rounds = 1;
        rig.run();
    }
    rig.cut();
    rig.rounds = usize::MAX;
    rig.wait(BACKOFF_FIRST + BACKOFF_FIRST);
    assert_eq!(rig.stage(), Stage::Streaming);
    assert_eq!(rig.drain(), (0..ROWS).collect::<Vec<_>>());
    let surveys = rig.steps.iter().filter(|step| {
        matches!(step, Step::Report(Weight::Notice, text) if text.contains("a first pass looks"))
    });
    assert_eq!(surveys.count(), 1);
}
