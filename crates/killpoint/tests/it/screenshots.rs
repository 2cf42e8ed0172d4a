//! Pictures of a real X display around strikes and crashes.

use crate::support::World;
use std::fs;

#[cfg(feature = "screenshots")]
use {
    crate::collecting::{assert_page_tells, campaign},
    crate::support::{explored, guests_directory},
    killpoint_model::report::Report,
    killpoint_model::screenshot::Moment,
    killpoint_model::{Class, Outcome, Verdict},
    std::io::{BufRead, BufReader},
    std::net::TcpListener,
    std::path::Path,
    std::process::{Child, Command, Stdio},
};

#[cfg(feature = "screenshots")]
const RED: [u8; 3] = [0xff, 0, 0];
#[cfg(feature = "screenshots")]
const BLUE: [u8; 3] = [0, 0, 0xff];
#[cfg(feature = "screenshots")]
const BLACK: [u8; 3] = [0, 0, 0];

/// An X server without a screen that anybody sees.
#[cfg(feature = "screenshots")]
struct Display {
    server: Child,
    name: String,
}

#[cfg(feature = "screenshots")]
impl Display {
    fn start() -> Self {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "640x400x24", "-nolisten", "tcp", "-br"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is installed");
        let mut number = String::new();
        let output = server.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut number).expect("it says its number");
        Display { server, name: format!(":{}", number.trim()) }
    }
}

#[cfg(feature = "screenshots")]
impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[cfg(feature = "screenshots")]
fn run(world: &World, scenario: &str, display: Option<&str>) -> Report {
    let path = world.join("scenario.yaml");
    fs::write(&path, scenario).expect("written");
    let mut command = world.killpoint();
    command.env_remove("DISPLAY").envs(display.map(|display| ("DISPLAY", display)));
    command.arg("run").arg(&path).args(["--format", "json", "--out"]).arg(world.out());
    explored(&mut command).report
}

/// The colour in the middle of a picture, and its size.
#[cfg(feature = "screenshots")]
fn middle(path: &Path) -> ([u8; 3], (u32, u32)) {
    let file = BufReader::new(
        fs::File::open(path).unwrap_or_else(|error| panic!("{error}: {}", path.display())),
    );
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it fits")];
    let frame = reader.next_frame(&mut pixels).expect("a picture");
    let at = (frame.height / 2 * frame.width + frame.width / 2) as usize * 3;
    ([pixels[at], pixels[at + 1], pixels[at + 2]], (frame.width, frame.height))
}

/// Loses its data in its second life, which then ends; shows another colour in the third.
#[cfg(feature = "screenshots")]
fn scenario(screenshots: &str) -> String {
    let window = guests_directory().join("x-window").display().to_string();
    format!(
        "version: 1
target:
  command:
  - sh
  - -c
  - >
    case $KILLPOINT_LIFE in
    1) exec {window} ff0000 ;;
    2) rm -f {{state}}/data; exit 3 ;;
    *) exec {window} 0000ff ;;
    esac
  supervisor: {{ backoff: 20ms }}
  state: [state]
  ready: {{ by: {{ log-line: seen }}, timeout: 20s }}
faults: [ {{ when: {{ at: 300ms }}, do: kill }} ]
invariants: [ {{ command: {{ run: [sh, -c, 'test -e \"$KILLPOINT_STATE\"/data'] }} }} ]
collect: {{ screenshots: {screenshots} }}
timeouts: {{ trigger: 1s, recovery: 20s }}
"
    )
}

