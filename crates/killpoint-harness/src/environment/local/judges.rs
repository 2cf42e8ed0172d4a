//! Judges: workers that build states of a recording and have them read, side by side. They outlive
//! the stages of a run, so that an arena, a stream checker's start-up and what the built-in oracle
//! learns are paid once for each.

use super::bench::Bench;
use super::question::{Answer, Question, Subject};
use super::{Local, LocalError, Problem, ready, receive};
use crate::asserter::built_in::BuiltIn;
use crate::asserter::checker::Checker;
use crate::asserter::journal::Journal;
use crate::interrupt::Interrupt;
use killpoint_engine::arena::{self, Arena, ArenaError, Channel, Containment, Worker};
use killpoint_engine::image::Image;
use killpoint_engine::states::{Models, StateName, Walk};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What a judge is told; only a question is answered.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Begin(Subject),
    Read(Question),
}

/// One judge. It goes over the recording once if questions come in ascending order of their points.
#[derive(Debug)]
struct Judge {
    worker: Worker,
    interrupt: Interrupt,
}

impl Judge {
    fn tell(&mut self, message: &Message) -> Result<(), LocalError> {
        Ok(self.worker.channel().send(message).map_err(ArenaError::from)?)
    }

    fn answer(&mut self, limit: Duration) -> Result<Answer, LocalError> {
        let answer: Result<Answer, String> = receive(&mut self.worker, limit, &self.interrupt)?;
        answer.map_err(LocalError::Worker)
    }
}

/// The judges of a run, by their places.
#[derive(Debug)]
pub struct Judges {
    local: Local,
    subject: Option<Subject>,
    places: Vec<Judge>,
}

impl Judges {
    /// None yet.
    pub fn new(local: &Local) -> Self {
        Judges { local: local.clone(), subject: None, places: Vec::new() }
    }

    /// Turns them, and all that are yet to come, to the states of a recording. They learn it at once.
    ///
    /// # Errors
    /// If a judge that died cannot be replaced.
    pub fn begin(&mut self, subject: Subject) -> Result<(), LocalError> {
        self.subject = Some(subject);
        for place in 0..self.places.len() {
            if self.introduce(place).is_err() {
                self.replace(place)?;
            }
        }
        Ok(())
    }

    fn introduce(&mut self, place: usize) -> Result<(), LocalError> {
        match &self.subject {
            Some(subject) => self.places[place].tell(&Message::Begin(subject.clone())),
            None => Ok(()),
        }
    }

    /// Makes sure that there are so many.
    ///
    /// # Errors
    /// If one cannot be made.
    pub fn have(&mut self, count: usize) -> Result<(), LocalError> {
        let first = self.places.len();
        for _ in first..count {
            let judge = self.local.judge()?;
            self.places.push(judge);
        }
        for place in first..self.places.len() {
            self.places[place].worker.settle()?;
            self.introduce(place)?;
        }
        Ok(())
    }

    /// Puts another judge in a place; what the one before did is lost.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn replace(&mut self, place: usize) -> Result<(), LocalError> {
        self.places[place] = self.local.judge()?;
        self.places[place].worker.settle()?;
        self.introduce(place)
    }

    /// Sends all of them home where there are no namespaces: before a target uses the surroundings
    /// that all share then.
    pub fn make_room(&mut self) {
        if self.local.containment == Containment::Redirect {
            self.places.clear();
        }
    }

    /// Asks the judge in a place; another takes the place of one that is gone.
    ///
    /// # Errors
    /// If none can be made.
    pub fn ask(&mut self, place: usize, question: &Question) -> Result<(), LocalError> {
        let message = Message::Read(question.clone());
        if self.places[place].tell(&message).is_err() {
            self.replace(place)?;
            self.places[place].tell(&message)?;
        }
        Ok(())
    }

    /// The answer of the judge in a place, if it comes within the limit.
    ///
    /// # Errors
    /// If the judge is gone or failed.
    pub fn answer(&mut self, place: usize, limit: Duration) -> Result<Answer, LocalError> {
        self.places[place].answer(limit)
    }

    /// Reads one state by any judge but the one in a place: that one has read it before.
    ///
    /// # Errors
    /// If the judge fails; the next state gets a new one.
    pub fn read(&mut self, question: &Question, but: Option<usize>) -> Result<Answer, LocalError> {
        let place = self.ask_any(question, but)?;
        self.answer_of(place)
    }

    /// Asks any judge but the one in a place; which it was.
    ///
    /// # Errors
    /// If none can be made.
    pub fn ask_any(
        &mut self,
        question: &Question,
        but: Option<usize>,
    ) -> Result<usize, LocalError> {
        let mut place = usize::from(but == Some(0));
        if self.local.containment == Containment::Redirect {
            // Where all share the surroundings two would be in each other's way: a new one comes after.
            if but.is_some() {
                self.make_room();
            }
            place = 0;
        }
        self.have(place + 1)?;
        self.ask(place, question)?;
        Ok(place)
    }

    /// Waits for the answer of the judge in a place; another takes its place if it fails.
    ///
    /// # Errors
    /// If it fails.
    pub fn answer_of(&mut self, place: usize) -> Result<Answer, LocalError> {
        let answer = self.answer(place, self.patience());
        if answer.is_err() {
            self.replace(place)?;
        }
        answer
    }

    /// To wait for one together with others.
    pub fn channel(&self, place: usize) -> &Channel {
        self.places[place].worker.channel_ref()
    }

    /// How long an answer is awaited.
    pub fn patience(&self) -> Duration {
        /// So many checker time-outs: two tries, the second reading, the command run again.
        const TIMEOUTS: u32 = 6;
        let timeout = self.subject.as_ref().map_or(self.local.checker_timeout, |it| it.timeout);
        timeout * TIMEOUTS + Duration::from_secs(60)
    }

    /// Which of several places has an answer; none if nobody has for a moment.
    ///
    /// # Errors
    /// If somebody asked for the run to be stopped.
    pub fn ready(&self, places: &[usize]) -> Result<Option<usize>, LocalError> {
        let channels: Vec<&Channel> =
            places.iter().map(|place| self.places[*place].worker.channel_ref()).collect();
        Ok(ready(&channels, &self.local.interrupt)?.map(|position| places[position]))
    }
}

