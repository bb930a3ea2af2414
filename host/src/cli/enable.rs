//! `enable`: links `protocols/enabled/NAME` to `../available/NAME`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::names::{self, Folders};
use super::{CommandError, EXIT_OK, NamesOptions, Output};
use crate::installation::target::Surroundings;
use crate::installation::{manifest, nearest};
use crate::platform;

/// Enables the protocols that are named. Nothing is changed unless all of them can be enabled.
///
/// # Errors
/// Names that can not be one (status 2), that are not available, or whose place in
/// `protocols/enabled` is taken by something else, which is never overwritten.
pub fn run(home: &Path, options: &NamesOptions, out: &mut Output) -> Result<u8, CommandError> {
    let names = names::parse(&options.names)?;
    let folders = Folders::of(home);
    let mut missing = Vec::new();
    for name in &names {
        is_available(&folders, name)?;
        if !is_enabled(&folders, name)? {
            missing.push(*name);
        }
    }
    if !missing.is_empty() {
        make_enabled(&folders)?;
    }
    for name in names {
        if missing.contains(&name) {
            link(&folders, name)?;
            out.line(format!("enabled {}", crate::diagnostics::escape(name)));
        } else {
            out.line(format!("{} is already enabled", crate::diagnostics::escape(name)));
        }
    }
    Ok(EXIT_OK)
}

fn is_available(folders: &Folders, name: &str) -> Result<(), CommandError> {
    let folder = folders.available.join(name);
    let not_a_folder = |what: &str| {
        CommandError::failure(
            format!("Could not enable \"{name}\": {} is {what}.", folder.display()),
            "A protocol is a folder in protocols/available that holds a library and its manifest.json.",
        )
    };
    match fs::metadata(&folder) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(not_a_folder("not a folder")),
        Err(error) if error.kind() == ErrorKind::NotFound && folder.symlink_metadata().is_ok() => {
            Err(not_a_folder("a link that leads nowhere"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Err(unknown(folders, name)),
        Err(error) => Err(CommandError::failure(
            format!("Could not enable \"{name}\": {} can not be read: {error}.", folder.display()),
            "Let the user of this command read protocols/available.",
        )),
    }
}

fn unknown(folders: &Folders, name: &str) -> CommandError {
    let message =
        format!("Could not enable \"{name}\": there is no such folder in {}.", folders.available.display());
    let is_folder = |known: &String| folders.available.join(known).is_dir();
    let known: Vec<String> = names::entries(&folders.available)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|known| known.into_string().ok())
        .filter(is_folder)
        .collect();
    if known.is_empty() {
        return CommandError::failure(message, "No protocol is available: put its folder there first.");
    }
    let surroundings = Surroundings::default();
    let calls_itself_so = |folder: &&String| {
        let (manifest, _) = manifest::read(&folders.available.join(folder.as_str()), &surroundings);
        manifest.is_some_and(|manifest| manifest.name.as_deref() == Some(name))
    };
    let hint = if let Some(folder) = known.iter().find(calls_itself_so) {
        format!("The protocol \"{name}\" is in the folder \"{folder}\": enable that. ")
    } else if let Some(near) = nearest(name, known.iter().map(String::as_str)) {
        format!("Did you mean \"{near}\"? ")
    } else {
        String::new()
    };
    CommandError::failure(message, format!("{hint}Available: {}.", known.join(", ")))
}

/// Whether the link is there already.
fn is_enabled(folders: &Folders, name: &str) -> Result<bool, CommandError> {
    let link = folders.enabled.join(name);
    let taken = |what: String, help: String| {
        Err(CommandError::failure(
            format!("Could not enable \"{name}\": {} is {what}.", link.display()),
            help,
        ))
    };
    match link.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(CommandError::failure(
            format!("Could not enable \"{name}\": {} can not be read: {error}.", link.display()),
            "protocols/enabled must be a folder that the user of this command may read and write.",
        )),
        Ok(metadata) if metadata.is_symlink() => {
            if names::same(&link, &folders.available.join(name)) {
                return Ok(true);
            }
            let target = fs::read_link(&link).unwrap_or_default();
            let help = format!("Remove that link first: kuzzle-host disable {name}");
            taken(format!("a link to {}", target.display()), help)
        }
        Ok(metadata) if metadata.is_dir() => taken(
            "a folder, not a link".to_owned(),
            "What stands in protocols/enabled itself is enabled already; to have a link instead, move it away."
                .to_owned(),
        ),
        Ok(_) => {
            taken("no link to protocols/available".to_owned(), "Move it away, then try again.".to_owned())
        }
    }
}

