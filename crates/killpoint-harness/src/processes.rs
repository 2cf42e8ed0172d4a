//! Finds processes: by what a selector asks, below a supervised process or on the whole machine.
//!
//! A process is looked at by its number first, and only at what the selector asks; one that fits is
//! pinned (its directory in `/proc` is held open, which can never mean another process), asked once
//! more, and told apart by its number and start. Finding nobody is an answer, not an error.

mod listening;
mod process;
mod sockets;
mod tree;

pub use listening::{Listening, who_listens};

use killpoint_engine::identity::{self, Identity};
use killpoint_model::seed::{Generator, Seed};
use killpoint_model::selector::{Age, Roles, Selector, Who};
use process::{Context, Process, Reach};
use rustix::fs::{Mode, OFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;

/// Most processes from this one up to the first of the machine.
const ANCESTORS_MAX: usize = 10_000;
/// Processes from which on they are looked at on several processors.
const SIDE_BY_SIDE_FROM: usize = 256;
/// Processes that a thread takes at once.
const BATCH: usize = 128;
/// Most processes below a supervised one that are listed before they are asked what is selected.
const LISTED_MAX: usize = 1_000;
/// Most threads that look.
const THREADS_MAX: usize = 8;

/// Where processes are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// Among those that descend from this one, which is not among them.
    Below(Identity),
    /// Among all that can be seen.
    Machine,
}

/// A process that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Who it is.
    pub identity: Identity,
    /// Its parent's number when it was found.
    pub parent: i32,
    /// The kernel's name of it when it was found.
    pub comm: String,
    /// Its role.
    pub role: Option<String>,
    /// How far below the supervised process it stands; none on the machine.
    pub depth: Option<u32>,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Whom the fault strikes: the picked ones in their order of birth, then, with `tree`, what
    /// descends from them in its order of birth.
    pub chosen: Vec<Found>,
    /// Who was selected, but is spared or never struck.
    pub spared: Vec<Found>,
    /// How many were selected and not spared, before age and pick.
    pub matched: usize,
    /// How many times something that was asked could not be read, for want of rights.
    pub denied: u64,
}

