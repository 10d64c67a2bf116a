//! `Replica`: one link to a source, from its greeting to the dump (binlog-parser reference §1).
//!
//! ```text
//! ExpectGreeting ─► ExpectSecured ─► ExpectAuth ─► Idle ⇄ ExpectResult
//!        └────────────(no TLS)───────────▲           └─► ExpectRegistered ─► Streaming
//! every state ─► Closed, once, with a LinkFault
//! ```
//!
//! The owner moves bytes and asks: [`Replica::handle_bytes`] until the dump begins, then
//! [`Replica::next_event`]. What waits for the server has a deadline ([`Replica::poll_timeout`]);
//! while the dump streams, silence is the deadline, and any byte ends it.
//!
//! Bounds: one statement at a time; an answer of `RESULT_BYTES_MAX`; a payload of `PAYLOAD_BYTES_MAX`;
//! outputs are at most a few, as each follows from one packet. It never reconnects and never retries.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Buf, Bytes, BytesMut};

use super::auth::AuthExchange;
use super::fault::LinkFault;
use super::handshake::{
    Capabilities, ConnectionId, Greeting, HandshakeResponse, ServerVersion, Transport, ssl_request,
};
use super::packet::PacketReader;
use super::query::{Progress, ResultReader, ResultSet, ServerError, is_eof};
use crate::config::{SourceConfig, SslMode};
use crate::position::BinlogPosition;
use crate::rng::{Rng, Seed};
use crate::time::{Duration, Instant};

const OK: u8 = 0x00;
const AUTH_MORE_DATA: u8 = 0x01;
const AUTH_SWITCH: u8 = 0xfe;
const ERR: u8 = 0xff;

/// How one link is made.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkConfig {
    /// `canal.instance.dbUsername`
    pub username: String,
    /// `canal.instance.dbPassword`
    pub password: String,
    /// The default schema; empty for none.
    pub database: String,
    /// `canal.instance.master.sslMode`
    pub ssl: SslMode,
    /// How long the server may take for each message until we are logged in.
    pub handshake_timeout: Duration,
    /// How long the server may say nothing while we wait for an answer.
    pub query_timeout: Duration,
    /// How long the dump may be silent; above the period of the heartbeats.
    pub silence: Duration,
}

impl LinkConfig {
    /// A link to a source as it is configured.
    #[must_use]
    pub fn to(source: &SourceConfig) -> Self {
        Self {
            username: source.username.clone(),
            password: source.password.clone(),
            database: source.database.clone(),
            ssl: source.ssl,
            handshake_timeout: source.query_timeout,
            query_timeout: source.query_timeout,
            silence: source.silence,
        }
    }
}

impl core::fmt::Debug for LinkConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self {
            username,
            password: _,
            database,
            ssl,
            ..
        } = self;
        write!(
            f,
            "LinkConfig {{ {username:?}, database: {database:?}, ssl: {ssl:?} }}"
        )
    }
}

/// Where a dump begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpFrom {
    /// The oldest event that the server has.
    Oldest,
    /// At a file and offset.
    Position(BinlogPosition),
    /// MySQL: after a set of GTIDs, in the binary form of COM_BINLOG_DUMP_GTID.
    MysqlGtid {
        /// The set.
        encoded: Bytes,
    },
    /// MariaDB: after the GTIDs in `@slave_connect_state`, set before
    /// ([`crate::source::statements::mariadb_gtid_start`]).
    MariadbGtid,
}

/// What dump is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpRequest {
    /// The server id of the replica that we pose as; never 0.
    pub server_id: u32,
    /// Where it begins.
    pub from: DumpFrom,
}

/// What a link wants done or has to say.
#[derive(Debug, PartialEq, Eq)]
pub enum ReplicaOutput {
    /// Send these bytes.
    Transmit(Bytes),
    /// Do the TLS handshake now, then call [`Replica::handle_secured`] or [`Replica::close`].
    Secure,
    /// We are logged in; statements may follow.
    Ready(Ready),
    /// The answer to a statement.
    Rows(ResultSet),
    /// The refusal of a statement; the link stays usable.
    Failed(ServerError),
    /// The link is over; hang up. The last output.
    Closed(LinkFault),
}

