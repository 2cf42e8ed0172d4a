//! Finding the processes that a selector means among 10,000, against psutil of PyPI: the same
//! questions, the same processes, side by side.

use crate::measure::{median, succeed};
use crate::table::{Goal, Row, Table, seconds};
use crate::{Effort, measure};
use anyhow::{Context, Result, ensure};
use killpoint_engine::identity;
use killpoint_harness::processes::{Finder, Within};
use killpoint_model::seed::Seed;
use killpoint_model::selector::{Roles, Who};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PSUTIL: &str = "psutil==7.1.3";
const INSTALL_TIME_MAX: Duration = Duration::from_secs(120);
const PYTHON_TIME_MAX: Duration = Duration::from_secs(120);
const START_TIME_MAX: Duration = Duration::from_secs(120);
const GOAL: f64 = 5.0;

/// A question, in our words and in psutil's.
struct Question {
    what: &'static str,
    selector: &'static str,
    is_below: bool,
    python: &'static str,
    matches: usize,
}

/// Some of the processes that [`Crowd::start`] starts, by what psutil's users would write.
const QUESTIONS: [Question; 3] = [
    Question {
        what: "by a pattern of the command line, on the machine",
        selector: "cmdline:^sleep 1000042[0-9]$",
        is_below: false,
        python: "[p.pid for p in psutil.process_iter(['cmdline']) \
                 if pattern.search(' '.join(p.info['cmdline'] or []))]",
        matches: 10,
    },
    Question {
        what: "by the kernel's name, on the machine",
        selector: "comm:dd",
        is_below: false,
        python: "[p.pid for p in psutil.process_iter(['name']) if p.info['name'] == 'dd']",
        matches: 1,
    },
    Question {
        what: "by a pattern of the command line, below one process",
        selector: "cmdline:^sleep 1000042[0-9]$",
        is_below: true,
        python: "[p.pid for p in psutil.Process(root).children(recursive=True) \
                 if pattern.search(' '.join(p.cmdline()))]",
        matches: 10,
    },
];

/// Processes that do nothing, all below one shell.
struct Crowd(Child);

impl Crowd {
    /// Starts `sleep 10000N` for each number below `count`, and one `dd`.
    fn start(count: usize) -> Result<Self> {
        let script = format!(
            "tail -f /dev/null | dd of=/dev/null 2>&- & \
             for i in $(seq 0 {}); do sleep 10000$i & done; wait",
            count - 1
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).stdin(Stdio::null());
        let crowd = Crowd(shell.spawn().context("cannot start a shell")?);
        let since = Instant::now();
        let last = format!("cmdline:^sleep 10000{}$", count - 1);
        while crowd.find(&last, true)?.0 == 0 {
            ensure!(since.elapsed() < START_TIME_MAX, "{count} processes do not start in time");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(crowd)
    }

    fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.0.id())?)
    }

    /// How many a selector means, and how long it took to find them.
    fn find(&self, selector: &str, is_below: bool) -> Result<(usize, f64)> {
        let root = identity::status(self.pid()?)?.identity;
        let within = if is_below { Within::Below(root) } else { Within::Machine };
        let who = Who { select: Some(selector.parse()?), ..Who::default() };
        let since = Instant::now();
        let selection = Finder::open(Roles::default())?.find(&who, within, Seed(1))?;
        Ok((selection.chosen.len(), since.elapsed().as_secs_f64()))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let everybody = || -> Result<_> {
            let root = identity::status(self.pid()?)?.identity;
            let finder = Finder::open(Roles::default())?;
            Ok(finder.find(&Who::default(), Within::Below(root), Seed(1))?.chosen)
        };
        let found = everybody().unwrap_or_default();
        let _ = self.0.kill();
        let _ = self.0.wait();
        for process in found {
            let _ = process.identity.kill();
        }
    }
}

/// Adds a row for each question.
///
/// # Errors
/// If the processes or psutil cannot be had, or the two sides do not find the same.
pub fn run(effort: Effort, table: &mut Table) -> Result<()> {
    let count = effort.choose(1_000, 10_000);
    let rounds = effort.choose(3, 9);
    let directory = tempfile::tempdir()?;
    let python = psutil(directory.path())?;
    let crowd = Crowd::start(count)?;
    for question in &QUESTIONS {
        let theirs = ask_psutil(&python, &crowd, question, rounds)?;
        let mut ours = Vec::new();
        for _ in 0..rounds {
            let (found, taken) = crowd.find(question.selector, question.is_below)?;
            ensure!(found == question.matches, "{}: found {found}", question.what);
            ours.push(taken);
        }
        let first = theirs.first().copied().unwrap_or_default();
        let (ours, again) = (median(ours), median(theirs[1..].to_vec()));
        for (how, theirs) in [("first search", first), ("searching again", again)] {
            table.add(&Row {
                benchmark: "g",
                what: format!("{count} processes: {}; {how}", question.what),
                ours: seconds(ours),
                against: format!("psutil {}", seconds(theirs)),
                figure: theirs / ours,
                unit: "",
                goal: Goal::AtLeast(GOAL),
            });
        }
    }
    Ok(())
}

/// An interpreter with psutil, in a virtual environment of its own.
fn psutil(directory: &Path) -> Result<PathBuf> {
    let venv = directory.join("venv");
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&venv);
    succeed(&mut make, INSTALL_TIME_MAX, &[0])?;
    let mut install = Command::new(venv.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check", PSUTIL]);
    succeed(&mut install, INSTALL_TIME_MAX, &[0])?;
    Ok(venv.join("bin/python"))
}

/// The times of psutil's searches, all in one interpreter, which keeps what it has seen.
fn ask_psutil(
    python: &Path,
    crowd: &Crowd,
    question: &Question,
    rounds: usize,
) -> Result<Vec<f64>> {
    let pattern = question.selector.strip_prefix("cmdline:").unwrap_or_default();
    let Question { python: expression, matches, .. } = question;
    let script = format!(
        "import psutil, re, time\n\
         root, pattern = {root}, re.compile(r'{pattern}')\n\
         for _ in range({rounds}):\n\
         \x20   since = time.perf_counter()\n\
         \x20   found = {expression}\n\
         \x20   print(time.perf_counter() - since)\n\
         \x20   assert len(found) == {matches}, found\n",
        root = crowd.pid()?,
    );
    let mut command = Command::new(python);
    command.args(["-c", &script]);
    let ended: measure::Ended = succeed(&mut command, PYTHON_TIME_MAX, &[0])?;
    ended.output.lines().map(|line| line.parse().context("a time")).collect()
}
