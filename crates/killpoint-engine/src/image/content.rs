//! The bytes of a file: blocks, shared between images, absent where the file has a hole.

use super::block::{BLOCK, Block, Source, Sum};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};

/// Blocks in a chunk: the unit of sharing between two versions of a file.
const CHUNK: usize = 64;

/// Where the first byte at or after an offset stands that is in no hole; none if there is none.
///
/// # Errors
/// What the system says.
pub fn next_data(file: &File, offset: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(offset)) {
        Ok(data) => Ok(Some(data)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        // A file system that knows of no holes.
        Err(rustix::io::Errno::INVAL) => Ok((offset < file.metadata()?.len()).then_some(offset)),
        Err(error) => Err(error.into()),
    }
}

/// Blocks of a file that are read at once.
const READ_BLOCKS: u64 = 16;

/// A block that begins with some bytes; the rest is zeros.
fn padded(bytes: &[u8]) -> Box<[u8]> {
    let mut block = vec![0; BLOCK as usize];
    block[..bytes.len()].copy_from_slice(bytes);
    block.into_boxed_slice()
}

type Chunk = [Option<Block>; CHUNK];

/// Most blocks that wait to be added to a file's sum.
const UNSETTLED_MAX: usize = 64;

/// The bytes of a regular file.
#[derive(Clone, Debug, Default)]
pub struct Content {
    size: u64,
    chunks: Vec<Option<Arc<Chunk>>>,
    digests: Digests,
}

/// What is known of the sum of the blocks' digests.
#[derive(Clone, Debug)]
struct Digests {
    /// The sum of all blocks but the unsettled ones. Not known where many blocks have changed and
    /// nobody asked: then none is unsettled, and the next who asks pays for all of them.
    settled: OnceLock<Sum>,
    unsettled: Vec<u64>,
}

impl Default for Digests {
    fn default() -> Self {
        Digests { settled: Sum::default().into(), unsettled: Vec::new() }
    }
}

impl Content {
    /// Refers to a real file of `size` bytes; each block that is in no hole is read once for its
    /// digest.
    ///
    /// # Errors
    /// What the system says when the file is read.
    pub fn of_file(source: Source, size: u64) -> io::Result<Self> {
        let mut content = Content::default();
        if size == 0 {
            return Ok(content);
        }
        let file = source.open()?;
        let mut bytes = vec![0; (READ_BLOCKS * BLOCK) as usize];
        let mut index = 0;
        // Holes are passed over: a file may be far larger than what is in it.
        while let Some(data) = next_data(&file, index * BLOCK)? {
            index = index.max(data / BLOCK);
            let offset = index * BLOCK;
            if offset >= size {
                break;
            }
            let length = (size - offset).min(READ_BLOCKS * BLOCK) as usize;
            file.read_exact_at(&mut bytes[..length], offset)?;
            for read in bytes[..length].chunks(BLOCK as usize) {
                let block = match read.len() == BLOCK as usize {
                    true => Block::stored(index, &source, read),
                    // The tail may lie before bytes that a later growth puts there.
                    false => Block::new(index, padded(read)),
                };
                content.set(index, block);
                index += 1;
            }
        }
        content.size = size;
        Ok(content)
    }

    /// Contents held in memory.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut content = Content::default();
        content.write(0, bytes);
        content
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// One block; none where there are only zeros.
    pub fn block(&self, index: u64) -> Option<&Block> {
        let index = usize::try_from(index).ok()?;
        self.chunks.get(index / CHUNK)?.as_ref()?[index % CHUNK].as_ref()
    }

    /// The indexes of the blocks that are more than zeros, in order.
    pub fn blocks(&self) -> impl Iterator<Item = u64> {
        let chunks = self.chunks.iter().enumerate();
        let there = chunks.filter_map(|(index, chunk)| Some((index, chunk.as_ref()?)));
        there.flat_map(|(index, chunk)| {
            let places = (0..CHUNK).filter(|place| chunk[*place].is_some());
            places.map(move |place| (index * CHUNK + place) as u64)
        })
    }

    fn set(&mut self, number: u64, block: Option<Block>) {
        let index = usize::try_from(number).expect("a file fits in the address space");
        let (chunk, place) = (index / CHUNK, index % CHUNK);
        if chunk >= self.chunks.len() {
            if block.is_none() {
                return;
            }
            self.chunks.resize(chunk + 1, None);
        }
        let slot = &mut self.chunks[chunk];
        if slot.is_none() && block.is_none() {
            return;
        }
        let chunk = Arc::make_mut(slot.get_or_insert_with(|| Arc::new([const { None }; CHUNK])));
        let old = std::mem::replace(&mut chunk[place], block);
        if self.is_unsettled(number) {
            return;
        }
        if self.digests.unsettled.len() == UNSETTLED_MAX {
            self.settle();
        }
        if let Some(settled) = self.digests.settled.get_mut() {
            if let Some(old) = old {
                settled.subtract(old.digest());
            }
            self.digests.unsettled.push(number);
        }
    }

