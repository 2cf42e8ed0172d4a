//! `killpoint supervise`: named ends, restarts, what is handed back, requests, and what is left when it is killed.

mod ends;
mod killed;
mod requests;
mod restarts;
mod said;
mod sdk;
mod stops;

use crate::support::World;
use killpoint_model::lifecycle::{Lifecycle, Record};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

/// How often is looked whether something has happened.
const STEP: Duration = Duration::from_millis(5);
/// How many times at most: a minute.
const STEPS_MAX: u32 = 12_000;

/// A supervisor in a directory of its own.
struct Supervisor {
    world: World,
    process: Child,
}

impl Supervisor {
    fn start(flags: &[&str], command: &[&str]) -> Supervisor {
        Supervisor::start_in(World::new(), flags, command)
    }

    /// The mark stands in the environment of everything that it starts, and nowhere else.
    fn start_in(world: World, flags: &[&str], command: &[&str]) -> Supervisor {
        Supervisor::start_telling(world, flags, command, Stdio::null())
    }

    /// The same, with somebody at the other end of its standard output.
    fn start_telling(world: World, flags: &[&str], command: &[&str], output: Stdio) -> Supervisor {
        let mut tool = world.killpoint();
        tool.args(["supervise", "--events", "events.jsonl", "--quiet"]).args(flags);
        if !command.is_empty() {
            tool.arg("--").args(command);
        }
        tool.env("KILLPOINT_TEST_MARK", world.path()).env("TMPDIR", world.path());
        tool.stdin(Stdio::piped()).stdout(output).stderr(Stdio::inherit());
        let process = tool.spawn().expect("the tool starts");
        Supervisor { world, process }
    }

    fn records(&self) -> Vec<Record> {
        let text = fs::read_to_string(self.world.join("events.jsonl")).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// Waits until as many events as that are such.
    fn wait_for(
        &mut self,
        what: &str,
        count: usize,
        is_such: impl Fn(&Record) -> bool,
    ) -> Vec<Record> {
        for _ in 0..STEPS_MAX {
            let ended = self.process.try_wait().expect("our own child").is_some();
            let records = self.records();
            if records.iter().filter(|record| is_such(record)).count() >= count {
                return records;
            }
            assert!(!ended, "the supervisor ended before {what}: {records:#?}");
            thread::sleep(STEP);
        }
        panic!("in vain waited for {what}: {:#?}", self.records());
    }

    fn wait_for_id(&mut self, id: &str, count: usize) -> Vec<Record> {
        self.wait_for(id, count, |record| record.event.id() == id)
    }

    /// Waits until it has ended by itself.
    fn end(&mut self) -> (ExitStatus, Vec<Record>) {
        for _ in 0..STEPS_MAX {
            if let Some(status) = self.process.try_wait().expect("our own child") {
                return (status, self.records());
            }
            thread::sleep(STEP);
        }
        panic!("the supervisor does not end: {:#?}", self.records());
    }

    /// Asks it to stop and waits.
    fn stop(&mut self) -> (ExitStatus, Vec<Record>) {
        signal("TERM", self.process.id());
        self.end()
    }

    /// Sends a request over its standard input.
    fn request(&mut self, line: &str) {
        let input = self.process.stdin.as_mut().expect("a pipe");
        writeln!(input, "{line}").expect("the supervisor reads");
    }

    /// The processes that carry the mark.
    fn processes(&self) -> Vec<String> {
        let mark = format!("KILLPOINT_TEST_MARK={}", self.world.path().display()).into_bytes();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("/proc is mounted").flatten() {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|variable| variable == mark) {
                let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let command = String::from_utf8_lossy(&command).replace('\0', " ");
                found.push(format!("{} {command}", entry.file_name().display()));
            }
        }
        found
    }

    /// Waits until none is left, and nothing lies around.
    fn expect_nothing_left(&self, at: &str) {
        for _ in 0..STEPS_MAX {
            if self.processes().is_empty() && self.litter().is_empty() {
                return;
            }
            thread::sleep(STEP);
        }
        panic!("{at}: left {:?} and {:?}", self.processes(), self.litter());
    }

    /// What the supervisor made in the temporary directory, and control groups of that name.
    fn litter(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.world.path()).expect("readable");
        let names = entries.map(|entry| entry.expect("an entry").path());
        names
            .filter(|path| {
                path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("killpoint-"))
            })
            .collect()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // Its guardian is our own child, and clears up after both.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.expect("kill starts").success());
}

/// The number of the supervisor itself, which is a child of the process that was started.
fn supervisor_pid(records: &[Record]) -> u32 {
    match &records[0].event {
        Lifecycle::SupervisorStarted { pid, .. } => pid.cast_unsigned(),
        other => panic!("the first event is {}", other.id()),
    }
}

/// The numbers of the processes that were started, in their order.
fn started(records: &[Record]) -> Vec<u32> {
    let pid = |record: &Record| match &record.event {
        Lifecycle::Started { pid, .. } => Some(pid.cast_unsigned()),
        _ => None,
    };
    records.iter().filter_map(pid).collect()
}

fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.event.id()).collect()
}
