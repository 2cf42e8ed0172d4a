//! What a scenario cannot show does not pass, and what it can is not refused: each row ends as it says.

use crate::support::{World, explored, stderr, stdout, unwrapped_stderr};
use killpoint_model::report::Report;
use killpoint_model::{Class, Outcome, Reason, Verdict};
use std::fs;
use std::process::Output;

/// A target that sleeps and is killed, with more lines.
fn scenario(command: &str, more: &str) -> String {
    format!(
        "version: 1
target:
  command: {command}
  state: [state]
  supervisor: {{ restart: always, backoff: 10ms }}
faults: [ {{ when: {{ at: 50ms }}, do: kill }} ]
timeouts: {{ trigger: 300ms, recovery: 10s }}
{more}
"
    )
}

fn run(text: &str) -> Report {
    let world = World::new();
    let path = world.join("scenario.yaml");
    fs::write(&path, text).expect("written");
    let mut command = world.killpoint();
    command.arg("run").arg(&path).args(["--format", "json", "--out"]).arg(world.out());
    explored(&mut command).report
}

fn output(world: &World, text: &str) -> Output {
    let path = world.join("scenario.yaml");
    fs::write(&path, text).expect("written");
    let mut command = world.killpoint();
    command.arg("run").arg(&path).current_dir(world.path()).output().expect("it starts")
}

const SLEEPER: &str = "[sleep, '1000']";

/// Who brings the target back is stopped by it: whether it would have come back is not known.
#[test]
fn a_supervisor_that_the_target_stops_makes_no_hung_target() {
    let stop = "[sh, -c, 'test -e {state}/again && kill -STOP $PPID; touch {state}/again; exec sleep 1000']";
    let text = scenario(stop, "").replace("recovery: 10s", "recovery: 1s, stop: 1s");
    let report = run(&text);
    let trials = report.campaign.expect("a campaign").trials;
    let trial = trials.last().expect("the struck one");
    assert_eq!(trial.judgement.verdict, Verdict::Unknown(Reason::NotCovered));
    assert!(trial.judgement.detail.contains("stands still"), "{}", trial.judgement.detail);
}

#[test]
fn a_user_that_is_not_there_is_refused_before_anything_is_started() {
    let world = World::new();
    let who = "do: kill, who: { select: { user: nobody-of-this-name } }";
    let refused = output(&world, &scenario(SLEEPER, "").replace("do: kill", who));
    assert_eq!(refused.status.code(), Some(Outcome::Usage.exit_code().into()));
    assert!(
        unwrapped_stderr(&refused).contains("no user `nobody-of-this-name`"),
        "{}",
        stderr(&refused)
    );
    assert!(!world.join(".killpoint").exists(), "no run was begun");
}

#[test]
fn a_control_that_shows_nothing_ends_the_run() {
    for (command, more, reason) in [
        (SLEEPER, "workload: { command: [sh, -c, 'kill -SEGV $$'] }", Reason::JudgeFailed),
        (SLEEPER, "workload: { command: [sleep, '50'], timeout: 1s }", Reason::JudgeFailed),
        (
            SLEEPER,
            "invariants: [ { command: { run: [./nothere], tolerance: { exit: any } } } ]",
            Reason::JudgeFailed,
        ),
        (
            SLEEPER,
            "workload: { command: ['true'] }\ninvariants: [ { acked-is-durable: { check: 'echo {}' } } ]",
            Reason::NoOracle,
        ),
        (
            SLEEPER,
            "workload: { command: ['true'] }\ninvariants: [ { acked-is-durable: { check: 'echo {}', judge: [at-strike] } } ]",
            Reason::NoOracle,
        ),
        (SLEEPER, "invariants: [ { monotonic-checkpoints: {} } ]", Reason::NoOracle),
        (
            SLEEPER,
            "invariants: [ { monotonic-checkpoints: { judge: [before] } } ]",
            Reason::NoOracle,
        ),
        (SLEEPER, "invariants: [ { exactly-once: { list: 'true' } } ]", Reason::NoOracle),
        (
            "[sh, -c, ': >{state}/a.db; exec sleep 1000']",
            "invariants: [ { sqlite: { file: a.db } } ]",
            Reason::NoOracle,
        ),
        (
            SLEEPER,
            r#"workload: { command: [sh, -c, 'printf "I a 1\nA a\n" > "$KILLPOINT_JOURNAL"; sleep 1; : > "$KILLPOINT_JOURNAL"'] }
invariants: [ { acked-is-durable: { check: 'echo {}' } } ]"#,
            Reason::JudgeFailed,
        ),
        // Once or twice while the control goes on: too seldom to be given up.
        ("[sleep, '0.1']", "", Reason::ForeignDeath),
    ] {
        let report = run(&scenario(command, more));
        assert_eq!(report.result, Outcome::BaselineFailed, "{more}: {report:#?}");
        let control = &report.campaign.expect("trials").trials[0];
        assert_eq!(control.judgement.verdict, Verdict::Unknown(reason), "{more}: {control:#?}");
    }
}

