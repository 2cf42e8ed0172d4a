//! The built-in oracle at work in a judge's worker: learns a recording, judges images.

mod births;
mod changes;
mod forms;
mod killed;
pub mod promises;
mod values;
mod veils;

use super::oracle::{
    self, Completing, Completion, Crash, CrashState, Digest, Follower, Kind, LITTER_NAMED_MAX,
    Learner, Oracle, Present, state,
};
use births::Births;
use changes::Changes;
pub use killed::Killed;
use killpoint_engine::image::{Content, Image};
use killpoint_engine::recording::{Reader, Record, RecordingError};
use killpoint_engine::states::{Models, StateName, Walk};
use killpoint_model::operation::{FileId, FileKind, Name};
use killpoint_model::verdict::{Judgement, Reason, Verdict};
use killpoint_model::{Address, Profile};
use promises::Promises;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use values::Values;

/// What was learnt of each state directory.
pub struct BuiltIn {
    oracles: Vec<Oracle>,
    /// Operations at whose entry there were more acknowledgements than before that survive a loss of
    /// power, ascending.
    durable: Vec<u64>,
    unwritten: Unwritten,
    births: Births,
    digests: Digests,
    /// What was learnt.
    recording: PathBuf,
    /// Its operations that were the last to change a file before it was complete.
    completing: Completing,
    /// Its operations by their addresses, once they are asked for.
    addresses: OnceCell<HashMap<Address, u64>>,
}

/// How the end of a recording is taken.
struct Ends<'a> {
    /// Whether an operation completed a file that nothing changed afterwards.
    completes: &'a dyn Fn(u64) -> Completion,
    /// Makes an oracle of what was learnt of a state directory, and by which operation each file came to be what it is
    /// at the end.
    finish: &'a dyn Fn(usize, Learner, BTreeMap<PathBuf, u64>) -> Oracle,
}

/// What was acknowledged first that was not written then: with a kill, and with a loss of power.
#[derive(Default)]
struct Unwritten {
    kill: Option<Unkept>,
    power_loss: Option<Unkept>,
}

/// Something that was acknowledged, and was not written to the state then.
struct Unkept {
    /// The first operation before which it had been acknowledged.
    at: u64,
    key: String,
    /// Whether its value was written later.
    is_late: bool,
}

/// Digests of contents by the engine's own, which cost nothing.
type Digests = RefCell<HashMap<[u8; 40], Digest>>;

/// Where a state is made real when a database has to be opened.
pub type Place<'a> = dyn FnMut() -> io::Result<Vec<PathBuf>> + 'a;

/// Why a recording could not be learnt.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// It cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// A state could not be made real.
    #[error("a state of the recording could not be made real")]
    Place(#[from] io::Error),
}

impl BuiltIn {
    /// Learns a recording and what was promised in it. `place` makes the image it is given real.
    ///
    /// # Errors
    /// If the recording cannot be read or a state of it cannot be made real.
    pub fn learn(
        recording: &Path,
        promises: &Promises,
        initial: &Image,
        place: &mut dyn FnMut(&Image) -> io::Result<Vec<PathBuf>>,
    ) -> Result<Self, LearnError> {
        let ends =
            Ends { completes: &|_| Completion::Yes, finish: &|_, learner, _| learner.finish() };
        BuiltIn::learn_to(recording, promises, initial, place, &ends)
    }

    fn learn_to(
        recording: &Path,
        promises: &Promises,
        initial: &Image,
        place: &mut dyn FnMut(&Image) -> io::Result<Vec<PathBuf>>,
        ends: &Ends<'_>,
    ) -> Result<Self, LearnError> {
        let digests = Digests::default();
        let (births, unwritten) = survey(recording, promises, Some(initial))?;
        let (mut oracles, mut durable) = (Vec::new(), Vec::new());
        let mut completing = Completing::new();
        for root in 0..initial.roots().len() {
            let mut counted = Counted::default();
            let follower = follow(recording, initial, root, |at, journal_length| {
                counted.count(promises, at, journal_length)
            })?;
            let followed = follower.finish_killed(ends.completes);
            for (at, completion) in followed.completing {
                let known = completing.entry(at).or_insert(completion);
                *known = completion.max(*known);
            }
            let mut learner = followed.learner;
            for (at, count) in counted.kill {
                learner.acknowledgements(at, count);
            }
            durable = counted.power_loss.into_iter().map(|(at, _)| at).collect();
            offer_committed(
                recording,
                initial,
                root,
                &mut learner,
                &followed.committed_states,
                &digests,
                place,
            )?;
            oracles.push((ends.finish)(root, learner, followed.reached));
        }
        let (recording, addresses) = (recording.to_owned(), OnceCell::new());
        Ok(BuiltIn {
            oracles,
            durable,
            unwritten,
            births,
            digests,
            recording,
            completing,
            addresses,
        })
    }

