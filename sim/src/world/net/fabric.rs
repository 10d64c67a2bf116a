//! The state of the network, without tasks: connections, listeners, and an agenda of what happens when.
//!
//! Time is an argument, and whoever drives it calls [`Fabric::run`] when an alarm is due; the fabric
//! notifies it when one comes before those that it knew. Where the way is cut, the lane stalls without an
//! alarm until it is healed.

mod faults;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use canald_core::rng::{Rng, Seed};
use madsim::time::Instant;
use tokio::io::ReadBuf;
use tokio::sync::Notify;

use super::connection::{Connection, DialFailure, EndState, Side};
use super::lane::{Parcel, Terms};
use crate::digest::Digest;
use crate::host::Host;
use crate::journal::{Journal, NetworkRecord, Record};
use crate::plan::Options;

/// How long a dial waits for an answer: the real daemon's bound.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that a listener holds until they are accepted. One more is not answered, and asks again.
const BACKLOG_MAX: usize = 128;

/// How long a dial waits before it asks again a listener that had no place.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The first port that a listener is given when it asks for any.
const FREE_PORT_MIN: u16 = 20_000;

/// Ports of those who dial, in turn.
const DIALER_PORT_MIN: u16 = 32_768;
const DIALER_PORTS: u64 = 28_232;

/// Something that happens at a moment.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The first parcel of a lane is due.
    Lane(u64, Side),
    /// A dial asks again.
    AskAgain(u64),
    /// A dial has waited long enough.
    GiveUp(u64),
}

/// A port that takes connections.
struct Listening {
    id: u64,
    backlog: VecDeque<u64>,
    acceptor: Option<Waker>,
}

/// The state of the network.
pub(super) struct Fabric {
    terms: Terms,
    rng: Rng,
    journal: Journal,
    agenda: BTreeMap<(Instant, u64), Event>,
    /// Events so far: those of one moment happen in the order in which they were made.
    events: u64,
    /// The moment that the driver waits for.
    awaited: Option<Instant>,
    driver: Arc<Notify>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    /// Dials so far, from whom to whom.
    dials: BTreeMap<(Host, Host), u64>,
    listeners: BTreeMap<(Host, u16), Listening>,
    next_listener: u64,
    /// How many faults cut the way from one host to another.
    cuts: BTreeMap<(Host, Host), u32>,
    off: BTreeSet<Host>,
}

impl Fabric {
    /// A network of hosts where nobody listens.
    pub(super) fn new(
        seed: Seed,
        options: &Options,
        journal: Journal,
        driver: Arc<Notify>,
    ) -> Self {
        Self {
            terms: Terms::new(options),
            rng: Rng::new(seed),
            journal,
            agenda: BTreeMap::new(),
            events: 0,
            awaited: None,
            driver,
            connections: BTreeMap::new(),
            next_connection: 0,
            dials: BTreeMap::new(),
            listeners: BTreeMap::new(),
            next_listener: 0,
            cuts: BTreeMap::new(),
            off: BTreeSet::new(),
        }
    }

    /// Does all that is due by `now`. When it must be called again, unless it notifies before.
    pub(super) fn run(&mut self, now: Instant) -> Option<Instant> {
        while let Some(first) = self.agenda.first_entry()
            && first.key().0 <= now
        {
            match first.remove() {
                Event::Lane(id, side) => self.deliver(now, id, side),
                Event::AskAgain(id) => self.send(now, id, Side::Dialer, Parcel::Open),
                Event::GiveUp(id) => self.give_up(id),
            }
        }
        self.awaited = self.agenda.first_key_value().map(|(key, _)| key.0);
        self.awaited
    }

