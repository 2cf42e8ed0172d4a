//! One line of the ack journal.

use super::percent::{DecodeError, decode};
use super::value::{Amount, Change, Value};
use std::fmt;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `I`: a change is about to be made.
    Intend {
        /// The id; the short form has none.
        id: Option<String>,
        /// The key.
        key: String,
        /// The change.
        change: Change,
    },
    /// `A` or `A!`: operations are acknowledged.
    Acknowledge {
        /// Keys of the short form, or ids.
        names: Vec<Name>,
        /// Whether they survive a power cut: `A!`.
        is_durable: bool,
    },
    /// `F`: operations were definitely not applied.
    Fail {
        /// Their ids.
        ids: Vec<String>,
    },
    /// `D`: unsaved work, which promises nothing.
    Draft {
        /// The key.
        key: String,
        /// A value, or its deletion.
        change: Change,
    },
    /// `R`: the n-th restart, written by the harness.
    Restart {
        /// Which restart, from 1.
        number: u64,
    },
}

/// What an acknowledgement names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// The latest intent of a key in the short form.
    Key(String),
    /// All intents with an id.
    Id(String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Key(key) => write!(f, "key {}", key.escape_debug()),
            Name::Id(id) => write!(f, "#{}", id.escape_debug()),
        }
    }
}

/// What is wrong with a line, and what is expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is longer than one append surely writes.
    #[error(
        "{bytes} bytes; a line has at most 4,096 with its newline: give a long value as sha256:HEX"
    )]
    TooLong {
        /// Its size with the newline.
        bytes: u64,
    },
    /// It is not UTF-8.
    #[error("not UTF-8; other bytes are percent-encoded, or the value is given as sha256:HEX")]
    NotText,
    /// It holds NUL, a tab, a carriage return or another control character.
    #[error("control character {character:?}; it is percent-encoded as {encoded}")]
    Control {
        /// The character.
        character: char,
        /// As it should stand.
        encoded: String,
    },
    /// It begins with no letter that is known.
    #[error("expected a line that begins with `I `, `A `, `A! `, `F `, `D ` or `R `")]
    Unknown,
    /// The number of fields is wrong.
    #[error(
        "expected `{expected}`: fields are separated by one space, and a space inside one is %20"
    )]
    Fields {
        /// The form of the line.
        expected: &'static str,
    },
    /// A key or an id is empty.
    #[error("the {what} is empty")]
    Empty {
        /// Key or id.
        what: &'static str,
    },
    /// The operator is not one of four.
    #[error("expected `=`, `-`, `+` or `>>` after the key")]
    Operator,
    /// The percent-encoding is broken.
    #[error("{0}")]
    Encoding(DecodeError),
    /// `sha256:` without 64 hexadecimal digits.
    #[error("expected 64 hexadecimal digits after `sha256:`; a literal value begins sha256%3A")]
    Digest,
    /// `+` with something that is no number.
    #[error(
        "expected a decimal number after `+`, with at most 20 digits before the point and 9 after"
    )]
    Amount,
    /// `>> -`.
    #[error("an element cannot be deleted; a literal `-` is written %2D")]
    AppendDeletion,
    /// A field that must be an id is not.
    #[error("expected an id, which begins with `#`")]
    NotAnId,
    /// `R` without a number.
    #[error("expected the number of the restart, from 1")]
    Restart,
    /// An acknowledgement or failure without an intent.
    #[error("{name} was never intended: its line `I` must stand before")]
    NeverIntended {
        /// What was named.
        name: Name,
    },
    /// One operation has both `A` and `F`.
    #[error("{name} is both acknowledged and failed")]
    AcknowledgedAndFailed {
        /// What was named.
        name: Name,
    },
    /// An intent with an id that is already acknowledged or failed.
    #[error("#{id} is already acknowledged or failed; an id names one operation only")]
    IdUsedAgain {
        /// The id.
        id: String,
    },
    /// A key with `+` and `>>`.
    #[error("key {key} is used with both `+` and `>>`")]
    SumAndList {
        /// The key.
        key: String,
    },
    /// A key with `+` and a value that is no number.
    #[error("key {key} is used with `+`, so each of its values must be a decimal number")]
    SumAndText {
        /// The key.
        key: String,
    },
    /// A key with `>>` and a value that is no list.
    #[error(
        "key {key} is used with `>>`, so each of its values must be a JSON array of plain values"
    )]
    ListAndText {
        /// The key.
        key: String,
    },
}

