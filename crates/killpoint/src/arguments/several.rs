//! Flags of commands about several runs.

use super::Format;
use clap::Args;
use std::path::PathBuf;

/// Flags of `triage`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint triage 7f3a21 9b04e7
  killpoint triage .killpoint/runs/* --format json

Crashes of the target's processes are put together by their stacks where they are known, else by a template
of the line that they died with; findings by class, address and cause; other verdicts by a template of
their words. Exits 0, whatever is there.")]
pub struct Triage {
    /// Ids or folders of runs.
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<String>,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Where the folders of runs lie.
    #[arg(long, value_name = "DIR", default_value = ".killpoint")]
    pub out: PathBuf,
}

/// Flags of `compare`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint compare 7f3a21 9b04e7
  killpoint compare main-run this-run --format json

Exits 0 when nothing got worse, 1 when something did, 2 when the runs cannot be compared: of different kinds,
programs or scenarios, or interrupted.")]
pub struct Compare {
    /// The run that is compared with.
    #[arg(value_name = "BEFORE")]
    pub before: String,
    /// The run that is compared.
    #[arg(value_name = "AFTER")]
    pub after: String,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Where the folders of runs lie.
    #[arg(long, value_name = "DIR", default_value = ".killpoint")]
    pub out: PathBuf,
}
