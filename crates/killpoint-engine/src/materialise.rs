//! Turns images into real directories, changing only what differs from what is there.
//!
//! Entries of a directory are made in the order of their age, so that where the newest is listed
//! first (tmpfs) a crash state is listed as the recorded program would have found it. What was
//! modified since the recording began has times as if the crash had happened just now.

use crate::clock;
use crate::image::{BLOCK, Content, Entry, Image, Inode, Reader};
use killpoint_model::operation::{FileId, FileKind};
use nix::sys::stat::{Mode, SFlag, mknod};
use std::collections::{BTreeMap, HashMap};
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

/// How long ago a crash may seem to have happened.
const LATELY_NS: i64 = 500_000_000;
/// Programs that take the time in whole seconds may set one that lies so long before they began.
const SECOND_NS: i64 = 1_000_000_000;

/// When a crash would have happened, by the clock while it was recorded: nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashTime {
    /// When the first operation was recorded.
    pub began_ns: i64,
    /// When the crash would have happened.
    pub crashed_ns: i64,
}

/// Times from one on are moved, so that a crash seems to have happened just now. Those before are
/// of files that the recorded program found, or were chosen by it: they stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shift {
    from_ns: i64,
    by_ns: i64,
}

impl Shift {
    fn of(self, time_ns: i64) -> i64 {
        if time_ns < self.from_ns { time_ns } else { time_ns.saturating_add(self.by_ns) }
    }

    fn for_crash(self, crash: Option<CrashTime>) -> Self {
        crash.map_or_else(Shift::default, |crash| self.or_another(crash, clock::coarse_ns()))
    }

    /// This shift while it makes a crash seem a recent one, so that few files need other times.
    fn or_another(self, crash: CrashTime, now_ns: i64) -> Self {
        let from_ns = crash.began_ns - crash.began_ns.rem_euclid(SECOND_NS);
        let ago_ns = now_ns.saturating_sub(self.of(crash.crashed_ns));
        if self.from_ns == from_ns && (0..=LATELY_NS).contains(&ago_ns) {
            return self;
        }
        let by_ns = now_ns.saturating_sub(LATELY_NS / 2).saturating_sub(crash.crashed_ns);
        // Never backwards, past the files that were there before.
        Shift { from_ns, by_ns: by_ns.max(0) }
    }
}

/// Real directories and the image that they hold.
#[derive(Debug)]
pub struct Materialised {
    directories: Vec<PathBuf>,
    image: Image,
    shift: Shift,
    privileged: bool,
}

impl Materialised {
    /// Fills empty, existing directories, one for each root of the image.
    ///
    /// # Errors
    /// The first file that cannot be made.
    pub fn create(directories: Vec<PathBuf>, image: &Image) -> Result<Self, MaterialiseError> {
        Self::create_with(directories, image, Shift::default())
    }

    /// The same for a crash state, with times as if the crash had happened just now; as they are
    /// where that is not said.
    ///
    /// # Errors
    /// The first file that cannot be made.
    pub fn create_crashed(
        directories: Vec<PathBuf>,
        image: &Image,
        crash: Option<CrashTime>,
    ) -> Result<Self, MaterialiseError> {
        let shift = Shift::default().for_crash(crash);
        Self::create_with(directories, image, shift)
    }

    /// Fills further empty directories with the same.
    ///
    /// # Errors
    /// The first file that cannot be made.
    pub fn copy_to(&self, directories: Vec<PathBuf>) -> Result<Self, MaterialiseError> {
        Self::create_with(directories, &self.image, self.shift)
    }

    fn create_with(
        directories: Vec<PathBuf>,
        image: &Image,
        shift: Shift,
    ) -> Result<Self, MaterialiseError> {
        let mut materialised = Materialised {
            directories,
            image: image.emptied(),
            shift,
            privileged: nix::unistd::geteuid().is_root(),
        };
        let nothing_known = Shift { from_ns: i64::MIN, by_ns: i64::MAX };
        materialised.change(image, nothing_known)?;
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
        self.change(wanted, self.shift)
    }

    /// The same for a crash state, with times as if the crash had happened just now.
    ///
    /// # Errors
    /// As [`Materialised::change_to`].
    pub fn change_to_crashed(
        &mut self,
        wanted: &Image,
        crash: Option<CrashTime>,
    ) -> Result<(), MaterialiseError> {
        let before = self.shift;
        self.shift = before.for_crash(crash);
        self.change(wanted, before)
    }

    fn change(&mut self, wanted: &Image, shift_before: Shift) -> Result<(), MaterialiseError> {
        let mut pass = Pass {
            now: &self.image,
            wanted,
            shift_before,
            shift: self.shift,
            done: HashMap::new(),
            privileged: self.privileged,
        };
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
    shift_before: Shift,
    shift: Shift,
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
        let none = BTreeMap::new();
        let now_entries = now_inode.as_ref().map_or(&none, |inode| &inode.entries);
        let mut touched = now.is_none();
        for (name, child) in now_entries {
            if to_inode.entries.get(name).map(|entry| entry.file) != Some(child.file)
                || !self.keeps(child.file)
            {
                self.remove(&path.join(OsStr::from_bytes(name)), child.file)?;
                touched = true;
            }
        }
        let mut newest = None;
        let is_same = now_inode.as_ref().is_some_and(|now| Arc::ptr_eq(now, &to_inode));
        let entries = match is_same {
            true => to_inode.entries.iter().collect(),
            false => by_age(&to_inode.entries),
        };
        for (name, entry) in entries {
            let child = path.join(OsStr::from_bytes(name));
            let there = now_entries
                .get(name)
                .filter(|there| there.file == entry.file && self.keeps(there.file));
            // What is older than something made later has to be made again.
            let in_order = there.is_some_and(|there| is_same || newest <= Some(there.age));
            if there.is_some() && !in_order {
                make_newest(&child, &to_inode.entries, now_entries)?;
            }
            newest = if in_order { there.map(|there| there.age) } else { Some(u64::MAX) };
            touched |= !in_order;
            self.entry(&child, there.map(|there| there.file), entry.file)?;
        }
        self.attributes(path, now_inode.as_deref(), &to_inode)?;
        self.times(path, now_inode.as_deref().filter(|_| !touched), &to_inode)
    }

