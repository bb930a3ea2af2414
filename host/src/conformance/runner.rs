//! The parent's side: children, two at a time, and what came of each.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use super::catalogue::{GATE, INIT, SHUTDOWN, Test};
use super::journal::{Phase, Told, Verdict};
use super::report::{Status, TestReport};
use super::subject::Subject;
use crate::platform;

/// The file of the journal, in a child's folder.
pub(super) const JOURNAL: &str = "journal";
/// The file that describes the protocol, in a child's folder.
pub(super) const SUBJECT: &str = "subject.json";
const STDERR: &str = "stderr";

/// A child that takes longer is killed.
const DEADLINE: Duration = Duration::from_secs(10);
const THOROUGH_DEADLINE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(2);
/// Tests that run at once.
const AT_ONCE: usize = 2;
/// Bytes of standard error in which last words are sought.
const LAST_WORDS: usize = 4096;

/// What to run.
#[derive(Debug)]
pub struct Plan {
    /// The protocol.
    pub subject: Subject,
    /// The tests, in their order.
    pub tests: Vec<&'static Test>,
    /// Of the random test.
    pub seed: u64,
    /// Longer and more of everything that is random or concurrent.
    pub thorough: bool,
}

/// What came of one test, and in which phase it went wrong.
struct Outcome {
    verdict: Verdict,
    phase: Phase,
    took: Duration,
}

/// Runs all tests of a plan.
///
/// # Errors
/// The system's: no temporary folder, no child.
pub fn run(plan: &Plan) -> io::Result<Vec<TestReport>> {
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<(usize, io::Result<Outcome>)>> = Mutex::default();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(test) = plan.tests.get(index) else { return };
            let outcome = run_test(plan, test);
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((index, outcome));
        }
    };
    thread::scope(|scope| {
        for _ in 1..AT_ONCE {
            scope.spawn(work);
        }
        work();
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(index, _)| *index);
    let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome).collect::<io::Result<Vec<_>>>()?;
    Ok(judge(plan, &outcomes))
}

/// A fault in `init` or `shutdown` is told once, by the test that looks for it: the others could not look
/// at what they are about.
fn judge(plan: &Plan, outcomes: &[Outcome]) -> Vec<TestReport> {
    let failed = |name: &str| {
        let mut both = plan.tests.iter().zip(outcomes);
        both.any(|(test, outcome)| test.name == name && matches!(outcome.verdict, Verdict::Failed(_)))
    };
    let (init_failed, shutdown_failed) = (failed(INIT), failed(SHUTDOWN));
    let told = plan.tests.iter().zip(outcomes).map(|(test, outcome)| {
        let owner = match outcome.phase {
            Phase::Init if init_failed && test.name != INIT => Some(INIT),
            Phase::Shutdown if shutdown_failed && test.name != SHUTDOWN => Some(SHUTDOWN),
            _ => None,
        };
        let (status, reason) = match (&outcome.verdict, owner) {
            (Verdict::Passed, _) => (Status::Passed, None),
            (Verdict::Skipped(reason), _) => (Status::Skipped, Some(reason.clone())),
            (Verdict::Failed(_), Some(owner)) => {
                (Status::Skipped, Some(format!("it could not be looked at: see the test \"{owner}\"")))
            }
            (Verdict::Failed(reason), None) => (Status::Failed, Some(reason.clone())),
        };
        let millis = u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX);
        TestReport { name: test.name, status, reason, millis }
    });
    told.collect()
}

/// Runs all scenes of a test; the first that fails decides, then one that was skipped.
fn run_test(plan: &Plan, test: &'static Test) -> io::Result<Outcome> {
    let began = Instant::now();
    let mut worst = Outcome { verdict: Verdict::Passed, phase: Phase::Serving, took: Duration::ZERO };
    if test.name == GATE {
        return Ok(worst);
    }
    for part in (test.parts)(&plan.subject) {
        let (mut verdict, phase) = run_scene(plan, test, &part)?;
        if let (Verdict::Failed(reason), false) = (&mut verdict, part.is_empty()) {
            *reason = format!("{part}: {reason}");
        }
        let is_worse = match verdict {
            Verdict::Passed => false,
            Verdict::Skipped(_) => worst.verdict == Verdict::Passed,
            Verdict::Failed(_) => true,
        };
        if is_worse {
            (worst.verdict, worst.phase) = (verdict, phase);
        }
        if matches!(worst.verdict, Verdict::Failed(_)) {
            break;
        }
    }
    worst.took = began.elapsed();
    Ok(worst)
}

/// A folder of a child's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("kuzzle-conformance-{}-{number}", std::process::id());
            let path = env::temp_dir().join(name);
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                // Left over by an earlier process of our number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run_scene(plan: &Plan, test: &Test, part: &str) -> io::Result<(Verdict, Phase)> {
    let folder = Folder::new()?;
    let folder = &folder.0;
    fs::write(folder.join(SUBJECT), serde_json::to_vec(&plan.subject)?)?;
    let work = folder.join("work");
    fs::create_dir(&work)?;
    let mut command = Command::new(env::current_exe()?);
    command
        .args(["conformance-scene", test.name, part, &plan.seed.to_string()])
        .arg(folder)
        .args(plan.thorough.then_some("--thorough"))
        .current_dir(work)
        // Memory that was freed is overwritten at once, so that who still reads it is found out.
        .env("MALLOC_PERTURB_", "165")
        .env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.join(STDERR))?)
        .process_group(0);
    let mut child = command.spawn()?;
    let deadline = if plan.thorough { THOROUGH_DEADLINE } else { DEADLINE };
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if began.elapsed() > deadline {
            break None;
        }
        thread::sleep(POLL);
    };
    // The child, or what it has left behind.
    platform::kill_group(child.id());
    if status.is_none() {
        child.wait()?;
    }
    let told = Told::read(&folder.join(JOURNAL));
    let verdict = verdict(&told, status, deadline, folder);
    Ok((verdict, told.phase))
}

/// What came of a child: its own verdict, if it ended by itself.
fn verdict(told: &Told, status: Option<ExitStatus>, deadline: Duration, folder: &Path) -> Verdict {
    let step = if told.step.is_empty() { "nothing had begun" } else { &told.step };
    let Some(status) = status else {
        return Verdict::Failed(format!("it hung and was killed after {} s; {step}", deadline.as_secs()));
    };
    if let Some(signal) = status.signal() {
        let name = platform::signal_name(signal);
        return Verdict::Failed(format!("it crashed with {name}; {step}{}", last_words(folder)));
    }
    match (&told.verdict, status.code()) {
        (Some(verdict), Some(0)) => verdict.clone(),
        (_, code) => Verdict::Failed(format!(
            "the process ended with status {}, as if somebody had called exit; {step}{}",
            code.unwrap_or(-1),
            last_words(folder)
        )),
    }
}

/// The last line that the child wrote to standard error.
fn last_words(folder: &Path) -> String {
    let text = fs::read(folder.join(STDERR)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(LAST_WORDS)..]).into_owned();
    match text.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!("; its last words: {}", line.trim()),
        None => String::new(),
    }
}
