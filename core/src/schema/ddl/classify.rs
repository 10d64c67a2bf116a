//! From the first words of a statement to its class, names and effects.

use alloc::string::String;
use alloc::vec::Vec;

use super::cursor::Cursor;
use super::{JudgedTable, Scanned, SqlContext, StatementClass, Touches, XaVerb};
use crate::entry::kind::RowKind;
use crate::schema::table::TableName;

/// Tokens between CREATE, ALTER or DROP and the word that says what, at most: `DEFINER`, `OR
/// REPLACE`, `ALGORITHM` and their like. Beyond it the statement is unknown.
const MODIFIERS_MAX: usize = 24;

/// What CREATE, ALTER and DROP work on.
const OBJECTS: &[(&str, Object)] = &[
    ("TABLE", Object::Table),
    ("TABLES", Object::Table),
    ("INDEX", Object::Index),
    ("DATABASE", Object::Database),
    ("SCHEMA", Object::Database),
    ("SEQUENCE", Object::Sequence),
    ("PROCEDURE", Object::Program),
    ("FUNCTION", Object::Program),
    ("TRIGGER", Object::Program),
    ("EVENT", Object::Program),
    ("PACKAGE", Object::Program),
    ("LIBRARY", Object::Program),
    ("VIEW", Object::Other),
    ("USER", Object::Other),
    ("ROLE", Object::Other),
    ("SERVER", Object::Other),
    ("TABLESPACE", Object::Other),
    ("LOGFILE", Object::Other),
    ("RESOURCE", Object::Other),
    ("INSTANCE", Object::Other),
    ("REFERENCE", Object::Other),
    ("PREPARE", Object::Other),
    ("CATALOG", Object::Other),
];

/// First words of statements that canal's SQL parser knows and canal does not deliver, or that
/// never reach a binlog; none of them changes a table's columns.
const NO_ENTRY: &[&str] = &[
    "ANALYZE",
    "BACKUP",
    "BINLOG",
    "CACHE",
    "CALL",
    "CHANGE",
    "CHECK",
    "CHECKSUM",
    "CLONE",
    "DEALLOCATE",
    "DESC",
    "DESCRIBE",
    "EXECUTE",
    "EXPLAIN",
    "FLUSH",
    "GET",
    "GRANT",
    "HANDLER",
    "HELP",
    "INSTALL",
    "KILL",
    "LOAD",
    "LOCK",
    "OPTIMIZE",
    "PREPARE",
    "PURGE",
    "REPAIR",
    "RESET",
    "RESIGNAL",
    "RESTART",
    "REVOKE",
    "SET",
    "SHOW",
    "SHUTDOWN",
    "SIGNAL",
    "START",
    "STOP",
    "TABLE",
    "UNINSTALL",
    "UNLOCK",
    "USE",
    "VALUES",
];

