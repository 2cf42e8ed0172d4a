//! How much of one version of a file is in another, whatever its format.

use std::collections::BTreeSet;

/// The unit in which two versions of a file that nothing here understands are compared.
const PIECE_BYTES: usize = 16;

/// Of what is larger only the beginning is compared.
pub(super) const COMPARED_BYTES_MAX: usize = 1 << 20;

/// Whether at least half of the bytes of one version stand in another, wherever there, in pieces of
/// [`PIECE_BYTES`].
pub(super) fn keeps_half(old: &[u8], new: &[u8]) -> bool {
    let length = PIECE_BYTES.min(old.len());
    let pieces: Vec<&[u8]> = old.chunks_exact(length).collect();
    let mut missing: BTreeSet<&[u8]> = pieces.iter().copied().collect();
    for window in new.windows(length) {
        missing.remove(window);
    }
    let kept = pieces.iter().filter(|piece| !missing.contains(*piece)).count();
    2 * kept >= pieces.len()
}
