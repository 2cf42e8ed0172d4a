//! Stretches of a recording in which a file that also was changed otherwise only grew.

use super::Moment;
use super::history::{History, Seen};
use crate::asserter::oracle::pieces::comes_back;
use crate::asserter::oracle::subject::{Kind, Stretch};
use std::sync::Arc;

impl History {
    /// Where it was appended to: from a version, or from where nothing stood, to all that it came to hold.
    pub(super) fn stretches(&self, kind: Kind) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        let was_there = self.versions().next().is_some_and(|seen| seen.moment == Moment::Begin);
        let mut last = (!was_there).then(|| Stretch::from(0, Arc::from([])));
        for (at, seen) in &self.seen {
            let next = match (seen, last.take()) {
                (None, before) => {
                    stretches.extend(before);
                    Some(Stretch::from(*at, Arc::from([])))
                }
                (Some(seen), Some(before)) if continues(seen, &before) => {
                    Some(extended(before, seen, kind))
                }
                (Some(seen), before) => {
                    let emptied = emptied(seen, before.as_ref());
                    stretches.extend(before);
                    let contents = seen.contents.as_ref().filter(|_| seen.counts(kind));
                    match emptied {
                        Some(emptied) => Some(extended(emptied, seen, kind)),
                        None => {
                            contents.map(|contents| Stretch::from(seen.at, Arc::clone(contents)))
                        }
                    }
                }
            };
            last = next;
        }
        stretches.extend(last);
        stretches.iter_mut().filter(|it| takes_up(it)).for_each(Stretch::forget_emptying);
        stretches.retain(Stretch::grew);
        stretches
    }
}

/// Whether it is the same file, which was only appended to.
fn continues(seen: &Seen, before: &Stretch) -> bool {
    let grew = |contents: &Arc<[u8]>| contents.starts_with(&before.whole);
    seen.is_continued && !is_moved(seen) && seen.contents.as_ref().is_some_and(grew)
}

/// What begins where the program emptied the file, if it left no version of it empty.
fn emptied(seen: &Seen, before: Option<&Stretch>) -> Option<Stretch> {
    let at = seen.emptied_at.filter(|_| seen.length > 0 && !is_moved(seen))?;
    let emptied = Some(Arc::clone(&before?.whole));
    Some(Stretch { emptied, ..Stretch::from(at, Arc::from([])) })
}

fn is_moved(seen: &Seen) -> bool {
    matches!(seen.moment, Moment::Placed | Moment::Displaced)
}

/// Whether at least half of what was emptied comes back: it was only written over.
fn takes_up(stretch: &Stretch) -> bool {
    let emptied = stretch.emptied.as_ref();
    emptied.is_some_and(|emptied| comes_back(emptied, &stretch.whole).is_some())
}

fn extended(mut stretch: Stretch, seen: &Seen, kind: Kind) -> Stretch {
    if seen.counts(kind) {
        stretch.lengths.push((seen.at, seen.length));
    }
    if let Some(contents) = &seen.contents {
        stretch.whole = Arc::clone(contents);
    }
    stretch
}
