//! Deaths of processes below a supervised one: seen by the watch for crashes, placed among what the
//! supervisor told by the time at which they happened.

use super::state::{Death, State};
use crate::collector::watch::Died;
use jiff::Timestamp;
use killpoint_model::crash::{Below, LastCheckpoint};
use killpoint_model::lifecycle::{End, Exit, Lifecycle, Record};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long before a death its dump may have been written by the application.
const DUMP_TIME_MAX: Duration = Duration::from_secs(5);

/// The deaths of processes that the supervisor tells nothing of, in their order.
pub(super) fn deaths(died: &[Died], lifecycle: &Path, state: &State) -> Vec<Death> {
    let below: Vec<&Died> = died.iter().filter(|it| is_below(it, state)).collect();
    if below.is_empty() {
        return Vec::new();
    }
    let mut places = vec![Place::default(); below.len()];
    let mut mains = Mains::default();
    // The file has what was too much for the event log, too.
    let lines = File::open(lifecycle).into_iter().flat_map(|file| BufReader::new(file).lines());
    for line in lines.map_while(Result::ok) {
        let Ok(record) = serde_json::from_str::<Record>(&line) else { continue };
        let Ok(time) = record.time.parse::<Timestamp>() else { continue };
        let time_us = time.as_microsecond();
        mains.take(&record, time_us);
        for (died, place) in below.iter().zip(&mut places) {
            place.take(died, &record, time_us);
        }
    }
    let placed = below.into_iter().zip(places);
    let others = placed.filter(|(died, _)| !mains.has(died.pid, died.time_us));
    others.map(|(died, place)| death(died, place, state)).collect()
}

fn is_below(died: &Died, state: &State) -> bool {
    died.above.is_some() && died.supervisor.is_some() && died.supervisor == state.supervisor
}

fn death(died: &Died, place: Place, state: &State) -> Death {
    let (process, life) = died.above.clone().expect("it stands below one");
    let time = Timestamp::from_microsecond(died.time_us).unwrap_or(Timestamp::UNIX_EPOCH);
    let died_at = SystemTime::from(time);
    let exit = Some(Exit::Signal { number: died.signal, core: died.core });
    let is_by = |until| place.at_us <= state.clock.micros(until);
    let blow = state.struck.get(&died.pid).filter(|blow| blow.has_ended(exit, is_by));
    Death {
        process,
        life,
        pid: died.pid,
        below: Some(Box::new(Below {
            role: died.role.clone(),
            executable: died.executable.clone(),
            command: died.command.clone(),
            next_event_ordinal: place.next,
        })),
        end: End::Killed,
        exit,
        at_us: place.at_us,
        time: time.to_string(),
        event: place.event,
        strike: blow.map(|blow| blow.strike),
        dump_problem: blow.and_then(|blow| blow.dump_problem.clone()),
        checkpoint: place.checkpoint,
        started_at: died_at.checked_sub(DUMP_TIME_MAX).unwrap_or(died_at),
        died_at,
    }
}

/// Where a death stands among the lifecycle events.
#[derive(Clone, Debug, Default)]
struct Place {
    at_us: u64,
    /// The last event before it.
    event: u64,
    /// The first one after it.
    next: Option<u64>,
    checkpoint: Option<LastCheckpoint>,
}

impl Place {
    fn take(&mut self, died: &Died, record: &Record, time_us: i64) {
        if matches!(record.event, Lifecycle::Heartbeat {}) {
            return;
        }
        if time_us > died.time_us {
            self.next.get_or_insert(record.ordinal);
            return;
        }
        let since = u64::try_from(died.time_us - time_us).unwrap_or(0);
        (self.at_us, self.event) = (record.at_us + since, record.ordinal);
        if let (Lifecycle::CheckpointSaved { sequence }, Some(process)) =
            (&record.event, &record.process)
        {
            self.checkpoint = Some(LastCheckpoint {
                process: process.clone(),
                sequence: *sequence,
                event_ordinal: record.ordinal,
            });
        }
    }
}

/// The numbers that supervised processes had, and when.
#[derive(Debug, Default)]
struct Mains(Vec<Main>);

