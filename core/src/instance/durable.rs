//! What must survive a restart, and how far it is written.
//!
//! Effects are derived from state, not queued: while the wanted version is ahead of the stored one and
//! no write is under way, one write of the newest record is due. So writes coalesce, and one is in
//! flight at a time. What waits for durability (the first dump, a new subscription) names the version
//! it needs.

use alloc::boxed::Box;
use alloc::string::String;

use crate::config::MetaMode;
use crate::meta::record::MetaRecord;
use crate::time::{Duration, Instant};

/// Time between the ends and beginnings of writes that nobody waits for: a disk is not asked for more.
pub const WRITE_SPACING: Duration = Duration::from_millis(5);

/// Time before a failed write is tried again.
pub const WRITE_RETRY: Duration = Duration::from_secs(1);

/// A state of the record, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

/// The durable record of a destination.
#[derive(Debug)]
pub struct Durable {
    mode: MetaMode,
    record: MetaRecord,
    wanted: Version,
    in_flight: Option<Version>,
    stored: Version,
    not_before: Instant,
    urgent: Version,
    last_failure: Option<String>,
}

impl Durable {
    /// Continues from `record`, as it is stored.
    #[must_use]
    pub fn new(mode: MetaMode, record: MetaRecord) -> Self {
        Self {
            mode,
            record,
            wanted: Version(0),
            in_flight: None,
            stored: Version(0),
            not_before: Instant::ZERO,
            urgent: Version(0),
            last_failure: None,
        }
    }

    /// The record as it should be.
    #[must_use]
    pub const fn record(&self) -> &MetaRecord {
        &self.record
    }

    /// Changes the record; the returned version holds the change.
    pub fn change(&mut self, how: impl FnOnce(&mut MetaRecord)) -> Version {
        how(&mut self.record);
        self.wanted = Version(self.wanted.0 + 1);
        self.wanted
    }

    /// As [`Self::change`], and somebody waits for it: it is not delayed by [`WRITE_SPACING`].
    pub fn change_now(&mut self, how: impl FnOnce(&mut MetaRecord)) -> Version {
        self.urgent = self.change(how);
        self.urgent
    }

    /// Whether everything up to `version` is stored.
    #[must_use]
    pub fn is_stored(&self, version: Version) -> bool {
        self.stored >= version
    }

    /// Whether everything is stored.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.stored == self.wanted
    }

    /// What keeps writes from succeeding, if the last one failed.
    #[must_use]
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// The record to write now, if a write is due.
    pub fn poll_write(&mut self, now: Instant) -> Option<Box<MetaRecord>> {
        let due = self.stored < self.wanted && self.in_flight.is_none();
        let urgent = self.urgent > self.stored && self.last_failure.is_none();
        if !due || (now < self.not_before && !urgent) {
            return None;
        }
        self.in_flight = Some(self.wanted);
        Some(Box::new(match self.mode {
            MetaMode::File | MetaMode::ZooKeeper => self.record.clone(),
            MetaMode::Memory => MetaRecord {
                generation: self.record.generation,
                gaps: self.record.gaps.clone(),
                ..MetaRecord::default()
            },
        }))
    }

    /// The write under way has ended.
    ///
    /// # Panics
    /// If none is under way.
    pub fn handle_written(&mut self, now: Instant, result: Result<(), String>) {
        let Some(version) = self.in_flight.take() else {
            panic!("no write is under way")
        };
        match result {
            Ok(()) => {
                self.stored = version;
                self.last_failure = None;
                self.not_before = now + WRITE_SPACING;
            }
            Err(why) => {
                self.last_failure = Some(why);
                self.not_before = now + WRITE_RETRY;
            }
        }
    }

    /// When [`Self::poll_write`] has something to do again, if time alone decides it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.stored < self.wanted && self.in_flight.is_none()).then_some(self.not_before)
    }
}
