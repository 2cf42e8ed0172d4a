//! Objectives: how good a target has to be over a whole run, in numbers.

mod measurement;

pub use measurement::{Distribution, Measurement, NOT_READ_BACK};

use crate::nonsense::{Nonsense, refuse};
use crate::selector::Percent;
use crate::span::Span;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What is wanted. What is not given is measured and not judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Objectives {
    /// Most acknowledged values that may be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_loss: Option<u64>,
    /// How long a recovery may take: from the strike to readiness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_time: Option<TimeLimits>,
    /// After how many restarts unsaved work is back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsaved_restored: Option<RestartLimits>,
    /// How often it may crash by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash_budget: Option<CrashBudget>,
    /// The share of crashes that have a dump and an event that names a checkpoint, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observability: Option<Percent>,
    /// Most restarts in a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u64>,
}

/// Limits of a distribution of times.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields, default)]
pub struct TimeLimits {
    /// Of the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Span>,
    /// Of the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<Span>,
    /// Of all but the slowest twentieth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95: Option<Span>,
    /// Of every single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Span>,
}

/// Limits of a distribution of numbers of restarts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields, default)]
pub struct RestartLimits {
    /// Of the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<Restarts>,
    /// Of all but the last twentieth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95: Option<Restarts>,
    /// Of every single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Restarts>,
}

/// How often a target may crash by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CrashBudget {
    /// In all runs of one version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_release: Option<u64>,
    /// In an hour of soak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<f64>,
}

impl Objectives {
    /// Whether they ask for something that can be.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn check(&self) -> Result<(), Nonsense> {
        if let Some(TimeLimits { mean, p50, p95, max }) = self.recovery_time {
            let zero = Some(Span::default());
            let instantly = "no target recovers in no time: write a time, as 5s";
            let rows = [("mean", mean), ("p50", p50), ("p95", p95), ("max", max)];
            let zeros = rows.map(|(name, limit)| (limit == zero, name, instantly));
            refuse(&zeros)
                .and_then(|()| check_order(p50, p95, max))
                .and_then(|()| {
                    let is_above = is_above(mean, max);
                    refuse(&[(is_above, "mean", "it is greater than `max`, which no mean is")])
                })
                .and_then(|()| refuse(&[(rows.iter().all(|row| row.1.is_none()), "", NO_LIMIT)]))
                .map_err(|it| it.within("recovery-time"))?;
        }
        if let Some(limits) = self.unsaved_restored {
            let is_empty = limits == RestartLimits::default();
            refuse(&[(is_empty, "", "it asks for nothing: write p50, p95 or max")])
                .and_then(|()| check_order(limits.p50, limits.p95, limits.max))
                .map_err(|it| it.within("unsaved-restored"))?;
        }
        if let Some(budget) = self.crash_budget {
            let is_no_number = budget.per_hour.is_some_and(|it| !it.is_finite() || it < 0.0);
            let is_empty = budget == CrashBudget::default();
            refuse(&[
                (is_empty, "crash-budget", "it asks for nothing: write per-release or per-hour"),
                (
                    is_no_number,
                    "crash-budget.per-hour",
                    "fewer than none cannot be: write a number from 0 on",
                ),
            ])?;
        }
        Ok(())
    }
}

/// What is said of limits of times that are none.
const NO_LIMIT: &str = "it asks for nothing: write mean, p50, p95 or max";

fn is_above<T: PartialOrd>(one: Option<T>, other: Option<T>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one > other)
}

/// A part of a distribution is at most what a larger part is.
fn check_order<T: PartialOrd + Copy>(
    p50: Option<T>,
    p95: Option<T>,
    max: Option<T>,
) -> Result<(), Nonsense> {
    refuse(&[
        (is_above(p50, p95), "p50", "it is greater than `p95`, which no median is"),
        (is_above(p50, max), "p50", "it is greater than `max`, which no median is"),
        (is_above(p95, max), "p95", "it is greater than `max`, which it never is"),
    ])
}

/// A number of restarts: `1 restart`, `3 restarts`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct Restarts(pub u32);

/// Why a text is no number of restarts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no number of restarts: write `1 restart` or `3 restarts`; 1 is the least")]
pub struct RestartsError(String);

impl FromStr for Restarts {
    type Err = RestartsError;

    fn from_str(text: &str) -> Result<Self, RestartsError> {
        let error = || RestartsError(text.to_owned());
        let (number, word) = text.split_once(' ').ok_or_else(error)?;
        if !matches!(word, "restart" | "restarts") {
            return Err(error());
        }
        let number = number.parse().ok().filter(|number| *number > 0);
        number.map(Restarts).ok_or_else(error)
    }
}

impl TryFrom<String> for Restarts {
    type Error = RestartsError;

    fn try_from(text: String) -> Result<Self, RestartsError> {
        text.parse()
    }
}

impl fmt::Display for Restarts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.0 == 1 { "restart" } else { "restarts" };
        write!(f, "{} {word}", self.0)
    }
}

impl From<Restarts> for String {
    fn from(restarts: Restarts) -> String {
        restarts.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_read_as_a_file_writes_them() {
        let text = r#"{"data-loss":0,"recovery-time":{"mean":"3s","p95":"5s"},"unsaved-restored":{"p95":"1 restart"},"crash-budget":{"per-hour":0.5},"observability":95}"#;
        let objectives: Objectives = serde_json::from_str(text).expect(text);
        assert_eq!(serde_json::to_string(&objectives).expect("plain data"), text);
        for wrong in [
            r#"{"dataloss":0}"#,
            r#"{"recovery-time":{"p99":"1s"}}"#,
            r#"{"unsaved-restored":{"p95":"1"}}"#,
            r#"{"unsaved-restored":{"max":"0 restarts"}}"#,
            r#"{"observability":101}"#,
        ] {
            assert!(serde_json::from_str::<Objectives>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_that_ask_nothing_or_cannot_be_met_are_refused() {
        for (text, at) in [
            (r#"{"recovery-time":{}}"#, "recovery-time"),
            (r#"{"recovery-time":{"max":"0s"}}"#, "recovery-time.max"),
            (r#"{"recovery-time":{"p50":"6s","p95":"5s"}}"#, "recovery-time.p50"),
            (r#"{"recovery-time":{"p95":"6s","max":"5s"}}"#, "recovery-time.p95"),
            (r#"{"recovery-time":{"mean":"6s","max":"5s"}}"#, "recovery-time.mean"),
            (r#"{"unsaved-restored":{}}"#, "unsaved-restored"),
            (
                r#"{"unsaved-restored":{"p50":"3 restarts","max":"2 restarts"}}"#,
                "unsaved-restored.p50",
            ),
            (r#"{"crash-budget":{}}"#, "crash-budget"),
            (r#"{"crash-budget":{"per-hour":-0.5}}"#, "crash-budget.per-hour"),
        ] {
            let objectives: Objectives = serde_json::from_str(text).expect(text);
            assert_eq!(objectives.check().expect_err(text).at, at, "{text}");
        }
        let equal = r#"{"recovery-time":{"mean":"5s","p50":"5s","p95":"5s","max":"5s"}}"#;
        let objectives: Objectives = serde_json::from_str(equal).expect(equal);
        assert_eq!(objectives.check(), Ok(()));
    }
}
