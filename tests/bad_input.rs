//! What operators, sources and clients do wrong: canald says what is wrong, in one line that
//! helps, and goes on serving everyone else.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use canald_tests::harness::canald::{self, Canald, DESTINATION, Plan};
use canald_tests::harness::server::{Kind, Server};
use canald_tests::harness::wire::{self, Batch, Connection};
use canald_tests::harness::{Scratch, say};

const CLIENT_ID: &str = "1001";
const GET_WAIT: Duration = Duration::from_millis(200);
const GETS_MAX: u32 = 100;
/// Connections that ask nothing, if the machine lets one process open so many.
const IDLE_CONNECTIONS: u64 = 10_000;
/// Descriptors that a process needs for other things.
const DESCRIPTORS_SPARE: u64 = 100;
/// Canal's codes.
const BAD_REQUEST: i32 = 400;

/// `canald check` ends so when the source cannot be used.
const EXIT_SOURCE: i32 = 3;

fn contains(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(&word.to_lowercase()))
}

/// Both `check`, which ends, and `serve`, which goes on trying, must say what is wrong.
fn is_explained(source: &str, more: &[&str], words: &[&str]) -> Result<()> {
    let scratch = Scratch::new()?;
    let output = canald::run(&[&["check", "--source", source], more].concat())?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(
        output.status.code() == Some(EXIT_SOURCE),
        "check ended with {}: {said}",
        output.status
    );
    ensure!(
        said.lines().any(|line| contains(line, words)),
        "check does not say {words:?}: {said}"
    );
    let plan = Plan::new(source.to_owned(), scratch.path()).with(more);
    let line = Canald::explains(&plan, |line| contains(line, words))?;
    say(&format!("said: {line}"));
    Ok(())
}

fn mariadb(options: &[&str]) -> Result<Option<Server>> {
    Server::start(Kind::MariaDb1011, options)
}

#[test]
fn a_wrong_password_is_named() -> Result<()> {
    let Some(server) = mariadb(&[])? else {
        return Ok(());
    };
    is_explained(
        &server.source("canal", "wrong")?,
        &[],
        &["access denied", "canal"],
    )
}

#[test]
fn a_wrong_password_is_named_by_mysql_too() -> Result<()> {
    let Some(server) = Server::start(Kind::MySql97, &[])? else {
        return Ok(());
    };
    is_explained(
        &server.source("canal", "wrong")?,
        &[],
        &["access denied", "canal"],
    )
}

#[test]
fn a_missing_privilege_is_named_with_its_cure() -> Result<()> {
    let Some(server) = mariadb(&[])? else {
        return Ok(());
    };
    server.sql("CREATE USER poor@'%' IDENTIFIED BY 'poor'; GRANT SELECT ON *.* TO poor@'%'")?;
    is_explained(&server.source("poor", "poor")?, &[], &["REPLICATION SLAVE"])
}

#[test]
fn statement_format_is_named() -> Result<()> {
    let Some(server) = mariadb(&["--binlog-format=STATEMENT"])? else {
        return Ok(());
    };
    is_explained(
        &server.source("canal", "canal")?,
        &[],
        &["SET GLOBAL binlog_format=ROW"],
    )
}

#[test]
fn a_source_without_a_binlog_is_named() -> Result<()> {
    let Some(server) = mariadb(&["--skip-log-bin"])? else {
        return Ok(());
    };
    is_explained(&server.source("canal", "canal")?, &[], &["log_bin"])
}

#[test]
fn an_unreachable_source_is_named() -> Result<()> {
    // Nobody listens on port 1 of a machine that runs tests.
    is_explained(
        "mysql://canal:canal@127.0.0.1:1",
        &[],
        &["127.0.0.1:1", "refused"],
    )
}

#[test]
fn a_source_without_tls_is_named_where_tls_is_required() -> Result<()> {
    let Some(server) = mariadb(&[])? else {
        return Ok(());
    };
    is_explained(
        &server.source("canal", "canal")?,
        &["--ssl-mode", "REQUIRED"],
        &["TLS"],
    )
}

