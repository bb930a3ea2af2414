//! `cargo xtask start`: from a clean clone to a server.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{build, install};

/// Installs into the repository, enables the defaults and serves until a signal.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let home = build::root();
    install::run(&home, &install::DEFAULTS.map(str::to_owned))?;
    let program =
        build::target_dir()?.join("release").join(format!("kuzzle-host{}", std::env::consts::EXE_SUFFIX));
    let mut command = Command::new(program);
    command.arg("--home").arg(&home).arg("start").args(arguments);
    serve(&mut command).with_context(|| format!("could not run {command:?}"))
}

/// The server takes our place, so signals reach it.
#[cfg(unix)]
fn serve(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    bail!(command.exec())
}

#[cfg(not(unix))]
fn serve(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if !status.success() {
        bail!("ended with {status}");
    }
    Ok(())
}
