//! What a run of a scenario collects: crashes with their dumps, stacks and logs, what is used, unsaved
//! work, snapshots.

use crate::support::{World, explored, guests_directory, stderr};
use killpoint_model::crash::{Crash, DumpedBy};
#[cfg(feature = "dumps")]
use killpoint_model::lifecycle::Exit;
use killpoint_model::report::{CampaignReport, Report};
use killpoint_model::{Class, Outcome, Verdict};
use std::fs;

fn run(world: &World, scenario: &str) -> Report {
    let path = world.join("scenario.yaml");
    fs::write(&path, scenario).expect("written");
    let mut command = world.killpoint();
    command.arg("run").arg(&path).args(["--format", "json", "--out"]).arg(world.out());
    explored(&mut command).report
}

pub fn campaign(report: Report) -> CampaignReport {
    report.campaign.expect("trials")
}

fn measured<'a>(campaign: &'a CampaignReport, objective: &str) -> (&'a str, Option<bool>) {
    let all = &campaign.objectives;
    let found = all.iter().find(|it| it.objective == objective);
    let found = found.unwrap_or_else(|| panic!("{objective}: {all:#?}"));
    (found.measured.as_str(), found.met)
}

fn own_crash(campaign: &CampaignReport) -> &Crash {
    let own: Vec<&Crash> = campaign.crashes.iter().filter(|crash| crash.is_own()).collect();
    let [crash] = own.as_slice() else { panic!("{:#?}", campaign.crashes) };
    crash
}

/// The editor of the demonstration, which tells of its checkpoints.
#[cfg(feature = "dumps")]
fn notes() -> String {
    guests_directory().join("notes").display().to_string()
}

fn crash_guest() -> String {
    guests_directory().join("crash").display().to_string()
}

/// The log of a run gives the same page again, and the page tells of this.
pub fn assert_page_tells(world: &World, texts: &[&str]) {
    let page = world.only_run().join("report.html");
    let live = fs::read_to_string(&page).expect("a page");
    for text in texts {
        assert!(live.contains(text), "{text}");
    }
    fs::remove_file(&page).expect("removed");
    let again = world.killpoint().arg("report").arg(world.only_run()).output().expect("it starts");
    assert!(page.exists(), "{}", stderr(&again));
    assert!(
        fs::read_to_string(&page).expect("a page") == live,
        "the log gives the same page again"
    );
}

#[cfg(feature = "dumps")]
#[test]
fn a_killed_process_leaves_a_dump_that_is_linked_to_its_last_checkpoint_and_its_log() {
    let world = World::new();
    let report = run(
        &world,
        &format!(
            "version: 1
target:
  command: ['{}', --store, sqlite]
  supervisor: {{ restart: always, backoff: 20ms }}
  ready: {{ by: notify, timeout: 20s }}
faults: [ {{ when: {{ event: {{ name: checkpoint.saved, nth: 1 }} }}, do: kill, trials: 2 }} ]
collect: {{ dump: before-kill, samples: 10ms }}
objectives: {{ observability: 100, crash-budget: {{ per-release: 0 }} }}
timeouts: {{ trigger: 2s, recovery: 20s }}
",
            notes()
        ),
    );
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let (run, campaign) = (report.run.clone(), campaign(report));
    assert_eq!((campaign.crash_count.own, campaign.crash_count.struck), (0, 2));
    for crash in &campaign.crashes {
        assert_eq!(crash.id, format!("{run}-{}-1", crash.trial));
        assert_eq!(crash.strike, Some(1));
        let [dump] = crash.dumps.as_slice() else { panic!("{crash:#?}") };
        assert_eq!(dump.by, DumpedBy::Strike, "{crash:#?}");
        let bytes = fs::read(world.only_run().join(&dump.path)).expect("the dump");
        assert!(bytes.starts_with(b"MDMP") && bytes.len() as u64 == dump.bytes);
        assert!(!crash.stack.as_ref().expect("a stack").frames.is_empty());
        assert!(
            crash.checkpoint.is_some()
                && crash.checkpoint.as_ref().unwrap().event_ordinal < crash.event_ordinal
        );
        let name = format!("trials/{}/crashes/{}.json", crash.trial, crash.id);
        let text = fs::read_to_string(world.only_run().join(name)).expect("beside the dump");
        assert_eq!(&serde_json::from_str::<Crash>(&text).expect("a crash"), crash);
    }
    assert_eq!(measured(&campaign, "observability").1, Some(true));
    assert_eq!(measured(&campaign, "crash-budget per-release").1, Some(true));
    let rate = "0 of 2: at most 77.64 % with 95 % confidence";
    assert_eq!(measured(&campaign, "strikes that broke a promise").0, rate);
    for trial in &campaign.trials {
        let main = trial.resources.iter().find(|series| series.who == "main").expect("a series");
        assert!(main.samples.iter().any(|it| it.memory_kib > 0 && it.threads > 0), "{main:?}");
    }
    assert_page_tells(&world, &[&campaign.crashes[0].id, "before its kill", "resources, to", rate]);
}

