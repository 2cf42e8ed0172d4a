//! Compares an image with real directories: names, kinds, modes, owners, attributes, bytes.

use crate::image::{Image, Inode, ScanError};
use killpoint_model::address::escape;
use killpoint_model::operation::{FileId, FileKind};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Difference {
    /// Which root, from 0.
    pub root: usize,
    /// Path below the root, escaped; `.` for the root itself.
    pub path: String,
    /// What differs, in words.
    pub what: String,
}

/// Differences between an image and what really is in the directories, sorted by path.
///
/// # Errors
/// If the directories cannot be read.
pub fn with_reality(image: &Image, roots: &[PathBuf]) -> Result<Vec<Difference>, ScanError> {
    let real = Image::scan(roots)?;
    if real.digest() == image.digest() {
        return Ok(Vec::new());
    }
    Ok(between(image, &real))
}

type Paths = BTreeMap<(usize, Vec<u8>), (FileId, Arc<Inode>)>;

fn paths(image: &Image) -> Paths {
    let mut paths = Paths::new();
    image.walk(|(root, path), id, inode| {
        paths.insert((root, path.to_vec()), (id, Arc::clone(inode)));
    });
    paths
}

/// Differences between two images: what the second has that the first has not, and so on.
pub fn between(expected: &Image, found: &Image) -> Vec<Difference> {
    let (expected, found) = (paths(expected), paths(found));
    let mut differences = Vec::new();
    let mut note = |key: &(usize, Vec<u8>), what: String| {
        let path = if key.1.is_empty() { ".".to_owned() } else { escape(&key.1) };
        differences.push(Difference { root: key.0, path, what });
    };
    for (key, (_, inode)) in &expected {
        match found.get(key) {
            None => note(key, "is missing".to_owned()),
            Some((_, other)) => {
                if let Some(what) = difference(inode, other) {
                    note(key, what);
                }
            }
        }
    }
    for key in found.keys().filter(|key| !expected.contains_key(*key)) {
        note(key, "should not be there".to_owned());
    }
    differences
}

fn difference(expected: &Inode, found: &Inode) -> Option<String> {
    if expected.kind != found.kind {
        return Some(format!("is a {}, not a {}", word(&found.kind), word(&expected.kind)));
    }
    if expected.attributes != found.attributes && !matches!(expected.kind, FileKind::Symlink(_)) {
        let (e, f) = (expected.attributes, found.attributes);
        return Some(format!(
            "has mode {:o} and owner {}:{}, not {:o} and {}:{}",
            f.mode, f.uid, f.gid, e.mode, e.uid, e.gid
        ));
    }
    if expected.xattrs != found.xattrs {
        return Some("has other extended attributes".to_owned());
    }
    if !matches!(expected.kind, FileKind::Regular) || expected.content.equals(&found.content) {
        return None;
    }
    let (e, f) = (expected.content.size(), found.content.size());
    if e != f {
        return Some(format!("has {f} bytes, not {e}"));
    }
    let first = expected.content.changed_blocks(&found.content).first().copied().unwrap_or(0);
    Some(format!("has other bytes, first in the block at {}", first * crate::image::BLOCK))
}

fn word(kind: &FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink(_) => "symbolic link",
        FileKind::Fifo => "FIFO",
        FileKind::Socket => "socket",
        FileKind::Device { .. } => "device",
    }
}
