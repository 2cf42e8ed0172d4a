//! What a system call does to the state: the first part of an address.

use serde::{Deserialize, Serialize};

/// What a call does to the state, as addresses name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OperationKind {
    /// The write family, AIO, sendfile, copy_file_range, splice.
    Write,
    /// An open that makes a new file.
    OpenCreate,
    /// An open that empties an existing file.
    OpenTruncate,
    /// An open that makes a file without a name (O_TMPFILE).
    OpenTemporary,
    /// rename, renameat, renameat2.
    Rename,
    /// link, linkat.
    Link,
    /// symlink, symlinkat.
    Symlink,
    /// unlink, unlinkat.
    Unlink,
    /// mkdir, mkdirat.
    Mkdir,
    /// rmdir, unlinkat with AT_REMOVEDIR.
    Rmdir,
    /// mknod, mknodat.
    Mknod,
    /// bind of a socket to a path.
    Bind,
    /// truncate, ftruncate.
    Truncate,
    /// fallocate in any mode.
    Fallocate,
    /// FICLONE, FICLONERANGE.
    Clone,
    /// chmod and kin.
    Chmod,
    /// chown and kin.
    Chown,
    /// utimensat and kin.
    Utimens,
    /// setxattr and kin.
    Setxattr,
    /// removexattr and kin.
    Removexattr,
    /// fsync.
    Fsync,
    /// fdatasync.
    Fdatasync,
    /// sync: every file system.
    Sync,
    /// syncfs: one file system.
    Syncfs,
    /// sync_file_range: starts or awaits writeback; promises nothing.
    SyncFileRange,
    /// msync.
    Msync,
    /// A change seen in a file with a writable shared mapping; made by stores, not by a call.
    Mapped,
}

impl OperationKind {
    const TABLE: [(OperationKind, &'static str, &'static str); 27] = [
        (OperationKind::Write, "write", ""),
        (OperationKind::OpenCreate, "open", "create"),
        (OperationKind::OpenTruncate, "open", "truncate"),
        (OperationKind::OpenTemporary, "open", "temporary"),
        (OperationKind::Rename, "rename", ""),
        (OperationKind::Link, "link", ""),
        (OperationKind::Symlink, "symlink", ""),
        (OperationKind::Unlink, "unlink", ""),
        (OperationKind::Mkdir, "mkdir", ""),
        (OperationKind::Rmdir, "rmdir", ""),
        (OperationKind::Mknod, "mknod", ""),
        (OperationKind::Bind, "bind", ""),
        (OperationKind::Truncate, "truncate", ""),
        (OperationKind::Fallocate, "fallocate", ""),
        (OperationKind::Clone, "clone", ""),
        (OperationKind::Chmod, "chmod", ""),
        (OperationKind::Chown, "chown", ""),
        (OperationKind::Utimens, "utimens", ""),
        (OperationKind::Setxattr, "setxattr", ""),
        (OperationKind::Removexattr, "removexattr", ""),
        (OperationKind::Fsync, "fsync", ""),
        (OperationKind::Fdatasync, "fdatasync", ""),
        (OperationKind::Sync, "sync", ""),
        (OperationKind::Syncfs, "syncfs", ""),
        (OperationKind::SyncFileRange, "sync_file_range", ""),
        (OperationKind::Msync, "msync", ""),
        (OperationKind::Mapped, "mapped", ""),
    ];

    fn row(self) -> &'static (OperationKind, &'static str, &'static str) {
        Self::TABLE.iter().find(|row| row.0 == self).expect("every kind stands in the table")
    }

    /// The word before the parenthesis of an address.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The word after the path of an address: `create`, `truncate`, or nothing.
    pub fn suffix(self) -> &'static str {
        self.row().2
    }

    /// The kind with this name and suffix.
    pub fn from_parts(name: &str, suffix: &str) -> Option<OperationKind> {
        Self::TABLE.iter().find(|row| row.1 == name && row.2 == suffix).map(|row| row.0)
    }

    /// Whether a crash point stands at its entry. Stores into a mapping have no entry to stop at.
    pub fn is_point(self) -> bool {
        self != OperationKind::Mapped
    }
}
