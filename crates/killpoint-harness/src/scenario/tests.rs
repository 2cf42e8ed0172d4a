use super::show::unwrapped;
use super::*;
use killpoint_model::Plan;
use killpoint_model::fault::Fault;
use killpoint_model::invariant::JudgeAt;
use killpoint_model::plan::CrashPoints;

const NOTES: &str = r#"version: 1
title: Saving a note survives any kill
variables:
  store: { default: sqlite, environment: NOTES_STORE }
  trials: { default: "3" }
target:
  command: ["notes", "--store", "${store}"]
  state: [./data]
  ready: { by: notify, timeout: 10s }
  roles: { worker: { cmdline: "--type=worker" } }
workload: { command: ["./drive.sh"], timeout: 60s }
faults:
  - when: { interval: 2s..8s }
    do: kill
    who: { role: worker, pick: one }
    trials: ${trials}
  - when: { at: 5s }
    do: { ladder: [terminate, kill] }
invariants:
  - acked-is-durable: { check: ./check }
  - sqlite: { file: notes.db }
objectives: { restarts: 9 }
"#;

fn parsed(text: &str, given: &Given) -> Result<Scenario, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notes.yaml");
    std::fs::write(&path, text).expect("written");
    std::fs::write(directory.path().join("wrong.yaml"), "# ours\n- sqlite: { flie: b.db }\n")
        .expect("written");
    std::fs::write(directory.path().join("more.yaml"), "- sqlite: { file: b.db }\n")
        .expect("written");
    std::fs::write(
        directory.path().join("filled.yaml"),
        "# of it\n- file: { path: \"${store}\" }\n",
    )
    .expect("written");
    for folder in ["folder", "folder.yaml"] {
        std::fs::create_dir(directory.path().join(folder)).expect("made");
    }
    std::fs::write(directory.path().join("latin.yaml"), b"- file: { path: caf\xe9 }\n")
        .expect("written");
    read(&path, given).map_err(|error| unwrapped(&error.to_string()))
}

fn refuse(change: (&str, &str), expected: &[&str]) {
    assert!(NOTES.contains(change.0), "{}", change.0);
    let text = NOTES.replacen(change.0, change.1, 1);
    let error = parsed(&text, &Given::default()).expect_err(change.1);
    for part in expected {
        assert!(error.contains(part), "`{part}` is not in:\n{error}");
    }
}

#[test]
fn a_file_is_read_with_its_variables_filled_in() {
    let scenario = parsed(NOTES, &Given::default()).expect("a scenario");
    assert_eq!(scenario.target.command, ["notes", "--store", "sqlite"]);
    assert_eq!(scenario.faults[0].trials, 3);
    assert!(matches!(scenario.faults[1].r#do, Fault::Ladder(_)));
    let given = Given {
        set: BTreeMap::from([("trials".to_owned(), "5".to_owned())]),
        environment: BTreeMap::from([("NOTES_STORE".to_owned(), "atomic".to_owned())]),
    };
    let scenario = parsed(NOTES, &given).expect("a scenario");
    assert_eq!((scenario.target.command[2].as_str(), scenario.faults[0].trials), ("atomic", 5));
    assert!(scenario.variables.is_empty(), "a plan does not depend on where a value came from");
}

#[test]
fn the_same_file_has_the_same_plan_with_a_value_given_or_as_default() {
    let usual = parsed(NOTES, &Given::default()).expect("a scenario");
    let given = Given {
        set: BTreeMap::from([("store".to_owned(), "sqlite".to_owned())]),
        ..Given::default()
    };
    let set = parsed(NOTES, &given).expect("a scenario");
    let digest = |scenario| Plan::make(scenario, CrashPoints::default()).expect("a plan").digest;
    assert_eq!(digest(usual), digest(set));
}

#[cfg(feature = "cel")]
#[test]
fn an_expression_that_cannot_be_judged_is_shown_with_its_place() {
    let sqlite = "  - sqlite: { file: notes.db }";
    let expression = |cel: &str| format!("  - expression: {{ cel: \"{cel}\" }}");
    refuse((sqlite, &expression("restart < 3")), &["notes.yaml:21:", "no value `restart`"]);
    refuse(
        (sqlite, &expression("restarts <")),
        &["notes.yaml:21:", "invariants[1].expression.cel"],
    );
}

#[test]
fn a_file_that_is_not_utf8_is_refused_with_its_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("latin.yaml");
    std::fs::write(&path, b"version: 1\ntitle: caf\xe9\n").expect("written");
    let error = read(&path, &Given::default()).expect_err("it is Latin-1").to_string();
    assert!(error.contains("latin.yaml:2: not UTF-8"), "{error}");
}

#[test]
fn an_unknown_word_is_shown_with_its_place_and_the_nearest_right_one() {
    refuse(("workload:", "worklaod:"), &["notes.yaml:11:1", "did you mean `workload`?"]);
    refuse(("timeout: 60s", "tiemout: 60s"), &["notes.yaml:11:", "did you mean `timeout`?"]);
    refuse(("sqlite: { f", "sqllite: { f"), &["notes.yaml:21:", "did you mean `sqlite`?"]);
    refuse(("do: kill", "do: kil"), &["notes.yaml:14:", "did you mean `kill`?"]);
}

/// No line but those of the file itself is wider than a terminal is at least, behind `killpoint: `.
#[test]
fn what_is_said_is_wrapped() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notes.yaml");
    for change in
        [("workload:", "vorlaufer:"), ("command:", "commands: [x]\n  command:"), ("2s..8s", "2..8")]
    {
        std::fs::write(&path, NOTES.replacen(change.0, change.1, 1)).expect("written");
        let error = read(&path, &Given::default()).expect_err(change.1).to_string();
        let words = error.lines().filter(|line| !line.contains("notes.yaml:"));
        let wide = words.filter(|line| line.chars().count() > 69).collect::<Vec<_>>();
        assert!(wide.is_empty() && error.lines().count() > 6, "{wide:?}:\n{error}");
    }
}

