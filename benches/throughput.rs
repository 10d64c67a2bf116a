//! From a real server's log to a client on loopback, in one run beside the limits: the rate at which
//! the source gives its log to someone who throws it away, decoding alone, decoding and the ring, and
//! what one counting client receives from the daemon, with the daemon's processor time and memory.
//!
//! The server writes the whole log first. Then each stage reads the same log; client, daemon and
//! source share the machine. Latency and idle cost are measured on a quiet server.
//!
//! ```text
//! cargo bench -p canald-benches --bench throughput -- [OPTIONS] [bulk|single|wide|text|idle|latency]...
//!   --scale F      write F times the rows (default 1)
//!   --source KIND  mysql97 (default), mariadb1011, mysql56
//!   --java         measure the Java server in the same run; it cannot read MySQL from 8.4 on
//!   --record       write the logs of the bench `decode`, and nothing else
//! ```
//!
//! Processor time is that of the daemon from its start; the Java server's is counted from the moment
//! when it listens, so that the start of its virtual machine does not count.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use canald_benches::client::{Count, Counter, Patience};
use canald_benches::java::JavaServer;
use canald_benches::process::{cpu_seconds, resident};
use canald_benches::source::Source;
use canald_benches::stages::{READ_BYTES, Stages};
use canald_benches::workload::{SCHEMA, Workload, end_of_log, reset};
use canald_core::binlog::event::EventHeader;
use canald_core::binlog::stream::EventStream;
use canald_core::config::{BatchMode, StoreConfig};
use canald_core::meta::identity::ClientId;
use canald_core::store::{EventStore, ReadFrom};
use canald_tests::harness::Scratch;
use canald_tests::harness::canald::{Canald, DESTINATION, Plan};
use canald_tests::harness::server::{Kind, Server};

/// The daemon's allocator, for the stages that run here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a client asks for at a time.
const BATCH: u32 = 1000;

fn main() -> Result<()> {
    let options = Options::parse()?;
    if options.record {
        return record();
    }
    let server = Server::start(options.source, server_options(options.source))?;
    let server = server.context("this source cannot be had here")?;
    print_machine(&server)?;
    for workload in [
        Workload::Bulk,
        Workload::Single,
        Workload::Wide,
        Workload::Text,
    ] {
        if options.wants(workload.name()) {
            let rows = workload.write(&server, (options.scale * default_rows(workload)) as u32)?;
            measure(&server, workload, rows, &options)?;
        }
    }
    server.sql(reset(server.kind()))?;
    if options.wants("idle") {
        idle(&server)?;
    }
    if options.wants("latency") {
        latency(&server)?;
    }
    Ok(())
}

/// The log names its columns where it can, so that no stage has to ask for them.
const fn server_options(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::MySql97 | Kind::MariaDb1011 => {
            &["--binlog-row-metadata=FULL", "--max-binlog-size=1G"]
        }
        Kind::MySql56 => &["--max-binlog-size=1G"],
    }
}

struct Options {
    record: bool,
    java: bool,
    source: Kind,
    scale: f64,
    parts: Vec<String>,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self {
            record: false,
            java: false,
            source: Kind::MySql97,
            scale: 1.0,
            parts: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--record" => options.record = true,
                "--java" => options.java = true,
                "--source" => {
                    let name = arguments.next().context("--source needs a kind")?;
                    let kinds = [Kind::MySql97, Kind::MariaDb1011, Kind::MySql56];
                    let kind = kinds.into_iter().find(|kind| kind.name() == name);
                    options.source = kind.with_context(|| format!("unknown source {name}"))?;
                }
                "--scale" => {
                    options.scale = arguments
                        .next()
                        .context("--scale needs a number")?
                        .parse()?;
                }
                "--bench" => {} // cargo's own
                part if !part.starts_with('-') => options.parts.push(part.to_owned()),
                other => bail!("unknown option {other}"),
            }
        }
        ensure!(
            !(options.java && options.source == Kind::MySql97),
            "the Java server cannot read MySQL from 8.4 on: add --source mariadb1011"
        );
        Ok(options)
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }
}

