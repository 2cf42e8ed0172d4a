//! One strike: whom it is meant for at this moment, written down before it, and its proof.

mod call;

pub(super) use call::AtCall;

use super::blow::Blow;
use super::problem::CampaignError;
use super::state::State;
use super::tell;
use crate::injector::{Act, Gate, Injector};
use crate::journalist::Journalist;
use crate::processes::{FindError, Finder, Found, Within};
use killpoint_engine::identity;
use killpoint_model::fault::Fault;
use killpoint_model::plan::PlannedStrike;
use killpoint_model::scenario::Target;
use killpoint_model::selector::{Roles, Selector};
use killpoint_model::signal::Signal;
use killpoint_model::strike::{Effect, Step, Strike};
use killpoint_model::trial::{Position, TrialEvent};
use killpoint_model::verdict::Reason;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// The target at the moment of a strike.
pub(super) struct Living<'a> {
    pub(super) state: &'a State,
    pub(super) target: &'a Target,
}

/// Why a ladder did nothing.
const LADDER_IS_OVER: &str = "its rungs are used up, and nobody has ended";
/// Why nobody is kept down.
const NOT_SUPERVISED: &str = "it inhibits what the supervisor starts again, and whom it meets is started by \
                              another process, which nothing inhibits";

/// What is to be done.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) planned: &'a PlannedStrike,
    /// Which strike of the trial, from 1.
    pub(super) strike: u64,
    /// Which trial.
    pub(super) trial: u64,
    /// Whether what is ended is not to be started again until it is said.
    pub(super) hold: bool,
    /// Where a dump of what is killed goes, if one is wanted.
    pub(super) dumps: Option<&'a Path>,
    /// How long the end of who lives on may still follow from it.
    pub(super) window: Duration,
    /// Fills in the places of the trial.
    pub(super) fill: &'a dyn Fn(&str) -> String,
}

/// What a strike did.
#[derive(Debug, Default)]
pub(super) struct Struck {
    /// Whether it did anything.
    pub(super) fired: bool,
    /// Whether the supervised processes that it meant are kept down until the rollback.
    pub(super) is_held: bool,
    /// How often each supervised process had been started. Another strike may come before this one is over.
    pub(super) lives: BTreeMap<String, u32>,
    /// The supervised processes that it is meant for.
    pub(super) meant: Vec<String>,
    /// Whether no other supervised process ran.
    pub(super) is_for_all: bool,
    /// The supervised processes that it ends.
    pub(super) ended: Vec<String>,
    /// The supervised processes that took a signal and lived on.
    pub(super) asked: Vec<String>,
    /// What it did to each process.
    pub(super) blows: Vec<(i32, Blow)>,
    /// What the supervisor is to be asked.
    pub(super) requests: Vec<String>,
    /// How long its effect is meant to last.
    pub(super) lasts: Duration,
    /// Why it did nothing, if there is more to say than that nobody was met.
    pub(super) problem: String,
}

impl Living<'_> {
    /// The roles, and the supervised processes by their numbers where no role has their name.
    pub(super) fn roles(&self) -> Roles {
        let mut roles = self.target.roles.clone();
        for (name, process) in &self.state.processes {
            if roles.named(name).is_none() && process.pid.is_some() {
                let selector = Selector { pid: process.pid, ..Selector::default() };
                // A name of a process is one of a role, and new.
                let _ = roles.add(name, selector);
            }
        }
        roles
    }

    /// Whether all supervised processes that run are among these.
    fn are_all(&self, names: &[String]) -> bool {
        let mut running = self.state.processes.iter().filter(|(_, it)| it.pid.is_some());
        !names.is_empty() && running.all(|(name, _)| names.contains(name))
    }

    /// The supervised processes that are started again if they are down.
    fn not_over(&self) -> Vec<String> {
        let not_over = self.state.processes.iter().filter(|(_, it)| !it.is_over);
        not_over.map(|(name, _)| name.clone()).collect()
    }

    /// How often each supervised process was started.
    fn lives(&self) -> BTreeMap<String, u32> {
        self.state.processes.iter().map(|(name, it)| (name.clone(), it.life)).collect()
    }

    /// The name of a supervised process.
    fn name_of(&self, pid: i32) -> Option<&String> {
        let mut processes = self.state.processes.iter();
        processes.find(|(_, process)| process.pid == Some(pid)).map(|(name, _)| name)
    }
}

