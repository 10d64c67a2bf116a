use std::collections::BTreeSet;
use std::time::Duration;

use madsim::runtime::Runtime;
use madsim::time::sleep;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::fabric::address;
use super::*;
use crate::host::{CANALD_PORT, SOURCE_PORT};
use crate::journal::{NetworkRecord, Record};
use crate::world::testing::{journal, options};

const A: Host = Host::Canald;
const B: Host = Host::Source;
const WINDOW: usize = 4096;
const ROUND_TRIP: Duration = Duration::from_millis(8);
const LONG: Duration = Duration::from_secs(60);

fn in_simulation<T>(seed: u64, scenario: impl Future<Output = T>) -> T {
    Runtime::with_seed_and_config(seed, madsim::Config::default()).block_on(scenario)
}

struct Rig {
    network: Network,
    listener: SimListener,
    records: Arc<Mutex<Vec<Record>>>,
    journal: Journal,
}

impl Rig {
    async fn new(seed: u64) -> Self {
        let (journal, records) = journal();
        let network = Network::new(seed, &options(), journal.clone());
        let at = SocketAddr::from(([0, 0, 0, 0], SOURCE_PORT));
        let listener = network.host(B).listen(at).await.unwrap();
        Self {
            network,
            listener,
            records,
            journal,
        }
    }

    /// A connection from A to B: the ends of both.
    async fn connected(&mut self) -> (SimStream, SimStream) {
        let a = self
            .network
            .host(A)
            .dial("source", SOURCE_PORT)
            .await
            .unwrap();
        let (b, from) = self
            .network
            .host(B)
            .accept(&mut self.listener)
            .await
            .unwrap();
        assert_eq!(from.ip(), address(A));
        (a, b)
    }

    fn seen(&self, of: impl Fn(&NetworkRecord) -> bool) -> usize {
        let records = self.records.lock().unwrap();
        let is_chosen = |r: &&Record| matches!(r, Record::Network(record) if of(record));
        records.iter().filter(is_chosen).count()
    }
}

fn is_reset<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    result.unwrap_err().kind() == io::ErrorKind::ConnectionReset
}

/// What comes within a while, or nothing.
async fn within<T>(patience: Duration, what: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        out = what => Some(out),
        () = sleep(patience) => None,
    }
}

#[test]
fn a_writer_stops_at_the_window_until_the_reader_reads() {
    in_simulation(1, async {
        let (mut a, mut b) = Rig::new(1).await.connected().await;
        let mut written = 0;
        while let Some(taken) = within(LONG, a.write(&[7; 1000])).await {
            written += taken.unwrap();
        }
        assert_eq!(written, WINDOW);
        let mut half = vec![0; WINDOW / 2];
        b.read_exact(&mut half).await.unwrap();
        let more = within(LONG, a.write_all(&[8; WINDOW / 2])).await;
        more.unwrap().unwrap();
        assert!(within(LONG, a.write(&[9])).await.is_none());
    });
}

#[test]
fn bytes_keep_their_order_and_are_split_anywhere_under_any_seed() {
    let mut sizes = BTreeSet::new();
    for seed in 0..60 {
        in_simulation(seed, async {
            let mut rig = Rig::new(seed).await;
            let (mut a, mut b) = rig.connected().await;
            let sent: Vec<u8> = (0..20_000_u32).map(|n| (n % 251) as u8).collect();
            let text = sent.clone();
            let writer = tokio::spawn(async move {
                for message in text.chunks(300) {
                    a.write_all(message).await.unwrap();
                }
                a.shutdown().await.unwrap();
                let mut answer = String::new();
                a.read_to_string(&mut answer).await.unwrap();
                answer
            });
            let mut got = Vec::new();
            let mut buffer = [0; 1000];
            while let size @ 1.. = b.read(&mut buffer).await.unwrap() {
                sizes.insert(size);
                got.extend_from_slice(&buffer[..size]);
            }
            assert!(got == sent, "seed {seed}");
            b.write_all(b"after the end of the other half")
                .await
                .unwrap();
            drop(b);
            assert_eq!(writer.await.unwrap(), "after the end of the other half");
        });
    }
    assert!(sizes.contains(&1));
    assert!(sizes.iter().any(|size| *size > 300), "messages are glued");
    assert!(sizes.len() > 100, "{sizes:?}");
}

