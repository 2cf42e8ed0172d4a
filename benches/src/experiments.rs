//! (j) What a kill experiment costs beyond what it kills, side by side with the Chaos Toolkit of PyPI.
//!
//! The same experiment file is carried out by both: its target runs before and is started again by
//! nobody, so that no start and no back-off of a target is in either figure. Then a scenario, whose
//! trials start, strike, restart and stop their target: what one trial more costs, less the two starts of
//! the bare target; the back-off is 0.

use crate::Effort;
use crate::measure::{median, succeed};
use crate::programs::{Programs, in_memory};
use crate::table::{Goal, Row, Table, short};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TOOLKIT: &str = "chaostoolkit==1.19.*";
const INSTALL_LIMIT: Duration = Duration::from_secs(300);
const RUN_LIMIT: Duration = Duration::from_secs(120);
/// The Chaos Toolkit's cost over ours, at least.
const GOAL: f64 = 50.0;

/// A process that is killed by an experiment.
struct Target(Child);

impl Target {
    fn start() -> Result<Self> {
        let mut sleep = Command::new("sleep");
        Ok(Target(sleep.arg("1000").stdin(Stdio::null()).spawn().context("cannot start sleep")?))
    }

    /// Fails unless it was killed by the experiment.
    fn expect_killed(&mut self) -> Result<()> {
        let ended = self.0.try_wait()?;
        ensure!(ended.is_some_and(|status| !status.success()), "the target was not killed");
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Adds the rows.
///
/// # Errors
/// If either side cannot be had, or does not do what it should.
pub fn run(programs: &Programs, effort: Effort, table: &mut Table) -> Result<()> {
    let rounds = effort.choose(3, 9);
    let directory = in_memory()?;
    let chaos = install(&programs.repository)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let path = directory.path().join(round.to_string());
        fs::create_dir(&path)?;
        let mut command = Command::new(&chaos);
        command.args(["--no-version-check", "--no-log-file", "run", "experiment.json"]);
        theirs.push(one_kill(&mut command, &path)?);
        let mut command = programs.killpoint();
        command.args(["run", "experiment.json", "--out", "out"]);
        ours.push(one_kill(&mut command, &path)?);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    add(table, "one experiment of one kill, the whole run of the tool", ours, theirs);
    let trial = one_trial_more(programs, directory.path(), effort)?;
    add(table, "one trial more of a scenario (start, kill, restart, stop, verdict)", trial, theirs);
    let kill = one_kill_more(programs, directory.path(), effort)?;
    add(table, "one kill more in a trial (kill, restart, readiness)", kill, theirs);
    Ok(())
}

fn add(table: &mut Table, what: &str, ours: f64, theirs: f64) {
    table.add(&Row {
        benchmark: "j",
        what: what.to_owned(),
        ours: format!("{} ms", short(ours * 1_000.0)),
        against: format!("Chaos Toolkit 1.19: {} ms", short(theirs * 1_000.0)),
        figure: theirs / ours,
        unit: " times",
        goal: Goal::AtLeast(GOAL),
    });
}

/// The Chaos Toolkit, in a virtual environment below the target directory.
fn install(repository: &Path) -> Result<PathBuf> {
    let venv = repository.join("target/chaos-toolkit");
    let chaos = venv.join("bin/chaos");
    if !chaos.exists() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(&venv);
        succeed(&mut make, INSTALL_LIMIT, &[0])?;
        let mut install = Command::new(venv.join("bin/pip"));
        install.args(["install", "--quiet", "--disable-pip-version-check", TOOLKIT]);
        succeed(&mut install, INSTALL_LIMIT, &[0])?;
    }
    Ok(chaos)
}

/// Seconds of one run that kills a process which is there already.
fn one_kill(command: &mut Command, directory: &Path) -> Result<f64> {
    let mut target = Target::start()?;
    let provider = json!({ "type": "process", "path": "kill",
        "arguments": ["-KILL", target.0.id().to_string()] });
    let probe = json!({ "type": "process", "path": "true" });
    let experiment = json!({
        "title": "One kill", "description": "The smallest experiment",
        "steady-state-hypothesis": { "title": "All is well", "probes": [
            { "type": "probe", "name": "well", "tolerance": 0, "provider": probe }] },
        "method": [{ "type": "action", "name": "kill", "provider": provider }],
    });
    fs::write(directory.join("experiment.json"), experiment.to_string())?;
    let ended = succeed(command.current_dir(directory), RUN_LIMIT, &[0])?;
    target.expect_killed()?;
    Ok(ended.elapsed.as_secs_f64())
}

/// A scenario of a target that sleeps, with this rule.
pub fn scenario(rule: &Value) -> Value {
    json!({
        "version": 1,
        "target": { "command": ["sleep", "1000"],
            "supervisor": { "restart": "always", "backoff": "0ms",
                "start-limit": { "count": 0, "within": "1s" } } },
        "faults": [rule],
        "timeouts": { "trigger": "1ms", "trial": "1h" },
    })
}

fn run_scenario(programs: &Programs, directory: &Path, rule: &Value) -> Result<f64> {
    let path = directory.join("scenario.json");
    fs::write(&path, scenario(rule).to_string())?;
    let mut command = programs.killpoint();
    command.arg("run").arg(&path).arg("--out").arg(directory.join("out")).current_dir(directory);
    Ok(succeed(&mut command, RUN_LIMIT, &[0])?.elapsed.as_secs_f64())
}

/// From fork to the death of a target that is killed at once: what a start costs without anybody.
fn bare_start() -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..50 {
        let since = Instant::now();
        let mut target = Target::start()?;
        target.0.kill()?;
        target.0.wait()?;
        times.push(since.elapsed().as_secs_f64());
    }
    Ok(median(times))
}

/// Two runs that differ by so many; the seconds of one, less `starts` bare starts.
fn slope(few: f64, many: f64, more: usize, starts: f64) -> Result<f64> {
    Ok(((many - few) / more as f64 - starts * bare_start()?).max(1e-6))
}

fn one_trial_more(programs: &Programs, directory: &Path, effort: Effort) -> Result<f64> {
    let trials = effort.choose(20, 100);
    let rule = |trials: usize| json!({ "when": { "at": "0ms" }, "do": "kill", "trials": trials });
    let few = run_scenario(programs, directory, &rule(1))?;
    let many = run_scenario(programs, directory, &rule(1 + trials))?;
    slope(few, many, trials, 2.0)
}

fn one_kill_more(programs: &Programs, directory: &Path, effort: Effort) -> Result<f64> {
    let kills = effort.choose(50, 500);
    let rule = |kills: usize| {
        // Each wait is one millisecond, which is taken off again.
        let duration = format!("{kills}ms");
        json!({ "when": { "interval": "1ms..1ms" }, "duration": duration, "do": "kill" })
    };
    let few = run_scenario(programs, directory, &rule(1))?;
    let many = run_scenario(programs, directory, &rule(1 + kills))?;
    Ok((slope(few, many, kills, 1.0)? - 0.001).max(1e-6))
}
