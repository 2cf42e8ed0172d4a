//! What has reached the disk for certain, and the states that a power cut may leave by the models.
//!
//! *Synced* contents of an inode are what it held at the entry of its last successful fsync,
//! fdatasync, syncfs, sync or MS_SYNC, and what was written through O_SYNC or O_DSYNC; what was cut
//! off since then stays cut off. *Durable* metadata depends on the profile: see `metadata`.
//!
//! Some file systems *flush* a file that replaces another, by a rename over it or by emptying it
//! first, before they commit the replacement. ext4 (`auto_da_alloc`) gives the file its blocks and
//! its size, but without its data until the writing has ended: zeros, never an empty file. btrfs
//! keeps a small file in its metadata, and promises nothing for a large one. xfs promises nothing.

mod metadata;

use super::{Models, StateName, Variant, boundaries};
use crate::image::{BLOCK, Content, Image};
use killpoint_model::operation::{Effect, FileId};
use killpoint_model::{CrashModel, Profile};
use metadata::Metadata;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Most unsynced writes of which one is lost or torn at one point; the latest are taken.
pub const WRITES_MAX: usize = 64;
/// Most directory operations undone at one point; the latest are taken.
pub const DIRECTORY_OPERATIONS_MAX: usize = 64;
/// Files that lose their data, and directory operations that are undone, at a cut where nothing was
/// promised and no barrier is near; the latest.
pub const BETWEEN_MAX: usize = 4;

/// A unit in which ext4 and xfs may tear an overwrite in place.
const SECTOR: u64 = 512;
/// The largest file that btrfs keeps in its metadata (mount option `max_inline`).
const INLINE_BYTES_MAX: u64 = 2_048;

#[derive(Clone, Debug)]
struct Write {
    ordinal: u64,
    file: FileId,
    offset: u64,
    length: u64,
}

impl Write {
    fn end(&self) -> u64 {
        self.offset + self.length
    }

    fn blocks(&self) -> Range<u64> {
        self.offset / BLOCK..self.end().div_ceil(BLOCK)
    }
}

/// What is on disk for certain.
#[derive(Debug)]
pub(super) struct Durability {
    profile: Profile,
    metadata: Metadata,
    synced: BTreeMap<FileId, Content>,
    /// Inodes whose contents in memory may differ from the synced ones.
    dirty: BTreeSet<FileId>,
    writes: Vec<Write>,
    captured_at: BTreeMap<FileId, u64>,
    /// Contents that were flushed when the file was renamed over another.
    flushed: BTreeMap<FileId, Content>,
    /// Emptied, so that closing it flushes what is written afterwards. Closes are not recorded; each
    /// write counts as followed by one.
    emptied: BTreeSet<FileId>,
    at_barrier: Image,
}

impl Durability {
    pub(super) fn start(initial: Image, profile: Profile) -> Self {
        let synced = initial.inodes().map(|(file, inode)| (file, inode.content.clone())).collect();
        Durability {
            profile,
            metadata: Metadata::new(profile),
            synced,
            dirty: BTreeSet::new(),
            writes: Vec::new(),
            captured_at: BTreeMap::new(),
            flushed: BTreeMap::new(),
            emptied: BTreeSet::new(),
            at_barrier: initial,
        }
    }

    fn synced_content(&mut self, file: FileId) -> &mut Content {
        self.synced.entry(file).or_default()
    }

    /// An effect is about to be applied to `image`.
    pub(super) fn before(&mut self, image: &Image, effect: &Effect, ordinal: u64) {
        match effect {
            // It came from outside with its contents; see `after`.
            Effect::Replace { file, .. } if self.captured_at.get(file) == Some(&ordinal) => return,
            Effect::Rename { file, replaced: Some(_), .. } => {
                if let Some(inode) = image.inode(*file).filter(|_| self.dirty.contains(file)) {
                    self.flushed.insert(*file, inode.content.clone());
                }
            }
            Effect::Resize { file, size: 0 } => {
                self.emptied.insert(*file);
            }
            _ => {}
        }
        self.metadata.note(image, effect, ordinal);
    }

