//! From the text of a value to what it means, one function per kind.

use canald_core::config::SslMode;

use super::keys::Kind;
use crate::zone;

/// `true` or `false`, in the spellings that Spring takes.
pub(super) fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// The items of a list separated by commas, without blanks around them or empty ones.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// Host and port as canal splits them: brackets fall away, and the last colon separates.
pub(super) fn host_port(text: &str) -> Option<(String, u16)> {
    let bare: String = text.chars().filter(|c| !matches!(c, '[' | ']')).collect();
    let (host, port) = bare.rsplit_once(':')?;
    let port: u16 = port.trim().parse().ok()?;
    let host = host.trim();
    let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
    (is_host && port != 0).then(|| (host.into(), port))
}

/// Twenty bytes as hexadecimal digits.
pub(super) fn sha1(text: &str) -> Option<[u8; 20]> {
    let digits = text.as_bytes();
    let mut out = [0; 20];
    if digits.len() != 40 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(out)
}

/// Canal's sslMode, whatever its case.
pub(super) fn ssl_mode(text: &str) -> Option<SslMode> {
    Some(match text.to_ascii_uppercase().as_str() {
        "DISABLED" => SslMode::Disabled,
        "PREFERRED" => SslMode::Preferred,
        "REQUIRED" => SslMode::Required,
        "VERIFY_CA" => SslMode::VerifyCa,
        "VERIFY_IDENTITY" => SslMode::VerifyIdentity,
        _ => return None,
    })
}

fn charset(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    // MySQL's names and Java's, which the label registry of the web does not list.
    let alias = [
        "utf8mb4", "utf8mb3", "utf_8", "latin1", "binary", "us-ascii",
    ];
    alias.contains(&lower.as_str()) || encoding_rs::Encoding::for_label(lower.as_bytes()).is_some()
}

fn word_in(words: &[&str], text: &str) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

impl Kind {
    /// Whether `text`, which is not blank, is of this kind.
    ///
    /// # Errors
    /// What it should be.
    pub fn check(self, text: &str) -> Result<(), String> {
        let number = || text.parse::<u64>().ok();
        let fits = match self {
            Self::Text | Self::Secret => true,
            Self::Switch => switch(text).is_some(),
            Self::Count(low, high) => number().is_some_and(|n| (low..=high).contains(&n)),
            Self::Power(low, high) => {
                number().is_some_and(|n| (low..=high).contains(&n) && n.is_power_of_two())
            }
            Self::Number => text.parse::<i64>().is_ok(),
            Self::Word(words) => word_in(words, text),
            Self::Words(words) => list(text).all(|item| word_in(words, item)),
            Self::Address => text.parse::<core::net::IpAddr>().is_ok(),
            Self::HostPort => host_port(text).is_some(),
            Self::Sha1 => sha1(text).is_some(),
            Self::Zone => zone::named(text).is_ok(),
            Self::Charset => charset(text),
            Self::Names => list(text).next().is_some() && list(text).all(is_destination),
        };
        if fits { Ok(()) } else { Err(self.expected()) }
    }

    fn expected(self) -> String {
        match self {
            Self::Text | Self::Secret => "text".into(),
            Self::Switch => "true or false".into(),
            Self::Count(0, u64::MAX) => "a whole number".into(),
            Self::Count(low, high) => format!("a whole number from {low} to {high}"),
            Self::Power(low, high) => format!("a power of two from {low} to {high}"),
            Self::Number => "a whole number".into(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Words(words) => format!("a list of {}, separated by commas", words.join(", ")),
            Self::Address => "an IP address of this machine, or nothing for all of them".into(),
            Self::HostPort => "host:port, such as 127.0.0.1:3306".into(),
            Self::Sha1 => "40 hexadecimal digits: SHA1(SHA1(password)), as SELECT \
                           SUBSTR(PASSWORD('…'), 2) gives on MariaDB"
                .into(),
            Self::Zone => "a time zone such as Asia/Shanghai or +08:00".into(),
            Self::Charset => "a character set such as UTF-8 or GBK".into(),
            Self::Names => {
                "names separated by commas, without slashes, blanks or leading dots".into()
            }
        }
    }
}

/// Whether `name` can be a destination: it becomes a folder, and a node of ZooKeeper.
pub(super) fn is_destination(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && !name.contains(|c: char| matches!(c, '/' | '\\') || c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_knows_right_from_wrong() {
        for (kind, right, wrong) in [
            (
                Kind::Switch,
                &["true", "FALSE", "on", "0"][..],
                &["tru", "2", "enabled"][..],
            ),
            (
                Kind::Count(1, 10),
                &["1", "10"],
                &["0", "11", "-1", "1.5", "x", "1e1"],
            ),
            (
                Kind::Power(1, 1 << 20),
                &["1", "1024"],
                &["0", "1000", "2097152", "-2"],
            ),
            (
                Kind::Number,
                &["-1", "0", "1234"],
                &["x", "1.0", "99999999999999999999"],
            ),
            (Kind::Word(&["A", "B"]), &["a", "B"], &["C", "A,B"]),
            (
                Kind::Words(&["A", "B"]),
                &["a", "A, B", "A,"],
                &["A;B", "C"],
            ),
            (Kind::Address, &["0.0.0.0", "::1"], &["localhost", "1.2.3"]),
            (
                Kind::HostPort,
                &["h:1", "[::1]:3306", "10.0.0.1:3306"],
                &["h", "h:", ":1", "h:0", "h:65536", "a b:1", "mysql://h:1"],
            ),
            (
                Kind::Sha1,
                &["e3619321c1a937c46a0d8bd1dac39f93b27d4458"],
                &[
                    "canal",
                    "*e3619321c1a937c46a0d8bd1dac39f93b27d445",
                    "g3619321c1a937c46a0d8bd1dac39f93b27d4458",
                ],
            ),
            (Kind::Zone, &["UTC", "Asia/Shanghai"], &["Mars/Base"]),
            (
                Kind::Charset,
                &["UTF-8", "UTF8MB4", "gbk", "ISO-8859-1"],
                &["klingon"],
            ),
            (
                Kind::Names,
                &["a", "a,b", "a-1_b.c"],
                &[",", "a/b", "..", "a b"],
            ),
        ] {
            for text in right {
                assert_eq!(kind.check(text), Ok(()), "{text}");
            }
            for text in wrong {
                assert!(kind.check(text).is_err(), "{kind:?} {text}");
            }
        }
    }

    #[test]
    fn the_stored_password_of_canal_is_twenty_bytes() {
        let bytes = sha1("E3619321c1a937c46a0d8bd1dac39f93b27d4458").unwrap();
        assert_eq!((bytes[0], bytes[19]), (0xe3, 0x58));
    }
}
