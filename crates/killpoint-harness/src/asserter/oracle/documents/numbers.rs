//! The numbers and times that stand in a document: by some a program knows which of several is the newest.

mod unknown;

use super::Format;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
pub(super) use unknown::read_unknown;

/// In larger documents no numbers are looked for.
const NUMBERED_BYTES_MAX: usize = 1 << 20;

/// Beyond this many, the numbers of a document are not kept.
const NUMBERS_MAX: usize = 64;

/// Numbers that stand deeper within a document are not looked at.
const DEPTH_MAX: usize = 3;

/// Beyond this many, what a document says is not kept.
const STATEMENTS_MAX: usize = 4_096;

/// The numbers and times of a document, and what it says.
#[derive(Debug, Default, PartialEq)]
pub struct Numbers {
    /// By where they stand in it.
    pub by_place: BTreeMap<String, f64>,
    /// Digests of its single values, each with its place.
    statements: BTreeSet<u64>,
}

impl Numbers {
    /// How many values it has in common with another document, at the same places.
    pub fn in_common(&self, other: &Numbers) -> usize {
        self.statements.intersection(&other.statements).count()
    }

    /// Whether this is what comes after the newest, written over one that is older: it has more in common with the newest,
    /// and keeps nothing of what it is written over that the newest had not.
    pub fn come_after(&self, newest: &Numbers, over: &Numbers) -> bool {
        let kept: Vec<&u64> = self.statements.intersection(&over.statements).collect();
        self.in_common(newest) > kept.len() && kept.iter().all(|it| newest.statements.contains(it))
    }

    fn note(&mut self, place: &str, number: Option<f64>) {
        if let Some(number) = number.filter(|_| self.by_place.len() < NUMBERS_MAX) {
            self.by_place.insert(place.to_owned(), number);
        }
    }

    fn say(&mut self, statement: impl Hash) {
        let mut hasher = DefaultHasher::new();
        statement.hash(&mut hasher);
        if self.statements.len() < STATEMENTS_MAX {
            self.statements.insert(hasher.finish());
        }
    }
}

/// The numbers and times of a whole document.
pub(super) fn read(format: Format, contents: &[u8]) -> Numbers {
    let mut numbers = Numbers::default();
    if contents.len() > NUMBERED_BYTES_MAX {
        return numbers;
    }
    match format {
        Format::Json => {
            let value: Result<serde_json::Value, _> = serde_json::from_slice(contents);
            value.iter().for_each(|value| gather(value, "", 0, &mut numbers));
        }
        Format::Toml | Format::Yaml | Format::Ini => {
            let lines = contents.split(|byte| *byte == b'\n');
            for line in lines.filter_map(|line| std::str::from_utf8(line).ok()) {
                numbers.say(line);
                let Some((key, value)) = line.split_once(['=', ':']) else { continue };
                let number = number_of(value.trim().trim_matches(['"', '\'']));
                numbers.note(key.trim(), number);
            }
        }
        Format::JsonLines | Format::Xml | Format::BinaryPlist => {}
    }
    numbers
}

fn gather(value: &serde_json::Value, place: &str, depth: usize, numbers: &mut Numbers) {
    let number = match value {
        serde_json::Value::Number(number) => number.as_f64(),
        serde_json::Value::String(text) => number_of(text),
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                let place = if depth == 0 { name.clone() } else { format!("{place}.{name}") };
                gather(member, &place, depth + 1, numbers);
            }
            return;
        }
        serde_json::Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                gather(value, &format!("{place}[{index}]"), depth + 1, numbers);
            }
            return;
        }
        _ => None,
    };
    numbers.say((place, value.to_string()));
    if (1..=DEPTH_MAX).contains(&depth) && !place.contains('[') {
        numbers.note(place, number);
    }
}

/// A number or a time that is written as text.
fn number_of(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return Some(number).filter(|number| number.is_finite());
    }
    const DIGITS: usize = 20;
    let is_time = text.len() >= "2026-01-01".len()
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || "-:.,+TZ ".contains(c));
    let digits = text.chars().filter(char::is_ascii_digit).chain(std::iter::repeat('0'));
    is_time.then(|| digits.take(DIGITS).collect::<String>().parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_found_in_readable_documents() {
        for (format, contents, expect) in [
            (
                Format::Json,
                "{\"a\":1,\"b\":{\"c\":2.5},\"d\":[3],\"e\":\"x\"}",
                &[("a", 1.0), ("b.c", 2.5)][..],
            ),
            (Format::Json, "[1]", &[]),
            (Format::Json, "{\"a\":\"7\",\"b\":\"1-2\"}", &[("a", 7.0)]),
            (Format::Toml, "a = 1\nb = \"x\"\n", &[("a", 1.0)]),
            (Format::Yaml, "a: 1\nb: 'x'\n", &[("a", 1.0)]),
            (Format::Ini, "[s]\na=1\n", &[("a", 1.0)]),
            (Format::Xml, "<a>1</a>", &[]),
        ] {
            let expect = expect.iter().map(|(key, number)| ((*key).to_owned(), *number));
            let found = read(format, contents.as_bytes()).by_place;
            assert_eq!(found, expect.collect(), "{contents}");
        }
    }

    #[test]
    fn what_two_documents_say_alike_is_counted() {
        for (format, one, other, expect) in [
            (Format::Json, "{\"a\":1,\"b\":[1,2]}", "{\"b\":[1,3],\"a\":1}", 2),
            (Format::Json, "{\"a\":{\"b\":1}}", "{\"b\":1}", 0),
            (Format::Ini, "[s]\na=1\n", "[s]\na=2", 1),
        ] {
            let (one, other) = (read(format, one.as_bytes()), read(format, other.as_bytes()));
            assert_eq!(one.in_common(&other), expect);
        }
    }

    #[test]
    fn what_comes_after_the_newest_keeps_nothing_else_of_what_it_is_written_over() {
        let read = |contents: &str| read(Format::Json, contents.as_bytes());
        let (older, newest) =
            (read("{\"a\":1,\"b\":1,\"c\":1}"), read("{\"a\":1,\"b\":2,\"c\":1}"));
        for (contents, expect) in [
            ("{\"a\":1,\"b\":2,\"c\":2}", true),
            ("{\"a\":1,\"b\":3,\"c\":1}", false),
            ("{\"a\":1,\"b\":1,\"c\":1}", false),
            ("{\"d\":1}", false),
        ] {
            assert_eq!(read(contents).come_after(&newest, &older), expect, "{contents}");
        }
    }

    #[test]
    fn a_later_time_is_a_greater_number() {
        let times = ["2026-01-02", "2026-01-02T09:30:00Z", "2026-01-02T10:00:00.5Z", "2026-02-01"];
        let numbers = times.map(|time| number_of(time).expect(time));
        assert!(numbers.is_sorted_by(|one, other| one < other), "{numbers:?}");
    }
}
