//! How a command ends, for scripts: exit codes by name, and which error gives which.

use std::io;
use std::process::ExitCode;

use crate::config::{Problems, SourceUrlError};
use crate::driver::server::ServerFault;
use crate::files::LockFault;
use crate::net::DialFault;
use crate::output::OutputClosed;
use crate::tls::TlsFault;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked, or nobody reads its output any more.
    Ok,
    /// Something failed that none of the others names.
    Failure,
    /// The command line or the configuration is wrong; the same code as for a flag that does not exist.
    Usage,
    /// The source or the server cannot be reached, refuses us, or is not ready to be read.
    Source,
    /// Data cannot be read: a damaged file, an event that makes no sense, a position that is gone.
    Data,
    /// A port or a data folder is taken by another process.
    Busy,
}

/// What [`Exit`] means, for help texts.
pub const CODES: &str = "\
Exit codes:
  0  done, or nobody reads the output any more
  1  any other failure
  2  the command line or the configuration is wrong
  3  the source or the server cannot be reached, refuses, or is not ready to be read
  4  data cannot be read: a damaged file, an impossible event, a position that is gone
  5  a port or a data folder is taken by another process";

impl Exit {
    /// What the system is told.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Source => 3,
            Self::Data => 4,
            Self::Busy => 5,
        }
    }

    /// How a command ends that failed with `error`. Whoever knows better attaches an `Exit` as context.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        if let Some(exit) = error.downcast_ref::<Marked>() {
            return exit.0;
        }
        error
            .chain()
            .find_map(Self::of_cause)
            .unwrap_or(Self::Failure)
    }

    fn of_cause(cause: &(dyn core::error::Error + 'static)) -> Option<Self> {
        if cause.is::<OutputClosed>() {
            return Some(Self::Ok);
        }
        if cause.is::<Problems>() || cause.is::<SourceUrlError>() {
            return Some(Self::Usage);
        }
        if cause.is::<DialFault>() || cause.is::<TlsFault>() {
            return Some(Self::Source);
        }
        if let Some(fault) = cause.downcast_ref::<ServerFault>() {
            return Some(Self::of_server(fault));
        }
        if let Some(fault) = cause.downcast_ref::<LockFault>() {
            return Some(Self::of_lock(fault));
        }
        let error = cause.downcast_ref::<io::Error>()?;
        if error
            .get_ref()
            .is_some_and(|inner| inner.is::<OutputClosed>())
        {
            return Some(Self::Ok);
        }
        (error.kind() == io::ErrorKind::AddrInUse).then_some(Self::Busy)
    }

    const fn of_lock(fault: &LockFault) -> Self {
        match fault {
            LockFault::Held { .. } => Self::Busy,
            LockFault::Unusable(_) => Self::Usage,
        }
    }

    fn of_server(fault: &ServerFault) -> Self {
        match fault {
            ServerFault::Lock(fault) => Self::of_lock(fault),
            ServerFault::Identity(_) => Self::Usage,
            ServerFault::Record { .. } => Self::Data,
            ServerFault::Config { .. } => Self::Usage,
            ServerFault::Listen { cause, .. } if cause.kind() == io::ErrorKind::AddrInUse => {
                Self::Busy
            }
            ServerFault::Listen { .. } => Self::Usage,
            ServerFault::NoneStarted(_) => Self::Source,
            ServerFault::AllFailed | ServerFault::NotStored => Self::Failure,
        }
    }

    /// An error that ends the command this way, with the text of `error`.
    #[must_use]
    pub fn mark(self, error: anyhow::Error) -> anyhow::Error {
        let text = format!("{error:#}");
        anyhow::Error::new(Marked(self, text))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error whose exit code is decided.
#[derive(Debug, thiserror::Error)]
#[error("{1}")]
struct Marked(Exit, String);

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::files::FileFault;

    #[test]
    fn errors_have_codes_whatever_is_said_around_them() {
        let dial = DialFault::TimedOut {
            place: "h:1".into(),
            seconds: 5,
        };
        let held = LockFault::Held {
            folder: "/d".into(),
            holder: "1".into(),
        };
        let io = |kind| io::Error::from(kind);
        let unusable = FileFault::new("open", "/d".as_ref(), io(io::ErrorKind::PermissionDenied));
        for (error, want) in [
            (anyhow::Error::new(Problems(Vec::new())), Exit::Usage),
            (anyhow::Error::new(SourceUrlError::Host), Exit::Usage),
            (anyhow::Error::new(dial), Exit::Source),
            (anyhow::Error::new(held), Exit::Busy),
            (
                anyhow::Error::new(LockFault::Unusable(unusable)),
                Exit::Usage,
            ),
            (anyhow::Error::new(io(io::ErrorKind::AddrInUse)), Exit::Busy),
            (
                anyhow::Error::new(io(io::ErrorKind::BrokenPipe)),
                Exit::Failure,
            ),
            (anyhow::Error::new(io::Error::other(OutputClosed)), Exit::Ok),
            (anyhow::anyhow!("x"), Exit::Failure),
            (Exit::Data.mark(anyhow::anyhow!("x")), Exit::Data),
        ] {
            let error = error.context("while serving");
            assert_eq!(Exit::of(&error), want, "{error:?}");
        }
        let chained: anyhow::Result<()> = Err(io(io::ErrorKind::AddrInUse)).context("listening");
        assert_eq!(Exit::of(&chained.unwrap_err()), Exit::Busy);
    }

    #[test]
    fn each_code_is_documented() {
        for exit in [
            Exit::Ok,
            Exit::Failure,
            Exit::Usage,
            Exit::Source,
            Exit::Data,
            Exit::Busy,
        ] {
            assert!(
                CODES.contains(&format!("\n  {}  ", exit.code())),
                "{exit:?}"
            );
        }
    }
}
