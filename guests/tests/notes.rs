//! The notes editor under kills of its processes: what was acknowledged is there, what was queued is
//! delivered once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory for one run of the editor.
struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        World(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn notes(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_notes"));
        command
            .args(arguments)
            .env("KILLPOINT_STATE", self.path("state"))
            .env("KILLPOINT_JOURNAL", self.path("journal"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }

    /// The receiver, and the address at which it listens.
    fn receiver(&self, address: &str, flags: &[&str]) -> (Running, String) {
        let mut command = self.notes(&["receive", "--receiver", address]);
        command.args(flags).env("KILLPOINT_STATE", self.path("received"));
        let mut child = Running(command.spawn().expect("it starts"));
        let mut line = String::new();
        BufReader::new(child.0.stdout.take().expect("a pipe")).read_line(&mut line).expect("text");
        let address = line.trim_end().strip_prefix("receiving at ").expect("an address").to_owned();
        (child, address)
    }

    fn received(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("received/received.txt")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn journal(&self) -> String {
        fs::read_to_string(self.path("journal")).unwrap_or_default()
    }

    fn acknowledged(&self) -> BTreeSet<String> {
        let journal = self.journal();
        let ids = journal.lines().filter_map(|line| line.strip_prefix("A! #"));
        ids.map(str::to_owned).collect()
    }
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process of this type below the window, once it is there.
fn child_of_type(window: u32, kind: &str) -> i32 {
    let since = Instant::now();
    loop {
        let path = format!("/proc/{window}/task/{window}/children");
        let children = fs::read_to_string(path).unwrap_or_default();
        let is_it = |pid: &i32| {
            let cmdline = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            cmdline.contains(&format!("--type={kind}"))
        };
        let found = children.split_whitespace().filter_map(|word| word.parse().ok()).find(is_it);
        if let Some(pid) = found {
            return pid;
        }
        assert!(since.elapsed() < PATIENCE, "there is no {kind}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a number");
    // It may have ended by itself.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// What the store holds, as its check prints it.
fn check(world: &World, store: &str) -> BTreeMap<String, serde_json::Value> {
    let output = world.notes(&["check", "--store", store]).output().expect("it runs");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("an object")
}

#[test]
fn queued_operations_survive_deaths_and_a_lost_network_and_are_delivered_once() {
    let world = World::new();
    let (receiver, address) = world.receiver("127.0.0.1:0", &[]);
    let arguments = ["--store", "queue", "--receiver", &address, "--edits", "120", "--every", "3"];
    let mut window = Running(world.notes(&arguments).spawn().expect("it starts"));
    for round in 1..=4_usize {
        wait_until("nothing is acknowledged", || world.acknowledged().len() >= round * 12);
        kill(child_of_type(window.0.id(), "worker"));
    }
    drop(receiver);
    let before = world.acknowledged().len();
    wait_until("nobody saves without a network", || world.acknowledged().len() >= before + 10);
    let (_receiver, _) = world.receiver(&address, &[]);
    assert!(window.0.wait().expect("it ends").success());
    let ids: BTreeSet<String> = world.acknowledged();
    assert_eq!(ids.len(), 120);
    let received = world.received();
    assert_eq!(received.len(), 120, "each once");
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>(), ids);
    assert_eq!(check(&world, "queue")["outbox"].as_array().expect("ids").len(), 120);
}

#[test]
fn what_the_window_had_acknowledged_is_there_when_it_is_killed_and_started_again() {
    for store in ["atomic", "sqlite"] {
        let world = World::new();
        for round in 1..=3_usize {
            let arguments = ["--store", store, "--every", "1", "--drafts"];
            let window = Running(world.notes(&arguments).spawn().expect("it starts"));
            let count = || world.journal().lines().filter(|line| line.starts_with('A')).count();
            wait_until("nothing is acknowledged", || count() >= round * 15);
            drop(window);
            let latest = |line: &str| line.split("edit%20").nth(1)?.split(':').next()?.parse().ok();
            let journal = world.journal();
            let lines: Vec<&str> = journal.lines().collect();
            let acknowledged = lines.iter().rposition(|line| line.starts_with('A')).expect("one");
            let expected: u64 = latest(lines[acknowledged - 1]).expect("its intent");
            let held = check(&world, store);
            let number = |value: &serde_json::Value| {
                value.as_str()?.split([' ', ':']).nth(1)?.parse::<u64>().ok()
            };
            let latest = held.values().filter_map(number).max().expect("notes");
            assert!(latest >= expected, "{store}: {latest} of {expected}");
        }
    }
}

#[test]
fn unsaved_text_is_brought_back() {
    let world = World::new();
    fs::create_dir_all(world.path("state")).expect("a directory");
    fs::write(world.path("state/draft.json"), r#"{"note-3": "edit 7: unsaved"}"#).expect("written");
    let run = world.notes(&["--store", "atomic", "--drafts", "--edits", "1"]).output();
    let said = String::from_utf8(run.expect("it runs").stdout).expect("text");
    assert!(said.contains("restored the draft of note-3"), "{said}");
    assert_eq!(check(&world, "atomic")["note-3"], "edit 7: unsaved");
    assert!(!world.path("state/draft.json").exists());
}

#[test]
fn it_says_when_it_is_ready_and_that_it_is_alive_and_ends_when_it_is_told_to() {
    let world = World::new();
    let socket = UnixDatagram::bind(world.path("notify")).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let mut command = world.notes(&["--store", "atomic", "--every", "1"]);
    command.env("KILLPOINT_NOTIFY_SOCKET", world.path("notify"));
    let mut window = Running(command.spawn().expect("it starts"));
    let hear = || {
        let mut bytes = [0; 100];
        let length = socket.recv(&mut bytes).expect("it says something");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    for expected in ["READY=1", "X_KILLPOINT_CHECKPOINT=1", "WATCHDOG=1"] {
        assert_eq!(hear(), expected);
    }
    let pid = rustix::process::Pid::from_child(&window.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    while hear() != "STOPPING=1" {}
    assert!(window.0.wait().expect("it ends").success());
}

#[test]
fn a_receiver_that_does_not_look_applies_an_operation_twice() {
    let world = World::new();
    let (_receiver, address) = world.receiver("127.0.0.1:0", &["--naive"]);
    let send = || {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(&address).expect("it listens");
        stream.write_all(b"0001-000001\tnote-1\ttext\n").expect("sent");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("answered");
        assert_eq!(answer, "0001-000001\n");
    };
    send();
    send();
    assert_eq!(world.received(), ["0001-000001", "0001-000001"]);
    assert!(Path::new(&world.path("received")).is_dir());
}
