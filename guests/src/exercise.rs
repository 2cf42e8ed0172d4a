//! Every operation that changes a state directory: once in a fixed order, or drawn by a seed.

use crate::frame::Store;
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags, Timestamps, XattrFlags,
    copy_file_range, fallocate, fchmod, fsetxattr, linkat, mkdirat, mknodat, open, renameat_with,
    sendfile, setxattr, symlinkat, utimensat,
};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// One of each, in an order that never changes. What the file system cannot do is left out.
///
/// # Errors
/// What the calls give.
pub fn every_operation(state: &Path) -> io::Result<()> {
    let at = |name: &str| state.join(name);

    // Names.
    fs::create_dir(at("directory"))?;
    fs::create_dir(at("directory/inner"))?;
    fs::create_dir(at("gone"))?;
    fs::remove_dir(at("gone"))?;
    fs::write(at("plain"), "written once")?;
    fs::write(at("plain"), "truncated and written again")?;
    fs::hard_link(at("plain"), at("directory/link"))?;
    symlinkat("../plain", CWD, at("directory/symbolic"))?;
    fs::rename(at("directory/link"), at("directory/inner/moved"))?;
    fs::write(at("victim"), "to be replaced")?;
    fs::write(at("replacement"), "in the victim's place")?;
    fs::rename(at("replacement"), at("victim"))?;
    fs::write(at("left"), "left")?;
    fs::write(at("right"), "right")?;
    supported(renameat_with(CWD, at("left"), CWD, at("right"), RenameFlags::EXCHANGE))?;
    fs::write(at("removed"), "soon gone")?;
    fs::remove_file(at("removed"))?;
    mknodat(CWD, at("pipe"), rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
    // A socket's path must be short, so that it is bound from within the directory.
    let before = std::env::current_dir()?;
    std::env::set_current_dir(state)?;
    let bound = UnixListener::bind("socket");
    std::env::set_current_dir(before)?;
    drop(bound?);

    // A file without a name.
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    if let Some(unnamed) = supported(open(state, flags, Mode::from_raw_mode(0o640)))? {
        let mut unnamed = File::from(unnamed);
        unnamed.write_all(b"named late")?;
        let path = format!("/proc/self/fd/{}", unnamed.as_raw_fd());
        linkat(CWD, path, CWD, at("named"), AtFlags::SYMLINK_FOLLOW)?;
    }

    // Contents.
    let mut file = File::create_new(at("contents"))?;
    file.write_all(&[b'a'; 5_000])?;
    file.write_all_at(b"in the middle", 4_090)?;
    rustix::io::writev(&file, &[IoSlice::new(b"one "), IoSlice::new(b"two ")])?;
    file.seek(SeekFrom::Start(20_000))?;
    file.write_all(b"after a hole")?;
    let mut twin = file.try_clone()?;
    twin.write_all(b", by a duplicate")?;
    file.set_len(30_000)?;
    file.set_len(25_000)?;
    fs::File::options().write(true).open(at("contents"))?.set_len(24_000)?;
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    supported(fallocate(&file, FallocateFlags::empty(), 24_000, 6_000))?;
    supported(fallocate(&file, punch, 4_096, 4_096))?;
    supported(fallocate(&file, FallocateFlags::ZERO_RANGE, 10_000, 3_000))?;
    supported(fallocate(&file, FallocateFlags::COLLAPSE_RANGE, 0, 4_096))?;
    supported(fallocate(&file, FallocateFlags::INSERT_RANGE, 8_192, 4_096))?;
    let mut log = OpenOptions::new().append(true).create(true).open(at("log"))?;
    log.write_all(b"first line\n")?;
    rustix::io::pwritev(&log, &[IoSlice::new(b"at the end "), IoSlice::new(b"all the same\n")], 0)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::DSYNC | OFlags::CLOEXEC;
    let mut durable = File::from(open(at("durable"), flags, Mode::from_raw_mode(0o644))?);
    durable.write_all(b"durable at once")?;

    // Copies inside the kernel.
    let source = File::open(at("contents"))?;
    let copy = File::create(at("copy"))?;
    supported(copy_file_range(&source, None, &copy, None, 6_000))?;
    sendfile(&copy, &source, None, 3_000)?;
    supported(rustix::fs::ioctl_ficlone(File::create(at("clone"))?, &source))?;
    let (reader, writer) = rustix::pipe::pipe()?;
    File::from(writer).write_all(b"through a pipe")?;
    let spliced = File::create(at("spliced"))?;
    let none = rustix::pipe::SpliceFlags::empty();
    rustix::pipe::splice(&reader, None, &spliced, None, 64, none)?;

    // Attributes.
    fs::set_permissions(at("plain"), Permissions::from_mode(0o600))?;
    fchmod(&file, Mode::from_raw_mode(0o444))?;
    let owner = fs::metadata(at("plain"))?;
    std::os::unix::fs::chown(at("plain"), Some(owner.uid()), Some(owner.gid()))?;
    let time = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 7 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, at("plain"), &times, AtFlags::empty())?;
    supported(setxattr(at("plain"), "user.colour", b"red", XattrFlags::empty()))?;
    supported(setxattr(at("plain"), "user.gone", b"soon", XattrFlags::empty()))?;
    supported(fsetxattr(&file, "user.size", b"large", XattrFlags::empty()))?;
    supported(rustix::fs::removexattr(at("plain"), "user.gone"))?;

    // Barriers.
    file.sync_all()?;
    file.sync_data()?;
    log.sync_all()?;
    crate::document::sync_directory(state)?;
    rustix::fs::syncfs(&file).map_err(io::Error::from)
}

