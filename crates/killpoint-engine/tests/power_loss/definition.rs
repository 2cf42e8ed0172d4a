//! Random histories, and the definitions of the models computed slowly, byte by byte.
//!
//! Every write has a byte of its own, so that a byte in a state tells which write it comes from.

use crate::script::{Built, Script, Step, states_of};
use killpoint_engine::image::Image;
use killpoint_engine::states::Variant;
use killpoint_model::operation::{Effect, FileId, FileKind, Operation};
use killpoint_model::{CrashModel, Profile};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Choices that [`history`] turns into steps that are possible where they stand.
type Choice = (u8, u8, u8, u8);

const NAMES: [&str; 6] = ["a", "b", "c", "d/a", "d/b", "e/a"];
const OFFSETS: [u64; 6] = [0, 10, 512, 4_096, 5_000, 8_192];
const LENGTHS: [usize; 5] = [1, 100, 512, 4_096, 6_000];

fn step(script: &Script, choice: Choice, byte: u8) -> Option<Step> {
    let (kind, first, second, third) = choice;
    let pick = |number: u8| NAMES[usize::from(number) % NAMES.len()].to_owned();
    let (path, other) = (pick(first), pick(second));
    let offset = OFFSETS[usize::from(second) % OFFSETS.len()];
    let length = LENGTHS[usize::from(third) % LENGTHS.len()];
    let there = script.is_there(&path);
    let directory = if first % 2 == 0 { ".".to_owned() } else { "d".to_owned() };
    let bytes = vec![byte; length];
    Some(match kind % 20 {
        0 | 1 if !there => Step::Create(path),
        0..=7 if there => Step::Write { path, offset, bytes, durable: kind % 20 == 7 },
        8 if there => Step::Truncate(path, [0, 100, 4_096, 7_000][usize::from(second) % 4]),
        9 if there => Step::Zero(path, offset, length as u64),
        10 | 11 if there && path != other => Step::Rename(path, other),
        12 if there && script.is_there(&other) && path != other => Step::Exchange(path, other),
        13 if there && !script.is_there(&other) => Step::Link(path, other),
        14 if there => Step::Unlink(path),
        15 if there => Step::Fsync(path),
        16 if there => Step::Fdatasync(path),
        17 if there => Step::Msync(path, offset, length as u64),
        18 => Step::Fsync(directory),
        19 if third % 8 == 0 => Step::Syncfs,
        19 if there => Step::Chmod(path, 0o600 + u32::from(second % 8)),
        _ => return None,
    })
}

fn history(choices: &[Choice]) -> (Image, Script) {
    let setup = "mkdir d; mkdir e; create a; write a 0 6000 o; create d/a; write d/a 0 9000 p";
    let (initial, mut script) = Script::new(setup, "");
    for (index, choice) in choices.iter().enumerate() {
        let byte = u8::try_from(index + 128).expect("histories are short");
        if let Some(step) = step(&script, *choice, byte) {
            script.step(&step);
        }
    }
    (initial, script)
}

/// What a byte of a file may be after a power cut.
#[derive(Clone, Debug)]
struct Slow {
    profile: Profile,
    files: BTreeMap<FileId, SlowFile>,
}

#[derive(Clone, Debug, Default)]
struct SlowFile {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// For each offset, what was there since it was last synced or cut off.
    since: BTreeMap<usize, BTreeSet<u8>>,
}

impl SlowFile {
    fn sync(&mut self, start: usize, end: usize) {
        let end = end.min(self.now.len());
        if self.synced.len() < end {
            self.synced.resize(end, 0);
        }
        for offset in start..end {
            self.synced[offset] = self.now[offset];
            self.since.remove(&offset);
        }
    }

    fn cut(&mut self, start: usize, end: usize) {
        self.since.retain(|offset, _| !(start..end).contains(offset));
        for bytes in [&mut self.now, &mut self.synced] {
            let end = end.min(bytes.len());
            if start < end {
                bytes[start..end].fill(0);
            }
        }
    }

