//! After a strike a target is back, or it is said that it is not: also where it goes down a while later, ends as if all
//! were well, or ends again and again. What was left is read before it is started again, however it was ended.

use crate::scenarios::{run, write};
use crate::support::World;
use killpoint_model::report::{CampaignReport, Report};
use killpoint_model::{Class, Outcome, Reason, Verdict};

/// Says that it is ready.
const READY: &str = "echo $$ READY=1 > $KILLPOINT_NOTIFY_LINES";
/// A worker, which is not found by the words of its parent.
const WORKER: &str = "sleep 12''3";
/// Waits for a signal or another end.
const IDLE: &str = "while :; do sleep 0.01; done";
/// Never gets there in its second life.
const STUCK: &str = "test $KILLPOINT_LIFE = 1 || exec sleep 1000";

/// A target by its script, what is done to it, and more lines.
fn scenario(script: &str, fault: &str, more: &str) -> String {
    let script = script
        .replace("READY", READY)
        .replace("IDLE", IDLE)
        .replace("STUCK", STUCK)
        .replace("WORKER", WORKER);
    format!(
        "version: 1
target:
  command: [sh, -c, {script:?}]
  state: [state]
  roles: {{ worker: {{ cmdline: 'sleep 123' }} }}
  supervisor: {{ restart: always, backoff: 10ms, start-limit: {{ count: 0, within: 10s }} }}
  ready: {{ by: notify, timeout: 1m }}
  stop: {{ grace: 2s }}
faults: [ {{ when: {{ at: 100ms }}, {fault} }} ]
timeouts: {{ trigger: 500ms, recovery: 1s, stop: 5s }}
{more}
"
    )
}

fn of(text: &str) -> Report {
    let world = World::new();
    run(&world, &write(&world, "scenario.yaml", text), &[])
}

fn verdict(text: &str) -> (Verdict, String) {
    let report = of(text);
    let trials = report.campaign.expect("trials").trials;
    assert_eq!(trials[0].judgement.verdict, Verdict::Held, "{trials:#?}");
    let judgement = trials.last().expect("the struck one").judgement.clone();
    (judgement.verdict, judgement.detail)
}

fn campaign(text: &str) -> CampaignReport {
    of(text).campaign.expect("trials")
}

const TERMINATE: &str = "do: terminate, who: { role: main }";
const HUNG: Verdict = Verdict::Violated(Class::Hung);
const BRICKED: Verdict = Verdict::Violated(Class::Bricked);

#[test]
fn a_target_that_goes_down_a_moment_after_the_strike_must_come_back() {
    for (script, fault) in [
        ("STUCK; trap 'sleep 0.1; exit 0' TERM; READY; IDLE", TERMINATE),
        (
            "STUCK; trap 'sleep 0.1; exit 0' USR1; trap 'exit 0' TERM; READY; IDLE",
            "do: { signal: USR1 }, who: { role: main }",
        ),
        // It follows its worker, soon or late.
        (
            "STUCK; trap 'exit 0' TERM; WORKER & READY; wait $!; exit 7",
            "do: kill, who: { role: worker }",
        ),
        (
            "STUCK; trap 'exit 0' TERM; WORKER & READY; wait $!; sleep 0.2; exit 7",
            "do: kill, who: { role: worker }",
        ),
    ] {
        let (verdict, detail) = verdict(&scenario(script, fault, ""));
        assert_eq!(verdict, HUNG, "{script} {fault}: {detail}");
    }
}

#[test]
fn a_target_that_dies_of_a_call_that_failed_must_come_back() {
    let script =
        "STUCK; trap 'exit 0' TERM; READY; sleep 0.2; echo x > $KILLPOINT_STATE/a || exit 1; IDLE";
    let text = scenario(
        script,
        "do: { fail: ENOSPC }",
        "objectives: { crash-budget: { per-release: 0 } }",
    )
    .replace("at: 100ms", "point: 'write(a)#1'");
    let (verdict, detail) = verdict(&text);
    assert_eq!(verdict, HUNG, "{detail}");
}

