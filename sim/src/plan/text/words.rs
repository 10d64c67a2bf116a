//! The words that the one-line items of a plan are made of: numbers, times, names out of a list.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// What a text says, and what it should say instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) found: String,
    pub(super) expected: String,
}

/// The words of an item, from the first to the last. Blanks part them; a comma is a word of its own.
pub(super) struct Words<'i> {
    item: &'i str,
    left: &'i str,
    /// The word that was read last; none at the beginning, and at the end.
    last: Option<&'i str>,
}

impl<'i> Words<'i> {
    pub(super) const fn of(item: &'i str) -> Self {
        Self {
            item,
            left: item,
            last: None,
        }
    }

    /// The next word; none at the end.
    pub(super) fn next(&mut self) -> Option<&'i str> {
        let (word, left) = first(self.left).unzip();
        self.left = left.unwrap_or_default();
        self.last = word;
        word
    }

    /// The next word, if it is of the kind that `parse` takes; it is left where it is otherwise.
    pub(super) fn optional<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let (word, _) = first(self.left)?;
        let parsed = parse(word)?;
        self.next();
        Some(parsed)
    }

    /// Whether this word comes next; it is read then.
    pub(super) fn has(&mut self, word: &str) -> bool {
        let same = self.optional(|next| (next == word).then_some(()));
        same.is_some()
    }

    /// The next word, as `parse` takes it.
    pub(super) fn parsed<T>(
        &mut self,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Wrong> {
        let parsed = self.next().and_then(parse);
        parsed.ok_or_else(|| self.wrong(expected))
    }

    /// The next word, which can only be this one.
    pub(super) fn exact(&mut self, word: &str) -> Result<(), Wrong> {
        let expected = format!("`{word}`");
        self.parsed(&expected, |found| (found == word).then_some(()))
    }

    /// The next word, which names one of `all`.
    pub(super) fn one_of<T: Copy + Display>(&mut self, all: &[T]) -> Result<T, Wrong> {
        let named = self.next().and_then(|word| named(all, word));
        named.ok_or_else(|| self.wrong(&list(all)))
    }

    /// The next word, as a number.
    pub(super) fn number(&mut self) -> Result<u32, Wrong> {
        self.parsed("a whole number", digits)
    }

    /// The next word, as a time.
    pub(super) fn time(&mut self) -> Result<Duration, Wrong> {
        self.parsed(TIME, time)
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self) -> Result<(), Wrong> {
        match self.next() {
            Some(_) => Err(self.wrong("nothing more")),
            None => Ok(()),
        }
    }

    /// The word that was read last is not what was expected.
    pub(super) fn wrong(&self, expected: &str) -> Wrong {
        let found = match self.last {
            Some(word) => format!("`{}` in {:?}", word.escape_debug(), self.item),
            None => format!("the end of {:?}", self.item),
        };
        Wrong {
            found,
            expected: expected.to_owned(),
        }
    }
}

/// The first word, and what comes after it.
fn first(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let is_end = |c: char| c == ',' || c.is_whitespace();
    match text.find(is_end).unwrap_or(text.len()) {
        0 if text.is_empty() => None,
        // A comma, and nothing else that ends a word, can stand at the beginning.
        0 => Some(text.split_at(1)),
        end => Some(text.split_at(end)),
    }
}

/// Which of `all` has this name.
pub(super) fn named<T: Copy + Display>(all: &[T], name: &str) -> Option<T> {
    all.iter().copied().find(|one| one.to_string() == name)
}

/// `a, b or c`.
pub(super) fn list<T: Display>(all: &[T]) -> String {
    let names: Vec<String> = all.iter().map(T::to_string).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// A number without a sign.
pub(super) fn digits<T: FromStr>(text: &str) -> Option<T> {
    let only_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| text.parse().ok()).flatten()
}

/// The longest time that a plan can name: what lasts longer shows nothing new, and clocks end somewhere.
pub(super) const TIME_MAX: Duration = Duration::from_secs(86_400);

/// How a time is written.
pub(super) const TIME: &str =
    "a time up to a day, to the nanosecond, such as 1.5s, 20ms, 137us or 12ns";

/// The units of time and the nanoseconds of each, from the longest.
const UNITS: [(&str, u64); 4] = [
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Digits after the point that the time of an item has at least, so that items stand in columns.
const COLUMN_DIGITS: usize = 3;

/// How long something lasts, in the longest unit that it fills: `1.5s`, `20ms`, `137us`, `12ns`.
pub(super) fn lasting(time: Duration) -> String {
    let nanos = time.as_nanos();
    let fills = |(_, size): &&(&str, u64)| nanos >= u128::from(*size);
    let (unit, size) = UNITS.iter().find(fills).unwrap_or(&UNITS[0]);
    format!("{}{unit}", decimal(nanos, *size, 0))
}

/// When something is, in seconds: `0.120s`.
pub(super) fn moment(time: Duration) -> String {
    let (unit, size) = UNITS[0];
    format!("{}{unit}", decimal(time.as_nanos(), size, COLUMN_DIGITS))
}

/// `nanos` in units of `size`, exactly, with at least so many digits after the point.
fn decimal(nanos: u128, size: u64, least: usize) -> String {
    let size = u128::from(size);
    let (whole, rest) = (nanos / size, nanos % size);
    let width = size.ilog10() as usize;
    let fraction = format!("{rest:0width$}");
    let digits = fraction.trim_end_matches('0').len().max(least);
    match digits {
        0 => whole.to_string(),
        _ => format!("{whole}.{}", &fraction[..digits]),
    }
}

/// A time in whichever unit, exactly: nothing is rounded.
pub(super) fn time(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let places = size.ilog10() as usize;
    let (whole, fraction) = match number.split_once('.') {
        Some((_, fraction)) if fraction.is_empty() || fraction.len() > places => return None,
        Some((whole, fraction)) => (whole, digits::<u64>(&format!("{fraction:0<places$}"))?),
        None => (number, 0),
    };
    let nanos = digits::<u64>(whole)?.checked_mul(*size)?;
    let time = Duration::from_nanos(nanos.checked_add(fraction)?);
    (time <= TIME_MAX).then_some(time)
}
