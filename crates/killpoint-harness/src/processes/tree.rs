//! What descends from a process: read off the kernel's lists of children, which costs a fraction of
//! a look at every process.

use super::{ANCESTORS_MAX, side_by_side};
use killpoint_engine::identity;
use killpoint_engine::proc_files::read;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir};
use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Bytes of a directory read at once: about 1,300 names.
const DIRECTORY_BYTES: usize = 32 << 10;
/// Most processes of one tree.
const PROCESSES_MAX: usize = 1_000_000;
/// Walks until nothing changes meanwhile.
const WALKS_MAX: u32 = 5;
/// Links of a directory that has one directory in it.
const LINKS_OF_ONE: u64 = 3;

/// The children of those that have some.
type Lists = BTreeMap<i32, Vec<i32>>;

/// Everything below a process, with its depth: 1 for a child.
///
/// The kernel may leave out a child while another one is reaped, and orphans move up to an ancestor:
/// after a walk the lists of all that have children are read again, and if one differs the walk is
/// repeated, [`WALKS_MAX`] times at most. What a process without children starts meanwhile is for
/// the next search to find.
///
/// None if there are more than `most`.
pub(super) fn below(
    directory: BorrowedFd<'_>,
    root: i32,
    most: usize,
) -> Option<BTreeMap<i32, u32>> {
    if read(directory, &format!("{root}/task/{root}/children")).is_err() {
        return scan(root, most);
    }
    let lists_of = |parents: Vec<i32>| {
        let work = |lists: &mut Vec<_>, parent| lists.push((parent, children(directory, parent)));
        side_by_side(parents.into_iter(), Vec::new, work).concat()
    };
    let mut found = BTreeMap::new();
    for _ in 0..WALKS_MAX {
        let lists;
        (found, lists) = descend(root, most, lists_of)?;
        if lists.iter().all(|(parent, list)| same(list, &children(directory, *parent))) {
            break;
        }
    }
    Some(found)
}

/// How far a process stands below another; none if it does not. Where a parent ends meanwhile the
/// child has another one, and is asked again.
pub(super) fn depth(root: i32, pid: i32) -> Option<u32> {
    let (mut depth, mut child) = (0, pid);
    for _ in 0..ANCESTORS_MAX {
        let status = identity::status(child).ok()?;
        depth += 1;
        match status.parent {
            parent if parent == root => return Some(depth),
            0 | 1 => return None,
            parent if identity::status(parent).is_ok() => child = parent,
            // It has just ended: from the beginning.
            _ => (depth, child) = (0, pid),
        }
    }
    None
}

fn same(one: &[i32], other: &[i32]) -> bool {
    one.len() == other.len()
        && one.iter().collect::<BTreeSet<_>>() == other.iter().collect::<BTreeSet<_>>()
}

/// Goes down level by level; `children` tells those of each process of a level.
fn descend(
    root: i32,
    most: usize,
    children: impl Fn(Vec<i32>) -> Vec<(i32, Vec<i32>)>,
) -> Option<(BTreeMap<i32, u32>, Lists)> {
    let (mut found, mut lists) = (BTreeMap::new(), Lists::new());
    let (mut level, mut depth) = (vec![root], 0);
    while !level.is_empty() {
        depth += 1;
        let of_level = children(std::mem::take(&mut level));
        for (parent, list) in of_level.into_iter().filter(|(_, list)| !list.is_empty()) {
            for child in list.iter().copied().filter(|child| *child != root) {
                if found.len() < PROCESSES_MAX && found.insert(child, depth).is_none() {
                    level.push(child);
                }
            }
            lists.insert(parent, list);
        }
        if found.len() > most {
            return None;
        }
    }
    Some((found, lists))
}

/// The children of a process: those of each of its threads.
fn children(directory: BorrowedFd<'_>, parent: i32) -> Vec<i32> {
    let tasks = format!("{parent}/task");
    let links = rustix::fs::statat(directory, &tasks, AtFlags::empty()).map_or(0, |it| it.st_nlink);
    let threads = match links {
        LINKS_OF_ONE => vec![parent],
        _ => numbers(directory, &tasks),
    };
    let mut found = Vec::new();
    for thread in threads {
        let text = read(directory, &format!("{tasks}/{thread}/children")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        found.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<i32>().ok()));
    }
    found
}

/// The same by looking at every process: for kernels that keep no lists (CONFIG_PROC_CHILDREN).
fn scan(root: i32, most: usize) -> Option<BTreeMap<i32, u32>> {
    let mut by_parent: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for status in identity::all() {
        by_parent.entry(status.parent).or_default().push(status.identity.pid);
    }
    let list = |parent| (parent, by_parent.get(&parent).cloned().unwrap_or_default());
    descend(root, most, |parents| parents.into_iter().map(list).collect()).map(|(found, _)| found)
}

/// A buffer for [`Numbers`].
pub(super) fn buffer() -> Vec<MaybeUninit<u8>> {
    vec![MaybeUninit::uninit(); DIRECTORY_BYTES]
}

/// The names in a directory that are numbers, read as they are asked for.
pub(super) struct Numbers<'a>(Option<RawDir<'a, OwnedFd>>);

impl<'a> Numbers<'a> {
    /// None where the directory cannot be read.
    pub(super) fn open(
        directory: BorrowedFd<'_>,
        path: &str,
        buffer: &'a mut [MaybeUninit<u8>],
    ) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(directory, path, flags, Mode::empty()).ok();
        Numbers(opened.map(|opened| RawDir::new(opened, buffer)))
    }
}

impl Iterator for Numbers<'_> {
    type Item = i32;

    fn next(&mut self) -> Option<i32> {
        let entries = self.0.as_mut()?;
        loop {
            let entry = entries.next()?.ok()?;
            if let Some(number) = entry.file_name().to_str().ok().and_then(|it| it.parse().ok()) {
                return Some(number);
            }
        }
    }
}

/// All of [`Numbers`].
pub(super) fn numbers(directory: BorrowedFd<'_>, path: &str) -> Vec<i32> {
    Numbers::open(directory, path, &mut buffer()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::process::Command;

    #[test]
    fn the_kernels_lists_and_a_scan_tell_the_same() {
        let mut child = Command::new("sh").args(["-c", "sleep 1000 & sleep 1000"]).spawn().unwrap();
        let shell = i32::try_from(child.id()).unwrap();
        let directory = std::fs::File::open("/proc").unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        while below(directory.as_fd(), shell, usize::MAX).unwrap().len() < 2 {
            std::thread::yield_now();
        }
        let listed = below(directory.as_fd(), shell, usize::MAX).unwrap();
        assert_eq!(listed, scan(shell, usize::MAX).unwrap());
        assert!(listed.values().all(|depth| *depth == 1), "{listed:?}");
        let above = below(directory.as_fd(), own, usize::MAX).unwrap();
        assert!(listed.keys().all(|pid| above[pid] == 2), "{above:?}");
        for pid in listed.keys() {
            assert_eq!((depth(shell, *pid), depth(own, *pid)), (Some(1), Some(2)));
        }
        assert_eq!(depth(shell, own), None);
        assert_eq!(below(directory.as_fd(), shell, 1), None, "there are two");
        for pid in listed.into_keys().chain([shell]) {
            identity::status(pid).unwrap().identity.kill().unwrap();
        }
        child.wait().unwrap();
    }
}
