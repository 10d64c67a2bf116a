//! Writing bytes: the twin of [`crate::read`].
//!
//! A [`Writer`] keeps its buffer initialised ahead of the place where it writes, so that short pieces
//! are copied in blocks of fixed size which the compiler turns into two moves: a copy may run over its
//! own end, and the next one overwrites what it left there. Lengths that precede what they measure are
//! written last, into a gap that was left for them ([`Writer::fill_gap`]).
//!
//! It never reads time or memory that is not its own; its only bound is memory, which its users hold.

use alloc::vec::Vec;

use bytes::Bytes;

/// The unit in which [`Writer::put_blocks`] copies.
pub const BLOCK: usize = 32;

/// Bytes of the longest varint.
pub const VARINT_MAX: usize = 10;

/// A buffer that grows. Everything behind [`Writer::len`] is scratch.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    /// Initialised throughout; `0..len` is what was written.
    buf: Vec<u8>,
    len: usize,
}

impl Writer {
    /// A writer with room for `bytes`.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            buf: alloc::vec![0; bytes],
            len: 0,
        }
    }

    /// Bytes written so far.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was written.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.buf[..self.len]
    }

    /// What was written from `start` on, to be changed in place.
    pub fn written_mut(&mut self, start: usize) -> &mut [u8] {
        &mut self.buf[start..self.len]
    }

    /// Forgets what was written from `len` on.
    ///
    /// # Panics
    /// If less was written.
    pub fn truncate(&mut self, len: usize) {
        assert!(len <= self.len, "a writer is cut back, never forward");
        self.len = len;
    }

    /// Makes sure that [`Self::room`] has at least `bytes`.
    #[inline]
    pub fn reserve(&mut self, bytes: usize) {
        if self.buf.len() - self.len < bytes {
            self.grow(bytes);
        }
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        self.buf.reserve(bytes);
        let capacity = self.buf.capacity();
        self.buf.resize(capacity, 0);
    }

    /// The scratch behind what was written, to be filled and then kept with [`Self::advance`].
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.buf[self.len..]
    }

    /// The first `N` bytes of the scratch.
    ///
    /// # Panics
    /// If they were not reserved.
    #[inline]
    pub fn window<const N: usize>(&mut self) -> &mut [u8; N] {
        self.room()
            .first_chunk_mut()
            .expect("a window is reserved before it is used")
    }

    /// Keeps the first `bytes` of the scratch.
    #[inline]
    pub fn advance(&mut self, bytes: usize) {
        debug_assert!(
            bytes <= self.buf.len() - self.len,
            "what is kept was reserved"
        );
        self.len += bytes;
    }

    /// Writes `bytes`.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.room()[..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Writes one byte.
    #[inline]
    pub fn put_u8(&mut self, byte: u8) {
        self.reserve(1);
        self.buf[self.len] = byte;
        self.len += 1;
    }

    /// Writes the first `bytes` of `blocks`. The room for whole blocks must have been reserved.
    #[inline]
    pub fn put_blocks(&mut self, blocks: &[[u8; BLOCK]], bytes: usize) {
        let (room, _) = self.buf[self.len..].as_chunks_mut::<BLOCK>();
        debug_assert!(room.len() >= blocks.len() && bytes <= blocks.len() * BLOCK);
        for (to, from) in room.iter_mut().zip(blocks) {
            *to = *from;
        }
        self.len += bytes;
    }

    /// Writes a protobuf varint.
    #[inline]
    pub fn put_varint(&mut self, n: u64) {
        self.reserve(VARINT_MAX);
        let len = write_varint(self.window(), n);
        self.len += len;
    }

    /// Replaces one byte that was written.
    #[inline]
    pub fn set(&mut self, at: usize, byte: u8) {
        self.buf[..self.len][at] = byte;
    }

    /// Writes the varint `n` into a gap of `width` bytes at `at`, which was left for it; what follows
    /// the gap moves if the guess was wrong. Returns the width that `n` took.
    #[inline]
    pub fn fill_varint(&mut self, at: usize, width: usize, n: usize) -> usize {
        if width == 1 && n < 0x80 {
            self.set(at, n as u8);
            return 1;
        }
        if width == 2 && (0x80..0x4000).contains(&n) {
            self.buf[..self.len][at..at + 2].copy_from_slice(&[n as u8 | 0x80, (n >> 7) as u8]);
            return 2;
        }
        self.fill_wide_varint(at, width, n)
    }

    #[cold]
    #[inline(never)]
    fn fill_wide_varint(&mut self, at: usize, width: usize, n: usize) -> usize {
        let mut bytes = [0; VARINT_MAX];
        let len = write_varint(&mut bytes, n as u64);
        self.fill_gap(at, width, &bytes[..len]);
        len
    }

    /// Puts `bytes` into a gap of `width` bytes at `at`; what follows the gap moves if they differ in
    /// length.
    pub fn fill_gap(&mut self, at: usize, width: usize, bytes: &[u8]) {
        if bytes.len() != width {
            let behind = at + width..self.len;
            if bytes.len() > width {
                self.reserve(bytes.len() - width);
            }
            let len = behind.len();
            self.buf.copy_within(behind, at + bytes.len());
            self.len = at + bytes.len() + len;
        }
        self.buf[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// What was written, without the scratch.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        self.buf.truncate(self.len);
        if self.buf.capacity() - self.len > self.len / WASTE_DIVISOR {
            self.buf.shrink_to_fit();
        }
        Bytes::from(self.buf)
    }
}