/// Why there was no search.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// `/proc` cannot be read.
    #[error("cannot read /proc: is it mounted here?")]
    Proc(#[source] io::Error),
    /// The supervised process is no more.
    #[error("process {0}, below which processes are looked for, has ended")]
    Ended(i32),
    /// A role that nobody defined.
    #[error("there is no role `{name}`: {}", known(.roles))]
    UnknownRole {
        /// The name.
        name: String,
        /// Those that there are.
        roles: Vec<String>,
    },
    /// A user that the machine does not know.
    #[error("there is no user `{0}` on this machine: write a name that there is, or a number")]
    UnknownUser(String),
    /// A user cannot be looked up.
    #[error("cannot look up the user `{name}`")]
    User {
        /// The name.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing is asked, on the whole machine.
    #[error("every process of the machine would be struck: name a role, or select some")]
    Everybody,
    /// A depth, where nothing is supervised.
    #[error("`depth` counts from a supervised target: on the whole machine it means nothing")]
    NoDepth,
}

fn known(roles: &[String]) -> String {
    match roles {
        [] => "no roles are given".to_owned(),
        roles => format!("there are {}", roles.join(", ")),
    }
}

/// Finds processes of a target with these roles.
#[derive(Debug)]
pub struct Finder {
    directory: OwnedFd,
    roles: Roles,
}

impl Finder {
    /// Opens `/proc`.
    ///
    /// # Errors
    /// If it is not there.
    pub fn open(roles: Roles) -> Result<Self, FindError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open("/proc", flags, Mode::empty());
        Ok(Finder { directory: directory.map_err(|error| FindError::Proc(error.into()))?, roles })
    }

    /// Whether everything that is asked means something: to be called before anything is struck.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self, who: &Who, within: Within) -> Result<(), FindError> {
        self.resolve(who, within).map(|_| ())
    }

    /// Finds whom a fault strikes. The numbers of the pick come from `seed`, which the plan drew;
    /// picks count in the order of birth, so that the same seed means the same logical process.
    ///
    /// # Errors
    /// As [`Finder::check`], or if `/proc` cannot be read, or the supervised process has ended.
    pub fn find(&self, who: &Who, within: Within, seed: Seed) -> Result<Selection, FindError> {
        let users = self.resolve(who, within)?;
        let listed = self.listed(who, within)?;
        let reach = match (within, &listed) {
            (Within::Machine, _) => Reach::Machine,
            (Within::Below(_), Some(depths)) => Reach::Listed(depths),
            (Within::Below(root), None) => Reach::Under(root.pid),
        };
        let mut buffer = tree::buffer();
        let candidates: Box<dyn Iterator<Item = i32> + Send> = match &listed {
            Some(depths) => Box::new(depths.keys().copied()),
            None => Box::new(tree::Numbers::open(self.directory.as_fd(), ".", &mut buffer)),
        };
        let untouchable = untouchable();
        let context = || Context::new(self.directory.as_fd(), &self.roles, reach, &users);
        let looked_at = side_by_side(
            candidates.filter(|pid| !untouchable.contains(pid)),
            || (context(), Vec::new()),
            |(context, found), pid| found.extend(self.look(who, context, pid)),
        );

        let (mut selection, mut matched) = (Selection::default(), Vec::new());
        for (context, found) in looked_at {
            selection.denied += context.denied();
            for (found, is_spared) in found {
                if is_spared { &mut selection.spared } else { &mut matched }.push(found);
            }
        }
        selection.spared.sort_by_key(born);
        matched.sort_by_key(born);
        selection.matched = matched.len();
        match who.age {
            Some(Age::Newest) => matched = matched.pop().into_iter().collect(),
            Some(Age::Oldest) => matched.truncate(1),
            None => {}
        }
        let chosen = who.pick.choose(matched.len(), &mut Generator::new(seed));
        selection.chosen = chosen.into_iter().map(|index| matched[index].clone()).collect();
        if who.tree {
            self.add_descendants(who, &context(), &untouchable, &mut selection);
        }
        Ok(selection)
    }

    /// One process, and whether it is spared; none if it is not meant.
    fn look(&self, who: &Who, context: &Context<'_>, pid: i32) -> Option<(Found, bool)> {
        if !self.means(who, &Process::named(context, pid)) {
            return None;
        }
        let process = Process::pinned(context, pid).filter(|process| self.means(who, process))?;
        let found = process.found()?;
        if matches!(context.reach(), Reach::Under(_)) && found.depth.is_none() {
            return None;
        }
        Some((found, self.spares(who, &process)))
    }

    /// Adds what descends from the chosen ones.
    fn add_descendants(
        &self,
        who: &Who,
        context: &Context<'_>,
        untouchable: &BTreeSet<i32>,
        selection: &mut Selection,
    ) {
        let roots: BTreeSet<i32> = selection.chosen.iter().map(|it| it.identity.pid).collect();
        let below: BTreeSet<i32> = roots
            .iter()
            .filter_map(|root| tree::below(self.directory.as_fd(), *root, usize::MAX))
            .flat_map(BTreeMap::into_keys)
            .filter(|pid| !roots.contains(pid) && !untouchable.contains(pid))
            .collect();
        let mut added = Vec::new();
        for pid in below {
            let Some(process) = Process::pinned(context, pid) else { continue };
            let Some(found) = process.found() else { continue };
            match self.spares(who, &process) {
                true if selection.spared.contains(&found) => {}
                true => selection.spared.push(found),
                false => added.push(found),
            }
        }
        added.sort_by_key(born);
        selection.chosen.extend(added);
        selection.denied += context.denied();
    }

    fn means(&self, who: &Who, process: &Process<'_>) -> bool {
        who.role.as_ref().is_none_or(|role| self.roles.has(process, role))
            && who.select.as_ref().is_none_or(|selector| selector.selects(process))
    }

    fn spares(&self, who: &Who, process: &Process<'_>) -> bool {
        who.sparing.iter().any(|role| self.roles.has(process, role))
            || who.never.iter().any(|selector| selector.selects(process))
    }

    /// Everybody below the supervised process, with depths. None on the machine; and none where a
    /// crowd stands below it of which the selector leaves few: they are asked first, and only those
    /// that fit whether they stand below it.
    fn listed(&self, who: &Who, within: Within) -> Result<Option<BTreeMap<i32, u32>>, FindError> {
        let Within::Below(root) = within else { return Ok(None) };
        let asks_depth = self.selectors(who).any(Selector::asks_depth);
        let is_filtered = who.role.is_some() || who.select.is_some();
        let most = if is_filtered && !asks_depth { LISTED_MAX } else { usize::MAX };
        let listed = tree::below(self.directory.as_fd(), root.pid, most);
        // Looked at afterwards: as long as it lives, its number means nobody else.
        if !root.is_alive() {
            return Err(FindError::Ended(root.pid));
        }
        Ok(listed)
    }

    /// Every selector that has a part in a search.
    fn selectors<'a>(&'a self, who: &'a Who) -> impl Iterator<Item = &'a Selector> {
        let roles = self.roles.iter().map(|(_, selector)| selector);
        who.select.iter().chain(&who.never).chain(roles)
    }

    /// Looks everything up that is named; returns the numbers of the users.
    fn resolve(&self, who: &Who, within: Within) -> Result<BTreeMap<String, u32>, FindError> {
        for name in who.role.iter().chain(&who.sparing) {
            self.roles.named(name).ok_or_else(|| FindError::UnknownRole {
                name: name.clone(),
                roles: self.roles.iter().map(|(name, _)| name.to_owned()).collect(),
            })?;
        }
        if within == Within::Machine && who.role.is_none() && who.select.is_none() {
            return Err(FindError::Everybody);
        }
        if within == Within::Machine && self.selectors(who).any(Selector::asks_depth) {
            return Err(FindError::NoDepth);
        }
        numbers_of_users(self.selectors(who))
    }
}