#[test]
fn who_ends_by_a_failed_call_has_not_crashed_by_himself_and_who_faults_has() {
    for (end, expected) in [("exit 1", Outcome::Pass), ("kill -SEGV $$", Outcome::Violated)] {
        let script = format!(
            "trap 'exit 0' TERM; READY; sleep 0.2; test $KILLPOINT_LIFE = 1 && {{ echo x > $KILLPOINT_STATE/a || {end}; }}; IDLE"
        );
        let more = "objectives: { crash-budget: { per-release: 0 } }";
        let text = scenario(&script, "do: { fail: ENOSPC }", more)
            .replace("at: 100ms", "point: 'write(a)#1'");
        let report = of(&text);
        assert_eq!(report.result, expected, "{end}: {report:#?}");
    }
}

#[test]
fn a_death_that_a_strike_did_not_cause_is_an_own_crash() {
    let script = "hup=; trap 'exit 0' TERM; trap 'hup=1' HUP; READY; while :; do sleep 0.02; test -n \"$hup\" && { sleep 0.3; kill -SEGV $$; }; done";
    let report = of(&scenario(
        script,
        "do: { signal: HUP }, who: { role: main }",
        "objectives: { crash-budget: { per-release: 0 } }",
    ));
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    let campaign = report.campaign.expect("trials");
    assert_eq!(
        campaign.crashes.iter().map(|crash| crash.strike).collect::<Vec<_>>(),
        [None],
        "{campaign:#?}"
    );
}

#[test]
fn a_recovery_that_begins_late_is_measured_from_the_strike() {
    let script = "trap 'sleep 0.3; exit 0' TERM; READY; IDLE";
    let campaign = campaign(&scenario(script, TERMINATE, ""));
    let (_, good) = campaign.recoveries_us[0];
    assert!(good > 300_000, "{good}");
    assert_eq!(campaign.recoveries_us.len(), 1);
}

#[test]
fn a_target_that_takes_a_request_to_end_and_stays_goes_on() {
    let script = "trap 'n=$((n+1)); test $n = 1 || exit 0' TERM; READY; IDLE";
    let text = scenario(script, TERMINATE, "").replace("grace: 2s", "grace: 300ms");
    // In the control the first request is that to stop: the second is a kill, so it is told not to count there.
    let text = text.replace(
        "n=$((n+1)); test $n = 1 ||",
        "case $KILLPOINT_JOURNAL in */trials/0*) exit 0;; esac; n=$((n+1)); test $n = 1 ||",
    );
    let (verdict, detail) = verdict(&text);
    assert_eq!(verdict, Verdict::Held, "{detail}");
}

#[test]
fn what_is_asked_after_a_strike_is_not_asked_of_one_that_is_going_down() {
    // Down while it is going down, and for as long as it does not count as ready.
    let script = "touch $KILLPOINT_STATE/up; trap 'rm $KILLPOINT_STATE/up; sleep 0.3; exit 0' TERM; READY; IDLE";
    let asked = "invariants: [ { command: { run: [test, -e, '{state}/up'], judge: [MOMENT] } } ]";
    for moment in ["after-strike", "continuously"] {
        let (verdict, detail) =
            verdict(&scenario(script, TERMINATE, &asked.replace("MOMENT", moment)));
        assert_eq!(verdict, Verdict::Held, "{moment}: {detail}");
    }
}

