//! Canal's protocol from the client's side, by blocking calls: for tests that must send what no
//! stock client sends, or that decide themselves when to acknowledge.
//!
//! Written from the wire-protocol reference (§1 frames, §3 packets, §4 entries) and sharing
//! nothing with canald's own code, which it checks.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use prost::Message as _;

use super::change::{Change, Row};

/// How long any reply may take.
const REPLY_WITHIN: Duration = Duration::from_secs(30);
/// Larger replies than any test asks for.
const REPLY_BYTES_MAX: usize = 256 << 20;

/// Packet types that a client sends or receives.
mod kind {
    pub(super) const HANDSHAKE: i32 = 1;
    pub(super) const CLIENTAUTHENTICATION: i32 = 2;
    pub(super) const ACK: i32 = 3;
    pub(super) const SUBSCRIPTION: i32 = 4;
    pub(super) const GET: i32 = 6;
    pub(super) const MESSAGES: i32 = 7;
    pub(super) const CLIENTACK: i32 = 8;
    pub(super) const CLIENTROLLBACK: i32 = 12;
}

#[derive(Clone, PartialEq, prost::Message)]
struct Packet {
    #[prost(int32, optional, tag = "2")]
    version: Option<i32>,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(bytes = "vec", tag = "5")]
    body: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Ack {
    #[prost(int32, tag = "1")]
    error_code: i32,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `Sub`; without a filter also `Unsub`.
#[derive(Clone, PartialEq, prost::Message)]
struct Sub {
    #[prost(string, tag = "1")]
    destination: String,
    #[prost(string, tag = "2")]
    client_id: String,
    #[prost(string, tag = "7")]
    filter: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Get {
    #[prost(string, tag = "1")]
    destination: String,
    #[prost(string, tag = "2")]
    client_id: String,
    #[prost(int32, tag = "3")]
    fetch_size: i32,
    #[prost(int64, optional, tag = "4")]
    timeout: Option<i64>,
    #[prost(int32, optional, tag = "5")]
    unit: Option<i32>,
}

/// `ClientAck` and `ClientRollback` have the same fields.
#[derive(Clone, PartialEq, prost::Message)]
struct BatchRef {
    #[prost(string, tag = "1")]
    destination: String,
    #[prost(string, tag = "2")]
    client_id: String,
    #[prost(int64, tag = "3")]
    batch_id: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Messages {
    #[prost(int64, tag = "1")]
    batch_id: i64,
    #[prost(bytes = "vec", repeated, tag = "2")]
    messages: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(int32, tag = "2")]
    entry_type: i32,
    #[prost(bytes = "vec", tag = "3")]
    store_value: Vec<u8>,
}

/// `Entry.entryType` of rows and statements.
const ROWDATA: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(string, tag = "8")]
    schema_name: String,
    #[prost(string, tag = "9")]
    table_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RowChange {
    #[prost(int32, tag = "2")]
    event_type: i32,
    #[prost(bool, tag = "10")]
    is_ddl: bool,
    #[prost(string, tag = "11")]
    sql: String,
    #[prost(message, repeated, tag = "12")]
    rows: Vec<RowData>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RowData {
    #[prost(message, repeated, tag = "1")]
    before: Vec<Column>,
    #[prost(message, repeated, tag = "2")]
    after: Vec<Column>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Column {
    #[prost(string, tag = "3")]
    name: String,
    #[prost(bool, tag = "4")]
    is_key: bool,
    #[prost(bool, tag = "5")]
    updated: bool,
    #[prost(bool, tag = "6")]
    is_null: bool,
    #[prost(string, tag = "8")]
    value: String,
}

/// What a get returned: an id of 0 or less means that there was nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// To acknowledge it by.
    pub id: i64,
    /// How many entries it holds, those of transactions' ends included.
    pub entries: usize,
    /// Its rows and statements.
    pub changes: Vec<Change>,
}

/// A refusal: canal's error code and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// 400, 401 or 402.
    pub code: i32,
    /// What the server said.
    pub text: String,
}

/// A connection to the data port.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    destination: String,
    client_id: String,
}

