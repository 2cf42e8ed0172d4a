//! Whether what was written may hold a value in another form: packed, encoded or split up. Text that everybody can read
//! holds one only as it is.

/// Longer texts are not looked at: they may hold anything.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Characters of a word that may be what a compressed value of any length was encoded as.
const PACKED_CHARACTERS: usize = 16;

/// A word that ends in no more digits may be one that is counted.
const COUNT_DIGITS_MAX: usize = 4;

/// Something that was written, and may hold a value in another form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veil {
    /// When it was written, as the length of the journal.
    pub at: u64,
    /// It counts for what was meant to be written by then: of text when the file was begun.
    pub since: u64,
    /// What was written if it was text; none if it may hold anything.
    pub text: Option<Text>,
}

impl Veil {
    /// What may hold anything.
    pub(super) fn opaque(at: u64) -> Veil {
        Veil { at, since: at, text: None }
    }

    /// Text in a file that was begun when the journal was `since` long.
    pub(super) fn of_text(at: u64, since: u64, text: &[u8]) -> Veil {
        Veil { at, since, text: Text::of(text) }
    }

    /// Whether it may hold a value in another form.
    pub(super) fn may_hold(&self, value: &str) -> bool {
        self.text.as_ref().is_none_or(|text| text.may_hold(value))
    }
}

/// Text that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// In small letters.
    text: String,
    /// How long the longest of its parts is that may be something encoded.
    longest_encoded: usize,
    /// Whether there is a number in it that may be a time or a date.
    has_long_number: bool,
}

impl Text {
    fn of(bytes: &[u8]) -> Option<Text> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= TEXT_BYTES_MAX)?;
        let is_control = |c: char| c.is_control() && !c.is_whitespace();
        if text.contains(is_control) || has_escapes(text) {
            return None;
        }
        let is_encoding = |c: char| c.is_alphanumeric() || "+/=_-".contains(c);
        let parts = text.split(|c| !is_encoding(c)).filter(|part| !is_readable(part));
        let longest = parts.map(str::len).max().unwrap_or(0);
        let longest_encoded = longest.max(longest_list_of_bytes(text).div_ceil(4) * 5);
        let numbers = text.split(|c: char| !c.is_ascii_digit());
        let has_long_number = numbers.into_iter().any(|digits| digits.len() > COUNT_DIGITS_MAX);
        Some(Text { text: text.to_lowercase(), longest_encoded, has_long_number })
    }

    /// In bytes.
    pub(super) fn length(&self) -> usize {
        self.text.len()
    }

    /// A part of a value that stands here may be the value split up; otherwise it takes an encoded part that is long
    /// enough, by five characters for four bytes. A date may be a number, and a value of single letters anything.
    fn may_hold(&self, value: &str) -> bool {
        let value = value.to_lowercase();
        let is_date = !value.contains(char::is_alphabetic);
        let words = value.split(|c: char| !c.is_alphanumeric());
        let ascii = value.split(|c: char| !c.is_ascii_alphanumeric());
        let mut words = words.chain(ascii).filter(|word| word.len() > 1).peekable();
        self.longest_encoded >= PACKED_CHARACTERS
            || value.len() * 5 <= self.longest_encoded * 4
            || (is_date && self.has_long_number)
            || words.peek().is_none()
            || words.any(|word| self.text.contains(word))
    }
}