    fn may_be(&self, offset: usize, byte: u8) -> bool {
        byte == self.synced.get(offset).copied().unwrap_or(0)
            || self.since.get(&offset).is_some_and(|bytes| bytes.contains(&byte))
    }
}

const BLOCK: u64 = 4_096;

impl Slow {
    fn new(initial: &Image, profile: Profile) -> Self {
        let files = initial.inodes().map(|(file, inode)| {
            let now = inode.content.read(0, u64::MAX);
            (file, SlowFile { synced: now.clone(), now, since: BTreeMap::new() })
        });
        Slow { profile, files: files.collect() }
    }

    fn apply(&mut self, effect: &Effect, data: &[u8]) {
        let at = |number: u64| usize::try_from(number).expect("small");
        match effect {
            Effect::Create { file, .. } => {
                self.files.insert(*file, SlowFile::default());
            }
            Effect::Write { file, offset, length, durable } => {
                let file = self.files.get_mut(file).expect("made before");
                let (start, end) = (at(*offset), at(offset + length));
                if file.now.len() < end {
                    file.now.resize(end, 0);
                }
                file.now[start..end].copy_from_slice(data);
                for (offset, byte) in (start..end).zip(data) {
                    file.since.entry(offset).or_default().insert(*byte);
                }
                if *durable {
                    file.sync(
                        at(offset / BLOCK * BLOCK),
                        at((offset + length).next_multiple_of(BLOCK)),
                    );
                }
            }
            Effect::Resize { file, size } => {
                let file = self.files.get_mut(file).expect("made before");
                file.cut(at(*size), usize::MAX);
                file.now.resize(at(*size), 0);
                file.synced.resize(at(*size), 0);
            }
            Effect::Zero { file, offset, length } => {
                self.files
                    .get_mut(file)
                    .expect("made before")
                    .cut(at(*offset), at(offset + length));
            }
            Effect::Synced { file, range: None, .. } => {
                let file = self.files.get_mut(file).expect("made before");
                file.synced.clone_from(&file.now);
                file.since.clear();
            }
            Effect::Synced { file, range: Some((offset, length)), .. } => {
                let file = self.files.get_mut(file).expect("made before");
                file.sync(
                    at(offset / BLOCK * BLOCK),
                    at((offset + length).next_multiple_of(BLOCK)),
                );
            }
            Effect::SyncedAll => {
                for file in self.files.values_mut() {
                    file.synced.clone_from(&file.now);
                    file.since.clear();
                }
            }
            _ => {}
        }
    }
}

fn names(image: &Image) -> BTreeMap<Vec<u8>, (FileId, u32)> {
    let mut names = BTreeMap::new();
    image.walk(|(_, path), file, inode| {
        names.insert(path.to_vec(), (file, inode.attributes.mode));
    });
    names
}

/// The names in a directory.
fn entries(image: &Image, directory: FileId) -> BTreeMap<Vec<u8>, FileId> {
    let Some(inode) = image.inode(directory) else { return BTreeMap::new() };
    inode.entries.iter().map(|(name, entry)| (name.to_vec(), entry.file)).collect()
}

fn differing(one: &Image, other: &Image) -> Vec<FileId> {
    let files = one.inodes().filter(|(file, inode)| {
        other.inode(*file).is_none_or(|it| !it.content.equals(&inode.content))
    });
    files.map(|(file, _)| file).collect()
}

/// Everything that is known at one cut.
struct CutAt<'a> {
    now: &'a Image,
    slow: &'a Slow,
    /// The state before each operation so far, and after the last.
    history: &'a [Image],
    operations: &'a [(Operation, Vec<u8>)],
}

