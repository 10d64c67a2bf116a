//! `canald check`: is every source ready to be read, and may we?
//!
//! Findings go to standard output, a line each, with what to do about it on the next. Sources are looked
//! at [`LOOKS_MAX`] at a time and reported in the order of their names. The command ends well only if
//! every source can be served; otherwise its exit code says that a source cannot be used.

use std::io::{self, IsTerminal as _, Write};

use anyhow::Context as _;
use canald_core::mysql::handshake::Transport;
use canald_core::source::preflight::{Finding, Level};
use thiserror::Error;

use crate::config::{DestinationConfig, ServerConfig};
use crate::driver::probe::{self, Look};
use crate::env::{OsWorld, World};
use crate::exit::Exit;
use crate::output::Output;

/// Sources that are looked at in the same moment.
pub const LOOKS_MAX: usize = 16;

/// Set and not empty, it keeps colours away (no-color.org).
const NO_COLOR: &str = "NO_COLOR";

/// Sources that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "not ready: {}{}", .0.join(", "),
    if .0.len() < *.1 { format!(" ({} of {} destinations)", .0.len(), .1) } else { String::new() }
)]
pub struct NotReady(Vec<String>, usize);

/// Says what would be served, then looks at each source.
///
/// # Errors
/// A source is not ready; what is wrong has been printed.
pub fn run(config: ServerConfig) -> anyhow::Result<()> {
    let mut out = Output::stdout();
    for note in &config.notes {
        writeln!(out, "note: {note}")?;
    }
    let has_color = io::stdout().is_terminal()
        && std::env::var_os(NO_COLOR).is_none_or(|value| value.is_empty());
    let style = if has_color {
        Style::Color
    } else {
        Style::Plain
    };
    let world = OsWorld::new(1).context("no thread to work with")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime to work with")?;
    runtime.block_on(check(&world, &config.destinations, style, &mut out))
}

async fn check<W: World>(
    world: &W,
    destinations: &[DestinationConfig],
    style: Style,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut not_ready = Vec::new();
    for some in destinations.chunks(LOOKS_MAX) {
        let looks: Vec<_> = some.iter().map(|one| begin(world, one.clone())).collect();
        for (destination, look) in some.iter().zip(looks) {
            let look = look.await.context("a look at a source broke off")?;
            report(out, style, destination, &look)?;
            out.flush()?;
            if count(&look.findings, Level::Problem) > 0 {
                not_ready.push(destination.instance.destination.to_string());
            }
        }
    }
    if not_ready.is_empty() {
        return Ok(());
    }
    let error = NotReady(not_ready, destinations.len());
    Err(Exit::Source.mark(error.into()))
}

fn begin<W: World>(world: &W, destination: DestinationConfig) -> tokio::task::JoinHandle<Look> {
    let world = world.clone();
    tokio::spawn(async move { probe::look(&world, &destination).await })
}

/// How levels are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Color,
}

impl Style {
    fn level(self, level: Level) -> String {
        let text = format!("{:<7}", level.to_string());
        match (self, level) {
            (Self::Plain, _) => text,
            (Self::Color, Level::Ok) => format!("\x1b[32m{text}\x1b[0m"),
            (Self::Color, Level::Advice) => format!("\x1b[33m{text}\x1b[0m"),
            (Self::Color, Level::Problem) => format!("\x1b[1;31m{text}\x1b[0m"),
        }
    }
}

fn count(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|f| f.level == level).count()
}

