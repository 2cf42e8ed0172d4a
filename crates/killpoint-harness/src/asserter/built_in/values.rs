//! Where the values of an ack journal come to stand in the state for the first time: one that does so only after it
//! was acknowledged was acknowledged too early.
//!
//! Values are looked for as they are, and in the forms in which JSON and addresses have them. What a program compresses or
//! encrypts is found nowhere, and nothing is said of it, nor where any such bytes were written that may hold the value.

use super::forms::{forms, is_plain};
use super::veils::{Text, Veil};
use killpoint_engine::image::{Content, Image};
use killpoint_engine::recording::effects_with_data;
use killpoint_engine::states::is_point;
use killpoint_model::operation::{FileId, FileKind};
use killpoint_model::{Effect, Operation};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Nothing is looked for where there was more than this at the beginning.
const INITIAL_BYTES_MAX: u64 = 64 << 20;

/// So much is looked at in one piece.
const PIECE_BYTES: u64 = 1 << 20;

/// Larger files that get another name may hold anything, as far as is looked at.
const MOVED_BYTES_MAX: u64 = 64 << 10;

/// Beyond so much text, what was written may hold anything.
const TEXT_BYTES_KEPT_MAX: usize = 64 << 20;

/// Values that were not found yet, and when the others were written for the first time.
pub(super) struct Values {
    image: Image,
    /// By each of their forms.
    missing: HashMap<Vec<u8>, Vec<u8>>,
    /// How long those are that begin with these two bytes.
    lengths: HashMap<[u8; 2], BTreeSet<usize>>,
    longest: usize,
    written: Written,
    /// Files that hold no new values: journals of SQLite, which have what was there before.
    journals: BTreeSet<FileId>,
    /// Whether every format writes all values as they are: text at the end of a file holds none in another form then.
    are_plain: bool,
    /// How much text is kept.
    text_bytes: usize,
    /// Files that were made or emptied, and how long the journal was then.
    begun: HashMap<FileId, u64>,
}

/// What was written when, as lengths of the journal at the entry of the operation.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Values that come to stand in the state for the first time.
    pub first: BTreeMap<Vec<u8>, u64>,
    /// What may hold a value in another form, ascending: all but text at the end of a file that was there already.
    pub veiled: Vec<Veil>,
    /// Whether such was stored into a mapping, nobody knows when.
    pub is_unsure: bool,
}

impl Written {
    /// Whether one of the values may have been written in another form after `intent`, and before it was acknowledged.
    pub fn may_be_veiled(&self, values: &[String], intent: u64, acknowledged: u64) -> bool {
        let first = self.veiled.partition_point(|veil| veil.at < intent);
        let between = self.veiled[first..].iter().take_while(|veil| veil.at < acknowledged);
        let mut held = between.flat_map(|veil| values.iter().map(move |value| (veil, value)));
        let counts = |veil: &Veil, value: &str| veil.since >= intent || !is_plain(value);
        self.is_unsure || held.any(|(veil, value)| counts(veil, value) && veil.may_hold(value))
    }
}

impl Values {
    /// Those that are not there at the beginning; none if there is nothing to look for, or too much to look at.
    pub(super) fn missing_in(initial: &Image, values: BTreeSet<&str>) -> Option<Values> {
        let bytes: u64 = initial.inodes().map(|(_, inode)| inode.content.size()).sum();
        if values.is_empty() || bytes > INITIAL_BYTES_MAX {
            return None;
        }
        let mut lengths: HashMap<[u8; 2], BTreeSet<usize>> = HashMap::new();
        let are_plain = values.iter().all(|value| is_plain(value));
        let missing: HashMap<Vec<u8>, Vec<u8>> = values
            .iter()
            .flat_map(|value| {
                forms(value).into_iter().map(|form| (form, value.as_bytes().to_vec()))
            })
            .collect();
        for form in missing.keys() {
            lengths.entry([form[0], form[1]]).or_default().insert(form.len());
        }
        let longest = missing.keys().map(Vec::len).max().unwrap_or(0);
        let (image, written) = (initial.clone(), Written::default());
        let (journals, begun) = (BTreeSet::new(), HashMap::new());
        let mut values = Values {
            image,
            missing,
            lengths,
            longest,
            written,
            journals,
            are_plain,
            text_bytes: 0,
            begun,
        };
        for (_, inode) in initial.inodes() {
            let entries = inode.entries.iter().filter(|(name, _)| is_journal(name));
            values.journals.extend(entries.map(|(_, entry)| entry.file));
            values.look_at_content(&inode.content, (0, inode.content.size()), None);
            inode.entries.keys().for_each(|name| values.look_at(name, None));
        }
        Some(values)
    }

