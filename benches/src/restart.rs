//! How long a supervisor takes from the death of a process to the first instruction of its successor,
//! side by side with a bare fork and exec, with supervisord, runsv (runit) and s6-supervise.
//!
//! The process writes the time into a file as the first thing that it does. It is killed when it has
//! lived longer than a second, so that nobody's rule against restless processes counts.

use crate::Effort;
use crate::programs::Programs;
use crate::table::{Goal, Row, Table};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The first argument that makes this program the process that is killed.
pub const ARGUMENT: &str = "restart-beat";
/// No supervisor delays the restart of a process that has lived this long.
const LIFE: Duration = Duration::from_millis(1_300);
/// How often the file is looked at; it is not what is measured.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// Longest wait for a restart.
const RESTART_LIMIT: Duration = Duration::from_secs(30);

/// Writes the time and its number, and sleeps for ever.
///
/// # Errors
/// If the file cannot be written.
pub fn beat(arguments: &[String]) -> Result<()> {
    let now = now();
    let path = arguments.first().context("a file is needed")?;
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{now} {}", std::process::id())?;
    loop {
        thread::sleep(LIFE);
    }
}

/// The machine's clock in nanoseconds, the same for all processes.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The beats so far: time and number.
fn beats(path: &Path) -> Vec<(u64, i32)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let one = |line: &str| {
        let (time, pid) = line.trim().split_once(' ')?;
        Some((time.parse().ok()?, pid.parse().ok()?))
    };
    whole.filter_map(one).collect()
}

fn wait_for_beat(path: &Path, count: usize) -> Result<(u64, i32)> {
    let since = Instant::now();
    while since.elapsed() < RESTART_LIMIT {
        if let Some(beat) = beats(path).get(count - 1) {
            return Ok(*beat);
        }
        thread::sleep(LOOK_INTERVAL);
    }
    bail!("no {count}th start within {RESTART_LIMIT:?}")
}

/// Latencies in milliseconds, ascending.
fn kill_again_and_again(path: &Path, kills: usize) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    for ordinal in 1..=kills {
        let (_, pid) = wait_for_beat(path, ordinal)?;
        thread::sleep(LIFE);
        let killed = now();
        kill_process(Pid::from_raw(pid).context("a number")?, Signal::KILL)?;
        let (started, _) = wait_for_beat(path, ordinal + 1)?;
        latencies.push(started.saturating_sub(killed) as f64 / 1e6);
    }
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

fn median(ascending: &[f64]) -> f64 {
    ascending[ascending.len() / 2]
}

/// A supervisor at work, ended with everything below it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.0.id().cast_signed());
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

fn supervised(command: &mut Command, path: &Path, kills: usize) -> Result<Vec<f64>> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().with_context(|| format!("cannot start {command:?}"))?);
    let latencies = kill_again_and_again(path, kills);
    // runsv and s6-supervise leave their process to whoever takes over.
    let last = beats(path).last().map(|(_, pid)| *pid);
    drop(running);
    if let Some(pid) = last.and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
    latencies
}

/// Without any supervisor: the death is waited for, then fork and exec.
fn bare(this: &Path, path: &Path, kills: usize) -> Result<Vec<f64>> {
    let start = || Command::new(this).arg(ARGUMENT).arg(path).spawn();
    let mut latencies = Vec::new();
    let mut child = start()?;
    for ordinal in 1..=kills {
        wait_for_beat(path, ordinal)?;
        let killed = now();
        child.kill()?;
        child.wait()?;
        child = start()?;
        let (started, _) = wait_for_beat(path, ordinal + 1)?;
        latencies.push(started.saturating_sub(killed) as f64 / 1e6);
    }
    child.kill()?;
    child.wait()?;
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

/// A service directory of runit or s6.
fn service(directory: &Path, this: &Path, path: &Path) -> Result<PathBuf> {
    let service = directory.join("service");
    fs::create_dir(&service)?;
    let run = service.join("run");
    fs::write(&run, format!("#!/bin/sh\nexec {} {ARGUMENT} {}\n", this.display(), path.display()))?;
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755))?;
    Ok(service)
}

/// The command of a supervisor for this program, beating into this file.
type Prepare = fn(&Programs, &Path, &Path, &Path) -> Result<Command>;

fn killpoint(programs: &Programs, _: &Path, this: &Path, path: &Path) -> Result<Command> {
    let mut command = programs.killpoint();
    command.args(["supervise", "--quiet", "--backoff", "0ms", "--start-limit", "0/1s", "--"]);
    command.arg(this).arg(ARGUMENT).arg(path);
    Ok(command)
}

fn supervisord(_: &Programs, directory: &Path, this: &Path, path: &Path) -> Result<Command> {
    let file = directory.join("supervisord.conf");
    let text = format!(
        "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={0}/pid\n\
         [program:beat]\ncommand={1} {ARGUMENT} {2}\nautorestart=true\nstartsecs=0\nstdout_logfile=NONE\n",
        directory.display(),
        this.display(),
        path.display()
    );
    fs::write(&file, text)?;
    let mut command = Command::new("supervisord");
    command.arg("-c").arg(file);
    Ok(command)
}

fn runsv(_: &Programs, directory: &Path, this: &Path, path: &Path) -> Result<Command> {
    let mut command = Command::new("runsv");
    command.arg(service(directory, this, path)?);
    Ok(command)
}

fn s6(_: &Programs, directory: &Path, this: &Path, path: &Path) -> Result<Command> {
    let mut command = Command::new("s6-supervise");
    command.arg(service(directory, this, path)?);
    Ok(command)
}

const OTHERS: &[(&str, &str, Prepare)] = &[
    ("supervisord", "supervisord (package supervisor)", supervisord),
    ("runsv", "runsv (package runit)", runsv),
    ("s6-supervise", "s6-supervise (package s6)", s6),
];

/// The benchmark.
///
/// # Errors
/// If Killpoint's own part fails; others that are not installed are said.
pub fn run(programs: &Programs, effort: Effort, table: &mut Table) -> Result<()> {
    let kills = effort.choose(5, 15);
    let this = std::env::current_exe()?;
    let measure = |prepare: Prepare| {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("beats");
        let mut command = prepare(programs, directory.path(), &this, &path)?;
        supervised(&mut command, &path, kills)
    };
    let directory = tempfile::tempdir()?;
    let bare = median(&bare(&this, &directory.path().join("beats"), kills)?);
    let ours = measure(killpoint)?;
    let milliseconds = |number: f64| format!("{number:.2} ms");
    let shown = format!(
        "median {}, greatest {}",
        milliseconds(median(&ours)),
        milliseconds(ours[kills - 1])
    );
    table.add(&Row {
        benchmark: "i",
        what: format!("restart after SIGKILL, over bare fork and exec, {kills} kills"),
        ours: shown.clone(),
        against: milliseconds(bare),
        figure: median(&ours) - bare,
        unit: " ms",
        goal: Goal::None,
    });
    for (program, shown_name, prepare) in OTHERS {
        let what = format!("restart after SIGKILL, {shown_name} / Killpoint");
        match measure(*prepare) {
            Ok(theirs) => table.add(&Row {
                benchmark: "i",
                what,
                ours: shown.clone(),
                against: milliseconds(median(&theirs)),
                figure: median(&theirs) / median(&ours),
                unit: " times",
                goal: Goal::None,
            }),
            Err(error) => table.skipped("i", &what, &format!("{program}: {error}")),
        }
    }
    Ok(())
}
