//! The aftermath of a defect: which files its example leaves different, and whether what is gone from one of
//! them lies whole in another, where only a person finds it.

use super::findings::{self, Defect};
use super::judging::Judged;
use super::plan::initial_image;
use super::problem::ExploreError;
use super::sight::Sight;
use crate::asserter::checker::Checker;
use crate::asserter::oracle::is_called_after;
use killpoint_engine::image::{Content, Image};
use killpoint_engine::states::Walk;
use killpoint_model::FileKind;
use killpoint_model::report::FileChange;
use killpoint_model::verdict::Class;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Most files of a finding whose contents are shown.
const FILES_MAX: usize = 20;

/// A state directory and a path in it.
type Place = (usize, Vec<u8>);

/// What a defect's example leaves.
#[derive(Debug)]
pub struct Aftermath {
    /// The files that are different from what they were, bounded.
    pub files: Vec<FileChange>,
    /// Where what the damaged file held lies whole, if anywhere.
    pub copy: Option<Copy>,
}

/// A file that holds what another one held before the crash.
#[derive(Debug, PartialEq, Eq)]
pub struct Copy {
    /// The damaged file.
    of: String,
    /// Where its contents are.
    path: String,
    /// How many bytes.
    size: u64,
}

impl Copy {
    /// In a sentence behind what else is told of the finding.
    pub fn sentence_after(&self, detail: &str) -> String {
        let Copy { of, path, size } = self;
        let detail = detail.trim_end();
        let stop = if detail.is_empty() || detail.ends_with(['.', '!', '?']) { "" } else { "." };
        let sentence = format!(
            "{path} still holds the {size} bytes that {of} held: a person can copy them back."
        );
        format!("{detail}{stop} {sentence}").trim_start().to_owned()
    }
}

impl Aftermath {
    /// Compares a defect's example with the nearest state before it that held.
    ///
    /// # Errors
    /// If the recording cannot be read.
    pub fn of(sight: Sight<'_>, judged: &[Judged], defect: &Defect) -> Result<Self, ExploreError> {
        let Sight { local, recorded, plan, .. } = sight;
        let name = &defect.example.1;
        let path = local.folder.join(&format!("recordings/{}.rec", recorded.name));
        let initial = initial_image(local)?;
        let mut walk = Walk::start(&path, initial.clone(), plan.models.clone())?;
        let before = match findings::held_before(plan, judged, name.point) {
            Some(state) => {
                walk.step_to(state.name.point)?;
                walk.build(&state.name)
            }
            None => initial.clone(),
        };
        walk.step_to(name.point)?;
        let after = walk.build(name);
        let first = contents(&initial);
        let (before, after) = (contents(&before), contents(&after));
        let shown = |place: &Place| {
            let prefix = &local.roots[place.0].prefix;
            let path = killpoint_model::address::escape(&place.1);
            if prefix.is_empty() { path } else { format!("{prefix}/{path}") }
        };
        // The built-in oracle has looked for a copy itself, and found none.
        let may = local.checker != Checker::BuiltIn && can_lie_elsewhere(defect.class);
        let damaged = defect.diagnosis.file.as_deref().filter(|_| may);
        let mut copy = damaged.and_then(|file| {
            let (place, content) = before.iter().find(|(place, _)| shown(place) == file)?;
            let copy = copy_of(place, content, &first, &after)?;
            Some((place, Copy { of: file.to_owned(), path: shown(copy), size: content.size() }))
        });
        if copy.is_some() {
            // A file that is not there in the end was for the time being: it has moved to where it belongs.
            walk.step_to(plan.operations.len() as u64 + 1)?;
            let end = contents(walk.image());
            copy = copy.filter(|(place, _)| end.contains_key(*place));
        }
        let copy = copy.map(|(_, copy)| copy);
        Ok(Aftermath { files: changes(&before, &after, shown), copy })
    }
}

/// Whether what broke the promise is that something is gone or damaged.
fn can_lie_elsewhere(class: Class) -> bool {
    matches!(class, Class::Lost | Class::Torn | Class::Wrong | Class::Unopenable | Class::Bricked)
}

