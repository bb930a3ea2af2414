//! A survey as text, grouped by protocol, and as the JSON document of `check`.

use kuzzle_kernel::KUZZLE_VERSION;
use kuzzle_protocol_abi::raw::{KUZZLE_ABI_MAJOR, KUZZLE_ABI_MINOR};
use serde::Serialize;

use crate::diagnostics::{Diagnostic, Style, escape, escape_path};
use crate::installation::{Entry, Status, Survey};

/// The survey for people: the protocols with all that is wrong with them, then what is wrong beside
/// them, then a line that counts. Foreign strings are escaped.
pub fn text(survey: &Survey, style: Style) -> String {
    let mut text = String::new();
    for entry in &survey.entries {
        let name = escape(&display_name(entry));
        let (bold, reset) = (style.bold(), style.reset());
        text.push_str(&format!(
            "{bold}{name}{reset} ({}): {}\n",
            escape_path(&entry.path),
            verdict(entry, style)
        ));
        group(&mut text, &entry.diagnostics, style);
    }
    if !survey.diagnostics.is_empty() {
        text.push_str(&format!("{}configuration and installation{}\n", style.bold(), style.reset()));
        group(&mut text, &survey.diagnostics, style);
    }
    text.push_str(&summary(survey));
    text
}

/// The document of `check --format json`, a public contract.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    kuzzle_version: &'static str,
    abi: String,
    protocols: Vec<Protocol<'a>>,
    diagnostics: &'a [Diagnostic],
    refused: usize,
}

#[derive(Debug, Serialize)]
struct Protocol<'a> {
    name: Option<&'a str>,
    path: String,
    library: Option<String>,
    status: &'static str,
    diagnostics: &'a [Diagnostic],
}

impl<'a> Document<'a> {
    /// The document that tells this survey.
    pub fn of(survey: &'a Survey) -> Self {
        let protocol = |entry: &'a Entry| Protocol {
            name: entry.name.as_deref(),
            path: entry.path.to_string_lossy().into_owned(),
            library: entry.library.as_ref().map(|library| library.to_string_lossy().into_owned()),
            status: entry.status.as_str(),
            diagnostics: &entry.diagnostics,
        };
        Self {
            kuzzle_version: KUZZLE_VERSION,
            abi: format!("{KUZZLE_ABI_MAJOR}.{KUZZLE_ABI_MINOR}"),
            protocols: survey.entries.iter().map(protocol).collect(),
            diagnostics: &survey.diagnostics,
            refused: survey.refused(),
        }
    }
}

/// A number of things: `1 error`, `2 errors`.
pub(super) fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// How many errors and warnings there are: `1 error, 2 warnings`.
pub(super) fn problems<'a>(diagnostics: impl Iterator<Item = &'a Diagnostic>) -> String {
    let (mut errors, mut warnings) = (0, 0);
    for diagnostic in diagnostics {
        *(if diagnostic.is_error() { &mut errors } else { &mut warnings }) += 1;
    }
    format!("{}, {}", count(errors, "error"), count(warnings, "warning"))
}

/// The manifest's name, or else the entry's own.
fn display_name(entry: &Entry) -> String {
    match (&entry.name, entry.path.file_name()) {
        (Some(name), _) => name.clone(),
        (None, Some(name)) => name.to_string_lossy().into_owned(),
        (None, None) => entry.path.to_string_lossy().into_owned(),
    }
}

fn verdict(entry: &Entry, style: Style) -> String {
    let found = problems(entry.diagnostics.iter());
    let reset = style.reset();
    match entry.status {
        Status::Ok if entry.diagnostics.is_empty() => format!("{}ok{reset}", style.green()),
        Status::Ok => format!("{}ok{reset} ({found})", style.green()),
        Status::Refused if entry.diagnostics.iter().any(Diagnostic::is_error) => {
            format!("{}refused{reset} ({found})", style.red())
        }
        Status::Refused => format!("{}refused{reset} (warnings count: {found})", style.red()),
        Status::Disabled if entry.diagnostics.is_empty() => {
            format!("{}disabled{reset} by the configuration", style.yellow())
        }
        Status::Disabled => format!("{}disabled{reset} by the configuration ({found})", style.yellow()),
    }
}

/// The diagnostics below their heading, and an empty line.
fn group(text: &mut String, diagnostics: &[Diagnostic], style: Style) {
    for diagnostic in diagnostics {
        text.push_str(&diagnostic.text(2, style));
    }
    if !diagnostics.is_empty() {
        text.push('\n');
    }
}

