//! The guardian of a supervisor: a process that does nothing but outlive it.
//!
//! The calling process forks. The parent becomes the guardian and keeps the number that its caller
//! knows; it passes signals on, and everything that is launched falls to it if the supervisor dies.
//! The child becomes the supervisor; the kernel tells it by a pipe when the guardian is gone. So
//! either may be killed, and the other leaves nothing running.

use crate::arena::empty_directory;
use crate::descendants;
use killpoint_model::lifecycle::Exit;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// How often it is tried to remove what a supervisor worked with.
const CLEAR_TRIES_MAX: u32 = 500;
/// Between two tries.
const CLEAR_INTERVAL: Duration = Duration::from_millis(4);

/// The signals that are passed on to the supervisor.
pub const PASSED_ON: [Signal; 7] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// Which of the two this process is now.
#[derive(Debug)]
pub enum Side {
    /// The supervisor, to go on.
    Supervisor(Leash),
    /// The guardian, whose work is done: the supervisor has ended, and nothing is left.
    Guardian {
        /// How the supervisor ended.
        exit: Exit,
        /// How many processes it left, which were killed.
        left: u32,
    },
}

/// The supervisor's end of the pipe.
#[derive(Debug)]
pub struct Leash(File);

impl Leash {
    /// Waits until the guardian is gone.
    pub fn wait(mut self) {
        let mut byte = [0];
        while self.0.read(&mut byte).is_err_and(|error| error.kind() == io::ErrorKind::Interrupted)
        {
        }
    }
}

/// Splits this process, which must have one thread only, into guardian and supervisor. The guardian
/// removes the `scratch` directories (the deepest first) when all is over.
///
/// # Errors
/// What the system says.
#[expect(unsafe_code, reason = "fork has no safe form")]
pub fn split(scratch: &[PathBuf]) -> io::Result<Side> {
    rustix::process::set_child_subreaper(Some(rustix::process::Pid::INIT))?;
    let mut waited_for: SigSet = PASSED_ON.into_iter().collect();
    waited_for.add(Signal::SIGCHLD);
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&waited_for), Some(&mut before))?;
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the caller has one thread only, so the child may do anything.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(write);
            // Signals of the terminal go to the guardian alone, which passes them on.
            nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
            rustix::process::set_child_subreaper(Some(rustix::process::Pid::INIT))?;
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
            Ok(Side::Supervisor(Leash(File::from(read))))
        }
        ForkResult::Parent { child } => {
            drop(read);
            let (exit, left) = stand_guard(child, &waited_for, write, scratch)?;
            Ok(Side::Guardian { exit, left })
        }
    }
}

fn stand_guard(
    supervisor: Pid,
    waited_for: &SigSet,
    _leash: OwnedFd,
    scratch: &[PathBuf],
) -> io::Result<(Exit, u32)> {
    let exit = loop {
        match waited_for.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(exit) = reap(supervisor) {
                    break exit;
                }
            }
            // It is our child and not reaped yet, so the number is its own.
            Ok(signal) => drop(kill(supervisor, signal)),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let own = nix::unistd::getpid().as_raw();
    let left = descendants::end(|| descendants::by_table(own));
    reap(supervisor);
    clear(scratch);
    Ok((exit, left))
}

/// Removes the directories that a supervisor worked with; true if none is left. A control group can
/// only be removed when the last process that was killed in it is gone, so this waits, bounded.
pub fn clear(scratch: &[PathBuf]) -> bool {
    for _ in 0..CLEAR_TRIES_MAX {
        clear_once(scratch);
        if scratch.iter().all(|directory| !directory.exists()) {
            return true;
        }
        thread::sleep(CLEAR_INTERVAL);
    }
    false
}

fn clear_once(scratch: &[PathBuf]) {
    for directory in scratch {
        // A control group's files cannot be removed and need not be.
        if !directory.join("cgroup.procs").exists() {
            let _ = empty_directory(directory);
        }
        let _ = fs::remove_dir(directory);
    }
}

/// Reaps whoever has ended; how the supervisor did, if it is among them.
fn reap(supervisor: Pid) -> Option<Exit> {
    let mut exit = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == supervisor => {
                exit = Some(Exit::Status(status));
            }
            Ok(WaitStatus::Signaled(pid, signal, core)) if pid == supervisor => {
                exit = Some(Exit::Signal { number: signal as i32, core });
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return exit,
            Ok(_) => {}
        }
    }
}
