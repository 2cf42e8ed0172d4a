//! Selectors: which processes of a target are meant, by what is known of a process; and roles, the
//! names that a target's processes go by.
//!
//! On the command line a part of a selector is a word, a colon and what is asked (`comm:NAME`); in a
//! file a selector is a map of the same words: `worker: { cmdline: "--type=worker" }`. Further ones
//! are further fields of [`Selector`] and further questions of [`Facts`]. Which of the selected ones
//! a fault strikes is said by [`Who`].

mod who;

pub use who::{Age, Percent, PercentError, Pick, Who};

use regex_lite::Regex;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Most bytes of a role's name.
pub const ROLE_NAME_LENGTH_MAX: usize = 64;

/// What is asked of a process. Everything that is given must hold; one that asks nothing selects
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Selector {
    /// Found anywhere in the command line: the arguments, the program's own name first, with single
    /// blanks between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub cmdline: Option<Pattern>,
    /// The file that is executed: the whole path or, without a slash, its last part. For a script
    /// that is its interpreter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    /// The kernel's name of the process, at most 15 bytes long: that of its program, until it gives
    /// itself another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// The number of the process, for one that is running already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The TCP port that it listens on, at any address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The user with whose rights it runs, by name or by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The control group that it is in, or one above it, in any hierarchy: as `/proc/PID/cgroup`
    /// names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// A variable of the environment that it was started with: `NAME`, or `NAME=VALUE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// How far below the target's supervisor it stands: 1 for what the supervisor started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// What is asked of its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children_of: Option<Box<Selector>>,
}

impl Selector {
    /// Whether anything is asked, and nothing of it is empty: an empty text would select every process.
    pub fn asks_something(&self) -> bool {
        let texts = [
            self.cmdline.as_ref().map(Pattern::to_string),
            self.executable.clone(),
            self.comm.clone(),
            self.user.clone(),
            self.cgroup.clone(),
            self.environment.clone(),
        ];
        let is_said = texts.iter().flatten().next().is_some()
            || self.pid.is_some()
            || self.port.is_some()
            || self.depth.is_some()
            || self.children_of.is_some();
        let is_whole = texts.iter().flatten().all(|text| !text.is_empty());
        is_said && is_whole && self.children_of.as_ref().is_none_or(|it| it.asks_something())
    }
}

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

/// What is known of a process at this moment; none where it cannot be read. Each is asked only if a
/// selector needs it, so an implementation may go and look.
pub trait Facts {
    /// Its arguments, with single blanks between them.
    fn cmdline(&self) -> Option<String>;
    /// The path of the file that it executes.
    fn executable(&self) -> Option<String>;
    /// The kernel's name of it.
    fn comm(&self) -> Option<String>;
    /// Its number.
    fn pid(&self) -> Option<i32> {
        None
    }
    /// Whether it listens on a TCP port.
    fn listens_on(&self, _port: u16) -> Option<bool> {
        None
    }
    /// Whether it runs with the rights of a user, named or numbered.
    fn runs_as(&self, _user: &str) -> Option<bool> {
        None
    }
    /// Its control groups, one in each hierarchy.
    fn cgroups(&self) -> Option<Vec<String>> {
        None
    }
    /// The value of a variable that it was started with.
    fn environment(&self, _name: &str) -> Option<String> {
        None
    }
    /// How far below the target's supervisor it stands.
    fn depth(&self) -> Option<u32> {
        None
    }
    /// Its parent.
    fn parent(&self) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}

impl Selector {
    /// Whether all that is asked is true of a process. What cannot be read is not. Cheap questions
    /// come first, and nothing more is asked after the first that is not true.
    pub fn selects(&self, process: &impl Facts) -> bool {
        let is = |answer: Option<bool>| answer == Some(true);
        *self != Selector::default()
            && self.pid.is_none_or(|wanted| process.pid() == Some(wanted))
            && self.depth.is_none_or(|wanted| process.depth() == Some(wanted))
            && self.comm.as_ref().is_none_or(|wanted| process.comm().as_ref() == Some(wanted))
            && self.executable.as_ref().is_none_or(|wanted| {
                process.executable().is_some_and(|path| is_path_or_last_part(&path, wanted))
            })
            && self.user.as_ref().is_none_or(|wanted| is(process.runs_as(wanted)))
            && self.cmdline.as_ref().is_none_or(|wanted| {
                process.cmdline().is_some_and(|cmdline| wanted.is_found_in(&cmdline))
            })
            && self.cgroup.as_ref().is_none_or(|wanted| {
                let groups = process.cgroups().unwrap_or_default();
                groups.iter().any(|group| is_within(group, wanted))
            })
            && self.environment.as_ref().is_none_or(|wanted| match wanted.split_once('=') {
                Some((name, value)) => process.environment(name).as_deref() == Some(value),
                None => process.environment(wanted).is_some(),
            })
            && self.port.is_none_or(|wanted| is(process.listens_on(wanted)))
            && self
                .children_of
                .as_ref()
                .is_none_or(|wanted| process.parent().is_some_and(|parent| wanted.selects(&parent)))
    }

    /// Whether it asks how far below the target's supervisor a process stands.
    pub fn asks_depth(&self) -> bool {
        self.depth.is_some() || self.children_of.as_ref().is_some_and(|parent| parent.asks_depth())
    }

