//! The invariants of one trial at each of their moments. Readings are taken by the asserter's reader,
//! of a target that does not run from a copy: what a checker repairs is no repair of the target's.

use super::at_rest::{at_rest, leave};
use super::growth::Growth;
use super::meanwhile::Meanwhile;
use super::problem::{CampaignError, fail};
use super::state::State;
use super::world::World;
use crate::asserter::checker::{Expectation, control_store};
use crate::asserter::history::{History, Promise, Store};
use crate::asserter::invariants::{
    Evidence, Reader, Reading, Told, Written, judge, why_vain, written,
};
use crate::asserter::journal::Journal;
use crate::recover::RUN_MARK;
use killpoint_engine::regular_file;
use killpoint_model::Scenario;
use killpoint_model::invariant::{Invariant, JudgeAt};
use killpoint_model::selector::Pattern;
use killpoint_model::supervision::Probe;
use killpoint_model::verdict::{Judgement, Reason, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Readings by the index of their invariant.
pub(super) type Readings = BTreeMap<usize, Reading>;

/// What the target had said and written at some moment.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The lengths of its output files.
    pub(super) output: BTreeMap<PathBuf, u64>,
    /// The files that are to show that it recovered.
    files: BTreeMap<PathBuf, Option<Written>>,
}

impl Marks {
    /// As it is now. Each life has output files of its own, and nobody counts them for nothing.
    pub(super) fn now(scenario: &Scenario, world: &World) -> Self {
        let output = if scenario.reads_lines() { world.output_lengths() } else { BTreeMap::new() };
        let files = scenario.invariants.iter().filter_map(|invariant| shown_by(invariant, world));
        let files = files.map(|path| (path.clone(), written(&path))).collect();
        Marks { output, files }
    }

    /// Whether a file was written since.
    fn is_written(&self, path: &Path) -> bool {
        let now = written(path);
        now.is_some() && self.files.get(path).is_none_or(|then| *then != now)
    }
}

/// The file by which a target is to show that it recovered: that of the target, and no copy of it.
fn shown_by(invariant: &Invariant, world: &World) -> Option<PathBuf> {
    match invariant {
        Invariant::RecoveryShown(it) => match live(world).real_probe(&it.by) {
            Probe::File(path) => Some(path.into()),
            _ => None,
        },
        _ => None,
    }
}

/// What is read before the target is started: what must not change, and the store to begin with.
pub(super) fn before(scenario: &Scenario, world: &World) -> Result<Readings, CampaignError> {
    let mut readings = Readings::new();
    let is_needed = |invariant: &&Invariant| match invariant {
        Invariant::AckedIsDurable(it) => it.check.is_some(),
        Invariant::File(it) => it.unchanged,
        _ => false,
    };
    if scenario.invariants.iter().any(|invariant| is_needed(&invariant)) {
        let reader = at_rest(world).map_err(fail("copy the state in", &world.folder))?;
        let state = State::default();
        for (index, invariant) in scenario.invariants.iter().enumerate() {
            if is_needed(&invariant) {
                readings.insert(index, read(&reader, invariant, world, &state, &Marks::default()));
            }
        }
        leave(world);
    }
    Ok(readings)
}

/// What was read and judged at one moment.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// The judgements, each with the index of its invariant.
    pub(super) judgements: Vec<(usize, Judgement)>,
    /// Why that each holds shows nothing, where it does not.
    pub(super) vain: Vec<(usize, &'static str, Option<&'static str>)>,
    pub(super) readings: Readings,
}

/// What the invariants are held against.
pub(super) struct Judge<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) world: &'a World,
    /// Read before the target was started.
    pub(super) before: &'a Readings,
    /// Read at the end of the control; none in the control.
    pub(super) control: Option<&'a Readings>,
    /// The invariants whose file has been there.
    pub(super) made: &'a BTreeSet<usize>,
    /// What the ack journal has been.
    pub(super) growth: &'a Growth,
    /// Who answered in the target's place.
    pub(super) meanwhile: Option<&'a Meanwhile>,
}

