//! What the log of an earlier run, or of the interrupted part of this one, says about its trials.

use super::judging::Readings;
use super::problem::CampaignError;
use super::stage::Ended;
use crate::store::RunFolder;
use killpoint_engine::regular_file;
use killpoint_model::Verdict;
use killpoint_model::event::Event;
use killpoint_model::trial::{Position, TrialEvent};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// The file with what was read at the end of the control.
const CONTROL: &str = "control.json";
/// The file with who answered all the time meanwhile.
const ANSWERING: &str = "answering.json";

/// What the control showed.
#[derive(Debug)]
pub(super) struct Control {
    /// What was read at its end.
    pub(super) readings: Readings,
    /// Who answered all the time.
    pub(super) answering: BTreeSet<String>,
}

/// A try by its trial, its number and, where it repeats a failed one, that one's number.
type Name = (u64, u32, Option<u32>);

/// The tries that ended.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    tries: BTreeMap<Name, Ended>,
    seconds: f64,
}

impl Earlier {
    /// Reads them off the events.
    pub(super) fn read(events: &[Event]) -> Self {
        let mut earlier = Earlier::default();
        let (mut name, mut positions) = (None, Vec::new());
        for event in events {
            let Event::Trial(event) = event else { continue };
            match &**event {
                TrialEvent::Started { trial, attempt, rerun_of, .. } => {
                    name = Some((*trial, *attempt, *rerun_of));
                    positions.clear();
                }
                TrialEvent::StrikePlanned { position, .. } => positions.push(position.clone()),
                TrialEvent::Ended { fired, judgement, also, unrecovered, seconds, .. } => {
                    let Some(name) = name.take() else { continue };
                    let positions = std::mem::take(&mut positions);
                    let (judgement, also) = (judgement.clone(), also.clone());
                    let (fired, unrecovered) = (*fired, *unrecovered);
                    let ended = Ended { fired, judgement, also, unrecovered, positions };
                    earlier.tries.insert(name, ended);
                    earlier.seconds += seconds;
                }
                _ => {}
            }
        }
        earlier
    }

    /// Takes a try out, if it ended.
    pub(super) fn take(&mut self, trial: u64, attempt: u32, rerun: Option<u32>) -> Option<Ended> {
        self.tries.remove(&(trial, attempt, rerun))
    }

    /// The control, if it ended and what was read of it is still there.
    pub(super) fn control(
        &mut self,
        folder: &RunFolder,
    ) -> Result<Option<(Ended, Control)>, CampaignError> {
        let Some(ended) = self.take(0, 1, None) else { return Ok(None) };
        let (Some(readings), Some(answering)) =
            (read(folder.join(CONTROL))?, read(folder.join(ANSWERING))?)
        else {
            return Ok(None);
        };
        Ok(Some((ended, Control { readings, answering })))
    }

    /// How long the tries took.
    pub(super) fn spent(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or(Duration::MAX)
    }

    /// The try that shows best what a trial does: the first that was violated, else the first that is
    /// not held, else the first.
    pub(super) fn example(self, trial: u64) -> Option<(Verdict, Vec<Position>)> {
        let tries = self
            .tries
            .into_iter()
            .filter(|((number, _, rerun), _)| *number == trial && rerun.is_none());
        let mut best: Option<Ended> = None;
        for (_, ended) in tries {
            let rank = |ended: &Ended| match ended.judgement.verdict {
                Verdict::Held => 0,
                Verdict::Unknown(_) => 1,
                Verdict::Violated(_) => 2,
            };
            if best.as_ref().is_none_or(|best| rank(&ended) > rank(best)) {
                best = Some(ended);
            }
        }
        best.map(|ended| (ended.judgement.verdict, ended.positions))
    }
}

/// Keeps what was read at the end of the control, and who answered.
pub(super) fn keep_control(
    folder: &RunFolder,
    readings: &Readings,
    answering: &BTreeSet<String>,
) -> Result<(), CampaignError> {
    let text = serde_json::to_vec(readings).expect("readings are plain data");
    folder.write(CONTROL, &text)?;
    let text = serde_json::to_vec(answering).expect("names are plain data");
    folder.write(ANSWERING, &text)?;
    Ok(())
}

/// Reads such a file. It is written before the control is said to have ended; somebody may have removed it.
fn read<T: DeserializeOwned>(path: PathBuf) -> Result<Option<T>, CampaignError> {
    let Ok(bytes) = regular_file::read(&path) else { return Ok(None) };
    serde_json::from_slice(&bytes)
        .map_err(|error| CampaignError::Malformed { path, problem: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use killpoint_model::verdict::{Class, Judgement};

    fn trial(event: TrialEvent) -> Event {
        Event::Trial(Box::new(event))
    }

    fn started(attempt: u32) -> Event {
        let rule = "editor".to_owned();
        trial(TrialEvent::Started { trial: 1, attempt, rule, rerun_of: None, expected: None })
    }

    fn planned(acknowledged: u64) -> Event {
        trial(TrialEvent::StrikePlanned {
            trial: 1,
            strike: 1,
            fault: "kill".to_owned(),
            position: Position { acknowledged, ..Position::default() },
            pids: Vec::new(),
            processes: Vec::new(),
        })
    }

    fn ended(attempt: u32, judgement: Judgement) -> Event {
        trial(TrialEvent::Ended {
            trial: 1,
            attempt,
            fired: 1,
            judgement,
            also: Vec::new(),
            known: false,
            unrecovered: false,
            replay: String::new(),
            seconds: 1.5,
        })
    }

    #[test]
    fn a_replay_takes_the_first_try_that_was_violated() {
        let lost = Judgement::violated(Class::Lost, "gone");
        let events = [
            started(1),
            planned(3),
            ended(1, Judgement::held()),
            started(2),
            planned(5),
            ended(2, lost.clone()),
            started(3),
            planned(7),
            ended(3, lost.clone()),
        ];
        let earlier = Earlier::read(&events);
        assert_eq!(earlier.spent(), Duration::from_millis(4_500));
        let (verdict, positions) = earlier.example(1).expect("three tries");
        assert_eq!((verdict, positions[0].acknowledged), (lost.verdict, 5));
    }

    #[test]
    fn a_try_without_an_end_is_none() {
        let events = [started(1), planned(3), started(1), planned(4), ended(1, Judgement::held())];
        let mut earlier = Earlier::read(&events);
        let ended = earlier.take(1, 1, None).expect("the second one ended");
        assert_eq!((ended.positions.len(), ended.positions[0].acknowledged), (1, 4));
        assert!(earlier.take(1, 1, None).is_none());
        assert!(Earlier::read(&events[..2]).example(1).is_none());
    }
}
