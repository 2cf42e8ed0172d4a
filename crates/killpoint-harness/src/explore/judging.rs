//! Judges every distinct state, in workers side by side.

use super::options::Options;
use super::plan::{Plan, State};
use super::problem::ExploreError;
use super::recordings::Recorded;
use super::sight::Sight;
use crate::asserter::checker::{Reading, complaint, judge, judge_second};
use crate::asserter::history::{Promise, Store, parse_store};
use crate::environment::local::{Answer, Judges, LocalError, Question};
use crate::journalist::{Journalist, Progress, Watch};
use crate::numbers::count;
use killpoint_model::CrashModel;
use killpoint_model::event::Event;
use killpoint_model::report::{Look, NotCovered};
use killpoint_model::verdict::{Class, Judgement, Reason, Verdict};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How far ahead a state is looked for whose image nobody reads at the moment.
const LOOK_AHEAD_STATES_MAX: usize = 64;

/// Keys that are named as not judged.
const UNJUDGED_KEPT_MAX: usize = 8;

/// How the note of a second reading that differs begins: by it a resumed run knows that it was told.
const SECOND_CHECK_NOTE: &str = "the recovered store of";

/// A judged state.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its verdict.
    pub judgement: Judgement,
    /// What the checker said, bounded.
    pub output: String,
    /// The verdict of the second reading, where there was one.
    pub second: Option<Judgement>,
    /// At which look the promise is broken.
    pub look: Look,
    /// Files that are left over in it.
    pub litter: Vec<String>,
    /// Keys with values that nothing speaks of, some of them.
    pub unjudged: Vec<String>,
    /// The place of the judge who read it, if that was in this process.
    pub by: Option<usize>,
}

/// What acknowledgements promise under a model.
pub fn promise(model: CrashModel, options: &Options) -> Promise {
    match model.is_power_loss() {
        true => Promise::PowerLoss { plain_acks_count: options.acks_survive_power_loss },
        false => Promise::Kill,
    }
}

/// Judges all states of a plan; the result has one entry for each, in the same order.
///
/// # Errors
/// If no worker can be made, or the log cannot be written.
pub fn judge_all(
    sight: Sight<'_>,
    judges: &mut Judges,
    journalist: &mut Journalist,
    watch: Watch<'_>,
) -> Result<Vec<Judged>, ExploreError> {
    let Sight { options, local, recorded, plan } = sight;
    let since = Instant::now();
    let total = plan.states.len() as u64;
    let earlier = judged_earlier(journalist, plan)?;
    let mut done = earlier.len() as u64;
    let jobs = options.jobs_in(local.containment);
    let judged =
        judge_states(options, jobs, judges, recorded, plan, earlier, &mut |index, judged| {
            let state = &plan.states[index];
            done += 1;
            journalist.tell(Event::Judged {
                trial: index as u64 + 1,
                state: state.digest.clone(),
                at: state.by_model(),
                judgement: judged.judgement.clone(),
                output: match judged.judgement.verdict {
                    Verdict::Violated(_) => judged.output.clone(),
                    _ => String::new(),
                },
                look: judged.look,
                litter: judged.litter.clone(),
                unjudged: judged.unjudged.clone(),
            })?;
            if let Some(second) = &judged.second {
                tell_second(state, second, journalist)?;
            }
            if done.is_multiple_of(16) || done == total {
                watch(&Progress { stage: "judging", done, total, elapsed: since.elapsed() });
            }
            Ok(())
        })?;
    tell_points(plan, &judged, journalist)?;
    tell_further_seconds(journalist)?;
    tell_litter(&judged, journalist)?;
    tell_unjudged(&judged, journalist)?;
    Ok(judged)
}

