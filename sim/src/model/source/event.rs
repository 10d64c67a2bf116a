//! Events of a binlog, from the MySQL manual: header, checksum, and all bodies but those of rows.
//!
//! Shares no code with canald's decoder.

use crate::plan::Flavor;

/// Bytes of every event's header.
pub(super) const HEADER_BYTES: u64 = 19;
const CHECKSUM_BYTES: u64 = 4;
/// Where the header holds `log_pos`, and where its body begins.
const LOG_POS_AT: usize = 13;
/// Where the body of a FORMAT_DESCRIPTION holds the time of creation, from the event's first byte on.
const CREATED_AT: usize = 19 + 2 + VERSION_BYTES;
const VERSION_BYTES: usize = 50;

/// What a file begins with.
pub(super) const MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];
/// Offset of a file's first event.
pub(super) const FIRST_EVENT: u64 = 4;

/// An event that the server makes up for a dump.
const FLAG_ARTIFICIAL: u16 = 0x20;
/// An event that a reader who does not know it may skip.
const FLAG_IGNORABLE: u16 = 0x80;
/// The statement needs no `USE`: BEGIN and COMMIT have it, and MariaDB's GTID events.
const FLAG_SUPPRESS_USE: u16 = 0x08;

/// Numbers of the events' types.
pub(super) mod kind {
    pub(in super::super) const QUERY: u8 = 2;
    pub(in super::super) const STOP: u8 = 3;
    pub(in super::super) const ROTATE: u8 = 4;
    pub(in super::super) const FORMAT_DESCRIPTION: u8 = 15;
    pub(in super::super) const XID: u8 = 16;
    pub(in super::super) const TABLE_MAP: u8 = 19;
    pub(in super::super) const HEARTBEAT: u8 = 27;
    pub(in super::super) const GTID: u8 = 33;
    pub(in super::super) const ANONYMOUS_GTID: u8 = 34;
    pub(in super::super) const PREVIOUS_GTIDS: u8 = 35;
    pub(in super::super) const HEARTBEAT_V2: u8 = 41;
    pub(in super::super) const MARIADB_CHECKPOINT: u8 = 161;
    pub(in super::super) const MARIADB_GTID: u8 = 162;
    pub(in super::super) const MARIADB_GTID_LIST: u8 = 163;
}

/// An event without its place.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// The number of its type.
    pub(super) kind: u8,
    /// The source's clock in seconds; 0 for artificial ones.
    pub(super) timestamp: u32,
    /// Flags of the header.
    pub(super) flags: u16,
    /// What follows the header, without the checksum.
    pub(super) body: Vec<u8>,
}

impl Event {
    /// An event without flags.
    pub(super) const fn new(kind: u8, timestamp: u32, body: Vec<u8>) -> Self {
        Self {
            kind,
            timestamp,
            flags: 0,
            body,
        }
    }

    const fn artificial(kind: u8, body: Vec<u8>) -> Self {
        Self {
            kind,
            timestamp: 0,
            flags: FLAG_ARTIFICIAL,
            body,
        }
    }

    /// Whether it ends in a checksum: a FORMAT_DESCRIPTION always does.
    const fn has_checksum(&self, checksum: bool) -> bool {
        checksum || self.kind == kind::FORMAT_DESCRIPTION
    }

    /// Its bytes, of header and checksum too.
    pub(super) fn size(&self, checksum: bool) -> u64 {
        let tail = if self.has_checksum(checksum) {
            CHECKSUM_BYTES
        } else {
            0
        };
        HEADER_BYTES + self.body.len() as u64 + tail
    }

    /// Itself, ending at `log_pos` of its file; 0 if it lies in none.
    pub(super) fn bytes(&self, server_id: u32, log_pos: u64, checksum: bool) -> Vec<u8> {
        let size = u32::try_from(self.size(checksum)).expect("an event is below 4 GiB");
        let mut out = Vec::with_capacity(size as usize);
        out.extend_from_slice(&self.timestamp.to_le_bytes());
        out.push(self.kind);
        out.extend_from_slice(&server_id.to_le_bytes());
        out.extend_from_slice(&size.to_le_bytes());
        // The field has the low 32 bits.
        out.extend_from_slice(&(log_pos as u32).to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&self.body);
        if self.has_checksum(checksum) {
            let crc = crc32fast::hash(&out);
            out.extend_from_slice(&crc.to_le_bytes());
        }
        out
    }
}

