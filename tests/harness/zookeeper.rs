//! A real ZooKeeper, and a machine that asks it and hears of it, as those of the core do, but written out by
//! each test.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use canald::zookeeper::{Signals, ZooKeeper, ZooKeeperConfig};
use canald_core::coordination::{
    Effect, NodeLife, NodePath, NodeRead, Outcome, Signal, Ticket, Value, ZkSessionId,
};

use super::server::Process;
use super::unique;

/// Whatever takes longer never comes.
pub const DEADLINE: Duration = Duration::from_secs(90);
/// Long enough that no session ends because the machine is busy.
const SESSION_TIMEOUT: Duration = Duration::from_secs(60);
/// Short, so that a dead connection is noticed soon.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// The server's option that allows such sessions.
const LONG_SESSIONS: &str = "maxSessionTimeout=60000";

/// A running ZooKeeper with data of its own; both end with the value, or with this process.
#[derive(Debug)]
pub struct Server(Process);

impl Server {
    /// Starts a server, or says that it cannot be had here.
    ///
    /// # Errors
    /// When the server is there but does not start.
    pub fn start() -> Result<Option<Self>> {
        Self::with(&[LONG_SESSIONS])
    }

    /// As [`Self::start`], with lines of its configuration.
    ///
    /// # Errors
    /// When the server is there but does not start.
    pub fn with(lines: &[&str]) -> Result<Option<Self>> {
        Ok(Process::start("zookeeper", lines)?.map(Self))
    }

    /// Where it is, as `canal.zkServers` writes it.
    ///
    /// # Errors
    /// When the script did not tell.
    pub fn address(&self) -> Result<&str> {
        self.0.fact("connect")
    }

    /// The port of [`Server::address`].
    ///
    /// # Errors
    /// When the script did not tell.
    pub fn port(&self) -> Result<u16> {
        Ok(self.0.fact("port")?.parse()?)
    }

    /// What it answers to one of its commands of four letters.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn four_letters(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address()?)?;
        stream.write_all(command.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Runs one command of ZooKeeper's own client program.
    ///
    /// # Errors
    /// When it fails.
    pub fn run(&self, command: &[&str]) -> Result<()> {
        self.0.run_client(command)
    }

    /// Kills it, and keeps its data.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn crash(&self) -> Result<()> {
        self.0.crash()
    }

    /// Starts it again after a crash, with the same data on the same port.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.0.restart()
    }
}

/// Both sides of the adapter, with tickets.
#[derive(Debug)]
pub struct Machine {
    zookeeper: ZooKeeper,
    signals: Signals,
    tickets: u64,
}

