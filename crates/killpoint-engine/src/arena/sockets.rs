//! Unix sockets that live processes listen at, in directories that are seen copy-on-write: through an
//! overlay the kernel does not find who listens, so the socket itself is mounted over its own path.

use super::through;
use nix::mount::{MsFlags, mount};
use rustix::fs::{FileType, Mode, OFlags};
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Most sockets that are shown; those beyond cannot be reached.
const SOCKETS_MAX: usize = 64;

/// Paths of bound sockets below some directories. To be asked before there is a network namespace:
/// the kernel lists those of the caller's.
pub(super) fn bound_below(directories: &[PathBuf]) -> Vec<PathBuf> {
    let Ok(table) = std::fs::read("/proc/net/unix") else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        table.split(|byte| *byte == b'\n').skip(1).filter_map(path_in).collect();
    let real: Vec<PathBuf> =
        directories.iter().filter_map(|path| std::fs::canonicalize(path).ok()).collect();
    paths.retain(|path| real.iter().any(|directory| path.starts_with(directory)));
    paths.sort();
    paths.dedup();
    paths.truncate(SOCKETS_MAX);
    paths
}

/// The path in a line of the kernel's table: the last of eight columns, which may hold blanks.
fn path_in(line: &[u8]) -> Option<PathBuf> {
    const COLUMNS_BEFORE: usize = 7;
    let mut rest = line;
    for _ in 0..COLUMNS_BEFORE {
        rest = rest.trim_ascii_start();
        rest = &rest[rest.iter().position(|byte| *byte == b' ')?..];
    }
    let path = rest.strip_prefix(b" ")?;
    (path.first() == Some(&b'/')).then(|| PathBuf::from(OsStr::from_bytes(path)))
}

/// Sockets held open, so that they can be shown whatever is mounted over them.
#[derive(Debug, Default)]
pub(super) struct Sockets(Vec<(PathBuf, OwnedFd)>);

impl Sockets {
    /// Opens what stands at the paths now, if it is a socket.
    pub(super) fn open(paths: &[PathBuf]) -> Self {
        let open = |path: &PathBuf| {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
            let mode = rustix::fs::fstat(&file).ok()?.st_mode;
            (FileType::from_raw_mode(mode) == FileType::Socket).then(|| (path.clone(), file))
        };
        Sockets(paths.iter().filter_map(open).collect())
    }

    /// Mounts each over its own path below a view.
    ///
    /// # Errors
    /// The first that the system refuses.
    pub(super) fn show_below(&self, view: &Path) -> io::Result<()> {
        for (path, file) in self.0.iter().filter(|(path, _)| path.starts_with(view)) {
            let source = through(file);
            mount(Some(&source), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_off_the_kernels_table() {
        let line = b"0000000000000000: 00000002 00000000 00010000 0001 01 12345 /tmp/a b";
        assert_eq!(path_in(line), Some(PathBuf::from("/tmp/a b")));
        let unnamed = b"0000000000000000: 00000003 00000000 00000000 0001 03 12345";
        assert_eq!(path_in(unnamed), None);
        let abstract_name = b"0000000000000000: 00000002 00000000 00010000 0001 01 12345 @name";
        assert_eq!(path_in(abstract_name), None);
    }
}
