//! What has reached the disk for certain, and the states that a power cut may leave by the models.
//!
//! *Synced* contents of an inode are what it held at the entry of its last successful fsync,
//! fdatasync, syncfs, sync or MS_SYNC, and what was written through O_SYNC or O_DSYNC; what was cut
//! off since then stays cut off. *Durable* directory operations depend on the profile: by fsynced
//! directory (strict), everything up to the last metadata change of an fsynced inode (ext4, xfs), or
//! an fsynced inode's own names (btrfs).

use super::{Models, StateName, Variant, boundaries};
use crate::image::{BLOCK, Content, Image};
use killpoint_model::operation::{Effect, FileId, Name};
use killpoint_model::{CrashModel, Profile};
use std::collections::{BTreeMap, BTreeSet};

/// Most unsynced writes of which one is lost or torn at one point; the latest are taken.
pub const WRITES_MAX: usize = 64;
/// Most directory operations undone at one point; the latest are taken.
pub const DIRECTORY_OPERATIONS_MAX: usize = 64;

/// A unit in which ext4 and xfs may tear an overwrite in place.
const SECTOR: u64 = 512;

#[derive(Clone, Debug)]
struct Write {
    ordinal: u64,
    file: FileId,
    offset: u64,
    length: u64,
}

/// A directory operation that is not durable.
#[derive(Clone, Debug)]
struct NameChange {
    ordinal: u64,
    /// Each name, with what stood there before and after.
    names: Vec<(Name, Option<FileId>, Option<FileId>)>,
    /// The inodes whose names changed.
    files: Vec<FileId>,
    created: bool,
}

/// What is on disk for certain.
#[derive(Debug)]
pub(super) struct Durability {
    profile: Profile,
    synced: BTreeMap<FileId, Content>,
    /// Inodes whose contents in memory may differ from the synced ones.
    dirty: BTreeSet<FileId>,
    writes: Vec<Write>,
    changes: Vec<NameChange>,
    last_metadata: BTreeMap<FileId, u64>,
    captured_at: BTreeMap<FileId, u64>,
    /// ext4: emptied while it held data, so that closing it flushes what is written afterwards.
    emptied: BTreeSet<FileId>,
    at_barrier: Image,
}

impl Durability {
    pub(super) fn start(initial: Image, profile: Profile) -> Self {
        let synced = initial.inodes().map(|(file, inode)| (file, inode.content.clone())).collect();
        Durability {
            profile,
            synced,
            dirty: BTreeSet::new(),
            writes: Vec::new(),
            changes: Vec::new(),
            last_metadata: BTreeMap::new(),
            captured_at: BTreeMap::new(),
            emptied: BTreeSet::new(),
            at_barrier: initial,
        }
    }

    fn synced_content(&mut self, file: FileId) -> &mut Content {
        self.synced.entry(file).or_default()
    }

    /// An effect is about to be applied to `image`.
    pub(super) fn before(&mut self, image: &Image, effect: &Effect, ordinal: u64) {
        let stood = |name: &Name| image.look_up(name);
        let mut change = NameChange { ordinal, names: vec![], files: vec![], created: false };
        match effect {
            Effect::Create { file, name: Some(name), .. } => {
                change.names.push((name.clone(), stood(name), Some(*file)));
                change.files.push(*file);
                change.created = true;
            }
            Effect::Link { file, name } => {
                change.names.push((name.clone(), stood(name), Some(*file)));
                change.files.push(*file);
            }
            Effect::Unlink { file, name } => {
                change.names.push((name.clone(), Some(*file), None));
                change.files.push(*file);
            }
            Effect::Rename { file, from, to, replaced } => {
                if let Some(from) = from {
                    change.names.push((from.clone(), Some(*file), None));
                }
                if let Some(to) = to {
                    change.names.push((to.clone(), stood(to), Some(*file)));
                }
                change.files.push(*file);
                if replaced.is_some() {
                    self.renamed_over(image, *file);
                }
            }
            Effect::Exchange { first, second } => {
                change.names.push((first.0.clone(), Some(first.1), Some(second.1)));
                change.names.push((second.0.clone(), Some(second.1), Some(first.1)));
                change.files.extend([first.1, second.1]);
            }
            Effect::Resize { file, size } => {
                let before = image.inode(*file).map_or(0, |inode| inode.content.size());
                if *size == 0 && before > 0 {
                    self.emptied.insert(*file);
                }
            }
            _ => {}
        }
        if !change.names.is_empty() {
            for file in &change.files {
                self.last_metadata.insert(*file, ordinal);
            }
            self.changes.push(change);
        }
    }

    /// ext4 and btrfs flush a file's data when it is renamed over another (auto_da_alloc).
    fn renamed_over(&mut self, image: &Image, file: FileId) {
        if matches!(self.profile, Profile::Ext4 | Profile::Btrfs) {
            self.sync_contents(image, file, None);
        }
    }