/// Makes `protocols/enabled` unless it is there, and makes sure that relative links work in it.
fn make_enabled(folders: &Folders) -> Result<(), CommandError> {
    let enabled = &folders.enabled;
    if !enabled.is_dir() {
        platform::create_folder(enabled).map_err(|error| {
            CommandError::failure(
                format!("Could not make the folder {}: {error}.", enabled.display()),
                "Let the user of this command write to protocols/.",
            )
        })?;
    }
    let beside = enabled.canonicalize().unwrap_or_default().join("../available");
    if names::same(&beside, &folders.available) {
        return Ok(());
    }
    Err(CommandError::failure(
        format!("Could not enable anything: {} leads out of protocols/.", enabled.display()),
        "Links are relative, so enabled/ and available/ must stand in one folder; or make the link by hand.",
    ))
}

fn link(folders: &Folders, name: &str) -> Result<(), CommandError> {
    let target: PathBuf = ["..", "available", name].iter().collect();
    let link = folders.enabled.join(name);
    platform::link_folder(&target, &link).map_err(|error| {
        CommandError::failure(
            format!("Could not make the link {} to {}: {error}.", link.display(), target.display()),
            "Let the user of this command write to protocols/enabled.",
        )
    })
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;
    use crate::cli::{EXIT_FAILURE, EXIT_USAGE};

    fn home(available: &[&str]) -> TempDir {
        let home = tempfile::tempdir().unwrap();
        for name in available {
            fs::create_dir_all(home.path().join("protocols/available").join(name)).unwrap();
        }
        home
    }

    fn enable(home: &TempDir, names: &[&str]) -> Result<String, CommandError> {
        let mut out = Output::plain();
        let options = NamesOptions { names: names.iter().map(|name| (*name).to_owned()).collect() };
        assert_eq!(run(home.path(), &options, &mut out)?, EXIT_OK);
        Ok(out.text)
    }

    fn enabled(home: &TempDir, name: &str) -> PathBuf {
        home.path().join("protocols/enabled").join(name)
    }

    #[test]
    fn makes_relative_links_and_their_folder() {
        let home = home(&["udp", "mqtt"]);
        assert_eq!(enable(&home, &["udp", "mqtt"]).unwrap(), "enabled udp\nenabled mqtt\n");
        assert_eq!(fs::read_link(enabled(&home, "udp")).unwrap(), Path::new("../available/udp"));
        assert_eq!(fs::read_link(enabled(&home, "mqtt")).unwrap(), Path::new("../available/mqtt"));
        let mode = fs::metadata(enabled(&home, "")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
    }

    #[test]
    fn what_is_enabled_already_is_success() {
        let home = home(&["udp", "mqtt"]);
        enable(&home, &["udp"]).unwrap();
        assert_eq!(enable(&home, &["udp", "mqtt"]).unwrap(), "udp is already enabled\nenabled mqtt\n");
        fs::remove_file(enabled(&home, "udp")).unwrap();
        let absolute = home.path().join("protocols/available/udp");
        symlink(&absolute, enabled(&home, "udp")).unwrap();
        assert_eq!(enable(&home, &["udp"]).unwrap(), "udp is already enabled\n");
        assert_eq!(fs::read_link(enabled(&home, "udp")).unwrap(), absolute);
    }

    #[test]
    fn an_unknown_name_changes_nothing_and_names_the_known_ones() {
        let home = home(&["udp", "http-ws"]);
        let error = enable(&home, &["http-ws", "upd"]).unwrap_err();
        assert_eq!(error.status, EXIT_FAILURE);
        assert!(error.message.contains("\"upd\""), "{error}");
        assert_eq!(error.help, "Did you mean \"udp\"? Available: http-ws, udp.");
        assert!(!enabled(&home, "").exists());
    }

    #[test]
    fn a_manifests_name_leads_to_its_folder() {
        let home = home(&["kuzzle-protocol-coap"]);
        let manifest = home.path().join("protocols/available/kuzzle-protocol-coap/manifest.json");
        fs::write(manifest, r#"{"name": "coap"}"#).unwrap();
        let help = enable(&home, &["coap"]).unwrap_err().help;
        assert!(help.contains("is in the folder \"kuzzle-protocol-coap\""), "{help}");
    }

    #[test]
    fn an_installation_without_protocols_has_no_known_names() {
        let home = home(&[]);
        let error = enable(&home, &["udp"]).unwrap_err();
        assert_eq!(error.status, EXIT_FAILURE);
        assert!(error.help.contains("No protocol is available"), "{error}");
    }

    #[test]
    fn a_malformed_name_is_wrong_usage_and_changes_nothing() {
        let home = home(&["udp"]);
        for name in ["", ".", "..", "../available/udp", ".udp"] {
            assert_eq!(enable(&home, &["udp", name]).unwrap_err().status, EXIT_USAGE, "{name:?}");
        }
        assert!(!enabled(&home, "").exists());
    }

    #[test]
    fn what_is_no_folder_can_not_be_enabled() {
        let home = home(&["udp"]);
        fs::write(home.path().join("protocols/available/file"), "").unwrap();
        symlink("nowhere", home.path().join("protocols/available/dangling")).unwrap();
        for name in ["file", "dangling"] {
            assert_eq!(enable(&home, &[name]).unwrap_err().status, EXIT_FAILURE, "{name}");
        }
    }

    #[test]
    fn something_else_of_that_name_is_never_overwritten() {
        let home = home(&["file", "folder", "elsewhere", "dangling", "fine"]);
        fs::create_dir_all(enabled(&home, "folder")).unwrap();
        fs::write(enabled(&home, "file"), "kept").unwrap();
        symlink("../available/fine", enabled(&home, "elsewhere")).unwrap();
        symlink("../available/nobody", enabled(&home, "dangling")).unwrap();
        for name in ["file", "folder", "elsewhere", "dangling"] {
            assert_eq!(enable(&home, &["fine", name]).unwrap_err().status, EXIT_FAILURE, "{name}");
        }
        assert_eq!(fs::read(enabled(&home, "file")).unwrap(), b"kept");
        assert!(enabled(&home, "folder").is_dir());
        assert_eq!(fs::read_link(enabled(&home, "elsewhere")).unwrap(), Path::new("../available/fine"));
        assert_eq!(fs::read_link(enabled(&home, "dangling")).unwrap(), Path::new("../available/nobody"));
        assert!(enabled(&home, "fine").symlink_metadata().is_err());
    }

    #[test]
    fn a_link_that_could_not_work_is_not_made() {
        let home = home(&["udp"]);
        fs::create_dir_all(home.path().join("etc/enabled")).unwrap();
        symlink("../etc/enabled", home.path().join("protocols/enabled")).unwrap();
        let error = enable(&home, &["udp"]).unwrap_err();
        assert!(error.message.contains("leads out of protocols/"), "{error}");
        assert_eq!(fs::read_dir(home.path().join("etc/enabled")).unwrap().count(), 0);
    }
}
