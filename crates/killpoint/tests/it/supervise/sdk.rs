//! The SDKs of the three languages say the same, by the same calls.

use super::Supervisor;
use crate::support::{World, repository};
use killpoint_model::lifecycle::{Lifecycle, Record};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

const PYTHON: &str = r##"
import sys; sys.path.insert(0, sys.argv[1])
import killpoint as k, os
k.ready(); k.heartbeat(); k.checkpoint(7); k.oplog_flushed(9); k.checkpoint(-1)
k.intent("a b", "100% \u00fc"); k.ack("a b"); k.draft("#d", "-"); k.intent_to_delete("x"); k.intent("e", "")
k.intent("s", "sha256:x"); k.intent("", "v"); k.intent("long", "v" * 5000)
k.shutdown()
print("unsaid", k.unsaid(), "supervised", k.is_supervised(), flush=True)
"##;

const NODE: &str = r##"
const k = require(process.argv[1] + "/killpoint.js");
k.ready(); k.heartbeat(); k.checkpoint(7); k.oplogFlushed(9); k.checkpoint(-1);
k.intent("a b", "100% \u00fc"); k.ack("a b"); k.draft("#d", "-"); k.intentToDelete("x"); k.intent("e", "");
k.intent("s", "sha256:x"); k.intent("", "v"); k.intent("long", "v".repeat(5000));
k.shutdown();
const word = k.isSupervised() ? "True" : "False";
console.log("unsaid", k.unsaid(), "supervised", word);
"##;

const JOURNAL: &str = "I a%20b 100%25%20ü\nA a%20b\nD %23d %2D\nI x -\nI e \nI s sha256%3Ax\n";

/// The command of each language, and how many of its calls cannot be carried out.
fn languages() -> Vec<(&'static str, Vec<String>, u32)> {
    let sdk = repository().join("sdk");
    let directory = |name: &str| sdk.join(name).display().to_string();
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let rust = ::guests::binaries_directory().join("sdk-calls").display().to_string();
    vec![
        ("Python", words(&["python3", "-c", PYTHON, &directory("python")]), 3),
        ("JavaScript", words(&["node", "-e", NODE, &directory("node")]), 3),
        // Its types leave no room for a negative number.
        ("Rust", words(&[&rust]), 2),
    ]
}

#[test]
fn every_call_is_heard_in_its_order_and_the_journal_is_that_of_the_other_languages() {
    crate::support::guests_directory();
    for (language, command, unsaid) in languages() {
        let world = World::new();
        let journal = world.join("journal");
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let line = format!("KILLPOINT_JOURNAL={} exec \"$@\"", journal.display());
        let mut whole = vec!["sh", "-c", &line, "sh"];
        whole.extend(command);
        let flags = ["--restart", "never", "--ready", "notify", "--output", "logs"];
        let mut supervisor = Supervisor::start_in(world, &flags, &whole);
        let (status, records) = supervisor.end();
        assert_eq!(
            said(&records),
            ["ready", "heartbeat", "7", "9", "stopping"],
            "{language}: {records:#?}"
        );
        assert_eq!(fs::read_to_string(&journal).expect("written"), JOURNAL, "{language}");
        let output = fs::read_to_string(supervisor.world.join("logs/main.1.stdout")).expect("kept");
        assert_eq!(output, format!("unsaid {unsaid} supervised True\n"), "{language}");
        assert_eq!(status.code(), Some(0), "{language}");
    }
}

fn said(records: &[Record]) -> Vec<String> {
    let word = |record: &Record| match &record.event {
        Lifecycle::Ready { .. } => Some("ready".to_owned()),
        Lifecycle::Heartbeat {} => Some("heartbeat".to_owned()),
        Lifecycle::CheckpointSaved { sequence } | Lifecycle::OplogFlushed { sequence } => {
            Some(sequence.to_string())
        }
        Lifecycle::Stopping { by_itself: true } => Some("stopping".to_owned()),
        _ => None,
    };
    records.iter().filter_map(word).collect()
}

