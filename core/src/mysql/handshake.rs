//! The greeting of a server and our answer to it (binlog-parser reference §1.3, §1.5).

pub use crate::flavor::Flavor;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::read::{ReadError, Reader};

/// Bytes of the nonce in a greeting.
pub const SCRAMBLE_BYTES: usize = 20;

/// utf8mb4_general_ci: known to every server since 5.5.
const UTF8MB4_GENERAL_CI: u8 = 45;

/// The longest packet that we declare to accept: 1 GiB, the protocol's own limit.
const MAX_PACKET: u32 = 0x4000_0000;

const PROTOCOL_VERSION: u8 = 10;

/// What a side of a connection can do: MySQL's capability flags.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(pub u32);

impl Capabilities {
    /// LONG_PASSWORD; a MariaDB server since 10.2 does not announce it.
    pub const LONG_PASSWORD: Self = Self(0x1);
    /// LONG_FLAG
    pub const LONG_FLAG: Self = Self(0x4);
    /// CONNECT_WITH_DB
    pub const CONNECT_WITH_DB: Self = Self(0x8);
    /// PROTOCOL_41
    pub const PROTOCOL_41: Self = Self(0x200);
    /// SSL
    pub const SSL: Self = Self(0x800);
    /// TRANSACTIONS
    pub const TRANSACTIONS: Self = Self(0x2000);
    /// SECURE_CONNECTION
    pub const SECURE_CONNECTION: Self = Self(0x8000);
    /// PLUGIN_AUTH
    pub const PLUGIN_AUTH: Self = Self(0x8_0000);
    /// PLUGIN_AUTH_LENENC_CLIENT_DATA
    pub const PLUGIN_AUTH_LENENC: Self = Self(0x20_0000);

    /// What we ask for. Not DEPRECATE_EOF and not COMPRESS: the dump stream stays as it has always been.
    const WANTED: Self = Self(
        Self::LONG_PASSWORD.0
            | Self::LONG_FLAG.0
            | Self::PROTOCOL_41.0
            | Self::TRANSACTIONS.0
            | Self::SECURE_CONNECTION.0
            | Self::PLUGIN_AUTH.0
            | Self::PLUGIN_AUTH_LENENC.0,
    );

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Capabilities({:#x})", self.0)
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mysql => "MySQL",
            Self::Mariadb => "MariaDB",
        })
    }
}

/// What a server says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerVersion {
    /// Its own text without the `5.5.5-` that MariaDB before 11 puts in front.
    pub text: String,
    /// Its family.
    pub flavor: Flavor,
    /// Major, minor, patch; 0 where the text has no number.
    pub number: (u16, u16, u16),
}

impl ServerVersion {
    /// Reads the text of a greeting or of `@@version`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        const REPLICATION_PREFIX: &str = "5.5.5-";
        let is_mariadb = text.to_ascii_lowercase().contains("mariadb");
        let bare = if is_mariadb {
            text.strip_prefix(REPLICATION_PREFIX).unwrap_or(text)
        } else {
            text
        };
        let mut numbers = bare
            .split(|c: char| !c.is_ascii_digit())
            .map(|digits| digits.parse::<u16>().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        let number = (next(), next(), next());
        let flavor = if is_mariadb {
            Flavor::Mariadb
        } else {
            Flavor::Mysql
        };
        Self {
            text: bare.to_owned(),
            flavor,
            number,
        }
    }

    /// Whether it is of this family and at least this version.
    #[must_use]
    pub fn is_at_least(&self, flavor: Flavor, number: (u16, u16, u16)) -> bool {
        self.flavor == flavor && self.number >= number
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.flavor, self.text)
    }
}

/// The number by which a server knows a connection: what `KILL` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u32);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The first packet of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// What the server is.
    pub version: ServerVersion,
    /// Our connection's number.
    pub connection: ConnectionId,
    /// What the server can do.
    pub capabilities: Capabilities,
    /// The nonce of the authentication.
    pub scramble: [u8; SCRAMBLE_BYTES],
    /// The name of the authentication plugin the server would like; empty if it knows none.
    pub plugin: Vec<u8>,
}

