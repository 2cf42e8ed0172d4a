//! Whom a run is attached to: processes that were named by number or control group, looked for anew at
//! each strike.

use super::allowlist::{self, AllowlistError};
use super::group::{GroupError, group_path};
use crate::injector::{Allow, Gate};
use crate::processes::{FindError, Finder, Found, Within, is_killpoints_own};
use killpoint_engine::identity::{self, Identity};
use killpoint_model::plan::{PlannedStrike, StableIdentity};
use killpoint_model::seed::{Generator, Seed};
use killpoint_model::selector::{Roles, Selector, Who};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Who is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// The processes of these numbers.
    Pids(Vec<i32>),
    /// Whoever is in this control group or below it.
    Cgroup(String),
}

/// Why a run cannot be attached.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Nobody has the number.
    #[error("there is no process {0}: look for its number again; nothing was struck")]
    NotRunning(i32),
    /// A thread of the kernel.
    #[error("process {0} is a thread of the kernel, which is never struck")]
    Kernel(i32),
    /// The first process, one of Killpoint's own, or one above it.
    #[error(
        "process {0} is never struck: it is the machine's first, one of Killpoint's own, or one that it \
         runs under"
    )]
    Untouchable(i32),
    /// Nobody is in the group.
    #[error(
        "nobody who may be struck is in the control group {0}: correct its path, as /proc/PID/cgroup \
         has it"
    )]
    EmptyCgroup(String),
    /// What a process executes cannot be read.
    #[error("cannot read what process {pid} executes: run killpoint as its user")]
    Executable {
        /// Its number.
        pid: i32,
        /// What the system says.
        source: io::Error,
    },
    /// A process is not on the allowlist.
    #[error("process {pid} is not on the allowlist {path}: add its number or control group there")]
    NotListed {
        /// Its number.
        pid: i32,
        /// The allowlist.
        path: PathBuf,
    },
    /// The group.
    #[error("--cgroup")]
    Group(#[from] GroupError),
    /// The allowlist.
    #[error(transparent)]
    Allowlist(#[from] AllowlistError),
    /// The search.
    #[error(transparent)]
    Find(#[from] FindError),
}

/// A process that is attached to, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attached {
    pub(super) identity: Identity,
    executable: PathBuf,
    command: Vec<u8>,
}

impl Attached {
    fn of(identity: Identity) -> Result<Self, TargetError> {
        let pid = identity.pid;
        let fail = |source| TargetError::Executable { pid, source };
        let executable = fs::read_link(format!("/proc/{pid}/exe")).map_err(fail)?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).map_err(fail)?;
        Ok(Attached { identity, executable, command })
    }

    /// What it is called in words.
    pub(super) fn name(&self) -> String {
        let program = self.executable.file_name().unwrap_or_default().to_string_lossy();
        format!("process {} ({program})", self.identity.pid)
    }

    /// A process that is none of these and executes the same with the same arguments: it came back.
    pub(super) fn successor(&self, before: &BTreeSet<Identity>) -> Option<Identity> {
        let is_new = |it: &identity::Status| !before.contains(&it.identity) && !it.ended;
        let does_the_same = |it: Identity| {
            Attached::of(it)
                .is_ok_and(|it| it.executable == self.executable && it.command == self.command)
        };
        let running = identity::all().into_iter().filter(is_new);
        running.map(|status| status.identity).find(|it| does_the_same(*it))
    }
}

/// How long it is since a process began.
pub(super) fn age(process: Identity) -> Duration {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or_default();
    let now = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let per_second = procfs::ticks_per_second().max(1);
    now.saturating_sub(Duration::from_millis(process.start.saturating_mul(1_000) / per_second))
}

/// Whom a run is attached to.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    named: Named,
    /// Those that were named by number, as they were found.
    known: Vec<Attached>,
    /// The allowlist; empty where none was given.
    listed: Vec<Allow>,
}

impl Targets {
    /// Finds them, and asks whether they may be struck. Nothing is touched.
    pub(super) fn find(named: Named, allowlist: Option<&Path>) -> Result<Self, TargetError> {
        let named = match named {
            Named::Cgroup(path) => Named::Cgroup(group_path(&path)?),
            pids => pids,
        };
        let listed = allowlist.map(allowlist::read).transpose()?.unwrap_or_default();
        let mut targets = Targets { named, known: Vec::new(), listed };
        if let Named::Pids(pids) = &targets.named {
            let pids: BTreeSet<i32> = pids.iter().copied().collect();
            targets.known = pids.into_iter().map(by_number).collect::<Result<_, _>>()?;
        }
        let found = targets.living()?;
        if let (Named::Cgroup(path), true) = (&targets.named, found.is_empty()) {
            return Err(TargetError::EmptyCgroup(path.clone()));
        }
        if let Some(path) = allowlist {
            let is_listed =
                |it: &&Attached| targets.listed.iter().any(|allow| allow.allows(it.identity));
            if let Some(other) = found.iter().find(|it| !is_listed(it)) {
                let (pid, path) = (other.identity.pid, path.to_owned());
                return Err(TargetError::NotListed { pid, path });
            }
        }
        Ok(targets)
    }

