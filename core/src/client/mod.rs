//! The client's side of canal's protocol (wire-protocol reference §2, §7, §10): one connection to one
//! server, for one destination and client id.
//!
//! States, each left by the packet that it waits for:
//!
//! | State | Waits for | Then |
//! |---|---|---|
//! | `ExpectHandshake` | version 1 and the seed | authenticates |
//! | `ExpectAdmission` | an `ACK` | subscribes |
//! | `ExpectSubscription` | an `ACK` | rolls back what an earlier connection left open, [`ClientOutput::Ready`] |
//! | `Ready` | the owner's [`Client::get`] | |
//! | `AwaitMessages` | a batch, or none | back to `Ready` |
//! | `Closed` | nothing | |
//!
//! Any error packet ends the connection, also one about an acknowledgement, which no reply was awaited
//! for: after it, replies and requests no longer match (wire-protocol reference §7). Whoever owns the
//! client connects again, with a new machine.
//!
//! [`Client::leave`] ends it from this side: what is not confirmed is taken back, and no answer is awaited.
//!
//! Bounds: one get is outstanding at a time, so one batch is in memory; [`OUTPUTS_MAX`] outputs wait. It
//! never acknowledges on its own.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use prost::Message;
use thiserror::Error;

use crate::meta::identity::{ClientId, Destination};
use crate::request::{BatchId, SUPERSEDED, Wait};
use crate::session::auth;
use crate::session::frame::{self, FrameError};
use crate::session::packet::{
    Ack, ClientAck, ClientAuth, ClientRollback, Get, Handshake, Messages, Packet, PacketType, Sub,
    Unsub, VERSION, client_frame,
};
use crate::time::{Duration, Instant};

pub mod flat;
pub mod retry;

/// How long a server may take to answer, beyond what a get itself allows: what stock clients use.
pub const REPLY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// How long the server is asked to keep an idle connection: what stock clients use.
pub const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// Outputs that wait at most. A server can cause six; the rest are the owner's own requests, and the
/// owner polls until nothing is left after a few of them.
pub const OUTPUTS_MAX: usize = 64;

/// Bytes to be read at a time.
const READ_BYTES: usize = 256 << 10;

/// Unit of a get's timeout: milliseconds.
const UNIT_MILLIS: i32 = 2;

/// Who connects, and to what.
#[derive(Clone)]
pub struct ClientConfig {
    /// The destination.
    pub destination: Destination,
    /// The client id.
    pub client: ClientId,
    /// User name; empty on a server without one.
    pub username: String,
    /// Password in plain text, which never leaves this machine; none on a server without one.
    pub password: Option<String>,
    /// The filter to subscribe with; empty keeps the one in force.
    pub filter: String,
    /// How long the server is asked to keep an idle connection.
    pub idle_timeout: Duration,
    /// How long the server may take to answer, beyond what a get itself allows.
    pub reply_timeout: Duration,
}

impl ClientConfig {
    /// A client without user, password and filter, and with the usual timeouts.
    #[must_use]
    pub const fn new(destination: Destination, client: ClientId) -> Self {
        Self {
            destination,
            client,
            username: String::new(),
            password: None,
            filter: String::new(),
            idle_timeout: IDLE_TIMEOUT_DEFAULT,
            reply_timeout: REPLY_TIMEOUT_DEFAULT,
        }
    }
}

/// What a client wants done, or has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientOutput {
    /// Write these bytes.
    Transmit(Bytes),
    /// Subscribed: get may be called.
    Ready,
    /// A get's batch, to be acknowledged by its id once it is processed.
    Message {
        /// The id.
        batch_id: BatchId,
        /// Serialised entries, in order.
        entries: Vec<Bytes>,
    },
    /// A get found nothing.
    NoData,
    /// The connection is of no more use; close it. Nothing follows.
    Closed(ClientFault),
}

/// What a client was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The server's first packet.
    Handshake,
    /// The answer to the authentication.
    Admission,
    /// The answer to the subscription.
    Subscription,
    /// Nothing: no request was outstanding.
    Nothing,
    /// The answer to a get.
    Messages,
}

