//! Killpoint as a library: a project's own `cargo test` says that a command survives every crash
//! point.
//!
//! ```no_run
//! #[test]
//! fn saving_survives_every_crash_point() {
//!     killpoint::explore(["./save.py"])
//!         .state("data")
//!         .check("./check.sh")
//!         .assert_survives();
//! }
//! ```
//!
//! It does what `killpoint explore` does, in this process: the same states, the same verdicts, the
//! same folder of the run. Use it with `default-features = false`, which leaves the command line's
//! own dependencies out.

use killpoint_harness::asserter::checker::Checker;
use killpoint_harness::explore::Options;
use killpoint_harness::report::console::{Style, summary};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub use killpoint_harness::explore::ExploreError;
pub use killpoint_model::report::{Finding, Report};
pub use killpoint_model::{Class, CrashModel, Outcome, Phase, Profile, Roles};

/// An exploration that is being described. Nothing happens until it is run.
#[derive(Clone, Debug)]
#[must_use = "an exploration does nothing until `run` or `assert_survives` is called"]
pub struct Exploration(Options);

/// Begins to describe the exploration of a command: the program and its arguments.
pub fn explore<T: Into<OsString>>(command: impl IntoIterator<Item = T>) -> Exploration {
    Exploration(Options::new(command))
}

impl Exploration {
    /// A directory that the command keeps its data in; may be called several times. Without any, the
    /// exploration finds out what the command writes.
    pub fn state(mut self, directory: impl Into<PathBuf>) -> Self {
        self.0.state.push(directory.into());
        self
    }

    /// A shell command that reopens the store and prints one JSON object, key to value.
    pub fn check(mut self, command: impl Into<String>) -> Self {
        self.0.checker = Checker::Command(command.into());
        self
    }

    /// The same as a program that stays alive and is told one state directory after another.
    pub fn check_stream(mut self, command: impl Into<String>) -> Self {
        self.0.checker = Checker::Stream(command.into());
        self
    }

    /// What a one-shot command is about to do, `key value`; exit status 0 acknowledges it.
    pub fn intent(mut self, intent: impl Into<String>) -> Self {
        self.0.intents.push(intent.into());
        self
    }

    /// The crash models; `kill` and `torn-write` unless said otherwise.
    pub fn models(mut self, models: impl IntoIterator<Item = CrashModel>) -> Self {
        self.0.models = models.into_iter().collect();
        self.0.models.sort();
        self
    }

    /// Power loss, too, with the promises of a file system, and every acknowledgement taken as a
    /// promise to survive it.
    pub fn power_loss(mut self, profile: Profile) -> Self {
        self.0.models = CrashModel::ALL.to_vec();
        self.0.profile = profile;
        self.0.acks_survive_power_loss = true;
        self
    }

    /// Begin with empty state directories: the first start of the program.
    pub fn from_empty(mut self) -> Self {
        self.0.from_empty = true;
        self
    }

    /// An environment variable of the command and the checker.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let name = name.into();
        self.0.environment.retain(|(other, _)| *other != name);
        self.0.environment.push((name, value.into()));
        self
    }

    /// A file with the steps of the workload, one a line, which the command reads from `{steps}`.
    pub fn steps(mut self, file: impl Into<PathBuf>) -> Self {
        self.0.steps = Some(file.into());
        self
    }

    /// Find out which of the steps each finding needs.
    pub fn shrink(mut self) -> Self {
        self.0.shrink = true;
        self
    }

    /// A shell command that drives a command that does not end by itself.
    pub fn driver(mut self, command: impl Into<String>) -> Self {
        self.0.driver = Some(command.into());
        self
    }

    /// Only crash points in these phases.
    pub fn phases(mut self, phases: impl IntoIterator<Item = Phase>) -> Self {
        self.0.phases = phases.into_iter().collect();
        self
    }

    /// The roles of the command's processes: addresses count within them.
    pub fn roles(mut self, roles: Roles) -> Self {
        self.0.roles = roles;
        self
    }

    /// The working directory, to which relative paths are resolved; this process's unless said
    /// otherwise.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.0.directory = directory.into();
        self
    }

    /// Where `.killpoint` is made; in the working directory unless said otherwise.
    pub fn out(mut self, directory: impl Into<PathBuf>) -> Self {
        self.0.out = directory.into();
        self
    }

    /// Time-out of one run of the command.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = timeout;
        self
    }

    /// Explores and returns the report, whatever it says.
    ///
    /// # Errors
    /// If the description makes no sense or the machine does not allow it; what is found is no error.
    pub fn run(self) -> Result<Report, ExploreError> {
        killpoint_harness::explore::explore(&self.0, &mut |_| {}).map(|explored| explored.report)
    }

    /// Explores and panics, with the summary that `killpoint explore` prints, unless every crash
    /// state holds: a violation, something unknown and nothing to strike at all panic.
    ///
    /// # Panics
    /// Unless the outcome is [`Outcome::Pass`].
    pub fn assert_survives(self) {
        let page = self.0.out.join("runs");
        match self.run() {
            Ok(report) if report.result == Outcome::Pass => {}
            Ok(report) => {
                let page = page.join(&report.run).join("report.html").display().to_string();
                let text = summary(&report, Style::plain().with_page(&page));
                panic!("the command does not survive every crash point\n\n{text}");
            }
            Err(error) => panic!(
                "the command could not be explored: {}",
                killpoint_harness::environment::local::chain(&error)
            ),
        }
    }
}
