//! Documents that are written in turn: each save is written over the oldest of them, and carries a number that is
//! greater than that of all others. While one is being written the newest stands whole in another. So may files of
//! unknown formats be.

use super::documents::Numbers;
use super::state::Digest;
use super::subject::{Kind, Subject, What};
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
    /// The number of a version; none if it is not known to be whole.
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

/// More files than these are no versions of one.
const FILES_MAX: usize = 64;

/// The documents that were written in turn in a recording.
pub(super) fn turns(subjects: &[Subject], numbers: &NumbersByDigest) -> Vec<Turn> {
    let may_be = |subject: &&Subject| matches!(subject.kind, Kind::Document(_) | Kind::Opaque);
    let is_written = |subject: &Subject| wholes(subject).any(|(at, _)| at > 0);
    let documents = || subjects.iter().filter(may_be);
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
    let are_some = |group: &&Vec<_>| (2..=FILES_MAX).contains(&group.len());
    let turns = groups.values().filter(are_some).filter_map(|group| {
        let written = group.iter().find(|subject| is_written(subject))?;
        let (_, last) = wholes(written).last()?;
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

/// The versions that were whole, as far as can be known: after which operation each stood.
fn wholes(subject: &Subject) -> impl Iterator<Item = (u64, Digest)> {
    let is_document = matches!(subject.kind, Kind::Document(_));
    let versions = subject.entries.iter().filter_map(|entry| match entry.what {
        What::File { digest, value, length: 1.., .. } if value.is_some() || !is_document => {
            Some((entry.at, digest))
        }
        _ => None,
    });
    let begun_anew = subject.begun_anew.iter().filter(|(.., length)| *length > 0);
    let mut wholes: Vec<_> =
        versions.chain(begun_anew.map(|(at, digest, _)| (*at, *digest))).collect();
    wholes.sort_by_key(|(at, _)| *at);
    wholes.into_iter()
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
    for (at, digest) in wholes(subject) {
        let numbers = numbers.get(&digest)?;
        let number = *numbers.by_place.get(key)?;
        match later.last().or(begin.as_ref()) {
            Some((last, _)) if *last == number => {}
            Some((last, _)) if *last > number => return None,
            _ if at == 0 => begin = Some((number, &**numbers)),
            _ => later.push((number, numbers)),
        }
    }
    Some((begin, later))
}

/// Whether each version that was written over another one took the place of the oldest, and goes on from the newest: it
/// has a greater number than all, and not less in common with the newest than with the one in its place. One such save may
/// be chance, and so may be two, one over each; but not a number that goes on by one from that of the newest, nor contents
/// that do. Of a file of an unknown format each save has to go on so: what is taken for its number may be none.
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
    let (mut counts, mut all_go_on) = (false, true);
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
            let is_next = number.fract() == 0.0 && number == newest + 1.0;
            counts |= is_next;
            all_go_on &= is_next || says.come_after(newest_says, said);
        }
        current[index] = Some((number, says));
    }
    let is_known = group.iter().all(|subject| matches!(subject.kind, Kind::Document(_)));
    let any = |least| overwritten.iter().any(|times| *times >= least);
    (any(1) && all_go_on) || (is_known && (counts || any(2)))
}