    fn members(path: &str) -> Result<Vec<Attached>, TargetError> {
        let selector = Selector { cgroup: Some(path.to_owned()), ..Selector::default() };
        let who = Who { select: Some(selector), ..Who::default() };
        let found = Finder::open(Roles::default())?.find(&who, Within::Machine, Seed(0))?.chosen;
        let strangers = found.iter().filter(|it| !is_killpoints_own(it.identity.pid));
        // Who ends meanwhile is nobody to strike.
        let still = strangers.filter_map(|Found { identity, .. }| Attached::of(*identity).ok());
        Ok(still.collect())
    }

    /// Those that are there now, in their order of birth.
    pub(super) fn living(&self) -> Result<Vec<Attached>, TargetError> {
        let mut living = match &self.named {
            Named::Pids(_) => {
                self.known.iter().filter(|it| it.identity.is_alive()).cloned().collect()
            }
            Named::Cgroup(path) => Self::members(path)?,
        };
        living.sort_by_key(|it| (it.identity.start, it.identity.pid));
        Ok(living)
    }

    /// Those that a strike is meant for, and the gate that they have to pass.
    pub(super) fn choose(
        &self,
        planned: &PlannedStrike,
        leashed: bool,
    ) -> Result<(Vec<Attached>, Gate), TargetError> {
        let living = self.living()?;
        let mut generator = Generator::new(planned.pick);
        let chosen = planned.who.pick.choose(living.len(), &mut generator);
        let chosen: Vec<Attached> = chosen.into_iter().map(|index| living[index].clone()).collect();
        let allow = chosen.iter().map(|it| Allow::Attached {
            process: it.identity,
            executable: it.executable.clone(),
            listed: self.listed_for(),
        });
        let gate = Gate { allow: allow.collect(), leashed };
        Ok((chosen, gate))
    }

    /// What is asked again at the strike: the allowlist; without one, that who was found in a control
    /// group is still in it.
    fn listed_for(&self) -> Vec<Allow> {
        match &self.named {
            Named::Cgroup(path) if self.listed.is_empty() => vec![Allow::Cgroup(path.clone())],
            _ => self.listed.clone(),
        }
    }

    /// Who they are, whatever their numbers.
    pub(super) fn stable(&self) -> Result<Vec<StableIdentity>, TargetError> {
        if let Named::Cgroup(path) = &self.named {
            return Ok(vec![StableIdentity::Cgroup(path.clone())]);
        }
        let stable = self.known.iter().map(|it| {
            let pid = it.identity.pid;
            let fail = |source| TargetError::Executable { pid, source };
            // The file that runs, also where its name means another one by now.
            let file = File::open(format!("/proc/{pid}/exe")).map_err(fail)?;
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(file).map_err(fail)?;
            Ok(StableIdentity::Executable {
                path: it.executable.display().to_string(),
                digest: hasher.finalize().to_hex().to_string(),
            })
        });
        stable.collect()
    }
}

fn by_number(pid: i32) -> Result<Attached, TargetError> {
    let status = identity::status(pid).map_err(|_| TargetError::NotRunning(pid))?;
    if status.kernel {
        return Err(TargetError::Kernel(pid));
    }
    if is_killpoints_own(pid) {
        return Err(TargetError::Untouchable(pid));
    }
    if status.ended {
        return Err(TargetError::NotRunning(pid));
    }
    Attached::of(status.identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_never_struck_is_not_attached_to() {
        let own = Identity::current().expect("/proc").pid;
        let above = identity::status(own).expect("/proc").parent;
        for pid in [1, own, above] {
            let refused = Targets::find(Named::Pids(vec![pid]), None);
            assert!(matches!(refused, Err(TargetError::Untouchable(_))), "{refused:?}");
        }
        let refused = Targets::find(Named::Pids(vec![i32::MAX]), None);
        assert!(matches!(refused, Err(TargetError::NotRunning(_))), "{refused:?}");
        let refused = Targets::find(Named::Cgroup("/no/such".to_owned()), None);
        assert!(matches!(refused, Err(TargetError::EmptyCgroup(_))), "{refused:?}");
    }
}
