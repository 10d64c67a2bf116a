//! Runs one client's connection: its machine, its bytes, and its way to the instances.
//!
//! A frame is written before the machine is asked for more, so a client that reads slowly holds up
//! nobody but itself and one batch. While a frame is being written the task still hears when the
//! connection must end.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use canald_core::meta::identity::Destination;
use canald_core::request::{Refusal, Reply, Request, RequestId, SessionId};
use canald_core::session::{Chunks, CloseReason, Session, SessionOutput};
use canald_core::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{debug, info, trace};

use crate::clock::Clock;
use crate::driver::inbox::{Instances, Lease, ToInstance, ToSession};
use crate::driver::trace::Shown;
use crate::watch;

/// Room that is made for bytes of a client at a time: what ten thousand silent connections cost is
/// this times ten thousand.
const READ_BYTES: usize = 1024;

/// Slices written in one call.
const SLICES_MAX: usize = 64;

/// A client that takes no byte of its answer for this long is gone.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(60);

/// The driver of one connection.
pub struct SessionDriver<S, C> {
    stream: S,
    clock: C,
    machine: Session,
    id: SessionId,
    peer: SocketAddr,
    instances: Instances,
    /// Those that know this session, and must hear of its end.
    told: BTreeSet<Destination>,
    answers: UnboundedSender<ToSession>,
    messages: UnboundedReceiver<ToSession>,
    /// What bounds the frame that is written next.
    lease: Option<Lease>,
}

/// What came first.
enum Event {
    Stop,
    Message(Option<ToSession>),
    Read(io::Result<usize>),
    Timer,
}

impl<S: AsyncRead + AsyncWrite + Unpin, C: Clock> SessionDriver<S, C> {
    /// A driver for `machine`, which serves `peer` on `stream`.
    pub fn new(
        (stream, peer): (S, SocketAddr),
        clock: C,
        (id, machine): (SessionId, Session),
        instances: Instances,
    ) -> Self {
        let (answers, messages) = unbounded_channel();
        Self {
            stream,
            clock,
            machine,
            id,
            peer,
            instances,
            told: BTreeSet::new(),
            answers,
            messages,
            lease: None,
        }
    }

