//! Files with a writable shared mapping: read anew at every stop, because stores make no call.

use crate::guest::Identity;
use killpoint_model::operation::{Effect, FileId};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

/// Stores into files larger than this are not followed; the recording says so.
pub(super) const MAPPED_BYTES_MAX: u64 = 64 << 20;
const BLOCK: usize = 4_096;

/// What changed in one file.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) effects: Vec<Effect>,
    pub(super) data: Vec<u8>,
}

#[derive(Debug)]
struct Mapped {
    reader: File,
    shadow: Vec<u8>,
    label: String,
}

/// A file with a shared mapping that is read-only, through a descriptor that can write: `mprotect` may
/// make it writable, a call so frequent elsewhere that it is not stopped.
#[derive(Debug)]
struct Suspect {
    reader: File,
    label: String,
    /// Who mapped it.
    threads: BTreeSet<Pid>,
}

/// The files that are mapped, or were: a mapping can outlive its descriptor.
#[derive(Debug, Default)]
pub(super) struct MappedFiles {
    files: BTreeMap<FileId, Mapped>,
    suspects: BTreeMap<FileId, Suspect>,
}

fn read(file: &File) -> Option<Vec<u8>> {
    let size = file.metadata().ok()?.len();
    if size > MAPPED_BYTES_MAX {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64).ok()? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Some(bytes)
}

/// The files that a thread's process has mapped shared and writable, by its table of mappings.
fn writable_shared(thread: Pid) -> Vec<Identity> {
    let table = std::fs::read_to_string(format!("/proc/{thread}/maps")).unwrap_or_default();
    let is_writable = |line: &&str| {
        let rights = line.split_ascii_whitespace().nth(1).unwrap_or_default();
        rights.contains('w') && rights.ends_with('s')
    };
    table.lines().filter(is_writable).filter_map(identity_in).collect()
}

/// Device and inode in a line of `/proc/PID/maps`.
pub(super) fn identity_in(line: &str) -> Option<Identity> {
    let mut fields = line.split_ascii_whitespace().skip(3);
    let (major, minor) = fields.next()?.split_once(':')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    let device = rustix::fs::makedev(number(major)?, number(minor)?);
    Some((device, fields.next()?.parse().ok()?))
}

impl MappedFiles {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether stores into this file are followed.
    pub(super) fn follows(&self, file: FileId) -> bool {
        self.files.contains_key(&file)
    }

    /// Follows a file from now on. `reader` is a description of the harness's own.
    pub(super) fn add(&mut self, file: FileId, reader: File, label: String) {
        self.files.entry(file).or_insert_with(|| {
            let shadow = read(&reader).unwrap_or_default();
            Mapped { reader, shadow, label }
        });
    }

    /// Looks, from now on, whether a file's read-only mapping was made writable.
    pub(super) fn suspect(&mut self, file: FileId, reader: File, label: String, thread: Pid) {
        if self.files.contains_key(&file) {
            return;
        }
        let threads = BTreeSet::new();
        let suspect = Suspect { reader, label, threads };
        self.suspects.entry(file).or_insert(suspect).threads.insert(thread);
    }

    /// Follows the files whose mappings have become writable since the last look. `before` is what
    /// the recording says is in them: what differs was stored meanwhile.
    pub(super) fn convict(&mut self, caller: Pid, before: impl Fn(FileId) -> Option<Vec<u8>>) {
        if self.suspects.is_empty() {
            return;
        }
        let mut threads: BTreeSet<Pid> =
            self.suspects.values().flat_map(|suspect| &suspect.threads).copied().collect();
        threads.insert(caller);
        let writable: BTreeSet<Identity> = threads.into_iter().flat_map(writable_shared).collect();
        let is_writable = |suspect: &Suspect| {
            suspect.reader.metadata().is_ok_and(|file| writable.contains(&(file.dev(), file.ino())))
        };
        let found: Vec<FileId> = self
            .suspects
            .iter()
            .filter(|(_, suspect)| is_writable(suspect))
            .map(|(file, _)| *file)
            .collect();
        for file in found {
            let Some(suspect) = self.suspects.remove(&file) else { continue };
            let shadow = before(file).unwrap_or_default();
            self.files.entry(file).or_insert(Mapped {
                reader: suspect.reader,
                shadow,
                label: suspect.label,
            });
        }
    }

    /// The paths of the files that were ever mapped.
    pub(super) fn labels(&self) -> Vec<String> {
        self.files.values().map(|mapped| mapped.label.clone()).collect()
    }

    /// A call has changed this file: what is there now is known.
    pub(super) fn refresh(&mut self, file: FileId) {
        if let Some(mapped) = self.files.get_mut(&file)
            && let Some(bytes) = read(&mapped.reader)
        {
            mapped.shadow = bytes;
        }
    }

    /// What stores have changed since the last look, by file.
    pub(super) fn changes(&mut self) -> Vec<(FileId, Changes)> {
        let mut all = Vec::new();
        for (file, mapped) in &mut self.files {
            let Some(now) = read(&mapped.reader) else { continue };
            if now == mapped.shadow {
                continue;
            }
            let mut changes = Changes::default();
            if now.len() != mapped.shadow.len() {
                changes.effects.push(Effect::Resize { file: *file, size: now.len() as u64 });
                mapped.shadow.resize(now.len(), 0);
            }
            for (index, (new, old)) in
                now.chunks(BLOCK).zip(mapped.shadow.chunks(BLOCK)).enumerate()
            {
                if new != old {
                    changes.effects.push(Effect::Write {
                        file: *file,
                        offset: (index * BLOCK) as u64,
                        length: new.len() as u64,
                        durable: false,
                    });
                    changes.data.extend_from_slice(new);
                }
            }
            mapped.shadow = now;
            all.push((*file, changes));
        }
        all
    }
}
