//! Whole configurations: canal's shipped files, and one fault at a time.

use std::fs;

use canald_core::config::{BatchMode, MetaMode, Start};
use canald_core::position::{BinlogFile, BinlogPosition};
use canald_core::time::{Duration, WallMillis};

use super::*;

/// The files that canal ships.
fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/conf")
}

/// A conf folder of its own for one test, removed when it ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("canald-config-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn load(&self) -> Result<ServerConfig, Problems> {
        load(&self.0, &Overrides::default(), &Environment::default())
    }

    /// What is said about this folder's files, without the folder's own path.
    fn problems(&self) -> Vec<String> {
        let folder = format!("{}/", self.0.display());
        let problems = self.load().unwrap_err().0;
        problems
            .iter()
            .map(|p| p.to_string().replace(&folder, ""))
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const SERVER: &str = "canal.destinations = d\n";
const INSTANCE: &str = "canal.instance.master.address = db:3306\ncanal.instance.dbUsername = u\n";

/// The problems of a sound configuration to which `server` and `instance` are added, as the third line
/// of their files.
fn problems_of(name: &str, server: &str, instance: &str) -> Vec<String> {
    let folder = Folder::new(name);
    folder.write("canal.properties", format!("{SERVER}\n{server}"));
    folder.write("d/instance.properties", format!("{INSTANCE}{instance}"));
    folder.problems()
}

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment(
        pairs
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
    )
}

#[test]
fn the_shipped_files_are_served_unchanged_and_without_a_note() {
    let conf = shipped();
    let zone = environment(&[("canald.timezone", "UTC")]);
    let config = load(&conf, &Overrides::default(), &zone).unwrap();
    assert_eq!(config.notes, []);
    assert_eq!(config.listen, "[::]:11111".parse().unwrap());
    assert_eq!(config.credentials, Credentials::default());
    assert_eq!(
        (config.admin.port, config.admin.credentials.user.as_str()),
        (11110, "admin")
    );
    assert_eq!(config.metrics_port, Some(11112));
    assert_eq!(config.data, resolve(&conf, "../conf"));

    let [d] = config.destinations.as_slice() else {
        panic!("one destination")
    };
    assert_eq!(d.instance.meta, MetaMode::File);
    assert_eq!(d.folder, config.data.join("example"));
    let instance = &d.instance;
    assert_eq!(instance.destination.as_str(), "example");
    assert_eq!(
        (instance.source.host.as_str(), instance.source.port),
        ("127.0.0.1", 3306)
    );
    assert_eq!(
        (
            instance.source.username.as_str(),
            instance.source.password.as_str()
        ),
        ("canal", "canal")
    );
    assert_eq!(instance.source.query_timeout, Duration::from_secs(30));
    assert_eq!(instance.source.ssl, SslMode::Disabled);
    assert!(!instance.gtid && !instance.auto_reset && !instance.enum_text);
    assert_eq!(instance.start, Start::Latest);
    assert_eq!((instance.store.entries, instance.store.unit), (16384, 1024));
    assert_eq!(instance.store.batch_mode, BatchMode::Bytes);
    assert_eq!(instance.transaction_entries, 1024);
    assert_eq!(instance.fallback, Duration::from_secs(60));
    assert_eq!(instance.filter.white, r".*\..*");
    assert_eq!(instance.filter.black, r"mysql\.slave_.*");
    assert_eq!(instance.binlog_formats, ["ROW", "STATEMENT", "MIXED"]);
    assert_eq!(instance.row_images, ["FULL", "MINIMAL", "NOBLOB"]);
    assert_eq!(instance.connection_charset, "UTF-8");
    assert_eq!(instance.lookahead_bytes, 64 << 20);
    assert_eq!(instance.zone.name, "UTC");
}

