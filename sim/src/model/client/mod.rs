//! A client of the simulated world: the real client's machine and driver, with a temper.
//!
//! It connects, subscribes, and does what its [`Temper`] suggests until the connection ends; then it waits
//! a little and connects again, for ever. What it sees and does is journaled: a batch before anything is
//! done with it, an acknowledgement before its first byte can leave, so that one that canald took is in the
//! journal even if the client is killed while writing it.
//!
//! Bounds: [`OPEN_MAX`](habits::OPEN_MAX) open batches; [`REMEMBERED_MAX`] ids of batches that are no
//! longer open, for rude clients. It asks one thing at a time, so the answer to a get proves that what was
//! sent on that connection before has been carried out or refused: oracles rely on it.

mod habits;
mod rude;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use canald::clock::Clock;
use canald::driver::client::{Connection, Message, OpenFault};
use canald::net::Net;
use canald::watch;
use canald_core::client::{ClientConfig, ClientFault};
use canald_core::entry::proto::Entry;
use canald_core::meta::identity::{ClientId, Destination};
use canald_core::request::{BatchId, Wait};
use canald_core::rng::{Rng, Seed};
use canald_core::time::Duration;

use crate::host::{CANALD_PORT, Host};
use crate::journal::{ClientRecord, Journal, Record};
use crate::model::client::habits::Move;
use crate::plan::{ClientPlan, Temper};

/// The destination that all clients read.
pub const DESTINATION: &str = "example";

/// What clients subscribe with, if with anything: all tables, as without.
pub const FILTER: &str = ".*\\..*";

/// How long a get waits for data.
const GET_WAIT: Duration = Duration::from_millis(400);

/// How long canald may take to answer, beyond what a get waits: half-open connections end with it.
const REPLY_TIMEOUT: Duration = Duration::from_secs(8);

/// How long anything that has no timeout of its own may take: dialing, and writing to a peer that takes
/// nothing.
const PATIENCE: Duration = Duration::from_secs(15);

/// The pause before the first new connection after one that served; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(50);

/// The longest pause before a new connection.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The pause of a client that lost its place to another with its id, up to twice that: long enough for the
/// other one to get something done.
const PAUSE_SUPERSEDED: Duration = Duration::from_millis(1_500);

/// Ids that a client remembers of batches that are not open any more.
const REMEMBERED_MAX: usize = 16;

/// What the run tells a client, and what outlives the client's process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Orders {
    told: Arc<watch::Sender<Told>>,
    connections: Arc<Mutex<u32>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    rollbacks: u32,
    behave: bool,
}

impl Orders {
    /// Nothing is ordered yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            told: Arc::new(watch::Sender::new(Told::default())),
            connections: Arc::new(Mutex::new(0)),
        }
    }

    /// Take back all that is not acknowledged, as soon as there is a connection.
    pub fn roll_back(&self) {
        self.told.send_modify(|told| told.rollbacks += 1);
    }

    /// From now on be a good client, whatever the plan says.
    pub fn behave(&self) {
        self.told.send_modify(|told| told.behave = true);
    }

    /// The number of the next connection.
    fn next_connection(&self) -> u32 {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *connections += 1;
        *connections - 1
    }
}

impl Default for Orders {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs the client at `place` of the plan, for ever: kill its node to end it. Started again with the same
/// orders, it goes on counting its connections; each has a stream of randomness of its own, from `seed`.
pub async fn run_client<N: Net, C: Clock>(
    net: N,
    clock: C,
    place: u8,
    plan: ClientPlan,
    seed: u64,
    journal: Journal,
    orders: Orders,
) {
    let told = orders.told.subscribe();
    let obeyed = told.borrow().rollbacks;
    let mut client = Client {
        net,
        clock,
        place,
        plan,
        seed: Rng::new(Seed(seed)),
        journal,
        orders,
        told,
        obeyed,
        remembered: VecDeque::new(),
        newest: 0,
        failures: 0,
    };
    loop {
        let pause = client.connect().await;
        client.sleep(pause).await;
    }
}

/// Why a connection is of no more use.
#[derive(Debug)]
enum End {
    /// It ended.
    Fault(ClientFault),
    /// Nothing moved for [`PATIENCE`].
    OutOfPatience,
    /// The client wanted it so.
    Dropped,
    /// The client wants to talk nonsense next.
    Nonsense,
}

impl From<ClientFault> for End {
    fn from(fault: ClientFault) -> Self {
        Self::Fault(fault)
    }
}

struct Client<N, C> {
    net: N,
    clock: C,
    place: u8,
    plan: ClientPlan,
    seed: Rng,
    journal: Journal,
    orders: Orders,
    told: watch::Receiver<Told>,
    /// Orders to take back that were carried out.
    obeyed: u32,
    /// Batches that are not open any more.
    remembered: VecDeque<BatchId>,
    /// The largest id ever seen.
    newest: i64,
    /// Connections in a row that served nothing.
    failures: u32,
}

impl<N: Net, C: Clock> Client<N, C> {
    /// One connection, from its beginning to its end; how long to wait before the next.
    async fn connect(&mut self) -> Duration {
        let number = self.orders.next_connection();
        let label = format!("client/{}/{number}", self.place);
        let mut rng = Rng::new(self.seed.split(&label));
        let line = match self.open(&mut rng).await {
            Ok(line) => line,
            Err(why) => {
                self.end(number, why);
                return self.pause(&mut rng);
            }
        };
        self.record(ClientRecord::Subscribed { connection: number });
        let mut visit = Visit {
            client: self,
            line,
            number,
            rng,
            open: VecDeque::new(),
            dry: false,
        };
        let end = visit.stay().await;
        let Visit {
            client,
            line,
            mut rng,
            open,
            ..
        } = visit;
        drop(line);
        client.remember(open);
        client.leave(number, &end);
        match &end {
            End::Nonsense => client.talk_nonsense(&mut rng).await,
            End::Fault(fault) if fault.is_superseded() => {
                return drawn(&mut rng, PAUSE_SUPERSEDED, PAUSE_SUPERSEDED * 2);
            }
            End::Fault(_) | End::OutOfPatience | End::Dropped => {}
        }
        client.pause(&mut rng)
    }

