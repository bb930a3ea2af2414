//! What differs between operating systems, one small module each.

#[cfg(unix)]
mod confined;
#[cfg(unix)]
mod fatal;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use confined::{Limits, confine, kill_group, locale, signal_name};
#[cfg(unix)]
pub use fatal::{SignalStack, Suspect, tell_fatal_signals};
#[cfg(unix)]
pub use unix::{
    Library, block_termination_signals, create_folder, default_termination_signals, exit_now, libc_version,
    link_folder, make_blocking, open_library, unlink_folder,
};
#[cfg(windows)]
pub use windows::{
    Library, SignalStack, Suspect, block_termination_signals, create_folder, default_termination_signals,
    exit_now, libc_version, link_folder, make_blocking, open_library, tell_fatal_signals, unlink_folder,
};
