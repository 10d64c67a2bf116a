//! Just enough of SQL to know which tables a DDL statement of these tests renames or drops.
//!
//! It shares nothing with canald's own scanner, which it helps to check.

use std::iter::Peekable;
use std::vec::IntoIter;

/// A table as a statement names it: an optional schema, and the table.
pub type Named = (Option<String>, String);

/// What a statement does to whole tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The tables are gone.
    Drop(Vec<Named>),
    /// A schema is gone, with its tables.
    DropSchema(String),
    /// The tables are empty.
    Empty(Named),
    /// The tables have other names, one after the other.
    Rename(Vec<(Named, Named)>),
    /// Rows stay where they are.
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A keyword or an unquoted name.
    Word(String),
    /// A name in back-ticks.
    Quoted(String),
    Mark(char),
}

/// Reads a statement.
#[must_use]
pub fn effect(sql: &str) -> Effect {
    let mut tokens = tokens(sql).into_iter().peekable();
    match (keyword(&mut tokens).as_str(), keyword(&mut tokens).as_str()) {
        ("DROP", "TABLE") => {
            skip(&mut tokens, &["IF", "EXISTS"]);
            Effect::Drop(list(&mut tokens))
        }
        ("DROP", "DATABASE" | "SCHEMA") => {
            skip(&mut tokens, &["IF", "EXISTS"]);
            name(&mut tokens).map_or(Effect::None, |(_, schema)| Effect::DropSchema(schema))
        }
        ("TRUNCATE", "TABLE") => name(&mut tokens).map_or(Effect::None, Effect::Empty),
        ("RENAME", "TABLE") => Effect::Rename(pairs(&mut tokens)),
        ("ALTER", "TABLE") => altered(&mut tokens),
        _ => Effect::None,
    }
}

type Tokens = Peekable<IntoIter<Token>>;

fn keyword(tokens: &mut Tokens) -> String {
    match tokens.next() {
        Some(Token::Word(word)) => word.to_uppercase(),
        Some(Token::Quoted(_) | Token::Mark(_)) | None => String::new(),
    }
}

fn skip(tokens: &mut Tokens, words: &[&str]) {
    for word in words {
        let here = |token: &Token| matches!(token, Token::Word(w) if w.eq_ignore_ascii_case(word));
        tokens.next_if(here);
    }
}

fn part(tokens: &mut Tokens) -> Option<String> {
    match tokens.next()? {
        Token::Word(word) | Token::Quoted(word) => Some(word),
        Token::Mark(_) => None,
    }
}

fn name(tokens: &mut Tokens) -> Option<Named> {
    let first = part(tokens)?;
    if tokens.next_if_eq(&Token::Mark('.')).is_some() {
        return Some((Some(first), part(tokens)?));
    }
    Some((None, first))
}

fn list(tokens: &mut Tokens) -> Vec<Named> {
    let mut names = Vec::new();
    while let Some(name) = name(tokens) {
        names.push(name);
        if tokens.next_if_eq(&Token::Mark(',')).is_none() {
            break;
        }
    }
    names
}

fn pairs(tokens: &mut Tokens) -> Vec<(Named, Named)> {
    let mut pairs = Vec::new();
    while let Some(old) = name(tokens) {
        skip(tokens, &["TO"]);
        let Some(new) = name(tokens) else { break };
        pairs.push((old, new));
        tokens.next_if_eq(&Token::Mark(','));
    }
    pairs
}

/// `ALTER TABLE a RENAME TO b`, but neither `RENAME COLUMN` nor `RENAME INDEX`.
fn altered(tokens: &mut Tokens) -> Effect {
    let Some(old) = name(tokens) else {
        return Effect::None;
    };
    if keyword(tokens) != "RENAME" {
        return Effect::None;
    }
    if matches!(tokens.peek(), Some(Token::Word(w)) if w.eq_ignore_ascii_case("COLUMN") || w.eq_ignore_ascii_case("INDEX"))
    {
        return Effect::None;
    }
    skip(tokens, &["TO"]);
    name(tokens).map_or(Effect::None, |new| Effect::Rename(vec![(old, new)]))
}

fn tokens(sql: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        rest = if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, after)| after)
        } else if first == '`' {
            let (quoted, after) = quoted(&rest[1..]);
            found.push(Token::Quoted(quoted));
            after
        } else if first.is_alphanumeric() || first == '_' || first == '$' {
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')
                .unwrap_or(rest.len());
            found.push(Token::Word(rest[..end].to_owned()));
            &rest[end..]
        } else {
            if !first.is_whitespace() {
                found.push(Token::Mark(first));
            }
            &rest[first.len_utf8()..]
        };
    }
    found
}

/// The rest of a name in back-ticks, where a doubled one stands for itself, and what follows.
fn quoted(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let Some((before, after)) = rest.split_once('`') else {
            return (name + rest, "");
        };
        name.push_str(before);
        let Some(doubled) = after.strip_prefix('`') else {
            return (name, after);
        };
        name.push('`');
        rest = doubled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(name: &str) -> Named {
        (None, name.to_owned())
    }

    #[test]
    fn statements_that_move_tables_are_understood() {
        let full = (Some("a".to_owned()), "b`c".to_owned());
        assert_eq!(
            effect("DROP TABLE IF EXISTS `a`.`b``c`, d /* generated by server */"),
            Effect::Drop(vec![full.clone(), plain("d")])
        );
        assert_eq!(
            effect("rename table x to y, a.`b``c` TO `表`"),
            Effect::Rename(vec![(plain("x"), plain("y")), (full, plain("表"))])
        );
        assert_eq!(
            effect("ALTER TABLE x RENAME TO y"),
            Effect::Rename(vec![(plain("x"), plain("y"))])
        );
        assert_eq!(
            effect("ALTER TABLE x RENAME y"),
            Effect::Rename(vec![(plain("x"), plain("y"))])
        );
        assert_eq!(
            effect("/* c */ TRUNCATE TABLE x"),
            Effect::Empty(plain("x"))
        );
        assert_eq!(
            effect("DROP DATABASE IF EXISTS `z`"),
            Effect::DropSchema("z".to_owned())
        );
    }

    #[test]
    fn statements_that_leave_rows_alone_have_no_effect() {
        for sql in [
            "ALTER TABLE x RENAME COLUMN a TO b",
            "ALTER TABLE x ADD COLUMN c INT",
            "CREATE TABLE x (a INT)",
            "",
            "`",
        ] {
            assert_eq!(effect(sql), Effect::None, "{sql}");
        }
    }
}
