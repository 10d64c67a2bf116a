//! The source's inner state: tables, log, history, and who reads. Synchronous; time is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use canald_core::rng::{Rng, Seed};

use super::dump::Refusal;
use super::event::{self, Event, Group, Query};
use super::log::{Log, Server, Staged};
use super::row::{self, Metadata};
use super::sql::Session;
use super::tables::{DdlDone, SCHEMA, Statement, Tables};
use super::value::mix;
use crate::journal::{Journal, Record, SourceRecord};
use crate::model::history::{Body, Committed, Ddl, RowsEvent};
use crate::plan::{Act, Flavor, Options};

/// The session that does all the work.
const THREAD: u32 = 11;
/// Numbers of the engine's transactions begin behind this one.
const XID_BASE: u64 = 4_000;

/// Why the source ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It shuts down.
    Shutdown,
    /// A fault of the plan.
    Dropped,
    /// A dump of the same replica has begun.
    Replaced,
}

impl Ending {
    /// For the journal.
    pub(super) const fn why(self) -> &'static str {
        match self {
            Self::Shutdown => "the source shuts down",
            Self::Dropped => "the dump is dropped",
            Self::Replaced => "a dump of the same replica has begun",
        }
    }
}

/// Whom a dump is for: servers compare UUIDs, where they are given one, else ids.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Replica {
    Uuid(String),
    Id(u32),
}

#[derive(Debug, Default)]
struct Connection {
    dumps_for: Option<Replica>,
    ending: Option<Ending>,
}

/// All of the source.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) log: Log,
    pub(super) tables: Tables,
    pub(super) metadata: Metadata,
    pub(super) history: Vec<Arc<Committed>>,
    journal: Journal,
    rows_per_event: usize,
    /// What the choice of rows follows from.
    salt: u64,
    is_up: bool,
    lives: usize,
    connections: BTreeMap<u64, Connection>,
}

impl Inner {
    /// A server that has just started, with empty tables.
    pub(super) fn new(options: &Options, seed: u64, journal: Journal, now: u32) -> Self {
        let Options {
            flavor,
            gtid,
            checksum,
            ..
        } = *options;
        let metadata = match (options.full_metadata, flavor) {
            (true, _) => Metadata::Full,
            (false, Flavor::Mysql) => Metadata::Minimal,
            (false, Flavor::Mariadb) => Metadata::NoLog,
        };
        let mut tables = Tables::new(flavor);
        tables.open(0);
        let server = Server {
            flavor,
            gtid,
            checksum,
        };
        journal.record(Record::Source(SourceRecord::Up));
        Self {
            log: Log::new(server, now),
            tables,
            metadata,
            history: Vec::new(),
            journal,
            rows_per_event: options.rows_per_event.max(1) as usize,
            salt: Rng::new(Seed(seed)).split("source/rows").0,
            is_up: true,
            lives: 1,
            connections: BTreeMap::new(),
        }
    }

    /// Does an act. False if nothing came of it: the source is down, or there was nothing to change.
    pub(super) fn apply(&mut self, act: &Act, now: u32) -> bool {
        if !self.is_up {
            return false;
        }
        match act {
            Act::Commit { changes } => {
                let drawn = mix(self.salt, self.log.last);
                let mut statements = Vec::new();
                for (place, change) in changes.iter().enumerate() {
                    statements.extend(self.tables.change(change, mix(drawn, place as u64)));
                }
                if statements.is_empty() {
                    return false;
                }
                self.commit_rows(&statements, now);
            }
            Act::Empty => self.commit_nothing(now),
            Act::Ddl { table, ddl } => match self.tables.define(*table, *ddl) {
                Some(done) => self.commit_ddl(done, now),
                None => return false,
            },
            Act::Rotate => self.log.rotate(now),
        }
        true
    }

    /// What precedes the changes of a transaction, behind its GTID: MariaDB's GTID is the beginning itself.
    fn begin(&self, now: u32) -> Vec<Event> {
        match self.log.server.flavor {
            Flavor::Mysql => vec![self.query("BEGIN", now)],
            Flavor::Mariadb => Vec::new(),
        }
    }

    fn query(&self, sql: &str, now: u32) -> Event {
        let query = Query {
            thread: THREAD,
            schema: SCHEMA,
            sql,
            ddl_xid: None,
        };
        query.event(now, self.log.server.flavor)
    }

    fn next_xid(&self) -> u64 {
        XID_BASE + self.log.last + 1
    }

    fn commit_rows(&mut self, statements: &[Statement], now: u32) {
        let flavor = self.log.server.flavor;
        let mut events = self.begin(now);
        let mut done = Vec::new();
        for statement in statements {
            let Statement { shape, kind, rows } = statement;
            events.push(row::table_map(now, shape, flavor, self.metadata));
            let mut chunks = rows.chunks(self.rows_per_event).peekable();
            while let Some(chunk) = chunks.next() {
                let is_last = chunks.peek().is_none();
                // One place further, behind the GTID.
                done.push((events.len() + 1, statement, chunk));
                events.push(row::rows(now, shape, *kind, chunk, flavor, is_last));
            }
        }
        events.push(event::xid(now, self.next_xid()));
        let staged = self.log.stage(now, Group::Transaction, events);
        let rows_events = done.into_iter().map(|(index, statement, chunk)| RowsEvent {
            start: staged.offsets[index],
            table: Arc::clone(&statement.shape.table),
            kind: statement.kind,
            rows: chunk
                .iter()
                .map(|touched| statement.shape.row(touched))
                .collect(),
        });
        let body = Body::Rows(rows_events.collect());
        self.commit(&staged, body, now);
    }