/// A FORMAT_DESCRIPTION of a file as a dump that begins behind it gets it: of no place and no age.
pub(super) fn format_copy(event: &[u8]) -> Vec<u8> {
    let (content, _) = event.split_at(event.len() - CHECKSUM_BYTES as usize);
    let mut out = content.to_vec();
    out[LOG_POS_AT..LOG_POS_AT + 4].fill(0);
    out[CREATED_AT..CREATED_AT + 4].fill(0);
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// FORMAT_DESCRIPTION: `created` is 0 unless the server has just started.
pub(super) fn format(
    flavor: Flavor,
    version: &str,
    now: u32,
    created: u32,
    checksum: bool,
) -> Event {
    const BINLOG_VERSION: u16 = 4;
    /// Of MySQL 8.4, for the types 1 to 42.
    const MYSQL_LENGTHS: [u8; 42] = [
        0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 99, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0,
        10, 10, 10, 42, 42, 0, 18, 52, 0, 10, 40, 0, 0,
    ];
    /// Of MariaDB 10.11, for the types 1 to 41, and
    const MARIADB_LENGTHS_LOW: [u8; 41] = [
        56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 228, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0,
        0, 10, 10, 10, 0, 0, 0, 0, 0, 0, 10, 10, 10,
    ];
    /// for its own, 161 to 171.
    const MARIADB_LENGTHS_HIGH: [u8; 11] = [4, 19, 4, 0, 13, 8, 8, 8, 10, 10, 10];
    const MARIADB_GAP: usize = 160 - 41;
    let mut body = BINLOG_VERSION.to_le_bytes().to_vec();
    let mut name = [0; VERSION_BYTES];
    name[..version.len()].copy_from_slice(version.as_bytes());
    body.extend_from_slice(&name);
    body.extend_from_slice(&created.to_le_bytes());
    body.push(HEADER_BYTES as u8);
    match flavor {
        Flavor::Mysql => body.extend_from_slice(&MYSQL_LENGTHS),
        Flavor::Mariadb => {
            body.extend_from_slice(&MARIADB_LENGTHS_LOW);
            body.extend_from_slice(&[0; MARIADB_GAP]);
            body.extend_from_slice(&MARIADB_LENGTHS_HIGH);
        }
    }
    body.push(u8::from(checksum));
    Event::new(kind::FORMAT_DESCRIPTION, now, body)
}

/// The end of a file that is followed by another one.
pub(super) fn rotate(now: u32, next: &str) -> Event {
    Event::new(kind::ROTATE, now, rotate_body(next, FIRST_EVENT))
}

/// What a dump gets before the events of a file.
pub(super) fn artificial_rotate(file: &str, offset: u64) -> Event {
    Event::artificial(kind::ROTATE, rotate_body(file, offset))
}

fn rotate_body(file: &str, offset: u64) -> Vec<u8> {
    [&offset.to_le_bytes(), file.as_bytes()].concat()
}

/// The end of a file whose server was shut down.
pub(super) const fn stop(now: u32) -> Event {
    Event::new(kind::STOP, now, Vec::new())
}

/// MySQL: the GTIDs of former files, numbers 1 to `last` of one server; none if it is 0.
pub(super) fn previous_gtids(now: u32, uuid: [u8; 16], last: u64) -> Event {
    const FIRST_NUMBER: u64 = 1;
    let body = if last == 0 {
        0_u64.to_le_bytes().to_vec()
    } else {
        let (servers, intervals) = (1_u64.to_le_bytes(), 1_u64.to_le_bytes());
        let (from, end) = (FIRST_NUMBER.to_le_bytes(), (last + 1).to_le_bytes());
        [&servers[..], &uuid, &intervals, &from, &end].concat()
    };
    Event {
        flags: FLAG_IGNORABLE,
        ..Event::new(kind::PREVIOUS_GTIDS, now, body)
    }
}

/// What a MySQL transaction begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct MysqlGtid {
    /// The server and the number; none if anonymous.
    pub(super) gtid: Option<([u8; 16], u64)>,
    /// Whether it holds a statement rather than rows.
    pub(super) statement: bool,
    /// Its logical clock in the file, from 1.
    pub(super) sequence: u64,
    /// When it was committed, microseconds since 1970.
    pub(super) micros: u64,
    /// Bytes of all events that follow it in its transaction.
    pub(super) following: u64,
    /// The server's version as a number, 80403 for 8.4.3.
    pub(super) version: u32,
}

