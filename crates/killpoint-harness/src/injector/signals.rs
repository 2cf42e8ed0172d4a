//! Signals, and the proof that they were taken: a death seen through the pidfd, or the kernel's word
//! that none waits any more.

use super::{StrikeError, ends_within, microseconds};
use killpoint_engine::identity::{Disposition, Handle};
use killpoint_model::signal::Signal;
use killpoint_model::strike::{Effect, Step};
use std::time::{Duration, Instant};

/// Longest wait for a death that must come: a large process takes time to be taken down, and a core
/// to be written.
const DEATH_MS_MAX: u64 = 10_000;
/// Longest wait for a signal to be taken.
const TAKEN_MS_MAX: u64 = 1_000;
/// How often it is looked whether it was.
const LOOK_INTERVAL: Duration = Duration::from_micros(500);

/// Signals that do nothing to who does not ask for them: CHLD, CONT, URG, WINCH.
const HARMLESS: [i32; 4] = [17, CONT, 23, 28];
/// Has whoever stands still go on.
const CONT: i32 = 18;

/// Dumps a process and kills it while it stands still: first the step of the dump, then that of the kill.
#[cfg(feature = "dumps")]
pub(super) fn dump_and_kill(
    process: &Handle,
    prefix: &std::path::Path,
    dumper: Option<&mut super::Dumper>,
    decided: Instant,
) -> Result<Vec<Step>, StrikeError> {
    use killpoint_engine::dump::{Afterwards, write};
    let pid = process.identity().pid;
    let mut path = prefix.as_os_str().to_owned();
    path.push(format!("-{pid}.dmp"));
    let written = match dumper {
        Some(dumper) => (dumper.0)(pid, path.as_ref()),
        None => write(pid, path.as_ref(), Afterwards::Kill).map(drop).map_err(|error| {
            let cause = std::error::Error::source(&error);
            let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            format!("{error}{cause}")
        }),
    };
    let done_after_us = microseconds(decided);
    let effect = written.map_or_else(|why| Effect::Failed { why }, |()| Effect::Noted);
    let is_dumped = effect == Effect::Noted;
    let dump =
        Step { what: "dump".to_owned(), done_after_us, seen_after_us: done_after_us, effect };
    if !is_dumped {
        let mut sent = send_all(&[process], Signal::KILL, None, decided)?;
        return Ok(vec![dump, sent.pop().expect("one step for each process")?]);
    }
    // It was killed from within the dump, so that it did not go on in between.
    let effect = match ends_within(process, Duration::from_millis(DEATH_MS_MAX))? {
        true => Effect::Ended { death: process.death() },
        false => Effect::Pending,
    };
    let (what, seen_after_us) = (Signal::KILL.to_string(), microseconds(decided));
    Ok(vec![dump, Step { what, done_after_us, seen_after_us, effect }])
}

/// Sends a signal to all of them, back to back, and only then looks at what it did: waits for each death
/// where it must come or for so long, else until the signal is taken.
pub(super) fn send_all(
    processes: &[&Handle],
    signal: Signal,
    grace: Option<Duration>,
    decided: Instant,
) -> Result<Vec<Result<Step, StrikeError>>, StrikeError> {
    if signal.suspends() {
        return Err(StrikeError::StopsWithoutInverse(signal));
    }
    let before: Vec<_> = processes.iter().map(|process| process.disposition(signal)).collect();
    let mut sent = Vec::with_capacity(processes.len());
    for process in processes {
        sent.push((process.signal(signal), microseconds(decided)));
    }
    let since = Instant::now();
    let prove = |((process, before), (sent, done_after_us))| {
        let process: &Handle = process;
        let pid = process.identity().pid;
        let failed = |source| StrikeError::Process { action: "send a signal to", pid, source };
        // The grace is one for all of them.
        let left = grace.map(|grace| grace.saturating_sub(since.elapsed()));
        let effect = match Result::map_err(sent, failed)? {
            false => Effect::Gone,
            true => effect(process, signal, before, left)?,
        };
        let seen_after_us = microseconds(decided);
        Ok(Step { what: signal.to_string(), done_after_us, seen_after_us, effect })
    };
    Ok(processes.iter().copied().zip(before).zip(sent).map(prove).collect())
}

/// Whether the kernel throws a signal away the moment it is sent: it is ignored, or does nothing to who
/// does not catch it. One that is blocked waits, as somebody may ask for it; and whoever stands still goes
/// on with CONT, whatever he does with it.
fn is_discarded(signal: Signal, before: Disposition) -> bool {
    let wakes = signal.number() == CONT && before.stopped;
    let is_harmless = HARMLESS.contains(&signal.number()) && !before.caught && !before.blocked;
    !wakes && (before.ignored || is_harmless)
}

/// What became of a signal that was sent.
fn effect(
    process: &Handle,
    signal: Signal,
    before: Option<Disposition>,
    grace: Option<Duration>,
) -> Result<Effect, StrikeError> {
    let before = before.unwrap_or_default();
    let is_deadly = signal == Signal::KILL
        || !before.ignored
            && !before.caught
            && !before.blocked
            && !HARMLESS.contains(&signal.number());
    let limit = grace.unwrap_or(match is_deadly {
        true => Duration::from_millis(DEATH_MS_MAX),
        false => Duration::ZERO,
    });
    if ends_within(process, limit)? {
        return Ok(Effect::Ended { death: process.death() });
    }
    if is_discarded(signal, before) {
        return Ok(Effect::Ignored);
    }
    let since = Instant::now();
    loop {
        match process.disposition(signal) {
            // The first process of a PID namespace takes no signal that it does not catch.
            Some(now) if !now.pending && is_deadly => return Ok(Effect::Ignored),
            Some(now) if !now.pending => break,
            _ if since.elapsed() > Duration::from_millis(TAKEN_MS_MAX) => {
                return Ok(Effect::Pending);
            }
            _ => {}
        }
        if ends_within(process, LOOK_INTERVAL)? {
            return Ok(Effect::Ended { death: process.death() });
        }
    }
    Ok(match ends_within(process, Duration::ZERO)? {
        true => Effect::Ended { death: process.death() },
        false => Effect::Delivered,
    })
}
