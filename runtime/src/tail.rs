//! `canald tail`: prints the changes that a canal server gives out.
//!
//! A batch is acknowledged once all its lines have been written to standard output, so what a reader of
//! that output lost was not acknowledged and comes again. With `--no-ack` nothing is, and all is taken back
//! in the end. A signal takes back what is open and ends the command well, also while its output is stuck;
//! so does the end of whoever reads its output.
//!
//! Without `--client-id` it is a temporary reader: an id drawn from [`ClientId::TEMPORARY_FIRST`] on, anew
//! for each connection. canald stores nothing for those, starts them at the newest entry, and forgets them
//! with their connection, however that ends; so nobody's cursor moves, and a crash leaves nothing behind. A
//! temporary reader that stops asking holds back nobody for longer than `canald.reader.idle.seconds`. A
//! Java canal server knows no temporary readers: to it this is one more client, which is why it is told the
//! end of the subscription.
//!
//! The first connection must come about and be served. Later ones may be lost: it says so on standard error
//! and connects again, later and later, until it is served again.

use core::future::pending;
use std::io::{self, Write};

use anyhow::Context as _;
use bytes::Bytes;
use canald_core::client::retry::{Next, Retries};
use canald_core::client::{Awaited, ClientConfig, ClientFault, Farewell, flat};
use canald_core::entry::proto::Entry;
use canald_core::meta::identity::{ClientId, Destination};
use canald_core::request::{BatchId, Wait};
use canald_core::rng::Rng;
use canald_core::time::{Duration, WallMillis};
use prost::{DecodeError, Message as _};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::cli::{TailArgs, TailFormat};
use crate::clock::Clock as _;
use crate::driver::client::{Connection, Message, OpenFault};
use crate::env::{OsWorld, World};
use crate::exit::Exit;
use crate::output::Output;

/// Where canal servers listen.
pub const PORT_DEFAULT: u16 = 11111;

/// How long the server may hold a get that finds nothing. Its answer also shows that the server lives.
pub const GET_WAIT: Duration = Duration::from_secs(10);

/// What to print, and from where.
#[derive(Clone)]
pub struct Plan {
    /// Host of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The destination.
    pub destination: Destination,
    /// Whose place is taken.
    pub reader: Reader,
    /// Canal's filter text; empty for what is configured.
    pub filter: String,
    /// Canal's fetch size.
    pub size: u32,
    /// How changes are printed.
    pub format: TailFormat,
    /// `canal.user`
    pub user: String,
    /// Its password, if there is one.
    pub password: Option<String>,
}

/// Whose place is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Nobody's: from now on, without a trace.
    Temporary,
    /// That of a client, which goes on where it was.
    Client(ClientId),
    /// That of a client, which finds everything as it was.
    Visitor(ClientId),
}

/// An entry that makes no sense.
#[derive(Debug, Error)]
#[error("batch {batch} holds an entry that cannot be read: {why}")]
struct BadEntry {
    batch: BatchId,
    why: DecodeError,
}

/// Prints changes until it is told to stop.
///
/// # Errors
/// What ends it.
pub fn run(args: &TailArgs) -> anyhow::Result<()> {
    let plan = Plan::of(args)?;
    let world = OsWorld::new(1).context("no thread to work with")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime to work with")?;
    let result = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = reader_gone() => {}
            }
        };
        follow(&world, &plan, io::stdout(), stop).await
    });
    // A printer that nobody reads from is left behind.
    runtime.shutdown_background();
    result
}

/// Ends when nobody reads standard output any more, so that `canald tail | head` ends with `head` and not
/// with the change that comes after.
#[expect(
    deprecated,
    reason = "its successor is unsafe: the caller promises that the descriptor stays open, as standard \
              output does"
)]
async fn reader_gone() {
    // What cannot be watched, such as a file, always takes what is written.
    if let Ok(watched) = AsyncFd::with_interest(io::stdout(), Interest::ERROR)
        && watched.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    pending().await
}

impl Plan {
    fn of(args: &TailArgs) -> anyhow::Result<Self> {
        let (host, port) = place(&args.server).map_err(|error| Exit::Usage.mark(error))?;
        let reader = match (args.client_id.map(ClientId), args.no_ack) {
            (None, _) => Reader::Temporary,
            (Some(id), false) => Reader::Client(id),
            (Some(id), true) => Reader::Visitor(id),
        };
        Ok(Self {
            host,
            port,
            destination: Destination::new(&args.destination),
            reader,
            filter: args.filter.clone(),
            size: args.batch,
            format: args.format,
            user: args.user.clone(),
            password: (!args.password.is_empty()).then(|| args.password.clone()),
        })
    }

    fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn client(&self, rng: &mut Rng) -> ClientConfig {
        let id = match self.reader {
            Reader::Client(id) | Reader::Visitor(id) => id,
            Reader::Temporary => {
                let ids = i16::MAX - ClientId::TEMPORARY_FIRST + 1;
                let drawn = rng.below(u64::from(ids.unsigned_abs()));
                let drawn = i16::try_from(drawn).expect("it is below the number of ids");
                ClientId(ClientId::TEMPORARY_FIRST + drawn)
            }
        };
        let mut config = ClientConfig::new(self.destination.clone(), id);
        config.username.clone_from(&self.user);
        config.password.clone_from(&self.password);
        config.filter.clone_from(&self.filter);
        config
    }

    const fn farewell(&self) -> Farewell {
        match self.reader {
            Reader::Temporary => Farewell::Unsubscribe,
            Reader::Client(_) | Reader::Visitor(_) => Farewell::KeepPlace,
        }
    }

    /// What a reader should know who loses a connection.
    const fn about_the_gap(&self) -> &'static str {
        match self.reader {
            Reader::Temporary => "what changes until then is not shown",
            Reader::Client(_) => "what was not acknowledged comes again",
            Reader::Visitor(_) => "all comes again, since nothing was acknowledged",
        }
    }
}

/// Prints what the plan says to `out`, until `stop`.
///
/// # Errors
/// The server does not serve us, `out` takes nothing more, or an entry makes no sense.
pub async fn follow<W, O, S>(world: &W, plan: &Plan, out: O, stop: S) -> anyhow::Result<()>
where
    W: World,
    O: Write + Send + 'static,
    S: Future<Output = ()>,
{
    let mut tail = Tail {
        world,
        plan,
        rng: Rng::new(world.seed()),
        retries: Retries::default(),
        connection: None,
        printer: Some(Printer {
            out: Output::to(out),
            format: plan.format,
        }),
    };
    let result = tokio::select! {
        biased;
        () = stop => Ok(()),
        error = tail.run() => Err(error),
    };
    // Wherever it was interrupted, what is not acknowledged is taken back.
    if let Some(connection) = tail.connection {
        connection.leave(plan.farewell()).await;
    }
    result
}

struct Tail<'a, W: World, O: Write> {
    world: &'a W,
    plan: &'a Plan,
    rng: Rng,
    retries: Retries,
    connection: Option<Connection<W::Net, W::Clock>>,
    /// Absent while it prints, and for ever once it failed.
    printer: Option<Printer<O>>,
}

impl<W: World, O: Write + Send + 'static> Tail<'_, W, O> {
    /// Connects and prints until something ends it for good.
    async fn run(&mut self) -> anyhow::Error {
        loop {
            let config = self.plan.client(&mut self.rng);
            let client = config.client;
            let fault = match self.connect(config).await {
                Ok(()) => match self.print_all().await {
                    Ended::Connection(fault) => OpenFault::Client(fault),
                    Ended::Output(error) => return error,
                },
                Err(fault) => fault,
            };
            self.connection = None;
            let next = match &fault {
                OpenFault::Dial(_) => self.retries.after_dial(&mut self.rng),
                OpenFault::Client(fault) => self.retries.after(fault, client, &mut self.rng),
            };
            match next {
                Next::GiveUp => return self.explained(&fault, client),
                Next::ConnectIn(pause) => self.pause(&fault, pause).await,
            }
        }
    }

    async fn connect(&mut self, config: ClientConfig) -> Result<(), OpenFault> {
        let (world, plan, client) = (self.world, self.plan, config.client);
        let place = (plan.host.as_str(), plan.port);
        let connection = Connection::open(world.net(), world.clock(), place, config).await?;
        self.connection = Some(connection);
        let (destination, place) = (&plan.destination, plan.place());
        match plan.reader {
            Reader::Temporary => info!(
                "following {destination} on {place} from now on, as temporary reader {client}"
            ),
            Reader::Client(_) => info!("following {destination} on {place} as client {client}"),
            Reader::Visitor(_) => info!(
                "following {destination} on {place} as client {client}, acknowledging nothing"
            ),
        }
        Ok(())
    }

    async fn pause(&self, fault: &OpenFault, pause: Duration) {
        let gap = self.plan.about_the_gap();
        match fault {
            // It names the place.
            OpenFault::Dial(fault) => warn!("{fault}: connecting again in {pause:.1?}; {gap}"),
            OpenFault::Client(fault) => {
                let place = self.plan.place();
                warn!("{place}: {fault}: connecting again in {pause:.1?}; {gap}");
            }
        }
        let clock = self.world.clock();
        clock.sleep_until(clock.now() + pause).await;
    }

