//! Configuration and secrets. The former are values from now on; of the latter only the name of the
//! variable goes any further, and its value is looked up at the moment at which it is used.

use super::form::Experiment;
use super::{Refused, refused};
use crate::scenario::{Given, show::nearest};
use killpoint_model::activity::place_of;
use killpoint_model::span::Span;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Longest time that a file may ask for, seconds.
const SECONDS_MAX: f64 = 86_400.0;

/// What `${NAME}` stands for.
#[derive(Debug)]
pub(super) struct Values(BTreeMap<String, String>);

impl Values {
    pub(super) fn of(experiment: &Experiment, given: &Given) -> Result<Self, Refused> {
        let mut values = BTreeMap::new();
        for (group, value) in &experiment.secrets {
            secrets(value, &format!("secrets.{group}"), group, &mut values)?;
        }
        let configuration = &experiment.configuration;
        if let Some(unknown) = given.set.keys().find(|key| !configuration.contains_key(*key)) {
            let hint = nearest(unknown, configuration.keys().map(String::as_str));
            let hint = hint.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
            let problem = format!("--set {unknown}: there is no such key{hint}");
            return Err(refused("configuration", problem));
        }
        for (key, value) in configuration {
            let at = format!("configuration.{key}");
            let value = match given.set.get(key) {
                Some(set) => Some(set.clone()),
                None => configured(value, &at, given)?,
            };
            if let Some(value) = value {
                values.insert(key.clone(), value);
            }
        }
        Ok(Values(values))
    }

    /// A text with its names filled in.
    pub(super) fn fill(&self, text: &str, at: &str) -> Result<String, Refused> {
        let mut whole = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let inside = &rest[start + 2..];
            let Some(end) = inside.find('}') else { break };
            let name = &inside[..end];
            let value = self.0.get(name).ok_or_else(|| {
                let hint = match nearest(name, self.0.keys().map(String::as_str)) {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None => "declare it in `configuration`".to_owned(),
                };
                refused(at, format!("`{name}` is not declared: {hint}"))
            })?;
            whole.push_str(&rest[..start]);
            whole.push_str(value);
            rest = &inside[end + 1..];
        }
        whole.push_str(rest);
        Ok(whole)
    }

    /// A plain value as a text.
    pub(super) fn text(&self, value: &Value, at: &str) -> Result<String, Refused> {
        match value {
            Value::String(text) => self.fill(text, at),
            value => plain(value).ok_or_else(|| refused(at, "write a text or a number")),
        }
    }

    /// A number of seconds, or the name of one.
    pub(super) fn seconds(&self, value: &Value, at: &str) -> Result<Span, Refused> {
        let text = self.text(value, at)?;
        let seconds = text.parse::<f64>().ok();
        let seconds = seconds.filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds));
        let seconds =
            seconds.ok_or_else(|| refused(at, format!("`{text}` is no number of seconds")))?;
        // In range, as it was looked at.
        Ok(Span::from_ms((seconds * 1_000.0).round() as u64))
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The variable that an `{"type": "env", "key": NAME}` names.
fn variable<'a>(form: &'a Map<String, Value>, at: &str) -> Result<&'a str, Refused> {
    const KNOWN: [&str; 4] = ["type", "key", "default", "env_var_type"];
    if let Some(unknown) = form.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(refused(at, format!("`{unknown}` is not known here: {}", KNOWN.join(", "))));
    }
    let key = form.get("key").and_then(Value::as_str);
    key.filter(|key| !key.is_empty()).ok_or_else(|| refused(at, "`key` names the variable"))
}

/// None for what can only be refused where it is used.
fn configured(value: &Value, at: &str, given: &Given) -> Result<Option<String>, Refused> {
    let Value::Object(form) = value else { return Ok(plain(value)) };
    match form.get("type").and_then(Value::as_str) {
        Some("env") => {
            let name = variable(form, at)?;
            let set = given.environment.get(name).cloned();
            match set.or_else(|| form.get("default").and_then(plain)) {
                Some(value) => Ok(Some(value)),
                None => Err(refused(at, format!("the variable {name} is not set"))),
            }
        }
        Some("probe") => Err(refused(at, "a value that a probe finds is not supported: give it")),
        Some(other) => Err(refused(at, format!("a value of type `{other}` is not supported"))),
        None => Ok(None),
    }
}

fn secrets(
    value: &Value,
    at: &str,
    name: &str,
    values: &mut BTreeMap<String, String>,
) -> Result<(), Refused> {
    let Value::Object(form) = value else {
        let problem = "a secret in the file is none: write {type: env, key: NAME}";
        return Err(refused(at, problem));
    };
    match form.get("type").and_then(Value::as_str) {
        Some("env") => {
            values.insert(name.to_owned(), place_of(variable(form, at)?));
            Ok(())
        }
        Some(other) => Err(refused(at, format!("secrets of type `{other}` are not supported"))),
        None => form
            .iter()
            .try_for_each(|(key, value)| secrets(value, &format!("{at}.{key}"), key, values)),
    }
}