/// Words that begin a table option; in an ALTER TABLE they count as a first ALTER item.
const TABLE_OPTIONS: &[&str] = &[
    "AUTOEXTEND_SIZE",
    "AUTO_INCREMENT",
    "AVG_ROW_LENGTH",
    "CHARACTER",
    "CHARSET",
    "CHECKSUM",
    "COLLATE",
    "COMMENT",
    "COMPRESSION",
    "CONNECTION",
    "DATA",
    "DEFAULT",
    "DELAY_KEY_WRITE",
    "ENCRYPTED",
    "ENCRYPTION",
    "ENCRYPTION_KEY_ID",
    "ENGINE",
    "ENGINE_ATTRIBUTE",
    "IETF_QUOTES",
    "INDEX",
    "INSERT_METHOD",
    "KEY_BLOCK_SIZE",
    "MAX_ROWS",
    "MIN_ROWS",
    "PACK_KEYS",
    "PAGE_CHECKSUM",
    "PAGE_COMPRESSED",
    "PAGE_COMPRESSION_LEVEL",
    "PASSWORD",
    "ROW_FORMAT",
    "SECONDARY_ENGINE",
    "SECONDARY_ENGINE_ATTRIBUTE",
    "SEQUENCE",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "STORAGE",
    "TABLESPACE",
    "TRANSACTIONAL",
    "TYPE",
    "UNION",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Object {
    Table,
    Index,
    Database,
    /// In MariaDB a table of one row.
    Sequence,
    /// Stored programs, whose bodies canal's SQL parser cannot read.
    Program,
    /// What canal does not deliver.
    Other,
}

/// Says what the first statement of `sql` is.
#[must_use]
pub fn scan<'a>(sql: &'a str, context: &'a SqlContext<'a>) -> Scanned<'a> {
    let mut cursor = Cursor::new(sql, context);
    skip_set_statement(&mut cursor);
    let Some(first) = cursor.bump() else {
        return plain(StatementClass::NoEntry);
    };
    let found = match () {
        () if first.is("BEGIN") => begin(&mut cursor),
        () if first.is("START") && cursor.eat("TRANSACTION") => Some(plain(StatementClass::Begin)),
        () if first.is("COMMIT") => Some(plain(StatementClass::Commit)),
        () if first.is("ROLLBACK") => Some(rollback(&mut cursor)),
        () if first.is_any(&["SAVEPOINT", "RELEASE"]) => Some(plain(StatementClass::Savepoint)),
        () if first.is("XA") => xa(&mut cursor),
        () if first.is("CREATE") => create(&mut cursor),
        () if first.is("ALTER") => alter(&mut cursor),
        () if first.is("DROP") => drop_object(&mut cursor),
        () if first.is("TRUNCATE") => truncate(&mut cursor),
        () if first.is("RENAME") => rename(&mut cursor),
        () if first.is_any(&["INSERT", "REPLACE"]) => Some(insert(&mut cursor)),
        () if first.is("UPDATE") => Some(update(&mut cursor)),
        () if first.is("DELETE") => Some(delete(&mut cursor)),
        () if first.is("WITH") => with(&mut cursor),
        () if first.is_any(&["SELECT", "DO"]) => Some(plain(StatementClass::Dml(RowKind::Query))),
        () if first.is_any(NO_ENTRY) => Some(plain(StatementClass::NoEntry)),
        () => None,
    };
    found.unwrap_or_else(unreadable)
}

/// A statement without tables.
const fn plain(class: StatementClass<'_>) -> Scanned<'_> {
    Scanned {
        class,
        schema: None,
        table: None,
        subjects: Vec::new(),
        touches: Touches::Nothing,
    }
}

/// A statement that may be a definition and whose names were not found.
fn unreadable<'a>() -> Scanned<'a> {
    Scanned {
        touches: Touches::Everything,
        ..plain(StatementClass::Query)
    }
}

/// A statement about tables; the first of `subjects` gives the header's names.
fn about_tables<'a>(
    class: StatementClass<'a>,
    subjects: Vec<JudgedTable>,
    touches: Touches,
) -> Scanned<'a> {
    let first = subjects.first().map(|judged| judged.table.clone());
    let (schema, table) = header_names(first);
    Scanned {
        class,
        schema,
        table,
        subjects,
        touches,
    }
}

fn header_names(name: Option<TableName>) -> (Option<String>, Option<String>) {
    let Some(name) = name else {
        return (None, None);
    };
    (
        Some(name.schema).filter(|schema| !schema.is_empty()),
        Some(name.table),
    )
}

const fn judged(table: TableName) -> JudgedTable {
    JudgedTable {
        table,
        origin: None,
    }
}

/// MariaDB's `SET STATEMENT variable = value, … FOR statement`.
fn skip_set_statement(cursor: &mut Cursor<'_>) {
    let before = cursor.clone();
    if !cursor.eat_all(&["SET", "STATEMENT"]) {
        return;
    }
    while !cursor.is_at_end() {
        if cursor.eat("FOR") {
            return;
        }
        cursor.skip_one();
    }
    *cursor = before;
}

fn begin<'a>(cursor: &mut Cursor<'a>) -> Option<Scanned<'a>> {
    cursor.eat("WORK");
    cursor.is_at_end().then_some(plain(StatementClass::Begin))
}

fn rollback<'a>(cursor: &mut Cursor<'a>) -> Scanned<'a> {
    cursor.eat("WORK");
    let whole = !cursor.at("TO");
    plain(if whole {
        StatementClass::Rollback
    } else {
        StatementClass::Savepoint
    })
}

