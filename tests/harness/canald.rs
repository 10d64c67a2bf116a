//! The real binary, as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// How long the binary may take until it listens, or says why it does not.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(30);
const LAST_WORDS_LINES: usize = 30;
const POLL: Duration = Duration::from_millis(20);

/// The destination of every test.
pub const DESTINATION: &str = "example";

/// What the binary is started with.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `--source`
    pub source: String,
    /// `--data`
    pub data: PathBuf,
    /// `--listen`
    pub listen: SocketAddr,
    /// Further arguments.
    pub more: Vec<String>,
    /// Keys of canal's files, given as its environment gives them.
    pub keys: Vec<(String, String)>,
}

impl Plan {
    /// Serves a source from its earliest event, on any free port.
    #[must_use]
    pub fn new(source: String, data: &Path) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            source,
            data: data.to_owned(),
            listen,
            more: vec!["--start".to_owned(), "earliest".to_owned()],
            keys: Vec::new(),
        }
    }

    /// The same on a port that stays the same over restarts.
    ///
    /// # Errors
    /// When the system has no free port.
    pub fn on_one_port(mut self) -> Result<Self> {
        self.listen = TcpListener::bind(self.listen)?.local_addr()?;
        Ok(self)
    }

    /// The same with other further arguments.
    #[must_use]
    pub fn with(mut self, more: &[&str]) -> Self {
        self.more = more.iter().map(ToString::to_string).collect();
        self
    }

    /// The same with a key set.
    #[must_use]
    pub fn key(mut self, key: &str, value: &str) -> Self {
        self.keys.push((key.to_owned(), value.to_owned()));
        self
    }

    fn arguments(&self) -> Vec<String> {
        let mut list: Vec<String> = [
            "serve",
            "--source",
            &self.source,
            "--destination",
            DESTINATION,
            "--listen",
        ]
        .iter()
        .map(ToString::to_string)
        .collect();
        list.extend([
            self.listen.to_string(),
            "--data".to_owned(),
            self.data.display().to_string(),
        ]);
        list.extend(self.more.iter().cloned());
        list
    }
}

/// A running `canald serve`; it is killed with its value.
#[derive(Debug)]
pub struct Canald {
    child: Child,
    log: Arc<Log>,
    address: SocketAddr,
}

impl Canald {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it ends before that, or takes too long; with what it said.
    pub fn serve(plan: &Plan) -> Result<Self> {
        let (child, log) = Self::spawn(plan)?;
        let mut canald = Self {
            child,
            log,
            address: plan.listen,
        };
        let Some(line) = canald
            .log
            .find(READY_WITHIN, |line| ready_address(line).is_some())
        else {
            bail!("canald did not become ready: {}", canald.log.text());
        };
        canald.address = ready_address(&line).context("the ready line has no address")?;
        Ok(canald)
    }

    /// Starts it and waits for a line that tells of a fault, whether it goes on afterwards or not.
    ///
    /// # Errors
    /// When no such line comes.
    pub fn explains(plan: &Plan, fault: impl Fn(&str) -> bool) -> Result<String> {
        let (child, log) = Self::spawn(plan)?;
        let canald = Self {
            child,
            log,
            address: plan.listen,
        };
        canald.says(fault)
    }

    fn spawn(plan: &Plan) -> Result<(Child, Arc<Log>)> {
        let mut child = command()?
            .args(plan.arguments())
            .envs(plan.keys.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start canald")?;
        let Some(stderr) = child.stderr.take() else {
            bail!("canald has no standard error")
        };
        Ok((child, Log::follow(stderr)))
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on its standard error, past or future.
    ///
    /// # Errors
    /// When no such line comes; with all that it said.
    pub fn says(&self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        self.log
            .find(READY_WITHIN, wanted)
            .with_context(|| format!("canald did not say it, but: {}", self.log.text()))
    }

    /// The last lines that it said, to stand beside a failure.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = self.log.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS_LINES)..].join("\n")
    }

    /// Stops all of it where it stands, as `kill -STOP` does.
    ///
    /// # Errors
    /// When it is gone.
    pub fn pause(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resume(&self) -> Result<()> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status()?;
        ensure!(sent.success(), "canald had ended: {}", self.log.text());
        Ok(())
    }

    /// Ends it as `kill -9` does.
    ///
    /// # Errors
    /// When it had ended by itself, which it must not.
    pub fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "canald had ended by itself with {status}: {}",
                self.log.text()
            );
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// When it does not stop, or not cleanly.
    pub fn stop(mut self) -> Result<()> {
        self.signal("-TERM")?;
        let status = self.wait(STOP_WITHIN)?;
        ensure!(
            status.success(),
            "canald stopped with {status}: {}",
            self.log.text()
        );
        Ok(())
    }

    fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let limit = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(
                Instant::now() < limit,
                "canald does not end: {}",
                self.log.text()
            );
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Canald {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a short command of the binary to its end.
///
/// # Errors
/// When it cannot be started.
pub fn run(arguments: &[&str]) -> Result<Output> {
    command()?
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("cannot start canald")
}

/// The binary named by `CANALD_BIN`, else this workspace's own, built if need be. Timestamps are
/// shown in the zone of the process, so that is fixed.
fn command() -> Result<Command> {
    static BINARY: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let path = BINARY.get_or_init(|| binary().map_err(|error| format!("{error:#}")));
    let path = path.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut command = Command::new(path);
    command.env("TZ", "UTC");
    Ok(command)
}

fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CANALD_BIN") {
        return Ok(path.into());
    }
    // A test's own binary lies in TARGET/PROFILE/deps.
    let own = std::env::current_exe()?;
    let profile = own
        .parent()
        .and_then(Path::parent)
        .context("the test binary lies in no target folder")?;
    let target = profile
        .parent()
        .context("the test binary lies in no target folder")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([
            "build",
            "--quiet",
            "-p",
            "canald",
            "--bin",
            "canald",
            "--target-dir",
        ])
        .arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
    ensure!(
        output.status.success(),
        "canald does not build: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(profile.join("canald"))
}

/// The address in the line that says that the binary listens.
fn ready_address(line: &str) -> Option<SocketAddr> {
    if !line.contains("ready") {
        return None;
    }
    line.split(|c: char| c.is_whitespace() || c == '=' || c == ',')
        .find_map(|word| word.trim_end_matches('.').parse().ok())
}

/// What a process has said so far.
#[derive(Debug, Default)]
struct Log {
    said: Mutex<Said>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    fn follow(stderr: ChildStderr) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let writer = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr)
                .split(b'\n')
                .map_while(std::result::Result::ok)
            {
                writer
                    .lock()
                    .lines
                    .push(String::from_utf8_lossy(&line).into_owned());
                writer.more.notify_all();
            }
            writer.lock().ended = true;
            writer.more.notify_all();
        });
        log
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, within: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let limit = Instant::now() + within;
        let mut said = self.lock();
        loop {
            if let Some(line) = said.lines.iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            let left = limit.checked_duration_since(Instant::now())?;
            if said.ended {
                return None;
            }
            said = self
                .more
                .wait_timeout(said, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn text(&self) -> String {
        self.lock().lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_tells_the_address() {
        let address = "127.0.0.1:11111".parse().ok();
        for line in [
            "INFO ready on 127.0.0.1:11111",
            "canald is ready, listening=127.0.0.1:11111.",
            "ready: 127.0.0.1:11111",
        ] {
            assert_eq!(ready_address(line), address, "{line}");
        }
        assert_eq!(ready_address("dialing 127.0.0.1:3306"), None);
    }
}