#[test]
fn doubled_keys_and_wrong_types_are_shown_with_their_place() {
    refuse(("title:", "version: 1\ntitle:"), &["notes.yaml:2:", "`version` is written twice"]);
    refuse(("version: 1", "version: one"), &["notes.yaml:1:"]);
    refuse(("state: [./data]", "state: ./data"), &["notes.yaml:8:", "a list is expected here"]);
    refuse(("sqlite: { file: notes.db }", "sqlite"), &["notes.yaml:", "keys with values"]);
    refuse(
        ("at: 5s", "at: 9999999999999999h"),
        &["notes.yaml:17:", "it is a time, as 500ms, or a list of times"],
    );
    refuse(("2s..8s", "2..8"), &["notes.yaml:13:", "no range of times"]);
    refuse(("timeout: 10s", "timeout: 10"), &["notes.yaml:9:"]);
}

#[test]
fn what_makes_no_sense_is_shown_at_its_part() {
    refuse(("version: 1", "version: 2"), &["notes.yaml:1:1", "version 2"]);
    refuse(("role: worker", "role: wroker"), &["notes.yaml:15:", "no role or process `wroker`"]);
    refuse(
        ("at: 5s", "event: { name: checkpoint.svaed }"),
        &["notes.yaml:17:", "checkpoint.svaed"],
    );
}

#[test]
fn the_reader_of_yaml_speaks_of_scenarios() {
    refuse(("title:", "---\ntitle:"), &["notes.yaml:3:1", "a second document begins here"]);
    let two = "when: { at: 5s, checkpoint: 3 }";
    refuse(("when: { at: 5s }", two), &["notes.yaml:17:", "one key is all"]);
    refuse(("do: kill", "do: [kill]"), &["notes.yaml:14:", "a word, or one key"]);
    refuse(("do: kill", "do: { kill: 5s }"), &["notes.yaml:14:", "this word takes no value"]);
    refuse(("    do: kill\n", ""), &["notes.yaml:15:", "`do` is missing here"]);
    refuse(
        ("title: Saving a note survives any kill", "title:"),
        &["notes.yaml:", "a text is expected"],
    );
    refuse(
        ("[terminate, kill]", "[terminate, { by: kil }]"),
        &["notes.yaml:18:", "a rung is terminate"],
    );
    refuse(("sqlite: { ", "sqlite: { foreign-keys: yes, "), &["notes.yaml:21:", "true or false"]);
    refuse(
        ("file: notes.db", "file: *notes"),
        &["notes.yaml:21:", "write a text that begins with it"],
    );
    refuse(
        ("sqlite: { file: notes.db }", "!include no.yaml"),
        &["notes.yaml:21:", "cannot be read"],
    );
    for what in ["folder", "folder.yaml"] {
        refuse(
            ("sqlite: { file: notes.db }", &format!("!include {what}")),
            &["notes.yaml:21:", "is no file of YAML", "not a directory"],
        );
    }
    refuse(("sqlite: { file: notes.db }", "!include latin.yaml"), &["notes.yaml:21:", "not UTF-8"]);
    for jargon in ["DuplicateKeyPolicy", "from_str_multiple", "tagged enum", "untagged"] {
        for (from, to) in [
            ("title:", "version: 1\ntitle:"),
            ("title:", "---\ntitle:"),
            ("do: kill", "do: [kill]"),
        ] {
            let error = parsed(&NOTES.replacen(from, to, 1), &Given::default()).expect_err(to);
            assert!(!error.contains(jargon), "{error}");
        }
    }
}

