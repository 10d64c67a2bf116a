//! QUERY: a statement and the session it ran in (binlog-parser reference §2.3).

use crate::binlog::format::Flavor;
use crate::read::{ReadError, Reader};

/// A QUERY event, or a QUERY_COMPRESSED one, whose [`Self::sql`] is then compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// The connection that ran it.
    pub thread_id: u32,
    /// Seconds that it took.
    pub exec_time: u32,
    /// The error that it ended with on the source; 0 for none.
    pub error_code: u16,
    /// The session it ran in.
    pub status: StatusVars<'a>,
    /// The default schema, in the client's character set.
    pub schema: &'a [u8],
    /// The text in the client's character set, NULs and all.
    pub sql: &'a [u8],
}

impl<'a> Query<'a> {
    /// Reads a body, checksum removed.
    ///
    /// # Errors
    /// It is cut off.
    pub fn parse(body: &'a [u8], flavor: Flavor) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        let thread_id = r.u32("thread id")?;
        let exec_time = r.u32("execution time")?;
        let schema_bytes = usize::from(r.u8("schema length")?);
        let error_code = r.u16("error code")?;
        let status_bytes = usize::from(r.u16("status variables length")?);
        let status = StatusVars::parse(r.bytes(status_bytes, "status variables")?, flavor);
        let schema = r.bytes(schema_bytes, "schema")?;
        r.u8("end of schema")?;
        Ok(Self {
            thread_id,
            exec_time,
            error_code,
            status,
            schema,
            sql: r.rest(),
        })
    }
}

/// The status variables of a statement: those that mean something to a reader of its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusVars<'a> {
    /// Session options that are on or off.
    pub flags2: Option<u32>,
    /// `sql_mode`
    pub sql_mode: Option<u64>,
    /// `auto_increment_increment` and `auto_increment_offset`
    pub auto_increment: Option<(u16, u16)>,
    /// Collation ids of client, connection and server; the text is in the client's character set.
    pub charset: Option<StatementCharset>,
    /// `time_zone`
    pub time_zone: Option<&'a [u8]>,
    /// Collation id of the default schema.
    pub charset_database: Option<u16>,
    /// Microseconds to be added to the timestamp.
    pub microseconds: Option<u32>,
    /// The transaction of an atomic DDL statement, MySQL.
    pub ddl_xid: Option<u64>,
    /// `default_collation_for_utf8mb4`
    pub default_collation_for_utf8mb4: Option<u16>,
    /// The transaction of an atomic DDL statement, MariaDB.
    pub mariadb_xid: Option<u64>,
}

/// Collation ids of a statement's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementCharset {
    /// `character_set_client`, as the id of its collation.
    pub client: u16,
    /// `collation_connection`
    pub connection: u16,
    /// `collation_server`
    pub server: u16,
}

impl<'a> StatusVars<'a> {
    /// Reads what it knows. At an unknown variable it stops, for nothing tells its length, nor where
    /// the next begins; none of them is needed to find the text.
    #[must_use]
    pub fn parse(bytes: &'a [u8], flavor: Flavor) -> Self {
        let mut vars = Self::default();
        let mut r = Reader::new(bytes);
        while let Ok(Some(())) = vars.read_one(&mut r, flavor) {}
        vars
    }

    /// Reads one variable; none at the end, or if it is unknown.
    fn read_one(&mut self, r: &mut Reader<'a>, flavor: Flavor) -> Result<Option<()>, ReadError> {
        if r.is_empty() {
            return Ok(None);
        }
        let code = r.u8("status variable")?;
        match code {
            FLAGS2 => self.flags2 = Some(r.u32("flags2")?),
            SQL_MODE => self.sql_mode = Some(r.u64("sql_mode")?),
            AUTO_INCREMENT => {
                self.auto_increment = Some((r.u16("increment")?, r.u16("offset")?));
            }
            CHARSET => {
                let client = r.u16("client collation")?;
                let connection = r.u16("connection collation")?;
                let server = r.u16("server collation")?;
                self.charset = Some(StatementCharset {
                    client,
                    connection,
                    server,
                });
            }
            TIME_ZONE => self.time_zone = Some(short_bytes(r)?),
            CHARSET_DATABASE => self.charset_database = Some(r.u16("schema collation")?),
            MICROSECONDS => self.microseconds = Some(r.uint(3, "microseconds")? as u32),
            DDL_XID => self.ddl_xid = Some(r.u64("DDL xid")?),
            DEFAULT_COLLATION_FOR_UTF8MB4 => {
                self.default_collation_for_utf8mb4 = Some(r.u16("utf8mb4 collation")?);
            }
            MARIADB_XID => self.mariadb_xid = Some(r.u64("xid")?),
            _ => return skip(code, r, flavor),
        }
        Ok(Some(()))
    }
}

