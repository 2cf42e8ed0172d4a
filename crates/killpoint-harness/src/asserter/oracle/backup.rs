//! Which names are those of backups of a file.

use std::ffi::OsStr;
use std::path::Path;

/// What may stand beside a file's whole name, or between its stem and what follows.
const SEPARATORS: &[u8] = b".~#-_ ";
/// Words that say of a name that it is that of a copy, or of a version not yet in its place.
const MARKS: [&[u8]; 15] = [
    b"autosave",
    b"backup",
    b"backups",
    b"bak",
    b"copy",
    b"new",
    b"old",
    b"orig",
    b"part",
    b"prev",
    b"previous",
    b"save",
    b"swp",
    b"temp",
    b"tmp",
];

/// Whether a file is called after another one, as its backup or its next version would be. Its name
/// holds the other's, with separators or the ends of the name on both sides, and
///
/// 1. it begins with the whole name, extension and all, or with separators and it: `a.json~`,
///    `#a.json#`, `.a.json.x7f`. A name without an extension must stand between separators alone: `a~`; or
/// 2. elsewhere in it stands a word that says what it is, beside the whole name or its stem:
///    `old-a.json`, `a.bak`, `a-new.json`; or
/// 3. it is the same name in another directory with such a word in its path: `backup/a.json`.
pub fn is_called_after(other: &Path, path: &Path) -> bool {
    let (other_name, name) = (name_of(other), name_of(path));
    if other == path || name.is_empty() {
        return false;
    }
    if other_name == name {
        let directories = other.parent().into_iter().flat_map(Path::iter);
        return directories.map(OsStr::as_encoded_bytes).any(is_marked);
    }
    let extension = path.extension().map(OsStr::as_encoded_bytes);
    let is_bare = |text: &[u8]| text.iter().all(|byte| SEPARATORS.contains(byte));
    if around(other_name, name).any(|(before, after)| {
        let is_whole = is_bare(before) && (extension.is_some() || is_bare(after));
        is_whole || is_marked(before) || is_marked(after)
    }) {
        return true;
    }
    let (Some(extension), Some(stem)) = (extension, path.file_stem()) else { return false };
    let rest = other_name.strip_suffix(extension).filter(|rest| rest.ends_with(b"."));
    around(rest.unwrap_or(other_name), stem.as_encoded_bytes())
        .any(|(before, after)| is_marked(before) || is_marked(after))
}

fn name_of(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_encoded_bytes()
}

/// What stands before and after a name in another one, wherever separators or the ends bound it.
fn around<'a>(text: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let is_bound = |byte: Option<&u8>| byte.is_none_or(|byte| SEPARATORS.contains(byte));
    let last = (text.len() + 1).saturating_sub(name.len());
    (0..last)
        .filter(move |at| text[*at..].starts_with(name))
        .map(move |at| (&text[..at], &text[at + name.len()..]))
        .filter(move |(before, after)| is_bound(before.last()) && is_bound(after.first()))
}

fn is_marked(text: &[u8]) -> bool {
    let mut words = text.split(|byte| !byte.is_ascii_alphabetic());
    words.any(|word| MARKS.iter().any(|mark| word.eq_ignore_ascii_case(mark)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_called_after_its_file() {
        for (path, backups, others) in [
            (
                "a.json",
                "a.json~|a.json.bak|a.json.tmp|a.json-1|#a.json#|.a.json.x7f|a.json_old|old-a.json|\
                 d/a.json.bak|old/a.json|x/backup-3/a.json|a.bak|a.bak.json|a-old.json|a_old2.json|\
                 .a.tmp|new a.json|a copy.json",
                "a.json|b.json|aa.json|d/a.json|bold/a.json|a.json5|a.xml|a.1.json|a-2.json|\
                 2-a.json|my_a.json|ba.json.bak|a|bak.json|older.json|json",
            ),
            ("1.json", "1.json.bak|1-new.json", "10.json|1.1.json|2-1.json|zz.json"),
            ("n.json", "n.json~", "m.json|json.n|n"),
            ("json.json", "json.bak", "m.json|bak.json"),
            ("d/a", "d/a~|a.bak|#a#", "d/b.a|d/ab|d/a.json|a.1|d/b|a"),
            (".rc", ".rc.bak|.rc~", "x.rc|rc|.rcs"),
            ("", "", "a|a.bak"),
        ] {
            for (others, expect) in [(backups, true), (others, false)] {
                for other in others.split('|').filter(|other| !other.is_empty()) {
                    let is = is_called_after(Path::new(other), Path::new(path));
                    assert_eq!(is, expect, "{other} after {path}");
                }
            }
        }
    }
}
