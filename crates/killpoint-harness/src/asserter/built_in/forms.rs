//! Which values are looked for in what a program writes, and the forms in which they may stand there.

use crate::asserter::journal::percent;
use std::collections::BTreeSet;

/// Longer values are not looked for: they are seldom written in one piece.
const VALUE_BYTES_MAX: usize = 256;

/// Shorter values of plain characters stand anywhere by chance.
const PLAIN_BYTES_MIN: usize = 3;

/// Shorter values of any characters do.
const VALUE_BYTES_MIN: usize = 4;

/// Whether a value is looked for: it does not stand anywhere by chance. A bare number may be written in many ways.
pub(super) fn is_looked_for(value: &str) -> bool {
    let letters: usize = value.chars().filter(|c| c.is_alphanumeric()).map(char::len_utf8).sum();
    let is_long = (VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&value.len());
    is_plain(value) || (is_long && letters >= PLAIN_BYTES_MIN && value.parse::<f64>().is_err())
}

/// Whether every format writes a value as it is.
pub(super) fn is_plain(value: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-. ".contains(&byte);
    (PLAIN_BYTES_MIN..=VALUE_BYTES_MAX).contains(&value.len())
        && value.bytes().all(is_plain)
        && value.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// A value as it is, as JSON writes it within quotes, and as addresses do.
pub(super) fn forms(value: &str) -> BTreeSet<Vec<u8>> {
    let quoted = serde_json::Value::from(value).to_string();
    let json = quoted[1..quoted.len() - 1].to_owned();
    let ascii = ascii_json(&json);
    let upper = upper_escapes(&ascii);
    let slashes = [&json, &ascii].map(|json| json.replace('/', "\\/"));
    let address = address(value);
    let forms = [value.to_owned(), json, ascii, upper, address, percent::encode(value)];
    forms.into_iter().chain(slashes).map(String::into_bytes).collect()
}

/// JSON with `\u` for all that is not ASCII.
fn ascii_json(json: &str) -> String {
    let escaped = |c: char| -> String {
        let mut units = [0; 2];
        c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
    };
    json.chars().map(|c| if c.is_ascii() { c.to_string() } else { escaped(c) }).collect()
}

/// The same with capital letters in the numbers.
fn upper_escapes(json: &str) -> String {
    let mut parts = json.split("\\u");
    let mut upper = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(4).unwrap_or((part, ""));
        upper.push_str("\\u");
        upper.push_str(&digits.to_ascii_uppercase());
        upper.push_str(rest);
    }
    upper
}

fn address(value: &str) -> String {
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encoded = |byte: u8| {
        if is_kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    value.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_stand_anywhere_by_chance_is_looked_for() {
        for (value, is_expected, is_expected_plain) in [
            ("val", true, true),
            ("v1", false, false),
            ("two words", true, true),
            ("a_b-c.d", true, true),
            ("v", false, false),
            ("", false, false),
            ("42", false, false),
            ("-12.75", false, false),
            ("a\"b", false, false),
            ("a@b.c", true, false),
            ("2026-05-01", true, false),
            ("https://example.org/a", true, false),
            ("é.txt", true, false),
            ("----!", false, false),
            (&"x".repeat(VALUE_BYTES_MAX + 1), false, false),
        ] {
            assert_eq!(
                (is_looked_for(value), is_plain(value)),
                (is_expected, is_expected_plain),
                "{value}"
            );
        }
    }

    #[test]
    fn a_value_has_a_form_for_each_who_writes_it() {
        for (value, expect) in [
            ("word", &["word"][..]),
            ("two words", &["two words", "two%20words"]),
            (
                "a\"b/é",
                &[
                    "a\"b/é",
                    "a\\\"b/é",
                    "a\\\"b\\/é",
                    "a\\\"b/\\u00e9",
                    "a\\\"b/\\u00E9",
                    "a\\\"b\\/\\u00e9",
                    "a%22b%2F%C3%A9",
                ],
            ),
        ] {
            let expect = expect.iter().map(|form| form.as_bytes().to_vec()).collect();
            assert_eq!(forms(value), expect, "{value}");
        }
    }
}