    /// The next operation. A store into a mapping may have been made long before it is seen.
    pub(super) fn operation(&mut self, operation: &Operation, data: &[u8]) {
        let when = is_point(operation).then_some(operation.journal_length);
        for (effect, bytes) in effects_with_data(&operation.effects, data) {
            if let Some(mut veil) = self.veil(effect, bytes, operation.journal_length) {
                self.text_bytes += veil.text.as_ref().map_or(0, Text::length);
                if self.text_bytes > TEXT_BYTES_KEPT_MAX {
                    veil.text = None;
                }
                match when {
                    Some(_) => self.written.veiled.push(veil),
                    None => self.written.is_unsure = true,
                }
            }
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

    pub(super) fn written(mut self) -> Written {
        self.written.veiled.sort_by_key(|veil| veil.at);
        self.written
    }

    /// What an effect, which is still to come, brings into the state that may hold a value in a form in which it is not
    /// found.
    fn veil(&mut self, effect: &Effect, bytes: &[u8], at: u64) -> Option<Veil> {
        match effect {
            Effect::Create { file, name: Some(name), .. } if is_journal(&name.bytes) => {
                self.journals.insert(*file);
                None
            }
            Effect::Write { file, .. }
            | Effect::Replace { file, .. }
            | Effect::Resize { file, .. }
            | Effect::Zero { file, .. }
                if self.journals.contains(file) =>
            {
                None
            }
            Effect::Create { file, name, kind, .. } => {
                self.begun.insert(*file, at);
                let mut text = name.iter().flat_map(|name| name.bytes.clone()).collect::<Vec<_>>();
                if let FileKind::Symlink(target) = kind {
                    text.push(b'\n');
                    text.extend(target);
                }
                Some(Veil::of_text(at, at, &text))
            }
            Effect::Write { file, offset, length, .. } => {
                let size = self.image.inode(*file).map(|inode| inode.content.size());
                let is_text = bytes.len() as u64 == *length && is_text(bytes);
                if !is_text || size != Some(*offset) {
                    return Some(Veil::opaque(at));
                }
                let since = self.begun.get(file).copied().or((!self.are_plain).then_some(0))?;
                Some(Veil::of_text(at, since, bytes))
            }
            Effect::Resize { file, size: 0 } => {
                self.begun.insert(*file, at);
                None
            }
            Effect::Link { file, name } | Effect::Rename { file, to: Some(name), .. } => {
                Some(self.veil_of_name(*file, &name.bytes, at))
            }
            Effect::Rename { .. }
            | Effect::Exchange { .. }
            | Effect::Replace { .. }
            | Effect::Resize { .. }
            | Effect::Zero { .. }
            | Effect::Xattr { .. } => Some(Veil::opaque(at)),
            _ => None,
        }
    }

    /// What comes to stand under a name, with that name.
    fn veil_of_name(&self, file: FileId, name: &[u8], at: u64) -> Veil {
        let Some(inode) = self.image.inode(file) else { return Veil::opaque(at) };
        if inode.kind != FileKind::Regular || inode.content.size() > MOVED_BYTES_MAX {
            return Veil::opaque(at);
        }
        let text = [name, b"\n", &inode.content.read(0, u64::MAX)].concat();
        Veil::of_text(at, at, &text)
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
        // With a byte on either side.
        let around = self.longest as u64 + 1;
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
                let end = at + candidate.len();
                // Within a word it may stand by chance: when it was written is not known then.
                let is_word = at.checked_sub(1).is_none_or(|before| is_boundary(bytes[before]))
                    && bytes.get(end).is_none_or(|after| is_boundary(*after));
                let Some(value) = self.missing.remove(candidate) else { continue };
                let text = String::from_utf8_lossy(&value);
                forms(&text).iter().for_each(|form| drop(self.missing.remove(form)));
                if let Some(when) = when.filter(|_| is_word) {
                    self.written.first.insert(value, when);
                }
            }
        }
    }
}