#[test]
fn a_start_limit_that_strikes_alone_use_up_is_said_before_and_in_the_finding() {
    let script = "trap 'exit 0' TERM; READY; IDLE";
    let kills = "do: kill";
    let limited = scenario(script, kills, "")
        .replace("count: 0", "count: 2")
        .replace("at: 100ms", "at: [100ms, 200ms]");
    let world = World::new();
    let report = run(&world, &write(&world, "scenario.yaml", &limited), &[]);
    let campaign = report.campaign.expect("trials");
    let said = "strike 2 of trial 1 can be the one after which main is given up";
    assert!(campaign.remarks.iter().any(|it| it.contains(said)), "{:?}", campaign.remarks);
    let judgement = &campaign.trials.last().expect("the struck one").judgement;
    assert_eq!(judgement.verdict, BRICKED);
    assert!(judgement.detail.contains("Strikes alone used up its start limit"), "{judgement:?}");
    // One that ends by itself has its own share.
    let restless =
        limited.replace("trap 'exit 0'", "test $KILLPOINT_LIFE = 1 || exit 3; trap 'exit 0'");
    let (verdict, detail) = verdict(&restless);
    assert_eq!(verdict, BRICKED);
    assert!(!detail.contains("Strikes alone"), "{detail}");
}

#[test]
fn the_supervisors_back_off_is_no_time_of_the_targets() {
    let script = "trap 'exit 0' TERM; READY; IDLE";
    let slow = |script: &str| {
        let backoff = "backoff: { first: 1200ms, factor: 1, jitter: 0 }";
        scenario(script, "do: kill", "").replace("backoff: 10ms", backoff)
    };
    let (back, detail) = verdict(&slow(script));
    assert_eq!(back, Verdict::Held, "{detail}");
    let (late, detail) = verdict(&slow("STUCK; trap 'exit 0' TERM; READY; IDLE"));
    assert_eq!(late, HUNG, "{detail}");
    assert!(detail.contains("1s and a back-off of 1200ms after strike 1"), "{detail}");
}

#[test]
fn the_place_of_the_state_is_filled_in_wherever_a_process_is_described() {
    // What its first life leaves is of a version that it does not accept.
    let script = "trap 'exit 0' TERM; echo 3 > $KILLPOINT_STATE/version; READY; IDLE";
    let schema =
        "schema: { version-in: { file: '{state}/version' }, accepts: 1..2, otherwise: refuse }";
    let text = scenario(script, "do: kill, who: { role: worker }", "");
    let command = text.lines().find(|it| it.starts_with("  command:")).expect("there").trim();
    let processes = format!(
        "  processes: {{ worker: {{ {command}, {schema}, backoff: 10ms, ready: {{ by: notify, timeout: 1m }} }} }}"
    );
    let own = ["  command:", "  supervisor:", "  ready:", "  stop:", "  roles:"];
    let lines = text.lines().filter(|line| !own.iter().any(|it| line.starts_with(it)));
    let text = lines
        .collect::<Vec<_>>()
        .join("\n")
        .replace("  state: [state]", &format!("  state: [state]\n{processes}"));
    let (refused, detail) = verdict(&text);
    assert_eq!(refused, BRICKED, "{detail}");

    // A rung that leaves a mark there by which the target ends.
    let script = "trap 'exit 0' TERM; READY; until test -e $KILLPOINT_STATE/asked; do sleep 0.01; done; rm $KILLPOINT_STATE/asked";
    let rung = "do: { ladder: [ { command: [touch, '{state}/asked'] } ] }, who: { role: main }";
    let (asked, detail) = verdict(&scenario(script, rung, ""));
    assert_eq!(asked, Verdict::Held, "{detail}");
}

/// What its first life acknowledges is in its second life only.
const FORGETS: &str = "trap 'exit 0' TERM; test $KILLPOINT_LIFE = 1 && { echo I a 1 >> $KILLPOINT_JOURNAL; echo A a >> $KILLPOINT_JOURNAL; } || echo 1 > $KILLPOINT_STATE/a; \
    READY; (sleep 0.3; echo 1 > $KILLPOINT_STATE/a) & IDLE";
const ACKED: &str = "invariants: [ { acked-is-durable: { check: 'test -e $KILLPOINT_STATE/a && echo \"{\\\"a\\\":1}\" || echo \"{}\"' } } ]";

