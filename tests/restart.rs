//! `kill -9` of canald at random moments under load: nothing is lost, order is kept, and only
//! what was not acknowledged comes again.
//!
//! Every row holds the next number of one sequence, so what a client sees tells what it missed.
//! `CANALD_TEST_SEED=N` repeats the choices of a run; what the machines do meanwhile is their own.

use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use canald_core::rng::{Rng, Seed};
use canald_tests::harness::canald::{Canald, DESTINATION, Plan};
use canald_tests::harness::server::{Kind, Server};
use canald_tests::harness::wire::{Batch, Connection};
use canald_tests::harness::{Scratch, say};

const KILLS: u32 = 10;
const CLIENT_ID: &str = "1001";
/// Rows that the writer may be ahead of the reader: enough to fill batches, while writing goes on.
const AHEAD_MAX: u64 = 3000;
/// Within this time an acknowledgement is durable, on any disk that a test meets.
const DURABLE_WITHIN: Duration = Duration::from_secs(2);
const GET_WAIT: Duration = Duration::from_millis(500);
/// Small, so that many batches end inside of transactions.
const FETCH_SIZE: i32 = 8;
/// Gets in a row without data after which the stream counts as stuck.
const EMPTY_GETS_MAX: u32 = 60;

fn seed() -> Result<Seed> {
    match std::env::var("CANALD_TEST_SEED") {
        Ok(text) => Ok(Seed(text.parse().context("CANALD_TEST_SEED is no number")?)),
        Err(_) => Ok(Seed(u64::from(
            SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos(),
        ))),
    }
}

/// Writes the sequence until it is told to end.
struct Writer {
    read: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

impl Writer {
    fn start(client: Child) -> Self {
        let (read, end) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (their_read, their_end) = (Arc::clone(&read), Arc::clone(&end));
        let thread = thread::spawn(move || write(client, &their_read, &their_end));
        Self { read, end, thread }
    }

    fn has_read(&self, number: u64) {
        self.read.store(number, Ordering::Relaxed);
    }

    /// Ends the sequence and returns its length.
    fn finish(self) -> Result<u64> {
        self.end.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(result) => result,
            Err(_) => bail!("the writer panicked"),
        }
    }
}

