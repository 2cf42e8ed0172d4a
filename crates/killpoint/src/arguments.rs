//! Flags. Help texts, completions and man pages come from these definitions.

mod explore;
mod hidden;
mod runs;
mod scenario;
mod several;
mod supervise;
mod tool;

pub use explore::{Acks, Explore, MechanismName, ScopeName};
pub use hidden::{DemoMode, DemoStore, Intercept, SaveWay, Within};
pub use runs::{Audit, Recover, Replay, Report, Resume, Upload, Verify};
pub use scenario::{Import, Plan, Roulette, Run, ScenarioFlags};
pub use several::{Compare, Triage};
pub use supervise::{RestartName, Supervise};
pub use tool::{Completions, Demo, Doctor, Dump, Man};

use clap::{Parser, Subcommand, ValueEnum};

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
