//! What a child tells its parent: a file of JSON lines, which survives however the child ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

/// How far a protocol has come when something happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    /// Its library is being opened, or its `init` or `start` is running.
    #[default]
    Init,
    /// It serves.
    Serving,
    /// Its `shutdown` is running.
    Shutdown,
}

/// How a scene has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// The rule was kept.
    Passed,
    /// It was broken.
    Failed(String),
    /// It does not apply, or could not be looked at.
    Skipped(String),
}

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Step(Phase, String),
    Verdict(Verdict),
}

/// The child's end.
pub(super) struct Journal {
    file: Mutex<File>,
}

impl Journal {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: Mutex::new(OpenOptions::new().append(true).create(true).open(path)?) })
    }

    fn write(&self, line: &Line) {
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        if let Ok(mut file) = self.file.lock() {
            // Without a journal the parent tells at least how the child ended.
            let _ = file.write_all(&text);
        }
    }

    /// What is done from now on.
    pub(super) fn step(&self, phase: Phase, text: &str) {
        self.write(&Line::Step(phase, text.to_owned()));
    }

    pub(super) fn verdict(&self, verdict: Verdict) {
        self.write(&Line::Verdict(verdict));
    }
}

/// The parent's end: what the child wrote.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// How far the protocol had come.
    pub(super) phase: Phase,
    /// What was being done last.
    pub(super) step: String,
    /// What the child decided, if it came that far.
    pub(super) verdict: Option<Verdict>,
}

impl Told {
    pub(super) fn read(path: &Path) -> Self {
        let mut told = Self::default();
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            match serde_json::from_str(line) {
                Ok(Line::Step(phase, step)) => (told.phase, told.step) = (phase, step),
                Ok(Line::Verdict(verdict)) => told.verdict = Some(verdict),
                // The last line of a child that was killed while it wrote.
                Err(_) => {}
            }
        }
        told
    }
}
