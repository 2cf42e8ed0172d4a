//! (d) How many crash states a second and core the built-in oracle judges, where the state directory
//! has 100 kB: planning and learning included, recording apart.

use crate::measure::{median, succeed};
use crate::programs::{Programs, in_memory};
use crate::table::{Goal, Row, Table, seconds};
use crate::workload::command_line;
use crate::{Effort, machine};
use anyhow::{Context, Result};
use killpoint_model::report::Report;
use std::fs;
use std::time::Duration;

const RUN_LIMIT: Duration = Duration::from_secs(600);
const STATES_A_SECOND_MIN: f64 = 1_000.0;

/// Measures a JSON document and a database.
///
/// # Errors
/// If something cannot be run.
pub fn run(programs: &Programs, effort: Effort, table: &mut Table) -> Result<()> {
    let scale = effort.choose(1, 4);
    let workloads = [("a JSON document", "document", 150), ("a SQLite database", "rows", 40)];
    for (what, name, count) in workloads {
        let mut rates = Vec::new();
        let mut about = String::new();
        for _ in 0..effort.choose(1, 3) {
            let report = explore(programs, name, count * scale)?;
            let (_, judged) = report
                .seconds
                .iter()
                .find(|(stage, _)| stage == "judged")
                .context("the run has judged nothing")?;
            rates.push(report.states as f64 / judged / machine::cores() as f64);
            about = format!("{} states in {}", report.states, seconds(*judged));
        }
        table.add(&Row {
            benchmark: "d",
            what: format!("built-in oracle, {what} of 100 kB"),
            ours: about,
            against: "-".to_owned(),
            figure: median(rates),
            unit: " a second and core",
            goal: Goal::AtLeast(STATES_A_SECOND_MIN),
        });
    }
    Ok(())
}

fn explore(programs: &Programs, workload: &str, count: u64) -> Result<Report> {
    let world = in_memory()?;
    let state = world.path().join("state");
    fs::create_dir(&state)?;
    let line = command_line(workload, count)?;
    let mut setup = std::process::Command::new(&line[0]);
    setup.args(&command_line(workload, 1)?[1..]).env("KILLPOINT_STATE", &state);
    succeed(&mut setup, RUN_LIMIT, &[0])?;
    let mut command = programs.killpoint();
    command.args(["explore", "--format", "json", "--recovery-depth", "0"]);
    command.args(["--model", "kill,torn-write,prefix,data", "--profile", "strict"]);
    command.arg("--out").arg(world.path().join("out")).arg("--state").arg(&state);
    command.arg("--").args(&line);
    let ended = succeed(command.current_dir(world.path()), RUN_LIMIT, &[0, 1, 3])?;
    Ok(serde_json::from_str(&ended.output)?)
}
