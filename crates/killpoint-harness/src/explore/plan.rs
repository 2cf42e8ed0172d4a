//! Which crash states there are, and which of them are distinct.

use super::options::Options;
use super::problem::ExploreError;
use super::recordings::Recorded;
use crate::asserter::checker::Expectation;
use crate::asserter::journal::Pending;
use crate::asserter::oracle::sqlite::MAGIC;
use crate::environment::local::{Local, snapshot_name};
use crate::journalist::Journalist;
use killpoint_engine::image::Image;
use killpoint_engine::states::{
    BETWEEN_MAX, DIRECTORY_OPERATIONS_MAX, Models, StateName, WRITES_MAX, Walk, is_point,
};
use killpoint_model::event::{Event, PlannedCount};
use killpoint_model::operation::{Effect, FileId};
use killpoint_model::{CrashModel, Operation, Phase};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

/// A distinct crash state: equal bytes, modes, acknowledgements and undecided intents are one.
#[derive(Clone, Debug)]
pub struct State {
    /// How it is built; the first of all that are equal.
    pub name: StateName,
    /// Digest of all that makes it distinct, hexadecimal.
    pub digest: String,
    /// Digest of its bytes and modes alone.
    pub image: blake3::Hash,
    /// Length of the journal there.
    pub journal_length: u64,
    /// Every way to name it, in order of the points.
    pub at: Vec<StateName>,
}

/// What is to be judged.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The models and the profile.
    pub models: Models,
    /// The distinct states, in order of their first points.
    pub states: Vec<State>,
    /// Entries of in-state calls.
    pub points: u64,
    /// The operations without their data, for whoever explains.
    pub operations: Vec<Operation>,
    /// The files that the operations change and that are SQLite databases in the end.
    pub databases: BTreeSet<FileId>,
    /// The phase of each operation and, last, of the end.
    pub phases: Vec<Phase>,
    /// How many points each model has.
    pub counts: BTreeMap<CrashModel, PlannedCount>,
    /// The point at which a model's last state was added.
    last_point: BTreeMap<CrashModel, u64>,
}

impl State {
    /// The models and the points at which they allow this state.
    pub fn by_model(&self) -> Vec<(CrashModel, Vec<u64>)> {
        let mut by_model: BTreeMap<CrashModel, Vec<u64>> = BTreeMap::new();
        for name in &self.at {
            let points = by_model.entry(name.model).or_default();
            if points.last() != Some(&name.point) {
                points.push(name.point);
            }
        }
        by_model.into_iter().collect()
    }
}

/// The images of the initial state, from the folder of the run.
///
/// # Errors
/// If it cannot be read.
pub fn initial_image(local: &Local) -> Result<Image, ExploreError> {
    let paths: Vec<PathBuf> = (0..local.roots.len())
        .map(|index| local.folder.join(&snapshot_name(&local.snapshot, index)))
        .collect();
    Ok(Image::scan(&paths)?)
}

/// Goes over the recording once and finds every distinct state.
///
/// # Errors
/// If the recording cannot be read or the log cannot be written.
pub fn plan(
    options: &Options,
    local: &Local,
    recorded: &Recorded,
    journalist: &mut Journalist,
) -> Result<Plan, ExploreError> {
    let plan = survey(options, local, recorded)?;
    let of_operations = &plan.phases[..plan.operations.len()];
    if let Some(text) = super::phases::summary(of_operations) {
        journalist.tell(Event::Note { text })?;
    }
    journalist.tell(Event::Planned {
        points: plan.points,
        unstable: recorded.unstable.len() as u64,
        order_varies: !recorded.same_order,
        models: plan.counts.iter().map(|(model, count)| (*model, *count)).collect(),
        bounds: bounds(options, recorded, &plan),
    })?;
    Ok(plan)
}

/// The models of a run.
pub fn models(options: &Options) -> Models {
    Models { models: options.models.clone(), profile: options.profile }
}

/// The same, told to nobody.
///
/// # Errors
/// If the recording cannot be read.
pub fn survey(options: &Options, local: &Local, recorded: &Recorded) -> Result<Plan, ExploreError> {
    let models = models(options);
    let path = local.folder.join(&format!("recordings/{}.rec", recorded.name));
    let mut walk = Walk::start(&path, initial_image(local)?, models.clone())?;
    let mut plan = Plan::empty(models);
    let mut known: HashMap<blake3::Hash, usize> = HashMap::new();
    let promises = local.promises(&recorded.journal);
    loop {
        if let Some(operation) = walk.operation() {
            plan.points += u64::from(is_point(operation));
            plan.operations.push(operation.clone());
            plan.phases.push(recorded.phases.at(operation.ordinal, operation.journal_length));
        } else {
            plan.phases.push(recorded.phases.at_end());
        }
        if options.phases.contains(&plan.phase_at(walk.point())) {
            for name in walk.variants() {
                let journal_length = walk.journal_length();
                let promised = match &recorded.expectation {
                    Expectation::Journal(history) => {
                        Promised::Pending(history.pending(journal_length))
                    }
                    Expectation::BuiltIn => {
                        Promised::Count(promises.count(journal_length, name.model.is_power_loss()))
                    }
                    Expectation::Between { .. } => Promised::Nothing,
                };
                plan.add(name, &walk, &promised, &mut known);
            }
        }
        if !walk.step()? {
            plan.databases = databases(&plan.operations, walk.image());
            return Ok(plan);
        }
    }
}

/// The files that operations change and that are SQLite databases in an image.
fn databases(operations: &[Operation], image: &Image) -> BTreeSet<FileId> {
    let changed =
        operations.iter().flat_map(|operation| &operation.effects).filter_map(Effect::file);
    let changed: BTreeSet<FileId> = changed.collect();
    let is_database = |file: &FileId| {
        let content = image.inode(*file).map(|inode| &inode.content);
        content.is_some_and(|it| it.read(0, MAGIC.len() as u64) == MAGIC)
    };
    changed.into_iter().filter(is_database).collect()
}

