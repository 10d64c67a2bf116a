//! HEARTBEAT: the source is alive and has sent all up to a place (binlog-parser reference §1.15).

use crate::binlog::rotate::file_name;
use crate::read::{ReadError, Reader};

/// A heartbeat of either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    /// The file that the source reads.
    pub file: &'a str,
    /// The offset that it has reached; none in version 1, where the header's `log_pos` has its low
    /// 32 bits.
    pub offset: Option<u64>,
}

impl<'a> Heartbeat<'a> {
    /// Reads a body of version 1, checksum removed: a file name.
    ///
    /// # Errors
    /// It names no file.
    pub fn parse(body: &'a [u8]) -> Result<Self, ReadError> {
        Ok(Self {
            file: file_name(&mut Reader::new(body))?,
            offset: None,
        })
    }

    /// Reads a body of version 2, checksum removed: fields of number, length, value.
    ///
    /// # Errors
    /// It is cut off, or one of its two fields is missing.
    pub fn parse_v2(body: &'a [u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        let (mut file, mut offset) = (None, None);
        while !r.is_empty() {
            let number = r.lenenc("field number")?;
            if number == FIELD_END {
                break;
            }
            let mut value = Reader::new(r.lenenc_bytes("field")?);
            match number {
                FIELD_FILE => file = Some(file_name(&mut value)?),
                FIELD_OFFSET => offset = Some(value.lenenc("position")?),
                _ => {}
            }
        }
        match (file, offset) {
            (Some(file), Some(offset)) => Ok(Self {
                file,
                offset: Some(offset),
            }),
            (None, _) => Err(r.invalid("file name", "is missing")),
            (_, None) => Err(r.invalid("position", "is missing")),
        }
    }
}

const FIELD_END: u64 = 0;
const FIELD_FILE: u64 = 1;
const FIELD_OFFSET: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_a_file_name() {
        let heartbeat = Heartbeat::parse(b"binlog.000002").unwrap();
        assert_eq!(
            heartbeat,
            Heartbeat {
                file: "binlog.000002",
                offset: None
            }
        );
        assert!(Heartbeat::parse(b"").is_err());
    }

    #[test]
    fn version_2_has_an_offset_of_64_bits() {
        let body = b"\x01\x0dbinlog.000002\x02\x03\xfc\x6c\x02\x00";
        let heartbeat = Heartbeat::parse_v2(body).unwrap();
        assert_eq!(
            heartbeat,
            Heartbeat {
                file: "binlog.000002",
                offset: Some(0x26c)
            }
        );
        let body = b"\x09\x01x\x02\x09\xfe\x00\x00\x00\x00\x01\x00\x00\x00\x01\x01b";
        assert_eq!(Heartbeat::parse_v2(body).unwrap().offset, Some(1 << 32));
    }

    #[test]
    fn version_2_needs_both_fields() {
        assert_eq!(
            Heartbeat::parse_v2(b"\x01\x01b\x00").unwrap_err().field,
            "position"
        );
        assert_eq!(
            Heartbeat::parse_v2(b"\x02\x01\x05\x00").unwrap_err().field,
            "file name"
        );
        assert_eq!(
            Heartbeat::parse_v2(b"\x01\x09b").unwrap_err().field,
            "field"
        );
    }
}
