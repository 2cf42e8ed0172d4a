//! Crash states as the oracle sees them: a listing with digests, and contents on demand.

use killpoint_engine::image::Content;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// BLAKE3 of a file's contents. Equal digests are taken for equal contents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", blake3::Hash::from_bytes(self.0).to_hex())
    }
}

/// A file larger than this is not held in memory: it is known by its digest.
pub const HELD_BYTES_MAX: u64 = 1 << 30;

/// The digest of contents. Of those that are too large to be held it is made from the image's own.
pub fn digest_of(content: &Content) -> Digest {
    match content.size() > HELD_BYTES_MAX {
        true => Digest::of(&content.digest()),
        false => Digest::of(&content.read(0, u64::MAX)),
    }
}

/// A regular file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// Digest of its contents.
    pub digest: Digest,
    /// Its size in bytes.
    pub length: u64,
}

impl Present {
    /// A file that holds these bytes.
    pub fn of(contents: &[u8]) -> Present {
        Present { digest: Digest::of(contents), length: contents.len() as u64 }
    }
}

/// What a crash left in one state directory.
///
/// 1. `files` lists every regular file, so that a missing one is known to be missing.
/// 2. `read` gives the bytes that the listing's digest was made of.
/// 3. `directory` is asked for only when a database has to be opened. The directory is thrown away
///    afterwards: opening a database recovers it, and recovery writes. Its absolute path should be
///    the one the program saw; where it is not, a transaction over several databases is not judged.
pub trait CrashState {
    /// Every regular file, by its path relative to the state directory.
    fn files(&self) -> &BTreeMap<PathBuf, Present>;

    /// Every symbolic link and its target.
    fn links(&self) -> &BTreeMap<PathBuf, Vec<u8>>;

    /// The contents of a file.
    ///
    /// # Errors
    /// When it cannot be read; the verdict is then `unknown (judge-failed)`.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// A directory that holds the state and may be written to.
    ///
    /// # Errors
    /// When it cannot be made; the verdict is then `unknown (judge-failed)`.
    fn directory(&self) -> io::Result<PathBuf>;
}

/// A crash state that already is a directory, which nobody needs afterwards.
#[derive(Debug)]
pub struct DirectoryState {
    root: PathBuf,
    files: BTreeMap<PathBuf, Present>,
    links: BTreeMap<PathBuf, Vec<u8>>,
}

impl DirectoryState {
    /// Lists the regular files below `root` and digests them. Symbolic links are not followed.
    ///
    /// # Errors
    /// The first file or directory that cannot be read.
    pub fn list(root: impl Into<PathBuf>) -> io::Result<DirectoryState> {
        let root = root.into();
        let (mut files, mut links) = (BTreeMap::new(), BTreeMap::new());
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(root.join(&directory))? {
                let entry = entry?;
                let path = directory.join(entry.file_name());
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    directories.push(path);
                } else if kind.is_symlink() {
                    let target = fs::read_link(root.join(&path))?;
                    links.insert(path, target.into_os_string().into_vec());
                } else if kind.is_file() {
                    let contents = fs::read(root.join(&path))?;
                    let length = contents.len() as u64;
                    files.insert(path, Present { digest: Digest::of(&contents), length });
                }
            }
        }
        Ok(DirectoryState { root, files, links })
    }
}

impl CrashState for DirectoryState {
    fn files(&self) -> &BTreeMap<PathBuf, Present> {
        &self.files
    }

    fn links(&self) -> &BTreeMap<PathBuf, Vec<u8>> {
        &self.links
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut contents = Vec::new();
        fs::File::open(self.root.join(path))?.read_to_end(&mut contents)?;
        Ok(contents)
    }

    fn directory(&self) -> io::Result<PathBuf> {
        Ok(self.root.clone())
    }
}
