//! Decoded jobs in the order of the log, whatever order they were decoded in.
//!
//! Bounded by [`JOBS_MAX`] jobs under way; the serial stage is not asked for more while it is full.
//! Only the finished prefix is handed on, so a slow job holds back what follows it and nothing overtakes.

use alloc::collections::VecDeque;

use crate::pipeline::decode::Decoded;
use crate::pipeline::job::JobId;

/// Jobs being decoded, or decoded and waiting for an older one or for room in the ring.
pub const JOBS_MAX: usize = 16;

/// The jobs between the serial stage and the store.
#[derive(Debug, Default)]
pub struct DecodeWindow {
    first: u64,
    jobs: VecDeque<Option<Decoded>>,
}

impl DecodeWindow {
    /// Whether another job would be one too many.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.jobs.len() >= JOBS_MAX
    }

    /// Whether no job is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Notes that `job` is being decoded.
    ///
    /// # Panics
    /// If jobs are not announced in order: results could not be put in order either.
    pub fn announce(&mut self, job: JobId) {
        assert_eq!(
            job.0,
            self.first + self.jobs.len() as u64,
            "jobs are announced in order"
        );
        self.jobs.push_back(None);
    }

    /// Takes the result of `job`. Each announced job is answered once.
    ///
    /// # Panics
    /// If the job is not under way, or was answered before.
    pub fn complete(&mut self, job: JobId, decoded: Decoded) {
        let slot = job
            .0
            .checked_sub(self.first)
            .and_then(|i| self.jobs.get_mut(i as usize));
        let Some(slot) = slot else {
            panic!("job {} is not under way", job.0)
        };
        assert!(slot.is_none(), "job {} was answered twice", job.0);
        *slot = Some(decoded);
    }

    /// The oldest job's result, if it is there; it stays.
    #[must_use]
    pub fn peek(&self) -> Option<&Decoded> {
        self.jobs.front()?.as_ref()
    }

    /// Takes the oldest job's result, if it is there.
    pub fn take(&mut self) -> Option<Decoded> {
        let decoded = self.jobs.front_mut()?.take()?;
        self.jobs.pop_front();
        self.first += 1;
        Some(decoded)
    }
}
