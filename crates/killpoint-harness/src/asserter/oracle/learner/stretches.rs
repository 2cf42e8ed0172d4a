//! Stretches of a recording in which a file that also was changed otherwise only grew.

use super::Moment;
use super::history::{History, Seen};
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
                    stretches.extend(before);
                    let contents = seen.contents.as_ref().filter(|_| seen.counts(kind));
                    contents.map(|contents| Stretch::from(seen.at, Arc::clone(contents)))
                }
            };
            last = next;
        }
        stretches.extend(last);
        stretches.retain(Stretch::grew);
        stretches
    }
}

/// Whether it is the same file, which was only appended to.
fn continues(seen: &Seen, before: &Stretch) -> bool {
    let is_moved = matches!(seen.moment, Moment::Placed | Moment::Displaced);
    let grew = |contents: &Arc<[u8]>| contents.starts_with(&before.whole);
    seen.is_continued && !is_moved && seen.contents.as_ref().is_some_and(grew)
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
