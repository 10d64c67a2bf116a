//! Encrypts a password with the public key that a server sends (binlog-parser reference §1.4).
//!
//! The key comes from outside, so it is taken apart here with every length checked; only the
//! arithmetic is `mysql_common`'s. Padding takes our own generator.

use alloc::vec::Vec;
use core::convert::Infallible;

use mysql_common::crypto::rsa::{Pkcs1OaepPadding, PublicKey, Rng as PaddingRng};
use mysql_common::num_bigint::BigUint;

use crate::read::{ReadError, Reader};
use crate::rng::Rng;

/// The shortest modulus accepted: 1024 bits.
const MODULUS_BYTES_MIN: usize = 128;
/// The longest modulus accepted, so that a hostile key costs little: 16384 bits.
const MODULUS_BYTES_MAX: usize = 2048;
/// The longest exponent accepted; servers use 65537.
const EXPONENT_BYTES_MAX: usize = 4;
/// What OAEP with SHA-1 takes of a block.
const OAEP_BYTES: usize = 42;

const PEM_HEADS: [&[u8]; 2] = [
    b"-----BEGIN PUBLIC KEY-----",
    b"-----BEGIN RSA PUBLIC KEY-----",
];
const PEM_TAIL: &[u8] = b"-----END";

/// Why a password could not be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RsaFault {
    /// The key makes no sense.
    Key(ReadError),
    /// The password, with its NUL, is longer than this.
    TooLong {
        /// Bytes that fit.
        max: usize,
    },
}

/// `password` and a NUL, masked by the repeated `scramble`, encrypted for the owner of `pem`.
pub(super) fn encrypt(
    password: &[u8],
    scramble: &[u8; 20],
    pem: &[u8],
    rng: &mut Rng,
) -> Result<Vec<u8>, RsaFault> {
    let key = public_key(pem).map_err(RsaFault::Key)?;
    let max = key.num_octets().saturating_sub(OAEP_BYTES);
    if password.len() + 1 > max {
        return Err(RsaFault::TooLong {
            max: max.saturating_sub(1),
        });
    }
    let mask = scramble.iter().cycle();
    let block: Vec<u8> = password
        .iter()
        .chain(&[0])
        .zip(mask)
        .map(|(p, s)| p ^ s)
        .collect();
    let sealed = key.encrypt_block(block, Pkcs1OaepPadding::new(Padding(rng)));
    Ok(sealed.expect("the block fits and the generator cannot fail"))
}

struct Padding<'a>(&'a mut Rng);

impl PaddingRng for Padding<'_> {
    type Error = Infallible;

    fn fill(&mut self, dest: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(dest);
        Ok(())
    }
}

/// A key as PKCS #8 or PKCS #1, in PEM.
fn public_key(pem: &[u8]) -> Result<PublicKey, ReadError> {
    const WRAPPED: usize = 0;
    let outside = Reader::new(pem);
    let found = PEM_HEADS.iter().enumerate().find_map(|(kind, head)| {
        let start = memchr::memmem::find(pem, head)? + head.len();
        Some((kind, &pem[start..]))
    });
    let Some((kind, body)) = found else {
        return Err(outside.invalid("public key", "is no PEM"));
    };
    let Some(end) = memchr::memmem::find(body, PEM_TAIL) else {
        return Err(outside.invalid("public key", "has no end"));
    };
    let der = base64(&body[..end]).ok_or_else(|| outside.invalid("public key", "is no base64"))?;
    let fields = if kind == WRAPPED {
        unwrap_pkcs8(&der)?
    } else {
        &der
    };
    pkcs1(fields)
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;

fn unwrap_pkcs8(der: &[u8]) -> Result<&[u8], ReadError> {
    let mut r = Reader::new(element(&mut Reader::new(der), SEQUENCE, "key")?);
    element(&mut r, SEQUENCE, "key algorithm")?;
    match element(&mut r, BIT_STRING, "key bits")? {
        [0, bits @ ..] => Ok(bits),
        _ => Err(r.invalid("key bits", "do not fill bytes")),
    }
}

fn pkcs1(der: &[u8]) -> Result<PublicKey, ReadError> {
    let mut r = Reader::new(element(&mut Reader::new(der), SEQUENCE, "key")?);
    let modulus = unsigned(element(&mut r, INTEGER, "modulus")?);
    if !(MODULUS_BYTES_MIN..=MODULUS_BYTES_MAX).contains(&modulus.len()) {
        return Err(r.invalid("modulus", "is not of 1024 to 16384 bits"));
    }
    let exponent = unsigned(element(&mut r, INTEGER, "exponent")?);
    if !(1..=EXPONENT_BYTES_MAX).contains(&exponent.len()) {
        return Err(r.invalid("exponent", "is not of 1 to 32 bits"));
    }
    Ok(PublicKey::new(
        BigUint::from_bytes_be(modulus),
        BigUint::from_bytes_be(exponent),
    ))
}

fn unsigned(mut bytes: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// The contents of a DER element with this tag.
fn element<'a>(r: &mut Reader<'a>, tag: u8, field: &'static str) -> Result<&'a [u8], ReadError> {
    if r.u8(field)? != tag {
        return Err(r.invalid(field, "has another DER type"));
    }
    let length = match r.u8(field)? {
        short @ 0..=0x7f => usize::from(short),
        long @ 0x81..=0x83 => {
            let bytes = r.bytes(usize::from(long & 0x7f), field)?;
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
        }
        _ => return Err(r.invalid(field, "has an impossible DER length")),
    };
    r.bytes(length, field)
}

/// Standard base64; white space and padding are skipped.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text
        .iter()
        .filter(|b| !b.is_ascii_whitespace() && **b != b'=')
    {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;
    use alloc::string::String;
    use proptest::prelude::{any, prop_assert, proptest};

    /// A 2048-bit key in the form that a server sends; generated for this test with `openssl genrsa`.
    const PEM: &str = include_str!("rsa_test_key.pem");

    #[test]
    fn the_block_has_the_length_of_the_key_and_follows_from_the_seed() {
        let sealed = |seed| {
            encrypt(
                b"secret",
                &[7; 20],
                PEM.as_bytes(),
                &mut Rng::new(Seed(seed)),
            )
            .unwrap()
        };
        assert_eq!(sealed(1).len(), 256);
        assert_eq!(sealed(1), sealed(1));
        assert_ne!(sealed(1), sealed(2));
    }

    #[test]
    fn a_password_beyond_the_block_is_refused() {
        let mut rng = Rng::new(Seed(1));
        assert!(encrypt(&[b'x'; 213], &[7; 20], PEM.as_bytes(), &mut rng).is_ok());
        let fault = encrypt(&[b'x'; 214], &[7; 20], PEM.as_bytes(), &mut rng);
        assert_eq!(fault, Err(RsaFault::TooLong { max: 213 }));
    }

    proptest! {
        #[test]
        fn a_damaged_key_is_an_error_or_another_key_but_never_a_panic(
            at in 0_usize..460, byte in any::<u8>(), cut in 0_usize..460,
        ) {
            let mut pem = PEM.as_bytes().to_vec();
            let at = at % pem.len();
            pem[at] = byte;
            let _ = encrypt(b"secret", &[7; 20], &pem, &mut Rng::new(Seed(1)));
            pem.truncate(cut);
            let short = String::from_utf8_lossy(&pem).replace("-----END", "");
            prop_assert!(encrypt(b"secret", &[7; 20], short.as_bytes(), &mut Rng::new(Seed(1))).is_err());
        }
    }
}
