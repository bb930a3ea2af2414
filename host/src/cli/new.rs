//! `new`: makes a small, complete project of a protocol, to be changed into another.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use super::{CommandError, EXIT_OK, Format, NewOptions, Output};
use crate::diagnostics::escape_path;

/// The language of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Rust, with the SDK.
    Rust,
    /// C, with the header only.
    C,
    /// C++, with the header only.
    Cpp,
}

/// Where the projects listen if nobody says otherwise.
const PORT: &str = "7520";
/// The longest name, in bytes: files and archives are named after it.
const LONGEST_NAME: usize = 64;

/// A file of a project: its path there, and its text with `@…@` to be filled in.
type Template = (&'static str, &'static str);

macro_rules! templates {
    ($($path:literal: $file:literal,)*) => {
        &[$(($path, include_str!(concat!("../../templates/", $file))),)*]
    };
}

const RUST: &[Template] = templates! {
    ".gitignore": "rust/gitignore",
    "Cargo.toml": "rust/Cargo.toml.in",
    "README.md": "rust/README.md.in",
    "assemble/Cargo.toml": "rust/assemble/Cargo.toml.in",
    "assemble/build.rs": "rust/assemble/build.rs.in",
    "assemble/src/lib.rs": "rust/assemble/lib.rs.in",
    "assemble/tests/served.rs": "rust/assemble/served.rs.in",
    "manifest.json": "manifest.json.in",
    "src/lib.rs": "rust/lib.rs.in",
};

const C: &[Template] = templates! {
    ".gitignore": "native/gitignore",
    "Makefile": "c/Makefile",
    "README.md": "native/README.md.in",
    "include/kuzzle/protocol.h": "../../protocol-abi/include/kuzzle/protocol.h",
    "manifest.json": "manifest.json.in",
    "src/protocol.c": "c/protocol.c",
    "test/client.c": "native/client.c",
    "test/served.sh": "native/served.sh",
};

const CPP: &[Template] = templates! {
    ".gitignore": "native/gitignore",
    "Makefile": "cpp/Makefile",
    "README.md": "native/README.md.in",
    "include/kuzzle/protocol.h": "../../protocol-abi/include/kuzzle/protocol.h",
    "manifest.json": "manifest.json.in",
    "src/protocol.cpp": "cpp/protocol.cpp",
    "test/client.c": "native/client.c",
    "test/served.sh": "native/served.sh",
};

/// Makes a project. Nothing that is there is changed.
///
/// # Errors
/// The name can not be one, or there is something of that name already.
pub fn run(options: &NewOptions, out: &mut Output) -> Result<u8, CommandError> {
    let name = checked(&options.name)?;
    let sdk = sdk(options)?;
    let folder = options.folder.join(name);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => CommandError::failure(
            format!("{} is there already, and nothing is overwritten.", folder.display()),
            "Choose another NAME, or another folder with --dir DIR.",
        ),
        _ => CommandError::failure(
            format!("Could not make {}: {error}.", folder.display()),
            "Give a folder that exists and that the user of this command may write to with --dir DIR.",
        ),
    };
    let (templates, language, lang, source) = match options.lang {
        Language::Rust => (RUST, "Rust", "rust", "lib.rs"),
        Language::C => (C, "C", "c", "protocol.c"),
        Language::Cpp => (CPP, "C++", "cpp", "protocol.cpp"),
    };
    let ident = name.replace('-', "_");
    let fill_in = |text: &str| {
        let values = [
            ("@NAME@", name),
            ("@IDENT@", &ident),
            ("@PORT@", PORT),
            ("@SDK@", &sdk),
            ("@LANGUAGE@", language),
            ("@LANG@", lang),
            ("@SOURCE@", source),
        ];
        values.iter().fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value))
    };
    // Fails if anything is there, a link that leads nowhere included.
    fs::create_dir(&folder).map_err(failed)?;
    let written = templates.iter().try_for_each(|(path, text)| write(&folder.join(path), &fill_in(text)));
    if let Err(error) = written {
        // It is ours: it was not there before.
        let _ = fs::remove_dir_all(&folder);
        return Err(failed(error));
    }
    let build = if options.lang == Language::Rust { "cargo build --release" } else { "make" };
    match options.format {
        Format::Json => out.json(&json!({
            "path": folder.to_string_lossy(),
            "files": templates.iter().map(|(path, _)| path).collect::<Vec<_>>(),
            "build": build,
            "result": Path::new("dist").join(name),
        })),
        Format::Text => {
            out.line(format!("made {}", escape_path(&folder)));
            for (path, _) in templates {
                out.line(format!("  {path}"));
            }
            out.line(format!("Next: cd {} && {build}", escape_path(&folder)));
            out.line(format!("That makes dist/{name}, which can be checked, packed and installed."));
        }
    }
    Ok(EXIT_OK)
}

