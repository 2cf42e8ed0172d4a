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
    /// What of it differs.
    pub aspect: Aspect,
    /// How, in words.
    pub what: String,
}

/// What can differ between two files of one name. A file may differ in several of these.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Aspect {
    /// Whether it is there.
    Presence,
    /// Its kind, and where a link leads.
    Kind,
    /// Its bytes.
    Content,
    /// Its permission bits.
    Mode,
    /// Its user and group.
    Owner,
    /// Its extended attributes.
    Attributes,
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
    let mut note = |key: &(usize, Vec<u8>), aspect: Aspect, what: String| {
        let path = if key.1.is_empty() { ".".to_owned() } else { escape(&key.1) };
        differences.push(Difference { root: key.0, path, aspect, what });
    };
    for (key, (_, inode)) in &expected {
        match found.get(key) {
            None => note(key, Aspect::Presence, "is missing".to_owned()),
            Some((_, other)) => {
                for (aspect, what) in differing(inode, other) {
                    note(key, aspect, what);
                }
            }
        }
    }
    for key in found.keys().filter(|key| !expected.contains_key(*key)) {
        note(key, Aspect::Presence, "should not be there".to_owned());
    }
    differences
}

/// All that differs between two files. Of files of different kinds nothing else is compared.
fn differing(expected: &Inode, found: &Inode) -> Vec<(Aspect, String)> {
    let is_link = matches!(expected.kind, FileKind::Symlink(_));
    if expected.kind != found.kind {
        let what = match is_link && matches!(found.kind, FileKind::Symlink(_)) {
            true => "leads elsewhere".to_owned(),
            false => format!("is a {}, not a {}", word(&found.kind), word(&expected.kind)),
        };
        return vec![(Aspect::Kind, what)];
    }
    let mut differing = Vec::new();
    if matches!(expected.kind, FileKind::Regular) && !expected.content.equals(&found.content) {
        differing.push((Aspect::Content, other_content(expected, found)));
    }
    let (e, f) = (expected.attributes, found.attributes);
    if e.mode != f.mode && !is_link {
        differing.push((Aspect::Mode, format!("has mode {:o}, not {:o}", f.mode, e.mode)));
    }
    if (e.uid, e.gid) != (f.uid, f.gid) && !is_link {
        let what = format!("has owner {}:{}, not {}:{}", f.uid, f.gid, e.uid, e.gid);
        differing.push((Aspect::Owner, what));
    }
    if expected.xattrs != found.xattrs {
        differing.push((Aspect::Attributes, "has other extended attributes".to_owned()));
    }
    differing
}

fn other_content(expected: &Inode, found: &Inode) -> String {
    let (e, f) = (expected.content.size(), found.content.size());
    if e != f {
        return format!("has {f} bytes, not {e}");
    }
    let first = expected.content.changed_blocks(&found.content).first().copied().unwrap_or(0);
    format!("has other bytes, first in the block at {}", first * crate::image::BLOCK)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn scanned(directory: &std::path::Path) -> Image {
        Image::scan(&[directory.to_owned()]).expect("readable")
    }

    #[test]
    fn a_file_differs_in_each_of_its_aspects() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("a");
        fs::write(&file, "old").expect("written");
        symlink("a", directory.path().join("link")).expect("made");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("ours");
        let before = scanned(directory.path());
        let mut other_owner = before.clone();
        let (id, _) = paths(&before)[&(0, b"a".to_vec())].clone();
        let attributes = killpoint_model::operation::Attributes { mode: 0o644, uid: 7, gid: 8 };
        other_owner.set_attributes(id, attributes, BTreeMap::new());

        fs::write(&file, "new").expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("ours");
        fs::remove_file(directory.path().join("link")).expect("removed");
        symlink("b", directory.path().join("link")).expect("made");
        let now = scanned(directory.path());
        let found = |expected: &Image| -> Vec<(String, Aspect, String)> {
            let differences = between(expected, &now);
            differences.into_iter().map(|it| (it.path, it.aspect, it.what)).collect()
        };
        let of_file: Vec<Aspect> = found(&other_owner)
            .into_iter()
            .filter(|(path, ..)| path == "a")
            .map(|(_, aspect, _)| aspect)
            .collect();
        assert_eq!(of_file, [Aspect::Content, Aspect::Mode, Aspect::Owner]);
        let text = |path: &str, aspect, what: &str| (path.to_owned(), aspect, what.to_owned());
        assert_eq!(
            found(&before),
            [
                text("a", Aspect::Content, "has other bytes, first in the block at 0"),
                text("a", Aspect::Mode, "has mode 600, not 644"),
                text("link", Aspect::Kind, "leads elsewhere"),
            ]
        );
        assert!(between(&now, &now).is_empty());
    }
}
