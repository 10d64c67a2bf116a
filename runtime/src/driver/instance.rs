//! Runs one destination: its machine, its links to the source, its decode jobs and its record.
//!
//! One task owns all of it. It carries out what the machine wants until nothing is left, then waits for
//! whatever comes first. Clients are heard before the source is read, which bounds their wait by one
//! read; the source cannot starve, because a client waits for its answer before it asks again.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use canald_core::instance::{Input, Instance, LinkId, Output, Report, Weight};
use canald_core::meta::identity::Destination;
use canald_core::pipeline::decode::{Decoded, decode};
use canald_core::pipeline::job::{DecodeJob, JobId};
use canald_core::pipeline::window::JOBS_MAX;
use canald_core::request::SessionId;
use canald_core::status::Stage;
use canald_handoff::Ring;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, UnboundedSender};
use tracing::{debug, error, info, trace, warn};

use crate::clock::Clock as _;
use crate::config::DestinationConfig;
use crate::driver::inbox::{ToInstance, ToSession, close_reason};
use crate::driver::link::{Link, LinkEvent};
use crate::driver::record;
use crate::driver::trace::Shown;
use crate::env::World;
use crate::files::{FileFault, Files as _};
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

type Saving = Pin<Box<dyn Future<Output = Result<(), FileFault>> + Send>>;

/// What came first.
enum Event {
    Stop,
    Message(ToInstance),
    /// Nobody is left who could send a message.
    InboxOver,
    Decoded(JobId, Decoded),
    Lost,
    Saved(Result<(), FileFault>),
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
    sessions: BTreeMap<SessionId, UnboundedSender<ToSession>>,
    jobs: Ring<(JobId, Decoded)>,
    decoded: Arc<Notify>,
    saving: Option<Saving>,
    standing: watch::Sender<Standing>,
}

impl<W: World> InstanceDriver<W> {
    /// A driver for `machine`.
    #[must_use]
    pub fn new(world: W, config: DestinationConfig, machine: Instance) -> Self {
        let standing = standing(&machine);
        Self {
            world,
            destination: config.instance.destination.clone(),
            config,
            machine,
            links: BTreeMap::new(),
            sessions: BTreeMap::new(),
            jobs: Ring::new(JOBS_MAX.next_power_of_two()),
            decoded: Arc::new(Notify::new()),
            saving: None,
            standing: watch::Sender::new(standing),
        }
    }

    /// Follows what the destination is doing.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Runs until `stop` is true and all is stored.
    ///
    /// # Errors
    /// [`WorkerLost`]
    pub async fn run(
        mut self,
        inbox: Receiver<ToInstance>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), WorkerLost> {
        let mut stopping = false;
        // Once the last session is gone the inbox is over, and always ready to say so.
        let mut inbox = Some(inbox);
        loop {
            self.carry_out();
            if stopping && self.machine.is_stopped() {
                return Ok(());
            }
            match self.wait(&mut inbox, &mut stop, stopping).await {
                Event::Stop => {
                    stopping = true;
                    self.tell(Input::Stop);
                }
                Event::Message(message) => {
                    self.hear(message);
                    self.hear_more(inbox.as_mut());
                }
                Event::InboxOver => inbox = None,
                Event::Decoded(job, decoded) => self.tell(Input::Decoded(job, decoded)),
                Event::Lost => return Err(WorkerLost),
                Event::Saved(result) => {
                    self.saving = None;
                    self.tell(Input::Saved(result.map_err(|fault| fault.to_string())));
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

    /// Takes what else is in the inbox, up to a bound.
    fn hear_more(&mut self, inbox: Option<&mut Receiver<ToInstance>>) {
        let Some(inbox) = inbox else { return };
        for _ in 1..MESSAGES_AT_ONCE {
            let Ok(message) = inbox.try_recv() else {
                return;
            };
            self.hear(message);
        }
    }

    fn hear(&mut self, message: ToInstance) {
        match message {
            ToInstance::Request(id, request, answers) => {
                self.sessions.entry(id.session).or_insert(answers);
                self.tell(Input::Request(id, request));
            }
            ToInstance::Withdraw(id) => self.tell(Input::RequestGone(id)),
            ToInstance::Gone(session) => {
                self.sessions.remove(&session);
                self.tell(Input::SessionGone(session));
            }
        }
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
        inbox: &mut Option<Receiver<ToInstance>>,
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
            event = next_message(inbox) => event,
            (id, event) = poll_fn(|cx| poll_links(machine, links, cx)) => Event::Link(id, event),
            () = timer => Event::Timer,
        }
    }

    /// Does what the machine wants, until it wants nothing.
    fn carry_out(&mut self) {
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
                    self.tell_session(id.session, ToSession::Reply(id, reply));
                }
                Output::CloseSession(session, cause) => {
                    info!(destination = %self.destination, "connection {} is closed: {cause}", session.0);
                    self.tell_session(session, ToSession::Close(close_reason(cause)));
                }
                Output::Decode(job) => self.start(job),
                Output::Save(bytes) => self.save(bytes.into()),
                Output::Report(report) => self.report(&report),
            }
        }
        let standing = standing(&self.machine);
        self.standing.send_if_modified(|known| {
            let changed = *known != standing;
            if changed {
                debug!(destination = %self.destination, "{}: {}", standing.stage, standing.reason);
                *known = standing;
            }
            changed
        });
    }

    /// A session that has ended meanwhile needs no word.
    fn tell_session(&self, session: SessionId, message: ToSession) {
        if let Some(answers) = self.sessions.get(&session) {
            let _ = answers.send(message);
        }
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

    fn save(&mut self, record: Bytes) {
        let files = self.world.files().clone();
        let path = record::path(&self.config.folder);
        self.saving = Some(Box::pin(async move { files.save(&path, record).await }));
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

fn standing(machine: &Instance) -> Standing {
    let status = machine.status();
    Standing {
        stage: status.stage,
        reason: status.reason.clone(),
        failed_at_start: machine.failed_at_start(),
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

/// The next message; never, once the inbox is over.
async fn next_message(inbox: &mut Option<Receiver<ToInstance>>) -> Event {
    match inbox {
        Some(inbox) => inbox.recv().await.map_or(Event::InboxOver, Event::Message),
        None => core::future::pending().await,
    }
}

fn poll_saving(saving: &mut Option<Saving>, cx: &mut Context<'_>) -> Poll<Result<(), FileFault>> {
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
