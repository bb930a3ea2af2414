//! What a library needs besides itself: other libraries, and versions of the C library.
//!
//! Which libraries are found, and where, only the dynamic loader knows. It is asked in trace mode, in
//! a child process: then it maps the library and what it needs, tells, and runs none of their code.
//!
//! The loader takes the library for one that is preloaded into this host's own program, as it will be
//! loaded into it. It must never take the library for the program: of a program it loads the libraries
//! that are named to audit it (`DT_AUDIT`, `DT_DEPAUDIT`) and runs them, in trace mode, too.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::image::{self, Image};
use super::target::Target;
use crate::diagnostics::{Diagnostic, Id, escape};
use crate::platform;

/// How long the loader may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of the loader's answer that are read.
const MOST_OUTPUT: u64 = 1 << 20;

/// What this process has: the loader that started it, and the libraries that it has loaded already.
#[derive(Clone, Debug)]
pub(super) struct Loader {
    program: Option<PathBuf>,
    loaded: BTreeSet<String>,
    libc: Option<(u32, u32)>,
    /// Why the loader can not be asked.
    silent: Option<String>,
}

impl Loader {
    /// Of this process.
    pub(super) fn current() -> Self {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let files = maps.lines().filter_map(|line| line.rsplit_once('/').map(|(_, name)| name.to_owned()));
        Self {
            program: image::interpreter(Path::new("/proc/self/exe")),
            loaded: files.collect(),
            libc: platform::libc_version(),
            silent: None,
        }
    }

    /// Of this process, if that can tell what libraries for `target` need; else of an unknown machine.
    pub(super) fn of(target: &Target) -> Self {
        if target.is_this_machine() {
            return Self::current();
        }
        let here = Target::current().key;
        let silent = Some(format!("it is built for {}, this machine is {here}", target.key));
        Self { program: None, loaded: BTreeSet::new(), libc: None, silent }
    }

    /// Everything that the library at `path` needs and will not get.
    pub(super) fn check(&self, path: &Path, image: &Image) -> Vec<Diagnostic> {
        let mut diagnostics: Vec<_> = self.check_libc(path, image).into_iter().collect();
        // What this process has loaded, the loader will not look for again.
        if image.needed.iter().any(|name| !self.loaded.contains(name)) {
            match self.trace(path) {
                Ok(answer) => diagnostics.extend(missing(path, &answer)),
                Err(reason) => {
                    let message = format!(
                        "Whether all that the library needs is installed was not determined: {reason}."
                    );
                    let mut help =
                        format!("Make sure that these are installed: {}.", escape(&image.needed.join(", ")));
                    if let (None, Some((major, minor))) = (self.libc, image.needed_libc) {
                        help.push_str(&format!(" It needs glibc {major}.{minor} or later."));
                    }
                    diagnostics.push(Diagnostic::warning(Id::LibraryMissingDependency, path, message, help));
                }
            }
        }
        diagnostics
    }

    fn check_libc(&self, path: &Path, image: &Image) -> Option<Diagnostic> {
        let (here, needed) = (self.libc?, image.needed_libc?);
        if needed <= here {
            return None;
        }
        let version = |(major, minor): (u32, u32)| format!("glibc {major}.{minor}");
        let message = format!("The library needs {}, this system has {}.", version(needed), version(here));
        let help = "Build the protocol on a system that is as old as this one, or update this system.";
        let diagnostic = Diagnostic::error(Id::LibraryNeedsNewerLibc, path, message, help);
        Some(diagnostic.expected(format!("at most {}", version(here))).found(version(needed)))
    }

