//! Blocks of 4,096 bytes, each with its digest, in memory or in a file that they refer to.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Bytes in a block: the unit in which a kill tears writes and file systems keep data.
pub const BLOCK: u64 = 4_096;

/// A file that blocks refer to. Its bytes must not change while an image refers to them.
#[derive(Clone, Debug)]
pub struct Source(Arc<Path>);

impl Source {
    /// Refers to a file, which is opened when bytes are needed.
    pub fn new(path: &Path) -> Self {
        Source(Arc::from(path))
    }

    /// Opens it.
    pub(super) fn open(&self) -> io::Result<File> {
        File::open(&self.0)
    }
}

/// One block, with its digest.
#[derive(Clone, Debug)]
pub struct Block(Arc<BlockData>);

#[derive(Debug)]
struct BlockData {
    index: u64,
    /// Taken when it is first asked for: a block that small writes fill up is digested once.
    digest: OnceLock<Sum>,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Memory(Box<[u8]>),
    /// At the place in the file that its index says.
    Stored(Source),
}

impl Block {
    /// A block in memory; none where there are only zeros. It reads like a hole then, and keeping none
    /// makes equal contents equal digests.
    pub(super) fn new(index: u64, bytes: Box<[u8]>) -> Option<Self> {
        debug_assert_eq!(bytes.len() as u64, BLOCK);
        if bytes.iter().all(|byte| *byte == 0) {
            return None;
        }
        let digest = OnceLock::new();
        Some(Block(Arc::new(BlockData { index, digest, bytes: Bytes::Memory(bytes) })))
    }

    /// A block whose bytes were just read from a file, which is referred to from now on; none where
    /// there are only zeros.
    pub(super) fn stored(index: u64, source: &Source, bytes: &[u8]) -> Option<Self> {
        debug_assert_eq!(bytes.len() as u64, BLOCK);
        if bytes.iter().all(|byte| *byte == 0) {
            return None;
        }
        let digest = Sum::of(index, bytes).into();
        let bytes = Bytes::Stored(source.clone());
        Some(Block(Arc::new(BlockData { index, digest, bytes })))
    }

    /// Writes within it, if nobody shares it and its bytes are in memory; false if not.
    pub(super) fn write(&mut self, within: usize, data: &[u8]) -> bool {
        let Some(block) = Arc::get_mut(&mut self.0) else { return false };
        let Bytes::Memory(bytes) = &mut block.bytes else { return false };
        block.digest.take();
        bytes[within..within + data.len()].copy_from_slice(data);
        true
    }

    pub(super) fn digest(&self) -> Sum {
        *self.0.digest.get_or_init(|| Sum::of(self.0.index, &self.bytes()))
    }

    pub(super) fn is_digested(&self) -> bool {
        self.0.digest.get().is_some()
    }

    /// The 4,096 bytes.
    ///
    /// # Panics
    /// If the file that the block refers to was changed or removed: the harness owns it.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        Reader::default().bytes(self)
    }

    pub(super) fn same(&self, other: &Block) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.digest() == other.digest()
    }
}

/// Reads blocks one after another; a file that several of them refer to is opened once.
#[derive(Debug, Default)]
pub struct Reader {
    open: Option<(Source, File)>,
}

impl Reader {
    /// The 4,096 bytes of a block.
    ///
    /// # Panics
    /// If the file that the block refers to was changed or removed: the harness owns it.
    pub fn bytes<'a>(&mut self, block: &'a Block) -> Cow<'a, [u8]> {
        let source = match &block.0.bytes {
            Bytes::Memory(bytes) => return Cow::Borrowed(bytes),
            Bytes::Stored(source) => source,
        };
        let mut bytes = vec![0; BLOCK as usize];
        let read =
            self.file(source).and_then(|file| read_up_to(file, &mut bytes, block.0.index * BLOCK));
        read.unwrap_or_else(|error| {
            panic!("{} can no longer be read: {error}", source.0.display())
        });
        Cow::Owned(bytes)
    }

    fn file(&mut self, source: &Source) -> io::Result<&File> {
        let open = match self.open.take().filter(|(open, _)| Arc::ptr_eq(&open.0, &source.0)) {
            Some(open) => open,
            None => (source.clone(), source.open()?),
        };
        Ok(&self.open.insert(open).1)
    }
}

/// Fills the buffer from a file that may end within it, if somebody cut it off.
fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A sum of block digests, modulo 2^256 by words: changing one block costs one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum(pub(super) [u64; 4]);

impl Sum {
    pub(super) fn of(index: u64, bytes: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&index.to_le_bytes());
        hasher.update(bytes);
        let digest = hasher.finalize();
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(digest.as_bytes().chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("chunks of 8"));
        }
        Sum(words)
    }

    pub(super) fn add(&mut self, other: Sum) {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word = word.wrapping_add(other);
        }
    }

    pub(super) fn subtract(&mut self, other: Sum) {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word = word.wrapping_sub(other);
        }
    }
}
