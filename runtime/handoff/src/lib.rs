//! The bounded ring between an instance and the workers that decode for it.
//!
//! The owner claims a place for each job in order; a worker publishes the result into that place
//! whenever it is done; the owner consumes results in the order of the claims. Three sequences tell
//! all: *claimed* and *consumed* belong to the owner, *published* is a stamp per slot. At most
//! `capacity` places are claimed and not consumed, so memory is bounded and nothing overtakes.
//!
//! This is the only memory that canald's threads share. It holds no `unsafe`: a slot is a
//! `Mutex<Option<T>>` that is never contended (one worker writes it, then the owner reads it), and the
//! stamp is what orders the two. A worker that dies gives its place up as [`Abandoned`], so the owner
//! is never left waiting for a result that cannot come.

#[cfg(loom)]
use loom::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};
#[cfg(not(loom))]
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

/// The worker that held this place was lost before it published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned;

struct Slot<T> {
    /// One more than the sequence whose result lies here; anything lower means "not yet".
    stamp: AtomicU64,
    value: Mutex<Option<T>>,
}

/// The owner's end: claims places and consumes results, both in order.
pub struct Ring<T> {
    slots: Arc<Vec<Slot<T>>>,
    mask: u64,
    claimed: u64,
    consumed: u64,
}

/// A place in the ring, to be published by whoever holds it.
pub struct Claim<T> {
    slots: Arc<Vec<Slot<T>>>,
    index: usize,
    sequence: u64,
}

impl<T> Ring<T> {
    /// A ring of `capacity` places.
    ///
    /// # Panics
    /// If `capacity` is not a power of two.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        assert!(
            capacity.is_power_of_two(),
            "a ring's capacity is a power of two"
        );
        let slots = (0..capacity)
            .map(|_| Slot {
                stamp: AtomicU64::new(0),
                value: Mutex::new(None),
            })
            .collect::<Vec<_>>();
        Self {
            slots: Arc::new(slots),
            mask: capacity as u64 - 1,
            claimed: 0,
            consumed: 0,
        }
    }

    /// Places claimed and not yet consumed.
    #[must_use]
    pub fn under_way(&self) -> usize {
        (self.claimed - self.consumed) as usize
    }

    /// The next place, or none while all are under way.
    pub fn claim(&mut self) -> Option<Claim<T>> {
        if self.under_way() == self.slots.len() {
            return None;
        }
        let sequence = self.claimed;
        self.claimed += 1;
        Some(Claim {
            slots: self.slots.clone(),
            index: (sequence & self.mask) as usize,
            sequence,
        })
    }

    /// The result of the oldest place under way, if it has been published.
    pub fn consume(&mut self) -> Option<Result<T, Abandoned>> {
        if self.under_way() == 0 {
            return None;
        }
        let slot = &self.slots[(self.consumed & self.mask) as usize];
        if slot.stamp.load(Ordering::Acquire) != self.consumed + 1 {
            return None;
        }
        let value = match slot.value.lock() {
            Ok(mut value) => value.take(),
            Err(poisoned) => poisoned.into_inner().take(),
        };
        self.consumed += 1;
        Some(value.ok_or(Abandoned))
    }
}

impl<T> Claim<T> {
    /// Hands the result to the owner.
    pub fn publish(self, value: T) {
        let slot = &self.slots[self.index];
        match slot.value.lock() {
            Ok(mut place) => *place = Some(value),
            Err(poisoned) => *poisoned.into_inner() = Some(value),
        }
        // Dropping `self` stamps the slot, after the value lies in it.
    }
}

impl<T> Drop for Claim<T> {
    fn drop(&mut self) {
        self.slots[self.index]
            .stamp
            .store(self.sequence + 1, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_claims() {
        let mut ring = Ring::new(4);
        let claims: Vec<_> = (0..4).map(|_| ring.claim().unwrap()).collect();
        assert!(ring.claim().is_none(), "all four places are under way");
        for (n, claim) in claims.into_iter().enumerate().rev() {
            assert!(ring.consume().is_none(), "the oldest is published last");
            claim.publish(n);
        }
        let results: Vec<_> = (0..4).map(|_| ring.consume().unwrap().unwrap()).collect();
        assert_eq!(results, [0, 1, 2, 3]);
        assert_eq!(ring.under_way(), 0);
    }

    #[test]
    fn a_lost_worker_is_told_and_the_place_is_used_again() {
        let mut ring = Ring::<u32>::new(1);
        drop(ring.claim().unwrap());
        assert_eq!(ring.consume(), Some(Err(Abandoned)));
        ring.claim().unwrap().publish(7);
        assert_eq!(ring.consume(), Some(Ok(7)));
    }

    #[test]
    fn many_threads_keep_the_order() {
        let mut ring = Ring::new(8);
        let (jobs, queue) = std::sync::mpsc::channel::<(u64, Claim<u64>)>();
        let queue = Arc::new(Mutex::new(queue));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let queue = queue.clone();
                std::thread::spawn(move || {
                    while let Ok((n, claim)) = { queue.lock().unwrap().recv() } {
                        claim.publish(n);
                    }
                })
            })
            .collect();
        let (mut sent, mut seen) = (0, 0);
        while seen < 10_000 {
            if sent < 10_000
                && let Some(claim) = ring.claim()
            {
                jobs.send((sent, claim)).unwrap();
                sent += 1;
            }
            while let Some(result) = ring.consume() {
                assert_eq!(result, Ok(seen));
                seen += 1;
            }
        }
        drop(jobs);
        for worker in workers {
            worker.join().unwrap();
        }
    }
}