    async fn print_all(&mut self) -> Ended {
        loop {
            let message = match self.next().await {
                Ok(Some(message)) => message,
                Ok(None) => continue,
                Err(fault) => return Ended::Connection(fault),
            };
            let id = message.id;
            if let Err(error) = self.print(message).await {
                return Ended::Output(error);
            }
            if let Err(fault) = self.acknowledge(id).await {
                return Ended::Connection(fault);
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Message>, ClientFault> {
        let size = self.plan.size;
        let message = self.connected().get(size, Wait::AtMost(GET_WAIT)).await?;
        self.retries.note_served();
        Ok(message)
    }

    /// Prints all that is in a batch, beside the connection: whoever reads may be slow.
    async fn print(&mut self, message: Message) -> anyhow::Result<()> {
        let mut printer = self.printer.take().expect("it prints one batch at a time");
        let wall = self.world.clock().wall();
        let printing = tokio::task::spawn_blocking(move || {
            let printed = printer.print(message.id, message.entries, wall);
            (printer, printed)
        });
        let (printer, printed) = printing.await.context("printing broke off")?;
        self.printer = Some(printer);
        printed
    }

    async fn acknowledge(&mut self, batch: BatchId) -> Result<(), ClientFault> {
        match self.plan.reader {
            Reader::Temporary | Reader::Client(_) => self.connected().ack(batch).await,
            Reader::Visitor(_) => Ok(()),
        }
    }

    fn connected(&mut self) -> &mut Connection<W::Net, W::Clock> {
        self.connection.as_mut().expect("it prints while connected")
    }

    /// What a person is told who has to change something.
    fn explained(&self, fault: &OpenFault, client: ClientId) -> anyhow::Error {
        let (place, destination) = (self.plan.place(), &self.plan.destination);
        let text = match fault {
            OpenFault::Dial(fault) => format!("{fault}: does a canal server listen there?"),
            OpenFault::Client(fault) if fault.is_superseded() => format!(
                "{place}: another connection took the place of client {client}: \
                 only one can have it at a time"
            ),
            OpenFault::Client(ClientFault::Refused {
                awaited: Awaited::Admission,
                message,
                ..
            }) => format!(
                "{place}: {message}: --user and --password (or CANALD_PASSWORD) must be what \
                 canal.user and canal.passwd are there"
            ),
            OpenFault::Client(ClientFault::Refused {
                awaited: Awaited::Subscription,
                message,
                ..
            }) => format!(
                "{place}: {message}: check --destination {destination}, and --filter if there is one"
            ),
            OpenFault::Client(ClientFault::Refused { message, .. }) => {
                format!("{place}: {message}")
            }
            OpenFault::Client(
                fault @ (ClientFault::Disconnected {
                    awaited: Awaited::Handshake,
                }
                | ClientFault::TimedOut {
                    awaited: Awaited::Handshake,
                }
                | ClientFault::Version(_)
                | ClientFault::Unexpected { .. }
                | ClientFault::Compressed(_)
                | ClientFault::Malformed { .. }
                | ClientFault::Frame(_)),
            ) => format!("{place}: {fault}: is that the data port of a canal server?"),
            OpenFault::Client(
                fault @ (ClientFault::Disconnected { .. } | ClientFault::TimedOut { .. }),
            ) => format!("{place}: {fault}"),
        };
        Exit::Source.mark(anyhow::anyhow!(text))
    }
}

/// What ended the printing.
enum Ended {
    Connection(ClientFault),
    Output(anyhow::Error),
}

/// Where changes are printed.
struct Printer<O: Write> {
    out: Output<O>,
    format: TailFormat,
}

impl<O: Write> Printer<O> {
    fn print(&mut self, id: BatchId, entries: Vec<Bytes>, wall: WallMillis) -> anyhow::Result<()> {
        for bytes in entries {
            let lines = self.lines(id, bytes, wall).map_err(|why| {
                let error = BadEntry { batch: id, why };
                Exit::Data.mark(error.into())
            })?;
            if let Some(lines) = lines {
                writeln!(self.out, "{lines}")?;
            }
        }
        self.out.flush()?;
        Ok(())
    }

    fn lines(
        &self,
        id: BatchId,
        bytes: Bytes,
        wall: WallMillis,
    ) -> Result<Option<String>, DecodeError> {
        let entry = Entry::decode(bytes)?;
        match self.format {
            TailFormat::Flat => flat::flat(&entry, id.0, wall),
            TailFormat::Text => flat::text(&entry),
        }
    }
}

/// `HOST:PORT`, or a host alone; an address of IPv6 stands in brackets.
fn place(text: &str) -> anyhow::Result<(String, u16)> {
    let wrong = || format!("{text:?} is no server: HOST:PORT, such as db1:11111 or [::1]:11111");
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').with_context(wrong)?)),
        None => match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => anyhow::bail!(wrong()),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    anyhow::ensure!(!host.is_empty(), wrong());
    let port = match port {
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .with_context(wrong)?,
        None => PORT_DEFAULT,
    };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_perhaps_a_port() {
        for (text, host, port) in [
            ("db1:2", "db1", 2),
            ("db1", "db1", PORT_DEFAULT),
            ("[::1]:2", "::1", 2),
            ("[::1]", "::1", PORT_DEFAULT),
        ] {
            assert_eq!(place(text).unwrap(), (host.into(), port), "{text}");
        }
        for text in [
            "",
            ":1",
            "db1:",
            "db1:x",
            "db1:0",
            "db1:70000",
            "::1",
            "[::1]2",
        ] {
            let error = place(text).unwrap_err();
            assert!(error.to_string().contains("HOST:PORT"), "{text}: {error}");
        }
    }
}
