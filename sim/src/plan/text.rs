//! A [`Plan`] as text that people edit, and back, exactly.
//!
//! TOML outside, one-line items inside: `0.120s commit t0 +3 ~2 -1 text 40, t1 +1`, `1.500s cut source 2s`,
//! `1001 good, batch 100`. Nothing is optional and nothing is ignored: a plan says all that it was run with.
//! Items may stand in any order; they are put in order of time. What cannot be run is refused here, with its
//! line and what could stand there.
//!
//! It never reads or writes files.

mod item;
mod words;

#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::time::Duration;

use canald_core::store::RING_ENTRIES_MAX;
use toml::de::{DeTable, DeValue};

use self::item::{FLAVORS, read_client, read_fault, read_step};
use self::words::{Words, Wrong, lasting, list, named, time};
use crate::plan::{ClientPlan, Options, Plan};

/// The version of the format: the only one that is read. It goes up when a plan of before would be read as
/// another one, or not at all.
pub const FORMAT: u32 = 1;

/// The first line of every plan.
const ABOUT: &str =
    "# A run of canald's simulator. Change it at will, and run it with: cargo sim replay FILE";

/// The key of the version.
const VERSION: &str = "canald-sim";

/// The keys of a plan.
const KEYS: [&str; 4] = [VERSION, "seed", "options", "run"];

/// The keys of its options.
const OPTIONS: [&str; 16] = [
    "flavor",
    "gtid",
    "full_metadata",
    "checksum",
    "rows_per_event",
    "ring_entries",
    "ring_unit",
    "count_entries",
    "transaction_entries",
    "ddl_isolation",
    "window",
    "segment",
    "latency",
    "disk_latency",
    "reader_idle",
    "clients",
];

/// The keys of what is done and what breaks.
const RUN: [&str; 2] = ["workload", "faults"];

/// The most bytes that an option can count: canald's own limit of a ring's unit, and more than any buffer
/// of a simulated connection needs.
const BYTES_MAX: u32 = 1 << 30;

/// The most clients of a plan: they are numbered in a byte.
const CLIENTS_MAX: u8 = u8::MAX;

/// What is wrong with the text of a plan, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {found}; expected {expected}")]
pub struct TextFault {
    /// The name of the text.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What was found there.
    pub found: String,
    /// What could stand there.
    pub expected: String,
}

/// The text of `plan`, of which [`read`] makes the same plan again, if it is one that can be run.
#[must_use]
pub fn write(plan: &Plan) -> String {
    let mut out = format!("{ABOUT}\n{VERSION} = {FORMAT}\nseed = {}\n", plan.seed);
    out += "\n[options]\n";
    write_options(&mut out, &plan.options);
    out += "\n[run]\n";
    write_items(&mut out, "workload", &plan.workload);
    write_items(&mut out, "faults", &plan.faults);
    out
}

fn write_options(out: &mut String, options: &Options) {
    let (least, most) = options.latency;
    let lines: [(&str, &dyn Display); 15] = [
        ("flavor", &Quoted(options.flavor)),
        ("gtid", &options.gtid),
        ("full_metadata", &options.full_metadata),
        ("checksum", &options.checksum),
        ("rows_per_event", &options.rows_per_event),
        ("ring_entries", &options.ring_entries),
        ("ring_unit", &options.ring_unit),
        ("count_entries", &options.count_entries),
        ("transaction_entries", &options.transaction_entries),
        ("ddl_isolation", &options.ddl_isolation),
        ("window", &options.window),
        ("segment", &options.segment),
        (
            "latency",
            &Quoted(format!("{}..{}", lasting(least), lasting(most))),
        ),
        ("disk_latency", &Quoted(lasting(options.disk_latency))),
        ("reader_idle", &Quoted(lasting(options.reader_idle))),
    ];
    for (key, value) in lines {
        *out += &format!("{key} = {value}\n");
    }
    write_items(out, "clients", &options.clients);
}

fn write_items<T: Display>(out: &mut String, key: &str, items: &[T]) {
    if items.is_empty() {
        *out += &format!("{key} = []\n");
        return;
    }
    *out += &format!("{key} = [\n");
    for item in items {
        *out += &format!("  {},\n", Quoted(item));
    }
    *out += "]\n";
}

/// Text of TOML; nothing that a plan prints needs an escape.
struct Quoted<T>(T);

