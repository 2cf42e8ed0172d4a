//! (k) 1,000 kills in one run: the memory and the descriptors of Killpoint and of its supervisor early and
//! late, and what is left when it is over.

use crate::Effort;
use crate::experiments::scenario;
use crate::measure::run as run_command;
use crate::processes::{Held, held};
use crate::programs::{Programs, in_memory};
use crate::table::{Goal, Row, Table};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const RUN_LIMIT: Duration = Duration::from_secs(280);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// What may be resident more at the end than early, kB: a page here and there.
const GROWTH_KB_MAX: f64 = 1_024.0;
/// A restart that goes on when it is looked holds some more; a leak holds one more for each kill.
const DESCRIPTORS_MORE_MAX: usize = 16;
/// The sleep of our targets, which nobody else has.
const MARK: &str = "1000777";

/// What the machine has of what a run may leave behind.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    targets: usize,
    mounts: usize,
    control_groups: usize,
}

fn left() -> Left {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let targets = processes.filter(|entry| {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        words == format!("sleep\0{MARK}\0").as_bytes()
    });
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default().lines().count();
    Left {
        targets: targets.count(),
        mounts,
        control_groups: directories("/sys/fs/cgroup".as_ref()),
    }
}

/// Control groups that have a name of ours.
fn directories(root: &Path) -> usize {
    let mut open = vec![root.to_owned()];
    let mut found = 0;
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let is_ours = entry.file_name().to_string_lossy().contains("killpoint");
                found += usize::from(is_ours);
                open.push(entry.path());
            }
        }
    }
    found
}

/// Adds the rows.
///
/// # Errors
/// If the run does not end, or does not kill as often as it should.
pub fn run(programs: &Programs, effort: Effort, table: &mut Table) -> Result<()> {
    let kills: usize = effort.choose(200, 1_000);
    let directory = in_memory()?;
    let rule = json!({ "when": { "interval": "1ms..1ms" }, "duration": format!("{kills}ms"),
        "do": "kill" });
    let mut scenario = scenario(&rule);
    scenario["target"]["command"] = json!(["sleep", MARK]);
    let path = directory.path().join("scenario.json");
    fs::write(&path, scenario.to_string())?;
    let out = directory.path().join("out");
    let before = left();
    let mut command = programs.killpoint();
    command.arg("run").arg(&path).args(["--format", "json", "--out"]).arg(&out);
    command.current_dir(directory.path());
    let binary = programs.killpoint_path();
    // By the number of kills so far: what each of our processes holds.
    let mut samples: Vec<(usize, BTreeMap<u32, Held>)> = Vec::new();
    let mut last = Instant::now();
    let ended = run_command(&mut command, RUN_LIMIT, |process| {
        if last.elapsed() >= LOOK_INTERVAL {
            samples.push((kills_so_far(&out), held(process, &binary)));
            last = Instant::now();
        }
    })?;
    ended.expect(&command, &[0])?;
    let done = kills_so_far(&out);
    ensure!(done == kills, "{done} kills, not {kills}");
    let after = left();
    ensure!(before == after, "left behind: {after:?}, before: {before:?}");
    let early = samples.iter().find(|(kills_so_far, _)| *kills_so_far >= kills / 10);
    let early = early.context("nothing was seen")?;
    // While the trial still goes on: what the reports take when it is over is another matter.
    let is_whole = |held: &BTreeMap<u32, Held>| early.1.keys().all(|pid| held.contains_key(pid));
    let late = samples.iter().rev().find(|(_, held)| is_whole(held));
    let late = late.context("nothing was seen")?;
    // A supervisor is replaced with its trial; those that were there at both times are compared.
    for (pid, now) in &late.1 {
        let Some(then) = early.1.get(pid) else { continue };
        table.add(&Row {
            benchmark: "k",
            what: format!("{kills} kills in one run: {}", now.name),
            ours: format!(
                "{} kB and {} descriptors after {} kills, {} kB and {} after {}",
                then.resident_kb,
                then.descriptors,
                early.0,
                now.resident_kb,
                now.descriptors,
                late.0
            ),
            against: format!("{:.1} s in all; nothing left", ended.elapsed.as_secs_f64()),
            figure: now.resident_kb as f64 - then.resident_kb as f64,
            unit: " kB",
            goal: Goal::AtMost(GROWTH_KB_MAX),
        });
        let more = now.descriptors.saturating_sub(then.descriptors);
        ensure!(more <= DESCRIPTORS_MORE_MAX, "descriptors grow: {then:?}, {now:?}");
    }
    Ok(())
}

/// Strikes that the run's log tells of.
fn kills_so_far(out: &Path) -> usize {
    let runs = fs::read_dir(out.join("runs")).into_iter().flatten().flatten();
    let logs = runs.filter_map(|run| fs::read_to_string(run.path().join("events.jsonl")).ok());
    logs.map(|log| log.matches(r#""trial_event":"struck""#).count()).sum()
}
