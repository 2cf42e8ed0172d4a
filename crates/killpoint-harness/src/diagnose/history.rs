//! What diagnosis remembers of a recording: what each operation did to which file, no data.
//!
//! Fed with the operations in order. Everything that a question needs is indexed while feeding: the
//! changes and syncs of each file, who stood under each path and when, and the spans in which a
//! file is halfway between two contents.

use super::paths::{self, Role};
use super::span::{Change, Changed, FileTrack, Span};
use killpoint_engine::image::Image;
use killpoint_model::address::{Address, escape, role_suffix, shape};
use killpoint_model::operation::{Effect, FileId, FileKind, Name, Operation, OperationKind};
use std::collections::HashMap;

/// A path's number in [`History`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PathId(u32);

/// How a file came to stand under a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was there before the first operation.
    Initial,
    /// Made there, empty.
    Created,
    /// Moved there, linked there or brought in from outside, with its contents.
    Placed,
}

/// How a file ceased to stand under a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// Its name was removed.
    Unlinked,
    /// It was moved to another path, or out of the state.
    Renamed,
    /// Another file took its place in one step.
    Replaced,
}

/// One stay of a file under a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stay {
    pub(super) file: FileId,
    pub(super) arrival: (u64, Arrival),
    pub(super) departure: Option<(u64, Departure)>,
}

impl Stay {
    /// Whether the file stands there when the operations before `point` are done.
    pub(super) fn covers(&self, point: u64) -> bool {
        self.arrival.0 < point && self.departure.is_none_or(|(gone, _)| gone >= point)
    }
}

/// Which of the two names of a rename is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    From,
    To,
}

/// The time in which nothing stood under a path, between an old file and its successor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Absence {
    pub(super) removed: u64,
    pub(super) placed: u64,
    pub(super) successor: FileId,
}

#[derive(Debug)]
struct PathTrack {
    text: String,
    directory: Option<FileId>,
    stays: Vec<Stay>,
    absences: Vec<Absence>,
}

/// One operation, condensed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Option<OperationKind>,
    shown: Vec<PathId>,
    number: u64,
    role: Option<Box<str>>,
    pub(super) journal: u64,
    /// Rises whenever the ack journal has grown; the operations of one save share it.
    pub(super) round: u32,
    /// The file that it was about, if it had an effect.
    pub(super) file: Option<FileId>,
    /// Whether it changed contents or names.
    pub(super) changes: bool,
}

/// A condensed view of a recording, built by feeding every operation in order:
/// `History::default()`, then [`History::push`].
#[derive(Debug, Default)]
pub struct History {
    entries: Vec<Entry>,
    paths: Vec<PathTrack>,
    path_ids: HashMap<String, PathId>,
    files: HashMap<FileId, FileTrack>,
    directories: HashMap<FileId, String>,
    sizes: HashMap<FileId, u64>,
    root: Option<String>,
    acknowledged: Option<Vec<u64>>,
    syncs_of_all: Vec<u64>,
    barriers: Vec<u64>,
    passing: Vec<(u64, PathId, usize)>,
    round_starts: Vec<u64>,
}

impl History {
    /// Tells how large the files were before the first operation, so that a write over old bytes
    /// can be told from one at the end of a file.
    #[must_use]
    pub fn with_initial(mut self, image: &Image) -> Self {
        let regular = image.inodes().filter(|(_, inode)| matches!(inode.kind, FileKind::Regular));
        self.sizes = regular.map(|(file, inode)| (file, inode.content.size())).collect();
        self
    }

    /// Tells what a person calls the state directory, where there is only one: its fsync can then
    /// be asked for by name.
    #[must_use]
    pub fn with_directory(mut self, name: &str) -> Self {
        let name = name.trim_end_matches('/');
        self.root = (!name.is_empty()).then(|| name.to_owned());
        self
    }

    /// Tells at which lengths of the ack journal a line of acknowledgement ends, in rising order.
    /// Without this, no sentence says that something was acknowledged, only that the journal grew.
    #[must_use]
    pub fn with_acknowledgements(mut self, ends: Vec<u64>) -> Self {
        self.acknowledged = Some(ends);
        self
    }

