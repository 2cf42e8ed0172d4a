//! Metadata changes that are not durable, and how a state is built without them.
//!
//! What makes a change durable depends on the profile (measured, see docs/profiles.md):
//! - strict: an fsync of the directory, for the names in it; an fsync of a new file, for its creation.
//!   So of a rename between directories one name can be durable and the other not.
//! - ext4, xfs: an fsync of an inode, for everything up to that inode's own last change. A change of
//!   times counts for fsync; for fdatasync ext4 counts sizes and new files only, xfs all but times.
//!   For a directory its entries count, with either call.
//! - btrfs: an fsync of an inode, for its own names and size, or the entries of a directory. When it
//!   was renamed, or lost an entry by a rename, everything up to that rename.
//!
//! What a durable change builds on is durable, too: the directory that it stands in, and what
//! happened to its name before.

use crate::image::{BLOCK, Content, Image};
use killpoint_model::Profile;
use killpoint_model::operation::{Attributes, Effect, FileId, FileKind, Name};
use std::collections::{BTreeMap, BTreeSet};

/// One change of metadata that a power cut may undo.
#[derive(Clone, Debug)]
struct Change {
    ordinal: u64,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Names(NameChange),
    /// Bytes written; undone where they needed new blocks or a new size, on btrfs everywhere.
    Written {
        file: FileId,
        offset: u64,
        length: u64,
        before: Content,
    },
    /// Another size.
    Resized {
        file: FileId,
        size: u64,
        before: Content,
    },
    /// A hole.
    Zeroed {
        file: FileId,
        offset: u64,
        length: u64,
        before: Content,
    },
    /// All contents anew.
    Replaced {
        file: FileId,
        before: Content,
    },
    /// Owner, mode, attributes.
    Inode {
        file: FileId,
        attributes: Attributes,
        xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    },
}

/// Names that changed together.
#[derive(Clone, Debug, Default)]
struct NameChange {
    /// Each name with what stood there before; those that became durable are taken out.
    parts: Vec<(Name, Option<FileId>)>,
    /// The inodes whose names changed.
    files: Vec<FileId>,
    /// It gave a new inode its first name.
    created: bool,
    /// The directories from which a rename took a name.
    taken_from: Vec<FileId>,
    /// The directories that a rename moved. None has two names, whatever was synced.
    moved_directories: Vec<FileId>,
}

impl NameChange {
    /// What a sync of a directory makes durable of it: the names that lie there, or all of it where
    /// undoing the rest would give a directory a second name. Leaves the rest.
    fn take_durable(&mut self, directory: FileId) -> Vec<(Name, Option<FileId>)> {
        let (durable, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.parts)
            .into_iter()
            .partition(|(name, _)| name.directory == directory);
        let comes_back = |before: &Option<FileId>| {
            before.is_some_and(|before| self.moved_directories.contains(&before))
        };
        if !durable.is_empty() && rest.iter().any(|(_, before)| comes_back(before)) {
            return durable.into_iter().chain(rest).collect();
        }
        self.parts = rest;
        durable
    }

    fn builds_on(&self, earlier: &NameChange) -> bool {
        self.parts.iter().any(|(name, _)| {
            earlier.files.contains(&name.directory)
                || earlier.parts.iter().any(|(other, _)| other == name)
        })
    }
}

/// The operations that last changed an inode, by what a sync of it looks at. Each includes the next.
#[derive(Clone, Copy, Debug, Default)]
struct LastChange {
    times: u64,
    names: u64,
    size: u64,
}

/// How much of an inode a change touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Touch {
    Times,
    Names,
    Size,
}

/// Metadata changes that are not durable, in order.
#[derive(Debug)]
pub(super) struct Metadata {
    profile: Profile,
    changes: Vec<Change>,
    last: BTreeMap<FileId, LastChange>,
    /// Made by O_TMPFILE and without a name as yet.
    nameless: BTreeSet<FileId>,
    /// btrfs: fsynced, so that a later rename is noted in the log and forces no commit.
    logged: BTreeSet<FileId>,
}

