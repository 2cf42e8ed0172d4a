//! A directory of its own for each test, and the binary in it.

use killpoint_model::report::Report;
use killpoint_model::{CrashModel, Outcome};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// A directory where what a target or a checker writes is there afterwards: the temporary directories are copy-on-write
/// views, so a checkout that lies in one of them cannot be used.
pub fn outside_of_views() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let is_view = ["/tmp", "/var/tmp", "/dev/shm"].iter().any(|view| target.starts_with(view));
    if is_view { PathBuf::from("/run") } else { target.to_owned() }
}

/// Every power-loss model as well.
pub const ALL_MODELS: &str = "kill,torn-write,power-loss";

/// A directory with an empty state directory in it.
pub struct World {
    directory: TempDir,
}

/// What the binary said about a command that it explored.
pub struct Explored {
    /// Its report, from standard output.
    pub report: Report,
    /// Its exit code.
    pub code: i32,
}

impl World {
    pub fn new() -> World {
        let directory = tempfile::Builder::new()
            .prefix("killpoint-test-")
            .tempdir()
            .expect("a temporary directory");
        // Guests that become another user look up paths in it.
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), mode).expect("our own directory");
        let world = World { directory };
        fs::create_dir(world.state()).expect("a state directory");
        world
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    pub fn state(&self) -> PathBuf {
        self.join("state")
    }

    /// Where runs are kept.
    pub fn out(&self) -> PathBuf {
        self.join("out")
    }

    /// The binary, in this directory, with nothing to read and a home of its own.
    pub fn killpoint(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_killpoint"));
        command.current_dir(self.path()).stdin(Stdio::null()).env("NO_COLOR", "1");
        for name in [
            "KILLPOINT_STATE",
            "KILLPOINT_JOURNAL",
            "GITHUB_SHA",
            "GITHUB_RUN_ID",
            "CI_COMMIT_SHA",
            "CI_JOB_URL",
        ] {
            command.env_remove(name);
        }
        command
    }

    /// `explore` with the state directory and a folder for runs; flags and `-- CMD` follow.
    pub fn explore(&self) -> Command {
        let mut command = self.killpoint();
        command.args(["explore", "--out"]).arg(self.out()).arg("--state").arg(self.state());
        command
    }

    /// The same, printing what [`explored`] reads.
    pub fn explore_json(&self) -> Command {
        let mut command = self.explore();
        command.args(["--format", "json"]);
        command
    }

    /// The folder of the only run.
    pub fn only_run(&self) -> PathBuf {
        let runs = fs::read_dir(self.out().join("runs")).expect("a folder of runs");
        let runs: Vec<PathBuf> = runs.map(|run| run.expect("a run").path()).collect();
        assert_eq!(runs.len(), 1, "one run was made: {runs:?}");
        runs.into_iter().next().expect("one run")
    }
}

/// Runs what [`World::explore_json`] began and reads the report.
pub fn explored(command: &mut Command) -> Explored {
    let output = command.output().expect("the binary starts");
    let code = output.status.code().unwrap_or(-1);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("no report ({error}), exit code {code}: {}\n{command:?}", stderr(&output))
    });
    assert_eq!(i32::from(report.result.exit_code()), code, "{command:?}: {}", stderr(&output));
    Explored { report, code }
}

impl Explored {
    /// Points at which a model has a violated state.
    pub fn violated(&self, model: CrashModel) -> u64 {
        self.report.models.get(&model).map_or(0, |count| count.violated)
    }

    /// What a failing assertion shows.
    pub fn summary(&self) -> String {
        let report = &self.report;
        let mut text = format!("{} ({}) {}\n", report.result, self.code, report.explanation);
        for (model, count) in &report.models {
            text.push_str(&format!("  {model}: {count:?}\n"));
        }
        for finding in &report.findings {
            text.push_str(&format!(
                "  {} {} under {} at {} points, confirmed {} of {}: {} ({})\n",
                finding.class,
                finding.shown,
                finding.model,
                finding.points,
                finding.confirmed.hits,
                finding.confirmed.tries,
                finding.detail,
                finding.cause,
            ));
        }
        for unknown in &report.unknown {
            text.push_str(&format!(
                "  {} x {}: {}\n",
                unknown.count, unknown.reason, unknown.detail
            ));
        }
        for gap in &report.not_covered {
            text.push_str(&format!("  not covered: {} {} {}\n", gap.file, gap.reason, gap.needed));
        }
        for note in &report.notes {
            text.push_str(&format!("  note: {note}\n"));
        }
        text
    }

    /// Fails unless the run ended so.
    pub fn expect(&self, outcome: Outcome) {
        assert_eq!(self.report.result, outcome, "{}", self.summary());
    }

    /// Fails unless nothing at all was found, known, unknown or left out.
    pub fn expect_silence(&self) {
        self.expect(Outcome::Pass);
        let report = &self.report;
        let gaps = report.not_covered.iter().filter(|gap| gap.file != "*").count();
        assert_eq!(
            (report.findings.len(), report.unknown.len(), gaps),
            (0, 0, 0),
            "{}",
            self.summary()
        );
    }
}

/// What was written to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What was written to standard error, with every sentence about a scenario file on one line.
pub fn unwrapped_stderr(output: &Output) -> String {
    stderr(output).replace("\n  │ ", " ").replace("\n        ", " ")
}

/// What was written to standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Words as one line for a shell.
pub fn shell_line(words: &[String]) -> String {
    let quote = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// The repository's directory.
pub fn repository() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::canonicalize(directory).expect("this crate lies in crates/")
}

/// Whether this process may do everything.
pub fn is_root() -> bool {
    fs::metadata("/proc/self")
        .is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

/// Where the guests' binaries are; they are built where one is missing.
pub fn guests_directory() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let directory = ::guests::binaries_directory();
            let is_missing = |guest: &::guests::Guest| match guest.program {
                ::guests::Program::Binary(name) => !directory.join(name).exists(),
                ::guests::Program::Script(..) => false,
            };
            if ::guests::GUESTS.iter().any(is_missing) {
                build_guests(&directory);
            }
            directory
        })
        .clone()
}

fn build_guests(directory: &Path) {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--package", "guests", "--bins"]).current_dir(repository());
    command.arg("--target-dir").arg(directory.parent().expect("the target directory"));
    if directory.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status().expect("cargo starts");
    assert!(status.success(), "the guests cannot be built");
}

/// Runs a command to its end; it must succeed.
pub fn succeed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the command starts");
    assert!(output.status.success(), "{command:?}: {}{}", stdout(&output), stderr(&output));
    stdout(&output)
}
