//! Whom a fault strikes: of the processes that a selector selects, how many, which, and what is
//! spared.

use super::Selector;
use crate::nonsense::{Nonsense, refuse};
use crate::seed::Generator;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Whom a fault strikes. The order of things: the processes that `role` and `select` mean; without
/// those that are spared or never to be struck; of these the newest or oldest, if that is asked for;
/// then the pick; then, with `tree`, all that descends from the picked ones and is not spared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Who {
    /// The role that they have. Neither this nor `select`: every process of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// At a crash point: the process that makes the call, and none that is selected otherwise.
    #[serde(default, deserialize_with = "only_true", skip_serializing_if = "is_default")]
    pub caller: bool,
    /// What is asked of them, besides their role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<Selector>,
    /// Only the one that began last, or first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Age>,
    /// How many of them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pick: Pick,
    /// Whether all that descends from a picked process is struck with it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tree: bool,
    /// Roles that are not struck. What descends from a spared process is not spared by that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sparing: Vec<String>,
    /// Processes that are never struck, whatever else selects them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<Selector>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A word that says something only where it is true.
fn only_true<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match bool::deserialize(deserializer)? {
        true => Ok(true),
        false => Err(D::Error::custom("false says nothing: write true, or leave it out")),
    }
}

impl Who {
    /// Whether it means somebody.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn check(&self) -> Result<(), Nonsense> {
        let is_nobody = match self.pick {
            Pick::Fixed(number) => number == 0,
            Pick::FixedPercent(percent) | Pick::RandomMaxPercent(percent) => percent.0 == 0,
            Pick::One | Pick::All => false,
        };
        let is_spared = self.role.as_ref().is_some_and(|role| self.sparing.contains(role));
        refuse(&[
            (is_nobody, "pick", "it picks nobody: write a number greater than 0"),
            (is_spared, "sparing", "it spares the very `role` that is meant, and nobody is left"),
            (
                self.caller && self.select.is_some(),
                "select",
                "the caller is one process: leave `select` out",
            ),
        ])?;
        if let Some(selector) = &self.select {
            selector.check().map_err(|it| it.within("select"))?;
        }
        for (index, selector) in self.never.iter().enumerate() {
            selector.check().map_err(|it| it.within(&format!("never[{index}]")))?;
        }
        Ok(())
    }
}

/// Which end of the order of birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Age {
    /// The one that began last.
    Newest,
    /// The one that began first.
    Oldest,
}

/// How many of the selected processes are struck: the modes of Chaos Mesh.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// One of them, drawn.
    One,
    /// All of them.
    #[default]
    All,
    /// That many of them, drawn; all where there are fewer.
    Fixed(u32),
    /// That part of them, drawn, rounded down.
    FixedPercent(Percent),
    /// A part that is drawn from 0 to this one, whole percents; then that part of them.
    RandomMaxPercent(Percent),
}

impl Pick {
    /// Which of `count` processes in their order of birth, as ascending indexes.
    pub fn choose(self, count: usize, generator: &mut Generator) -> Vec<usize> {
        let part = |percent: u64| count.saturating_mul(percent as usize) / 100;
        let wanted = match self {
            Pick::One => 1,
            Pick::All => return (0..count).collect(),
            Pick::Fixed(number) => number as usize,
            Pick::FixedPercent(percent) => part(percent.0.into()),
            Pick::RandomMaxPercent(most) => part(generator.below(u64::from(most.0) + 1)),
        };
        generator.sample(count, wanted)
    }
}

/// A number of percents, from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

/// More than everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} percent is more than there is: write a number from 0 to 100")]
pub struct PercentError(u8);

impl TryFrom<u8> for Percent {
    type Error = PercentError;

    fn try_from(number: u8) -> Result<Self, PercentError> {
        if number <= 100 { Ok(Percent(number)) } else { Err(PercentError(number)) }
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> u8 {
        percent.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn choose(pick: &str, count: usize, seed: u64) -> Vec<usize> {
        let pick: Pick = serde_json::from_str(pick).expect(pick);
        pick.choose(count, &mut Generator::new(Seed(seed)))
    }

    #[test]
    fn picks_take_as_many_as_they_say() {
        for seed in 0..50 {
            assert_eq!(choose("\"one\"", 7, seed).len(), 1);
            assert_eq!(choose("\"all\"", 3, seed), [0, 1, 2]);
            assert_eq!(choose(r#"{"fixed":3}"#, 7, seed).len(), 3);
            assert_eq!(choose(r#"{"fixed":9}"#, 2, seed), [0, 1]);
            assert_eq!(choose(r#"{"fixed-percent":50}"#, 7, seed).len(), 3);
            assert!(choose(r#"{"random-max-percent":50}"#, 7, seed).len() <= 3);
            for pick in ["\"one\"", "\"all\"", r#"{"fixed":3}"#, r#"{"fixed-percent":100}"#] {
                assert!(choose(pick, 0, seed).is_empty(), "{pick}");
            }
        }
        let drawn: Vec<usize> =
            (0..50).map(|seed| choose(r#"{"random-max-percent":100}"#, 9, seed).len()).collect();
        assert!(drawn.contains(&0) && drawn.iter().any(|count| *count > 6), "{drawn:?}");
    }

    #[test]
    fn the_picks_of_a_seed_are_the_golden_ones() {
        // Computed by another program from the raw stream of ChaCha8.
        assert_eq!(choose("\"one\"", 10, 42), [7]);
        assert_eq!(choose(r#"{"fixed":3}"#, 10, 42), [5, 6, 7]);
        assert_eq!(choose(r#"{"random-max-percent":50}"#, 10, 42), [2, 8]);
    }

    #[test]
    fn a_choice_is_strict_and_read_back_as_written() {
        let text = r#"{"role":"worker","age":"newest","pick":{"fixed-percent":50},"tree":true,
                       "sparing":["supervisor"],"never":[{"port":22}]}"#;
        let who: Who = serde_json::from_str(text).expect("a choice");
        assert_eq!((who.age, who.tree), (Some(Age::Newest), true));
        let again = serde_json::to_string(&who).expect("plain data");
        assert_eq!(serde_json::from_str::<Who>(&again).expect("the same"), who);
        assert_eq!(serde_json::from_str::<Who>("{}").expect("a choice"), Who::default());
        assert_eq!(serde_json::to_string(&Who::default()).expect("plain data"), "{}");
        for wrong in [
            r#"{"rol":"a"}"#,
            r#"{"pick":{"fixed-percent":101}}"#,
            r#"{"pick":"two"}"#,
            r#"{"caller":false}"#,
        ] {
            assert!(serde_json::from_str::<Who>(wrong).is_err(), "{wrong}");
        }
    }
}
