//! Trials again: replays at recorded positions, repetitions, failures that are run again, baselines.

use crate::support::{World, explored, guests_directory, repository, stderr, stdout};
use killpoint_model::report::{CampaignReport, Confirmation, Report};
use killpoint_model::{Class, Outcome, Verdict};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn command(world: &World, verb: &str) -> Command {
    let mut command = world.killpoint();
    command.arg(verb).env("NOTES", guests_directory().join("notes"));
    command
}

fn run(world: &World, scenario: &Path, arguments: &[&str]) -> Report {
    let mut command = command(world, "run");
    command.arg(scenario).args(arguments).args(["--format", "json", "--out"]).arg(world.out());
    explored(&mut command).report
}

fn write(world: &World, name: &str, text: &str) -> PathBuf {
    fs::write(world.join(name), text).expect("written");
    world.join(name)
}

fn campaign(report: Report) -> CampaignReport {
    report.campaign.expect("a run of a scenario")
}

/// The reports of all runs but this one.
fn others(world: &World, run: &str) -> Vec<CampaignReport> {
    let runs = fs::read_dir(world.out().join("runs")).expect("runs");
    let others = runs.map(|entry| entry.expect("a run").path()).filter(|path| !path.ends_with(run));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(path.join("report.json")).expect("a report");
        campaign(serde_json::from_str(&text).expect("our own format"))
    };
    others.map(read).collect()
}

fn replay(world: &World, run: &str, trial: u64, times: u32) -> Output {
    let mut command = command(world, "replay");
    command.arg(format!("{run}/{trial}")).args(["--times", &times.to_string(), "--out"]);
    command.arg(world.out()).output().expect("it starts")
}

/// A program that saves five values and then acknowledges the sixth two seconds before it writes it.
/// Once there is a file `slow`, it takes its time for each.
const DRIFTS: &str = r#"
over=; trap 'over=1' TERM; i=0
while [ $i -lt 1000 ] && [ -z "$over" ]; do
    i=$((i+1))
    if [ -e slow ]; then sleep 0.2; else sleep 0.02; fi
    echo "I k$i v$i" >> "$KILLPOINT_JOURNAL"
    if [ $i = 6 ]; then echo "A k$i" >> "$KILLPOINT_JOURNAL"; sleep 2; fi
    echo v$i > "$KILLPOINT_STATE/k$i"
    [ $i = 6 ] || echo "A k$i" >> "$KILLPOINT_JOURNAL"
done
"#;

const READS: &str = r#"
cd "$KILLPOINT_STATE"; printf '{'; comma=
for file in k*; do
    [ -s "$file" ] && printf '%s"%s":"%s"' "$comma" "$file" "$(cat "$file")" && comma=,
done
echo '}'
"#;

const DRIFTING: &str = "version: 1
target: { command: [sh, drifts.sh], supervisor: { restart: never } }
faults: [ { name: late, when: { at: 700ms }, do: kill } ]
invariants: [ { acked-is-durable: { check: 'sh reads.sh' } } ]
timeouts: { trigger: 5s }
";

#[test]
fn a_replay_strikes_at_the_same_acknowledgement_where_the_time_is_another() {
    let world = World::new();
    write(&world, "drifts.sh", DRIFTS);
    write(&world, "reads.sh", READS);
    let scenario = write(&world, "drifting.yaml", DRIFTING);
    let repeat = ["--repeat-until-failure", "--repeat", "20", "--rerun-failed", "2"];
    let report = run(&world, &scenario, &repeat);
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    let (id, first) = (report.run.clone(), campaign(report));
    let failed =
        first.trials.iter().find(|it| it.judgement.verdict == Verdict::Violated(Class::Lost));
    let failed = failed.unwrap_or_else(|| panic!("{first:#?}"));
    assert!(failed.strikes[0].ends_with("6 acknowledged"), "{failed:#?}");
    assert_eq!(failed.reproduced, Some(Confirmation { hits: 2, tries: 2 }), "{first:#?}");
    let tries = first.trials.iter().filter(|it| it.trial == 1 && it.rerun_of.is_none()).count();
    assert_eq!((first.total().tries, first.total().violated), (tries as u64, 1));
    assert_eq!(failed.attempt as usize, tries, "no try after the failure");
    assert_eq!(failed.replay, format!("killpoint replay {id}/1 --times 20"));
    let folder = world.out().join("runs").join(&id);
    let junit = fs::read_to_string(folder.join("junit.xml")).expect("written");
    assert!(junit.contains("reproducible 2 of 2") && junit.contains(&failed.replay), "{junit}");

    fs::write(world.join("slow"), "").expect("written");
    let by_time =
        campaign(run(&world, &folder.join("plan.json"), &["--trial", "1", "--repeat", "2"]));
    assert_eq!((by_time.total().tries, by_time.total().violated), (2, 0), "{by_time:#?}");
    let replayed = replay(&world, &id, 1, 3);
    assert_eq!(replayed.status.code(), Some(0), "{}{}", stdout(&replayed), stderr(&replayed));
    assert!(stdout(&replayed).contains("hit 3 of 3"), "{}", stdout(&replayed));
    let reports = others(&world, &id);
    let again = reports.iter().find(|it| it.replayed.is_some()).expect("a replay is a run");
    assert_eq!(again.replayed, Some(Confirmation { hits: 3, tries: 3 }));
    for tried in again.trials.iter().filter(|it| it.trial > 0) {
        assert!(tried.strikes[0].ends_with("6 acknowledged"), "{tried:#?}");
    }
}

