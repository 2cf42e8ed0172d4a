//! Who listens behind a Unix socket, as the kernel tells whoever is connected to it.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// The process that called `listen` for the socket at the other end of a connection: none where this
/// namespace does not see it. It may have ended, and have left the socket to another process.
///
/// # Errors
/// If that is no connected Unix socket.
#[expect(unsafe_code, reason = "the safe wrapper has no room for a process that is not seen")]
pub fn listener(connection: impl AsFd) -> io::Result<Option<i32>> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes one `ucred` at most, as the size says, into one that lives here.
    let result = unsafe {
        libc::getsockopt(
            connection.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut size,
        )
    };
    match result {
        0 => Ok((peer.pid > 0).then_some(peer.pid)),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn the_other_end_is_whoever_listens() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let connection = UnixStream::connect(&path).unwrap();
        assert_eq!(listener(&connection).unwrap(), Some(std::process::id().cast_signed()));
        assert!(listener(std::fs::File::open("/dev/null").unwrap()).is_err());
    }
}
