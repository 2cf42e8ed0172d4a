//! (d) How many crash states the built-in oracle judges in a second of the clock and core, where the
//! state directory has 100 kB: planning, learning and judging, from the end of the stage `recorded` to
//! that of `judged`, times the cores that the run may use. What all of Killpoint's processes used of
//! the processors meanwhile stands beside it.

use crate::Effort;
use crate::measure::{median, run as run_command, succeed};
use crate::processes::Processes;
use crate::programs::{Programs, in_memory};
use crate::table::{Goal, Row, Table, seconds, short};
use crate::workload::command_line;
use anyhow::{Context, Result};
use killpoint_model::report::Report;
use std::fs;
use std::path::Path;
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
            let (report, used) = explore(programs, name, count * scale)?;
            let judged = report.seconds.iter().find(|(stage, _)| stage == "judged");
            let (_, judged) = judged.context("the run has judged nothing")?;
            let cores = report.setting.as_ref().map_or(1, |setting| setting.jobs);
            rates.push(report.states as f64 / (*judged * f64::from(cores)));
            about = format!(
                "{} states in {} on {cores} cores; by processor time ({}) {} a second",
                report.states,
                seconds(*judged),
                seconds(used),
                short(report.states as f64 / used)
            );
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

fn explore(programs: &Programs, workload: &str, count: u64) -> Result<(Report, f64)> {
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
    let runs = world.path().join("out/runs");
    let mut processes = Processes::of(&programs.killpoint_path());
    let (mut recorded, mut judged) = (None, None);
    command.current_dir(world.path());
    let ended = run_command(&mut command, RUN_LIMIT, |process| {
        processes.look(process);
        for (stage, seconds) in [("recorded", &mut recorded), ("judged", &mut judged)] {
            if seconds.is_none() && has_ended(&runs, stage) {
                *seconds = Some(processes.seconds());
            }
        }
    })?;
    ended.expect(&command, &[0, 1, 3])?;
    let used = judged.zip(recorded).map(|(judged, recorded)| judged - recorded);
    let used = used.context("the run was over before its stages were seen")?;
    Ok((serde_json::from_str(&ended.output)?, used))
}

/// Whether the log of the only run says that a stage is over.
fn has_ended(runs: &Path, stage: &str) -> bool {
    let run = fs::read_dir(runs).ok().and_then(|mut runs| runs.next()).and_then(Result::ok);
    let log = run.and_then(|run| fs::read_to_string(run.path().join("events.jsonl")).ok());
    log.is_some_and(|log| log.contains(&format!(r#""event":"stage","name":"{stage}""#)))
}
