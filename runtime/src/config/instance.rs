//! From layers of text to one destination's configuration.

use std::path::Path;

use canald_core::config::{
    BatchMode, FilterConfig, InstanceConfig, MetaMode, SourceConfig, SslMode, Start, StoreConfig,
    SubscribeFilter, Zone,
};
use canald_core::meta::identity::Destination;
use canald_core::position::{BinlogFile, BinlogPosition};
use canald_core::time::{Duration, WallMillis};
use jiff::tz::TimeZone;

use super::identity;
use super::keys::{Key, named};
use super::layers::Layers;
use super::problem::{Note, Origin, Problem};
use super::start;
use super::values;
use super::{ClusterConfig, DestinationConfig, Overrides};
use crate::tls::{Pem, TlsPlan, TlsVersions};
use crate::zone;

/// How often the source is asked to say that it is there (binlog-parser reference §1.2).
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Silence after which a dump is dead: a heartbeat and ten seconds, as in canal.
const SILENCE: Duration = Duration::from_secs(25);

const TRUST_URL: &str = "canal.instance.master.trustCertificateKeyStoreUrl";
const TRUST_TYPE: &str = "canal.instance.master.trustCertificateKeyStoreType";
const CLIENT_URL: &str = "canal.instance.master.clientCertificateKeyStoreUrl";
const CLIENT_TYPE: &str = "canal.instance.master.clientCertificateKeyStoreType";
const TLS_VERSIONS: &str = "canal.instance.master.tlsVersions";
const ADDRESS: &str = "canal.instance.master.address";

/// Reads one destination; what is wrong goes to `problems`, what is odd to `notes`.
pub(super) struct Reading<'a> {
    pub(super) layers: Layers<'a>,
    pub(super) destination: &'a str,
    pub(super) overrides: &'a Overrides,
    /// The conf folder, beside which relative paths begin.
    pub(super) conf: &'a Path,
    /// The folder of the destinations' folders, as messages show it.
    pub(super) root: &'a Path,
    /// Where all destinations keep their data.
    pub(super) data: &'a Path,
    /// The cluster; none where the server stands alone.
    pub(super) cluster: Option<&'a ClusterConfig>,
    pub(super) problems: &'a mut Vec<Problem>,
    pub(super) notes: &'a mut Vec<Note>,
}

