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
mod serve;
mod source;
mod tables;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use crate::config::InstanceConfig;
use crate::filter::Verdicts;
use crate::instance::clients::Client;
use crate::instance::durable::Durable;
use crate::instance::serve::{WaitingGet, WaitingSave};
use crate::instance::source::Source;
use crate::meta::identity::{ClientId, Destination};
use crate::meta::record::MetaRecord;
use crate::pipeline::decode::Decoded;
use crate::pipeline::job::{DecodeJob, JobId};
use crate::pipeline::split::Splitter;
use crate::pipeline::window::DecodeWindow;
use crate::request::{Reply, Request, RequestId, SessionId};
use crate::rng::{Rng, Seed};
use crate::status::{Stage, Status};
use crate::store::EventStore;
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
    /// A link could not be made, or is gone. The text says why.
    LinkDown(LinkId, String),
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
    Save(Vec<u8>),
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
    // the client side
    store: EventStore,
    clients: BTreeMap<ClientId, Client>,
    configured: Verdicts,
    waiting_gets: BTreeMap<RequestId, WaitingGet>,
    waiting_saves: Vec<WaitingSave>,
    // what survives
    durable: Durable,
    stopping: bool,
}

impl Instance {
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
            self.next_get_deadline().map(|at| (at, "a get has waited long enough")),
            self.next_idle_check(now).map(|at| (at, "a reader may be idle")),
            self.durable.poll_timeout().map(|at| (at, "the record is to be stored")),
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
    pub fn store_status(&self) -> crate::store::StoreStatus {
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
        if !self.waiting_gets.is_empty() {
            self.serve_waiting(now);
        }
        self.answer_saved();
        if let Some(bytes) = self.durable.poll_write(now) {
            self.outputs.push_back(Output::Save(bytes));
        }
    }

    fn handle_saved(&mut self, now: Instant, result: Result<(), String>) {
        if let Err(why) = &result {
            self.report(Weight::Alarm, alloc::format!("the record of cursors could not be stored: {why}"));
        }
        self.durable.handle_written(now, result);
        self.recorded(now);
    }

    fn reply(&mut self, id: RequestId, reply: Reply) {
        self.outputs.push_back(Output::Reply(id, reply));
    }

    fn report(&mut self, weight: Weight, text: String) {
        self.outputs.push_back(Output::Report(Report { weight, text }));
    }

    fn enter(&mut self, now: Instant, stage: Stage, reason: String, until: Option<Instant>) {
        self.status = Status { stage, reason, since: now, until };
    }
}
