//! Configuration: canal's own files, or a source named on the command line, read into validated types.
//!
//! `canal.properties` and `<destination>/instance.properties` are the format; there is no second one.
//! [`load`] reads them, checks every key against the catalogue in [`keys`], and returns either a
//! [`ServerConfig`] or *all* the [`Problems`] there are. A source named on the command line goes the same
//! way, as a layer of flags over no files ([`from_source`]).
//!
//! Files are read once, at start; nothing here writes, and nothing here decides what a value means to
//! the core.

mod identity;
mod instance;
pub mod keys;
mod layers;
pub mod placeholder;
mod problem;
pub mod properties;
mod source_url;
pub mod start;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};

use canald_core::config::{Credentials, InstanceConfig, SslMode};
use canald_core::time::Duration;

use self::keys::{Acts, Key, Kind, Meaning, Scope, Status, named};
pub use self::layers::Environment;
use self::layers::{Layers, PropertyFile};
pub use self::problem::{Note, Origin, Problem, Problems};
pub use self::source_url::{SourceUrl, SourceUrlError};
use crate::tls::TlsPlan;
use crate::zookeeper::ZooKeeperConfig;

/// Destinations of one server: more are a slip in `canal.destinations.expr`.
pub const DESTINATIONS_MAX: usize = 10_000;

/// The file of the server.
pub const SERVER_FILE: &str = "canal.properties";

/// The file of a destination, in a folder of its name.
const INSTANCE_FILE: &str = "instance.properties";

/// Folders beside the destinations' that canal ships, and that a scan passes over.
const NOT_DESTINATIONS: [&str; 2] = ["spring", "metrics"];

/// The variable that holds the password of a source named on the command line without one.
pub const PASSWORD_VARIABLE: &str = "CANALD_SOURCE_PASSWORD";

/// One destination: what its instance needs, and what its drivers need.
#[derive(Clone, Debug)]
pub struct DestinationConfig {
    /// What the core is told.
    pub instance: InstanceConfig,
    /// How its link to the source is secured.
    pub tls: TlsPlan,
    /// Its own folder under the data folder, in either mode.
    pub folder: PathBuf,
}

/// The admin port.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// `canal.admin.port`, on the address of the data port.
    pub port: u16,
    /// `canal.admin.user` and `canal.admin.passwd`.
    pub credentials: Credentials,
}

/// The cluster that the server is one of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// `canal.zkServers` and `canald.zookeeper.session.timeout.ms`.
    pub zookeeper: ZooKeeperConfig,
    /// `canal.register.ip`, or `canal.ip`: where clients reach this server. None if neither is set.
    pub host: Option<String>,
}

/// Everything that `canald serve` is told.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// `canal.ip` and `canal.port`; `[::]` stands for all addresses, of IPv4 too.
    pub listen: SocketAddr,
    /// Who may use the data port.
    pub credentials: Credentials,
    /// The admin port.
    pub admin: AdminConfig,
    /// `canal.metrics.pull.port`; none if it is switched off.
    pub metrics_port: Option<u16>,
    /// The cluster; none where `canal.zkServers` is blank.
    pub cluster: Option<ClusterConfig>,
    /// Threads that decode for all destinations: `canald.decode.threads`.
    pub decode_threads: usize,
    /// The data folder, absolute: one canald at a time (`canal.file.data.dir`).
    pub data: PathBuf,
    /// The destinations, by name; at least one.
    pub destinations: Vec<DestinationConfig>,
    /// What stops nothing and may surprise.
    pub notes: Vec<Note>,
}

