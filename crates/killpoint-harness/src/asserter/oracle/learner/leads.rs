//! What links and pointers led to in the course of the recording, and when any of it stood.

use super::{Guide, History};
use crate::asserter::oracle::switches::{Led, Span, Switch};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type Histories = BTreeMap<PathBuf, History>;

/// For each switch that is known to be about what is in use: what it led to. Of a run that was killed the undisturbed
/// one tells what was still to come.
pub(super) fn leads(
    histories: &Histories,
    switches: &[Switch],
    guide: Option<&Guide<'_>>,
) -> BTreeMap<PathBuf, Led> {
    let certain = switches.iter().filter(|switch| switch.is_certain);
    let of = |switch: &Switch| (switch.link.clone(), by_target(histories, switch));
    let mut own: BTreeMap<_, _> = certain.map(of).collect();
    let Some(guide) = guide else {
        let led = own.into_iter().map(|(link, by_target)| {
            let spans = spans(histories, &link, &by_target);
            (link, Led { by_target, spans, leads_later: false })
        });
        return led.collect();
    };
    let reference = guide.reference.leads.iter().map(|(link, reference)| {
        let mut by_target = own.remove(link).unwrap_or_default();
        for (target, paths) in &reference.by_target {
            by_target.entry(target.clone()).or_default().extend(paths.iter().cloned());
        }
        let spans = spans(histories, link, &by_target);
        let leads_later = reference.spans.last().is_some_and(|span| span.until == u64::MAX);
        (link.clone(), Led { by_target, spans, leads_later })
    });
    reference.collect()
}

/// The files to which each target leads; temporary ones only where there are no others.
fn by_target(histories: &Histories, switch: &Switch) -> BTreeMap<Vec<u8>, BTreeSet<PathBuf>> {
    let of = |target: &Vec<u8>| {
        let led = || histories.iter().filter(|(path, _)| switch.leads_by(target, path));
        let lasting = led().filter(|(_, history)| !history.is_temporary());
        let mut paths: BTreeSet<PathBuf> = lasting.map(|(path, _)| path.clone()).collect();
        if paths.is_empty() {
            paths = led().map(|(path, _)| path.clone()).collect();
        }
        (target.clone(), paths)
    };
    switch.targets.iter().map(of).collect()
}

/// When the switch led to anything that stood: from after one operation until after another.
fn spans(
    histories: &Histories,
    link: &Path,
    by_target: &BTreeMap<Vec<u8>, BTreeSet<PathBuf>>,
) -> Vec<Span> {
    let mut targets_of: BTreeMap<&Path, Vec<&[u8]>> = BTreeMap::from([(link, Vec::new())]);
    for (target, paths) in by_target {
        for path in paths {
            targets_of.entry(path).or_default().push(target);
        }
    }
    let mut changes = BTreeMap::<u64, Vec<_>>::new();
    for path in targets_of.keys().copied() {
        for (at, seen) in histories.get(path).into_iter().flat_map(|history| &history.seen) {
            changes.entry(*at).or_default().push((path, seen.as_ref()));
        }
    }
    let (mut spans, mut standing) = (Vec::<Span>::new(), BTreeSet::new());
    let (mut counts, mut now) = (BTreeMap::<&[u8], usize>::new(), None);
    for (at, changes) in changes {
        for (path, seen) in changes {
            if path == link {
                now = seen.and_then(|seen| seen.contents.as_deref());
                continue;
            }
            let is_new = if seen.is_some() { standing.insert(path) } else { standing.remove(path) };
            for target in targets_of[path].iter().filter(|_| is_new) {
                let count = counts.entry(target).or_default();
                *count = if seen.is_some() { *count + 1 } else { *count - 1 };
            }
        }
        let leads = now.is_some_and(|target| counts.get(target).is_some_and(|count| *count > 0));
        match spans.last_mut().filter(|span| span.until == u64::MAX) {
            Some(span) if !leads => span.until = at,
            None if leads => spans.push(Span { from: at, until: u64::MAX }),
            _ => {}
        }
    }
    spans
}