    /// Adds what another selector asks; false, and nothing changed, if both ask the same question.
    #[must_use]
    fn join(&mut self, other: Selector) -> bool {
        let mut joined = self.clone();
        let mut twice = false;
        macro_rules! take {
            ($($field:ident)*) => {$(
                match (&joined.$field, other.$field) {
                    (Some(_), Some(_)) => twice = true,
                    (None, Some(asked)) => joined.$field = Some(asked),
                    (_, None) => {}
                }
            )*};
        }
        take!(cmdline executable comm pid port user cgroup environment depth children_of);
        if !twice {
            *self = joined;
        }
        !twice
    }

    /// Whether only things are asked that the recorder sees of every process at every call.
    pub fn is_recordable(&self) -> bool {
        let Selector { cmdline, executable, comm, .. } = self.clone();
        *self == Selector { cmdline, executable, comm, ..Selector::default() }
    }
}

/// A path, or its last part.
fn is_path_or_last_part(path: &str, wanted: &str) -> bool {
    path == wanted || path.rsplit('/').next() == Some(wanted)
}

/// Whether a control group is another one or below it.
fn is_within(group: &str, wanted: &str) -> bool {
    let wanted = wanted.trim_end_matches('/');
    group.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

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
            "pid" => selector.pid = Some(number(text, rest)?),
            "port" => selector.port = Some(number(text, rest)?),
            "user" => selector.user = Some(rest.to_owned()),
            "cgroup" => selector.cgroup = Some(rest.to_owned()),
            "environment" => selector.environment = Some(rest.to_owned()),
            "depth" => selector.depth = Some(number(text, rest)?),
            "children-of" => selector.children_of = Some(Box::new(rest.parse()?)),
            _ => return Err(unknown()),
        }
        Ok(selector)
    }
}

/// A number that fits and is not 0: no process, port or depth is.
fn number<T: FromStr + Default + PartialEq>(text: &str, rest: &str) -> Result<T, SelectorError> {
    let number = rest.parse().ok().filter(|number| *number != T::default());
    number.ok_or_else(|| SelectorError::Number(text.to_owned()))
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

    /// Reads `NAME=SELECTOR` for each role of a recording; the same name twice asks for both.
    ///
    /// # Errors
    /// The first text that is no role.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, SelectorError> {
        let mut roles = Roles::default();
        for text in texts.iter().map(AsRef::as_ref) {
            let (name, selector) =
                text.split_once('=').ok_or_else(|| SelectorError::Form(text.to_owned()))?;
            let parsed: Selector = selector.parse()?;
            if !parsed.is_recordable() {
                return Err(SelectorError::NotRecordable(selector.to_owned()));
            }
            roles.add(name, parsed)?;
        }
        Ok(roles)
    }

    /// The selector of a role.
    pub fn named(&self, name: &str) -> Option<&Selector> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, selector)| selector)
    }

    /// The role of a process.
    pub fn of(&self, process: &impl Facts) -> Option<&str> {
        self.0.iter().find(|(_, selector)| selector.selects(process)).map(|(name, _)| name.as_str())
    }

    /// Whether a process has this role.
    pub fn has(&self, process: &impl Facts, name: &str) -> bool {
        // Those that stand before it must not select the process; those behind it do not matter.
        let first =
            self.0.iter().find(|(other, selector)| other == name || selector.selects(process));
        first.is_some_and(|(other, selector)| other == name && selector.selects(process))
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
        assert!(roles.has(&WORKER, "two") && !roles.has(&WORKER, "all"));
        assert!(!roles.has(&WORKER, "none") && !roles.has(&WORKER, "unknown"));
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
    fn questions_beyond_the_program_are_asked_of_the_process_and_its_parent() {
        struct Server(u32);
        impl Facts for Server {
            fn cmdline(&self) -> Option<String> {
                Some(format!("server {}", self.0))
            }
            fn executable(&self) -> Option<String> {
                None
            }
            fn comm(&self) -> Option<String> {
                None
            }
            fn pid(&self) -> Option<i32> {
                Some(70 + self.0 as i32)
            }
            fn listens_on(&self, port: u16) -> Option<bool> {
                Some(port == 80)
            }
            fn runs_as(&self, user: &str) -> Option<bool> {
                Some(user == "www" || user == "33")
            }
            fn cgroups(&self) -> Option<Vec<String>> {
                Some(vec!["/".to_owned(), "/web/server".to_owned()])
            }
            fn environment(&self, name: &str) -> Option<String> {
                (name == "MODE").then(|| "live=1".to_owned())
            }
            fn depth(&self) -> Option<u32> {
                Some(self.0)
            }
            fn parent(&self) -> Option<Self> {
                (self.0 > 1).then(|| Server(self.0 - 1))
            }
        }
        let selects = |text: &str| text.parse::<Selector>().expect(text).selects(&Server(2));
        for text in [
            "pid:72",
            "port:80",
            "user:www",
            "cgroup:/web",
            "cgroup:/web/server",
            "cgroup:/",
            "environment:MODE",
            "environment:MODE=live=1",
            "depth:2",
            "children-of:cmdline:r 1$",
            "children-of:depth:1",
        ] {
            assert!(selects(text), "{text}");
        }
        for text in [
            "pid:71",
            "port:81",
            "user:me",
            "cgroup:/we",
            "cgroup:/web/server/x",
            "environment:MOD",
            "environment:MODE=live",
            "depth:1",
            "children-of:cmdline:r 2$",
            "children-of:children-of:pid:70",
        ] {
            assert!(!selects(text), "{text}");
        }
    }

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
        let roles = Roles::parse(&["w=port:80"]);
        assert_eq!(roles, Err(SelectorError::NotRecordable("port:80".to_owned())));
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
