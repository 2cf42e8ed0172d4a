//! What got better and what got worse from one run to another. A pure function of their two reports.
//!
//! Both runs must be of the same kind, and of the same command or scenario: anything else is no comparison.

mod explored;
mod show;
mod trials;

pub use show::human;

use killpoint_model::Outcome;
use killpoint_model::report::Report;
use serde::{Deserialize, Serialize};

/// Version of the JSON document.
pub const COMPARISON_VERSION: u32 = 1;

/// Programs whose first argument is the program that counts, without their versions.
const INTERPRETERS: [&str; 19] = [
    "bash", "bun", "dash", "deno", "dotnet", "java", "julia", "ksh", "lua", "node", "nodejs",
    "perl", "php", "pypy", "python", "ruby", "sh", "tclsh", "zsh",
];

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Version of this format.
    pub version: u32,
    /// The run that is compared with.
    pub before: Side,
    /// The run that is compared.
    pub after: Side,
    /// Every difference, and what was looked at and is the same.
    pub changes: Vec<Change>,
}

/// One of the two runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Its id.
    pub run: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// The commit that was tested, where it is known.
    pub commit: Option<String>,
    /// Its result.
    pub result: Outcome,
}

impl Side {
    fn of(report: &Report) -> Self {
        Side {
            run: report.run.clone(),
            started: report.started.clone(),
            commit: report.commit.clone(),
            result: report.result,
        }
    }
}

/// Which way something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// It got worse.
    Worse,
    /// It got better.
    Better,
    /// It is another, which is neither.
    Different,
    /// It is the same.
    Same,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Which way it went.
    pub direction: Direction,
    /// What: `result`, `finding`, `unknown`, `not-covered`, `coverage`, `verdicts`, `recovery-time`, `objective`, ...
    pub what: String,
    /// In words, with both values.
    pub detail: String,
}

impl Change {
    fn of(direction: Direction, what: &str, detail: impl Into<String>) -> Self {
        Change { direction, what: what.to_owned(), detail: detail.into() }
    }
}

/// Why two runs cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{before} and {after} cannot be compared: {why}")]
pub struct Unlike {
    before: String,
    after: String,
    why: String,
}

impl Comparison {
    /// Compares two runs.
    ///
    /// # Errors
    /// If they are of different kinds, commands or scenarios, or one has no end.
    pub fn of(before: &Report, after: &Report) -> Result<Self, Unlike> {
        if let Some(why) = why_unlike(before, after) {
            return Err(Unlike { before: before.run.clone(), after: after.run.clone(), why });
        }
        let mut changes = vec![result(before.result, after.result)];
        match (&before.campaign, &after.campaign) {
            (Some(one), Some(other)) => trials::compare(one, other, &mut changes),
            _ => explored::compare(before, after, &mut changes),
        }
        changes.sort_by_key(|change| change.direction);
        let (before, after) = (Side::of(before), Side::of(after));
        Ok(Comparison { version: COMPARISON_VERSION, before, after, changes })
    }

    /// Whether anything got worse.
    pub fn is_worse(&self) -> bool {
        self.changes.iter().any(|change| change.direction == Direction::Worse)
    }
}

fn why_unlike(before: &Report, after: &Report) -> Option<String> {
    let kind = |report: &Report| match report.campaign {
        Some(_) => "of a scenario",
        None => "of `explore`",
    };
    if kind(before) != kind(after) {
        return Some(format!("the one is {}, the other {}", kind(before), kind(after)));
    }
    if let Some(report) = [before, after].iter().find(|it| it.result == Outcome::Interrupted) {
        return Some(format!("{} was interrupted, and says nothing about the rest", report.run));
    }
    if let (Some(one), Some(other)) = (&before.campaign, &after.campaign) {
        return (one.title != other.title).then(|| {
            format!("they are of different scenarios, `{}` and `{}`", one.title, other.title)
        });
    }
    let program = |report: &Report| {
        report.setting.as_ref().map(|setting| program(&setting.command)).unwrap_or_default()
    };
    let (one, other) = (program(before), program(after));
    (one != other).then(|| format!("they are of different programs, `{one}` and `{other}`"))
}

/// What a command executes: its program and, where that is an interpreter, the program that it interprets.
/// A checkout at another place has another path of the same program. Code among the arguments has no name.
fn program(command: &[String]) -> String {
    let name = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    let Some(program) = command.first().map(name) else { return String::new() };
    let stem = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let mut rest = command[1..].iter().filter(|word| !word.starts_with('-'));
    let is_name = |word: &&String| !word.contains(char::is_whitespace);
    match rest.next().filter(is_name).filter(|_| INTERPRETERS.contains(&stem)) {
        Some(script) => format!("{program} {}", name(script)),
        None => program,
    }
}

/// The better, the smaller.
fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Pass => 0,
        Outcome::Vacuous => 1,
        Outcome::Unknown => 2,
        Outcome::Aborted | Outcome::Interrupted => 3,
        Outcome::BaselineFailed | Outcome::Usage | Outcome::InternalError => 4,
        Outcome::Violated => 5,
    }
}

fn result(before: Outcome, after: Outcome) -> Change {
    let detail = match before == after {
        true => after.to_string(),
        false => format!("{before}, now {after}"),
    };
    Change::of(direction(rank(before), rank(after)), "result", detail)
}

/// Of something that is the better the smaller it is.
fn direction<T: PartialOrd>(before: T, after: T) -> Direction {
    if after > before {
        Direction::Worse
    } else if after < before {
        Direction::Better
    } else {
        Direction::Same
    }
}

#[cfg(test)]
mod tests;
