//! Files with holes are copied with their holes: a database's map or a disk image may be far larger than what is in it.

use crate::image::next_data;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The bytes of a block, as `stat` counts blocks.
const STAT_BLOCK: u64 = 512;

/// Copies a regular file with its mode, and leaves holes where it has some. What is there already is written over.
///
/// # Errors
/// What the system says.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let metadata = source.metadata()?;
    let size = metadata.len();
    if metadata.blocks().saturating_mul(STAT_BLOCK) >= size {
        return fs::copy(from, to).map(drop);
    }
    // Nobody may read meanwhile what only its owner may.
    let mode = metadata.mode() & 0o7777;
    let mut options = OpenOptions::new();
    let mut target = options.write(true).create(true).truncate(true).mode(mode).open(to)?;
    let mut offset = 0;
    while let Some(start) = next_data(&source, offset)?.filter(|start| *start < size) {
        let end = next_hole(&source, start)?.unwrap_or(size).min(size);
        source.seek(SeekFrom::Start(start))?;
        target.seek(SeekFrom::Start(start))?;
        io::copy(&mut (&source).take(end - start), &mut target)?;
        // Somebody may have cut it off meanwhile.
        offset = end.max(start + 1);
    }
    target.set_len(size)?;
    fs::set_permissions(to, metadata.permissions())
}

/// Where the first hole behind an offset begins; none if it ends before that.
fn next_hole(file: &File, offset: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(offset)) {
        Ok(hole) => Ok(Some(hole)),
        Err(rustix::io::Errno::NXIO | rustix::io::Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, PermissionsExt};

    #[test]
    fn a_copy_has_the_bytes_the_mode_and_the_holes() {
        let directory = tempfile::tempdir().expect("a directory");
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        let file = File::create(&from).expect("made");
        file.set_len(1 << 30).expect("a hole costs nothing");
        file.write_all_at(b"first", 0).expect("written");
        file.write_all_at(b"middle", (512 << 20) + 1).expect("written");
        fs::set_permissions(&from, fs::Permissions::from_mode(0o640)).expect("ours");
        fs::write(&to, "what was there before").expect("written");
        copy(&from, &to).expect("copied");
        let metadata = fs::metadata(&to).expect("there");
        assert_eq!((metadata.len(), metadata.mode() & 0o7777), (1 << 30, 0o640));
        assert!(metadata.blocks() * STAT_BLOCK < 1 << 20, "{} blocks", metadata.blocks());
        let copied = File::open(&to).expect("there");
        let at = |offset| {
            let mut bytes = [0; 8];
            copied.read_exact_at(&mut bytes, offset).expect("read");
            bytes
        };
        assert_eq!(&at(0), b"first\0\0\0");
        assert_eq!(&at(512 << 20), b"\0middle\0");
        assert_eq!(at((1 << 30) - 8), [0; 8]);
    }

    #[test]
    fn a_file_of_nothing_but_a_hole_and_an_empty_one_are_copied() {
        let directory = tempfile::tempdir().expect("a directory");
        for size in [0, 1, 1 << 20] {
            let (from, to) = (directory.path().join("from"), directory.path().join("to"));
            File::create(&from).expect("made").set_len(size).expect("a hole");
            copy(&from, &to).expect("copied");
            assert_eq!(fs::metadata(&to).expect("there").len(), size);
        }
    }
}
