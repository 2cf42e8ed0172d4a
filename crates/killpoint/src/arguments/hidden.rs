//! Flags of commands that Killpoint starts itself with.

use clap::{ArgAction, Args, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

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

/// Flags of `intercept`.
#[derive(Debug, Args)]
pub struct Intercept {
    /// The file that says what to follow.
    #[arg(long, value_name = "FILE")]
    pub setup: PathBuf,
}
