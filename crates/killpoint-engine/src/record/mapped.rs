//! Files with a writable shared mapping: read anew at every stop, because stores make no call.

use killpoint_model::operation::{Effect, FileId};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

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

/// The files that are mapped, or were: a mapping can outlive its descriptor.
#[derive(Debug, Default)]
pub(super) struct MappedFiles {
    files: BTreeMap<FileId, Mapped>,
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
