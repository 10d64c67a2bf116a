//! From the regular expressions of canal's engine (jakarta-oro, "Perl5") to those of ours.
//!
//! The two agree on most of what people write and differ where it hurts: an unknown escape is a
//! plain letter there and an error or another construct here, look-behind and possessive quantifiers
//! are errors there and work here. An item is therefore read construct by construct and written anew
//! in the common subset; what canal refuses is refused (binlog-parser reference §5.2).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::iter::Peekable;
use core::ops::RangeInclusive;
use core::str::Chars;

use thiserror::Error;

/// What is wrong with one item of a filter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternProblem {
    /// `(?<…`, or another group that canal's engine does not know.
    #[error("the group (?{0}… is not supported; look-ahead (?=…), (?!…) and (?:…) are")]
    Group(char),
    /// A quantifier after a quantifier.
    #[error("a quantifier follows a quantifier; possessive and nested ones are not supported")]
    NestedQuantifier,
    /// A quantifier with nothing before it.
    #[error("the quantifier {0} follows nothing; for a literal one write \\{0}")]
    NothingToRepeat(char),
    /// `{m,n}` with m above n, or a count above `REPEAT_MAX`.
    #[error("a repetition needs {{m,n}} with m at most n and n at most {REPEAT_MAX}")]
    Repetition,
    /// A class without its end.
    #[error("the [ has no matching ]; for a literal one write \\[")]
    OpenClass,
    /// A range with its ends in the wrong order, or a POSIX class that does not exist.
    #[error("the class holds the invalid range or name {0}")]
    Class(String),
    /// A parenthesis without its end.
    #[error("the ( has no matching ); for a literal one write \\(")]
    OpenGroup,
    /// A parenthesis without its beginning.
    #[error("the ) has no matching (; for a literal one write \\)")]
    UnmatchedParenthesis,
    /// A backslash with nothing after it.
    #[error("it ends in a backslash")]
    TrailingBackslash,
    /// The engine cannot run it.
    #[error("the regular expression engine says: {0}")]
    Engine(String),
}

/// The greatest count in a repetition.
pub(crate) const REPEAT_MAX: u32 = 1000;

/// An item in our engine's notation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Translated {
    /// The pattern, its anchors not included.
    pub(crate) pattern: String,
    /// Whether it has alternatives outside of groups: then its anchors bind to the first and last alone.
    pub(crate) has_alternatives: bool,
}

/// Translates one item.
pub(crate) fn translate(item: &str) -> Result<Translated, PatternProblem> {
    let mut translator = Translator {
        chars: item.chars().peekable(),
        out: String::with_capacity(item.len() + 8),
        depth: 0,
        has_alternatives: false,
        before: Before::Anchor,
    };
    while let Some(c) = translator.chars.next() {
        translator.construct(c)?;
    }
    if translator.depth > 0 {
        return Err(PatternProblem::OpenGroup);
    }
    let Translator {
        out,
        has_alternatives,
        ..
    } = translator;
    Ok(Translated {
        pattern: out,
        has_alternatives,
    })
}

/// What a quantifier would apply to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// The `^` that canal puts before an item: repeating it does nothing.
    Anchor,
    /// Nothing: a group or an alternative begins.
    Nothing,
    /// Something that can be repeated.
    Atom,
    /// A quantifier.
    Quantifier,
}

struct Translator<'a> {
    chars: Peekable<Chars<'a>>,
    out: String,
    depth: u32,
    has_alternatives: bool,
    before: Before,
}

