//! Tolerances. What could never be met there is refused here.

use super::values::Values;
use super::{Refused, refused};
use killpoint_model::invariant::{AnyStatus, Said, Statuses, Tolerance};
use serde_json::{Map, Value};

pub(super) fn read(
    value: &Value,
    at: &str,
    values: &Values,
    is_http: bool,
) -> Result<Tolerance, Refused> {
    let status = |value: &Value| {
        let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
        number.ok_or_else(|| refused(at, "the statuses that are tolerated are whole numbers"))
    };
    match value {
        Value::Number(_) => Ok(of(Statuses::One(status(value)?))),
        Value::Array(list) => {
            let list = list.iter().map(status).collect::<Result<Vec<i32>, _>>()?;
            Ok(of(Statuses::Several(list)))
        }
        Value::Object(form) => structured(form, at, values, is_http),
        Value::Bool(_) | Value::String(_) | Value::Null => {
            let problem = "it is compared with all of the answer, and never met: write a status, \
                           a list of them, a regex, a jsonpath or a range";
            Err(refused(at, problem))
        }
    }
}

fn of(statuses: Statuses) -> Tolerance {
    Tolerance { exit: Some(statuses), ..Tolerance::default() }
}

fn structured(
    form: &Map<String, Value>,
    at: &str,
    values: &Values,
    is_http: bool,
) -> Result<Tolerance, Refused> {
    let kind = form.get("type").and_then(Value::as_str).unwrap_or_default();
    let known: &[&str] = match kind {
        "regex" => &["type", "target", "pattern"],
        "jsonpath" => &["type", "target", "path", "expect", "count"],
        "range" => &["type", "target", "range"],
        "probe" => return Err(refused(at, "a probe as a tolerance is not supported")),
        _ => return Err(refused(at, "its `type` is regex, jsonpath or range")),
    };
    if let Some(unknown) = form.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(refused(at, format!("`{unknown}` is not known here: {}", known.join(", "))));
    }
    let base = Tolerance { said: said(form, at, is_http)?, ..of(Statuses::Any(AnyStatus::Any)) };
    let text = |key: &str| {
        let text = form.get(key).and_then(Value::as_str);
        text.ok_or_else(|| refused(at, format!("`{key}` is missing, or no text")))
    };
    match kind {
        "regex" => {
            let pattern = values.fill(text("pattern")?, at)?;
            let pattern = pattern.parse().map_err(|error| refused(at, format!("{error}")))?;
            Ok(Tolerance { matches: Some(pattern), ..base })
        }
        "jsonpath" => {
            let pointer = pointer(&values.fill(text("path")?, at)?, at)?;
            if form.get("count").is_some_and(|count| count.as_u64() != Some(1)) {
                return Err(refused(at, "a plain path finds one value: `count` is 1"));
            }
            Ok(Tolerance { pointer: Some(pointer), equals: expected(form, at, values)?, ..base })
        }
        _ => {
            let bound = |index: usize| form.get("range")?.as_array()?.get(index)?.as_f64();
            let (Some(least), Some(greatest)) = (bound(0), bound(1)) else {
                return Err(refused(at, "`range` is the least and the greatest number"));
            };
            Ok(Tolerance { least: Some(least), greatest: Some(greatest), ..base })
        }
    }
}

fn said(form: &Map<String, Value>, at: &str, is_http: bool) -> Result<Said, Refused> {
    let known = if is_http { "body" } else { "stdout or stderr" };
    match (form.get("target").and_then(Value::as_str), is_http) {
        (Some("stdout"), false) | (Some("body"), true) => Ok(Said::Output),
        (Some("stderr"), false) => Ok(Said::Error),
        _ => Err(refused(at, format!("its `target` is {known}"))),
    }
}

fn expected(
    form: &Map<String, Value>,
    at: &str,
    values: &Values,
) -> Result<Option<Value>, Refused> {
    let one = match form.get("expect") {
        None => return Ok(None),
        Some(Value::Array(list)) => match list.as_slice() {
            [one] => one,
            _ => return Err(refused(at, "a plain path finds one value: `expect` one")),
        },
        Some(one) => one,
    };
    Ok(Some(match one {
        Value::String(text) => Value::String(values.fill(text, at)?),
        one => one.clone(),
    }))
}

/// A path that goes down by names and numbers alone, as RFC 6901 has it.
fn pointer(path: &str, at: &str) -> Result<String, Refused> {
    let wrong = || {
        let problem = "only plain paths are supported, as $.orders[0].state: no wildcards, \
                       filters or slices";
        refused(at, format!("{path}: {problem}"))
    };
    let mut rest = path.trim().strip_prefix('$').ok_or_else(wrong)?;
    let mut pointer = String::new();
    while !rest.is_empty() {
        let (part, after) = if let Some(inside) = rest.strip_prefix('[') {
            let (part, after) = inside.split_once(']').ok_or_else(wrong)?;
            let quoted = ['\'', '"'].iter().find_map(|quote| {
                part.strip_prefix(*quote).and_then(|part| part.strip_suffix(*quote))
            });
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            match quoted {
                Some(name) => (name, after),
                None if is_number => (part, after),
                None => return Err(wrong()),
            }
        } else {
            let inside = rest.strip_prefix('.').ok_or_else(wrong)?;
            let end = inside.find(['.', '[']).unwrap_or(inside.len());
            let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            if end == 0 || !inside[..end].chars().all(is_name) {
                return Err(wrong());
            }
            inside.split_at(end)
        };
        pointer.push('/');
        pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
        rest = after;
    }
    Ok(pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_pointers_and_others_are_refused() {
        let read = |path: &str| pointer(path, "here").ok();
        assert_eq!(read("$").as_deref(), Some(""));
        assert_eq!(read("$.orders[0]['ship to'].a-b").as_deref(), Some("/orders/0/ship to/a-b"));
        assert_eq!(read("$['a/b~c']").as_deref(), Some("/a~1b~0c"));
        for wrong in ["orders", "$..x", "$.a[*]", "$.a[?(@.b)]", "$.a[1:2]", "$.", "$.a[", "$.*"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