/// Another file that holds the contents which stood at a place before, where they do not stand there now.
/// Equal bytes alone make no copy: it is called after the file, or did not hold them at the beginning.
fn copy_of<'a>(
    place: &Place,
    content: &Content,
    first: &BTreeMap<Place, Content>,
    after: &'a BTreeMap<Place, Content>,
) -> Option<&'a Place> {
    let is_damaged = after.get(place).is_none_or(|now| !now.equals(content));
    if content.size() == 0 || !is_damaged {
        return None;
    }
    let is_copy = |other: &Place| {
        let is_made = first.get(other).is_none_or(|at_first| !at_first.equals(content));
        is_made || is_called_after(path_of(other), path_of(place))
    };
    after
        .iter()
        .find(|(other, now)| *other != place && now.equals(content) && is_copy(other))
        .map(|(other, _)| other)
}

fn path_of(place: &Place) -> &Path {
    Path::new(OsStr::from_bytes(&place.1))
}

fn changes(
    before: &BTreeMap<Place, Content>,
    after: &BTreeMap<Place, Content>,
    shown: impl Fn(&Place) -> String,
) -> Vec<FileChange> {
    let places: BTreeSet<&Place> = before.keys().chain(after.keys()).collect();
    let differs = |place: &&Place| match (before.get(*place), after.get(*place)) {
        (Some(old), Some(new)) => !old.equals(new),
        _ => true,
    };
    let change = |place: &Place| {
        let (old, new) = (before.get(place), after.get(place));
        FileChange {
            path: shown(place),
            size_before: old.map(Content::size),
            size_after: new.map(Content::size),
            difference: crate::difference::lines(old, new),
        }
    };
    places.into_iter().filter(differs).take(FILES_MAX).map(change).collect()
}

fn contents(image: &Image) -> BTreeMap<Place, Content> {
    let mut contents = BTreeMap::new();
    image.walk(|(root, path), _, inode| {
        if matches!(inode.kind, FileKind::Regular) {
            contents.insert((root, path.to_vec()), inode.content.clone());
        }
    });
    contents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> BTreeMap<Place, Content> {
        let place = |name: &str| (0, name.as_bytes().to_vec());
        files.iter().map(|(name, text)| (place(name), Content::of_bytes(text.as_bytes()))).collect()
    }

    #[test]
    fn a_copy_was_made_in_the_run_or_is_called_after_the_file() {
        let first = files(&[("1.json", "old"), ("10.json", "old"), ("zz.json", "old")]);
        let place = (0, b"1.json".to_vec());
        let copy = |after: &[(&str, &str)]| {
            let after = files(after);
            let copy = copy_of(&place, &Content::of_bytes(b"old"), &first, &after);
            copy.map(|(_, path)| String::from_utf8_lossy(path).into_owned())
        };
        assert_eq!(copy(&[("1.json", ""), ("10.json", "old"), ("zz.json", "old")]), None);
        assert_eq!(copy(&[("1.json", ""), ("x", "old")]).as_deref(), Some("x"));
        assert_eq!(copy(&[("1.json", "old"), ("x", "old")]), None);
        let first = files(&[("1.json", "old"), ("1.json.bak", "old")]);
        let after = files(&[("1.json", ""), ("1.json.bak", "old")]);
        let copy = copy_of(&place, &Content::of_bytes(b"old"), &first, &after);
        assert_eq!(copy.map(|(_, path)| path.as_slice()), Some(&b"1.json.bak"[..]));
    }

    #[test]
    fn what_is_told_of_a_copy_is_a_sentence_of_its_own() {
        let copy = Copy { of: "k".to_owned(), path: "k.tmp".to_owned(), size: 3 };
        let sentence = "k.tmp still holds the 3 bytes that k held: a person can copy them back.";
        for (detail, expected) in [
            ("key k, there before, is gone", "key k, there before, is gone. "),
            ("Key k is gone.", "Key k is gone. "),
            ("", ""),
        ] {
            assert_eq!(copy.sentence_after(detail), format!("{expected}{sentence}"));
        }
    }
}
