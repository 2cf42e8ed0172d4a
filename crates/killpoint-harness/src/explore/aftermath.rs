//! The aftermath of a defect: which files its example leaves different, and whether what is gone from one of
//! them lies whole in another, where only a person finds it.

use super::findings::{self, Defect};
use super::judging::Judged;
use super::plan::initial_image;
use super::problem::ExploreError;
use super::sight::Sight;
use killpoint_engine::image::{Content, Image};
use killpoint_engine::states::Walk;
use killpoint_model::FileKind;
use killpoint_model::report::FileChange;
use killpoint_model::verdict::Class;
use std::collections::{BTreeMap, BTreeSet};

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
    /// In a sentence.
    pub fn sentence(&self) -> String {
        let Copy { of, path, size } = self;
        format!("{path} still holds the {size} bytes that {of} held: a person can copy them back.")
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
            None => initial,
        };
        walk.step_to(name.point)?;
        let after = walk.build(name);
        let (before, after) = (contents(&before), contents(&after));
        let shown = |place: &Place| {
            let prefix = &local.roots[place.0].prefix;
            let path = killpoint_model::address::escape(&place.1);
            if prefix.is_empty() { path } else { format!("{prefix}/{path}") }
        };
        let damaged = defect.diagnosis.file.as_deref().filter(|_| can_lie_elsewhere(defect.class));
        let mut copy = damaged.and_then(|file| {
            let (place, content) = before.iter().find(|(place, _)| shown(place) == file)?;
            let copy = copy_of(place, content, &after)?;
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
fn copy_of<'a>(
    place: &Place,
    content: &Content,
    after: &'a BTreeMap<Place, Content>,
) -> Option<&'a Place> {
    let is_damaged = after.get(place).is_none_or(|now| !now.equals(content));
    if content.size() == 0 || !is_damaged {
        return None;
    }
    after.iter().find(|(other, now)| *other != place && now.equals(content)).map(|(other, _)| other)
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