/// A finished buffer may waste this part of its length before it is given back to the allocator.
const WASTE_DIVISOR: usize = 8;

/// Bytes that `n` takes as a varint.
#[must_use]
#[inline]
pub const fn varint_len(n: u64) -> usize {
    // 7 bits a byte: ceil(bits / 7), with zero taking one byte.
    ((64 - (n | 1).leading_zeros()) as usize).div_ceil(7)
}

/// Writes `n` as a varint at the start of `to`, and says how many bytes it took.
#[inline]
pub const fn write_varint(to: &mut [u8; VARINT_MAX], mut n: u64) -> usize {
    let mut i = 0;
    while n >= 0x80 && i < VARINT_MAX - 1 {
        to[i] = n as u8 | 0x80;
        n >>= 7;
        i += 1;
    }
    to[i] = n as u8;
    i + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A varint is as long as `varint_len` says and reads back as what was written.
        #[test]
        fn varints_round_trip(n: u64, shift in 0u32..64) {
            let n = n >> shift;
            let mut bytes = [0; VARINT_MAX];
            let len = write_varint(&mut bytes, n);
            prop_assert_eq!(len, varint_len(n));
            let mut back = 0u64;
            for (i, byte) in bytes[..len].iter().enumerate() {
                back |= u64::from(byte & 0x7f) << (7 * i);
                prop_assert_eq!(byte & 0x80 != 0, i + 1 < len);
            }
            prop_assert_eq!(back, n);
        }

        /// Whatever width was guessed, the length stands right before what it measures.
        #[test]
        fn a_wrong_guess_of_a_gap_moves_what_follows(width in 1usize..6, n in 0usize..20_000) {
            let mut w = Writer::default();
            w.put(b"head");
            let at = w.len();
            w.reserve(width);
            w.advance(width);
            w.put(&alloc::vec![b'x'; n]);
            let len = w.fill_varint(at, width, n);
            let mut expected = b"head".to_vec();
            let mut varint = [0; VARINT_MAX];
            prop_assert_eq!(write_varint(&mut varint, n as u64), len);
            expected.extend_from_slice(&varint[..len]);
            expected.resize(expected.len() + n, b'x');
            prop_assert_eq!(w.as_slice(), &expected[..]);
            let bytes = w.into_bytes();
            prop_assert_eq!(&bytes[..], &expected[..]);
        }
    }

    #[test]
    fn blocks_are_copied_whole_and_kept_in_part() {
        let mut w = Writer::with_capacity(2 * BLOCK);
        w.put_blocks(&[[b'a'; BLOCK], [b'b'; BLOCK]], BLOCK + 1);
        w.put(b"c");
        assert_eq!(w.len(), BLOCK + 2);
        assert_eq!(&w.as_slice()[BLOCK - 1..], b"abc");
    }
}
