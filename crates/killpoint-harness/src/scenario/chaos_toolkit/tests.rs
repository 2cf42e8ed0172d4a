use super::*;
use crate::scenario::show::unwrapped;
use killpoint_model::invariant::{AnyStatus, Said, Statuses};

/// In the shape of the Chaos Toolkit's documentation: what is asked, done and undone.
const WHOLE: &str = r#"{
    "version": "1.0.0",
    "title": "The server comes back",
    "description": "Its supervisor starts it again.",
    "tags": ["local"],
    "configuration": {
        "port": {"type": "env", "key": "PORT", "default": "8080", "env_var_type": "int"},
        "wait": 2
    },
    "secrets": {"service": {"token": {"type": "env", "key": "SERVICE_TOKEN"}}},
    "steady-state-hypothesis": {
        "title": "It answers",
        "probes": [
            {"type": "probe", "name": "answers", "tolerance": [200, 204],
             "provider": {"type": "http", "url": "http://127.0.0.1:${port}/health", "timeout": [1, 2],
                          "headers": {"Authorization": "Bearer ${token}"}}},
            {"type": "probe", "name": "workers",
             "tolerance": {"type": "range", "range": [1, 4], "target": "stdout"},
             "provider": {"type": "process", "path": "pgrep", "arguments": ["-c", "worker"]}}
        ]
    },
    "method": [
        {"type": "action", "name": "kill it", "pauses": {"before": 0.5, "after": "${wait}"},
         "provider": {"type": "process", "path": "pkill", "timeout": 5,
                      "arguments": {"--signal": "KILL", "--full": "server"}}},
        {"ref": "answers"},
        {"type": "probe", "name": "its state", "background": true,
         "tolerance": {"type": "jsonpath", "target": "body", "path": "$.jobs[0].state", "expect": ["up"]},
         "provider": {"type": "http", "url": "http://127.0.0.1:${port}/jobs", "method": "post",
                      "arguments": {"of": "a b"}}}
    ],
    "rollbacks": [
        {"type": "action", "name": "start it",
         "provider": {"type": "process", "path": "sh", "arguments": "-c 'exec ./start'"}}
    ]
}"#;

fn given(set: &[(&str, &str)]) -> Given {
    let set = set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Given { set: set.collect(), environment: BTreeMap::new() }
}

fn read(text: &str) -> Result<Imported, String> {
    parse(text, Path::new("experiment.json"), &given(&[]))
        .map_err(|error| unwrapped(&error.to_string()))
}

fn refuse(change: (&str, &str), expected: &[&str]) {
    assert!(WHOLE.contains(change.0), "{}", change.0);
    let error = read(&WHOLE.replacen(change.0, change.1, 1)).expect_err(change.1);
    for part in expected {
        assert!(error.contains(part), "`{part}` is not in:\n{error}");
    }
}

fn activities(imported: &Imported) -> &Activities {
    match &imported.scenario.faults[0].r#do {
        Fault::Activities(activities) => activities,
        other => panic!("{other}"),
    }
}

#[test]
fn an_experiment_is_a_scenario_of_one_rule() {
    let imported = read(WHOLE).expect("an experiment");
    assert!(imported.scenario.is_of_anothers_target());
    let Activities { method, rollbacks } = activities(&imported);
    // The keys of an object have no order in the file's format; theirs is that of the alphabet.
    assert_eq!(method[0].run, ["pkill", "--full", "server", "--signal", "KILL"]);
    assert_eq!(method[0].pause_before, Span::from_ms(500));
    assert_eq!(method[0].pause_after, Span::from_secs(2));
    assert_eq!(method[0].timeout, Span::from_secs(5));
    assert_eq!((method[1].name.as_str(), method[1].kind), ("answers", ActivityKind::Probe));
    let request = method[2].request.as_ref().expect("a request");
    assert_eq!((request.method.as_str(), request.body.as_deref()), ("POST", Some("of=a%20b")));
    let tolerance = method[2].tolerance.as_ref().expect("a tolerance");
    assert_eq!(tolerance.pointer.as_deref(), Some("/jobs/0/state"));
    assert_eq!(tolerance.equals, Some("up".into()));
    assert!(method[2].background);
    assert_eq!(rollbacks[0].run, ["/bin/sh", "-c", "sh -c 'exec ./start'"]);
    assert_eq!(imported.notes, ["`tags` says nothing to killpoint"]);
}

