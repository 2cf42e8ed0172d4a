//! A call on the state between its entry, where it is classified, and its exit, where it is completed.

use crate::guest::{Copied, Place};
use crate::naming::Label;
use killpoint_model::operation::{FileId, Name, OperationKind};
use std::os::fd::OwnedFd;

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
