//! (b) What recording costs over running natively, against what `strace -f --seccomp-bpf` costs.
//!
//! Ours is timed inside the recorder: from before the target is forked until its tree is gone and
//! the recording, every written byte in it, is closed; in memory, like the state. Theirs and the
//! native run are timed from before the fork to the end of the process, in the same file system.

use crate::measure::{median, succeed};
use crate::programs::{Programs, in_memory, is_installed};
use crate::table::{Goal, Row, Table, seconds};
use crate::workload::command_line;
use crate::{Effort, machine};
use anyhow::{Context, Result};
use std::process::Command;
use std::time::Duration;

const RUN_LIMIT: Duration = Duration::from_secs(300);

/// A mechanism, and which part of strace's cost it may have.
const MECHANISMS: &[(&str, f64)] = &[("ptrace", 1.0), ("notify", 0.5)];

/// Measures both workloads, pinned and not.
///
/// # Errors
/// If something cannot be run.
pub fn run(programs: &Programs, effort: Effort, table: &mut Table) -> Result<()> {
    if !is_installed("strace") || !is_installed("taskset") {
        table.skipped("b", "recording", &"strace or taskset is not installed");
        return Ok(());
    }
    let writes: u64 = effort.choose(50_000, 200_000);
    let guest = programs.guest("many-writes").to_string_lossy().into_owned();
    let workloads = [
        (format!("{writes} writes"), vec![guest, writes.to_string(), "512".to_owned()]),
        ("500 SQLite transactions".to_owned(), command_line("transactions", 500)?),
    ];
    for (what, command) in &workloads {
        for is_pinned in [true, false] {
            compare(programs, effort, table, (what, command), is_pinned)?;
        }
    }
    Ok(())
}

fn compare(
    programs: &Programs,
    effort: Effort,
    table: &mut Table,
    (what, line): (&str, &[String]),
    is_pinned: bool,
) -> Result<()> {
    let (mut native, mut strace) = (Vec::new(), Vec::new());
    let mut ours: Vec<Result<Vec<f64>, String>> = vec![Ok(Vec::new()); MECHANISMS.len()];
    for _ in 0..effort.choose(1, 5) {
        native.push(outside(&[], line, is_pinned)?);
        let log = ["strace", "-f", "--seccomp-bpf", "-o", "/dev/shm/killpoint-benches-strace"];
        strace.push(outside(&log, line, is_pinned)?);
        for ((mechanism, _), figures) in MECHANISMS.iter().zip(&mut ours) {
            if let Ok(found) = figures {
                match recorded(programs, mechanism, line, is_pinned) {
                    Ok(figure) => found.push(figure),
                    Err(error) => *figures = Err(format!("{error:#}")),
                }
            }
        }
    }
    let _ = std::fs::remove_file("/dev/shm/killpoint-benches-strace");
    let (native, strace) = (median(native), median(strace));
    for ((mechanism, part), figures) in MECHANISMS.iter().zip(ours) {
        let pinned = if is_pinned { "pinned" } else { "not pinned" };
        let what = format!("{what}, {mechanism}, {pinned}");
        let figures = match figures {
            Ok(figures) => figures,
            Err(why) if *mechanism == "ptrace" => anyhow::bail!(why),
            Err(_) => {
                table.skipped("b", &what, &"this build has no such mechanism");
                continue;
            }
        };
        let ours = median(figures);
        table.add(&Row {
            benchmark: "b",
            what,
            ours: format!("{} over native", seconds(ours - native)),
            against: format!(
                "{} over native ({}) with strace",
                seconds(strace - native),
                seconds(native)
            ),
            figure: (ours - native) / (strace - native),
            unit: " of strace",
            goal: Goal::AtMost(*part),
        });
    }
    Ok(())
}

/// Runs a workload natively, or under whatever stands before it.
fn outside(before: &[&str], line: &[String], is_pinned: bool) -> Result<f64> {
    let world = in_memory()?;
    let processor = (machine::cores() - 1).to_string();
    let mut words: Vec<&str> = Vec::new();
    if is_pinned {
        words.extend(["taskset", "-c", &processor]);
    }
    words.extend(before);
    words.extend(line.iter().map(String::as_str));
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("KILLPOINT_STATE", world.path()).env_remove("KILLPOINT_JOURNAL");
    Ok(succeed(&mut command, RUN_LIMIT, &[0])?.elapsed.as_secs_f64())
}

/// Records a workload; the time that the recorder took.
fn recorded(programs: &Programs, mechanism: &str, line: &[String], is_pinned: bool) -> Result<f64> {
    let mut command = Command::new(programs.recorder());
    command.args(["--mechanism", mechanism]);
    if !is_pinned {
        command.arg("--no-pin");
    }
    let ended = succeed(command.arg("--").args(line), RUN_LIMIT, &[0])?;
    let text = ended.output.split(" s,").next().context("the recorder prints its time first")?;
    text.trim().parse().with_context(|| ended.output.clone())
}
