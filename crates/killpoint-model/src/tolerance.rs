//! Tolerances: how a command may end, or a request be answered.

use crate::nonsense::{Nonsense, refuse};
use crate::selector::Pattern;
use serde::{Deserialize, Serialize};

/// What a command may end like, or a request be answered with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[schemars(transform = with_status)]
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
    /// What is there, as JSON; `null`, too.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub equals: Option<serde_json::Value>,
    /// The least number that may be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    /// The greatest number that may be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub greatest: Option<f64>,
}

/// Of an answer `exit` may be called `status`.
fn with_status(schema: &mut schemars::Schema) {
    if let Some(serde_json::Value::Object(properties)) = schema.get_mut("properties")
        && let Some(exit) = properties.get("exit").cloned()
    {
        properties.insert("status".to_owned(), exit);
    }
}

/// Reads a value that is there: `null` is one.
///
/// # Errors
/// If it is no JSON.
pub fn said<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}

/// Which statuses are tolerated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged, expecting = "it is a status, as 0, a list of them, or any")]
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

impl Tolerance {
    /// Whether something can be tolerated by it: the end of a command, or the answer to a request.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn check(&self, is_request: bool) -> Result<(), Nonsense> {
        let statuses = match &self.exit {
            Some(Statuses::One(one)) => std::slice::from_ref(one),
            Some(Statuses::Several(several)) => several,
            Some(Statuses::Any(_)) | None => &[],
        };
        let possible = if is_request { 100..=999 } else { 0..=255 };
        let what = match is_request {
            true => "no answer has such a status: write 100 to 999",
            false => "no command ends with such a status: write 0 to 255",
        };
        let is_none = self.exit == Some(Statuses::Several(Vec::new()));
        let (least, greatest) = (self.least, self.greatest);
        let is_bounded = least.is_some() || greatest.is_some();
        let is_apart =
            matches!((least, greatest), (Some(least), Some(greatest)) if least > greatest);
        let is_number = |number: Option<f64>| number.is_none_or(|it| !it.is_nan());
        refuse(&[
            (is_none, "exit", "it is empty, so that no end would do: write 0, [0, 3] or any"),
            (statuses.iter().any(|it| !possible.contains(it)), "exit", what),
            (
                is_request && self.said == Said::Error,
                "said",
                "an answer has no standard error: leave it out",
            ),
            (
                self.pointer.as_ref().is_some_and(|it| !is_pointer(it)),
                "pointer",
                "it is no JSON pointer: write it as `/notes/0`",
            ),
            (is_apart, "least", "it is greater than `greatest`: no number lies between them"),
            (!is_number(least), "least", "it is no number"),
            (!is_number(greatest), "greatest", "it is no number"),
            (
                self.equals.is_some() && is_bounded,
                "equals",
                "it says all of the value: leave `least` and `greatest` out",
            ),
        ])
    }
}

/// Whether a text is a JSON pointer: empty, which stands for the whole document, or places that each
/// begin with a slash.
pub fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_hold_is_refused() {
        let check = |text: &str, is_request| {
            let tolerance: Tolerance = serde_json::from_str(text).expect(text);
            tolerance.check(is_request)
        };
        for text in
            ["{}", r#"{"exit":[0,3]}"#, r#"{"exit":"any","pointer":"","least":5,"greatest":5}"#]
        {
            assert_eq!(check(text, false), Ok(()), "{text}");
        }
        assert_eq!(check(r#"{"status":404}"#, true), Ok(()));
        for (text, is_request, at) in [
            (r#"{"exit":[]}"#, false, "exit"),
            (r#"{"exit":256}"#, false, "exit"),
            (r#"{"exit":[0,-1]}"#, false, "exit"),
            (r#"{"status":0}"#, true, "exit"),
            (r#"{"said":"error"}"#, true, "said"),
            (r#"{"pointer":"a"}"#, false, "pointer"),
            (r#"{"least":2,"greatest":1}"#, false, "least"),
            (r#"{"equals":2,"least":1}"#, false, "equals"),
        ] {
            assert_eq!(check(text, is_request).expect_err(text).at, at, "{text}");
        }
    }
}
