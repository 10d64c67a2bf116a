//! Serving clients: subscribe, get, acknowledge, roll back (wire-protocol reference §7, §8).
//!
//! Per client: subscribed or not; batches open in its ledger; the connection that holds it, the newest
//! one that named it. A get that finds nothing waits here until data, its deadline, or its withdrawal.
//! Everything is checked before anything moves; what a refusal leaves behind is as it was before.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::filter::Verdicts;
use crate::instance::clients::Client;
use crate::instance::{CloseCause, Instance, Output};
use crate::meta::identity::ClientId;
use crate::meta::record::ClientRecord;
use crate::request::{Ask, Batch, BatchId, Refusal, Reply, Request, RequestId, SessionId, Wait};
use crate::store::ReadFrom;
use crate::time::Instant;

/// A get that found nothing and may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitingGet {
    client: ClientId,
    size: u64,
    /// When it is answered with what there is.
    deadline: Option<Instant>,
}

/// A request whose answer waits until the record is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitingSave {
    pub(super) version: super::durable::Version,
    pub(super) request: RequestId,
}

impl Instance {
    pub(super) fn handle_request(&mut self, now: Instant, id: RequestId, request: Request) {
        let client = request.client;
        if let Err(refusal) = self.hold(id.session, client) {
            return self.reply(id, Reply::Refused(refusal));
        }
        if let Some(client) = self.clients.get_mut(&client) {
            client.asked = now;
        }
        let answer = match request.ask {
            Ask::Subscribe { filter } => self.subscribe(now, id, client, filter),
            Ask::Unsubscribe => self.unsubscribe(id, client),
            Ask::Get { size, wait } => self.get(now, id, client, size, wait),
            Ask::Ack { batch } => self.ack(client, batch),
            Ask::Rollback { batch } => self.rollback(client, batch),
        };
        match answer {
            Ok(Some(reply)) => self.reply(id, reply),
            Ok(None) => {}
            Err(refusal) => self.reply(id, Reply::Refused(refusal)),
        }
    }

    /// A request is no longer wanted: its connection is gone.
    pub(super) fn withdraw(&mut self, id: RequestId) {
        self.waiting_gets.remove(&id);
        self.waiting_saves.retain(|waiting| waiting.request != id);
    }

