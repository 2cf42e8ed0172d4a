//! Benchmarks: `cargo run --release -p benches -- [a|b|c|d|e|f|g|h|i|j|k|all]... [--quick]`.
//!
//! `--case NAME` (repeatable) measures only these cases in `a`.
//!
//! One Markdown table, everything measured side by side in one run. Absolute figures belong to the
//! machine and its load; the ratios are what counts. `docs/benchmarks.md` says what each row means.

mod campaign;
mod experiments;
mod growth;
mod killer;
mod machine;
mod measure;
mod memory;
mod oracle;
mod processes;
mod programs;
mod recording;
mod restart;
mod selection;
mod soak;
mod strikes;
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
#[derive(Clone, Copy)]
enum Benchmark {
    /// Of the binaries, which are built for it.
    Binaries(fn(&Programs, Effort, &mut Table) -> Result<()>),
    /// Of the library, in this process.
    Library(fn(Effort, &mut Table) -> Result<()>),
}

const BENCHMARKS: &[(&str, Benchmark)] = &[
    ("a", Benchmark::Binaries(campaign::run)),
    ("b", Benchmark::Binaries(recording::run)),
    ("c", Benchmark::Binaries(growth::run)),
    ("d", Benchmark::Binaries(oracle::run)),
    ("e", Benchmark::Binaries(memory::run)),
    ("f", Benchmark::Binaries(killer::run)),
    ("g", Benchmark::Library(selection::run)),
    ("h", Benchmark::Library(strikes::run)),
    ("i", Benchmark::Binaries(restart::run)),
    ("j", Benchmark::Binaries(experiments::run)),
    ("k", Benchmark::Binaries(soak::run)),
];

fn main() -> Result<ExitCode> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == workload::ARGUMENT) {
        workload::run(&arguments[1..])?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.first().is_some_and(|first| first == restart::ARGUMENT) {
        restart::beat(&arguments[1..])?;
        return Ok(ExitCode::SUCCESS);
    }
    let effort = match arguments.iter().position(|argument| argument == "--quick") {
        Some(position) => {
            arguments.remove(position);
            Effort::Quick
        }
        None => Effort::Full,
    };
    let mut cases = Vec::new();
    while let Some(position) = arguments.iter().position(|argument| argument == "--case") {
        if position + 1 == arguments.len() {
            bail!("--case: name a case, as in `--case rs-sled`");
        }
        cases.extend(arguments.drain(position..position + 2).nth(1));
    }
    let is_known =
        |name: &String| name == "all" || BENCHMARKS.iter().any(|(known, _)| known == name);
    if let Some(unknown) = arguments.iter().find(|name| !is_known(name)) {
        bail!("`{unknown}`: name benchmarks a to k, or `all`; `--quick` takes less time");
    }
    let all = arguments.is_empty() || arguments.iter().any(|name| name == "all");
    let wanted = |name: &str| all || arguments.iter().any(|argument| argument == name);

    let needs_binaries = BENCHMARKS
        .iter()
        .any(|(name, benchmark)| wanted(name) && matches!(benchmark, Benchmark::Binaries(_)));
    let programs = if needs_binaries { Some(Programs::build(cases)?) } else { None };
    let mut table = Table::start(effort);
    let mut all_ran = true;
    for (name, benchmark) in BENCHMARKS.iter().filter(|(name, _)| wanted(name)) {
        let measured = match (benchmark, &programs) {
            (Benchmark::Binaries(run), Some(programs)) => run(programs, effort, &mut table),
            (Benchmark::Binaries(_), None) => {
                unreachable!("binaries are built where one is wanted")
            }
            (Benchmark::Library(run), _) => run(effort, &mut table),
        };
        if let Err(error) = measured {
            all_ran = false;
            table.failed(name, &error);
        }
    }
    table.end();
    Ok(if all_ran { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