    /// The files that are judged and how: index of the state directory, path, kind.
    pub fn subjects(&self) -> impl Iterator<Item = (usize, &Path, Kind)> {
        self.oracles.iter().enumerate().flat_map(|(root, oracle)| {
            oracle.subjects().map(move |(path, kind)| (root, path, kind))
        })
    }

    /// A state that another run has left, whose recording is at `recording`, with the names that the same files
    /// had in the run that was learnt.
    ///
    /// # Errors
    /// If the recording cannot be read.
    pub fn with_own_names(&self, image: Image, recording: &Path) -> Result<Image, RecordingError> {
        let (births, _) = survey(recording, &Promises::default(), None)?;
        Ok(self.births.rename(image, &births))
    }

    /// Judges one state, and names what is left over in it. `recorded_beyond` says whether the log that was learnt goes on beyond the
    /// crash and has all that happened.
    pub fn judge(
        &self,
        image: &Image,
        state: &StateName,
        recorded_beyond: bool,
        place: &mut Place<'_>,
    ) -> (Judgement, Vec<String>) {
        let mut worst = Judgement::held();
        let mut litter = Vec::new();
        let durable = self.durable.iter().rev().find(|ordinal| **ordinal <= state.point);
        for (root, oracle) in self.oracles.iter().enumerate() {
            let seen = ImageState::new(image, root, &self.digests, place);
            let crash = Crash {
                at: state.point,
                power_loss: state.model.is_power_loss(),
                durable_from: durable.map(|ordinal| ordinal.saturating_sub(1)),
                recorded_beyond,
            };
            let judged = oracle.judge(&seen, &crash);
            litter.extend(judged.litter.named.iter().map(|path| oracle::shown(path)));
            if judged.judgement.verdict > worst.verdict {
                worst = judged.judgement;
            }
        }
        litter.truncate(LITTER_NAMED_MAX);
        if worst.verdict == Verdict::Held {
            worst = self.unwritten.judge(state).unwrap_or(worst);
        }
        (worst, litter)
    }
}

impl Unwritten {
    /// Nothing in a state shows what was acknowledged before it was written.
    fn judge(&self, state: &StateName) -> Option<Judgement> {
        let first = if state.model.is_power_loss() { &self.power_loss } else { &self.kill };
        let Unkept { key, is_late, .. } =
            first.as_ref().filter(|unkept| unkept.at <= state.point)?;
        let how = match is_late {
            true => "its value was written to the state only after that",
            false => "nothing was written to the state between its intent and that",
        };
        let detail = format!(
            "{key} was acknowledged, and {how}: whether its value is there only a checker can say."
        );
        Some(Judgement::unknown(Reason::NoOracle, detail))
    }
}

/// The names that a recording gave, and what was acknowledged in it before it was written. Values are looked for in
/// what it began with.
fn survey(
    recording: &Path,
    promises: &Promises,
    initial: Option<&Image>,
) -> Result<(Births, Unwritten), RecordingError> {
    let mut values = initial.and_then(|it| Values::missing_in(it, promises.values()));
    let mut changes = initial.map(Changes::since).unwrap_or_default();
    let (mut births, mut entered) = (Births::default(), Vec::new());
    let mut reader = Reader::open(recording)?;
    while let Some(record) = reader.next_record()? {
        let Record::Operation(operation, data) = record else { continue };
        births.note(&operation);
        values.iter_mut().for_each(|values| values.operation(&operation, &data));
        changes.operation(&operation);
        entered.push(operation.journal_length);
    }
    let written = changes.written();
    let values = values.map(Values::written).unwrap_or_default();
    let first = |power_loss| {
        let unwritten = promises.unwritten(&written, power_loss).map(|it| (it, false));
        let early = promises.early(&values, power_loss).map(|it| (it, true));
        let ((acknowledged, key), is_late) = unwritten.into_iter().chain(early).min()?;
        let at = entered.partition_point(|length| *length < acknowledged) as u64 + 1;
        Some(Unkept { at, key: key.to_owned(), is_late })
    };
    Ok((births, Unwritten { kill: first(false), power_loss: first(true) }))
}

/// When more was acknowledged than before, and how much then.
#[derive(Default)]
struct Counted {
    kill: Vec<(u64, u64)>,
    power_loss: Vec<(u64, u64)>,
}

impl Counted {
    /// At the entry of operation `at`, or at the end behind the last one. Whether there is more.
    fn count(&mut self, promises: &Promises, at: u64, journal_length: u64) -> bool {
        let mut is_more = false;
        for (counted, power_loss) in [(&mut self.kill, false), (&mut self.power_loss, true)] {
            let count = promises.count(journal_length, power_loss);
            if count > counted.last().map_or(0, |(_, count)| *count) {
                counted.push((at, count));
                is_more = true;
            }
        }
        is_more
    }
}