#[cfg(feature = "screenshots")]
#[test]
fn what_the_screen_showed_around_strike_and_crash_is_kept_and_shown() {
    let (world, display) = (World::new(), Display::start());
    fs::write(world.state().join("data"), "precious\n").expect("written");
    let report = run(&world, &scenario("true"), Some(&display.name));
    assert_eq!(report.result, Outcome::Violated, "{report:#?}");
    assert!(!report.not_covered.iter().any(|gap| gap.reason.contains("pictures")));
    let campaign = campaign(report);
    let trial = &campaign.trials[1];
    assert_eq!(trial.judgement.verdict, Verdict::Violated(Class::Wrong), "{trial:#?}");
    let moments: Vec<&Moment> = trial.screenshots.iter().map(|it| &it.moment).collect();
    let crashed = Moment::Crashed { process: "main".to_owned(), life: 2 };
    let (before, struck, ready) =
        (Moment::Before { strike: 1 }, Moment::Struck { strike: 1 }, Moment::Ready { strike: 1 });
    assert_eq!(moments, [&before, &struck, &crashed, &ready]);
    let picture = |name: &str| world.only_run().join("trials/1/screenshots").join(name);
    for shot in &trial.screenshots {
        assert_eq!(world.only_run().join(&shot.path), picture(&shot.moment.file_name()));
        assert_eq!((shot.width, shot.height), (640, 400));
        assert!(shot.preview.is_empty(), "programs read the files");
    }
    assert!(trial.screenshots.is_sorted_by_key(|shot| shot.at_us));
    assert_eq!(middle(&picture("strike-1-before.png")), (RED, (640, 400)));
    assert!([RED, BLACK].contains(&middle(&picture("strike-1-struck.png")).0));
    assert_eq!(middle(&picture("crash-main.2.png")).0, BLACK, "nobody is there");
    assert_eq!(middle(&picture("strike-1-ready.png")).0, BLUE);
    assert!(!world.only_run().join("trials/0/screenshots").exists(), "the control held");
    let page = fs::read_to_string(world.only_run().join("report.html")).expect("a page");
    assert_eq!(page.matches("src=\"data:image/png;base64,").count(), 4);
    assert_page_tells(
        &world,
        &["3 pictures of the screen", "ready again after strike 1", "life 2 of main has crashed"],
    );
}

#[cfg(feature = "screenshots")]
#[test]
fn a_display_that_is_named_is_looked_at_and_one_that_is_not_there_changes_no_verdict() {
    let display = Display::start();
    let named = format!("{{ display: '{}' }}", display.name);
    let window = guests_directory().join("x-window").display().to_string();
    let scenario = |screenshots: &str| {
        format!(
            "version: 1
target:
  command: [sh, -c, 'DISPLAY={} exec {window} 00ff00']
  ready: {{ by: {{ log-line: seen }}, timeout: 20s }}
faults: [ {{ when: {{ at: 100ms }}, do: kill }} ]
collect: {{ screenshots: {screenshots} }}
timeouts: {{ trigger: 500ms, recovery: 20s }}
",
            display.name
        )
    };
    let gaps = |report: &Report| {
        let gaps = report.not_covered.iter().map(|gap| gap.reason.clone());
        gaps.filter(|gap| gap.contains("of the screen")).collect::<Vec<String>>()
    };
    let silent = TcpListener::bind("127.0.0.1:0").expect("a socket");
    // Display N of a host is at port 6000 + N of it.
    let number = silent.local_addr().expect("bound").port() - 6_000;
    let is_silent = format!("{{ display: '127.0.0.1:{number}' }}");
    for (screenshots, expected) in [
        (is_silent.as_str(), "did not answer within 2 s"),
        (named.as_str(), ""),
        ("{ display: ':7777' }", "are missing: "),
        ("true", "no display is named, and DISPLAY is not set"),
    ] {
        let world = World::new();
        let report = run(&world, &scenario(screenshots), None);
        assert_eq!(report.result, Outcome::Pass, "{report:#?}");
        let gaps = gaps(&report);
        assert_eq!(gaps.len(), usize::from(!expected.is_empty()), "{gaps:?}");
        assert!(gaps.iter().all(|gap| gap.contains(expected)), "{gaps:?}");
        let trial = world.only_run().join("trials/1");
        assert!(trial.exists() && !trial.join("screenshots").exists(), "it held");
    }
}

#[cfg(not(feature = "screenshots"))]
#[test]
fn without_the_feature_pictures_are_refused_by_name() {
    let world = World::new();
    let path = world.join("scenario.yaml");
    let text = "version: 1\ntarget: { command: [sleep, '1'] }\ncollect: { screenshots: true }\n";
    fs::write(&path, text).expect("written");
    let output = world.killpoint().arg("run").arg(&path).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let said = crate::support::stderr(&output);
    assert!(said.contains("--features screenshots"), "{said}");
}