/// Reads a line without its newline.
pub(super) fn parse(content: &[u8]) -> Result<Entry, Fault> {
    let text = std::str::from_utf8(content).map_err(|_| Fault::NotText)?;
    if let Some(character) = text.chars().find(|character| character.is_control()) {
        let encoded = super::encode(character.encode_utf8(&mut [0; 4]));
        return Err(Fault::Control { character, encoded });
    }
    let (letter, rest) = text.split_once(' ').ok_or(Fault::Unknown)?;
    let fields: Vec<&str> = rest.split(' ').collect();
    match letter {
        "I" => parse_intent(&fields),
        "A" => parse_acknowledgement(&fields, false),
        "A!" => parse_acknowledgement(&fields, true),
        "F" => {
            let ids: Result<_, _> = fields.iter().map(|field| id(field)).collect();
            Ok(Entry::Fail { ids: ids? })
        }
        "D" => match fields[..] {
            [key, value] => Ok(Entry::Draft { key: name(key, "key")?, change: set(value)? }),
            _ => Err(Fault::Fields { expected: "D key value" }),
        },
        "R" => match fields[..] {
            [number] => match number.parse() {
                Ok(number) if number > 0 => Ok(Entry::Restart { number }),
                _ => Err(Fault::Restart),
            },
            _ => Err(Fault::Fields { expected: "R n" }),
        },
        _ => Err(Fault::Unknown),
    }
}

fn parse_intent(fields: &[&str]) -> Result<Entry, Fault> {
    if !fields[0].starts_with('#') {
        return match fields[..] {
            [key, value] => {
                Ok(Entry::Intend { id: None, key: name(key, "key")?, change: set(value)? })
            }
            _ => Err(Fault::Fields { expected: "I key value`, or to delete the key `I key -" }),
        };
    }
    let (field, key, operator, value) = match fields[..] {
        [id, key, operator, value] => (id, key, operator, Some(value)),
        [id, key, "-"] => (id, key, "-", None),
        _ => return Err(Fault::Fields { expected: "I #id key op value" }),
    };
    let change = match (operator, value.unwrap_or_default()) {
        ("-", "" | "-") => Change::Delete,
        ("-", _) => return Err(Fault::Fields { expected: "I #id key -" }),
        ("=", value) => set(value)?,
        ("+", value) => {
            let decoded = decode(value).map_err(Fault::Encoding)?;
            Change::Add(Amount::parse(&decoded).ok_or(Fault::Amount)?)
        }
        (">>", "-") => return Err(Fault::AppendDeletion),
        (">>", element) => Change::Append(self::value(element)?),
        _ => return Err(Fault::Operator),
    };
    Ok(Entry::Intend { id: Some(id(field)?), key: name(key, "key")?, change })
}

fn parse_acknowledgement(fields: &[&str], is_durable: bool) -> Result<Entry, Fault> {
    let mut names = Vec::new();
    for field in fields {
        names.push(match field.starts_with('#') {
            true => Name::Id(id(field)?),
            false => Name::Key(name(field, "key")?),
        });
    }
    Ok(Entry::Acknowledge { names, is_durable })
}

fn id(field: &str) -> Result<String, Fault> {
    name(field.strip_prefix('#').ok_or(Fault::NotAnId)?, "id")
}

fn name(field: &str, what: &'static str) -> Result<String, Fault> {
    match decode(field).map_err(Fault::Encoding)? {
        name if name.is_empty() => Err(Fault::Empty { what }),
        name => Ok(name),
    }
}

fn set(field: &str) -> Result<Change, Fault> {
    match field {
        "-" => Ok(Change::Delete),
        _ => Ok(Change::Set(value(field)?)),
    }
}

fn value(field: &str) -> Result<Value, Fault> {
    if field.starts_with("sha256:") {
        return Value::digest_from(field).ok_or(Fault::Digest);
    }
    Ok(Value::Text(decode(field).map_err(Fault::Encoding)?))
}
