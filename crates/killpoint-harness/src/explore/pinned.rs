//! What a program sees of its surroundings and may depend on. It is kept with a run, so that a replay
//! or a resumed run, in another shell or another container, shows the program the same.

use super::options::Options;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;

/// Where the C library looks for the time zone of a machine.
const LOCAL_TIME: &str = "/etc/localtime";

/// The surroundings of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pinned {
    host_name: OsString,
    /// The machine's time zone, such as `Europe/Berlin`; none where its name cannot be told.
    time_zone: Option<String>,
    /// Values of the variables that `--env` named, and of those of locale and time zone.
    variables: BTreeMap<String, String>,
    /// Names of all others.
    others: Vec<String>,
}

impl Pinned {
    /// What this run's program sees.
    pub(super) fn of(options: &Options) -> Self {
        let kept = |name: &OsStr| {
            is_of_locale(name) || options.keep_environment.iter().any(|kept| name == kept.as_str())
        };
        let text = |value: &OsStr| value.to_string_lossy().into_owned();
        let (variables, others): (Vec<_>, Vec<_>) =
            options.environment.iter().partition(|(name, _)| kept(name));
        Pinned {
            host_name: options.host_name(),
            time_zone: time_zone(),
            variables: variables.iter().map(|(name, value)| (text(name), text(value))).collect(),
            others: others.iter().map(|(name, _)| text(name)).collect(),
        }
    }

    /// Makes options, with the environment of this process, show what was seen then. Returns the
    /// names of the variables whose values are neither kept nor here.
    pub(super) fn restore(&self, options: &mut Options) -> Vec<String> {
        options.host_name = Some(self.host_name.clone());
        let environment = &mut options.environment;
        environment.retain(|(name, _)| self.others.iter().any(|other| name == other.as_str()));
        let is_there = |name: &str| environment.iter().any(|(other, _)| other == name);
        let missing = self.others.iter().filter(|name| !is_there(name)).cloned().collect();
        let kept = self.variables.iter().map(|(name, value)| (name.into(), value.into()));
        environment.extend(kept);
        if let Some(zone) = &self.time_zone
            && !self.variables.contains_key("TZ")
            && time_zone().as_ref() != Some(zone)
        {
            environment.push(("TZ".into(), zone.into()));
        }
        missing
    }
}

/// Whether a variable says in which language and time zone a program works.
fn is_of_locale(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"LC_") || [b"LANG".as_slice(), b"LANGUAGE", b"TZ"].contains(&name)
}

/// The time zone of this machine, by the file that stands for it.
fn time_zone() -> Option<String> {
    let path = fs::canonicalize(LOCAL_TIME).ok()?;
    let path = path.to_str()?;
    Some(path.split_once("/zoneinfo/")?.1.to_owned())
}

impl Options {
    /// The name of the machine that the command sees.
    pub(super) fn host_name(&self) -> OsString {
        let real = || OsString::from_vec(rustix::system::uname().nodename().to_bytes().to_vec());
        self.host_name.clone().unwrap_or_else(real)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> Options {
        let mut options = Options::new(["true"]);
        options.keep_environment = vec!["KEPT".to_owned()];
        options.environment =
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        options
    }

    #[test]
    fn another_shell_and_another_machine_look_like_those_of_the_run() {
        let mut then =
            options(&[("LANG", "de_DE.UTF-8"), ("KEPT", "1"), ("SECRET", "x"), ("A", "")]);
        then.host_name = Some("there".into());
        let pinned = Pinned::of(&then);
        let text = serde_json::to_string(&pinned).expect("plain data");
        assert!(
            !text.contains("\"x\""),
            "the value of a variable that nobody named is kept: {text}"
        );
        let mut now = options(&[("LANG", "C"), ("LC_ALL", "C"), ("SECRET", "y"), ("NEW", "1")]);
        assert_eq!(pinned.restore(&mut now), ["A"]);
        assert_eq!(now.host_name(), "there");
        let seen = options(&[("SECRET", "y"), ("KEPT", "1"), ("LANG", "de_DE.UTF-8")]).environment;
        assert_eq!(now.environment, seen);
    }

    #[test]
    fn the_time_zone_of_another_machine_comes_along_unless_one_was_chosen() {
        let zone = |pinned: &Pinned| {
            let mut now = options(&[]);
            pinned.restore(&mut now);
            now.environment.into_iter().find(|(name, _)| name == "TZ").map(|(_, value)| value)
        };
        let mut pinned = Pinned::of(&options(&[]));
        assert_eq!(zone(&pinned), None, "on the same machine nothing has to be said");
        pinned.time_zone = Some("Antarctica/Troll".to_owned());
        assert_eq!(zone(&pinned), Some("Antarctica/Troll".into()));
        let mut pinned = Pinned::of(&options(&[("TZ", "UTC")]));
        pinned.time_zone = Some("Antarctica/Troll".to_owned());
        assert_eq!(zone(&pinned), Some("UTC".into()));
    }
}
