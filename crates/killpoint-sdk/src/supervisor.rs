//! Datagrams to the supervisor, in the protocol of sd_notify.

use crate::{MESSAGE_BYTES_MAX, count_unsaid};
use std::env;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;

/// Names the supervisor's socket. It is not `NOTIFY_SOCKET`, which systemd may have set: who runs under
/// systemd alone says nothing to it by this library.
pub(crate) const SOCKET: &str = "KILLPOINT_NOTIFY_SOCKET";

/// Our end; none if it cannot be had.
static OWN: OnceLock<Option<UnixDatagram>> = OnceLock::new();

pub(crate) fn say(message: &str) {
    let Some(path) = env::var_os(SOCKET) else { return };
    let own = OWN.get_or_init(|| {
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(socket)
    });
    let is_short = message.len() <= MESSAGE_BYTES_MAX;
    let sent =
        own.as_ref().is_some_and(|own| is_short && own.send_to(message.as_bytes(), path).is_ok());
    if !sent {
        count_unsaid();
    }
}
