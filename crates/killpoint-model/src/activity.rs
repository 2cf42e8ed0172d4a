//! Activities: what a scenario does by itself, a command that it runs or a request that it makes, and
//! how that has to end. They strike nobody of ours: whatever they do, their file says it.

use crate::endpoint::{Url, VARIABLE};
use crate::nonsense::{Nonsense, refuse, refuse_no_program};
use crate::span::Span;
use crate::supervision::Command;
use crate::tolerance::Tolerance;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most activities of one list.
pub const ACTIVITIES_MAX: usize = 1_000;

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
    pub url: Url,
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
        let url = filled(&self.url, lookup)?;
        let headers = self.headers.iter();
        Ok(Request {
            url: self.url.map(|_| url),
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
    format!("{VARIABLE}{variable}}}")
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
    while let Some(start) = rest.find(VARIABLE) {
        let inside = &rest[start + VARIABLE.len()..];
        let Some(end) = inside.find('}') else { break };
        let name = &inside[..end];
        whole.push_str(&rest[..start]);
        whole.push_str(&lookup(name).ok_or_else(|| MissingVariable(name.to_owned()))?);
        rest = &inside[end + 1..];
    }
    whole.push_str(rest);
    Ok(whole)
}

impl Activities {
    /// Whether they can be carried out.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn check(&self) -> Result<(), Nonsense> {
        let is_action = |it: &Activity| it.kind == ActivityKind::Action;
        let too_many = self.method.len() + self.rollbacks.len() > ACTIVITIES_MAX;
        refuse(&[
            (self.method.is_empty(), "method", "it is empty: nothing would be done"),
            (
                !self.method.iter().any(is_action),
                "method",
                "it only asks, so that no strike would happen: add an activity of kind `action`",
            ),
            (too_many, "", "more activities than the 1000 that a rule may have"),
        ])?;
        for (list, activities) in [("method", &self.method), ("rollbacks", &self.rollbacks)] {
            for (index, activity) in activities.iter().enumerate() {
                activity.check().map_err(|it| it.within(&format!("{list}[{index}]")))?;
            }
        }
        Ok(())
    }
}

impl Activity {
    fn check(&self) -> Result<(), Nonsense> {
        refuse(&[
            (self.name.trim().is_empty(), "name", "it is empty: say what it does"),
            (
                self.run.is_empty() == self.request.is_none(),
                "",
                "it has to have either `run` or `request`",
            ),
            (self.timeout == Span::default(), "timeout", "it must be greater than 0"),
        ])?;
        match &self.request {
            Some(request) => request.check().map_err(|it| it.within("request"))?,
            None => refuse_no_program("run", &self.run)?,
        }
        let Some(tolerance) = &self.tolerance else { return Ok(()) };
        tolerance.check(self.request.is_some()).map_err(|it| it.within("tolerance"))
    }
}

impl Request {
    /// Whether it can be made.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn check(&self) -> Result<(), Nonsense> {
        let method = "it is no method of HTTP: write GET, POST, PUT, ...";
        refuse(&[(!is_token(&self.method), "method", method)])?;
        for (name, value) in &self.headers {
            let at = format!("headers.{name}");
            let is_broken = value.chars().any(|c| c.is_control() && c != '\t');
            refuse(&[
                (!is_token(name), &at, "it is no name of a header: take letters, digits and -"),
                (is_broken, &at, "a header has no line breaks and no control characters"),
            ])?;
        }
        Ok(())
    }
}

/// Whether a text can be a method or the name of a header, as RFC 9110 has it.
fn is_token(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(is_part)
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
        assert_eq!(read(right).check(), Ok(()));
        for (wrong, at) in [
            (r#"{"method":[]}"#, "method"),
            (r#"{"method":[{"name":"a"}]}"#, "method[0]"),
            (
                r#"{"method":[{"name":"a","run":["true"],"request":{"url":"http://x"}}]}"#,
                "method[0]",
            ),
            (r#"{"method":[{"name":"","run":["true"]}]}"#, "method[0].name"),
            (r#"{"method":[{"name":"a","run":[""]}]}"#, "method[0].run"),
            (r#"{"method":[{"name":"a","kind":"probe","run":["true"]}]}"#, "method"),
            (r#"{"method":[{"name":"a","run":["true"],"timeout":"0s"}]}"#, "method[0].timeout"),
            (
                r#"{"method":[{"name":"a","request":{"url":"http://x","method":"a b"}}]}"#,
                "method[0].request.method",
            ),
            (
                r#"{"method":[{"name":"a","run":["true"]}],
                    "rollbacks":[{"name":"b","request":{"url":"http://x","headers":{"a:":"b"}}}]}"#,
                "rollbacks[0].request.headers.a:",
            ),
            (
                r#"{"method":[{"name":"a","run":["true"],"tolerance":{"exit":[]}}]}"#,
                "method[0].tolerance.exit",
            ),
        ] {
            assert_eq!(read(wrong).check().expect_err(wrong).at, at, "{wrong}");
        }
    }
}