/// States that the log of an interrupted run has judged, by their place in the plan.
fn judged_earlier(
    journalist: &mut Journalist,
    plan: &Plan,
) -> Result<Vec<(usize, Judged)>, ExploreError> {
    let belongs = |event: &Event| match event {
        Event::SecondCheck { .. } => true,
        Event::Note { text } => text.starts_with(SECOND_CHECK_NOTE),
        _ => false,
    };
    let mut judged = Vec::new();
    for event in journalist.earlier.take_judged(belongs) {
        let Event::Judged { trial, state, judgement, output, look, litter, unjudged, .. } = event
        else {
            continue;
        };
        let index = usize::try_from(trial.saturating_sub(1)).unwrap_or(usize::MAX);
        if plan.states.get(index).is_none_or(|planned| planned.digest != state) {
            return Err(ExploreError::Usage(format!(
                "the run cannot be resumed: state {trial} of the log is not the one of the plan; \
                 start it anew"
            )));
        }
        let judged_state =
            Judged { judgement, output, second: None, look, litter, unjudged, by: None };
        judged.push((index, judged_state));
    }
    Ok(judged)
}

fn tell_second(
    state: &State,
    second: &Judgement,
    journalist: &mut Journalist,
) -> Result<(), ExploreError> {
    journalist.tell(Event::SecondCheck { held: second.verdict == Verdict::Held })?;
    if second.verdict != Verdict::Held && differing(journalist) == 1 {
        let text = format!(
            "{SECOND_CHECK_NOTE} {} reads differently the second time: {}",
            state.name.point, second.detail
        );
        journalist.tell(Event::Note { text })?;
    }
    Ok(())
}

/// How many stores read differently the second time so far.
fn differing(journalist: &Journalist) -> u32 {
    let checks = journalist.report().second_checks;
    checks.tries - checks.hits
}

/// The first of them has a note of its own.
fn tell_further_seconds(journalist: &mut Journalist) -> Result<(), ExploreError> {
    let further = differing(journalist).saturating_sub(1);
    if further == 0 {
        return Ok(());
    }
    let stores = count(further.into(), "further recovered store");
    let text = format!("{stores} read differently the second time, too");
    Ok(journalist.tell(Event::Note { text })?)
}

/// Told of each state as it is judged.
pub type Tell<'a> = &'a mut dyn FnMut(usize, &Judged) -> Result<(), ExploreError>;

/// Judges the states of a plan over the recording that the judges were turned to; the result has one
/// entry for each, in their order, and in this order they are told. Those that were judged `earlier`,
/// by an interrupted run, are taken over.
///
/// # Errors
/// If no worker can be made, or whoever is told fails.
pub fn judge_states(
    options: &Options,
    jobs: usize,
    judges: &mut Judges,
    recorded: &Recorded,
    plan: &Plan,
    earlier: Vec<(usize, Judged)>,
    tell: Tell<'_>,
) -> Result<Vec<Judged>, ExploreError> {
    let mut judged: Vec<Option<Judged>> = vec![None; plan.states.len()];
    for (index, earlier) in earlier {
        judged[index] = Some(earlier);
    }
    let todo: VecDeque<usize> =
        (0..judged.len()).filter(|index| judged[*index].is_none()).collect();
    let mut untold = todo.clone();
    let mut pool = Pool::start(options, jobs, judges, plan, todo)?;
    while let Some(answered) = pool.next()? {
        let index = answered.index;
        judged[index] = Some(judged_from(&answered, &plan.states[index], recorded, options));
        while let Some(next) = untold.front().copied()
            && let Some(result) = &judged[next]
        {
            tell(next, result)?;
            untold.pop_front();
        }
    }
    Ok(judged.into_iter().map(|judged| judged.expect("every state was answered")).collect())
}