    /// A filter or none is the same here, and not the same for canald, which stores the one and not the other.
    async fn open(&mut self, rng: &mut Rng) -> Result<Connection<N, C>, String> {
        let destination = Destination::new(DESTINATION);
        let mut config = ClientConfig::new(destination, ClientId(self.plan.id));
        if rng.below(2) == 0 {
            config.filter = FILTER.into();
        }
        config.reply_timeout = REPLY_TIMEOUT;
        let host = Host::Canald.to_string();
        let opening = Connection::open(&self.net, &self.clock, (&host, CANALD_PORT), config);
        let limit = self.clock.sleep_until(self.clock.now() + PATIENCE);
        tokio::select! {
            biased;
            opened = opening => opened.map_err(|fault| match fault {
                OpenFault::Dial(fault) => fault.to_string(),
                OpenFault::Client(fault) => fault.to_string(),
            }),
            () = limit => Err("no connection in time".into()),
        }
    }

    /// Journals how a connection ended.
    fn leave(&self, connection: u32, end: &End) {
        match end {
            End::Fault(ClientFault::Refused { message, .. }) => {
                self.record(ClientRecord::Refused {
                    connection,
                    why: message.clone(),
                });
            }
            End::Fault(fault) => self.end(connection, fault.to_string()),
            End::OutOfPatience => self.end(connection, "nothing moved".into()),
            End::Dropped => self.end(connection, "the client dropped it".into()),
            End::Nonsense => self.end(connection, "the client has nonsense to say".into()),
        }
    }

    fn end(&self, connection: u32, why: String) {
        self.record(ClientRecord::Ended { connection, why });
    }

    fn record(&self, record: ClientRecord) {
        self.journal.record(Record::Client(self.place, record));
    }

    /// A connection of its own on which nothing makes sense.
    async fn talk_nonsense(&mut self, rng: &mut Rng) {
        let number = self.orders.next_connection();
        let limit = self.clock.sleep_until(self.clock.now() + PATIENCE);
        let why = tokio::select! {
            biased;
            why = rude::talk_nonsense(&self.net, rng) => why,
            () = limit => "canald bore nonsense without a word".into(),
        };
        self.end(number, why);
    }

    fn remember(&mut self, gone: impl IntoIterator<Item = BatchId>) {
        self.remembered.extend(gone);
        let excess = self.remembered.len().saturating_sub(REMEMBERED_MAX);
        self.remembered.drain(..excess);
    }

    fn temper(&self) -> Temper {
        if self.told.borrow().behave {
            Temper::Good
        } else {
            self.plan.temper
        }
    }

    fn pause(&mut self, rng: &mut Rng) -> Duration {
        let doublings = self.failures.min(PAUSE_MAX.as_millis().ilog2());
        self.failures += 1;
        let longest = (PAUSE * (1 << doublings)).min(PAUSE_MAX);
        drawn(rng, longest / 2, longest)
    }

    /// Sleeps, or less if something is ordered.
    async fn sleep(&mut self, pause: Duration) {
        let until = self.clock.now() + pause;
        tokio::select! {
            biased;
            _ = self.told.changed() => {}
            () = self.clock.sleep_until(until) => {}
        }
    }
}

/// A duration from `least` to below `most`.
fn drawn(rng: &mut Rng, least: Duration, most: Duration) -> Duration {
    let span = u64::try_from((most - least).as_nanos()).unwrap_or(u64::MAX);
    least + Duration::from_nanos(rng.below(span.max(1)))
}

/// A connection, subscribed.
struct Visit<'a, N: Net, C> {
    client: &'a mut Client<N, C>,
    line: Connection<N, C>,
    number: u32,
    rng: Rng,
    /// Batches that are open, oldest first.
    open: VecDeque<BatchId>,
    /// Whether the last get found nothing.
    dry: bool,
}

