//! A mixed workload on a real server, through canald, to a stock client: what the client saw,
//! applied, must be what the server holds.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use canald_tests::harness::canald::{Canald, DESTINATION, Plan};
use canald_tests::harness::change::Change;
use canald_tests::harness::mirror::Mirror;
use canald_tests::harness::server::{Kind, Server};
use canald_tests::harness::stock::{Drive, Mode, Stock};
use canald_tests::harness::wire::Connection;
use canald_tests::harness::{Scratch, say, tables, workload};

/// Silence after which a client counts as stuck.
const IDLE_MS: u32 = 60_000;
const BATCH: u32 = 1000;
/// Small enough that batches end inside of transactions.
const SMALL_BATCH: u32 = 7;
/// Makes the log say what a table looks like.
const FULL_METADATA: &str = "--binlog-row-metadata=FULL";
/// The one that stock clients use by default.
const CLIENT_ID: &str = "1001";
/// A temporary reader beside the stock client.
const WATCHER_ID: &str = "32001";
/// Time after which a step counts as lost: many times what all before it takes, on a busy machine too.
const LOST_AFTER: Duration = Duration::from_secs(60);

fn follows(kind: Kind, stock: Stock, mode: Mode, batch: u32, options: &[&str]) -> Result<()> {
    if !stock.available()? {
        return Ok(());
    }
    let Some(server) = Server::start(kind, options)? else {
        return Ok(());
    };
    let scratch = Scratch::new()?;
    let canald = Canald::serve(&Plan::new(server.source("canal", "canal")?, scratch.path()))?;
    let address = canald.address();
    let drive = Drive {
        server: address,
        zookeeper: None,
        destination: DESTINATION,
        batch,
        mode,
        until: workload::END,
        idle_ms: IDLE_MS,
    };
    // The client is known before the first row: nothing is given out before it may come.
    drop(Connection::subscribed(address, DESTINATION, CLIENT_ID)?);
    let at_once = options.contains(&FULL_METADATA);
    let changes = thread::scope(|scope| {
        let workload = scope.spawn(|| run_workload(&server, address, at_once));
        let changes = stock.drive(&drive);
        let workload = workload
            .join()
            .map_err(|_| anyhow!("the workload panicked"))?;
        workload.and(changes)
    });
    let changes = changes.with_context(|| format!("canald said: {}", canald.last_words()))?;
    let mut mirror = Mirror::default();
    for change in &changes {
        mirror.apply(change)?;
    }
    say(&format!(
        "{kind:?} to {stock:?}, {mode:?}, batches of {batch}: {} changes",
        changes.len()
    ));
    ensure!(!changes.is_empty(), "the client saw nothing");
    tables::compare(&server, &mirror)?;
    canald.stop()
}

/// Where the log does not say what a table looks like, a statement that changes one follows only when
/// canald has seen the rows before it: it could not know otherwise what they were.
fn run_workload(server: &Server, address: SocketAddr, at_once: bool) -> Result<()> {
    server
        .sql(&workload::settled(server.kind()))
        .context("settled tables")?;
    if at_once {
        server.sql(&format!("USE shop; {};", workload::evolution().join("; ")))?;
    } else {
        server.sql("CREATE DATABASE pace; CREATE TABLE pace.steps (n INT PRIMARY KEY);")?;
        let mut watcher = Connection::subscribed(address, DESTINATION, WATCHER_ID)?;
        for (n, statement) in workload::evolution().iter().enumerate() {
            server.sql(&format!(
                "USE shop; {statement}; INSERT INTO pace.steps VALUES ({n});"
            ))?;
            await_step(&mut watcher, n).with_context(|| format!("after {statement}"))?;
        }
    }
    server.sql(workload::LAST)?;
    Ok(())
}

fn await_step(watcher: &mut Connection, step: usize) -> Result<()> {
    let step = step.to_string();
    let since = Instant::now();
    while since.elapsed() < LOST_AFTER {
        let batch = match watcher.get(1000, Duration::from_millis(500))? {
            Ok(batch) => batch,
            Err(refused) => bail!("a get was refused: {refused:?}"),
        };
        if batch.is_empty() {
            continue;
        }
        watcher.ack(batch.id)?;
        let is_step = |change: &Change| {
            change.table == "steps" && change.after.get("n") == Some(&Some(step.clone()))
        };
        if batch.changes.iter().any(is_step) {
            return Ok(());
        }
    }
    bail!("step {step} does not come")
}

#[test]
fn mariadb_to_python() -> Result<()> {
    follows(Kind::MariaDb1011, Stock::Python, Mode::Ack, BATCH, &[])
}

#[test]
fn mariadb_to_java() -> Result<()> {
    follows(Kind::MariaDb1011, Stock::Java, Mode::Ack, BATCH, &[])
}

#[test]
fn mysql_to_python() -> Result<()> {
    follows(Kind::MySql97, Stock::Python, Mode::Ack, BATCH, &[])
}

#[test]
fn mysql_to_java() -> Result<()> {
    follows(Kind::MySql97, Stock::Java, Mode::Ack, BATCH, &[])
}

#[test]
fn mysql_56_to_java() -> Result<()> {
    follows(Kind::MySql56, Stock::Java, Mode::Ack, BATCH, &[])
}

#[test]
fn metadata_in_the_log_makes_any_pace_safe() -> Result<()> {
    for kind in [Kind::MySql97, Kind::MariaDb1011] {
        follows(kind, Stock::Java, Mode::Ack, BATCH, &[FULL_METADATA])?;
    }
    Ok(())
}

#[test]
fn batches_that_are_rolled_back_come_again() -> Result<()> {
    follows(
        Kind::MariaDb1011,
        Stock::Java,
        Mode::Rollback,
        SMALL_BATCH,
        &[],
    )?;
    follows(
        Kind::MariaDb1011,
        Stock::Python,
        Mode::Rollback,
        SMALL_BATCH,
        &[],
    )
}
