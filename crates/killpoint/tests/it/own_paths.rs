//! Scenarios of programs that know nothing but the path of their own state: they work on a copy of it.

use crate::support::{World, explored, stderr};
use killpoint_model::Outcome;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

fn scenario(world: &World) -> String {
    let state = world.state().display().to_string();
    format!(
        "version: 1
target:
  command: [sh, -c, 'echo ready >> {state}/log; exec sleep 1000']
  state: [state]
  supervisor: {{ restart: always, backoff: 10ms }}
  ready: {{ by: {{ file: '{state}/log' }}, timeout: 10s }}
workload:
  command: [sh, -c, 'echo driven > {state}/driven; sleep 0.3']
  timeout: 20s
faults: [ {{ when: {{ file: driven }}, do: kill }} ]
invariants:
  - command: {{ run: [sh, -c, 'grep -q seed {state}/seed && grep -q ready {state}/log && cat {state}/driven'], judge: [end] }}
  - file: {{ path: driven, exists: true }}
timeouts: {{ trigger: 5s, recovery: 10s }}
"
    )
}

#[test]
fn target_workload_and_checkers_see_the_copy_at_the_path_that_they_know() {
    let world = World::new();
    fs::write(world.state().join("seed"), "seed").expect("written");
    let path = world.join("own.yaml");
    fs::write(&path, scenario(&world)).expect("written");
    let mut command = world.killpoint();
    command.arg("run").arg(&path).args(["--format", "json", "--out"]).arg(world.out());
    let report = explored(&mut command).report;
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let campaign = report.campaign.expect("trials");
    assert_eq!(campaign.trials[1].fired, 1, "its trigger is a file in the copy");
    assert!(report.setting.expect("told").containment.contains("over their own paths"));
    let left: Vec<_> = fs::read_dir(world.state()).expect("there").flatten().collect();
    assert_eq!(left.len(), 1, "the state itself is as it was: {left:?}");
}

#[test]
fn states_in_one_another_and_one_that_holds_the_runs_are_refused() {
    let world = World::new();
    fs::create_dir(world.state().join("inner")).expect("made");
    for (state, out, word) in [
        ("[state, state/inner]", world.out(), "lies in"),
        ("[state]", world.state().join("out"), "--out"),
    ] {
        fs::create_dir_all(&out).expect("made");
        let path = world.join("refused.yaml");
        let text = scenario(&world).replace("[state]", state);
        fs::write(&path, text).expect("written");
        let mut command = world.killpoint();
        let output = command.arg("run").arg(&path).arg("--out").arg(&out).output().expect("starts");
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
}

/// Whether something comes to be so, looked at for a while.
fn becomes(is_so: impl Fn() -> bool) -> bool {
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(30) {
        if is_so() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn a_rollback_after_the_harness_was_killed_works_on_the_copy_as_well() {
    let world = World::new();
    let own = world.state().display().to_string();
    let text = format!(
        "version: 1
target: {{ command: [sleep, '1000'], state: [state] }}
faults:
  - when: {{ at: 0s }}
    do:
      activities:
        method: [ {{ name: do, run: [sh, -c, 'echo $$ > {own}/new; mv {own}/new {own}/begun; exec sleep 1000'], timeout: 60s }} ]
        rollbacks: [ {{ name: undo, run: [sh, -c, 'echo $KILLPOINT_STATE > {own}/undone'], timeout: 60s }} ]
"
    );
    let path = world.join("rollback.yaml");
    fs::write(&path, text).expect("written");
    let mut command = world.killpoint();
    command.arg("run").arg(&path).arg("--out").arg(world.out());
    let mut harness = command.spawn().expect("it starts");
    let copy = || {
        let run = fs::read_dir(world.out().join("runs")).ok()?.flatten().next()?;
        Some(run.path().join("trials/1/state-1"))
    };
    let has = |name: &str| copy().is_some_and(|copy| copy.join(name).exists());
    let has_begun = becomes(|| has("begun"));
    harness.kill().expect("it is ours");
    harness.wait().expect("it is ours");
    assert!(has_begun, "the method began");
    assert!(becomes(|| has("undone")), "the rollback was run: {:?}", copy());
    // What is undone is not done again by who went on.
    let pid = fs::read_to_string(copy().expect("there").join("begun")).expect("there");
    let process = format!("/proc/{}", pid.trim());
    assert!(becomes(|| !Path::new(&process).exists()), "the method still runs as {process}");
    let where_it_was = fs::read_to_string(copy().expect("there").join("undone")).expect("there");
    assert_eq!(where_it_was.trim(), own, "at the path that it knows");
    let left = fs::read_dir(world.state()).expect("there").count();
    assert_eq!(left, 0, "the state itself is as it was");
}
