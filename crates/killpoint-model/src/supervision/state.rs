//! What a process gets back when it is started again, and whether it can read what is there.

use super::Command;
use crate::nonsense::{Nonsense, refuse, refuse_no_program};
use crate::tolerance::is_pointer;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The versions of a state that a program can read: `3`, `2..4` (both included), `2..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "RangeForm", into = "String")]
pub struct VersionRange {
    /// The lowest.
    pub lowest: u64,
    /// The highest; none if there is no upper bound.
    pub highest: Option<u64>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum RangeForm {
    One(u64),
    Text(String),
}

/// Why a text is no range of versions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no range of versions: write 3, 2..4 (both included) or 2..")]
pub struct RangeError(String);

impl VersionRange {
    /// Whether a version lies within.
    pub fn contains(self, version: u64) -> bool {
        version >= self.lowest && self.highest.is_none_or(|highest| version <= highest)
    }
}

impl FromStr for VersionRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let error = || RangeError(text.to_owned());
        let number = |text: &str| text.parse::<u64>().map_err(|_| error());
        let range = match text.split_once("..") {
            None => {
                let one = number(text)?;
                VersionRange { lowest: one, highest: Some(one) }
            }
            Some((lowest, "")) => VersionRange { lowest: number(lowest)?, highest: None },
            Some((lowest, highest)) => {
                VersionRange { lowest: number(lowest)?, highest: Some(number(highest)?) }
            }
        };
        let is_empty = range.highest.is_some_and(|highest| highest < range.lowest);
        if is_empty { Err(error()) } else { Ok(range) }
    }
}

impl TryFrom<RangeForm> for VersionRange {
    type Error = RangeError;

    fn try_from(form: RangeForm) -> Result<Self, RangeError> {
        match form {
            RangeForm::One(one) => Ok(VersionRange { lowest: one, highest: Some(one) }),
            RangeForm::Text(text) => text.parse(),
        }
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.highest {
            Some(highest) if highest == self.lowest => write!(f, "{highest}"),
            Some(highest) => write!(f, "{}..{highest}", self.lowest),
            None => write!(f, "{}..", self.lowest),
        }
    }
}

impl From<VersionRange> for String {
    fn from(range: VersionRange) -> String {
        range.to_string()
    }
}

/// Where the version of a state stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VersionSource {
    /// A file that holds the number and nothing else.
    File(String),
    /// A number in a JSON document.
    Json {
        /// The document.
        file: String,
        /// Where in it, as RFC 6901 has it: `/schema/version`.
        pointer: String,
    },
    /// A command that prints the number, within ten seconds.
    Command(Command),
}

impl VersionSource {
    /// Puts what `fill` makes of each text in its place.
    pub(super) fn fill_in(&mut self, fill: impl Fn(&str) -> String) {
        match self {
            VersionSource::File(path) => *path = fill(path),
            VersionSource::Json { file, pointer: _ } => *file = fill(file),
            VersionSource::Command(words) => words.iter_mut().for_each(|word| *word = fill(word)),
        }
    }
}

/// Looked at before every start. A state that is not there has no version, and the start goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SchemaRule {
    /// Where the version stands.
    pub version_in: VersionSource,
    /// What the program can read.
    pub accepts: VersionRange,
    /// What is done with any other version, and where it cannot be read.
    #[serde(default)]
    pub otherwise: OnMismatch,
}

/// What is done with a state of another version.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum OnMismatch {
    /// The process is not started.
    #[default]
    Refuse,
    /// Its fallback command is started in its place.
    Fallback,
    /// It is started all the same, and that is said.
    Continue,
}

impl SchemaRule {
    /// Whether the version can be found.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check(&self) -> Result<(), Nonsense> {
        let nameless = "it is empty: name a file";
        match &self.version_in {
            VersionSource::File(file) => refuse(&[(file.is_empty(), "version-in.file", nameless)]),
            VersionSource::Json { file, pointer } => refuse(&[
                (file.is_empty(), "version-in.json.file", nameless),
                (
                    !is_pointer(pointer),
                    "version-in.json.pointer",
                    "it is no JSON pointer: write it as `/schema/version`",
                ),
            ]),
            VersionSource::Command(command) => refuse_no_program("version-in.command", command),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_both_ends() {
        for (text, inside, outside) in
            [("3", 3, 4), ("2..4", 4, 5), ("2..4", 2, 1), ("2..", u64::MAX, 1)]
        {
            let range: VersionRange = text.parse().expect(text);
            assert!(range.contains(inside) && !range.contains(outside), "{text}");
            assert_eq!(range.to_string(), text);
        }
        for text in ["", "..", "..4", "4..2", "a", "1-2", "-1"] {
            assert!(text.parse::<VersionRange>().is_err(), "{text}");
        }
        assert_eq!(
            serde_json::from_str::<VersionRange>("3").expect("one"),
            "3".parse().expect("one")
        );
    }
}