    /// Sets the time of modification, unless what is there, and has not been touched, has it.
    fn times(
        &self,
        path: &Path,
        untouched: Option<&Inode>,
        to: &Inode,
    ) -> Result<(), MaterialiseError> {
        let modified_ns = self.shift.of(to.modified_ns);
        if untouched.is_some_and(|now| self.shift_before.of(now.modified_ns) == modified_ns) {
            return Ok(());
        }
        set_modified(path, modified_ns).map_err(fail("set the times of", path))
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
            return self.times(path, now.as_deref(), &inode);
        }
        self.contents(path, now.as_deref(), &inode)?;
        self.attributes(path, now.as_deref(), &inode)?;
        let untouched = now.as_deref().filter(|now| now.content.equals(&inode.content));
        self.times(path, untouched, &inode)
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
        let none = BTreeMap::new();
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

/// The entries of a directory, the oldest first.
fn by_age(entries: &BTreeMap<Vec<u8>, Entry>) -> Vec<(&Vec<u8>, &Entry)> {
    let mut by_age: Vec<_> = entries.iter().collect();
    by_age.sort_unstable_by_key(|(_, entry)| entry.age);
    by_age
}

/// Moves an entry away and back, which makes it the newest of its directory.
fn make_newest(
    path: &Path,
    wanted: &BTreeMap<Vec<u8>, Entry>,
    now: &BTreeMap<Vec<u8>, Entry>,
) -> Result<(), MaterialiseError> {
    let is_free =
        |name: &String| !wanted.contains_key(name.as_bytes()) && !now.contains_key(name.as_bytes());
    let free = (0..).map(|number| format!(".killpoint-{number}")).find(is_free);
    let aside = path.with_file_name(free.expect("a directory has fewer entries than numbers"));
    fs::rename(path, &aside)
        .and_then(|()| fs::rename(&aside, path))
        .map_err(fail("move away and back", path))
}

fn set_modified(path: &Path, modified_ns: i64) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: modified_ns.div_euclid(SECOND_NS),
            tv_nsec: modified_ns.rem_euclid(SECOND_NS),
        },
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn set_xattrs(
    path: &Path,
    before: &BTreeMap<Vec<u8>, Vec<u8>>,
    wanted: &BTreeMap<Vec<u8>, Vec<u8>>,
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
    let mut reader = Reader::default();
    for index in to.changed_blocks(before) {
        let offset = index * BLOCK;
        if offset >= to.size() {
            continue;
        }
        let length = (to.size() - offset).min(BLOCK) as usize;
        match to.block(index) {
            Some(block) => file.write_all_at(&reader.bytes(block)[..length], offset)?,
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = SECOND_NS;

    #[test]
    fn a_crash_seems_to_have_happened_just_now_and_what_was_there_before_keeps_its_age() {
        let crash = CrashTime { began_ns: 1_000 * SECOND + 7, crashed_ns: 1_003 * SECOND };
        let now = 5_000 * SECOND;
        let shift = Shift::default().or_another(crash, now);
        assert_eq!(shift.of(crash.crashed_ns), now - LATELY_NS / 2);
        assert_eq!(shift.of(crash.began_ns), now - LATELY_NS / 2 - 3 * SECOND + 7);
        assert_eq!(shift.of(999 * SECOND), 999 * SECOND);
        assert_eq!(shift.of(1_000 * SECOND), shift.of(crash.began_ns) - 7, "in whole seconds");
    }

    #[test]
    fn a_shift_is_kept_while_it_makes_the_crash_neither_old_nor_one_to_come() {
        let crash = |seconds| CrashTime { began_ns: 1_000 * SECOND, crashed_ns: seconds * SECOND };
        let now = 5_000 * SECOND;
        let shift = Shift::default().or_another(crash(1_001), now);
        assert_eq!(shift.or_another(crash(1_001), now + SECOND / 5), shift);
        for (crash, now) in [(crash(1_001), now + SECOND), (crash(1_002), now)] {
            let other = shift.or_another(crash, now);
            assert_ne!(other, shift);
            assert!((0..=LATELY_NS).contains(&(now - other.of(crash.crashed_ns))));
        }
    }

    #[test]
    fn right_after_the_recording_no_time_goes_backwards() {
        let crash = CrashTime { began_ns: 1_000 * SECOND, crashed_ns: 1_001 * SECOND };
        let shift = Shift::default().or_another(crash, crash.crashed_ns + 5);
        assert_eq!(shift.of(crash.crashed_ns), crash.crashed_ns);
    }
}
