//! The simulated database: MySQL 8.4 or MariaDB 10.11, with three tables, a binlog and the replica protocol.
//!
//! | Module | Does |
//! |---|---|
//! | [`value`] | what is in the rows, from their id and revision alone |
//! | `tables` | which rows an act touches; DDL |
//! | `event`, `row` | the bytes of events, written from the manual: no code of canald's decoder is used |
//! | `log` | the files and the GTIDs |
//! | `state` | all of it together, and the history, which is written before the log |
//! | `dump`, `gtids` | where a dump begins and which events follow |
//! | `sql`, `wire`, `server` | the conversation |
//!
//! States: up, or down between [`Source::stop`] and [`Source::start`]; while it is down it does nothing,
//! and acts are lost. Bounds: memory, for files are never purged and the history is kept whole. It never
//! looks at canald but through its connections, and never makes a mistake on purpose.

mod dump;
mod event;
mod gtids;
mod log;
mod row;
mod server;
mod sql;
mod state;
mod tables;
#[cfg(test)]
mod tests;
pub mod value;
mod wire;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use canald::watch;

use self::state::Inner;
pub use self::tables::{SCHEMA, TABLES};
use crate::journal::Journal;
use crate::model::history::Committed;
use crate::plan::{Act, Options};

/// The database; clones are the same one.
#[derive(Clone)]
pub struct Source {
    inner: Arc<Mutex<Inner>>,
    /// Told whenever something happened that a connection may wait for.
    changes: Arc<watch::Sender<()>>,
    journal: Journal,
    seed: u64,
    base_seconds: u32,
}

impl Source {
    /// A database that has just started, with empty tables and nothing but its first file's head in the
    /// log. Its clock shows `base_seconds` (since 1970) where the journal's time is 0.
    #[must_use]
    pub fn new(options: &Options, seed: u64, journal: Journal, base_seconds: u32) -> Self {
        let inner = Inner::new(options, seed, journal.clone(), base_seconds);
        Self {
            inner: Arc::new(Mutex::new(inner)),
            changes: Arc::new(watch::Sender::new(())),
            journal,
            seed,
            base_seconds,
        }
    }

    /// Does an act of the plan now. False if nothing came of it: the database is down, or there was nothing
    /// to change.
    pub fn apply(&self, act: &Act) -> bool {
        let now = self.now();
        let done = self.lock().apply(act, now);
        self.announce();
        done
    }

    /// Shuts down: the log's file is ended by a STOP, all connections end. Nothing if it is down.
    pub fn stop(&self) {
        let now = self.now();
        self.lock().stop(now);
        self.announce();
    }

    /// Starts again, in a new file. Nothing if it is up.
    pub fn start(&self) {
        let now = self.now();
        self.lock().start(now);
        self.announce();
    }

    /// Both in one moment.
    pub fn restart(&self) {
        self.stop();
        self.start();
    }

    /// Whether it takes connections.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.lock().is_up()
    }

    /// Ends all dumps that run, wherever they are, without a word.
    pub fn drop_dumps(&self) {
        self.lock().drop_dumps();
        self.announce();
    }

    /// The end of the log: file and offset.
    #[must_use]
    pub fn end(&self) -> (Arc<str>, u64) {
        let inner = self.lock();
        let file = inner.log.current();
        (Arc::clone(&file.name), file.end())
    }

    /// All that was committed so far, in order.
    #[must_use]
    pub fn history(&self) -> Vec<Arc<Committed>> {
        self.lock().history.clone()
    }

    /// How many rows a table has now.
    #[must_use]
    pub fn rows(&self, table: u8) -> usize {
        self.lock().tables.rows(table)
    }

    /// Writes the files of the log into `folder`, as they would lie on the database's disk; their paths,
    /// oldest first.
    ///
    /// # Errors
    /// The disk's.
    pub fn write_files(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.lock().log.write_files(folder)
    }

    fn now(&self) -> u32 {
        let seconds = u32::try_from(self.journal.elapsed().as_secs()).unwrap_or(u32::MAX);
        self.base_seconds.saturating_add(seconds)
    }

    fn announce(&self) {
        self.changes.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, offset) = self.end();
        write!(f, "Source(at {file}:{offset})")
    }
}
