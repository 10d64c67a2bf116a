//! Clients of every temper against a small server that keeps the rules of canal, judged by the oracles.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use canald::net::DialFault;
use canald::tls::{TlsFault, TlsPlan};
use canald_core::request::SUPERSEDED;
use canald_core::session::frame;
use canald_core::session::packet::{
    Ack, ClientAck, ClientRollback, Get, Handshake, Messages, NO_BATCH, Packet, PacketType,
    VERSION, server_frame,
};
use canald_core::time::{Instant, WallMillis};
use madsim::runtime::Runtime;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;
use crate::journal::Violation;
use crate::oracle;
use crate::oracle::testing::{commit, entries, inserts, options, safe};

/// Transactions of the history.
const TRANSACTIONS: u64 = 60;

/// How long a get waits at the server.
const SERVER_WAIT: Duration = Duration::from_millis(40);

/// How long a run may take, in its own time.
const RUN: Duration = Duration::from_secs(600);

/// What the server does for a packet.
enum Done {
    Answer(Bytes),
    Silence,
    NothingToGet,
    Close,
}

/// One client id's place at the server.
#[derive(Debug, Default)]
struct Place {
    next: usize,
    open: VecDeque<(i64, usize, usize)>,
    counter: i64,
    holder: u32,
}

/// A server that keeps canal's rules and forgets nothing.
#[derive(Debug, Default)]
struct Server {
    entries: Vec<Bytes>,
    places: BTreeMap<String, Place>,
    sessions: u32,
}

fn refusal(text: &str) -> Done {
    let ack = Ack {
        error_code: Some(400),
        error_message: text.into(),
    };
    Done::Answer(server_frame(PacketType::Ack, &ack))
}

impl Server {
    fn handle(&mut self, session: u32, packet: Packet) -> Done {
        let done = || Done::Answer(server_frame(PacketType::Ack, &Ack::default()));
        let body = packet.body;
        match PacketType::from_number(packet.kind) {
            Some(PacketType::ClientAuthentication | PacketType::Unsubscription) => done(),
            Some(PacketType::Subscription) => {
                let sub = canald_core::session::packet::Sub::decode(body).unwrap();
                let place = self.places.entry(sub.client_id).or_default();
                if place.holder > session {
                    return Done::Close;
                }
                place.holder = session;
                done()
            }
            Some(PacketType::Get) => {
                let get = Get::decode(body).unwrap();
                let Some(place) = self.places.get_mut(&get.client_id) else {
                    return refusal("should subscribe first");
                };
                if place.holder != session {
                    return refusal(SUPERSEDED);
                }
                let size = usize::try_from(get.fetch_size).unwrap().max(1);
                place.get(size, &self.entries)
            }
            Some(PacketType::ClientAck) => {
                let ack = ClientAck::decode(body).unwrap();
                let place = self.places.get_mut(&ack.client_id).unwrap();
                match place.open.front() {
                    _ if place.holder != session => refusal(SUPERSEDED),
                    Some((id, ..)) if *id == ack.batch_id => {
                        place.open.pop_front();
                        Done::Silence
                    }
                    Some(_) | None => refusal("batchId is not exist"),
                }
            }
            Some(PacketType::ClientRollback) => {
                let rollback = ClientRollback::decode(body).unwrap();
                let place = self.places.get_mut(&rollback.client_id).unwrap();
                if place.holder == session {
                    place.roll_back(rollback.batch_id)
                } else {
                    refusal(SUPERSEDED)
                }
            }
            _ => Done::Close,
        }
    }
}

impl Place {
    fn get(&mut self, size: usize, entries: &[Bytes]) -> Done {
        let to = entries.len().min(self.next.saturating_add(size));
        if to == self.next {
            return Done::NothingToGet;
        }
        self.counter += 1;
        let id = (1 << 32) | self.counter;
        self.open.push_back((id, self.next, to));
        let messages = entries[self.next..to].to_vec();
        self.next = to;
        let batch = Messages {
            batch_id: id,
            messages,
        };
        Done::Answer(server_frame(PacketType::Messages, &batch))
    }

