//! Breaks text into lines without ever breaking an address.

use crate::report::words::address_length;

/// The columns that a text takes on a terminal.
pub fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Wide East Asian characters and pictures take two columns, combining marks none.
fn columns_of(character: char) -> usize {
    match u32::from(character) {
        0x300..=0x36f | 0x200b..=0x200d | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// The lines of a text at this width. Words that are too long are broken; addresses are not, so a
/// line with one may be wider.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in words(paragraph).into_iter().flat_map(|word| pieces(word, width)) {
            if !line.is_empty() && columns(&line) + 1 + columns(&word) > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        lines.push(line);
    }
    lines
}

/// A text behind a head, at most so wide: its other lines stand below its first.
pub fn hanging(head: &str, text: &str, width: usize) -> String {
    let indent = columns(head);
    let lines = wrapped(text, width.saturating_sub(indent).max(1));
    let mut lines = lines.iter();
    let mut hanging = format!("{head}{}\n", lines.next().map_or("", |line| line));
    for line in lines {
        hanging.push_str(&format!("{:indent$}{line}\n", ""));
    }
    hanging
}

/// The words of a line; an address is one word, whatever blanks its path has.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let address = address_length(rest);
        let end = rest[address..].find(char::is_whitespace).map_or(rest.len(), |end| address + end);
        words.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    words
}

/// A word in pieces that fit, or whole if it is an address.
fn pieces(word: &str, width: usize) -> Vec<String> {
    if columns(word) <= width || address_length(word) > 0 {
        return vec![word.to_owned()];
    }
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for character in word.chars() {
        let wide = columns_of(character);
        if used + wide > width {
            pieces.push(String::new());
            used = 0;
        }
        used += wide;
        pieces.last_mut().expect("it begins with one").push(character);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, width: usize, expect: &[&str]) {
        assert_eq!(wrapped(text, width), expect);
    }

    #[test]
    fn lines_break_between_words_and_long_words_break_within() {
        check("one two three", 7, &["one two", "three"]);
        check("abcdefghij kl", 4, &["abcd", "efgh", "ij", "kl"]);
        check("one\n\ntwo", 9, &["one", "", "two"]);
        check("", 9, &[]);
    }

    #[test]
    fn an_address_stays_whole_with_its_blanks_and_its_signs() {
        check(
            "see (open(my notes.json, truncate)#2), then go",
            12,
            &["see", "(open(my notes.json, truncate)#2),", "then go"],
        );
        check("call (not one) here", 9, &["call (not", "one) here"]);
    }

    #[test]
    fn wide_characters_count_twice() {
        check("日本語 日本語", 7, &["日本語", "日本語"]);
    }

    #[test]
    fn further_lines_hang_below_the_first() {
        let text = hanging("  last     ", "one two three four", 22);
        assert_eq!(text, "  last     one two\n           three four\n");
        assert_eq!(hanging("  last     ", "", 22), "  last     \n");
    }
}
