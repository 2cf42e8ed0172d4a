//! Where databases hold whole transactions only.

use super::Follower;
use crate::asserter::oracle::sqlite;
use killpoint_model::Effect;
use killpoint_model::operation::Name;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// SQLite writes the head of a frame of its write-ahead log by itself; it commits nothing yet.
const WAL_FRAME_HEAD_BYTES: u64 = 24;

impl Follower {
    /// Notes the states about an effect in which a database at this path would hold whole
    /// transactions only.
    ///
    /// 1. After each write to its `-wal`: recovery takes only frames up to a commit.
    /// 2. After its `-journal` is begun or ended: before the end it rolls back, after it does not.
    /// 3. After the database was synced or placed. Where there is no journal on disk nothing else
    ///    marks the end of a transaction, except:
    /// 4. Before its first page is written: every transaction begins there, so the one before it
    ///    had ended.
    ///
    /// States between two writes to the database are never noted: what is visible there and
    /// nowhere else is half a transaction.
    pub(super) fn note_commit(&mut self, effect: &Effect, at: u64) {
        let (file, names): (_, Vec<&Name>) = match effect {
            Effect::SyncedAll => {
                self.all.push(at);
                return;
            }
            Effect::Rename { file, from, to, .. } => (*file, from.iter().chain(to).collect()),
            Effect::Link { file, name } => (*file, vec![name]),
            Effect::Write { file, .. }
            | Effect::Resize { file, .. }
            | Effect::Zero { file, .. }
            | Effect::Replace { file, .. }
            | Effect::Unlink { file, .. }
            | Effect::Synced { file, .. } => (*file, Vec::new()),
            _ => return,
        };
        let named = names.into_iter().filter_map(|name| self.path(name));
        let paths: BTreeSet<PathBuf> = named.chain(self.paths(file)).collect();
        for path in paths {
            match sqlite::owner(&path) {
                Some(owner) => self.note_companion(&path, owner, effect, at),
                None => self.note_database(path, effect, at),
            }
        }
    }

    fn note_companion(&mut self, path: &Path, owner: PathBuf, effect: &Effect, at: u64) {
        let name = path.as_os_str().as_bytes();
        let is_sync = matches!(effect, Effect::Synced { .. });
        let is_commit = if name.ends_with(b"-wal") {
            !is_sync && !matches!(effect, Effect::Write { length: WAL_FRAME_HEAD_BYTES, .. })
        } else if name.ends_with(b"-journal") {
            !is_sync && !matches!(effect, Effect::Write { offset: 1.., .. })
        } else {
            false
        };
        let is_super_journal = !name.ends_with(b"-shm") && !name.ends_with(b"-journal");
        if is_commit {
            self.candidates.entry(at).or_default().insert(owner);
        } else if is_super_journal && matches!(effect, Effect::Unlink { .. }) {
            self.all.push(at);
        }
    }

    fn note_database(&mut self, path: PathBuf, effect: &Effect, at: u64) {
        let at = match effect {
            Effect::Write { offset: 0, .. } => at.saturating_sub(1),
            Effect::Synced { .. } | Effect::Rename { .. } | Effect::Link { .. } => at,
            _ => return,
        };
        self.candidates.entry(at).or_default().insert(path);
    }
}
