//! The forms in which a seed is given.

use crate::digest::Digest;

/// Why a text is no seed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no seed: a seed is a number (42), a number in base 16 (0x2a), or the hash of a commit (7 to 40 \
     digits of base 16, with a letter among them)"
)]
pub struct NoSeed(String);

/// Reads a seed: a number, or the hash of a commit.
///
/// # Errors
/// [`NoSeed`]
pub fn parse(text: &str) -> Result<u64, NoSeed> {
    let wrong = || NoSeed(text.to_owned());
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).map_err(|_| wrong());
    }
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    // A short one of digits alone is a number that is too large.
    let is_whole = text.len() == 40 || text.bytes().any(|b| b.is_ascii_alphabetic());
    let is_hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_hash = (7..=40).contains(&text.len()) && is_hex && is_whole;
    // Numbers stay short enough to be read aloud.
    let folded = || Digest::of(text.to_ascii_lowercase().as_bytes()) >> 24;
    is_hash.then(folded).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_commits_are_seeds_and_nothing_else() {
        assert_eq!(parse("42"), Ok(42));
        assert_eq!(parse("0x2a"), Ok(42));
        assert_eq!(parse("1234567"), Ok(1_234_567));
        let commit = parse("84502fa").unwrap();
        assert_eq!(parse("84502FA"), Ok(commit));
        assert_ne!(parse("84502fb"), Ok(commit));
        for wrong in ["", "abc", "-1", "0xg", "84502fz", "18446744073709551616"] {
            let told = parse(wrong).unwrap_err().to_string();
            assert!(told.contains("a seed is a number"), "{told}");
        }
    }
}
