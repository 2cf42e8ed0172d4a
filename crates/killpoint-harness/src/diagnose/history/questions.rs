//! Questions to a history, none of which looks at more than a few entries.

use super::{Absence, Arrival, Departure, Entry, History, PlacedEmpty, Stay};
use crate::diagnose::paths::{self, PathId, Role};
use crate::diagnose::span::{FileTrack, Span};
use killpoint_model::address::{role_suffix, shape};
use killpoint_model::operation::{FileId, OperationKind};

impl History {
    /// The operation at this position.
    pub(in crate::diagnose) fn entry(&self, position: u64) -> Option<&Entry> {
        let index = usize::try_from(position.checked_sub(1)?).ok()?;
        self.entries.get(index)
    }

    /// The operation at this position, if it changes what somebody reads after a crash.
    pub(in crate::diagnose) fn change(&self, position: u64) -> Option<&Entry> {
        let entry = self.entry(position).filter(|entry| entry.changes)?;
        let path = |when: u64| self.path_at(entry.file?, when);
        let rebuilt = path(position.saturating_add(1)).map(Role::of) == Some(Role::Rebuilt);
        (!rebuilt).then_some(entry)
    }

    /// The address of an operation with the real names of its files; past the last one, the end.
    pub(in crate::diagnose) fn text(&self, position: u64) -> String {
        let Some(entry) = self.entry(position) else { return "the end of the run".to_owned() };
        let Some(kind) = entry.kind else { return "end".to_owned() };
        let shown: Vec<String> = entry.shown.iter().map(|id| self.path(*id).text.clone()).collect();
        format!("{}#{}{}", shape(kind, &shown), entry.number, role_suffix(entry.role.as_deref()))
    }

    /// The first operation of the round of an operation.
    pub(in crate::diagnose) fn round_start(&self, position: u64) -> Option<u64> {
        self.round_starts.get(self.entry(position)?.round as usize).copied()
    }

    /// Length of the ack journal at a point; after the last operation, the last that is known.
    pub(in crate::diagnose) fn journal(&self, point: u64) -> u64 {
        let at_end = || {
            let acknowledged = self.acknowledged.as_ref().and_then(|ends| ends.last().copied());
            acknowledged.max(self.entries.last().map(|entry| entry.journal))
        };
        self.entry(point).map(|entry| entry.journal).or_else(at_end).unwrap_or(0)
    }

    /// Whether an entry is what stores into a mapping had changed when the next call was held.
    pub(in crate::diagnose) fn is_mapped(&self, position: u64) -> bool {
        self.entry(position).and_then(|entry| entry.kind) == Some(OperationKind::Mapped)
    }

    /// Length of the ack journal before a change, which stores may have made at any time since the
    /// last call.
    pub(in crate::diagnose) fn journal_before(&self, change: u64) -> u64 {
        let mut position = change;
        while self.is_mapped(position) {
            position -= 1;
        }
        match position {
            0 => 0,
            position => self.journal(position),
        }
    }

    /// How many acknowledgements the journal got between two of its lengths; none if not told.
    pub(in crate::diagnose) fn acknowledged_between(&self, from: u64, to: u64) -> Option<usize> {
        let ends = self.acknowledged.as_ref()?;
        let before = |length| ends.partition_point(|end| *end <= length);
        Some(before(to).saturating_sub(before(from)))
    }

    /// Whether anything is acknowledged in the run, or may be where nobody told.
    pub(in crate::diagnose) fn acknowledges(&self) -> bool {
        self.acknowledged.as_ref().is_none_or(|ends| !ends.is_empty())
    }

    /// The operation at whose entry the last acknowledgement before a point stood: what it promises was
    /// done by the operations before. None if there is none, or if that was not told.
    pub(in crate::diagnose) fn acknowledged_until(&self, point: u64) -> Option<u64> {
        let ends = self.acknowledged.as_ref()?;
        let last = last_before(ends, self.journal(point).saturating_add(1))?;
        let before = self.entries.partition_point(|entry| entry.journal < last) as u64;
        let mut until = before + 1;
        while self.is_mapped(until) {
            until += 1;
        }
        Some(until.min(point))
    }