impl core::fmt::Display for Awaited {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Handshake => "the handshake",
            Self::Admission => "the answer to the authentication",
            Self::Subscription => "the answer to the subscription",
            Self::Nothing => "nothing",
            Self::Messages => "a batch",
        })
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClientFault {
    /// The server, or the network, closed it.
    #[error("the connection was closed while waiting for {awaited}")]
    Disconnected {
        /// What was awaited.
        awaited: Awaited,
    },
    /// The server did not answer.
    #[error("the server did not send {awaited} in time")]
    TimedOut {
        /// What was awaited.
        awaited: Awaited,
    },
    /// The server answered with an error. While [`Awaited::Nothing`], it is about an earlier
    /// acknowledgement or rollback; while [`Awaited::Messages`], about that or the get.
    #[error("the server refused with code {code}: {message} (while waiting for {awaited})")]
    Refused {
        /// What was awaited.
        awaited: Awaited,
        /// Canal's code.
        code: i32,
        /// The server's words.
        message: String,
    },
    /// The server speaks another version: it is older than canal 1.1.4, or not canal.
    #[error("the server's protocol version is {0}, and only {VERSION} is known")]
    Version(i32),
    /// The server sent something else.
    #[error("the server sent {got} instead of {awaited}")]
    Unexpected {
        /// What was awaited.
        awaited: Awaited,
        /// Canal's name of what came.
        got: &'static str,
    },
    /// The batch is compressed, which no server does.
    #[error("the batch is compressed by method {0}, and none is known")]
    Compressed(i32),
    /// A frame, packet or body that cannot be read.
    #[error("{awaited} cannot be read: {why}")]
    Malformed {
        /// What was awaited.
        awaited: Awaited,
        /// What is wrong.
        why: String,
    },
    /// A frame with an impossible length.
    #[error("the connection cannot be followed: {0}")]
    Frame(#[from] FrameError),
}

impl ClientFault {
    /// Whether the server says that another connection took this client's place.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        matches!(self, Self::Refused { message, .. } if message.contains(SUPERSEDED))
    }
}

/// What becomes of a client's place at the server when it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// It stays: whoever comes next with this id goes on there.
    KeepPlace,
    /// It is forgotten, cursor and filter.
    Unsubscribe,
}

/// A connection to a server.
pub struct Client {
    config: ClientConfig,
    state: State,
    /// Bytes received and not yet decoded: less than a frame, between calls.
    inbound: BytesMut,
    outputs: VecDeque<ClientOutput>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    ExpectHandshake {
        deadline: Instant,
    },
    ExpectAdmission {
        deadline: Instant,
    },
    ExpectSubscription {
        deadline: Instant,
    },
    Ready,
    /// Without a deadline if the get may wait without limit.
    AwaitMessages {
        deadline: Option<Instant>,
    },
    Closed,
}

impl State {
    /// Until we are subscribed, a server has nothing long to say: whoever seems to is no canal server.
    const fn frame_bytes_max(self) -> usize {
        match self {
            Self::ExpectHandshake { .. }
            | Self::ExpectAdmission { .. }
            | Self::ExpectSubscription { .. } => frame::FRAME_BYTES_MAX_BEFORE_AUTH,
            Self::Ready | Self::AwaitMessages { .. } | Self::Closed => frame::PACKET_BYTES_MAX,
        }
    }

    const fn awaited(self) -> Awaited {
        match self {
            Self::ExpectHandshake { .. } => Awaited::Handshake,
            Self::ExpectAdmission { .. } => Awaited::Admission,
            Self::ExpectSubscription { .. } => Awaited::Subscription,
            Self::AwaitMessages { .. } => Awaited::Messages,
            Self::Ready | Self::Closed => Awaited::Nothing,
        }
    }
}

