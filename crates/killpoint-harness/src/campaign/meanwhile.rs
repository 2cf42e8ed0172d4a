//! Who answered in the target's place after a strike: what he acknowledged is no promise of the target's.

use super::trial::Trial;
use std::fs;

/// What the journal skips whose line it ends: so a line is taken out, and no other one moves.
const SEAL: u8 = 0x18;

/// Somebody else who was seen to listen where the target had listened itself.
#[derive(Clone, Debug)]
pub(super) struct Meanwhile {
    /// Where, and who, in words.
    who: String,
    /// The length of the ack journal at the strike before he was seen.
    from: u64,
    /// Its length when the target answered again; none if it did not.
    to: Option<u64>,
}

impl Meanwhile {
    /// What is said where a promise was broken.
    pub(super) fn in_words(&self) -> String {
        format!(
            "After a strike somebody else answered at {}: what was acknowledged then may be no promise of the \
             target's.",
            self.who
        )
    }

    /// The ack journal without the acknowledgements that were written meanwhile; none if there are none.
    pub(super) fn without_acknowledgements(&self, journal: &[u8]) -> Option<Vec<u8>> {
        let (mut left, mut end, mut are_there) = (Vec::with_capacity(journal.len()), 0, false);
        for line in journal.split_inclusive(|byte| *byte == b'\n') {
            end += line.len() as u64;
            let is_meanwhile = end > self.from && self.to.is_none_or(|to| end <= to);
            left.extend_from_slice(line);
            if is_meanwhile && (line.starts_with(b"A ") || line.starts_with(b"A! ")) {
                are_there = true;
                let last = left.len().saturating_sub(2);
                left[last] = SEAL;
            }
        }
        are_there.then_some(left)
    }
}

impl Trial<'_, '_> {
    /// Somebody else was seen to listen in the target's place.
    pub(super) fn note_meanwhile(&mut self, who: &str) {
        let Some(last) = &self.last_strike else { return };
        let from = self.meanwhile.as_ref().map_or(last.journal_bytes, |it| it.from);
        self.meanwhile = Some(Meanwhile { who: who.to_owned(), from, to: None });
    }

    /// The target answers again itself.
    pub(super) fn end_meanwhile(&mut self) {
        if let Some(meanwhile) = &mut self.meanwhile {
            let length = || fs::metadata(&self.world.journal).map_or(u64::MAX, |it| it.len());
            meanwhile.to.get_or_insert_with(length);
        }
    }

    /// Before a trial is stopped: whoever listens now in the place of a target that did not come back.
    pub(super) fn look_for_strangers(&mut self) {
        if self.fired > 0 && self.meanwhile.is_none() {
            let now = self.stranger(&self.questions());
            now.into_iter().for_each(|who| self.note_meanwhile(&who));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asserter::journal::Journal;

    #[test]
    fn only_what_was_acknowledged_meanwhile_is_taken_out() {
        let journal = b"I a 1\nA a\nI b 1\nA b\nI c 1\nA! c\nI d 1\nA d\n";
        let of = |from, to| Meanwhile { who: "somebody".to_owned(), from, to };
        let left = of(10, Some(31)).without_acknowledgements(journal).expect("there are some");
        assert_eq!(left.len(), journal.len());
        let kept = Journal::parse(&left).expect("a journal");
        assert_eq!(kept.acknowledged(u64::MAX), 2, "{}", String::from_utf8_lossy(&left));
        assert_eq!(kept.operations().len(), 4);
        let left = of(10, None).without_acknowledgements(journal).expect("there are some");
        assert_eq!(Journal::parse(&left).expect("a journal").acknowledged(u64::MAX), 1);
        assert_eq!(of(1_000, None).without_acknowledgements(journal), None);
    }
}
