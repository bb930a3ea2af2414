//! `completions` and `man`: what shells and manuals say about the command line, from the same
//! definitions as the command line itself.

use clap::Command;
use clap_complete::Shell;

use super::{CommandError, EXIT_OK, ManOptions, Output};

/// Prints the completions for a shell.
///
/// # Errors
/// None of its own.
pub fn completions(mut command: Command, shell: Shell, out: &mut Output) -> Result<u8, CommandError> {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    out.text.push_str(&String::from_utf8_lossy(&script));
    Ok(EXIT_OK)
}

/// Prints the manual's page of the program, or writes the pages of all commands into a folder.
///
/// # Errors
/// If the folder can not be made or written to.
pub fn man(command: Command, options: &ManOptions, out: &mut Output) -> Result<u8, CommandError> {
    let Some(folder) = &options.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|error| CommandError::failure(format!("Could not make the manual: {error}."), ""))?;
        out.text.push_str(&String::from_utf8_lossy(&page));
        return Ok(EXIT_OK);
    };
    std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder)).map_err(
        |error| {
            CommandError::failure(
                format!("Could not write the manual to {}: {error}.", folder.display()),
                "Give a folder that the user of this command may write to.",
            )
        },
    )?;
    Ok(EXIT_OK)
}
