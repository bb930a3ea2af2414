//! One type for everything that can be wrong with a configuration, an installation or a protocol,
//! rendered as text for people and as JSON for scripts.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::ser::{Serialize, SerializeMap, Serializer};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The protocol, or the configuration, is refused.
    Error,
    /// Something to look at; it stops nothing unless `--strict` is given.
    Warning,
}

impl Severity {
    /// The word of the JSON contract: `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)*) => {
        /// What is wrong, as a public contract: scripts compare these ids.
        ///
        /// They are Kuzzle's own where Kuzzle has a counterpart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Id {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Id {
            /// Every id there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The id as scripts see it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// What is wrong, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),+).trim_start(),)*
                }
            }
        }
    };
}

ids! {
    /// A configuration file, or a `*json:` value, is not what it should be.
    ConfigurationCannotParse = "core.configuration.cannot_parse",
    /// A key that the host uses has another type.
    ConfigurationInvalidType = "core.configuration.invalid_type",
    /// A key that the host uses has a value out of its range.
    ConfigurationOutOfRange = "core.configuration.out_of_range",
    /// A key that nobody reads, or a variable that sets nothing.
    ConfigurationUnknownKey = "core.configuration.unknown_key",
    /// The manifest is absent, unreadable, too large, too deep, or no JSON object.
    ManifestCannotLoad = "plugin.manifest.cannot_load",
    /// The manifest has no `name`.
    ManifestMissingName = "plugin.manifest.missing_name",
    /// The manifest's `name` can not be used.
    ManifestInvalidNameType = "plugin.manifest.invalid_name_type",
    /// The manifest's `name` is hard to configure by environment.
    ManifestUnusualName = "plugin.manifest.unusual_name",
    /// The manifest has no `kuzzleVersion`.
    ManifestMissingVersion = "plugin.manifest.missing_version",
    /// The manifest's `kuzzleVersion` is no npm range.
    ManifestInvalidVersion = "plugin.manifest.invalid_version",
    /// The manifest's `kuzzleVersion` leaves this host out.
    ManifestVersionMismatch = "plugin.manifest.version_mismatch",
    /// Another known property of the manifest can not be used.
    ManifestInvalidProperty = "plugin.manifest.invalid_property",
    /// The manifest has a property that nobody reads.
    ManifestUnknownProperty = "plugin.manifest.unknown_property",
    /// Plugins are enabled, which this host does not load.
    PluginsNotSupported = "plugin.discovery.not_supported",
    /// A name or a section is claimed twice.
    AlreadyExists = "protocol.runtime.already_exists",
    /// A folder or an entry can not be read.
    DiscoveryUnreadable = "protocol.discovery.unreadable",
    /// A link leads nowhere.
    DiscoveryDanglingLink = "protocol.discovery.dangling_link",
    /// A link leads back to itself.
    DiscoveryLinkLoop = "protocol.discovery.link_loop",
    /// A link leads to something that is no folder.
    DiscoveryNotADirectory = "protocol.discovery.not_a_directory",
    /// Two entries are one file.
    DiscoverySameFile = "protocol.discovery.same_file",
    /// Somebody else can change what the host would run.
    TrustWritableByOthers = "protocol.trust.writable_by_others",
    /// Somebody else owns what the host would run.
    TrustWrongOwner = "protocol.trust.wrong_owner",
    /// What the host would run lies elsewhere.
    TrustOutsideInstallation = "protocol.trust.outside_installation",
    /// The library is not the one that was pinned.
    TrustChecksumMismatch = "protocol.trust.checksum_mismatch",
    /// An archive is damaged, or holds what no archive of a protocol holds.
    ArchiveInvalid = "protocol.archive.invalid",
    /// The library is not the file that was inspected any more.
    TrustChangedSinceInspection = "protocol.trust.changed_since_inspection",
    /// There is no library.
    LibraryNotFound = "protocol.library.not_found",
    /// There are several libraries.
    LibraryAmbiguous = "protocol.library.ambiguous",
    /// The library can not be read.
    LibraryUnreadable = "protocol.library.unreadable",
    /// The file is no library at all, or a damaged one.
    LibraryNotALibrary = "protocol.library.not_a_library",
    /// The library is another platform's, or not a shared one.
    LibraryWrongFormat = "protocol.library.wrong_format",
    /// The library is built for another processor.
    LibraryWrongArchitecture = "protocol.library.wrong_architecture",
    /// A required symbol is not exported.
    LibraryMissingSymbol = "protocol.library.missing_symbol",
    /// A required symbol is something else.
    LibraryWrongSymbolKind = "protocol.library.wrong_symbol_kind",
    /// The library needs another one that is not there.
    LibraryMissingDependency = "protocol.library.missing_dependency",
    /// The library needs a newer C library.
    LibraryNeedsNewerLibc = "protocol.library.needs_newer_libc",
    /// The library exports much more than the interface.
    LibraryExportsMany = "protocol.library.exports_many",
    /// The library shares C++ statics with other libraries.
    LibraryUniqueSymbols = "protocol.library.unique_symbols",
    /// The note is not exported.
    AbiMissingNote = "protocol.abi.missing_note",
    /// What is exported as the note is none.
    AbiNotANote = "protocol.abi.not_a_note",
    /// The library is built for another version of the ABI.
    AbiVersionMismatch = "protocol.abi.version_mismatch",
    /// The library's compiler laid out the ABI's structs differently.
    AbiLayoutMismatch = "protocol.abi.layout_mismatch",
    /// The library was compiled so that its panics can not be contained.
    AbiPanicAbort = "protocol.abi.panic_abort",
    /// A file of the access log can not be opened.
    AccessLogCannotOpen = "network.access_log.cannot_open",
    /// The options do not satisfy the manifest's schema.
    ConfigInvalid = "protocol.config.invalid",
    /// The dynamic loader refused the library.
    RuntimeLoadFailed = "protocol.runtime.load_failed",
    /// `init` answered an error.
    RuntimeInitFailed = "protocol.runtime.init_failed",
    /// `init` did not answer in time.
    RuntimeInitTimeout = "protocol.runtime.init_timeout",
    /// `init` panicked.
    RuntimeInitPanicked = "protocol.runtime.init_panicked",
    /// `start` answered an error.
    RuntimeStartFailed = "protocol.runtime.start_failed",
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One thing that is wrong: on what, what was expected and found, and how to mend it.
///
/// Texts may hold strings of manifests and libraries as they are; [`Diagnostic::text`] escapes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub id: Id,
    /// What was attempted, on what, and what came of it.
    pub message: String,
    /// How to mend it.
    pub help: String,
    /// The file or folder that it is about.
    pub path: PathBuf,
    /// What would have been right.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(
        id: Id,
        path: impl Into<PathBuf>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            id,
            message: message.into(),
            help: help.into(),
            path: path.into(),
            expected: None,
            found: None,
        }
    }

    /// A warning.
    pub fn warning(
        id: Id,
        path: impl Into<PathBuf>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(id, path, message, help) }
    }

    /// The same, with what would have been right.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// The same, with what is there.
    #[must_use]
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    /// Whether it refuses something.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The same as a warning: for what is switched off anyway.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// For people: several lines, the first one `error[id]: message`, each indented by `indent`
    /// spaces and ended by a newline. Foreign strings are escaped.
    pub fn text(&self, indent: usize, style: Style) -> String {
        let pad = " ".repeat(indent);
        let (colour, word) = match self.severity {
            Severity::Error => (style.red(), "error"),
            Severity::Warning => (style.yellow(), "warning"),
        };
        let reset = style.reset();
        let mut text = format!("{pad}{colour}{word}{reset}[{}]: {}\n", self.id, escape(&self.message));
        let mut line = |label: &str, value: &str| {
            text.push_str(&format!("{pad}  {label:<9} {}\n", escape(value)));
        };
        line("at:", &self.path.to_string_lossy());
        if let Some(expected) = &self.expected {
            line("expected:", expected);
        }
        if let Some(found) = &self.found {
            line("found:", found);
        }
        line("help:", &self.help);
        text
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("severity", self.severity.as_str())?;
        map.serialize_entry("id", self.id.as_str())?;
        map.serialize_entry("message", &self.message)?;
        map.serialize_entry("help", &self.help)?;
        map.serialize_entry("path", &self.path.to_string_lossy())?;
        if let Some(expected) = &self.expected {
            map.serialize_entry("expected", expected)?;
        }
        if let Some(found) = &self.found {
            map.serialize_entry("found", found)?;
        }
        map.end()
    }
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// No colours: for files and pipes.
    Plain,
    /// ANSI colours: for terminals.
    Coloured,
}