impl CutAt<'_> {
    fn check(&self, built: &Built) {
        match built.name.model {
            CrashModel::Kill | CrashModel::TornWrite => return,
            CrashModel::Prefix => return self.prefix(&built.image),
            CrashModel::DirLost => return self.directories(built),
            _ => {}
        }
        assert_eq!(names(&built.image), names(self.now), "names and modes are as at the cut");
        self.bytes(&built.image);
        let differing = differing(&built.image, self.now);
        let strictly = matches!(self.slow.profile, Profile::Strict | Profile::Xfs);
        for (file, inode) in built.image.inodes().filter(|(_, i)| i.kind == FileKind::Regular) {
            let (slow, size) = (&self.slow.files[&file], inode.content.size());
            let found = inode.content.read(0, size);
            match built.name.model {
                CrashModel::Data if strictly => {
                    assert_eq!(found, slow.synced, "only what is synced")
                }
                CrashModel::Size if self.slow.profile == Profile::Strict => {
                    let mut expect = slow.synced.clone();
                    expect.resize(slow.now.len().max(expect.len()), 0);
                    expect.truncate(slow.now.len());
                    assert_eq!(found, expect, "what is synced, and zeros");
                }
                _ => {}
            }
        }
        if !matches!(built.name.model, CrashModel::Data | CrashModel::Size) {
            assert!(differing.len() <= 1, "one file suffers");
        }
    }

    /// No byte is older than its last sync, and none comes back that was cut off.
    fn bytes(&self, state: &Image) {
        for (file, inode) in state.inodes().filter(|(_, i)| i.kind == FileKind::Regular) {
            let slow = &self.slow.files[&file];
            let found = inode.content.read(0, u64::MAX);
            assert!(found.len() <= slow.now.len(), "no file is longer than it was");
            assert!(found.len() >= slow.synced.len().min(slow.now.len()), "synced bytes are there");
            for (offset, byte) in found.iter().enumerate() {
                assert!(slow.may_be(offset, *byte), "byte {byte} at {offset} of {file:?}");
            }
        }
    }

    fn prefix(&self, state: &Image) {
        let is_barrier = |operation: &Operation| {
            operation.effects.iter().any(|effect| {
                matches!(
                    effect,
                    Effect::Synced { .. } | Effect::SyncedAll | Effect::Write { durable: true, .. }
                )
            })
        };
        let last = self.operations.iter().rposition(|(operation, _)| is_barrier(operation));
        let expect = &self.history[last.map_or(0, |index| index + 1)];
        assert_eq!(state.digest(), expect.digest(), "everything up to the last barrier");
    }

    fn directories(&self, built: &Built) {
        if let (Variant::From(from), Profile::Ext4 | Profile::Xfs) =
            (&built.name.variant, self.slow.profile)
        {
            let before = &self.history[usize::try_from(from - 1).expect("small")];
            assert_eq!(
                names(&built.image),
                names(before),
                "names and modes from before the change"
            );
        }
        // Whatever kept its name since it was synced still has it, and what it held then.
        let mut synced: BTreeMap<FileId, usize> = BTreeMap::new();
        for (index, (operation, _)) in self.operations.iter().enumerate() {
            if let [Effect::Synced { file, range: None, .. }] = operation.effects.as_slice() {
                synced.insert(*file, index);
            }
        }
        for (file, index) in synced {
            let own = |image: &Image| -> Vec<Vec<u8>> {
                let names = names(image).into_iter();
                names.filter(|(_, (it, _))| *it == file).map(|(path, _)| path).collect()
            };
            let kept = self.history[index..].iter().all(|it| own(it) == own(&self.history[index]));
            let is_change = |effect: &Effect| {
                matches!(effect, Effect::Write { file: it, .. } | Effect::Resize { file: it, .. }
                    | Effect::Zero { file: it, .. } if *it == file)
            };
            let mut later = self.operations[index..].iter();
            if later.all(|(operation, _)| !operation.effects.iter().any(is_change)) {
                let held = &self.slow.files[&file].now;
                let bytes = built.image.inode(file).map(|i| i.content.read(0, u64::MAX));
                assert!(bytes.is_none_or(|bytes| bytes == *held), "what was synced is kept");
            }
            // Strictly, an fsync keeps the creation of a file, and no other name: one that was given by a
            // link, or by a rename into another directory, can be lost while the one that was taken
            // away is gone.
            let is_moved = |(operation, _): &(Operation, Vec<u8>)| {
                operation.effects.iter().any(|effect| match effect {
                    Effect::Unlink { file: it, .. } => *it == file,
                    Effect::Rename { file: it, from: Some(from), to: Some(to), replaced } => {
                        *replaced == Some(file) || *it == file && from.directory != to.directory
                    }
                    Effect::Exchange { first, second } => {
                        let is_own = first.1 == file || second.1 == file;
                        is_own && first.0.directory != second.0.directory
                    }
                    _ => false,
                })
            };
            let is_promised = self.slow.profile != Profile::Strict
                || !self.operations[..index].iter().any(is_moved);
            if kept && is_promised && !own(self.now).is_empty() {
                assert!(!own(&built.image).is_empty(), "{file:?} was synced and has a name");
            }
            let entries = |image: &Image| entries(image, file);
            let same = |image: &Image| entries(image) == entries(self.now);
            if self.history[index..].iter().all(same) {
                assert_eq!(entries(&built.image), entries(self.now), "{file:?} was synced");
            }
        }
    }
}

