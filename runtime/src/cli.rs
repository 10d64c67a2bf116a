//! The command line.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use canald_core::config::SslMode;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::filter::LevelFilter;

use crate::config::{self, Environment, Overrides, ServerConfig, SourceUrl};
use crate::exit::{CODES, Exit};

/// Where the data of a source named on the command line go, unless `--data` says otherwise.
pub const DATA_FOLDER: &str = "canald-data";

/// Where canal's configuration is looked for: beside us, and as seen from a `bin` folder.
const CONF_FOLDERS: [&str; 2] = ["conf", "../conf"];

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const MAIN_EXAMPLES: &str = "\
Examples:
  canald check --source mysql://canal:canal@127.0.0.1:3306
      Is this server ready to be read, and may we?
  canald serve --source mysql://canal:canal@127.0.0.1:3306
      Serve its changes to canal clients on port 11111.
  canald serve --conf /opt/canal/conf
      Take the place of a canal server, with its own files.
  canald tail
      Print the changes of the local server as they come.
  canald decode mysql-bin.000003
      Print the changes in a binlog file, without any server.";

const SERVE_EXAMPLES: &str = "\
Examples:
  canald serve
      Serve the destinations in ./conf, or in ../conf.
  canald serve --conf /opt/canal/conf --destination orders
      Serve one destination of many.
  CANALD_SOURCE_PASSWORD=… canald serve --source mysql://canal@db:3306 --data /var/lib/canald
      Keep the password out of the list of processes.
  canald serve --source mysql://canal:canal@db --start '2026-01-31 08:00:00'
      Begin in the past, if nobody has begun yet.";

const TAIL_EXAMPLES: &str = "\
Examples:
  canald tail
      Follow destination `example` of the local server, from now on.
  canald tail db1:11111 --destination orders --filter 'shop\\..*' --format text
      Follow one schema elsewhere, for people to read.
  canald tail --client-id 1001 --no-ack --batch 10
      Look at what client 1001 would get next, and leave it there.";

const DECODE_EXAMPLES: &str = "\
Examples:
  canald decode mysql-bin.000003 mysql-bin.000004
      Print rows as JSON. Column names come from the file if the server wrote them
      (binlog_row_metadata=FULL).
  canald decode mysql-bin.000003 --schema shop.sql
      Take column names from a dump of the tables (mysqldump --no-data).
  canald decode mysql-bin.000003 --format none
      Only check that every event can be read.";

const CHECK_EXAMPLES: &str = "\
Examples:
  canald check --conf /opt/canal/conf
      Read the files, say all that is wrong with them, then look at each source.
  canald check --source mysql://canal:canal@127.0.0.1:3306
      Look at one source: settings, privileges, how far back its log reaches.";

/// A MySQL and MariaDB change-data-capture daemon that speaks canal's protocol.
#[derive(Clone, Debug, Parser)]
#[command(name = "canald", version, styles = STYLES, max_term_width = 100)]
#[command(after_help = format!("{MAIN_EXAMPLES}\n\n{CODES}"))]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How much to tell.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Read sources and serve their changes to canal clients
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Print the changes that a canal server gives out
    #[command(after_help = TAIL_EXAMPLES)]
    Tail(TailArgs),
    /// Print the changes in binlog files
    #[command(after_help = DECODE_EXAMPLES)]
    Decode(DecodeArgs),
    /// Say whether a configuration and its sources are ready to be served
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
}

/// How much to tell.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// What is logged on standard error; RUST_LOG overrules it
    #[arg(long, global = true, value_enum, default_value_t = LogLevel::Info, value_name = "LEVEL")]
    pub log_level: LogLevel,
    /// Log more: -v debug, -vv trace
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "log_level")]
    pub verbose: u8,
}

impl LogArgs {
    /// The level that both flags come to.
    #[must_use]
    pub const fn level(self) -> LevelFilter {
        match (self.verbose, self.log_level) {
            (0, LogLevel::Error) => LevelFilter::ERROR,
            (0, LogLevel::Warn) => LevelFilter::WARN,
            (0, LogLevel::Info) => LevelFilter::INFO,
            (1, _) | (0, LogLevel::Debug) => LevelFilter::DEBUG,
            (_, _) => LevelFilter::TRACE,
        }
    }
}

/// Levels of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Failures
    Error,
    /// And what may become one
    Warn,
    /// And what happens
    Info,
    /// And why
    Debug,
    /// And everything else
    Trace,
}