/// What is known once we are logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// What the server is.
    pub version: ServerVersion,
    /// Our connection's number there.
    pub connection: ConnectionId,
    /// Whether it goes through TLS.
    pub transport: Transport,
    /// The authentication plugin used.
    pub plugin: &'static str,
}

#[derive(Debug)]
enum State {
    ExpectGreeting,
    ExpectSecured(Greeting),
    ExpectAuth {
        greeting: Greeting,
        transport: Transport,
        exchange: AuthExchange,
    },
    Idle,
    ExpectResult(ResultReader),
    /// The command that follows the registration.
    ExpectRegistered {
        dump: Vec<u8>,
    },
    Streaming(Reading),
    Closed,
}

/// Whether the owner reads the stream; while it does not, silence means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Open,
    Paused,
}

/// One link to a source.
#[derive(Debug)]
pub struct Replica {
    config: LinkConfig,
    rng: Rng,
    packets: PacketReader,
    state: State,
    /// When the server last said something, or we last asked for something.
    heard: Instant,
    greeted: Option<ServerVersion>,
    outputs: VecDeque<ReplicaOutput>,
}

impl Replica {
    /// A link whose connection has just been made.
    #[must_use]
    pub fn new(config: LinkConfig, seed: Seed, now: Instant) -> Self {
        Self {
            config,
            rng: Rng::new(seed),
            packets: PacketReader::new(),
            state: State::ExpectGreeting,
            heard: now,
            greeted: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes every whole packet of `buf` until the dump begins; what is left then is for [`Self::next_event`].
    pub fn handle_bytes(&mut self, now: Instant, buf: &mut BytesMut) {
        self.heard = now;
        while !matches!(
            self.state,
            State::ExpectSecured(_) | State::Streaming(_) | State::Closed
        ) {
            match self.packets.next(buf) {
                Ok(Some(payload)) => self.handle_packet(&payload),
                Ok(None) => break,
                Err(fault) => self.close(fault.into()),
            }
        }
        if matches!(self.state, State::ExpectSecured(_)) && !buf.is_empty() {
            self.close(LinkFault::ClearBytesBeforeTls);
        }
    }

    /// TLS is up.
    pub fn handle_secured(&mut self, now: Instant) {
        self.heard = now;
        if let State::ExpectSecured(greeting) = &self.state {
            let greeting = greeting.clone();
            self.respond(greeting, Transport::Tls);
        }
    }

    /// Ends the link if a deadline has passed; otherwise does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some((deadline, what)) = self.poll_timeout() else {
            return;
        };
        if now < deadline {
            return;
        }
        let after = self.patience();
        self.close(if self.is_streaming() {
            LinkFault::Silent(after)
        } else {
            LinkFault::TimedOut { what, after }
        });
    }

