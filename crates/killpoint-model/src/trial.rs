//! What the trials of a scenario run tell: a part of the events of a run.

use crate::crash::Crash;
use crate::finding::FileChange;
use crate::lifecycle::Record;
use crate::objective::Measurement;
use crate::resources::ResourceSeries;
use crate::screenshot::Screenshot;
use crate::strike::Strike;
use crate::verdict::{Class, Judgement, Reason, Verdict};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What stands for the fault where a scenario's own activities are carried out.
pub const ACTIVITIES: &str = "activities";

/// Something that a scenario run did or saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "trial_event")]
pub enum TrialEvent {
    /// What the run will do; `plan.json` has it whole.
    Planned {
        /// The scenario's title.
        title: String,
        /// The plan's digest.
        digest: String,
        /// Trials but the control, each counted once.
        trials: u64,
        /// Strikes in all of them.
        strikes: u64,
        /// How often each is carried out; none where that is not known before.
        rounds: Option<u32>,
        /// Limits and rules that cannot be planned, in words.
        remarks: Vec<String>,
    },
    /// A trial begins.
    Started {
        /// Which; 0 is the control.
        trial: u64,
        /// Which try of it, from 1.
        attempt: u32,
        /// Its rule; empty for the control.
        rule: String,
        /// The try that failed and is repeated by this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rerun_of: Option<u32>,
        /// The verdict that a repetition at the recorded positions is to show again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Verdict>,
    },
    /// What the supervisor told.
    Told {
        /// Which trial.
        trial: u64,
        /// The lifecycle event.
        record: Box<Record>,
    },
    /// The signs of life that one life of a process gave; they are not told one by one.
    Heartbeats {
        /// Which trial.
        trial: u64,
        /// The signs of life.
        heartbeats: Heartbeats,
    },
    /// The workload was started.
    WorkloadStarted {
        /// Which trial.
        trial: u64,
        /// When, in microseconds since the supervisor began.
        at_us: u64,
    },
    /// The workload ended, or was stopped.
    WorkloadEnded {
        /// Which trial.
        trial: u64,
        /// When, in microseconds since the supervisor began; none where there was no workload.
        at_us: Option<u64>,
        /// Its exit status; none if it was ended by a signal or its time was over.
        status: Option<i32>,
        /// Whether its time was over.
        timed_out: bool,
        /// Acknowledgements in the journal.
        acknowledged: u64,
    },
    /// A strike is about to be carried out; on disk before it is.
    StrikePlanned {
        /// Which trial.
        trial: u64,
        /// Which strike of the trial, from 1.
        strike: u64,
        /// What, in words.
        fault: String,
        /// Where it stands logically.
        position: Position,
        /// Whom: numbers of processes.
        pids: Vec<i32>,
        /// The names of the supervised ones among them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        processes: Vec<String>,
    },
    /// A strike was carried out, or met nobody.
    Struck {
        /// Which trial.
        trial: u64,
        /// Which strike of the trial, from 1.
        strike: u64,
        /// What it did to each process.
        strikes: Vec<Strike>,
        /// Why it does not count, if it does not.
        reason: Option<Reason>,
        /// In words.
        detail: String,
    },
    /// An activity of the scenario ended.
    ActivityEnded {
        /// Which trial.
        trial: u64,
        /// Which strike of the trial, from 1.
        strike: u64,
        /// Its name.
        name: String,
        /// What it is for.
        role: ActivityRole,
        /// How it ended, in words.
        how: String,
        /// What it printed, or the answer, bounded.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        output: String,
        /// Whether it ended as it had to.
        tolerated: bool,
        /// How long it took.
        seconds: f64,
    },
    /// The target is ready again.
    Recovered {
        /// Which trial.
        trial: u64,
        /// From which strike, from 1.
        strike: u64,
        /// Microseconds from the strike to the last moment at which it was not ready for sure.
        last_bad_us: u64,
        /// Microseconds from the strike to the first moment at which it was ready for sure.
        first_good_us: u64,
    },
    /// An invariant was judged.
    Judged {
        /// Which trial.
        trial: u64,
        /// Its kind.
        invariant: String,
        /// After which strike; none at the end.
        strike: Option<u64>,
        /// The verdict.
        judgement: Judgement,
    },
    /// A supervised process crashed, whoever did it.
    Crashed(Box<Crash>),
    /// Crashes that are too many to be told.
    CrashesOmitted {
        /// Which trial.
        trial: u64,
        /// How many by strikes.
        struck: u64,
        /// How many others.
        own: u64,
    },
    /// What the target used.
    Resources {
        /// Which trial.
        trial: u64,
        /// One series for each process or role, bounded.
        series: Vec<ResourceSeries>,
    },
    /// What became of unsaved work that was there at a strike.
    Drafts {
        /// Which trial.
        trial: u64,
        /// Which strike.
        strike: u64,
        /// How often the target was started since, at least once: whoever reads a store opens it as the
        /// next start would.
        restarts: u64,
        /// Keys that had a draft when it struck.
        open: u64,
        /// Keys that show it, as the draft or saved.
        restored: u64,
    },
    /// The state around a strike of a trial that was violated.
    Changed {
        /// Which trial.
        trial: u64,
        /// Which strike.
        strike: u64,
        /// The files that differ, bounded.
        files: Vec<FileChange>,
        /// How many are left out.
        omitted: u64,
    },
    /// What the screen showed in a trial that did not hold.
    Pictured {
        /// Which trial.
        trial: u64,
        /// The pictures, bounded.
        pictures: Vec<Screenshot>,
    },
    /// How often the target crashed by itself in all runs of the same version.
    Release(Release),
    /// What was measured for an objective, at the end of the run.
    Measured(Measurement),
    /// A trial ended.
    Ended {
        /// Which.
        trial: u64,
        /// Which try of it, from 1.
        attempt: u32,
        /// Strikes that did something.
        fired: u64,
        /// The worst of its verdicts; where some stand in the baseline, the worst of the others.
        judgement: Judgement,
        /// How it broke promises otherwise, the worst first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        also: Vec<Class>,
        /// Whether all of that stands in the baseline.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        known: bool,
        /// Whether the target never came back from its last strike.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unrecovered: bool,
        /// The line that carries it out again.
        replay: String,
        /// How long it took.
        seconds: f64,
    },
}