impl Greeting {
    /// Reads a greeting of protocol version 10.
    ///
    /// # Errors
    /// It is cut short, of another version, or of a server older than 4.1.
    pub fn parse(payload: &[u8]) -> Result<Self, ReadError> {
        const SCRAMBLE_FIRST_BYTES: usize = 8;
        let mut r = Reader::new(payload);
        if r.u8("protocol version")? != PROTOCOL_VERSION {
            return Err(r.invalid("protocol version", "is not 10"));
        }
        let version = String::from_utf8_lossy(r.nul_bytes("server version")?);
        let version = ServerVersion::parse(&version);
        let connection = ConnectionId(r.u32("connection id")?);
        let mut scramble = [0; SCRAMBLE_BYTES];
        let (first, second) = scramble.split_at_mut(SCRAMBLE_FIRST_BYTES);
        first.copy_from_slice(r.bytes(SCRAMBLE_FIRST_BYTES, "scramble, part 1")?);
        r.bytes(1, "filler")?;
        let low = u32::from(r.u16("capabilities, low")?);
        r.bytes(3, "charset and status")?;
        let high = u32::from(r.u16("capabilities, high")?);
        let capabilities = Capabilities(low | high << 16);
        if !capabilities.has(Capabilities::PROTOCOL_41) {
            return Err(r.invalid("capabilities", "lack PROTOCOL_41"));
        }
        r.bytes(11, "scramble length and filler")?;
        second.copy_from_slice(r.bytes(second.len(), "scramble, part 2")?);
        let mut plugin = Vec::new();
        if capabilities.has(Capabilities::PLUGIN_AUTH) && !r.is_empty() {
            r.bytes(1, "end of scramble")?;
            let name = r.rest();
            // Some servers of 5.5 leave out the final NUL.
            plugin.extend_from_slice(name.strip_suffix(&[0]).unwrap_or(name));
        }
        Ok(Self {
            version,
            connection,
            capabilities,
            scramble,
            plugin,
        })
    }
}

/// Whether bytes on a connection can be read on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// They can.
    Plain,
    /// They cannot.
    Tls,
}

/// Our answer to a greeting.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeResponse<'a> {
    /// What the server can do.
    pub server: Capabilities,
    /// Whether the answer travels through TLS.
    pub transport: Transport,
    /// `canal.instance.dbUsername`
    pub username: &'a str,
    /// The default schema; empty for none.
    pub database: &'a str,
    /// The authentication plugin that `auth` is of.
    pub plugin: &'a str,
    /// Its first message; at most 255 bytes unless the server has PLUGIN_AUTH_LENENC_CLIENT_DATA.
    pub auth: &'a [u8],
}

/// The part of a response that stands before TLS: what asks the server for it.
#[must_use]
pub fn ssl_request(server: Capabilities) -> Vec<u8> {
    let mut out = Vec::new();
    put_head(&mut out, wanted(server, Transport::Tls));
    out
}

impl HandshakeResponse<'_> {
    /// Its payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut capabilities = wanted(self.server, self.transport);
        if !self.database.is_empty() {
            capabilities.0 |= Capabilities::CONNECT_WITH_DB.0;
        }
        let mut out = Vec::with_capacity(128 + self.auth.len());
        put_head(&mut out, capabilities);
        put_nul(&mut out, self.username);
        if capabilities.has(Capabilities::PLUGIN_AUTH_LENENC) {
            put_lenenc(&mut out, self.auth.len());
        } else {
            let length = u8::try_from(self.auth.len());
            out.push(length.expect("a first message is short where its length is one byte"));
        }
        out.extend_from_slice(self.auth);
        if !self.database.is_empty() {
            put_nul(&mut out, self.database);
        }
        if capabilities.has(Capabilities::PLUGIN_AUTH) {
            put_nul(&mut out, self.plugin);
        }
        out
    }
}

const fn wanted(server: Capabilities, transport: Transport) -> Capabilities {
    let both = Capabilities::WANTED.0 & (server.0 | Capabilities::LONG_PASSWORD.0);
    match transport {
        Transport::Plain => Capabilities(both),
        Transport::Tls => Capabilities(both | Capabilities::SSL.0),
    }
}

fn put_head(out: &mut Vec<u8>, capabilities: Capabilities) {
    const RESERVED: [u8; 23] = [0; 23];
    out.extend_from_slice(&capabilities.0.to_le_bytes());
    out.extend_from_slice(&MAX_PACKET.to_le_bytes());
    out.push(UTF8MB4_GENERAL_CI);
    out.extend_from_slice(&RESERVED);
}

