//! Flags of `supervise`.

use clap::{Args, ValueEnum};
use killpoint_model::seed::Seed;
use killpoint_model::span::Span;
use killpoint_model::supervision::Probe;
use std::path::PathBuf;

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

pub(super) fn probe(text: &str) -> Result<Probe, String> {
    let rest = |word: &str| text.strip_prefix(word).filter(|rest| !rest.is_empty());
    if text == "notify" {
        Ok(Probe::Notify)
    } else if let Some(path) = rest("file:") {
        Ok(Probe::File(path.to_owned()))
    } else if let Some(address) = rest("socket:") {
        address.parse().map(Probe::Socket).map_err(|error| format!("{error}"))
    } else if rest("http://").is_some() {
        text.parse().map(Probe::Http).map_err(|error| format!("{error}"))
    } else if let Some(pattern) = rest("line:") {
        pattern.parse().map(Probe::LogLine).map_err(|error| format!("{error}"))
    } else {
        Err("write notify, file:PATH, socket:ADDRESS, http://ADDRESS or line:PATTERN".to_owned())
    }
}
