//! After a strike a target is back when its readiness answers again, also where its supervised process lived on; and
//! what drives it is not said to have done what it did not.

use crate::scenarios::{run, write};
use crate::support::World;
use killpoint_model::report::Report;
use killpoint_model::{Class, Outcome, Reason, Verdict};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

/// A port that nobody listens at.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A parent, which waits for its worker and does something then.
const PARENT: &str = "
import os, signal, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer
class Answer(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_response(200); self.send_header('Content-Length', '3'); self.end_headers(); self.wfile.write(b'ok\\n')
    def log_message(self, *words):
        pass
def serve(*_):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Answer).serve_forever()
def spawn():
    global worker
    worker = os.fork()
    if worker == 0:
        serve()
def stop(*_):
    if worker:
        os.kill(worker, signal.SIGKILL)
    os._exit(0)
";

/// A scenario of it.
fn scenario(after: &str, ready: &str, more: &str) -> String {
    let port = free_port();
    let script = format!("{PARENT}{after}");
    let ready = ready.replace("PORT", &port.to_string());
    let more = more.replace("PORT", &port.to_string());
    format!(
        "version: 1
target:
  command: [python3, -B, -c, {script:?}]
  environment: {{ PORT: '{port}' }}
  state: [state]
  ready: {{ by: {ready}, timeout: 20s }}
  roles: {{ worker: {{ depth: 2 }} }}
faults: [ {{ when: {{ at: 200ms }}, do: kill, who: {{ role: worker }} }} ]
timeouts: {{ trigger: 1s, recovery: 2s, stop: 5s }}
{more}
"
    )
}

const SOCKET: &str = "{ socket: '127.0.0.1:PORT' }";
const HTTP: &str = "{ http: 'http://127.0.0.1:PORT/' }";
/// It forgets its worker.
const FORGETS: &str = "spawn(); signal.signal(signal.SIGTERM, stop)\nwhile True: time.sleep(1)\n";
/// It starts another one, after a while.
const LOOKS_AFTER: &str = "spawn(); signal.signal(signal.SIGTERM, stop)
while True:
    os.wait(); worker = 0; time.sleep(0.8); spawn()
";
/// It takes over itself, after a while.
const TAKES_OVER: &str = "spawn(); signal.signal(signal.SIGTERM, stop)
os.wait(); worker = 0; time.sleep(0.3); threading.Thread(target=lambda: HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Answer).serve_forever()).start()
while True: time.sleep(1)
";

pub(crate) fn of(text: &str) -> Report {
    let world = World::new();
    run(&world, &write(&world, "scenario.yaml", text), &[])
}

fn verdict(text: &str) -> (Verdict, String) {
    let report = of(text);
    let trials = &report.campaign.as_ref().expect("trials").trials;
    assert_eq!(trials[0].judgement.verdict, Verdict::Held, "{report:#?}");
    let judgement = trials.last().expect("the struck one").judgement.clone();
    (judgement.verdict, judgement.detail)
}

#[test]
fn a_target_that_never_answers_again_is_hung_though_its_supervised_process_lives() {
    for ready in [SOCKET, HTTP] {
        let (got, detail) = verdict(&scenario(FORGETS, ready, ""));
        assert_eq!(got, Verdict::Violated(Class::Hung), "{ready}: {detail}");
        assert!(detail.contains("did not answer again at"), "{detail}");
    }
}

#[test]
fn a_target_that_answers_again_in_time_is_back_and_its_recovery_is_measured() {
    for after in [LOOKS_AFTER, TAKES_OVER] {
        let more = "objectives: { recovery-time: { max: 5s } }";
        let report = of(&scenario(after, HTTP, more));
        assert_eq!(report.result, Outcome::Pass, "{report:#?}");
        let recoveries = report.campaign.expect("trials").recoveries_us;
        assert_eq!(recoveries.len(), 1, "{recoveries:?}");
    }
}

/// What is asked after the strike is asked once it is back, whatever is asked before.
#[test]
fn what_is_asked_after_a_strike_is_asked_once_the_target_answers_again() {
    let more = "invariants: [ { command: { run: [python3, -c, 'import socket; socket.create_connection((\"127.0.0.1\", PORT))'], judge: [after-strike] } } ]";
    let (got, detail) = verdict(&scenario(LOOKS_AFTER, HTTP, more));
    assert_eq!(got, Verdict::Held, "{detail}");
}

/// One connection at a time, and the workload has it: in the control it answers only when that is over.
#[test]
fn a_target_that_is_busy_with_its_workload_is_not_hung() {
    let hold = "import http.client, time
for i in range(8):
    try:
        c = http.client.HTTPConnection('127.0.0.1', PORT, timeout=5); c.connect()
        for n in range(15):
            c.request('GET', '/'); c.getresponse().read(); time.sleep(0.2)
        break
    except OSError:
        time.sleep(0.3)
";
    let more = format!("workload: {{ command: [python3, -c, {hold:?}] }}");
    let report = of(&scenario(LOOKS_AFTER, HTTP, &more));
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let gap = "did not answer at its readiness address all the time in the control";
    assert!(report.not_covered.iter().any(|it| it.reason.contains(gap)), "{report:#?}");
}

