//! Lists of table patterns with canal's semantics (binlog-parser reference §5.2).
//!
//! A list is split at its top-level commas and sorted, longest item first; each item becomes
//! `^item$`, all are joined with `|`. A table is in the list if the *first* match of the whole, found
//! at the start of `schema.table` in lower case, also ends at its end: no other alternative is tried to
//! get there. So `foo|foot` does not contain `foot`, and a space after a comma hides an item.
//!
//! Bounds: a list has at most [`FILTER_BYTES_MAX`] bytes, a match takes at most [`BACKTRACK_MAX`] steps
//! back. A match that takes more counts as canal's default for the list: white contains the
//! table, black does not, so that a change may be delivered in vain but is never lost.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use fancy_regex::{Regex, RegexBuilder};
use thiserror::Error;

use super::pattern::{PatternProblem, Translated, translate};
use super::subject::Subject;
use crate::schema::ddl::JudgedTable;
use crate::schema::table::TableName;

/// Bytes of a list, at most: clients send lists too.
pub const FILTER_BYTES_MAX: usize = 64 * 1024;

/// Steps back that one match may take.
pub const BACKTRACK_MAX: usize = 100_000;

/// Bytes that a compiled list may take.
const COMPILED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Which list it is: what an empty one says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// `canal.instance.filter.regex`, a subscription: empty contains every table.
    White,
    /// `canal.instance.filter.black.regex`: empty contains none.
    Black,
}

/// Why a list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// One of its items.
    #[error("table filter item {number} `{item}`: {problem}")]
    Item {
        /// Its place in the list, from 1.
        number: usize,
        /// The item.
        item: String,
        /// What is wrong.
        problem: PatternProblem,
    },
    /// All of it.
    #[error(
        "table filter of {bytes} bytes: at most {FILTER_BYTES_MAX} are allowed; use patterns such as schema\\..* instead of single tables"
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The items are right one by one and wrong together.
    #[error("table filter `{list}`: the regular expression engine says: {message}")]
    Joined {
        /// The list.
        list: String,
        /// What the engine says.
        message: String,
    },
}

/// Something in a list that is allowed and hardly meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilterWarning {
    /// Two backslashes before a dot: a backslash and any character, which no table has.
    #[error(
        "table filter item `{item}` holds \\\\. and so asks for a backslash in the name; after the file is read one backslash is wanted, that is \\\\. in a .properties file and \\. elsewhere"
    )]
    DoubledBackslash {
        /// The item.
        item: String,
    },
    /// A space at its start or end belongs to the pattern.
    #[error(
        "table filter item `{item}` begins or ends with a space, which is part of the pattern; write no space after the comma"
    )]
    OuterSpace {
        /// The item.
        item: String,
    },
}

/// A compiled list of table patterns.
#[derive(Clone, Debug)]
pub struct TableFilter {
    text: String,
    kind: ListKind,
    everything: bool,
    /// `schema.table`, lower case.
    tables: BTreeSet<String>,
    /// Schemas all of whose tables are in the list, lower case.
    schemas: BTreeSet<String>,
    rest: Option<Regex>,
}

impl TableFilter {
    /// Compiles `list`.
    ///
    /// # Errors
    /// An item is what canal's engine refuses, or the list is too long.
    pub fn compile(list: &str, kind: ListKind) -> Result<Self, FilterError> {
        if list.len() > FILTER_BYTES_MAX {
            return Err(FilterError::TooLong { bytes: list.len() });
        }
        let items = split(list);
        let mut patterns = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let translated = translate(item).map_err(|problem| item_error(index, item, problem))?;
            patterns.push((*item, translated));
        }
        // Java counts UTF-16 units.
        patterns.sort_by_key(|(item, _)| Reverse(item.encode_utf16().count()));
        let mut filter = Self {
            text: list.to_owned(),
            kind,
            everything: false,
            tables: BTreeSet::new(),
            schemas: BTreeSet::new(),
            rest: None,
        };
        // An alternative that is not anchored at its end may win with too short a match and so hide
        // what comes after it: then only the whole expression tells.
        if !patterns.iter().any(|(_, pattern)| pattern.has_alternatives) {
            patterns.retain(|(item, _)| !filter.take_simple(item));
        }
        if !patterns.is_empty() && !filter.everything {
            let joined = join(&patterns);
            filter.rest = Some(build(&joined).map_err(|message| blame(list, &items, message))?);
        }
        Ok(filter)
    }

    /// The list as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the table is in the list.
    #[must_use]
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        let default = self.kind == ListKind::White;
        if self.everything {
            return true;
        }
        if self.is_empty() {
            return default;
        }
        let target = format!("{schema}.{table}").to_lowercase();
        let first_name = target.split('.').next().unwrap_or_default();
        if self.tables.contains(&target) || self.schemas.contains(first_name) {
            return true;
        }
        let Some(rest) = &self.rest else { return false };
        match rest.find(&target) {
            Ok(Some(found)) => found.end() == target.len(),
            Ok(None) => false,
            Err(_) => default,
        }
    }

    /// What in the list is hardly meant.
    #[must_use]
    pub fn warnings(&self) -> Vec<FilterWarning> {
        let mut warnings = Vec::new();
        for item in split(&self.text) {
            if item.contains(r"\\.") {
                warnings.push(FilterWarning::DoubledBackslash { item: item.into() });
            }
            if item.trim() != item {
                warnings.push(FilterWarning::OuterSpace { item: item.into() });
            }
        }
        warnings
    }

    fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.schemas.is_empty() && self.rest.is_none()
    }

    /// Takes an item that needs no regular expression; false if it does.
    fn take_simple(&mut self, item: &str) -> bool {
        if item == r".*\..*" || item == ".*" {
            self.everything = true;
            return true;
        }
        let Some((schema, table)) = item.split_once(r"\.") else {
            return false;
        };
        let Some(schema) = literal(schema) else {
            return false;
        };
        if table == ".*" {
            self.schemas.insert(schema);
            return true;
        }
        let Some(table) = literal(table) else {
            return false;
        };
        self.tables.insert(format!("{schema}.{table}"));
        true
    }
}

