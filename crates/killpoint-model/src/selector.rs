//! Selectors: which processes of a target are meant, by what is known of a process; and roles, the
//! names that a target's processes go by.
//!
//! In a file a selector is a map: `worker: { cmdline: "--type=worker" }`; on the command line it is
//! written with the same words (`text`). Further ones are further fields of [`Selector`] and further
//! questions of [`Facts`]. Which of the selected ones a fault strikes is said by [`Who`].

mod glob;
mod pattern;
mod roles;
mod text;
mod who;

pub use glob::Glob;
pub use pattern::Pattern;
pub use roles::{ROLE_NAME_LENGTH_MAX, Roles, is_role_name};
pub use text::SelectorError;
pub use who::{Age, Percent, PercentError, Pick, Who};

use crate::nonsense::{Nonsense, refuse};
use serde::{Deserialize, Serialize};

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

/// Most bytes of the kernel's name of a process.
const COMM_LENGTH_MAX: usize = 15;

impl Selector {
    /// Whether a process can be what is asked.
    ///
    /// # Errors
    /// The first question that has no answer; or that nothing is asked.
    pub fn check(&self) -> Result<(), Nonsense> {
        let is = |text: &Option<String>, is_wrong: fn(&str) -> bool| {
            text.as_deref().is_some_and(is_wrong)
        };
        let is_within_a_path = |path: &str| path.contains('/') && !path.starts_with('/');
        let empty = "it is empty, and selects nothing: ask for something";
        refuse(&[
            (
                *self == Selector::default(),
                "",
                "it selects nothing: ask for something, as in `cmdline: --worker`",
            ),
            (is(&self.executable, str::is_empty), "executable", empty),
            (
                is(&self.executable, is_within_a_path),
                "executable",
                "no file is called so: write the whole path, or the name behind its last slash",
            ),
            (is(&self.comm, str::is_empty), "comm", empty),
            (
                is(&self.comm, |it| it.len() > COMM_LENGTH_MAX),
                "comm",
                "the kernel keeps 15 bytes of a name: write the first 15, or take `executable`",
            ),
            (self.pid.is_some_and(|it| it <= 0), "pid", "a process has a number from 1 on"),
            (self.port == Some(0), "port", "a port has a number from 1 on"),
            (is(&self.user, str::is_empty), "user", empty),
            (
                is(&self.cgroup, |it| !it.starts_with('/')),
                "cgroup",
                "a control group begins with a slash, as in /system.slice",
            ),
            (
                is(&self.environment, |it| it.is_empty() || it.starts_with('=')),
                "environment",
                "it names no variable: write NAME, or NAME=VALUE",
            ),
            (self.depth == Some(0), "depth", "what the supervisor started has depth 1"),
        ])?;
        match &self.children_of {
            Some(parent) => parent.check().map_err(|it| it.within("children-of")),
            None => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) struct Process(
        pub(super) &'static str,
        pub(super) &'static str,
        pub(super) &'static str,
    );

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

    pub(super) const WORKER: Process = Process("app --type=worker -n 2", "/usr/bin/app", "app");

    fn selects(text: &str) -> bool {
        text.parse::<Selector>().expect(text).selects(&WORKER)
    }

    #[test]
    fn each_kind_of_selector_looks_at_its_own_part_of_a_process() {
        assert!(selects("cmdline:--type=worker"));
        assert!(selects("cmdline:^app .* 2$"));
        assert!(!selects("cmdline:^worker"));
        assert!(selects("executable:/usr/bin/app") && selects("executable:app"));
        assert!(!selects("executable:/bin/app") && !selects("executable:/usr/bin/ap"));
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
}