impl MysqlGtid {
    /// The event, which says how long the transaction is with itself.
    pub(super) fn event(self, now: u32, checksum: bool) -> Event {
        // The length of a length depends on it: from the shortest form on, until it fits.
        let mut whole = self.following;
        loop {
            let event = self.with_length(now, whole);
            let length = self.following + event.size(checksum);
            if length == whole {
                return event;
            }
            whole = length;
        }
    }

    fn with_length(self, now: u32, whole: u64) -> Event {
        const MAY_HAVE_STATEMENTS: u8 = 1;
        const LOGICAL_CLOCK: u8 = 2;
        const MICROS_BYTES: usize = 7;
        let (uuid, number) = self.gtid.unwrap_or_default();
        let mut body = vec![if self.statement {
            MAY_HAVE_STATEMENTS
        } else {
            0
        }];
        body.extend_from_slice(&uuid);
        body.extend_from_slice(&number.to_le_bytes());
        body.push(LOGICAL_CLOCK);
        body.extend_from_slice(&(self.sequence - 1).to_le_bytes());
        body.extend_from_slice(&self.sequence.to_le_bytes());
        body.extend_from_slice(&self.micros.to_le_bytes()[..MICROS_BYTES]);
        put_lenenc(&mut body, whole);
        body.extend_from_slice(&self.version.to_le_bytes());
        let kind = match self.gtid {
            Some(_) => kind::GTID,
            None => kind::ANONYMOUS_GTID,
        };
        Event::new(kind, now, body)
    }
}

/// What a MariaDB event group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// A transaction, up to its XID or COMMIT.
    Transaction,
    /// The one statement that follows.
    Statement,
}

/// MariaDB: what a group begins with.
pub(super) fn mariadb_gtid(now: u32, domain: u32, sequence: u64, group: Group) -> Event {
    /// Transactional, may run in parallel.
    const TRANSACTION: u8 = 0x0c;
    /// Standalone, may run in parallel, DDL.
    const STATEMENT: u8 = 0x29;
    /// Up to the least length of the event.
    const PADDING: [u8; 6] = [0; 6];
    let flags = match group {
        Group::Transaction => TRANSACTION,
        Group::Statement => STATEMENT,
    };
    let (sequence, domain) = (sequence.to_le_bytes(), domain.to_le_bytes());
    let body = [&sequence[..], &domain, &[flags], &PADDING].concat();
    Event {
        flags: FLAG_SUPPRESS_USE,
        ..Event::new(kind::MARIADB_GTID, now, body)
    }
}

/// MariaDB: the last GTID before a file, if there is one: domain, server, sequence.
pub(super) fn mariadb_gtid_list(now: u32, last: Option<(u32, u32, u64)>) -> Event {
    Event::new(kind::MARIADB_GTID_LIST, now, gtid_list_body(last))
}

/// MariaDB: what a dump gets where what it has already ends.
pub(super) fn artificial_gtid_list(last: Option<(u32, u32, u64)>) -> Event {
    Event::artificial(kind::MARIADB_GTID_LIST, gtid_list_body(last))
}

fn gtid_list_body(last: Option<(u32, u32, u64)>) -> Vec<u8> {
    let mut body = u32::from(last.is_some()).to_le_bytes().to_vec();
    if let Some((domain, server, sequence)) = last {
        body.extend_from_slice(&domain.to_le_bytes());
        body.extend_from_slice(&server.to_le_bytes());
        body.extend_from_slice(&sequence.to_le_bytes());
    }
    body
}

/// MariaDB: the oldest file that a recovery would need.
pub(super) fn mariadb_checkpoint(now: u32, file: &str) -> Event {
    let length = u32::try_from(file.len()).expect("a file's name is short");
    let body = [&length.to_le_bytes(), file.as_bytes()].concat();
    Event::new(kind::MARIADB_CHECKPOINT, now, body)
}

/// A statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    /// The session's number.
    pub(super) thread: u32,
    /// The session's schema.
    pub(super) schema: &'a str,
    /// The statement.
    pub(super) sql: &'a str,
    /// For DDL on MySQL: the number of the engine's transaction.
    pub(super) ddl_xid: Option<u64>,
}