fn item_error(index: usize, item: &str, problem: PatternProblem) -> FilterError {
    FilterError::Item {
        number: index + 1,
        item: item.into(),
        problem,
    }
}

/// The items of a list: what stands between commas outside of brackets, if anything.
fn split(list: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let (mut start, mut depth, mut escaped) = (0, 0_u32, false);
    for (at, c) in list.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' | '[' | '{' => depth = depth.saturating_add(1),
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&list[start..]);
    items.retain(|item| !item.is_empty());
    items
}

/// The name that a pattern stands for, in lower case, if it is one name and no more.
fn literal(pattern: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_name = !pattern.is_empty() && pattern.bytes().all(plain);
    is_name.then(|| pattern.to_ascii_lowercase())
}

fn join(patterns: &[(&str, Translated)]) -> String {
    let each: Vec<String> = patterns
        .iter()
        .map(|(_, translated)| format!("^{}$", translated.pattern))
        .collect();
    format!(r"\A(?:{})", each.join("|"))
}

fn build(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .backtrack_limit(BACKTRACK_MAX)
        .delegate_size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| error.to_string())
}

/// Finds the item that the engine refuses.
fn blame(list: &str, items: &[&str], message: String) -> FilterError {
    for (index, item) in items.iter().enumerate() {
        let Ok(translated) = translate(item) else {
            continue;
        };
        if let Err(message) = build(&translated.pattern) {
            return item_error(index, item, PatternProblem::Engine(message));
        }
    }
    FilterError::Joined {
        list: list.into(),
        message,
    }
}

/// White lists, all of which a table must be in, and a black list, which it must not.
#[derive(Clone, Debug)]
pub struct TableJudge {
    whites: Vec<Arc<TableFilter>>,
    black: Arc<TableFilter>,
}

impl TableJudge {
    /// Judges by these lists; no white list passes every table.
    #[must_use]
    pub const fn new(whites: Vec<Arc<TableFilter>>, black: Arc<TableFilter>) -> Self {
        Self { whites, black }
    }

    /// Whether rows of the table pass.
    #[must_use]
    pub fn passes_table(&self, name: &TableName) -> bool {
        self.whites
            .iter()
            .all(|white| white.matches(&name.schema, &name.table))
            && !self.black.matches(&name.schema, &name.table)
    }

    /// Whether an entry about these tables passes: one of them must. No tables: it does.
    #[must_use]
    pub fn passes(&self, subject: &Subject) -> bool {
        let tables = subject.tables();
        tables.is_empty() || tables.iter().any(|judged| self.passes_judged(judged))
    }

