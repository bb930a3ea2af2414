//! `cargo xtask install`: the sample protocols as an administrator would install them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::build;

/// A sample protocol: its folder in `sample-protocols/` and below `protocols/available/`.
struct Sample {
    name: &'static str,
    language: Language,
}

enum Language {
    Rust,
    C,
}

const SAMPLES: [Sample; 4] = [
    Sample { name: "http-ws", language: Language::Rust },
    Sample { name: "udp", language: Language::Rust },
    Sample { name: "line", language: Language::C },
    Sample { name: "mqtt", language: Language::Rust },
];

/// What `cargo xtask start` enables.
pub(crate) const DEFAULTS: [&str; 3] = ["http-ws", "udp", "line"];

/// Builds everything and installs all samples below `home`; enables those named.
pub(crate) fn run(home: &Path, enable: &[String]) -> Result<()> {
    for name in enable {
        if !SAMPLES.iter().any(|sample| sample.name == name) {
            let known: Vec<_> = SAMPLES.iter().map(|sample| sample.name).collect();
            bail!("there is no sample protocol \"{name}\"; the samples are: {}", known.join(", "));
        }
    }
    let release = build::release()?;
    for sample in &SAMPLES {
        let source = build::root().join("sample-protocols").join(sample.name);
        let library = match sample.language {
            Language::Rust => {
                release.join(library_name(&format!("kuzzle_protocol_{}", sample.name.replace('-', "_"))))
            }
            Language::C => match build::c_compiler() {
                Some(compiler) => compile(&compiler, sample.name, &source, &release)?,
                None => {
                    eprintln!("left out: {} (no C compiler found: install one, or set CC)", sample.name);
                    continue;
                }
            },
        };
        make_folder(&home.join("protocols/available"))?;
        let folder = home.join("protocols/available").join(sample.name);
        make_folder(&folder)?;
        install_file(&source.join("manifest.json"), &folder.join("manifest.json"), 0o644)?;
        install_file(&library, &folder.join(library_name(sample.name)), 0o755)?;
        println!("installed {}", folder.display());
    }
    make_folder(&home.join("protocols/enabled"))?;
    // One that could not be built has been told above.
    let available = |name: &&String| home.join("protocols/available").join(name).is_dir();
    let enable: Vec<_> = enable.iter().filter(available).collect();
    if enable.is_empty() {
        return Ok(());
    }
    let program = release.join(format!("kuzzle-host{}", std::env::consts::EXE_SUFFIX));
    let mut command = std::process::Command::new(program);
    build::run(command.arg("--home").arg(home).arg("enable").args(enable))
}

fn library_name(stem: &str) -> String {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    format!("{DLL_PREFIX}{stem}{DLL_SUFFIX}")
}

/// Compiles a protocol in C, unless the library is newer than all its sources.
fn compile(compiler: &str, name: &str, source: &Path, release: &Path) -> Result<PathBuf> {
    let library = release.join(library_name(&format!("kuzzle_protocol_{name}")));
    let include = build::root().join("protocol-abi/include");
    let (mut sources, mut headers) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(source).with_context(|| format!("could not list {}", source.display()))? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("c") => sources.push(path),
            Some("h") => headers.push(path),
            _ => {}
        }
    }
    sources.sort();
    headers.push(include.join("kuzzle/protocol.h"));
    headers.push(include.join("kuzzle/extensions/metrics.h"));
    let times = sources.iter().chain(&headers).map(|path| modified(path)).collect::<Result<Vec<_>>>()?;
    if library.exists() && Some(modified(&library)?) > times.into_iter().max() {
        return Ok(library);
    }
    let mut command = std::process::Command::new(compiler);
    command
        .args(["-std=c99", "-D_POSIX_C_SOURCE=200809L", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"])
        .args(["-fPIC", "-shared", "-pthread", "-s"])
        .arg(format!("-I{}", include.display()))
        .args(&sources)
        .arg("-o")
        .arg(&library);
    build::run(&mut command)?;
    Ok(library)
}

fn modified(path: &Path) -> Result<SystemTime> {
    let metadata = fs::metadata(path).with_context(|| format!("could not look at {}", path.display()))?;
    Ok(metadata.modified()?)
}

/// Makes a folder, and those above it that there are not, with mode 0755 whatever the umask is.
fn make_folder(folder: &Path) -> Result<()> {
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.is_dir())
    {
        make_folder(parent)?;
    }
    if !folder.is_dir() {
        fs::create_dir(folder).with_context(|| format!("could not make {}", folder.display()))?;
    }
    set_mode(folder, 0o755)
}

/// Copies beside the place and renames into it: a host that has the old file open keeps it whole.
fn install_file(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let temporary = to.with_extension(format!("{}.tmp", std::process::id()));
    fs::copy(from, &temporary)
        .with_context(|| format!("could not copy {} to {}", from.display(), temporary.display()))?;
    set_mode(&temporary, mode)?;
    fs::rename(&temporary, to).with_context(|| format!("could not put {} in place", to.display()))
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("could not set the mode of {}", path.display()))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> Result<()> {
    Ok(())
}
