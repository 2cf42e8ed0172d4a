//! Triage: what went wrong in several runs, put together by what it has in common.
//!
//! The rooms: `cases` (what went wrong in one run, off its log and its output), `key` (what makes two of
//! them one: a stack, else a template of their words), `show` (for people).

mod cases;
mod key;
mod show;

pub use show::human;

use crate::store::{RunFolder, StoreError, read_events};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Version of the JSON document.
pub const TRIAGE_VERSION: u32 = 1;
/// Most cases that are put together; the rest is counted.
pub const CASES_MAX: usize = 100_000;

/// What was put together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Triage {
    /// Version of this format.
    pub version: u32,
    /// Ids of the runs, in the order in which they began.
    pub runs: Vec<String>,
    /// All cases.
    pub cases: u64,
    /// Cases beyond the bound, which are in no group.
    pub omitted: u64,
    /// The groups, the most frequent first.
    pub groups: Vec<Group>,
}

/// Cases that have one cause, as far as can be seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What happened, in words.
    pub what: String,
    /// What they have in common.
    pub by: By,
    /// That: a stack's frames, a template in which `<*>` stands for what differs, or a finding's shape.
    pub common: String,
    /// How often.
    pub count: u64,
    /// In how many of the runs.
    pub runs: u64,
    /// Where it was seen first.
    pub first: Seen,
    /// Where it was seen last.
    pub last: Seen,
    /// The first case in its own words.
    pub example: String,
    /// The line that shows the example again; empty where there is none.
    pub replay: String,
}

/// What the cases of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The frames of the application's own on the stack.
    Stack,
    /// The template of the line that it died with.
    LogTemplate,
    /// The template of the verdict's words.
    Verdict,
    /// Class, shape of the address and cause of a finding.
    Finding,
}

/// Where and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The run's id.
    pub run: String,
    /// RFC 3339.
    pub time: String,
    /// The commit that was tested, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq)]
struct Case {
    seen: Seen,
    what: String,
    by: By,
    /// A stack's signature, a line or words; of a finding its shape.
    words: String,
    example: String,
    replay: String,
}

/// Puts together what went wrong in these runs.
///
/// # Errors
/// If the log of one cannot be read.
pub fn triage(folders: &[RunFolder]) -> Result<Triage, StoreError> {
    let mut runs = Vec::new();
    for folder in folders {
        let events = read_events(folder)?;
        runs.push(cases::of_run(folder, &events));
    }
    runs.sort_by(|one, other| one.started.cmp(&other.started));
    let ids = runs.iter().map(|run| run.id.clone()).collect();
    let mut cases: Vec<Case> = runs.into_iter().flat_map(|run| run.cases).collect();
    let total = cases.len();
    cases.truncate(CASES_MAX);
    let omitted = (total - cases.len()) as u64;
    let groups = group(cases);
    Ok(Triage { version: TRIAGE_VERSION, runs: ids, cases: total as u64, omitted, groups })
}

fn group(cases: Vec<Case>) -> Vec<Group> {
    let keys = key::keys(&cases);
    let mut groups: Vec<(Group, BTreeSet<String>)> = Vec::new();
    let mut places: std::collections::BTreeMap<(String, String), usize> = Default::default();
    for (case, common) in cases.into_iter().zip(keys) {
        let place = *places.entry((case.what.clone(), common.clone())).or_insert(groups.len());
        if place == groups.len() {
            let group = Group {
                what: case.what,
                by: case.by,
                common,
                count: 0,
                runs: 0,
                first: case.seen.clone(),
                last: case.seen.clone(),
                example: case.example,
                replay: case.replay,
            };
            groups.push((group, BTreeSet::new()));
        }
        let (group, runs) = &mut groups[place];
        group.count += 1;
        if case.seen.time < group.first.time {
            group.first = case.seen.clone();
        }
        if case.seen.time >= group.last.time {
            group.last = case.seen.clone();
        }
        runs.insert(case.seen.run);
    }
    let mut groups: Vec<Group> = groups
        .into_iter()
        .map(|(group, runs)| Group { runs: runs.len() as u64, ..group })
        .collect();
    groups.sort_by(|one, other| {
        other
            .count
            .cmp(&one.count)
            .then_with(|| (&one.what, &one.common).cmp(&(&other.what, &other.common)))
    });
    groups
}

#[cfg(test)]
mod tests;
