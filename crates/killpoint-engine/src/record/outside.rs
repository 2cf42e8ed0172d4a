//! What a target changes outside of its state: for real, where it does not see a copy; and through
//! symbolic links that stand in the state, copy or not.

use super::{Recorder, Root};
use crate::guest::{Identity, Place};
use crate::image::Image;
use killpoint_model::operation::FileKind;
use rustix::fs::{AtFlags, StatxFlags, statx};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Most paths that are named.
const PATHS_MAX: usize = 50;
/// Most paths below copies that are kept, of which some are gone again at the end.
const BESIDE_MAX: usize = 1_000;

/// Watches for changes outside of the mounts that are thrown away.
#[derive(Debug, Default)]
pub(super) struct Outside {
    /// Mounts whose contents are copies.
    contained: HashSet<u64>,
    seen: HashSet<Identity>,
    written: BTreeSet<String>,
    /// What was changed in copies that are not of the state, and whether it was there before.
    beside: BTreeMap<PathBuf, bool>,
    /// The state directories, with what stands before their paths where they are shown.
    roots: Vec<(PathBuf, String)>,
    /// Links in the state that lead out of it: where to, and how the link is shown.
    links: BTreeMap<PathBuf, String>,
    linked: BTreeSet<(String, String)>,
}

fn mount_of(file: impl AsFd) -> io::Result<u64> {
    Ok(statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id)
}

impl Outside {
    /// Watches, given the directories that are copies or views; without any, it does not.
    pub(super) fn new(contained: &[PathBuf]) -> Self {
        let open = |path: &PathBuf| std::fs::File::open(path).and_then(mount_of).ok();
        Outside { contained: contained.iter().filter_map(open).collect(), ..Outside::default() }
    }

    /// Knows the links that are there at the beginning.
    pub(super) fn with_links(mut self, image: &Image, paths: &[PathBuf], roots: &[Root]) -> Self {
        let prefixes = roots.iter().map(|root| root.prefix.clone());
        self.roots = paths.iter().cloned().zip(prefixes).collect();
        image.walk(|(root, path), _, inode| {
            if let FileKind::Symlink(target) = &inode.kind {
                let prefix = &self.roots[root].1;
                let shown = killpoint_model::address::escape(path);
                let shown = if prefix.is_empty() { shown } else { format!("{prefix}/{shown}") };
                let link = self.roots[root].0.join(OsStr::from_bytes(path));
                add_link(&mut self.links, &self.roots, &link, shown, target);
            }
        });
        self
    }

    /// A link was made in the state.
    pub(super) fn add_link(&mut self, shown: String, target: &[u8]) {
        let roots = &self.roots;
        let below = |(root, prefix): &(PathBuf, String)| {
            let path = shown.strip_prefix(prefix.as_str())?;
            Some(root.join(path.trim_start_matches('/')))
        };
        if let Some(link) = roots.iter().find_map(below) {
            add_link(&mut self.links, &self.roots, &link, shown, target);
        }
    }

    /// What was changed through links.
    pub(super) fn linked(&self) -> Vec<(String, String)> {
        self.linked.iter().cloned().collect()
    }

    /// The paths that were changed, in order.
    pub(super) fn into_paths(self) -> Vec<String> {
        self.written.into_iter().collect()
    }

    /// Whether two open files lie in one mount.
    pub(super) fn are_within_one(&self, one: impl AsFd, other: impl AsFd) -> bool {
        matches!((mount_of(one), mount_of(other)), (Ok(one), Ok(other)) if one == other)
    }

    /// Whether an open file lies in a copy or a view.
    pub(super) fn is_contained(&self, file: impl AsFd) -> bool {
        mount_of(file).is_ok_and(|mount| self.contained.contains(&mount))
    }

    /// Whether a copy or a view is mounted over a place.
    pub(super) fn is_mounted(&self, place: &Place) -> bool {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let found = statx(&place.directory, &*place.name, flags, StatxFlags::MNT_ID);
        found.is_ok_and(|found| {
            self.contained.contains(&found.stx_mnt_id)
                && mount_of(&place.directory).is_ok_and(|mount| mount != found.stx_mnt_id)
        })
    }

