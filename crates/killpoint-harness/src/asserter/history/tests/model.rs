//! The judge against a brute force that knows nothing of it: all subsets, all orders.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const KEYS: [&str; 2] = ["a", "b"];
const OPERATIONS_MAX: usize = 5;

/// A value of the brute force. An empty list and a sum of nothing are absent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    Absent,
    Text(&'static str),
    Number(i64),
    List(Vec<&'static str>),
}

impl Held {
    fn normal(self) -> Held {
        match self {
            Held::Number(0) => Held::Absent,
            Held::List(list) if list.is_empty() => Held::Absent,
            other => other,
        }
    }

    fn json(&self) -> Option<Json> {
        match self {
            Held::Absent => None,
            Held::Text(text) => Some(json!(text)),
            Held::Number(number) => Some(json!(number)),
            Held::List(list) => Some(json!(list)),
        }
    }
}

#[derive(Clone, Debug)]
enum Deed {
    Set(Held),
    Delete,
    Add(i64),
    Append(&'static str),
}

impl Deed {
    /// From a key's kind and a random number.
    fn of(kind: u8, number: u8) -> Deed {
        let letter = ["x", "y", "z"][usize::from(number / 4 % 3)];
        let small = i64::from(number / 4 % 3) + 1;
        match (kind, number % 4) {
            (_, 0) => Deed::Delete,
            (0, _) => Deed::Set(Held::Text(letter)),
            (1, 1) => Deed::Set(Held::Number(small)),
            (1, _) => Deed::Add(if number > 200 { -small } else { small }),
            (_, 1) => Deed::Set(Held::List(vec![letter])),
            _ => Deed::Append(letter),
        }
    }

    fn apply(&self, held: &Held) -> Held {
        match (self, held) {
            (Deed::Set(value), _) => value.clone(),
            (Deed::Delete, _) => Held::Absent,
            (Deed::Add(more), Held::Number(number)) => Held::Number(number + more),
            (Deed::Add(more), _) => Held::Number(*more),
            (Deed::Append(element), Held::List(list)) => {
                let mut list = list.clone();
                list.push(element);
                Held::List(list)
            }
            (Deed::Append(element), _) => Held::List(vec![element]),
        }
        .normal()
    }

    fn op_and_value(&self) -> String {
        match self {
            Deed::Set(Held::List(list)) => format!("= [\"{}\"]", list[0]),
            Deed::Set(Held::Number(number)) => format!("= {number}"),
            Deed::Set(Held::Text(text)) => format!("= {text}"),
            Deed::Set(Held::Absent) | Deed::Delete => "-".to_owned(),
            Deed::Add(more) => format!("+ {more}"),
            Deed::Append(element) => format!(">> {element}"),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Doing {
    short: Option<usize>,
    id: Option<u8>,
    /// Line, key, deed.
    deeds: Vec<(usize, usize, Deed)>,
    acknowledged: Option<usize>,
    durable: Option<usize>,
    failed: Option<usize>,
}

/// A random journal, with the brute force's own idea of what it says.
#[derive(Clone, Debug)]
struct World {
    lines: Vec<String>,
    doings: Vec<Doing>,
    initial: [Held; 2],
    start: usize,
    upto: usize,
    promise: Promise,
}

impl World {
    fn new(kinds: [u8; 2], rolls: &[(u8, u8, u8, u8)], initial: [u8; 2], cut: [u8; 2]) -> World {
        let initial = [0, 1].map(|key| match (initial[key] % 3, kinds[key]) {
            (0, _) => Held::Absent,
            (_, 0) => Held::Text(["x", "q"][usize::from(initial[key] / 3 % 2)]),
            (_, 1) => Held::Number(i64::from(initial[key] / 3 % 3) + 1),
            _ => Held::List(vec!["x"]),
        });
        let mut world = World {
            lines: Vec::new(),
            doings: Vec::new(),
            initial,
            start: 0,
            upto: 0,
            promise: [Promise::Kill, POWER_LOSS, POWER_LOSS_PLAIN][usize::from(cut[1] % 3)],
        };
        for (action, who, key, number) in rolls {
            world.roll(
                *action,
                *who,
                usize::from(key % 2),
                Deed::of(kinds[usize::from(key % 2)], *number),
            );
        }
        world.upto = world.lines.len() - usize::from(cut[0] % 4).min(world.lines.len());
        world.start = usize::from(cut[1] / 3 % 10).saturating_sub(3).min(world.upto);
        world
    }

    fn roll(&mut self, action: u8, who: u8, key: usize, deed: Deed) {
        let line = self.lines.len() + 1;
        let name = KEYS[key];
        let id = who % 4;
        let of_id = self.doings.iter().position(|doing| doing.id == Some(id));
        let short = self.doings.iter().rposition(|doing| doing.short == Some(key));
        let is_full = self.doings.len() == OPERATIONS_MAX;
        let text = match (action % 12, of_id) {
            (0 | 1, _) if !is_full && matches!(deed, Deed::Set(_) | Deed::Delete) => {
                let text = deed.op_and_value();
                let deeds = vec![(line, key, deed)];
                self.doings.push(Doing { short: Some(key), deeds, ..Doing::default() });
                format!("I {name} {}", text.trim_start_matches("= "))
            }
            (2..=5, None) if !is_full => {
                let text = format!("I #{id} {name} {}", deed.op_and_value());
                let deeds = vec![(line, key, deed)];
                self.doings.push(Doing { id: Some(id), deeds, ..Doing::default() });
                text
            }
            (2..=5, Some(index)) => {
                let doing = &mut self.doings[index];
                if doing.acknowledged.is_some() || doing.failed.is_some() {
                    return;
                }
                let text = format!("I #{id} {name} {}", deed.op_and_value());
                doing.deeds.push((line, key, deed));
                text
            }
            (action @ (6..=10), of_id) => {
                let (index, named) = match (action, of_id, short) {
                    (6 | 7, _, Some(index)) => (index, name.to_owned()),
                    (_, Some(index), _) => (index, format!("#{id}")),
                    _ => return,
                };
                let doing = &mut self.doings[index];
                if doing.failed.is_some() {
                    return;
                }
                doing.acknowledged.get_or_insert(line);
                let is_durable = action % 2 == 0;
                if is_durable {
                    doing.durable.get_or_insert(line);
                }
                format!("A{} {named}", if is_durable { "!" } else { "" })
            }
            (11, Some(index)) if self.doings[index].acknowledged.is_none() => {
                self.doings[index].failed.get_or_insert(line);
                format!("F #{id}")
            }
            _ => return,
        };
        self.lines.push(text);
    }

    fn length(&self, lines: usize) -> u64 {
        self.lines[..lines].iter().map(|line| line.len() as u64 + 1).sum()
    }

    fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn store(held: &[Held; 2]) -> Store {
        let keys = KEYS.iter().zip(held);
        keys.filter_map(|(key, held)| Some((String::from(*key), held.json()?))).collect()
    }

    /// Operations that may be applied, and whether each must be.
    fn candidates(&self) -> Vec<(Doing, bool)> {
        let by = |line: Option<usize>, limit: usize| line.is_some_and(|line| line <= limit);
        let mut candidates = Vec::new();
        for (index, doing) in self.doings.iter().enumerate() {
            let first = doing.deeds[0].0;
            let is_superseded = doing.short.is_some()
                && self.doings[index..]
                    .iter()
                    .any(|other| other.short == doing.short && by(other.acknowledged, self.start));
            let is_over =
                by(doing.acknowledged, self.start) || by(doing.failed, self.start) || is_superseded;
            if is_over || first > self.upto || by(doing.failed, self.upto) {
                continue;
            }
            let is_carried = first <= self.start
                && doing
                    .deeds
                    .iter()
                    .any(|(_, _, deed)| matches!(deed, Deed::Add(_) | Deed::Append(_)));
            let end = if self.promise == POWER_LOSS { doing.durable } else { doing.acknowledged };
            let mut doing = doing.clone();
            doing.acknowledged = doing.acknowledged.filter(|line| *line <= self.upto);
            doing.deeds.retain(|(line, ..)| *line <= self.upto);
            candidates.push((doing, !is_carried && by(end, self.upto)));
        }
        candidates
    }

    /// Every legal store, and every store that any order of any operations gives.
    fn stores(&self) -> (BTreeSet<[Held; 2]>, BTreeSet<[Held; 2]>) {
        let candidates = self.candidates();
        let (mut legal, mut any) = (BTreeSet::new(), BTreeSet::new());
        let mut orders: Vec<Vec<usize>> = vec![Vec::new()];
        while let Some(order) = orders.pop() {
            let mut held = self.initial.clone();
            for (_, key, deed) in order.iter().flat_map(|index| &candidates[*index].0.deeds) {
                held[*key] = deed.apply(&held[*key]);
            }
            let has_required =
                (0..candidates.len()).all(|index| !candidates[index].1 || order.contains(&index));
            if has_required && is_ordered(&order, &candidates) {
                legal.insert(held.clone());
            }
            any.insert(held);
            for index in (0..candidates.len()).filter(|index| !order.contains(index)) {
                orders.push(order.iter().copied().chain([index]).collect());
            }
        }
        (legal, any)
    }
}

/// No operation stands before one that precedes it.
fn is_ordered(order: &[usize], candidates: &[(Doing, bool)]) -> bool {
    order.iter().enumerate().all(|(position, later)| {
        order[..position].iter().all(|earlier| {
            let (earlier, later) = (&candidates[*earlier].0, &candidates[*later].0);
            let is_acknowledged_before =
                later.acknowledged.is_some_and(|line| line < earlier.deeds[0].0);
            let is_written_before = later.short.is_some()
                && later.short == earlier.short
                && later.deeds[0].0 < earlier.deeds[0].0;
            !is_acknowledged_before && !is_written_before
        })
    })
}

/// Every combination of the values that the keys had in any store.
fn crossed(stores: &BTreeSet<[Held; 2]>) -> BTreeSet<[Held; 2]> {
    let values = |key: usize| stores.iter().map(move |held| held[key].clone());
    values(0).flat_map(|one| values(1).map(move |other| [one.clone(), other])).collect()
}

fn worlds() -> impl Strategy<Value = World> {
    let roll = (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>());
    let rolls = proptest::collection::vec(roll, 0..14);
    (any::<[u8; 2]>(), rolls, any::<[u8; 2]>(), any::<[u8; 2]>()).prop_map(
        |(kinds, rolls, initial, cut)| World::new(kinds.map(|kind| kind % 3), &rolls, initial, cut),
    )
}

fn history_of(world: &World) -> History {
    let journal = Journal::parse(world.text().as_bytes()).expect("a right journal");
    let initial = World::store(&world.initial);
    History::new(&journal, world.length(world.start), initial).expect("a start that fits")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn the_judge_says_held_exactly_where_a_legal_serial_order_exists(world in worlds()) {
        let history = history_of(&world);
        let (legal, any) = world.stores();
        let mut candidates = crossed(&any);
        candidates.insert([Held::Absent, Held::Absent]);
        for held in candidates {
            let store = World::store(&held);
            let judgement = history.judge(&store, world.length(world.upto), world.promise);
            prop_assert_eq!(
                judgement.verdict == Verdict::Held,
                legal.contains(&held),
                "{} shows {:?} after {:?}: {:?}", world.text(), held, world.initial, judgement
            );
            prop_assert!(!matches!(judgement.verdict, Verdict::Unknown(_)));
        }
    }

    #[test]
    fn a_key_judged_without_a_search_is_judged_as_with_one(world in worlds()) {
        let history = history_of(&world);
        let moment =
            Moment { upto: world.length(world.upto), promise: world.promise };
        let (_, any) = world.stores();
        for held in crossed(&any) {
            let store = World::store(&held);
            let problem = Problem {
                records: &history.records,
                initial: &history.initial,
                store: &store,
                moment,
            };
            for (index, key) in history.records.keys.iter().enumerate() {
                let is_good = match key.kind {
                    Kind::Text => problem.judge_text(index).is_none(),
                    Kind::Sum => problem.judge_sum(index) == Ok(None),
                    Kind::List => continue,
                };
                let searched = problem.is_legal(&key.acts, &[index], Bend::Not);
                prop_assert_eq!(Ok(is_good), searched, "{} shows {:?}", world.text(), held);
            }
        }
    }

    #[test]
    fn a_long_short_form_is_judged_as_with_a_search(
        rolls in proptest::collection::vec((0u8..5, 0u8..4), 0..60),
        cut in 0usize..60,
        durable in any::<bool>(),
    ) {
        let mut is_intended = false;
        let mut text = String::new();
        let mut length = 0;
        for (index, (action, value)) in rolls.iter().enumerate() {
            match action {
                0 if is_intended => text.push_str("A k\n"),
                1 if is_intended => text.push_str("A! k\n"),
                0..=2 => text.push_str("I k -\n"),
                _ => text.push_str(&format!("I k v{value}\n")),
            }
            is_intended = true;
            if index < cut {
                length = text.len() as u64;
            }
        }
        let text = text.as_str();
        let journal = Journal::parse(text.as_bytes()).expect("a right journal");
        let history = History::new(&journal, 0, store(json!({"k": "v0"}))).expect("fits");
        let moment = Moment { upto: length, promise: if durable { POWER_LOSS } else { Promise::Kill } };
        for shown in [json!({}), json!({"k": "v0"}), json!({"k": "v1"}), json!({"k": "v2"}), json!({"k": "v3"})] {
            let store = store(shown);
            let records = &history.records;
            let problem = Problem { records, initial: &history.initial, store: &store, moment };
            for (index, key) in records.keys.iter().enumerate() {
                let searched = problem.is_legal(&key.acts, &[index], Bend::Not).expect("few lines");
                prop_assert_eq!(problem.judge_text(index).is_none(), searched, "{}", text);
            }
        }
    }

    #[test]
    fn no_store_makes_the_judge_panic(
        world in worlds(),
        shown in proptest::collection::btree_map("[abc]", values(), 0..3),
    ) {
        let judgement =
            history_of(&world).judge(&shown, world.length(world.upto), world.promise);
        prop_assert_eq!(judgement.detail.is_empty(), judgement.verdict == Verdict::Held);
    }
}

fn values() -> impl Strategy<Value = Json> {
    let plain = prop_oneof![
        "[xyq]{0,3}".prop_map(Json::from),
        (-3i64..9).prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<bool>().prop_map(Json::from),
    ];
    let list = proptest::collection::vec(plain.clone(), 0..4).prop_map(Json::from);
    prop_oneof![plain, list].prop_filter("a store has no null", |json| {
        let mut elements = json.as_array().into_iter().flatten();
        !json.is_null() && elements.all(|element| !element.is_null())
    })
}