#[test]
fn every_fault_is_told_at_once_with_its_place() {
    let folder = Folder::new("all");
    folder.write(
        "canal.properties",
        "canal.destinations = d\ncanal.prot = 1\ncanal.port = many\ncanal.zkServers = zk:many\n\
         canal.passwd = \\u12\ncanal.user = me\n",
    );
    folder.write(
        "d/instance.properties",
        "canal.instance.master.address = db\ncanal.instance.gtidon = maybe\n\
         canal.instance.memory.buffer.size = 512\ncanal.instance.enableDruid = true\n",
    );
    let told = folder.problems();
    let want = [
        "canal.properties:5: \\u must be followed by four hexadecimal digits",
        "canal.properties:2: canal.prot is not a key of canal or canald; did you mean canal.port?",
        "d/instance.properties:1: canal.instance.master.address = db: expected host:port",
        "d/instance.properties:2: canal.instance.gtidon = maybe: expected true or false",
        "canal.properties:3: canal.port = many: expected a whole number from 0 to 65535",
        "canal.properties:4: canal.zkServers = zk:many: expected host:port,host:port (zk:many: the port",
        "d/instance.properties:4: canal.instance.enableDruid = true is not supported",
        "destination d has no canal.instance.dbUsername: set it in d/instance.properties",
        "d/instance.properties:3: canal.instance.transaction.size = 1024 exceeds",
        "canal.properties:6: canal.user is set and canal.passwd is blank",
    ];
    for part in want {
        assert!(
            told.iter().any(|line| line.starts_with(part)),
            "{part}\nin {told:#?}"
        );
    }
    assert_eq!(told.len(), want.len(), "{told:#?}");
    let all = folder.load().unwrap_err().to_string();
    assert!(
        all.starts_with("the configuration has 10 problems\n  "),
        "{all}"
    );
}

#[test]
fn each_refused_key_is_refused_where_its_value_acts_and_only_there() {
    for key in keys::KEYS {
        let Status::Refused(acts, cure) = key.status else {
            continue;
        };
        let (acting, idle) = match acts {
            Acts::WhenSet => ("x", ""),
            Acts::WhenTrue => ("true", "false"),
            Acts::UnlessOneOf(words) => ("other", words[0]),
        };
        let line = |value: &str| format!("{} = {value}\n", key.name);
        let told = match key.scope {
            Scope::Server => problems_of("refused", &line(acting), ""),
            Scope::Instance => problems_of("refused", "", &line(acting)),
        };
        let file = match key.scope {
            Scope::Server => "canal.properties:3",
            Scope::Instance => "d/instance.properties:3",
        };
        assert_eq!(told.len(), 1, "{told:?}");
        let shown = if key.kind == Kind::Secret {
            "(hidden)"
        } else {
            acting
        };
        assert_eq!(
            told[0],
            format!("{file}: {} = {shown} is not supported: {cure}", key.name)
        );

        let folder = Folder::new("idle");
        folder.write("canal.properties", format!("{SERVER}{}", line(idle)));
        folder.write("d/instance.properties", INSTANCE);
        assert!(folder.load().is_ok(), "{} = {idle}", key.name);
    }
}

#[test]
fn each_typed_key_names_what_it_expects() {
    for key in keys::KEYS {
        let wrong = match key.kind {
            Kind::Text | Kind::Secret => continue,
            Kind::Names => "a/b",
            Kind::Switch
            | Kind::Count(..)
            | Kind::Power(..)
            | Kind::Number
            | Kind::Word(_)
            | Kind::Words(_)
            | Kind::Address
            | Kind::HostPort
            | Kind::Sha1
            | Kind::Zone
            | Kind::Charset => "%nonsense%",
        };
        let line = format!("{} = {wrong}", key.name);
        let told = match key.scope {
            Scope::Server => problems_of("typed", &line, ""),
            Scope::Instance => problems_of("typed", "", &line),
        };
        let part = format!(": {} = ", key.name);
        assert!(
            told.iter()
                .any(|t| t.contains(&part) && t.contains(": expected ")),
            "{}: {told:?}",
            key.name
        );
        assert!(
            key.kind != Kind::Sha1 || told.iter().all(|t| !t.contains(wrong)),
            "{told:?}"
        );
    }
}

