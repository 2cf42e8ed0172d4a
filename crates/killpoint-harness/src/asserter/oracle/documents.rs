//! Document formats: which one a file is written in, and whether its contents are whole.
//!
//! A reader here answers one question: is this a whole document, and which value does it hold? The
//! value comes back as a digest, so that two spellings of one value are equal and nothing else has
//! to be kept. Readers never panic, whatever the bytes.

mod binary_plist;
mod ini;
mod numbers;
mod structured;
mod xml;

pub(super) use numbers::Numbers;

use super::state::Digest;
use std::path::Path;

/// Larger files are compared by their bytes only.
pub const DOCUMENT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A document format that the oracle reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// JSON, one value.
    Json,
    /// JSON Lines: one JSON value a line.
    JsonLines,
    /// TOML.
    Toml,
    /// YAML, one or more documents.
    Yaml,
    /// XML, and property lists written as XML.
    Xml,
    /// Sections, and `key = value` or `key: value`.
    Ini,
    /// A binary property list.
    BinaryPlist,
}

/// Why contents are not a whole document, in a few words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

impl Format {
    const EXTENSIONS: [(&'static str, Format); 27] = [
        ("json", Format::Json),
        ("geojson", Format::Json),
        ("har", Format::Json),
        ("ipynb", Format::Json),
        ("webmanifest", Format::Json),
        ("jsonl", Format::JsonLines),
        ("ndjson", Format::JsonLines),
        ("toml", Format::Toml),
        ("yaml", Format::Yaml),
        ("yml", Format::Yaml),
        ("xml", Format::Xml),
        ("gpx", Format::Xml),
        ("kml", Format::Xml),
        ("opml", Format::Xml),
        ("svg", Format::Xml),
        ("ui", Format::Xml),
        ("xbel", Format::Xml),
        ("xhtml", Format::Xml),
        ("xmp", Format::Xml),
        ("ini", Format::Ini),
        ("cfg", Format::Ini),
        ("conf", Format::Ini),
        ("desktop", Format::Ini),
        ("env", Format::Ini),
        ("properties", Format::Ini),
        ("service", Format::Ini),
        ("theme", Format::Ini),
    ];

    /// The format that a file's name and contents suggest. Contents decide where they are
    /// unmistakable (a binary property list, an XML declaration); the name decides otherwise; a
    /// name that says nothing leaves JSON, which is read to be sure.
    ///
    /// A suggestion only: the file is taken for a document once its recorded versions are whole.
    pub fn recognise(path: &Path, contents: &[u8]) -> Option<Format> {
        if contents.starts_with(binary_plist::MAGIC) {
            return Some(Format::BinaryPlist);
        }
        if without_mark(contents).starts_with(b"<?xml") {
            return Some(Format::Xml);
        }
        if let Some(format) = Format::of_name(path) {
            return Some(format);
        }
        let first = contents.iter().find(|byte| !byte.is_ascii_whitespace());
        let may_be_json = matches!(first, Some(b'{' | b'['))
            && contents.len() as u64 <= DOCUMENT_BYTES_MAX
            && Format::Json.read(contents).is_ok();
        may_be_json.then_some(Format::Json)
    }

    /// The format that a file's name suggests.
    pub(super) fn of_name(path: &Path) -> Option<Format> {
        let extension = path.extension()?.to_ascii_lowercase();
        let row = Format::EXTENSIONS.iter().find(|row| extension.to_str() == Some(row.0));
        row.map(|(_, format)| *format)
    }

    /// Whether [`Format::recognise`] may find a document of one value here, by the first bytes alone.
    pub fn may_be(path: &Path, head: &[u8]) -> bool {
        if matches!(Format::recognise(path, head), Some(format) if format != Format::JsonLines) {
            return true;
        }
        let is_named = path.extension().is_some_and(|it| !it.is_empty());
        let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
        !is_named && matches!(first, Some(b'{' | b'['))
    }

    /// The name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "JSON",
            Format::JsonLines => "JSON Lines",
            Format::Toml => "TOML",
            Format::Yaml => "YAML",
            Format::Xml => "XML",
            Format::Ini => "INI",
            Format::BinaryPlist => "a binary property list",
        }
    }

    /// Whether a document that was cut off cannot be read. Where it can (YAML), only the recorded
    /// versions tell a part from the whole.
    pub fn shows_its_end(self) -> bool {
        matches!(self, Format::Json | Format::Xml | Format::BinaryPlist)
    }

    /// Reads a whole document and digests its value.
    ///
    /// # Errors
    /// Where and why it is not a whole document.
    pub fn read(self, contents: &[u8]) -> Result<Digest, Unreadable> {
        let contents = without_mark(contents);
        match self {
            Format::Json => structured::json(contents),
            Format::JsonLines => structured::json_lines(contents),
            Format::Toml => structured::toml(contents),
            Format::Yaml => structured::yaml(contents),
            Format::Xml => xml::read(contents),
            Format::Ini => ini::read(contents),
            Format::BinaryPlist => binary_plist::read(contents),
        }
    }
}

/// Whether these are several JSON values, one after the other, and each of them whole: records of a log, and no
/// document.
pub(super) fn is_row_of_values(contents: &[u8]) -> bool {
    let first = contents.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'{' | b'['))
        && contents.len() as u64 <= DOCUMENT_BYTES_MAX
        && structured::json_values(without_mark(contents)).is_some_and(|count| count > 1)
}

/// The numbers at the head of a file of an unknown format.
pub(super) fn numbers_of_unknown(contents: &[u8]) -> Numbers {
    numbers::read_unknown(contents)
}

