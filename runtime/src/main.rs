//! The binary: reads the command line, hands over to a command, and tells how it ended.

use std::process::ExitCode;

use canald::cli::{Cli, Command};
use canald::config::Environment;
use canald::exit::Exit;
use canald::{check, decode, logging, serve, tail};
use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            let exit = Exit::of(&error);
            if exit != Exit::Ok {
                eprintln!("canald: {error:#}");
            }
            exit.into()
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    logging::start(cli.log.level()).map_err(|error| Exit::Usage.mark(error.into()))?;
    let environment = Environment::of_process();
    match cli.command {
        Command::Serve(args) => serve::run(args.load(&environment)?),
        Command::Tail(args) => tail::run(&args),
        Command::Decode(args) => decode::run(&args),
        Command::Check(args) => check::run(args.load(&environment)?),
    }
}