    /// An effect has been applied to `image`.
    pub(super) fn after(&mut self, image: &Image, effect: &Effect, ordinal: u64) {
        match effect {
            Effect::Create { file, .. } => {
                self.synced.insert(*file, Content::default());
                self.captured_at.insert(*file, ordinal);
            }
            Effect::Write { file, offset, length, durable } => {
                let grew = image.inode(*file).is_some_and(|inode| {
                    inode.content.size() == offset + length
                        && self.synced.get(file).is_none_or(|s| s.size() < offset + length)
                });
                if grew {
                    self.last_metadata.insert(*file, ordinal);
                }
                if *durable {
                    self.sync_contents(image, *file, Some((*offset, *length)));
                    self.barrier(image);
                } else {
                    self.dirty.insert(*file);
                    let (file, offset, length) = (*file, *offset, *length);
                    self.writes.push(Write { ordinal, file, offset, length });
                }
            }
            Effect::Resize { file, size } => {
                self.last_metadata.insert(*file, ordinal);
                self.synced_content(*file).resize(*size);
                self.writes.retain(|write| write.file != *file || write.offset < *size);
            }
            Effect::Zero { file, offset, length } => {
                self.last_metadata.insert(*file, ordinal);
                self.synced_content(*file).zero(*offset, *length);
            }
            Effect::Replace { file, .. } => {
                if self.captured_at.get(file) == Some(&ordinal) {
                    // It came from outside, where its syncs are not seen: no blame for that.
                    self.sync_contents(image, *file, None);
                } else {
                    self.last_metadata.insert(*file, ordinal);
                    self.dirty.insert(*file);
                }
            }
            Effect::Synced { file, range, .. } => {
                self.sync_contents(image, *file, *range);
                self.sync_names(*file);
                self.barrier(image);
            }
            Effect::SyncedAll => {
                for file in std::mem::take(&mut self.dirty) {
                    if let Some(inode) = image.inode(file) {
                        self.synced.insert(file, inode.content.clone());
                    }
                }
                self.writes.clear();
                self.changes.clear();
                self.emptied.clear();
                self.barrier(image);
            }
            Effect::Attributes { file, .. } | Effect::Xattr { file, .. } => {
                self.last_metadata.insert(*file, ordinal);
            }
            _ => {}
        }
    }

    fn barrier(&mut self, image: &Image) {
        self.at_barrier = image.clone();
    }

    fn sync_contents(&mut self, image: &Image, file: FileId, range: Option<(u64, u64)>) {
        let Some(inode) = image.inode(file) else { return };
        match range {
            None => {
                self.synced.insert(file, inode.content.clone());
                self.dirty.remove(&file);
                self.emptied.remove(&file);
                self.writes.retain(|write| write.file != file);
            }
            Some((offset, length)) => {
                let end = offset.saturating_add(length).min(inode.content.size());
                let content = inode.content.clone();
                let synced = self.synced_content(file);
                if synced.size() < end {
                    synced.resize(end);
                }
                for index in offset / BLOCK..end.div_ceil(BLOCK) {
                    synced.set_block_from(index, &content);
                }
                let size = synced.size().min(content.size());
                synced.resize(size);
                self.writes.retain(|write| {
                    write.file != file || write.offset < offset || write.offset + write.length > end
                });
            }
        }
    }

    /// Which directory operations an fsync of this inode makes durable.
    fn sync_names(&mut self, file: FileId) {
        match self.profile {
            Profile::Strict => self.changes.retain(|change| {
                let in_directory = change.names.iter().all(|(name, ..)| name.directory == file);
                let own_creation = change.created && change.files.contains(&file);
                !(in_directory || own_creation)
            }),
            Profile::Ext4 | Profile::Xfs => {
                let upto = self.last_metadata.get(&file).copied().unwrap_or(0);
                self.changes.retain(|change| change.ordinal > upto);
            }
            Profile::Btrfs => self.changes.retain(|change| !change.files.contains(&file)),
        }
    }

    /// Whether `data` may take this file's unsynced contents away under the profile.
    fn may_lose(&self, file: FileId) -> bool {
        match self.profile {
            Profile::Strict | Profile::Xfs => true,
            // Emptied and written anew: closing flushes it, and closes are not recorded.
            Profile::Ext4 | Profile::Btrfs => !self.emptied.contains(&file),
        }
    }

