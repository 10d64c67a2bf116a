//! What comes to a client, in which order, and where it begins again (P1, P2; I3, I7, I12, I16).
//!
//! Between a subscription (or a rollback) and the next, entries are a contiguous run of the history, of which
//! transactions that change nothing may be left out. A run begins at a place that the client may have
//! acknowledged:
//!
//! - an acknowledgement counts for certain once canald answered something later on the same connection;
//! - one that was sent and not followed by an answer may count or not;
//! - a rollback of one batch begins at that batch's first entry;
//! - after a crash of canald a run may begin at an earlier acknowledged place, but at none before the last
//!   cursor that the disk had made safe; after a stop that it was asked for, at none before what counts;
//! - a client that has acknowledged nothing begins at the beginning of the history, or, if others were
//!   there before it, no later than the first of them stands; and never later than it began before.
//!
//! Two clients with one id share that id's places; each connection is a run of its own, because what canald
//! gave to the older one may still be on its way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use canald_core::entry::proto::Entry;

use crate::journal::{
    ClientRecord, DaemonRecord, DiskRecord, Oracle, Record, SourceRecord, Violation,
};
use crate::oracle::expected::{Expected, Part};
use crate::oracle::stored::Stored;
use crate::oracle::{broken, client_ids};
use crate::plan::Options;

/// Judges what comes to clients.
#[derive(Debug)]
pub struct Delivery {
    ids: Vec<i16>,
    history: Expected,
    streams: BTreeMap<i16, Stream>,
    /// Whether the present life of canald ended without storing what counts.
    rough: bool,
    /// Whether a step on the disk failed since the record was last safe.
    disk_failed: bool,
}

/// The places of a client id.
#[derive(Debug, Default)]
struct Stream {
    /// Entries before it are acknowledged, for certain, as canald knows it.
    acked: usize,
    /// Whether canald knows of any acknowledgement, for certain.
    confirmed: bool,
    /// Where a run may begin: ends of acknowledged batches, and the first beginning.
    places: BTreeSet<usize>,
    /// The latest place where a client begins that has acknowledged nothing; none before its subscription.
    latest: Option<usize>,
    /// The last entry that the disk knows to be acknowledged ends here; none if it knows of none.
    safe: Option<usize>,
    /// The newest connection of each client with this id.
    lines: BTreeMap<u8, Line>,
}

/// A connection.
#[derive(Debug)]
struct Line {
    connection: u32,
    /// No run of it begins before this place.
    base: usize,
    /// The next entry of its run; none at the beginning of one.
    next: Option<usize>,
    open: VecDeque<Open>,
    /// Ends of batches whose acknowledgement was sent and may not count yet.
    sent: Vec<usize>,
    /// The canald that served it is gone: what still comes was on its way.
    dead: bool,
}

/// A batch that was given.
#[derive(Clone, Copy, Debug)]
struct Open {
    batch: i64,
    from: usize,
    to: usize,
}

