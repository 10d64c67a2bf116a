//! Our own connection to a canal server: what `canald tail` reads from, and any client in Rust.
//!
//! A [`Connection`] is open from [`Connection::open`] to its first fault or to [`Connection::leave`]; it
//! never connects again by itself (`canald_core::client::retry` says when to). Each future may be dropped
//! before it ends: bytes are lost neither way, and a get that was asked for stays asked for.
//!
//! Bounds: those of [`Client`]: one batch at a time.

use core::future::pending;
use std::collections::VecDeque;
use std::io;

use bytes::{Bytes, BytesMut};
use canald_core::client::{Client, ClientConfig, ClientFault, ClientOutput, Farewell};
use canald_core::request::{BatchId, Wait};
use canald_core::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};

use crate::clock::Clock;
use crate::net::{DialFault, Net};

/// How long a server may take to let a client go that leaves.
pub const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// With less room than this in the buffer, more is made before it is read into.
const ROOM_BYTES_MIN: usize = 16 << 10;

/// Room that is made.
const ROOM_BYTES: usize = 256 << 10;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenFault {
    /// The server was not reached.
    #[error(transparent)]
    Dial(#[from] DialFault),
    /// It was reached, and did not let us subscribe.
    #[error(transparent)]
    Client(#[from] ClientFault),
}

/// What a get returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// By which it is acknowledged.
    pub id: BatchId,
    /// Serialised entries, in order.
    pub entries: Vec<Bytes>,
}

/// A connection to a server, subscribed.
pub struct Connection<N: Net, C> {
    reader: ReadHalf<N::Stream>,
    writer: WriteHalf<N::Stream>,
    clock: C,
    machine: Client,
    inbound: BytesMut,
    outbound: Outbound,
    /// What the machine told and nobody has taken yet: at most two, `Ready` and the answer to a get.
    told: VecDeque<Told>,
    get: Get,
    fault: Option<ClientFault>,
}

enum Told {
    Ready,
    Answer(Option<Message>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Get {
    Answered,
    Outstanding,
}

/// Bytes on their way out.
#[derive(Debug)]
struct Outbound {
    bytes: BytesMut,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// All is on its way.
    Flushed,
    /// Something is to be written, or to be flushed.
    Due,
    /// Nobody takes bytes any more. What the server said last is still read.
    Broken,
}

impl<N: Net, C: Clock> Connection<N, C> {
    /// Connects to `port` of `host` and subscribes.
    ///
    /// # Errors
    /// [`OpenFault`]
    pub async fn open(
        net: &N,
        clock: &C,
        (host, port): (&str, u16),
        config: ClientConfig,
    ) -> Result<Self, OpenFault> {
        let stream = net.dial(host, port).await?;
        let (reader, writer) = tokio::io::split(stream);
        let mut connection = Self {
            reader,
            writer,
            clock: clock.clone(),
            machine: Client::new(config, clock.now()),
            inbound: BytesMut::new(),
            outbound: Outbound {
                bytes: BytesMut::new(),
                stage: Stage::Flushed,
            },
            told: VecDeque::new(),
            get: Get::Answered,
            fault: None,
        };
        let Told::Ready = connection.next().await? else {
            unreachable!("no get was asked for");
        };
        connection.send().await?;
        Ok(connection)
    }

    /// The next batch of about `size` KiB or entries, as the server is configured; none if there was
    /// nothing within `wait`. Acknowledge it or take it back.
    ///
    /// If an earlier call was dropped before it ended, this one waits for that one's answer.
    ///
    /// # Errors
    /// The connection ended; it is of no more use.
    pub async fn get(&mut self, size: u32, wait: Wait) -> Result<Option<Message>, ClientFault> {
        if self.get == Get::Answered {
            self.machine.get(self.clock.now(), size, wait);
            self.get = Get::Outstanding;
        }
        let Told::Answer(message) = self.next().await? else {
            unreachable!("Ready comes once, before any get");
        };
        self.get = Get::Answered;
        Ok(message)
    }

    /// Confirms a batch, the oldest that is not yet confirmed. If the server does not accept it, a later
    /// call fails.
    ///
    /// # Errors
    /// The connection ended; it is of no more use.
    pub async fn ack(&mut self, batch: BatchId) -> Result<(), ClientFault> {
        self.machine.ack(batch);
        self.send().await
    }

    /// Takes back `batch` and later ones, or all that are not confirmed, to get them again.
    ///
    /// # Errors
    /// The connection ended; it is of no more use.
    pub async fn rollback(&mut self, batch: Option<BatchId>) -> Result<(), ClientFault> {
        self.machine.rollback(batch);
        self.send().await
    }

    /// Takes back what is not confirmed, says farewell, and closes, within [`LEAVE_TIMEOUT`].
    ///
    /// A server that hears nothing of it keeps what is open until the client comes again, whose
    /// subscription takes it back as well; so nothing is said of a farewell that failed.
    pub async fn leave(mut self, farewell: Farewell) {
        self.machine.leave(farewell);
        let limit = self.clock.now() + LEAVE_TIMEOUT;
        let clock = self.clock.clone();
        tokio::select! {
            biased;
            () = self.say_farewell() => {}
            () = clock.sleep_until(limit) => {}
        }
    }

    async fn say_farewell(&mut self) {
        if self.send().await.is_err() || self.writer.shutdown().await.is_err() {
            return;
        }
        // A socket that is closed with bytes unread takes back what it wrote: read to the end.
        loop {
            self.inbound.clear();
            match self.reader.read_buf(&mut self.inbound).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// The next thing that the machine tells.
    async fn next(&mut self) -> Result<Told, ClientFault> {
        loop {
            self.drain();
            match (self.told.pop_front(), &self.fault) {
                (Some(told), _) => return Ok(told),
                (None, Some(fault)) => return Err(fault.clone()),
                (None, None) => self.turn().await,
            }
        }
    }

    /// Until all is written.
    async fn send(&mut self) -> Result<(), ClientFault> {
        loop {
            self.drain();
            match &self.fault {
                Some(fault) => return Err(fault.clone()),
                None if self.outbound.is_due() => self.turn().await,
                None => return Ok(()),
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                ClientOutput::Transmit(bytes) => self.outbound.push(&bytes),
                ClientOutput::Ready => self.told.push_back(Told::Ready),
                ClientOutput::Message { batch_id, entries } => {
                    let message = Message {
                        id: batch_id,
                        entries,
                    };
                    self.told.push_back(Told::Answer(Some(message)));
                }
                ClientOutput::NoData => self.told.push_back(Told::Answer(None)),
                ClientOutput::Closed(fault) => self.fault = Some(fault),
            }
        }
    }

    /// Waits for one thing: bytes in or out, or the machine's deadline.
    async fn turn(&mut self) {
        let Self {
            reader,
            writer,
            clock,
            machine,
            inbound,
            outbound,
            ..
        } = self;
        if inbound.capacity() - inbound.len() < ROOM_BYTES_MIN {
            inbound.reserve(ROOM_BYTES);
        }
        let deadline = machine.poll_timeout();
        let timer = async {
            match deadline {
                Some((at, _)) => clock.sleep_until(at).await,
                None => pending().await,
            }
        };
        let is_due = outbound.is_due();
        // A peer that does not take bytes leaves the write pending, so it holds nothing else up.
        tokio::select! {
            biased;
            written = outbound.write(writer), if is_due => if written.is_err() {
                outbound.give_up();
            },
            read = reader.read_buf(inbound), if machine.read_budget() > 0 => match read {
                Ok(0) | Err(_) => machine.handle_disconnect(),
                Ok(_) => machine.handle_bytes(clock.now(), inbound),
            },
            () = timer => machine.handle_timeout(clock.now()),
        }
    }
}

impl Outbound {
    fn push(&mut self, bytes: &Bytes) {
        if self.stage != Stage::Broken {
            self.bytes.extend_from_slice(bytes);
            self.stage = Stage::Due;
        }
    }

    fn is_due(&self) -> bool {
        self.stage == Stage::Due
    }

    fn give_up(&mut self) {
        self.bytes.clear();
        self.stage = Stage::Broken;
    }

    /// Writes some, and flushes after the last.
    async fn write<W: AsyncWrite + Unpin>(&mut self, writer: &mut W) -> io::Result<()> {
        while !self.bytes.is_empty() {
            if writer.write_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        writer.flush().await?;
        self.stage = Stage::Flushed;
        Ok(())
    }
}
