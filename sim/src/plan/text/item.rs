//! The one-line items of a plan, as text and back: what the source does, what breaks, a client.
//!
//! What prints an item and what reads it stand next to each other; the journal prints faults in the same
//! words.

use std::fmt;
use std::time::Duration;

use canald_core::identity::ClientId;

use super::words::{TIME, Words, Wrong, digits, lasting, list, moment, named, time};
use crate::host::Host;
use crate::model::source::TABLES;
use crate::plan::{Act, Change, ClientPlan, DdlAct, Fault, Flavor, PlannedFault, Step, Temper};

/// What the items of a workload can be.
const ACTS: &str = "commit, empty, alter, truncate or rotate";

/// What faults can be.
const FAULTS: &str = "cut, reset, half-open, restart, drop, crash, power, stop, pause, disk, wall or \
                      rollback";

/// The most that a client can ask for: the protocol counts it with a sign.
pub(super) const BATCH_MAX: u32 = i32::MAX as u32;

/// What the source does at a time: `0.120s commit t0 +3 ~2 -1 text 40, t1 +1`.
pub(super) fn read_step(words: &mut Words<'_>) -> Result<Step, Wrong> {
    let at = words.time()?;
    let act = act(words)?;
    words.end()?;
    Ok(Step { at, act })
}

/// What breaks at a time, in a plan of so many clients: `1.500s cut source 2s`.
pub(super) fn read_fault(words: &mut Words<'_>, clients: u8) -> Result<PlannedFault, Wrong> {
    let at = words.time()?;
    let fault = fault(words, clients)?;
    words.end()?;
    Ok(PlannedFault { at, fault })
}

/// A client: `1001 good, batch 100`.
pub(super) fn read_client(words: &mut Words<'_>) -> Result<ClientPlan, Wrong> {
    // Those above are temporary: nothing of them is stored.
    let ids = 0..=ClientId::TEMPORARY_FIRST - 1;
    let expected = format!("a client id from {} to {}", ids.start(), ids.end());
    let id = words.parsed(&expected, |word| digits(word).filter(|id| ids.contains(id)))?;
    let temper = words.one_of(&TEMPERS)?;
    words.exact(",")?;
    words.exact("batch")?;
    let expected = format!("a whole number from 1 to {BATCH_MAX}");
    let batch = words.parsed(&expected, |word| {
        digits(word).filter(|size| (1..=BATCH_MAX).contains(size))
    })?;
    words.end()?;
    Ok(ClientPlan { id, batch, temper })
}

/// As an item of a workload.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", moment(self.at), self.act)
    }
}

/// As an item of a plan's faults.
impl fmt::Display for PlannedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", moment(self.at), self.fault)
    }
}

/// As an item of a plan's clients.
impl fmt::Display for ClientPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, batch, temper } = self;
        write!(f, "{id} {temper}, batch {batch}")
    }
}

/// All flavors.
pub(super) const FLAVORS: [Flavor; 2] = [Flavor::Mysql, Flavor::Mariadb];

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        })
    }
}

/// All tempers.
pub(super) const TEMPERS: [Temper; 5] = [
    Temper::Good,
    Temper::Ahead,
    Temper::Slow,
    Temper::Forgetful,
    Temper::Rude,
];

impl fmt::Display for Temper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Ahead => "ahead",
            Self::Slow => "slow",
            Self::Forgetful => "forgetful",
            Self::Rude => "rude",
        })
    }
}

/// The name of a table, by its number.
#[derive(Clone, Copy)]
struct TableName(u8);

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

fn table(words: &mut Words<'_>) -> Result<u8, Wrong> {
    let all: Vec<TableName> = (0..TABLES).map(TableName).collect();
    words.one_of(&all).map(|TableName(number)| number)
}

