//! Flags of commands about scenarios.

use super::Format;
use super::supervise::probe;
use clap::Args;
use killpoint_model::fault::Fault;
use killpoint_model::scenario::Tier;
use killpoint_model::seed::Seed;
use killpoint_model::span::Span;
use killpoint_model::supervision::Probe;
use killpoint_model::trigger::Range;
use std::path::PathBuf;

/// Flags that choose a scenario.
#[derive(Debug, Args)]
pub struct ScenarioFlags {
    /// The scenario: YAML or JSON.
    #[arg(value_name = "SCENARIO")]
    pub scenario: PathBuf,
    /// The value of a variable that the scenario declares; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Where everything random comes from [default: the scenario's].
    #[arg(long)]
    pub seed: Option<Seed>,
    /// What the scenario says for this tier: local, nightly, pre-release.
    #[arg(long)]
    pub tier: Option<Tier>,
}

/// Flags of `plan`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint plan scenarios/notes-sqlite.yaml
  killpoint plan scenarios/notes-sqlite.yaml --seed 7 --format json
  killpoint plan scenarios/notes-sqlite.yaml --check")]
pub struct Plan {
    /// Which scenario.
    #[command(flatten)]
    pub scenario: ScenarioFlags,
    /// Only check it: nothing is started.
    #[arg(long)]
    pub check: bool,
    /// How the plan is printed.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// Flags of `import`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint import experiment.json > scenario.json
  killpoint run experiment.json

Providers of type process and http are carried out; others, controls and what else has no meaning here
are refused by name. Values of `configuration` are filled in, secrets are looked up when they are used.")]
pub struct Import {
    /// The experiment: JSON or YAML.
    #[arg(value_name = "EXPERIMENT")]
    pub experiment: PathBuf,
    /// The value of a key of `configuration`; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Flags of `run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint run scenarios/notes-sqlite.yaml
  killpoint run scenarios/notes-sqlite.yaml --seed 7 --tier nightly
  killpoint run .killpoint/runs/7f3a21/plan.json --trial 3 --repeat 20
  killpoint run scenarios/notes-sqlite.yaml --duration 1h --rerun-failed 5
  killpoint run scenarios/notes-race.yaml --repeat-until-failure --duration 10m

Exit codes: 0 pass, 1 violated, 2 bad usage or input, 3 unknown, 4 vacuous, 5 aborted,
6 baseline failed, 70 internal error, 130 interrupted.")]
pub struct Run {
    /// Which scenario; or a plan, as `plan --format json` prints it and a run's folder holds it.
    #[command(flatten)]
    pub scenario: ScenarioFlags,
    /// Only this trial of the plan, besides the control.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub trial: Option<u64>,
    /// How often each trial is carried out; with --duration and --repeat-until-failure the most [default:
    /// 1; with those 100,000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub repeat: Option<u32>,
    /// Repeat the plan until a trial is violated (and is not in the baseline).
    #[arg(long)]
    pub repeat_until_failure: bool,
    /// Repeat the plan until this time is over: a soak. The trial that is going on then ends.
    #[arg(long, value_name = "SPAN")]
    pub duration: Option<Span>,
    /// Run a trial that was violated again, so often, with the same plan at the same positions from the
    /// same state, and say how often it was violated again.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=10_000))]
    pub rerun_failed: u32,
    /// Violated trials of this file do not fail the run.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write the violated trials of this run as a baseline.
    #[arg(long, value_name = "FILE")]
    pub write_baseline: Option<PathBuf>,
    /// How many runs are kept; the oldest are removed.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub keep: usize,
    /// Where the folder of the run is made.
    #[arg(long, value_name = "DIR", default_value = ".killpoint")]
    pub out: PathBuf,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// Flags of `roulette`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint roulette --every 2s..8s --duration 60s -- ./server --port 8080
  killpoint roulette --state data --check ./check.sh --role worker=cmdline:--type=worker -- ./app
  killpoint roulette --cgroup /system.slice/app.service --ready http://127.0.0.1:8080/health
  killpoint roulette --pid 4711 --do suspend:2s --every 5s --duration 20s --unleash

With --pid or --cgroup the processes are somebody else's, on a machine that root marked as staging
(the word `staging` in /etc/killpoint/environment). Leashed, as it is without --unleash, everything is
done but the strike, and the run is vacuous.

Exit codes as those of `run`.")]
pub struct Roulette {
    /// The shortest and the longest time from readiness to the next kill.
    #[arg(long, value_name = "SPAN..SPAN", default_value = "2s..8s")]
    pub every: Range,
    /// How long the drawn times take together; how long the target takes to be ready again, with the
    /// supervisor's back-off, comes on top.
    #[arg(long, value_name = "SPAN", default_value = "60s")]
    pub duration: Span,
    /// What is done: kill, terminate, signal:NAME or suspend:SPAN.
    #[arg(long = "do", value_name = "FAULT", default_value = "kill", value_parser = fault)]
    pub fault: Fault,
    /// A process that is running already; may be given several times.
    #[arg(long, value_name = "N", conflicts_with = "command")]
    pub pid: Vec<i32>,
    /// The processes of a control group that are running already, as /proc/PID/cgroup names it.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["command", "pid"])]
    pub cgroup: Option<String>,
    /// Not there yet; says what to give instead.
    #[arg(long, value_name = "NAME", hide = true)]
    pub unit: Option<String>,
    /// Not there yet; says what to give instead.
    #[arg(long, value_name = "NAME", hide = true)]
    pub container: Option<String>,
    /// With --pid or --cgroup: strike. Without it everything else is done.
    #[arg(long)]
    pub unleash: bool,
    /// With --pid or --cgroup: only who is on this list may be struck (pid:N or cgroup:PATH on each line).
    #[arg(long, value_name = "FILE")]
    pub allowlist: Option<PathBuf>,
    /// With --pid or --cgroup: a file of root's that marks a machine without
    /// /etc/killpoint/environment; where there is one, it has to say `staging`, too.
    #[arg(long, value_name = "FILE")]
    pub environment_file: Option<PathBuf>,
    /// With --pid or --cgroup: how long a process may take to come back.
    #[arg(long, value_name = "SPAN", default_value = "30s")]
    pub recovery: Span,
    /// A name for some of its processes, and what tells them apart; only these are killed.
    #[arg(long, value_name = "NAME=SELECTOR")]
    pub role: Vec<String>,
    /// A directory that it keeps its data in; it works on a copy, in KILLPOINT_STATE and `{state}`.
    #[arg(long, value_name = "DIR")]
    pub state: Vec<String>,
    /// A shell command that reads the state and prints one JSON object: what was acknowledged in
    /// KILLPOINT_JOURNAL must be there. With --pid or --cgroup it has to end with exit status 0.
    #[arg(long, value_name = "CMD")]
    pub check: Option<String>,
    /// A shell command that drives the program.
    #[arg(long, value_name = "CMD")]
    pub driver: Option<String>,
    /// What makes it ready, as with `supervise`.
    #[arg(long, value_name = "PROBE", value_parser = probe)]
    pub ready: Option<Probe>,
    /// Where everything random comes from.
    #[arg(long, default_value = "cc8-v1:42")]
    pub seed: Seed,
    /// How many runs are kept; the oldest are removed.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub keep: usize,
    /// Where the folder of the run is made.
    #[arg(long, value_name = "DIR", default_value = ".killpoint")]
    pub out: PathBuf,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// The program and its arguments.
    #[arg(last = true, required_unless_present_any = ["pid", "cgroup", "unit", "container"], value_name = "CMD")]
    pub command: Vec<String>,
}

fn fault(text: &str) -> Result<Fault, String> {
    let with = |word: &str| text.strip_prefix(word).filter(|rest| !rest.is_empty());
    if text == "kill" {
        Ok(Fault::Kill)
    } else if text == "terminate" {
        Ok(Fault::Terminate)
    } else if let Some(span) = with("suspend:") {
        span.parse().map(Fault::Suspend).map_err(|error| format!("{error}"))
    } else if let Some(name) = with("signal:") {
        name.parse().map(Fault::Signal).map_err(|error| format!("{error}"))
    } else {
        Err("write kill, terminate, signal:NAME or suspend:SPAN".to_owned())
    }
}
