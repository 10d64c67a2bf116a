//! `cargo sim`.

use std::process::ExitCode;

use canald_sim::tool::Exit;
use canald_sim::tool::cli::Cli;
use clap::Parser as _;

#[expect(clippy::print_stderr, reason = "there is nobody else to tell")]
fn main() -> ExitCode {
    match Cli::parse().carry_out() {
        Ok(exit) => exit.code(),
        Err(fault) => {
            eprintln!("cargo sim: {fault:#}");
            Exit::Usage.code()
        }
    }
}
