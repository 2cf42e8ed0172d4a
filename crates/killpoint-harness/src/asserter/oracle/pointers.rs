//! Pointers: small files, replaced as a whole, whose text names the directory or the file that is in use. Until one
//! names what was made, nobody looks for it.

use super::switches::Switch;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A pointer is no longer than this.
pub(super) const POINTER_BYTES_MAX: u64 = 256;

/// Where more texts would have to be held against paths than this, none is.
const COMPARED_MAX: usize = 4_000_000;

/// How pointers are called that say themselves that what they name is in use.
const NAMES: [&str; 3] = ["active", "current", "live"];

/// Whether a file says by its name that it leads to what is in use. One with an extension is a document, perhaps about
/// what somebody is at.
pub(super) fn is_called_pointer(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    NAMES.iter().any(|it| name.eq_ignore_ascii_case(it))
}

/// Whether the text of a pointer names a path below its own directory, or a directory above that: by a word, or by the
/// only number that stands in both.
pub(super) fn names(pointer: &Path, text: &[u8], path: &Path) -> bool {
    let directory = pointer.parent().unwrap_or(Path::new(""));
    if path == pointer || path.strip_prefix(directory).is_err() {
        return false;
    }
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let above = path.ancestors().take_while(|it| *it != directory && !it.as_os_str().is_empty());
    let is_name = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    let number = only_number(text);
    above.into_iter().any(|it| {
        let own = it.file_name().unwrap_or_default().to_string_lossy();
        let by_word =
            text.split(|c| !is_name(c)).any(|word| !word.is_empty() && it.ends_with(word));
        by_word || (number.is_some() && only_number(&own) == number)
    })
}

/// The number in a text that has no other one.
fn only_number(text: &str) -> Option<u64> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let number = numbers.next()?.parse().ok()?;
    numbers.next().is_none().then_some(number)
}

/// Those of `candidates`, files with all their texts, that lead from one of `paths` to another, or say by their names
/// that they lead to one.
pub(super) fn pointers<'a>(
    candidates: Vec<(&'a Path, BTreeSet<Vec<u8>>)>,
    paths: impl Iterator<Item = &'a PathBuf> + Clone,
) -> Vec<Switch> {
    let texts: usize = candidates.iter().map(|(_, texts)| texts.len()).sum();
    if texts.saturating_mul(paths.clone().count()) > COMPARED_MAX {
        return Vec::new();
    }
    let leading = candidates.into_iter().filter(|(pointer, texts)| {
        let led: BTreeSet<Vec<&PathBuf>> = texts
            .iter()
            .map(|text| paths.clone().filter(|path| names(pointer, text, path)).collect())
            .filter(|led: &Vec<_>| !led.is_empty())
            .collect();
        led.len() > usize::from(!is_called_pointer(pointer))
    });
    let switch = |(pointer, targets): (&Path, _)| Switch {
        link: pointer.to_owned(),
        targets,
        is_file: true,
    };
    leading.map(switch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_names_by_a_word_or_by_a_number() {
        for (pointer, text, path, expect) in [
            ("CURRENT", "2\n", "g2/c.json", true),
            ("CURRENT", "2\n", "g12/c.json", false),
            ("CURRENT", "2\n", "snap.2", true),
            ("CURRENT", "MANIFEST-000005\n", "MANIFEST-000005", true),
            ("CURRENT", "5", "MANIFEST-000005", true),
            ("CURRENT", "g2", "g2/c.json", true),
            ("CURRENT", "g2", "g1/g2.json", true),
            ("CURRENT", "gen/b", "gen/b/x", true),
            ("CURRENT", "gen/b", "b/x", false),
            ("CURRENT", "{\"use\":\"b\"}", "b/x", true),
            ("CURRENT", "2 of 3", "g2/c.json", false),
            ("db/CURRENT", "2", "db/2.sst", true),
            ("db/CURRENT", "2", "2.sst", false),
            ("CURRENT", "CURRENT", "CURRENT", false),
            ("CURRENT", "", "a", false),
        ] {
            let is = names(Path::new(pointer), text.as_bytes(), Path::new(path));
            assert_eq!(is, expect, "{pointer} with {text:?}: {path}");
        }
    }
}
