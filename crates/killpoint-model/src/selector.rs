//! Selectors: which processes of a target are meant, by what is known of a process; and roles, the
//! names that a target's processes go by.
//!
//! On the command line a part of a selector is `cmdline:PATTERN`, `executable:PATH` or `comm:NAME`;
//! in a file a selector is a map of the same words: `worker: { cmdline: "--type=worker" }`. Further
//! ones are further fields of [`Selector`] and further questions of [`Facts`].

use regex_lite::Regex;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Most bytes of a role's name.
pub const ROLE_NAME_LENGTH_MAX: usize = 64;

/// What is asked of a process. Everything that is given must hold; one that asks nothing selects
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Selector {
    /// Found anywhere in the command line: the arguments, the program's own name first, with single
    /// blanks between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<Pattern>,
    /// The file that is executed: the whole path or, without a slash, its last part. For a script
    /// that is its interpreter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    /// The kernel's name of the process, at most 15 bytes long: that of its program, until it gives
    /// itself another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
}

impl fmt::Display for Selector {
    /// As on the command line, with a blank between its parts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.cmdline.as_ref().map(|pattern| format!("cmdline:{pattern}")),
            self.executable.as_ref().map(|path| format!("executable:{path}")),
            self.comm.as_ref().map(|name| format!("comm:{name}")),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

/// What is known of a process at this moment; none where it cannot be read. Each is asked only if a
/// selector needs it, so an implementation may go and look.
pub trait Facts {
    /// Its arguments, with single blanks between them.
    fn cmdline(&self) -> Option<String>;
    /// The path of the file that it executes.
    fn executable(&self) -> Option<String>;
    /// The kernel's name of it.
    fn comm(&self) -> Option<String>;
}

impl Selector {
    /// Whether all that is asked is true of a process. What cannot be read is not.
    pub fn selects(&self, process: &impl Facts) -> bool {
        let cmdline = self
            .cmdline
            .as_ref()
            .map(|wanted| process.cmdline().is_some_and(|cmdline| wanted.0.is_match(&cmdline)));
        let executable = self.executable.as_ref().map(|wanted| {
            process.executable().is_some_and(|path| {
                path == *wanted || path.rsplit('/').next() == Some(wanted.as_str())
            })
        });
        let comm =
            self.comm.as_ref().map(|wanted| process.comm().is_some_and(|comm| comm == *wanted));
        let mut answers = [cmdline, executable, comm].into_iter().flatten().peekable();
        answers.peek().is_some() && answers.all(|answer| answer)
    }

    /// Adds what another selector asks; false, and nothing changed, if both ask the same question.
    #[must_use]
    fn join(&mut self, other: Selector) -> bool {
        let twice = self.cmdline.is_some() && other.cmdline.is_some()
            || self.executable.is_some() && other.executable.is_some()
            || self.comm.is_some() && other.comm.is_some();
        if !twice {
            self.cmdline = self.cmdline.take().or(other.cmdline);
            self.executable = self.executable.take().or(other.executable);
            self.comm = self.comm.take().or(other.comm);
        }
        !twice
    }
}

/// A regular expression, found anywhere in a text unless it says `^` or `$`.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl FromStr for Pattern {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Regex::new(text).map(Pattern).map_err(|source| SelectorError::Pattern {
            text: text.to_owned(),
            problem: source.to_string(),
        })
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

/// Why a text is no selector or no role.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectorError {
    /// The word before the colon is none of the known ones.
    #[error("`{0}` is no selector: write cmdline:PATTERN, executable:PATH or comm:NAME")]
    Unknown(String),
    /// Nothing follows the colon: it would select everything, or nothing.
    #[error("`{0}` selects nothing: something must follow the colon")]
    Empty(String),
    /// The pattern is no regular expression.
    #[error("`{text}` is no regular expression: {problem}")]
    Pattern {
        /// The pattern.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Not of the form `NAME=SELECTOR`.
    #[error("`{0}` is no role: write NAME=SELECTOR, as in worker=cmdline:--type=worker")]
    Form(String),
    /// The name cannot stand in an address.
    #[error(
        "`{0}` cannot be the name of a role: take letters, digits, `-` and `_`, at most \
         {ROLE_NAME_LENGTH_MAX} of them"
    )]
    Name(String),
    /// A role asks the same question twice.
    #[error(
        "the role {0} has two selectors of one kind; both would have to hold: write one pattern"
    )]
    Twice(String),
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let unknown = || SelectorError::Unknown(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(unknown)?;
        if rest.is_empty() {
            return Err(SelectorError::Empty(text.to_owned()));
        }
        let mut selector = Selector::default();
        match kind {
            "cmdline" => selector.cmdline = Some(rest.parse()?),
            "executable" => selector.executable = Some(rest.to_owned()),
            "comm" => selector.comm = Some(rest.to_owned()),
            _ => return Err(unknown()),
        }
        Ok(selector)
    }
}

/// Whether a text can be the name of a role: it stands behind the `@` of an address.
pub fn is_role_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=ROLE_NAME_LENGTH_MAX).contains(&text.len()) && text.chars().all(is_part)
}

/// The roles of a target, in the order in which they were given: a process has the first whose
/// selector selects it, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles(Vec<(String, Selector)>);

