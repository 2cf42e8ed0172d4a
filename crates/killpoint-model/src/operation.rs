//! Operations: system calls that change state on disk, as a recording keeps them.

use crate::address::Address;
pub use crate::operation_kind::OperationKind;
use serde::{Deserialize, Serialize};

/// Identifies one inode for the length of a recording; never used again, even when the kernel uses
/// the inode's number again.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct FileId(pub u64);

/// What kind of thing a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link and the bytes of its target.
    Symlink(Vec<u8>),
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device (`st_mode` type bits) and its number.
    Device {
        /// The type bits of `st_mode`.
        mode: u32,
        /// `st_rdev`.
        number: u64,
    },
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Name {
    /// The directory.
    pub directory: FileId,
    /// The bytes of the name, without a slash.
    pub bytes: Vec<u8>,
}

/// Owner, group and permission bits of an inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attributes {
    /// Permission bits, with setuid, setgid and sticky (`st_mode & 0o7777`).
    pub mode: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// The change that an operation made once it had completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// No change: the call failed, or changed nothing that is kept.
    Nothing,
    /// A new inode, with a name unless it is an O_TMPFILE.
    Create {
        /// The new inode.
        file: FileId,
        /// Its name.
        name: Option<Name>,
        /// What it is.
        kind: FileKind,
        /// Its owner and mode.
        attributes: Attributes,
    },
    /// Bytes at an offset. The bytes stand in the recording, after the operation.
    Write {
        /// The inode.
        file: FileId,
        /// The offset of the first byte.
        offset: u64,
        /// How many bytes were written.
        length: u64,
        /// Written through an O_SYNC or O_DSYNC descriptor: durable when the call returned.
        durable: bool,
    },
    /// A new size; what lies beyond is cut off, what is missing reads as zeros.
    Resize {
        /// The inode.
        file: FileId,
        /// The new size in bytes.
        size: u64,
    },
    /// Zeros in a range, within the size (hole punched or range zeroed).
    Zero {
        /// The inode.
        file: FileId,
        /// The first byte.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// All contents, read anew after a call whose effect is not a plain write.
    Replace {
        /// The inode.
        file: FileId,
        /// The size in bytes; the bytes stand in the recording, after the operation.
        length: u64,
    },
    /// A further name for an inode; one that comes from outside was captured by `Create` before.
    Link {
        /// The inode.
        file: FileId,
        /// The new name.
        name: Name,
    },
    /// A name removed.
    Unlink {
        /// The inode.
        file: FileId,
        /// The name.
        name: Name,
    },
    /// A name moved, replacing what stood at the new one.
    Rename {
        /// The inode.
        file: FileId,
        /// The old name; none if it came from outside of the state.
        from: Option<Name>,
        /// The new name; none if it left the state.
        to: Option<Name>,
        /// The inode that stood at the new name.
        replaced: Option<FileId>,
    },
    /// Two names exchanged (RENAME_EXCHANGE).
    Exchange {
        /// The first name and its inode before.
        first: (Name, FileId),
        /// The second name and its inode before.
        second: (Name, FileId),
    },
    /// Owner, group or mode changed.
    Attributes {
        /// The inode.
        file: FileId,
        /// What they are now.
        attributes: Attributes,
    },
    /// The time of modification, set by a call or brought along from outside.
    Times {
        /// The inode.
        file: FileId,
        /// Nanoseconds since 1970.
        modified_ns: i64,
    },
    /// An extended attribute set or removed.
    Xattr {
        /// The inode.
        file: FileId,
        /// The attribute's name.
        name: Vec<u8>,
        /// Its value; none if it was removed.
        value: Option<Vec<u8>>,
    },
    /// A completed barrier for one inode.
    Synced {
        /// The inode.
        file: FileId,
        /// Whether only data and what is needed to read it were synced (fdatasync).
        data_only: bool,
        /// The byte range that was synced; none for all of it.
        range: Option<(u64, u64)>,
    },
    /// A completed barrier for everything.
    SyncedAll,
}

impl Effect {
    /// The file that it is about: of an exchange, the first.
    pub fn file(&self) -> Option<FileId> {
        match self {
            Effect::Nothing | Effect::SyncedAll => None,
            Effect::Exchange { first, .. } => Some(first.1),
            Effect::Create { file, .. }
            | Effect::Write { file, .. }
            | Effect::Resize { file, .. }
            | Effect::Zero { file, .. }
            | Effect::Replace { file, .. }
            | Effect::Link { file, .. }
            | Effect::Unlink { file, .. }
            | Effect::Rename { file, .. }
            | Effect::Attributes { file, .. }
            | Effect::Times { file, .. }
            | Effect::Xattr { file, .. }
            | Effect::Synced { file, .. } => Some(*file),
        }
    }
}

/// One completed (or failed) call of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Position in the recording, from 1. The kill at this operation's entry leaves the effects of
    /// the operations before it.
    pub ordinal: u64,
    /// Its address.
    pub address: Address,
    /// The paths as they really were, relative to the state directory; shown to people.
    pub shown: Vec<String>,
    /// The process that made the call, as numbered from 1 in order of birth.
    pub process: u32,
    /// The name of the system call.
    pub call: String,
    /// What the call returned: a count, or a negated error number.
    pub result: i64,
    /// Length of the ack journal at the entry of the call, in bytes.
    pub journal_length: u64,
    /// The system's coarse clock when it had returned, in nanoseconds since 1970: what the kernel
    /// takes for times of modification.
    pub at_ns: i64,
    /// What it changed. More than one where a call brings in a whole directory.
    pub effects: Vec<Effect>,
}