impl Metadata {
    pub(super) fn new(profile: Profile) -> Self {
        Metadata {
            profile,
            changes: Vec::new(),
            last: BTreeMap::new(),
            nameless: BTreeSet::new(),
            logged: BTreeSet::new(),
        }
    }

    fn touch(&mut self, file: FileId, ordinal: u64, touch: Touch) {
        let last = self.last.entry(file).or_default();
        last.times = ordinal;
        if touch >= Touch::Names {
            last.names = ordinal;
        }
        if touch >= Touch::Size {
            last.size = ordinal;
        }
    }

    /// An effect is about to be applied to `image`.
    pub(super) fn note(&mut self, image: &Image, effect: &Effect, ordinal: u64) {
        let content = |file| image.inode(file).map(|i| i.content.clone()).unwrap_or_default();
        let kind = match effect {
            Effect::Write { file, offset, length, .. } => {
                let before = content(*file);
                let grows = offset + length > before.size();
                self.touch(*file, ordinal, if grows { Touch::Size } else { Touch::Times });
                let (file, offset, length) = (*file, *offset, *length);
                Kind::Written { file, offset, length, before }
            }
            Effect::Resize { file, size } => {
                self.touch(*file, ordinal, Touch::Size);
                Kind::Resized { file: *file, size: *size, before: content(*file) }
            }
            Effect::Zero { file, offset, length } => {
                self.touch(*file, ordinal, Touch::Size);
                let (file, offset, length) = (*file, *offset, *length);
                Kind::Zeroed { file, offset, length, before: content(file) }
            }
            Effect::Replace { file, .. } => {
                self.touch(*file, ordinal, Touch::Size);
                Kind::Replaced { file: *file, before: content(*file) }
            }
            Effect::Times { file, .. } => {
                self.touch(*file, ordinal, Touch::Times);
                return;
            }
            Effect::Attributes { file, .. } | Effect::Xattr { file, .. } => {
                self.touch(*file, ordinal, Touch::Names);
                let Some(inode) = image.inode(*file) else { return };
                let (attributes, xattrs) = (inode.attributes, inode.xattrs.clone());
                Kind::Inode { file: *file, attributes, xattrs }
            }
            _ => match self.names(image, effect) {
                Some(names) => {
                    self.touch_names(&names, ordinal);
                    Kind::Names(names)
                }
                None => return,
            },
        };
        // Only what a state can start from opens the list; the rest matters once something did.
        let opens = !matches!(kind, Kind::Written { .. } | Kind::Replaced { .. });
        let is_name = matches!(kind, Kind::Names(_));
        if is_name || self.profile != Profile::Strict && (opens || !self.changes.is_empty()) {
            self.changes.push(Change { ordinal, kind });
        }
    }

    fn names(&mut self, image: &Image, effect: &Effect) -> Option<NameChange> {
        let stood = |name: &Name| (name.clone(), image.look_up(name));
        Some(match effect {
            Effect::Create { file, name: None, .. } => {
                self.nameless.insert(*file);
                return None;
            }
            Effect::Create { file, name: Some(name), .. } => NameChange {
                parts: vec![stood(name)],
                files: vec![*file],
                created: true,
                ..NameChange::default()
            },
            Effect::Link { file, name } => NameChange {
                parts: vec![stood(name)],
                files: vec![*file],
                created: self.nameless.remove(file),
                ..NameChange::default()
            },
            Effect::Unlink { file, name } => NameChange {
                parts: vec![(name.clone(), Some(*file))],
                files: vec![*file],
                ..NameChange::default()
            },
            Effect::Rename { file, from, to, replaced } => NameChange {
                parts: from.iter().chain(to).map(stood).collect(),
                files: std::iter::once(*file).chain(*replaced).collect(),
                taken_from: from.iter().map(|from| from.directory).collect(),
                moved_directories: directories(image, &[*file]),
                ..NameChange::default()
            },
            Effect::Exchange { first, second } => NameChange {
                parts: vec![stood(&first.0), stood(&second.0)],
                files: vec![first.1, second.1],
                taken_from: vec![first.0.directory, second.0.directory],
                moved_directories: directories(image, &[first.1, second.1]),
                ..NameChange::default()
            },
            _ => return None,
        })
    }

