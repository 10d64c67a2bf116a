//! Sessions with a real ZooKeeper whose connection is cut, silent or late, and that come to an end: what is
//! heard, what is unknown, and that nothing is carried over.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use canald_core::coordination::{Effect, NodeLife, NodePath, Outcome, Refusal, Signal, Value};
use canald_tests::harness::relay::Relay;
use canald_tests::harness::zookeeper::{Machine, Server, config, unknown};

/// Short, for those that are to end.
const SHORT_SESSION: Duration = Duration::from_secs(2);
const SHORT_CONNECTION: Duration = Duration::from_millis(500);

/// A relay to a server, and how to connect through it.
fn relay(server: &Server) -> Result<(Relay, String)> {
    let relay = Relay::to(server.port()?)?;
    let address = relay.address().to_string();
    Ok((relay, address))
}

fn create(path: &NodePath, life: NodeLife) -> Effect {
    Effect::Create(path.clone(), Bytes::new(), life)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_session_takes_its_nodes_along() -> Result<()> {
    let Some(server) = Server::start()? else {
        return Ok(());
    };
    let (mut a, _) = Machine::connect(server.address()?).await?;
    let (mut b, _) = Machine::connect(server.address()?).await?;
    let path = b.ground().await?.child("running");
    a.create(&path, "", NodeLife::Ephemeral).await?;
    let (ticket, node) = b.watch(&path).await?;
    ensure!(node.is_some(), "the node is there");
    a.close().await?;
    assert_eq!(
        b.read(&path).await?,
        None,
        "it is gone when the close is told"
    );
    b.hears(Signal::Fired(ticket)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_closed_behind_the_last_outcome() -> Result<()> {
    let Some(server) = Server::start()? else {
        return Ok(());
    };
    let (mut a, _) = Machine::connect(server.address()?).await?;
    let (mut b, _) = Machine::connect(server.address()?).await?;
    let path = b.ground().await?.child("last");
    let (_, outcome) = a.ask(create(&path, NodeLife::Persistent));
    drop(a);
    assert_eq!(outcome.await?, Outcome::Done(Value::Done));
    ensure!(b.read(&path).await?.is_some(), "it was made");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_the_timeout_that_the_server_grants() -> Result<()> {
    let Some(server) = Server::start()? else {
        return Ok(());
    };
    let mut config = config(server.address()?)?;
    config.session_timeout *= 2;
    let mut machine = Machine::open(&config);
    let signal = machine.hear().await?;
    let Signal::Connected { timeout, .. } = signal else {
        bail!("{signal:?}")
    };
    assert_eq!(timeout, config.session_timeout / 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_cannot_be_closed_is_left_to_end_by_itself() -> Result<()> {
    let Some(server) = Server::start()? else {
        return Ok(());
    };
    let (relay, address) = relay(&server)?;
    let (mut machine, _) = Machine::connect(&address).await?;
    let (mut other, _) = Machine::connect(server.address()?).await?;
    let path = other.ground().await?.child("running");
    machine.create(&path, "", NodeLife::Ephemeral).await?;
    relay.cut();
    machine.hears(Signal::Disconnected).await?;
    machine.close().await?;
    ensure!(other.read(&path).await?.is_some(), "nobody closed it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_and_a_silent_server_are_passed_over() -> Result<()> {
    let Some(server) = Server::start()? else {
        return Ok(());
    };
    let (silent, silent_address) = relay(&server)?;
    silent.silence();
    // Nobody listens there any more.
    let dead = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let servers = format!("{dead},{silent_address};{}", server.address()?);
    let (mut machine, _) = Machine::connect(&servers).await?;
    machine.done(Effect::Sync).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_in_time_finds_the_same_session() -> Result<()> {
    let Some(mut server) = Server::start()? else {
        return Ok(());
    };
    let (mut machine, session) = Machine::connect(server.address()?).await?;
    let ground = machine.ground().await?;
    let (running, late) = (ground.child("running"), ground.child("late"));
    machine.create(&running, "", NodeLife::Ephemeral).await?;
    let (ticket, _) = machine.watch(&late).await?;

    server.crash()?;
    machine.hears(Signal::Disconnected).await?;
    let how = unknown(machine.perform(create(&late, NodeLife::Persistent)).await?)?;
    assert_eq!(how, "there is no connection");
    server.restart()?;
    assert_eq!(machine.hear_connected().await?, session);
    assert_eq!(machine.read(&late).await?, None, "it was never sent");
    let node = machine.read(&running).await?.context("its session lives")?;
    assert_eq!(node.stat.owner, Some(session));
    machine.create(&late, "", NodeLife::Persistent).await?;
    machine.hears(Signal::Fired(ticket)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_over_is_followed_by_a_new_one_without_its_effects() -> Result<()> {
    let Some(mut server) = Server::start()? else {
        return Ok(());
    };
    let mut config = config(server.address()?)?;
    config.session_timeout = SHORT_SESSION;
    config.connection_timeout = Some(SHORT_CONNECTION);
    let mut machine = Machine::open(&config);
    let session = machine.hear_connected().await?;
    let ground = machine.ground().await?;
    let running = ground.child("running");
    machine.create(&running, "", NodeLife::Ephemeral).await?;
    machine.watch(&running).await?;

    server.crash()?;
    machine.hears(Signal::Disconnected).await?;
    machine.hears(Signal::Expired).await?;
    let how = unknown(
        machine
            .perform(create(&ground.child("late"), NodeLife::Persistent))
            .await?,
    )?;
    assert_eq!(how, "there is no session");
    server.restart()?;
    let next = machine.hear_connected().await?;
    assert_ne!(next, session);
    assert_eq!(machine.read(&ground.child("late")).await?, None);
    // The server that was down may hold the ghost of the old session yet. Its watch is over with it.
    let (ticket, node) = machine.watch(&running).await?;
    if let Some(node) = node {
        assert_eq!(node.stat.owner, Some(session));
        machine.hears(Signal::Fired(ticket)).await?;
    }
    machine.create(&running, "", NodeLife::Ephemeral).await?;
    let node = machine.read(&running).await?.context("it was made")?;
    assert_eq!(node.stat.owner, Some(next));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_the_server_gave_up_is_over() -> Result<()> {
    let Some(server) = Server::start()? else {
        return Ok(());
    };
    let (relay, address) = relay(&server)?;
    let (mut other, _) = Machine::connect(server.address()?).await?;
    let running = other.ground().await?.child("running");
    let mut config = config(&address)?;
    config.session_timeout = SHORT_SESSION;
    config.connection_timeout = Some(SHORT_CONNECTION);
    let mut machine = Machine::open(&config);
    let session = machine.hear_connected().await?;
    machine.create(&running, "", NodeLife::Ephemeral).await?;

    let (ticket, _) = other.watch(&running).await?;
    relay.silence();
    other.hears(Signal::Fired(ticket)).await?;
    relay.heal();
    machine.hears(Signal::Disconnected).await?;
    machine.hears(Signal::Expired).await?;
    assert_ne!(machine.hear_connected().await?, session);
    assert_eq!(machine.read(&running).await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_whose_answer_is_lost_is_unknown_and_is_not_hidden() -> Result<()> {
    let Some(server) = Server::start()? else {
        return Ok(());
    };
    let (relay, address) = relay(&server)?;
    let (mut machine, session) = Machine::connect(&address).await?;
    let (mut other, _) = Machine::connect(server.address()?).await?;
    let path = other.ground().await?.child("running");
    let (ticket, _) = other.watch(&path).await?;

    relay.mute();
    let (_, outcome) = machine.ask(create(&path, NodeLife::Ephemeral));
    other.hears(Signal::Fired(ticket)).await?;
    relay.cut();
    unknown(outcome.await?)?;
    machine.hears(Signal::Disconnected).await?;
    relay.heal();
    assert_eq!(machine.hear_connected().await?, session);
    let again = machine.perform(create(&path, NodeLife::Ephemeral)).await?;
    assert_eq!(again, Outcome::Refused(Refusal::NodeExists));
    let node = machine.read(&path).await?.context("it was made")?;
    assert_eq!(node.stat.owner, Some(session));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_silent_is_disconnected_and_all_of_it_is_unknown() -> Result<()> {
    let Some(server) = Server::start()? else {
        return Ok(());
    };
    let (relay, address) = relay(&server)?;
    let (mut machine, session) = Machine::connect(&address).await?;
    let ground = machine.ground().await?;
    let (watched, children) = (ground.child("watched"), ground.child("a/b/c"));
    relay.silence();
    let outcomes = [
        machine.ask(create(&watched, NodeLife::Persistent)).1,
        machine.ask(Effect::CreateAll(children.clone())).1,
        machine.ask(Effect::ReadAndWatch(watched.clone())).1,
        machine.ask(Effect::ReadChildren(ground.clone())).1,
        machine.ask(Effect::Sync).1,
    ];
    for outcome in outcomes {
        unknown(outcome.await?)?;
    }
    machine.hears(Signal::Disconnected).await?;
    relay.heal();
    assert_eq!(machine.hear_connected().await?, session);
    machine.done(Effect::Sync).await?;
    assert_eq!(machine.read(&watched).await?, None, "it never arrived");
    assert_eq!(
        machine.read(&ground.child("a")).await?,
        None,
        "nor did that"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_has_not_heard_of_a_connection_does_not_reach_into_it() -> Result<()> {
    let Some(server) = Server::start()? else {
        return Ok(());
    };
    let (relay, address) = relay(&server)?;
    let (mut slow, session) = Machine::connect(&address).await?;
    let mut quick = slow.another();
    quick.hear_connected().await?;
    let path = quick.ground().await?.child("running");
    relay.cut();
    quick.hears(Signal::Disconnected).await?;
    relay.heal();
    assert_eq!(quick.hear_connected().await?, session);

    let stale = slow.perform(create(&path, NodeLife::Ephemeral)).await?;
    assert_eq!(
        unknown(stale)?,
        "the connection in which this was asked is over"
    );
    assert_eq!(quick.read(&path).await?, None);
    slow.hears(Signal::Disconnected).await?;
    assert_eq!(slow.hear_connected().await?, session);
    slow.done(create(&path, NodeLife::Ephemeral)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_missed_while_disconnected_fires_afterwards() -> Result<()> {
    let Some(server) = Server::start()? else {
        return Ok(());
    };
    let (relay, address) = relay(&server)?;
    let (mut machine, session) = Machine::connect(&address).await?;
    let (mut other, _) = Machine::connect(server.address()?).await?;
    let path = other.ground().await?.child("watched");
    let (ticket, _) = machine.watch(&path).await?;
    relay.cut();
    machine.hears(Signal::Disconnected).await?;
    other.create(&path, "", NodeLife::Persistent).await?;
    relay.heal();
    // The change may come before the connection is told: it belongs to the session.
    let heard = [machine.hear().await?, machine.hear().await?];
    ensure!(heard.contains(&Signal::Fired(ticket)), "{heard:?}");
    let is_connected =
        |signal: &Signal| matches!(signal, Signal::Connected { session: id, .. } if *id == session);
    ensure!(heard.iter().any(is_connected), "{heard:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_everything_is_unknown_until_there_is_one() -> Result<()> {
    let Some(server) = Server::start()? else {
        return Ok(());
    };
    let (relay, address) = relay(&server)?;
    relay.silence();
    let mut config = config(&address)?;
    config.session_timeout = SHORT_SESSION;
    let mut machine = Machine::open(&config);
    let how = unknown(machine.perform(Effect::Sync).await?)?;
    assert_eq!(how, "there is no session");
    // Longer than one attempt, so that the next one makes the session.
    tokio::time::sleep(SHORT_SESSION * 2).await;
    let how = unknown(machine.perform(Effect::Sync).await?)?;
    assert_eq!(how, "there is no session");
    relay.heal();
    machine.hear_connected().await?;
    machine.done(Effect::Sync).await?;
    Ok(())
}