    /// A connection is gone. Its batches stay open; temporary readers go with it.
    pub(super) fn forget_session(&mut self, session: SessionId) {
        self.waiting_gets.retain(|id, _| id.session != session);
        self.waiting_saves
            .retain(|waiting| waiting.request.session != session);
        let held: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| client.holder == Some(session))
            .map(|(id, _)| *id)
            .collect();
        for id in held {
            if id.is_temporary() {
                self.remove_client(id);
            } else if let Some(client) = self.clients.get_mut(&id) {
                client.holder = None;
            }
        }
    }

    /// The newest connection that names a client holds it; the one before is closed.
    fn hold(&mut self, session: SessionId, id: ClientId) -> Result<(), Refusal> {
        let Some(client) = self.clients.get_mut(&id) else {
            return Ok(());
        };
        let former = match client.holder {
            Some(holder) if holder > session => {
                let destination = self.config.destination.clone();
                return Err(Refusal::Superseded {
                    destination,
                    client: id,
                });
            }
            Some(holder) if holder < session => Some(holder),
            _ => None,
        };
        client.holder = Some(session);
        if let Some(former) = former {
            self.waiting_gets
                .retain(|request, _| request.session != former);
            let destination = self.config.destination.clone();
            let cause = CloseCause::Superseded {
                destination,
                client: id,
                by: session,
            };
            self.outputs.push_back(Output::CloseSession(former, cause));
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        now: Instant,
        request: RequestId,
        id: ClientId,
        filter: String,
    ) -> Result<Option<Reply>, Refusal> {
        let verdicts = self
            .judges
            .judge(&filter)
            .map_err(|why| Refusal::BadFilter {
                filter: filter.clone(),
                why: why.to_string(),
            })?;
        let known = self.clients.contains_key(&id);
        let first = self.start_for_the_first();
        if known {
            self.refilter(id, &filter, verdicts);
        } else {
            let from = match &first {
                _ if id.is_temporary() => ReadFrom::Newest,
                Some(start) => ReadFrom::At(start.position.clone()),
                None => ReadFrom::Oldest,
            };
            self.add_client(now, id, &filter, verdicts, from);
            self.hold(request.session, id)?;
        }
        if id.is_temporary() {
            return Ok(Some(Reply::Done));
        }
        if known && filter.is_empty() {
            return Ok(self.when_subscribed(request, id));
        }
        // One that is known and has no cursor needs everything since the start, wherever the ring is by now.
        let cursor = if known {
            None
        } else {
            first.or_else(|| self.first_cursor())
        };
        let version = self.durable.change_now(|record| {
            let client = record
                .clients
                .entry(id)
                .or_insert_with(ClientRecord::default);
            if !filter.is_empty() {
                client.filter = filter;
            }
            if client.cursor.is_none() {
                client.cursor = cursor;
            }
        });
        if let Some(client) = self.clients.get_mut(&id) {
            client.subscribed = Some(version);
        }
        self.waiting_saves.push(WaitingSave { version, request });
        Ok(None)
    }

    /// A subscription that changes nothing is answered when the one that it repeats is stored.
    fn when_subscribed(&mut self, request: RequestId, id: ClientId) -> Option<Reply> {
        let version = self.clients.get(&id).and_then(|client| client.subscribed);
        match version.filter(|version| !self.durable.is_stored(*version)) {
            Some(version) => {
                self.waiting_saves.push(WaitingSave { version, request });
                None
            }
            None => Some(Reply::Done),
        }
    }

    fn add_client(
        &mut self,
        now: Instant,
        id: ClientId,
        filter: &str,
        verdicts: Verdicts,
        from: ReadFrom,
    ) {
        self.store.attach(id, from);
        self.clients.insert(
            id,
            Client {
                filter: filter.into(),
                verdicts,
                holder: None,
                asked: now,
                subscribed: None,
            },
        );
        self.refresh_filters();
    }

    /// A filter that is not empty takes the place of the one before.
    fn refilter(&mut self, id: ClientId, filter: &str, verdicts: Verdicts) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if !filter.is_empty() && client.filter != filter {
            client.filter = filter.into();
            client.verdicts = verdicts;
            self.refresh_filters();
        }
    }

    pub(super) fn remove_client(&mut self, id: ClientId) {
        if self.clients.remove(&id).is_some() {
            self.store.detach(id);
            if let Some(ledger) = &mut self.ledger {
                ledger.forget(id);
            }
            self.refresh_filters();
        }
        self.waiting_gets.retain(|_, waiting| waiting.client != id);
    }

    fn unsubscribe(&mut self, request: RequestId, id: ClientId) -> Result<Option<Reply>, Refusal> {
        self.remove_client(id);
        if id.is_temporary() || !self.durable.record().clients.contains_key(&id) {
            return Ok(Some(Reply::Done));
        }
        let next = self.first_cursor();
        let version = self.durable.change_now(|record| {
            let left = record.clients.remove(&id).and_then(|client| client.cursor);
            // Who comes next begins here, and not where the first one once began.
            if record.clients.is_empty() {
                record.start = next.or(left).or_else(|| record.start.take());
            }
        });
        self.waiting_saves.push(WaitingSave { version, request });
        Ok(None)
    }

    fn get(
        &mut self,
        now: Instant,
        request: RequestId,
        id: ClientId,
        size: u64,
        wait: Wait,
    ) -> Result<Option<Reply>, Refusal> {
        self.require(id)?;
        let linger = self.config.get_linger;
        let worth_waiting =
            !linger.is_zero() && wait != Wait::No && !self.store.is_enough(id, size);
        if !worth_waiting && let Some(batch) = self.take(now, id, size) {
            return Ok(Some(Reply::Batch(batch)));
        }
        let deadline = match wait {
            Wait::No => return Ok(Some(Reply::NoData)),
            Wait::AtMost(limit) => Some(now + limit),
            Wait::Unbounded => None,
        };
        self.waiting_gets.insert(
            request,
            WaitingGet {
                client: id,
                size,
                deadline,
            },
        );
        Ok(None)
    }

    /// The next batch of a client, opened in its ledger.
    fn take(&mut self, now: Instant, id: ClientId, size: u64) -> Option<Batch> {
        let Self {
            clients,
            store,
            splitter,
            ledger,
            ..
        } = self;
        let verdicts = &mut clients.get_mut(&id)?.verdicts;
        let ledger = ledger.as_mut()?; // no batch before its generation is stored
        if ledger.check_open(id).is_err() {
            return None;
        }
        let subjects = splitter.selection().subjects();
        let taken = store.get(id, size, &mut |subject| verdicts.passes(subjects, subject));
        let batch = taken.map(|taken| Batch {
            id: ledger.open(id, &taken, now),
            entries: taken.entries,
            rows: taken.rows,
            chunks: taken.chunks,
        });
        self.advance_past_excluded(id);
        batch
    }

    /// Answers the gets that wait, as far as there is something for them or their time is up.
    pub(super) fn serve_waiting(&mut self, now: Instant) {
        let linger = self.config.get_linger;
        let ready: Vec<_> = self
            .waiting_gets
            .iter()
            .filter(|(_, waiting)| {
                let due = waiting.deadline.is_some_and(|deadline| deadline <= now);
                let has = match linger.is_zero() {
                    true => self.store.has_data(waiting.client),
                    false => self.store.is_enough(waiting.client, waiting.size),
                };
                due || has
            })
            .map(|(id, waiting)| (*id, *waiting))
            .collect();
        for (id, waiting) in ready {
            let due = waiting.deadline.is_some_and(|deadline| deadline <= now);
            let reply = match self.take(now, waiting.client, waiting.size) {
                Some(batch) => Reply::Batch(batch),
                None if due => Reply::NoData,
                None => continue,
            };
            self.waiting_gets.remove(&id);
            self.reply(id, reply);
        }
    }

    /// When a waiting get must be answered.
    pub(super) fn next_get_deadline(&self) -> Option<Instant> {
        self.waiting_gets
            .values()
            .filter_map(|waiting| waiting.deadline)
            .min()
    }

    fn ack(&mut self, id: ClientId, batch: BatchId) -> Result<Option<Reply>, Refusal> {
        self.require(id)?;
        let Some(ledger) = &mut self.ledger else {
            return Err(Refusal::UnknownBatch {
                verb: "ack",
                client: id,
                batch,
            });
        };
        let open = ledger.check_ack(id, batch)?;
        let (end, ack_at, last) = (open.end, open.ack_at.clone(), open.last.clone());
        ledger.close(id, batch);
        self.store.ack(id, end);
        if !self.is_before_gap(end) {
            self.move_cursor(id, ack_at.as_ref(), &last);
        }
        self.advance_past_excluded(id);
        Ok(Some(Reply::Done))
    }

    fn rollback(&mut self, id: ClientId, batch: Option<BatchId>) -> Result<Option<Reply>, Refusal> {
        let (true, Some(ledger)) = (self.clients.contains_key(&id), &mut self.ledger) else {
            return Ok(Some(Reply::Done));
        };
        if let Some(first) = ledger.rollback(id, batch)? {
            self.store.rollback(id, first);
        }
        Ok(Some(Reply::Done))
    }

    fn require(&self, id: ClientId) -> Result<(), Refusal> {
        if self.clients.contains_key(&id) {
            return Ok(());
        }
        let destination = self.config.destination.clone();
        Err(Refusal::NotSubscribed {
            destination,
            client: id,
        })
    }

    /// Lets readers that ask nothing stop holding their slots while others are active.
    pub(super) fn idle_readers(&mut self, now: Instant) {
        let idle = self.config.store.reader_idle;
        let quiet: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| now.since(client.asked) >= idle)
            .map(|(id, _)| *id)
            .filter(|id| {
                !self
                    .waiting_gets
                    .values()
                    .any(|waiting| waiting.client == *id)
            })
            .collect();
        if quiet.len() < self.clients.len() {
            for id in quiet {
                self.store.idle(id);
            }
        }
    }

    /// When a reader may become idle.
    pub(super) fn next_idle_check(&self, now: Instant) -> Option<Instant> {
        if self.clients.len() < 2 {
            return None;
        }
        let idle = self.config.store.reader_idle;
        self.clients
            .values()
            .map(|client| client.asked + idle)
            .filter(|at| *at > now)
            .min()
    }

    /// Answers subscriptions whose record is stored.
    pub(super) fn answer_saved(&mut self) {
        let durable = &self.durable;
        let (done, waiting) = core::mem::take(&mut self.waiting_saves)
            .into_iter()
            .partition(|waiting: &WaitingSave| durable.is_stored(waiting.version));
        self.waiting_saves = waiting;
        let done: Vec<WaitingSave> = done;
        for waiting in done {
            self.reply(waiting.request, Reply::Done);
        }
    }
}
