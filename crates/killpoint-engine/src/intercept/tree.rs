//! The processes of a tree: who descends from whom and, where no tracer is told of births and deaths,
//! who is there.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;

/// Processes looked at in one go.
const PROCESSES_MAX: usize = 100_000;

/// Whether this process is the init of a PID namespace: everybody in it is of the tree.
fn is_init() -> bool {
    nix::unistd::getpid().as_raw() == 1
}

/// Every process below this one, the dead that nobody has waited for among them.
pub(super) fn processes() -> Vec<Pid> {
    if is_init() {
        return numbered("/proc").filter(|process| process.as_raw() != 1).collect();
    }
    let mut found = BTreeSet::new();
    let mut rest = vec![nix::unistd::getpid()];
    while let Some(parent) = rest.pop() {
        for thread in numbered(&format!("/proc/{parent}/task")) {
            let path = format!("/proc/{parent}/task/{thread}/children");
            let children = fs::read_to_string(path).unwrap_or_default();
            for child in children.split_ascii_whitespace().filter_map(|text| text.parse().ok()) {
                let child = Pid::from_raw(child);
                if found.len() < PROCESSES_MAX && found.insert(child) {
                    rest.push(child);
                }
            }
        }
    }
    found.into_iter().collect()
}

fn numbered(directory: &str) -> impl Iterator<Item = Pid> + use<> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Pid::from_raw))
        .take(PROCESSES_MAX)
}

/// A process and its descendants among others, by their parents.
pub(super) fn descendants(process: Pid, among: impl IntoIterator<Item = Pid>) -> Vec<Pid> {
    let parents: Vec<(Pid, Pid)> = among
        .into_iter()
        .filter_map(|process| Some((process, crate::guest::parent(process).ok()?)))
        .collect();
    let mut found = vec![process];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        for (child, of) in &parents {
            if *of == parent && !found.contains(child) {
                found.push(*child);
            }
        }
        next += 1;
    }
    found
}

/// How many threads each living process of the tree has.
pub(super) fn living() -> Vec<usize> {
    processes().into_iter().filter_map(threads).filter(|count| *count > 0).collect()
}

/// The processes of the tree that are alive.
pub(super) fn living_processes() -> Vec<Pid> {
    let is_alive = |process: &Pid| threads(*process).is_some_and(|count| count > 0);
    processes().into_iter().filter(is_alive).collect()
}

/// Whether a thread works at this moment, or waits for a disk.
pub(super) fn is_at_work(thread: Pid) -> bool {
    let text = fs::read_to_string(format!("/proc/{thread}/stat")).unwrap_or_default();
    text.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['R', 'D']))
}

/// Whether a thread of the tree works at this moment.
pub(super) fn is_anybody_at_work() -> bool {
    let threads = |process: Pid| numbered(&format!("/proc/{process}/task"));
    processes().into_iter().flat_map(threads).any(is_at_work)
}

/// The threads of a process; 0 for a dead one that nobody has waited for.
fn threads(process: Pid) -> Option<usize> {
    const STATE: usize = 0;
    const THREADS: usize = 17;
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name stands in brackets and may hold anything; what matters follows the last of them.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    if fields.nth(STATE)? == "Z" {
        return Some(0);
    }
    fields.nth(THREADS - STATE - 1)?.parse().ok()
}

/// Sends SIGKILL to everybody in the tree.
pub(super) fn kill_all() {
    if is_init() {
        // Reaches everybody in the namespace at once.
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        return;
    }
    for process in processes() {
        let _ = kill(process, Signal::SIGKILL);
    }
}
