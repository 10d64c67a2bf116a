//! One client connection: canal's protocol from the server's side (wire-protocol reference §1–§9).
//!
//! States:
//!
//! | State | Waits for | Leaves to |
//! |---|---|---|
//! | `ExpectAuth` | a `ClientAuth` that is admitted | `Ready`, or `AwaitSubscription` if it subscribes at once |
//! | `AwaitSubscription` | the instance's word on that subscription | `Ready`; `ExpectAuth` if it was refused |
//! | `Ready` | the client's next request | `AwaitReply` |
//! | `AwaitReply` | the instance's answer | `Ready` |
//! | `Closed` | nothing | – |
//!
//! One request is outstanding at a time, acknowledgements and rollbacks included: that alone keeps the
//! order, and there is no queue of requests. What a client pipelines stays as bytes until its turn.
//!
//! Bounds: a packet is at most [`frame::FRAME_BYTES_MAX`] long; bytes that wait behind an unanswered
//! request are read only up to [`PARKED_BYTES_MAX`]; packets are decoded one by one as
//! [`Session::poll_output`] is called, so at most [`OUTPUTS_MAX`] outputs wait. A driver that writes each
//! [`SessionOutput::Transmit`] before it polls again never holds more than one reply, however fast the
//! client sends and however slowly it reads.
//!
//! It never sends a packet that was not asked for, but for the bad news about an acknowledgement or a
//! rollback; it never undoes anything when a connection ends; and it never looks into a batch.

use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use prost::Message;

use crate::config::Credentials;
use crate::request::{Batch, Refusal, Reply, Request, RequestId, SessionId};
use crate::rng::{Rng, Seed};
use crate::time::{Duration, Instant};

mod ask;
pub mod auth;
pub mod fault;
pub mod frame;
#[cfg(test)]
pub(crate) mod golden;
pub mod packet;
#[cfg(test)]
mod tests;

use ask::{Asked, Expect};
use auth::{AUTH_FAILURES_MAX, Scramble};
pub use fault::{ClientMisbehaved, CloseReason, ErrorCode, Failure};
use packet::{Ack, ClientAuth, Handshake, Messages, NO_BATCH, Packet, PacketType};

/// How long a client may take to authenticate, unless configured; canal sets no limit.
pub const AUTH_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// How long a connection may be idle if the client names no timeout above zero.
pub const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// Bytes that are read while a request waits for its answer. When they are reached, TCP holds the client.
pub const PARKED_BYTES_MAX: usize = 64 << 10;

/// Outputs that wait at most: those of a request that is broken off are withdrawal, error and close.
pub const OUTPUTS_MAX: usize = 3;

/// One frame, in slices to be written as one: some clients take each chunk that arrives for a whole
/// frame (wire-protocol reference §1).
pub type Chunks = Vec<Bytes>;

/// What a session is born with.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Its id.
    pub id: SessionId,
    /// Who may come in.
    pub credentials: Credentials,
    /// How long it waits for a successful authentication.
    pub auth_timeout: Duration,
}

/// What a session wants done.
#[derive(Clone, Debug)]
pub enum SessionOutput {
    /// Ask the instance of the request's destination; answer with [`Session::handle_reply`]. Where no
    /// such instance runs, the answer is [`Refusal::NotRunning`].
    Forward(RequestId, Request),
    /// Nobody waits for the answer to this request any more: a get is not to be served.
    Withdraw(RequestId),
    /// Write this frame, as one write.
    Transmit(Chunks),
    /// Close the connection; nothing follows.
    Close(CloseReason),
}

/// A client connection.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    scramble: Scramble,
    state: State,
    peer: Peer,
    /// Bytes received and not yet decoded.
    inbound: BytesMut,
    outputs: VecDeque<SessionOutput>,
    /// Requests made so far.
    requests: u64,
    /// When bytes last came or went, or the instance last answered.
    last_traffic: Instant,
}

#[derive(Debug)]
enum State {
    ExpectAuth(Attempts),
    AwaitSubscription {
        request: RequestId,
        attempts: Attempts,
        idle: Duration,
    },
    Ready {
        idle: Duration,
    },
    AwaitReply {
        request: RequestId,
        expect: Expect,
        idle: Duration,
    },
    Closed,
}

