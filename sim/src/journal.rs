//! What the models saw, in order, with virtual time: the only thing that oracles, traces and the hash of a
//! run are fed from.
//!
//! Nothing of canald writes here except through what a model can see of it: bytes on the network, steps on
//! the disk, lines in its log.

use std::fmt;
use std::hash::Hasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use canald_core::coordination::{ZkSessionId, Zxid};
use canald_core::entry::proto::Entry;
use madsim::time::Instant;

use crate::digest::Digest;
use crate::host::Host;
use crate::model::history::Committed;

/// Something that a model saw.
#[derive(Clone, Debug)]
pub enum Record {
    /// The source.
    Source(SourceRecord),
    /// A client, by its place in the plan.
    Client(u8, ClientRecord),
    /// The daemon's process and its log.
    Daemon(DaemonRecord),
    /// The daemon's disk.
    Disk(DiskRecord),
    /// The network.
    Network(NetworkRecord),
    /// The ZooKeeper ensemble.
    ZooKeeper(ZkRecord),
    /// A fault of the plan begins or ends, in its words.
    Fault(String),
    /// All faults are over; from here on everything must come.
    Healed,
}

/// What happens at the source.
#[derive(Clone, Debug)]
pub enum SourceRecord {
    /// It committed.
    Committed(Arc<Committed>),
    /// It takes connections.
    Up,
    /// It does not.
    Down,
    /// A dump begins there.
    Dump {
        /// Which connection.
        connection: u64,
        /// The file of the first event.
        file: Arc<str>,
        /// Its offset.
        offset: u64,
    },
    /// A dump has been given all events before this place.
    Sent {
        /// Which connection.
        connection: u64,
        /// The file.
        file: Arc<str>,
        /// The offset behind the last event.
        offset: u64,
    },
    /// A connection was refused something, or was ended by the source.
    Refused {
        /// Which connection.
        connection: u64,
        /// What the source said.
        why: String,
    },
}

/// What a client does and sees. Connections count from 0 for each client, in the order of their beginning.
#[derive(Clone, Debug)]
pub enum ClientRecord {
    /// It is subscribed; what an earlier connection left open is taken back.
    Subscribed {
        /// Which connection.
        connection: u32,
    },
    /// A batch arrived.
    Got {
        /// On which connection.
        connection: u32,
        /// Its id.
        batch: i64,
        /// What is in it.
        entries: Arc<Vec<Entry>>,
    },
    /// A get was answered with nothing.
    Nothing {
        /// On which connection.
        connection: u32,
    },
    /// It sent the acknowledgement of an open batch, the smallest.
    Acked {
        /// On which connection.
        connection: u32,
        /// The batch.
        batch: i64,
    },
    /// It sent an acknowledgement that must be refused: of a batch that is not the smallest, not open, or
    /// of another life of canald.
    AckedWrongly {
        /// On which connection.
        connection: u32,
        /// The batch that it named.
        batch: i64,
    },
    /// It took back a batch and later ones, or all.
    RolledBack {
        /// On which connection.
        connection: u32,
        /// From which batch on; none for all.
        from: Option<i64>,
    },
    /// canald refused something, in these words; the connection ends.
    Refused {
        /// On which connection.
        connection: u32,
        /// The words.
        why: String,
    },
    /// A connection ended, or could not be made.
    Ended {
        /// Which connection.
        connection: u32,
        /// Why.
        why: String,
    },
}

/// What is seen of the daemon's process.
#[derive(Clone, Debug)]
pub enum DaemonRecord {
    /// It is started, for the nth time, from 0.
    Started(u32),
    /// It takes connections.
    Ready,
    /// It is gone without having been asked to.
    Crashed,
    /// It was asked to stop, and has.
    Stopped,
    /// It did not start, or ended by itself.
    Failed(String),
    /// Its process stands still.
    Paused,
    /// It goes on.
    Resumed,
    /// What it says of its destination has changed.
    Standing {
        /// The stage.
        stage: &'static str,
        /// Why.
        reason: String,
    },
    /// A line in its log.
    Log {
        /// How much it matters.
        level: tracing::Level,
        /// The line.
        text: String,
    },
}

/// A step on the daemon's disk.
#[derive(Clone, Debug)]
pub enum DiskRecord {
    /// A file was written; not safe yet.
    Wrote {
        /// Its path.
        path: String,
        /// How many bytes.
        bytes: usize,
    },
    /// What a file holds is safe.
    Synced {
        /// Its path.
        path: String,
    },
    /// A file was given another name.
    Renamed {
        /// From.
        from: String,
        /// To.
        to: String,
    },
    /// The names in a folder are safe. `holds` is the content that each path in it is now safely known by.
    FolderSynced {
        /// The folder.
        folder: String,
        /// Path and content of each file whose name and content are both safe.
        holds: Vec<(String, Arc<[u8]>)>,
    },
    /// A step failed, in the system's words.
    Failed {
        /// Which.
        step: &'static str,
        /// On what.
        path: String,
        /// The words.
        why: String,
    },
    /// The power went: this is what the disk holds now.
    PowerLost {
        /// Path and content of each file.
        holds: Vec<(String, Arc<[u8]>)>,
    },
    /// A file was read.
    Loaded {
        /// Its path.
        path: String,
        /// Whether there was one.
        found: bool,
    },
}