impl Delivery {
    /// Has seen nothing yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let ids = client_ids(options);
        Self {
            streams: ids.iter().map(|id| (*id, Stream::default())).collect(),
            ids,
            history: Expected::default(),
            rough: false,
            disk_failed: false,
        }
    }

    fn client(&mut self, place: u8, record: &ClientRecord) -> Result<(), Violation> {
        let id = self.ids[usize::from(place)];
        let elsewhere = self.streams.iter().filter(|(other, _)| **other != id);
        let farthest = elsewhere.filter_map(|(_, stream)| stream.places.last().copied());
        let farthest = farthest.max().unwrap_or(0);
        let stream = self.streams.entry(id).or_default();
        match record {
            ClientRecord::Subscribed { connection } => {
                stream.subscribed(place, *connection, farthest);
                Ok(())
            }
            ClientRecord::Got {
                connection,
                batch,
                entries,
            } => stream
                .got(&mut self.history, (place, *connection), *batch, entries)
                .map_err(|(promise, text)| broken("delivery", promise, tell(id, place, &text))),
            ClientRecord::Nothing { connection } => {
                stream.confirm(place, *connection);
                Ok(())
            }
            ClientRecord::Acked { connection, batch } => {
                stream.acked(place, *connection, *batch);
                Ok(())
            }
            ClientRecord::RolledBack { connection, from } => {
                stream.rolled_back(place, *connection, *from);
                Ok(())
            }
            ClientRecord::AckedWrongly { .. }
            | ClientRecord::Refused { .. }
            | ClientRecord::Ended { .. } => Ok(()),
        }
    }

    fn daemon(&mut self, record: &DaemonRecord) {
        match record {
            DaemonRecord::Crashed | DaemonRecord::Failed(_) => self.gone(true),
            DaemonRecord::Stopped => self.gone(self.disk_failed),
            DaemonRecord::Started(_) => {
                let rough = core::mem::take(&mut self.rough);
                for stream in self.streams.values_mut() {
                    stream.bury();
                    if rough {
                        stream.rewind();
                    }
                }
            }
            DaemonRecord::Ready
            | DaemonRecord::Paused
            | DaemonRecord::Resumed
            | DaemonRecord::Standing { .. }
            | DaemonRecord::Log { .. } => {}
        }
    }

    fn gone(&mut self, rough: bool) {
        self.rough |= rough;
        for stream in self.streams.values_mut() {
            stream.bury();
        }
    }

    fn disk(&mut self, record: &DiskRecord) {
        match record {
            DiskRecord::FolderSynced { holds, .. } | DiskRecord::PowerLost { holds } => {
                // A record that cannot be read is for the oracle of cursors.
                if let Ok(Some(stored)) = Stored::of(holds) {
                    self.disk_failed = false;
                    self.safe(&stored);
                }
            }
            DiskRecord::Failed { .. } => self.disk_failed = true,
            DiskRecord::Wrote { .. }
            | DiskRecord::Synced { .. }
            | DiskRecord::Renamed { .. }
            | DiskRecord::Loaded { .. } => {}
        }
    }

    fn safe(&mut self, stored: &Stored) {
        for (id, cursor) in &stored.clients {
            let last = cursor
                .as_ref()
                .and_then(|cursor| cursor.last_acked.as_ref());
            let last = last.and_then(|last| self.history.at(&last.file, last.offset));
            if let (Some(last), Some(stream)) = (last, self.streams.get_mut(id)) {
                stream.safe = stream.safe.max(Some(last + 1));
            }
        }
    }
}

fn tell(id: i16, place: u8, text: &str) -> String {
    format!("client {id} (client-{place}) {text}")
}

impl Stream {
    fn subscribed(&mut self, place: u8, connection: u32, farthest: usize) {
        self.latest.get_or_insert(farthest);
        let line = Line {
            connection,
            base: self.acked,
            next: None,
            open: VecDeque::new(),
            sent: Vec::new(),
            dead: false,
        };
        self.lines.insert(place, line);
    }

    fn line(&mut self, place: u8, connection: u32) -> Option<&mut Line> {
        let line = self.lines.get_mut(&place);
        line.filter(|line| line.connection == connection)
    }

    /// canald answered: what was sent before on this connection counts.
    fn confirm(&mut self, place: u8, connection: u32) {
        let Some(line) = self.line(place, connection).filter(|line| !line.dead) else {
            return;
        };
        if let Some(last) = line.sent.drain(..).max() {
            line.base = line.base.max(last);
            self.confirmed = true;
            self.acked = self.acked.max(last);
        }
    }