impl Roles {
    /// Adds a role, or one more thing to ask for one that is there.
    ///
    /// # Errors
    /// If the name cannot stand in an address, or the role already asks that.
    pub fn add(&mut self, name: &str, selector: Selector) -> Result<(), SelectorError> {
        if !is_role_name(name) {
            return Err(SelectorError::Name(name.to_owned()));
        }
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some((_, asked)) => match asked.join(selector) {
                true => Ok(()),
                false => Err(SelectorError::Twice(name.to_owned())),
            },
            None => {
                self.0.push((name.to_owned(), selector));
                Ok(())
            }
        }
    }

    /// Reads `NAME=SELECTOR` for each role; the same name twice asks for both.
    ///
    /// # Errors
    /// The first text that is no role.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, SelectorError> {
        let mut roles = Roles::default();
        for text in texts.iter().map(AsRef::as_ref) {
            let (name, selector) =
                text.split_once('=').ok_or_else(|| SelectorError::Form(text.to_owned()))?;
            roles.add(name, selector.parse()?)?;
        }
        Ok(roles)
    }

    /// The role of a process.
    pub fn of(&self, process: &impl Facts) -> Option<&str> {
        self.0.iter().find(|(_, selector)| selector.selects(process)).map(|(name, _)| name.as_str())
    }

    /// Whether the target has no roles.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The roles with their selectors.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Selector)> {
        self.0.iter().map(|(name, selector)| (name.as_str(), selector))
    }
}

impl Serialize for Roles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Roles;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from the names of roles to selectors")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Roles, M::Error> {
                let mut roles = Roles::default();
                while let Some((name, selector)) = map.next_entry::<String, Selector>()? {
                    roles.add(&name, selector).map_err(serde::de::Error::custom)?;
                }
                Ok(roles)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Process(&'static str, &'static str, &'static str);

    impl Facts for Process {
        fn cmdline(&self) -> Option<String> {
            Some(self.0.to_owned())
        }

        fn executable(&self) -> Option<String> {
            Some(self.1.to_owned())
        }

        fn comm(&self) -> Option<String> {
            Some(self.2.to_owned())
        }
    }

    const WORKER: Process = Process("app --type=worker -n 2", "/usr/bin/app", "app");

    fn selects(text: &str) -> bool {
        text.parse::<Selector>().expect(text).selects(&WORKER)
    }

    #[test]
    fn each_kind_of_selector_looks_at_its_own_part_of_a_process() {
        assert!(selects("cmdline:--type=worker"));
        assert!(selects("cmdline:^app .* 2$"));
        assert!(!selects("cmdline:^worker"));
        assert!(selects("executable:/usr/bin/app") && selects("executable:app"));
        assert!(!selects("executable:bin/app") && !selects("executable:/usr/bin/ap"));
        assert!(selects("comm:app") && !selects("comm:ap"));
        assert!(!Selector::default().selects(&WORKER), "nothing asked selects nothing");
    }

    #[test]
    fn what_cannot_be_read_selects_nothing() {
        struct Hidden;
        impl Facts for Hidden {
            fn cmdline(&self) -> Option<String> {
                None
            }
            fn executable(&self) -> Option<String> {
                None
            }
            fn comm(&self) -> Option<String> {
                None
            }
        }
        for text in ["cmdline:.*", "executable:app", "comm:app"] {
            assert!(!text.parse::<Selector>().expect(text).selects(&Hidden), "{text}");
        }
    }

    #[test]
    fn a_process_has_the_first_role_that_selects_it() {
        let roles =
            Roles::parse(&["two=cmdline:-n 2", "all=executable:app", "none=comm:other"]).unwrap();
        assert_eq!(roles.of(&WORKER), Some("two"));
        assert_eq!(roles.of(&Process("app -n 3", "/usr/bin/app", "app")), Some("all"));
        assert_eq!(roles.of(&Process("sh", "/bin/sh", "sh")), None);
    }

    #[test]
    fn a_role_that_is_given_twice_asks_for_both() {
        let roles = Roles::parse(&["w=cmdline:worker", "w=comm:other"]).unwrap();
        assert_eq!(roles.of(&WORKER), None);
        let roles = Roles::parse(&["w=cmdline:worker", "w=comm:app"]).unwrap();
        assert_eq!(roles.of(&WORKER), Some("w"));
        let twice = Roles::parse(&["w=comm:a", "w=comm:b"]);
        assert_eq!(twice, Err(SelectorError::Twice("w".to_owned())));
    }

    #[test]
    fn texts_that_are_no_role_are_refused() {
        let error = |text: &str| Roles::parse(&[text]).expect_err(text);
        assert!(matches!(error("worker"), SelectorError::Form(_)));
        assert!(matches!(error("worker=--type"), SelectorError::Unknown(_)));
        assert!(matches!(error("worker=cwd:/tmp"), SelectorError::Unknown(_)));
        assert!(matches!(error("worker=comm:"), SelectorError::Empty(_)));
        assert!(matches!(error("worker=cmdline:("), SelectorError::Pattern { .. }));
        for name in ["", "a b", "a@b", "a#1", &"x".repeat(65)] {
            assert!(matches!(error(&format!("{name}=comm:x")), SelectorError::Name(_)), "{name}");
        }
    }

    #[test]
    fn roles_are_read_back_in_the_order_in_which_they_were_written() {
        let roles = Roles::parse(&["z=cmdline:^a", "a=comm:b", "z=executable:/c"]).unwrap();
        let text = serde_json::to_string(&roles).unwrap();
        assert_eq!(text, r#"{"z":{"cmdline":"^a","executable":"/c"},"a":{"comm":"b"}}"#);
        assert_eq!(serde_json::from_str::<Roles>(&text).unwrap(), roles);
        let shown: Vec<String> = roles.iter().map(|(_, selector)| selector.to_string()).collect();
        assert_eq!(shown, ["cmdline:^a executable:/c", "comm:b"]);
        for wrong in [r#"{"a":{"cwd":"/"}}"#, r#"{"a b":{"comm":"x"}}"#, r#"{"a":{"cmdline":"("}}"#]
        {
            assert!(serde_json::from_str::<Roles>(wrong).is_err(), "{wrong}");
        }
    }
}
