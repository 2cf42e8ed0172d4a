//! One process, as selectors ask for it: each answer is read from `/proc` when it is asked for.

use super::Found;
use super::sockets::Listeners;
use killpoint_engine::identity::{self, Status};
use killpoint_engine::proc_files;
use killpoint_model::selector::{Facts, Roles};
use rustix::fs::{AtFlags, Mode, OFlags};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// Room for most paths.
const PATH_BYTES: usize = 4_096;
/// What the kernel adds to the path of a program whose file is gone.
const DELETED: &str = " (deleted)";

/// Where a search looks, and what is known of it.
#[derive(Clone, Copy)]
pub(super) enum Reach<'a> {
    /// Everywhere.
    Machine,
    /// Among those that stand below a process, with their depths.
    Listed(&'a BTreeMap<i32, u32>),
    /// Among those that turn out to stand below this one.
    Under(i32),
}

/// What the processes share that one thread of a search looks at.
pub(super) struct Context<'a> {
    directory: BorrowedFd<'a>,
    roles: &'a Roles,
    reach: Reach<'a>,
    users: &'a BTreeMap<String, u32>,
    listeners: RefCell<Listeners>,
    denied: Cell<u64>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        directory: BorrowedFd<'a>,
        roles: &'a Roles,
        reach: Reach<'a>,
        users: &'a BTreeMap<String, u32>,
    ) -> Self {
        let listeners = RefCell::default();
        Context { directory, roles, reach, users, listeners, denied: Cell::new(0) }
    }

    pub(super) fn reach(&self) -> Reach<'a> {
        self.reach
    }

    pub(super) fn denied(&self) -> u64 {
        self.denied.get()
    }

    /// None for an error; one for want of rights is counted.
    fn granted<T>(&self, result: rustix::io::Result<T>) -> Option<T> {
        if let Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) = result {
            self.denied.set(self.denied.get() + 1);
        }
        result.ok()
    }
}

/// The file that a process executes, by device and number, and its name; none if that cannot be read.
pub(super) fn program(pid: i32) -> Option<((u64, u64), String)> {
    let link = format!("/proc/{pid}/exe");
    let file = std::fs::metadata(&link).ok()?;
    let path = std::fs::read_link(&link).ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    let name = name.strip_suffix(DELETED).map(str::to_owned).unwrap_or(name);
    Some(((file.dev(), file.ino()), name))
}

/// A process by its number, which may be reused meanwhile; or pinned, and then never another.
pub(super) struct Process<'a> {
    context: &'a Context<'a>,
    pid: i32,
    pinned: Option<OwnedFd>,
}

impl<'a> Process<'a> {
    pub(super) fn named(context: &'a Context<'a>, pid: i32) -> Self {
        Process { context, pid, pinned: None }
    }

    /// Holds its directory open; none if there is no such process.
    pub(super) fn pinned(context: &'a Context<'a>, pid: i32) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let pinned =
            rustix::fs::openat(context.directory, pid.to_string(), flags, Mode::empty()).ok()?;
        Some(Process { context, pid, pinned: Some(pinned) })
    }

    /// What is kept of it; none if it has ended, or is a part of the kernel.
    pub(super) fn found(&self) -> Option<Found> {
        let text = self.text("stat")?;
        let Status { identity, parent, ended, kernel, .. } = identity::parse(self.pid, &text)?;
        if ended || kernel {
            return None;
        }
        let comm = text.get(text.find('(')? + 1..text.rfind(')')?)?.to_owned();
        let role = self.context.roles.of(self).map(str::to_owned);
        Some(Found { identity, parent, comm, role, depth: self.depth() })
    }

    /// Where `file` of its directory is.
    fn place(&self, file: &str) -> (BorrowedFd<'_>, String) {
        match &self.pinned {
            Some(directory) => (directory.as_fd(), file.to_owned()),
            None => (self.context.directory, format!("{}/{file}", self.pid)),
        }
    }

    pub(super) fn bytes(&self, file: &str) -> Option<Vec<u8>> {
        let (directory, path) = self.place(file);
        self.context.granted(proc_files::read(directory, &path))
    }

    fn text(&self, file: &str) -> Option<String> {
        self.bytes(file).map(lossy)
    }

    pub(super) fn link(&self, file: &str) -> Option<String> {
        let (directory, path) = self.place(file);
        let target = rustix::fs::readlinkat(directory, path, Vec::with_capacity(PATH_BYTES));
        self.context.granted(target).map(|target| lossy(target.into_bytes()))
    }

    /// The names in a directory of its own that are numbers.
    pub(super) fn numbers(&self, file: &str) -> Vec<i32> {
        let (directory, path) = self.place(file);
        super::tree::numbers(directory, &path)
    }

    /// The user whose rights it has. The directory belongs to it; to root if it does not let itself
    /// be looked at, and then only its status tells.
    fn user(&self) -> Option<u32> {
        let (directory, path) = self.place("");
        let path = path.trim_end_matches('/');
        let owner =
            self.context.granted(rustix::fs::statat(directory, path, AtFlags::EMPTY_PATH))?.st_uid;
        if owner != 0 {
            return Some(owner);
        }
        let status = self.text("status")?;
        let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        users.split_ascii_whitespace().nth(1)?.parse().ok()
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

impl Facts for Process<'_> {
    fn cmdline(&self) -> Option<String> {
        let mut bytes = self.bytes("cmdline")?;
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        for byte in bytes.iter_mut().filter(|byte| **byte == 0) {
            *byte = b' ';
        }
        Some(lossy(bytes))
    }

    fn executable(&self) -> Option<String> {
        let path = self.link("exe")?;
        Some(path.strip_suffix(DELETED).map(str::to_owned).unwrap_or(path))
    }

    fn comm(&self) -> Option<String> {
        let mut name = self.text("comm")?;
        if name.ends_with('\n') {
            name.pop();
        }
        Some(name)
    }

    fn pid(&self) -> Option<i32> {
        Some(self.pid)
    }

    fn listens_on(&self, port: u16) -> Option<bool> {
        self.context.listeners.borrow_mut().has(self, port)
    }

    fn runs_as(&self, user: &str) -> Option<bool> {
        Some(self.user()? == *self.context.users.get(user)?)
    }

    fn cgroups(&self) -> Option<Vec<String>> {
        let text = self.text("cgroup")?;
        Some(
            text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).map(str::to_owned).collect(),
        )
    }

    fn environment(&self, name: &str) -> Option<String> {
        let bytes = self.bytes("environ")?;
        let value = bytes.split(|byte| *byte == 0).find_map(|variable| {
            variable.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
        })?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    fn depth(&self) -> Option<u32> {
        match self.context.reach {
            Reach::Machine => None,
            Reach::Listed(depths) => depths.get(&self.pid).copied(),
            Reach::Under(root) => super::tree::depth(root, self.pid),
        }
    }

    fn parent(&self) -> Option<Self> {
        let status = identity::parse(self.pid, &self.text("stat")?)?;
        Some(Process::named(self.context, status.parent))
    }
}