/// The distinct states that a kill leaves inside a recovery.
///
/// # Errors
/// If its recording or its start cannot be read.
pub fn distinct_kill_states(
    inner: &Local,
    recording: &str,
    outer: &Plan,
) -> Result<Plan, ExploreError> {
    let models = Models { models: vec![CrashModel::Kill], profile: outer.models.profile };
    let path = inner.folder.join(&format!("recordings/{recording}.rec"));
    let mut walk = Walk::start(&path, initial_image(inner)?, models.clone())?;
    let mut plan = Plan::empty(models);
    // The start of the recovery was judged before.
    let mut known = std::collections::HashSet::from([walk.image().digest()]);
    loop {
        if let Some(operation) = walk.operation() {
            plan.points += u64::from(is_point(operation));
            plan.operations.push(operation.clone());
        }
        for name in walk.variants() {
            let digest = walk.build(&name).digest();
            if known.insert(digest) {
                plan.states.push(State {
                    at: vec![name.clone()],
                    name,
                    digest: digest.to_hex()[..32].to_owned(),
                    image: digest,
                    journal_length: 0,
                });
            }
        }
        if !walk.step()? {
            plan.databases = databases(&plan.operations, walk.image());
            return Ok(plan);
        }
    }
}

impl Plan {
    fn empty(models: Models) -> Self {
        Plan {
            models,
            states: Vec::new(),
            points: 0,
            operations: Vec::new(),
            databases: BTreeSet::new(),
            phases: Vec::new(),
            counts: BTreeMap::new(),
            last_point: BTreeMap::new(),
        }
    }

    /// The phase of a point.
    pub fn phase_at(&self, point: u64) -> Phase {
        let index = usize::try_from(point - 1).unwrap_or(usize::MAX);
        self.phases.get(index).copied().unwrap_or(Phase::Recovery)
    }

    /// The phases in which points lie, in their order.
    pub fn phases_of(&self, points: &BTreeSet<u64>) -> Vec<Phase> {
        let phases: BTreeSet<Phase> = points.iter().map(|point| self.phase_at(*point)).collect();
        phases.into_iter().collect()
    }

    fn add(
        &mut self,
        name: StateName,
        walk: &Walk,
        promised: &Promised,
        known: &mut HashMap<blake3::Hash, usize>,
    ) {
        let count = self.counts.entry(name.model).or_default();
        count.states += 1;
        let journal_length = walk.journal_length();
        let image = walk.build(&name).digest();
        let digest = digest(image, &name, promised);
        let index = *known.entry(digest).or_insert_with(|| {
            self.states.push(State {
                name: name.clone(),
                digest: digest.to_hex()[..32].to_owned(),
                image,
                journal_length,
                // Most states have one name, and there may be hundreds of thousands.
                at: Vec::with_capacity(1),
            });
            self.states.len() - 1
        });
        if self.last_point.insert(name.model, name.point) != Some(name.point) {
            count.points += 1;
        }
        self.states[index].at.push(name);
    }
}

/// What had to stay at a point: equal images differ by it.
enum Promised {
    /// By an ack journal that a checker's readings are held against.
    Pending(Pending),
    /// So many acknowledgements: the built-in oracle looks at what was complete by then.
    Count(u64),
    /// Nothing that changes.
    Nothing,
}

fn digest(image: blake3::Hash, name: &StateName, promised: &Promised) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(image.as_bytes());
    let power_loss = [u8::from(name.model.is_power_loss())];
    match promised {
        Promised::Pending(pending) => {
            hasher.update(&pending.0).update(&power_loss);
        }
        Promised::Count(count) => {
            hasher.update(&count.to_le_bytes()).update(&power_loss);
        }
        Promised::Nothing => {}
    }
    hasher.finalize()
}

/// Phases by their names.
pub fn names(phases: &[Phase]) -> String {
    phases.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// How many crash points lie in phases that were not asked for.
fn left_out(options: &Options, plan: &Plan) -> u64 {
    let is_left_out = |phase: &Phase| !options.phases.contains(phase);
    let points = plan.operations.iter().zip(&plan.phases);
    points.filter(|(operation, phase)| is_point(operation) && is_left_out(phase)).count() as u64
}

fn bounds(options: &Options, recorded: &Recorded, plan: &Plan) -> Vec<String> {
    let orders = match recorded.same_order {
        true => "the recorded order of operations",
        false => {
            "one recorded order of operations (it varied between recordings; --recordings N makes \
             more)"
        }
    };
    let mut bounds = vec![format!(
        "every crash point of {orders}, and every state that the named models allow there"
    )];
    if options.phases != Phase::ALL {
        let (names, left_out) = (names(&options.phases), left_out(options, plan));
        bounds.push(format!("only the phases {names}; {left_out} crash points lie in others"));
    }
    if plan.counts.contains_key(&CrashModel::TornWrite) {
        bounds.push(
            "torn-write: each write cut at the first, middle and last multiple of 4,096 of the \
             file's offset inside it"
                .to_owned(),
        );
    }
    if options.models.iter().any(|model| model.is_power_loss()) {
        bounds.push(format!(
            "power loss: profile {}; prefix and data at every cut, the other models before barriers, \
             after acknowledgements and at the end; at most {WRITES_MAX} writes and \
             {DIRECTORY_OPERATIONS_MAX} directory operations at a cut, the latest; in between \
             file-lost and dir-lost alone, the latest {BETWEEN_MAX} of each; no pairs of faults",
            options.profile
        ));
    }
    bounds
}