#[test]
fn a_cut_delays_everything_and_loses_nothing() {
    in_simulation(3, async {
        let mut rig = Rig::new(3).await;
        let (mut a, mut b) = rig.connected().await;
        rig.network.cut(A, B);
        a.write_all(b"ping").await.unwrap();
        drop(a);
        let mut got = [0; 4];
        assert!(within(LONG, b.read_exact(&mut got)).await.is_none());
        rig.network.cut(A, B);
        rig.network.heal(A, B);
        let mut rest = Vec::new();
        assert!(
            within(LONG, b.read_to_end(&mut rest)).await.is_none(),
            "one cut is left"
        );
        rig.network.heal(A, B);
        within(ROUND_TRIP, b.read_to_end(&mut rest))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(rest, b"ping");
        assert_eq!(
            rig.seen(|r| matches!(r, NetworkRecord::Ended { reset: false, .. })),
            1
        );
    });
}

#[test]
fn one_way_may_be_cut_alone_and_the_writer_then_hears_of_no_reading() {
    in_simulation(4, async {
        let mut rig = Rig::new(4).await;
        let (mut a, mut b) = rig.connected().await;
        rig.network.cut_one_way(B, A);
        a.write_all(&[1; WINDOW]).await.unwrap();
        let mut got = [0; WINDOW];
        b.read_exact(&mut got).await.unwrap();
        b.write_all(b"pong").await.unwrap();
        let mut pong = [0; 4];
        assert!(within(LONG, a.read_exact(&mut pong)).await.is_none());
        assert!(
            within(LONG, a.write(&[2])).await.is_none(),
            "it cannot know"
        );
        rig.network.heal_one_way(B, A);
        assert_eq!(within(ROUND_TRIP, a.write(&[2])).await.unwrap().unwrap(), 1);
        a.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"pong");
    });
}

#[test]
fn a_dial_into_a_cut_waits_and_times_out() {
    in_simulation(5, async {
        let mut rig = Rig::new(5).await;
        let net = rig.network.host(A);
        rig.network.cut_one_way(B, A);
        let began = Instant::now();
        let fault = net.dial("source", SOURCE_PORT).await.err();
        let timed_out = DialFault::TimedOut {
            place: "source:3306".into(),
            seconds: 5,
        };
        assert_eq!(fault, Some(timed_out));
        assert!((CONNECT_TIMEOUT..CONNECT_TIMEOUT + ROUND_TRIP).contains(&began.elapsed()));
        let late = net.dial("source", SOURCE_PORT);
        let healed = async {
            sleep(CONNECT_TIMEOUT / 2).await;
            rig.network.heal_all();
        };
        let (stream, ()) = tokio::join!(late, healed);
        assert!(stream.is_ok());
        // The first was answered too, and the one who dialed has given up: a reset.
        let (mut first, _) = rig.network.host(B).accept(&mut rig.listener).await.unwrap();
        assert!(is_reset(first.read(&mut [0]).await));
    });
}

#[test]
fn a_dial_where_nobody_listens_is_refused_after_a_round_trip() {
    in_simulation(6, async {
        let rig = Rig::new(6).await;
        let began = Instant::now();
        let fault = rig.network.host(B).dial("canald", CANALD_PORT).await.err();
        assert!(
            matches!(fault, Some(DialFault::Unreachable { .. })),
            "{fault:?}"
        );
        assert!((Duration::from_millis(2)..ROUND_TRIP).contains(&began.elapsed()));
        for name in ["moon", "client-", "client-01", "client-256"] {
            let fault = rig.network.host(B).dial(name, 1).await.err();
            assert!(
                matches!(fault, Some(DialFault::Unresolved { .. })),
                "{fault:?}"
            );
        }
    });
}

#[test]
fn a_port_has_one_listener_and_a_dropped_one_refuses_those_who_wait() {
    in_simulation(7, async {
        let Rig {
            network, listener, ..
        } = Rig::new(7).await;
        let net = network.host(B);
        let taken = net.listen(listener.at).await.err().unwrap();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        let any = net
            .listen(SocketAddr::from(([0, 0, 0, 0], 0)))
            .await
            .unwrap();
        assert_ne!(net.local_addr(&any).unwrap().port(), 0);
        let mut waiting = network.host(A).dial("source", SOURCE_PORT).await.unwrap();
        drop(listener);
        assert!(is_reset(waiting.read(&mut [0]).await));
        net.listen(SocketAddr::from(([0, 0, 0, 0], SOURCE_PORT)))
            .await
            .unwrap();
    });
}

