//! `killpoint run`, and what carries out, resumes and replays the trials of a scenario.

use crate::arguments::{Format, Intercept, Replay, Resume, Run};
use crate::failure::Failure;
use crate::live::Live;
use crate::output::print_line;
use crate::output::{self, shown_path};
use crate::{interrupt, scenario, upkeep};
use anyhow::{Context, anyhow};
use killpoint_engine::regular_file;
use killpoint_harness::campaign::{
    self, Again, Campaign, CampaignError, Course, Options, ROUNDS_MAX,
};
use killpoint_harness::interceptor::{self, InterceptError};
use killpoint_harness::journalist::Watch;
use killpoint_harness::report::words;
use killpoint_harness::store::RunFolder;
use killpoint_model::Outcome;
use killpoint_model::plan::{CrashPoints, Plan, PlanError};
use killpoint_model::report::{Confirmation, TrialReport};
use std::path::{Path, PathBuf};

/// Misses of a replay that are shown; its report has all.
const MISSES_SHOWN_MAX: usize = 10;

impl From<CampaignError> for Failure {
    fn from(error: CampaignError) -> Self {
        let outcome = error.outcome();
        Failure { error: error.into(), outcome }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Failure { error: error.into(), outcome: Outcome::Usage }
    }
}

impl From<InterceptError> for Failure {
    fn from(error: InterceptError) -> Self {
        Failure { error: error.into(), outcome: Outcome::Usage }
    }
}

/// `killpoint run`.
///
/// # Errors
/// If the scenario or plan is none, or cannot be carried out here.
pub fn run(flags: &Run) -> Result<Outcome, Failure> {
    let path = &flags.scenario.scenario;
    let (plan, directory) = match read_plan(path)? {
        Some(plan) => {
            let flags = &flags.scenario;
            if flags.seed.is_some() || flags.tier.is_some() || !flags.set.is_empty() {
                let why =
                    "a plan is carried out as it is: --seed, --tier and --set are for scenarios";
                return Err(anyhow!(why).into());
            }
            (plan, directory_of_plan(path))
        }
        None => {
            let plan = Plan::make(scenario::load(&flags.scenario)?, CrashPoints::default())?;
            (plan, path.parent().map(Path::to_owned).unwrap_or_default())
        }
    };
    let here = std::env::current_dir()?;
    let is_open = flags.repeat_until_failure || flags.duration.is_some();
    let course = Course {
        rounds: flags.repeat.unwrap_or(if is_open { ROUNDS_MAX } else { 1 }),
        until_failure: flags.repeat_until_failure,
        duration: flags.duration,
        reruns: flags.rerun_failed,
    };
    let options = Options {
        only: flags.trial,
        course,
        baseline: flags.baseline.as_ref().map(|path| here.join(path)),
        write_baseline: flags.write_baseline.as_ref().map(|path| here.join(path)),
        ..options(&directory, &flags.out, flags.keep)?
    };
    carry_out(&plan, &options, flags.format)
}

/// Options where nothing else is said.
///
/// # Errors
/// If the working directory or this program cannot be found.
pub fn options(directory: &Path, out: &Path, keep: usize) -> Result<Options, Failure> {
    let here = std::env::current_dir()?;
    Ok(Options {
        directory: here.join(directory),
        out: here.join(out),
        supervisor: std::env::current_exe()?,
        only: None,
        course: Course::default(),
        replayed: None,
        baseline: None,
        write_baseline: None,
        keep,
        interrupt: interrupt::listen()?,
    })
}

/// A plan, if the file is one: a scenario has no digest.
fn read_plan(path: &Path) -> Result<Option<Plan>, Failure> {
    if path.extension().is_none_or(|extension| extension != "json") {
        return Ok(None);
    }
    let shown = path.display();
    let text =
        regular_file::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let is_plan = serde_json::from_str::<serde_json::Value>(&text)
        .is_ok_and(|value| value.get("digest").is_some());
    if !is_plan {
        return Ok(None);
    }
    let plan: Plan = serde_json::from_str(&text)
        .with_context(|| format!("{shown} is no plan of this killpoint"))?;
    Ok(Some(plan))
}