    fn touch_names(&mut self, names: &NameChange, ordinal: u64) {
        for file in &names.files {
            self.touch(*file, ordinal, if names.created { Touch::Size } else { Touch::Names });
        }
        for (name, _) in &names.parts {
            self.touch(name.directory, ordinal, Touch::Size);
        }
    }

    /// Everything is durable.
    pub(super) fn synced_all(&mut self) {
        self.changes.clear();
        self.logged.clear();
    }

    /// An inode was synced: all of it, or a range of its bytes and what is needed to read them.
    pub(super) fn synced(&mut self, file: FileId, data_only: bool, range: Option<(u64, u64)>) {
        let upto = match self.profile {
            Profile::Strict => 0,
            Profile::Ext4 | Profile::Xfs => {
                let last = self.last.get(&file).copied().unwrap_or_default();
                match (data_only, self.profile) {
                    (false, _) => last.times,
                    (true, Profile::Xfs) => last.names,
                    (true, _) => last.size,
                }
            }
            Profile::Btrfs => self.renamed_at(file),
        };
        self.changes.retain(|change| change.ordinal > upto);
        let with_inode = self.profile == Profile::Btrfs;
        self.changes.retain(|change| !change.kind.is_synced(file, range, with_inode));
        if matches!(self.profile, Profile::Strict | Profile::Btrfs) {
            self.own_names_are_durable(file);
        }
        if self.profile == Profile::Btrfs {
            self.logged.insert(file);
        }
    }

    /// btrfs: the last rename of this inode, or away from this directory, that its log cannot hold.
    /// It can hold those of an inode that is new or was fsynced before.
    fn renamed_at(&self, file: FileId) -> u64 {
        let is_new = self.changes.iter().any(|change| match &change.kind {
            Kind::Names(names) => names.created && names.files.contains(&file),
            _ => false,
        });
        let held = is_new || self.logged.contains(&file);
        let is_renamed = |names: &NameChange| {
            let is_own = names.files.contains(&file) && !held;
            names.taken_from.contains(&file) || is_own && !names.taken_from.is_empty()
        };
        let renames = self.changes.iter().filter_map(|change| match &change.kind {
            Kind::Names(names) if is_renamed(names) => Some(change.ordinal),
            _ => None,
        });
        renames.max().unwrap_or(0)
    }

    fn own_names_are_durable(&mut self, file: FileId) {
        let mut durable: Vec<(u64, NameChange)> = Vec::new();
        let own = |names: &NameChange| {
            let is_own = names.files.contains(&file);
            is_own && (names.created || self.profile == Profile::Btrfs)
        };
        self.changes.retain_mut(|change| {
            let Kind::Names(names) = &mut change.kind else { return true };
            let in_it = match own(names) {
                true => std::mem::take(&mut names.parts),
                false => names.take_durable(file),
            };
            if !in_it.is_empty() {
                durable.push((change.ordinal, NameChange { parts: in_it, ..names.clone() }));
            }
            !names.parts.is_empty()
        });
        while let Some((ordinal, later)) = durable.pop() {
            self.changes.retain(|change| match &change.kind {
                Kind::Names(names) if change.ordinal < ordinal && later.builds_on(names) => {
                    durable.push((change.ordinal, names.clone()));
                    false
                }
                _ => true,
            });
        }
    }

    /// The operations from which on a power cut may undo everything (all but strict), the latest
    /// first.
    pub(super) fn starts(&self) -> Vec<u64> {
        let mut starts: Vec<u64> = self
            .changes
            .iter()
            .rev()
            .filter(|change| match &change.kind {
                Kind::Names(_) | Kind::Zeroed { .. } | Kind::Inode { .. } => true,
                Kind::Resized { size, before, .. } => *size < before.size(),
                _ => false,
            })
            .map(|change| change.ordinal)
            .collect();
        starts.dedup();
        starts
    }

