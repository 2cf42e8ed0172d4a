//! `killpoint run` and `killpoint roulette`.

use crate::arguments::{Format, Intercept, Replay, Resume, Roulette, Run};
use crate::commands::{Failure, Live, print_report, shown_path};
use crate::{attach, interrupt, scenario, upkeep};
use anyhow::{Context, anyhow};
use killpoint_harness::campaign::{
    self, Again, Campaign, CampaignError, Course, Options, ROUNDS_MAX,
};
use killpoint_harness::interceptor::{self, InterceptError};
use killpoint_harness::journalist::Watch;
use killpoint_harness::report::words;
use killpoint_harness::store::RunFolder;
use killpoint_model::invariant::{AckedIsDurable, Invariant, Semantics, USUAL_TIMEOUT};
use killpoint_model::objective::Objectives;
use killpoint_model::plan::{CrashPoints, Plan};
use killpoint_model::report::{Confirmation, TrialReport};
use killpoint_model::scenario::{
    Collect, FaultRule, SCENARIO_VERSION, Scenario, Supervisor, Target, Timeouts, Workload,
};
use killpoint_model::selector::{Pick, Roles, Who};
use killpoint_model::span::Span;
use killpoint_model::supervision::{Ready, StartLimit};
use killpoint_model::trigger::Trigger;
use killpoint_model::{Outcome, seed::Seed};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Misses of a replay that are shown; its report has all.
const MISSES_SHOWN_MAX: usize = 10;
/// How long a trial of roulette may take beyond its duration.
const SLACK: Span = Span::from_secs(300);

impl From<CampaignError> for Failure {
    fn from(error: CampaignError) -> Self {
        let outcome = error.outcome();
        Failure { error: error.into(), outcome }
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
fn options(directory: &Path, out: &Path, keep: usize) -> Result<Options, Failure> {
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
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
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
    match fs::read_to_string(beside) {
        Ok(directory) => PathBuf::from(directory.trim_end()),
        Err(_) => std::env::current_dir().unwrap_or_default(),
    }
}

fn carry_out(plan: &Plan, options: &Options, format: Format) -> Result<Outcome, Failure> {
    upkeep::mention_interrupted(&options.out);
    let ended = watched(format, |watch| campaign::run(plan, options, watch))?;
    print_report(&ended.report, &ended.folder, format)?;
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
        println!("  {}: {}", ended.report.result, ended.report.explanation);
        return Ok(ended.report.result);
    };
    let Confirmation { hits, tries } = campaign.replayed.unwrap_or_default();
    let tries_of_it = campaign.trials.iter().filter(|it| it.trial > 0);
    if let Some(first) = tries_of_it.clone().next() {
        let expected = first.expected.as_ref().map(ToString::to_string).unwrap_or_default();
        println!("  {expected} in trial {}, {}", first.trial, words::visible(&first.rule));
    }
    println!("  hit {hits} of {tries}");
    let is_miss = |it: &&TrialReport| it.expected.as_ref() != Some(&it.judgement.verdict);
    for miss in tries_of_it.filter(is_miss).take(MISSES_SHOWN_MAX) {
        let strikes = words::visible(&miss.strikes.join("; "));
        println!("  missed: {} ({strikes}) {}", miss.judgement.verdict, miss.judgement.detail);
    }
    println!("  {}", shown_path(&ended.folder.join("report.html")));
    Ok(if hits == tries { Outcome::Pass } else { Outcome::Violated })
}

/// `killpoint resume` of a run of a scenario.
///
/// # Errors
/// If it is complete or still goes on, and as [`run`].
pub fn resume(folder: RunFolder, flags: &Resume) -> Result<Outcome, Failure> {
    let again = again(&flags.out)?;
    let ended = watched(flags.format, |watch| campaign::resume(folder, again, watch))?;
    print_report(&ended.report, &ended.folder, flags.format)?;
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

/// `killpoint roulette`: a scenario of one rule.
///
/// # Errors
/// As [`run`].
pub fn roulette(flags: &Roulette) -> Result<Outcome, Failure> {
    if let Some(named) = attach::named(flags)? {
        return attach::roulette(flags, named);
    }
    for (is_given, flag) in [
        (flags.unleash, "--unleash"),
        (flags.allowlist.is_some(), "--allowlist"),
        (flags.environment_file.is_some(), "--environment-file"),
    ] {
        if is_given {
            let why =
                "is about processes that are running already: name them with --pid or --cgroup";
            return Err(anyhow!("{flag} {why}").into());
        }
    }
    let roles = Roles::parse(&flags.role).map_err(|error| anyhow!("--role: {error}"))?;
    let only = roles.iter().next().map(|(name, _)| name.to_owned());
    if roles.iter().count() > 1 {
        return Err(
            anyhow!("--role: roulette kills the processes of one role; write a scenario").into()
        );
    }
    let scenario = scenario_of(flags, roles, only);
    let plan = Plan::make(scenario, CrashPoints::default())?;
    carry_out(&plan, &options(Path::new(""), &flags.out, flags.keep)?, flags.format)
}

fn scenario_of(flags: &Roulette, roles: Roles, role: Option<String>) -> Scenario {
    let shell = |line: &String| ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
    let trial = Span::from_ms(flags.duration.as_ms() * 10 + SLACK.as_ms());
    // A kill is drawn more often than a start limit that is meant for crashes allows.
    let start_limit = StartLimit { count: 0, ..StartLimit::default() };
    let rule = FaultRule {
        name: Some("roulette".to_owned()),
        when: Trigger::Interval(flags.every),
        r#do: flags.fault.clone(),
        who: Who { role, pick: Pick::One, ..Who::default() },
        trials: 1,
        duration: Some(flags.duration),
    };
    let durable = |check: &String| {
        let check = Some(check.clone());
        Invariant::AckedIsDurable(AckedIsDurable {
            judge: Vec::new(),
            check,
            timeout: USUAL_TIMEOUT,
            semantics: Semantics::default(),
        })
    };
    Scenario {
        version: SCENARIO_VERSION,
        title: format!("Roulette: {}", flags.command.join(" ")),
        variables: BTreeMap::new(),
        seed: Seed(flags.seed.0),
        target: Target {
            state: flags.state.clone(),
            supervisor: Supervisor { start_limit, ..Supervisor::default() },
            ready: flags.ready.clone().map(|by| Ready { by, timeout: Ready::usual_timeout() }),
            roles,
            ..Target::of(flags.command.clone())
        },
        workload: flags
            .driver
            .as_ref()
            .map(|line| Workload { command: shell(line), timeout: trial }),
        faults: vec![rule],
        invariants: flags.check.iter().map(durable).collect(),
        objectives: Objectives::default(),
        collect: Collect::default(),
        timeouts: Timeouts { trial, ..Timeouts::default() },
        tiers: BTreeMap::new(),
    }
}
