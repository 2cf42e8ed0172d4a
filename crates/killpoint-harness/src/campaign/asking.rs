//! Readiness that can be asked for again, at sockets and addresses of HTTP: after a strike a target is back when it
//! answers there, whoever below it was struck. What a process says by itself is said once, and a file tells of the past.

use super::CampaignError;
use super::state::State;
use super::tell;
use super::trial::Trial;
use super::waiting::Wait;
use super::world::World;
use crate::asserter::invariants::is_answered;
use killpoint_model::Scenario;
use killpoint_model::event::Event;
use killpoint_model::fault::Fault;
use killpoint_model::report::NotCovered;
use killpoint_model::supervision::Probe;
use killpoint_model::trial::TrialEvent;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Time between two questions after a strike: a time to recover is known no better than this.
const AGAIN_INTERVAL: Duration = Duration::from_millis(20);
/// Time between two questions of the control, which has to show that it answers at all times.
const CONTROL_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two looks whether it is still somebody else who answers.
const STRANGER_INTERVAL: Duration = Duration::from_millis(200);
/// Who was silent in the control for this part of the time of a recovery need not answer in a trial.
const SILENCE_PART: u32 = 2;

/// What one process is asked.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) process: String,
    pub(super) probe: Probe,
    pub(super) directory: PathBuf,
}

/// What is known of its answers.
#[derive(Clone, Copy, Debug)]
struct Answers {
    /// When the last question was asked that was answered.
    last: Option<Instant>,
    /// When it was silent last.
    silent: Option<Instant>,
    /// The longest time between two answers.
    longest: Duration,
}

/// Who asks, in a thread for each question, until this is dropped.
pub(super) struct Asker {
    questions: Vec<Question>,
    answers: Arc<Mutex<BTreeMap<String, Answers>>>,
    is_over: Arc<AtomicBool>,
    began: Instant,
}

impl Asker {
    fn start(questions: Vec<Question>, interval: Duration) -> Self {
        let began = Instant::now();
        let asker = Asker { questions, answers: Arc::default(), is_over: Arc::default(), began };
        for Question { process, probe, directory } in asker.questions.clone() {
            let (answers, is_over) = (Arc::clone(&asker.answers), Arc::clone(&asker.is_over));
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    let has_answered = is_answered(&probe, &directory);
                    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                    let new = Answers { last: None, silent: None, longest: Duration::ZERO };
                    let known = answers.entry(process.clone()).or_insert(new);
                    match has_answered {
                        true => {
                            let silence = asked - known.last.unwrap_or(began);
                            known.longest = known.longest.max(silence);
                            known.last = Some(asked);
                        }
                        false => known.silent = Some(Instant::now()),
                    }
                    drop(answers);
                    thread::sleep(interval);
                }
            });
        }
        asker
    }

    fn of(&self, process: &str) -> Option<Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(process).copied()
    }

    /// Whom nobody has heard since a moment, or since he was started; who is not up cannot answer.
    fn silent<'a>(&'a self, since: Instant, state: &State) -> Vec<&'a Question> {
        let is_silent = |question: &&Question| {
            let process = state.processes.get(&question.process).filter(|it| it.is_ready);
            process.is_some_and(|process| {
                let since = process.started.map_or(since, |started| started.max(since));
                self.of(&question.process).and_then(|it| it.last).is_none_or(|last| last < since)
            })
        };
        self.questions.iter().filter(is_silent).collect()
    }

    /// When the last of those was silent who have answered now.
    fn was_silent(&self) -> Option<Instant> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.values().filter_map(|it| it.silent).max()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// How a target answered that was asked again.
pub(super) enum Heard {
    /// It answers, or need not.
    Answers,
    /// It was silent at first, until this moment at least.
    AnswersAgain(Instant),
    /// It did not in time: where.
    Silent(String),
}

