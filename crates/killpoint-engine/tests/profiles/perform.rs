//! Carries out scripts on a mounted file system.

use crate::script::{DIRECTORY_MODE, FILE_MODE, Step, parse};
use killpoint_engine::image::{Image, Inode};
use killpoint_model::Profile;
use nix::fcntl::{FallocateFlags, RenameFlags, fallocate};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The state directory of a mounted disk, with the files that are open.
#[derive(Debug)]
pub struct Performer {
    state: PathBuf,
    other: File,
    other_path: PathBuf,
    commits: u32,
    profile: Profile,
    open: HashMap<String, File>,
}

const WHY: &str = "a healthy file system carries out the call";

impl Performer {
    /// Makes the state directory.
    pub fn new(mounted: &Path, profile: Profile) -> Self {
        let state = state_of(mounted);
        fs::create_dir(&state).expect(WHY);
        fs::set_permissions(&state, Permissions::from_mode(DIRECTORY_MODE)).expect(WHY);
        let other_path = mounted.join("other");
        let other = File::create(&other_path).expect(WHY);
        Performer { state, other, other_path, commits: 0, profile, open: HashMap::new() }
    }

    /// Puts everything on the disk and closes what is open. All times are long ago, so that the
    /// next write to a file changes its times, however fast it comes.
    pub fn settle(&mut self) {
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1 << 30);
        for (_, file) in self.open.drain() {
            file.set_modified(long_ago).expect(WHY);
        }
        rustix::fs::syncfs(&self.other).expect(WHY);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    fn file(&mut self, name: &str) -> &File {
        let path = self.path(name);
        self.open.entry(name.to_owned()).or_insert_with(|| {
            let directory = path.is_dir();
            OpenOptions::new().read(true).write(!directory).open(&path).expect(WHY)
        })
    }

    /// Carries out a script.
    pub fn run(&mut self, steps: &str) {
        for step in parse(steps) {
            self.step(&step);
        }
    }

    /// Makes the file system commit what it has of metadata, without any data of the state's files.
    fn commit(&mut self) {
        self.commits += 1;
        let numbered = self.other_path.with_file_name(format!("other-{}", self.commits));
        if self.profile == Profile::Btrfs {
            // An fsync would only write a log of the one file.
            commit_transaction(&self.other);
        } else {
            // A rename writes no data, so nothing but the commit takes time.
            fs::rename(&self.other_path, &numbered).expect(WHY);
            self.other_path = numbered;
            self.other.sync_all().expect(WHY);
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Create(name) => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create_new(true).mode(FILE_MODE);
                let file = options.open(self.path(name)).expect(WHY);
                file.set_permissions(Permissions::from_mode(FILE_MODE)).expect(WHY);
                self.open.insert(name.clone(), file);
            }
            Step::Mkdir(name) => {
                fs::DirBuilder::new().mode(DIRECTORY_MODE).create(self.path(name)).expect(WHY);
            }
            Step::Write { path, offset, bytes, durable: false } => {
                self.file(path).write_all_at(bytes, *offset).expect(WHY);
            }
            Step::Write { path, offset, bytes, durable: true } => {
                let mut options = OpenOptions::new();
                options.write(true).custom_flags(libc::O_DSYNC);
                let file = options.open(self.path(path)).expect(WHY);
                file.write_all_at(bytes, *offset).expect(WHY);
            }
            Step::Truncate(name, size) => self.file(name).set_len(*size).expect(WHY),
            Step::Zero(name, offset, length) => {
                let flags =
                    FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
                let (offset, length) = (signed(*offset), signed(*length));
                fallocate(self.file(name), flags, offset, length).expect(WHY);
            }
            Step::Rename(from, to) => {
                fs::rename(self.path(from), self.path(to)).expect(WHY);
                self.open.remove(to);
                if let Some(file) = self.open.remove(from) {
                    self.open.insert(to.clone(), file);
                }
            }
            Step::Exchange(first, second) => {
                let (one, two) = (self.path(first), self.path(second));
                let here = nix::fcntl::AT_FDCWD;
                nix::fcntl::renameat2(here, &one, here, &two, RenameFlags::RENAME_EXCHANGE)
                    .expect(WHY);
                self.open.remove(first);
                self.open.remove(second);
            }
            Step::Link(from, to) => fs::hard_link(self.path(from), self.path(to)).expect(WHY),
            Step::Unlink(name) => fs::remove_file(self.path(name)).expect(WHY),
            Step::Rmdir(name) => fs::remove_dir(self.path(name)).expect(WHY),
            Step::Chmod(name, mode) => {
                fs::set_permissions(self.path(name), Permissions::from_mode(*mode)).expect(WHY);
            }
            Step::Fsync(name) => self.file(name).sync_all().expect(WHY),
            Step::Fdatasync(name) => self.file(name).sync_data().expect(WHY),
            Step::Syncfs => rustix::fs::syncfs(&self.other).expect(WHY),
            Step::SyncFileRange(name) => write_back(self.file(name)),
            Step::Close(name) => drop(self.open.remove(name)),
            Step::Commit => self.commit(),
            Step::Ack => {}
            Step::Replace(..)
            | Step::Temporary(_)
            | Step::NameTemporary(..)
            | Step::Msync(..)
            | Step::FailedFsync(_) => unreachable!("of no use on a real file system: {step:?}"),
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("small")
}

/// What the kernel's own writeback may do at any time: writes the data, commits nothing.
#[expect(unsafe_code, reason = "no crate in use wraps sync_file_range")]
fn write_back(file: &File) {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the call takes numbers only, and the descriptor is open as long as `file` is borrowed.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, flags) };
    assert_eq!(result, 0, "{WHY}");
}

/// Commits the running transaction of btrfs as its timer does, without starting any writeback.
#[expect(unsafe_code, reason = "no crate in use wraps the calls of btrfs")]
fn commit_transaction(file: &File) {
    const START_SYNC: libc::Ioctl = 0x8008_9418;
    const WAIT_SYNC: libc::Ioctl = 0x4008_9416;
    let mut transaction: u64 = 0;
    // SAFETY: both calls take a pointer to 64 bits, which the first writes and the second reads.
    let results = unsafe {
        let started = libc::ioctl(file.as_raw_fd(), START_SYNC, &raw mut transaction);
        [started, libc::ioctl(file.as_raw_fd(), WAIT_SYNC, &raw const transaction)]
    };
    assert_eq!(results, [0, 0], "{WHY}");
}

fn state_of(mounted: &Path) -> PathBuf {
    mounted.join("state")
}

/// What is in the state directory of a mounted disk, held in memory.
pub fn scan(mounted: &Path) -> Image {
    let found = Image::scan(&[state_of(mounted)]).expect(WHY);
    let mut held = found.clone();
    for (id, inode) in found.inodes() {
        let mut inode = Inode::clone(inode);
        let size = inode.content.size();
        inode.content = killpoint_engine::image::Content::of_bytes(&inode.content.read(0, size));
        inode.content.resize(size);
        held.put(id, Arc::new(inode));
    }
    held
}
