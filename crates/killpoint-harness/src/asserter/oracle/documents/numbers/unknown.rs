//! The numbers at the head of a file of an unknown format: a text tells them as words, anything else as integers.

use super::{Numbers, number_of};

/// No more than this of a file is looked at.
const LOOKED_AT_BYTES_MAX: usize = 64 << 10;

/// So many lines of a text may tell its number.
const HEAD_LINES: usize = 4;

/// So many bytes of anything else may.
const HEAD_BYTES: usize = 32;

/// So much of anything else is one statement.
const PIECE_BYTES: usize = 16;

/// Beyond this many, what a file says is not kept.
const STATEMENTS_MAX: usize = 256;

/// The numbers of such a file, and its lines or pieces.
pub(in super::super) fn read_unknown(contents: &[u8]) -> Numbers {
    let mut numbers = Numbers::default();
    let head = &contents[..contents.len().min(LOOKED_AT_BYTES_MAX)];
    // A character may be cut in two at its end.
    let is_text =
        std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true);
    match is_text && !head.contains(&0) {
        true => read_text(head, &mut numbers),
        false => read_binary(head, &mut numbers),
    }
    numbers
}

fn read_text(contents: &[u8], numbers: &mut Numbers) {
    let lines = contents.split(|byte| *byte == b'\n').map(String::from_utf8_lossy);
    for (at, line) in lines.take(STATEMENTS_MAX).enumerate() {
        numbers.say(&line);
        if at < HEAD_LINES {
            let is_between = |c: char| c.is_whitespace() || ",;=|{}[]()\"".contains(c);
            for (word, text) in line.split(is_between).enumerate() {
                numbers.note(&format!("{at}:{word}"), number_of(text));
            }
        }
    }
}

fn read_binary(contents: &[u8], numbers: &mut Numbers) {
    contents.chunks(PIECE_BYTES).take(STATEMENTS_MAX).for_each(|piece| numbers.say(piece));
    let head = &contents[..contents.len().min(HEAD_BYTES)];
    let mut note = |place: String, number: u64| {
        // What is greater is no count, and not exact as a number.
        let number = u32::try_from(number >> 20).ok().map(|_| number as f64);
        numbers.note(&place, number);
    };
    for (at, bytes) in head.chunks_exact(4).enumerate() {
        let bytes = bytes.try_into().expect("4 bytes");
        note(format!("{at}:u32 le"), u32::from_le_bytes(bytes).into());
        note(format!("{at}:u32 be"), u32::from_be_bytes(bytes).into());
    }
    for (at, bytes) in head.chunks_exact(8).enumerate() {
        let bytes = bytes.try_into().expect("8 bytes");
        note(format!("{at}:u64 le"), u64::from_le_bytes(bytes));
        note(format!("{at}:u64 be"), u64::from_be_bytes(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_at_the_head_are_found() {
        let text = read_unknown(b"gen=7 31\nat 2026-01-02\n\n\nno 9\n").by_place;
        let found: Vec<_> = text.iter().map(|(place, number)| (place.as_str(), *number)).collect();
        assert_eq!(found[..2], [("0:1", 7.0), ("0:2", 31.0)]);
        assert_eq!(found[2].0, "1:1");
        assert_eq!(found.len(), 3, "{found:?}");
        let binary = read_unknown(b"MAGIC\0\0\0\x07\0\0\0\0\0\0\0").by_place;
        assert_eq!(binary.get("2:u32 le"), Some(&7.0));
        assert_eq!(binary.get("1:u64 le"), Some(&7.0));
        assert_eq!(binary.get("1:u64 be"), None, "too large for a count");
    }
}
