//! Packets of MySQL's protocol, as a server speaks it: greeting, login, OK, ERR, rows of text.

use sha1::{Digest, Sha1};

use super::dump::Refusal;
use super::event::{put_lenenc, put_lenenc_bytes};
use crate::plan::Flavor;

/// The account that may log in.
const USER: &[u8] = b"canal";
/// Its password.
const PASSWORD: &[u8] = b"canal";
/// Bytes of a nonce.
pub(super) const SCRAMBLE_BYTES: usize = 20;
/// The longest piece of a payload; one of exactly that length is followed by another.
const PIECE_BYTES_MAX: usize = 0xff_ffff;
/// Bytes before each piece.
pub(super) const HEAD_BYTES: usize = 4;

/// What the server is ready for: LONG_PASSWORD (MySQL alone), FOUND_ROWS, LONG_FLAG, CONNECT_WITH_DB,
/// PROTOCOL_41, INTERACTIVE, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH, its length-encoded form.
const CAPABILITIES: u32 =
    0x2 | 0x4 | 0x8 | 0x200 | 0x400 | 0x2000 | 0x8000 | 0x8_0000 | LENENC_AUTH;
const LONG_PASSWORD: u32 = 0x1;
const LENENC_AUTH: u32 = 0x20_0000;
/// The server's status everywhere: AUTOCOMMIT.
const STATUS: [u8; 2] = [2, 0];
const UTF8MB4: u8 = 45;
const PLUGIN: &[u8] = b"mysql_native_password";

/// Appends `payload` in one or more packets.
pub(super) fn frame(sequence: &mut u8, payload: &[u8], out: &mut Vec<u8>) {
    let mut rest = payload;
    loop {
        let (piece, tail) = rest.split_at(rest.len().min(PIECE_BYTES_MAX));
        out.extend_from_slice(&(piece.len() as u32).to_le_bytes()[..3]);
        out.push(*sequence);
        out.extend_from_slice(piece);
        *sequence = sequence.wrapping_add(1);
        rest = tail;
        if piece.len() < PIECE_BYTES_MAX {
            return;
        }
    }
}

/// The length in a packet's head; none for a packet that is continued, which no client of ours sends.
pub(super) fn length(head: [u8; HEAD_BYTES]) -> Option<usize> {
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
    (length < PIECE_BYTES_MAX).then_some(length)
}

/// The first packet.
pub(super) fn greeting(
    flavor: Flavor,
    version: &str,
    thread: u32,
    scramble: &[u8; SCRAMBLE_BYTES],
) -> Vec<u8> {
    const PROTOCOL: u8 = 10;
    const FIRST_PART: usize = 8;
    let (prefix, own) = match flavor {
        Flavor::Mysql => ("", LONG_PASSWORD),
        // What old replicas of MySQL take for a version, and the capability that is reused.
        Flavor::Mariadb => ("5.5.5-", 0),
    };
    let [low0, low1, high0, high1] = (CAPABILITIES | own).to_le_bytes();
    let mut out = vec![PROTOCOL];
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(version.as_bytes());
    out.push(0);
    out.extend_from_slice(&thread.to_le_bytes());
    out.extend_from_slice(&scramble[..FIRST_PART]);
    out.extend_from_slice(&[0, low0, low1, UTF8MB4, STATUS[0], STATUS[1], high0, high1]);
    out.push(SCRAMBLE_BYTES as u8 + 1);
    out.extend_from_slice(&[0; 10]);
    out.extend_from_slice(&scramble[FIRST_PART..]);
    out.push(0);
    out.extend_from_slice(PLUGIN);
    out.push(0);
    out
}

/// Whether a login is the account's.
///
/// # Errors
/// What the server says to any other.
pub(super) fn check_login(payload: &[u8], scramble: &[u8; SCRAMBLE_BYTES]) -> Result<(), Refusal> {
    const USER_AT: usize = 4 + 4 + 1 + 23;
    let login = payload.get(USER_AT..).and_then(|rest| {
        let (user, rest) = split_nul(rest)?;
        let (length, rest) = rest.split_first()?;
        Some((user, rest.get(..usize::from(*length))?))
    });
    let denied = |user: &[u8]| Refusal {
        code: 1045,
        state: "28000",
        message: format!(
            "Access denied for user '{}'@'canald' (using password: YES)",
            String::from_utf8_lossy(user)
        ),
    };
    match login {
        Some((USER, auth)) if auth == native_password(scramble) => Ok(()),
        Some((user, _)) => Err(denied(user)),
        None => Err(denied(b"")),
    }
}

