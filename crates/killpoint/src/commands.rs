//! What the subcommands do: options out of flags, outcome out of results.

use crate::arguments::{
    Acks, Arguments, Audit, Command, Explore, Format, MechanismName, Replay, Report, Resume,
    ScopeName,
};
use crate::{
    attach, campaign, demo, demo_store, dump, interrupt, output, scenario, several, supervise,
    upkeep, upload,
};
use anyhow::anyhow;
use killpoint_engine::record::{Mechanism, Scope};
use killpoint_harness::asserter::checker::Checker;
use killpoint_harness::campaign::is_campaign;
use killpoint_harness::explore::replay::{locate, locate_run, replay};
use killpoint_harness::explore::resume::resume;
use killpoint_harness::explore::{ExploreError, Explored, Options, explore};
use killpoint_harness::journalist::Progress;
use killpoint_harness::report::console::{Style, progress_line, summary};
use killpoint_harness::report::{json, words};
use killpoint_harness::store::{RunFolder, read_events};
use killpoint_model::report::Report as Findings;
use killpoint_model::{Outcome, Roles};
use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Why a command could not be carried out, and what to exit with.
#[derive(Debug)]
pub struct Failure {
    /// The chain of causes.
    pub error: anyhow::Error,
    /// The exit code's outcome.
    pub outcome: Outcome,
}

impl From<ExploreError> for Failure {
    fn from(error: ExploreError) -> Self {
        let outcome = error.outcome();
        if let ExploreError::Interrupted { folder, resumable: true } = &error {
            let folder = shown_path(folder);
            let hint = anyhow!("interrupted; `killpoint resume {folder}` goes on from there");
            return Failure { error: hint, outcome };
        }
        Failure { error: error.into(), outcome }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure { error, outcome: Outcome::Usage }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure { error: error.into(), outcome: Outcome::Usage }
    }
}

impl From<killpoint_harness::store::StoreError> for Failure {
    fn from(error: killpoint_harness::store::StoreError) -> Self {
        Failure { error: error.into(), outcome: Outcome::Usage }
    }
}

/// Carries out a command.
///
/// # Errors
/// With the outcome to exit with.
pub fn run(arguments: Arguments) -> Result<Outcome, Failure> {
    let is_anywhere = matches!(
        arguments.command,
        Command::Completions(_) | Command::Man(_) | Command::DemoStore(_) | Command::Within(_)
    );
    if !is_anywhere {
        working_directory()?;
    }
    match arguments.command {
        Command::Explore(flags) => run_explore(*flags),
        Command::Replay(flags) => run_replay(&flags),
        Command::Report(flags) => run_report(&flags),
        Command::Supervise(flags) => supervise::run(&flags),
        Command::Run(flags) => campaign::run(&flags),
        Command::Roulette(flags) => campaign::roulette(&flags),
        Command::Intercept(flags) => campaign::intercept(&flags),
        Command::Plan(flags) => scenario::plan(&flags),
        Command::Triage(flags) => several::triage(&flags),
        Command::Compare(flags) => several::compare(&flags),
        Command::Import(flags) => scenario::print_import(&flags),
        Command::Schema => scenario::print_schema(),
        Command::Resume(flags) => run_resume(&flags),
        Command::Recover(flags) => upkeep::recover(&flags),
        Command::Audit(Audit::Verify(flags)) => upkeep::verify(&flags),
        Command::Demo(flags) => demo::run(&flags),
        Command::Dump(flags) => dump::run(&flags),
        Command::Upload(flags) => upload::run(&flags),
        Command::Doctor(flags) => upkeep::doctor(&flags),
        Command::Completions(flags) => upkeep::completions(&flags),
        Command::Man(flags) => upkeep::man(&flags),
        Command::Within(_) => unreachable!("it became another program, or ended"),
        Command::DemoStore(flags) => Ok(demo_store::run(&flags).map(|()| Outcome::Pass)?),
    }
}

/// The working directory: all paths are taken from there.
fn working_directory() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| {
        let text = "the working directory is gone or cannot be read; change to one that is there";
        Failure { error: anyhow::Error::new(error).context(text), outcome: Outcome::Usage }
    })
}

fn options(flags: Explore) -> Result<Options, Failure> {
    let mut options = Options::new(flags.command);
    options.state = flags.state;
    options.journal = flags.journal;
    options.intents = flags.intent;
    options.acks_survive_power_loss = flags.acks == Acks::PowerLoss;
    options.checker = match (flags.check, flags.check_stream) {
        (Some(command), _) => Checker::Command(command),
        (None, Some(command)) => Checker::Stream(command),
        (None, None) => Checker::BuiltIn,
    };
    options.models = flags.model;
    options.phases = flags.phase.unwrap_or(options.phases);
    options.driver = flags.driver;
    options.steps = flags.steps;
    options.shrink = flags.shrink;
    options.profile = flags.profile;
    options.recordings = flags.recordings;
    options.jobs = flags.jobs.unwrap_or(options.jobs);
    options.seed = flags.seed;
    options.out = options.directory.join(flags.out);
    options.from_empty = flags.from_empty;
    options.timeout = Duration::from_secs(flags.timeout);
    options.checker_timeout = Duration::from_secs(flags.check_timeout);
    options.keep_environment = flags.env;
    options.baseline = flags.baseline;
    options.write_baseline = flags.write_baseline;
    options.keep = flags.keep;
    options.confirmations = flags.confirm;
    options.mechanism = match flags.mechanism {
        MechanismName::Ptrace => Mechanism::Ptrace,
        MechanismName::Notify => Mechanism::Notify,
    };
    options.scope = match flags.scope {
        ScopeName::Process => Scope::Process,
        ScopeName::Tree => Scope::Tree,
        ScopeName::All => Scope::All,
    };
    options.roles = Roles::parse(&flags.role).map_err(|error| anyhow!("--role: {error}"))?;
    options.second_checks = !flags.no_second_checks;
    options.idempotent = flags.idempotent;
    options.recovery_depth = flags.recovery_depth;
    options.pin = !flags.no_pin;
    options.redirect = flags.no_namespaces;
    Ok(options)
}

