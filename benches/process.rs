//! What the system says of a process: `/proc`.

use std::fs;

use anyhow::{Context as _, Result};

/// Kernel clock ticks a second, which Linux fixes for what it shows to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time that a process has used.
///
/// # Errors
/// When there is no such process.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold anything.
    let (_, fields) = stat.rsplit_once(") ").context("no name in stat")?;
    let mut fields = fields.split(' ').skip(11).map(str::parse::<u64>);
    let (Some(Ok(user)), Some(Ok(system))) = (fields.next(), fields.next()) else {
        anyhow::bail!("stat of {pid} has another form: {stat}");
    };
    Ok((user + system) as f64 / TICKS_PER_SECOND)
}

/// Resident memory of a process in bytes: now, and at its peak.
///
/// # Errors
/// When there is no such process.
pub fn resident(pid: u32) -> Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib << 10)
    };
    let now = field("VmRSS:").context("no VmRSS")?;
    let peak = field("VmHWM:").context("no VmHWM")?;
    Ok((now, peak))
}
