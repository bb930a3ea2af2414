//! The command line: parse the arguments, call one command, map its error to an exit status.
//!
//! Standard output carries only a command's result; everything else goes to standard error.

pub mod check;
pub mod completions;
pub mod config;
#[cfg(unix)]
pub mod conformance;
pub mod disable;
pub mod enable;
pub mod inspect;
pub mod list;
mod names;
pub mod new;
pub mod pack;
pub mod report;
pub mod start;

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::config::Sources;
use crate::diagnostics::{Style, escape};
use crate::installation::target::Target;

/// Exit status: success, also with warnings.
pub const EXIT_OK: u8 = 0;
/// Exit status: failure.
pub const EXIT_FAILURE: u8 = 1;
/// Exit status: wrong usage.
pub const EXIT_USAGE: u8 = 2;
/// Exit status: the configuration or a protocol is refused (EX_CONFIG).
pub const EXIT_REFUSED: u8 = 78;

/// Why a command could not do what it was asked for; printed once, by [`run`].
#[derive(Debug)]
pub struct CommandError {
    /// The exit status.
    pub status: u8,
    /// What was attempted, on what, and what came of it.
    pub message: String,
    /// How to mend it; may be empty.
    pub help: String,
}

impl CommandError {
    /// A failure, status 1.
    pub fn failure(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { status: EXIT_FAILURE, message: message.into(), help: help.into() }
    }

    /// Wrong usage, status 2.
    pub fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { status: EXIT_USAGE, message: message.into(), help: help.into() }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&escape(&self.message))?;
        if !self.help.is_empty() {
            write!(formatter, "\n  help: {}", escape(&self.help))?;
        }
        Ok(())
    }
}

impl std::error::Error for CommandError {}

#[derive(Debug, Parser)]
#[command(name = "kuzzle-host", version, about, long_about = None, max_term_width = 100)]
struct Arguments {
    /// The installation: the folder that holds `protocols/`, and from which `.kuzzlerc` is searched upwards
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// A configuration file that wins over all other files
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a configuration key, over files and environment: `server.port=9000`; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_setting)]
    set: Vec<(String, String)>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load the enabled protocols and serve their clients
    Start(StartOptions),
    /// Tell everything that is wrong with the configuration and the protocols, without running them
    Check(CheckOptions),
    /// List the protocols that are available and enabled
    List(ListOptions),
    /// Enable protocols: link `protocols/enabled/NAME` to `protocols/available/NAME`
    Enable(NamesOptions),
    /// Disable protocols: remove the links `protocols/enabled/NAME`
    Disable(NamesOptions),
    /// Tell all that a protocol's folder or library says about itself, without running it
    Inspect(InspectOptions),
    /// Make the project of a protocol: complete, small, to be changed into your own
    New(NewOptions),
    /// Make an archive of a protocol's folder, for one platform, with its library pinned
    Pack(PackOptions),
    /// Print the configuration, all sources merged, without secrets
    Config(ConfigOptions),
    /// Prove that a protocol keeps the rules of the ABI: run it, in child processes, against a fake host
    #[cfg(unix)]
    Conformance(ConformanceOptions),
    /// One scene of `conformance`, in the child
    #[cfg(unix)]
    #[command(hide = true)]
    ConformanceScene(ConformanceSceneOptions),
    /// Print the completions for a shell
    #[command(hide = true)]
    Completions(CompletionsOptions),
    /// Print the manual, or write its pages into a folder
    #[command(hide = true)]
    Man(ManOptions),
}

/// `KEY=VALUE`, levels of the key separated by dots.
fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.split('.').all(|key| !key.is_empty()) => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err("expected KEY=VALUE, as in server.port=9000".to_owned()),
    }
}

/// A platform by its name in manifests.
fn parse_platform(text: &str) -> Result<Target, String> {
    Target::of(text).ok_or_else(|| format!("expected one of {}", Target::KEYS.join(", ")))
}

