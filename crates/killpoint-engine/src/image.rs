//! A disk image in memory: the state directories as they are after some operations.
//!
//! Images share what they have in common, so keeping many of them is cheap: an inode is shared
//! until it changes, a file's contents by chunk, a block by reference into the file it came from.
//! Two images with the same paths, kinds, modes, owners, attributes and bytes have the same
//! [`Image::digest`], whatever operations made them.

mod block;
mod content;
mod scan;

pub use block::{BLOCK, Block, Reader, Source};
pub use content::{Content, next_data};
pub use scan::{
    ScanError, attributes_of, identities, kind_of, nanoseconds, read_inode, read_xattrs,
};

use killpoint_model::operation::{Attributes, Effect, FileId, FileKind, Name};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a name stands for.
#[derive(Clone, Debug)]
pub struct Inode {
    /// Regular file, directory, link...
    pub kind: FileKind,
    /// Owner and mode.
    pub attributes: Attributes,
    /// Extended attributes in the `user.` name space.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The bytes of a regular file.
    pub content: Content,
    /// The entries of a directory.
    pub entries: BTreeMap<Vec<u8>, Entry>,
    /// When the contents, or the entries, last changed: nanoseconds since 1970.
    pub modified_ns: i64,
}

/// What a name in a directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The inode.
    pub file: FileId,
    /// Orders the entries of a directory by when they were made, the oldest first. A name that is
    /// moved or replaced is made anew.
    pub age: u64,
}

impl Inode {
    /// A new inode without contents.
    pub fn new(kind: FileKind, attributes: Attributes) -> Self {
        Inode {
            kind,
            attributes,
            xattrs: BTreeMap::new(),
            content: Content::default(),
            entries: BTreeMap::new(),
            modified_ns: 0,
        }
    }
}

/// State directories in memory.
#[derive(Clone, Debug, Default)]
pub struct Image {
    inodes: BTreeMap<FileId, Arc<Inode>>,
    roots: Vec<FileId>,
    /// The age of the next entry that is made.
    next_age: u64,
}

impl Image {
    /// The state directories themselves, in their order on the command line.
    pub fn roots(&self) -> &[FileId] {
        &self.roots
    }

    /// One inode.
    pub fn inode(&self, file: FileId) -> Option<&Arc<Inode>> {
        self.inodes.get(&file)
    }

    /// Every inode, with or without a name.
    pub fn inodes(&self) -> impl Iterator<Item = (FileId, &Arc<Inode>)> {
        self.inodes.iter().map(|(id, inode)| (*id, inode))
    }

    /// The inode that a name stands for.
    pub fn look_up(&self, name: &Name) -> Option<FileId> {
        self.inodes.get(&name.directory)?.entries.get(&name.bytes).map(|entry| entry.file)
    }

    fn change(&mut self, file: FileId) -> &mut Inode {
        // An inode that an effect names without having made it is a defect of the recorder; it
        // shows when the rebuilt end is compared with the real one, so a placeholder is enough.
        Arc::make_mut(
            self.inodes
                .entry(file)
                .or_insert_with(|| Arc::new(Inode::new(FileKind::Regular, Attributes::default()))),
        )
    }

    /// Changes the contents of a file.
    pub fn set_content(&mut self, file: FileId, content: Content) {
        self.change(file).content = content;
    }

    /// Changes the contents of a file in place.
    pub fn content_mut(&mut self, file: FileId) -> &mut Content {
        &mut self.change(file).content
    }

    /// Changes owner, mode and extended attributes of an inode.
    pub fn set_attributes(
        &mut self,
        file: FileId,
        attributes: Attributes,
        xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    ) {
        let inode = self.change(file);
        inode.attributes = attributes;
        inode.xattrs = xattrs;
    }

    /// Adds or replaces a whole inode.
    pub fn put(&mut self, file: FileId, inode: Arc<Inode>) {
        self.inodes.insert(file, inode);
    }

