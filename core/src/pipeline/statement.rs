//! Statements of the log: transaction ends, DDL, and what stands around rows.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use crate::binlog::event::Event;
use crate::binlog::format::{Format, VersionNumber};
use crate::binlog::mariadb_gtid::{AlterPhase, MariadbGtidEvent, MariadbGtidFlags};
use crate::binlog::payload::Payload;
use crate::binlog::query::Query;
use crate::entry::kind::RowKind;
use crate::mysql::charset::Charset;
use crate::pipeline::fault::{SplitFault, Unsupported};
use crate::pipeline::job::{GtidStamp, ItemBody, Statement};
use crate::pipeline::selection::Verdict;
use crate::pipeline::split::{Group, GroupPlace, Splitter, text};
use crate::position::BinlogPosition;
use crate::schema::ddl::{Scanned, SqlContext, StatementClass, Touches, scan};
use crate::store::segment::SubjectId;

/// Characters of a statement that a fault quotes.
const QUOTED_CHARS_MAX: usize = 120;

/// `sql_mode` bits (MySQL manual, "Server SQL Modes"; binlog-parser reference §4.6).
const ANSI_QUOTES: u64 = 0x4;
const NO_BACKSLASH_ESCAPES: u64 = 0x10_0000;

/// Scans the statement of a QUERY event and hands what was found to `use_it`.
pub(super) fn scan_query<T>(
    query: &Query<'_>,
    format: &Format,
    fold_names: bool,
    use_it: impl FnOnce(Scanned<'_>) -> T,
) -> T {
    let sql = statement_text(query);
    let schema = text(query.schema);
    let mode = query.status.sql_mode.unwrap_or(0);
    let context = SqlContext {
        default_schema: &schema,
        ansi_quotes: mode & ANSI_QUOTES != 0,
        no_backslash_escapes: mode & NO_BACKSLASH_ESCAPES != 0,
        flavor: format.flavor,
        server_version: version_number(format.version),
        fold_names,
    };
    use_it(scan(&sql, &context))
}

/// A version as executable comments write it: 80046.
fn version_number(VersionNumber(major, minor, patch): VersionNumber) -> u32 {
    u32::from(major) * 10_000 + u32::from(minor) * 100 + u32::from(patch)
}

/// The statement in the character set of its client.
fn statement_text<'a>(query: &Query<'a>) -> Cow<'a, str> {
    let charset = query
        .status
        .charset
        .map(|charset| Charset::from_collation(charset.client));
    match charset {
        Some(Some(charset)) => charset.decode(query.sql),
        _ => String::from_utf8_lossy(query.sql),
    }
}

impl Splitter {
    pub(super) fn handle_query(
        &mut self,
        event: &Event<'_>,
        query: &Query<'_>,
    ) -> Result<(), SplitFault> {
        match query.sql {
            b"BEGIN" => self.handle_begin(event, i64::from(query.thread_id)),
            b"COMMIT" => self.handle_end(event, 0),
            _ => return self.handle_statement(event, query),
        }
        Ok(())
    }

    pub(super) fn handle_begin(&mut self, event: &Event<'_>, thread_id: i64) {
        if matches!(self.group, Group::Begun(_)) {
            return; // MariaDB's GTID event has begun it
        }
        self.group_place(event);
        if let Some(place) = self.group.take() {
            self.group = Group::Begun(place);
        }
        self.emit(event, SubjectId::NONE, ItemBody::Begin { thread_id });
    }

    pub(super) fn handle_end(&mut self, event: &Event<'_>, xid: u64) {
        self.emit(event, SubjectId::NONE, ItemBody::End { xid });
        self.close_group(event);
    }

    fn handle_statement(&mut self, event: &Event<'_>, query: &Query<'_>) -> Result<(), SplitFault> {
        let format = self.stream.format().clone();
        let fold_names = self.config.fold_names;
        scan_query(query, &format, fold_names, |scanned| {
            self.handle_scanned(event, query, &scanned)
        })
    }

