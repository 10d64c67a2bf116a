use super::*;
use crate::instance::durable::WRITE_SPACING;
use crate::source::fault::BACKOFF_FIRST;

/// A destination that may jump over a gap has delivered 1, holds 2, and its link is cut; the source
/// purges 3 with all before it. The disk hangs while it comes back.
fn before_the_gap_is_stored() -> Rig {
    let config = InstanceConfig {
        auto_reset: true,
        ..config()
    };
    let mut rig = Rig::new(config);
    rig.run();
    rig.subscribe(1, CLIENT);
    rig.commit("t", Metadata::Full, &[1]);
    assert_eq!(rig.drain(), [1]);
    rig.commit("t", Metadata::Full, &[2]);
    rig.wait(WRITE_SPACING);
    rig.cut();
    rig.log.transaction("t", Metadata::Full, &[3]);
    rig.refusal = Some("Could not find first log file name in binary log index file");
    rig.purged = rig.log.end().offset;
    rig.disk = Disk::Hangs;
    rig.wait(BACKOFF_FIRST + BACKOFF_FIRST);
    rig
}

#[test]
fn a_gap_is_in_the_record_before_anything_behind_it_is_read() {
    let mut rig = before_the_gap_is_stored();
    let end = rig.log.end();
    assert_eq!(rig.stage(), Stage::Recording);
    assert!(rig.dumps().iter().all(|from| *from < end.offset));
    let record = rig.record();
    let [gap] = &record.gaps[..] else {
        panic!("{:?}", record.gaps)
    };
    assert_eq!(
        (&gap.to.position, gap.reason.as_str()),
        (&end, "PositionPurged")
    );
    let from = gap.from.as_ref().unwrap();
    assert_eq!(from.identity, UUID);
    assert!(from.position < end);
    let cursor = record.clients[&CLIENT].cursor.as_ref().unwrap();
    assert_eq!(cursor.read_from(), &end, "in the same write");
    let told = "GAP: the source has purged the binlog file to read next";
    assert!(rig.reported(Weight::Alarm, told));
    assert!(rig.reported(Weight::Alarm, &gap.to_string()));
    rig.disk(Disk::Works);
    assert_eq!(rig.stage(), Stage::Streaming);
    assert_eq!(rig.dumps().last(), Some(&end.offset));
}

#[test]
fn what_was_read_before_a_gap_is_served_and_leads_no_cursor_back() {
    let mut rig = before_the_gap_is_stored();
    rig.disk(Disk::Works);
    let end = rig.log.end();
    assert_eq!(rig.drain(), [2]);
    rig.wait(WRITE_SPACING);
    assert_eq!(
        rig.record().clients[&CLIENT]
            .cursor
            .as_ref()
            .unwrap()
            .read_from(),
        &end
    );
    rig.commit("t", Metadata::Full, &[4]);
    assert_eq!(rig.drain(), [4]);
    rig.wait(WRITE_SPACING);
    let cursor = rig.record().clients[&CLIENT].cursor.clone().unwrap();
    assert!(cursor.position.position > end);
    assert_eq!(rig.record().gaps.len(), 1);
}

#[test]
fn a_client_that_comes_after_a_gap_begins_behind_it() {
    let mut rig = before_the_gap_is_stored();
    rig.disk(Disk::Works);
    let other = ClientId(7);
    rig.subscribe(2, other);
    let cursor = rig.record().clients[&other].cursor.clone().unwrap();
    assert_eq!(cursor.read_from(), &rig.log.end());
}

#[test]
fn a_crash_behind_a_gap_makes_no_second_one() {
    let mut rig = before_the_gap_is_stored();
    rig.disk(Disk::Works);
    let end = rig.log.end();
    rig.commit("t", Metadata::Full, &[4]);
    let log = core::mem::replace(&mut rig.log, Log::new(FILE));
    let config = rig.instance.config.clone();
    let mut next = Rig::resumed(config, rig.record(), log);
    (next.refusal, next.purged) = (rig.refusal, rig.purged);
    next.run();
    assert_eq!(next.dumps(), [end.offset]);
    assert_eq!(next.drain(), [4]);
    assert_eq!(next.record().gaps.len(), 1);
}
