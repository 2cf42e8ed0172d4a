//! Real programs: the windows that lose data under a kill are found, and the clean ones stay silent.
//!
//! `docs/cases.md` explains each number that differs from `cases/expected.tsv`.

use crate::support::{Explored, World, explored, repository, stderr, stdout, succeed};
use killpoint_model::report::Look;
use killpoint_model::{Class, CrashModel, Outcome};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What our own enumeration gives: crash points, and how many of them are violated under each model.
struct Row {
    name: &'static str,
    points: u64,
    kill: u64,
    prefix: u64,
    data: u64,
}

const fn row(name: &'static str, points: u64, kill: u64, prefix: u64, data: u64) -> Row {
    Row { name, points, kill, prefix, data }
}

const ROWS: &[Row] = &[
    row("deb-gdbm", 1, 0, 0, 0),
    row("deb-git", 29, 0, 1, 26),
    row("deb-taskwarrior-done", 10, 1, 0, 2),
    row("js-conf10", 30, 0, 13, 0),
    row("js-nodels1", 21, 16, 19, 16),
    row("js-simplejsondb", 10, 5, 9, 10),
    row("leveldb-nosync", 28, 0, 5, 5),
    row("leveldb-sync", 33, 0, 0, 0),
    row("py-lmdb", 17, 0, 0, 0),
    row("py-shelve-dumb", 48, 26, 41, 44),
    row("py-tinydb", 21, 4, 5, 2),
    row("py-zodb", 27, 0, 0, 0),
    row("rs-fswrite", 10, 5, 9, 10),
    row("rs-redb", 44, 0, 0, 0),
    row("rs-sled", 19, 3, 9, 13),
    row("sqlite-delete", 125, 0, 65, 0),
    row("sqlite-jmem", 28, 12, 0, 0),
    row("sqlite-wal-normal", 68, 0, 37, 37),
    row("sqlite-wal", 73, 0, 0, 0),
];

/// A test for each row, named after it.
macro_rules! rows {
    ($($name:ident)*) => {
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(mod $name {
            #[test]
            fn gives_its_numbers_and_its_findings_replay() {
                super::gives_its_numbers_and_its_findings_replay(stringify!($name));
            }
        })*
    };
}

rows! {
    deb_gdbm deb_git deb_taskwarrior_done js_conf10 js_nodels1 js_simplejsondb leveldb_nosync
    leveldb_sync py_lmdb py_shelve_dumb py_tinydb py_zodb rs_fswrite rs_redb rs_sled sqlite_delete
    sqlite_jmem sqlite_wal_normal sqlite_wal
}

#[test]
fn every_case_has_a_row_and_a_test() {
    let text = fs::read_to_string(repository().join("cases/expected.tsv")).expect("the table");
    let named: Vec<&str> =
        text.lines().skip(1).filter_map(|line| line.split('\t').next()).collect();
    let rows: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
    let tested: Vec<String> = TESTED.iter().map(|name| name.replace('_', "-")).collect();
    assert_eq!(named, rows);
    assert_eq!(named, tested);
}

/// A case, set up in a world of its own.
struct Case {
    world: World,
    directory: PathBuf,
    description: serde_json::Value,
}

impl Case {
    fn set_up(name: &str) -> Case {
        let directory = repository().join("cases").join(name);
        let text = fs::read(directory.join("case.json")).expect("a case");
        let description = serde_json::from_slice(&text).expect("valid JSON");
        let world = World::new();
        fs::create_dir(world.join("home")).expect("made");
        let case = Case { world, directory, description };
        let mut command = Command::new("bash");
        command.args(["-c", case.line("setup")]);
        command.env("KILLPOINT_STATE", case.world.state());
        command.env("KILLPOINT_JOURNAL", case.world.join("journal"));
        succeed(case.surround(&mut command));
        case
    }

    fn line(&self, key: &str) -> &str {
        self.description[key].as_str().expect("a command line")
    }

    /// The directory and the environment that `cases/README.md` promises.
    fn surround<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let cases = repository().join("cases");
        let environment = environment();
        let lib = cases.join("lib").display().to_string();
        command
            .current_dir(&self.directory)
            .env("CASE", &self.directory)
            .env("CASES", &cases)
            .env("CASES_ENV", &environment)
            .env("NODE_PATH", format!("{}/node_modules:{lib}", environment.display()))
            .env("PYTHONPATH", lib)
            .env("HOME", self.world.join("home"))
            .env("UV_THREADPOOL_SIZE", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("LC_ALL", "C.UTF-8")
    }