#[test]
fn what_a_strike_left_is_read_however_the_target_was_ended() {
    for fault in ["kill", "terminate", "graceful", "restart", "{ signal: INT }"] {
        let script = FORGETS.replace("TERM", "TERM INT");
        let (verdict, detail) = verdict(&scenario(&script, &format!("do: {fault}"), ACKED));
        assert!(matches!(verdict, Verdict::Violated(_)), "{fault}: {verdict} {detail}");
        assert!(detail.contains('a'), "{detail}");
    }
}

#[test]
fn what_is_written_and_acknowledged_while_the_leftovers_are_read_is_not_missed_there() {
    // The workload writes the state itself, and goes on while the target is down and a slow checker reads.
    let save = "echo I k$i v >> $KILLPOINT_JOURNAL; echo v > $KILLPOINT_STATE/k$i; echo A k$i >> $KILLPOINT_JOURNAL";
    let workload = format!("for i in 1 2 3 4 5 6 7 8; do {save}; sleep 0.05; done");
    let check = r#"cd $KILLPOINT_STATE; printf '{"k0":"v"'; for f in k?; do test -e $f && printf ',"%s":"v"' $f; done; echo '}'; sleep 0.2"#;
    let more = format!(
        "workload: {{ command: [sh, -c, {workload:?}] }}
invariants: [ {{ acked-is-durable: {{ check: {check:?} }} }} ]"
    );
    let script = "trap 'exit 0' TERM; READY; IDLE";
    let (verdict, detail) = verdict(&scenario(script, "do: kill", &more));
    assert_eq!(verdict, Verdict::Held, "{detail}");
}

#[test]
fn what_a_torn_write_left_is_read() {
    let script = FORGETS.replace("(sleep 0.3;", "(sleep 0.3; echo 1234567 > $KILLPOINT_STATE/log;");
    let text = scenario(&script, "do: { torn-write: 2 }", ACKED);
    let (verdict, detail) = verdict(&text.replace("at: 100ms", "point: 'write(log)#1'"));
    assert!(matches!(verdict, Verdict::Violated(_)), "{verdict} {detail}");
}

#[test]
fn what_a_strike_left_is_read_beside_a_process_that_has_finished() {
    let text = scenario(FORGETS, "do: kill", ACKED);
    let line = text.lines().find(|line| line.starts_with("  command:")).expect("there").to_owned();
    let line = line.trim().trim_start_matches("command: ");
    let processes = format!(
        "  processes:
    once: {{ command: ['true'], restart: on-failure }}
    main: {{ command: {line}, after: [once], restart: always, backoff: 10ms, ready: {{ by: notify, timeout: 1m }} }}"
    );
    let kept = |line: &&str| {
        !["  supervisor:", "  ready:", "  stop:"].iter().any(|it| line.starts_with(it))
    };
    let text: Vec<&str> = text
        .lines()
        .filter(kept)
        .map(|it| if it.starts_with("  command:") { processes.as_str() } else { it })
        .collect();
    let (verdict, detail) = verdict(&text.join("\n"));
    assert!(matches!(verdict, Verdict::Violated(_)), "{verdict} {detail}");
}

