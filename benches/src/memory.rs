//! (e) The peak memory of Killpoint and its workers: of the largest process by the kernel's own mark,
//! of all together by what was seen every 50 milliseconds.

use crate::Effort;
use crate::growth::stages;
use crate::measure::run as run_command;
use crate::processes::Processes;
use crate::programs::{Programs, in_memory};
use crate::table::{Goal, Row, Table, seconds};
use crate::workload::command_line;
use anyhow::Result;
use killpoint_model::report::Report;
use std::fs;
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
    let mut processes = Processes::of(&programs.killpoint_path());
    let mut last = Instant::now();
    let ended = run_command(&mut command, RUN_LIMIT, |process| {
        if last.elapsed() >= LOOK_INTERVAL {
            processes.look_at_memory(process);
            last = Instant::now();
        }
    })?;
    ended.expect(&command, &[0, 1, 3])?;
    let report: Report = serde_json::from_str(&ended.output)?;
    for (what, figure, goal) in [
        ("largest process", processes.largest(), Goal::AtMost(MEGABYTES_MAX)),
        ("all processes at one time", processes.together(), Goal::AtMost(MEGABYTES_MAX)),
    ] {
        table.add(&Row {
            benchmark: "e",
            what: format!("{operations} operations over 50 MB: {what}"),
            ours: format!("{} ({})", seconds(ended.elapsed.as_secs_f64()), stages(&report)),
            against: format!("{} processes seen", processes.count()),
            figure,
            unit: " MB",
            goal,
        });
    }
    Ok(())
}
