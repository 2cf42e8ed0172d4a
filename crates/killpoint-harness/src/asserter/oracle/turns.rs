//! Documents that are written in turn: each save is written over the oldest of them, and carries a number that is
//! greater than that of all others. While one is being written the newest stands whole in another.

use super::documents::Numbers;
use super::state::Digest;
use super::subject::{Entry, Kind, Subject, What};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The numbers of documents, by the digests of their bytes.
pub(super) type NumbersByDigest = HashMap<Digest, Arc<Numbers>>;

/// Documents that a program writes in turn.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) paths: BTreeSet<PathBuf>,
    /// Where in them the number stands by which the newest is known.
    pub(super) key: String,
    /// That number, by the digests of versions.
    numbers: HashMap<Digest, f64>,
}

impl Turn {
    /// The number of a version; none if it is no whole document.
    pub(super) fn number(&self, digest: &Digest) -> Option<f64> {
        self.numbers.get(digest).copied()
    }

    /// The same turn, with the versions of another run.
    pub(super) fn with(&self, others: &NumbersByDigest) -> Turn {
        let mut turn = self.clone();
        turn.numbers.extend(numbers_at(&turn.key, others));
        turn
    }
}

fn numbers_at<'a>(
    key: &'a str,
    numbers: &'a NumbersByDigest,
) -> impl Iterator<Item = (Digest, f64)> + 'a {
    numbers.iter().filter_map(move |(digest, numbers)| Some((*digest, *numbers.by_place.get(key)?)))
}

/// The documents that were written in turn in a recording.
pub(super) fn turns(subjects: &[Subject], numbers: &NumbersByDigest) -> Vec<Turn> {
    let is_document = |subject: &&Subject| matches!(subject.kind, Kind::Document(_));
    let is_written = |subject: &Subject| subject.entries.iter().any(|it| it.at > 0 && is_whole(it));
    let documents = || subjects.iter().filter(is_document);
    let written = documents().filter(|subject| is_written(subject));
    let mut groups: BTreeMap<String, Vec<&Subject>> = written
        .flat_map(|subject| patterns(&subject.path))
        .map(|pattern| (pattern, Vec::new()))
        .collect();
    if groups.is_empty() {
        return Vec::new();
    }
    for document in documents() {
        for pattern in patterns(&document.path) {
            groups.entry(pattern).and_modify(|group| group.push(document));
        }
    }
    let turns = groups.values().filter(|group| group.len() > 1).filter_map(|group| {
        let written = group.iter().find(|subject| is_written(subject))?;
        let last = written.entries.iter().rev().find_map(digest_of_whole)?;
        let mut keys = numbers.get(&last)?.by_place.keys();
        let key = keys.find(|key| are_written_in_turn(group, key, numbers))?.clone();
        let paths = group.iter().map(|subject| subject.path.clone()).collect();
        Some(Turn { paths, numbers: numbers_at(&key, numbers).collect(), key })
    });
    turns.collect()
}

/// A path with each of its words or numbers left out: those of files that differ in one of them are equal.
fn patterns(path: &Path) -> Vec<String> {
    let text = path.to_string_lossy();
    let kind = |c: char| (c.is_alphabetic(), c.is_numeric());
    let mut words: Vec<(std::ops::Range<usize>, (bool, bool))> = Vec::new();
    for (at, c) in text.char_indices().filter(|(_, c)| c.is_alphanumeric()) {
        let end = at + c.len_utf8();
        match words.last_mut() {
            Some((word, of)) if word.end == at && *of == kind(c) => word.end = end,
            _ => words.push((at..end, kind(c))),
        }
    }
    let without = |(word, _): &(std::ops::Range<usize>, _)| {
        format!("{}\0{}", &text[..word.start], &text[word.end..])
    };
    words.iter().map(without).collect()
}

fn is_whole(entry: &Entry) -> bool {
    digest_of_whole(entry).is_some()
}

fn digest_of_whole(entry: &Entry) -> Option<Digest> {
    match entry.what {
        What::File { digest, value: Some(_), length: 1.., .. } => Some(digest),
        _ => None,
    }
}

/// A version by its number, and what it says.
type Numbered<'a> = (f64, &'a Numbers);

/// The versions of a document by their numbers, if these only grow; with the one that was there at the beginning, and
/// those that came later.
fn numbered<'a>(
    subject: &Subject,
    key: &str,
    numbers: &'a NumbersByDigest,
) -> Option<(Option<Numbered<'a>>, Vec<Numbered<'a>>)> {
    let (mut begin, mut later) = (None, Vec::<Numbered<'a>>::new());
    for entry in &subject.entries {
        let Some(digest) = digest_of_whole(entry) else { continue };
        let numbers = numbers.get(&digest)?;
        let number = *numbers.by_place.get(key)?;
        match later.last().or(begin.as_ref()) {
            Some((last, _)) if *last == number => {}
            Some((last, _)) if *last > number => return None,
            _ if entry.at == 0 => begin = Some((number, &**numbers)),
            _ => later.push((number, numbers)),
        }
    }
    Some((begin, later))
}

/// Whether each version that was written over another one took the place of the oldest, and goes on from the newest: it
/// has a greater number than all, and not less in common with the newest than with the one in its place. One such save may
/// be chance, but for a number that goes on by one from that of the newest; so may be two, one over each.
fn are_written_in_turn(group: &[&Subject], key: &str, numbers: &NumbersByDigest) -> bool {
    let mut current: Vec<Option<Numbered<'_>>> = Vec::new();
    let mut writes: Vec<(Numbered<'_>, usize)> = Vec::new();
    for (index, subject) in group.iter().enumerate() {
        let Some((begin, later)) = numbered(subject, key, numbers) else { return false };
        current.push(begin);
        writes.extend(later.into_iter().map(|version| (version, index)));
    }
    writes.sort_by(|((one, _), _), ((other, _), _)| one.total_cmp(other));
    let mut overwritten = vec![0; group.len()];
    let mut goes_on = false;
    for ((number, says), index) in writes {
        let others = current.iter().enumerate().filter(|(it, _)| *it != index);
        let newest = others.clone().filter_map(|(_, other)| *other);
        let newest = newest.max_by(|(one, _), (other, _)| one.total_cmp(other));
        if newest.is_some_and(|(newest, _)| newest >= number) {
            return false;
        }
        if let Some((own, said)) = current[index] {
            let is_oldest = others.into_iter().all(|(_, it)| it.is_some_and(|(it, _)| own < it));
            let Some((newest, newest_says)) = newest.filter(|_| is_oldest) else { return false };
            if says.in_common(newest_says) < says.in_common(said) {
                return false;
            }
            overwritten[index] += 1;
            goes_on |= number.fract() == 0.0 && number == newest + 1.0;
        }
        current[index] = Some((number, says));
    }
    goes_on || overwritten.iter().any(|times| *times > 1)
}