    /// Begins to dial. The connection, whose dialer's end the caller holds until [`Self::release`].
    pub(super) fn dial(&mut self, now: Instant, from: Host, to: (Host, u16)) -> u64 {
        let id = self.next_connection;
        self.next_connection += 1;
        let count = self.dials.entry((from, to.0)).or_default();
        let seed = self.rng.split(&format!("network/{from}/{}/{count}", to.0));
        *count += 1;
        let connection = Connection::new(from, to, self.terms, seed);
        self.connections.insert(id, connection);
        self.send(now, id, Side::Dialer, Parcel::Open);
        self.schedule(now + CONNECT_TIMEOUT, Event::GiveUp(id));
        id
    }

    /// Whether a dial has its connection.
    pub(super) fn poll_dial(
        &mut self,
        id: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), DialFailure>> {
        let end = self.connection(id).end(Side::Dialer);
        match end.state {
            EndState::Opening => {
                end.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            EndState::Failed(why) => Poll::Ready(Err(why)),
            // If it is over again already, the stream says so.
            EndState::Open | EndState::Reset | EndState::Closed | EndState::Forgotten => {
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Takes a port, or any port for 0. The port, and what names the listener in [`Self::unlisten`].
    ///
    /// # Errors
    /// It is taken.
    pub(super) fn listen(&mut self, host: Host, port: u16) -> io::Result<(u16, u64)> {
        let is_free = |port: &u16| !self.listeners.contains_key(&(host, *port));
        let mut wanted = match port {
            0 => FREE_PORT_MIN..=DIALER_PORT_MIN - 1,
            port => port..=port,
        };
        let port = wanted.find(is_free).ok_or(io::ErrorKind::AddrInUse)?;
        let id = self.next_listener;
        self.next_listener += 1;
        let listening = Listening {
            id,
            backlog: VecDeque::new(),
            acceptor: None,
        };
        self.listeners.insert((host, port), listening);
        Ok((port, id))
    }

    /// Gives up a port. Whoever waits to be accepted is told.
    pub(super) fn unlisten(&mut self, now: Instant, host: Host, port: u16, id: u64) {
        if self.listeners.get(&(host, port)).is_none_or(|l| l.id != id) {
            return;
        }
        let gone = self.listeners.remove(&(host, port));
        for waiting in gone.into_iter().flat_map(|l| l.backlog) {
            let end = self.connection(waiting).end(Side::Taker);
            end.end(EndState::Forgotten);
            end.held = false;
            self.send(now, waiting, Side::Taker, Parcel::Reset);
            self.tidy(waiting);
        }
    }

    /// The next connection that came to a port, whose taker's end the caller holds until
    /// [`Self::release`], and who dialed.
    pub(super) fn poll_accept(
        &mut self,
        (host, port, id): (Host, u16, u64),
        cx: &mut Context<'_>,
    ) -> Poll<(u64, SocketAddr)> {
        match self.listeners.get_mut(&(host, port)) {
            Some(listening) if listening.id == id => match listening.backlog.pop_front() {
                Some(connection) => {
                    let dialer = self.connection(connection).end(Side::Dialer).host;
                    let turn = u16::try_from(connection % DIALER_PORTS).unwrap_or(0);
                    let from = SocketAddr::new(address(dialer), DIALER_PORT_MIN + turn);
                    Poll::Ready((connection, from))
                }
                None => {
                    listening.acceptor = Some(cx.waker().clone());
                    Poll::Pending
                }
            },
            // The machine is off: nothing comes to this listener any more.
            Some(_) | None => Poll::Pending,
        }
    }

    /// Reads what has arrived; nothing at the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        (id, side): (u64, Side),
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = self.connection(id);
        let (reader, writer) = (connection.end(side).host, connection.end(side.other()).host);
        let end = connection.end(side);
        let bytes = end.read(into);
        if bytes > 0 {
            let way_back_open = self.passes(reader, writer);
            let connection = self.connection(id);
            if connection.lane(side.other()).read(bytes, way_back_open) {
                connection.end(side.other()).wake_writer();
            }
            return Poll::Ready(Ok(()));
        }
        if end.eof || into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if !end.hears() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        end.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Gives bytes to the network, as many as there is room for.
    pub(super) fn poll_write(
        &mut self,
        now: Instant,
        (id, side): (u64, Side),
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let connection = self.connection(id);
        if !connection.end(side).hears() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if connection.lane(side).finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        match connection.lane(side).write(now, slices) {
            0 => {
                connection.end(side).writer = Some(cx.waker().clone());
                Poll::Pending
            }
            written => {
                self.set_alarm(id, side);
                Poll::Ready(Ok(written))
            }
        }
    }

    /// Ends the stream in one direction, behind all that was written.
    pub(super) fn finish(&mut self, now: Instant, id: u64, side: Side) {
        let connection = self.connection(id);
        if connection.end(side).hears() && !connection.lane(side).finished {
            self.send(now, id, side, Parcel::Fin);
        }
    }

    /// Lets go of an end: its process closed it, or is gone. What was written still arrives, and the FIN
    /// behind it. Of what it did not read, the other end is told by a reset behind the FIN.
    pub(super) fn release(&mut self, now: Instant, id: u64, side: Side) {
        let end = self.connection(id).end(side);
        (end.reader, end.writer, end.held) = (None, None, false);
        match end.state {
            EndState::Opening => {
                end.state = EndState::Forgotten;
                self.connection(id).lane(side).clear();
            }
            EndState::Open => {
                let unread = !end.inbox.is_empty();
                self.finish(now, id, side);
                self.connection(id).end(side).state = EndState::Closed;
                if unread {
                    self.send(now, id, side, Parcel::Reset);
                }
            }
            EndState::Failed(_) | EndState::Reset | EndState::Closed | EndState::Forgotten => {}
        }
        self.tidy(id);
    }

    /// What arrives at an end when its lane is due.
    fn deliver(&mut self, now: Instant, id: u64, side: Side) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.lane(side).alarmed = false;
        let (from, to) = (connection.lane(side).from, connection.lane(side).to);
        if !self.passes(from, to) {
            self.connection(id).lane(side).stalled = true;
            return;
        }
        while let Some(parcel) = self.connection(id).lane(side).take(now) {
            self.arrive(now, (id, side.other()), parcel);
        }
        self.set_alarm(id, side);
    }

    /// A parcel arrives at an end.
    fn arrive(&mut self, now: Instant, (id, side): (u64, Side), parcel: Parcel) {
        let end = self.connection(id).end(side);
        let (host, state) = (end.host, end.state);
        match (parcel, state) {
            (Parcel::Open, EndState::Opening) => match side {
                Side::Dialer => {
                    end.state = EndState::Open;
                    end.wake_reader();
                }
                Side::Taker => self.knock(now, id),
            },
            (Parcel::Bytes(bytes), EndState::Open) => {
                end.inbox.extend_from_slice(&bytes);
                end.wake_reader();
                self.journal
                    .record(Record::Network(NetworkRecord::Delivered {
                        connection: id,
                        at: host,
                        bytes: bytes.len(),
                        hash: Digest::of(&bytes),
                    }));
            }
            (Parcel::Fin, EndState::Open) => {
                end.eof = true;
                end.wake_reader();
                self.tell_end(id, host, false);
            }
            (Parcel::Reset, EndState::Open) => {
                end.end(EndState::Reset);
                self.connection(id).lane(side).clear();
                self.tell_end(id, host, true);
            }
            (Parcel::Reset, EndState::Opening) => {
                end.end(EndState::Failed(DialFailure::Refused));
            }
            // It has said that it sends nothing any more, and so has the other.
            (Parcel::Fin, EndState::Closed) | (Parcel::Reset, _) => {}
            (Parcel::Open | Parcel::Bytes(_) | Parcel::Fin, _) => {
                self.send(now, id, side, Parcel::Reset);
            }
        }
    }

    /// A dial arrives at its host.
    fn knock(&mut self, now: Instant, id: u64) {
        let connection = self.connection(id);
        let (from, to) = (
            connection.end(Side::Dialer).host,
            connection.end(Side::Taker).host,
        );
        let port = connection.port;
        let Some(listening) = self.listeners.get_mut(&(to, port)) else {
            self.connection(id).end(Side::Taker).state = EndState::Forgotten;
            self.send(now, id, Side::Taker, Parcel::Reset);
            return;
        };
        if listening.backlog.len() == BACKLOG_MAX {
            self.schedule(now + ASK_AGAIN, Event::AskAgain(id));
            return;
        }
        listening.backlog.push_back(id);
        if let Some(waker) = listening.acceptor.take() {
            waker.wake();
        }
        let end = self.connection(id).end(Side::Taker);
        (end.state, end.held) = (EndState::Open, true);
        self.journal
            .record(Record::Network(NetworkRecord::Connected {
                connection: id,
                from,
                to,
            }));
        self.send(now, id, Side::Taker, Parcel::Open);
    }

    fn give_up(&mut self, id: u64) {
        if let Some(connection) = self.connections.get_mut(&id)
            && connection.end(Side::Dialer).state == EndState::Opening
        {
            connection.lane(Side::Dialer).clear();
            let failed = EndState::Failed(DialFailure::TimedOut);
            connection.end(Side::Dialer).end(failed);
        }
    }

    fn tell_end(&self, connection: u64, at: Host, reset: bool) {
        let record = NetworkRecord::Ended {
            connection,
            at,
            reset,
        };
        self.journal.record(Record::Network(record));
    }

    /// Sends a parcel, unless the connection is gone.
    fn send(&mut self, now: Instant, id: u64, side: Side, parcel: Parcel) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.lane(side).send(now, parcel);
            self.set_alarm(id, side);
        }
    }

    /// Sees to it that the first parcel of a lane will arrive.
    fn set_alarm(&mut self, id: u64, side: Side) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let lane = connection.lane(side);
        if lane.alarmed || lane.stalled {
            return;
        }
        if let Some(due) = lane.next_due() {
            lane.alarmed = true;
            self.schedule(due, Event::Lane(id, side));
        }
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.agenda.insert((at, self.events), event);
        self.events += 1;
        if self.awaited.is_none_or(|awaited| at < awaited) {
            self.awaited = Some(at);
            self.driver.notify_one();
        }
    }

