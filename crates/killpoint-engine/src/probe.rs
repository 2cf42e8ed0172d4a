//! What this machine offers, found out by trying it in a throw-away child process, never by the
//! kernel's version: a container, a security module or a setting may forbid what a kernel can do.
//!
//! Each probe answers `Ok` with what it saw, or `Err` with why it does not work here.

mod namespaces;
mod processes;
mod seccomp;
mod system;

pub use namespaces::{Namespace, namespace, overlay, tmpfs};
pub use processes::{pidfd, pidfd_getfd, pidfd_thread, ptrace};
pub use seccomp::{landlock, listener, trace};
pub use system::{cgroup_v1_freezer, cgroup_v2, file_system, loop_device, setting};

use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{Read, Write};

/// What a probe says.
pub type Answer = Result<String, String>;

/// How long a probe may take.
const LIMIT_SECONDS: i64 = 10;

/// A longer answer is cut; shorter ones are written to a pipe in one piece.
const ANSWER_BYTES_MAX: usize = 4096;

/// The error number of the last system call, in words.
fn last_error(what: &str) -> String {
    format!("{what}: {}", std::io::Error::last_os_error())
}

/// Puts a name before an error.
fn saying<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

/// Runs a probe in a child that is gone afterwards, with everything that it changed of itself.
#[expect(unsafe_code, reason = "fork and _exit have no safe form")]
fn in_child(probe: impl FnOnce() -> Answer) -> Answer {
    let (read, write) = rustix::pipe::pipe().map_err(saying("pipe"))?;
    // SAFETY: the child runs code that allocates; glibc's fork keeps its allocator usable, and the
    // child ends by `_exit` without returning from here.
    match unsafe { fork() }.map_err(saying("fork"))? {
        ForkResult::Child => {
            drop(read);
            let text = match probe() {
                Ok(text) => format!("+{text}"),
                Err(text) => format!("-{text}"),
            };
            let _ = File::from(write).write_all(text.as_bytes());
            // SAFETY: ends the process without running what its parent registered.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(write);
            let mut polled = [PollFd::new(&read, PollFlags::IN)];
            let limit = Timespec { tv_sec: LIMIT_SECONDS, tv_nsec: 0 };
            let ready = poll(&mut polled, Some(&limit)).unwrap_or(0);
            // One read: somebody may keep the pipe open, and what is written is short.
            let mut bytes = [0; ANSWER_BYTES_MAX];
            let length = match ready {
                0 => 0,
                _ => File::from(read).read(&mut bytes).unwrap_or(0),
            };
            let text = String::from_utf8_lossy(&bytes[..length]);
            // Not yet waited for, so the number is still this child's.
            let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
            let _ = waitpid(child, None);
            match text.split_at_checked(1) {
                Some(("+", text)) => Ok(text.to_owned()),
                Some(("-", text)) => Err(text.to_owned()),
                _ => Err("the attempt itself was killed or did not end".to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_answers_from_its_child() {
        assert_eq!(in_child(|| Ok("seen".to_owned())), Ok("seen".to_owned()));
        assert_eq!(in_child(|| Err("why".to_owned())), Err("why".to_owned()));
    }

    #[test]
    fn a_probe_that_is_killed_says_so() {
        let answer = in_child(|| {
            let _ = nix::sys::signal::raise(Signal::SIGKILL);
            Ok(String::new())
        });
        assert!(answer.unwrap_err().contains("killed"));
    }

    #[test]
    fn no_probe_changes_the_process_that_asks() {
        let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let directory = tempfile::tempdir().unwrap();
        for user in [false, true] {
            let _ = overlay(directory.path(), user);
            let _ = tmpfs(directory.path());
            for kind in Namespace::ALL {
                let _ = namespace(kind);
            }
        }
        let _ = (ptrace(), trace(), listener(), landlock(), pidfd_getfd());
        assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(status.contains("Seccomp_filters:\t0"), "{status}");
    }
}
