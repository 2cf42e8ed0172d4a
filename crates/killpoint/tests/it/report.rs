//! What a run prints and keeps, and that the log alone gives the same again.

use crate::support::{World, guests_directory, stdout};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A run with several findings under several models.
fn explore_for_people(world: &World) -> String {
    let guest = guests_directory().join("save-in-place");
    let mut command = world.explore();
    command.args(["--model", crate::support::ALL_MODELS, "--profile", "strict"]);
    command.args(["--check", &format!("{} check", guest.display()), "--"]).arg(&guest);
    let output = command.output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(1));
    stdout(&output)
}

fn outputs(run: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    let read = |name| fs::read(run.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    ["report.html", "report.json", "junit.xml"].map(|name| (name, read(name))).into()
}

#[test]
fn the_event_log_alone_gives_the_same_bytes_again() {
    let world = World::new();
    let printed = explore_for_people(&world);
    let run = world.only_run();
    let live = outputs(&run);
    for name in live.keys() {
        fs::remove_file(run.join(name)).expect("removed");
    }
    let mut command = world.killpoint();
    command.arg("report").arg(run.file_name().expect("an id")).arg("--out").arg(world.out());
    let output = command.output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(1), "the result of the run is that of its report");
    assert_eq!(stdout(&output), printed);
    let again = outputs(&run);
    for (name, bytes) in live {
        assert!(again[name] == bytes, "{name} differs");
    }
}

/// What the log of a run tells of states, live kills and findings, in its order. The digest of a recording depends on
/// when its operations happened.
fn told(world: &World) -> Vec<String> {
    let run = world.only_run();
    let place = world.path().display().to_string();
    let log = fs::read_to_string(run.join("events.jsonl")).expect("a log");
    let id = run.file_name().expect("an id").to_string_lossy().into_owned();
    let events = log.lines().skip(1).map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("an event");
        let mut event = line["event"].take();
        if event["event"] == "recorded" {
            event["digest"].take();
        }
        event
    });
    let kinds = ["recorded", "judged", "strike-planned", "struck", "found", "point-verdicts"];
    let is_told = |event: &serde_json::Value| {
        event["event"].as_str().is_some_and(|kind| kinds.contains(&kind))
    };
    events
        .filter(is_told)
        .map(|event| event.to_string().replace(&id, "ID").replace(&place, ""))
        .collect()
}

#[test]
fn the_log_tells_the_same_in_the_same_order_whatever_the_number_of_jobs() {
    let guest = guests_directory().join("save-in-place");
    let told = ["1", "2", "5"].map(|jobs| {
        let world = World::new();
        let mut command = world.explore();
        command.args(["--model", crate::support::ALL_MODELS, "--profile", "strict"]);
        command.args(["--jobs", jobs, "--check", &format!("{} check", guest.display()), "--"]);
        let output = command.arg(&guest).output().expect("the binary starts");
        assert_eq!(output.status.code(), Some(1), "{}", crate::support::stderr(&output));
        told(&world)
    });
    let [one, two, five] = told;
    let count = |kind: &str| one.iter().filter(|event| event.contains(kind)).count();
    for kind in ["struck", "strike-planned", "judged"] {
        assert!(count(&format!(r#""event":"{kind}""#)) > 1, "too few {kind} to tell");
    }
    for other in [two, five] {
        let differing = one.iter().zip(&other).find(|(one, other)| one != other);
        assert_eq!(differing, None);
        assert_eq!(one.len(), other.len());
    }
}

#[test]
fn points_that_held_are_killed_live_as_many_as_wanted() {
    let guest = guests_directory().join("save-atomic");
    let struck = ["0", "2", "all"].map(|wanted| {
        let world = World::new();
        let mut command = world.explore();
        command.args(["--confirm-held", wanted, "--model", "kill"]);
        command.args(["--check", &format!("{} check", guest.display()), "--"]);
        let output = command.arg(&guest).output().expect("the binary starts");
        assert_eq!(output.status.code(), Some(0), "{}", crate::support::stderr(&output));
        let report = fs::read(world.only_run().join("report.json")).expect("a report");
        let report: killpoint_model::report::Report = serde_json::from_slice(&report).expect("one");
        let points = report.points;
        let struck = told(&world).iter().filter(|it| it.contains(r#""event":"struck""#)).count();
        (points, struck as u64)
    });
    let [(_, none), (_, two), (points, all)] = struck;
    assert_eq!((none, two, all), (0, 2, points));
}

#[test]
fn lines_are_at_most_80_columns_wide_but_for_addresses_and_commands() {
    let world = World::new();
    for line in explore_for_people(&world).lines() {
        let is_to_be_pasted = line.contains("killpoint replay") || line.contains("report.html");
        let has_address = line.contains(")#");
        let width = line.chars().count();
        assert!(width <= 80 || is_to_be_pasted || has_address, "{width}: {line}");
    }
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let world = World::new();
    explore_for_people(&world);
    let page = fs::read_to_string(world.only_run().join("report.html")).expect("a page");
    for outside in ["src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!page.contains(outside), "the page fetches something: {outside}");
    }
}

#[test]
fn a_log_that_was_changed_is_refused_at_its_line() {
    let world = World::new();
    explore_for_people(&world);
    let run = world.only_run();
    let log = run.join("events.jsonl");
    let text = fs::read_to_string(&log).expect("a log");
    fs::write(&log, text.replacen("save-in-place", "save-in-plaza", 1)).expect("written");
    let output = world.killpoint().arg("report").arg(&run).output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(2));
    let said = crate::support::stderr(&output);
    assert!(said.contains("events.jsonl:3"), "{said}");
}