    /// How many operations were fed.
    pub fn operations(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Takes in the next operation. Its position is counted here, from 1.
    pub fn push(&mut self, operation: &Operation) {
        let position = self.operations() + 1;
        let entry = self.entry_of(operation);
        let round = entry.round;
        if self.entries.last().is_none_or(|last| last.round < round) {
            self.round_starts.push(position);
        }
        self.entries.push(entry);
        for effect in &operation.effects {
            self.apply(operation, effect, position, round);
        }
    }

    fn entry_of(&mut self, operation: &Operation) -> Entry {
        let (kind, number, role, fallback) = match &operation.address {
            Address::Call { kind, paths, ordinal, role } => {
                (Some(*kind), *ordinal, role.as_deref().map(Box::from), paths.as_slice())
            }
            Address::End => (None, 0, None, &[][..]),
        };
        let texts = if operation.shown.is_empty() { fallback } else { &operation.shown };
        let shown = texts.iter().map(|text| self.path_id(text)).collect();
        let journal = operation.journal_length;
        let round = match self.entries.last() {
            Some(last) => last.round + u32::from(journal > last.journal),
            None => 0,
        };
        let file = operation.effects.iter().find_map(file_of);
        let changes = operation.effects.iter().any(is_change);
        Entry { kind, shown, number, role, journal, round, file, changes }
    }

    fn path_id(&mut self, text: &str) -> PathId {
        if let Some(id) = self.path_ids.get(text) {
            return *id;
        }
        let id = PathId(u32::try_from(self.paths.len()).expect("fewer paths than memory holds"));
        let (stays, absences) = (Vec::new(), Vec::new());
        self.paths.push(PathTrack { text: text.to_owned(), directory: None, stays, absences });
        self.path_ids.insert(text.to_owned(), id);
        id
    }

    fn path(&self, id: PathId) -> &PathTrack {
        &self.paths[id.0 as usize]
    }

    fn path_mut(&mut self, id: PathId) -> &mut PathTrack {
        &mut self.paths[id.0 as usize]
    }

    /// The path of a name, as the operation shows it or by the path of its directory.
    fn path_of_name(&mut self, operation: &Operation, name: &Name, side: Side) -> PathId {
        let last = escape(&name.bytes);
        let known = self.directories.get(&name.directory);
        let joined = known.map(|directory| paths::join(directory, &last));
        let mut shown = operation.shown.iter().filter(|shown| paths::file_name(shown) == last);
        let shown = match (shown.next(), shown.next(), side) {
            (Some(first), Some(_), Side::From) => Some(first),
            (_, Some(second), Side::To) => Some(second),
            (only, _, _) => only,
        };
        let text = match (shown, joined) {
            // What comes in as a whole directory is shown by the directory alone.
            (_, Some(joined)) if operation.effects.len() > 1 => joined,
            (Some(shown), _) => {
                self.directories.insert(name.directory, paths::parent(shown).to_owned());
                shown.clone()
            }
            (None, joined) => joined.unwrap_or(last),
        };
        let id = self.path_id(&text);
        self.path_mut(id).directory = Some(name.directory);
        id
    }

    /// The track of a file, which is named after the operation if nothing else has named it.
    fn track(&mut self, operation: &Operation, file: FileId) -> &mut FileTrack {
        if !self.files.contains_key(&file) {
            let mut track = FileTrack::new(self.sizes.get(&file).copied());
            if let (Some(shown), 1) = (operation.shown.first(), operation.effects.len()) {
                let id = self.path_id(shown);
                track.paths.push((0, id));
                let free = self.path(id).stays.is_empty();
                if free {
                    let arrival = (0, Arrival::Initial);
                    self.path_mut(id).stays.push(Stay { file, arrival, departure: None });
                }
            }
            self.files.insert(file, track);
        }
        self.files.get_mut(&file).expect("inserted above")
    }

    fn apply(&mut self, operation: &Operation, effect: &Effect, position: u64, round: u32) {
        match effect {
            Effect::Create { file, name, kind, .. } => {
                self.created(operation, (*file, name.as_ref(), kind), position, round);
            }
            Effect::Link { file, name } => {
                let id = self.path_of_name(operation, name, Side::To);
                self.arrive(id, *file, (position, Arrival::Placed), round);
            }
            Effect::Unlink { file, name } => {
                let id = self.path_of_name(operation, name, Side::From);
                self.depart(id, *file, (position, Departure::Unlinked));
            }
            Effect::Rename { file, from, to, .. } => {
                if let Some(from) = from {
                    let id = self.path_of_name(operation, from, Side::From);
                    self.depart(id, *file, (position, Departure::Renamed));
                }
                if let Some(to) = to {
                    let id = self.path_of_name(operation, to, Side::To);
                    if let Some(directory) = self.directories.get_mut(file) {
                        directory.clone_from(&self.paths[id.0 as usize].text);
                    }
                    self.arrive(id, *file, (position, Arrival::Placed), round);
                }
            }
            Effect::Exchange { first, second } => {
                for ((name, _), (_, file), side) in
                    [(first, second, Side::From), (second, first, Side::To)]
                {
                    let id = self.path_of_name(operation, name, side);
                    self.arrive(id, *file, (position, Arrival::Placed), round);
                }
            }
            _ => self.apply_to_contents(operation, effect, position, round),
        }
    }

    fn created(
        &mut self,
        operation: &Operation,
        (file, name, kind): (FileId, Option<&Name>, &FileKind),
        position: u64,
        round: u32,
    ) {
        // What another call than open makes has its contents when it appears.
        let kind_of_call = self.entries.last().and_then(|entry| entry.kind);
        let opened =
            matches!(kind_of_call, Some(OperationKind::OpenCreate | OperationKind::OpenTemporary));
        let mut track = FileTrack::new(Some(0));
        track.born = Some(position);
        if opened && *kind == FileKind::Regular && name.is_some() {
            track.begin_creation(position, round);
        }
        self.files.insert(file, track);
        let Some(name) = name else { return };
        let id = self.path_of_name(operation, name, Side::To);
        if matches!(kind, FileKind::Directory) {
            let text = self.path(id).text.clone();
            self.directories.insert(file, text);
        }
        let arrival = if opened { Arrival::Created } else { Arrival::Placed };
        self.arrive(id, file, (position, arrival), round);
    }

    fn apply_to_contents(
        &mut self,
        operation: &Operation,
        effect: &Effect,
        position: u64,
        round: u32,
    ) {
        let at = |file: FileId, what| (file, Change { position, round, what });
        let (file, change) = match effect {
            Effect::Write { file, offset, length, durable } => {
                let (offset, length, durable) = (*offset, *length, *durable);
                if durable {
                    self.barriers.push(position);
                }
                at(*file, Changed::Written { offset, length, durable })
            }
            Effect::Resize { file, size } => at(*file, Changed::Resized { size: *size }),
            Effect::Zero { file, .. } => at(*file, Changed::Otherwise { size: None }),
            Effect::Replace { file, length } => {
                at(*file, Changed::Otherwise { size: Some(*length) })
            }
            Effect::Synced { file, .. } => {
                self.barriers.push(position);
                self.track(operation, *file).synced(position);
                return;
            }
            Effect::SyncedAll => {
                self.barriers.push(position);
                self.syncs_of_all.push(position);
                return;
            }
            Effect::Attributes { file, .. } | Effect::Xattr { file, .. } => {
                self.track(operation, *file);
                return;
            }
            _ => return,
        };
        self.track(operation, file).change(change);
    }

    fn arrive(&mut self, id: PathId, file: FileId, arrival: (u64, Arrival), round: u32) {
        let removed = self.vacate(id, arrival.0);
        let in_round = removed.filter(|gone| self.entry(*gone).is_some_and(|e| e.round == round));
        let role = Role::of(&self.path(id).text);
        let path = self.path_mut(id);
        if let (Some(removed), Role::Data) = (in_round, role) {
            let absence = Absence { removed, placed: arrival.0, successor: file };
            path.absences.push(absence);
        }
        path.stays.push(Stay { file, arrival, departure: None });
        let stay = path.stays.len() - 1;
        if arrival.1 == Arrival::Created {
            self.passing.push((arrival.0, id, stay));
        }
        let size = self.sizes.get(&file).copied();
        let track = self.files.entry(file).or_insert_with(|| FileTrack::new(size));
        track.paths.push((arrival.0, id));
        if arrival.1 == Arrival::Placed {
            track.settle();
        }
    }

    /// Ends the stay of whoever stands under a path; says when the path had become free.
    fn vacate(&mut self, id: PathId, position: u64) -> Option<u64> {
        let path = self.path_mut(id);
        let last = path.stays.last_mut()?;
        match last.departure {
            None => {
                last.departure = Some((position, Departure::Replaced));
                None
            }
            Some((gone, Departure::Replaced)) if gone == position => None,
            Some((gone, _)) => Some(gone).filter(|gone| *gone < position),
        }
    }

    fn depart(&mut self, id: PathId, file: FileId, departure: (u64, Departure)) {
        let path = self.path_mut(id);
        match path.stays.last_mut() {
            Some(stay) if stay.departure.is_none() => stay.departure = Some(departure),
            _ => {
                let arrival = (0, Arrival::Initial);
                path.stays.push(Stay { file, arrival, departure: Some(departure) });
            }
        }
        let size = self.sizes.get(&file).copied();
        let track = self.files.entry(file).or_insert_with(|| FileTrack::new(size));
        if track.paths.is_empty() {
            track.paths.push((0, id));
        }
    }
}

/// Questions, none of which looks at more than a few entries.
impl History {
    /// The operation at this position.
    pub(super) fn entry(&self, position: u64) -> Option<&Entry> {
        let index = usize::try_from(position.checked_sub(1)?).ok()?;
        self.entries.get(index)
    }

