//! What a strike did to a process, and which end of that process belongs to it: whoever took a signal or
//! had a call fail, and dies of something else a while later, has crashed by itself.

use killpoint_model::fault::Fault;
use killpoint_model::lifecycle::Exit;
use killpoint_model::signal::Signal;
use std::time::{Duration, Instant};

/// How long a death may take that was not asked for and follows a strike all the same.
pub(super) const FOLLOWS: Duration = Duration::from_millis(500);
/// How long an application may try again, and tidy up, before it ends because of a call that failed.
const GIVES_UP: Duration = Duration::from_secs(2);
/// INT, QUIT, TERM: whoever handles one of them is expected to end.
const REQUESTS: [i32; 3] = [2, 3, 15];
/// ILL, BUS, FPE, SEGV, SYS: nobody ends by one of them because he was asked to.
const FAULTS: [i32; 5] = [4, 7, 8, 11, 31];

/// What a strike did to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blow {
    /// Which strike.
    pub(super) strike: u64,
    /// Why there is no dump of the process.
    pub(super) dump_problem: Option<String>,
    /// The signal that was sent.
    signal: Option<i32>,
    /// Until when its end may follow from the strike; none where it was seen to end.
    until: Option<Instant>,
}

impl Blow {
    /// It was seen to end.
    pub(super) fn deadly(strike: u64, dump_problem: Option<String>) -> Self {
        Blow { strike, dump_problem, signal: None, until: None }
    }

    /// It lives on: what ends it until then may be the strike.
    pub(super) fn taken(strike: u64, fault: &Fault, until: Instant) -> Self {
        let signal = signal_of(fault).map(Signal::number);
        Blow { strike, dump_problem: None, signal, until: Some(until) }
    }

    /// Whether an end belongs to the strike; `is_by` says whether it came by a moment.
    pub(super) fn has_ended(&self, exit: Option<Exit>, is_by: impl Fn(Instant) -> bool) -> bool {
        let Some(until) = self.until else { return true };
        match exit {
            Some(Exit::Signal { number, .. }) if self.signal == Some(number) => true,
            Some(Exit::Signal { number, .. }) if FAULTS.contains(&number) => false,
            _ => is_by(until),
        }
    }
}

fn signal_of(fault: &Fault) -> Option<Signal> {
    match fault {
        Fault::Terminate => Some(Signal::TERM),
        Fault::Signal(signal) => Some(*signal),
        _ => None,
    }
}

/// How long the end of a process that took a fault and lives on may still follow from it. Whoever is asked
/// to end has the grace of his stop.
pub(super) fn window(fault: &Fault, grace: Duration) -> Duration {
    match fault {
        Fault::Suspend(span) => span.duration() + FOLLOWS,
        Fault::Fail(_) | Fault::ShortWrite(_) => GIVES_UP,
        _ if signal_of(fault).is_some_and(|it| REQUESTS.contains(&it.number())) => grace,
        _ => FOLLOWS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use killpoint_model::span::Span;

    #[test]
    fn only_what_the_strike_sent_or_what_follows_soon_belongs_to_it() {
        let by = |number| Some(Exit::Signal { number, core: false });
        let status = Some(Exit::Status(1));
        let hup = Fault::Signal("HUP".parse().expect("a signal"));
        for (fault, exit, in_time, expected) in [
            (&hup, by(1), false, true),
            (&hup, by(9), true, true),
            (&hup, by(11), true, false),
            (&hup, status, true, true),
            (&hup, status, false, false),
            (&Fault::Suspend(Span::from_secs(1)), by(11), true, false),
            (&Fault::Fail(killpoint_model::fault::Errno::Enospc), status, true, true),
        ] {
            let blow = Blow::taken(1, fault, Instant::now());
            assert_eq!(blow.has_ended(exit, |_| in_time), expected, "{fault} {exit:?} {in_time}");
        }
        assert!(Blow::deadly(1, None).has_ended(by(11), |_| false));
    }

    #[test]
    fn whoever_is_asked_to_end_has_the_grace_of_his_stop() {
        let grace = Duration::from_secs(7);
        assert_eq!(window(&Fault::Terminate, grace), grace);
        assert_eq!(window(&Fault::Signal(Signal::TERM), grace), grace);
        assert_eq!(window(&Fault::Signal("USR1".parse().expect("a signal")), grace), FOLLOWS);
    }
}
