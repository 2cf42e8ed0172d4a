//! The variables of a file: what it declares, and where their values come from.

use super::Given;
use super::show::nearest;
use killpoint_model::Nonsense;
use killpoint_model::nonsense::refuse;
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
///
/// # Errors
/// The first variable that has none, or one that cannot be.
pub(super) fn resolve(
    declared: &Declared,
    given: &Given,
) -> Result<BTreeMap<String, String>, Nonsense> {
    let names = || declared.variables.keys().map(String::as_str);
    if let Some(unknown) = given.set.keys().find(|key| !declared.variables.contains_key(*key)) {
        let hint = match nearest(unknown, names()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("declare it here, or leave --set {unknown}=... out"),
        };
        let why = format!("the file declares no variable `{unknown}`; {hint}");
        return Err(Nonsense::new("variables", why));
    }
    let mut values = BTreeMap::new();
    for (name, variable) in &declared.variables {
        let value =
            value(name, variable, given).map_err(|it| it.within(&format!("variables.{name}")))?;
        values.insert(name.clone(), value);
    }
    Ok(values)
}

fn value(name: &str, variable: &Variable, given: &Given) -> Result<String, Nonsense> {
    let is_part = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let environment = variable.environment.as_deref();
    refuse(&[
        (
            name.is_empty() || !name.chars().all(is_part),
            "",
            "no `${NAME}` can name it: take letters, digits and - _ .",
        ),
        (
            environment.is_some_and(|it| it.is_empty() || it.contains(['=', '\0'])),
            "environment",
            "no variable of the environment has such a name: take the `=` out",
        ),
    ])?;
    let of_environment = environment.and_then(|name| Some((given.environment.get(name)?, name)));
    let (value, source) = match (given.set.get(name), of_environment, &variable.default) {
        (Some(value), ..) => (value, format!("--set {name}")),
        (_, Some((value, name)), _) => (value, format!("{name} of the environment")),
        (.., Some(value)) => (value, "its default".to_owned()),
        (None, None, None) => {
            let or = environment.map_or_else(String::new, |name| format!(" or {name}=VALUE"));
            let why = format!("it has no value: give --set {name}=VALUE{or}");
            return Err(Nonsense::new("", why));
        }
    };
    // Anything else could be read as YAML, and so become more than a value.
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=+:@".contains(c);
    let is_value = value.chars().all(is_plain) && !value.is_empty() && !value.ends_with(':');
    let why = format!(
        "it cannot be `{value}` ({source}): take letters, digits and - _ . / = + : @, at least one"
    );
    refuse(&[(!is_value, "", &why)])?;
    Ok(value.clone())
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