#[test]
fn a_target_that_ends_well_before_it_is_ready_again_is_bricked() {
    let script = "test -e $KILLPOINT_STATE/lock && exit 0; touch $KILLPOINT_STATE/lock; trap 'rm $KILLPOINT_STATE/lock; exit 0' TERM; READY; IDLE";
    let text = scenario(script, "do: kill", "").replace("restart: always", "restart: on-failure");
    let (got, detail) = verdict(&text);
    assert_eq!(got, BRICKED, "{detail}");
    assert!(detail.contains("before it was ready"), "{detail}");
    // So is one that says that it is ready first.
    let script =
        "trap 'exit 0' TERM; READY; test $KILLPOINT_LIFE = 1 || { sleep 0.1; exit 0; }; IDLE";
    let text = scenario(script, "do: kill", "").replace("restart: always", "restart: on-failure");
    let (got, detail) = verdict(&text.replace("trigger: 500ms", "trigger: 1s"));
    assert_eq!(got, BRICKED, "{detail}");
    assert!(detail.contains("after it was ready"), "{detail}");
    // It may be a job that the control was stopped in.
    let job = "n=$(cat $KILLPOINT_STATE/n 2>/dev/null || echo 0); trap 'exit 0' TERM; READY; \
               while test $n -lt 12; do sleep 0.1; n=$((n+1)); echo $n >$KILLPOINT_STATE/n; done; exit 0";
    let text = scenario(job, "do: kill", "").replace("restart: always", "restart: on-failure");
    let text =
        text.replace("at: 100ms", "at: [300ms, 700ms]").replace("trigger: 500ms", "trigger: 900ms");
    let (got, detail) = verdict(&text);
    assert_eq!(got, Verdict::Held, "{detail}");
    // One that is never ready in the control either does its work and is over.
    let text = scenario("sleep 0.3", "do: kill", "")
        .replace("restart: always", "restart: on-failure")
        .replace("at: 100ms", "phase: start");
    let (got, detail) = verdict(&text);
    assert_eq!(got, Verdict::Held, "{detail}");
}

#[test]
fn a_target_that_ends_again_and_again_after_a_strike_does_not_pass() {
    let script =
        "trap 'exit 0' TERM; READY; test $KILLPOINT_LIFE = 1 || { sleep 0.2; exit 3; }; IDLE";
    let text = scenario(script, "do: kill", "").replace("trigger: 500ms", "trigger: 1200ms");
    let (got, detail) = verdict(&text);
    assert_eq!(got, HUNG, "{detail}");
    assert!(detail.contains("ended by itself"), "{detail}");
    // Also where one such end alone is seen before the trial is at its end.
    let slow = script.replace("sleep 0.2", "sleep 0.7");
    let text = scenario(&slow, "do: kill", "").replace("trigger: 500ms", "trigger: 1200ms");
    let trials = campaign(&text.replace("recovery: 1s", "recovery: 2s")).trials;
    let struck = trials.last().expect("the struck one");
    assert_eq!(struck.judgement.verdict, HUNG, "{struck:?}");
    assert!(struck.unrecovered, "ready between two crashes it has not recovered");
    // Also where every second life is a short one.
    let uneven = "trap 'exit 0' TERM; READY; case $KILLPOINT_LIFE in 1) ;; *[02468]) sleep 0.6; exit 3;; \
                  *) sleep 0.1; exit 3;; esac; IDLE";
    let text = scenario(uneven, "do: kill", "").replace("trigger: 500ms", "trigger: 1200ms");
    let (got, detail) = verdict(&text.replace("recovery: 1s", "recovery: 2s"));
    assert_eq!(got, HUNG, "{detail}");
    // It needs some lives, and is there then: that is told.
    let script =
        "trap 'exit 0' TERM; READY; case $KILLPOINT_LIFE in 2|3) sleep 0.1; exit 3;; esac; IDLE";
    let text = scenario(script, "do: kill", "").replace("trigger: 500ms", "trigger: 1200ms");
    let report = of(&text);
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    assert!(
        report.notes.iter().any(|note| note.contains("main ended by itself 2 times")),
        "{:?}",
        report.notes
    );
}

#[test]
fn who_fails_with_what_was_struck_has_not_ended_again_and_again() {
    // Its first life failed because of the strike: the next one need not last longer than that.
    let text = "version: 1
target:
  processes:
    store: { command: [sh, -c, SERVE], LIVES }
    client: { command: [sh, -c, FOLLOW], LIVES }
  state: [state]
faults: [ { when: { at: 700ms }, do: kill, who: { role: store } } ]
timeouts: { trigger: 800ms, recovery: 1s, stop: 5s }
"
    .replace("LIVES", "ready: { by: notify, timeout: 1m }, restart: always, backoff: 10ms")
    .replace("SERVE", &format!("\"trap 'exit 0' TERM; echo $$ > $KILLPOINT_STATE/pid; {READY}; {IDLE}\""))
    .replace(
        "FOLLOW",
        &format!("\"trap 'exit 0' TERM; sleep 0.05; {READY}; while kill -0 $(cat $KILLPOINT_STATE/pid); do sleep 0.01; done; exit 1\""),
    );
    let report = of(&text);
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    assert!(!report.notes.iter().any(|note| note.contains("by itself")), "{:?}", report.notes);
}