fn write(mut client: Child, read: &AtomicU64, end: &AtomicBool) -> Result<u64> {
    let mut input = client.stdin.take().context("the client has no input")?;
    let mut number = 0;
    let mut transaction = 0_u64;
    while !end.load(Ordering::Relaxed) {
        if number > read.load(Ordering::Relaxed) + AHEAD_MAX {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        transaction += 1;
        number = match transaction {
            t if t % 25 == 0 => many_rows(&mut input, number, 60)?,
            t if t % 10 == 0 => many_statements(&mut input, number, 40)?,
            _ => many_rows(&mut input, number, 1)?,
        };
    }
    drop(input);
    let output = client.wait_with_output()?;
    ensure!(
        output.status.success(),
        "the writer: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(number)
}

fn many_rows(input: &mut impl std::io::Write, after: u64, count: u64) -> Result<u64> {
    let rows: Vec<String> = (1..=count)
        .map(|i| format!("({}, REPEAT('x', 80))", after + i))
        .collect();
    writeln!(
        input,
        "INSERT INTO load_test.stream VALUES {};",
        rows.join(", ")
    )?;
    Ok(after + count)
}

fn many_statements(input: &mut impl std::io::Write, after: u64, count: u64) -> Result<u64> {
    writeln!(input, "BEGIN;")?;
    for i in 1..=count {
        many_rows(input, after + i - 1, 1)?;
    }
    writeln!(input, "COMMIT;")?;
    Ok(after + count)
}

/// What the client knows of the sequence.
struct Reader {
    connection: Connection,
    /// The last number seen since the connection began.
    seen: u64,
    /// Batches that were not acknowledged, oldest first, with the last number up to each.
    open: Vec<(i64, u64)>,
    /// Acknowledgements on this connection, each with the last number up to it, oldest first.
    acked: Vec<(u64, Instant)>,
    /// Where the connection began: what came before is acknowledged for good.
    began: u64,
    repeated: u64,
}

impl Reader {
    fn acked_number(&self) -> u64 {
        self.acked.last().map_or(self.began, |(number, _)| *number)
    }

    /// What must not come again: acknowledged, and long enough ago to be durable.
    fn durable_number(&self, at: Instant) -> u64 {
        let durable = |(_, acked): &&(u64, Instant)| at.duration_since(*acked) > DURABLE_WITHIN;
        self.acked
            .iter()
            .rev()
            .find(durable)
            .map_or(self.began, |(number, _)| *number)
    }

    /// The next batch that is not empty.
    fn next(&mut self) -> Result<Batch> {
        for _ in 0..EMPTY_GETS_MAX {
            let batch = match self.connection.get(FETCH_SIZE, GET_WAIT)? {
                Ok(batch) => batch,
                Err(refused) => bail!("a get was refused: {refused:?}"),
            };
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
        bail!("nothing comes after number {}", self.seen)
    }

    /// Takes a batch, whose numbers must follow the last one without a gap.
    fn take(&mut self) -> Result<()> {
        let batch = self.next()?;
        for change in batch
            .changes
            .iter()
            .filter(|change| change.table == "stream" && change.kind == "INSERT")
        {
            let text = change
                .after
                .get("n")
                .and_then(Option::as_deref)
                .context("a row without its number")?;
            let number: u64 = text.parse()?;
            ensure!(number == self.seen + 1, "{number} follows {}", self.seen);
            self.seen = number;
        }
        self.open.push((batch.id, self.seen));
        Ok(())
    }

    fn ack_oldest(&mut self) -> Result<()> {
        if !self.open.is_empty() {
            let (id, number) = self.open.remove(0);
            self.connection.ack(id)?;
            self.acked.push((number, Instant::now()));
        }
        Ok(())
    }

    /// Continues on a new connection, after a kill at a time, with the first batch that comes.
    fn resume(&mut self, connection: Connection, killed: Instant) -> Result<()> {
        self.connection = connection;
        self.connection.rollback(0)?;
        self.open.clear();
        let before = self.seen;
        let durable = self.durable_number(killed);
        let batch = self.next_with_rows()?;
        let first = first_number(&batch)?;
        ensure!(
            first <= self.acked_number() + 1,
            "{first} comes, but acknowledged was {}",
            self.acked_number()
        );
        ensure!(
            first > durable,
            "{first} comes again, but {durable} was acknowledged long before the kill"
        );
        self.repeated += before + 1 - first;
        self.acked.clear();
        self.began = first - 1;
        // It is not acknowledged: rolled back, it must come again, and take() then checks it all.
        self.connection.rollback(0)?;
        self.seen = self.began;
        Ok(())
    }

    /// Batches without rows of the sequence hold the ends of transactions only.
    fn next_with_rows(&mut self) -> Result<Batch> {
        loop {
            let batch = self.next()?;
            if first_number(&batch).is_ok() {
                return Ok(batch);
            }
        }
    }
}

fn first_number(batch: &Batch) -> Result<u64> {
    let text = batch
        .changes
        .iter()
        .find_map(|change| change.after.get("n")?.as_deref());
    Ok(text.context("a batch without rows")?.parse()?)
}

fn connect(canald: &Canald) -> Result<Connection> {
    Connection::subscribed(canald.address(), DESTINATION, CLIENT_ID)
}

/// Reads and acknowledges as a client may: at once, or with some batches open.
fn work(reader: &mut Reader, writer: &Writer, rng: &mut Rng, batches: u64) -> Result<()> {
    for _ in 0..batches {
        reader.take()?;
        writer.has_read(reader.seen);
        let open_max = rng.below(4) as usize;
        while reader.open.len() > open_max {
            reader.ack_oldest()?;
        }
    }
    Ok(())
}

fn survives_kills(kind: Kind) -> Result<()> {
    let Some(server) = Server::start(kind, &[])? else {
        return Ok(());
    };
    let seed = seed()?;
    say(&format!("kill -9 on {kind:?}: CANALD_TEST_SEED={}", seed.0));
    let mut rng = Rng::new(seed);
    let scratch = Scratch::new()?;
    let plan = Plan::new(server.source("canal", "canal")?, scratch.path()).on_one_port()?;
    server.sql("CREATE DATABASE load_test; CREATE TABLE load_test.stream (n BIGINT PRIMARY KEY, filler VARCHAR(100))")?;
    let mut canald = Canald::serve(&plan)?;
    let connection = connect(&canald)?;
    let writer = Writer::start(server.client()?);
    let mut reader = Reader {
        connection,
        seen: 0,
        open: Vec::new(),
        acked: Vec::new(),
        began: 0,
        repeated: 0,
    };
    for kill in 1..=KILLS {
        let batches = 5 + rng.below(60);
        work(&mut reader, &writer, &mut rng, batches)?;
        // Half of the kills find everything acknowledged so long ago that none of it may come again.
        let settled = rng.below(2) == 0;
        if settled {
            thread::sleep(DURABLE_WITHIN + Duration::from_millis(500));
        }
        let killed = Instant::now();
        canald.kill()?;
        let (seen, acked) = (reader.seen, reader.acked_number());
        canald = Canald::serve(&plan)?;
        reader
            .resume(connect(&canald)?, killed)
            .with_context(|| format!("after kill {kill} at number {seen}"))?;
        say(&format!(
            "kill {kill}: seen {seen}, acknowledged {acked}, settled {settled}, resumed at {}",
            reader.seen + 1
        ));
    }
    let length = writer.finish()?;
    while reader.seen < length {
        reader.take()?;
        reader.ack_oldest()?;
    }
    ensure!(
        reader.seen == length,
        "the sequence has {length} numbers, seen were {}",
        reader.seen
    );
    say(&format!(
        "{length} rows, {} of them twice, none lost",
        reader.repeated
    ));
    Ok(())
}

#[test]
fn mariadb_survives_kills() -> Result<()> {
    survives_kills(Kind::MariaDb1011)
}

#[test]
fn mysql_survives_kills() -> Result<()> {
    survives_kills(Kind::MySql97)
}