    /// What the loader says about the libraries that would be loaded.
    fn trace(&self, path: &Path) -> Result<String, String> {
        if let Some(reason) = &self.silent {
            return Err(reason.clone());
        }
        let program = self.program.as_ref().ok_or("this program was started without a dynamic loader")?;
        if self.libc.is_none() {
            // Others do not know this trace mode: they would run the library's constructors.
            return Err("only the dynamic loader of glibc can be asked".to_owned());
        }
        let mut command = Command::new(program);
        // The program of this process, even if its file has been replaced meanwhile.
        command.arg(format!("/proc/{}/exe", std::process::id()));
        command.env_clear().env("LD_TRACE_LOADED_OBJECTS", "1");
        if is_plain(path.as_os_str()) {
            command.env("LD_PRELOAD", path);
        } else {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name().filter(|name| is_plain(name)))
            else {
                return Err("its name has characters that separate names for the dynamic loader".to_owned());
            };
            command.current_dir(folder).env("LD_PRELOAD", Path::new(".").join(name));
        }
        if let Some(paths) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", paths);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child =
            command.spawn().map_err(|error| format!("{} could not be run: {error}", program.display()))?;
        let (send, answer) = mpsc::channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _ = output.take(MOST_OUTPUT).read_to_end(&mut text);
                let _ = send.send(text);
            });
        }
        let answer = answer.recv_timeout(PATIENCE);
        let _ = child.kill();
        let status = child.wait().map_err(|error| error.to_string())?;
        match answer {
            Err(_) => Err(format!("the dynamic loader did not answer within {} s", PATIENCE.as_secs())),
            Ok(text) if text.is_empty() => Err(format!("the dynamic loader answered nothing ({status})")),
            Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        }
    }
}

/// Whether the loader takes a text for one name, and for no other.
fn is_plain(name: &OsStr) -> bool {
    !name
        .as_encoded_bytes()
        .iter()
        .any(|byte| matches!(byte, b':' | b'$' | b'%') || byte.is_ascii_whitespace())
}

/// Reads the loader's answer: `libq.so.1 => not found`, a line a library.
fn missing(path: &Path, answer: &str) -> Vec<Diagnostic> {
    let names: BTreeSet<_> =
        answer.lines().filter_map(|line| line.trim().strip_suffix(" => not found")).map(escape).collect();
    names
        .into_iter()
        .map(|name| {
            let message = format!("The library needs {name}, which is not installed.");
            let help =
                format!("Install the package that holds {name}, or put its folder into LD_LIBRARY_PATH.");
            let diagnostic = Diagnostic::error(Id::LibraryMissingDependency, path, message, help);
            diagnostic.expected(name).found("not found by the dynamic loader")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_each_library_that_the_loader_does_not_find_once() {
        let answer = "\tlinux-vdso.so.1 (0x1)\n\tlibq.so => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\
                      \tlibq.so => not found\n\tlib\u{1b}[31m.so => not found\n";
        let found: Vec<_> =
            missing(Path::new("/p"), answer).into_iter().filter_map(|told| told.expected).collect();
        assert_eq!(found, ["lib\\u{1b}[31m.so", "libq.so"]);
    }

    #[test]
    fn a_newer_libc_is_told() {
        let loader = Loader { program: None, loaded: BTreeSet::new(), libc: Some((2, 36)), silent: None };
        let needs =
            |needed_libc| loader.check_libc(Path::new("/p"), &Image { needed_libc, ..Image::default() });
        assert!(needs(Some((2, 36))).is_none() && needs(Some((2, 4))).is_none() && needs(None).is_none());
        let told = needs(Some((2, 100))).unwrap();
        assert_eq!(told.id, Id::LibraryNeedsNewerLibc);
        assert_eq!(told.found.as_deref(), Some("glibc 2.100"));
    }

    #[test]
    fn what_can_not_be_asked_is_a_warning() {
        let loader = Loader { program: None, loaded: BTreeSet::new(), libc: None, silent: None };
        let image = Image { needed: vec!["libq.so".into()], ..Image::default() };
        let told = loader.check(Path::new("/p"), &image);
        assert_eq!(told.len(), 1);
        assert!(!told[0].is_error() && told[0].message.contains("not determined"));
    }
}
