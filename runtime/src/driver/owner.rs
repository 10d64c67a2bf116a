//! Runs one destination in a cluster: its candidacy, and the instance while the candidacy says so.
//!
//! Two phases that follow each other. While the destination is not owned here, sessions that ask for it are told
//! who owns it. While it is, an [`InstanceDriver`] runs inside of this task; when the tenure ends it is dropped
//! where it stands, with its links to the source, and every session that it served is closed: only that makes a
//! canal client look for the owner again (ha-meta-store reference, M11).

use core::pin::pin;
use std::sync::Arc;

use canald_core::coordination::{Effect, Ticket};
use canald_core::election::candidacy::{Candidacy, Input, Output};
use canald_core::instance::Instance;
use canald_core::meta::identity::Destination;
use canald_core::meta::record::MetaRecord;
use canald_core::node::Proved;
use canald_core::request::{Refusal, Reply};
use canald_core::session::CloseReason;
use canald_core::status::Stage;
use canald_core::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, trace, warn};

use crate::clock::Clock as _;
use crate::config::DestinationConfig;
use crate::driver::coordination::{Line, Said};
use crate::driver::inbox::{Inbox, ToInstance, ToSession};
use crate::driver::instance::{InstanceDriver, Standing};
use crate::driver::record::{Keeper, Order, localise};
use crate::env::World;
use crate::watch;
use crate::zookeeper::{Signals, ZooKeeper};

/// What came first.
enum Event {
    Stop,
    Said(Said),
    Proved,
    Timer,
}

/// How the time in which a destination is not owned here ends.
enum Turn {
    Start(Box<MetaRecord>),
    Stopped,
}

/// The driver of one destination in a cluster.
pub struct OwnerDriver<W: World> {
    world: W,
    config: DestinationConfig,
    destination: Destination,
    machine: Candidacy,
    line: Line,
    proved: watch::Receiver<Proved>,
    /// Until when what runs may serve.
    lease: watch::Sender<Instant>,
    standing: Arc<watch::Sender<Standing>>,
    stopping: bool,
}

impl<W: World> OwnerDriver<W> {
    /// A driver for `machine`. What the destination is doing is told by `standing`.
    #[must_use]
    pub fn new(
        world: W,
        config: DestinationConfig,
        machine: Candidacy,
        zookeeper: (ZooKeeper, Signals),
        proved: watch::Receiver<Proved>,
    ) -> Self {
        let standing = Arc::new(watch::Sender::new(standing(&machine)));
        Self {
            world,
            destination: config.instance.destination.clone(),
            config,
            machine,
            line: Line::new(zookeeper),
            proved,
            lease: watch::Sender::new(Instant::ZERO),
            standing,
            stopping: false,
        }
    }

    /// Follows what the destination is doing.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Runs until `stop` is true and the destination is given away.
    pub async fn run(mut self, mut inbox: Inbox, mut stop: watch::Receiver<bool>) {
        loop {
            match self.stand_by(&mut inbox, &mut stop).await {
                Turn::Start(record) => self.own(record, &mut inbox, &mut stop).await,
                Turn::Stopped => return,
            }
            let destination = self.destination.clone();
            inbox.close_all(&CloseReason::OwnershipLost { destination });
        }
    }

