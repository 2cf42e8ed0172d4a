//! Records a program: every call on its state, in order, with result and data; strikes it where told.

mod barred;
mod classify;
mod complete;
pub mod discover;
pub mod hold;
mod mapped;
mod outside;
mod pending;
mod request;

pub use crate::filter::REFUSED as REFUSED_CALLS;
pub use crate::intercept::Mechanism;
pub use request::{Output, RecordError, Request, Root, Scope, StrikeAt};

use crate::clock::CallClock;
use crate::guest::{Descriptors, Guest, Identity};
use crate::image::Image;
use crate::intercept::{self, Call, Entry, Filtering, Held, Limits, Observer, Programs, Turn};
use crate::naming::Namespace;
use crate::recording::{Barred, Ending, Exit, OperationRef, Turns, Writer};
use crate::spawn::{Prepared, Streams};
use barred::Asked;
use killpoint_model::Roles;
use killpoint_model::operation::{Effect, FileId, FileKind, Name, OperationKind};
use mapped::MappedFiles;
use nix::unistd::Pid;
use outside::Outside;
use pending::{Action, Pending, Seen};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What a recording was like.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its last record.
    pub ending: Ending,
    /// Addresses of the calls that were carried out or struck, in order.
    pub operations: u64,
    /// The state as the log says it must now be.
    pub image: Image,
}

/// Records a program until it has ended, is struck, or a limit is reached. Must be called in a
/// worker process of its own: it waits for every child.
///
/// # Errors
/// If the state, the journal or the recording cannot be used, or the program cannot be traced.
pub fn record(
    request: &Request,
    output: Output,
    cancelled: impl FnMut() -> bool,
) -> Result<Recorded, RecordError> {
    let start_error =
        |source| RecordError::Start { program: request.launch.program.clone(), source };
    if let Some(processor) = request.pin {
        let _ = pin_to(processor);
    }
    let target = Prepared::new(&request.launch).map_err(start_error)?;
    let driver = request.driver.as_ref().map(Prepared::new).transpose().map_err(start_error)?;
    let programs = Programs { target: &target, driver: driver.as_ref() };
    let mut recorder = Recorder::new(request, cancelled)?;
    let filtering = Filtering { keep_privileges: request.keep_privileges };
    let limits = Limits {
        timeout: request.timeout,
        quiet: request.quiet,
        stop: request.stop,
        minds_work: true,
        threads_max: request.threads_max,
    };
    let streams = Streams { input: output.input, output: output.output, error: output.error };
    let mechanism = request.mechanism;
    let ended = intercept::run(mechanism, programs, &streams, filtering, limits, &mut recorder)
        .map_err(start_error)?;
    drop(streams);
    recorder.finish(request, &ended)
}

