//! Which operations write anything that is judged: they change contents or names. A sync, a mode and a time are no
//! writing, nor is what happens to locks and process ids, which are never judged.

use crate::asserter::oracle::{LOCK_BYTES_MAX, is_lock, is_scratch};
use killpoint_engine::image::Image;
use killpoint_model::operation::FileId;
use killpoint_model::{Effect, Operation};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The changes of a recording.
#[derive(Default)]
pub(super) struct Changes {
    files: HashMap<FileId, Known>,
    /// How long the journal was at the entry of each operation that changed anything, and the files that it changed.
    by_operation: Vec<(u64, Vec<FileId>)>,
}

/// What is known of a file in the course of the recording.
#[derive(Default)]
struct Known {
    /// Whether one of its names is that of a lock or a process id.
    is_lock: bool,
    /// Whether one of its names is no such name, nor one of a temporary file: it holds data.
    is_data: bool,
    size: u64,
    longest: u64,
}

impl Known {
    fn name(&mut self, name: &[u8]) {
        let name = Path::new(OsStr::from_bytes(name));
        self.is_lock |= is_lock(name);
        self.is_data |= !is_scratch(name);
    }

    /// Whether it is judged nowhere.
    fn is_only_lock(&self) -> bool {
        self.is_lock && !self.is_data && self.longest <= LOCK_BYTES_MAX
    }
}

impl Changes {
    /// Nothing has changed yet.
    pub(super) fn since(initial: &Image) -> Changes {
        let mut changes = Changes::default();
        for (_, inode) in initial.inodes() {
            for (name, entry) in &inode.entries {
                changes.known(entry.file).name(name);
            }
        }
        for (file, inode) in initial.inodes() {
            changes.resize(file, inode.content.size());
        }
        changes
    }

    fn known(&mut self, file: FileId) -> &mut Known {
        self.files.entry(file).or_default()
    }

    /// The next operation.
    pub(super) fn operation(&mut self, operation: &Operation) {
        let changed: Vec<FileId> =
            operation.effects.iter().filter_map(|effect| self.changed(effect)).collect();
        if !changed.is_empty() {
            self.by_operation.push((operation.journal_length, changed));
        }
    }

    /// The file whose contents or name an effect changes.
    fn changed(&mut self, effect: &Effect) -> Option<FileId> {
        match effect {
            Effect::Create { file, name: Some(name), .. }
            | Effect::Rename { file, to: Some(name), .. }
            | Effect::Link { file, name } => self.known(*file).name(&name.bytes),
            Effect::Create { .. } | Effect::Rename { .. } => {}
            Effect::Write { file, offset, length, .. } => {
                let size = self.known(*file).size;
                self.resize(*file, size.max(offset.saturating_add(*length)));
            }
            Effect::Resize { file, size } if self.known(*file).size == *size => return None,
            Effect::Resize { file, size: length } | Effect::Replace { file, length } => {
                self.resize(*file, *length);
            }
            // Programs may keep values in extended attributes.
            Effect::Exchange { .. }
            | Effect::Unlink { .. }
            | Effect::Zero { .. }
            | Effect::Xattr { .. } => {}
            Effect::Nothing
            | Effect::Attributes { .. }
            | Effect::Times { .. }
            | Effect::Synced { .. }
            | Effect::SyncedAll => return None,
        }
        effect.file()
    }

    fn resize(&mut self, file: FileId, size: u64) {
        let known = self.known(file);
        known.size = size;
        known.longest = known.longest.max(size);
    }

    /// How long the journal was at the entry of each operation that wrote anything that is judged, ascending as the
    /// operations are.
    pub(super) fn written(self) -> Vec<u64> {
        let is_judged = |file: &FileId| !self.files.get(file).is_some_and(Known::is_only_lock);
        let written = self.by_operation.iter().filter(|(_, files)| files.iter().any(is_judged));
        written.map(|(length, _)| *length).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use killpoint_engine::image::{Content, Inode};
    use killpoint_model::operation::{Attributes, FileKind, Name};
    use killpoint_model::{Address, Operation};
    use std::sync::Arc;

    const ROOT: FileId = FileId(1);
    const DATA: FileId = FileId(2);
    const LOCK: FileId = FileId(3);
    const NEW: FileId = FileId(4);

    fn name(text: &str) -> Name {
        Name { directory: ROOT, bytes: text.into() }
    }

    /// Whether an operation with these effects has written anything.
    fn is_written(effects: &[Effect]) -> bool {
        let mut image = Image::default();
        image.put(ROOT, Arc::new(Inode::new(FileKind::Directory, Attributes::default())));
        for (file, name) in [(DATA, "a.json"), (LOCK, "lock")].map(|(file, it)| (file, name(it))) {
            let mut inode = Inode::new(FileKind::Regular, Attributes::default());
            inode.content = Content::of_bytes(b"1");
            image.put(file, Arc::new(inode));
            image.set_entry(&name, Some(file));
        }
        let mut changes = Changes::since(&image);
        for effect in effects {
            changes.operation(&Operation {
                ordinal: 1,
                address: Address::End,
                shown: Vec::new(),
                process: 1,
                call: String::new(),
                result: 0,
                journal_length: 10,
                at_ns: 0,
                effects: vec![effect.clone()],
            });
        }
        !changes.written().is_empty()
    }

    #[test]
    fn contents_and_names_are_written_and_locks_are_not() {
        let (kind, attributes) = (FileKind::Regular, Attributes::default());
        let write = |file, length| Effect::Write { file, offset: 0, length, durable: false };
        let resize = |file, size| Effect::Resize { file, size };
        let create = |text| {
            let (name, kind) = (Some(name(text)), kind.clone());
            Effect::Create { file: NEW, name, kind, attributes }
        };
        let rename = |text| {
            let to = Some(name(text));
            Effect::Rename { file: NEW, from: None, to, replaced: None }
        };
        for (effects, expect) in [
            (vec![write(DATA, 1)], true),
            (vec![resize(DATA, 0)], true),
            (vec![Effect::Unlink { file: DATA, name: name("a.json") }], true),
            (vec![create("b.json")], true),
            // No contents, and no names.
            (vec![Effect::Nothing, Effect::SyncedAll], false),
            (vec![Effect::Synced { file: DATA, data_only: false, range: None }], false),
            (vec![Effect::Attributes { file: DATA, attributes }], false),
            (vec![Effect::Times { file: DATA, modified_ns: 1 }], false),
            (vec![resize(DATA, 1)], false),
            // Nobody misses a lock; what is too large for one, or becomes something else, is none.
            (vec![resize(LOCK, 0), write(LOCK, 1)], false),
            (vec![write(LOCK, LOCK_BYTES_MAX + 1)], true),
            (vec![create("a.json.lock"), write(NEW, 1)], false),
            (vec![create("a.json.lock"), write(NEW, 1), rename("a.json")], true),
            (vec![create("app.pid.tmp"), write(NEW, 1), rename("app.pid")], false),
            (vec![create("a.json.tmp"), write(NEW, 1)], true),
        ] {
            assert_eq!(is_written(&effects), expect, "{effects:?}");
        }
    }
}
