//! Finds out where a program writes, without knowing its state: every call that changes a file is
//! looked at for its path, and let through.

use super::{Output, RecordError};
use crate::guest::{Descriptors, Guest, Identity, Place, how_opened, identity};
use crate::intercept::{
    self, Call, Entry, Filtering, Held, Limits, Mechanism, Observer, Programs, Turn,
};
use crate::recording::Exit;
use crate::spawn::{Launch, Prepared, Streams};
use nix::unistd::Pid;
use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// Most paths that are kept.
const PATHS_MAX: usize = 100_000;
/// Most pairs of directories that are kept.
const JOINED_MAX: usize = 1_000;

/// What a program was seen to do.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Discovered {
    /// Files that it made, changed, renamed or removed.
    #[serde(with = "crate::any_path")]
    pub written: BTreeSet<PathBuf>,
    /// Directories between which it renamed or linked files: the lesser of the two, and the other.
    #[serde(with = "crate::any_path")]
    pub joined: BTreeSet<(PathBuf, PathBuf)>,
    /// How it ended.
    pub exit: Exit,
}

/// Runs a program once and notes where it writes. Must be called in a worker process of its own.
///
/// # Errors
/// If it cannot be started under interception.
#[expect(clippy::too_many_arguments, reason = "each is a word of one request")]
pub fn discover(
    launch: &Launch,
    output: Output,
    mechanism: Mechanism,
    keep_privileges: bool,
    timeout: Duration,
    quiet: Duration,
    stop: Duration,
    cancelled: impl FnMut() -> bool,
) -> Result<Discovered, RecordError> {
    let fail = |source| RecordError::Start { program: launch.program.clone(), source };
    let prepared = Prepared::new(launch).map_err(fail)?;
    let filtering = Filtering { keep_privileges };
    let limits = Limits { timeout, quiet, stop, minds_work: true, threads_max: 2_000 };
    let programs = Programs { target: &prepared, driver: None };
    let streams = Streams { input: output.input, output: output.output, error: output.error };
    let mut observer = Scout {
        descriptors: Descriptors::default(),
        seen: HashSet::new(),
        written: BTreeSet::new(),
        joined: BTreeSet::new(),
        cancelled,
    };
    let ended = intercept::run(mechanism, programs, &streams, filtering, limits, &mut observer)
        .map_err(fail)?;
    let Scout { written, joined, .. } = observer;
    Ok(Discovered { written, joined, exit: ended.exit })
}

struct Scout<C> {
    descriptors: Descriptors,
    seen: HashSet<Identity>,
    written: BTreeSet<PathBuf>,
    joined: BTreeSet<(PathBuf, PathBuf)>,
    cancelled: C,
}

fn path_of(descriptor: &OwnedFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}

impl<C: FnMut() -> bool> Scout<C> {
    fn note(&mut self, path: PathBuf) {
        let special = ["/proc", "/sys", "/dev"].iter().any(|root| path.starts_with(root));
        let kept = path.starts_with("/dev/shm") || !special;
        let deleted = path.as_os_str().as_bytes().ends_with(b" (deleted)");
        if path.is_absolute() && kept && !deleted && self.written.len() < PATHS_MAX {
            self.written.insert(path);
        }
    }

    fn descriptor(&mut self, guest: Guest, number: u64) -> io::Result<()> {
        let copy = self.descriptors.copy(guest.thread, number as u32 as i32)?.into_file();
        let stat = rustix::fs::fstat(&copy)?;
        let regular = stat.st_mode & libc::S_IFMT == libc::S_IFREG;
        if regular && self.seen.insert(identity(&stat)) {
            let path = path_of(&copy)?;
            self.note(path);
        }
        Ok(())
    }

    fn place(&mut self, place: &Place) -> io::Result<()> {
        let mut path = path_of(&place.directory)?;
        path.push(OsString::from_vec(place.name.clone()));
        self.note(path);
        Ok(())
    }

    fn path(
        &mut self,
        guest: Guest,
        directory: u64,
        path: u64,
        must_exist: bool,
    ) -> io::Result<()> {
        let place = guest.place(directory as u32 as i32, &guest.read_string(path)?, false)?;
        if !must_exist || place.stat().is_some() {
            self.place(&place)?;
        }
        Ok(())
    }

    fn rename(&mut self, guest: Guest, from: (u64, u64), to: (u64, u64)) -> io::Result<()> {
        let place = |(at, path)| guest.place(at as u32 as i32, &guest.read_string(path)?, false);
        let (from, to) = (place(from)?, place(to)?);
        if from.stat().is_some() {
            self.place(&from)?;
            self.join(path_of(&from.directory)?, path_of(&to.directory)?);
        }
        self.place(&to)
    }