#[test]
fn who_comes_after_another_one_waits_for_it_at_a_restart_too() {
    let text = "version: 1
target:
  processes:
    store: { command: [sh, -c, SERVE], LIVES }
    client: { command: [sh, -c, FOLLOW], after: [store], LIVES }
  state: [state]
faults: [ { when: { at: 200ms }, do: kill } ]
timeouts: { trigger: 800ms, recovery: 5s, stop: 5s }
"
    .replace("LIVES", "ready: { by: notify, timeout: 1m }, restart: on-failure, backoff: 10ms")
    .replace(
        "SERVE",
        &format!(
            "\"trap 'exit 0' TERM; sleep 0.2; echo $$ > $KILLPOINT_STATE/pid; {READY}; {IDLE}\""
        ),
    )
    .replace(
        "FOLLOW",
        &format!(
            "\"trap 'exit 0' TERM; kill -0 $(cat $KILLPOINT_STATE/pid) || exit 0; {READY}; {IDLE}\""
        ),
    );
    let (got, detail) = verdict(&text);
    assert_eq!(got, Verdict::Held, "{detail}");
}

#[test]
fn the_dead_do_not_show_a_recovery() {
    let script = "trap 'exit 0' TERM; READY; while :; do test $KILLPOINT_LIFE = 1 && echo x > $KILLPOINT_STATE/up; sleep 0.001; done";
    let more = "invariants: [ { recovery-shown: { by: { file: '{state}/up' }, timeout: 200ms } } ]";
    let (verdict, detail) = verdict(&scenario(script, "do: kill", more));
    assert_eq!(verdict, Verdict::Violated(Class::RecoveryNotShown), "{detail}");
}

#[test]
fn only_what_the_supervisor_starts_again_can_be_kept_down() {
    let script = "trap 'exit 0' TERM; READY; while :; do WORKER; done & wait";
    let fault = "do: { keep-down: 5s }, who: { role: worker }";
    let (verdict, detail) = verdict(&scenario(script, fault, ""));
    assert_eq!(verdict, Verdict::Unknown(Reason::NotFired));
    assert!(detail.contains("inhibits what the supervisor starts again"), "{detail}");
}

#[test]
fn a_document_that_was_made_in_a_trial_and_is_gone_at_the_strike_is_lost() {
    let script = "trap 'exit 0' TERM; cd $KILLPOINT_STATE; READY; test $KILLPOINT_LIFE = 2 && { echo 1 > d; IDLE; }; \
        sleep 0.05; echo 1 > d; sleep 0.1; rm d; sleep 0.3; echo 2 > d; IDLE";
    let more = "invariants: [ { file: { path: d, judge: [at-strike, end] } } ]";
    let text = scenario(script, "do: kill", more).replace("at: 100ms", "at: 300ms");
    let (verdict, detail) = verdict(&text);
    assert_eq!(verdict, Verdict::Violated(Class::Lost), "{detail}");
}

#[test]
fn lines_from_before_the_workload_are_not_waited_for() {
    let script = "trap 'exit 0' TERM; echo saved; sleep 0.2; READY; sleep 0.3; echo saved; IDLE";
    let text =
        scenario(script, "do: kill", "").replace("at: 100ms", "log-line: { pattern: saved }");
    let world = World::new();
    run(&world, &write(&world, "scenario.yaml", &text), &[]);
    let events = std::fs::read_to_string(world.only_run().join("events.jsonl")).expect("a log");
    let after = events
        .split("\"after_ms\":")
        .nth(1)
        .and_then(|it| it.split(|c: char| !c.is_ascii_digit()).next());
    let after: u64 = after.and_then(|it| it.parse().ok()).expect("a position");
    assert!(after >= 250, "{after}");
}