#[test]
fn the_race_of_the_notes_shows_again_in_a_replay() {
    let world = World::new();
    let scenario = repository().join("scenarios/notes-race.yaml");
    let report = run(&world, &scenario, &["--repeat-until-failure", "--repeat", "5"]);
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    let (id, first) = (report.run.clone(), campaign(report));
    let failed =
        first.trials.iter().find(|it| it.judgement.verdict == Verdict::Violated(Class::Lost));
    let failed = failed.unwrap_or_else(|| panic!("{first:#?}"));
    let replayed = replay(&world, &id, failed.trial, 5);
    let text = stdout(&replayed);
    let again = others(&world, &id).pop().expect("a replay is a run");
    let Confirmation { hits, tries } = again.replayed.expect("tries");
    assert!(tries == 5 && hits >= 1, "{text}{}", stderr(&replayed));
    assert_eq!(replayed.status.code(), Some(i32::from(hits < tries)), "{text}");
    assert!(text.contains(&format!("hit {hits} of 5")), "{text}");
    // The position is that of the decision; the editor goes on until the kill, by one edit at most.
    let acknowledged = |strike: &str| -> u64 {
        let text = strike.rsplit(", ").next().and_then(|it| it.strip_suffix(" acknowledged"));
        text.and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("{strike}"))
    };
    let recorded = acknowledged(&failed.strikes[0]);
    let there = again.trials.iter().filter(|it| it.trial > 0);
    let there: Vec<u64> = there.map(|it| acknowledged(&it.strikes[0])).collect();
    let near = there.iter().filter(|it| it.abs_diff(recorded) <= 1).count();
    assert!(near >= 3, "recorded at {recorded}, struck at {there:?}");
}

#[test]
fn a_trial_that_was_not_carried_out_cannot_be_replayed() {
    let world = World::new();
    let scenario = write(&world, "sleeper.yaml", SLEEPER);
    let report = run(&world, &scenario, &["--trial", "1"]);
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    for trial in [0, 2, 9] {
        let refused = replay(&world, &report.run, trial, 1);
        assert_eq!(refused.status.code(), Some(2), "{}", stdout(&refused));
        assert!(stderr(&refused).contains("has no trial"), "{}", stderr(&refused));
    }
    let held = replay(&world, &report.run, 1, 2);
    assert_eq!(held.status.code(), Some(0), "{}{}", stdout(&held), stderr(&held));
    assert!(stdout(&held).contains("held in trial 1, fault-1\n  hit 2 of 2"), "{}", stdout(&held));
}

const SLEEPER: &str = "version: 1
target: { command: [sleep, '1000'] }
faults: [ { when: { at: 20ms }, do: kill, trials: 2 } ]
timeouts: { trigger: 50ms, recovery: 10s }
";

#[test]
fn tries_are_counted_for_each_trial_and_together() {
    let world = World::new();
    let scenario = write(&world, "sleeper.yaml", SLEEPER);
    let mut once = command(&world, "run");
    once.arg(&scenario).args(["--trial", "2", "--repeat", "3", "--out"]).arg(world.out());
    let text = stdout(&once.output().expect("it starts"));
    assert!(text.contains("1 trial and the control, 3 of 3 tries, 3 strikes fired"), "{text}");
    assert!(text.contains("all 3 trials held"), "{text}");
    let soak = run(&world, &scenario, &["--duration", "1s", "--repeat", "2"]);
    assert_eq!(soak.result, Outcome::Pass);
    let soak = campaign(soak);
    assert_eq!((soak.planned_trials, soak.rounds), (2, None));
    assert!((1..=4).contains(&soak.total().tries), "{soak:#?}");
    assert_eq!(soak.remarks, ["repeated for 1s (--duration), at most 2 rounds (--repeat)"]);
}

#[test]
fn a_violation_of_the_baseline_does_not_fail_the_run_and_old_runs_go() {
    let world = World::new();
    let command = "sh, -c, 'test -e {state}/once && touch {state}/again; touch {state}/once; exec sleep 1000'";
    let text = SLEEPER.replace("sleep, '1000'", command)
        + "invariants: [ { command: { run: [sh, -c, 'test ! -e $KILLPOINT_STATE/again'] } } ]\n";
    let scenario = write(&world, "known.yaml", &text);
    let report = run(&world, &scenario, &["--write-baseline", "known.json"]);
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    assert_eq!(campaign(report).total().violated, 2);
    let report =
        run(&world, &scenario, &["--baseline", "known.json", "--rerun-failed", "2", "--keep", "1"]);
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let run_of = world.only_run();
    let junit = fs::read_to_string(run_of.join("junit.xml")).expect("written");
    assert!(junit.contains("stands in the baseline") && !junit.contains("<failure"), "{junit}");
    let total = campaign(report).total();
    assert_eq!((total.violated, total.known), (0, 2));
    let mut wrong = command_with(&world, &scenario, "none.json");
    let refused = wrong.output().expect("it starts");
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("none.json"), "{}", stderr(&refused));
}

fn command_with(world: &World, scenario: &Path, baseline: &str) -> Command {
    let mut command = command(world, "run");
    command.arg(scenario).args(["--baseline", baseline, "--out"]).arg(world.out());
    command
}
