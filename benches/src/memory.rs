//! (e) The peak memory of Killpoint and its workers. The operating system counts pages that a worker
//! shares with the process that it was forked from for both, so the sum is more than what is used.

use crate::Effort;
use crate::growth::stages;
use crate::measure::run as run_command;
use crate::programs::{Programs, in_memory};
use crate::table::{Goal, Row, Table, seconds, short};
use crate::workload::command_line;
use anyhow::Result;
use killpoint_model::report::Report;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const RUN_LIMIT: Duration = Duration::from_secs(900);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const MEGABYTES_MAX: f64 = 200.0;

/// Measures one long workload: recorded, planned, and every state of a kill judged.
///
/// # Errors
/// If something cannot be run.
pub fn run(programs: &Programs, effort: Effort, table: &mut Table) -> Result<()> {
    let operations: u64 = effort.choose(20_000, 100_000);
    let bytes = 50_000_000 / operations;
    let world = in_memory()?;
    let state = world.path().join("state");
    fs::create_dir(&state)?;
    let check = command_line("answer-sizes", 0)?.join(" ");
    let mut command = programs.killpoint();
    command.args(["explore", "--format", "json", "--recovery-depth", "0", "--timeout", "600"]);
    command.args(["--no-second-checks", "--model", "kill", "--check-stream", &check]);
    command.arg("--out").arg(world.path().join("out")).arg("--state").arg(&state);
    command.arg("--").arg(programs.guest("many-writes"));
    command.args([operations.to_string(), bytes.to_string()]).current_dir(world.path());
    let binary = programs.killpoint_path();
    let mut peaks = Peaks::default();
    let mut last = Instant::now();
    let ended = run_command(&mut command, RUN_LIMIT, |process| {
        if last.elapsed() >= LOOK_INTERVAL {
            peaks.look(process, &binary);
            last = Instant::now();
        }
    })?;
    ended.expect(&command, &[0, 1, 3])?;
    let report: Report = serde_json::from_str(&ended.output)?;
    for (what, figure, goal) in [
        ("largest process", peaks.largest(), Goal::AtMost(MEGABYTES_MAX)),
        ("all processes at one time", peaks.sum, Goal::AtMost(MEGABYTES_MAX)),
    ] {
        table.add(&Row {
            benchmark: "e",
            what: format!("{operations} operations over 50 MB: {what}"),
            ours: format!("{} ({})", seconds(ended.elapsed.as_secs_f64()), stages(&report)),
            against: format!("{} processes seen", peaks.of_process.len()),
            figure,
            unit: " MB",
            goal,
        });
    }
    println!("| e | by process | {} | | | | |", peaks.in_words());
    Ok(())
}

/// What was seen of Killpoint's processes.
#[derive(Debug, Default)]
struct Peaks {
    /// The greatest sum of what was resident and not shared with another at one time, in megabytes.
    sum: f64,
    /// The peak of each process.
    of_process: BTreeMap<u32, f64>,
}

impl Peaks {
    fn look(&mut self, first: u32, binary: &Path) {
        let mut open = vec![first];
        let mut sum = 0.0;
        while let Some(process) = open.pop() {
            open.extend(children(process));
            let directory = format!("/proc/{process}");
            // Targets and checkers are not ours.
            if fs::read_link(format!("{directory}/exe")).is_ok_and(|path| path == binary) {
                let peak = megabytes(&format!("{directory}/status"), "VmHWM:");
                let entry = self.of_process.entry(process).or_default();
                *entry = entry.max(peak);
                sum += megabytes(&format!("{directory}/smaps_rollup"), "Pss:");
            }
        }
        self.sum = self.sum.max(sum);
    }

    fn largest(&self) -> f64 {
        self.of_process.values().copied().fold(0.0, f64::max)
    }

    fn in_words(&self) -> String {
        let words: Vec<String> = self.of_process.values().map(|peak| short(*peak)).collect();
        format!("{} MB", words.join(", "))
    }
}

fn children(process: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    text.unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn megabytes(path: &str, key: &str) -> f64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    let kilobytes: f64 = line.trim_end_matches("kB").trim().parse().unwrap_or(0.0);
    kilobytes / 1_000.0
}
