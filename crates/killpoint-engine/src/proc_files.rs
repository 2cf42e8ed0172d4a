//! Files of `/proc`, each read with as few calls as it takes.

use rustix::fs::{CWD, Mode, OFlags};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

/// Read at once: all that most files of `/proc` hold.
const READ_BYTES: usize = 4_096;
/// Most bytes of one file of `/proc`: the kernel allows arguments of 6 MiB by default.
const FILE_BYTES_MAX: usize = 64 << 20;

/// Reads a file of `/proc` to its end. A short read is the end of those that are read here.
///
/// # Errors
/// What the system says.
pub fn read(directory: BorrowedFd<'_>, path: &str) -> rustix::io::Result<Vec<u8>> {
    let file =
        rustix::fs::openat(directory, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::new();
    let mut buffer = [MaybeUninit::<u8>::uninit(); READ_BYTES];
    while bytes.len() < FILE_BYTES_MAX {
        let (filled, _) = rustix::io::read(&file, &mut buffer)?;
        bytes.extend_from_slice(filled);
        if filled.is_empty() || filled.len() < READ_BYTES / 2 {
            break;
        }
    }
    Ok(bytes)
}

/// Reads a file of one process.
///
/// # Errors
/// What the system says; it says that there is no such process as that there is no such file.
pub fn of_process(pid: i32, file: &str) -> rustix::io::Result<Vec<u8>> {
    read(CWD.as_fd(), &format!("/proc/{pid}/{file}"))
}
