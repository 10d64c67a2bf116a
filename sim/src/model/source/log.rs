//! The binlog: files of events, and the GTIDs in them.
//!
//! Events are kept whole, each with its place and the number of its transaction, so that a dump can begin
//! and skip as a server does. Files are never purged.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::event::{self, Event, FIRST_EVENT, Group, MAGIC, MysqlGtid};
use crate::plan::Flavor;

/// What a server is, for ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) flavor: Flavor,
    /// Whether MySQL gives GTIDs; MariaDB always does.
    pub(super) gtid: bool,
    pub(super) checksum: bool,
}

impl Server {
    /// `server_id`
    pub(super) const ID: u32 = 501;
    /// `gtid_domain_id`, MariaDB.
    pub(super) const DOMAIN: u32 = 0;
    /// `server_uuid`, MySQL.
    pub(super) const UUID: [u8; 16] = [
        0x5a, 0x1e, 0xc0, 0xde, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1,
    ];

    /// `version`, and what its events carry.
    pub(super) const fn version(self) -> &'static str {
        match self.flavor {
            Flavor::Mysql => "8.4.3",
            Flavor::Mariadb => "10.11.9-MariaDB-log",
        }
    }

    /// The name of the `number`-th file, from 1.
    fn file_name(self, number: usize) -> String {
        match self.flavor {
            Flavor::Mysql => format!("binlog.{number:06}"),
            Flavor::Mariadb => format!("mariadb-bin.{number:06}"),
        }
    }

    /// Whether transactions have GTIDs.
    pub(super) const fn has_gtids(self) -> bool {
        self.gtid || matches!(self.flavor, Flavor::Mariadb)
    }

    /// The GTID of the transaction of this number, from 1.
    pub(super) fn gtid(self, number: u64) -> String {
        match self.flavor {
            Flavor::Mysql => format!("{}:{number}", uuid_text(Self::UUID)),
            Flavor::Mariadb => format!("{}-{}-{number}", Self::DOMAIN, Self::ID),
        }
    }

    /// The GTIDs of the transactions up to this number: a set on MySQL, the last one on MariaDB.
    pub(super) fn gtids_through(self, number: u64) -> String {
        match (self.has_gtids(), self.flavor, number) {
            (false, _, _) | (_, _, 0) => String::new(),
            (true, Flavor::Mysql, 2..) => format!("{}:1-{number}", uuid_text(Self::UUID)),
            (true, Flavor::Mysql | Flavor::Mariadb, _) => self.gtid(number),
        }
    }

    /// The numbers up to `number` as the last GTID of a list, MariaDB.
    pub(super) fn last(number: u64) -> Option<(u32, u32, u64)> {
        (number > 0).then_some((Self::DOMAIN, Self::ID, number))
    }
}

/// A UUID as text.
pub(super) fn uuid_text(uuid: [u8; 16]) -> String {
    let hex = format!("{:032x}", u128::from_be_bytes(uuid));
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

/// An event in a file.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// Offset of its first byte.
    pub(super) start: u64,
    /// Offset behind its last.
    pub(super) end: u64,
    /// Itself.
    pub(super) bytes: Bytes,
    /// The number of its transaction, from 1; none if it belongs to the file.
    pub(super) transaction: Option<u64>,
}

/// A file.
#[derive(Debug)]
pub(super) struct File {
    /// Its name.
    pub(super) name: Arc<str>,
    /// What is in it.
    pub(super) events: Vec<Placed>,
    /// The number of the last transaction before it; 0 if there is none.
    pub(super) before: u64,
}

impl File {
    /// Offset behind its last event.
    pub(super) fn end(&self) -> u64 {
        self.events.last().map_or(FIRST_EVENT, |event| event.end)
    }

    /// What is in it, as on the server's disk.
    pub(super) fn content(&self) -> Vec<u8> {
        let events = self.events.iter().map(|event| &event.bytes[..]);
        let parts: Vec<&[u8]> = std::iter::once(&MAGIC[..]).chain(events).collect();
        parts.concat()
    }

    /// The index of the event that begins at `offset`, or of the one that will.
    pub(super) fn event_at(&self, offset: u64) -> Option<usize> {
        let index = self.events.partition_point(|event| event.start < offset);
        let start = self
            .events
            .get(index)
            .map_or_else(|| self.end(), |event| event.start);
        (start == offset).then_some(index)
    }

    /// The number of the last transaction that has an event before `offset`.
    pub(super) fn transactions_before(&self, offset: u64) -> u64 {
        let before = self.events.iter().take_while(|event| event.end <= offset);
        before
            .filter_map(|event| event.transaction)
            .last()
            .unwrap_or(self.before)
    }
}

/// Why a server begins a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// It has started.
    Start,
    /// The former file was ended by a ROTATE.
    Rotation,
}