    fn handle_scanned(
        &mut self,
        event: &Event<'_>,
        query: &Query<'_>,
        scanned: &Scanned<'_>,
    ) -> Result<(), SplitFault> {
        match scanned.class {
            StatementClass::Begin => self.handle_begin(event, i64::from(query.thread_id)),
            StatementClass::Commit | StatementClass::Rollback => self.handle_end(event, 0),
            StatementClass::Savepoint => {}
            StatementClass::Xa { .. } => {
                let step = quoted(&statement_text(query));
                return Err(self.unsupported(event, Unsupported::Xa { step }));
            }
            StatementClass::Dml(_) => {
                self.refuse_change_text(event, query, scanned)?;
                self.close_standalone(event);
            }
            StatementClass::CreateFilled => {
                self.refuse_change_text(event, query, scanned)?;
                self.handle_ddl(event, query, scanned, RowKind::Create);
            }
            StatementClass::Ddl(kind) => self.handle_ddl(event, query, scanned, kind),
            StatementClass::Query => self.handle_ddl(event, query, scanned, RowKind::Query),
            StatementClass::NoEntry => {
                self.changed(event, &scanned.touches);
                self.close_standalone(event);
            }
        }
        Ok(())
    }

    /// A change logged as text has no rows to deliver: it may be passed over only if nobody wants them.
    fn refuse_change_text(
        &mut self,
        event: &Event<'_>,
        query: &Query<'_>,
        scanned: &Scanned<'_>,
    ) -> Result<(), SplitFault> {
        if self.selection.passes_over(&scanned.subjects) {
            return Ok(());
        }
        let sql = quoted(&statement_text(query));
        Err(self.unsupported(event, Unsupported::StatementFormat { sql }))
    }

    fn handle_ddl(
        &mut self,
        event: &Event<'_>,
        query: &Query<'_>,
        scanned: &Scanned<'_>,
        kind: RowKind,
    ) {
        if !self.group_place(event).takes_effect {
            return self.close_standalone(event);
        }
        self.changed(event, &scanned.touches);
        if let Verdict::Entry(subject) = self.selection.statement(scanned) {
            let schema = text(query.schema);
            let statement = Statement {
                kind,
                is_ddl: Some(true),
                sql: statement_text(query).into_owned(),
                schema: scanned.schema.clone(),
                table: scanned.table.clone(),
                ddl_schema: (!schema.is_empty()).then_some(schema),
            };
            self.emit(event, subject, ItemBody::Statement(Box::new(statement)));
        }
        self.close_standalone(event);
    }

    /// A statement outside BEGIN and COMMIT is a group of its own.
    fn close_standalone(&mut self, event: &Event<'_>) {
        if !matches!(self.group, Group::Begun(_)) {
            self.group_place(event);
            self.close_group(event);
        }
    }

    fn changed(&mut self, event: &Event<'_>, touches: &Touches) {
        if *touches != Touches::Nothing {
            let end = BinlogPosition::new(self.file(), event.end);
            self.tables.invalidate(touches, &end);
        }
    }

    pub(super) fn unsupported(&self, event: &Event<'_>, what: Unsupported) -> SplitFault {
        SplitFault::Unsupported {
            what,
            at: self.at(event),
        }
    }

