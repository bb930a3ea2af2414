//! The `kuzzle-host` program: its arguments in, an exit status out.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(kuzzle_host::cli::run(std::env::args_os()))
}
