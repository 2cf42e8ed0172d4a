//! Reads the ack journal, by which a workload says what it was promised.
//!
//! A pure function from bytes to operations: what was intended, acknowledged or failed, and at which
//! length of the journal. The format is specified in `docs/ack-journal.md`.

mod line;
mod one_shot;
pub(super) mod percent;
mod value;

pub use line::{Entry, Fault, Name};
pub use one_shot::{OneShot, OneShotError};
pub use percent::{DecodeError, decode, encode};
pub use value::{Amount, Change, Value};

use std::collections::HashMap;

/// The longest line, with its newline: what one append surely writes as a whole.
pub const LINE_BYTES_MAX: usize = 4_096;

/// What the harness appends to a journal that ends in a cut line. A line that ends in this CANCEL
/// character was never written.
pub const SEAL: &[u8] = b"\x18\n";

/// How much of a bad line an error shows, in characters.
const EXCERPT_CHARACTERS_MAX: usize = 60;

/// A complete line and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The offset of its first byte.
    pub start: u64,
    /// The offset after its newline: the journal's length when the line was there.
    pub end: u64,
    /// What it says.
    pub entry: Entry,
}

/// One intent of the short form, or all intents of one id. Every offset is a line's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The id; the short form has none.
    pub id: Option<String>,
    /// Its intents in the order of the lines; there is at least one.
    pub intents: Vec<Intent>,
    /// The first `A` or `A!`.
    pub acknowledged: Option<u64>,
    /// The first `A!`.
    pub durable: Option<u64>,
    /// The first `F`.
    pub failed: Option<u64>,
}

/// One line `I`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The end of its line.
    pub end: u64,
    /// The key, decoded.
    pub key: String,
    /// What is done to it.
    pub change: Change,
}

/// Stands for all that was acknowledged, failed or undecided at a length of the journal: equal bytes on
/// disk and an equal `Pending` are judged alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pending(pub [u8; 32]);

/// A line that is not what the format asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ack journal, line {line} (byte {offset}), `{text}`: {fault}")]
pub struct JournalError {
    /// The line's number, from 1.
    pub line: u64,
    /// The offset of its first byte.
    pub offset: u64,
    /// Its beginning, escaped.
    pub text: String,
    /// What is wrong and what is expected.
    pub fault: Fault,
}

/// A journal that was read and makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Where a last line without its newline begins. It was never written.
    pub unsealed: Option<u64>,
    lines: Vec<Line>,
    operations: Vec<Operation>,
    /// After each line that acknowledges something: its end and how many were by then.
    acknowledgements: Vec<(u64, u64)>,
    /// After each line that matters to a judge: its end and the digest of all such lines.
    pending: Vec<(u64, Pending)>,
}

impl Journal {
    /// Reads a journal. A last line without its newline, and lines that were sealed, are left out.
    ///
    /// # Errors
    /// The first line that is not what the format asks for.
    pub fn parse(bytes: &[u8]) -> Result<Journal, JournalError> {
        let mut reader = Reader::default();
        let mut start = 0;
        for (index, content) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let end = start + content.len() as u64;
            let Some(content) = content.strip_suffix(b"\n") else {
                reader.journal.unsealed = Some(start);
                break;
            };
            if content.last() != Some(&SEAL[0]) {
                reader.read(start, end, content).map_err(|fault| JournalError {
                    line: index as u64 + 1,
                    offset: start,
                    text: excerpt(content),
                    fault,
                })?;
            }
            start = end;
        }
        Ok(reader.journal)
    }

    /// The complete lines.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How many lines since this length of the journal are drafts.
    pub fn drafts(&self, since: u64) -> u64 {
        let lines = self.lines.iter().filter(|line| line.start >= since);
        lines.filter(|line| matches!(line.entry, Entry::Draft { .. })).count() as u64
    }

    /// The operations, by their first intent.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// How many operations were acknowledged when the journal was `upto` bytes long. A second
    /// acknowledgement of an operation does not count again.
    pub fn acknowledged(&self, upto: u64) -> u64 {
        at_length(&self.acknowledgements, upto).unwrap_or(0)
    }

    /// The lengths of the journal at which something had just been acknowledged, ascending.
    pub fn acknowledgement_ends(&self) -> Vec<u64> {
        self.acknowledgements.iter().map(|(end, _)| *end).collect()
    }

    /// What was acknowledged, failed and undecided when the journal was `upto` bytes long.
    pub fn pending(&self, upto: u64) -> Pending {
        at_length(&self.pending, upto).unwrap_or(Pending([0; 32]))
    }

    pub(super) fn pending_by_length(&self) -> &[(u64, Pending)] {
        &self.pending
    }
}

/// The last entry of an ascending table that stands at or before `upto`.
pub(super) fn at_length<T: Copy>(table: &[(u64, T)], upto: u64) -> Option<T> {
    let count = table.partition_point(|(end, _)| *end <= upto);
    count.checked_sub(1).map(|index| table[index].1)
}

