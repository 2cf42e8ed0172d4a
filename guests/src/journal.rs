//! The ack journal, as a program writes it: one append per line.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};

const LINE_BYTES_MAX: usize = 4_096;

/// How far an acknowledgement goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The operation survives a kill (`A`).
    Kill,
    /// The operation survives a power cut, too (`A!`).
    PowerLoss,
}

/// The journal named in `KILLPOINT_JOURNAL`, or none where it is not set. Threads may share it.
#[derive(Debug)]
pub struct Journal(Option<File>);

impl Journal {
    /// Opens the journal.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open() -> io::Result<Journal> {
        match std::env::var_os("KILLPOINT_JOURNAL") {
            Some(path) => {
                Ok(Journal(Some(OpenOptions::new().append(true).create(true).open(path)?)))
            }
            None => Ok(Journal(None)),
        }
    }

    /// The key is about to be set to the value.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn intend(&self, key: &str, value: &str) -> io::Result<()> {
        self.line(&format!("I {} {}", encode(key), encode(value)))
    }

    /// The key is about to be deleted.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn intend_delete(&self, key: &str) -> io::Result<()> {
        self.line(&format!("I {} -", encode(key)))
    }

    /// The user has written this and did not save it yet: nothing is promised.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn draft(&self, key: &str, value: &str) -> io::Result<()> {
        self.line(&format!("D {} {}", encode(key), encode(value)))
    }

    /// The operation with this id is about to happen; several with one id are one transaction. `change` is
    /// one of `=`, `+`, `>>`.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn intend_id(&self, id: &str, key: &str, change: &str, value: &str) -> io::Result<()> {
        // A number after `+` may be negative; its sign is not the value that deletes.
        self.line(&format!("I #{} {} {change} {}", encode(id), encode(key), encode(value)))
    }

    /// The latest intent of the key holds from now on.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn acknowledge(&self, key: &str, promise: Promise) -> io::Result<()> {
        self.line(&format!("{} {}", word(promise), encode(key)))
    }

    /// The operation or transaction with this id holds from now on.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn acknowledge_id(&self, id: &str, promise: Promise) -> io::Result<()> {
        self.line(&format!("{} #{}", word(promise), encode(id)))
    }

    fn line(&self, line: &str) -> io::Result<()> {
        match &self.0 {
            Some(file) => {
                let line = format!("{line}\n");
                assert!(line.len() <= LINE_BYTES_MAX, "a guest keeps its values short");
                let mut file: &File = file;
                file.write_all(line.as_bytes())
            }
            None => Ok(()),
        }
    }
}

fn word(promise: Promise) -> &'static str {
    match promise {
        Promise::Kill => "A",
        Promise::PowerLoss => "A!",
    }
}

/// Percent-encodes white space, `%` and control characters, and the value that would mean a deletion.
fn encode(text: &str) -> String {
    if text == "-" {
        return "%2D".to_owned();
    }
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '%' || character.is_whitespace() || character.is_control() {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                write!(encoded, "%{byte:02X}").expect("a String takes everything");
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
    fn what_would_break_a_line_is_percent_encoded() {
        assert_eq!(encode("two words\n100%"), "two%20words%0A100%25");
        assert_eq!((encode("-").as_str(), encode("-30").as_str()), ("%2D", "-30"));
    }
}