    fn link(
        &mut self,
        guest: Guest,
        from: (u64, u64),
        to: (u64, u64),
        flags: u64,
    ) -> io::Result<()> {
        self.path(guest, to.0, to.1, false)?;
        let follow = flags & libc::AT_SYMLINK_FOLLOW as u64 != 0;
        let from = guest.open_path(from.0 as u32 as i32, &guest.read_string(from.1)?, follow)?;
        let to = guest.place(to.0 as u32 as i32, &guest.read_string(to.1)?, false)?;
        if let Some(parent) = path_of(&from)?.parent() {
            self.join(parent.to_owned(), path_of(&to.directory)?);
        }
        Ok(())
    }

    /// A file goes from one directory to another, or has a name in both.
    fn join(&mut self, one: PathBuf, other: PathBuf) {
        if one != other && self.joined.len() < JOINED_MAX {
            self.joined.insert((one.clone().min(other.clone()), one.max(other)));
        }
    }

    fn open(
        &mut self,
        guest: Guest,
        directory: u64,
        path: u64,
        flags: u64,
        resolve: u64,
    ) -> io::Result<()> {
        let path = guest.read_string(path)?;
        let place = guest.place_within(directory as u32 as i32, &path, true, resolve)?;
        let flags = flags as u32 as i32;
        let makes = flags & libc::O_CREAT != 0 && place.stat().is_none();
        let empties = flags & libc::O_TRUNC != 0
            && place.stat().is_some_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG);
        if makes || empties {
            self.place(&place)?;
        }
        Ok(())
    }

    fn look(&mut self, guest: Guest, call: Call) -> io::Result<()> {
        const HERE: u64 = libc::AT_FDCWD as u64;
        let a = call.arguments;
        match call.number {
            libc::SYS_write
            | libc::SYS_pwrite64
            | libc::SYS_writev
            | libc::SYS_pwritev
            | libc::SYS_pwritev2
            | libc::SYS_ftruncate
            | libc::SYS_fallocate
            | libc::SYS_sendfile => self.descriptor(guest, a[0]),
            libc::SYS_copy_file_range | libc::SYS_splice => self.descriptor(guest, a[2]),
            libc::SYS_mmap if a[2] & libc::PROT_WRITE as u64 != 0 => self.descriptor(guest, a[4]),
            libc::SYS_open => self.open(guest, HERE, a[0], a[1], 0),
            libc::SYS_creat => {
                self.open(guest, HERE, a[0], (libc::O_CREAT | libc::O_TRUNC) as u64, 0)
            }
            libc::SYS_openat => self.open(guest, a[0], a[1], a[2], 0),
            libc::SYS_openat2 => {
                let (flags, resolve) = how_opened(guest, a[2])?;
                self.open(guest, a[0], a[1], flags, resolve)
            }
            libc::SYS_rename => self.rename(guest, (HERE, a[0]), (HERE, a[1])),
            libc::SYS_renameat | libc::SYS_renameat2 => {
                self.rename(guest, (a[0], a[1]), (a[2], a[3]))
            }
            libc::SYS_link => self.link(guest, (HERE, a[0]), (HERE, a[1]), 0),
            libc::SYS_linkat => self.link(guest, (a[0], a[1]), (a[2], a[3]), a[4]),
            libc::SYS_symlink => self.path(guest, HERE, a[1], false),
            libc::SYS_symlinkat => self.path(guest, a[1], a[2], false),
            libc::SYS_unlink | libc::SYS_truncate => self.path(guest, HERE, a[0], true),
            libc::SYS_unlinkat => self.path(guest, a[0], a[1], true),
            _ => Ok(()),
        }
    }
}

impl<C: FnMut() -> bool> Observer for Scout<C> {
    fn entry(&mut self, guest: Guest, call: Call, _busy: bool) -> Entry {
        // An argument that cannot be read makes the call fail by itself.
        let _ = self.look(guest, call);
        Entry::Pass
    }

    fn exit(&mut self, _guest: Guest, _result: i64, _written: Option<&[u8]>) {}

    fn held(&self) -> Option<Held<'_>> {
        None
    }

    fn lost(&mut self, _thread: Pid) {}

    fn unseen(&mut self, _guest: Guest) {}

    fn forget(&mut self, thread: Pid) {
        self.descriptors.forget(thread);
    }

    fn process(&mut self, _process: Pid) {}

    fn turned(&mut self, _turn: Turn<'_>) {}

    fn tick(&mut self) -> bool {
        (self.cancelled)()
    }
}