/// Keeps the calling process on one processor.
///
/// # Errors
/// If the processor is not there or not allowed.
pub fn pin_to(processor: usize) -> io::Result<()> {
    let mut set = nix::sched::CpuSet::new();
    set.set(processor)?;
    Ok(nix::sched::sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Largest buffer for the data of one operation that is kept for the next one.
const DATA_KEPT_MAX_BYTES: usize = 1 << 20;

struct Recorder<C> {
    identities: HashMap<Identity, FileId>,
    next_file: u64,
    namespace: Namespace,
    /// Where the roots of the state are.
    roots: BTreeMap<FileId, PathBuf>,
    descriptors: Descriptors,
    temporaries: BTreeSet<FileId>,
    readers: BTreeMap<FileId, File>,
    /// The files that were written last, the latest at the end.
    written: VecDeque<FileId>,
    mapped: MappedFiles,
    image: Image,
    writer: Writer,
    clock: CallClock,
    journal: File,
    journal_path: PathBuf,
    /// Its length when it was last looked at, and how many calls outside the state there had been.
    journal_seen: Option<(u64, u64)>,
    callers: Callers,
    roles: Roles,
    /// Where to strike, and its address as a text.
    strike: Option<(String, StrikeAt)>,
    pending: Option<Begun>,
    /// The data of one operation; kept, so that it need not be made for every call.
    data: Vec<u8>,
    ordinal: u64,
    struck_after: Option<u64>,
    outside: u64,
    processes: BTreeMap<i32, u32>,
    process_of: BTreeMap<Pid, u32>,
    gaps: Vec<(String, String)>,
    outside_writes: Outside,
    /// The call in flight, if its result says whether mounts were in its way.
    asked: Option<Asked>,
    barred: Vec<Barred>,
    state_callers: BTreeSet<i32>,
    /// The numbers of the processes that made calls on the state.
    state_processes: BTreeSet<u32>,
    /// Where the tree has bound sockets: absolute, without symbolic links.
    sockets: BTreeSet<PathBuf>,
    turns: Turns,
    acknowledgements: Vec<u8>,
    error: Option<RecordError>,
    cancelled: C,
}

/// How many threads have made calls so far.
#[derive(Clone, Copy, Debug)]
enum Callers {
    None,
    One(Pid),
    Several,
}

/// A call that was let in and has not returned.
struct Begun {
    pending: Pending,
    address: String,
    process: u32,
    journal_length: u64,
}

impl<C: FnMut() -> bool> Recorder<C> {
    fn new(request: &Request, cancelled: C) -> Result<Self, RecordError> {
        let paths: Vec<PathBuf> = request.roots.iter().map(|root| root.path.clone()).collect();
        let image = request.initial.clone();
        let identities = crate::image::identities(&paths)?;
        let roots = image.roots().iter().zip(&request.roots);
        let mut namespace = Namespace::new(
            roots.map(|(id, root)| (*id, root.prefix.clone())).collect(),
            request.stable.clone(),
        );
        for (id, inode) in image.inodes() {
            for (bytes, child) in &inode.entries {
                namespace.add_initial(Name { directory: id, bytes: bytes.clone() }, child.file);
            }
        }
        let journal = File::options().read(true).append(true).open(&request.journal);
        let journal = journal
            .map_err(|source| RecordError::Journal { path: request.journal.clone(), source })?;
        let outside_writes =
            Outside::new(&request.contained).with_links(&image, &paths, &request.roots);
        Ok(Recorder {
            next_file: identities.len() as u64 + 1,
            identities: identities.into_iter().collect(),
            namespace,
            roots: image.roots().iter().copied().zip(paths.iter().cloned()).collect(),
            descriptors: Descriptors::default(),
            temporaries: BTreeSet::new(),
            readers: BTreeMap::new(),
            written: VecDeque::new(),
            mapped: MappedFiles::default(),
            image,
            writer: Writer::create(&request.recording)?,
            clock: CallClock::default(),
            journal,
            journal_path: request.journal.clone(),
            journal_seen: None,
            callers: Callers::None,
            roles: request.roles.clone(),
            strike: request.strike.clone().map(|strike| (strike.address.to_string(), strike)),
            pending: None,
            data: Vec::new(),
            ordinal: 0,
            struck_after: None,
            outside: 0,
            processes: BTreeMap::new(),
            process_of: BTreeMap::new(),
            gaps: Vec::new(),
            outside_writes,
            asked: None,
            barred: Vec::new(),
            state_callers: BTreeSet::new(),
            state_processes: BTreeSet::new(),
            sockets: BTreeSet::new(),
            turns: Turns::default(),
            acknowledgements: request.acknowledgements.clone(),
            error: None,
            cancelled,
        })
    }

    /// Length of the journal now. While one thread makes all the calls, each is over before the
    /// next: without one outside the state since the last look, the journal is as it was.
    fn journal_length(&mut self) -> u64 {
        if let (Callers::One(_), Some((outside, length))) = (self.callers, self.journal_seen)
            && outside == self.outside
        {
            return length;
        }
        let length = self.journal.metadata().map_or(0, |metadata| metadata.len());
        self.journal_seen = Some((self.outside, length));
        length
    }

    fn new_file(&mut self, identity: Identity) -> FileId {
        let id = FileId(self.next_file);
        self.next_file += 1;
        self.identities.insert(identity, id);
        id
    }

    fn gap(&mut self, file: impl Into<String>, reason: impl Into<String>) {
        const GAPS_MAX: usize = 200;
        let gap = (file.into(), reason.into());
        if self.gaps.len() < GAPS_MAX && !self.gaps.contains(&gap) {
            self.gaps.push(gap);
        }
    }

    fn process_number(&mut self, thread: Pid) -> u32 {
        if let Some(number) = self.process_of.get(&thread) {
            return *number;
        }
        let leader = crate::guest::thread_group(thread).unwrap_or(thread).as_raw();
        let next = u32::try_from(self.processes.len() + 1).unwrap_or(u32::MAX);
        let number = *self.processes.entry(leader).or_insert(next);
        self.process_of.insert(thread, number);
        number
    }

    /// Writes one operation and applies it to the image.
    fn log(&mut self, mut operation: OperationRef<'_>, data: &[u8]) {
        self.ordinal += 1;
        operation.ordinal = self.ordinal;
        for (effect, bytes) in crate::recording::effects_with_data(operation.effects, data) {
            if let Effect::Create { kind: FileKind::Symlink(target), .. } = effect
                && let Some(link) = operation.shown.last()
            {
                self.outside_writes.add_link((*link).to_owned(), target);
            }
            self.image.apply(effect, bytes, operation.at_ns);
        }
        if self.error.is_none() {
            self.error = self.writer.operation(&operation, data).err().map(RecordError::from);
        }
    }

    /// Logs what stores into mappings have changed since the last look.
    fn log_mapped(&mut self) {
        if self.mapped.is_empty() {
            return;
        }
        let journal_length = self.journal_length();
        let at_ns = self.clock.time_of_call();
        for (file, changes) in self.mapped.changes() {
            let Some(label) = self.namespace.label(file) else { continue };
            // Whose store it was cannot be told.
            let labels = std::slice::from_ref(&label);
            let address = self.namespace.address(OperationKind::Mapped, labels, None);
            self.log(
                OperationRef {
                    ordinal: 0,
                    address: &address,
                    shown: &[&label.shown],
                    process: 0,
                    call: "mapped",
                    result: 0,
                    journal_length,
                    at_ns,
                    effects: &changes.effects,
                },
                &changes.data,
            );
        }
    }

    /// A call on the state has its turn: its address is fixed here.
    fn begin(&mut self, guest: Guest, pending: Pending, length: u64) -> Entry {
        let image = &self.image;
        self.mapped.convict(guest.thread, |file| {
            Some(image.inode(file)?.content.read(0, mapped::MAPPED_BYTES_MAX))
        });
        self.log_mapped();
        let role = self.roles.of(&guest);
        let address = self.namespace.address(pending.kind, &pending.labels, role);
        let process = self.process_number(guest.thread);
        self.state_callers.insert(guest.thread.as_raw());
        self.state_processes.insert(process);
        let begun = Begun { address, process, journal_length: self.journal_length(), pending };
        let entry = match &self.strike {
            Some((address, strike)) if *address == begun.address => {
                self.struck_after = Some(self.ordinal);
                match (strike.after_bytes, strike.scope) {
                    (Some(bytes), Scope::All) if bytes < length => Entry::CarryThenStrike(bytes),
                    (_, Scope::All) => Entry::Strike,
                    (_, Scope::Tree) => Entry::StrikeTree,
                    (_, Scope::Process) => Entry::StrikeProcess,
                }
            }
            _ => Entry::Carry,
        };
        match entry {
            Entry::Carry | Entry::CarryThenStrike(_) => self.pending = Some(begun),
            // The address is used up: the same call of a survivor is another one.
            _ => self.strike = None,
        }
        entry
    }

    /// Whether a process has made a call on the state, or has a file of it open.
    fn uses_state(&self, process: Pid) -> bool {
        let number = self.processes.get(&process.as_raw());
        if number.is_some_and(|number| self.state_processes.contains(number)) {
            return true;
        }
        let Ok(open) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
        open.flatten()
            .filter_map(|entry| std::fs::metadata(entry.path()).ok())
            .any(|file| file.is_file() && self.identities.contains_key(&(file.dev(), file.ino())))
    }

    /// Exit status 0 of the driver acknowledges what it was meant to do.
    fn acknowledge(&mut self) {
        self.journal_seen = None;
        if let Err(source) = (&self.journal).write_all(&self.acknowledgements) {
            self.error = Some(RecordError::Journal { path: self.journal_path.clone(), source });
        }
    }

    fn finish(
        mut self,
        request: &Request,
        ended: &intercept::Ended,
    ) -> Result<Recorded, RecordError> {
        self.pending = None;
        self.log_mapped();
        for label in self.mapped.labels() {
            if !crate::recording::is_rebuilt(&label) {
                self.gap(
                    label,
                    "has a writable shared mapping: states at crash points are exact, crashes \
                     between its stores are not covered",
                );
            }
        }
        if ended.too_many {
            self.gap("*", format!("more than {} threads at one time", request.threads_max));
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        let ending = Ending {
            exit: ended.exit,
            target: ended.target,
            turns: self.turns,
            never_quiet: ended.never_quiet,
            struck: ended.struck,
            struck_after: self.struck_after,
            journal_length: self.journal.metadata().map_or(0, |metadata| metadata.len()),
            outside: self.outside,
            processes: u32::try_from(self.processes.len()).unwrap_or(u32::MAX),
            last_process_id: crate::arena::process_ids::last().unwrap_or(0),
            left_over: ended.left_over,
            mapped: self.mapped.labels(),
            gaps: self.gaps,
            barred: self.barred,
            beside: self.outside_writes.beside(),
            linked: self.outside_writes.linked(),
            outside_writes: self.outside_writes.into_paths(),
            callers: u32::try_from(self.state_callers.len()).unwrap_or(u32::MAX),
            named: self.namespace.named().iter().cloned().collect(),
        };
        self.writer.finish(ending.clone())?;
        Ok(Recorded { ending, operations: self.ordinal, image: self.image })
    }
}

impl<C: FnMut() -> bool> Observer for Recorder<C> {
    fn entry(&mut self, guest: Guest, call: Call, busy: bool) -> Entry {
        self.callers = match self.callers {
            Callers::None => Callers::One(guest.thread),
            Callers::One(thread) if thread == guest.thread => self.callers,
            _ => Callers::Several,
        };
        match self.classify(guest, call, busy) {
            Seen::Outside => {
                self.outside += 1;
                if self.asked.is_some() && !busy { Entry::Carry } else { Entry::Pass }
            }
            Seen::Later => Entry::Wait,
            Seen::InState(pending) => self.begin(guest, pending, call.arguments[2]),
        }
    }

    fn exit(&mut self, guest: Guest, result: i64, written: Option<&[u8]>) {
        self.answered(result);
        let Some(mut begun) = self.pending.take() else { return };
        let mut data = std::mem::take(&mut self.data);
        data.clear();
        let effects = match result < 0 {
            true => vec![Effect::Nothing],
            false => self.complete(guest, &mut begun.pending, (result, written), &mut data),
        };
        let at_ns = self.clock.time_of_call();
        let Pending { labels, call, .. } = &begun.pending;
        let shown: Vec<&str> = labels.iter().map(|label| &*label.shown).collect();
        self.log(
            OperationRef {
                ordinal: 0,
                address: &begun.address,
                shown: &shown,
                process: begun.process,
                call,
                result,
                journal_length: begun.journal_length,
                at_ns,
                effects: &effects,
            },
            &data,
        );
        if data.capacity() <= DATA_KEPT_MAX_BYTES {
            self.data = data;
        }
    }

    fn held(&self) -> Option<Held<'_>> {
        match &self.pending.as_ref()?.pending.action {
            Action::Write { descriptor, is_plain, .. } => {
                Some(Held { descriptor: descriptor.shared()?, is_plain: *is_plain })
            }
            Action::Sync { descriptor, .. } => {
                Some(Held { descriptor: descriptor.as_ref()?.shared()?, is_plain: true })
            }
            _ => None,
        }
    }

    fn lost(&mut self, thread: Pid) {
        self.asked = None;
        // The thread was killed inside its call: what the call did is not known.
        if let Some(begun) = self.pending.take() {
            let file = begun
                .pending
                .labels
                .first()
                .map_or_else(String::new, |label| label.shown.to_string());
            self.gap(file, format!("thread {thread} was killed inside {}", begun.address));
        }
    }

    fn unseen(&mut self, guest: Guest) {
        self.asked = None;
        let Some(begun) = self.pending.take() else { return };
        let file =
            begun.pending.labels.first().map_or_else(String::new, |label| label.shown.to_string());
        let reason = format!(
            "{} was done by a thread that another process traces: that it succeeded, and came \
             before what follows it, is assumed",
            begun.address
        );
        self.gap(file, reason);
        // How much was written, or which file has no name, cannot be told from the files alone.
        if !matches!(begun.pending.action, Action::Write { .. } | Action::Temporary) {
            self.pending = Some(begun);
            self.exit(guest, 0, None);
        }
    }

    fn forget(&mut self, thread: Pid) {
        self.descriptors.forget(thread);
        self.process_of.remove(&thread);
    }

    fn process(&mut self, process: Pid) {
        self.process_number(process);
    }

    fn turned(&mut self, turn: Turn<'_>) {
        // A call in flight was begun before.
        let begun = Some(self.ordinal + u64::from(self.pending.is_some()));
        match turn {
            Turn::DriverStarts => self.turns.driver_started = begun,
            Turn::DriverEnded(exit) => {
                self.turns.driver_ended = begun;
                if exit == Exit::Status(0) && self.struck_after.is_none() {
                    self.acknowledge();
                }
            }
            Turn::AskedToStop(asked) => {
                self.turns.asked_to_stop = begun;
                self.turns.asked = u32::try_from(asked.len()).unwrap_or(u32::MAX);
                let users = asked.iter().filter(|process| self.uses_state(**process)).count();
                self.turns.asked_users = u32::try_from(users).unwrap_or(u32::MAX);
            }
        }
    }

    fn tick(&mut self) -> bool {
        (self.cancelled)()
    }
}
