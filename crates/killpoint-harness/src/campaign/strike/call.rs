//! The held call of a strike at a crash point: what is done to the call itself.

use super::super::interception::Interception;
use killpoint_engine::record::hold::{Decision, Met};
use killpoint_model::fault::Fault;
use killpoint_model::plan::PlannedStrike;
use killpoint_model::seed::Generator;
use killpoint_model::signal::Signal;
use killpoint_model::strike::{Effect, Step};
use std::time::Instant;

/// A call that is held, and who holds it.
pub(in crate::campaign) struct AtCall<'a> {
    pub(in crate::campaign) interception: &'a mut Interception,
    pub(in crate::campaign) met: &'a Met,
}

impl AtCall<'_> {
    /// Before somebody is struck: a signal that a process takes in its own time has to reach it while
    /// the call has not been made, so the thread goes on as soon as one waits for it.
    pub(super) fn open_for_signals(&mut self, fault: &Fault) {
        let comes_at_once = match fault {
            Fault::Kill | Fault::KeepDown(_) | Fault::Suspend(_) | Fault::TornWrite(_) => true,
            Fault::Signal(signal) => *signal == Signal::KILL,
            // By the supervisor, which is waited for.
            Fault::Graceful | Fault::Restart => true,
            _ => false,
        };
        if !comes_at_once && !fault.is_at_a_call() {
            self.interception.decide(Decision::OnSignal);
        }
    }

    /// Does to the call what the fault says; the proof of it, or why it could not be done.
    pub(super) fn affect(
        &mut self,
        planned: &PlannedStrike,
        decided: Instant,
    ) -> Result<Step, String> {
        let decision = self.decision(planned).inspect_err(|_| {
            self.interception.decide(Decision::Carry);
        })?;
        self.interception.decide(decision);
        let done_after_us = microseconds(decided);
        let returned = self.interception.returned();
        let result = returned.ok_or("it is not known what the call gave back")?;
        Ok(Step {
            what: planned.fault.to_string(),
            done_after_us,
            seen_after_us: microseconds(decided),
            effect: Effect::Returned { result },
        })
    }

    fn decision(&self, planned: &PlannedStrike) -> Result<Decision, String> {
        let length =
            || self.met.length.ok_or("the call writes by another means than a plain write");
        match &planned.fault {
            Fault::Fail(error) => Ok(Decision::Fail(error.number())),
            Fault::ShortWrite(bytes) => match length()? {
                length if length > *bytes => Ok(Decision::Short(*bytes)),
                length => Err(format!("the call writes only {length} bytes")),
            },
            Fault::TornWrite(block) => {
                let length = length()?;
                // The last whole block is cut off, too, where the write ends with it.
                let cuts = length.saturating_sub(1) / block;
                if cuts == 0 {
                    return Err(format!("the call writes only {length} bytes"));
                }
                let cut = 1 + Generator::new(planned.pick).below(cuts);
                Ok(Decision::ShortThenHold(cut * block))
            }
            _ => unreachable!("it is done to a process"),
        }
    }
}

fn microseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
