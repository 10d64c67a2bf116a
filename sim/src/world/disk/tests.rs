use bytes::Bytes;
use canald::files::previous;
use madsim::runtime::{Handle, Runtime};

use super::*;
use crate::world::testing::{journal, options};

/// Steps of a save, and one more than enough.
const STEPS: u32 = 10;

const LONG: Duration = Duration::from_secs(60);

fn in_simulation<T>(seed: u64, scenario: impl Future<Output = T>) -> T {
    Runtime::with_seed_and_config(seed, madsim::Config::default()).block_on(scenario)
}

fn record() -> &'static Path {
    Path::new("data/example/meta")
}

/// The record, or the one before it if the first is none of `known`.
async fn recover(files: &SimFiles, known: &[Bytes]) -> Option<Bytes> {
    let is_known = |record: &Option<Bytes>| record.as_ref().is_some_and(|r| known.contains(r));
    let first = files.load(record()).await.unwrap();
    if is_known(&first) {
        return first;
    }
    files
        .load(&previous(record()))
        .await
        .unwrap()
        .filter(|r| known.contains(r))
}

async fn within<T>(patience: Duration, what: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        out = what => Some(out),
        () = sleep(patience) => None,
    }
}

/// Saves 0, 1, … until the power goes in the middle of saving `saves`; what is left.
async fn interrupted(seed: u64, saves: u8, steps: u32) -> (Option<Bytes>, (u64, u64)) {
    let (journal, _) = journal();
    let disk = SimDisk::new(seed, &options(), journal.clone());
    let files = disk.restart();
    let known: Vec<Bytes> = (0..=saves).map(|n| vec![n; 300].into()).collect();
    let (last, before) = known.split_last().unwrap();
    for earlier in before {
        files.save(record(), earlier.clone()).await.unwrap();
    }
    disk.power_loss_after(steps, LONG);
    let saved = within(LONG, files.save(record(), last.clone())).await;
    if saved.is_some() {
        disk.lose_power();
    }
    assert_eq!(within(LONG, disk.power_lost()).await, Some(LONG));
    let left = recover(&disk.restart(), &known).await;
    let expected: Vec<_> = match saved {
        Some(saved) => {
            saved.unwrap();
            vec![Some(last)]
        }
        None => vec![before.last(), Some(last)],
    };
    assert!(
        expected.contains(&left.as_ref()),
        "seed {seed}, step {steps}: {left:?}"
    );
    (left, journal.digest())
}

#[test]
fn a_record_survives_a_loss_of_power_at_any_step_under_any_seed() {
    let (mut old, mut new) = (0, 0);
    for seed in 0..60 {
        for saves in 0..4 {
            for steps in 0..STEPS {
                let (left, _) = in_simulation(seed, interrupted(seed, saves, steps));
                match left {
                    Some(left) if left[0] == saves => new += 1,
                    _ => old += 1,
                }
            }
        }
    }
    assert!(old > 100 && new > 100, "old {old}, new {new}");
}

#[test]
fn two_runs_of_one_seed_give_the_same_journal() {
    for seed in 0..10 {
        let run = || in_simulation(seed, interrupted(seed, 2, 5)).1;
        assert_eq!(run(), run());
    }
}

/// The order of steps that canald must not have: the name is changed before the content is safe.
#[test]
fn a_save_without_its_sync_loses_the_record_under_some_seed() {
    let lost = (0..50).filter(|seed| {
        in_simulation(*seed, async {
            let disk = SimDisk::new(*seed, &options(), journal().0);
            let files = disk.restart();
            files.make_folder(Path::new("d")).unwrap();
            files.write(Path::new("d/new"), b"record").unwrap();
            files.rename(Path::new("d/new"), Path::new("d/a")).unwrap();
            files.sync_folder(Path::new("d")).unwrap();
            disk.lose_power();
            let left = disk.restart().read(Path::new("d/a"), 100).unwrap().unwrap();
            left != b"record"
        })
    });
    assert!((10..50).contains(&lost.count()));
}

