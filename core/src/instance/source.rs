//! The source side of an instance: two links, and the stages from "who is this" to a flowing dump.
//!
//! ```text
//! BackingOff ─► Discovering ─► Locating ─► Recording ─► Dialing ─► Streaming ⇄ Surveying
//!      ▲             └── any broken link ──────────────────────────────┘
//!      └─ Stopped: a named reason that only an operator can lift
//! ```
//!
//! The *metadata* link asks what the source is and what its tables look like; the *dump* link reads.
//! A destination that is stopped keeps serving what it holds.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};

use bytes::BytesMut;

use crate::binlog::stream::EventStream;
use crate::gtid::{GtidSet, MariadbGtidSet, MysqlGtidSet};
use crate::instance::durable::Version;
use crate::instance::locate::Locate;
use crate::instance::survey::Survey;
use crate::instance::tables::TableAsk;
use crate::instance::{Instance, LinkId, Output, Weight};
use crate::mysql::fault::LinkFault;
use crate::mysql::handshake::Flavor;
use crate::mysql::query::{ResultSet, ServerError};
use crate::mysql::replica::{DumpFrom, DumpRequest, LinkConfig, Replica, ReplicaOutput};
use crate::pipeline::fault::SplitFault;
use crate::pipeline::gtids::GtidTracker;
use crate::pipeline::split::{Restart, SkipThrough};
use crate::position::{BinlogFile, BinlogPosition};
use crate::source::facts::{Discovery, EndOfLog, SourceFacts, SourceFault, SourceIdentity};
use crate::source::fault::{DumpFault, Retries, StopReason, Verdict};
use crate::source::start::{GtidProof, StartDecision, StartQuestion, StoredPlace};
use crate::source::statements::{
    BINARY_LOGS, Necessity, SessionStatement, dump_session, mariadb_gtid_start, mysql_gtid_proof,
};
use crate::status::Stage;
use crate::time::Instant;

/// Bytes that are read from the source at a time.
pub(super) const READ_BYTES: usize = 256 << 10;

/// One connection to the source.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) replica: Replica,
}

/// Which of the two links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Metadata,
    Dump,
}

/// What the metadata link is asked at present.
#[derive(Debug)]
pub(super) enum Question {
    Nothing,
    Discovery(Box<Discovery>),
    GtidProof,
    BinaryLogs,
    /// The same list, for its first file.
    OldestLog,
    Table(TableAsk),
}

/// What the dump link is for at present.
#[derive(Debug)]
pub(super) enum DumpState {
    Closed,
    /// Statements that precede the dump.
    Preparing {
        statements: VecDeque<SessionStatement>,
        request: DumpRequest,
    },
    Locating,
    Surveying,
    Streaming,
}

/// Where a dump begins, decided.
#[derive(Clone, Debug)]
pub(super) struct DumpPlan {
    pub(super) from: PlanFrom,
    pub(super) gtids: GtidTracker,
    pub(super) skip: Option<SkipThrough>,
}

#[derive(Clone, Debug)]
pub(super) enum PlanFrom {
    Position(BinlogPosition),
    Gtid(GtidSet),
}

/// The source side of an instance.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) metadata: Option<Link>,
    pub(super) dump: Option<Link>,
    pub(super) question: Question,
    pub(super) dump_state: DumpState,
    pub(super) facts: Option<SourceFacts>,
    pub(super) locate: Option<Locate>,
    pub(super) survey: Option<Survey>,
    pub(super) plan: Option<DumpPlan>,
    pub(super) retries: Retries,
    refused: Option<StopReason>,
    identity: Option<SourceIdentity>,
    recording: Option<Version>,
    next_link: u64,
    has_streamed: bool,
    failed_at_start: bool,
}

impl Source {
    pub(super) fn new() -> Self {
        Self {
            metadata: None,
            dump: None,
            question: Question::Nothing,
            dump_state: DumpState::Closed,
            facts: None,
            locate: None,
            survey: None,
            plan: None,
            retries: Retries::default(),
            refused: None,
            identity: None,
            recording: None,
            next_link: 0,
            has_streamed: false,
            failed_at_start: false,
        }
    }
}

