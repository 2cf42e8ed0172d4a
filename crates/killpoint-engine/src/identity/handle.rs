//! A handle on a process that can never mean another: its pidfd.

use super::{Identity, status};
use crate::proc_files;
use killpoint_model::lifecycle::Exit;
use killpoint_model::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Place of the exit code in `/proc/PID/stat`, counted behind the name.
const EXIT_CODE: usize = 49;

/// A process that is held: whatever is sent reaches it or nobody.
#[derive(Debug)]
pub struct Handle {
    identity: Identity,
    descriptor: OwnedFd,
}

/// What a process does with a signal, and whether one waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disposition {
    /// It throws the signal away.
    pub ignored: bool,
    /// It has a handler for it.
    pub caught: bool,
    /// Its first thread does not take the signal for now.
    pub blocked: bool,
    /// One was sent and not taken yet.
    pub pending: bool,
    /// The process stands still, stopped by a signal.
    pub stopped: bool,
}

impl Identity {
    /// A handle that can never mean another process; none if it has ended.
    ///
    /// # Errors
    /// What the system says, but for "there is no such process".
    pub fn hold(self) -> io::Result<Option<Handle>> {
        let Some(pid) = rustix::process::Pid::from_raw(self.pid) else { return Ok(None) };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Looked at after the handle was opened: what is seen now is what the handle holds.
        Ok(self.is_alive().then_some(Handle { identity: self, descriptor }))
    }
}

impl Handle {
    /// Who is held.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Sends a signal. False if it has ended.
    ///
    /// # Errors
    /// What the system says, but for "there is no such process".
    #[expect(unsafe_code, reason = "signals without names have no safe wrapper")]
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        // SAFETY: the call takes integers and a null pointer, which it allows.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.descriptor.as_raw_fd(),
                signal.number(),
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if sent == 0 {
            return Ok(true);
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
            error => Err(error),
        }
    }

    /// Waits until it has ended with all its threads, or the time is over.
    ///
    /// # Errors
    /// What the system says.
    pub fn has_ended_within(&self, limit: Duration) -> io::Result<bool> {
        let since = Instant::now();
        loop {
            let left = limit.saturating_sub(since.elapsed());
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut [PollFd::new(&self.descriptor, PollFlags::IN)], Some(&timeout)) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How it ended; none if it has not, or nobody but its parent is told.
    pub fn death(&self) -> Option<Exit> {
        // Once it is reaped the kernel tells through the pidfd (from Linux 6.15 on); before that, its
        // remains in /proc do.
        self.exit_code().or_else(|| self.exit_code_of_remains()).and_then(Exit::from_wait_status)
    }

    fn exit_code_of_remains(&self) -> Option<i32> {
        let text = proc_files::of_process(self.identity.pid, "stat").ok()?;
        let text = String::from_utf8_lossy(&text);
        let now = super::parse(self.identity.pid, &text)?;
        if now.identity != self.identity || !now.ended {
            return None;
        }
        text[text.rfind(')')? + 1..].split_whitespace().nth(EXIT_CODE)?.parse().ok()
    }

    #[expect(unsafe_code, reason = "PIDFD_GET_INFO has no safe wrapper")]
    fn exit_code(&self) -> Option<i32> {
        /// `struct pidfd_info`, its first version.
        #[repr(C)]
        #[derive(Default)]
        struct PidfdInfo {
            mask: u64,
            cgroup: u64,
            numbers: [u32; 11],
            exit_code: i32,
        }
        const PIDFD_INFO_EXIT: u64 = 1 << 3;
        const { assert!(size_of::<PidfdInfo>() == 64) };
        // _IOWR(0xFF, 11, struct pidfd_info)
        const PIDFD_GET_INFO: libc::c_ulong = 3 << 30 | 64 << 16 | 0xff << 8 | 11;
        let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
        // SAFETY: the structure is as long as the request says, and lives for the call.
        let asked =
            unsafe { libc::ioctl(self.descriptor.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
        (asked == 0 && info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
    }

    /// What it does with a signal; none if that cannot be read.
    pub fn disposition(&self, signal: Signal) -> Option<Disposition> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.identity.pid)).ok()?;
        if status(self.identity.pid).ok()?.identity != self.identity {
            return None;
        }
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let has = |name: &str| {
            let line = field(name)?;
            let set = u64::from_str_radix(line.trim(), 16).ok()?;
            Some(set >> (signal.number() - 1) & 1 == 1)
        };
        Some(Disposition {
            ignored: has("SigIgn:")?,
            caught: has("SigCgt:")?,
            blocked: has("SigBlk:")?,
            pending: has("SigPnd:")? || has("ShdPnd:")?,
            stopped: field("State:")?.trim().starts_with('T'),
        })
    }
}

/// To wait for several at once.
impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    fn start(script: &str) -> (Child, Handle) {
        let mut command = Command::new("sh");
        let child = command.args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let identity = status(i32::try_from(child.id()).unwrap()).unwrap().identity;
        (child, identity.hold().unwrap().unwrap())
    }

    #[test]
    fn a_death_is_told_before_and_after_it_is_reaped() {
        let (mut child, handle) = start("read line; kill -SEGV $$");
        drop(child.stdin.take());
        assert!(handle.has_ended_within(Duration::from_secs(30)).unwrap());
        let before = handle.death();
        assert!(matches!(before, Some(Exit::Signal { number: 11, .. })), "{before:?}");
        child.wait().unwrap();
        let after = handle.death();
        assert!(after.is_none() || after == before, "{after:?}");
        assert!(!handle.signal(Signal::TERM).unwrap());
    }

    #[test]
    fn an_exit_status_is_told_and_a_living_process_has_no_death() {
        let (mut child, handle) = start("read line; exit 7");
        assert_eq!(handle.death(), None);
        drop(child.stdin.take());
        assert!(handle.has_ended_within(Duration::from_secs(30)).unwrap());
        assert_eq!(handle.death(), Some(Exit::Status(7)));
        child.wait().unwrap();
    }

    #[test]
    fn an_ignored_signal_is_seen_to_be_ignored() {
        let (mut child, handle) = start("trap '' USR1; read line");
        while !handle.disposition(Signal::try_from(10).unwrap()).unwrap().ignored {
            std::thread::yield_now();
        }
        assert!(!handle.disposition(Signal::TERM).unwrap().ignored);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