/// `entered` is told the journal's length at the entry of each operation, and at the end; it says whether
/// more was acknowledged.
fn follow(
    recording: &Path,
    initial: &Image,
    root: usize,
    mut entered: impl FnMut(u64, u64) -> bool,
) -> Result<Follower, RecordingError> {
    let root_id = initial.roots()[root];
    let mut follower = Follower::new(root_id);
    begin(&mut follower, initial, root_id, 0);
    let mut reader = Reader::open(recording)?;
    let mut last = 0;
    while let Some(record) = reader.next_record()? {
        match record {
            Record::Operation(operation, data) => {
                if entered(operation.ordinal, operation.journal_length) {
                    follower.acknowledged(last);
                }
                last = operation.ordinal;
                follower.operation(&operation, &data);
            }
            Record::Ending(ending) => {
                if entered(last + 1, ending.journal_length) {
                    follower.acknowledged(last);
                }
            }
        }
    }
    Ok(follower)
}

fn begin(follower: &mut Follower, image: &Image, directory: FileId, depth: usize) {
    const DEPTH_MAX: usize = 1_000;
    let Some(inode) = image.inode(directory).filter(|_| depth < DEPTH_MAX) else { return };
    for (bytes, child) in &inode.entries {
        let name = Name { directory, bytes: bytes.clone() };
        let child = child.file;
        let Some(child_inode) = image.inode(child) else { continue };
        match child_inode.kind {
            FileKind::Directory => {
                follower.begin_directory(child, name);
                begin(follower, image, child, depth + 1);
            }
            FileKind::Regular => {
                follower.begin_file(child, name, child_inode.content.clone());
            }
            FileKind::Symlink(ref target) => follower.begin_link(child, name, target),
            _ => {}
        }
    }
}

fn offer_committed(
    recording: &Path,
    initial: &Image,
    root: usize,
    learner: &mut Learner,
    committed: &super::oracle::follower::CommittedStates,
    digests: &Digests,
    place: &mut dyn FnMut(&Image) -> io::Result<Vec<PathBuf>>,
) -> Result<(), LearnError> {
    if committed.is_empty() {
        return Ok(());
    }
    let none = Models { models: Vec::new(), profile: Profile::Strict };
    let mut walk = Walk::start(recording, initial.clone(), none)?;
    for (at, databases) in committed {
        walk.step_to(at + 1)?;
        let image = walk.image().without_nameless();
        let mut place_here = || place(&image);
        let state = ImageState::new(&image, root, digests, &mut place_here);
        learner.committed(*at, databases, &state)?;
    }
    Ok(())
}

/// An image as the oracle sees it.
struct ImageState<'a, 'b> {
    image: &'a Image,
    files: BTreeMap<PathBuf, Present>,
    links: BTreeMap<PathBuf, Vec<u8>>,
    root: usize,
    place: RefCell<&'a mut Place<'b>>,
}

impl<'a, 'b> ImageState<'a, 'b> {
    fn new(image: &'a Image, root: usize, digests: &Digests, place: &'a mut Place<'b>) -> Self {
        // In the order of their paths: so the map is made of them without a search for each.
        let mut files = Vec::new();
        let mut links = BTreeMap::new();
        image.walk(|(index, path), _, inode| {
            if index != root {
                return;
            }
            let path = PathBuf::from(OsStr::from_bytes(path));
            match &inode.kind {
                FileKind::Regular => {
                    let present = Present {
                        digest: digest_of(&inode.content, digests),
                        length: inode.content.size(),
                    };
                    files.push((path, present));
                }
                FileKind::Symlink(target) => {
                    links.insert(path, target.clone());
                }
                _ => {}
            }
        });
        let files = files.into_iter().collect();
        ImageState { image, files, links, root, place: RefCell::new(place) }
    }
}

fn digest_of(content: &Content, digests: &Digests) -> Digest {
    *digests.borrow_mut().entry(content.digest()).or_insert_with(|| state::digest_of(content))
}

impl CrashState for ImageState<'_, '_> {
    fn files(&self) -> &BTreeMap<PathBuf, Present> {
        &self.files
    }

    fn links(&self) -> &BTreeMap<PathBuf, Vec<u8>> {
        &self.links
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.image.find(self.root, path.as_os_str().as_bytes());
        let inode = file.and_then(|file| self.image.inode(file)).ok_or(io::ErrorKind::NotFound)?;
        Ok(inode.content.read(0, u64::MAX))
    }

    fn directory(&self) -> io::Result<PathBuf> {
        let directories = (self.place.borrow_mut())()?;
        directories.get(self.root).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