/// Runs a command with these variables and returns what it prints.
fn run(command: &[String], variables: &[(&str, &Path)]) -> String {
    let mut it = Command::new(&command[0]);
    it.args(&command[1..]).stdin(Stdio::null());
    for name in ["KILLPOINT_NOTIFY_SOCKET", "KILLPOINT_NOTIFY_LINES", "KILLPOINT_JOURNAL"] {
        it.env_remove(name);
    }
    it.envs(variables.iter().copied());
    let output = it.output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn without_a_supervisor_nothing_is_said_and_nothing_goes_wrong() {
    crate::support::guests_directory();
    for (language, command, _) in languages() {
        assert_eq!(run(&command, &[]), "unsaid 0 supervised False\n", "{language}");
    }
}

#[test]
fn a_variable_that_is_empty_is_none_in_every_language() {
    crate::support::guests_directory();
    let empty = Path::new("");
    let variables = [
        ("KILLPOINT_NOTIFY_SOCKET", empty),
        ("KILLPOINT_NOTIFY_LINES", empty),
        ("KILLPOINT_JOURNAL", empty),
    ];
    for (language, command, _) in languages() {
        assert_eq!(run(&command, &variables), "unsaid 0 supervised False\n", "{language}");
    }
}

#[test]
fn what_is_far_too_long_for_a_line_costs_its_caller_no_time() {
    const PYTHON: &str = r##"
import sys; sys.path.insert(0, sys.argv[1])
import killpoint as k, time
long = "x " * 10_000_000
since = time.monotonic()
k.intent("k", long); k.draft(long, "v"); k.ack(long)
print("unsaid", k.unsaid(), time.monotonic() - since < 1)
"##;
    const NODE: &str = r##"
const k = require(process.argv[1] + "/killpoint.js");
const long = "x ".repeat(10_000_000);
const since = process.hrtime.bigint();
k.intent("k", long); k.draft(long, "v"); k.ack(long);
console.log("unsaid", k.unsaid(), process.hrtime.bigint() - since < 10n ** 9n ? "True" : "False");
"##;
    let sdk = repository().join("sdk");
    for (name, program, flag, script) in
        [("python", "python3", "-c", PYTHON), ("node", "node", "-e", NODE)]
    {
        let world = World::new();
        let directory = sdk.join(name).display().to_string();
        let (journal, _, printed) = heard(&[program, flag, script, &directory], &world);
        assert_eq!((journal.as_str(), printed.as_str()), ("", "unsaid 3 True\n"), "{name}");
    }
}

#[test]
fn a_supervisor_that_is_gone_and_a_journal_that_cannot_be_written_are_counted_and_nothing_blocks() {
    crate::support::guests_directory();
    let world = World::new();
    let gone = world.join("gone");
    let full = Path::new("/dev/full");
    // A pipe that nobody reads: who waits for a reader would hang here.
    let pipe = world.join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo starts");
    assert!(made.success());
    for (language, command, unsaid) in languages() {
        for journal in [full, &pipe] {
            let variables = [
                ("KILLPOINT_NOTIFY_SOCKET", gone.as_path()),
                ("KILLPOINT_NOTIFY_LINES", pipe.as_path()),
                ("KILLPOINT_JOURNAL", journal),
            ];
            let said = run(&command, &variables);
            // All five messages and six lines, besides what can never be said.
            assert_eq!(said, format!("unsaid {} supervised True\n", 11 + unsaid), "{language}");
        }
    }
}

/// Runs a script with a journal and a socket that listens, or a pipe that is read; the journal and all
/// messages.
fn heard(command: &[&str], world: &World) -> (String, Vec<String>, String) {
    let words: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
    let [path, pipe, journal] = ["notify", "lines", "journal"].map(|name| world.join(name));
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_nonblocking(true).expect("ours");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo starts").success());
    let mut lines = OpenOptions::new().read(true).write(true).open(&pipe).expect("a pipe");
    let variables = [
        ("KILLPOINT_NOTIFY_SOCKET", path.as_path()),
        ("KILLPOINT_NOTIFY_LINES", pipe.as_path()),
        ("KILLPOINT_JOURNAL", journal.as_path()),
    ];
    let printed = run(&words, &variables);
    let (mut messages, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(length) = socket.recv(&mut buffer) {
        messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    // So that there is something to read.
    lines.write_all(b"0 END\n").expect("room");
    let length = lines.read(&mut buffer).expect("readable");
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let said = text.lines().filter_map(|line| Some(line.split_once(' ')?.1.to_owned()));
    messages.extend(said.filter(|it| it != "END"));
    (fs::read_to_string(&journal).unwrap_or_default(), messages, printed)
}

#[test]
fn a_signal_handler_of_python_says_what_it_has_to_say_whatever_it_interrupts() {
    const SCRIPT: &str = r##"
import sys; sys.path.insert(0, sys.argv[1])
import killpoint as k, os, signal
said = 0
def handler(*_):
    global said
    if said == 0: k.shutdown()
    k.ack("handler"); said += 1
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
for number in range(20000):
    k.ack("k")
    if number < 5: k.checkpoint(number)
signal.setitimer(signal.ITIMER_REAL, 0)
print(said > 0)
"##;
    let world = World::new();
    let sdk = repository().join("sdk/python").display().to_string();
    let (journal, messages, printed) =
        heard(&["timeout", "60", "python3", "-c", SCRIPT, &sdk], &world);
    assert_eq!(printed, "True\n");
    assert_eq!(journal.lines().filter(|line| *line == "A k").count(), 20_000);
    assert!(journal.lines().any(|line| line == "A handler"), "said from the handler");
    assert!(messages.iter().any(|it| it == "STOPPING=1"), "{messages:?}");
}

#[test]
fn an_application_that_closes_every_number_keeps_what_it_opens_next_to_itself() {
    const PYTHON: &str = r##"
import sys; sys.path.insert(0, sys.argv[1])
import killpoint as k, os
k.ready(); k.ack("one")
os.closerange(3, 64)
mine = [os.open("mine%d" % n, os.O_RDWR | os.O_CREAT) for n in range(8)]
k.heartbeat(); k.ack("two"); k.checkpoint(3)
if os.fork() == 0:
    k.ack("child"); os._exit(0)
os.wait()
k.ack("three")
for n in mine: os.write(n, b"x")
print("unsaid", k.unsaid(), [os.fstat(n).st_size for n in mine])
"##;
    const NODE: &str = r##"
const k = require(process.argv[1] + "/killpoint.js"), fs = require("fs");
k.ready(); k.ack("one");
// Its own numbers, and no others of the interpreter's.
for (const n of fs.readdirSync("/proc/self/fd")) {
  let to = ""; try { to = fs.readlinkSync(`/proc/self/fd/${n}`); } catch {}
  if (/\/(journal|lines)$/.test(to)) fs.closeSync(Number(n));
}
const mine = [...Array(8).keys()].map((n) => fs.openSync(`mine${n}`, "w+"));
k.heartbeat(); k.ack("two"); k.checkpoint(3);
require("child_process").spawnSync(process.execPath,
  ["-e", `require("${process.argv[1]}/killpoint.js").ack("child")`]);
k.ack("three");
for (const n of mine) fs.writeSync(n, "x");
console.log("unsaid", k.unsaid(), JSON.stringify(mine.map((n) => fs.fstatSync(n).size)).replaceAll(",", ", "));
"##;
    let sdk = repository().join("sdk");
    for (name, program, flag, script) in
        [("python", "python3", "-c", PYTHON), ("node", "node", "-e", NODE)]
    {
        let world = World::new();
        let directory = sdk.join(name).display().to_string();
        let line = format!("cd {} && exec \"$@\"", world.path().display());
        let (journal, messages, printed) =
            heard(&["sh", "-c", &line, "sh", program, flag, script, &directory], &world);
        assert_eq!(printed, "unsaid 0 [1, 1, 1, 1, 1, 1, 1, 1]\n", "{name}");
        assert_eq!(journal, "A one\nA two\nA child\nA three\n", "{name}");
        assert_eq!(messages, ["READY=1", "WATCHDOG=1", "X_KILLPOINT_CHECKPOINT=3"], "{name}");
    }
}

#[test]
fn what_is_no_line_or_no_number_is_counted_and_not_written() {
    const PYTHON: &str = r##"
import sys; sys.path.insert(0, sys.argv[1])
import killpoint as k
class Empty:
    def __str__(self): return ""
k.intent("k", None); k.draft("k", None); k.intent(None, "v"); k.ack(None); k.intent(Empty(), "v")
k.intent("half", "\ud800"); k.ack("\udc00"); k.checkpoint(2**70); k.checkpoint(None)
k.intent("k", Empty()); k.intent(1, 2); k.intent_to_delete("k"); k.ack("k")
print("unsaid", k.unsaid())
"##;
    const NODE: &str = r##"
const k = require(process.argv[1] + "/killpoint.js");
const empty = { toString: () => "" };
k.intent("k"); k.draft("k", null); k.intent(null, "v"); k.ack(); k.intent([], "v");
k.intent("half", "\ud800"); k.ack("\udc00"); k.checkpoint(2n ** 70n); k.checkpoint(null);
k.intent("k", empty); k.intent(1, 2); k.intentToDelete("k"); k.ack("k");
console.log("unsaid", k.unsaid());
"##;
    let sdk = repository().join("sdk");
    for (name, program, flag, script) in
        [("python", "python3", "-c", PYTHON), ("node", "node", "-e", NODE)]
    {
        let world = World::new();
        let directory = sdk.join(name).display().to_string();
        let (journal, messages, printed) = heard(&[program, flag, script, &directory], &world);
        assert_eq!(printed, "unsaid 9\n", "{name}");
        assert_eq!(journal, "I k \nI 1 2\nI k -\nA k\n", "{name}");
        assert_eq!(messages, Vec::<String>::new(), "{name}");
    }
}