impl Judge<'_> {
    /// Judges what is due at a moment.
    pub(super) fn at(&self, moment: JudgeAt, state: &State, marks: &Marks) -> Judged {
        let mut judged = Judged::default();
        let due: Vec<(usize, &Invariant)> = self
            .scenario
            .invariants
            .iter()
            .enumerate()
            .filter(|(_, invariant)| self.is_due(invariant, moment))
            .collect();
        if due.is_empty() {
            return judged;
        }
        let is_down = matches!(moment, JudgeAt::AtStrike | JudgeAt::End);
        // What was never there, and nobody was told of, cannot be lost. At the end of a trial this goes for a database
        // that is begun.
        let is_trial = self.control.is_some();
        let is_before_an_end = moment == JudgeAt::AtStrike || moment == JudgeAt::End && is_trial;
        let may_be_unmade = is_before_an_end && is_nothing_acknowledged(self.world);
        let reader = if is_down { at_rest(self.world) } else { Ok(live(self.world)) };
        for (index, invariant) in due {
            let reading = match &reader {
                Ok(reader) => read(reader, invariant, self.world, state, marks),
                Err(error) => Reading::Failed(format!("the state cannot be copied: {error}")),
            };
            let is_begun = matches!(&reading, Reading::Database(it) if it.exists);
            let may_be_unmade = may_be_unmade
                && !self.made.contains(&index)
                && (moment == JudgeAt::AtStrike || is_begun);
            let (judgement, why_vain) = self.judge(index, invariant, &reading, may_be_unmade);
            judged.judgements.push((index, judgement));
            judged.vain.push((index, invariant.kind(), why_vain));
            judged.readings.insert(index, reading);
        }
        if is_down {
            leave(self.world);
        }
        judged
    }

    /// In the control each is judged at least once, or one that never holds would be held against the
    /// target: at the end what is judged on what a strike left, and while the target is up what is judged
    /// after strikes or continuously. Only that a target recovered can show nowhere but after a strike.
    fn is_due(&self, invariant: &Invariant, moment: JudgeAt) -> bool {
        let is_control = self.control.is_none();
        match moment {
            JudgeAt::AfterStrike if is_control => {
                let is_asked = |moment| invariant.is_judged_at(moment);
                let is_due = is_asked(moment) || is_asked(JudgeAt::Continuously);
                is_due && !matches!(invariant, Invariant::RecoveryShown(_))
            }
            JudgeAt::End if is_control => {
                invariant.is_judged_at(JudgeAt::End) || invariant.is_judged_at(JudgeAt::AtStrike)
            }
            _ => invariant.is_judged_at(moment),
        }
    }

    /// Judges a reading, and says why that it holds shows nothing, where it does not.
    fn judge(
        &self,
        index: usize,
        invariant: &Invariant,
        reading: &Reading,
        may_be_unmade: bool,
    ) -> (Judgement, Option<&'static str>) {
        let promised = match invariant {
            Invariant::AckedIsDurable(_) => match self.promised(index) {
                Ok(promised) => Some(promised),
                Err(problem) => return (Judgement::unknown(Reason::JudgeFailed, problem), None),
            },
            _ => None,
        };
        let evidence = Evidence {
            before: self.before.get(&index),
            // The control is what the others are held against, and itself.
            control: self.control.map_or(Some(reading), |control| control.get(&index)),
            may_be_unmade,
            promised: promised.as_ref().map(|expectation| (expectation, Promise::Kill)),
            ..Evidence::of(reading)
        };
        let judgement = judge(invariant, &evidence);
        let judgement = match (self.meanwhile, &judgement.verdict) {
            (Some(meanwhile), Verdict::Violated(_)) => {
                self.without(meanwhile, index, invariant, &evidence, judgement)
            }
            _ => judgement,
        };
        let has_held = judgement.verdict == Verdict::Held;
        (judgement, has_held.then(|| why_vain(invariant, &evidence)).flatten())
    }

    /// A broken promise where somebody else answered meanwhile: what he may have acknowledged is not held against
    /// the target, whose own promises are.
    fn without(
        &self,
        meanwhile: &Meanwhile,
        index: usize,
        invariant: &Invariant,
        evidence: &Evidence<'_>,
        judgement: Judgement,
    ) -> Judgement {
        let bytes = regular_file::read(&self.world.journal).unwrap_or_default();
        let own = evidence.promised.and_then(|_| meanwhile.without_acknowledgements(&bytes));
        let own = own.and_then(|bytes| self.promised_by(index, &bytes).ok());
        let judgement = match &own {
            Some(own) => {
                judge(invariant, &Evidence { promised: Some((own, Promise::Kill)), ..*evidence })
            }
            None => judgement,
        };
        let who = meanwhile.in_words();
        match judgement.verdict {
            Verdict::Violated(_) => {
                let detail = format!("{} {who}", judgement.detail);
                Judgement { detail, ..judgement }
            }
            _ => {
                let why = format!(
                    "{who} Without that no promise is broken: end that process, or give the target another address."
                );
                Judgement::unknown(Reason::NotCovered, why)
            }
        }
    }

    /// Keys that had unsaved work when the journal was so long, and those of them that a reading shows;
    /// none where no store was read.
    pub(super) fn drafts(&self, readings: &Readings, at: u64) -> Option<(u64, u64)> {
        let mut read = readings.iter().filter_map(|(index, reading)| match reading {
            Reading::Store { reading, .. } => Some((*index, reading)),
            _ => None,
        });
        let (index, reading) = read.next()?;
        let store = control_store(reading, "after the strike").ok()?;
        match self.promised(index).ok()? {
            Expectation::Journal(history) => Some(history.drafts_restored(&store, at)),
            _ => None,
        }
    }

    /// What the journal promises, from the store before the workload on.
    fn promised(&self, index: usize) -> Result<Expectation, String> {
        let bytes = regular_file::read(&self.world.journal)
            .map_err(|error| format!("cannot read the ack journal: {error}"))?;
        self.growth.check(&bytes)?;
        self.promised_by(index, &bytes)
    }

    /// What this content of the journal promises.
    fn promised_by(&self, index: usize, bytes: &[u8]) -> Result<Expectation, String> {
        let journal = Journal::parse(bytes).map_err(|error| error.to_string())?;
        let store = match self.before.get(&index) {
            Some(Reading::Store { reading, .. }) => {
                control_store(reading, "before the workload").map_err(|error| error.to_string())?
            }
            _ => Store::default(),
        };
        let history = History::new(&journal, 0, store).map_err(|error| error.to_string())?;
        Ok(Expectation::Journal(Box::new(history)))
    }
}

