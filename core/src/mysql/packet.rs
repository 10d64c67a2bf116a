//! Packets of MySQL's protocol: `[u24 length][u8 sequence][payload]` (binlog-parser reference §1.12).
//!
//! A payload is split off the read buffer without copying. Only one of 16 MiB or more, which the
//! protocol spreads over several packets, is joined; the joined bytes are bounded by
//! [`PAYLOAD_BYTES_MAX`]. The reader never looks inside a payload.

use alloc::vec::Vec;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// The longest payload accepted: the protocol's own limit for an event (1 GiB) and 1 MiB for what surrounds it.
pub const PAYLOAD_BYTES_MAX: usize = (1 << 30) + (1 << 20);

/// A packet of this length is followed by another one of the same payload, possibly an empty one.
const CHUNK_BYTES_MAX: usize = 0xff_ffff;

const HEADER_BYTES: usize = 4;

/// A stream of bytes that is no sequence of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PacketFault {
    /// The sequence number is not the one that is due.
    #[error(
        "packet number {found} came where {expected} was due: bytes were lost, or the peer does not speak MySQL's protocol"
    )]
    OutOfSequence {
        /// The number that was due.
        expected: u8,
        /// The number that came.
        found: u8,
    },
    /// A payload beyond [`PAYLOAD_BYTES_MAX`].
    #[error(
        "a payload of more than {PAYLOAD_BYTES_MAX} bytes: lower max_allowed_packet on the source"
    )]
    TooLong,
}

/// Splits a stream of bytes into payloads and numbers the packets of both directions.
#[derive(Debug, Default)]
pub struct PacketReader {
    /// The number of the next packet, whoever sends it.
    sequence: u8,
    /// The chunks so far of a payload that is spread over packets.
    joined: Option<BytesMut>,
}

impl PacketReader {
    /// A reader at the start of a connection.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            sequence: 0,
            joined: None,
        }
    }

    /// Starts a command: its first packet has number 0, whoever sends it.
    pub const fn restart(&mut self) {
        self.sequence = 0;
    }

    /// The next whole payload at the front of `buf`, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// The bytes are no packets; the connection cannot be used any more.
    #[inline]
    pub fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Bytes>, PacketFault> {
        let Some(length) = self.header(buf)? else {
            return Ok(None);
        };
        if length < CHUNK_BYTES_MAX && self.joined.is_none() {
            buf.advance(HEADER_BYTES);
            return Ok(Some(buf.split_to(length).freeze()));
        }
        self.join(buf, length)
    }

    /// Frames `payload` as the next packet (or packets) that we send.
    pub fn frame(&mut self, payload: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(payload.len() + HEADER_BYTES);
        let mut rest = payload;
        loop {
            let (chunk, tail) = rest.split_at(rest.len().min(CHUNK_BYTES_MAX));
            out.extend_from_slice(&(chunk.len() as u32).to_le_bytes()[..3]);
            out.push(self.sequence);
            out.extend_from_slice(chunk);
            self.sequence = self.sequence.wrapping_add(1);
            rest = tail;
            if chunk.len() < CHUNK_BYTES_MAX {
                return out.into();
            }
        }
    }

    /// The length of the packet at the front of `buf`, if it is there as a whole; its number is spent.
    #[inline]
    fn header(&mut self, buf: &BytesMut) -> Result<Option<usize>, PacketFault> {
        let [a, b, c, found, body @ ..] = &buf[..] else {
            return Ok(None);
        };
        // Checked before the body is there: what is not MySQL would make us wait for it for ever.
        if *found != self.sequence {
            return Err(PacketFault::OutOfSequence {
                expected: self.sequence,
                found: *found,
            });
        }
        let length = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
        if body.len() < length {
            return Ok(None);
        }
        self.sequence = self.sequence.wrapping_add(1);
        Ok(Some(length))
    }

    #[cold]
    fn join(&mut self, buf: &mut BytesMut, first: usize) -> Result<Option<Bytes>, PacketFault> {
        let mut joined = self.joined.take().unwrap_or_default();
        let mut length = first;
        loop {
            if joined.len() + length > PAYLOAD_BYTES_MAX {
                return Err(PacketFault::TooLong);
            }
            buf.advance(HEADER_BYTES);
            joined.extend_from_slice(&buf[..length]);
            buf.advance(length);
            if length < CHUNK_BYTES_MAX {
                return Ok(Some(joined.freeze()));
            }
            match self.header(buf)? {
                Some(next) => length = next,
                None => {
                    self.joined = Some(joined);
                    return Ok(None);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = (payload.len() as u32).to_le_bytes()[..3].to_vec();
        out.push(sequence);
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn a_partial_packet_stays_in_the_buffer() {
        let mut reader = PacketReader::new();
        let mut buf = BytesMut::from(&packet(0, b"abc")[..6]);
        assert_eq!(reader.next(&mut buf), Ok(None));
        assert_eq!(buf.len(), 6);
        buf.extend_from_slice(b"c");
        assert_eq!(reader.next(&mut buf), Ok(Some(Bytes::from_static(b"abc"))));
        assert!(buf.is_empty());
    }

    #[test]
    fn a_wrong_number_is_seen_before_the_body_arrives() {
        let mut reader = PacketReader::new();
        let mut buf = BytesMut::from(&b"HTTP"[..]);
        let fault = PacketFault::OutOfSequence {
            expected: 0,
            found: b'P',
        };
        assert_eq!(reader.next(&mut buf), Err(fault));
    }

    #[test]
    fn the_number_wraps_after_255_and_restarts_with_a_command() {
        let mut reader = PacketReader::new();
        for i in 0..300_u32 {
            let mut buf = BytesMut::from(&packet(i as u8, &[7])[..]);
            assert!(reader.next(&mut buf).unwrap().is_some());
        }
        reader.restart();
        assert_eq!(reader.frame(b"q")[..], packet(0, b"q")[..]);
        let mut buf = BytesMut::from(&packet(1, b"r")[..]);
        assert_eq!(reader.next(&mut buf), Ok(Some(Bytes::from_static(b"r"))));
    }

    #[test]
    fn a_payload_spread_over_packets_is_joined_and_one_of_exactly_a_chunk_ends_with_an_empty_packet()
     {
        for extra in [0, 1, 100] {
            let payload = vec![0xab; CHUNK_BYTES_MAX + extra];
            let mut bytes = BytesMut::from(&PacketReader::new().frame(&payload)[..]);
            let tail = bytes.split_off(bytes.len() - extra.min(1) - 2);
            let mut reader = PacketReader::new();
            assert_eq!(reader.next(&mut bytes), Ok(None));
            bytes.extend_from_slice(&tail);
            bytes.extend_from_slice(&packet(2, b"next"));
            assert_eq!(reader.next(&mut bytes).unwrap().unwrap(), payload);
            assert_eq!(
                reader.next(&mut bytes),
                Ok(Some(Bytes::from_static(b"next")))
            );
        }
    }

    proptest! {
        #[test]
        fn any_split_of_the_stream_gives_the_same_payloads(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20),
            step in 1_usize..40,
        ) {
            let mut writer = PacketReader::new();
            let stream: Vec<u8> = payloads.iter().flat_map(|p| writer.frame(p)).collect();
            let (mut reader, mut buf, mut seen) = (PacketReader::new(), BytesMut::new(), vec![]);
            for piece in stream.chunks(step) {
                buf.extend_from_slice(piece);
                while let Some(payload) = reader.next(&mut buf).unwrap() {
                    seen.push(payload.to_vec());
                }
            }
            prop_assert_eq!(seen, payloads);
        }
    }
}
