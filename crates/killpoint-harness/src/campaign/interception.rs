//! The campaign's side of the interceptor: what it is asked to follow in one trial, what it tells, and
//! what is decided about a held call.

use super::problem::{CampaignError, fail};
use super::world::World;
use crate::interceptor::{Argument, Lines, News, Next, Recorded, Setup};
use killpoint_engine::record::hold::Decision;
use killpoint_model::Scenario;
use killpoint_model::address::Address;
use killpoint_model::plan::CrashPoints;
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Longest time that a call is held: longer than anything that is decided while it is.
const HOLD_MAX: Duration = Duration::from_secs(60);
/// How long the target may go on behind the time of its trial, to be stopped.
const STOP_MARGIN: Duration = Duration::from_secs(120);
/// Longest wait for a call that was failed or cut short.
const RETURN_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether it has returned.
const RETURN_INTERVAL: Duration = Duration::from_millis(1);

/// An interceptor at work.
#[derive(Debug)]
pub(super) struct Interception {
    news: Lines,
    decisions: File,
    met: PathBuf,
}

/// What is followed.
pub(super) struct Followed<'a> {
    pub(super) scenario: &'a Scenario,
    /// Names that a recording before gave birth to.
    pub(super) names: Option<&'a BTreeSet<String>>,
    /// Where a call is held.
    pub(super) point: Option<&'a Address>,
}

impl Interception {
    /// Makes the pipes of a trial and the file that says what to follow: the supervisor that this
    /// command starts. Returns the file, too.
    pub(super) fn prepare(
        followed: &Followed<'_>,
        world: &World,
        program: &Path,
        arguments: Vec<PathBuf>,
    ) -> Result<(Self, PathBuf), CampaignError> {
        let folder = world.folder.join("interceptor");
        fs::create_dir_all(&folder).map_err(fail("make the directory", &folder))?;
        let (news, decisions) = (folder.join("news"), folder.join("decisions"));
        let pipe = |path: &Path| make_pipe(path).map_err(fail("make the named pipe", path));
        let met = folder.join("met.json");
        let interception = Interception {
            news: Lines::new(pipe(&news)?),
            decisions: File::from(pipe(&decisions)?),
            met: met.clone(),
        };
        let timeout = followed.scenario.timeouts.trial.duration() + STOP_MARGIN;
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let setup = Setup {
            program: program.to_owned(),
            arguments: arguments.into_iter().map(Argument).collect(),
            state: roots(followed.scenario, world),
            journal: world.journal.clone(),
            met,
            news,
            decisions,
            names: followed.names.cloned(),
            roles: followed.scenario.target.roles.clone(),
            point: followed.point.cloned(),
            timeout_ms: milliseconds(timeout),
            hold_ms_max: milliseconds(HOLD_MAX),
        };
        let path = folder.join("setup.json");
        let text = serde_json::to_string_pretty(&setup).expect("plain data with text keys");
        fs::write(&path, text).map_err(fail("write", &path))?;
        Ok((interception, path))
    }

    /// What the interceptor has to tell now, if anything.
    pub(super) fn look(&mut self) -> Option<News> {
        match self.news.take() {
            Next::Line(line) => serde_json::from_str(&line).ok(),
            Next::Nothing | Next::End => None,
        }
    }

    /// Decides about the held call. An interceptor that is gone needs no decision.
    pub(super) fn decide(&mut self, decision: Decision) {
        let line = serde_json::to_string(&decision).expect("plain data");
        let _ = writeln!(self.decisions, "{line}");
    }

    /// What the held call gave back; none if it does not return in time.
    pub(super) fn returned(&mut self) -> Option<i64> {
        let since = Instant::now();
        while since.elapsed() < RETURN_WAIT_MAX {
            match self.look() {
                Some(News::Returned(result)) => return Some(result),
                Some(News::Expired) => return None,
                _ => thread::sleep(RETURN_INTERVAL),
            }
        }
        None
    }

    /// What was met, once everything has ended; none if the interceptor did not come to write it.
    pub(super) fn recorded(&self) -> Option<Recorded> {
        serde_json::from_slice(&fs::read(&self.met).ok()?).ok()
    }
}

/// A named pipe of which this process has both ends, so that nobody waits for the other.
fn make_pipe(path: &Path) -> io::Result<OwnedFd> {
    let _ = fs::remove_file(path);
    rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::RUSR | Mode::WUSR)?;
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// The state directories of a trial, and what stands before their paths in addresses.
fn roots(scenario: &Scenario, world: &World) -> Vec<(Argument, String)> {
    let declared = &scenario.target.state;
    let prefix = |index: usize| match declared.get(index) {
        Some(path) if declared.len() > 1 => {
            path.trim_start_matches("./").trim_end_matches('/').to_owned()
        }
        _ => String::new(),
    };
    let states = world.states.iter().enumerate();
    states.map(|(index, state)| (Argument(state.clone()), prefix(index))).collect()
}

/// The crash points of two recordings: the calls of the second that were there the first time, too, and
/// how many were not. A call on a name of its own run is compared by nothing.
pub(super) fn crash_points(first: &Recorded, second: Recorded) -> (CrashPoints, usize) {
    let before: BTreeSet<&String> = first.addresses.iter().collect();
    let is_of_both = |text: &&String| text.contains("<new") || before.contains(text);
    let common = second.addresses.iter().filter(is_of_both);
    let addresses: Vec<Address> = common.filter_map(|text| text.parse().ok()).collect();
    let varying = second.addresses.len() - addresses.len();
    (CrashPoints { addresses, names: first.names.clone(), remarks: Vec::new() }, varying)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(addresses: &[&str]) -> Recorded {
        let addresses = addresses.iter().map(|text| (*text).to_owned()).collect();
        Recorded { addresses, ..Recorded::default() }
    }

    #[test]
    fn only_what_happened_twice_is_a_crash_point() {
        let first = recorded(&["write(a)#1", "write(.tmpX)#1", "fsync(a)#1"]);
        let second = recorded(&["write(a)#1", "write(<new1>)#1", "fsync(a)#1", "fsync(a)#2"]);
        let (points, varying) = crash_points(&first, second);
        let shown: Vec<String> = points.addresses.iter().map(Address::to_string).collect();
        assert_eq!(shown, ["write(a)#1", "write(<new1>)#1", "fsync(a)#1"]);
        assert_eq!(varying, 1);
    }
}