/// Options of `start`.
#[derive(Args, Clone, Debug, Default)]
pub struct StartOptions {
    /// Start the protocols that pass, even if others are refused
    #[arg(long)]
    pub failsafe: bool,
    /// Refuse protocols that have warnings
    #[arg(long)]
    pub strict: bool,
    /// Write this file, as JSON, once all protocols serve
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document, for scripts.
    Json,
}

/// Options of `check`.
#[derive(Args, Clone, Debug, Default)]
pub struct CheckOptions {
    /// Protocol folders, or archives of them, to check instead of the enabled ones; no installation need exist
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Check the PATHs for this platform instead of this machine: linux_amd64, windows_amd64, macos_arm64, …
    #[arg(long, value_name = "PLATFORM", requires = "paths", value_parser = parse_platform)]
    pub platform: Option<Target>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Let warnings refuse, too
    #[arg(long)]
    pub strict: bool,
}

/// Options of `list`.
#[derive(Args, Clone, Debug, Default)]
pub struct ListOptions {
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Options of `enable` and `disable`.
#[derive(Args, Clone, Debug)]
pub struct NamesOptions {
    /// Folders of `protocols/available`
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}

/// Options of `inspect`.
#[derive(Args, Clone, Debug)]
pub struct InspectOptions {
    /// A protocol's folder, an archive of one, or a library
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Inspect it for this platform instead of this machine: linux_amd64, windows_amd64, macos_arm64, …
    #[arg(long, value_name = "PLATFORM", value_parser = parse_platform)]
    pub platform: Option<Target>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Options of `new`.
#[derive(Args, Clone, Debug)]
pub struct NewOptions {
    /// The protocol's name, and that of the project's folder
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The language
    #[arg(long, value_enum)]
    pub lang: new::Language,
    /// Where to make the folder
    #[arg(long = "dir", value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
    /// A copy of the crate kuzzle-protocol-abi to use instead of the registry's (Rust)
    #[arg(long, value_name = "PATH")]
    pub sdk_path: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Options of `pack`.
#[derive(Args, Clone, Debug)]
pub struct PackOptions {
    /// The protocol's folder, with manifest.json and the library
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The archive, or the folder for it [default: NAME-VERSION-PLATFORM.tar.gz, in the current folder]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Pack it for this platform instead of this machine's: linux_amd64, windows_amd64, macos_arm64, …
    #[arg(long, value_name = "PLATFORM", value_parser = parse_platform)]
    pub platform: Option<Target>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Options of `config`.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigOptions {
    /// Tell where each value comes from: a file with line and column, a variable, a flag
    #[arg(long)]
    pub show_origin: bool,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Options of `conformance`.
#[cfg(unix)]
#[derive(Args, Clone, Debug)]
pub struct ConformanceOptions {
    /// The protocol's folder
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Run these tests only
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Repeat the random calls of the run that had this seed
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Take much longer for what is random or concurrent
    #[arg(long)]
    pub thorough: bool,
}

/// What the parent tells a child of `conformance`.
#[cfg(unix)]
#[derive(Args, Clone, Debug)]
pub struct ConformanceSceneOptions {
    test: String,
    part: String,
    seed: u64,
    folder: PathBuf,
    #[arg(long)]
    thorough: bool,
}

/// Options of `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsOptions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Options of `man`.
#[derive(Args, Clone, Debug, Default)]
pub struct ManOptions {
    /// The folder for the pages, one for each command
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// Parses `arguments` (the program's name first), runs the command and gives the exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match parse(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output with status 0, the rest to standard error.
            let printed = error.print();
            let status = u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE);
            return if printed.is_err() && status == EXIT_OK { EXIT_FAILURE } else { status };
        }
    };
    match dispatch(arguments) {
        Ok(status) => status,
        Err(error) => {
            let style = Style::of(&std::io::stderr());
            let _ = writeln!(std::io::stderr(), "{}error{}: {error}", style.red(), style.reset());
            error.status
        }
    }
}

/// The command line, with `--set` after commands, too: one that is global to clap would forget what
/// stands before the command.
fn command() -> clap::Command {
    let command = Arguments::command();
    let set = command.get_arguments().find(|argument| argument.get_id() == "set").cloned();
    command.mut_subcommands(|subcommand| subcommand.args(set.clone()))
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let mut arguments = Arguments::from_arg_matches(&matches)?;
    let after = matches.subcommand().and_then(|(_, matches)| matches.get_many("set"));
    arguments.set.extend(after.into_iter().flatten().cloned());
    Ok(arguments)
}

fn dispatch(arguments: Arguments) -> Result<u8, CommandError> {
    // Not every command needs an installation.
    let home = || resolve_home(&arguments.home);
    let sources =
        || Sources { file: arguments.config.clone(), flags: arguments.set.clone(), ..Sources::of_process() };
    match &arguments.command {
        Command::Start(options) => start::run(&home()?, &sources(), options),
        Command::Check(options) if !options.paths.is_empty() => {
            print(|out| check::run(&arguments.home, &sources(), options, out))
        }
        Command::Check(options) => print(|out| check::run(&home()?, &sources(), options, out)),
        Command::List(options) => print(|out| list::run(&home()?, &sources(), options, out)),
        Command::Enable(options) => print(|out| enable::run(&home()?, options, out)),
        Command::Disable(options) => print(|out| disable::run(&home()?, options, out)),
        Command::Inspect(options) => print(|out| inspect::run(options, out)),
        Command::New(options) => print(|out| new::run(options, out)),
        Command::Pack(options) => print(|out| pack::run(options, out)),
        Command::Config(options) => print(|out| config::run(&home()?, &sources(), options, out)),
        #[cfg(unix)]
        Command::Conformance(options) => print(|out| conformance::run(options, out)),
        #[cfg(unix)]
        Command::ConformanceScene(options) => crate::conformance::run_scene(
            &options.folder,
            &options.test,
            &options.part,
            options.seed,
            options.thorough,
        ),
        Command::Completions(options) => print(|out| completions::completions(command(), options.shell, out)),
        Command::Man(options) => print(|out| completions::man(command(), options, out)),
    }
}

/// The installation's folder as an absolute path, links kept.
fn resolve_home(home: &Path) -> Result<PathBuf, CommandError> {
    let failed = |reason: String| {
        CommandError::failure(
            format!("Could not use {} as the installation: {reason}.", home.display()),
            "Give the folder that holds protocols/ with --home DIR.",
        )
    };
    let metadata = std::fs::metadata(home).map_err(|error| failed(error.to_string()))?;
    if !metadata.is_dir() {
        return Err(failed("it is not a folder".to_owned()));
    }
    std::path::absolute(home).map_err(|error| failed(error.to_string()))
}

/// Where a command writes its result, and how.
#[derive(Debug)]
pub struct Output {
    /// The result, printed when the command has ended.
    pub text: String,
    /// Whether it may be coloured.
    pub style: Style,
}

impl Output {
    /// An empty, plain one.
    pub fn plain() -> Self {
        Self { text: String::new(), style: Style::Plain }
    }

