//! Where one worker makes states real and has them read, one after another.

use super::question::{Answer, LeftBy, Question, Subject};
use super::{Local, Problem, TARGET_OUTPUT_MAX, chain, snapshot_name};
use crate::asserter::built_in::{BuiltIn, Killed};
use crate::asserter::checker::{Checker, Reading, StreamChecker, Surroundings, read_once};
use crate::asserter::journal::Journal;
use killpoint_engine::arena::{self, Arena, process_ids};
use killpoint_engine::image::{Image, Inode};
use killpoint_engine::materialise::{CrashTime, Materialised};
use killpoint_engine::recording::{Exit, Reader, Record};
use killpoint_engine::spawn;
use killpoint_engine::states::{Models, StateName, Variant, Walk, is_point};
use killpoint_model::{CrashModel, FileKind, Profile, Reason, Verdict};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Process ids of judges start above this one, so that one that begins before the recording seldom
/// has the id of a process of it.
const EARLY_PROCESS_IDS_ABOVE: u32 = 16_384;

/// Where states are made real and read, one after another.
pub(super) struct Bench<'a> {
    local: &'a Local,
    /// How long a state may take.
    timeout: Duration,
    cursor: Materialised,
    directories: Vec<PathBuf>,
    layers: Vec<PathBuf>,
    journal: Vec<u8>,
    /// How much of it the file has; more than there is if that is another one.
    journal_written: u64,
    stream: Option<StreamChecker>,
    pub(super) built_in: Option<BuiltIn>,
    overlays: bool,
    /// Whether a state is shown over its paths now.
    laid: bool,
    /// Where small images are copied; mounted over the paths of the state from the first on.
    copies: Vec<PathBuf>,
    /// Whether a checker looked at the journal, so that what it prints may depend on it.
    journal_may_matter: bool,
    /// Above this process id nobody in the state has one.
    last_process_id: u32,
}

/// The state before the workload.
fn before_all() -> StateName {
    StateName { point: 1, model: CrashModel::Kill, variant: Variant::Only }
}

/// Whether others went on after a kill: its recording, at whose end `walk` stands, has more calls than those before it
/// and the write that it let in a part of.
fn went_on(recording: &Path, walk: &Walk, state: &StateName) -> Result<bool, Problem> {
    let Some(before) = walk.ending().and_then(|ending| ending.struck_after) else {
        return Ok(false);
    };
    let own = u64::from(state.model == CrashModel::TornWrite);
    if walk.point() - 1 <= before + own {
        return Ok(false);
    }
    let mut reader = Reader::open(recording)?;
    while let Some(record) = reader.next_record()? {
        if let Record::Operation(operation, _) = record
            && operation.ordinal > before + own
            && is_point(&operation)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an image is sooner copied than mounted, and anybody may remove the copy.
fn is_small(image: &Image) -> bool {
    const BYTES_MAX: u64 = 1 << 20;
    const FILES_MAX: usize = 32;
    let bytes: u64 = image.inodes().map(|(_, inode)| inode.content.size()).sum();
    let is_open = |inode: &Inode| {
        !matches!(inode.kind, FileKind::Directory) || inode.attributes.mode & 0o700 == 0o700
    };
    bytes <= BYTES_MAX
        && image.inodes().count() <= FILES_MAX
        && image.inodes().all(|(_, inode)| is_open(inode))
}

/// Sets a file's time of access back, so that [`was_accessed`] can tell.
fn never_accessed(path: &Path) -> io::Result<()> {
    let times = fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH);
    fs::File::options().write(true).open(path)?.set_times(times)
}

/// Whether a file was read or mapped since.
fn was_accessed(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.accessed()? != std::time::UNIX_EPOCH)
}

/// Whether the file system of a file keeps times of access at all.
fn keeps_access_times(path: &Path) -> io::Result<bool> {
    fs::write(path, b"?")?;
    never_accessed(path)?;
    fs::read(path)?;
    was_accessed(path)
}

