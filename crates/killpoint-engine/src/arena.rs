//! Arenas: worker processes that run a target, or judge states, cut off from the rest of the machine.
//!
//! A worker is forked from the harness and becomes the init of its own PID, mount, IPC, network and
//! UTS namespace (and user namespace, without root). Its scratch space is a tmpfs of its own, the
//! directories that a program likes to write to are copy-on-write views of the real ones, and a
//! state directory is mounted over its own path. When the harness dies, the kernel kills the worker,
//! and with the worker everything in its namespaces and every mount: nothing is left behind.

mod channel;
mod mounts;
pub mod process_ids;
mod sockets;
mod watchdog;

pub use channel::{Channel, ChannelError, Received};
pub use mounts::{Arena, empty_directory};
pub(crate) use watchdog::end_orphans;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a worker is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Containment {
    /// Namespaces; `user` says that a user namespace gives the right to make the others.
    Namespaces {
        /// Whether a user namespace is needed.
        user: bool,
    },
    /// None are to be had: the state is a copy elsewhere, and the target is told where.
    Redirect,
}

/// What a worker needs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How it is cut off.
    pub containment: Containment,
    /// The folder of the run; it stays reachable, whatever is mounted.
    pub run: PathBuf,
    /// An empty directory in the folder of the run, over which the scratch space is mounted.
    pub scratch: PathBuf,
    /// Size limit of the scratch space in bytes.
    pub scratch_bytes: u64,
    /// Directories that are seen copy-on-write.
    pub views: Vec<PathBuf>,
    /// Process ids start above this one, where the kernel lets us.
    pub process_ids_above: u32,
    /// The name of the machine in it; none for the real one.
    pub host_name: Option<OsString>,
}

