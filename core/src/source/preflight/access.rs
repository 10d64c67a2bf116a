//! Findings on a source that could not be asked: it was not reached, or it let nobody in.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};

use super::{Finding, problem};
use crate::config::SourceConfig;
use crate::mysql::fault::LinkFault;
use crate::mysql::handshake::{Flavor, ServerVersion};
use crate::mysql::query::ServerError;
use crate::source::facts::{SourceFault, grant};

/// The subject of what is found before anything could be asked.
const CONNECTION: &str = "connection";

/// Server errors at login (MySQL and MariaDB manuals, "Server Error Message Reference").
mod code {
    pub(super) const UNKNOWN_DATABASE: u16 = 1049;
    pub(super) const HOST_NOT_PRIVILEGED: u16 = 1130;
    pub(super) const MUST_CHANGE_PASSWORD_LOGIN: u16 = 1862;
    pub(super) const ACCESS_DENIED_NO_PASSWORD: u16 = 1698;
    pub(super) const ACCOUNT_LOCKED: u16 = 3118;
    pub(super) const SECURE_TRANSPORT_REQUIRED: u16 = 3159;
    pub(super) const MARIADB_ACCOUNT_LOCKED: u16 = 4151;
}

/// The finding on a link that ended before all was asked. `greeted` is what the server said it is, if it
/// got that far.
#[must_use]
pub fn disconnected(
    fault: &LinkFault,
    greeted: Option<&ServerVersion>,
    source: &SourceConfig,
) -> Finding {
    match fault {
        LinkFault::AuthRefused { user, error } => problem(
            CONNECTION,
            error.to_string(),
            refused_login(error, greeted, user, &source.database),
        ),
        LinkFault::Unreachable { .. } => problem(
            CONNECTION,
            fault.to_string(),
            "check canal.instance.master.address, that the server runs, its bind_address and \
             skip_networking, and what lies between",
        ),
        // Their texts end with the cure.
        LinkFault::TlsUnavailable
        | LinkFault::TlsRefused { .. }
        | LinkFault::Auth(_)
        | LinkFault::OffsetTooLarge { .. }
        | LinkFault::DumpRefused(_)
        | LinkFault::ClearBytesBeforeTls => problem(CONNECTION, fault.to_string(), ""),
        LinkFault::Disconnected { .. }
        | LinkFault::ServerRefused(_)
        | LinkFault::End
        | LinkFault::Silent(_)
        | LinkFault::TimedOut { .. } => problem(
            CONNECTION,
            fault.to_string(),
            "check the server's error log and its load, then try again",
        ),
        LinkFault::Framing(_) | LinkFault::Malformed(_) | LinkFault::Unexpected { .. } => problem(
            CONNECTION,
            fault.to_string(),
            "check canal.instance.master.address: a MySQL or MariaDB server answers otherwise",
        ),
    }
}

/// The finding on a source that refused what nothing can be known without.
#[must_use]
pub fn refused(fault: &SourceFault) -> Finding {
    match fault {
        SourceFault::Denied {
            error,
            version,
            user,
        } => problem("privileges", error.to_string(), grant(version, user)),
        SourceFault::Refused { .. } => problem(CONNECTION, fault.to_string(), ""),
        SourceFault::NoServerId => problem(
            CONNECTION,
            fault.to_string(),
            "connect to the server directly",
        ),
    }
}

fn refused_login(
    error: &ServerError,
    greeted: Option<&ServerVersion>,
    user: &str,
    database: &str,
) -> String {
    match error.code {
        code::UNKNOWN_DATABASE => format!(
            "set canal.instance.defaultDatabaseName to a schema that exists, or to nothing, or: \
             CREATE DATABASE `{database}`;"
        ),
        ServerError::DATABASE_ACCESS_DENIED => {
            format!("GRANT SELECT ON `{database}`.* TO '{user}'@'%';")
        }
        ServerError::ACCESS_DENIED
        | code::ACCESS_DENIED_NO_PASSWORD
        | code::HOST_NOT_PRIVILEGED => {
            format!(
                "correct canal.instance.dbUsername and dbPassword, or on the server: {}",
                account(greeted, user)
            )
        }
        code::MUST_CHANGE_PASSWORD_LOGIN => {
            format!("ALTER USER '{user}'@'%' IDENTIFIED BY 'PASSWORD' PASSWORD EXPIRE NEVER;")
        }
        code::ACCOUNT_LOCKED | code::MARIADB_ACCOUNT_LOCKED => {
            format!("ALTER USER '{user}'@'%' ACCOUNT UNLOCK;")
        }
        code::SECURE_TRANSPORT_REQUIRED => "set canal.instance.master.sslMode=REQUIRED".to_owned(),
        _ => "check canal.instance.dbUsername and dbPassword, and the account on the server"
            .to_owned(),
    }
}