/// Which configuration.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What to read")]
pub struct SourceArgs {
    /// Folder with canal.properties and a folder per destination [default: ./conf, else ../conf]
    #[arg(long, value_name = "DIR", conflicts_with = "source")]
    pub conf: Option<PathBuf>,
    /// One server, without files: mysql://USER:PASSWORD@HOST:PORT/SCHEMA
    ///
    /// Special characters in user and password are percent-encoded (@ is %40). Without a password, that
    /// in the environment variable CANALD_SOURCE_PASSWORD is used.
    #[arg(long, value_name = "URL")]
    pub source: Option<String>,
    /// Only this destination; with --source its name [default: all; with --source: example]
    #[arg(long, value_name = "NAME")]
    pub destination: Option<String>,
    /// How the link to the source is secured: canal.instance.master.sslMode
    #[arg(long, value_enum, value_name = "MODE")]
    pub ssl_mode: Option<SslModeArg>,
}

/// Canal's sslMode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SslModeArg {
    /// No TLS
    Disabled,
    /// TLS if the server offers it, unverified
    Preferred,
    /// TLS, unverified
    Required,
    /// TLS, with a certificate of a known authority
    VerifyCa,
    /// TLS, with a certificate of a known authority for this host
    VerifyIdentity,
}

impl From<SslModeArg> for SslMode {
    fn from(arg: SslModeArg) -> Self {
        match arg {
            SslModeArg::Disabled => Self::Disabled,
            SslModeArg::Preferred => Self::Preferred,
            SslModeArg::Required => Self::Required,
            SslModeArg::VerifyCa => Self::VerifyCa,
            SslModeArg::VerifyIdentity => Self::VerifyIdentity,
        }
    }
}

/// `canald serve`
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Which configuration.
    #[command(flatten)]
    pub source: SourceArgs,
    /// How to serve it.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Where to serve and from where on.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "How to serve it")]
pub struct PlaceArgs {
    /// Where canal clients connect: an IP address and port, a port, or localhost:PORT; port 0 is any
    /// [default: canal.ip and canal.port, else all addresses, 11111]
    #[arg(long, value_name = "HOST:PORT", value_parser = listen_address)]
    pub listen: Option<SocketAddr>,
    /// Folder for cursors [default: canal.file.data.dir; with --source: ./canald-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where a destination begins that has no cursor yet
    ///
    /// One of: earliest, latest, FILE:OFFSET (mysql-bin.000003:4), a GTID set, or a time
    /// (2026-01-31T08:00:00+08:00, '2026-01-31 08:00:00' in canald.timezone, milliseconds since 1970).
    /// It never moves a cursor.
    #[arg(long, value_name = "PLACE")]
    pub start: Option<String>,
}

/// `canald tail`
#[derive(Clone, Debug, Args)]
pub struct TailArgs {
    /// The server
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:11111")]
    pub server: String,
    /// Which stream
    #[arg(long, value_name = "NAME", default_value = "example")]
    pub destination: String,
    /// Take the place of this client, cursor and all [default: a temporary reader, from now on]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(0..))]
    pub client_id: Option<i16>,
    /// Only tables whose schema.table matches one of these regular expressions, separated by commas
    #[arg(long, value_name = "REGEX", default_value = "")]
    pub filter: String,
    /// How much to ask for at a time: KiB, or entries where canal.instance.memory.batch.mode=ITEMSIZE
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: u32,
    /// Acknowledge nothing and take all back in the end: whoever comes next gets the same again
    #[arg(long, requires = "client_id")]
    pub no_ack: bool,
    /// How changes are printed
    #[arg(long, value_enum, default_value_t = TailFormat::Flat)]
    pub format: TailFormat,
    /// Who we are to the server: canal.user
    #[arg(long, value_name = "NAME", default_value = "")]
    pub user: String,
    /// With this password
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        env = "CANALD_PASSWORD",
        hide_env_values = true
    )]
    pub password: String,
}

/// How `tail` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TailFormat {
    /// Canal's flat messages: one JSON object per statement or row event
    Flat,
    /// Lines for people
    Text,
}

/// `canald decode`
#[derive(Clone, Debug, Args)]
pub struct DecodeArgs {
    /// Binlog files, in order
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// How changes are printed
    #[arg(long, value_enum, default_value_t = DecodeFormat::Flat)]
    pub format: DecodeFormat,
    /// CREATE TABLE statements as they were when the files begin
    #[arg(long, value_name = "FILE.sql")]
    pub schema: Option<PathBuf>,
    /// Only tables whose schema.table matches one of these regular expressions, separated by commas
    #[arg(long, value_name = "REGEX", default_value = "")]
    pub filter: String,
}

/// How `decode` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DecodeFormat {
    /// Canal's flat messages: one JSON object per statement or row event
    Flat,
    /// Lines for people
    Text,
    /// Nothing but the count
    None,
}

/// `canald check`
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Which configuration.
    #[command(flatten)]
    pub source: SourceArgs,
}

impl ServeArgs {
    /// The configuration that these flags name.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load(&self, environment: &Environment) -> anyhow::Result<ServerConfig> {
        self.source.load(&self.place, environment)
    }
}