impl Connection {
    /// Connects and reads the handshake.
    ///
    /// # Errors
    /// When there is no server, or no handshake of version 1.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_read_timeout(Some(REPLY_WITHIN))?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            destination: String::new(),
            client_id: String::new(),
        };
        let packet = connection.read()?;
        ensure!(
            packet.kind == kind::HANDSHAKE && packet.version == Some(1),
            "no handshake: {packet:?}"
        );
        Ok(connection)
    }

    /// Connects, authenticates anonymously and subscribes.
    ///
    /// # Errors
    /// When any step is refused.
    pub fn subscribed(address: SocketAddr, destination: &str, client_id: &str) -> Result<Self> {
        let mut connection = Self::open(address)?;
        connection.login()?;
        match connection.subscribe(destination, client_id, "")? {
            Ok(()) => Ok(connection),
            Err(refused) => bail!("the subscription was refused: {refused:?}"),
        }
    }

    /// Authenticates without a name.
    ///
    /// # Errors
    /// When it is refused.
    pub fn login(&mut self) -> Result<()> {
        self.send(kind::CLIENTAUTHENTICATION, Vec::new())?;
        match self.acknowledged()? {
            Ok(()) => Ok(()),
            Err(refused) => bail!("authentication was refused: {refused:?}"),
        }
    }

    /// Subscribes; later calls are for this destination and client id.
    ///
    /// # Errors
    /// When the connection fails. A refusal is a result.
    pub fn subscribe(
        &mut self,
        destination: &str,
        client_id: &str,
        filter: &str,
    ) -> Result<Result<(), Refused>> {
        self.destination = destination.to_owned();
        self.client_id = client_id.to_owned();
        let sub = Sub {
            destination: self.destination.clone(),
            client_id: self.client_id.clone(),
            filter: filter.to_owned(),
        };
        self.send(kind::SUBSCRIPTION, sub.encode_to_vec())?;
        self.acknowledged()
    }

    /// Asks for a batch, waiting at the server for at most `wait`.
    ///
    /// # Errors
    /// When the connection fails. A refusal, also a late one of an acknowledgement, is a result.
    pub fn get(&mut self, fetch_size: i32, wait: Duration) -> Result<Result<Batch, Refused>> {
        let get = Get {
            destination: self.destination.clone(),
            client_id: self.client_id.clone(),
            fetch_size,
            timeout: Some(i64::try_from(wait.as_millis())?),
            unit: None,
        };
        self.send(kind::GET, get.encode_to_vec())?;
        let packet = self.read()?;
        if packet.kind == kind::MESSAGES {
            return Ok(Ok(Batch::read(&Messages::decode(packet.body.as_slice())?)?));
        }
        match refusal(&packet)? {
            Some(refused) => Ok(Err(refused)),
            None => bail!("a get was answered by an acknowledgement"),
        }
    }

    /// Acknowledges a batch. There is no reply unless it is refused.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn ack(&mut self, batch_id: i64) -> Result<()> {
        self.refer(kind::CLIENTACK, batch_id)
    }

    /// Rolls a batch back, or with 0 all. There is no reply unless it is refused.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn rollback(&mut self, batch_id: i64) -> Result<()> {
        self.refer(kind::CLIENTROLLBACK, batch_id)
    }

    fn refer(&mut self, kind: i32, batch_id: i64) -> Result<()> {
        let body = BatchRef {
            destination: self.destination.clone(),
            client_id: self.client_id.clone(),
            batch_id,
        };
        self.send(kind, body.encode_to_vec())
    }

    fn acknowledged(&mut self) -> Result<Result<(), Refused>> {
        let packet = self.read()?;
        Ok(refusal(&packet)?.map_or(Ok(()), Err))
    }

    fn send(&mut self, kind: i32, body: Vec<u8>) -> Result<()> {
        self.send_raw(&frame(
            &Packet {
                version: None,
                kind,
                body,
            }
            .encode_to_vec(),
        )?)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Whether the server closes the connection, within the time for a reply, without a word more.
    ///
    /// # Errors
    /// When it neither closes nor keeps silent.
    pub fn is_closed_by_server(&mut self) -> Result<bool> {
        match self.stream.read(&mut [0]) {
            Ok(0) => Ok(true),
            Ok(_) => bail!("the server answered"),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                Ok(false)
            }
            // Closed while some of our bytes were unread.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                ) =>
            {
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn read(&mut self) -> Result<Packet> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).context("no reply")?;
        let length = u32::from_be_bytes(head) as usize;
        ensure!(length <= REPLY_BYTES_MAX, "a reply of {length} bytes");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).context("half a reply")?;
        Ok(Packet::decode(body.as_slice())?)
    }
}