#[test]
fn what_never_holds_is_no_bug_of_the_target() {
    for more in [
        "invariants: [ { probe: { by: { socket: '127.0.0.1:1' }, timeout: 100ms } } ]",
        "invariants: [ { command: { run: ['false'], judge: [after-strike] } } ]",
        "invariants: [ { command: { run: ['false'], judge: [at-strike] } } ]",
        "invariants: [ { sqlite: { file: nosuch.db, judge: [at-strike] } } ]",
        // The target makes it: these do not hold, wherever the state is meant.
        "invariants: [ { file: { path: '{state}/log', exists: false } } ]",
        "invariants: [ { command: { run: [test, '!', -e, '{state}/log'] } } ]",
        "invariants: [ { exactly-once: { list: 'cat {state}/log', expected: echo } } ]",
    ] {
        let report =
            run(&scenario("[sh, -c, 'echo x > \"$KILLPOINT_STATE/log\"; exec sleep 1000']", more));
        assert_eq!(report.result, Outcome::BaselineFailed, "{more}: {report:#?}");
        let control = &report.campaign.expect("trials").trials[0];
        let is_violated = matches!(control.judgement.verdict, Verdict::Violated(_));
        assert!(is_violated, "{more}: {control:#?}");
    }
    for more in [
        "invariants: [ { probe: { by: { file: '{state}/log' } } } ]",
        "invariants: [ { recovery-shown: { by: { file: '{state}/log' } } } ]",
        // As it is written beside the target's own `state`.
        "invariants: [ { recovery-shown: { by: { file: state/log } } } ]",
        "invariants: [ { file: { path: '{state}/log' } } ]",
    ] {
        let command = "[sh, -c, 'touch \"$KILLPOINT_STATE/log\"; exec sleep 1000']";
        let report = run(&scenario(command, more));
        assert_eq!(report.result, Outcome::Pass, "{more}: {report:#?}");
    }
}

#[test]
fn a_recovery_is_shown_by_a_file_that_is_written_after_the_strike() {
    let shown =
        "invariants: [ { recovery-shown: { by: { file: '{state}/up' }, timeout: 300ms } } ]";
    for (script, expected) in [
        // Once, at its first start: it is left from before the strike.
        ("test -e $KILLPOINT_STATE/up || touch $KILLPOINT_STATE/up", Outcome::Violated),
        ("touch $KILLPOINT_STATE/up", Outcome::Pass),
        (
            "echo up > $KILLPOINT_STATE/new; mv $KILLPOINT_STATE/new $KILLPOINT_STATE/up",
            Outcome::Pass,
        ),
    ] {
        for moment in ["after-strike", "end"] {
            let more = shown.replace("timeout", &format!("judge: [{moment}], timeout"));
            let text = scenario(&format!("[sh, -c, '{script}; exec sleep 1000']"), &more);
            let report = run(&text);
            assert_eq!(report.result, expected, "{script} {moment}: {report:#?}");
        }
    }
}

