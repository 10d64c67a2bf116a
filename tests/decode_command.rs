//! `canald decode` as a command: what it prints where, and how it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Result, ensure};
use canald_tests::harness::{Scratch, canald, folder};
use serde_json::Value;

/// The exit code for data that cannot be read.
const DATA: i32 = 4;

fn log(name: &str) -> PathBuf {
    folder().join("corpus").join(format!("{name}.binlog"))
}

fn run(arguments: &[&str], files: &[&Path]) -> Result<Output> {
    let files: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let mut all = vec!["decode"];
    all.extend(arguments);
    all.extend(files.iter().map(String::as_str));
    canald::run(&all)
}

fn printed(output: &Output) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(String::from_utf8(output.stdout.clone())?)
}

#[test]
fn flat_messages_are_one_a_line() -> Result<()> {
    let output = run(&[], &[&log("mysql97/base-21-stopped")])?;
    let lines: Vec<Value> = printed(&output)?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let kinds: Vec<&str> = lines.iter().filter_map(|it| it["type"].as_str()).collect();
    assert_eq!(kinds, ["QUERY", "CREATE", "INSERT"]);
    let insert = &lines[2];
    assert_eq!(insert["database"], "ends");
    assert_eq!(insert["table"], "t");
    assert_eq!(insert["data"], serde_json::json!([{"id": "1"}]));
    assert_eq!(insert["pkNames"], serde_json::json!(["id"]));
    Ok(())
}

#[test]
fn text_names_file_and_offset() -> Result<()> {
    let output = run(&["--format", "text"], &[&log("mysql97/base-21-stopped")])?;
    let text = printed(&output)?;
    assert_eq!(
        text.lines().last(),
        Some("base-21-stopped.binlog:958 ends.t INSERT id=1")
    );
    Ok(())
}

#[test]
fn a_filter_leaves_other_tables_out() -> Result<()> {
    let file = log("mysql97/base-21-stopped");
    let none = printed(&run(
        &["--format", "text", "--filter", "other\\..*"],
        &[&file],
    )?)?;
    ensure!(!none.contains("INSERT"), "{none}");
    let one = printed(&run(
        &["--format", "text", "--filter", "ends\\.t"],
        &[&file],
    )?)?;
    ensure!(one.contains("INSERT id=1"), "{one}");
    Ok(())
}

#[test]
fn the_count_tells_rows_and_transactions() -> Result<()> {
    let files = [
        log("mysql97/base-21-stopped"),
        log("mysql56/base-21-stopped"),
    ];
    let output = run(&["--format", "none"], &[&files[0], &files[1]])?;
    let text = printed(&output)?;
    let count = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
    };
    assert_eq!(count("files"), Some(2), "{text}");
    assert_eq!(count("rows"), Some(2), "{text}");
    assert_eq!(count("statements"), Some(4), "{text}");
    let bytes = fs::metadata(&files[0])?.len() + fs::metadata(&files[1])?.len();
    assert_eq!(count("bytes"), Some(bytes), "{text}");
    Ok(())
}

#[test]
fn names_of_a_script_hold_until_a_statement_touches_the_table() -> Result<()> {
    let scratch = Scratch::new()?;
    let script = scratch.path().join("ends.sql");
    fs::write(
        &script,
        "USE ends;\nCREATE TABLE t (number INT PRIMARY KEY);\n",
    )?;
    let script = script.display().to_string();
    // the second log creates the table anew: what the script says of it is no longer known to be true
    let (row, create) = (
        log("mysql56/base-22-crashed"),
        log("mysql56/base-21-stopped"),
    );
    let output = run(
        &["--format", "text", "--schema", &script],
        &[&row, &create, &row],
    )?;
    let text = printed(&output)?;
    let rows: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(" INSERT ").nth(1))
        .collect();
    assert_eq!(rows, ["number=2", "@1=1", "@1=2"], "{text}");
    Ok(())
}

#[test]
fn a_file_in_use_is_read_to_its_end_and_said_to_be() -> Result<()> {
    for (name, row) in [
        ("mysql97/base-20-open", "ends.t INSERT id=1"),
        ("mariadb118/base-22-crashed", "ends.t INSERT id=2"),
    ] {
        let output = run(&["--format", "text"], &[&log(name)])?;
        ensure!(printed(&output)?.contains(row), "{name}");
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(said.contains("still being written"), "{name}: {said}");
    }
    Ok(())
}

#[test]
fn what_precedes_a_fault_is_printed_and_the_fault_is_told() -> Result<()> {
    let scratch = Scratch::new()?;
    let whole = fs::read(log("mysql97/base-16-gtids"))?;
    let cut = scratch.path().join("cut.000001");
    fs::write(&cut, &whole[..whole.len() - 3])?;
    let foreign = scratch.path().join("foreign.000001");
    fs::write(&foreign, "./mysql-bin.000001\n")?;
    let compressed = log("mysql97/compressed-07-dml");
    let rows = printed(&run(
        &["--format", "text"],
        &[&log("mysql97/base-16-gtids")],
    )?)?;
    for (file, lines, told) in [
        (&cut, rows.lines().count(), "the file ends inside an event"),
        (&foreign, 0, "not a binlog file"),
        (&compressed, 5, "a compressed transaction"),
    ] {
        let output = run(&["--format", "text"], &[file])?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(DATA), "{said}");
        ensure!(said.contains(told), "{said}");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(shown.lines().count(), lines, "{file:?}: {shown}");
    }
    Ok(())
}
