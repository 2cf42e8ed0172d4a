//! Scenarios: the shipped ones end as they say, plans are the same everywhere, and nothing that did
//! not happen passes.

use crate::support::{
    World, explored, guests_directory, repository, stderr, stdout, unwrapped_stderr,
};
use killpoint_model::lifecycle::Lifecycle;
use killpoint_model::report::{MarkKind, Report};
use killpoint_model::{Class, Outcome, Plan, Reason, Verdict};
use std::fs;
use std::process::Command;

/// The default seed and three others; or so many as the nightly command asks for.
pub fn seeds() -> Vec<String> {
    let count = std::env::var("KILLPOINT_TEST_SEEDS");
    let count = count.map_or(4, |text| text.parse().expect("a number"));
    std::iter::once(42).chain(1..).take(count).map(|seed: u64| seed.to_string()).collect()
}

pub(crate) fn command(world: &World, verb: &str) -> Command {
    let mut command = world.killpoint();
    command.arg(verb).env("NOTES", guests_directory().join("notes"));
    command
}

pub fn run(world: &World, scenario: &str, arguments: &[&str]) -> Report {
    let mut command = command(world, "run");
    command.arg(scenario).args(arguments).args(["--format", "json", "--out"]).arg(world.out());
    explored(&mut command).report
}

pub(crate) fn shipped(name: &str, seed: &str) -> Report {
    let world = World::new();
    let path = repository().join("scenarios").join(name);
    run(&world, path.to_str().expect("a text"), &["--seed", seed])
}

/// Writes a scenario into a test's directory; its path.
pub fn write(world: &World, name: &str, text: &str) -> String {
    let path = world.join(name);
    fs::write(&path, text).expect("written");
    path.to_str().expect("a text").to_owned()
}

#[test]
fn notes_that_race_lose_acknowledged_edits() {
    for seed in &seeds() {
        let report = shipped("notes-race.yaml", seed);
        assert_eq!(report.result, Outcome::Violated, "seed {seed}: {report:#?}");
        let campaign = report.campaign.expect("trials");
        assert!(campaign.count(|verdict| *verdict == Verdict::Violated(Class::Lost)) > 0);
    }
}

#[test]
fn notes_that_are_replaced_atomically_hold() {
    for seed in &seeds() {
        let report = shipped("notes-atomic.yaml", seed);
        assert_eq!(report.result, Outcome::Pass, "seed {seed}: {report:#?}");
        let campaign = report.campaign.expect("trials");
        assert_eq!(campaign.trials.iter().map(|trial| trial.fired).sum::<u64>(), 5);
        assert!(campaign.trials.iter().all(|trial| trial.acknowledged > 0), "{campaign:#?}");
        assert_eq!(campaign.recoveries_us.len(), 3, "each kill of the editor is come back from");
    }
}

#[test]
fn the_log_of_a_scenario_gives_the_same_reports_again_and_they_tell_what_happened() {
    let world = World::new();
    let path = repository().join("scenarios/notes-atomic.yaml");
    let report = run(&world, path.to_str().expect("a text"), &["--seed", "1"]);
    let folder = world.only_run();
    let names = ["report.html", "report.json", "junit.xml"];
    let read = || names.map(|name| fs::read(folder.join(name)).expect(name));
    let live = read();
    for name in names {
        fs::remove_file(folder.join(name)).expect("removed");
    }
    let again = world.killpoint().arg("report").arg(&folder).output().expect("it starts");
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(read() == live, "the log alone gives the same bytes");
    let campaign = report.campaign.expect("trials");
    for trial in campaign.trials.iter().filter(|trial| trial.rule == "editor") {
        let kinds: Vec<MarkKind> = trial.timeline.marks.iter().map(|mark| mark.kind).collect();
        let count = |kind| kinds.iter().filter(|it| **it == kind).count();
        assert_eq!((count(MarkKind::Struck), count(MarkKind::Recovered)), (1, 1), "{trial:#?}");
        assert_eq!((count(MarkKind::Started), count(MarkKind::Died)), (2, 1), "{trial:#?}");
        assert_eq!(count(MarkKind::Stopped), 1, "the stop at the end is told, too");
        let times: Vec<u64> = trial.timeline.marks.iter().map(|mark| mark.at_us).collect();
        let struck = kinds.iter().position(|kind| *kind == MarkKind::Struck).expect("one");
        let died = kinds.iter().position(|kind| *kind == MarkKind::Died).expect("one");
        assert!(times[struck] <= times[died], "{trial:#?}");
    }
    assert!(campaign.objectives.iter().any(|it| it.objective == "restarts"), "{campaign:#?}");
}

