//! Mounts that only one process and its descendants see: copies of directories over the directories'
//! own paths. Needs no worker: a program enters them and then executes another.

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A directory that is shown over the path of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// What is shown.
    pub copy: PathBuf,
    /// Where: a directory that is there.
    pub own: PathBuf,
}

/// Gives the calling process, which must have one thread only, a mount namespace of its own (inside a
/// user namespace where it is not allowed one otherwise, each id kept) and mounts each copy there. The
/// working directory is entered anew, so that it is the mounted one if it lies below a mount.
///
/// # Errors
/// What the system says; then nothing may be relied on, and the process should end.
pub fn enter(binds: &[Bind]) -> io::Result<()> {
    let working_directory = std::env::current_dir()?;
    make_namespace()?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    // Opened before the first of these mounts, which may lie over another copy; after the namespace was
    // made, since nothing can be mounted from another one.
    let copies = binds.iter().map(|bind| open_directory(&bind.copy));
    let copies: Vec<OwnedFd> = copies.collect::<io::Result<_>>()?;
    for (bind, copy) in binds.iter().zip(&copies) {
        let source = format!("/proc/self/fd/{}", copy.as_raw_fd());
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(source.as_str()), &bind.own, None::<&str>, flags, None::<&str>)?;
    }
    std::env::set_current_dir(working_directory)
}

fn make_namespace() -> io::Result<()> {
    match unshare(CloneFlags::CLONE_NEWNS) {
        Err(Errno::EPERM) => {}
        other => return Ok(other?),
    }
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags =
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?)
}
