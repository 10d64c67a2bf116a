//! The catalogue: every key of canal and of canald, what its value looks like, and what canald does
//! with it (ha-meta-store reference §4.3, §4.4).
//!
//! One table, so that checking, refusing, suggesting and documenting cannot disagree. A key that is not
//! here is unknown. A key whose function canald does not have is either inert, when nothing is lost by
//! ignoring it, or refused where its value would act.

/// Where a key is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In `canal.properties` alone.
    Server,
    /// Per destination: in `instance.properties`, else in `canal.properties`.
    Instance,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Any text, never shown.
    Secret,
    /// `true` or `false`.
    Switch,
    /// A whole number within bounds, both included.
    Count(u64, u64),
    /// A power of two within bounds, both included.
    Power(u64, u64),
    /// A number of either sign.
    Number,
    /// One of some words, whatever their case.
    Word(&'static [&'static str]),
    /// Some of some words, separated by commas, whatever their case.
    Words(&'static [&'static str]),
    /// An IP address.
    Address,
    /// `host:port`.
    HostPort,
    /// Forty hexadecimal digits.
    Sha1,
    /// A time zone.
    Zone,
    /// A character set.
    Charset,
    /// Names separated by commas.
    Names,
}

/// When a value would act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acts {
    /// When there is one.
    WhenSet,
    /// When it is true.
    WhenTrue,
    /// When it is none of these, whatever the case.
    UnlessOneOf(&'static [&'static str]),
}

