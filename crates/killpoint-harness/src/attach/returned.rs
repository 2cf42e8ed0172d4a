//! Who came back after a strike, and whether he stays: one who ends again and again has not come back.

use super::targets::Attached;
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
    /// Since when he is known, or has been gone.
    since: Instant,
    is_down: bool,
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
        let (since, longest) = (Instant::now(), Duration::ZERO);
        Returned { was, strike, lived, others, now, since, is_down: false, falls: 0, longest }
    }

    /// Whether it is one of these.
    pub(super) fn is_one_of(&self, struck: &[Identity]) -> bool {
        struck.contains(&self.now)
    }

    /// Looks whether he is still there, or somebody else has come; whether he has just been seen to have ended.
    pub(super) fn look(&mut self) -> bool {
        let has_ended = !self.is_down && !self.now.is_alive();
        if has_ended {
            self.falls += 1;
            self.longest = self.longest.max(self.since.elapsed());
            self.others.insert(self.now);
            (self.is_down, self.since) = (true, Instant::now());
        }
        if self.is_down
            && let Some(next) = self.was.successor(&self.others)
        {
            (self.now, self.is_down, self.since) = (next, false, Instant::now());
        }
        has_ended
    }

    /// Whether he is there, and lives longer than those who came before him.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.is_down && (self.falls == 0 || self.since.elapsed() > OUTLIVED * self.longest)
    }

    /// Whether nobody has come for so long.
    pub(super) fn is_gone_for(&self, limit: Duration) -> bool {
        self.is_down && self.since.elapsed() >= limit
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