/// Skips a variable that has no reader; none if not even its length is known.
fn skip(code: u8, r: &mut Reader<'_>, flavor: Flavor) -> Result<Option<()>, ReadError> {
    let length = match code {
        CATALOG => usize::from(r.u8("catalog length")?) + 1,
        CATALOG_WITHOUT_NUL | POLARDBX_TEXT => usize::from(r.u8("text length")?),
        LC_TIME_NAMES => 2,
        TABLE_MAP_FOR_UPDATE | 14 | 15 | POLARDBX_GCN | POLARDBX_GCN_FLAGS => 8,
        MASTER_DATA_WRITTEN => 4,
        INVOKER => {
            short_bytes(r)?;
            usize::from(r.u8("invoker host length")?)
        }
        UPDATED_DB_NAMES => {
            let count = r.u8("schema count")?;
            for _ in 0..if count == UPDATED_DB_NAMES_OVER_MAX {
                0
            } else {
                count
            } {
                r.nul_bytes("schema")?;
            }
            0
        }
        EXPLICIT_DEFAULTS_FOR_TIMESTAMP..=22 | 252 | 253 | 255 => 1,
        // MariaDB's HRNOW; Percona's wsrep_skip_readonly_checks
        128 => match flavor {
            Flavor::Mariadb => 3,
            Flavor::Mysql => 1,
        },
        MARIADB_GTID_FLAGS => {
            if r.u8("GTID flags")? & MARIADB_COMPLETES_ALTER != 0 {
                8
            } else {
                0
            }
        }
        MARIADB_CHARACTER_SET_COLLATIONS => 4 * usize::from(r.u8("collation count")?),
        _ => return Ok(None),
    };
    r.bytes(length, "status variable")?;
    Ok(Some(()))
}

fn short_bytes<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], ReadError> {
    let length = r.u8("text length")?;
    r.bytes(usize::from(length), "text")
}