impl<T: Display> Display for Quoted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// The plan that `text` is; faults call it `name`.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read(name: &str, text: &str) -> Result<Plan, TextFault> {
    let page = Page { name, text };
    let (root, errors) = DeTable::parse_recoverable(text);
    // They come as the parser meets them, which is not from the top.
    if let Some(error) = errors.iter().min_by_key(|error| place(error)) {
        return Err(page.no_toml(error));
    }
    let root = Section {
        page,
        place: "the plan".to_owned(),
        at: 0,
        table: root.get_ref(),
        keys: &KEYS,
    };
    root.get(VERSION)?.version()?;
    root.knows_all()?;
    let seed = root.get("seed")?.number(0, u64::MAX)?;
    let options = options(&root.get("options")?.section(&OPTIONS)?)?;
    // At most CLIENTS_MAX.
    let clients = options.clients.len() as u8;
    let run = root.get("run")?.section(&RUN)?;
    let mut workload = run.get("workload")?.items(read_step)?;
    let mut faults = run
        .get("faults")?
        .items(|words| read_fault(words, clients))?;
    workload.sort_by_key(|step| step.at);
    faults.sort_by_key(|planned| planned.at);
    Ok(Plan {
        seed,
        options,
        workload,
        faults,
    })
}

fn options(section: &Section<'_>) -> Result<Options, TextFault> {
    let switch = |key| section.get(key)?.switch();
    let bytes = |key| section.get(key)?.number(1, BYTES_MAX);
    let ring_entries = section.get("ring_entries")?.power(RING_ENTRIES_MAX, "")?;
    Ok(Options {
        flavor: section
            .get("flavor")?
            .text(&list(&FLAVORS), |word| named(&FLAVORS, word))?,
        gtid: switch("gtid")?,
        full_metadata: switch("full_metadata")?,
        checksum: switch("checksum")?,
        rows_per_event: section.get("rows_per_event")?.number(1, u32::MAX)?,
        ring_entries,
        ring_unit: bytes("ring_unit")?,
        count_entries: switch("count_entries")?,
        transaction_entries: section
            .get("transaction_entries")?
            .power(ring_entries, ", the entries of the ring")?,
        ddl_isolation: switch("ddl_isolation")?,
        window: bytes("window")? as usize,
        segment: bytes("segment")? as usize,
        latency: section
            .get("latency")?
            .text("the least and the most, such as \"100us..2ms\"", between)?,
        disk_latency: section.get("disk_latency")?.text(words::TIME, time)?,
        reader_idle: section
            .get("reader_idle")?
            .text("whole seconds, at least one, such as 60s", seconds)?,
        clients: clients(&section.get("clients")?)?,
    })
}

/// `100us..2ms`.
fn between(text: &str) -> Option<(Duration, Duration)> {
    let (least, most) = text.split_once("..")?;
    let (least, most) = (time(least)?, time(most)?);
    (least <= most).then_some((least, most))
}

/// `60s`.
fn seconds(text: &str) -> Option<Duration> {
    let time = time(text)?;
    (time.subsec_nanos() == 0 && !time.is_zero()).then_some(time)
}

fn clients(value: &Value<'_>) -> Result<Vec<ClientPlan>, TextFault> {
    let clients = value.items(read_client)?;
    if !(1..=usize::from(CLIENTS_MAX)).contains(&clients.len()) {
        let found = format!("{} clients", clients.len());
        let expected = format!("1 to {CLIENTS_MAX}");
        return Err(value.page.fault(value.at, found, expected));
    }
    Ok(clients)
}

/// The text that is read.
#[derive(Clone, Copy)]
struct Page<'t> {
    name: &'t str,
    text: &'t str,
}

/// Where an error of TOML is.
fn place(error: &toml::de::Error) -> usize {
    error.span().map_or(0, |span| span.start)
}

impl Page<'_> {
    /// The text is no TOML.
    fn no_toml(self, error: &toml::de::Error) -> TextFault {
        let message = error.message().replace('\n', ", ");
        let (found, expected) = message
            .split_once(", expected ")
            .unwrap_or((&message, "valid TOML"));
        self.fault(place(error), format!("TOML: {found}"), expected)
    }

    /// What is wrong at a byte of the text.
    fn fault(self, at: usize, found: String, expected: impl Into<String>) -> TextFault {
        let before = self.text.bytes().take(at);
        TextFault {
            file: self.name.to_owned(),
            line: 1 + before.filter(|byte| *byte == b'\n').count(),
            found,
            expected: expected.into(),
        }
    }
}

