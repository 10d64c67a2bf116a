//! What is measured: three shapes of rows and the ways in which they come, as SQL.
//!
//! The texts are made from numbers, so that every run writes the same log.

use anyhow::Result;
use canald_tests::harness::server::{Kind, Server};

/// The schema of all tables.
pub const SCHEMA: &str = "bench";

/// Rows of the helper table that the statements select from.
const NUMBERS: u32 = 10_000;

/// A table and the changes made to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Inserts into four columns, 1000 rows a transaction: 33 bytes of binlog a row.
    Bulk,
    /// Inserts into four columns, each a transaction of its own.
    Single,
    /// Updates of sixteen columns, both images, 200 rows a transaction: 277 bytes of binlog a row.
    Wide,
    /// Inserts of a kilobyte of text, 100 rows a transaction.
    Text,
}

impl Workload {
    /// Its name in tables and of its recorded log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Single => "single",
            Self::Wide => "wide",
            Self::Text => "text",
        }
    }

    /// What it is, in a few words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Bulk => "4-column inserts, bulk",
            Self::Single => "4-column inserts, one a transaction",
            Self::Wide => "16-column updates, both images",
            Self::Text => "1 KB of text a row",
        }
    }

    /// Rows of one transaction.
    #[must_use]
    pub const fn rows_per_transaction(self) -> u32 {
        match self {
            Self::Single => 1,
            Self::Bulk => 1000,
            Self::Wide => 200,
            Self::Text => 100,
        }
    }

    /// Writes its changes to an otherwise empty log of `server`, at least `rows`; returns how many.
    ///
    /// # Errors
    /// When the server refuses a statement.
    pub fn write(self, server: &Server, rows: u32) -> Result<u64> {
        let transactions = rows.div_ceil(self.rows_per_transaction());
        let table = self.name();
        server.sql(&format!(
            "SET sql_log_bin = 0;\n{}\n\
             CREATE OR REPLACE VIEW {SCHEMA}.block AS SELECT n FROM {SCHEMA}.numbers WHERE n < {per};\n\
             DROP TABLE IF EXISTS {SCHEMA}.{table};\n{create};\n{prepare}\n\
             DROP PROCEDURE IF EXISTS {SCHEMA}.fill;\nDELIMITER //\n\
             CREATE PROCEDURE {SCHEMA}.fill(IN transactions INT)\nBEGIN\n\
             DECLARE i INT DEFAULT 0;\n\
             WHILE i < transactions DO\n{change};\nSET i = i + 1;\nEND WHILE;\nEND//\nDELIMITER ;\n\
             {reset};\n\
             SET sql_log_bin = 1;\nCALL {SCHEMA}.fill({transactions});\n",
            numbers(),
            reset = reset(server.kind()),
            per = self.rows_per_transaction(),
            create = self.create(),
            prepare = self.prepare(),
            change = self.change(),
        ))?;
        Ok(u64::from(transactions) * u64::from(self.rows_per_transaction()))
    }

    fn create(self) -> String {
        let columns = match self {
            Self::Bulk | Self::Single => FOUR_COLUMNS,
            Self::Wide => SIXTEEN_COLUMNS,
            Self::Text => "id BIGINT NOT NULL PRIMARY KEY, body TEXT NOT NULL",
        };
        format!("CREATE TABLE {SCHEMA}.{} ({columns})", self.name())
    }

    /// What the table holds before the changes.
    const fn prepare(self) -> &'static str {
        match self {
            Self::Wide => FILL_SIXTEEN,
            Self::Bulk | Self::Single | Self::Text => "",
        }
    }

    /// The changes of transaction `i`.
    const fn change(self) -> &'static str {
        match self {
            Self::Bulk => {
                "INSERT INTO bench.bulk SELECT i * 1000 + n, n * 7919, \
                 CONCAT('customer-', LPAD(n, 5, '0')), \
                 '2024-03-01 08:30:00' + INTERVAL n SECOND FROM bench.block"
            }
            Self::Single => {
                "INSERT INTO bench.single VALUES (i, i * 7919 % 1000003, \
                 CONCAT('customer-', LPAD(i % 100000, 5, '0')), \
                 '2024-03-01 08:30:00' + INTERVAL i SECOND)"
            }
            Self::Wide => {
                "UPDATE bench.wide SET quantity = quantity + 1, price = price + 0.05, \
                 weight = weight * 1.01, modified = modified + INTERVAL 1 SECOND, \
                 note = IF(i % 2 = 0, CONCAT(note, '!'), TRIM(TRAILING '!' FROM note)) \
                 ORDER BY id LIMIT 200"
            }
            Self::Text => {
                "INSERT INTO bench.text SELECT i * 100 + n, \
                 RPAD(CONCAT('The order ', n, ' of today was sent. '), 1024, \
                 CONCAT('It is ', n * 7919, ' steps from door to door; ')) FROM bench.block"
            }
        }
    }
}

