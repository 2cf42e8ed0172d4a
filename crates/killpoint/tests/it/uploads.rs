//! Crashes are uploaded to a real receiver: Bugsink, started at a loopback port, stopped by its number.

use crate::scenarios::{run, write};
use crate::support::{World, guests_directory, stderr, stdout};
use killpoint_model::crash::Crash;
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

/// How often it is looked whether the receiver is up, and how many times at most: two minutes.
const STEP: Duration = Duration::from_millis(50);
const STEPS_MAX: u32 = 2_400;

/// A secret that the target prints.
const SECRET: &str = "hunter2-hunter2";

/// A receiver with one project.
struct Receiver {
    world: World,
    server: Child,
    dsn: String,
}

/// Where `./test` installed it.
fn program(name: &str) -> PathBuf {
    let environment = std::env::var_os("CASES_ENV").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache/killpoint-cases"),
        PathBuf::from,
    );
    let path = environment.join("bugsink/bin").join(name);
    assert!(path.exists(), "Bugsink is not installed in {}: run ./test", environment.display());
    path
}

impl Receiver {
    fn start() -> Receiver {
        let world = World::new();
        let port = {
            let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
            listener.local_addr().expect("it is bound").port()
        };
        let configuration = format!(
            "from bugsink.settings.default import *
SECRET_KEY = 'only for a test, on loopback, for as long as it runs: fifty characters and more'
SNAPPEA = {{'TASK_ALWAYS_EAGER': True}}
BUGSINK = {{'BASE_URL': 'http://127.0.0.1:{port}', 'SINGLE_USER': True, 'SINGLE_TEAM': True,
           'FEATURE_MINIDUMPS': True}}
ALLOWED_HOSTS = ['127.0.0.1']
for database in DATABASES.values(): database['NAME'] = database['NAME'].split('/')[-1]
"
        );
        fs::write(world.join("bugsink_conf.py"), configuration).expect("written");
        let manage = |arguments: &[&str]| manage(world.path(), arguments);
        manage(&["migrate"]);
        manage(&["migrate", "--database", "snappea"]);
        let made = manage(&[
            "shell",
            "-c",
            "from projects.models import Project
print('DSN', Project.objects.create(name='app').dsn)",
        ]);
        let dsn = made.lines().find_map(|line| line.strip_prefix("DSN ")).expect("a project");
        let log = fs::File::create(world.join("server.log")).expect("made");
        let mut command = Command::new(program("gunicorn"));
        command.args(["--bind", &format!("127.0.0.1:{port}"), "--workers", "1", "bugsink.wsgi"]);
        surround(&mut command, world.path());
        command.stdout(log.try_clone().expect("a copy")).stderr(log);
        let server = command.spawn().expect("it starts");
        let mut receiver = Receiver { world, server, dsn: dsn.to_owned() };
        for _ in 0..STEPS_MAX {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return receiver;
            }
            assert!(receiver.server.try_wait().expect("ours").is_none(), "{}", receiver.log());
            thread::sleep(STEP);
        }
        panic!("Bugsink does not listen: {}", receiver.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.world.join("server.log")).unwrap_or_default()
    }

    /// The events that it stored.
    fn events(&self) -> Vec<Value> {
        let text = manage(
            self.world.path(),
            &[
                "shell",
                "-c",
                "import json
from events.models import Event
print('EVENTS', json.dumps([event.get_parsed_data() for event in Event.objects.all()]))",
            ],
        );
        let line = text.lines().find_map(|line| line.strip_prefix("EVENTS "));
        serde_json::from_str(line.expect("a line")).expect("JSON")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Its worker ends with it.
        let number = self.server.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &number]).status();
        for _ in 0..STEPS_MAX {
            if !matches!(self.server.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(STEP);
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn surround(command: &mut Command, directory: &Path) {
    command.current_dir(directory).env("HOME", directory).stdin(Stdio::null());
    command.env("DJANGO_SETTINGS_MODULE", "bugsink_conf").env("PYTHONPATH", directory);
}

fn manage(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program("bugsink-manage"));
    surround(&mut command, directory);
    let output = command.args(arguments).output().expect("it starts");
    assert!(output.status.success(), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

/// A run whose target crashes once by itself, after it printed a secret; with a dump where this build has dumps.
fn crashed(world: &World) -> Crash {
    let guest = guests_directory().join("crash");
    let collect = if cfg!(feature = "dumps") { "collect: { dump: crashes }" } else { "" };
    let text = format!(
        "version: 1
target:
  command: [sh, -c, 'echo password={SECRET} and more; test $KILLPOINT_LIFE = 2 && exec {} segv; exec sleep 1000']
  supervisor: {{ backoff: 20ms }}
faults: [ {{ when: {{ at: 100ms }}, do: kill }} ]
{collect}
timeouts: {{ trigger: 500ms, recovery: 20s }}
",
        guest.display()
    );
    let report = run(world, &write(world, "crash.yaml", &text), &[]);
    let campaign = report.campaign.expect("trials");
    let crash = campaign.crashes.iter().find(|crash| crash.is_own());
    crash.unwrap_or_else(|| panic!("no crash: {campaign:#?}")).clone()
}

fn upload(world: &World, arguments: &[&str]) -> Output {
    let mut command = world.killpoint();
    command.arg("upload").arg(world.only_run()).args(arguments).env_remove("SENTRY_DSN");
    command.output().expect("it starts")
}

#[test]
fn a_crash_arrives_at_a_real_receiver_once_with_its_tags_and_without_secrets() {
    let world = World::new();
    let crash = crashed(&world);
    let receiver = Receiver::start();
    // The same crash twice: one event.
    for _ in 0..2 {
        let output = upload(&world, &["--dsn", &receiver.dsn, "--crash", &crash.id]);
        assert_eq!(output.status.code(), Some(0), "{}{}", stderr(&output), receiver.log());
        let said = stdout(&output);
        assert!(said.contains(&format!("uploaded  {}", crash.id)), "{said}");
        assert_eq!(said.contains("with its dump"), cfg!(feature = "dumps"), "{said}");
    }
    let events = receiver.events();
    assert_eq!(events.len(), 1, "{events:#?}");
    let event = &events[0];
    assert_eq!(event["tags"]["killpoint.crash"], crash.id.as_str(), "{event:#}");
    assert_eq!(event["tags"]["killpoint.run"], crash.run.as_str());
    assert_eq!(event["level"], "fatal");
    let text = event.to_string();
    assert!(!text.contains(SECRET), "{event:#}");
    assert!(text.contains("password=[redacted] and more"), "{event:#}");
    if cfg!(feature = "dumps") {
        assert!(text.contains("SIGSEGV"), "{event:#}");
    }
}

#[test]
fn nothing_is_uploaded_where_nobody_is_named_or_nobody_answers() {
    let world = World::new();
    let crash = crashed(&world);
    let nobody = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        format!("http://key@{}/1", listener.local_addr().expect("it is bound"))
    };
    for (arguments, expected) in [
        (&[][..], "no receiver is named"),
        (&["--dsn", "https://secret-key.example"], "the DSN is none"),
        (&["--dsn", &nobody, "--crash", "x"], "has no crash `x`"),
        (&["--dsn", &nobody], "does not answer"),
    ] {
        let output = upload(&world, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert!(!stderr(&output).contains("secret-key"), "{}", stderr(&output));
    }
    let output = upload(&world, &["--dry-run"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains(&format!("would upload  {}", crash.id)), "{output:?}");
}