impl<N: Net, C: Clock> Visit<'_, N, C> {
    /// Does one thing after another until the connection is of no more use.
    async fn stay(&mut self) -> End {
        loop {
            if let Err(end) = self.turn().await {
                return end;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), End> {
        let ordered = self.client.told.borrow_and_update().rollbacks;
        if self.client.obeyed < ordered {
            self.client.obeyed = ordered;
            return self.roll_back(None).await;
        }
        let temper = self.client.temper();
        match habits::next(temper, &mut self.rng, self.open.len(), self.dry) {
            Move::Get => self.get(self.client.plan.batch).await,
            Move::GetOddly { size } => self.get(size).await,
            Move::Ack => {
                let thinks = habits::thinks(temper, &mut self.rng);
                self.client.sleep(thinks).await;
                match self.open.pop_front() {
                    Some(batch) => self.ack(batch).await,
                    None => Ok(()),
                }
            }
            Move::AckWrongly(which) => {
                let batch = self.wrong(which);
                self.record(ClientRecord::AckedWrongly {
                    connection: self.number,
                    batch: batch.0,
                });
                self.patiently(Ask::Ack(batch)).await
            }
            Move::TakeBackAll => self.roll_back(None).await,
            Move::TakeBack { nth } => self.roll_back(self.open.get(nth).copied()).await,
            Move::TakeBackUnknown => {
                let batch = self.wrong(habits::Wrong::NotYet);
                self.roll_back(Some(batch)).await
            }
            Move::Drop => Err(End::Dropped),
            Move::TalkNonsense => Err(End::Nonsense),
        }
    }

    async fn get(&mut self, size: u32) -> Result<(), End> {
        let connection = self.number;
        // While batches are open there is something better to do than to wait.
        let wait = if self.open.is_empty() {
            Wait::AtMost(GET_WAIT)
        } else {
            Wait::No
        };
        let limit = self.client.clock.now() + GET_WAIT + REPLY_TIMEOUT + PATIENCE;
        let got = tokio::select! {
            biased;
            got = self.line.get(size, wait) => got?,
            () = self.client.clock.sleep_until(limit) => return Err(End::OutOfPatience),
        };
        self.client.failures = 0;
        self.dry = got.is_none();
        let Some(Message { id, entries }) = got else {
            self.record(ClientRecord::Nothing { connection });
            return Ok(());
        };
        let entries = entries.into_iter().map(|bytes| match Entry::read(bytes) {
            Ok(entry) => entry,
            Err(error) => panic!("batch {id} holds bytes that are no entry: {error}"),
        });
        self.record(ClientRecord::Got {
            connection,
            batch: id.0,
            entries: Arc::new(entries.collect()),
        });
        self.client.newest = self.client.newest.max(id.0);
        self.open.push_back(id);
        Ok(())
    }

    async fn ack(&mut self, batch: BatchId) -> Result<(), End> {
        self.record(ClientRecord::Acked {
            connection: self.number,
            batch: batch.0,
        });
        self.client.remember([batch]);
        self.patiently(Ask::Ack(batch)).await
    }

    async fn roll_back(&mut self, from: Option<BatchId>) -> Result<(), End> {
        self.record(ClientRecord::RolledBack {
            connection: self.number,
            from: from.map(|batch| batch.0),
        });
        let kept = match from {
            None => 0,
            Some(batch) => {
                let place = self.open.iter().position(|open| *open == batch);
                place.unwrap_or(self.open.len())
            }
        };
        let gone: Vec<_> = self.open.drain(kept..).collect();
        self.client.remember(gone);
        self.dry = false;
        self.patiently(Ask::Rollback(from)).await
    }

    async fn patiently(&mut self, ask: Ask) -> Result<(), End> {
        let limit = self.client.clock.now() + PATIENCE;
        let line = &mut self.line;
        let asking = async {
            match ask {
                Ask::Ack(batch) => line.ack(batch).await,
                Ask::Rollback(batch) => line.rollback(batch).await,
            }
        };
        tokio::select! {
            biased;
            asked = asking => Ok(asked?),
            () = self.client.clock.sleep_until(limit) => Err(End::OutOfPatience),
        }
    }

    /// A batch that must not be acknowledged now.
    fn wrong(&mut self, which: habits::Wrong) -> BatchId {
        let not_yet = BatchId(self.client.newest + 1 + self.rng.below(1 << 40) as i64);
        match which {
            habits::Wrong::NotSmallest => self.open.back().copied().unwrap_or(not_yet),
            habits::Wrong::Gone if !self.client.remembered.is_empty() => {
                let nth = self.rng.below(self.client.remembered.len() as u64) as usize;
                self.client.remembered[nth]
            }
            habits::Wrong::Gone | habits::Wrong::NotYet => not_yet,
            habits::Wrong::Impossible => BatchId(-2 - self.rng.below(1 << 20) as i64),
            habits::Wrong::Zero => BatchId(0),
        }
    }

    fn record(&self, record: ClientRecord) {
        self.client.record(record);
    }
}

/// What is sent without an answer.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Ack(BatchId),
    Rollback(Option<BatchId>),
}

#[cfg(test)]
mod tests;
