//! The first pass: the log is read up to where the server answered for a table, for its statements alone.
//!
//! A table's columns are proved by reading ahead of its rows (`design.md` §5). Where more lies ahead than
//! may wait undecoded, the dump is given up, and one of its own runs from the place where reading will
//! begin again up to the server's position: rows are skipped unread, statements are noted. Then the
//! ordinary dump begins again, and the proof is at hand.
//!
//! Holds one [`Horizon`], which is bounded; delivers nothing. A link that breaks costs nothing: what was
//! seen stays known, and the next pass begins behind it.

use alloc::format;
use alloc::string::String;

use bytes::BytesMut;

use crate::binlog::stream::EventStream;
use crate::instance::source::Role;
use crate::instance::{Instance, Weight};
use crate::mysql::replica::DumpFrom;
use crate::pipeline::horizon::Horizon;
use crate::pipeline::lookahead::scout;
use crate::position::BinlogPosition;
use crate::schema::table::TableName;
use crate::status::Stage;
use crate::time::Instant;

/// A first pass.
#[derive(Debug)]
pub(super) struct Survey {
    /// The table that held the stream up.
    table: TableName,
    /// Where the server stood when it answered for the table; none before it has.
    until: Option<BinlogPosition>,
    stream: EventStream,
    horizon: Horizon,
}

impl Survey {
    /// The table to be asked for before the pass can begin.
    pub(super) fn wanted_table(&self) -> Option<&TableName> {
        self.until.is_none().then_some(&self.table)
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
        match &self.until {
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
        if survey.until.is_none() && survey.table == *table {
            survey.until = Some(at);
            self.status.reason = survey.reason();
            self.dial(now, Role::Dump);
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
            if let Err(fault) = scout(&mut survey.stream, &mut survey.horizon, &raw, fold_names) {
                return self.stop_source(now, format!("{fault}"));
            }
            if survey.is_done() {
                return self.surveyed(now);
            }
        }
        if let Some(survey) = &self.source.survey {
            self.status.reason = survey.reason();
        }
    }

    /// The pass is over: the ordinary dump begins again.
    fn surveyed(&mut self, now: Instant) {
        if let Some(survey) = &self.source.survey {
            let text = format!(
                "the first pass for {} ends at {}",
                survey.table,
                survey.horizon.seen_to()
            );
            self.report(Weight::Detail, text);
        }
        self.retry_now(now);
    }
}