fn excerpt(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let mut excerpt: String =
        text.chars().take(EXCERPT_CHARACTERS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(EXCERPT_CHARACTERS_MAX).is_some() {
        excerpt.push_str("...");
    }
    excerpt
}

/// How a key is used: all of its life it is a text, a sum or a list.
#[derive(Clone, Copy, Default)]
struct Usage {
    is_added_to: bool,
    is_appended_to: bool,
    has_text_that_is_no_number: bool,
    has_text_that_is_no_list: bool,
}

struct Reader {
    journal: Journal,
    latest_by_key: HashMap<String, usize>,
    by_id: HashMap<String, usize>,
    usage_by_key: HashMap<String, Usage>,
}

impl Default for Reader {
    fn default() -> Self {
        Reader {
            journal: Journal {
                unsealed: None,
                lines: Vec::new(),
                operations: Vec::new(),
                acknowledgements: Vec::new(),
                pending: Vec::new(),
            },
            latest_by_key: HashMap::new(),
            by_id: HashMap::new(),
            usage_by_key: HashMap::new(),
        }
    }
}

impl Reader {
    fn read(&mut self, start: u64, end: u64, content: &[u8]) -> Result<(), Fault> {
        if content.len() >= LINE_BYTES_MAX {
            return Err(Fault::TooLong { bytes: content.len() as u64 + 1 });
        }
        let entry = line::parse(content)?;
        let matters = match &entry {
            Entry::Intend { id, key, change } => {
                self.check_usage(key, change)?;
                self.intend(id.as_ref(), Intent { end, key: key.clone(), change: change.clone() })?;
                true
            }
            Entry::Acknowledge { names, is_durable } => {
                self.acknowledge(names, *is_durable, end)?
            }
            Entry::Fail { ids } => self.fail(ids, end)?,
            Entry::Draft { .. } => true,
            Entry::Restart { .. } => false,
        };
        if matters {
            let before = self.journal.pending.last().map_or([0; 32], |(_, pending)| pending.0);
            let mut hasher = blake3::Hasher::new();
            hasher.update(&before).update(content);
            self.journal.pending.push((end, Pending(hasher.finalize().into())));
        }
        self.journal.lines.push(Line { start, end, entry });
        Ok(())
    }

    fn check_usage(&mut self, key: &str, change: &Change) -> Result<(), Fault> {
        let usage = self.usage_by_key.entry(key.to_owned()).or_default();
        match change {
            Change::Add(_) => usage.is_added_to = true,
            Change::Append(_) => usage.is_appended_to = true,
            Change::Delete => {}
            Change::Set(value) => {
                usage.has_text_that_is_no_number |= as_amount(value).is_none();
                usage.has_text_that_is_no_list |= as_list(value).is_none();
            }
        }
        let key = || key.to_owned();
        if usage.is_added_to && usage.is_appended_to {
            return Err(Fault::SumAndList { key: key() });
        }
        if usage.is_added_to && usage.has_text_that_is_no_number {
            return Err(Fault::SumAndText { key: key() });
        }
        if usage.is_appended_to && usage.has_text_that_is_no_list {
            return Err(Fault::ListAndText { key: key() });
        }
        Ok(())
    }

    fn intend(&mut self, id: Option<&String>, intent: Intent) -> Result<(), Fault> {
        let next = self.journal.operations.len();
        let index = match id {
            Some(id) => *self.by_id.entry(id.clone()).or_insert(next),
            None => {
                self.latest_by_key.insert(intent.key.clone(), next);
                next
            }
        };
        if index == next {
            self.journal.operations.push(Operation {
                id: id.cloned(),
                intents: vec![intent],
                acknowledged: None,
                durable: None,
                failed: None,
            });
            return Ok(());
        }
        let operation = &mut self.journal.operations[index];
        if operation.acknowledged.is_some() || operation.failed.is_some() {
            return Err(Fault::IdUsedAgain { id: id.cloned().unwrap_or_default() });
        }
        operation.intents.push(intent);
        Ok(())
    }

    /// Whether it says anything new.
    fn acknowledge(&mut self, names: &[Name], is_durable: bool, end: u64) -> Result<bool, Fault> {
        let mut count = self.journal.acknowledgements.last().map_or(0, |(_, count)| *count);
        let mut is_new = false;
        for name in names {
            let index = match name {
                Name::Key(key) => self.latest_by_key.get(key),
                Name::Id(id) => self.by_id.get(id),
            };
            let index = *index.ok_or_else(|| Fault::NeverIntended { name: name.clone() })?;
            let operation = &mut self.journal.operations[index];
            if operation.failed.is_some() {
                return Err(Fault::AcknowledgedAndFailed { name: name.clone() });
            }
            if operation.acknowledged.is_none() {
                operation.acknowledged = Some(end);
                count += 1;
                is_new = true;
            }
            if is_durable && operation.durable.is_none() {
                operation.durable = Some(end);
                is_new = true;
            }
        }
        self.journal.acknowledgements.push((end, count));
        Ok(is_new)
    }

    /// Whether it says anything new.
    fn fail(&mut self, ids: &[String], end: u64) -> Result<bool, Fault> {
        let mut is_new = false;
        for id in ids {
            let name = || Name::Id(id.clone());
            let index = *self.by_id.get(id).ok_or_else(|| Fault::NeverIntended { name: name() })?;
            let operation = &mut self.journal.operations[index];
            if operation.acknowledged.is_some() {
                return Err(Fault::AcknowledgedAndFailed { name: name() });
            }
            if operation.failed.is_none() {
                operation.failed = Some(end);
                is_new = true;
            }
        }
        Ok(is_new)
    }
}

/// The number that a value of a sum stands for.
pub(super) fn as_amount(value: &Value) -> Option<Amount> {
    match value {
        Value::Text(text) => Amount::parse(text),
        Value::Digest(_) => None,
    }
}

/// The list that a value of a list stands for: a JSON array without arrays or objects inside.
pub(super) fn as_list(value: &Value) -> Option<Vec<serde_json::Value>> {
    let Value::Text(text) = value else { return None };
    let list: Vec<serde_json::Value> = serde_json::from_str(text).ok()?;
    let is_flat = list
        .iter()
        .all(|element| element.is_string() || element.is_number() || element.is_boolean());
    is_flat.then_some(list)
}

#[cfg(test)]
mod tests;
