//! What a checker reads out of a reopened store, and when that equals a value of the journal.

use crate::asserter::journal::{Amount, Value, as_list};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The contents of a store: key to string, number, boolean, or array of these.
pub type Store = BTreeMap<String, Json>;

/// How much of a checker's output an error shows, in characters.
const EXCERPT_CHARACTERS_MAX: usize = 80;

/// A checker's output that is no store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It printed nothing.
    #[error("the checker printed nothing; its last line must be one JSON object, key to value")]
    Empty,
    /// Its last line is not a JSON object.
    #[error(
        "the checker's last line must be one JSON object, key to value: {problem}; it is `{text}`"
    )]
    NotAnObject {
        /// What the JSON reader says.
        problem: String,
        /// The beginning of the line.
        text: String,
    },
    /// A value is neither a string nor a number, a boolean or an array of these.
    #[error("the checker's key {key} holds {what}; {advice}")]
    Value {
        /// The key.
        key: String,
        /// What the value is.
        what: &'static str,
        /// What to print instead.
        advice: &'static str,
    },
}

/// Reads the last line of a checker's output that is not empty.
///
/// # Errors
/// There is no such line, or it is not one JSON object of plain values with distinct keys.
pub fn parse_store(output: &str) -> Result<Store, StoreError> {
    let line = output.lines().map(str::trim).rfind(|line| !line.is_empty());
    let line = line.ok_or(StoreError::Empty)?;
    let Object(store) = serde_json::from_str(line).map_err(|error| StoreError::NotAnObject {
        problem: error.to_string(),
        text: line.chars().take(EXCERPT_CHARACTERS_MAX).flat_map(char::escape_debug).collect(),
    })?;
    check_store(&store)?;
    Ok(store)
}

/// Checks that every value is a string, a number, a boolean or an array of these, for a store that came
/// inside another JSON document.
///
/// # Errors
/// The first value that is something else.
pub fn check_store(store: &Store) -> Result<(), StoreError> {
    for (key, value) in store {
        let elements = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for element in elements {
            let (what, advice) = match element {
                Json::Null => ("null", "a key that is absent is left out"),
                Json::Object(_) => ("an object", "print it as a string"),
                Json::Array(_) => ("an array inside an array", "print it as a string"),
                Json::String(_) | Json::Number(_) | Json::Bool(_) => continue,
            };
            return Err(StoreError::Value { key: key.clone(), what, advice });
        }
    }
    Ok(())
}

/// An object whose keys differ; serde would take the last of equal ones.
struct Object(Store);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut store = Store::new();
        while let Some((key, value)) = map.next_entry::<String, Json>()? {
            if store.contains_key(&key) {
                return Err(A::Error::custom(format_args!("key {key:?} stands there twice")));
            }
            store.insert(key, value);
        }
        Ok(Object(store))
    }
}

/// The text that a value of a store is compared by: a string itself, anything else as compact JSON.
pub(super) fn text_of(json: &Json) -> Cow<'_, str> {
    match json {
        Json::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// Whether two values of stores are the same: by text, and numbers by number.
pub(super) fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::String(one), Json::String(other)) => one == other,
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        _ if text_of(one) == text_of(other) => true,
        (Json::Number(_), _) | (_, Json::Number(_)) => {
            matches!((float_of(one), float_of(other)), (Some(one), Some(other)) if one == other)
        }
        _ => false,
    }
}

fn float_of(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse().ok().filter(|float: &f64| float.is_finite()),
        _ => None,
    }
}

/// Whether a value of a store is the journal's value: by text, by number where the store has a number,
/// element by element where it has an array, and by SHA-256 where either side gives a digest.
pub(super) fn matches(value: &Value, json: &Json) -> bool {
    match value {
        Value::Text(text) => match json {
            Json::String(other) => {
                text == other
                    || Value::digest_from(other)
                        .is_some_and(|digest| digest == Value::digest_of(text))
            }
            Json::Array(other) => {
                text_of(json) == *text
                    || as_list(value).is_some_and(|list| {
                        list.len() == other.len()
                            && list.iter().zip(other).all(|(one, other)| same(one, other))
                    })
            }
            _ => same(&Json::String(text.clone()), json),
        },
        Value::Digest(_) => {
            let text = text_of(json);
            *value == Value::digest_of(&text)
                || Value::digest_from(&text).is_some_and(|other| other == *value)
        }
    }
}

/// The number that a value of a store stands for, rounded to billionths, and how far a floating-point
/// number may be off.
pub(super) fn amount_of(json: &Json) -> Option<(Amount, i128)> {
    let text = match json {
        Json::String(text) => Cow::Borrowed(text.as_str()),
        Json::Number(number) => Cow::Owned(number.to_string()),
        _ => return None,
    };
    let has_fraction = json.is_f64();
    let amount = Amount::parse(&text).or_else(|| {
        let float: f64 = if has_fraction { json.as_f64()? } else { return None };
        if float.abs() >= 1e20 {
            return None;
        }
        Amount::parse(&format!("{float:.9}"))
    })?;
    let slack = if has_fraction { 1 + amount.0.abs() / 1_000_000_000_000 } else { 0 };
    Some((amount, slack))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check_error(output: &str, expect: &str) {
        let error = parse_store(output).expect_err(output).to_string();
        assert!(error.contains(expect), "{error} should say {expect}");
    }

    #[test]
    fn the_last_line_that_is_not_empty_is_the_store() {
        let store =
            parse_store("opening...\n{\"a\":\"1\",\"b\":[1,true],\"c\":2.5}\n\n").expect("a store");
        assert_eq!(store.len(), 3);
        assert_eq!(store["b"], json!([1, true]));
    }

    #[test]
    fn what_is_no_store_is_refused_with_what_is_expected() {
        check_error("", "printed nothing");
        check_error("\n \n", "printed nothing");
        check_error("[1]", "one JSON object");
        check_error("{\"a\":1}\nTraceback", "`Traceback`");
        check_error("{\"a\":1,\"a\":2}", "key \"a\" stands there twice");
        check_error("{\"a\":null}", "left out");
        check_error("{\"a\":{}}", "as a string");
        check_error("{\"a\":[[1]]}", "as a string");
    }

    #[test]
    fn a_value_matches_by_text_number_element_or_digest() {
        let text = |text: &str| Value::Text(text.to_owned());
        assert!(matches(&text("5"), &json!(5)));
        assert!(matches(&text("5"), &json!("5")));
        assert!(matches(&text("5.0"), &json!(5)));
        assert!(!matches(&text("5.0"), &json!("5")));
        assert!(matches(&text("true"), &json!(true)));
        assert!(matches(&text("[\"a\", 1]"), &json!(["a", "1"])));
        assert!(!matches(&text("NaN"), &json!(0)));
        assert!(matches(&Value::digest_of("hello"), &json!("hello")));
        assert!(matches(&Value::digest_of("hello"), &json!(Value::digest_of("hello").to_string())));
        assert!(matches(&text("hello"), &json!(Value::digest_of("hello").to_string())));
        assert!(!matches(&Value::digest_of("hello"), &json!("hell")));
    }

    #[test]
    fn a_float_is_rounded_to_billionths() {
        assert_eq!(amount_of(&json!(0.30000000000000004)), Some((Amount(300_000_000), 1)));
        assert_eq!(amount_of(&json!(7)), Some((Amount(7_000_000_000), 0)));
        assert_eq!(amount_of(&json!("x")), None);
        assert_eq!(amount_of(&json!(1e300)), None);
    }
}
