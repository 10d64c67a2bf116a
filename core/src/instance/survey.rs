//! The first pass: the log is read up to where the server answered for a table, for its statements alone.
//!
//! A table's columns are proved by reading ahead of its rows (`design.md` §5). Where more lies ahead than
//! may wait undecoded, the dump is given up, and one of its own runs from the place where reading will
//! begin again up to the server's position: rows are skipped unread, statements are noted. There the server
//! is asked for every other table whose rows came by, and the pass goes on up to where it stood with its
//! last answer. Then the ordinary dump begins again, and the proofs of all of them are at hand.
//!
//! Holds one [`Horizon`], which is bounded, and the names of [`TABLES_MAX`] tables; delivers nothing. A link
//! that breaks costs nothing: what was seen stays known, and the next pass begins behind it.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use bytes::{Bytes, BytesMut};

use crate::binlog::event::EventType;
use crate::binlog::payload::Payload;
use crate::binlog::stream::EventStream;
use crate::binlog::table_map::RawTableMap;
use crate::instance::source::Role;
use crate::instance::{Instance, Weight};
use crate::mysql::replica::DumpFrom;
use crate::pipeline::fault::SplitFault;
use crate::pipeline::horizon::Horizon;
use crate::pipeline::lookahead::scout;
use crate::position::BinlogPosition;
use crate::schema::table::TableName;
use crate::status::Stage;
use crate::time::Instant;

/// Versions of tables that one pass takes note of. What comes beyond is asked for when the dump meets it.
const TABLES_MAX: usize = 4_096;

/// The tables whose rows came by. A map that comes again costs one look-up.
#[derive(Debug, Default)]
struct TablesSeen {
    maps: BTreeSet<Bytes>,
    names: BTreeSet<TableName>,
}

impl TablesSeen {
    fn note(&mut self, map: &RawTableMap<'_>) {
        if self.maps.len() >= TABLES_MAX || self.maps.contains(map.definition) {
            return;
        }
        self.maps.insert(Bytes::copy_from_slice(map.definition));
        if let Ok((schema, table)) = map.names() {
            self.names.insert(TableName::new(schema, table));
        }
    }
}

/// A first pass.
#[derive(Debug)]
pub(super) struct Survey {
    /// The table that held the stream up.
    table: TableName,
    /// Where the server stood with its latest answer; none before it has answered for the table.
    until: Option<BinlogPosition>,
    stream: EventStream,
    horizon: Horizon,
    seen: TablesSeen,
    /// The tables still to be asked for; none before the pass has come to where the server stood.
    asking: Option<BTreeSet<TableName>>,
}

impl Survey {
    /// The table to be asked for, before the pass can begin or before it can end.
    pub(super) fn wanted_table(&self) -> Option<&TableName> {
        match &self.asking {
            Some(tables) => tables.first(),
            None => self.until.is_none().then_some(&self.table),
        }
    }

    /// The server has answered for `table` and stood at `at`.
    fn told(&mut self, table: &TableName, at: BinlogPosition) {
        if let Some(tables) = &mut self.asking {
            tables.remove(table);
        }
        self.until = self.until.take().max(Some(at));
    }

    fn event(&mut self, raw: &[u8], fold_names: bool) -> Result<(), SplitFault> {
        let event = scout(&mut self.stream, &mut self.horizon, raw, fold_names)?;
        if event.header.event_type == EventType::TABLE_MAP
            && let Payload::TableMap(map) = self.stream.parse(&event)?
        {
            self.seen.note(&map);
        }
        Ok(())
    }

    /// Where its dump begins.
    pub(super) fn dump_from(&self) -> DumpFrom {
        DumpFrom::Position(self.horizon.seen_to().clone())
    }

    /// What was seen.
    pub(super) fn into_horizon(self) -> Horizon {
        self.horizon
    }

    fn is_done(&self) -> bool {
        let seen_to = self.horizon.seen_to();
        self.until.as_ref().is_some_and(|until| seen_to >= until)
    }

    fn reason(&self) -> String {
        let (table, seen_to) = (&self.table, self.horizon.seen_to());
        let asking = self.asking.as_ref().map_or(0, BTreeSet::len);
        match &self.until {
            Some(until) if asking > 0 => format!(
                "asking the source for the columns of {asking} more tables: seen up to {seen_to} of {until}"
            ),
            None => format!("asking the source for the columns of {table}"),
            Some(until) => format!(
                "looking through the statements up to {until} for one that changes {table}: seen up to {seen_to}"
            ),
        }
    }
}

impl Instance {
    /// More binlog waits for the proof of `table`, whose map is `at`, than may.
    pub(super) fn survey(&mut self, now: Instant, table: &TableName, at: &BinlogPosition) {
        self.report(
            Weight::Notice,
            format!(
                "{at}: the columns of {table} are proved by reading ahead, and more than \
             canald.schema.lookahead.bytes={} lies ahead: a first pass looks for statements alone",
                self.config.lookahead_bytes
            ),
        );
        let horizon = self.splitter.begin_survey(at);
        let survey = Survey {
            table: table.clone(),
            until: self.splitter.answered_at(table).cloned(),
            stream: EventStream::for_dump(),
            horizon,
            seen: TablesSeen::default(),
            asking: None,
        };
        self.hang_up(Role::Dump);
        self.enter(now, Stage::Surveying, survey.reason(), None);
        let is_answered = survey.until.is_some();
        self.source.survey = Some(survey);
        if is_answered {
            self.dial(now, Role::Dump);
        }
    }

    /// The source has answered for a table.
    pub(super) fn survey_answered(&mut self, now: Instant, table: &TableName, at: BinlogPosition) {
        let Some(survey) = self.source.survey.as_mut() else {
            return;
        };
        let begins = survey.until.is_none();
        survey.told(table, at);
        self.status.reason = survey.reason();
        if begins {
            self.dial(now, Role::Dump);
        } else {
            self.conclude_survey(now);
        }
    }

    /// Events of a first pass.
    pub(super) fn take_survey_events(&mut self, now: Instant, buf: &mut BytesMut) {
        let fold_names = self.folds_names();
        loop {
            let (Some(link), Some(survey)) =
                (self.source.dump.as_mut(), self.source.survey.as_mut())
            else {
                return;
            };
            let raw = match link.replica.next_event(now, buf) {
                None => break,
                Some(Err(fault)) => return self.broken(now, Role::Dump, fault),
                Some(Ok(raw)) => raw,
            };
            if let Err(fault) = survey.event(&raw, fold_names) {
                return self.stop_source(now, format!("{fault}"));
            }
        }
        if let Some(survey) = &self.source.survey {
            self.status.reason = survey.reason();
        }
        self.conclude_survey(now);
    }

    /// Where the server stood has been reached: the tables that came by are asked for. When all answers are
    /// there and their place is reached too, the pass is over and the ordinary dump begins again.
    fn conclude_survey(&mut self, now: Instant) {
        let Some(survey) = self
            .source
            .survey
            .as_mut()
            .filter(|survey| survey.is_done())
        else {
            return;
        };
        let asking = survey.asking.get_or_insert_with(|| {
            let mut tables = core::mem::take(&mut survey.seen.names);
            tables.retain(|table| self.splitter.will_want(table, &survey.horizon));
            tables
        });
        if !asking.is_empty() {
            self.status.reason = survey.reason();
            return;
        }
        let text = format!(
            "the first pass for {} ends at {}",
            survey.table,
            survey.horizon.seen_to()
        );
        self.report(Weight::Detail, text);
        self.retry_now(now);
    }
}
