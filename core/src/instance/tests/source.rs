use super::*;
use crate::source::fault::{BACKOFF_FIRST, BACKOFF_MAX};

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

const ELSEWHERE: &str = "00000000-0000-0000-0000-00000000beef";

/// The link breaks, and the source is there again after the pause.
fn reconnect(rig: &mut Rig) {
    rig.cut();
    rig.wait(BACKOFF_MAX);
}

#[test]
fn nothing_is_read_before_the_start_is_stored_though_the_link_breaks_meanwhile() {
    let mut rig = Rig::new(config());
    rig.disk = Disk::Hangs;
    rig.run();
    assert_eq!(rig.stage(), Stage::Recording);
    reconnect(&mut rig);
    assert_eq!(rig.stage(), Stage::Recording);
    assert_eq!(rig.dumps(), [0; 0]);
    rig.disk(Disk::Works);
    assert_eq!(rig.stage(), Stage::Streaming);
    assert_eq!(rig.dumps(), [4]);
}

#[test]
fn a_stop_while_the_start_is_being_stored_dials_nothing_more() {
    let mut rig = Rig::new(config());
    rig.disk = Disk::Hangs;
    rig.run();
    rig.input(Input::Stop);
    let dialed = |rig: &Rig| {
        rig.steps
            .iter()
            .filter(|s| matches!(s, Step::Dialed(_)))
            .count()
    };
    let before = dialed(&rig);
    rig.disk(Disk::Works);
    assert_eq!(rig.stage(), Stage::Stopped);
    assert_eq!(dialed(&rig), before);
    assert!(rig.instance.is_stopped());
}

#[test]
fn after_data_has_flowed_the_next_failure_is_the_first_again() {
    let mut rig = Rig::streaming();
    for id in 0..8 {
        rig.commit("t", Metadata::Full, &[id]);
        rig.commit("t", Metadata::Full, &[id]);
        rig.cut();
        let until = rig.instance.status().until.unwrap();
        let pause = until.since(rig.now);
        assert!(
            BACKOFF_FIRST / 2 <= pause && pause <= BACKOFF_FIRST,
            "{pause:?}"
        );
        rig.wait(pause);
        assert_eq!(rig.stage(), Stage::Streaming);
    }
}

#[test]
fn pauses_grow_while_nothing_flows_and_are_never_all_alike() {
    let mut rig = Rig::streaming();
    let pauses: Vec<_> = (0..7)
        .map(|_| {
            rig.cut();
            let pause = rig.instance.status().until.unwrap().since(rig.now);
            rig.wait(pause);
            pause
        })
        .collect();
    for (n, pause) in pauses.iter().enumerate() {
        let whole = (BACKOFF_FIRST * (1 << n)).min(BACKOFF_MAX);
        assert!(whole / 2 <= *pause && *pause <= whole, "{pauses:?}");
    }
    assert!(
        pauses.iter().any(|pause| pause.subsec_nanos() != 0),
        "{pauses:?}"
    );
}

#[test]
fn a_link_is_made_while_the_ring_is_full_and_read_once_there_is_room() {
    let mut config = config();
    config.store = store_config(4, BatchMode::Entries);
    config.transaction_entries = 4;
    let mut rig = Rig::new(config);
    rig.run();
    rig.subscribe(1, CLIENT);
    for id in 0..4 {
        rig.commit("t", Metadata::Full, &[id]);
    }
    let dumped = rig.dumps().len();
    reconnect(&mut rig);
    assert_eq!(rig.stage(), Stage::Streaming);
    assert_eq!(
        rig.dumps().len(),
        dumped + 1,
        "the source was asked for the dump"
    );
    assert_eq!(rig.drain(), [0, 1, 2, 3]);
}

#[test]
fn another_server_at_the_same_address_stops_the_destination_by_name() {
    let mut rig = Rig::streaming();
    rig.commit("t", Metadata::Full, &[1]);
    assert_eq!(rig.drain(), [1]);
    rig.uuid = ELSEWHERE;
    reconnect(&mut rig);
    assert_eq!(rig.stage(), Stage::Stopped);
    let reason = &rig.instance.status().reason;
    assert!(
        reason.contains(UUID) && reason.contains(ELSEWHERE),
        "{reason}"
    );
    assert!(reason.contains("canald.switch.by.time=true"), "{reason}");
}

/// A record of a client that stands far on in the log of another server, with the GTIDs before it.
fn moved_from_elsewhere(gtid: Option<&str>) -> MetaRecord {
    let mut record = acked(1 << 20);
    for cursor in record
        .clients
        .values_mut()
        .filter_map(|c| c.cursor.as_mut())
    {
        let known = cursor.extension.as_mut().unwrap();
        known.identity = ELSEWHERE.into();
        known.resume.gtid_before = gtid.map(Into::into);
    }
    record
}

fn short_log() -> Log {
    let mut log = Log::new(FILE);
    for id in 1..4 {
        log.transaction("t", Metadata::Full, &[id]);
    }
    log
}

#[test]
fn a_place_on_another_server_excludes_nothing_of_what_is_read_by_gtid() {
    let config = InstanceConfig {
        gtid: true,
        ..config()
    };
    let set = "00000000-0000-0000-0000-00000000beef:1-9";
    let mut rig = Rig::resumed(config, moved_from_elsewhere(Some(set)), short_log());
    rig.gtid_mode = "ON";
    rig.run();
    assert_eq!(rig.stage(), Stage::Streaming);
    assert_eq!(rig.drain(), [1, 2, 3]);
}

#[test]
fn a_place_on_another_server_excludes_nothing_of_what_is_read_by_time() {
    let config = InstanceConfig {
        switch_by_time: true,
        ..config()
    };
    let mut rig = Rig::resumed(config, moved_from_elsewhere(None), short_log());
    rig.run();
    assert_eq!(rig.stage(), Stage::Streaming, "{:?}", rig.instance.status());
    assert_eq!(rig.drain(), [1, 2, 3]);
}

#[test]
fn what_was_read_from_one_server_is_in_the_ring_before_another_is_read() {
    let config = InstanceConfig {
        gtid: true,
        store: store_config(4, BatchMode::Entries),
        transaction_entries: 4,
        ..config()
    };
    let set = "00000000-0000-0000-0000-00000000beef:1-9";
    let mut rig = Rig::resumed(config, moved_from_elsewhere(Some(set)), short_log());
    rig.gtid_mode = "ON";
    rig.run();
    assert!(!rig.instance.window.is_empty(), "the ring is full");
    rig.uuid = "00000000-0000-0000-0000-00000000cafe";
    reconnect(&mut rig);
    assert_eq!(rig.stage(), Stage::BackingOff);
    let reason = &rig.instance.status().reason;
    assert!(reason.contains("clients have to make room"), "{reason}");
    assert_eq!(rig.drain()[..2], [1, 2]);
    assert!(rig.instance.window.is_empty());
    rig.wait(BACKOFF_MAX);
    assert_eq!(rig.stage(), Stage::Streaming);
}
