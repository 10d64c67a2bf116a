//! A plain connection to a source, by blocking calls: for statements, and for the rate at which the
//! source gives its log to someone who throws it away.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use canald_core::config::SslMode;
use canald_core::mysql::handshake::ServerVersion;
use canald_core::mysql::query::ResultSet;
use canald_core::mysql::replica::{DumpFrom, DumpRequest, LinkConfig, Replica, ReplicaOutput};
use canald_core::rng::Seed;
use canald_core::source::statements::dump_session;
use canald_core::time::Instant;

use crate::stages::READ_BYTES;

/// The replica that the dump poses as.
const SERVER_ID: u32 = 990_101;
const UUID: &str = "6d9ac0f2-0000-4000-8000-000000000001";

const HEARTBEAT: Duration = Duration::from_secs(15);

/// Nothing here runs for long; no deadline is watched.
const PATIENCE: Duration = Duration::from_secs(60);
const NOW: Instant = Instant::ZERO;

/// A connection that is logged in.
#[derive(Debug)]
pub struct Source {
    stream: TcpStream,
    replica: Replica,
    buffer: BytesMut,
    version: Option<ServerVersion>,
}

impl Source {
    /// Connects to a server on this machine.
    ///
    /// # Errors
    /// When it does not let us in.
    pub fn connect(port: u16, user: &str, password: &str) -> Result<Self> {
        let config = LinkConfig {
            username: user.to_owned(),
            password: password.to_owned(),
            database: String::new(),
            ssl: SslMode::Disabled,
            handshake_timeout: PATIENCE,
            query_timeout: PATIENCE,
            silence: PATIENCE,
        };
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        stream.set_nodelay(true)?;
        let mut source = Self {
            stream,
            replica: Replica::new(config, Seed(1), NOW),
            buffer: BytesMut::new(),
            version: None,
        };
        while source.version.is_none() {
            if let Some(ReplicaOutput::Ready(ready)) = source.next()? {
                source.version = Some(ready.version);
            }
        }
        Ok(source)
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn query(&mut self, sql: &str) -> Result<ResultSet> {
        self.replica.query(NOW, sql);
        loop {
            match self.next()? {
                Some(ReplicaOutput::Rows(rows)) => return Ok(rows),
                Some(ReplicaOutput::Failed(error)) => bail!("{}: {}", sql, error.message),
                _ => {}
            }
        }
    }

    /// Reads the log from its oldest event on, until the offset `end` of its last file.
    ///
    /// # Errors
    /// When the server ends the dump before.
    pub fn dump(mut self, end: u64, mut sink: impl FnMut(Bytes)) -> Result<()> {
        let version = self.version.clone().context("not logged in")?;
        for statement in dump_session(&version, UUID, HEARTBEAT) {
            self.query(&statement.sql)?;
        }
        let request = DumpRequest {
            server_id: SERVER_ID,
            from: DumpFrom::Oldest,
        };
        self.replica.register_and_dump(NOW, &request);
        while !self.replica.is_streaming() {
            self.next()?;
        }
        self.write()?;
        loop {
            while let Some(event) = self.replica.next_event(NOW, &mut self.buffer) {
                let event = event?;
                let log_pos = log_pos(&event);
                sink(event);
                if log_pos == Some(end as u32) {
                    return Ok(());
                }
            }
            self.read()?;
        }
    }

    /// What the link has to tell; reads if that is nothing yet.
    fn next(&mut self) -> Result<Option<ReplicaOutput>> {
        let output = self.write()?;
        if output.is_none() {
            self.read()?;
            self.replica.handle_bytes(NOW, &mut self.buffer);
        }
        Ok(output)
    }

    /// Writes what is to be written, up to the next thing to tell.
    fn write(&mut self) -> Result<Option<ReplicaOutput>> {
        while let Some(output) = self.replica.poll_output() {
            if let ReplicaOutput::Transmit(bytes) = output {
                self.stream.write_all(&bytes)?;
            } else if let ReplicaOutput::Closed(fault) = output {
                return Err(fault.into());
            } else {
                return Ok(Some(output));
            }
        }
        Ok(None)
    }

    /// Reads as the daemon does, but for its waiting.
    fn read(&mut self) -> Result<()> {
        let len = self.buffer.len();
        self.buffer.resize(len + READ_BYTES, 0);
        let read = self.stream.read(&mut self.buffer[len..])?;
        self.buffer.truncate(len + read);
        if read == 0 {
            bail!("the source closed the connection");
        }
        Ok(())
    }
}

/// The end of an event in its file, modulo 2³²; none if it is not of the file.
fn log_pos(event: &[u8]) -> Option<u32> {
    let bytes = event.get(13..17)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes)).filter(|&pos| pos > 0)
}
