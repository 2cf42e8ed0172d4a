//! Roles: the names that a target's processes go by.

use super::{Facts, Selector, SelectorError};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Most bytes of a role's name.
pub const ROLE_NAME_LENGTH_MAX: usize = 64;

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
    use super::super::tests::{Process, WORKER};
    use super::*;

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

    #[test]
    fn a_role_asks_only_what_a_recorder_sees_of_every_process() {
        let roles = Roles::parse(&["w=port:80"]);
        assert_eq!(roles, Err(SelectorError::NotRecordable("port:80".to_owned())));
    }
}