    /// The track of a file.
    pub(in crate::diagnose) fn file(&self, file: FileId) -> Option<&FileTrack> {
        self.files.get(&file)
    }

    /// The path of a file at a point.
    pub(in crate::diagnose) fn path_at(&self, file: FileId, point: u64) -> Option<&str> {
        Some(&self.path(self.path_id_at(file, point)?).text)
    }

    pub(in crate::diagnose) fn path_id_at(&self, file: FileId, point: u64) -> Option<PathId> {
        let paths = &self.files.get(&file)?.paths;
        let after = paths.partition_point(|(position, _)| *position < point);
        paths.get(after.saturating_sub(1)).map(|(_, id)| *id)
    }

    /// Where a file was put last before a point, after a position: by rename, link or capture.
    pub(in crate::diagnose) fn placed_between(
        &self,
        file: FileId,
        after: u64,
        point: u64,
    ) -> Option<u64> {
        let paths = &self.files.get(&file)?.paths;
        let index = paths.partition_point(|(position, _)| *position < point);
        let (position, _) = paths.get(index.checked_sub(1)?)?;
        (*position > after).then_some(*position)
    }

    /// The text of a path.
    pub(in crate::diagnose) fn path_text(&self, id: PathId) -> &str {
        &self.path(id).text
    }

    /// Whether this path was ever seen.
    pub(in crate::diagnose) fn knows(&self, path: &str) -> bool {
        self.path_ids.contains_key(path)
    }

    /// Whether a file that stood under a path is a SQLite database; none where nobody told.
    pub(in crate::diagnose) fn is_database(&self, path: &str) -> Option<bool> {
        let databases = self.databases.as_ref()?;
        let stays = self.path_ids.get(path).map(|id| self.path(*id).stays.as_slice());
        Some(stays.unwrap_or_default().iter().any(|stay| databases.contains(&stay.file)))
    }

    /// The file that a path stands for at a point, or the next one to stand there.
    pub(in crate::diagnose) fn file_under(&self, path: &str, point: u64) -> Option<FileId> {
        let stays = &self.path(*self.path_ids.get(path)?).stays;
        let after = stays.partition_point(|stay| stay.arrival.0 < point);
        stays.get(after.saturating_sub(1)).map(|stay| stay.file)
    }

    /// The stay of a file under a path at a point.
    pub(in crate::diagnose) fn stay_under(&self, path: &str, point: u64) -> Option<&Stay> {
        self.stay_at(*self.path_ids.get(path)?, point)
    }

    /// The last change before a point of whichever file stood under a path.
    pub(in crate::diagnose) fn last_change_under(&self, path: &str, point: u64) -> Option<u64> {
        last_before(&self.path(*self.path_ids.get(path)?).changes, point)
    }

    /// Whether whichever file stands under a path is synced from a point on, now or ever.
    pub(in crate::diagnose) fn is_synced_under(&self, path: &str, point: u64) -> bool {
        let own = self.path_ids.get(path).map(|id| &self.path(*id).syncs);
        let own = own.and_then(|syncs| first_from(syncs, point));
        own.is_some() || first_from(&self.syncs_of_all, point).is_some()
    }

    /// The stay of a file under a path at a point.
    pub(in crate::diagnose) fn stay_at(&self, id: PathId, point: u64) -> Option<&Stay> {
        let stays = &self.path(id).stays;
        let after = stays.partition_point(|stay| stay.arrival.0 < point);
        stays.get(after.checked_sub(1)?).filter(|stay| stay.covers(point))
    }

    /// The absence of the path of data that a point lies in; also while the successor is being filled.
    pub(in crate::diagnose) fn absence(&self, id: PathId, point: u64) -> Option<Absence> {
        self.any_absence(id, point).filter(|_| Role::of(self.path_text(id)) == Role::Data)
    }

