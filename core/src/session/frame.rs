//! Frames: a signed 32-bit big-endian length that does not count itself, then one `Packet`
//! (wire-protocol reference §1). Both directions and both ports use them.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// Bytes of the length that precedes each packet.
pub const HEADER_BYTES: usize = 4;

/// Longest packet taken from a client. The longest that is legitimate is a subscription with a long filter.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// Longest packet taken from a client that has not authenticated: a `ClientAuth` is some 60 bytes.
pub const FRAME_BYTES_MAX_BEFORE_AUTH: usize = 64 << 10;

/// Longest packet that the length can tell; what a server sends has no other limit.
pub const PACKET_BYTES_MAX: usize = i32::MAX as usize;

/// A length that no packet of ours has. The connection cannot be followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Below zero: the peer does not speak this protocol.
    #[error("the frame length {0} is negative")]
    Negative(i32),
    /// Above what this side accepts.
    #[error("the frame length {length} is above the limit of {limit} bytes")]
    TooLong {
        /// The length told.
        length: usize,
        /// The limit in force.
        limit: usize,
    },
}

/// Takes the next whole packet off the front of `buf`, without its length; none if it is not all there yet.
///
/// # Errors
/// The length is negative or above `limit`; `buf` is left as it was.
pub fn take(buf: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(header) = buf.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let told = i32::from_be_bytes(*header);
    let length = usize::try_from(told).map_err(|_| FrameError::Negative(told))?;
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    if buf.len() - HEADER_BYTES < length {
        return Ok(None);
    }
    buf.advance(HEADER_BYTES);
    Ok(Some(buf.split_to(length).freeze()))
}

/// The length that precedes a packet of `length` bytes.
///
/// # Panics
/// If `length` is above [`PACKET_BYTES_MAX`]; whoever builds a packet of unknown size checks first.
#[must_use]
pub fn header(length: usize) -> [u8; HEADER_BYTES] {
    assert!(
        length <= PACKET_BYTES_MAX,
        "a packet of {length} bytes cannot be framed"
    );
    (length as u32).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_only_when_all_of_it_is_there() {
        let mut buf = BytesMut::from(&[0, 0, 0, 2, 7][..]);
        assert_eq!(take(&mut buf, 16), Ok(None));
        buf.extend_from_slice(&[8, 0, 0]);
        assert_eq!(take(&mut buf, 16), Ok(Some(Bytes::from_static(&[7, 8]))));
        assert_eq!(buf, [0, 0][..]);
        assert_eq!(take(&mut buf, 16), Ok(None));
        buf.extend_from_slice(&[0, 0]);
        assert_eq!(
            take(&mut buf, 16),
            Ok(Some(Bytes::new())),
            "an empty packet is a packet"
        );
    }

    #[test]
    fn impossible_lengths_are_told_before_their_bytes_arrive() {
        let mut negative = BytesMut::from(&[0xff, 0xff, 0xff, 0xfe][..]);
        assert_eq!(take(&mut negative, 16), Err(FrameError::Negative(-2)));
        let mut long = BytesMut::from(&[0, 0, 0, 17][..]);
        assert_eq!(
            take(&mut long, 16),
            Err(FrameError::TooLong {
                length: 17,
                limit: 16
            })
        );
    }

    #[test]
    fn the_header_is_big_endian() {
        assert_eq!(header(0x115), [0, 0, 1, 0x15]);
    }
}
