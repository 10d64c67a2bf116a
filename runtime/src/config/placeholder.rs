//! `${key:default}` as Spring's configurer reads it (ha-meta-store reference §4.1).
//!
//! Names and defaults may hold placeholders themselves. A placeholder that is not closed is plain text,
//! and one that nothing resolves becomes nothing.

use thiserror::Error;

/// How deep placeholders may lie in one another, and how many lookups may lead to the next.
pub const DEPTH_MAX: usize = 16;

/// Placeholders that never end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "its placeholders refer to each other without end, or more than {DEPTH_MAX} deep, at ${{{0}}}"
)]
pub struct Endless(pub String);

/// What finds the value of a name; it is told how deep it is called.
pub type Lookup<'a> = dyn FnMut(&str, usize) -> Result<Option<String>, Endless> + 'a;

/// Replaces the placeholders in `text` by what `lookup` finds.
///
/// # Errors
/// [`Endless`], its own or the one that `lookup` met.
pub fn expand(text: &str, depth: usize, lookup: &mut Lookup<'_>) -> Result<String, Endless> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once("${") {
        out.push_str(plain);
        let Some(end) = closing_brace(after) else {
            out.push_str("${");
            rest = after;
            continue;
        };
        let inner = &after[..end];
        if depth >= DEPTH_MAX {
            return Err(Endless(inner.into()));
        }
        let inner = expand(inner, depth + 1, lookup)?;
        let (name, default) = match inner.split_once(':') {
            Some((name, default)) => (name, default),
            None => (inner.as_str(), ""),
        };
        match lookup(name.trim(), depth + 1)? {
            Some(value) => out.push_str(&value),
            None => out.push_str(default),
        }
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the brace that closes a placeholder stands, seen from its first inner character.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if at > 0 && bytes[at - 1] == b'$' => open += 1,
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> String {
        expand(text, 0, &mut |name, _| {
            Ok(match name {
                "a" => Some("1".into()),
                "which" => Some("a".into()),
                _ => None,
            })
        })
        .unwrap()
    }

    #[test]
    fn names_defaults_and_nesting() {
        for (text, want) in [
            ("plain", "plain"),
            ("${a}", "1"),
            ("x${a}y${a}z", "x1y1z"),
            ("${b}", ""),
            ("${b:2}", "2"),
            ("${b:}", ""),
            ("${a:2}", "1"),
            ("${b:x:y}", "x:y"),
            ("${b:${a}}", "1"),
            ("${b:${c:3}}", "3"),
            ("${${which}}", "1"),
            ("${ a }", "1"),
            ("${b:{x}", "{x"),
        ] {
            assert_eq!(expanded(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_not_closed_is_text() {
        assert_eq!(expanded("${a"), "${a");
        assert_eq!(expanded("${a ${a}"), "${a 1");
        assert_eq!(expanded("$a {a} $"), "$a {a} $");
    }

    #[test]
    fn too_deep_is_an_error_and_not_a_crash() {
        let deep = "${".repeat(10_000) + &"}".repeat(10_000);
        assert!(expand(&deep, 0, &mut |_, _| Ok(None)).is_err());
    }
}