#[test]
fn the_xml_of_canal_decides_where_cursors_live() {
    for (xml, want) in [
        ("", MetaMode::File),
        ("classpath:spring/file-instance.xml", MetaMode::File),
        ("classpath:spring/memory-instance.xml", MetaMode::Memory),
        ("memory-instance.xml", MetaMode::Memory),
    ] {
        let folder = Folder::new("xml");
        let key = format!("{SERVER}canal.instance.global.spring.xml = {xml}\n");
        folder.write("canal.properties", key);
        folder.write("d/instance.properties", INSTANCE);
        assert_eq!(
            folder.load().unwrap().destinations[0].instance.meta,
            want,
            "{xml}"
        );
    }
    for (xml, part) in [
        (
            "classpath:spring/default-instance.xml",
            "its cursors live in ZooKeeper",
        ),
        ("classpath:spring/group-instance.xml", "no group instances"),
        ("classpath:spring/my.xml", "reads no XML"),
    ] {
        let told = problems_of(
            "xml2",
            &format!("canal.instance.global.spring.xml = {xml}"),
            "",
        );
        assert!(told.len() == 1 && told[0].contains(part), "{told:?}");
        // One destination's own value wins over the global one.
        let told = problems_of("xml3", &format!("canal.instance.d.spring.xml = {xml}"), "");
        assert!(
            told.len() == 1 && told[0].contains("canal.instance.d.spring.xml"),
            "{told:?}"
        );
    }
    let told = problems_of("mode", "canal.instance.d.mode = manager", "");
    assert!(
        told.len() == 1 && told[0].contains("canal.instance.d.mode = manager"),
        "{told:?}"
    );
}

#[test]
fn keys_of_the_operators_own_are_known_where_a_placeholder_names_them() {
    let folder = Folder::new("own");
    folder.write(
        "canal.properties",
        format!("{SERVER}my.host = db1\nmy.unused = 1\n"),
    );
    folder.write(
        "d/instance.properties",
        "canal.instance.master.address = ${my.host}:${MY_PORT:3307}\n\
         canal.instance.dbUsername = ${canal.instance.destination}\n",
    );
    let told = folder.problems();
    assert_eq!(
        told,
        ["canal.properties:3: my.unused is not a key of canal or canald"]
    );

    folder.write("canal.properties", format!("{SERVER}my.host = db1\n"));
    let source = folder
        .load()
        .unwrap()
        .destinations
        .remove(0)
        .instance
        .source;
    assert_eq!(
        (source.host.as_str(), source.port, source.username.as_str()),
        ("db1", 3307, "d")
    );

    let vars = environment(&[("MY_PORT", "1"), ("my.host", "db2")]);
    let config = load(&folder.0, &Overrides::default(), &vars).unwrap();
    let source = &config.destinations[0].instance.source;
    assert_eq!((source.host.as_str(), source.port), ("db2", 1));

    folder.write(
        "d/instance.properties",
        format!("{INSTANCE}a = ${{b}}\nb = ${{a}}\n"),
    );
    folder.write(
        "canal.properties",
        format!("{SERVER}canal.ip = ${{x}}\nx = ${{x}}\n"),
    );
    assert!(folder.problems()[0].contains("canal.ip: its placeholders refer to each other"));
}

#[test]
fn unknown_variables_in_canals_dotted_form_are_reported() {
    let vars = environment(&[
        ("canal.instance.mastr.address", "db:1"),
        ("canald.timezone", "UTC"),
    ]);
    let error = load(&shipped(), &Overrides::default(), &vars).unwrap_err();
    assert_eq!(
        error.0[0].to_string(),
        "environment variable canal.instance.mastr.address: canal.instance.mastr.address is not a \
         key of canal or canald; did you mean canal.instance.master.address?"
    );
}

#[test]
fn destinations_are_listed_expanded_and_found() {
    let names = |server: &str| {
        let folder = Folder::new("names");
        folder.write("canal.properties", server);
        for d in ["b", "a", "d1", "spring", "metrics"] {
            folder.write(&format!("{d}/instance.properties"), INSTANCE);
        }
        folder.write("empty/readme", "");
        folder.load().map(|config| {
            let name = |d: &DestinationConfig| d.instance.destination.to_string();
            config.destinations.iter().map(name).collect::<Vec<_>>()
        })
    };
    assert_eq!(names("canal.destinations = b, a,b").unwrap(), ["b", "a"]);
    assert_eq!(names("canal.auto.scan = true").unwrap(), ["a", "b", "d1"]);
    assert_eq!(
        names("canal.destinations = b\ncanal.auto.scan = true").unwrap(),
        ["b", "a", "d1"]
    );
    let expr = "canal.destinations = b\ncanal.destinations.expr = d{1-1}";
    assert_eq!(names(expr).unwrap(), ["d1"]);
    for server in ["canal.auto.scan = false", "", "canal.destinations ="] {
        let told = names(server).unwrap_err().to_string();
        assert!(
            told.contains("no destination is configured: name one"),
            "{told}"
        );
    }
    for expr in ["d{1-}", "d1", "d{3-1}", "d{1-20000}", "{1-2}", "a/b{1-2}"] {
        let told = names(&format!("canal.destinations.expr = {expr}")).unwrap_err();
        assert_eq!(told.0.len(), 1, "{told}");
        assert!(told.to_string().contains("expected name{1-10}"), "{told}");
    }
    let told = names("canal.destinations = a/b").unwrap_err();
    assert!(
        told.0.len() == 1 && told.to_string().contains("expected names"),
        "{told}"
    );
    // A destination may live in canal.properties and the environment alone, else its file is named.
    let told = names("canal.destinations = nowhere")
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("nowhere has no canal.instance.master.address"),
        "{told}"
    );
    assert!(
        told.contains("nowhere/instance.properties to host:port"),
        "{told}"
    );
}