    /// Notes a change of a file; only the first needs a look at it.
    fn note_file(&mut self, descriptor: impl AsFd, file: Identity) -> io::Result<()> {
        let is_watched = !self.contained.is_empty() || !self.links.is_empty();
        if !is_watched || !self.seen.insert(file) {
            return Ok(());
        }
        self.note(descriptor, b"")
    }

    /// Notes a change of the file, or in the directory, that a descriptor of ours refers to.
    fn note(&mut self, descriptor: impl AsFd, name: &[u8]) -> io::Result<()> {
        self.note_linked(&descriptor, name)?;
        if self.contained.is_empty() {
            return Ok(());
        }
        let link = format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd());
        let mut path = std::fs::read_link(link)?;
        if !name.is_empty() {
            path.push(OsStr::from_bytes(name));
        }
        let unreal = ["/proc", "/sys", "/dev"].map(Path::new);
        let real = path.is_absolute() && !unreal.iter().any(|root| path.starts_with(root));
        if !real || path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)") {
            return Ok(());
        }
        if self.contained.contains(&mount_of(&descriptor)?) {
            self.note_beside(descriptor, name, path);
        } else if self.written.len() < PATHS_MAX {
            self.written.insert(path.display().to_string());
        }
        Ok(())
    }

    /// Notes a change of something in a copy.
    fn note_beside(&mut self, descriptor: impl AsFd, name: &[u8], path: PathBuf) {
        let is_state = self.roots.iter().any(|(root, _)| path.starts_with(root));
        if is_state || self.beside.len() >= BESIDE_MAX || self.beside.contains_key(&path) {
            return;
        }
        let was_there = name.is_empty()
            || rustix::fs::statat(descriptor, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        self.beside.insert(path, was_there);
    }

    /// The paths in copies that were changed, in order, without those that came and went, and without
    /// directories: what changed in them is told.
    pub(super) fn beside(&self) -> Vec<String> {
        let stays = |(path, was_there): &(&PathBuf, &bool)| match path.symlink_metadata() {
            Ok(metadata) => !metadata.is_dir(),
            Err(_) => **was_there,
        };
        self.beside.iter().filter(stays).map(|(path, _)| path.display().to_string()).collect()
    }
}

impl Outside {
    /// Notes a change of something that a link in the state leads to.
    fn note_linked(&mut self, descriptor: impl AsFd, name: &[u8]) -> io::Result<()> {
        if self.links.is_empty() || self.linked.len() >= PATHS_MAX {
            return Ok(());
        }
        let descriptor = descriptor.as_fd().as_raw_fd();
        let mut path = std::fs::read_link(format!("/proc/self/fd/{descriptor}"))?;
        if !name.is_empty() {
            path.push(OsStr::from_bytes(name));
        }
        // Of the directories above a path, the nearest that a link leads to.
        let found = path.ancestors().find_map(|above| self.links.get_key_value(above));
        if let Some((target, link)) = found {
            self.linked.insert((link.clone(), target.display().to_string()));
        }
        Ok(())
    }
}

/// Notes where a link leads, if that is out of the state.
fn add_link(
    links: &mut BTreeMap<PathBuf, String>,
    roots: &[(PathBuf, String)],
    link: &Path,
    shown: String,
    target: &[u8],
) {
    const LINKS_MAX: usize = 10_000;
    let beside = link.parent().unwrap_or(link);
    let target = beside.join(OsStr::from_bytes(target));
    // What it leads to need not be there yet.
    let whole = std::fs::canonicalize(&target).or_else(|_| {
        let above = target.parent().unwrap_or(&target);
        let above = std::fs::canonicalize(above)?;
        Ok::<PathBuf, io::Error>(above.join(target.file_name().unwrap_or_default()))
    });
    let Ok(target) = whole else { return };
    let leads_out = !roots.iter().any(|(root, _)| target.starts_with(root));
    if leads_out && links.len() < LINKS_MAX {
        links.insert(target, shown);
    }
}

impl<C: FnMut() -> bool> Recorder<C> {
    /// A name is about to be made, changed or removed that does not belong to the state.
    pub(super) fn note_outside_place(&mut self, place: &Place) {
        let _ = self.outside_writes.note(&place.directory, &place.name);
    }

    /// A file is about to be written that does not belong to the state.
    pub(super) fn note_outside_file(&mut self, copy: &OwnedFd, file: Identity) {
        let _ = self.outside_writes.note_file(copy, file);
    }
}
