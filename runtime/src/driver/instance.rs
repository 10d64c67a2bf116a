//! Runs one destination: its machine, its links to the source, its decode jobs and its record.
//!
//! One task owns all of it. It carries out what the machine wants until nothing is left, then waits for
//! whatever comes first. Clients are heard before the source is read, which bounds their wait by one
//! read; the source cannot starve, because a client waits for its answer before it asks again.

use core::future::poll_fn;
use core::task::{Context, Poll};
use std::collections::BTreeMap;
use std::sync::Arc;

use canald_core::instance::{Input, Instance, LinkId, Output, Report, Weight};
use canald_core::meta::identity::Destination;
use canald_core::pipeline::decode::{Decoded, decode};
use canald_core::pipeline::job::{DecodeJob, JobId};
use canald_core::pipeline::window::JOBS_MAX;
use canald_core::status::Stage;
use canald_core::time::Instant;
use canald_handoff::Ring;
use thiserror::Error;
use tokio::sync::Notify;
use tracing::{debug, error, info, trace, warn};

use crate::clock::Clock as _;
use crate::config::DestinationConfig;
use crate::driver::inbox::{Inbox, Lease, ToInstance, ToSession, close_reason};
use crate::driver::link::{Link, LinkEvent};
use crate::driver::record::{Keeper, Saving};
use crate::driver::trace::Shown;
use crate::env::World;
use crate::pool::Pool as _;
use crate::watch;

/// Messages taken from the inbox before the source is read again.
const MESSAGES_AT_ONCE: usize = 64;

/// A destination cannot go on, through a fault of canald itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a decode worker panicked, which is a bug in canald: its message is above")]
pub struct WorkerLost;

/// What others may know of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is doing.
    pub stage: Stage,
    /// Why.
    pub reason: String,
    /// It stopped before it ever read, and trying again cannot mend it.
    pub failed_at_start: bool,
}

/// What came first.
enum Event {
    Stop,
    Message(ToInstance),
    Decoded(JobId, Decoded),
    Lost,
    Saved(Result<(), String>),
    Link(LinkId, LinkEvent),
    Timer,
}

/// The driver of one destination.
pub struct InstanceDriver<W: World> {
    world: W,
    config: DestinationConfig,
    destination: Destination,
    machine: Instance,
    links: BTreeMap<LinkId, Link<W::Net>>,
    keeper: Keeper<W::Files>,
    /// Until when it may serve; none if that has no end.
    lease: Option<watch::Receiver<Instant>>,
    jobs: Ring<(JobId, Decoded)>,
    decoded: Arc<Notify>,
    saving: Option<Saving>,
    standing: Arc<watch::Sender<Standing>>,
}

impl<W: World> InstanceDriver<W> {
    /// A driver for `machine`, whose record `keeper` keeps. What it is doing is told by `standing`.
    #[must_use]
    pub fn new(
        world: W,
        config: DestinationConfig,
        machine: Instance,
        keeper: Keeper<W::Files>,
        standing: Arc<watch::Sender<Standing>>,
    ) -> Self {
        Self {
            world,
            destination: config.instance.destination.clone(),
            config,
            machine,
            links: BTreeMap::new(),
            keeper,
            lease: None,
            jobs: Ring::new(JOBS_MAX.next_power_of_two()),
            decoded: Arc::new(Notify::new()),
            saving: None,
            standing,
        }
    }

    /// It serves until the moment that `lease` says, and does nothing after it.
    #[must_use]
    pub fn under(mut self, lease: watch::Receiver<Instant>) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Runs until `stop` is true and all is stored.
    ///
    /// # Errors
    /// [`WorkerLost`]
    pub async fn run(
        mut self,
        inbox: &mut Inbox,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), WorkerLost> {
        let mut stopping = false;
        loop {
            self.carry_out(inbox);
            if stopping && self.machine.is_stopped() {
                return Ok(());
            }
            let event = self.wait(inbox, &mut stop, stopping).await;
            if self.is_over() {
                // Whoever runs it ends it; until then nothing of it may be seen.
                core::future::pending::<()>().await;
            }
            match event {
                Event::Stop => {
                    stopping = true;
                    self.tell(Input::Stop);
                }
                Event::Message(message) => {
                    self.hear(message);
                    for _ in 1..MESSAGES_AT_ONCE {
                        let Some(message) = inbox.next_now() else {
                            break;
                        };
                        self.hear(message);
                    }
                }
                Event::Decoded(job, decoded) => self.tell(Input::Decoded(job, decoded)),
                Event::Lost => return Err(WorkerLost),
                Event::Saved(result) => {
                    self.saving = None;
                    self.tell(Input::Saved(result));
                }
                Event::Link(link, event) => self.link_event(link, event),
                Event::Timer => {}
            }
            let now = self.world.clock().now();
            if let Some((at, why)) = self.machine.poll_timeout(now)
                && at <= now
            {
                trace!(destination = %self.destination, "instance < it is time: {why}");
                self.machine.handle_timeout(now);
            }
        }
    }

    fn tell(&mut self, input: Input) {
        trace!(destination = %self.destination, "instance < {}", Shown(&input));
        let now = self.world.clock().now();
        self.machine.handle_input(now, input);
    }

    fn hear(&mut self, message: ToInstance) {
        match message {
            ToInstance::Request(id, request, _) => self.tell(Input::Request(id, request)),
            ToInstance::Withdraw(id) => self.tell(Input::RequestGone(id)),
            ToInstance::Gone(session) => self.tell(Input::SessionGone(session)),
        }
    }

    /// Whether the lease has ended.
    fn is_over(&self) -> bool {
        let now = self.world.clock().now();
        self.until().is_some_and(|until| now >= until)
    }

