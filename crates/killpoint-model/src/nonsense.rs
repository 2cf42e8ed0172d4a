//! What makes no sense in something that can be read, and where in it.

use std::fmt;

/// A part that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonsense {
    /// Its path, as `faults[0].when`; empty for the whole.
    pub at: String,
    /// What is wrong, and what to write.
    pub why: String,
}

impl Nonsense {
    /// Of the part at a path.
    pub fn new(at: impl Into<String>, why: impl Into<String>) -> Self {
        Nonsense { at: at.into(), why: why.into() }
    }

    /// The same, seen from whoever holds the part at this path.
    #[must_use]
    pub fn within(self, holder: &str) -> Self {
        let dot = if self.at.is_empty() || self.at.starts_with('[') { "" } else { "." };
        Nonsense { at: format!("{holder}{dot}{}", self.at), why: self.why }
    }
}

impl fmt::Display for Nonsense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at.as_str() {
            "" => f.write_str(&self.why),
            at => write!(f, "{at}: {}", self.why),
        }
    }
}

impl std::error::Error for Nonsense {}

/// Refuses the first row that is true of something: whether it is, where, and what to write.
///
/// # Errors
/// That row.
pub fn refuse(rows: &[(bool, &str, &str)]) -> Result<(), Nonsense> {
    match rows.iter().find(|(is_so, ..)| *is_so) {
        Some((_, at, why)) => Err(Nonsense::new(*at, *why)),
        None => Ok(()),
    }
}

/// Refuses a command without a program.
///
/// # Errors
/// If there is none.
pub fn refuse_no_program(at: &str, command: &[String]) -> Result<(), Nonsense> {
    let is_missing = command.first().is_none_or(|program| program.trim().is_empty());
    refuse(&[(is_missing, at, "it is empty: name a program")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_named_from_the_outside_in() {
        let inner = Nonsense::new("exit", "it is empty");
        let outer = inner.within("tolerance").within("invariants[0].command");
        assert_eq!(outer.to_string(), "invariants[0].command.tolerance.exit: it is empty");
        assert_eq!(Nonsense::new("[1]", "x").within("method").at, "method[1]");
        assert_eq!(Nonsense::new("", "x").within("who").at, "who");
    }
}
