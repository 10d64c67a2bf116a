//! A dump: where it begins, and which events follow (binlog-parser reference §1.9 to §1.16).
//!
//! Synchronous. A [`Cursor`] walks the log as it is; at its end it waits for more to be there.

use std::sync::Arc;

use bytes::Bytes;

use super::event::{self, Event, FIRST_EVENT};
use super::gtids::GtidSet;
use super::log::{File, Log, Server};
use super::sql::Session;
use crate::plan::Flavor;

/// An ERR packet's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) state: &'static str,
    pub(super) message: String,
}

impl Refusal {
    /// Error 1236, with which a server says all that is wrong with a dump.
    pub(super) fn of_dump(message: impl Into<String>) -> Self {
        Self {
            code: 1236,
            state: "HY000",
            message: message.into(),
        }
    }

    /// Error 1064: a statement that the source does not know.
    pub(super) fn syntax(sql: &str) -> Self {
        Self {
            code: 1064,
            state: "42000",
            message: format!(
                "You have an error in your SQL syntax; the source does not know {sql}"
            ),
        }
    }
}

/// Where a dump is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// At a file and offset; the oldest file if it has no name.
    Place { file: String, offset: u64 },
    /// MySQL: after a set of GTIDs.
    Gtids(GtidSet),
}

/// What a replica asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) server_id: u32,
    pub(super) flags: u16,
    pub(super) from: From,
}

/// Which transactions a dump leaves out.
#[derive(Clone, Debug)]
enum Skip {
    Nothing,
    /// Those of a set, MySQL.
    Set(GtidSet),
    /// Those up to a number, MariaDB.
    Through(u64),
}

impl Skip {
    fn has(&self, transaction: u64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Set(set) => set.contains(Server::UUID, transaction),
            Self::Through(last) => transaction <= *last,
        }
    }
}

/// A dump's place in the log.
#[derive(Debug)]
pub(super) struct Cursor {
    file: usize,
    event: usize,
    /// The file's head is sent.
    is_inside: bool,
    skip: Skip,
    /// Something was left out since the last event.
    has_skipped: bool,
    checksum: bool,
    long_heartbeats: bool,
}

/// Some events of a dump.
#[derive(Debug)]
pub(super) struct Burst {
    /// Each whole.
    pub(super) events: Vec<Bytes>,
    /// The file of the next event.
    pub(super) file: Arc<str>,
    /// Its offset.
    pub(super) offset: u64,
}

impl Cursor {
    /// A dump's place.
    pub(super) fn new(log: &Log, request: &Request, session: &Session) -> Result<Self, Refusal> {
        /// MySQL: heartbeats of version 2.
        const LONG_HEARTBEATS: u16 = 0x02;
        let flavor = log.server.flavor;
        if log.server.checksum && session.checksum != Some(true) {
            return Err(Refusal::of_dump(
                "Slave can not handle replication events with the checksum that source is configured to log",
            ));
        }
        let (file, event, skip) = match (&request.from, flavor, &session.connect_state) {
            (From::Gtids(set), _, _) => after_set(log, set)?,
            (From::Place { file, .. }, Flavor::Mariadb, Some(state)) if file.is_empty() => {
                after_mariadb(log, state)?
            }
            (From::Place { file, offset }, _, _) => at_place(log, file, *offset)?,
        };
        let long = flavor == Flavor::Mysql && request.flags & LONG_HEARTBEATS != 0;
        Ok(Self {
            file,
            event,
            is_inside: false,
            skip,
            has_skipped: false,
            checksum: session.checksum == Some(true),
            long_heartbeats: long,
        })
    }

    /// The file and offset of the next event.
    pub(super) fn place(&self, log: &Log) -> (Arc<str>, u64) {
        let file = &log.files[self.file];
        (Arc::clone(&file.name), self.offset(file))
    }

    fn offset(&self, file: &File) -> u64 {
        file.events
            .get(self.event)
            .map_or_else(|| file.end(), |event| event.start)
    }

    /// The next events, about as many as `most`; none at the end of the log.
    pub(super) fn advance(&mut self, log: &Log, most: usize) -> Burst {
        let mut events = Vec::new();
        while events.len() < most {
            let file = &log.files[self.file];
            if !self.is_inside {
                self.enter(file, &mut events);
            }
            if let Some(placed) = file.events.get(self.event) {
                self.event += 1;
                if placed
                    .transaction
                    .is_some_and(|number| self.skip.has(number))
                {
                    self.has_skipped = true;
                    continue;
                }
                self.tell_skipped(log, &file.name, placed.start, &mut events);
                events.push(placed.bytes.clone());
            } else if self.file + 1 < log.files.len() {
                (self.file, self.event, self.is_inside) = (self.file + 1, 0, false);
            } else {
                self.tell_skipped(log, &file.name, file.end(), &mut events);
                break;
            }
        }
        let (file, offset) = self.place(log);
        Burst {
            events,
            file,
            offset,
        }
    }

