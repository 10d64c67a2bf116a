//! What an operator may decide, as validated types. Text is read in the runtime; nothing here parses.

use alloc::string::String;
use alloc::vec::Vec;

use crate::identity::Destination;
use crate::position::BinlogPosition;
use crate::time::{Duration, WallMillis};

/// How the size of a get is counted: `canal.instance.memory.batch.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchMode {
    /// MEMSIZE: bytes, in units of `memunit`.
    Bytes,
    /// ITEMSIZE: entries.
    Entries,
}

/// Where cursors and subscriptions are kept: canal's spring XML names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaMode {
    /// `memory-instance.xml`: only the generation of batch ids is stored.
    Memory,
    /// `file-instance.xml`: all of it is stored in a file.
    File,
    /// `default-instance.xml`: all of it is stored in ZooKeeper, where the next owner finds it.
    ZooKeeper,
}

/// Canal's sslMode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Plain text.
    Disabled,
    /// TLS if the server offers it.
    Preferred,
    /// TLS, whatever the certificate.
    Required,
    /// TLS with a certificate of a known authority.
    VerifyCa,
    /// TLS with a certificate of a known authority and the server's name.
    VerifyIdentity,
}

/// How a subscribed filter relates to the configured one: `canald.filter.subscribe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeFilter {
    /// It takes its place, for that client.
    Replace,
    /// Both must pass.
    Intersect,
}

/// Where a destination without a cursor starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the end of the log.
    Latest,
    /// At the oldest event that the server still has.
    Earliest,
    /// At a file and offset (an offset of 0 means the file's first event).
    Position(BinlogPosition),
    /// In a file, at the last transaction before a time.
    FileAndTime(String, WallMillis),
    /// At the last transaction before a time.
    Time(WallMillis),
    /// After a GTID set, in the server's own notation.
    Gtid(String),
}

/// What canald needs to reach a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `canal.instance.dbUsername`
    pub username: String,
    /// `canal.instance.dbPassword`
    pub password: String,
    /// `canal.instance.defaultDatabaseName`; empty for none.
    pub database: String,
    /// `canal.instance.master.sslMode`
    pub ssl: SslMode,
    /// Server id of the replica that canald poses as; never 0.
    pub replica_server_id: u32,
    /// UUID of the replica that canald poses as.
    pub replica_uuid: String,
    /// How long connecting, authenticating and each query may take.
    pub query_timeout: Duration,
    /// Period of the heartbeats that the source is asked for.
    pub heartbeat: Duration,
    /// Silence on the dump after which the link counts as dead.
    pub silence: Duration,
}

/// The size and habits of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Slots, a power of two: `canal.instance.memory.buffer.size`.
    pub entries: u32,
    /// Bytes a unit: `canal.instance.memory.buffer.memunit`. The ring holds `entries * unit` bytes, soft by one segment.
    pub unit: u32,
    /// How gets are counted.
    pub batch_mode: BatchMode,
    /// Whether each DDL is delivered alone.
    pub ddl_isolation: bool,
    /// How long a reader that asks nothing holds its slots while another is active: `canald.reader.idle.seconds`.
    pub reader_idle: Duration,
}

/// What entries are made and how values are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterConfig {
    /// `canal.instance.filter.regex`
    pub white: String,
    /// `canal.instance.filter.black.regex`
    pub black: String,
    /// `canal.instance.filter.field`
    pub fields: String,
    /// `canal.instance.filter.black.field`
    pub black_fields: String,
    /// `canald.filter.subscribe`
    pub subscribe: SubscribeFilter,
    /// `canal.instance.filter.query.dcl`
    pub drop_dcl: bool,
    /// `canal.instance.filter.query.dml`
    pub drop_dml: bool,
    /// `canal.instance.filter.query.ddl`
    pub drop_ddl: bool,
    /// `canal.instance.filter.rows`
    pub drop_rows: bool,
    /// `canal.instance.filter.transaction.entry`
    pub drop_transaction_entries: bool,
    /// `canal.instance.filter.dml.insert`
    pub drop_insert: bool,
    /// `canal.instance.filter.dml.update`
    pub drop_update: bool,
    /// `canal.instance.filter.dml.delete`
    pub drop_delete: bool,
    /// `canal.instance.filter.table.error`: quarantine a doubtful table instead of stopping.
    pub quarantine: bool,
}

/// Civil time of one zone: offsets from UTC and when they begin, as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name, for logs.
    pub name: String,
    /// Seconds east of UTC before the first transition.
    pub first_offset: i32,
    /// `(UTC second, seconds east of UTC from then on)`, ascending.
    pub transitions: Vec<(i64, i32)>,
}

impl Zone {
    /// Coordinated universal time.
    #[must_use]
    pub fn utc() -> Self {
        Self {
            name: "UTC".into(),
            first_offset: 0,
            transitions: Vec::new(),
        }
    }
}

/// Everything about one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceConfig {
    /// Its name.
    pub destination: Destination,
    /// Its source.
    pub source: SourceConfig,
    /// Where cursors and subscriptions are kept.
    pub meta: MetaMode,
    /// Whether GTIDs are used: `canal.instance.gtidon`.
    pub gtid: bool,
    /// Where it starts without a cursor.
    pub start: Start,
    /// Whether a lost position may jump to the end of the log: `canal.auto.reset.latest.pos.mode`.
    pub auto_reset: bool,
    /// Whether the place on another source may be searched by time: `canald.switch.by.time`.
    pub switch_by_time: bool,
    /// How far back a search by time begins: `canal.instance.fallbackIntervalInSeconds`.
    pub fallback: Duration,
    /// The ring.
    pub store: StoreConfig,
    /// What becomes an entry.
    pub filter: FilterConfig,
    /// Entries of a transaction that are delivered as a unit: `canal.instance.transaction.size`.
    pub transaction_entries: u32,
    /// Accepted values of `binlog_format`, upper case; empty accepts all.
    pub binlog_formats: Vec<String>,
    /// Accepted values of `binlog_row_image`, upper case; empty accepts all.
    pub row_images: Vec<String>,
    /// Charset of text whose charset nothing tells: `canal.instance.connectionCharset`.
    pub connection_charset: String,
    /// Whether `connection_charset` is used for every column, as canal does: `canald.charset.mode=connection`.
    pub connection_charset_always: bool,
    /// Whether ENUM and SET show labels: `canald.enum.text`.
    pub enum_text: bool,
    /// Zone of TIMESTAMP values: `canald.timezone`.
    pub zone: Zone,
    /// Bytes of binlog that wait for a schema to be proved: `canald.schema.lookahead.bytes`.
    pub lookahead_bytes: u64,
    /// How long a get waits for more once it has something: `canald.get.linger.ms`.
    pub get_linger: Duration,
}

/// Who may use a port: canal's user and stored password (wire-protocol reference §6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// `canal.user`; empty accepts any.
    pub user: String,
    /// `canal.passwd`: SHA1(SHA1(password)); none accepts any.
    pub stored: Option<[u8; 20]>,
}
