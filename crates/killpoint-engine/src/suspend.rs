//! Suspends a process and lets it go on: by the freezer of control groups where it is to be had, by
//! SIGSTOP otherwise. What is to be undone is known before anything is done.

mod freezer;

use crate::identity::{Handle, Identity};
use killpoint_model::signal::Signal;
use killpoint_model::strike::SuspendedBy;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for threads to stand still, or to go on.
const STAND_STILL_MS_MAX: u64 = 2_000;
/// How often it is looked whether they do.
const LOOK_INTERVAL: Duration = Duration::from_micros(200);

/// How a process is suspended, and all that is needed to undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "means")]
pub enum Suspension {
    /// A control group of its own, frozen.
    Freezer {
        /// The group, made for this.
        group: PathBuf,
        /// The group from which the process came.
        home: PathBuf,
        /// Whether it is of the second version of control groups.
        unified: bool,
    },
    /// SIGSTOP.
    Signal,
}

impl Suspension {
    /// The ways that may work for a process, the best first. Nothing is touched.
    pub fn ways(process: Identity) -> Vec<Suspension> {
        freezer::find(process).into_iter().chain([Suspension::Signal]).collect()
    }

    /// Which of the two.
    pub fn by(&self) -> SuspendedBy {
        match self {
            Suspension::Freezer { .. } => SuspendedBy::Freezer,
            Suspension::Signal => SuspendedBy::Signal,
        }
    }

    /// Suspends a process; returns how many threads stand still, none if it had ended.
    ///
    /// # Errors
    /// If it cannot be done this way, or a thread still runs after some time; the caller resumes.
    pub fn suspend(&self, process: &Handle) -> io::Result<Option<u32>> {
        match self {
            Suspension::Freezer { group, unified, .. } => {
                freezer::freeze(process, group, *unified)?;
            }
            Suspension::Signal => {
                if !process.signal(Signal::STOP)? {
                    return Ok(None);
                }
                until("a thread of the process still runs", || all_stand_still(process))?;
            }
        }
        let count = states(process.identity().pid).len();
        Ok((!process.has_ended_within(Duration::ZERO)?)
            .then_some(count.try_into().unwrap_or(u32::MAX)))
    }

    /// Lets it go on. True if there was something to undo; doing it twice does no harm.
    ///
    /// # Errors
    /// What the system says.
    pub fn resume(&self, process: Identity) -> io::Result<bool> {
        match self {
            Suspension::Freezer { group, home, unified } => freezer::thaw(group, home, *unified),
            Suspension::Signal => match process.hold()? {
                Some(handle) => {
                    let stood = states(process.pid).contains(&'T');
                    Ok(handle.signal(Signal::CONT)? && stood)
                }
                None => Ok(false),
            },
        }
    }
}

/// Whether no thread of it runs any more: stopped, stopped under a tracer, or ended.
fn all_stand_still(process: &Handle) -> bool {
    states(process.identity().pid).iter().all(|state| matches!(state, 'T' | 't' | 'Z' | 'X'))
}

/// The states of the threads of a process, as the kernel writes them.
pub fn states(pid: i32) -> Vec<char> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let state = |thread: fs::DirEntry| {
        let text = fs::read(thread.path().join("stat")).ok()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        text[text.rfind(')')? + 1..].trim_start().chars().next()
    };
    threads.filter_map(|thread| state(thread.ok()?)).collect()
}

/// Waits until something is so.
fn until(problem: &'static str, is_so: impl Fn() -> bool) -> io::Result<()> {
    let since = Instant::now();
    while !is_so() {
        if since.elapsed() > Duration::from_millis(STAND_STILL_MS_MAX) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, problem));
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