    /// A rename passes if the old or the new name is white, unless both are black.
    fn passes_judged(&self, judged: &JudgedTable) -> bool {
        let Some(origin) = &judged.origin else {
            return self.passes_table(&judged.table);
        };
        let either = |list: &TableFilter| {
            (
                list.matches(&judged.table.schema, &judged.table.table),
                list.matches(&origin.schema, &origin.table),
            )
        };
        let white = self
            .whites
            .iter()
            .all(|white| matches!(either(white), (true, _) | (_, true)));
        white && !matches!(either(&self.black), (true, true))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn white(list: &str) -> TableFilter {
        TableFilter::compile(list, ListKind::White).unwrap()
    }

    fn matches(list: &str, target: &str) -> bool {
        let (schema, table) = target.split_once('.').unwrap_or((target, ""));
        white(list).matches(schema, table)
    }

    #[test]
    fn the_table_of_the_reference() {
        for (list, target, expected) in [
            (r".*\..*", "a.b", true),
            (r"TEST\..*", "test.t1", true),
            ("test.t1,test.t2", "test.t2", true),
            ("test.t1, test.t2", "test.t2", false),
            ("foo|foot", "foot", false),
            (r"a\.x|b\.y", "a.x", true),
            (r"a\.x|b\.y", "b.y", true),
            (r"test\.(?!_).*", "test._t_gho", false),
            (r"test\.(?!_).*", "test.t", true),
            (r"(a\.b)\1", "a.ba.b", true),
            (r"\Qtest.t\E", "test.t", false),
            (r"[[:alpha:]]+\.t", "abc.t", true),
            (r"[[:alpha:]]+\.t", "a1c.t", false),
            (r"\w+\.\d+", "名前.12", true),
            (r"a\.b\b.c", "a.b c", true),
            (r"\x41\.b", "a.b", true),
            (r"a\.b\s", "a.b ", true),
            (r"a\..*?", "a.bcd", true),
            (r"a\.b{2,3}", "a.bbb", true),
            (r"a\.b{2,3}", "a.bbbb", false),
            (r"*\..*", "a.b", false),
            (r"test\\..*", "test.t1", false),
        ] {
            assert_eq!(matches(list, target), expected, "{list} on {target}");
        }
    }

    /// Targets without a dot: rule 4 itself.
    #[test]
    fn the_first_match_decides_and_must_end_at_the_end() {
        let ends = |list: &str, target: &str| {
            let found = white(list)
                .rest
                .and_then(|rest| rest.find(target).ok().flatten());
            found.is_some_and(|found| found.end() == target.len())
        };
        assert!(!ends("foo|foot", "foot"));
        assert!(ends("foot|foo", "foot"));
        assert!(ends("(foo|foot)", "foot"));
        // An item of its own is not reached when a longer one before it wins too early.
        assert!(!ends(r"test\.t1|zzzz,test\.t12", "test.t12"));
        assert!(ends(r"test\.t12|zzzz,test\.t1", "test.t12"));
    }

    #[test]
    fn early_winners_disable_the_shortcuts() {
        assert!(!matches(r"test\.t1|zzzz,test\.t12", "test.t12"));
        assert!(matches(r"test\.t1|zzzz,test\.t12", "test.t1"));
    }

    #[test]
    fn what_canal_refuses_is_refused_and_named() {
        for (list, number, problem) in [
            (r"a\.b,test\.t(?<!x)", 2, PatternProblem::Group('<')),
            (r"test\.a*+", 1, PatternProblem::NestedQuantifier),
            (r"a\.b(", 1, PatternProblem::OpenGroup),
            ("[0-9", 1, PatternProblem::OpenClass),
        ] {
            let error = TableFilter::compile(list, ListKind::White).unwrap_err();
            assert!(
                matches!(&error, FilterError::Item { number: n, problem: p, .. } if *n == number && *p == problem),
                "{list}: {error}"
            );
        }
        let error = TableFilter::compile(r"a\.b,x\3", ListKind::White)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(r"table filter item 2 `x\3`"), "{error}");
        let long = "x".repeat(FILTER_BYTES_MAX + 1);
        let error = TableFilter::compile(&long, ListKind::White).unwrap_err();
        assert_eq!(
            error,
            FilterError::TooLong {
                bytes: FILTER_BYTES_MAX + 1
            }
        );
    }

    #[test]
    fn empty_lists_say_what_their_kind_says() {
        for list in ["", ",", ",,"] {
            let list_of = |kind| TableFilter::compile(list, kind).unwrap();
            assert!(list_of(ListKind::White).matches("a", "b"));
            assert!(!list_of(ListKind::Black).matches("a", "b"));
        }
        let black = TableFilter::compile(r"mysql\.slave_.*", ListKind::Black).unwrap();
        assert!(black.matches("mysql", "slave_master_info"));
        assert!(!black.matches("mysql", "user"));
    }

    #[test]
    fn commas_in_brackets_do_not_split() {
        assert_eq!(
            split(r"a{1,2},[,],(b,c),d\,e,,f"),
            ["a{1,2}", "[,]", "(b,c)", r"d\,e", "f"]
        );
        assert!(matches(r"a\.b{1,2},c\.d", "a.bb"));
    }

    #[test]
    fn shortcuts_take_the_simple_items() {
        let filter = white(r"shop\.orders,crm\..*,x\.y+");
        assert_eq!((filter.tables.len(), filter.schemas.len()), (1, 1));
        assert!(filter.matches("SHOP", "Orders") && filter.matches("crm", "any.thing"));
        assert!(filter.matches("x", "yy") && !filter.matches("shop", "orders2"));
        assert!(white(r".*\..*").everything && white(r"a\.b").rest.is_none());
    }

