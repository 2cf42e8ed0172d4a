//! Follows a recording, and tells a learner every version that it finds on the way.
//!
//! A recording has no closes, so a save that was neither synced nor moved into place is known to
//! be complete only because the next one begins: the file is emptied, replaced, removed or written
//! anew from its start; or because something was acknowledged. Where the engine does know of a close,
//! `closed` takes it.

mod commits;
mod moves;

use super::documents::{DOCUMENT_BYTES_MAX, Format};
use super::learner::{Learner, Moment, Version};
use super::state::{HELD_BYTES_MAX, digest_of};
use killpoint_engine::image::Content;
use killpoint_model::operation::Name;
use killpoint_model::{Effect, FileId, FileKind, Operation};
use moves::{Heir, Removal};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Directories nested deeper are taken for lost, so that no loop of names is walked forever.
const DEPTH_MAX: usize = 4096;

/// How much of a file is looked at to see whether it may be a document.
const RECOGNISED_BYTES: u64 = 4_096;

/// Files of unknown formats that are larger are no versions at acknowledgements: each would be read whole.
const PROMISED_BYTES_MAX: u64 = 1 << 20;

/// For each state in which databases hold whole transactions only: the operation after which it
/// stands, and the databases of which this is known.
pub type CommittedStates = BTreeMap<u64, BTreeSet<PathBuf>>;

/// What following a recording gave.
pub struct Followed {
    /// Knows all versions; acknowledgements and committed states are still to be told.
    pub learner: Learner,
    /// The states to offer to [`Learner::committed`]; empty where there is no database.
    pub committed_states: CommittedStates,
    /// The operations that were the last to change a file before it was complete.
    pub completing: Completing,
    /// The operation by which each file came to be what it is at the end, and where it is.
    pub reached: BTreeMap<PathBuf, u64>,
}

/// Operations that were the last to change a file before it was complete, and how far it was.
pub type Completing = BTreeMap<u64, Completion>;

/// Whether a change completes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Completion {
    /// More is to come.
    No,
    /// The next change began it anew: a document or a file that only grew was complete.
    Superseded,
    /// Whatever the file holds.
    Yes,
}

/// The regular files and directories of one state directory in the course of a recording.
pub struct Follower {
    root: FileId,
    nodes: BTreeMap<FileId, Node>,
    learner: Learner,
    /// Before it is known which files are databases.
    candidates: CommittedStates,
    /// States in which this holds of every database.
    all: Vec<u64>,
    last: u64,
    /// While names are exchanged: the file that is pushed out of its place.
    displaced: Option<FileId>,
    /// Files that were changed since the last acknowledgement.
    changed: BTreeSet<FileId>,
    completing: Completing,
    /// The last name that was taken from a file, while nothing was done since but to write another file.
    removal: Option<Removal>,
    heirs: Vec<Heir>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum NodeKind {
    #[default]
    File,
    Directory,
    Link,
}

#[derive(Default)]
struct Node {
    names: Vec<Name>,
    kind: NodeKind,
    /// Of a symbolic link its target.
    contents: Content,
    appended: bool,
    /// Only appended to since its last version.
    is_continued: bool,
    /// Changed otherwise than by being appended to or emptied.
    is_changed_within: bool,
    /// The operation that emptied it, if it was only appended to since.
    emptied_at: Option<u64>,
    /// Changed since its last version.
    is_changed: bool,
    /// Changed since it came to stand under the names that it has.
    is_changed_here: bool,
    /// The operation that was the last to change it; 0 if none did.
    changed_at: u64,
    /// The operation that was the last to change it or its names; 0 if none did.
    touched_at: u64,
    /// Made in this recording.
    is_new: bool,
    /// How many of its first bytes were written in this recording.
    fresh: u64,
}

/// What an operation did to the contents of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Appended,
    Emptied,
    Other,
}

impl Change {
    fn of_growth(is_growth: bool) -> Change {
        if is_growth { Change::Appended } else { Change::Other }
    }
}

impl Node {
    /// Whether nothing of what it held at the beginning is left in it.
    fn is_written_anew(&self) -> bool {
        self.is_new || (self.fresh > 0 && self.fresh >= self.contents.size())
    }
}