/// All files, oldest first; there is always one.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) server: Server,
    pub(super) files: Vec<File>,
    /// The number of the last transaction.
    pub(super) last: u64,
    /// Transactions in the current file.
    in_file: u64,
}

/// The events of a transaction and where they will lie.
#[derive(Debug)]
pub(super) struct Staged {
    events: Vec<Event>,
    /// Offset of each event, and behind the last.
    pub(super) offsets: Vec<u64>,
}

impl Log {
    /// The log of a server that has just started for the first time.
    pub(super) fn new(server: Server, now: u32) -> Self {
        let mut log = Self {
            server,
            files: Vec::new(),
            last: 0,
            in_file: 0,
        };
        log.begin_file(Begin::Start, now);
        log
    }

    /// The file that is written.
    pub(super) fn current(&self) -> &File {
        self.files.last().expect("the first file is begun at once")
    }

    /// The place of a file, by its name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.files.iter().position(|file| &*file.name == name)
    }

    fn begin_file(&mut self, begin: Begin, now: u32) {
        let number = self.files.len() + 1;
        let name = self.server.file_name(number);
        let created = match begin {
            Begin::Start => now,
            Begin::Rotation => 0,
        };
        let Server {
            flavor, checksum, ..
        } = self.server;
        let mut events = vec![event::format(
            flavor,
            self.server.version(),
            now,
            created,
            checksum,
        )];
        match flavor {
            Flavor::Mysql => {
                let executed = if self.server.gtid { self.last } else { 0 };
                events.push(event::previous_gtids(now, Server::UUID, executed));
            }
            Flavor::Mariadb => {
                events.push(event::mariadb_gtid_list(now, Server::last(self.last)));
                // First the file of before, until nothing in it is needed any more.
                if let (Begin::Rotation, Some(former)) = (begin, self.files.last()) {
                    events.push(event::mariadb_checkpoint(now, &former.name));
                }
                events.push(event::mariadb_checkpoint(now, &name));
            }
        }
        self.files.push(File {
            name: name.into(),
            events: Vec::new(),
            before: self.last,
        });
        self.in_file = 0;
        for event in &events {
            self.append(event, None);
        }
    }

    /// `FLUSH BINARY LOGS`.
    pub(super) fn rotate(&mut self, now: u32) {
        let next = self.server.file_name(self.files.len() + 1);
        self.append(&event::rotate(now, &next), None);
        self.begin_file(Begin::Rotation, now);
    }

    /// The server shuts down.
    pub(super) fn stop(&mut self, now: u32) {
        self.append(&event::stop(now), None);
    }

    /// The server has started again.
    pub(super) fn start(&mut self, now: u32) {
        self.begin_file(Begin::Start, now);
    }

    /// The next transaction, of these events behind its GTID, and where each of all will lie.
    pub(super) fn stage(&self, now: u32, group: Group, events: Vec<Event>) -> Staged {
        const MICROS: u64 = 1_000_000;
        const VERSION: u32 = 80_403;
        let checksum = self.server.checksum;
        let number = self.last + 1;
        let gtid = match self.server.flavor {
            Flavor::Mysql => MysqlGtid {
                gtid: self.server.gtid.then_some((Server::UUID, number)),
                statement: group == Group::Statement,
                sequence: self.in_file + 1,
                micros: u64::from(now) * MICROS + number % MICROS,
                following: events.iter().map(|event| event.size(checksum)).sum(),
                version: VERSION,
            }
            .event(now, checksum),
            Flavor::Mariadb => event::mariadb_gtid(now, Server::DOMAIN, number, group),
        };
        let mut all = vec![gtid];
        all.extend(events);
        let mut end = self.current().end();
        let mut offsets = vec![end];
        for event in &all {
            end += event.size(checksum);
            offsets.push(end);
        }
        Staged {
            events: all,
            offsets,
        }
    }

    /// Writes it.
    pub(super) fn write(&mut self, staged: &Staged) {
        self.last += 1;
        self.in_file += 1;
        for event in &staged.events {
            self.append(event, Some(self.last));
        }
    }

    fn append(&mut self, event: &Event, transaction: Option<u64>) {
        let checksum = self.server.checksum;
        let file = self
            .files
            .last_mut()
            .expect("the first file is begun at once");
        let start = file.end();
        let end = start + event.size(checksum);
        let bytes = event.bytes(Server::ID, end, checksum).into();
        file.events.push(Placed {
            start,
            end,
            bytes,
            transaction,
        });
    }

    /// Writes each file into `folder` under its name, as a server would have it on its disk.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn write_files(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for file in &self.files {
            let path = folder.join(&*file.name);
            std::fs::write(&path, file.content())?;
            paths.push(path);
        }
        Ok(paths)
    }
}