/// What canald does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// What canal does.
    Supported,
    /// Nothing, and why that is right.
    Inert(&'static str),
    /// It refuses to start where the value would act, and says what to do.
    Refused(Acts, &'static str),
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Where it is read.
    pub scope: Scope,
    /// What its value looks like.
    pub kind: Kind,
    /// The value where none is given; empty for none.
    pub default: &'static str,
    /// What canald does with it.
    pub status: Status,
}

const fn server(name: &'static str, kind: Kind, default: &'static str) -> Key {
    Key {
        name,
        scope: Scope::Server,
        kind,
        default,
        status: Status::Supported,
    }
}

const fn instance(name: &'static str, kind: Kind, default: &'static str) -> Key {
    Key {
        name,
        scope: Scope::Instance,
        kind,
        default,
        status: Status::Supported,
    }
}

impl Key {
    const fn inert(mut self, why: &'static str) -> Self {
        self.status = Status::Inert(why);
        self
    }

    const fn refused(mut self, acts: Acts, cure: &'static str) -> Self {
        self.status = Status::Refused(acts, cure);
        self
    }
}

/// Slots of the largest ring.
pub const RING_MAX: u64 = canald_core::store::RING_ENTRIES_MAX as u64;

const ADMIN: &str = "acts with a canal-admin alone";
const MQ: &str = "acts with another canal.serverMode alone";
const HISTORY: &str =
    "canald keeps no history of table structures: the log says them, or the source is asked";
const DRUID: &str = "acts with canal.instance.enableDruid alone";
const KERNEL: &str = "the kernel sizes its socket buffers itself";
const AT_ONCE: &str = "canald writes cursors at once, several acknowledgements together";
const CLOUD: &str = "canald does not fetch binlogs from a cloud's object store: leave it blank";
const GROUP: &str = "canald has no group instances: make each source a destination of its own";
const STANDBY: &str = "acts with canal.instance.standby.address alone";
const SQL_HEARTBEAT: &str = "acts with canal.instance.detecting.enable alone";

const MILLIS: Kind = Kind::Count(0, 86_400_000);
const SECONDS: Kind = Kind::Count(1, 86_400);
const PORT: Kind = Kind::Count(0, 65_535);

/// Every key with a name of its own, by name.
pub const KEYS: &[Key] = &[
    server("canal.admin.manager", Kind::Text, "").refused(
        Acts::WhenSet,
        "canald has no canal-admin mode: remove it and keep instance.properties in the conf folder",
    ),
    server("canal.admin.passwd", Kind::Sha1, ""),
    server("canal.admin.port", PORT, "11110"),
    server("canal.admin.register.auto", Kind::Switch, "false").inert(ADMIN),
    server("canal.admin.register.cluster", Kind::Text, "").inert(ADMIN),
    server("canal.admin.register.name", Kind::Text, "").inert(ADMIN),
    server("canal.admin.user", Kind::Text, "admin"),
    server("canal.aliyun.accessKey", Kind::Secret, "").inert(MQ),
    server("canal.aliyun.accesskey", Kind::Secret, "").refused(Acts::WhenSet, CLOUD),
    server("canal.aliyun.secretKey", Kind::Secret, "").inert(MQ),
    server("canal.aliyun.secretkey", Kind::Secret, "").refused(Acts::WhenSet, CLOUD),
    server("canal.aliyun.uid", Kind::Text, "").inert(MQ),
    instance("canal.auto.reset.latest.pos.mode", Kind::Switch, "false"),
    server("canal.auto.scan", Kind::Switch, "false"),
    server("canal.auto.scan.interval", SECONDS, "5").inert("canald scans once, when it starts"),
    server("canal.conf", Kind::Text, "").inert("canald takes the folder from --conf"),
    server("canal.conf.dir", Kind::Text, "../conf"),
    server("canal.destinations", Kind::Names, ""),
    server("canal.destinations.expr", Kind::Text, ""),
    server("canal.file.data.dir", Kind::Text, "../conf"),
    server("canal.file.flush.period", MILLIS, "1000").inert(AT_ONCE),
    server("canal.id", Kind::Text, "").inert("canal does not use it either"),
    instance(
        "canal.instance.binlog.format",
        Kind::Words(&["ROW", "STATEMENT", "MIXED"]),
        "",
    ),
    instance(
        "canal.instance.binlog.image",
        Kind::Words(&["FULL", "MINIMAL", "NOBLOB"]),
        "",
    ),
    instance("canal.instance.connectionCharset", Kind::Charset, "UTF-8"),
    instance("canal.instance.connectionCharsetNumber", Kind::Text, "")
        .inert("canal.instance.connectionCharset took its place"),
    instance("canal.instance.dbPassword", Kind::Secret, ""),
    instance("canal.instance.dbUsername", Kind::Text, ""),
    instance("canal.instance.defaultDatabaseName", Kind::Text, ""),
    instance("canal.instance.detecting.enable", Kind::Switch, "false").refused(
        Acts::WhenTrue,
        "canald runs no statements to test a source: set it to false; dead links are found by the \
         binlog's own heartbeats",
    ),
    instance(
        "canal.instance.detecting.heartbeatHaEnable",
        Kind::Switch,
        "false",
    )
    .refused(
        Acts::WhenTrue,
        "canald does not switch between two sources: set it to false and give it one address that \
         follows the primary",
    ),
    instance("canal.instance.detecting.interval.time", SECONDS, "3").inert(SQL_HEARTBEAT),
    instance("canal.instance.detecting.retry.threshold", Kind::Text, "").inert(SQL_HEARTBEAT),
    instance("canal.instance.detecting.sql", Kind::Text, "").inert(SQL_HEARTBEAT),
    instance("canal.instance.enableDruid", Kind::Switch, "false").refused(
        Acts::WhenTrue,
        "canald does not read passwords encrypted by druid: set it to false and give the password \
         through the environment variable canal.instance.dbPassword",
    ),
    instance(
        "canal.instance.fallbackIntervalInSeconds",
        Kind::Count(0, 31_536_000),
        "60",
    ),
    instance("canal.instance.filter.black.field", Kind::Text, ""),
    instance("canal.instance.filter.black.regex", Kind::Text, ""),
    instance("canal.instance.filter.dml.delete", Kind::Switch, "false"),
    instance("canal.instance.filter.dml.insert", Kind::Switch, "false"),
    instance("canal.instance.filter.dml.update", Kind::Switch, "false"),
    instance("canal.instance.filter.druid.ddl", Kind::Switch, "true")
        .inert("canald has a DDL scanner of its own"),
    instance("canal.instance.filter.field", Kind::Text, ""),
    instance("canal.instance.filter.query.dcl", Kind::Switch, "false"),
    instance("canal.instance.filter.query.ddl", Kind::Switch, "false"),
    instance("canal.instance.filter.query.dml", Kind::Switch, "false"),
    instance("canal.instance.filter.regex", Kind::Text, ""),
    instance("canal.instance.filter.rows", Kind::Switch, "false"),
    instance("canal.instance.filter.table.error", Kind::Switch, "false"),
    instance(
        "canal.instance.filter.transaction.entry",
        Kind::Switch,
        "false",
    ),
    instance("canal.instance.get.ddl.isolation", Kind::Switch, "false"),
    server("canal.instance.global.lazy", Kind::Switch, "false").refused(Acts::WhenTrue, LAZY),
    server("canal.instance.global.manager.address", Kind::Text, "").inert(ADMIN),
    server("canal.instance.global.mode", Kind::Text, "spring")
        .refused(Acts::UnlessOneOf(&["spring"]), MODE),
    server(
        "canal.instance.global.spring.xml",
        Kind::Text,
        "classpath:spring/file-instance.xml",
    ),
    instance("canal.instance.gtidon", Kind::Switch, "false"),
    instance("canal.instance.master.address", Kind::HostPort, ""),
    instance(
        "canal.instance.master.clientCertificateKeyStorePassword",
        Kind::Secret,
        "",
    )
    .inert("canald reads unencrypted private keys"),
    instance(
        "canal.instance.master.clientCertificateKeyStoreType",
        Kind::Text,
        "",
    ),
    instance(
        "canal.instance.master.clientCertificateKeyStoreUrl",
        Kind::Text,
        "",
    ),
    instance("canal.instance.master.gtid", Kind::Text, ""),
    instance("canal.instance.master.journal.name", Kind::Text, ""),
    instance(
        "canal.instance.master.position",
        Kind::Count(0, u64::MAX),
        "",
    ),
    instance(
        "canal.instance.master.sslMode",
        Kind::Word(SSL_MODES),
        "DISABLED",
    ),
    instance(
        "canal.instance.master.timestamp",
        Kind::Count(0, i64::MAX as u64),
        "",
    ),
    instance(
        "canal.instance.master.tlsVersions",
        Kind::Words(TLS_VERSIONS),
        "",
    ),
    instance(
        "canal.instance.master.trustCertificateKeyStorePassword",
        Kind::Secret,
        "",
    )
    .inert("a PEM file of certificates has no password"),
    instance(
        "canal.instance.master.trustCertificateKeyStoreType",
        Kind::Text,
        "",
    ),
    instance(
        "canal.instance.master.trustCertificateKeyStoreUrl",
        Kind::Text,
        "",
    ),
    instance("canal.instance.master1.address", Kind::Text, "").refused(Acts::WhenSet, GROUP),
    instance("canal.instance.master1.gtid", Kind::Text, "").inert(GROUP),
    instance("canal.instance.master1.journal.name", Kind::Text, "").inert(GROUP),
    instance("canal.instance.master1.position", Kind::Text, "").inert(GROUP),
    instance("canal.instance.master1.timestamp", Kind::Text, "").inert(GROUP),
    instance("canal.instance.master2.address", Kind::Text, "").refused(Acts::WhenSet, GROUP),
    instance("canal.instance.master2.gtid", Kind::Text, "").inert(GROUP),
    instance("canal.instance.master2.journal.name", Kind::Text, "").inert(GROUP),
    instance("canal.instance.master2.position", Kind::Text, "").inert(GROUP),
    instance("canal.instance.master2.timestamp", Kind::Text, "").inert(GROUP),
    instance(
        "canal.instance.memory.batch.mode",
        Kind::Word(&["MEMSIZE", "ITEMSIZE"]),
        "MEMSIZE",
    ),
    instance(
        "canal.instance.memory.buffer.memunit",
        Kind::Count(1, 1 << 30),
        "1024",
    ),
    instance(
        "canal.instance.memory.buffer.size",
        Kind::Power(1, RING_MAX),
        "16384",
    ),
    instance("canal.instance.memory.rawEntry", Kind::Switch, "true")
        .inert("canald keeps entries encoded in any case"),
    instance("canal.instance.multi.stream.on", Kind::Switch, "false").refused(
        Acts::WhenTrue,
        "canald does not read PolarDB-X's several streams: set it to false and give the address of \
         the single global stream",
    ),
    instance("canal.instance.mysql.slaveId", Kind::Number, "0"),
    instance("canal.instance.network.receiveBufferSize", Kind::Text, "").inert(KERNEL),
    instance("canal.instance.network.sendBufferSize", Kind::Text, "").inert(KERNEL),
    instance("canal.instance.network.soTimeout", SECONDS, "30"),
    instance("canal.instance.parser.parallel", Kind::Switch, "true")
        .inert("canald decodes large events in parallel and small ones in place"),
    instance("canal.instance.parser.parallelBufferSize", Kind::Text, "")
        .inert("canald bounds decoding by the ring"),
    instance("canal.instance.parser.parallelThreadSize", Kind::Text, "")
        .inert("all destinations share canald.decode.threads"),
    instance("canal.instance.pwdPublicKey", Kind::Secret, "").inert(DRUID),
    instance("canal.instance.rds.accesskey", Kind::Secret, "").refused(Acts::WhenSet, CLOUD),
    instance("canal.instance.rds.instanceId", Kind::Text, "").refused(Acts::WhenSet, CLOUD),
    instance("canal.instance.rds.secretkey", Kind::Secret, "").refused(Acts::WhenSet, CLOUD),
    instance("canal.instance.standby.address", Kind::Text, "").refused(
        Acts::WhenSet,
        "canald does not switch between two sources: leave it blank and give \
         canal.instance.master.address a name that follows the primary",
    ),
    instance(
        "canal.instance.standby.clientCertificateKeyStorePassword",
        Kind::Secret,
        "",
    )
    .inert(STANDBY),
    instance(
        "canal.instance.standby.clientCertificateKeyStoreType",
        Kind::Text,
        "",
    )
    .inert(STANDBY),
    instance(
        "canal.instance.standby.clientCertificateKeyStoreUrl",
        Kind::Text,
        "",
    )
    .inert(STANDBY),
    instance("canal.instance.standby.gtid", Kind::Text, "").inert(STANDBY),
    instance("canal.instance.standby.journal.name", Kind::Text, "").inert(STANDBY),
    instance("canal.instance.standby.position", Kind::Text, "").inert(STANDBY),
    instance("canal.instance.standby.sslMode", Kind::Text, "").inert(STANDBY),
    instance("canal.instance.standby.timestamp", Kind::Text, "").inert(STANDBY),
    instance("canal.instance.standby.tlsVersions", Kind::Text, "").inert(STANDBY),
    instance(
        "canal.instance.standby.trustCertificateKeyStorePassword",
        Kind::Secret,
        "",
    )
    .inert(STANDBY),
    instance(
        "canal.instance.standby.trustCertificateKeyStoreType",
        Kind::Text,
        "",
    )
    .inert(STANDBY),
    instance(
        "canal.instance.standby.trustCertificateKeyStoreUrl",
        Kind::Text,
        "",
    )
    .inert(STANDBY),
    instance("canal.instance.standby1.address", Kind::Text, "").refused(Acts::WhenSet, GROUP),
    instance("canal.instance.standby1.gtid", Kind::Text, "").inert(GROUP),
    instance("canal.instance.standby1.journal.name", Kind::Text, "").inert(GROUP),
    instance("canal.instance.standby1.position", Kind::Text, "").inert(GROUP),
    instance("canal.instance.standby1.timestamp", Kind::Text, "").inert(GROUP),
    instance("canal.instance.standby2.address", Kind::Text, "").refused(Acts::WhenSet, GROUP),
    instance("canal.instance.standby2.gtid", Kind::Text, "").inert(GROUP),
    instance("canal.instance.standby2.journal.name", Kind::Text, "").inert(GROUP),
    instance("canal.instance.standby2.position", Kind::Text, "").inert(GROUP),
    instance("canal.instance.standby2.timestamp", Kind::Text, "").inert(GROUP),
    instance(
        "canal.instance.transaction.size",
        Kind::Power(1, RING_MAX),
        "1024",
    ),
    instance("canal.instance.tsdb.dbPassword", Kind::Secret, "").inert(HISTORY),
    instance("canal.instance.tsdb.dbUsername", Kind::Text, "").inert(HISTORY),
    instance("canal.instance.tsdb.dir", Kind::Text, "").inert(HISTORY),
    instance("canal.instance.tsdb.enable", Kind::Switch, "").inert(HISTORY),
    instance("canal.instance.tsdb.snapshot.expire", Kind::Text, "").inert(HISTORY),
    instance("canal.instance.tsdb.snapshot.interval", Kind::Text, "").inert(HISTORY),
    instance("canal.instance.tsdb.spring.xml", Kind::Text, "").inert(HISTORY),
    instance("canal.instance.tsdb.url", Kind::Text, "").inert(HISTORY),
    server("canal.ip", Kind::Address, ""),
    server("canal.metrics.pull.port", Kind::Number, "11112"),
    server("canal.passwd", Kind::Sha1, ""),
    server("canal.port", PORT, "11111"),
    server("canal.register.ip", Kind::Text, ""),
    server("canal.serverMode", Kind::Text, "tcp").refused(
        Acts::UnlessOneOf(&["tcp"]),
        "canald serves canal's TCP protocol alone: set it to tcp and let a client (canal-adapter, \
         canald tail) write to the queue",
    ),
    server("canal.socketChannel", Kind::Text, "").inert("canald has one kind of socket"),
    server("canal.user", Kind::Text, ""),
    server("canal.withoutNetty", Kind::Switch, "false").refused(
        Acts::WhenTrue,
        "without its TCP service canald would serve nobody: set it to false",
    ),
    server("canal.zkServers", Kind::Text, ""),
    server("canal.zookeeper.flush.period", MILLIS, "1000")
        .inert("canald writes a cursor as soon as it moves"),
    instance(
        "canald.charset.mode",
        Kind::Word(&["column", "connection"]),
        "column",
    ),
    server("canald.decode.threads", Kind::Count(1, 1024), ""),
    instance("canald.enum.text", Kind::Switch, "false"),
    instance(
        "canald.filter.subscribe",
        Kind::Word(&["replace", "intersect"]),
        "replace",
    ),
    instance("canald.get.linger.ms", Kind::Count(0, 60_000), "0"),
    instance("canald.reader.idle.seconds", SECONDS, "60"),
    instance(
        "canald.schema.lookahead.bytes",
        Kind::Count(0, 1 << 40),
        "67108864",
    ),
    instance("canald.switch.by.time", Kind::Switch, "false"),
    instance("canald.timezone", Kind::Zone, ""),
    server(
        "canald.zookeeper.session.timeout.ms",
        Kind::Count(1000, 600_000),
        "10000",
    ),
    instance("db.semi", Kind::Text, "0").refused(
        Acts::UnlessOneOf(&["0"]),
        "canald does not acknowledge semi-synchronously: remove it",
    ),
];

const LAZY: &str = "canald starts every destination at once: set it to false";
const MODE: &str = "canald reads files alone: set it to spring";
const SSL_MODES: &[&str] = &[
    "DISABLED",
    "PREFERRED",
    "REQUIRED",
    "VERIFY_CA",
    "VERIFY_IDENTITY",
];
const TLS_VERSIONS: &[&str] = &["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/// Families of keys that canal hands through, or reads in message queue mode alone.
const FAMILIES: [&str; 5] = ["canal.mq.", "kafka.", "rocketmq.", "rabbitmq.", "pulsarmq."];

/// What canal reads per destination as `canal.instance.DESTINATION.SUFFIX`, and for all others as
/// `canal.instance.global.SUFFIX`.
const OVERRIDES: [&str; 4] = ["lazy", "manager.address", "mode", "spring.xml"];

/// What a name in a file means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A key of the catalogue.
    Key(&'static Key),
    /// The key of the catalogue that it overrides for one destination.
    Override(&'static Key),
    /// A setting for message queues, which canald does not serve.
    Queue,
    /// Nothing.
    Unknown,
}

/// What `name` means, for a server with these destinations.
#[must_use]
pub fn meaning(name: &str, destinations: &[String]) -> Meaning {
    if let Some(key) = find(name) {
        return Meaning::Key(key);
    }
    if FAMILIES.iter().any(|family| name.starts_with(family)) {
        return Meaning::Queue;
    }
    let overridden = name.strip_prefix("canal.instance.").and_then(|rest| {
        let (_, key) = overridable().find(|(suffix, _)| {
            let destination = rest.strip_suffix(suffix).and_then(|d| d.strip_suffix('.'));
            destination.is_some_and(|d| destinations.iter().any(|known| known == d))
        })?;
        Some(key)
    });
    overridden.map_or(Meaning::Unknown, Meaning::Override)
}

/// What canal reads per destination: the suffix of its own key, and the key for all others.
pub fn overridable() -> impl Iterator<Item = (&'static str, &'static Key)> {
    OVERRIDES
        .iter()
        .map(|suffix| (*suffix, named(&format!("canal.instance.global.{suffix}"))))
}

/// The key called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    let at = KEYS.binary_search_by(|key| key.name.cmp(name)).ok()?;
    Some(&KEYS[at])
}

/// The key called `name`, which canald itself asks for.
///
/// # Panics
/// If the catalogue has no such key: what canald reads, it lists.
#[must_use]
pub fn named(name: &str) -> &'static Key {
    find(name).unwrap_or_else(|| panic!("{name} is not in the catalogue of keys"))
}

/// The key whose name is most like `name`, if any is.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    let limit = (name.len() / 5).clamp(2, 6);
    KEYS.iter()
        .map(|key| (distance(name, key.name), key.name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Letters to insert, delete, replace or swap with their neighbour to make one text the other, case
/// apart (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let fold = |s: &str| {
        s.chars()
            .map(|c| c.to_ascii_lowercase())
            .collect::<Vec<_>>()
    };
    let (a, b) = (fold(a), fold(b));
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, to) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(from != to);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                row[j + 1] = row[j + 1].min(before_last[j - 1] + 1);
            }
        }
        before_last = core::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_sorted_without_repeats() {
        for pair in KEYS.windows(2) {
            assert!(
                pair[0].name < pair[1].name,
                "{} and {}",
                pair[0].name,
                pair[1].name
            );
        }
        assert!(KEYS.iter().all(|key| find(key.name) == Some(key)));
    }

    #[test]
    fn what_is_refused_says_what_to_do() {
        for key in KEYS {
            if let Status::Refused(_, cure) = key.status {
                assert!(
                    [
                        "leave it blank",
                        "set it to",
                        "remove it",
                        "make each source"
                    ]
                    .iter()
                    .any(|advice| cure.contains(advice)),
                    "{}: {cure}",
                    key.name
                );
            }
        }
    }

    #[test]
    fn names_of_one_destination_override_the_global_ones() {
        let destinations = ["example".into(), "a.b".into()];
        let key = |name| Meaning::Override(named(name));
        for (name, want) in [
            (
                "canal.instance.example.mode",
                key("canal.instance.global.mode"),
            ),
            (
                "canal.instance.a.b.spring.xml",
                key("canal.instance.global.spring.xml"),
            ),
            ("canal.instance.other.mode", Meaning::Unknown),
            ("canal.instance.example.port", Meaning::Unknown),
            ("kafka.sasl.mechanism", Meaning::Queue),
            ("canal.mq.topic", Meaning::Queue),
            ("canal.port", Meaning::Key(named("canal.port"))),
        ] {
            assert_eq!(meaning(name, &destinations), want, "{name}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_key() {
        for (name, want) in [
            ("canal.prot", Some("canal.port")),
            (
                "canal.instance.filter.regx",
                Some("canal.instance.filter.regex"),
            ),
            (
                "canal.instance.mysql.slaveID",
                Some("canal.instance.mysql.slaveId"),
            ),
            (
                "canal.instance.transactionn.size",
                Some("canal.instance.transaction.size"),
            ),
            ("canal.zkserver", Some("canal.zkServers")),
            ("canald.timezon", Some("canald.timezone")),
            ("spring.datasource.url", None),
            ("x", None),
        ] {
            assert_eq!(nearest(name), want, "{name}");
        }
    }

    #[test]
    fn distances() {
        for (a, b, want) in [
            ("", "", 0),
            ("", "ab", 2),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), want, "{a} {b}");
            assert_eq!(distance(b, a), want, "{b} {a}");
        }
    }
}