fn summary(survey: &Survey) -> String {
    let of = |status| survey.entries.iter().filter(|entry| entry.status == status).count();
    let all = survey.entries.iter().flat_map(|entry| &entry.diagnostics).chain(&survey.diagnostics);
    format!(
        "{}: {} ok, {} refused, {} disabled; {}\n",
        count(survey.entries.len(), "protocol"),
        of(Status::Ok),
        survey.refused(),
        of(Status::Disabled),
        problems(all)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnostics::Id;

    fn error() -> Diagnostic {
        Diagnostic::error(Id::LibraryNotFound, "/p/x", "No library.", "Put one there.").expected("one")
    }

    fn warning() -> Diagnostic {
        Diagnostic::warning(Id::ManifestMissingVersion, "/p/m", "No version.", "Write one.")
    }

    fn entry(name: Option<&str>, status: Status, diagnostics: Vec<Diagnostic>) -> Entry {
        Entry {
            name: name.map(str::to_owned),
            path: "/p/enabled/folder".into(),
            library: name.map(|_| "/p/available/folder/lib.so".into()),
            status,
            diagnostics,
            candidate: None,
        }
    }

    #[test]
    fn the_document_has_exactly_the_members_of_the_contract_in_order() {
        let survey = Survey {
            entries: vec![
                entry(Some("udp"), Status::Ok, vec![]),
                entry(None, Status::Refused, vec![error()]),
                entry(Some("off"), Status::Disabled, vec![]),
            ],
            diagnostics: vec![warning()],
        };
        let document = serde_json::to_value(Document::of(&survey)).unwrap();
        assert_eq!(
            document,
            json!({
                "kuzzleVersion": "2.56.0",
                "abi": "1.0",
                "protocols": [
                    {"name": "udp", "path": "/p/enabled/folder", "library": "/p/available/folder/lib.so",
                     "status": "ok", "diagnostics": []},
                    {"name": null, "path": "/p/enabled/folder", "library": null, "status": "refused",
                     "diagnostics": [{"severity": "error", "id": "protocol.library.not_found",
                        "message": "No library.", "help": "Put one there.", "path": "/p/x", "expected": "one"}]},
                    {"name": "off", "path": "/p/enabled/folder", "library": "/p/available/folder/lib.so",
                     "status": "disabled", "diagnostics": []},
                ],
                "diagnostics": [{"severity": "warning", "id": "plugin.manifest.missing_version",
                    "message": "No version.", "help": "Write one.", "path": "/p/m"}],
                "refused": 1,
            })
        );
        let members: Vec<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["kuzzleVersion", "abi", "protocols", "diagnostics", "refused"]);
    }

    #[test]
    fn text_groups_by_protocol_and_ends_with_the_counts() {
        let survey = Survey {
            entries: vec![
                entry(Some("udp"), Status::Ok, vec![warning()]),
                entry(None, Status::Refused, vec![error(), warning()]),
                entry(Some("off"), Status::Disabled, vec![]),
            ],
            diagnostics: vec![error()],
        };
        assert_eq!(
            text(&survey, Style::Plain),
            "udp (/p/enabled/folder): ok (0 errors, 1 warning)\n  \
               warning[plugin.manifest.missing_version]: No version.\n    \
                 at:       /p/m\n    \
                 help:     Write one.\n\n\
             folder (/p/enabled/folder): refused (1 error, 1 warning)\n  \
               error[protocol.library.not_found]: No library.\n    \
                 at:       /p/x\n    \
                 expected: one\n    \
                 help:     Put one there.\n  \
               warning[plugin.manifest.missing_version]: No version.\n    \
                 at:       /p/m\n    \
                 help:     Write one.\n\n\
             off (/p/enabled/folder): disabled by the configuration\n\
             configuration and installation\n  \
               error[protocol.library.not_found]: No library.\n    \
                 at:       /p/x\n    \
                 expected: one\n    \
                 help:     Put one there.\n\n\
             3 protocols: 1 ok, 1 refused, 1 disabled; 2 errors, 2 warnings\n"
        );
    }

    #[test]
    fn text_tells_when_warnings_alone_refuse() {
        let survey = Survey {
            entries: vec![entry(Some("udp"), Status::Ok, vec![warning()])],
            diagnostics: vec![warning()],
        }
        .strict();
        let text = text(&survey, Style::Plain);
        assert!(
            text.contains("udp (/p/enabled/folder): refused (warnings count: 0 errors, 1 warning)"),
            "{text}"
        );
        assert!(text.ends_with("1 protocol: 0 ok, 1 refused, 0 disabled; 1 error, 1 warning\n"), "{text}");
    }

    #[test]
    fn text_of_nothing_is_the_counts() {
        let text = text(&Survey::default(), Style::Plain);
        assert_eq!(text, "0 protocols: 0 ok, 0 refused, 0 disabled; 0 errors, 0 warnings\n");
    }

    #[test]
    fn text_is_coloured_only_if_asked_for_and_foreign_strings_are_escaped() {
        let mut foreign = entry(Some("a\u{1b}[2Jb"), Status::Refused, vec![error()]);
        foreign.path = "/p/\u{9b}\n\u{202e}".into();
        let survey = Survey { entries: vec![foreign], diagnostics: vec![] };
        let plain = text(&survey, Style::Plain);
        assert!(!plain.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{plain:?}");
        assert!(plain.starts_with("a\\u{1b}[2Jb (/p/\\u{9b}\\u{a}\\u{202e}): refused"), "{plain}");
        let coloured = text(&survey, Style::Coloured);
        assert!(coloured.contains("\u{1b}[1;31mrefused\u{1b}[0m"), "{coloured:?}");
        assert!(!coloured.contains("\u{1b}[2J"), "{coloured:?}");
    }
}
