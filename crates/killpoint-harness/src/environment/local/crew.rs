//! A crew: trials side by side, each on a processor of its own.

use super::trials::RunningTrial;
use super::{Local, LocalError, Trial, TrialResult, ready};
use killpoint_engine::arena::Channel;
use std::collections::{BTreeMap, VecDeque};

/// Trials that wait, run, or have ended, by their numbers.
#[derive(Debug)]
pub struct Crew<'a> {
    local: &'a Local,
    waiting: VecDeque<(usize, Trial)>,
    places: Vec<Option<(usize, RunningTrial)>>,
    /// What ended last in each place: its worker goes while the next one works.
    leaving: Vec<Option<RunningTrial>>,
    ended: BTreeMap<usize, Result<TrialResult, LocalError>>,
}

impl<'a> Crew<'a> {
    /// A crew of so many.
    pub fn new(local: &'a Local, size: usize) -> Self {
        let size = size.max(1);
        Crew {
            local,
            waiting: VecDeque::new(),
            places: (0..size).map(|_| None).collect(),
            leaving: (0..size).map(|_| None).collect(),
            ended: BTreeMap::new(),
        }
    }

    /// Takes a trial in, after all that wait.
    pub fn add(&mut self, number: usize, trial: Trial) {
        self.waiting.push_back((number, trial));
    }

    /// Waits for the end of a trial; the others go on meanwhile.
    ///
    /// # Errors
    /// If its worker fails, or somebody asked for the run to be stopped.
    pub fn result(&mut self, number: usize) -> Result<TrialResult, LocalError> {
        loop {
            if let Some(result) = self.ended.remove(&number) {
                return result;
            }
            if !self.go_on()? {
                return Err(LocalError::Worker(format!("trial {number} was never begun")));
            }
        }
    }

    /// Runs a trial when all others have ended, so that none is in its way.
    ///
    /// # Errors
    /// As [`Crew::result`].
    pub fn result_alone(&mut self, trial: &Trial) -> Result<TrialResult, LocalError> {
        while self.go_on()? {}
        self.leaving.iter_mut().for_each(|left| drop(left.take()));
        self.local.run(trial)
    }

    /// Lets the trials go on until one has said something, or for a moment; false if none is left.
    fn go_on(&mut self) -> Result<bool, LocalError> {
        self.fill()?;
        let open = self.open();
        if open.is_empty() {
            return Ok(false);
        }
        match self.speaking(&open, None)? {
            Some(position) => self.collect(open[position]),
            None => self.collect_late(&open),
        }
        Ok(true)
    }

    /// Lets the trials go on while something else is awaited, for a moment; whether that is there.
    ///
    /// # Errors
    /// If somebody asked for the run to be stopped, or a trial cannot be started.
    pub fn tend(&mut self, awaited: &Channel) -> Result<bool, LocalError> {
        self.fill()?;
        let open = self.open();
        match self.speaking(&open, Some(awaited))? {
            Some(position) if position == open.len() => return Ok(true),
            Some(position) => self.collect(open[position]),
            None => self.collect_late(&open),
        }
        Ok(false)
    }

    fn open(&self) -> Vec<usize> {
        (0..self.places.len()).filter(|place| self.places[*place].is_some()).collect()
    }

    fn fill(&mut self) -> Result<(), LocalError> {
        for place in 0..self.places.len() {
            if self.places[place].is_none()
                && let Some((number, mut trial)) = self.waiting.pop_front()
            {
                trial.pin = self.local.processor(place);
                self.places[place] = Some((number, self.local.start(&trial)?));
            }
        }
        Ok(())
    }

    /// The position among these places of one that has something to say, or the position after them
    /// for what else is awaited; none if nobody has for a moment.
    fn speaking(
        &self,
        open: &[usize],
        awaited: Option<&Channel>,
    ) -> Result<Option<usize>, LocalError> {
        let running = |place: &usize| self.places[*place].as_ref().map(|(_, trial)| trial);
        let channels = open.iter().filter_map(running).map(RunningTrial::channel).chain(awaited);
        ready(&channels.collect::<Vec<_>>(), &self.local.interrupt)
    }

    /// Takes what the trial in a place has to say.
    fn collect(&mut self, place: usize) {
        let Some((number, mut trial)) = self.places[place].take() else { return };
        match trial.listen() {
            Ok(None) => self.places[place] = Some((number, trial)),
            Ok(Some(result)) => {
                self.ended.insert(number, Ok(result));
                self.leaving[place] = Some(trial);
            }
            Err(error) => {
                self.ended.insert(number, Err(error));
            }
        }
    }

    /// Gives up a trial whose worker is stuck.
    fn collect_late(&mut self, open: &[usize]) {
        let is_late = |place: &&usize| {
            self.places[**place].as_ref().is_some_and(|(_, trial)| trial.is_late())
        };
        if let Some(place) = open.iter().find(is_late) {
            self.collect(*place);
        }
    }
}

impl Local {
    /// The processor of a place in a crew, if recordings are kept on one: the recorder's own for the
    /// first, then the others that this process may use.
    pub fn processor(&self, place: usize) -> Option<usize> {
        let first = self.pin?;
        let set = rustix::thread::sched_getaffinity(None).ok()?;
        let others = (0..rustix::thread::CpuSet::MAX_CPU)
            .rev()
            .filter(|processor| *processor != first && set.is_set(*processor));
        let all: Vec<usize> = std::iter::once(first).chain(others).collect();
        Some(all[place % all.len()])
    }
}
