//! `Instance`: the running machine of one destination.
//!
//! It owns the source links, the serial stage, the ring, the clients and the durable record, and joins
//! them: bytes in, jobs out and back, segments into the ring, batches to clients, cursors to the disk.
//!
//! Stages of the source side: see [`Stage`]. Serving goes on in all of them: a destination that is
//! stopped still delivers what it holds, and accepts acknowledgements.
//!
//! Contract (style reference §4): after inputs, poll [`Instance::poll_output`] until none, then read
//! [`Instance::poll_timeout`] and [`Instance::read_budget`] again. `now` never decreases. Each `Dial`
//! ends in `LinkUp` or `LinkDown`, each `Secure` in `LinkSecured` or `LinkDown`, each `Decode` in
//! `Decoded`, each `Save` in `Saved`, each request in one reply or its withdrawal. The same config,
//! record, seed and calls give the same outputs.
//!
//! Bounds: jobs under way ([`JOBS_MAX`](crate::pipeline::window::JOBS_MAX)), the ring, one write of the
//! record, one statement on the metadata link, one request a session.

mod clients;
pub mod durable;
mod flow;
mod gap;
mod locate;
mod serve;
mod source;
mod survey;
mod tables;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use crate::binlog::stream::EventStream;
use crate::config::InstanceConfig;
use crate::filter::{ColumnFilter, ColumnFilterError, FilterError};
use crate::instance::clients::{Client, Judges};
use crate::instance::durable::{Durable, Version};
use crate::instance::serve::{WaitingGet, WaitingSave};
use crate::instance::source::{Role, Source};
use crate::meta::cursor::Cursor;
use crate::meta::identity::{ClientId, Destination};
use crate::meta::ledger::{Generation, Ledger};
use crate::meta::record::MetaRecord;
use crate::mysql::fault::LinkFault;
use crate::pipeline::decode::Decoded;
use crate::pipeline::gtids::GtidTracker;
use crate::pipeline::job::{DecodeJob, JobId};
use crate::pipeline::plan::{EncodeSettings, UnknownCharset};
use crate::pipeline::selection::Selection;
use crate::pipeline::split::{DoubtPolicy, SplitConfig, Splitter};
use crate::pipeline::window::DecodeWindow;
use crate::request::{Reply, Request, RequestId, SessionId};
use crate::rng::{Rng, Seed};
use crate::status::{Stage, Status};
use crate::store::ring::Sequence;
use crate::store::{EventStore, ReadFrom, StoreConfigFault, StoreStatus, check};
use crate::time::Instant;

/// A connection to a source; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Something that happened to an instance.
#[derive(Debug)]
pub enum Input {
    /// A dialed link is connected.
    LinkUp(LinkId),
    /// A link is secured by TLS.
    LinkSecured(LinkId),
    /// A link could not be made, or is gone.
    LinkDown(LinkId, LinkFault),
    /// A session asks.
    Request(RequestId, Request),
    /// A session no longer waits for an answer.
    RequestGone(RequestId),
    /// A session has ended.
    SessionGone(SessionId),
    /// A job is decoded.
    Decoded(JobId, Decoded),
    /// A write of the record has ended; the text says why it failed.
    Saved(Result<(), String>),
    /// Stop reading, write what must be written.
    Stop,
}

/// Something that an instance wants done.
#[derive(Debug)]
pub enum Output {
    /// Connect to the configured source.
    Dial(LinkId),
    /// Do the TLS handshake on a link.
    Secure(LinkId),
    /// Send bytes on a link.
    Transmit(LinkId, Bytes),
    /// Close a link; nothing more is said of it.
    Hangup(LinkId),
    /// Answer a request.
    Reply(RequestId, Reply),
    /// Close a session.
    CloseSession(SessionId, CloseCause),
    /// Decode a job.
    Decode(DecodeJob),
    /// Store the record, atomically and durably.
    Save(Box<MetaRecord>),
    /// Something for operators to read.
    Report(Report),
}

/// Why an instance closes a session.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CloseCause {
    /// A newer connection named the same client.
    #[error("client {client} of {destination} is now served on connection {}, which is newer", by.0)]
    Superseded {
        /// The destination.
        destination: Destination,
        /// The client.
        client: ClientId,
        /// The newer connection.
        by: SessionId,
    },
}

