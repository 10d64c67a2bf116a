//! The tasks around the state: listening, one for each connection, one that brings each server up to date,
//! and the ensemble's heartbeat.
//!
//! ```text
//! hello ─► welcome ─► request ⇄ answer
//!    │                   └─► events in between
//!    └─► (the session is over) ─► end
//! ```
//!
//! Requests of a connection are answered one after the other: one that waits for the leader or a majority
//! holds up those behind it, pings too, as with real servers.

use std::io;

use canald::net::Net as _;
use canald_core::rng::Rng;
use madsim::time::{Instant, sleep};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Ensemble;
use super::jute::{self, Ask, FRAME_BYTES_MAX, Form, HEAD_BYTES, Hello, Request};
use super::server::{Answer, Ending};
use super::tree::Change;
use crate::host::{Host, ZOOKEEPER_PORT};
use crate::world::net::{SimStream, host_at};

/// A connection of a client, as its task knows it.
struct Conversation {
    ensemble: Ensemble,
    server: u8,
    id: u64,
    /// How long messages between servers take.
    delays: Rng,
}

/// Why no more is read.
struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl From<jute::Malformed> for Over {
    fn from(_: jute::Malformed) -> Self {
        Self
    }
}

/// The ensemble's heart: everything that happens because time passes.
pub(super) async fn beat(ensemble: Ensemble) {
    let period = ensemble.lock().terms.beat();
    loop {
        sleep(period).await;
        ensemble.lock().beat(Instant::now());
        ensemble.announce();
    }
}

/// Brings one server up to date, again and again, each time a message's way and its lag behind the leader.
pub(super) async fn replicate(ensemble: Ensemble, server: u8) {
    let mut delays = ensemble.lock().rng(&format!("replica/{server}"));
    let mut changes = ensemble.changes();
    loop {
        changes.borrow_and_update();
        let backlog = ensemble.lock().backlog(server);
        let Some((upto, lag)) = backlog else {
            ensemble.changed(&mut changes).await;
            continue;
        };
        let delay = lag + ensemble.lock().terms.delay(&mut delays);
        sleep(delay).await;
        if ensemble.lock().catch_up(server, upto) {
            ensemble.announce();
        } else {
            ensemble.changed(&mut changes).await;
        }
    }
}

/// Takes connections for one server while it is up.
pub(super) async fn listen(ensemble: Ensemble, server: u8) {
    let net = ensemble.network().host(Host::ZooKeeper(server));
    loop {
        ensemble.wait_until(|e| e.lock().server(server).up).await;
        let Ok(mut listener) = net.listen(([0, 0, 0, 0], ZOOKEEPER_PORT).into()).await else {
            unreachable!("nobody else listens on this machine");
        };
        loop {
            let accepted = tokio::select! {
                biased;
                () = ensemble.wait_until(|e| !e.lock().server(server).up) => break,
                accepted = net.accept(&mut listener) => accepted,
            };
            let Ok((stream, from)) = accepted else {
                continue;
            };
            let attached = ensemble.lock().attach(server, host_at(from.ip()));
            if let Some(id) = attached {
                tokio::spawn(converse(ensemble.clone(), server, id, stream));
            }
        }
    }
}

/// One connection, from hello to end.
async fn converse(ensemble: Ensemble, server: u8, id: u64, stream: SimStream) {
    let (reader, writer) = tokio::io::split(stream);
    let mut conversation = Conversation {
        delays: ensemble.lock().rng(&format!("connection/{id}")),
        ensemble: ensemble.clone(),
        server,
        id,
    };
    tokio::select! {
        biased;
        () = ensemble.wait_until(|e| e.ending(server, id) == Ending::Now) => {}
        () = write(&ensemble, (server, id), writer) => {}
        Err(Over) = conversation.read(reader) => {}
    }
    ensemble.lock().server(server).connections.remove(&id);
}

/// Sends what a connection is to be told, until it ends.
async fn write<W: AsyncWrite + Unpin>(ensemble: &Ensemble, place: (u8, u64), mut writer: W) {
    let mut changes = ensemble.changes();
    loop {
        changes.borrow_and_update();
        let next = {
            let mut inner = ensemble.lock();
            let connections = &mut inner.server(place.0).connections;
            let Some(connection) = connections.get_mut(&place.1) else {
                return;
            };
            (connection.outbox.pop_front(), connection.ending)
        };
        match next {
            (Some(frame), _) => {
                let sent = async {
                    writer.write_all(&frame).await?;
                    writer.flush().await
                };
                if sent.await.is_err() {
                    return;
                }
            }
            (None, Ending::Open) => ensemble.changed(&mut changes).await,
            (None, Ending::WhenTold | Ending::Now) => return,
        }
    }
}

/// Reads one frame.
async fn frame<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Vec<u8>, Over> {
    let mut head = [0; HEAD_BYTES];
    reader.read_exact(&mut head).await?;
    let length = usize::try_from(i32::from_be_bytes(head)).map_err(|_| Over)?;
    if length > FRAME_BYTES_MAX {
        return Err(Over);
    }
    let mut frame = vec![0; length];
    reader.read_exact(&mut frame).await?;
    Ok(frame)
}

