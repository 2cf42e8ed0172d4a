//! The changes of one file, and the spans of operations in which it is neither old nor new.

use super::paths::PathId;

/// What happened to the contents of a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Changed {
    /// Bytes were written.
    Written { offset: u64, length: u64, durable: bool },
    /// The size was set.
    Resized { size: u64 },
    /// Anything else, and the size afterwards if it is known.
    Otherwise { size: Option<u64> },
}

/// A change of the contents of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) position: u64,
    pub(super) round: u32,
    pub(super) what: Changed,
}

/// How a file gets from its old contents to its new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Emptied, then written.
    Emptied,
    /// Written from its first byte on, then cut to the new size.
    Shrunk,
    /// Old bytes overwritten by several writes.
    Overwritten,
    /// Made empty under its name, then written.
    Created,
}

/// A span of operations: a crash after `start` and not after `end` finds the file halfway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) way: Way,
    pub(super) start: u64,
    pub(super) end: u64,
    /// The first write of the new contents, for a file that was emptied or made.
    pub(super) refilled: Option<u64>,
    round: u32,
    first_byte: u64,
    end_byte: u64,
    open: bool,
}

/// What is known of one file.
#[derive(Debug)]
pub(super) struct FileTrack {
    /// Its paths in order, each with the position from which on it had it.
    pub(super) paths: Vec<(u64, PathId)>,
    /// The operation that made it, if that was in the run.
    pub(super) born: Option<u64>,
    /// Changes of its contents, in order.
    changes: Vec<Position>,
    /// Its syncs, in order.
    pub(super) syncs: Vec<u64>,
    spans: Vec<Span>,
    size: Option<u64>,
}

/// A change as it is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) at: u64,
    /// Whether it waits for a sync.
    pub(super) unsynced: bool,
    /// Whether the file became larger by it.
    pub(super) grew: bool,
}

impl FileTrack {
    pub(super) fn new(size: Option<u64>) -> Self {
        let (paths, changes, syncs, spans) = (vec![], vec![], vec![], vec![]);
        FileTrack { paths, born: None, changes, syncs, spans, size }
    }

    /// The file has just been made, empty.
    pub(super) fn begin_creation(&mut self, position: u64, round: u32) {
        self.begin(Way::Created, position, round);
    }

    fn begin(&mut self, way: Way, position: u64, round: u32) {
        let (first_byte, end_byte) = (0, 0);
        let (start, end, refilled, open) = (position, position, None, true);
        self.spans.push(Span { way, start, end, refilled, round, first_byte, end_byte, open });
    }

    /// Whatever was under way has come to its end.
    pub(super) fn settle(&mut self) {
        if let Some(span) = self.spans.last_mut() {
            span.open = false;
        }
    }

    /// The file was synced: what follows is another step, but for the cut of a shrinking write.
    pub(super) fn synced(&mut self, position: u64) {
        self.syncs.push(position);
        if let Some(span) = self.spans.last_mut()
            && (span.refilled.is_some() && span.way != Way::Overwritten)
        {
            span.open = false;
        }
    }

    /// Takes in a change.
    pub(super) fn change(&mut self, change: Change) {
        let before = self.size;
        match change.what {
            Changed::Written { offset, length, .. } => {
                let end = offset.saturating_add(length);
                self.written(change, offset, end);
                self.size = before.map(|size| size.max(end));
            }
            Changed::Resized { size } => {
                self.resized(change, size);
                self.size = Some(size);
            }
            Changed::Otherwise { size } => {
                self.settle();
                self.size = size.or(before);
            }
        }
        let grew = self.size > before && before.is_some();
        let unsynced = match change.what {
            Changed::Written { durable, .. } => !durable,
            Changed::Resized { .. } => false,
            Changed::Otherwise { .. } => true,
        };
        self.changes.push(Position { at: change.position, unsynced, grew });
    }

