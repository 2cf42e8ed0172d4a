//! JSON, JSON Lines, TOML and YAML, by the libraries that applications use.

use super::{Unreadable, text};
use crate::asserter::oracle::spelling::Spelling;
use crate::asserter::oracle::state::Digest;
use granit_parser::{Event, Parser, ScalarStyle};

/// One JSON value and nothing after it.
pub(super) fn json(contents: &[u8]) -> Result<Digest, Unreadable> {
    let unreadable = |error: serde_json::Error| Unreadable(error.to_string());
    // What is cut off is found several times faster without building a value.
    serde_json::from_slice::<serde::de::IgnoredAny>(contents).map_err(unreadable)?;
    let value: serde_json::Value = serde_json::from_slice(contents).map_err(unreadable)?;
    let mut spelling = Spelling::default();
    spell_json(&value, &mut spelling);
    Ok(spelling.digest())
}

/// How many JSON values stand one after the other; none if one of them is not whole.
pub(super) fn json_values(contents: &[u8]) -> Option<usize> {
    let values = serde_json::Deserializer::from_slice(contents);
    values
        .into_iter::<serde::de::IgnoredAny>()
        .try_fold(0, |count, value| value.ok().map(|_| count + 1))
}

/// One JSON value on each line that is not blank.
pub(super) fn json_lines(contents: &[u8]) -> Result<Digest, Unreadable> {
    let mut spelling = Spelling::default();
    for (index, line) in contents.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let value: serde_json::Value = serde_json::from_slice(line)
            .map_err(|error| Unreadable(format!("line {}: {error}", index + 1)))?;
        spelling.mark(b'L', 0);
        spell_json(&value, &mut spelling);
    }
    Ok(spelling.digest())
}

/// The parser bounds the depth, and so this recursion.
fn spell_json(value: &serde_json::Value, spelling: &mut Spelling) {
    match value {
        serde_json::Value::Null => spelling.mark(b'n', 0),
        serde_json::Value::Bool(value) => spelling.mark(b'b', usize::from(*value)),
        serde_json::Value::Number(value) => spelling.part(b'd', value.to_string().as_bytes()),
        serde_json::Value::String(value) => spelling.part(b's', value.as_bytes()),
        serde_json::Value::Array(values) => {
            spelling.mark(b'a', values.len());
            values.iter().for_each(|value| spell_json(value, spelling));
        }
        serde_json::Value::Object(members) => {
            spelling.mark(b'o', members.len());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|member| member.0);
            for (key, value) in members {
                spelling.part(b'k', key.as_bytes());
                spell_json(value, spelling);
            }
        }
    }
}

/// A TOML document; an empty one is whole.
pub(super) fn toml(contents: &[u8]) -> Result<Digest, Unreadable> {
    let table: toml::Table =
        text(contents)?.parse().map_err(|error: toml::de::Error| Unreadable(one_line(&error)))?;
    let mut spelling = Spelling::default();
    spell_toml(&toml::Value::Table(table), &mut spelling);
    Ok(spelling.digest())
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().lines().next().unwrap_or("not TOML").to_owned()
}

/// The parser bounds the depth, and so this recursion.
fn spell_toml(value: &toml::Value, spelling: &mut Spelling) {
    match value {
        toml::Value::String(value) => spelling.part(b's', value.as_bytes()),
        toml::Value::Integer(value) => spelling.part(b'i', &value.to_le_bytes()),
        toml::Value::Float(value) => spelling.part(b'f', &value.to_bits().to_le_bytes()),
        toml::Value::Boolean(value) => spelling.mark(b'b', usize::from(*value)),
        toml::Value::Datetime(value) => spelling.part(b't', value.to_string().as_bytes()),
        toml::Value::Array(values) => {
            spelling.mark(b'a', values.len());
            values.iter().for_each(|value| spell_toml(value, spelling));
        }
        toml::Value::Table(members) => {
            spelling.mark(b'o', members.len());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|member| member.0);
            for (key, value) in members {
                spelling.part(b'k', key.as_bytes());
                spell_toml(value, spelling);
            }
        }
    }
}

/// YAML documents, spelt as the parser's events: untyped, so that no schema has to be guessed.
pub(super) fn yaml(contents: &[u8]) -> Result<Digest, Unreadable> {
    let mut spelling = Spelling::default();
    for event in Parser::new_from_str(text(contents)?) {
        let (event, _) = event.map_err(|error| Unreadable(error.to_string()))?;
        if let Some(tag) = event.tag() {
            spelling.part(b't', tag.handle().as_bytes());
            spelling.part(b'u', tag.suffix().as_bytes());
        }
        match &event {
            Event::DocumentStart(..) => spelling.mark(b'D', 0),
            Event::Alias(anchor) => spelling.mark(b'*', *anchor),
            Event::Scalar(value, style, ..) => {
                let plain = matches!(style, ScalarStyle::Plain);
                spelling.part(if plain { b'p' } else { b's' }, value.as_bytes());
            }
            Event::SequenceStart(..) => spelling.mark(b'[', 0),
            Event::SequenceEnd => spelling.mark(b']', 0),
            Event::MappingStart(..) => spelling.mark(b'{', 0),
            Event::MappingEnd => spelling.mark(b'}', 0),
            _ => {}
        }
    }
    Ok(spelling.digest())
}
