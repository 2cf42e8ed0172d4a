//! Images of real directories: read file by file, without the bytes, which stay where they are.

use super::{Content, Entry, Image, Inode, Source};
use killpoint_model::operation::{Attributes, FileId, FileKind};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why directories could not be scanned.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub struct ScanError {
    /// What could not be read.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Image {
    /// Reads directories in the order of their names, so that equal directories are numbered
    /// alike. Contents are not held in memory: blocks refer to the files, which must not change.
    ///
    /// # Errors
    /// The first file that cannot be read.
    pub fn scan(roots: &[PathBuf]) -> Result<Image, ScanError> {
        let mut image = Image::default();
        let mut seen = BTreeMap::new();
        for root in roots {
            let id = scan_one(root, &mut seen, &mut |path, id, metadata, entries| {
                let mut inode = read_inode(path, metadata)?;
                inode.entries = entries;
                image.inodes.insert(id, Arc::new(inode));
                Ok(())
            })?;
            image.roots.push(id);
        }
        let ages = image.inodes.values().flat_map(|inode| inode.entries.values());
        image.next_age = ages.map(|entry| entry.age + 1).max().unwrap_or_default();
        Ok(image)
    }
}

/// Device and inode number of everything in directories, numbered as [`Image::scan`] numbers equal
/// directories.
///
/// # Errors
/// The first directory that cannot be read.
pub fn identities(roots: &[PathBuf]) -> Result<BTreeMap<(u64, u64), FileId>, ScanError> {
    let mut seen = BTreeMap::new();
    for root in roots {
        scan_one(root, &mut seen, &mut |_, _, _, _| Ok(()))?;
    }
    Ok(seen)
}

type Visit<'a> =
    &'a mut dyn FnMut(&Path, FileId, &fs::Metadata, BTreeMap<Vec<u8>, Entry>) -> io::Result<()>;

fn scan_one(
    path: &Path,
    seen: &mut BTreeMap<(u64, u64), FileId>,
    visit: Visit<'_>,
) -> Result<FileId, ScanError> {
    let fail = |source| ScanError { path: path.to_owned(), source };
    let metadata = fs::symlink_metadata(path).map_err(fail)?;
    let identity = (metadata.dev(), metadata.ino());
    if let Some(id) = seen.get(&identity) {
        return Ok(*id);
    }
    let id = FileId(seen.len() as u64 + 1);
    seen.insert(identity, id);
    let mut entries = BTreeMap::new();
    if metadata.is_dir() {
        let names = fs::read_dir(path)
            .and_then(|entries| {
                entries
                    .map(|entry| entry.map(|entry| entry.file_name()))
                    .collect::<Result<Vec<_>, _>>()
            })
            .map_err(fail)?;
        // Where images are made real the newest entry is listed first.
        let mut aged: Vec<_> = names.into_iter().rev().zip(0_u64..).collect();
        aged.sort();
        for (name, age) in aged {
            let file = scan_one(&path.join(&name), seen, visit)?;
            entries.insert(name.as_bytes().to_vec(), Entry { file, age });
        }
    }
    visit(path, id, &metadata, entries).map_err(fail)?;
    Ok(id)
}

/// Reads one inode without its entries: kind, owner, mode, attributes, contents by reference.
///
/// # Errors
/// What the system says.
pub fn read_inode(path: &Path, metadata: &fs::Metadata) -> io::Result<Inode> {
    let mut inode = Inode::new(kind_of(path, metadata)?, attributes_of(metadata));
    inode.modified_ns = nanoseconds(metadata.mtime(), metadata.mtime_nsec());
    match inode.kind {
        FileKind::Regular => {
            inode.content = Content::of_file(Source::new(path), metadata.len())?;
            inode.xattrs = read_xattrs(path)?;
        }
        FileKind::Directory => inode.xattrs = read_xattrs(path)?,
        _ => {}
    }
    Ok(inode)
}

/// Seconds and nanoseconds since 1970 as one number; the nearest that there is for times beyond.
pub fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// Owner and mode.
pub fn attributes_of(metadata: &fs::Metadata) -> Attributes {
    Attributes { mode: metadata.mode() & 0o7777, uid: metadata.uid(), gid: metadata.gid() }
}

/// What kind of thing stands at a path.
///
/// # Errors
/// If a symbolic link cannot be read.
pub fn kind_of(path: &Path, metadata: &fs::Metadata) -> io::Result<FileKind> {
    let kind = metadata.file_type();
    Ok(if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_symlink() {
        FileKind::Symlink(fs::read_link(path)?.as_os_str().as_bytes().to_vec())
    } else if kind.is_fifo() {
        FileKind::Fifo
    } else if kind.is_socket() {
        FileKind::Socket
    } else if kind.is_file() {
        FileKind::Regular
    } else {
        FileKind::Device { mode: metadata.mode() & libc::S_IFMT, number: metadata.rdev() }
    })
}

/// The extended attributes in the `user.` name space; none where the file system has none.
///
/// # Errors
/// What the system says, but for "not supported".
pub fn read_xattrs(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut xattrs = BTreeMap::new();
    let mut list = Vec::with_capacity(4096);
    match rustix::fs::llistxattr(path, rustix::buffer::spare_capacity(&mut list)) {
        Ok(0) | Err(rustix::io::Errno::NOTSUP) => return Ok(xattrs),
        Ok(_) => {}
        Err(rustix::io::Errno::RANGE) => {
            list = Vec::with_capacity(65_536);
            rustix::fs::llistxattr(path, rustix::buffer::spare_capacity(&mut list))?;
        }
        Err(error) => return Err(error.into()),
    }
    for name in list.split(|byte| *byte == 0).filter(|name| name.starts_with(b"user.")) {
        let mut value = Vec::with_capacity(65_536);
        rustix::fs::lgetxattr(
            path,
            OsStr::from_bytes(name),
            rustix::buffer::spare_capacity(&mut value),
        )?;
        xattrs.insert(name.to_vec(), value);
    }
    Ok(xattrs)
}