    fn roll_back(&mut self, batch: i64) -> Done {
        let nth = self.open.iter().position(|(id, ..)| *id == batch);
        let nth = match (batch, nth) {
            (0, _) => 0,
            (_, Some(nth)) => nth,
            (_, None) => return refusal("batchId is not exist"),
        };
        if let Some((_, from, _)) = self.open.drain(nth..).next() {
            self.next = from;
        }
        Done::Silence
    }
}

/// A network of pipes to the server.
#[derive(Clone, Debug)]
struct Pipes(Arc<Mutex<Server>>);

impl Net for Pipes {
    type Stream = DuplexStream;
    type Listener = ();

    async fn dial(&self, host: &str, port: u16) -> Result<DuplexStream, DialFault> {
        assert_eq!((host, port), ("canald", CANALD_PORT));
        let (here, there) = tokio::io::duplex(64 << 10);
        tokio::spawn(serve(self.0.clone(), there));
        Ok(here)
    }

    async fn resolve(&self, _: &str) -> Vec<std::net::IpAddr> {
        Vec::new()
    }

    async fn secure(&self, stream: DuplexStream, _: &TlsPlan) -> Result<DuplexStream, TlsFault> {
        Ok(stream)
    }

    async fn listen(&self, _: SocketAddr) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn local_addr(&self, (): &()) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn accept(&self, (): &mut ()) -> io::Result<(DuplexStream, SocketAddr)> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

async fn serve(server: Arc<Mutex<Server>>, mut stream: DuplexStream) {
    let session = {
        let mut server = server.lock().unwrap();
        server.sessions += 1;
        server.sessions
    };
    let packet = Packet {
        version: Some(VERSION),
        kind: PacketType::Handshake as i32,
        body: Handshake {
            communication_encoding: None,
            seeds: Bytes::from_static(&[7; 8]),
        }
        .encode_to_vec()
        .into(),
        ..Packet::default()
    };
    let body = packet.encode_to_vec();
    let mut hello = frame::header(body.len()).to_vec();
    hello.extend(body);
    if stream.write_all(&hello).await.is_err() {
        return;
    }
    let mut inbound = BytesMut::new();
    loop {
        while let Ok(Some(bytes)) = frame::take(&mut inbound, frame::FRAME_BYTES_MAX) {
            let Ok(packet) = Packet::decode(bytes) else {
                return;
            };
            let done = server.lock().unwrap().handle(session, packet);
            let answer = match done {
                Done::Answer(answer) => answer,
                Done::Silence => continue,
                Done::Close => return,
                Done::NothingToGet => {
                    tokio::time::sleep(SERVER_WAIT).await;
                    let none = Messages {
                        batch_id: NO_BATCH,
                        messages: Vec::new(),
                    };
                    server_frame(PacketType::Messages, &none)
                }
            };
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
        match stream.read_buf(&mut inbound).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// The simulator's own time.
#[derive(Clone, Copy, Debug)]
struct SimClock(madsim::time::Instant);

impl Clock for SimClock {
    fn now(&self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }

    fn wall(&self) -> WallMillis {
        WallMillis(1_700_000_000_000)
    }
}

/// What a run left behind.
struct Run {
    violation: Option<(Duration, Violation)>,
    missing: Vec<String>,
    digest: (u64, u64),
    records: Vec<(u8, ClientRecord)>,
}

/// Clients of these ids and tempers until all is acknowledged, told so by `order` after two seconds.
fn run(seed: u64, clients: &[(i16, Temper)], order: fn(&Orders)) -> Run {
    let ids: Vec<i16> = clients.iter().map(|(id, _)| *id).collect();
    let options = options(&ids);
    let plans: Vec<ClientPlan> = clients
        .iter()
        .map(|(id, temper)| ClientPlan {
            id: *id,
            batch: 3,
            temper: *temper,
        })
        .collect();
    let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
    runtime.block_on(async move {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let watched = seen.clone();
        let watcher = Box::new(move |_: Duration, record: &Record| {
            if let Record::Client(place, record) = record {
                watched.lock().unwrap().push((*place, record.clone()));
            }
        });
        let journal = Journal::new(oracle::all(&options), vec![watcher]);
        let history: Vec<_> = (0..TRANSACTIONS).map(|n| inserts(n, n % 4 + 1)).collect();
        history.iter().for_each(|c| journal.record(commit(c)));
        journal.record(safe(&[]));
        let all = history.iter().flat_map(|c| entries(c));
        let server = Server {
            entries: all.map(|entry| entry.encode_to_vec().into()).collect(),
            ..Server::default()
        };
        let net = Pipes(Arc::new(Mutex::new(server)));
        let clock = SimClock(madsim::time::Instant::now());
        for (place, plan) in plans.into_iter().enumerate() {
            let orders = Orders::new();
            let client = run_client(
                net.clone(),
                clock,
                place as u8,
                plan,
                seed,
                journal.clone(),
                orders.clone(),
            );
            tokio::spawn(client);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(2)).await;
                order(&orders);
            });
        }
        while journal.elapsed() < RUN && !journal.missing().is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let records = seen.lock().unwrap().clone();
        Run {
            violation: journal.violation(),
            missing: journal.missing(),
            digest: journal.digest(),
            records,
        }
    })
}

fn assert_good(run: &Run, what: &str) {
    assert_eq!(run.violation, None, "{what}");
    assert_eq!(run.missing, Vec::<String>::new(), "{what}");
}

const TEMPERS: [Temper; 5] = [
    Temper::Good,
    Temper::Ahead,
    Temper::Slow,
    Temper::Forgetful,
    Temper::Rude,
];

#[test]
fn a_client_of_any_temper_gets_everything_and_breaks_no_rule() {
    for temper in TEMPERS {
        for seed in 0..8 {
            let run = run(seed, &[(1, temper)], |_| {});
            assert_good(&run, &format!("{temper:?}, seed {seed}"));
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for temper in TEMPERS {
        let first = run(5, &[(1, temper), (2, Temper::Good)], |_| {});
        let second = run(5, &[(1, temper), (2, Temper::Good)], |_| {});
        assert_eq!(first.digest, second.digest, "{temper:?}");
    }
}

#[test]
fn two_clients_of_one_id_finish_though_they_take_the_place_from_each_other() {
    for seed in 0..8 {
        let clients = [(1, Temper::Ahead), (1, Temper::Forgetful)];
        let run = run(seed, &clients, Orders::behave);
        assert_good(&run, &format!("seed {seed}"));
    }
}

#[test]
fn a_rude_client_is_refused_and_says_nonsense() {
    let runs = (0..8).map(|seed| run(seed, &[(1, Temper::Rude)], |_| {}));
    let records: Vec<_> = runs.flat_map(|run| run.records).collect();
    let any = |is: fn(&ClientRecord) -> bool| records.iter().any(|(_, record)| is(record));
    assert!(any(|r| matches!(r, ClientRecord::AckedWrongly { .. })));
    assert!(any(|r| matches!(r, ClientRecord::Refused { .. })));
    assert!(any(
        |r| matches!(r, ClientRecord::Ended { why, .. } if why.contains("canald closed on nonsense"))
    ));
}

#[test]
fn an_order_to_take_back_is_obeyed_once_and_a_good_client_never_does_so_by_itself() {
    let rollbacks = |run: &Run| {
        let taken = |record: &&(u8, ClientRecord)| {
            matches!(record.1, ClientRecord::RolledBack { from: None, .. })
        };
        run.records.iter().filter(taken).count()
    };
    let slow = [(1, Temper::Slow)];
    assert_eq!(rollbacks(&run(1, &slow, |_| {})), 0);
    let ordered = run(1, &slow, Orders::roll_back);
    assert_eq!(rollbacks(&ordered), 1);
    assert_good(&ordered, "a rollback");
}

#[test]
fn connections_are_counted_over_the_lives_of_a_client() {
    let orders = Orders::new();
    assert_eq!(orders.next_connection(), 0);
    let other = orders.clone();
    assert_eq!((other.next_connection(), orders.next_connection()), (1, 2));
}
