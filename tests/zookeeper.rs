//! Each effect of the core on a real ZooKeeper: what it does, what it answers, what fires.

use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use canald::zookeeper::DigestAuth;
use canald_core::coordination::{
    Effect, NODE_BYTES_MAX, NodeLife, NodePath, NodeVersion, Outcome, Refusal, Signal, Step,
    StepRefusal, Value,
};
use canald_tests::harness::zookeeper::{DEADLINE, Machine, Server, config};

const NEW: NodeVersion = NodeVersion(0);
const WRONG: NodeVersion = NodeVersion(7);
/// Children of a node: more than are asked for at once.
const MANY: usize = 150;
/// Bytes by which the largest data may miss the largest request: path, ACL and lengths.
const OVERHEAD_MAX: usize = 512;

/// One server for all tests of this file, each below a node of its own. It ends with this process.
fn server() -> Result<Option<&'static Server>> {
    static SERVER: OnceLock<Result<Option<Server>, String>> = OnceLock::new();
    let started = SERVER.get_or_init(|| Server::start().map_err(|fault| format!("{fault:#}")));
    match started {
        Ok(server) => Ok(server.as_ref()),
        Err(fault) => bail!("{fault}"),
    }
}

fn data(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

const fn zeros(bytes: usize) -> Bytes {
    static ZEROS: [u8; 2 << 20] = [0; 2 << 20];
    Bytes::from_static(ZEROS.split_at(bytes).0)
}

async fn refusal(machine: &mut Machine, effect: Effect) -> Result<Refusal> {
    let outcome = machine.perform(effect).await?;
    let Outcome::Refused(refusal) = outcome else {
        bail!("it is not refused: {outcome:?}")
    };
    Ok(refusal)
}

#[tokio::test]
async fn an_ephemeral_node_has_its_owner_and_a_change_fires_once() -> Result<()> {
    let Some(server) = server()? else {
        return Ok(());
    };
    let (mut a, session) = Machine::connect(server.address()?).await?;
    let (mut b, _) = Machine::connect(server.address()?).await?;
    let ground = a.ground().await?;
    let parent = a.read(&ground).await?.context("it was made")?;
    ensure!(parent.stat.owner.is_none(), "{parent:?}");

    let path = ground.child("running");
    a.create(&path, "a", NodeLife::Ephemeral).await?;
    let (first, node) = b.watch(&path).await?;
    let node = node.context("the node is there")?;
    assert_eq!(node.data, data("a"));
    assert_eq!(node.stat.owner, Some(session));
    assert_eq!(node.stat.version, NEW);
    ensure!(node.stat.created > parent.stat.created, "{node:?}");

    let written = a.done(Effect::Write(path.clone(), data("b"), NEW)).await?;
    let Value::Stat(stat) = written else {
        bail!("{written:?}")
    };
    assert_eq!(stat.version, NEW.next());
    assert_eq!(stat.owner, Some(session));
    b.hears(Signal::Fired(first)).await?;

    a.done(Effect::Write(path.clone(), data("c"), stat.version))
        .await?;
    let (second, node) = b.watch(&path).await?;
    assert_eq!(node.context("it is still there")?.data, data("c"));
    a.done(Effect::Delete(path.clone(), stat.version.next()))
        .await?;
    b.hears(Signal::Fired(second)).await?;
    assert_eq!(b.read(&path).await?, None);
    Ok(())
}

#[tokio::test]
async fn what_is_absent_fires_when_it_appears() -> Result<()> {
    let Some(server) = server()? else {
        return Ok(());
    };
    let (mut machine, _) = Machine::connect(server.address()?).await?;
    let path = machine.ground().await?.child("later");
    let (absent, node) = machine.watch(&path).await?;
    assert_eq!(node, None);
    machine.create(&path, "", NodeLife::Persistent).await?;
    machine.hears(Signal::Fired(absent)).await
}

#[tokio::test]
async fn machines_of_one_session_hear_of_their_own_tickets_only() -> Result<()> {
    let Some(server) = server()? else {
        return Ok(());
    };
    let (mut a, session) = Machine::connect(server.address()?).await?;
    let mut b = a.another();
    assert_eq!(b.hear_connected().await?, session);
    let ground = a.ground().await?;
    let (one, two) = (ground.child("one"), ground.child("two"));
    b.done(Effect::Sync).await?;
    let (for_a, _) = a.watch(&one).await?;
    let (for_b, _) = b.watch(&two).await?;
    a.create(&two, "", NodeLife::Persistent).await?;
    a.create(&one, "", NodeLife::Persistent).await?;
    a.hears(Signal::Fired(for_a)).await?;
    b.hears(Signal::Fired(for_b)).await
}

#[tokio::test]
async fn effects_are_done_in_their_order_even_if_nobody_waits() -> Result<()> {
    let Some(server) = server()? else {
        return Ok(());
    };
    let (mut machine, _) = Machine::connect(server.address()?).await?;
    let path = machine.ground().await?;
    let mut version = NEW;
    for number in 0..MANY {
        let write = Effect::Write(path.clone(), data(&number.to_string()), version);
        drop(machine.ask(write));
        version = version.next();
    }
    let node = machine.read(&path).await?.context("it was made")?;
    assert_eq!(node.stat.version, version);
    assert_eq!(node.data, data(&(MANY - 1).to_string()));
    Ok(())
}

#[tokio::test]
async fn the_watches_of_a_machine_end_with_it() -> Result<()> {
    let Some(server) = server()? else {
        return Ok(());
    };
    let (mut stays, _) = Machine::connect(server.address()?).await?;
    let mut goes = stays.another();
    goes.hear_connected().await?;
    let ground = stays.ground().await?;
    let (kept, left) = (ground.child("kept"), ground.child("left"));
    stays.watch(&kept).await?;
    goes.watch(&left).await?;
    let watched = || server.four_letters("wchp");
    ensure!(watched()?.contains(left.as_str()), "{left} is watched");
    drop(goes);
    let left_at = Instant::now();
    while watched()?.contains(left.as_str()) {
        ensure!(left_at.elapsed() < DEADLINE, "{left} is watched for nobody");
        stays.done(Effect::Sync).await?;
    }
    ensure!(watched()?.contains(kept.as_str()), "{kept} is watched");
    Ok(())
}

#[tokio::test]
async fn all_steps_are_done_or_none_and_the_refused_one_is_named() -> Result<()> {
    let Some(server) = server()? else {
        return Ok(());
    };
    let (mut machine, _) = Machine::connect(server.address()?).await?;
    let ground = machine.ground().await?;
    let (old, new, gone) = (
        ground.child("old"),
        ground.child("new"),
        ground.child("gone"),
    );
    machine.create(&old, "1", NodeLife::Persistent).await?;
    let create = || Step::Create(new.clone(), data("2"), NodeLife::Persistent);
    let refused = [
        (
            vec![create(), Step::Check(gone.clone(), NEW)],
            1,
            StepRefusal::NoNode,
        ),
        (
            vec![Step::Check(old.clone(), WRONG), create()],
            0,
            StepRefusal::BadVersion,
        ),
        (
            vec![
                create(),
                Step::Check(old.clone(), NEW),
                Step::Create(old.clone(), data(""), NodeLife::Persistent),
            ],
            2,
            StepRefusal::NodeExists,
        ),
        (
            vec![create(), Step::Delete(ground.clone(), NEW)],
            1,
            StepRefusal::NotEmpty,
        ),
        (
            vec![
                create(),
                Step::Write(old.clone(), data("3"), WRONG),
                create(),
            ],
            1,
            StepRefusal::BadVersion,
        ),
    ];
    for (steps, index, why) in refused {
        let text = format!("{steps:?}");
        let refusal = refusal(&mut machine, Effect::All(steps)).await?;
        assert_eq!(refusal, Refusal::Step(index, why), "{text}");
        assert_eq!(machine.read(&new).await?, None, "{text}");
        let node = machine.read(&old).await?.context("it stays")?;
        assert_eq!((node.data, node.stat.version), (data("1"), NEW), "{text}");
    }
    let steps = vec![
        Step::Check(ground.clone(), NEW),
        create(),
        Step::Write(old.clone(), data("3"), NEW),
        Step::Delete(new.clone(), NEW),
    ];
    assert_eq!(machine.done(Effect::All(steps)).await?, Value::Done);
    assert_eq!(
        machine.read(&old).await?.context("it stays")?.data,
        data("3")
    );
    assert_eq!(machine.read(&new).await?, None);
    assert_eq!(machine.done(Effect::All(Vec::new())).await?, Value::Done);
    Ok(())
}

#[tokio::test]
async fn a_refusal_says_why() -> Result<()> {
    let Some(server) = server()? else {
        return Ok(());
    };
    let (mut machine, _) = Machine::connect(server.address()?).await?;
    let ground = machine.ground().await?;
    let (node, none) = (ground.child("node"), ground.child("none"));
    machine.create(&node, "", NodeLife::Ephemeral).await?;
    let create = |path: &NodePath| Effect::Create(path.clone(), data(""), NodeLife::Persistent);
    for (effect, expected) in [
        (create(&node), Refusal::NodeExists),
        (create(&none.child("below")), Refusal::NoNode),
        (
            Effect::Write(node.clone(), data("x"), WRONG),
            Refusal::BadVersion,
        ),
        (Effect::Write(none.clone(), data("x"), NEW), Refusal::NoNode),
        (Effect::Delete(node.clone(), WRONG), Refusal::BadVersion),
        (Effect::Delete(none.clone(), NEW), Refusal::NoNode),
        (Effect::Delete(ground.clone(), NEW), Refusal::NotEmpty),
    ] {
        let text = format!("{effect:?}");
        assert_eq!(refusal(&mut machine, effect).await?, expected, "{text}");
    }
    for effect in [create(&node.child("below")), create(&ground.child(".."))] {
        let refusal = refusal(&mut machine, effect).await?;
        ensure!(matches!(refusal, Refusal::Forbidden(_)), "{refusal:?}");
    }
    machine.done(Effect::Sync).await?;
    Ok(())
}

#[tokio::test]
async fn children_come_by_name_with_their_data() -> Result<()> {
    let Some(server) = server()? else {
        return Ok(());
    };
    let (mut machine, _) = Machine::connect(server.address()?).await?;
    let ground = machine.ground().await?;
    let absent = machine
        .done(Effect::ReadChildren(ground.child("none")))
        .await?;
    assert_eq!(absent, Value::Children(None));
    let childless = machine.done(Effect::ReadChildren(ground.clone())).await?;
    assert_eq!(childless, Value::Children(Some(Vec::new())));

    for number in (0..MANY).rev() {
        let path = ground.child(format!("{number:03}"));
        machine
            .create(&path, &number.to_string(), NodeLife::Persistent)
            .await?;
    }
    let value = machine.done(Effect::ReadChildren(ground)).await?;
    let Value::Children(Some(children)) = value else {
        bail!("{value:?}")
    };
    let seen: Vec<_> = children
        .into_iter()
        .map(|(name, node)| (name, node.data))
        .collect();
    let expected: Vec<_> = (0..MANY)
        .map(|number| (format!("{number:03}"), data(&number.to_string())))
        .collect();
    assert_eq!(seen, expected);
    Ok(())
}

#[tokio::test]
async fn a_node_without_data_is_not_an_absent_one() -> Result<()> {
    let Some(server) = server()? else {
        return Ok(());
    };
    let (mut machine, _) = Machine::connect(server.address()?).await?;
    let ground = machine.ground().await?;
    let null = ground.child("null");
    // ZooKeeper's own client makes it with no data at all, as canal makes its parents.
    server.run(&["create", null.as_str()])?;
    let container = ground.child("container");
    server.run(&["create", "-c", container.as_str()])?;
    for path in [&null, &container, &ground] {
        let node = machine.read(path).await?.context("it is there")?;
        assert_eq!((node.data, node.stat.owner), (Bytes::new(), None), "{path}");
    }
    let (ticket, node) = machine.watch(&null).await?;
    ensure!(node.is_some(), "it is there");
    machine.done(Effect::Delete(null, NEW)).await?;
    machine.hears(Signal::Fired(ticket)).await
}

#[tokio::test]
async fn parents_are_made_where_they_are_absent() -> Result<()> {
    let Some(server) = server()? else {
        return Ok(());
    };
    let (mut machine, _) = Machine::connect(server.address()?).await?;
    let ground = machine.ground().await?;
    let (middle, deep) = (ground.child("a/b"), ground.child("a/b/c/d"));
    assert_eq!(
        machine.done(Effect::CreateAll(middle.clone())).await?,
        Value::Done
    );
    let made = machine.read(&middle).await?;
    for _ in 0..2 {
        assert_eq!(
            machine.done(Effect::CreateAll(deep.clone())).await?,
            Value::Done
        );
    }
    let node = machine.read(&deep).await?.context("it was made")?;
    assert_eq!((node.data, node.stat.owner), (Bytes::new(), None));
    let untouched = machine.read(&middle).await?;
    assert_eq!(untouched.map(|node| node.stat), made.map(|node| node.stat));
    Ok(())
}

#[tokio::test]
async fn all_is_below_the_chroot() -> Result<()> {
    let Some(server) = server()? else {
        return Ok(());
    };
    let connect = server.address()?;
    let (mut outside, _) = Machine::connect(connect).await?;
    let ground = outside.ground().await?;
    let (mut inside, session) = Machine::connect(&format!("{connect}{ground}")).await?;
    let path = NodePath::new("/inside".to_owned());
    let (ticket, _) = inside.watch(&path).await?;
    inside.create(&path, "x", NodeLife::Ephemeral).await?;
    inside.hears(Signal::Fired(ticket)).await?;
    let node = outside.read(&ground.child("inside")).await?;
    assert_eq!(
        node.context("it is below the chroot")?.stat.owner,
        Some(session)
    );
    let steps = vec![
        Step::Delete(path.clone(), NEW),
        Step::Create(path, data("y"), NodeLife::Persistent),
    ];
    inside.done(Effect::All(steps)).await?;
    let node = outside.read(&ground.child("inside")).await?;
    assert_eq!(node.context("it was made again")?.data, data("y"));
    inside.done(Effect::Sync).await?;

    let (mut nowhere, _) = Machine::connect(&format!("{connect}{ground}/none")).await?;
    let path = NodePath::new("/a/b".to_owned());
    assert_eq!(
        refusal(&mut nowhere, Effect::CreateAll(path)).await?,
        Refusal::NoNode
    );
    Ok(())
}

#[tokio::test]
async fn too_much_data_is_refused_and_the_connection_stays() -> Result<()> {
    let Some(server) = server()? else {
        return Ok(());
    };
    let (mut machine, _) = Machine::connect(server.address()?).await?;
    let path = machine.ground().await?.child("large");
    let (ticket, _) = machine.watch(&path).await?;
    let create = |bytes| Effect::Create(path.clone(), zeros(bytes), NodeLife::Persistent);
    let half = zeros(NODE_BYTES_MAX / 2);
    let halves = Effect::All(vec![
        Step::Create(path.clone(), half.clone(), NodeLife::Persistent),
        Step::Write(path.clone(), half, NEW),
    ]);
    for effect in [create(2 << 20), create(NODE_BYTES_MAX), halves] {
        let refusal = refusal(&mut machine, effect).await?;
        ensure!(matches!(refusal, Refusal::Forbidden(_)), "{refusal:?}");
    }
    // What is let through is taken, up to the last byte.
    let mut bytes = NODE_BYTES_MAX;
    while let Outcome::Refused(_) = machine.perform(create(bytes)).await? {
        bytes -= 1;
        ensure!(bytes > NODE_BYTES_MAX - OVERHEAD_MAX, "too much is refused");
    }
    let node = machine.read(&path).await?.context("it was made")?;
    assert_eq!(node.data.len(), bytes);
    // A connection that was lost meanwhile would be heard of first.
    machine.hears(Signal::Fired(ticket)).await
}

#[tokio::test]
async fn nodes_of_others_open_to_who_has_their_password() -> Result<()> {
    let Some(server) = server()? else {
        return Ok(());
    };
    let connect = server.address()?;
    let (mut anyone, _) = Machine::connect(connect).await?;
    let path = anyone.ground().await?.child("closed");
    // The second part is base64(sha1("canal:s3cret")).
    let acl = "digest:canal:1akVRNP4/zq0iXJSuhSPvz6NkFo=:cdrwa";
    server.run(&["create", path.as_str(), "x", acl])?;
    let refused = refusal(&mut anyone, Effect::Read(path.clone())).await?;
    ensure!(matches!(refused, Refusal::Forbidden(_)), "{refused:?}");

    let mut config = config(connect)?;
    config.auth = Some(DigestAuth {
        user: "canal".to_owned(),
        password: "s3cret".to_owned(),
    });
    let mut canal = Machine::open(&config);
    canal.hear_connected().await?;
    assert_eq!(
        canal.read(&path).await?.context("it is there")?.data,
        data("x")
    );
    Ok(())
}