    /// What this file holds decides nothing: no state takes it away.
    pub(super) fn settled(&mut self, image: &Image, file: FileId) {
        self.sync_contents(image, file, None);
    }

    /// An effect has been applied to `image`.
    pub(super) fn after(&mut self, image: &Image, effect: &Effect, ordinal: u64) {
        match effect {
            Effect::Create { file, .. } => {
                self.synced.insert(*file, Content::default());
                self.captured_at.insert(*file, ordinal);
            }
            Effect::Write { file, offset, length, durable: true } => {
                let range = Some((*offset, *length));
                self.sync_contents(image, *file, range);
                self.metadata.synced(*file, true, range);
                self.barrier(image);
            }
            Effect::Write { file, offset, length, durable: false } => {
                self.dirty.insert(*file);
                let (file, offset, length) = (*file, *offset, *length);
                self.writes.push(Write { ordinal, file, offset, length });
            }
            Effect::Resize { file, size } => {
                self.synced_content(*file).resize(*size);
                if let Some(flushed) = self.flushed.get_mut(file) {
                    flushed.resize(*size);
                }
                for write in self.writes.iter_mut().filter(|write| write.file == *file) {
                    write.length = write.length.min(size.saturating_sub(write.offset));
                }
                self.writes.retain(|write| write.length > 0);
            }
            Effect::Zero { file, offset, length } => {
                self.synced_content(*file).zero(*offset, *length);
                if let Some(flushed) = self.flushed.get_mut(file) {
                    flushed.zero(*offset, *length);
                }
            }
            Effect::Replace { file, length } => {
                if self.captured_at.get(file) == Some(&ordinal) {
                    // It came from outside, where its syncs are not seen: no blame for that.
                    self.sync_contents(image, *file, None);
                    return;
                }
                self.dirty.insert(*file);
                self.flushed.remove(file);
                self.writes.retain(|write| write.file != *file);
                let synced = self.synced_content(*file);
                let size = synced.size().min(*length);
                synced.resize(size);
            }
            Effect::Synced { file, data_only, range } => {
                self.sync_contents(image, *file, *range);
                self.metadata.synced(*file, *data_only, *range);
                self.barrier(image);
            }
            Effect::SyncedAll => {
                for file in std::mem::take(&mut self.dirty) {
                    if let Some(inode) = image.inode(file) {
                        self.synced.insert(file, inode.content.clone());
                    }
                }
                self.writes.clear();
                self.flushed.clear();
                self.emptied.clear();
                self.metadata.synced_all();
                self.barrier(image);
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
                self.flushed.remove(&file);
                self.writes.retain(|write| write.file != file);
            }
            Some((offset, length)) => {
                // Pages are written whole.
                let start = offset / BLOCK * BLOCK;
                let end = offset.saturating_add(length).checked_next_multiple_of(BLOCK);
                let end = end.unwrap_or(u64::MAX).min(inode.content.size());
                let content = inode.content.clone();
                copy_range(self.synced_content(file), &content, start, end);
                if let Some(flushed) = self.flushed.get_mut(&file) {
                    copy_range(flushed, &content, start, end);
                }
                self.writes.retain(|write| {
                    write.file != file || write.offset < start || write.end() > end
                });
            }
        }
    }

    /// What the file system makes sure of without being asked: the contents that it flushed.
    fn flushed<'a>(&'a self, file: FileId, now: &'a Content) -> Option<&'a Content> {
        let flushed = match self.emptied.contains(&file) {
            true => Some(now),
            false => self.flushed.get(&file),
        };
        match self.profile {
            Profile::Ext4 => flushed,
            Profile::Btrfs => flushed.filter(|content| content.size() <= INLINE_BYTES_MAX),
            Profile::Strict | Profile::Xfs => None,
        }
    }

