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

/// A place that stands for no variable.
#[derive(Debug)]
pub(super) enum Wrong {
    /// `${NAME` without its `}`.
    Unclosed {
        /// Its name.
        name: String,
        /// Where it stands.
        bytes: Range<usize>,
    },
    /// The scenario does not declare it.
    Undeclared {
        /// Its name.
        name: String,
        /// Where it stands.
        bytes: Range<usize>,
        /// The nearest one that is declared.
        nearest: Option<String>,
    },
}

impl Wrong {
    /// Where it stands.
    pub(super) fn bytes(&self) -> Range<usize> {
        let (Wrong::Unclosed { bytes, .. } | Wrong::Undeclared { bytes, .. }) = self;
        bytes.clone()
    }
}

/// A `${NAME}` of a text, or a `$${`, which names nothing.
struct Place<'a> {
    bytes: Range<usize>,
    name: Option<&'a str>,
    is_closed: bool,
}

/// All of them, in their order.
fn places(text: &str) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    let mut done = 0;
    while let Some(found) = text[done..].find("${") {
        let start = done + found;
        let is_escaped = text[done..start].ends_with('$');
        let inside = &text[start + 2..];
        let is_end = |c: char| c.is_whitespace() || "}{[],\"'$".contains(c);
        let length = inside.find(is_end).unwrap_or(inside.len());
        let is_closed = inside[length..].starts_with('}');
        let place = match is_escaped {
            true => Place { bytes: start - 1..start + 2, name: None, is_closed: true },
            false => Place {
                bytes: start..start + 2 + length + usize::from(is_closed),
                name: Some(&inside[..length]),
                is_closed,
            },
        };
        done = place.bytes.end;
        places.push(place);
    }
    places
}

/// Whether each `${NAME` has its `}`.
///
/// # Errors
/// The first that has none.
pub(super) fn check_closed(text: &str) -> Result<(), Wrong> {
    match places(text).into_iter().find(|place| !place.is_closed) {
        Some(Place { bytes, name, .. }) => {
            Err(Wrong::Unclosed { name: name.unwrap_or_default().to_owned(), bytes })
        }
        None => Ok(()),
    }
}

/// The text of another file with its variables filled in.
///
/// # Errors
/// The first place that stands for none.
pub(super) fn fill_closed(text: &str, values: &BTreeMap<String, String>) -> Result<String, Wrong> {
    check_closed(text)?;
    fill(text, values)
}

/// The text with its variables filled in. They may stand within quotes, which the parser of YAML
/// leaves alone.
pub(super) fn fill(text: &str, values: &BTreeMap<String, String>) -> Result<String, Wrong> {
    let mut filled = String::with_capacity(text.len());
    let mut done = 0;
    for Place { bytes, name, .. } in places(text) {
        filled.push_str(&text[done..bytes.start]);
        done = bytes.end;
        match name {
            None => filled.push_str("${"),
            Some(name) => filled.push_str(values.get(name).ok_or_else(|| Wrong::Undeclared {
                name: name.to_owned(),
                bytes,
                nearest: nearest(name, values.keys().map(String::as_str)).map(str::to_owned),
            })?),
        }
    }
    filled.push_str(&text[done..]);
    Ok(filled)
}
