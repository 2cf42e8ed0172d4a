//! What continuous integration is offered: tiers from end to end, the action of this repository, the example for GitLab,
//! and reports that lead back to the job.

use crate::scenarios::{run, write};
use crate::support::{World, repository, stderr, stdout};
use killpoint_model::{Outcome, Plan};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const SCENARIO: &str = "version: 1
target: { command: [sleep, '1000'] }
faults:
  - { name: first, when: { at: 10ms }, do: kill, who: { select: { comm: sleep } }, trials: 2 }
  - { name: second, when: { interval: 10ms..20ms }, duration: 40ms, do: kill, who: { select: { comm: sleep } } }
timeouts: { trigger: 50ms, recovery: 10s }
tiers:
  local: { faults: [first], trials: 1 }
  nightly: { trials: 3, duration: 100ms }
";

fn plan(world: &World, path: &str, arguments: &[&str]) -> Plan {
    let mut command = world.killpoint();
    let output = command.args(["plan", path, "--format", "json"]).args(arguments).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).expect("a plan")
}

#[test]
fn a_tier_selects_rules_trials_and_durations_from_the_plan_to_the_report() {
    let world = World::new();
    let path = write(&world, "tiers.yaml", SCENARIO);
    let trials = |arguments: &[&str]| -> Vec<String> {
        plan(&world, &path, arguments).trials.iter().map(|trial| trial.rule.clone()).collect()
    };
    assert_eq!(trials(&[]), ["first", "first", "second"]);
    assert_eq!(trials(&["--tier", "local"]), ["first"]);
    let nightly = ["first", "first", "first", "second", "second", "second"];
    assert_eq!(trials(&["--tier", "nightly"]), nightly);
    assert_eq!(trials(&["--tier", "pre-release"]), trials(&[]), "the scenario does not name it");
    let strikes = |arguments: &[&str]| {
        plan(&world, &path, arguments).trials.last().map(|trial| trial.strikes.len())
    };
    assert!(strikes(&["--tier", "nightly"]) > strikes(&[]), "the duration is longer");

    let report = run(&world, &path, &["--tier", "local"]);
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let campaign = report.campaign.expect("trials");
    let carried_out: Vec<&str> = campaign.trials.iter().map(|trial| trial.rule.as_str()).collect();
    assert_eq!(carried_out, ["", "first"], "the control and what the tier names");

    let mut command = world.killpoint();
    let output = command.args(["run", &path, "--tier", "weekly"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("local, nightly or pre-release"), "{}", stderr(&output));
}

/// Reads YAML as data.
fn yaml(path: &str) -> Value {
    let text = fs::read_to_string(repository().join(path)).expect("it is in the repository");
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("nothing at {pointer} of {value:#}"))
}

/// The names that `inputs.NAME` stands for in a text.
fn inputs(text: &str) -> Vec<&str> {
    let parts = text.split("inputs.").skip(1);
    let end = |part: &str| part.find(|c: char| !c.is_alphanumeric() && c != '-' && c != '_');
    parts.map(|part| &part[..end(part).unwrap_or(part.len())]).collect()
}

#[test]
fn the_action_declares_what_it_uses_and_names_what_it_keeps() {
    let action = yaml("action.yml");
    assert_eq!(text(&action, "/runs/using"), "composite");
    let declared = action["inputs"].as_object().expect("inputs");
    let whole = fs::read_to_string(repository().join("action.yml")).expect("it is there");
    for name in inputs(&whole) {
        assert!(declared.contains_key(name), "the input {name} is not declared");
    }
    for (name, input) in declared {
        assert!(input["description"].is_string(), "{name}");
        let is_required = input["required"] == true;
        assert_eq!(is_required, input["default"].is_null(), "{name} has a default or is required");
    }
    let steps = action["runs"]["steps"].as_array().expect("steps");
    for step in steps {
        // A step of a composite action that runs something must name its shell.
        assert!(step["run"].is_null() || step["shell"] == "bash", "{step:#}");
        assert!(step["run"].is_string() != step["uses"].is_string(), "{step:#}");
        let uses = step["uses"].as_str().unwrap_or("a@v1");
        assert!(uses.contains("@v"), "{uses} names no version");
    }
    let keep = steps.last().expect("steps");
    assert_eq!(keep["if"], "always()", "a failed run is the one that is looked at");
    let kept = text(keep, "/with/path");
    for name in
        ["report.html", "report.json", "junit.xml", "plan.json", "events.jsonl", "seal.json"]
    {
        assert!(kept.contains(name), "{name} is not kept");
    }
    for step in steps.iter().filter_map(|step| step["run"].as_str()) {
        for path in step.split("$GITHUB_ACTION_PATH/").skip(1) {
            let path = path.split(['"', ' ']).next().unwrap_or_default();
            assert!(repository().join(path).exists(), "the action uses {path}");
        }
    }
}

/// Where the binary is, before everything else.
fn path_with_killpoint() -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_killpoint"));
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", binary.parent().expect("a directory").display())
}

