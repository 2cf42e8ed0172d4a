//! Flags. Help texts, completions and man pages come from these definitions.

mod several;

pub use several::{Compare, Triage};

use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};
use killpoint_model::fault::Fault;
use killpoint_model::scenario::Tier;
use killpoint_model::seed::Seed;
use killpoint_model::span::Span;
use killpoint_model::supervision::Probe;
use killpoint_model::trigger::Range;
use killpoint_model::{CrashModel, Phase, Profile};
use std::ffi::OsString;
use std::path::PathBuf;

/// Kills a program at every point where a crash can hurt it, starts it again, and proves whether the
/// data it promised to keep is still there.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Judge every crash point of a command.
    Explore(Box<Explore>),
    /// Show one finding of a run again.
    Replay(Replay),
    /// Draw the report of a run again.
    Report(Report),
    /// Start processes, watch them, start them again and stop them.
    Supervise(Box<Supervise>),
    /// Carry out a scenario, or a plan of one.
    Run(Run),
    /// Kill processes of a program at drawn moments, and see whether it comes back.
    Roulette(Box<Roulette>),
    /// Print what a scenario would do, and the digest of its plan. Nothing is struck; where crash points
    /// are asked for, the target runs twice on copies, to be recorded.
    Plan(Plan),
    /// Print an experiment of the Chaos Toolkit as a scenario.
    Import(Import),
    /// Print the JSON Schema of scenario files, for editors.
    Schema,
    /// Put together what went wrong in several runs, with counts and examples.
    Triage(Triage),
    /// Say what got better and worse from one run to another.
    Compare(Compare),
    /// Go on with a run that was interrupted.
    Resume(Resume),
    /// Undo what an interrupted run left behind.
    Recover(Recover),
    /// Verify the record of a run.
    #[command(subcommand)]
    Audit(Audit),
    /// Explore a built-in example, with a wrong and a right store.
    Demo(Demo),
    /// Write, watch for or read minidumps.
    Dump(Dump),
    /// Send the crashes of a run to a receiver that speaks the protocol of Sentry.
    Upload(Upload),
    /// Try out what this machine offers.
    Doctor(Doctor),
    /// Print completions for a shell.
    Completions(Completions),
    /// Print the manual page, or write one for each command.
    Man(Man),
    /// The example that `demo` explores.
    #[command(hide = true)]
    DemoStore(DemoStore),
    /// Executes a program that sees copies of directories at their own paths.
    #[command(hide = true)]
    Within(Within),
    /// Follow the calls of a supervised target: started by `run`.
    #[command(hide = true)]
    Intercept(Intercept),
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// `report.json`.
    Json,
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
    /// Live kills for each finding.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub confirm: u32,
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

/// Flags of `replay`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  killpoint replay 7f3a/1 --times 20

A trial of a scenario is struck where it was struck: at the recorded number of acknowledgements,
checkpoint and lifecycle event, not only at the time. It is a run of its own, from the state that
the first run began with; a hit has the same verdict.

Exits 0 when every try showed the finding or the trial's verdict again, 1 when none or only some
did.")]
pub struct Replay {
    /// The finding, or the trial of a scenario: the run's id or folder, a slash, the number.
    #[arg(value_name = "RUN/N")]
    pub finding: String,
    /// How often.
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub times: u32,
    /// Where the folders of runs lie.
    #[arg(long, value_name = "DIR", default_value = ".killpoint")]
    pub out: PathBuf,
}

/// Flags of `resume`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  killpoint resume 7f3a

Recordings, judged states, live kills and trials that stand in the run's log are not done again. The
run keeps the options it was begun with; values of environment variables come from here, but for those
that --env named then. Exits as `killpoint explore` does.")]
pub struct Resume {
    /// The run's id or folder.
    #[arg(value_name = "RUN")]
    pub run: String,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Where the folders of runs lie.
    #[arg(long, value_name = "DIR", default_value = ".killpoint")]
    pub out: PathBuf,
}

