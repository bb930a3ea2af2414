//! What a child process needs in which code runs that may crash, hang or leak: limits, an end with its
//! parent; and what that code must leave as it is.

#![allow(unsafe_code, reason = "system calls")]

use std::ffi::CStr;

/// What a child may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of address space.
    pub address_space: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Seconds of processor time.
    pub processor: u64,
}

/// Limits this process for good, without a core dump; as far as the system lets it.
pub fn confine(limits: Limits) {
    set_limit(libc::RLIMIT_AS, limits.address_space);
    set_limit(libc::RLIMIT_NOFILE, limits.descriptors);
    set_limit(libc::RLIMIT_CPU, limits.processor);
    set_limit(libc::RLIMIT_CORE, 0);
    #[cfg(target_os = "linux")]
    // SAFETY: takes no pointer; asks to be killed when the thread ends that made this process.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

fn set_limit(resource: Resource, most: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct lives across both calls.
    unsafe {
        libc::getrlimit(resource, &mut limit);
        limit.rlim_cur = (most as libc::rlim_t).min(limit.rlim_max);
        limit.rlim_max = limit.rlim_cur;
        libc::setrlimit(resource, &limit);
    }
}

/// Kills a child that leads a process group, with all of that group.
pub fn kill_group(leader: u32) {
    if let Ok(leader) = libc::pid_t::try_from(leader)
        && leader > 1
    {
        // SAFETY: takes no pointer.
        unsafe { libc::kill(-leader, libc::SIGKILL) };
    }
}

/// The locale of this process, all categories.
pub fn locale() -> String {
    // SAFETY: a null pointer asks; the answer is a string that lives until the locale is changed, which
    // happens on no other thread at a time when this is called.
    unsafe {
        let name = libc::setlocale(libc::LC_ALL, std::ptr::null());
        if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
    }
}

/// The name of a signal, for example `SIGSEGV`.
pub fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGALRM => "SIGALRM",
        libc::SIGBUS => "SIGBUS",
        libc::SIGCHLD => "SIGCHLD",
        libc::SIGFPE => "SIGFPE",
        libc::SIGHUP => "SIGHUP",
        libc::SIGILL => "SIGILL",
        libc::SIGINT => "SIGINT",
        libc::SIGKILL => "SIGKILL",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGSYS => "SIGSYS",
        libc::SIGTERM => "SIGTERM",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGXCPU => "SIGXCPU",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}
