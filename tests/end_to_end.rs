//! A mixed workload on a real server, through canald, to a stock client: what the client saw,
//! applied, must be what the server holds.

use anyhow::{Context as _, Result, ensure};
use canald_tests::harness::canald::{Canald, DESTINATION, Plan};
use canald_tests::harness::mirror::Mirror;
use canald_tests::harness::server::{Kind, Server};
use canald_tests::harness::stock::{Drive, Mode, Stock};
use canald_tests::harness::{Scratch, say, tables, workload};

/// Silence after which a client counts as stuck.
const IDLE_MS: u32 = 20_000;
const BATCH: u32 = 1000;
/// Small enough that batches end inside of transactions.
const SMALL_BATCH: u32 = 7;

fn follows(kind: Kind, stock: Stock, mode: Mode, batch: u32, options: &[&str]) -> Result<()> {
    if !stock.available()? {
        return Ok(());
    }
    let Some(server) = Server::start(kind, options)? else {
        return Ok(());
    };
    let scratch = Scratch::new()?;
    let canald = Canald::serve(&Plan::new(server.source("canal", "canal")?, scratch.path()))?;
    server.sql(&workload::mixed(kind)).context("the workload")?;
    let address = canald.address();
    let drive = Drive {
        server: address,
        destination: DESTINATION,
        batch,
        mode,
        until: workload::END,
        idle_ms: IDLE_MS,
    };
    let changes = stock
        .drive(&drive)
        .with_context(|| format!("canald said: {}", canald.last_words()))?;
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
fn table_names_come_from_full_metadata_too() -> Result<()> {
    follows(
        Kind::MySql97,
        Stock::Java,
        Mode::Ack,
        BATCH,
        &["--binlog-row-metadata=FULL"],
    )?;
    follows(
        Kind::MariaDb1011,
        Stock::Java,
        Mode::Ack,
        BATCH,
        &["--binlog-row-metadata=FULL"],
    )
}

#[test]
fn compressed_transactions_are_followed() -> Result<()> {
    follows(
        Kind::MySql97,
        Stock::Java,
        Mode::Ack,
        BATCH,
        &["--binlog-transaction-compression=ON"],
    )?;
    follows(
        Kind::MariaDb1011,
        Stock::Java,
        Mode::Ack,
        BATCH,
        &["--log-bin-compress=ON"],
    )
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
