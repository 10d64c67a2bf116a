//! FORMAT_DESCRIPTION: the server that wrote a file, and how its events are built
//! (binlog-parser reference §1.13, §2.2).

pub use crate::flavor::Flavor;
use alloc::boxed::Box;
use alloc::string::String;

use crate::binlog::event::EventType;
use crate::read::{ReadError, Reader};

/// How events end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    /// With their body.
    None,
    /// With the CRC-32 of all that precedes it.
    Crc32,
}

/// Major, minor and patch number of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionNumber(pub u16, pub u16, pub u16);

/// What a FORMAT_DESCRIPTION event says about the events after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// The server's version as the event has it, such as `9.7.4` or `5.5.5-10.11.6-MariaDB-log`.
    pub server_version: String,
    /// The family, by the version's text.
    pub flavor: Flavor,
    /// The version's number; MariaDB's real one, without the `5.5.5-` that disguises it.
    pub version: VersionNumber,
    /// When the file was made, in seconds since 1970; 0 in the copy sent for a dump from its middle.
    pub created: u32,
    /// How events of the file end.
    pub checksum: ChecksumAlgorithm,
    post_header_lengths: Box<[u8]>,
}

impl Format {
    /// What holds before the first FORMAT_DESCRIPTION, for the few events that may precede it.
    #[must_use]
    pub fn initial() -> Self {
        Self {
            server_version: String::new(),
            flavor: Flavor::Mysql,
            version: VersionNumber::default(),
            created: 0,
            checksum: ChecksumAlgorithm::None,
            post_header_lengths: Box::default(),
        }
    }

    /// Reads a body **with** its checksum, which is there even if the file's other events have none.
    ///
    /// # Errors
    /// It is cut off, or of a version or checksum algorithm that does not exist.
    pub fn parse(body: &[u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        if r.u16("binlog version")? != BINLOG_VERSION {
            return Err(r.invalid("binlog version", "is not 4: the server is older than 5.0"));
        }
        let text = r.bytes(SERVER_VERSION_BYTES, "server version")?;
        let text = text.split(|&byte| byte == 0).next().unwrap_or(&[]);
        let server_version = String::from_utf8_lossy(text).into_owned();
        let (flavor, version) = read_version(&server_version);
        let created = r.u32("creation time")?;
        if r.u8("header length")? != EVENT_HEADER_BYTES {
            return Err(r.invalid("header length", "is not 19"));
        }
        let mut checksum = ChecksumAlgorithm::None;
        let post_header_lengths = if names_algorithm(flavor, version) {
            let Some(count) = r.left().checked_sub(1 + CHECKSUM_BYTES) else {
                return Err(r.invalid("checksum algorithm", "is missing"));
            };
            let lengths = r.bytes(count, "post-header lengths")?;
            checksum = match r.u8("checksum algorithm")? {
                0 | ALGORITHM_UNDEFINED => ChecksumAlgorithm::None,
                1 => ChecksumAlgorithm::Crc32,
                _ => return Err(r.invalid("checksum algorithm", "is neither NONE nor CRC32")),
            };
            lengths.into()
        } else if r.left() > EVENT_TYPES_WITHOUT_CHECKSUMS_MAX {
            // taken at its word, a damaged version would do away with the checksum that tells
            return Err(r.invalid(
                "server version",
                "is older than checksums, but the server knows events that are newer",
            ));
        } else {
            r.rest().into()
        };
        Ok(Self {
            server_version,
            flavor,
            version,
            created,
            checksum,
            post_header_lengths,
        })
    }

    /// Whether FORMAT_DESCRIPTION events of this server end with an algorithm and a checksum.
    pub(crate) fn has_checksum(&self) -> bool {
        names_algorithm(self.flavor, self.version)
    }

    /// Length of the fixed part of an event's body, where the server states one.
    ///
    /// MySQL 9 states 0 for what it does not write any more: that is no statement.
    #[must_use]
    pub fn post_header_length(&self, event_type: EventType) -> Option<u8> {
        let index = usize::from(event_type.0).checked_sub(1)?;
        self.post_header_lengths
            .get(index)
            .copied()
            .filter(|&length| length > 0)
    }
}

/// `5.5.5-10.11.6-MariaDB-log` is MariaDB 10.11.6: it pretends to be 5.5.5 for old replicas.
fn read_version(text: &str) -> (Flavor, VersionNumber) {
    let is_mariadb = text
        .as_bytes()
        .windows(MARIADB.len())
        .any(|window| window.eq_ignore_ascii_case(MARIADB.as_bytes()));
    let flavor = if is_mariadb {
        Flavor::Mariadb
    } else {
        Flavor::Mysql
    };
    let text = if is_mariadb {
        text.strip_prefix("5.5.5-").unwrap_or(text)
    } else {
        text
    };
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (flavor, VersionNumber(next(), next(), next()))
}

/// Whether the server is recent enough to name its checksum algorithm.
fn names_algorithm(flavor: Flavor, version: VersionNumber) -> bool {
    match flavor {
        Flavor::Mysql => version >= VersionNumber(5, 6, 1),
        Flavor::Mariadb => version >= VersionNumber(5, 3, 0),
    }
}

/// Bytes of a checksum.
pub(crate) const CHECKSUM_BYTES: usize = 4;
const BINLOG_VERSION: u16 = 4;
/// Kinds of events of MySQL 5.5 and MariaDB 5.2, the last servers without checksums.
const EVENT_TYPES_WITHOUT_CHECKSUMS_MAX: usize = 27;
const SERVER_VERSION_BYTES: usize = 50;
const EVENT_HEADER_BYTES: u8 = 19;
/// "Undefined": written by servers that were told of no algorithm.
const ALGORITHM_UNDEFINED: u8 = 255;
const MARIADB: &str = "MariaDB";

#[cfg(test)]
pub(crate) mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// A body as `version` writes it; with an algorithm, a checksum of zeros follows.
    pub(crate) fn body(version: &str, lengths: &[u8], algorithm: Option<u8>) -> Vec<u8> {
        let mut body = Vec::from(4u16.to_le_bytes());
        let mut text = Vec::from(version.as_bytes());
        text.resize(50, 0);
        body.extend(text);
        body.extend(0x6b02_5622u32.to_le_bytes());
        body.push(19);
        body.extend(lengths);
        if let Some(algorithm) = algorithm {
            body.extend([algorithm, 0, 0, 0, 0]);
        }
        body
    }