    /// The operations that a power cut may undo alone (strict): no later one builds on them. The
    /// latest first.
    pub(super) fn independent(&self) -> Vec<u64> {
        let names = |change: &'_ Change| match &change.kind {
            Kind::Names(names) => Some(names.clone()),
            _ => None,
        };
        let mut independent = Vec::new();
        for (index, change) in self.changes.iter().enumerate().rev() {
            let Some(own) = names(change) else { continue };
            let mut later = self.changes[index..].iter().filter(|c| c.ordinal > change.ordinal);
            if later.all(|later| !names(later).is_some_and(|later| later.builds_on(&own))) {
                independent.push(change.ordinal);
            }
        }
        independent.dedup();
        independent
    }

    /// Takes changes back, the latest first. `synced` tells how many bytes of a file are on disk for
    /// certain.
    pub(super) fn undo(
        &self,
        state: &mut Image,
        synced: impl Fn(FileId) -> u64,
        undone: impl Fn(u64) -> bool,
    ) {
        let in_place = self.profile != Profile::Btrfs;
        for change in self.changes.iter().rev().filter(|change| undone(change.ordinal)) {
            change.kind.undo(state, &synced, in_place);
        }
    }
}

fn directories(image: &Image, files: &[FileId]) -> Vec<FileId> {
    let is_directory =
        |file| image.inode(file).is_some_and(|inode| inode.kind == FileKind::Directory);
    files.iter().copied().filter(|file| is_directory(*file)).collect()
}

impl Kind {
    /// Whether it is a change of this file that a sync of this range has made durable, whenever it
    /// happened. With the inode goes what stands in it: size, mode, attributes.
    fn is_synced(&self, file: FileId, range: Option<(u64, u64)>, with_inode: bool) -> bool {
        match self {
            Kind::Names(_) => false,
            Kind::Written { file: own, offset, length, .. } => {
                *own == file
                    && range.is_none_or(|(start, synced)| {
                        offset / BLOCK * BLOCK < start.saturating_add(synced)
                            && start < (offset + length).next_multiple_of(BLOCK)
                    })
            }
            Kind::Resized { file: own, .. }
            | Kind::Zeroed { file: own, .. }
            | Kind::Replaced { file: own, .. }
            | Kind::Inode { file: own, .. } => with_inode && *own == file,
        }
    }

    fn undo(&self, state: &mut Image, synced: &impl Fn(FileId) -> u64, in_place: bool) {
        match self {
            Kind::Names(names) => {
                for (name, before) in names.parts.iter().rev() {
                    state.set_entry(name, *before);
                }
            }
            Kind::Written { file, offset, length, before } => {
                let content = state.content_mut(*file);
                for index in offset / BLOCK..(offset + length).div_ceil(BLOCK) {
                    // Where the file had a block, ext4 and xfs have written the new bytes over it.
                    if !in_place || before.block(index).is_none() {
                        content.set_block_from(index, before);
                    }
                }
                if content.size() > before.size() {
                    let size = before.size().max(synced(*file)).min(content.size());
                    content.resize(size);
                }
            }
            Kind::Resized { file, size, before } => {
                let content = state.content_mut(*file);
                content.resize(before.size());
                if *size < before.size() {
                    content.write(*size, &before.read(*size, before.size() - size));
                }
            }
            Kind::Zeroed { file, offset, length, before } => {
                let content = state.content_mut(*file);
                let length = (*length).min(content.size().saturating_sub(*offset));
                content.write(*offset, &before.read(*offset, length));
            }
            Kind::Replaced { file, before } => state.set_content(*file, before.clone()),
            Kind::Inode { file, attributes, xattrs } => {
                state.set_attributes(*file, *attributes, xattrs.clone());
            }
        }
    }
}
