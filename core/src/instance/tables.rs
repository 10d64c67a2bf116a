//! Asking the source what its tables look like, when the log does not say it.
//!
//! Two statements in one go on the metadata link: the columns, then the server's position. What the
//! columns said holds at that position at the latest; the serial stage proves whether it held at ours.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::instance::source::{Question, Role};
use crate::instance::{Instance, Weight};
use crate::mysql::query::{ResultSet, ServerError};
use crate::pipeline::tables::Snapshot;
use crate::position::{BinlogFile, BinlogPosition};
use crate::schema::live;
use crate::schema::table::{TableName, TableSchema};
use crate::source::statements::end_of_log;
use crate::status::Stage;
use crate::time::Instant;

/// A table being asked about.
#[derive(Debug)]
pub(super) struct TableAsk {
    name: TableName,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Session,
    Columns,
    Position(Option<TableSchema>),
}

impl Instance {
    /// Asks for the columns of the table that holds the serial stage up, if one does.
    pub(super) fn ask_for_tables(&mut self, now: Instant) {
        let idle = matches!(self.source.question, Question::Nothing);
        if !self.reads() || !idle || self.wanted_table().is_none() {
            return;
        }
        match &self.source.metadata {
            Some(link) if link.replica.is_idle() => self.ask_table(now),
            Some(_) => {} // it is being opened
            None => self.dial(now, Role::Metadata),
        }
    }

    /// Whether the stage is one in which tables are asked for.
    pub(super) fn reads(&self) -> bool {
        matches!(self.status.stage, Stage::Streaming | Stage::Surveying)
    }

    fn wanted_table(&self) -> Option<&TableName> {
        match &self.source.survey {
            Some(survey) => survey.wanted_table(),
            None => self.splitter.wanted_table(),
        }
    }

    /// The metadata link is open: it is asked for the table that is wanted.
    pub(super) fn ask_table(&mut self, now: Instant) {
        let Some(name) = self.wanted_table().cloned() else {
            return;
        };
        self.source.question = Question::Table(TableAsk {
            name,
            step: Step::Session,
        });
        self.query(now, Role::Metadata, live::SESSION_SETUP);
    }

    pub(super) fn table_answered(
        &mut self,
        now: Instant,
        ask: TableAsk,
        answer: Result<ResultSet, ServerError>,
    ) {
        let TableAsk { name, step } = ask;
        match (step, answer) {
            // an older server does not know the variable, and hides nothing either
            (Step::Session, _) => {
                let sql = live::query(&name);
                self.source.question = Question::Table(TableAsk {
                    name,
                    step: Step::Columns,
                });
                self.query(now, Role::Metadata, &sql);
            }
            (Step::Columns, Ok(set)) => self.columns_answered(now, name, &set),
            (Step::Position(schema), Ok(set)) => match position(&set) {
                Some(at) => self.table_known(now, name, Snapshot { schema, at }),
                None => self.table_failed(now, "the source does not say its binlog position"),
            },
            (Step::Columns | Step::Position(_), Err(error)) => {
                self.table_failed(now, &error.to_string());
            }
        }
    }

    fn columns_answered(&mut self, now: Instant, name: TableName, set: &ResultSet) {
        let rows: Vec<Vec<Option<Vec<u8>>>> = set
            .rows
            .iter()
            .map(|row| row.iter().map(|v| v.as_ref().map(|v| v.to_vec())).collect())
            .collect();
        let schema = match live::from_rows(&name, &rows) {
            Ok(schema) => schema,
            Err(fault) => return self.table_failed(now, &fault.to_string()),
        };
        let Some(facts) = &self.source.facts else {
            return;
        };
        let sql = end_of_log(&facts.version);
        self.source.question = Question::Table(TableAsk {
            name,
            step: Step::Position(schema),
        });
        self.query(now, Role::Metadata, sql);
    }

    fn table_known(&mut self, now: Instant, name: TableName, snapshot: Snapshot) {
        self.report(
            Weight::Detail,
            format!("columns of {name} asked of the source at {}", snapshot.at),
        );
        let (table, at) = (name.clone(), snapshot.at.clone());
        if let Err(fault) = self.splitter.handle_snapshot(name, snapshot) {
            return self.halt_split(now, &fault);
        }
        self.splitter.close_job();
        self.survey_answered(now, &table, at);
    }

    /// The source could not answer: the link is given up, and the question asked again on a new one.
    fn table_failed(&mut self, now: Instant, why: &str) {
        self.retry(now, format!("asking for a table's columns: {why}"));
    }
}

/// File and offset of a `SHOW MASTER STATUS` or its newer names.
fn position(set: &ResultSet) -> Option<BinlogPosition> {
    let file = set.text_at(0, 0)?;
    let offset = set.text_at(0, 1)?.parse().ok()?;
    Some(BinlogPosition::new(BinlogFile::new(file), offset))
}
