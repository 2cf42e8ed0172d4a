//! What the measurements ran on.

use std::fs;
use std::thread;

/// How many processors there are.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The kernel's release.
pub fn kernel() -> String {
    read("/proc/sys/kernel/osrelease")
}

/// The load averages of one and of five minutes.
pub fn load() -> String {
    let text = read("/proc/loadavg");
    text.split(' ').take(2).collect::<Vec<_>>().join(" and ")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}