    /// Forgets a connection that nobody has.
    fn tidy(&mut self, id: u64) {
        if self.connections.get(&id).is_some_and(|c| !c.is_held()) {
            self.connections.remove(&id);
        }
    }

    /// Whether anything gets from one host to another.
    pub(super) fn passes(&self, from: Host, to: Host) -> bool {
        let cut = self.cuts.contains_key(&(from, to));
        !cut && !self.off.contains(&from) && !self.off.contains(&to)
    }

    /// How many connections there are, those too that only one end knows of.
    #[cfg(test)]
    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }

    fn connection(&mut self, id: u64) -> &mut Connection {
        let connection = self.connections.get_mut(&id);
        connection.expect("a connection stays while an end of it is held")
    }
}

/// The address of a host.
pub(super) const fn address(host: Host) -> IpAddr {
    IpAddr::V4(match host {
        Host::Source => Ipv4Addr::new(10, 0, 0, 1),
        Host::Canald => Ipv4Addr::new(10, 0, 0, 2),
        Host::Client(number) => Ipv4Addr::new(10, 0, 1, number),
        Host::ZooKeeper(number) => Ipv4Addr::new(10, 0, 2, number),
    })
}

/// The host at an address.
pub(super) const fn host_at(address: IpAddr) -> Option<Host> {
    let IpAddr::V4(address) = address else {
        return None;
    };
    match address.octets() {
        [10, 0, 0, 1] => Some(Host::Source),
        [10, 0, 0, 2] => Some(Host::Canald),
        [10, 0, 1, number] => Some(Host::Client(number)),
        [10, 0, 2, number] => Some(Host::ZooKeeper(number)),
        _ => None,
    }
}