/// Carries out a strike. What is about to be done is on disk before it is.
pub(super) fn carry_out(
    order: &Order<'_>,
    position: Position,
    living: &Living<'_>,
    mut call: Option<AtCall<'_>>,
    journalist: &mut Journalist,
    injector: &mut Injector,
) -> Result<Struck, CampaignError> {
    let Order { planned, strike, trial, .. } = *order;
    let caller = call.as_ref().map(|call| call.met.process);
    let chosen = choose(planned, living, caller)?;
    let names: Vec<String> =
        chosen.iter().filter_map(|found| living.name_of(found.identity.pid).cloned()).collect();
    let event = TrialEvent::StrikePlanned {
        trial,
        strike,
        fault: planned.fault.to_string(),
        position,
        pids: chosen.iter().map(|found| found.identity.pid).collect(),
        processes: names.clone(),
    };
    tell(journalist, event)?;
    journalist.sync()?;
    let mut struck = Struck {
        is_for_all: living.are_all(&names),
        meant: names,
        lives: living.lives(),
        ..Struck::default()
    };
    let mut on = Blows { strikes: Vec::new(), struck: &mut struck, decided: Instant::now() };
    let is_at_a_call = planned.fault.is_at_a_call();
    let goes_on = call.as_mut().is_none_or(|call| !is_at_a_call || on.affect(order, call));
    let mut refused = Vec::new();
    if goes_on {
        if let Some(mut call) = call {
            call.open_for_signals(&planned.fault);
        }
        refused = on.strike(order, living, &chosen, injector)?;
    }
    let strikes = on.strikes;
    if !struck.fired && strikes.iter().any(Strike::fired) {
        struck.problem = LADDER_IS_OVER.to_owned();
    }
    let reason = if struck.fired { None } else { Some(Reason::NotFired) };
    let detail = match (chosen.is_empty(), refused.is_empty()) {
        (true, _) => "no process is meant".to_owned(),
        (_, false) => refused.join("; "),
        _ => struck.problem.clone(),
    };
    tell(journalist, TrialEvent::Struck { trial, strike, strikes, reason, detail })?;
    Ok(struck)
}

/// Whether processes may end by it.
fn may_end(fault: &Fault) -> bool {
    fault.rungs().is_some() || matches!(fault, Fault::Graceful | Fault::Restart)
}

/// What is done to one after the other.
struct Blows<'a> {
    strikes: Vec<Strike>,
    struck: &'a mut Struck,
    decided: Instant,
}