#[cfg(feature = "dumps")]
#[test]
fn a_process_that_crashes_by_itself_is_told_apart_and_leaves_a_stack() {
    let world = World::new();
    let report = run(
        &world,
        &format!(
            "version: 1
target:
  command: [sh, -c, 'test $KILLPOINT_LIFE = 2 && exec {} segv; exec sleep 1000']
  supervisor: {{ backoff: 20ms }}
faults: [ {{ when: {{ at: 100ms }}, do: kill }} ]
collect: {{ dump: crashes }}
objectives: {{ crash-budget: {{ per-release: 0 }} }}
timeouts: {{ trigger: 500ms, recovery: 20s }}
",
            crash_guest()
        ),
    );
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    assert!(report.explanation.contains("crash-budget per-release"), "{}", report.explanation);
    let campaign = campaign(report);
    assert_eq!((campaign.crash_count.own, campaign.crash_count.struck), (1, 1));
    let crash = own_crash(&campaign);
    assert_eq!((crash.process.as_str(), crash.life), ("main", 2));
    assert_eq!(crash.dumps[0].by, DumpedBy::Watch, "{crash:#?}");
    let stack = crash.stack.as_ref().expect("a stack");
    assert!(stack.signature().expect("frames").contains("follow_pointer"), "{stack:#?}");
    assert_eq!(crash.log[0].lines, ["waits for a line"]);
    assert_page_tells(&world, &[&crash.id, "SIGSEGV", "follow_pointer", "waits for a line"]);
}

#[cfg(feature = "dumps")]
#[test]
fn a_worker_that_crashes_below_a_supervised_process_is_a_crash_of_the_report() {
    let world = World::new();
    let script = format!(
        // Lines from before the strike can come are not waited for.
        "echo up; sleep 1; {crash} segv --worker < /dev/null; echo worker gone; exec sleep 1000",
        crash = crash_guest()
    );
    let report = run(
        &world,
        &format!(
            "version: 1
target:
  command: [sh, -c, '{script}']
  ready: {{ by: {{ log-line: up }}, timeout: 20s }}
  roles: {{ renderer: {{ cmdline: '--worker' }} }}
faults: [ {{ when: {{ log-line: {{ pattern: 'worker gone' }} }}, do: kill }} ]
collect: {{ dump: crashes }}
objectives: {{ crash-budget: {{ per-release: 0 }}, observability: 0 }}
timeouts: {{ trigger: 5s, recovery: 20s }}
",
        ),
    );
    // A worker of the control, of the struck life, and of the life after it; the strike itself.
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    assert!(report.explanation.contains("crash-budget per-release"), "{}", report.explanation);
    let run = report.run.clone();
    let campaign = campaign(report);
    assert_eq!((campaign.crash_count.own, campaign.crash_count.struck), (3, 1));
    assert_eq!(
        measured(&campaign, "observability").0,
        "0 of 4 crashes have a dump and an event that names a checkpoint"
    );
    let of_trial: Vec<&Crash> = campaign.crashes.iter().filter(|it| it.trial == 1).collect();
    let [first, strike, second] = of_trial.as_slice() else { panic!("{of_trial:#?}") };
    assert_eq!((strike.strike, &strike.below), (Some(1), &None));
    for (number, crash, life) in [(1, first, 1), (3, second, 2)] {
        assert_eq!(crash.id, format!("{run}-1-{number}"));
        assert_eq!((crash.process.as_str(), crash.life, crash.strike), ("main", life, None));
        assert_eq!(crash.exit, Some(Exit::Signal { number: 11, core: false }));
        let below = crash.below.as_ref().expect("it is below");
        assert_eq!(below.role.as_deref(), Some("renderer"));
        assert_eq!(below.executable, crash_guest());
        assert!(below.command.ends_with("crash segv --worker"), "{below:?}");
        assert!(crash.event_ordinal > 0 && below.next_event_ordinal > Some(crash.event_ordinal));
        let [dump] = crash.dumps.as_slice() else { panic!("{crash:#?}") };
        assert_eq!(dump.by, DumpedBy::Watch);
        let stack = crash.stack.as_ref().expect("a stack");
        assert!(stack.signature().expect("frames").contains("follow_pointer"), "{stack:#?}");
        assert!(crash.log[0].lines.contains(&"worker gone".to_owned()), "{:?}", crash.log);
        let name = format!("trials/1/crashes/{}.json", crash.id);
        let text = fs::read_to_string(world.only_run().join(name)).expect("beside the dump");
        assert_eq!(&serde_json::from_str::<Crash>(&text).expect("a crash"), *crash);
    }
    assert!(first.at_us < strike.at_us && strike.at_us < second.at_us);
    assert_page_tells(&world, &[&first.id, "renderer below main", "crash segv --worker"]);
}

