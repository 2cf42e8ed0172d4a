//! (c) How the time of a whole campaign grows with the number of operations, on a store whose size
//! does not.

use crate::Effort;
use crate::measure::{median, succeed};
use crate::programs::{Programs, in_memory};
use crate::table::{Goal, Row, Table, seconds, short};
use anyhow::Result;
use killpoint_model::report::Report;
use std::fs;
use std::time::Duration;

const RUN_LIMIT: Duration = Duration::from_secs(900);
/// Ten times the operations may cost so many times the time.
const GROWTH_MAX: f64 = 12.0;

/// Measures 100, 1,000 and 10,000 operations.
///
/// # Errors
/// If something cannot be run.
pub fn run(programs: &Programs, effort: Effort, table: &mut Table) -> Result<()> {
    let counts: &[u64] = effort.choose(&[100, 1_000], &[100, 1_000, 10_000]);
    let mut before: Option<(u64, f64)> = None;
    for count in counts {
        let repetitions = if *count < 10_000 { effort.choose(1, 3) } else { 1 };
        let mut times = Vec::new();
        let mut about = String::new();
        for _ in 0..repetitions {
            let (elapsed, report) = explore(programs, *count)?;
            times.push(elapsed);
            about = stages(&report);
        }
        let time = median(times);
        let (figure, goal, unit) = match before {
            Some((_, earlier)) => (time / earlier, Goal::AtMost(GROWTH_MAX), " times"),
            None => (time * 1_000.0 / *count as f64, Goal::None, " ms an operation"),
        };
        table.add(&Row {
            benchmark: "c",
            what: format!("constant store, {count} operations"),
            ours: format!("{} ({about})", seconds(time)),
            against: match before {
                Some((count, earlier)) => format!("{} for {count}", seconds(earlier)),
                None => "-".to_owned(),
            },
            figure,
            unit,
            goal,
        });
        before = Some((*count, time));
    }
    Ok(())
}

fn explore(programs: &Programs, count: u64) -> Result<(f64, Report)> {
    let world = in_memory()?;
    let state = world.path().join("state");
    fs::create_dir(&state)?;
    let guest = programs.guest("constant-store");
    // The store gets its size before, so that all operations are alike.
    let mut fill = std::process::Command::new(&guest);
    fill.arg("0").env("KILLPOINT_STATE", &state).env_remove("KILLPOINT_JOURNAL");
    succeed(&mut fill, RUN_LIMIT, &[0])?;
    let mut command = programs.killpoint();
    command.args(["explore", "--format", "json", "--recovery-depth", "0", "--timeout", "600"]);
    command.args(["--no-second-checks", "--model", "kill,prefix,data", "--profile", "strict"]);
    command.arg("--out").arg(world.path().join("out")).arg("--state").arg(&state);
    command.arg("--check").arg(format!("exec '{}' check", guest.display()));
    command.arg("--").arg(&guest).arg(count.to_string());
    let ended = succeed(command.current_dir(world.path()), RUN_LIMIT, &[0, 1])?;
    Ok((ended.elapsed.as_secs_f64(), serde_json::from_str(&ended.output)?))
}

/// The stages of a run, in words.
pub fn stages(report: &Report) -> String {
    let mut text = format!("{} states", report.states);
    for (name, seconds) in &report.seconds {
        text.push_str(&format!(", {name} {} s", short(*seconds)));
    }
    text
}