    /// Adds a line.
    pub fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    /// Adds one JSON document, indented, with a newline.
    pub fn json(&mut self, document: &impl serde::Serialize) {
        // Values of our own types: keys are text and no number is infinite.
        let json = serde_json::to_string_pretty(document).expect("our documents are always JSON");
        self.line(json);
    }
}

fn print(command: impl FnOnce(&mut Output) -> Result<u8, CommandError>) -> Result<u8, CommandError> {
    let mut output = Output { text: String::new(), style: Style::of(&std::io::stdout()) };
    let result = command(&mut output);
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(output.text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => result,
        // The reader has seen enough: `kuzzle-host list | head -1`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => result,
        Err(error) => {
            Err(CommandError::failure(format!("Could not write to standard output: {error}."), String::new()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Arguments {
        parse(std::iter::once("kuzzle-host").chain(arguments.iter().copied()).map(OsString::from)).unwrap()
    }

    #[test]
    fn the_help_of_every_command_tells_its_flags() {
        const EVERYWHERE: [&str; 4] = ["--home <DIR>", "--config <FILE>", "--set <KEY=VALUE>", "--help"];
        let commands: [(&str, &[&str]); 12] = [
            ("start", &["--failsafe", "--strict", "--ready-file <FILE>"]),
            (
                "check",
                &["[PATH]...", "--platform <PLATFORM>", "--format <FORMAT>", "text", "json", "--strict"],
            ),
            ("list", &["--format <FORMAT>", "text", "json"]),
            ("enable", &["<NAME>..."]),
            ("disable", &["<NAME>..."]),
            ("inspect", &["<PATH>", "--platform <PLATFORM>", "--format <FORMAT>", "text", "json"]),
            (
                "new",
                &[
                    "<NAME>",
                    "--lang <LANG>",
                    "rust",
                    "cpp",
                    "--dir <DIR>",
                    "--sdk-path <PATH>",
                    "--format <FORMAT>",
                ],
            ),
            ("pack", &["<DIR>", "--output <FILE>", "--platform <PLATFORM>", "--format <FORMAT>"]),
            ("config", &["--show-origin", "--format <FORMAT>", "text", "json"]),
            ("conformance", &["<PATH>", "--format <FORMAT>", "--only <NAME>", "--seed <N>", "--thorough"]),
            ("completions", &["<SHELL>", "bash", "zsh", "fish", "powershell"]),
            ("man", &["[DIR]"]),
        ];
        for (name, flags) in commands {
            let error = command().try_get_matches_from(["kuzzle-host", name, "--help"]).unwrap_err();
            assert_eq!(error.exit_code(), 0, "{name}");
            let help = error.to_string();
            for flag in flags.iter().chain(&EVERYWHERE) {
                assert!(help.contains(flag), "{name}: {flag}\n{help}");
            }
        }
        let help = command().render_help().to_string();
        for (name, _) in &commands[..9] {
            assert!(help.contains(&format!("\n  {name}")), "{name}\n{help}");
        }
        command().debug_assert();
    }

    #[test]
    fn global_flags_are_taken_before_and_after_the_command() {
        for arguments in [
            ["--home", "a", "--config", "b", "--set", "c=d", "list"],
            ["list", "--home", "a", "--config", "b", "--set", "c=d"],
        ] {
            let arguments = parsed(&arguments);
            assert_eq!(arguments.home, Path::new("a"));
            assert_eq!(arguments.config.as_deref(), Some(Path::new("b")));
            assert_eq!(arguments.set, [("c".to_owned(), "d".to_owned())]);
        }
        let arguments = parsed(&["--set", "a=1", "list", "--set", "a=2=3", "--set", "b.c="]);
        let pairs: Vec<_> = arguments.set.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("a", "2=3"), ("b.c", "")]);
    }

    #[test]
    fn completions_and_manual_know_commands_and_flags() {
        let mut out = Output::plain();
        completions::completions(command(), clap_complete::Shell::Bash, &mut out).unwrap();
        assert!(out.text.contains("--show-origin") && out.text.contains("--ready-file"));
        let mut out = Output::plain();
        completions::man(command(), &ManOptions::default(), &mut out).unwrap();
        assert!(out.text.contains(".TH kuzzle-host 1") && out.text.contains("check"));
        let folder = tempfile::tempdir().unwrap();
        let options = ManOptions { folder: Some(folder.path().join("man")) };
        completions::man(command(), &options, &mut Output::plain()).unwrap();
        assert!(folder.path().join("man/kuzzle-host-check.1").exists());
    }
}
