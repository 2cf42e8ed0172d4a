//! Who a process is: its number and the moment it began. A number alone is reused by the kernel; the
//! two together are not, so nothing is ever signalled by its number alone.

mod handle;

pub use handle::{Disposition, Handle};

use crate::proc_files;
use killpoint_model::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;

/// A process, told apart from every other that had or will have its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: i32,
    /// When it began, in clock ticks after the machine was started.
    pub start: u64,
}

/// What `/proc` says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Who it is.
    pub identity: Identity,
    /// Its parent's number.
    pub parent: i32,
    /// The number of its session.
    pub session: i32,
    /// Whether it has ended and only waits to be reaped.
    pub ended: bool,
    /// Whether a signal has stopped it, and none has continued it.
    pub stopped: bool,
    /// Whether it is a thread of the kernel, which no signal reaches.
    pub kernel: bool,
}

/// The flag of a process that is a thread of the kernel.
const PF_KTHREAD: u64 = 0x0020_0000;

impl Identity {
    /// The calling process.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn current() -> io::Result<Self> {
        Ok(status(nix::unistd::getpid().as_raw())?.identity)
    }

    /// Whether it is still running.
    pub fn is_alive(self) -> bool {
        status(self.pid).is_ok_and(|now| now.identity == self && !now.ended)
    }

    /// Kills it, if it is still the same process. True if it was there to be killed.
    ///
    /// # Errors
    /// What the system says, but for "there is no such process".
    pub fn kill(self) -> io::Result<bool> {
        match self.hold()? {
            Some(handle) => handle.signal(Signal::KILL),
            None => Ok(false),
        }
    }
}

/// What `/proc` says of a process.
///
/// # Errors
/// If there is none of that number, or `/proc` is not there.
pub fn status(pid: i32) -> io::Result<Status> {
    let text = proc_files::of_process(pid, "stat")?;
    parse(pid, &String::from_utf8_lossy(&text))
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has another format")))
}

/// Reads the text of `/proc/PID/stat`; none if it has another format.
pub fn parse(pid: i32, text: &str) -> Option<Status> {
    // The name in brackets may itself hold blanks and brackets.
    let rest = &text[text.rfind(')')? + 1..];
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(Status {
        identity: Identity { pid, start: fields.get(19)?.parse().ok()? },
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        ended: matches!(*fields.first()?, "Z" | "X"),
        stopped: *fields.first()? == "T",
        kernel: fields.get(6)?.parse::<u64>().ok()? & PF_KTHREAD != 0,
    })
}

/// Every process that this one can see. Those that end meanwhile are left out.
pub fn all() -> Vec<Status> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| status(pid).ok())
        .collect()
}

/// The number of a user; none if there is no such user.
///
/// # Errors
/// If the users cannot be looked up.
pub fn user_number(name: &str) -> io::Result<Option<u32>> {
    Ok(nix::unistd::User::from_name(name)?.map(|user| user.uid.as_raw()))
}

/// The machine's present run, which the kernel names anew at every start.
pub fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Kills the children of `parent`, but for this process, until it has none: what they leave behind
/// becomes the parent's, if that is a subreaper. Bounded.
pub(crate) fn end_children_of(parent: Pid) {
    const ROUNDS_MAX: u32 = 2_000;
    let own = nix::unistd::getpid().as_raw();
    for _ in 0..ROUNDS_MAX {
        let children: Vec<Status> = all()
            .into_iter()
            .filter(|it| it.parent == parent.as_raw() && it.identity.pid != own && !it.ended)
            .collect();
        if children.is_empty() {
            return;
        }
        for child in children {
            let _ = child.identity.kill();
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let text = "7 (a) b (c) S 3 7 5 0 -1 2097156 0 0 0 0 0 0 0 0 20 0 1 0 987 0";
        let status = parse(7, text).unwrap();
        assert_eq!(status.identity, Identity { pid: 7, start: 987 });
        assert_eq!((status.parent, status.session, status.ended), (3, 5, false));
        assert!(status.kernel);
    }

    #[test]
    fn this_process_is_alive_and_one_with_another_start_is_not() {
        let own = Identity::current().unwrap();
        assert!(own.is_alive());
        let other = Identity { start: own.start + 1, ..own };
        assert!(!other.is_alive());
        assert!(!other.kill().unwrap(), "nothing is signalled");
    }

    #[test]
    fn a_child_is_killed_by_its_identity() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let identity = status(i32::try_from(child.id()).unwrap()).unwrap().identity;
        assert!(identity.kill().unwrap());
        assert!(!child.wait().unwrap().success());
        assert!(!identity.kill().unwrap());
    }
}