/// As an item of a workload, without its time.
impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit { changes } => {
                f.write_str("commit")?;
                for (place, change) in changes.iter().enumerate() {
                    f.write_str(if place == 0 { " " } else { ", " })?;
                    write_change(f, change)?;
                }
                Ok(())
            }
            Self::Empty => f.write_str("empty"),
            Self::Ddl { table, ddl } => {
                let table = TableName(*table);
                match ddl {
                    DdlAct::Add => write!(f, "alter {table} add"),
                    DdlAct::Drop => write!(f, "alter {table} drop"),
                    DdlAct::Truncate => write!(f, "truncate {table}"),
                }
            }
            Self::Rotate => f.write_str("rotate"),
        }
    }
}

fn act(words: &mut Words<'_>) -> Result<Act, Wrong> {
    match words.next() {
        Some("commit") => commit(words),
        Some("empty") => Ok(Act::Empty),
        Some("alter") => {
            let table = table(words)?;
            let ddl = words.parsed("add or drop", |word| match word {
                "add" => Some(DdlAct::Add),
                "drop" => Some(DdlAct::Drop),
                _ => None,
            })?;
            Ok(Act::Ddl { table, ddl })
        }
        Some("truncate") => Ok(Act::Ddl {
            table: table(words)?,
            ddl: DdlAct::Truncate,
        }),
        Some("rotate") => Ok(Act::Rotate),
        Some(_) | None => Err(words.wrong(ACTS)),
    }
}

/// A table and what is done to it; what is zero is left out.
fn write_change(f: &mut fmt::Formatter<'_>, change: &Change) -> fmt::Result {
    write!(f, "{}", TableName(change.table))?;
    let counts = [
        (" +", change.inserts),
        (" ~", change.updates),
        (" -", change.deletes),
        (" text ", change.text),
    ];
    for (mark, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        write!(f, "{mark}{count}")?;
    }
    Ok(())
}

fn commit(words: &mut Words<'_>) -> Result<Act, Wrong> {
    let marked = |mark: char| move |word: &str| word.strip_prefix(mark).and_then(digits);
    let mut changes = Vec::new();
    loop {
        changes.push(Change {
            table: table(words)?,
            inserts: words.optional(marked('+')).unwrap_or(0),
            updates: words.optional(marked('~')).unwrap_or(0),
            deletes: words.optional(marked('-')).unwrap_or(0),
            text: if words.has("text") {
                words.number()?
            } else {
                0
            },
        });
        match words.next() {
            None => return Ok(Act::Commit { changes }),
            Some(",") => {}
            Some(_) => {
                return Err(words.wrong(
                    "+INSERTS ~UPDATES -DELETES text BYTES, in this order, or a comma and another table",
                ));
            }
        }
    }
}

/// The name of a client, by its place: that of its machine.
#[derive(Clone, Copy)]
struct ClientName(u8);

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Host::Client(self.0).fmt(f)
    }
}

/// As an item of a plan's faults, without its time.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut { host, lasts } => write!(f, "cut {host} {}", lasting(*lasts)),
            Self::CutOneWay { from, to, lasts } => {
                write!(f, "cut {from} -> {to} {}", lasting(*lasts))
            }
            Self::Reset { host } => write!(f, "reset {host}"),
            Self::HalfOpen { host, lasts } => write!(f, "half-open {host} {}", lasting(*lasts)),
            Self::RestartSource { lasts } => write!(f, "restart source {}", lasting(*lasts)),
            Self::DropDump => f.write_str("drop dump"),
            Self::Crash { lasts } => write!(f, "crash canald {}", lasting(*lasts)),
            Self::PowerLoss { steps, lasts } => {
                write!(f, "power loss after {steps} steps {}", lasting(*lasts))
            }
            Self::Stop { lasts } => write!(f, "stop canald {}", lasting(*lasts)),
            Self::Pause { lasts } => write!(f, "pause canald {}", lasting(*lasts)),
            Self::DiskFails { lasts } => write!(f, "disk fails {}", lasting(*lasts)),
            Self::DiskFull { lasts } => write!(f, "disk full {}", lasting(*lasts)),
            Self::WallClock { seconds } => write!(f, "wall clock {seconds:+}s"),
            Self::CrashClient { client, lasts } => {
                write!(f, "crash {} {}", ClientName(*client), lasting(*lasts))
            }
            Self::Rollback { client } => write!(f, "rollback {}", ClientName(*client)),
        }
    }
}

