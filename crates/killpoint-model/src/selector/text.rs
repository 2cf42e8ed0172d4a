//! A selector as it stands on the command line: a word, a colon and what is asked (`comm:NAME`).

use super::Selector;
use super::roles::ROLE_NAME_LENGTH_MAX;
use crate::nonsense::Nonsense;
use std::fmt;
use std::str::FromStr;

/// The words of a selector on the command line, as an error names them.
const WORDS: &str = "cmdline:PATTERN, executable:PATH, comm:NAME, pid:NUMBER, port:NUMBER, \
                     user:NAME, cgroup:PATH, environment:NAME[=VALUE], depth:NUMBER or \
                     children-of:SELECTOR";

impl fmt::Display for Selector {
    /// As on the command line, with a blank between its parts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Selector { cmdline, executable, comm, pid, port, user, cgroup, .. } = self;
        let parts = [
            cmdline.as_ref().map(|pattern| format!("cmdline:{pattern}")),
            executable.as_ref().map(|path| format!("executable:{path}")),
            comm.as_ref().map(|name| format!("comm:{name}")),
            pid.map(|number| format!("pid:{number}")),
            port.map(|number| format!("port:{number}")),
            user.as_ref().map(|name| format!("user:{name}")),
            cgroup.as_ref().map(|path| format!("cgroup:{path}")),
            self.environment.as_ref().map(|variable| format!("environment:{variable}")),
            self.depth.map(|number| format!("depth:{number}")),
            self.children_of.as_ref().map(|parent| format!("children-of:{parent}")),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
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
            "pid" => selector.pid = Some(number(text, rest)?),
            "port" => selector.port = Some(number(text, rest)?),
            "user" => selector.user = Some(rest.to_owned()),
            "cgroup" => selector.cgroup = Some(rest.to_owned()),
            "environment" => selector.environment = Some(rest.to_owned()),
            "depth" => selector.depth = Some(number(text, rest)?),
            "children-of" => selector.children_of = Some(Box::new(rest.parse()?)),
            _ => return Err(unknown()),
        }
        match selector.check() {
            Ok(()) => Ok(selector),
            Err(Nonsense { why, .. }) => {
                Err(SelectorError::Never { text: text.to_owned(), problem: why })
            }
        }
    }
}

/// A number that fits and is not 0: no process, port or depth is.
fn number<T: FromStr + Default + PartialEq>(text: &str, rest: &str) -> Result<T, SelectorError> {
    let number = rest.parse().ok().filter(|number| *number != T::default());
    number.ok_or_else(|| SelectorError::Number(text.to_owned()))
}

/// Why a text is no selector or no role.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectorError {
    /// The word before the colon is none of the known ones.
    #[error("`{0}` is no selector: write {WORDS}")]
    Unknown(String),
    /// A number was expected behind the colon.
    #[error("`{0}` selects nothing: a number that fits must follow the colon")]
    Number(String),
    /// A role of a recording asks what the recorder does not look at.
    #[error(
        "`{0}` cannot tell the roles of a recording apart: take cmdline:PATTERN, executable:PATH \
         or comm:NAME"
    )]
    NotRecordable(String),
    /// Nothing follows the colon: it would select everything, or nothing.
    #[error("`{0}` selects nothing: something must follow the colon")]
    Empty(String),
    /// A pattern of no characters.
    #[error("the pattern is empty, so that it is found in everything: write what is to be found")]
    EmptyPattern,
    /// The pattern is no regular expression.
    #[error("`{text}` is no regular expression: {problem}")]
    Pattern {
        /// The pattern.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No name of a file fits it.
    #[error("`{text}` is no pattern of names: {problem}; write it as *.tmp, or [[] for a bracket")]
    Glob {
        /// The pattern.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No process can be what is asked.
    #[error("`{text}` selects nothing: {problem}")]
    Never {
        /// The selector.
        text: String,
        /// Why.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_written_as_it_is_read() {
        for text in [
            "pid:7",
            "port:80",
            "user:www",
            "cgroup:/a",
            "environment:A=b",
            "depth:1",
            "children-of:comm:x",
        ] {
            let selector: Selector = text.parse().expect(text);
            assert_eq!(selector.to_string(), text);
            let json = serde_json::to_string(&selector).unwrap();
            assert_eq!(serde_json::from_str::<Selector>(&json).unwrap(), selector);
        }
        for text in ["pid:0", "pid:x", "port:65536", "depth:-1"] {
            let error = text.parse::<Selector>().expect_err(text);
            assert_eq!(error, SelectorError::Number(text.to_owned()));
        }
        for text in
            ["comm:longer-than-the-kernel", "executable:bin/app", "cgroup:web", "children-of:pid:0"]
        {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