impl CheckArgs {
    /// As [`ServeArgs::load`].
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load(&self, environment: &Environment) -> anyhow::Result<ServerConfig> {
        self.source.load(&PlaceArgs::default(), environment)
    }
}

impl SourceArgs {
    fn load(&self, place: &PlaceArgs, environment: &Environment) -> anyhow::Result<ServerConfig> {
        let overrides = Overrides {
            destination: self.destination.clone(),
            listen: place.listen,
            data: place.data.clone(),
            start: place.start.clone(),
            ssl: self.ssl_mode.map(Into::into),
        };
        if let Some(url) = &self.source {
            let url: SourceUrl = url.parse().context("--source is not a source")?;
            let data = Path::new(DATA_FOLDER);
            return Ok(config::from_source(&url, data, &overrides, environment)?);
        }
        Ok(config::load(&self.conf_folder()?, &overrides, environment)?)
    }

    fn conf_folder(&self) -> anyhow::Result<PathBuf> {
        if let Some(conf) = &self.conf {
            // Canal's own flag names the file; a folder is what is meant.
            let file = conf
                .file_name()
                .is_some_and(|name| name == config::SERVER_FILE);
            let folder = if file { conf.parent() } else { None };
            return Ok(folder.unwrap_or(conf).to_owned());
        }
        let found = CONF_FOLDERS
            .map(Path::new)
            .into_iter()
            .find(|c| c.join(config::SERVER_FILE).exists());
        let Some(found) = found else {
            let text = "nothing to read: there is no conf/canal.properties here; name a folder with \
                        --conf, or a server with --source mysql://USER:PASSWORD@HOST:PORT";
            return Err(Exit::Usage.mark(anyhow::anyhow!(text)));
        };
        Ok(found.to_owned())
    }
}

/// An address to listen on: `HOST:PORT`, or a port alone.
fn listen_address(text: &str) -> anyhow::Result<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(port) = text.trim_start_matches(':').parse() {
        return Ok(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
    }
    match text.split_once(':') {
        Some(("localhost", port)) => {
            let port = port
                .parse()
                .context("the port is a number from 0 to 65535")?;
            Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
        }
        _ => bail!(
            "an IP address of this machine and a port, such as 0.0.0.0:11111, [::1]:11111 or 11111"
        ),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_example_in_the_help_is_valid() {
        for text in [
            MAIN_EXAMPLES,
            SERVE_EXAMPLES,
            TAIL_EXAMPLES,
            DECODE_EXAMPLES,
            CHECK_EXAMPLES,
        ] {
            for line in text
                .lines()
                .filter_map(|line| line.find("canald ").map(|at| &line[at..]))
            {
                if !line.starts_with("canald serve") && line.contains("server") {
                    continue;
                }
                let line = line.replace("'2026-01-31 08:00:00'", "1769846400000");
                assert!(parse(&line).is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn addresses_to_listen_on() {
        for (text, want) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:5", "[::1]:5"),
            ("11111", "[::]:11111"),
            (":11111", "[::]:11111"),
            ("localhost:7", "127.0.0.1:7"),
        ] {
            assert_eq!(
                listen_address(text).unwrap(),
                want.parse().unwrap(),
                "{text}"
            );
        }
        for text in ["", "host", "host:1", "localhost:x", "1.2.3.4", "99999"] {
            assert!(listen_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_log_level_follows_either_flag() {
        for (line, want) in [
            ("canald tail", LevelFilter::INFO),
            ("canald tail -v", LevelFilter::DEBUG),
            ("canald -vv tail", LevelFilter::TRACE),
            ("canald tail --log-level warn", LevelFilter::WARN),
        ] {
            assert_eq!(parse(line).unwrap().log.level(), want, "{line}");
        }
        assert!(parse("canald tail -v --log-level warn").is_err());
    }

    #[test]
    fn flags_reach_the_configuration_and_a_password_is_not_repeated() {
        let environment = Environment::default();
        let load = |line: &str| match parse(line).unwrap().command {
            Command::Serve(args) => args.load(&environment),
            Command::Check(args) => args.load(&environment),
            Command::Tail(_) | Command::Decode(_) => panic!("{line}"),
        };
        let config = load(
            "canald serve --source mysql://u:p@db:1 --destination d --listen 127.0.0.1:0 \
             --data /x --start bin.1:4 --ssl-mode VERIFY_CA",
        )
        .unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:0");
        assert_eq!(config.destinations[0].folder, Path::new("/x/d"));
        assert_eq!(config.destinations[0].tls.mode, SslMode::VerifyCa);

        let error = load("canald serve --source mysql://u:hush@").unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Usage);
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        let error = load("canald check --conf /no/such/folder").unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Usage);
        assert!(parse("canald serve --source mysql://u@h --conf x").is_err());
    }
}