    /// Whether a block's digest is in no sum.
    fn is_unsettled(&self, number: u64) -> bool {
        self.digests.settled.get().is_none() || self.digests.unsettled.contains(&number)
    }

    /// Adds the unsettled blocks to the sum, if that costs nothing.
    fn settle(&mut self) {
        let mut unsettled = self.digests.unsettled.iter().filter_map(|index| self.block(*index));
        self.digests.settled = match unsettled.all(Block::is_digested) {
            true => self.sum().into(),
            false => OnceLock::new(),
        };
        self.digests.unsettled.clear();
    }

    fn sum(&self) -> Sum {
        let mut sum = *self.digests.settled.get_or_init(|| {
            let mut sum = Sum::default();
            for block in self.chunks.iter().flatten().flat_map(|chunk| chunk.iter().flatten()) {
                sum.add(block.digest());
            }
            sum
        });
        for block in self.digests.unsettled.iter().filter_map(|index| self.block(*index)) {
            sum.add(block.digest());
        }
        sum
    }

    /// Copies one block from another version of the file, or makes it a hole.
    pub fn set_block_from(&mut self, index: u64, other: &Content) {
        self.set(index, other.block(index).cloned());
    }

    /// Writes bytes at an offset; the file grows as needed.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        let mut rest = data;
        let mut at = offset;
        while !rest.is_empty() {
            let index = at / BLOCK;
            let within = usize::try_from(at % BLOCK).expect("less than a block");
            let length = rest.len().min(BLOCK as usize - within);
            if self.write_in_place(index, within, &rest[..length]) {
                at += length as u64;
                rest = &rest[length..];
                continue;
            }
            let bytes = if length == BLOCK as usize {
                rest[..length].to_vec()
            } else {
                let mut bytes = match self.block(index) {
                    Some(block) => block.bytes().into_owned(),
                    None => vec![0; BLOCK as usize],
                };
                bytes[within..within + length].copy_from_slice(&rest[..length]);
                bytes
            };
            self.set(index, Block::new(index, bytes.into_boxed_slice()));
            at += length as u64;
            rest = &rest[length..];
        }
        if !data.is_empty() {
            self.size = self.size.max(at);
        }
    }

    /// Writes within a block that nobody shares and whose digest is not in the sum yet; false if it
    /// is not of that kind, or may become a block of zeros.
    fn write_in_place(&mut self, number: u64, within: usize, data: &[u8]) -> bool {
        if !self.is_unsettled(number) || data.iter().all(|byte| *byte == 0) {
            return false;
        }
        let index = usize::try_from(number).expect("a file fits in the address space");
        let chunk = self.chunks.get_mut(index / CHUNK).and_then(Option::as_mut);
        let block = chunk.and_then(Arc::get_mut).and_then(|chunk| chunk[index % CHUNK].as_mut());
        block.is_some_and(|block| block.write(within, data))
    }

    /// Makes a range zeros, within the size.
    pub fn zero(&mut self, offset: u64, length: u64) {
        let end = offset.saturating_add(length).min(self.size);
        let mut at = offset;
        while at < end {
            let index = at / BLOCK;
            let upto = ((index + 1) * BLOCK).min(end);
            if at == index * BLOCK && upto == (index + 1) * BLOCK {
                self.set(index, None);
            } else if let Some(block) = self.block(index) {
                let mut bytes = block.bytes().into_owned();
                bytes[(at % BLOCK) as usize..][..(upto - at) as usize].fill(0);
                self.set(index, Block::new(index, bytes.into_boxed_slice()));
            }
            at = upto;
        }
    }

    /// Cuts off or grows by zeros.
    pub fn resize(&mut self, size: u64) {
        if size < self.size {
            let first_gone = size.div_ceil(BLOCK);
            self.zero(size, first_gone * BLOCK - size);
            for index in first_gone..self.size.div_ceil(BLOCK) {
                self.set(index, None);
            }
            self.chunks.truncate(usize::try_from(first_gone).unwrap_or(usize::MAX).div_ceil(CHUNK));
        }
        self.size = size;
    }

    /// Size and bytes in one digest.
    pub fn digest(&self) -> [u8; 40] {
        let mut digest = [0; 40];
        digest[..8].copy_from_slice(&self.size.to_le_bytes());
        for (place, word) in digest[8..].chunks_exact_mut(8).zip(self.sum().0) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        digest
    }

    /// Whether both have the same size and bytes.
    pub fn equals(&self, other: &Content) -> bool {
        self.size == other.size && self.sum() == other.sum()
    }

    /// The indexes of the blocks that differ, up to the larger size.
    pub fn changed_blocks(&self, other: &Content) -> Vec<u64> {
        let mut changed = Vec::new();
        for chunk in 0..self.chunks.len().max(other.chunks.len()) {
            let ours = self.chunks.get(chunk).and_then(Option::as_ref);
            let theirs = other.chunks.get(chunk).and_then(Option::as_ref);
            match (ours, theirs) {
                (None, None) => continue,
                (Some(ours), Some(theirs)) if Arc::ptr_eq(ours, theirs) => continue,
                _ => {}
            }
            for place in 0..CHUNK {
                let equal = match (
                    ours.and_then(|chunk| chunk[place].as_ref()),
                    theirs.and_then(|chunk| chunk[place].as_ref()),
                ) {
                    (None, None) => true,
                    (Some(ours), Some(theirs)) => ours.same(theirs),
                    _ => false,
                };
                if !equal {
                    changed.push((chunk * CHUNK + place) as u64);
                }
            }
        }
        changed
    }

    /// Reads up to `length` bytes at an offset.
    pub fn read(&self, offset: u64, length: u64) -> Vec<u8> {
        let end = offset.saturating_add(length).min(self.size);
        let mut bytes =
            Vec::with_capacity(usize::try_from(end.saturating_sub(offset)).unwrap_or(0));
        let mut at = offset;
        while at < end {
            let index = at / BLOCK;
            let upto = ((index + 1) * BLOCK).min(end);
            let within = (at % BLOCK) as usize..(at % BLOCK + (upto - at)) as usize;
            match self.block(index) {
                Some(block) => bytes.extend_from_slice(&block.bytes()[within]),
                None => bytes.resize(bytes.len() + within.len(), 0),
            }
            at = upto;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_that_is_mostly_a_hole_costs_only_what_is_in_it() {
        const SIZE: u64 = 1 << 40;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("sparse");
        let file = File::create(&path).expect("made");
        if file.set_len(SIZE).is_err() {
            return; // a file system with smaller files
        }
        file.write_all_at(b"middle", SIZE / 2).expect("written");
        file.write_all_at(b"end", SIZE - 3).expect("written");
        let source = Source::new(&path);
        let content = Content::of_file(source, SIZE).expect("read");
        assert_eq!(content.size(), SIZE);
        assert_eq!(content.blocks().count(), 2);
        assert_eq!(content.read(SIZE / 2, 6), b"middle");
        assert_eq!(content.read(SIZE - 4, 9), b"\0end");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        Zero(u64, u64),
        Resize(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..20_000_u64, prop::collection::vec(0..3_u8, 0..9_000))
                .prop_map(|(offset, data)| Step::Write(offset, data)),
            (0..20_000_u64, 0..9_000_u64).prop_map(|(offset, length)| Step::Zero(offset, length)),
            (0..20_000_u64).prop_map(Step::Resize),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn contents_behave_like_a_vector_of_bytes(steps in prop::collection::vec(step(), 0..12)) {
            let mut content = Content::default();
            let mut model: Vec<u8> = Vec::new();
            for step in steps {
                let before = content.clone();
                match step {
                    Step::Write(offset, data) => {
                        content.write(offset, &data);
                        let end = offset as usize + data.len();
                        if !data.is_empty() {
                            if model.len() < end { model.resize(end, 0); }
                            model[offset as usize..end].copy_from_slice(&data);
                        }
                    }
                    Step::Zero(offset, length) => {
                        content.zero(offset, length);
                        let end = (offset + length).min(model.len() as u64) as usize;
                        if (offset as usize) < end { model[offset as usize..end].fill(0); }
                    }
                    Step::Resize(size) => { content.resize(size); model.resize(size as usize, 0); }
                }
                prop_assert_eq!(content.read(0, u64::MAX), model.clone());
                prop_assert_eq!(content.digest(), Content::of_bytes_sized(&model).digest());
                let changed = content.changed_blocks(&before);
                prop_assert_eq!(changed.is_empty(), content.sum() == before.sum());
            }
        }
    }

    #[test]
    fn the_digest_is_the_same_however_often_it_is_asked_for() {
        let blocks = 3 * UNSETTLED_MAX as u64;
        for asked_every in [1, 2, UNSETTLED_MAX as u64 + 1, u64::MAX] {
            let (mut content, mut model) = (Content::default(), Vec::new());
            // Each block is written in two halves, and once more when the others stand.
            for step in 0..3 * blocks {
                let (offset, byte) = match step < 2 * blocks {
                    true => (step * BLOCK / 2, 1 + (step % 7) as u8),
                    false => ((step * 11 % blocks) * BLOCK + 5, 9),
                };
                let data = vec![byte; if byte == 9 { 3 } else { BLOCK as usize / 2 }];
                content.write(offset, &data);
                let end = offset as usize + data.len();
                model.resize(end.max(model.len()), 0);
                model[offset as usize..end].copy_from_slice(&data);
                if step % asked_every == asked_every - 1 {
                    assert_eq!(content.digest(), content.clone().digest());
                }
            }
            assert_eq!(content.digest(), Content::of_bytes(&model).digest(), "{asked_every}");
            assert_eq!(content.read(0, u64::MAX), model);
        }
    }

    impl Content {
        fn of_bytes_sized(bytes: &[u8]) -> Self {
            let mut content = Content::of_bytes(bytes);
            content.resize(bytes.len() as u64);
            content
        }
    }
}
