//! Statements, as the log and schema files hold them.

use canald_core::flavor::Flavor;
use canald_core::schema::ddl::{Scanned, SqlContext, StatementClass, Touches, scan};
use canald_core::schema::script;

use crate::Script;

/// Says what a statement is, and reads it as a schema file.
///
/// A definition names a table; what it is about is among what it touches; a comment before it
/// changes nothing.
///
/// # Panics
/// On a finding.
pub fn ddl(data: &[u8]) {
    let Some((mut script, bytes)) = Script::split(data) else {
        return;
    };
    let sql = String::from_utf8_lossy(bytes);
    let mut flags = script.flags();
    let context = SqlContext {
        default_schema: if flags.next() { "" } else { "d" },
        ansi_quotes: flags.next(),
        no_backslash_escapes: flags.next(),
        flavor: if flags.next() {
            Flavor::Mariadb
        } else {
            Flavor::Mysql
        },
        server_version: if flags.next() { 50_624 } else { 90_700 },
        fold_names: flags.next(),
    };
    let scanned = scan(&sql, &context);
    check(&scanned);
    let commented = format!("/* c */ {sql}");
    assert_eq!(
        scan(&commented, &context),
        scanned,
        "a comment before it changes it"
    );
    if let Ok(tables) = script::parse(&sql, context.default_schema) {
        for table in tables {
            assert!(!table.columns.is_empty(), "{} has no columns", table.name);
        }
    }
}

fn check(scanned: &Scanned<'_>) {
    let StatementClass::Ddl(kind) = scanned.class else {
        return;
    };
    assert!(!scanned.subjects.is_empty(), "{kind:?} of no table");
    assert!(
        scanned.table.is_some(),
        "{kind:?} without a name for the header"
    );
    if scanned.touches == Touches::Nothing {
        return;
    }
    for judged in &scanned.subjects {
        let names = [Some(&judged.table), judged.origin.as_ref()];
        for name in names.into_iter().flatten() {
            assert!(
                scanned.touches.contains(name),
                "{kind:?} of {name} does not touch it"
            );
        }
    }
}
