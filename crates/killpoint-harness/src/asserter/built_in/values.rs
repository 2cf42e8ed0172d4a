//! Where the values of an ack journal come to stand in the state for the first time: one that does so only after it
//! was acknowledged was acknowledged too early.
//!
//! Only values are looked for that every format writes as they are: a program may escape others, or write a number as
//! bytes. What it compresses or encrypts is found nowhere, and nothing is said of it.

use killpoint_engine::image::{Content, Image};
use killpoint_engine::recording::effects_with_data;
use killpoint_engine::states::is_point;
use killpoint_model::operation::{FileId, FileKind};
use killpoint_model::{Effect, Operation};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Longer values are not looked for: they are seldom written in one piece.
const VALUE_BYTES_MAX: usize = 256;

/// Nothing is looked for where there was more than this at the beginning.
const INITIAL_BYTES_MAX: u64 = 64 << 20;

/// So much is looked at in one piece.
const PIECE_BYTES: u64 = 1 << 20;

/// Whether a value stands in a file as it is, whatever the format, and is not there by chance.
pub(super) fn is_plain(value: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-. ".contains(&byte);
    (2..=VALUE_BYTES_MAX).contains(&value.len())
        && value.bytes().all(is_plain)
        && value.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Values that were not found yet, and when the others were written for the first time.
pub(super) struct Values {
    image: Image,
    missing: HashSet<Vec<u8>>,
    /// How long those are that begin with these two bytes.
    lengths: HashMap<[u8; 2], BTreeSet<usize>>,
    longest: usize,
    written: BTreeMap<Vec<u8>, u64>,
}

impl Values {
    /// Those that are not there at the beginning; none if there is nothing to look for, or too much to look at.
    pub(super) fn missing_in(initial: &Image, values: BTreeSet<&str>) -> Option<Values> {
        let bytes: u64 = initial.inodes().map(|(_, inode)| inode.content.size()).sum();
        if values.is_empty() || bytes > INITIAL_BYTES_MAX {
            return None;
        }
        let mut lengths: HashMap<[u8; 2], BTreeSet<usize>> = HashMap::new();
        for value in values.iter().map(|value| value.as_bytes()) {
            lengths.entry([value[0], value[1]]).or_default().insert(value.len());
        }
        let longest = values.iter().map(|value| value.len()).max().unwrap_or(0);
        let missing = values.iter().map(|value| value.as_bytes().to_vec()).collect();
        let image = initial.clone();
        let mut values = Values { image, missing, lengths, longest, written: BTreeMap::new() };
        for (_, inode) in initial.inodes() {
            values.look_at_content(&inode.content, (0, inode.content.size()), None);
            inode.entries.keys().for_each(|name| values.look_at(name, None));
        }
        Some(values)
    }

    /// The next operation. A store into a mapping may have been made long before it is seen.
    pub(super) fn operation(&mut self, operation: &Operation, data: &[u8]) {
        let when = is_point(operation).then_some(operation.journal_length);
        for (effect, bytes) in effects_with_data(&operation.effects, data) {
            self.image.apply(effect, bytes, operation.at_ns);
            match effect {
                Effect::Write { file, offset, length, .. } => {
                    self.look_at_file(*file, (*offset, *length), when);
                }
                Effect::Replace { file, length } => self.look_at_file(*file, (0, *length), when),
                Effect::Create { name, kind, .. } => {
                    name.iter().for_each(|name| self.look_at(&name.bytes, when));
                    if let FileKind::Symlink(target) = kind {
                        self.look_at(target, when);
                    }
                }
                Effect::Link { name, .. } | Effect::Rename { to: Some(name), .. } => {
                    self.look_at(&name.bytes, when);
                }
                _ => {}
            }
        }
    }

    /// How long the journal was at the entry of the operation that wrote each value first.
    pub(super) fn written(self) -> BTreeMap<Vec<u8>, u64> {
        self.written
    }

    fn look_at_file(&mut self, file: FileId, range: (u64, u64), when: Option<u64>) {
        if self.missing.is_empty() {
            return;
        }
        let content = self.image.inode(file).map(|inode| inode.content.clone());
        content.iter().for_each(|content| self.look_at_content(content, range, when));
    }

    /// Looks for values that have bytes in a range: some of them may stand around it.
    fn look_at_content(&mut self, content: &Content, range: (u64, u64), when: Option<u64>) {
        let around = self.longest as u64;
        let (mut at, end) = (range.0.saturating_sub(around), range.0.saturating_add(range.1));
        while at < end && !self.missing.is_empty() {
            let piece = content.read(at, PIECE_BYTES.min(end - at) + around);
            self.look_at(&piece, when);
            at += PIECE_BYTES;
        }
    }

    fn look_at(&mut self, bytes: &[u8], when: Option<u64>) {
        for (at, start) in bytes.windows(2).enumerate() {
            let Some(lengths) = self.lengths.get(start) else { continue };
            let candidates = lengths.iter().filter_map(|length| bytes.get(at..at + length));
            for candidate in candidates {
                if self.missing.remove(candidate)
                    && let Some(when) = when
                {
                    self.written.insert(candidate.to_vec(), when);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use killpoint_engine::image::Inode;
    use killpoint_model::Address;
    use killpoint_model::operation::{Attributes, Name, OperationKind};
    use std::sync::Arc;

    const ROOT: FileId = FileId(1);
    const FILE: FileId = FileId(2);

    /// A directory with a file of these contents.
    fn image(contents: &[u8]) -> Image {
        let mut image = Image::default();
        image.put(ROOT, Arc::new(Inode::new(FileKind::Directory, Attributes::default())));
        let mut file = Inode::new(FileKind::Regular, Attributes::default());
        file.content = Content::of_bytes(contents);
        image.put(FILE, Arc::new(file));
        image.set_entry(&Name { directory: ROOT, bytes: b"f".to_vec() }, Some(FILE));
        image
    }

    fn write(kind: OperationKind, journal_length: u64, offset: u64, bytes: &[u8]) -> Operation {
        let (length, durable) = (bytes.len() as u64, false);
        Operation {
            ordinal: 1,
            address: Address::Call { kind, paths: vec!["f".to_owned()], ordinal: 1, role: None },
            shown: Vec::new(),
            process: 1,
            call: String::new(),
            result: 0,
            journal_length,
            at_ns: 0,
            effects: vec![Effect::Write { file: FILE, offset, length, durable }],
        }
    }

    #[test]
    fn only_what_every_format_writes_as_it_is_is_looked_for() {
        for (value, expect) in [
            ("v1", true),
            ("two words", true),
            ("a_b-c.d", true),
            ("v", false),
            ("", false),
            ("42", false),
            ("a\"b", false),
            ("a/b", false),
            ("é.txt", false),
            (&"x".repeat(VALUE_BYTES_MAX + 1), false),
        ] {
            assert_eq!(is_plain(value), expect, "{value}");
        }
    }

    #[test]
    fn a_value_is_found_where_it_comes_to_stand_first() {
        let wanted = BTreeSet::from(["there", "v1", "split value", "mapped", "never"]);
        let mut values = Values::missing_in(&image(b"is there"), wanted).expect("something");
        for (kind, length, offset, bytes) in [
            (OperationKind::Write, 10, 8, &b" v1 split"[..]),
            (OperationKind::Mapped, 15, 30, b"mapped"),
            (OperationKind::Write, 20, 17, b" value v1 there mapped"),
        ] {
            values.operation(&write(kind, length, offset, bytes), bytes);
        }
        let expect = [(&b"split value"[..], 20), (b"v1", 10)];
        let expect = expect.map(|(value, length)| (value.to_vec(), length));
        assert_eq!(values.written(), BTreeMap::from(expect));
    }

    #[test]
    fn nothing_to_look_for_costs_nothing() {
        assert!(Values::missing_in(&image(b""), BTreeSet::new()).is_none());
    }
}