/// What the action's step runs, with the variables that GitHub sets.
fn action(world: &World, scenario: &str, arguments: &str) -> Output {
    let mut command = Command::new("bash");
    command.arg(repository().join(".ci/action.sh")).current_dir(world.path());
    command.env("PATH", path_with_killpoint()).env("NO_COLOR", "1");
    command.env("SCENARIO", scenario).env("TIER", "local").env("ARGUMENTS", arguments);
    command.env("OUT", "runs of killpoint");
    command.env("GITHUB_OUTPUT", world.join("output"));
    command.env("GITHUB_STEP_SUMMARY", world.join("summary.md"));
    command.env("GITHUB_SHA", "1f0c5d2e9b").env("GITHUB_SERVER_URL", "https://github.com");
    command.env("GITHUB_REPOSITORY", "me/app").env("GITHUB_RUN_ID", "77");
    command.env_remove("GITHUB_RUN_ATTEMPT").env_remove("CI_JOB_URL");
    command.output().expect("bash starts")
}

#[test]
fn the_action_ends_as_the_run_does_and_its_reports_lead_back_to_the_job() {
    let world = World::new();
    let path = write(&world, "passes.yaml", SCENARIO);
    let output = action(&world, &path, "--seed 7");
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let outputs = fs::read_to_string(world.join("output")).expect("written");
    let junit = outputs.lines().find_map(|line| line.strip_prefix("junit=")).expect("an output");
    let junit = fs::read_to_string(world.join(junit)).expect("the path is that of the report");
    for expected in [
        r#"<property name="commit" value="1f0c5d2e9b""#,
        r#"<property name="job-url" value="https://github.com/me/app/actions/runs/77""#,
        r#"<property name="seed" value="cc8-v1:7""#,
        r#"<testcase name="trial 1, first""#,
    ] {
        assert!(junit.contains(expected), "{expected}: {junit}");
    }
    let summary = fs::read_to_string(world.join("summary.md")).expect("written");
    assert!(summary.contains("\n  pass: "), "{summary}");

    let vacuous = write(&world, "vacuous.yaml", &SCENARIO.replace("comm: sleep", "comm: nobody"));
    assert_eq!(action(&world, &vacuous, "").status.code(), Some(4));
    let summary = fs::read_to_string(world.join("summary.md")).expect("written");
    assert!(summary.contains("exit code 4"), "{summary}");

    // The workspace is used again: the reports of an older run are none of a run that was not made.
    fs::remove_file(world.join("output")).expect("there");
    assert_eq!(action(&world, "nowhere.yaml", "").status.code(), Some(2));
    let outputs = fs::read_to_string(world.join("output")).unwrap_or_default();
    assert_eq!(outputs, "", "no run was made");
    assert_eq!(action(&world, &path, "").status.code(), Some(0));
    let outputs = fs::read_to_string(world.join("output")).expect("written");
    assert!(outputs.starts_with("junit=runs of killpoint/runs/"), "{outputs}");
}

#[test]
fn the_workflow_uses_the_action_as_it_is_declared() {
    let workflow = yaml(".github/workflows/test.yml");
    let jobs = workflow["jobs"].as_object().expect("jobs");
    let steps: Vec<&Value> =
        jobs.values().flat_map(|job| job["steps"].as_array().expect("steps")).collect();
    let own = steps.iter().find(|step| step["uses"] == "./").expect("the action is tried");
    let declared = yaml("action.yml");
    for name in own["with"].as_object().expect("inputs").keys() {
        assert!(declared["inputs"][name].is_object(), "the action has no input {name}");
    }
    assert!(repository().join(text(own, "/with/scenario")).exists());
    for script in steps.iter().filter_map(|step| step["run"].as_str()) {
        let is_here = !script.starts_with('.') || repository().join(script).exists();
        assert!(is_here, "the workflow runs {script}");
    }
    for (name, job) in jobs {
        assert!(job["timeout-minutes"].is_number(), "{name} is not bounded in time");
    }
}

#[test]
fn the_example_for_gitlab_has_a_job_for_each_tier_and_runs_what_exists() {
    let example = yaml("docs/examples/gitlab-ci.yml");
    let template = &example[".killpoint"];
    assert_eq!(template["artifacts"]["when"], "always");
    assert_eq!(template["artifacts"]["reports"]["junit"], "killpoint-runs/runs/*/junit.xml");
    let jobs = example.as_object().expect("jobs").values();
    let mut tiers: Vec<&str> = jobs
        .filter(|job| job["extends"] == ".killpoint")
        .map(|job| text(job, "/variables/TIER"))
        .collect();
    tiers.sort_unstable();
    assert_eq!(tiers, ["local", "nightly", "pre-release"]);
    // The line itself, with a killpoint in PATH.
    let line = template["script"].as_array().expect("lines").last().and_then(Value::as_str);
    let world = World::new();
    let mut command = Command::new("sh");
    command.args(["-c", line.expect("a line")]).current_dir(world.path());
    command.env("SCENARIO", write(&world, "passes.yaml", SCENARIO)).env("TIER", tiers[0]);
    command.env("PATH", path_with_killpoint());
    let output = command.output().expect("sh starts");
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let runs = fs::read_dir(world.join("killpoint-runs/runs")).expect("what the artifacts name");
    let reports = runs.flatten().filter(|run| run.path().join("junit.xml").exists());
    assert_eq!(reports.count(), 1);
}