impl Translator<'_> {
    fn construct(&mut self, c: char) -> Result<(), PatternProblem> {
        match c {
            '\\' => self.escape(),
            '[' => self.class(),
            '(' => self.open_group(),
            ')' => {
                self.depth = self
                    .depth
                    .checked_sub(1)
                    .ok_or(PatternProblem::UnmatchedParenthesis)?;
                self.atom(")");
                Ok(())
            }
            '|' => {
                self.has_alternatives |= self.depth == 0;
                self.out.push('|');
                self.before = Before::Nothing;
                Ok(())
            }
            '*' | '+' | '?' => self.quantifier(c, &String::from(c)),
            '{' => match self.counts()? {
                Some(counts) => self.quantifier(c, &counts),
                None => {
                    self.atom("\\{");
                    Ok(())
                }
            },
            '^' | '$' => {
                self.assertion(c.encode_utf8(&mut [0; 4]));
                Ok(())
            }
            '.' => {
                self.atom(".");
                Ok(())
            }
            literal => {
                self.literal(literal);
                Ok(())
            }
        }
    }

    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.before = Before::Atom;
    }

    fn literal(&mut self, c: char) {
        push_literal(&mut self.out, c);
        self.before = Before::Atom;
    }

    /// Something without width; in a group, so that it may be repeated.
    fn assertion(&mut self, text: &str) {
        self.atom("(?:");
        self.atom(text);
        self.atom(")");
    }

    fn quantifier(&mut self, c: char, text: &str) -> Result<(), PatternProblem> {
        match self.before {
            Before::Anchor => {}
            Before::Nothing => return Err(PatternProblem::NothingToRepeat(c)),
            Before::Quantifier => return Err(PatternProblem::NestedQuantifier),
            Before::Atom => self.out.push_str(text),
        }
        if self.chars.next_if_eq(&'?').is_some() && self.before == Before::Atom {
            self.out.push('?');
        }
        self.before = Before::Quantifier;
        Ok(())
    }

    /// Reads `m}`, `m,}` or `m,n}` and gives it with its braces; anything else is left alone.
    fn counts(&mut self) -> Result<Option<String>, PatternProblem> {
        let mut ahead = self.chars.clone();
        let mut inner = String::new();
        loop {
            match ahead.next() {
                Some('}') => break,
                Some(c) if c.is_ascii_digit() || c == ',' => inner.push(c),
                _ => return Ok(None),
            }
        }
        let (least, most) = inner.split_once(',').unwrap_or((&inner, &inner));
        if least.is_empty() || most.contains(',') {
            return Ok(None);
        }
        let count = |text: &str| text.parse().ok().filter(|n: &u32| *n <= REPEAT_MAX);
        let valid = match (count(least), count(most)) {
            (Some(least), Some(most)) => least <= most,
            (Some(_), None) => most.is_empty(),
            (None, _) => false,
        };
        if !valid {
            return Err(PatternProblem::Repetition);
        }
        self.chars = ahead;
        Ok(Some(format!("{{{inner}}}")))
    }

    fn open_group(&mut self) -> Result<(), PatternProblem> {
        let mut opening = String::from("(");
        if self.chars.next_if_eq(&'?').is_some() {
            match self.chars.next() {
                Some(kind @ (':' | '=' | '!')) => {
                    opening.push('?');
                    opening.push(kind);
                }
                Some('#') => return self.comment(),
                Some(flag @ ('i' | 'm' | 's')) => return self.flags(flag),
                other => return Err(PatternProblem::Group(other.unwrap_or(' '))),
            }
        }
        self.out.push_str(&opening);
        self.depth = self.depth.saturating_add(1);
        self.before = Before::Nothing;
        Ok(())
    }

    fn comment(&mut self) -> Result<(), PatternProblem> {
        if self.chars.any(|c| c == ')') {
            Ok(())
        } else {
            Err(PatternProblem::OpenGroup)
        }
    }

    fn flags(&mut self, first: char) -> Result<(), PatternProblem> {
        let mut flags = String::from(first);
        loop {
            match self.chars.next() {
                Some(')') => break,
                Some(flag @ ('i' | 'm' | 's')) => flags.push(flag),
                Some(other) => return Err(PatternProblem::Group(other)),
                None => return Err(PatternProblem::OpenGroup),
            }
        }
        self.out.push_str(&format!("(?{flags})"));
        self.before = Before::Nothing;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), PatternProblem> {
        let c = self.chars.next().ok_or(PatternProblem::TrailingBackslash)?;
        match c {
            'd' | 'D' | 'w' | 'W' | 's' | 'S' => {
                self.atom("\\");
                self.out.push(c);
            }
            'b' | 'B' | 'A' | 'Z' => {
                let text = format!("\\{c}");
                self.assertion(&text);
            }
            '1'..='9' => {
                // In a group of its own: what follows may be a digit and not belong to the number.
                self.atom("(?:\\");
                self.out.push(c);
                while let Some(digit) = self.chars.next_if(char::is_ascii_digit) {
                    self.out.push(digit);
                }
                self.out.push(')');
            }
            other => {
                let literal = escaped_char(&mut self.chars, other);
                self.literal(literal);
            }
        }
        Ok(())
    }

    fn class(&mut self) -> Result<(), PatternProblem> {
        let mut class = Class::default();
        let negated = self.chars.next_if_eq(&'^').is_some();
        let mut first = true;
        loop {
            let c = self.chars.next().ok_or(PatternProblem::OpenClass)?;
            if c == ']' && !first {
                break;
            }
            first = false;
            let Some(low) = class_member(&mut self.chars, c, &mut class)? else {
                continue;
            };
            class.ranges.push(self.range_from(low)?);
        }
        self.atom(if negated { "[^" } else { "[" });
        class.write(&mut self.out);
        self.out.push(']');
        Ok(())
    }

    /// The range that begins with `low`: itself alone if no dash and upper end follow.
    fn range_from(&mut self, low: char) -> Result<RangeInclusive<char>, PatternProblem> {
        let mut ahead = self.chars.clone();
        if ahead.next() != Some('-') {
            return Ok(low..=low);
        }
        let Some(c) = ahead.next().filter(|c| *c != ']') else {
            return Ok(low..=low);
        };
        let Some(high) = class_member(&mut ahead, c, &mut Class::default())? else {
            // A set is no upper end: the dash stands for itself, the set is read again as a member.
            return Ok(low..=low);
        };
        self.chars = ahead;
        if low > high {
            return Err(PatternProblem::Class(format!("{low}-{high}")));
        }
        Ok(low..=high)
    }
}

