//! What a stopped call is about to do: outside the state, or on it and to which file.

use super::Recorder;
use crate::filter::{FICLONE, FICLONERANGE};
use crate::guest::{Copied, Guest, Place, identity};
use crate::intercept::Call;
use crate::naming::Label;
use killpoint_model::operation::{FileId, Name, OperationKind};
use rustix::fs::{OFlags, Stat};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// What a call turned out to be.
pub(super) enum Seen {
    /// It does not concern the state.
    Outside,
    /// It cannot be said while another call is in flight.
    Later,
    /// It does.
    InState(Pending),
}

/// A call on the state before it is carried out.
pub(super) struct Pending {
    pub(super) kind: OperationKind,
    pub(super) labels: Vec<Label>,
    pub(super) call: &'static str,
    pub(super) action: Action,
}

/// Where a write goes.
pub(super) enum At {
    /// The descriptor's own offset, or the end of the file: known afterwards from the offset.
    Current,
    /// An offset in the arguments.
    Offset(u64),
    /// An offset in the target's memory, which the call moves on.
    Pointer(u64),
    /// The end of the file, leaving the descriptor's offset alone (pwrite with O_APPEND).
    End,
}

/// What has to be looked at once the call has returned.
pub(super) enum Action {
    Write {
        file: FileId,
        descriptor: Copied,
        /// As in [`crate::intercept::Held`].
        is_plain: bool,
        at: At,
        durable: bool,
        buffer: Option<u64>,
    },
    Create {
        name: Name,
        place: Place,
    },
    Temporary,
    Resize {
        file: FileId,
        size: u64,
    },
    Fallocate {
        file: FileId,
        descriptor: Copied,
        mode: i32,
        offset: u64,
        length: u64,
    },
    Replace {
        file: FileId,
        descriptor: Copied,
    },
    Rename {
        from: Option<(Name, FileId)>,
        to: Option<(Name, Place)>,
        exchange: bool,
    },
    Link {
        source: Option<FileId>,
        name: Name,
        place: Place,
    },
    Unlink {
        name: Name,
        file: FileId,
    },
    Attributes {
        file: FileId,
        probe: OwnedFd,
    },
    Xattrs {
        file: FileId,
        probe: OwnedFd,
    },
    Times {
        file: FileId,
        probe: OwnedFd,
    },
    Nothing,
    Sync {
        file: FileId,
        /// None for msync.
        descriptor: Option<Copied>,
        data_only: bool,
        range: Option<(u64, u64)>,
    },
    SyncAll,
}

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
            libc::SYS_open => self.open(guest, libc::AT_FDCWD, a[0], signed(a[1]), "open"),
            libc::SYS_creat => {
                let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
                self.open(guest, libc::AT_FDCWD, a[0], flags, "creat")
            }
            libc::SYS_openat => self.open(guest, signed(a[0]), a[1], signed(a[2]), "openat"),
            libc::SYS_openat2 => {
                let flags = guest.read_u64(a[2])?;
                self.open(guest, signed(a[0]), a[1], signed(flags), "openat2")
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
    fn known(&self, probe: &impl AsFd) -> io::Result<Option<FileId>> {
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

    /// A place whose directory belongs to the state.
    fn state_name(&self, place: &Place) -> Option<Name> {
        let directory = *self.identities.get(&place.identity)?;
        Some(Name { directory, bytes: place.name.clone() })
    }

    fn open(
        &mut self,
        guest: Guest,
        directory: i32,
        path: u64,
        flags: i32,
        call: &'static str,
    ) -> Attempt {
        if flags & libc::O_PATH != 0 {
            return Ok(None);
        }
        let path = guest.read_string(path)?;
        if flags & libc::O_TMPFILE == libc::O_TMPFILE {
            let probe = guest.open_path(directory, &path, true)?;
            let Some(file) = self.known(&probe)? else { return Ok(None) };
            let kind = OperationKind::OpenTemporary;
            return Ok(self.on_file(kind, file, call, Action::Temporary));
        }
        let exclusive = flags & (libc::O_CREAT | libc::O_EXCL) == libc::O_CREAT | libc::O_EXCL;
        let follow = flags & libc::O_NOFOLLOW == 0 && !exclusive;
        let place = guest.place(directory, &path, follow)?;
        match place.stat() {
            None if flags & libc::O_CREAT != 0 => {
                let Some(name) = self.state_name(&place) else {
                    self.note_outside_place(&place);
                    return Ok(None);
                };
                let labels = vec![self.namespace.label_of_name(&name)];
                let action = Action::Create { name, place };
                Ok(Some(Pending { kind: OperationKind::OpenCreate, labels, call, action }))
            }
            Some(stat)
                if flags & libc::O_TRUNC != 0
                    && !exclusive
                    && stat.st_mode & libc::S_IFMT == libc::S_IFREG =>
            {
                let file = self.identities.get(&identity(&stat)).copied();
                Ok(file.and_then(|file| {
                    let action = Action::Resize { file, size: 0 };
                    self.on_file(OperationKind::OpenTruncate, file, call, action)
                }))
            }
            _ => Ok(None),
        }
    }

    fn rename(
        &mut self,
        guest: Guest,
        from: (i32, u64),
        to: (i32, u64),
        flags: u32,
        call: &'static str,
    ) -> Attempt {
        let from = guest.place(from.0, &guest.read_string(from.1)?, false)?;
        let to = guest.place(to.0, &guest.read_string(to.1)?, false)?;
        let Some(stat) = from.stat() else { return Ok(None) };
        if flags & libc::RENAME_NOREPLACE != 0 && to.stat().is_some() {
            return Ok(None);
        }
        let (from_name, to_name) = (self.state_name(&from), self.state_name(&to));
        if from_name.is_none() && to_name.is_none() {
            self.note_outside_place(&to);
            return Ok(None);
        }
        let mut labels = Vec::new();
        for (name, place) in [(&from_name, &from), (&to_name, &to)] {
            labels.push(match name {
                Some(name) => self.namespace.label_of_name(name),
                None => outside_label(&place.name),
            });
        }
        let from = from_name.and_then(|name| {
            let file = *self.identities.get(&identity(&stat))?;
            Some((name, file))
        });
        let action = Action::Rename {
            from,
            to: to_name.map(|name| (name, to)),
            exchange: flags & libc::RENAME_EXCHANGE != 0,
        };
        Ok(Some(Pending { kind: OperationKind::Rename, labels, call, action }))
    }

    fn link(
        &mut self,
        guest: Guest,
        from: (i32, u64),
        to: (i32, u64),
        flags: i32,
        call: &'static str,
    ) -> Attempt {
        let place = guest.place(to.0, &guest.read_string(to.1)?, false)?;
        let Some(name) = self.state_name(&place) else { return Ok(None) };
        if place.stat().is_some() {
            return Ok(None);
        }
        let path = guest.read_string(from.1)?;
        let source = if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
            self.in_state(guest, from.0)?.map(|(file, _)| file)
        } else {
            let probe = guest.open_path(from.0, &path, flags & libc::AT_SYMLINK_FOLLOW != 0)?;
            self.known(&probe)?
        };
        let from_label = source
            .and_then(|file| self.namespace.label(file))
            .unwrap_or_else(|| outside_label(b"unnamed"));
        let labels = vec![from_label, self.namespace.label_of_name(&name)];
        let action = Action::Link { source, name, place };
        Ok(Some(Pending { kind: OperationKind::Link, labels, call, action }))
    }

    /// mkdir, symlink, mknod.
    fn make(&mut self, guest: Guest, directory: i32, path: u64, call: &'static str) -> Attempt {
        let kind = match call {
            "mkdir" | "mkdirat" => OperationKind::Mkdir,
            "symlink" | "symlinkat" => OperationKind::Symlink,
            _ => OperationKind::Mknod,
        };
        let place = guest.place(directory, &guest.read_string(path)?, false)?;
        Ok(self.creation(kind, place, call))
    }

    fn creation(&self, kind: OperationKind, place: Place, call: &'static str) -> Option<Pending> {
        let name = self.state_name(&place)?;
        if place.stat().is_some() {
            return None;
        }
        let labels = vec![self.namespace.label_of_name(&name)];
        Some(Pending { kind, labels, call, action: Action::Create { name, place } })
    }

    fn remove(
        &mut self,
        guest: Guest,
        directory: i32,
        path: u64,
        is_directory: bool,
        call: &'static str,
    ) -> Attempt {
        let place = guest.place(directory, &guest.read_string(path)?, false)?;
        let Some(stat) = place.stat() else { return Ok(None) };
        let Some(name) = self.state_name(&place) else {
            self.note_outside_place(&place);
            return Ok(None);
        };
        if (stat.st_mode & libc::S_IFMT == libc::S_IFDIR) != is_directory {
            return Ok(None);
        }
        let Some(file) = self.identities.get(&identity(&stat)).copied() else { return Ok(None) };
        let kind = if is_directory { OperationKind::Rmdir } else { OperationKind::Unlink };
        let labels = vec![self.namespace.label_of_name(&name)];
        Ok(Some(Pending { kind, labels, call, action: Action::Unlink { name, file } }))
    }

    /// The path in a `sockaddr_un`; none for other families and abstract names.
    fn socket_path(guest: Guest, a: [u64; 6]) -> io::Result<Option<Vec<u8>>> {
        const ADDRESS_MAX: u64 = 110;
        let bytes = guest.read_bytes(a[1], a[2].min(ADDRESS_MAX) as usize)?;
        let family = bytes.get(..2).map(|b| u16::from_ne_bytes([b[0], b[1]]));
        if family != Some(libc::AF_UNIX as u16) {
            return Ok(None);
        }
        let path = bytes[2..].split(|byte| *byte == 0).next().unwrap_or_default();
        Ok((!path.is_empty()).then(|| path.to_vec()))
    }

    fn bind(&mut self, guest: Guest, a: [u64; 6]) -> Attempt {
        let Some(path) = Self::socket_path(guest, a)? else { return Ok(None) };
        let place = guest.place(libc::AT_FDCWD, &path, false)?;
        self.sockets.insert(path);
        Ok(self.creation(OperationKind::Bind, place, "bind"))
    }

    /// Notes a talk with a process that is not of the tree: what that one writes is not seen.
    fn connect(&mut self, guest: Guest, a: [u64; 6]) -> Attempt {
        const HARMLESS: [&[u8]; 4] =
            [b"/dev/log", b"/run/systemd/journal/", b"/var/run/nscd/", b"/run/nscd/"];
        let Some(path) = Self::socket_path(guest, a)? else { return Ok(None) };
        let harmless = HARMLESS.iter().any(|prefix| path.starts_with(prefix));
        let there = guest.open_path(libc::AT_FDCWD, &path, true).is_ok();
        if !harmless && there && !self.sockets.contains(&path) {
            self.gap(
                String::from_utf8_lossy(&path),
                "the target handed work to a process outside its tree through this socket; what \
                 that process writes is not covered",
            );
        }
        Ok(None)
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

    fn map(&mut self, guest: Guest, a: [u64; 6]) -> Attempt {
        let flags = signed(a[3]);
        if flags & libc::MAP_ANONYMOUS != 0 {
            return Ok(None);
        }
        let Some((file, descriptor)) = self.in_state(guest, signed(a[4]))? else {
            return Ok(None);
        };
        let access = descriptor.flags()? & OFlags::ACCMODE;
        if access != OFlags::RDWR {
            return Ok(None);
        }
        let Some(label) = self.namespace.label(file) else { return Ok(None) };
        if signed(a[2]) & libc::PROT_WRITE == 0 {
            let reader =
                std::fs::File::open(format!("/proc/self/fd/{}", descriptor.file().as_raw_fd()))?;
            self.mapped.suspect(file, reader, label.shown.to_string(), guest.thread);
            return Ok(None);
        }
        // Not carried: the mapping is followed from now on, before a store can happen.
        self.follow_mapping(file, descriptor.file(), label.shown.to_string());
        Ok(None)
    }

    /// Which file of the state an address is mapped from, by the thread's table of mappings.
    fn msync(&mut self, guest: Guest, a: [u64; 6]) -> Attempt {
        if signed(a[2]) & libc::MS_SYNC == 0 || self.mapped.is_empty() {
            return Ok(None);
        }
        let table = std::fs::read_to_string(format!("/proc/{}/maps", guest.thread))?;
        for line in table.lines() {
            let Some((start, end, offset, link)) = mapping(line) else { continue };
            let named = super::mapped::identity_in(line);
            if !(start..end).contains(&a[0]) {
                continue;
            }
            // The table's device is not always that of the file; the link is not for everybody.
            let file = match named.and_then(|named| self.identities.get(&named).copied()) {
                Some(file) => Some(file),
                None => {
                    match std::fs::File::open(format!("/proc/{}/map_files/{link}", guest.thread)) {
                        Ok(probe) => self.known(&probe)?,
                        Err(_) => None,
                    }
                }
            };
            let Some(file) = file else { return Ok(None) };
            let from = offset + (a[0] - start);
            let range = Some((from, a[1].min(end - a[0])));
            let action = Action::Sync { file, descriptor: None, data_only: true, range };
            return Ok(self.on_file(OperationKind::Msync, file, "msync", action));
        }
        Ok(None)
    }
}

/// Start, end, file offset and name in `map_files` of a line of `/proc/PID/maps`.
fn mapping(line: &str) -> Option<(u64, u64, u64, &str)> {
    let mut fields = line.split_ascii_whitespace();
    let link = fields.next()?;
    let (start, end) = link.split_once('-')?;
    let offset = fields.nth(1)?;
    let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
    Some((hexadecimal(start)?, hexadecimal(end)?, hexadecimal(offset)?, link))
}

fn outside_label(name: &[u8]) -> Label {
    Label::alike(&format!("<outside>/{}", killpoint_model::address::escape(name)))
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
