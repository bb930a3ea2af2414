//! Signals, process exit, links to folders and the dynamic loader on Windows. Not compiled by our own tests.

#![allow(unsafe_code, reason = "system calls")]

use std::path::Path;
use std::{fs, io};

pub use libloading::os::windows::Library;
use libloading::os::windows::{LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR, LOAD_LIBRARY_SEARCH_SYSTEM32};

/// Windows delivers console events on a thread of its own: nothing to block.
pub fn block_termination_signals() {}

/// Nothing to undo.
pub fn default_termination_signals() {}

/// Files wait here unless they are asked not to.
///
/// # Errors
/// None.
pub fn make_blocking(_file: &fs::File) -> io::Result<()> {
    Ok(())
}

/// There is no glibc here.
pub fn libc_version() -> Option<(u32, u32)> {
    None
}

/// Ends the process.
pub fn exit_now(status: u8) -> ! {
    std::process::exit(i32::from(status))
}

/// Opens a library, looking for what it needs in its own folder and the system's only, and pins it.
///
/// # Errors
/// The dynamic loader's own text.
pub fn open_library(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: as on Unix: the library was enabled by the administrator and inspected.
    let library = unsafe {
        Library::load_with_flags(path, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32)?
    };
    library.pin()?;
    Ok(library)
}

/// Makes a folder, with the permissions of the one it stands in.
///
/// # Errors
/// The system's: it exists already, or may not be made.
pub fn create_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

/// Makes the symbolic link `link`, which leads to the folder `target`.
///
/// # Errors
/// The system's: there is something of that name already, or it may not be made.
pub fn link_folder(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}

/// Removes a symbolic link, and not what it leads to.
///
/// # Errors
/// The system's: it does not exist, or may not be removed.
pub fn unlink_folder(link: &Path) -> io::Result<()> {
    // Links to folders are removed as folders, links to files as files.
    fs::remove_dir(link).or_else(|_| fs::remove_file(link))
}

/// Windows tells of crashes itself.
pub fn tell_fatal_signals(_current_call: fn() -> Option<(u16, &'static str)>) {}

/// Nothing is told of it.
pub struct Suspect;

impl Suspect {
    /// Names nobody.
    pub fn name(_number: u16, _protocol: &str) -> &'static Self {
        &Self
    }

    /// Nothing to remember.
    pub fn has_loaded(&self, _function: usize) {}
}

/// Windows has no signals that need a stack.
pub struct SignalStack;

impl SignalStack {
    /// Nothing.
    pub fn ensure() -> Self {
        Self
    }
}