/// `SHA1(password) ^ SHA1(scramble, SHA1(SHA1(password)))`
fn native_password(scramble: &[u8; SCRAMBLE_BYTES]) -> [u8; SCRAMBLE_BYTES] {
    let mut stage: [u8; 20] = Sha1::digest(PASSWORD).into();
    let stored = Sha1::digest(stage);
    let mut mask = Sha1::new();
    mask.update(scramble);
    mask.update(stored);
    for (byte, mask) in stage.iter_mut().zip(mask.finalize()) {
        *byte ^= mask;
    }
    stage
}

fn split_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Nothing is wrong, and there are no rows.
pub(super) fn ok() -> Vec<u8> {
    const NO_WARNINGS: [u8; 2] = [0, 0];
    const OK: u8 = 0;
    const NO_ROWS: u8 = 0;
    const NO_ID: u8 = 0;
    [&[OK, NO_ROWS, NO_ID], &STATUS[..], &NO_WARNINGS].concat()
}

/// A refusal.
pub(super) fn err(refusal: &Refusal) -> Vec<u8> {
    const ERR: u8 = 0xff;
    let code = refusal.code.to_le_bytes();
    let (state, message) = (refusal.state.as_bytes(), refusal.message.as_bytes());
    [&[ERR], &code[..], b"#", state, message].concat()
}

/// The payloads of a result set, in the order of their packets.
pub(super) fn rows(columns: &[&str], rows: &[Vec<Option<String>>]) -> Vec<Vec<u8>> {
    const EOF: [u8; 5] = [0xfe, 0, 0, STATUS[0], STATUS[1]];
    const NULL: u8 = 0xfb;
    let mut count = Vec::new();
    put_lenenc(&mut count, columns.len() as u64);
    let mut payloads = vec![count];
    payloads.extend(columns.iter().map(|name| column(name)));
    payloads.push(EOF.to_vec());
    for row in rows {
        let mut payload = Vec::new();
        for cell in row {
            match cell {
                Some(text) => put_lenenc_bytes(&mut payload, text.as_bytes()),
                None => payload.push(NULL),
            }
        }
        payloads.push(payload);
    }
    payloads.push(EOF.to_vec());
    payloads
}

/// What a column of text is.
fn column(name: &str) -> Vec<u8> {
    const CATALOG: &[u8] = b"def";
    const FIXED_BYTES: u8 = 12;
    const LENGTH_MAX: u32 = 1024;
    const VAR_STRING: u8 = 253;
    const FLAGS_DECIMALS_FILLER: [u8; 5] = [0; 5];
    let mut out = Vec::new();
    // Catalog; schema, table and its original name; name and original name.
    for text in [CATALOG, b"", b"", b"", name.as_bytes(), b""] {
        put_lenenc_bytes(&mut out, text);
    }
    out.extend_from_slice(&[FIXED_BYTES, UTF8MB4, 0]);
    out.extend_from_slice(&LENGTH_MAX.to_le_bytes());
    out.push(VAR_STRING);
    out.extend_from_slice(&FLAGS_DECIMALS_FILLER);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_the_longest_piece_is_followed_by_an_empty_one() {
        let mut out = Vec::new();
        let mut sequence = 255;
        frame(&mut sequence, &vec![7; PIECE_BYTES_MAX], &mut out);
        assert_eq!(out[..4], [0xff, 0xff, 0xff, 255]);
        assert_eq!(out[HEAD_BYTES + PIECE_BYTES_MAX..], [0, 0, 0, 0]);
        assert_eq!(sequence, 1);
    }

    #[test]
    fn only_the_account_is_let_in() {
        let scramble = [33; SCRAMBLE_BYTES];
        let login = |user: &[u8], auth: &[u8]| {
            let head = [0; 32];
            [&head, user, &[0, 20], auth, &[0]].concat()
        };
        let auth = native_password(&scramble);
        assert_eq!(check_login(&login(b"canal", &auth), &scramble), Ok(()));
        for wrong in [login(b"root", &auth), login(b"canal", &[1; 20]), vec![1]] {
            assert_eq!(check_login(&wrong, &scramble).unwrap_err().code, 1045);
        }
    }
}
