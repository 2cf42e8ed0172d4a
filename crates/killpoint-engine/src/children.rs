//! Starts the children of a supervisor and reaps whoever ends below it.
//!
//! One thread waits for ends while another starts programs. What ended is first looked at and then
//! reaped under the lock under which programs are started: so that no number is given away while
//! somebody still means the old one, and the standard library can reap what it could not execute.

use crate::identity::{self, Identity};
use killpoint_model::lifecycle::Exit;
use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the reaper waits for a first child before it looks again.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);

/// The children of this process. One value for the whole process.
#[derive(Debug, Default)]
pub struct Children {
    starting: Mutex<()>,
    started: Condvar,
}

/// A process that is held by its handle: a signal reaches it or nobody.
#[derive(Debug)]
pub struct Held {
    /// Who it is.
    pub identity: Identity,
    handle: OwnedFd,
}

/// What a program may use up, set before it is executed.
#[derive(Debug, Default)]
pub struct Confinement {
    /// `cgroup.procs` of a control group that it is to be in.
    pub group: Option<File>,
    /// Its soft RLIMIT_NPROC.
    pub tasks_max: Option<u64>,
}

impl Held {
    /// Holds a process; none if it has ended.
    ///
    /// # Errors
    /// What the system says, but for "there is no such process".
    pub fn by_number(pid: i32) -> io::Result<Option<Self>> {
        let Some(number) = rustix::process::Pid::from_raw(pid) else { return Ok(None) };
        let handle = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Ok(status) = identity::status(pid) else { return Ok(None) };
        Ok(Some(Held { identity: status.identity, handle }))
    }

    /// Sends a signal. False if it has ended, or there is no signal of that number.
    pub fn signal(&self, number: i32) -> bool {
        Signal::from_named_raw(number)
            .is_some_and(|signal| pidfd_send_signal(&self.handle, signal).is_ok())
    }
}

impl Children {
    /// None.
    pub fn new() -> Self {
        Children::default()
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.starting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a program as the leader of a session of its own. It is killed by the kernel when the
    /// calling thread ends, which must therefore live as long as the supervisor.
    ///
    /// # Errors
    /// If it cannot be executed or confined.
    pub fn start(&self, command: &mut Command, confinement: Confinement) -> io::Result<Held> {
        confine(command, confinement);
        let lock = self.lock();
        let child = command.spawn()?;
        // Nobody can have reaped it: that is done under the lock.
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let held = Held::by_number(pid)?.ok_or_else(|| io::Error::other("the child is gone"))?;
        drop(lock);
        self.started.notify_all();
        Ok(held)
    }

    /// Waits for the next end of a child or an adopted orphan; none if there is nobody to wait for
    /// for a while.
    ///
    /// # Errors
    /// What the system says.
    pub fn wait_next(&self) -> io::Result<Option<(i32, Exit)>> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        let pid = match waitid(Id::All, flags) {
            Ok(status) => status.pid(),
            Err(Errno::EINTR) => return Ok(None),
            Err(Errno::ECHILD) => {
                let lock = self.lock();
                let _ = self.started.wait_timeout(lock, IDLE_INTERVAL);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let Some(pid) = pid else { return Ok(None) };
        let _lock = self.lock();
        Ok(reap(pid))
    }
}

/// Reaps a child that has ended.
fn reap(pid: Pid) -> Option<(i32, Exit)> {
    match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(pid, status)) => Some((pid.as_raw(), Exit::Status(status))),
        Ok(WaitStatus::Signaled(pid, signal, core)) => {
            Some((pid.as_raw(), Exit::Signal { number: signal as i32, core }))
        }
        _ => None,
    }
}

#[expect(unsafe_code, reason = "what is set between fork and exec has no safe form")]
fn confine(command: &mut Command, confinement: Confinement) {
    let Confinement { mut group, tasks_max } = confinement;
    let before = move || -> io::Result<()> {
        nix::unistd::setsid()?;
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        if let Some(file) = &mut group {
            file.write_all(b"0")?;
        }
        if let Some(tasks) = tasks_max {
            use nix::sys::resource::{Resource, getrlimit, setrlimit};
            let (_, hard) = getrlimit(Resource::RLIMIT_NPROC)?;
            setrlimit(Resource::RLIMIT_NPROC, tasks.min(hard), hard)?;
        }
        Ok(())
    };
    // SAFETY: only system calls; nothing is allocated and no lock is taken.
    unsafe { command.pre_exec(before) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_cannot_be_executed_is_an_error_and_leaves_nobody_to_reap() {
        let children = Children::new();
        let error = children.start(&mut Command::new("/dev/null"), Confinement::default());
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