    /// The time in which the destination is not owned here.
    async fn stand_by(&mut self, inbox: &mut Inbox, stop: &mut watch::Receiver<bool>) -> Turn {
        loop {
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Perform(ticket, effect) => self.perform(ticket, effect),
                    Output::Start(record) => return Turn::Start(record),
                    Output::ServeUntil(until) => {
                        self.lease.send_replace(until);
                    }
                    Output::Note(note) => self.note(&note),
                    // What they are for does not run any more.
                    Output::Drain | Output::End | Output::Saved => {}
                }
            }
            if self.machine.is_stopped() {
                return Turn::Stopped;
            }
            let standing = standing(&self.machine);
            self.tell(standing);
            tokio::select! {
                biased;
                event = self.next(stop) => self.hear(event),
                message = inbox.next() => self.refuse(inbox, message),
            }
        }
    }

    /// The time in which it is: ends when the candidacy says so.
    async fn own(
        &mut self,
        mut record: Box<MetaRecord>,
        inbox: &mut Inbox,
        stop: &mut watch::Receiver<bool>,
    ) {
        let config = self.config.instance.clone();
        localise(self.world.net(), &mut record, &config.source.host).await;
        let now = self.world.clock().now();
        let machine = match Instance::new(config, *record, self.world.seed(), now) {
            Ok(machine) => machine,
            Err(fault) => {
                self.machine
                    .handle_input(now, Input::Failed(fault.to_string()));
                return;
            }
        };
        info!(destination = %self.destination, "owned here from now on");
        let (orders, mut ordered) = mpsc::unbounded_channel();
        let (drain, drained) = watch::channel(false);
        let driver = InstanceDriver::new(
            self.world.clone(),
            self.config.clone(),
            machine,
            Keeper::Owner(orders),
            Arc::clone(&self.standing),
        );
        let driver = driver.under(self.lease.subscribe());
        let mut running = pin!(driver.run(inbox, drained));
        let (mut saving, mut is_over) = (None, false);
        let mut standing = self.standing.subscribe();
        loop {
            if self.carry_out(&drain, &mut saving) {
                info!(destination = %self.destination, "not owned here any more");
                return;
            }
            tokio::select! {
                biased;
                event = self.next(stop) => self.hear(event),
                Ok(()) = standing.changed() => {
                    let standing = standing.borrow_and_update().clone();
                    self.judge(standing);
                }
                Some(order) = ordered.recv() => saving = Some(self.save(order)),
                result = &mut running, if !is_over => {
                    is_over = true;
                    self.ended(result.map_err(|fault| fault.to_string()));
                }
            }
        }
    }

    /// Does what the candidacy wants of a destination that runs; true if it is over.
    fn carry_out(
        &mut self,
        drain: &watch::Sender<bool>,
        saving: &mut Option<oneshot::Sender<()>>,
    ) -> bool {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Perform(ticket, effect) => self.perform(ticket, effect),
                Output::ServeUntil(until) => {
                    self.lease.send_replace(until);
                }
                Output::Drain => {
                    drain.send_replace(true);
                }
                Output::Saved => {
                    if let Some(done) = saving.take() {
                        let _ = done.send(());
                    }
                }
                Output::Note(note) => self.note(&note),
                Output::End => return true,
                Output::Start(_) => unreachable!("a start follows the end of what ran before"),
            }
        }
        false
    }

    fn save(&mut self, (record, done): Order) -> oneshot::Sender<()> {
        let now = self.world.clock().now();
        self.machine.handle_input(now, Input::Save(record));
        done
    }

    /// What runs is doing something else: it has started once it reads, or cannot.
    fn judge(&mut self, standing: Standing) {
        let now = self.world.clock().now();
        if standing.failed_at_start {
            let why = Input::Failed(standing.reason);
            self.machine.handle_input(now, why);
        } else if standing.stage == Stage::Streaming {
            self.machine.handle_input(now, Input::Started);
        }
    }

    /// What ran has ended by itself.
    fn ended(&mut self, result: Result<(), String>) {
        let input = match result {
            Ok(()) => Input::Drained,
            Err(why) => {
                error!(destination = %self.destination, "{why}");
                Input::Failed(why)
            }
        };
        let now = self.world.clock().now();
        self.machine.handle_input(now, input);
    }

    async fn next(&mut self, stop: &mut watch::Receiver<bool>) -> Event {
        let deadline = self.machine.poll_timeout();
        let Self {
            world,
            line,
            proved,
            stopping,
            ..
        } = self;
        let timer = async {
            match deadline {
                Some(at) => world.clock().sleep_until(at).await,
                None => core::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop), if !*stopping => Event::Stop,
            said = line.next() => Event::Said(said),
            Ok(()) = proved.changed() => Event::Proved,
            () = timer => Event::Timer,
        }
    }

    fn hear(&mut self, event: Event) {
        let now = self.world.clock().now();
        match event {
            Event::Stop => {
                self.stopping = true;
                self.machine.handle_input(now, Input::Stop);
            }
            Event::Said(Said::Signal(signal)) => {
                debug!(destination = %self.destination, "candidacy < {signal:?}");
                self.machine.handle_input(now, Input::Signal(signal));
                self.prove();
            }
            Event::Said(Said::Outcome(ticket, outcome)) => {
                trace!(destination = %self.destination, "candidacy < {outcome:?}");
                self.machine
                    .handle_input(now, Input::Outcome(ticket, outcome));
            }
            Event::Proved => self.prove(),
            Event::Timer => self.machine.handle_timeout(now),
        }
    }

    fn prove(&mut self) {
        let Proved { session, until } = *self.proved.borrow_and_update();
        if let Some(session) = session {
            let now = self.world.clock().now();
            self.machine.handle_input(now, Input::Lease(session, until));
        }
    }

    fn perform(&mut self, ticket: Ticket, effect: Effect) {
        trace!(destination = %self.destination, "candidacy > {effect:?}");
        self.line.perform(ticket, effect);
    }

    /// Whoever asks is told where to look.
    fn refuse(&self, inbox: &Inbox, message: ToInstance) {
        let ToInstance::Request(id, request, _) = message else {
            return;
        };
        let refusal = Refusal::NotRunning {
            destination: request.destination,
            why: self.machine.status().reason,
        };
        inbox.tell(
            id.session,
            ToSession::Reply(id, Reply::Refused(refusal), None),
        );
    }

    fn note(&self, note: &str) {
        warn!(destination = %self.destination, "{note}");
    }

    fn tell(&self, standing: Standing) {
        self.standing.send_if_modified(|known| {
            let changed = *known != standing;
            if changed {
                // On the way from one owner to the next there is much to say, and little to know.
                if standing.stage == Stage::StandingBy {
                    info!(destination = %self.destination, "{}: {}", standing.stage, standing.reason);
                } else {
                    debug!(destination = %self.destination, "{}: {}", standing.stage, standing.reason);
                }
                *known = standing;
            }
            changed
        });
    }
}

fn standing(machine: &Candidacy) -> Standing {
    let status = machine.status();
    Standing {
        stage: status.stage,
        reason: status.reason,
        failed_at_start: false,
    }
}