/// A table of the text, and the keys that it has.
struct Section<'t> {
    page: Page<'t>,
    /// How faults call it.
    place: String,
    at: usize,
    table: &'t DeTable<'t>,
    keys: &'static [&'static str],
}

impl<'t> Section<'t> {
    fn knows_all(&self) -> Result<(), TextFault> {
        let unknown = self
            .table
            .keys()
            .filter(|key| !self.keys.contains(&key.get_ref().as_ref()));
        match unknown.min_by_key(|key| key.span().start) {
            Some(key) => {
                let found = format!(
                    "`{}` is no key of {}",
                    key.get_ref().escape_debug(),
                    self.place
                );
                Err(self.page.fault(key.span().start, found, list(self.keys)))
            }
            None => Ok(()),
        }
    }

    fn get(&self, key: &'static str) -> Result<Value<'t>, TextFault> {
        let found = self.table.iter().find(|(name, _)| name.get_ref() == key);
        let Some((name, value)) = found else {
            let found = format!("{} is without `{key}`", self.place);
            let expected = format!("all of {}", self.keys.join(", "));
            return Err(self.page.fault(self.at, found, expected));
        };
        Ok(Value {
            page: self.page,
            key,
            at: name.span().start,
            value: value.get_ref(),
        })
    }
}

/// What a key has.
struct Value<'t> {
    page: Page<'t>,
    key: &'static str,
    at: usize,
    value: &'t DeValue<'t>,
}

impl<'t> Value<'t> {
    fn wrong(&self, expected: impl Into<String>) -> TextFault {
        let found = format!("`{}` is {}", self.key, shown(self.value));
        self.page.fault(self.at, found, expected)
    }

    /// A plan of this version.
    fn version(&self) -> Result<(), TextFault> {
        let version = whole(self.value).filter(|version| *version == i128::from(FORMAT));
        let expected = || format!("{FORMAT}, the only format of plans that this version reads");
        version.map(drop).ok_or_else(|| self.wrong(expected()))
    }

    fn section(&self, keys: &'static [&'static str]) -> Result<Section<'t>, TextFault> {
        let table = self.value.as_table();
        let table = table.ok_or_else(|| self.wrong(format!("[{}] with its keys", self.key)))?;
        let section = Section {
            page: self.page,
            place: format!("[{}]", self.key),
            at: self.at,
            table,
            keys,
        };
        section.knows_all()?;
        Ok(section)
    }

    fn switch(&self) -> Result<bool, TextFault> {
        let switch = self.value.as_bool();
        switch.ok_or_else(|| self.wrong("true or false"))
    }

    fn number<T>(&self, least: T, most: T) -> Result<T, TextFault>
    where
        T: TryFrom<i128> + PartialOrd + Display,
    {
        let number = whole(self.value).and_then(|number| T::try_from(number).ok());
        let number = number.filter(|number| (&least..=&most).contains(&number));
        number.ok_or_else(|| self.wrong(format!("a whole number from {least} to {most}")))
    }

    /// A power of two; `which` says what its limit is.
    fn power(&self, most: u32, which: &str) -> Result<u32, TextFault> {
        let number = whole(self.value).and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| number.is_power_of_two() && *number <= most);
        number.ok_or_else(|| self.wrong(format!("a power of two from 1 to {most}{which}")))
    }

    fn text<T>(
        &self,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, TextFault> {
        let parsed = self.value.as_str().and_then(parse);
        parsed.ok_or_else(|| self.wrong(expected))
    }

    fn items<T>(
        &self,
        read: impl Fn(&mut Words<'_>) -> Result<T, Wrong>,
    ) -> Result<Vec<T>, TextFault> {
        let expected = "a list of items in quotes";
        let items = self.value.as_array().ok_or_else(|| self.wrong(expected))?;
        let read = items.iter().map(|item| {
            let at = item.span().start;
            let Some(text) = item.get_ref().as_str() else {
                let found = format!("{} in `{}`", shown(item.get_ref()), self.key);
                return Err(self.page.fault(at, found, expected));
            };
            let item = read(&mut Words::of(text));
            item.map_err(|Wrong { found, expected }| self.page.fault(at, found, expected))
        });
        read.collect()
    }
}

fn whole(value: &DeValue<'_>) -> Option<i128> {
    let number = value.as_integer()?;
    i128::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A value as faults show it.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(switch) => switch.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