#[test]
fn a_trial_that_is_cut_short_says_so_and_is_no_hung_target() {
    let script = "trap 'exit 0' TERM; READY; IDLE";
    let text = scenario(script, "do: kill", "")
        .replace("stop: 5s }", "stop: 5s, start: 1s, trial: 1200ms }")
        .replace("trigger: 500ms", "trigger: 5s");
    let report = of(&text);
    assert!(report.notes.iter().any(|note| note.contains("was cut short")), "{:?}", report.notes);
    let text = scenario("STUCK; trap 'exit 0' TERM; READY; IDLE", "do: kill", "")
        .replace("recovery: 1s", "recovery: 20s, start: 1s, trial: 1500ms");
    let (verdict, detail) = verdict(&text);
    assert_eq!(verdict, Verdict::Unknown(Reason::NeverSteady), "{detail}");
}

#[test]
fn whom_activities_end_has_not_ended_by_itself() {
    let script = "trap 'exit 0' TERM; echo $$ > $KILLPOINT_STATE/pid; READY; IDLE";
    let kill =
        "{ name: NAME, run: [sh, -c, 'kill -9 $(cat $KILLPOINT_STATE/pid)'], pause-after: 300ms }";
    let kills = ["a", "b", "c"].map(|name| kill.replace("NAME", name)).join(", ");
    let report =
        of(&scenario(script, &format!("do: {{ activities: {{ method: [ {kills} ] }} }}"), ""));
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    assert!(!report.notes.iter().any(|note| note.contains("by itself")), "{:?}", report.notes);
}

#[test]
fn a_strike_during_a_recovery_that_ends_nobody_is_waited_out() {
    let script = "trap 'exit 0' TERM; trap : HUP; sleep 0.3; READY; IDLE";
    for fault in ["do: { suspend: 200ms }", "do: { signal: HUP }"] {
        let text = scenario(script, fault, "").replace("at: 100ms", "phase: recovery");
        let (verdict, detail) = verdict(&text.replace("recovery: 1s", "recovery: 2s"));
        assert_eq!(verdict, Verdict::Held, "{fault}: {detail}");
    }
}

#[test]
fn who_is_asked_to_end_while_it_recovers_has_not_refused_to_come_back() {
    for fault in ["terminate", "{ signal: INT }"] {
        let script = "sleep 0.3; READY; exec sleep 1000";
        let text = scenario(script, &format!("do: {fault}, who: {{ role: main }}"), "")
            .replace("restart: always", "restart: on-failure")
            .replace("at: 100ms", "phase: recovery");
        let (verdict, detail) = verdict(&text);
        assert_eq!(verdict, Verdict::Held, "{fault}: {detail}");
    }
}

#[test]
fn a_target_that_its_policy_leaves_down_is_said_to_be_judged_by_what_was_left_alone() {
    let gap = "main is not started again after it was struck";
    for (policy, fault, is_said) in [
        ("never", "do: kill", true),
        ("never", TERMINATE, true),
        ("on-failure", TERMINATE, true),
        ("on-failure", "do: kill", false),
        ("never", "do: restart", false),
    ] {
        let text = scenario("READY; IDLE", fault, "")
            .replace("restart: always", &format!("restart: {policy}"));
        let report = of(&text);
        assert_eq!(report.result, Outcome::Pass, "{policy}, {fault}: {report:#?}");
        let said = report.not_covered.iter().filter(|it| it.reason.contains(gap)).count();
        assert_eq!(said, usize::from(is_said), "{policy}, {fault}: {report:#?}");
    }
}