/// The name, if it can be that of a folder, a library and a protocol on every platform.
fn checked(name: &str) -> Result<&str, CommandError> {
    const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
    let lower = name.to_ascii_lowercase();
    let is_device = DEVICES.contains(&lower.as_str())
        || (lower.len() == 4 && (lower.starts_with("com") || lower.starts_with("lpt")));
    let usual = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.contains(['/', '\\']) || name == "." || name == ".." {
        "it is a path"
    } else if name.len() > LONGEST_NAME {
        "it has more than 64 characters"
    } else if !name.chars().all(usual) {
        "it holds other characters than letters, digits, hyphens and underscores"
    } else if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        "it does not begin with a letter"
    } else if name.contains("__") || name.ends_with(['-', '_']) {
        "it holds two underscores together, or ends with one or a hyphen"
    } else if is_device {
        "Windows knows a device of that name"
    } else {
        return Ok(name);
    };
    Err(CommandError::usage(
        format!("\"{name}\" can not be the NAME of a protocol: {reason}."),
        "Begin with a letter; then letters, digits, hyphens and single underscores, 64 in all.",
    ))
}

/// Where a project in Rust has its SDK from, as Cargo.toml says it.
fn sdk(options: &NewOptions) -> Result<String, CommandError> {
    let Some(path) = &options.sdk_path else {
        return Ok(format!("\"{}\"", kuzzle_protocol_abi::raw::KUZZLE_ABI_MAJOR));
    };
    if options.lang != Language::Rust {
        return Err(CommandError::usage(
            "--sdk-path is for --lang rust only: C and C++ need only the header, which is copied.",
            "Leave out --sdk-path.",
        ));
    }
    let failed = |reason: &str| {
        CommandError::failure(
            format!("Could not use {} as the SDK: {reason}.", path.display()),
            "Give the folder of the crate kuzzle-protocol-abi.",
        )
    };
    let path: PathBuf = path.canonicalize().map_err(|error| failed(&error.to_string()))?;
    let manifest = fs::read_to_string(path.join("Cargo.toml"));
    if !manifest.is_ok_and(|manifest| manifest.contains("name = \"kuzzle-protocol-abi\"")) {
        return Err(failed("it holds no Cargo.toml of the crate kuzzle-protocol-abi"));
    }
    let text = path.to_str().ok_or_else(|| failed("its path is not UTF-8"))?;
    // Strings of TOML are those of JSON, but for characters that no path should have.
    if text.chars().any(char::is_control) {
        return Err(failed("its path holds control characters"));
    }
    Ok(format!("{{ path = {} }}", json!(text)))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{EXIT_FAILURE, EXIT_USAGE};

    fn options(folder: &Path, name: &str, lang: Language) -> NewOptions {
        NewOptions {
            name: name.to_owned(),
            lang,
            folder: folder.to_owned(),
            sdk_path: None,
            format: Format::Text,
        }
    }

    fn files(folder: &Path) -> Vec<String> {
        let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
        let files = files.filter(|item| item.file_type().is_file());
        files.map(|item| item.path().strip_prefix(folder).unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn projects_are_complete_and_nothing_is_left_to_fill_in() {
        for (lang, templates) in [(Language::Rust, RUST), (Language::C, C), (Language::Cpp, CPP)] {
            let folder = tempfile::tempdir().unwrap();
            let mut out = Output::plain();
            assert_eq!(run(&options(folder.path(), "my-echo", lang), &mut out).unwrap(), EXIT_OK);
            let project = folder.path().join("my-echo");
            let mut expected: Vec<_> = templates.iter().map(|(path, _)| (*path).to_owned()).collect();
            expected.sort();
            let mut found = files(&project);
            found.sort();
            assert_eq!(found, expected, "{lang:?}");
            for file in &found {
                let text = fs::read_to_string(project.join(file)).unwrap();
                for word in text.split(|character: char| !character.is_ascii_uppercase() && character != '@')
                {
                    let is_mark = word.len() > 2 && word.starts_with('@') && word.ends_with('@');
                    assert!(!is_mark, "{lang:?}: {word} in {file}");
                }
                assert!(out.text.contains(file), "{file}");
            }
            let manifest = fs::read_to_string(project.join("manifest.json")).unwrap();
            let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
            assert_eq!(manifest["name"], "my-echo");
            assert!(manifest["config"]["properties"]["port"].is_object() && manifest["sha256"].is_null());
        }
    }

    #[test]
    fn names_that_are_none_are_wrong_usage_and_make_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let long = "a".repeat(65);
        for name in [
            "", ".", "..", "../x", "/x", "a/b", "a\\b", "a/", "-x", "_x", "1x", "a b", "é", "a__b", "a-",
            "a_", "a.b", "con", "NUL", "lpt1", "a\0", "a\n", "$(x)", "a\"", &long,
        ] {
            let error = run(&options(&inner, name, Language::C), &mut Output::plain()).unwrap_err();
            assert_eq!(error.status, EXIT_USAGE, "{name:?}: {error}");
        }
        assert_eq!((files(folder.path()).len(), fs::read_dir(&inner).unwrap().count()), (0, 0));
        for name in ["a", "Echo_2", "my-protocol", "common", &"a".repeat(64)] {
            assert!(checked(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "mine").unwrap();
        fs::create_dir(folder.path().join("empty")).unwrap();
        let mut taken = vec!["file", "empty"];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
            taken.push("link");
        }
        for name in taken {
            let error = run(&options(folder.path(), name, Language::C), &mut Output::plain()).unwrap_err();
            assert_eq!(error.status, EXIT_FAILURE, "{name}");
            assert!(error.message.contains("there already"), "{error}");
        }
        assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "mine");
        assert_eq!(fs::read_dir(folder.path().join("empty")).unwrap().count(), 0);
        assert!(!folder.path().join("nowhere").exists());
    }

    #[test]
    fn places_that_are_none_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = run(&options(&missing, "x", Language::C), &mut Output::plain()).unwrap_err();
        assert!(error.status == EXIT_FAILURE && error.message.contains("missing"), "{error}");
        let with_sdk = |lang, path: &Path| {
            let options = NewOptions { sdk_path: Some(path.to_owned()), ..options(folder.path(), "x", lang) };
            run(&options, &mut Output::plain())
        };
        assert_eq!(with_sdk(Language::C, folder.path()).unwrap_err().status, EXIT_USAGE);
        for path in [folder.path(), &missing] {
            assert_eq!(with_sdk(Language::Rust, path).unwrap_err().status, EXIT_FAILURE);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol-abi");
        assert_eq!(with_sdk(Language::Rust, &sdk).unwrap(), EXIT_OK);
        let manifest = fs::read_to_string(folder.path().join("x/Cargo.toml")).unwrap();
        assert!(manifest.contains("kuzzle-protocol-abi = { path = \"/"), "{manifest}");
    }
}
