//! What can be read of a stopped thread: its memory, descriptors, directories. Never writes to it.

use killpoint_model::selector::Facts;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Stat};
use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Symbolic links followed in one path, as in the kernel.
const LINKS_MAX: usize = 40;
/// Longest path, with its terminating NUL, as in the kernel.
const PATH_MAX: usize = 4_096;
/// `PIDFD_THREAD`: a descriptor for a thread rather than a process. Linux 6.9.
const PIDFD_THREAD: libc::c_uint = libc::O_EXCL as libc::c_uint;

/// Device and inode number.
pub(crate) type Identity = (u64, u64);

/// A thread stopped at the entry or exit of a system call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest {
    /// The thread.
    pub(crate) thread: Pid,
}

/// A path taken apart: the directory that holds the last name, and that name.
#[derive(Debug)]
pub(crate) struct Place {
    /// The directory, opened O_PATH.
    pub(crate) directory: OwnedFd,
    /// Its identity.
    pub(crate) identity: Identity,
    /// The last name, without slashes.
    pub(crate) name: Vec<u8>,
}

impl Place {
    /// What stands at the name, if anything; a link itself, not what it points to.
    pub(crate) fn stat(&self) -> Option<Stat> {
        let name = CString::new(self.name.as_slice()).ok()?;
        rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()
    }

    /// Its absolute path without symbolic links in directories, the same however it was written.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        let directory = format!("/proc/self/fd/{}", self.directory.as_raw_fd());
        Ok(std::fs::read_link(directory)?.join(OsString::from_vec(self.name.clone())))
    }

    /// A path by which the harness itself can reach it.
    pub(crate) fn reach(&self) -> PathBuf {
        let mut path = PathBuf::from(format!("/proc/self/fd/{}", self.directory.as_raw_fd()));
        path.push(OsString::from_vec(self.name.clone()));
        path
    }
}

/// Identity of what a stat shows.
pub(crate) fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

/// The thread's process, as selectors ask for it: at this moment, so that a process that becomes
/// another program or takes another name is what it is now.
impl Facts for Guest {
    fn cmdline(&self) -> Option<String> {
        let bytes = std::fs::read(format!("/proc/{}/cmdline", self.thread)).ok()?;
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        Some(String::from_utf8_lossy(bytes).replace('\0', " "))
    }

    fn executable(&self) -> Option<String> {
        let path = std::fs::read_link(format!("/proc/{}/exe", self.thread)).ok()?;
        Some(path.to_string_lossy().into_owned())
    }

    fn comm(&self) -> Option<String> {
        // Each thread has a name of its own; the process goes by that of its first.
        let process = thread_group(self.thread).ok()?;
        let name = std::fs::read(format!("/proc/{process}/comm")).ok()?;
        Some(String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned())
    }
}

impl Guest {
    /// Reads bytes; fewer than asked for where memory ends.
    pub(crate) fn read_bytes(&self, address: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = self.read_into(address, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Fills the buffer; tells how far, where memory ends before.
    pub(crate) fn read_into(&self, address: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let remote = RemoteIoVec { base: address as usize, len: bytes.len() };
        Ok(process_vm_readv(self.thread, &mut [io::IoSliceMut::new(bytes)], &[remote])?)
    }

    pub(crate) fn read_u64(&self, address: u64) -> io::Result<u64> {
        let bytes = self.read_bytes(address, 8)?;
        let bytes: [u8; 8] = bytes.try_into().map_err(|_| io::ErrorKind::UnexpectedEof)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// Reads a string that ends with NUL.
    pub(crate) fn read_string(&self, address: u64) -> io::Result<Vec<u8>> {
        const PAGE: usize = 4_096;
        let mut text = Vec::new();
        let mut at = address as usize;
        while text.len() < PATH_MAX {
            // Never across a page: the next one may not be there.
            let length = (PAGE - at % PAGE).min(256);
            let part = self.read_bytes(at as u64, length)?;
            if let Some(end) = part.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(&part[..end]);
                return Ok(text);
            }
            if part.is_empty() {
                break;
            }
            at += part.len();
            text.extend_from_slice(&part);
        }
        Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG))
    }

