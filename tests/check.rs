//! `canald check` against real servers: what it finds, how it ends, and that the statements it names put
//! right what it found.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use canald_tests::harness::canald::{self, Canald, Plan};
use canald_tests::harness::server::{Kind, Server};
use canald_tests::harness::{Scratch, say};

const READY: i32 = 0;
/// The source cannot be reached, refuses, or is not ready.
const NOT_READY: i32 = 3;

/// What an operator is to put in place of.
const PLACEHOLDER: &str = "PASSWORD";

struct Checked {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Checked {
    fn of(arguments: &[&str]) -> Result<Self> {
        let output = canald::run(&[&["check"], arguments].concat())?;
        Ok(Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    fn source(server: &Server, user: &str, password: &str, more: &[&str]) -> Result<Self> {
        Self::of(&[&["--source", &server.source(user, password)?], more].concat())
    }

    fn ends(self, code: i32) -> Result<Self> {
        ensure!(
            self.code == Some(code),
            "check ended with {:?}, not {code}: {}{}",
            self.code,
            self.stdout,
            self.stderr
        );
        ensure!(!self.stdout.contains('\x1b'), "colour outside a terminal");
        Ok(self)
    }

    /// The finding on a subject: its level, what was found, and what to do about it.
    fn finding(&self, what: &str) -> Result<(&str, &str, &str)> {
        let mut lines = self.stdout.lines();
        while let Some(line) = lines.next() {
            let Some((level, rest)) = line.trim_start().split_once(' ') else {
                continue;
            };
            let Some(found) = rest.trim_start().strip_prefix(what) else {
                continue;
            };
            if !matches!(level, "ok" | "advice" | "problem") || !found.starts_with(' ') {
                continue;
            }
            let cure = lines
                .next()
                .and_then(|next| next.trim().strip_prefix("-> "));
            return Ok((level, found.trim(), cure.unwrap_or_default()));
        }
        anyhow::bail!("nothing about {what}: {}", self.stdout)
    }

    fn is(&self, level: &str, what: &str, words: &[&str]) -> Result<()> {
        let (found_level, found, cure) = self.finding(what)?;
        let said = format!("{found} {cure}");
        ensure!(
            found_level == level && words.iter().all(|word| said.contains(word)),
            "{what} is not {level} with {words:?}: {}",
            self.stdout
        );
        Ok(())
    }
}

const KINDS: [Kind; 3] = [Kind::MySql97, Kind::MariaDb1011, Kind::MySql56];

/// Runs a check of one kind of server, if it can be had here.
fn on_each(test: impl Fn(&Server) -> Result<()>) -> Result<()> {
    for kind in KINDS {
        if let Some(server) = Server::start(kind, &[])? {
            test(&server).with_context(|| kind.name())?;
        }
    }
    Ok(())
}

#[test]
fn a_good_account_is_ready_a_wrong_password_is_not_and_its_cure_cures() -> Result<()> {
    on_each(|server| {
        let good = Checked::source(server, "canal", "canal", &[])?.ends(READY)?;
        good.is("ok", "log_bin", &["ON, ends at binlog."])?;
        good.is("ok", "binlog_format", &["ROW"])?;
        good.is("ok", "binlog_row_image", &["FULL"])?;
        good.is("ok", "binlog_checksum", &["CRC32"])?;
        good.is("ok", "binlog files", &["binlog.000001"])?;
        good.is("ok", "start", &["begins at the end of the log"])?;
        good.is("ok", "privileges", &["all that are needed"])?;
        let version = if server.kind().is_mariadb() {
            "MariaDB 10.11"
        } else {
            "MySQL "
        };
        good.is("ok", "version", &[version])?;
        ensure!(good.stdout.contains("\nexample: ready"), "{}", good.stdout);
        ensure!(good.stderr.is_empty(), "{}", good.stderr);

        let wrong = Checked::source(server, "canal", "hush", &[])?.ends(NOT_READY)?;
        wrong.is("problem", "connection", &["Access denied", "'canal'@"])?;
        ensure!(
            wrong.stderr.trim() == "canald: not ready: example",
            "{}",
            wrong.stderr
        );
        ensure!(!wrong.stdout.contains("hush"), "a password is shown");

        // An account that is not there is made by what is said about it.
        let stranger = Checked::source(server, "stranger", "Str4nger", &[])?.ends(NOT_READY)?;
        let (_, _, cure) = stranger.finding("connection")?;
        let (_, statements) = cure
            .split_once("on the server: ")
            .context("there is no statement")?;
        say(&format!("said: {cure}"));
        server.sql(&statements.replace(PLACEHOLDER, "Str4nger"))?;
        Checked::source(server, "stranger", "Str4nger", &[])?.ends(READY)?;
        Ok(())
    })
}

#[test]
fn a_missing_privilege_is_named_and_its_cure_cures() -> Result<()> {
    on_each(|server| {
        let monitor = if server.kind().is_mariadb() {
            "BINLOG MONITOR"
        } else {
            "REPLICATION CLIENT"
        };
        for (user, granted, missing) in [
            ("reader", "SELECT".to_owned(), monitor),
            ("watcher", format!("SELECT, {monitor}"), "REPLICATION SLAVE"),
            ("copier", format!("REPLICATION SLAVE, {monitor}"), "SELECT"),
        ] {
            server.sql(&format!(
                "CREATE USER '{user}'@'%' IDENTIFIED BY 'P'; GRANT {granted} ON *.* TO '{user}'@'%'"
            ))?;
            let poor = Checked::source(server, user, "P", &[])?.ends(NOT_READY)?;
            poor.is("problem", "privileges", &[missing])?;
            let (_, _, cure) = poor.finding("privileges")?;
            say(&format!("said: {cure}"));
            server.sql(cure)?;
            let rich = Checked::source(server, user, "P", &[])?.ends(READY)?;
            rich.is("ok", "privileges", &[])?;
        }
        Ok(())
    })
}

#[test]
fn settings_that_lose_rows_are_problems_and_their_cures_cure() -> Result<()> {
    on_each(|server| {
        server.sql("SET GLOBAL binlog_format=STATEMENT")?;
        let checked = Checked::source(server, "canal", "canal", &[])?.ends(NOT_READY)?;
        checked.is("problem", "binlog_format", &["STATEMENT"])?;
        let (_, _, cure) = checked.finding("binlog_format")?;
        let statement = cure.split_inclusive(';').next().unwrap_or_default();
        say(&format!("said: {cure}"));
        server.sql(statement)?;
        let checked = Checked::source(server, "canal", "canal", &[])?.ends(READY)?;
        checked.is("ok", "binlog_format", &["ROW"])?;

        server.sql("SET GLOBAL binlog_row_image=MINIMAL; SET GLOBAL binlog_checksum=NONE")?;
        let checked = Checked::source(server, "canal", "canal", &[])?.ends(READY)?;
        checked.is(
            "advice",
            "binlog_row_image",
            &["MINIMAL", "binlog_row_image=FULL"],
        )?;
        checked.is(
            "advice",
            "binlog_checksum",
            &["NONE", "binlog_checksum=CRC32"],
        )?;
        Ok(())
    })
}

#[test]
fn a_server_without_a_binlog_is_a_problem() -> Result<()> {
    let with_gtid_off = ["--skip-log-bin", "--gtid-mode=OFF"];
    for (kind, options) in [
        (Kind::MariaDb1011, &["--skip-log-bin"][..]),
        (Kind::MySql97, &["--disable-log-bin"]),
        (Kind::MySql56, &with_gtid_off),
    ] {
        if let Some(server) = Server::start(kind, options)? {
            let checked = Checked::source(&server, "canal", "canal", &[])
                .and_then(|checked| checked.ends(NOT_READY))
                .with_context(|| kind.name())?;
            checked.is("problem", "log_bin", &["OFF", "log_bin="])?;
        }
    }
    Ok(())
}

#[test]
fn tls_is_used_where_it_is_asked_for_and_missed_where_it_is_demanded() -> Result<()> {
    let required = ["--ssl-mode", "REQUIRED"];
    if let Some(server) = Server::start(Kind::MySql97, &[])? {
        let checked = Checked::source(&server, "canal", "canal", &required)?.ends(READY)?;
        ensure!(checked.stdout.contains("over TLS"), "{}", checked.stdout);
        let strict = ["--ssl-mode", "VERIFY_CA"];
        let checked = Checked::source(&server, "canal", "canal", &strict)?.ends(NOT_READY)?;
        checked.is("problem", "connection", &["TLS", "not trusted"])?;
    }
    if let Some(server) = Server::start(Kind::MariaDb1011, &[])? {
        let checked = Checked::source(&server, "canal", "canal", &required)?.ends(NOT_READY)?;
        checked.is("problem", "connection", &["no TLS", "sslMode"])?;
    }
    Ok(())
}

fn destination(conf: &Path, name: &str, address: &str, more: &str) -> Result<()> {
    let folder = conf.join(name);
    fs::create_dir_all(&folder)?;
    let text = format!(
        "canal.instance.master.address={address}\ncanal.instance.dbUsername=canal\n\
         canal.instance.dbPassword=canal\n{more}\n"
    );
    Ok(fs::write(folder.join("instance.properties"), text)?)
}

#[test]
fn each_destination_of_a_folder_is_judged_for_itself() -> Result<()> {
    let Some(server) = Server::start(Kind::MariaDb1011, &[])? else {
        return Ok(());
    };
    let scratch = Scratch::new()?;
    let conf = scratch.path().join("conf");
    fs::create_dir_all(&conf)?;
    fs::write(
        conf.join("canal.properties"),
        "canal.destinations=gone,good,lost\ncanal.file.data.dir=${canal.conf.dir}\n",
    )?;
    let address = format!("127.0.0.1:{}", server.fact("port")?);
    destination(&conf, "good", &address, "")?;
    // Nobody listens on port 1 of a machine that runs tests.
    destination(&conf, "gone", "127.0.0.1:1", "")?;
    let start = "canal.instance.master.journal.name=binlog.000099\n\
                 canal.instance.master.position=4";
    destination(&conf, "lost", &address, start)?;
    let checked = Checked::of(&["--conf", &conf.display().to_string()])?.ends(NOT_READY)?;
    for line in [
        "good: ready",
        "gone: not ready, 1 problem",
        "lost: not ready, 1 problem",
    ] {
        ensure!(
            checked.stdout.lines().any(|said| said.starts_with(line)),
            "no {line:?}: {}",
            checked.stdout
        );
    }
    checked.is("problem", "connection", &["127.0.0.1:1", "refused"])?;
    ensure!(
        checked.stdout.contains("binlog.000099:4: "),
        "the lost place is not named: {}",
        checked.stdout
    );
    ensure!(
        checked
            .stderr
            .contains("not ready: gone, lost (2 of 3 destinations)"),
        "{}",
        checked.stderr
    );
    Ok(())
}

#[test]
fn a_destination_that_has_begun_is_judged_by_where_it_stands() -> Result<()> {
    let Some(server) = Server::start(Kind::MariaDb1011, &[])? else {
        return Ok(());
    };
    let scratch = Scratch::new()?;
    let conf = scratch.path().join("conf");
    fs::create_dir_all(&conf)?;
    fs::write(
        conf.join("canal.properties"),
        format!(
            "canal.destinations=example\ncanal.file.data.dir={}\n",
            scratch.path().display()
        ),
    )?;
    destination(
        &conf,
        "example",
        &format!("127.0.0.1:{}", server.fact("port")?),
        "",
    )?;
    let plan = Plan::new(server.source("canal", "canal")?, scratch.path());
    let canald = Canald::serve(&plan)?;
    canald.says(|line| line.contains("reading"))?;
    let check = || Checked::of(&["--conf", &conf.display().to_string()]);
    check()?
        .ends(READY)?
        .is("ok", "start", &["goes on at binlog.000001:"])?;
    canald.stop()?;
    server.purge_first_file()?;
    let checked = check()?.ends(NOT_READY)?;
    checked.is("problem", "start", &["binlog.000001:", "purged"])
}