/// What an activity was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActivityRole {
    /// To change something.
    Action,
    /// To ask.
    Probe,
    /// To undo.
    Rollback,
}

/// All runs of one version of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What the version is.
    pub version: String,
    /// How many runs, this one included.
    pub runs: u64,
    /// Own crashes in all of them.
    pub crashes: u64,
    /// Milliseconds of trials in all of them.
    pub trials_ms: u64,
    /// Own crashes in this one.
    pub own_crashes: u64,
    /// Milliseconds of trials in this one.
    pub own_trials_ms: u64,
    /// Runs beside it that could not be read.
    pub unreadable: u64,
}

/// Where a strike stands in what the target did, apart from time: a replay strikes there again.
///
/// Positions are compared part by part, in the order of [`Position::course`]: acknowledgements lead,
/// then lines of the journal, then the checkpoint, then lifecycle events. Within one position the time
/// since it was reached tells where the strike stood.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The role or process that is struck, where one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Lines of the ack journal.
    pub journal_lines: u64,
    /// Acknowledgements in it.
    pub acknowledged: u64,
    /// Lifecycle events that had been told since the workload started, or since the target had come
    /// back from the strike before; without those that a clock makes (heartbeats, status).
    pub lifecycle_events: u64,
    /// The last checkpoint that had been told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<u64>,
    /// The address at which it struck, where a call was held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Microseconds since the journal grew or such an event was told, whichever was later; since the
    /// workload started where neither was.
    pub since_last_us: u64,
    /// Milliseconds since the workload started.
    pub after_ms: u64,
    /// Microseconds since the supervisor began.
    #[serde(default)]
    pub at_us: u64,
}

/// The signs of life of one life of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeats {
    /// The process.
    pub process: String,
    /// How often it was started by then.
    pub life: u32,
    /// How many.
    pub count: u64,
    /// The first, in microseconds since the supervisor began.
    pub first_us: u64,
    /// The last.
    pub last_us: u64,
    /// The longest time between two, in microseconds.
    pub longest_gap_us: u64,
}

impl Position {
    /// What is compared, the leading part first.
    pub fn course(&self) -> (u64, u64, Option<u64>, u64) {
        (self.acknowledged, self.journal_lines, self.checkpoint, self.lifecycle_events)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} acknowledged, {} journal lines, ", self.acknowledged, self.journal_lines)?;
        if let Some(checkpoint) = self.checkpoint {
            write!(f, "checkpoint {checkpoint}, ")?;
        }
        write!(f, "{} lifecycle events", self.lifecycle_events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_lead_and_events_come_last() {
        let position = |acknowledged, journal_lines, lifecycle_events| Position {
            acknowledged,
            journal_lines,
            lifecycle_events,
            ..Position::default()
        };
        assert!(position(2, 4, 9).course() < position(3, 4, 0).course());
        assert!(position(2, 4, 9).course() < position(2, 5, 0).course());
        assert!(position(2, 4, 1).course() < position(2, 4, 2).course());
        let shown = Position { checkpoint: Some(7), ..position(2, 4, 1) }.to_string();
        assert_eq!(shown, "2 acknowledged, 4 journal lines, checkpoint 7, 1 lifecycle events");
    }
}