    #[test]
    fn a_match_that_never_ends_counts_as_the_default() {
        let list = r"(a|b|ab)*(?=c)c\.t";
        let (schema, table) = ("ab".repeat(40), "t");
        for kind in [ListKind::White, ListKind::Black] {
            let filter = TableFilter::compile(list, kind).unwrap();
            let target = format!("{schema}.{table}");
            assert!(
                filter
                    .rest
                    .as_ref()
                    .is_some_and(|rest| rest.find(&target).is_err())
            );
            assert_eq!(filter.matches(&schema, table), kind == ListKind::White);
        }
    }

    #[test]
    fn warnings_name_the_item() {
        let warnings = white(r"test\\..*, a\.b").warnings();
        assert_eq!(
            warnings,
            [
                FilterWarning::DoubledBackslash {
                    item: r"test\\..*".into()
                },
                FilterWarning::OuterSpace {
                    item: r" a\.b".into()
                },
            ]
        );
        assert_eq!(white(r".*\..*").warnings(), []);
    }

    fn judge(white_list: &str, black_list: &str) -> TableJudge {
        let black = TableFilter::compile(black_list, ListKind::Black).unwrap();
        TableJudge::new([Arc::new(white(white_list))].into(), Arc::new(black))
    }

    fn renamed(from: &str, to: &str) -> Subject {
        let name = |name| TableName::new("d", name);
        Subject::new(
            [JudgedTable {
                table: name(to),
                origin: Some(name(from)),
            }]
            .into(),
        )
    }

    #[test]
    fn a_rename_passes_by_either_name_unless_both_are_black() {
        let judge = judge(r"d\.t,d\.b1,d\.b2", r"d\.b.*");
        assert!(judge.passes(&renamed("t", "x")) && judge.passes(&renamed("x", "t")));
        assert!(!judge.passes(&renamed("x", "y")));
        assert!(judge.passes(&renamed("t", "b1")) && judge.passes(&renamed("b1", "t")));
        assert!(!judge.passes(&renamed("b1", "b2")));
    }

    #[test]
    fn a_statement_passes_by_any_of_its_tables() {
        let judge = judge(r"d\.t", "");
        let dropped = |names: &[&str]| {
            let judged = |name: &&str| JudgedTable {
                table: TableName::new("d", name),
                origin: None,
            };
            Subject::new(names.iter().map(judged).collect())
        };
        assert!(judge.passes(&dropped(&["x", "t"])) && !judge.passes(&dropped(&["x", "y"])));
        assert!(judge.passes(&dropped(&[])));
    }

    #[test]
    fn several_white_lists_must_all_pass() {
        let lists = [r"d\..*", r".*\.t"].map(|list| Arc::new(white(list)));
        let black = TableFilter::compile("", ListKind::Black).unwrap();
        let judge = TableJudge::new(lists.into(), Arc::new(black));
        assert!(judge.passes_table(&TableName::new("d", "t")));
        assert!(!judge.passes_table(&TableName::new("d", "u")));
        assert!(!judge.passes_table(&TableName::new("e", "t")));
    }

    proptest! {
        #[test]
        fn any_list_compiles_or_says_why(list in any::<String>(), table in any::<String>()) {
            if let Ok(filter) = TableFilter::compile(&list, ListKind::White) {
                let _ = filter.matches("schema", &table);
            }
        }

        #[test]
        fn lists_of_pieces_compile_or_say_why(
            pieces in prop::collection::vec(prop::sample::select(&[
                "a", ".", "\\", "*", "+", "?", "{1,2}", "{", "}", "[", "]", "^", "-", "&&", "(", ")",
                "(?:", "(?!", "|", ",", "$", "[:alpha:]", "1", "x", "~",
            ]), 0..12)
        ) {
            let list = pieces.concat();
            if let Ok(filter) = TableFilter::compile(&list, ListKind::Black) {
                let _ = filter.matches("a", "a.1x");
            } else {
                let error = TableFilter::compile(&list, ListKind::Black).unwrap_err();
                prop_assert!(!error.to_string().is_empty());
            }
        }

        #[test]
        fn shortcuts_agree_with_the_expression(
            items in prop::collection::vec(r"[ab]{1,2}\\\.([ab]{1,2}|\.\*)", 1..4),
            schema in "[ab]{1,2}", table in "[ab]{1,2}"
        ) {
            let list = items.join(",");
            let target = format!("{schema}.{table}");
            let one = Regex::new(&format!("(?s)^(?:{})$", items.join("|"))).unwrap();
            prop_assert_eq!(white(&list).matches(&schema, &table), one.is_match(&target).unwrap());
        }
    }
}
