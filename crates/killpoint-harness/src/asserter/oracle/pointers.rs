//! Pointers: small files, replaced as a whole, whose text names the directory or the file that is in use. Until one
//! names what was made, nobody looks for it.

use super::switches::Switch;
use std::collections::{BTreeMap, BTreeSet};
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
    let number = only_number(text);
    up_to(directory, path).any(|it| {
        let own = it.file_name().unwrap_or_default().to_string_lossy();
        let by_word = words(text).any(|word| it.ends_with(word));
        by_word || (number.is_some() && only_number(&own) == number)
    })
}

/// A path below a directory, and those above it that are below that, too.
fn up_to<'a>(directory: &'a Path, path: &'a Path) -> impl Iterator<Item = &'a Path> {
    path.ancestors().take_while(move |it| *it != directory && !it.as_os_str().is_empty())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    text.split(move |c| !is_name(c)).filter(|word| !word.is_empty())
}

/// Whether this word stands in a text.
pub(super) fn has_word(text: &[u8], word: &str) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| words(text).any(|it| it == word))
}

/// The paths that the texts of a pointer mean by one part of a name, between dots, dashes and underscores; and that
/// part. For another text there is a path that differs in nothing but that: with `a` and `b`, `data.a.json` is meant
/// where there is `data.b.json`.
fn meant_by_a_part<'a>(
    pointer: &Path,
    texts: &BTreeSet<Vec<u8>>,
    paths: impl Iterator<Item = &'a PathBuf>,
) -> BTreeMap<PathBuf, String> {
    let directory = pointer.parent().unwrap_or(Path::new(""));
    let texts = texts.iter().filter_map(|text| std::str::from_utf8(text).ok());
    let texts: Vec<BTreeSet<&str>> = texts.map(|text| words(text).collect()).collect();
    let known: BTreeSet<&str> = texts.iter().flatten().copied().collect();
    // By what is left of a path without that part: the parts, and whole paths.
    let mut alike = BTreeMap::<(&Path, String), BTreeMap<&str, Vec<&PathBuf>>>::new();
    for path in paths.filter(|path| path.starts_with(directory) && *path != pointer) {
        for above in up_to(directory, path) {
            let Some(name) = above.file_name().and_then(|name| name.to_str()) else { continue };
            for (rest, part) in parts(name) {
                if let Some(word) = known.get(part) {
                    let at = (above.parent().unwrap_or(directory), rest);
                    alike.entry(at).or_default().entry(*word).or_default().push(path);
                }
            }
        }
    }
    // A text that has two of the words tells of all of them, not of one.
    let is_one_of_them = |by_word: &BTreeMap<&str, Vec<&PathBuf>>| {
        let has_one =
            |text: &BTreeSet<&str>| by_word.keys().filter(|it| text.contains(*it)).count() < 2;
        by_word.len() > 1 && texts.iter().all(has_one)
    };
    let meant = alike.into_values().filter(is_one_of_them).flatten();
    let meant = meant.flat_map(|(word, paths)| {
        paths.into_iter().map(move |path| (path.clone(), word.to_owned()))
    });
    meant.collect()
}

/// The parts of a name between dots, dashes and underscores, each with the rest of the name.
fn parts(name: &str) -> Vec<(String, &str)> {
    let mut parts = Vec::new();
    let mut start = 0;
    for part in name.split(['.', '-', '_']) {
        let end = start + part.len();
        if part.len() < name.len() {
            parts.push((format!("{}\0{}", &name[..start], &name[end..]), part));
        }
        start = end + 1;
    }
    parts
}

/// The number in a text that has no other one.
fn only_number(text: &str) -> Option<u64> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let number = numbers.next()?.parse().ok()?;
    numbers.next().is_none().then_some(number)
}

/// A file that may be a pointer.
pub(super) struct Candidate<'a> {
    pub(super) path: &'a Path,
    /// All that stood in it.
    pub(super) texts: BTreeSet<Vec<u8>>,
    /// Whether it was replaced as a whole.
    pub(super) is_placed: bool,
}

/// Those of `candidates` that lead from one of `paths` to another, or say by their names that they lead to one.
pub(super) fn pointers<'a>(
    candidates: Vec<Candidate<'a>>,
    paths: impl Iterator<Item = &'a PathBuf> + Clone,
) -> Vec<Switch> {
    let texts: usize = candidates.iter().map(|candidate| candidate.texts.len()).sum();
    if texts.saturating_mul(paths.clone().count()) > COMPARED_MAX {
        return Vec::new();
    }
    let switches = candidates.into_iter().map(|Candidate { path, texts, is_placed }| Switch {
        link: path.to_owned(),
        is_file: true,
        is_certain: is_placed && is_called_pointer(path),
        meant: meant_by_a_part(path, &texts, paths.clone()),
        targets: texts,
    });
    let is_leading = |switch: &Switch| {
        let led: BTreeSet<Vec<&PathBuf>> = switch
            .targets
            .iter()
            .map(|text| paths.clone().filter(|path| switch.leads_by(text, path)).collect())
            .filter(|led: &Vec<_>| !led.is_empty())
            .collect();
        led.len() > usize::from(!switch.is_certain)
    };
    switches.filter(is_leading).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_means_by_a_part_what_there_is_for_another_text_too() {
        let paths = ["data.a.json", "data.b.json", "data.c.json", "a.json", "x-a/1", "x-b/2"];
        let paths: Vec<PathBuf> = paths.map(|path| Path::new("db").join(path)).to_vec();
        for (texts, expect) in [
            (&["a\n", "b\n"][..], "data.a.json=a data.b.json=b x-a/1=a x-b/2=b"),
            (&["{\"use\":\"b\"}", "{\"use\":\"c\"}"], "data.b.json=b data.c.json=c"),
            // One alone, one that stands in all, and one text that has both.
            (&["a"], ""),
            (&["data", "json"], ""),
            (&["a b", "b"], ""),
            (&["d", "e"], ""),
        ] {
            let texts = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
            let meant = meant_by_a_part(Path::new("db/CURRENT"), &texts, paths.iter());
            let meant = meant.iter().map(|(path, word)| {
                format!("{}={word}", path.strip_prefix("db").expect("a path below").display())
            });
            assert_eq!(meant.collect::<Vec<_>>().join(" "), expect, "{texts:?}");
        }
    }

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
