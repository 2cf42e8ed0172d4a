//! Turns images into real directories, changing only what differs from what is there.

use crate::image::{BLOCK, Content, Image, Inode};
use killpoint_model::operation::{FileId, FileKind};
use nix::sys::stat::{Mode, SFlag, mknod};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why an image could not be made real.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct MaterialiseError {
    /// What was to be done.
    pub action: &'static str,
    /// To which file.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// Real directories and the image that they hold.
#[derive(Debug)]
pub struct Materialised {
    directories: Vec<PathBuf>,
    image: Image,
    privileged: bool,
}

impl Materialised {
    /// Fills empty, existing directories, one for each root of the image.
    ///
    /// # Errors
    /// The first file that cannot be made.
    pub fn create(directories: Vec<PathBuf>, image: &Image) -> Result<Self, MaterialiseError> {
        let empty: Image = image.emptied();
        let mut materialised = Materialised {
            directories,
            image: empty,
            privileged: nix::unistd::geteuid().is_root(),
        };
        materialised.change_to(image)?;
        Ok(materialised)
    }

    /// The image that the directories hold now.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Changes the directories to hold another image of the same roots.
    ///
    /// # Errors
    /// The first file that cannot be changed; the directories are then of no use any more.
    pub fn change_to(&mut self, wanted: &Image) -> Result<(), MaterialiseError> {
        let mut pass =
            Pass { now: &self.image, wanted, done: HashMap::new(), privileged: self.privileged };
        for ((directory, now), to) in
            self.directories.iter().zip(self.image.roots()).zip(wanted.roots())
        {
            pass.directory(directory, Some(*now), *to)?;
        }
        self.image = wanted.clone();
        Ok(())
    }
}

struct Pass<'a> {
    now: &'a Image,
    wanted: &'a Image,
    /// Where each inode of the wanted image already is.
    done: HashMap<FileId, PathBuf>,
    privileged: bool,
}

