//! Datagrams to the supervisor, in the protocol of sd_notify.

use crate::kept::Kept;
use crate::{MESSAGE_BYTES_MAX, count_unsaid, variable};
use std::os::unix::net::UnixDatagram;

/// Names the supervisor's socket. It is not `NOTIFY_SOCKET`, which systemd may have set: who runs under
/// systemd alone says nothing to it by this library.
pub(crate) const SOCKET: &str = "KILLPOINT_NOTIFY_SOCKET";

/// Our end.
static OWN: Kept<UnixDatagram> = Kept::new();

pub(crate) fn say(message: &str) {
    let Some(path) = variable(SOCKET) else { return };
    let open = || {
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(socket)
    };
    let is_short = message.len() <= MESSAGE_BYTES_MAX;
    let sent = is_short
        && OWN.with(open, |own| own.send_to(message.as_bytes(), path).is_ok()) == Some(true);
    if !sent {
        count_unsaid();
    }
}
