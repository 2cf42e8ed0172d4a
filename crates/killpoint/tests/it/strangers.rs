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

/// A target at an address, struck once.
fn scenario(ready: &str, target: &str, workload: &str) -> String {
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
faults: [ {{ when: {{ at: 200ms }}, do: kill }} ]
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