#[test]
fn a_purged_position_stops_and_is_never_skipped() -> Result<()> {
    let Some(server) = mariadb(&[])? else {
        return Ok(());
    };
    server.purge_first_file()?;
    let scratch = Scratch::new()?;
    let plan = Plan::new(server.source("canal", "canal")?, scratch.path())
        .with(&["--start", "binlog.000001:4"]);
    let line = Canald::explains(&plan, |line| contains(line, &["binlog.000001", "purged"]))?;
    say(&format!("said: {line}"));
    Ok(())
}

/// A canald with something to deliver.
struct Serving {
    server: Server,
    scratch: Scratch,
    canald: Canald,
}

impl Serving {
    fn start() -> Result<Option<Self>> {
        let Some(server) = mariadb(&[])? else {
            return Ok(None);
        };
        // Each row is above a KiB, so that a get of size 1 returns one transaction at most.
        server.sql(
            "CREATE DATABASE d;
             CREATE TABLE d.t (id INT PRIMARY KEY, filler VARCHAR(2000) DEFAULT (REPEAT('x', 1500)));
             INSERT INTO d.t (id) VALUES (-1); INSERT INTO d.t (id) VALUES (-2);
             INSERT INTO d.t (id) VALUES (-3)",
        )?;
        let scratch = Scratch::new()?;
        let canald = Canald::serve(&Self::plan(&server, scratch.path())?)?;
        Ok(Some(Self {
            server,
            scratch,
            canald,
        }))
    }

    fn plan(server: &Server, data: &Path) -> Result<Plan> {
        Ok(Plan::new(server.source("canal", "canal")?, data))
    }

    fn address(&self) -> SocketAddr {
        self.canald.address()
    }

    fn client(&self) -> Result<Connection> {
        Connection::subscribed(self.address(), DESTINATION, CLIENT_ID)
    }

    /// Whether a well-behaved client is served now.
    fn serves(&self) -> Result<()> {
        let mut client = self.client()?;
        client.rollback(0)?;
        let batch = next(&mut client)?;
        client.rollback(batch.id)?;
        // The answer to a get shows that the rollback went through.
        next(&mut client)?;
        client.rollback(0)
    }
}

fn next(client: &mut Connection) -> Result<Batch> {
    for _ in 0..GETS_MAX {
        match client.get(1, GET_WAIT)? {
            Ok(batch) if batch.is_empty() => {}
            Ok(batch) => return Ok(batch),
            Err(refused) => bail!("a get was refused: {refused:?}"),
        }
    }
    bail!("nothing comes")
}

#[test]
fn garbage_closes_only_its_own_connection() -> Result<()> {
    let Some(serving) = Serving::start()? else {
        return Ok(());
    };
    let garbage: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: canald\r\n\r\n",
        &[0x80, 0, 0, 0],                // a negative length
        &[0x7f, 0xff, 0xff, 0xff, 1, 2], // two gigabytes, announced
        &[0, 0, 0, 2, 0xff, 0xff],       // not protobuf
        &[0, 0, 0, 3, 0x2a, 0x7f, 1],    // a body longer than its packet
    ];
    for bytes in garbage {
        let mut before_login = Connection::open(serving.address())?;
        before_login.send_raw(bytes)?;
        ensure!(
            before_login.is_closed_by_server()?,
            "still open after {bytes:?}"
        );
        let mut after_login = serving.client()?;
        after_login.send_raw(bytes)?;
        ensure!(
            after_login.is_closed_by_server()?,
            "still open, though logged in, after {bytes:?}"
        );
    }
    serving.serves()
}

