//! Steps over the tokens of one statement.

use alloc::string::String;

use super::SqlContext;
use super::lexer::{Lexer, Token, TokenKind, unquote};
use crate::schema::table::TableName;

/// A place between two tokens of a statement. Its end is a semicolon or the end of the text.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    lexer: Lexer<'a>,
    context: &'a SqlContext<'a>,
    next: Option<Token<'a>>,
}

impl<'a> Cursor<'a> {
    /// Before the first token of the first statement of `sql` that is not empty.
    pub(crate) fn new(sql: &'a str, context: &'a SqlContext<'a>) -> Self {
        let mut lexer = Lexer::new(sql, context);
        let mut next = lexer.next();
        while next.is_some_and(|token| token.is_symbol(b';')) {
            next = lexer.next();
        }
        Self {
            lexer,
            context,
            next,
        }
    }

    /// The whole text.
    pub(crate) const fn text(&self) -> &'a str {
        self.lexer.text()
    }

    /// The next token of this statement.
    pub(crate) fn peek(&self) -> Option<Token<'a>> {
        self.next.filter(|token| !token.is_symbol(b';'))
    }

    /// Takes the next token of this statement.
    pub(crate) fn bump(&mut self) -> Option<Token<'a>> {
        let token = self.peek()?;
        self.next = self.lexer.next();
        Some(token)
    }

    /// Goes on to the next statement; false at the end of the text.
    pub(crate) fn next_statement(&mut self) -> bool {
        while self.bump().is_some() {}
        while self.next.is_some_and(|token| token.is_symbol(b';')) {
            self.next = self.lexer.next();
        }
        self.next.is_some()
    }

    /// Whether the statement ends here.
    pub(crate) fn is_at_end(&self) -> bool {
        self.peek().is_none()
    }

    /// Whether the next token is the keyword.
    pub(crate) fn at(&self, keyword: &str) -> bool {
        self.peek().is_some_and(|token| token.is(keyword))
    }

    /// Whether the next token is one of the keywords.
    pub(crate) fn at_any(&self, keywords: &[&str]) -> bool {
        self.peek().is_some_and(|token| token.is_any(keywords))
    }

    /// Whether the next token is the symbol.
    pub(crate) fn at_symbol(&self, byte: u8) -> bool {
        self.peek().is_some_and(|token| token.is_symbol(byte))
    }

    /// Takes the keyword if it is next.
    pub(crate) fn eat(&mut self, keyword: &str) -> bool {
        let found = self.at(keyword);
        if found {
            self.bump();
        }
        found
    }

    /// Takes one of the keywords if it is next.
    pub(crate) fn eat_any(&mut self, keywords: &[&str]) -> bool {
        let found = self.at_any(keywords);
        if found {
            self.bump();
        }
        found
    }

    /// Takes the keywords if all of them are next, or none.
    pub(crate) fn eat_all(&mut self, keywords: &[&str]) -> bool {
        let before = self.clone();
        let found = keywords.iter().all(|keyword| self.eat(keyword));
        if !found {
            *self = before;
        }
        found
    }

    /// Takes the symbol if it is next.
    pub(crate) fn eat_symbol(&mut self, byte: u8) -> bool {
        let found = self.at_symbol(byte);
        if found {
            self.bump();
        }
        found
    }

    /// Takes `IF EXISTS` or `IF NOT EXISTS`.
    pub(crate) fn eat_if_exists(&mut self) {
        if !self.eat_all(&["IF", "EXISTS"]) {
            self.eat_all(&["IF", "NOT", "EXISTS"]);
        }
    }

    /// Takes MariaDB's `WAIT n` or `NOWAIT`.
    pub(crate) fn eat_wait(&mut self) {
        let before = self.clone();
        if self.eat("NOWAIT") {
            return;
        }
        if self.eat("WAIT")
            && self
                .peek()
                .is_some_and(|token| token.kind == TokenKind::Number)
        {
            self.bump();
        } else {
            *self = before;
        }
    }

    /// Takes a name.
    pub(crate) fn name(&mut self) -> Option<String> {
        let name = self.peek()?.name()?.into_owned();
        self.bump();
        Some(name)
    }

    /// Takes a name or a string literal, for what may be written either way.
    pub(crate) fn text_or_name(&mut self) -> Option<String> {
        let token = self.peek()?;
        if token.kind != TokenKind::Text {
            return self.name();
        }
        self.bump();
        Some(unquote(token.raw).into_owned())
    }

    /// Whether a backslash in a string literal hides what follows it.
    pub(crate) const fn knows_backslashes(&self) -> bool {
        !self.context.no_backslash_escapes
    }

    /// Takes the name of a schema.
    pub(crate) fn schema_name(&mut self) -> Option<String> {
        let name = self.name()?;
        Some(self.fold(name))
    }

    /// Takes the name of a table, with its schema or in the default one (empty if there is none).
    pub(crate) fn table_name(&mut self) -> Option<TableName> {
        let first = self.name()?;
        if !self.at_symbol(b'.') {
            let schema = self.context.default_schema.into();
            return Some(TableName {
                schema: self.fold(schema),
                table: self.fold(first),
            });
        }
        self.bump();
        // After a dot digits are a name too.
        let token = self.peek()?;
        let table = match token.kind {
            TokenKind::Number => token.raw.into(),
            TokenKind::Word | TokenKind::QuotedName | TokenKind::Text | TokenKind::Symbol => {
                token.name()?.into_owned()
            }
        };
        self.bump();
        Some(TableName {
            schema: self.fold(first),
            table: self.fold(table),
        })
    }

    /// Takes everything up to a comma outside parentheses, the closing parenthesis of the enclosing
    /// list, or the end of the statement; takes none of these.
    pub(crate) fn skip_item(&mut self) {
        while let Some(token) = self.peek() {
            if token.is_symbol(b',') || token.is_symbol(b')') {
                return;
            }
            self.skip_one();
        }
    }

    /// Takes one token, or a whole parenthesis if one opens.
    pub(crate) fn skip_one(&mut self) {
        let Some(first) = self.bump() else { return };
        let mut depth = u32::from(first.is_symbol(b'('));
        while depth > 0 {
            let Some(token) = self.bump() else { return };
            if token.is_symbol(b'(') {
                depth = depth.saturating_add(1);
            } else if token.is_symbol(b')') {
                depth -= 1;
            }
        }
    }

    fn fold(&self, name: String) -> String {
        if self.context.fold_names {
            name.to_lowercase()
        } else {
            name
        }
    }
}
