//! What a call has done, once it has returned: read back from the files themselves.

use super::Recorder;
use super::pending::{Action, At, Pending};
use crate::clock::modified_ns;
use crate::guest::{Guest, Identity, Place, identity};
use crate::image::{attributes_of, kind_of, nanoseconds, read_inode, read_xattrs};
use killpoint_model::operation::{Attributes, Effect, FileId, FileKind, Name};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Descriptors of our own that are kept open for reading back.
const READERS_MAX: usize = 128;
/// Most files, those that were written last, whose times are compared with one that a program sets.
const WRITTEN_MAX: usize = 64;

impl<C: FnMut() -> bool> Recorder<C> {
    /// The effects of a call that returned `result`, and their data.
    pub(super) fn complete(
        &mut self,
        guest: Guest,
        pending: &mut Pending,
        (result, written): (i64, Option<&[u8]>),
        data: &mut Vec<u8>,
    ) -> Vec<Effect> {
        let action = std::mem::replace(&mut pending.action, Action::Nothing);
        let attempt = self.effects(guest, action, (result, written), data);
        attempt.unwrap_or_else(|error| {
            data.clear();
            let file = pending.labels.first().map_or("", |label| &*label.shown);
            self.gap(file, format!("the result of {} could not be read: {error}", pending.call));
            vec![Effect::Nothing]
        })
    }

    fn effects(
        &mut self,
        guest: Guest,
        action: Action,
        (result, written): (i64, Option<&[u8]>),
        data: &mut Vec<u8>,
    ) -> io::Result<Vec<Effect>> {
        let effect = match action {
            Action::Write { file, descriptor, at, durable, buffer, .. } => {
                let length = result.unsigned_abs();
                if length == 0 {
                    return Ok(vec![Effect::Nothing]);
                }
                let offset = match at {
                    At::Current => descriptor.position()?.saturating_sub(length),
                    At::Offset(offset) => offset,
                    At::Pointer(address) => guest.read_u64(address)?.saturating_sub(length),
                    At::End => rustix::fs::fstat(descriptor.file())?
                        .st_size
                        .unsigned_abs()
                        .saturating_sub(length),
                };
                match written.filter(|_| !self.mapped.follows(file)) {
                    Some(written) => data.extend_from_slice(written),
                    None => {
                        self.read_back(
                            guest,
                            file,
                            descriptor.file(),
                            offset,
                            length,
                            buffer,
                            data,
                        )?;
                    }
                }
                self.mapped.refresh(file);
                self.has_written(file);
                Effect::Write { file, offset, length, durable }
            }
            Action::Create { name, place } => return self.created(name, &place, data),
            Action::Temporary => return self.temporary(guest, result),
            Action::Resize { file, size } => {
                self.mapped.refresh(file);
                Effect::Resize { file, size }
            }
            Action::Fallocate { file, descriptor, mode, offset, length } => {
                return self.fallocated(file, descriptor.file(), mode, offset, length, data);
            }
            Action::Replace { file, descriptor } => self.replaced(file, descriptor.file(), data)?,
            Action::Rename { from, to, exchange } => {
                return self.renamed(from, to, exchange, data);
            }
            Action::Link { source: Some(file), name, place } => {
                self.temporaries.remove(&file);
                let stat = place.stat().ok_or(io::ErrorKind::NotFound)?;
                self.identities.insert(identity(&stat), file);
                self.namespace.add(name.clone(), file);
                Effect::Link { file, name }
            }
            Action::Link { source: None, name, place } => {
                return self.captured(name, &place.reach(), data);
            }
            Action::Unlink { name, file } => {
                self.namespace.remove(&name);
                if self.namespace.names_of(file) == 0 {
                    self.readers.remove(&file);
                }
                Effect::Unlink { file, name }
            }
            Action::Attributes { file, probe } => {
                let stat = rustix::fs::fstat(&probe)?;
                let attributes =
                    Attributes { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid };
                Effect::Attributes { file, attributes }
            }
            Action::Xattrs { file, probe } => {
                let mut effects = self.xattrs(file, &probe)?;
                // Setting an ACL changes the mode.
                let stat = rustix::fs::fstat(&probe)?;
                let attributes =
                    Attributes { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid };
                if self.image.inode(file).is_some_and(|inode| inode.attributes != attributes) {
                    effects.push(Effect::Attributes { file, attributes });
                }
                return Ok(effects);
            }
            Action::Times { file, probe } => {
                let set_ns = modified_ns(&rustix::fs::fstat(&probe)?);
                Effect::Times { file, modified_ns: self.recorded_time(file, set_ns) }
            }
            Action::Nothing => Effect::Nothing,
            Action::Sync { file, data_only, range, .. } => {
                Effect::Synced { file, data_only, range }
            }
            Action::SyncAll => Effect::SyncedAll,
        };
        Ok(vec![effect])
    }

