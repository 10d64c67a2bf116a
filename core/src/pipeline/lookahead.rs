//! Events that wait until a table's columns are known, and what they say about DDL meanwhile.
//!
//! States: idle; waiting for the columns of one table, with the TABLE_MAP that needs them and the raw
//! events after it. The events are followed by a stream of their own, which runs ahead of the one that
//! decodes, and every statement among them is looked at. Bounded by the configured number of bytes.

use alloc::collections::VecDeque;

use bytes::Bytes;

use crate::binlog::event::{Event, EventType};
use crate::binlog::payload::Payload;
use crate::binlog::stream::EventStream;
use crate::pipeline::fault::SplitFault;
use crate::pipeline::horizon::{Horizon, Proof};
use crate::pipeline::statement::scan_query;
use crate::position::BinlogPosition;
use crate::schema::ddl::Touches;
use crate::schema::table::TableName;

/// The TABLE_MAP that holds the stream up.
#[derive(Clone, Debug)]
pub(super) struct WaitingTable {
    pub(super) name: TableName,
    pub(super) table_id: u64,
    /// What follows the id in the map: equal bytes mean equal tables.
    pub(super) definition: Bytes,
    /// Where it stands.
    pub(super) at: BinlogPosition,
}

/// The events that wait, and what is known of the log ahead.
#[derive(Debug)]
pub(super) struct Lookahead {
    bytes_max: u64,
    table: Option<WaitingTable>,
    waiting: VecDeque<Bytes>,
    bytes: u64,
    scout: Option<(EventStream, Horizon)>,
    surveyed: Option<Horizon>,
}

impl Lookahead {
    pub(super) const fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            table: None,
            waiting: VecDeque::new(),
            bytes: 0,
            scout: None,
            surveyed: None,
        }
    }

    pub(super) const fn is_waiting(&self) -> bool {
        self.table.is_some()
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn table(&self) -> Option<&TableName> {
        self.table.as_ref().map(|waiting| &waiting.name)
    }

    /// `table` holds the stream up; `stream` stands right after its map.
    pub(super) fn wait(&mut self, table: WaitingTable, stream: &EventStream) {
        if self.scout.is_none()
            && let Some(position) = stream.position()
        {
            let mut horizon = Horizon::new(table.at.clone());
            horizon.extend(position);
            self.scout = Some((stream.clone(), horizon));
        }
        self.table = Some(table);
    }

    pub(super) fn wait_again(&mut self, table: WaitingTable) {
        self.table = Some(table);
    }

    pub(super) const fn take_waiting(&mut self) -> Option<WaitingTable> {
        self.table.take()
    }

    /// Takes an event that has to wait, and looks through it.
    pub(super) fn push(&mut self, raw: Bytes, fold_names: bool) -> Result<(), SplitFault> {
        let bytes = self.bytes + raw.len() as u64;
        if bytes > self.bytes_max
            && let Some(waiting) = &self.table
        {
            let (table, at) = (waiting.name.clone(), waiting.at.clone());
            return Err(SplitFault::TooFarAhead { table, at });
        }
        if let Some((stream, horizon)) = &mut self.scout {
            scout(stream, horizon, &raw, fold_names)?;
        }
        self.bytes = bytes;
        self.waiting.push_back(raw);
        Ok(())
    }

    /// The oldest event that waits. When none is left, what was seen ahead is behind.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let raw = self.waiting.pop_front();
        match &raw {
            Some(raw) => self.bytes -= raw.len() as u64,
            None => self.scout = None,
        }
        raw
    }

    /// What is known of the log from `from` on: its end is where a survey begins.
    pub(super) fn survey_from(&mut self, from: BinlogPosition) -> Horizon {
        match self.surveyed.take() {
            Some(known) if known.covers(&from) => known,
            Some(_) | None => Horizon::new(from),
        }
    }

    /// A stretch of the log has been surveyed, and counts instead of what was before.
    pub(super) fn learn(&mut self, surveyed: Horizon) {
        self.surveyed = Some(surveyed);
    }

    /// What was surveyed is of another log.
    pub(super) fn forget_surveyed(&mut self) {
        self.surveyed = None;
    }

    /// Whether anything is known from a survey, of which [`Self::passed`] would have to be told.
    pub(super) const fn is_surveyed(&self) -> bool {
        self.surveyed.is_some()
    }

    /// The stream has passed `position`. What was surveyed is kept whole until the stream is behind all of
    /// it: a link that breaks leads back, and the same stretch is not to be surveyed again for that.
    pub(super) fn passed(&mut self, position: &BinlogPosition) {
        if self
            .surveyed
            .as_ref()
            .is_some_and(|surveyed| surveyed.seen_to() <= position)
        {
            self.surveyed = None;
        }
    }

    /// Forgets what waits: it will be read again. What was surveyed stays true.
    pub(super) fn clear(&mut self) {
        self.table = None;
        self.waiting.clear();
        self.bytes = 0;
        self.scout = None;
    }

    /// Whether what the server said of `table` at `said_at` holds at `from`.
    pub(super) fn proof(
        &self,
        table: &TableName,
        from: &BinlogPosition,
        said_at: &BinlogPosition,
    ) -> Proof {
        let ahead = self.scout.as_ref().map(|(_, horizon)| horizon);
        let mut proof = if said_at <= from {
            Proof::Holds
        } else {
            Proof::NotYet
        };
        for horizon in ahead.into_iter().chain(self.surveyed.as_ref()) {
            match horizon.proof(table, from, said_at) {
                Proof::Broken(end) => return Proof::Broken(end),
                Proof::Holds => proof = Proof::Holds,
                Proof::NotYet => {}
            }
        }
        proof
    }
}

/// Follows one event, gives it back verified, and notes in `horizon` which tables its statement may change.
///
/// # Errors
/// The event is damaged.
pub fn scout<'a>(
    stream: &mut EventStream,
    horizon: &mut Horizon,
    raw: &'a [u8],
    fold_names: bool,
) -> Result<Event<'a>, SplitFault> {
    let event = stream.accept(raw)?;
    let touches = match event.header.event_type {
        EventType::QUERY => {
            if let Payload::Query(query) = stream.parse(&event)? {
                scan_query(&query, stream.format(), fold_names, |scanned| {
                    scanned.touches
                })
            } else {
                Touches::Nothing
            }
        }
        // what they hold cannot be read yet: it may be anything
        EventType::QUERY_COMPRESSED | EventType::TRANSACTION_PAYLOAD => Touches::Everything,
        _ => Touches::Nothing,
    };
    if touches != Touches::Nothing
        && let Some(file) = stream.file()
    {
        horizon.note(BinlogPosition::new(file.clone(), event.end), touches);
    }
    if let Some(position) = stream.position() {
        horizon.extend(position);
    }
    Ok(event)
}
