//! Only the target's own answer counts: somebody else at its Unix socket or at its address is told from it, and named.

use crate::answering::{free_port, of};
use crate::scenarios::{run, write};
use crate::support::World;
use killpoint_model::report::{NotCovered, Report};
use killpoint_model::{Class, Outcome, Reason, Verdict};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::process::Command;

/// It listens at a Unix socket, and removes one that nobody listens at.
const SERVES_AT_A_PATH: &str = "
import os, socket, sys, time
def listen(path):
    while True:
        probe = socket.socket(socket.AF_UNIX)
        try: probe.connect(path); probe.close(); time.sleep(0.05)
        except OSError: break
    try: os.unlink(path)
    except FileNotFoundError: pass
    listener = socket.socket(socket.AF_UNIX); listener.bind(path); listener.listen(64)
    return listener
def serve(listener):
    while True:
        listener.accept()[0].close()
";

/// It says that it is at work, which is when the target is struck.
const BEGINS: &str = "open(os.path.join(os.environ['KILLPOINT_STATE'], 'begun'), 'w').close()";

/// A target at an address, struck once: when the workload, if there is one, has begun.
fn scenario(ready: &str, target: &str, workload: &str) -> String {
    let when = if workload.is_empty() { "at: 200ms" } else { "file: begun" };
    let workload = match workload {
        "" => String::new(),
        it => format!("workload: {{ command: [python3, -B, -c, {it:?}], timeout: 6s }}"),
    };
    format!(
        "version: 1
target:
  command: [python3, -B, -c, {target:?}]
  state: [state]
  ready: {{ by: {{ socket: {ready:?} }}, timeout: 20s }}
  supervisor: {{ restart: always, backoff: 1s }}
faults: [ {{ when: {{ {when} }}, do: kill }} ]
timeouts: {{ trigger: 1s, recovery: 2s, stop: 2s }}
{workload}
"
    )
}

/// The same of a target at a path, where the workload may be a thief of it.
fn at_a_path(world: &World, target: &str, thief: &str) -> Report {
    let path = world.join("a socket").display().to_string();
    let target = format!("{SERVES_AT_A_PATH}path = {path:?}\n{target}");
    let thief = match thief {
        "" => String::new(),
        how => format!(
            "{SERVES_AT_A_PATH}path = {path:?}
if '/trials/0' in os.environ['KILLPOINT_JOURNAL']: sys.exit(0)
{BEGINS}
{how}"
        ),
    };
    run(world, &write(world, "scenario.yaml", &scenario(&path, &target, &thief)), &[])
}

/// What the control and the struck trial came to.
fn is_hung_by_a_thief(report: &Report) {
    let trials = &report.campaign.as_ref().expect("trials").trials;
    assert_eq!(trials[0].judgement.verdict, Verdict::Held, "{report:#?}");
    let judgement = &trials[1].judgement;
    assert_eq!(judgement.verdict, Verdict::Violated(Class::Hung), "{judgement:?}");
    let who = "(python3) listens, which is not of the target";
    assert!(judgement.detail.contains(who), "{judgement:?}");
}

#[test]
fn who_takes_the_path_of_a_target_that_is_down_is_not_the_target() {
    for thief in [
        "serve(listen(path))",
        "os.chdir(os.path.dirname(path)); serve(listen(os.path.basename(path)))",
    ] {
        is_hung_by_a_thief(&at_a_path(&World::new(), "serve(listen(path))", thief));
    }
}

#[test]
fn who_answers_at_a_path_before_the_target_is_started_is_named() {
    let world = World::new();
    let _listener = UnixListener::bind(world.join("a socket")).expect("a socket");
    let report = at_a_path(&world, "serve(listen(path))", "");
    let control = &report.campaign.as_ref().expect("trials").trials[0].judgement;
    assert_eq!(control.verdict, Verdict::Unknown(Reason::NeverSteady), "{control:?}");
    let who = format!("process {} (", std::process::id());
    assert!(control.detail.contains(&who), "{control:?}");
}

/// Who listened first has ended, and whom it left the socket to is of the target, or cannot be told.
#[test]
fn a_socket_that_a_launcher_leaves_to_the_target_is_the_targets() {
    let launcher = "
launcher = os.fork()
if launcher == 0:
    listener = listen(path)
    if os.fork() == 0: serve(listener)
    os._exit(0)
os.waitpid(launcher, 0)
while True: time.sleep(1)";
    let report = at_a_path(&World::new(), launcher, "");
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let unseen = |it: &NotCovered| it.reason.contains("who listens at");
    assert!(!report.not_covered.iter().any(unseen), "{report:#?}");
}

/// Of several who listen the kernel asks the one at the address itself.
#[test]
fn who_takes_the_address_itself_hides_a_target_that_listens_at_all_addresses() {
    let port = free_port();
    let listens = format!(
        "
import os, socket, sys, time
def listen(family, host):
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6: listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind((host, {port})); listener.listen(64)
    return listener
"
    );
    let target = format!(
        "{listens}
time.sleep(0.3)
sockets = [listen(socket.AF_INET6, '::')]
try: sockets.append(listen(socket.AF_INET, '0.0.0.0'))
except OSError: pass
while True: time.sleep(1)"
    );
    let thief = format!(
        "{listens}
if '/trials/0' in os.environ['KILLPOINT_JOURNAL']: sys.exit(0)
{BEGINS}
while True:
    try: it = listen(socket.AF_INET, '127.0.0.1'); break
    except OSError: time.sleep(0.005)
time.sleep(9)"
    );
    is_hung_by_a_thief(&of(&scenario(&format!("127.0.0.1:{port}"), &target, &thief)));
}

