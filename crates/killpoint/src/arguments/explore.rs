//! Flags of `explore`.

use super::Format;
use clap::{Args, ValueEnum};
use killpoint_model::seed::Seed;
use killpoint_model::{CrashModel, Phase, Profile};
use std::ffi::OsString;
use std::path::PathBuf;

/// Flags of `explore`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint explore -- task 1 done
  killpoint explore --state data --check './check.sh' -- ./save.py
  killpoint explore --state data --check ./check.sh --model kill,power-loss --profile ext4 -- ./save.py
  killpoint explore --state data --check ./check.sh --driver ./drive.sh -- ./server data

Exit codes: 0 pass, 1 violated, 2 bad usage or input, 3 unknown, 4 vacuous, 5 aborted,
6 baseline failed, 70 internal error, 130 interrupted.")]
pub struct Explore {
    /// A directory that the command keeps its data in; may be given several times.
    #[arg(long, value_name = "DIR")]
    pub state: Vec<PathBuf>,
    /// An ack journal from before, to start from.
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// What a one-shot command is about to do, `key value`; exit status 0 acknowledges it.
    #[arg(long, value_name = "KEY VALUE")]
    pub intent: Vec<String>,
    /// What a plain acknowledgement promises to survive.
    #[arg(long, value_enum, default_value = "kill")]
    pub acks: Acks,
    /// A shell command that reopens the store and prints one JSON object, key to value.
    #[arg(long, value_name = "CMD", conflicts_with = "check_stream")]
    pub check: Option<String>,
    /// The same as a program that stays alive: it reads `{"state": DIR, "id": N}` lines and answers
    /// `{"id": N, "store": {...}}`.
    #[arg(long, value_name = "CMD")]
    pub check_stream: Option<String>,
    /// Crash models, comma-separated: kill, torn-write, prefix, size, data, file-lost, dir-lost,
    /// one-lost, torn-block; power-loss stands for all from prefix on.
    #[arg(long, value_name = "MODEL,...", default_value = "kill,torn-write", value_parser = CrashModel::parse_list)]
    pub model: ModelList,
    /// The file system whose promises the power-loss models keep: strict, ext4, xfs, btrfs.
    #[arg(long, default_value = "ext4")]
    pub profile: Profile,
    /// Only crash points in these parts of the target's life, comma-separated: first-start, start,
    /// work, idle, shutdown, recovery [default: all].
    #[arg(long, value_name = "PHASE,...", value_parser = Phase::parse_list)]
    pub phase: Option<PhaseList>,
    /// A shell command that drives a command that does not end by itself: it is started once the
    /// command is quiet, and once it has ended the command is asked to end (SIGTERM).
    #[arg(long, value_name = "CMD")]
    pub driver: Option<String>,
    /// The steps of the workload, one a line: the command reads them from the file `{steps}` in its
    /// arguments, which KILLPOINT_STEPS names, too.
    #[arg(long, value_name = "FILE")]
    pub steps: Option<PathBuf>,
    /// Find out which of the steps each finding needs.
    #[arg(long)]
    pub shrink: bool,
    /// How many times the undisturbed command is recorded (at least 2).
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub recordings: u32,
    /// How many judges work side by side [default: the number of processors].
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Where random choices come from.
    #[arg(long, default_value = "cc8-v1:42")]
    pub seed: Seed,
    /// Where the folder of the run is made.
    #[arg(long, value_name = "DIR", default_value = ".killpoint")]
    pub out: PathBuf,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Begin with empty state directories: the first start of the program.
    #[arg(long)]
    pub from_empty: bool,
    /// Time-out of one run of the command, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
    /// Time-out of one reading of the store by the checker, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub check_timeout: u64,
    /// An environment variable whose value finding files may keep.
    #[arg(long, value_name = "NAME")]
    pub env: Vec<String>,
    /// Findings in this file do not fail the run.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write the findings of this run as a baseline.
    #[arg(long, value_name = "FILE")]
    pub write_baseline: Option<PathBuf>,
    /// How many runs are kept; the oldest are removed.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub keep: usize,
    /// Live kills for each finding, at least 1.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub confirm: u32,
    /// How many points that held are killed live as well, drawn by the seed: a number, or `all`.
    #[arg(long, value_name = "N|all", default_value = "5", value_parser = number_or_all)]
    pub confirm_held: usize,
    /// By what means calls are intercepted: ptrace (the reference) or notify (for commands that make
    /// very many calls outside their state, or use ptrace themselves).
    #[arg(long, value_enum, default_value = "ptrace")]
    pub mechanism: MechanismName,
    /// Which processes a strike kills: the one that makes the call, it and its descendants, or all
    /// that was launched. What survives a narrower scope goes on, so those are judged by live kills.
    #[arg(long, value_enum, default_value = "all")]
    pub scope: ScopeName,
    /// Name the processes that a selector selects (cmdline:PATTERN, executable:PATH, comm:NAME): the
    /// name stands in addresses (write(log)#3@worker), and ordinals count within it. May be given
    /// several times; the same name twice asks for both.
    #[arg(long, value_name = "NAME=SELECTOR")]
    pub role: Vec<String>,
    /// Do not read each recovered store a second time.
    #[arg(long)]
    pub no_second_checks: bool,
    /// Also run the command again on each crash state: it must end as if undisturbed.
    #[arg(long)]
    pub idempotent: bool,
    /// Enumerate crashes inside the recovery that the checker performs, this many levels deep (0, 1).
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1))]
    pub recovery_depth: u32,
    /// Let the target move between processors while it is recorded.
    #[arg(long)]
    pub no_pin: bool,
    /// Do without namespaces, as in a hardened container: the state is a copy at another path.
    #[arg(long)]
    pub no_namespaces: bool,
    /// The command and its arguments; `{state}` stands for the first state directory.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Whether acknowledgements promise survival of a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Acks {
    /// `A` promises survival of a kill, `A!` of a power cut.
    Kill,
    /// Every `A` promises survival of a power cut.
    PowerLoss,
}

/// By what means calls are intercepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MechanismName {
    /// The target itself does every call.
    Ptrace,
    /// seccomp user notification.
    Notify,
}

/// Which processes a strike kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScopeName {
    /// The process that makes the call.
    Process,
    /// That process and its descendants.
    Tree,
    /// Everything that was launched.
    All,
}

/// So that clap takes the list for one value.
pub type ModelList = Vec<CrashModel>;
/// The same.
pub type PhaseList = Vec<Phase>;

/// A number, or `all`.
fn number_or_all(text: &str) -> Result<usize, String> {
    match text {
        "all" => Ok(usize::MAX),
        _ => text.parse().map_err(|_| "it is a number, or `all`".to_owned()),
    }
}