#[test]
fn a_probe_of_a_file_in_the_state_is_asked_where_the_file_really_is() {
    let text = scenario("[sh, -c, 'sleep 0.3; touch $KILLPOINT_STATE/up; exec sleep 1000']", "")
        .replace("at: 50ms", "probe: { by: { file: '{state}/up' } }")
        .replace("trigger: 300ms", "trigger: 5s");
    assert_eq!(run(&text).result, Outcome::Pass);
}

#[test]
fn an_objective_that_nothing_was_measured_for_is_open() {
    let suspend = scenario(SLEEPER, "objectives: { observability: 90 }")
        .replace("do: kill", "do: { suspend: 20ms }");
    let report = run(&suspend);
    assert_eq!(report.result, Outcome::Unknown, "{report:#?}");
}

#[test]
fn litter_is_what_the_control_does_not_leave() {
    let more = "invariants: [ { no-litter: {} } ]";
    let clean = run(&scenario("[sh, -c, 'touch \"$KILLPOINT_STATE/a\"; exec sleep 1000']", more));
    assert_eq!(clean.result, Outcome::Pass, "{clean:#?}");
    let unique = "[sh, -c, 'touch \"$KILLPOINT_STATE/lock.$$\"; exec sleep 1000']";
    let litter = run(&scenario(unique, more));
    assert_eq!(litter.result, Outcome::Violated, "{litter:#?}");
    let campaign = litter.campaign.expect("trials");
    assert_eq!(campaign.count(|it| *it == Verdict::Violated(Class::Extra)), 1, "{campaign:#?}");
}

#[test]
fn a_store_that_does_not_open_has_lost_what_it_acknowledged() {
    let more = r#"workload: { command: [sh, -c, 'echo "I a 1" >> "$KILLPOINT_JOURNAL"; echo 1 > "$KILLPOINT_STATE/a"; echo "A a" >> "$KILLPOINT_JOURNAL"; sleep 1'] }
invariants: [ { acked-is-durable: { check: 'test -e "$KILLPOINT_STATE/once" && test ! -e "$KILLPOINT_STATE/hurt" && { if [ -e "$KILLPOINT_STATE/a" ]; then echo "{\"a\":1}"; else echo "{}"; fi; }' } } ]
objectives: { data-loss: 0 }"#;
    // Started a second time it hurts itself.
    let command = "[sh, -c, 'cd \"$KILLPOINT_STATE\"; test -e second && touch hurt; test -e once && touch second; touch once; exec sleep 1000']";
    let text = scenario(command, more)
        .replace("at: 50ms", "at: [300ms, 600ms]")
        .replace("state: [state]", "state: [state]\n  stop: { signal: KILL }");
    let world = World::new();
    fs::write(world.state().join("once"), "").expect("written");
    let path = world.join("scenario.yaml");
    fs::write(&path, text).expect("written");
    let mut command = world.killpoint();
    command.arg("run").arg(&path).args(["--format", "json", "--out"]).arg(world.out());
    let report = explored(&mut command).report;
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    let campaign = report.campaign.expect("trials");
    let loss = campaign.objectives.iter().find(|it| it.objective == "data-loss").expect("measured");
    assert_eq!(loss.met, Some(false), "{loss:?}");
    assert!(loss.measured.contains("did not open"), "{loss:?}");
}

/// Its store is lost at every start, and so is what it promised; both grow back.
#[test]
fn a_journal_that_was_emptied_and_has_grown_back_is_no_pass() {
    let script = "exec 3> $KILLPOINT_JOURNAL; echo > $KILLPOINT_STATE/keys; i=0; \
                  while :; do i=$((i+1)); echo I k$$-$i 1 >&3; echo k$$-$i >> $KILLPOINT_STATE/keys; \
                  echo A k$$-$i >&3; test $KILLPOINT_LIFE = 1 && sleep 0.05; sleep 0.005; done";
    let check = "touch $KILLPOINT_STATE/keys; awk 'BEGIN { printf \"{\" } NF { printf \"%s\\\"%s\\\":1\", c, $1; c = \",\" } END { print \"}\" }' $KILLPOINT_STATE/keys";
    let more =
        format!("invariants: [ {{ acked-is-durable: {{ check: {check:?}, judge: [end] }} }} ]");
    let command = format!("[sh, -c, {script:?}]");
    let text = scenario(&command, &more)
        .replace("at: 50ms", "at: 300ms")
        .replace("trigger: 300ms", "trigger: 2s");
    let report = run(&text);
    assert_eq!(report.result, Outcome::Unknown, "{report:#?}");
    let trial = &report.campaign.expect("trials").trials[1];
    assert_eq!(trial.judgement.verdict, Verdict::Unknown(Reason::JudgeFailed), "{trial:#?}");
    assert!(trial.judgement.detail.contains("only ever added"), "{trial:#?}");
}