    /// The address of an operation with the real names of its files; past the last one, the end.
    pub(super) fn text(&self, position: u64) -> String {
        let Some(entry) = self.entry(position) else { return "the end of the run".to_owned() };
        let Some(kind) = entry.kind else { return "end".to_owned() };
        let shown: Vec<String> = entry.shown.iter().map(|id| self.path(*id).text.clone()).collect();
        format!("{}#{}{}", shape(kind, &shown), entry.number, role_suffix(entry.role.as_deref()))
    }

    /// The first operation of the round of an operation.
    pub(super) fn round_start(&self, position: u64) -> Option<u64> {
        self.round_starts.get(self.entry(position)?.round as usize).copied()
    }

    /// Length of the ack journal at a point; after the last operation, what it was at the last.
    pub(super) fn journal(&self, point: u64) -> u64 {
        self.entry(point).or(self.entries.last()).map_or(0, |entry| entry.journal)
    }

    /// How many acknowledgements the journal got between two of its lengths; none if not told.
    pub(super) fn acknowledged_between(&self, from: u64, to: u64) -> Option<usize> {
        let ends = self.acknowledged.as_ref()?;
        let before = |length| ends.partition_point(|end| *end <= length);
        Some(before(to).saturating_sub(before(from)))
    }

    /// The track of a file.
    pub(super) fn file(&self, file: FileId) -> Option<&FileTrack> {
        self.files.get(&file)
    }

