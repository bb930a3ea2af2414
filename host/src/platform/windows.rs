//! Signals, process exit and the dynamic loader on Windows. Not compiled by our own tests.

#![allow(unsafe_code, reason = "system calls")]

use std::path::Path;

use libloading::os::windows::{LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR, LOAD_LIBRARY_SEARCH_SYSTEM32, Library};

/// Windows delivers console events on a thread of its own: nothing to block.
pub fn block_termination_signals() {}

/// Nothing to undo.
pub fn default_termination_signals() {}

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
