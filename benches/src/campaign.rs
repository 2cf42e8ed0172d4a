//! (a) A whole campaign on real programs, against the enumerator that runs the workload again under
//! strace for every crash point. Both set the case up in memory and judge the models kill, prefix
//! and data; ours records twice, confirms its findings by live kills and writes its reports as well.

use crate::Effort;
use crate::measure::{median, succeed};
use crate::programs::{Programs, in_memory, is_installed};
use crate::table::{Goal, Row, Table, seconds};
use anyhow::{Context, Result, bail};
use killpoint_model::report::Report;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// One campaign of theirs or ours takes longer than this only if something is wrong.
const CAMPAIGN_LIMIT: Duration = Duration::from_secs(900);

/// What a case is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Native,
    Python,
    Node,
}

impl Language {
    /// The least ratios with a one-shot and with a stream checker.
    fn goals(self) -> (f64, Option<f64>) {
        match self {
            Language::Native => (10.0, None),
            Language::Python => (4.0, Some(20.0)),
            Language::Node => (4.0, Some(8.0)),
        }
    }
}

const CASES: &[(&str, Language)] = &[
    ("rs-redb", Language::Native),
    ("rs-sled", Language::Native),
    ("py-tinydb", Language::Python),
    ("py-zodb", Language::Python),
    ("sqlite-wal", Language::Python),
    ("js-simplejsondb", Language::Node),
    ("js-conf10", Language::Node),
];

/// Cases that are also measured with a workload ten times as long.
const LONG_CASES: &[&str] = &["rs-sled", "py-tinydb", "js-simplejsondb"];
const LONG_REPEAT: u32 = 10;

/// How the states of a campaign are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    OneShot,
    SecondChecks,
    Stream,
}

/// A case and where it is.
struct Case<'a> {
    programs: &'a Programs,
    name: &'a str,
    directory: PathBuf,
    description: serde_json::Value,
    repeat: u32,
}

/// One campaign: how long, and what it says of itself.
struct Campaign {
    elapsed: f64,
    about: String,
}

/// Measures all cases.
///
/// # Errors
/// If one cannot be run.
pub fn run(programs: &Programs, effort: Effort, table: &mut Table) -> Result<()> {
    programs.set_up_cases()?;
    if !is_installed("strace") {
        table.skipped("a", "campaigns", &"strace is not installed");
        return Ok(());
    }
    let is_case = |name: &&String| CASES.iter().any(|(case, _)| case == name);
    if let Some(unknown) = programs.cases.iter().find(|name| !is_case(name)) {
        let known: Vec<&str> = CASES.iter().map(|(case, _)| *case).collect();
        bail!("`{unknown}` is no case that is measured; they are {}", known.join(", "));
    }
    let is_wanted = |name: &str| {
        programs.cases.is_empty() || programs.cases.iter().any(|wanted| wanted == name)
    };
    for (name, language) in CASES.iter().filter(|(name, _)| is_wanted(name)) {
        let short = compare(programs, effort, table, (name, *language), 1)?;
        if LONG_CASES.contains(name) && (effort == Effort::Full || *language == Language::Native) {
            let long = compare(programs, Effort::Quick, table, (name, *language), LONG_REPEAT)?;
            table.add(&Row {
                benchmark: "a",
                what: format!("{name}: ratio at {LONG_REPEAT} times the work over that at once"),
                ours: "-".to_owned(),
                against: "-".to_owned(),
                figure: long / short,
                unit: "",
                goal: Goal::AtLeast(1.0),
            });
        }
    }
    Ok(())
}

/// Adds the rows of a case; the ratio with the one-shot checker.
fn compare(
    programs: &Programs,
    effort: Effort,
    table: &mut Table,
    (name, language): (&str, Language),
    repeat: u32,
) -> Result<f64> {
    let case = Case::read(programs, name, repeat)?;
    let ways: &[Way] = match language {
        Language::Native => &[Way::OneShot, Way::SecondChecks],
        _ => &[Way::OneShot, Way::SecondChecks, Way::Stream],
    };
    let mut theirs = Vec::new();
    let mut ours = vec![Vec::new(); ways.len()];
    let mut about = vec![String::new(); ways.len() + 1];
    // By turns, so that a change of the machine's load meets all of them.
    for _ in 0..effort.choose(1, 3) {
        let campaign = case.enumerate()?;
        theirs.push(campaign.elapsed);
        about[ways.len()] = campaign.about;
        for (index, way) in ways.iter().enumerate() {
            let campaign = case.explore(*way)?;
            ours[index].push(campaign.elapsed);
            about[index] = campaign.about;
        }
    }
    let theirs = median(theirs);
    let (one_shot, stream) = language.goals();
    let work = if repeat == 1 { String::new() } else { format!(", {repeat} times the work") };
    let mut first = 0.0;
    for ((way, ours), about_ours) in ways.iter().zip(ours).zip(&about) {
        let ours = median(ours);
        let (how, goal) = match way {
            Way::OneShot => ("one-shot checker", Goal::AtLeast(one_shot)),
            Way::SecondChecks => ("one-shot checker and second checks", Goal::None),
            Way::Stream => ("stream checker", stream.map_or(Goal::None, Goal::AtLeast)),
        };
        table.add(&Row {
            benchmark: "a",
            what: format!("{name}{work}: {how}"),
            ours: format!("{}, {about_ours}", seconds(ours)),
            against: format!("{}, {}", seconds(theirs), about[ways.len()]),
            figure: theirs / ours,
            unit: " times",
            goal,
        });
        if *way == Way::OneShot {
            first = theirs / ours;
        }
    }
    Ok(first)
}