fn judged_from(
    answered: &Answered,
    state: &State,
    recorded: &Recorded,
    options: &Options,
) -> Judged {
    let answer = match &answered.answer {
        Ok(answer) => answer,
        Err(problem) => {
            return Judged {
                by: None,
                judgement: Judgement::unknown(Reason::JudgeFailed, problem.clone()),
                output: String::new(),
                second: None,
                look: Look::First,
                litter: Vec::new(),
                unjudged: Vec::new(),
            };
        }
    };
    let promise = promise(state.name.model, options);
    let judge =
        |reading: &Reading| judge(reading, &recorded.expectation, state.journal_length, promise);
    let (judgement, look) = judge_answer(answer, judge, recorded.after.as_ref());
    let shown = match look {
        Look::First => None,
        Look::Second => answer.again.as_ref(),
        Look::RunAgain => answer.rerun.as_ref(),
    };
    let mut unjudged = recorded.expectation.unjudged(&answer.reading);
    unjudged.truncate(UNJUDGED_KEPT_MAX);
    Judged {
        by: Some(answered.by),
        judgement,
        output: shown_output(shown.unwrap_or(&answer.reading)),
        second: answer.again.as_ref().map(|again| judge_second(&answer.reading, again)),
        look,
        litter: answer.litter.clone(),
        unjudged,
    }
}

/// The verdict on a state by every look at it that was taken, and the first look at which it is no
/// longer as it should be. `judge` judges a reading; `after` is the store that the undisturbed command
/// leaves.
pub fn judge_answer(
    answer: &Answer,
    judge: impl Fn(&Reading) -> Judgement,
    after: Option<&Store>,
) -> (Judgement, Look) {
    let first = judge(&answer.reading);
    if first.verdict != Verdict::Held {
        return (first, Look::First);
    }
    let second = answer.again.as_ref().map(judge);
    if let Some(second) = second.filter(|second| matches!(second.verdict, Verdict::Violated(_))) {
        let detail =
            format!("Right when it is opened, and not when it is opened again: {}", second.detail);
        return (Judgement { detail, ..second }, Look::Second);
    }
    let rerun = answer.rerun.as_ref().zip(after).map(|(rerun, after)| judge_rerun(rerun, after));
    match rerun.filter(|rerun| rerun.verdict != Verdict::Held) {
        Some(rerun) => (rerun, Look::RunAgain),
        None => (first, Look::First),
    }
}

/// Judges what a command that was run again after a crash has left: all that an undisturbed run does.
fn judge_rerun(rerun: &Reading, after: &Store) -> Judgement {
    let store = match rerun {
        Reading::Printed(text) => parse_store(text),
        Reading::Refused { how, said } => {
            let said = complaint(said);
            let detail = format!("Run again, the command ended with {how}: {said}");
            return Judgement::violated(Class::Bricked, detail);
        }
        Reading::Hung(limit) => {
            let detail = format!("Run again, the command did not end within {limit:?}.");
            return Judgement::violated(Class::Hung, detail);
        }
        other => return Judgement::unknown(Reason::JudgeFailed, format!("{other:?}")),
    };
    let store = match store {
        Ok(store) => store,
        Err(error) => return Judgement::unknown(Reason::JudgeFailed, error.to_string()),
    };
    let differs = after.iter().find(|(key, value)| store.get(*key) != Some(value));
    let extra = store.keys().find(|key| !after.contains_key(*key));
    match (differs, extra) {
        (None, None) => Judgement::held(),
        (Some((key, _)), _) => {
            let class = if store.contains_key(key) { Class::Wrong } else { Class::Lost };
            let detail = format!("Run again, the command leaves key {key} other than undisturbed.");
            Judgement::violated(class, detail)
        }
        (None, Some(key)) => Judgement::violated(
            Class::Extra,
            format!("Run again, the command leaves key {key}, which it does not undisturbed."),
        ),
    }
}

/// What a finding shows of a checker's output.
pub fn shown_output(reading: &Reading) -> String {
    const SHOWN_MAX: usize = 2_000;
    let text = match reading {
        Reading::Printed(text) => text,
        Reading::Refused { said, .. } => said,
        Reading::NotRun(text) => text,
        Reading::Hung(_) | Reading::Judged(_) => return String::new(),
    };
    text.chars().take(SHOWN_MAX).collect()
}

