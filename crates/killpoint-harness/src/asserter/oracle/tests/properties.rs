//! Whatever is left on disk, judging it never panics, and what was recorded holds.

use super::world::{MemoryState, World};
use crate::asserter::oracle::Crash;
use killpoint_model::Verdict;
use proptest::prelude::*;

const NAMES: [&str; 6] = ["a.json", "a.yaml", "a.ini", "app.log", "a.bin", "a.plist"];

fn contents() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64),
        "[\\[\\]{}:=\",a1 \n]{0,40}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..64).prop_map(|bytes| [
            b"SQLite format 3\0".as_slice(),
            &bytes
        ]
        .concat()),
        Just(b"bplist00".to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_files_are_judged_without_a_panic(
        begin in proptest::collection::vec(contents(), NAMES.len()),
        end in proptest::collection::vec(contents(), NAMES.len()),
        crash in proptest::collection::vec(contents(), NAMES.len()),
        at in 0_u64..20,
        power_loss: bool,
        recorded_beyond: bool,
    ) {
        let mut world = World::default();
        for (name, contents) in NAMES.iter().zip(&begin) {
            world.create(name).write(name, 0, contents);
        }
        let mut world = world.begins_here();
        for (name, contents) in NAMES.iter().zip(&end) {
            world.resize(name, 0).write(name, 0, contents).acknowledge();
        }
        let oracle = world.learn();
        let files: Vec<_> =
            NAMES.iter().zip(&crash).map(|(name, contents)| (*name, contents.as_slice())).collect();
        let crash = Crash { at, power_loss, durable_from: Some(3), recorded_beyond };
        let _ = oracle.judge(&MemoryState::of(&files), &crash);
    }

    #[test]
    fn files_replaced_whole_never_are_violated(
        saves in proptest::collection::vec((0..NAMES.len(), contents()), 1..8),
    ) {
        let mut world = World::default();
        for name in NAMES {
            world.create(name);
        }
        let mut world = world.begins_here();
        for (name, contents) in &saves {
            let name = NAMES[*name];
            world.create("new").write("new", 0, contents).sync("new").rename("new", name);
        }
        let oracle = world.learn();
        for at in 1..=world.end() {
            let judged = oracle.judge(&world.state(at), &Crash::kill(at));
            let is_violated = matches!(judged.judgement.verdict, Verdict::Violated(_));
            prop_assert!(!is_violated, "{at}: {}", judged.judgement.detail);
        }
    }
}