/// All end at once, and then each is waited for.
impl Drop for Judges {
    fn drop(&mut self) {
        self.places.iter_mut().for_each(|judge| judge.worker.strike());
    }
}

impl Local {
    /// A judge that may still be setting itself up.
    fn judge(&self) -> Result<Judge, LocalError> {
        let body = |arena: &mut Arena, channel: &mut Channel| {
            if let Err(Problem(text)) = self.judge_inside(arena, channel) {
                let _ = channel.send(&Err::<Answer, String>(text));
            }
        };
        let worker = arena::begin(&self.plan(), body)?;
        Ok(Judge { worker, interrupt: self.interrupt.clone() })
    }

    fn judge_inside(&self, arena: &mut Arena, channel: &mut Channel) -> Result<(), Problem> {
        let initial = Image::scan(&self.snapshots(arena))?;
        let mut bench = Bench::new(self, arena, &initial)?;
        let mut studied: Option<Studied> = None;
        while let Ok(received) = channel.receive::<Message>(None) {
            let Ok(message) = received.expect_message() else { break };
            let question = match message {
                Message::Begin(subject) => {
                    studied = Some(self.study(arena, &initial, &mut bench, &subject)?);
                    continue;
                }
                Message::Read(question) => question,
            };
            let since = Instant::now();
            let mut answer = match (&question.left_by, &question.state, &mut studied) {
                (Some(left_by), ..) => bench.read_left(arena, &initial, left_by, &question)?,
                (None, Some(state), Some(studied)) => {
                    let image = studied.build(state, &initial)?;
                    let crash = studied.walk.crash_time();
                    bench.read(arena, &image, crash, &question)?
                }
                _ => bench.read(arena, &initial, None, &question)?,
            };
            answer.elapsed = since.elapsed();
            channel.send(&Ok::<Answer, String>(answer))?;
        }
        Ok(())
    }

    /// Turns a judge to a recording.
    fn study(
        &self,
        arena: &mut Arena,
        initial: &Image,
        bench: &mut Bench<'_>,
        subject: &Subject,
    ) -> Result<Studied, Problem> {
        let path = arena.in_run(&format!("recordings/{}.rec", subject.recording));
        let journal = fs::read(arena.in_run(&format!("recordings/{}.journal", subject.recording)))?;
        if self.checker == Checker::BuiltIn {
            let promised = Journal::parse(&journal)?;
            let mut place = |image: &Image| bench.place(arena, image);
            let built_in = BuiltIn::learn(&path, &self.promises(&promised), initial, &mut place)?;
            bench.take_off_if_laid(arena)?;
            bench.built_in = Some(built_in);
        }
        bench.turn_to(journal, subject);
        let walk = Walk::start(&path, initial.clone(), subject.models.clone())?;
        Ok(Studied { path, models: subject.models.clone(), walk })
    }
}

/// The recording that a judge was turned to, and how far it went over it.
struct Studied {
    path: PathBuf,
    models: Models,
    walk: Walk,
}

impl Studied {
    fn build(&mut self, state: &StateName, initial: &Image) -> Result<Image, Problem> {
        if state.point < self.walk.point() {
            self.walk = Walk::start(&self.path, initial.clone(), self.models.clone())?;
        }
        self.walk.step_to(state.point)?;
        Ok(self.walk.build(state))
    }
}
