//! What a stopped call is about to do: outside the state, or on it and to which file.
//!
//! Here stand the table of calls and those that a descriptor leads to; the others in rooms below.

mod mappings;
mod names;
mod sockets;

use super::Recorder;
use super::pending::{Action, At, Pending, Seen};
use crate::filter::{FICLONE, FICLONERANGE};
use crate::guest::{Copied, Guest, how_opened, identity};
use crate::intercept::Call;
use crate::naming::Label;
use killpoint_model::operation::{FileId, OperationKind};
use rustix::fs::{OFlags, Stat};
use std::io;
use std::os::fd::AsFd;

type Attempt = io::Result<Option<Pending>>;

fn signed(argument: u64) -> i32 {
    // Descriptors and flags are 32 bits wide; the upper half of the register is undefined.
    argument as u32 as i32
}

impl<C: FnMut() -> bool> Recorder<C> {
    /// Looks at a call. An argument that cannot be read makes the call fail by itself, so it is
    /// outside.
    pub(super) fn classify(&mut self, guest: Guest, call: Call, busy: bool) -> Seen {
        let descriptor = descriptor_of(call);
        if busy {
            // Whether a descriptor lies outside does not depend on the call in flight.
            if let Some(descriptor) = descriptor
                && self.in_state(guest, descriptor).ok().flatten().is_none()
            {
                return Seen::Outside;
            }
            return Seen::Later;
        }
        self.asked = None;
        match self.pending_of(guest, call) {
            Ok(Some(pending)) => Seen::InState(pending),
            Ok(None) => Seen::Outside,
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                self.gap(
                    "*",
                    "a process does not let itself be looked at (not dumpable): its calls are not \
                     covered",
                );
                Seen::Outside
            }
            Err(_) => Seen::Outside,
        }
    }

    fn pending_of(&mut self, guest: Guest, call: Call) -> Attempt {
        let a = call.arguments;
        match call.number {
            libc::SYS_write => self.write(guest, "write", a, At::Current, 0),
            libc::SYS_pwrite64 => self.write(guest, "pwrite64", a, At::Offset(a[3]), 0),
            libc::SYS_writev => self.write(guest, "writev", a, At::Current, 0),
            libc::SYS_pwritev => self.write(guest, "pwritev", a, At::Offset(a[3]), 0),
            libc::SYS_pwritev2 => {
                let at = if a[3] == u64::MAX { At::Current } else { At::Offset(a[3]) };
                self.write(guest, "pwritev2", a, at, signed(a[5]))
            }
            libc::SYS_sendfile => self.write(guest, "sendfile", a, At::Current, 0),
            libc::SYS_copy_file_range => self.transfer(guest, "copy_file_range", a),
            libc::SYS_splice => self.transfer(guest, "splice", a),
            libc::SYS_open => self.open(guest, libc::AT_FDCWD, a[0], signed(a[1]), 0, "open"),
            libc::SYS_creat => {
                let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
                self.open(guest, libc::AT_FDCWD, a[0], flags, 0, "creat")
            }
            libc::SYS_openat => self.open(guest, signed(a[0]), a[1], signed(a[2]), 0, "openat"),
            libc::SYS_openat2 => {
                let (flags, resolve) = how_opened(guest, a[2])?;
                self.open(guest, signed(a[0]), a[1], signed(flags), resolve, "openat2")
            }
            libc::SYS_rename => {
                self.rename(guest, (libc::AT_FDCWD, a[0]), (libc::AT_FDCWD, a[1]), 0, "rename")
            }
            libc::SYS_renameat => {
                self.rename(guest, (signed(a[0]), a[1]), (signed(a[2]), a[3]), 0, "renameat")
            }
            libc::SYS_renameat2 => {
                let flags = a[4] as u32;
                self.rename(guest, (signed(a[0]), a[1]), (signed(a[2]), a[3]), flags, "renameat2")
            }
            libc::SYS_link => {
                self.link(guest, (libc::AT_FDCWD, a[0]), (libc::AT_FDCWD, a[1]), 0, "link")
            }
            libc::SYS_linkat => {
                self.link(guest, (signed(a[0]), a[1]), (signed(a[2]), a[3]), signed(a[4]), "linkat")
            }
            libc::SYS_symlink => self.make(guest, libc::AT_FDCWD, a[1], "symlink"),
            libc::SYS_symlinkat => self.make(guest, signed(a[1]), a[2], "symlinkat"),
            libc::SYS_mkdir => self.make(guest, libc::AT_FDCWD, a[0], "mkdir"),
            libc::SYS_mkdirat => self.make(guest, signed(a[0]), a[1], "mkdirat"),
            libc::SYS_mknod => self.make(guest, libc::AT_FDCWD, a[0], "mknod"),
            libc::SYS_mknodat => self.make(guest, signed(a[0]), a[1], "mknodat"),
            libc::SYS_unlink => self.remove(guest, libc::AT_FDCWD, a[0], false, "unlink"),
            libc::SYS_unlinkat => {
                let directory = signed(a[2]) & libc::AT_REMOVEDIR != 0;
                self.remove(guest, signed(a[0]), a[1], directory, "unlinkat")
            }
            libc::SYS_rmdir => self.remove(guest, libc::AT_FDCWD, a[0], true, "rmdir"),
            libc::SYS_bind => self.bind(guest, a),
            libc::SYS_connect => self.connect(guest, a),
            libc::SYS_truncate => {
                let probe = guest.open_path(libc::AT_FDCWD, &guest.read_string(a[0])?, true)?;
                let Some(file) = self.known(&probe)? else { return Ok(None) };
                let action = Action::Resize { file, size: a[1] };
                Ok(self.on_file(OperationKind::Truncate, file, "truncate", action))
            }
            libc::SYS_ftruncate => {
                let Some((file, _)) = self.in_state(guest, signed(a[0]))? else { return Ok(None) };
                let action = Action::Resize { file, size: a[1] };
                Ok(self.on_file(OperationKind::Truncate, file, "ftruncate", action))
            }
            libc::SYS_fallocate => {
                let Some((file, descriptor)) = self.in_state(guest, signed(a[0]))? else {
                    return Ok(None);
                };
                let (mode, offset, length) = (signed(a[1]), a[2], a[3]);
                let action = Action::Fallocate { file, descriptor, mode, offset, length };
                Ok(self.on_file(OperationKind::Fallocate, file, "fallocate", action))
            }
            libc::SYS_ioctl if [FICLONE, FICLONERANGE].contains(&(a[1] as u32)) => {
                let Some((file, descriptor)) = self.in_state(guest, signed(a[0]))? else {
                    return Ok(None);
                };
                let action = Action::Replace { file, descriptor };
                Ok(self.on_file(OperationKind::Clone, file, "ioctl", action))
            }
            libc::SYS_fsync => self.sync(guest, a, OperationKind::Fsync, "fsync"),
            libc::SYS_fdatasync => self.sync(guest, a, OperationKind::Fdatasync, "fdatasync"),
            libc::SYS_sync_file_range => {
                let Some((file, _)) = self.in_state(guest, signed(a[0]))? else { return Ok(None) };
                let kind = OperationKind::SyncFileRange;
                Ok(self.on_file(kind, file, "sync_file_range", Action::Nothing))
            }
            libc::SYS_syncfs => {
                let Some((file, _)) = self.in_state(guest, signed(a[0]))? else { return Ok(None) };
                Ok(self.on_file(OperationKind::Syncfs, file, "syncfs", Action::SyncAll))
            }
            libc::SYS_sync => Ok(Some(Pending {
                kind: OperationKind::Sync,
                labels: Vec::new(),
                call: "sync",
                action: Action::SyncAll,
            })),
            libc::SYS_msync => self.msync(guest, a),
            libc::SYS_mmap => self.map(guest, a),
            _ => self.change_of_inode(guest, call),
        }
    }

    /// chmod, chown, utimens and xattr, by path or descriptor.
    fn change_of_inode(&mut self, guest: Guest, call: Call) -> Attempt {
        use OperationKind::{Chmod, Chown, Removexattr, Setxattr, Utimens};
        const EMPTY_PATH: i32 = libc::AT_EMPTY_PATH;
        const NO_FOLLOW: i32 = libc::AT_SYMLINK_NOFOLLOW;
        let a = call.arguments;
        let at = libc::AT_FDCWD;
        // Kind, name, directory, path or none for a descriptor, flags of the *at form.
        let (kind, name, directory, path, flags) = match call.number {
            libc::SYS_chmod => (Chmod, "chmod", at, Some(a[0]), 0),
            libc::SYS_fchmod => (Chmod, "fchmod", signed(a[0]), None, 0),
            libc::SYS_fchmodat => (Chmod, "fchmodat", signed(a[0]), Some(a[1]), 0),
            libc::SYS_fchmodat2 => (Chmod, "fchmodat2", signed(a[0]), Some(a[1]), signed(a[3])),
            libc::SYS_chown => (Chown, "chown", at, Some(a[0]), 0),
            libc::SYS_lchown => (Chown, "lchown", at, Some(a[0]), NO_FOLLOW),
            libc::SYS_fchown => (Chown, "fchown", signed(a[0]), None, 0),
            libc::SYS_fchownat => (Chown, "fchownat", signed(a[0]), Some(a[1]), signed(a[4])),
            libc::SYS_utime => (Utimens, "utime", at, Some(a[0]), 0),
            libc::SYS_utimes => (Utimens, "utimes", at, Some(a[0]), 0),
            libc::SYS_futimesat => (Utimens, "futimesat", signed(a[0]), Some(a[1]), 0),
            libc::SYS_utimensat => {
                (Utimens, "utimensat", signed(a[0]), Some(a[1]).filter(|p| *p != 0), signed(a[3]))
            }
            libc::SYS_setxattr => (Setxattr, "setxattr", at, Some(a[0]), 0),
            libc::SYS_lsetxattr => (Setxattr, "lsetxattr", at, Some(a[0]), NO_FOLLOW),
            libc::SYS_fsetxattr => (Setxattr, "fsetxattr", signed(a[0]), None, 0),
            libc::SYS_removexattr => (Removexattr, "removexattr", at, Some(a[0]), 0),
            libc::SYS_lremovexattr => (Removexattr, "lremovexattr", at, Some(a[0]), NO_FOLLOW),
            libc::SYS_fremovexattr => (Removexattr, "fremovexattr", signed(a[0]), None, 0),
            _ => return Ok(None),
        };
        let path = path.map(|address| guest.read_string(address)).transpose()?;
        let (file, probe) = match path {
            Some(path) if !(path.is_empty() && flags & EMPTY_PATH != 0) => {
                let probe = guest.open_path(directory, &path, flags & NO_FOLLOW == 0)?;
                match self.known(&probe)? {
                    Some(file) => (file, probe),
                    None => return Ok(None),
                }
            }
            _ => match self.in_state(guest, directory)? {
                Some((file, descriptor)) => (file, descriptor.into_file()),
                None => return Ok(None),
            },
        };
        let action = match kind {
            Chmod | Chown => Action::Attributes { file, probe },
            Setxattr | Removexattr => Action::Xattrs { file, probe },
            Utimens => Action::Times { file, probe },
            _ => Action::Nothing,
        };
        Ok(self.on_file(kind, file, name, action))
    }

    /// The file of the state that a descriptor of ours refers to.
    pub(super) fn known(&self, probe: &impl AsFd) -> io::Result<Option<FileId>> {
        let stat = rustix::fs::fstat(probe)?;
        Ok(self.identities.get(&identity(&stat)).copied())
    }

    /// The file of the state that a descriptor of the target refers to, and a copy of it. Only
    /// regular files and directories: a call on a FIFO or socket may wait for ever.
    fn in_state(&mut self, guest: Guest, descriptor: i32) -> io::Result<Option<(FileId, Copied)>> {
        let found = self.file_of(guest, descriptor)?;
        Ok(found.and_then(|(stat, copy)| Some((*self.identities.get(&identity(&stat))?, copy))))
    }

    /// The regular file or directory that a descriptor of the target refers to, and a copy of it.
    fn file_of(&mut self, guest: Guest, descriptor: i32) -> io::Result<Option<(Stat, Copied)>> {
        let copy = self.descriptors.copy(guest.thread, descriptor)?;
        let stat = rustix::fs::fstat(copy.file())?;
        let kind = stat.st_mode & libc::S_IFMT;
        let counts = kind == libc::S_IFREG || kind == libc::S_IFDIR;
        Ok(counts.then_some((stat, copy)))
    }

    /// A pending call on a file; none if no name leads to it any more (a crash removes it).
    fn on_file(
        &mut self,
        kind: OperationKind,
        file: FileId,
        call: &'static str,
        action: Action,
    ) -> Option<Pending> {
        let label = self.namespace.label(file).or_else(|| {
            self.image.inode(file).filter(|_| self.temporaries.contains(&file))?;
            Some(Label::alike("<unnamed>"))
        })?;
        Some(Pending { kind, labels: vec![label], call, action })
    }

    fn write(
        &mut self,
        guest: Guest,
        call: &'static str,
        a: [u64; 6],
        at: At,
        flags: i32,
    ) -> Attempt {
        let Some((stat, descriptor)) = self.file_of(guest, signed(a[0]))? else {
            return Ok(None);
        };
        let identity = identity(&stat);
        let Some(file) = self.identities.get(&identity).copied() else {
            self.note_outside_file(descriptor.file(), identity);
            return Ok(None);
        };
        let status = descriptor.flags()?;
        let append = status.contains(OFlags::APPEND) || flags & libc::RWF_APPEND != 0;
        let at = match at {
            // With O_APPEND the kernel ignores the offset and leaves the descriptor's alone.
            At::Offset(_) if append && flags & libc::RWF_NOAPPEND == 0 => At::End,
            at => at,
        };
        let durable = status.intersects(OFlags::DSYNC | OFlags::SYNC)
            || flags & (libc::RWF_DSYNC | libc::RWF_SYNC) != 0;
        let buffer = matches!(call, "write" | "pwrite64").then_some(a[1]);
        let takes_away = stat.st_mode & (libc::S_ISUID | libc::S_ISGID) != 0;
        let is_plain = !status.contains(OFlags::DIRECT) && !takes_away;
        let action = Action::Write { file, descriptor, is_plain, at, durable, buffer };
        Ok(self.on_file(OperationKind::Write, file, call, action))
    }

    /// copy_file_range and splice: the destination is the third argument, its offset the fourth.
    fn transfer(&mut self, guest: Guest, call: &'static str, a: [u64; 6]) -> Attempt {
        let at = if a[3] == 0 { At::Current } else { At::Pointer(a[3]) };
        self.write(guest, call, [a[2], 0, 0, 0, 0, 0], at, 0)
    }

    fn sync(
        &mut self,
        guest: Guest,
        a: [u64; 6],
        kind: OperationKind,
        call: &'static str,
    ) -> Attempt {
        let Some((file, descriptor)) = self.in_state(guest, signed(a[0]))? else {
            return Ok(None);
        };
        let data_only = kind == OperationKind::Fdatasync;
        let descriptor = Some(descriptor);
        let action = Action::Sync { file, descriptor, data_only, range: None };
        Ok(self.on_file(kind, file, call, action))
    }
}

/// The descriptor that a call works on, where it works on one.
fn descriptor_of(call: Call) -> Option<i32> {
    let argument = match call.number {
        libc::SYS_write
        | libc::SYS_pwrite64
        | libc::SYS_writev
        | libc::SYS_pwritev
        | libc::SYS_pwritev2
        | libc::SYS_sendfile
        | libc::SYS_ftruncate
        | libc::SYS_fallocate
        | libc::SYS_ioctl
        | libc::SYS_fchmod
        | libc::SYS_fchown
        | libc::SYS_fsetxattr
        | libc::SYS_fremovexattr
        | libc::SYS_fsync
        | libc::SYS_fdatasync
        | libc::SYS_sync_file_range
        | libc::SYS_syncfs => 0,
        libc::SYS_copy_file_range | libc::SYS_splice => 2,
        libc::SYS_mmap => 4,
        _ => return None,
    };
    Some(signed(call.arguments[argument]))
}
