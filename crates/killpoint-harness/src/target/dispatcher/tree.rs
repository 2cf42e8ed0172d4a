//! Who belongs to which process, and what is looked at from time to time: how many they are, whether
//! one gave itself another name, whether one that is nobody's child has ended.

use super::super::life::comm;
use super::super::process::{Phase, StopReason};
use super::Dispatcher;
use killpoint_engine::descendants;
use killpoint_engine::identity::{self, Identity};
use killpoint_model::lifecycle::Lifecycle;
use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

impl Dispatcher {
    /// The members of a process that have not ended: by its control group where there is one, else by
    /// descent, session and environment.
    pub(super) fn members(&self, index: usize) -> Vec<Identity> {
        if let Some(members) = self.processes[index].members() {
            return members;
        }
        let owners = self.owners();
        owners.into_iter().filter(|(_, owner)| *owner == index).map(|(member, _)| member).collect()
    }

    /// Everybody below this process, with the process that they belong to. Who cannot be told stays
    /// until the end of the supervisor.
    fn owners(&self) -> Vec<(Identity, usize)> {
        let mut owners = Vec::new();
        let mut by_number = BTreeMap::new();
        // Parents come before their children.
        for (member, parent) in descendants::of(self.own.pid) {
            let owner = by_number.get(&parent).copied().or_else(|| self.owner(member));
            if let Some(owner) = owner {
                by_number.insert(member.pid, owner);
                owners.push((member, owner));
            }
        }
        owners
    }

    /// Whose child of ours this is.
    fn owner(&self, member: Identity) -> Option<usize> {
        let starts = |phase: &Phase| match phase {
            Phase::Alive(life) => life.first == member.pid || life.main.identity == member,
            Phase::Preparing { held, .. } => held.identity == member,
            _ => false,
        };
        let by_phase = self.processes.iter().position(|it| starts(&it.phase));
        let by_look = || self.processes.iter().position(|it| it.known.contains(&member));
        by_phase.or_else(by_look).or_else(|| self.owner_by_environment(member.pid))
    }

    fn owner_by_environment(&self, pid: i32) -> Option<usize> {
        let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let variables: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
        let has =
            |name: &str, value: &str| variables.contains(&format!("{name}={value}").as_bytes());
        if !has(super::super::MARK, &self.mark) {
            return None;
        }
        self.processes.iter().position(|it| has("KILLPOINT_PROCESS", &it.name))
    }

    /// The regular look.
    pub(super) fn look(&mut self, _now: Instant) {
        let by_group = self.processes.iter().all(|it| it.group.is_some());
        let mut counts = vec![0; self.processes.len()];
        if by_group {
            for (index, count) in counts.iter_mut().enumerate() {
                *count = self.members(index).len();
            }
        } else {
            let owners = self.owners();
            self.processes.iter_mut().for_each(|it| it.known.clear());
            for (member, owner) in owners {
                counts[owner] += 1;
                self.processes[owner].known.insert(member);
            }
        }
        for (index, count) in counts.into_iter().enumerate() {
            self.look_at(index, u32::try_from(count).unwrap_or(u32::MAX));
            self.go_on_if_released(index);
        }
    }

    fn look_at(&mut self, index: usize, count: u32) {
        let max = self.processes[index].process.limits.processes_max;
        let Phase::Alive(life) = &mut self.processes[index].phase else { return };
        if life.ending.is_some() {
            return;
        }
        let (main, first) = (life.main.identity, life.first);
        let now = comm(main.pid);
        // Between fork and exec it still has our name; an interpreter may rename itself at once.
        if !now.is_empty() && now != life.comm {
            let from = std::mem::replace(&mut life.comm, now.clone());
            self.tell(index, Lifecycle::Renamed { from, to: now });
        }
        let Phase::Alive(life) = &self.processes[index].phase else { return };
        // Its parent, whoever that is, may reap it before anybody tells us.
        if main.pid != first && !main.is_alive() && !self.is_child(main.pid) {
            return self.main_ended(index, None);
        }
        let is_ending = life.stopping.as_ref().is_some_and(|it| it.reason == StopReason::TooMany);
        if count > max && !is_ending {
            self.too_many(index, count, max);
        }
    }

    /// Whether we will be told of its end.
    fn is_child(&self, pid: i32) -> bool {
        identity::status(pid).is_ok_and(|status| status.parent == self.own.pid)
    }

    fn too_many(&mut self, index: usize, count: u32, max: u32) {
        self.tell(index, Lifecycle::TooManyProcesses { count, max });
        if let Phase::Alive(life) = &mut self.processes[index].phase {
            life.stopping = None;
        }
        self.kill_for(index, StopReason::TooMany);
        // All of them stand still before the first is killed.
        descendants::end(|| self.members(index));
    }
}