    fn got(
        &mut self,
        history: &mut Expected,
        (place, connection): (u8, u32),
        batch: i64,
        entries: &[Entry],
    ) -> Result<(), (&'static str, String)> {
        self.confirm(place, connection);
        let numbers = entries.iter().map(|entry| history.find(entry));
        let numbers = numbers.collect::<Result<Vec<_>, _>>();
        let numbers = numbers.map_err(|why| ("P1", format!("got {why}")))?;
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
            return Err(("I7", format!("got batch {batch}, which is empty")));
        };
        let (first, to) = (*first, *last + 1);
        let Some(line) = self.line(place, connection) else {
            let text = format!("got batch {batch} on connection {connection}, not subscribed");
            return Err(("I7", text));
        };
        let mut next = match line.next {
            Some(next) => next,
            None => {
                self.begin(history, place, first)?;
                first
            }
        };
        for number in numbers {
            follows(history, next, number)?;
            next = number + 1;
        }
        if let Some(line) = self.line(place, connection) {
            line.next = Some(next);
            line.open.push_back(Open {
                batch,
                from: first,
                to,
            });
        }
        Ok(())
    }

    /// A run begins at entry `first`.
    fn begin(
        &mut self,
        history: &Expected,
        place: u8,
        first: usize,
    ) -> Result<(), (&'static str, String)> {
        let line = self.lines.get(&place);
        let (base, dead) = line.map_or((0, false), |line| (line.base, line.dead));
        let reaches = |from: usize| history.due(from) >= first;
        let known = self.places.range(..=first).next_back().copied();
        let known = known.filter(|known| reaches(*known));
        let is_early = !self.confirmed && self.latest.is_some_and(reaches);
        let at = || history.describe(first);
        if known.is_none() && !is_early {
            let last = self.places.last().copied().or(self.latest).unwrap_or(0);
            return Err(if first > last {
                let lost = history.describe(history.due(last));
                (
                    "P1",
                    format!("is given {} and never was given {lost}", at()),
                )
            } else {
                (
                    "I16",
                    format!("begins at {}, which no acknowledgement led to", at()),
                )
            });
        }
        if first < base && self.confirmed {
            let text = format!("is given {} again, which it has acknowledged", at());
            return Err(("I12", text));
        }
        if dead {
            return Ok(());
        }
        if !self.confirmed {
            self.latest = self.latest.min(Some(first));
        }
        self.settle(first, known);
        Ok(())
    }

    /// canald stands at `first`: what an earlier connection of this client sent beyond it was lost, what
    /// it sent up to it counts. Of two clients with one id, either may be given late what canald gave it
    /// before the other took its place: that says nothing of what the other sent.
    fn settle(&mut self, first: usize, known: Option<usize>) {
        let was_acked = known.filter(|known| self.latest.is_none_or(|latest| *known > latest));
        if let Some(known) = was_acked {
            self.confirmed = true;
            // Not up to `first`: what was left out between the two may be let through when it is read again.
            self.acked = self.acked.max(known);
        }
        if self.lines.len() == 1 {
            let stands = first.max(self.acked);
            self.places.retain(|known| *known <= stands);
        }
        self.places.insert(first);
    }

    fn acked(&mut self, place: u8, connection: u32, batch: i64) {
        let Some(line) = self.line(place, connection) else {
            return;
        };
        if line.open.front().is_some_and(|open| open.batch == batch)
            && let Some(open) = line.open.pop_front()
            && !line.dead
        {
            line.sent.push(open.to);
            self.places.insert(open.to);
        }
    }

    fn rolled_back(&mut self, place: u8, connection: u32, from: Option<i64>) {
        let Some(line) = self.line(place, connection) else {
            return;
        };
        match from {
            None => {
                line.open.clear();
                line.next = None;
            }
            // canald refuses to take back what is not open.
            Some(batch) => {
                if let Some(nth) = line.open.iter().position(|open| open.batch == batch) {
                    line.next = Some(line.open[nth].from);
                    line.open.truncate(nth);
                }
            }
        }
    }

    fn bury(&mut self) {
        for line in self.lines.values_mut() {
            line.dead = true;
        }
    }

    /// canald begins anew from what the disk had made safe.
    fn rewind(&mut self) {
        match self.safe {
            Some(safe) => {
                self.acked = self.acked.min(safe);
                self.places = self.places.split_off(&self.acked);
                self.places.insert(self.acked);
            }
            // The disk knows of no acknowledgement: it begins as if there had been none.
            None => {
                self.confirmed = false;
                self.acked = 0;
            }
        }
    }
}

/// Whether `number` may come where `next` was due.
fn follows(history: &Expected, next: usize, number: usize) -> Result<(), (&'static str, String)> {
    let due = history.due(next);
    if number < next {
        let (given, due) = (history.describe(number), history.describe(next));
        let text = format!("is given {given} again or out of order, where {due} was due");
        return Err(("I7", text));
    }
    if number > due {
        let (given, due) = (history.describe(number), history.describe(due));
        return Err((
            "P1",
            format!("is given {given}, and {due} before it is lost"),
        ));
    }
    if next < number && history.part(number) == Part::End {
        let (given, due) = (history.describe(number), history.describe(next));
        let text = format!("is given {given} and not {due}: half a transaction");
        return Err(("I7", text));
    }
    Ok(())
}

impl Oracle for Delivery {
    fn see(&mut self, _: Duration, record: &Record) -> Result<(), Violation> {
        match record {
            Record::Source(SourceRecord::Committed(committed)) => self.history.commit(committed),
            Record::Client(place, record) => return self.client(*place, record),
            Record::Daemon(record) => self.daemon(record),
            Record::Disk(record) => self.disk(record),
            Record::Source(_)
            | Record::Network(_)
            | Record::ZooKeeper(_)
            | Record::Fault(_)
            | Record::Healed => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