impl Machine {
    /// Opens a session at servers, as `canal.zkServers` writes them, and waits for it.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn connect(servers: &str) -> Result<(Self, ZkSessionId)> {
        let mut machine = Self::open(&config(servers)?);
        let session = machine.hear_connected().await?;
        Ok((machine, session))
    }

    /// Begins to seek a session.
    #[must_use]
    pub fn open(config: &ZooKeeperConfig) -> Self {
        let (zookeeper, signals) = ZooKeeper::open(config.clone());
        Self {
            zookeeper,
            signals,
            tickets: 0,
        }
    }

    /// Another machine over the same session.
    #[must_use]
    pub fn another(&self) -> Self {
        let (zookeeper, signals) = self.zookeeper.another();
        Self {
            zookeeper,
            signals,
            tickets: 0,
        }
    }

    /// Asks, under the next ticket; the answer is awaited by whoever wants it.
    pub fn ask(
        &mut self,
        effect: Effect,
    ) -> (Ticket, impl Future<Output = Result<Outcome>> + use<>) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let outcome = self.zookeeper.perform(ticket, effect);
        let outcome = async {
            tokio::time::timeout(DEADLINE, outcome)
                .await
                .context("an effect has no outcome")
        };
        (ticket, outcome)
    }

    /// Asks, and waits for the outcome.
    ///
    /// # Errors
    /// When there is none.
    pub async fn perform(&mut self, effect: Effect) -> Result<Outcome> {
        self.ask(effect).1.await
    }

    /// Asks for what must be done.
    ///
    /// # Errors
    /// When it is not done.
    pub async fn done(&mut self, effect: Effect) -> Result<Value> {
        let text = format!("{effect:.200?}");
        match self.perform(effect).await? {
            Outcome::Done(value) => Ok(value),
            Outcome::Refused(refusal) => bail!("{text} is refused: {refusal:?}"),
            Outcome::Unknown(how) => bail!("{text} is unknown: {how}"),
        }
    }

    /// Makes a node with data.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn create(&mut self, path: &NodePath, data: &str, life: NodeLife) -> Result<()> {
        let data = Bytes::copy_from_slice(data.as_bytes());
        let value = self.done(Effect::Create(path.clone(), data, life)).await?;
        ensure!(value == Value::Done, "{value:?}");
        Ok(())
    }

    /// A node of its own for a test.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn ground(&mut self) -> Result<NodePath> {
        let path = NodePath::new(format!("/{}", unique("ground")));
        self.create(&path, "", NodeLife::Persistent).await?;
        Ok(path)
    }

    /// Reads a node.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(&mut self, path: &NodePath) -> Result<Option<NodeRead>> {
        node(self.done(Effect::Read(path.clone())).await?)
    }

    /// Reads a node and watches it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn watch(&mut self, path: &NodePath) -> Result<(Ticket, Option<NodeRead>)> {
        let (ticket, outcome) = self.ask(Effect::ReadAndWatch(path.clone()));
        let outcome = outcome.await?;
        let Outcome::Done(value) = outcome else {
            bail!("{path} cannot be watched: {outcome:?}")
        };
        Ok((ticket, node(value)?))
    }

    /// The next signal.
    ///
    /// # Errors
    /// When none comes, or never will.
    pub async fn hear(&mut self) -> Result<Signal> {
        tokio::time::timeout(DEADLINE, self.signals.next())
            .await
            .context("no signal comes")?
            .context("the session is closed")
    }

    /// The next signal, which must be this one.
    ///
    /// # Errors
    /// When it is another, or none.
    pub async fn hears(&mut self, expected: Signal) -> Result<()> {
        let signal = self.hear().await?;
        ensure!(signal == expected, "{signal:?} instead of {expected:?}");
        Ok(())
    }

    /// The next signal, which must tell of a connection.
    ///
    /// # Errors
    /// When it is another, or none.
    pub async fn hear_connected(&mut self) -> Result<ZkSessionId> {
        let signal = self.hear().await?;
        let Signal::Connected { session, .. } = signal else {
            bail!("{signal:?} instead of a connection")
        };
        Ok(session)
    }

    /// Asks nothing any more, and waits until the session is closed.
    ///
    /// # Errors
    /// When it is not.
    pub async fn close(self) -> Result<()> {
        let Self {
            zookeeper,
            mut signals,
            ..
        } = self;
        drop(zookeeper);
        let end = tokio::time::timeout(DEADLINE, signals.next()).await;
        ensure!(end == Ok(None), "the session does not close: {end:?}");
        Ok(())
    }
}

/// A configuration with timeouts that suit tests.
///
/// # Errors
/// When the text is none of canal's.
pub fn config(servers: &str) -> Result<ZooKeeperConfig> {
    Ok(ZooKeeperConfig {
        session_timeout: SESSION_TIMEOUT,
        connection_timeout: Some(CONNECTION_TIMEOUT),
        ..ZooKeeperConfig::parse(servers)?
    })
}

/// The text of an outcome that nobody knows.
///
/// # Errors
/// When it is known.
pub fn unknown(outcome: Outcome) -> Result<String> {
    let Outcome::Unknown(how) = outcome else {
        bail!("it is known: {outcome:?}")
    };
    Ok(how)
}

fn node(value: Value) -> Result<Option<NodeRead>> {
    let Value::Node(node) = value else {
        bail!("no node, but {value:?}")
    };
    Ok(node)
}