const FLAGS2: u8 = 0;
const SQL_MODE: u8 = 1;
const CATALOG: u8 = 2;
const AUTO_INCREMENT: u8 = 3;
const CHARSET: u8 = 4;
const TIME_ZONE: u8 = 5;
const CATALOG_WITHOUT_NUL: u8 = 6;
const LC_TIME_NAMES: u8 = 7;
const CHARSET_DATABASE: u8 = 8;
const TABLE_MAP_FOR_UPDATE: u8 = 9;
const MASTER_DATA_WRITTEN: u8 = 10;
const INVOKER: u8 = 11;
const UPDATED_DB_NAMES: u8 = 12;
const UPDATED_DB_NAMES_OVER_MAX: u8 = 254;
const MICROSECONDS: u8 = 13;
const EXPLICIT_DEFAULTS_FOR_TIMESTAMP: u8 = 16;
const DDL_XID: u8 = 17;
const DEFAULT_COLLATION_FOR_UTF8MB4: u8 = 18;
const MARIADB_XID: u8 = 129;
const MARIADB_GTID_FLAGS: u8 = 130;
/// COMMIT ALTER or ROLLBACK ALTER: the number of the start follows.
const MARIADB_COMPLETES_ALTER: u8 = 0x4 | 0x8;
const MARIADB_CHARACTER_SET_COLLATIONS: u8 = 131;
const POLARDBX_GCN: u8 = 200;
const POLARDBX_GCN_FLAGS: u8 = 201;
const POLARDBX_TEXT: u8 = 254;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn body(status: &[u8], schema: &[u8], sql: &[u8]) -> Vec<u8> {
        let mut body = Vec::from(272u32.to_le_bytes());
        body.extend(3u32.to_le_bytes());
        body.push(schema.len() as u8);
        body.extend(1062u16.to_le_bytes());
        body.extend((status.len() as u16).to_le_bytes());
        body.extend(status);
        body.extend(schema);
        body.push(0);
        body.extend(sql);
        body
    }

    #[test]
    fn text_keeps_its_nuls() {
        let body = body(&[], b"db", b"SELECT '\0'");
        let query = Query::parse(&body, Flavor::Mysql).unwrap();
        assert_eq!(
            (query.thread_id, query.exec_time, query.error_code),
            (272, 3, 1062)
        );
        assert_eq!((query.schema, query.sql), (&b"db"[..], &b"SELECT '\0'"[..]));
        assert_eq!(
            Query::parse(&body[..15], Flavor::Mysql).unwrap_err().field,
            "end of schema"
        );
        assert_eq!(
            Query::parse(&body[..14], Flavor::Mysql).unwrap_err().field,
            "schema"
        );
    }

    #[test]
    fn a_real_set_of_variables_is_read() {
        // MariaDB 10.11: CREATE DATABASE in compressed form, with utf8mb4 throughout
        let status = b"\x00\0\0\0\0\x01\x01\0\0\x40\0\0\0\0\x06\x03std\x04\x2d\0\x2d\0\x08\0\x81\x0d\0\0\0\0\0\0\0";
        let vars = StatusVars::parse(status, Flavor::Mariadb);
        assert_eq!(vars.flags2, Some(0));
        assert_eq!(vars.sql_mode, Some(0x4000_0001));
        let charset = StatementCharset {
            client: 45,
            connection: 45,
            server: 8,
        };
        assert_eq!(vars.charset, Some(charset));
        assert_eq!(vars.mariadb_xid, Some(13));
    }

    #[test]
    fn every_other_variable_is_skipped_by_its_length() {
        let mut status = Vec::from(&b"\x02\x03std\0\x03\x01\0\x02\0\x05\x06SYSTEM\x07\x01\0"[..]);
        status.extend(b"\x09\x01\x02\x03\x04\x05\x06\x07\x08\x0a\0\0\0\0\x0b\x01u\x02ho");
        status.extend(b"\x0c\x02a\0bc\0\x0c\xfe\x0d\x40\xe2\x01\x0e\0\0\0\0\0\0\0\0\x10\x01");
        status.extend(b"\x11\x05\0\0\0\0\0\0\0\x12\xff\0\x13\x01\x14\x01\x15\x01\x16\x01");
        status.extend(b"\xc8\0\0\0\0\0\0\0\0\xfc\x01\xfe\x02ab\x08\x21\0");
        let vars = StatusVars::parse(&status, Flavor::Mysql);
        assert_eq!(vars.auto_increment, Some((1, 2)));
        assert_eq!(vars.time_zone, Some(&b"SYSTEM"[..]));
        assert_eq!(vars.microseconds, Some(123_456));
        assert_eq!(vars.ddl_xid, Some(5));
        assert_eq!(vars.default_collation_for_utf8mb4, Some(255));
        assert_eq!(
            vars.charset_database,
            Some(33),
            "the last one: nothing was lost on the way"
        );
    }

    #[test]
    fn the_flavor_decides_the_length_of_variable_128() {
        let mariadb =
            b"\x80\x01\x02\x03\x82\x04\x01\0\0\0\0\0\0\0\x82\x01\x83\x01\x21\0\x2d\0\x08\x21\0";
        assert_eq!(
            StatusVars::parse(mariadb, Flavor::Mariadb).charset_database,
            Some(33)
        );
        assert_eq!(
            StatusVars::parse(b"\x80\x01\x08\x21\0", Flavor::Mysql).charset_database,
            Some(33)
        );
    }

    #[test]
    fn an_unknown_variable_ends_the_reading_and_not_the_event() {
        let body = body(&[8, 33, 0, 99, 0, 1], b"db", b"COMMIT");
        let query = Query::parse(&body, Flavor::Mysql).unwrap();
        assert_eq!(query.status.charset_database, Some(33));
        assert_eq!(query.status.flags2, None);
        assert_eq!(query.sql, b"COMMIT");
    }
}
