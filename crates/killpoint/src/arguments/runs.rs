//! Flags of commands about one run: again, go on, undo, check, show.

use super::Format;
use clap::{Args, Subcommand};
use std::path::PathBuf;

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
    /// Verify the chain of a run's event log, and its seal.
    Verify(Verify),
}

/// Flags of `audit verify`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  killpoint audit verify 7f3a

Prints the number of records and the hash they are sealed with, or the line of the first that was
changed, left out or added. Exits 0 when the chain is whole, has its end and fits seal.json beside
it, 1 when it is broken, does not fit the seal, or has its end and no seal, 3 when it is whole and
has no end: the run was interrupted, still goes on, or the log was cut off.

This finds accidents and edits of the log, not forgery: who can write the folder can write the
seal, too. Keep the hash elsewhere and compare it where that matters.")]
pub struct Verify {
    /// The run's id or folder.
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Where the folders of runs lie.
    #[arg(long, value_name = "DIR", default_value = ".killpoint")]
    pub out: PathBuf,
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
