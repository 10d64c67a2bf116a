use super::*;
use crate::instance::durable::{WRITE_RETRY, WRITE_SPACING};

#[test]
fn a_subscription_is_answered_when_it_is_stored() {
    let mut rig = Rig::new(config());
    rig.run();
    rig.disk = Disk::Hangs;
    let filter = r"d\..*".into();
    let id = rig.request(1, CLIENT, Ask::Subscribe { filter });
    assert_eq!(rig.reply(id), None);
    assert_eq!(rig.record().clients[&CLIENT].filter, r"d\..*");
    let filter = String::new();
    let again = rig.request(2, CLIENT, Ask::Subscribe { filter });
    assert_eq!(rig.reply(again), None, "nor is one that repeats it");
    rig.disk(Disk::Works);
    assert_eq!(rig.reply(again), Some(Answer::Done));
    let filter = String::new();
    let known = rig.request(3, CLIENT, Ask::Subscribe { filter });
    assert_eq!(rig.reply(known), Some(Answer::Done));
}

#[test]
fn an_ack_moves_the_cursor_and_a_write_follows() {
    let mut rig = Rig::streaming();
    rig.commit("t", Metadata::Full, &[1]);
    let before = rig.record().clients[&CLIENT].cursor.clone();
    let (batch, rows) = rig.batch(10);
    assert_eq!(rows, [1]);
    assert_eq!(
        rig.record().clients[&CLIENT].cursor,
        before,
        "a get moves nothing"
    );
    let end = rig.log.end().offset;
    rig.ack(batch);
    rig.wait(WRITE_SPACING);
    let cursor = rig.record().clients[&CLIENT].cursor.clone().unwrap();
    let commit = end - 27;
    assert_eq!(cursor.position.position, at(commit));
    assert_eq!(
        cursor.extension.unwrap().last_acked.unwrap().position,
        at(commit)
    );
    assert!(rig.instance.durable.is_settled());

    // a new owner begins behind it
    let (record, log) = (
        rig.record(),
        core::mem::replace(&mut rig.log, Log::new(FILE)),
    );
    let mut next = Rig::resumed(config(), record, log);
    next.run();
    assert_eq!(next.get(10), Answer::NoData);
    next.commit("t", Metadata::Full, &[2]);
    let (batch, rows) = next.batch(10);
    assert_eq!(
        (batch.0 >> 32, rows),
        (2, vec![2]),
        "in a generation of its own"
    );
}

#[test]
fn a_rollback_gives_the_same_entries_again() {
    let mut rig = Rig::streaming();
    for id in 1..=3 {
        rig.commit("t", Metadata::Full, &[id]);
    }
    let (first, rows) = rig.batch(3);
    assert_eq!(rows, [1]);
    let (second, rows) = rig.batch(3);
    assert_eq!(rows, [2]);
    let batch = Some(second);
    let id = rig.request(1, CLIENT, Ask::Rollback { batch });
    assert_eq!(rig.reply(id), Some(Answer::Done));
    let (again, rows) = rig.batch(3);
    assert_eq!(rows, [2]);
    assert!(again > second, "a batch id is never used twice");
    let id = rig.request(1, CLIENT, Ask::Ack { batch: again });
    assert!(matches!(rig.reply(id), Some(Answer::Refused(why)) if why.contains("firstly")));
    rig.ack(first);
    rig.ack(again);
    let id = rig.request(1, CLIENT, Ask::Rollback { batch: None });
    assert_eq!(rig.reply(id), Some(Answer::Done));
    assert_eq!(rig.drain(), [3], "what is acknowledged does not come again");
}

#[test]
fn a_write_that_failed_is_said_and_tried_again() {
    let mut rig = Rig::streaming();
    rig.commit("t", Metadata::Full, &[1]);
    let (batch, _) = rig.batch(10);
    rig.disk = Disk::Fails;
    rig.ack(batch);
    rig.wait(WRITE_SPACING);
    assert!(rig.reported(Weight::Alarm, "could not be stored: disk full"));
    assert!(!rig.instance.durable.is_settled());
    let writes = |rig: &Rig| {
        rig.steps
            .iter()
            .filter(|step| matches!(step, Step::Saving(_)))
            .count()
    };
    let before = writes(&rig);
    rig.disk = Disk::Works;
    let (due, _) = rig.instance.poll_timeout(rig.now).unwrap();
    assert_eq!(due, rig.now + WRITE_RETRY);
    rig.wait(WRITE_RETRY);
    assert_eq!(writes(&rig), before + 1);
    assert!(rig.instance.durable.is_settled());
}