    /// The path of a file at a point.
    pub(super) fn path_at(&self, file: FileId, point: u64) -> Option<&str> {
        Some(&self.path(self.path_id_at(file, point)?).text)
    }

    pub(super) fn path_id_at(&self, file: FileId, point: u64) -> Option<PathId> {
        let paths = &self.files.get(&file)?.paths;
        let after = paths.partition_point(|(position, _)| *position < point);
        paths.get(after.saturating_sub(1)).map(|(_, id)| *id)
    }

    /// Where a file was put last before a point, after a position: by rename, link or capture.
    pub(super) fn placed_between(&self, file: FileId, after: u64, point: u64) -> Option<u64> {
        let paths = &self.files.get(&file)?.paths;
        let index = paths.partition_point(|(position, _)| *position < point);
        let (position, _) = paths.get(index.checked_sub(1)?)?;
        (*position > after).then_some(*position)
    }

    /// The text of a path.
    pub(super) fn path_text(&self, id: PathId) -> &str {
        &self.path(id).text
    }

    /// Whether this path was ever seen.
    pub(super) fn knows(&self, path: &str) -> bool {
        self.path_ids.contains_key(path)
    }

    /// The file that a path stands for at a point, or the next one to stand there.
    pub(super) fn file_under(&self, path: &str, point: u64) -> Option<FileId> {
        let stays = &self.path(*self.path_ids.get(path)?).stays;
        let after = stays.partition_point(|stay| stay.arrival.0 < point);
        stays.get(after.saturating_sub(1)).map(|stay| stay.file)
    }

    /// The stay of a file under a path at a point.
    pub(super) fn stay_at(&self, id: PathId, point: u64) -> Option<&Stay> {
        let stays = &self.path(id).stays;
        let after = stays.partition_point(|stay| stay.arrival.0 < point);
        stays.get(after.checked_sub(1)?).filter(|stay| stay.covers(point))
    }

    /// The absence of a path that a point lies in; also while the successor is being filled.
    pub(super) fn absence(&self, id: PathId, point: u64) -> Option<Absence> {
        let absences = &self.path(id).absences;
        let after = absences.partition_point(|absence| absence.removed < point);
        let absence = absences.get(after.checked_sub(1)?)?;
        let filled = self.file(absence.successor).and_then(|track| track.span_at(point));
        let until = match filled {
            Some(Span { start, end, .. }) if *start == absence.placed => *end,
            _ => absence.placed,
        };
        (point <= until).then_some(*absence)
    }

