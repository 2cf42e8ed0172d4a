//! The finding, and what else of a run is told whole: what is not covered, how it was set up.

use crate::address::Address;
use crate::crash_model::{CrashModel, Profile};
use crate::phase::Phase;
use crate::verdict::{Class, Judgement};
use serde::{Deserialize, Serialize};

/// How often a live kill showed the finding again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Live kills that fired at the address and got the same verdict class.
    pub hits: u32,
    /// Live kills tried.
    pub tries: u32,
}

/// One file of a finding, as it was before the crash and as the crash left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Path relative to the state directory.
    pub path: String,
    /// Size before; none if the file was not there.
    pub size_before: Option<u64>,
    /// Size after; none if the file is not there.
    pub size_after: Option<u64>,
    /// A bounded comparison, as text or as hexadecimal, one line an entry; ` `, `-` or `+` first.
    pub difference: Vec<String>,
}

/// Drafts, unsaved work that promises nothing: how many there were, and how many came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drafts {
    /// Drafts in the journal; for a finding those that were open at its crash.
    pub seen: u64,
    /// Drafts that were open at crashes, over all crash states.
    pub open: u64,
    /// Those of them that the reopened store showed again.
    pub restored: u64,
}

impl Drafts {
    /// Whether there were none.
    pub fn is_none(&self) -> bool {
        self.seen == 0
    }

    /// Those of one crash state.
    pub fn at_crash(judgement: &Judgement) -> Self {
        let open = judgement.drafts_open;
        Drafts { seen: open, open, restored: judgement.drafts_restored }
    }
}

/// What is left of a workload of steps when all that a finding does not need is taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shrunk {
    /// The steps that are needed, in order.
    pub steps: Vec<String>,
    /// Of how many.
    pub of: u64,
    /// How many sets of steps were tried.
    pub trials: u64,
    /// Whether each of them is needed; else the bound of trials was reached.
    pub is_minimal: bool,
    /// The crash point of the shrunk workload that shows the finding.
    pub address: Address,
}

/// One defect: a set of crash points at which the same promise is broken in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Number within the run, from 1.
    pub number: u32,
    /// The first crash point that shows it.
    pub address: Address,
    /// Position of that point in the recording, from 1; operations + 1 for `end`.
    pub ordinal: u64,
    /// The address with the real names of the files.
    pub shown: String,
    /// The mildest crash model that shows it.
    pub model: CrashModel,
    /// Every crash model that shows it.
    pub models: Vec<CrashModel>,
    /// How the promise is broken.
    pub class: Class,
    /// What the judge says of the state; [`Finding::class`] is milder where what is gone lies whole in another
    /// file. A replay must get it again.
    pub judged: Class,
    /// How many crash points show it under [`Finding::model`].
    pub points: u64,
    /// Out of how many points of that model.
    pub points_of: u64,
    /// The parts of the target's life in which those points lie.
    pub phases: Vec<Phase>,
    /// What was lost, in plain words and numbers.
    pub detail: String,
    /// Further variables of the state under that model (which write, which boundary), if any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Live kills for `kill` findings; rebuilt and judged again for power loss.
    pub confirmed: Confirmation,
    /// Whether those were live kills; else the state was rebuilt and judged again.
    #[serde(default)]
    pub confirmed_live: bool,
    /// The cause as read off the operation log.
    pub cause: String,
    /// What to do about it.
    pub fix: String,
    /// The nearest point before it that holds.
    pub holds_before: Option<Address>,
    /// The nearest point after it that holds.
    pub holds_after: Option<Address>,
    /// The drafts that were open at the crash.
    #[serde(default, skip_serializing_if = "Drafts::is_none")]
    pub drafts: Drafts,
    /// The steps that it needs, where the workload is a list of steps and was shrunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<Shrunk>,
    /// The line to paste that shows it again.
    pub replay: String,
    /// What the checker printed, bounded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// The files that the crash left different.
    pub files: Vec<FileChange>,
    /// Whether every live kill struck exactly there and showed something else than the rebuilt state.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contradicted: bool,
    /// At which look at what the crash left the promise is broken.
    #[serde(default, skip_serializing_if = "Look::is_first")]
    pub look: Look,
}

/// A look at what a crash left: a promise may be kept at one and broken at a later one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Look {
    /// The store is opened, and so recovered.
    #[default]
    First,
    /// The recovered store is opened a second time.
    Second,
    /// The command is run again, and the store opened after that.
    RunAgain,
}

impl Look {
    /// Whether it is the first.
    pub fn is_first(&self) -> bool {
        *self == Look::First
    }
}

impl Finding {
    /// What a baseline file knows a finding by: it does not change with counts or wording.
    pub fn key(&self) -> String {
        let again = match self.look {
            Look::First => "",
            Look::Second => " second-opening",
            Look::RunAgain => " run-again",
        };
        format!("{} {} {}{again}", self.model, self.class, self.address.shape())
    }
}

/// Something that the harness cannot see or judge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCovered {
    /// The file, or the path of the socket, or `*`.
    pub file: String,
    /// Why.
    pub reason: String,
    /// Whether recovery needs it, which makes the run unknown.
    pub needed: bool,
}

/// How a run was set up; said beside every verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The command of the target.
    pub command: Vec<String>,
    /// The state directories.
    pub state: Vec<String>,
    /// The crash models asked for.
    pub models: Vec<CrashModel>,
    /// The file system profile of the power-loss models.
    pub profile: Profile,
    /// Whether acknowledgements promise survival of a power cut (`kill` or `power-loss`).
    pub acks: String,
    /// Which processes a strike kills.
    pub scope: String,
    /// The command that drives the target, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The roles of the target's processes, each with its selector.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Who judges: the checker's command, `built-in` or the stream checker's command.
    pub oracle: String,
    /// How calls were intercepted, and why so.
    pub mechanism: String,
    /// How the target was contained, and what is weaker than it could be.
    pub containment: String,
    /// The seed, with its generator's name.
    pub seed: String,
    /// How many judges worked side by side.
    pub jobs: u32,
}
