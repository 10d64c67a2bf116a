//! Two canalds, one ZooKeeper, one source, and everything that takes a destination from one to the other, under
//! load: nothing is lost, order is kept, what is acknowledged long enough ago does not come again, and a server
//! that does not own the destination gives out nothing.
//!
//! Every row holds the next number of one sequence, so what a client sees tells what it missed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use canald_tests::harness::canald::{Canald, DESTINATION, Plan};
use canald_tests::harness::server::{Kind, Server};
use canald_tests::harness::stock::{Drive, Mode, Stock};
use canald_tests::harness::wire::Connection;
use canald_tests::harness::zookeeper;
use canald_tests::harness::{Scratch, say};

const CLIENT_ID: &str = "1001";
/// The shortest that ZooKeeper is asked for; with its tick in tests, 0.5 s, it could grant half of it.
const SESSION_TIMEOUT: Duration = Duration::from_secs(2);
const RUNNING: &str = "/otter/canal/destinations/example/running";
/// Rounds of each fault.
const ROUNDS: u32 = 3;
/// Rows of a transaction of the load.
const ROWS: u64 = 5;
const FETCH_SIZE: i32 = 16;
const GET_WAIT: Duration = Duration::from_millis(200);
/// Whatever takes longer never comes.
const DEADLINE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(20);
/// Rows that must be read between two faults.
const STEADY: u64 = 100;

/// What takes the destination from its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// `kill -9`
    Killed,
    /// Paused for longer than its session lives.
    Paused,
    /// Told to stop.
    Stopped,
    /// RUN is deleted by hand.
    Deleted,
}

struct Cluster {
    zookeeper: zookeeper::Server,
    source: Arc<Server>,
    scratch: Scratch,
    servers: Vec<(Plan, Option<Canald>)>,
}

impl Cluster {
    fn start() -> Result<Option<Self>> {
        let Some(zookeeper) = zookeeper::Server::with(&[])? else {
            return Ok(None);
        };
        let Some(source) = Server::start(Kind::MariaDb1011, &[])? else {
            return Ok(None);
        };
        let mut cluster = Self {
            zookeeper,
            source: Arc::new(source),
            scratch: Scratch::new()?,
            servers: Vec::new(),
        };
        for name in ["a", "b"] {
            let plan = cluster.plan(name)?;
            let canald = Canald::serve(&plan)?;
            cluster.servers.push((plan, Some(canald)));
        }
        Ok(Some(cluster))
    }

    fn plan(&self, name: &str) -> Result<Plan> {
        let source = self.source.source("canal", "canal")?;
        let plan = Plan::new(source, &self.scratch.path().join(name)).on_one_port()?;
        let millis = SESSION_TIMEOUT.as_millis().to_string();
        Ok(plan
            .key("canal.zkServers", self.zookeeper.address()?)
            .key("canald.zookeeper.session.timeout.ms", &millis))
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|(plan, _)| plan.listen).collect()
    }

    fn server(&self, address: SocketAddr) -> Result<usize> {
        let mut servers = self.servers.iter();
        servers
            .position(|(plan, _)| plan.listen == address)
            .context("no server of ours")
    }

    /// Does to the owner what `fault` says; whether it must be brought back.
    fn suffer(&mut self, fault: Fault, owner: SocketAddr) -> Result<()> {
        let nth = self.server(owner)?;
        match fault {
            Fault::Killed => self.servers[nth].1.take().context("it is gone")?.kill(),
            Fault::Stopped => self.servers[nth].1.take().context("it is gone")?.stop(),
            Fault::Paused => self.canald(nth)?.pause(),
            Fault::Deleted => self.zookeeper.run(&["delete", RUNNING]),
        }
    }

    fn canald(&self, nth: usize) -> Result<&Canald> {
        self.servers[nth].1.as_ref().context("it is gone")
    }

    /// Brings back who suffered.
    fn mend(&mut self, fault: Fault, owner: SocketAddr) -> Result<()> {
        let nth = self.server(owner)?;
        match fault {
            Fault::Killed | Fault::Stopped => {
                let canald = Canald::serve(&self.servers[nth].0)?;
                self.servers[nth].1 = Some(canald);
                Ok(())
            }
            Fault::Paused => self.canald(nth)?.resume(),
            Fault::Deleted => Ok(()),
        }
    }
}

