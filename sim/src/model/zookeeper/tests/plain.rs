//! What holds while nothing breaks.

use canald_core::coordination::Zxid;

use super::*;

const RUNNING: &str = "/otter/canal/destinations/example/running";

#[test]
fn the_client_makes_reads_changes_lists_and_deletes_nodes() {
    with_ensemble(1, |rig| async move {
        let client = rig.client(A).await;
        assert_eq!(client.session_timeout(), SESSION_TIMEOUT);
        client.mkdir("/otter/canal", &persistent()).await.unwrap();
        let (made, _) = client
            .create("/otter/canal/x", b"one", &persistent())
            .await
            .unwrap();
        assert_eq!((made.version, made.ephemeral_owner), (0, 0));
        assert!(made.ctime >= i64::from(BASE_SECONDS) * 1000);
        let written = client
            .set_data("/otter/canal/x", b"two!", Some(0))
            .await
            .unwrap();
        assert_eq!((written.version, written.data_length), (1, 4));
        assert!(written.mzxid > made.mzxid);
        let (data, stat) = client.get_data("/otter/canal/x").await.unwrap();
        assert_eq!((data.as_slice(), stat), (&b"two!"[..], written));
        let (names, above) = client.get_children("/otter/canal").await.unwrap();
        assert_eq!((names, above.num_children), (vec!["x".to_owned()], 1));
        assert_eq!(above.pzxid, made.czxid);
        assert_eq!(client.list_children("/otter").await.unwrap(), ["canal"]);
        client.sync("/otter").await.unwrap();
        client.delete("/otter/canal/x", Some(1)).await.unwrap();
        assert!(client.check_stat("/otter/canal/x").await.unwrap().is_none());
        assert!(rig.ensemble.node("/otter/canal/x").is_none());
    });
}

#[test]
fn refusals_reach_the_client_by_their_names() {
    with_ensemble(2, |rig| async move {
        let client = rig.client(A).await;
        client.create("/a", b"", &persistent()).await.unwrap();
        client.create("/a/e", b"", &ephemeral()).await.unwrap();
        let refused = [
            client.create("/a", b"", &persistent()).await.err(),
            client.create("/x/y", b"", &persistent()).await.err(),
            client.create("/a/e/f", b"", &persistent()).await.err(),
            client.set_data("/a", b"", Some(7)).await.err(),
            client.delete("/a", None).await.err(),
            client.get_data("/x").await.err(),
            client.get_children("/x").await.err(),
            client.count_descendants_number("/").await.err(),
        ];
        let expected = [
            zk::Error::NodeExists,
            zk::Error::NoNode,
            zk::Error::NoChildrenForEphemerals,
            zk::Error::BadVersion,
            zk::Error::NotEmpty,
            zk::Error::NoNode,
            zk::Error::NoNode,
            zk::Error::Unimplemented,
        ];
        let names = |errors: &[zk::Error]| {
            errors
                .iter()
                .map(zk::Error::to_string)
                .collect::<Vec<String>>()
        };
        let refused: Vec<zk::Error> = refused.into_iter().flatten().collect();
        assert_eq!(names(&refused), names(&expected));
    });
}

#[test]
fn a_watch_tells_another_client_that_an_ephemeral_node_came_and_went() {
    with_ensemble(3, |rig| async move {
        let (owner, other) = (rig.client(A).await, rig.client(B).await);
        let parent = "/otter/canal/destinations/example";
        owner.mkdir(parent, &persistent()).await.unwrap();
        other.sync("/").await.unwrap();
        let (absent, made) = other.check_and_watch_stat(RUNNING).await.unwrap();
        assert!(absent.is_none());
        owner.create(RUNNING, b"{}", &ephemeral()).await.unwrap();
        let event = within(LONG, made.changed()).await.unwrap();
        assert_eq!(event.event_type, zk::EventType::NodeCreated);
        assert_eq!(event.path, RUNNING);
        assert_eq!(rig.ensemble.owner(RUNNING), Some(session(&owner)));
        let (_, stat, gone) = other.get_and_watch_data(RUNNING).await.unwrap();
        assert_eq!(stat.ephemeral_owner, session(&owner).0);
        let (names, _, children) = other.get_and_watch_children(parent).await.unwrap();
        assert_eq!(names, ["running"]);
        let began = Instant::now();
        drop(owner);
        let event = within(LONG, gone.changed()).await.unwrap();
        assert_eq!(event.event_type, zk::EventType::NodeDeleted);
        let event = within(LONG, children.changed()).await.unwrap();
        assert_eq!(event.event_type, zk::EventType::NodeChildrenChanged);
        assert!(
            began.elapsed() < Duration::from_millis(100),
            "it was closed"
        );
        assert_eq!(
            rig.count(|r| matches!(r, ZkRecord::SessionEnded { expired: false, .. })),
            1
        );
    });
}