    /// The same of any path.
    pub(in crate::diagnose) fn any_absence(&self, id: PathId, point: u64) -> Option<Absence> {
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

    /// The absence that a placement ends.
    pub(in crate::diagnose) fn absence_before(
        &self,
        file: FileId,
        placed: u64,
    ) -> Option<(PathId, Absence)> {
        let id = self.path_id_at(file, placed.saturating_add(1))?;
        let absence = self.absence(id, placed).filter(|absence| absence.placed == placed)?;
        Some((id, absence))
    }

    /// Whether a file made in the run stands at a point under a later name, which it got while it was
    /// empty, and was filled there in the same save.
    pub(in crate::diagnose) fn placed_empty(
        &self,
        file: FileId,
        point: u64,
    ) -> Option<PlacedEmpty> {
        let track = self.file(file)?;
        let born = track.born?;
        let placed = self.placed_between(file, born, point)?;
        let round = |position| self.entry(position).map(|entry| entry.round);
        let filled = track.next_change(born)?.at;
        if filled < placed || round(filled) != round(placed) {
            return None;
        }
        let end = track.last_in_a_row(filled, |position| round(position) == round(placed));
        Some(PlacedEmpty { placed, filled, end })
    }

    /// When a file was last synced before a point.
    pub(in crate::diagnose) fn last_sync(&self, file: FileId, point: u64) -> Option<u64> {
        let own = self.files.get(&file).and_then(|track| last_before(&track.syncs, point));
        own.max(last_before(&self.syncs_of_all, point))
    }

    /// When a file is next synced, from a point on.
    pub(in crate::diagnose) fn next_sync(&self, file: FileId, point: u64) -> Option<u64> {
        let own = self.files.get(&file).and_then(|track| first_from(&track.syncs, point));
        let all = first_from(&self.syncs_of_all, point);
        [own, all].into_iter().flatten().min()
    }

    /// The last barrier of any kind before a point.
    pub(in crate::diagnose) fn last_barrier(&self, point: u64) -> u64 {
        last_before(&self.barriers, point).unwrap_or(0)
    }

    /// The directory of a path, for its syncs.
    pub(in crate::diagnose) fn directory_of(&self, path: &str) -> Option<FileId> {
        self.path(*self.path_ids.get(path)?).directory
    }

    /// What to call the directory of a path in an advice.
    pub(in crate::diagnose) fn directory_name(&self, path: &str) -> String {
        match (paths::parent(path), &self.root) {
            ("", Some(root)) => format!("{root}/"),
            ("", None) => "its directory".to_owned(),
            (parent, _) => format!("{parent}/"),
        }
    }

    /// Files made in the run that stand under their first name at a point and lose it later, the
    /// latest first.
    pub(in crate::diagnose) fn passing(&self, point: u64) -> impl Iterator<Item = (PathId, Stay)> {
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

    /// Whether a file came to a path and was moved on to another in the same save: the path is a name for
    /// the time being. Under a longer form of its name a file is kept, as `notes.1` is.
    pub(super) fn passed_through(&self, id: PathId, stay: &Stay) -> bool {
        let Some((gone, Departure::Renamed)) = stay.departure else { return false };
        let round = |position| self.entry(position).map(|entry| entry.round);
        let name = self.path_text(id);
        let next = self.path_at(stay.file, gone.saturating_add(1));
        let is_kept = |next: &str| next.starts_with(name) || Role::of(next) == Role::Backup;
        let (came, _) = stay.arrival;
        came > 0 && round(came) == round(gone) && next.is_some_and(|next| !is_kept(next))
    }

    /// Whether a file only ever passes through this path: made there and removed or moved away.
    pub(in crate::diagnose) fn is_passing(&self, file: FileId, point: u64) -> bool {
        let stay = self.path_id_at(file, point).and_then(|id| self.stay_at(id, point));
        stay.is_some_and(|stay| stay.arrival.1 == Arrival::Created && self.leaves(stay))
    }

    /// Whether a file still stands under its path at a point.
    pub(in crate::diagnose) fn stands_at(&self, file: FileId, point: u64) -> bool {
        let stay = self.path_id_at(file, point).and_then(|id| self.stay_at(id, point));
        stay.is_some_and(|stay| stay.file == file)
    }

    /// Whether a file at a point is made under a name for the time being, to get its own by a rename.
    pub(in crate::diagnose) fn is_renamed_later(&self, file: FileId, point: u64) -> bool {
        let stay = self.path_id_at(file, point).and_then(|id| self.stay_at(id, point));
        let departure = stay.and_then(|stay| stay.departure);
        matches!(departure, Some((_, Departure::Renamed))) && self.is_passing(file, point)
    }
}

impl History {
    /// Whether a file at a point is a log that is replayed or rolled back after a crash: by its name, or
    /// because it is made and removed within one save that changes another, older file in between.
    pub(in crate::diagnose) fn is_journal(&self, file: FileId, point: u64) -> bool {
        const LOOKED_AT_MAX: usize = 64;
        let Some(id) = self.path_id_at(file, point) else { return false };
        match Role::of(self.path_text(id)) {
            Role::Journal => return true,
            Role::Data | Role::Backup => {}
            Role::Lock | Role::Temporary | Role::Rebuilt => return false,
        }
        let Some(stay) = self.stay_at(id, point) else { return false };
        let (made, Some((removed, Departure::Unlinked))) = (stay.arrival.0, stay.departure) else {
            return false;
        };
        let round = |position| self.entry(position).map(|entry| entry.round);
        let is_protected = |entry: &Entry, position| {
            let Some(other) = entry.file.filter(|other| entry.changes && *other != file) else {
                return false;
            };
            let born = self.file(other).and_then(|track| track.born);
            let path = self.path_at(other, position);
            born.is_none_or(|born| born < made) && path.map(Role::of) == Some(Role::Data)
        };
        round(made).is_some()
            && round(made) == round(removed)
            && (made + 1..removed)
                .take(LOOKED_AT_MAX)
                .any(|position| self.entry(position).is_some_and(|e| is_protected(e, position)))
    }

    /// Whether a file at a point is the log of the save that is under way: put there for it, and removed at
    /// its end.
    pub(in crate::diagnose) fn is_log_of_save(&self, file: FileId, point: u64) -> bool {
        let id = self.path_id_at(file, point);
        let stay = id.and_then(|id| self.stay_at(id, point));
        let Some((came, (gone, Departure::Unlinked))) =
            stay.and_then(|stay| Some((stay.arrival.0, stay.departure?)))
        else {
            return false;
        };
        let round = |position| self.entry(position).map(|entry| entry.round);
        came > 0 && round(came) == round(gone) && self.is_journal(file, point)
    }

    /// The path under which an operation changes what the next start reads; none where it changes nothing,
    /// or only what a later rename puts in its place.
    pub(in crate::diagnose) fn lasting_change(&self, position: u64) -> Option<&str> {
        use OperationKind::{Mkdir, OpenCreate, OpenTemporary, Rename, Rmdir, Unlink};
        let entry = self.entry(position).filter(|entry| entry.changes)?;
        let file = entry.file?;
        let after = position.saturating_add(1);
        let lasting = |when: u64| {
            let path = self.path_at(file, when)?;
            let lasting = matches!(Role::of(path), Role::Data | Role::Journal);
            (lasting && !self.is_passing(file, when)).then_some(path)
        };
        match entry.kind? {
            OpenCreate | OpenTemporary | Mkdir | Rmdir => None,
            Unlink => lasting(position),
            // The next start misses what is moved away, too.
            Rename => lasting(after).or_else(|| lasting(position)),
            _ => lasting(after),
        }
    }
}

fn last_before(positions: &[u64], point: u64) -> Option<u64> {
    let after = positions.partition_point(|position| *position < point);
    positions.get(after.checked_sub(1)?).copied()
}

fn first_from(positions: &[u64], point: u64) -> Option<u64> {
    positions.get(positions.partition_point(|position| *position < point)).copied()
}