impl Style {
    /// Coloured on a terminal, unless `NO_COLOR` is set.
    pub fn of(stream: &impl std::io::IsTerminal) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if stream.is_terminal() && !unwanted { Self::Coloured } else { Self::Plain }
    }

    fn code(self, code: &'static str) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Coloured => code,
        }
    }

    /// Begins an error.
    pub fn red(self) -> &'static str {
        self.code("\x1b[1;31m")
    }

    /// Begins a warning.
    pub fn yellow(self) -> &'static str {
        self.code("\x1b[1;33m")
    }

    /// Begins something good.
    pub fn green(self) -> &'static str {
        self.code("\x1b[1;32m")
    }

    /// Begins something emphasised.
    pub fn bold(self) -> &'static str {
        self.code("\x1b[1m")
    }

    /// Ends any of them.
    pub fn reset(self) -> &'static str {
        self.code("\x1b[0m")
    }
}

/// Whether a character does something to a terminal or to the text around it.
pub(crate) fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A foreign string made harmless for a terminal or a log line: control characters, and those that
/// change the direction or the look of the text around them, as `\u{…}`.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmful(character) {
            escaped.extend(character.escape_unicode());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// A path as a person reads it, made harmless.
pub fn escape_path(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn example() -> Diagnostic {
        Diagnostic::error(Id::LibraryMissingSymbol, "/x/lib\u{1b}[2J.so", "a\nb", "c").found("nothing")
    }

    #[test]
    fn ids_are_unique_and_of_kuzzles_form() {
        let mut seen = HashSet::new();
        for id in Id::ALL {
            assert!(seen.insert(id.as_str()), "{id} twice");
            assert_eq!(id.as_str().split('.').count(), 3, "{id}");
        }
    }

    /// Write it anew with `KUZZLE_BLESS=1 cargo test -p kuzzle-host diagnostics`.
    #[test]
    fn the_table_in_the_docs_is_that_of_the_code() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/diagnostics.md");
        let found = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = found.split_once("<!-- table -->\n").unwrap();
        let (_, after) = rest.split_once("<!-- end of table -->\n").unwrap();
        let mut ids = Id::ALL.to_vec();
        ids.sort_by_key(|id| id.as_str());
        let rows: String = ids.iter().map(|id| format!("| `{id}` | {} |\n", id.meaning())).collect();
        let expected = format!(
            "{before}<!-- table -->\n| id | what is wrong |\n|---|---|\n{rows}<!-- end of table -->\n{after}"
        );
        if std::env::var_os("KUZZLE_BLESS").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }
        assert!(
            found == expected || std::env::var_os("KUZZLE_BLESS").is_some(),
            "docs/diagnostics.md is not up to date"
        );
    }

    #[test]
    fn json_leaves_out_what_is_absent_and_keeps_the_order_of_the_contract() {
        let json = serde_json::to_string(&example()).unwrap();
        assert_eq!(
            json,
            r#"{"severity":"error","id":"protocol.library.missing_symbol","message":"a\nb","help":"c","path":"/x/lib\u001b[2J.so","found":"nothing"}"#
        );
    }

    #[test]
    fn text_holds_no_foreign_control_characters() {
        let text = example().text(2, Style::Plain);
        assert!(text.starts_with("  error[protocol.library.missing_symbol]: a\\u{a}b\n"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert_eq!(escape("a\u{202e}b\u{9b}"), "a\\u{202e}b\\u{9b}");
    }
}