impl<'a> Case<'a> {
    fn read(programs: &'a Programs, name: &'a str, repeat: u32) -> Result<Self> {
        let directory = programs.repository.join("cases").join(name);
        let text = fs::read(directory.join("case.json")).context("no such case")?;
        let description = serde_json::from_slice(&text)?;
        Ok(Case { programs, name, directory, description, repeat })
    }

    fn line(&self, key: &str) -> Result<&str> {
        self.description[key].as_str().context("a case has its command lines")
    }

    fn surround<'b>(&self, command: &'b mut Command) -> &'b mut Command {
        let cases = self.programs.repository.join("cases");
        let environment = &self.programs.cases_environment;
        let lib = cases.join("lib").display().to_string();
        command
            .current_dir(&self.directory)
            .env("CASE", &self.directory)
            .env("CASES", &cases)
            .env("CASES_ENV", environment)
            .env("CASES_REPEAT", self.repeat.to_string())
            .env("NODE_PATH", format!("{}/node_modules:{lib}", environment.display()))
            .env("PYTHONPATH", lib)
            .env("UV_THREADPOOL_SIZE", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("LC_ALL", "C.UTF-8")
    }

    /// Theirs.
    fn enumerate(&self) -> Result<Campaign> {
        let world = in_memory()?;
        let mut command = Command::new("python3");
        self.surround(&mut command).env("OUT", world.path());
        command.arg(self.programs.repository.join("cases/strace-enumerate.py"));
        let ended = succeed(command.arg(&self.directory), CAMPAIGN_LIMIT, &[0])?;
        let results = fs::read(world.path().join(format!("{}.results.json", self.name)))
            .with_context(|| ended.output.clone())?;
        let results: serde_json::Value = serde_json::from_slice(&results)?;
        Ok(Campaign {
            elapsed: ended.elapsed.as_secs_f64(),
            about: format!("{} points", results["points"]),
        })
    }

    /// Ours.
    fn explore(&self, way: Way) -> Result<Campaign> {
        let world = in_memory()?;
        let inside = |name: &str| world.path().join(name);
        for name in ["state", "home"] {
            fs::create_dir(inside(name))?;
        }
        let since = Instant::now();
        let mut setup = Command::new("bash");
        setup.args(["-c", self.line("setup")?]);
        setup.env("KILLPOINT_STATE", inside("state")).env("KILLPOINT_JOURNAL", inside("journal"));
        succeed(self.surround(&mut setup).env("HOME", inside("home")), CAMPAIGN_LIMIT, &[0])?;

        let mut command = self.programs.killpoint();
        self.surround(&mut command).env("HOME", inside("home"));
        command.args(["explore", "--format", "json", "--recovery-depth", "0", "--out"]);
        command.arg(inside("out")).arg("--state").arg(inside("state"));
        command.args(["--model", "kill,prefix,data", "--profile", "strict"]);
        command.args(["--acks", "power-loss"]);
        let check = self.line("check")?;
        match way {
            Way::OneShot => command.args(["--no-second-checks", "--check", check]),
            Way::SecondChecks => command.args(["--check", check]),
            Way::Stream => {
                let stream = check.replace(" check", " stream");
                command.args(["--no-second-checks", "--check-stream", &stream])
            }
        };
        command.args(["--", "bash", "-c", &format!("exec {}", self.line("workload")?)]);
        let ended = succeed(&mut command, CAMPAIGN_LIMIT, &[0, 1])?;
        let report: Report = serde_json::from_str(&ended.output)?;
        Ok(Campaign {
            elapsed: since.elapsed().as_secs_f64(),
            about: format!(
                "{} points, {} states, {} findings",
                report.points,
                report.states,
                report.findings.len()
            ),
        })
    }
}