    #[test]
    fn a_server_is_told_by_its_version() {
        let cases = [
            ("9.7.4-2", Flavor::Mysql, VersionNumber(9, 7, 4)),
            ("5.6.24-log", Flavor::Mysql, VersionNumber(5, 6, 24)),
            (
                "5.5.5-10.11.6-MariaDB-log",
                Flavor::Mariadb,
                VersionNumber(10, 11, 6),
            ),
            (
                "11.8.6-MariaDB-0+deb13u1-log",
                Flavor::Mariadb,
                VersionNumber(11, 8, 6),
            ),
            ("8.0.46-37", Flavor::Mysql, VersionNumber(8, 0, 46)),
        ];
        for (text, flavor, version) in cases {
            let format = Format::parse(&body(text, &[1, 2], Some(1))).unwrap();
            assert_eq!((format.flavor, format.version), (flavor, version), "{text}");
            assert_eq!(format.server_version, text);
            assert_eq!(format.checksum, ChecksumAlgorithm::Crc32);
            assert_eq!(format.created, 0x6b02_5622);
        }
    }

    #[test]
    fn a_stated_length_of_zero_is_no_statement() {
        let format = Format::parse(&body("9.7.4", &[0, 13, 0], Some(0))).unwrap();
        assert_eq!(format.checksum, ChecksumAlgorithm::None);
        assert_eq!(format.post_header_length(EventType::QUERY), Some(13));
        assert_eq!(format.post_header_length(EventType::STOP), None);
        assert_eq!(format.post_header_length(EventType::WRITE_ROWS), None);
        assert_eq!(format.post_header_length(EventType(0)), None);
    }

    #[test]
    fn servers_before_checksums_end_with_their_lengths() {
        let format = Format::parse(&body("5.5.62", &[56, 13, 5, 8, 7, 6], None)).unwrap();
        assert_eq!(format.checksum, ChecksumAlgorithm::None);
        assert!(!format.has_checksum());
        assert_eq!(format.post_header_length(EventType(6)), Some(6));
    }

    #[test]
    fn an_old_server_does_not_know_new_events() {
        for (version, damaged) in [("9.7.4", ";.7.4"), ("5.6.24", "5.5.24")] {
            let mut body = body(version, &[1; 35], Some(1));
            assert!(Format::parse(&body).is_ok());
            body[2..2 + damaged.len()].copy_from_slice(damaged.as_bytes());
            assert_eq!(Format::parse(&body).unwrap_err().field, "server version");
        }
        assert!(Format::parse(&body("5.5.62", &[1; 27], None)).is_ok());
    }

    #[test]
    fn nonsense_is_named() {
        let mut wrong = body("8.4.13", &[1], Some(1));
        wrong[0] = 3;
        assert_eq!(Format::parse(&wrong).unwrap_err().field, "binlog version");
        let wrong = body("8.4.13", &[1], Some(2));
        assert_eq!(
            Format::parse(&wrong).unwrap_err().field,
            "checksum algorithm"
        );
        assert_eq!(
            Format::parse(&wrong[..40]).unwrap_err().field,
            "server version"
        );
        assert_eq!(
            Format::parse(&wrong[..60]).unwrap_err().field,
            "checksum algorithm"
        );
    }
}
