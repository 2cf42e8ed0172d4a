//! Calls on sockets with a path: one is made, or somebody is talked to who is not of the tree.

use super::super::Recorder;
use super::Attempt;
use crate::guest::Guest;
use killpoint_model::operation::OperationKind;
use std::io;

impl<C: FnMut() -> bool> Recorder<C> {
    pub(super) fn bind(&mut self, guest: Guest, a: [u64; 6]) -> Attempt {
        let Some(path) = socket_path(guest, a)? else { return Ok(None) };
        let place = guest.place(libc::AT_FDCWD, &path, false)?;
        // Where something stands already, the call fails: a socket there is somebody else's.
        if place.stat().is_none() {
            self.sockets.insert(place.path()?);
        }
        Ok(self.creation(OperationKind::Bind, place, "bind"))
    }

    /// Notes a talk with a process that is not of the tree: what that one writes is not seen.
    pub(super) fn connect(&mut self, guest: Guest, a: [u64; 6]) -> Attempt {
        const HARMLESS: [&[u8]; 4] =
            [b"/dev/log", b"/run/systemd/journal/", b"/var/run/nscd/", b"/run/nscd/"];
        let Some(path) = socket_path(guest, a)? else { return Ok(None) };
        let harmless = HARMLESS.iter().any(|prefix| path.starts_with(prefix));
        let there = guest.open_path(libc::AT_FDCWD, &path, true).is_ok();
        if !harmless && there && !self.is_own_socket(guest, &path) {
            self.gap(
                String::from_utf8_lossy(&path),
                "the target handed work to a process outside its tree through this socket; what \
                 that process writes is not covered",
            );
        }
        Ok(None)
    }

    /// Whether the tree has bound the socket that a path leads to, however either was written.
    fn is_own_socket(&self, guest: Guest, path: &[u8]) -> bool {
        let place = guest.place(libc::AT_FDCWD, path, true);
        place.and_then(|place| place.path()).is_ok_and(|path| self.sockets.contains(&path))
    }
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
