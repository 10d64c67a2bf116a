use alloc::string::ToString;
use alloc::vec;

use super::*;
use crate::binlog::rows::RowOp;
use crate::binlog::table_map::{ColumnType, MapColumn};

fn mapped(column_type: u8, meta: u16) -> MapColumn {
    MapColumn {
        column_type: ColumnType(column_type),
        meta,
        nullable: true,
        unsigned: None,
        collation: None,
        name: None,
        members: None,
        is_key: None,
        visible: None,
        vector_dimension: None,
        geometry_type: None,
    }
}

fn column(column_type: &str, charset: Option<&str>) -> ColumnSchema {
    ColumnSchema {
        name: "c".into(),
        column_type: column_type.into(),
        charset: charset.map(Into::into),
        is_key: false,
        nullable: None,
    }
}

fn build(map: Vec<MapColumn>, schema: Vec<ColumnSchema>) -> Result<TablePlan, PlanError> {
    let map = TableMap {
        table_id: 1,
        schema: "s".into(),
        table: "t".into(),
        columns: map,
    };
    let schema = TableSchema {
        name: TableName::new("s", "t"),
        columns: schema,
    };
    TablePlan::build(
        &map,
        &schema,
        SubjectId(3),
        &EncodeSettings::default(),
        |_| true,
    )
}

fn problem(map: MapColumn, schema: ColumnSchema) -> ColumnProblem {
    match build(vec![map], vec![schema]) {
        Err(PlanError::Column {
            problem, index: 0, ..
        }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_shown_is_refused_by_name() {
    let plain = |column_type| column(column_type, None);
    assert_eq!(
        problem(mapped(140, 2), plain("text")),
        ColumnProblem::Compressed
    );
    assert_eq!(
        problem(mapped(141, 40), plain("varchar(39)")),
        ColumnProblem::Compressed
    );
    assert_eq!(
        problem(mapped(20, 0), plain("json")),
        ColumnProblem::Unsupported(20)
    );
    assert_eq!(
        problem(mapped(6, 0), plain("null")),
        ColumnProblem::Unsupported(6)
    );
    assert_eq!(
        problem(mapped(12, 0), plain("datetime(6)")),
        ColumnProblem::OldFraction
    );
    assert_eq!(
        problem(mapped(7, 0), plain("timestamp(3)")),
        ColumnProblem::OldFraction
    );
    assert_eq!(
        problem(mapped(11, 0), plain("time(1)")),
        ColumnProblem::OldFraction
    );
    for (column_type, meta) in [
        (246, 0x4200),
        (16, 0x0801),
        (17, 7),
        (252, 5),
        (254, 0xf709),
    ] {
        let expected = ColumnProblem::Metadata { column_type, meta };
        assert_eq!(problem(mapped(column_type, meta), plain("x")), expected);
    }
    let unknown = MapColumn {
        collation: Some(999),
        ..mapped(15, 10)
    };
    assert_eq!(
        problem(unknown, plain("varchar(10)")),
        ColumnProblem::Collation(999)
    );
    let named = problem(mapped(15, 10), column("varchar(10)", Some("klingon")));
    assert_eq!(named, ColumnProblem::Charset("klingon".into()));
}

#[test]
fn old_times_without_a_fraction_are_decoded() {
    for (column_type, text) in [
        (12, "datetime"),
        (7, "timestamp"),
        (7, "timestamp(14)"),
        (11, "time"),
        (12, "datetime(0)"),
    ] {
        assert!(
            build(vec![mapped(column_type, 0)], vec![column(text, None)]).is_ok(),
            "{text}"
        );
    }
}

#[test]
fn a_schema_of_another_version_is_refused() {
    let error = build(vec![mapped(3, 0), mapped(3, 0)], vec![column("int", None)]).unwrap_err();
    let text =
        "table s.t: its rows have 2 columns, its schema has 1: the schema is of another time";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_plan_tells_its_table() {
    let plan = build(vec![mapped(3, 0)], vec![column("int", None)]).unwrap();
    assert_eq!(plan.name(), &TableName::new("s", "t"));
    assert_eq!(plan.subject(), SubjectId(3));
    assert_eq!(plan.column_count(), 1);
}

#[test]
fn an_error_names_table_column_and_cure() {
    let error = build(vec![mapped(140, 2)], vec![column("text", None)]).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("table s.t, column 0 `c` (text): COMPRESSED columns"),
        "{text}"
    );
    assert!(text.contains("canal.instance.filter.black.regex"), "{text}");
}

/// Two columns, of which servers set the unused bits of their bitmaps too.
#[test]
fn an_event_is_guessed_from_its_first_row() {
    let plan = build(
        vec![mapped(3, 0), mapped(15, 40)],
        vec![column("int", None), column("varchar(10)", Some("utf8mb4"))],
    )
    .unwrap();
    let row = [0xfc, 1, 0, 0, 0, 3, b'a', b'b', b'c'];
    let insert = [&[2, 0xff][..], &row, &row, &row].concat();
    let one = plan.guess(RowOp::Insert, &insert[..2 + row.len()]);
    let guess = plan.guess(RowOp::Insert, &insert);
    assert_eq!((one.rows, guess.rows), (1, 3));
    assert_eq!(guess.bytes, 3 * one.bytes);
    let update = [&[2, 0xff, 0xff][..], &row, &row, &row, &row].concat();
    assert_eq!(plan.guess(RowOp::Update, &update).rows, 2);
    // Only the first column; the row is NULL.
    let partial = [2, 0xfd, 1, 0, 7, 0, 0, 0];
    assert_eq!(plan.guess(RowOp::Delete, &partial).rows, 6);
    for damaged in [
        &[][..],
        &[3, 7],
        &[2],
        &[2, 0xff, 0, 1],
        &[2, 0xff, 0, 1, 0, 0, 0, 9],
    ] {
        assert_eq!(plan.guess(RowOp::Insert, damaged).rows, 1);
    }
}
