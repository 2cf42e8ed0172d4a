//! Bad usage and bad input: a clear error that names what is wrong and what to do, exit code 2, and nothing touched.

use crate::support::{World, guests_directory, is_root, stderr, stdout};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};

/// Runs a command that must be refused, and returns what it said.
fn refused(world: &World, command: &mut Command, words: &[&str]) -> String {
    let before = listing(world);
    let output = command.output().expect("the binary starts");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
    assert_eq!(stdout(&output), "", "{command:?}");
    for word in words {
        assert!(said.contains(word), "`{word}` is missing: {said}");
    }
    assert_eq!(before, listing(world), "something was touched: {said}");
    said
}

/// Every path below the world's directory.
fn listing(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![world.path().to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            let entry = entry.expect("an entry");
            found.push(entry.path().display().to_string());
            if entry.file_type().expect("a type").is_dir() {
                open.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

fn with_true(command: &mut Command) -> &mut Command {
    command.args(["--", "true"])
}

#[test]
fn an_unknown_flag_is_named() {
    let world = World::new();
    let mut command = world.explore();
    refused(&world, with_true(command.arg("--modle=kill")), &["--modle", "--model"]);
}

#[test]
fn an_unknown_model_or_profile_is_named_with_the_known_ones() {
    let world = World::new();
    let mut command = world.explore();
    refused(&world, with_true(command.args(["--model", "kil"])), &["kil", "torn-write"]);
    let mut command = world.explore();
    refused(&world, with_true(command.args(["--profile", "zfs"])), &["zfs", "btrfs"]);
}

#[test]
fn a_command_must_be_given() {
    let world = World::new();
    refused(&world, &mut world.explore(), &["CMD"]);
}

#[test]
fn a_missing_program_is_named() {
    let world = World::new();
    let mut command = world.explore();
    refused(
        &world,
        command.args(["--", "no-such-program-anywhere"]),
        &["no-such-program-anywhere"],
    );
    fs::write(world.join("plain"), "not a program").expect("written");
    let mut command = world.explore();
    refused(&world, command.args(["--", "./plain"]), &["plain", "execut"]);
}

#[test]
fn a_missing_state_directory_is_named() {
    let world = World::new();
    let mut command = world.explore();
    let words = ["missing", "does not exist"];
    refused(&world, with_true(command.args(["--state", "missing"])), &words);
}

#[test]
fn a_file_is_no_state_directory() {
    let world = World::new();
    fs::write(world.join("notes.json"), "{}").expect("written");
    let mut command = world.explore();
    let words = ["notes.json", "is not a directory"];
    refused(&world, with_true(command.args(["--state", "notes.json"])), &words);
}

#[test]
fn nested_state_directories_are_refused() {
    let world = World::new();
    fs::create_dir(world.state().join("inner")).expect("made");
    let mut command = world.explore();
    let words = ["inner", "in one another"];
    refused(&world, with_true(command.args(["--state", "state/inner"])), &words);
}

#[test]
fn the_root_of_the_file_system_is_no_state_directory() {
    let world = World::new();
    let mut command = world.killpoint();
    refused(&world, with_true(command.args(["explore", "--state", "/"])), &["root"]);
}

#[test]
fn a_state_directory_that_is_where_runs_are_kept_is_refused() {
    let world = World::new();
    symlink("state", world.join("link")).expect("made");
    for out in ["state", "state/", "./state/../state", "link"] {
        let mut command = world.killpoint();
        command.args(["explore", "--state", "state", "--out", out]);
        let words = ["holds the folders of runs", "give another --out"];
        refused(&world, with_true(&mut command), &words);
        assert_eq!(fs::read_dir(world.state()).expect("there").count(), 0, "{out}");
    }
}

#[test]
fn an_unreadable_state_directory_is_named() {
    let world = World::new();
    let inner = world.state().join("secret");
    fs::create_dir(&inner).expect("made");
    fs::write(inner.join("file"), "").expect("written");
    let lock = |mode| fs::set_permissions(&inner, fs::Permissions::from_mode(mode)).expect("ours");
    lock(0o000);
    fs::set_permissions(world.path(), fs::Permissions::from_mode(0o777)).expect("ours");
    let mut command = as_ordinary_user(&world);
    command.args(["explore", "--state", "state"]);
    refused(&world, with_true(&mut command), &["secret"]);
    lock(0o755);
}

/// The binary, without root's right to read everything.
fn as_ordinary_user(world: &World) -> Command {
    if !is_root() {
        return world.killpoint();
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(env!("CARGO_BIN_EXE_killpoint"))
        .current_dir(world.path())
        .env("HOME", world.path());
    command
}

#[test]
fn a_journal_with_garbage_is_named_with_its_line() {
    let world = World::new();
    fs::write(world.join("acks"), "I note1 hello\nA note1\nnonsense here\n").expect("written");
    let mut command = world.explore();
    refused(&world, with_true(command.args(["--journal", "acks"])), &["acks", "line 3"]);
    let mut command = world.explore();
    refused(&world, with_true(command.args(["--journal", "nowhere"])), &["nowhere"]);
}

#[test]
fn phases_and_drivers_that_cannot_be_are_named() {
    let cases: [(&[&str], &str); 7] = [
        (&["--phase", "work,end"], "`end`"),
        (&["--phase", "work,recovery"], "--recovery-depth 1"),
        (&["--phase", "recovery", "--recovery-depth", "1", "--check", "echo {}"], "another phase"),
        (&["--recovery-depth", "1"], "needs --check"),
        (&["--phase", "first-start"], "--from-empty"),
        (&["--driver", "true", "--mechanism", "notify"], "--mechanism ptrace"),
        (&["--driver", "true", "--check", "echo {}", "--idempotent"], "runs the command alone"),
    ];
    for (flags, words) in cases {
        let world = World::new();
        refused(&world, with_true(world.explore().args(flags)), &[words]);
    }
    let world = World::new();
    let mut command = world.killpoint();
    command.args(["explore", "--out"]).arg(world.out()).args(["--driver", "true"]);
    refused(&world, with_true(&mut command), &["--driver needs --state"]);
}

#[test]
fn steps_that_cannot_be_are_named() {
    let world = World::new();
    fs::write(world.join("empty"), "\n \n").expect("written");
    fs::write(world.join("steps"), "one\n").expect("written");
    let cases: [(&[&str], &str); 4] = [
        (&["--shrink"], "--shrink needs --steps"),
        (&["--steps", "nowhere"], "nowhere"),
        (&["--steps", "empty"], "has no steps"),
        (&["--steps", "steps", "--shrink", "--scope", "process"], "needs --scope all"),
    ];
    for (flags, words) in cases {
        refused(&world, with_true(world.explore().args(flags)), &[words]);
    }
}

#[test]
fn a_role_that_is_none_is_named() {
    for (role, words) in [
        ("worker", "NAME=SELECTOR"),
        ("worker=cwd:/tmp", "cmdline:PATTERN"),
        ("worker=comm:", "must follow the colon"),
        ("worker=cmdline:(", "no regular expression"),
        ("two words=comm:x", "letters, digits"),
    ] {
        let world = World::new();
        let mut command = world.explore();
        refused(&world, with_true(command.args(["--role", role])), &["--role: ", words]);
    }
}

#[test]
fn an_intent_that_is_none_is_named() {
    let world = World::new();
    let mut command = world.explore();
    refused(&world, with_true(command.args(["--intent", "lonely"])), &["lonely"]);
}

#[test]
fn a_bad_baseline_is_named() {
    let world = World::new();
    fs::write(world.join("baseline.json"), "[1, 2]").expect("written");
    let mut command = world.explore();
    let words = ["baseline.json", "--write-baseline"];
    refused(&world, with_true(command.args(["--baseline", "baseline.json"])), &words);
    let mut command = world.explore();
    refused(&world, with_true(command.args(["--baseline", "nowhere"])), &["nowhere"]);
}

#[test]
fn a_place_where_no_baseline_can_be_written_is_named_before_anything_runs() {
    let world = World::new();
    let scenario = r#"{"version": 1, "title": "t", "target": {"command": ["touch", "ran"]},
        "faults": [{"name": "k", "when": {"at": "1ms"}, "do": "kill"}], "invariants": [{"acked-is-durable": {"check": "echo {}"}}]}"#;
    fs::write(world.join("scenario.json"), scenario).expect("written");
    fs::write(world.join("plain"), "").expect("written");
    for (place, words) in [
        ("nosuch/b.json", "there is no directory"),
        ("plain/b.json", "plain/b.json"),
        ("state", "this is a directory"),
        ("new/", "this is a directory"),
    ] {
        let mut explore = world.explore();
        explore.args(["--write-baseline", place, "--", "touch", "ran"]);
        refused(&world, &mut explore, &[place.trim_end_matches('/'), words]);
        let mut run = world.killpoint();
        run.args(["run", "scenario.json", "--write-baseline", place]);
        refused(&world, &mut run, &[place.trim_end_matches('/'), words]);
    }
    fs::set_permissions(world.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let mut command = as_ordinary_user(&world);
    command.args(["explore", "--state", "state", "--write-baseline", "b.json"]);
    if is_root() {
        refused(&world, with_true(&mut command), &["cannot write", "b.json", "Permission denied"]);
    }
}

#[test]
fn a_baseline_may_lie_where_runs_are_kept_and_replaces_an_older_one() {
    let world = World::new();
    let place = world.out().join("b.json").display().to_string();
    for _ in 0..2 {
        let mut explore = world.explore();
        let script = "cd \"$KILLPOINT_STATE\" && echo 1 > t && mv t a";
        explore.args(["--write-baseline", &place, "--", "sh", "-c", script]);
        let output = explore.output().expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
        assert!(fs::read_to_string(&place).expect("written").contains("version"));
    }
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let world = World::new();
    for (flag, value) in [
        ("--recordings", "1"),
        ("--jobs", "0"),
        ("--jobs", "100000"),
        ("--seed", "dice"),
        ("--timeout", "soon"),
        // A finding that is confirmed by nothing would be an unknown one.
        ("--confirm", "0"),
        ("--confirm", "1001"),
    ] {
        let mut command = world.explore();
        refused(&world, with_true(command.args([flag, value])), &[flag]);
    }
}

#[test]
fn a_replay_of_no_times_is_refused() {
    let world = World::new();
    refused(&world, world.killpoint().args(["replay", "7f3a/1", "--times", "0"]), &["--times"]);
}

#[test]
fn a_working_directory_that_is_gone_is_named() {
    let world = World::new();
    for words in ["explore -- true", "demo", "report 7f3a", "recover"] {
        let script = format!("mkdir gone && cd gone && rmdir ../gone && exec \"$0\" {words}");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).arg(env!("CARGO_BIN_EXE_killpoint"));
        command.current_dir(world.path()).env("HOME", world.path());
        let root = PathBuf::from("/.killpoint");
        let was_there = root.exists();
        refused(&world, &mut command, &["working directory", "gone"]);
        assert_eq!(was_there, root.exists(), "{words}");
    }
}

#[test]
fn a_stream_checker_cannot_be_told_a_path_that_is_no_text() {
    let world = World::new();
    let strange = world.join(OsStr::from_bytes(b"\xff"));
    fs::create_dir(&strange).expect("made");
    let mut command = world.killpoint();
    command.args(["explore", "--check-stream", "cat", "--state"]).arg(strange);
    refused(&world, with_true(&mut command), &["UTF-8", "--check"]);
}

#[test]
fn a_finding_or_run_that_is_not_there_is_named() {
    let world = World::new();
    refused(&world, world.killpoint().args(["replay", "7f3a/1"]), &["7f3a"]);
    refused(&world, world.killpoint().args(["replay", "7f3a"]), &["7f3a", "RUN/N"]);
    refused(&world, world.killpoint().args(["report", "7f3a"]), &["7f3a"]);
}

#[test]
fn a_run_without_a_name_and_a_file_in_place_of_a_directory_are_named() {
    let world = World::new();
    for command in ["report", "recover", "resume"] {
        let words = ["the run has no name", "killpoint report 7f3a"];
        refused(&world, world.killpoint().args([command, ""]), &words);
    }
    fs::write(world.join("plain"), "").expect("written");
    let words = ["cannot write the pages to plain", "name a directory"];
    refused(&world, world.killpoint().args(["man", "plain"]), &words);
}

#[test]
fn a_log_that_is_no_file_is_refused_by_every_command_that_reads_one() {
    let world = World::new();
    let run = world.out().join("runs/abc");
    fs::create_dir_all(&run).expect("made");
    let made = Command::new("mkfifo").arg(run.join("events.jsonl")).status();
    assert!(made.expect("mkfifo starts").success());
    let commands =
        ["report abc", "triage abc", "compare abc abc", "audit verify abc", "recover abc"];
    for words in commands.iter().chain(&["resume abc", "replay abc/1"]) {
        // Who waits for a writer would wait for ever.
        let mut command = Command::new("timeout");
        command.arg("60").arg(world.killpoint().get_program()).args(words.split(' '));
        command.arg("--out").arg(world.out()).current_dir(world.path());
        let output = command.output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{words}: {}", stderr(&output));
        let text = stderr(&output);
        assert!(text.contains("cannot find the event log") && text.contains("no file"), "{text}");
    }
    let mut command = Command::new("timeout");
    command.arg("60").arg(world.killpoint().get_program()).arg("recover").arg("--out");
    let output = command.arg(world.out()).current_dir(world.path()).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_printed_is_no_mistake_of_usage() {
    for words in [&["doctor"][..], &["schema"], &["completions", "bash"], &["man"]] {
        let world = World::new();
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("there");
        let output = world.killpoint().args(words).stdout(full).output().expect("it starts");
        assert_eq!(output.status.code(), Some(70), "{words:?}: {}", stderr(&output));
        let text = stderr(&output);
        assert_eq!(text.matches("cannot write to standard output").count(), 1, "{text}");
    }
}

fn baseline_failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(6), "{}", stderr(output));
    stdout(output)
}

#[test]
fn a_missing_checker_fails_the_control() {
    let world = World::new();
    let guest = guests_directory().join("save-atomic");
    let mut command = world.explore();
    command.args(["--check", "no-such-checker-anywhere", "--"]).arg(guest);
    let said = baseline_failed(&command.output().expect("the binary starts"));
    assert!(said.contains("no-such-checker-anywhere"), "{said}");
}

#[test]
fn an_empty_command_is_refused() {
    let world = World::new();
    for flag in ["--check", "--check-stream", "--driver"] {
        for command in ["", "   "] {
            let mut explore = world.explore();
            let words = [flag, "the command is empty", "leave the flag out"];
            refused(&world, with_true(explore.args([flag, command])), &words);
        }
    }
}

#[test]
fn a_variable_is_given_by_its_name() {
    let world = World::new();
    for text in ["A=B", ""] {
        let mut explore = world.explore();
        let words = ["--env", "the name of a variable", text];
        refused(&world, with_true(explore.args(["--env", text])), &words);
    }
}

#[test]
fn a_directory_where_no_run_can_be_kept_leads_to_out() {
    let world = World::new();
    fs::write(world.join("plain"), "").expect("written");
    let mut explore = world.killpoint();
    let flags = ["explore", "--state", "state", "--out", "plain/here"];
    refused(&world, with_true(explore.args(flags)), &["plain/here", "--out DIR"]);
}

#[test]
fn a_replay_of_a_finding_that_is_not_there_says_how_many_are() {
    let world = World::new();
    fs::write(world.state().join("notes.json"), "{}").expect("written");
    let script = r#"cd "$KILLPOINT_STATE" && echo '{"a": 1}' >notes.json"#;
    let mut explore = world.explore();
    let output = explore.args(["--", "sh", "-c", script]).output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let run = world.only_run();
    let words = ["has 1 finding,", "none has the number 9", "killpoint report"];
    refused(&world, world.killpoint().arg("replay").arg(run.join("9")), &words);
}