#[test]
fn the_start_follows_canals_table() {
    let start = |lines: &str| {
        let folder = Folder::new("start");
        folder.write("canal.properties", SERVER);
        let m = "canal.instance.master.";
        let lines = lines
            .split_whitespace()
            .map(|line| match line.strip_prefix("gtidon") {
                Some(rest) => format!("canal.instance.gtidon{rest}\n"),
                None => format!("{m}{line}\n"),
            });
        folder.write(
            "d/instance.properties",
            format!("{INSTANCE}{}", lines.collect::<String>()),
        );
        folder
            .load()
            .map(|config| config.destinations[0].instance.start.clone())
    };
    let at = |offset| Start::Position(BinlogPosition::new(BinlogFile::new("b.1"), offset));
    let time = WallMillis(1_700_000_000_000);
    for (lines, want) in [
        ("", Start::Latest),
        ("position=4", Start::Latest),
        ("timestamp=1700000000000", Start::Time(time)),
        ("journal.name=b.1 position=120", at(120)),
        (
            "journal.name=b.1 position=120 timestamp=1700000000000",
            at(120),
        ),
        (
            "journal.name=b.1 timestamp=1700000000000",
            Start::FileAndTime("b.1".into(), time),
        ),
        ("journal.name=b.1", at(0)),
        ("gtid=0-1-5", Start::Latest),
        ("gtid=0-1-5 gtidon=true", Start::Gtid("0-1-5".into())),
        (
            "gtid=0-1-5 gtidon=true journal.name=b.1",
            Start::Gtid("0-1-5".into()),
        ),
    ] {
        assert_eq!(start(lines).unwrap(), want, "{lines}");
    }
    let told = start("gtid=b.1 gtidon=true").unwrap_err().to_string();
    assert!(
        told.contains("canal.instance.master.gtid: b.1 is not part of a GTID set"),
        "{told}"
    );
}

#[test]
fn the_command_line_wins() {
    let overrides = Overrides {
        destination: Some("example".into()),
        listen: Some("127.0.0.1:0".parse().unwrap()),
        data: Some("/var/lib/canald".into()),
        start: Some("bin.000001:4".into()),
        ssl: Some(SslMode::Required),
    };
    let vars = environment(&[("canal.port", "1"), ("canald.timezone", "UTC")]);
    let config = load(&shipped(), &overrides, &vars).unwrap();
    assert_eq!(config.listen, "127.0.0.1:0".parse().unwrap());
    assert_eq!(
        config.destinations[0].folder,
        Path::new("/var/lib/canald/example")
    );
    assert_eq!(config.destinations[0].tls.mode, SslMode::Required);
    let start = BinlogPosition::new(BinlogFile::new("bin.000001"), 4);
    assert_eq!(
        config.destinations[0].instance.start,
        Start::Position(start)
    );

    let other = Overrides {
        destination: Some("other".into()),
        ..Overrides::default()
    };
    let told = load(&shipped(), &other, &vars).unwrap_err().to_string();
    assert!(
        told.contains("there is no destination other: the configuration has example"),
        "{told}"
    );
    let bad = Overrides {
        start: Some("soon".into()),
        ..Overrides::default()
    };
    let told = load(&shipped(), &bad, &vars).unwrap_err().to_string();
    assert!(
        told.contains("command line: --start soon: expected earliest"),
        "{told}"
    );
}