/// What the command line says over the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--destination`: this one alone.
    pub destination: Option<String>,
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--data`
    pub data: Option<PathBuf>,
    /// `--start`, as it was written.
    pub start: Option<String>,
    /// `--ssl-mode`
    pub ssl: Option<SslMode>,
}

/// Reads the conf folder `conf`, which holds `canal.properties` and a folder per destination.
///
/// # Errors
/// Everything that is wrong.
pub fn load(
    conf: &Path,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<ServerConfig, Problems> {
    let mut problems = Vec::new();
    let server = read_file(&conf.join(SERVER_FILE), &mut problems);
    let files = Files {
        conf: absolute(conf),
        shown: conf.into(),
        server,
        problems,
    };
    assemble(files, flags(overrides), overrides, environment)
}

/// Serves the one source that the command line names, without files. Its data go to `data`, unless
/// the overrides name another folder.
///
/// # Errors
/// Everything that is wrong.
pub fn from_source(
    source: &SourceUrl,
    data: &Path,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<ServerConfig, Problems> {
    let mut flags = flags(overrides);
    let address = format!("[{}]:{}", source.host, source.port);
    let password = source.password.clone();
    let password = password.or_else(|| environment.0.get(PASSWORD_VARIABLE).cloned());
    flags.insert("canal.instance.master.address", address);
    flags.insert("canal.instance.dbUsername", source.user.clone());
    flags.insert("canal.instance.dbPassword", password.unwrap_or_default());
    flags.insert(
        "canal.instance.defaultDatabaseName",
        source.database.clone(),
    );
    flags.insert(
        "canal.destinations",
        overrides
            .destination
            .clone()
            .unwrap_or_else(|| "example".into()),
    );
    flags
        .entry("canal.file.data.dir")
        .or_insert_with(|| absolute(data).display().to_string());
    let conf = absolute(Path::new("conf"));
    let files = Files {
        shown: conf.clone(),
        conf,
        server: None,
        problems: Vec::new(),
    };
    assemble(files, flags, overrides, environment)
}

type Flags = BTreeMap<&'static str, String>;

/// The flags as values of keys.
fn flags(overrides: &Overrides) -> Flags {
    let mut flags = Flags::new();
    if let Some(listen) = overrides.listen {
        flags.insert("canal.ip", listen.ip().to_string());
        flags.insert("canal.port", listen.port().to_string());
    }
    if let Some(data) = &overrides.data {
        flags.insert("canal.file.data.dir", absolute(data).display().to_string());
    }
    if let Some(ssl) = overrides.ssl {
        let name = match ssl {
            SslMode::Disabled => "DISABLED",
            SslMode::Preferred => "PREFERRED",
            SslMode::Required => "REQUIRED",
            SslMode::VerifyCa => "VERIFY_CA",
            SslMode::VerifyIdentity => "VERIFY_IDENTITY",
        };
        flags.insert("canal.instance.master.sslMode", name.into());
    }
    flags
}

/// What has been read from disk so far.
struct Files {
    /// The conf folder, absolute.
    conf: PathBuf,
    /// The conf folder, as messages show it.
    shown: PathBuf,
    server: Option<PropertyFile>,
    problems: Vec<Problem>,
}

fn assemble(
    files: Files,
    flags: Flags,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<ServerConfig, Problems> {
    let Files {
        conf,
        shown,
        server,
        mut problems,
    } = files;
    let files = [server.as_ref(), None];
    let layers = Layers {
        flags: &flags,
        environment,
        destination: None,
        files,
    };
    let root = resolve(&conf, &layers.text(named("canal.conf.dir")));
    // Messages show the folder as the operator wrote it.
    let root = if root == conf { shown } else { root };
    let all = destinations(&layers, &root, &mut problems);
    let chosen = choose(&all, overrides, &mut problems);
    let read = |name: &String| {
        let path = root.join(name).join(INSTANCE_FILE);
        let exists = server.is_some() && path.exists();
        exists.then(|| read_file(&path, &mut problems)).flatten()
    };
    let instances: Vec<Option<PropertyFile>> = chosen.iter().map(read).collect();
    let each: Vec<Layers<'_>> = chosen
        .iter()
        .zip(&instances)
        .map(|(name, file)| {
            let files = [server.as_ref(), file.as_ref()];
            Layers {
                destination: Some(name),
                files,
                ..layers
            }
        })
        .collect();

    let mut notes = Vec::new();
    let referenced = each
        .iter()
        .chain([&layers])
        .flat_map(Layers::referenced)
        .collect();
    let mut check = Check {
        destinations: &all,
        referenced: &referenced,
        problems: &mut problems,
        notes: &mut notes,
    };
    check.environment(environment);
    check.server(&layers);
    each.iter().for_each(|layers| check.instance(layers));

    let data = resolve(&conf, &layers.text(named("canal.file.data.dir")));
    let mut config = self::server(&layers, data, &mut problems);
    for (layers, destination) in each.iter().zip(&chosen) {
        let (conf, root, data) = (&conf, &root, &config.data);
        let cluster = config.cluster.as_ref();
        let (layers, problems, notes) = (*layers, &mut problems, &mut notes);
        let reading = instance::Reading {
            layers,
            destination,
            overrides,
            conf,
            root,
            data,
            cluster,
            problems,
            notes,
        };
        config.destinations.push(reading.read());
    }
    finish(config, problems, notes)
}

/// A key of the server's file is read for each destination; what is wrong with it is told once.
fn finish(
    mut config: ServerConfig,
    mut problems: Vec<Problem>,
    mut notes: Vec<Note>,
) -> Result<ServerConfig, Problems> {
    problems.sort();
    problems.dedup();
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    notes.sort();
    notes.dedup();
    config.notes = notes;
    Ok(config)
}

/// What concerns the server as a whole.
fn server(layers: &Layers<'_>, data: PathBuf, problems: &mut Vec<Problem>) -> ServerConfig {
    let text = |name: &str| layers.text(named(name));
    let port = |name: &str| u16::try_from(layers.count(named(name))).unwrap_or(0);
    let credentials = |user: &str, passwd: &str| Credentials {
        user: text(user),
        stored: values::sha1(&text(passwd)),
    };
    let all = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let ip = text("canal.ip").parse().unwrap_or(all);
    let config = ServerConfig {
        listen: SocketAddr::new(ip, port("canal.port")),
        credentials: credentials("canal.user", "canal.passwd"),
        admin: AdminConfig {
            port: port("canal.admin.port"),
            credentials: credentials("canal.admin.user", "canal.admin.passwd"),
        },
        metrics_port: u16::try_from(text("canal.metrics.pull.port").parse().unwrap_or(0_i64))
            .ok()
            .filter(|port| *port > 0),
        cluster: cluster(layers, problems),
        decode_threads: decode_threads(layers),
        data,
        destinations: Vec::new(),
        notes: Vec::new(),
    };
    // wire-protocol reference §6.2
    if !config.credentials.user.is_empty() && text("canal.passwd").is_empty() {
        let at = layers.origin(&["canal.user"]);
        let what = "canal.user is set and canal.passwd is blank, so any password would do: set \
                    canal.passwd to the 40 digits of SHA1(SHA1(password)), or remove canal.user";
        problems.push(Problem::Conflict {
            at,
            what: what.into(),
        });
    }
    config
}

/// As many threads as canal's parsers: six of ten processors.
fn decode_threads(layers: &Layers<'_>) -> usize {
    match usize::try_from(layers.count(named("canald.decode.threads"))) {
        Ok(0) | Err(_) => {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            (processors * 6 / 10).max(1)
        }
        Ok(threads) => threads,
    }
}

/// The names of all destinations: listed, or expanded from an expression, and found by a scan.
fn destinations(server: &Layers<'_>, root: &Path, problems: &mut Vec<Problem>) -> Vec<String> {
    let listed = server.text(named("canal.destinations"));
    let mut names: Vec<String> = values::list(&listed).map(Into::into).collect();
    let expression = named("canal.destinations.expr");
    if let Ok(Some(found)) = server.find(expression.name) {
        match expanded(&found.value) {
            Some(list) => names = list,
            None => problems.push(Problem::Malformed {
                at: found.at,
                key: expression.name.into(),
                value: found.value,
                expected: format!(
                    "name{{1-10}}, for at most {DESTINATIONS_MAX} destinations name1, name2, …"
                ),
            }),
        }
    }
    let from_files = server.files.iter().any(Option::is_some);
    if from_files && server.switch(named("canal.auto.scan")) {
        names.extend(scan(root, problems));
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names.truncate(DESTINATIONS_MAX);
    // A list that is set and yields nothing is malformed, and reported as such.
    let is_set = |key: &str| !matches!(server.find(key), Ok(None));
    if names.is_empty() && !is_set("canal.destinations") && !is_set(expression.name) {
        problems.push(Problem::Missing {
            what: "no destination is configured".into(),
            cure: "name one in canal.destinations, or set canal.auto.scan to true and make a \
                   folder with an instance.properties"
                .into(),
        });
    }
    names
}

/// `name{1-10}` as name1 to name10.
fn expanded(expression: &str) -> Option<Vec<String>> {
    let (base, range) = expression.strip_suffix('}')?.split_once('{')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let count = last.checked_sub(first)? as usize;
    let fits = values::is_destination(base) && count < DESTINATIONS_MAX;
    fits.then(|| (first..=last).map(|n| format!("{base}{n}")).collect())
}

/// The folders in `root` that hold a destination, by name.
fn scan(root: &Path, problems: &mut Vec<Problem>) -> Vec<String> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(unreadable(root, &error));
            return Vec::new();
        }
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_destination = |name: &String| {
        values::is_destination(name)
            && !NOT_DESTINATIONS
                .iter()
                .any(|other| other.eq_ignore_ascii_case(name))
            && root.join(name).join(INSTANCE_FILE).is_file()
    };
    names
        .filter(is_destination)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// The destinations to serve: all, or the one that the command line names.
fn choose(all: &[String], overrides: &Overrides, problems: &mut Vec<Problem>) -> Vec<String> {
    let Some(wanted) = &overrides.destination else {
        return all.into();
    };
    if !all.is_empty() && !all.contains(wanted) {
        problems.push(Problem::Missing {
            what: format!("there is no destination {wanted}"),
            cure: format!("the configuration has {}", all.join(", ")),
        });
    }
    all.iter().filter(|name| *name == wanted).cloned().collect()
}

fn read_file(path: &Path, problems: &mut Vec<Problem>) -> Option<PropertyFile> {
    let shown = path.display().to_string();
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.push(unreadable(path, &error));
            return None;
        }
    };
    let text = String::from_utf8(bytes).unwrap_or_else(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|b| **b == b'\n').count();
        let at = Origin::File {
            path: shown.clone(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
        };
        problems.push(Problem::Syntax {
            at,
            reason: "not UTF-8: save the file as UTF-8".into(),
        });
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    });
    let (properties, faults) = properties::scan(&text);
    problems.extend(faults.into_iter().map(|fault| Problem::Syntax {
        at: Origin::File {
            path: shown.clone(),
            line: fault.line,
        },
        reason: fault.to_string(),
    }));
    Some(PropertyFile {
        path: shown,
        properties,
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::Unreadable {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}

/// `path` from the working folder; what cannot be told (that folder is gone) stays as it is.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

fn cluster(layers: &Layers<'_>, problems: &mut Vec<Problem>) -> Option<ClusterConfig> {
    let text = |name: &str| layers.text(named(name));
    let malformed = |key: &str, value: String, expected: String| Problem::Malformed {
        at: layers.origin(&[key]),
        key: key.into(),
        value,
        expected,
    };
    let servers = text("canal.zkServers");
    if servers.is_empty() {
        return None;
    }
    let mut zookeeper = match ZooKeeperConfig::parse(&servers) {
        Ok(zookeeper) => zookeeper,
        Err(fault) => {
            let expected = format!("host:port,host:port ({fault})");
            problems.push(malformed("canal.zkServers", servers, expected));
            return None;
        }
    };
    let millis = layers.count(named("canald.zookeeper.session.timeout.ms"));
    zookeeper.session_timeout = Duration::from_millis(millis);
    let mut hosts = ["canal.register.ip", "canal.ip"]
        .map(|key| (key, text(key)))
        .into_iter();
    let host = hosts.find(|(_, host)| !host.is_empty());
    if let Some((key, host)) = &host
        && host.contains(':')
    {
        let expected = "a host name or an IPv4 address: canal's clients take no other".into();
        problems.push(malformed(key, host.clone(), expected));
    }
    let host = host.map(|(_, host)| host);
    Some(ClusterConfig { zookeeper, host })
}

/// A path of canal's files: relative ones begin in a `bin` beside the conf folder, whatever that folder
/// is called, so `../conf` is always the conf folder itself.
fn resolve(conf: &Path, path: &str) -> PathBuf {
    let path = Path::new(path);
    if path.is_absolute() {
        return path.into();
    }
    let conf = absolute(conf);
    let beside = conf.parent().unwrap_or(&conf).join("bin");
    let joined = match path.strip_prefix("../conf") {
        Ok(rest) => conf.join(rest),
        Err(_) => beside.join(path),
    };
    let mut out = PathBuf::new();
    for component in joined.components() {
        match component {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other @ (Component::Prefix(_) | Component::RootDir | Component::Normal(_)) => {
                out.push(other);
            }
        }
    }
    out
}

/// Compares what is written with the catalogue.
struct Check<'a> {
    destinations: &'a [String],
    /// Names that placeholders mention: keys of the operator's own.
    referenced: &'a BTreeSet<String>,
    problems: &'a mut Vec<Problem>,
    notes: &'a mut Vec<Note>,
}

impl Check<'_> {
    fn server(&mut self, layers: &Layers<'_>) {
        if let [Some(file), _] = layers.files {
            self.file(file, Scope::Server);
        }
        self.values(layers, Scope::Server);
    }

    fn instance(&mut self, layers: &Layers<'_>) {
        if let [_, Some(file)] = layers.files {
            self.file(file, Scope::Instance);
        }
        self.values(layers, Scope::Instance);
        let destination = layers.destination.unwrap_or_default();
        for (suffix, key) in keys::overridable() {
            self.value(
                layers,
                &format!("canal.instance.{destination}.{suffix}"),
                key,
            );
        }
    }

    /// The keys of one file: unknown, misplaced and repeated ones.
    fn file(&mut self, file: &PropertyFile, scope: Scope) {
        let mut seen = BTreeSet::new();
        for property in file.properties.iter().rev() {
            let (at, key) = (file.origin(property), property.key.clone());
            if !seen.insert(property.key.as_str()) {
                self.notes.push(Note::Repeated { at, key });
                continue;
            }
            match keys::meaning(&property.key, self.destinations) {
                Meaning::Unknown => self.unknown(at, key),
                Meaning::Key(known) if known.scope != scope && scope == Scope::Instance => {
                    self.notes.push(Note::Misplaced { at, key });
                }
                Meaning::Key(_) | Meaning::Override(_) | Meaning::Queue => {}
            }
        }
    }

    /// Variables that are written like keys.
    fn environment(&mut self, environment: &Environment) {
        for name in environment.0.keys() {
            let ours = name.starts_with("canal.") || name.starts_with("canald.");
            if ours && keys::meaning(name, self.destinations) == Meaning::Unknown {
                self.unknown(Origin::Environment(name.clone()), name.clone());
            }
        }
    }

    fn unknown(&mut self, at: Origin, key: String) {
        if !self.referenced.contains(&key) {
            let nearest = keys::nearest(&key);
            self.problems.push(Problem::Unknown { at, key, nearest });
        }
    }

    /// The values of all keys of a scope.
    fn values(&mut self, layers: &Layers<'_>, scope: Scope) {
        for key in keys::KEYS.iter().filter(|key| key.scope == scope) {
            self.value(layers, key.name, key);
        }
    }

    fn value(&mut self, layers: &Layers<'_>, name: &str, key: &Key) {
        let found = match layers.find(name) {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err((at, endless)) => {
                let reason = endless.to_string();
                return self.problems.push(Problem::Endless {
                    at,
                    key: name.into(),
                    reason,
                });
            }
        };
        let secret = matches!(key.kind, Kind::Secret | Kind::Sha1);
        let shown = if secret {
            "(hidden)".into()
        } else {
            found.value.clone()
        };
        let (at, name) = (found.at, name.to_owned());
        if let Err(expected) = key.kind.check(&found.value) {
            return self.problems.push(Problem::Malformed {
                at,
                key: name,
                value: shown,
                expected,
            });
        }
        match key.status {
            Status::Supported => {}
            Status::Inert(why) => {
                if !key.default.is_empty() && !found.value.eq_ignore_ascii_case(key.default) {
                    self.notes.push(Note::Inert { at, key: name, why });
                }
            }
            Status::Refused(acts, cure) => {
                if acts.on(&found.value) {
                    let cure = cure.into();
                    self.problems.push(Problem::Refused {
                        at,
                        key: name,
                        value: shown,
                        cure,
                    });
                }
            }
        }
    }
}

impl Acts {
    /// Whether a value, which is not blank, acts.
    fn on(self, value: &str) -> bool {
        match self {
            Self::WhenSet => true,
            Self::WhenTrue => values::switch(value) == Some(true),
            Self::UnlessOneOf(words) => !words.iter().any(|w| w.eq_ignore_ascii_case(value)),
        }
    }
}

#[cfg(test)]
mod tests;