/// The numbers and times of a whole document, by where they stand in it.
pub(super) fn numbers(format: Format, contents: &[u8]) -> Numbers {
    numbers::read(format, without_mark(contents))
}

/// The contents without a UTF-8 byte order mark.
fn without_mark(contents: &[u8]) -> &[u8] {
    contents.strip_prefix(b"\xef\xbb\xbf").unwrap_or(contents)
}

/// Contents as text.
fn text(contents: &[u8]) -> Result<&str, Unreadable> {
    let text = std::str::from_utf8(contents)
        .map_err(|error| Unreadable(format!("no UTF-8 at byte {}", error.valid_up_to())))?;
    match text.find('\0') {
        Some(index) => Err(Unreadable(format!("a zero byte at {index}"))),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FORMATS: [Format; 7] = [
        Format::Json,
        Format::JsonLines,
        Format::Toml,
        Format::Yaml,
        Format::Xml,
        Format::Ini,
        Format::BinaryPlist,
    ];

    #[test]
    fn two_spellings_of_one_value_are_equal() {
        for (format, one, other) in [
            (Format::Json, "{\"a\":1,\"b\":[true,null]}", "{ \"b\": [true, null],\n \"a\": 1 }\n"),
            (Format::JsonLines, "{\"a\":1}\n[2]\n", "{\"a\": 1}\n\n[2]"),
            (Format::Toml, "a = 1\n[b]\nc = \"x\"\n", "# note\na=1\n\nb.c = 'x'"),
            (Format::Yaml, "a: 1\nb: [x, y]\n", "# note\na: 1\nb:\n  - x\n  - y"),
            (
                Format::Xml,
                "<a k='1' l='2'><b/></a>",
                "<?xml version='1.0'?>\n<a l=\"2\" k=\"1\">\n <b></b>\n</a>\n",
            ),
            (Format::Ini, "[s]\nkey=value\n", "; note\n[s]\n\nkey = value"),
        ] {
            let digest = format.read(one.as_bytes()).expect(one);
            assert_eq!(digest, format.read(other.as_bytes()).expect(other), "{one} and {other}");
        }
    }

    #[test]
    fn different_values_differ() {
        for (format, one, other) in [
            (Format::Json, "[1, 2]", "[[1], 2]"),
            (Format::Json, "\"1\"", "1"),
            (Format::JsonLines, "1\n2\n", "12\n"),
            (Format::Toml, "a = 1", "a = \"1\""),
            (Format::Yaml, "a: 1", "a: '1'"),
            (Format::Yaml, "- [a]\n- b", "- [a, b]"),
            (Format::Xml, "<a>x</a>", "<a><x/></a>"),
            (Format::Ini, "[s]\na=1", "a=1"),
        ] {
            let digest = format.read(one.as_bytes()).expect(one);
            assert_ne!(digest, format.read(other.as_bytes()).expect(other), "{one} and {other}");
        }
    }

    #[test]
    fn what_is_not_whole_does_not_read() {
        for (format, contents) in [
            (Format::Json, "{\"a\": 1"),
            (Format::Json, "{\"a\":1}}"),
            (Format::Json, ""),
            (Format::JsonLines, "{\"a\":1}\n{\"b\""),
            (Format::Toml, "a = \"x"),
            (Format::Toml, "[a"),
            (Format::Yaml, "a: [1, 2"),
            (Format::Yaml, "a: \"x"),
            (Format::Xml, ""),
            (Format::Xml, "<a><b></b>"),
            (Format::Xml, "<a></b>"),
            (Format::Xml, "<a></a><b></b>"),
            (Format::Xml, "<a></a>tail"),
            (Format::Xml, "<a k=></a>"),
            (Format::Xml, "<a>&nbsp</a>"),
            (Format::Xml, "<?xml version='1.0'?>"),
            (Format::Ini, "[s]\nke"),
            (Format::Ini, "[s\nkey=1"),
            (Format::Ini, "key=1\n\0\0\0"),
            (Format::BinaryPlist, "bplist00"),
        ] {
            assert!(format.read(contents.as_bytes()).is_err(), "{} {contents:?}", format.name());
        }
    }

    #[test]
    fn several_whole_values_are_a_row() {
        for (contents, expect) in [
            ("{\"a\":1}\n{\"b\":2}\n", true),
            ("{\"a\":\n1} [2]", true),
            ("{\"a\":1}\n", false),
            ("{\"a\":1}\n{\"b\":", false),
            ("{\"a\":1}ng\":2}", false),
            ("1\n2\n", false),
            ("", false),
        ] {
            assert_eq!(is_row_of_values(contents.as_bytes()), expect, "{contents:?}");
        }
    }

    #[test]
    fn a_name_or_unmistakable_contents_suggest_a_format() {
        for (path, contents, expect) in [
            ("a.JSON", "", Some(Format::Json)),
            ("a.yml", "x: 1", Some(Format::Yaml)),
            ("Info.plist", "<?xml version='1.0'?><plist/>", Some(Format::Xml)),
            ("Info.plist", "bplist00...", Some(Format::BinaryPlist)),
            ("state", " {\"a\": 1}", Some(Format::Json)),
            ("state", "{not json}", None),
            ("state", "a: 1", None),
            ("notes.txt", "hello", None),
        ] {
            assert_eq!(Format::recognise(Path::new(path), contents.as_bytes()), expect, "{path}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for format in FORMATS {
                let _ = format.read(&bytes);
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in "[\\[\\]{}<>=:,\"'#&;/a-c0-2 \n\t-]{0,200}") {
            for format in FORMATS {
                let _ = format.read(text.as_bytes());
            }
        }
    }
}
