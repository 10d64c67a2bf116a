//! Reading bytes that came from outside: every read names its field, so that an error says where.
//!
//! Never panics; a short or impossible input is a [`ReadError`].

use thiserror::Error;

/// A place where the input was not what its format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{field} at byte {at}: {problem}")]
pub struct ReadError {
    /// The field being read.
    pub field: &'static str,
    /// Bytes from the start of the input to the field.
    pub at: usize,
    /// What is wrong with it.
    pub problem: ReadProblem,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadProblem {
    /// The input ends inside the field.
    #[error("needs {needed} bytes, {left} are left")]
    Truncated {
        /// Bytes that the field takes.
        needed: usize,
        /// Bytes that there are.
        left: usize,
    },
    /// The bytes are there and make no sense.
    #[error("{0}")]
    Invalid(&'static str),
}

/// A cursor over bytes. Integers are little endian unless the name says otherwise.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Bytes not yet read.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Whether everything has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// An error about `field` at the present place.
    #[must_use]
    pub const fn invalid(&self, field: &'static str, what: &'static str) -> ReadError {
        ReadError {
            field,
            at: self.at,
            problem: ReadProblem::Invalid(what),
        }
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// Fewer than `n` bytes are left.
    #[inline]
    pub fn bytes(&mut self, n: usize, field: &'static str) -> Result<&'a [u8], ReadError> {
        if n > self.left() {
            let problem = ReadProblem::Truncated {
                needed: n,
                left: self.left(),
            };
            return Err(ReadError {
                field,
                at: self.at,
                problem,
            });
        }
        let out = &self.bytes[self.at..self.at + n];
        self.at += n;
        Ok(out)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// Fewer than `N` bytes are left.
    #[inline]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ReadError> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(N, field)?);
        Ok(out)
    }

    /// An unsigned integer of `n` bytes, 1 to 8.
    ///
    /// # Errors
    /// Fewer than `n` bytes are left.
    #[inline]
    pub fn uint(&mut self, n: usize, field: &'static str) -> Result<u64, ReadError> {
        debug_assert!(n <= 8, "an integer has at most eight bytes");
        let mut out = [0; 8];
        out[..n].copy_from_slice(self.bytes(n, field)?);
        Ok(u64::from_le_bytes(out))
    }

    /// One byte.
    ///
    /// # Errors
    /// Nothing is left.
    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, ReadError> {
        Ok(self.bytes(1, field)?[0])
    }

    /// Two bytes.
    ///
    /// # Errors
    /// Too few bytes are left.
    #[inline]
    pub fn u16(&mut self, field: &'static str) -> Result<u16, ReadError> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// Too few bytes are left.
    #[inline]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, ReadError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// Too few bytes are left.
    #[inline]
    pub fn u64(&mut self, field: &'static str) -> Result<u64, ReadError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    /// MySQL's length-encoded integer: 0–250 in one byte, `fc` + 2, `fd` + 3, `fe` + 8 bytes.
    ///
    /// # Errors
    /// Too few bytes are left, or the first is `fb` (NULL) or `ff`, which encode no integer.
    #[inline]
    pub fn lenenc(&mut self, field: &'static str) -> Result<u64, ReadError> {
        match self.u8(field)? {
            small @ 0..=250 => Ok(u64::from(small)),
            0xfc => self.uint(2, field),
            0xfd => self.uint(3, field),
            0xfe => self.uint(8, field),
            _ => Err(self.invalid(field, "not a length-encoded integer")),
        }
    }

    /// A length-encoded integer that counts or measures something in memory.
    ///
    /// # Errors
    /// As [`Self::lenenc`], or the number does not fit.
    #[inline]
    pub fn length(&mut self, field: &'static str) -> Result<usize, ReadError> {
        let n = self.lenenc(field)?;
        usize::try_from(n).map_err(|_| self.invalid(field, "a length beyond memory"))
    }

    /// Bytes preceded by their length-encoded length.
    ///
    /// # Errors
    /// The input ends before them.
    #[inline]
    pub fn lenenc_bytes(&mut self, field: &'static str) -> Result<&'a [u8], ReadError> {
        let n = self.length(field)?;
        self.bytes(n, field)
    }

    /// Bytes up to a NUL, which is consumed and not returned.
    ///
    /// # Errors
    /// There is no NUL.
    pub fn nul_bytes(&mut self, field: &'static str) -> Result<&'a [u8], ReadError> {
        let rest = &self.bytes[self.at..];
        let Some(n) = memchr::memchr(0, rest) else {
            return Err(self.invalid(field, "has no terminating NUL"));
        };
        self.at += n + 1;
        Ok(&rest[..n])
    }

    /// Everything that is left.
    #[inline]
    pub fn rest(&mut self) -> &'a [u8] {
        let out = &self.bytes[self.at..];
        self.at = self.bytes.len();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_input_names_field_and_place() {
        let mut r = Reader::new(&[1, 2, 3]);
        assert_eq!(r.u8("kind"), Ok(1));
        let error = r.u32("thread id").unwrap_err();
        assert_eq!(error.field, "thread id");
        assert_eq!(error.at, 1);
        assert_eq!(error.problem, ReadProblem::Truncated { needed: 4, left: 2 });
    }

    #[test]
    fn lenenc_integers_have_four_lengths() {
        let bytes = [
            250, 0xfc, 1, 2, 0xfd, 1, 2, 3, 0xfe, 1, 0, 0, 0, 0, 0, 0, 0, 0xfb,
        ];
        let mut r = Reader::new(&bytes);
        assert_eq!(r.lenenc("n"), Ok(250));
        assert_eq!(r.lenenc("n"), Ok(0x0201));
        assert_eq!(r.lenenc("n"), Ok(0x03_0201));
        assert_eq!(r.lenenc("n"), Ok(1));
        assert!(r.lenenc("n").is_err());
    }
}