#[test]
fn what_can_never_work_is_shown_where_it_stands() {
    for (from, to, place, why) in [
        ("by: notify", "by: { socket: notes }", "notes.yaml:9:", "write HOST:PORT"),
        ("by: notify", "by: { socket: 'localhost:70000' }", "notes.yaml:9:", "1 to 65535"),
        ("by: notify", "by: { http: nope }", "notes.yaml:9:", "write http://HOST:PORT/PATH"),
        ("by: notify", "by: { file: '' }", "notes.yaml:9:18", "it is empty: name a file"),
        ("timeout: 10s", "timeout: 0s", "notes.yaml:9:24", "greater than 0"),
        (
            "  ready:",
            "  supervisor: { backoff: { factor: 0 } }\n  ready:",
            "notes.yaml:9:28",
            "1 or more",
        ),
        ("  ready:", "  directory: ''\n  ready:", "notes.yaml:9:3", "name a directory"),
        ("  ready:", "  environment: { A=B: x }\n  ready:", "notes.yaml:9:18", "take the `=` out"),
        (
            "{ interval: 2s..8s }",
            "{ log-line: { pattern: '' } }",
            "notes.yaml:13:",
            "found in everything",
        ),
        (
            "{ interval: 2s..8s }",
            "{ point: 'write(a)#1@x' }",
            "notes.yaml:13:13",
            "there is no role `x`",
        ),
        (
            "{ interval: 2s..8s }",
            "{ file: /etc/passwd }",
            "notes.yaml:13:13",
            "outside of the state",
        ),
        ("{ interval: 2s..8s }", "{ file: ../lock }", "notes.yaml:13:13", "leave `..` out"),
        ("{ role: worker, pick: one }", "{}", "notes.yaml:15:5", "it names nobody"),
        (
            "{ role: worker, pick: one }",
            "{ caller: false }",
            "notes.yaml:15:",
            "write true, or leave it out",
        ),
        ("timeout: 60s", "timeout: 0s", "notes.yaml:11:38", "greater than 0"),
        (
            "file: notes.db",
            "file: notes.db }\n  - sqlite: { file: notes.db",
            "notes.yaml:22:",
            "is the same",
        ),
        (
            "sqlite: { file: notes.db }",
            "probe: { by: notify }",
            "notes.yaml:21:14",
            "supervisor alone",
        ),
        (
            "sqlite: { file: notes.db }",
            "no-litter: { allow: ['['] }",
            "notes.yaml:21:",
            "no pattern of names",
        ),
        (
            "sqlite: { file: notes.db }",
            "command: { run: [x], tolerance: { least: 2, greatest: 1 } }",
            "notes.yaml:21:39",
            "no number lies between",
        ),
        (
            "sqlite: { file: notes.db }",
            "request: { ask: { url: 'ftp://x/' } }",
            "notes.yaml:21:",
            "https is not asked",
        ),
        ("restarts: 9", "crash-budget: {}", "notes.yaml:22:15", "it asks for nothing"),
        (
            "restarts: 9 }",
            "restarts: 9 }\ntimeouts: { trial: 20s }",
            "notes.yaml:23:13",
            "a whole trial",
        ),
        (
            "restarts: 9 }",
            "restarts: 9 }\ncollect: { screenshots: { display: screen } }",
            "notes.yaml:23:27",
            "no X display",
        ),
        ("environment: NOTES_STORE", "environment: 'A=B'", "notes.yaml:4:29", "take the `=` out"),
        (
            "  trials: {",
            "  a b: { default: x }\n  trials: {",
            "notes.yaml:5:3",
            "no `${NAME}` can name it",
        ),
    ] {
        refuse((from, to), &[place, why]);
    }
}