    /// The contents that a file has left when its unsynced data is lost.
    fn left(&self, file: FileId, now: &Content, loss: Loss) -> Option<Content> {
        let synced = self.synced.get(&file)?;
        let mut left = synced.clone();
        match (self.flushed(file, now), self.profile) {
            (Some(flushed), Profile::Btrfs) => left = flushed.clone(),
            (Some(flushed), _) => match loss {
                Loss::Shortened => left = flushed.clone(),
                Loss::OneFile | Loss::Zeros => left.resize(flushed.size()),
            },
            (None, _) => {}
        }
        if loss == Loss::Zeros && now.size() > left.size() {
            match self.profile {
                Profile::Strict | Profile::Ext4 => left.resize(now.size()),
                Profile::Xfs | Profile::Btrfs => self.keep_last_write(file, now, &mut left),
            }
        }
        (!left.equals(now)).then_some(left)
    }

    /// xfs and btrfs note a new size when the data up to it has been written; what lies before may
    /// still be absent.
    fn keep_last_write(&self, file: FileId, now: &Content, left: &mut Content) {
        let mut writes = self.writes.iter().rev().filter(|write| write.file == file);
        let Some(write) = writes.find(|write| write.end() == now.size()) else { return };
        left.resize(now.size());
        for index in write.blocks() {
            left.set_block_from(index, now);
        }
    }

    /// Each file that loses something, with what it has left.
    fn losses(&self, image: &Image, loss: Loss) -> Vec<(FileId, Content)> {
        let files = self.dirty.iter().filter_map(|file| {
            let inode = image.inode(*file)?;
            Some((*file, self.left(*file, &inode.content, loss)?))
        });
        files.collect()
    }

