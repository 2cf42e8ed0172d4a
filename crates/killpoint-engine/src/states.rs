//! Crash states: which ones the models allow at each point, and how each is built.
//!
//! A [`Walk`] goes over a recording once, forwards. At each crash point it can name the states of
//! every model ([`Walk::variants`]) and build any of them ([`Walk::build`]). Planning and judging
//! use the same walk, in different processes, so a state is named by a few numbers only.

mod power_loss;

pub use crate::materialise::CrashTime;

use crate::image::{BLOCK, Image};
use crate::recording::{Ending, Reader, Record, RecordingError, effects_with_data};
use killpoint_model::operation::{Effect, Operation};
use killpoint_model::{CrashModel, Profile};
pub use power_loss::{BETWEEN_MAX, DIRECTORY_OPERATIONS_MAX, WRITES_MAX};
use power_loss::{Cut, Durability};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Names one crash state of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StateName {
    /// The position of the operation at whose entry the crash happens; operations + 1 is the end.
    pub point: u64,
    /// The model.
    pub model: CrashModel,
    /// Which of the model's states at this point.
    pub variant: Variant,
}

/// What distinguishes states of one model at one point.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// The model has one state.
    Only,
    /// The write at the point was carried out up to this many bytes.
    Bytes(u64),
    /// This write (position of its operation) is lost.
    Write(u64),
    /// This write is kept up to this many bytes.
    WriteBytes(u64, u64),
    /// This file's unsynced data is lost (its inode's number).
    File(u64),
    /// Directory operations from this one on are undone.
    From(u64),
    /// This directory operation alone is undone.
    Without(u64),
}

/// The models to enumerate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Models {
    /// Which.
    pub models: Vec<CrashModel>,
    /// The file system whose promises the power-loss models keep.
    pub profile: Profile,
}

impl Models {
    fn has(&self, model: CrashModel) -> bool {
        self.models.contains(&model)
    }

    fn any_power_loss(&self) -> bool {
        self.models.iter().any(|model| model.is_power_loss())
    }
}

/// Goes over a recording.
#[derive(Debug)]
pub struct Walk {
    reader: Reader,
    image: Image,
    durability: Option<Durability>,
    models: Models,
    next: Option<(Operation, Vec<u8>)>,
    ending: Option<Ending>,
    applied: u64,
    journal_before: u64,
    after_barrier: bool,
    crash_time: CrashTime,
}

impl Walk {
    /// Starts before the first operation, with the state as it was then.
    ///
    /// # Errors
    /// If the recording cannot be read.
    pub fn start(path: &Path, initial: Image, models: Models) -> Result<Self, RecordingError> {
        let durability =
            models.any_power_loss().then(|| Durability::start(initial.clone(), models.profile));
        let mut walk = Walk {
            reader: Reader::open(path)?,
            image: initial,
            durability,
            models,
            next: None,
            ending: None,
            applied: 0,
            journal_before: 0,
            after_barrier: false,
            crash_time: CrashTime::default(),
        };
        walk.read()?;
        walk.crash_time.began_ns = walk.crash_time.crashed_ns;
        Ok(walk)
    }

    fn read(&mut self) -> Result<(), RecordingError> {
        self.next = None;
        match self.reader.next_record()? {
            Some(Record::Operation(operation, data)) => {
                self.crash_time.crashed_ns = operation.at_ns;
                self.next = Some((operation, data));
            }
            Some(Record::Ending(ending)) => self.ending = Some(ending),
            None => {}
        }
        Ok(())
    }

    /// The operation at whose entry the walk stands; none at the end.
    pub fn operation(&self) -> Option<&Operation> {
        self.next.as_ref().map(|(operation, _)| operation)
    }

    /// How the recording ended; known once the walk is at its end.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// The position of the operation at whose entry the walk stands, from 1.
    pub fn point(&self) -> u64 {
        self.applied + 1
    }

    /// The state as the completed operations have left it in memory of the kernel.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Length of the ack journal here.
    pub fn journal_length(&self) -> u64 {
        match (&self.next, &self.ending) {
            (Some((operation, _)), _) => operation.journal_length,
            (None, Some(ending)) => ending.journal_length,
            (None, None) => 0,
        }
    }

    /// When a crash here would have happened; none where no operation was recorded.
    pub fn crash_time(&self) -> Option<CrashTime> {
        Some(self.crash_time).filter(|time| *time != CrashTime::default())
    }

    /// Completes the operation. False at the end.
    ///
    /// # Errors
    /// If the recording cannot be read.
    pub fn step(&mut self) -> Result<bool, RecordingError> {
        let Some((operation, data)) = self.next.take() else { return Ok(false) };
        for (effect, bytes) in effects_with_data(&operation.effects, &data) {
            if let Some(durability) = &mut self.durability {
                durability.before(&self.image, effect, operation.ordinal);
            }
            self.image.apply(effect, bytes, operation.at_ns);
            if let Some(durability) = &mut self.durability {
                durability.after(&self.image, effect, operation.ordinal);
                if let Effect::Write { file, .. } | Effect::Resize { file, .. } = effect
                    && is_rebuilt_mapping(&operation)
                {
                    durability.settled(&self.image, *file);
                }
            }
        }
        self.applied += 1;
        self.journal_before = operation.journal_length;
        self.after_barrier = is_barrier(&operation);
        self.read()?;
        Ok(true)
    }

