//! Things that are counted: lists of numbered things, checkpoints, files that are left over.

use super::Ended;
use super::command::{How, shown};
use killpoint_model::invariant::Semantics;
use killpoint_model::selector::Glob;
use killpoint_model::verdict::{Class, Judgement, Reason};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Most names of a state directory that are kept.
const NAMES_MAX: usize = 100_000;
/// How many names a sentence shows.
const SHOWN_MAX: usize = 3;

/// The names of the files below a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// Paths from the directory on; of names that are not UTF-8 a likeness.
    pub paths: BTreeSet<String>,
    /// Whether there were more than are kept.
    pub is_cut: bool,
}

impl Names {
    /// Lists everything below directories that is no directory itself; what lies below a further one begins
    /// with its place.
    pub(super) fn read(directories: &[PathBuf]) -> io::Result<Self> {
        let mut names = Names::default();
        for (index, directory) in directories.iter().enumerate() {
            let place =
                if index == 0 { String::new() } else { format!("{{state:{}}}/", index + 1) };
            names.add(directory, &place)?;
        }
        Ok(names)
    }

    fn add(&mut self, directory: &Path, place: &str) -> io::Result<()> {
        let mut open = vec![directory.to_owned()];
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(&next)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    open.push(entry.path());
                    continue;
                }
                if self.paths.len() == NAMES_MAX {
                    self.is_cut = true;
                    return Ok(());
                }
                let path = entry.path();
                let path = path.strip_prefix(directory).unwrap_or(&path);
                self.paths.insert(format!("{place}{}", path.to_string_lossy()));
            }
        }
        Ok(())
    }

    /// Whether nothing is left over that the control did not leave.
    pub(super) fn judge(&self, allow: &[Glob], control: Option<&Names>) -> Judgement {
        let Some(control) = control else {
            let detail = "The control was not read: what it leaves is not known.";
            return Judgement::unknown(Reason::JudgeFailed, detail);
        };
        if self.is_cut || control.is_cut {
            let detail = format!("There are more than {NAMES_MAX} files.");
            return Judgement::unknown(Reason::JudgeFailed, detail);
        }
        let is_allowed = |path: &str| {
            let name = path.rsplit('/').next().unwrap_or(path);
            allow.iter().any(|pattern| pattern.fits(name) || pattern.fits(path))
        };
        let left: Vec<&str> = self
            .paths
            .difference(&control.paths)
            .map(String::as_str)
            .filter(|path| !is_allowed(path))
            .collect();
        match left.len() {
            0 => Judgement::held(),
            _ => Judgement::violated(Class::Extra, format!("Left over: {}.", named(&left))),
        }
    }
}

/// Whether the sequences of checkpoints of no process go back.
pub(super) fn judge_checkpoints(sequences: &BTreeMap<String, Vec<u64>>) -> Judgement {
    for (process, sequences) in sequences {
        if let Some(pair) = sequences.windows(2).find(|pair| pair[1] < pair[0]) {
            let (from, to) = (pair[0], pair[1]);
            let detail = format!("The checkpoints of {process} went back from {from} to {to}.");
            return Judgement::violated(Class::Lost, detail);
        }
    }
    Judgement::held()
}

/// Whether each thing is there as often as it may be.
pub(super) fn judge_lists(
    listed: &Ended,
    expected: Option<&Ended>,
    semantics: Semantics,
) -> Judgement {
    let listed = match lines(listed) {
        Ok(lines) => lines,
        Err(judgement) => return judgement,
    };
    let expected = match expected.map(lines).transpose() {
        Ok(expected) => expected,
        Err(judgement) => return judgement,
    };
    if let Some(expected) = &expected {
        let missing: Vec<&str> =
            expected.keys().filter(|name| !listed.contains_key(*name)).copied().collect();
        if !missing.is_empty() && semantics != Semantics::AtMostOnce {
            let detail = format!("Missing: {}.", named(&missing));
            let lost = Judgement::violated(Class::Lost, detail);
            return Judgement { keys_lost: missing.len() as u64, ..lost };
        }
    }
    // What was not known to have been done may have been done once more.
    let (most, words) = match semantics {
        Semantics::AtLeastOnce => (2, "more than twice"),
        _ => (1, "more than once"),
    };
    let doubles: Vec<&str> =
        listed.iter().filter(|(_, count)| **count > most).map(|(name, _)| *name).collect();
    if !doubles.is_empty() {
        let detail = format!("There {words}: {}.", named(&doubles));
        return Judgement::violated(Class::Duplicated, detail);
    }
    if let Some(expected) = &expected {
        let extra: Vec<&str> =
            listed.keys().filter(|name| !expected.contains_key(*name)).copied().collect();
        if !extra.is_empty() {
            let detail = format!("There, and nobody expects it: {}.", named(&extra));
            return Judgement::violated(Class::Extra, detail);
        }
    }
    Judgement::held()
}

/// Whether a command that lists ended well and named nothing.
pub(super) fn lists_nothing(listed: &Ended) -> bool {
    lines(listed).is_ok_and(|lines| lines.is_empty())
}

/// The lines that a command printed, with how often each is there.
fn lines(ended: &Ended) -> Result<BTreeMap<&str, u64>, Judgement> {
    let problem = ended.problem().or_else(|| match ended.how {
        How::Exited(0) => None,
        _ => Some(format!("the command that lists did not end well{}", ended.saying())),
    });
    if let Some(problem) = problem {
        return Err(Judgement::unknown(Reason::JudgeFailed, super::sentence(&problem)));
    }
    let mut counts = BTreeMap::new();
    for line in ended.output.lines().map(str::trim).filter(|line| !line.is_empty()) {
        *counts.entry(line).or_default() += 1;
    }
    Ok(counts)
}

/// The first of some names, and how many more there are.
fn named(names: &[&str]) -> String {
    let mut text: Vec<String> = names.iter().take(SHOWN_MAX).map(|name| shown(name)).collect();
    if names.len() > SHOWN_MAX {
        text.push(format!("and {} more", names.len() - SHOWN_MAX));
    }
    text.join(", ")
}
