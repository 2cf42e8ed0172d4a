//! `kill -9` of the supervisor, of its guardian, of both: at seeded moments; nothing runs on.

use super::{Supervisor, supervisor_pid};
use crate::support::World;
use killpoint_model::lifecycle::Record;
use killpoint_model::seed::{Generator, Seed};
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// How many moments are tried for each; the nightly command asks for more.
fn moments() -> u32 {
    std::env::var("KILLPOINT_TEST_SUPERVISOR_MOMENTS")
        .map_or(10, |text| text.parse().expect("a number"))
}

/// A process with children that ignores SIGTERM, one that was forked twice and suspends itself, and one that ends all
/// the time.
const PROCESSES: &str = r#"
    version = 1
    [processes.tree]
    command = ["sh", "-c", "trap '' TERM; (trap '' TERM; sleep 1000) & sleep 1000"]
    [processes.daemon]
    command = ["sh", "-c", "(setsid sh -c 'kill -STOP $$; sleep 1000' &) ; sleep 1000"]
    [processes.restless]
    command = ["sh", "-c", "sleep 0.02; exit 1"]
    backoff = "5ms"
    start-limit = { count = 0, within = "1s" }
"#;

fn world() -> World {
    let world = World::new();
    fs::write(world.join("processes.toml"), PROCESSES).expect("written");
    world
}

fn is_started(record: &Record) -> bool {
    record.event.id() == "process.started"
}

/// Kills the processes that `whom` chooses, guardian first, at seeded moments.
fn killed(seed: u64, whom: impl Fn(u32, u32) -> Vec<u32>) {
    let mut generator = Generator::new(Seed(seed));
    for moment in 0..moments() {
        let starts = 3 + generator.below(6) as usize;
        let later = Duration::from_micros(generator.below(20_000));
        let mut supervisor = Supervisor::start_in(world(), &["--config", "processes.toml"], &[]);
        let records = supervisor.wait_for("the starts", starts, is_started);
        thread::sleep(later);
        let numbers: Vec<String> = whom(supervisor.process.id(), supervisor_pid(&records))
            .iter()
            .map(u32::to_string)
            .collect();
        let status = Command::new("kill").arg("-KILL").args(&numbers).status();
        assert!(status.expect("kill starts").success(), "both are ours");
        let at = format!("seed {seed}, moment {moment}: after {starts} starts and {later:?}");
        supervisor.expect_nothing_left(&at);
        supervisor.end();
    }
}

#[test]
fn nothing_is_left_when_the_supervisor_is_killed() {
    killed(1, |_, supervisor| vec![supervisor]);
}

#[test]
fn nothing_is_left_when_its_guardian_is_killed() {
    killed(2, |guardian, _| vec![guardian]);
}

#[test]
fn the_undo_log_of_a_run_tells_recover_what_to_end_when_both_are_killed() {
    let mut generator = Generator::new(Seed(3));
    for moment in 0..moments() {
        let world = world();
        let run = world.join("out/runs/r1");
        fs::create_dir_all(&run).expect("made");
        let flags = ["--config", "processes.toml", "--run", "out/runs/r1"];
        let mut supervisor = Supervisor::start_in(world, &flags, &[]);
        let starts = 3 + generator.below(6) as usize;
        let records = supervisor.wait_for("the starts", starts, is_started);
        let both = [supervisor.process.id(), supervisor_pid(&records)].map(|pid| pid.to_string());
        let status = Command::new("kill").arg("-KILL").args(&both).status();
        assert!(status.expect("kill starts").success(), "both are ours");
        supervisor.end();
        let which = if moment % 2 == 0 { vec!["out/runs/r1"] } else { vec!["--out", "out"] };
        let recover = || {
            let mut command = supervisor.world.killpoint();
            command.arg("recover").args(&which).output().expect("it starts")
        };
        let recovered = recover();
        assert_eq!(recovered.status.code(), Some(0), "moment {moment}: {recovered:?}");
        let said = String::from_utf8_lossy(&recovered.stdout).into_owned();
        assert!(said.contains("has no event log") && said.contains("ended "), "{said}");
        let again = recover();
        assert_eq!(again.status.code(), Some(0), "moment {moment}: {again:?}");
        let said = String::from_utf8_lossy(&again.stdout).into_owned();
        assert!(said.contains("nothing"), "moment {moment}: {said}");
        supervisor.expect_nothing_left(&format!("moment {moment}"));
    }
}

#[test]
fn recover_leaves_a_supervisor_at_work_alone_and_one_that_has_ended_leaves_nothing_to_do() {
    let world = world();
    fs::create_dir_all(world.join("run")).expect("made");
    let flags = ["--config", "processes.toml", "--run", "run"];
    let mut supervisor = Supervisor::start_in(world, &flags, &[]);
    supervisor.wait_for("a start", 1, is_started);
    let recover = |supervisor: &Supervisor| {
        let output = supervisor.world.killpoint().args(["recover", "run"]).output();
        let output = output.expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (code, said) = recover(&supervisor);
    assert!(code == Some(2) && said.contains("is still going on"), "{code:?} {said}");
    assert!(supervisor.process.try_wait().expect("our own child").is_none());
    supervisor.stop();
    let (code, said) = recover(&supervisor);
    assert!(code == Some(0) && said.contains("nothing was left behind"), "{code:?} {said}");
}

#[test]
fn a_supervisor_that_is_part_of_a_run_is_not_who_works_on_it() {
    use killpoint_engine::identity::{self, Identity};
    use killpoint_engine::undo::{Made, append, read};
    let world = world();
    let run = world.join("run");
    fs::create_dir_all(&run).expect("made");
    // The tool was killed when it had just started the supervisor.
    let process = Identity { pid: i32::MAX, start: 1 };
    let tool = Made::Tool { process, boot: identity::boot() };
    let marked = Made::Marked { variable: b"KILLPOINT_RUN=r1".to_vec() };
    for made in [&tool, &marked] {
        append(&run, made).expect("written");
    }
    let flags = ["--config", "processes.toml", "--run", "run"];
    let mut supervisor = Supervisor::start_in(world, &flags, &[]);
    supervisor.wait_for("a start", 1, is_started);
    supervisor.stop();
    let records = read(&run).expect("an undo log");
    let tools: Vec<&Made> = records.iter().filter(|it| matches!(it, Made::Tool { .. })).collect();
    assert_eq!(tools, [&tool], "{records:#?}");
}
