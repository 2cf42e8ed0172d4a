//! The address of a crash point: `write(notes.json)#3`, or `end`.
//!
//! An address names the entry of a system call by what is known there: the operation, the paths
//! relative to their state directory, the ordinal among equal ones and, where the target has roles,
//! the role of the process (`write(log)#3@worker`). It survives another process id, another time and
//! another random temporary name, because a path born during the run is written as its directory and
//! its birth ordinal (`objects/72/<new1>`).

use crate::operation_kind::OperationKind;
use crate::selector::is_role_name;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where a crash point lies. Ordinals count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// The entry of one system call.
    Call {
        /// The operation that the call carries out.
        kind: OperationKind,
        /// One path, or two for `rename` and `link`; relative to the state directory, escaped.
        paths: Vec<String>,
        /// Which of the equal operations on equal paths this is, from 1.
        ordinal: u64,
        /// The role of the process, where the target has roles.
        role: Option<String>,
    },
    /// After the last operation.
    End,
}

impl Address {
    /// The address without its ordinal: what findings are grouped by.
    pub fn shape(&self) -> String {
        match self {
            Address::Call { kind, paths, role, .. } => {
                format!("{}{}", shape(*kind, paths), role_suffix(role.as_deref()))
            }
            Address::End => "end".to_owned(),
        }
    }

    /// The role of the process, where it has one.
    pub fn role(&self) -> Option<&str> {
        match self {
            Address::Call { role, .. } => role.as_deref(),
            Address::End => None,
        }
    }
}

/// Writes an operation and its paths the way an address begins.
pub fn shape<P: AsRef<str>>(kind: OperationKind, paths: &[P]) -> String {
    let mut text = String::with_capacity(64);
    write_shape(&mut text, kind, paths).expect("a String takes every text");
    text
}

fn write_shape<P: AsRef<str>>(
    to: &mut impl fmt::Write,
    kind: OperationKind,
    paths: &[P],
) -> fmt::Result {
    to.write_str(kind.name())?;
    to.write_str("(")?;
    let suffix = Some(kind.suffix()).filter(|suffix| !suffix.is_empty());
    for (index, part) in paths.iter().map(AsRef::as_ref).chain(suffix).enumerate() {
        if index > 0 {
            to.write_str(", ")?;
        }
        to.write_str(part)?;
    }
    to.write_str(")")
}

/// How a role stands at the end of an address.
pub fn role_suffix(role: Option<&str>) -> String {
    role.map(|role| format!("@{role}")).unwrap_or_default()
}

/// Escapes a path so that it can stand in an address: `%`, `,`, `(`, `)`, `#`, white space other
/// than the blank, control characters and bytes that are not UTF-8 become `%XX`.
pub fn escape(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '%' | ',' | '(' | ')' | '#' => text.push_str(&format!("%{:02X}", character as u32)),
                c if c.is_control() => {
                    let mut buffer = [0; 4];
                    for byte in c.encode_utf8(&mut buffer).bytes() {
                        text.push_str(&format!("%{byte:02X}"));
                    }
                }
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Call { kind, paths, ordinal, role } => {
                write_shape(f, *kind, paths)?;
                write!(f, "#{ordinal}{}", role_suffix(role.as_deref()))
            }
            Address::End => f.write_str("end"),
        }
    }
}

/// Why a text is not an address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not an address such as `write(notes.json)#3` or `end`")]
pub struct AddressError {
    /// The text that was read.
    pub text: String,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).ok_or_else(|| AddressError { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Address> {
    if text == "end" {
        return Some(Address::End);
    }
    let open = text.find('(')?;
    let close = text.rfind(")#")?;
    let inner = text.get(open + 1..close)?;
    let (number, role) = match text[close + 2..].split_once('@') {
        Some((number, role)) if is_role_name(role) => (number, Some(role.to_owned())),
        Some(_) => return None,
        None => (&text[close + 2..], None),
    };
    let ordinal: u64 = number.parse().ok().filter(|n| *n > 0)?;
    let mut paths: Vec<String> =
        if inner.is_empty() { Vec::new() } else { inner.split(", ").map(str::to_owned).collect() };
    let name = &text[..open];
    let last = paths.last().cloned().unwrap_or_default();
    let kind = match OperationKind::from_parts(name, &last) {
        Some(kind) if !kind.suffix().is_empty() => {
            paths.pop();
            kind
        }
        _ => OperationKind::from_parts(name, "")?,
    };
    Some(Address::Call { kind, paths, ordinal, role })
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_back_as_they_were_written() {
        for text in [
            "write(notes.json)#3",
            "open(notes.json, truncate)#2",
            "open(a b/c.txt, create)#1",
            "rename(notes.json.tmp, notes.json)#1",
            "write(objects/72/<new1>)#1",
            "sync()#4",
            "write(a%28b%29)#1",
            "fsync(d)#12@worker",
            "end",
        ] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn texts_that_are_no_address_are_refused() {
        for text in
            ["", "write", "write()", "write(a)#0", "write(a)#x", "rite(a)#1", "write(a)#1@", "End"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_shape_of_an_address_keeps_its_role_and_not_its_ordinal() {
        let shape = |text: &str| text.parse::<Address>().expect(text).shape();
        assert_eq!(shape("write(log)#3@worker"), "write(log)@worker");
        assert_eq!(shape("open(log, create)#1"), "open(log, create)");
        assert_eq!(shape("end"), "end");
    }

    #[test]
    fn escaping_keeps_addresses_on_one_line_and_unambiguous() {
        assert_eq!(escape(b"a, b(1)#2%\n\xff"), "a%2C b%281%29%232%25%0A%FF");
    }
}
