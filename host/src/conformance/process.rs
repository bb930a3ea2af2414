//! What a process has and is, as a library could change it. Most of it is read from `/proc`, so
//! elsewhere than on Linux there is less to see.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use crate::platform;

/// Threads and open descriptors, by number.
#[derive(Debug, Default)]
pub(super) struct Belongings {
    threads: BTreeMap<u32, String>,
    descriptors: BTreeMap<u32, String>,
}

impl Belongings {
    /// Those of now; `None` where the system does not tell them.
    pub(super) fn now() -> Option<Self> {
        let mut now = Self::default();
        for thread in numbers("/proc/self/task")? {
            let name = fs::read_to_string(format!("/proc/self/task/{thread}/comm")).unwrap_or_default();
            now.threads.insert(thread, name.trim().to_owned());
        }
        for descriptor in numbers("/proc/self/fd")? {
            // The one by which the folder was read is closed by now.
            if let Ok(target) = fs::read_link(format!("/proc/self/fd/{descriptor}")) {
                now.descriptors.insert(descriptor, target.to_string_lossy().into_owned());
            }
        }
        Some(now)
    }

    /// What there is now and was not before: threads, descriptors.
    ///
    /// One pair of unix sockets without a name is let pass: runtimes such as tokio make one for the
    /// whole process and keep it, and nobody else can be at its other end.
    pub(super) fn beyond(&self, before: &Self) -> (Vec<String>, Vec<String>) {
        let threads = self.threads.iter().filter(|(number, _)| !before.threads.contains_key(number));
        let new = |(number, target): &(&u32, &String)| before.descriptors.get(number) != Some(*target);
        let mut descriptors: Vec<_> = self.descriptors.iter().filter(new).collect();
        let unnamed = unnamed_unix_sockets();
        let is_unnamed = |target: &str| unnamed.contains(target);
        if descriptors.iter().filter(|(_, target)| is_unnamed(target)).count() == 2 {
            descriptors.retain(|(_, target)| !is_unnamed(target));
        }
        (
            threads.map(|(_, name)| name.clone()).collect(),
            descriptors.iter().map(|(number, target)| format!("{number} ({target})")).collect(),
        )
    }
}

/// The connected unix sockets of this machine that have no name, as `/proc/self/fd` shows them.
fn unnamed_unix_sockets() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let sockets = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Num RefCount Protocol Flags Type St Inode, and Path if there is one; state 03 is connected.
    let unnamed = sockets.filter(|fields| fields.len() == 7 && fields[5] == "03");
    unnamed.map(|fields| format!("socket:[{}]", fields[6])).collect()
}

fn numbers(folder: &str) -> Option<Vec<u32>> {
    let entries = fs::read_dir(folder).ok()?;
    Some(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// What libraries must leave alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Surroundings {
    folder: Option<PathBuf>,
    locale: String,
    environment: BTreeSet<(OsString, OsString)>,
    /// Lines of `/proc/self/status`: umask, signals that are ignored and that are caught.
    status: BTreeMap<String, String>,
}

/// Signals that the system's own parts may take: none of these is a library's own business, but timers
/// and thread cancellation inside the C library use real-time signals.
const C_LIBRARY: u64 = 0b11 << 31;

impl Surroundings {
    pub(super) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let wanted = ["Umask", "SigIgn", "SigCgt"];
        let lines = status.lines().filter_map(|line| line.split_once(':'));
        let lines = lines.filter(|(name, _)| wanted.contains(name)).map(|(name, value)| {
            let value = match u64::from_str_radix(value.trim(), 16) {
                Ok(signals) if name.starts_with("Sig") => format!("{:016x}", signals & !C_LIBRARY),
                _ => value.trim().to_owned(),
            };
            (name.to_owned(), value)
        });
        Self {
            folder: std::env::current_dir().ok(),
            locale: platform::locale(),
            environment: std::env::vars_os().collect(),
            status: lines.collect(),
        }
    }

    /// What has changed since then.
    pub(super) fn changes_since(&self, before: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        if self.folder != before.folder {
            changes.push(format!(
                "the working folder, to {}",
                self.folder.clone().unwrap_or_default().display()
            ));
        }
        if self.locale != before.locale {
            changes.push(format!("the locale, from {} to {}", before.locale, self.locale));
        }
        let names: BTreeSet<_> = self
            .environment
            .symmetric_difference(&before.environment)
            .map(|(name, _)| name.to_string_lossy())
            .collect();
        changes.extend(names.into_iter().map(|name| format!("the environment variable {name}")));
        for (name, value) in &self.status {
            let Some(was) = before.status.get(name).filter(|was| *was != value) else { continue };
            changes.push(match name.as_str() {
                "Umask" => format!("the umask, from {was} to {value}"),
                "SigIgn" => format!("which signals are ignored: {}", signals(was, value)),
                _ => format!("which signals are caught: {}", signals(was, value)),
            });
        }
        changes
    }
}

/// The signals in which two masks differ.
fn signals(before: &str, now: &str) -> String {
    let mask = |text: &str| u64::from_str_radix(text, 16).unwrap_or(0);
    let changed = mask(before) ^ mask(now);
    let names = (1..=64).filter(|signal| changed >> (signal - 1) & 1 == 1).map(platform::signal_name);
    names.collect::<Vec<_>>().join(", ")
}
