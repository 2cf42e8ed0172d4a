//! What a target changes for real: outside of its state and of what it sees copy-on-write.

use super::Recorder;
use crate::guest::{Identity, Place};
use rustix::fs::{AtFlags, StatxFlags, statx};
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Most paths that are named.
const PATHS_MAX: usize = 50;

/// Watches for changes outside of the mounts that are thrown away.
#[derive(Debug, Default)]
pub(super) struct Outside {
    /// Mounts whose contents are copies.
    contained: HashSet<u64>,
    seen: HashSet<Identity>,
    written: BTreeSet<String>,
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

    /// The paths that were changed, in order.
    pub(super) fn into_paths(self) -> Vec<String> {
        self.written.into_iter().collect()
    }

    /// Notes a change of a file; only the first needs a look at it.
    fn note_file(&mut self, descriptor: impl AsFd, file: Identity) -> io::Result<()> {
        if self.contained.is_empty() || !self.seen.insert(file) {
            return Ok(());
        }
        self.note(descriptor, b"")
    }

    /// Notes a change of the file, or in the directory, that a descriptor of ours refers to.
    fn note(&mut self, descriptor: impl AsFd, name: &[u8]) -> io::Result<()> {
        if self.contained.is_empty() || self.written.len() >= PATHS_MAX {
            return Ok(());
        }
        if self.contained.contains(&mount_of(&descriptor)?) {
            return Ok(());
        }
        let link = format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd());
        let mut path = std::fs::read_link(link)?;
        if !name.is_empty() {
            path.push(String::from_utf8_lossy(name).as_ref());
        }
        let unreal = ["/proc", "/sys", "/dev"].map(Path::new);
        let real = path.is_absolute() && !unreal.iter().any(|root| path.starts_with(root));
        if real && !path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)") {
            self.written.insert(path.display().to_string());
        }
        Ok(())
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
