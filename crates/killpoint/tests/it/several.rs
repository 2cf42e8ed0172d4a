//! Several runs: what went wrong put together, and two of them compared.

use crate::support::{World, is_root, stderr, stdout};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A target that dies by itself in the N-th of its lives, and is struck otherwise.
fn run(world: &World, last_words: &str, title: &str) -> String {
    let script = format!(
        "n=$(cat {{state}}/n 2>/dev/null || echo 0); n=$((n+1)); echo $n > {{state}}/n; \
         if [ $n = 2 ]; then echo \"{last_words} of $$\" >&2; exit 3; fi; exec sleep 1000"
    );
    let text = serde_json::json!({
        "version": 1, "title": title,
        "target": { "command": ["sh", "-c", script], "state": ["./data"],
            // Its first life has counted itself before it is struck.
            "ready": { "by": { "file": "{state}/n" }, "timeout": "30s" },
            "supervisor": { "restart": "always", "backoff": "0ms" } },
        "faults": [{ "when": { "at": "0ms" }, "do": "kill", "trials": 2 }],
        "timeouts": { "trigger": "200ms" },
    });
    let path = world.join("scenario.json");
    fs::write(&path, text.to_string()).expect("written");
    let mut command = world.killpoint();
    command.args(["run", path.to_str().expect("a text"), "--format", "json", "--out"]);
    let output = command.arg(world.out()).output().expect("it starts");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    report["run"].as_str().expect("an id").to_owned()
}

fn json(world: &World, words: &[&str], code: i32) -> Value {
    let mut command = world.killpoint();
    command.args(words).args(["--format", "json", "--out"]).arg(world.out());
    let output = command.output().expect("it starts");
    assert_eq!(output.status.code(), Some(code), "{}{}", stdout(&output), stderr(&output));
    serde_json::from_slice(&output.stdout).expect("a document")
}