/// The statements after which `user` can log in from anywhere, with what canald needs, whether or not
/// there is such an account now.
fn account(greeted: Option<&ServerVersion>, user: &str) -> String {
    let is_old = greeted.is_some_and(|version| {
        !version.is_at_least(Flavor::Mysql, (5, 7, 6))
            && !version.is_at_least(Flavor::Mariadb, (10, 1, 3))
    });
    // A server that did not get as far as a greeting speaks as the newest do.
    let unknown = ServerVersion::parse("");
    let grant = grant(greeted.unwrap_or(&unknown), user);
    if is_old {
        // There, a grant makes the account or changes its password, and nothing else does both.
        let grant = grant.trim_end_matches(';');
        return format!("{grant} IDENTIFIED BY 'PASSWORD';");
    }
    format!(
        "CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY 'PASSWORD'; \
         ALTER USER '{user}'@'%' IDENTIFIED BY 'PASSWORD'; {grant}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Start;
    use crate::mysql::auth::AuthFault;
    use crate::mysql::query::tests::refusal;
    use crate::source::preflight::Level;
    use crate::source::start::tests::config;

    fn judged(fault: &LinkFault, greeted: Option<&str>) -> Finding {
        let version = greeted.map(ServerVersion::parse);
        let mut source = config(Start::Latest).source;
        source.database = "shop".into();
        disconnected(fault, version.as_ref(), &source)
    }

    fn login(code: u16) -> LinkFault {
        LinkFault::AuthRefused {
            user: "canal".into(),
            error: refusal(code, "words"),
        }
    }

    #[test]
    fn a_refused_login_is_cured_by_a_statement_that_the_server_knows() {
        const NEW: &str = "CREATE USER IF NOT EXISTS 'canal'@'%' IDENTIFIED BY 'PASSWORD'; \
                           ALTER USER 'canal'@'%' IDENTIFIED BY 'PASSWORD'; GRANT REPLICATION SLAVE, ";
        for (greeted, cure) in [
            (Some("9.7.4"), NEW),
            (Some("10.11.19-MariaDB"), NEW),
            (None, NEW),
            (
                Some("5.6.24"),
                "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO 'canal'@'%' \
                 IDENTIFIED BY 'PASSWORD';",
            ),
        ] {
            let finding = judged(&login(1045), greeted);
            assert_eq!(finding.level, Level::Problem);
            assert!(finding.found.contains("1045"), "{}", finding.found);
            assert!(finding.do_this.contains(cure), "{}", finding.do_this);
            assert!(!finding.do_this.contains('\n'));
        }
        assert!(
            judged(&login(1045), Some("10.11.19-MariaDB"))
                .do_this
                .contains("BINLOG MONITOR")
        );
    }

    #[test]
    fn other_refusals_at_login_have_cures_of_their_own() {
        for (code, cure) in [
            (1044, "GRANT SELECT ON `shop`.* TO 'canal'@'%';"),
            (1049, "canal.instance.defaultDatabaseName"),
            (1130, "CREATE USER"),
            (1862, "PASSWORD EXPIRE NEVER"),
            (3118, "ACCOUNT UNLOCK"),
            (4151, "ACCOUNT UNLOCK"),
            (3159, "sslMode=REQUIRED"),
            (9999, "dbPassword"),
        ] {
            let finding = judged(&login(code), Some("8.0.46"));
            assert!(
                finding.do_this.contains(cure),
                "{code}: {}",
                finding.do_this
            );
        }
    }

    #[test]
    fn whatever_ends_a_link_is_a_problem_with_something_to_do() {
        for fault in [
            LinkFault::Unreachable {
                why: "h:1 cannot be reached".into(),
            },
            LinkFault::TlsUnavailable,
            LinkFault::Auth(AuthFault::NeedsTls {
                name: "mysql_clear_password",
            }),
            LinkFault::ServerRefused(refusal(1040, "Too many connections")),
            LinkFault::End,
            LinkFault::Unexpected {
                due: "a greeting",
                first: 0x47,
            },
        ] {
            let finding = judged(&fault, None);
            assert_eq!(finding.level, Level::Problem, "{fault}");
            let said = format!("{}{}", finding.found, finding.do_this);
            assert!(
                said.contains("canal.instance") || said.contains("check"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_refused_question_names_the_privilege() {
        let denied = SourceFault::Denied {
            error: refusal(1227, "Access denied"),
            version: ServerVersion::parse("10.11.19-MariaDB"),
            user: "poor".into(),
        };
        let finding = refused(&denied);
        assert_eq!(
            (finding.what, finding.level),
            ("privileges", Level::Problem)
        );
        assert_eq!(
            finding.do_this,
            "GRANT REPLICATION SLAVE, BINLOG MONITOR, SELECT ON *.* TO 'poor'@'%';"
        );
        assert_eq!(refused(&SourceFault::NoServerId).level, Level::Problem);
    }
}
