//! Every interleaving of two workers and the owner, by loom.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p canald-handoff --release --test loom --target-dir target/loom`.
#![cfg(loom)]

use canald_handoff::{Abandoned, Ring};
use loom::thread;

#[test]
fn two_workers_and_the_owner_keep_order_in_every_interleaving() {
    loom::model(|| {
        let mut ring = Ring::new(2);
        let (first, second) = (ring.claim().unwrap(), ring.claim().unwrap());
        let workers = [
            thread::spawn(move || first.publish(1)),
            thread::spawn(move || second.publish(2)),
        ];
        let mut seen = Vec::new();
        while seen.len() < 2 {
            match ring.consume() {
                Some(result) => seen.push(result.unwrap()),
                None => thread::yield_now(),
            }
        }
        assert_eq!(seen, [1, 2]);
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn a_place_is_used_again_only_after_it_was_consumed() {
    loom::model(|| {
        let mut ring = Ring::new(1);
        let claim = ring.claim().unwrap();
        let first = thread::spawn(move || claim.publish(1));
        assert!(ring.claim().is_none());
        let one = loop {
            if let Some(result) = ring.consume() {
                break result;
            }
            thread::yield_now();
        };
        assert_eq!(one, Ok(1));
        let claim = ring.claim().unwrap();
        let second = thread::spawn(move || drop::<canald_handoff::Claim<i32>>(claim));
        let two = loop {
            if let Some(result) = ring.consume() {
                break result;
            }
            thread::yield_now();
        };
        assert_eq!(two, Err(Abandoned));
        first.join().unwrap();
        second.join().unwrap();
    });
}
