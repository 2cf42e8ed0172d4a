//! Events: what a run did and saw, in order. Plain, owned and serialisable; the event log is a
//! list of these, each chained to the one before it by its hash.

use crate::address::Address;
use crate::crash_model::CrashModel;
use crate::finding::{Finding, Look, NotCovered, Setting};
use crate::phase::Phase;
use crate::trial::TrialEvent;
use crate::verdict::{Judgement, Outcome, Reason};
use serde::{Deserialize, Serialize};

/// Version of the event log's format.
pub const EVENT_LOG_VERSION: u32 = 7;

/// One operation as a timeline shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineRow {
    /// Position in the recording, from 1.
    pub ordinal: u64,
    /// The address.
    pub address: Address,
    /// The real paths.
    pub shown: String,
    /// The system call.
    pub call: String,
    /// The process, numbered from 1 in order of birth.
    pub process: u32,
    /// What the call returned.
    pub result: i64,
    /// Acknowledgements in the journal at its entry.
    pub acknowledged: u64,
    /// The part of the target's life that it lies in.
    pub phase: Phase,
}

/// How many points and states a model has in a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCount {
    /// Crash points with at least one state of the model.
    pub points: u64,
    /// States before equal ones are merged.
    pub states: u64,
}

/// Something that a run did or saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// The first event.
    RunStarted {
        /// Id of the run.
        run: String,
        /// Version of killpoint.
        killpoint: String,
        /// When, RFC 3339.
        started: String,
        /// The commit under test.
        commit: Option<String>,
        /// The CI job.
        job_url: Option<String>,
        /// How the run was set up.
        setting: Box<Setting>,
    },
    /// The run was interrupted, and goes on.
    Resumed {
        /// When, RFC 3339.
        resumed: String,
    },
    /// A recording was made and its rebuilt end compared with the real one.
    Recorded {
        /// Which, from 1.
        recording: u32,
        /// Operations in it.
        operations: u64,
        /// Acknowledgements in it.
        acknowledged: u64,
        /// Drafts in its journal.
        #[serde(default)]
        drafts: u64,
        /// Calls that were looked at and lay outside the state.
        outside: u64,
        /// BLAKE3 of the recording file, hexadecimal.
        digest: String,
    },
    /// A recording was made and set aside: another was made in its place.
    SetAside {
        /// Its operations, stores into mappings apart.
        operations: u64,
    },
    /// The operations of the first recording, bounded.
    Timeline {
        /// The first operations.
        rows: Vec<TimelineRow>,
        /// How many are left out.
        omitted: u64,
    },
    /// What will be judged.
    Planned {
        /// Entries of in-state calls.
        points: u64,
        /// Addresses that not every recording had.
        unstable: u64,
        /// Whether the order of the addresses varied between recordings.
        #[serde(default)]
        order_varies: bool,
        /// Counts by model.
        models: Vec<(CrashModel, PlannedCount)>,
        /// What is enumerated and what is left out, in words.
        bounds: Vec<String>,
    },
    /// A distinct crash state was judged.
    Judged {
        /// Which trial, from 1.
        trial: u64,
        /// Digest of the state's bytes, modes, acknowledgements and undecided intents.
        state: String,
        /// The models that allow it and the points (positions from 1) where they do.
        at: Vec<(CrashModel, Vec<u64>)>,
        /// The verdict.
        judgement: Judgement,
        /// What the checker said, bounded; only where a promise was broken.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        output: String,
        /// At which look the promise is broken.
        #[serde(default, skip_serializing_if = "Look::is_first")]
        look: Look,
        /// Files that are left over in the state, some of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        litter: Vec<String>,
        /// Keys with values that nothing speaks of, some of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unjudged: Vec<String>,
    },
    /// How many points of a model are violated or unknown, once all states are judged.
    PointVerdicts {
        /// The model.
        model: CrashModel,
        /// Points with a violated state.
        violated: u64,
        /// Points without a violated and with an unknown state.
        unknown: u64,
    },
    /// A recovered store was checked a second time.
    SecondCheck {
        /// Whether it still held.
        held: bool,
    },
    /// A live kill is about to be carried out; on disk before the strike.
    StrikePlanned {
        /// Where.
        address: Address,
        /// Which try, from 1.
        attempt: u32,
    },
    /// A live kill was carried out, or met nothing.
    Struck {
        /// Where.
        address: Address,
        /// Which try, from 1.
        attempt: u32,
        /// Whether it fired and the state and verdict class are those of the rebuilt state.
        agreed: bool,
        /// Why it does not count, if it does not.
        reason: Option<Reason>,
        /// In words.
        detail: String,
    },
    /// A finding, whole.
    Found {
        /// The finding.
        finding: Box<Finding>,
        /// Whether it stands in the baseline file.
        known: bool,
    },
    /// Something that is not covered.
    NotCovered(NotCovered),
    /// Something that could not be judged, apart from a state or a strike.
    Unknown {
        /// Why.
        reason: Reason,
        /// In words.
        detail: String,
    },
    /// A remark that changes no verdict.
    Note {
        /// In words.
        text: String,
    },
    /// What a trial of a scenario did or saw.
    Trial(Box<TrialEvent>),
    /// A stage ended.
    Stage {
        /// Its name: `recorded`, `judged`, `confirmed`.
        name: String,
        /// How long it took.
        seconds: f64,
    },
    /// The last event.
    RunEnded {
        /// The result.
        result: Outcome,
        /// Why, in a sentence, where it is not plain.
        explanation: String,
    },
}