    fn commit_nothing(&mut self, now: u32) {
        let mut events = self.begin(now);
        events.push(self.query("COMMIT", now));
        let staged = self.log.stage(now, Group::Transaction, events);
        self.commit(&staged, Body::Rows(Vec::new()), now);
    }

    fn commit_ddl(&mut self, done: DdlDone, now: u32) {
        let query = Query {
            thread: THREAD,
            schema: SCHEMA,
            sql: &done.sql,
            ddl_xid: Some(self.next_xid()),
        };
        let event = query.event(now, self.log.server.flavor);
        let staged = self.log.stage(now, Group::Statement, vec![event]);
        let body = Body::Ddl(Ddl {
            // Behind the GTID.
            start: staged.offsets[1],
            schema: SCHEMA.into(),
            table: done.table,
            sql: done.sql,
            kind: done.kind,
        });
        self.commit(&staged, body, now);
    }

    /// The history first, then the log.
    fn commit(&mut self, staged: &Staged, body: Body, now: u32) {
        let server = self.log.server;
        let number = self.log.last + 1;
        let [start, .., end] = *staged.offsets else {
            unreachable!("a transaction has at least its GTID, and so two offsets")
        };
        let committed = Arc::new(Committed {
            number: self.history.len() as u64,
            file: Arc::clone(&self.log.current().name),
            start,
            end,
            gtid: server.has_gtids().then(|| server.gtid(number).into()),
            timestamp: now,
            body,
        });
        self.history.push(Arc::clone(&committed));
        self.record(SourceRecord::Committed(committed));
        self.log.write(staged);
    }

    /// Adds to the journal.
    pub(super) fn record(&self, record: SourceRecord) {
        self.journal.record(Record::Source(record));
    }

    /// Shuts down: all connections end.
    pub(super) fn stop(&mut self, now: u32) {
        if !std::mem::take(&mut self.is_up) {
            return;
        }
        self.log.stop(now);
        for connection in self.connections.values_mut() {
            connection.ending.get_or_insert(Ending::Shutdown);
        }
        self.record(SourceRecord::Down);
    }

    /// Starts again, in a new file.
    pub(super) fn start(&mut self, now: u32) {
        if std::mem::replace(&mut self.is_up, true) {
            return;
        }
        self.log.start(now);
        self.tables.open(self.lives);
        self.lives += 1;
        self.record(SourceRecord::Up);
    }

    /// Whether it takes connections.
    pub(super) const fn is_up(&self) -> bool {
        self.is_up
    }

    /// A connection begins; false if the source is down.
    pub(super) fn connect(&mut self, connection: u64) -> bool {
        if self.is_up {
            self.connections.insert(connection, Connection::default());
        }
        self.is_up
    }

    /// A connection is over.
    pub(super) fn disconnect(&mut self, connection: u64) {
        self.connections.remove(&connection);
    }

    /// Why a connection must end, if it must.
    pub(super) fn ending(&self, connection: u64) -> Option<Ending> {
        self.connections.get(&connection)?.ending
    }

    /// Ends all dumps.
    pub(super) fn drop_dumps(&mut self) {
        for connection in self.connections.values_mut() {
            if connection.dumps_for.is_some() {
                connection.ending.get_or_insert(Ending::Dropped);
            }
        }
    }

    /// A dump begins; an earlier one for the same replica ends.
    pub(super) fn begin_dump(&mut self, connection: u64, session: &Session, server_id: u32) {
        let replica = match (&session.uuid, self.log.server.flavor) {
            (Some(uuid), Flavor::Mysql) => Replica::Uuid(uuid.clone()),
            (None, Flavor::Mysql) | (_, Flavor::Mariadb) => Replica::Id(server_id),
        };
        for (number, other) in &mut self.connections {
            if *number != connection && other.dumps_for.as_ref() == Some(&replica) {
                other.ending.get_or_insert(Ending::Replaced);
            }
        }
        if let Some(own) = self.connections.get_mut(&connection) {
            own.dumps_for = Some(replica);
        }
    }

    /// What the dump that was replaced is told.
    pub(super) fn replaced(&self) -> Refusal {
        let (file, who) = (self.log.current(), self.log.server.flavor.source_word());
        let whom = match self.log.server.flavor {
            Flavor::Mysql => "replica",
            Flavor::Mariadb => "slave",
        };
        let (name, end) = (&file.name, file.end());
        Refusal::of_dump(format!(
            "A {whom} with the same server_uuid/server_id as this {whom} has connected to the {who}; the first \
             event '{name}' at 4, the last event read from './{name}' at {end}, the last byte read from './{name}' \
             at {end}."
        ))
    }
}