/// The directory that the paths of a plan start from: where it was made, as the run's folder says.
fn directory_of_plan(path: &Path) -> PathBuf {
    let beside = path.with_file_name("directory");
    match regular_file::read_to_string(&beside) {
        Ok(directory) => PathBuf::from(directory.trim_end()),
        Err(_) => std::env::current_dir().unwrap_or_default(),
    }
}

/// Carries out a plan, with a line of progress.
///
/// # Errors
/// As [`run`].
pub fn carry_out(plan: &Plan, options: &Options, format: Format) -> Result<Outcome, Failure> {
    upkeep::mention_interrupted(&options.out);
    let ended = watched(format, |watch| campaign::run(plan, options, watch))?;
    output::report(&ended.report, &ended.folder, format)?;
    Ok(ended.report.result)
}

/// Does something with a line of progress on a terminal.
fn watched(
    format: Format,
    work: impl FnOnce(Watch<'_>) -> Result<Campaign, CampaignError>,
) -> Result<Campaign, Failure> {
    let mut progress = Live::new(format == Format::Human);
    let ended = work(&mut |step| progress.show(step));
    progress.clear();
    Ok(ended?)
}

fn again(out: &Path) -> Result<Again, Failure> {
    Ok(Again {
        out: std::env::current_dir()?.join(out),
        supervisor: std::env::current_exe()?,
        interrupt: interrupt::listen()?,
    })
}

/// `killpoint replay` of a trial.
///
/// # Errors
/// If there is no such trial, and as [`run`].
pub fn replay(folder: &RunFolder, flags: &Replay, trial: u32) -> Result<Outcome, Failure> {
    let again = again(&flags.out)?;
    let ended = watched(Format::Human, |watch| {
        campaign::replay(folder, trial.into(), flags.times, again, watch)
    })?;
    let Some(campaign) = ended.report.campaign.filter(|it| it.replayed.is_some()) else {
        print_line!("  {}: {}", ended.report.result, ended.report.explanation);
        return Ok(ended.report.result);
    };
    let Confirmation { hits, tries } = campaign.replayed.unwrap_or_default();
    let tries_of_it = campaign.trials.iter().filter(|it| it.trial > 0);
    if let Some(first) = tries_of_it.clone().next() {
        let expected = first.expected.as_ref().map(ToString::to_string).unwrap_or_default();
        print_line!("  {expected} in trial {}, {}", first.trial, words::visible(&first.rule));
    }
    print_line!("  hit {hits} of {tries}");
    let is_miss = |it: &&TrialReport| it.expected.as_ref() != Some(&it.judgement.verdict);
    for miss in tries_of_it.filter(is_miss).take(MISSES_SHOWN_MAX) {
        let strikes = words::visible(&miss.strikes.join("; "));
        let detail = words::visible(&miss.judgement.detail);
        print_line!("  missed: {} ({strikes}) {detail}", miss.judgement.verdict);
    }
    print_line!("  {}", shown_path(&ended.folder.join("report.html")));
    Ok(if hits == tries { Outcome::Pass } else { Outcome::Violated })
}

/// `killpoint resume` of a run of a scenario.
///
/// # Errors
/// If it is complete or still goes on, and as [`run`].
pub fn resume(folder: RunFolder, flags: &Resume) -> Result<Outcome, Failure> {
    let again = again(&flags.out)?;
    let ended = watched(flags.format, |watch| campaign::resume(folder, again, watch))?;
    output::report(&ended.report, &ended.folder, flags.format)?;
    Ok(ended.report.result)
}

/// Records the target of a plan that waits for crash points, in a place that is thrown away.
///
/// # Errors
/// If its control does not hold, or it cannot be carried out here.
pub fn record(plan: &Plan, directory: &Path) -> Result<Plan, Failure> {
    let options = options(directory, Path::new(""), 1)?;
    Ok(campaign::record(plan, &options)?)
}

/// `killpoint intercept`: what stands above a supervisor whose target's calls are followed.
///
/// # Errors
/// If it cannot be followed here.
pub fn intercept(flags: &Intercept) -> Result<Outcome, Failure> {
    // What is typed at a terminal is for the campaign, which stops the supervisor.
    let _ = interrupt::listen()?;
    Ok(interceptor::intercept(&flags.setup)?)
}