#[test]
fn notes_in_sqlite_hold() {
    for seed in &seeds() {
        let report = shipped("notes-sqlite.yaml", seed);
        assert_eq!(report.result, Outcome::Pass, "seed {seed}: {report:#?}");
    }
}

#[test]
fn a_plan_is_printed_the_same_each_time_and_can_be_carried_out_in_part() {
    let world = World::new();
    let scenario = repository().join("scenarios/notes-atomic.yaml");
    let print = || {
        let mut command = command(&world, "plan");
        let output = command.arg(&scenario).args(["--format", "json"]).output().expect("it starts");
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let text = print();
    assert_eq!(text, print());
    let plan: Plan = serde_json::from_str(&text).expect("a plan");
    assert_eq!(plan.verify(), Ok(()));
    let path = write(&world, "plan.json", &text);
    let report = run(&world, &path, &["--trial", "2", "--repeat", "2"]);
    let campaign = report.campaign.expect("trials");
    let trials: Vec<(u64, u32)> =
        campaign.trials.iter().map(|trial| (trial.trial, trial.attempt)).collect();
    assert_eq!(trials, [(0, 1), (2, 1), (2, 2)]);
    let changed = write(&world, "changed.json", &text.replace("\"trials\": 3", "\"trials\": 4"));
    let output = command(&world, "run").arg(&changed).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("the plan was changed"), "{}", stderr(&output));
}

const SLEEPER: &str = "version: 1
target: { command: [sleep, '1000'] }
faults: [ { when: { at: 50ms }, do: kill, who: { select: { comm: WHO } } } ]
timeouts: { trigger: 100ms, recovery: 10s }
";