/// Whether no word goes on with this byte.
fn is_boundary(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric() && byte != b'_'
}

/// Whether a file is called as those are in which SQLite keeps what it writes over, or which pages its log has.
fn is_journal(name: &[u8]) -> bool {
    name.ends_with(b"-journal") || name.ends_with(b"-shm")
}

fn is_text(bytes: &[u8]) -> bool {
    let is_control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    std::str::from_utf8(bytes).is_ok() && !bytes.iter().any(is_control)
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
    fn a_value_is_found_where_it_comes_to_stand_first() {
        let wanted = BTreeSet::from(["there", "val", "split value", "mapped", "never", "ord"]);
        let mut values = Values::missing_in(&image(b"is there"), wanted).expect("something");
        for (kind, length, offset, bytes) in [
            (OperationKind::Write, 10, 8, &b" val split"[..]),
            (OperationKind::Mapped, 15, 34, b"mapped"),
            (OperationKind::Write, 20, 18, b" value words val there mapped ord"),
        ] {
            values.operation(&write(kind, length, offset, bytes), bytes);
        }
        let expect = [(&b"split value"[..], 20), (b"val", 10)];
        let expect = expect.map(|(value, length)| (value.to_vec(), length));
        let written = values.written();
        assert_eq!(written.first, BTreeMap::from(expect));
        assert!(written.is_unsure, "into a mapping");
    }

    #[test]
    fn all_but_text_at_the_end_of_a_file_may_hold_a_value() {
        let wanted = BTreeSet::from(["never"]);
        let mut values = Values::missing_in(&image(b"at first"), wanted).expect("something");
        for (length, offset, bytes) in [
            (10, 8, &b"\nsome text\n"[..]),
            (20, 19, b"x\x9c\x01"),
            (30, 22, b"more"),
            (40, 0, b"over"),
        ] {
            values.operation(&write(OperationKind::Write, length, offset, bytes), bytes);
        }
        let written = values.written();
        let veiled: Vec<u64> = written.veiled.iter().map(|veil| veil.at).collect();
        assert_eq!((&veiled[..], written.is_unsure), (&[20, 40][..], false));
        let values = ["never".to_owned()];
        for (intent, acknowledged, expect) in
            [(5, 15, false), (5, 20, false), (20, 25, true), (25, 40, false), (25, 41, true)]
        {
            let may = written.may_be_veiled(&values, intent, acknowledged);
            assert_eq!(may, expect, "{intent}");
        }
    }

    #[test]
    fn text_in_a_file_that_was_emptied_may_hold_a_value_encoded() {
        for (text, expect) in [("{\"status\":\"saving\"}", false), ("aGVsbG8tdmFsdWU=", true)] {
            let wanted = BTreeSet::from(["hello-value"]);
            let mut values = Values::missing_in(&image(b"at first"), wanted).expect("something");
            let mut emptied = write(OperationKind::Write, 10, 0, b"");
            emptied.effects = vec![Effect::Resize { file: FILE, size: 0 }];
            values.operation(&emptied, b"");
            values.operation(&write(OperationKind::Write, 20, 0, text.as_bytes()), text.as_bytes());
            let written = values.written();
            let values = ["hello-value".to_owned()];
            assert_eq!(written.may_be_veiled(&values, 5, 25), expect, "{text}");
            // It was emptied before anything was meant.
            assert!(!written.may_be_veiled(&values, 15, 25), "{text}");
        }
    }

    #[test]
    fn nothing_to_look_for_costs_nothing() {
        assert!(Values::missing_in(&image(b""), BTreeSet::new()).is_none());
    }
}