/// Adds the invariants whose file is there now.
pub(super) fn note_made(made: &mut BTreeSet<usize>, scenario: &Scenario, world: &World) {
    let reader = live(world);
    let there = scenario.invariants.iter().enumerate();
    made.extend(there.filter(|(_, it)| reader.has_file_of(it)).map(|(index, _)| index));
}

/// Whether the ack journal can be read and promises nothing.
fn is_nothing_acknowledged(world: &World) -> bool {
    let bytes = regular_file::read(&world.journal).unwrap_or_default();
    Journal::parse(&bytes).is_ok_and(|journal| journal.acknowledged(bytes.len() as u64) == 0)
}

pub(super) fn live(world: &World) -> Reader {
    Reader {
        states: world.states.clone(),
        shown: world.shown(),
        own_paths: world.own_paths.clone(),
        journal: world.journal.clone(),
        directory: world.directory.clone(),
        environment: std::env::vars_os()
            .filter(|(name, _)| name != "KILLPOINT_STATE" && name != "KILLPOINT_JOURNAL")
            .filter(|(name, _)| name != RUN_MARK)
            .chain([(RUN_MARK.into(), world.run.clone().into())])
            .collect(),
        is_live: true,
    }
}

fn read(
    reader: &Reader,
    invariant: &Invariant,
    world: &World,
    state: &State,
    marks: &Marks,
) -> Reading {
    let bytes = regular_file::read(&world.journal).unwrap_or_default();
    let acknowledged =
        Journal::parse(&bytes).map_or(0, |journal| journal.acknowledged(bytes.len() as u64));
    let values = serde_json::json!({
        "acknowledged": acknowledged,
        "restarts": state.restarts,
        "checkpoint": state.checkpoint,
    });
    let has_line =
        |pattern: &Pattern| world.lines(None, marks).iter().any(|line| pattern.is_found_in(line));
    let file = shown_by(invariant, world);
    let is_written = || file.as_ref().is_some_and(|path| marks.is_written(path));
    let told = Told {
        checkpoints: &state.checkpoints,
        values: &values,
        has_line: &has_line,
        is_written: &is_written,
    };
    reader.read(invariant, &told)
}
