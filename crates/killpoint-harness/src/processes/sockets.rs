//! Who listens on a TCP port: the sockets of each network namespace that is met, read once a search.

use super::process::Process;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The state of a listening socket, as `/proc/net/tcp` writes it.
const LISTENING: &str = "0A";
/// The flags of a listening Unix socket, as `/proc/net/unix` writes them.
const ACCEPTING: &str = "00010000";
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
            inode(&target).is_some_and(|inode| sockets.contains(&inode))
        });
        Some(holds)
    }
}

/// The listening sockets that a process could see.
fn table(process: &Process<'_>) -> BTreeMap<u16, BTreeSet<u64>> {
    let mut ports: BTreeMap<u16, BTreeSet<u64>> = BTreeMap::new();
    for name in TABLES {
        let bytes = process.bytes(name).unwrap_or_default();
        for (address, inode) in String::from_utf8_lossy(&bytes).lines().filter_map(listening) {
            ports.entry(address.port()).or_default().insert(inode);
        }
    }
    ports
}

/// The number of a socket that a link in `/proc/PID/fd` leads to.
pub(super) fn inode(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The sockets of this network namespace that a connection to one of these addresses may have met.
pub(super) fn listening_at(asked: &[SocketAddr]) -> BTreeSet<u64> {
    let text = |table| fs::read_to_string(format!("/proc/self/{table}")).unwrap_or_default();
    let tables = TABLES.map(text);
    let lines = tables.iter().flat_map(|table| table.lines());
    let sockets: Vec<(SocketAddr, u64)> = lines.filter_map(listening).collect();
    asked.iter().flat_map(|asked| nearest(*asked, &sockets)).collect()
}

/// Of those who listen, whom the kernel gives a connection to an address: it takes the nearest, and several
/// only where they share an address.
fn nearest(asked: SocketAddr, sockets: &[(SocketAddr, u64)]) -> BTreeSet<u64> {
    let mut by_nearness: BTreeMap<Nearness, BTreeSet<u64>> = BTreeMap::new();
    for (at, inode) in sockets {
        if let Some(nearness) = nearness(asked, *at) {
            by_nearness.entry(nearness).or_default().insert(*inode);
        }
    }
    by_nearness.into_values().next().unwrap_or_default()
}

/// The listening Unix sockets of this network namespace whose path has the same last part.
pub(super) fn listening_named(path: &Path) -> BTreeSet<u64> {
    let table = fs::read("/proc/self/net/unix").unwrap_or_default();
    let table = String::from_utf8_lossy(&table);
    let bound = table.lines().filter_map(listening_at_path);
    bound.filter(|(at, _)| Path::new(at).file_name() == path.file_name()).map(|it| it.1).collect()
}

/// Path and inode of a line that tells of a listening Unix socket; the path may hold blanks.
fn listening_at_path(line: &str) -> Option<(&str, u64)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (flags, inode) = (*fields.get(3)?, *fields.get(6)?);
    let (_, path) = line.split_once(&format!(" {inode} "))?;
    (flags == ACCEPTING).then_some((path, inode.parse().ok()?))
}

/// How near who listens is to an address: the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    /// At that address.
    Same,
    /// At all addresses of its family.
    Family,
    /// At all addresses of IPv6, which may take connections of IPv4, too.
    Both,
}

/// How near it is; none if it takes no connection to that address.
fn nearness(asked: SocketAddr, at: SocketAddr) -> Option<Nearness> {
    // Whoever connects to no address is connected to this machine.
    let to = match asked.ip().to_canonical() {
        IpAddr::V4(it) if it.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(it) if it.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        to => to,
    };
    let by = at.ip().to_canonical();
    match asked.port() == at.port() {
        true if by == to => Some(Nearness::Same),
        true if by.is_unspecified() && by.is_ipv4() == to.is_ipv4() => Some(Nearness::Family),
        true if by.is_unspecified() && by.is_ipv6() => Some(Nearness::Both),
        _ => None,
    }
}

/// Address and inode of a line that tells of a listening socket.
fn listening(line: &str) -> Option<(SocketAddr, u64)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != LISTENING {
        return None;
    }
    let (host, port) = fields.get(1)?.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((SocketAddr::new(host_of(host)?, port), fields.get(9)?.parse().ok()?))
}

/// An address as the kernel writes it there: in words of 32 bits, each as this machine reads it.
fn host_of(text: &str) -> Option<IpAddr> {
    let word = |index: usize| {
        let digits = text.get(8 * index..8 * (index + 1))?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_listening_sockets_count() {
        let line = "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
                    1000        0 34567 1 0000000000000000 100 0 0 10 0";
        let localhost = |host: &str| format!("{host}:8080").parse().expect("an address");
        assert_eq!(listening(line), Some((localhost("127.0.0.1"), 34_567)));
        let six = line.replace("0100007F", "00000000000000000000000001000000");
        assert_eq!(listening(&six), Some((localhost("[::1]"), 34_567)));
        assert_eq!(listening(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listening("  sl  local_address rem_address   st tx_queue"), None);
    }

    #[test]
    fn who_listens_at_all_addresses_meets_whoever_connects_to_one() {
        let met = |asked: &str, at: &str| {
            let address = |text: &str| text.parse().expect("an address");
            nearness(address(asked), address(at)).is_some()
        };
        for at in ["127.0.0.1:80", "0.0.0.0:80", "[::]:80", "[::ffff:127.0.0.1]:80"] {
            assert!(met("127.0.0.1:80", at), "{at}");
        }
        for at in ["127.0.0.1:81", "127.0.0.2:80", "[::1]:80", "192.0.2.1:80"] {
            assert!(!met("127.0.0.1:80", at), "{at}");
        }
        assert!(met("[::1]:80", "[::]:80") && !met("[::1]:80", "0.0.0.0:80"));
    }

    #[test]
    fn of_those_who_listen_the_nearest_is_met() {
        let address = |text: &str| text.parse().expect("an address");
        let sockets = ["[::]:80", "0.0.0.0:80", "127.0.0.1:80", "127.0.0.1:81", "127.0.0.1:80"];
        let numbered = || sockets.iter().map(|at| address(at)).zip(0..);
        let met = |asked: &str, first: usize| {
            let listening: Vec<_> = numbered().filter(|(_, n)| *n < first as u64).collect();
            nearest(address(asked), &listening).into_iter().collect::<Vec<u64>>()
        };
        assert_eq!(met("127.0.0.1:80", 1), [0]);
        assert_eq!(met("127.0.0.1:80", 2), [1]);
        assert_eq!(met("127.0.0.1:80", 4), [2]);
        assert_eq!(met("127.0.0.1:80", 5), [2, 4], "they share it");
        assert_eq!(met("0.0.0.0:80", 4), [2], "that is this machine");
        assert_eq!(met("[::1]:80", 5), [0]);
        assert!(met("[::1]:82", 5).is_empty());
    }

    #[test]
    fn only_unix_sockets_that_listen_have_a_path_to_connect_to() {
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01  1234 data/a b";
        assert_eq!(listening_at_path(line), Some(("data/a b", 1_234)));
        assert_eq!(listening_at_path(&line.replace("00010000", "00000000")), None);
        assert_eq!(listening_at_path(line.trim_end_matches(" data/a b")), None);
    }
}