    fn until(&self) -> Option<Instant> {
        self.lease.as_ref().map(|lease| *lease.borrow())
    }

    fn link_event(&mut self, id: LinkId, event: LinkEvent) {
        match event {
            LinkEvent::Up => self.tell(Input::LinkUp(id)),
            LinkEvent::Secured => self.tell(Input::LinkSecured(id)),
            LinkEvent::Bytes => {
                let Some(link) = self.links.get_mut(&id) else {
                    return;
                };
                let now = self.world.clock().now();
                let before = link.inbound.len();
                self.machine.handle_bytes(now, id, &mut link.inbound);
                let left = link.inbound.len();
                trace!(
                    destination = %self.destination,
                    "instance < {before} bytes of link {}, {left} are left", id.0
                );
            }
            LinkEvent::Down(fault) => {
                self.links.remove(&id);
                self.tell(Input::LinkDown(id, fault));
            }
        }
    }

    /// Waits for whatever comes first.
    async fn wait(
        &mut self,
        inbox: &mut Inbox,
        stop: &mut watch::Receiver<bool>,
        stopping: bool,
    ) -> Event {
        let Self {
            world,
            machine,
            links,
            jobs,
            decoded,
            saving,
            ..
        } = self;
        let deadline = machine.poll_timeout(world.clock().now());
        let timer = async {
            match deadline {
                Some((at, _)) => world.clock().sleep_until(at).await,
                None => core::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop), if !stopping => Event::Stop,
            event = next_decoded(jobs, decoded) => event,
            result = poll_fn(|cx| poll_saving(saving, cx)) => Event::Saved(result),
            message = inbox.next() => Event::Message(message),
            (id, event) = poll_fn(|cx| poll_links(machine, links, cx)) => Event::Link(id, event),
            () = timer => Event::Timer,
        }
    }

    /// Does what the machine wants, until it wants nothing.
    fn carry_out(&mut self, inbox: &Inbox) {
        while let Some(output) = self.machine.poll_output() {
            trace!(destination = %self.destination, "instance > {}", Shown(&output));
            match output {
                Output::Dial(id) => {
                    let source = &self.config.instance.source;
                    let link = Link::dial(self.world.net(), &source.host, source.port);
                    self.links.insert(id, link);
                }
                Output::Secure(id) => {
                    if let Some(link) = self.links.get_mut(&id) {
                        link.secure(self.world.net(), &self.config.tls);
                    }
                }
                Output::Transmit(id, bytes) => {
                    if let Some(link) = self.links.get_mut(&id) {
                        link.send(&bytes);
                    }
                }
                Output::Hangup(id) => {
                    self.links.remove(&id);
                }
                Output::Reply(id, reply) => {
                    let lease = self.until().map(|until| Lease {
                        destination: self.destination.clone(),
                        until,
                    });
                    inbox.tell(id.session, ToSession::Reply(id, reply, lease));
                }
                Output::CloseSession(session, cause) => {
                    info!(destination = %self.destination, "connection {} is closed: {cause}", session.0);
                    inbox.tell(session, ToSession::Close(close_reason(cause)));
                }
                Output::Decode(job) => self.start(job),
                Output::Save(record) => self.saving = Some(self.keeper.save(record)),
                Output::Report(report) => self.report(&report),
            }
        }
        let standing = Standing::of(&self.machine);
        self.standing.send_if_modified(|known| {
            let changed = *known != standing;
            if changed {
                debug!(destination = %self.destination, "{}: {}", standing.stage, standing.reason);
                *known = standing;
            }
            changed
        });
    }

    fn start(&mut self, job: DecodeJob) {
        let claim = self.jobs.claim();
        let claim = claim.expect("the machine bounds its jobs by the capacity of the ring");
        let decoded = Arc::clone(&self.decoded);
        self.world.pool().run(move || {
            // Woken in any case: the owner must hear of a lost job too.
            let _wake = WakeOnDrop(decoded);
            claim.publish((job.id, decode(job)));
        });
    }

    fn report(&self, report: &Report) {
        let (destination, text) = (&self.destination, &report.text);
        match report.weight {
            Weight::Detail => debug!(%destination, "{text}"),
            Weight::Notice => info!(%destination, "{text}"),
            Weight::Warning => warn!(%destination, "{text}"),
            Weight::Alarm => error!(%destination, "{text}"),
        }
    }
}

struct WakeOnDrop(Arc<Notify>);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Standing {
    /// What a machine is doing that runs.
    #[must_use]
    pub fn of(machine: &Instance) -> Self {
        let status = machine.status();
        Self {
            stage: status.stage,
            reason: status.reason.clone(),
            failed_at_start: machine.failed_at_start(),
        }
    }
}

/// The oldest job under way, when it is done.
async fn next_decoded(jobs: &mut Ring<(JobId, Decoded)>, decoded: &Notify) -> Event {
    loop {
        match jobs.consume() {
            Some(Ok((job, decoded))) => return Event::Decoded(job, decoded),
            Some(Err(canald_handoff::Abandoned)) => return Event::Lost,
            // A permit left by a job that was consumed already costs one more look.
            None => decoded.notified().await,
        }
    }
}

fn poll_saving(saving: &mut Option<Saving>, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
    match saving {
        Some(saving) => saving.as_mut().poll(cx),
        None => Poll::Pending,
    }
}

/// The next thing that happens on any link, reading only as much as the machine takes.
fn poll_links<N: crate::net::Net>(
    machine: &Instance,
    links: &mut BTreeMap<LinkId, Link<N>>,
    cx: &mut Context<'_>,
) -> Poll<(LinkId, LinkEvent)> {
    for (id, link) in links {
        if let Poll::Ready(event) = link.poll_event(cx, machine.read_budget(*id)) {
            return Poll::Ready((*id, event));
        }
    }
    Poll::Pending
}
