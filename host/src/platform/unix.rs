//! Signals, process exit, links to folders and the dynamic loader on Unix.

#![allow(unsafe_code, reason = "system calls")]

use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::{fs, io};

pub use libloading::os::unix::Library;
use libloading::os::unix::{RTLD_LOCAL, RTLD_NOW};

/// Blocks SIGTERM, SIGINT and SIGHUP on the calling thread, and on the threads that it makes from now on:
/// only the main thread shall be interrupted by them.
pub fn block_termination_signals() {
    // SAFETY: the set is initialised by sigemptyset before it is read, and lives across the calls.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        libc::sigaddset(&mut set, libc::SIGHUP);
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

/// Has reads and writes of a file wait, as they do unless it was opened otherwise.
///
/// # Errors
/// The system's.
pub fn make_blocking(file: &fs::File) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as the file is borrowed; no pointer is passed.
    let done = unsafe {
        let flags = libc::fcntl(file.as_raw_fd(), libc::F_GETFL);
        flags != -1 && libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK) != -1
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The version of glibc that this process runs with; `None` with another C library.
pub fn libc_version() -> Option<(u32, u32)> {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: glibc answers a string constant.
        let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
        let mut parts = version.to_str().ok()?.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
    #[cfg(not(target_env = "gnu"))]
    None
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

/// Makes a folder that everybody may read and only its owner may change, whatever the umask is.
///
/// # Errors
/// The system's: it exists already, or may not be made.
pub fn create_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o755).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Makes the symbolic link `link`, which leads to the folder `target`.
///
/// # Errors
/// The system's: there is something of that name already, or it may not be made.
pub fn link_folder(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// Removes a symbolic link, and not what it leads to.
///
/// # Errors
/// The system's: it does not exist, or may not be removed.
pub fn unlink_folder(link: &Path) -> io::Result<()> {
    fs::remove_file(link)
}