#[test]
fn a_watch_is_told_once_and_one_that_was_taken_back_never() {
    with_ensemble(4, |rig| async move {
        let client = rig.client(A).await;
        client.create("/a", b"", &persistent()).await.unwrap();
        let (.., kept) = client.get_and_watch_data("/a").await.unwrap();
        let (.., dropped) = client.get_and_watch_children("/a").await.unwrap();
        drop(dropped);
        client.set_data("/a", b"1", None).await.unwrap();
        client.set_data("/a", b"2", None).await.unwrap();
        client.create("/a/b", b"", &persistent()).await.unwrap();
        let event = within(LONG, kept.changed()).await.unwrap();
        assert_eq!(event.event_type, zk::EventType::NodeDataChanged);
        let (data, ..) = client.get_data("/a").await.unwrap();
        assert_eq!(data, b"2", "the client is well, nothing unexpected came");
    });
}

#[test]
fn a_multi_is_done_whole_or_refused_whole() {
    with_ensemble(5, |rig| async move {
        let client = rig.client(A).await;
        client.create("/run", b"", &ephemeral()).await.unwrap();
        client.create("/cursor", b"0", &persistent()).await.unwrap();
        let mut fenced = client.new_multi_writer();
        fenced.add_check_version("/run", 0).unwrap();
        fenced.add_set_data("/cursor", b"1", Some(0)).unwrap();
        fenced.add_create("/new", b"n", &persistent()).unwrap();
        let results = fenced.commit().await.unwrap();
        assert_eq!(results.len(), 3);
        let mut late = client.new_multi_writer();
        late.add_set_data("/cursor", b"2", Some(1)).unwrap();
        late.add_check_version("/run", 3).unwrap();
        late.add_delete("/new", None).unwrap();
        let refused = late.commit().await.unwrap_err();
        let zk::MultiWriteError::OperationFailed { index, source } = refused else {
            panic!("{refused}");
        };
        assert_eq!(
            (index, source.to_string()),
            (1, zk::Error::BadVersion.to_string())
        );
        let (cursor, stat) = rig.ensemble.node("/cursor").unwrap();
        assert_eq!((&cursor[..], stat.version), (&b"1"[..], 1));
        assert!(rig.ensemble.node("/new").is_some());
    });
}

#[test]
fn transactions_grow_and_each_change_of_a_node_is_recorded_by_its_own() {
    with_ensemble(6, |rig| async move {
        let client = rig.client(A).await;
        client.create("/a", b"", &persistent()).await.unwrap();
        let mut both = client.new_multi_writer();
        both.add_set_data("/a", b"1", None).unwrap();
        both.add_set_data("/a", b"2", None).unwrap();
        both.commit().await.unwrap();
        let records = rig.records.lock().unwrap();
        let applied = records.iter().filter_map(|record| {
            let Record::ZooKeeper(ZkRecord::Applied { zxid, session, .. }) = record else {
                return None;
            };
            Some((*zxid, *session))
        });
        let applied: Vec<_> = applied.collect();
        let own = Some(session(&client));
        let zxid = |counter: i64| Zxid((1 << 32) + counter);
        assert_eq!(
            applied,
            [(zxid(2), own), (zxid(3), own), (zxid(3), own)],
            "the session was the first"
        );
    });
}
