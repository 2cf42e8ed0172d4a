//! The SDKs of the three languages say the same, by the same calls.

use super::Supervisor;
use crate::support::{World, repository};
use killpoint_model::lifecycle::{Lifecycle, Record};
use std::fs;
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
