//! Shrinking: of a workload that is a list of steps, those that a finding needs.

use crate::support::{World, explored, guests_directory, shell_line, stderr, stdout};
use ::guests::{Guest, steps::STEPS};
use killpoint_model::{Class, Outcome};
use std::fs;

#[test]
fn two_steps_of_twenty_are_kept_and_replay_by_themselves() {
    let world = World::new();
    fs::write(world.join("steps"), STEPS.join("\n") + "\n\n").expect("written");
    let guest = Guest::named("steps").expect("a row");
    let mut command = world.explore_json();
    command.args(["--model", "kill", "--steps", "steps", "--shrink"]);
    command.args(["--check", &shell_line(&guest.check_command(&guests_directory()))]);
    let explored = explored(command.arg("--").args(guest.work_command(&guests_directory())));
    explored.expect(Outcome::Violated);
    let [finding] = explored.report.findings.as_slice() else { panic!("{}", explored.summary()) };
    assert_eq!(finding.class, Class::Unopenable);
    let shrunk = finding.shrunk.as_ref().unwrap_or_else(|| panic!("{}", explored.summary()));
    assert_eq!(shrunk.steps, ["delete size", "compact"], "{shrunk:?}");
    assert_eq!((shrunk.of, shrunk.is_minimal), (20, true));
    assert!((1..=60).contains(&shrunk.trials), "{} trials", shrunk.trials);
    assert_eq!(shrunk.address.shape(), finding.address.shape());

    // The steps that are replayed are those of the finding: the file is not needed any more.
    fs::remove_file(world.join("steps")).expect("removed");
    let name = format!("{}/1", world.only_run().display());
    let replay = world.killpoint().args(["replay", &name, "--times", "3"]).output().unwrap();
    let said = stdout(&replay);
    assert!(replay.status.success(), "{said}{}", stderr(&replay));
    assert!(said.contains("hit 3 of 3") && said.contains("2 of 20 steps"), "{said}");
    let report = world.killpoint().arg("report").arg(world.only_run()).output().unwrap();
    let text = stdout(&report);
    assert!(text.contains("2 of 20 steps") && text.contains("delete size; compact"), "{text}");
}

#[test]
fn the_path_of_the_steps_stands_in_arguments_and_in_the_environment() {
    let world = World::new();
    fs::write(world.join("steps"), "one\n\ntwo\n").expect("written");
    let script = r#"cmp "$1" "$KILLPOINT_STEPS" && cat "$1" >"$KILLPOINT_STATE/seen.tmp" &&
        mv "$KILLPOINT_STATE/seen.tmp" "$KILLPOINT_STATE/seen""#;
    let mut command = world.explore_json();
    command.args(["--steps", "steps", "--check"]);
    command.arg(
        r#"cd "$KILLPOINT_STATE"; [ ! -e seen ] || [ "$(cat seen)" = "$(printf 'one\ntwo')" ]"#,
    );
    let explored = explored(command.args(["--", "sh", "-c", script, "sh", "{steps}"]));
    explored.expect(Outcome::Pass);
}