#[test]
fn what_brings_nobody_down_or_is_thrown_away_has_not_fired() {
    let command = "[sh, -c, 'trap \"\" TERM; exec sleep 1000']";
    for fault in [
        "{ signal: WINCH }",
        "{ signal: CONT }",
        "{ ladder: [ { by: { command: ['true'] }, grace: 50ms }, { by: terminate, grace: 50ms } ] }",
    ] {
        let text = scenario(command, "")
            .replace("do: kill", &format!("do: {fault}"))
            .replace("state: [state]", "state: [state]\n  stop: { signal: KILL }");
        let report = run(&text);
        assert_eq!(report.result, Outcome::Vacuous, "{fault}: {report:#?}");
    }
}

#[test]
fn a_workload_that_fails_before_the_strike_shows_nothing() {
    let workload = |script: &str| {
        let script = format!("case $KILLPOINT_JOURNAL in */trials/0*) ;; *) {script} ;; esac");
        let more = format!("workload: {{ command: [sh, -c, {script:?}] }}");
        let text = scenario(SLEEPER, &more).replace("at: 50ms", "at: 500ms");
        run(&text).campaign.expect("trials").trials[1].judgement.clone()
    };
    for (script, how) in [("exit 3", "exit status: 3"), ("kill -SEGV $$", "signal: 11")] {
        let judgement = workload(script);
        assert_eq!(judgement.verdict, Verdict::Unknown(Reason::JudgeFailed), "{judgement:?}");
        let said = format!("The workload ended with {how} before the first strike");
        assert!(judgement.detail.starts_with(&said), "{judgement:?}");
    }
    // Its target was struck, and it may say so.
    assert_eq!(workload("sleep 1; exit 3").verdict, Verdict::Held);
}

#[test]
fn what_cannot_be_started_or_means_nobody_is_refused_and_nothing_is_made() {
    for (text, word) in [
        (scenario("[./nothere]", ""), "the process `main` cannot be started"),
        (scenario(SLEEPER, "workload: { command: [./nothere] }"), "the workload cannot be started"),
        (
            scenario(SLEEPER, "").replace("  state:", "  roles: { w: { cmdline: '' } }\n  state:"),
            "the pattern is empty",
        ),
        (
            scenario(SLEEPER, "").replace("  state:", "  roles: { w: {} }\n  state:"),
            "target.roles.w: it selects nothing",
        ),
        (scenario(SLEEPER, "").replace("[state]", "[.]"), "holds the folders of runs"),
    ] {
        let world = World::new();
        let output = output(&world, &text);
        assert_eq!(output.status.code(), Some(2), "{word}: {}", stderr(&output));
        assert!(unwrapped_stderr(&output).contains(word), "{word}: {}", stderr(&output));
        assert!(!world.join(".killpoint").exists(), "{word}");
    }
}

#[test]
fn a_run_without_invariants_and_a_checker_that_sees_nothing_say_so() {
    let world = World::new();
    let text = stdout(&output(&world, &scenario(SLEEPER, "")));
    assert!(text.contains("no invariant is asked for"), "{text}");
    for (check, words) in [
        ("echo '{\"k\":\"v\"}'", "reads the same before and after"),
        ("echo {}", "only its exit status is judged"),
        ("true", "printed no store"),
        ("cat $KILLPOINT_STATE/new 2>/dev/null || echo {}", "only its exit status is judged"),
    ] {
        let world = World::new();
        let mut command = world.explore();
        command.args(["--check", check, "--", "sh", "-c"]);
        command.arg("echo '{\"k\":1}' > $KILLPOINT_STATE/other; cd $KILLPOINT_STATE; mv other new");
        let output = command.output().expect("it starts");
        // Wherever a line was broken.
        let text = stdout(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(words), "{check}: {text}");
        assert_eq!(output.status.code(), Some(0), "{check}: {text}");
    }
}

