//! Samples what a target uses, from `/proc`, on a thread of its own, until the trial ends.
//!
//! A process counts for the name nearest above it: its own role or supervised process, else that of its
//! nearest ancestor that has one. There is a bounded number of samples: when they are too many, each is
//! merged with its neighbour, and they are taken half as often.

use crate::processes::{Finder, Found, Within};
use killpoint_engine::identity::Identity;
use killpoint_model::resources::{ResourceSample, ResourceSeries};
use killpoint_model::seed::Seed;
use killpoint_model::selector::{Pick, Roles, Who};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Samples of one series.
const SAMPLES_MAX: usize = 200;
/// Names that are told apart; processes of further ones count for nobody.
const SERIES_MAX: usize = 24;
/// Processes that are looked at in one sample.
const PROCESSES_MAX: usize = 2_000;
/// What a process is called that has no name above it.
const NAMELESS: &str = "other";

/// A thread that samples.
#[derive(Debug)]
pub struct Sampler {
    shared: Arc<Shared>,
    thread: JoinHandle<Vec<ResourceSeries>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    /// Below whom is looked, and the names of processes.
    target: Mutex<Option<(Identity, Roles)>>,
}

impl Sampler {
    /// Begins to sample this often, as soon as there is something to look at.
    pub fn start(interval: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        let thread = thread::spawn(move || sample_until_over(&of_thread, interval));
        Sampler { shared, thread }
    }

    /// Looks at what is below this process from now on.
    pub fn look_below(&self, root: Identity, names: Roles) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = Some((root, names));
    }

    /// Ends; what was used.
    pub fn end(self) -> Vec<ResourceSeries> {
        self.shared.is_over.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().unwrap_or_default()
    }
}

fn sample_until_over(shared: &Shared, interval: Duration) -> Vec<ResourceSeries> {
    let mut samples = Samples { began: Some(Instant::now()), ..Samples::default() };
    let mut stride = 1;
    let mut due = Instant::now();
    while !shared.is_over.load(Ordering::Acquire) {
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::park_timeout(wait);
            continue;
        }
        let target = shared.target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((root, names)) = target {
            samples.take(root, names);
        }
        if samples.is_full() {
            samples.series.values_mut().for_each(ResourceSeries::halve);
            stride *= 2;
        }
        due = Instant::now() + interval * stride;
    }
    samples.series.into_values().collect()
}

/// What one process has used since it began, and uses now.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    ticks: u64,
    memory_kib: u64,
    read: u64,
    written: u64,
    threads: u64,
    descriptors: u64,
}

#[derive(Debug, Default)]
struct Samples {
    began: Option<Instant>,
    before: Option<Instant>,
    last: HashMap<Identity, Usage>,
    series: BTreeMap<String, ResourceSeries>,
}

impl Samples {
    fn is_full(&self) -> bool {
        self.series.values().any(|series| series.samples.len() >= SAMPLES_MAX)
    }

    fn take(&mut self, root: Identity, names: Roles) {
        let who = Who { pick: Pick::All, ..Who::default() };
        let found = Finder::open(names)
            .and_then(|finder| finder.find(&who, Within::Below(root), Seed(0)))
            .map(|selection| selection.chosen);
        let Ok(mut found) = found else { return };
        found.truncate(PROCESSES_MAX);
        let now = Instant::now();
        let since_ms = |from: Option<Instant>| {
            from.map_or(0, |from| u64::try_from((now - from).as_millis()).unwrap_or(u64::MAX))
        };
        let (at_ms, elapsed_ms) = (since_ms(self.began), since_ms(self.before));
        let named = names_of(&found);
        let mut sums: BTreeMap<&str, (ResourceSample, u64, u64, u64)> = BTreeMap::new();
        let mut seen = HashMap::new();
        for process in &found {
            let Some(usage) = usage(process.identity.pid) else { continue };
            // What was used before the first look says nothing of the time since then.
            let earlier = match self.last.get(&process.identity) {
                Some(earlier) => *earlier,
                None if self.before.is_none() => usage,
                None => Usage::default(),
            };
            seen.insert(process.identity, usage);
            let name = named.get(&process.identity.pid).map_or(NAMELESS, |name| name.as_str());
            let (sample, ticks, read, written) = sums.entry(name).or_default();
            sample.memory_kib += usage.memory_kib;
            sample.threads += usage.threads;
            sample.descriptors += usage.descriptors;
            *ticks += usage.ticks.saturating_sub(earlier.ticks);
            *read += usage.read.saturating_sub(earlier.read);
            *written += usage.written.saturating_sub(earlier.written);
        }
        let per_second = procfs::ticks_per_second().max(1);
        for (name, (sample, ticks, read, written)) in sums {
            if self.series.len() >= SERIES_MAX && !self.series.contains_key(name) {
                continue;
            }
            let used_ms = ticks * 1_000 / per_second;
            let sample = ResourceSample {
                at_ms,
                cpu_percent: (used_ms * 100).checked_div(elapsed_ms).unwrap_or(0),
                read_kib: read.div_ceil(1_024),
                written_kib: written.div_ceil(1_024),
                ..sample
            };
            let new = || ResourceSeries { who: name.to_owned(), samples: Vec::new() };
            self.series.entry(name.to_owned()).or_insert_with(new).samples.push(sample);
        }
        (self.last, self.before) = (seen, Some(now));
    }
}

/// The name that each process counts for, by its number.
fn names_of(found: &[Found]) -> HashMap<i32, String> {
    let by_pid: HashMap<i32, &Found> = found.iter().map(|it| (it.identity.pid, it)).collect();
    let name = |start: &Found| {
        let mut process = start;
        for _ in 0..by_pid.len() {
            match &process.role {
                Some(role) => return Some(role.clone()),
                None => process = by_pid.get(&process.parent)?,
            }
        }
        None
    };
    found.iter().filter_map(|it| Some((it.identity.pid, name(it)?))).collect()
}

/// None if it has ended.
fn usage(pid: i32) -> Option<Usage> {
    let process = procfs::process::Process::new(pid).ok()?;
    let stat = process.stat().ok()?;
    // What belongs to another user is not told: it counts as nothing.
    let io = process.io().ok();
    Some(Usage {
        ticks: stat.utime + stat.stime,
        memory_kib: stat.rss * procfs::page_size() / 1_024,
        read: io.as_ref().map_or(0, |io| io.rchar),
        written: io.as_ref().map_or(0, |io| io.wchar),
        threads: u64::try_from(stat.num_threads).unwrap_or(0),
        descriptors: process.fd_count().unwrap_or(0) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pid: i32, parent: i32, role: Option<&str>) -> Found {
        Found {
            identity: Identity { pid, start: 1 },
            parent,
            comm: String::new(),
            role: role.map(str::to_owned),
            depth: None,
        }
    }

    #[test]
    fn a_process_without_a_role_counts_for_the_nearest_above_it() {
        let all = [
            found(2, 1, Some("app")),
            found(3, 2, None),
            found(4, 3, Some("worker")),
            found(5, 4, None),
            found(6, 1, None),
        ];
        let names = names_of(&all);
        let name = |pid| names.get(&pid).map(String::as_str);
        assert_eq!(
            [2, 3, 4, 5, 6].map(name),
            [Some("app"), Some("app"), Some("worker"), Some("worker"), None]
        );
    }

    #[test]
    fn this_process_uses_something() {
        let own = usage(std::process::id().cast_signed()).expect("it runs");
        assert!(own.memory_kib > 0 && own.threads > 0 && own.descriptors > 0, "{own:?}");
        assert!(usage(i32::MAX).is_none());
    }
}