#[test]
fn slow_clients_are_understood_and_delay_nobody() -> Result<()> {
    let Some(serving) = Serving::start()? else {
        return Ok(());
    };
    let mut slow = Connection::open(serving.address())?;
    let login = wire::login_frame()?;
    let (last, head) = login.split_last().context("an empty login")?;
    for byte in head {
        slow.send_raw(&[*byte])?;
        thread::sleep(Duration::from_millis(20));
    }
    // While half of its login is here, others are served.
    serving.serves()?;
    slow.send_raw(&[*last])?;
    Connection::open(serving.address())?.login()?;
    Ok(())
}

#[test]
fn idle_connections_before_login_keep_nobody_out() -> Result<()> {
    let Some(serving) = Serving::start()? else {
        return Ok(());
    };
    let count = IDLE_CONNECTIONS.min(descriptors()?.saturating_sub(DESCRIPTORS_SPARE));
    let mut idle = Vec::new();
    for number in 0..count {
        idle.push(
            Connection::open(serving.address()).with_context(|| format!("connection {number}"))?,
        );
    }
    say(&format!("{count} idle connections"));
    serving.serves()?;
    drop(idle);
    serving.serves()
}

/// How many files a process may open, here and in canald.
fn descriptors() -> Result<u64> {
    let output = Command::new("sh")
        .args(["-c", "ulimit -n"])
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.trim().parse().unwrap_or(u64::MAX))
}

#[test]
fn an_unknown_destination_is_refused_by_name() -> Result<()> {
    let Some(serving) = Serving::start()? else {
        return Ok(());
    };
    let mut client = Connection::open(serving.address())?;
    client.login()?;
    let Err(refused) = client.subscribe("no-such", CLIENT_ID, "")? else {
        bail!("it was accepted")
    };
    ensure!(refused.code == BAD_REQUEST, "{refused:?}");
    ensure!(
        refused
            .text
            .contains("destination:no-such should start first"),
        "{refused:?}"
    );
    // The connection is as good as before.
    client
        .subscribe(DESTINATION, CLIENT_ID, "")?
        .map_err(|refused| anyhow::anyhow!("{refused:?}"))
}

#[test]
fn a_client_id_that_is_no_number_is_refused() -> Result<()> {
    let Some(serving) = Serving::start()? else {
        return Ok(());
    };
    let mut client = Connection::open(serving.address())?;
    client.login()?;
    for (id, code) in [("one", BAD_REQUEST), ("40000", BAD_REQUEST), ("", 401)] {
        let Err(refused) = client.subscribe(DESTINATION, id, "")? else {
            bail!("{id:?} was accepted")
        };
        ensure!(refused.code == code, "{id:?}: {refused:?}");
    }
    Ok(())
}

#[test]
fn a_broken_filter_is_refused_and_changes_nothing() -> Result<()> {
    let Some(serving) = Serving::start()? else {
        return Ok(());
    };
    let mut client = serving.client()?;
    let Err(refused) = client.subscribe(DESTINATION, CLIENT_ID, "d\\.(t")? else {
        bail!("it was accepted")
    };
    ensure!(
        refused.code == BAD_REQUEST && refused.text.contains("d\\.(t"),
        "{refused:?}"
    );
    serving.serves()
}

#[test]
fn a_wrong_batch_id_is_refused_and_the_right_one_still_works() -> Result<()> {
    let Some(serving) = Serving::start()? else {
        return Ok(());
    };
    let mut client = serving.client()?;
    let batch = next(&mut client)?;
    client.ack(batch.id + 77)?;
    expect_refusal(&mut client, BAD_REQUEST, "is not exist , please check")?;
    // Every later reply is off by one: as canal's clients do, begin anew.
    let mut again = serving.client()?;
    again.ack(0)?;
    expect_refusal(&mut again, 402, "batchId should assign value")?;
    let mut third = serving.client()?;
    third.ack(batch.id)?;
    let following = next(&mut third)?;
    ensure!(following.id > batch.id, "{following:?}");
    Ok(())
}

