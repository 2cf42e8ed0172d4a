//! What Killpoint's own processes use, read while they run: most of them are not children of this
//! one, so that nobody hands their usage on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The processes of one run. Targets and checkers are not among them.
#[derive(Debug)]
pub struct Processes {
    binary: PathBuf,
    seen: BTreeMap<u32, Usage>,
    shared_peak: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    seconds: f64,
    megabytes: f64,
}

impl Processes {
    /// Those that execute this file.
    pub fn of(binary: &Path) -> Self {
        Processes { binary: binary.to_owned(), seen: BTreeMap::new(), shared_peak: 0.0 }
    }

    /// Looks at a process and all that descend from it.
    pub fn look(&mut self, first: u32) {
        for process in self.ours(first) {
            let usage = self.seen.entry(process).or_default();
            usage.seconds = usage.seconds.max(processor_seconds(process));
        }
    }

    /// The same for memory, which costs more.
    pub fn look_at_memory(&mut self, first: u32) {
        let mut sum = 0.0;
        for process in self.ours(first) {
            let usage = self.seen.entry(process).or_default();
            let directory = format!("/proc/{process}");
            let peak = megabytes(&format!("{directory}/status"), "VmHWM:");
            usage.megabytes = usage.megabytes.max(peak);
            sum += megabytes(&format!("{directory}/smaps_rollup"), "Pss:");
        }
        self.shared_peak = self.shared_peak.max(sum);
    }

    /// Processor time of all that were seen.
    pub fn seconds(&self) -> f64 {
        self.seen.values().map(|usage| usage.seconds).sum()
    }

    /// The peak of the largest process.
    pub fn largest(&self) -> f64 {
        self.seen.values().map(|usage| usage.megabytes).fold(0.0, f64::max)
    }

    /// The most that all had at one time, what several share counted once.
    pub fn together(&self) -> f64 {
        self.shared_peak
    }

    /// How many were seen.
    pub fn count(&self) -> usize {
        self.seen.len()
    }

    fn ours(&self, first: u32) -> Vec<u32> {
        executing(first, &self.binary)
    }
}

/// What a process holds at a moment.
#[derive(Clone, Debug)]
pub struct Held {
    /// What it is, by its arguments.
    pub name: String,
    /// What is resident of it, kB.
    pub resident_kb: u64,
    /// Its open descriptors.
    pub descriptors: usize,
}

/// What the processes at and below one hold that execute this file.
pub fn held(first: u32, binary: &Path) -> BTreeMap<u32, Held> {
    let one = |process: u32| {
        let directory = format!("/proc/{process}");
        let words = fs::read_to_string(format!("{directory}/cmdline")).ok()?;
        let name = match words.split('\0').nth(1) {
            Some(word) if process != first => format!("{word} ({process})"),
            _ => "killpoint".to_owned(),
        };
        let resident = megabytes(&format!("{directory}/status"), "VmRSS:") * 1_000.0;
        let descriptors = fs::read_dir(format!("{directory}/fd")).ok()?.count();
        Some((process, Held { name, resident_kb: resident as u64, descriptors }))
    };
    executing(first, binary).into_iter().filter_map(one).collect()
}

fn executing(first: u32, binary: &Path) -> Vec<u32> {
    let mut open = vec![first];
    let mut found = Vec::new();
    while let Some(process) = open.pop() {
        open.extend(children(process));
        let executes = fs::read_link(format!("/proc/{process}/exe"));
        if executes.is_ok_and(|path| path == binary) {
            found.push(process);
        }
    }
    found
}

fn children(process: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    text.unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn processor_seconds(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse::<f64>().ok());
    nanoseconds.unwrap_or(0.0) / 1e9
}

fn megabytes(path: &str, key: &str) -> f64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    let kilobytes: f64 = line.trim_end_matches("kB").trim().parse().unwrap_or(0.0);
    kilobytes / 1_000.0
}