impl Instance {
    /// Whether the destination stopped before it ever read, for a reason that trying again cannot mend.
    #[must_use]
    pub const fn failed_at_start(&self) -> bool {
        self.source.failed_at_start
    }

    /// Whether the source folds names to lower case.
    pub(super) fn folds_names(&self) -> bool {
        self.source
            .facts
            .as_ref()
            .is_some_and(SourceFacts::folds_names)
    }

    /// `host:port` of the source.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.config.source.host, self.config.source.port)
    }

    /// The identity of the source being read.
    pub(super) const fn identity(&self) -> Option<&SourceIdentity> {
        self.source.identity.as_ref()
    }

    /// Whether the events of `link` become entries.
    pub(super) fn streams(&self, link: LinkId) -> bool {
        matches!(self.source.dump_state, DumpState::Streaming)
            && self
                .source
                .dump
                .as_ref()
                .is_some_and(|dump| dump.id == link)
    }

    /// Asks the source who it is; everything else follows from the answer.
    pub(super) fn discover(&mut self, now: Instant) {
        self.enter(
            now,
            Stage::Discovering,
            format!("connecting to {}", self.address()),
            None,
        );
        self.hang_up(Role::Metadata);
        self.dial(now, Role::Metadata);
    }

    pub(super) fn dial(&mut self, now: Instant, role: Role) {
        self.source.next_link += 1;
        let id = LinkId(self.source.next_link);
        let config = LinkConfig::to(&self.config.source);
        let seed = self.rng.split(&format!("link {}", id.0));
        let link = Some(Link {
            id,
            replica: Replica::new(config, seed, now),
        });
        match role {
            Role::Metadata => self.source.metadata = link,
            Role::Dump => self.source.dump = link,
        }
        self.outputs.push_back(Output::Dial(id));
    }

    pub(super) fn hang_up(&mut self, role: Role) {
        let link = match role {
            Role::Metadata => {
                self.source.question = Question::Nothing;
                self.source.metadata.take()
            }
            Role::Dump => {
                self.source.dump_state = DumpState::Closed;
                self.source.dump.take()
            }
        };
        if let Some(link) = link {
            self.outputs.push_back(Output::Hangup(link.id));
        }
    }

    fn role(&self, id: LinkId) -> Option<Role> {
        let is = |link: &Option<Link>| link.as_ref().is_some_and(|link| link.id == id);
        if is(&self.source.metadata) {
            Some(Role::Metadata)
        } else if is(&self.source.dump) {
            Some(Role::Dump)
        } else {
            None // a late answer to a link that was given up
        }
    }

    pub(super) const fn link(&mut self, role: Role) -> Option<&mut Link> {
        match role {
            Role::Metadata => self.source.metadata.as_mut(),
            Role::Dump => self.source.dump.as_mut(),
        }
    }

    /// A dialed link is connected: the server speaks first.
    pub(super) fn link_up(&mut self, now: Instant, id: LinkId) {
        if let Some(role) = self.role(id)
            && let Some(link) = self.link(role)
        {
            link.replica.note_bytes(now);
        }
    }

    pub(super) fn link_secured(&mut self, now: Instant, id: LinkId) {
        if let Some(role) = self.role(id)
            && let Some(link) = self.link(role)
        {
            link.replica.handle_secured(now);
            self.pump(now, role);
        }
    }

    pub(super) fn link_down(&mut self, now: Instant, id: LinkId, fault: LinkFault) {
        if let Some(role) = self.role(id)
            && let Some(link) = self.link(role)
        {
            link.replica.close(fault);
            self.pump(now, role);
        }
    }

    pub(super) fn take_bytes(&mut self, now: Instant, id: LinkId, buf: &mut BytesMut) {
        let Some(role) = self.role(id) else { return };
        let Some(link) = self.link(role) else { return };
        if !link.replica.is_streaming() {
            link.replica.handle_bytes(now, buf);
            self.pump(now, role);
        }
        let streams = self
            .link(role)
            .is_some_and(|link| link.replica.is_streaming());
        if streams {
            match self.source.dump_state {
                DumpState::Streaming => self.take_events(now, buf),
                DumpState::Locating => self.take_seek_events(now, buf),
                DumpState::Surveying => self.take_survey_events(now, buf),
                DumpState::Closed | DumpState::Preparing { .. } => {}
            }
        }
    }

    fn take_events(&mut self, now: Instant, buf: &mut BytesMut) {
        loop {
            let Some(link) = self.source.dump.as_mut() else {
                return;
            };
            match link.replica.next_event(now, buf) {
                None => break,
                Some(Err(fault)) => return self.broken(now, Role::Dump, fault),
                Some(Ok(raw)) => {
                    if let Err(fault) = self.splitter.handle_event(raw) {
                        self.splitter.close_job();
                        return self.halt_split(now, &fault);
                    }
                }
            }
        }
        self.splitter.close_job();
    }

    /// The serial stage cannot go on.
    pub(super) fn halt_split(&mut self, now: Instant, fault: &SplitFault) {
        if let SplitFault::TooFarAhead { table, at } = fault {
            let (table, at) = (table.clone(), at.clone());
            return self.survey(now, &table, &at);
        }
        self.stop_source(now, fault.to_string());
    }

    /// Acts on what a link wants done or has to say.
    pub(super) fn pump(&mut self, now: Instant, role: Role) {
        while let Some(link) = self.link(role)
            && let Some(output) = link.replica.poll_output()
        {
            let id = link.id;
            match output {
                ReplicaOutput::Transmit(bytes) => {
                    self.outputs.push_back(Output::Transmit(id, bytes));
                }
                ReplicaOutput::Secure => self.outputs.push_back(Output::Secure(id)),
                ReplicaOutput::Ready(ready) => match role {
                    Role::Metadata => self.metadata_ready(now, &ready),
                    Role::Dump => self.dump_ready(now),
                },
                ReplicaOutput::Rows(set) => self.answered(now, role, Ok(set)),
                ReplicaOutput::Failed(error) => self.answered(now, role, Err(error)),
                ReplicaOutput::Closed(fault) => return self.broken(now, role, fault),
            }
        }
    }

    fn metadata_ready(&mut self, now: Instant, ready: &crate::mysql::replica::Ready) {
        if self.source.facts.is_some() && self.reads() {
            return self.ask_table(now);
        }
        let discovery = Discovery::new(ready.version.clone(), &self.config.source.username);
        self.source.question = Question::Discovery(Box::new(discovery));
        self.ask_discovery(now);
    }

    pub(super) fn query(&mut self, now: Instant, role: Role, sql: &str) {
        if let Some(link) = self.link(role) {
            link.replica.query(now, sql);
        }
    }

    fn ask_discovery(&mut self, now: Instant) {
        let Question::Discovery(discovery) = &self.source.question else {
            return;
        };
        match discovery.next_query() {
            Some(sql) => self.query(now, Role::Metadata, &sql),
            None => {
                let question = core::mem::replace(&mut self.source.question, Question::Nothing);
                let Question::Discovery(discovery) = question else {
                    return;
                };
                match discovery.finish() {
                    Ok(facts) => self.discovered(now, facts),
                    Err(fault) => {
                        let is_permanent = !matches!(fault, SourceFault::Refused { .. });
                        self.fail_at_start_or_retry(now, &fault.to_string(), is_permanent);
                    }
                }
            }
        }
    }

    fn answered(&mut self, now: Instant, role: Role, answer: Result<ResultSet, ServerError>) {
        if role == Role::Dump {
            return self.prepared(now, answer);
        }
        match core::mem::replace(&mut self.source.question, Question::Nothing) {
            Question::Nothing => {}
            Question::Discovery(mut discovery) => {
                discovery.handle_result(answer);
                self.source.question = Question::Discovery(discovery);
                self.ask_discovery(now);
            }
            Question::GtidProof => {
                let proof = answer.ok().as_ref().and_then(GtidProof::parse);
                match proof {
                    Some(proof) => self.decide_start(now, Some(&proof)),
                    None => self.retry(now, "the source could not compare GTID sets".into()),
                }
            }
            Question::BinaryLogs => self.binary_logs(now, answer),
            Question::OldestLog => self.oldest_log(now, answer),
            Question::Table(ask) => self.table_answered(now, ask, answer),
        }
    }

    fn discovered(&mut self, now: Instant, facts: SourceFacts) {
        let identity = facts.identity();
        self.report(Weight::Notice, format!(
            "source {} is {} ({identity}), binlog_format={}, binlog_row_image={}, binlog_row_metadata={}",
            self.address(), facts.version.text, facts.binlog_format, facts.row_image,
            facts.row_metadata.as_deref().unwrap_or("none"),
        ));
        if let Some(objection) = self.objection(&facts) {
            return self.fail_at_start_or_retry(now, &objection, true);
        }
        self.source.facts = Some(facts);
        self.decide_start(now, None);
    }

    /// What about the source's settings keeps it from being read.
    fn objection(&self, facts: &SourceFacts) -> Option<String> {
        let (formats, images) = (&self.config.binlog_formats, &self.config.row_images);
        if !facts.log_bin {
            return Some("the source keeps no binlog (log_bin=OFF): set log_bin in its configuration and restart it".into());
        }
        if facts.binlog_format == "STATEMENT"
            || !(formats.is_empty() || formats.contains(&facts.binlog_format))
        {
            return Some(format!(
                "the source logs statements, not rows (binlog_format={}): SET GLOBAL binlog_format=ROW; \
                 sessions that are open keep theirs",
                facts.binlog_format
            ));
        }
        if !images.is_empty() && !images.contains(&facts.row_image) {
            return Some(format!(
                "the source's binlog_row_image={} is not among canal.instance.binlog.image={}: \
                 SET GLOBAL binlog_row_image=FULL, or allow it",
                facts.row_image,
                images.join(",")
            ));
        }
        None
    }

    /// The place that reading begins at, as far as it is known here.
    fn stored_place(&self) -> Option<StoredPlace> {
        if let (Some(resume), Some(identity)) = (self.splitter.resume(), self.identity()) {
            return Some(StoredPlace {
                resume: resume.boundary.clone(),
                gtid_before: resume.gtid_before.as_deref().map(String::from),
                identity: Some(identity.clone()),
                address: Some(self.address()),
                timestamp: crate::time::WallMillis(0),
            });
        }
        self.oldest_place()
    }

    pub(super) fn decide_start(&mut self, now: Instant, proof: Option<&GtidProof>) {
        let Some(facts) = self.source.facts.clone() else {
            return;
        };
        let stored = self.stored_place();
        let address = self.address();
        let question = StartQuestion {
            stored: stored.as_ref(),
            config: &self.config,
            facts: &facts,
            address: &address,
            refused: self.source.refused.as_ref(),
            proof,
        };
        let decision = question.decide();
        self.note_identity(&facts, &decision);
        match decision {
            StartDecision::DumpAt {
                position,
                gtid_before,
            } => {
                let gtids = self.tracker(gtid_before.as_deref(), facts.flavor());
                self.plan(now, PlanFrom::Position(position), gtids, stored.is_some());
            }
            StartDecision::DumpGtid(text) => match gtid_set(&text, facts.flavor()) {
                Ok(set) => {
                    let gtids = GtidTracker::after(set.clone());
                    self.plan(now, PlanFrom::Gtid(set), gtids, stored.is_some());
                }
                Err(why) => {
                    self.stop_source(now, format!("the GTID set {text:?} cannot be read: {why}"))
                }
            },
            StartDecision::ProveGtid(set) => {
                let sql = mysql_gtid_proof(&set);
                self.source.question = Question::GtidProof;
                self.query(now, Role::Metadata, &sql);
            }
            StartDecision::Earliest => {
                self.source.question = Question::OldestLog;
                self.query(now, Role::Metadata, BINARY_LOGS);
            }
            StartDecision::Latest(end) => self.plan_at_end(now, &end, facts.flavor()),
            StartDecision::Reset { to, lost } => self.reset(now, &facts, stored, to, &lost),
            StartDecision::SearchTime { wanted, file } => self.locate(now, wanted, file),
            StartDecision::Stop(reason) => self.stop_source(now, reason.to_string()),
        }
    }

    /// Positions of another server say nothing about those before.
    fn note_identity(&mut self, facts: &SourceFacts, decision: &StartDecision) {
        let identity = facts.identity();
        let former = self.source.identity.replace(identity.clone());
        let stops = matches!(decision, StartDecision::Stop(_));
        if !stops && former.is_some_and(|former| former != identity) {
            self.store.switch_source();
            self.splitter.switch_source();
        }
    }

    fn plan_at_end(&mut self, now: Instant, end: &EndOfLog, flavor: Flavor) {
        let gtids = self.tracker(Some(&end.gtid), flavor);
        self.plan(now, PlanFrom::Position(end.position.clone()), gtids, false);
    }

    /// GTIDs are tracked where they are wanted and the set at the place is known.
    pub(super) fn tracker(&self, set: Option<&str>, flavor: Flavor) -> GtidTracker {
        match set.map(|set| gtid_set(set, flavor)) {
            Some(Ok(set)) if self.config.gtid => GtidTracker::after(set),
            _ => GtidTracker::off(),
        }
    }

    /// Reading begins with the oldest file. It is named, so that a start that is resumed after files were
    /// purged is refused by the source and not quietly moved.
    fn oldest_log(&mut self, now: Instant, answer: Result<ResultSet, ServerError>) {
        let set = match answer {
            Ok(set) => set,
            Err(error) => return self.retry(now, format!("{BINARY_LOGS}: {error}")),
        };
        let Some(facts) = self.source.facts.clone() else {
            return;
        };
        match set.text_at(0, 0) {
            Some(file) => {
                let first = BinlogPosition::new(BinlogFile::new(file), BinlogPosition::FIRST_EVENT);
                let gtids = self.tracker(Some(&facts.gtid_purged), facts.flavor());
                self.plan(now, PlanFrom::Position(first), gtids, false);
            }
            None => self.retry(now, format!("{BINARY_LOGS} lists no file")),
        }
    }

    /// Reading begins at `position`, found by time.
    pub(super) fn plan_at(&mut self, now: Instant, position: BinlogPosition) {
        self.plan(now, PlanFrom::Position(position), GtidTracker::off(), false);
    }

    /// Where reading begins is decided. If nothing durable says so yet, it is written down first.
    fn plan(&mut self, now: Instant, from: PlanFrom, gtids: GtidTracker, is_stored: bool) {
        let skip = if is_stored { self.acked_by_all() } else { None };
        let place = match &from {
            PlanFrom::Position(position) => Some(position.clone()),
            PlanFrom::Gtid(_) => None,
        };
        let gtid = gtids.text().map(String::from);
        let plan = DumpPlan { from, gtids, skip };
        if is_stored || self.durable.record().start.is_some() {
            self.source.plan = Some(plan);
            return self.open_dump(now);
        }
        let start = self.start_cursor(place, gtid.as_deref());
        let version = self.durable.change_now(|record| record.start = Some(start));
        self.record_start(now, version, plan);
    }

    /// The dump of `plan` is opened once `version` is stored.
    pub(super) fn record_start(&mut self, now: Instant, version: Version, plan: DumpPlan) {
        self.source.plan = Some(plan);
        self.source.recording = Some(version);
        self.enter(
            now,
            Stage::Recording,
            "storing where reading begins".into(),
            None,
        );
        self.recorded(now);
    }

    /// The record is stored as far as it is: what waited for that goes on.
    pub(super) fn recorded(&mut self, now: Instant) {
        if let Some(version) = self.source.recording
            && self.durable.is_stored(version)
        {
            self.source.recording = None;
            self.open_dump(now);
        }
    }

    pub(super) fn open_dump(&mut self, now: Instant) {
        self.source.refused = None;
        self.enter(
            now,
            Stage::Dialing,
            format!("opening the dump of {}", self.address()),
            None,
        );
        self.hang_up(Role::Dump);
        self.dial(now, Role::Dump);
    }

    fn dump_ready(&mut self, now: Instant) {
        let Some(facts) = &self.source.facts else {
            return;
        };
        let config = &self.config.source;
        let server_id = config.replica_server_id;
        let mut session: VecDeque<_> =
            dump_session(&facts.version, &config.replica_uuid, config.heartbeat).into();
        let from = match (&self.source.locate, &self.source.survey, &self.source.plan) {
            (Some(locate), _, _) => locate.dump_from(),
            (None, Some(survey), _) => survey.dump_from(),
            (None, None, Some(plan)) => match &plan.from {
                PlanFrom::Position(position) => DumpFrom::Position(position.clone()),
                PlanFrom::Gtid(GtidSet::Mysql(set)) => DumpFrom::MysqlGtid {
                    encoded: set.encode().into(),
                },
                PlanFrom::Gtid(GtidSet::Mariadb(set)) => {
                    session.push_back(mariadb_gtid_start(&set.to_string()));
                    DumpFrom::MariadbGtid
                }
            },
            (None, None, None) => return,
        };
        let request = DumpRequest { server_id, from };
        self.source.dump_state = DumpState::Preparing {
            statements: session,
            request,
        };
        self.prepare(now);
    }

    fn prepare(&mut self, now: Instant) {
        let DumpState::Preparing {
            statements,
            request,
        } = &self.source.dump_state
        else {
            return;
        };
        if let Some(statement) = statements.front() {
            let sql = statement.sql.clone();
            return self.query(now, Role::Dump, &sql);
        }
        let request = request.clone();
        if let Some(link) = self.source.dump.as_mut() {
            link.replica.register_and_dump(now, &request);
        }
        if self.source.locate.is_some() {
            self.source.dump_state = DumpState::Locating;
        } else if self.source.survey.is_some() {
            self.source.dump_state = DumpState::Surveying;
        } else {
            self.begin_streaming(now);
        }
    }

    fn prepared(&mut self, now: Instant, answer: Result<ResultSet, ServerError>) {
        let DumpState::Preparing { statements, .. } = &mut self.source.dump_state else {
            return;
        };
        let Some(statement) = statements.pop_front() else {
            return;
        };
        match (answer, statement.necessity) {
            (Err(error), Necessity::Required) => {
                self.retry(now, format!("{}: {error}", statement.sql));
            }
            (Ok(_), _) | (Err(_), Necessity::Helpful) => self.prepare(now),
        }
    }

    fn begin_streaming(&mut self, now: Instant) {
        let (Some(plan), Some(facts)) = (self.source.plan.take(), &self.source.facts) else {
            return;
        };
        let fold_names = facts.folds_names();
        self.source.dump_state = DumpState::Streaming;
        self.source.has_streamed = true;
        self.splitter.restart(Restart {
            stream: EventStream::for_dump(),
            gtids: plan.gtids,
            skip: plan.skip,
            fold_names,
        });
        let place = match plan.from {
            PlanFrom::Position(position) => position.to_string(),
            PlanFrom::Gtid(set) => format!("GTID set {set}"),
        };
        let reason = format!("reading {} from {place}", self.address());
        self.report(Weight::Notice, reason.clone());
        self.enter(now, Stage::Streaming, reason, None);
    }

    /// What is being read, for whoever wonders which place a refusal means.
    fn reading_place(&self) -> String {
        match self.splitter.resume() {
            Some(resume) => format!("reading {} on from {}", self.address(), resume.boundary),
            None => self.status.reason.clone(),
        }
    }

    /// A link is over.
    pub(super) fn broken(&mut self, now: Instant, role: Role, fault: LinkFault) {
        if role == Role::Metadata && self.reads() {
            self.hang_up(Role::Metadata);
            self.report(Weight::Detail, format!("metadata link: {fault}"));
            return; // it is dialed again when a table has to be asked for
        }
        if let LinkFault::DumpRefused(error) = &fault {
            let verdict =
                self.source
                    .retries
                    .after_dump(DumpFault::classify(error), now, &mut self.rng);
            return match verdict {
                Verdict::Stop(reason) if reason.allows_reset() && self.config.auto_reset => {
                    self.source.refused = Some(reason);
                    self.retry_now(now);
                }
                Verdict::Stop(reason) => {
                    let place = self.reading_place();
                    self.stop_source(now, format!("{place}: {reason} ({fault})"));
                }
                Verdict::RetryIn(pause) => self.pause(now, pause, fault.to_string()),
            };
        }
        self.fail_at_start_or_retry(now, &fault.to_string(), fault.is_permanent_at_start());
    }

    fn fail_at_start_or_retry(&mut self, now: Instant, why: &str, is_permanent: bool) {
        let why = format!("{}: {why}", self.address());
        if is_permanent && !self.source.has_streamed {
            self.source.failed_at_start = true;
            return self.stop_source(now, why);
        }
        self.retry(now, why);
    }

    pub(super) fn retry(&mut self, now: Instant, why: String) {
        match self.source.retries.after_link(&mut self.rng) {
            Verdict::RetryIn(pause) => self.pause(now, pause, why),
            Verdict::Stop(reason) => self.stop_source(now, format!("{reason} ({why})")),
        }
    }

    pub(super) fn pause(&mut self, now: Instant, pause: crate::time::Duration, why: String) {
        self.close_links();
        self.report(
            Weight::Warning,
            format!("{why}; trying again in {:.1} s", pause.as_secs_f64()),
        );
        self.enter(now, Stage::BackingOff, why, Some(now + pause));
    }

    pub(super) fn retry_now(&mut self, now: Instant) {
        self.close_links();
        self.discover(now);
    }

    pub(super) fn close_links(&mut self) {
        self.hang_up(Role::Metadata);
        self.hang_up(Role::Dump);
        self.source.locate = None;
        if let Some(survey) = self.source.survey.take() {
            self.splitter.learn(survey.into_horizon());
        }
    }

    /// Stops reading for a reason that only an operator can lift. What is held is still served.
    pub(super) fn stop_source(&mut self, now: Instant, why: String) {
        self.close_links();
        self.report(
            Weight::Alarm,
            format!("destination {} stopped: {why}", self.config.destination),
        );
        self.enter(now, Stage::Stopped, why, None);
    }

    pub(super) fn stop(&mut self, now: Instant) {
        self.stopping = true;
        self.close_links();
        self.enter(now, Stage::Stopped, "told to stop".into(), None);
    }

    pub(super) fn source_timeout(&mut self, now: Instant) {
        if self.status.stage == Stage::BackingOff
            && self.status.until.is_some_and(|until| until <= now)
        {
            return self.discover(now);
        }
        for role in [Role::Metadata, Role::Dump] {
            if let Some(link) = self.link(role) {
                link.replica.handle_timeout(now);
                self.pump(now, role);
            }
        }
    }

    pub(super) fn source_deadline(&self) -> Option<(Instant, &'static str)> {
        let pause = self
            .status
            .until
            .map(|until| (until, "the source is to be tried again"));
        let links = [&self.source.metadata, &self.source.dump];
        let deadlines = links
            .into_iter()
            .flatten()
            .filter_map(|link| link.replica.poll_timeout());
        deadlines.chain(pause).min_by_key(|(at, _)| *at)
    }

    /// A client asks for entries that the ring no longer holds: the source is read again from the
    /// oldest cursor, and every client gets only what it has not had.
    pub(super) fn reread_if_wanted(&mut self, now: Instant) {
        let is_busy = !self.window.is_empty() || self.stopping || self.undecodable;
        if is_busy || self.status.stage != Stage::Streaming || !self.store.wants_restart() {
            return;
        }
        self.store.restart();
        self.splitter.forget_place();
        self.report(
            Weight::Notice,
            "a client is behind the ring: the source is read again".into(),
        );
        self.retry_now(now);
    }

    /// Data flows: the next failure is the first again. While nothing is read on purpose, silence means nothing.
    pub(super) fn note_flow(&mut self, now: Instant) {
        let held_back = self
            .source
            .dump
            .as_ref()
            .is_some_and(|dump| self.read_budget(dump.id) == 0);
        if let Some(dump) = self.source.dump.as_mut() {
            if held_back {
                dump.replica.pause();
            } else {
                dump.replica.resume(now);
            }
        }
    }
}

fn gtid_set(text: &str, flavor: Flavor) -> Result<GtidSet, crate::gtid::GtidError> {
    Ok(match flavor {
        Flavor::Mysql => GtidSet::Mysql(text.parse::<MysqlGtidSet>()?),
        Flavor::Mariadb => GtidSet::Mariadb(text.parse::<MariadbGtidSet>()?),
    })
}