    /// A file's name, and its format if its first event will not be sent.
    fn enter(&mut self, file: &File, events: &mut Vec<Bytes>) {
        self.is_inside = true;
        let offset = self.offset(file);
        events.push(self.made_up(&event::artificial_rotate(&file.name, offset), 0));
        if offset > FIRST_EVENT
            && let Some(format) = file.events.first()
        {
            events.push(event::format_copy(&format.bytes).into());
        }
    }

    /// That transactions were left out before `offset`, if they were.
    fn tell_skipped(&mut self, log: &Log, file: &str, offset: u64, events: &mut Vec<Bytes>) {
        if !std::mem::take(&mut self.has_skipped) {
            return;
        }
        let told = match (log.server.flavor, &self.skip) {
            (Flavor::Mariadb, Skip::Through(last)) => {
                self.made_up(&event::artificial_gtid_list(Server::last(*last)), 0)
            }
            (Flavor::Mysql | Flavor::Mariadb, _) => self.heartbeat_at(file, offset),
        };
        events.push(told);
    }

    /// What an idle dump gets.
    pub(super) fn heartbeat(&self, log: &Log) -> Bytes {
        let (file, offset) = self.place(log);
        self.heartbeat_at(&file, offset)
    }

    fn heartbeat_at(&self, file: &str, offset: u64) -> Bytes {
        if self.long_heartbeats {
            self.made_up(&event::heartbeat_v2(file, offset), offset)
        } else {
            self.made_up(&event::heartbeat(file), offset)
        }
    }

    fn made_up(&self, event: &Event, log_pos: u64) -> Bytes {
        event.bytes(Server::ID, log_pos, self.checksum).into()
    }
}

type Found = (usize, usize, Skip);

fn at_place(log: &Log, name: &str, offset: u64) -> Result<Found, Refusal> {
    let Some(index) = (if name.is_empty() {
        Some(0)
    } else {
        log.find(name)
    }) else {
        return Err(Refusal::of_dump(
            "Could not find first log file name in binary log index file",
        ));
    };
    let file = &log.files[index];
    let who = log.server.flavor.source_word();
    if offset < FIRST_EVENT {
        return Err(Refusal::of_dump(format!(
            "Client requested {who} to start replication from impossible position"
        )));
    }
    if offset > file.end() {
        return Err(Refusal::of_dump(match log.server.flavor {
            Flavor::Mysql => {
                format!("Client requested {who} to start replication from position > file size")
            }
            Flavor::Mariadb => {
                format!("Client requested {who} to start replication from impossible position")
            }
        }));
    }
    match file.event_at(offset) {
        Some(event) => Ok((index, event, Skip::Nothing)),
        None => Err(Refusal::of_dump(format!(
            "log event entry exceeded max_allowed_packet; Increase max_allowed_packet on {who}; the first event \
             '{name}' at {offset}, the last event read from '{name}' at {FIRST_EVENT}, the last byte read from \
             '{name}' at {offset}."
        ))),
    }
}

/// MySQL: in the last file whose former files hold nothing outside the set.
fn after_set(log: &Log, set: &GtidSet) -> Result<Found, Refusal> {
    if !log.server.gtid {
        return Err(Refusal::of_dump(
            "The replication sender thread cannot start in AUTO_POSITION mode: this server has GTID_MODE = OFF \
             instead of ON.",
        ));
    }
    let executed = |last| GtidSet::through(Server::UUID, last);
    let has_ours_ahead = set
        .without(&executed(log.last))
        .contains_server(Server::UUID);
    if has_ours_ahead {
        return Err(Refusal::of_dump(
            "Replica has more GTIDs than the source has, using the source's SERVER_UUID.",
        ));
    }
    let is_known = |file: &File| executed(file.before).without(set).is_empty();
    let file = log.files.iter().rposition(is_known).unwrap_or(0);
    Ok((file, 0, Skip::Set(set.clone())))
}

/// MariaDB: in the last file that holds all after the replica's last GTID.
fn after_mariadb(log: &Log, state: &str) -> Result<Found, Refusal> {
    let unknown = || {
        Refusal::of_dump(format!(
            "Error: connecting slave requested to start from GTID {state}, which is not in the master's binlog"
        ))
    };
    if state.is_empty() {
        return Ok((0, 0, Skip::Nothing));
    }
    let ours = format!("{}-{}-", Server::DOMAIN, Server::ID);
    let number = state
        .strip_prefix(&ours)
        .and_then(|number| number.parse::<u64>().ok());
    let number = number
        .filter(|number| (1..=log.last).contains(number))
        .ok_or_else(unknown)?;
    let file = log.files.iter().rposition(|file| file.before <= number);
    Ok((file.unwrap_or(0), 0, Skip::Through(number)))
}

impl Flavor {
    /// What the server calls itself towards replicas.
    pub(super) const fn source_word(self) -> &'static str {
        match self {
            Self::Mysql => "source",
            Self::Mariadb => "master",
        }
    }
}