impl Reading<'_> {
    pub(super) fn read(mut self) -> DestinationConfig {
        let ssl = values::ssl_mode(&self.text("canal.instance.master.sslMode"));
        let ssl = ssl.unwrap_or(SslMode::Disabled);
        let source = self.source(ssl);
        let tls = self.tls(ssl, &source.host);
        let (time_zone, zone) = self.zone();
        let instance = InstanceConfig {
            destination: Destination::new(self.destination),
            meta: self.meta(),
            source,
            gtid: self.switch("canal.instance.gtidon"),
            start: self.start(&time_zone),
            auto_reset: self.switch("canal.auto.reset.latest.pos.mode"),
            switch_by_time: self.switch("canald.switch.by.time"),
            fallback: Duration::from_secs(self.count("canal.instance.fallbackIntervalInSeconds")),
            store: self.store(),
            filter: self.filter(),
            transaction_entries: self.transaction_entries(),
            binlog_formats: self.capitals("canal.instance.binlog.format"),
            row_images: self.capitals("canal.instance.binlog.image"),
            connection_charset: self.text("canal.instance.connectionCharset"),
            connection_charset_always: self.word("canald.charset.mode") == "connection",
            enum_text: self.switch("canald.enum.text"),
            zone,
            lookahead_bytes: self.count("canald.schema.lookahead.bytes"),
            get_linger: Duration::from_millis(self.count("canald.get.linger.ms")),
        };
        DestinationConfig {
            instance,
            tls,
            folder: self.data.join(self.destination),
        }
    }

    fn text(&self, name: &str) -> String {
        self.layers.text(named(name))
    }

    fn switch(&self, name: &str) -> bool {
        self.layers.switch(named(name))
    }

    fn count(&self, name: &str) -> u64 {
        self.layers.count(named(name))
    }

    /// A count whose kind keeps it within 32 bits.
    fn small(&self, name: &str) -> u32 {
        u32::try_from(self.count(name)).expect("the catalogue bounds it")
    }

    fn word(&self, name: &str) -> String {
        self.text(name).to_ascii_lowercase()
    }

    fn capitals(&self, name: &str) -> Vec<String> {
        values::list(&self.text(name))
            .map(str::to_ascii_uppercase)
            .collect()
    }

    fn source(&mut self, ssl: SslMode) -> SourceConfig {
        let (host, port) = self.address();
        let username = self.text("canal.instance.dbUsername");
        if username.is_empty() {
            self.missing(
                "canal.instance.dbUsername",
                "the name of a MySQL user with REPLICATION SLAVE, REPLICATION CLIENT and SELECT",
            );
        }
        let home = self.cluster.map_or_else(
            || self.data.to_string_lossy().into_owned(),
            |cluster| cluster.zookeeper.name(),
        );
        let mut replica = identity::derive(&home, self.destination);
        let key = named("canal.instance.mysql.slaveId");
        if let Ok(id @ 1..) = self.layers.text(key).parse::<i64>() {
            match u32::try_from(id) {
                Ok(id) => replica.server_id = id,
                Err(_) => self.malformed(
                    key,
                    "a server id from 1 to 4294967295, or 0 for one of canald's choice".into(),
                ),
            }
        }
        SourceConfig {
            host,
            port,
            username,
            password: self.text("canal.instance.dbPassword"),
            database: self.text("canal.instance.defaultDatabaseName"),
            ssl,
            replica_server_id: replica.server_id,
            replica_uuid: replica.uuid,
            query_timeout: Duration::from_secs(self.count("canal.instance.network.soTimeout")),
            heartbeat: HEARTBEAT,
            silence: SILENCE,
        }
    }

    /// Host and port of the source; a malformed address has been reported.
    fn address(&mut self) -> (String, u16) {
        match self.layers.find(ADDRESS) {
            Ok(Some(found)) => return values::host_port(&found.value).unwrap_or_default(),
            Ok(None) => self.missing(ADDRESS, "host:port of the source"),
            Err(_) => {}
        }
        (String::new(), 0)
    }

    fn missing(&mut self, key: &str, what: &str) {
        let file = self.root.join(self.destination).join("instance.properties");
        self.problems.push(Problem::Missing {
            what: format!("destination {} has no {key}", self.destination),
            cure: format!("set it in {} to {what}", file.display()),
        });
    }

    fn malformed(&mut self, key: &Key, expected: String) {
        self.problems.push(Problem::Malformed {
            at: self.layers.origin(&[key.name]),
            key: key.name.into(),
            value: self.layers.text(key),
            expected,
        });
    }

    fn start(&mut self, time_zone: &TimeZone) -> Start {
        if let Some(text) = &self.overrides.start {
            return start::parse(text, time_zone).unwrap_or_else(|error| {
                let reason = format!("--start {text}: {error}");
                self.problems.push(Problem::Syntax {
                    at: Origin::CommandLine,
                    reason,
                });
                Start::Latest
            });
        }
        let set = self.text("canal.instance.master.gtid");
        let file = self.text("canal.instance.master.journal.name");
        let offset = self.count("canal.instance.master.position");
        let time = self.count("canal.instance.master.timestamp");
        let time = WallMillis(i64::try_from(time).expect("the catalogue bounds it"));
        // ha-meta-store reference §7.3, rows 2 to 8.
        if self.switch("canal.instance.gtidon") && !set.is_empty() {
            return self.gtid(&set);
        }
        match (file.as_str(), offset, time) {
            ("", _, WallMillis(0)) => Start::Latest,
            ("", _, time) => Start::Time(time),
            (file, 0, time) if time.0 > 0 => Start::FileAndTime(file.into(), time),
            (file, offset, _) => {
                Start::Position(BinlogPosition::new(BinlogFile::new(file), offset))
            }
        }
    }

    fn gtid(&mut self, set: &str) -> Start {
        start::parse(&format!("gtid:{set}"), &TimeZone::UTC).unwrap_or_else(|error| {
            let key = "canal.instance.master.gtid";
            let (at, reason) = (self.layers.origin(&[key]), format!("{key}: {error}"));
            self.problems.push(Problem::Syntax { at, reason });
            Start::Latest
        })
    }

    fn store(&self) -> StoreConfig {
        let batch_mode = match self.word("canal.instance.memory.batch.mode").as_str() {
            "itemsize" => BatchMode::Entries,
            _ => BatchMode::Bytes,
        };
        StoreConfig {
            entries: self.small("canal.instance.memory.buffer.size"),
            unit: self.small("canal.instance.memory.buffer.memunit"),
            batch_mode,
            ddl_isolation: self.switch("canal.instance.get.ddl.isolation"),
            reader_idle: Duration::from_secs(self.count("canald.reader.idle.seconds")),
        }
    }

    /// A transaction is put into the ring in one piece, so the ring must hold one
    /// (ha-meta-store reference §8, row 21).
    fn transaction_entries(&mut self) -> u32 {
        let entries = self.small("canal.instance.transaction.size");
        let ring = self.small("canal.instance.memory.buffer.size");
        if entries > ring {
            let keys = [
                "canal.instance.transaction.size",
                "canal.instance.memory.buffer.size",
            ];
            let at = self.layers.origin(&keys);
            let what = format!(
                "{} = {entries} exceeds {} = {ring}: a transaction would never fit into the ring; \
                 raise the latter or lower the former",
                keys[0], keys[1]
            );
            self.problems.push(Problem::Conflict { at, what });
        }
        entries
    }

    fn filter(&self) -> FilterConfig {
        let subscribe = match self.word("canald.filter.subscribe").as_str() {
            "intersect" => SubscribeFilter::Intersect,
            _ => SubscribeFilter::Replace,
        };
        FilterConfig {
            white: self.text("canal.instance.filter.regex"),
            black: self.text("canal.instance.filter.black.regex"),
            fields: self.text("canal.instance.filter.field"),
            black_fields: self.text("canal.instance.filter.black.field"),
            subscribe,
            drop_dcl: self.switch("canal.instance.filter.query.dcl"),
            drop_dml: self.switch("canal.instance.filter.query.dml"),
            drop_ddl: self.switch("canal.instance.filter.query.ddl"),
            drop_rows: self.switch("canal.instance.filter.rows"),
            drop_transaction_entries: self.switch("canal.instance.filter.transaction.entry"),
            drop_insert: self.switch("canal.instance.filter.dml.insert"),
            drop_update: self.switch("canal.instance.filter.dml.update"),
            drop_delete: self.switch("canal.instance.filter.dml.delete"),
            quarantine: self.switch("canal.instance.filter.table.error"),
        }
    }

    fn zone(&mut self) -> (TimeZone, Zone) {
        let name = self.text("canald.timezone");
        let time_zone = match name.as_str() {
            "" => zone::local().unwrap_or_else(|error| {
                self.notes.push(Note::NoZone(error.to_string()));
                TimeZone::UTC
            }),
            // A name that is none has been reported.
            name => zone::named(name).unwrap_or(TimeZone::UTC),
        };
        let zone = zone::table(&time_zone);
        (time_zone, zone)
    }

    /// Canal's XML files, by what they keep cursors in (ha-meta-store reference §4.2).
    fn meta(&mut self) -> MetaMode {
        let global = named("canal.instance.global.spring.xml");
        let own = format!("canal.instance.{}.spring.xml", self.destination);
        let (key, found) = match self.layers.find(&own) {
            Ok(Some(found)) => (own.as_str(), Some(found)),
            Ok(None) | Err(_) => (global.name, self.layers.find(global.name).ok().flatten()),
        };
        let in_cluster = self.cluster.is_some();
        let Some(found) = found else {
            return if in_cluster {
                MetaMode::ZooKeeper
            } else {
                MetaMode::File
            };
        };
        let cure = match found.value.rsplit(['/', ':']).next().unwrap_or_default() {
            "memory-instance.xml" if !in_cluster => return MetaMode::Memory,
            "file-instance.xml" if !in_cluster => return MetaMode::File,
            "default-instance.xml" if in_cluster => return MetaMode::ZooKeeper,
            "memory-instance.xml" | "file-instance.xml" => {
                "with canal.zkServers set, another server may go on with the destination, and must \
                 find its cursors: use classpath:spring/default-instance.xml"
            }
            "default-instance.xml" => {
                "its cursors live in ZooKeeper, and canal.zkServers is blank: set that, or use \
                 classpath:spring/file-instance.xml"
            }
            "group-instance.xml" => {
                "canald has no group instances: make each source a destination of its own, with \
                 classpath:spring/file-instance.xml"
            }
            _ => {
                "canald knows classpath:spring/file-instance.xml and \
                 classpath:spring/memory-instance.xml by their names and reads no XML: use one of \
                 the two"
            }
        };
        self.problems.push(Problem::Refused {
            at: found.at,
            key: key.into(),
            value: found.value,
            cure: cure.into(),
        });
        MetaMode::File
    }

    fn tls(&mut self, mode: SslMode, host: &str) -> TlsPlan {
        let versions = self.tls_versions();
        // As in canal, stores are not looked at while TLS is off.
        let (authorities, identity) = if mode == SslMode::Disabled {
            (None, None)
        } else {
            (
                self.pem(TRUST_TYPE, TRUST_URL),
                self.pem(CLIENT_TYPE, CLIENT_URL),
            )
        };
        if let Some(identity) = &identity
            && let Err(what) = identity.check_private_key()
        {
            self.malformed(named(CLIENT_URL), what.into());
        }
        TlsPlan {
            mode,
            server_name: host.into(),
            authorities,
            identity,
            versions,
        }
    }

    fn tls_versions(&mut self) -> TlsVersions {
        let names = self.capitals(TLS_VERSIONS);
        let has = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
        let versions = TlsVersions {
            tls12: has("TLSV1.2"),
            tls13: has("TLSV1.3"),
        };
        if !versions.tls12 && !versions.tls13 {
            self.problems.push(Problem::Refused {
                at: self.layers.origin(&[TLS_VERSIONS]),
                key: TLS_VERSIONS.into(),
                value: self.text(TLS_VERSIONS),
                cure: "canald speaks TLS 1.2 and 1.3 alone: add TLSv1.2, or leave it blank".into(),
            });
        }
        versions
    }

    /// The certificates of a store, if it is a PEM file; canal's default is a Java keystore.
    fn pem(&mut self, type_key: &str, url_key: &str) -> Option<Pem> {
        let url = self.text(url_key);
        if url.is_empty() {
            return None;
        }
        let kind = self.text(type_key);
        if !kind.eq_ignore_ascii_case("PEM") {
            let kind = if kind.is_empty() { "JKS" } else { &kind };
            self.problems.push(Problem::Refused {
                at: self.layers.origin(&[type_key, url_key]),
                key: type_key.into(),
                value: kind.into(),
                cure: format!(
                    "canald reads PEM files alone: export the store (keytool -importkeystore \
                     -srckeystore STORE -destkeystore s.p12 -deststoretype PKCS12; openssl pkcs12 \
                     -in s.p12 -nodes -out s.pem), then set it to PEM and {url_key} to the file",
                ),
            });
            return None;
        }
        let path = url
            .strip_prefix("file://")
            .or_else(|| url.strip_prefix("file:"));
        let path = super::resolve(self.conf, path.unwrap_or(&url));
        match Pem::load(&path) {
            Ok(pem) => Some(pem),
            Err(reason) => {
                self.malformed(
                    named(url_key),
                    format!("a PEM file with certificates ({reason})"),
                );
                None
            }
        }
    }
}
