//! Signals, process exit and the dynamic loader on Unix.

#![allow(unsafe_code, reason = "system calls")]

use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// Blocks SIGTERM and SIGINT on the calling thread, and on the threads that it makes from now on:
/// only the main thread shall be interrupted by them.
pub fn block_termination_signals() {
    // SAFETY: the set is initialised by sigemptyset before it is read, and lives across the calls.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}

/// Gives SIGTERM and SIGINT their default action again: to end the process at once.
pub fn default_termination_signals() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: sets a disposition, no handler of ours runs.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Ends the process without running static destructors, which must not run under the threads of
/// loaded libraries.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: takes no pointer and does not return.
    unsafe { libc::_exit(i32::from(status)) }
}

/// Opens a library: all symbols are bound now, none is visible to other libraries, and it is never
/// unmapped, because code and statics of a library that has run may be in use for ever.
///
/// # Errors
/// The dynamic loader's own text.
pub fn open_library(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: runs the constructors of a library that the administrator enabled and that passed
    // the inspection; that they behave is what "trust" means in the author's guide.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE) }
}