fn report(
    out: &mut impl Write,
    style: Style,
    destination: &DestinationConfig,
    look: &Look,
) -> io::Result<()> {
    let name = &destination.instance.destination;
    let source = &destination.instance.source;
    write!(
        out,
        "{name}: {}:{} as {}",
        source.host, source.port, source.username
    )?;
    if let Some(entry) = &look.entry {
        let transport = match entry.transport {
            Transport::Plain => "without TLS",
            Transport::Tls => "over TLS",
        };
        write!(out, ", {transport}, by {}", entry.plugin)?;
    }
    writeln!(out)?;
    let width = look.findings.iter().map(|f| f.what.len()).max();
    let width = width.unwrap_or_default();
    for finding in &look.findings {
        let Finding {
            level,
            what,
            found,
            do_this,
        } = finding;
        writeln!(out, "  {}  {what:<width$}  {found}", style.level(*level))?;
        if !do_this.is_empty() {
            writeln!(out, "  {:7}  {:width$}  -> {do_this}", "", "")?;
        }
    }
    let problems = count(&look.findings, Level::Problem);
    let advice = count(&look.findings, Level::Advice);
    let verdict = match problems {
        0 => "ready".to_owned(),
        1 => "not ready, 1 problem".to_owned(),
        many => format!("not ready, {many} problems"),
    };
    match advice {
        0 => writeln!(out, "{name}: {verdict}"),
        1 => writeln!(out, "{name}: {verdict}, 1 piece of advice"),
        many => writeln!(out, "{name}: {verdict}, {many} pieces of advice"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use canald_core::mysql::fault::LinkFault;
    use canald_core::mysql::handshake::{ConnectionId, ServerVersion};
    use canald_core::mysql::replica::Ready;
    use canald_core::source::preflight;

    use super::*;
    use crate::config::{self, Environment, Overrides, SourceUrl};

    fn destinations(url: &str) -> Vec<DestinationConfig> {
        let url: SourceUrl = url.parse().unwrap();
        let (overrides, environment) = (Overrides::default(), Environment::default());
        let config = config::from_source(&url, Path::new("/d"), &overrides, &environment).unwrap();
        config.destinations
    }

    fn finding(level: Level, what: &'static str, found: &str, do_this: &str) -> Finding {
        Finding {
            level,
            what,
            found: found.into(),
            do_this: do_this.into(),
        }
    }

    fn shown(style: Style, entry: Option<Ready>, findings: Vec<Finding>) -> String {
        let mut out = Vec::new();
        let destination = &destinations("mysql://canal:hush@db:3306")[0];
        report(&mut out, style, destination, &Look { entry, findings }).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn findings_are_aligned_and_the_verdict_counts_them() {
        let entry = Ready {
            version: ServerVersion::parse("9.7.0"),
            connection: ConnectionId(7),
            transport: Transport::Tls,
            plugin: "caching_sha2_password",
        };
        let findings = vec![
            finding(Level::Ok, "version", "9.7.0", ""),
            finding(Level::Advice, "binlog_checksum", "NONE", "SET GLOBAL x;"),
            finding(Level::Problem, "log_bin", "OFF", "put log_bin=binlog"),
        ];
        assert_eq!(
            shown(Style::Plain, Some(entry), findings),
            "\
example: db:3306 as canal, over TLS, by caching_sha2_password
  ok       version          9.7.0
  advice   binlog_checksum  NONE
                            -> SET GLOBAL x;
  problem  log_bin          OFF
                            -> put log_bin=binlog
example: not ready, 1 problem, 1 piece of advice
"
        );
    }

    #[test]
    fn colour_is_only_around_the_level() {
        let text = shown(
            Style::Color,
            None,
            vec![finding(Level::Ok, "version", "8", "")],
        );
        assert!(
            text.contains("  \x1b[32mok     \x1b[0m  version  8\n"),
            "{text:?}"
        );
        assert!(text.ends_with("example: ready\n"), "{text:?}");
    }

    #[tokio::test]
    async fn a_source_that_is_not_reached_is_a_finding_and_the_exit_code_says_so() {
        let world = OsWorld::new(1).unwrap();
        // Nobody listens on port 1 of a machine that runs tests.
        let destinations = destinations("mysql://canal:hush@127.0.0.1:1");
        let mut out = Vec::new();
        let error = check(&world, &destinations, Style::Plain, &mut out)
            .await
            .unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Source);
        assert_eq!(error.to_string(), "not ready: example");
        let text = String::from_utf8(out).unwrap();
        let why = LinkFault::Unreachable {
            why: "127.0.0.1:1 cannot be reached: Connection refused (os error 111)".into(),
        };
        let source = &destinations[0].instance.source;
        let expected = preflight::disconnected(&why, None, source);
        assert!(text.contains(&expected.found), "{text}");
        assert!(text.contains(&expected.do_this), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn the_error_counts_only_where_some_are_ready() {
        let all = NotReady(vec!["a".into(), "b".into()], 2);
        assert_eq!(all.to_string(), "not ready: a, b");
        let some = NotReady(vec!["a".into()], 3);
        assert_eq!(some.to_string(), "not ready: a (1 of 3 destinations)");
    }
}