/// What was done; none where this file system or kernel cannot do it.
fn supported<T>(result: rustix::io::Result<T>) -> io::Result<Option<T>> {
    use rustix::io::Errno;
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::XDEV | Errno::NOTTY) => {
            Ok(None)
        }
        Err(other) => Err(other.into()),
    }
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn path(&mut self, state: &Path) -> PathBuf {
        const DIRECTORIES: [&str; 4] = [".", ".", "d", "d/e"];
        const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
        let directory = DIRECTORIES[self.below(4) as usize];
        state.join(directory).join(NAMES[self.below(6) as usize])
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = [7, 100, 4_096, 5_000, 12_000][self.below(5) as usize];
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// An offset or a size; some lie on a block's boundary, some make a hole.
    fn position(&mut self) -> u64 {
        match self.below(3) {
            0 => self.below(5) * 4_096,
            1 => self.below(20_000),
            _ => self.below(100),
        }
    }
}

/// A number of operations that the seed decides; those that the state does not allow fail and stay without effect.
///
/// # Errors
/// Never: failing operations are part of the exercise.
pub fn random_operations(state: &Path, seed: u64, count: u64) -> io::Result<()> {
    let mut random = Random(seed);
    let mut open_files: Vec<File> = Vec::new();
    for _ in 0..count {
        // Which operations fail is decided by what the ones before have left, and so by the seed as well.
        let _ = random_operation(state, &mut random, &mut open_files);
        if open_files.len() > 8 {
            open_files.remove(0);
        }
    }
    Ok(())
}

fn random_operation(
    state: &Path,
    random: &mut Random,
    open_files: &mut Vec<File>,
) -> io::Result<()> {
    let kind = random.below(25);
    let (path, other) = (random.path(state), random.path(state));
    let (position, length) = (random.position(), 1 + random.position());
    let bytes = random.bytes();
    let chosen = random.next() as usize;
    let file = match open_files.len() {
        0 => None,
        count => open_files.get(chosen % count),
    };
    let file = || file.ok_or(io::Error::from(io::ErrorKind::NotFound));
    match kind {
        0..=2 => {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(kind == 1);
            open_files.push(options.open(path)?);
        }
        3 => open_files.push(OpenOptions::new().append(true).create(true).open(path)?),
        4..=6 => file()?.write_all(&bytes)?,
        7 | 8 => file()?.write_all_at(&bytes, position)?,
        9 => file()?.seek(SeekFrom::Start(position)).map(drop)?,
        10 => file()?.set_len(position)?,
        11 => fs::rename(path, other)?,
        12 => fs::hard_link(path, other)?,
        13 => fs::remove_file(path)?,
        14 => fs::create_dir(path)?,
        15 => fs::remove_dir(path)?,
        16 => symlinkat("../a", CWD, path)?,
        17 => fs::set_permissions(path, Permissions::from_mode(0o600 + (position as u32 & 0o77)))?,
        18 => setxattr(path, "user.random", &bytes[..7], XattrFlags::empty())?,
        19 => {
            let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(file()?, punch, position, length)?;
        }
        20 => fallocate(file()?, FallocateFlags::empty(), position, length)?,
        21 => file()?.sync_all()?,
        22 => {
            let twin = file()?.try_clone()?;
            open_files.push(twin);
        }
        23 => {
            let buffers = [IoSlice::new(&bytes[..3]), IoSlice::new(&bytes[3..])];
            rustix::io::pwritev(file()?, &buffers, position)?;
        }
        _ => mkdirat(CWD, state.join(["d", "d/e"][chosen % 2]), Mode::from_raw_mode(0o755))?,
    }
    Ok(())
}

/// Every path and what stands there: type, mode, size.
///
/// # Errors
/// When the tree cannot be read.
pub fn check(state: &Path) -> io::Result<Store> {
    let mut store = Store::new();
    let mut pending = vec![state.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let metadata = fs::symlink_metadata(&path)?;
            let name = path.strip_prefix(state).expect("it was found there").display().to_string();
            let size = if metadata.is_file() { metadata.len() } else { 0 };
            store.insert(name, format!("mode {:o}, {size} bytes", metadata.mode()).into());
            if metadata.is_dir() {
                pending.push(path);
            }
        }
    }
    Ok(store)
}