    /// The time that a program has given to a file, as the recording has it. Calls are recorded with
    /// the clock's last tick; a file says a little more exactly when it was changed. Where the program
    /// has taken the time of another file, the two must be equal in the recording as well.
    fn recorded_time(&self, target: FileId, set_ns: i64) -> i64 {
        let others = self.written.iter().rev().filter(|file| **file != target);
        let source = others.copied().find(|file| {
            let metadata = self.path_of(*file).and_then(|path| path.symlink_metadata().ok());
            metadata.is_some_and(|it| nanoseconds(it.mtime(), it.mtime_nsec()) == set_ns)
        });
        let source = source.and_then(|file| self.image.inode(file));
        source.map_or(set_ns, |inode| inode.modified_ns)
    }

    /// Keeps in mind that a file was written.
    fn has_written(&mut self, file: FileId) {
        if self.written.back() != Some(&file) {
            if self.written.len() == WRITTEN_MAX {
                self.written.pop_front();
            }
            self.written.push_back(file);
        }
    }

    /// Where a file of the state is now.
    fn path_of(&self, file: FileId) -> Option<PathBuf> {
        let (root, path) = self.namespace.path_of(file)?;
        Some(self.roots.get(&root)?.join(path))
    }

    /// Reads what was written from the file itself: the target's memory may have changed since.
    #[expect(clippy::too_many_arguments, reason = "the parts of one write")]
    fn read_back(
        &mut self,
        guest: Guest,
        file: FileId,
        descriptor: &OwnedFd,
        offset: u64,
        length: u64,
        buffer: Option<u64>,
        data: &mut Vec<u8>,
    ) -> io::Result<()> {
        let start = data.len();
        data.resize(start + usize::try_from(length).map_err(io::Error::other)?, 0);
        let read = self
            .reader(file, descriptor)
            .and_then(|reader| reader.read_exact_at(&mut data[start..], offset));
        match (read, buffer) {
            // A file that may be written and not read: take it from the target's memory.
            (Err(error), Some(address)) if error.kind() == io::ErrorKind::PermissionDenied => {
                let bytes = guest.read_bytes(address, data.len() - start)?;
                data.truncate(start);
                data.extend_from_slice(&bytes);
                Ok(())
            }
            (read, _) => read,
        }
    }