/// What is seen of the network. Connections count from 0 over the whole run.
#[derive(Clone, Debug)]
pub enum NetworkRecord {
    /// A connection is made.
    Connected {
        /// Which.
        connection: u64,
        /// Who dialed.
        from: Host,
        /// Whom.
        to: Host,
    },
    /// Bytes arrived, in one piece.
    Delivered {
        /// On which connection.
        connection: u64,
        /// At whom.
        at: Host,
        /// How many.
        bytes: usize,
        /// Their hash.
        hash: u64,
    },
    /// One end of a connection learned that it is over.
    Ended {
        /// Which.
        connection: u64,
        /// Who learned it.
        at: Host,
        /// Whether by a reset.
        reset: bool,
    },
}

/// What happens in the ZooKeeper ensemble, when it is committed: no server, and no client, has seen it before.
#[derive(Clone, Debug)]
pub enum ZkRecord {
    /// A session begins.
    SessionBegun {
        /// The transaction.
        zxid: Zxid,
        /// Which.
        session: ZkSessionId,
        /// How long it outlives the last word of its client.
        timeout: Duration,
        /// Whose it is.
        by: Option<Host>,
    },
    /// A client goes on with its session on a new connection.
    SessionResumed {
        /// Which.
        session: ZkSessionId,
        /// Through which server.
        server: u8,
        /// Whose it is.
        by: Option<Host>,
    },
    /// A session ends. What it owned is deleted by the same transaction, told of next.
    SessionEnded {
        /// The transaction.
        zxid: Zxid,
        /// Which.
        session: ZkSessionId,
        /// Not by its client, but because nothing was heard of it, or by hand.
        expired: bool,
    },
    /// A node is changed. A transaction may change several.
    Applied {
        /// The transaction.
        zxid: Zxid,
        /// Who asked for it; an operator if no session.
        session: Option<ZkSessionId>,
        /// What.
        change: ZkChange,
    },
    /// A transaction's answer will not reach the one who asked for it.
    AnswerLost {
        /// The transaction.
        zxid: Zxid,
        /// Who asked.
        session: Option<ZkSessionId>,
    },
    /// Somebody leads, or nobody does any more.
    Leader(Option<u8>),
    /// A server is up.
    Up(u8),
    /// A server is down.
    Down(u8),
    /// All servers have forgotten everything, sessions too.
    Wiped,
}

/// A change of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZkChange {
    /// It is made.
    Created {
        /// Which.
        path: Arc<str>,
        /// What is in it.
        data: Bytes,
        /// The session that it lives and dies with; none if it is persistent.
        owner: Option<ZkSessionId>,
    },
    /// Its data is replaced.
    Written {
        /// Which.
        path: Arc<str>,
        /// What is in it now.
        data: Bytes,
        /// Its data's version now.
        version: i32,
    },
    /// It is deleted.
    Deleted {
        /// Which.
        path: Arc<str>,
    },
}

/// What must not have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which oracle saw it.
    pub oracle: &'static str,
    /// What is broken, by its name in the specification, such as `P1` or `I16`.
    pub promise: &'static str,
    /// Whether something never came, rather than came wrong.
    pub liveness: bool,
    /// What was seen and what was expected.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.promise, self.oracle, self.text)
    }
}

/// Something that judges a run as it goes.
pub trait Oracle: Send {
    /// Takes the next record.
    ///
    /// # Errors
    /// The run is broken.
    fn see(&mut self, at: Duration, record: &Record) -> Result<(), Violation>;

    /// Whether all that must come after [`Record::Healed`] has come; if not, what is missing.
    ///
    /// # Errors
    /// What is missing.
    fn settled(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Someone who is shown every record, as it comes.
pub type Watcher = Box<dyn FnMut(Duration, &Record) + Send>;

/// The journal of a run; cheap to clone.
#[derive(Clone)]
pub struct Journal(Arc<Mutex<Inner>>);

struct Inner {
    began: Instant,
    digest: Digest,
    records: u64,
    oracles: Vec<Box<dyn Oracle>>,
    watchers: Vec<Watcher>,
    violation: Option<(Duration, Violation)>,
}

impl Journal {
    /// An empty journal, whose time begins now, judged by `oracles`.
    #[must_use]
    pub fn new(oracles: Vec<Box<dyn Oracle>>, watchers: Vec<Watcher>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            began: Instant::now(),
            digest: Digest::default(),
            records: 0,
            oracles,
            watchers,
            violation: None,
        })))
    }

    /// Adds a record.
    pub fn record(&self, record: Record) {
        let mut inner = self.lock();
        let at = inner.began.elapsed();
        inner.records += 1;
        inner.digest.record(at, &record);
        let Inner {
            oracles,
            watchers,
            violation,
            ..
        } = &mut *inner;
        for watcher in watchers {
            watcher(at, &record);
        }
        for oracle in oracles {
            if let Err(fault) = oracle.see(at, &record) {
                violation.get_or_insert((at, fault));
            }
        }
    }

    /// Virtual time since the run began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.lock().began.elapsed()
    }

    /// The first thing that must not have happened, and when.
    #[must_use]
    pub fn violation(&self) -> Option<(Duration, Violation)> {
        self.lock().violation.clone()
    }

    /// What is still missing, for whoever waits for the end.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let inner = self.lock();
        let settled = inner.oracles.iter().map(|oracle| oracle.settled());
        settled.filter_map(Result::err).collect()
    }

    /// How many records there are, and the hash of all of them.
    #[must_use]
    pub fn digest(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.records, inner.digest.finish())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (records, hash) = self.digest();
        write!(f, "Journal({records} records, {hash:016x})")
    }
}