#[test]
fn an_ack_out_of_order_is_refused_and_moves_nothing() -> Result<()> {
    let Some(serving) = Serving::start()? else {
        return Ok(());
    };
    serving.server.sql(
        "INSERT INTO d.t (id) VALUES (1); INSERT INTO d.t (id) VALUES (2); INSERT INTO d.t (id) VALUES (3)",
    )?;
    let mut client = serving.client()?;
    let (first, second) = (next(&mut client)?, next(&mut client)?);
    client.ack(second.id)?;
    expect_refusal(
        &mut client,
        BAD_REQUEST,
        &format!("batchId:{} is not the firstly:{}", second.id, first.id),
    )?;
    let mut again = serving.client()?;
    again.ack(first.id)?;
    again.ack(second.id)?;
    ensure!(
        next(&mut again)?.id > second.id,
        "the stream does not go on"
    );
    Ok(())
}

/// The refusal of an acknowledgement stands in place of the reply to the next request.
fn expect_refusal(client: &mut Connection, code: i32, text: &str) -> Result<()> {
    let Err(refused) = client.get(1, GET_WAIT)? else {
        bail!("it was accepted")
    };
    ensure!(
        refused.code == code && refused.text.contains(text),
        "{refused:?} is not {code} {text:?}"
    );
    Ok(())
}

#[test]
fn of_two_connections_of_one_client_the_newest_is_served() -> Result<()> {
    let Some(serving) = Serving::start()? else {
        return Ok(());
    };
    let mut older = serving.client()?;
    let batch = next(&mut older)?;
    let mut newer = serving.client()?;
    ensure!(
        older.is_closed_by_server()?,
        "the older connection stays open"
    );
    // What the older one took can be acknowledged by the newer one.
    newer.ack(batch.id)?;
    ensure!(next(&mut newer)?.id > batch.id, "the stream does not go on");
    Ok(())
}

#[test]
fn unknown_keys_are_told_with_the_nearest_known_one() -> Result<()> {
    let scratch = Scratch::new()?;
    let instance = scratch.path().join(DESTINATION);
    fs::create_dir(&instance)?;
    fs::write(
        scratch.path().join("canal.properties"),
        "canal.destinations = example\ncanal.prot = 11111\n",
    )?;
    fs::write(
        instance.join("instance.properties"),
        "canal.instance.master.address = 127.0.0.1:1\ncanal.instance.filter.regexp = .*\n",
    )?;
    let output = canald::run(&["check", "--conf", &scratch.path().display().to_string()])?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    for (unknown, nearest) in [
        ("canal.prot", "canal.port"),
        (
            "canal.instance.filter.regexp",
            "canal.instance.filter.regex",
        ),
    ] {
        let told = said
            .lines()
            .any(|line| line.contains(unknown) && line.contains(nearest) && line.contains(":2"));
        ensure!(
            told,
            "{unknown} is not told with its line and {nearest}: {said}"
        );
    }
    Ok(())
}

#[test]
fn a_corrupt_record_is_never_taken_for_none() -> Result<()> {
    let Some(serving) = Serving::start()? else {
        return Ok(());
    };
    let mut client = serving.client()?;
    let batch = next(&mut client)?;
    client.ack(batch.id)?;
    next(&mut client)?;
    let Serving {
        server,
        scratch,
        canald,
    } = serving;
    canald.stop()?;
    let records = records(scratch.path())?;
    ensure!(!records.is_empty(), "no record lies below the data folder");
    for record in &records {
        corrupt(record)?;
    }
    let line = Canald::explains(&Serving::plan(&server, scratch.path())?, |line| {
        contains(line, &["canald.meta", "corrupt"])
    })?;
    say(&format!("said: {line}"));
    Ok(())
}

/// The durable records of a destination: the current one and the one before.
fn records(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for item in fs::read_dir(folder)? {
        let path = item?.path();
        if path.is_dir() {
            found.extend(records(&path)?);
        } else if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("canald.meta"))
        {
            found.push(path);
        }
    }
    Ok(found)
}

/// Flips one bit in the middle.
fn corrupt(path: &Path) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).context("an empty record")? ^= 1;
    Ok(fs::write(path, bytes)?)
}
