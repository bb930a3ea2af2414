//! Where a configuration comes from, beside the installation: the places of the machine and of the
//! user, the environment, and the command line.

use std::path::{Path, PathBuf};

/// Where values come from. Without anything, only the nearest `.kuzzlerc` counts.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The folder of the machine's configuration, `/etc`; `None`: there is none.
    pub machine: Option<PathBuf>,
    /// The user's home; `None`: there is none.
    pub user: Option<PathBuf>,
    /// What variables there are; those that begin with `kuzzle_` count.
    pub environment: Vec<(String, String)>,
    /// The names of variables that are no text, and begin with `kuzzle_`.
    pub unreadable: Vec<String>,
    /// `--config FILE`: it wins over all other files.
    pub file: Option<PathBuf>,
    /// `--set KEY=VALUE`: levels of the key separated by dots; the last one wins.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The places and the environment of this process, without flags.
    pub fn of_process() -> Self {
        let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
        let names = std::env::vars_os().filter(|(_, value)| value.to_str().is_none());
        Self {
            machine: cfg!(unix).then(|| PathBuf::from("/etc")),
            user: std::env::var_os(home).filter(|home| !home.is_empty()).map(PathBuf::from),
            environment: super::process_environment().collect(),
            unreadable: names
                .filter_map(|(name, _)| name.into_string().ok())
                .filter(|name| name.starts_with("kuzzle_"))
                .collect(),
            file: None,
            flags: Vec::new(),
        }
    }

    /// Only these variables, no place outside the installation.
    pub fn of_environment(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { environment: environment.into_iter().collect(), ..Self::default() }
    }

    /// The files that count for the installation at `home`, the strongest last
    /// (npm `rc` 1.2.8, name `kuzzle`).
    pub(super) fn files(&self, home: &Path) -> Vec<PathBuf> {
        // Something of that name that is no file is somebody else's: `~/.config/kuzzle/`.
        let is_there = |path: &PathBuf| path.symlink_metadata().is_ok() && !path.is_dir();
        let machine = self.machine.iter().flat_map(|etc| [etc.join("kuzzle/config"), etc.join("kuzzlerc")]);
        let user = self.user.iter().flat_map(|user| {
            [".config/kuzzle/config", ".config/kuzzle", ".kuzzle/config", ".kuzzlerc"].map(|at| user.join(at))
        });
        let mut files: Vec<PathBuf> = machine.chain(user).filter(is_there).collect();
        files.extend(nearest(home));
        let named = self.environment.iter().rfind(|(name, path)| name == "kuzzle_config" && !path.is_empty());
        let given = named.map(|(_, path)| PathBuf::from(path)).into_iter().chain(self.file.clone());
        files.extend(given.map(|path| std::path::absolute(&path).unwrap_or(path)));
        // A file that is named twice counts once, where it is strongest.
        let identity = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        let identities: Vec<PathBuf> = files.iter().map(identity).collect();
        let mut index = 0;
        files.retain(|_| {
            index += 1;
            !identities[index..].contains(&identities[index - 1])
        });
        files
    }
}

/// The `.kuzzlerc` of `home` or of the nearest folder above it.
fn nearest(home: &Path) -> Option<PathBuf> {
    let start = home.canonicalize().unwrap_or_else(|_| home.to_path_buf());
    let paths = start.ancestors().map(|folder| folder.join(".kuzzlerc"));
    paths.into_iter().find(|path| path.symlink_metadata().is_ok())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(path: PathBuf) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "{}").unwrap();
        path
    }

    #[test]
    fn files_are_those_of_rc_in_its_order() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (machine, user, home) = (root.join("etc"), root.join("user"), root.join("site/kuzzle"));
        fs::create_dir_all(&home).unwrap();
        // A file at `.config/kuzzle` excludes one at `.config/kuzzle/config`.
        let mut wanted = vec![
            write(machine.join("kuzzle/config")),
            write(machine.join("kuzzlerc")),
            write(user.join(".config/kuzzle")),
            write(user.join(".kuzzle/config")),
            write(user.join(".kuzzlerc")),
            write(root.join("site/.kuzzlerc")),
            root.join("named"),
            root.join("given"),
        ];
        let mut sources = Sources {
            machine: Some(machine),
            user: Some(user.clone()),
            environment: vec![("kuzzle_config".into(), root.join("named").to_str().unwrap().into())],
            file: Some(root.join("given")),
            ..Sources::default()
        };
        assert_eq!(sources.files(&home), wanted);
        fs::remove_file(user.join(".config/kuzzle")).unwrap();
        wanted[2] = write(user.join(".config/kuzzle/config"));
        assert_eq!(sources.files(&home), wanted);
        // The nearest one is the user's own: once.
        sources.environment.clear();
        sources.file = None;
        assert_eq!(sources.files(&user), wanted[..5]);
        // A file named on the command line is the strongest.
        sources.file = Some(wanted[1].clone());
        let strongest: Vec<_> = [0, 2, 3, 4, 1].map(|at| wanted[at].clone()).into();
        assert_eq!(sources.files(&user), strongest);
    }
}
