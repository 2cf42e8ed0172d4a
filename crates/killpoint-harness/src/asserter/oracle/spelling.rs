//! Spells a value as bytes that no other value is spelt with, and digests them.

use super::state::Digest;

/// Small parts are gathered up to this many bytes before they are digested.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// A value being spelt: every part has a tag and a length, so that no two values run together.
#[derive(Default)]
pub(super) struct Spelling {
    gathered: Vec<u8>,
    hasher: blake3::Hasher,
}

impl Spelling {
    pub(super) fn part(&mut self, tag: u8, bytes: &[u8]) {
        self.mark(tag, bytes.len());
        self.gathered.extend_from_slice(bytes);
    }

    pub(super) fn mark(&mut self, tag: u8, count: usize) {
        if self.gathered.len() > GATHERED_BYTES_MAX {
            self.hasher.update(&self.gathered);
            self.gathered.clear();
        }
        self.gathered.push(tag);
        self.gathered.extend_from_slice(&(count as u64).to_le_bytes());
    }

    pub(super) fn digest(mut self) -> Digest {
        self.hasher.update(&self.gathered);
        Digest(*self.hasher.finalize().as_bytes())
    }
}