#[test]
fn a_source_on_the_command_line_needs_no_files() {
    let url: SourceUrl = "mysql://me@[::1]:3307/shop".parse().unwrap();
    let vars = environment(&[
        (PASSWORD_VARIABLE, "${hush} "),
        ("canald.enum.text", "true"),
    ]);
    let config = from_source(&url, Path::new("/d"), &Overrides::default(), &vars).unwrap();
    let [d] = config.destinations.as_slice() else {
        panic!("one destination")
    };
    assert_eq!(d.instance.destination.as_str(), "example");
    assert_eq!(
        (d.instance.source.host.as_str(), d.instance.source.port),
        ("::1", 3307)
    );
    assert_eq!(d.instance.source.username, "me");
    assert_eq!(d.instance.source.password, "${hush} ");
    assert_eq!(d.instance.source.database, "shop");
    assert_eq!(d.instance.meta, MetaMode::File);
    assert_eq!(d.folder, Path::new("/d/example"));
    assert!(d.instance.enum_text);

    let url: SourceUrl = "mysql://me:own@h".parse().unwrap();
    let overrides = Overrides {
        destination: Some("x".into()),
        ..Overrides::default()
    };
    let config = from_source(&url, Path::new("/d"), &overrides, &vars).unwrap();
    assert_eq!(config.destinations[0].instance.source.password, "own");
    assert_eq!(config.destinations[0].instance.destination.as_str(), "x");
}

#[test]
fn the_replica_is_derived_unless_it_is_given() {
    let id = |line: &str| {
        let folder = Folder::new("replica");
        folder.write(
            "canal.properties",
            format!("{SERVER}canal.file.data.dir = /data\n"),
        );
        folder.write("d/instance.properties", format!("{INSTANCE}{line}"));
        folder
            .load()
            .map(|c| c.destinations[0].instance.source.replica_server_id)
    };
    let derived = id("").unwrap();
    assert!(derived >= 1 << 30);
    assert_eq!(id("canal.instance.mysql.slaveId = 0").unwrap(), derived);
    assert_eq!(id("canal.instance.mysql.slaveId = -5").unwrap(), derived);
    assert_eq!(id("canal.instance.mysql.slaveId = 1234").unwrap(), 1234);
    let told = id("canal.instance.mysql.slaveId = 4294967296")
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("expected a server id from 1 to 4294967295"),
        "{told}"
    );
}

#[test]
fn stores_of_certificates_are_pem() {
    const STORE: &str = "canal.instance.master.trustCertificateKeyStore";
    const CLIENT: &str = "canal.instance.master.clientCertificateKeyStore";
    let folder = Folder::new("pem");
    folder.write("ca.pem", "-----BEGIN CERTIFICATE-----\n");
    folder.write(
        "key.pem",
        "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n",
    );
    folder.write(
        "locked.pem",
        "-----BEGIN CERTIFICATE-----\n-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
    );
    folder.write("empty.pem", "");
    folder.write("canal.properties", SERVER);
    let load = |lines: &str| {
        let text = format!("{INSTANCE}canal.instance.master.sslMode = VERIFY_CA\n{lines}");
        folder.write("d/instance.properties", text);
        folder.load()
    };
    let tls = |lines: &str| load(lines).map(|c| c.destinations[0].tls.clone());

    let plan = tls(&format!(
        "{STORE}Type=PEM\n{STORE}Url=file:../conf/ca.pem\n{CLIENT}Type=pem\n{CLIENT}Url=../conf/key.pem\n\
         canal.instance.master.tlsVersions=TLSv1.1,TLSv1.2\n"
    ));
    let plan = plan.unwrap();
    assert_eq!(plan.authorities.unwrap().path, folder.0.join("ca.pem"));
    assert!(plan.identity.is_some());
    assert_eq!((plan.versions.tls12, plan.versions.tls13), (true, false));
    assert_eq!(plan.server_name, "db");

    for (lines, part) in [
        (
            format!("{STORE}Url=/x.jks\n"),
            "Type = JKS is not supported: canald reads PEM files alone",
        ),
        (
            format!("{STORE}Type=JKS\n{STORE}Url=/x.jks\n"),
            "Type = JKS is not supported",
        ),
        (
            format!("{STORE}Type=PEM\n{STORE}Url=/nowhere.pem\n"),
            "expected a PEM file",
        ),
        (
            format!("{STORE}Type=PEM\n{STORE}Url=../conf/empty.pem\n"),
            "holds no certificate",
        ),
        (
            format!("{CLIENT}Type=PEM\n{CLIENT}Url=../conf/ca.pem\n"),
            "and its private key",
        ),
        (
            format!("{CLIENT}Type=PEM\n{CLIENT}Url=../conf/locked.pem\n"),
            "unencrypted private key",
        ),
        (
            "canal.instance.master.tlsVersions=TLSv1\n".into(),
            "canald speaks TLS 1.2 and 1.3 alone",
        ),
    ] {
        let told = load(&lines).unwrap_err();
        assert!(
            told.0.len() == 1 && told.to_string().contains(part),
            "{lines}: {told}"
        );
    }
}

