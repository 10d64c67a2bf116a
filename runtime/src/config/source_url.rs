//! `mysql://user:password@host:port/database`: a source on the command line.
//!
//! No error repeats the text, because it may hold a password.

use core::fmt;

use thiserror::Error;

/// The port of a source that names none.
const DEFAULT_PORT: u16 = 3306;

/// A source, as the command line names it.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// With what; none if the URL has no colon after the user.
    pub password: Option<String>,
    /// The first schema; empty for none.
    pub database: String,
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "mysql://{}:…@{}:{}/{}",
            self.user, self.host, self.port, self.database
        )
    }
}

/// Why a text is not a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SourceUrlError {
    /// Another scheme, or none.
    #[error("it begins with mysql:// or mariadb://")]
    Scheme,
    /// Nobody is named.
    #[error("a user is missing: mysql://USER:PASSWORD@HOST:PORT")]
    User,
    /// Nothing is named.
    #[error("a host is missing: mysql://USER:PASSWORD@HOST:PORT")]
    Host,
    /// Not a port.
    #[error("the port is a number from 1 to 65535")]
    Port,
    /// A per cent sign that is followed by nothing that it encodes.
    #[error("after % two hexadecimal digits of UTF-8 follow; a plain % is written %25")]
    Percent,
    /// Settings after a question mark.
    #[error("nothing follows the database: use flags such as --ssl-mode")]
    Query,
    /// A slash too many.
    #[error("only one / follows the host; in a user or password it is written %2F")]
    Slash,
}

impl core::str::FromStr for SourceUrl {
    type Err = SourceUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text
            .strip_prefix("mysql://")
            .or_else(|| text.strip_prefix("mariadb://"))
            .ok_or(SourceUrlError::Scheme)?;
        if rest.contains(['?', '#']) {
            return Err(SourceUrlError::Query);
        }
        // A password is more likely to hold an `@` than a host is.
        let (login, place) = rest.rsplit_once('@').ok_or(SourceUrlError::User)?;
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        if database.contains('/') || login.contains('/') {
            return Err(SourceUrlError::Slash);
        }
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(decode(password)?)),
            None => (login, None),
        };
        if user.is_empty() {
            return Err(SourceUrlError::User);
        }
        let (host, port) = host_port(authority)?;
        let (user, database) = (decode(user)?, decode(database)?);
        Ok(Self {
            host,
            port,
            user,
            password,
            database,
        })
    }
}

fn host_port(authority: &str) -> Result<(String, u16), SourceUrlError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(SourceUrlError::Host)?,
        None => match authority.find(':') {
            Some(colon) => authority.split_at(colon),
            None => (authority, ""),
        },
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(SourceUrlError::Host);
    }
    let port = match port.strip_prefix(':') {
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|p| *p != 0)
            .ok_or(SourceUrlError::Port)?,
        None if port.is_empty() => DEFAULT_PORT,
        None => return Err(SourceUrlError::Port),
    };
    Ok((host.into(), port))
}

fn decode(text: &str) -> Result<String, SourceUrlError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            out.push(*first);
            rest = after;
            continue;
        }
        let (pair, after) = after.split_at_checked(2).ok_or(SourceUrlError::Percent)?;
        let digit = |b: u8| char::from(b).to_digit(16).ok_or(SourceUrlError::Percent);
        let byte = digit(pair[0])? << 4 | digit(pair[1])?;
        out.push(u8::try_from(byte).map_err(|_| SourceUrlError::Percent)?);
        rest = after;
    }
    String::from_utf8(out).map_err(|_| SourceUrlError::Percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<SourceUrl, SourceUrlError> {
        text.parse()
    }

    #[test]
    fn the_parts() {
        for (text, host, port, user, password, database) in [
            (
                "mysql://canal:secret@db:3307/shop",
                "db",
                3307,
                "canal",
                Some("secret"),
                "shop",
            ),
            (
                "mariadb://canal@10.0.0.1",
                "10.0.0.1",
                3306,
                "canal",
                None,
                "",
            ),
            ("mysql://canal:@db/", "db", 3306, "canal", Some(""), ""),
            (
                "mysql://u%40x:p%3A%2F%25%E4%B8%AD@h",
                "h",
                3306,
                "u@x",
                Some("p:/%中"),
                "",
            ),
            ("mysql://u:p@ss:w@h:1", "h", 1, "u", Some("p@ss:w"), ""),
            ("mysql://u:p@[::1]:3306/d", "::1", 3306, "u", Some("p"), "d"),
            ("mysql://u:p@[::1]", "::1", 3306, "u", Some("p"), ""),
        ] {
            let want = SourceUrl {
                host: host.into(),
                port,
                user: user.into(),
                password: password.map(Into::into),
                database: database.into(),
            };
            assert_eq!(url(text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        for (text, want) in [
            ("postgres://u@h", SourceUrlError::Scheme),
            ("h:3306", SourceUrlError::Scheme),
            ("mysql://h:3306", SourceUrlError::User),
            ("mysql://:p@h", SourceUrlError::User),
            ("mysql://u:p@", SourceUrlError::Host),
            ("mysql://u:p@:3306", SourceUrlError::Host),
            ("mysql://u:p@[::1", SourceUrlError::Host),
            ("mysql://u:p@h:0", SourceUrlError::Port),
            ("mysql://u:p@h:x", SourceUrlError::Port),
            ("mysql://u:p@h:65536", SourceUrlError::Port),
            ("mysql://u:p@::1", SourceUrlError::Host),
            ("mysql://u:p@[::1]3306", SourceUrlError::Port),
            ("mysql://u:p%@h", SourceUrlError::Percent),
            ("mysql://u:%zz@h", SourceUrlError::Percent),
            ("mysql://u:%ff@h", SourceUrlError::Percent),
            ("mysql://u:p@h/d?ssl=1", SourceUrlError::Query),
            ("mysql://u:p@h/d/e", SourceUrlError::Slash),
            ("mysql://u:a/b@h/d", SourceUrlError::Slash),
        ] {
            assert_eq!(url(text).unwrap_err(), want, "{text}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        assert!(!format!("{:?}", url("mysql://u:hush@h").unwrap()).contains("hush"));
    }
}