/// The attempts of a connection to authenticate.
#[derive(Clone, Copy, Debug)]
struct Attempts {
    failed: u32,
    deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Connected,
    /// Nobody reads replies any more. What was sent before is still carried out, as canal does: a
    /// client that acknowledges and disconnects has acknowledged.
    Gone,
}

impl Session {
    /// A connection that was accepted at `now`. Its first output is the handshake.
    #[must_use]
    pub fn new(config: SessionConfig, seed: Seed, now: Instant) -> Self {
        Self::with_scramble(config, Scramble::draw(&mut Rng::new(seed)), now)
    }

    fn with_scramble(config: SessionConfig, scramble: Scramble, now: Instant) -> Self {
        let attempts = Attempts {
            failed: 0,
            deadline: now + config.auth_timeout,
        };
        let mut session = Self {
            config,
            scramble,
            state: State::ExpectAuth(attempts),
            peer: Peer::Connected,
            inbound: BytesMut::new(),
            outputs: VecDeque::new(),
            requests: 0,
            last_traffic: now,
        };
        let seeds = Bytes::copy_from_slice(session.scramble.as_bytes());
        session.transmit(
            PacketType::Handshake,
            &Handshake {
                communication_encoding: None,
                seeds,
            },
        );
        session
    }

    /// Bytes from the client; all of `buf` is taken.
    pub fn handle_bytes(&mut self, now: Instant, buf: &mut BytesMut) {
        let bytes = buf.split();
        if bytes.is_empty() || self.peer == Peer::Gone || matches!(self.state, State::Closed) {
            return;
        }
        self.last_traffic = now;
        self.inbound.unsplit(bytes);
    }

    /// The answer to a request. One to any other than the outstanding request is late, and dropped.
    ///
    /// # Panics
    /// If the answer is not one to that question: a get is answered by a batch, no data or a refusal,
    /// anything else by done or a refusal.
    pub fn handle_reply(&mut self, now: Instant, request: RequestId, reply: Reply) {
        match self.state {
            State::AwaitReply {
                request: awaited,
                expect,
                idle,
            } if awaited == request => {
                self.last_traffic = now;
                self.state = State::Ready { idle };
                self.answer(expect, reply);
            }
            State::AwaitSubscription {
                request: awaited,
                attempts,
                idle,
            } if awaited == request => {
                self.last_traffic = now;
                // Refused, it may try again with another destination: that is no failed authentication.
                self.state = match reply {
                    Reply::Refused(_) => State::ExpectAuth(attempts),
                    Reply::Done | Reply::Batch(_) | Reply::NoData => State::Ready { idle },
                };
                self.answer(Expect::Ack, reply);
            }
            State::ExpectAuth(_)
            | State::AwaitSubscription { .. }
            | State::Ready { .. }
            | State::AwaitReply { .. }
            | State::Closed => {}
        }
    }

