//! `disable`: removes the link `protocols/enabled/NAME`, and never anything else.

use std::io::ErrorKind;
use std::path::Path;

use super::names::{self, Folders};
use super::{CommandError, EXIT_OK, NamesOptions, Output};
use crate::diagnostics::escape;
use crate::installation::nearest;
use crate::platform;

/// Disables the protocols that are named. Nothing is changed unless all of them can be disabled.
///
/// # Errors
/// Names that can not be one (status 2), or that are those of folders and files in
/// `protocols/enabled`, which are not links.
pub fn run(home: &Path, options: &NamesOptions, out: &mut Output) -> Result<u8, CommandError> {
    let names = names::parse(&options.names)?;
    let folders = Folders::of(home);
    let mut linked = Vec::new();
    for name in &names {
        if is_linked(&folders, name)? {
            linked.push(*name);
        }
    }
    for name in names {
        if linked.contains(&name) {
            unlink(&folders, name)?;
            out.line(format!("disabled {}", escape(name)));
        } else {
            out.line(format!("{} is not enabled{}", escape(name), escape(&hint(&folders, name))));
        }
    }
    Ok(EXIT_OK)
}

fn is_linked(folders: &Folders, name: &str) -> Result<bool, CommandError> {
    let link = folders.enabled.join(name);
    let no_link = |what: &str, help: String| {
        let message = format!(
            "Could not disable \"{name}\": {} is {what}, and only links are removed.",
            link.display()
        );
        Err(CommandError::failure(message, help))
    };
    match link.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(CommandError::failure(
            format!("Could not disable \"{name}\": {} can not be read: {error}.", link.display()),
            "Let the user of this command read and write protocols/enabled.",
        )),
        Ok(metadata) if metadata.is_symlink() => Ok(true),
        Ok(metadata) if metadata.is_dir() => no_link(
            "a real folder",
            format!(
                "Move it to protocols/available/{name}; what stands there is enabled by a link. Or set \
                 server.protocols.<its manifest's name>.enabled to false in .kuzzlerc."
            ),
        ),
        Ok(_) => no_link("no link", "It enables nothing: move it away by hand.".to_owned()),
    }
}

fn unlink(folders: &Folders, name: &str) -> Result<(), CommandError> {
    let link = folders.enabled.join(name);
    match platform::unlink_folder(&link) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(CommandError::failure(
            format!("Could not remove the link {}: {error}.", link.display()),
            "Let the user of this command write to protocols/enabled.",
        )),
        _ => Ok(()),
    }
}

/// What somebody may have meant who disables what is not enabled.
fn hint(folders: &Folders, name: &str) -> String {
    let enabled: Vec<String> = names::entries(&folders.enabled)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|other| other.into_string().ok())
        .collect();
    let folder = folders.available.join(name);
    if let Some(other) = enabled.iter().find(|other| names::same(&folders.enabled.join(other), &folder)) {
        return format!(" by that name: protocols/enabled/{other} leads to it");
    }
    let near = if folder.is_dir() { None } else { nearest(name, enabled.iter().map(String::as_str)) };
    near.map(|near| format!("; {near} is")).unwrap_or_default()
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::cli::{EXIT_FAILURE, EXIT_USAGE};

    fn home(links: &[(&str, &str)]) -> TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("protocols/enabled")).unwrap();
        fs::create_dir_all(home.path().join("protocols/available/udp")).unwrap();
        for (name, target) in links {
            symlink(target, enabled(&home, name)).unwrap();
        }
        home
    }

    fn enabled(home: &TempDir, name: &str) -> PathBuf {
        home.path().join("protocols/enabled").join(name)
    }

    fn disable(home: &TempDir, names: &[&str]) -> Result<String, CommandError> {
        let mut out = Output::plain();
        let options = NamesOptions { names: names.iter().map(|name| (*name).to_owned()).collect() };
        assert_eq!(run(home.path(), &options, &mut out)?, EXIT_OK);
        Ok(out.text)
    }

    #[test]
    fn removes_the_link_and_keeps_what_it_leads_to() {
        let home = home(&[("udp", "../available/udp")]);
        assert_eq!(disable(&home, &["udp"]).unwrap(), "disabled udp\n");
        assert!(enabled(&home, "udp").symlink_metadata().is_err());
        assert!(home.path().join("protocols/available/udp").is_dir());
    }

    #[test]
    fn removes_links_that_lead_nowhere_or_to_files_or_in_circles() {
        let home = home(&[("gone", "../available/gone"), ("file", "/etc/passwd"), ("loop", "loop")]);
        let text = disable(&home, &["gone", "file", "loop"]).unwrap();
        assert_eq!(text, "disabled gone\ndisabled file\ndisabled loop\n");
        assert_eq!(fs::read_dir(enabled(&home, "")).unwrap().count(), 0);
        assert!(Path::new("/etc/passwd").exists());
    }

    #[test]
    fn what_is_not_enabled_is_success() {
        let home = home(&[("mqtt", "../available/mqtt")]);
        assert_eq!(disable(&home, &["udp"]).unwrap(), "udp is not enabled\n");
        assert_eq!(disable(&home, &["mqqt"]).unwrap(), "mqqt is not enabled; mqtt is\n");
        fs::remove_dir_all(home.path().join("protocols")).unwrap();
        assert_eq!(disable(&home, &["udp"]).unwrap(), "udp is not enabled\n");
    }

    #[test]
    fn a_link_of_another_name_is_told_and_kept() {
        let home = home(&[("second", "../available/udp")]);
        let text = disable(&home, &["udp"]).unwrap();
        assert_eq!(text, "udp is not enabled by that name: protocols/enabled/second leads to it\n");
        assert!(enabled(&home, "second").exists());
    }

    #[test]
    fn a_real_folder_or_file_is_refused_and_nothing_is_changed() {
        let home = home(&[("udp", "../available/udp")]);
        fs::create_dir(enabled(&home, "own")).unwrap();
        fs::write(enabled(&home, "file"), "kept").unwrap();
        let error = disable(&home, &["udp", "own"]).unwrap_err();
        assert_eq!(error.status, EXIT_FAILURE);
        assert!(error.help.contains("protocols/available/own"), "{error}");
        assert_eq!(disable(&home, &["file"]).unwrap_err().status, EXIT_FAILURE);
        assert!(enabled(&home, "own").is_dir() && enabled(&home, "file").is_file());
        assert!(enabled(&home, "udp").exists());
    }

    #[test]
    fn a_malformed_name_is_wrong_usage() {
        let home = home(&[("udp", "../available/udp")]);
        for name in ["", ".", "..", "../enabled/udp", ".udp"] {
            assert_eq!(disable(&home, &["udp", name]).unwrap_err().status, EXIT_USAGE, "{name:?}");
        }
        assert!(enabled(&home, "udp").exists());
    }
}
