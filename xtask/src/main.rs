//! Developer and quick-start commands, as `cargo xtask …`.

#![forbid(unsafe_code)]

mod build;
mod install;
mod start;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer and quick-start commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything, install the sample protocols into this repository, enable the defaults, serve
    Start {
        /// Passed on to `kuzzle-host start`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Build everything and install the sample protocols
    Install {
        /// The installation
        #[arg(long, value_name = "DIR")]
        home: PathBuf,
        /// Protocols to enable, separated by commas
        #[arg(long, value_name = "NAMES", value_delimiter = ',')]
        enable: Vec<String>,
    },
    /// Run the whole test suite: formatting, lints, documentation, tests
    Test {
        /// Only the tests whose name contains this
        filter: Option<String>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Start { arguments } => start::run(&arguments),
        Command::Install { home, enable } => install::run(&home, &enable),
        Command::Test { filter } => test::run(filter.as_deref()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
