//! Objectives: how good a target has to be over a whole run, in numbers.

mod measurement;

pub use measurement::{Distribution, Measurement, NOT_READ_BACK};

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

/// A number of restarts: `1 restart`, `3 restarts`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct Restarts(pub u32);

/// Why a text is no number of restarts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no number of restarts: write `1 restart` or `3 restarts`")]
pub struct RestartsError(String);

impl FromStr for Restarts {
    type Err = RestartsError;

    fn from_str(text: &str) -> Result<Self, RestartsError> {
        let error = || RestartsError(text.to_owned());
        let (number, word) = text.split_once(' ').ok_or_else(error)?;
        if !matches!(word, "restart" | "restarts") {
            return Err(error());
        }
        number.parse().map(Restarts).map_err(|_| error())
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
            r#"{"observability":101}"#,
        ] {
            assert!(serde_json::from_str::<Objectives>(wrong).is_err(), "{wrong}");
        }
    }
}