/// The character that `\c` stands for, where it is no set, assertion or back-reference.
fn escaped_char(chars: &mut Peekable<Chars<'_>>, c: char) -> char {
    match c {
        't' => '\t',
        'n' => '\n',
        'r' => '\r',
        'f' => '\x0c',
        'e' => '\x1b',
        'a' => '\x07',
        'x' => digits(chars, 0, 16, 2),
        '0' => digits(chars, 0, 8, 2),
        'c' => match chars.next() {
            Some(control) => char::from((control.to_ascii_uppercase() as u32 as u8) ^ 0x40),
            None => 'c',
        },
        other => other,
    }
}

/// The character whose number has the digit `first` and then the next ones, at most `most` of them.
fn digits(chars: &mut Peekable<Chars<'_>>, first: u32, radix: u32, most: u32) -> char {
    let mut number = first;
    for _ in 0..most {
        let Some(digit) = chars.next_if(|c| c.is_digit(radix)) else {
            break;
        };
        number = number * radix + digit.to_digit(radix).unwrap_or(0);
    }
    char::from_u32(number).unwrap_or('\0')
}

/// Reads a member of a class that begins with `c`: a character, or a set that is added to `class`.
fn class_member(
    chars: &mut Peekable<Chars<'_>>,
    c: char,
    class: &mut Class,
) -> Result<Option<char>, PatternProblem> {
    match c {
        '[' if chars.peek() == Some(&':') => match posix_name(chars) {
            Some(name) => {
                class
                    .sets
                    .push_str(posix_set(&name).ok_or(PatternProblem::Class(name))?);
                Ok(None)
            }
            None => Ok(Some('[')),
        },
        '\\' => match chars.next().ok_or(PatternProblem::OpenClass)? {
            set @ ('d' | 'D' | 'w' | 'W' | 's' | 'S') => {
                class.sets.push('\\');
                class.sets.push(set);
                Ok(None)
            }
            'b' => Ok(Some('\x08')),
            octal @ '1'..='7' => {
                let first = octal.to_digit(8).unwrap_or(0);
                Ok(Some(digits(chars, first, 8, 2)))
            }
            other => Ok(Some(escaped_char(chars, other))),
        },
        other => Ok(Some(other)),
    }
}

/// Reads `:name:]` if that is what follows the bracket.
fn posix_name(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut ahead = chars.clone();
    ahead.next();
    let mut name = String::new();
    loop {
        match ahead.next()? {
            ':' if ahead.next_if_eq(&']').is_some() => break,
            c if c.is_ascii_lowercase() || c == '^' => name.push(c),
            _ => return None,
        }
    }
    *chars = ahead;
    Some(name)
}

/// A POSIX class in our notation; like `\w`, it knows all of Unicode.
fn posix_set(name: &str) -> Option<&'static str> {
    Some(match name {
        "alpha" => r"\p{Alphabetic}",
        "^alpha" => r"\P{Alphabetic}",
        "alnum" => r"\p{Alphabetic}\p{Nd}",
        "digit" => r"\d",
        "^digit" => r"\D",
        "lower" => r"\p{Lowercase}",
        "^lower" => r"\P{Lowercase}",
        "upper" => r"\p{Uppercase}",
        "^upper" => r"\P{Uppercase}",
        "space" => r"\s",
        "^space" => r"\S",
        "word" => r"\w",
        "^word" => r"\W",
        "punct" => r"\p{P}",
        "^punct" => r"\P{P}",
        "cntrl" => r"\p{Cc}",
        "^cntrl" => r"\P{Cc}",
        "blank" => r"\p{Zs}\x{09}",
        "xdigit" => r"0-9A-Fa-f",
        "print" => r"\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}",
        "graph" => r"\p{L}\p{M}\p{N}\p{P}\p{S}",
        _ => return None,
    })
}

/// The members of a class. A set of them: order and repetition mean nothing.
#[derive(Default)]
struct Class {
    ranges: Vec<RangeInclusive<char>>,
    /// Named sets, in our notation.
    sets: String,
}

