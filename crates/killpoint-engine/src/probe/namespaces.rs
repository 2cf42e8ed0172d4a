//! Probes of namespaces and of what may be mounted in them.

use super::{Answer, in_child, saying};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::path::Path;

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// Users.
    User,
    /// Mounts.
    Mount,
    /// Process ids.
    Pid,
    /// System V and POSIX message queues.
    Ipc,
    /// Network.
    Network,
}

impl Namespace {
    /// Every kind.
    pub const ALL: [Namespace; 5] =
        [Namespace::User, Namespace::Mount, Namespace::Pid, Namespace::Ipc, Namespace::Network];

    fn flag(self) -> CloneFlags {
        match self {
            Namespace::User => CloneFlags::CLONE_NEWUSER,
            Namespace::Mount => CloneFlags::CLONE_NEWNS,
            Namespace::Pid => CloneFlags::CLONE_NEWPID,
            Namespace::Ipc => CloneFlags::CLONE_NEWIPC,
            Namespace::Network => CloneFlags::CLONE_NEWNET,
        }
    }
}

/// Makes a namespace; without root inside a user namespace, which gives the right to.
///
/// # Errors
/// Why it is refused.
pub fn namespace(kind: Namespace) -> Answer {
    in_child(|| {
        let user = kind == Namespace::User || !nix::unistd::geteuid().is_root();
        enter(kind.flag(), user)?;
        Ok(match user && kind != Namespace::User {
            true => "one was made inside a user namespace".to_owned(),
            false => "one was made".to_owned(),
        })
    })
}

fn enter(flags: CloneFlags, user: bool) -> Result<(), String> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let flags = if user { flags | CloneFlags::CLONE_NEWUSER } else { flags };
    unshare(flags).map_err(saying("unshare"))?;
    if user {
        fs::write("/proc/self/setgroups", "deny").map_err(saying("setgroups"))?;
        fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")).map_err(saying("uid_map"))?;
        fs::write("/proc/self/gid_map", format!("{gid} {gid} 1")).map_err(saying("gid_map"))?;
    }
    Ok(())
}

/// Mounts a tmpfs over an empty directory, in a mount namespace.
///
/// # Errors
/// Why it is refused.
pub fn tmpfs(directory: &Path) -> Answer {
    in_child(|| {
        mount_tmpfs(directory, !nix::unistd::geteuid().is_root())?;
        Ok("one was mounted in a mount namespace".to_owned())
    })
}

fn mount_tmpfs(directory: &Path, user: bool) -> Result<(), String> {
    enter(CloneFlags::CLONE_NEWNS, user)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(saying("making the mounts private"))?;
    mount(Some("tmpfs"), directory, Some("tmpfs"), MsFlags::empty(), Some("size=1m"))
        .map_err(saying("mounting a tmpfs"))
}

/// Mounts an overlay on a tmpfs over an empty directory; `user` does so in a user namespace, where
/// it needs `userxattr`.
///
/// # Errors
/// Why it is refused.
pub fn overlay(directory: &Path, user: bool) -> Answer {
    in_child(|| {
        mount_tmpfs(directory, user)?;
        for name in ["lower", "upper", "work", "merged"] {
            fs::create_dir(directory.join(name)).map_err(saying("mkdir"))?;
        }
        fs::write(directory.join("lower/file"), "below").map_err(saying("write"))?;
        let at = directory.display();
        let mut options = format!("lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/work");
        if user {
            options.push_str(",userxattr");
        }
        let merged = directory.join("merged");
        let flags = MsFlags::empty();
        mount(Some("overlay"), &merged, Some("overlay"), flags, Some(options.as_str()))
            .map_err(saying("mounting an overlay"))?;
        fs::write(merged.join("file"), "above").map_err(saying("writing through it"))?;
        match fs::read_to_string(directory.join("lower/file")).as_deref() {
            Ok("below") => Ok("one was mounted, and what was written went to its layer".to_owned()),
            _ => Err("what was written went through to the lower directory".to_owned()),
        }
    })
}