#[test]
fn a_rule_that_had_no_trial_makes_a_run_unknown() {
    let world = World::new();
    let text = "version: 1
target:
  command: [sh, -c, 'echo x >> $KILLPOINT_STATE/note; exec sleep 1000']
  supervisor: { backoff: 10ms }
  roles: { worker: { cmdline: '--no-such-worker' } }
  state: [state]
faults:
  - { name: at-every-call, when: { points: all }, do: kill, who: { role: worker } }
  - { name: main, when: { at: 20ms }, do: kill }
timeouts: { trigger: 50ms }
";
    let output = output(&world, text);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(3), "{said} {}", stderr(&output));
    assert!(said.contains("at-every-call"), "{said}");
}

/// A log that is never synced, and a rename that is never made durable.
#[test]
fn what_is_acknowledged_counts_without_a_checker_too() {
    let log = "for i in 1 2 3; do echo \"I k v$i\" >> $KILLPOINT_JOURNAL; echo line$i >> state/app.log; \
               echo 'A! k' >> $KILLPOINT_JOURNAL; done";
    let replace = "echo '{\"a\":2}' > state/t; sync state/t; mv state/t state/n.json";
    let intent: &[&str] = &["--intent", "a 2", "--acks", "power-loss"];
    for (script, flags, expected) in [
        (log.to_owned(), &[][..], Some(3)),
        (format!("{log}; sync state/app.log"), &[], Some(3)),
        (log.replace("; echo 'A!", "; sync state/app.log; echo 'A!"), &[], None),
        (replace.to_owned(), intent, Some(1)),
        (replace.to_owned(), &intent[..2], None),
        (format!("{replace}; sync state"), intent, None),
    ] {
        let world = World::new();
        fs::write(world.state().join("app.log"), "begin\n").expect("written");
        fs::write(world.state().join("n.json"), "{\"a\":1}").expect("written");
        let mut command = world.explore_json();
        command.args(["--model", "all"]).args(flags).args(["--", "sh", "-c", &script]);
        let report = explored(&mut command).report;
        let lost = report.findings.iter().find(|it| it.class == Class::AckedNotDurable);
        assert_eq!(lost.map(|it| it.points), expected, "{script} {flags:?}: {report:#?}");
    }
}

#[test]
fn runs_that_came_to_no_verdict_are_cases_of_triage() {
    let world = World::new();
    let failing = scenario(SLEEPER, "workload: { command: ['false'] }");
    assert_eq!(output(&world, &failing).status.code(), Some(6));
    let run = fs::read_dir(world.join(".killpoint/runs")).expect("there").next();
    let run = run.expect("one").expect("readable").path();
    let triage = |run: &std::path::Path| {
        world.killpoint().arg("triage").arg(run).output().expect("it starts")
    };
    let text = stdout(&triage(&run));
    assert!(text.contains("exit status: 1") || text.contains("baseline-failed"), "{text}");
    assert!(!text.contains("nothing went wrong"), "{text}");
    fs::write(run.join("events.jsonl"), "").expect("written");
    assert_eq!(triage(&run).status.code(), Some(2));
}