const fn default_rows(workload: Workload) -> f64 {
    match workload {
        Workload::Bulk => 8e6,
        Workload::Single => 300e3,
        Workload::Wide => 1e6,
        Workload::Text => 400e3,
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what the bench is for")]
fn print_machine(server: &Server) -> Result<()> {
    let cores = std::thread::available_parallelism()?;
    let version = server.sql("SELECT VERSION()")?;
    println!("{cores} cores, source MySQL {}", version.trim());
    Ok(())
}

/// How long a stage took for how much.
#[derive(Clone, Copy)]
struct Timed {
    rows: u64,
    seconds: f64,
}

impl Timed {
    fn rate(self) -> f64 {
        self.rows as f64 / self.seconds
    }
}

/// All stages over one log.
#[expect(clippy::print_stdout, reason = "the figures are what the bench is for")]
fn measure(server: &Server, workload: Workload, rows: u64, options: &Options) -> Result<()> {
    let (file, end) = log_status(server)?;
    println!(
        "\n{} ({rows} rows, {:.0} MB of binlog)",
        workload.title(),
        end as f64 / 1e6
    );
    println!(
        "  {:<22} {:>10} {:>9} {:>9} {:>9} {:>9}",
        "", "M rows/s", "of dump", "MB/s", "CPU s/M", "peak MB"
    );
    let print = |name: &str, timed: Timed, base: f64, bytes: u64, cost: Option<Cost>| {
        let cost = cost.map_or_else(String::new, |cost| {
            format!(
                " {:>9.3} {:>9.1}",
                cost.cpu / timed.rows as f64 * 1e6,
                cost.peak as f64 / 1e6
            )
        });
        println!(
            "  {name:<22} {:>10.3} {:>9.2} {:>9.0}{cost}",
            timed.rate() / 1e6,
            timed.rate() / base,
            bytes as f64 / timed.seconds / 1e6,
        );
    };
    // The first reading warms the file, and is what the stages here work on.
    let log = dump(server, end)?;
    let (raw, raw_cost) = raw_dump(server, end, rows)?;
    let base = raw.rate();
    print("raw dump", raw, base, end, Some(raw_cost));
    print("decode", decode(&log, rows)?, base, end, None);
    print("decode, store", store(&log, rows)?, base, end, None);
    drop(log);
    let (received, bytes, cost) = receive(server, rows)?;
    print("received by a client", received, base, bytes, Some(cost));
    if options.java
        && let Some((by_java, bytes, java_cost)) = receive_from_java(server, rows, &file)?
    {
        print("received from Java", by_java, base, bytes, Some(java_cost));
        println!(
            "  beside Java: 1/{:.1} of its processor time, {:.1} times its rate, 1/{:.1} of its memory",
            java_cost.cpu / cost.cpu,
            received.rate() / by_java.rate(),
            java_cost.peak as f64 / cost.peak as f64
        );
    }
    Ok(())
}

/// The newest file of the log, and its length.
fn log_status(server: &Server) -> Result<(String, u64)> {
    let status = server.sql(end_of_log(server.kind()))?;
    let mut fields = status.trim_end().split('\t');
    let file = fields.next().context("the server has no log")?;
    let offset = fields
        .next()
        .context("the server does not say where its log ends")?;
    Ok((file.to_owned(), offset.parse()?))
}

fn port(server: &Server) -> Result<u16> {
    Ok(server.fact("port")?.parse()?)
}

fn connect(server: &Server) -> Result<Source> {
    Source::connect(port(server)?, "canal", "canal")
}

/// The whole log, event after event.
fn dump(server: &Server, end: u64) -> Result<Vec<u8>> {
    let mut log = Vec::with_capacity(end as usize + READ_BYTES);
    connect(server)?.dump(end, |event: Bytes| log.extend_from_slice(&event))?;
    Ok(log)
}

/// The log to nowhere; the cost is the server's.
fn raw_dump(server: &Server, end: u64, rows: u64) -> Result<(Timed, Cost)> {
    let pid = server.fact("pid")?.parse()?;
    let before = cpu_seconds(pid)?;
    let source = connect(server)?;
    let started = Instant::now();
    source.dump(end, drop)?;
    let seconds = started.elapsed().as_secs_f64();
    let cost = Cost {
        cpu: cpu_seconds(pid)? - before,
        peak: resident(pid)?.1,
    };
    Ok((Timed { rows, seconds }, cost))
}

/// The stages up to segments, on this thread.
fn decode(log: &[u8], rows: u64) -> Result<Timed> {
    let started = Instant::now();
    flow(log, drop)?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Timed { rows, seconds })
}

/// The same, and through the ring of the shipped size to a reader.
fn store(log: &[u8], rows: u64) -> Result<Timed> {
    let mut store = EventStore::new(StoreConfig {
        entries: 16_384,
        unit: 1024,
        batch_mode: BatchMode::Bytes,
        ddl_isolation: false,
        reader_idle: Duration::from_secs(60),
    });
    let client = ClientId(1001);
    store.attach(client, ReadFrom::Oldest);
    let mut stored = 0;
    let started = Instant::now();
    flow(log, |segment| {
        while !store.can_put(&segment) {
            let taken = store.get(client, u64::from(BATCH), &mut |_| true);
            let taken = taken.expect("a full ring has something for its reader");
            stored += taken.rows;
            store.ack(client, taken.end);
        }
        store.put(segment);
    })?;
    while let Some(taken) = store.get(client, u64::from(BATCH), &mut |_| true) {
        stored += taken.rows;
        store.ack(client, taken.end);
    }
    let seconds = started.elapsed().as_secs_f64();
    ensure!(
        stored == rows,
        "{stored} rows of {rows} came out of the ring"
    );
    Ok(Timed { rows, seconds })
}

fn flow(log: &[u8], mut sink: impl FnMut(canald_core::store::segment::Segment)) -> Result<()> {
    let mut stages = Stages::new(EventStream::for_dump(), ".*\\..*")?;
    let mut buffer = BytesMut::new();
    for chunk in log.chunks(READ_BYTES) {
        buffer.reserve(READ_BYTES);
        buffer.extend_from_slice(chunk);
        while let Ok(header) = EventHeader::parse(&buffer)
            && buffer.len() >= header.size as usize
        {
            stages.take(buffer.split_to(header.size as usize).freeze())?;
        }
        stages.drain(&mut sink)?;
    }
    Ok(())
}

/// What a process used.
#[derive(Clone, Copy)]
struct Cost {
    /// Seconds of processor time.
    cpu: f64,
    /// Most bytes resident.
    peak: u64,
}

/// The daemon from the oldest event on, and one client. Timed from the moment when the daemon listens.
fn receive(server: &Server, rows: u64) -> Result<(Timed, u64, Cost)> {
    let scratch = Scratch::new()?;
    let canald = Canald::serve(&Plan::new(server.source("canal", "canal")?, scratch.path()))?;
    let started = Instant::now();
    let (total, seconds) = count(canald.address(), rows, Patience::Waits, started)
        .with_context(|| canald.last_words())?;
    let cost = Cost {
        cpu: cpu_seconds(canald.pid())?,
        peak: resident(canald.pid())?.1,
    };
    canald.stop()?;
    Ok((Timed { rows, seconds }, total.bytes, cost))
}

/// The same with the Java server; none if it cannot be had here.
fn receive_from_java(server: &Server, rows: u64, file: &str) -> Result<Option<(Timed, u64, Cost)>> {
    let Some(java) = JavaServer::start(DESTINATION, port(server)?, file)? else {
        return Ok(None);
    };
    let before = cpu_seconds(java.pid())?;
    let started = Instant::now();
    let (total, seconds) = count(java.address(), rows, Patience::Polls, started)?;
    let cost = Cost {
        cpu: cpu_seconds(java.pid())? - before,
        peak: resident(java.pid())?.1,
    };
    Ok(Some((Timed { rows, seconds }, total.bytes, cost)))
}

/// Receives until `rows` have come.
fn count(
    address: SocketAddr,
    rows: u64,
    patience: Patience,
    started: Instant,
) -> Result<(Count, f64)> {
    let mut client = Counter::subscribe(address, DESTINATION, BATCH, patience)?;
    let mut total = Count::default();
    while total.rows < rows {
        let next = client.next_batch()?;
        total.entries += next.entries;
        total.rows += next.rows;
        total.bytes += next.bytes;
    }
    Ok((total, started.elapsed().as_secs_f64()))
}

/// How long an idle daemon is watched.
const IDLE_TIME: Duration = Duration::from_secs(20);
/// What it may take to become idle.
const SETTLE_TIME: Duration = Duration::from_secs(2);

#[expect(clippy::print_stdout, reason = "the figures are what the bench is for")]
fn idle(server: &Server) -> Result<()> {
    let scratch = Scratch::new()?;
    let canald = Canald::serve(&Plan::new(server.source("canal", "canal")?, scratch.path()))?;
    std::thread::sleep(SETTLE_TIME);
    let before = cpu_seconds(canald.pid())?;
    std::thread::sleep(IDLE_TIME);
    let cpu = cpu_seconds(canald.pid())? - before;
    let (now, peak) = resident(canald.pid())?;
    println!(
        "\nidle, one destination: {:.1} MB resident ({:.1} MB at peak), {cpu:.2} s of CPU in {} s",
        now as f64 / 1e6,
        peak as f64 / 1e6,
        IDLE_TIME.as_secs()
    );
    canald.stop()
}

const LATENCY_SAMPLES: usize = 500;
const LATENCY_EVERY: Duration = Duration::from_millis(20);

/// From a commit to the client, one row at a time, with nothing else going on.
#[expect(clippy::print_stdout, reason = "the figures are what the bench is for")]
fn latency(server: &Server) -> Result<()> {
    server.sql(&format!(
        "CREATE TABLE IF NOT EXISTS {SCHEMA}.tick (id INT NOT NULL PRIMARY KEY)"
    ))?;
    server.sql(reset(server.kind()))?;
    let scratch = Scratch::new()?;
    let canald = Canald::serve(&Plan::new(server.source("canal", "canal")?, scratch.path()))?;
    let mut client = Counter::subscribe(canald.address(), DESTINATION, BATCH, Patience::Waits)?;
    let (arrivals, arrived) = channel();
    let receiver = std::thread::spawn(move || -> Result<()> {
        let mut rows = 0;
        while rows < LATENCY_SAMPLES as u64 {
            let count = client.next_batch()?;
            let now = Instant::now();
            rows += count.rows;
            for _ in 0..count.rows {
                arrivals.send(now)?;
            }
        }
        Ok(())
    });
    let mut source = Source::connect(port(server)?, "root", "root")?;
    let (mut from_sent, mut from_done) = (Vec::new(), Vec::new());
    for id in 0..LATENCY_SAMPLES {
        std::thread::sleep(LATENCY_EVERY);
        let sent = Instant::now();
        source.query(&format!("INSERT INTO {SCHEMA}.tick VALUES ({id})"))?;
        let done = Instant::now();
        let arrival = arrived.recv_timeout(Duration::from_secs(10))?;
        from_sent.push(arrival.saturating_duration_since(sent));
        from_done.push(arrival.saturating_duration_since(done));
    }
    receiver
        .join()
        .map_err(|_| anyhow::anyhow!("the client panicked"))??;
    server.sql(&format!("DROP TABLE {SCHEMA}.tick"))?;
    println!("\nlatency of one row, {LATENCY_SAMPLES} samples, ms        p50      p99      max");
    for (name, times) in [
        ("from sending the INSERT", &mut from_sent),
        ("after the server's OK", &mut from_done),
    ] {
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
        println!(
            "  {name:<40} {:>8.2} {:>8.2} {:>8.2}",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    canald.stop()
}

/// Writes the logs that the bench `decode` reads.
fn record() -> Result<()> {
    let server = Server::start(Kind::MySql97, &["--binlog-row-metadata=FULL"])?;
    let server = server.context("MySQL 9.7 cannot be had here")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    std::fs::create_dir_all(&folder)?;
    for (workload, rows) in [
        (Workload::Bulk, 4000),
        (Workload::Single, 500),
        (Workload::Wide, 400),
        (Workload::Text, 200),
    ] {
        workload.write(&server, rows)?;
        server.sql("FLUSH BINARY LOGS")?;
        let log = Path::new(server.fact("data")?).join("binlog.000001");
        let recorded = std::fs::read(log)?;
        std::fs::write(folder.join(format!("{}.binlog", workload.name())), recorded)?;
    }
    Ok(())
}