#[test]
fn variables_are_declared_and_have_a_value() {
    let given = Given::parse(&["stroe=atomic".to_owned()]).expect("of the form");
    let error = parsed(NOTES, &given).expect_err("not declared");
    assert!(
        error.contains("notes.yaml:3:1")
            && error.contains("no variable `stroe`; did you mean `store`?"),
        "{error}"
    );
    refuse(("\"${store}\"", "\"${stroe}\""), &["notes.yaml:7:", "did you mean `store`?"]);
    for broken in ["\"${store\"", "${store", "x${store, y"] {
        refuse(("\"${store}\"", broken), &["notes.yaml:7:", "`${store` has no `}`"]);
    }
    let last =
        NOTES.replace("[\"notes\", \"--store\", \"${store}\"]", "[notes,\n    ${store\n    ]");
    let error = parsed(&last, &Given::default()).expect_err("the name has no end");
    assert!(error.contains("notes.yaml:8:5") && error.contains("`${store` has no `}`"), "{error}");
    refuse(("\"${store}\"", "\"${HOME:-x}\""), &["notes.yaml:7:", "no variable `HOME:-x`"]);
    let literal = NOTES.replace("\"${store}\"", "\"$${store}\"");
    let scenario = parsed(&literal, &Given::default()).expect("a scenario");
    assert_eq!(scenario.target.command[2], "${store}");
    refuse(
        ("trials: { default: \"3\" }", "trials: {}"),
        &["notes.yaml:5:", "variables.trials: it has no value: give --set trials=VALUE"],
    );
    let given = Given::parse(&["store=a\", evil: \"".to_owned()]).expect("of the form");
    let error = parsed(NOTES, &given).expect_err("more than a value");
    assert!(error.contains("notes.yaml:4:") && error.contains("(--set store)"), "{error}");
    assert!(Given::parse(&["store".to_owned()]).is_err());
    assert!(Given::parse(&["a=1".to_owned(), "a=2".to_owned()]).is_err());
}

#[test]
fn another_file_is_included_from_below_the_scenario_only() {
    let text = NOTES.replace(
        "invariants:\n  - acked-is-durable: { check: ./check }\n  - sqlite: { file: notes.db }",
        "invariants: !include more.yaml",
    );
    let scenario = parsed(&text, &Given::default()).expect("a scenario");
    assert_eq!(scenario.invariants.len(), 1);
    let wrong = parsed(&text.replace("more.yaml", "wrong.yaml"), &Given::default());
    let wrong = wrong.expect_err("`flie` is none");
    assert!(wrong.contains("wrong.yaml:2:13") && wrong.contains("did you mean `file`?"), "{wrong}");
    let outside = text.replace("more.yaml", "/etc/hostname");
    assert!(parsed(&outside, &Given::default()).is_err());
}

#[test]
fn variables_are_filled_in_in_what_is_included() {
    let text = NOTES.replace(
        "invariants:\n  - acked-is-durable: { check: ./check }\n  - sqlite: { file: notes.db }",
        "invariants: !include filled.yaml",
    );
    let given = Given::parse(&["store=a.db".to_owned()]).expect("of the form");
    let scenario = parsed(&text, &given).expect("a scenario");
    assert!(
        matches!(&scenario.invariants[..], [Invariant::File(file)] if file.path == "a.db"),
        "{:?}",
        scenario.invariants
    );
    let other = text.replace("store: {", "stores: {").replace("${store}", "x");
    let wrong = parsed(&other, &Given::default()).expect_err("it declares no `store`");
    assert!(
        wrong.contains("filled.yaml:2:") && wrong.contains("did you mean `stores`?"),
        "{wrong}"
    );
}

#[test]
fn a_file_that_multiplies_itself_is_refused() {
    let mut text =
        String::from("version: 1\ntitle: x\ntarget: {command: [a]}\nz: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..9 {
        let below = format!("*a{},", level - 1).repeat(9);
        text.push_str(&format!("y{level}: &a{level} [{below}]\n"));
    }
    assert!(parsed(&text, &Given::default()).is_err());
}

#[test]
fn the_schema_knows_every_key_of_the_file() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).expect("JSON");
    for key in ["version", "target", "workload", "faults", "invariants", "objectives", "timeouts"] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["$defs"]["Span"]["type"] == "string", "{}", schema["$defs"]["Span"]);
    // Other names that are taken.
    let tolerated = &schema["$defs"]["Tolerance"]["properties"];
    assert_eq!(tolerated["status"], tolerated["exit"]);
    let moments = schema["$defs"]["JudgeAt"]["oneOf"].to_string();
    for name in ["SOT", "OnChaos", "Continuous", "EOT", "Edge"] {
        assert!(moments.contains(&format!("\"{name}\"")), "{name}: {moments}");
        serde_json::from_value::<JudgeAt>(name.into()).expect("it is taken");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[-a-z0-9:{}\\[\\]\"$&*! \\n]{0,200}") {
        let _ = parse(&text, Path::new("x.yaml"), &Given::default());
    }
}
