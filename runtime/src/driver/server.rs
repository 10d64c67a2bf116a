//! Runs a whole server: takes the data folder and the port, reads the records, and starts one task per
//! destination and one per connection.
//!
//! At the end connections are told first, then destinations store what must be stored.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use canald_core::config::Credentials;
use canald_core::instance::{ConfigFault, Instance};
use canald_core::meta::identity::Destination;
use canald_core::request::SessionId;
use canald_core::session::{AUTH_TIMEOUT_DEFAULT, Session, SessionConfig};
use canald_core::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::clock::Clock as _;
use crate::config::{DestinationConfig, ServerConfig};
use crate::driver::cluster::Cluster;
use crate::driver::inbox::{Inbox, Instances};
use crate::driver::instance::{InstanceDriver, Standing, WorkerLost};
use crate::driver::node::NodeDriver;
use crate::driver::owner::OwnerDriver;
use crate::driver::record::{self, Keeper, RecordFault};
use crate::driver::session::SessionDriver;
use crate::env::World;
use crate::files::{FileFault, Files as _, LockFault};
use crate::net::Net as _;
use crate::watch;

/// Pause after an accept that failed: the process is out of descriptors, or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections may take to hear that the server stops.
const TELL_WITHIN: Duration = Duration::from_secs(1);

/// How long destinations may take to store what they must at the end.
pub const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How long ZooKeeper may take to end our session at the end; then it ends by its timeout.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Why a server does not run, or ended.
#[derive(Debug, Error)]
pub enum ServerFault {
    /// The data folder is not ours.
    #[error(transparent)]
    Lock(#[from] LockFault),
    /// The data folder does not keep who we are.
    #[error(transparent)]
    Identity(#[from] FileFault),
    /// A destination's record.
    #[error("destination {destination} does not start: {fault}")]
    Record {
        /// Which.
        destination: Destination,
        /// Why.
        fault: RecordFault,
    },
    /// A destination's configuration.
    #[error("destination {destination} does not start: {fault}")]
    Config {
        /// Which.
        destination: Destination,
        /// Why.
        fault: ConfigFault,
    },
    /// The port.
    #[error("cannot listen on {at}: {cause}; choose another with --listen or canal.port")]
    Listen {
        /// Where.
        at: SocketAddr,
        /// The system's words.
        cause: io::Error,
    },
    /// No destination could begin, and trying again cannot mend it.
    #[error("nothing can be served: {}", .0.join("; "))]
    NoneStarted(Vec<String>),
    /// Every destination ended through a fault of canald itself.
    #[error("every destination has failed: see the log")]
    AllFailed,
    /// At the end not everything could be stored.
    #[error(
        "stopped, but within {} s not every destination could store its cursors: what clients \
         acknowledged last may be given out again", STOP_WITHIN.as_secs()
    )]
    NotStored,
}

/// A destination that is to be run.
struct Driver<W: World> {
    name: Destination,
    kind: Kind<W>,
    inbox: Inbox,
}

/// How a destination is run.
enum Kind<W: World> {
    /// By this server alone.
    Alone(Box<InstanceDriver<W>>, Arc<watch::Sender<Standing>>),
    /// By one server of a cluster.
    Owner(Box<OwnerDriver<W>>),
}

impl<W: World> Kind<W> {
    fn standing(&self) -> watch::Receiver<Standing> {
        match self {
            Self::Alone(_, standing) => standing.subscribe(),
            Self::Owner(driver) => driver.standing(),
        }
    }

    async fn run(self, mut inbox: Inbox, stop: watch::Receiver<bool>) -> Result<(), WorkerLost> {
        match self {
            Self::Alone(driver, _) => driver.run(&mut inbox, stop).await,
            Self::Owner(driver) => {
                driver.run(inbox, stop).await;
                Ok(())
            }
        }
    }
}