/// Counts, for each model, the points with a violated or an unknown state.
fn tell_points(
    plan: &Plan,
    judged: &[Judged],
    journalist: &mut Journalist,
) -> Result<(), ExploreError> {
    let mut violated: BTreeMap<CrashModel, BTreeSet<u64>> = BTreeMap::new();
    let mut unknown: BTreeMap<CrashModel, BTreeSet<u64>> = BTreeMap::new();
    for (state, judged) in plan.states.iter().zip(judged) {
        let set = match judged.judgement.verdict {
            Verdict::Held => continue,
            Verdict::Unknown(_) => &mut unknown,
            Verdict::Violated(_) => &mut violated,
        };
        for name in &state.at {
            set.entry(name.model).or_default().insert(name.point);
        }
    }
    for model in plan.counts.keys() {
        let violated = violated.remove(model).unwrap_or_default();
        let unknown = unknown.remove(model).unwrap_or_default();
        journalist.tell(Event::PointVerdicts {
            model: *model,
            violated: violated.len() as u64,
            unknown: unknown.difference(&violated).count() as u64,
        })?;
    }
    Ok(())
}

/// Litter is a note: only a checker can say whether the program takes it for data.
fn tell_litter(judged: &[Judged], journalist: &mut Journalist) -> Result<(), ExploreError> {
    const NAMED_MAX: usize = 8;
    let names: BTreeSet<&String> = judged.iter().flat_map(|judged| &judged.litter).collect();
    if names.is_empty() {
        return Ok(());
    }
    let states = judged.iter().filter(|judged| !judged.litter.is_empty()).count();
    let listed: Vec<&str> = names.iter().take(NAMED_MAX).map(|name| name.as_str()).collect();
    let more = match names.len() - listed.len() {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    let text = format!(
        "{states} of {} states have files left over that an undisturbed run clears up: {}{more}; \
         whether the program minds them only a checker can say",
        judged.len(),
        listed.join(", ")
    );
    Ok(journalist.tell(Event::Note { text })?)
}

/// Values that nothing speaks of are a gap: without a journal only both ends of the command are known.
fn tell_unjudged(judged: &[Judged], journalist: &mut Journalist) -> Result<(), ExploreError> {
    let keys: BTreeSet<&str> =
        judged.iter().flat_map(|judged| &judged.unjudged).map(String::as_str).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let states = judged.iter().filter(|judged| !judged.unjudged.is_empty()).count() as u64;
    let named: Vec<&str> = keys.into_iter().take(UNJUDGED_KEPT_MAX).collect();
    let reason = format!(
        "in {} the checker shows other values of {} than before and after the command: whether they are \
         right only a journal can say (KILLPOINT_JOURNAL, or --intent)",
        count(states, "state"),
        named.join(", ")
    );
    Ok(journalist.tell(Event::NotCovered(NotCovered {
        file: "*".to_owned(),
        reason,
        needed: false,
    }))?)
}

/// A state that was read, or could not be.
struct Answered {
    /// Its index in the plan.
    index: usize,
    /// The answer, or why there is none.
    answer: Result<Answer, String>,
    /// The place of the judge who read it.
    by: usize,
}

/// Judges at work, each with at most one question.
struct Pool<'a> {
    options: &'a Options,
    judges: &'a mut Judges,
    plan: &'a Plan,
    /// What the judge in each place was asked, and when.
    asked: Vec<Option<(usize, Instant)>>,
    /// States that were not asked for yet, in order.
    todo: VecDeque<usize>,
    /// How many more states have an image that several have.
    to_come: HashMap<blake3::Hash, usize>,
    /// What was read of such images and by whom, until the last of them has it.
    readings: HashMap<blake3::Hash, (Answer, usize)>,
    /// Whether readings have held for equal images so far.
    are_shared: bool,
    patience: Duration,
}

