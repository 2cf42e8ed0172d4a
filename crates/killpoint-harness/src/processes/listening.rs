//! Who listens at an address of this machine: those of a target, or somebody else.

use super::{sockets, tree};
use killpoint_engine::identity;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd;

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

/// Who listens at `HOST:PORT`: whether it is one below the process `root`.
pub fn who_listens(address: &str, root: i32) -> Listening {
    let Ok(addresses) = address.to_socket_addrs() else { return Listening::Unknown };
    let asked: Vec<SocketAddr> = addresses.collect();
    // Whoever has an address of another kind may be elsewhere.
    if !asked.iter().all(|it| it.ip().is_loopback() || it.ip().is_unspecified()) {
        return Listening::Unknown;
    }
    let sockets = sockets::listening_at(&asked);
    let holders = holders(&sockets);
    let Ok(directory) = fs::File::open("/proc") else { return Listening::Unknown };
    let Some(below) = tree::below(directory.as_fd(), root, usize::MAX) else {
        return Listening::Unknown;
    };
    if holders.values().flatten().any(|pid| below.contains_key(pid)) {
        return Listening::Below;
    }
    match sockets.is_empty() || holders.len() < sockets.len() {
        true => Listening::Unknown,
        false => Listening::Others(in_words(&holders.into_values().flatten().collect())),
    }
}

/// Who holds each of these sockets, as far as that can be seen.
fn holders(sockets: &BTreeSet<u64>) -> BTreeMap<u64, BTreeSet<i32>> {
    let mut holders: BTreeMap<u64, BTreeSet<i32>> = BTreeMap::new();
    if sockets.is_empty() {
        return holders;
    }
    for pid in identity::all().into_iter().map(|status| status.identity.pid) {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        for target in descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()) {
            let inode = sockets::inode(&target.to_string_lossy());
            if let Some(inode) = inode.filter(|inode| sockets.contains(inode)) {
                holders.entry(inode).or_default().insert(pid);
            }
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
}
