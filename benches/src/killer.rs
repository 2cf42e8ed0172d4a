//! (f) Time to the first finding, against the classic way: start the program, kill it at a random
//! time, look at what is left, and do it again, as fast as possible, until something is lost.

use crate::Effort;
use crate::measure::{median, succeed};
use crate::programs::{Programs, in_memory};
use crate::table::{Goal, Row, Table, seconds};
use anyhow::{Result, ensure};
use killpoint_model::report::Report;
use killpoint_model::seed::{Generator, Seed};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const RUN_LIMIT: Duration = Duration::from_secs(120);

/// Measures both on the guest whose window is 50 microseconds.
///
/// # Errors
/// If something cannot be run.
pub fn run(programs: &Programs, effort: Effort, table: &mut Table) -> Result<()> {
    let limit = Duration::from_secs(effort.choose(60, 180));
    let guest = programs.guest("window-50us");
    let (mut ratios, mut theirs, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    let mut unfinished = 0;
    let mut kills = 0;
    for seed in 1..=effort.choose(2, 7) {
        let hunt = hunt(&guest, seed, limit)?;
        let explored = explore(programs, &guest)?;
        unfinished += u32::from(!hunt.found);
        kills += hunt.kills;
        ratios.push(hunt.elapsed / explored);
        theirs.push(hunt.elapsed);
        ours.push(explored);
    }
    let bound = match unfinished {
        0 => String::new(),
        count => format!(", {count} seeds given up after {limit:?}"),
    };
    table.add(&Row {
        benchmark: "f",
        what: format!("a window of 50 microseconds, {} seeds", ratios.len()),
        ours: format!("{} to the end of the run", seconds(median(ours))),
        against: format!("{} and {kills} random kills in all{bound}", seconds(median(theirs))),
        figure: median(ratios),
        unit: " times",
        goal: Goal::None,
    });
    Ok(())
}

struct Hunt {
    elapsed: f64,
    kills: u64,
    found: bool,
}

/// Kills at random times until something is lost.
fn hunt(guest: &Path, seed: u64, limit: Duration) -> Result<Hunt> {
    let world = in_memory()?;
    let (state, journal) = (world.path().join("state"), world.path().join("journal"));
    let mut generator = Generator::new(Seed(seed));
    let mut command = Command::new(guest);
    command.env("KILLPOINT_STATE", &state).env("KILLPOINT_JOURNAL", &journal);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let prepare = || -> Result<()> {
        let _ = fs::remove_dir_all(&state);
        fs::create_dir(&state)?;
        Ok(fs::write(&journal, b"")?)
    };
    // One undisturbed run says how long to draw from; it counts, as it does for us.
    let since = Instant::now();
    prepare()?;
    ensure!(command.status()?.success(), "the undisturbed guest fails");
    let whole = u64::try_from(since.elapsed().as_micros())?.max(1);
    let mut kills = 0;
    let mut found = false;
    while !found && since.elapsed() < limit {
        prepare()?;
        let mut child = command.spawn()?;
        thread::sleep(Duration::from_micros(generator.below(whole)));
        child.kill()?;
        child.wait()?;
        kills += 1;
        found = !is_right(&state, &journal);
    }
    Ok(Hunt { elapsed: since.elapsed().as_secs_f64(), kills, found })
}

/// Whether the document is whole and holds the last acknowledged text, or the one intended since.
fn is_right(state: &Path, journal: &Path) -> bool {
    let lines = fs::read_to_string(journal).unwrap_or_default();
    let (mut acknowledged, mut intended) = (None, None);
    for line in lines.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        match line.strip_prefix("I note ") {
            Some(value) => intended = Some(value.replace("%20", " ")),
            None => acknowledged = intended.clone(),
        }
    }
    let held = match fs::read(state.join("notes.json")) {
        Err(_) => None,
        Ok(bytes) => match serde_json::from_slice::<serde_json::Value>(&bytes) {
            Ok(document) => document["note"].as_str().map(str::to_owned),
            Err(_) => return false,
        },
    };
    held == acknowledged || held == intended
}

/// Explores the guest to the end of the run, which is later than the first finding.
fn explore(programs: &Programs, guest: &Path) -> Result<f64> {
    let world = in_memory()?;
    let state = world.path().join("state");
    fs::create_dir(&state)?;
    let mut command = programs.killpoint();
    command.args(["explore", "--format", "json", "--model", "kill", "--recovery-depth", "0"]);
    command.arg("--out").arg(world.path().join("out")).arg("--state").arg(&state);
    command.arg("--check").arg(format!("exec '{}' check", guest.display()));
    let ended = succeed(command.arg("--").arg(guest).current_dir(world.path()), RUN_LIMIT, &[1])?;
    let report: Report = serde_json::from_str(&ended.output)?;
    ensure!(!report.findings.is_empty(), "the wrong guest passes");
    Ok(ended.elapsed.as_secs_f64())
}