    /// When a file was last synced before a point.
    pub(super) fn last_sync(&self, file: FileId, point: u64) -> Option<u64> {
        let own = self.files.get(&file).and_then(|track| last_before(&track.syncs, point));
        own.max(last_before(&self.syncs_of_all, point))
    }

    /// When a file is next synced, from a point on.
    pub(super) fn next_sync(&self, file: FileId, point: u64) -> Option<u64> {
        let own = self.files.get(&file).and_then(|track| first_from(&track.syncs, point));
        let all = first_from(&self.syncs_of_all, point);
        [own, all].into_iter().flatten().min()
    }

    /// The last barrier of any kind before a point.
    pub(super) fn last_barrier(&self, point: u64) -> u64 {
        last_before(&self.barriers, point).unwrap_or(0)
    }

    /// The directory of a path, for its syncs.
    pub(super) fn directory_of(&self, path: &str) -> Option<FileId> {
        self.path(*self.path_ids.get(path)?).directory
    }

    /// What to call the directory of a path in an advice.
    pub(super) fn directory_name(&self, path: &str) -> String {
        match (paths::parent(path), &self.root) {
            ("", Some(root)) => format!("{root}/"),
            ("", None) => "its directory".to_owned(),
            (parent, _) => format!("{parent}/"),
        }
    }

    /// Files made in the run that stand under their first name at a point and lose it later, the
    /// latest first.
    pub(super) fn passing(&self, point: u64) -> impl Iterator<Item = (PathId, Stay)> {
        const LOOKED_AT_MAX: usize = 32;
        let after = self.passing.partition_point(|(position, ..)| *position < point);
        let latest = self.passing[..after].iter().rev().take(LOOKED_AT_MAX);
        latest.filter_map(move |(_, id, index)| {
            let stay = self.path(*id).stays[*index];
            (stay.covers(point) && self.leaves(&stay)).then_some((*id, stay))
        })
    }

    /// Whether a file leaves its path for good: removed, or moved to where it is wanted. One that is
    /// kept as a backup was wanted before.
    fn leaves(&self, stay: &Stay) -> bool {
        let becomes = |gone: u64| self.path_at(stay.file, gone.saturating_add(1)).map(Role::of);
        match stay.departure {
            Some((_, Departure::Unlinked)) => true,
            Some((gone, Departure::Renamed)) => becomes(gone) != Some(Role::Backup),
            Some((_, Departure::Replaced)) | None => false,
        }
    }

    /// Whether a file only ever passes through this path: made there and removed or moved away.
    pub(super) fn is_passing(&self, file: FileId, point: u64) -> bool {
        let stay = self.path_id_at(file, point).and_then(|id| self.stay_at(id, point));
        stay.is_some_and(|stay| stay.arrival.1 == Arrival::Created && self.leaves(stay))
    }
}

fn last_before(positions: &[u64], point: u64) -> Option<u64> {
    let after = positions.partition_point(|position| *position < point);
    positions.get(after.checked_sub(1)?).copied()
}

fn first_from(positions: &[u64], point: u64) -> Option<u64> {
    positions.get(positions.partition_point(|position| *position < point)).copied()
}

fn file_of(effect: &Effect) -> Option<FileId> {
    match effect {
        Effect::Nothing | Effect::SyncedAll => None,
        Effect::Exchange { first, .. } => Some(first.1),
        Effect::Create { file, .. }
        | Effect::Write { file, .. }
        | Effect::Resize { file, .. }
        | Effect::Zero { file, .. }
        | Effect::Replace { file, .. }
        | Effect::Link { file, .. }
        | Effect::Unlink { file, .. }
        | Effect::Rename { file, .. }
        | Effect::Attributes { file, .. }
        | Effect::Times { file, .. }
        | Effect::Xattr { file, .. }
        | Effect::Synced { file, .. } => Some(*file),
    }
}

fn is_change(effect: &Effect) -> bool {
    !matches!(
        effect,
        Effect::Nothing
            | Effect::SyncedAll
            | Effect::Synced { .. }
            | Effect::Attributes { .. }
            | Effect::Times { .. }
            | Effect::Xattr { .. }
    )
}
