//! The framing of compressed events; nothing is decompressed here (binlog-parser reference §2.8).

use crate::read::{ReadError, Reader};

/// How a transaction is compressed, MySQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadCompression {
    /// zstd, in one or more frames.
    Zstd,
    /// Not at all.
    None,
}

/// A whole transaction but for its GTID event, compressed (MySQL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionPayload<'a> {
    /// How.
    pub compression: PayloadCompression,
    /// Bytes after decompression, where the server says so: up to gigabytes, so to be decompressed
    /// piece by piece.
    pub uncompressed_bytes: Option<u64>,
    /// The compressed events. Inside they are whole events without checksum, for
    /// [`crate::binlog::event::Event::inside`].
    pub payload: &'a [u8],
}

impl<'a> TransactionPayload<'a> {
    /// Reads a body, checksum removed: fields of number, length, value, then the payload.
    ///
    /// # Errors
    /// It is cut off, or compressed in a way that canald does not know.
    pub fn parse(body: &'a [u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        let (mut compression, mut uncompressed_bytes, mut payload_bytes) = (None, None, None);
        loop {
            let number = r.lenenc("field number")?;
            if number == FIELD_END {
                break;
            }
            let mut value = Reader::new(r.lenenc_bytes("field")?);
            match number {
                FIELD_PAYLOAD_BYTES => payload_bytes = Some(value.length("payload size")?),
                FIELD_UNCOMPRESSED_BYTES => {
                    uncompressed_bytes = Some(value.lenenc("uncompressed size")?);
                }
                FIELD_COMPRESSION => {
                    compression = Some(match value.lenenc("compression")? {
                        0 => PayloadCompression::Zstd,
                        255 => PayloadCompression::None,
                        _ => return Err(r.invalid("compression", "is neither ZSTD nor NONE")),
                    });
                }
                _ => {}
            }
        }
        let Some(compression) = compression else {
            return Err(r.invalid("compression", "is missing"));
        };
        let Some(payload_bytes) = payload_bytes else {
            return Err(r.invalid("payload size", "is missing"));
        };
        let payload = r.bytes(payload_bytes, "payload")?;
        Ok(Self {
            compression,
            uncompressed_bytes,
            payload,
        })
    }
}

/// What MariaDB puts before a compressed statement or compressed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressedPart<'a> {
    /// Bytes after decompression.
    pub uncompressed_bytes: u32,
    /// A zlib stream.
    pub zlib: &'a [u8],
}

impl<'a> CompressedPart<'a> {
    /// Reads `part`: the SQL of a QUERY_COMPRESSED, or what follows the bitmaps of compressed rows.
    ///
    /// # Errors
    /// It is cut off, or compressed in a way that canald does not know.
    pub fn parse(part: &'a [u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(part);
        let head = r.u8("compression header")?;
        if head & !LENGTH_BYTES_MASK != COMPRESSED_BY_ZLIB {
            return Err(r.invalid("compression header", "does not say zlib"));
        }
        let mut uncompressed_bytes = 0;
        let count = usize::from(head & LENGTH_BYTES_MASK);
        if !(1..=4).contains(&count) {
            return Err(r.invalid(
                "compression header",
                "has a length that is not of 1 to 4 bytes",
            ));
        }
        for &byte in r.bytes(count, "uncompressed size")? {
            uncompressed_bytes = uncompressed_bytes << 8 | u32::from(byte);
        }
        Ok(Self {
            uncompressed_bytes,
            zlib: r.rest(),
        })
    }
}

const FIELD_END: u64 = 0;
const FIELD_PAYLOAD_BYTES: u64 = 1;
const FIELD_COMPRESSION: u64 = 2;
const FIELD_UNCOMPRESSED_BYTES: u64 = 3;
/// Bit 7 is set, bits 4 to 6 name the algorithm: 0 is zlib.
const COMPRESSED_BY_ZLIB: u8 = 0x80;
const LENGTH_BYTES_MASK: u8 = 0x07;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_payload_states_its_sizes() {
        let mut body = Vec::from(b"\x02\x01\x00\x03\x03\xfc\xb1\x05\x01\x03\xfc\x04\x00\x00");
        body.extend(b"\x28\xb5\x2f\xfd");
        let payload = TransactionPayload::parse(&body).unwrap();
        assert_eq!(payload.compression, PayloadCompression::Zstd);
        assert_eq!(payload.uncompressed_bytes, Some(0x5b1));
        assert_eq!(payload.payload, b"\x28\xb5\x2f\xfd");
        body.pop();
        assert_eq!(
            TransactionPayload::parse(&body).unwrap_err().field,
            "payload"
        );
        let error = TransactionPayload::parse(b"\x02\x01\x07\x00").unwrap_err();
        assert_eq!(error.field, "compression");
        assert_eq!(
            TransactionPayload::parse(b"\x02\x01\x00\x00")
                .unwrap_err()
                .field,
            "payload size"
        );
    }

    #[test]
    fn mariadb_states_the_size_big_endian() {
        let part = CompressedPart::parse(b"\x82\x03\x2f\x78\x9c").unwrap();
        assert_eq!(
            part,
            CompressedPart {
                uncompressed_bytes: 815,
                zlib: b"\x78\x9c"
            }
        );
        assert!(CompressedPart::parse(b"\x92\x03\x2f\x78\x9c").is_err());
        assert!(CompressedPart::parse(b"\x85\x03\x2f\x78\x9c\0\0").is_err());
        assert!(CompressedPart::parse(b"\x80").is_err());
        assert_eq!(
            CompressedPart::parse(b"\x82\x03").unwrap_err().field,
            "uncompressed size"
        );
    }
}