impl Conversation {
    async fn read<R: AsyncRead + Unpin>(
        &mut self,
        mut reader: R,
    ) -> Result<std::convert::Infallible, Over> {
        let hello = Hello::read(&frame(&mut reader).await?)?;
        self.greet(&hello).await?;
        loop {
            let request = Request::read(&frame(&mut reader).await?)?;
            self.answer(request).await;
        }
    }

    /// Begins a session, or goes on with one.
    async fn greet(&mut self, hello: &Hello) -> Result<(), Over> {
        if hello.seen > self.ensemble.lock().server(self.server).zxid() {
            // The client knows more than this server: it must try another.
            return Err(Over);
        }
        match &hello.session {
            None => {
                let session = self.ensemble.lock().new_terms(hello, self.id);
                self.change(Change::Open(session), Answer::Welcome).await;
            }
            Some((session, password)) => {
                self.travel().await;
                let (place, ensemble) = (self.place(), &self.ensemble);
                let resume =
                    |e: &Ensemble| e.lock().resume(Instant::now(), place, (*session, password));
                ensemble.wait_until(resume).await;
                ensemble.announce();
            }
        }
        Ok(())
    }

    async fn answer(&mut self, Request { xid, ask }: Request) {
        let session = {
            let mut inner = self.ensemble.lock();
            let connection = inner.server(self.server).connections.get(&self.id);
            let session = connection.and_then(|connection| connection.session);
            inner.touch(Instant::now(), self.server, session);
            session
        };
        if session.is_none() {
            // It is told so, and is about to end.
            return;
        }
        match ask {
            Ask::Sync(path) => self.sync(xid, &path).await,
            Ask::Close => {
                let forms = Vec::new();
                let change = Change::Close { expired: false };
                self.change(change, Answer::Changed { xid, forms }).await;
            }
            Ask::One(step, form) => {
                let forms = vec![form];
                let change = Change::One(step);
                self.change(change, Answer::Changed { xid, forms }).await;
            }
            Ask::All(steps) => {
                let (steps, forms): (Vec<_>, Vec<Form>) = steps.into_iter().unzip();
                let change = Change::All(steps);
                self.change(change, Answer::Changed { xid, forms }).await;
            }
            local @ (Ask::Ping
            | Ask::Query(..)
            | Ask::SetWatches(_)
            | Ask::RemoveWatches(..)
            | Ask::Unknown(_)) => {
                self.answer_alone(xid, local);
                self.ensemble.announce();
            }
        }
    }

    /// What a server answers without its leader.
    fn answer_alone(&self, xid: i32, ask: Ask) {
        let mut inner = self.ensemble.lock();
        let server = inner.server(self.server);
        let zxid = server.zxid();
        match ask {
            Ask::Query(query, watch) => server.query(self.id, xid, &query, watch),
            Ask::SetWatches(again) => server.set_watches(self.id, xid, &again),
            Ask::RemoveWatches(path, kind) => server.remove_watches(self.id, xid, &path, kind),
            Ask::Ping => server.tell(self.id, jute::plain(xid, zxid, jute::OK)),
            Ask::Unknown(_) | Ask::Sync(_) | Ask::Close | Ask::One(..) | Ask::All(_) => {
                server.tell(self.id, jute::plain(xid, zxid, jute::UNIMPLEMENTED));
            }
        }
    }

    /// Hands a change to the leader, and waits until this server's tree shows it.
    async fn change(&mut self, change: Change, answer: Answer) {
        self.travel().await;
        let (server, id) = self.place();
        let now = Instant::now();
        self.ensemble
            .lock()
            .submit(now, (server, id), change, answer);
        self.ensemble.announce();
        let is_answered = |e: &Ensemble| {
            let mut inner = e.lock();
            let connection = inner.server(server).connections.get(&id);
            connection.is_none_or(|connection| !connection.asks)
        };
        self.ensemble.wait_until(is_answered).await;
    }

    /// Asks the leader how much it has committed, and waits until this server's tree shows that.
    async fn sync(&mut self, xid: i32, path: &str) {
        self.travel().await;
        let server = self.server;
        let mut changes = self.ensemble.changes();
        let upto = loop {
            changes.borrow_and_update();
            let committed = self.ensemble.lock().committed(server);
            match committed {
                Some(upto) => break upto,
                None => self.ensemble.changed(&mut changes).await,
            }
        };
        let is_applied = |e: &Ensemble| e.lock().server(server).applied >= upto;
        self.ensemble.wait_until(is_applied).await;
        {
            let mut inner = self.ensemble.lock();
            let server = inner.server(server);
            let zxid = server.zxid();
            server.tell(self.id, jute::synced(xid, zxid, path));
        }
        self.ensemble.announce();
    }

    /// The way to the leader, if that is another server.
    async fn travel(&mut self) {
        let delay = {
            let inner = self.ensemble.lock();
            let is_leader = inner.leader() == Some(self.server);
            (!is_leader).then(|| inner.terms.delay(&mut self.delays))
        };
        if let Some(delay) = delay {
            sleep(delay).await;
        }
    }

    const fn place(&self) -> (u8, u64) {
        (self.server, self.id)
    }
}