fn xa<'a>(cursor: &mut Cursor<'a>) -> Option<Scanned<'a>> {
    let token = cursor.bump()?;
    let verb = match () {
        () if token.is_any(&["START", "BEGIN"]) => XaVerb::Start,
        () if token.is("END") => XaVerb::End,
        () if token.is("PREPARE") => XaVerb::Prepare,
        () if token.is("COMMIT") => XaVerb::Commit,
        () if token.is("ROLLBACK") => XaVerb::Rollback,
        () => return Some(plain(StatementClass::NoEntry)),
    };
    Some(plain(StatementClass::Xa {
        verb,
        xid: &cursor.text()[token.end()..],
    }))
}

/// Finds what a CREATE, ALTER or DROP is about, and whether that is temporary.
fn object(cursor: &mut Cursor<'_>) -> Option<(Object, bool)> {
    let mut temporary = false;
    for _ in 0..MODIFIERS_MAX {
        let token = cursor.bump()?;
        if let Some((_, object)) = OBJECTS.iter().find(|(word, _)| token.is(word)) {
            return Some((*object, temporary));
        }
        temporary |= token.is("TEMPORARY");
    }
    None
}

fn create<'a>(cursor: &mut Cursor<'a>) -> Option<Scanned<'a>> {
    let (object, temporary) = object(cursor)?;
    match object {
        Object::Table => {
            cursor.eat_if_exists();
            let name = cursor.table_name()?;
            let touches = tables_unless(temporary, [name.clone()].into());
            let class = if !temporary && takes_rows(cursor) {
                StatementClass::CreateFilled
            } else {
                StatementClass::Ddl(RowKind::Create)
            };
            Some(about_tables(class, [judged(name)].into(), touches))
        }
        Object::Index => index(cursor, RowKind::CreateIndex),
        Object::Database => database(cursor),
        Object::Sequence => sequences(cursor),
        Object::Program => Some(plain(StatementClass::Query)),
        Object::Other => Some(plain(StatementClass::NoEntry)),
    }
}

/// Whether a query that fills the table follows: outside parentheses, or first in one.
fn takes_rows(cursor: &mut Cursor<'_>) -> bool {
    const QUERY: &[&str] = &["SELECT", "TABLE", "VALUES"];
    while !cursor.is_at_end() {
        let mut inside = cursor.clone();
        while inside.eat_symbol(b'(') {}
        if cursor.at_any(QUERY) || inside.at("SELECT") {
            return true;
        }
        cursor.skip_one();
    }
    false
}

fn alter<'a>(cursor: &mut Cursor<'a>) -> Option<Scanned<'a>> {
    let (object, _) = object(cursor)?;
    match object {
        Object::Table => alter_table(cursor),
        Object::Sequence => sequences(cursor),
        Object::Program => Some(plain(StatementClass::Query)),
        // An index is altered only by ALTER TABLE; a database's defaults serve only tables to come.
        Object::Index | Object::Database | Object::Other => Some(plain(StatementClass::NoEntry)),
    }
}

fn drop_object<'a>(cursor: &mut Cursor<'a>) -> Option<Scanned<'a>> {
    let (object, temporary) = object(cursor)?;
    match object {
        Object::Table => {
            cursor.eat_if_exists();
            let names = table_list(cursor)?;
            let subjects = names.iter().cloned().map(judged).collect();
            let touches = tables_unless(temporary, names);
            Some(about_tables(
                StatementClass::Ddl(RowKind::Erase),
                subjects,
                touches,
            ))
        }
        Object::Index => index(cursor, RowKind::DropIndex),
        Object::Database => {
            let scanned = database(cursor)?;
            let touches = match &scanned.schema {
                Some(schema) => Touches::Schema(schema.clone()),
                None => Touches::Everything,
            };
            Some(Scanned { touches, ..scanned })
        }
        Object::Sequence => sequences(cursor),
        Object::Program => Some(plain(StatementClass::Query)),
        Object::Other => Some(plain(StatementClass::NoEntry)),
    }
}

fn tables_unless(temporary: bool, names: Vec<TableName>) -> Touches {
    if temporary {
        Touches::Nothing
    } else {
        Touches::Tables(names)
    }
}

fn table_list(cursor: &mut Cursor<'_>) -> Option<Vec<TableName>> {
    let mut names = Vec::from([cursor.table_name()?]);
    while cursor.eat_symbol(b',') {
        names.push(cursor.table_name()?);
    }
    Some(names)
}

