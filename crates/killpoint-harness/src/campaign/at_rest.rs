//! Copies of the state and of the ack journal for those who read a target that is down. Others may still write,
//! a workload for one: a copy counts only if nothing was written while it was made.

use super::judging::live;
use super::world::{World, copy};
use crate::asserter::invariants::Reader;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Tries to copy a state between two writes.
const COPIES_MAX: u32 = 5;

/// A reader of copies.
///
/// # Errors
/// If the state or the journal cannot be copied, or is written to all the time.
pub(super) fn at_rest(world: &World) -> io::Result<Reader> {
    let mut problem = None;
    for _ in 0..COPIES_MAX {
        leave(world);
        // A file may be gone by the time that it is looked at.
        let copied = Written::now(world).and_then(|before| {
            let reader = copied(world)?;
            Ok((before == Written::now(world)?).then_some(reader))
        });
        match copied {
            Ok(Some(reader)) => return Ok(reader),
            Ok(None) => problem = None,
            Err(error) => problem = Some(error),
        }
    }
    Err(problem.unwrap_or_else(|| {
        io::Error::other("somebody writes to it, or to the ack journal, all the time")
    }))
}

fn copied(world: &World) -> io::Result<Reader> {
    let folder = folder(world);
    let (mut states, mut own_paths) = (Vec::new(), world.own_paths.clone());
    for (index, state) in world.states.iter().enumerate() {
        let to = folder.join(index.to_string());
        copy(state, &to)?;
        own_paths = own_paths.with(&to, state);
        states.push(to);
    }
    let journal = folder.join("journal");
    fs::create_dir_all(&folder)?;
    fs::copy(&world.journal, &journal)?;
    let shown = states.iter().map(|state| own_paths.shown(state)).collect();
    Ok(Reader { states, shown, own_paths, journal, is_live: false, ..live(world) })
}

/// Clears the copies away.
pub(super) fn leave(world: &World) {
    let _ = fs::remove_dir_all(folder(world));
}

fn folder(world: &World) -> PathBuf {
    world.folder.join("judged")
}

/// What changes when anything is written.
#[derive(PartialEq, Eq)]
struct Written {
    journal_bytes: u64,
    /// Number, length and time of the last change of each file and directory.
    files: BTreeMap<PathBuf, (u64, u64, i64, i64)>,
}

impl Written {
    fn now(world: &World) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        let mut open = world.states.clone();
        while let Some(path) = open.pop() {
            let metadata = fs::symlink_metadata(&path)?;
            if metadata.is_dir() {
                for entry in fs::read_dir(&path)? {
                    open.push(entry?.path());
                }
            }
            let changed = (metadata.ctime(), metadata.ctime_nsec());
            files.insert(path, (metadata.ino(), metadata.len(), changed.0, changed.1));
        }
        let journal_bytes = fs::metadata(&world.journal)?.len();
        Ok(Written { journal_bytes, files })
    }
}