#[test]
fn a_result_that_cannot_be_written_is_no_result() {
    let world = World::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("there");
    let mut command = world.killpoint();
    let output = command.arg("schema").stdout(full).output().expect("it starts");
    assert_ne!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// A target that does something else in its second life, with what is asked of it; what its trial ends with.
fn struck(first: &str, later: &str, more: &str) -> killpoint_model::verdict::Judgement {
    let lives = format!("if [ $KILLPOINT_LIFE = 1 ]; then {first}; else {later}; fi");
    let lives = format!("{lives}; echo ready; exec sleep 1000");
    let text = scenario(&format!("[sh, -c, {}]", serde_json::json!(lives)), more);
    // Nothing is asked of it before its file is there.
    let ready = "  ready: { by: { log-line: ready }, timeout: 10s }\n  supervisor:";
    let trials = run(&text.replace("  supervisor:", ready)).campaign.expect("a campaign").trials;
    trials.last().expect("the struck one").judgement.clone()
}

#[test]
fn what_was_never_judged_since_the_last_strike_is_unknown() {
    let file = |moment| format!("invariants: [ {{ file: {{ path: a, judge: [{moment}] }} }} ]");
    let worker = |moment| {
        let text = scenario(
            "[sh, -c, 'echo 1 >{state}/a; sleep 1000 & wait; exec sleep 1000']",
            &file(moment),
        );
        let text = text
            .replace("do: kill", "do: kill, who: { select: { comm: sleep }, pick: { fixed: 1 } }");
        run(&text)
            .campaign
            .expect("a campaign")
            .trials
            .last()
            .expect("one")
            .judgement
            .verdict
            .clone()
    };
    assert_eq!(worker("at-strike"), Verdict::Unknown(Reason::NoOracle));
    assert_eq!(worker("'at-strike', end"), Verdict::Held);
    let gone = struck("echo 1 >{state}/a", "rm {state}/a", &file("continuously"));
    assert_eq!(gone.verdict, Verdict::Violated(Class::Lost), "{}", gone.detail);
    let stays = struck("echo 1 >{state}/a", "true", &file("continuously"));
    assert_eq!(stays.verdict, Verdict::Held, "{}", stays.detail);
}

#[test]
fn every_state_directory_is_judged_on_a_copy() {
    let heal = "[ -e {state:2}/a.part ] && mv {state:2}/a.part {state:2}/a; [ -e {state:2}/a ] && echo '{\"a\": 1}' || echo '{}'";
    let more = format!(
        "invariants: [ {{ acked-is-durable: {{ check: {} }} }}, {{ no-litter: {{}} }} ]",
        serde_json::json!(heal)
    );
    let first =
        "echo I a 1 >>$KILLPOINT_JOURNAL; echo 1 >{state:2}/a.part; echo A a >>$KILLPOINT_JOURNAL";
    let lives = |later: &str| {
        let world = World::new();
        for name in ["state", "other"] {
            fs::create_dir_all(world.join(name)).expect("made");
        }
        let lives =
            format!("if [ $KILLPOINT_LIFE = 1 ]; then {first}; else {later}; fi; exec sleep 1000");
        let command = format!("[sh, -c, {}]", serde_json::json!(lives));
        let text = scenario(&command, &more).replace("state: [state]", "state: [state, other]");
        fs::write(world.join("s.yaml"), text).expect("written");
        let mut command = world.killpoint();
        command
            .arg("run")
            .arg(world.join("s.yaml"))
            .args(["--format", "json", "--out"])
            .arg(world.out());
        let report = explored(&mut command).report;
        report.campaign.expect("a campaign").trials.last().expect("one").clone()
    };
    let lost = lives("rm -f {state:2}/a.part");
    assert_eq!(lost.judgement.verdict, Verdict::Violated(Class::Lost), "{}", lost.judgement.detail);
    let litter = lives("mv {state:2}/a.part {state:2}/a; touch {state:2}/b.tmp");
    assert!(litter.judgement.detail.contains("{state:2}/b.tmp"), "{}", litter.judgement.detail);
}

#[test]
fn null_is_a_value_that_can_be_asked_for() {
    let asks = "invariants: [ { command: { run: [cat, '{state}/a'], tolerance: { pointer: /a, equals: null } } } ]";
    let null = "echo '{\"a\":null}' >{state}/a";
    assert_eq!(struck(null, "true", asks).verdict, Verdict::Held);
    assert_eq!(
        struck(null, "echo '{\"a\":1}' >{state}/a", asks).verdict,
        Verdict::Violated(Class::Wrong)
    );
}