/// A workload may end with an error because its target was killed; what it did not do then is said.
#[test]
fn a_workload_that_failed_after_a_strike_is_said_not_to_have_driven_the_target() {
    let failing = |when: &str| {
        let workload =
            format!("case $KILLPOINT_JOURNAL in */trials/0*) ;; *) sleep 1; {when} ;; esac");
        of(&scenario(
            LOOKS_AFTER,
            HTTP,
            &format!("workload: {{ command: [sh, -c, {workload:?}] }}"),
        ))
    };
    let report = failing("exit 3");
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let gap = "the workload ended with exit status 3 in 1 of 1 trials that were struck";
    assert!(report.not_covered.iter().any(|it| it.reason.contains(gap)), "{report:#?}");
    let report = failing("exit 0");
    assert!(!report.not_covered.iter().any(|it| it.reason.contains("the workload")), "{report:#?}");
}

/// It serves by itself, and tries again and again where somebody else has its port.
const SERVES: &str = "signal.signal(signal.SIGTERM, signal.SIG_DFL)
while True:
    try: HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Answer).serve_forever()
    except OSError: time.sleep(0.05)
";

/// Somebody who has nothing to do with the target has its port before: nothing is known of the target.
#[test]
fn who_answers_before_the_target_is_started_is_not_the_target() {
    for ready in [SOCKET, HTTP] {
        let text = scenario(SERVES, ready, "").replace(", who: { role: worker }", "");
        let port = text.split("PORT: '").nth(1).and_then(|rest| rest.split('\'').next());
        let port: u16 = port.expect("its port").parse().expect("a number");
        let script = format!("{PARENT}{SERVES}");
        let mut stale = Command::new("python3");
        stale.args(["-B", "-c", &script]).env("PORT", port.to_string());
        let mut stale = stale.spawn().expect("it starts");
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(stale.try_wait().expect("our own child").is_none(), "it serves");
            std::thread::yield_now();
        }
        let report = of(&text);
        stale.kill().expect("our own child");
        stale.wait().expect("our own child");
        let control = &report.campaign.as_ref().expect("trials").trials[0].judgement;
        assert_eq!(control.verdict, Verdict::Unknown(Reason::NeverSteady), "{control:?}");
        let who = format!("process {} (python3) listens there", stale.id());
        assert!(control.detail.contains(&who), "{control:?}");
        assert_ne!(report.result, Outcome::Pass);
    }
}

/// What somebody else answers in the target's place is no answer of the target's.
#[test]
fn who_takes_the_port_of_a_target_that_is_down_is_not_the_target() {
    let thief = format!("{PARENT}{SERVES}");
    // It looks for the port as soon as the target is down, which the target itself does later.
    let workload = format!(
        "import os, sys, time
if '/trials/0' in os.environ['KILLPOINT_JOURNAL']: sys.exit(0)
os.environ['PORT'] = 'PORT'
exec({thief:?})"
    );
    let more = format!("workload: {{ command: [python3, -B, -c, {workload:?}], timeout: 6s }}");
    let text = scenario(SERVES, HTTP, &more)
        .replace(", who: { role: worker }", "")
        .replace("  roles:", "  supervisor: { restart: always, backoff: 1s }\n  roles:");
    let (got, detail) = verdict(&text);
    assert_eq!(got, Verdict::Violated(Class::Hung), "{detail}");
    assert!(detail.contains("(python3) listens, which is not of the target"), "{detail}");
}

/// A daemon that the target left to itself is of the target.
#[test]
fn who_was_forked_twice_by_the_target_answers_for_it() {
    let daemon = "
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        serve()
    os._exit(0)
os.wait(); signal.signal(signal.SIGTERM, stop); worker = 0
while True: time.sleep(1)
";
    let text = scenario(daemon, HTTP, "").replace(", who: { role: worker }", "");
    let (got, detail) = verdict(&text);
    assert_eq!(got, Verdict::Held, "{detail}");
}

/// An invariant may ask somebody else, and the report says that it does.
#[test]
fn an_invariant_that_asks_somebody_else_is_said_to_show_nothing_of_the_target() {
    let other = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    let at = other.local_addr().expect("it is bound");
    let more = format!("invariants: [ {{ probe: {{ by: {{ socket: '{at}' }} }} }} ]");
    let report = of(&scenario(LOOKS_AFTER, HTTP, &more));
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let gap = format!("at the socket {at} process {} (", std::process::id());
    let gaps: Vec<_> = report.not_covered.iter().filter(|it| it.reason.contains(&gap)).collect();
    assert_eq!(gaps.len(), 1, "{report:#?}");
}
