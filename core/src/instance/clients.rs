//! What an instance knows of each client, and where its cursor stands.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::config::SubscribeFilter;
use crate::filter::{TableJudge, Verdicts};
use crate::instance::Instance;
use crate::meta::cursor::Cursor;
use crate::meta::identity::ClientId;
use crate::meta::ledger::Ledger;
use crate::request::SessionId;
use crate::store::batch::Place;
use crate::time::Instant;

/// One client of the destination.
#[derive(Debug)]
pub(super) struct Client {
    /// The filter that it subscribed; empty if the configured one holds.
    pub(super) filter: String,
    /// What it is given of what is stored.
    pub(super) verdicts: Verdicts,
    /// Its open batches.
    pub(super) ledger: Ledger,
    /// The connection that holds it.
    pub(super) holder: Option<SessionId>,
    /// When it last asked for anything.
    pub(super) asked: Instant,
}

impl Client {
    pub(super) fn new(generation: u32, filter: String, verdicts: Verdicts, now: Instant) -> Self {
        Self { filter, verdicts, ledger: Ledger::new(generation), holder: None, asked: now }
    }
}
