//! Files that are none: a pipe that nobody writes to is refused where a file is named, and does not keep anybody waiting.

use crate::support::{World, stderr, stdout};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const SCENARIO: &str = r#"{"version": 1, "title": "from a pipe", "target": {"command": ["sleep", "9"]},
    "faults": [{"name": "k", "when": {"at": "1ms"}, "do": "kill"}], "invariants": [{"acked-is-durable": {"check": "echo {}"}}]}"#;

fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo starts");
    assert!(made.success());
}

/// The binary with a bound on the time that it takes: who waits for a pipe waits for ever.
fn bounded(world: &World, words: &[&str]) -> Command {
    let binary = world.killpoint();
    let mut command = Command::new("timeout");
    command.args(["--signal", "KILL", "60"]).arg(binary.get_program()).args(words);
    command.current_dir(world.path()).stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

fn refused(world: &World, words: &[&str]) -> String {
    let output = bounded(world, words).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
    stderr(&output)
}

#[test]
fn a_pipe_in_place_of_a_baseline_or_a_plan_is_refused_before_anything_runs() {
    let world = World::new();
    make_pipe(&world.join("pipe"));
    make_pipe(&world.join("pipe.json"));
    for flag in ["--baseline", "--write-baseline", "--journal"] {
        let text =
            refused(&world, &["explore", "--state", "state", flag, "pipe", "--", "touch", "ran"]);
        assert!(text.contains("pipe") && text.contains("file"), "{flag}: {text}");
    }
    fs::write(world.join("scenario.yaml"), SCENARIO).expect("written");
    for flag in ["--baseline", "--write-baseline"] {
        let text = refused(&world, &["run", "scenario.yaml", flag, "pipe"]);
        assert!(text.contains("pipe") && text.contains("file"), "{flag}: {text}");
    }
    let text = refused(&world, &["run", "pipe.json"]);
    assert!(text.contains("cannot read pipe.json"), "{text}");
    assert!(!world.join(".killpoint").exists(), "a run was begun");
}

#[test]
fn a_pipe_in_place_of_a_file_of_a_run_is_refused() {
    let world = World::new();
    fs::write(world.state().join("a.json"), "{\"a\":1}").expect("written");
    let mut explore = world.explore();
    let script = "echo '{\"a\":2}' > \"$KILLPOINT_STATE/a.json\"";
    let output = explore.args(["--", "sh", "-c", script]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let run = world.only_run();
    let finding = run.join("1").display().to_string();
    for name in ["run.json", "findings/1/finding.json", "undo.jsonl"] {
        let (path, kept) = (run.join(name), world.join("kept"));
        fs::rename(&path, &kept).expect("moved");
        make_pipe(&path);
        let text = refused(&world, &["replay", &finding]);
        assert!(text.contains(name) && text.contains("a pipe"), "{name}: {text}");
        fs::rename(&kept, &path).expect("moved back");
    }
    let output = bounded(&world, &["replay", &finding]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// What comes of a command that is handed a text on its standard input, in two parts.
fn handed(world: &World, words: &[&str], text: &str) -> Output {
    let mut command = bounded(world, words);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("it starts");
    let mut input = child.stdin.take().expect("a pipe");
    let (one, other) = text.as_bytes().split_at(text.len() / 2);
    input.write_all(one).expect("taken");
    std::thread::sleep(Duration::from_millis(300));
    input.write_all(other).expect("taken");
    drop(input);
    child.wait_with_output().expect("it ends")
}

#[test]
fn scenarios_supervisions_and_steps_may_come_from_another_command() {
    let world = World::new();
    let output = handed(&world, &["plan", "/dev/stdin", "--format", "json"], SCENARIO);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("from a pipe"), "{}", stdout(&output));
    let supervision = r#"{"processes": {"main": {"command": ["sh", "-c", "exit 3"]}}}"#;
    let words = ["supervise", "--config", "/dev/stdin", "--restart", "never"];
    let output = handed(&world, &words, supervision);
    assert!(stderr(&output).is_empty() || !stderr(&output).contains("cannot read"), "{output:?}");
    let script = "cp \"$KILLPOINT_STEPS\" \"$KILLPOINT_STATE/t\"; mv \"$KILLPOINT_STATE/t\" \"$KILLPOINT_STATE/a\"";
    let words = [
        "explore",
        "--state",
        "state",
        "--steps",
        "/dev/stdin",
        "--",
        "sh",
        "-c",
        script,
        "{steps}",
    ];
    let output = handed(&world, &words, "one\ntwo\n");
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn waiting_for_steps_from_a_pipe_ends_by_a_signal() {
    let world = World::new();
    make_pipe(&world.join("pipe"));
    let mut explore = world.explore();
    let child = explore.args(["--steps", "pipe", "--", "true"]).stderr(Stdio::piped()).spawn();
    let child = child.expect("it starts");
    std::thread::sleep(Duration::from_millis(500));
    let since = Instant::now();
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-s", "TERM", &pid]).status().expect("kill starts");
    assert!(sent.success());
    let output = child.wait_with_output().expect("it ends");
    assert!(since.elapsed() < Duration::from_secs(5), "{}", stderr(&output));
    assert!(!world.out().exists(), "a run was begun");
}
