//! Roulette on processes that somebody else started: leashed, allowed, on a marked machine, and undone.

use crate::support::{World, explored, is_root, stderr, stdout};
use killpoint_engine::descendants;
use killpoint_engine::suspend::states;
use killpoint_model::report::Report;
use killpoint_model::seed::{Generator, Seed};
use killpoint_model::{Class, Outcome, Verdict};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many moments are tried; the nightly command asks for more.
fn moments() -> u32 {
    std::env::var("KILLPOINT_TEST_MOMENTS").map_or(10, |text| text.parse().expect("a number"))
}

/// A process that is not ours to start in a run, ended with the test.
struct Running(Child);

impl Running {
    fn start(command: &[&str]) -> Self {
        let child = Command::new(command[0])
            .args(&command[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        Running(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().expect("our own child").is_none()
    }

    /// Stopped by a signal, or in the control group of its own in which it is frozen.
    fn stands_still(&self) -> bool {
        let pid = self.0.id();
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        groups.contains(&format!("/killpoint-{pid}-")) || states(pid.cast_signed()).contains(&'T')
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A world whose mark says that this is a staging machine; none where the tests are not root's, whose the
/// mark must be.
fn staging() -> Option<World> {
    if !is_root() {
        println!("skipped: only root can mark a machine");
        return None;
    }
    let world = World::new();
    fs::write(world.join("staging"), "staging\n").expect("written");
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(world.join("staging"), mode).expect("our own file");
    Some(world)
}

fn roulette(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.killpoint();
    command.args(["roulette", "--every", "20ms..40ms", "--duration", "100ms", "--out"]);
    command.arg(world.out()).args(["--environment-file", "staging"]).args(arguments);
    command
}

fn report(world: &World, arguments: &[&str]) -> Report {
    explored(roulette(world, arguments).args(["--format", "json"])).report
}

fn refused(world: &World, arguments: &[&str], word: &str) {
    let output = roulette(world, arguments).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stdout(&output));
    assert!(stderr(&output).contains(word), "{arguments:?}: {}", stderr(&output));
    assert!(!world.out().exists(), "{arguments:?}: nothing is touched");
}

#[test]
fn a_leashed_run_does_everything_but_the_strike_and_is_vacuous() {
    let Some(world) = staging() else { return };
    let mut target = Running::start(&["sleep", "1000"]);
    let report = report(&world, &["--pid", &target.pid()]);
    assert_eq!(report.result, Outcome::Vacuous, "{report:#?}");
    assert!(report.explanation.contains("--unleash"), "{}", report.explanation);
    let campaign = report.campaign.expect("a trial");
    assert!(
        campaign.planned_strikes >= 2 && campaign.trials[1].strikes.len() >= 2,
        "{campaign:#?}"
    );
    assert_eq!(campaign.trials[1].fired, 0);
    assert!(target.is_alive());
    let log = fs::read_to_string(world.only_run().join("events.jsonl")).expect("a log");
    let would = format!("process {} would be struck: leashed", target.pid());
    assert!(log.contains(&would), "{log}");
    let mut verify = world.killpoint();
    let verified = verify.args(["audit", "verify"]).arg(world.only_run()).output().expect("starts");
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    let plan = fs::read_to_string(world.only_run().join("attached.json")).expect("a plan");
    assert!(plan.contains("\"executable\"") && !plan.contains(&target.pid()), "{plan}");
}

#[test]
fn an_unleashed_run_kills_who_was_named_and_says_whether_it_came_back() {
    let Some(world) = staging() else { return };
    let mut target = Running::start(&["sleep", "1001"]);
    let kill = ["--pid", &target.pid(), "--unleash", "--recovery", "200ms"];
    let report = report(&world, &kill);
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    let campaign = report.campaign.expect("a trial");
    assert_eq!(campaign.trials[1].judgement.verdict, Verdict::Violated(Class::Bricked));
    assert_eq!(campaign.trials[1].fired, 1);
    assert!(!target.is_alive());
    let resumed =
        world.killpoint().arg("resume").arg(world.only_run()).output().expect("it starts");
    assert_eq!(resumed.status.code(), Some(2));
    assert!(stderr(&resumed).contains("neither resumed nor replayed"), "{}", stderr(&resumed));
}

#[test]
fn what_somebody_starts_again_has_come_back_and_its_number_alone_is_not_enough() {
    let Some(world) = staging() else { return };
    // A supervisor of its own that starts it again.
    let script = "while :; do sleep 1002 & echo $! > pid; wait; done";
    let directory = world.path().display().to_string();
    let mut shell = Running::start(&["sh", "-c", &format!("cd {directory} && {script}")]);
    let since = Instant::now();
    let pid = loop {
        match fs::read_to_string(world.join("pid")) {
            Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
            _ => assert!(since.elapsed() < PATIENCE, "it starts"),
        }
        thread::sleep(Duration::from_millis(5));
    };
    let report = report(&world, &["--pid", &pid, "--unleash"]);
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let campaign = report.campaign.clone().expect("a trial");
    assert_eq!((campaign.trials[1].fired, campaign.recoveries_us.len()), (1, 1), "{campaign:#?}");
    assert!(report.notes.iter().any(|note| note.contains("left out")), "{:?}", report.notes);
    let mut shown = world.killpoint();
    let shown = shown.arg("report").arg(world.only_run()).output().expect("it starts");
    assert!(stdout(&shown).contains("strikes were left out"), "{}", stdout(&shown));
    assert!(shell.is_alive());
    // What the shell started last is not its own child of ours.
    let last = fs::read_to_string(world.join("pid")).expect("written");
    drop(shell);
    let _ = Command::new("kill").arg(last.trim()).status();
}

/// What the first life is, what each later one is, and a world for it: a supervisor of its own that starts them
/// again, and the number of the first.
fn started_again(first: &str, later: &str) -> Option<(World, Running, String)> {
    let world = staging()?;
    // The same program with the same arguments does something else in its later lives.
    fs::write(world.join("life.sh"), format!("test -e later && {{ {later}; }}; {first}"))
        .expect("written");
    let directory = world.path().display().to_string();
    // Nobody else on this machine has its arguments.
    let script = format!(
        "cd {directory} && while :; do sh {directory}/life.sh & echo $! > pid; wait; touch later; \
         sleep 0.05; done"
    );
    let shell = Running::start(&["sh", "-c", &script]);
    let since = Instant::now();
    let pid = loop {
        match fs::read_to_string(world.join("pid")) {
            Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
            _ => assert!(since.elapsed() < PATIENCE, "it starts"),
        }
        thread::sleep(Duration::from_millis(5));
    };
    Some((world, shell, pid))
}

/// A shell that waits without a child of its own, which would be left to itself.
const WAITS: &str = "mkfifo p$$; read line < p$$";

#[test]
fn who_comes_back_and_ends_again_and_again_has_not_come_back() {
    let first = WAITS;
    let Some((world, shell, pid)) = started_again(first, "sleep 0.2; exit 1") else { return };
    // It has to have lived longer than its successors will.
    thread::sleep(Duration::from_secs(1));
    let report = report(&world, &["--pid", &pid, "--unleash", "--recovery", "1s"]);
    drop(shell);
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    let judgement = &report.campaign.expect("a trial").trials[1].judgement;
    assert_eq!(judgement.verdict, Verdict::Violated(Class::Hung), "{judgement:?}");
    assert!(judgement.detail.contains("ended by itself"), "{judgement:?}");
}

#[test]
fn who_comes_back_at_the_second_try_has_come_back_and_a_note_says_so() {
    let later = format!("test -e last || {{ touch last; sleep 0.2; exit 1; }}; {WAITS}");
    let Some((world, mut shell, pid)) = started_again(WAITS, &later) else { return };
    let report = report(&world, &["--pid", &pid, "--unleash", "--recovery", "20s"]);
    assert!(shell.is_alive());
    drop(shell);
    let last = fs::read_to_string(world.join("pid")).expect("written");
    let _ = Command::new("kill").args(["-KILL", last.trim()]).status();
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let note = "ended by itself 1 time; then it stayed";
    assert!(report.notes.iter().any(|it| it.contains(note)), "{:?}", report.notes);
}

#[test]
fn a_process_that_executes_another_file_by_now_is_said_to() {
    let Some(world) = staging() else { return };
    // It executes the other one once the run has begun, before the first strike.
    let out = world.out().display().to_string();
    let script = format!("until test -e {out}; do sleep 0.01; done; exec sleep 1010");
    let target = Running::start(&["sh", "-c", &script]);
    fs::write(world.join("allowed"), format!("pid:{}\n", target.pid())).expect("written");
    let mut later = world.killpoint();
    later.args(["roulette", "--every", "2s..3s", "--duration", "3s", "--unleash", "--out", &out]);
    later.args(["--environment-file", "staging", "--allowlist", "allowed", "--pid"]);
    let output = later.arg(target.pid()).output().expect("it starts");
    let said = stdout(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    let reason = format!("process {} executes ", target.pid());
    assert!(said.contains(&reason) && said.contains("it is another program"), "{said}");
    let log = fs::read_to_string(world.only_run().join("events.jsonl")).expect("a log");
    assert!(log.contains(&reason) && !log.contains("not on its allowlist"), "{log}");
}

/// A control group of the test's own, removed with it; none where none can be made.
struct Group(std::path::PathBuf);

impl Group {
    fn make() -> Option<Self> {
        let name = format!("killpoint-test-attach-{}", std::process::id());
        let mounts = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
        let made = mounts.iter().map(|mount| std::path::Path::new(mount).join(&name));
        let made =
            made.filter(|path| path.parent().is_some_and(|it| it.join("cgroup.procs").exists()));
        let made = made.filter(|path| fs::create_dir(path).is_ok()).map(Group).next();
        if made.is_none() {
            println!("skipped: no control group can be made here");
        }
        made
    }

    fn take(&self, process: &Running) {
        fs::write(self.0.join("cgroup.procs"), process.pid()).expect("a group of our own");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let since = Instant::now();
        while fs::remove_dir(&self.0).is_err() && since.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn who_is_in_the_control_group_is_struck_and_nobody_else() {
    let (Some(world), Some(group)) = (staging(), Group::make()) else { return };
    let mut inside = [Running::start(&["sleep", "1006"]), Running::start(&["sleep", "1006"])];
    let mut outside = Running::start(&["sleep", "1006"]);
    inside.iter().for_each(|process| group.take(process));
    let path = group.0.display().to_string();
    fs::write(world.join("allowed"), format!("cgroup:{path}\n")).expect("written");
    let named = ["--cgroup", &path, "--allowlist", "allowed", "--unleash", "--recovery", "100ms"];
    let report = report(&world, &named);
    let campaign = report.campaign.expect("a trial");
    assert_eq!(campaign.trials[1].fired, 1, "{campaign:#?}");
    assert_eq!(inside.iter_mut().filter_map(|it| it.is_alive().then_some(())).count(), 1);
    assert!(outside.is_alive());
    drop(inside);
    drop(outside);
}

#[test]
fn the_watchdog_and_other_killpoints_in_the_same_control_group_are_never_struck() {
    let (Some(world), Some(group)) = (staging(), Group::make()) else { return };
    let target = Running::start(&["sleep", "1008"]);
    group.take(&target);
    let killpoint = world.killpoint().get_program().to_string_lossy().into_owned();
    let guardian = Running::start(&[&killpoint, "supervise", "--quiet", "--", "sleep", "1009"]);
    // What it supervises is not killpoint's own, and stays outside.
    let since = Instant::now();
    while descendants::of(guardian.0.id().cast_signed()).len() < 2 {
        assert!(since.elapsed() < PATIENCE, "it starts");
        thread::sleep(Duration::from_millis(5));
    }
    group.take(&guardian);
    refused(&world, &["--pid", &guardian.pid()], "never struck");
    let path = group.0.display().to_string();
    let mut within = Command::new("sh");
    within.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(group.0.join("cgroup.procs"));
    within.arg(&killpoint).args(["roulette", "--cgroup", &path, "--environment-file", "staging"]);
    within.args(["--every", "20ms..40ms", "--duration", "600ms", "--do", "suspend:5ms"]);
    within.args(["--unleash", "--format", "json", "--out"]).arg(world.out());
    let report = explored(within.current_dir(world.path())).report;
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let log = fs::read_to_string(world.only_run().join("events.jsonl")).expect("a log");
    let chosen: Vec<&str> = log.split("\"pids\":[").skip(1).collect();
    assert!(chosen.len() > 5, "{log}");
    let target_only = format!("{}]", target.pid());
    assert!(chosen.iter().all(|it| it.starts_with(&target_only)), "{log}");
    drop(guardian);
    drop(target);
}

#[test]
fn a_suspended_process_goes_on_and_a_probe_is_asked() {
    let Some(world) = staging() else { return };
    let mut target = Running::start(&["sleep", "1003"]);
    fs::write(world.join("up"), "").expect("written");
    let pid = target.pid();
    let suspend = ["--pid", &pid, "--do", "suspend:30ms", "--unleash", "--ready", "file:up"];
    let suspended = report(&world, &suspend);
    assert_eq!(suspended.result, Outcome::Pass, "{suspended:#?}");
    assert!(target.is_alive() && !target.stands_still());
    fs::remove_file(world.join("up")).expect("there");
    let mut down = suspend.to_vec();
    down.extend(["--recovery", "100ms"]);
    assert_eq!(report(&world, &down).result, Outcome::BaselineFailed);
    let checked =
        report(&world, &["--pid", &pid, "--unleash", "--do", "signal:CONT", "--check", "exit 3"]);
    assert_eq!(checked.result, Outcome::BaselineFailed);
}

#[test]
fn nobody_is_struck_who_is_not_named_and_allowed_on_a_marked_machine() {
    let Some(world) = staging() else { return };
    let target = Running::start(&["sleep", "1004"]);
    let pid = target.pid();
    let own = std::process::id().to_string();
    refused(&world, &["--pid", "1"], "never struck");
    refused(&world, &["--pid", &own], "never struck");
    refused(&world, &["--pid", "2147483647"], "there is no process");
    refused(&world, &["--cgroup", "/no/such/group"], "nobody who may be struck");
    refused(&world, &["--cgroup", ""], "the path of the group is empty");
    for root in ["/", "//", "/sys/fs/cgroup/.."] {
        refused(&world, &["--cgroup", root], "every process of the machine would be struck");
    }
    refused(&world, &["--unit", "app.service"], "--cgroup");
    refused(&world, &["--container", "app"], "--cgroup");
    refused(&world, &["--pid", &pid, "--state", "data"], "launched");
    refused(&world, &["--pid", &pid, "--ready", "notify"], "--ready");
    for signal in ["signal:STOP", "signal:TSTP"] {
        refused(&world, &["--pid", &pid, "--do", signal], "suspend");
    }
    fs::write(world.join("allowed"), "sleep\n").expect("written");
    refused(&world, &["--pid", &pid, "--allowlist", "allowed"], "a bare name");
    fs::write(world.join("allowed"), "cgroup:/no/such\n").expect("written");
    refused(&world, &["--pid", &pid, "--allowlist", "allowed"], "is not on the allowlist");
    fs::write(world.join("allowed"), "cgroup:/\n").expect("written");
    refused(&world, &["--pid", &pid, "--allowlist", "allowed"], "every process of the machine");
    for (word, problem) in [
        ("production", "as production"),
        ("laptop", "says `laptop`"),
        ("staging # of the second team", "says `staging # of the second team`"),
        ("", "says ``"),
    ] {
        fs::write(world.join("staging"), word).expect("written");
        refused(&world, &["--pid", &pid, "--unleash"], problem);
    }
    fs::remove_file(world.join("staging")).expect("there");
    refused(&world, &["--pid", &pid], "not marked as staging");
    fs::write(world.join("staging"), "staging").expect("written");
    let mode = fs::Permissions::from_mode(0o666);
    fs::set_permissions(world.join("staging"), mode).expect("our own file");
    refused(&world, &["--pid", &pid], "not root's alone");
}

#[test]
fn an_attached_process_goes_on_whenever_the_tool_is_killed() {
    let mut generator = Generator::new(Seed(11));
    for moment in 0..moments() {
        let Some(world) = staging() else { return };
        let mut target = Running::start(&["sleep", "1005"]);
        let pid = target.pid();
        let mut tool = roulette(&world, &["--pid", &pid, "--do", "suspend:1h", "--unleash"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Running)
            .expect("it starts");
        let since = Instant::now();
        if moment % 2 == 0 {
            while !target.stands_still() {
                assert!(since.elapsed() < PATIENCE, "moment {moment}: it is never suspended");
                thread::sleep(Duration::from_millis(1));
            }
        }
        thread::sleep(Duration::from_millis(generator.below(60)));
        tool.0.kill().expect("our own child");
        tool.0.wait().expect("our own child");
        // The watchdog lives on until it has lifted everything.
        while target.stands_still() || has_watchdog(&world) {
            assert!(since.elapsed() < PATIENCE, "moment {moment}: it stands still for ever");
            thread::sleep(Duration::from_millis(1));
        }
        assert!(target.is_alive(), "moment {moment}: it goes on");
        let recovered = world.killpoint().args(["recover", "--out"]).arg(world.out()).output();
        let recovered = recovered.expect("it starts");
        assert_eq!(recovered.status.code(), Some(0), "moment {moment}: {recovered:?}");
        assert!(!stdout(&recovered).contains("killpoint resume"), "moment {moment}: {recovered:?}");
        // Nothing is left to be done, so nobody is told to do it.
        let next = roulette(&world, &["--pid", &pid, "--do", "suspend:1ms", "--unleash"]).output();
        let next = next.expect("it starts");
        assert_eq!(next.status.code(), Some(0), "moment {moment}: {next:?}");
        assert!(!stderr(&next).contains("was interrupted"), "moment {moment}: {next:?}");
    }
}

/// Whether a process of the tool is still there: the watchdog has its command line.
fn has_watchdog(world: &World) -> bool {
    let out = world.out().display().to_string();
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let mut commands = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    commands.any(|it| String::from_utf8_lossy(&it).contains(&out))
}