#[test]
fn the_steady_state_is_asked_before_the_method_and_after_it() {
    let imported = read(WHOLE).expect("an experiment");
    let [Invariant::RequestAnswered(answers), Invariant::CommandEnds(workers)] =
        imported.scenario.invariants.as_slice()
    else {
        panic!("{:?}", imported.scenario.invariants)
    };
    assert_eq!(answers.judge, [JudgeAt::Before, JudgeAt::AfterStrike]);
    assert_eq!(&*answers.ask.url, "http://127.0.0.1:8080/health");
    assert_eq!(answers.timeout, Span::from_secs(3));
    assert_eq!(answers.tolerance.exit, Some(Statuses::Several(vec![200, 204])));
    assert_eq!(workers.tolerance.exit, Some(Statuses::Any(AnyStatus::Any)), "as it is there");
    assert_eq!((workers.tolerance.least, workers.tolerance.greatest), (Some(1.0), Some(4.0)));
    assert_eq!(workers.tolerance.said, Said::Output);
}

#[test]
fn a_secret_is_nowhere_but_where_it_is_used() {
    let imported = read(WHOLE).expect("an experiment");
    let text = serde_json::to_string(&imported.scenario).expect("plain data");
    assert!(text.contains("Bearer {environment:SERVICE_TOKEN}"), "{text}");
    refuse((r#"{"type": "env", "key": "SERVICE_TOKEN"}"#, r#""hunter2""#), &["secrets.service"]);
    let vault = r#"{"type": "vault", "key": "a/b"}"#;
    refuse((r#"{"type": "env", "key": "SERVICE_TOKEN"}"#, vault), &["`vault`"]);
}

#[test]
fn values_are_given_by_the_command_line_then_the_environment_then_the_file() {
    let mut given = given(&[("port", "1")]);
    given.environment.insert("PORT".to_owned(), "2".to_owned());
    let url = |given: &Given| {
        let imported = parse(WHOLE, Path::new("e.json"), given).expect("an experiment");
        match &imported.scenario.invariants[0] {
            Invariant::RequestAnswered(it) => it.ask.url.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(url(&given).contains(":1/"));
    given.set.clear();
    assert!(url(&given).contains(":2/"));
    given.set.insert("prot".to_owned(), "1".to_owned());
    let error = parse(WHOLE, Path::new("e.json"), &given).expect_err("unknown").to_string();
    assert!(unwrapped(&error).contains("did you mean `port`?"), "{error}");
}

#[test]
fn a_misspelt_name_is_an_error_with_the_nearest_one() {
    refuse(
        ("steady-state-hypothesis", "stedy-state-hypothesis"),
        &["`stedy-state-hypothesis`", "did you mean `steady-state-hypothesis`?"],
    );
    refuse((r#""rollbacks""#, r#""rolbacks""#), &["did you mean `rollbacks`?"]);
    refuse((r#""pauses""#, r#""pause""#), &["did you mean `pauses`?"]);
    refuse(("${wait}", "${wiat}"), &["method[0].pauses.after", "did you mean `wait`?"]);
    refuse((r#"{"ref": "answers"}"#, r#"{"ref": "answer"}"#), &["nothing is called `answer`"]);
    let only = r#"{"titel": "x", "method": []}"#;
    assert!(read(only).expect_err("misspelt").contains("did you mean `title`?"));
}

#[test]
fn what_cannot_be_carried_out_is_refused_by_its_name() {
    let python = r#""type": "python", "module": "os", "func": "kill", "path": "pkill""#;
    refuse((r#""type": "process", "path": "pkill""#, python), &["the provider `python`"]);
    refuse(("http://127.0.0.1:${port}/health", "https://x/"), &["only http://"]);
    refuse((r#""tags": ["local"]"#, r#""controls": [{"name": "x"}]"#), &["controls are Python"]);
    refuse((r#""tags": ["local"]"#, r#""dry": "actions""#), &["killpoint plan"]);
    refuse(("[200, 204]", "true"), &["never met"]);
    refuse((r#""tolerance": [200, 204],"#, ""), &["has a tolerance"]);
    refuse(("$.jobs[0].state", "$.jobs[*].state"), &["only plain paths"]);
    refuse((r#""target": "stdout""#, r#""target": "body""#), &["stdout or stderr"]);
    refuse((r#""timeout": 5"#, r#""timeout": -5"#), &["no number of seconds"]);
    let only_asks = r#"{"type": "probe", "name": "kill it""#;
    refuse(
        (r#"{"type": "action", "name": "kill it""#, only_asks),
        &["experiment.json:22:", "method: it only asks"],
    );
    refuse((r#""method": "post""#, r#""method": "p t""#), &["method[2]", "no method of HTTP"]);
}

#[test]
fn only_what_has_the_parts_of_an_experiment_is_one() {
    assert!(is_experiment(WHOLE));
    assert!(is_experiment("title: x\nsteady-state-hypothesis: {title: y}\n"));
    assert!(is_experiment(&WHOLE.replace("steady-state", "stedy-state")));
    assert!(!is_experiment("version: 1\ntarget: {command: [x]}\nfaults: []\n"));
    assert!(!is_experiment("version: 1\nfaults: [{when: {at: 1s}, do: kill}]\n"));
}