/// Commits the sequence until it is told to end.
fn load(source: Arc<Server>, end: Arc<AtomicBool>) -> JoinHandle<Result<u64>> {
    thread::spawn(move || {
        use std::io::Write as _;
        let mut client = source.client()?;
        let mut input = client.stdin.take().context("the client has no input")?;
        let mut last = 0;
        while !end.load(Ordering::Relaxed) {
            let rows: Vec<String> = (1..=ROWS).map(|n| format!("({})", last + n)).collect();
            writeln!(
                input,
                "INSERT INTO cluster_test.stream VALUES {};",
                rows.join(",")
            )?;
            last += ROWS;
            thread::sleep(Duration::from_millis(2));
        }
        drop(input);
        let output = client.wait_with_output()?;
        ensure!(
            output.status.success(),
            "the writer: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(last)
    })
}

/// A client that goes wherever the destination is, and checks every row.
struct Reader {
    client: &'static str,
    addresses: Vec<SocketAddr>,
    at: Option<(SocketAddr, Connection)>,
    /// All up to it is acknowledged.
    acked: u64,
    /// The last row seen on this connection.
    seen: Option<u64>,
    repeated: u64,
    moves: u32,
}

impl Reader {
    fn new(addresses: Vec<SocketAddr>) -> Self {
        Self {
            client: CLIENT_ID,
            addresses,
            at: None,
            acked: 0,
            seen: None,
            repeated: 0,
            moves: 0,
        }
    }

    fn find(&mut self) -> Result<()> {
        let since = Instant::now();
        loop {
            for address in &self.addresses {
                if let Ok(connection) = Connection::subscribed(*address, DESTINATION, self.client) {
                    self.at = Some((*address, connection));
                    self.seen = None;
                    self.moves += 1;
                    return Ok(());
                }
            }
            ensure!(since.elapsed() < DEADLINE, "no server owns the destination");
            thread::sleep(RETRY);
        }
    }

    /// Reads until row `until` is acknowledged, wherever that is.
    fn read(&mut self, until: u64) -> Result<()> {
        let since = Instant::now();
        while self.acked < until {
            ensure!(
                since.elapsed() < DEADLINE,
                "row {until} does not come: {} is the last",
                self.acked
            );
            if self.at.is_none() {
                self.find()?;
            }
            let (_, connection) = self.at.as_mut().context("it was found")?;
            // Whatever goes wrong with a connection, the destination is sought anew.
            match connection.get(FETCH_SIZE, GET_WAIT) {
                Ok(Ok(batch)) if batch.is_empty() => {}
                Ok(Ok(batch)) => {
                    let rows: Vec<u64> = batch
                        .changes
                        .iter()
                        .filter(|change| change.table == "stream")
                        .filter_map(|change| change.after.get("n")?.as_deref()?.parse().ok())
                        .collect();
                    let acked = connection.ack(batch.id).is_ok();
                    self.check(&rows)?;
                    if acked {
                        self.acked = self.acked.max(rows.last().copied().unwrap_or(0));
                    }
                }
                Ok(Err(_)) | Err(_) => self.at = None,
            }
        }
        Ok(())
    }

    fn check(&mut self, rows: &[u64]) -> Result<()> {
        for row in rows {
            match self.seen {
                Some(seen) => ensure!(*row == seen + 1, "row {row} came after row {seen}"),
                None => ensure!(
                    *row <= self.acked + 1,
                    "row {row} came first on a connection, and {} was the last acknowledged",
                    self.acked
                ),
            }
            self.repeated += u64::from(*row <= self.acked);
            self.seen = Some(*row);
        }
        Ok(())
    }

    fn owner(&self) -> Result<SocketAddr> {
        let at = self.at.as_ref().map(|(address, _)| *address);
        at.ok_or_else(|| anyhow!("no server owns the destination"))
    }
}

/// A server that woke up, or never knew, gives out nothing while another owns the destination.
fn gives_nothing(connection: &mut Connection) -> Result<()> {
    match connection.get(FETCH_SIZE, GET_WAIT) {
        Ok(Ok(batch)) if !batch.is_empty() => bail!("two servers served: {} rows", batch.entries),
        Ok(Ok(_) | Err(_)) | Err(_) => Ok(()),
    }
}

fn rounds(fault: Fault) -> Result<()> {
    let Some(mut cluster) = Cluster::start()? else {
        return Ok(());
    };
    cluster.source.sql(
        "CREATE DATABASE cluster_test; CREATE TABLE cluster_test.stream (n BIGINT PRIMARY KEY)",
    )?;
    let end = Arc::new(AtomicBool::new(false));
    let mut reader = Reader::new(cluster.addresses());
    reader.find()?;
    let writer = load(Arc::clone(&cluster.source), Arc::clone(&end));
    let mut takeovers = Vec::new();
    for _ in 0..ROUNDS {
        reader.read(reader.acked + STEADY)?;
        let owner = reader.owner()?;
        let since = Instant::now();
        cluster.suffer(fault, owner)?;
        let mut former = (fault == Fault::Paused).then(|| reader.at.take()).flatten();
        if former.is_some() {
            // A paused server takes connections, and answers nothing.
            reader.addresses.retain(|address| *address != owner);
        }
        reader.read(reader.acked + STEADY)?;
        takeovers.push(since.elapsed());
        cluster.mend(fault, owner)?;
        reader.addresses = cluster.addresses();
        if let Some((_, connection)) = &mut former {
            gives_nothing(connection)?;
        }
        reader.read(reader.acked + STEADY)?;
    }
    end.store(true, Ordering::Relaxed);
    let last = writer
        .join()
        .map_err(|_| anyhow!("the writer panicked"))??;
    reader.read(last)?;
    takeovers.sort();
    say(&format!(
        "{fault:?} {ROUNDS} times: {last} rows, none lost, {} given again, {} connections; {STEADY} rows \
         after {takeovers:.1?} (sessions of {SESSION_TIMEOUT:?})",
        reader.repeated, reader.moves
    ));
    Ok(())
}

/// The stock client of a cluster finds the owner, and its successor when it is killed.
#[test]
fn a_stock_client_of_java_clusters_follows_the_owner() -> Result<()> {
    const LAST: &str = "cluster_test.last";
    if !Stock::Java.available()? {
        return Ok(());
    }
    let Some(mut cluster) = Cluster::start()? else {
        return Ok(());
    };
    cluster.source.sql(
        "CREATE DATABASE cluster_test; CREATE TABLE cluster_test.stream (n BIGINT PRIMARY KEY); \
         CREATE TABLE cluster_test.last (n BIGINT PRIMARY KEY)",
    )?;
    let zookeeper = cluster.zookeeper.address()?.to_owned();
    let addresses = cluster.addresses();
    let drive = Drive {
        server: addresses[0],
        zookeeper: Some(&zookeeper),
        destination: DESTINATION,
        batch: 16,
        mode: Mode::Ack,
        until: LAST,
        idle_ms: u32::try_from(DEADLINE.as_millis())?,
    };
    let end = Arc::new(AtomicBool::new(false));
    let (changes, last) = thread::scope(|scope| {
        let client = scope.spawn(|| Stock::Java.drive(&drive));
        let writer = load(Arc::clone(&cluster.source), Arc::clone(&end));
        // The client is known to the owner before that is killed: another reader sees what it is given.
        let mut reader = Reader::new(addresses.clone());
        reader.client = "1002";
        reader.read(STEADY)?;
        for _ in 0..ROUNDS {
            let owner = reader.owner()?;
            cluster.suffer(Fault::Killed, owner)?;
            reader.read(reader.acked + STEADY)?;
            cluster.mend(Fault::Killed, owner)?;
        }
        end.store(true, Ordering::Relaxed);
        let last = writer
            .join()
            .map_err(|_| anyhow!("the writer panicked"))??;
        cluster
            .source
            .sql("INSERT INTO cluster_test.last VALUES (1)")?;
        let changes = client
            .join()
            .map_err(|_| anyhow!("the client panicked"))??;
        Ok::<_, anyhow::Error>((changes, last))
    })?;
    let rows = changes.iter().filter(|change| change.table == "stream");
    let rows = rows.filter_map(|change| change.after.get("n")?.as_deref()?.parse::<u64>().ok());
    let (mut next, mut repeated) = (1, 0);
    for row in rows {
        ensure!(row <= next, "row {row} came, and {next} had not");
        repeated += u64::from(row < next);
        next = next.max(row + 1);
    }
    ensure!(
        next == last + 1,
        "the last row was {}, and {last} were written",
        next - 1
    );
    say(&format!(
        "Java's cluster client over {ROUNDS} kills: {last} rows, none lost, {repeated} again"
    ));
    Ok(())
}

#[test]
fn an_owner_that_is_killed_is_followed_by_the_other() -> Result<()> {
    rounds(Fault::Killed)
}

#[test]
fn an_owner_that_sleeps_too_long_gives_out_nothing_when_it_wakes() -> Result<()> {
    rounds(Fault::Paused)
}

#[test]
fn an_owner_that_is_stopped_hands_over_without_a_pause() -> Result<()> {
    rounds(Fault::Stopped)
}

#[test]
fn an_owner_whose_node_is_deleted_by_hand_goes_on() -> Result<()> {
    rounds(Fault::Deleted)
}