#[test]
fn odd_but_harmless_things_are_noted() {
    let folder = Folder::new("notes");
    folder.write(
        "canal.properties",
        format!("{SERVER}canald.timezone = UTC\ncanal.port = 1\ncanal.port = 2\ncanal.auto.scan.interval = 60\n"),
    );
    folder.write(
        "d/instance.properties",
        format!("{INSTANCE}canal.ip = 127.0.0.1\n"),
    );
    let config = folder.load().unwrap();
    assert_eq!(config.listen.port(), 2);
    let told: Vec<_> = config.notes.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].ends_with("canal.properties:5: canal.auto.scan.interval has no effect: canald scans once, when it starts"));
    assert!(told[1].ends_with(
        "d/instance.properties:3: canal.ip has no effect here: move it to canal.properties"
    ));
    assert!(
        told[2].ends_with(
            "canal.properties:3: canal.port has no effect: it is set again further down"
        )
    );
}

#[test]
fn unreadable_and_foreign_files_are_named() {
    let folder = Folder::new("bytes");
    assert!(folder.problems()[0].starts_with("canal.properties: cannot be read"));
    folder.write("canal.properties", b"canal.destinations = d\n# caf\xe9\n");
    folder.write("d/instance.properties", INSTANCE);
    assert_eq!(
        folder.problems(),
        ["canal.properties:2: not UTF-8: save the file as UTF-8"]
    );
}

#[test]
fn relative_paths_begin_in_a_bin_beside_the_conf_folder() {
    let conf = Path::new("/opt/canal/conf");
    for (path, want) in [
        ("../conf", "/opt/canal/conf"),
        ("../conf/x", "/opt/canal/conf/x"),
        ("../data", "/opt/canal/data"),
        ("data/./x", "/opt/canal/bin/data/x"),
        ("../../../../x", "/x"),
        ("/var/x", "/var/x"),
    ] {
        assert_eq!(resolve(conf, path), Path::new(want), "{path}");
    }
    assert_eq!(
        resolve(Path::new("/etc/canald"), "../conf/d"),
        Path::new("/etc/canald/d")
    );
}

/// A key that the catalogue calls supported and nobody reads would be a lie: changing it must change
/// what is built.
#[test]
fn every_supported_key_changes_something() {
    let base = format!("{SERVER}canald.timezone = UTC\n");
    let built = |line: &str| {
        let folder = Folder::new("live");
        folder.write("canal.properties", format!("{base}{line}"));
        folder.write(
            "ca.pem",
            "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n",
        );
        folder.write("d/instance.properties", INSTANCE);
        let shown = folder
            .load()
            .map_or_else(|e| e.to_string(), |c| format!("{c:?}"));
        shown.replace(&folder.0.display().to_string(), "")
    };
    let plain = built("");
    for key in keys::KEYS
        .iter()
        .filter(|key| key.status == Status::Supported)
    {
        let cluster = "canal.zkServers = zk\n";
        let pem = "canal.instance.master.sslMode = REQUIRED\n";
        let (value, with) = match (key.name, key.kind) {
            ("canal.instance.master.gtid", _) => ("0-1-5", "canal.instance.gtidon = true\n"),
            ("canal.instance.master.position", _) => {
                ("5", "canal.instance.master.journal.name = b.1\n")
            }
            ("canal.instance.master.address" | "canal.instance.dbUsername", _) => continue,
            ("canal.conf.dir", _) => ("/nowhere", ""),
            ("canal.auto.scan", _) => ("true", "canal.conf.dir = /nowhere\n"),
            ("canal.admin.passwd", _) => ("e3619321c1a937c46a0d8bd1dac39f93b27d4458", ""),
            ("canal.destinations.expr", _) => ("e{1-2}", ""),
            ("canal.instance.global.spring.xml", _) => ("memory-instance.xml", ""),
            ("canald.decode.threads", _) => ("999", ""),
            ("canal.register.ip", _) => ("db1", cluster),
            ("canald.zookeeper.session.timeout.ms", _) => ("4000", cluster),
            (name, _) if name.ends_with("StoreUrl") => ("../conf/ca.pem", pem),
            (name, _) if name.ends_with("StoreType") => ("PEM", pem),
            (_, Kind::Switch) => ("true", ""),
            (_, Kind::Power(..)) => ("2048", ""),
            (_, Kind::Count(..) | Kind::Number) => ("77", ""),
            (_, Kind::Word(words) | Kind::Words(words)) => (words[1], ""),
            (_, Kind::Address) => ("127.0.0.1", ""),
            (_, Kind::Sha1) => ("e3619321c1a937c46a0d8bd1dac39f93b27d4458", ""),
            (_, Kind::Zone) => ("Asia/Shanghai", ""),
            (_, Kind::Charset) => ("GBK", ""),
            (_, Kind::Names) => ("other", ""),
            (_, Kind::Text | Kind::Secret | Kind::HostPort) => ("changed", ""),
        };
        let extra = match key.name {
            name if name.ends_with("StoreType") => {
                format!("{} = ../conf/ca.pem\n", name.replace("Type", "Url"))
            }
            _ => String::new(),
        };
        let before = if with.is_empty() {
            plain.clone()
        } else {
            built(&format!("{with}{extra}"))
        };
        let after = built(&format!("{with}{extra}{} = {value}\n", key.name));
        assert_ne!(before, after, "{} = {value} changes nothing", key.name);
    }
}