/// The statement that empties the log.
#[must_use]
pub const fn reset(kind: Kind) -> &'static str {
    match kind {
        Kind::MySql97 => "RESET BINARY LOGS AND GTIDS",
        Kind::MySql56 | Kind::MariaDb1011 => "RESET MASTER",
    }
}

/// The statement that tells where the log ends.
#[must_use]
pub const fn end_of_log(kind: Kind) -> &'static str {
    match kind {
        Kind::MySql97 => "SHOW BINARY LOG STATUS",
        Kind::MySql56 | Kind::MariaDb1011 => "SHOW MASTER STATUS",
    }
}

const FOUR_COLUMNS: &str = "id BIGINT NOT NULL PRIMARY KEY, amount INT NOT NULL, \
     name VARCHAR(32) NOT NULL, created DATETIME NOT NULL";

const SIXTEEN_COLUMNS: &str = "id BIGINT NOT NULL PRIMARY KEY, customer INT UNSIGNED NOT NULL, \
     status TINYINT NOT NULL, kind SMALLINT NOT NULL, quantity INT NOT NULL, \
     price DECIMAL(12,2) NOT NULL, discount DOUBLE NOT NULL, weight FLOAT NOT NULL, \
     code CHAR(8) NOT NULL, title VARCHAR(60) NOT NULL, email VARCHAR(60) NOT NULL, \
     note VARCHAR(255) NOT NULL, created DATETIME NOT NULL, modified TIMESTAMP(3) NOT NULL, \
     due DATE NOT NULL, channel ENUM('web','shop','phone') NOT NULL";

const FILL_SIXTEEN: &str = "INSERT INTO bench.wide SELECT n, n * 7919, n % 5, n % 300, n, n * 1.37, \
     n / 7, n / 3, LPAD(HEX(n * 7919), 8, '0'), CONCAT('Deliver to door ', LPAD(n, 5, '0')), \
     CONCAT('customer-', LPAD(n, 5, '0'), '@example.org'), \
     CONCAT('leave it at number ', LPAD(n, 5, '0')), \
     '2024-03-01 08:30:00' + INTERVAL n SECOND, '2024-03-01 08:30:00.125' + INTERVAL n SECOND, \
     '2024-03-01' + INTERVAL n % 365 DAY, ELT(1 + n % 3, 'web', 'shop', 'phone') FROM bench.block;";

/// The helper table: the numbers from 0 on.
fn numbers() -> String {
    let digits = "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION \
                  SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
    format!(
        "CREATE DATABASE IF NOT EXISTS {SCHEMA};\n\
         CREATE TABLE IF NOT EXISTS {SCHEMA}.numbers (n INT NOT NULL PRIMARY KEY);\n\
         INSERT IGNORE INTO {SCHEMA}.numbers SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS n \
         FROM {digits} a, {digits} b, {digits} c, {digits} e \
         WHERE a.d + 10 * b.d + 100 * c.d + 1000 * e.d < {NUMBERS};"
    )
}