/// What the supervised processes can be asked again.
pub(super) fn questions(scenario: &Scenario, world: &World) -> Vec<Question> {
    // A scenario's own activities may end a target and leave it so.
    if scenario.faults.iter().any(|rule| matches!(rule.r#do, Fault::Activities(_))) {
        return Vec::new();
    }
    let own_paths = &world.own_paths;
    let processes = world.supervision(scenario).processes.into_iter();
    let question = |(process, it): (String, killpoint_model::supervision::Process)| {
        let directory = PathBuf::from(it.directory.unwrap_or_default());
        let probe = match it.ready?.by {
            Probe::Socket(path) if path.contains('/') => {
                let real = |path: &str| own_paths.real(&directory.join(path));
                Probe::Socket(path.map(|path| real(path).display().to_string()))
            }
            probe @ (Probe::Socket(_) | Probe::Http(_)) => probe,
            Probe::File(_) | Probe::Notify | Probe::LogLine(_) => return None,
        };
        Some(Question { process, probe, directory })
    };
    processes.filter_map(question).collect()
}

impl Trial<'_, '_> {
    pub(super) fn questions(&self) -> Vec<Question> {
        questions(&self.stage.plan.scenario, &self.world)
    }

    /// In the control, while the workload goes on: who answers all the time. Not while calls are recorded, which
    /// its answers may be among.
    pub(super) fn ask_in_control(&mut self) {
        if self.number == 0 && self.interception.is_none() {
            self.asker = Some(Asker::start(self.questions(), CONTROL_INTERVAL));
        }
    }

    /// Once the workload is over: who must answer after a strike, as he did here.
    pub(super) fn learn_who_answers(&mut self) -> Result<(), CampaignError> {
        let Some(asker) = self.asker.take() else { return Ok(()) };
        let limit = self.stage.plan.scenario.timeouts.recovery.duration() / SILENCE_PART;
        let since = Instant::now();
        self.wait(limit, |trial| asker.silent(since, &trial.state).is_empty())?;
        let silent: BTreeSet<String> =
            asker.silent(since, &self.state).iter().map(|it| it.process.clone()).collect();
        for question in &asker.questions {
            let name = &question.process;
            if self.state.processes.get(name).is_none_or(|it| !it.is_ready) {
                continue;
            }
            let was_heard = asker.of(name).is_some_and(|it| it.longest <= limit);
            if was_heard && !silent.contains(name) {
                self.stage.answering.insert(name.clone());
                continue;
            }
            let reason = format!(
                "{name} did not answer at its readiness address all the time in the control: after a strike it \
                 is not asked there again"
            );
            let gap = NotCovered { file: "*".to_owned(), reason, needed: false };
            self.stage.journalist.tell(Event::NotCovered(gap))?;
        }
        Ok(())
    }

    /// Waits until the target, which counts as ready, answers again as it did in the control. `is_back` is what must
    /// be so as well.
    pub(super) fn ask_again(
        &mut self,
        limit: Duration,
        is_back: impl Fn(&Self) -> bool,
    ) -> Result<Heard, CampaignError> {
        let is_asked = |question: &Question| self.stage.answering.contains(&question.process);
        let questions: Vec<Question> = self.questions().into_iter().filter(is_asked).collect();
        // Whoever needs one that stays down may say that it is not well.
        let is_one_down = self.state.processes.values().any(|it| it.is_over && it.was_struck());
        if questions.is_empty() || is_one_down || self.is_cut_short() {
            return Ok(Heard::Answers);
        }
        let asker = Asker::start(questions, AGAIN_INTERVAL);
        let until = Instant::now() + limit;
        let (mut since, mut stranger): (Instant, Option<(Instant, String)>) = (asker.began, None);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let is_heard = |trial: &Self| asker.silent(since, &trial.state).is_empty();
            let waited =
                self.wait(left, |trial| is_back(trial) && (trial.is_lost || is_heard(trial)))?;
            let is_here = match waited {
                Wait::Late => return Ok(Heard::Silent(self.silence(&asker, since, stranger))),
                Wait::Over => true,
                Wait::Done => self.is_lost,
            };
            let now = self.stranger(&asker.questions).filter(|_| !is_here);
            let Some(who) = now else {
                if !is_here {
                    self.end_meanwhile();
                }
                let silent = asker.was_silent().max(stranger.map(|(seen, _)| seen));
                return Ok(silent.map_or(Heard::Answers, Heard::AnswersAgain));
            };
            self.note_meanwhile(&who);
            stranger = Some((Instant::now(), who));
            let left = until.saturating_duration_since(Instant::now());
            self.wait(left.min(STRANGER_INTERVAL), |trial| trial.is_lost)?;
            since = Instant::now();
        }
    }

    /// Where the target does not answer: where nobody does, or somebody else.
    fn silence(
        &self,
        asker: &Asker,
        since: Instant,
        stranger: Option<(Instant, String)>,
    ) -> String {
        let silent = asker.silent(since, &self.state);
        let silent: Vec<String> = silent.iter().map(|it| at(&it.probe)).collect();
        stranger.map_or_else(|| silent.join(", "), |(_, who)| who)
    }

    /// Before a trial is stopped: what counts as ready still answers.
    pub(super) fn hear_it_answer(&mut self) -> Result<(), CampaignError> {
        if self.number == 0 || self.fired == 0 || self.is_lost || !self.state.are_ready() {
            return Ok(());
        }
        let limit = self.stage.plan.scenario.timeouts.recovery;
        if let Heard::Silent(at) = self.ask_again(limit.duration(), |_| true)? {
            let why = match at.as_str() {
                "" => format!(
                    "The target went down at the end of the trial, and was not ready again {limit} later"
                ),
                at => {
                    format!("For {limit} at the end of the trial the target did not answer at {at}")
                }
            };
            self.judge_late(&why);
        }
        Ok(())
    }

    /// The target answers again whose supervised processes lived on.
    pub(super) fn tell_answered(
        &mut self,
        strike: u64,
        struck_at: Instant,
        silent: Instant,
    ) -> Result<(), CampaignError> {
        let since = |at: Instant| {
            u64::try_from(at.saturating_duration_since(struck_at).as_micros()).unwrap_or(u64::MAX)
        };
        let (last_bad_us, first_good_us) = (since(silent), since(Instant::now()));
        let trial = self.number;
        tell(
            self.stage.journalist,
            TrialEvent::Recovered { trial, strike, last_bad_us, first_good_us },
        )
    }
}

/// Where it is asked, in words.
pub(super) fn at(probe: &Probe) -> String {
    match probe {
        Probe::Socket(address) => format!("the socket {address}"),
        Probe::Http(address) => address.to_string(),
        Probe::File(_) | Probe::Notify | Probe::LogLine(_) => String::new(),
    }
}