impl Class {
    /// Writes the members so that none of them is an operator of our engine, which knows `&&`, `--`,
    /// `~~` and nested classes: those characters never end a range and stand once each, the dash first.
    fn write(&self, out: &mut String) {
        const OPERATORS: [char; 7] = ['-', '&', '~', '[', ']', '^', '\\'];
        for special in OPERATORS {
            if self.ranges.iter().any(|range| range.contains(&special)) {
                if special != '-' && special != '&' && special != '~' {
                    out.push('\\');
                }
                out.push(special);
            }
        }
        for range in &self.ranges {
            let low = range.clone().find(|c| !OPERATORS.contains(c));
            let high = range.clone().rev().find(|c| !OPERATORS.contains(c));
            if let (Some(low), Some(high)) = (low, high) {
                push_literal(out, low);
                if low < high {
                    out.push('-');
                    push_literal(out, high);
                }
            }
        }
        out.push_str(&self.sets);
    }
}

/// Writes `c` so that it stands for itself.
fn push_literal(out: &mut String, c: char) {
    match c {
        '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => {
            out.push('\\');
            out.push(c);
        }
        control if control.is_control() => out.push_str(&format!("\\x{{{:x}}}", c as u32)),
        plain => out.push(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(item: &str, pattern: &str) {
        assert_eq!(
            translate(item).map(|t| t.pattern),
            Ok(pattern.into()),
            "{item}"
        );
    }

    #[track_caller]
    fn fails(item: &str, problem: PatternProblem) {
        assert_eq!(translate(item), Err(problem), "{item}");
    }

    #[test]
    fn the_common_subset_stays_as_it_is() {
        for item in [
            r"test\.t1",
            r".*\..*",
            r"a\.(x|y)+?",
            r"\d{2,3}\w*",
            r"a\.(?!_).*",
            "a b",
        ] {
            becomes(item, item);
        }
    }

    #[test]
    fn unknown_escapes_are_letters() {
        becomes(r"\Qtest.t\E", "Qtest.tE");
        becomes(r"\K\h\p\z\_", "Khpz_");
        becomes(r"\x41\t\012\cA", r"A\x{9}\x{a}\x{1}");
        becomes(r"\bx\b", r"(?:\b)x(?:\b)");
    }

    #[test]
    fn braces_that_count_nothing_are_literal() {
        becomes("a{1,}b{x}c{,2}]", r"a{1,}b\{x\}c\{,2\}\]");
        fails("a{2,1}", PatternProblem::Repetition);
        fails("a{1001}", PatternProblem::Repetition);
        fails("a{1}{2}", PatternProblem::NestedQuantifier);
    }

    #[test]
    fn a_back_reference_ends_where_its_digits_end() {
        becomes(r"(a)\1b", r"(a)(?:\1)b");
        becomes(r"(a)(b)\2\1", r"(a)(b)(?:\2)(?:\1)");
    }

    #[test]
    fn quantifiers_need_something_before_them() {
        becomes(r"*\..*", r"\..*");
        fails("a|*b", PatternProblem::NothingToRepeat('*'));
        fails("(+b)", PatternProblem::NothingToRepeat('+'));
        fails(r"test\.a*+", PatternProblem::NestedQuantifier);
        fails("a**", PatternProblem::NestedQuantifier);
        fails("a??+", PatternProblem::NestedQuantifier);
    }

    #[test]
    fn groups_that_canal_does_not_know_are_refused() {
        fails(r"test\.t(?<!x)", PatternProblem::Group('<'));
        fails("(?>a)", PatternProblem::Group('>'));
        fails("a(", PatternProblem::OpenGroup);
        fails("a)", PatternProblem::UnmatchedParenthesis);
        becomes("(?i)a(?#note)b", "(?i)ab");
    }

    #[test]
    fn classes_are_written_as_sets() {
        becomes("[[:alpha:]]+", r"[\p{Alphabetic}]+");
        becomes("[0-9_]", "[0-9_]");
        becomes("[]a]", r"[\]a]");
        becomes("[^a-]", "[^-a]");
        becomes("[&&[~]", r"[&~\[]");
        becomes("[!-~]", r"[-&~\[\]\^\\!-\}]");
        becomes(r"[\w\]\b]", r"[\]\x{8}\w]");
        becomes(r"[\101]", "[A]");
        fails("[0-9", PatternProblem::OpenClass);
        fails("[z-a]", PatternProblem::Class("z-a".into()));
        fails("[[:nope:]]", PatternProblem::Class("nope".into()));
    }

    #[test]
    fn alternatives_outside_of_groups_are_reported() {
        assert_eq!(translate("a|b").map(|t| t.has_alternatives), Ok(true));
        assert_eq!(
            translate(r"(a|b)\|c[|]").map(|t| t.has_alternatives),
            Ok(false)
        );
    }
}