impl<'a> Bench<'a> {
    /// A bench on which the initial state lies, with the journal at the start of the workload.
    pub(super) fn new(local: &'a Local, arena: &Arena, initial: &Image) -> Result<Self, Problem> {
        let directories = local.make_directories(arena, "cursor")?;
        let layers = local.make_directories(arena, "layer")?;
        let cursor = Materialised::create(directories.clone(), initial)?;
        let stream = match &local.checker {
            Checker::Stream(command) => Some(StreamChecker::new(command)),
            _ => None,
        };
        let journal_may_matter = !keeps_access_times(&arena.in_scratch("journal")).unwrap_or(false);
        fs::write(arena.in_scratch("journal"), b"")?;
        local.write_steps(arena)?;
        Ok(Bench {
            local,
            timeout: local.checker_timeout,
            cursor,
            directories,
            layers,
            journal: local.journal.clone(),
            journal_written: 0,
            stream,
            built_in: None,
            overlays: arena.keeps_paths(),
            laid: false,
            copies: Vec::new(),
            journal_may_matter,
            last_process_id: local.last_process_id.max(EARLY_PROCESS_IDS_ABOVE),
        })
    }

    /// Lays out a recording's journal from now on. A stream checker that has the number of a process
    /// of the recording is started anew.
    pub(super) fn turn_to(&mut self, journal: Vec<u8>, subject: &Subject) {
        self.journal = journal;
        self.journal_written = u64::MAX;
        self.timeout = subject.timeout;
        if subject.last_process_id > self.last_process_id {
            self.last_process_id = subject.last_process_id;
            self.stream = match &self.local.checker {
                Checker::Stream(command) => Some(StreamChecker::new(command)),
                _ => None,
            };
        }
    }

    fn surroundings(&self, arena: &Arena) -> io::Result<Surroundings> {
        Ok(Surroundings { timeout: self.timeout, ..self.local.surroundings(arena)? })
    }

    /// Reads an image; one that a crash leaves as if the crash had happened just now.
    pub(super) fn read(
        &mut self,
        arena: &mut Arena,
        image: &Image,
        crash: Option<CrashTime>,
        question: &Question,
    ) -> Result<Answer, Problem> {
        if let Some(built_in) = self.built_in.take() {
            let state = question.state.clone().unwrap_or_else(before_all);
            let answer = self.judge(arena, &built_in, image, &state, true);
            self.built_in = Some(built_in);
            return answer;
        }
        self.cursor.change_to_crashed(image, crash)?;
        self.write_journal(arena, question.journal_length)?;
        if !self.journal_may_matter {
            never_accessed(&arena.in_scratch("journal"))?;
        }
        self.lay_over(arena)?;
        // Anew for each state, so that the ids never run out and begin again from the lowest.
        let _ = process_ids::start_above(self.last_process_id);
        let seen = self.surroundings(arena)?;
        let reading = match &mut self.stream {
            Some(stream) => stream.read(&seen),
            None => {
                let command = match &self.local.checker {
                    Checker::Command(command) => command.clone(),
                    _ => return Err(Problem("there is no checker".to_owned())),
                };
                let this = &*self;
                let arena = &*arena;
                read_once(&command, &seen, || {
                    this.take_off(arena).map_err(|problem| io::Error::other(problem.0))?;
                    this.lay_over(arena).map_err(|problem| io::Error::other(problem.0))
                })?
            }
        };
        let again = match (question.again, &reading) {
            (true, Reading::Printed(_)) => Some(match &mut self.stream {
                Some(stream) => stream.read(&seen),
                None => self.local.read_here(&seen, || Ok(()))?,
            }),
            _ => None,
        };
        self.take_off(arena)?;
        let mut rerun = None;
        if question.rerun {
            self.lay_over(arena)?;
            rerun = Some(self.rerun(&seen)?);
            self.take_off(arena)?;
        }
        if self.stream.is_none() && arena.views_touched() {
            arena.renew_views()?;
        }
        let hung = matches!(reading, Reading::Hung(_));
        let is_of_image = !hung && !question.rerun && !self.journal_looked_at(arena)?;
        Ok(Answer { again, rerun, is_of_image, ..Answer::of(reading) })
    }

    /// Whether the checker has looked at the journal in this worker, now or ever; also where that
    /// cannot be told.
    fn journal_looked_at(&mut self, arena: &Arena) -> io::Result<bool> {
        self.journal_may_matter =
            self.journal_may_matter || was_accessed(&arena.in_scratch("journal"))?;
        Ok(self.journal_may_matter)
    }