#[test]
fn a_full_backlog_makes_dials_wait() {
    in_simulation(8, async {
        let mut rig = Rig::new(8).await;
        let net = rig.network.host(A);
        let mut waiting = Vec::new();
        for _ in 0..128 {
            waiting.push(net.dial("source", SOURCE_PORT).await.unwrap());
        }
        let one_more = net.dial("source", SOURCE_PORT);
        tokio::pin!(one_more);
        assert!(within(CONNECT_TIMEOUT / 2, &mut one_more).await.is_none());
        rig.network.host(B).accept(&mut rig.listener).await.unwrap();
        assert!(one_more.await.is_ok());
    });
}

#[test]
fn a_reset_reaches_both_ends_and_loses_what_is_on_its_way() {
    in_simulation(9, async {
        let mut rig = Rig::new(9).await;
        let (mut a, mut b) = rig.connected().await;
        a.write_all(b"arrived").await.unwrap();
        sleep(ROUND_TRIP).await;
        a.write_all(b"lost").await.unwrap();
        rig.network.reset(B, A);
        assert!(is_reset(a.read(&mut [0]).await));
        assert!(is_reset(a.write(&[1]).await));
        let mut got = [0; 7];
        b.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"arrived");
        assert!(is_reset(b.read(&mut got).await));
        assert_eq!(
            rig.seen(|r| matches!(r, NetworkRecord::Ended { reset: true, .. })),
            2
        );
        rig.connected().await;
    });
}

#[test]
fn a_half_open_end_hears_nothing_and_then_a_reset() {
    in_simulation(10, async {
        let mut rig = Rig::new(10).await;
        let (mut a, mut b) = rig.connected().await;
        let (mut idle, _forgotten) = rig.connected().await;
        rig.network.half_open(A, B);
        assert!(is_reset(b.read(&mut [0]).await));
        assert!(is_reset(b.write(&[0]).await));
        a.write_all(b"anybody?").await.unwrap();
        assert!(within(LONG, a.read(&mut [0])).await.is_none());
        rig.network.heal(A, B);
        assert!(is_reset(
            within(ROUND_TRIP, a.read(&mut [0])).await.unwrap()
        ));
        assert!(
            within(LONG, idle.read(&mut [0])).await.is_none(),
            "it has asked nothing"
        );
        idle.write_all(b"hm").await.unwrap();
        assert!(is_reset(
            within(ROUND_TRIP, idle.read(&mut [0])).await.unwrap()
        ));
    });
}

#[test]
fn killing_a_host_leaves_its_bytes_and_its_fin_to_the_network() {
    in_simulation(11, async {
        let mut rig = Rig::new(11).await;
        let handle = Handle::current();
        let node = handle.create_node().name("canald").build();
        let net = rig.network.host(A);
        node.spawn(async move {
            let mut stream = net.dial("source", SOURCE_PORT).await.unwrap();
            stream.write_all(b"last words").await.unwrap();
            std::future::pending::<()>().await;
        });
        let (mut b, _) = rig.network.host(B).accept(&mut rig.listener).await.unwrap();
        let mut first = [0; 1];
        b.read_exact(&mut first).await.unwrap();
        rig.network.cut(A, B);
        handle.kill(node.id());
        let mut rest = Vec::new();
        let unheard = within(LONG, b.read_to_end(&mut rest)).await;
        assert!(unheard.is_none(), "the FIN waits behind the cut");
        rig.network.heal(A, B);
        b.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"ast words");
    });
}

