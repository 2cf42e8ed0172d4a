//! Who came back after a strike, and whether he stays: one who ends again and again has not come back.

use super::targets::{Attached, age};
use crate::numbers::count;
use killpoint_engine::identity::Identity;
use killpoint_model::span::Span;
use killpoint_model::verdict::{Class, Judgement, Reason};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A life that lasts so many times as long as the longest one before it is another one.
const OUTLIVED: u32 = 2;

/// A process that was struck and ended, and who came after it.
#[derive(Debug)]
pub(super) struct Returned {
    was: Attached,
    strike: u64,
    /// How long it had lived when it was struck.
    lived: Duration,
    /// Who is none of its successors: who was there before, or has ended.
    others: BTreeSet<Identity>,
    /// Who came last.
    now: Identity,
    /// How old he was when he was seen last.
    seen: Duration,
    /// When that was, once he is watched.
    looked: Option<Instant>,
    /// Since when he has been gone, if he is.
    down: Option<Instant>,
    /// How many of those who came have ended by themselves.
    falls: u32,
    /// How long the longest of these lasted.
    longest: Duration,
}

impl Returned {
    pub(super) fn new(
        was: Attached,
        strike: u64,
        lived: Duration,
        others: BTreeSet<Identity>,
        now: Identity,
    ) -> Self {
        let (seen, longest) = (age(now), Duration::ZERO);
        let (looked, down, falls) = (None, None, 0);
        Returned { was, strike, lived, others, now, seen, looked, down, falls, longest }
    }

    /// Whether it is one of these.
    pub(super) fn is_one_of(&self, struck: &[Identity]) -> bool {
        struck.contains(&self.now)
    }

    /// Looks whether he is still there, or somebody else has come; whether he has just been seen to have ended.
    pub(super) fn look(&mut self) -> bool {
        let has_ended = self.down.is_none() && !self.now.is_alive();
        if has_ended {
            self.falls += 1;
            // He lived for so long at most; between two strikes nobody looks.
            let unseen = self.looked.map_or(Duration::ZERO, |looked| looked.elapsed());
            self.longest = self.longest.max(self.seen + unseen);
            self.others.insert(self.now);
            self.down = Some(Instant::now());
        }
        if self.down.is_some()
            && let Some(next) = self.was.successor(&self.others)
        {
            (self.now, self.down) = (next, None);
        }
        (self.seen, self.looked) = (age(self.now), Some(Instant::now()));
        has_ended
    }

    /// Whether he is there, and lives longer than those who came before him.
    pub(super) fn is_at_rest(&self) -> bool {
        self.down.is_none() && (self.falls == 0 || self.seen > OUTLIVED * self.longest)
    }

    /// Whether nobody has come for so long.
    pub(super) fn is_gone_for(&self, limit: Duration) -> bool {
        self.down.is_some_and(|down| down.elapsed() >= limit)
    }

    /// How often those who came have ended, in words; none if they have not.
    pub(super) fn falls(&self) -> Option<String> {
        let times = count(self.falls.into(), "time");
        let (strike, name) = (self.strike, self.was.name());
        (self.falls > 0).then(|| {
            format!("after strike {strike} {name} was started again and ended by itself {times}")
        })
    }

    /// What it means that he has not come to rest in time.
    pub(super) fn judge(&self, limit: Span) -> Judgement {
        let falls = self.falls().unwrap_or_default();
        if self.is_gone_for(limit.duration()) {
            let why = format!("{falls}, and had not come back {limit} later.");
            return Judgement::violated(Class::Bricked, why);
        }
        if self.lived > OUTLIVED * self.longest {
            let why = format!("{falls}, and goes on so; it had lived longer before it was struck.");
            return Judgement::violated(Class::Hung, why);
        }
        let why = format!(
            "{falls}, and goes on so; whether it did so before nobody can tell, it had lived no longer when it was \
             struck. Attach to it once it has lived for some time, or to what starts it."
        );
        Judgement::unknown(Reason::NeverSteady, why)
    }
}