/// The frame of the anonymous login, for tests that send it by pieces.
///
/// # Errors
/// Never: it is short.
pub fn login_frame() -> Result<Vec<u8>> {
    frame(
        &Packet {
            version: None,
            kind: kind::CLIENTAUTHENTICATION,
            body: Vec::new(),
        }
        .encode_to_vec(),
    )
}

fn frame(packet: &[u8]) -> Result<Vec<u8>> {
    let mut frame = u32::try_from(packet.len())?.to_be_bytes().to_vec();
    frame.extend_from_slice(packet);
    Ok(frame)
}

fn refusal(packet: &Packet) -> Result<Option<Refused>> {
    ensure!(
        packet.kind == kind::ACK,
        "neither a reply nor a refusal: {packet:?}"
    );
    let ack = Ack::decode(packet.body.as_slice())?;
    Ok((ack.error_code > 0).then_some(Refused {
        code: ack.error_code,
        text: ack.error_message,
    }))
}

impl Batch {
    fn read(messages: &Messages) -> Result<Self> {
        let mut changes = Vec::new();
        for bytes in &messages.messages {
            let entry = Entry::decode(bytes.as_slice())?;
            if entry.entry_type == ROWDATA {
                changes.extend(entry_changes(&entry)?);
            }
        }
        Ok(Self {
            id: messages.batch_id,
            entries: messages.messages.len(),
            changes,
        })
    }

    /// Whether there was anything.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries == 0
    }
}

fn entry_changes(entry: &Entry) -> Result<Vec<Change>> {
    let header = entry.header.as_ref().context("an entry without a header")?;
    let change = RowChange::decode(entry.store_value.as_slice())?;
    let base = Change {
        kind: event_name(change.event_type)
            .with_context(|| format!("event type {}", change.event_type))?
            .to_owned(),
        schema: header.schema_name.clone(),
        table: header.table_name.clone(),
        ddl: change.is_ddl,
        ..Change::default()
    };
    if change.rows.is_empty() {
        return Ok(vec![Change {
            sql: Some(change.sql),
            ..base
        }]);
    }
    let names = |columns: &[Column], wanted: fn(&Column) -> bool| {
        columns
            .iter()
            .filter(|column| wanted(column))
            .map(|column| column.name.clone())
            .collect()
    };
    let rows = change.rows.iter().map(|row| Change {
        before: image(&row.before),
        after: image(&row.after),
        keys: names(
            if row.after.is_empty() {
                &row.before
            } else {
                &row.after
            },
            |column| column.is_key,
        ),
        updated: names(&row.after, |column| column.updated),
        ..base.clone()
    });
    Ok(rows.collect())
}

fn image(columns: &[Column]) -> Row {
    columns
        .iter()
        .map(|column| {
            (
                column.name.clone(),
                (!column.is_null).then(|| column.value.clone()),
            )
        })
        .collect()
}

/// `EventType` (wire-protocol reference §4).
fn event_name(number: i32) -> Option<&'static str> {
    const NAMES: [&str; 14] = [
        "INSERT",
        "UPDATE",
        "DELETE",
        "CREATE",
        "ALTER",
        "ERASE",
        "QUERY",
        "TRUNCATE",
        "RENAME",
        "CINDEX",
        "DINDEX",
        "GTID",
        "XACOMMIT",
        "XAROLLBACK",
    ];
    NAMES
        .get(usize::try_from(number).ok()?.checked_sub(1)?)
        .copied()
}
