//! Lines of the ack journal, version 1, each by one append.

use crate::kept::Kept;
use crate::{MESSAGE_BYTES_MAX, count_unsaid, variable};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// Names the journal's file.
const FILE: &str = "KILLPOINT_JOURNAL";
/// Do not wait if somebody has put a pipe there.
const O_NONBLOCK: i32 = 0o4000;

static JOURNAL: Kept<File> = Kept::new();

pub(crate) fn append(word: &str, key: &str, value: Option<&str>) {
    write(|| match value {
        Some(value) => {
            line(key, value, || format!("{word} {} {}\n", encode_key(key), encode_value(value)))
        }
        None => line(key, "", || format!("{word} {}\n", encode_key(key))),
    });
}

pub(crate) fn append_deletion(key: &str) {
    write(|| line(key, "", || format!("I {} -\n", encode_key(key))));
}

/// A line of the journal; none if it would be none. What is too long as it is, is longer encoded: no work is
/// done for it.
fn line(key: &str, value: &str, encode: impl FnOnce() -> String) -> Option<String> {
    if key.is_empty() || key.len().saturating_add(value.len()) > MESSAGE_BYTES_MAX {
        return None;
    }
    Some(encode()).filter(|line| line.len() <= MESSAGE_BYTES_MAX)
}

fn write(line: impl FnOnce() -> Option<String>) {
    let Some(path) = variable(FILE) else { return };
    let open =
        || OpenOptions::new().append(true).create(true).custom_flags(O_NONBLOCK).open(path).ok();
    let written = line().is_some_and(|line| {
        // One call, so that lines of several processes never mix; a part of one is no line.
        let whole = |mut journal: &File| {
            journal.write(line.as_bytes()).is_ok_and(|count| count == line.len())
        };
        JOURNAL.with(open, whole) == Some(true)
    });
    if !written {
        count_unsaid();
    }
}

fn encode_key(text: &str) -> String {
    // A leading `#` would make it an id.
    match text.strip_prefix('#') {
        Some(rest) => format!("%23{}", encode(rest)),
        None => encode(text),
    }
}

/// A value `-` would mean a deletion, and one that begins with `sha256:` a digest.
fn encode_value(text: &str) -> String {
    match text.strip_prefix("sha256:") {
        Some(rest) => format!("sha256%3A{}", encode(rest)),
        None if text == "-" => "%2D".to_owned(),
        None => encode(text),
    }
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    let mut buffer = [0; 4];
    for character in text.chars() {
        if character.is_whitespace() || character.is_control() || character == '%' {
            for byte in character.encode_utf8(&mut buffer).bytes() {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        } else {
            encoded.push(character);
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_split_a_line_is_encoded() {
        assert_eq!(encode("a b\n100%\u{a0}ü"), "a%20b%0A100%25%C2%A0ü");
        assert_eq!((encode_value("-").as_str(), encode_value("--").as_str()), ("%2D", "--"));
        assert_eq!(encode_value("sha256:x"), "sha256%3Ax");
        assert_eq!(encode_key("#1"), "%231");
    }

    #[test]
    fn nothing_is_encoded_that_is_too_long_for_a_line() {
        let never = || -> String { panic!("it was encoded") };
        let long = "x".repeat(MESSAGE_BYTES_MAX);
        for (key, value) in [("k", long.as_str()), (&long, "v"), ("", "v")] {
            assert_eq!(line(key, value, never), None);
        }
        assert_eq!(line("k", "v", || "I k v\n".to_owned()).as_deref(), Some("I k v\n"));
        let longest = "x".repeat(MESSAGE_BYTES_MAX - 2);
        assert_eq!(line("k", &longest, || format!("I k {longest}\n")), None);
    }
}