#[cfg(feature = "dumps")]
#[test]
fn a_worker_that_a_strike_ends_by_a_signal_of_a_crash_died_of_that_strike() {
    let world = World::new();
    let script = format!("{} wait --worker < fifo & exec sleep 1000", crash_guest());
    let report = run(
        &world,
        &format!(
            "version: 1
target:
  command: [sh, -c, 'mkfifo fifo; exec 9<>fifo; echo up; {script}']
  ready: {{ by: {{ log-line: up }}, timeout: 20s }}
  roles: {{ renderer: {{ cmdline: '--worker' }} }}
faults: [ {{ when: {{ at: 300ms }}, do: {{ signal: ABRT }}, who: {{ role: renderer }} }} ]
collect: {{ dump: crashes }}
timeouts: {{ trigger: 1s, recovery: 20s }}
",
        ),
    );
    let campaign = campaign(report);
    let [crash] = campaign.crashes.as_slice() else { panic!("{:#?}", campaign.crashes) };
    assert_eq!((crash.strike, crash.who().as_str()), (Some(1), "renderer below main"));
    assert_eq!(campaign.crash_count.own, 0);
}

#[cfg(feature = "dumps")]
#[test]
fn crashes_and_what_strikes_kill_are_dumped_in_the_same_run() {
    let world = World::new();
    let crash = crash_guest();
    let script =
        format!("{crash} segv --worker < /dev/null; mkfifo f; echo up; exec {crash} wait 0<> f");
    let report = run(
        &world,
        &format!(
            "version: 1
target:
  command: [sh, -c, '{script}']
  ready: {{ by: {{ log-line: up }}, timeout: 20s }}
faults: [ {{ when: {{ at: 300ms }}, do: kill, trials: 3 }} ]
collect: {{ dump: [before-kill, crashes] }}
timeouts: {{ trigger: 500ms, recovery: 20s }}
",
        ),
    );
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let campaign = campaign(report);
    // The control's worker; and of each trial that before the strike, and that after it.
    assert_eq!((campaign.crash_count.own, campaign.crash_count.struck), (7, 3));
    for crash in &campaign.crashes {
        let by = if crash.is_own() { DumpedBy::Watch } else { DumpedBy::Strike };
        let [dump] = crash.dumps.as_slice() else { panic!("{crash:#?}") };
        assert_eq!((dump.by, crash.is_own()), (by, crash.below.is_some()), "{crash:#?}");
        let stack = crash.stack.as_ref().expect("a stack").signature().expect("frames");
        let function = if crash.is_own() { "follow_pointer" } else { "open_document" };
        assert!(stack.contains(function), "{crash:#?}");
    }
}

#[cfg(not(feature = "dumps"))]
#[test]
fn without_the_feature_dumps_are_refused_by_name() {
    let world = World::new();
    let path = world.join("scenario.yaml");
    let text = "version: 1\ntarget: { command: [sleep, '1'] }\ncollect: { dump: before-kill }\n";
    fs::write(&path, text).expect("written");
    let output = world.killpoint().arg("run").arg(&path).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--features dumps"), "{}", stderr(&output));
}

#[test]
fn dumps_that_the_application_writes_belong_to_the_death_that_they_were_written_at() {
    let world = World::new();
    let report = run(
        &world,
        "version: 1
target:
  command:
  - sh
  - -c
  - >
    if test $KILLPOINT_LIFE = 2; then echo memory > {state}/2.dmp; echo cannot go on >&2; exit 3; fi;
    exec sleep 1000
  supervisor: { backoff: 20ms }
faults: [ { when: { at: 100ms }, do: kill } ]
collect: { dump: { files: '{state}/*.dmp' } }
timeouts: { trigger: 500ms, recovery: 20s }
",
    );
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let campaign = campaign(report);
    let crash = own_crash(&campaign);
    let [dump] = crash.dumps.as_slice() else { panic!("{crash:#?}") };
    assert_eq!((dump.by, dump.bytes), (DumpedBy::Application, 7));
    assert!(world.only_run().join(&dump.path).exists());
    assert_eq!(crash.log[0].lines, ["cannot go on"]);
    assert!(!crash.is_observable(), "no event names a checkpoint");
}