fn check_history(choices: &[Choice], profile: Profile) {
    let (initial, script) = history(choices);
    let states = states_of(&initial, &script, profile);
    let mut slow = Slow::new(&initial, profile);
    let mut images = vec![initial.without_nameless()];
    let mut image = initial.clone();
    for point in 1..=script.operations.len() + 1 {
        let now = image.without_nameless();
        let operations = &script.operations[..point - 1];
        let cut = CutAt { now: &now, slow: &slow, history: &images, operations };
        for built in states.iter().filter(|built| built.name.point == point as u64) {
            cut.check(built);
        }
        if let Some((operation, data)) = script.operations.get(point - 1) {
            image.apply(&operation.effects[0], data, 0);
            slow.apply(&operation.effects[0], data);
            images.push(image.without_nameless());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_state_satisfies_the_definition_of_its_model(
        choices in prop::collection::vec(any::<Choice>(), 0..40),
        profile in prop::sample::select(Profile::ALL.to_vec()),
    ) {
        check_history(&choices, profile);
    }

    #[test]
    fn when_everything_is_synced_nothing_is_lost(
        choices in prop::collection::vec(any::<Choice>(), 0..40),
        profile in prop::sample::select(Profile::ALL.to_vec()),
    ) {
        let (initial, mut script) = history(&choices);
        script.step(&Step::Syncfs);
        let states = states_of(&initial, &script, profile);
        let end = states.last().expect("there is an end");
        for built in states.iter().filter(|built| built.name.point == end.name.point) {
            prop_assert_eq!(built.image.digest(), end.image.digest(), "{:?}", built.name);
        }
    }
}

#[test]
fn a_file_moved_by_link_and_unlink_may_lose_its_name_where_nobody_promises_it() {
    // link d/a e/a; unlink d/a; fsync e/a
    let choices = [(33, 117, 113, 0), (54, 237, 0, 0), (35, 5, 0, 0)];
    let (initial, script) = history(&choices);
    let is_without_it = |profile| {
        let states = states_of(&initial, &script, profile);
        let moved = names(&initial)[&b"d/a".to_vec()].0;
        states.iter().any(|built| {
            built.name.point == 4 && names(&built.image).values().all(|(file, _)| *file != moved)
        })
    };
    for profile in Profile::ALL {
        check_history(&choices, profile);
        assert_eq!(is_without_it(profile), profile == Profile::Strict, "{profile:?}");
    }
}