    /// Opens, O_PATH, the directory that a path argument starts from.
    fn base(&self, directory: i32, path: &[u8]) -> io::Result<OwnedFd> {
        let link = if path.first() == Some(&b'/') {
            format!("/proc/{}/root", self.thread)
        } else if directory == libc::AT_FDCWD {
            format!("/proc/{}/cwd", self.thread)
        } else {
            format!("/proc/{}/fd/{directory}", self.thread)
        };
        Ok(rustix::fs::open(link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// What `/proc/self` and `/dev/fd` mean to the thread, written so that it means the same to us.
    fn translate(&self, path: Vec<u8>) -> Vec<u8> {
        let fixed: [(&[u8], String); 6] = [
            (b"/proc/self/", format!("/proc/{}/", self.thread)),
            (b"/proc/thread-self/", format!("/proc/{}/", self.thread)),
            (b"/dev/fd/", format!("/proc/{}/fd/", self.thread)),
            (b"/dev/stdin", format!("/proc/{}/fd/0", self.thread)),
            (b"/dev/stdout", format!("/proc/{}/fd/1", self.thread)),
            (b"/dev/stderr", format!("/proc/{}/fd/2", self.thread)),
        ];
        for (prefix, replacement) in fixed {
            if let Some(rest) = path.strip_prefix(prefix) {
                let mut translated = replacement.into_bytes();
                translated.extend_from_slice(rest);
                return translated;
            }
        }
        path
    }

    /// Takes a path argument apart. With `follow`, symbolic links at its end are followed, also
    /// where what they point to is not there yet.
    pub(crate) fn place(&self, directory: i32, path: &[u8], follow: bool) -> io::Result<Place> {
        let mut path = self.translate(path.to_vec());
        let mut base = self.base(directory, &path)?;
        for _ in 0..LINKS_MAX {
            while path.len() > 1 && path.last() == Some(&b'/') {
                path.pop();
            }
            let cut = path.iter().rposition(|byte| *byte == b'/');
            let (parent, name) = match cut {
                Some(cut) => (&path[..cut], path[cut + 1..].to_vec()),
                None => (&path[..0], path.clone()),
            };
            if name.is_empty() || name == b"." || name == b".." {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            let parent: &[u8] = match parent.iter().position(|byte| *byte != b'/') {
                Some(start) => &parent[start..],
                None => b".",
            };
            let holder =
                rustix::fs::openat(&base, parent, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            let place =
                Place { identity: identity(&rustix::fs::fstat(&holder)?), directory: holder, name };
            let is_link = follow
                && place.stat().is_some_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFLNK);
            if !is_link {
                return Ok(place);
            }
            path = rustix::fs::readlinkat(&place.directory, &*place.name, Vec::new())?.into_bytes();
            base = if path.first() == Some(&b'/') {
                self.base(libc::AT_FDCWD, b"/")?
            } else {
                place.directory
            };
        }
        Err(io::Error::from_raw_os_error(libc::ELOOP))
    }

    /// The same for openat2, whose flags may keep a path below the directory that it starts from.
    pub(crate) fn place_within(
        &self,
        directory: i32,
        path: &[u8],
        follow: bool,
        resolve: u64,
    ) -> io::Result<Place> {
        let resolve = kept_within(resolve);
        if resolve.is_empty() {
            return self.place(directory, path, follow);
        }
        let (base, path) = self.start_within(directory, path, resolve)?;
        place_below(&base, path.to_vec(), follow, resolve)
    }

    /// What an existing path leads to for openat2, opened O_PATH.
    pub(crate) fn open_within(
        &self,
        directory: i32,
        path: &[u8],
        resolve: u64,
    ) -> io::Result<OwnedFd> {
        let resolve = kept_within(resolve);
        if resolve.is_empty() {
            return self.open_path(directory, path, true);
        }
        let (base, path) = self.start_within(directory, path, resolve)?;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        Ok(rustix::fs::openat2(base, path, flags, Mode::empty(), resolve)?)
    }

    /// Where openat2 starts, and with what.
    fn start_within<'a>(
        &self,
        directory: i32,
        path: &'a [u8],
        resolve: ResolveFlags,
    ) -> io::Result<(OwnedFd, &'a [u8])> {
        let is_absolute = path.first() == Some(&b'/');
        if resolve.contains(ResolveFlags::IN_ROOT) || !is_absolute {
            return Ok((self.base(directory, b".")?, path));
        }
        if resolve.contains(ResolveFlags::BENEATH) {
            return Err(io::Error::from_raw_os_error(libc::EXDEV));
        }
        let start = path.iter().position(|byte| *byte != b'/');
        Ok((self.base(directory, b"/")?, start.map_or(b".", |start| &path[start..])))
    }

    /// What an existing path leads to, opened O_PATH.
    pub(crate) fn open_path(
        &self,
        directory: i32,
        path: &[u8],
        follow: bool,
    ) -> io::Result<OwnedFd> {
        let path = self.translate(path.to_vec());
        let base = self.base(directory, &path)?;
        let relative: &[u8] = match path.iter().position(|byte| *byte != b'/') {
            Some(start) => &path[start..],
            None => b".",
        };
        let flags = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        Ok(rustix::fs::openat(
            base,
            relative,
            OFlags::PATH | OFlags::CLOEXEC | flags,
            Mode::empty(),
        )?)
    }
}

/// The flags of openat2, and how it is to resolve its path: both stand in the caller's memory.
pub(crate) fn how_opened(guest: Guest, how: u64) -> io::Result<(u64, u64)> {
    const RESOLVE: u64 = 16;
    Ok((guest.read_u64(how)?, guest.read_u64(how + RESOLVE)?))
}

/// Those flags of openat2 by which a path leads elsewhere, or nowhere; the others make a call fail that
/// would go the same way without them.
fn kept_within(resolve: u64) -> ResolveFlags {
    let kept = ResolveFlags::IN_ROOT | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    ResolveFlags::from_bits_truncate(resolve) & kept
}

/// Takes a path apart that the kernel is to resolve from a directory in a certain way.
fn place_below(
    base: &OwnedFd,
    mut path: Vec<u8>,
    follow: bool,
    resolve: ResolveFlags,
) -> io::Result<Place> {
    for _ in 0..LINKS_MAX {
        while path.len() > 1 && path.last() == Some(&b'/') {
            path.pop();
        }
        let cut = path.iter().rposition(|byte| *byte == b'/').map_or(0, |cut| cut + 1);
        let (parent, name) = (path[..cut].to_vec(), path[cut..].to_vec());
        if name.is_empty() || name == b"." || name == b".." {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let opened: &[u8] = if parent.is_empty() { b"." } else { &parent };
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let holder = rustix::fs::openat2(base, opened, flags, Mode::empty(), resolve)?;
        let identity = identity(&rustix::fs::fstat(&holder)?);
        let place = Place { identity, directory: holder, name };
        let is_link = place.stat().is_some_and(|it| it.st_mode & libc::S_IFMT == libc::S_IFLNK);
        if !is_link || !follow {
            return Ok(place);
        }
        if resolve.contains(ResolveFlags::NO_SYMLINKS) {
            break;
        }
        let target = rustix::fs::readlinkat(&place.directory, &*place.name, Vec::new())?;
        let target = target.into_bytes();
        path = if target.first() == Some(&b'/') { target } else { [parent, target].concat() };
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

/// What a descriptor of a thread refers to.
#[derive(Debug)]
pub(crate) struct Copied {
    file: OwnedFd,
    /// Where its flags and position stand, if `file` is not the target's own open file.
    table: Option<(Pid, i32)>,
}

impl Copied {
    /// The file. Where it is not the target's own open file it is opened O_PATH.
    pub(crate) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// The file alone.
    pub(crate) fn into_file(self) -> OwnedFd {
        self.file
    }

    /// The target's own open file, on which calls can be done for it; none where there is no copy.
    pub(crate) fn shared(&self) -> Option<&OwnedFd> {
        self.table.is_none().then_some(&self.file)
    }

    /// The flags of the target's open file.
    pub(crate) fn flags(&self) -> io::Result<OFlags> {
        match self.table {
            None => Ok(rustix::fs::fcntl_getfl(&self.file)?),
            Some(table) => {
                let bits = u32::from_str_radix(&information(table, "flags:")?, 8);
                Ok(OFlags::from_bits_retain(bits.map_err(io::Error::other)?))
            }
        }
    }

    /// The position of the target's open file, in bytes.
    pub(crate) fn position(&self) -> io::Result<u64> {
        match self.table {
            None => Ok(rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Current(0))?),
            Some(table) => information(table, "pos:")?.parse().map_err(io::Error::other),
        }
    }
}

/// A field of what `/proc` says of a descriptor.
fn information((thread, descriptor): (Pid, i32), field: &str) -> io::Result<String> {
    let text = std::fs::read_to_string(format!("/proc/{thread}/fdinfo/{descriptor}"))?;
    let found = text.lines().find_map(|line| line.strip_prefix(field));
    found.map(|value| value.trim().to_owned()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Copies descriptors of threads. A copy shares the target's open file, so it must be dropped
/// before anybody looks at the target's locks.
///
/// The default settings of containers forbid `pidfd_getfd`. There the file is opened O_PATH by its link
/// in `/proc`, and flags and position are read there, too.
#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    handles: BTreeMap<Pid, OwnedFd>,
    /// Whether copies were refused and links were not.
    by_link: bool,
}

impl Descriptors {
    /// A copy of a descriptor of a thread.
    ///
    /// # Errors
    /// EBADF if there is no such descriptor, EPERM if the thread may not be looked at.
    pub(crate) fn copy(&mut self, thread: Pid, descriptor: i32) -> io::Result<Copied> {
        if self.by_link {
            return linked(thread, descriptor);
        }
        match self.share(thread, descriptor) {
            Ok(file) => Ok(Copied { file, table: None }),
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                // The call may be forbidden, or the thread may not be looked at: then the link cannot
                // be followed either.
                let held = linked(thread, descriptor).map_err(|_| error)?;
                self.by_link = true;
                Ok(held)
            }
            Err(error) => Err(error),
        }
    }

    fn share(&mut self, thread: Pid, descriptor: i32) -> io::Result<OwnedFd> {
        if let Some(handle) = self.handles.get(&thread) {
            match copy(handle, descriptor) {
                // The number was given to a new thread before we heard that the old one ended.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                result => return result,
            }
        }
        let handle = open_thread(thread)?;
        let result = copy(&handle, descriptor);
        self.handles.insert(thread, handle);
        result
    }

    /// Forgets a thread that ended or began another program.
    pub(crate) fn forget(&mut self, thread: Pid) {
        self.handles.remove(&thread);
    }
}

fn linked(thread: Pid, descriptor: i32) -> io::Result<Copied> {
    let link = format!("/proc/{thread}/fd/{descriptor}");
    let file = rustix::fs::open(link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let file = file.map_err(|error| match error {
        rustix::io::Errno::NOENT => io::Error::from_raw_os_error(libc::EBADF),
        rustix::io::Errno::ACCESS => io::Error::from_raw_os_error(libc::EPERM),
        error => error.into(),
    })?;
    Ok(Copied { file, table: Some((thread, descriptor)) })
}

fn copy(handle: &OwnedFd, descriptor: i32) -> io::Result<OwnedFd> {
    let flags = rustix::process::PidfdGetfdFlags::empty();
    Ok(rustix::process::pidfd_getfd(handle.as_fd(), descriptor, flags)?)
}

#[expect(unsafe_code, reason = "rustix does not know PIDFD_THREAD")]
fn open_thread(thread: Pid) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and returns a new descriptor or an error.
    let mut handle = unsafe { libc::syscall(libc::SYS_pidfd_open, thread.as_raw(), PIDFD_THREAD) };
    if handle < 0 {
        // Before Linux 6.9 only whole processes can be opened.
        let leader = thread_group(thread)?;
        // SAFETY: as above.
        handle = unsafe { libc::syscall(libc::SYS_pidfd_open, leader.as_raw(), 0) };
    }
    if handle < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(handle).expect("descriptors are small")) })
}

/// The process that a thread belongs to.
///
/// # Errors
/// If the thread is gone.
pub(crate) fn thread_group(thread: Pid) -> io::Result<Pid> {
    status_number(thread, "Tgid:")
}

/// The parent of a process.
///
/// # Errors
/// If the process is gone.
pub(crate) fn parent(process: Pid) -> io::Result<Pid> {
    status_number(process, "PPid:")
}

fn status_number(thread: Pid, field: &str) -> io::Result<Pid> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.trim().parse().ok())
        .map(Pid::from_raw)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_path_that_openat2_keeps_within_a_directory_is_resolved_there() {
        let top = tempfile::tempdir().expect("a directory");
        let root = top.path().join("root");
        std::fs::create_dir_all(root.join("sub")).expect("made");
        symlink("/sub", root.join("link")).expect("made");
        symlink("/../../sub/aim", root.join("sub/last")).expect("made");
        let descriptor = std::fs::File::open(&root).expect("open");
        let guest = Guest { thread: nix::unistd::gettid() };
        let in_root = ResolveFlags::IN_ROOT.bits();
        let beneath = ResolveFlags::BENEATH.bits();
        let plain = ResolveFlags::NO_SYMLINKS.bits();
        for (path, resolve, found) in [
            ("/e.bin", in_root, Some("e.bin")),
            ("../../e.bin", in_root, Some("e.bin")),
            ("link/e.bin", in_root, Some("sub/e.bin")),
            ("sub/last", in_root, Some("sub/aim")),
            ("sub/e.bin", beneath, Some("sub/e.bin")),
            ("/e.bin", beneath, None),
            ("../e.bin", beneath, None),
            ("link/e.bin", beneath, None),
            ("link/e.bin", plain, None),
            ("../e.bin", plain, Some("../e.bin")),
        ] {
            let place = guest.place_within(descriptor.as_raw_fd(), path.as_bytes(), true, resolve);
            let path_found = place.ok().map(|place| place.path().expect("a path"));
            let expected = found.map(|found| match found.strip_prefix("../") {
                Some(above) => top.path().join(above),
                None => root.join(found),
            });
            assert_eq!(path_found, expected, "{path} {resolve}");
        }
        let opened = guest.open_within(descriptor.as_raw_fd(), b"/sub", in_root);
        let stat = rustix::fs::fstat(opened.expect("it is there")).expect("open");
        let expected = rustix::fs::stat(root.join("sub")).expect("there");
        assert_eq!(identity(&stat), identity(&expected));
    }
}
