//! `killpoint explore`: flags into options, and a line of progress while it goes on.

use crate::arguments::{Acks, Explore, Format, MechanismName, ScopeName};
use crate::failure::Failure;
use crate::live::Live;
use crate::output::{self, shown_path};
use crate::{interrupt, upkeep};
use anyhow::anyhow;
use killpoint_engine::record::{Mechanism, Scope};
use killpoint_harness::asserter::checker::Checker;
use killpoint_harness::explore::{ExploreError, Explored, Options, explore};
use killpoint_model::{Outcome, Roles};
use std::time::Duration;

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

/// `killpoint explore`.
///
/// # Errors
/// If nothing can be explored as described.
pub fn run(flags: Explore) -> Result<Outcome, Failure> {
    let format = flags.format;
    let options = options(flags)?;
    upkeep::mention_interrupted(&options.out);
    let explored = watched(&options, format == Format::Human)?;
    output::report(&explored.report, &explored.folder, format)?;
    Ok(explored.report.result)
}

/// Explores with a line of progress on a terminal; a signal stops it.
///
/// # Errors
/// With the outcome to exit with.
pub fn watched(options: &Options, show: bool) -> Result<Explored, Failure> {
    let options = Options { interrupt: interrupt::listen()?, ..options.clone() };
    let mut progress = Live::new(show);
    let explored = explore(&options, &mut |step| progress.show(step));
    progress.clear();
    Ok(explored?)
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
    options.live_sample = flags.confirm_held;
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