    /// Time has passed. Early or repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        match (self.poll_timeout(), &self.state) {
            (Some((deadline, _)), _) if now < deadline => {}
            (Some(_), State::ExpectAuth(_)) => {
                self.close(CloseReason::AuthTimeout(self.config.auth_timeout));
            }
            (Some(_), State::Ready { idle }) => self.close(CloseReason::Idle(*idle)),
            (Some(_) | None, _) => {}
        }
    }

    /// The client closed its side, or the network did. A waiting get is withdrawn; what else the client
    /// had sent is still carried out, without replies, before [`SessionOutput::Close`].
    pub fn handle_disconnect(&mut self) {
        self.peer = Peer::Gone;
        if let State::AwaitReply {
            request,
            expect: Expect::Messages,
            idle,
        } = self.state
        {
            self.push(SessionOutput::Withdraw(request));
            self.state = State::Ready { idle };
        }
    }

    /// This side ends the connection, for `reason`. A client that waits for a packet is told.
    pub fn handle_close(&mut self, reason: CloseReason) {
        let tell = match self.state {
            State::Closed => return,
            State::ExpectAuth(_) | State::Ready { .. } => false,
            State::AwaitReply {
                request, expect, ..
            } => {
                self.push(SessionOutput::Withdraw(request));
                expect.is_packet()
            }
            State::AwaitSubscription { request, .. } => {
                self.push(SessionOutput::Withdraw(request));
                true
            }
        };
        if tell {
            self.transmit_failure(&Failure::Closing(reason.clone()));
        }
        self.close(reason);
    }

    /// The next thing to do; none until there is new input.
    pub fn poll_output(&mut self) -> Option<SessionOutput> {
        while self.outputs.is_empty() && self.step() {}
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] is due, and what for.
    ///
    /// An idle connection is one without traffic in *either* direction for the shorter of the client's
    /// two timeouts, and never one whose request is being served (wire-protocol reference §6.4).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match &self.state {
            _ if self.peer == Peer::Gone => None,
            State::ExpectAuth(attempts) => Some((attempts.deadline, "authentication")),
            State::Ready { idle } => Some((self.last_traffic + *idle, "idle client")),
            State::AwaitSubscription { .. } | State::AwaitReply { .. } | State::Closed => None,
        }
    }

    /// How many bytes may be read now; 0 says not to read.
    #[must_use]
    pub fn read_budget(&self) -> usize {
        let limit = match &self.state {
            _ if self.peer == Peer::Gone => 0,
            State::ExpectAuth(_) => frame::HEADER_BYTES + frame::FRAME_BYTES_MAX_BEFORE_AUTH,
            State::Ready { .. } => frame::HEADER_BYTES + frame::FRAME_BYTES_MAX,
            State::AwaitSubscription { .. } | State::AwaitReply { .. } => PARKED_BYTES_MAX,
            State::Closed => 0,
        };
        limit.saturating_sub(self.inbound.len())
    }

    /// Takes the next packet, if its turn has come. False if there is nothing to do.
    fn step(&mut self) -> bool {
        let limit = match &self.state {
            State::ExpectAuth(_) => frame::FRAME_BYTES_MAX_BEFORE_AUTH,
            State::Ready { .. } => frame::FRAME_BYTES_MAX,
            State::AwaitSubscription { .. } | State::AwaitReply { .. } | State::Closed => {
                return false;
            }
        };
        match frame::take(&mut self.inbound, limit) {
            Ok(Some(bytes)) => match Packet::decode(bytes) {
                Ok(packet) => self.handle_packet(&packet),
                Err(error) => {
                    self.close(CloseReason::MalformedPacket {
                        why: error.to_string(),
                    });
                }
            },
            Ok(None) if self.peer == Peer::Gone => self.close(CloseReason::Disconnected),
            Ok(None) => return false,
            Err(error) => self.close(error.into()),
        }
        true
    }

    fn handle_packet(&mut self, packet: &Packet) {
        match self.state {
            State::ExpectAuth(attempts) => self.handle_auth(attempts, packet),
            State::Ready { idle } => match ask::read(packet) {
                Ok(Asked::Forward(_, Expect::Messages)) if self.peer == Peer::Gone => {}
                Ok(Asked::Forward(request, expect)) => {
                    let request = self.forward(request);
                    self.state = State::AwaitReply {
                        request,
                        expect,
                        idle,
                    };
                }
                Ok(Asked::Nothing) => {}
                Err(failure) => self.transmit_failure(&failure),
            },
            State::AwaitSubscription { .. } | State::AwaitReply { .. } | State::Closed => {
                unreachable!("packets are taken only in a state that reads them")
            }
        }
    }

    fn handle_auth(&mut self, attempts: Attempts, packet: &Packet) {
        let auth = match self.admit(packet) {
            Ok(auth) => auth,
            Err(failure) => return self.refuse_auth(attempts, &failure),
        };
        let idle = idle_timeout(&auth);
        match ask::read_subscription(auth) {
            Ok(None) => {
                self.state = State::Ready { idle };
                self.transmit(PacketType::Ack, &Ack::default());
            }
            Ok(Some(request)) => {
                let request = self.forward(request);
                self.state = State::AwaitSubscription {
                    request,
                    attempts,
                    idle,
                };
            }
            Err(failure) => self.refuse_auth(attempts, &failure),
        }
    }

    /// The authentication in `packet`, if it lets the client in.
    ///
    /// Canal takes any packet here for one; then a request that comes too early reads as a strange user.
    fn admit(&self, packet: &Packet) -> Result<ClientAuth, Failure> {
        if packet.kind != PacketType::ClientAuthentication as i32 {
            let kind = PacketType::name_of(packet.kind);
            return Err(ClientMisbehaved::NotAuthenticated { kind }.into());
        }
        let auth: ClientAuth = ask::body(packet)?;
        let (credentials, scramble) = (&self.config.credentials, &self.scramble);
        if auth::admits(credentials, scramble, &auth.username, &auth.password) {
            Ok(auth)
        } else {
            Err(ClientMisbehaved::AuthFailed {
                username: auth.username,
            }
            .into())
        }
    }

    fn refuse_auth(&mut self, attempts: Attempts, failure: &Failure) {
        let failed = attempts.failed + 1;
        self.transmit_failure(failure);
        if failed == AUTH_FAILURES_MAX {
            self.close(CloseReason::AuthFailures(failed));
        } else {
            self.state = State::ExpectAuth(Attempts { failed, ..attempts });
        }
    }

    fn forward(&mut self, request: Request) -> RequestId {
        self.requests += 1;
        let id = RequestId {
            session: self.config.id,
            number: self.requests,
        };
        self.push(SessionOutput::Forward(id, request));
        id
    }

    /// Turns an answer into what the client gets.
    fn answer(&mut self, expect: Expect, reply: Reply) {
        match (expect, reply) {
            (_, Reply::Refused(refusal)) if expect.hides(&refusal) => {}
            (_, Reply::Refused(refusal)) => self.refuse(refusal),
            (Expect::Ack, Reply::Done) => self.transmit(PacketType::Ack, &Ack::default()),
            (Expect::Messages, Reply::Batch(batch)) => self.transmit_batch(batch),
            (Expect::Messages, Reply::NoData) => {
                let none = Messages {
                    batch_id: NO_BATCH,
                    messages: Vec::new(),
                };
                self.transmit(PacketType::Messages, &none);
            }
            (
                Expect::SilenceAfterAck
                | Expect::SilenceAfterRollback
                | Expect::SilenceAfterRollbackAll,
                Reply::Done,
            ) => {}
            (_, Reply::Done | Reply::Batch(_) | Reply::NoData) => {
                panic!("the instance's answer does not fit a request that expects {expect:?}")
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.transmit_failure(&Failure::Refused(refusal.clone()));
        if let Refusal::Superseded {
            destination,
            client,
        } = refusal
        {
            self.close(CloseReason::Superseded {
                destination,
                client,
            });
        }
    }

    fn transmit_batch(&mut self, batch: Batch) {
        let bytes = batch.len();
        match packet::messages_head(batch.id, bytes) {
            Some(head) => {
                let mut chunks = Vec::with_capacity(1 + batch.chunks.len());
                chunks.push(head);
                chunks.extend(batch.chunks);
                self.transmit_chunks(chunks);
            }
            None => self.transmit_failure(&Failure::BatchTooLarge {
                batch: batch.id,
                bytes,
            }),
        }
    }

    fn transmit_failure(&mut self, failure: &Failure) {
        self.transmit_chunks(vec![failure.frame()]);
    }

    fn transmit(&mut self, kind: PacketType, body: &impl Message) {
        self.transmit_chunks(vec![packet::server_frame(kind, body)]);
    }

    fn transmit_chunks(&mut self, chunks: Chunks) {
        if self.peer == Peer::Connected {
            self.push(SessionOutput::Transmit(chunks));
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.inbound = BytesMut::new();
        self.push(SessionOutput::Close(reason));
    }

    fn push(&mut self, output: SessionOutput) {
        assert!(
            self.outputs.len() < OUTPUTS_MAX,
            "a session makes few outputs between polls"
        );
        self.outputs.push_back(output);
    }
}

/// How long a connection may be idle: the shorter of the client's timeouts, since any traffic counts
/// for both. They are milliseconds, whatever the schema's comment says.
fn idle_timeout(auth: &ClientAuth) -> Duration {
    let timeout = |given: Option<i32>| match u64::try_from(given.unwrap_or(0)) {
        Ok(millis) if millis > 0 => Duration::from_millis(millis),
        _ => IDLE_TIMEOUT_DEFAULT,
    };
    timeout(auth.net_read_timeout).min(timeout(auth.net_write_timeout))
}
