//! Invariants over real files, databases, commands and sockets, read and judged.

use super::*;
use crate::asserter::history::History;
use crate::asserter::journal::Journal;
use killpoint_model::selector::Pattern;
use killpoint_model::verdict::Verdict;
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;

/// A target that is nothing but its directory.
struct World {
    directory: tempfile::TempDir,
    checkpoints: BTreeMap<String, Vec<u64>>,
    values: Json,
    log: Vec<&'static str>,
    is_written: bool,
    is_live: bool,
}

impl World {
    fn new() -> Self {
        World {
            directory: tempfile::tempdir().expect("a directory"),
            checkpoints: BTreeMap::new(),
            values: json!({}),
            log: Vec::new(),
            is_written: false,
            is_live: false,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    fn read(&self, invariant: &Json) -> Reading {
        let invariant: Invariant = serde_json::from_value(invariant.clone()).expect("an invariant");
        let reader = Reader {
            states: vec![self.directory.path().to_owned()],
            shown: vec![self.directory.path().to_owned()],
            own_paths: crate::own_paths::OwnPaths::default(),
            journal: self.path("journal"),
            directory: self.directory.path().to_owned(),
            environment: vec![("PATH".into(), std::env::var_os("PATH").unwrap_or_default())],
            is_live: self.is_live,
        };
        let has_line = |pattern: &Pattern| self.log.iter().any(|line| pattern.is_found_in(line));
        let told = Told {
            checkpoints: &self.checkpoints,
            values: &self.values,
            has_line: &has_line,
            is_written: &|| self.is_written,
        };
        let reading = reader.read(&invariant, &told);
        let text = serde_json::to_string(&reading).expect("plain data");
        assert_eq!(serde_json::from_str::<Reading>(&text).expect("the same"), reading);
        reading
    }

    fn judge(&self, invariant: &Json) -> Judgement {
        judge_one(invariant, &Evidence::of(&self.read(invariant)))
    }

    /// Checks the verdict, and that its words say this.
    fn check(&self, invariant: Json, verdict: &Verdict, says: &str) {
        let judgement = self.judge(&invariant);
        assert_eq!(judgement.verdict, *verdict, "{invariant}: {}", judgement.detail);
        assert!(judgement.detail.contains(says), "{invariant}: {}", judgement.detail);
    }
}

fn judge_one(invariant: &Json, evidence: &Evidence<'_>) -> Judgement {
    judge(&serde_json::from_value(invariant.clone()).expect("an invariant"), evidence)
}

const HELD: Verdict = Verdict::Held;
const FAILED: Verdict = Verdict::Unknown(Reason::JudgeFailed);

fn violated(class: Class) -> Verdict {
    Verdict::Violated(class)
}

#[test]
fn a_database_is_sound_refers_to_what_is_there_and_answers() {
    let world = World::new();
    let file = json!({"file": "a.db"});
    world.check(json!({"sqlite": file}), &violated(Class::Lost), "a.db is not there");
    let connection = Connection::open(world.path("a.db")).expect("a database");
    connection
        .execute_batch(
            "pragma foreign_keys = off; pragma journal_mode = wal; create table p(id integer primary key);
             create table c(id integer primary key, p references p(id));
             insert into p values(1), (2); insert into c values(7, 1)",
        )
        .expect("tables");
    let before = fs::read(world.path("a.db")).expect("bytes");
    let count = |number: &str| json!({"sqlite": {"file": "a.db", "query": "select count(*) from p", "equals": number}});
    // The rows are in the write-ahead log only: a copy of the database alone would lack them.
    world.check(count("2"), &HELD, "");
    world.check(count("3"), &violated(Class::Wrong), "gives `2`, not `3`");
    assert_eq!(fs::read(world.path("a.db")).expect("bytes"), before, "it was read, not recovered");
    let gone = json!({"sqlite": {"file": "a.db", "query": "select * from gone"}});
    world.check(gone, &violated(Class::Wrong), "no such table");
    connection.execute("insert into c values(8, 99)", []).expect("a row");
    world.check(json!({"sqlite": file}), &violated(Class::Wrong), "row 8 of c refers to p");
    let without = json!({"sqlite": {"file": "a.db", "foreign-keys": false}});
    world.check(without.clone(), &HELD, "");
    let live = World { is_live: true, ..world };
    live.check(without.clone(), &HELD, "");
    drop(connection);
    let length = fs::metadata(live.path("a.db")).expect("a file").len() as usize;
    let mut bytes = fs::read(live.path("a.db")).expect("bytes");
    bytes[length / 2..].fill(0x5a);
    fs::write(live.path("a.db"), bytes).expect("written");
    let quiet = World { is_live: false, ..live };
    quiet.check(without.clone(), &violated(Class::Unopenable), "a.db is damaged");
    quiet.write(
        "a.db",
        "this is no database, but it is long enough to have a header of its own....",
    );
    quiet.check(without, &violated(Class::Unopenable), "a.db is damaged");
}

#[test]
fn a_file_is_there_whole_and_says_what_it_should() {
    let world = World::new();
    let file = |fields: Json| {
        let mut whole = json!({"path": "a.json"});
        whole.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
        json!({"file": whole})
    };
    world.check(file(json!({})), &violated(Class::Lost), "not there");
    world.check(file(json!({"exists": false})), &HELD, "");
    world.write("a.json", r#"{"v": [1, null]}"#);
    world.check(file(json!({})), &HELD, "");
    world.check(file(json!({"exists": false})), &violated(Class::Extra), "16 bytes");
    world.check(file(json!({"parses": "json"})), &HELD, "");
    world.check(file(json!({"pointer": "/v/0", "equals": 1})), &HELD, "");
    world.check(file(json!({"pointer": "/v/1"})), &HELD, "");
    world.check(
        file(json!({"pointer": "/v/0", "equals": 2})),
        &violated(Class::Wrong),
        "is 1, not 2",
    );
    world.check(file(json!({"pointer": "/v/2"})), &violated(Class::Lost), "nothing at /v/2");
    world.check(file(json!({"parses": "yaml", "pointer": "/v"})), &FAILED, "JSON and TOML only");
    world.write("a.json", r#"{"v": [1"#);
    world.check(file(json!({"parses": "json"})), &violated(Class::Unopenable), "no whole document");
    world.check(file(json!({"pointer": "/v"})), &violated(Class::Unopenable), "no whole document");
    world.write("a.json", "");
    world.check(file(json!({"parses": "json"})), &violated(Class::Lost), "empty");
    world.write("a.json", "v = 1\n");
    world.check(file(json!({"parses": "toml", "pointer": "/v", "equals": 1})), &HELD, "");
}

#[test]
fn what_the_target_may_not_have_made_yet_is_not_lost() {
    let world = World::new();
    for invariant in [json!({"sqlite": {"file": "a"}}), json!({"file": {"path": "a"}})] {
        let reading = world.read(&invariant);
        let judged = |may_be_unmade| {
            let evidence = Evidence { may_be_unmade, ..Evidence::of(&reading) };
            judge_one(&invariant, &evidence).verdict
        };
        assert_eq!((judged(true), judged(false)), (HELD, violated(Class::Lost)), "{invariant}");
    }
    world.write("a", "this is no database, but it is long enough to have a header of its own....");
    let damaged = json!({"sqlite": {"file": "a"}});
    let reading = world.read(&damaged);
    let evidence = Evidence { may_be_unmade: true, ..Evidence::of(&reading) };
    assert_eq!(judge_one(&damaged, &evidence).verdict, violated(Class::Unopenable));
}

#[test]
fn a_file_that_must_not_change_is_held_against_what_it_was() {
    let world = World::new();
    let unchanged = json!({"file": {"path": "a", "unchanged": true}});
    world.write("a", "before");
    let before = world.read(&unchanged);
    let judge_now = |world: &World| {
        let reading = world.read(&unchanged);
        judge_one(&unchanged, &Evidence { before: Some(&before), ..Evidence::of(&reading) }).verdict
    };
    assert_eq!(judge_now(&world), HELD);
    world.write("a", "behind");
    assert_eq!(judge_now(&world), violated(Class::Wrong));
    fs::remove_file(world.path("a")).expect("removed");
    assert_eq!(judge_now(&world), violated(Class::Lost));
    world.write("a", "before");
    world.check(unchanged.clone(), &FAILED, "not read before");
}

#[test]
fn a_command_is_judged_by_how_it_ends_and_what_it_prints() {
    let world = World::new();
    let command = |script: &str, tolerance: Json| json!({"command": {"run": ["sh", "-c", script], "timeout": "5s", "tolerance": tolerance}});
    world.check(command("exit 0", json!({})), &HELD, "");
    world.check(command("exit 3", json!({"exit": 3})), &HELD, "");
    let wrong = violated(Class::Wrong);
    world.check(command("echo no >&2; exit 3", json!({})), &wrong, "saying \"no\"");
    world.check(command("kill -9 $$", json!({})), &wrong, "signal 9");
    world.check(command("echo 12 rows", json!({"matches": "^[0-9]+ rows"})), &HELD, "");
    world.check(command("echo rows", json!({"matches": "^[0-9]+ rows"})), &wrong, "not found");
    let document = r#"echo '{"a": {"n": 5}}'"#;
    for (tolerance, says) in [
        (json!({"pointer": "/a/n", "least": 5, "greatest": 5}), ""),
        (json!({"pointer": "/a", "equals": {"n": 5}}), ""),
        (json!({"pointer": "/a/n", "least": 6}), "less than 6"),
        (json!({"pointer": "/a/n", "greatest": 4.5}), "more than 4.5"),
        (json!({"pointer": "/b"}), "nothing at /b"),
        (json!({"pointer": "/a", "least": 1}), "no number"),
        (json!({"pointer": "/a/n", "equals": 4}), "is 5, not 4"),
    ] {
        let verdict = if says.is_empty() { HELD } else { wrong.clone() };
        world.check(command(document, tolerance), &verdict, says);
    }
    world.check(command("echo text", json!({"pointer": "/a"})), &wrong, "no JSON");
    world.check(command("[ \"$KILLPOINT_STATE\" = \"$PWD\" ]", json!({})), &HELD, "");

    let hangs = json!({"command": {"run": ["sleep", "1000"], "timeout": "50ms"}});
    world.check(hangs, &FAILED, "did not end in time");
    let missing = json!({"command": {"run": ["/no/such/program"]}});
    world.check(missing, &FAILED, "could not be run");
    world.check(command("/no/such/program", json!({})), &FAILED, "not found");
    let floods = json!({"command": {"run": ["cat", "/dev/zero"], "timeout": "60s"}});
    world.check(floods, &FAILED, "printed more than");
}

#[test]
fn probes_answer_or_their_time_is_over() {
    let mut world = World::new();
    let probe = |by: Json| json!({"probe": {"by": by, "timeout": "60ms"}});
    let shown = |by: Json| json!({"recovery-shown": {"by": by, "timeout": "60ms"}});
    let bricked = violated(Class::Bricked);
    world.check(probe(json!({"file": "up"})), &bricked, "is not there");
    world.check(
        shown(json!({"log-line": "^recovered"})),
        &violated(Class::RecoveryNotShown),
        "log",
    );
    world.write("up", "");
    world.log = vec!["starting", "recovered 3 notes"];
    world.check(probe(json!({"file": "up"})), &HELD, "");
    world.check(shown(json!({"log-line": "^recovered"})), &HELD, "");
    let old = violated(Class::RecoveryNotShown);
    world.check(shown(json!({"file": "up"})), &old, "up was not written after it");
    world.is_written = true;
    world.check(shown(json!({"file": "up"})), &HELD, "");
    world.check(probe(json!("notify")), &FAILED, "sd_notify");

    let _unix = UnixListener::bind(world.path("socket")).expect("a socket");
    world.check(probe(json!({"socket": "./socket"})), &HELD, "");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    world.check(probe(json!({"socket": address})), &HELD, "");
    let server = thread::spawn(move || {
        for status in ["200 OK", "503 Service Unavailable"] {
            // The first client is the probe that only connected.
            let mut client = loop {
                let (mut client, _) = listener.accept().expect("a client");
                if client.read(&mut [0; 1_000]).expect("bytes") > 0 {
                    break client;
                }
            };
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            client.write_all(answer.as_bytes()).expect("answered");
        }
    });
    let http = |timeout: &str| json!({"probe": {"by": {"http": format!("http://{address}/health")}, "timeout": timeout}});
    world.check(http("60s"), &HELD, "");
    // The second answer is an error, and then nobody listens any more.
    world.check(http("300ms"), &bricked, "did not answer within 300ms");
    server.join().expect("served");
}

#[test]
fn what_is_listed_is_there_as_often_as_it_may_be() {
    let world = World::new();
    let once = |list: &str, expected: Option<&str>, semantics: &str| {
        let mut fields = json!({"list": format!("printf '{list}'"), "semantics": semantics});
        if let Some(expected) = expected {
            fields["expected"] = json!(format!("printf '{expected}'"));
        }
        json!({"exactly-once": fields})
    };
    let (lost, twice) = (violated(Class::Lost), violated(Class::Duplicated));
    for (list, expected, semantics, verdict) in [
        (r"1\n2\n", Some(r"1\n2\n"), "exactly-once", &HELD),
        (r"1\n2\n", None, "exactly-once", &HELD),
        (r"1\n1\n", None, "exactly-once", &twice),
        (r"1\n1\n2\n", Some(r"1\n2\n"), "at-most-once", &twice),
        (r"1\n1\n2\n", Some(r"1\n2\n"), "at-least-once", &HELD),
        (r"1\n1\n1\n2\n", Some(r"1\n2\n"), "at-least-once", &twice),
        (r"1\n", Some(r"1\n2\n"), "exactly-once", &lost),
        (r"1\n", Some(r"1\n2\n"), "at-least-once", &lost),
        (r"1\n", Some(r"1\n2\n"), "at-most-once", &HELD),
        (r"1\n3\n", Some(r"1\n"), "exactly-once", &violated(Class::Extra)),
    ] {
        world.check(once(list, expected, semantics), verdict, "");
    }
    world.check(json!({"exactly-once": {"list": "exit 1"}}), &FAILED, "did not end well");
}

#[test]
fn checkpoints_never_go_back() {
    let mut world = World::new();
    let monotonic = json!({"monotonic-checkpoints": {}});
    let told = [("editor", vec![1, 2, 2, 5]), ("indexer", vec![3])];
    world.checkpoints = told.map(|(process, told)| (process.to_owned(), told)).into();
    world.check(monotonic.clone(), &HELD, "");
    world.checkpoints.entry("editor".to_owned()).or_default().push(4);
    world.check(monotonic, &violated(Class::Lost), "from 5 to 4");
}

#[test]
fn what_the_control_did_not_leave_is_litter() {
    let world = World::new();
    let litter = json!({"no-litter": {"allow": ["*.log"]}});
    world.write("notes.json", "{}");
    let control = world.read(&litter);
    fs::create_dir(world.path("sub")).expect("a directory");
    world.write("sub/a.log", "");
    let judge_now = |world: &World| {
        let reading = world.read(&litter);
        judge_one(&litter, &Evidence { control: Some(&control), ..Evidence::of(&reading) })
    };
    assert_eq!(judge_now(&world).verdict, HELD);
    world.write("sub/notes.json.tmp", "");
    let judgement = judge_now(&world);
    assert_eq!(judgement.verdict, violated(Class::Extra));
    assert_eq!(judgement.detail, "Left over: sub/notes.json.tmp.");
    world.check(litter.clone(), &FAILED, "control was not read");
}

/// What the journal promises of stores of each kind.
const JOURNAL: &str = "I register a\nA register\nI register b\nA register\n\
    I #c1 counter + 2\nA #c1\nI #c2 counter + 3\nA #c2\n\
    I #l1 list >> x\nA #l1\nI #l2 list >> y\nA #l2\n\
    I #t1 alice + -5\nI #t1 bob + 5\nA #t1\n";

fn acked(world: &World, store: &Json, semantics: &str) -> Verdict {
    world.write("journal", JOURNAL);
    let invariant = json!({"acked-is-durable": {
        "check": format!("echo '{store}'"), "semantics": semantics,
    }});
    let reading = world.read(&invariant);
    let journal = Journal::parse(JOURNAL.as_bytes()).expect("a journal");
    let initial = [("alice".to_owned(), json!(10)), ("bob".to_owned(), json!(10))];
    let history = History::new(&journal, 0, initial.into_iter().collect()).expect("a history");
    let expectation = Expectation::Journal(Box::new(history));
    let promised = Some((&expectation, Promise::Kill));
    judge_one(&invariant, &Evidence { promised, ..Evidence::of(&reading) }).verdict
}

#[test]
fn histories_are_judged_by_what_their_semantics_allow() {
    let world = World::new();
    let right = json!({"register": "b", "counter": 5, "list": ["x", "y"], "alice": 5, "bob": 15});
    let with = |fields: Json| {
        let mut store = right.clone();
        store.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
        store
    };
    // The change, and whether it is held: exactly once, at most once, at least once.
    for (fields, held) in [
        (json!({}), [true, true, true]),
        (json!({"register": "a"}), [false, true, false]),
        (json!({"register": "c"}), [false, false, false]),
        (json!({"counter": 2}), [false, true, false]),
        (json!({"counter": 8}), [false, false, true]),
        (json!({"counter": 6}), [false, false, false]),
        (json!({"list": ["y"]}), [false, true, false]),
        (json!({"list": ["x", "x", "y"]}), [false, false, true]),
        (json!({"list": ["x", "z"]}), [false, false, false]),
        (json!({"alice": 10, "bob": 10}), [false, true, false]),
        (json!({"alice": 0, "bob": 20}), [false, false, true]),
        (json!({"alice": 10}), [false, false, false]),
        (json!({"alice": 0}), [false, false, false]),
    ] {
        for (semantics, held) in
            ["exactly-once", "at-most-once", "at-least-once"].into_iter().zip(held)
        {
            let verdict = acked(&world, &with(fields.clone()), semantics);
            assert_eq!(verdict == HELD, held, "{fields} {semantics}: {verdict}");
        }
    }
}

#[test]
fn a_store_without_checker_journal_or_rest_is_unknown() {
    let world = World::new();
    world.check(json!({"acked-is-durable": {}}), &FAILED, "checker");
    let invariant = json!({"acked-is-durable": {"check": "echo '{}'"}});
    world.check(invariant, &Verdict::Unknown(Reason::NoOracle), "no ack journal");
    let restless = json!({"acked-is-durable": {"check": "echo x >> journal; echo '{}'"}});
    let Reading::Store { upto: None, .. } = world.read(&restless) else { panic!("it was steady") };
}

#[cfg(feature = "cel")]
#[test]
fn expressions_are_true_of_the_values_or_not() {
    let mut world = World::new();
    world.values = json!({"kpi": {"error_rate": 0.01}, "rows": [1, 2, 3], "restarts": 2});
    let cel = |text: &str| json!({"expression": {"cel": text}});
    world.check(cel("kpi.error_rate <= 0.02 && rows.all(r, r > 0) && size(rows) == 3"), &HELD, "");
    world.check(cel("restarts < 2"), &violated(Class::Wrong), "restarts = 2");
    world.check(cel("restarts + 1 == 3 && rows[0] + 1 == 2"), &HELD, "");
    world.check(cel("restarts + 1"), &FAILED, "neither true nor false");
    world.check(cel("kpi.latency < 1"), &FAILED, "cannot be computed");
    world.check(cel("restarts <"), &FAILED, "is no expression");
    world.check(cel(&"1+".repeat(2_000)), &FAILED, "longer than");
    assert!(check_expression("restarts < 2").is_ok());
    let unknown = check_expression("restart < 2").expect_err("unknown");
    assert!(unknown.contains("`restart`") && unknown.contains("restarts"), "{unknown}");
}

#[cfg(not(feature = "cel"))]
#[test]
fn without_the_feature_an_expression_is_unknown() {
    World::new().check(json!({"expression": {"cel": "true"}}), &FAILED, "--features cel");
    assert!(check_expression("true").is_err());
}