/// It starts a proxy for whoever asks it to, and ends it a while after that one has gone; whoever says nothing ends it.
const ENGINE: &str = "
import os, socket, sys, time
def listen(port):
    listener = socket.socket(); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(('127.0.0.1', int(port))); listener.listen(64)
    return listener
listener = listen(sys.argv[1])
while True:
    client, _ = listener.accept()
    if not client.recv(1): break
    proxy = os.fork()
    if proxy == 0:
        served = listen(sys.argv[2]); time.sleep(60); os._exit(0)
    client.recv(1); time.sleep(1.5)
    os.kill(proxy, 9); os.waitpid(proxy, 0); client.close()
";

#[test]
fn what_a_trial_leaves_has_as_long_to_go_as_the_target_has_to_stop() {
    let (engine_at, asked) = (free_port(), free_port());
    let mut engine = Command::new("python3");
    engine.args(["-B", "-c", ENGINE, &engine_at.to_string(), &asked.to_string()]);
    let mut engine = engine.spawn().expect("it starts");
    let target = format!(
        "import socket, time
while True:
    try: it = socket.create_connection(('127.0.0.1', {engine_at})); break
    except OSError: time.sleep(0.05)
it.sendall(b'x'); time.sleep(99)"
    );
    let text = scenario(&format!("127.0.0.1:{asked}"), &target, "")
        .replace("restart: always", "restart: never")
        .replace("stop: 2s", "stop: 8s");
    let report = of(&text);
    drop(TcpStream::connect(("127.0.0.1", engine_at)));
    engine.wait().expect("our own child");
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
}

/// A thief of the target's path, which acknowledges a key and keeps none; it goes after so many seconds. `before`
/// is what was done and said before the strike.
fn thief_that_acknowledges(before: &str, seconds: f64) -> Report {
    let thief = format!(
        "{SERVES_AT_A_PATH}path = PATH
import threading
journal = os.open(os.environ['KILLPOINT_JOURNAL'], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def say(*lines):
    for line in lines: os.write(journal, (line + chr(10)).encode())
def put(key): open(os.path.join(os.environ['KILLPOINT_STATE'], key), 'w').write('1')
say('I a 1'); put('a'); say('A a')
if '/trials/0' in os.environ['KILLPOINT_JOURNAL']: sys.exit(0)
{before}
{BEGINS}
listener = listen(path)
threading.Thread(target=serve, args=(listener,), daemon=True).start()
say('I stolen 1', 'A stolen'); time.sleep({seconds})"
    );
    let world = World::new();
    let path = format!("{:?}", world.join("a socket").display().to_string());
    let target = format!("{SERVES_AT_A_PATH}path = {path}\nserve(listen(path))");
    let check = "import json, os
state = os.environ['KILLPOINT_STATE']
print(json.dumps({key: open(os.path.join(state, key)).read() for key in os.listdir(state) if key != 'begun'}))";
    let text = scenario(
        &world.join("a socket").display().to_string(),
        &target,
        &thief.replace("PATH", &path),
    )
    .replace("recovery: 2s", "recovery: 6s");
    std::fs::write(world.join("check.py"), check).expect("it is written");
    let check = format!("python3 -B '{}'", world.join("check.py").display());
    let text = format!("{text}invariants: [ {{ acked-is-durable: {{ check: {check:?} }} }} ]\n");
    run(&world, &write(&world, "scenario.yaml", &text), &[])
}

/// The target came back, and nothing that it promised itself is missed.
#[test]
fn what_somebody_else_acknowledged_in_the_targets_place_is_not_held_against_it() {
    let report = thief_that_acknowledges("", 3.0);
    let trials = &report.campaign.as_ref().expect("trials").trials;
    assert_eq!(trials[0].judgement.verdict, Verdict::Held, "{report:#?}");
    let judgement = &trials[1].judgement;
    assert_eq!(judgement.verdict, Verdict::Unknown(Reason::NotCovered), "{judgement:?}");
    assert!(judgement.detail.contains("(python3) listens"), "{judgement:?}");
}

/// What the target promised before the strike is missed all the same, and alone.
#[test]
fn what_the_target_acknowledged_itself_is_lost_whoever_answered_meanwhile() {
    let report = thief_that_acknowledges("say('I own 1', 'A own')", 3.0);
    let judgement = &report.campaign.as_ref().expect("trials").trials[1].judgement;
    assert_eq!(judgement.verdict, Verdict::Violated(Class::Lost), "{judgement:?}");
    assert_eq!(judgement.keys_lost, 1, "{judgement:?}");
    assert!(!judgement.detail.contains("stolen"), "{judgement:?}");
}