impl Follower {
    /// Begins with an empty state directory, whose inode is `root`.
    pub fn new(root: FileId) -> Follower {
        let directory = Node { kind: NodeKind::Directory, ..Node::default() };
        Follower {
            root,
            nodes: BTreeMap::from([(root, directory)]),
            learner: Learner::new(),
            candidates: BTreeMap::new(),
            all: Vec::new(),
            last: 0,
            displaced: None,
            changed: BTreeSet::new(),
            completing: Completing::new(),
            removal: None,
            heirs: Vec::new(),
        }
    }

    /// A directory that is there at the beginning. Parents first.
    pub fn begin_directory(&mut self, file: FileId, name: Name) {
        let node = self.nodes.entry(file).or_default();
        node.kind = NodeKind::Directory;
        node.names.push(name);
    }

    /// A regular file that is there at the beginning; once for each of its names.
    pub fn begin_file(&mut self, file: FileId, name: Name, contents: Content) {
        let paths: Vec<_> = self.path(&name).into_iter().collect();
        let node = self.nodes.entry(file).or_default();
        node.names.push(name);
        (node.contents, node.appended, node.is_continued) = (contents, true, true);
        self.tell(file, paths, 0, Moment::Begin);
    }

    /// A symbolic link that is there at the beginning.
    pub fn begin_link(&mut self, file: FileId, name: Name, target: &[u8]) {
        self.nodes.entry(file).or_default().kind = NodeKind::Link;
        self.begin_file(file, name, Content::of_bytes(target));
    }

    /// The next operation. `bytes` are those of its writes and replacements, one after the other.
    /// Bytes that are missing read as zeros.
    pub fn operation(&mut self, operation: &Operation, bytes: &[u8]) {
        let at = operation.ordinal;
        self.last = self.last.max(at);
        let mut bytes = bytes;
        for effect in &operation.effects {
            let length = match effect {
                Effect::Write { length, .. } | Effect::Replace { length, .. } => *length,
                _ => 0,
            };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let (own, rest) = bytes.split_at(length.min(bytes.len()));
            bytes = rest;
            self.note_commit(effect, at);
            self.note_move(effect, operation);
            self.effect(effect, at, own, length as u64);
        }
    }

    /// Everything that was written up to operation `at` was promised before the next one. What has only grown
    /// since its last other change had to keep its length from now on; what was not only appended to, and a
    /// document, was complete.
    pub fn acknowledged(&mut self, at: u64) {
        for file in std::mem::take(&mut self.changed) {
            let Some(node) = self.nodes.get(&file) else { continue };
            let (length, appended) = (node.contents.size(), node.appended);
            let head = node.contents.read(0, RECOGNISED_BYTES);
            let paths = self.paths(file);
            let is_version = |path: &PathBuf| match Format::may_be(path, &head) {
                true => length <= DOCUMENT_BYTES_MAX,
                false => !appended && length <= PROMISED_BYTES_MAX,
            };
            let versions: Vec<PathBuf> =
                paths.iter().filter(|it| is_version(it)).cloned().collect();
            if !versions.is_empty() {
                self.tell(file, versions, at, Moment::Acknowledged);
            }
            for path in paths {
                self.learner.grown(path, at, length);
            }
        }
    }

    /// After operation `at` the last descriptor that could write to `file` was closed.
    pub fn closed(&mut self, file: FileId, at: u64) {
        let paths = self.paths(file);
        self.tell(file, paths, at, Moment::Closed);
    }

    /// The end of the recording.
    pub fn finish(self) -> Followed {
        self.finish_killed(&|_| Completion::Yes)
    }