    /// A description of our own, for reading.
    fn reader(&mut self, file: FileId, descriptor: &OwnedFd) -> io::Result<&File> {
        if !self.readers.contains_key(&file) {
            if self.readers.len() >= READERS_MAX {
                self.readers.clear();
            }
            let opened = File::open(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))?;
            self.readers.insert(file, opened);
        }
        Ok(&self.readers[&file])
    }

    /// Follows a mapping from now on.
    pub(super) fn follow_mapping(&mut self, file: FileId, descriptor: &OwnedFd, label: String) {
        match File::open(format!("/proc/self/fd/{}", descriptor.as_raw_fd())) {
            Ok(reader) => {
                let size = reader.metadata().map_or(0, |metadata| metadata.len());
                if size > super::mapped::MAPPED_BYTES_MAX {
                    let limit = super::mapped::MAPPED_BYTES_MAX;
                    self.gap(
                        label.clone(),
                        format!(
                            "mapped and larger than {limit} bytes: its stores are not followed"
                        ),
                    );
                }
                self.mapped.add(file, reader, label);
            }
            Err(error) => self.gap(label, format!("mapped, and cannot be read: {error}")),
        }
    }

    fn created(
        &mut self,
        name: Name,
        place: &Place,
        data: &mut Vec<u8>,
    ) -> io::Result<Vec<Effect>> {
        let path = place.reach();
        let metadata = path.symlink_metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        if metadata.is_file() && metadata.len() > 0 {
            return self.captured(name, &path, data); // not made by this call after all
        }
        let file = self.new_file(identity);
        self.namespace.add(name.clone(), file);
        self.clock.has_modified(nanoseconds(metadata.mtime(), metadata.mtime_nsec()));
        let kind = kind_of(&path, &metadata)?;
        Ok(vec![Effect::Create {
            file,
            name: Some(name),
            kind,
            attributes: attributes_of(&metadata),
        }])
    }

    fn temporary(&mut self, guest: Guest, result: i64) -> io::Result<Vec<Effect>> {
        let descriptor = i32::try_from(result).map_err(io::Error::other)?;
        let copy = self.descriptors.copy(guest.thread, descriptor)?.into_file();
        let stat = rustix::fs::fstat(&copy)?;
        let file = self.new_file(identity(&stat));
        self.temporaries.insert(file);
        let attributes =
            Attributes { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid };
        Ok(vec![Effect::Create { file, name: None, kind: FileKind::Regular, attributes }])
    }

    fn fallocated(
        &mut self,
        file: FileId,
        descriptor: &OwnedFd,
        mode: i32,
        offset: u64,
        length: u64,
        data: &mut Vec<u8>,
    ) -> io::Result<Vec<Effect>> {
        self.mapped.refresh(file);
        let moves = libc::FALLOC_FL_COLLAPSE_RANGE | libc::FALLOC_FL_INSERT_RANGE;
        if mode & moves != 0 {
            return Ok(vec![self.replaced(file, descriptor, data)?]);
        }
        let size = rustix::fs::fstat(descriptor)?.st_size.unsigned_abs();
        let mut effects = Vec::new();
        if mode & (libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE) != 0 {
            effects.push(Effect::Zero { file, offset, length });
        }
        let known = self.image.inode(file).map(|inode| inode.content.size());
        if known != Some(size) {
            effects.push(Effect::Resize { file, size });
        }
        if effects.is_empty() {
            effects.push(Effect::Nothing);
        }
        Ok(effects)
    }

    fn replaced(
        &mut self,
        file: FileId,
        descriptor: &OwnedFd,
        data: &mut Vec<u8>,
    ) -> io::Result<Effect> {
        let length = rustix::fs::fstat(descriptor)?.st_size.unsigned_abs();
        let start = data.len();
        data.resize(start + usize::try_from(length).map_err(io::Error::other)?, 0);
        self.reader(file, descriptor)?.read_exact_at(&mut data[start..], 0)?;
        self.mapped.refresh(file);
        Ok(Effect::Replace { file, length })
    }

    fn renamed(
        &mut self,
        from: Option<(Name, FileId)>,
        to: Option<(Name, Place)>,
        exchange: bool,
        data: &mut Vec<u8>,
    ) -> io::Result<Vec<Effect>> {
        match (from, to) {
            (Some((from, file)), Some((to, _))) => {
                let replaced = self.namespace.look_up(&to);
                if replaced == Some(file) {
                    return Ok(vec![Effect::Nothing]); // two names of one file stay as they are
                }
                self.namespace.remove(&from);
                self.namespace.remove(&to);
                if exchange && let Some(other) = replaced {
                    self.namespace.add(from.clone(), other);
                    self.namespace.add(to.clone(), file);
                    return Ok(vec![Effect::Exchange { first: (from, file), second: (to, other) }]);
                }
                self.namespace.add(to.clone(), file);
                Ok(vec![Effect::Rename { file, from: Some(from), to: Some(to), replaced }])
            }
            (Some((from, file)), None) => {
                self.namespace.remove(&from);
                self.forget_identities(file, 0);
                Ok(vec![Effect::Rename { file, from: Some(from), to: None, replaced: None }])
            }
            (None, Some((to, place))) => {
                self.namespace.remove(&to);
                self.captured(to, &place.reach(), data)
            }
            (None, None) => Ok(vec![Effect::Nothing]),
        }
    }

    /// What left the state is no longer of it, unless another name keeps it.
    fn forget_identities(&mut self, file: FileId, depth: usize) {
        const DEPTH_MAX: usize = 1_000;
        if depth < DEPTH_MAX {
            for (name, child) in self.namespace.children(file) {
                self.namespace.remove(&name);
                self.forget_identities(child, depth + 1);
            }
        }
        if self.namespace.names_of(file) == 0 {
            self.identities.retain(|_, id| *id != file);
        }
    }

    /// Something came in from outside: a file, or a directory with all that is in it.
    fn captured(&mut self, name: Name, path: &Path, data: &mut Vec<u8>) -> io::Result<Vec<Effect>> {
        const CAPTURED_MAX: usize = 100_000;
        let mut effects = Vec::new();
        // After all that changes them: it brings its times along.
        let mut times = Vec::new();
        let mut rest: Vec<(Name, PathBuf)> = vec![(name, path.to_owned())];
        while let Some((name, path)) = rest.pop() {
            if effects.len() > CAPTURED_MAX {
                return Err(io::Error::other("more files came in at once than can be captured"));
            }
            let metadata = path.symlink_metadata()?;
            let identity: Identity = (metadata.dev(), metadata.ino());
            if let Some(file) = self.identities.get(&identity).copied() {
                self.namespace.add(name.clone(), file);
                effects.push(Effect::Link { file, name });
                continue;
            }
            let inode = read_inode(&path, &metadata)?;
            let file = self.new_file(identity);
            self.namespace.add(name.clone(), file);
            effects.push(Effect::Create {
                file,
                name: Some(name),
                kind: inode.kind.clone(),
                attributes: inode.attributes,
            });
            for (name, value) in inode.xattrs {
                effects.push(Effect::Xattr { file, name, value: Some(value) });
            }
            if metadata.is_file() {
                self.captured_bytes(file, &path, metadata.len(), &mut effects, data)?;
            }
            let modified_ns = nanoseconds(metadata.mtime(), metadata.mtime_nsec());
            times.push(Effect::Times { file, modified_ns });
            if metadata.is_dir() {
                for entry in std::fs::read_dir(&path)? {
                    let entry = entry?;
                    let bytes = std::os::unix::ffi::OsStringExt::into_vec(entry.file_name());
                    rest.push((Name { directory: file, bytes }, entry.path()));
                }
            }
        }
        effects.append(&mut times);
        Ok(effects)
    }

    /// The contents of a file that came in: whole, or only what is in no hole.
    fn captured_bytes(
        &mut self,
        file: FileId,
        path: &Path,
        size: u64,
        effects: &mut Vec<Effect>,
        data: &mut Vec<u8>,
    ) -> io::Result<()> {
        let content = crate::image::Content::of_file(crate::image::Source::new(path), size)?;
        let blocks = size.div_ceil(crate::image::BLOCK);
        if content.blocks().count() as u64 == blocks {
            effects.push(Effect::Replace { file, length: size });
            data.extend_from_slice(&content.read(0, size));
            return Ok(());
        }
        effects.push(Effect::Resize { file, size });
        for index in content.blocks() {
            let offset = index * crate::image::BLOCK;
            let bytes = content.read(offset, crate::image::BLOCK);
            let length = bytes.len() as u64;
            effects.push(Effect::Write { file, offset, length, durable: false });
            data.extend_from_slice(&bytes);
        }
        Ok(())
    }

    fn xattrs(&mut self, file: FileId, probe: &OwnedFd) -> io::Result<Vec<Effect>> {
        // Through /proc, as a descriptor opened O_PATH has no attributes of its own.
        let now = read_followed_xattrs(probe)?;
        let before = self.image.inode(file).map(|inode| inode.xattrs.clone()).unwrap_or_default();
        let mut effects = Vec::new();
        for (name, value) in &now {
            if before.get(name) != Some(value) {
                effects.push(Effect::Xattr {
                    file,
                    name: name.clone(),
                    value: Some(value.clone()),
                });
            }
        }
        for name in before.keys().filter(|name| !now.contains_key(*name)) {
            effects.push(Effect::Xattr { file, name: name.clone(), value: None });
        }
        if effects.is_empty() {
            effects.push(Effect::Nothing);
        }
        Ok(effects)
    }
}

fn read_followed_xattrs(
    probe: &OwnedFd,
) -> io::Result<std::collections::BTreeMap<Vec<u8>, Vec<u8>>> {
    let path = rustix::fs::readlink(format!("/proc/self/fd/{}", probe.as_raw_fd()), Vec::new())?;
    let path = PathBuf::from(std::ffi::OsString::from(
        path.to_str().map_err(|_| io::ErrorKind::InvalidData)?,
    ));
    read_xattrs(&path)
}
