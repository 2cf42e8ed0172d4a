//! What a live kill has left where the run that was learnt does not know it: bytes vary from run to run, threads
//! came in another order, or others went on after the kill. The kill's own recording knows the versions then, and
//! the run that was learnt says which of its changes were complete.

use super::{BuiltIn, Ends, LearnError, Promises};
use crate::asserter::oracle::{Completion, Guide, Learner, Oracle};
use killpoint_engine::image::Image;
use killpoint_engine::recording::{Reader, Record, RecordingError};
use killpoint_engine::states::is_point;
use killpoint_model::Address;
use killpoint_model::operation::FileId;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A run that was killed.
pub struct Killed<'a> {
    /// Its recording.
    pub recording: &'a Path,
    /// What was promised in it.
    pub promises: &'a Promises,
    /// What it has left.
    pub left: &'a Image,
    /// The same with the names that its files had in the run that was learnt.
    pub renamed: &'a Image,
    /// The operation of the run that was learnt of which the kill let in a part.
    pub torn: Option<u64>,
}

impl BuiltIn {
    /// Learns the recording of a run that was killed, with what is known of this one. `place` makes the image it
    /// is given real.
    ///
    /// # Errors
    /// If a recording cannot be read or a state of it cannot be made real.
    pub fn learn_killed(
        &self,
        killed: &Killed<'_>,
        initial: &Image,
        place: &mut dyn FnMut(&Image) -> io::Result<Vec<PathBuf>>,
    ) -> Result<BuiltIn, LearnError> {
        let counterparts = self.counterparts(killed.recording)?;
        let completes = |at: u64| match counterparts.get(&at) {
            Some(own) if Some(*own) == killed.torn => Completion::No,
            Some(own) => self.completing.get(own).copied().unwrap_or(Completion::No),
            None => Completion::Yes,
        };
        let names = names(killed.left, killed.renamed);
        let finish = |root: usize, learner: Learner, reached: BTreeMap<PathBuf, u64>| -> Oracle {
            let names = names.get(&root).cloned().unwrap_or_default();
            let reference = &self.oracles[root];
            let counterparts = counterparts.clone();
            learner.finish_killed(&Guide { reference, names, counterparts, reached })
        };
        let ends = Ends { completes: &completes, finish: &finish };
        BuiltIn::learn_to(killed.recording, killed.promises, initial, place, &ends)
    }

    /// Which operation of this run each operation of another one was, by their addresses.
    fn counterparts(&self, other: &Path) -> Result<HashMap<u64, u64>, RecordingError> {
        let own = match self.addresses.get() {
            Some(own) => own,
            None => {
                let own = addresses(&self.recording)?;
                self.addresses.get_or_init(|| own)
            }
        };
        let others = addresses(other)?.into_iter();
        Ok(others.filter_map(|(address, at)| Some((at, *own.get(&address)?))).collect())
    }
}

/// The operations of a recording by their addresses.
fn addresses(recording: &Path) -> Result<HashMap<Address, u64>, RecordingError> {
    let mut addresses = HashMap::new();
    let mut reader = Reader::open(recording)?;
    while let Some(record) = reader.next_record()? {
        if let Record::Operation(operation, _) = record
            && is_point(&operation)
        {
            addresses.insert(operation.address, operation.ordinal);
        }
    }
    Ok(addresses)
}

/// By state directory, the paths that files had in another run, where they were others.
fn names(left: &Image, renamed: &Image) -> HashMap<usize, HashMap<PathBuf, PathBuf>> {
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    let mut others: HashMap<(usize, FileId), Vec<PathBuf>> = HashMap::new();
    renamed.walk(|(root, bytes), file, _| {
        others.entry((root, file)).or_default().push(path(bytes));
    });
    let mut names: HashMap<usize, HashMap<PathBuf, PathBuf>> = HashMap::new();
    left.walk(|(root, bytes), file, _| {
        let others = others.get(&(root, file)).map_or(&[][..], Vec::as_slice);
        let own = path(bytes);
        if let Some(other) = others.first().filter(|_| !others.contains(&own)) {
            names.entry(root).or_default().insert(own, other.clone());
        }
    });
    names
}
