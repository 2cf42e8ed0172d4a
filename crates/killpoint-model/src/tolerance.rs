//! Tolerances: how a command may end, or a request be answered.

use crate::selector::Pattern;
use serde::{Deserialize, Serialize};

/// What a command may end like, or a request be answered with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Tolerance {
    /// Its exit status, or the status of the answer: one, several, or `any`. Where nothing is said, 0 of
    /// a command, and one below 400 of an answer.
    #[serde(alias = "status", skip_serializing_if = "Option::is_none")]
    pub exit: Option<Statuses>,
    /// In what the rest is looked for.
    #[serde(skip_serializing_if = "Said::is_output")]
    pub said: Said,
    /// What is found in its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub matches: Option<Pattern>,
    /// Where in the JSON document that it prints, as RFC 6901 has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What is there, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<serde_json::Value>,
    /// The least number that may be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    /// The greatest number that may be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub greatest: Option<f64>,
}

/// Which statuses are tolerated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Statuses {
    /// This one.
    One(i32),
    /// Each of these.
    Several(Vec<i32>),
    /// Whichever.
    Any(AnyStatus),
}

/// The word for whichever status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnyStatus {
    /// Whichever.
    Any,
}

impl Statuses {
    /// Whether a status is one of them.
    pub fn include(&self, status: i32) -> bool {
        match self {
            Statuses::One(one) => *one == status,
            Statuses::Several(several) => several.contains(&status),
            Statuses::Any(_) => true,
        }
    }
}

impl std::fmt::Display for Statuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Statuses::One(one) => one.fmt(f),
            Statuses::Several(several) => {
                let several: Vec<String> = several.iter().map(i32::to_string).collect();
                f.write_str(&several.join(" or "))
            }
            Statuses::Any(_) => f.write_str("any"),
        }
    }
}

/// What a command said.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// Its standard output; of a request the body of the answer.
    #[default]
    Output,
    /// Its standard error.
    Error,
}

impl Said {
    fn is_output(&self) -> bool {
        *self == Said::Output
    }
}