    /// The end of the recording of a run that was killed. `completes` says of an operation whether the file
    /// that it was the last to change was complete by it.
    pub fn finish_killed(mut self, completes: &dyn Fn(u64) -> Completion) -> Followed {
        let at = self.last;
        self.tell_heirs();
        let files: Vec<_> = self.nodes.keys().copied().collect();
        let (mut reached, mut left) = (BTreeMap::new(), BTreeSet::new());
        for file in files {
            let paths = self.paths(file);
            let Node { changed_at, touched_at, .. } = self.nodes[&file];
            let completion = if changed_at == 0 { Completion::Yes } else { completes(changed_at) };
            reached.extend(paths.iter().map(|path| (path.clone(), touched_at)));
            if completion != Completion::Yes {
                left.extend(paths.iter().cloned());
            }
            self.tell(file, paths, at, Moment::of_end(completion));
        }
        let databases = self.learner.databases();
        let mut committed_states = CommittedStates::new();
        if !databases.is_empty() {
            for ordinal in self.all.into_iter().chain([0]) {
                committed_states.entry(ordinal).or_default().extend(databases.iter().cloned());
            }
            let whole = databases.difference(&left).cloned();
            committed_states.entry(at).or_default().extend(whole);
        }
        for (ordinal, paths) in self.candidates {
            let paths: Vec<_> = paths.into_iter().filter(|it| databases.contains(it)).collect();
            if !paths.is_empty() {
                committed_states.entry(ordinal).or_default().extend(paths);
            }
        }
        let Follower { learner, completing, .. } = self;
        Followed { learner, committed_states, completing, reached }
    }

    fn effect(&mut self, effect: &Effect, at: u64, bytes: &[u8], length: u64) {
        match effect {
            Effect::Create { file, name, kind, .. } => self.create(*file, name.as_ref(), kind, at),
            Effect::Write { file, offset, .. } => {
                if *offset == 0 {
                    self.supersede(*file, at);
                }
                self.write(*file, *offset, bytes, (at, length));
            }
            Effect::Resize { file, size } => {
                if *size == 0 {
                    self.supersede(*file, at);
                }
                self.change(*file, at, |node| {
                    let is_as_long = node.contents.size() == *size;
                    node.contents.resize(*size);
                    node.fresh = node.fresh.min(*size);
                    match *size {
                        0 if !is_as_long => Change::Emptied,
                        _ => Change::of_growth(is_as_long),
                    }
                });
            }
            Effect::Zero { file, offset, length } => {
                self.change(*file, at, |node| {
                    node.contents.zero(*offset, *length);
                    Change::Other
                });
            }
            Effect::Replace { file, .. } => {
                self.supersede(*file, at);
                self.change(*file, at, |node| {
                    let kept = node.contents.size() <= bytes.len() as u64
                        && bytes.starts_with(&node.contents.read(0, u64::MAX));
                    node.contents = Content::of_bytes(bytes);
                    node.contents.resize(length);
                    node.fresh = length;
                    Change::of_growth(kept)
                });
            }
            Effect::Link { file, name } => {
                self.rename(&[*file], at, |this| this.add_name(*file, name));
            }
            Effect::Unlink { file, name } => {
                self.supersede(*file, at);
                self.rename(&[*file], at, |this| this.remove_name(*file, name));
            }
            Effect::Rename { file, from, to, replaced } => {
                self.moved(*file, (from.as_ref(), to.as_ref()), *replaced, at);
            }
            Effect::Exchange { first, second } => self.exchanged(first, second, at),
            Effect::Synced { file, range: None, .. } => {
                let paths = self.paths(*file);
                self.tell(*file, paths, at, Moment::Synced);
            }
            Effect::Nothing
            | Effect::Synced { .. }
            | Effect::SyncedAll
            | Effect::Attributes { .. }
            | Effect::Times { .. }
            | Effect::Xattr { .. } => {}
        }
    }

    fn create(&mut self, file: FileId, name: Option<&Name>, kind: &FileKind, at: u64) {
        let (kind, contents) = match kind {
            FileKind::Regular => (NodeKind::File, Content::default()),
            FileKind::Directory => (NodeKind::Directory, Content::default()),
            FileKind::Symlink(target) => (NodeKind::Link, Content::of_bytes(target)),
            _ => return,
        };
        let names = name.cloned().into_iter().collect();
        let made =
            Node { names, kind, contents, changed_at: at, touched_at: at, ..Node::default() };
        let node = Node { appended: true, is_continued: true, is_new: true, ..made };
        self.nodes.insert(file, node);
        if kind == NodeKind::Link {
            let paths = self.paths(file);
            self.tell(file, paths, at, Moment::Closed);
        }
    }

