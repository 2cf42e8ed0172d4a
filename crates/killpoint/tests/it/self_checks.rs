//! A run that could prove nothing says so, and a judge that fails never says "held".

use crate::support::{World, explored, guests_directory};
use killpoint_model::verdict::Reason;
use killpoint_model::{CrashModel, Outcome};

#[test]
fn a_command_that_writes_nothing_is_vacuous() {
    let world = World::new();
    let explored = explored(world.explore_json().args(["--check", "echo {}", "--", "true"]));
    explored.expect(Outcome::Vacuous);
    assert!(!explored.report.explanation.is_empty());
}

#[test]
fn a_command_that_fails_fails_the_control() {
    let world = World::new();
    let explored = explored(world.explore_json().args(["--check", "echo {}", "--", "false"]));
    explored.expect(Outcome::BaselineFailed);
    assert!(explored.report.explanation.contains("exit status 1"), "{}", explored.summary());
}

#[test]
fn a_command_that_dies_by_a_signal_fails_the_control() {
    let world = World::new();
    let script = "echo x >state/x; kill -SEGV $$";
    let explored =
        explored(world.explore_json().args(["--check", "echo {}", "--", "sh", "-c", script]));
    explored.expect(Outcome::BaselineFailed);
    assert!(explored.report.explanation.contains("signal 11"), "{}", explored.summary());
}

#[test]
fn a_store_that_never_held_what_was_acknowledged_fails_the_control() {
    let world = World::new();
    let script = r#"echo x >"$KILLPOINT_STATE/x"; echo "I a 1" >>"$KILLPOINT_JOURNAL"; echo "A a" >>"$KILLPOINT_JOURNAL""#;
    let explored =
        explored(world.explore_json().args(["--check", "echo {}", "--", "sh", "-c", script]));
    explored.expect(Outcome::BaselineFailed);
}

#[test]
fn a_checker_that_turns_unreadable_in_crash_states_makes_the_run_unknown() {
    let world = World::new();
    // It works in the control, where the document is whole, and is not there elsewhere.
    let check = r#"test -e "$KILLPOINT_STATE/done" || test ! -e "$KILLPOINT_STATE/begun" || exit 127; echo {}"#;
    let script = r#"cd "$KILLPOINT_STATE" && echo >begun && echo >done"#;
    let explored =
        explored(world.explore_json().args(["--check", check, "--", "sh", "-c", script]));
    explored.expect(Outcome::Unknown);
    assert!(
        explored.report.unknown.iter().any(|unknown| unknown.reason == Reason::JudgeFailed),
        "{}",
        explored.summary()
    );
}

#[test]
fn files_that_nobody_can_judge_make_the_run_unknown_and_are_named() {
    let world = World::new();
    let script = r#"printf '\001\002' >"$KILLPOINT_STATE/blob""#;
    let explored = explored(world.explore_json().args(["--", "sh", "-c", script]));
    explored.expect(Outcome::Unknown);
    let unknown = &explored.report.unknown;
    assert!(
        unknown
            .iter()
            .any(|unknown| unknown.reason == Reason::NoOracle && unknown.detail.contains("blob")),
        "{}",
        explored.summary()
    );
}

#[test]
fn a_known_finding_does_not_fail_the_run_and_a_new_one_does() {
    let world = World::new();
    let guest = guests_directory().join("save-in-place");
    let check = format!("{} check", guest.display());
    let explore = |flags: &[&str]| {
        let mut command = world.explore_json();
        explored(command.args(["--check", &check]).args(flags).arg("--").arg(&guest))
    };
    let first = explore(&["--write-baseline", "baseline.json"]);
    first.expect(Outcome::Violated);
    let second = explore(&["--baseline", "baseline.json"]);
    second.expect(Outcome::Pass);
    assert_eq!(second.report.known.len(), first.report.findings.len());
    assert!(second.report.findings.is_empty());
    std::fs::write(world.join("empty.json"), r#"{"version": 1, "findings": []}"#).expect("written");
    explore(&["--baseline", "empty.json"]).expect(Outcome::Violated);
}

#[test]
fn the_same_command_twice_gives_the_same_findings_and_counts() {
    for name in ["save-in-place", "threads", "two-files"] {
        let guest = guests_directory().join(name);
        let run = || {
            let world = World::new();
            let mut command = world.explore_json();
            command.args(["--model", crate::support::ALL_MODELS, "--profile", "strict"]);
            command.args(["--check", &format!("{} check", guest.display()), "--"]).arg(&guest);
            let report = explored(&mut command).report;
            let keys: Vec<String> = report.findings.iter().map(|finding| finding.key()).collect();
            let kill = report.models.get(&CrashModel::Kill).copied();
            (report.result, report.points, kill, keys)
        };
        assert_eq!(run(), run(), "{name}");
    }
}

#[test]
fn runs_that_are_kept_inside_the_state_are_no_part_of_it() {
    let world = World::new();
    let guest = guests_directory().join("save-atomic");
    for _ in 0..2 {
        let mut command = world.killpoint();
        command.args(["explore", "--state", "state", "--out", "state/runs", "--format", "json"]);
        command.args(["--check", &format!("{} check", guest.display()), "--"]).arg(&guest);
        explored(&mut command).expect_silence();
    }
}