    /// Reads what a live kill has left: its recording says it, and that was compared with reality.
    pub(super) fn read_left(
        &mut self,
        arena: &mut Arena,
        initial: &Image,
        left_by: &LeftBy,
        question: &Question,
    ) -> Result<Answer, Problem> {
        let name = &left_by.recording;
        let path = arena.in_run(&format!("recordings/{name}.rec"));
        let none = Models { models: Vec::new(), profile: Profile::Strict };
        let mut walk = Walk::start(&path, initial.clone(), none)?;
        while walk.step()? {}
        if self.built_in.is_some() {
            return self.judge_left(arena, initial, &walk, left_by, question);
        }
        let image = walk.image().without_nameless();
        let journal = fs::read(arena.in_run(&format!("recordings/{name}.journal")))?;
        let recorded = std::mem::replace(&mut self.journal, journal);
        self.journal_written = u64::MAX;
        let used = walk.ending().map_or(0, |ending| ending.last_process_id);
        let before = self.last_process_id;
        self.last_process_id = before.max(used);
        let answer = self.read(arena, &image, walk.crash_time(), question);
        self.last_process_id = before;
        self.journal = recorded;
        self.journal_written = u64::MAX;
        answer
    }

    /// What the built-in oracle says of what a live kill has left; `walk` stands at the end of its recording.
    fn judge_left(
        &mut self,
        arena: &mut Arena,
        initial: &Image,
        walk: &Walk,
        left_by: &LeftBy,
        question: &Question,
    ) -> Result<Answer, Problem> {
        let Some(built_in) = self.built_in.take() else {
            return Err(Problem("nothing was learnt that could judge".to_owned()));
        };
        let answer = self.judge_left_by(arena, &built_in, initial, walk, left_by, question);
        self.built_in = Some(built_in);
        answer
    }

    fn judge_left_by(
        &mut self,
        arena: &mut Arena,
        built_in: &BuiltIn,
        initial: &Image,
        walk: &Walk,
        left_by: &LeftBy,
        question: &Question,
    ) -> Result<Answer, Problem> {
        let name = &left_by.recording;
        let path = arena.in_run(&format!("recordings/{name}.rec"));
        let image = match left_by.unseen {
            true => {
                let copy = |index| arena.in_run(&snapshot_name(name, index));
                let copies: Vec<PathBuf> = (0..self.local.roots.len()).map(copy).collect();
                Image::scan(&copies)?
            }
            false => walk.image().without_nameless(),
        };
        let renamed = match left_by.unseen {
            false => built_in.with_own_names(image.clone(), &path)?,
            true => image.clone(),
        };
        let state = question.state.clone().unwrap_or_else(before_all);
        let went_on = went_on(&path, walk, &state)?;
        let beyond = !left_by.unseen && !went_on;
        let answer = self.judge(arena, built_in, &renamed, &state, beyond)?;
        let Reading::Judged(judgement) = &answer.reading else { return Ok(answer) };
        let is_violated = matches!(judgement.verdict, Verdict::Violated(_));
        if judgement.verdict != Verdict::Unknown(Reason::NoOracle) && !is_violated {
            return Ok(answer);
        }
        // Where bytes vary from run to run, threads came in another order, or others went on after the kill, its
        // own recording knows the versions.
        let journal = fs::read(arena.in_run(&format!("recordings/{name}.journal")))?;
        let (promised, local) = (Journal::parse(&journal)?, self.local);
        let promises = local.promises(&promised);
        let torn = (state.model == CrashModel::TornWrite).then_some(state.point);
        let killed =
            Killed { recording: &path, promises: &promises, left: &image, renamed: &renamed, torn };
        let mut place = |image: &Image| self.place(arena, image);
        let own = built_in.learn_killed(&killed, initial, &mut place)?;
        let end = StateName { point: walk.point(), ..state };
        let by_own = self.judge(arena, &own, &image, &end, false)?;
        let is_as_recorded = is_violated && !left_by.other_order && !went_on;
        Ok(if is_as_recorded && !by_own.holds() { answer } else { by_own })
    }

    /// Judges an image by what was learnt.
    fn judge(
        &mut self,
        arena: &mut Arena,
        built_in: &BuiltIn,
        image: &Image,
        state: &StateName,
        recorded_beyond: bool,
    ) -> Result<Answer, Problem> {
        let (judgement, litter) =
            built_in.judge(image, state, recorded_beyond, &mut || self.place(arena, image));
        self.take_off_if_laid(arena)?;
        Ok(Answer { litter, ..Answer::of(Reading::Judged(judgement)) })
    }