/// Why a worker could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ArenaError {
    /// A system call failed.
    #[error("cannot {action}; `killpoint doctor` says what this machine offers")]
    System {
        /// What was to be done.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The worker said that it could not set itself up.
    #[error("the worker could not be set up: {0}")]
    SetUp(String),
    /// The worker did not answer.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

fn fail(action: &'static str) -> impl FnOnce(io::Error) -> ArenaError {
    move |source| ArenaError::System { action, source }
}

/// A running worker, as the harness sees it. Dropping it kills the worker and all that is in it.
#[derive(Debug)]
pub struct Worker {
    process: Pid,
    channel: Channel,
    /// Whether the process is a watchdog, which ends all that was launched when we hang up.
    watched: bool,
    settled: bool,
    reaped: bool,
}

impl Worker {
    /// Waits until it has set itself up; returns at once from the second time on. What it sends
    /// first says so: nothing else is received before.
    ///
    /// # Errors
    /// If it cannot set itself up.
    pub fn settle(&mut self) -> Result<(), ArenaError> {
        if self.settled {
            return Ok(());
        }
        let answer: Result<(), String> =
            self.channel.receive(Some(SET_UP_LIMIT))?.expect_message()?;
        answer.map_err(ArenaError::SetUp)?;
        self.settled = true;
        Ok(())
    }

    /// Whether it was seen to have set itself up.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// The way to talk to it.
    pub fn channel(&mut self) -> &mut Channel {
        &mut self.channel
    }

    /// The way to talk to it, to wait for.
    pub fn channel_ref(&self) -> &Channel {
        &self.channel
    }

    /// Begins to kill it and everything in it. Without namespaces the next one would use the same
    /// surroundings, so there the end is waited for.
    pub fn strike(&mut self) {
        match self.watched {
            true => self.kill(),
            false => self.send_kill(),
        }
    }

    fn send_kill(&self) {
        if !self.reaped {
            // Not yet waited for, so the number is still this child's.
            let _ = nix::sys::signal::kill(self.process, Signal::SIGKILL);
        }
    }

    /// Kills it and everything in it, and waits until it is gone.
    pub fn kill(&mut self) {
        if self.reaped {
            return;
        }
        match self.watched {
            true => self.channel.hang_up(),
            false => self.send_kill(),
        }
        while let Err(nix::errno::Errno::EINTR) = waitpid(self.process, None) {}
        self.reaped = true;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The exit code of a worker whose body panicked.
const PANICKED: i32 = 70;

/// How long a worker may take to set itself up.
const SET_UP_LIMIT: Duration = Duration::from_secs(30);

/// Starts a worker that runs `body`. Returns when the worker has set itself up.
///
/// # Errors
/// If it cannot be forked, or cannot set itself up.
pub fn start(
    plan: &Plan,
    body: impl FnOnce(&mut Arena, &mut Channel),
) -> Result<Worker, ArenaError> {
    let mut worker = begin(plan, body)?;
    worker.settle()?;
    Ok(worker)
}

/// Forks a worker that sets itself up and runs `body`, and does not wait for it:
/// [`Worker::settle`] does, so that several set themselves up side by side.
///
/// # Errors
/// If it cannot be forked.
#[expect(unsafe_code, reason = "fork and _exit have no safe form")]
pub fn begin(
    plan: &Plan,
    body: impl FnOnce(&mut Arena, &mut Channel),
) -> Result<Worker, ArenaError> {
    let (ours, theirs) = Channel::pair().map_err(fail("make a socket pair"))?;
    let harness = nix::unistd::getpid();
    // SAFETY: the child runs code that allocates; glibc's fork keeps its allocator usable, and the
    // child neither prints nor reads the environment nor returns from here.
    match unsafe { fork() }.map_err(|error| fail("fork")(error.into()))? {
        ForkResult::Parent { child } => {
            drop(theirs);
            let watched = plan.containment == Containment::Redirect;
            Ok(Worker { process: child, channel: ours, watched, settled: false, reaped: false })
        }
        ForkResult::Child => {
            drop(ours);
            let run = std::panic::AssertUnwindSafe(|| worker(plan, harness, theirs, body));
            let code = std::panic::catch_unwind(run).unwrap_or(PANICKED);
            // SAFETY: ends the process without running what the harness registered.
            unsafe { libc::_exit(code) }
        }
    }
}

/// The forked child: makes the namespaces, forks their init (or, without namespaces, the worker that
/// it then watches), waits for it.
fn worker(
    plan: &Plan,
    harness: Pid,
    mut channel: Channel,
    body: impl FnOnce(&mut Arena, &mut Channel),
) -> i32 {
    let sockets = match plan.containment {
        Containment::Redirect => Vec::new(),
        Containment::Namespaces { .. } => sockets::bound_below(&plan.views),
    };
    match cut_off(plan, harness, &channel) {
        Err(text) => {
            let _ = channel.send(&Err::<(), _>(text));
            1
        }
        Ok(Some(inner)) if plan.containment == Containment::Redirect => {
            watchdog::watch(inner, &channel, plan);
            0
        }
        // The init's parent: it only waits, and takes the init along when it is killed.
        Ok(Some(init)) => {
            drop(channel);
            loop {
                match waitpid(init, None) {
                    Err(nix::errno::Errno::EINTR) => {}
                    _ => return 0,
                }
            }
        }
        Ok(None) => inside(plan, &sockets, &mut channel, body),
    }
}

/// Leaves the harness's surroundings and forks; none in the child, whose parent outlives it.
fn cut_off(plan: &Plan, harness: Pid, channel: &Channel) -> Result<Option<Pid>, String> {
    let text = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let watched = plan.containment == Containment::Redirect;
    if watched {
        watchdog::adopt_orphans().map_err(text("PR_SET_CHILD_SUBREAPER"))?;
    } else {
        die_with_parent().map_err(text("PR_SET_PDEATHSIG"))?;
    }
    if nix::unistd::getppid() != harness {
        return Err("the harness is gone".to_owned());
    }
    let _ = nix::unistd::setsid();
    close_all_but(channel.descriptor()).map_err(text("close_range"))?;
    match plan.containment {
        Containment::Redirect => {
            crate::undo::announce_worker(&plan.run).map_err(text("cannot write undo.jsonl"))?;
        }
        Containment::Namespaces { user } => {
            make_namespaces(user).map_err(text("cannot make namespaces"))?;
        }
    }
    let inner = fork_init().map_err(text("fork"))?;
    if inner.is_none() {
        die_with_parent().map_err(text("PR_SET_PDEATHSIG"))?;
        if channel.is_closed() {
            return Err("the harness is gone".to_owned());
        }
        if watched {
            watchdog::watched();
        }
    }
    Ok(inner)
}

/// The worker itself.
fn inside(
    plan: &Plan,
    sockets: &[PathBuf],
    channel: &mut Channel,
    body: impl FnOnce(&mut Arena, &mut Channel),
) -> i32 {
    match Arena::set_up(plan, sockets) {
        Ok(mut arena) => {
            if channel.send(&Ok::<(), String>(())).is_ok() {
                body(&mut arena, channel);
            }
            0
        }
        Err(error) => {
            let mut text = error.to_string();
            if let Some(source) = std::error::Error::source(&error) {
                text.push_str(&format!(": {source}"));
            }
            let _ = channel.send(&Err::<(), _>(text));
            1
        }
    }
}

#[expect(unsafe_code, reason = "fork has no safe form")]
fn fork_init() -> io::Result<Option<Pid>> {
    // SAFETY: this process has a single thread.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?)
}

/// Closes what the harness had open: another worker's channel must not be kept alive by this one.
pub(crate) fn close_all_but(kept: i32) -> io::Result<()> {
    let close = |first: i32, last: i32| {
        if first <= last { close_range(first, last) } else { Ok(()) }
    };
    close(3, kept - 1)?;
    close(kept + 1, i32::MAX)
}

#[expect(unsafe_code, reason = "close_range has no safe wrapper")]
fn close_range(first: i32, last: i32) -> io::Result<()> {
    // SAFETY: this process was just forked; nothing in it uses these descriptors any more, and it
    // ends by `_exit`, which runs no destructor.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn make_namespaces(user: bool) -> io::Result<()> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let mut flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS;
    if user {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(flags)?;
    if user {
        // Each keeps its own id, so the target sees the same owner as always.
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    }
    Ok(())
}

/// Opens a directory by what it is now, whatever is mounted over its path later.
fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?)
}

/// A path that leads to an open directory of this process.
fn through(descriptor: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}

/// Which containment this machine offers: the strongest first, with the reason why not.
///
/// # Errors
/// Never: where nothing works the answer is [`Containment::Redirect`].
pub fn probe(run: &Path, scratch: &Path) -> (Containment, Option<String>) {
    let user = !nix::unistd::geteuid().is_root();
    let mut reason = None;
    let wanted = [Containment::Namespaces { user }, Containment::Namespaces { user: true }];
    for containment in wanted {
        let plan = Plan {
            containment,
            run: run.to_owned(),
            scratch: scratch.to_owned(),
            scratch_bytes: 1 << 20,
            views: Vec::new(),
            process_ids_above: 0,
            host_name: None,
        };
        match start(&plan, |_, _| {}) {
            Ok(_) => return (containment, None),
            Err(error) => reason = Some(error.to_string()),
        }
    }
    (Containment::Redirect, reason)
}
