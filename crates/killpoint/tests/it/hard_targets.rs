//! Hard targets under `killpoint run`: each row of a table ends in its named verdict, in the control (where nothing is
//! done to it) or after a strike, and leaves nobody behind.

use crate::scenarios::{run, write};
use crate::support::World;
use killpoint_model::lifecycle::{End, Lifecycle, Record};
use killpoint_model::{Class, Outcome, Reason, Verdict};
use std::fs;

/// A target that is hard on its harness.
struct Row {
    name: &'static str,
    /// What the guest is told.
    mode: &'static str,
    /// More of the target, as YAML.
    target: &'static str,
    /// What is done to it.
    fault: &'static str,
    /// How the run ends.
    result: Outcome,
    /// The verdict of the trial that decides: the control, or the only other one.
    verdict: Verdict,
    /// What the verdict's text names.
    detail: &'static str,
    /// An end that the supervisor gave a name to.
    end: Option<End>,
}

const KILL: &str = "do: kill, who: { role: main }";
const READY: &str = "ready: { by: notify, timeout: 20s }\n  stop: { grace: 300ms }";
const ONE: Row = Row {
    name: "",
    mode: "",
    target: READY,
    fault: KILL,
    result: Outcome::Pass,
    verdict: Verdict::Held,
    detail: "",
    end: None,
};

const TABLE: &[Row] = &[
    Row {
        name: "ignores TERM",
        mode: "ignore-term",
        result: Outcome::BaselineFailed,
        verdict: Verdict::Violated(Class::Hung),
        detail: "main ignored its stop",
        end: Some(End::IgnoredStop),
        ..ONE
    },
    Row {
        name: "ignores TERM, and is meant to be killed",
        mode: "ignore-term",
        target: "ready: { by: notify, timeout: 20s }\n  stop: { signal: KILL }",
        end: Some(End::Stopped),
        ..ONE
    },
    Row {
        name: "ignores TERM, struck by a ladder that ends in a kill",
        mode: "ignore-term",
        target: "ready: { by: notify, timeout: 20s }\n  stop: { signal: KILL }",
        fault: "do: { ladder: [ { by: terminate, grace: 200ms }, { by: kill, grace: 5s } ] }, who: { role: main }",
        end: Some(End::Killed),
        ..ONE
    },
    Row {
        name: "hangs at exit",
        mode: "hang-at-exit",
        result: Outcome::BaselineFailed,
        verdict: Verdict::Violated(Class::Hung),
        detail: "(hung-at-exit)",
        end: Some(End::HungAtExit),
        ..ONE
    },
    Row {
        name: "forks twice and says nothing",
        mode: "double-fork",
        target: "stop: { grace: 300ms }",
        result: Outcome::BaselineFailed,
        verdict: Verdict::Unknown(Reason::ForeignDeath),
        detail: "main ended (detached)",
        end: Some(End::Detached),
        ..ONE
    },
    Row {
        name: "forks twice and names its successor",
        mode: "double-fork-main-pid",
        end: Some(End::Killed),
        ..ONE
    },
    Row {
        name: "floods its output",
        mode: "flood-for-ever",
        target: "ready: { by: notify, timeout: 20s }\n  supervisor: { limits: { output-bytes-max: 1000000 } }",
        end: Some(End::Killed),
        ..ONE
    },
    Row {
        name: "dies at start",
        mode: "fail",
        target: "ready: { by: notify, timeout: 20s }
  supervisor: { backoff: 1ms, start-limit: { count: 3, within: 1h } }",
        result: Outcome::BaselineFailed,
        verdict: Verdict::Violated(Class::Bricked),
        detail: "the last end was failed",
        end: Some(End::Failed),
        ..ONE
    },
    Row {
        name: "dies at start once it was killed",
        mode: "second-life-fails",
        target: "ready: { by: notify, timeout: 20s }
  supervisor: { backoff: 1ms, start-limit: { count: 3, within: 1h } }",
        result: Outcome::Violated,
        verdict: Verdict::Violated(Class::Bricked),
        detail: "the last end was failed",
        end: Some(End::Failed),
        ..ONE
    },
    Row {
        name: "never becomes ready",
        mode: "never-ready",
        target: "ready: { by: notify, timeout: 300ms }
  supervisor: { backoff: 1ms, start-limit: { count: 2, within: 1h } }",
        result: Outcome::BaselineFailed,
        verdict: Verdict::Violated(Class::Bricked),
        detail: "the last end was never-ready",
        end: Some(End::NeverReady),
        ..ONE
    },
    Row {
        name: "never becomes ready again once it was killed",
        mode: "second-life-never-ready",
        target: "ready: { by: notify, timeout: 1m }",
        result: Outcome::Violated,
        verdict: Verdict::Violated(Class::Hung),
        detail: "the target was not ready again",
        ..ONE
    },
    Row {
        name: "falls silent",
        mode: "silent",
        target: "ready: { by: notify, timeout: 20s }
  watchdog: { by: notify, timeout: 300ms }",
        result: Outcome::BaselineFailed,
        verdict: Verdict::Unknown(Reason::ForeignDeath),
        detail: "main ended (hung)",
        end: Some(End::Hung),
        ..ONE
    },
    Row {
        name: "changes its name",
        mode: "rename-for-ever",
        fault: "do: kill, who: { select: { comm: another-name } }",
        end: Some(End::Killed),
        ..ONE
    },
];

