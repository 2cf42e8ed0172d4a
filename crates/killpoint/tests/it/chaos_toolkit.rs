//! Experiments of the Chaos Toolkit: carried out, refused, undone however the run ends.

use crate::support::{World, explored, stderr, stdout, unwrapped_stderr};
use killpoint_model::{Class, Outcome, Reason, Verdict};
use std::fs;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(60);

/// A process of somebody else, as far as killpoint is concerned.
struct Bystander(Child);

impl Bystander {
    fn start() -> Self {
        Bystander(Command::new("sleep").arg("1000").spawn().expect("it starts"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// `T` where it is stopped, `S` where it sleeps.
    fn state(&self) -> char {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it is there");
        text.rsplit(") ").next().and_then(|rest| rest.chars().next()).expect("a state")
    }

    fn wait_for(&self, state: char) {
        let since = Instant::now();
        while self.state() != state {
            assert!(since.elapsed() < LIMIT, "it is in state {}, not {state}", self.state());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An experiment whose method is one command of a shell.
fn experiment(world: &World, probe: &str, action: &str, rollback: &str) -> String {
    let process = |kind: &str, name: &str, script: &str, more: &str| {
        let arguments = serde_json::json!(["-c", script]);
        format!(
            r#"{{"type": "{kind}", "name": "{name}"{more},
                "provider": {{"type": "process", "path": "sh", "arguments": {arguments}}}}}"#
        )
    };
    let text = format!(
        r#"{{"title": "A test", "description": "Of a test",
            "steady-state-hypothesis": {{"title": "It is well", "probes": [{}]}},
            "method": [{}], "rollbacks": [{}]}}"#,
        process("probe", "is well", probe, r#", "tolerance": 0"#),
        process("action", "act", action, ""),
        process("action", "undo", rollback, ""),
    );
    let path = world.join("experiment.json");
    fs::write(&path, text).expect("written");
    path.to_str().expect("a text").to_owned()
}

fn run(world: &World, path: &str) -> killpoint_model::report::Report {
    let mut command = world.killpoint();
    command.args(["run", path, "--format", "json", "--out"]).arg(world.out());
    explored(&mut command).report
}

#[test]
fn an_experiment_is_carried_out_and_undone() {
    let world = World::new();
    let path = experiment(&world, "test ! -e broken", "touch done", "echo undone > undone");
    let report = run(&world, &path);
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    assert!(world.join("done").exists());
    assert_eq!(fs::read_to_string(world.join("undone")).expect("undone"), "undone\n", "once");
    let trials = report.campaign.expect("trials").trials;
    assert_eq!(trials[1].fired, 1);
    assert_eq!(trials[1].strikes[1..], ["act: exit status 0", "undo: exit status 0"]);
}

#[test]
fn a_deviation_is_a_violation_that_names_its_probe() {
    let world = World::new();
    let report = run(&world, &experiment(&world, "test ! -e broken", "touch broken", "rm broken"));
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    let campaign = report.campaign.expect("trials");
    assert_eq!(campaign.count(|it| *it == Verdict::Violated(Class::Wrong)), 1);
    let detail = &campaign.trials[1].judgement.detail;
    assert!(detail.starts_with("is well: The command ended with exit status 1"), "{detail}");
    assert!(!world.join("broken").exists(), "it was rolled back");
}

#[test]
fn a_deviation_that_is_watched_for_halts_the_method() {
    let world = World::new();
    let path =
        experiment(&world, "test ! -e broken", "touch broken; sleep 1000; touch on", "rm broken");
    let text = fs::read_to_string(&path).expect("written");
    let watched = r#"{"runtime": {"hypothesis": {"strategy": "continuously"}}, "title""#;
    fs::write(&path, text.replacen(r#"{"title""#, watched, 1)).expect("written");
    let report = run(&world, &path);
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    let trial = &report.campaign.expect("trials").trials[1];
    assert_eq!(trial.judgement.verdict, Verdict::Violated(Class::Wrong), "{trial:#?}");
    assert!(!world.join("broken").exists() && !world.join("on").exists());
}

#[test]
fn an_experiment_whose_steady_state_does_not_hold_does_nothing() {
    let world = World::new();
    let report = run(&world, &experiment(&world, "exit 1", "touch done", "true"));
    assert_eq!(report.result, Outcome::BaselineFailed);
    assert!(!world.join("done").exists());
}

#[test]
fn an_action_that_meets_no_process_is_no_success() {
    let world = World::new();
    // Beyond what the kernel gives to processes.
    let report = run(&world, &experiment(&world, "true", "kill -KILL 99999999", "true"));
    assert_eq!(report.result, Outcome::Vacuous, "{report:#?}");
    let campaign = report.campaign.expect("trials");
    assert_eq!(campaign.count(|it| *it == Verdict::Unknown(Reason::NotFired)), 1);
}

#[test]
fn a_misspelt_experiment_touches_nothing() {
    let world = World::new();
    let path = experiment(&world, "true", "touch done", "true");
    let text = fs::read_to_string(&path).expect("written");
    fs::write(&path, text.replace("steady-state", "stedy-state")).expect("written");
    for verb in ["run", "plan", "import"] {
        let output = world.killpoint().args([verb, &path]).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2));
        assert!(unwrapped_stderr(&output).contains("did you mean `steady-state-hypothesis`?"));
    }
    fs::write(&path, text.replace(r#""path": "sh""#, r#""path": "no-such-program""#)).expect("ok");
    let output = world.killpoint().args(["run", &path]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(unwrapped_stderr(&output).contains("there is no program `no-such-program`"));
    assert!(!world.join("done").exists() && !world.join(".killpoint").exists());
}

#[test]
fn an_imported_experiment_is_a_scenario_with_the_same_plan() {
    let world = World::new();
    let path = experiment(&world, "true", "touch done", "true");
    let output = world.killpoint().args(["import", &path]).output().expect("it starts");
    assert!(output.status.success(), "{}", stderr(&output));
    let imported = world.join("scenario.json");
    fs::write(&imported, &output.stdout).expect("written");
    let digest = |path: &str| {
        let output = world.killpoint().args(["plan", path, "--check"]).output().expect("it starts");
        let text = stdout(&output);
        text.rsplit(' ').next().expect("a digest").trim().to_owned()
    };
    assert_eq!(digest(imported.to_str().expect("a text")), digest(&path));
    assert!(!digest(&path).is_empty());
}

/// Stops a process by an experiment whose method then waits; ends killpoint by a signal.
fn is_undone_after(signal: &str) {
    let world = World::new();
    let target = Bystander::start();
    let stop = format!("kill -STOP {0} && sleep 1000", target.pid());
    let path = experiment(&world, "true", &stop, &format!("kill -CONT {}", target.pid()));
    let mut child = world
        .killpoint()
        .args(["run", &path, "--out"])
        .arg(world.out())
        .spawn()
        .expect("it starts");
    target.wait_for('T');
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status().expect("kill starts");
    assert!(sent.success());
    child.wait().expect("it is ours");
    target.wait_for('S');
    let verified =
        world.killpoint().args(["audit", "verify"]).arg(world.only_run()).output().expect("starts");
    assert!(stdout(&verified).contains("chain whole"), "{verified:?}");
}

#[test]
fn what_an_experiment_stopped_goes_on_when_killpoint_is_killed() {
    is_undone_after("-KILL");
}

#[test]
fn what_an_experiment_stopped_goes_on_when_killpoint_is_interrupted() {
    is_undone_after("-INT");
    is_undone_after("-TERM");
}