/// Flags of `recover`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint recover          every interrupted run in .killpoint
  killpoint recover 7f3a

Undoes what stands in the run's undo log, and nothing else; a process is only ended if it is still
the one that the run started. Doing it twice does nothing more. Exits 0 when nothing is left to
undo, 3 when something could not be undone, 2 when the run is still going on.")]
pub struct Recover {
    /// The run's id or folder; without it every interrupted run.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Where the folders of runs lie.
    #[arg(long, value_name = "DIR", default_value = ".killpoint")]
    pub out: PathBuf,
}

/// What is verified.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Verify the chain of a run's event log.
    Verify(Verify),
}

/// Flags of `audit verify`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  killpoint audit verify 7f3a

Prints the number of records, or the line of the first that was changed, left out or added. Exits
0 when the chain is whole and has its end, 1 when it is broken, 3 when it is whole and has no end:
the run was interrupted, still goes on, or the log was cut off.")]
pub struct Verify {
    /// The run's id or folder.
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Where the folders of runs lie.
    #[arg(long, value_name = "DIR", default_value = ".killpoint")]
    pub out: PathBuf,
}

/// Flags of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  killpoint demo

Needs nothing else on the machine. Exits 0 when the wrong store is found out and the right one
passes, 70 otherwise.")]
pub struct Demo {
    /// Where the folders of its runs are made.
    #[arg(long, value_name = "DIR", default_value = ".killpoint")]
    pub out: PathBuf,
}

/// Write, watch for or read minidumps.
///
///   killpoint dump --pid 4711 --to now.dmp        a dump of a process that runs on; prints its stack
///   killpoint dump --watch 4711 --to dumps/       a dump whenever it or a child of it crashes, as JSON lines
///   killpoint dump --read dumps/4711-1.dmp        the stack in a dump; frames of the application have a star
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(group(ArgGroup::new("dumped").required(true).args(["pid", "watch", "read"])))]
pub struct Dump {
    /// Dump this process now.
    #[arg(long, value_name = "N", requires = "to")]
    pub pid: Option<i32>,
    /// Dump this process, or any that it begets, when it crashes (SIGSEGV, SIGABRT and their kin).
    #[arg(long, value_name = "N", requires = "to")]
    pub watch: Option<i32>,
    /// Print the stack of the thread that crashed.
    #[arg(long, value_name = "FILE")]
    pub read: Option<PathBuf>,
    /// The file of the dump, or the directory of the dumps of `--watch`.
    #[arg(long, value_name = "PATH")]
    pub to: Option<PathBuf>,
}

/// Flags of `upload`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint upload 7f3a12 --dsn https://KEY@sentry.example/5
  killpoint upload 7f3a12 --dry-run

Nothing is ever uploaded but by this command. What looks like a secret is taken out of texts; a dump holds
the memory of the process as it was: --without-dumps leaves it here.")]
pub struct Upload {
    /// The run's id or folder.
    #[arg(value_name = "RUN")]
    pub run: String,
    /// The receiver's project [default: the variable SENTRY_DSN].
    #[arg(long, value_name = "URL")]
    pub dsn: Option<String>,
    /// Only the crash of this id; may be given several times.
    #[arg(long, value_name = "ID")]
    pub crash: Vec<String>,
    /// Leave the dumps here.
    #[arg(long)]
    pub without_dumps: bool,
    /// Say what would be uploaded.
    #[arg(long)]
    pub dry_run: bool,
    /// Where the folders of runs lie.
    #[arg(long, value_name = "DIR", default_value = ".killpoint")]
    pub out: PathBuf,
}

/// Flags of `demo-store`.
#[derive(Debug, Args)]
pub struct DemoStore {
    /// How it saves.
    #[arg(value_enum)]
    pub way: SaveWay,
    /// What it does.
    #[arg(value_enum)]
    pub mode: DemoMode,
    /// Where it keeps its file.
    pub directory: PathBuf,
}

