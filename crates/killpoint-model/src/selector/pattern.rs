//! Patterns, which are looked for in command lines.

use super::SelectorError;
use regex_lite::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A regular expression, found anywhere in a text unless it says `^` or `$`.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
    /// What every text holds that it is found in: looked for first, as that costs next to nothing.
    literal: String,
}

impl Pattern {
    /// Whether it is found in a text.
    pub fn is_found_in(&self, text: &str) -> bool {
        text.contains(&self.literal) && self.regex.is_match(text)
    }
}

/// The plain text that a pattern begins with; empty where that is not sure.
fn leading_literal(pattern: &str) -> String {
    // With an alternative, or flags such as "ignore case", nothing need be there as it is written.
    if pattern.contains(['|', '(']) {
        return String::new();
    }
    let rest = pattern.strip_prefix('^').unwrap_or(pattern);
    let is_plain = |c: char| !"\\.+*?()|[]{}^$#&~".contains(c);
    let mut literal: String = rest.chars().take_while(|c| is_plain(*c)).collect();
    if rest[literal.len()..].starts_with(['?', '*', '+', '{']) {
        literal.pop();
    }
    literal
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.regex.as_str())
    }
}

impl FromStr for Pattern {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if text.is_empty() {
            return Err(SelectorError::EmptyPattern);
        }
        let regex = Regex::new(text).map_err(|source| SelectorError::Pattern {
            text: text.to_owned(),
            problem: source.to_string(),
        })?;
        Ok(Pattern { regex, literal: leading_literal(text) })
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_beginning_of_a_pattern_never_hides_a_match() {
        for (pattern, literal) in [
            ("^sleep 10[0-9]$", "sleep 10"),
            ("--type=worker", "--type=worker"),
            ("ab?c", "a"),
            ("ab{0}c", "a"),
            ("a|b", ""),
            ("(?i)ab", ""),
            (r"a\.b", "a"),
            (".*", ""),
        ] {
            assert_eq!(leading_literal(pattern), literal, "{pattern}");
        }
        let texts = ["", "a", "ac", "abc", "AB", "a.b", "sleep 105", "app --type=worker -n 2"];
        for pattern in ["ab?c", "ab{0}c", "ab*", "a|b", "(?i)ab", r"a\.b", "^sleep 10[0-9]$", "é?a"]
        {
            let found: Pattern = pattern.parse().expect(pattern);
            for text in texts {
                let expected = Regex::new(pattern).expect(pattern).is_match(text);
                assert_eq!(found.is_found_in(text), expected, "{pattern} in {text}");
            }
        }
    }
}