/// A text that ends with NUL. One inside it would end it early, and the server would read the rest as
/// the next field: what is behind it is left out instead.
fn put_nul(out: &mut Vec<u8>, text: &str) {
    let text = text.split('\0').next().unwrap_or_default();
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

fn put_lenenc(out: &mut Vec<u8>, n: usize) {
    match n {
        0..=250 => out.push(n as u8),
        251..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&(n as u16).to_le_bytes());
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&(n as u64).to_le_bytes());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A greeting as a server writes it.
    pub(crate) fn greeting(
        version: &str,
        capabilities: u32,
        scramble: &[u8; 20],
        plugin: &str,
    ) -> Vec<u8> {
        let mut out = alloc::vec![10];
        put_nul(&mut out, version);
        out.extend_from_slice(&77_u32.to_le_bytes());
        out.extend_from_slice(&scramble[..8]);
        out.push(0);
        out.extend_from_slice(&(capabilities as u16).to_le_bytes());
        out.extend_from_slice(&[45, 2, 0]);
        out.extend_from_slice(&((capabilities >> 16) as u16).to_le_bytes());
        out.push(21);
        out.extend_from_slice(&[0; 10]);
        out.extend_from_slice(&scramble[8..]);
        out.push(0);
        put_nul(&mut out, plugin);
        out
    }

    #[test]
    fn versions_tell_the_family_and_lose_the_replication_prefix() {
        for (text, flavor, number, bare) in [
            ("8.0.46", Flavor::Mysql, (8, 0, 46), "8.0.46"),
            ("5.7.42-log", Flavor::Mysql, (5, 7, 42), "5.7.42-log"),
            ("9.7.4-2", Flavor::Mysql, (9, 7, 4), "9.7.4-2"),
            (
                "5.5.5-10.11.19-MariaDB-0+deb12u1",
                Flavor::Mariadb,
                (10, 11, 19),
                "10.11.19-MariaDB-0+deb12u1",
            ),
            (
                "11.8.9-MariaDB-log",
                Flavor::Mariadb,
                (11, 8, 9),
                "11.8.9-MariaDB-log",
            ),
        ] {
            let version = ServerVersion::parse(text);
            assert_eq!((version.flavor, version.number), (flavor, number), "{text}");
            assert_eq!(version.text, bare);
        }
        assert!(ServerVersion::parse("8.4.0").is_at_least(Flavor::Mysql, (8, 4, 0)));
        assert!(!ServerVersion::parse("11.8.9-MariaDB").is_at_least(Flavor::Mysql, (8, 4, 0)));
    }

    #[test]
    fn a_greeting_is_read_whole_and_never_past_its_end() {
        let scramble = *b"abcdefghijklmnopqrst";
        let bytes = greeting("8.0.46", 0xdfff_ffff, &scramble, "caching_sha2_password");
        let parsed = Greeting::parse(&bytes).unwrap();
        assert_eq!(parsed.connection, ConnectionId(77));
        assert_eq!(parsed.scramble, scramble);
        assert_eq!(parsed.plugin, b"caching_sha2_password");
        assert!(parsed.capabilities.has(Capabilities::SSL));
        for cut in 0..bytes.len() {
            if let Ok(short) = Greeting::parse(&bytes[..cut]) {
                assert!(cut >= bytes.len() - 23, "{cut}: {short:?}");
            }
        }
    }

    #[test]
    fn the_ssl_request_is_the_first_32_bytes_of_the_response() {
        let server = Capabilities(0xffff_ffff);
        let request = ssl_request(server);
        assert_eq!(request.len(), 32);
        let response = HandshakeResponse {
            server,
            transport: Transport::Tls,
            username: "canal",
            database: "",
            plugin: "caching_sha2_password",
            auth: &[9; 32],
        };
        let encoded = response.encode();
        assert_eq!(encoded[..32], request[..]);
        let capabilities = u32::from_le_bytes(encoded[..4].try_into().unwrap());
        // neither CONNECT_WITH_DB, COMPRESS, INTERACTIVE, MULTI_STATEMENTS nor DEPRECATE_EOF
        assert_eq!(capabilities, 0x28_aa05);
        assert_eq!(&encoded[32..39], b"canal\0\x20");
        assert_eq!(&encoded[39 + 32..], b"caching_sha2_password\0");
    }

    #[test]
    fn a_schema_is_named_only_if_there_is_one() {
        let mut response = HandshakeResponse {
            server: Capabilities(0xffff_ffff),
            transport: Transport::Plain,
            username: "u",
            database: "shop",
            plugin: "mysql_native_password",
            auth: &[],
        };
        assert_eq!(
            &response.encode()[32..],
            b"u\0\0shop\0mysql_native_password\0"
        );
        response.database = "";
        assert_eq!(response.encode()[0] & 8, 0);
    }
}
