//! The course of an attached run: the control, each strike through the gate, and whether what was struck
//! comes back.

use super::returned::Returned;
use super::targets::{Attached, Targets, age};
use super::{AttachError, Options};
use crate::asserter::invariants::{Evidence, Reader, Told, judge};
use crate::injector::{Act, Injector};
use crate::journalist::{Journalist, Progress, Watch};
use crate::own_paths::OwnPaths;
use crate::store::{RunFolder, StoreError};
use killpoint_engine::identity::{self, Identity};
use killpoint_model::Outcome;
use killpoint_model::event::Event;
use killpoint_model::fault::Fault;
use killpoint_model::plan::{AttachedPlan, Moment, PlannedStrike};
use killpoint_model::signal::Signal;
use killpoint_model::strike::Strike;
use killpoint_model::trial::{Position, TrialEvent};
use killpoint_model::verdict::{Class, Judgement, Reason, Verdict};
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether a moment has come, or a process is back.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// How often the whole machine is looked at for the successor of a process.
const SEARCH_INTERVAL: Duration = Duration::from_millis(50);
/// How long whoever came back is looked at after the last strike, unless a recovery is shorter.
const WATCHED: Duration = Duration::from_secs(2);

/// An attached run at work.
pub(super) struct Course<'a> {
    pub(super) options: &'a Options,
    pub(super) plan: &'a AttachedPlan,
    pub(super) targets: Targets,
    pub(super) folder: &'a RunFolder,
    pub(super) journalist: &'a mut Journalist,
    pub(super) injector: Injector,
    /// Who came after those that were struck and ended.
    pub(super) returned: Vec<Returned>,
}

/// What one strike was, and did.
#[derive(Debug, Default)]
struct Struck {
    chosen: Vec<Attached>,
    /// How long each of them had lived.
    ages: Vec<Duration>,
    strikes: Vec<Strike>,
    /// Why others of them were not struck.
    refused: String,
    /// Who was running before.
    before: BTreeSet<Identity>,
}

