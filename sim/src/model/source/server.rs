//! The replica protocol around the state: one call of [`Source::serve_connection`] for each connection.
//!
//! ```text
//! greeting ─► login ─► command ⇄ answer
//!                         └─► dump, until the replica hangs up or the source ends it
//! ```
//!
//! It never writes to the tables or the log. A connection ends when its stream is dropped.

use std::io;
use std::time::Duration;

use canald::watch;
use canald_core::rng::{Rng, Seed};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::Source;
use super::dump::{Cursor, From, Refusal, Request};
use super::gtids::GtidSet;
use super::sql::{Answer, Session, answer};
use super::state::Ending;
use super::wire::{self, HEAD_BYTES, SCRAMBLE_BYTES};
use crate::journal::SourceRecord;
use crate::plan::Flavor;

/// A burst has at least one event and at most so many.
const BURST_EVENTS_MAX: u64 = 12;
/// How long a farewell may take.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// Why a conversation is over.
enum Over {
    /// The other side has gone.
    Gone,
    /// The source said no, and hangs up.
    Refused(Refusal),
}

impl std::convert::From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// A stream, and where its packets are.
struct Conversation<S> {
    source: Source,
    number: u64,
    stream: S,
    sequence: u8,
    /// A packet may have been sent in part: nothing else can be said.
    is_sending: bool,
    session: Session,
    bursts: Rng,
}

impl Source {
    /// Serves one connection until it is over. `connection` is its number in the journal, never used twice.
    pub async fn serve_connection<S>(self, stream: S, connection: u64)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        if !self.lock().connect(connection) {
            return;
        }
        let label = format!("source/connection/{connection}");
        let mut conversation = Conversation {
            number: connection,
            stream,
            sequence: 0,
            is_sending: false,
            session: Session::default(),
            bursts: Rng::new(Rng::new(Seed(self.seed)).split(&label)),
            source: self.clone(),
        };
        let over = tokio::select! {
            biased;
            ending = self.ending(connection) => Err(ending),
            over = conversation.hold() => Ok(over),
        };
        let why = match over {
            Err(ending) => {
                if ending == Ending::Replaced {
                    let refusal = self.lock().replaced();
                    conversation.farewell(&refusal).await;
                }
                Some(ending.why().to_owned())
            }
            Ok(Over::Refused(refusal)) => {
                conversation.farewell(&refusal).await;
                Some(format!("{}: {}", refusal.code, refusal.message))
            }
            Ok(Over::Gone) => None,
        };
        let mut inner = self.lock();
        inner.disconnect(connection);
        if let Some(why) = why {
            inner.record(SourceRecord::Refused { connection, why });
        }
    }

    /// Waits until the source ends a connection.
    async fn ending(&self, connection: u64) -> Ending {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(ending) = self.lock().ending(connection) {
                return ending;
            }
            changed(&mut changes).await;
        }
    }
}