    /// Goes on until it stands at the entry of the operation at this position.
    ///
    /// # Errors
    /// If the recording cannot be read.
    pub fn step_to(&mut self, point: u64) -> Result<(), RecordingError> {
        while self.point() < point && self.step()? {}
        Ok(())
    }

    /// The states of every model here, in order of the models.
    pub fn variants(&self) -> Vec<StateName> {
        let point = self.point();
        let mut names = Vec::new();
        if self.next.as_ref().is_some_and(|(operation, _)| !operation.address_is_point()) {
            return names; // a store into a mapping: there is no call to stop at
        }
        let mut add = |model, variant| names.push(StateName { point, model, variant });
        if let Some((operation, _)) = self.next.as_ref() {
            if self.models.has(CrashModel::Kill) {
                add(CrashModel::Kill, Variant::Only);
            }
            if self.models.has(CrashModel::TornWrite) {
                for bytes in torn_cuts(operation) {
                    add(CrashModel::TornWrite, Variant::Bytes(bytes));
                }
            }
        }
        if let Some(durability) = &self.durability {
            durability.variants(&self.image, &self.models, self.cut(), &mut add);
        }
        names
    }

    fn cut(&self) -> Cut {
        let Some((operation, _)) = &self.next else { return Cut::Edge };
        let barrier = is_barrier(operation) || self.after_barrier;
        match barrier || operation.journal_length > self.journal_before {
            true => Cut::Edge,
            false => Cut::Inner,
        }
    }

    /// Builds one of the states that [`Walk::variants`] named here.
    pub fn build(&self, name: &StateName) -> Image {
        assert_eq!(name.point, self.point(), "a state is built where it was named");
        let image = match (name.model, &name.variant) {
            (CrashModel::Kill, _) => self.image.clone(),
            (CrashModel::TornWrite, Variant::Bytes(bytes)) => self.torn(*bytes),
            _ => match &self.durability {
                Some(durability) => durability.build(&self.image, name),
                None => self.image.clone(),
            },
        };
        image.without_nameless()
    }

    fn torn(&self, bytes: u64) -> Image {
        let mut image = self.image.clone();
        if let Some((operation, data)) = &self.next {
            for (effect, data) in effects_with_data(&operation.effects, data) {
                if let Effect::Write { file, offset, .. } = effect {
                    let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(data.len());
                    image.content_mut(*file).write(*offset, &data[..length]);
                    image.set_modified(*file, operation.at_ns);
                }
            }
        }
        image
    }
}

/// Whether something is durable once this call has returned.
fn is_barrier(operation: &Operation) -> bool {
    operation.effects.iter().any(|effect| {
        matches!(
            effect,
            Effect::Synced { .. } | Effect::SyncedAll | Effect::Write { durable: true, .. }
        )
    })
}

/// What an operation knows of itself as a crash point.
trait CrashPoint {
    fn address_is_point(&self) -> bool;
}

impl CrashPoint for Operation {
    fn address_is_point(&self) -> bool {
        match &self.address {
            killpoint_model::Address::Call { kind, .. } => kind.is_point(),
            killpoint_model::Address::End => false,
        }
    }
}

/// Whether an operation is a store into a mapping that the first opener rebuilds anyway.
fn is_rebuilt_mapping(operation: &Operation) -> bool {
    !operation.address_is_point()
        && operation.shown.iter().any(|path| crate::recording::is_rebuilt(path))
}

/// Whether a crash point stands at the entry of an operation.
pub fn is_point(operation: &Operation) -> bool {
    operation.address_is_point()
}

/// After how many bytes a kill can cut a write: at the first, middle and last multiple of 4,096 of
/// the file's offset that lies within it.
pub fn torn_cuts(operation: &Operation) -> Vec<u64> {
    match operation.effects.as_slice() {
        [Effect::Write { offset, length, .. }] => boundaries(*offset, *length, BLOCK),
        _ => Vec::new(),
    }
}

/// First, middle and last multiple of `unit` strictly inside a range, as bytes from its start.
pub(crate) fn boundaries(offset: u64, length: u64, unit: u64) -> Vec<u64> {
    let first = offset / unit + 1;
    let last = (offset + length).div_ceil(unit).saturating_sub(1);
    if first > last {
        return Vec::new();
    }
    let mut cuts: Vec<u64> =
        [first, first + (last - first) / 2, last].map(|index| index * unit - offset).to_vec();
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_tears_only_at_multiples_of_the_files_offset() {
        let cases: [(u64, u64, &[u64]); 7] = [
            (0, 100, &[]),
            (0, 4_096, &[]),
            (0, 4_097, &[4_096]),
            (4_090, 20, &[6]),
            (0, 12_288, &[4_096, 8_192]),
            (0, 40_960, &[4_096, 20_480, 36_864]),
            (100, 8_192, &[3_996, 8_092]),
        ];
        for (offset, length, expected) in cases {
            assert_eq!(boundaries(offset, length, 4_096), expected, "{offset}+{length}");
        }
    }
}
