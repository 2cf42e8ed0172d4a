//! Random logs.

use super::*;
use proptest::prelude::*;

fn any_effect() -> impl Strategy<Value = (OperationKind, Effect)> {
    let file = || (1..6_u64).prop_map(FileId);
    let name = || {
        let bytes = prop::sample::select(vec!["a", "b.tmp", "n.db", "n.db-journal", "x.lock"]);
        (file(), bytes).prop_map(|(directory, bytes)| Name { directory, bytes: bytes.into() })
    };
    let create = (file(), prop::option::of(name())).prop_map(|(file, name)| {
        let (kind, attributes) = (FileKind::Regular, Attributes::default());
        (OperationKind::OpenCreate, Effect::Create { file, name, kind, attributes })
    });
    let write = (file(), any::<u64>(), any::<u64>(), any::<bool>());
    let rename = (file(), prop::option::of(name()), prop::option::of(name()));
    prop_oneof![
        create,
        write.prop_map(|(file, offset, length, durable)| {
            (OperationKind::Write, Effect::Write { file, offset, length, durable })
        }),
        (file(), 0..3_u64)
            .prop_map(|(file, size)| { (OperationKind::Truncate, Effect::Resize { file, size }) }),
        (file(), name())
            .prop_map(|(file, name)| (OperationKind::Unlink, Effect::Unlink { file, name })),
        (file(), name())
            .prop_map(|(file, name)| (OperationKind::Link, Effect::Link { file, name })),
        rename.prop_map(|(file, from, to)| {
            (OperationKind::Rename, Effect::Rename { file, from, to, replaced: None })
        }),
        (file(), name(), file(), name()).prop_map(|(one, first, other, second)| {
            let effect = Effect::Exchange { first: (first, one), second: (second, other) };
            (OperationKind::Rename, effect)
        }),
        file().prop_map(|file| {
            (OperationKind::Fsync, Effect::Synced { file, data_only: false, range: None })
        }),
        Just((OperationKind::Sync, Effect::SyncedAll)),
        Just((OperationKind::Write, Effect::Nothing)),
        (file(), 0..9_u64).prop_map(|(file, length)| {
            (OperationKind::Clone, Effect::Replace { file, length })
        }),
    ]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let word = prop::sample::select(vec![".", "a", "b.tmp", "n.db", "n.db-journal", "d/x.lock"]);
    let shown = prop::collection::vec(word.prop_map(str::to_owned), 0..3);
    let effects = prop::collection::vec(any_effect(), 0..3);
    (shown, effects, 0..5_u64).prop_map(|(shown, effects, journal_length)| {
        let kind = effects.first().map_or(OperationKind::Write, |(kind, _)| *kind);
        Operation {
            ordinal: 1,
            address: Address::Call { kind, paths: shown.clone(), ordinal: 1, role: None },
            shown,
            process: 1,
            call: "call".to_owned(),
            result: 0,
            journal_length: journal_length * 10,
            at_ns: 0,
            effects: effects.into_iter().map(|(_, effect)| effect).collect(),
        }
    })
}

fn any_variant() -> impl Strategy<Value = Variant> {
    prop_oneof![
        Just(Variant::Only),
        any::<u64>().prop_map(Variant::Bytes),
        (0..30_u64).prop_map(Variant::Write),
        (0..30_u64, any::<u64>()).prop_map(|(write, bytes)| Variant::WriteBytes(write, bytes)),
        (0..9_u64).prop_map(Variant::File),
        (0..30_u64).prop_map(Variant::From),
        (0..30_u64).prop_map(Variant::Without),
    ]
}

proptest! {
    #[test]
    fn random_logs_never_panic_and_always_get_a_sentence_and_a_fix(
        operations in prop::collection::vec(any_operation(), 0..24),
        point in prop_oneof![0..30_u64, Just(u64::MAX)],
        model in prop::sample::select(CrashModel::ALL.to_vec()),
        variant in any_variant(),
        class in prop::sample::select(vec![
            Class::Lost, Class::Torn, Class::Extra, Class::Duplicated, Class::Hung,
            Class::Unopenable, Class::AckedNotDurable,
        ]),
        told in any::<bool>(),
        held in prop::option::of(0..40_u64),
        broke in prop::option::of((0..40_u64, 0..40_u64)),
        mended in prop::option::of((0..40_u64, 0..40_u64)),
    ) {
        let mut history = History::default();
        if told {
            history = history.with_acknowledgements(vec![10, 20, 30]);
        }
        for operation in &operations {
            history.push(operation);
        }
        let variant = &variant;
        let around = Around { held, broke, mended, lost_alone: Some(FileId(2)) };
        let found = diagnose(&history, &Failure { point, model, variant, class, around, said: "" });
        prop_assert!(!found.sentence.is_empty() && !found.fix.is_empty());
        prop_assert!(found.sentence.ends_with('.'), "{}", found.sentence);
    }
}