#[test]
fn crashes_over_runs_are_put_together_by_what_they_said() {
    let world = World::new();
    let first = run(&world, "fatal: page lost", "one");
    let second = run(&world, "fatal: page lost", "one");
    let other = run(&world, "error: another thing altogether", "one");
    let triage = json(&world, &["triage", &first, &second, &other, &first], 0);
    assert_eq!(triage["runs"].as_array().expect("runs").len(), 3, "{triage:#}");
    let groups = triage["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), 2, "{triage:#}");
    // Each of the two trials of each run has one death that nobody of ours caused.
    assert_eq!((groups[0]["count"].as_u64(), groups[0]["runs"].as_u64()), (Some(4), Some(2)));
    assert_eq!(groups[0]["what"], "main died: exit status 3");
    assert_eq!(groups[0]["common"], "fatal: page lost of <*>");
    assert_eq!(groups[0]["first"]["run"], first.as_str());
    assert_eq!(groups[0]["last"]["run"], second.as_str());
    let replay = groups[0]["replay"].as_str().expect("a line");
    assert!(replay.contains(&format!("replay {first}/1")), "{replay}");
    assert_eq!(groups[1]["count"].as_u64(), Some(2));
    let mut human = world.killpoint();
    human.args(["triage", &first, "--out"]).arg(world.out());
    let text = stdout(&human.output().expect("it starts"));
    assert!(text.contains("2 cases in 1 group, of 1 run"), "{text}");
}

#[test]
fn findings_of_explore_are_put_together_and_compared() {
    let world = World::new();
    let explore = |script: &str| {
        fs::write(world.state().join("a.json"), "{\"a\":1}").expect("written");
        let mut command = world.explore_json();
        command.args(["--", "sh", "-c", script]);
        let output = command.output().expect("it starts");
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        report["run"].as_str().expect("an id").to_owned()
    };
    let wrong = "echo '{\"a\":2}' > \"$KILLPOINT_STATE/a.json\"";
    let right = "echo '{\"a\":2}' > \"$KILLPOINT_STATE/t\" && mv \"$KILLPOINT_STATE/t\" \"$KILLPOINT_STATE/a.json\"";
    let (bad, again, good) = (explore(wrong), explore(wrong), explore(right));
    let triage = json(&world, &["triage", &bad, &again, &good], 0);
    let groups = triage["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), 1, "{triage:#}");
    assert_eq!(groups[0]["by"], "finding");
    assert_eq!((groups[0]["count"].as_u64(), groups[0]["runs"].as_u64()), (Some(2), Some(2)));
    let worse = json(&world, &["compare", &good, &bad], 1);
    let of = |comparison: &Value, direction: &str, what: &str| {
        let changes = comparison["changes"].as_array().expect("changes").clone();
        changes.iter().filter(|it| it["direction"] == direction && it["what"] == what).count()
    };
    assert_eq!((of(&worse, "worse", "finding"), of(&worse, "worse", "result")), (1, 1));
    let better = json(&world, &["compare", &bad, &good], 0);
    assert_eq!((of(&better, "better", "finding"), of(&better, "worse", "finding")), (1, 0));
    let same = json(&world, &["compare", &bad, &again], 0);
    assert_eq!((of(&same, "same", "finding"), of(&same, "worse", "finding")), (1, 0));
}

#[test]
fn programs_of_one_interpreter_are_not_compared_and_what_could_not_be_judged_is_put_together() {
    let world = World::new();
    fs::write(world.state().join("a"), "1").expect("written");
    let explore = |script: &str| {
        fs::write(world.join(script), "echo 2 > \"$KILLPOINT_STATE/a\"").expect("written");
        let mut command = world.explore_json();
        // It works before and after, and not in the crash state between.
        let check = "test -s \"$KILLPOINT_STATE/a\" || exit 127";
        command.args(["--check", check, "--", "sh", script]);
        let output = command.output().expect("it starts");
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        assert_eq!(report["result"], "unknown", "{report:#}");
        report["run"].as_str().expect("an id").to_owned()
    };
    let (one, other) = (explore("save.sh"), explore("save2.sh"));
    let mut command = world.killpoint();
    let output = command.args(["compare", &one, &other, "--out"]).arg(world.out()).output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("`sh save.sh` and `sh save2.sh`"), "{}", stderr(&output));
    let triage = json(&world, &["triage", &one, &other], 0);
    assert_eq!(triage["groups"][0]["what"], "verdict: unknown (judge-failed)", "{triage:#}");
    let example = triage["groups"][0]["example"].as_str().expect("words");
    assert!(example.contains("exit status 127"), "{example}");
    assert_eq!(triage["groups"][0]["runs"], 2);
}

#[test]
fn runs_of_a_scenario_are_compared_and_unlike_ones_refused() {
    let world = World::new();
    let one = run(&world, "fatal: x", "one");
    let again = run(&world, "fatal: x", "one");
    let comparison = json(&world, &["compare", &one, &again], 0);
    assert_eq!(comparison["before"]["run"], one.as_str());
    let other = run(&world, "fatal: x", "another");
    let mut command = world.killpoint();
    command.args(["compare", &one, &other, "--out"]).arg(world.out());
    let output = command.output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("different scenarios, `one` and `another`"));
    let mut command = world.killpoint();
    let output = command.args(["triage", "nowhere"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

/// A program with a finding, and the command that explores it and keeps no older run.
fn explore_and_keep_one(world: &World) -> Command {
    let mut command = world.explore();
    command.args(["--keep", "1", "--", "sh", "-c"]);
    command.arg(r#"echo '{"a":2}' > "$KILLPOINT_STATE/a.json""#);
    command
}

#[test]
fn runs_side_by_side_in_one_folder_all_tell_their_result() {
    let world = World::new();
    fs::write(world.state().join("a.json"), "{\"a\":1}").expect("written");
    for _ in 0..3 {
        let children: Vec<Child> = (0..4)
            .map(|_| {
                let mut command = explore_and_keep_one(&world);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().expect("it ends");
            assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
            assert!(stdout(&output).contains("a.json"), "{}", stdout(&output));
        }
    }
    let kept = fs::read_dir(world.out().join("runs")).expect("runs").count();
    assert!((1..=4).contains(&kept), "{kept} runs are left");
}

#[test]
fn an_old_run_that_cannot_be_removed_is_noted_and_the_result_is_told() {
    if !is_root() {
        println!("skipped: only root can make a directory that somebody else cannot empty");
        return;
    }
    let world = World::new();
    fs::write(world.state().join("a.json"), "{\"a\":1}").expect("written");
    let all = |path: &Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("ours");
    };
    let output = explore_and_keep_one(&world).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let old = world.only_run();
    let runs = world.out().join("runs");
    for path in [world.path(), &world.state(), &world.out(), &runs] {
        all(path);
    }
    all(&world.state().join("a.json"));
    let explore = explore_and_keep_one(&world);
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.arg(explore.get_program()).args(explore.get_args());
    command.current_dir(world.path()).env("HOME", world.path());
    let output = command.output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stdout(&output).contains("cannot be removed"), "{}", stdout(&output));
    assert!(old.exists());
}
