//! Scenarios that make no sense, each with where and why.

use super::super::tests::{NOTES, read};

fn refuse(change: (&str, &str), expected: &str) {
    assert!(NOTES.contains(change.0), "{}", change.0);
    let error = read(&NOTES.replace(change.0, change.1)).validate().expect_err(change.1);
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    assert_eq!(read(NOTES).validate(), Ok(()));
    refuse(("\"version\": 1", "\"version\": 2"), "version 2");
    refuse((r#""command": ["guest-notes", "{state}"], "#, ""), "either a `command`");
    refuse((r#""command": ["./drive.sh"]"#, r#""command": []"#), "workload.command");
    refuse((r#""role": "worker""#, r#""role": "wroker""#), "faults[0].who.role: there is no role");
    refuse((r#""trials": 3"#, r#""trials": 0"#), "faults[0].trials");
    refuse((r#""duration": "10s""#, r#""duration": "10ms""#), "faults[1].duration");
    refuse((r#""do": "terminate""#, r#""do": {"fail": "EIO"}"#), "needs `points`");
    refuse((r#"{"at": ["1s", "2s"]}"#, r#"{"phase": "idle"}"#), "write start, work");
    let probe = r#"{"probe": {"by": "notify"}}"#;
    refuse((r#"{"at": ["1s", "2s"]}"#, probe), "take an `event`");
    refuse((r#""role": "worker""#, r#""caller": true"#), "have a caller");
    refuse((r#"{"at": ["1s", "2s"]}"#, r#"{"event": {"name": "x"}}"#), "lifecycle event `x`");
    refuse((r#""do": "terminate""#, r#""do": {"activities": {"method": []}}"#), "is empty");
    refuse((r#""do": "terminate""#, r#""do": {"suspend": "0s"}"#), "longer than 0");
    refuse((r#""do": "terminate""#, r#""do": {"signal": "STOP"}"#), "write `suspend: 5s`");
    let ladder = r#""do": {"ladder": ["terminate", {"by": {"signal": "TTIN"}, "grace": "1s"}]}"#;
    refuse((r#""do": "terminate""#, ladder), "SIGTTIN suspends");
    refuse((r#"{"at": ["1s", "2s"]}"#, r#"{"at": []}"#), "when.at: it is empty");
    refuse((r#""pick": "one""#, r#""pick": {"fixed": 0}"#), "picks nobody");
    let event = r#"{"event": {"name": "process.ready", "process": "wroker"}}"#;
    refuse((r#"{"at": ["1s", "2s"]}"#, event), "there is no process `wroker`");
    let budget = r#""objectives": {"crash-budget": {"per-hour": -1.0}}"#;
    refuse((r#""objectives": {"data-loss": 0}"#, budget), "crash-budget.per-hour");
    refuse((r#""faults": ["worker"]"#, r#""faults": ["w"]"#), "tiers.local.faults");
    for (invariant, expected) in [
        (r#"{"command": {"run": []}}"#, "invariants[0].command.run: it is empty: name a program"),
        (r#"{"acked-is-durable": {"check": "x", "timeout": "0s"}}"#, "acked-is-durable.timeout"),
        (r#"{"file": {"path": "a"}}, {"file": {"path": "a"}}"#, "invariants[0] is the same"),
        (
            r#"{"exactly-once": {"list": "ls {state:2}"}}"#,
            "exactly-once.list: {state:2} stands for",
        ),
    ] {
        let durable = r#"[{"acked-is-durable": {"check": "./check"}}]"#;
        let loss = (r#""objectives": {"data-loss": 0}"#, r#""objectives": {}"#);
        let text = NOTES.replace(durable, &format!("[{invariant}]")).replace(loss.0, loss.1);
        let error = read(&text).validate().expect_err(invariant);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_rule_that_can_never_strike_is_refused() {
    let when = r#"{"at": ["1s", "2s"]}"#;
    for (trigger, expected) in [
        (r#"{"at": ["2s", "1s"]}"#, "faults[2].when.at: a time is over"),
        (r#"{"at": "5m"}"#, "faults[2].when.at: a trial is over by then"),
        (r#"{"interval": "10m..11m"}"#, "faults[2].when.interval: a trial is over"),
        (r#"{"file": ""}"#, "faults[2].when.file: it is empty"),
        (r#"{"file": "../lock"}"#, "faults[2].when.file: each trial has the state elsewhere"),
        (r#"{"point": "end"}"#, "the end is no call"),
        (r#"{"point": "write(a)#1@nobody"}"#, "faults[2].when.point: there is no role `nobody`"),
        (r#"{"probe": {"by": {"file": ""}}}"#, "faults[2].when.probe.by.file: it is empty"),
        (r#"{"log-line": {"pattern": "x", "nth": 0}}"#, "faults[2].when.log-line.nth"),
    ] {
        refuse((when, trigger), expected);
    }
    let worker = r#""who": {"role": "worker", "pick": "one"}"#;
    for (who, expected) in [
        (r#""who": {"role": "worker", "sparing": ["worker"]}"#, "faults[0].who.sparing"),
        (r#""who": {"select": {}}"#, "faults[0].who.select: it selects nothing"),
        (r#""who": {"never": [{"port": 0}]}"#, "faults[0].who.never[0].port"),
        (r#""name": "x", "who": {"select": {"comm": "longer-than-fifteen"}}"#, "who.select.comm"),
    ] {
        let text = who.replace(r#""name": "x", "#, "");
        refuse((worker, &text), expected);
    }
    let end = r#""do": "terminate""#;
    refuse((end, r#""do": {"ladder": ["kill", "terminate"]}"#), "do.ladder[1]: nobody is left");
    refuse((end, r#""do": {"keep-down": "5m"}"#), "faults[2].do.keep-down: a trial is over");
    refuse((end, r#""do": "terminate", "name": "worker""#), "faults[2].name: another rule");
    let point = (
        r#"{"at": ["1s", "2s"]}, "do": "terminate""#,
        r#"{"point": "unlink(a)#1"}, "do": {"fail": "ENOSPC"}"#,
    );
    refuse(point, "faults[2].do: fail with ENOSPC is never what becomes of a call of unlink");
    let recovery = NOTES.replace(r#""restart": "always""#, r#""restart": "never""#);
    let recovery = recovery.replace(when, r#"{"phase": "recovery"}"#);
    let error = read(&recovery).validate().expect_err("nobody recovers");
    assert_eq!(error.at, "faults[2].when.phase");
}

#[test]
fn what_the_target_says_is_refused_where_it_says_it() {
    let backoff = r#""backoff": "50ms""#;
    for (more, at) in [
        (r#""backoff": {"factor": 0}"#, "target.supervisor.backoff.factor"),
        (r#""start-limit": {"count": 3, "within": "0s"}"#, "target.supervisor.start-limit.within"),
        (r#""limits": {"processes-max": 0}"#, "target.supervisor.limits.processes-max"),
        (r#""checkpoint": """#, "target.supervisor.checkpoint"),
    ] {
        refuse((backoff, more), &format!("{at}: "));
    }
    let ready = r#""ready": {"by": "notify", "timeout": "5s"}"#;
    for (more, at) in [
        (r#""ready": {"by": {"file": ""}}"#, "target.ready.by.file"),
        (r#""ready": {"by": "notify", "timeout": "0s"}"#, "target.ready.timeout"),
        (r#""watchdog": {"timeout": "0s"}"#, "target.watchdog.timeout"),
        (r#""stop": {"command": [""]}"#, "target.stop.command"),
        (r#""directory": " ""#, "target.directory"),
        (r#""environment": {"A=B": "1"}"#, "target.environment.A=B"),
        (r#""environment": {"KILLPOINT_STATE": "x"}"#, "target.environment.KILLPOINT_STATE"),
    ] {
        refuse((ready, more), &format!("{at}: "));
    }
    refuse((r#"["./data"]"#, r#"["./data", ""]"#), "target.state[1]: it is empty");
    refuse((r#"["./data"]"#, r#"["./data", "./data"]"#), "target.state[1]: it is named twice");
    refuse(
        (r#""command": ["guest-notes", "{state}"]"#, r#""processes": {"a": {"command": ["a"]}}"#),
        "target.supervisor: it belongs to a `command`",
    );
    let processes =
        r#"{"version": 1, "target": {"processes": {"a": {"command": ["a"], "after": ["b"]}}}}"#;
    assert_eq!(read(processes).validate().expect_err("no b").at, "target.processes.a.after");
}

#[test]
fn limits_tiers_and_objectives_that_leave_nothing_are_refused() {
    let workload = r#""command": ["./drive.sh"]"#;
    refuse((workload, r#""command": [""]"#), "workload.command: it is empty");
    refuse((workload, r#""command": ["./drive.sh"], "timeout": "0s""#), "workload.timeout");
    let loss = r#""objectives": {"data-loss": 0}"#;
    for (more, expected) in [
        (r#""timeouts": {"trial": "10s"}"#, "timeouts.trial: a whole trial is over before"),
        (r#""objectives": {"recovery-time": {}}"#, "objectives.recovery-time: it asks for nothing"),
        (r#""collect": {"screenshots": {"display": "screen"}}"#, "collect.screenshots.display"),
    ] {
        refuse((loss, more), expected);
    }
    let durable = r#"[{"acked-is-durable": {"check": "./check"}}]"#;
    refuse((durable, "[]"), "objectives.data-loss: no invariant reads back");
    let local = r#""local": {"faults": ["worker"], "trials": 1}"#;
    refuse((local, r#""local": {"trials": 0}"#), "tiers.local.trials");
    refuse((local, r#""local": {"faults": ["worker"], "duration": "1h"}"#), "tiers.local.duration");
    refuse((local, r#""local": {"duration": "10ms"}"#), "tiers.local.duration: no time");
}