    /// Runs the target on the state that is mounted now, and reads what it leaves.
    fn rerun(&mut self, seen: &Surroundings) -> Result<Reading, Problem> {
        let launch = self.local.resolved_launch(seen);
        let finished = spawn::run(&launch, self.local.target_timeout, TARGET_OUTPUT_MAX)?;
        let said = String::from_utf8_lossy(&finished.error).trim().to_owned();
        let how = match finished.exit {
            Exit::Status(0) => None,
            Exit::Status(code) => Some(format!("exit status {code}")),
            Exit::Signal(number) => Some(format!("death by signal {number}")),
            Exit::TimedOut => return Ok(Reading::Hung(self.local.target_timeout)),
            Exit::NotStarted(_) | Exit::Running => {
                return Ok(Reading::NotRun("the command could not be started".to_owned()));
            }
        };
        if let Some(how) = how {
            return Ok(Reading::Refused { how, said });
        }
        Ok(match &mut self.stream {
            Some(stream) => stream.read(seen),
            None => self.local.read_here(seen, || Ok(()))?,
        })
    }

    /// Makes an image real at its own paths, to be thrown away; for the built-in oracle. A small one
    /// is copied: that costs less than a mount and what is copied into its layer.
    pub(super) fn place(&mut self, arena: &Arena, image: &Image) -> io::Result<Vec<PathBuf>> {
        let other = |problem: Problem| io::Error::other(problem.0);
        self.take_off_if_laid(arena).map_err(other)?;
        if self.overlays && is_small(image) {
            self.lay_copy(arena, image).map_err(other)?;
        } else {
            self.cursor.change_to(image).map_err(|error| io::Error::other(chain(&error)))?;
            self.lay_over(arena).map_err(other)?;
            self.laid = true;
        }
        Ok((0..self.layers.len()).map(|index| self.local.seen_root(arena, "live", index)).collect())
    }

    /// Fills directories that are mounted over the paths of the state, once for all.
    fn lay_copy(&mut self, arena: &Arena, image: &Image) -> Result<(), Problem> {
        if self.copies.is_empty() {
            let copies = self.local.make_directories(arena, "copy")?;
            for (index, copy) in copies.iter().enumerate() {
                let target = self.local.seen_root(arena, "live", index);
                self.local.make_mount_point(&target)?;
                arena.bind(copy, &target)?;
            }
            self.copies = copies;
        }
        for copy in &self.copies {
            arena::empty_directory(copy)?;
        }
        Materialised::create(self.copies.clone(), image)?;
        Ok(())
    }

    pub(super) fn take_off_if_laid(&mut self, arena: &Arena) -> Result<(), Problem> {
        match std::mem::take(&mut self.laid) {
            true => self.take_off(arena),
            false => Ok(()),
        }
    }

    /// Shows the state over its own path, so that what the checker writes is thrown away.
    fn lay_over(&self, arena: &Arena) -> Result<(), Problem> {
        for (index, directory) in self.directories.iter().enumerate() {
            let layer = &self.layers[index];
            let target = self.local.seen_root(arena, "live", index);
            if self.overlays {
                self.local.make_mount_point(&target)?;
                arena.overlay(directory, layer, &target)?;
            } else {
                fs::create_dir_all(arena.in_scratch(&format!("live/{index}")))?;
            }
        }
        if !self.overlays {
            let live: Vec<PathBuf> = (0..self.directories.len())
                .map(|index| arena.in_scratch(&format!("live/{index}")))
                .collect();
            self.cursor.copy_to(live)?;
        }
        Ok(())
    }

    fn take_off(&self, arena: &Arena) -> Result<(), Problem> {
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let target = self.local.seen_root(arena, "live", index);
            if self.overlays {
                arena.unmount(&target)?;
                arena::empty_directory(layer)?;
            } else {
                arena::empty_directory(&arena.in_scratch(&format!("live/{index}")))?;
            }
        }
        Ok(())
    }

    /// The journal as it was at the crash. Points ascend, so mostly a few bytes are added.
    fn write_journal(&mut self, arena: &Arena, length: u64) -> io::Result<()> {
        let path = arena.in_scratch("journal");
        let real = fs::metadata(&path).map(|metadata| metadata.len());
        let end = usize::try_from(length).unwrap_or(usize::MAX).min(self.journal.len());
        let written = usize::try_from(self.journal_written).unwrap_or(0);
        if real.ok() == Some(self.journal_written) && written <= end {
            let mut file = fs::OpenOptions::new().append(true).open(&path)?;
            file.write_all(&self.journal[written..end])?;
        } else {
            fs::write(&path, &self.journal[..end])?;
        }
        self.journal_written = end as u64;
        Ok(())
    }
}