impl<'a> Pool<'a> {
    fn start(
        options: &'a Options,
        jobs: usize,
        judges: &'a mut Judges,
        plan: &'a Plan,
        todo: VecDeque<usize>,
    ) -> Result<Self, ExploreError> {
        let jobs = jobs.min(todo.len());
        judges.have(jobs)?;
        let mut to_come = HashMap::new();
        for index in &todo {
            *to_come.entry(plan.states[*index].image).or_default() += 1;
        }
        to_come.retain(|_, count| *count > 1);
        let patience = judges.patience();
        Ok(Pool {
            options,
            judges,
            plan,
            asked: vec![None; jobs],
            todo,
            to_come,
            readings: HashMap::new(),
            are_shared: true,
            patience,
        })
    }

    /// The next answer, from whichever judge has one; none when all are answered.
    fn next(&mut self) -> Result<Option<Answered>, ExploreError> {
        for place in 0..self.asked.len() {
            if self.asked[place].is_none()
                && let Some(index) = self.take()
            {
                if let Some((answer, by)) = self.read_before(index) {
                    return Ok(Some(Answered { index, answer: Ok(answer), by }));
                }
                let question = self.question(&self.plan.states[index]);
                self.judges.ask(place, &question)?;
                self.asked[place] = Some((index, Instant::now()));
            }
        }
        if self.asked.iter().all(Option::is_none) {
            return Ok(None);
        }
        let place = self.wait()?;
        let (index, _) = self.asked[place].take().expect("only who was asked answers");
        let answer = match self.judges.answer(place, Duration::from_millis(100)) {
            Ok(answer) => {
                self.keep_reading(index, &answer, place);
                Ok(answer)
            }
            Err(error) => {
                let text = crate::environment::local::chain(&error);
                // What it was doing is lost; the next state gets a new one.
                self.judges.replace(place)?;
                Err(text)
            }
        };
        Ok(Some(Answered { index, answer, by: place }))
    }

    /// The next state to ask for. One whose image is being read just now waits for that reading.
    fn take(&mut self) -> Option<usize> {
        let image = |index: usize| self.plan.states[index].image;
        let reading: Vec<blake3::Hash> = self
            .asked
            .iter()
            .flatten()
            .map(|(index, _)| image(*index))
            .filter(|image| self.are_shared && self.to_come.contains_key(image))
            .collect();
        let is_free = |index: &usize| !reading.contains(&image(*index));
        let position = self.todo.iter().take(LOOK_AHEAD_STATES_MAX).position(is_free)?;
        self.todo.remove(position)
    }

    /// What was read of an equal image, if it does not depend on more.
    fn read_before(&mut self, index: usize) -> Option<(Answer, usize)> {
        let image = &self.plan.states[index].image;
        let left = self.to_come.get_mut(image)?;
        *left -= 1;
        match left {
            0 => self.readings.remove(image),
            _ => self.readings.get(image).cloned(),
        }
    }

    /// Keeps what was read of an image for as long as others like it are to come.
    fn keep_reading(&mut self, index: usize, answer: &Answer, by: usize) {
        let image = self.plan.states[index].image;
        self.are_shared &= answer.is_of_image;
        if answer.is_of_image && self.to_come.get(&image).is_some_and(|left| *left > 0) {
            self.readings.insert(image, (answer.clone(), by));
        }
    }

    fn question(&self, state: &State) -> Question {
        Question {
            again: self.options.second_checks,
            rerun: self.options.idempotent,
            ..Question::once(&state.name, state.journal_length)
        }
    }

    /// Which judge has an answer, or has been silent for too long.
    fn wait(&mut self) -> Result<usize, LocalError> {
        let places = 0..self.asked.len();
        let asked: Vec<usize> = places.filter(|place| self.asked[*place].is_some()).collect();
        loop {
            if let Some(place) = self.judges.ready(&asked)? {
                return Ok(place);
            }
            let is_late = |place: &&usize| {
                self.asked[**place].is_some_and(|(_, since)| since.elapsed() > self.patience)
            };
            if let Some(place) = asked.iter().find(is_late) {
                return Ok(*place);
            }
        }
    }
}
