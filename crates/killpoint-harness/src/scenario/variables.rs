//! The variables of a file: what it declares, and where their values come from.

use super::Given;
use super::show::nearest;
use killpoint_model::scenario::Variable;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// What a file declares; everything else is passed over.
#[derive(Debug, Deserialize)]
pub(super) struct Declared {
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
}

/// A value for each: `--set` before the environment before the default.
pub(super) fn resolve(
    declared: &Declared,
    given: &Given,
) -> Result<BTreeMap<String, String>, String> {
    let names = || declared.variables.keys().map(String::as_str);
    if let Some(unknown) = given.set.keys().find(|key| !declared.variables.contains_key(*key)) {
        let hint = match nearest(unknown, names()) {
            Some(name) => format!("; did you mean `{name}`?"),
            None => String::new(),
        };
        return Err(format!("the file declares no variable `{unknown}`{hint}"));
    }
    let mut values = BTreeMap::new();
    for (name, variable) in &declared.variables {
        let from_environment =
            || variable.environment.as_ref().and_then(|name| given.environment.get(name));
        let value = given.set.get(name).or_else(from_environment).or(variable.default.as_ref());
        let Some(value) = value else {
            let or = match &variable.environment {
                Some(variable) => format!(" or {variable}=VALUE"),
                None => String::new(),
            };
            return Err(format!("the variable `{name}` has no value: give --set {name}=VALUE{or}"));
        };
        // Anything else could be read as YAML, and so become more than a value.
        let is_plain = |c: char| c.is_alphanumeric() || "-_./=+:@".contains(c);
        if !value.chars().all(is_plain) || value.is_empty() || value.ends_with(':') {
            return Err(format!(
                "the variable `{name}` cannot be `{value}`: take letters, digits and - _ . / = + : @"
            ));
        }
        values.insert(name.clone(), value.clone());
    }
    Ok(values)
}

/// A place that names a variable which the file does not declare.
#[derive(Debug)]
pub(super) struct Undeclared {
    /// Its name.
    pub(super) name: String,
    /// Where it stands.
    pub(super) bytes: Range<usize>,
    /// The nearest one that is declared.
    pub(super) nearest: Option<String>,
}

/// The text with its variables filled in. They may stand within quotes, which the parser of YAML
/// leaves alone.
pub(super) fn fill(text: &str, values: &BTreeMap<String, String>) -> Result<String, Undeclared> {
    let mut filled = String::with_capacity(text.len());
    let mut done = 0;
    while let Some(found) = text[done..].find("${") {
        let start = done + found;
        if text[done..start].ends_with('$') {
            filled.push_str(&text[done..start - 1]);
            filled.push_str("${");
            done = start + 2;
            continue;
        }
        filled.push_str(&text[done..start]);
        let inside = &text[start + 2..];
        let length = inside.find(['}', '\n']).unwrap_or(inside.len());
        let name = &inside[..length];
        let value = values.get(name).ok_or_else(|| Undeclared {
            name: name.to_owned(),
            bytes: start..start + 2 + length,
            nearest: nearest(name, values.keys().map(String::as_str)).map(str::to_owned),
        })?;
        filled.push_str(value);
        done = (start + 2 + length + 1).min(text.len());
    }
    filled.push_str(&text[done..]);
    Ok(filled)
}