fn fault(words: &mut Words<'_>, clients: u8) -> Result<Fault, Wrong> {
    match words.next() {
        Some("cut") => cut(words, clients),
        Some("reset") => Ok(Fault::Reset {
            host: words.one_of(&peers(clients))?,
        }),
        Some("half-open") => Ok(Fault::HalfOpen {
            host: words.one_of(&peers(clients))?,
            lasts: words.time()?,
        }),
        Some("restart") => Ok(Fault::RestartSource {
            lasts: time_after(words, "source")?,
        }),
        Some("drop") => words.exact("dump").map(|()| Fault::DropDump),
        Some("crash") => crash(words, clients),
        Some("power") => {
            words.exact("loss")?;
            words.exact("after")?;
            Ok(Fault::PowerLoss {
                steps: words.number()?,
                lasts: time_after(words, "steps")?,
            })
        }
        Some("stop") => Ok(Fault::Stop {
            lasts: time_after(words, "canald")?,
        }),
        Some("pause") => Ok(Fault::Pause {
            lasts: time_after(words, "canald")?,
        }),
        Some("disk") => disk(words),
        Some("wall") => {
            words.exact("clock")?;
            let seconds = words.parsed("a jump such as +3600s or -3s", jump)?;
            Ok(Fault::WallClock { seconds })
        }
        Some("rollback") => {
            let ClientName(client) = words.one_of(&client_names(clients))?;
            Ok(Fault::Rollback { client })
        }
        Some(_) | None => Err(words.wrong(FAULTS)),
    }
}

/// Both ways, or with an arrow one way.
fn cut(words: &mut Words<'_>, clients: u8) -> Result<Fault, Wrong> {
    let peers = peers(clients);
    if words.has("canald") {
        words.exact("->")?;
        return Ok(Fault::CutOneWay {
            from: Host::Canald,
            to: words.one_of(&peers)?,
            lasts: words.time()?,
        });
    }
    let host = words.parsed(&format!("canald, {}", list(&peers)), |word| {
        named(&peers, word)
    })?;
    if words.has("->") {
        return Ok(Fault::CutOneWay {
            from: host,
            to: Host::Canald,
            lasts: time_after(words, "canald")?,
        });
    }
    let lasts = words.parsed(&format!("-> canald, or {TIME}"), time)?;
    Ok(Fault::Cut { host, lasts })
}

fn crash(words: &mut Words<'_>, clients: u8) -> Result<Fault, Wrong> {
    if words.has("canald") {
        let lasts = words.time()?;
        return Ok(Fault::Crash { lasts });
    }
    let clients = client_names(clients);
    let names = clients.iter().map(ClientName::to_string);
    let all: Vec<String> = std::iter::once("canald".to_owned()).chain(names).collect();
    let ClientName(client) = words.parsed(&list(&all), |word| named(&clients, word))?;
    let lasts = words.time()?;
    Ok(Fault::CrashClient { client, lasts })
}

fn disk(words: &mut Words<'_>) -> Result<Fault, Wrong> {
    match words.next() {
        Some("fails") => Ok(Fault::DiskFails {
            lasts: words.time()?,
        }),
        Some("full") => Ok(Fault::DiskFull {
            lasts: words.time()?,
        }),
        Some(_) | None => Err(words.wrong("fails or full")),
    }
}

/// Whoever talks with canald in a plan of so many clients.
fn peers(clients: u8) -> Vec<Host> {
    let clients = (0..clients).map(Host::Client);
    std::iter::once(Host::Source).chain(clients).collect()
}

fn client_names(clients: u8) -> Vec<ClientName> {
    (0..clients).map(ClientName).collect()
}

fn time_after(words: &mut Words<'_>, word: &str) -> Result<Duration, Wrong> {
    words.exact(word)?;
    words.time()
}

/// A jump of the clock: seconds, with their sign.
fn jump(word: &str) -> Option<i64> {
    let seconds = word.strip_suffix('s')?;
    let has_sign = seconds.starts_with(['+', '-']);
    has_sign.then(|| seconds.parse().ok()).flatten()
}
