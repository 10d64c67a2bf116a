//! A run, as data: what will be done and what will break, and when.
//!
//! A plan is drawn from a seed by [`draw`], or read from a file that [`text`] wrote and somebody edited.
//! Running it needs nothing of the generator: what is random while it runs (latencies, splits, what a torn
//! write keeps) comes from streams of the plan's seed, split by label, so that taking one item out changes
//! the rest as little as can be.

pub mod draw;
pub mod text;

use std::time::Duration;

use crate::host::Host;

/// Everything about a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where the randomness of the run comes from.
    pub seed: u64,
    /// How the world is made.
    pub options: Options,
    /// What the source does, in order of time.
    pub workload: Vec<Step>,
    /// What breaks, in order of time.
    pub faults: Vec<PlannedFault>,
}

/// How the world is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What the source is.
    pub flavor: Flavor,
    /// Whether the source writes GTIDs and canald uses them (`canal.instance.gtidon`).
    pub gtid: bool,
    /// Whether maps carry the names of columns (`binlog_row_metadata=FULL`).
    pub full_metadata: bool,
    /// Whether events end in a checksum.
    pub checksum: bool,
    /// Whether binlog transactions of more than one event are cut by this many rows each.
    pub rows_per_event: u32,
    /// Slots of canald's ring, a power of two.
    pub ring_entries: u32,
    /// Bytes of a ring's unit (`memunit`).
    pub ring_unit: u32,
    /// Whether gets are counted in entries (ITEMSIZE) rather than bytes (MEMSIZE).
    pub count_entries: bool,
    /// Entries of a transaction that are delivered as a unit, a power of two.
    pub transaction_entries: u32,
    /// Whether each DDL is delivered alone.
    pub ddl_isolation: bool,
    /// Bytes that a connection holds in one direction before the writer waits.
    pub window: usize,
    /// The most that is delivered in one piece.
    pub segment: usize,
    /// Delay of a piece, at least and at most.
    pub latency: (Duration, Duration),
    /// How long a step on the disk takes at most.
    pub disk_latency: Duration,
    /// How long a client that asks nothing holds back others, in whole seconds
    /// (`canald.reader.idle.seconds`).
    pub reader_idle: Duration,
    /// The clients, by their place.
    pub clients: Vec<ClientPlan>,
}

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flavor {
    /// MySQL 8.4.
    Mysql,
    /// MariaDB 10.11.
    Mariadb,
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPlan {
    /// Its client id. Two clients of one id compete for it.
    pub id: i16,
    /// What it asks for at a time: entries, or KiB, as gets are counted.
    pub batch: u32,
    /// How it behaves.
    pub temper: Temper,
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Temper {
    /// Gets and acknowledges.
    Good,
    /// Gets ahead: holds several batches open and acknowledges them in order.
    Ahead,
    /// Thinks long about each batch.
    Slow,
    /// Now and then forgets what it got: drops its connection between get and ack, or takes back.
    Forgetful,
    /// Now and then acknowledges what it must not, takes back what is not open, asks what makes no sense.
    Rude,
}

/// Something that the source does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, from the beginning of the run.
    pub at: Duration,
    /// What.
    pub act: Act,
}

/// What the source can do. Which rows it touches, and what is in them, follows from the state of its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A transaction on one or more tables.
    Commit {
        /// What it does to tables, in order.
        changes: Vec<Change>,
    },
    /// A transaction without changes.
    Empty,
    /// A DDL statement.
    Ddl {
        /// Which table, by number.
        table: u8,
        /// What is done to it.
        ddl: DdlAct,
    },
    /// `FLUSH BINARY LOGS`: the next event is in a new file.
    Rotate,
}

/// What a transaction does to one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which, by number.
    pub table: u8,
    /// Rows inserted, then
    pub inserts: u32,
    /// rows changed, then
    pub updates: u32,
    /// rows deleted; changes of rows that do not exist are left out.
    pub deletes: u32,
    /// Bytes of text in each row, about.
    pub text: u32,
}

/// What a DDL statement does to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DdlAct {
    /// Adds a column at the end.
    Add,
    /// Drops the last column that was added; nothing if none was.
    Drop,
    /// Empties it.
    Truncate,
}

/// Something that breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFault {
    /// When, from the beginning of the run.
    pub at: Duration,
    /// What.
    pub fault: Fault,
}

/// What can break. Whatever has a duration heals by itself after it, or when all faults end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes between canald and a host, either way; connections stay.
    Cut {
        /// The other host.
        host: Host,
        /// How long.
        lasts: Duration,
    },
    /// Nothing passes from one host to the other; the way back stays open.
    CutOneWay {
        /// From whom.
        from: Host,
        /// To whom.
        to: Host,
        /// How long.
        lasts: Duration,
    },
    /// All connections between canald and a host are reset.
    Reset {
        /// The other host.
        host: Host,
    },
    /// A host forgets its connections with canald without a word, as after a power failure behind a
    /// firewall: whatever canald sends vanishes for that long, then is answered by a reset.
    HalfOpen {
        /// The other host.
        host: Host,
        /// How long.
        lasts: Duration,
    },
    /// The source is restarted, in a new binlog file.
    RestartSource {
        /// How long it is down.
        lasts: Duration,
    },
    /// The source ends every dump at once, wherever it is, without a word: what it does to a replica that reads
    /// too slowly.
    DropDump,
    /// canald is killed, and started again.
    Crash {
        /// How long it is down.
        lasts: Duration,
    },
    /// The power of canald's machine goes after so many steps on the disk, which forgets what was not
    /// synced or keeps a part of it.
    PowerLoss {
        /// Steps on the disk until then.
        steps: u32,
        /// How long it is down.
        lasts: Duration,
    },
    /// canald is asked to stop, and started again.
    Stop {
        /// How long it is down.
        lasts: Duration,
    },
    /// canald's process stands still.
    Pause {
        /// How long.
        lasts: Duration,
    },
    /// Steps on the disk fail.
    DiskFails {
        /// How long.
        lasts: Duration,
    },
    /// The disk is full: writing fails.
    DiskFull {
        /// How long.
        lasts: Duration,
    },
    /// canald's wall clock jumps by so many seconds.
    WallClock {
        /// How far.
        seconds: i64,
    },
    /// A client is gone without a farewell, and comes again.
    CrashClient {
        /// Which.
        client: u8,
        /// How long it is away.
        lasts: Duration,
    },
    /// A client takes back all that it has not acknowledged.
    Rollback {
        /// Which.
        client: u8,
    },
}