/// A program, and what it sees where.
#[derive(Args, Debug)]
pub struct Within {
    /// A copy, and the directory over which it is mounted.
    #[arg(long, num_args = 2, value_names = ["COPY", "OWN"], action = ArgAction::Append)]
    pub show: Vec<PathBuf>,
    /// The program.
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// How the example saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SaveWay {
    /// Empties its file and writes it again.
    Wrong,
    /// Writes another file and renames it over the first.
    Right,
}

impl SaveWay {
    /// As it stands on the command line.
    pub fn name(self) -> &'static str {
        match self {
            SaveWay::Wrong => "wrong",
            SaveWay::Right => "right",
        }
    }
}

/// What the example does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoMode {
    /// Takes notes.
    Work,
    /// Prints the notes that are there.
    Check,
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint doctor
  killpoint doctor --format json

Everything is tried in a child process that is thrown away; nothing is concluded from version
numbers. Exits 0 when `killpoint explore` can run (perhaps with weaker containment, which is
said), 3 otherwise.")]
pub struct Doctor {
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// Flags of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint completions bash > ~/.local/share/bash-completion/completions/killpoint
  killpoint completions zsh > ~/.zfunc/_killpoint")]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Flags of `man`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint man | man -l -
  killpoint man ~/.local/share/man/man1")]
pub struct Man {
    /// Where a page for each command is written; without it the main page is printed.
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// Flags of `report`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  killpoint report 7f3a --format json")]
pub struct Report {
    /// The run's id or folder.
    #[arg(value_name = "RUN")]
    pub run: String,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Where the folders of runs lie.
    #[arg(long, value_name = "DIR", default_value = ".killpoint")]
    pub out: PathBuf,
}

/// Flags of `supervise`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint supervise -- ./server --port 8080
  killpoint supervise --ready notify --watchdog 5s --checkpoint state.bin --events life.jsonl -- ./app
  killpoint supervise --config processes.toml --output logs --control control.sock

Lifecycle events are printed as JSON lines; what the processes print goes to standard error and,
with --output, to files. SIGTERM, SIGINT and SIGQUIT stop everything, a second one at once; SIGHUP,
SIGUSR1, SIGUSR2 and SIGWINCH are passed on. Exits 0 when every process ended as it should, 1 when
one was given up or had to be killed, 2 for bad usage, 70 when the supervisor itself was killed.")]
pub struct Supervise {
    /// A file that describes the processes: TOML if its name ends so, else JSON.
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub config: Option<PathBuf>,
    /// The name of the process in events.
    #[arg(long, default_value = "main")]
    pub name: String,
    /// When it is started again.
    #[arg(long, value_enum, default_value = "always")]
    pub restart: RestartName,
    /// The wait before the first restart; each further one is twice as long, up to ten seconds.
    #[arg(long, value_name = "SPAN", default_value = "100ms")]
    pub backoff: Span,
    /// Most starts within a time, as 5/10s; 0/1s for no limit.
    #[arg(long, value_name = "COUNT/SPAN", default_value = "5/10s", value_parser = start_limit)]
    pub start_limit: (u32, Span),
    /// What is started in its place when the start limit is reached, for a shell.
    #[arg(long, value_name = "CMD")]
    pub fallback: Option<String>,
    /// What makes it ready: notify, file:PATH, socket:ADDRESS, http://ADDRESS or line:PATTERN.
    #[arg(long, value_name = "PROBE", value_parser = probe)]
    pub ready: Option<Probe>,
    /// It must be ready by then.
    #[arg(long, value_name = "SPAN", default_value = "30s")]
    pub ready_timeout: Span,
    /// The longest time without a heartbeat.
    #[arg(long, value_name = "SPAN")]
    pub watchdog: Option<Span>,
    /// What counts as a heartbeat, as with --ready.
    #[arg(long, value_name = "PROBE", default_value = "notify", value_parser = probe)]
    pub heartbeat: Probe,
    /// How long each step of a stop waits before the next.
    #[arg(long, value_name = "SPAN", default_value = "10s")]
    pub grace: Span,
    /// The program's own way to stop, for a shell; tried before SIGTERM.
    #[arg(long, value_name = "CMD")]
    pub stop_command: Option<String>,
    /// Run to its end before each restart, for a shell.
    #[arg(long, value_name = "CMD")]
    pub on_restart: Option<String>,
    /// The file with the program's last good state: handed back in KILLPOINT_CHECKPOINT.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<String>,
    /// An argument that is added where a checkpoint is handed back; {checkpoint} stands for its path.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true, requires = "checkpoint")]
    pub checkpoint_argument: Vec<String>,
    /// Most processes at a time.
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub processes_max: u32,
    /// Where the jitter of the waits comes from.
    #[arg(long, default_value = "cc8-v1:42")]
    pub seed: Seed,
    /// A file that lifecycle events are appended to, besides being printed.
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// A directory for the output of the processes: NAME.LIFE.stdout and NAME.LIFE.stderr.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Do not pass output on to standard error.
    #[arg(long)]
    pub quiet: bool,
    /// A Unix socket to make, for requests.
    #[arg(long, value_name = "FILE")]
    pub control: Option<PathBuf>,
    /// Take requests from standard input, too; its end stops everything.
    #[arg(long)]
    pub control_stdin: bool,
    /// A directory: as long as it holds a file of its name, a process is not started again.
    #[arg(long, value_name = "DIR")]
    pub keep_down: Option<PathBuf>,
    /// The folder of a run: its undo log names the processes, for `killpoint recover`.
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Most bytes of a core that each process may leave (RLIMIT_CORE); as inherited, if none is given.
    #[arg(long, value_name = "BYTES")]
    pub core_bytes_max: Option<u64>,
    /// Start nothing before this process is traced: `killpoint dump --watch` then follows all of it.
    #[arg(long, hide = true)]
    pub await_tracer: bool,
    /// The program and its arguments.
    #[arg(last = true, required_unless_present = "config", value_name = "CMD")]
    pub command: Vec<String>,
}

/// When a process is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RestartName {
    /// However it ended.
    Always,
    /// Unless it ended cleanly.
    OnFailure,
    /// Never.
    Never,
}

fn start_limit(text: &str) -> Result<(u32, Span), String> {
    let wrong = || format!("`{text}` is no start limit: write COUNT/SPAN, as in 5/10s");
    let (count, within) = text.split_once('/').ok_or_else(wrong)?;
    Ok((count.parse().map_err(|_| wrong())?, within.parse().map_err(|_| wrong())?))
}

fn probe(text: &str) -> Result<Probe, String> {
    let rest = |word: &str| text.strip_prefix(word).filter(|rest| !rest.is_empty());
    if text == "notify" {
        Ok(Probe::Notify)
    } else if let Some(path) = rest("file:") {
        Ok(Probe::File(path.to_owned()))
    } else if let Some(address) = rest("socket:") {
        Ok(Probe::Socket(address.to_owned()))
    } else if rest("http://").is_some() {
        Ok(Probe::Http(text.to_owned()))
    } else if let Some(pattern) = rest("line:") {
        pattern.parse().map(Probe::LogLine).map_err(|error| format!("{error}"))
    } else {
        Err("write notify, file:PATH, socket:ADDRESS, http://ADDRESS or line:PATTERN".to_owned())
    }
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

/// Flags of `intercept`.
#[derive(Debug, Args)]
pub struct Intercept {
    /// The file that says what to follow.
    #[arg(long, value_name = "FILE")]
    pub setup: PathBuf,
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
    /// For how long.
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
    /// With --pid or --cgroup: a file of root's that marks the machine, in place of
    /// /etc/killpoint/environment; production stays production.
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