/// `CREATE INDEX name … ON table` and `DROP INDEX name ON table`.
fn index<'a>(cursor: &mut Cursor<'a>, kind: RowKind) -> Option<Scanned<'a>> {
    while !cursor.eat("ON") {
        cursor.bump()?;
    }
    let name = cursor.table_name()?;
    let touches = Touches::Tables([name.clone()].into());
    Some(about_tables(
        StatementClass::Ddl(kind),
        [judged(name)].into(),
        touches,
    ))
}

fn database<'a>(cursor: &mut Cursor<'a>) -> Option<Scanned<'a>> {
    cursor.eat_if_exists();
    let schema = cursor.schema_name()?;
    Some(Scanned {
        schema: Some(schema),
        ..plain(StatementClass::Query)
    })
}

/// Sequences are tables that canal says nothing of.
fn sequences<'a>(cursor: &mut Cursor<'a>) -> Option<Scanned<'a>> {
    cursor.eat_if_exists();
    let touches = Touches::Tables(table_list(cursor)?);
    Some(Scanned {
        touches,
        ..plain(StatementClass::NoEntry)
    })
}

fn truncate<'a>(cursor: &mut Cursor<'a>) -> Option<Scanned<'a>> {
    cursor.eat("TABLE");
    let subjects = table_list(cursor)?.into_iter().map(judged).collect();
    let class = StatementClass::Ddl(RowKind::Truncate);
    Some(about_tables(class, subjects, Touches::Nothing))
}

fn rename<'a>(cursor: &mut Cursor<'a>) -> Option<Scanned<'a>> {
    if cursor.at_any(&["USER"]) {
        return Some(plain(StatementClass::NoEntry));
    }
    if !cursor.eat_any(&["TABLE", "TABLES"]) {
        return None;
    }
    cursor.eat_if_exists();
    let (mut subjects, mut names) = (Vec::new(), Vec::new());
    loop {
        let origin = cursor.table_name()?;
        cursor.eat_wait();
        if !cursor.eat("TO") {
            return None;
        }
        let table = cursor.table_name()?;
        names.extend([origin.clone(), table.clone()]);
        subjects.push(JudgedTable {
            table,
            origin: Some(origin),
        });
        if !cursor.eat_symbol(b',') {
            break;
        }
    }
    let class = StatementClass::Ddl(RowKind::Rename);
    Some(about_tables(class, subjects, Touches::Tables(names)))
}

/// What an item of an ALTER TABLE amounts to.
enum AlterItem {
    /// It gives an entry of this kind.
    Kind(RowKind),
    /// A table option: it comes before all items.
    TableOption,
    /// The table has a new name.
    Rename(TableName),
    /// Canal overlooks it: primary and foreign keys, checks.
    Overlooked,
}

fn alter_table<'a>(cursor: &mut Cursor<'a>) -> Option<Scanned<'a>> {
    cursor.eat_if_exists();
    let name = cursor.table_name()?;
    cursor.eat_wait();
    let mut touched = Vec::from([name.clone()]);
    let mut results: Vec<(RowKind, JudgedTable)> = Vec::new();
    while !cursor.is_at_end() {
        let item = alter_item(cursor, &mut touched)?;
        match item {
            AlterItem::Kind(kind) => results.push((kind, judged(name.clone()))),
            AlterItem::TableOption => results.insert(0, (RowKind::Alter, judged(name.clone()))),
            AlterItem::Rename(table) => {
                touched.push(table.clone());
                let origin = Some(name.clone());
                results.push((RowKind::Rename, JudgedTable { table, origin }));
            }
            AlterItem::Overlooked => {}
        }
        while !cursor.is_at_end() && !cursor.eat_symbol(b',') {
            cursor.skip_one();
        }
    }
    if results.is_empty() {
        results.push((RowKind::Alter, judged(name)));
    }
    let kind = results[0].0;
    let mut subjects: Vec<JudgedTable> = results.into_iter().map(|(_, table)| table).collect();
    subjects.dedup();
    Some(about_tables(
        StatementClass::Ddl(kind),
        subjects,
        Touches::Tables(touched),
    ))
}