#[test]
fn the_newest_connection_of_a_client_wins_and_the_older_is_closed() {
    let mut rig = Rig::streaming();
    let wait = Wait::Unbounded;
    let waiting = rig.request(1, CLIENT, Ask::Get { size: 1, wait });
    rig.subscribe(2, CLIENT);
    let destination = rig.instance.config.destination.clone();
    let cause = CloseCause::Superseded {
        destination,
        client: CLIENT,
        by: SessionId(2),
    };
    assert_eq!(
        rig.steps
            .iter()
            .filter(|step| **step == Step::Closed(SessionId(1), cause.clone()))
            .count(),
        1
    );
    rig.commit("t", Metadata::Full, &[1]);
    assert_eq!(rig.reply(waiting), None, "its get goes with it");
    let wait = Wait::No;
    let late = rig.request(1, CLIENT, Ask::Get { size: 9, wait });
    assert!(
        matches!(rig.reply(late), Some(Answer::Refused(why)) if why.contains("newer connection"))
    );
    let id = rig.request(2, CLIENT, Ask::Get { size: 9, wait });
    assert!(matches!(rig.reply(id), Some(Answer::Batch(_, rows)) if rows == [1]));
}

#[test]
fn a_get_that_waits_is_answered_by_data_or_by_its_time() {
    let mut rig = Rig::streaming();
    let wait = Wait::AtMost(Duration::from_secs(2));
    let first = rig.request(1, CLIENT, Ask::Get { size: 9, wait });
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.reply(first), None);
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.reply(first), Some(Answer::NoData));
    let second = rig.request(1, CLIENT, Ask::Get { size: 9, wait });
    rig.commit("t", Metadata::Full, &[1]);
    assert!(matches!(rig.reply(second), Some(Answer::Batch(_, rows)) if rows == [1]));
}

/// It was silent for long, others went on, and what it needs has left the ring: it subscribes again, as
/// clients do on every connection.
#[test]
fn a_client_that_has_acknowledged_nothing_keeps_its_beginning_when_it_subscribes_again() {
    const LATE: ClientId = ClientId(1002);
    let mut config = config();
    config.store.entries = 16;
    config.transaction_entries = 8;
    let idle = config.store.reader_idle;
    let mut rig = Rig::new(config);
    rig.run();
    rig.subscribe(1, CLIENT);
    let subscribe = |rig: &mut Rig, session| {
        let filter = r".*\..*".into();
        let id = rig.request(session, LATE, Ask::Subscribe { filter });
        assert_eq!(rig.reply(id), Some(Answer::Done));
    };
    subscribe(&mut rig, 2);
    for id in 0..4 {
        rig.commit("t", Metadata::Full, &[id]);
    }
    assert_eq!(rig.drain(), [0, 1, 2, 3]);
    // The source is silent as well, and is dialed again.
    rig.wait(idle);
    for id in 4..40 {
        rig.wait(Duration::from_secs(10));
        rig.commit("t", Metadata::Full, &[id]);
        assert_eq!(rig.drain(), [id]);
    }
    subscribe(&mut rig, 3);
    let before = rig.now;
    let mut all = Vec::new();
    while all.len() < 40 {
        let (size, wait) = (1000, Wait::No);
        let id = rig.request(3, LATE, Ask::Get { size, wait });
        let Some(Answer::Batch(batch, rows)) = rig.reply(id) else {
            assert!(rig.now < before + Duration::from_secs(60), "{all:?}");
            // The source is read again for it.
            rig.wait(Duration::from_secs(10));
            continue;
        };
        let ack = rig.request(3, LATE, Ask::Ack { batch });
        assert_eq!(rig.reply(ack), Some(Answer::Done));
        all.extend(rows);
    }
    assert_eq!(all, (0..40).collect::<Vec<_>>());
}
