//! Processors for decode jobs: threads in the daemon, in place in the simulator and one-shot commands.
//!
//! A pool runs work and forgets it: results come back through the hand-off ring
//! ([`canald_handoff::Ring`]), whose capacity bounds what its owner has under way. So a pool needs no
//! bound of its own, and a worker that panics drops its claim, which the ring's owner is told.

/// A pool of processors; cheap to clone.
pub trait Pool: Clone + Send + Sync + 'static {
    /// Has `work` done, now or later. A panic in it is contained: it ends the work and nothing else.
    fn run(&self, work: impl FnOnce() + Send + 'static);
}

/// No pool: work is done where it is submitted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Pool for Inline {
    fn run(&self, work: impl FnOnce() + Send + 'static) {
        contain(work);
    }
}

/// The work owns all that it touches, so nothing half-changed survives a panic; what the panic said is
/// on standard error already.
fn contain(work: impl FnOnce()) {
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
}

#[cfg(feature = "daemon")]
pub use self::threads::Threads;

#[cfg(feature = "daemon")]
mod threads {
    use std::io;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::thread::Builder;

    use super::{Pool, contain};

    type Work = Box<dyn FnOnce() + Send>;

    /// Threads that live as long as somebody holds the pool.
    #[derive(Clone, Debug)]
    pub struct Threads {
        queue: Sender<Work>,
    }

    impl Threads {
        /// Starts `count` threads, at least one.
        ///
        /// # Errors
        /// The system gives no thread.
        pub fn start(count: usize) -> io::Result<Self> {
            let (queue, jobs) = channel();
            let jobs = Arc::new(Mutex::new(jobs));
            for n in 0..count.max(1) {
                let jobs = Arc::clone(&jobs);
                Builder::new()
                    .name(format!("decode-{n}"))
                    .spawn(move || work_off(&jobs))?;
            }
            Ok(Self { queue })
        }
    }

    fn work_off(jobs: &Mutex<Receiver<Work>>) {
        loop {
            // The lock is held while waiting: the other idle threads wait for it instead.
            let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(work) = next else { return };
            contain(work);
        }
    }

    impl Pool for Threads {
        fn run(&self, work: impl FnOnce() + Send + 'static) {
            self.queue
                .send(Box::new(work))
                .expect("threads live as long as their pool");
        }
    }
}

#[cfg(all(test, feature = "daemon"))]
mod tests {
    use std::sync::mpsc::channel;

    use canald_handoff::{Abandoned, Ring};

    use super::*;

    fn squares(pool: &impl Pool, count: u64) -> Vec<u64> {
        let (sender, results) = channel();
        for n in 0..count {
            let sender = sender.clone();
            pool.run(move || sender.send(n * n).expect("the test listens"));
        }
        drop(sender);
        let mut results: Vec<_> = results.into_iter().collect();
        results.sort_unstable();
        results
    }

    #[test]
    fn all_work_is_done_once() {
        let want: Vec<_> = (0..500).map(|n| n * n).collect();
        assert_eq!(squares(&Inline, 500), want);
        assert_eq!(squares(&Threads::start(3).unwrap(), 500), want);
    }

    #[test]
    fn a_panic_abandons_its_place_and_the_thread_lives_on() {
        let pool = Threads::start(1).unwrap();
        let mut ring = Ring::new(2);
        let (lost, kept) = (ring.claim().unwrap(), ring.claim().unwrap());
        let (done, wait) = channel();
        pool.run(move || {
            let _lost = lost;
            panic!("boom");
        });
        pool.run(move || {
            kept.publish(7);
            done.send(()).expect("the test waits");
        });
        wait.recv().unwrap();
        assert_eq!(ring.consume(), Some(Err(Abandoned)));
        assert_eq!(ring.consume(), Some(Ok(7)));
    }
}