    /// Names the states at a cut. `prefix` and `data` have all of them at every cut. Where nothing was
    /// promised and no barrier is near, `file-lost` and `dir-lost` have the latest only, and the other
    /// models none: what was written of one file may be there while another has lost its own.
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
            self.variants_between(image, models, add);
            return;
        }
        if models.has(CrashModel::Size) {
            add(CrashModel::Size, Variant::Only);
        }
        if models.has(CrashModel::FileLost) {
            for (file, _) in self.losses(image, Loss::OneFile) {
                add(CrashModel::FileLost, Variant::File(file.0));
            }
        }
        if models.has(CrashModel::DirLost) {
            self.directory_variants(DIRECTORY_OPERATIONS_MAX, add);
        }
        for write in self.writes.iter().rev().take(WRITES_MAX) {
            if self.is_inline(image, write.file) {
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

    fn variants_between(
        &self,
        image: &Image,
        models: &Models,
        add: &mut impl FnMut(CrashModel, Variant),
    ) {
        // With one file, `data` has the state.
        if models.has(CrashModel::FileLost) && self.dirty.len() > 1 {
            let mut files: Vec<FileId> = Vec::new();
            for write in self.writes.iter().rev().take(WRITES_MAX) {
                if files.len() < BETWEEN_MAX && !files.contains(&write.file) {
                    files.push(write.file);
                }
            }
            for file in files {
                let loses = |content| self.left(file, content, Loss::OneFile).is_some();
                if image.inode(file).is_some_and(|inode| loses(&inode.content)) {
                    add(CrashModel::FileLost, Variant::File(file.0));
                }
            }
        }
        if models.has(CrashModel::DirLost) {
            self.directory_variants(BETWEEN_MAX, add);
        }
    }

    /// Whether the file's bytes came to the disk with its metadata.
    fn is_inline(&self, image: &Image, file: FileId) -> bool {
        let Some(inode) = image.inode(file) else { return true };
        let flushed = self.flushed(file, &inode.content);
        self.profile == Profile::Btrfs && flushed.is_some_and(|it| it.equals(&inode.content))
    }

    fn tearing_unit(&self, write: &Write) -> u64 {
        let overwrites = self.synced.get(&write.file).is_some_and(|synced| {
            write.end() <= synced.size()
                && write.blocks().all(|index| synced.block(index).is_some())
        });
        match self.profile {
            Profile::Ext4 | Profile::Xfs if overwrites => SECTOR,
            _ => BLOCK,
        }
    }

    fn directory_variants(&self, most: usize, add: &mut impl FnMut(CrashModel, Variant)) {
        match self.profile {
            Profile::Ext4 | Profile::Xfs | Profile::Btrfs => {
                for ordinal in self.metadata.starts().into_iter().take(most) {
                    add(CrashModel::DirLost, Variant::From(ordinal));
                }
            }
            Profile::Strict => {
                let independent = self.metadata.independent();
                for ordinal in independent.into_iter().take(most) {
                    add(CrashModel::DirLost, Variant::Without(ordinal));
                }
            }
        }
    }

    fn lose(&self, state: &mut Image, image: &Image, loss: Loss) {
        for (file, left) in self.losses(image, loss) {
            state.set_content(file, left);
        }
    }

    /// Builds a state that [`Durability::variants`] named.
    pub(super) fn build(&self, image: &Image, name: &StateName) -> Image {
        let mut state = image.clone();
        match (name.model, &name.variant) {
            (CrashModel::Prefix, _) => state = self.at_barrier.clone(),
            (CrashModel::Data, _) => self.lose(&mut state, image, Loss::Shortened),
            (CrashModel::Size, _) => self.lose(&mut state, image, Loss::Zeros),
            (_, Variant::File(file)) => {
                let file = FileId(*file);
                let inode = image.inode(file);
                let left = inode.and_then(|i| self.left(file, &i.content, Loss::OneFile));
                if let Some(left) = left {
                    state.set_content(file, left);
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

    fn undo(&self, state: &mut Image, undone: impl Fn(u64) -> bool) {
        let synced = |file| self.synced.get(&file).map_or(0, Content::size);
        self.metadata.undo(state, synced, undone);
    }

    /// Puts the synced bytes back where a write put its own, from so many bytes on. Whole blocks go
    /// back, since two writes inside one block cannot be told apart; but for a cut inside a block.
    fn lose_from(&self, state: &mut Image, ordinal: u64, bytes: u64) {
        for write in self.writes.iter().filter(|write| write.ordinal == ordinal) {
            let Some(synced) = self.synced.get(&write.file) else { continue };
            let from = match bytes {
                0 => write.blocks().start * BLOCK,
                bytes => write.offset + bytes,
            };
            let content = state.content_mut(write.file);
            let end = (write.blocks().end * BLOCK).min(content.size());
            if from >= end {
                continue;
            }
            let length = end - from;
            let mut old = synced.read(from, length);
            old.resize(usize::try_from(length).expect("fits in memory"), 0);
            content.write(from, &old);
            if end == content.size() && end > synced.size() {
                let kept = self.kept_size(write, bytes).max(synced.size()).min(end);
                content.resize(kept);
            }
        }
    }

    /// The size that a file has when the end of a write that made it grow is lost.
    fn kept_size(&self, lost: &Write, bytes: u64) -> u64 {
        let others = self.writes.iter().filter(|other| {
            let last_block = other.blocks().end - 1;
            other.file == lost.file
                && other.ordinal != lost.ordinal
                && last_block < lost.blocks().start
        });
        let others = others.map(Write::end).max();
        match self.profile {
            Profile::Strict | Profile::Ext4 => u64::MAX,
            // The size in memory is noted with any data that has been written.
            Profile::Btrfs if bytes > 0 || others.is_some() => u64::MAX,
            Profile::Xfs | Profile::Btrfs if bytes > 0 => lost.offset + bytes,
            Profile::Xfs | Profile::Btrfs => others.unwrap_or(0),
        }
    }
}

/// Copies whole blocks into contents that are at least as long afterwards as the range.
fn copy_range(to: &mut Content, from: &Content, start: u64, end: u64) {
    to.resize(to.size().max(end));
    for index in start / BLOCK..end.div_ceil(BLOCK) {
        to.set_block_from(index, from);
    }
    to.resize(to.size().min(from.size()));
}

/// How a file's unsynced data is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// With the size that it gave the file (`data`).
    Shortened,
    /// In this file alone, with its size where the file system lets that happen (`file-lost`).
    OneFile,
    /// Without its size: zeros are left (`size`).
    Zeros,
}

/// Where a cut lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Before a barrier, after an acknowledgement, or at the end.
    Edge,
    /// Anywhere else.
    Inner,
}