/// A server that has its folder and its port.
pub struct Server<W: World> {
    world: W,
    credentials: Credentials,
    listener: <W::Net as crate::net::Net>::Listener,
    address: SocketAddr,
    instances: Instances,
    drivers: Vec<Driver<W>>,
    node: Option<NodeDriver<W::Clock>>,
    _lock: <W::Files as crate::files::Files>::Lock,
}

impl<W: World> Server<W> {
    /// Takes the data folder and the port, and reads all records. Nothing is served yet.
    ///
    /// # Errors
    /// [`ServerFault`]
    pub async fn start(world: W, config: ServerConfig) -> Result<Self, ServerFault> {
        let lock = world.files().lock(&config.data).await?;
        let listen = |cause| ServerFault::Listen {
            at: config.listen,
            cause,
        };
        // Before anybody is told where to find it.
        let listener = world.net().listen(config.listen).await.map_err(listen)?;
        let address = world.net().local_addr(&listener).map_err(listen)?;
        let cluster = match &config.cluster {
            Some(cluster) => Some(Cluster::join(&world, &config.data, cluster, address).await?),
            None => None,
        };
        let names = config.destinations.iter();
        let names = names.map(|d| d.instance.destination.clone());
        let (instances, mut inboxes) = Instances::new(names);
        let mut drivers = Vec::new();
        for destination in config.destinations {
            let name = destination.instance.destination.clone();
            let inbox = inboxes.remove(&name);
            let inbox = inbox.expect("the configuration names each destination once");
            let inbox = Inbox::new(inbox);
            let kind = match &cluster {
                Some(cluster) => Kind::Owner(Box::new(cluster.driver(&world, destination))),
                None => alone(&world, destination).await?,
            };
            drivers.push(Driver { name, kind, inbox });
        }
        Ok(Self {
            credentials: config.credentials,
            listener,
            address,
            instances,
            drivers,
            node: cluster.map(|cluster| cluster.node),
            _lock: lock,
            world,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What each destination is doing, to be followed from here on.
    #[must_use]
    pub fn standings(&self) -> Vec<(Destination, watch::Receiver<Standing>)> {
        let drivers = self.drivers.iter();
        let standings = drivers.map(|driver| (driver.name.clone(), driver.kind.standing()));
        standings.collect()
    }

    /// Serves until `stop` ends, then stores what must be stored.
    ///
    /// # Errors
    /// [`ServerFault`]
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServerFault> {
        let standings = self.standings();
        let Self {
            world,
            credentials,
            listener,
            instances,
            drivers,
            node,
            _lock,
            ..
        } = self;
        let (stop_sessions, sessions_stop) = watch::channel(false);
        let (stop_instances, instances_stop) = watch::channel(false);
        let (alive, mut all_gone) = mpsc::channel(1);
        let accepting = accept(
            world.clone(),
            listener,
            credentials,
            instances,
            (sessions_stop, alive),
        );
        let mut running = Vec::new();
        for Driver { name, kind, inbox } in drivers {
            let run = kind.run(inbox, instances_stop.clone());
            running.push((name, tokio::spawn(run)));
        }
        // In a cluster what does not begin here is given away, and may begin elsewhere.
        let alone = node.is_none();
        let (stop_node, node_stop) = watch::channel(false);
        let proving = node.map(|node| tokio::spawn(node.run(node_stop)));
        let outcome = tokio::select! {
            biased;
            () = stop => Ok(()),
            reasons = none_started(standings.clone()), if alone => Err(ServerFault::NoneStarted(reasons)),
            () = all_ended(standings) => Err(ServerFault::AllFailed),
            never = accepting => match never {},
        };
        info!("stopping");
        let now = world.clock().now();
        stop_sessions.send_replace(true);
        tokio::select! {
            biased;
            _ = all_gone.recv() => {}
            () = world.clock().sleep_until(now + TELL_WITHIN) => {}
        }
        stop_instances.send_replace(true);
        let deadline = now + STOP_WITHIN;
        let stored = tokio::select! {
            biased;
            () = ended(running) => true,
            () = world.clock().sleep_until(deadline) => false,
        };
        stop_node.send_replace(true);
        if let Some(closing) = proving {
            let within = world.clock().now() + CLOSE_WITHIN;
            tokio::select! {
                biased;
                _ = closing => {}
                () = world.clock().sleep_until(within) => {}
            }
        }
        outcome.and(if stored {
            Ok(())
        } else {
            Err(ServerFault::NotStored)
        })
    }
}

/// The driver of a destination that this server runs alone.
async fn alone<W: World>(world: &W, config: DestinationConfig) -> Result<Kind<W>, ServerFault> {
    let name = config.instance.destination.clone();
    let loaded = record::load(world.files(), &config.folder).await;
    let mut loaded = loaded.map_err(|fault| ServerFault::Record {
        destination: name.clone(),
        fault,
    })?;
    record::localise(
        world.net(),
        &mut loaded.record,
        &config.instance.source.host,
    )
    .await;
    for note in &loaded.notes {
        warn!(destination = %name, "{note}");
    }
    let (seed, now) = (world.seed(), world.clock().now());
    let machine = Instance::new(config.instance.clone(), loaded.record, seed, now);
    let machine = machine.map_err(|fault| ServerFault::Config {
        destination: name,
        fault,
    })?;
    let standing = Arc::new(watch::Sender::new(Standing::of(&machine)));
    let keeper = Keeper::File(world.files().clone(), record::path(&config.folder));
    let driver = InstanceDriver::new(
        world.clone(),
        config,
        machine,
        keeper,
        Arc::clone(&standing),
    );
    Ok(Kind::Alone(Box::new(driver), standing))
}

/// Takes connections for ever.
async fn accept<W: World>(
    world: W,
    mut listener: <W::Net as crate::net::Net>::Listener,
    credentials: Credentials,
    instances: Instances,
    (stop, alive): (watch::Receiver<bool>, mpsc::Sender<()>),
) -> core::convert::Infallible {
    let mut next = 0;
    loop {
        let (stream, peer) = match world.net().accept(&mut listener).await {
            Ok(accepted) => accepted,
            Err(cause) => {
                warn!("a connection could not be taken: {cause}");
                let clock = world.clock();
                clock.sleep_until(clock.now() + ACCEPT_PAUSE).await;
                continue;
            }
        };
        next += 1;
        let id = SessionId(next);
        let config = SessionConfig {
            id,
            credentials: credentials.clone(),
            auth_timeout: AUTH_TIMEOUT_DEFAULT,
        };
        let clock = world.clock().clone();
        let machine = Session::new(config, world.seed(), clock.now());
        let driver = SessionDriver::new((stream, peer), clock, (id, machine), instances.clone());
        let (stop, alive) = (stop.clone(), alive.clone());
        tokio::spawn(async move {
            driver.run(stop).await;
            drop(alive);
        });
    }
}

/// Ends when every destination stopped before it read anything, for reasons that stay.
async fn none_started(standings: Vec<(Destination, watch::Receiver<Standing>)>) -> Vec<String> {
    let mut reasons = Vec::new();
    for (name, mut standing) in standings {
        if standing.wait_for(|s| s.failed_at_start).await.is_err() {
            // It has ended, which is another matter.
            core::future::pending().await
        }
        let reason = &standing.borrow_and_update().reason;
        reasons.push(format!("{name}: {reason}"));
    }
    reasons
}

/// Ends when no destination's task runs any more.
async fn all_ended(standings: Vec<(Destination, watch::Receiver<Standing>)>) {
    for (_, mut standing) in standings {
        while standing.changed().await.is_ok() {}
    }
}

async fn ended(running: Vec<(Destination, JoinHandle<Result<(), WorkerLost>>)>) {
    for (name, task) in running {
        match task.await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => error!(destination = %name, "{fault}"),
            Err(fault) => error!(destination = %name, "{fault}"),
        }
    }
}