    fn losable<'a>(&'a self, image: &'a Image) -> impl Iterator<Item = (FileId, &'a Content)> {
        self.dirty.iter().filter(|file| self.may_lose(**file)).filter_map(|file| {
            let now = &image.inode(*file)?.content;
            let synced = self.synced.get(file)?;
            (!now.equals(synced)).then_some((*file, synced))
        })
    }

    /// Names the states at a cut. For all models but `prefix` and `data` only cuts count at which
    /// something was promised or a barrier is about to come, and the end.
    pub(super) fn variants(
        &self,
        image: &Image,
        models: &Models,
        cut: Cut,
        add: &mut impl FnMut(CrashModel, Variant),
    ) {
        for model in [CrashModel::Prefix, CrashModel::Data] {
            if models.has(model) {
                add(model, Variant::Only);
            }
        }
        if cut == Cut::Inner {
            return;
        }
        if models.has(CrashModel::Size) {
            add(CrashModel::Size, Variant::Only);
        }
        if models.has(CrashModel::FileLost) {
            for (file, _) in self.losable(image) {
                add(CrashModel::FileLost, Variant::File(file.0));
            }
        }
        if models.has(CrashModel::DirLost) {
            self.directory_variants(add);
        }
        for write in self.writes.iter().rev().take(WRITES_MAX) {
            if !self.may_lose(write.file) {
                continue;
            }
            if models.has(CrashModel::OneLost) {
                add(CrashModel::OneLost, Variant::Write(write.ordinal));
            }
            if models.has(CrashModel::TornBlock) {
                for bytes in boundaries(write.offset, write.length, self.tearing_unit(write)) {
                    add(CrashModel::TornBlock, Variant::WriteBytes(write.ordinal, bytes));
                }
            }
        }
    }

    fn tearing_unit(&self, write: &Write) -> u64 {
        let overwrites = self
            .synced
            .get(&write.file)
            .is_some_and(|synced| write.offset + write.length <= synced.size());
        match self.profile {
            Profile::Ext4 | Profile::Xfs if overwrites => SECTOR,
            _ => BLOCK,
        }
    }

    fn directory_variants(&self, add: &mut impl FnMut(CrashModel, Variant)) {
        let latest = self.changes.iter().rev().take(DIRECTORY_OPERATIONS_MAX);
        match self.profile {
            Profile::Ext4 | Profile::Xfs => {
                for change in latest {
                    add(CrashModel::DirLost, Variant::From(change.ordinal));
                }
            }
            Profile::Strict => {
                for change in latest.filter(|change| self.is_independent(change)) {
                    add(CrashModel::DirLost, Variant::Without(change.ordinal));
                }
            }
            // Its documentation and measurements allow the loss of whole transactions only.
            Profile::Btrfs => {}
        }
    }

    /// Whether no later operation builds on this one: touches its names, or lies below them.
    fn is_independent(&self, change: &NameChange) -> bool {
        self.changes.iter().filter(|later| later.ordinal > change.ordinal).all(|later| {
            later.names.iter().all(|(name, ..)| {
                !change.names.iter().any(|(own, ..)| own == name)
                    && !change.files.contains(&name.directory)
            })
        })
    }

    /// Builds a state that [`Durability::variants`] named.
    pub(super) fn build(&self, image: &Image, name: &StateName) -> Image {
        let mut state = image.clone();
        match (name.model, &name.variant) {
            (CrashModel::Prefix, _) => state = self.at_barrier.clone(),
            (CrashModel::Data, _) => {
                for (file, synced) in self.losable(image) {
                    state.set_content(file, synced.clone());
                }
            }
            (CrashModel::Size, _) => {
                for (file, synced) in self.losable(image) {
                    let size = image.inode(file).map_or(0, |inode| inode.content.size());
                    let mut content = synced.clone();
                    content.resize(size);
                    state.set_content(file, content);
                }
            }
            (_, Variant::File(file)) => {
                let file = FileId(*file);
                if let Some(synced) = self.synced.get(&file) {
                    state.set_content(file, synced.clone());
                }
            }
            (_, Variant::Write(ordinal)) => self.lose_from(&mut state, *ordinal, 0),
            (_, Variant::WriteBytes(ordinal, bytes)) => {
                self.lose_from(&mut state, *ordinal, *bytes);
            }
            (_, Variant::From(ordinal)) => self.undo(&mut state, |change| change >= *ordinal),
            (_, Variant::Without(ordinal)) => self.undo(&mut state, |change| change == *ordinal),
            (_, Variant::Only | Variant::Bytes(_)) => {}
        }
        state
    }

    /// Puts the synced bytes back where a write put its own, from so many bytes on. Whole blocks go
    /// back, since two writes inside one block cannot be told apart; but for a cut inside a block.
    fn lose_from(&self, state: &mut Image, ordinal: u64, bytes: u64) {
        for write in self.writes.iter().filter(|write| write.ordinal == ordinal) {
            let Some(synced) = self.synced.get(&write.file) else { continue };
            let from = match bytes {
                0 => write.offset / BLOCK * BLOCK,
                bytes => write.offset + bytes,
            };
            let content = state.content_mut(write.file);
            let end = ((write.offset + write.length).div_ceil(BLOCK) * BLOCK).min(content.size());
            if from >= end {
                continue;
            }
            let length = end - from;
            let mut old = synced.read(from, length);
            old.resize(usize::try_from(length).expect("fits in memory"), 0);
            content.write(from, &old);
        }
    }

    fn undo(&self, state: &mut Image, undone: impl Fn(u64) -> bool) {
        for change in self.changes.iter().rev().filter(|change| undone(change.ordinal)) {
            for (name, before, _) in change.names.iter().rev() {
                state.set_entry(name, *before);
            }
        }
    }
}

/// Where a cut lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Before a barrier, after an acknowledgement, or at the end.
    Edge,
    /// Anywhere else.
    Inner,
}
