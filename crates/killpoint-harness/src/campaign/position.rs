//! Logical positions: where a strike stands in what the target did, and waiting until a trial stands
//! there again.
//!
//! How exact: the parts of a position are numbers of things that happened, so they are met exactly. The
//! time since the last of them is met as well as the target repeats itself; the journal's time of
//! modification is as fine as the kernel's clock (1 to 10 ms), and it is looked once a millisecond.

use super::growth::Growth;
use super::problem::CampaignError;
use super::trial::Trial;
use super::waiting::Wait;
use crate::asserter::journal::Journal;
use killpoint_engine::regular_file;
use killpoint_model::plan::PlannedStrike;
use killpoint_model::trial::Position;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// How often it is looked where the target stands.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// A position is waited for so many times as long as it took when it was recorded, and a while longer.
const PATIENCE: u32 = 5;

/// The journal as it was read last, and when it grew.
#[derive(Clone, Debug, Default)]
pub(super) struct JournalSeen {
    bytes: u64,
    /// Whether lines were only ever added to it.
    pub(super) growth: Growth,
    lines: u64,
    acknowledged: u64,
    grew: Option<SystemTime>,
}

impl JournalSeen {
    /// Sees what was added to it.
    pub(super) fn measure(&mut self, path: &Path) -> Option<fs::Metadata> {
        let metadata = fs::metadata(path).ok()?;
        self.growth.follow(path, &metadata);
        Some(metadata)
    }

    /// Reads it, if it has grown. Where it cannot be read nothing is known, which the judge says.
    pub(super) fn look(&mut self, path: &Path) {
        let Some(metadata) = self.measure(path) else { return };
        if metadata.len() == self.bytes {
            return;
        }
        let bytes = regular_file::read(path).unwrap_or_default();
        if let Ok(journal) = Journal::parse(&bytes) {
            self.bytes = bytes.len() as u64;
            self.lines = journal.lines().len() as u64;
            self.acknowledged = journal.acknowledged(self.bytes);
            self.grew = metadata.modified().ok();
        }
    }
}

impl Trial<'_, '_> {
    /// Acknowledgements in the journal.
    pub(super) fn acknowledged(&mut self) -> u64 {
        self.journal_seen.look(&self.world.journal);
        self.journal_seen.acknowledged
    }

    /// Where the target stands, apart from time.
    pub(super) fn position(&mut self, planned: &PlannedStrike) -> Position {
        self.journal_seen.look(&self.world.journal);
        let seen = &self.journal_seen;
        let micros = |at: Duration| u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        Position {
            role: planned.who.role.clone(),
            journal_lines: seen.lines,
            acknowledged: seen.acknowledged,
            lifecycle_events: self.state.told_since,
            checkpoint: self.state.checkpoint,
            address: None,
            since_last_us: micros(self.last_change().elapsed()),
            after_ms: micros(self.workload_began.elapsed()) / 1_000,
            at_us: self.state.clock.micros(Instant::now()),
        }
    }

    /// When the journal grew or an event was told, whichever was later.
    fn last_change(&self) -> Instant {
        let now = (Instant::now(), SystemTime::now());
        let grew = self.journal_seen.grew.and_then(|grew| {
            let ago = now.1.duration_since(grew).unwrap_or_default();
            now.0.checked_sub(ago)
        });
        let later = |one: Instant, other: Option<Instant>| other.map_or(one, |it| it.max(one));
        later(later(self.workload_began, grew), self.state.told_at)
    }

    /// Waits until the target stands at a position again, and as long as it stood there. A target that
    /// went past it meanwhile is struck at once: nearer it does not come any more.
    pub(super) fn reach(
        &mut self,
        position: &Position,
        planned: &PlannedStrike,
    ) -> Result<Wait, CampaignError> {
        let wanted = position.course();
        let limit = Duration::from_millis(position.after_ms) * PATIENCE + self.trigger_limit();
        let began = Instant::now();
        loop {
            let _ = self.stage.injector.lift_due(Instant::now());
            let now = self.position(planned);
            if now.course() > wanted {
                return Ok(Wait::Done);
            }
            let stood = Duration::from_micros(position.since_last_us);
            let stands = self.last_change().elapsed();
            let interval = match now.course() == wanted {
                true if stands >= stood => return Ok(Wait::Done),
                true => (stood - stands).min(LOOK_INTERVAL),
                false => LOOK_INTERVAL,
            };
            if began.elapsed() >= limit {
                return Ok(Wait::Late);
            }
            if let Some(ended) = self.look(interval)? {
                return Ok(ended);
            }
        }
    }
}