impl Client {
    /// A connection that was established at `now`.
    #[must_use]
    pub fn new(config: ClientConfig, now: Instant) -> Self {
        let state = State::ExpectHandshake {
            deadline: now + config.reply_timeout,
        };
        Self {
            config,
            state,
            inbound: BytesMut::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Bytes from the server; all of `buf` is taken.
    pub fn handle_bytes(&mut self, now: Instant, buf: &mut BytesMut) {
        self.inbound.unsplit(buf.split());
        while self.state != State::Closed {
            match frame::take(&mut self.inbound, self.state.frame_bytes_max()) {
                Ok(Some(bytes)) => {
                    if let Err(fault) = self.handle_packet(now, bytes) {
                        self.close(fault);
                    }
                }
                Ok(None) => return,
                Err(error) => self.close(error.into()),
            }
        }
        self.inbound.clear();
    }

    /// Time has passed. Early or repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some((deadline, _)) = self.poll_timeout()
            && deadline <= now
        {
            self.close(ClientFault::TimedOut {
                awaited: self.state.awaited(),
            });
        }
    }

    /// The connection is gone.
    pub fn handle_disconnect(&mut self) {
        self.close(ClientFault::Disconnected {
            awaited: self.state.awaited(),
        });
    }

    /// Asks for a batch of about `size` KiB or entries, as the server is configured. The answer is
    /// [`ClientOutput::Message`] or [`ClientOutput::NoData`]. Nothing happens once the connection ended.
    ///
    /// # Panics
    /// Before [`ClientOutput::Ready`], or while another get is unanswered.
    pub fn get(&mut self, now: Instant, size: u32, wait: Wait) {
        if self.state == State::Closed {
            return;
        }
        assert!(
            self.state == State::Ready,
            "a get follows Ready and the answer to the last get"
        );
        let reply_by = now + self.config.reply_timeout;
        let (timeout, deadline) = match wait {
            Wait::No | Wait::AtMost(Duration::ZERO) => (-1, Some(reply_by)),
            Wait::AtMost(wait) => (millis_up(wait), Some(reply_by + wait)),
            Wait::Unbounded => (0, None),
        };
        let get = Get {
            destination: self.destination(),
            client_id: self.client_id(),
            fetch_size: i32::try_from(size).unwrap_or(i32::MAX),
            timeout: Some(timeout),
            unit: Some(UNIT_MILLIS),
            auto_ack: Some(false),
        };
        self.transmit(PacketType::Get, &get);
        self.state = State::AwaitMessages { deadline };
    }

    /// Confirms a batch, the oldest that is not yet confirmed. There is no answer, unless it fails: then
    /// the connection ends. Nothing happens once the connection ended.
    ///
    /// # Panics
    /// Before [`ClientOutput::Ready`].
    pub fn ack(&mut self, batch: BatchId) {
        let (destination, client_id) = (self.destination(), self.client_id());
        let ack = ClientAck {
            destination,
            client_id,
            batch_id: batch.0,
        };
        self.transmit_unanswered(PacketType::ClientAck, &ack);
    }

    /// Takes back `batch` and later ones, or all that are not confirmed, to get them again. There is no
    /// answer, unless it fails. Nothing happens once the connection ended.
    ///
    /// # Panics
    /// Before [`ClientOutput::Ready`].
    pub fn rollback(&mut self, batch: Option<BatchId>) {
        let (destination, client_id) = (self.destination(), self.client_id());
        let batch_id = batch.map_or(0, |batch| batch.0);
        let rollback = ClientRollback {
            destination,
            client_id,
            batch_id,
        };
        self.transmit_unanswered(PacketType::ClientRollback, &rollback);
    }

    /// Takes back what is not confirmed, and ends the connection once what is left to transmit is
    /// written: close it then. Servers carry out what came before the end of a connection, so no answer
    /// is awaited, and none is taken. Nothing happens once the connection ended.
    pub fn leave(&mut self, farewell: Farewell) {
        if matches!(self.state, State::Ready | State::AwaitMessages { .. }) {
            self.rollback(None);
            if farewell == Farewell::Unsubscribe {
                let (destination, client_id) = (self.destination(), self.client_id());
                let unsub = Unsub {
                    destination,
                    client_id,
                    filter: String::new(),
                };
                self.transmit(PacketType::Unsubscription, &unsub);
            }
        }
        self.state = State::Closed;
    }

    /// The next thing to do or to know; none until there is new input.
    pub fn poll_output(&mut self) -> Option<ClientOutput> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] is due, and what for.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match self.state {
            State::ExpectHandshake { deadline } => Some((deadline, "handshake")),
            State::ExpectAdmission { deadline } => Some((deadline, "authentication")),
            State::ExpectSubscription { deadline } => Some((deadline, "subscription")),
            State::AwaitMessages {
                deadline: Some(deadline),
            } => Some((deadline, "get")),
            State::AwaitMessages { deadline: None } | State::Ready | State::Closed => None,
        }
    }

    /// How many bytes may be read now; 0 says not to read.
    #[must_use]
    pub const fn read_budget(&self) -> usize {
        match self.state {
            State::Closed => 0,
            State::ExpectHandshake { .. }
            | State::ExpectAdmission { .. }
            | State::ExpectSubscription { .. }
            | State::Ready
            | State::AwaitMessages { .. } => READ_BYTES,
        }
    }

    fn handle_packet(&mut self, now: Instant, bytes: Bytes) -> Result<(), ClientFault> {
        let awaited = self.state.awaited();
        let packet: Packet = decode(awaited, bytes)?;
        match (self.state, PacketType::from_number(packet.kind)) {
            (State::ExpectHandshake { .. }, Some(PacketType::Handshake)) => {
                self.authenticate(now, &packet)
            }
            (State::AwaitMessages { .. }, Some(PacketType::Messages)) => self.receive(packet),
            (state, Some(PacketType::Ack)) => {
                let ack: Ack = decode(awaited, packet.body)?;
                let code = ack.error_code.unwrap_or(0);
                match state {
                    _ if code > 0 => Err(ClientFault::Refused {
                        awaited,
                        code,
                        message: ack.error_message,
                    }),
                    State::ExpectAdmission { .. } => {
                        self.subscribe(now);
                        Ok(())
                    }
                    State::ExpectSubscription { .. } => {
                        self.start();
                        Ok(())
                    }
                    State::ExpectHandshake { .. }
                    | State::Ready
                    | State::AwaitMessages { .. }
                    | State::Closed => Err(ClientFault::Unexpected {
                        awaited,
                        got: "ACK",
                    }),
                }
            }
            (_, _) => {
                let got = PacketType::name_of(packet.kind);
                Err(ClientFault::Unexpected { awaited, got })
            }
        }
    }

    fn authenticate(&mut self, now: Instant, packet: &Packet) -> Result<(), ClientFault> {
        match packet.version {
            Some(VERSION) => {}
            other => return Err(ClientFault::Version(other.unwrap_or(0))),
        }
        let Handshake { seeds, .. } = decode(Awaited::Handshake, packet.body.clone())?;
        let password = match &self.config.password {
            Some(password) => {
                Bytes::copy_from_slice(&auth::to_hex(auth::token(password.as_bytes(), &seeds)))
            }
            None => Bytes::new(),
        };
        let timeout = i32::try_from(self.config.idle_timeout.as_millis()).unwrap_or(i32::MAX);
        let auth = ClientAuth {
            username: self.config.username.clone(),
            password,
            net_read_timeout: Some(timeout),
            net_write_timeout: Some(timeout),
            ..ClientAuth::default()
        };
        self.transmit(PacketType::ClientAuthentication, &auth);
        self.state = State::ExpectAdmission {
            deadline: now + self.config.reply_timeout,
        };
        Ok(())
    }

    fn subscribe(&mut self, now: Instant) {
        let sub = Sub {
            destination: self.destination(),
            client_id: self.client_id(),
            filter: self.config.filter.clone(),
        };
        self.transmit(PacketType::Subscription, &sub);
        self.state = State::ExpectSubscription {
            deadline: now + self.config.reply_timeout,
        };
    }

    /// What an earlier connection fetched and did not confirm is delivered again only after a rollback
    /// (wire-protocol reference §8.6).
    fn start(&mut self) {
        self.state = State::Ready;
        self.rollback(None);
        self.push(ClientOutput::Ready);
    }

    fn receive(&mut self, packet: Packet) -> Result<(), ClientFault> {
        match packet.compression {
            None | Some(0 | 1) => {}
            Some(method) => return Err(ClientFault::Compressed(method)),
        }
        let Messages { batch_id, messages } = decode(Awaited::Messages, packet.body)?;
        self.state = State::Ready;
        self.push(if batch_id > 0 {
            ClientOutput::Message {
                batch_id: BatchId(batch_id),
                entries: messages,
            }
        } else {
            ClientOutput::NoData
        });
        Ok(())
    }

    fn destination(&self) -> String {
        self.config.destination.as_str().into()
    }

    fn client_id(&self) -> String {
        self.config.client.to_string()
    }

    fn transmit_unanswered(&mut self, kind: PacketType, body: &impl Message) {
        match self.state {
            State::Closed => {}
            State::Ready | State::AwaitMessages { .. } => self.transmit(kind, body),
            State::ExpectHandshake { .. }
            | State::ExpectAdmission { .. }
            | State::ExpectSubscription { .. } => {
                panic!("a client that is not yet Ready has no batches")
            }
        }
    }

    fn transmit(&mut self, kind: PacketType, body: &impl Message) {
        self.push(ClientOutput::Transmit(client_frame(kind, body)));
    }

    fn close(&mut self, fault: ClientFault) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.push(ClientOutput::Closed(fault));
        }
    }

    fn push(&mut self, output: ClientOutput) {
        assert!(
            self.outputs.len() < OUTPUTS_MAX,
            "the owner polls after a few requests"
        );
        self.outputs.push_back(output);
    }
}

fn decode<M: Message + Default>(awaited: Awaited, bytes: Bytes) -> Result<M, ClientFault> {
    M::decode(bytes).map_err(|error| ClientFault::Malformed {
        awaited,
        why: error.to_string(),
    })
}

/// Milliseconds, rounded up: zero would wait without limit.
fn millis_up(wait: Duration) -> i64 {
    let millis = wait.as_nanos().div_ceil(1_000_000);
    i64::try_from(millis).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
