//! How far it is, for whoever watches: one line on standard error, drawn over and over.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::bytes_of;
use crate::cli::DecodeFormat;

/// How often the line is drawn.
const EVERY: Duration = Duration::from_millis(200);

/// Puts the cursor at the start of an empty line.
const CLEAR: &str = "\r\x1b[K";

const MEGABYTE: f64 = 1e6;

/// The progress of a command; silent where nobody watches.
#[derive(Debug)]
pub(super) struct Progress {
    shown: bool,
    total: Option<u64>,
    done: u64,
    begun: Instant,
    drawn: Instant,
}

impl Progress {
    /// Shown if standard error is a terminal, and lines are not printed on one at the same time.
    pub(super) fn of_files(files: &[PathBuf], format: DecodeFormat) -> Self {
        let quiet_output = format == DecodeFormat::None || !io::stdout().is_terminal();
        let now = Instant::now();
        Self {
            shown: quiet_output && io::stderr().is_terminal(),
            total: bytes_of(files),
            done: 0,
            begun: now,
            drawn: now,
        }
    }

    pub(super) fn reached(&mut self, more: usize) {
        self.done += more as u64;
        if !self.shown || self.drawn.elapsed() < EVERY {
            return;
        }
        self.drawn = Instant::now();
        let line = line(self.done, self.total, self.begun.elapsed());
        // A terminal that went away is no reason to stop.
        let _ = write!(io::stderr(), "{CLEAR}{line}");
    }

    /// Leaves the line empty.
    pub(super) fn clear(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "{CLEAR}");
        }
    }
}

fn line(done: u64, total: Option<u64>, took: Duration) -> String {
    let (megabytes, seconds) = (done as f64 / MEGABYTE, took.as_secs_f64());
    let rate = if seconds > 0.0 {
        megabytes / seconds
    } else {
        0.0
    };
    let Some(total) = total.filter(|&total| total >= done) else {
        return format!("{megabytes:.1} MB, {rate:.1} MB/s");
    };
    let total = total as f64 / MEGABYTE;
    let percent = if total > 0.0 {
        megabytes / total * 100.0
    } else {
        100.0
    };
    let left = if rate > 0.0 {
        format!("{:.0} s left", (total - megabytes) / rate)
    } else {
        "waiting".into()
    };
    format!("{percent:.0} %, {megabytes:.1} of {total:.1} MB, {rate:.1} MB/s, {left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_bytes_rate_and_time_left() {
        let second = Duration::from_secs(1);
        for (done, total, want) in [
            (
                25_000_000,
                Some(100_000_000),
                "25 %, 25.0 of 100.0 MB, 25.0 MB/s, 3 s left",
            ),
            (1_500_000, None, "1.5 MB, 1.5 MB/s"),
            // A file that grows meanwhile.
            (3_000_000, Some(2_000_000), "3.0 MB, 3.0 MB/s"),
            (0, Some(0), "100 %, 0.0 of 0.0 MB, 0.0 MB/s, waiting"),
        ] {
            assert_eq!(line(done, total, second), want);
        }
        assert_eq!(line(0, None, Duration::ZERO), "0.0 MB, 0.0 MB/s");
    }
}
