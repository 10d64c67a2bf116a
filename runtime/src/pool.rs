//! Processors: work that takes long is done beside the driver, and comes back in any order.
//!
//! Order is the core's business (`DecodeWindow`), and so is the number of jobs that are out. The pool
//! bounds what waits for a thread ([`WAITING_PER_THREAD`]); a driver that submits more waits itself.

use core::any::Any;
use core::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use thiserror::Error;
use tokio::sync::mpsc::UnboundedSender;

/// Jobs that may wait for each thread: enough to keep it busy while drivers take their turn.
pub const WAITING_PER_THREAD: usize = 4;

/// A job panicked: a bug in canald. Its destination cannot go on, the others can.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a worker panicked, which is a bug in canald: {message}")]
pub struct Panicked {
    /// What the panic said.
    pub message: String,
}

/// What comes back from a job: exactly one per submitted job.
pub type Answer<T> = Result<T, Panicked>;

/// A pool of processors; cheap to clone.
pub trait Pool: Clone + Send + Sync + 'static {
    /// Has `work` done; its answer goes to `answers`, unless nobody listens any more. The future ends
    /// when the work is accepted. The channel has no bound of its own: whoever owns it bounds the jobs
    /// that are out.
    fn submit<T, W>(
        &self,
        work: W,
        answers: &UnboundedSender<Answer<T>>,
    ) -> impl Future<Output = ()> + Send
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static;
}

fn answer<T>(work: impl FnOnce() -> T) -> Answer<T> {
    // The job owns all it touches, so nothing half-changed survives it.
    catch_unwind(AssertUnwindSafe(work)).map_err(|cause| Panicked {
        message: text(&*cause),
    })
}

fn text(cause: &(dyn Any + Send)) -> String {
    let literal = cause.downcast_ref::<&str>().map(|s| (*s).to_owned());
    literal
        .or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

/// No pool: work is done where it is submitted. What the simulator and one-shot commands use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Pool for Inline {
    async fn submit<T, W>(&self, work: W, answers: &UnboundedSender<Answer<T>>)
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        // Nobody may listen any more.
        let _ = answers.send(answer(work));
    }
}

#[cfg(feature = "daemon")]
pub use self::threads::Threads;

#[cfg(feature = "daemon")]
mod threads {
    use std::io;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::thread::Builder;

    use tokio::sync::Semaphore;
    use tokio::sync::mpsc::UnboundedSender;

    use super::{Answer, Pool, WAITING_PER_THREAD, answer};

    type Work = Box<dyn FnOnce() + Send>;

    /// Threads that live as long as somebody holds the pool.
    #[derive(Clone, Debug)]
    pub struct Threads {
        queue: Sender<Work>,
        room: Arc<Semaphore>,
    }

    impl Threads {
        /// Starts `count` threads, at least one.
        ///
        /// # Errors
        /// The system gives no thread.
        pub fn start(count: usize) -> io::Result<Self> {
            let count = count.max(1);
            let (queue, jobs) = channel();
            let jobs = Arc::new(Mutex::new(jobs));
            for n in 0..count {
                let jobs = Arc::clone(&jobs);
                Builder::new()
                    .name(format!("decode-{n}"))
                    .spawn(move || work_off(&jobs))?;
            }
            // Those at work and those that wait.
            let room = Arc::new(Semaphore::new(count * (1 + WAITING_PER_THREAD)));
            Ok(Self { queue, room })
        }
    }

    fn work_off(jobs: &Mutex<Receiver<Work>>) {
        loop {
            // The lock is held while waiting: the other idle threads wait for it instead.
            let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(work) = next else { return };
            work();
        }
    }

    impl Pool for Threads {
        async fn submit<T, W>(&self, work: W, answers: &UnboundedSender<Answer<T>>)
        where
            T: Send + 'static,
            W: FnOnce() -> T + Send + 'static,
        {
            let room = Arc::clone(&self.room).acquire_owned().await;
            let room = room.expect("the semaphore is never closed");
            let answers = answers.clone();
            let job = move || {
                let answer = answer(work);
                drop(room);
                // Nobody may listen any more.
                let _ = answers.send(answer);
            };
            self.queue
                .send(Box::new(job))
                .expect("threads live as long as their pool");
        }
    }
}

#[cfg(all(test, feature = "daemon"))]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    async fn squares(pool: &impl Pool, count: u64) -> Vec<Answer<u64>> {
        let (answers, mut listen) = unbounded_channel();
        for n in 0..count {
            pool.submit(move || n * n, &answers).await;
        }
        drop(answers);
        let mut out = Vec::new();
        while let Some(answer) = listen.recv().await {
            out.push(answer);
        }
        out.sort_by_key(|answer| answer.clone().ok());
        out
    }

    #[tokio::test]
    async fn each_job_is_answered_once() {
        let want: Vec<_> = (0..500).map(|n| Ok(n * n)).collect();
        assert_eq!(squares(&Inline, 500).await, want);
        assert_eq!(squares(&Threads::start(3).unwrap(), 500).await, want);
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_and_the_thread_lives_on() {
        let pool = Threads::start(1).unwrap();
        let (answers, mut listen) = unbounded_channel();
        pool.submit(|| -> u8 { panic!("boom {}", 1) }, &answers)
            .await;
        assert_eq!(
            listen.recv().await,
            Some(Err(Panicked {
                message: "boom 1".into()
            }))
        );
        pool.submit(|| 7, &answers).await;
        assert_eq!(listen.recv().await, Some(Ok(7)));
    }

    #[tokio::test]
    async fn submitting_waits_while_the_pool_is_full() {
        let pool = Threads::start(1).unwrap();
        let (answers, mut listen) = unbounded_channel();
        let (go, gate) = std::sync::mpsc::channel::<()>();
        pool.submit(move || gate.recv().is_ok(), &answers).await;
        for _ in 0..WAITING_PER_THREAD {
            pool.submit(|| true, &answers).await;
        }
        let one_more = pool.submit(|| true, &answers);
        tokio::pin!(one_more);
        tokio::select! {
            biased;
            () = &mut one_more => panic!("the pool has no bound"),
            () = tokio::task::yield_now() => {}
        }
        go.send(()).unwrap();
        one_more.await;
        for _ in 0..WAITING_PER_THREAD + 2 {
            assert_eq!(listen.recv().await, Some(Ok(true)));
        }
    }
}