impl Blows<'_> {
    /// Does it to the call that is held. Whether there is more to be done.
    fn affect(&mut self, order: &Order<'_>, call: &mut AtCall<'_>) -> bool {
        let (fault, caller) = (&order.planned.fault, call.met.process);
        match call.affect(order.planned, self.decided) {
            Ok(step) => {
                self.struck.fired = true;
                self.strikes.push(of_process(caller, step));
                let until = self.decided + order.window;
                self.struck.blows.push((caller, Blow::taken(order.strike, fault, until)));
                matches!(fault, Fault::TornWrite(_))
            }
            Err(problem) => {
                self.struck.problem = problem;
                false
            }
        }
    }

    /// Before anybody ends, or the supervisor would be faster: what must not be started again yet.
    fn inhibit(
        &mut self,
        order: &Order<'_>,
        living: &Living<'_>,
        injector: &mut Injector,
    ) -> Result<(), CampaignError> {
        let (struck, decided) = (&mut *self.struck, self.decided);
        if let Fault::KeepDown(span) = &order.planned.fault {
            for name in &struck.meant {
                injector.keep_down(Some(name), Some(span.duration()), decided)?;
            }
            struck.lasts = span.duration();
        } else if order.hold && may_end(&order.planned.fault) && !struck.meant.is_empty() {
            // What is left has to be read before somebody writes over it, also who is about to be started.
            let names = if struck.is_for_all { living.not_over() } else { struck.meant.clone() };
            for name in &names {
                injector.keep_down(Some(name), None, decided)?;
            }
            struck.is_held = true;
        }
        Ok(())
    }

    /// Strikes all of them; why somebody was not struck.
    fn strike(
        &mut self,
        order: &Order<'_>,
        living: &Living<'_>,
        chosen: &[Found],
        injector: &mut Injector,
    ) -> Result<Vec<String>, CampaignError> {
        let is_kept_down = matches!(order.planned.fault, Fault::KeepDown(_));
        if is_kept_down && self.struck.meant.is_empty() && !chosen.is_empty() {
            self.struck.problem = NOT_SUPERVISED.to_owned();
            return Ok(Vec::new());
        }
        self.inhibit(order, living, injector)?;
        let struck = &mut *self.struck;
        let Some(act) = act(&order.planned.fault, order.fill) else {
            // The supervisor's own ladder: the application's way, the signal, SIGKILL, and a start.
            struck.requests = struck.meant.iter().map(|name| format!("restart {name}")).collect();
            struck.ended.clone_from(&struck.meant);
            struck.fired = !struck.requests.is_empty();
            return Ok(Vec::new());
        };
        let gate = gate(living);
        if let Act::Suspend { duration } = &act {
            struck.lasts = duration.unwrap_or_default();
        }
        let act = order.dumps.and_then(|dumps| dumped(&act, dumps, order.strike)).unwrap_or(act);
        // Everybody is held before anybody is struck, so that nobody has time to notice.
        let (mut permits, mut refused) = (Vec::new(), Vec::new());
        for found in chosen {
            match gate.permit(found.identity) {
                Ok(permit) => permits.push(permit),
                Err(refusal) => refused.push(refusal.to_string()),
            }
        }
        for result in injector.strike_all(permits, &act, self.decided)? {
            self.strikes.push(result?);
        }
        self.take_in(order, living, &act);
        Ok(refused)
    }

    /// What became of whom.
    fn take_in(&mut self, order: &Order<'_>, living: &Living<'_>, act: &Act) {
        let Order { planned, strike, window, .. } = *order;
        let struck = &mut *self.struck;
        // A ladder is there to bring somebody down.
        let is_ladder = matches!(act, Act::Ladder(_));
        let has_fired = |done: &&Strike| if is_ladder { done.came_down() } else { done.fired() };
        for done in self.strikes.iter().filter(has_fired) {
            struck.fired = true;
            let is_ended = !identity_is_alive(done.pid, done.start);
            let blow = match is_ended {
                true => Blow::deadly(strike, dump_problem(done)),
                false => Blow::taken(strike, &planned.fault, Instant::now() + window),
            };
            struck.blows.push((done.pid, blow));
            // Who wrote a torn write has been met already.
            let is_new = |name: &&String| !struck.ended.contains(name);
            let name = living.name_of(done.pid).filter(is_new).cloned();
            match (is_ended, act) {
                (true, _) => struck.ended.extend(name),
                (false, Act::Suspend { .. }) => {}
                (false, _) => struck.asked.extend(name),
            }
        }
    }
}

fn of_process(pid: i32, step: Step) -> Strike {
    let start = identity::status(pid).map_or(0, |status| status.identity.start);
    Strike { pid, start, steps: vec![step] }
}

/// The same act with a dump before it, if it is one that has one.
#[cfg(feature = "dumps")]
fn dumped(act: &Act, dumps: &Path, strike: u64) -> Option<Act> {
    let prefix = super::crashes::dumps_of_strike(dumps, strike);
    (*act == Act::Signal(Signal::KILL)).then_some(Act::DumpAndKill { prefix })
}