fn run_explore(flags: Explore) -> Result<Outcome, Failure> {
    let format = flags.format;
    let options = options(flags)?;
    upkeep::mention_interrupted(&options.out);
    let explored = explore_watched(&options, format == Format::Human)?;
    print_report(&explored.report, &explored.folder, format)?;
    Ok(explored.report.result)
}

/// Explores with a line of progress on a terminal; a signal stops it.
///
/// # Errors
/// With the outcome to exit with.
pub fn explore_watched(options: &Options, show: bool) -> Result<Explored, Failure> {
    let options = Options { interrupt: interrupt::listen()?, ..options.clone() };
    let mut progress = Live::new(show);
    let explored = explore(&options, &mut |step| progress.show(step));
    progress.clear();
    Ok(explored?)
}

fn run_resume(flags: &Resume) -> Result<Outcome, Failure> {
    let here = std::env::current_dir().unwrap_or_default();
    let folder = locate_run(&flags.run, &here.join(&flags.out))?;
    attach::refuse(&folder)?;
    if is_campaign(&folder) {
        return campaign::resume(folder, flags);
    }
    let environment = std::env::vars_os().collect();
    let mut progress = Live::new(flags.format == Format::Human);
    let interrupt = interrupt::listen()?;
    let explored = resume(folder, environment, interrupt, &mut |step| progress.show(step));
    progress.clear();
    let explored = explored?;
    print_report(&explored.report, &explored.folder, flags.format)?;
    Ok(explored.report.result)
}

/// What a run has to say, for a person.
pub fn summary_text(report: &Findings, folder: &RunFolder) -> String {
    let page = shown_path(&folder.join("report.html"));
    let colours = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let style = if colours { Style::coloured() } else { Style::plain() };
    summary(report, style.with_page(&page))
}

/// Prints the report of a run.
///
/// # Errors
/// If it could not be written.
pub fn print_report(report: &Findings, folder: &RunFolder, format: Format) -> std::io::Result<()> {
    let text = match format {
        Format::Json => json::document(report),
        Format::Human => summary_text(report, folder),
    };
    output::result(&text)
}

/// A path as short as it can be, from here.
pub fn shown_path(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// A line on the terminal that tells how far a run has come; nothing where there is none.
pub struct Live {
    on: bool,
    last: Option<Instant>,
}

impl Live {
    /// One that shows nothing unless it is wanted.
    pub fn new(wanted: bool) -> Self {
        Live { on: wanted && stderr().is_terminal(), last: None }
    }

    /// Shows how far it is.
    pub fn show(&mut self, step: &Progress) {
        const INTERVAL: Duration = Duration::from_millis(100);
        let due = self.last.is_none_or(|last| last.elapsed() >= INTERVAL);
        if self.on && due && step.elapsed >= Duration::from_millis(500) {
            self.last = Some(Instant::now());
            let line = progress_line(step.stage, step.done, step.total, step.elapsed);
            let _ = write!(stderr(), "\r\x1b[2K{line}");
        }
    }

    /// Leaves nothing behind.
    pub fn clear(&mut self) {
        if self.on && self.last.is_some() {
            let _ = write!(stderr(), "\r\x1b[2K");
        }
    }
}

fn run_replay(flags: &Replay) -> Result<Outcome, Failure> {
    let here = std::env::current_dir().unwrap_or_default();
    let (folder, number) = locate(&flags.finding, &here.join(&flags.out))?;
    attach::refuse(&folder)?;
    if is_campaign(&folder) {
        return campaign::replay(&folder, flags, number);
    }
    let environment = std::env::vars_os().collect();
    let replayed = replay(&folder, number, flags.times, environment)?;
    let finding = &replayed.finding;
    println!("  {} {} under {}", finding.class, finding.shown, finding.model);
    println!("  {}", finding.detail);
    if let Some((needed, steps)) = words::steps(finding) {
        println!("  {needed}: {steps}");
    }
    println!("  hit {} of {}", replayed.confirmation.hits, replayed.confirmation.tries);
    for miss in &replayed.misses {
        println!("  missed: {miss}");
    }
    if replayed.confirmation.hits < replayed.confirmation.tries {
        if !replayed.missing_variables.is_empty() {
            let names = replayed.missing_variables.join(", ");
            println!("  not set here, but then: {names}");
        }
        return Ok(Outcome::Violated);
    }
    Ok(Outcome::Pass)
}

fn run_report(flags: &Report) -> Result<Outcome, Failure> {
    let here = std::env::current_dir().unwrap_or_default();
    let folder = locate_run(&flags.run, &here.join(&flags.out))?;
    let events = read_events(&folder)?;
    if events.is_empty() {
        let error = anyhow!("the event log of run {} has no events", folder.id());
        return Err(Failure { error, outcome: Outcome::Usage });
    }
    let report = Findings::of_log(&events);
    killpoint_harness::report::write_all(&folder, &report)?;
    print_report(&report, &folder, flags.format)?;
    Ok(report.result)
}