    fn explore(&self, recovery_depth: &str) -> Explored {
        let mut command = self.world.explore_json();
        self.surround(&mut command);
        command.args(["--model", "kill,prefix,data", "--profile", "strict"]);
        command.args(["--recovery-depth", recovery_depth]);
        if is_nightly() {
            command.args(["--confirm-held", "all"]);
        }
        command.args(["--acks", "power-loss", "--check", self.line("check")]);
        for intent in self.description["intent"].as_array().into_iter().flatten() {
            let intent = intent.as_str().expect("a line of the journal");
            command.args(["--intent", intent.strip_prefix("I ").expect("an intent")]);
        }
        command.args(["--", "bash", "-c", self.line("workload")]);
        explored(&mut command)
    }

    fn replay(&self, run: &Path, number: u32, times: u32) {
        let mut command = self.world.killpoint();
        self.surround(&mut command).current_dir(self.world.path());
        command.arg("replay").arg(run.join(number.to_string()));
        command.args(["--times", &times.to_string()]);
        let output = command.output().expect("the binary starts");
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert!(output.status.success(), "{command:?}: {said}");
        assert!(said.contains(&format!("hit {times} of {times}")), "{said}");
    }
}

/// Where `cases/setup.sh` installed the programs.
fn environment() -> PathBuf {
    let environment = match std::env::var_os("CASES_ENV") {
        Some(path) => PathBuf::from(path),
        None => {
            PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache/killpoint-cases")
        }
    };
    assert!(
        environment.join("rs/cases-rs").exists(),
        "the cases are not installed in {}: run cases/setup.sh",
        environment.display()
    );
    environment
}

/// How often each finding is replayed; the nightly command asks for more.
fn replays() -> u32 {
    std::env::var("KILLPOINT_TEST_REPLAYS").map_or(2, |text| text.parse().expect("a number"))
}

/// Whether every point that held is killed live as well.
fn is_nightly() -> bool {
    std::env::var_os("KILLPOINT_TEST_REPLAYS").is_some()
}

fn gives_its_numbers_and_its_findings_replay(name: &str) {
    let name = name.replace('_', "-");
    let row = ROWS.iter().find(|row| row.name == name).expect("a row");
    let case = Case::set_up(&name);
    let explored = case.explore("0");
    let count = |model| explored.violated(model);
    let found = (
        explored.report.points,
        count(CrashModel::Kill),
        count(CrashModel::Prefix),
        count(CrashModel::Data),
    );
    let summary = explored.summary();
    assert_eq!(found, (row.points, row.kill, row.prefix, row.data), "{name}: {summary}");
    if row.kill + row.prefix + row.data > 0 {
        explored.expect(Outcome::Violated);
    } else if name == "deb-gdbm" {
        explored.expect(Outcome::Unknown);
        let gap = explored.report.not_covered.iter().find(|gap| gap.file.ends_with("g.db"));
        assert!(gap.is_some_and(|gap| gap.needed), "{summary}");
    } else {
        explored.expect_silence();
    }
    replay_all(&case, &explored);
}

/// Each finding under `kill` shows again, from the folder of its run and from a copy elsewhere.
fn replay_all(case: &Case, explored: &Explored) {
    let run = case.world.only_run();
    let numbers: Vec<u32> = explored
        .report
        .findings
        .iter()
        .filter(|finding| finding.model == CrashModel::Kill)
        .map(|finding| finding.number)
        .collect();
    for number in &numbers {
        case.replay(&run, *number, replays());
    }
    let elsewhere = case.world.join("elsewhere");
    fs::rename(&run, &elsewhere).expect("moved");
    for number in &numbers {
        case.replay(&elsewhere, *number, 1);
    }
}

#[test]
fn a_kill_inside_the_recovery_of_redb_is_found_and_replays() {
    // A second kill, while redb repairs what the first one left, makes redb 2.6.4 panic at its next opening, or
    // at the one after that.
    let case = Case::set_up("rs-redb");
    let explored = case.explore("1");
    explored.expect(Outcome::Violated);
    // The order of the writes of a recovery differs from run to run, and the second one depends on it.
    let of = |look| explored.report.findings.iter().filter(move |finding| finding.look == look);
    let [first] = of(Look::First).collect::<Vec<_>>()[..] else { panic!("{}", explored.summary()) };
    assert!(first.address.to_string().starts_with("fdatasync(r.redb)#"), "{}", explored.summary());
    for finding in of(Look::First).chain(of(Look::Second)) {
        assert_eq!(finding.class, Class::Unopenable, "{}", explored.summary());
    }
    replay_all(&case, &explored);
}
