//! Runs commands, bounded, and takes times.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often an end is looked for: small against all that is measured.
const LOOK_INTERVAL: Duration = Duration::from_micros(500);
/// How much of a failing command's output is shown.
const SAID_CHARACTERS_MAX: usize = 400;

/// What a command that ended left.
#[derive(Debug)]
pub struct Ended {
    /// From its start to its end.
    pub elapsed: Duration,
    /// Its exit status, if it was not killed.
    pub status: Option<i32>,
    /// What it printed.
    pub output: String,
    /// What it said on standard error.
    pub error: String,
}

/// Runs a command to its end; kills it with all that it started when its time is over. `look` is
/// called with its number again and again while it runs.
///
/// # Errors
/// If it cannot be started or takes too long.
pub fn run(command: &mut Command, limit: Duration, mut look: impl FnMut(u32)) -> Result<Ended> {
    // Files, as a full pipe would hold the command up.
    let (mut output, mut error) = (temporary()?, temporary()?);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(error.try_clone()?);
    command.process_group(0);
    let since = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if since.elapsed() > limit {
            end(&mut child);
            bail!("{command:?} took longer than {limit:?}");
        }
        look(child.id());
        thread::sleep(LOOK_INTERVAL);
    };
    Ok(Ended {
        elapsed: since.elapsed(),
        status: status.code(),
        output: text(&mut output)?,
        error: text(&mut error)?,
    })
}

/// Runs a command that must end with one of these exit statuses.
///
/// # Errors
/// As [`run`], or if it ends otherwise.
pub fn succeed(command: &mut Command, limit: Duration, statuses: &[i32]) -> Result<Ended> {
    let ended = run(command, limit, |_| {})?;
    ended.expect(command, statuses)?;
    Ok(ended)
}

impl Ended {
    /// Fails unless the exit status is one of these.
    pub fn expect(&self, command: &Command, statuses: &[i32]) -> Result<()> {
        if self.status.is_some_and(|status| statuses.contains(&status)) {
            return Ok(());
        }
        let said: String = format!("{}{}", self.error, self.output);
        let said: String = said.chars().take(SAID_CHARACTERS_MAX).collect();
        bail!("{command:?} ended with {:?}: {said}", self.status)
    }
}

fn end(child: &mut Child) {
    let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(process) = process {
        let _ = kill_process_group(process, Signal::KILL);
    }
    let _ = child.wait();
}

fn temporary() -> Result<File> {
    tempfile::tempfile().context("cannot make a temporary file")
}

fn text(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The figure below which that part of them lies, `part` from 0 to 1.
///
/// # Panics
/// If there are none.
pub fn quantile(figures: &[f64], part: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// The middle of several figures.
///
/// # Panics
/// If there are none.
pub fn median(mut figures: Vec<f64>) -> f64 {
    assert!(!figures.is_empty(), "a median of nothing");
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() % 2 {
        0 => (figures[middle - 1] + figures[middle]) / 2.0,
        _ => figures[middle],
    }
}
