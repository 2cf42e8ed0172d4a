//! What diagnosis remembers of a recording: what each operation did to which file, no data. What it is
//! asked stands in `questions`.
//!
//! Fed with the operations in order. Everything that a question needs is indexed while feeding: the
//! changes and syncs of each file, who stood under each path and when, and the spans in which a
//! file is halfway between two contents.

mod questions;

use super::paths::{self, PathId};
use super::span::{Change, Changed, FileTrack};
use killpoint_engine::image::Image;
use killpoint_model::address::{Address, escape};
use killpoint_model::operation::{Effect, FileId, FileKind, Name, Operation, OperationKind};
use std::collections::{BTreeSet, HashMap};

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

/// A file that got another name before it had any contents.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlacedEmpty {
    pub(super) placed: u64,
    /// The first write of its contents.
    pub(super) filled: u64,
    /// The last one of the same save.
    pub(super) end: u64,
}

#[derive(Debug, Default)]
struct PathTrack {
    text: String,
    directory: Option<FileId>,
    stays: Vec<Stay>,
    absences: Vec<Absence>,
    /// When whichever file stood there was changed, and synced.
    changes: Vec<u64>,
    syncs: Vec<u64>,
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
    /// Whether what it wrote was on disk when it returned.
    pub(super) durable: bool,
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
    databases: Option<BTreeSet<FileId>>,
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

    /// Tells which files are SQLite databases by what they hold. Without this, their names say so.
    #[must_use]
    pub fn with_databases(mut self, databases: BTreeSet<FileId>) -> Self {
        self.databases = Some(databases);
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
        let file = operation.effects.iter().find_map(Effect::file);
        let changes = operation.effects.iter().any(is_change);
        let durable = operation
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Write { durable: true, .. }));
        Entry { kind, shown, number, role, journal, round, file, changes, durable }
    }

    fn path_id(&mut self, text: &str) -> PathId {
        if let Some(id) = self.path_ids.get(text) {
            return *id;
        }
        let id = PathId(u32::try_from(self.paths.len()).expect("fewer paths than memory holds"));
        self.paths.push(PathTrack { text: text.to_owned(), ..PathTrack::default() });
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
                if let Some(id) = self.path_id_at(*file, position) {
                    self.path_mut(id).syncs.push(position);
                }
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
        if let Some(id) = self.path_id_at(file, position) {
            self.path_mut(id).changes.push(position);
        }
    }

    fn arrive(&mut self, id: PathId, file: FileId, arrival: (u64, Arrival), round: u32) {
        let for_a_time =
            self.path(id).stays.last().is_some_and(|last| self.passed_through(id, last));
        let removed = self.vacate(id, arrival.0).filter(|_| !for_a_time);
        let round_of = |position: u64| self.entry(position).map(|entry| entry.round);
        // Of one save, whatever else is done between: the new file was made before the old one went.
        let born = self.files.get(&file).and_then(|track| track.born);
        let in_round = removed.filter(|gone| {
            let made_for_it = born.is_some_and(|born| round_of(born) == round_of(*gone));
            round_of(*gone) == Some(round)
                || (made_for_it && born < removed && arrival.1 == Arrival::Placed)
        });
        let path = self.path_mut(id);
        if let Some(removed) = in_round {
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