    /// Changes the time of modification of an inode.
    pub fn set_modified(&mut self, file: FileId, modified_ns: i64) {
        self.change(file).modified_ns = modified_ns;
    }

    /// Sets or removes an entry of a directory; one that is set is its newest.
    pub fn set_entry(&mut self, name: &Name, file: Option<FileId>) {
        let age = self.next_age;
        self.next_age += 1;
        let entries = &mut self.change(name.directory).entries;
        match file {
            Some(file) => entries.insert(name.bytes.clone(), Entry { file, age }),
            None => entries.remove(&name.bytes),
        };
    }

    /// Applies one effect of a call that returned at `at_ns`. `data` is what the recording holds for
    /// it.
    pub fn apply(&mut self, effect: &Effect, data: &[u8], at_ns: i64) {
        self.change_by(effect, data);
        match effect {
            Effect::Write { file, .. }
            | Effect::Resize { file, .. }
            | Effect::Zero { file, .. }
            | Effect::Replace { file, .. } => self.set_modified(*file, at_ns),
            Effect::Create { file, name, .. } => {
                self.set_modified(*file, at_ns);
                self.entries_changed([name.as_ref()], at_ns);
            }
            Effect::Link { name, .. } | Effect::Unlink { name, .. } => {
                self.entries_changed([Some(name)], at_ns);
            }
            Effect::Rename { from, to, .. } => {
                self.entries_changed([from.as_ref(), to.as_ref()], at_ns);
            }
            Effect::Exchange { first, second } => {
                self.entries_changed([Some(&first.0), Some(&second.0)], at_ns);
            }
            Effect::Nothing
            | Effect::Synced { .. }
            | Effect::SyncedAll
            | Effect::Attributes { .. }
            | Effect::Times { .. }
            | Effect::Xattr { .. } => {}
        }
    }

    fn entries_changed<const N: usize>(&mut self, names: [Option<&Name>; N], at_ns: i64) {
        for name in names.into_iter().flatten() {
            self.set_modified(name.directory, at_ns);
        }
    }

    fn change_by(&mut self, effect: &Effect, data: &[u8]) {
        match effect {
            Effect::Nothing | Effect::Synced { .. } | Effect::SyncedAll => {}
            Effect::Create { file, name, kind, attributes } => {
                self.put(*file, Arc::new(Inode::new(kind.clone(), *attributes)));
                if let Some(name) = name {
                    self.set_entry(name, Some(*file));
                }
            }
            Effect::Write { file, offset, .. } => self.content_mut(*file).write(*offset, data),
            Effect::Resize { file, size } => self.content_mut(*file).resize(*size),
            Effect::Zero { file, offset, length } => self.content_mut(*file).zero(*offset, *length),
            Effect::Replace { file, .. } => {
                let content = self.content_mut(*file);
                content.resize(0);
                content.write(0, data);
            }
            Effect::Link { file, name } => self.set_entry(name, Some(*file)),
            Effect::Unlink { name, .. } => self.set_entry(name, None),
            Effect::Rename { file, from, to, .. } => {
                if let Some(from) = from {
                    self.set_entry(from, None);
                }
                if let Some(to) = to {
                    self.set_entry(to, Some(*file));
                }
            }
            Effect::Exchange { first, second } => {
                self.set_entry(&first.0, Some(second.1));
                self.set_entry(&second.0, Some(first.1));
            }
            Effect::Attributes { file, attributes } => self.change(*file).attributes = *attributes,
            Effect::Times { file, modified_ns } => self.set_modified(*file, *modified_ns),
            Effect::Xattr { file, name, value } => {
                let xattrs = &mut self.change(*file).xattrs;
                match value {
                    Some(value) => xattrs.insert(name.clone(), value.clone()),
                    None => xattrs.remove(name),
                };
            }
        }
    }