    fn written(&mut self, change: Change, offset: u64, end: u64) {
        let synced_at = self.syncs.last().copied().unwrap_or(0);
        if let Some(span) = self.spans.last_mut().filter(|span| span.open) {
            let unsynced = span.end > synced_at || span.refilled.is_none();
            // Synced while it is empty and filled by a later save, a file was empty on purpose.
            let goes_on = match span.refilled {
                None => span.round == change.round || span.end > synced_at,
                Some(_) => span.round == change.round,
            };
            if goes_on && unsynced {
                span.end = change.position;
                span.round = change.round;
                span.refilled.get_or_insert(change.position);
                span.first_byte = span.first_byte.min(offset);
                span.end_byte = span.end_byte.max(end);
                return;
            }
            span.open = false;
        }
        let over_old_bytes = self.size.map_or(offset == 0, |size| offset < size);
        if over_old_bytes {
            self.begin(Way::Overwritten, change.position, change.round);
            let span = self.spans.last_mut().expect("begun above");
            (span.first_byte, span.end_byte) = (offset, end);
            span.refilled = Some(change.position);
        }
    }

    fn resized(&mut self, change: Change, size: u64) {
        let before = self.size;
        if let Some(span) = self.spans.last_mut().filter(|span| span.open) {
            let shrinks = size > 0 && before.is_none_or(|before| before > size);
            let cuts_the_tail = span.first_byte == 0 && span.end_byte == size;
            if span.way == Way::Overwritten
                && span.round == change.round
                && cuts_the_tail
                && shrinks
            {
                span.way = Way::Shrunk;
                span.end = change.position;
            } else if span.refilled.is_none() && size == 0 {
                return;
            }
            span.open = false;
        }
        if size == 0 && before != Some(0) {
            self.begin(Way::Emptied, change.position, change.round);
        }
    }

    /// The span that a point lies in.
    pub(super) fn span_at(&self, point: u64) -> Option<&Span> {
        let after = self.spans.partition_point(|span| span.start < point);
        self.spans.get(after.checked_sub(1)?).filter(|span| point <= span.end)
    }

    /// The last span that began before a point.
    pub(super) fn span_before(&self, point: u64) -> Option<&Span> {
        let after = self.spans.partition_point(|span| span.start < point);
        self.spans.get(after.checked_sub(1)?)
    }

    /// The last change before a point.
    pub(super) fn last_change(&self, point: u64) -> Option<Position> {
        let after = self.changes.partition_point(|change| change.at < point);
        self.changes.get(after.checked_sub(1)?).copied()
    }

    /// The next change from a point on.
    pub(super) fn next_change(&self, point: u64) -> Option<Position> {
        self.changes.get(self.changes.partition_point(|change| change.at < point)).copied()
    }

    /// The last of the changes that follow one another from a point on and belong together.
    pub(super) fn last_in_a_row(&self, point: u64, belongs: impl Fn(u64) -> bool) -> u64 {
        const LOOKED_AT_MAX: usize = 64;
        let first = self.changes.partition_point(|change| change.at < point);
        let row = self.changes[first..].iter().take(LOOKED_AT_MAX).map(|change| change.at);
        row.take_while(|at| belongs(*at)).last().unwrap_or(point)
    }

    /// The first change before a point that waits for a sync since the last one, if no more than a few
    /// follow it.
    pub(super) fn first_unsynced(&self, synced: Option<u64>, point: u64) -> Option<u64> {
        const LOOKED_AT_MAX: usize = 32;
        let after = self.changes.partition_point(|change| change.at < point);
        let latest = self.changes[..after].iter().rev().take(LOOKED_AT_MAX);
        let waiting = latest.take_while(|change| synced.is_none_or(|synced| change.at > synced));
        waiting.filter(|change| change.unsynced).last().map(|change| change.at)
    }

    /// The last change before a point that waits for a sync, if no more than a few that do not
    /// follow it.
    pub(super) fn last_unsynced(&self, point: u64) -> Option<Position> {
        const LOOKED_AT_MAX: usize = 32;
        let after = self.changes.partition_point(|change| change.at < point);
        let latest = self.changes[..after].iter().rev().take(LOOKED_AT_MAX);
        latest.copied().find(|change| change.unsynced)
    }
}