#[test]
fn a_paused_host_still_takes_bytes_and_connections() {
    in_simulation(12, async {
        let rig = Rig::new(12).await;
        let handle = Handle::current();
        let node = handle.create_node().name("source").build();
        let (net, mut listener) = (rig.network.host(B), rig.listener);
        node.spawn(async move {
            let (mut stream, _) = net.accept(&mut listener).await.unwrap();
            let mut word = [0; 4];
            stream.read_exact(&mut word).await.unwrap();
            stream.write_all(&word).await.unwrap();
        });
        handle.pause(node.id());
        let mut a = rig
            .network
            .host(A)
            .dial("source", SOURCE_PORT)
            .await
            .unwrap();
        a.write_all(b"echo").await.unwrap();
        let mut echo = [0; 4];
        assert!(within(LONG, a.read_exact(&mut echo)).await.is_none());
        handle.resume(node.id());
        a.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"echo");
    });
}

#[test]
fn what_a_closed_end_did_not_read_is_answered_with_a_reset_behind_its_fin() {
    in_simulation(13, async {
        let mut rig = Rig::new(13).await;
        let (mut a, mut b) = rig.connected().await;
        a.write_all(&[1; WINDOW]).await.unwrap();
        sleep(ROUND_TRIP).await;
        b.write_all(b"no").await.unwrap();
        drop(b);
        let stuck = within(LONG, a.write_all(&[2; WINDOW])).await;
        assert!(is_reset(stuck.unwrap()));
        let mut got = Vec::new();
        a.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"no");
    });
}

#[test]
fn a_host_without_power_is_half_open_for_its_peers() {
    in_simulation(14, async {
        let mut rig = Rig::new(14).await;
        let (mut a, b) = rig.connected().await;
        let waiting = rig
            .network
            .host(A)
            .dial("source", SOURCE_PORT)
            .await
            .unwrap();
        rig.network.power_off(B);
        drop((b, rig.listener));
        a.write_all(b"there?").await.unwrap();
        assert!(within(LONG, a.read(&mut [0])).await.is_none());
        let fault = rig.network.host(A).dial("source", SOURCE_PORT).await.err();
        assert!(
            matches!(fault, Some(DialFault::TimedOut { .. })),
            "{fault:?}"
        );
        rig.network.power_on(B);
        assert!(is_reset(
            within(ROUND_TRIP, a.read(&mut [0])).await.unwrap()
        ));
        drop(waiting);
        let net = rig.network.host(B);
        rig.listener = net
            .listen(SocketAddr::from(([0, 0, 0, 0], SOURCE_PORT)))
            .await
            .unwrap();
        rig.connected().await;
    });
}

#[test]
fn connections_that_nobody_has_are_forgotten() {
    in_simulation(15, async {
        let mut rig = Rig::new(15).await;
        for round in 0..20 {
            let (mut a, b) = rig.connected().await;
            a.write_all(b"x").await.unwrap();
            if round % 2 == 0 {
                drop(a);
                drop(b);
            } else {
                drop(b);
                drop(a);
            }
        }
        assert_eq!(rig.network.lock().connections(), 0);
    });
}

/// Echoes under cuts, resets and half-open links.
async fn storm(seed: u64) -> (u64, u64) {
    let Rig {
        network,
        mut listener,
        journal,
        ..
    } = Rig::new(seed).await;
    let server = network.host(B);
    tokio::spawn(async move {
        loop {
            let (stream, _) = server.accept(&mut listener).await.unwrap();
            tokio::spawn(async move {
                let (mut reader, mut writer) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    let client = network.host(A);
    tokio::spawn(async move {
        loop {
            let Ok(mut stream) = client.dial("source", SOURCE_PORT).await else {
                continue;
            };
            let mut echo = [0; 5000];
            while stream.write_all(&[7; 3000]).await.is_ok() {
                let read = within(Duration::from_secs(2), stream.read_exact(&mut echo[..3000]));
                if !matches!(read.await, Some(Ok(_))) {
                    break;
                }
                sleep(Duration::from_millis(40)).await;
            }
        }
    });
    for round in 0..12 {
        sleep(Duration::from_millis(700)).await;
        match round % 4 {
            0 => network.cut(A, B),
            1 => network.reset(A, B),
            2 => network.half_open(A, B),
            _ => network.heal_all(),
        }
    }
    journal.digest()
}

#[test]
fn two_runs_of_one_seed_give_the_same_journal_and_another_seed_another() {
    let first = in_simulation(16, storm(16));
    assert!(first.0 > 100, "{first:?}");
    assert_eq!(first, in_simulation(16, storm(16)));
    assert_ne!(first, in_simulation(17, storm(17)));
}