    /// The same roots with nothing in them.
    pub fn emptied(&self) -> Image {
        let mut image = Image { inodes: BTreeMap::new(), roots: self.roots.clone(), next_age: 0 };
        for root in &self.roots {
            let now = self.inodes.get(root);
            let attributes = now.map(|inode| inode.attributes).unwrap_or_default();
            let modified_ns = now.map(|inode| inode.modified_ns).unwrap_or_default();
            let inode = Inode { modified_ns, ..Inode::new(FileKind::Directory, attributes) };
            image.put(*root, Arc::new(inode));
        }
        image
    }

    /// Drops inodes that no name leads to. Descriptors may still refer to them while the program
    /// runs, but a crash ends that.
    pub fn without_nameless(&self) -> Image {
        let next_age = self.next_age;
        let mut kept = Image { inodes: BTreeMap::new(), roots: self.roots.clone(), next_age };
        self.walk(|_, id, inode| {
            kept.inodes.insert(id, Arc::clone(inode));
        });
        kept
    }

    /// Visits every name in order: the index of the root, the path below it (empty for the root
    /// itself) and the inode. A file with two names is visited twice.
    pub fn walk(&self, mut visit: impl FnMut((usize, &[u8]), FileId, &Arc<Inode>)) {
        for (index, root) in self.roots.iter().enumerate() {
            self.walk_from(index, &mut Vec::new(), *root, 0, &mut visit);
        }
    }

    fn walk_from(
        &self,
        root: usize,
        path: &mut Vec<u8>,
        id: FileId,
        depth: usize,
        visit: &mut impl FnMut((usize, &[u8]), FileId, &Arc<Inode>),
    ) {
        const DEPTH_MAX: usize = 1_000;
        let Some(inode) = self.inodes.get(&id) else { return };
        visit((root, path), id, inode);
        if depth == DEPTH_MAX {
            return;
        }
        let length = path.len();
        for (name, child) in &inode.entries {
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            self.walk_from(root, path, child.file, depth + 1, visit);
            path.truncate(length);
        }
    }

    /// Finds an inode by its path below a root.
    pub fn find(&self, root: usize, path: &[u8]) -> Option<FileId> {
        let mut id = *self.roots.get(root)?;
        for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            id = self.inodes.get(&id)?.entries.get(part)?.file;
        }
        Some(id)
    }

    /// BLAKE3 over paths, kinds, modes, owners, attributes and bytes.
    pub fn digest(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        let mut first_path: BTreeMap<FileId, (usize, Vec<u8>)> = BTreeMap::new();
        self.walk(|(root, path), id, inode| {
            hasher.update(&(root as u64).to_le_bytes());
            hash_bytes(&mut hasher, path);
            if !matches!(inode.kind, FileKind::Directory) {
                match first_path.get(&id) {
                    Some((root, path)) => {
                        hasher.update(b"=");
                        hasher.update(&(*root as u64).to_le_bytes());
                        hash_bytes(&mut hasher, path);
                        return;
                    }
                    None => {
                        first_path.insert(id, (root, path.to_vec()));
                    }
                }
            }
            hash_inode(&mut hasher, inode);
        });
        hasher.finalize()
    }
}

fn hash_bytes(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn hash_inode(hasher: &mut blake3::Hasher, inode: &Inode) {
    let (letter, rest) = match &inode.kind {
        FileKind::Regular => (b"f", Vec::new()),
        FileKind::Directory => (b"d", Vec::new()),
        FileKind::Symlink(target) => (b"l", target.clone()),
        FileKind::Fifo => (b"p", Vec::new()),
        FileKind::Socket => (b"s", Vec::new()),
        FileKind::Device { mode, number } => {
            (b"v", [u64::from(*mode).to_le_bytes(), number.to_le_bytes()].concat())
        }
    };
    hasher.update(letter);
    hash_bytes(hasher, &rest);
    let Attributes { mode, uid, gid } = inode.attributes;
    for number in [mode, uid, gid] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&(inode.xattrs.len() as u64).to_le_bytes());
    for (name, value) in &inode.xattrs {
        hash_bytes(hasher, name);
        hash_bytes(hasher, value);
    }
    if matches!(inode.kind, FileKind::Regular) {
        hasher.update(&inode.content.digest());
    }
}