#[test]
fn a_strike_that_meets_nobody_never_passes() {
    let world = World::new();
    let path = write(&world, "nobody.yaml", &SLEEPER.replace("WHO", "nobody"));
    let report = run(&world, &path, &[]);
    assert_eq!(report.result, Outcome::Vacuous);
    let junit = fs::read_to_string(world.only_run().join("junit.xml")).expect("written");
    assert!(junit.contains(r#"<testcase name="trial 1, fault-1""#), "{junit}");
    assert!(junit.contains(r#"type="not-fired""#), "{junit}");
    let campaign = report.campaign.expect("trials");
    assert_eq!(campaign.count(|it| *it == Verdict::Unknown(Reason::NotFired)), 1);
    let path = write(&world, "somebody.yaml", &SLEEPER.replace("WHO", "sleep"));
    assert_eq!(run(&world, &path, &[]).result, Outcome::Pass);
}

#[test]
fn a_target_that_does_not_come_back_is_bricked() {
    let world = World::new();
    let text = "version: 1
target:
  command: [sh, -c, 'test -e {state}/once && exit 1; touch {state}/once; exec sleep 1000']
  supervisor: { restart: on-failure, backoff: 10ms, start-limit: { count: 3, within: 1m } }
  ready: { by: { file: '{state}/once' }, timeout: 10s }
faults: [ { when: { at: 50ms }, do: kill } ]
timeouts: { trigger: 100ms, recovery: 20s }
";
    let report = run(&world, &write(&world, "bricked.yaml", text), &[]);
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    let campaign = report.campaign.expect("trials");
    assert_eq!(campaign.count(|it| *it == Verdict::Violated(Class::Bricked)), 1, "{campaign:#?}");
}

#[test]
fn a_control_that_does_not_hold_strikes_nobody() {
    let world = World::new();
    let text =
        SLEEPER.replace("WHO", "sleep") + "invariants: [ { command: { run: ['false'] } } ]\n";
    let report = run(&world, &write(&world, "baseline.yaml", &text), &[]);
    assert_eq!(report.result, Outcome::BaselineFailed);
    assert_eq!(report.campaign.expect("the control").trials.len(), 1);
}

#[test]
fn what_cannot_be_carried_out_is_refused_before_anything_is_touched() {
    let world = World::new();
    for (change, word) in [
        (("at: 50ms", "phase: idle"), "write start, work, recovery or shutdown"),
        (("do: kill", "do: kil"), "did you mean `kill`?"),
        (("version: 1", "version: 2"), "version 2"),
    ] {
        let path = write(&world, "refused.yaml", &SLEEPER.replace(change.0, change.1));
        let output = command(&world, "run").arg(&path).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(unwrapped_stderr(&output).contains(word), "{}", stderr(&output));
        assert!(!world.join(".killpoint").exists(), "{word}");
    }
}

#[test]
fn roulette_kills_again_and_again_without_a_file() {
    let world = World::new();
    let mut command = command(&world, "roulette");
    command.args(["--every", "20ms..60ms", "--duration", "200ms", "--format", "json", "--out"]);
    command.arg(world.out()).args(["--", "sleep", "1000"]);
    let report = explored(&mut command).report;
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let campaign = report.campaign.expect("trials");
    assert!(campaign.planned_strikes >= 3, "{campaign:#?}");
    assert_eq!(campaign.trials[1].fired, campaign.planned_strikes);
    assert_eq!(campaign.restarts, campaign.planned_strikes);
}

#[test]
fn a_run_that_is_killed_leaves_nobody_running_and_a_log_that_verifies() {
    let world = World::new();
    let marked = format!("target: {{ command: [sleep, '{}'] }}", 100_000 + std::process::id());
    let text = SLEEPER
        .replace("target: { command: [sleep, '1000'] }", &marked)
        .replace("WHO", "nobody")
        .replace("at: 50ms", "at: 4m");
    let path = write(&world, "killed.yaml", &text);
    let mut child =
        command(&world, "run").arg(&path).arg("--out").arg(world.out()).spawn().expect("it starts");
    let log = || {
        let runs = fs::read_dir(world.out().join("runs")).into_iter().flatten().flatten();
        runs.filter_map(|run| fs::read_to_string(run.path().join("events.jsonl")).ok()).next()
    };
    // The trial after the control waits for minutes: whatever its strike is for is running.
    let is_waiting = |text: String| {
        text.contains(r#""trial_event":"started","trial":1"#)
            && text.matches(r#""id":"process.ready""#).count() >= 2
    };
    let since = std::time::Instant::now();
    while !log().is_some_and(is_waiting) {
        assert!(since.elapsed().as_secs() < 60, "the trial began: {:?}", log());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let target = log().and_then(|text| {
        text.lines().rev().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            let record = line["event"]["record"].clone();
            let record: killpoint_model::lifecycle::Record = serde_json::from_value(record).ok()?;
            match record.event {
                Lifecycle::Started { pid, .. } => Some(pid),
                _ => None,
            }
        })
    });
    let target = target.expect("the target was started");
    assert!(fs::exists(format!("/proc/{target}")).expect("/proc"));
    child.kill().expect("it runs");
    child.wait().expect("it is ours");
    while is_running(target) {
        assert!(since.elapsed().as_secs() < 60, "process {target} is left");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut verify = world.killpoint();
    let verified =
        verify.args(["audit", "verify"]).arg(world.only_run()).output().expect("it starts");
    assert!(stdout(&verified).contains("chain whole"), "{verified:?}");
}

/// Whether a process is there and has not ended.
fn is_running(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|text| !text.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}