#[cfg(not(feature = "dumps"))]
fn dumped(_act: &Act, _dumps: &Path, _strike: u64) -> Option<Act> {
    None
}

/// Why there is no dump of a process that was to be dumped.
fn dump_problem(strike: &Strike) -> Option<String> {
    strike.steps.iter().find_map(|step| match &step.effect {
        Effect::Failed { why } if step.what == "dump" => Some(why.clone()),
        _ => None,
    })
}

fn identity_is_alive(pid: i32, start: u64) -> bool {
    identity::status(pid).is_ok_and(|status| status.identity.start == start && !status.ended)
}

fn choose(
    planned: &PlannedStrike,
    living: &Living<'_>,
    caller: Option<i32>,
) -> Result<Vec<Found>, CampaignError> {
    let root = living.state.supervisor.and_then(|pid| identity::status(pid).ok());
    let Some(root) = root.map(|status| status.identity) else { return Ok(Vec::new()) };
    let roles = living.roles();
    // A process that is down at this moment has no number, so its name means nobody.
    if planned.who.role.as_ref().is_some_and(|role| roles.named(role).is_none()) {
        return Ok(Vec::new());
    }
    let mut who = planned.who.clone();
    let is_done_to_the_call = matches!(planned.fault, Fault::Fail(_) | Fault::ShortWrite(_));
    if who.caller || is_done_to_the_call {
        (who.role, who.select) = (None, Some(Selector { pid: caller, ..Selector::default() }));
    }
    who.sparing.retain(|role| roles.named(role).is_some());
    let finder = Finder::open(roles)?;
    match finder.find(&who, Within::Below(root), planned.pick) {
        // The supervisor ends meanwhile, as it does when everything is stopped: nobody is below it any more.
        Err(FindError::Ended(_)) => Ok(Vec::new()),
        found => Ok(found?.chosen),
    }
}

fn gate(living: &Living<'_>) -> Gate {
    let root = living.state.supervisor.and_then(|pid| identity::status(pid).ok());
    root.map(|status| Gate::launched(status.identity)).unwrap_or_default()
}

/// What the injector does; none where the supervisor does it.
fn act(fault: &Fault, fill: &dyn Fn(&str) -> String) -> Option<Act> {
    match fault {
        Fault::Graceful | Fault::Restart => None,
        Fault::Suspend(span) => Some(Act::Suspend { duration: Some(span.duration()) }),
        Fault::Terminate => Some(Act::Signal(Signal::TERM)),
        Fault::Signal(signal) => Some(Act::Signal(*signal)),
        // A torn write has been torn by now.
        Fault::Kill | Fault::KeepDown(_) | Fault::TornWrite(_) => Some(Act::Signal(Signal::KILL)),
        Fault::Ladder(rungs) => {
            Some(Act::Ladder(rungs.iter().map(|rung| rung.filled_in(fill)).collect()))
        }
        // Done to the call.
        Fault::Fail(_) | Fault::ShortWrite(_) => None,
        // Carried out in a room of their own.
        Fault::Activities(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use killpoint_model::plan::Moment;
    use killpoint_model::seed::Seed;
    use killpoint_model::selector::Who;
    use killpoint_model::span::Span;
    use std::process::Command;

    #[test]
    fn below_a_supervisor_that_has_ended_a_strike_meets_nobody() {
        let mut supervisor = Command::new("true").spawn().expect("it starts");
        let pid = i32::try_from(supervisor.id()).expect("a number");
        // Until it is reaped it has its number.
        while identity::status(pid).is_ok_and(|status| !status.ended) {
            std::thread::yield_now();
        }
        let state = State { supervisor: Some(pid), ..State::default() };
        let target = Target::default();
        let planned = PlannedStrike {
            when: Moment::At(Span::from_ms(0)),
            fault: Fault::Kill,
            who: Who::default(),
            pick: Seed(0),
        };
        let chosen = choose(&planned, &Living { state: &state, target: &target }, None);
        assert!(chosen.expect("no error").is_empty());
        supervisor.wait().expect("it is reaped");
    }
}