    /// When to call [`Self::handle_timeout`], and what is being waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let what = match self.state {
            State::ExpectGreeting => "greeting",
            State::ExpectSecured(_) => "TLS handshake",
            State::ExpectAuth { .. } => "answer to the login",
            State::ExpectResult(_) => "answer to a statement",
            State::ExpectRegistered { .. } => "answer to the registration as a replica",
            State::Streaming(Reading::Open) => "event or heartbeat",
            State::Idle | State::Streaming(Reading::Paused) | State::Closed => return None,
        };
        Some((self.heard + self.patience(), what))
    }

    /// The next thing to be done or told.
    pub fn poll_output(&mut self) -> Option<ReplicaOutput> {
        self.outputs.pop_front()
    }

    /// Whether a statement or a dump may be asked for.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether the dump has begun: bytes are for [`Self::next_event`].
    #[must_use]
    pub const fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming(_))
    }

    /// What the server said it is, if it got as far as saying so: also where it then let nobody in.
    #[must_use]
    pub const fn greeted(&self) -> Option<&ServerVersion> {
        self.greeted.as_ref()
    }

    /// Asks a statement; [`ReplicaOutput::Rows`] or [`ReplicaOutput::Failed`] follows. Nothing if the link is over.
    ///
    /// # Panics
    /// If the link is not idle: the owner asks one thing at a time.
    pub fn query(&mut self, now: Instant, sql: &str) {
        const COM_QUERY: u8 = 0x03;
        if self.begin_command(now) {
            self.transmit(&[&[COM_QUERY], sql.as_bytes()].concat());
            self.state = State::ExpectResult(ResultReader::default());
        }
    }

    /// Registers as a replica and asks for the dump; [`Self::is_streaming`] follows. Nothing if the link is over.
    ///
    /// # Panics
    /// If the link is not idle.
    pub fn register_and_dump(&mut self, now: Instant, request: &DumpRequest) {
        if !self.begin_command(now) {
            return;
        }
        match dump_command(request) {
            Ok(dump) => {
                self.transmit(&register_command(request.server_id));
                self.state = State::ExpectRegistered { dump };
            }
            Err(fault) => self.close(fault),
        }
    }

    /// The next event at the front of `buf`, from its header on; `None` if more bytes are needed, or if
    /// nothing streams.
    ///
    /// After an error the link is over; [`ReplicaOutput::Closed`] does not follow.
    #[inline]
    pub fn next_event(
        &mut self,
        now: Instant,
        buf: &mut BytesMut,
    ) -> Option<Result<Bytes, LinkFault>> {
        if !self.is_streaming() {
            return None;
        }
        match self.packets.next(buf) {
            Ok(Some(mut payload)) if payload.first() == Some(&OK) => {
                self.heard = now;
                payload.advance(1);
                Some(Ok(payload))
            }
            Ok(None) => None,
            Ok(Some(payload)) => Some(Err(self.end_of_stream(&payload))),
            Err(fault) => {
                self.state = State::Closed;
                Some(Err(fault.into()))
            }
        }
    }

    /// Bytes came, whole packets or not: the source lives.
    pub const fn note_bytes(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The owner stops reading the stream: until [`Self::resume`], silence is not the source's.
    pub const fn pause(&mut self) {
        if let State::Streaming(reading) = &mut self.state {
            *reading = Reading::Paused;
        }
    }

    /// The owner reads the stream again. Silence counts from now on, unless it has been counting.
    pub const fn resume(&mut self, now: Instant) {
        if let State::Streaming(reading @ Reading::Paused) = &mut self.state {
            *reading = Reading::Open;
            self.heard = now;
        }
    }

    /// Ends the link; [`ReplicaOutput::Closed`] follows unless it was over already.
    pub fn close(&mut self, fault: LinkFault) {
        if !matches!(self.state, State::Closed) {
            self.state = State::Closed;
            self.outputs.push_back(ReplicaOutput::Closed(fault));
        }
    }

    const fn patience(&self) -> Duration {
        match self.state {
            State::ExpectGreeting | State::ExpectSecured(_) | State::ExpectAuth { .. } => {
                self.config.handshake_timeout
            }
            State::Streaming(_) => self.config.silence,
            State::Idle
            | State::ExpectResult(_)
            | State::ExpectRegistered { .. }
            | State::Closed => self.config.query_timeout,
        }
    }

    /// Whether a command can be sent: the link is not over.
    fn begin_command(&mut self, now: Instant) -> bool {
        if matches!(self.state, State::Closed) {
            return false;
        }
        assert!(
            self.is_idle(),
            "one command at a time, and none during a dump"
        );
        self.heard = now;
        self.packets.restart();
        true
    }

    fn transmit(&mut self, payload: &[u8]) {
        let bytes = self.packets.frame(payload);
        self.outputs.push_back(ReplicaOutput::Transmit(bytes));
    }

    fn handle_packet(&mut self, payload: &Bytes) {
        if let Err(fault) = self.step(payload) {
            self.outputs.push_back(ReplicaOutput::Closed(fault));
        }
    }

    /// One transition; the state stays `Closed` on an error.
    fn step(&mut self, payload: &Bytes) -> Result<(), LinkFault> {
        match core::mem::replace(&mut self.state, State::Closed) {
            State::ExpectGreeting => self.greet(payload),
            State::ExpectAuth {
                greeting,
                transport,
                exchange,
            } => self.authenticate(payload, greeting, transport, exchange),
            State::ExpectResult(reader) => self.answer(payload, reader),
            State::ExpectRegistered { dump } => self.registered(payload, &dump),
            State::Idle => Err(unasked(payload)),
            State::ExpectSecured(_) | State::Streaming(_) | State::Closed => {
                unreachable!("handle_bytes takes no packet in these states")
            }
        }
    }

    fn greet(&mut self, payload: &[u8]) -> Result<(), LinkFault> {
        if payload.first() == Some(&ERR) {
            let error = ServerError::parse(payload)?;
            return Err(LinkFault::refused_at_login(&self.config.username, error));
        }
        let greeting = Greeting::parse(payload)?;
        self.greeted = Some(greeting.version.clone());
        let offers_tls = greeting.capabilities.has(Capabilities::SSL);
        match self.config.ssl {
            SslMode::Disabled => self.respond(greeting, Transport::Plain),
            SslMode::Preferred if !offers_tls => self.respond(greeting, Transport::Plain),
            _ if !offers_tls => return Err(LinkFault::TlsUnavailable),
            SslMode::Preferred
            | SslMode::Required
            | SslMode::VerifyCa
            | SslMode::VerifyIdentity => {
                self.transmit(&ssl_request(greeting.capabilities));
                self.outputs.push_back(ReplicaOutput::Secure);
                self.state = State::ExpectSecured(greeting);
            }
        }
        Ok(())
    }

    fn respond(&mut self, greeting: Greeting, transport: Transport) {
        let (exchange, auth) = AuthExchange::greet(&greeting, &self.config.password, transport);
        let response = HandshakeResponse {
            server: greeting.capabilities,
            transport,
            username: &self.config.username,
            database: &self.config.database,
            plugin: exchange.plugin(),
            auth: &auth,
        };
        let payload = response.encode();
        self.transmit(&payload);
        self.state = State::ExpectAuth {
            greeting,
            transport,
            exchange,
        };
    }

    fn authenticate(
        &mut self,
        payload: &[u8],
        greeting: Greeting,
        transport: Transport,
        mut exchange: AuthExchange,
    ) -> Result<(), LinkFault> {
        let password = &self.config.password;
        match payload {
            [OK, ..] => {
                let Greeting {
                    version,
                    connection,
                    ..
                } = greeting;
                let plugin = exchange.plugin();
                let ready = Ready {
                    version,
                    connection,
                    transport,
                    plugin,
                };
                self.outputs.push_back(ReplicaOutput::Ready(ready));
                self.idle();
                return Ok(());
            }
            [ERR, ..] => {
                let error = ServerError::parse(payload)?;
                return Err(LinkFault::refused_at_login(&self.config.username, error));
            }
            [AUTH_SWITCH, request @ ..] => {
                let (next, first) = AuthExchange::switch(request, password, transport)?;
                exchange = next;
                self.transmit(&first);
            }
            [AUTH_MORE_DATA, data @ ..] => {
                if let Some(answer) = exchange.more(data, password, &mut self.rng)? {
                    self.transmit(&answer);
                }
            }
            _ => return Err(unexpected("the answer to the login", payload)),
        }
        self.state = State::ExpectAuth {
            greeting,
            transport,
            exchange,
        };
        Ok(())
    }

    fn answer(&mut self, payload: &Bytes, mut reader: ResultReader) -> Result<(), LinkFault> {
        match reader.packet(payload)? {
            Progress::More => self.state = State::ExpectResult(reader),
            Progress::Rows(set) => {
                self.outputs.push_back(ReplicaOutput::Rows(set));
                self.idle();
            }
            Progress::Failed(error) => {
                self.outputs.push_back(ReplicaOutput::Failed(error));
                self.idle();
            }
        }
        Ok(())
    }

    fn registered(&mut self, payload: &[u8], dump: &[u8]) -> Result<(), LinkFault> {
        match payload.first() {
            Some(&OK) => {
                self.packets.restart();
                self.transmit(dump);
                self.state = State::Streaming(Reading::Open);
                Ok(())
            }
            Some(&ERR) => Err(LinkFault::DumpRefused(ServerError::parse(payload)?)),
            _ => Err(unexpected("the answer to the registration", payload)),
        }
    }

    fn idle(&mut self) {
        // What a server says without being asked, such as that it shuts down, has number 0.
        self.packets.restart();
        self.state = State::Idle;
    }

    #[cold]
    fn end_of_stream(&mut self, payload: &[u8]) -> LinkFault {
        self.state = State::Closed;
        match payload.first() {
            Some(&ERR) => match ServerError::parse(payload) {
                Ok(error) => LinkFault::DumpRefused(error),
                Err(fault) => fault.into(),
            },
            _ if is_eof(payload) => LinkFault::End,
            _ => unexpected("an event", payload),
        }
    }
}

