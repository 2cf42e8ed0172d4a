//! The freezer of control groups, of both versions: a group is made below the one in which the
//! process is, the process moved there and the group frozen. Undone by the way back.

use super::{Suspension, until};
use crate::identity::{Handle, Identity};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The list of a group's processes; a number written to it moves that process there.
const MEMBERS: &str = "cgroup.procs";
/// Rounds in which a group is emptied: what is in it may start others.
const ROUNDS_MAX: u32 = 100;

/// The way through the freezer, if there is one: the mount that has it, and the process's group.
pub(super) fn find(process: Identity) -> Option<Suspension> {
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let (unified, path) = own_group(&groups)?;
    way(process, &mounts, unified, path)
}

/// The same through the unified hierarchy, whatever else there is.
#[cfg(test)]
pub(super) fn find_unified(process: Identity, groups: &str, mounts: &str) -> Option<Suspension> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    way(process, mounts, true, path)
}

fn way(process: Identity, mounts: &str, unified: bool, path: &str) -> Option<Suspension> {
    let home = mount_point(mounts, unified)?.join(path.trim_start_matches('/'));
    // In a container the path may be meant from another root; then the process is not found there.
    let is_member =
        members(&home).ok()?.contains(&process.pid) && rustix::fs::access(&home, WRITE).is_ok();
    let name = format!("killpoint-{}-{}", process.pid, process.start);
    is_member.then(|| Suspension::Freezer { group: home.join(name), home, unified })
}

const WRITE: rustix::fs::Access = rustix::fs::Access::WRITE_OK;

/// The group of the hierarchy that has the freezer, and whether that is the unified one.
fn own_group(groups: &str) -> Option<(bool, &str)> {
    let line = |wanted: fn(&str, &str) -> bool| {
        groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            wanted(number, controllers).then_some(path)
        })
    };
    let own = line(|_, controllers| controllers.split(',').any(|name| name == "freezer"));
    let unified = line(|number, controllers| number == "0" && controllers.is_empty());
    own.map(|path| (false, path)).or(unified.map(|path| (true, path)))
}

/// Where that hierarchy is mounted.
fn mount_point(mounts: &str, unified: bool) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1).unwrap_or_default());
        let is_it = match unified {
            true => kind == "cgroup2",
            false => kind == "cgroup" && options.split(',').any(|option| option == "freezer"),
        };
        is_it.then(|| PathBuf::from(before.split(' ').nth(4).unwrap_or_default()))
    })
}

fn members(group: &Path) -> io::Result<Vec<i32>> {
    let text = fs::read_to_string(group.join(MEMBERS))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

fn tell_state(group: &Path, unified: bool, frozen: bool) -> io::Result<()> {
    match unified {
        true => fs::write(group.join("cgroup.freeze"), if frozen { "1" } else { "0" }),
        false => fs::write(group.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" }),
    }
}

fn is_frozen(group: &Path, unified: bool) -> bool {
    let (file, wanted) = match unified {
        true => ("cgroup.events", "frozen 1"),
        false => ("freezer.state", "FROZEN"),
    };
    fs::read_to_string(group.join(file)).is_ok_and(|text| text.lines().any(|line| line == wanted))
}

/// Makes the group, moves the process there and freezes it; proved by the kernel's own word.
pub(super) fn freeze(process: &Handle, group: &Path, unified: bool) -> io::Result<()> {
    fs::create_dir(group)?;
    fs::write(group.join(MEMBERS), process.identity().pid.to_string())?;
    tell_state(group, unified, true)?;
    until("the control group does not freeze", || is_frozen(group, unified))?;
    // Held by a pidfd since before: if it still is alive, its number was no other's meanwhile.
    match process.identity().is_alive() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::NotFound, "the process has ended")),
    }
}

/// Thaws the group, moves everybody home and removes it. False if it is not there, or if somebody else
/// did the same meanwhile: the watchdog and `killpoint recover` may meet here.
pub(super) fn thaw(group: &Path, home: &Path, unified: bool) -> io::Result<bool> {
    let is_gone = |error: &io::Error| {
        error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
    };
    match tell_state(group, unified, false) {
        Err(error) if is_gone(&error) => return Ok(false),
        told => told?,
    }
    for _ in 0..ROUNDS_MAX {
        let members = match members(group) {
            Err(error) if is_gone(&error) => return Ok(false),
            members => members?,
        };
        for member in members {
            match fs::write(home.join(MEMBERS), member.to_string()) {
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                moved => moved?,
            }
        }
        match fs::remove_dir(group) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) if is_gone(&error) => return Ok(false),
            removed => return removed.map(|()| true),
        }
        std::thread::sleep(super::LOOK_INTERVAL);
    }
    Err(io::Error::other(format!("{} does not become empty", group.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
36 30 0:31 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
37 30 0:32 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";

    #[test]
    fn the_hierarchy_that_has_the_freezer_is_found() {
        let hybrid = "7:blkio:/\n6:freezer:/a\n0::/b";
        assert_eq!(own_group(hybrid), Some((false, "/a")));
        assert_eq!(own_group("0::/b"), Some((true, "/b")));
        assert_eq!(own_group("7:blkio:/"), None);
        let mount = |unified| mount_point(MOUNTS, unified).unwrap();
        assert_eq!(mount(false), Path::new("/sys/fs/cgroup/freezer"));
        assert_eq!(mount(true), Path::new("/sys/fs/cgroup/unified"));
    }
}