fn fail(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> MaterialiseError {
    let path = path.to_owned();
    move |source| MaterialiseError { action, path, source }
}

fn same_kind(first: &Inode, second: &Inode) -> bool {
    first.kind == second.kind
}

impl Pass<'_> {
    fn directory(
        &mut self,
        path: &Path,
        now: Option<FileId>,
        to: FileId,
    ) -> Result<(), MaterialiseError> {
        let now_inode = now.and_then(|now| self.now.inode(now)).cloned();
        let to_inode = Arc::clone(self.wanted.inode(to).expect("roots and entries have inodes"));
        self.done.insert(to, path.to_owned());
        if let Some(now_inode) = &now_inode {
            for (name, child) in &now_inode.entries {
                if to_inode.entries.get(name) != Some(child) || !self.keeps(*child) {
                    self.remove(&path.join(OsStr::from_bytes(name)), *child)?;
                }
            }
        }
        for (name, child) in &to_inode.entries {
            let there = now_inode
                .as_ref()
                .and_then(|inode| inode.entries.get(name))
                .filter(|there| *there == child && self.keeps(**there));
            self.entry(&path.join(OsStr::from_bytes(name)), there.copied(), *child)?;
        }
        self.attributes(path, now_inode.as_deref(), &to_inode)
    }

    /// Whether what is there can be changed in place into what is wanted.
    fn keeps(&self, file: FileId) -> bool {
        match (self.now.inode(file), self.wanted.inode(file)) {
            (Some(now), Some(to)) => same_kind(now, to),
            _ => false,
        }
    }

    fn remove(&self, path: &Path, file: FileId) -> Result<(), MaterialiseError> {
        let is_directory =
            self.now.inode(file).is_some_and(|inode| matches!(inode.kind, FileKind::Directory));
        if is_directory {
            // Whatever its mode, it is ours.
            let _ = fs::set_permissions(path, Permissions::from_mode(0o700));
            fs::remove_dir_all(path).map_err(fail("remove", path))
        } else {
            fs::remove_file(path).map_err(fail("remove", path))
        }
    }

    fn entry(
        &mut self,
        path: &Path,
        there: Option<FileId>,
        to: FileId,
    ) -> Result<(), MaterialiseError> {
        let Some(inode) = self.wanted.inode(to).cloned() else { return Ok(()) };
        if let Some(first) = self.done.get(&to) {
            if there.is_none() {
                fs::hard_link(first, path).map_err(fail("link", path))?;
            }
            return Ok(());
        }
        let now = there.and_then(|there| self.now.inode(there)).cloned();
        if let FileKind::Directory = inode.kind {
            if now.is_none() {
                fs::create_dir(path).map_err(fail("make the directory", path))?;
            }
            return self.directory(path, there, to);
        }
        self.done.insert(to, path.to_owned());
        if now.as_ref().is_some_and(|now| Arc::ptr_eq(now, &inode)) {
            return Ok(());
        }
        self.contents(path, now.as_deref(), &inode)?;
        self.attributes(path, now.as_deref(), &inode)
    }

    fn contents(
        &self,
        path: &Path,
        now: Option<&Inode>,
        to: &Inode,
    ) -> Result<(), MaterialiseError> {
        match &to.kind {
            FileKind::Regular => {
                let empty = Content::default();
                let before = now.map_or(&empty, |now| &now.content);
                if now.is_some() && before.equals(&to.content) {
                    return Ok(());
                }
                if now.is_some() && !self.privileged {
                    let _ = fs::set_permissions(path, Permissions::from_mode(0o600));
                }
                write_contents(path, before, &to.content).map_err(fail("write", path))
            }
            FileKind::Symlink(target) if now.is_none() => {
                symlink(OsStr::from_bytes(target), path).map_err(fail("make the link", path))
            }
            FileKind::Fifo if now.is_none() => self.node(path, SFlag::S_IFIFO, 0),
            FileKind::Socket if now.is_none() => self.node(path, SFlag::S_IFSOCK, 0),
            FileKind::Device { mode, number } if now.is_none() => {
                self.node(path, SFlag::from_bits_truncate(*mode), *number)
            }
            _ => Ok(()),
        }
    }

    fn node(&self, path: &Path, kind: SFlag, number: u64) -> Result<(), MaterialiseError> {
        mknod(path, kind, Mode::from_bits_truncate(0o600), number)
            .map_err(|error| fail("make the special file", path)(error.into()))
    }

    fn attributes(
        &self,
        path: &Path,
        now: Option<&Inode>,
        to: &Inode,
    ) -> Result<(), MaterialiseError> {
        let is_link = matches!(to.kind, FileKind::Symlink(_));
        if self.privileged && now.is_none_or(|now| now.attributes != to.attributes) {
            lchown(path, Some(to.attributes.uid), Some(to.attributes.gid))
                .map_err(fail("change the owner of", path))?;
        }
        if is_link {
            return Ok(());
        }
        let none = std::collections::BTreeMap::new();
        let before = now.map_or(&none, |now| &now.xattrs);
        if *before != to.xattrs {
            set_xattrs(path, before, &to.xattrs).map_err(fail("set the attributes of", path))?;
        }
        // Last: the mode may forbid the rest.
        let mode = path.symlink_metadata().map_err(fail("read", path))?.mode() & 0o7777;
        if mode != to.attributes.mode {
            fs::set_permissions(path, Permissions::from_mode(to.attributes.mode))
                .map_err(fail("change the mode of", path))?;
        }
        Ok(())
    }
}

fn set_xattrs(
    path: &Path,
    before: &std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
    wanted: &std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
) -> io::Result<()> {
    for name in before.keys().filter(|name| !wanted.contains_key(*name)) {
        rustix::fs::lremovexattr(path, OsStr::from_bytes(name))?;
    }
    for (name, value) in wanted {
        if before.get(name) != Some(value) {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::lsetxattr(path, OsStr::from_bytes(name), value, flags)?;
        }
    }
    Ok(())
}

fn write_contents(path: &Path, before: &Content, to: &Content) -> io::Result<()> {
    let file: File = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    if before.size() > to.size() {
        file.set_len(to.size())?;
    }
    for index in to.changed_blocks(before) {
        let offset = index * BLOCK;
        if offset >= to.size() {
            continue;
        }
        let length = (to.size() - offset).min(BLOCK) as usize;
        match to.block(index) {
            Some(block) => file.write_all_at(&block.bytes()[..length], offset)?,
            // A hole over what may be there: zeros, but never beyond the end of what was there.
            None if offset < before.size() => file.write_all_at(&vec![0; length], offset)?,
            None => {}
        }
    }
    if before.size() != to.size() || file.metadata()?.len() != to.size() {
        file.set_len(to.size())?;
    }
    Ok(())
}