#[test]
fn unsaved_work_is_measured_from_strike_to_restart() {
    let world = World::new();
    let target = r#"store=$KILLPOINT_STATE/store.json; if ! test -e "$store"; then
        printf "D note unsaved\nD other gone\n" >> "$KILLPOINT_JOURNAL"; echo "{\"note\":\"unsaved\"}" > "$store"; fi
        echo ready; exec sleep 1000"#;
    fs::write(world.join("target.sh"), target).expect("written");
    let report = run(
        &world,
        r#"version: 1
target:
  command: [sh, target.sh]
  ready: { by: { log-line: ready }, timeout: 20s }
faults: [ { when: { at: 50ms }, do: kill } ]
invariants: [ { acked-is-durable: { check: 'cat "$KILLPOINT_STATE"/store.json 2>/dev/null || echo "{}"' } } ]
objectives: { unsaved-restored: { p50: 1 restart, max: 2 restarts } }
timeouts: { trigger: 500ms, recovery: 20s }
"#,
    );
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    let campaign = campaign(report);
    assert_eq!(measured(&campaign, "unsaved-restored").0, "1 of 2 within 1 restart");
    assert_eq!(measured(&campaign, "unsaved-restored p50"), ("1 restart", Some(true)));
    assert_eq!(measured(&campaign, "unsaved-restored max"), ("never", Some(false)));
}

#[test]
fn the_state_around_the_strike_of_a_violated_trial_is_kept_and_compared() {
    let world = World::new();
    fs::write(world.state().join("data"), "precious\n").expect("written");
    let target = "test -e {state}/again && rm -f {state}/data; touch {state}/again; echo ready; exec sleep 1000";
    let text = format!(
        "version: 1
target:
  command: [sh, -c, '{target}']
  state: [state]
  ready: {{ by: {{ log-line: ready }}, timeout: 20s }}
faults: [ {{ when: {{ at: 50ms }}, do: kill }} ]
invariants: [ {{ command: {{ run: [sh, -c, 'test -e \"$KILLPOINT_STATE\"/data'] }} }} ]
timeouts: {{ trigger: 500ms, recovery: 20s }}
"
    );
    let report = run(&world, &text);
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    let campaign = campaign(report);
    let trial = &campaign.trials[1];
    assert_eq!(trial.judgement.verdict, Verdict::Violated(Class::Wrong));
    let [change] = trial.changes.as_slice() else { panic!("{:#?}", trial.changes) };
    let [file] = change.files.as_slice() else { panic!("{change:#?}") };
    assert_eq!((file.path.as_str(), file.size_before, file.size_after), ("data", Some(9), None));
    assert_eq!(file.difference, ["-precious"]);
    let kept = |name: &str| world.only_run().join("trials/1/snapshots").join(name).join("state-1");
    assert!(kept("strike-1-before").join("data").exists());
    assert!(!kept("strike-1-after").join("data").exists());
    assert!(!world.only_run().join("trials/0/snapshots").exists(), "the control held");
    assert_page_tells(&world, &["strike 1 changed 1 file", "-precious"]);
}

#[test]
fn a_core_gets_a_name_of_its_own_where_the_kernel_writes_files() {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("/proc");
    let world = World::new();
    let text = format!(
        "version: 1
target:
  command: [sh, -c, 'test $KILLPOINT_LIFE = 2 && exec {} abort; exec sleep 1000']
  supervisor: {{ backoff: 20ms }}
faults: [ {{ when: {{ at: 100ms }}, do: kill }} ]
collect: {{ cores: true }}
timeouts: {{ trigger: 500ms, recovery: 20s }}
",
        crash_guest()
    );
    let report = run(&world, &text);
    if pattern.trim_end() != "core" {
        println!("skipped: kernel.core_pattern is {pattern}");
        return;
    }
    let is_told = report.not_covered.iter().any(|gap| gap.reason.contains("no core is kept"));
    let campaign = campaign(report);
    let crash = own_crash(&campaign);
    let core = crash.dumps.iter().find(|dump| dump.by == DumpedBy::Kernel);
    assert_eq!(core.is_some(), !is_told, "{crash:#?}");
    if let Some(core) = core {
        assert_eq!(core.path, format!("trials/{}/dumps/main.2.core", crash.trial));
        let bytes = fs::read(world.only_run().join(&core.path)).expect("the core");
        assert!(bytes.starts_with(b"\x7fELF"));
    }
    assert!(!world.join("core").exists(), "nothing is left where the target works");
    fs::write(world.join("core"), "mine").expect("written");
    let mut again = world.killpoint();
    let output = again.arg("run").arg(world.join("scenario.yaml")).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "a file of the user is not written over");
    assert!(stderr(&output).contains("a core would be written over"), "{}", stderr(&output));
}
