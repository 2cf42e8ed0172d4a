//! The names of control groups, as a person and as the kernel writes them.

use std::fs;

/// Why a path names no group of processes that may be struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Nothing is named.
    #[error(
        "the path of the group is empty: of a unit that is not running there is no group, start it \
         first"
    )]
    Empty,
    /// Everything is named.
    #[error(
        "the group is the root: every process of the machine would be struck, name a group below it"
    )]
    Root,
}

/// The path as /proc names it, also of a directory below the mount of a hierarchy.
///
/// # Errors
/// If it is empty or the root, in which every process is.
pub(super) fn group_path(path: &str) -> Result<String, GroupError> {
    below_mount(path, &fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

fn below_mount(path: &str, mounts: &str) -> Result<String, GroupError> {
    let path = path.trim();
    if path.is_empty() {
        return Err(GroupError::Empty);
    }
    let mount_points = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        after.starts_with("cgroup").then(|| before.split(' ').nth(4))?
    });
    let below = mount_points
        .filter_map(|mount| path.strip_prefix(mount))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .min_by_key(|rest| rest.len());
    let parts = below.unwrap_or(path).split('/').filter(|part| !matches!(*part, "" | "."));
    let named: Vec<&str> = parts.collect();
    // A way up may lead to the root.
    if named.is_empty() || named.contains(&"..") {
        return Err(GroupError::Root);
    }
    Ok(format!("/{}", named.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_named_as_the_kernel_does() {
        let unified = "31 25 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        let pids = "32 25 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        let both = format!("{unified}{pids}");
        let named = |path, mounts| below_mount(path, mounts).expect("a group");
        assert_eq!(named("/sys/fs/cgroup/a/b/", unified), "/a/b");
        assert_eq!(named("/sys/fs/cgroup/pids/a", &both), "/a");
        assert_eq!(named("/a", &both), "/a");
        assert_eq!(named("//a/./b", &both), "/a/b");
        assert_eq!(named("/sys/fs/cgroups", unified), "/sys/fs/cgroups");
    }

    #[test]
    fn nothing_and_everything_are_no_group() {
        let both = "31 25 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
                    32 25 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        for empty in ["", " ", "\n"] {
            assert_eq!(below_mount(empty, both), Err(GroupError::Empty), "{empty:?}");
        }
        for root in ["/", "//", "/.", "/a/..", "/sys/fs/cgroup", "/sys/fs/cgroup/pids/"] {
            assert_eq!(below_mount(root, both), Err(GroupError::Root), "{root}");
        }
    }
}