    /// Runs until the connection ends, and tells the instances of its end.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        debug!(peer = %self.peer, "connection {} begins", self.id.0);
        let reason = self.serve(&mut stop).await;
        let (id, peer) = (self.id.0, self.peer);
        match &reason {
            CloseReason::Disconnected | CloseReason::Stopping => {
                debug!(%peer, "connection {id} ends: {reason}");
            }
            CloseReason::Frame(_)
            | CloseReason::MalformedPacket { .. }
            | CloseReason::AuthFailures(_)
            | CloseReason::AuthTimeout(_)
            | CloseReason::Idle(_)
            | CloseReason::Superseded { .. }
            | CloseReason::OwnershipLost { .. } => info!(%peer, "connection {id} ends: {reason}"),
        }
        for destination in &self.told {
            if let Some(instance) = self.instances.get(destination) {
                // An instance that has ended needs no word.
                let _ = instance.send(ToInstance::Gone(self.id)).await;
            }
        }
        // The last frame may say why; a peer that is gone does not mind.
        let _ = self.stream.shutdown().await;
    }

    async fn serve(&mut self, stop: &mut watch::Receiver<bool>) -> CloseReason {
        let mut inbound = BytesMut::new();
        let mut stopping = false;
        loop {
            while let Some(output) = self.machine.poll_output() {
                trace!("session {} > {}", self.id.0, Shown(&output));
                match output {
                    SessionOutput::Forward(id, request) => self.forward(id, request).await,
                    SessionOutput::Withdraw(id) => self.withdraw(id).await,
                    SessionOutput::Transmit(chunks) => {
                        if let Some(reason) = self.transmit(chunks).await {
                            return reason;
                        }
                    }
                    SessionOutput::Close(reason) => return reason,
                }
            }
            match self.wait(&mut inbound, stop, stopping).await {
                Event::Stop => {
                    stopping = true;
                    self.machine.handle_close(CloseReason::Stopping);
                }
                Event::Message(message) => self.hear(message),
                Event::Read(Ok(0) | Err(_)) => {
                    trace!("session {} < the client is gone", self.id.0);
                    self.machine.handle_disconnect();
                }
                Event::Read(Ok(bytes)) => {
                    trace!("session {} < {bytes} bytes", self.id.0);
                    self.machine.handle_bytes(self.clock.now(), &mut inbound);
                }
                Event::Timer => {
                    trace!("session {} < it is time", self.id.0);
                    self.machine.handle_timeout(self.clock.now());
                }
            }
        }
    }

    async fn wait(
        &mut self,
        inbound: &mut BytesMut,
        stop: &mut watch::Receiver<bool>,
        stopping: bool,
    ) -> Event {
        let budget = self.machine.read_budget();
        let deadline = self.machine.poll_timeout();
        let (clock, stream) = (&self.clock, &mut self.stream);
        let timer = async {
            match deadline {
                Some((at, _)) => clock.sleep_until(at).await,
                None => core::future::pending().await,
            }
        };
        let read = async {
            use bytes::BufMut as _;
            inbound.reserve(READ_BYTES.min(budget));
            stream.read_buf(&mut inbound.limit(budget)).await
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop), if !stopping => Event::Stop,
            message = self.messages.recv() => Event::Message(message),
            result = read, if budget > 0 => Event::Read(result),
            () = timer => Event::Timer,
        }
    }

    fn hear(&mut self, message: Option<ToSession>) {
        match message {
            Some(ToSession::Reply(id, reply, lease)) => {
                trace!("session {} < {}", self.id.0, Shown(&reply));
                self.lease = lease;
                self.machine.handle_reply(self.clock.now(), id, reply);
            }
            Some(ToSession::Close(reason)) => self.machine.handle_close(reason),
            None => unreachable!("the driver holds a sender itself"),
        }
    }

    async fn forward(&mut self, id: RequestId, request: Request) {
        let destination = request.destination.clone();
        let Some(instance) = self.instances.get(&destination) else {
            let why = "no destination of this name is configured here".into();
            return self.refuse(id, destination, why);
        };
        let message = ToInstance::Request(id, request, self.answers.clone());
        if instance.send(message).await.is_err() {
            return self.refuse(id, destination, "it has failed: see the log".into());
        }
        self.told.insert(destination);
    }

    fn refuse(&mut self, id: RequestId, destination: Destination, why: String) {
        let refusal = Refusal::NotRunning { destination, why };
        let now = self.clock.now();
        self.machine.handle_reply(now, id, Reply::Refused(refusal));
    }

    /// The request may be at any of the instances that know this session: ids are never reused.
    async fn withdraw(&mut self, id: RequestId) {
        for destination in &self.told {
            if let Some(instance) = self.instances.get(destination) {
                let _ = instance.send(ToInstance::Withdraw(id)).await;
            }
        }
    }

    /// Writes a frame; the reason if the connection must end before it is written.
    async fn transmit(&mut self, mut chunks: Chunks) -> Option<CloseReason> {
        if let Some(Lease { destination, until }) = self.lease.take()
            && self.clock.now() >= until
        {
            return Some(CloseReason::OwnershipLost { destination });
        }
        let mut first = 0;
        while first < chunks.len() {
            if chunks[first].is_empty() {
                first += 1;
                continue;
            }
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = slices.len().min(chunks.len() - first);
            for (slice, chunk) in slices.iter_mut().zip(&chunks[first..]) {
                *slice = IoSlice::new(chunk);
            }
            let stalled = self.clock.now() + WRITE_STALL_MAX;
            let mut written = tokio::select! {
                biased;
                result = self.stream.write_vectored(&slices[..count]) => result.unwrap_or(0),
                message = self.messages.recv() => match message {
                    // Half a frame is out: nothing more can be said on this connection.
                    Some(ToSession::Close(reason)) => return Some(reason),
                    // No request is outstanding while a frame is written: this answer is late.
                    Some(ToSession::Reply(..)) | None => continue,
                },
                () = self.clock.sleep_until(stalled) => 0,
            };
            if written == 0 {
                self.machine.handle_disconnect();
                return None;
            }
            while written > 0 {
                let step = written.min(chunks[first].len());
                chunks[first].advance(step);
                written -= step;
                if chunks[first].is_empty() {
                    first += 1;
                }
            }
        }
        if self.stream.flush().await.is_err() {
            self.machine.handle_disconnect();
        }
        None
    }
}
