//! Probes of what one process may do to another.

use super::{Answer, in_child, last_error, saying};
use nix::sys::ptrace::{self as calls, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

/// Starts a child that does nothing until it is killed, and asks something of it.
#[expect(unsafe_code, reason = "fork and _exit have no safe form")]
pub(super) fn with_sleeper(ask: impl FnOnce(Pid) -> Answer) -> Answer {
    let parent = nix::unistd::getpid();
    // SAFETY: the child only waits and ends by `_exit` or a signal.
    match unsafe { fork() }.map_err(saying("fork"))? {
        ForkResult::Child => {
            let _ = rustix::process::set_parent_process_death_signal(Some(
                rustix::process::Signal::KILL,
            ));
            if nix::unistd::getppid() == parent {
                std::thread::sleep(std::time::Duration::from_secs(60));
            }
            // SAFETY: ends the process without running what its parent registered.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            let answer = ask(child);
            let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
            let _ = waitpid(child, None);
            answer
        }
    }
}

/// Seizes a child with PTRACE_SEIZE.
///
/// # Errors
/// Why it is refused.
pub fn ptrace() -> Answer {
    in_child(|| {
        with_sleeper(|child| {
            calls::seize(child, Options::PTRACE_O_EXITKILL).map_err(saying("PTRACE_SEIZE"))?;
            Ok("a child was seized".to_owned())
        })
    })
}

/// Opens a pidfd.
///
/// # Errors
/// Why it is refused.
pub fn pidfd() -> Answer {
    in_child(|| {
        open(0)?;
        Ok("one was opened".to_owned())
    })
}

/// Opens a pidfd of one thread (PIDFD_THREAD).
///
/// # Errors
/// Why it is refused.
pub fn pidfd_thread() -> Answer {
    in_child(|| {
        open(libc::O_EXCL)?;
        Ok("one was opened for a thread".to_owned())
    })
}

#[expect(unsafe_code, reason = "pidfd_open with a flag that has no safe wrapper")]
fn open(flags: i32) -> Result<i32, String> {
    // SAFETY: pidfd_open takes integers only.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), flags) };
    i32::try_from(descriptor).ok().filter(|it| *it >= 0).ok_or_else(|| last_error("pidfd_open"))
}

/// Copies a descriptor out of a child.
///
/// # Errors
/// Why it is refused.
#[expect(unsafe_code, reason = "pidfd_getfd has no safe wrapper")]
pub fn pidfd_getfd() -> Answer {
    in_child(|| {
        with_sleeper(|child| {
            // SAFETY: both calls take integers only.
            let copy = unsafe {
                let handle = libc::syscall(libc::SYS_pidfd_open, child.as_raw(), 0);
                libc::syscall(libc::SYS_pidfd_getfd, handle, 2, 0)
            };
            match copy {
                0.. => Ok("a child's descriptor was copied".to_owned()),
                _ => Err(last_error("pidfd_getfd")),
            }
        })
    })
}