/// COM_REGISTER_SLAVE (binlog-parser reference §1.8), without host, user and password: nobody needs them there.
fn register_command(server_id: u32) -> Vec<u8> {
    const COM_REGISTER_SLAVE: u8 = 0x15;
    const NO_HOST_USER_PASSWORD: [u8; 3] = [0; 3];
    const NO_PORT_RANK_MASTER: [u8; 10] = [0; 10];
    let server_id = server_id.to_le_bytes();
    [
        &[COM_REGISTER_SLAVE],
        &server_id[..],
        &NO_HOST_USER_PASSWORD,
        &NO_PORT_RANK_MASTER,
    ]
    .concat()
}

/// COM_BINLOG_DUMP or COM_BINLOG_DUMP_GTID (binlog-parser reference §1.9–1.11).
fn dump_command(request: &DumpRequest) -> Result<Vec<u8>, LinkFault> {
    const COM_BINLOG_DUMP: u8 = 0x12;
    const COM_BINLOG_DUMP_GTID: u8 = 0x1e;
    /// MySQL: heartbeats with 64-bit positions. MariaDB: ANNOTATE_ROWS events, without which offsets have holes.
    const FLAGS: [u8; 2] = [0x02, 0x00];
    const OLDEST_FILE: &str = "";
    let server_id = request.server_id.to_le_bytes();
    let (file, offset) = match &request.from {
        DumpFrom::Position(at) => (at.file.as_str(), at.offset.max(BinlogPosition::FIRST_EVENT)),
        DumpFrom::Oldest | DumpFrom::MariadbGtid => (OLDEST_FILE, BinlogPosition::FIRST_EVENT),
        DumpFrom::MysqlGtid { encoded } => {
            const NO_FILE: [u8; 4] = [0; 4];
            let offset = BinlogPosition::FIRST_EVENT.to_le_bytes();
            let length = u32::try_from(encoded.len()).expect("a GTID set is below 4 GiB");
            let head = [
                &[COM_BINLOG_DUMP_GTID],
                &FLAGS[..],
                &server_id,
                &NO_FILE,
                &offset,
            ];
            return Ok([&head.concat(), &length.to_le_bytes()[..], encoded].concat());
        }
    };
    let Ok(offset) = u32::try_from(offset) else {
        return Err(LinkFault::OffsetTooLarge { offset });
    };
    let head = [
        &[COM_BINLOG_DUMP],
        &offset.to_le_bytes()[..],
        &FLAGS,
        &server_id,
    ];
    Ok([&head.concat(), file.as_bytes()].concat())
}

/// The server spoke although nothing was asked: it says why it ends the connection.
fn unasked(payload: &[u8]) -> LinkFault {
    if payload.first() != Some(&ERR) {
        return unexpected("nothing", payload);
    }
    match ServerError::parse(payload) {
        Ok(error) => LinkFault::ServerRefused(error),
        Err(fault) => fault.into(),
    }
}

fn unexpected(due: &'static str, payload: &[u8]) -> LinkFault {
    LinkFault::Unexpected {
        due,
        first: payload.first().copied().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