/// The numbers of the users whom selectors name.
///
/// # Errors
/// If there is none of such a name on this machine, or it cannot be looked up.
pub fn numbers_of_users<'a>(
    selectors: impl Iterator<Item = &'a Selector>,
) -> Result<BTreeMap<String, u32>, FindError> {
    let mut users = BTreeMap::new();
    let mut selectors: Vec<&Selector> = selectors.collect();
    while let Some(selector) = selectors.pop() {
        selectors.extend(selector.children_of.as_deref());
        if let Some(name) = &selector.user {
            users.insert(name.clone(), user_number(name)?);
        }
    }
    Ok(users)
}

/// Does `work` on each number, on several processors where there are many; what each thread began
/// with and worked on, in no order.
fn side_by_side<S: Send>(
    mut numbers: impl Iterator<Item = i32> + Send,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, i32) + Sync,
) -> Vec<S> {
    let first: Vec<i32> = numbers.by_ref().take(SIDE_BY_SIDE_FROM).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let source = Mutex::new(numbers);
    let one = |mut batch: Vec<i32>| {
        let mut state = start();
        while !batch.is_empty() {
            batch.drain(..).for_each(|number| work(&mut state, number));
            let mut source = source.lock().expect("nobody panics while it is held");
            batch.extend(source.by_ref().take(BATCH));
        }
        state
    };
    if first.len() < SIDE_BY_SIDE_FROM || threads == 1 {
        return vec![one(first)];
    }
    let next =
        || source.lock().expect("nobody panics while it is held").by_ref().take(BATCH).collect();
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| one(next()))).collect();
        let mut states = vec![one(first)];
        let join = |thread: std::thread::ScopedJoinHandle<'_, S>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        states.extend(others.into_iter().map(join));
        states
    })
}

fn user_number(name: &str) -> Result<u32, FindError> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match identity::user_number(name) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(FindError::UnknownUser(name.to_owned())),
        Err(source) => Err(FindError::User { name: name.to_owned(), source }),
    }
}

/// Whether a process stands below another one that is alive.
pub(crate) fn is_below(root: Identity, process: Identity) -> bool {
    tree::depth(root.pid, process.pid).is_some() && root.is_alive()
}

/// Whether a process is in a control group or below it.
pub(crate) fn is_in_cgroup(process: Identity, path: &str) -> bool {
    let selector = Selector { cgroup: Some(path.to_owned()), ..Selector::default() };
    let Ok(finder) = Finder::open(Roles::default()) else { return false };
    let users = BTreeMap::new();
    let context = Context::new(finder.directory.as_fd(), &finder.roles, Reach::Machine, &users);
    selector.selects(&Process::named(&context, process.pid))
}

/// Whether a process is this one, one above it, or the machine's first.
pub(crate) fn is_untouchable(pid: i32) -> bool {
    untouchable().contains(&pid)
}

/// Whether a process is untouchable, or one of Killpoint's own where strangers are struck: what this
/// process started for itself, and whoever executes the same program, as the watchdogs and supervisors of
/// other runs do.
pub(crate) fn is_killpoints_own(pid: i32) -> bool {
    let own = std::process::id().cast_signed();
    is_untouchable(pid) || tree::depth(own, pid).is_some() || executes_own_program(pid)
}

/// Whether it executes the same file as this process, or another version of it: one of the same name.
fn executes_own_program(pid: i32) -> bool {
    let programs = [process::program(std::process::id().cast_signed()), process::program(pid)];
    let [Some((own_file, own_name)), Some((file, name))] = programs else { return false };
    file == own_file || name == own_name
}

/// The order of birth: by start, and by number within a tick of the clock.
fn born(found: &Found) -> (u64, i32) {
    (found.identity.start, found.identity.pid)
}

/// This process and those that it descends from: nobody who hunts strikes himself, nor whom he
/// needs to live.
fn untouchable() -> BTreeSet<i32> {
    let mut numbers = BTreeSet::from([1]);
    let mut next = i32::try_from(std::process::id()).ok();
    while let Some(pid) = next.filter(|pid| *pid > 0) {
        let is_new = numbers.insert(pid);
        if numbers.len() > ANCESTORS_MAX || !is_new {
            break;
        }
        next = identity::status(pid).ok().map(|status| status.parent);
    }
    numbers
}

#[cfg(test)]
mod tests;
