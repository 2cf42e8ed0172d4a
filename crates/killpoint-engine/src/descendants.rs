//! The descendants of a process: who they are, and how they are ended so that none gets away.

use crate::identity::{self, Identity};
use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::Duration;

/// Most rounds in which newly born ones are looked for.
const ROUNDS_MAX: u32 = 2_000;
/// Between two rounds.
const ROUND_INTERVAL: Duration = Duration::from_millis(1);
/// Most descendants that are followed.
const DESCENDANTS_MAX: usize = 100_000;

/// The descendants of a process that have not ended, each with its parent. By the kernel's lists of
/// children: fast, however many processes the machine has, but one that is born or adopted at this
/// moment may be missed.
pub fn of(root: i32) -> Vec<(Identity, i32)> {
    if is_childless(root) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for child in children(parent) {
            let Ok(status) = identity::status(child) else { continue };
            if !status.ended && found.len() < DESCENDANTS_MAX {
                found.push((status.identity, parent));
                open.push(child);
            }
        }
    }
    found
}

/// Whether this is the calling process and the kernel says that it has no children, not even one that waits
/// to be reaped: then it has no descendants either, and the table of processes need not be read.
fn is_childless(root: i32) -> bool {
    let flags =
        WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT | WaitPidFlag::__WALL;
    root == nix::unistd::getpid().as_raw() && waitid(Id::All, flags) == Err(Errno::ECHILD)
}

fn children(parent: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        let Ok(text) = fs::read_to_string(thread.path().join("children")) else { continue };
        found.extend(text.split_whitespace().filter_map(|word| word.parse::<i32>().ok()));
    }
    found
}

/// The same by the whole table of processes: slower, and complete.
pub fn by_table(root: i32) -> Vec<Identity> {
    if is_childless(root) {
        return Vec::new();
    }
    let all = identity::all();
    let mut children: BTreeMap<i32, Vec<&identity::Status>> = BTreeMap::new();
    for status in &all {
        children.entry(status.parent).or_default().push(status);
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            open.push(child.identity.pid);
            if !child.ended {
                found.push(child.identity);
            }
        }
    }
    found
}

/// Whoever has one of these variables, `NAME=value`, in the environment that it was started with. Who
/// was started with another one, or does not let itself be looked at, is not found.
pub fn by_environment(variables: &[Vec<u8>]) -> Vec<Identity> {
    let running = if variables.is_empty() { Vec::new() } else { identity::all() };
    let is_marked = |status: &identity::Status| {
        let environment =
            fs::read(format!("/proc/{}/environ", status.identity.pid)).unwrap_or_default();
        let mut own = environment.split(|byte| *byte == 0);
        own.any(|variable| variables.iter().any(|mark| mark == variable))
    };
    let marked = running.into_iter().filter(|it| !it.ended && is_marked(it));
    marked.map(|status| status.identity).collect()
}

/// Ends everybody whom `find` finds, until it finds nobody; returns how many there were. They are all
/// stopped before the first is killed, so that none can start others meanwhile. Bounded.
pub fn end(mut find: impl FnMut() -> Vec<Identity>) -> u32 {
    let mut stopped = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let born: Vec<Identity> = find().into_iter().filter(|it| !stopped.contains(it)).collect();
        if born.is_empty() {
            break;
        }
        for identity in born {
            send(identity, Signal::STOP);
            stopped.insert(identity);
        }
    }
    let mut killed = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let left = find();
        if left.is_empty() {
            break;
        }
        for identity in left {
            send(identity, Signal::KILL);
            killed.insert(identity);
        }
        thread::sleep(ROUND_INTERVAL);
    }
    u32::try_from(killed.len()).unwrap_or(u32::MAX)
}

/// Who has ended needs no signal.
fn send(identity: Identity, signal: Signal) {
    let Some(pid) = rustix::process::Pid::from_raw(identity.pid) else { return };
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    // Looked at after the handle was opened: what is seen now is what the handle holds.
    if identity.is_alive() {
        let _ = pidfd_send_signal(&handle, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn both_ways_find_a_grandchild_and_all_of_them_are_ended() {
        let mut shell =
            Command::new("sh").args(["-c", "sleep 1000 & sleep 1000 & wait"]).spawn().unwrap();
        let pid = i32::try_from(shell.id()).unwrap();
        while of(pid).len() < 2 {
            thread::sleep(ROUND_INTERVAL);
        }
        let mut fast: Vec<Identity> = of(pid).into_iter().map(|(identity, _)| identity).collect();
        let mut whole = by_table(pid);
        fast.sort_unstable();
        whole.sort_unstable();
        assert_eq!(fast, whole);
        assert_eq!(end(|| by_table(pid)), 2);
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(whole.iter().all(|it| !it.is_alive()));
    }
}