    /// `change` says what it did.
    fn change(&mut self, file: FileId, at: u64, change: impl FnOnce(&mut Node) -> Change) {
        let Some(node) = self.nodes.get_mut(&file) else { return };
        node.is_changed = true;
        node.is_changed_here = true;
        (node.changed_at, node.touched_at) = (at, at);
        let change = change(node);
        let only_appended = change == Change::Appended;
        node.appended &= only_appended;
        node.is_continued &= only_appended;
        node.is_changed_within |= change == Change::Other;
        if !only_appended {
            node.emptied_at = (change == Change::Emptied).then_some(at);
        }
        if !only_appended {
            for path in self.paths(file) {
                self.learner.grown(path, at, 0);
            }
        }
        self.changed.insert(file);
    }

    fn write(&mut self, file: FileId, offset: u64, bytes: &[u8], (at, length): (u64, u64)) {
        self.change(file, at, |node| {
            let is_at_end = offset == node.contents.size();
            let change = Change::of_growth(is_at_end);
            let Some(end) = offset.checked_add(length) else { return change };
            if node.contents.size() < end {
                node.contents.resize(end);
            }
            node.contents.write(offset, bytes);
            if offset <= node.fresh {
                node.fresh = node.fresh.max(end);
            }
            change
        });
    }

    /// What stood in the file was complete, as something new begins with operation `at`.
    fn supersede(&mut self, file: FileId, at: u64) {
        let node = self.nodes.get(&file);
        if node.is_some_and(|node| node.is_changed && node.contents.size() > 0) {
            let paths = self.paths(file);
            self.tell(file, paths, at.saturating_sub(1), Moment::Superseded);
        }
    }

    fn tell(&mut self, file: FileId, paths: Vec<PathBuf>, at: u64, moment: Moment) {
        let Some(node) = self.nodes.get_mut(&file) else { return };
        if node.kind == NodeKind::Directory {
            return;
        }
        let is_link = node.kind == NodeKind::Link;
        let (appended, is_continued) = (node.appended, node.is_continued);
        let (is_changed_within, emptied_at) = (node.is_changed_within, node.emptied_at);
        node.is_continued |= !paths.is_empty();
        node.is_changed &= paths.is_empty();
        if paths.is_empty() {
            return;
        }
        let completion = self.completing.entry(node.changed_at).or_insert(Completion::No);
        *completion = moment.completion().max(*completion);
        let length = node.contents.size();
        let is_held = length <= HELD_BYTES_MAX;
        let contents: Arc<[u8]> = match is_held {
            true => node.contents.read(0, u64::MAX).into(),
            false => Arc::from([]),
        };
        let oversized = (!is_held).then(|| (digest_of(&node.contents), length));
        for path in paths {
            let contents = Arc::clone(&contents);
            self.learner.version(Version {
                path,
                at,
                moment,
                contents,
                is_link,
                oversized,
                appended,
                is_continued,
                is_changed_within,
                emptied_at,
            });
        }
    }

    fn add_name(&mut self, file: FileId, name: &Name) {
        if let Some(node) = self.nodes.get_mut(&file) {
            node.names.push(name.clone());
        }
    }

    fn remove_name(&mut self, file: FileId, name: &Name) {
        if let Some(node) = self.nodes.get_mut(&file) {
            node.names.retain(|it| it != name);
        }
    }

    /// The paths of a file below the state directory; none for what lies outside of it.
    fn paths(&self, file: FileId) -> Vec<PathBuf> {
        let names = self.nodes.get(&file).map(|node| node.names.as_slice()).unwrap_or_default();
        names.iter().filter_map(|name| self.path(name)).collect()
    }

    fn path(&self, name: &Name) -> Option<PathBuf> {
        let mut parts = vec![OsStr::from_bytes(&name.bytes)];
        let mut directory = name.directory;
        while directory != self.root {
            let name = self.nodes.get(&directory)?.names.first()?;
            parts.push(OsStr::from_bytes(&name.bytes));
            directory = name.directory;
            if parts.len() > DEPTH_MAX {
                return None;
            }
        }
        Some(parts.into_iter().rev().collect())
    }
}