#[derive(Debug)]
struct Main {
    process: Option<String>,
    pid: i32,
    from_us: i64,
    to_us: i64,
}

impl Mains {
    fn take(&mut self, record: &Record, time_us: i64) {
        match &record.event {
            Lifecycle::Started { pid, .. } | Lifecycle::MainChanged { pid, .. } => {
                let process = record.process.clone();
                // It begins before that is told.
                let (from_us, to_us) = (self.end_of(*pid), i64::MAX);
                self.0.push(Main { process, pid: *pid, from_us, to_us });
            }
            Lifecycle::Ended { .. } => {
                let open = self.0.iter_mut().filter(|main| main.to_us == i64::MAX);
                for main in open.filter(|main| main.process == record.process) {
                    main.to_us = time_us;
                }
            }
            _ => {}
        }
    }

    /// When the number was free again.
    fn end_of(&self, pid: i32) -> i64 {
        let of_pid = self.0.iter().filter(|main| main.pid == pid);
        of_pid.map(|main| main.to_us).max().unwrap_or(i64::MIN)
    }

    fn has(&self, pid: i32, time_us: i64) -> bool {
        let of_pid = self.0.iter().filter(|main| main.pid == pid);
        of_pid.into_iter().any(|main| main.from_us <= time_us && time_us <= main.to_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::blow::Blow;
    use std::fs;

    const SECOND_US: i64 = 1_000_000;

    fn record(ordinal: u64, second: i64, process: &str, event: Lifecycle) -> String {
        let time = Timestamp::from_microsecond(second * SECOND_US).expect("a time").to_string();
        let (at_us, process) = (ordinal * 10, Some(process.to_owned()));
        let record = Record { version: 1, ordinal, at_us, time, process, life: Some(1), event };
        serde_json::to_string(&record).expect("plain data") + "\n"
    }

    fn died(pid: i32, second: i64) -> Died {
        Died {
            pid,
            signal: 11,
            core: false,
            time_us: second * SECOND_US + 5,
            role: Some("worker".to_owned()),
            executable: "/bin/worker".to_owned(),
            command: "worker --fast".to_owned(),
            above: Some(("app".to_owned(), 2)),
            supervisor: Some(3),
        }
    }

    #[test]
    fn a_death_stands_where_its_time_is_and_a_supervised_one_is_told_by_its_supervisor() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("lifecycle.jsonl");
        let killed = Some(Exit::Signal { number: 11, core: false });
        let lines = [
            record(
                1,
                1,
                "app",
                Lifecycle::Started {
                    pid: 7,
                    command: Vec::new(),
                    fallback: false,
                    not_before: String::new(),
                },
            ),
            record(2, 2, "app", Lifecycle::CheckpointSaved { sequence: 4 }),
            record(3, 3, "app", Lifecycle::Heartbeat {}),
            record(
                4,
                9,
                "app",
                Lifecycle::Ended { end: End::Killed, exit: killed, after_us: 1, swept: 0 },
            ),
        ];
        fs::write(&file, lines.concat()).expect("written");
        let mut state = State { supervisor: Some(3), ..State::default() };
        state.struck.insert(10, Blow::deadly(5, None));
        let stray = Died { supervisor: Some(4), ..died(9, 4) };
        // The number of the supervised process, while it had it and afterwards.
        let all = [died(8, 4), died(7, 8), stray, died(10, 10), died(7, 11)];
        let found = deaths(&all, &file, &state);
        let pids: Vec<i32> = found.iter().map(|death| death.pid).collect();
        assert_eq!(pids, [8, 10, 7]);
        let below = found[0].below.as_ref().expect("below");
        assert_eq!((found[0].event, below.next_event_ordinal), (2, Some(4)));
        assert_eq!(found[0].at_us, 20 + 2 * 1_000_000 + 5);
        assert_eq!(found[0].checkpoint.as_ref().map(|it| it.sequence), Some(4));
        assert_eq!((found[0].process.as_str(), found[0].life), ("app", 2));
        assert_eq!((found[0].strike, found[1].strike), (None, Some(5)));
        assert_eq!(found[1].below.as_ref().and_then(|it| it.next_event_ordinal), None);
    }
}
