//! Renames, links and removals that fail because of mounts that are ours: a state directory, and a
//! copy-on-write view, is each a mount of its own, and nothing is renamed or linked from one mount to
//! another, nor a mount itself.

use super::Recorder;
use crate::guest::Place;
use crate::recording::Barred;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Most of them that are kept.
const BARRED_MAX: usize = 20;

/// A call whose error number says whether mounts were in its way.
pub(super) struct Asked {
    call: &'static str,
    from: PathBuf,
    to: Option<PathBuf>,
    /// Whether both of its sides lie in one mount.
    is_within_one: bool,
    in_state: bool,
}

impl Asked {
    /// What is to be told of it, once it has returned.
    fn told(self, result: i64) -> Option<Barred> {
        let is_mount = match i32::try_from(-result) {
            Ok(libc::EXDEV) => false,
            Ok(libc::EBUSY) => true,
            _ => return None,
        };
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        Some(Barred {
            call: self.call.to_owned(),
            from: text(self.from),
            to: self.to.map(text),
            is_mount,
            is_within_one: self.is_within_one,
            in_state: self.in_state,
        })
    }
}

fn path_of(descriptor: &OwnedFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd()))
}

impl<C: FnMut() -> bool> Recorder<C> {
    /// A rename is about to be made.
    pub(super) fn ask_about_rename(&mut self, call: &'static str, from: &Place, to: &Place) {
        let mounts = &self.outside_writes;
        let is_within_one = mounts.are_within_one(&from.directory, &to.directory);
        let is_directory = from.stat().is_some_and(|it| it.st_mode & libc::S_IFMT == libc::S_IFDIR);
        let is_asked = match is_within_one {
            false => mounts.is_contained(&from.directory) || mounts.is_contained(&to.directory),
            // A view cannot rename a directory that it shows from below.
            true => {
                is_directory && mounts.is_contained(&from.directory)
                    || mounts.is_mounted(from)
                    || mounts.is_mounted(to)
            }
        };
        let sides = [from, to].map(|place| self.identities.get(&place.identity));
        let leaves_state = sides.iter().flatten().count() == 1;
        if !is_asked && !leaves_state {
            return;
        }
        let (Ok(from), Ok(to)) = (from.path(), to.path()) else { return };
        let in_state =
            sides.iter().any(Option::is_some) || self.holds_state(&from) || self.holds_state(&to);
        self.asked = Some(Asked { call, from, to: Some(to), is_within_one, in_state });
    }

    /// A link to a file that is open here is about to be made.
    pub(super) fn ask_about_link(&mut self, call: &'static str, from: &OwnedFd, to: &Place) {
        let mounts = &self.outside_writes;
        let is_within_one = mounts.are_within_one(from, &to.directory);
        let is_contained = mounts.is_contained(from) || mounts.is_contained(&to.directory);
        let is_known = matches!(self.known(from), Ok(Some(_)));
        let comes_in = self.identities.contains_key(&to.identity);
        if to.stat().is_some() || (is_within_one || !is_contained) && is_known == comes_in {
            return;
        }
        let (Ok(from), Ok(to)) = (path_of(from), to.path()) else { return };
        let in_state = is_known || comes_in;
        self.asked = Some(Asked { call, from, to: Some(to), is_within_one, in_state });
    }

    /// A directory is about to be removed: one that is a mount of ours and could go.
    pub(super) fn ask_about_removal(&mut self, call: &'static str, place: &Place) {
        let is_empty = || {
            let entries = std::fs::read_dir(place.reach());
            entries.is_ok_and(|mut entries| entries.next().is_none())
        };
        if self.outside_writes.is_mounted(place)
            && is_empty()
            && let Ok(from) = place.path()
        {
            let in_state = self.holds_state(&from);
            self.asked = Some(Asked { call, from, to: None, is_within_one: true, in_state });
        }
    }

    /// Whether a path is a state directory, or holds one.
    fn holds_state(&self, path: &Path) -> bool {
        self.roots.values().any(|root| root.starts_with(path))
    }

    /// The call that was asked about, if one was, has returned.
    pub(super) fn answered(&mut self, result: i64) {
        let Some(barred) = self.asked.take().and_then(|asked| asked.told(result)) else { return };
        if self.barred.len() < BARRED_MAX && !self.barred.contains(&barred) {
            self.barred.push(barred);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_errors_of_mounts_are_told() {
        for (error, is_mount) in [
            (libc::EXDEV, Some(false)),
            (libc::EBUSY, Some(true)),
            (libc::ENOENT, None),
            (libc::EACCES, None),
            (0, None),
        ] {
            let (from, to) = (PathBuf::from("/a/x"), Some(PathBuf::from("/b/x")));
            let asked = Asked { call: "rename", from, to, is_within_one: false, in_state: true };
            let told = asked.told(i64::from(-error));
            assert_eq!(told.map(|barred| barred.is_mount), is_mount, "{error}");
        }
    }
}
