//! The names of control groups, as a person and as the kernel writes them.

use std::fs;

/// The path as /proc names it, also of a directory below the mount of a hierarchy.
pub(super) fn group_path(path: &str) -> String {
    below_mount(path, &fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

fn below_mount(path: &str, mounts: &str) -> String {
    let mount_points = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        after.starts_with("cgroup").then(|| before.split(' ').nth(4))?
    });
    let below = mount_points
        .filter_map(|mount| path.strip_prefix(mount))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .min_by_key(|rest| rest.len());
    let trimmed = below.unwrap_or(path).trim_end_matches('/');
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_named_as_the_kernel_does() {
        let unified = "31 25 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        let pids = "32 25 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        let both = format!("{unified}{pids}");
        assert_eq!(below_mount("/sys/fs/cgroup/a/b/", unified), "/a/b");
        assert_eq!(below_mount("/sys/fs/cgroup/pids/a", &both), "/a");
        assert_eq!(below_mount("/a", &both), "/a");
        assert_eq!(below_mount("/sys/fs/cgroup", unified), "/");
        assert_eq!(below_mount("/sys/fs/cgroups", unified), "/sys/fs/cgroups");
    }
}
