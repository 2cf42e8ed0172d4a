//! Phases: which part of the target's life a crash point lies in is told, and can be chosen.

use crate::support::{Explored, World, explored, guests_directory, shell_line, stderr, stdout};
use ::guests::{Caution, Guest};
use killpoint_model::verdict::Reason;
use killpoint_model::{Class, Outcome, Phase};
use std::collections::BTreeMap;

fn explore(world: &World, name: &str, flags: &[&str]) -> Explored {
    let guest = Guest::named(name).expect("a row");
    let mut command = world.explore_json();
    command.args(["--model", "kill"]).args(flags);
    command.args(["--check", &shell_line(&guest.check_command(&guests_directory()))]);
    if guest.caution == Some(Caution::NeedsDriver) {
        command.args(["--driver", &shell_line(&guest.drive_command(&guests_directory()))]);
    }
    explored(command.arg("--").args(guest.work_command(&guests_directory())))
}

/// How many operations of the timeline lie in each phase.
fn counts(explored: &Explored) -> BTreeMap<Phase, usize> {
    let mut counts = BTreeMap::new();
    for point in &explored.report.timeline {
        *counts.entry(point.row.phase).or_default() += 1;
    }
    counts
}

#[test]
fn a_server_that_is_wrong_in_its_shutdown_alone_is_found_out_there() {
    let world = World::new();
    let whole = explore(&world, "server-careless", &[]);
    whole.expect(Outcome::Violated);
    let [finding] = whole.report.findings.as_slice() else { panic!("{}", whole.summary()) };
    assert_eq!((finding.class, &finding.phases), (Class::Lost, &vec![Phase::Shutdown]));
    assert_eq!((finding.confirmed.hits, finding.confirmed.tries), (1, 1), "{}", whole.summary());
    let phases: Vec<Phase> = counts(&whole).into_keys().collect();
    assert_eq!(phases, [Phase::Start, Phase::Work, Phase::Shutdown], "{}", whole.summary());
    assert!(whole.report.unknown.is_empty(), "{}", whole.summary());

    let finding = format!("{}/1", world.only_run().display());
    let replay = world.killpoint().args(["replay", &finding, "--times", "2"]).output().unwrap();
    assert!(replay.status.success(), "{}{}", stdout(&replay), stderr(&replay));
    let report = world.killpoint().arg("report").arg(world.only_run()).output().unwrap();
    let text = stdout(&report);
    assert!(text.contains("under kill during shutdown"), "{text}");
    assert!(text.contains("operations by phase: start "), "{text}");
}

#[test]
fn phases_can_be_chosen() {
    let chosen = |phases| explore(&World::new(), "server-careless", &["--phase", phases]);
    let work = chosen("start,work,idle");
    work.expect(Outcome::Pass);
    let bound = work.report.bounds.iter().find(|bound| bound.contains("only the phases"));
    let bound = bound.unwrap_or_else(|| panic!("{}", work.summary()));
    assert!(bound.contains("first-start, start, work, idle; "), "{bound}");
    assert!(!bound.contains("; 0 crash points"), "{bound}");
    let shutdown = chosen("shutdown");
    shutdown.expect(Outcome::Violated);
    assert!(shutdown.report.states < work.report.states, "{}", shutdown.summary());
    let none = chosen("idle");
    none.expect(Outcome::Vacuous);
    assert!(none.report.explanation.contains("phases idle"), "{}", none.report.explanation);
}

#[test]
fn a_program_that_is_wrong_in_its_start_alone_is_found_out_there() {
    let world = World::new();
    let start = explore(&world, "start-in-place", &[]);
    let [finding] = start.report.findings.as_slice() else { panic!("{}", start.summary()) };
    assert_eq!((finding.class, &finding.phases), (Class::Unopenable, &vec![Phase::Start]));
    let first = explore(&World::new(), "start-in-place", &["--from-empty"]);
    let [finding] = first.report.findings.as_slice() else { panic!("{}", first.summary()) };
    assert_eq!(finding.phases, [Phase::FirstStart]);
    explore(&World::new(), "start-in-place", &["--phase", "work"]).expect(Outcome::Pass);
}

#[test]
fn what_goes_on_after_the_command_has_ended_is_idle() {
    let explored = explore(&World::new(), "late-writer", &[]);
    explored.expect(Outcome::Pass);
    assert!(counts(&explored).contains_key(&Phase::Idle), "{}", explored.summary());
    assert!(!counts(&explored).contains_key(&Phase::Shutdown), "{}", explored.summary());
}

#[test]
fn a_server_that_nobody_drives_to_its_end_does_not_end_by_itself() {
    let world = World::new();
    let guest = Guest::named("server").expect("a row");
    let mut command = world.explore_json();
    command.args(["--timeout", "1", "--check", "echo {}", "--driver", "exit 3", "--"]);
    let driven = explored(command.args(guest.work_command(&guests_directory())));
    driven.expect(Outcome::BaselineFailed);
    let why = &driven.report.explanation;
    assert!(why.contains("the driver ended with exit status 3"), "{why}");
}

#[test]
fn a_target_that_fails_before_it_is_asked_to_end_fails_the_control() {
    let world = World::new();
    let mut command = world.explore_json();
    command.args(["--check", "echo {}", "--driver", "true", "--", "sh", "-c"]);
    let failed = explored(command.arg("echo x >state/x; exit 7"));
    failed.expect(Outcome::BaselineFailed);
    let why = &failed.report.explanation;
    assert!(why.contains("exit status 7 before it was asked to end"), "{why}");
}

#[test]
fn a_target_that_never_becomes_quiet_before_its_driver_is_never_steady() {
    let world = World::new();
    let mut command = world.explore_json();
    command.args(["--timeout", "1", "--check", "echo {}", "--driver", "true", "--", "sh", "-c"]);
    let explored = explored(command.arg("while :; do echo x >state/x; sleep 0.02; done"));
    explored.expect(Outcome::Unknown);
    let [unknown] = explored.report.unknown.as_slice() else { panic!("{}", explored.summary()) };
    assert_eq!(unknown.reason, Reason::NeverSteady);
    assert!(unknown.detail.contains("its driver was not started"), "{}", unknown.detail);
}
