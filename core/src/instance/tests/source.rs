use super::*;
use crate::source::fault::BACKOFF_FIRST;

/// From nothing to a flowing dump: each thing is durable before what depends on it.
#[test]
fn the_start_is_stored_before_it_is_read_from_and_the_generation_before_a_batch() {
    let mut rig = Rig::new(config());
    assert_eq!(rig.stage(), Stage::Discovering);
    rig.disk = Disk::Hangs;
    rig.run();
    assert_eq!(
        rig.stage(),
        Stage::Recording,
        "the start waits to be stored"
    );
    assert_eq!(rig.dumps(), [0; 0]);
    rig.disk(Disk::Works);
    assert_eq!(rig.stage(), Stage::Streaming);
    let start = rig.first(
        "the start in the record",
        |step| matches!(step, Step::Saving(record) if record.start.is_some()),
    );
    let stored = start
        + rig.steps[start..]
            .iter()
            .position(|step| *step == Step::Saved(true))
            .unwrap();
    let dump = rig.first("a dump", |step| *step == Step::Dump(at(4)));
    assert!(stored < dump, "{:#?}", rig.steps);
}

#[test]
fn no_batch_is_given_before_its_generation_is_stored() {
    let mut rig = Rig::resumed(config(), acked(200), Log::new(FILE));
    rig.disk = Disk::Hangs;
    rig.run();
    rig.commit("t", Metadata::Full, &[1]);
    assert_eq!(rig.stage(), Stage::Streaming);
    assert_eq!(
        rig.get(10),
        Answer::NoData,
        "it holds an entry, and no generation"
    );
    rig.disk(Disk::Works);
    let (batch, rows) = rig.batch(10);
    assert_eq!((batch.0 >> 32, rows), (1, vec![1]));
}

#[test]
fn a_lost_link_is_dialed_again_and_nothing_is_repeated_or_lost() {
    let mut rig = Rig::streaming();
    rig.commit("t", Metadata::Full, &[1, 2]);
    assert_eq!(rig.drain(), [1, 2]);
    rig.commit("t", Metadata::Full, &[3]);
    // a transaction in progress when the link breaks
    let begun = [
        rig.log.query("BEGIN"),
        rig.log.table(9, "u", Metadata::Full),
        rig.log.insert(9, &[4]),
    ];
    rig.send(&begun);
    rig.cut();
    assert_eq!(rig.stage(), Stage::BackingOff);
    assert!(rig.instance.status().until.is_some());
    assert!(rig.instance.status().reason.contains("reset"));
    rig.log.insert(9, &[5]);
    rig.log.commit();
    rig.log.transaction("t", Metadata::Full, &[6]);
    rig.wait(BACKOFF_FIRST + BACKOFF_FIRST);
    assert_eq!(rig.stage(), Stage::Streaming);
    assert_eq!(rig.drain(), [3, 4, 5, 6]);
}

#[test]
fn a_purged_place_stops_the_destination_by_name_and_what_is_held_is_still_served() {
    let mut rig = Rig::streaming();
    rig.commit("t", Metadata::Full, &[1]);
    rig.refusal = Some("Could not find first log file name in binary log index file");
    rig.cut();
    rig.wait(BACKOFF_FIRST + BACKOFF_FIRST);
    assert_eq!(rig.stage(), Stage::Stopped);
    let reason = &rig.instance.status().reason;
    assert!(reason.contains("purged the binlog file"), "{reason}");
    assert!(rig.reported(Weight::Alarm, "destination example stopped"));
    assert_eq!(rig.drain(), [1]);
}

#[test]
fn a_full_ring_stops_the_reading_until_there_is_room() {
    let mut config = config();
    config.store.entries = 16;
    config.transaction_entries = 8;
    let mut rig = Rig::new(config);
    rig.run();
    rig.subscribe(1, CLIENT);
    for id in 0..40 {
        rig.commit("t", Metadata::Full, &[id]);
    }
    let dump = |rig: &Rig| rig.instance.source.dump.as_ref().unwrap().id;
    let link = dump(&rig);
    assert_eq!(rig.instance.read_budget(link), 0);
    assert_eq!(
        rig.instance.poll_timeout(rig.now),
        None,
        "silence is ours now"
    );
    let (batch, first) = rig.batch(4);
    assert_eq!(
        rig.instance.read_budget(link),
        0,
        "a batch that is out still holds its slots"
    );
    rig.ack(batch);
    let mut all = first;
    all.extend(rig.drain());
    assert_eq!(all, (0..40).collect::<Vec<_>>());
    assert!(rig.instance.read_budget(dump(&rig)) > 0);
    assert_eq!(rig.dumps(), [4], "one dump was enough");
}

#[test]
fn a_stop_is_over_when_everything_is_stored() {
    let mut rig = Rig::streaming();
    rig.commit("t", Metadata::Full, &[1]);
    let (batch, _) = rig.batch(10);
    rig.disk = Disk::Hangs;
    rig.ack(batch);
    rig.wait(durable::WRITE_SPACING);
    rig.input(Input::Stop);
    assert!(rig.links.is_empty(), "the links are closed");
    assert!(!rig.instance.is_stopped(), "the cursor is not stored yet");
    rig.disk(Disk::Works);
    assert!(rig.instance.is_stopped());
    assert_eq!(rig.instance.poll_timeout(rig.now), None);
}

#[test]
fn a_change_that_cannot_be_delivered_stops_the_destination_behind_what_came_before() {
    let mut rig = Rig::streaming();
    rig.commit("t", Metadata::Full, &[1]);
    let text = rig.log.query("INSERT INTO t VALUES (2)");
    rig.send(&[text]);
    assert_eq!(rig.stage(), Stage::Stopped);
    assert!(
        rig.instance
            .status()
            .reason
            .contains("(INSERT INTO t VALUES (2))")
    );
    assert_eq!(rig.drain(), [1]);
}
