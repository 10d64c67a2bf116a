//! Real servers, started and stopped by the script `tests/servers`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::{EXIT_UNAVAILABLE, folder, skipped, unique};

const PURGES_MAX: u32 = 100;
const PURGE_PAUSE: Duration = Duration::from_millis(100);

/// The kinds of databases that the tests use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// MariaDB 10.11
    MariaDb1011,
    /// MySQL 9.7
    MySql97,
    /// MySQL 5.6
    MySql56,
}

impl Kind {
    /// Its name in the script.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MariaDb1011 => "mariadb1011",
            Self::MySql97 => "mysql97",
            Self::MySql56 => "mysql56",
        }
    }

    /// Whether it is a MariaDB, whose JSON is a text and whose statements differ here and there.
    #[must_use]
    pub const fn is_mariadb(self) -> bool {
        matches!(self, Self::MariaDb1011)
    }
}

/// A running server of any kind, with data of its own; both end with the value, or with this process.
#[derive(Debug)]
pub(super) struct Process {
    kind: &'static str,
    name: String,
    options: Vec<String>,
    facts: BTreeMap<String, String>,
}

impl Process {
    /// Starts a server of a kind of the script, or says that it cannot be had here.
    pub(super) fn start(kind: &'static str, options: &[&str]) -> Result<Option<Self>> {
        let mut process = Self {
            kind,
            name: unique(&format!("test-{kind}")),
            options: options.iter().map(ToString::to_string).collect(),
            facts: BTreeMap::new(),
        };
        Ok(process.launch()?.then_some(process))
    }

    fn launch(&mut self) -> Result<bool> {
        let owner = std::process::id().to_string();
        let output = script()
            .args([
                "start", self.kind, "--name", &self.name, "--owner", &owner, "--",
            ])
            .args(&self.options)
            .output()
            .context("cannot run tests/servers")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(EXIT_UNAVAILABLE) {
            skipped(self.kind, &complaint);
            return Ok(false);
        }
        ensure!(
            output.status.success(),
            "{} did not start: {complaint}",
            self.kind
        );
        self.facts = String::from_utf8(output.stdout)?
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Ok(true)
    }

    /// One of the facts that the script tells of it.
    pub(super) fn fact(&self, key: &str) -> Result<&str> {
        self.facts
            .get(key)
            .map(String::as_str)
            .with_context(|| format!("{} has no fact {key}", self.name))
    }

    /// Runs its own client program to the end.
    pub(super) fn run_client(&self, arguments: &[&str]) -> Result<()> {
        run_script(&[&["client", &self.name], arguments].concat())
    }

    /// Kills it, and keeps its data.
    pub(super) fn crash(&self) -> Result<()> {
        run_script(&["stop", "--keep", "--kill", &self.name])
    }

    /// Starts it again after a crash, with the same data on the same port.
    pub(super) fn restart(&mut self) -> Result<()> {
        ensure!(self.launch()?, "{} is gone", self.name);
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Should this fail, the server still ends with this process, its owner.
        let _ = run_script(&["stop", &self.name]);
    }
}

/// A running database.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    process: Process,
}

impl Server {
    /// Starts a server with further options of its own, or says that it cannot be had here.
    ///
    /// # Errors
    /// When the server is there but does not start.
    pub fn start(kind: Kind, options: &[&str]) -> Result<Option<Self>> {
        let process = Process::start(kind.name(), options)?;
        Ok(process.map(|process| Self { kind, process }))
    }

    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// One of the facts that the script tells of it.
    ///
    /// # Errors
    /// When there is no such fact.
    pub fn fact(&self, key: &str) -> Result<&str> {
        self.process.fact(key)
    }

    /// The URL of this server as a source for an account.
    ///
    /// # Errors
    /// When the script did not tell the port.
    pub fn source(&self, user: &str, password: &str) -> Result<String> {
        Ok(format!(
            "mysql://{user}:{password}@127.0.0.1:{}",
            self.fact("port")?
        ))
    }

    /// Runs SQL as root and returns the client's tab-separated rows, without headers.
    ///
    /// # Errors
    /// When a statement fails, with the server's message.
    pub fn sql(&self, sql: &str) -> Result<String> {
        let mut child = self.client()?;
        let Some(mut input) = child.stdin.take() else {
            bail!("the client has no input")
        };
        let text = sql.to_owned();
        // The client may answer before it has read everything: write beside reading.
        let writer = thread::spawn(move || input.write_all(text.as_bytes()));
        let output = child.wait_with_output()?;
        let written = writer.join();
        check(&output, sql)?;
        ensure!(
            matches!(written, Ok(Ok(()))),
            "the client did not read the whole of: {}",
            head(sql)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Deletes the first binlog file of a server that has had no other yet. A server keeps a file until
    /// its storage engines no longer need it for their own recovery, and while a replica reads it.
    ///
    /// # Errors
    /// When it does not let go of it.
    pub fn purge_first_file(&self) -> Result<()> {
        self.sql("CREATE DATABASE gone; FLUSH BINARY LOGS; FLUSH BINARY LOGS")?;
        for _ in 0..PURGES_MAX {
            self.sql("PURGE BINARY LOGS TO 'binlog.000003'")?;
            if !self.sql("SHOW BINARY LOGS")?.contains("binlog.000001") {
                return Ok(());
            }
            thread::sleep(PURGE_PAUSE);
        }
        bail!("{} does not let go of its first file", self.process.name)
    }

    /// The server's own client program, waiting for SQL on its standard input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn client(&self) -> Result<Child> {
        script()
            .args([
                "client",
                &self.process.name,
                "--batch",
                "--skip-column-names",
                "--raw",
                "--default-character-set=utf8mb4",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run tests/servers")
    }

    /// Starts it again with the same data on the same port, as a crash and its repair would.
    ///
    /// # Errors
    /// When it does not start.
    pub fn crash_and_restart(&mut self) -> Result<()> {
        self.process.crash()?;
        self.process.restart()
    }
}

fn script() -> Command {
    Command::new(folder().join("servers"))
}

fn run_script(arguments: &[&str]) -> Result<()> {
    let output = script()
        .args(arguments)
        .output()
        .context("cannot run tests/servers")?;
    check(&output, &arguments.join(" "))
}

fn check(output: &Output, what: &str) -> Result<()> {
    ensure!(
        output.status.success(),
        "{}: {}",
        head(what),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

fn head(text: &str) -> String {
    text.chars().take(200).collect()
}
