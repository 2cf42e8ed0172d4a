//! Files that come to stand under other names.

use super::{DEPTH_MAX, Follower, Moment, Node, NodeKind};
use crate::asserter::oracle::backup::is_called_after;
use crate::asserter::oracle::judging::is_scratch;
use crate::asserter::oracle::pieces::{COMPARED_BYTES_MAX, keeps_half};
use crate::asserter::oracle::state::digest_of;
use crate::asserter::oracle::switches::leads_to;
use crate::asserter::oracle::{Moved, Present};
use killpoint_engine::image::Content;
use killpoint_model::operation::Name;
use killpoint_model::{Effect, FileId, FileKind, Operation};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Shorter contents may be made anew.
const MOVED_BYTES_MIN: u64 = 64;

/// What is made later has nothing to do with what was removed.
const MOVE_OPERATIONS_MAX: u64 = 8;

/// A name that was taken from a file.
pub(super) struct Removal {
    path: PathBuf,
    at: u64,
    process: u32,
    /// The first file that was made since.
    made: Option<FileId>,
    contents: Content,
}

/// A file that was removed, and where one of its name was made right after that.
pub(super) struct Heir {
    from: PathBuf,
    contents: Content,
    to: PathBuf,
}

impl Follower {
    /// Tells of a file that a process removes, and that comes to stand in another directory by its next operations: as
    /// far as names show. In between it writes that file, and does nothing else.
    pub(super) fn note_move(&mut self, effect: &Effect, operation: &Operation) {
        let (at, process) = (operation.ordinal, operation.process);
        let (to, file, is_made) = match effect {
            Effect::Unlink { file, name } => {
                let node = self.nodes.get(file);
                let contents = node.map(|node| node.contents.clone()).unwrap_or_default();
                let path = self.path(name);
                self.removal = path.map(|path| Removal { path, at, process, made: None, contents });
                return;
            }
            Effect::Create { file, name: Some(name), kind: FileKind::Regular, .. } => {
                (self.path(name), *file, true)
            }
            Effect::Rename { file, to: Some(name), .. } => (self.path(name), *file, false),
            Effect::Create { .. }
            | Effect::Link { .. }
            | Effect::Rename { .. }
            | Effect::Exchange { .. } => {
                self.removal = None;
                return;
            }
            _ => return,
        };
        let (Some(removal), Some(to)) = (&mut self.removal, to) else { return };
        // Made at its place, or made beside it and moved there.
        let is_first = if is_made { removal.made.is_none() } else { removal.made == Some(file) };
        removal.made.get_or_insert(file);
        let is_near = process == removal.process && at <= removal.at + MOVE_OPERATIONS_MAX;
        let is_data = |path: &Path| !path.iter().any(|name| is_scratch(Path::new(name)));
        if is_first
            && is_near
            && to != removal.path
            && to.file_name() == removal.path.file_name()
            && is_data(&removal.path)
            && is_data(&to)
        {
            let (from, contents) = (removal.path.clone(), removal.contents.clone());
            self.heirs.push(Heir { from, contents, to });
        }
    }

    /// Tells of what was moved by hand, once it is known what it became: nothing, or a file that keeps at least half of
    /// its bytes.
    pub(super) fn tell_heirs(&mut self) {
        let heirs = std::mem::take(&mut self.heirs);
        if heirs.is_empty() {
            return;
        }
        let mut at_end: HashMap<PathBuf, Content> = HashMap::new();
        for (file, node) in self.nodes.iter().filter(|(_, node)| node.kind == NodeKind::File) {
            let contents = |path| (path, node.contents.clone());
            at_end.extend(self.paths(*file).into_iter().map(contents));
        }
        for Heir { from, contents, to } in heirs {
            let Some(heir) = at_end.get(&to) else { continue };
            let present = |contents: &Content| Present {
                digest: digest_of(contents),
                length: contents.size(),
            };
            let (was, became) = (present(&contents), present(heir));
            let compared = |contents: &Content| contents.read(0, COMPARED_BYTES_MAX as u64);
            let is_long = was.length >= MOVED_BYTES_MIN && became.length >= MOVED_BYTES_MIN;
            if is_long
                && (was.digest == became.digest
                    || keeps_half(&compared(&contents), &compared(heir)))
            {
                self.learner.moved_by_hand(from, Moved { was, became, to });
            }
        }
    }

    /// A file moves from one name to another; one of them may lie outside of the state.
    pub(super) fn moved(
        &mut self,
        file: FileId,
        (from, to): (Option<&Name>, Option<&Name>),
        replaced: Option<FileId>,
        at: u64,
    ) {
        let replaced = replaced.filter(|replaced| *replaced != file);
        let files: Vec<_> = replaced.into_iter().chain([file]).collect();
        files.iter().for_each(|file| self.supersede(*file, at));
        self.rename(&files, at, |this| {
            if let (Some(replaced), Some(to)) = (replaced, to) {
                this.remove_name(replaced, to);
            }
            from.iter().for_each(|from| this.remove_name(file, from));
            to.iter().for_each(|to| this.add_name(file, to));
        });
    }