/// Reads the first words of an item. None if the table's new name cannot be found.
fn alter_item(cursor: &mut Cursor<'_>, touched: &mut Vec<TableName>) -> Option<AlterItem> {
    let Some(first) = cursor.bump() else {
        return Some(AlterItem::Overlooked);
    };
    Some(match () {
        () if first.is("ADD") => added(cursor),
        () if first.is("DROP") && cursor.at_any(&["INDEX", "KEY", "CONSTRAINT"]) => {
            AlterItem::Kind(RowKind::DropIndex)
        }
        () if first.is("RENAME") && !cursor.at_any(&["COLUMN", "INDEX", "KEY"]) => {
            if !cursor.eat_symbol(b'=') {
                cursor.eat_any(&["TO", "AS"]);
            }
            AlterItem::Rename(cursor.table_name()?)
        }
        () if first.is("CONVERT") => {
            converted(cursor, touched)?;
            AlterItem::Kind(RowKind::Alter)
        }
        () if first.is_any(TABLE_OPTIONS) => AlterItem::TableOption,
        () => AlterItem::Kind(RowKind::Alter),
    })
}

fn added(cursor: &mut Cursor<'_>) -> AlterItem {
    if cursor.eat("CONSTRAINT") && !cursor.at_any(&["UNIQUE", "PRIMARY", "FOREIGN", "CHECK"]) {
        cursor.eat_if_exists();
        cursor.bump();
    }
    let vector =
        cursor.clone().eat_all(&["VECTOR", "INDEX"]) || cursor.clone().eat_all(&["VECTOR", "KEY"]);
    if vector || cursor.at_any(&["INDEX", "KEY", "UNIQUE", "FULLTEXT", "SPATIAL"]) {
        AlterItem::Kind(RowKind::CreateIndex)
    } else if cursor.at_any(&["PRIMARY", "FOREIGN", "CHECK"]) {
        AlterItem::Overlooked
    } else {
        AlterItem::Kind(RowKind::Alter)
    }
}

/// MariaDB's `CONVERT PARTITION p TO TABLE x` and `CONVERT TABLE x TO PARTITION …`: x appears or goes.
fn converted(cursor: &mut Cursor<'_>, touched: &mut Vec<TableName>) -> Option<()> {
    if cursor.eat("PARTITION") {
        cursor.bump();
        cursor.eat("TO");
    }
    if cursor.eat("TABLE") {
        touched.push(cursor.table_name()?);
    }
    Some(())
}

/// The text of a change. Table filters do not judge it.
fn change<'a>(kind: RowKind, name: Option<TableName>) -> Scanned<'a> {
    let (schema, table) = header_names(name);
    Scanned {
        schema,
        table,
        ..plain(StatementClass::Dml(kind))
    }
}

fn insert<'a>(cursor: &mut Cursor<'a>) -> Scanned<'a> {
    while cursor.eat_any(&["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"]) {}
    change(RowKind::Insert, cursor.table_name())
}

/// The name counts if the statement updates that one table.
fn update<'a>(cursor: &mut Cursor<'a>) -> Scanned<'a> {
    while cursor.eat_any(&["LOW_PRIORITY", "IGNORE"]) {}
    let name = cursor.table_name();
    if cursor.eat("PARTITION") {
        cursor.skip_one();
    }
    cursor.eat("AS");
    if !cursor.at("SET") {
        cursor.name();
    }
    change(RowKind::Update, name.filter(|_| cursor.at("SET")))
}

/// The name counts if the statement deletes from that one table.
fn delete<'a>(cursor: &mut Cursor<'a>) -> Scanned<'a> {
    while cursor.eat_any(&["LOW_PRIORITY", "QUICK", "IGNORE", "HISTORY"]) {}
    if !cursor.eat("FROM") {
        return change(RowKind::Delete, None);
    }
    let name = cursor.table_name();
    let several = cursor.at("USING") || cursor.at_symbol(b',') || cursor.at_symbol(b'.');
    change(RowKind::Delete, name.filter(|_| !several))
}

/// A statement that begins with common table expressions.
fn with<'a>(cursor: &mut Cursor<'a>) -> Option<Scanned<'a>> {
    while let Some(token) = cursor.peek() {
        if token.is("UPDATE") {
            cursor.bump();
            return Some(update(cursor));
        }
        if token.is("DELETE") {
            cursor.bump();
            return Some(delete(cursor));
        }
        if token.is("SELECT") {
            return Some(plain(StatementClass::NoEntry));
        }
        cursor.skip_one();
    }
    None
}