impl Query<'_> {
    /// The event.
    pub(super) fn event(self, now: u32, flavor: Flavor) -> Event {
        const SECONDS_TAKEN: u32 = 0;
        const NO_ERROR: u16 = 0;
        let status = self.status(flavor);
        let length = u16::try_from(status.len()).expect("a few status variables are short");
        let mut body = self.thread.to_le_bytes().to_vec();
        body.extend_from_slice(&SECONDS_TAKEN.to_le_bytes());
        body.push(u8::try_from(self.schema.len()).expect("a schema's name is short"));
        body.extend_from_slice(&NO_ERROR.to_le_bytes());
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(&status);
        body.extend_from_slice(self.schema.as_bytes());
        body.push(0);
        body.extend_from_slice(self.sql.as_bytes());
        let flags = match self.ddl_xid {
            None => FLAG_SUPPRESS_USE,
            Some(_) => 0,
        };
        Event {
            flags,
            ..Event::new(kind::QUERY, now, body)
        }
    }

    /// The status variables that these servers write.
    fn status(self, flavor: Flavor) -> Vec<u8> {
        const FLAGS2: u8 = 0;
        const SQL_MODE: u8 = 1;
        const CHARSETS: u8 = 4;
        const CATALOG: u8 = 6;
        const UPDATED_SCHEMAS: u8 = 12;
        const DDL_XID: u8 = 17;
        const UTF8MB4_COLLATION: u8 = 18;
        const STRICT_TRANS_TABLES: u64 = 1 << 21;
        let collation = match flavor {
            Flavor::Mysql => UTF8MB4_0900_AI_CI,
            Flavor::Mariadb => UTF8MB4_GENERAL_CI,
        }
        .to_le_bytes();
        let mut out = vec![FLAGS2, 0, 0, 0, 0, SQL_MODE];
        out.extend_from_slice(&STRICT_TRANS_TABLES.to_le_bytes());
        out.extend_from_slice(&[CATALOG, 3, b's', b't', b'd', CHARSETS]);
        out.extend_from_slice(&[collation, collation, collation].concat());
        if flavor == Flavor::Mysql {
            if let Some(xid) = self.ddl_xid {
                out.extend_from_slice(&[UPDATED_SCHEMAS, 1]);
                out.extend_from_slice(self.schema.as_bytes());
                out.extend_from_slice(&[0, DDL_XID]);
                out.extend_from_slice(&xid.to_le_bytes());
            }
            out.push(UTF8MB4_COLLATION);
            out.extend_from_slice(&collation);
        }
        out
    }
}

/// `utf8mb4_0900_ai_ci`, MySQL's default.
pub(super) const UTF8MB4_0900_AI_CI: u16 = 255;
/// `utf8mb4_general_ci`, MariaDB's default for utf8mb4.
pub(super) const UTF8MB4_GENERAL_CI: u16 = 45;

/// The end of a transaction.
pub(super) fn xid(now: u32, number: u64) -> Event {
    Event::new(kind::XID, now, number.to_le_bytes().to_vec())
}

/// What an idle dump gets, or one that skips: how far the source has read. Version 1 has the low 32 bits
/// of the offset in its header's `log_pos`.
pub(super) fn heartbeat(file: &str) -> Event {
    Event::new(kind::HEARTBEAT, 0, file.as_bytes().to_vec())
}

/// The same in version 2, with the offset in its body.
pub(super) fn heartbeat_v2(file: &str, offset: u64) -> Event {
    const FILE: u8 = 1;
    const OFFSET: u8 = 2;
    const END: u8 = 0;
    let mut body = vec![FILE];
    put_lenenc_bytes(&mut body, file.as_bytes());
    let mut place = Vec::new();
    put_lenenc(&mut place, offset);
    body.push(OFFSET);
    put_lenenc_bytes(&mut body, &place);
    body.push(END);
    Event::new(kind::HEARTBEAT_V2, 0, body)
}

/// A length-encoded integer.
pub(super) fn put_lenenc(out: &mut Vec<u8>, n: u64) {
    let bytes = n.to_le_bytes();
    match n {
        0..=250 => out.push(bytes[0]),
        251..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&bytes[..2]);
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&bytes[..3]);
        }
        0x100_0000.. => {
            out.push(0xfe);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Bytes behind their length-encoded number.
pub(super) fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_lenenc(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
