//! Faults on processes of their own: each is proved by what the process does, too.

use super::*;
use crate::recover::recover;
use crate::store::RunFolder;
use killpoint_engine::identity::{self, Identity};
use killpoint_engine::suspend::states;
use killpoint_model::fault::Means;
use killpoint_model::lifecycle::Exit;
use killpoint_model::seed::{Generator, Seed};
use killpoint_model::span::Span;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;

/// A process under test, in a directory of its own.
struct Target {
    child: Child,
    identity: Identity,
    directory: tempfile::TempDir,
}

impl Target {
    /// A shell that says `ready` when it has set itself up.
    fn start(script: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut child = Command::new("sh")
            .args(["-c", script])
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        let identity = identity_of(child.id());
        Target { child, identity, directory }
    }

    /// One that counts in a file.
    fn counting() -> Self {
        Self::start("echo ready; n=0; while :; do n=$((n+1)); echo $n > counted; done")
    }

    fn counted(&self) -> Option<u64> {
        let text = fs::read_to_string(self.directory.path().join("counted"));
        text.ok()?.trim().parse().ok()
    }

    /// Waits until it has counted on.
    fn goes_on(&self) {
        let before = self.counted();
        let since = Instant::now();
        while self.counted().is_none_or(|now| Some(now) <= before) {
            assert!(since.elapsed() < PATIENCE, "it does not go on");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn name(&self) -> String {
        fs::read_to_string(format!("/proc/{}/comm", self.identity.pid)).expect("it runs")
    }

    fn is_still(&self) -> bool {
        let before = fs::read(self.directory.path().join("counted")).expect("it counted");
        thread::sleep(Duration::from_millis(30));
        fs::read(self.directory.path().join("counted")).expect("it counted") == before
    }

    fn permit(&self) -> Permit {
        gate(self.identity).permit(self.identity).expect("a permit")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn identity_of(pid: u32) -> Identity {
    identity::status(pid.cast_signed()).expect("it runs").identity
}

fn gate(process: Identity) -> Gate {
    Gate { allow: vec![Allow::Process(process)], leashed: false }
}

fn run_folder() -> (tempfile::TempDir, RunFolder) {
    let directory = tempfile::tempdir().expect("a directory");
    let folder = RunFolder::create(directory.path()).expect("a folder");
    (directory, folder)
}

fn strike(target: &Target, act: &Act) -> Strike {
    let (_directory, folder) = run_folder();
    let mut injector = Injector::start(folder.path()).expect("a watchdog");
    injector.strike(target.permit(), act, Instant::now()).expect("a strike")
}

fn signal(name: &str) -> Signal {
    name.parse().expect(name)
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn rung(by: Means, grace: Duration) -> Rung {
    let ms = grace.as_millis().try_into().expect("short");
    Rung { by, grace: Span::from_ms(ms) }
}

#[test]
fn a_kill_is_proved_by_the_death_and_timed() {
    let target = Target::start("echo ready; read line");
    let struck = strike(&target, &Act::Signal(Signal::KILL));
    assert_eq!(struck.death(), Some(Exit::Signal { number: 9, core: false }));
    assert_eq!((struck.pid, struck.start), (target.identity.pid, target.identity.start));
    let step = &struck.steps[0];
    assert!(step.done_after_us <= step.seen_after_us && step.seen_after_us > 0, "{step:?}");
}

#[test]
fn crashes_by_segv_and_abrt_are_told_apart() {
    for signal in [Signal::SEGV, Signal::ABRT] {
        let target = Target::start("ulimit -c 0; echo ready; read line");
        let struck = strike(&target, &Act::Signal(signal));
        assert_eq!(struck.death(), Some(Exit::Signal { number: signal.number(), core: false }));
    }
}

#[test]
fn a_signal_that_is_ignored_has_not_fired_and_one_that_is_caught_has() {
    let target = Target::start("trap '' TERM; echo ready; read line");
    let struck = strike(&target, &Act::Signal(Signal::TERM));
    assert_eq!(struck.steps[0].effect, Effect::Ignored);
    assert!(!struck.fired());

    let target =
        Target::start("trap 'echo > caught' USR1; echo ready; while :; do sleep 0.01; done");
    let struck = strike(&target, &Act::Signal(signal("USR1")));
    assert_eq!(struck.steps[0].effect, Effect::Delivered);
    let since = Instant::now();
    while !target.directory.path().join("caught").exists() {
        assert!(since.elapsed() < PATIENCE, "it was not caught");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_signal_that_does_nothing_to_who_does_not_catch_it_has_not_fired() {
    for name in ["WINCH", "URG", "CHLD", "CONT"] {
        let act = Act::Signal(signal(name));
        // A shell has a handler of its own for CHLD.
        let target = Target::start("echo ready; exec sleep 1000");
        let since = Instant::now();
        while target.name() != "sleep\n" {
            assert!(since.elapsed() < PATIENCE, "it is no sleep");
            thread::sleep(Duration::from_millis(1));
        }
        let struck = strike(&target, &act);
        assert_eq!(struck.steps[0].effect, Effect::Ignored, "{name}");
        assert!(!struck.fired(), "{name}");

        let target =
            Target::start(&format!("trap : {name}; echo ready; while :; do sleep 0.01; done"));
        assert!(strike(&target, &act).fired(), "{name}");
    }
    let target = Target::start("echo ready; kill -STOP $$; echo > on; read line");
    let handle = target.identity.hold().expect("held").expect("alive");
    let since = Instant::now();
    while !handle.disposition(signal("CONT")).expect("readable").stopped {
        assert!(since.elapsed() < PATIENCE, "it does not stand still");
    }
    assert!(strike(&target, &Act::Signal(signal("CONT"))).fired());
}

#[test]
fn a_ladder_that_brings_nobody_down_has_not_come_to_its_end() {
    let target = Target::start("trap '' TERM; echo ready; while :; do sleep 0.01; done");
    let asked = rung(Means::Command(vec!["true".to_owned()]), Duration::from_millis(20));
    let ladder = vec![asked, rung(Means::Terminate, Duration::from_millis(20))];
    let struck = strike(&target, &Act::Ladder(ladder.clone()));
    assert!(!struck.came_down(), "{struck:?}");
    let kill = rung(Means::Kill, seconds(60));
    let struck = strike(&target, &Act::Ladder([ladder, vec![kill]].concat()));
    assert!(struck.came_down(), "{struck:?}");
}

#[test]
fn a_signal_that_stands_still_with_its_process_is_pending() {
    let target = Target::counting();
    let (_directory, folder) = run_folder();
    let mut injector = Injector::start(folder.path()).expect("a watchdog");
    let suspend = Act::Suspend { duration: None };
    injector.strike(target.permit(), &suspend, Instant::now()).expect("suspended");
    let struck = injector.strike(
        target.permit(),
        &Act::Ladder(vec![rung(Means::Signal(signal("USR1")), Duration::from_millis(1))]),
        Instant::now(),
    );
    assert_eq!(struck.expect("a strike").steps[0].effect, Effect::Pending);
    let handle = target.identity.hold().expect("held").expect("alive");
    injector.rollback();
    assert!(handle.has_ended_within(PATIENCE).expect("a wait"), "it takes it when it goes on");
}

#[test]
fn signals_that_suspend_are_refused_because_nothing_would_undo_them() {
    let target = Target::counting();
    let (_directory, folder) = run_folder();
    let mut injector = Injector::start(folder.path()).expect("a watchdog");
    let struck = injector.strike(target.permit(), &Act::Signal(Signal::STOP), Instant::now());
    assert!(matches!(struck, Err(StrikeError::StopsWithoutInverse(_))), "{struck:?}");
    target.goes_on();
}

#[test]
fn a_ladder_climbs_until_the_process_has_ended_and_no_further() {
    let target = Target::start("trap '' TERM; echo ready; read line");
    let nowhere = vec!["/no/such/program".to_owned()];
    let ladder = Act::Ladder(vec![
        rung(Means::Command(nowhere), seconds(1)),
        rung(Means::Command(vec!["false".to_owned()]), seconds(1)),
        rung(Means::Command(vec!["true".to_owned()]), Duration::from_millis(20)),
        rung(Means::Terminate, Duration::from_millis(20)),
        rung(Means::Kill, seconds(60)),
        rung(Means::Kill, seconds(60)),
    ]);
    let struck = strike(&target, &ladder);
    let effects: Vec<&Effect> = struck.steps.iter().map(|step| &step.effect).collect();
    let Effect::Failed { why } = effects[0] else { panic!("{effects:?}") };
    assert!(why.contains("/no/such/program"), "{why}");
    assert!(matches!(effects[1], Effect::Failed { .. }), "{effects:?}");
    assert_eq!(effects[2..4], [&Effect::LivesOn, &Effect::Ignored]);
    assert!(matches!(effects[4], Effect::Ended { .. }) && effects.len() == 5, "{effects:?}");
}

#[test]
fn several_processes_are_all_struck_before_the_first_effect_is_waited_for() {
    let targets: Vec<Target> = (0..8).map(|_| Target::start("echo ready; read line")).collect();
    let (_directory, folder) = run_folder();
    let mut injector = Injector::start(folder.path()).expect("a watchdog");
    let ladder = [rung(Means::Terminate, PATIENCE), rung(Means::Kill, PATIENCE)];
    for (half, act) in [(0, Act::Signal(Signal::KILL)), (4, Act::Ladder(ladder.to_vec()))] {
        let permits = targets[half..half + 4].iter().map(Target::permit).collect();
        let struck = injector.strike_all(permits, &act, Instant::now()).expect("strikes");
        let steps: Vec<Step> =
            struck.into_iter().map(|strike| strike.expect("a strike").steps.remove(0)).collect();
        let last_sent = steps.iter().map(|step| step.done_after_us).max().expect("four");
        let first_seen = steps.iter().map(|step| step.seen_after_us).min().expect("four");
        assert!(last_sent <= first_seen, "{steps:?}");
        assert!(steps.iter().all(|step| matches!(step.effect, Effect::Ended { .. })), "{steps:?}");
    }
}

#[test]
fn a_ladder_goes_on_with_those_that_are_left_only() {
    let stubborn = Target::start("trap '' TERM; echo ready; read line");
    let willing = Target::start("echo ready; read line");
    let (_directory, folder) = run_folder();
    let mut injector = Injector::start(folder.path()).expect("a watchdog");
    let ladder = Act::Ladder(vec![rung(Means::Terminate, seconds(1)), rung(Means::Kill, PATIENCE)]);
    let permits = vec![stubborn.permit(), willing.permit()];
    let struck = injector.strike_all(permits, &ladder, Instant::now()).expect("strikes");
    let lengths: Vec<usize> =
        struck.iter().map(|it| it.as_ref().expect("a strike").steps.len()).collect();
    assert_eq!(lengths, [2, 1], "{struck:?}");
}

#[test]
fn a_process_ends_by_the_applications_own_command() {
    let target = Target::start("echo ready; while ! [ -e stop ]; do sleep 0.01; done; exit 5");
    let stop = target.directory.path().join("stop");
    // It waits for the process whose number it is told, as such commands do.
    let wait = format!(
        "touch {} && while [ -d /proc/$KILLPOINT_PID/task ] && \
                        ! grep -q ' Z ' /proc/$KILLPOINT_PID/stat; do sleep 0.01; done",
        stop.display()
    );
    let command = ["sh", "-c", &wait].map(str::to_owned).to_vec();
    let ladder =
        Act::Ladder(vec![rung(Means::Command(command), PATIENCE), rung(Means::Kill, PATIENCE)]);
    let struck = strike(&target, &ladder);
    assert_eq!(struck.steps.len(), 1);
    assert_eq!(struck.death(), Some(Exit::Status(5)));
}

#[test]
fn a_process_ends_by_a_request_to_it_even_if_it_never_answers() {
    for answer in [None, Some("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")] {
        let target = Target::start("echo ready; while ! [ -e stop ]; do sleep 0.01; done; exit 6");
        let stop = target.directory.path().join("stop");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/stop", listener.local_addr().expect("bound"));
        let server = thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("a client");
            let mut head = [0; 16];
            client.read_exact(&mut head).expect("a request");
            fs::write(stop, []).expect("written");
            if let Some(answer) = answer {
                client.write_all(answer.as_bytes()).expect("answered");
            }
            (head, client)
        });
        let struck = strike(
            &target,
            &Act::Ladder(vec![rung(Means::Http(url.parse().expect("an address")), PATIENCE)]),
        );
        assert_eq!(struck.death(), Some(Exit::Status(6)), "{struck:?}");
        let (head, _) = server.join().expect("served");
        assert_eq!(&head[..10], b"POST /stop");
    }
}

#[test]
fn a_request_that_is_refused_is_said_and_the_next_rung_taken() {
    let target = Target::start("echo ready; read line");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    drop(listener);
    let kill = rung(Means::Kill, PATIENCE);
    let struck = strike(
        &target,
        &Act::Ladder(vec![rung(Means::Http(url.parse().expect("an address")), seconds(5)), kill]),
    );
    assert!(matches!(struck.steps[0].effect, Effect::Failed { .. }), "{struck:?}");
    assert!(matches!(struck.steps[1].effect, Effect::Ended { .. }), "{struck:?}");
}

#[test]
fn a_suspension_ends_when_its_time_is_over_and_at_a_rollback() {
    let target = Target::counting();
    let (_directory, folder) = run_folder();
    let mut injector = Injector::start(folder.path()).expect("a watchdog");
    let act = Act::Suspend { duration: Some(seconds(3_600)) };
    let struck = injector.strike(target.permit(), &act, Instant::now()).expect("suspended");
    assert!(matches!(struck.steps[0].effect, Effect::Suspended { threads: 1, .. }), "{struck:?}");
    assert!(target.is_still());
    let due = injector.next_due().expect("it ends");
    assert!(injector.lift_due(due - seconds(1)).is_empty() && target.is_still());
    let lifted = injector.lift_due(due);
    assert!(matches!(lifted[..], [Lifted { result: Ok(true), .. }]), "{lifted:?}");
    target.goes_on();

    let for_good = Act::Suspend { duration: None };
    injector.strike(target.permit(), &for_good, Instant::now()).expect("suspended");
    assert!(injector.next_due().is_none() && injector.lasting() == 1 && target.is_still());
    assert_eq!(injector.rollback().len(), 1);
    target.goes_on();
    assert_eq!(undo::faults(&undo::read(folder.path()).expect("a log")), []);
}

#[test]
fn an_injector_that_is_dropped_leaves_nothing_suspended() {
    let target = Target::counting();
    let struck = strike(&target, &Act::Suspend { duration: None });
    assert!(struck.fired());
    target.goes_on();
}

#[test]
fn a_restart_is_inhibited_for_its_role_until_that_is_lifted() {
    let (_directory, folder) = run_folder();
    let run = folder.path();
    let mut injector = Injector::start(run).expect("a watchdog");
    injector.keep_down(Some("worker"), None, Instant::now()).expect("noted");
    assert!(is_kept_down(run, Some("worker")) && !is_kept_down(run, Some("index")));
    assert!(!is_kept_down(run, None));
    injector.keep_down(None, None, Instant::now()).expect("noted");
    assert!(is_kept_down(run, Some("index")) && is_kept_down(run, None));
    injector.rollback();
    assert!(!is_kept_down(run, Some("worker")) && !is_kept_down(run, None));
}

#[test]
fn an_attached_process_that_executes_another_file_is_not_struck() {
    let mut target = Target::start("echo ready; read line; exec sleep 1000");
    let process = target.identity;
    let executable = fs::read_link(format!("/proc/{}/exe", process.pid)).expect("it runs");
    let attached = |listed: Vec<Allow>| {
        let executable = executable.clone();
        Gate { allow: vec![Allow::Attached { process, executable, listed }], leashed: false }
    };
    assert!(attached(Vec::new()).permit(process).is_ok());
    assert!(attached(vec![Allow::Cgroup("/".to_owned())]).permit(process).is_ok());
    let unlisted = attached(vec![Allow::Cgroup("/no/such".to_owned())]).permit(process);
    assert!(matches!(unlisted, Err(Refusal::NotAllowed(_))), "{unlisted:?}");
    drop(target.child.stdin.take());
    let since = Instant::now();
    while fs::read_link(format!("/proc/{}/exe", process.pid)).expect("it runs") == executable {
        assert!(since.elapsed() < PATIENCE, "it executes another file");
        thread::sleep(Duration::from_millis(1));
    }
    let other = attached(Vec::new()).permit(process);
    let Err(Refusal::OtherProgram { found, .. }) = other else { panic!("{other:?}") };
    assert_eq!(found, executable);
}

#[test]
fn nobody_gets_a_permit_who_is_not_allowed_to_be_struck() {
    let target = Target::start("echo ready; read line");
    let process = target.identity;
    let other = Identity { start: process.start + 1, ..process };
    let own = identity_of(std::process::id());
    let refuse = |gate: &Gate, process| gate.permit(process).expect_err("refused");
    assert!(matches!(refuse(&gate(other), other), Refusal::Ended(_)));
    assert!(matches!(refuse(&gate(other), process), Refusal::NotAllowed(_)));
    assert!(matches!(refuse(&Gate::default(), process), Refusal::NotAllowed(_)));
    assert!(matches!(refuse(&gate(own), own), Refusal::Harness(_)));
    assert!(matches!(refuse(&Gate::launched(process), process), Refusal::NotAllowed(_)));
    let leashed = Gate { leashed: true, ..gate(process) };
    assert!(matches!(refuse(&leashed, process), Refusal::Leashed(_)));
    let nowhere = Gate { allow: vec![Allow::Cgroup("/no/such".to_owned())], leashed: false };
    assert!(matches!(refuse(&nowhere, process), Refusal::NotAllowed(_)));

    assert_eq!(gate(process).permit(process).expect("allowed").process(), process);
    assert!(Gate::launched(own).permit(process).is_ok());
    let everywhere = Gate { allow: vec![Allow::Cgroup("/".to_owned())], leashed: false };
    assert!(everywhere.permit(process).is_ok());
}

/// Not a test of its own: the process that injects, for the tests that kill it. It suspends the
/// process that it is told, says so, and waits for its end.
#[test]
fn the_process_that_is_killed() {
    let Ok(told) = std::env::var("INJECT") else { return };
    let (process, run): (Identity, PathBuf) = serde_json::from_str(&told).expect("told");
    let mut injector = Injector::start(&run).expect("a watchdog");
    let permit = gate(process).permit(process).expect("a permit");
    let act = Act::Suspend { duration: None };
    println!("\nwatchdog {}", injector.watchdog());
    injector.strike(permit, &act, Instant::now()).expect("suspended");
    println!("\nsuspended");
    thread::sleep(PATIENCE);
}

/// Starts it; returns it, the watchdog, and the lines that are still to come.
fn start_injecting(target: &Target, run: &Path) -> (Child, Identity, impl Iterator<Item = String>) {
    let told = serde_json::to_string(&(target.identity, run)).expect("plain data");
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "injector::tests::the_process_that_is_killed", "--nocapture"])
        .env("INJECT", told)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut lines = output.lines().map(|line| line.expect("text"));
    let watchdog = lines.find_map(|line| line.strip_prefix("watchdog ").map(str::to_owned));
    let watchdog = watchdog.expect("it says so").parse().expect("a number");
    (child, identity_of(watchdog), lines)
}

/// How many moments are tried; the nightly command asks for more.
fn moments() -> usize {
    std::env::var("KILLPOINT_TEST_MOMENTS").map_or(10, |text| text.parse().expect("a number"))
}

fn end(child: &mut Child) {
    child.kill().expect("alive");
    child.wait().expect("ended");
}

#[test]
fn what_is_suspended_goes_on_when_the_injecting_process_is_killed() {
    let target = Target::counting();
    let (_directory, folder) = run_folder();
    let (mut child, _, mut lines) = start_injecting(&target, folder.path());
    assert!(lines.any(|line| line == "suspended"));
    assert!(target.is_still());
    end(&mut child);
    target.goes_on();
    let since = Instant::now();
    while !undo::faults(&undo::read(folder.path()).expect("a log")).is_empty() {
        assert!(since.elapsed() < PATIENCE, "the watchdog does not write it down");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_is_suspended_goes_on_whenever_the_injecting_process_is_killed() {
    let mut generator = Generator::new(Seed(7));
    for _ in 0..moments() {
        let target = Target::counting();
        let (_directory, folder) = run_folder();
        let (mut child, watchdog, _lines) = start_injecting(&target, folder.path());
        thread::sleep(Duration::from_micros(generator.below(20_000)));
        end(&mut child);
        let ended = watchdog.hold().expect("held");
        if let Some(handle) = ended {
            assert!(handle.has_ended_within(PATIENCE).expect("a wait"), "the watchdog stays");
        }
        target.goes_on();
        assert!(!states(target.identity.pid).contains(&'T'));
    }
}

#[test]
fn what_is_suspended_goes_on_by_recover_when_the_watchdog_is_killed_too() {
    let target = Target::counting();
    let (_directory, folder) = run_folder();
    let (mut child, watchdog, mut lines) = start_injecting(&target, folder.path());
    assert!(lines.any(|line| line == "suspended"));
    watchdog.kill().expect("killed");
    end(&mut child);
    assert!(target.is_still());
    let recovered = recover(&folder).expect("recovered");
    assert!(
        recovered.undone.iter().any(|text| text.contains("suspended process")),
        "{recovered:?}"
    );
    target.goes_on();
    assert_eq!(recover(&folder).expect("recovered").undone, Vec::<String>::new());
}