#[test]
fn a_job_that_finds_everything_done_after_a_kill_is_over() {
    let script = "test -e $KILLPOINT_STATE/done && exit 0; READY; touch $KILLPOINT_STATE/done; sleep 0.3; exit 0";
    let text = scenario(script, "do: kill", "").replace("restart: always", "restart: on-failure");
    let (verdict, detail) = verdict(&text);
    assert_eq!(verdict, Verdict::Held, "{detail}");
}

#[test]
fn a_job_that_finishes_by_itself_has_been_asked_while_it_was_up() {
    let script = "READY; sleep 0.8; exit 0";
    let asked = "invariants: [ { command: { run: ['true'], judge: [continuously] } } ]";
    let text =
        scenario(script, "do: kill", asked).replace("restart: always", "restart: on-failure");
    let (verdict, detail) = verdict(&text.replace("trigger: 500ms", "trigger: 2s"));
    assert_eq!(verdict, Verdict::Held, "{detail}");
}

#[test]
fn a_strike_while_the_target_is_stopped_leaves_nobody_to_be_asked() {
    let script = "trap 'sleep 0.2; exit 0' TERM; READY; IDLE";
    for moment in ["after-strike", "continuously"] {
        let asked =
            format!("invariants: [ {{ command: {{ run: ['true'], judge: [{moment}] }} }} ]");
        let text = scenario(script, "do: kill", &asked).replace("at: 100ms", "phase: shutdown");
        let (verdict, detail) = verdict(&text);
        assert_eq!(verdict, Verdict::Held, "{moment}: {detail}");
    }
}

#[test]
fn what_is_asked_during_activities_is_asked_once_at_least() {
    let text = "version: 1
faults: [ { when: { at: 10ms }, do: { activities: { method: [ { name: x, run: ['true'] } ] } } } ]
invariants: [ { command: { run: [sh, -c, 'sleep 0.3; exit STATUS'], judge: [continuously] } } ]
timeouts: { trigger: 200ms }
";
    let (verdict, detail) = verdict(&text.replace("STATUS", "0"));
    assert_eq!(verdict, Verdict::Held, "{detail}");
}

#[test]
fn a_target_that_needs_several_tries_has_the_time_of_a_recovery_for_them() {
    let script = "trap 'exit 0' TERM; READY; case $KILLPOINT_LIFE in 2|3|4|5|6|7) sleep 0.2; exit 3;; esac; IDLE";
    let text = scenario(script, "do: kill", "").replace("recovery: 1s", "recovery: 5s");
    let (verdict, detail) = verdict(&text.replace("trigger: 500ms", "trigger: 700ms"));
    assert_eq!(verdict, Verdict::Held, "{detail}");
}

/// Its recovery writes the store anew, over itself or beside it.
#[test]
fn strikes_in_a_recovery_come_at_different_moments_of_it() {
    let recovery = |anew: &str| {
        let script = format!(
            "cd $KILLPOINT_STATE; test -e log && {{ kept=$(cat log); {anew}; }}; \
             trap 'exit 0' TERM; echo I a$$ 1 >> $KILLPOINT_JOURNAL; echo a$$ >> log; echo A a$$ >> $KILLPOINT_JOURNAL; READY; IDLE"
        );
        let check = "cd $KILLPOINT_STATE; touch log; awk 'BEGIN { printf \"{\" } { printf \"%s\\\"%s\\\":1\", c, $1; c = \",\" } END { print \"}\" }' log";
        let more = format!("invariants: [ {{ acked-is-durable: {{ check: {check:?} }} }} ]");
        let text = scenario(&script, "do: kill, trials: 5", &more)
            .replace("at: 100ms", "phase: recovery")
            .replace("recovery: 1s", "recovery: 5s");
        of(&text)
    };
    let report = recovery(": > log; sleep 0.6; echo \"$kept\" > log");
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    let report = recovery("sleep 0.3; echo \"$kept\" > new; sleep 0.3; mv new log");
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
}
