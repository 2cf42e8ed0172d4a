//! The sd_notify protocol, by plain code: a datagram to the socket in `NOTIFY_SOCKET`.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where to tell about oneself; nowhere if nobody asked.
pub struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
    is_watched: bool,
}

impl Notify {
    /// As the environment says.
    pub fn from_environment() -> Self {
        let is_watched = std::env::var_os("WATCHDOG_USEC").is_some();
        Notify { socket: Self::socket(), is_watched }
    }

    fn socket() -> Option<(UnixDatagram, SocketAddr)> {
        let path = std::env::var("NOTIFY_SOCKET").ok()?;
        let address = match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok()?,
            None => SocketAddr::from_pathname(path).ok()?,
        };
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok()?;
        Some((socket, address))
    }

    /// Tells; nothing happens where nobody listens.
    pub fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }

    /// Tells that it is alive, if somebody watches that.
    pub fn keep_alive(&self) {
        if self.is_watched {
            self.say("WATCHDOG=1");
        }
    }
}