#[test]
fn a_crash_of_the_process_keeps_everything_and_ends_its_calls() {
    in_simulation(1, async {
        let disk = SimDisk::new(1, &options(), journal().0);
        let files = disk.restart();
        files.make_folder(Path::new("d")).unwrap();
        files.write(Path::new("d/a"), b"cached").unwrap();
        let lock = files.lock(Path::new("d")).await.unwrap();
        disk.crash();
        assert!(files.write(Path::new("d/a"), b"from the grave").is_err());
        assert!(within(LONG, files.load(Path::new("d/a"))).await.is_none());
        let next = disk.restart();
        assert_eq!(next.read(Path::new("d/a"), 3).unwrap().unwrap(), b"cac");
        let _held = next.lock(Path::new("d")).await.unwrap();
        drop(lock);
        assert!(matches!(
            next.lock(Path::new("d")).await,
            Err(LockFault::Held { .. })
        ));
    });
}

#[test]
fn a_folder_has_one_owner_until_its_process_is_killed() {
    in_simulation(2, async {
        let disk = SimDisk::new(2, &options(), journal().0);
        let files = disk.restart();
        let handle = Handle::current();
        let node = handle.create_node().name("canald").build();
        let theirs = files.clone();
        node.spawn(async move {
            let _lock = theirs.lock(Path::new("d")).await.unwrap();
            pending::<()>().await;
        });
        sleep(Duration::from_secs(1)).await;
        let Err(LockFault::Held { folder, .. }) = files.lock(Path::new("d")).await else {
            panic!("two owners");
        };
        assert_eq!(folder, "d");
        handle.kill(node.id());
        sleep(Duration::from_secs(1)).await;
        assert!(files.lock(Path::new("d")).await.is_ok());
    });
}

#[test]
fn faults_come_and_go_and_leave_what_was_safe() {
    for seed in 0..40 {
        in_simulation(seed, async {
            let (journal, records) = journal();
            let disk = SimDisk::new(seed, &options(), journal);
            let files = disk.restart();
            let known: Vec<Bytes> = vec!["first".into(), "second".into(), "third".into()];
            files.save(record(), known[0].clone()).await.unwrap();
            disk.full(true);
            let fault = files.save(record(), known[1].clone()).await.unwrap_err();
            assert_eq!(fault.cause.kind(), io::ErrorKind::StorageFull);
            disk.full(false);
            disk.fail(true);
            let fault = files.save(record(), known[1].clone()).await.unwrap_err();
            assert_eq!(fault.cause.raw_os_error(), Some(EIO));
            assert!(files.load(record()).await.is_err());
            assert!(matches!(
                files.lock(Path::new("d")).await,
                Err(LockFault::Unusable(_))
            ));
            disk.power_loss_after(100, LONG);
            disk.heal();
            assert_eq!(recover(&files, &known).await, Some(known[0].clone()));
            files.save(record(), known[2].clone()).await.unwrap();
            disk.lose_power();
            assert_eq!(
                recover(&disk.restart(), &known).await,
                Some(known[2].clone())
            );
            let failed = |r: &&Record| matches!(r, Record::Disk(DiskRecord::Failed { .. }));
            assert_eq!(records.lock().unwrap().iter().filter(failed).count(), 4);
        });
    }
}

#[test]
fn the_journal_says_what_is_safe_after_each_save() {
    in_simulation(3, async {
        let (journal, records) = journal();
        let files = SimDisk::new(3, &options(), journal).restart();
        files.save(record(), "one".into()).await.unwrap();
        files.save(record(), "two".into()).await.unwrap();
        let records = records.lock().unwrap();
        let Some(Record::Disk(DiskRecord::FolderSynced { folder, holds })) = records.last() else {
            panic!("{:?}", records.last());
        };
        assert_eq!(folder, "data/example");
        let held: Vec<_> = holds
            .iter()
            .map(|(path, bytes)| (path.as_str(), &bytes[..]))
            .collect();
        let one = ("data/example/meta.1", &b"one"[..]);
        assert_eq!(held, [("data/example/meta", &b"two"[..]), one]);
    });
}
