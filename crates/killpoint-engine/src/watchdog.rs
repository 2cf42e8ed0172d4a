//! The watchdog of a run that injects faults: a process of its own that holds one end of a pipe. The
//! moment the harness dies, however it dies, the kernel closes the other end, and the watchdog ends what
//! the harness itself had started, and lifts every fault that stands in the undo log.

use crate::{descendants, undo};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How often lifting is tried again where it failed.
const TRIES_MAX: u32 = 20;
/// Time between two tries.
const TRY_INTERVAL: Duration = Duration::from_millis(100);

/// A watchdog at work. Dropped, it lifts what is left and ends.
#[derive(Debug)]
pub struct Watchdog {
    process: Pid,
    pipe: Option<OwnedFd>,
}

impl Watchdog {
    /// Starts the watchdog of the run in this folder.
    ///
    /// # Errors
    /// If it cannot be forked.
    #[expect(unsafe_code, reason = "fork and _exit have no safe form")]
    pub fn start(run: &Path) -> io::Result<Self> {
        // Absolute, as the watchdog leaves the working directory.
        let run: PathBuf = std::path::absolute(run)?;
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        // SAFETY: the child allocates, which glibc's fork keeps usable, takes no lock that another
        // thread may have held, and ends by `_exit`.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Watchdog { process: child, pipe: Some(write) }),
            ForkResult::Child => {
                drop(write);
                watch(read, &run);
                // SAFETY: ends the process without running what the harness registered.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// The watchdog's number.
    pub fn pid(&self) -> i32 {
        self.process.as_raw()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.pipe.take());
        while waitpid(self.process, None) == Err(nix::errno::Errno::EINTR) {}
    }
}

/// Waits for the end of the harness; lifts what it left.
fn watch(pipe: OwnedFd, run: &Path) {
    // A signal for the harness's group or terminal must not end it.
    let _ = nix::unistd::setsid();
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
    let _ = crate::arena::close_all_but(pipe.as_raw_fd());
    let _ = nix::unistd::chdir("/");
    let mut pipe = File::from(pipe);
    let mut byte = [0];
    while pipe.read(&mut byte).is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {}
    // First those who would go on doing what is to be undone.
    let marks = undo::marks(&undo::read(run).unwrap_or_default());
    descendants::end(|| descendants::by_environment(&marks));
    for _ in 0..TRIES_MAX {
        match undo::lift_all(run) {
            Ok(lifted) if lifted.iter().all(|(_, result)| result.is_ok()) => break,
            _ => thread::sleep(TRY_INTERVAL),
        }
    }
}