/// How much a report matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// For whoever looks for it.
    Detail,
    /// The ordinary course of things.
    Notice,
    /// Heals by itself, or may.
    Warning,
    /// Somebody has to act.
    Alarm,
}

/// One line for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How much it matters.
    pub weight: Weight,
    /// The line.
    pub text: String,
}

/// The running machine of one destination.
#[derive(Debug)]
pub struct Instance {
    config: InstanceConfig,
    rng: Rng,
    outputs: VecDeque<Output>,
    // the source side
    source: Source,
    status: Status,
    splitter: Splitter,
    window: DecodeWindow,
    /// A job could not be decoded: nothing after it is delivered.
    undecodable: bool,
    // the client side
    store: EventStore,
    clients: BTreeMap<ClientId, Client>,
    judges: Judges,
    ledger: Option<Ledger>,
    generation: Option<(Version, Generation)>,
    waiting_gets: BTreeMap<RequestId, WaitingGet>,
    waiting_saves: Vec<WaitingSave>,
    // what survives
    durable: Durable,
    /// Entries before it lie before a gap: the source has lost their places.
    gap_at: Sequence,
    stopping: bool,
}

/// A configuration that an instance cannot run with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigFault {
    /// A table filter.
    #[error("canal.instance.filter.regex, black.regex or a stored filter: {0}")]
    Filter(#[from] FilterError),
    /// A column filter.
    #[error(transparent)]
    Columns(#[from] ColumnFilterError),
    /// The connection charset.
    #[error(transparent)]
    Charset(#[from] UnknownCharset),
    /// The ring.
    #[error(transparent)]
    Store(#[from] StoreConfigFault),
    /// Batch ids have no generation left.
    #[error("the generations of batch ids are used up: remove the record of cursors to start anew")]
    Generations,
}

impl Instance {
    /// An instance that continues from `record`, as it is stored. It begins by asking the source who it is.
    ///
    /// # Errors
    /// The configuration, or a filter in the record, cannot be used.
    pub fn new(
        config: InstanceConfig,
        record: MetaRecord,
        seed: Seed,
        now: Instant,
    ) -> Result<Self, ConfigFault> {
        check(&config.store, config.transaction_entries)?;
        let judges = Judges::new(&config)?;
        let columns = ColumnFilter::parse(&config.filter.fields, &config.filter.black_fields)?;
        let selection = Selection::new(config.filter.clone(), columns, Vec::new());
        let splitter = Splitter::new(
            split_config(&config)?,
            EventStream::for_dump(),
            selection,
            GtidTracker::off(),
        );
        let mut store = EventStore::new(config.store);
        let mut clients = BTreeMap::new();
        for (id, client) in &record.clients {
            let from = client
                .cursor
                .as_ref()
                .map_or(ReadFrom::Oldest, Cursor::reader_from);
            store.attach(*id, from);
            let (filter, verdicts) = (client.filter.clone(), judges.judge(&client.filter)?);
            clients.insert(
                *id,
                Client {
                    filter,
                    verdicts,
                    holder: None,
                    asked: now,
                    subscribed: None,
                },
            );
        }
        let generation = record.generation.next().ok_or(ConfigFault::Generations)?;
        let mut durable = Durable::new(config.meta, record);
        let version = durable.change_now(|record| record.generation = generation);
        let (stage, reason) = (Stage::Discovering, String::new());
        let mut instance = Self {
            config,
            rng: Rng::new(seed),
            outputs: VecDeque::new(),
            source: Source::new(),
            status: Status {
                stage,
                reason,
                since: now,
                until: None,
            },
            splitter,
            window: DecodeWindow::default(),
            undecodable: false,
            store,
            clients,
            judges,
            ledger: None,
            generation: Some((version, generation)),
            waiting_gets: BTreeMap::new(),
            waiting_saves: Vec::new(),
            durable,
            gap_at: Sequence::ZERO,
            stopping: false,
        };
        instance.refresh_filters();
        instance.discover(now);
        instance.turn(now);
        Ok(instance)
    }

    /// Takes everything that happened.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::LinkUp(link) => self.link_up(now, link),
            Input::LinkSecured(link) => self.link_secured(now, link),
            Input::LinkDown(link, why) => self.link_down(now, link, why),
            Input::Request(id, request) => self.handle_request(now, id, request),
            Input::RequestGone(id) => self.withdraw(id),
            Input::SessionGone(session) => self.forget_session(session),
            Input::Decoded(job, decoded) => self.window.complete(job, decoded),
            Input::Saved(result) => self.handle_saved(now, result),
            Input::Stop => self.stop(now),
        }
        self.turn(now);
    }

    /// Takes the whole packets at the start of `buf`; a partial one stays there.
    pub fn handle_bytes(&mut self, now: Instant, link: LinkId, buf: &mut BytesMut) {
        self.take_bytes(now, link, buf);
        self.turn(now);
    }

    /// Does what time alone asks for; harmless when nothing is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.source_timeout(now);
        self.idle_readers(now);
        self.turn(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] is wanted, and what for.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<(Instant, &'static str)> {
        let timers = [
            self.source_deadline(),
            self.next_get_deadline()
                .map(|at| (at, "a get has waited long enough")),
            self.next_idle_check(now)
                .map(|at| (at, "a reader may be idle")),
            self.durable
                .poll_timeout()
                .map(|at| (at, "the record is to be stored")),
        ];
        timers.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// What the instance is doing.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// The ring and its readers.
    #[must_use]
    pub fn store_status(&self) -> StoreStatus {
        self.store.status()
    }

    /// Whether it was told to stop and everything is stored.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopping && self.durable.is_settled()
    }

    /// Work that follows from whatever just changed.
    fn turn(&mut self, now: Instant) {
        self.move_jobs(now);
        self.ask_for_tables(now);
        self.reread_if_wanted(now);
        // Statements are not always answers to something that a link said.
        self.pump(now, Role::Metadata);
        self.pump(now, Role::Dump);
        self.note_flow(now);
        if !self.waiting_gets.is_empty() {
            self.serve_waiting(now);
        }
        self.answer_saved();
        if let Some(record) = self.durable.poll_write(now) {
            self.outputs.push_back(Output::Save(record));
        }
    }

    fn handle_saved(&mut self, now: Instant, result: Result<(), String>) {
        if let Err(why) = &result {
            self.report(
                Weight::Alarm,
                alloc::format!("the record of cursors could not be stored: {why}"),
            );
        }
        self.durable.handle_written(now, result);
        self.renew_generation();
        self.recorded(now);
    }

    /// A generation of batch ids is used once it is stored; when its ids run out, the next is stored.
    fn renew_generation(&mut self) {
        if let Some((version, generation)) = self.generation
            && self.durable.is_stored(version)
        {
            self.generation = None;
            match &mut self.ledger {
                Some(ledger) => ledger.renew(generation),
                None => self.ledger = Some(Ledger::new(generation)),
            }
        }
        let used_up = self.ledger.as_ref().is_some_and(Ledger::wants_generation);
        if self.generation.is_none()
            && used_up
            && let Some(next) = self.durable.record().generation.next()
        {
            let version = self.durable.change_now(|record| record.generation = next);
            self.generation = Some((version, next));
        }
    }

    fn reply(&mut self, id: RequestId, reply: Reply) {
        self.outputs.push_back(Output::Reply(id, reply));
    }

    fn report(&mut self, weight: Weight, text: String) {
        self.outputs
            .push_back(Output::Report(Report { weight, text }));
    }

    fn enter(&mut self, now: Instant, stage: Stage, reason: String, until: Option<Instant>) {
        self.status = Status {
            stage,
            reason,
            since: now,
            until,
        };
    }
}

/// The habits of the serial stage of a destination, before anything is known of its source.
fn split_config(config: &InstanceConfig) -> Result<SplitConfig, ConfigFault> {
    Ok(SplitConfig {
        encode: Arc::new(EncodeSettings::of_instance(config)?),
        transaction_entries: config.transaction_entries,
        drop_transaction_entries: config.filter.drop_transaction_entries,
        doubt: if config.filter.quarantine {
            DoubtPolicy::Quarantine
        } else {
            DoubtPolicy::Stop
        },
        lookahead_bytes: config.lookahead_bytes,
        fold_names: false,
    })
}
