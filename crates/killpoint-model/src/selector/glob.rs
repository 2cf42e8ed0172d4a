//! Patterns of names of files.

use super::SelectorError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How names are held against a pattern: a slash stands for itself alone.
const OPTIONS: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// A pattern of names of files: `*` stands for anything within a name, `?` for one character, `[ab]`
/// for one of these, `**` for any directories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob(glob::Pattern);

impl Glob {
    /// The pattern.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether a name fits it.
    pub fn fits(&self, name: &str) -> bool {
        self.0.matches_with(name, OPTIONS)
    }
}

impl FromStr for Glob {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let error = |problem: &str| SelectorError::Glob {
            text: text.to_owned(),
            problem: problem.to_owned(),
        };
        if text.is_empty() {
            return Err(error("it is empty"));
        }
        glob::Pattern::new(text).map(Glob).map_err(|problem| error(problem.msg))
    }
}

impl TryFrom<String> for Glob {
    type Error = SelectorError;

    fn try_from(text: String) -> Result<Self, SelectorError> {
        text.parse()
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> String {
        glob.as_str().to_owned()
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_within_a_name() {
        let fits = |pattern: &str, name: &str| pattern.parse::<Glob>().expect(pattern).fits(name);
        for (pattern, name) in [
            ("*.tmp", "a.tmp"),
            ("*.tmp", ".tmp"),
            ("a*b*c", "axbbc"),
            ("*", "x"),
            ("a", "a"),
            ("d/*.x", "d/y.x"),
            ("lock.[0-9]", "lock.7"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.tmp", "a.tmp2"), ("a", "ab"), ("*.x", "d/y.x"), ("a*a", "a")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        for wrong in ["", "[", "a**b"] {
            assert!(wrong.parse::<Glob>().is_err(), "{wrong}");
        }
    }
}