/// Whether a text has characters that are written as numbers: `\u00e9`, `&#233;`, `\303\251`, or two in a row as in
/// `%C3%A9` and `=C3=A9`.
fn has_escapes(text: &str) -> bool {
    let is_byte =
        |triple: &[u8]| b"%=".contains(&triple[0]) && triple[1..].iter().all(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let is_two = |six: &[u8]| six[0] == six[3] && is_byte(&six[..3]) && is_byte(&six[3..]);
    let is_octal = |two: &[u8]| two[0] == b'\\' && two[1].is_ascii_digit();
    ["\\u", "\\x", "&#"].iter().any(|it| text.contains(it))
        || bytes.windows(6).any(is_two)
        || bytes.windows(2).any(is_octal)
}

/// Whether a part of a text consists of words and numbers, as nothing encoded does.
fn is_readable(part: &str) -> bool {
    part.split(|c: char| !c.is_alphanumeric()).all(is_word)
}

fn is_word(word: &str) -> bool {
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = word.bytes().all(|byte| byte.is_ascii_digit() || b"TZ".contains(&byte));
    let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = word.len() - letters.len();
    let is_counted = digits <= COUNT_DIGITS_MAX && is_spelt(letters);
    word.len() < 4 || is_number(word) || is_time || is_counted
}

/// Whether letters are all small or all capital ones, or are put together of words that begin with a capital one.
fn is_spelt(letters: &str) -> bool {
    if !letters.chars().all(char::is_alphabetic) {
        return false;
    }
    if !letters.chars().any(char::is_lowercase) || !letters.chars().any(char::is_uppercase) {
        return true;
    }
    let words = letters.split(char::is_uppercase).enumerate();
    letters.len() > 4 && words.into_iter().all(|(index, rest)| index == 0 || !rest.is_empty())
}

/// How many numbers stand one after the other that may be bytes.
fn longest_list_of_bytes(text: &str) -> usize {
    let items = text.split([',', '[', ']']);
    let mut longest = 0;
    let mut length = 0;
    for item in items {
        length = if item.trim().parse::<u8>().is_ok() { length + 1 } else { 0 };
        longest = longest.max(length);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_can_be_read_holds_a_value_only_as_it_is() {
        for (text, value, expect) in [
            ("{\"status\":\"saving\",\"num\":1}", "hello-value", false),
            ("status.json", "hello-value", false),
            ("{\"savedAt\":\"2026-11-27T21:28:50Z\",\"k1\":null}", "hello-value", false),
            ("<note id=\"3\">Some Text</note>", "hello-value", false),
            ("tmpab12cd_x", "hello-value", false),
            ("tmpab12cd_x", "val", true),
            // Encoded, packed, as a list of bytes.
            ("{\"k\":\"aGVsbG8tdmFsdWU=\"}", "hello-value", true),
            ("68656c6c6f2d76616c7565", "hello-value", true),
            ("{\"k\":\"eJzLSM3JydctS8wpTQUAGsoEPg==\"}", &"hello".repeat(40), true),
            ("[104, 101,108,108,111,45,118,97,108,117,101]", "hello-value", true),
            ("{\"k\":\"\\u0068ello\"}", "other", true),
            ("h%C3%A9llo", "h\u{e9}", true),
            ("\u{65e5}", "\u{65e5}\u{672c}\u{8a9e}", false),
            ("%E6%97%A5", "\u{65e5}\u{672c}\u{8a9e}", true),
            ("=E6=97=A5", "\u{65e5}\u{672c}\u{8a9e}", true),
            ("\\346\\227", "\u{65e5}\u{672c}\u{8a9e}", true),
            ("due=1777593600", "2026-05-01", true),
            ("due=soon", "2026-05-01", false),
            ("saving", "joe@example.org", false),
            ("user: joe", "joe@example.org", true),
            ("saving", "a@b.c", true),
            ("50% of k=10", "Buy milk, bread!", false),
            ("Buy%20milk%2C", "Buy milk, bread!", true),
            // In parts, or in capital letters.
            ("{\"first\":\"hello\"}", "hello-value", true),
            ("{\"k\":\"HELLO VALUE\"}", "hello-value", true),
        ] {
            let veil = Veil::of_text(0, 0, text.as_bytes());
            assert_eq!(veil.may_hold(value), expect, "{text}: {value}");
        }
        assert!(Veil::of_text(0, 0, b"\x00\x01").may_hold("val"));
        assert!(Veil::of_text(0, 0, b"x\xff").may_hold("val"));
        assert!(Veil::of_text(0, 0, &[b' '; TEXT_BYTES_MAX + 1]).may_hold("val"));
    }
}