    /// Two files exchange their names. What was written for that, a file or files below a directory, pushes
    /// out the other.
    pub(super) fn exchanged(&mut self, first: &(Name, FileId), second: &(Name, FileId), at: u64) {
        let changed = |file: FileId| self.is_changed_here(file);
        self.displaced = match (changed(first.1), changed(second.1)) {
            (true, false) => Some(second.1),
            (false, true) => Some(first.1),
            _ => None,
        };
        self.rename(&[first.1, second.1], at, |this| {
            this.remove_name(first.1, &first.0);
            this.remove_name(second.1, &second.0);
            this.add_name(first.1, &second.0);
            this.add_name(second.1, &first.0);
        });
        self.displaced = None;
    }

    /// Whether a file, or one below a directory, was changed since it came to its name.
    fn is_changed_here(&self, file: FileId) -> bool {
        let mut changed = self.nodes.iter().filter(|(_, node)| node.is_changed_here);
        changed.any(|(changed, _)| self.is_in(*changed, file))
    }

    /// Whether a file is this one, or stands below this directory.
    fn is_in(&self, file: FileId, directory: FileId) -> bool {
        let mut at = file;
        for _ in 0..DEPTH_MAX {
            if at == directory {
                return true;
            }
            let Some(name) = self.nodes.get(&at).and_then(|node| node.names.first()) else { break };
            at = name.directory;
        }
        false
    }

    /// Changes names of `files`, and tells which paths went and which came to be by it.
    pub(super) fn rename(&mut self, files: &[FileId], at: u64, change: impl FnOnce(&mut Follower)) {
        let is_directory = |node: &Node| node.kind == NodeKind::Directory;
        let has_directory = files.iter().any(|file| self.nodes.get(file).is_some_and(is_directory));
        let files: Vec<FileId> =
            if has_directory { self.nodes.keys().copied().collect() } else { files.to_vec() };
        let list = |this: &Follower| -> BTreeMap<PathBuf, FileId> {
            let paths = files.iter().map(|file| (file, this.paths(*file)));
            paths.flat_map(|(file, paths)| paths.into_iter().map(|path| (path, *file))).collect()
        };
        let before = list(self);
        change(self);
        let after = list(self);
        self.tell_moves(&before, &after);
        for path in before.keys().filter(|path| !after.contains_key(*path)) {
            self.learner.removed(path, at);
        }
        for (path, file) in after {
            if before.get(&path) != Some(&file) {
                let is_displaced = self.displaced.is_some_and(|it| self.is_in(file, it));
                let moment = if is_displaced { Moment::Displaced } else { Moment::Placed };
                self.tell(file, vec![path.clone()], at, moment);
                self.publish(file, &path, at);
                if let Some(node) = self.nodes.get_mut(&file) {
                    node.is_changed_here = false;
                    node.touched_at = at;
                }
            }
        }
    }

    /// If this is a symbolic link that was moved to its place: what it leads to is complete.
    fn publish(&mut self, link: FileId, path: &Path, at: u64) {
        let Some(node) = self.nodes.get(&link).filter(|node| node.kind == NodeKind::Link) else {
            return;
        };
        let target = node.contents.read(0, u64::MAX);
        let files: Vec<FileId> = self.nodes.keys().copied().collect();
        for file in files {
            let mut paths = self.paths(file);
            paths.retain(|it| leads_to(path, &target, it));
            self.tell(file, paths, at, Moment::Published);
        }
    }

    /// Tells which paths gave their files to others, and whether those files were only made there: written
    /// anew, and then moved to where a file stood before, or to a name that theirs is called after.
    fn tell_moves(
        &mut self,
        before: &BTreeMap<PathBuf, FileId>,
        after: &BTreeMap<PathBuf, FileId>,
    ) {
        let came = after.iter().filter(|(path, file)| before.get(*path) != Some(*file));
        let came: BTreeMap<FileId, &PathBuf> = came.map(|(path, file)| (*file, path)).collect();
        for (path, file) in before.iter().filter(|(path, file)| after.get(*path) != Some(*file)) {
            let Some(to) = came.get(file) else { continue };
            let is_anew = self.nodes.get(file).is_some_and(Node::is_written_anew);
            let stood = before.contains_key(*to) || self.learner.knows(to);
            let is_staged = is_anew && (stood || is_called_after(path, to));
            self.learner.moved(path.clone(), is_staged);
        }
    }
}
