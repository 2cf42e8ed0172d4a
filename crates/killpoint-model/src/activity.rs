//! Activities: what a scenario does by itself, a command that it runs or a request that it makes, and
//! how that has to end. They strike nobody of ours: whatever they do, their file says it.

use crate::span::Span;
use crate::supervision::Command;
use crate::tolerance::Tolerance;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most activities of one list.
pub const ACTIVITIES_MAX: usize = 1_000;
/// What stands for a variable of the environment at the moment at which something is carried out.
const PLACE: &str = "{environment:";

/// Activities one after the other, and those that undo them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Activities {
    /// What is done, in order.
    pub method: Vec<Activity>,
    /// What is done at the end of the trial, however it ends. Commands stand in the undo log before the
    /// first activity, so that they are carried out even if killpoint dies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollbacks: Vec<Activity>,
}

/// One command or one request: exactly one of `run` and `request`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Activity {
    /// What it is called in reports.
    pub name: String,
    /// Whether it changes something, or only asks.
    #[serde(default)]
    pub kind: ActivityKind,
    /// The program and its arguments; `{environment:NAME}` stands for a variable of the environment,
    /// which is filled in when it is run and written down nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub run: Command,
    /// A request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// It is ended after this time, and has failed.
    #[serde(default = "Activity::usual_timeout")]
    pub timeout: Span,
    /// A wait before it.
    #[serde(default)]
    pub pause_before: Span,
    /// A wait after it.
    #[serde(default)]
    pub pause_after: Span,
    /// Whether the next one begins while it goes on. The last of them is waited for at the end of the list.
    #[serde(default)]
    pub background: bool,
    /// How it has to end. An action that ends otherwise has not happened; a probe that does is a
    /// violation. Where nothing is said, exit status 0, or a status of an answer below 400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Tolerance>,
}

/// What an activity is for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ActivityKind {
    /// It changes something.
    #[default]
    Action,
    /// It only asks.
    Probe,
}

/// A request of HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Request {
    /// Where.
    pub url: String,
    /// `GET`, `POST`, ...
    #[serde(default = "Request::usual_method")]
    pub method: String,
    /// Its headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl Request {
    /// The method where none is given.
    pub fn usual_method() -> String {
        "GET".to_owned()
    }

    /// It with the variables of the environment filled in.
    ///
    /// # Errors
    /// The first variable that is not set.
    pub fn filled(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Request, MissingVariable> {
        let headers = self.headers.iter();
        Ok(Request {
            url: filled(&self.url, lookup)?,
            method: self.method.clone(),
            headers: headers
                .map(|(name, value)| Ok((name.clone(), filled(value, lookup)?)))
                .collect::<Result<_, _>>()?,
            body: self.body.as_ref().map(|body| filled(body, lookup)).transpose()?,
        })
    }
}

impl Activity {
    /// How long it may take where nothing is said.
    pub fn usual_timeout() -> Span {
        Span::from_secs(60)
    }
}

/// A variable of the environment that is needed and not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the variable {0} of the environment is not set")]
pub struct MissingVariable(pub String);

/// What stands for a variable of the environment.
pub fn place_of(variable: &str) -> String {
    format!("{PLACE}{variable}}}")
}

/// A text with the variables of the environment filled in.
///
/// # Errors
/// The first variable that is not set.
pub fn filled(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String, MissingVariable> {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(PLACE) {
        let inside = &rest[start + PLACE.len()..];
        let Some(end) = inside.find('}') else { break };
        let name = &inside[..end];
        whole.push_str(&rest[..start]);
        whole.push_str(&lookup(name).ok_or_else(|| MissingVariable(name.to_owned()))?);
        rest = &inside[end + 1..];
    }
    whole.push_str(rest);
    Ok(whole)
}

/// What makes no sense in a list of activities; none if it makes sense.
pub fn problem(activities: &Activities) -> Option<String> {
    if activities.method.is_empty() {
        return Some("`method` is empty: nothing would be done".to_owned());
    }
    let all = || activities.method.iter().chain(&activities.rollbacks);
    if all().count() > ACTIVITIES_MAX {
        return Some(format!("more than {ACTIVITIES_MAX} activities"));
    }
    let wrong = all().find(|it| it.run.is_empty() == it.request.is_none())?;
    Some(format!("`{}` has to have either `run` or `request`", wrong.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_environment_are_filled_in_when_they_are_set() {
        let lookup = |name: &str| (name == "TOKEN").then(|| "secret".to_owned());
        let text = format!("a {} b {{state}}", place_of("TOKEN"));
        assert_eq!(filled(&text, &lookup).as_deref(), Ok("a secret b {state}"));
        assert_eq!(filled(&place_of("X"), &lookup), Err(MissingVariable("X".to_owned())));
        assert_eq!(filled("{environment:open", &lookup).as_deref(), Ok("{environment:open"));
    }

    #[test]
    fn an_activity_is_a_command_or_a_request_and_not_both() {
        let read = |text: &str| -> Activities { serde_json::from_str(text).expect(text) };
        let right = r#"{"method":[{"name":"a","run":["true"]},
            {"name":"b","kind":"probe","request":{"url":"http://127.0.0.1/"}}]}"#;
        assert_eq!(problem(&read(right)), None);
        for wrong in [
            r#"{"method":[]}"#,
            r#"{"method":[{"name":"a"}]}"#,
            r#"{"method":[{"name":"a","run":["true"],"request":{"url":"x"}}]}"#,
        ] {
            assert!(problem(&read(wrong)).is_some(), "{wrong}");
        }
    }
}
