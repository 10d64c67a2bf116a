//! Segments as lines of text, and what they hold as numbers.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use canald_core::client::flat::{flat, text};
use canald_core::entry::kind::{EntryType, RowKind};
use canald_core::entry::proto::Entry;
use canald_core::store::segment::{Segment, Slot};
use canald_core::time::WallMillis;

use super::Seen;
use crate::cli::DecodeFormat;

/// Flat messages of a file belong to no batch.
const NO_BATCH: i64 = 0;

/// A segment, printed.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) text: String,
    pub(super) counts: Counts,
}

impl Lines {
    pub(super) fn of(segment: &Segment, format: DecodeFormat) -> Self {
        let mut lines = Self {
            text: String::new(),
            counts: Counts::of(&segment.slots),
        };
        if format != DecodeFormat::None {
            let now = now();
            for slot in 0..segment.slots.len() {
                lines.print(segment, slot, format, now);
            }
        }
        lines
    }

    fn print(&mut self, segment: &Segment, slot: usize, format: DecodeFormat, now: WallMillis) {
        let shown = Entry::read(segment.entry(slot)).and_then(|entry| match format {
            DecodeFormat::Flat => flat(&entry, NO_BATCH, now),
            DecodeFormat::Text => text(&entry),
            DecodeFormat::None => Ok(None),
        });
        if let Some(line) = shown.expect("a segment holds entries") {
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }
}

fn now() -> WallMillis {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since_1970.map_or(0, |since| since.as_millis());
    WallMillis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// What segments hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    inserts: u64,
    updates: u64,
    deletes: u64,
    statements: u64,
    transactions: u64,
}

impl Counts {
    fn of(slots: &[Slot]) -> Self {
        let mut counts = Self::default();
        for slot in slots {
            let rows = u64::from(slot.rows);
            match (slot.entry_type, slot.kind) {
                (EntryType::TransactionEnd, _) => counts.transactions += 1,
                (EntryType::RowData, Some(RowKind::Insert)) => counts.inserts += rows,
                (EntryType::RowData, Some(RowKind::Update)) => counts.updates += rows,
                (EntryType::RowData, Some(RowKind::Delete)) => counts.deletes += rows,
                (EntryType::RowData, _) => counts.statements += 1,
                (EntryType::TransactionBegin, _) => {}
            }
        }
        counts
    }

    pub(super) const fn add(&mut self, more: &Self) {
        self.inserts += more.inserts;
        self.updates += more.updates;
        self.deletes += more.deletes;
        self.statements += more.statements;
        self.transactions += more.transactions;
    }

    pub(super) fn print(
        &self,
        seen: &Seen,
        took: Duration,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let Self {
            inserts,
            updates,
            deletes,
            statements,
            transactions,
        } = self;
        let rows = inserts + updates + deletes;
        let Seen {
            files,
            events,
            bytes,
            ..
        } = seen;
        writeln!(out, "files         {files}")?;
        writeln!(out, "bytes         {bytes}")?;
        writeln!(out, "events        {events}")?;
        writeln!(out, "transactions  {transactions}")?;
        writeln!(out, "statements    {statements}")?;
        writeln!(
            out,
            "rows          {rows} ({inserts} inserted, {updates} updated, {deletes} deleted)"
        )?;
        writeln!(out, "seconds       {:.3}", took.as_secs_f64())
    }
}