fn check(name: &str) {
    let row = TABLE.iter().find(|row| row.name == name).expect("a row");
    let world = World::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guests/scripts/supervised.py");
    let text = format!(
        "version: 1
target:
  command: [python3, -B, {script}, {}]
  {}
faults: [ {{ when: {{ at: 100ms }}, {} }} ]
timeouts: {{ start: 20s, trigger: 800ms, recovery: 3s, stop: 20s }}
",
        row.mode, row.target, row.fault
    );
    let report = run(&world, &write(&world, "hard.yaml", &text), &[]);
    assert_eq!(report.result, row.result, "{name}: {report:#?}");
    let campaign = report.campaign.expect("trials");
    let last = campaign.trials.last().expect("the control");
    assert_eq!(last.judgement.verdict, row.verdict, "{name}: {campaign:#?}");
    assert!(last.judgement.detail.contains(row.detail), "{name}: {:?}", last.judgement);
    let is_control = row.result == Outcome::BaselineFailed;
    assert_eq!(campaign.trials.len(), if is_control { 1 } else { 2 }, "{name}: {campaign:#?}");
    let trial = world.only_run().join("trials").join(last.trial.to_string());
    let records = records(&fs::read_to_string(trial.join("lifecycle.jsonl")).expect("written"));
    let ends = records.iter().filter_map(|record| match record.event {
        Lifecycle::Ended { end, .. } => Some(end),
        _ => None,
    });
    let ends: Vec<End> = ends.collect();
    assert!(row.end.is_none_or(|end| ends.contains(&end)), "{name}: {ends:?}");
    if row.mode == "flood-for-ever" {
        let kept = fs::metadata(trial.join("output/main.1.stdout")).expect("kept").len();
        assert_eq!(kept, 1_000_000, "the output is bounded");
    }
    let last = records.last().map(|record| record.event.id());
    assert_eq!(last, Some("supervisor.stopped"), "{name}: nothing is left running");
}

fn records(text: &str) -> Vec<Record> {
    text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
}

macro_rules! rows {
    ($($test:ident $name:literal)*) => {
        $(#[test] fn $test() { check($name); })*

        #[test]
        fn every_row_of_the_table_has_a_test() {
            let names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

rows! {
    one_that_ignores_its_stop_is_hung "ignores TERM"
    one_that_is_meant_to_be_killed_is_stopped_by_a_kill "ignores TERM, and is meant to be killed"
    a_ladder_gets_whoever_ignores_its_first_rung "ignores TERM, struck by a ladder that ends in a kill"
    one_that_hangs_at_exit_is_hung "hangs at exit"
    one_that_hides_by_a_double_fork_is_a_foreign_death "forks twice and says nothing"
    one_that_names_its_successor_is_followed "forks twice and names its successor"
    one_that_floods_its_output_is_bounded_and_held "floods its output"
    one_that_dies_at_start_is_bricked "dies at start"
    one_that_dies_at_its_second_start_is_bricked "dies at start once it was killed"
    one_that_never_becomes_ready_is_bricked "never becomes ready"
    one_that_is_not_ready_again_is_hung "never becomes ready again once it was killed"
    one_that_falls_silent_is_a_foreign_death "falls silent"
    one_that_changes_its_name_is_found_by_the_new_one "changes its name"
}