impl Course<'_> {
    fn tell(&mut self, event: TrialEvent) -> Result<(), StoreError> {
        self.journalist.tell(Event::Trial(Box::new(event)))
    }

    fn start(&mut self, trial: u64, rule: &str) -> Result<(), StoreError> {
        let rule = rule.to_owned();
        self.tell(TrialEvent::Started { trial, attempt: 1, rule, rerun_of: None, expected: None })
    }

    fn end(
        &mut self,
        trial: u64,
        fired: u64,
        judgement: &Judgement,
        since: Instant,
    ) -> Result<(), StoreError> {
        self.tell(TrialEvent::Ended {
            trial,
            attempt: 1,
            fired,
            judgement: judgement.clone(),
            also: Vec::new(),
            known: false,
            unrecovered: false,
            replay: String::new(),
            seconds: since.elapsed().as_secs_f64(),
        })
    }

    /// The control, and the one trial; the result and why.
    pub(super) fn carry_out(&mut self, watch: Watch<'_>) -> Result<(Outcome, String), AttachError> {
        let since = Instant::now();
        self.start(0, "")?;
        let control = self.judge(0, None)?;
        self.end(0, 0, &control, since)?;
        if control.verdict != Verdict::Held {
            let why = format!("before anybody was struck: {}", control.detail);
            return Ok((Outcome::BaselineFailed, why));
        }
        let since = Instant::now();
        let rule = self.options.rule.name.clone().unwrap_or_default();
        self.start(1, &rule)?;
        let (fired, judgement) = self.strikes(watch)?;
        self.end(1, fired, &judgement, since)?;
        Ok(match judgement.verdict {
            Verdict::Violated(_) => (Outcome::Violated, String::new()),
            _ if !self.options.unleash => {
                let why = "a rehearsal: leashed, so nobody was struck; --unleash strikes";
                (Outcome::Vacuous, why.to_owned())
            }
            _ if fired == 0 => (Outcome::Vacuous, "no strike did anything".to_owned()),
            Verdict::Unknown(_) => (Outcome::Unknown, String::new()),
            Verdict::Held => (Outcome::Pass, String::new()),
        })
    }

    /// All strikes; how many did something, and the worst verdict.
    fn strikes(&mut self, watch: Watch<'_>) -> Result<(u64, Judgement), AttachError> {
        let (began, mut last, mut fired) = (Instant::now(), Instant::now(), 0);
        let mut worst = Judgement::held();
        let worsen = |worst: &mut Judgement, judgement: Judgement| {
            if judgement.verdict > worst.verdict {
                *worst = judgement;
            }
        };
        let planned = self.plan.strikes.clone();
        for (index, strike) in planned.iter().enumerate() {
            let (done, total, elapsed) = (index as u64, planned.len() as u64, began.elapsed());
            watch(&Progress { stage: "strikes", done, total, elapsed });
            let number = index as u64 + 1;
            self.wait_until(match &strike.when {
                Moment::At(span) => began + span.duration(),
                Moment::After(span) => last + span.duration(),
                // Roulette draws times.
                Moment::When(_) => last,
            })?;
            if self.targets.living()?.is_empty() {
                let left = planned.len() - index;
                let text = format!(
                    "{left} strikes were left out: the processes that were named have ended, and who \
                     came after them was not named; a control group (--cgroup) names those, too"
                );
                self.journalist.tell(Event::Note { text })?;
                break;
            }
            let struck = self.strike(number, strike, began)?;
            let struck_at = Instant::now();
            if struck.strikes.iter().any(Strike::fired) {
                fired += 1;
            } else {
                let why = match (self.options.unleash, struck.refused.as_str()) {
                    (false, _) => "Leashed: nobody was struck.".to_owned(),
                    (true, "") => format!("Strike {number} ({}) met nobody.", strike.fault),
                    (true, why) => format!("Strike {number} ({}) met nobody: {why}.", strike.fault),
                };
                worsen(&mut worst, Judgement::unknown(Reason::NotFired, why));
                last = Instant::now();
                continue;
            }
            let back = self.comes_back(number, &struck, struck_at)?;
            let is_back = back.verdict == Verdict::Held;
            worsen(&mut worst, back);
            if !is_back {
                break;
            }
            worsen(&mut worst, self.judge(1, Some(number))?);
            last = Instant::now();
        }
        let _ = self.injector.rollback();
        worsen(&mut worst, self.see_them_stay()?);
        worsen(&mut worst, self.judge(1, None)?);
        Ok((fired, worst))
    }

    /// After the last strike: whoever came back stays, or ends again and again.
    fn see_them_stay(&mut self) -> Result<Judgement, AttachError> {
        let limit = self.options.recovery;
        let (since, least) = (Instant::now(), WATCHED.min(limit.duration()));
        while since.elapsed() < least || !self.returned.iter().all(Returned::is_at_rest) {
            if self.returned.is_empty() {
                break;
            }
            let is_late = since.elapsed() >= limit.duration();
            for returned in &mut self.returned {
                if returned.look() && is_late || returned.is_gone_for(limit.duration()) {
                    return Ok(returned.judge(limit));
                }
            }
            self.wait_until(Instant::now() + SEARCH_INTERVAL)?;
        }
        for falls in self.returned.iter().filter_map(Returned::falls) {
            let text = format!("{falls}; then it stayed.");
            self.journalist.tell(Event::Note { text })?;
        }
        Ok(Judgement::held())
    }

    /// Chooses whom a strike is for, writes it down, and strikes through the gate.
    fn strike(
        &mut self,
        number: u64,
        planned: &PlannedStrike,
        began: Instant,
    ) -> Result<Struck, AttachError> {
        let (chosen, gate) = self.targets.choose(planned, !self.options.unleash)?;
        let after_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let whom = match chosen.as_slice() {
            [one] => Some(format!("process {}", one.identity.pid)),
            _ => None,
        };
        self.tell(TrialEvent::StrikePlanned {
            trial: 1,
            strike: number,
            fault: planned.fault.to_string(),
            position: Position { role: whom, after_ms, ..Position::default() },
            pids: chosen.iter().map(|it| it.identity.pid).collect(),
            processes: Vec::new(),
        })?;
        self.journalist.sync()?;
        let ages = chosen.iter().map(|it| age(it.identity)).collect();
        let before = identity::all().into_iter().map(|status| status.identity).collect();
        let mut refused = Vec::new();
        let mut permits = Vec::new();
        let decided = Instant::now();
        for attached in &chosen {
            match gate.permit(attached.identity) {
                Ok(permit) => permits.push(permit),
                Err(refusal) => refused.push(format!("{}: {refusal}", attached.name())),
            }
        }
        let mut strikes = Vec::new();
        if let (Some(act), false) = (act(&planned.fault), permits.is_empty()) {
            for result in self.injector.strike_all(permits, &act, decided)? {
                match result {
                    Ok(strike) => strikes.push(strike),
                    Err(error) => refused.push(in_words(&error)),
                }
            }
        }
        let fired = strikes.iter().any(Strike::fired);
        self.tell(TrialEvent::Struck {
            trial: 1,
            strike: number,
            strikes: strikes.clone(),
            reason: (!fired).then_some(Reason::NotFired),
            detail: refused.join("; "),
        })?;
        Ok(Struck { chosen, ages, strikes, refused: refused.join("; "), before })
    }

    /// Whether what was struck is there again, or goes on.
    fn comes_back(
        &mut self,
        number: u64,
        struck: &Struck,
        struck_at: Instant,
    ) -> Result<Judgement, AttachError> {
        let is_struck = |(it, _): &(&Attached, &Duration)| {
            let mut strikes = struck.strikes.iter();
            strikes.any(|strike| strike.fired() && strike.pid == it.identity.pid)
        };
        let mut open: Vec<_> = struck.chosen.iter().zip(&struck.ages).filter(is_struck).collect();
        let meant: Vec<Identity> = open.iter().map(|(it, _)| it.identity).collect();
        self.returned.retain(|returned| !returned.is_one_of(&meant));
        let lasts = match self.options.rule.r#do {
            Fault::Suspend(span) => span.duration(),
            _ => Duration::ZERO,
        };
        let limit = lasts + self.options.recovery.duration();
        let mut last_bad = Instant::now();
        while struck_at.elapsed() < limit {
            self.wait_until(Instant::now() + LOOK_INTERVAL)?;
            if self.injector.lasting() > 0 {
                continue;
            }
            open.retain(|(it, lived)| {
                if it.identity.is_alive() {
                    return false;
                }
                let Some(next) = it.successor(&struck.before) else { return true };
                let (was, others) = ((*it).clone(), struck.before.clone());
                self.returned.push(Returned::new(was, number, **lived, others, next));
                false
            });
            if open.is_empty() {
                let micros = |at: Instant| {
                    let since = at.saturating_duration_since(struck_at).as_micros();
                    u64::try_from(since).unwrap_or(u64::MAX)
                };
                self.tell(TrialEvent::Recovered {
                    trial: 1,
                    strike: number,
                    last_bad_us: micros(last_bad),
                    first_good_us: micros(Instant::now()),
                })?;
                return Ok(Judgement::held());
            }
            last_bad = Instant::now();
            self.wait_until(last_bad + SEARCH_INTERVAL)?;
        }
        let names: Vec<String> = open.iter().map(|(it, _)| it.name()).collect();
        let why = format!(
            "{} after strike {number} {} had not come back.",
            self.options.recovery,
            names.join(", ")
        );
        Ok(Judgement::violated(Class::Bricked, why))
    }

    /// Judges the probe and the check; held where there are none.
    fn judge(&mut self, trial: u64, strike: Option<u64>) -> Result<Judgement, AttachError> {
        let reader = Reader {
            states: vec![self.options.directory.clone()],
            shown: Vec::new(),
            own_paths: OwnPaths::default(),
            journal: self.folder.join("journal"),
            directory: self.options.directory.clone(),
            environment: std::env::vars_os().collect(),
            is_live: true,
        };
        let nothing = serde_json::Value::Null;
        let told = Told {
            checkpoints: &BTreeMap::new(),
            values: &nothing,
            has_line: &|_| false,
            is_written: &|| false,
        };
        let mut worst = Judgement::held();
        for invariant in &self.options.invariants {
            let reading = reader.read(invariant, &told);
            let judgement = judge(invariant, &Evidence::of(&reading));
            let invariant = invariant.kind().to_owned();
            let event = Event::Trial(Box::new(TrialEvent::Judged {
                trial,
                invariant,
                strike,
                judgement: judgement.clone(),
            }));
            self.journalist.tell(event)?;
            if judgement.verdict > worst.verdict {
                worst = judgement;
            }
        }
        Ok(worst)
    }

    /// Lets time pass. Faults whose time is over are lifted meanwhile.
    fn wait_until(&mut self, until: Instant) -> Result<(), AttachError> {
        loop {
            let _ = self.injector.lift_due(Instant::now());
            if self.options.interrupt.is_requested() {
                return Err(AttachError::Interrupted);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(LOOK_INTERVAL));
        }
    }
}

/// What the injector does; none for what needs a supervisor or a call.
fn act(fault: &Fault) -> Option<Act> {
    match fault {
        Fault::Kill => Some(Act::Signal(Signal::KILL)),
        Fault::Terminate => Some(Act::Signal(Signal::TERM)),
        Fault::Signal(signal) => Some(Act::Signal(*signal)),
        Fault::Suspend(span) => Some(Act::Suspend { duration: Some(span.duration()) }),
        _ => None,
    }
}

/// An error with its causes.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
