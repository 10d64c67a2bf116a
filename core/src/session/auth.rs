//! Who may use the port: MySQL's native password scheme with an eight-byte seed
//! (wire-protocol reference §6). The admin port uses the same.

use core::hint::black_box;

use sha1::{Digest, Sha1};

use crate::config::Credentials;
use crate::rng::Rng;

/// Bytes of a SHA-1 digest: of a stored password and of a token.
pub const DIGEST_BYTES: usize = 20;

/// Failed attempts after which a connection is closed; canal allows any number.
pub const AUTH_FAILURES_MAX: u32 = 5;

/// The salt that a server sends with its handshake; the same for every attempt on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scramble([u8; Self::BYTES]);

impl Scramble {
    /// Canal's seeds have this length.
    pub const BYTES: usize = 8;

    /// Draws one.
    #[must_use]
    pub fn draw(rng: &mut Rng) -> Self {
        let mut seeds = [0; Self::BYTES];
        rng.fill(&mut seeds);
        Self(seeds)
    }

    /// The one given.
    #[must_use]
    pub const fn new(seeds: [u8; Self::BYTES]) -> Self {
        Self(seeds)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

/// What a server keeps of a password, `canal.passwd` in binary: SHA1(SHA1(password)).
#[must_use]
pub fn stored(password: &[u8]) -> [u8; DIGEST_BYTES] {
    sha1(&[&sha1(&[password])])
}

/// What a client sends, in binary, to prove that it knows `password`: SHA1(p) XOR SHA1(seeds, SHA1(SHA1(p))).
#[must_use]
pub fn token(password: &[u8], seeds: &[u8]) -> [u8; DIGEST_BYTES] {
    let once = sha1(&[password]);
    xor(once, sha1(&[seeds, &sha1(&[&once])]))
}

/// The hexadecimal form of a digest, as canal's configuration and [`ClientAuth`] carry it.
///
/// [`ClientAuth`]: crate::session::packet::ClientAuth
#[must_use]
pub fn to_hex(digest: [u8; DIGEST_BYTES]) -> [u8; 2 * DIGEST_BYTES] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [0; 2 * DIGEST_BYTES];
    for (pair, byte) in out.chunks_exact_mut(2).zip(digest) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    out
}

/// A digest from hexadecimal digits of either case, as canal reads them: with a leading zero if their
/// number is odd, and nothing made of what follows the twentieth byte. None if one is not a digit or
/// there are too few.
#[must_use]
pub fn from_hex(text: &[u8]) -> Option<[u8; DIGEST_BYTES]> {
    let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
    let (odd, pairs) = text.split_at(text.len() % 2);
    let leading = odd.first().map(|c| digit(*c));
    let paired = pairs
        .chunks_exact(2)
        .map(|p| Some((digit(p[0])? << 4) | digit(p[1])?));
    let mut bytes = leading.into_iter().chain(paired);
    let mut out = [0; DIGEST_BYTES];
    for slot in &mut out {
        *slot = bytes.next()??;
    }
    bytes.all(|byte| byte.is_some()).then_some(out)
}

/// Whether a user name and a token get in (wire-protocol reference §6.2).
///
/// A token that is no digest is a wrong one: canal closes the connection without a word there.
#[must_use]
pub fn admits(
    credentials: &Credentials,
    scramble: &Scramble,
    username: &str,
    password: &[u8],
) -> bool {
    let user_fits = credentials.user.is_empty() || credentials.user == username;
    let Some(stored) = credentials.stored else {
        return user_fits;
    };
    let Some(token) = from_hex(password) else {
        return false;
    };
    let once = xor(token, sha1(&[scramble.as_bytes(), &stored]));
    same(&sha1(&[&once]), &stored) && user_fits
}

/// Compares in a time that does not tell where the first difference is.
fn same(a: &[u8; DIGEST_BYTES], b: &[u8; DIGEST_BYTES]) -> bool {
    let difference = a
        .iter()
        .zip(b)
        .fold(0, |all, (x, y)| black_box(all | (x ^ y)));
    difference == 0
}

fn sha1(parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut hash = Sha1::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn xor(mut a: [u8; DIGEST_BYTES], b: [u8; DIGEST_BYTES]) -> [u8; DIGEST_BYTES] {
    for (x, y) in a.iter_mut().zip(b) {
        *x ^= y;
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const SCRAMBLE: Scramble = Scramble::new([1, 2, 3, 4, 5, 6, 7, 8]);

    fn hex(text: &str) -> [u8; DIGEST_BYTES] {
        from_hex(text.as_bytes()).unwrap()
    }

    fn credentials(user: &str, password: Option<&str>) -> Credentials {
        Credentials {
            user: user.into(),
            stored: password.map(|p| stored(p.as_bytes())),
        }
    }

    #[test]
    fn stored_passwords_are_those_that_canal_ships() {
        assert_eq!(
            stored(b"canal"),
            hex("e3619321c1a937c46a0d8bd1dac39f93b27d4458")
        );
        assert_eq!(
            stored(b"admin"),
            hex("4acfe3202a5ff5cf467898fc58aab1d615029441")
        );
    }

    #[test]
    fn tokens_are_those_of_the_reference() {
        let canal = token(b"canal", SCRAMBLE.as_bytes());
        assert_eq!(&to_hex(canal), b"7de44690d8e53782cb61804a2455c284a3bbfb06");
        let empty = token(b"", SCRAMBLE.as_bytes());
        assert_eq!(&to_hex(empty), b"ed26d729f84a104ddef91f5ba7b5174f537fad40");
    }

    #[test]
    fn the_decision_table_holds() {
        let good = to_hex(token(b"canal", SCRAMBLE.as_bytes()));
        let admit = |c: &Credentials, user: &str, p: &[u8]| admits(c, &SCRAMBLE, user, p);

        let open = credentials("", None);
        assert!(admit(&open, "anyone", b"plain text") && admit(&open, "", b""));

        let anyone = credentials("", Some("canal"));
        assert!(admit(&anyone, "whoever", &good));
        assert!(!admit(&anyone, "whoever", b""));

        let one = credentials("canal", Some("canal"));
        assert!(admit(&one, "canal", &good));
        assert!(!admit(&one, "Canal", &good), "names are case-sensitive");
        assert!(!admit(
            &one,
            "canal",
            &to_hex(token(b"wrong", SCRAMBLE.as_bytes()))
        ));

        let no_password = credentials("canal", None);
        assert!(admit(&no_password, "canal", b"any"));
        assert!(!admit(&no_password, "other", b"any"));
    }

    #[test]
    fn hex_is_read_as_canal_reads_it() {
        let lower = b"7de44690d8e53782cb61804a2455c284a3bbfb06";
        let upper = lower.to_ascii_uppercase();
        assert_eq!(from_hex(lower), from_hex(&upper));
        let longer: Vec<u8> = [lower.as_slice(), b"0042"].concat();
        assert_eq!(
            from_hex(&longer),
            from_hex(lower),
            "bytes after the twentieth are ignored"
        );
        let odd = &b"0de44690d8e53782cb61804a2455c284a3bbfb06"[1..];
        assert_eq!(from_hex(odd).unwrap()[..2], [0x0d, 0xe4]);
        assert_eq!(from_hex(b"not hexadecimal"), None);
        assert_eq!(from_hex(&[lower.as_slice(), b"zz"].concat()), None);
        assert_eq!(from_hex(&lower[2..]), None, "too short");
        assert_eq!(from_hex(b""), None);
    }

    #[test]
    fn two_seeds_give_two_scrambles() {
        let mut rng = Rng::new(crate::rng::Seed(1));
        assert_ne!(Scramble::draw(&mut rng), Scramble::draw(&mut rng));
    }
}