/// The lines of a server that is one of a cluster, with `more`.
fn in_cluster(more: &str) -> String {
    format!(
        "{SERVER}canal.zkServers = zk2:2182,zk1/canal\n\
         canal.instance.global.spring.xml = classpath:spring/default-instance.xml\n{more}"
    )
}

#[test]
fn a_cluster_is_joined_where_zookeeper_is_named() {
    let folder = Folder::new("cluster");
    folder.write("d/instance.properties", INSTANCE);
    folder.write("canal.properties", in_cluster("canal.register.ip = db1\n"));
    let config = folder.load().unwrap();
    let cluster = config.cluster.unwrap();
    assert_eq!(cluster.host.as_deref(), Some("db1"));
    assert_eq!(
        cluster.zookeeper.connect_string(),
        "zk2:2182,zk1:2181/canal"
    );
    assert_eq!(cluster.zookeeper.session_timeout.as_secs(), 10);
    assert_eq!(config.destinations[0].instance.meta, MetaMode::ZooKeeper);
    let here = config.destinations[0].instance.source.clone();
    let other = Folder::new("cluster-other");
    other.write("d/instance.properties", INSTANCE);
    let more = "canald.zookeeper.session.timeout.ms = 2000\ncanal.ip = 10.0.0.7\n";
    other.write("canal.properties", in_cluster(more));
    let config = other.load().unwrap();
    let cluster = config.cluster.unwrap();
    assert_eq!(cluster.host.as_deref(), Some("10.0.0.7"));
    assert_eq!(cluster.zookeeper.session_timeout.as_secs(), 2);
    let there = &config.destinations[0].instance.source;
    assert_eq!(
        (here.replica_server_id, &here.replica_uuid),
        (there.replica_server_id, &there.replica_uuid),
        "to the source all servers of a cluster are one replica"
    );
}

#[test]
fn a_cluster_keeps_its_cursors_where_the_next_owner_finds_them() {
    for xml in ["file-instance.xml", "memory-instance.xml"] {
        let folder = Folder::new("cluster-xml");
        folder.write("d/instance.properties", INSTANCE);
        let lines = in_cluster("").replace("default-instance.xml", xml);
        folder.write("canal.properties", lines);
        let told = folder.problems();
        assert!(told[0].contains("another server may go on"), "{told:?}");
    }
    for (line, part) in [
        (
            "canal.register.ip = ::1\n",
            "canal.register.ip = ::1: expected a host name or an IPv4",
        ),
        (
            "canald.zookeeper.session.timeout.ms = 5\n",
            "expected a whole number from 1000",
        ),
    ] {
        let folder = Folder::new("cluster-bad");
        folder.write("d/instance.properties", INSTANCE);
        folder.write("canal.properties", in_cluster(line));
        let told = folder.problems();
        assert!(told[0].contains(part), "{told:?}");
    }
}
