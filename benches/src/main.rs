//! Benchmarks: `cargo run --release -p benches -- [a|b|c|d|e|f|all]... [--quick]`.
//!
//! One Markdown table, everything measured side by side in one run. Absolute figures belong to the
//! machine and its load; the ratios are what counts. `docs/benchmarks.md` says what each row means.

mod campaign;
mod growth;
mod killer;
mod machine;
mod measure;
mod memory;
mod oracle;
mod processes;
mod programs;
mod recording;
mod table;
mod workload;

use anyhow::{Result, bail};
use programs::Programs;
use std::process::ExitCode;
use table::Table;

/// How thorough the measurements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Everything once, and the long ones smaller.
    Quick,
    /// Each several times, at full size.
    Full,
}

impl Effort {
    /// One of two sizes.
    pub fn choose<T>(self, quick: T, full: T) -> T {
        match self {
            Effort::Quick => quick,
            Effort::Full => full,
        }
    }
}

/// A measurement that adds its rows to the table.
type Benchmark = fn(&Programs, Effort, &mut Table) -> Result<()>;

const BENCHMARKS: &[(&str, Benchmark)] = &[
    ("a", campaign::run),
    ("b", recording::run),
    ("c", growth::run),
    ("d", oracle::run),
    ("e", memory::run),
    ("f", killer::run),
];

fn main() -> Result<ExitCode> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == workload::ARGUMENT) {
        workload::run(&arguments[1..])?;
        return Ok(ExitCode::SUCCESS);
    }
    let effort = match arguments.iter().position(|argument| argument == "--quick") {
        Some(position) => {
            arguments.remove(position);
            Effort::Quick
        }
        None => Effort::Full,
    };
    let is_known =
        |name: &String| name == "all" || BENCHMARKS.iter().any(|(known, _)| known == name);
    if let Some(unknown) = arguments.iter().find(|name| !is_known(name)) {
        bail!("`{unknown}`: name benchmarks a to f, or `all`; `--quick` takes less time");
    }
    let all = arguments.is_empty() || arguments.iter().any(|name| name == "all");
    let wanted = |name: &str| all || arguments.iter().any(|argument| argument == name);

    let programs = Programs::build()?;
    let mut table = Table::start(effort);
    let mut all_ran = true;
    for (name, benchmark) in BENCHMARKS.iter().filter(|(name, _)| wanted(name)) {
        if let Err(error) = benchmark(&programs, effort, &mut table) {
            all_ran = false;
            table.failed(name, &error);
        }
    }
    table.end();
    Ok(if all_ran { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
