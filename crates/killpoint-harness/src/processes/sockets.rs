//! Who listens on a TCP port: the sockets of each network namespace that is met, read once a search.

use super::process::Process;
use std::collections::{BTreeMap, BTreeSet};

/// The state of a listening socket, as `/proc/net/tcp` writes it.
const LISTENING: &str = "0A";
/// The tables of both families.
const TABLES: [&str; 2] = ["net/tcp", "net/tcp6"];

/// The listening sockets by network namespace and port: the numbers of their inodes.
#[derive(Default)]
pub(super) struct Listeners(BTreeMap<String, BTreeMap<u16, BTreeSet<u64>>>);

impl Listeners {
    /// Whether a process holds a socket that listens on a port; none if it cannot be looked at.
    pub(super) fn has(&mut self, process: &Process<'_>, port: u16) -> Option<bool> {
        let namespace = process.link("ns/net")?;
        let ports = self.0.entry(namespace).or_insert_with(|| table(process));
        let Some(sockets) = ports.get(&port) else { return Some(false) };
        let holds = process.numbers("fd").into_iter().any(|descriptor| {
            let target = process.link(&format!("fd/{descriptor}")).unwrap_or_default();
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            inode.and_then(|text| text.parse().ok()).is_some_and(|inode| sockets.contains(&inode))
        });
        Some(holds)
    }
}

/// The listening sockets that a process could see.
fn table(process: &Process<'_>) -> BTreeMap<u16, BTreeSet<u64>> {
    let mut ports: BTreeMap<u16, BTreeSet<u64>> = BTreeMap::new();
    for name in TABLES {
        let bytes = process.bytes(name).unwrap_or_default();
        for (port, inode) in String::from_utf8_lossy(&bytes).lines().filter_map(listening) {
            ports.entry(port).or_default().insert(inode);
        }
    }
    ports
}

/// Port and inode of a line that tells of a listening socket.
fn listening(line: &str) -> Option<(u16, u64)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != LISTENING {
        return None;
    }
    let port = fields.get(1)?.rsplit_once(':')?.1;
    Some((u16::from_str_radix(port, 16).ok()?, fields.get(9)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_listening_sockets_count() {
        let line = "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
                    1000        0 34567 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listening(line), Some((8080, 34_567)));
        assert_eq!(listening(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listening("  sl  local_address rem_address   st tx_queue"), None);
    }
}
