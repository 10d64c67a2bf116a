//! Lists of table patterns, as operators and clients write them.

use canald_core::filter::{ColumnFilter, ListKind, TableFilter};

/// Compiles a list and judges a table by it. The input is three lines: schema, table, list.
///
/// What compiles is judged in bounded time; the case of a name does not matter; a list is the same
/// for both kinds, but for what an empty one and an exhausted search say.
///
/// # Panics
/// On a finding.
pub fn filter(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (schema, table, list) = (line(), line(), line());
    let white = TableFilter::compile(list, ListKind::White);
    let black = TableFilter::compile(list, ListKind::Black);
    match (white, black) {
        (Ok(white), Ok(black)) => {
            let (is_white, is_black) = (white.matches(schema, table), black.matches(schema, table));
            assert!(
                is_white || !is_black,
                "the black list holds what the white one does not"
            );
            let (upper_schema, upper_table) =
                (schema.to_ascii_uppercase(), table.to_ascii_uppercase());
            assert_eq!(is_white, white.matches(&upper_schema, &upper_table));
            let _ = white.warnings();
        }
        (Err(white), Err(black)) => assert_eq!(white, black),
        (white, black) => panic!("one kind refuses the list: {white:?}, {black:?}"),
    }
    if let Ok(columns) = ColumnFilter::parse(list, table) {
        let _ = columns.keeps(schema, table, list);
    }
}