async fn changed(changes: &mut watch::Receiver<()>) {
    changes
        .changed()
        .await
        .expect("the source, which is held here, holds the sender");
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Conversation<S> {
    async fn hold(&mut self) -> Over {
        match self.try_hold().await {
            Ok(never) => match never {},
            Err(over) => over,
        }
    }

    async fn try_hold(&mut self) -> Result<std::convert::Infallible, Over> {
        let server = self.source.lock().log.server;
        let scramble = self.scramble();
        let greeting = wire::greeting(
            server.flavor,
            server.version(),
            self.number as u32,
            &scramble,
        );
        self.send(&[greeting]).await?;
        let login = self.packet().await?;
        wire::check_login(&login, &scramble).map_err(Over::Refused)?;
        self.send(&[wire::ok()]).await?;
        loop {
            let command = self.packet().await?;
            self.run(&command).await?;
        }
    }

    /// A nonce of printable characters: no NUL ends it early.
    fn scramble(&mut self) -> [u8; SCRAMBLE_BYTES] {
        const FIRST: u64 = b'!' as u64;
        const LAST: u64 = b'~' as u64;
        let mut scramble = [0; SCRAMBLE_BYTES];
        for byte in &mut scramble {
            *byte = (FIRST + self.bursts.below(LAST - FIRST + 1)) as u8;
        }
        scramble
    }

    async fn run(&mut self, command: &[u8]) -> Result<(), Over> {
        const QUIT: u8 = 0x01;
        const QUERY: u8 = 0x03;
        const PING: u8 = 0x0e;
        const BINLOG_DUMP: u8 = 0x12;
        const REGISTER_SLAVE: u8 = 0x15;
        const BINLOG_DUMP_GTID: u8 = 0x1e;
        match command {
            [QUIT, ..] => Err(Over::Gone),
            [PING] | [REGISTER_SLAVE, ..] => self.send(&[wire::ok()]).await,
            [QUERY, sql @ ..] => self.query(&String::from_utf8_lossy(sql)).await,
            [BINLOG_DUMP, rest @ ..] => self.dump(dump_request(rest)).await,
            [BINLOG_DUMP_GTID, rest @ ..] => self.dump(gtid_dump_request(rest)).await,
            _ => Err(Over::Refused(Refusal {
                code: 1047,
                state: "08S01",
                message: format!("Unknown command {:02x?}", command.first()),
            })),
        }
    }

    async fn query(&mut self, sql: &str) -> Result<(), Over> {
        let answer = answer(&self.source.lock(), &mut self.session, sql);
        match answer {
            Answer::Done => self.send(&[wire::ok()]).await,
            Answer::Rows { columns, rows } => self.send(&wire::rows(&columns, &rows)).await,
            Answer::Refused(refusal) => {
                let why = format!("{}: {}", refusal.code, refusal.message);
                let connection = self.number;
                let record = SourceRecord::Refused { connection, why };
                self.source.lock().record(record);
                self.send(&[wire::err(&refusal)]).await
            }
        }
    }

    async fn dump(&mut self, request: Option<Request>) -> Result<(), Over> {
        let malformed = || Over::Refused(Refusal::of_dump("Malformed packet of a dump command"));
        let request = request.ok_or_else(malformed)?;
        let mut changes = self.source.changes.subscribe();
        let mut cursor = self.open_dump(&request).map_err(Over::Refused)?;
        loop {
            changes.borrow_and_update();
            let most = 1 + self.bursts.below(BURST_EVENTS_MAX) as usize;
            let burst = cursor.advance(&self.source.lock().log, most);
            if burst.events.is_empty() {
                self.idle(&cursor, &mut changes).await?;
                continue;
            }
            let payloads: Vec<_> = burst
                .events
                .iter()
                .map(|event| event_payload(event))
                .collect();
            self.send(&payloads).await?;
            let (connection, file, offset) = (self.number, burst.file, burst.offset);
            let record = SourceRecord::Sent {
                connection,
                file,
                offset,
            };
            self.source.lock().record(record);
        }
    }

    fn open_dump(&mut self, request: &Request) -> Result<Cursor, Refusal> {
        const CAPABILITY_GTIDS: u32 = 4;
        let mut inner = self.source.lock();
        if inner.log.server.flavor == Flavor::Mariadb && self.session.capability < CAPABILITY_GTIDS
        {
            return Err(Refusal::of_dump(
                "the source replaces no events for old replicas: set @mariadb_slave_capability=4",
            ));
        }
        let cursor = Cursor::new(&inner.log, request, &self.session)?;
        inner.begin_dump(self.number, &self.session, request.server_id);
        let (file, offset) = cursor.place(&inner.log);
        let connection = self.number;
        inner.record(SourceRecord::Dump {
            connection,
            file,
            offset,
        });
        drop(inner);
        // Whoever dumped for this replica has to learn it.
        self.source.announce();
        Ok(cursor)
    }

    /// Waits at the end of the log: for more of it, for the replica's leave, or for a heartbeat's turn.
    async fn idle(
        &mut self,
        cursor: &Cursor,
        changes: &mut watch::Receiver<()>,
    ) -> Result<(), Over> {
        let mut byte = [0];
        let period = self.session.heartbeat;
        let turn = async move {
            match period {
                Some(period) => sleep(period).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = changed(changes) => Ok(()),
            // A replica says nothing more but COM_QUIT: whatever is read ends the dump.
            _ = self.stream.read(&mut byte) => Err(Over::Gone),
            () = turn => {
                let heartbeat = cursor.heartbeat(&self.source.lock().log);
                self.send(&[event_payload(&heartbeat)]).await
            }
        }
    }

    async fn packet(&mut self) -> Result<Vec<u8>, Over> {
        let mut head = [0; HEAD_BYTES];
        self.stream.read_exact(&mut head).await?;
        let length = wire::length(head).ok_or(Over::Gone)?;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await?;
        self.sequence = head[HEAD_BYTES - 1].wrapping_add(1);
        Ok(payload)
    }

    async fn send(&mut self, payloads: &[Vec<u8>]) -> Result<(), Over> {
        let mut out = Vec::new();
        for payload in payloads {
            wire::frame(&mut self.sequence, payload, &mut out);
        }
        self.is_sending = true;
        self.stream.write_all(&out).await?;
        self.stream.flush().await?;
        self.is_sending = false;
        Ok(())
    }

    /// Says why, if it can still be said.
    async fn farewell(&mut self, refusal: &Refusal) {
        if !self.is_sending {
            // Who does not listen is not told.
            let _ = timeout(FAREWELL_MAX, self.send(&[wire::err(refusal)])).await;
        }
    }
}

/// An event behind the byte that says that it is one.
fn event_payload(event: &[u8]) -> Vec<u8> {
    [&[0], event].concat()
}

/// The rest of COM_BINLOG_DUMP: offset, flags, server id, file.
fn dump_request(rest: &[u8]) -> Option<Request> {
    let (offset, rest) = rest.split_first_chunk()?;
    let (flags, rest) = rest.split_first_chunk()?;
    let (server_id, file) = rest.split_first_chunk()?;
    Some(Request {
        server_id: u32::from_le_bytes(*server_id),
        flags: u16::from_le_bytes(*flags),
        from: From::Place {
            file: String::from_utf8(file.to_vec()).ok()?,
            offset: u32::from_le_bytes(*offset).into(),
        },
    })
}

/// The rest of COM_BINLOG_DUMP_GTID: flags, server id, file, offset, set.
fn gtid_dump_request(rest: &[u8]) -> Option<Request> {
    const OFFSET_BYTES: usize = 8;
    let (flags, rest) = rest.split_first_chunk()?;
    let (server_id, rest) = rest.split_first_chunk()?;
    let (file, rest) = rest.split_first_chunk()?;
    let rest = rest.get(u32::from_le_bytes(*file) as usize + OFFSET_BYTES..)?;
    let (length, set) = rest.split_first_chunk()?;
    let set = set.get(..u32::from_le_bytes(*length) as usize)?;
    Some(Request {
        server_id: u32::from_le_bytes(*server_id),
        flags: u16::from_le_bytes(*flags),
        from: From::Gtids(GtidSet::decode(set)?),
    })
}
