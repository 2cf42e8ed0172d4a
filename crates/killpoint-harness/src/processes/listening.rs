//! Who listens at an address of this machine: those of a target, or somebody else.

use super::{sockets, tree};
use killpoint_engine::{identity, peer};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Most listeners that are named.
const NAMED_MAX: usize = 3;

/// Who listens at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listening {
    /// Somebody below the process that was asked about.
    Below,
    /// Others, all of whom are known: in words.
    Others(String),
    /// That cannot be known: the address is no loopback address, or whoever listens there cannot be seen, as in
    /// another network namespace or without the rights to look.
    Unknown,
}

/// Who listens at `HOST:PORT`, or at the path of a Unix socket: whether it is one below the process `root`.
pub fn who_listens(address: &str, root: i32) -> Listening {
    if address.contains('/') {
        return who_listens_at(Path::new(address), root);
    }
    let Ok(addresses) = address.to_socket_addrs() else { return Listening::Unknown };
    let asked: Vec<SocketAddr> = addresses.collect();
    // Whoever has an address of another kind may be elsewhere.
    if !asked.iter().all(|it| it.ip().is_loopback() || it.ip().is_unspecified()) {
        return Listening::Unknown;
    }
    let sockets = sockets::listening_at(&asked);
    let holders = holders(&sockets);
    let Some(below) = below(root) else { return Listening::Unknown };
    if holders.values().flatten().any(|pid| below.contains_key(pid)) {
        return Listening::Below;
    }
    match sockets.is_empty() || holders.len() < sockets.len() {
        true => Listening::Unknown,
        false => Listening::Others(in_words(&holders.into_values().flatten().collect())),
    }
}

/// Who listens at a Unix socket. A path may have been written in many ways, or lead elsewhere now: the
/// kernel tells whoever is connected.
fn who_listens_at(path: &Path, root: i32) -> Listening {
    let listener = connect(path).and_then(peer::listener);
    let Ok(Some(pid)) = listener else { return Listening::Unknown };
    match below(root) {
        Some(below) if below.contains_key(&pid) => Listening::Below,
        // Who has ended has left the socket to others, of whom nothing is known.
        Some(below) if has_ended(pid) => match holds_one_named_so(path, below.keys()) {
            true => Listening::Below,
            false => Listening::Unknown,
        },
        Some(_) => Listening::Others(in_words(&BTreeSet::from([pid]))),
        None => Listening::Unknown,
    }
}

/// A connection, if there is one at once: nobody is waited for who does not take any more.
fn connect(path: &Path) -> std::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let connection =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&connection, &SocketAddrUnix::new(path)?)?;
    Ok(connection)
}

fn has_ended(pid: i32) -> bool {
    identity::status(pid).map_or(true, |status| status.ended)
}

/// Whether one of these processes holds a listening Unix socket whose path has the same last part: it may
/// have been bound by a relative path, or by another name of the directory.
fn holds_one_named_so<'a>(path: &Path, pids: impl Iterator<Item = &'a i32>) -> bool {
    let named_so = sockets::listening_named(path);
    pids.into_iter().any(|pid| descriptors(*pid).any(|inode| named_so.contains(&inode)))
}

/// All below a process.
fn below(root: i32) -> Option<BTreeMap<i32, u32>> {
    tree::below(fs::File::open("/proc").ok()?.as_fd(), root, usize::MAX)
}

/// The sockets that a process holds, as far as that can be seen.
fn descriptors(pid: i32) -> impl Iterator<Item = u64> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter_map(|target| sockets::inode(&target.to_string_lossy()))
}

/// Who holds each of these sockets, as far as that can be seen.
fn holders(sockets: &BTreeSet<u64>) -> BTreeMap<u64, BTreeSet<i32>> {
    let mut holders: BTreeMap<u64, BTreeSet<i32>> = BTreeMap::new();
    if sockets.is_empty() {
        return holders;
    }
    for pid in identity::all().into_iter().map(|status| status.identity.pid) {
        for inode in descriptors(pid).filter(|inode| sockets.contains(inode)) {
            holders.entry(inode).or_default().insert(pid);
        }
    }
    holders
}

fn in_words(pids: &BTreeSet<i32>) -> String {
    let name = |pid: &i32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("process {pid} ({})", name.trim_end())
    };
    let named: Vec<String> = pids.iter().take(NAMED_MAX).map(name).collect();
    match pids.len().saturating_sub(NAMED_MAX) {
        0 => named.join(" and "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    #[test]
    fn whoever_listens_is_of_the_tree_or_named_and_nobody_is_unknown() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let own = std::process::id().cast_signed();
        let parent = std::os::unix::process::parent_id().cast_signed();
        assert_eq!(who_listens(&address, parent), Listening::Below);
        let Listening::Others(who) = who_listens(&address, own) else {
            panic!("it is not below itself")
        };
        assert!(who.starts_with(&format!("process {own} (")), "{who}");
        let everywhere = TcpListener::bind(("0.0.0.0", 0)).expect("a free port");
        let port = everywhere.local_addr().expect("it is bound").port();
        assert_eq!(who_listens(&format!("127.0.0.1:{port}"), parent), Listening::Below);
        drop(listener);
        assert_eq!(who_listens(&address, parent), Listening::Unknown);
        assert_eq!(who_listens("192.0.2.1:80", parent), Listening::Unknown);
    }

    #[test]
    fn whoever_listens_at_a_unix_socket_is_who_takes_the_connection() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let address = path.to_str().expect("UTF-8").to_owned();
        let own = std::process::id().cast_signed();
        let parent = std::os::unix::process::parent_id().cast_signed();
        assert_eq!(who_listens(&address, parent), Listening::Unknown);
        let _listener = UnixListener::bind(&path).expect("a socket");
        assert_eq!(who_listens(&address, parent), Listening::Below);
        let Listening::Others(who) = who_listens(&address, own) else {
            panic!("it is not below itself")
        };
        assert!(who.starts_with(&format!("process {own} (")), "{who}");
        assert!(holds_one_named_so(Path::new("elsewhere/socket"), [own].iter()));
        assert!(!holds_one_named_so(&path.with_file_name("other"), [own].iter()));
    }
}
