//! Bounds the number of processes of a target: by a control group where one can be made, by
//! RLIMIT_NPROC where the user is not root, and by counting in any case.

use killpoint_engine::children::Confinement;
use killpoint_engine::identity::{self, Identity};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

/// The kernel's bounds count threads. They stand this many times above the limit of processes: they
/// stop a fork bomb at once, and counting then ends the target by name.
const TASKS_PER_PROCESS: u64 = 16;
/// Where control groups are mounted by convention.
const GROUPS: &str = "/sys/fs/cgroup";

/// What bounds the processes of one supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    /// Control groups below this one.
    Groups(PathBuf),
    /// RLIMIT_NPROC.
    Rlimit,
    /// Root has no such limit: nothing but counting.
    Counting,
}

impl Bounds {
    /// The best that there is here. Makes the parent group if it can.
    pub(super) fn find(name: &str, is_root: bool) -> Self {
        match make_parent(name) {
            Some(parent) => Bounds::Groups(parent),
            None if is_root => Bounds::Counting,
            None => Bounds::Rlimit,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Bounds::Groups(_) => "cgroup",
            Bounds::Rlimit => "rlimit",
            Bounds::Counting => "counting",
        }
    }

    /// The group of a process; none if there are no groups.
    pub(super) fn group(&self, process: &str) -> Option<PathBuf> {
        match self {
            Bounds::Groups(parent) => Some(parent.join(process)),
            _ => None,
        }
    }

    /// Makes the groups of these processes.
    pub(super) fn prepare<'a>(&self, processes: impl Iterator<Item = (&'a str, u32)>) -> bool {
        for (process, max) in processes {
            let Some(group) = self.group(process) else { continue };
            let tasks = u64::from(max) * TASKS_PER_PROCESS;
            let made = fs::create_dir(&group)
                .and_then(|()| fs::write(group.join("pids.max"), tasks.to_string()));
            if made.is_err() {
                return false;
            }
        }
        true
    }

    /// What is set between fork and exec.
    pub(super) fn confinement(&self, process: &str, max: u32) -> Confinement {
        let tasks = u64::from(max) * TASKS_PER_PROCESS;
        match self {
            Bounds::Groups(parent) => Confinement {
                group: OpenOptions::new()
                    .write(true)
                    .open(parent.join(process).join("cgroup.procs"))
                    .ok(),
                tasks_max: None,
            },
            // The limit is one of the user's: what runs already counts, too.
            Bounds::Rlimit => {
                let running = identity::all().len() as u64;
                Confinement { group: None, tasks_max: Some(running + tasks) }
            }
            Bounds::Counting => Confinement::default(),
        }
    }

    /// The directories to remove in the end, the deepest first.
    pub(super) fn directories<'a>(&self, processes: impl Iterator<Item = &'a str>) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = processes.filter_map(|process| self.group(process)).collect();
        if let Bounds::Groups(parent) = self {
            found.push(parent.clone());
        }
        found
    }
}

/// The members of a group that have not ended. The supervisor, a thread of which may be there, is none.
pub(super) fn members(group: &Path) -> Vec<Identity> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let pids = text.lines().filter_map(|line| line.parse().ok());
    let own = std::process::id().cast_signed();
    pids.filter(|pid| *pid != own)
        .filter_map(|pid: i32| identity::status(pid).ok())
        .filter(|status| !status.ended)
        .map(|status| status.identity)
        .collect()
}

/// A new group below our own, in the hierarchy that counts processes.
fn make_parent(name: &str) -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let first = |controller: &str| {
        text.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?;
            let path = parts.next()?;
            controllers.split(',').any(|it| it == controller).then(|| path.to_owned())
        })
    };
    // Version 1 has a hierarchy of its own for it; in version 2 the line has no controllers.
    let parent = match first("pids") {
        Some(path) => Path::new(GROUPS).join("pids").join(path.trim_start_matches('/')),
        None => Path::new(GROUPS).join(first("")?.trim_start_matches('/')),
    };
    let group = parent.join(name);
    fs::create_dir(&group).ok()?;
    let is_usable = match group.join("pids.max").exists() {
        true => true,
        // Version 2: a group hands the controller on only if it was told to.
        false => {
            fs::write(parent.join("cgroup.subtree_control"), "+pids").is_ok()
                && group.join("pids.max").exists()
        }
    };
    let hands_on = !group.join("cgroup.subtree_control").exists()
        || fs::write(group.join("cgroup.subtree_control"), "+pids").is_ok();
    if is_usable && hands_on {
        return Some(group);
    }
    let _ = fs::remove_dir(&group);
    None
}
