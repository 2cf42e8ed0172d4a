//! How much of one version of a file is in another, whatever its format.

use std::collections::{BTreeMap, BTreeSet};

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

/// How many of the first bytes of `new` hold all that comes back there of `old`, if at least half of it does: of a text
/// its lines, in any order, of anything else its pieces. A first line alone may be a heading that every new file begins with.
pub(super) fn comes_back(old: &[u8], new: &[u8]) -> Option<usize> {
    let old = &old[..old.len().min(COMPARED_BYTES_MAX)];
    let new = &new[..new.len().min(COMPARED_BYTES_MAX)];
    if old.is_empty() {
        return None;
    }
    let is_text = std::str::from_utf8(old).is_ok();
    let (units, parts) = match lines(old) {
        units if is_text && units.len() > 1 => (units, lines(new)),
        _ => {
            let old = if is_text && old.len() > 1 { old.trim_ascii_end() } else { old };
            let length = PIECE_BYTES.min(old.len()).max(1);
            (ended(old.chunks_exact(length), length), ended(new.windows(length), 1))
        }
    };
    let heads = units.first().map(|(unit, _)| *unit) == parts.first().map(|(part, _)| *part);
    let mut missing: BTreeMap<&[u8], usize> = BTreeMap::new();
    units.iter().for_each(|(unit, _)| *missing.entry(unit).or_default() += 1);
    let (mut back, mut end) = (0, 0);
    for (part, at) in parts {
        if let Some(count) = missing.get_mut(part).filter(|count| **count > 0) {
            *count -= 1;
            (back, end) = (back + 1, at);
        }
    }
    let is_heading = heads && back == 1 && units.len() > 1;
    (2 * back >= units.len() && !is_heading).then_some(end)
}

/// The lines of a text, and where each of them ends.
fn lines(text: &[u8]) -> Vec<(&[u8], usize)> {
    let mut end = 0;
    let lines = text.split_inclusive(|byte| *byte == b'\n').map(|line| {
        end += line.len();
        (line.strip_suffix(b"\n").unwrap_or(line), end)
    });
    lines.collect()
}

/// Pieces that lie `step` bytes apart, and where each of them ends.
fn ended<'a>(pieces: impl Iterator<Item = &'a [u8]>, step: usize) -> Vec<(&'a [u8], usize)> {
    pieces.enumerate().map(|(index, piece)| (piece, index * step + piece.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_at_least_half_of_what_stood_there() {
        for (old, new, expect) in [
            ("one\ntwo\n", "one\ntwo\n", Some(8)),
            ("one\ntwo\n", "two\none\nthree\n", Some(8)),
            ("one\ntwo", "two\n", Some(4)),
            ("one\ntwo\n", "three\n", None),
            ("", "three\n", None),
            // A heading, and more than a heading.
            ("key,value\nk0,0\n", "key,value\nk1,1\n", None),
            ("key,value\nk0,0\n", "key,value\nk1,1\nk0,0\n", Some(20)),
            ("key,value\n", "key,value\nk1,1\n", Some(9)),
            // The same line again and again.
            ("tick\ntick\ntick\ntick\n", "tick\n", None),
            ("tick\ntick\ntick\ntick\n", "a\ntick\ntick\n", Some(12)),
            // One line, and no text.
            ("a line that is long enough to be cut", "<a line that is long enough>", Some(17)),
            ("a line that is long enough to be cut", "another line", None),
            ("one line\n", "one line and more\n", Some(8)),
            ("\n\n", "\n", None),
        ] {
            assert_eq!(comes_back(old.as_bytes(), new.as_bytes()), expect, "{old:?} in {new:?}");
        }
        assert_eq!(comes_back(b"\xff\n\x01\n", b"\xff\n\x01\n"), Some(4));
        assert_eq!(comes_back(b"\xff\n\x01\n", b"\x01\n\xff\n"), None);
    }
}