    /// Everything that is neither rows nor an ordinary statement.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "refuse_or_pass names all the rest"
    )]
    pub(super) fn handle_other(
        &mut self,
        event: &Event<'_>,
        payload: Payload<'_>,
    ) -> Result<(), SplitFault> {
        match payload {
            Payload::Gtid(gtid) => {
                let (sequence, committed) = (gtid.sequence_number, gtid.last_committed);
                let begun = gtid.gtid.as_ref();
                let stamp = begun.and_then(|g| self.gtids.begin_mysql(g, sequence, committed));
                self.announce(event, stamp, true);
            }
            Payload::MariadbGtid(gtid) => return self.handle_mariadb_gtid(event, &gtid),
            Payload::RowsQuery(sql) | Payload::AnnotateRows(sql) => self.annotate(event, text(sql)),
            Payload::IntVar(variable) => {
                self.annotate(event, format!("SET INSERT_ID = {}", variable.value));
            }
            Payload::Rand(seeds) => {
                let (a, b) = (seeds.seed1, seeds.seed2);
                self.annotate(
                    event,
                    format!("SET SESSION rand_seed1 = {a} , rand_seed2 = {b}"),
                );
            }
            Payload::FormatDescription if !event.is_artificial => {
                self.tables.forget_ids();
                // as replicas do: only a server that has just started states when
                if self.stream.format().created != 0 {
                    self.abandon_group();
                }
            }
            Payload::Incident(incident) => {
                let message = text(incident.message);
                return Err(SplitFault::Incident {
                    message,
                    at: self.at(event),
                });
            }
            other => return self.refuse_or_pass(event, &other),
        }
        Ok(())
    }

    fn refuse_or_pass(
        &mut self,
        event: &Event<'_>,
        payload: &Payload<'_>,
    ) -> Result<(), SplitFault> {
        let what = match payload {
            Payload::XaPrepare(_) => Unsupported::Xa {
                step: "XA PREPARE".into(),
            },
            Payload::TransactionPayload(_) => Unsupported::CompressedTransaction,
            Payload::CompressedQuery(_) => Unsupported::CompressedEvent {
                event: event.header.event_type.name(),
            },
            Payload::LoadData if self.selection.annotations() => Unsupported::LoadData,
            Payload::FormatDescription
            | Payload::LoadData
            | Payload::Rotate(_)
            | Payload::PreviousGtids(_)
            | Payload::GtidList(_)
            | Payload::Heartbeat(_)
            | Payload::Stop
            | Payload::BinlogCheckpoint(_)
            | Payload::StartEncryption
            | Payload::UserVar(_)
            | Payload::Ignored => return Ok(()),
            Payload::Query(_)
            | Payload::Xid(_)
            | Payload::TableMap(_)
            | Payload::Rows(_)
            | Payload::Gtid(_)
            | Payload::MariadbGtid(_)
            | Payload::RowsQuery(_)
            | Payload::AnnotateRows(_)
            | Payload::IntVar(_)
            | Payload::Rand(_)
            | Payload::Incident(_) => unreachable!("handled before"),
        };
        Err(self.unsupported(event, what))
    }

    /// MariaDB says in its GTID event what MySQL says by a BEGIN (binlog-parser reference §6.4).
    fn handle_mariadb_gtid(
        &mut self,
        event: &Event<'_>,
        gtid: &MariadbGtidEvent<'_>,
    ) -> Result<(), SplitFault> {
        if gtid.xid.is_some() {
            let step = String::from("a GTID event that prepares or completes one");
            return Err(self.unsupported(event, Unsupported::Xa { step }));
        }
        let takes_effect = match gtid.alter {
            Some(AlterPhase::Start | AlterPhase::Rollback { .. }) => false,
            Some(AlterPhase::Commit { .. }) | None => true,
        };
        let stamp = self.gtids.begin_mariadb(gtid.gtid);
        self.announce(event, stamp, takes_effect);
        if !gtid.flags.contains(MariadbGtidFlags::STANDALONE) {
            self.handle_begin(event, i64::from(gtid.thread_id.unwrap_or(0)));
        }
        Ok(())
    }

    fn announce(&mut self, event: &Event<'_>, stamp: Option<Arc<GtidStamp>>, takes_effect: bool) {
        let resume = self.gtids.resume(self.at(event));
        self.group = Group::Announced(GroupPlace {
            resume,
            stamp,
            takes_effect,
        });
    }

    /// The text behind rows: canal's QUERY entry without `isDdl`, its schema empty.
    fn annotate(&mut self, event: &Event<'_>, sql: String) {
        if !self.selection.annotations() {
            return;
        }
        let statement = Statement {
            kind: RowKind::Query,
            is_ddl: None,
            sql,
            schema: Some(String::new()),
            table: Some(String::new()),
            ddl_schema: None,
        };
        self.emit(
            event,
            SubjectId::NONE,
            ItemBody::Statement(Box::new(statement)),
        );
    }
}

fn quoted(sql: &str) -> String {
    match sql.char_indices().nth(QUOTED_CHARS_MAX) {
        None => sql.into(),
        Some((end, _)) => format!("{}…", &sql[..end]),
    }
}
